/*
 * state_view: what a study looked like at an earlier LSN, and which of its trials are best.
 *
 * A log view is a prefix of the ended trials and the attempts that ran at that moment. Those are
 * found among what runs now and what ended or was rolled back since, so a view a little behind the
 * newest costs little.
 */
#include "state_internal.h"

#include <string.h>

#include "hpo.h"
#include "state_blob.h"

size_t state_ended_count(const struct state_study *study)
{
    return study->ended.count;
}

void state_ended_at(const struct state_study *study, size_t index, struct state_trial *out)
{
    blob_read(study->ended.items[index], out);
}

/* How many of the list ended by `view`: end LSNs never fall (F4). */
static size_t ended_by(const struct block_list *list, uint64_t view)
{
    size_t low = 0, high = list->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (blob_end_lsn(list->items[middle]) <= view)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t state_view_ended(const struct state_study *study, uint64_t view)
{
    return ended_by(&study->ended, view);
}

void state_trial_list_release(struct state_trial_list *list)
{
    state_release(list->os, list->trials);
    list->trials = NULL;
    list->count = list->capacity = 0;
}

void state_trial_cut(struct state_trial *trial, uint64_t view)
{
    while (trial->value_count && trial->values[trial->value_count - 1].lsn > view)
        trial->value_count--;
    while (trial->report_count && trial->reports[trial->report_count - 1].lsn > view)
        trial->report_count--;
    while (trial->decision_count && trial->decisions[trial->decision_count - 1].lsn > view)
        trial->decision_count--;
    while (trial->attr_count && trial->attrs[trial->attr_count - 1].lsn > view)
        trial->attr_count--;
    if (trial->note_lsn > view) {
        trial->note_lsn = 0;
        trial->note_size = 0;
    }
}

/* Add the trial as it ran at `view`, by number. */
static int add_running(struct state_trial_list *list, const struct state_trial *trial,
                       uint64_t view, uint64_t except)
{
    size_t at = list->count;
    int err;

    if (trial->begin_lsn == 0 || trial->begin_lsn > view || trial->number == except)
        return 0;
    err = list_reserve(list->os, &list->trials, &list->capacity, list->count + 1);
    if (err < 0)
        return err;
    while (at > 0 && list->trials[at - 1].number > trial->number)
        at--;
    list_open(list->trials, list->count, at, sizeof(*list->trials));
    list->trials[at] = *trial;
    list->trials[at].state = TRIAL_RUNNING;
    list->trials[at].objective_count = 0;
    list->trials[at].end_lsn = 0;
    list->trials[at].reason = 0;
    list->trials[at].stop = false;
    state_trial_cut(&list->trials[at], view);
    list->count++;
    return 0;
}

static int add_running_blocks(struct state_trial_list *list, const struct block_list *blocks,
                              uint64_t view, uint64_t except)
{
    int err = 0;

    for (size_t i = ended_by(blocks, view); i < blocks->count && err == 0; i++) {
        struct state_trial trial;

        if (blob_begin_lsn(blocks->items[i]) > view)
            continue;
        blob_read(blocks->items[i], &trial);
        err = add_running(list, &trial, view, except);
    }
    return err;
}

int state_view_running(const struct state_study *study, uint64_t view, uint64_t except,
                       struct state_trial_list *list)
{
    int err = 0;

    list->count = 0;
    for (size_t i = 0; i < study->running.count && err == 0; i++)
        err = add_running(list, &study->running.items[i]->t, view, except);
    if (err == 0)
        err = add_running_blocks(list, &study->ended, view, except);
    if (err == 0)
        err = add_running_blocks(list, &study->attempts, view, except);
    return err;
}

uint64_t state_finished_prefix(const struct state_study *study)
{
    return study->finished_prefix;
}

/* -- best -- */

/* Whether objective i of a is better than b's. */
static bool better(const struct state_study *study, uint32_t i, double a, double b)
{
    return study->config->directions[i] ? a > b : a < b;
}

void best_update(struct state_study *study, const uint8_t *block)
{
    struct state_trial trial, best;

    blob_read(block, &trial);
    if (study->config->direction_count != 1 || trial.state != TRIAL_COMPLETE ||
        trial.objective_count != 1)
        return;
    if (study->best) {
        blob_read(study->best, &best);
        if (!better(study, 0, trial.objectives[0], best.objectives[0]) &&
            (trial.objectives[0] != best.objectives[0] || trial.number > best.number))
            return;
    }
    study->best = block;
}

int state_best(const struct state_study *study, uint64_t *number)
{
    if (study->config->direction_count != 1)
        return HPO_INVALID;
    if (!study->best)
        return HPO_NOT_FOUND;
    *number = blob_number(study->best);
    return 0;
}

/* a is nowhere worse than b and somewhere better. */
static bool dominates(const struct state_study *study, const struct state_trial *a,
                      const struct state_trial *b)
{
    bool ahead = false;

    for (uint32_t i = 0; i < a->objective_count; i++) {
        if (better(study, i, b->objectives[i], a->objectives[i]))
            return false;
        ahead = ahead || better(study, i, a->objectives[i], b->objectives[i]);
    }
    return ahead;
}

/* The front with one more trial: nothing if it is dominated, else without those that it dominates.
 */
static int front_add(struct state_study *study, const uint8_t *block)
{
    struct state_trial trial, member;
    size_t kept = 0, at = 0;
    int err;

    blob_read(block, &trial);
    if (trial.state != TRIAL_COMPLETE || trial.objective_count != study->config->direction_count)
        return 0;
    for (size_t i = 0; i < study->front_count; i++) {
        blob_read(study->front[i], &member);
        if (dominates(study, &member, &trial))
            return 0; /* then it dominates no member itself */
    }
    err = list_reserve(study->state->os, &study->front, &study->front_capacity,
                       study->front_count + 1);
    if (err < 0)
        return err;
    for (size_t i = 0; i < study->front_count; i++) {
        blob_read(study->front[i], &member);
        if (dominates(study, &trial, &member))
            continue;
        study->front[kept++] = study->front[i];
        if (member.number < trial.number)
            at = kept;
    }
    list_open(study->front, kept, at, sizeof(*study->front));
    study->front[at] = block;
    study->front_count = kept + 1;
    return 0;
}

int state_pareto(const struct state_study *study, const uint64_t **numbers, size_t *count)
{
    struct state_study *cache = study_get(study->state, study->id);
    int err = 0;

    if (study->config->direction_count == 0)
        return HPO_INVALID;
    for (; cache->front_done < cache->ended.count && err == 0; cache->front_done++)
        err = front_add(cache, cache->ended.items[cache->front_done]);
    if (err < 0) {
        cache->front_done--;
        return err;
    }
    err = list_reserve(study->state->os, &cache->front_numbers, &cache->front_numbers_capacity,
                       cache->front_count + 1);
    if (err < 0)
        return err;
    for (size_t i = 0; i < cache->front_count; i++)
        cache->front_numbers[i] = blob_number(cache->front[i]);
    *numbers = cache->front_numbers;
    *count = cache->front_count;
    return 0;
}

/*
 * state_check: the invariants of state.h and every count and index, recomputed from what they
 * speak of.
 *
 * Slow and simple on purpose: tests call it after random histories, fsck after folding a log.
 */
#include "state_internal.h"

#include <string.h>

#include "hpo.h"
#include "state_blob.h"

struct check {
    struct state *state;
    struct error_detail *error;
    uint64_t ids; /* entries that the map of ids should have */
};

static int wrong(struct check *check, const struct state_study *study, const char *what)
{
    return error_set(check->error, HPO_CORRUPT, 0, NULL, 0, check->state->at.lsn, "study %llu: %s",
                     (unsigned long long)(study ? study->id : 0), what);
}

/* -- lists of unfinished trials -- */

static int check_list(struct check *check, const struct state_study *study,
                      const struct live_list *list, uint8_t trial_state)
{
    for (size_t i = 0; i < list->count; i++) {
        struct live_trial *live = list->items[i];
        struct state_trial trial = live->t;

        if (live->study != study || live->t.study != study->id || live->t.state != trial_state)
            return wrong(check, study, "a trial in the wrong list");
        if (i > 0 && list->items[i - 1]->t.number >= live->t.number)
            return wrong(check, study, "a list that is not in order of number");
        if (live->t.number >= study->next_number ||
            live_of(study->by_number[live->t.number]) != live)
            return wrong(check, study, "a number that does not lead to its trial");
        if (live_get(check->state, live->t.id) != live)
            return wrong(check, study, "an id that does not lead to its trial");
        if (live->t.id == 0 || live->t.id >= check->state->next_trial)
            return wrong(check, study, "an id that was never given (F1)");
        if ((trial_state == TRIAL_RUNNING && trial.popped) != (live->waiting != NULL))
            return wrong(check, study, "a block as it waited where none belongs");
        if (trial.orphan && (!trial.popped || trial.on_behalf))
            return wrong(check, study, "an orphan that is none");
    }
    check->ids += list->count;
    return 0;
}

/* Every unfinished trial's content as a block that verifies: order of the log, sizes, flags (F6).
 */
static int check_content(struct check *check, const struct state_study *study,
                         const struct live_list *list)
{
    const struct hpo_os *os = check->state->os;
    bool good = true;

    for (size_t i = 0; i < list->count && good; i++) {
        size_t size = blob_size(&list->items[i]->t);
        uint8_t *block = os->alloc(os->self, size);

        if (!block)
            return HPO_NOMEM;
        blob_encode(block, &list->items[i]->t);
        good = blob_verify(block, size);
        state_release(os, block);
    }
    return good ? 0 : wrong(check, study, "an unfinished trial without a canonical block");
}

static int check_enqueued(struct check *check, const struct state_study *study)
{
    for (size_t i = 0; i < study->running.count; i++) {
        const struct live_trial *writer = study->running.items[i];
        uint32_t enqueued = 0;

        for (size_t k = 0; k < study->queue.count; k++)
            enqueued += study->queue.items[k]->t.on_behalf == writer->t.id;
        for (size_t k = 0; k < study->running.count; k++)
            enqueued += study->running.items[k]->t.on_behalf == writer->t.id;
        if (enqueued != writer->enqueued)
            return wrong(check, study, "a wrong count of what a trial enqueued");
    }
    for (size_t i = 0; i < study->queue.count; i++) {
        const struct live_trial *live = study->queue.items[i];
        const struct live_trial *writer =
            live->t.on_behalf ? live_get(check->state, live->t.on_behalf) : NULL;

        if (live->enqueued || live->written_count)
            return wrong(check, study, "a trial that waits has written something");
        if (live->t.on_behalf && (!writer || writer->t.state != TRIAL_RUNNING))
            return wrong(check, study, "enqueued on behalf of a trial that does not run");
    }
    return 0;
}

/* -- numbers -- */

static int check_numbers(struct check *check, const struct state_study *study)
{
    uint64_t known =
                 study->ended.count + study->queue.count + study->running.count + study->pool_count,
             prefix = 0;

    if (known != study->next_number)
        return wrong(check, study, "a number that is neither living nor free, or both (F2)");
    for (size_t i = 0; i < study->pool_count; i++) {
        const struct pool_entry *entry = &study->pool[i];

        if ((i > 0 && study->pool[i - 1].number >= entry->number) ||
            entry->number >= study->next_number || study->by_number[entry->number])
            return wrong(check, study, "a pool out of order");
        if (pool_of((trial_link)map_get(&check->state->trials_by_id, entry->id)) != study)
            return wrong(check, study, "the id of a free number does not lead to its study");
        if (entry->number == study->next_number - 1 && !entry->has_view)
            return wrong(check, study, "a free number that nobody needs back was kept (F3)");
    }
    check->ids += study->pool_count;
    while (prefix < study->next_number && block_of(study->by_number[prefix]))
        prefix++;
    return prefix == study->finished_prefix
               ? 0
               : wrong(check, study, "a wrong prefix of finished numbers");
}

/* -- blocks -- */

struct recount {
    uint64_t complete, pruned, failed, stop_lsn, begun_lsn_max;
    bool has_best;
    struct state_trial best;
};

static void count_block(const struct state_study *study, const struct state_trial *trial,
                        struct recount *count)
{
    const struct record_study_create *config = study->config;
    double value, best;

    count->complete += trial->state == TRIAL_COMPLETE;
    count->pruned += trial->state == TRIAL_PRUNED;
    count->failed += trial->state == TRIAL_FAIL;
    if (trial->stop)
        count->stop_lsn = trial->end_lsn;
    if (blob_was_begun(trial) && trial->begin_lsn > count->begun_lsn_max)
        count->begun_lsn_max = trial->begin_lsn;
    if (config->direction_count != 1 || trial->state != TRIAL_COMPLETE ||
        trial->objective_count != 1)
        return;
    value = config->directions[0] ? -trial->objectives[0] : trial->objectives[0];
    if (count->has_best) {
        best = config->directions[0] ? -count->best.objectives[0] : count->best.objectives[0];
        if (value > best || (value == best && trial->number > count->best.number))
            return;
    }
    count->has_best = true;
    count->best = *trial;
}

static int check_ended(struct check *check, const struct state_study *study)
{
    struct recount count = {0};
    struct state_trial trial;
    uint64_t lsn = 0;

    for (size_t i = 0; i < study->ended.count; i++) {
        const uint8_t *block = study->ended.items[i];

        if (!blob_verify(block, blob_bytes(block)))
            return wrong(check, study, "an ended trial whose block is not canonical (F5)");
        blob_read(block, &trial);
        if (trial.end_lsn < lsn || trial.end_lsn > check->state->at.lsn)
            return wrong(check, study, "ended trials out of order (F4)");
        lsn = trial.end_lsn;
        if (trial.number >= study->next_number ||
            block_of(study->by_number[trial.number]) != block ||
            block_of((trial_link)map_get(&check->state->trials_by_id, trial.id)) != block)
            return wrong(check, study, "an ended trial that number or id do not lead to");
        count_block(study, &trial, &count);
    }
    check->ids += study->ended.count;
    if (count.complete != study->complete || count.pruned != study->pruned ||
        count.failed != study->failed)
        return wrong(check, study, "a wrong count of ended trials");
    if (count.stop_lsn != study->stop_lsn || count.begun_lsn_max != study->begun_lsn_max)
        return wrong(check, study, "a wrong LSN of the last stop or begin");
    if (count.has_best != (study->best != NULL) ||
        (study->best && blob_number(study->best) != count.best.number))
        return wrong(check, study, "not the best trial");
    return 0;
}

static int check_attempts(struct check *check, const struct state_study *study)
{
    uint64_t lsn = 0;

    for (size_t i = 0; i < study->attempts.count; i++) {
        const uint8_t *block = study->attempts.items[i];

        if (!blob_verify(block, blob_bytes(block)) || block[5] != TRIAL_ROLLED_BACK)
            return wrong(check, study, "an attempt whose block is not canonical (F5)");
        if (blob_end_lsn(block) < lsn || blob_end_lsn(block) > check->state->at.lsn)
            return wrong(check, study, "attempts out of order");
        lsn = blob_end_lsn(block);
        check->ids +=
            block_of((trial_link)map_get(&check->state->trials_by_id, blob_id(block))) == block;
    }
    return 0;
}

/* -- parameters -- */

static void count_values(const struct state_study *study, const struct state_trial *trial,
                         uint64_t *living)
{
    for (uint32_t i = 0; i < trial->value_count; i++)
        if (trial->values[i].flags & VALUE_ASKED)
            living[family_of(study, trial->values[i].param)]++;
}

static int check_families(struct check *check, const struct state_study *study)
{
    const struct hpo_os *os = check->state->os;
    uint64_t *living = state_alloc(os, ((size_t)study->param_count + 1) * sizeof(*living));
    struct state_trial trial;
    bool good = true;

    if (!living)
        return HPO_NOMEM;
    for (size_t i = 0; i < study->ended.count; i++) {
        blob_read(study->ended.items[i], &trial);
        count_values(study, &trial, living);
    }
    for (size_t i = 0; i < study->queue.count; i++)
        count_values(study, &study->queue.items[i]->t, living);
    for (size_t i = 0; i < study->running.count; i++)
        count_values(study, &study->running.items[i]->t, living);
    for (uint32_t i = 0; i < study->param_count; i++) {
        const struct param_entry *param = &study->params[i];

        good = good && param->public.number == i && param->public.family <= i && param->class <= i;
        good = good && (param->public.family != i || param->living == living[i]);
    }
    state_release(os, living);
    return good ? 0
                : wrong(check, study, "a wrong count of living trials that use a parameter (F8)");
}

/* -- attributes -- */

static int check_attrs(struct check *check, const struct state_study *study)
{
    for (size_t i = 0; i < study->attr_count; i++) {
        const struct attr_entry *entry = study->attrs[i];
        uint64_t place = UINT64_MAX;

        if (entry->version_count == 0)
            return wrong(check, study, "a key without a version");
        for (uint32_t k = 0; k < entry->version_count; k++) {
            const struct attr_version *version = &entry->versions[k];
            const struct live_trial *writer =
                version->writer ? live_get(check->state, version->writer) : NULL;

            place = version->place < place ? version->place : place;
            if (k > 0 && entry->versions[k - 1].lsn > version->lsn)
                return wrong(check, study, "versions out of order");
            if (version->writer &&
                (!writer || writer->study != study || writer->t.state != TRIAL_RUNNING))
                return wrong(check, study, "a version whose writer has ended (F7)");
            for (uint32_t other = 0; other < k; other++)
                if (entry->versions[other].writer == version->writer)
                    return wrong(check, study, "two versions of one writer (F7)");
        }
        if (place != entry->place || (i > 0 && study->attrs[i - 1]->place > place))
            return wrong(check, study, "keys out of order");
        if (attr_find(study, entry->space,
                      (struct bytes){.data = entry->key, .size = entry->key_size}) != entry)
            return wrong(check, study, "a key that is not found");
    }
    return 0;
}

/* -- all -- */

static int check_study(struct check *check, const struct state_study *study)
{
    int err = check_list(check, study, &study->queue, TRIAL_WAITING);

    if (err == 0)
        err = check_list(check, study, &study->running, TRIAL_RUNNING);
    if (err == 0)
        err = check_content(check, study, &study->queue);
    if (err == 0)
        err = check_content(check, study, &study->running);
    if (err == 0)
        err = check_enqueued(check, study);
    if (err == 0)
        err = check_numbers(check, study);
    if (err == 0)
        err = check_ended(check, study);
    if (err == 0)
        err = check_attempts(check, study);
    if (err == 0)
        err = check_families(check, study);
    return err < 0 ? err : check_attrs(check, study);
}

int state_check(struct state *state, struct error_detail *error)
{
    struct check check = {.state = state, .error = error};
    uint64_t running = 0;
    int err = 0;

    for (size_t i = 0; i < state->study_count && err == 0; i++) {
        const struct state_study *study = state->studies[i];

        running += study->running.count;
        if (study->id == 0 || study->id >= state->next_study ||
            (i > 0 && state->studies[i - 1]->id >= study->id))
            return wrong(&check, study, "studies out of order (F1)");
        if (state_study_find(state, study->config->name) != study)
            return wrong(&check, study, "a name that does not lead to its study");
        err = check_study(&check, study);
    }
    if (err < 0)
        return err;
    if (running != state->running.count)
        return wrong(&check, NULL, "a wrong list of running trials");
    for (size_t i = 1; i < state->running.count; i++)
        if (state->running.items[i - 1]->t.id >= state->running.items[i]->t.id)
            return wrong(&check, NULL, "running trials out of order");
    if (check.ids != state->trials_by_id.count)
        return wrong(&check, NULL, "ids that lead nowhere");
    return 0;
}

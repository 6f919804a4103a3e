/*
 * state_read: trials, counts and what comes next, as readers and writers ask for them.
 */
#include "state_internal.h"

#include <assert.h>
#include <string.h>

#include "hpo.h"
#include "state_blob.h"

/* -- the pool as readers see it -- */

/* Numbers below this are listed; *listed_free: how many of them are free, the first ones in the
 * pool. */
static uint64_t listed(const struct state_study *study, size_t *listed_free)
{
    uint64_t number = study->next_number;
    size_t count = study->pool_count;

    while (count && study->pool[count - 1].number == number - 1) {
        number--;
        count--;
    }
    *listed_free = count;
    return number;
}

/* A free number below a living one: an empty trial that waits. */
static void read_pool(const struct state_study *study, const struct pool_entry *entry,
                      struct state_trial *out)
{
    *out = (struct state_trial){.study = study->id,
                                .number = entry->number,
                                .id = entry->id,
                                .view = entry->has_view ? entry->view : 0,
                                .mode = entry->mode,
                                .retry = entry->has_view,
                                .begin = {.kind = 255},
                                .end = {.kind = 255},
                                .state = TRIAL_WAITING};
}

void state_study_counts(const struct state_study *study, struct state_counts *out)
{
    size_t listed_free;

    *out = (struct state_counts){.listed = listed(study, &listed_free),
                                 .running = study->running.count,
                                 .complete = study->complete,
                                 .pruned = study->pruned,
                                 .failed = study->failed,
                                 .rolled_back = study->attempts.count};
    out->waiting = study->queue.count + listed_free;
}

bool state_study_stopped(const struct state_study *study)
{
    if (study->stop_lsn == 0 || study->begun_lsn_max > study->stop_lsn)
        return false;
    for (size_t i = 0; i < study->running.count; i++)
        if (study->running.items[i]->t.begin_lsn > study->stop_lsn)
            return false;
    return true;
}

/* -- trials -- */

int state_trial_by_number(const struct state_study *study, uint64_t number, struct state_trial *out)
{
    size_t listed_free;
    trial_link link;

    if (number >= study->next_number)
        return HPO_NOT_FOUND;
    link = study->by_number[number];
    if (block_of(link))
        blob_read(block_of(link), out);
    else if (live_of(link))
        *out = live_of(link)->t;
    else if (number < listed(study, &listed_free))
        read_pool(study, pool_find(study, number), out);
    else
        return HPO_NOT_FOUND;
    return 0;
}

static int pool_by_id(const struct state_study *study, uint64_t id, struct state_trial *out)
{
    size_t listed_free;

    (void)listed(study, &listed_free);
    for (size_t i = 0; i < listed_free; i++) {
        if (study->pool[i].id != id)
            continue;
        read_pool(study, &study->pool[i], out);
        return 0;
    }
    return HPO_NOT_FOUND;
}

int state_trial_by_id(const struct state *state, uint64_t id, struct state_trial *out)
{
    trial_link link = (trial_link)map_get(&state->trials_by_id, id);

    if (live_of(link)) {
        *out = live_of(link)->t;
        return 0;
    }
    if (pool_of(link))
        return pool_by_id(pool_of(link), id, out);
    if (!block_of(link))
        return HPO_NOT_FOUND;
    blob_read(block_of(link), out);
    return out->state == TRIAL_ROLLED_BACK ? HPO_ROLLED_BACK : 0;
}

bool state_running_next(const struct state *state, uint64_t *cursor, struct state_trial *out)
{
    size_t low = 0, high = state->running.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (state->running.items[middle]->t.id <= *cursor)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == state->running.count)
        return false;
    *out = state->running.items[low]->t;
    *cursor = out->id;
    return true;
}

static struct bytes heap_bytes(const struct state_trial *trial, uint32_t offset, uint32_t size)
{
    return (struct bytes){.data = size ? trial->heap + offset : NULL, .size = size};
}

struct bytes state_trial_note(const struct state_trial *trial)
{
    return heap_bytes(trial, trial->note_offset, trial->note_size);
}

struct bytes state_decision_note(const struct state_trial *trial, uint32_t index)
{
    assert(index < trial->decision_count);
    return heap_bytes(trial, trial->decisions[index].note_offset,
                      trial->decisions[index].note_size);
}

struct bytes state_attr_key(const struct state_trial *trial, uint32_t index)
{
    assert(index < trial->attr_count);
    return heap_bytes(trial, trial->attrs[index].key_offset, trial->attrs[index].key_size);
}

struct bytes state_attr_value(const struct state_trial *trial, uint32_t index)
{
    assert(index < trial->attr_count);
    return heap_bytes(trial, trial->attrs[index].value_offset, trial->attrs[index].value_size);
}

int state_trial_attr(const struct state_trial *trial, uint8_t space, struct bytes key,
                     struct bytes *value)
{
    for (uint32_t i = 0; i < trial->attr_count; i++) {
        const struct state_attr *attr = &trial->attrs[i];

        if (attr->space != space || attr->removed || attr->key_size != key.size ||
            (key.size && memcmp(trial->heap + attr->key_offset, key.data, key.size) != 0))
            continue;
        *value = state_attr_value(trial, i);
        return 0;
    }
    return HPO_NOT_FOUND;
}

int state_trial_value(const struct state_study *study, const struct state_trial *trial,
                      uint32_t family, uint32_t flags, struct state_value *out)
{
    for (uint32_t i = 0; i < trial->value_count; i++) {
        if (!(trial->values[i].flags & flags) || family_of(study, trial->values[i].param) != family)
            continue;
        *out = trial->values[i];
        return 0;
    }
    return HPO_NOT_FOUND;
}

/* -- what comes next -- */

void state_next_begin(const struct state *state, const struct state_study *study,
                      struct state_begin *out)
{
    const struct live_trial *waits = study->queue.count ? study->queue.items[0] : NULL;
    const struct pool_entry *freed = study->pool_count ? &study->pool[0] : NULL;

    if (waits && (!freed || waits->t.number < freed->number))
        *out = (struct state_begin){.number = waits->t.number,
                                    .trial = waits->t.id,
                                    .popped = true,
                                    .retry = waits->t.retry,
                                    .view = waits->t.view,
                                    .mode = waits->t.mode};
    else if (freed)
        *out = (struct state_begin){.number = freed->number,
                                    .trial = freed->id,
                                    .retry = freed->has_view,
                                    .view = freed->view,
                                    .mode = freed->mode};
    else
        *out = (struct state_begin){.number = study->next_number, .trial = state->next_trial};
}

void state_next_enqueue(const struct state *state, const struct state_study *study,
                        uint64_t *number, uint64_t *trial)
{
    for (size_t i = 0; i < study->pool_count; i++) {
        if (study->pool[i].has_view)
            continue;
        *number = study->pool[i].number;
        *trial = study->pool[i].id;
        return;
    }
    *number = study->next_number;
    *trial = state->next_trial;
}

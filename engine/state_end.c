/*
 * state_end: how trials end: finish, roll back, and what becomes of their numbers.
 *
 * A trial that finishes becomes a block and never changes again. One that is rolled back never
 * happened: its number goes back to the pool with its view (or the queue entry that it had taken
 * waits again), what it wrote on the study is undone, what it enqueued and still waits vanishes.
 * Only its block remains, among the attempts, for earlier views.
 */
#include "state_internal.h"

#include <assert.h>
#include <string.h>

#include "codec.h"
#include "hpo.h"
#include "state_blob.h"

/* -- the pool -- */

static size_t pool_place(const struct state_study *study, uint64_t number)
{
    size_t low = 0, high = study->pool_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (study->pool[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct pool_entry *pool_find(const struct state_study *study, uint64_t number)
{
    size_t at = pool_place(study, number);

    return at < study->pool_count && study->pool[at].number == number ? &study->pool[at] : NULL;
}

int pool_add(struct state_study *study, const struct pool_entry *entry)
{
    size_t at = pool_place(study, entry->number);
    int err =
        list_reserve(study->state->os, &study->pool, &study->pool_capacity, study->pool_count + 1);

    if (err < 0)
        return err;
    list_open(study->pool, study->pool_count, at, sizeof(*study->pool));
    study->pool[at] = *entry;
    study->pool_count++;
    study->by_number[entry->number] = 0;
    return 0;
}

void pool_remove(struct state_study *study, struct pool_entry *entry)
{
    list_close(study->pool, study->pool_count, (size_t)(entry - study->pool), sizeof(*study->pool));
    study->pool_count--;
}

/* F3: free numbers at the end that nobody needs back are as if they had never been given. */
static void pool_trim(struct state_study *study)
{
    while (study->pool_count) {
        struct pool_entry *last = &study->pool[study->pool_count - 1];

        if (last->number != study->next_number - 1 || last->has_view)
            break;
        if (last->id)
            map_remove(&study->state->trials_by_id, last->id);
        study->pool_count--;
        study->next_number--;
    }
}

/* F1: every number that is free now gets the id of its next attempt, in order of number. */
static int pool_name(struct state_study *study)
{
    struct state *state = study->state;
    int err = 0;

    for (size_t i = 0; i < study->pool_count && err == 0; i++) {
        if (study->pool[i].id)
            continue;
        if (state->next_trial > STATE_ID_MAX)
            return state_refuse(state, "no ids are left");
        study->pool[i].id = state->next_trial++;
        err = map_put(&state->trials_by_id, study->pool[i].id, link_pool(study));
    }
    return err;
}

/* -- blocks -- */

static void chain_add(struct block_list *list, const uint8_t *block)
{
    struct hash128 hash = hash128(block, blob_bytes(block));
    uint8_t bytes[32];

    codec_store_u64(bytes, list->chain.low);
    codec_store_u64(bytes + 8, list->chain.high);
    codec_store_u64(bytes + 16, hash.low);
    codec_store_u64(bytes + 24, hash.high);
    list->chain = hash128(bytes, sizeof(bytes));
}

static int block_push(const struct hpo_os *os, struct block_list *list, const uint8_t *block)
{
    int err = list_reserve(os, &list->items, &list->capacity, list->count + 1);

    if (err < 0)
        return err;
    list->items[list->count++] = block;
    chain_add(list, block);
    return 0;
}

static int block_make(struct state_study *study, const struct state_trial *trial,
                      const uint8_t **out)
{
    uint8_t *block = chunk_alloc(study->state->os, &study->chunks, blob_size(trial));

    if (!block)
        return HPO_NOMEM;
    blob_encode(block, trial);
    *out = block;
    return 0;
}

static void count_ended(struct state_study *study, const struct state_trial *trial)
{
    if (trial->state == TRIAL_COMPLETE)
        study->complete++;
    else if (trial->state == TRIAL_PRUNED)
        study->pruned++;
    else
        study->failed++;
    if (trial->stop)
        study->stop_lsn = trial->end_lsn;
    if (blob_was_begun(trial) && trial->begin_lsn > study->begun_lsn_max)
        study->begun_lsn_max = trial->begin_lsn;
    while (study->finished_prefix < study->next_number &&
           block_of(study->by_number[study->finished_prefix]))
        study->finished_prefix++;
}

int ended_add(struct state_study *study, const uint8_t *block)
{
    struct state_trial trial;
    int err;

    blob_read(block, &trial);
    err = trial_link_set(study, trial.number, trial.id, link_block(block));
    if (err == 0)
        err = block_push(study->state->os, &study->ended, block);
    if (err < 0)
        return err;
    count_ended(study, &trial);
    best_update(study, block);
    return 0;
}

int attempt_add(struct state_study *study, const uint8_t *block)
{
    return block_push(study->state->os, &study->attempts, block);
}

/* -- what a trial enqueued -- */

/* It does not depend any more on who enqueued it. */
static void leave_writer(struct live_trial *live)
{
    struct live_trial *writer =
        live->t.on_behalf ? live_get(live->study->state, live->t.on_behalf) : NULL;

    if (writer) {
        assert(writer->enqueued > 0);
        writer->enqueued--;
    }
    live->t.on_behalf = 0;
}

static void settle_list(struct live_list *list, struct live_trial *writer, bool orphan)
{
    for (size_t i = 0; i < list->count && writer->enqueued; i++) {
        if (list->items[i]->t.on_behalf != writer->t.id)
            continue;
        leave_writer(list->items[i]);
        list->items[i]->t.orphan = orphan;
    }
}

static void leave_families(const struct live_trial *live)
{
    for (uint32_t i = 0; i < live->t.value_count; i++)
        if (live->values[i].flags & VALUE_ASKED)
            family_leave(live->study, live->values[i].param);
}

/* A queue entry whose writer never happened; its number is free, its id is used up. */
static int vanish(struct live_trial *live)
{
    struct state_study *study = live->study;
    struct pool_entry entry = {.number = live->t.number};

    leave_writer(live);
    leave_families(live);
    map_remove(&study->state->trials_by_id, live->t.id);
    live_list_remove(&study->queue, live, false);
    live_free(live);
    return pool_add(study, &entry);
}

static int undo_enqueued(struct live_trial *writer)
{
    struct state_study *study = writer->study;
    int err = 0;

    settle_list(&study->running, writer, true); /* popped: they stay */
    for (size_t i = study->queue.count; i-- > 0 && writer->enqueued && err == 0;)
        if (study->queue.items[i]->t.on_behalf == writer->t.id)
            err = vanish(study->queue.items[i]);
    return err;
}

/* -- finishing -- */

static void leave_lists(struct live_trial *live)
{
    struct state_study *study = live->study;

    if (live_list_has(&study->queue, live)) {
        live_list_remove(&study->queue, live, false);
    } else if (live_list_has(&study->running, live)) {
        live_list_remove(&study->running, live, false);
        live_list_remove(&study->state->running, live, true);
    }
}

int trial_end(struct live_trial *live)
{
    struct state_study *study = live->study;
    const uint8_t *block;
    int err;

    attr_settle(live);
    settle_list(&study->queue, live, false);
    settle_list(&study->running, live, false);
    leave_writer(live);
    leave_lists(live);
    if (live->t.retry) { /* it ends without having begun again */
        live->t.view = 0;
        live->t.mode = VIEW_LOG;
    }
    live->t.retry = live->t.orphan = false;
    live->t.end_lsn = study->state->batch->at.lsn;
    err = block_make(study, &live->t, &block);
    live_free(live);
    return err < 0 ? err : ended_add(study, block);
}

int apply_finish(struct state *state, const struct record_trial_finish *record)
{
    struct live_trial *live = live_get(state, record->trial);
    int err;

    if (!live)
        return state_refuse(state, "no such unfinished trial");
    err = live_objectives(live, record->objectives, record->objective_count);
    if (err < 0)
        return err;
    live->t.state = record->state;
    live->t.stop = record->stop;
    live->t.end = record->time;
    return trial_end(live);
}

/* -- rolling back -- */

static int keep_attempt(struct live_trial *live, uint8_t reason)
{
    struct state_trial trial = live->t;
    const uint8_t *block;
    int err;

    trial.state = TRIAL_ROLLED_BACK;
    trial.reason = reason;
    trial.end_lsn = live->study->state->batch->at.lsn;
    trial.on_behalf = 0;
    err = block_make(live->study, &trial, &block);
    if (err == 0)
        err = attempt_add(live->study, block);
    if (err == 0)
        err = map_put(&live->study->state->trials_by_id, trial.id, link_block(block));
    return err;
}

/* The queue entry as it waited, with number and id, to be begun with this attempt's view. */
static int queue_again(const struct live_trial *live)
{
    struct state_study *study = live->study;
    struct live_trial *again = live_new(study, live->t.number, live->t.id);
    int err;

    if (!again)
        return HPO_NOMEM;
    err = live_read_block(again, live->waiting);
    if (err == 0)
        err = live_list_add(study->state->os, &study->queue, again, false);
    if (err < 0) {
        live_free(again);
        return err;
    }
    again->t.on_behalf = live->t.on_behalf;
    again->t.retry = true;
    again->t.view = live->t.view;
    again->t.mode = live->t.mode;
    for (uint32_t i = 0; i < again->t.value_count; i++)
        if ((again->values[i].flags & VALUE_ASKED) && !family_take(study, again->values[i].param))
            return state_refuse(study->state, "a queue entry whose parameters changed their kind");
    return trial_link_set(study, again->t.number, again->t.id, link_live(again));
}

static int free_number(struct live_trial *live)
{
    struct state *state = live->study->state;
    struct pool_entry entry = {.number = live->t.number};
    int err;

    if (!live->t.orphan) {
        entry.has_view = true;
        entry.view = live->t.view;
        entry.mode = live->t.mode;
        entry.id = state->next_trial++;
    }
    err = pool_add(live->study, &entry);
    if (err == 0 && entry.id)
        err = map_put(&state->trials_by_id, entry.id, link_pool(live->study));
    return err;
}

int apply_rollback(struct state *state, const struct record_trial_rollback *record)
{
    struct live_trial *live = live_get(state, record->trial);
    struct state_study *study;
    int err;

    if (!live || live->t.state != TRIAL_RUNNING)
        return state_refuse(state, "no such running trial");
    if (live->t.session != record->session)
        return state_refuse(state, "not the session that the trial belongs to");
    if (state->next_trial > STATE_ID_MAX)
        return state_refuse(state, "no ids are left");
    study = live->study;
    leave_lists(live);
    attr_undo(live);
    err = undo_enqueued(live);
    if (err == 0)
        err = keep_attempt(live, record->reason);
    if (err == 0 && live->t.popped && !live->t.orphan)
        err = queue_again(live);
    else if (err == 0)
        err = free_number(live);
    leave_families(live);
    live_free(live);
    if (err < 0)
        return err;
    pool_trim(study);
    return pool_name(study);
}

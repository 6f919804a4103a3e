/*
 * store_fold: keeping a handle's state at the end of the log.
 *
 * Mostly that is applying the few batches that others have appended. Three things can break the
 * continuity: batches that we folded are gone because a flush failed (LOG_DIVERGED), memory ran out
 * inside the fold, or a batch breaks a rule of the log. Then the state is dropped and folded anew,
 * from a snapshot where possible; a broken rule also sets `limit`, behind which nothing is
 * believed.
 *
 * After LOG_DIVERGED, LSNs and ids may have been given to others. So a fold that begins anew starts
 * before the oldest begin of a handle that is still held and compares chains on the way (T3).
 */
#include "store.h"

#include <string.h>

#define STORE_STOP 32 /* the callback has seen enough; no error, none of log's outcomes */

/* One pass of reading. */
struct reader {
    struct hpo_store *store;
    uint64_t limit;     /* no batch above it */
    bool confirming;    /* compare the begins of handles */
    int apply_error;    /* of state_apply_batch */
    uint64_t apply_lsn; /* of the batch that it failed on */
};

static void confirm_handles(struct hpo_store *store, const struct log_position *at)
{
    struct hpo_trial *trial;

    for (trial = store->trials; trial; trial = trial->next)
        if (trial->begin.lsn == at->lsn && trial->begin.chain == at->chain)
            trial->unconfirmed = false;
    if (store->session.open.lsn == at->lsn && store->session.open.chain == at->chain)
        store->session.unconfirmed = false;
}

static int apply_batch(void *arg, const struct log_batch *batch)
{
    struct reader *reader = arg;
    int err;

    if (batch->at.lsn > reader->limit)
        return STORE_STOP;
    err = state_apply_batch(reader->store->state, batch);
    if (err < 0) {
        reader->apply_error = err;
        reader->apply_lsn = batch->at.lsn;
        return err;
    }
    store_snapshot_account(reader->store, batch);
    if (reader->confirming)
        confirm_handles(reader->store, &batch->at);
    return 0;
}

static void drop_state(struct hpo_store *store)
{
    state_free(store->state);
    store->state = NULL;
    store->fold_serial++;
}

/* Read from the state's position to the end. 0, LOG_DIVERGED, or an error; the state is dropped if
 * it cannot be used any more. */
static int read_on(struct hpo_store *store, bool confirming)
{
    struct log_position from = state_position(store->state);
    struct reader reader = {.store = store, .limit = store->limit, .confirming = confirming};
    int err;

    if (store->flags & HPO_OPEN_DURABLE_ONLY) {
        uint64_t durable = log_durable(store->log);

        if (durable < reader.limit)
            reader.limit = durable;
    }
    if (from.lsn >= reader.limit)
        return 0;
    err = log_read(store->log, &from, apply_batch, &reader);
    if (err == STORE_STOP)
        err = 0;
    if (reader.apply_error < 0) {
        if (reader.apply_error != HPO_NOMEM) {
            store->damage = *state_failure(store->state);
            store->damage.code = reader.apply_error;
            store->limit = reader.apply_lsn - 1;
        }
        drop_state(store);
    }
    return err;
}

/* The lowest LSN that a handle still has to be compared at; UINT64_MAX: none. */
static uint64_t oldest_handle(const struct hpo_store *store)
{
    const struct hpo_trial *trial;
    uint64_t oldest = UINT64_MAX;

    for (trial = store->trials; trial; trial = trial->next)
        if (!trial->lost && trial->begin.lsn != 0 && trial->begin.lsn < oldest)
            oldest = trial->begin.lsn;
    if (store->session.open.lsn != 0 && store->session.open.lsn < oldest)
        oldest = store->session.open.lsn;
    return oldest;
}

static void handles_await(struct hpo_store *store)
{
    struct hpo_trial *trial;

    for (trial = store->trials; trial; trial = trial->next)
        trial->unconfirmed = trial->begin.lsn != 0;
    store->session.unconfirmed = store->session.open.lsn != 0;
}

/* Whoever was not met is gone. A lost session keeps its slot and opens anew at the next write. */
static void handles_settle(struct hpo_store *store)
{
    struct hpo_trial *trial;

    for (trial = store->trials; trial; trial = trial->next)
        if (trial->unconfirmed)
            trial->lost = true;
    if (store->session.unconfirmed)
        store->session.open = (struct log_position){0, 0};
    store->session.unconfirmed = false;
}

/* Fold from `start` (owned from now on; NULL: the beginning) to the end. */
static int fold_from(struct hpo_store *store, struct state *start)
{
    int err;

    drop_state(store);
    store->tail_bytes = 0;
    store->state = start;
    if (!start) {
        err = state_new(store->os, store->uuid, &store->state);
        if (err < 0)
            return err;
    }
    err = read_on(store, true);
    if (err != 0 && store->state)
        drop_state(store);
    return err;
}

static int fold_anew(struct hpo_store *store)
{
    uint64_t oldest = oldest_handle(store);
    uint64_t at_most = oldest == UINT64_MAX ? store->limit : oldest - 1;
    struct snapshot_entry entry;
    struct state *start = NULL;
    int err;

    if (at_most > store->limit)
        at_most = store->limit;
    if (at_most > 0) {
        err = store_snapshot_find(store, at_most, &start, &entry);
        if (err < 0)
            return err;
    }
    handles_await(store);
    err = fold_from(store, start);
    if (err == LOG_DIVERGED &&
        start) /* a snapshot that this log does not know: its place is gone */
        err = fold_from(store, NULL);
    if (err == 0)
        handles_settle(store);
    return err;
}

/* A broken rule has set the limit: fold again, up to it. More than one turn only if memory or the
 * system fail, or a shorter prefix breaks too, which a pure fold excludes. */
static int fold_until_whole(struct hpo_store *store)
{
    int turn, err = 0;

    for (turn = 0; turn < 4; turn++) {
        int damaged = store->damage.code;

        err = fold_anew(store);
        if (err == 0 || store->damage.code == damaged)
            break;
    }
    return err == LOG_DIVERGED ? HPO_IO : err;
}

int store_catch_up(struct hpo_store *store)
{
    int damaged = store->damage.code;
    int err;

    if (!store->state)
        return fold_until_whole(store);
    err = read_on(store, false);
    if (err == LOG_DIVERGED) {
        drop_state(store);
        return fold_until_whole(store);
    }
    if (err < 0 && store->damage.code != damaged)
        return fold_until_whole(store);
    return err;
}

int store_fold_first(struct hpo_store *store, struct state *from)
{
    int err = fold_from(store, from);

    if (err == 0) {
        handles_settle(store);
        return 0;
    }
    if (err == HPO_NOMEM || (err < 0 && store->damage.code == 0))
        return err;
    return fold_until_whole(store);
}

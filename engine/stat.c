/*
 * stat: what a store is and what it has cost, in numbers.
 */
#include "store.h"
#include "wal.h"

#include <string.h>

static void fill_counts(const struct state *state, struct hpo_stat *stat)
{
    const struct state_study *study = NULL;
    struct state_counts counts;

    stat->studies = state_study_count(state);
    for (study = state_study_after(state, 0); study;
         study = state_study_after(state, state_study_id(study))) {
        state_study_counts(study, &counts);
        stat->trials += counts.listed;
        stat->trials_running += counts.running;
        stat->trials_waiting += counts.waiting;
    }
    stat->sessions = state_session_count(state);
}

static void fill_log(struct hpo_store *store, struct hpo_stat *stat)
{
    struct wal_stat wal;
    const uint64_t *c = wal.counters;

    memset(&wal, 0, sizeof(wal));
    log_stat(store->log, &wal);
    stat->lsn_durable = wal.durable < stat->lsn ? wal.durable : stat->lsn;
    stat->segments = wal.segments;
    stat->log_bytes = wal.log_bytes;
    stat->log_bytes_used = wal.log_bytes_used;
    memcpy(stat->file_system, wal.fs.name, sizeof(stat->file_system));
    if (wal.fs.kind == OS_FS_COW)
        stat->notes |= HPO_NOTE_COW;
    if (wal.fs.kind == OS_FS_OVERLAY)
        stat->notes |= HPO_NOTE_OVERLAY;
    if (wal.fs.kind == OS_FS_MEMORY)
        stat->notes |= HPO_NOTE_MEMORY;
    if (wal.reserve_spent)
        stat->notes |= HPO_NOTE_RESERVE_SPENT;
    stat->batches = c[SHM_BATCHES];
    stat->batch_bytes = c[SHM_BATCH_BYTES];
    stat->log_writes = c[SHM_LOG_WRITES];
    stat->log_write_bytes = c[SHM_LOG_WRITE_BYTES];
    stat->log_sectors = c[SHM_LOG_SECTORS];
    stat->log_pages = c[SHM_LOG_PAGES];
    stat->flushes = c[SHM_FLUSHES];
    stat->flush_failures = c[SHM_FLUSH_FAILURES];
    stat->commits = c[SHM_COMMITS];
    stat->attest_writes = c[SHM_ATTEST_WRITES];
    stat->attest_bytes = c[SHM_ATTEST_BYTES];
    stat->rolls = c[SHM_ROLLS];
    stat->takeovers = c[SHM_ROLLS_TAKEOVER];
    stat->segments_made = c[SHM_SEGMENTS_MADE];
    memcpy(stat->commits_per_flush.buckets, wal.histograms[SHM_COMMITS_PER_FLUSH],
           sizeof(stat->commits_per_flush.buckets));
    memcpy(stat->flush_us.buckets, wal.histograms[SHM_FLUSH_US], sizeof(stat->flush_us.buckets));
}

static void fill_snapshots(struct hpo_store *store, struct hpo_stat *stat)
{
    struct snapshot_list list = {.os = store->os};

    if (!store->snap_dir)
        return;
    if (snapshot_list_read(&list, store->snap_dir, NULL) == 0 && list.count > 0) {
        stat->snapshots = list.count;
        stat->snapshot_lsn = list.entries[0].lsn;
        stat->snapshot_bytes = list.entries[0].bytes;
    }
    snapshot_list_release(&list);
}

int hpo_stat(struct hpo_store *store, struct hpo_stat *out)
{
    struct hpo_stat stat = {.size = sizeof(stat)};
    size_t size;
    int err;

    if (!store)
        return HPO_INVALID;
    if (!out || out->size < offsetof(struct hpo_stat, uuid) + sizeof(out->uuid))
        return call_refuse(store, HPO_INVALID, "no struct for the result, or one without size");
    err = call_begin(store);
    if (err < 0)
        return err;
    err = store_catch_up(store);
    if (err == 0)
        err = state_digest(store->state, stat.digest);
    if (err == 0) {
        memcpy(stat.uuid, store->uuid, sizeof(stat.uuid));
        stat.lsn = state_position(store->state).lsn;
        stat.durability = store->durability;
        fill_counts(store->state, &stat);
        fill_log(store, &stat);
        fill_snapshots(store, &stat);
        /* A program built against an older header has a shorter struct. */
        size = out->size < sizeof(stat) ? out->size : sizeof(stat);
        stat.size = size;
        memcpy(out, &stat, size);
    }
    return call_end(store, err);
}

/* -- sessions -- */

struct session_walk {
    struct hpo_store *store;
    struct arena arena;
};

static int visit(struct session_walk *walk, const struct state_session *session,
                 int (*fn)(void *arg, const struct hpo_session_info *info), void *arg)
{
    struct hpo_store *store = walk->store;
    struct hpo_session_info info = {
        .session = session->session,
        .slot = session->slot,
        .own = session->session == store->session.open.lsn,
        .process_id = session->process_id,
        .opened_us = session->time.us,
    };
    struct state_trial trial;
    uint64_t cursor = 0;
    int alive;

    alive = info.own ? 1 : log_session_alive(store->log, session->slot);
    if (alive < 0)
        return alive;
    info.alive = alive > 0;
    arena_reset(&walk->arena);
    info.host = arena_text(&walk->arena, session->host);
    info.program = arena_text(&walk->arena, session->program);
    if (walk->arena.failed)
        return HPO_NOMEM;
    while (state_running_next(store->state, &cursor, &trial))
        if (trial.session == info.session)
            info.running++;
    return fn(arg, &info);
}

int hpo_sessions(struct hpo_store *store, int (*fn)(void *arg, const struct hpo_session_info *info),
                 void *arg)
{
    struct session_walk walk = {.store = store};
    size_t index;
    int err;

    if (!store)
        return HPO_INVALID;
    if (!fn)
        return call_refuse(store, HPO_INVALID, "no function to call");
    err = call_begin(store);
    if (err < 0)
        return err;
    arena_init(&walk.arena, store->os);
    err = store_catch_up(store);
    for (index = 0; err == 0 && index < state_session_count(store->state); index++)
        err = visit(&walk, state_session_at(store->state, index), fn, arg);
    arena_release(&walk.arena);
    return call_end(store, err);
}

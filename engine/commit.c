/*
 * commit: waiting for the disk together.
 *
 * Whoever needs its batch durable and gets the lock SYNC of the epoch becomes the leader: it seals
 * the open sector under APPEND, flushes once, and everything published before the seal is durable
 * for everybody. The others sleep on the sequence word. The order of the last steps is what keeps
 * wake-ups from being lost: the leader publishes, frees SYNC, then changes the word, then wakes; a
 * waiter reads the word first, then looks, then tries SYNC, then sleeps on the word as it read it.
 *
 * A flush that failed is final for its segment (the kernel has marked the pages clean and a second
 * flush would lie): poison, then a roll from the last durable LSN. The kernel reports the failure
 * once per open description, so a leader that dies inside its flush may take the news with it; its
 * mark `flushing` stays, and whoever gets SYNC next rolls as if the flush had failed.
 *
 * What became of a batch is settled by LSN only within the epoch it was appended in. Afterwards
 * LSNs mean other batches, and only the chain tells.
 */
#include "wal_local.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define WAIT_US 20000           /* of a waiter, before it looks whether the leader is still there */
#define HANG_US_MIN 1000000     /* nothing durable for this long: the leader hangs */
#define HANG_FLUSHES 20         /* or for this many flushes, if that is longer */
#define GATHER_US_MAX 2000      /* a leader's wait for others: at most this, */
#define GATHER_FLUSH_FRACTION 4 /* and at most this part of a flush; */
#define GATHER_US_MIN 100       /* not at all if that is less than a sleep takes */
#define GATHER_STEP_US 40

/* ---- batches that somebody may still ask for (all under log->mutex) ---- */

static int reserve_locked(struct log *log)
{
    struct wal_pending *grown;
    size_t room;

    if (log->pending_count < log->pending_room)
        return 0;
    room = log->pending_room ? log->pending_room * 2 : 16;
    grown = log->os->realloc(log->os->self, log->pending, room * sizeof(*grown));
    if (!grown)
        return HPO_NOMEM;
    log->pending = grown;
    log->pending_room = room;
    return 0;
}

int wal_pending_reserve(struct log *log)
{
    int err;

    if (log->relaxed)
        return 0;
    log->os->mutex_lock(log->os->self, log->mutex);
    err = reserve_locked(log);
    log->os->mutex_unlock(log->os->self, log->mutex);
    return err;
}

/* Forget what is durable: nobody needs to be told twice. */
static void forget_durable(struct log *log)
{
    uint64_t durable;
    size_t kept = 0;

    if (!shm_durable(log->shm, log->pending_epoch, &durable))
        return;
    for (size_t i = 0; i < log->pending_count; i++) {
        if (log->pending[i].state == WAL_PENDING_DEAD || log->pending[i].at.lsn > durable)
            log->pending[kept++] = log->pending[i];
    }
    log->pending_count = kept;
}

void wal_pending_add(struct log *log, const struct log_position *at)
{
    if (log->relaxed)
        return;
    log->os->mutex_lock(log->os->self, log->mutex);
    assert(log->pending_epoch == log->end.epoch); /* W6 */
    forget_durable(log);
    assert(log->pending_count < log->pending_room);
    log->pending[log->pending_count++] =
        (struct wal_pending){*at, log->end.epoch, WAL_PENDING_WAITING};
    log->os->mutex_unlock(log->os->self, log->mutex);
}

static bool is_at(const struct wal_pending *pending, const struct log_position *at)
{
    return pending->at.lsn == at->lsn && pending->at.chain == at->chain;
}

/* By ticket: position alone does not name a batch, a lost one may have a twin (W6). */
static struct wal_pending *find_ticket(struct log *log, const struct log_ticket *ticket)
{
    for (size_t i = 0; i < log->pending_count; i++) {
        if (is_at(&log->pending[i], &ticket->at) && log->pending[i].epoch == ticket->epoch)
            return &log->pending[i];
    }
    return NULL;
}

/* Among those that are still waited for there are no twins. */
static struct wal_pending *find_waiting(struct log *log, const struct log_position *at)
{
    for (size_t i = 0; i < log->pending_count; i++) {
        if (is_at(&log->pending[i], at) && log->pending[i].state == WAL_PENDING_WAITING)
            return &log->pending[i];
    }
    return NULL;
}

static void remove_pending(struct log *log, struct wal_pending *pending)
{
    *pending = log->pending[--log->pending_count];
}

/* ---- settling: which pending batches the log still holds ---- */

/* Walk one segment up to `last` and note which pending batches are in it. */
static int settle_segment(struct log *log, struct segment *segment, uint64_t last,
                          const struct sector_tail *tail, uint64_t *remaining,
                          struct error_detail *error)
{
    struct scan_bound bound = {.lsn_last = last, .tail = tail, .other_boot = false};
    struct segment_scan scan = {0};
    struct log_batch batch;
    int err;

    segment_scan_start(&scan, log->os, segment, &bound);
    while ((err = segment_scan_next(&scan, &batch, error)) == 1) {
        struct wal_pending *found = find_waiting(log, &batch.at);

        if (found) {
            found->state = WAL_PENDING_FOUND;
            --*remaining;
        }
    }
    segment_scan_release(&scan);
    return err;
}

static uint64_t lowest_undecided(const struct log *log, uint64_t *count)
{
    uint64_t lowest = UINT64_MAX;

    *count = 0;
    for (size_t i = 0; i < log->pending_count; i++) {
        if (log->pending[i].state != WAL_PENDING_WAITING)
            continue;
        ++*count;
        if (log->pending[i].at.lsn < lowest)
            lowest = log->pending[i].at.lsn;
    }
    return lowest;
}

/* The newest segment whose stated end lies below an LSN is the one that holds it: what an older one
 * has there is dead. So go back from the newest until nothing undecided can lie further back. */
static int settle_locked(struct log *log, const struct shm_published *end,
                         struct error_detail *error)
{
    uint64_t remaining, lowest = lowest_undecided(log, &remaining);
    uint64_t last = end->at.lsn;
    const struct sector_tail *tail = &end->tail;
    uint32_t number = end->segment;

    while (remaining > 0 && number > 0) {
        struct segment segment;
        uint64_t stated;
        int err = segment_open(log->os, log->wal, number, log->uuid, false, &segment, error);

        if (err < 0)
            return err;
        stated = segment.header.end.lsn;
        err = settle_segment(log, &segment, last, tail, &remaining, error);
        segment_close(log->os, &segment);
        if (err < 0)
            return err;
        if (stated < lowest)
            break;
        last = stated;
        tail = NULL;
        number--;
    }
    for (size_t i = 0; i < log->pending_count; i++) {
        struct wal_pending *pending = &log->pending[i];

        /* What was found is durable if it was copied. Waiting for that in the new epoch also serves
         * log_sync, whose batch may be another session's, lost and appended once more. */
        if (pending->state == WAL_PENDING_WAITING)
            pending->state = WAL_PENDING_DEAD;
        else if (pending->state == WAL_PENDING_FOUND)
            pending->state = WAL_PENDING_WAITING;
    }
    log->pending_epoch = end->epoch;
    return 0;
}

int wal_settle(struct log *log, const struct shm_published *end, struct error_detail *error)
{
    int err = 0;

    log->os->mutex_lock(log->os->self, log->mutex);
    /* `end` may be older than what another thread has settled meanwhile. */
    if (end->epoch > log->pending_epoch)
        err = settle_locked(log, end, error);
    log->os->mutex_unlock(log->os->self, log->mutex);
    return err;
}

enum outcome { OUTCOME_WAITING, OUTCOME_DURABLE, OUTCOME_DEAD };

/* What is known of a batch now. Settles first if the log was rolled. *epoch: the one to flush, if
 * still waiting. */
static int look_up(struct log *log, const struct log_ticket *ticket, uint32_t *epoch,
                   enum outcome *outcome, struct error_detail *error)
{
    struct shm_published end;
    struct wal_pending *pending;
    int err;

    shm_read(log->shm, true, &end);
    err = wal_settle(log, &end, error);
    if (err < 0)
        return err;
    log->os->mutex_lock(log->os->self, log->mutex);
    forget_durable(log);
    *epoch = log->pending_epoch;
    pending = find_ticket(log, ticket);
    if (!pending) {
        *outcome = OUTCOME_DURABLE;
    } else if (pending->state == WAL_PENDING_DEAD) {
        *outcome = OUTCOME_DEAD;
        remove_pending(log, pending);
    } else {
        *outcome = OUTCOME_WAITING;
    }
    log->os->mutex_unlock(log->os->self, log->mutex);
    return 0;
}

/* ---- leading ---- */

static uint64_t load_hint(_Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void store_hint(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

/* Those whom the last flush released come back with their next batch in a moment; a flush that
 * begins without them makes them wait for two. So a leader waits a little, until as many have
 * arrived as the last flush satisfied and left waiting, or a part of a flush is over. Alone it
 * expects one, itself, and waits for nobody. */
static void gather(struct log *log)
{
    const struct hpo_os *os = log->os;
    struct shm *shm = log->shm;
    uint64_t goal = load_hint(&shm->arrivals_sealed) + load_hint(&shm->arrivals_expected);
    int64_t limit = (int64_t)(load_hint(&shm->flush_us) / GATHER_FLUSH_FRACTION);
    int64_t start;

    if (limit > GATHER_US_MAX)
        limit = GATHER_US_MAX;
    if (limit < GATHER_US_MIN || load_hint(&shm->arrivals) >= goal)
        return;
    start = os->clock_monotonic(os->self);
    do
        os->sleep(os->self, GATHER_STEP_US);
    while (load_hint(&shm->arrivals) < goal && os->clock_monotonic(os->self) - start < limit);
}

/* What a leader took with it from under APPEND. */
struct flush {
    uint32_t epoch;
    struct log_position target;
    struct wal_segment *segment; /* held */
    uint64_t arrivals;           /* callers that this flush satisfies */
    uint64_t arrivals_before;
};

enum { SEAL_STALE = 1, SEAL_NEEDLESS = 2 };

/* Under APPEND: decide what is flushed, and see that nobody writes into it any more (W3).
 * SEAL_STALE: the epoch is another one, or became one by a roll here. SEAL_NEEDLESS: everything is
 * durable. */
static int seal(struct log *log, uint32_t epoch, struct flush *flush, struct error_detail *error)
{
    struct shm *shm = log->shm;
    uint64_t durable;
    int err = wal_tail_take(log, error);

    if (err < 0)
        return err;
    if (log->end.epoch != epoch) {
        err = SEAL_STALE;
    } else if (shm_durable(shm, epoch, &durable) && durable >= log->end.at.lsn) {
        err = SEAL_NEEDLESS;
    } else {
        if (log->end.tail.used > 0) {
            sector_seal(&log->end.tail);
            shm_publish(shm, &log->end);
        }
        store_hint(&shm->dirty_page, 0);
        flush->epoch = epoch;
        flush->target = log->end.at; /* before the flush: what is published during it may miss it */
        flush->segment = log->segment;
        wal_segment_hold(log, flush->segment);
        flush->arrivals = load_hint(&shm->arrivals);
        flush->arrivals_before = load_hint(&shm->arrivals_sealed);
        store_hint(&shm->arrivals_sealed, flush->arrivals);
    }
    wal_tail_free(log);
    return err;
}

int wal_attest(struct log *log, uint32_t epoch, const struct log_position *at, bool sync,
               struct error_detail *error)
{
    struct shm *shm = log->shm;
    struct attest_slot slot = {.state = ATTEST_GOOD, .at = *at, .epoch = epoch};
    unsigned index = atomic_fetch_add_explicit(&shm->attest_turn, 1, memory_order_relaxed) & 1;
    int err;

    /* A leader that was overtaken by a roll must not write over what the roll attested. */
    if (shm_flush_state(shm, epoch) < 0)
        return 0;
    err = attest_write(log->os, log->attest, log->uuid, index, &slot, error);
    if (err < 0)
        return err;
    shm_count(shm, SHM_ATTEST_WRITES, 1);
    shm_count(shm, SHM_ATTEST_BYTES, ATTEST_SLOT_SIZE);
    if (!sync)
        return 0;
    err = log->os->file_sync_data(log->os->self, log->attest);
    if (err < 0)
        return error_set(error, error_from_errno(err), -err, "attest", 0, at->lsn, "cannot sync");
    shm_count(shm, SHM_ATTEST_SYNCS, 1);
    return 0;
}

static void note_flush(struct shm *shm, const struct flush *flush, int64_t us)
{
    uint64_t satisfied = flush->arrivals - flush->arrivals_before;
    uint64_t smoothed = load_hint(&shm->flush_us);
    uint64_t now = us > 0 ? (uint64_t)us : 0;

    shm_count(shm, SHM_FLUSHES, 1);
    shm_observe(shm, SHM_FLUSH_US, now);
    shm_observe(shm, SHM_COMMITS_PER_FLUSH, satisfied);
    store_hint(&shm->flush_us, smoothed ? (smoothed * 7 + now) / 8 : now);
    store_hint(&shm->arrivals_expected, satisfied + load_hint(&shm->arrivals) - flush->arrivals);
}

/* Flush for all. Holds SYNC of flush->epoch; drops the segment. */
static void flush_for_all(struct log *log, const struct flush *flush)
{
    const struct hpo_os *os = log->os;
    struct shm *shm = log->shm;
    int64_t start;
    int result;

    os->point(os->self, "sync.sealed");
    if (shm_flush_begin(shm, flush->epoch)) {
        start = os->clock_monotonic(os->self);
        result = os->file_sync_data(os->self, flush->segment->segment.file);
        os->point(os->self, "sync.flushed");
        note_flush(shm, flush, os->clock_monotonic(os->self) - start);
        if (result < 0)
            shm_count(shm, SHM_FLUSH_FAILURES, 1);
        /* Whoever was overtaken by a roll has nothing to say any more, good or bad. */
        if (shm_flush_end(shm, flush->epoch, result < 0) && result == 0 &&
            shm_durable_raise(shm, flush->epoch, flush->target.lsn)) {
            os->point(os->self, "sync.durable");
            (void)wal_attest(log, flush->epoch, &flush->target, false,
                             NULL); /* nobody relies on it */
        }
    }
    wal_segment_drop(log, flush->segment);
}

/* Roll if the log is still in `epoch`: its leader failed, died or hangs. */
static int roll_over(struct log *log, uint32_t epoch, enum segment_reason reason,
                     struct error_detail *error)
{
    int err = wal_tail_take(log, error); /* rolls by itself if it finds marker or poison */

    if (err < 0)
        return err;
    if (log->end.epoch == epoch)
        err = wal_roll(log, reason, 0, true, false, error);
    wal_tail_free(log);
    return err;
}

/* With SYNC of `epoch` in hand: do what is needed, free SYNC, wake all. */
static int lead(struct log *log, uint32_t epoch, struct error_detail *error)
{
    struct shm *shm = log->shm;
    struct flush flush;
    int state = shm_flush_state(shm, epoch);
    int err = 0;

    if (state == SHM_FLUSHING) {
        /* The leader before died in its flush, and perhaps with bad news. */
        err = roll_over(log, epoch, SEGMENT_REASON_TAKEOVER, error);
    } else if (state == SHM_FLUSH_FAILED) {
        err = roll_over(log, epoch, SEGMENT_REASON_SYNC_FAILED, error);
    } else if (state == SHM_FLUSH_IDLE) {
        gather(log);
        err = seal(log, epoch, &flush, error);
        if (err == 0)
            flush_for_all(log, &flush);
    } else {
        /* The epoch is over; or its roller died between publishing it and saying so here. */
        err = wal_tail_take(log, error);
        if (err == 0)
            wal_tail_free(log);
    }
    locks_sync_free(&log->locks, epoch);
    shm_wake(log->os, shm);
    return err < 0 ? err : 0;
}

/* ---- waiting ---- */

/* Progress as a waiter sees it: time since the durable word last changed. */
struct patience {
    int64_t since;
    uint64_t durable_seen;
    uint32_t epoch_seen;
};

static bool patience_over(struct log *log, struct patience *patience, uint32_t epoch)
{
    const struct hpo_os *os = log->os;
    int64_t now = os->clock_monotonic(os->self);
    int64_t limit = (int64_t)load_hint(&((struct shm *)log->shm)->flush_us) * HANG_FLUSHES;
    uint64_t durable = shm_durable_lsn(log->shm);

    if (patience->since == 0 || durable != patience->durable_seen ||
        epoch != patience->epoch_seen) {
        *patience = (struct patience){.since = now, .durable_seen = durable, .epoch_seen = epoch};
        return false;
    }
    return now - patience->since > (limit > HANG_US_MIN ? limit : HANG_US_MIN);
}

static int wait_for(struct log *log, const struct log_ticket *ticket, struct error_detail *error)
{
    struct shm *shm = log->shm;
    struct patience patience = {0};

    for (;;) {
        uint32_t seen =
            shm_sequence(shm); /* before looking, else a change in between is slept through */
        enum outcome outcome;
        uint32_t epoch;
        int err = look_up(log, ticket, &epoch, &outcome, error);

        if (err < 0)
            return err;
        if (outcome == OUTCOME_DURABLE)
            return 0;
        if (outcome == OUTCOME_DEAD)
            return error_set(error, HPO_NOT_WRITTEN, 0, NULL, 0, ticket->at.lsn,
                             "a flush failed and this batch was lost with it; try again");
        err = locks_sync_try(&log->locks, epoch);
        if (err == 0) {
            err = lead(log, epoch, error);
        } else if (err != -EAGAIN) {
            err = error_set(error, error_from_errno(err), -err, "lock", 0, ticket->at.lsn,
                            "cannot lock");
        } else if (patience_over(log, &patience, epoch)) {
            err = roll_over(log, epoch, SEGMENT_REASON_TAKEOVER, error);
        } else {
            shm_wait(log->os, shm, seen, WAIT_US);
            err = 0;
        }
        if (err < 0)
            return err;
    }
}

/* Whether it is durable by LSN, in its own epoch. */
static bool is_durable(const struct log *log, const struct log_ticket *ticket)
{
    uint64_t durable;

    return shm_durable(log->shm, ticket->epoch, &durable) && durable >= ticket->at.lsn;
}

static int wait_and_tell(struct log *log, const struct log_ticket *ticket)
{
    struct error_detail error = {0}, cause;
    struct shm *shm = log->shm;
    int err;

    shm_count(shm, SHM_COMMITS, 1);
    atomic_fetch_add_explicit(&shm->arrivals, 1, memory_order_relaxed);
    if (is_durable(log, ticket))
        return 0;
    err = wait_for(log, ticket, &error);
    if (err == 0)
        return 0;
    if (err != HPO_NOT_WRITTEN) {
        /* No new segment can be made, or the log cannot be read: nobody can tell what became of the
         * batch. */
        atomic_store(&log->broken, true);
        cause = error;
        error_set(&error, HPO_UNKNOWN, cause.system_errno, cause.path, cause.offset, ticket->at.lsn,
                  "it is unknown whether the batch is durable; open the store again (%.150s)",
                  cause.message);
    }
    return wal_fail(log, &error);
}

int log_wait(struct log *log, const struct log_ticket *ticket)
{
    int err = wal_check_process(log);

    if (err < 0)
        return err;
    if (log->relaxed || log->read_only)
        return 0;
    return wait_and_tell(log, ticket);
}

int log_sync(struct log *log)
{
    struct error_detail error = {0};
    struct shm_published end;
    struct log_ticket ticket = {0};
    int err = wal_check_process(log);

    if (err < 0 || log->read_only)
        return err;
    /* Waited for like a batch of our own: if the log rolls meanwhile, its chain decides. */
    do {
        shm_read(log->shm, true, &end);
        err = wal_settle(log, &end, &error);
        if (err < 0)
            return wal_fail(log, &error);
        log->os->mutex_lock(log->os->self, log->mutex);
        if (log->pending_epoch == end.epoch) {
            err = reserve_locked(log);
            if (err == 0) {
                log->pending[log->pending_count++] =
                    (struct wal_pending){end.at, end.epoch, WAL_PENDING_WAITING};
                ticket = (struct log_ticket){.at = end.at, .epoch = end.epoch};
            }
        }
        log->os->mutex_unlock(log->os->self, log->mutex);
    } while (err == 0 && ticket.epoch != end.epoch);
    return err < 0 ? err : wait_and_tell(log, &ticket);
}

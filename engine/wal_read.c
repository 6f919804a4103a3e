/*
 * wal_read: catching up. The published end says how far; what lies before it is read from the
 * files, the open sector from the slot's image (W2), by one resumable reader per handle.
 *
 * A handle that only reads takes no lock. If somebody vouches for the page, it follows the page;
 * else it examines the files as recovery would, and reads up to the last whole batch. Each later
 * read asks again whether somebody has come.
 */
#include "wal_local.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define RECOVERY_PAUSE_US 1000
#define STRANGE_PAGES_MAX 100    /* READY is held, yet the page is nothing that we know */
#define RECOVERY_PAUSES_MAX 1000 /* then look at the files, whoever is stuck in its recovery */

/* ---- how far ---- */

/* The page's end if the page is whole and the one we know; else what was known last. */
static void read_page(struct log *log, struct shm *shm, struct shm_published *end, bool *whole)
{
    uint64_t before = shm_generation(shm);

    shm_read(shm, true, end);
    *whole = before % 2 == 0 && shm_generation(shm) == before;
    if (!*whole)
        return;
    log->os->mutex_lock(log->os->self, log->mutex);
    log->limit = (struct scan_limit){.segment = end->segment, .end = end->at, .tail = end->tail};
    log->limit_durable = shm_durable_lsn(shm);
    log->os->mutex_unlock(log->os->self, log->mutex);
}

/* What may be read now. *epoch is 0 if it comes from the files. */
static void read_limit(struct log *log, struct scan_limit *limit, uint32_t *epoch)
{
    struct shm *shm = atomic_load(&log->shm);
    struct shm_published end;
    bool whole = true;

    *epoch = 0;
    if (shm && log->read_only)
        read_page(log, shm, &end, &whole);
    else if (shm)
        shm_read(shm, true, &end);
    if (shm && whole) {
        *limit = (struct scan_limit){.segment = end.segment, .end = end.at, .tail = end.tail};
        *epoch = end.epoch;
        return;
    }
    log->os->mutex_lock(log->os->self, log->mutex);
    *limit = log->limit;
    log->os->mutex_unlock(log->os->self, log->mutex);
}

struct log_position log_end(struct log *log)
{
    struct shm *shm = atomic_load(&log->shm);
    struct log_position at;
    struct shm_published end;
    bool whole = true;

    if (shm) {
        uint64_t before = shm_generation(shm);

        shm_read(shm, false, &end);
        whole = !log->read_only || (before % 2 == 0 && shm_generation(shm) == before);
        if (whole)
            return end.at;
    }
    log->os->mutex_lock(log->os->self, log->mutex);
    at = log->limit.end;
    log->os->mutex_unlock(log->os->self, log->mutex);
    return at;
}

uint64_t log_durable(struct log *log)
{
    struct shm *shm = atomic_load(&log->shm);
    uint64_t durable;

    if (shm) {
        uint64_t before = shm_generation(shm);

        durable = shm_durable_lsn(shm);
        if (!log->read_only || (before % 2 == 0 && shm_generation(shm) == before))
            return durable;
    }
    log->os->mutex_lock(log->os->self, log->mutex);
    durable = log->limit_durable;
    log->os->mutex_unlock(log->os->self, log->mutex);
    return durable;
}

/* ---- handles that only read ---- */

static int somebody_there(struct log *log, enum lock_byte byte)
{
    return log->locks.file && log->os->lock_test(log->os->self, log->locks.file, byte) == 1;
}

/* Map the page if somebody vouches for it. -EPROTO: somebody does, but it is not for us. */
static int follow_if_alive(struct log *log)
{
    if (atomic_load(&log->shm) || !somebody_there(log, LOCK_READY))
        return 0;
    return wal_attach(log, false);
}

static int examine(struct log *log, const struct log_options *options, struct error_detail *error)
{
    struct recovery_options request = {.os = log->os,
                                       .store = log->store,
                                       .snapshots = options->snapshots,
                                       .snapshot_count = options->snapshot_count};
    struct recovery found;
    int err;

    memcpy(request.boot_id, log->boot_id, 16);
    err = recovery_examine(&request, &found, error);
    if (err == 0) {
        log->verdict = (uint8_t)found.verdict;
        log->limit = found.limit;
        log->limit_durable =
            found.attested.lsn < found.limit.end.lsn ? found.attested.lsn : found.limit.end.lsn;
        memset(&log->damage, 0, sizeof(log->damage));
        if (found.action == RECOVERY_REFUSE)
            log->damage = found.damage;
        if (found.verdict == RECOVERY_NO_STORE || found.verdict == RECOVERY_UNBORN)
            err = error_set(error, HPO_NOT_FOUND, 0, NULL, 0, 0, "there is no store here");
        else if (found.verdict == RECOVERY_UNSUPPORTED)
            err = error_set(error, HPO_UNSUPPORTED, 0, found.damage.path, found.damage.offset, 0,
                            "%s", found.damage.message);
        else if (found.verdict == RECOVERY_BAD_FORMAT && found.segment_count == 0)
            err = error_set(error, HPO_CORRUPT, 0, found.damage.path, found.damage.offset, 0, "%s",
                            found.damage.message);
        else
            memcpy(log->uuid, found.format.uuid, 16);
    }
    recovery_release(&found);
    return err;
}

int wal_read_begin(struct log *log, const struct log_options *options, bool follow,
                   struct error_detail *error)
{
    for (unsigned pauses = 0, strange = 0;; pauses++) {
        bool last = pauses >= RECOVERY_PAUSES_MAX;
        struct scan_limit limit;
        uint32_t epoch;
        int err;

        if (!follow)
            return examine(log, options, error);
        if (follow_if_alive(log) == -EPROTO && ++strange > STRANGE_PAGES_MAX)
            return error_set(error, HPO_UNSUPPORTED, 0, "shm", 0, 0,
                             "the store is in use by another version of libhpo");
        read_limit(log, &limit, &epoch);
        if (epoch > 0)
            return 0;
        if (somebody_there(log, LOCK_ALIVE) && options->no_wait)
            return error_set(error, HPO_BUSY, 0, "lock", LOCK_ALIVE, 0,
                             "another process is recovering the store");
        if (!somebody_there(log, LOCK_ALIVE) || last) {
            err = examine(log, options, error);
            /* Whoever came meanwhile may have been writing under our eyes: then it means nothing.
             */
            if (last || !somebody_there(log, LOCK_ALIVE))
                return err;
        }
        log->os->sleep(log->os->self, RECOVERY_PAUSE_US); /* somebody recovers */
    }
}

int log_damage(struct log *log)
{
    return log->damage.code == 0 ? 0 : wal_fail(log, &log->damage);
}

/* ---- reading ---- */

/* Between the caller and the reader: remembers how far the caller got, so that a second attempt
 * goes on there. */
struct delivery {
    log_batch_fn fn;
    void *arg;
    struct log_position at;
};

static int deliver(void *arg, const struct log_batch *batch)
{
    struct delivery *delivery = arg;

    delivery->at = batch->at;
    return delivery->fn(delivery->arg, batch);
}

/* A published batch does not verify, and nobody has said that it is durable: a failed flush took
 * its pages, and whoever flushed has not told yet, or died. Roll; what verifies is copied. Called
 * without read_mutex. */
static int mend(struct log *log, uint32_t epoch, struct error_detail *error)
{
    bool mine = wal_tail_is_mine(log);
    int err = mine ? 0 : wal_tail_take(log, error);

    if (err < 0)
        return err;
    if (log->end.epoch == epoch)
        err = wal_roll(log, SEGMENT_REASON_TAKEOVER, 0, true, false, error);
    if (!mine)
        wal_tail_free(log);
    return err;
}

static bool known_durable(struct log *log, uint32_t epoch, uint64_t lsn)
{
    struct shm *shm = atomic_load(&log->shm);
    uint64_t durable;

    /* From files alone, or in an epoch that has passed: no excuse for not verifying. */
    if (!shm || epoch == 0 || !shm_durable(shm, epoch, &durable))
        return false;
    return lsn <= durable;
}

int log_read(struct log *log, const struct log_position *from, log_batch_fn fn, void *arg)
{
    struct delivery delivery = {.fn = fn, .arg = arg, .at = *from};
    struct error_detail error = {0};
    int err = wal_check_process(log);

    if (err < 0)
        return err;
    for (int attempt = 0;; attempt++) {
        struct scan_limit limit;
        uint32_t epoch, epoch_now;

        if (log->read_only)
            (void)follow_if_alive(log);
        read_limit(log, &limit, &epoch);
        if (limit.end.lsn == delivery.at.lsn && limit.end.chain == delivery.at.chain)
            return 0;
        log->os->mutex_lock(log->os->self, log->read_mutex);
        err = scan_read(&log->scan, &delivery.at, &limit, deliver, &delivery, &error);
        log->os->mutex_unlock(log->os->self, log->read_mutex);
        if (err != HPO_CORRUPT)
            break;
        read_limit(log, &limit, &epoch_now);
        if (epoch_now == epoch) {
            if (epoch == 0 || known_durable(log, epoch, delivery.at.lsn + 1))
                break;
            if (log->read_only) {
                err =
                    0; /* whoever writes will roll; until then this is as far as the log reaches */
                break;
            }
            if (attempt > 0)
                break;
            err = mend(log, epoch, &error);
            if (err < 0)
                break;
        } else if (attempt > 8) {
            break;
        }
    }
    return err < 0 ? wal_fail(log, &error) : err;
}

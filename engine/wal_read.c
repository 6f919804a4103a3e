/*
 * wal_read: catching up. The published end says how far; what lies before it is read from the
 * files, the open sector from the slot's image (W2), by one resumable reader per handle. Handles
 * that only read have another way to learn how far: wal_reader.c.
 */
#include "wal_local.h"

#include <assert.h>
#include <string.h>

/* ---- how far ---- */

static void live_limit(const struct shm *shm, struct scan_limit *limit, uint32_t *epoch)
{
    struct shm_published end;

    shm_read(shm, true, &end);
    *limit = (struct scan_limit){.segment = end.segment, .end = end.at, .tail = end.tail};
    *epoch = end.epoch;
}

/* What may be read now. *epoch is 0 if it comes from the files. */
static void read_limit(struct log *log, struct scan_limit *limit, uint32_t *epoch)
{
    if (log->read_only)
        wal_reader_limit(log, limit, epoch);
    else
        live_limit(log->shm, limit, epoch);
}

struct log_position log_end(struct log *log)
{
    struct shm_published end;
    struct scan_limit limit;
    uint32_t epoch;

    if (log->read_only) {
        wal_reader_limit(log, &limit, &epoch);
        return limit.end;
    }
    shm_read(log->shm, false, &end);
    return end.at;
}

uint64_t log_durable(struct log *log)
{
    return log->read_only ? wal_reader_durable(log) : shm_durable_lsn(log->shm);
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

        err = log->read_only ? wal_reader_refresh(log, &error) : 0;
        if (err < 0)
            break;
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
                err = 0; /* as far as the log reaches, until whoever writes has rolled */
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

/*
 * wal: the tail of the log. Who holds APPEND may change it; whoever takes it looks first at what
 * the one before left behind.
 *
 * A batch is laid out behind the published end, from the image of the open sector that the publish
 * slot holds (W2), written with one pwrite between setting and clearing the marker, and published
 * by one switch. A process that dies in between leaves the marker; the next one rolls, and what was
 * half written stays behind in the old segment, after its successor's stated end.
 */
#include "wal_local.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define STORE_CHECK_US 1000000

/* ---- small things ---- */

int wal_fail(struct log *log, const struct error_detail *detail)
{
    *error_here() = *detail;
    if (log->error) {
        log->os->mutex_lock(log->os->self, log->mutex);
        *log->error = *detail;
        log->os->mutex_unlock(log->os->self, log->mutex);
    }
    return detail->code;
}

int wal_check_process(const struct log *log)
{
    return log->os->generation(log->os->self) == log->generation ? 0 : HPO_FORKED;
}

void wal_segment_hold(struct log *log, struct wal_segment *segment)
{
    log->os->mutex_lock(log->os->self, log->mutex);
    segment->references++;
    log->os->mutex_unlock(log->os->self, log->mutex);
}

void wal_segment_drop(struct log *log, struct wal_segment *segment)
{
    bool last;

    if (!segment)
        return;
    log->os->mutex_lock(log->os->self, log->mutex);
    assert(segment->references > 0);
    last = --segment->references == 0;
    log->os->mutex_unlock(log->os->self, log->mutex);
    if (last) {
        segment_close(log->os, &segment->segment);
        log->os->free(log->os->self, segment);
    }
}

void log_uuid(const struct log *log, uint8_t out[16])
{
    memcpy(out, log->uuid, 16);
}

/* ---- taking the tail ---- */

/* One byte per thread whose address names it: the table has no thread ids, and needs none. */
static _Thread_local char this_thread;

bool wal_tail_is_mine(const struct log *log)
{
    return atomic_load_explicit(&log->holder, memory_order_relaxed) == &this_thread;
}

/* Once a second: does our directory still hold the lock file that we locked? If somebody removed or
 * replaced the store, what we append goes to files without a name. A store that was merely renamed
 * is still itself. */
static int check_store(struct log *log, struct error_detail *error)
{
    const struct hpo_os *os = log->os;
    int64_t now = os->clock_monotonic(os->self);
    struct os_identity identity = {0, 0};
    struct os_file *file;
    int err;

    if (now - log->store_checked_us < STORE_CHECK_US)
        return 0;
    log->store_checked_us = now;
    err = os->file_open(os->self, log->store, "lock", OS_READ, OS_ROLE_LOCK, &file);
    if (err == 0) {
        err = os->file_identity(os->self, file, &identity);
        os->file_close(os->self, file);
    }
    if (err == 0 && identity.device == log->lock_identity.device &&
        identity.inode == log->lock_identity.inode)
        return 0;
    if (err < 0 && err != -ENOENT)
        return 0; /* no descriptor left, say: no proof of anything */
    atomic_store(&log->broken, true);
    return error_set(
        error, HPO_UNKNOWN, -err, "lock", 0, 0,
        "the store's directory was removed or replaced while it was open; open it again");
}

int wal_segment_open_current(struct log *log, struct error_detail *error)
{
    struct wal_segment *fresh;
    int err;

    if (log->segment && log->segment->segment.header.epoch == log->end.epoch)
        return 0;
    fresh = log->os->alloc(log->os->self, sizeof(*fresh));
    if (!fresh)
        return error_set(error, HPO_NOMEM, 0, NULL, 0, 0, "no memory");
    memset(fresh, 0, sizeof(*fresh));
    fresh->references = 1;
    err =
        segment_open(log->os, log->wal, log->end.segment, log->uuid, true, &fresh->segment, error);
    if (err < 0) {
        log->os->free(log->os->self, fresh);
        return err;
    }
    if (fresh->segment.header.epoch != log->end.epoch) {
        err = error_set(error, HPO_CORRUPT, 0, fresh->segment.path, 0, log->end.at.lsn,
                        "the segment in use was replaced: it bears epoch %u, expected %u",
                        (unsigned)fresh->segment.header.epoch, (unsigned)log->end.epoch);
        wal_segment_drop(log, fresh);
        return err;
    }
    wal_segment_drop(log, log->segment);
    log->segment = fresh;
    atomic_store(&log->segment_bytes, fresh->segment.header.bytes);
    return 0;
}

/* Look around, as every holder of APPEND must, until there is nothing left to put right. */
static int look_around(struct log *log, struct error_detail *error)
{
    for (;;) {
        enum segment_reason reason;
        int err;

        shm_read(log->shm, true, &log->end);
        err = wal_segment_open_current(log, error);
        if (err == 0)
            err = wal_settle(log, &log->end, error);
        if (err < 0)
            return err;
        if (shm_marker(log->shm) != SHM_MARK_NONE)
            reason = SEGMENT_REASON_TAKEOVER;
        else if (shm_flush_state(log->shm, log->end.epoch) == SHM_FLUSH_FAILED)
            reason = SEGMENT_REASON_SYNC_FAILED;
        else
            return 0;
        err = wal_roll(log, reason, 0, true, false, error);
        if (err < 0)
            return err;
    }
}

int wal_tail_take(struct log *log, struct error_detail *error)
{
    int err;

    if (log->read_only)
        return error_set(error, HPO_READONLY, 0, NULL, 0, 0, "the store was opened for reading");
    if (atomic_load(&log->broken))
        return error_set(error, HPO_UNKNOWN, 0, NULL, 0, 0,
                         "this handle can write no more; open the store again");
    assert(!wal_tail_is_mine(log));
    err = locks_append(&log->locks);
    if (err < 0)
        return error_set(error, error_from_errno(err), -err, "lock", LOCK_APPEND, 0,
                         "cannot lock the tail of the log");
    atomic_store_explicit(&log->holder, &this_thread, memory_order_relaxed);
    err = check_store(log, error);
    if (err == 0)
        err = look_around(log, error);
    if (err < 0)
        wal_tail_free(log);
    return err;
}

void wal_tail_free(struct log *log)
{
    assert(wal_tail_is_mine(log));
    atomic_store_explicit(&log->holder, NULL, memory_order_relaxed);
    locks_append_free(&log->locks);
}

int log_lock(struct log *log)
{
    struct error_detail error = {0};
    int err = wal_check_process(log);

    if (err < 0)
        return err;
    /* Somebody was refused for want of space: perhaps there is some again. */
    if (!log->read_only && wal_space_low(log))
        wal_space_retry(log);
    err = wal_tail_take(log, &error);
    return err < 0 ? wal_fail(log, &error) : 0;
}

void log_unlock(struct log *log)
{
    if (wal_check_process(log) < 0)
        return;
    wal_tail_free(log);
    wal_prepare(log);
}

/* ---- appending ---- */

/* Pages that this write dirties: all it touches, but not the one that is dirty since the write
 * before. Under APPEND. */
static uint64_t pages_dirtied(struct shm *shm, const struct sector_write *write)
{
    uint64_t first = write->offset / 4096, last = (write->offset + write->size - 1) / 4096;
    uint64_t before = atomic_load_explicit(&shm->dirty_page, memory_order_relaxed);

    atomic_store_explicit(&shm->dirty_page, last + 1, memory_order_relaxed);
    return last - first + (first + 1 == before ? 0 : 1);
}

/* Write what was laid out and publish it. On failure the marker stays: the bytes behind the end are
 * unknown. */
static int write_and_publish(struct log *log, const struct sector_write *write,
                             const struct log_position *at, uint32_t batch_bytes,
                             struct error_detail *error)
{
    const struct hpo_os *os = log->os;
    struct shm *shm = log->shm;
    struct shm_published next = {
        .epoch = log->end.epoch, .segment = log->end.segment, .at = *at, .tail = write->tail};
    int err;

    assert(write->offset >= log->end.tail.offset); /* W3: what is sealed lies before */
    assert(write->offset + write->size <= log->segment->segment.header.bytes);
    shm_mark(shm, SHM_MARK_APPEND);
    os->point(os->self, "append.marked");
    err = segment_write(os, &log->segment->segment, write, error);
    if (err < 0)
        return err;
    os->point(os->self, "append.written");
    shm_publish(shm, &next);
    os->point(os->self, "append.published");
    shm_mark(shm, SHM_MARK_NONE);
    log->end = next;
    shm_count(shm, SHM_BATCHES, 1);
    shm_count(shm, SHM_BATCH_BYTES, batch_bytes);
    shm_count(shm, SHM_LOG_WRITES, 1);
    shm_count(shm, SHM_LOG_WRITE_BYTES, write->size);
    shm_count(shm, SHM_LOG_SECTORS, write->size / SECTOR_SIZE);
    shm_count(shm, SHM_LOG_PAGES, pages_dirtied(shm, write));
    return 0;
}

/* Lay out the batch at the end, rolling once if the segment has no room for it. */
static int lay_out(struct log *log, const uint8_t *header, const uint8_t *records, size_t size,
                   bool last_reserve, struct sector_write *write, struct error_detail *error)
{
    for (int attempt = 0;; attempt++) {
        const struct segment_header *segment = &log->segment->segment.header;
        uint64_t durable = segment->end.lsn;
        int err;

        (void)shm_durable(log->shm, log->end.epoch, &durable);
        err = sector_append(log->os, &log->buffer, &log->end.tail, segment->salt, segment->bytes,
                            durable, header, records, size, write);
        if (err < 0)
            return error_set(error, err, 0, NULL, 0, 0, "no memory for an append of %zu bytes",
                             size);
        if (err != SECTOR_FULL)
            return 0;
        assert(attempt == 0); /* the roll made room */
        err = wal_roll(log, SEGMENT_REASON_FULL, BATCH_HEADER_SIZE + size, last_reserve, false,
                       error);
        if (err < 0)
            return err;
    }
}

static bool same_position(const struct log_position *a, const struct log_position *b)
{
    return a->lsn == b->lsn && a->chain == b->chain;
}

int log_append(struct log *log, uint64_t session, uint32_t sequence, const uint8_t *records,
               size_t size, uint16_t record_count, bool last_reserve, struct log_ticket *out)
{
    struct error_detail error = {0};
    struct batch_header header = {
        .session = session, .sequence = sequence, .record_count = record_count};
    struct log_position previous, at;
    struct sector_write write;
    uint8_t bytes[BATCH_HEADER_SIZE];
    int err = wal_check_process(log);

    if (err < 0)
        return err;
    assert(wal_tail_is_mine(log));
    previous = log->end.at;
    if (!last_reserve && wal_space_low(log)) {
        error_set(&error, HPO_NOSPACE, 0, NULL, 0, 0,
                  "the disk is full: trials in progress may finish, new ones may not begin");
        return wal_fail(log, &error);
    }
    err = batch_header_encode(bytes, &header, &previous, records, size);
    if (err < 0) {
        error_set(&error, err, 0, NULL, 0, 0, "a batch of %zu bytes cannot be appended", size);
        return wal_fail(log, &error);
    }
    at = (struct log_position){header.lsn, header.chain};
    err = wal_pending_reserve(log);
    if (err < 0) {
        error_set(&error, err, 0, NULL, 0, 0, "no memory");
        return wal_fail(log, &error);
    }
    for (int attempt = 0;; attempt++) {
        err = lay_out(log, bytes, records, size, last_reserve, &write, &error);
        if (err < 0)
            return wal_fail(log, &error);
        if (!same_position(&previous, &log->end.at)) {
            /* A roll found less than what the caller has folded. Its batch would follow something
             * else. */
            error_set(&error, HPO_NOT_WRITTEN, 0, NULL, 0, log->end.at.lsn,
                      "the log lost what was not yet durable; nothing was appended");
            return wal_fail(log, &error);
        }
        err = write_and_publish(log, &write, &at, header.length, &error);
        if (err == 0)
            break;
        /* What reached the file is unknown, so the place is never used again: a new segment, then
         * once more. */
        if (attempt > 0 ||
            wal_roll(log, SEGMENT_REASON_TAKEOVER, header.length, last_reserve, false, NULL) < 0)
            return wal_fail(log, &error);
    }
    wal_pending_add(log, &at);
    *out = (struct log_ticket){
        .at = at, .session = header.session, .sequence = header.sequence, .epoch = log->end.epoch};
    return 0;
}

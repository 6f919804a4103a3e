/*
 * roll: the one way to a new segment, whatever the reason: the old one is full, its writer died
 * inside an append, a flush failed, a leader hangs, or recovery found a torn tail.
 *
 * Nothing ever depends on syncing an old file again, and nothing that is half written is ever
 * appended to. The new segment states where its predecessor ends (the durable LSN and its chain),
 * carries a copy of the batches behind that end which still verify, and is synced whole before it
 * gets its name. What lay in the old segment behind the stated end is dead from then on, whatever a
 * crash brings back.
 *
 * Order, and what a death after each step leaves to the next one:
 *   marker set                 whoever comes next rolls
 *   zeroed file -> .new        the same; the file is swept
 *   header, copies, sync       the same
 *   rename to the name         the next roll renames over it, or recovery goes on in it
 *   directory synced           the same
 *   published in one switch    the new epoch, perhaps without its words: see stated_end
 *   flush and durable words    one more roll, because of the marker
 *   attest written, synced     the same
 *   marker clear, all woken    nothing
 */
#include "wal_local.h"

#include <assert.h>
#include <string.h>

/* What a roll takes over from the segment it leaves. */
struct plan {
    struct log_position stated; /* the predecessor's end: durable */
    struct log_position last;   /* of what is copied; = stated if nothing is */
    uint64_t stream_bytes;      /* of the batches between them */
    uint64_t batches;
};

/* The durable LSN of the epoch that ends. If the durable word bears another epoch, the roller that
 * began this epoch died between publishing it and setting the words. Then everything published is
 * synced, and nobody has appended since (the marker is set). */
static uint64_t stated_end(const struct log *log)
{
    uint64_t durable;

    if (shm_durable(log->shm, log->end.epoch, &durable))
        return durable;
    assert(shm_marker(log->shm) != SHM_MARK_NONE);
    return log->end.at.lsn;
}

static void scan_start(struct log *log, struct segment_scan *scan, bool other_boot)
{
    struct scan_bound bound = {
        .lsn_last = log->end.at.lsn, .tail = &log->end.tail, .other_boot = other_boot};

    segment_scan_start(scan, log->os, &log->segment->segment, &bound);
}

/* First walk: where the stated end's chain is, and what verifies behind it. */
static int make_plan(struct log *log, bool other_boot, struct plan *plan,
                     struct error_detail *error)
{
    const struct segment_header *header = &log->segment->segment.header;
    uint64_t stated = stated_end(log);
    struct segment_scan scan = {0};
    struct log_batch batch;
    int err;

    assert(stated <= log->end.at.lsn); /* W4 */
    assert(stated >= header->end.lsn);
    memset(plan, 0, sizeof(*plan));
    plan->stated = plan->last = header->end;
    scan_start(log, &scan, other_boot);
    while ((err = segment_scan_next(&scan, &batch, error)) == 1) {
        plan->last = batch.at;
        if (batch.at.lsn <= stated) {
            plan->stated = batch.at;
        } else {
            plan->stream_bytes += BATCH_HEADER_SIZE + batch.records_size;
            plan->batches++;
        }
    }
    if (err == 0 && plan->stated.lsn < stated)
        err = error_set(error, HPO_CORRUPT, 0, log->segment->segment.path, scan.stop_offset,
                        plan->last.lsn + 1,
                        "durable data is damaged: batches %llu to %llu do not verify; run hpo-fsck",
                        (unsigned long long)plan->last.lsn + 1, (unsigned long long)stated);
    segment_scan_release(&scan);
    return err;
}

/* Second walk: the batches unchanged, in sectors that attest the stated end. SECTOR_FULL if the
 * file is too small. */
static int copy_batches(struct log *log, bool other_boot, const struct plan *plan,
                        struct segment *to, struct sector_tail *tail, struct error_detail *error)
{
    struct log_position previous = plan->stated;
    struct segment_scan scan = {0};
    struct log_batch batch;
    int err;

    scan_start(log, &scan, other_boot);
    while ((err = segment_scan_next(&scan, &batch, error)) == 1) {
        if (batch.at.lsn <= plan->stated.lsn)
            continue;
        err = segment_append_batch(log->os, to, &log->buffer, tail, plan->stated.lsn, &previous,
                                   &batch, error);
        if (err != 0)
            break;
        previous = batch.at;
        if (previous.lsn == plan->last.lsn)
            break;
    }
    segment_scan_release(&scan);
    if (err == 0 && previous.lsn != plan->last.lsn)
        err = error_set(error, HPO_IO, 0, log->segment->segment.path, scan.stop_offset,
                        previous.lsn + 1, "the log changed while it was copied");
    return err == 1 ? 0 : err;
}

static uint64_t wanted_bytes(const struct log *log, enum segment_reason reason)
{
    uint64_t present = log->segment->segment.header.bytes;

    /* Only a full segment is a reason to grow: a store that is killed a thousand times must stay
     * small. */
    if (reason == SEGMENT_REASON_FULL)
        return wal_next_segment_bytes(log, present);
    return present < log->segment_bytes_max ? present : log->segment_bytes_max;
}

static int fill_header(struct log *log, enum segment_reason reason, const struct plan *plan,
                       uint64_t bytes, struct segment_header *header)
{
    memset(header, 0, sizeof(*header));
    format_features_current(&header->features);
    memcpy(header->uuid, log->uuid, 16);
    memcpy(header->boot_id, log->boot_id, 16);
    header->number = log->end.segment + 1;
    header->epoch = log->end.epoch + 1;
    header->first_lsn = plan->stated.lsn + 1;
    header->end = plan->stated;
    header->bytes = bytes;
    header->reason = reason;
    header->created_us = log->os->clock_real(log->os->self);
    return 0;
}

/* Make the new segment's file up to, but without, its name. */
static int build(struct log *log, enum segment_reason reason,
                 const struct wal_zero_request *request, bool other_boot, const struct plan *plan,
                 struct segment *fresh, struct sector_tail *tail, char temporary[SEGMENT_NAME_SIZE],
                 struct error_detail *error)
{
    struct segment_header header;
    char zero[SEGMENT_NAME_SIZE];
    uint64_t bytes;
    int err = wal_zero_take(log, request, zero, &bytes, error);

    if (err < 0)
        return err;
    fill_header(log, reason, plan, bytes, &header);
    err = segment_begin(log->os, log->wal, zero, &header, fresh, temporary, error);
    if (err < 0)
        return err;
    segment_tail_start(tail);
    if (plan->batches > 0)
        err = copy_batches(log, other_boot, plan, fresh, tail, error);
    assert(err != SECTOR_FULL); /* `minimum` counts a sector's end for every batch */
    if (err != 0)
        segment_abandon(log->os, log->wal, fresh, temporary);
    return err;
}

static void count_roll(struct shm *shm, enum segment_reason reason, const struct plan *plan)
{
    static const enum shm_counter counters[] = {
        [SEGMENT_REASON_FULL] = SHM_ROLLS_FULL,
        [SEGMENT_REASON_RECOVERY] = SHM_ROLLS_RECOVERY,
        [SEGMENT_REASON_SYNC_FAILED] = SHM_ROLLS_SYNC_FAILED,
        [SEGMENT_REASON_TAKEOVER] = SHM_ROLLS_TAKEOVER,
    };

    shm_count(shm, SHM_ROLLS, 1);
    shm_count(shm, counters[reason], 1);
    shm_count(shm, SHM_BATCHES_COPIED, plan->batches);
}

/* The new segment has its name for good: switch. Failing here leaves the marker, so that somebody
 * rolls once more. */
static int publish(struct log *log, struct wal_segment *fresh, const struct log_position *last,
                   const struct sector_tail *tail, struct error_detail *error)
{
    const struct hpo_os *os = log->os;
    struct shm *shm = log->shm;
    const struct segment_header *header = &fresh->segment.header;
    int err;

    log->end = (struct shm_published){
        .epoch = header->epoch, .segment = header->number, .at = *last, .tail = *tail};
    wal_segment_drop(log, log->segment);
    log->segment = fresh;
    atomic_store(&log->segment_bytes, header->bytes);
    shm_publish(shm, &log->end);
    atomic_store_explicit(&shm->dirty_page, 0, memory_order_relaxed);
    os->point(os->self, "roll.published");
    shm_epoch_begin(shm, header->epoch, last->lsn);
    os->point(os->self, "roll.begun");
    err = wal_attest(log, header->epoch, last, true, error);
    if (err < 0)
        return err;
    os->point(os->self, "roll.attested");
    shm_mark(shm, SHM_MARK_NONE);
    return 0;
}

int wal_roll(struct log *log, enum segment_reason reason, uint64_t stream_bytes, bool last_reserve,
             bool other_boot, struct error_detail *error)
{
    const struct hpo_os *os = log->os;
    struct shm *shm = log->shm;
    bool marked_before = shm_marker(shm) != SHM_MARK_NONE;
    bool renamed = false;
    char temporary[SEGMENT_NAME_SIZE];
    struct wal_zero_request request;
    struct wal_segment *fresh;
    struct sector_tail tail;
    struct plan plan;
    int err;

    shm_mark(shm, SHM_MARK_ROLL);
    os->point(os->self, "roll.marked");
    fresh = os->alloc(os->self, sizeof(*fresh));
    if (!fresh) {
        err = error_set(error, HPO_NOMEM, 0, NULL, 0, 0, "no memory");
        goto unmark;
    }
    memset(fresh, 0, sizeof(*fresh));
    fresh->references = 1;
    err = make_plan(log, other_boot, &plan, error);
    if (err < 0)
        goto free_fresh;
    request = (struct wal_zero_request){
        .wanted = wanted_bytes(log, reason),
        /* Each copied batch may leave the rest of a sector unused, if its words do not go with the
           mask. */
        .minimum = segment_bytes_for(SEGMENT_BYTES_MIN, plan.stream_bytes +
                                                            plan.batches * SECTOR_PAYLOAD_SIZE +
                                                            sector_bytes_for(stream_bytes)),
        .any_size = reason == SEGMENT_REASON_SYNC_FAILED || reason == SEGMENT_REASON_TAKEOVER,
        .last_reserve = last_reserve};
    err = build(log, reason, &request, other_boot, &plan, &fresh->segment, &tail, temporary, error);
    if (err < 0)
        goto free_fresh;
    sector_seal(&tail);
    os->point(os->self, "roll.copied");
    err = segment_commit(os, log->wal, &fresh->segment, temporary, &renamed, error);
    if (err < 0 && !renamed) {
        segment_abandon(os, log->wal, &fresh->segment, temporary);
        goto free_fresh;
    }
    if (err < 0) { /* W5: the marker stays */
        segment_close(os, &fresh->segment);
        os->free(os->self, fresh);
        goto wake;
    }
    count_roll(shm, reason, &plan);
    err = publish(log, fresh, &plan.last, &tail, error);
    if (err == 0 && reason == SEGMENT_REASON_TAKEOVER)
        wal_sweep(log); /* somebody died, perhaps with a file half made */
    if (err == 0)
        err = wal_settle(log, &log->end, error); /* W6: the caller may append next */
    goto wake;

free_fresh:
    os->free(os->self, fresh);
unmark:
    if (!marked_before)
        shm_mark(shm, SHM_MARK_NONE);
wake:
    shm_wake(os, shm);
    return err;
}

int wal_first_segment(struct log *log, struct error_detail *error)
{
    const struct hpo_os *os = log->os;
    struct segment segment;
    struct segment_header header;
    struct attest_slot slot = {
        .state = ATTEST_GOOD, .at = {0, batch_chain_start(log->uuid)}, .epoch = 1};
    char zero[SEGMENT_NAME_SIZE], temporary[SEGMENT_NAME_SIZE];
    bool renamed;
    int err = segment_zero_create(os, log->wal, log->segment_bytes_first, zero, error);

    if (err < 0)
        return err;
    memset(&header, 0, sizeof(header));
    format_features_current(&header.features);
    memcpy(header.uuid, log->uuid, 16);
    memcpy(header.boot_id, log->boot_id, 16);
    header.number = header.epoch = 1;
    header.first_lsn = 1;
    header.end = slot.at;
    header.bytes = log->segment_bytes_first;
    header.reason = SEGMENT_REASON_FIRST;
    header.created_us = os->clock_real(os->self);
    err = segment_begin(os, log->wal, zero, &header, &segment, temporary, error);
    if (err < 0)
        return err;
    err = segment_commit(os, log->wal, &segment, temporary, &renamed, error);
    if (err < 0 && !renamed)
        segment_abandon(os, log->wal, &segment, temporary);
    else
        segment_close(os, &segment);
    if (err < 0)
        return err;
    err = attest_write(os, log->attest, log->uuid, 0, &slot, error);
    if (err < 0)
        return err;
    err = os->file_sync_data(os->self, log->attest);
    return err < 0 ? error_set(error, error_from_errno(err), -err, "attest", 0, 0, "cannot sync")
                   : 0;
}

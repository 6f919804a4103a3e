/*
 * repair: see repair.h. One idea: a repair is a roll, so the crash that hits it finds the old store
 * or the new one.
 */
#include "repair.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hpo.h"
#include "locks.h"

struct repair {
    const struct hpo_os *os;
    struct os_dir *store, *wal, *quarantine;
    struct error_detail *error;
    struct recovery found;
    struct segment old, fresh;
    struct segment_scan scan;
    struct sector_buffer buffer;
    uint32_t epoch; /* of the new segment */
    uint64_t copied_bytes, copied_batches;
};

static int system_error(const struct repair *r, int negative_errno, const char *path,
                        const char *what)
{
    return error_set(r->error, error_from_errno(negative_errno), -negative_errno, path, 0, 0,
                     "cannot %s", what);
}

/* Nobody else may be in the store, and nobody may come. */
static int take_locks(const struct hpo_os *os, struct os_dir *store, struct locks *locks,
                      struct error_detail *error)
{
    int err = locks_open(locks, os, store, true);

    if (err < 0)
        return error_set(error, error_from_errno(err), -err, "lock", 0, 0, "cannot open it");
    err = os->lock(os->self, locks->file, LOCK_ADMIN, OS_LOCK_EXCLUSIVE, false);
    if (err == 0)
        err = locks_join(locks, true);
    if (err == LOCKS_ALONE)
        return 0;
    locks_close(locks);
    if (err == LOCKS_JOINED || err == -EAGAIN || err == -EBUSY)
        return error_set(error, HPO_BUSY, 0, "lock", 0, 0,
                         "the store is in use; it can be repaired when nobody writes to it");
    return error_set(error, error_from_errno(err), -err, "lock", 0, 0, "cannot lock the store");
}

/* Names in quarantine are <segment>-<epoch>.wal, 8 hexadecimal digits each. */
static int note_epoch(void *arg, const char *name)
{
    struct repair *r = arg;
    unsigned segment, epoch;
    int length = 0;

    if (sscanf(name, "%8x-%8x.wal%n", &segment, &epoch, &length) == 2 &&
        (size_t)length == strlen(name) && epoch > r->epoch)
        r->epoch = epoch;
    return 0;
}

/* Q3, and the second name of the old segment. The directory is made durable before the roll. */
static int put_in_quarantine(struct repair *r, struct repair_result *out)
{
    const struct hpo_os *os = r->os;
    char name[SEGMENT_NAME_SIZE], second[48];
    int err = os->dir_create_at(os->self, r->store, "quarantine");

    if (err < 0 && err != -EEXIST)
        return system_error(r, err, "quarantine", "make the directory");
    err = os->dir_open_at(os->self, r->store, "quarantine", &r->quarantine);
    if (err == 0)
        err = os->dir_list(os->self, r->quarantine, note_epoch, r);
    if (err < 0)
        return system_error(r, err, "quarantine", "list it");
    segment_file_name(r->old.header.number, name);
    (void)snprintf(second, sizeof(second), "%08x-%08x.wal", (unsigned)r->old.header.number,
                   (unsigned)r->old.header.epoch);
    err = os->name_link(os->self, r->wal, name, r->quarantine, second);
    if (err == -EPERM || err == -EOPNOTSUPP || err == -EMLINK || err == -ENOSYS)
        return 0; /* no links here; the segment stays where it is, as after every roll */
    if (err < 0 && err != -EEXIST)
        return system_error(r, err, "quarantine", "keep the damaged segment there");
    (void)snprintf(out->quarantine, sizeof(out->quarantine), "quarantine/%s", second);
    err = os->dir_sync(os->self, r->quarantine);
    if (err == 0)
        err = os->dir_sync(os->self, r->store);
    return err < 0 ? system_error(r, err, "quarantine", "sync it") : 0;
}

/* Walk through H+1 .. p of the old segment; with a tail, copy into the new one. */
static int walk(struct repair *r, struct sector_tail *tail)
{
    const struct recovery *found = &r->found;
    const struct scan_bound bound = {.lsn_last = found->limit.end.lsn,
                                     .other_boot = found->limit.other_boot};
    struct log_position previous = found->attested;
    struct log_batch batch;
    int got;

    segment_scan_start(&r->scan, r->os, &r->old, &bound);
    while ((got = segment_scan_next(&r->scan, &batch, r->error)) > 0) {
        if (batch.at.lsn <= found->attested.lsn)
            continue;
        if (!tail) {
            r->copied_batches++;
            r->copied_bytes += BATCH_HEADER_SIZE + batch.records_size;
            continue;
        }
        got = segment_append_batch(r->os, &r->fresh, &r->buffer, tail, found->attested.lsn,
                                   &previous, &batch, r->error);
        if (got != 0)
            return got < 0 ? got : HPO_NOSPACE;
        previous = batch.at;
    }
    if (got < 0)
        return got;
    if (r->scan.at.lsn != found->limit.end.lsn || r->scan.at.chain != found->limit.end.chain)
        return error_set(r->error, HPO_IO, 0, r->old.path, r->scan.place.offset, r->scan.at.lsn + 1,
                         "the segment changed while it was being copied");
    return 0;
}

static void fill_header(const struct repair *r, struct segment_header *header)
{
    const struct segment_header *old = &r->old.header;

    *header = (struct segment_header){
        .number = old->number + 1,
        .epoch = r->epoch + 1,
        .first_lsn = r->found.attested.lsn + 1,
        .end = r->found.attested,
        /* A copied batch may leave the rest of a sector unused, if its words do not go with the
         * mask. */
        .bytes = segment_bytes_for(old->bytes,
                                   r->copied_bytes + r->copied_batches * SECTOR_PAYLOAD_SIZE),
        .reason = SEGMENT_REASON_REPAIR,
        .created_us = r->os->clock_real(r->os->self),
    };
    format_features_current(&header->features);
    memcpy(header->uuid, old->uuid, 16);
    (void)r->os->boot_id(r->os->self, header->boot_id);
}

static int roll(struct repair *r)
{
    char zero[SEGMENT_NAME_SIZE], temporary[SEGMENT_NAME_SIZE];
    struct segment_header header;
    struct sector_tail tail;
    bool renamed = false;
    int err;

    err = walk(r, NULL);
    if (err < 0)
        return err;
    fill_header(r, &header);
    err = segment_zero_create(r->os, r->wal, header.bytes, zero, r->error);
    if (err < 0)
        return err;
    err = segment_begin(r->os, r->wal, zero, &header, &r->fresh, temporary, r->error);
    if (err < 0)
        return err;
    segment_tail_start(&tail);
    err = walk(r, &tail);
    if (err == 0)
        err = segment_commit(r->os, r->wal, &r->fresh, temporary, &renamed, r->error);
    if (err < 0 && !renamed)
        segment_abandon(r->os, r->wal, &r->fresh, temporary);
    return err;
}

/* What was copied is durable now; a lost or torn slot costs nothing. */
static int attest(struct repair *r)
{
    const struct attest_slot slot = {
        .state = ATTEST_GOOD, .at = r->found.limit.end, .epoch = r->epoch + 1};
    struct os_file *file;
    int err = r->os->file_open(r->os->self, r->store, "attest", OS_WRITE | OS_CREATE,
                               OS_ROLE_ATTEST, &file);

    if (err < 0)
        return system_error(r, err, "attest", "open it");
    err = attest_write(r->os, file, r->found.format.uuid, attest_next(&r->found.attest), &slot,
                       r->error);
    if (err == 0) {
        err = r->os->file_sync_data(r->os->self, file);
        if (err < 0)
            err = system_error(r, err, "attest", "sync it");
    }
    r->os->file_close(r->os->self, file);
    return err;
}

static int repair(struct repair *r, struct repair_result *out)
{
    const struct recovery *found = &r->found;
    const uint64_t *after = found->after_count;
    int err;

    assert(found->attested.lsn <= found->limit.end.lsn); /* Q1 */
    r->epoch = found->epoch_max;
    err = r->os->dir_open_at(r->os->self, r->store, "wal", &r->wal);
    if (err == 0)
        err = r->os->dir_sync(r->os->self, r->wal); /* nothing is built on a name that may vanish */
    if (err < 0)
        return system_error(r, err, "wal", "open and sync it");
    err = segment_open(r->os, r->wal, found->limit.segment, found->format.uuid, false, &r->old,
                       r->error);
    if (err == 0)
        err = put_in_quarantine(r, out);
    if (err == 0)
        err = roll(r);
    if (err == 0)
        err = attest(r);
    if (err < 0)
        return err;
    out->end = found->limit.end;
    out->segment = r->fresh.header.number;
    out->sectors_damaged = after[SECTOR_FOREIGN];
    out->sectors_whole = after[SECTOR_VALID] + after[SECTOR_OUTRUN];
    out->sectors_given_up = out->sectors_damaged + out->sectors_whole + after[SECTOR_TORN];
    return 0;
}

int repair_tail(const struct hpo_os *os, struct os_dir *store, const struct log_snapshot *snapshots,
                size_t snapshot_count, struct repair_result *out, struct error_detail *error)
{
    struct recovery_options options = {
        .os = os, .store = store, .snapshots = snapshots, .snapshot_count = snapshot_count};
    struct repair r = {.os = os, .store = store, .error = error};
    struct locks locks;
    int err = take_locks(os, store, &locks, error);

    *out = (struct repair_result){0};
    if (err < 0)
        return err;
    err = os->boot_id(os->self, options.boot_id);
    if (err < 0) {
        err = system_error(&r, err, NULL, "tell the boot id");
        goto unlock;
    }
    err = recovery_examine(&options, &r.found, error);
    if (err == 0 && r.found.verdict != RECOVERY_CORRUPT_TAIL)
        err = REPAIR_NOTHING;
    if (err == 0 && r.found.read_only_features)
        err = error_set(error, HPO_UNSUPPORTED, 0, "FORMAT", 0, 0,
                        "made by a newer libhpo; this one may only read it");
    if (err == 0)
        err = repair(&r, out);
    segment_scan_release(&r.scan);
    sector_buffer_release(os, &r.buffer);
    segment_close(os, &r.fresh);
    segment_close(os, &r.old);
    if (r.quarantine)
        os->dir_close(os->self, r.quarantine);
    if (r.wal)
        os->dir_close(os->self, r.wal);
    recovery_release(&r.found);
unlock:
    locks_close(&locks);
    return err;
}

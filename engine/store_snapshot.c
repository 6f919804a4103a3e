/*
 * store_snapshot: when a handle reads a saved state, and when it writes one.
 *
 * Who crosses the threshold after a commit writes it, if nobody else is at it. The state must be
 * durable up to where it stands: it may hold batches of others that nobody has flushed yet, so the
 * log is flushed first. Other processes go on meanwhile; threads of this handle wait, once per
 * doubling or so of the log.
 */
#include "store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BATCH_OVERHEAD 40 /* a batch's own header */

/* -- reading -- */

static void quarantine(void *arg, const struct snapshot_entry *entry, int code,
                       const struct error_detail *error)
{
    struct hpo_store *store = arg;
    const struct hpo_os *os = store->os;
    struct os_dir *dir, *quarantine_dir;

    (void)error;
    if (store->read_only || code != HPO_CORRUPT)
        return;
    if (os->dir_open(os->self, store->path, &dir) < 0)
        return;
    (void)os->dir_create_at(os->self, dir, "quarantine");
    if (os->dir_open_at(os->self, dir, "quarantine", &quarantine_dir) == 0) {
        (void)os->name_rename(os->self, store->snap_dir, entry->name, quarantine_dir, entry->name);
        os->dir_close(os->self, quarantine_dir);
    }
    os->dir_close(os->self, dir);
}

int store_snapshot_find(struct hpo_store *store, uint64_t at_most, struct state **out,
                        struct snapshot_entry *entry)
{
    int err;

    *out = NULL;
    if (!store->snap_dir)
        return 0;
    err = snapshot_open_newest(store->os, store->snap_dir, store->uuid, at_most, quarantine, store,
                               out, entry, error_here());
    if (err == HPO_NOMEM)
        return err;
    if (err < 0) {
        *out = NULL; /* none, or the directory cannot be read: replay */
        return 0;
    }
    store->snapshot_lsn = entry->lsn;
    store->snapshot_bytes = entry->bytes;
    store->snapshot_sized = true;
    return 0;
}

/* -- knowing when -- */

void store_snapshot_account(struct hpo_store *store, const struct log_batch *batch)
{
    struct record record;
    size_t used;

    store->tail_bytes += batch->records_size + BATCH_OVERHEAD;
    /* A batch of its own, whoever wrote it; its first record's type is its fifth byte. */
    if (batch->record_count != 1 || batch->records_size < 8 ||
        batch->records[4] != RECORD_SNAPSHOT_DONE)
        return;
    record_scratch_reset(&store->scratch);
    if (record_decode(batch->records, batch->records_size, &store->scratch, &record, &used) < 0 ||
        record.type != RECORD_SNAPSHOT_DONE || record.snapshot_done.lsn <= store->snapshot_lsn)
        return;
    store->snapshot_lsn = record.snapshot_done.lsn;
    store->snapshot_sized = false;
    store->tail_bytes = 0;
}

/* The newest snapshot's size: the threshold grows with it. */
static void measure(struct hpo_store *store)
{
    struct snapshot_list list = {.os = store->os};

    store->snapshot_bytes = 0;
    store->snapshot_sized = true;
    if (snapshot_list_read(&list, store->snap_dir, NULL) == 0 && list.count > 0)
        store->snapshot_bytes = list.entries[0].bytes;
    snapshot_list_release(&list);
}

/* -- writing -- */

/* The directory is made by whoever writes the first snapshot: a small store needs none. */
static int make_dir(struct hpo_store *store)
{
    const struct hpo_os *os = store->os;
    struct os_dir *dir;
    int err;

    if (store->snap_dir)
        return 0;
    err = os->dir_open(os->self, store->path, &dir);
    if (err < 0)
        return error_set(error_here(), error_from_errno(err), -err, store->path, 0, 0,
                         "the store cannot be opened");
    err = os->dir_create_at(os->self, dir, "snap");
    if (err == 0 || err == -EEXIST)
        err = os->dir_open_at(os->self, dir, "snap", &store->snap_dir);
    if (err == 0)
        err = os->dir_sync(os->self, dir);
    os->dir_close(os->self, dir);
    return err < 0 ? error_set(error_here(), error_from_errno(err), -err, "snap", 0, 0,
                               "the directory for snapshots cannot be made")
                   : 0;
}

/* SNAPSHOT_DONE: for people, for fsck, and for the others' thresholds. */
static int note_done(struct hpo_store *store, const struct log_position *at,
                     const uint8_t digest[16])
{
    struct record record = {.type = RECORD_SNAPSHOT_DONE};
    struct log_ticket ticket;
    int err;

    err = tail_begin(store, TAIL_BEGIN);
    if (err < 0)
        return err;
    record.snapshot_done.lsn = at->lsn;
    record.snapshot_done.chain = at->chain;
    memcpy(record.snapshot_done.digest, digest, sizeof(record.snapshot_done.digest));
    err = tail_record(store, &record);
    if (err == 0)
        err = tail_append(store, TAIL_BEGIN, &ticket);
    tail_end(store);
    return err;
}

/* SNAPSHOT is held. Unless `wanted`, only if one is still due: whoever held SNAPSHOT before may
 * have written it. */
static int write_snapshot(struct hpo_store *store, bool wanted)
{
    struct snapshot_entry entry;
    struct log_position at;
    uint8_t digest[16];
    int err;

    err = store_catch_up(store);
    if (err < 0 || (!wanted && !snapshot_due(store->tail_bytes, store->snapshot_bytes)))
        return err;
    err = log_sync(store->log);
    if (err < 0)
        return err;
    /* A flush that failed for some of what we folded says so by the chain: fold before believing.
     */
    err = store_catch_up(store);
    if (err < 0)
        return err;
    at = state_position(store->state);
    if (at.lsn > log_durable(store->log)) { /* others were quick */
        err = log_sync(store->log);
        if (err < 0)
            return err;
    }
    err = state_digest(store->state, digest);
    if (err < 0)
        return err;
    err = snapshot_write(store->os, store->snap_dir, store->state, &entry, error_here());
    if (err < 0)
        return err;
    (void)snapshot_sweep(store->os, store->snap_dir, NULL);
    store->snapshot_lsn = entry.lsn;
    store->snapshot_bytes = entry.bytes;
    store->snapshot_sized = true;
    store->tail_bytes = 0;
    return note_done(store, &at, digest);
}

void store_snapshot_consider(struct hpo_store *store)
{
    struct error_detail before;

    if (store->read_only || store->damage.code != 0 || !snapshot_due(store->tail_bytes, 0))
        return;
    before = *error_here();
    if (make_dir(store) < 0) { /* a device without files, or one that is full */
        store->tail_bytes = 0;
        goto out;
    }
    if (!store->snapshot_sized)
        measure(store);
    if (snapshot_due(store->tail_bytes, store->snapshot_bytes) &&
        log_snapshot_try(store->log) == 0) {
        if (write_snapshot(store, false) < 0)
            store->tail_bytes = 0; /* a cache that cannot be written now: try again later */
        log_snapshot_free(store->log);
    }

out:
    *error_here() = before;
}

int hpo_snapshot(struct hpo_store *store)
{
    int err;

    if (!store)
        return HPO_INVALID;
    if (store->read_only)
        return call_refuse(store, HPO_READONLY, "the store was opened for reading only");
    err = call_begin(store);
    if (err < 0)
        return err;
    err = make_dir(store);
    if (err == 0)
        err = log_snapshot_try(store->log);
    if (err == 0) {
        err = write_snapshot(store, true);
        log_snapshot_free(store->log);
    } else if (err == HPO_BUSY) {
        err = call_error(HPO_BUSY, "somebody else is writing a snapshot");
    }
    return call_end(store, err);
}

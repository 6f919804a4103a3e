/*
 * snapshot_write: from a state to a file.
 *
 * Nobody can see the file while LMDB loads it, so there are no locks and no syncs inside;
 * afterwards sync, hash, rename, sync the directory (N1). A crash before the rename leaves a file
 * that no reader looks at.
 */
#include "snapshot_local.h"

#include <assert.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>

#include "hpo.h"

#define COMMIT_BYTES (32u << 20) /* LMDB keeps what is not committed in its own memory */
#define NODE_OVERHEAD 64u        /* of a small value: node, key, index, and its share of branches */
#define PAGE_SIZE_MAX 65536u
#define MAP_SIZE_MIN (1u << 20)

struct writing {
    const struct hpo_os *os;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    size_t pending; /* bytes since the last commit */
    int result;     /* of LMDB */
};

static int measure(void *arg, const struct item *item)
{
    uint64_t *size = arg;

    *size += item->size + NODE_OVERHEAD;
    if (item->size > 1024)
        *size += PAGE_SIZE_MAX; /* it may get pages of its own */
    return 0;
}

static int begin(struct writing *writing)
{
    writing->pending = 0;
    writing->result = mdb_txn_begin(writing->env, NULL, 0, &writing->txn);
    if (writing->result == 0)
        writing->result = mdb_dbi_open(writing->txn, NULL, 0, &writing->dbi);
    return writing->result;
}

static int commit(struct writing *writing)
{
    writing->result = mdb_txn_commit(writing->txn);
    writing->txn = NULL;
    return writing->result;
}

/* Result 1 ends the walk: LMDB's own is in writing->result. */
static int put(void *arg, const struct item *item)
{
    struct writing *writing = arg;
    uint8_t bytes[SNAPSHOT_KEY_SIZE];
    MDB_val key = {.mv_size = sizeof(bytes), .mv_data = bytes};
    MDB_val value = {.mv_size = item->size, .mv_data = (void *)(uintptr_t)item->data};

    assert(item->size % 8 == 0);
    snapshot_key_encode(bytes, item);
    writing->result = mdb_put(writing->txn, writing->dbi, &key, &value, MDB_APPEND);
    if (writing->result != 0)
        return 1;
    writing->pending += item->size;
    if (writing->pending < COMMIT_BYTES)
        return 0;
    return commit(writing) != 0 || begin(writing) != 0;
}

static int put_all(struct writing *writing, struct state *state)
{
    struct snapshot_meta meta = {.at = state->at};
    uint8_t bytes[SNAPSHOT_META_SIZE];
    struct item item = {.kind = ITEM_META, .data = bytes, .size = sizeof(bytes)};
    int err;

    memcpy(meta.uuid, state->uuid, sizeof(meta.uuid));
    err = state_digest(state, meta.digest);
    if (err < 0)
        return err;
    snapshot_meta_encode(bytes, &meta);
    if (begin(writing) != 0 || put(writing, &item) != 0)
        return 1;
    err = state_items(state, true, put, writing);
    return err == 0 ? commit(writing) != 0 : err;
}

/* Load the file at `path`. 0, HPO_NOMEM, HPO_NOSPACE, HPO_IO. */
static int build(const struct hpo_os *os, const char *path, struct state *state)
{
    struct writing writing = {.os = os};
    uint64_t size = MAP_SIZE_MIN;
    int err;

    err = state_items(state, true, measure, &size);
    if (err < 0)
        return err;
    writing.result = mdb_env_create(&writing.env);
    if (writing.result == 0)
        writing.result = mdb_env_set_mapsize(writing.env, size + size / 2);
    if (writing.result == 0)
        writing.result =
            mdb_env_open(writing.env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0666);
    err = writing.result == 0 ? put_all(&writing, state) : 1;
    if (writing.txn)
        mdb_txn_abort(writing.txn);
    if (writing.env)
        mdb_env_close(writing.env);
    return err > 0 ? snapshot_lmdb_error(writing.result) : err;
}

static int temporary_name(const struct hpo_os *os, char name[24])
{
    uint64_t random;
    int err = os->entropy(os->self, &random, sizeof(random));

    if (err == 0)
        (void)snprintf(name, 24, "%016llx.new", (unsigned long long)random);
    return err;
}

/* Sync and hash the file; what LMDB wrote reaches the disk through our own descriptor of it. */
static int seal(const struct hpo_os *os, struct os_dir *dir, const char *name,
                struct snapshot_entry *entry, struct error_detail *error)
{
    struct os_file *file;
    int err;

    err = os->file_open(os->self, dir, name, OS_READ | OS_WRITE, OS_ROLE_SNAP, &file);
    if (err < 0)
        return error_set(error, error_from_errno(err), -err, name, 0, entry->lsn,
                         "the new snapshot cannot be opened");
    os->point(os->self, "snapshot.built");
    err = os->file_sync_all(os->self, file);
    if (err < 0)
        err = error_set(error, error_from_errno(err), -err, name, 0, entry->lsn,
                        "the new snapshot cannot be synced");
    if (err == 0)
        err = snapshot_hash_file(os, file, name, entry->hash, &entry->bytes, error);
    os->file_close(os->self, file);
    return err;
}

static int publish(const struct hpo_os *os, struct os_dir *dir, const char *name,
                   struct snapshot_entry *entry, struct error_detail *error)
{
    int err;

    snapshot_name(entry->name, entry->lsn, entry->hash);
    os->point(os->self, "snapshot.synced");
    err = os->name_rename(os->self, dir, name, dir, entry->name);
    if (err < 0)
        return error_set(error, error_from_errno(err), -err, name, 0, entry->lsn,
                         "the new snapshot cannot be renamed");
    os->point(os->self, "snapshot.renamed");
    err = os->dir_sync(os->self, dir);
    if (err < 0)
        return error_set(error, error_from_errno(err), -err, "snap", 0, entry->lsn,
                         "the directory of snapshots cannot be synced");
    return 0;
}

int snapshot_write(const struct hpo_os *os, struct os_dir *dir, struct state *state,
                   struct snapshot_entry *out, struct error_detail *error)
{
    struct snapshot_entry entry = {.lsn = state->at.lsn};
    char name[24], *path;
    int err, returned;

    assert(!state->failed);
    err = temporary_name(os, name);
    if (err == 0)
        err = os->borrow(os->self, dir, name, true, &path);
    if (err < 0)
        return error_set(error, error_from_errno(err), -err, "snap", 0, entry.lsn,
                         "a new snapshot cannot be made");
    err = build(os, path, state);
    returned = os->give_back(os->self, dir, name, true, path);
    if (err == 0 && returned < 0)
        err = error_from_errno(returned);
    if (err < 0) {
        (void)error_set(error, err, 0, name, 0, entry.lsn, "a new snapshot cannot be written");
        goto remove;
    }
    err = seal(os, dir, name, &entry, error);
    if (err == 0)
        err = publish(os, dir, name, &entry, error);
    if (err < 0)
        goto remove;
    if (out)
        *out = entry;
    return 0;

remove: /* best effort: no reader looks at it, and the next sweep takes it. If it was renamed, it is
           whole */
    (void)os->name_unlink(os->self, dir, name);
    return err;
}

/*
 * snapshot_read: from a file to a state.
 *
 * Order matters (N3): the hash of the whole file first, through our own reads; only then LMDB maps
 * it. LMDB 0.9 has no checksums and follows what it finds. Then one walk over the keys; ended
 * trials are not copied, the state points into the map and owns it.
 */
#include "snapshot_local.h"

#include <assert.h>
#include <lmdb.h>
#include <string.h>

#include "hpo.h"

/* What a state read from a snapshot holds on to. */
struct snapshot_map {
    const struct hpo_os *os;
    MDB_env *env;
    MDB_txn *txn; /* pages are valid as long as it is open */
};

static void map_close(void *backing)
{
    struct snapshot_map *map = backing;

    if (map->txn)
        mdb_txn_abort(map->txn);
    if (map->env)
        mdb_env_close(map->env);
    map->os->free(map->os->self, map);
}

struct reading {
    const struct hpo_os *os;
    struct os_dir *dir;
    const struct snapshot_entry *entry;
    const uint8_t *uuid;
    uint64_t bytes;
    struct error_detail *error;
};

static int bad(const struct reading *reading, int code, const char *what)
{
    return error_set(reading->error, code, 0, reading->entry->name, 0, reading->entry->lsn, "%s",
                     what);
}

static int check_hash(struct reading *reading)
{
    const struct hpo_os *os = reading->os;
    struct os_file *file;
    uint8_t hash[16];
    int err;

    err = os->file_open(os->self, reading->dir, reading->entry->name, OS_READ, OS_ROLE_SNAP, &file);
    if (err < 0)
        return error_set(reading->error, error_from_errno(err), -err, reading->entry->name, 0,
                         reading->entry->lsn, "the snapshot cannot be opened");
    err = snapshot_hash_file(os, file, reading->entry->name, hash, &reading->bytes, reading->error);
    os->file_close(os->self, file);
    if (err < 0)
        return err;
    return memcmp(hash, reading->entry->hash, sizeof(hash)) == 0
               ? 0
               : bad(reading, HPO_CORRUPT,
                     "the snapshot's bytes do not match the hash in its name");
}

static int open_env(struct reading *reading, struct snapshot_map *map)
{
    const struct hpo_os *os = reading->os;
    char *path;
    int err, result;

    err = os->borrow(os->self, reading->dir, reading->entry->name, false, &path);
    if (err < 0)
        return error_set(reading->error, error_from_errno(err), -err, reading->entry->name, 0,
                         reading->entry->lsn, "the snapshot cannot be opened");
    result = mdb_env_create(&map->env);
    if (result == 0)
        result =
            mdb_env_open(map->env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0);
    if (result == 0)
        result = mdb_txn_begin(map->env, NULL, MDB_RDONLY, &map->txn);
    err = os->give_back(os->self, reading->dir, reading->entry->name, false,
                        path); /* it is mapped now */
    if (result != 0)
        return bad(reading, snapshot_lmdb_error(result), mdb_strerror(result));
    return err < 0 ? bad(reading, error_from_errno(err), "the snapshot cannot be given back") : 0;
}

static int read_meta(struct reading *reading, MDB_cursor *cursor, struct snapshot_meta *meta)
{
    MDB_val key, value;
    struct item item;
    int result = mdb_cursor_get(cursor, &key, &value, MDB_FIRST), err;

    if (result != 0)
        return bad(reading, snapshot_lmdb_error(result), "the snapshot is empty");
    if (!snapshot_key_decode(key.mv_data, key.mv_size, &item) || item.kind != ITEM_META)
        return bad(reading, HPO_CORRUPT, "not a snapshot of a state");
    err = snapshot_meta_decode(value.mv_data, value.mv_size, meta);
    if (err < 0)
        return bad(reading, err, "the snapshot was written by another version");
    if (memcmp(meta->uuid, reading->uuid, sizeof(meta->uuid)) != 0)
        return bad(reading, HPO_CORRUPT, "the snapshot belongs to another store");
    return meta->at.lsn == reading->entry->lsn
               ? 0
               : bad(reading, HPO_CORRUPT, "the snapshot's LSN is not that of its name");
}

/* The values lie on multiples of 8: keys have 16 bytes and values whole words, in LMDB's own
 * layout. If another LMDB lays them out otherwise, they are copied. */
static int load_value(struct load *load, const struct hpo_os *os, struct item *item)
{
    uint8_t *copy;
    int err;

    if (((uintptr_t)item->data & 7) == 0) {
        load->stays = true;
        return load_item(load, item);
    }
    copy = os->alloc(os->self, item->size + 1);
    if (!copy)
        return error_set(load->error, HPO_NOMEM, 0, NULL, 0, 0, "no memory");
    memcpy(copy, item->data, item->size);
    item->data = copy;
    load->stays = false;
    err = load_item(load, item);
    os->free(os->self, copy);
    return err;
}

static int read_items(struct reading *reading, MDB_cursor *cursor, struct state *state)
{
    struct load load = {.state = state, .limit = reading->bytes, .error = reading->error};
    MDB_val key, value;
    int result, err;

    while ((result = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        struct item item = {.data = value.mv_data, .size = value.mv_size};

        if (!snapshot_key_decode(key.mv_data, key.mv_size, &item))
            return bad(reading, HPO_CORRUPT, "a key of a wrong size");
        err = load_value(&load, reading->os, &item);
        if (err < 0)
            return err;
    }
    if (result != MDB_NOTFOUND)
        return bad(reading, snapshot_lmdb_error(result), mdb_strerror(result));
    return load_end(&load);
}

/* A state with room for what comes: ids grow by one at a time, so there are at most as many as
 * entries. */
static int read_state(struct reading *reading, MDB_txn *txn, struct state *state)
{
    struct snapshot_meta meta;
    MDB_cursor *cursor = NULL;
    uint8_t digest[16];
    MDB_stat stat;
    MDB_dbi dbi;
    int result, err;

    result = mdb_dbi_open(txn, NULL, 0, &dbi);
    if (result == 0)
        result = mdb_stat(txn, dbi, &stat);
    if (result == 0)
        result = mdb_cursor_open(txn, dbi, &cursor);
    if (result != 0)
        return bad(reading, snapshot_lmdb_error(result), mdb_strerror(result));
    err = read_meta(reading, cursor, &meta);
    if (err == 0 && stat.ms_entries < reading->bytes / 16)
        err = map_reserve(&state->trials_by_id, stat.ms_entries);
    if (err == 0)
        err = read_items(reading, cursor, state);
    mdb_cursor_close(cursor);
    if (err == 0)
        err = state_digest(state, digest);
    if (err < 0)
        return err;
    if (state->at.lsn != meta.at.lsn || memcmp(digest, meta.digest, sizeof(digest)) != 0)
        return bad(reading, HPO_CORRUPT,
                   "the snapshot's content does not have the digest that it states");
    state->at.chain = meta.at.chain;
    return 0;
}

int snapshot_open(const struct hpo_os *os, struct os_dir *dir, const struct snapshot_entry *entry,
                  const uint8_t uuid[16], struct state **out, struct error_detail *error)
{
    struct reading reading = {.os = os, .dir = dir, .entry = entry, .uuid = uuid, .error = error};
    struct snapshot_map *map;
    struct state *state;
    int err;

    err = check_hash(&reading);
    if (err < 0)
        return err;
    err = state_new(os, uuid, &state);
    if (err < 0)
        return bad(&reading, err, "no memory");
    map = state_alloc(os, sizeof(*map));
    if (!map) {
        err = bad(&reading, HPO_NOMEM, "no memory");
        goto fail;
    }
    map->os = os;
    state->backing = map;
    state->backing_free = map_close;
    err = open_env(&reading, map);
    if (err == 0)
        err = read_state(&reading, map->txn, state);
    if (err < 0)
        goto fail;
    *out = state;
    return 0;

fail:
    state_free(state);
    if (error && !error->path[0])
        (void)error_set(error, err, 0, entry->name, 0, entry->lsn, "%s",
                        err == HPO_NOMEM ? "no memory" : "the snapshot is damaged");
    return err;
}

int snapshot_open_newest(const struct hpo_os *os, struct os_dir *dir, const uint8_t uuid[16],
                         uint64_t at_most, snapshot_bad_fn bad_fn, void *arg, struct state **out,
                         struct snapshot_entry *entry, struct error_detail *error)
{
    struct snapshot_list list = {.os = os};
    int err = snapshot_list_read(&list, dir, error);

    if (err < 0)
        goto out;
    err = HPO_NOT_FOUND;
    for (size_t i = 0; i < list.count && err < 0 && err != HPO_NOMEM; i++) {
        struct error_detail detail = {0};

        if (list.entries[i].lsn > at_most)
            continue;
        err = snapshot_open(os, dir, &list.entries[i], uuid, out, &detail);
        if (err == 0 && entry)
            *entry = list.entries[i];
        else if (err < 0 && err != HPO_NOMEM && bad_fn)
            bad_fn(arg, &list.entries[i], err, &detail);
    }
    if (err < 0 && err != HPO_NOMEM)
        err = HPO_NOT_FOUND;
    if (err < 0)
        (void)error_set(error, err, 0, "snap", 0, 0,
                        err == HPO_NOMEM ? "no memory" : "no usable snapshot");

out:
    snapshot_list_release(&list);
    return err;
}

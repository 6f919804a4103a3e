/*
 * snapshot: names, lists and sweeping; see snapshot.h. Reading and writing have files of their
 * own.
 */
#include "snapshot_local.h"

#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>

#include "codec.h"
#include "hpo.h"
#include "snapshot_hash.h"

#define READ_SIZE (1u << 18)
#define TAIL_BYTES_MIN (1u << 20)
#define META_MAGIC 0x0a1a70616e736f70u /* "posnap\x1a\n" */
#define META_VERSION 1u

/* -- names -- */

void snapshot_name(char name[SNAPSHOT_NAME_SIZE], uint64_t lsn, const uint8_t hash[16])
{
    int at = snprintf(name, SNAPSHOT_NAME_SIZE, "%016llx-", (unsigned long long)lsn);

    for (unsigned i = 0; i < 16; i++)
        at += snprintf(name + at, SNAPSHOT_NAME_SIZE - (size_t)at, "%02x", hash[i]);
    (void)snprintf(name + at, SNAPSHOT_NAME_SIZE - (size_t)at, ".mdb");
}

static bool hex_digits(const char *text, unsigned count, uint64_t *value)
{
    *value = 0;
    for (unsigned i = 0; i < count; i++) {
        char c = text[i];
        unsigned digit;

        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a') + 10;
        else
            return false;
        *value = *value << 4 | digit;
    }
    return true;
}

static bool name_parse(const char *name, struct snapshot_entry *entry)
{
    uint64_t byte;

    *entry = (struct snapshot_entry){0};
    if (strlen(name) != SNAPSHOT_NAME_SIZE - 1 || !hex_digits(name, 16, &entry->lsn) ||
        name[16] != '-' || strcmp(name + 49, ".mdb") != 0)
        return false;
    for (unsigned i = 0; i < 16; i++) {
        if (!hex_digits(name + 17 + 2 * i, 2, &byte))
            return false;
        entry->hash[i] = (uint8_t)byte;
    }
    memcpy(entry->name, name, SNAPSHOT_NAME_SIZE);
    return true;
}

/* What a writer that died leaves: <16 hex>.new */
static bool name_is_new(const char *name)
{
    uint64_t value;

    return strlen(name) == 20 && hex_digits(name, 16, &value) && strcmp(name + 16, ".new") == 0;
}

/* -- keys and the first value -- */

static void store_big(uint8_t *to, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        to[i] = (uint8_t)(value >> (56 - 8 * i));
}

static uint64_t load_big(const uint8_t *from)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < 8; i++)
        value = value << 8 | from[i];
    return value;
}

void snapshot_key_encode(uint8_t to[SNAPSHOT_KEY_SIZE], const struct item *item)
{
    store_big(to, (uint64_t)item->kind << 56 | item->study);
    store_big(to + 8, item->ordinal);
}

bool snapshot_key_decode(const void *key, size_t size, struct item *item)
{
    const uint8_t *bytes = key;

    if (size != SNAPSHOT_KEY_SIZE)
        return false;
    item->kind = bytes[0];
    item->study = load_big(bytes) & ((1ull << 56) - 1);
    item->ordinal = load_big(bytes + 8);
    return true;
}

void snapshot_meta_encode(uint8_t to[SNAPSHOT_META_SIZE], const struct snapshot_meta *meta)
{
    codec_store_u64(to, META_MAGIC);
    codec_store_u32(to + 8, META_VERSION);
    codec_store_u32(to + 12, 0);
    memcpy(to + 16, meta->uuid, 16);
    codec_store_u64(to + 32, meta->at.lsn);
    codec_store_u64(to + 40, meta->at.chain);
    memcpy(to + 48, meta->digest, 16);
}

int snapshot_meta_decode(const uint8_t *bytes, size_t size, struct snapshot_meta *meta)
{
    if (size < 16 || codec_load_u64(bytes) != META_MAGIC)
        return HPO_CORRUPT;
    if (codec_load_u32(bytes + 8) != META_VERSION)
        return HPO_UNSUPPORTED;
    if (size != SNAPSHOT_META_SIZE || codec_load_u32(bytes + 12) != 0)
        return HPO_CORRUPT;
    memcpy(meta->uuid, bytes + 16, 16);
    meta->at.lsn = codec_load_u64(bytes + 32);
    meta->at.chain = codec_load_u64(bytes + 40);
    memcpy(meta->digest, bytes + 48, 16);
    return 0;
}

int snapshot_lmdb_error(int result)
{
    switch (result) {
    case 0:
        return 0;
    case ENOMEM:
        return HPO_NOMEM;
    case MDB_VERSION_MISMATCH: /* the file's hash is right, so another LMDB wrote it */
    case MDB_INVALID:
        return HPO_UNSUPPORTED;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_NOTFOUND:
        return HPO_CORRUPT;
    default:
        return result > 0 ? error_from_errno(-result) : HPO_IO;
    }
}

/* -- hashing -- */

struct file_pieces {
    const struct hpo_os *os;
    struct os_file *file;
    uint8_t *buffer;
    uint64_t at;
};

static int64_t next_piece(void *arg, const void **piece)
{
    struct file_pieces *pieces = arg;
    int64_t n = pieces->os->file_pread(pieces->os->self, pieces->file, pieces->buffer, READ_SIZE,
                                       pieces->at);

    if (n > 0)
        pieces->at += (uint64_t)n;
    *piece = pieces->buffer;
    return n;
}

int snapshot_hash_file(const struct hpo_os *os, struct os_file *file, const char *name,
                       uint8_t hash[16], uint64_t *bytes, struct error_detail *error)
{
    struct file_pieces pieces = {.os = os, .file = file};
    struct hash128 value;
    int err;

    pieces.buffer = os->alloc(os->self, READ_SIZE);
    if (!pieces.buffer)
        return error_set(error, HPO_NOMEM, 0, name, 0, 0, "no memory");
    err = hash128_pieces(next_piece, &pieces, &value);
    os->free(os->self, pieces.buffer);
    if (err < 0)
        return error_set(error, error_from_errno(err), -err, name, pieces.at, 0,
                         "the snapshot cannot be read");
    store_big(hash, value.high);
    store_big(hash + 8, value.low);
    *bytes = pieces.at;
    return 0;
}

/* -- the list -- */

struct listing {
    struct snapshot_list *list;
    int err;
};

/* Newest first; of one LSN in order of hash, so that every process takes the same one. */
static bool entry_before(const struct snapshot_entry *a, const struct snapshot_entry *b)
{
    return a->lsn != b->lsn ? a->lsn > b->lsn : memcmp(a->hash, b->hash, sizeof(a->hash)) < 0;
}

static int list_add(void *arg, const char *name)
{
    struct listing *listing = arg;
    struct snapshot_list *list = listing->list;
    struct snapshot_entry entry;
    size_t at = list->count;

    if (!name_parse(name, &entry))
        return 0;
    listing->err = list_reserve(list->os, &list->entries, &list->capacity, list->count + 1);
    if (listing->err < 0)
        return 1;
    while (at > 0 && entry_before(&entry, &list->entries[at - 1]))
        at--;
    list_open(list->entries, list->count, at, sizeof(*list->entries));
    list->entries[at] = entry;
    list->count++;
    return 0;
}

/* 0 for a file that has gone meanwhile: opening it will tell. */
static uint64_t size_of(const struct hpo_os *os, struct os_dir *dir, const char *name)
{
    struct os_file *file;
    uint64_t size = 0;

    if (os->file_open(os->self, dir, name, OS_READ, OS_ROLE_SNAP, &file) < 0)
        return 0;
    if (os->file_size(os->self, file, &size) < 0)
        size = 0;
    os->file_close(os->self, file);
    return size;
}

int snapshot_list_read(struct snapshot_list *list, struct os_dir *dir, struct error_detail *error)
{
    struct listing listing = {.list = list};
    int err;

    list->count = 0;
    err = list->os->dir_list(list->os->self, dir, list_add, &listing);
    if (listing.err < 0)
        return error_set(error, listing.err, 0, "snap", 0, 0, "no memory");
    if (err < 0)
        return error_set(error, error_from_errno(err), -err, "snap", 0, 0,
                         "the snapshots cannot be listed");
    for (size_t i = 0; i < list->count; i++)
        list->entries[i].bytes = size_of(list->os, dir, list->entries[i].name);
    return 0;
}

void snapshot_list_release(struct snapshot_list *list)
{
    if (list->entries)
        list->os->free(list->os->self, list->entries);
    list->entries = NULL;
    list->count = list->capacity = 0;
}

/* -- sweeping -- */

#define NEW_NAMES_MAX 64u

struct new_names {
    char names[NEW_NAMES_MAX][24];
    size_t count;
};

static int new_add(void *arg, const char *name)
{
    struct new_names *names = arg;

    if (!name_is_new(name))
        return 0;
    (void)snprintf(names->names[names->count++], sizeof(names->names[0]), "%s", name);
    return names->count == NEW_NAMES_MAX; /* the rest next time */
}

static int remove_name(const struct hpo_os *os, struct os_dir *dir, const char *name,
                       struct error_detail *error)
{
    int err = os->name_unlink(os->self, dir, name);

    if (err == 0 || err == -ENOENT)
        return 0;
    return error_set(error, error_from_errno(err), -err, name, 0, 0,
                     "an old snapshot cannot be removed");
}

int snapshot_sweep(const struct hpo_os *os, struct os_dir *dir, struct error_detail *error)
{
    struct snapshot_list list = {.os = os};
    struct new_names names = {.count = 0};
    int err, first = 0;

    err = snapshot_list_read(&list, dir, error);
    if (err < 0)
        goto out;
    (void)os->dir_list(os->self, dir, new_add, &names);
    for (size_t i = 0; i < names.count; i++) {
        err = remove_name(os, dir, names.names[i], error);
        first = first < 0 ? first : err;
    }
    for (size_t i = SNAPSHOT_GENERATIONS; i < list.count; i++) {
        err = remove_name(os, dir, list.entries[i].name, error);
        first = first < 0 ? first : err;
    }
    err = first;

out:
    snapshot_list_release(&list);
    return err;
}

bool snapshot_due(uint64_t tail_bytes, uint64_t snapshot_bytes)
{
    uint64_t quarter = snapshot_bytes / 4;

    return tail_bytes > (quarter > TAIL_BYTES_MIN ? quarter : TAIL_BYTES_MIN);
}

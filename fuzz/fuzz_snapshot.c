/*
 * fuzz_snapshot: a snapshot whose file is sound and whose content is not.
 *
 * Input: one byte of choices, then items: kind u8 (+ 128: a key of its own length and bytes), study
 * u8, ordinal u16, size u16, value. They are written with LMDB, the file is named by its hash as
 * the engine does, and opened. LMDB's own pages are never changed: LMDB 0.9 follows whatever it
 * finds there, which is why the file's hash is looked at first. Chains of ended trials and the
 * digest are made right if chosen, else nothing would get past them.
 *
 * Oracles: opening fails with a reason, or the state checks, has the digest that the file states,
 * can be read all over, and comes back from a snapshot of its own; no allocation above 16 times the
 * file.
 */
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec.h"
#include "fuzz.h"
#include "hpo.h"
#include "snapshot_local.h"

#define ITEMS_MAX 256u
#define VALUES_MAX (64u << 10)

enum { CHOOSE_DIGEST = 1, CHOOSE_CHAINS = 2, CHOOSE_META = 4 };

static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

struct entry {
    uint8_t key[32];
    size_t key_size;
    struct item item; /* kind ITEM_META and study 1 if the key is none of ours */
    uint8_t *value;
    size_t order;
};

struct content {
    struct entry entries[ITEMS_MAX];
    size_t count;
    _Alignas(8) uint8_t values[VALUES_MAX + 8 * ITEMS_MAX];
};

static char directory[256];
static struct os_dir *dir;
static volatile uint64_t read_sum; /* so that reading is not left out */

static void clean(void)
{
    os_linux()->dir_close(os_linux()->self, dir);
    (void)rmdir(directory);
}

static void prepare(void)
{
    const char *base = getenv("TMPDIR");

    if (dir)
        return;
    (void)snprintf(directory, sizeof(directory), "%s/hpo-fuzz-XXXXXX", base ? base : "/tmp");
    FUZZ_REQUIRE(mkdtemp(directory), "mkdtemp");
    FUZZ_REQUIRE(os_linux()->dir_open(os_linux()->self, directory, &dir) == 0, "dir_open");
    (void)atexit(clean);
}

/* -- from bytes to items -- */

static int by_key(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    size_t n = x->key_size < y->key_size ? x->key_size : y->key_size;
    int order = memcmp(x->key, y->key, n);

    if (order == 0)
        order = (x->key_size > y->key_size) - (x->key_size < y->key_size);
    return order ? order : (x->order > y->order) - (x->order < y->order);
}

static void read_key(struct fuzz_input *in, struct entry *entry)
{
    uint8_t kind = fuzz_u8(in);
    const uint8_t *bytes;

    if (kind & 128) {
        bytes = fuzz_bytes(in, 1 + kind % 32, &entry->key_size);
        memcpy(entry->key, bytes, entry->key_size);
        if (entry->key_size == 0)
            entry->key[entry->key_size++] = 0;
        if (!snapshot_key_decode(entry->key, entry->key_size, &entry->item))
            entry->item = (struct item){.kind = ITEM_META, .study = 1};
        return;
    }
    entry->item.kind = kind;
    entry->item.study = fuzz_u8(in);
    entry->item.ordinal = fuzz_u16(in);
    entry->key_size = SNAPSHOT_KEY_SIZE;
    snapshot_key_encode(entry->key, &entry->item);
}

static void read_items(struct fuzz_input *in, struct content *content)
{
    size_t used = 0, kept = 0;

    while (fuzz_more(in) && content->count < ITEMS_MAX) {
        struct entry *entry = &content->entries[content->count];
        const uint8_t *bytes;
        size_t size, got;

        read_key(in, entry);
        size = fuzz_u16(in);
        if (used + size > VALUES_MAX)
            break;
        bytes = fuzz_bytes(in, size, &got);
        entry->value = content->values + used;
        if (got)
            memcpy(entry->value, bytes, got);
        entry->item.data = entry->value;
        entry->item.size = size;
        entry->order = content->count++;
        used += (size + 7) & ~(size_t)7;
    }
    qsort(content->entries, content->count, sizeof(content->entries[0]), by_key);
    for (size_t i = 0; i < content->count; i++) { /* of equal keys the last one stays */
        const struct entry *next = &content->entries[i + 1];

        if (i + 1 < content->count && next->key_size == content->entries[i].key_size &&
            memcmp(next->key, content->entries[i].key, next->key_size) == 0)
            continue;
        content->entries[kept++] = content->entries[i];
    }
    content->count = kept;
}

/* -- making it right (docs/format.md, "Snapshots") -- */

static void mend_chain(const struct content *content, uint64_t study, uint8_t kind, uint8_t to[24])
{
    struct hash128 chain = {0, 0};
    uint64_t count = 0;

    for (size_t i = 0; i < content->count; i++) {
        const struct item *item = &content->entries[i].item;
        uint8_t bytes[32];
        struct hash128 of;

        if (item->kind != kind || item->study != study)
            continue;
        of = hash128(item->data, item->size);
        codec_store_u64(bytes, chain.low);
        codec_store_u64(bytes + 8, chain.high);
        codec_store_u64(bytes + 16, of.low);
        codec_store_u64(bytes + 24, of.high);
        chain = hash128(bytes, sizeof(bytes));
        count++;
    }
    codec_store_u64(to, count);
    codec_store_u64(to + 8, chain.low);
    codec_store_u64(to + 16, chain.high);
}

static bool in_digest(const struct item *item)
{
    return item->kind != ITEM_META && item->kind != ITEM_ENDED && item->kind != ITEM_ATTEMPT;
}

static void mend(struct content *content, uint8_t choice)
{
    struct hash128 digest = {0, 0};
    struct entry *meta = content->count ? &content->entries[0] : NULL;

    for (size_t i = 0; i < content->count; i++) {
        const struct entry *entry = &content->entries[i];

        if ((choice & CHOOSE_CHAINS) && entry->item.kind == ITEM_STUDY && entry->item.size >= 72) {
            mend_chain(content, entry->item.study, ITEM_ENDED, entry->value + 24);
            mend_chain(content, entry->item.study, ITEM_ATTEMPT, entry->value + 48);
        }
        if (in_digest(&entry->item))
            item_digest(&digest, &entry->item);
    }
    if (!meta || meta->item.kind != ITEM_META || meta->item.size != SNAPSHOT_META_SIZE)
        return;
    if (choice & CHOOSE_META) {
        struct snapshot_meta right = {.at = {.lsn = codec_load_u64(meta->value + 32), .chain = 9}};

        memcpy(right.uuid, uuid, 16);
        snapshot_meta_encode(meta->value, &right);
    }
    if (choice & CHOOSE_DIGEST) {
        for (unsigned i = 0; i < 8; i++) {
            meta->value[48 + i] = (uint8_t)(digest.high >> (56 - 8 * i));
            meta->value[56 + i] = (uint8_t)(digest.low >> (56 - 8 * i));
        }
    }
}

/* -- the file -- */

static void write_file(const struct content *content, const char *path)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    FUZZ_REQUIRE(mdb_env_create(&env) == 0 && mdb_env_set_mapsize(env, 4u << 20) == 0 &&
                     mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0600) == 0 &&
                     mdb_txn_begin(env, NULL, 0, &txn) == 0 &&
                     mdb_dbi_open(txn, NULL, 0, &dbi) == 0,
                 "LMDB");
    for (size_t i = 0; i < content->count; i++) {
        const struct entry *entry = &content->entries[i];
        MDB_val key = {entry->key_size, (void *)(uintptr_t)entry->key};
        MDB_val value = {entry->item.size, entry->value};

        FUZZ_REQUIRE(mdb_put(txn, dbi, &key, &value, 0) == 0, "mdb_put");
    }
    FUZZ_REQUIRE(mdb_txn_commit(txn) == 0, "mdb_txn_commit");
    mdb_env_close(env);
}

static void give_name(const char *path, struct snapshot_entry *entry)
{
    struct os_file *file;
    char to[512];

    FUZZ_REQUIRE(
        os_linux()->file_open(os_linux()->self, dir, "made", OS_READ, OS_ROLE_SNAP, &file) == 0,
        "file_open");
    FUZZ_REQUIRE(snapshot_hash_file(os_linux(), file, "made", entry->hash, &entry->bytes, NULL) ==
                     0,
                 "snapshot_hash_file");
    os_linux()->file_close(os_linux()->self, file);
    snapshot_name(entry->name, entry->lsn, entry->hash);
    (void)snprintf(to, sizeof(to), "%s/%s", directory, entry->name);
    FUZZ_REQUIRE(rename(path, to) == 0, "rename");
}

static void remove_file(const struct snapshot_entry *entry)
{
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/%s", directory, entry->name);
    (void)unlink(path);
}

/* -- what was opened -- */

static uint64_t read_trial(const struct state_trial *trial)
{
    uint64_t sum = trial->id + trial->number + state_trial_note(trial).size;

    for (uint32_t i = 0; i < trial->objective_count; i++)
        sum += trial->objectives[i] != 0;
    for (uint32_t i = 0; i < trial->value_count; i++)
        sum += trial->values[i].lsn;
    for (uint32_t i = 0; i < trial->report_count; i++)
        sum += trial->reports[i].lsn;
    for (uint32_t i = 0; i < trial->decision_count; i++) {
        struct bytes note = state_decision_note(trial, i);

        sum += note.size ? note.data[note.size - 1] : 0;
    }
    for (uint32_t i = 0; i < trial->attr_count; i++) {
        struct bytes key = state_attr_key(trial, i), value = state_attr_value(trial, i);

        sum += key.size ? key.data[key.size - 1] : 0;
        sum += value.size ? value.data[value.size - 1] : 0;
    }
    return sum;
}

static uint64_t read_study(const struct state *state, const struct state_study *study)
{
    struct state_counts counts;
    struct state_begin next;
    struct state_study_attr attr;
    struct state_trial_list list = {.os = fuzz_os()};
    struct state_trial trial;
    const uint64_t *numbers;
    uint64_t sum = 0, best;
    size_t count, cursor = 0;

    state_study_counts(study, &counts);
    for (uint64_t i = 0; i < counts.listed && i < 100; i++) {
        if (state_trial_by_number(study, i, &trial) == 0)
            sum += read_trial(&trial);
    }
    for (size_t i = 0; i < state_ended_count(study); i++) {
        state_ended_at(study, i, &trial);
        sum += read_trial(&trial);
    }
    while (state_study_attr_next(study, &cursor, &attr))
        sum += attr.key.size + attr.value.size;
    for (uint64_t view = 0; view <= state_position(state).lsn && view < 100; view += 7) {
        (void)state_view_running(study, view, UINT64_MAX, &list);
        for (size_t i = 0; i < list.count; i++)
            sum += read_trial(&list.trials[i]);
        sum += state_view_ended(study, view);
    }
    state_trial_list_release(&list);
    state_next_begin(state, study, &next);
    (void)state_best(study, &best);
    (void)state_pareto(study, &numbers, &count);
    return sum + next.number + state_finished_prefix(study);
}

static void check_state(struct state *state)
{
    struct error_detail error = {0};
    struct snapshot_entry entry;
    struct state *again;
    uint8_t of_a[16], of_b[16];
    int err = state_check(state, &error);

    FUZZ_REQUIRE(err == 0, "opened, but does not check: %s", error.message);
    for (const struct state_study *s = state_study_after(state, 0); s;
         s = state_study_after(state, state_study_id(s)))
        read_sum += read_study(state, s);
    FUZZ_REQUIRE(snapshot_write(os_linux(), dir, state, &entry, &error) == 0, "%s", error.message);
    err = snapshot_open(os_linux(), dir, &entry, uuid, &again, &error);
    remove_file(&entry);
    FUZZ_REQUIRE(err == 0, "its own snapshot: %d %s", err, error.message);
    FUZZ_REQUIRE(state_digest(state, of_a) == 0 && state_digest(again, of_b) == 0 &&
                     memcmp(of_a, of_b, 16) == 0,
                 "its own snapshot has another digest");
    state_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, data + size};
    struct snapshot_entry entry = {0};
    struct error_detail error = {0};
    struct content *content;
    struct state *state;
    char path[512];
    uint8_t choice = fuzz_u8(&in);
    int err;

    prepare();
    content = calloc(1, sizeof(*content));
    FUZZ_REQUIRE(content, "no memory");
    read_items(&in, content);
    mend(content, choice);
    if (content->count && content->entries[0].item.size == SNAPSHOT_META_SIZE)
        entry.lsn = codec_load_u64(content->entries[0].value + 32);
    (void)snprintf(path, sizeof(path), "%s/made", directory);
    write_file(content, path);
    give_name(path, &entry);
    fuzz_bound((size_t)entry.bytes, 256u << 10);
    err = snapshot_open(fuzz_os(), dir, &entry, uuid, &state, &error);
    remove_file(&entry);
    free(content);
    if (err < 0) {
        FUZZ_REQUIRE(err == HPO_CORRUPT || err == HPO_UNSUPPORTED, "snapshot_open: %d", err);
        FUZZ_REQUIRE(error.code == err && error.message[0], "refused without a reason");
        return 0;
    }
    check_state(state);
    state_free(state);
    return 0;
}

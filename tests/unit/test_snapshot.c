/*
 * Snapshots: what is written is read back or not believed, whatever happens to the file.
 */
#include <criterion/criterion.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fault/sim.h"
#include "fold_fixture.h"
#include "hpo.h"
#include "os_linux.h"
#include "snapshot_local.h"

static const struct hpo_os *os;
static char directory[256];
static struct os_dir *dir;
static struct fold fold;

static void begin(void)
{
    const char *base = getenv("TMPDIR");

    os = os_linux();
    snprintf(directory, sizeof(directory), "%s/hpo-snapshot-XXXXXX", base ? base : "/tmp");
    cr_assert_not_null(mkdtemp(directory));
    cr_assert_eq(os->dir_open(os->self, directory, &dir), 0);
    fold_init(&fold, os);
}

static void path_of(const char *name, char path[512])
{
    snprintf(path, 512, "%s/%s", directory, name);
}

static unsigned files(void)
{
    DIR *stream = opendir(directory);
    struct dirent *entry;
    unsigned count = 0;

    while ((entry = readdir(stream)))
        count += entry->d_name[0] != '.';
    closedir(stream);
    return count;
}

static void end(void)
{
    DIR *stream = opendir(directory);
    struct dirent *entry;
    char path[512];

    fold_release(&fold);
    while ((entry = readdir(stream))) {
        path_of(entry->d_name, path);
        if (entry->d_name[0] != '.')
            unlink(path);
    }
    closedir(stream);
    os->dir_close(os->self, dir);
    rmdir(directory);
}

TestSuite(snapshot, .init = begin, .fini = end);

static struct snapshot_entry write_one(struct state *state)
{
    struct error_detail error = {0};
    struct snapshot_entry entry;
    int err = snapshot_write(os, dir, state, &entry, &error);

    cr_assert_eq(err, 0, "%d: %s", err, error.message);
    return entry;
}

struct passed_over {
    unsigned count;
    int code;
    uint64_t lsn;
    char message[256];
};

static void note_bad(void *arg, const struct snapshot_entry *entry, int code,
                     const struct error_detail *error)
{
    struct passed_over *bad = arg;

    bad->count++;
    bad->code = code;
    bad->lsn = entry->lsn;
    snprintf(bad->message, sizeof(bad->message), "%s", error->message);
}

static struct state *open_one(const struct snapshot_entry *entry)
{
    struct error_detail error = {0};
    struct state *state;
    int err = snapshot_open(os, dir, entry, fold_uuid, &state, &error);

    cr_assert_eq(err, 0, "%d: %s", err, error.message);
    return state;
}

static void assert_not_believed(const struct snapshot_entry *entry, const uint8_t uuid[16],
                                int expected)
{
    struct error_detail error = {0};
    struct state *state;
    int err = snapshot_open(os, dir, entry, uuid, &state, &error);

    cr_assert_eq(err, expected, "%d: %s", err, error.message);
    cr_assert(error.code == expected && error.message[0] && strcmp(error.path, entry->name) == 0);
}

/* -- reading back -- */

Test(snapshot, what_was_written_is_read_back_and_goes_on)
{
    struct snapshot_entry entry;
    struct state *state;
    uint64_t middle;

    fold_varied(&fold, 30);
    middle = fold.count / 2;
    state = fold_again(&fold, middle);
    entry = write_one(state);
    cr_assert_eq(entry.lsn, middle);
    state_free(state);
    state = open_one(&entry);
    cr_assert_eq(state_position(state).lsn, middle);
    cr_assert_eq(state_position(state).chain, fold.batches[middle - 1].batch.at.chain);
    assert_checks(state);
    fold_tail(&fold, state, fold.count);
    assert_same_digest(state, fold.state);
    assert_checks(state);
    state_free(state);
}

Test(snapshot, an_empty_store_has_one_too)
{
    struct snapshot_entry entry = write_one(fold.state);
    struct state *state = open_one(&entry);

    assert_same_digest(state, fold.state);
    state_free(state);
}

Test(snapshot, a_state_survives_the_removal_of_its_file)
{
    struct snapshot_entry entry;
    struct state *state;

    fold_varied(&fold, 10);
    entry = write_one(fold.state);
    state = open_one(&entry);
    cr_assert_eq(os->name_unlink(os->self, dir, entry.name), 0);
    assert_checks(state);
    assert_same_digest(state, fold.state);
    state_free(state);
}

Test(snapshot, large_values_are_read_back)
{
    size_t size = 900000;
    char *value = malloc(size + 1);
    struct snapshot_entry entry;
    struct state *state;
    uint64_t study, trial;

    memset(value, 'v', size);
    value[size] = 0;
    cr_assert_eq(fold_session(&fold, 0), 0);
    study = fold_study(&fold, "s");
    fold_study_attr(&fold, study, 0, "large", value);
    trial = fold_begin(&fold, study);
    fold_trial_attr(&fold, trial, "large", value);
    fold_finish(&fold, trial, 1);
    fold_trial_attr(&fold, fold_begin(&fold, study), "large", value);
    entry = write_one(fold.state);
    state = open_one(&entry);
    assert_checks(state);
    assert_same_digest(state, fold.state);
    state_free(state);
    free(value);
}

/* -- damage -- */

Test(snapshot, every_changed_byte_is_noticed)
{
    struct snapshot_entry entry;
    char path[512];
    uint8_t byte;
    int fd;

    fold_varied(&fold, 3);
    entry = write_one(fold.state);
    path_of(entry.name, path);
    fd = open(path, O_RDWR | O_CLOEXEC);
    for (uint64_t at = 0; at < entry.bytes; at++) {
        uint8_t flipped;

        cr_assert_eq(pread(fd, &byte, 1, (off_t)at), 1);
        flipped = byte ^ (uint8_t)(1u << at % 8);
        cr_assert_eq(pwrite(fd, &flipped, 1, (off_t)at), 1);
        assert_not_believed(&entry, fold_uuid, HPO_CORRUPT);
        cr_assert_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
    }
    close(fd);
    state_free(open_one(&entry));
}

Test(snapshot, a_file_that_is_cut_or_longer_is_noticed)
{
    struct snapshot_entry entry;
    char path[512];

    fold_varied(&fold, 3);
    entry = write_one(fold.state);
    path_of(entry.name, path);
    cr_assert_eq(truncate(path, (off_t)entry.bytes + 1), 0);
    assert_not_believed(&entry, fold_uuid, HPO_CORRUPT);
    for (uint64_t size = entry.bytes; size-- > 0; size = size > 512 ? size - 511 : 0) {
        cr_assert_eq(truncate(path, (off_t)size), 0);
        assert_not_believed(&entry, fold_uuid, HPO_CORRUPT);
        if (size == 0)
            break;
    }
}

Test(snapshot, another_stores_or_another_lsns_is_not_believed)
{
    uint8_t other[16] = {9};
    struct snapshot_entry entry, renamed;

    fold_varied(&fold, 3);
    entry = write_one(fold.state);
    assert_not_believed(&entry, other, HPO_CORRUPT);
    renamed = entry;
    renamed.lsn++;
    snapshot_name(renamed.name, renamed.lsn, renamed.hash);
    cr_assert_eq(os->name_rename(os->self, dir, entry.name, dir, renamed.name), 0);
    assert_not_believed(&renamed, fold_uuid, HPO_CORRUPT);
    assert_not_believed(&entry, fold_uuid, HPO_NOT_FOUND);
}

/* The name that the file's present content deserves. */
static struct snapshot_entry name_anew(const struct snapshot_entry *entry, const char *name)
{
    struct snapshot_entry anew = *entry;
    struct os_file *file;

    cr_assert_eq(os->file_open(os->self, dir, name, OS_READ, OS_ROLE_SNAP, &file), 0);
    cr_assert_eq(snapshot_hash_file(os, file, name, anew.hash, &anew.bytes, NULL), 0);
    os->file_close(os->self, file);
    snapshot_name(anew.name, anew.lsn, anew.hash);
    cr_assert_eq(os->name_rename(os->self, dir, name, dir, anew.name), 0);
    return anew;
}

Test(snapshot, a_file_that_is_no_snapshot_is_not_believed_though_its_hash_is_right)
{
    struct snapshot_entry entry = {.lsn = 5}, anew;
    char path[512];
    FILE *file;

    path_of("x", path);
    file = fopen(path, "w");
    for (unsigned i = 0; i < 10000; i++)
        fputc((int)(i * i % 251), file);
    fclose(file);
    anew = name_anew(&entry, "x");
    assert_not_believed(&anew, fold_uuid, HPO_UNSUPPORTED);
    path_of("y", path);
    fclose(fopen(path, "w"));
    anew = name_anew(&entry, "y");
    {
        struct error_detail error = {0};
        struct state *state;

        cr_assert_lt(snapshot_open(os, dir, &anew, fold_uuid, &state, &error), 0);
    }
}

/* Change one byte of one value with LMDB itself, so that only our own checks can notice. */
static void change_value(const char *path, size_t which, size_t at, uint8_t xor)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_cursor *cursor;
    MDB_val key, value, changed;
    uint8_t *copy;

    cr_assert_eq(mdb_env_create(&env), 0);
    cr_assert_eq(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0600), 0);
    cr_assert_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
    cr_assert_eq(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    cr_assert_eq(mdb_cursor_open(txn, dbi, &cursor), 0);
    cr_assert_eq(mdb_cursor_get(cursor, &key, &value, MDB_FIRST), 0);
    for (size_t i = 0; i < which; i++)
        cr_assert_eq(mdb_cursor_get(cursor, &key, &value, MDB_NEXT), 0);
    copy = malloc(value.mv_size);
    memcpy(copy, value.mv_data, value.mv_size);
    copy[at % value.mv_size] ^= xor;
    changed = (MDB_val){.mv_size = value.mv_size, .mv_data = copy};
    cr_assert_eq(mdb_cursor_put(cursor, &key, &changed, MDB_CURRENT), 0);
    mdb_cursor_close(cursor);
    cr_assert_eq(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    free(copy);
}

static size_t count_values(const char *path)
{
    MDB_env *env;
    MDB_stat stat;

    cr_assert_eq(mdb_env_create(&env), 0);
    cr_assert_eq(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_RDONLY, 0600), 0);
    cr_assert_eq(mdb_env_stat(env, &stat), 0);
    mdb_env_close(env);
    return stat.ms_entries;
}

Test(snapshot, content_that_is_not_ours_is_not_believed_though_its_hash_is_right)
{
    uint64_t rounds = maker_scaled(2000);
    struct snapshot_entry entry;
    struct maker maker;
    char path[512], copy[512], command[1200];
    size_t values;

    maker_init(&maker, 77);
    fold_varied(&fold, 6);
    entry = write_one(fold.state);
    path_of(entry.name, path);
    path_of("copy", copy);
    values = count_values(path);
    snprintf(command, sizeof(command), "cp %s %s", path, copy);
    for (uint64_t i = 0; i < rounds; i++) {
        struct snapshot_entry anew;
        struct error_detail error = {0};
        struct state *state;
        int err;

        cr_assert_eq(system(command), 0);
        change_value(copy, maker_below(&maker, values), maker_next(&maker),
                     (uint8_t)(1 + maker_below(&maker, 255)));
        anew = name_anew(&entry, "copy");
        err = snapshot_open(os, dir, &anew, fold_uuid, &state, &error);
        if (err == 0) { /* the chain before the first batch after it: the log compares that one */
            cr_assert_neq(state_position(state).chain, state_position(fold.state).chain);
            assert_same_digest(state, fold.state);
            state_free(state);
        } else {
            cr_assert(err == HPO_CORRUPT || err == HPO_UNSUPPORTED, "%d: %s", err, error.message);
        }
        cr_assert_eq(os->name_unlink(os->self, dir, anew.name), 0);
    }
    maker_release(&maker);
}

/* -- choosing -- */

static int open_newest(uint64_t at_most, struct passed_over *bad, struct state **state,
                       struct snapshot_entry *entry)
{
    struct error_detail error = {0};

    memset(bad, 0, sizeof(*bad));
    return snapshot_open_newest(os, dir, fold_uuid, at_most, note_bad, bad, state, entry, &error);
}

Test(snapshot, the_newest_good_one_is_taken_and_bad_ones_are_told)
{
    struct snapshot_entry old, new, got;
    struct passed_over bad;
    struct state *state;
    char path[512];

    cr_assert_eq(open_newest(UINT64_MAX, &bad, &state, &got), HPO_NOT_FOUND);
    fold_varied(&fold, 4);
    state = fold_again(&fold, 10);
    old = write_one(state);
    state_free(state);
    new = write_one(fold.state);
    cr_assert_eq(open_newest(UINT64_MAX, &bad, &state, &got), 0);
    cr_assert(got.lsn == new.lsn &&bad.count == 0);
    state_free(state);
    cr_assert_eq(open_newest(new.lsn - 1, &bad, &state, &got), 0);
    cr_assert(got.lsn == old.lsn && bad.count == 0);
    state_free(state);
    path_of(new.name, path);
    cr_assert_eq(truncate(path, 4096), 0);
    cr_assert_eq(open_newest(UINT64_MAX, &bad, &state, &got), 0);
    cr_assert(got.lsn == old.lsn && bad.count == 1 && bad.code == HPO_CORRUPT &&
              bad.lsn == new.lsn);
    state_free(state);
    path_of(old.name, path);
    cr_assert_eq(truncate(path, 4096), 0);
    cr_assert_eq(open_newest(UINT64_MAX, &bad, &state, &got), HPO_NOT_FOUND);
    cr_assert_eq(bad.count, 2);
}

static void touch(const char *name)
{
    char path[512];

    path_of(name, path);
    fclose(fopen(path, "w"));
}

Test(snapshot, two_generations_are_kept_and_foreign_names_left_alone)
{
    struct error_detail error = {0};
    struct snapshot_list list = {.os = os};
    struct snapshot_entry entries[4];

    cr_assert_eq(fold_session(&fold, 0), 0);
    for (unsigned i = 0; i < 4; i++) {
        char name[2] = {(char)('a' + i), 0};

        fold_study(&fold, name);
        entries[i] = write_one(fold.state);
    }
    touch("0123456789abcdef.new");
    touch("README");
    touch("0123456789abcdef-0123456789abcdef0123456789abcdeF.mdb");
    touch("0123456789abcdef-0123456789abcdef0123456789abcdef.mdbx");
    cr_assert_eq(snapshot_sweep(os, dir, &error), 0);
    cr_assert_eq(snapshot_list_read(&list, dir, &error), 0);
    cr_assert(list.count == 2 && list.entries[0].lsn == entries[3].lsn &&
              list.entries[1].lsn == entries[2].lsn);
    cr_assert_eq(list.entries[0].bytes, entries[3].bytes);
    cr_assert_eq(files(), 5);
    snapshot_list_release(&list);
}

Test(snapshot, a_new_one_is_due_after_a_mebibyte_and_a_quarter_of_the_last)
{
    cr_assert_not(snapshot_due(1u << 20, 0));
    cr_assert(snapshot_due((1u << 20) + 1, 0));
    cr_assert_not(snapshot_due(25u << 20, 100u << 20));
    cr_assert(snapshot_due((25u << 20) + 1, 100u << 20));
}

/* -- items: nothing is believed -- */

struct kept_items {
    struct item items[1024];
    size_t count;
};

static int keep_item(void *arg, const struct item *item)
{
    struct kept_items *kept = arg;
    struct item *copy = &kept->items[kept->count++];
    uint8_t *data = malloc(item->size + 1);

    cr_assert_lt(kept->count, 1024);
    memcpy(data, item->data, item->size);
    *copy = *item;
    copy->data = data;
    return 0;
}

/* What loading says, HPO_CORRUPT too if the digest is not the one expected (the caller of load_end
 * compares it). */
static int load_all(const struct kept_items *kept)
{
    struct error_detail error = {0};
    struct load load = {.limit = 1u << 20, .error = &error};
    uint8_t expected[16], digest[16];
    struct state *state;
    int err = state_new(os, fold_uuid, &state);

    load.state = state;
    for (size_t i = 0; i < kept->count && err == 0; i++)
        err = load_item(&load, &kept->items[i]);
    if (err == 0)
        err = load_end(&load);
    cr_assert(err == 0 || err == HPO_NOMEM || error.message[0]);
    if (err == 0) {
        cr_assert_eq(state_digest(state, digest), 0);
        cr_assert_eq(state_digest(fold.state, expected), 0);
        err = memcmp(digest, expected, 16) == 0 ? 0 : HPO_CORRUPT;
    }
    state_free(state);
    return err;
}

Test(snapshot, every_changed_byte_of_every_item_is_refused)
{
    static const uint8_t changes[] = {0x01, 0x80, 0xff, 0x40};
    struct kept_items *kept = calloc(1, sizeof(*kept));
    uint64_t each = maker_scaled(40), refused = 0;

    fold_varied(&fold, 5);
    cr_assert_eq(state_items(fold.state, true, keep_item, kept), 0);
    cr_assert_eq(load_all(kept), 0);
    for (size_t i = 0; i < kept->count; i++) {
        uint8_t *data = (uint8_t *)(uintptr_t)kept->items[i].data;
        size_t stride = kept->items[i].size < 2000 ? 1 : 7;

        for (size_t at = 0; at < kept->items[i].size; at += stride) {
            for (unsigned c = 0; c < (each < 4 ? each : 4); c++) {
                int err;

                data[at] ^= changes[c];
                err = load_all(kept);
                cr_assert(err == HPO_CORRUPT || err == HPO_NOMEM,
                          "item %u.%llu.%llu, byte %zu of %zu: %d", kept->items[i].kind,
                          (unsigned long long)kept->items[i].study,
                          (unsigned long long)kept->items[i].ordinal, at, kept->items[i].size, err);
                data[at] ^= changes[c];
                refused++;
            }
        }
    }
    for (size_t i = 0; i < kept->count; i++)
        free((void *)(uintptr_t)kept->items[i].data);
    free(kept);
    cr_log_info("%llu changed items refused", (unsigned long long)refused);
}

Test(snapshot, every_missing_repeated_or_cut_item_is_refused)
{
    struct kept_items *kept = calloc(1, sizeof(*kept)), *changed = calloc(1, sizeof(*changed));

    fold_varied(&fold, 5);
    cr_assert_eq(state_items(fold.state, true, keep_item, kept), 0);
    for (size_t i = 0; i < kept->count; i++) {
        *changed = *kept;
        memmove(&changed->items[i], &changed->items[i + 1],
                (kept->count - i - 1) * sizeof(struct item));
        changed->count--;
        cr_assert_eq(load_all(changed), HPO_CORRUPT, "without item %zu", i);
        *changed = *kept;
        memmove(&changed->items[i + 1], &changed->items[i],
                (kept->count - i) * sizeof(struct item));
        changed->count++;
        cr_assert_eq(load_all(changed), HPO_CORRUPT, "item %zu twice", i);
        *changed = *kept;
        for (size_t size = 0; size < kept->items[i].size; size += 8) {
            changed->items[i].size = size;
            cr_assert_eq(load_all(changed), HPO_CORRUPT, "%zu bytes of item %zu", size, i);
        }
    }
    for (size_t i = 0; i < kept->count; i++)
        free((void *)(uintptr_t)kept->items[i].data);
    free(kept);
    free(changed);
}

/* -- power loss and failing calls, on the simulated disk -- */

struct writer {
    struct state *states[2]; /* older, newer */
    bool told;               /* the newer one's write returned 0 */
    uint64_t told_at;        /* effects by then */
    struct sim *sim;
    int err;
};

static void write_newer(struct sim_process *process, void *arg)
{
    const struct hpo_os *table = sim_os(process);
    struct writer *writer = arg;
    struct error_detail error = {0};
    struct os_dir *snap;

    if (table->dir_open(table->self, "/snap", &snap) < 0)
        sim_fail(process, "no directory");
    writer->err = snapshot_write(table, snap, writer->states[1], NULL, &error);
    writer->told = writer->err == 0;
    writer->told_at = sim_effects(writer->sim);
    table->dir_close(table->self, snap);
}

struct reader {
    const struct writer *writer;
    bool must_be_new;
    struct passed_over bad;
    uint64_t lsn;
};

static void read_newest(struct sim_process *process, void *arg)
{
    const struct hpo_os *table = sim_os(process);
    struct reader *reader = arg;
    struct error_detail error = {0};
    uint8_t digest[16], expected[16];
    struct os_dir *snap;
    struct state *state;
    int err;

    if (table->dir_open(table->self, "/snap", &snap) < 0)
        sim_fail(process, "no directory");
    err = snapshot_open_newest(table, snap, fold_uuid, UINT64_MAX, note_bad, &reader->bad, &state,
                               NULL, &error);
    if (err < 0)
        sim_fail(process, "no snapshot: %s", error.message);
    reader->lsn = state_position(state).lsn;
    (void)state_digest(state, digest);
    (void)state_digest(
        reader->writer->states[reader->lsn == state_position(reader->writer->states[1]).lsn],
        expected);
    if (memcmp(digest, expected, 16) != 0)
        sim_fail(process, "another state than was written");
    state_free(state);
    err = snapshot_sweep(table, snap, &error);
    if (err < 0)
        sim_fail(process, "sweep: %s", error.message);
    table->dir_close(table->self, snap);
}

/* A machine with the older snapshot on its disk. */
static struct sim *machine(const struct writer *writer, const struct sim_options *options)
{
    struct snapshot_entry entry = write_one(writer->states[0]);
    struct sim *sim = sim_new(options);
    uint8_t *bytes = malloc(entry.bytes);
    char path[512], name[128];
    int fd;

    path_of(entry.name, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(read(fd, bytes, entry.bytes), (ssize_t)entry.bytes);
    close(fd);
    snprintf(name, sizeof(name), "/snap/%s", entry.name);
    cr_assert_eq(sim_put_directory(sim, "/snap"), 0);
    cr_assert_eq(sim_put_file(sim, name, bytes, entry.bytes), 0);
    free(bytes);
    return sim;
}

static void assert_reads(struct sim *sim, struct reader *reader)
{
    struct sim_process *process = sim_process_new(sim);

    cr_assert_eq(sim_call(process, read_newest, reader), SIM_DONE, "%s", sim_failure(sim));
    cr_assert_eq(reader->bad.count, 0, "a snapshot under its final name is bad: %s",
                 reader->bad.message);
    if (reader->must_be_new)
        cr_assert_eq(reader->lsn, state_position(reader->writer->states[1]).lsn,
                     "a told snapshot is gone");
}

static void init_writer(struct writer *writer)
{
    memset(writer, 0, sizeof(*writer));
    fold_varied(&fold, 3);
    writer->states[0] = fold_again(&fold, 12);
    writer->states[1] = fold.state;
}

Test(snapshot, power_loss_at_any_moment_leaves_only_good_ones)
{
    uint64_t images = 0, masks = maker_scaled(2000);
    struct sim_options options = {.tears = SIM_TEARS_ANY};
    struct writer writer;
    struct sim *sim;
    struct maker maker;

    maker_init(&maker, 5);
    init_writer(&writer);
    sim = machine(&writer, &options);
    writer.sim = sim;
    cr_assert_eq(sim_call(sim_process_new(sim), write_newer, &writer), SIM_DONE, "%s",
                 sim_failure(sim));
    cr_assert(writer.told);
    for (uint64_t effect = 0; effect <= sim_effects(sim); effect++) {
        struct sim_cut *cut = sim_cut_new(sim, effect);

        for (uint64_t m = 0; m < masks; m++) {
            struct reader reader = {.writer = &writer, .must_be_new = effect >= writer.told_at};
            struct sim_mask mask = {0};
            struct sim *booted;

            for (unsigned item = 0; item < sim_cut_items(cut) && m > 0; item++)
                if (m == 1 ? item < sim_cut_plain(cut)
                           : maker_chance(&maker, (unsigned)(m % 5) * 20 + 10))
                    sim_mask_set(&mask, item);
            (void)sim_cut_choose(cut, &mask);
            booted = sim_cut_boot(cut, &options);
            assert_reads(booted, &reader);
            sim_free(booted);
            images++;
        }
        sim_cut_free(cut);
    }
    sim_free(sim);
    state_free(writer.states[0]);
    maker_release(&maker);
    cr_log_info("%llu images", (unsigned long long)images);
}

Test(snapshot, a_writer_that_is_killed_or_fails_leaves_only_good_ones)
{
    static const struct sim_event events[] = {{.kind = SIM_KILL_BEFORE},
                                              {.kind = SIM_KILL_AFTER},
                                              {.kind = SIM_FAIL_CALL, .error = ENOSPC},
                                              {.kind = SIM_FAIL_CALL, .error = EIO}};
    struct writer writer;
    uint64_t steps;
    struct sim *sim;

    init_writer(&writer);
    sim = machine(&writer, &(struct sim_options){0});
    writer.sim = sim;
    cr_assert_eq(sim_call(sim_process_new(sim), write_newer, &writer), SIM_DONE);
    steps = sim_steps(sim);
    sim_free(sim);
    cr_assert_gt(steps, 8);
    for (unsigned e = 0; e < sizeof(events) / sizeof(events[0]); e++) {
        for (uint64_t step = 2; step < steps; step++) { /* not the opening of the directory */
            struct sim_options options = {.event = events[e]};
            struct reader reader = {.writer = &writer};

            options.event.step = step;
            writer.told = false;
            writer.sim = sim = machine(&writer, &options);
            cr_assert_eq(sim_call(sim_process_new(sim), write_newer, &writer), SIM_DONE, "%s",
                         sim_failure(sim));
            reader.must_be_new = writer.told;
            assert_reads(sim, &reader);
            if (sim_step_op(sim, step) != SIM_GIVE_BACK &&
                sim_step_op(sim, step) != SIM_CLOSE) /* it kept them */
                cr_assert_eq(sim_leaks(sim), 0, "event %u at %s", e,
                             sim_op_name(sim_step_op(sim, step)));
            sim_free(sim);
        }
    }
    state_free(writer.states[0]);
}

/* -- no memory -- */

static long allocations_left;

static void *limited_alloc(void *self, size_t size)
{
    (void)self;
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

static void *limited_realloc(void *self, void *old, size_t size)
{
    (void)self;
    return allocations_left-- > 0 ? realloc(old, size) : NULL;
}

/* Every allocation fails once, when writing and when reading. */
Test(snapshot, without_memory_nothing_is_half_written_or_half_read)
{
    struct hpo_os limited = *os_linux();
    struct snapshot_entry entry;
    struct error_detail error;
    struct state *state, *poor;
    long allowed;
    int err;

    fold_varied(&fold, 3);
    entry = write_one(fold.state);
    limited.alloc = limited_alloc;
    limited.realloc = limited_realloc;
    allowed = 0;
    do {
        memset(&error, 0, sizeof(error));
        allocations_left = allowed++;
        err = snapshot_open(&limited, dir, &entry, fold_uuid, &state, &error);
        cr_assert(err == 0 || (err == HPO_NOMEM && error.code == HPO_NOMEM), "%d: %s", err,
                  error.message);
    } while (err < 0);
    cr_assert_gt(allowed, 50);
    allocations_left = 1000000;
    assert_same_digest(state, fold.state);
    state_free(state);
    cr_assert_eq(state_new(&limited, fold_uuid, &poor), 0);
    fold_tail(&fold, poor, fold.count);
    allowed = 0;
    do {
        memset(&error, 0, sizeof(error));
        allocations_left = allowed++;
        err = snapshot_write(&limited, dir, poor, NULL, &error);
        cr_assert(err == 0 || (err == HPO_NOMEM && error.code == HPO_NOMEM), "%d: %s", err,
                  error.message);
        cr_assert_leq(files(), 2, "a file is left behind");
    } while (err < 0);
    allocations_left = 1000000;
    state_free(poor);
}

/* -- how long it takes -- */

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

Test(snapshot, many_trials_open_quickly, .timeout = 300)
{
    uint64_t trials = maker_scaled(1000000), study;
    struct record_value values[10];
    double start, folded, written, opened, digested, best = 1e9;
    struct snapshot_entry entry;
    struct state *state;
    uint8_t digest[16];

    fold.keep = false;
    cr_assert_eq(fold_session(&fold, 0), 0);
    study = fold_study(&fold, "s");
    for (uint32_t p = 0; p < 10; p++) {
        char name[2] = {(char)('a' + p), 0};

        values[p] =
            (struct record_value){.param = fold_define(&fold, study, name, 1), .asked = true};
    }
    start = seconds();
    for (uint64_t i = 0; i < trials; i++) {
        uint64_t id = state_next_trial(fold.state);
        struct record begin_record = {
            .type = RECORD_TRIAL_BEGIN,
            .trial_begin = {
                .study = study, .trial = id, .number = i, .view = fold_next(&fold) - 1}};
        struct record suggest = {
            .type = RECORD_SUGGEST,
            .suggest = {.trial = id, .joint = true, .values = values, .value_count = 10}};

        for (uint32_t p = 0; p < 10; p++)
            values[p].value = (double)(i * (p + 3) % 1009) / 1009;
        fold_put(&fold, &begin_record);
        fold_put(&fold, &suggest);
        cr_assert_eq(fold_apply(&fold), 0);
        fold_finish(&fold, id, (double)(i * 7919 % 1000003));
    }
    folded = seconds();
    entry = write_one(fold.state);
    written = seconds();
    for (unsigned round = 0; round < 5; round++) {
        opened = seconds();
        state = open_one(&entry);
        best = seconds() - opened < best ? seconds() - opened : best;
        if (round < 4)
            state_free(state);
    }
    opened = seconds();
    cr_assert_eq(state_digest(state, digest), 0);
    digested = seconds() - opened;
    assert_same_digest(state, fold.state);
    state_free(state);
    cr_log_info("%llu trials: fold %.0f ms, write %.0f ms (%.1f MB), open %.1f ms, digest %.2f ms",
                (unsigned long long)trials, 1e3 * (folded - start), 1e3 * (written - folded),
                1e-6 * (double)entry.bytes, 1e3 * best, 1e3 * digested);
}

/* -- found by fuzz/fuzz_snapshot.c -- */

struct changed_load {
    struct load load;
    uint8_t kind; /* of the items in which the byte is changed */
    size_t at;
    uint8_t xor ;
};

static int load_changed(void *arg, const struct item *item)
{
    struct changed_load *changed = arg;
    struct item copy = *item;
    uint8_t *data = malloc(item->size + 1);
    int err;

    memcpy(data, item->data, item->size);
    if (item->kind == changed->kind && changed->at < item->size)
        data[changed->at] ^= changed->xor ;
    copy.data = data;
    err = load_item(&changed->load, &copy);
    free(data);
    return err;
}

Test(snapshot, an_attribute_whose_zeros_are_not_zero_is_refused_before_its_versions_are_read)
{
    struct error_detail error = {0};
    struct changed_load changed = {
        .load = {.limit = 1u << 20, .error = &error}, .kind = ITEM_ATTR, .at = 12, .xor = 1};

    cr_assert_eq(fold_session(&fold, 1), 0);
    fold_study_attr(&fold, fold_study(&fold, "a"), 0, "key", "value");
    cr_assert_eq(state_new(os, fold_uuid, &changed.load.state), 0);
    cr_assert_eq(state_items(fold.state, true, load_changed, &changed), HPO_CORRUPT);
    cr_assert_not_null(strstr(error.message, "versions"), "%s", error.message);
    state_free(changed.load.state);
}

/*
 * store: opening, closing, reading, statistics, snapshots, and what a damaged store still gives.
 */
#include "api_words.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

TestSuite(store, .init = api_setup, .fini = api_teardown, .timeout = 120);

static int open_code(const char *path, const struct hpo_options *options)
{
    struct hpo_store *store = NULL;
    int err = hpo_open(path, options, &store);

    if (err == 0)
        cr_assert_eq(hpo_close(store), 0);
    else
        cr_assert_null(store);
    return err;
}

#define OPTIONS(...) (&(struct hpo_options){.size = sizeof(struct hpo_options), __VA_ARGS__})

/* Do something with each file of a sub-directory whose name ends so; how many there were. */
static int each_file(const char *dir, const char *suffix, void (*fn)(const char *path))
{
    char path[1400];
    struct dirent *entry;
    int count = 0;
    DIR *stream;

    snprintf(path, sizeof(path), "%s/%s", api_path, dir);
    stream = opendir(path);
    if (!stream)
        return 0;
    while ((entry = readdir(stream))) {
        size_t length = strlen(entry->d_name), tail = strlen(suffix);

        if (length < tail || strcmp(entry->d_name + length - tail, suffix) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s/%s", api_path, dir, entry->d_name);
        if (fn)
            fn(path);
        count++;
    }
    closedir(stream);
    return count;
}

static void flip_bit_in_the_middle(const char *path)
{
    int fd = open(path, O_RDWR);
    struct stat st;
    unsigned char byte;

    cr_assert_geq(fd, 0);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_eq(pread(fd, &byte, 1, st.st_size / 2), 1);
    byte ^= 4;
    cr_assert_eq(pwrite(fd, &byte, 1, st.st_size / 2), 1);
    close(fd);
}

static void remove_file(const char *path)
{
    cr_assert_eq(unlink(path), 0);
}

Test(store, opening_says_why_it_fails)
{
    struct hpo_error_detail detail;

    gives(HPO_NOT_FOUND, open_code(api_path, OPTIONS(.flags = HPO_OPEN_EXISTING)));
    gives(HPO_NOT_FOUND, open_code(api_path, OPTIONS(.flags = HPO_OPEN_READ_ONLY)));
    hpo_open_error(&detail);
    cr_assert_eq(detail.code, HPO_NOT_FOUND);
    cr_assert_neq(detail.message[0], '\0');
    gives(HPO_INVALID, open_code(NULL, NULL));
    gives(HPO_INVALID, open_code("", NULL));
    gives(HPO_INVALID, hpo_open(api_path, NULL, NULL));
    gives(HPO_INVALID, open_code(api_path, &(struct hpo_options){.size = 8}));
    gives(HPO_INVALID, open_code(api_path, OPTIONS(.flags = 1u << 20)));
    gives(HPO_INVALID, open_code(api_path, OPTIONS(.at_lsn = 1)));
    gives(HPO_INVALID, open_code(api_path, OPTIONS(.flags = HPO_OPEN_DURABLE_ONLY)));
    gives(HPO_INVALID, open_code(api_path, OPTIONS(.durability = (enum hpo_durability)5)));
    cr_assert_eq(access(api_path, F_OK), -1, "nothing was made");
    gives(0, open_code(api_path, NULL));
    hpo_open_error(&detail);
    cr_assert_eq(detail.code, 0, "a success leaves no reason behind");
    gives(0, open_code(api_path, OPTIONS(.flags = HPO_OPEN_EXISTING)));
    gives(0, open_code(api_path, OPTIONS(.flags = HPO_OPEN_READ_ONLY | HPO_OPEN_NO_WAIT)));
    gives(0, hpo_close(NULL));
}

Test(store, a_directory_that_is_something_else_is_left_alone)
{
    char file[700];
    FILE *f;

    cr_assert_eq(mkdir(api_path, 0700), 0);
    snprintf(file, sizeof(file), "%s/diary.txt", api_path);
    f = fopen(file, "w");
    fputs("dear diary", f);
    fclose(f);
    cr_assert_lt(open_code(api_path, NULL), 0);
    cr_assert_eq(each_file(".", "", NULL), 3, "only the diary, . and ..");
}

Test(store, reopening_gives_the_same_state)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_stat before, after;
    int i;

    for (i = 0; i < 20; i++)
        tell(store, ask(store, study), i);
    before = stat_of(store);
    cr_assert_eq(before.trials, 20);
    cr_assert_eq(before.studies, 1);
    cr_assert_eq(before.sessions, 1);
    close_store(store);
    store = open_with(HPO_OPEN_READ_ONLY);
    after = stat_of(store);
    cr_assert_eq(after.lsn, before.lsn + 1, "the session was closed");
    cr_assert_eq(after.trials, 20);
    cr_assert_eq(after.sessions, 0);
    cr_assert_eq(memcmp(after.uuid, before.uuid, 16), 0);
    close_store(store);
}

Test(store, a_read_only_handle_writes_nothing)
{
    struct hpo_store *writer = open_store(), *reader;
    struct hpo_study *study = study_named(writer, "s"), *out;
    struct hpo_trial *trial = ask(writer, study), *other;
    uint64_t lsn = stat_of(writer).lsn;

    reader = open_with(HPO_OPEN_READ_ONLY);
    gives(HPO_READONLY, hpo_study_create(reader, "t", NULL, &out));
    ok(reader, hpo_study_create(reader, "s", NULL, &out)); /* it exists and fits */
    gives(HPO_READONLY, hpo_study_delete(reader, "s"));
    gives(HPO_READONLY, hpo_study_attr_set(out, HPO_ATTR_USER, "k", "v", 1));
    gives(HPO_READONLY, hpo_ask(out, NULL, &other));
    gives(HPO_READONLY, hpo_enqueue(out, NULL, 0, NULL));
    gives(HPO_READONLY, hpo_sync(reader));
    gives(HPO_READONLY, hpo_snapshot(reader));
    cr_assert_eq(stat_of(reader).lsn, lsn);
    (void)trial;
    close_store(reader);
    close_store(writer);
}

Test(store, readers_see_what_is_appended_or_only_what_is_durable)
{
    struct hpo_store *writer = open_store();
    struct hpo_study *study = study_named(writer, "s"), *seen;
    struct hpo_store *reader = open_with(HPO_OPEN_READ_ONLY);
    struct hpo_store *durable = open_with(HPO_OPEN_READ_ONLY | HPO_OPEN_DURABLE_ONLY);
    struct hpo_trial *trial = ask(writer, study);
    struct hpo_trial_info *info;

    ok(reader, hpo_study_open(reader, "s", &seen));
    cr_assert_eq(state_of(reader, seen, 0), HPO_RUNNING);
    ok(durable, hpo_study_open(durable, "s", &seen));
    gives(HPO_NOT_FOUND, hpo_trial_read(seen, 0, &info));
    tell(writer, trial, 1);
    cr_assert_eq(state_of(durable, seen, 0), HPO_COMPLETE);
    close_store(durable);
    close_store(reader);
    close_store(writer);
}

Test(store, the_past_can_be_opened)
{
    struct hpo_store *store = open_store(), *past;
    struct hpo_study *study = study_named(store, "s");
    struct hpo_stat then, now;
    uint64_t lsn;
    int i;

    for (i = 0; i < 3; i++)
        tell(store, ask(store, study), i);
    then = stat_of(store);
    lsn = then.lsn;
    for (i = 0; i < 3; i++)
        tell(store, ask(store, study), i);
    ok(NULL, hpo_open(api_path, OPTIONS(.flags = HPO_OPEN_READ_ONLY, .at_lsn = lsn), &past));
    now = stat_of(past);
    cr_assert_eq(now.lsn, lsn);
    cr_assert_eq(now.trials, 3);
    cr_assert_eq(memcmp(now.digest, then.digest, 16), 0);
    tell(store, ask(store, study), i);
    cr_assert_eq(stat_of(past).lsn, lsn, "and stays what it was");
    close_store(past);
    close_store(store);
}

Test(store, the_reason_of_a_failure_belongs_to_handle_and_thread)
{
    struct hpo_store *a = open_store(), *b = open_store();
    struct hpo_error_detail detail;
    struct hpo_study *study;

    gives(HPO_NOT_FOUND, hpo_study_open(a, "s", &study));
    hpo_error_detail(b, &detail);
    cr_assert_eq(detail.code, 0);
    hpo_error_detail(a, &detail);
    cr_assert_eq(detail.code, HPO_NOT_FOUND);
    ok(a, hpo_sync(a));
    hpo_error_detail(a, &detail);
    cr_assert_eq(detail.code, 0, "a success clears it");
    hpo_error_detail(NULL, &detail);
    cr_assert_eq(detail.code, 0);
    close_store(a);
    close_store(b);
}

Test(store, every_code_has_its_line)
{
    int code;

    for (code = HPO_ROLLED_BACK; code <= HPO_WAIT; code++) {
        cr_assert_str_neq(hpo_strerror(code), "unknown code");
        cr_assert_null(strchr(hpo_strerror(code), '\n'));
    }
    cr_assert_str_eq(hpo_strerror(HPO_ROLLED_BACK - 1), "unknown code");
    cr_assert_str_eq(hpo_strerror(HPO_WAIT + 1), "unknown code");
    cr_assert_str_eq(hpo_version(), "0.1.0");
}

static int count_sessions(void *arg, const struct hpo_session_info *info)
{
    int *own_and_others = arg;

    cr_assert(info->alive);
    cr_assert_str_eq(info->program, "test");
    cr_assert_eq(info->process_id, (uint64_t)getpid());
    cr_assert_gt(info->opened_us, 0);
    own_and_others[info->own ? 0 : 1] += 1 + 10 * (int)info->running;
    return 0;
}

static int stop_at_once(void *arg, const struct hpo_session_info *info)
{
    (void)arg;
    (void)info;
    return 42;
}

Test(store, sessions_are_those_who_have_written)
{
    struct hpo_store *a = open_store(), *b = open_store(), *c = open_store();
    struct hpo_study *study = study_named(a, "s"), *same;
    int counts[2] = {0, 0};

    ok(b, hpo_study_open(b, "s", &same)); /* reading opens no session */
    ok(b, hpo_sessions(b, count_sessions, counts));
    cr_assert_eq(counts[0], 0);
    cr_assert_eq(counts[1], 1);
    (void)ask(b, same);
    (void)ask(b, same);
    (void)ask(a, study);
    counts[0] = counts[1] = 0;
    ok(b, hpo_sessions(b, count_sessions, counts));
    cr_assert_eq(counts[0], 21, "own, two trials");
    cr_assert_eq(counts[1], 11, "another, one trial");
    gives(42, hpo_sessions(c, stop_at_once, NULL));
    gives(HPO_INVALID, hpo_sessions(c, NULL, NULL));
    close_store(c);
    close_store(b);
    close_store(a);
}

Test(store, relaxed_durability_waits_for_nothing_until_the_end)
{
    struct hpo_options options = {.size = sizeof(options), .durability = HPO_RELAXED};
    struct hpo_store *store;
    struct hpo_study *study;
    uint64_t flushes;
    int i;

    ok(NULL, hpo_open(api_path, &options, &store));
    study = study_declared(store, "s");
    flushes = stat_of(store).flushes;
    for (i = 0; i < 10; i++)
        tell(store, ask(store, study), i);
    cr_assert_eq(stat_of(store).flushes, flushes);
    cr_assert_eq(stat_of(store).durability, HPO_RELAXED);
    ok(store, hpo_sync(store));
    cr_assert_eq(stat_of(store).lsn, stat_of(store).lsn_durable);
    close_store(store);
    store = open_with(HPO_OPEN_READ_ONLY | HPO_OPEN_DURABLE_ONLY);
    cr_assert_eq(stat_of(store).trials, 10);
    close_store(store);
}

static void check_durable(struct hpo_store *store, const char *after)
{
    struct hpo_stat stat = stat_of(store);

    cr_assert_eq(stat.lsn, stat.lsn_durable, "after %s: LSN %llu, durable %llu", after,
                 (unsigned long long)stat.lsn, (unsigned long long)stat.lsn_durable);
}

Test(store, whatever_promises_durability_keeps_it)
{
    struct hpo_ask_options detached = {.size = sizeof(detached), .detached = true};
    struct hpo_study_options change = {
        .size = sizeof(change), .has_seed = true, .seed = {9, 9}, .allow_change = true};
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_trial *trial;
    double value = 1;

    check_durable(store, "hpo_study_create");
    ok(store, hpo_study_create(store, "s", &change, &study));
    check_durable(store, "a change");
    ok(store, hpo_study_attr_set(study, HPO_ATTR_USER, "k", "v", 1));
    check_durable(store, "hpo_study_attr_set");
    ok(store, hpo_enqueue(study, NULL, 0, NULL));
    check_durable(store, "hpo_enqueue");
    ok(store, hpo_ask(study, &detached, &trial));
    check_durable(store, "a detached ask");
    ok(store, hpo_abandon(trial));
    check_durable(store, "hpo_abandon");
    trial = ask(store, study);
    cr_assert_neq(stat_of(store).lsn, stat_of(store).lsn_durable, "asking waits for nothing");
    ok(store, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    check_durable(store, "hpo_tell");
    trial = ask(store, study);
    ok(store, hpo_tell_and_stop(trial, HPO_COMPLETE, &value, 1));
    check_durable(store, "hpo_tell_and_stop");
    ok(store, hpo_study_delete(store, "s"));
    check_durable(store, "hpo_study_delete");
    hpo_study_free(study_named(store, "t"));
    ok(store, hpo_study_open(store, "t", &study));
    (void)ask(store, study);
    ok(store, hpo_sync(store));
    check_durable(store, "hpo_sync");
    close_store(store);
}

/* The promise, by the engine's own counters; tests/process looks at the system calls. */
Test(store, a_durable_trial_costs_one_flush_and_at_most_one_dirty_page)
{
    enum { TRIALS = 200, WARM = 20 };
    struct hpo_param space[10];
    struct hpo_study_options options = {
        .size = sizeof(options), .params = space, .param_count = 10};
    struct hpo_store *store = open_store();
    struct hpo_study *study;
    struct hpo_stat before = {0}, after;
    char names[10][32];
    double pages, sectors;
    int i, k;

    for (k = 0; k < 10; k++) {
        snprintf(names[k], sizeof(names[k]), "parameter_%d", k);
        space[k] = (struct hpo_param){names[k], {.kind = HPO_FLOAT, .low = 0, .high = 1}};
    }
    ok(store, hpo_study_create(store, "s", &options, &study));
    for (i = 0; i < WARM + TRIALS; i++) {
        struct hpo_trial *trial;

        if (i == WARM)
            before = stat_of(store);
        trial = ask(store, study);
        for (k = 0; k < 10; k++)
            (void)suggest(store, trial, names[k]);
        tell(store, trial, i);
    }
    after = stat_of(store);
    pages = (double)(after.log_pages - before.log_pages) / TRIALS;
    sectors = (double)(after.log_sectors - before.log_sectors) / TRIALS;
    fprintf(stderr, "per trial: %.3f flushes, %.3f dirty pages, %.3f sector writes, %.1f bytes\n",
            (double)(after.flushes - before.flushes) / TRIALS, pages, sectors,
            (double)(after.batch_bytes - before.batch_bytes) / TRIALS);
    cr_assert_eq(after.flushes - before.flushes, TRIALS);
    cr_assert_eq(after.commits - before.commits, TRIALS);
    cr_assert_eq(after.batches - before.batches, 2 * TRIALS);
    cr_assert_leq(pages, 1.0);
    close_store(store);
}

/* -- snapshots -- */

static void fill(struct hpo_store *store, const char *name, int trials)
{
    struct hpo_study *study = study_declared(store, name);
    int i;

    for (i = 0; i < trials; i++) {
        struct hpo_trial *trial = ask(store, study);

        ok(store, hpo_report(trial, i, i));
        ok(store, hpo_trial_attr_set(trial, HPO_ATTR_USER, "k", name, strlen(name)));
        tell(store, trial, i);
    }
}

Test(store, a_snapshot_gives_what_replay_gives)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study;
    struct hpo_stat live, opened, replayed;

    fill(store, "a", 30);
    ok(store, hpo_snapshot(store));
    fill(store, "b", 10);
    live = stat_of(store);
    cr_assert_eq(live.snapshots, 1);
    cr_assert_gt(live.snapshot_lsn, 0);
    cr_assert_gt(live.snapshot_bytes, 0);
    ok(store, hpo_study_open(store, "a", &study));
    (void)ask(store, study);
    close_store(store);
    store = open_with(HPO_OPEN_READ_ONLY);
    opened = stat_of(store);
    ok(store, hpo_study_open(store, "a", &study));
    cr_assert_eq(state_of(store, study, 29), HPO_COMPLETE);
    close_store(store);
    cr_assert_eq(each_file("snap", ".mdb", remove_file), 1);
    store = open_with(HPO_OPEN_READ_ONLY);
    replayed = stat_of(store);
    cr_assert_eq(replayed.snapshots, 0);
    cr_assert_eq(replayed.lsn, opened.lsn);
    cr_assert_eq(memcmp(replayed.digest, opened.digest, 16), 0);
    close_store(store);
}

/* It attests what it holds: else a power loss would leave a snapshot of what never was. */
Test(store, a_snapshot_holds_only_what_is_durable)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_stat stat;
    uint64_t begun;

    (void)ask(store, study);
    begun = stat_of(store).lsn;
    cr_assert_lt(stat_of(store).lsn_durable, begun);
    ok(store, hpo_snapshot(store));
    stat = stat_of(store);
    cr_assert_eq(stat.snapshot_lsn, begun);
    cr_assert_geq(stat.lsn_durable, begun);
    close_store(store);
}

Test(store, a_bad_snapshot_means_replay_and_goes_to_quarantine)
{
    struct hpo_store *store = open_store();
    struct hpo_stat good, bad;

    fill(store, "a", 30);
    ok(store, hpo_snapshot(store));
    close_store(store);
    store = open_with(HPO_OPEN_READ_ONLY);
    good = stat_of(store);
    close_store(store);
    cr_assert_eq(each_file("snap", ".mdb", flip_bit_in_the_middle), 1);
    store = open_with(HPO_OPEN_READ_ONLY);
    bad = stat_of(store);
    cr_assert_eq(memcmp(bad.digest, good.digest, 16), 0);
    cr_assert_eq(bad.snapshots, 1, "who may not write leaves it where it is");
    close_store(store);
    store = open_store();
    bad = stat_of(store);
    cr_assert_eq(memcmp(bad.digest, good.digest, 16), 0);
    cr_assert_eq(bad.snapshots, 0);
    cr_assert_eq(each_file("quarantine", ".mdb", NULL), 1);
    ok(store, hpo_snapshot(store));
    cr_assert_eq(stat_of(store).snapshots, 1);
    close_store(store);
}

Test(store, the_tail_that_grew_is_saved_by_whoever_crosses_the_line)
{
    struct hpo_options options = {.size = sizeof(options), .durability = HPO_RELAXED};
    char value[4096] = "";
    struct hpo_store *store, *other;
    struct hpo_study *study;
    struct hpo_history *history;
    const struct hpo_record_info *record;
    struct hpo_stat stat;
    int i, done = 0;

    memset(value, 'x', sizeof(value));
    ok(NULL, hpo_open(api_path, &options, &store));
    other = open_store();
    study = study_named(store, "s");
    for (i = 0; i < 700; i++) { /* 2.8 MiB of attributes */
        struct hpo_trial *trial = ask(store, study);

        ok(store, hpo_trial_attr_set(trial, HPO_ATTR_USER, "k", value, sizeof(value)));
        tell(store, trial, i);
    }
    stat = stat_of(store);
    cr_assert_geq(stat.snapshots, 1);
    cr_assert_leq(stat.snapshots, 2, "two generations are kept");
    ok(store, hpo_history_open(store, 0, false, &history));
    while (hpo_history_next(history, &record) == 0)
        done += strcmp(record->type, "SNAPSHOT_DONE") == 0;
    hpo_history_close(history);
    cr_assert_geq(done, 1);
    cr_assert_leq(done, 4, "the threshold grows with the snapshot");
    cr_assert_eq(memcmp(stat_of(other).digest, stat_of(store).digest, 16), 0);
    close_store(other);
    close_store(store);
    cr_assert_gt(each_file("snap", ".mdb", remove_file), 0);
    store = open_with(HPO_OPEN_READ_ONLY);
    cr_assert_eq(stat_of(store).trials, 700);
    close_store(store);
}

/* -- damage -- */

static char damaged_segment[1400];

static void remember_segment(const char *path)
{
    snprintf(damaged_segment, sizeof(damaged_segment), "%s", path);
}

Test(store, damage_refuses_writers_and_shows_readers_what_lies_before_it)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study;
    struct hpo_error_detail detail;
    struct hpo_trial_info *info;
    unsigned char byte;
    int fd;

    fill(store, "s", 50);
    close_store(store);
    cr_assert_eq(each_file("wal", ".wal", remember_segment), 1);
    fd = open(damaged_segment, O_RDWR);
    cr_assert_eq(pread(fd, &byte, 1, 4096 + 512 * 20 + 100), 1);
    byte ^= 1;
    cr_assert_eq(pwrite(fd, &byte, 1, 4096 + 512 * 20 + 100), 1);
    close(fd);
    gives(HPO_CORRUPT, open_code(api_path, NULL));
    hpo_open_error(&detail);
    cr_assert_eq(detail.code, HPO_CORRUPT);
    cr_assert(strstr(detail.path, ".wal"), "%s", detail.path);
    cr_assert_gt(detail.lsn, 0);
    cr_assert_gt(detail.offset, 4096);
    store = open_with(HPO_OPEN_READ_ONLY);
    ok(store, hpo_study_open(store, "s", &study));
    cr_assert_eq(state_of(store, study, 0), HPO_COMPLETE);
    gives(HPO_NOT_FOUND, hpo_trial_read(study, 49, &info));
    gives(HPO_CORRUPT, hpo_damage(store));
    hpo_error_detail(store, &detail);
    cr_assert_eq(detail.code, HPO_CORRUPT);
    cr_assert(strstr(detail.path, ".wal"));
    close_store(store);
}

Test(store, a_sound_store_has_no_damage)
{
    struct hpo_store *store = open_store(), *reader = open_with(HPO_OPEN_READ_ONLY);

    gives(0, hpo_damage(store));
    gives(0, hpo_damage(reader));
    gives(HPO_INVALID, hpo_damage(NULL));
    close_store(reader);
    close_store(store);
}

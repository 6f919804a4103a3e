/*
 * tsan_main: threads on one handle, handles side by side in one process, and closing while others
 * still work. A program of its own, without Criterion, so that ThreadSanitizer sees all of it; it
 * runs in every build, and its name in ctest is threads.main.
 */
#include "hpo.h"
#include "os.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 8 };

static char path[600];
static unsigned trials_per_thread = 25;
static _Atomic int failures;

static void fail(const char *where, int code, struct hpo_store *store)
{
    struct hpo_error_detail detail;

    if (store)
        hpo_error_detail(store, &detail);
    else
        hpo_open_error(&detail);
    fprintf(stderr, "%s: %d %s\n", where, code, detail.message);
    atomic_fetch_add(&failures, 1);
}

#define expect(condition, what)                                       \
    do {                                                              \
        if (!(condition)) {                                           \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, what); \
            atomic_fetch_add(&failures, 1);                           \
        }                                                             \
    } while (0)

static struct hpo_store *open_store(void)
{
    struct hpo_store *store = NULL;
    int err = hpo_open(path, NULL, &store);

    if (err < 0) {
        fail("open", err, NULL);
        exit(1);
    }
    return store;
}

static struct hpo_study *make_study(struct hpo_store *store, const char *name, const char *sampler)
{
    static const struct hpo_param space[] = {
        {"x", {.kind = HPO_FLOAT, .low = 0, .high = 1}},
        {"n", {.kind = HPO_INT, .low_int = 0, .high_int = 9}},
    };
    struct hpo_study_options options = {
        .size = sizeof(options), .params = space, .param_count = 2, .sampler = sampler};
    struct hpo_study *study = NULL;
    int err = hpo_study_create(store, name, &options, &study);

    if (err < 0) {
        fail("create", err, store);
        exit(1);
    }
    return study;
}

/* One trial from ask to tell, with everything in between. */
static int one_trial(struct hpo_store *store, struct hpo_study *study, unsigned i)
{
    struct hpo_trial *trial = NULL;
    struct hpo_trial_info *info;
    double value = 0, x = 0;
    bool prune;
    int err;

    err = hpo_ask(study, NULL, &trial);
    if (err != 0) {
        fail("ask", err, store);
        return err;
    }
    err = hpo_suggest_float(trial, "x", 0, 1, 0, &x);
    if (err == 0)
        err = hpo_suggest_float(trial, "undeclared", 0, 1, 0, &value);
    if (err == 0)
        err = hpo_report(trial, 1, x);
    if (err == 0)
        err = hpo_should_prune(trial, &prune);
    if (err == 0)
        err = hpo_trial_attr_set(trial, HPO_ATTR_USER, "k", &i, sizeof(i));
    if (err == 0)
        err = hpo_trial_read(study, hpo_trial_number(trial), &info);
    if (err == 0) {
        expect(info->state == HPO_RUNNING, "a trial of mine is finished by somebody else");
        hpo_trial_info_free(info);
        err = hpo_tell(trial, HPO_COMPLETE, &x, 1);
    }
    if (err < 0)
        fail("trial", err, store);
    hpo_trial_free(trial);
    return err;
}

struct worker {
    pthread_t thread;
    struct hpo_store *store;
    struct hpo_study *study;
    unsigned trials;
};

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct hpo_stat stat = {.size = sizeof(stat)};
    unsigned i;

    for (i = 0; i < worker->trials; i++) {
        if (one_trial(worker->store, worker->study, i) != 0)
            break;
        if (i % 8 == 0 && hpo_stat(worker->store, &stat) < 0)
            fail("stat", 0, worker->store);
    }
    return NULL;
}

/* Numbers 0 .. n - 1, each once, all complete; and the store is sound. */
static void check_study(const char *name, uint64_t n)
{
    struct hpo_fsck_options options = {.size = sizeof(options)};
    struct hpo_fsck_result result;
    struct hpo_store *store = open_store();
    struct hpo_study *study = NULL;
    struct hpo_study_info *info;
    int err = hpo_study_open(store, name, &study);

    if (err < 0)
        fail("study", err, store);
    if (err == 0 && hpo_study_info(study, &info) == 0) {
        expect(info->trials == n && info->complete == n, "a trial is missing or double");
        hpo_study_info_free(info);
    }
    hpo_close(store);
    err = hpo_fsck(path, &options, NULL, NULL, &result);
    if (err < 0)
        fail("fsck", err, NULL);
    else
        expect(result.damages == 0, "the store is damaged");
}

static void threads_on_one_handle(const char *name, const char *sampler)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = make_study(store, name, sampler);
    struct worker workers[THREADS];
    struct hpo_stat before = {.size = sizeof(before)}, after = {.size = sizeof(after)};
    unsigned i;

    hpo_stat(store, &before);
    for (i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.store = store, .study = study, .trials = trials_per_thread};
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    hpo_stat(store, &after);
    printf("%s: %u trials by %d threads on one handle: %llu commits in %llu flushes\n", sampler,
           THREADS * trials_per_thread, THREADS,
           (unsigned long long)(after.commits - before.commits),
           (unsigned long long)(after.flushes - before.flushes));
    hpo_close(store);
    check_study(name, (uint64_t)THREADS * trials_per_thread);
}

static void handles_side_by_side(void)
{
    struct worker workers[THREADS];
    unsigned i;

    for (i = 0; i < THREADS; i++) {
        struct hpo_store *store = open_store();

        workers[i] = (struct worker){.store = store,
                                     .study = make_study(store, "handles", "random"),
                                     .trials = trials_per_thread};
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        hpo_close(workers[i].store);
    }
    check_study("handles", (uint64_t)THREADS * trials_per_thread);
}

/* -- reading while others write -- */

static _Atomic bool stop;

static void *read_all(void *arg)
{
    struct worker *worker = arg;
    struct hpo_cursor *cursor;
    const struct hpo_trial_info *info;
    struct hpo_history *history;
    const struct hpo_record_info *record;
    uint64_t number, last;
    int err;

    while (!atomic_load(&stop)) {
        if (hpo_trial_list(worker->study, 0, &cursor) < 0)
            continue;
        for (number = 0; (err = hpo_cursor_next_trial(cursor, &info)) == 0; number++)
            expect(info->number == number, "the list has a hole");
        expect(err == HPO_NO_MORE, "the list ends with an error");
        hpo_cursor_free(cursor);
        (void)hpo_best(worker->study, &number);
        if (hpo_history_open(worker->store, 0, true, &history) < 0)
            continue;
        for (last = 0; (err = hpo_history_next(history, &record)) == 0; last = record->lsn)
            expect(record->lsn == last || record->lsn == last + 1, "the history has a hole");
        expect(err == HPO_NO_MORE, "the history ends with an error");
        hpo_history_close(history);
    }
    return NULL;
}

static void readers_beside_writers(void)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = make_study(store, "readers", "random");
    struct worker writers[3], readers[2];
    unsigned i;

    atomic_store(&stop, false);
    for (i = 0; i < 2; i++) {
        readers[i] = (struct worker){.store = store, .study = study};
        pthread_create(&readers[i].thread, NULL, read_all, &readers[i]);
    }
    for (i = 0; i < 3; i++) {
        writers[i] = (struct worker){.store = store, .study = study, .trials = trials_per_thread};
        pthread_create(&writers[i].thread, NULL, work, &writers[i]);
    }
    for (i = 0; i < 3; i++)
        pthread_join(writers[i].thread, NULL);
    (void)hpo_snapshot(store);
    atomic_store(&stop, true);
    for (i = 0; i < 2; i++)
        pthread_join(readers[i].thread, NULL);
    hpo_close(store);
    check_study("readers", 3u * trials_per_thread);
}

/* -- closing while others are in a call -- */

static struct hpo_os slow;
static _Atomic unsigned in_flush;

static int slow_sync(void *self, struct os_file *file)
{
    atomic_fetch_add(&in_flush, 1);
    usleep(3000);
    return os_linux()->file_sync_data(self, file);
}

static void *tell_given(void *arg)
{
    struct hpo_trial *trial = arg;
    double value = 1;

    expect(hpo_tell(trial, HPO_COMPLETE, &value, 1) == 0, "a tell under way at the close fails");
    return NULL;
}

/* The tell is known to be inside the library, at the disk, when the close begins. */
static void close_waits_for_calls(void)
{
    struct hpo_options options = {.size = sizeof(options), .os = &slow};
    unsigned round, rounds = 10;

    slow = *os_linux();
    slow.file_sync_data = slow_sync;
    for (round = 0; round < rounds; round++) {
        struct hpo_store *store = NULL;
        struct hpo_trial *trial = NULL;
        struct hpo_study *study;
        pthread_t thread;
        unsigned before;

        if (hpo_open(path, &options, &store) < 0) {
            fail("open", 0, NULL);
            return;
        }
        study = make_study(store, "closing", "random");
        if (hpo_ask(study, NULL, &trial) != 0)
            fail("ask", 0, store);
        before = atomic_load(&in_flush);
        pthread_create(&thread, NULL, tell_given, trial);
        while (atomic_load(&in_flush) == before)
            usleep(100);
        expect(hpo_close(store) == 0, "close");
        pthread_join(thread, NULL);
    }
    check_study("closing", rounds);
}

int main(int argc, char **argv)
{
    const char *base = getenv("TMPDIR");
    char root[512], command[600];

    if (argc > 1)
        trials_per_thread = (unsigned)strtoul(argv[1], NULL, 10);
    snprintf(root, sizeof(root), "%s/hpo-threads-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(root)) {
        perror(root);
        return 1;
    }
    snprintf(path, sizeof(path), "%s/s.hpo", root);
    threads_on_one_handle("one", "random");
    threads_on_one_handle("model", "tpe");
    handles_side_by_side();
    readers_beside_writers();
    close_waits_for_calls();
    snprintf(command, sizeof(command), "rm -rf '%s'", root);
    if (system(command) != 0)
        return 1;
    printf("%d failures\n", atomic_load(&failures));
    return atomic_load(&failures) != 0;
}

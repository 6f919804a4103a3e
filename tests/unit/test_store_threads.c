/*
 * store_threads: what threads of one process may rely on. Races are looked for by tsan_main.c.
 */
#include "api_words.h"

#include <pthread.h>
#include <stdatomic.h>

TestSuite(store_threads, .init = api_setup, .fini = api_teardown, .timeout = 120);

enum { THREADS = 8, TRIALS = 20 };

struct worker {
    pthread_t thread;
    struct hpo_store *store;
    struct hpo_study *study;
    int index;
    uint64_t numbers[TRIALS];
    int err;
};

static struct worker workers[THREADS];

static void start(void *(*fn)(void *), struct hpo_store *store, struct hpo_study *study)
{
    int i;

    for (i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.store = store, .study = study, .index = i};
        cr_assert_eq(pthread_create(&workers[i].thread, NULL, fn, &workers[i]), 0);
    }
}

static void join(void)
{
    int i;

    for (i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        cr_assert_eq(workers[i].err, 0, "thread %d: %d", i, workers[i].err);
    }
}

static void *run_trials(void *arg)
{
    struct worker *worker = arg;
    struct hpo_trial *trial;
    double value = worker->index;
    int i;

    for (i = 0; i < TRIALS && worker->err == 0; i++) {
        worker->err = hpo_ask(worker->study, NULL, &trial);
        if (worker->err != 0)
            break;
        worker->numbers[i] = hpo_trial_number(trial);
        worker->err = hpo_tell(trial, HPO_COMPLETE, &value, 1);
        hpo_trial_free(trial);
    }
    return NULL;
}

Test(store_threads, every_number_is_given_to_one_thread_and_flushes_are_shared)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    bool seen[THREADS * TRIALS] = {false};
    struct hpo_stat before = stat_of(store), after;
    int i, k;

    start(run_trials, store, study);
    join();
    for (i = 0; i < THREADS; i++)
        for (k = 0; k < TRIALS; k++) {
            cr_assert_lt(workers[i].numbers[k], (uint64_t)THREADS * TRIALS);
            cr_assert_not(seen[workers[i].numbers[k]]);
            seen[workers[i].numbers[k]] = true;
        }
    after = stat_of(store);
    cr_assert_eq(after.commits - before.commits, THREADS * TRIALS);
    cr_assert_leq(after.flushes - before.flushes, THREADS * TRIALS);
    close_store(store);
}

/* The same number and seed give the same parameters, whichever thread asks. */
Test(store_threads, parameters_do_not_depend_on_threads)
{
    char alone[TRIALS][64];
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "alone"), *shared;
    struct hpo_trial_info *info;
    int i;

    for (i = 0; i < TRIALS; i++) {
        tell(store, ask(store, study), i);
        info = read_of(store, study, (uint64_t)i);
        snprintf(alone[i], sizeof(alone[i]), "%s", info->params[0].text);
        hpo_trial_info_free(info);
    }
    shared = study_declared(store, "shared");
    start(run_trials, store, shared);
    join();
    for (i = 0; i < TRIALS; i++) {
        info = read_of(store, shared, (uint64_t)i);
        cr_assert_str_eq(info->params[0].text, alone[i]);
        hpo_trial_info_free(info);
    }
    close_store(store);
}

static _Atomic int failed_calls;

static void *fail_own_way(void *arg)
{
    struct worker *worker = arg;
    struct hpo_error_detail detail;
    struct hpo_study *study;
    char name[64];
    int i;

    snprintf(name, sizeof(name), "no study %d", worker->index);
    for (i = 0; i < 200; i++) {
        int code = worker->index % 2 ? hpo_study_open(worker->store, name, &study)
                                     : hpo_study_open(worker->store, "\xff", &study);

        hpo_error_detail(worker->store, &detail);
        if (code != detail.code || code != (worker->index % 2 ? HPO_NOT_FOUND : HPO_INVALID))
            worker->err = code;
        atomic_fetch_add(&failed_calls, 1);
    }
    return NULL;
}

Test(store_threads, each_thread_sees_the_reason_of_its_own_failure)
{
    struct hpo_store *store = open_store();
    struct hpo_error_detail detail;

    start(fail_own_way, store, NULL);
    join();
    cr_assert_eq(failed_calls, THREADS * 200);
    hpo_error_detail(store, &detail);
    cr_assert_eq(detail.code, 0, "this thread has had none");
    close_store(store);
}

static void *share_one_trial(void *arg)
{
    struct worker *worker = arg;
    struct hpo_trial *trial = (struct hpo_trial *)(void *)worker->study;
    char name[16];
    double value;
    int i;

    for (i = 0; i < 20 && worker->err == 0; i++) {
        snprintf(name, sizeof(name), "p%d", i);
        worker->err = hpo_suggest_float(trial, name, 0, 1, 0, &value);
        if (worker->err == 0)
            worker->err = hpo_report(trial, i, value);
    }
    return NULL;
}

Test(store_threads, threads_may_share_a_trial_and_names_keep_one_value)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_named(store, "s");
    struct hpo_trial *trial = ask(store, study);
    struct hpo_trial_info *info;
    size_t i;

    start(share_one_trial, store, (struct hpo_study *)(void *)trial);
    join();
    info = read_of(store, study, 0);
    cr_assert_eq(info->param_count, 20);
    cr_assert_eq(info->report_count, 20);
    for (i = 0; i < 20; i++)
        cr_assert_eq(info->reports[i].value, info->params[info->reports[i].step].value);
    hpo_trial_info_free(info);
    close_store(store);
}

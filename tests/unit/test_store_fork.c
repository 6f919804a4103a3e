/*
 * store_fork: children that inherit handles, and processes that are killed.
 */
#include "api_words.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

TestSuite(store_fork, .init = api_setup, .fini = api_teardown, .timeout = 120);

/* Run fn in a child; its exit status. */
static int in_child(int (*fn)(void *arg), void *arg)
{
    int status;
    pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid == 0)
        _exit(fn(arg));
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

struct inherited {
    struct hpo_store *store;
    struct hpo_study *study;
    struct hpo_trial *trial;
    struct hpo_cursor *cursor;
    struct hpo_history *history;
};

#define child_expects(code, call)                           \
    do {                                                    \
        int child_result_ = (call);                         \
        if (child_result_ != (code)) {                      \
            fprintf(stderr, #call ": %d\n", child_result_); \
            return 1;                                       \
        }                                                   \
    } while (0)

static int use_inherited(void *arg)
{
    struct inherited *in = arg;
    struct hpo_stat stat = {.size = sizeof(stat)};
    struct hpo_study_info *study_info;
    struct hpo_trial_info *trial_info;
    const struct hpo_trial_info *next;
    const struct hpo_record_info *record;
    struct hpo_error_detail detail;
    struct hpo_history *history;
    struct hpo_cursor *cursor;
    struct hpo_study *study;
    struct hpo_trial *trial;
    uint64_t number, *numbers;
    size_t size;
    double value = 1;
    void *out;
    bool prune;

    child_expects(HPO_FORKED, hpo_sync(in->store));
    hpo_error_detail(in->store, &detail);
    if (detail.code != HPO_FORKED)
        return 2;
    child_expects(HPO_FORKED, hpo_damage(in->store));
    child_expects(HPO_FORKED, hpo_stat(in->store, &stat));
    child_expects(HPO_FORKED, hpo_sessions(in->store, (void *)1, NULL));
    child_expects(HPO_FORKED, hpo_snapshot(in->store));
    child_expects(HPO_FORKED, hpo_study_create(in->store, "t", NULL, &study));
    child_expects(HPO_FORKED, hpo_study_open(in->store, "s", &study));
    child_expects(HPO_FORKED, hpo_study_open_id(in->store, 1, &study));
    child_expects(HPO_FORKED, hpo_study_delete(in->store, "s"));
    child_expects(HPO_FORKED, hpo_study_list(in->store, &cursor));
    child_expects(HPO_FORKED, hpo_study_info(in->study, &study_info));
    child_expects(HPO_FORKED, hpo_study_attr_set(in->study, HPO_ATTR_USER, "k", "v", 1));
    child_expects(HPO_FORKED, hpo_study_attr_get(in->study, HPO_ATTR_USER, "k", &out, &size));
    child_expects(HPO_FORKED, hpo_ask(in->study, NULL, &trial));
    child_expects(HPO_FORKED, hpo_trial_attach(in->study, 0, &trial));
    child_expects(HPO_FORKED, hpo_enqueue(in->study, NULL, 0, NULL));
    child_expects(HPO_FORKED, hpo_trial_read(in->study, 0, &trial_info));
    child_expects(HPO_FORKED, hpo_trial_list(in->study, 0, &cursor));
    child_expects(HPO_FORKED, hpo_best(in->study, &number));
    child_expects(HPO_FORKED, hpo_pareto(in->study, &numbers, &size));
    child_expects(HPO_FORKED, hpo_suggest_float(in->trial, "x", 0, 1, 0, &value));
    child_expects(HPO_FORKED, hpo_report(in->trial, 1, 1));
    child_expects(HPO_FORKED, hpo_should_prune(in->trial, &prune));
    child_expects(HPO_FORKED, hpo_trial_attr_set(in->trial, HPO_ATTR_USER, "k", "v", 1));
    child_expects(HPO_FORKED, hpo_trial_attr_get(in->trial, HPO_ATTR_USER, "k", &out, &size));
    child_expects(HPO_FORKED, hpo_tell(in->trial, HPO_COMPLETE, &value, 1));
    child_expects(HPO_FORKED, hpo_tell_and_stop(in->trial, HPO_COMPLETE, &value, 1));
    child_expects(HPO_FORKED, hpo_abandon(in->trial));
    child_expects(HPO_FORKED, hpo_cursor_next_trial(in->cursor, &next));
    child_expects(HPO_FORKED, hpo_history_open(in->store, 0, false, &history));
    child_expects(HPO_FORKED, hpo_history_next(in->history, &record));
    if (hpo_trial_number(in->trial) != 0) /* what needs no store still answers */
        return 3;
    hpo_trial_free(in->trial);
    hpo_study_free(in->study);
    hpo_cursor_free(in->cursor);
    hpo_history_close(in->history);
    child_expects(0, hpo_close(in->store));
    return 0;
}

Test(store_fork, a_child_gets_forked_from_every_inherited_handle)
{
    struct inherited in;

    in.store = open_store();
    in.study = study_declared(in.store, "s");
    in.trial = ask(in.store, in.study);
    ok(in.store, hpo_trial_list(in.study, 0, &in.cursor));
    ok(in.store, hpo_history_open(in.store, 0, false, &in.history));
    cr_assert_eq(in_child(use_inherited, &in), 0);
    /* and the parent has noticed nothing */
    cr_assert_eq(state_of(in.store, in.study, 0), HPO_RUNNING);
    tell(in.store, in.trial, 1);
    hpo_cursor_free(in.cursor);
    hpo_history_close(in.history);
    close_store(in.store);
}

static int open_own(void *arg)
{
    struct hpo_store *store = NULL;
    struct hpo_study *study;
    struct hpo_trial *trial;
    double value = 2;

    (void)arg;
    child_expects(0, hpo_open(api_path, NULL, &store));
    child_expects(0, hpo_study_open(store, "s", &study));
    child_expects(0, hpo_ask(study, NULL, &trial));
    child_expects(0, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    child_expects(0, hpo_close(store));
    return 0;
}

Test(store_fork, a_child_opens_its_own)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_trial *trial = ask(store, study);

    cr_assert_eq(in_child(open_own, NULL), 0);
    cr_assert_eq(state_of(store, study, 1), HPO_COMPLETE);
    cr_assert_eq(state_of(store, study, 0), HPO_RUNNING, "the parent's session lives on");
    tell(store, trial, 1);
    close_store(store);
}

/* -- processes that are killed -- */

static int64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Ask for a trial, say so, and wait to be killed. */
static pid_t start_worker(int *ready)
{
    int ends[2];
    pid_t pid;

    cr_assert_eq(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        struct hpo_store *store = NULL;
        struct hpo_study *study;
        struct hpo_trial *trial;
        uint64_t number;

        if (hpo_open(api_path, NULL, &store) < 0 || hpo_study_open(store, "s", &study) < 0 ||
            hpo_ask(study, NULL, &trial) != 0 || hpo_report(trial, 1, 1) != 0)
            _exit(1);
        number = hpo_trial_number(trial);
        if (write(ends[1], &number, sizeof(number)) != sizeof(number))
            _exit(1);
        for (;;)
            pause();
    }
    close(ends[1]);
    *ready = ends[0];
    return pid;
}

static uint64_t number_of(int ready)
{
    uint64_t number = UINT64_MAX;

    cr_assert_eq(read(ready, &number, sizeof(number)), (ssize_t)sizeof(number));
    close(ready);
    return number;
}

static void kill_worker(pid_t pid)
{
    int status;

    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    cr_assert(WIFSIGNALED(status));
}

Test(store_fork, the_trial_of_a_killed_process_comes_back_at_the_next_ask)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_trial_info *before, *after;
    struct hpo_trial *trial;
    int64_t started, waited;
    int ready;
    pid_t pid;

    tell(store, ask(store, study), 1);
    pid = start_worker(&ready);
    cr_assert_eq(number_of(ready), 1);
    before = read_of(store, study, 1);
    cr_assert_eq(before->report_count, 1);
    trial = ask(store, study);
    cr_assert_eq(hpo_trial_number(trial), 2, "alive: its trial is its own");
    kill_worker(pid);
    started = now_us();
    tell(store, ask(store, study), 3);
    waited = now_us() - started;
    after = read_of(store, study, 1);
    cr_assert_eq(after->state, HPO_COMPLETE);
    cr_assert_eq(after->report_count, 0);
    cr_assert_eq(after->view, before->view);
    cr_assert_eq(after->params[0].value, before->params[0].value);
    cr_assert_lt(waited, 2000000);
    hpo_trial_info_free(before);
    hpo_trial_info_free(after);
    close_store(store);
}

Test(store_fork, eight_killed_processes_leave_eight_numbers)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    bool seen[8] = {false};
    pid_t pids[8];
    int ready[8], i;

    for (i = 0; i < 8; i++)
        pids[i] = start_worker(&ready[i]);
    for (i = 0; i < 8; i++) {
        uint64_t number = number_of(ready[i]);

        cr_assert_lt(number, 8);
        cr_assert_not(seen[number]);
        seen[number] = true;
    }
    cr_assert_eq(stat_of(store).trials_running, 8);
    for (i = 0; i < 8; i++)
        kill_worker(pids[i]);
    for (i = 0; i < 8; i++) {
        struct hpo_trial *trial = ask(store, study);

        cr_assert_eq(hpo_trial_number(trial), (uint64_t)i);
        tell(store, trial, i);
    }
    cr_assert_eq(stat_of(store).trials, 8);
    cr_assert_eq(stat_of(store).sessions, 1);
    close_store(store);
}

/* A data loader that was forked by a trainer must not keep it alive: its copy of the lock's
 * descriptor is closed in the fork. */
Test(store_fork, a_child_that_lives_on_does_not_keep_its_dead_parent_alive)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    int ends[2], status;
    pid_t trainer, loader = 0;

    cr_assert_eq(pipe(ends), 0);
    trainer = fork();
    if (trainer == 0) {
        struct hpo_store *own = NULL;
        struct hpo_study *same;
        struct hpo_trial *trial;

        if (hpo_open(api_path, NULL, &own) < 0 || hpo_study_open(own, "s", &same) < 0 ||
            hpo_ask(same, NULL, &trial) != 0)
            _exit(1);
        loader = fork();
        if (loader == 0)
            for (;;)
                pause();
        if (write(ends[1], &loader, sizeof(loader)) != sizeof(loader))
            _exit(1);
        for (;;)
            pause();
    }
    cr_assert_eq(read(ends[0], &loader, sizeof(loader)), (ssize_t)sizeof(loader));
    cr_assert_eq(hpo_trial_number(ask(store, study)), 1);
    kill(trainer, SIGKILL);
    waitpid(trainer, &status, 0);
    cr_assert_eq(kill(loader, 0), 0, "the loader lives");
    cr_assert_eq(hpo_trial_number(ask(store, study)), 0);
    kill(loader, SIGKILL);
    close_store(store);
}

static int acknowledge(char *seen, uint64_t number)
{
    cr_assert_lt(number, 1u << 20);
    cr_assert_not(seen[number], "trial %d was acknowledged twice", (int)number);
    seen[number] = 1;
    return 1;
}

/* The process dies between appending and flushing again and again; nothing acknowledged is lost. */
Test(store_fork, kills_at_random_instants_lose_nothing_that_was_acknowledged)
{
    struct hpo_fsck_options options = {.size = sizeof(options)};
    struct hpo_fsck_result result;
    struct hpo_store *store;
    struct hpo_study *study;
    int acknowledged[2], round, told = 0, rounds = 30;
    uint64_t number;
    char *seen = calloc(1, 1 << 20);

    store = open_store();
    hpo_study_free(study_declared(store, "s"));
    close_store(store);
    cr_assert_eq(pipe(acknowledged), 0);
    for (round = 0; round < rounds; round++) {
        pid_t pid = fork();

        if (pid == 0) {
            struct hpo_trial *trial;
            double value;

            if (hpo_open(api_path, NULL, &store) < 0 || hpo_study_open(store, "s", &study) < 0)
                _exit(1);
            for (;;) {
                if (hpo_ask(study, NULL, &trial) != 0)
                    _exit(1);
                number = hpo_trial_number(trial);
                value = (double)number;
                if (hpo_tell(trial, HPO_COMPLETE, &value, 1) != 0)
                    _exit(1);
                if (write(acknowledged[1], &number, sizeof(number)) != sizeof(number))
                    _exit(1);
                hpo_trial_free(trial);
            }
        }
        if (round % 3 == 0) { /* so that a slow machine gets somewhere, too */
            cr_assert_eq(read(acknowledged[0], &number, sizeof(number)), (ssize_t)sizeof(number));
            told += acknowledge(seen, number);
        }
        usleep((useconds_t)(1000 + 7919 * round % 20000));
        kill_worker(pid);
    }
    close(acknowledged[1]);
    while (read(acknowledged[0], &number, sizeof(number)) == sizeof(number))
        told += acknowledge(seen, number);
    store = open_store();
    ok(store, hpo_study_open(store, "s", &study));
    for (number = 0; number < 1u << 20; number++)
        if (seen[number])
            cr_assert_eq(state_of(store, study, number), HPO_COMPLETE);
    cr_assert_geq(stat_of(store).trials, (uint64_t)told);
    close_store(store);
    cr_assert_eq(hpo_fsck(api_path, &options, NULL, NULL, &result), 0);
    cr_assert_eq(result.damages, 0);
    fprintf(stderr, "%d kills, %d trials acknowledged, all there\n", rounds, told);
    cr_assert_gt(told, 0);
    free(seen);
}

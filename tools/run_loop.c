/*
 * run_loop: take trials while there are free places, sleep until something happens, settle it.
 *
 * All that can happen arrives at poll: signals through a signalfd (SIGCHLD among them), lines of
 * programs, deadlines as its timeout. While others work on the last trials the store is asked every
 * WAIT_MS: a worker that died is noticed by that.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "tools/cli.h"
#include "tools/memory.h"
#include "tools/run.h"

#define WAIT_MS 20
#define PROGRESS_MS 1000
#define SAY_WAITING_MS 5000
#define NEVER INT64_MAX

int64_t run_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* -- ending -- */

static void stop_jobs(struct run *run)
{
    run->mode = RUN_STOPPING;
    for (uint64_t i = 0; i < run->options->jobs; i++) {
        struct job *job = &run->jobs[i];

        if (job->trial && !job->telling.begun && !job->stopped) {
            job->stopped = true;
            job_ask_to_end(run, job);
        }
    }
}

void run_end(struct run *run, int status, bool stop)
{
    if (!run->status)
        run->status = status;
    if (stop)
        stop_jobs(run);
    else if (run->mode == RUN_ASKING)
        run->mode = RUN_DRAINING;
}

void run_failed_with(struct run *run, int code, const struct hpo_error_detail *detail)
{
    int status = run->status; /* one line is enough: the first */

    if (!status)
        status = cli_failed_with(detail, code, cli.store_path);
    /* On a full disk running trials may still be told. After anything else the store cannot be
     * trusted to take them. */
    run_end(run, status, code != HPO_NOSPACE);
}

void run_failed(struct run *run, int code)
{
    struct hpo_error_detail detail;

    hpo_error_detail(run->store, &detail);
    run_failed_with(run, code, &detail);
}

/* -- taking trials -- */

static struct job *free_place(struct run *run)
{
    for (uint64_t i = 0; i < run->options->jobs; i++)
        if (!run->jobs[i].trial)
            return &run->jobs[i];
    return NULL;
}

static void take_trials(struct run *run)
{
    struct hpo_ask_options ask = {.size = sizeof(ask), .total = run->options->trials};
    struct job *place;

    run->waiting = false;
    while (run->mode == RUN_ASKING && !run->over && !run->waiting && (place = free_place(run))) {
        struct hpo_trial *trial;
        int code = hpo_ask(run->study, &ask, &trial);

        if (code == HPO_OK)
            job_start(run, place, trial);
        else if (code == HPO_NO_MORE)
            run->over = true;
        else if (code == HPO_WAIT)
            run->waiting = true;
        else
            run_failed(run, code);
    }
}

/* Who keeps us waiting: a detached trial that somebody forgot waits for ever. */
static void say_who_is_awaited(struct run *run)
{
    const struct hpo_trial_info *trial;
    struct hpo_cursor *cursor;
    struct text line = {0};
    unsigned count = 0;

    if (run->options->quiet || hpo_trial_list(run->study, 1u << HPO_RUNNING, &cursor) < 0)
        return;
    while (count < 5 && hpo_cursor_next_trial(cursor, &trial) == HPO_OK)
        text_addf(&line,
                  trial->detached ? "%s %" PRIu64 " (hpo ask began it; finish it with hpo tell "
                                    "or hpo abandon)"
                                  : "%s %" PRIu64 " (another process runs it; see hpo stat)",
                  count++ ? "," : "", trial->number);
    if (count)
        cli_say("waiting for trial%s%s", count == 1 ? "" : "s", line.data);
    text_release(&line);
    hpo_cursor_free(cursor);
}

static void note_waiting(struct run *run)
{
    int64_t now = run_now_ms();

    if (!run->waiting || run->running) {
        run->waiting_since = 0;
    } else if (!run->waiting_since) {
        run->waiting_since = now;
    } else if (now - run->waiting_since >= SAY_WAITING_MS && !run->waiting_said) {
        run->waiting_said = true;
        say_who_is_awaited(run);
    }
}

/* -- signals -- */

static void shift_deadline(int64_t *at, int64_t by)
{
    if (*at)
        *at += by;
}

/* Ctrl-Z: the programs, in groups of their own, have not heard it. The time does not count. */
static void pause_all(struct run *run)
{
    int64_t since = run_now_ms();

    for (uint64_t i = 0; i < run->options->jobs; i++)
        job_signal(&run->jobs[i], SIGSTOP);
    progress_clear(&run->progress);
    (void)raise(SIGSTOP);
    for (uint64_t i = 0; i < run->options->jobs; i++) {
        job_signal(&run->jobs[i], SIGCONT);
        shift_deadline(&run->jobs[i].timeout_at, run_now_ms() - since);
        shift_deadline(&run->jobs[i].kill_at, run_now_ms() - since);
    }
}

static void take_signal(struct run *run, int signal_number)
{
    if (signal_number == SIGCHLD)
        return; /* it has woken us */
    if (signal_number == SIGTSTP) {
        pause_all(run);
        return;
    }
    if (run->mode == RUN_ASKING || (run->mode == RUN_DRAINING && !run->signalled)) {
        bool busy = run->running > 0;

        run->signalled = true;
        run_end(run, 0, false);
        if (busy && !run->options->quiet)
            cli_say("%s: no new trials; waiting for %zu running (once more: stop them)",
                    strsignal(signal_number), run->running);
    } else if (run->mode == RUN_DRAINING) {
        if (!run->options->quiet)
            cli_say("%s: stopping %zu running; they will be run again", strsignal(signal_number),
                    run->running);
        stop_jobs(run);
    } else { /* a third time: no more patience */
        for (uint64_t i = 0; i < run->options->jobs; i++)
            job_signal(&run->jobs[i], SIGKILL);
    }
}

static void take_signals(struct run *run)
{
    struct signalfd_siginfo info;

    while (read(run->signal_fd, &info, sizeof(info)) == sizeof(info))
        take_signal(run, (int)info.ssi_signo);
}

/* -- time -- */

static void look_at_deadlines(struct run *run, int64_t now)
{
    for (uint64_t i = 0; i < run->options->jobs; i++) {
        struct job *job = &run->jobs[i];

        if (!job->trial || job->telling.begun)
            continue;
        if (job->timeout_at && now >= job->timeout_at) {
            job->timeout_at = 0;
            if (!job->kill_at) {
                job->timed_out = true;
                job_ask_to_end(run, job);
            }
        }
        if (job->kill_at && now >= job->kill_at) {
            job->kill_at = now + run->options->grace_ms + 1000; /* should it be stuck */
            job_signal(job, SIGKILL);
        }
    }
}

static int64_t earlier(int64_t a, int64_t b)
{
    return b && b < a ? b : a;
}

static int poll_timeout(const struct run *run)
{
    int64_t at = NEVER, now = run_now_ms();

    for (uint64_t i = 0; i < run->options->jobs; i++) {
        if (!run->jobs[i].trial || run->jobs[i].telling.begun)
            continue;
        at = earlier(at, run->jobs[i].timeout_at);
        at = earlier(at, run->jobs[i].kill_at);
    }
    if (run->progress.enabled)
        at = earlier(at, now + PROGRESS_MS);
    if (run->waiting)
        at = earlier(at, now + WAIT_MS);
    if (at == NEVER)
        return -1;
    at -= now;
    return at < 0 ? 0 : at > 1000000 ? 1000000 : (int)at;
}

/* -- the loop -- */

static void sleep_until_something(struct run *run, struct pollfd *fds)
{
    nfds_t count = 0;
    uint64_t jobs = run->options->jobs, wakes;

    fds[count++] = (struct pollfd){.fd = run->signal_fd, .events = POLLIN};
    fds[count++] = (struct pollfd){.fd = run->wake_fd, .events = POLLIN};
    for (uint64_t i = 0; i < jobs; i++)
        if (run->jobs[i].trial && run->jobs[i].result_fd >= 0)
            fds[count++] = (struct pollfd){.fd = run->jobs[i].result_fd, .events = POLLIN};
    (void)poll(fds, count, poll_timeout(run));
    (void)!read(run->wake_fd, &wakes, sizeof(wakes)); /* who it was, each job knows */
}

static const char *progress_note(const struct run *run)
{
    if (run->mode == RUN_STOPPING)
        return "stopping";
    if (run->mode == RUN_DRAINING)
        return "finishing what runs";
    return run->waiting && run->running == 0 ? "waiting for others" : NULL;
}

static void look_at_job(struct run *run, struct job *job)
{
    if (job->telling.begun) {
        if (job_is_told(job))
            job_end_tell(run, job);
        return;
    }
    job_read(run, job);
    if (job_has_ended(job))
        job_settle(run, job);
}

void run_loop(struct run *run)
{
    uint64_t jobs = run->options->jobs;
    struct pollfd *fds = memory_new(jobs + 2, sizeof(*fds));

    for (;;) {
        take_trials(run);
        if (run->running == 0 && (run->over || run->mode != RUN_ASKING))
            break;
        note_waiting(run);
        progress_draw(&run->progress, run->study, run->options->trials, progress_note(run), false);
        sleep_until_something(run, fds);
        take_signals(run);
        look_at_deadlines(run, run_now_ms());
        for (uint64_t i = 0; i < jobs; i++)
            if (run->jobs[i].trial)
                look_at_job(run, &run->jobs[i]);
    }
    free(fds);
}

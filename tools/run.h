/*
 * run: what the parts of `hpo run` share.
 *
 *     run.c        the command line; opens everything and closes it
 *     run_loop.c   asks for trials while there are free places, waits for what happens, until done
 *     run_job.c    one attempt: its directory, program, lines, end
 *     run_settle.c what an end means for the trial
 *     run_tell.c   telling the store
 *     progress.c   the line that is redrawn, the summary
 *
 * Invariants
 *   R1  A trial that was asked for is in exactly one job, and a job leaves it told, abandoned, or
 * to the store's close, which rolls it back. R2  Nothing about an attempt is remembered but through
 * the store, except how often its number was interrupted or failed in this process (struct tries).
 *   R3  An attempt's processes are dead before its trial is told or abandoned: the next attempt may
 *       begin that instant.
 */
#ifndef HPO_TOOLS_RUN_H
#define HPO_TOOLS_RUN_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "hpo.h"
#include "tools/guardian.h"
#include "tools/outcome.h"
#include "tools/progress.h"
#include "tools/result.h"
#include "tools/study_setup.h"
#include "tools/workdir.h"

enum run_on_fail { ON_FAIL_TELL, ON_FAIL_RETRY, ON_FAIL_STOP, ON_FAIL_PENALTY };
enum run_output { OUTPUT_KEEP, OUTPUT_FAILED, OUTPUT_NONE };

struct run_options {
    struct study_setup setup;
    uint64_t trials; /* 0: until stopped */
    uint64_t jobs;
    int64_t timeout_ms, grace_ms; /* 0: no timeout */
    const char **keys;            /* --result */
    size_t key_count;
    uint64_t interrupts_max;
    uint64_t fails_max; /* 0: never give up */
    int interrupt_code; /* -1: none */
    enum run_on_fail on_fail;
    uint64_t retries;
    double penalty[RESULT_VALUES_MAX];
    size_t penalty_count;
    const char *penalty_text;
    const char *work_dir; /* NULL: STORE.trials */
    enum run_output output;
    bool verbose, quiet;
    char **program; /* with placeholders, NULL at its end */
};

/* Telling the store, perhaps in a thread. */
struct telling {
    bool begun;       /* the program has ended, the store is being told */
    bool threaded;    /* else it is done by the time job_tell returns */
    atomic_bool done; /* the thread has; set last */
    pthread_t thread;
    int wake_fd;
    struct hpo_store *store;
    struct hpo_trial *trial;
    enum hpo_trial_state state;
    double values[RESULT_VALUES_MAX];
    size_t count;
    struct text reason; /* of a failure, else empty */
    int code;
    struct hpo_error_detail detail;
};

/* One attempt of one trial. */
struct job {
    struct hpo_trial *trial; /* NULL: the place is free */
    uint64_t number;
    pid_t pid; /* and process group */
    char *directory;
    int stdout_fd, stderr_fd; /* files in it; -1 if none */
    int result_fd;            /* our end of HPO_RESULT_FD; -1 when at its end */
    struct text line;         /* what came of a line whose end is still missing */
    struct text bad_line;     /* what is wrong with the first unreadable line */
    bool has_values, has_report;
    double values[RESULT_VALUES_MAX], last_report;
    json_t *attrs;
    bool stopped, pruned, timed_out; /* why it was told to end */
    int64_t timeout_at, kill_at;     /* milliseconds, 0: never */
    struct telling telling;
};

/* What this process has seen of a number that was not told yet. */
struct tries {
    uint64_t number, interrupts, failures;
};

enum run_mode {
    RUN_ASKING,   /* take trials */
    RUN_DRAINING, /* take no more, let running ones finish */
    RUN_STOPPING, /* running ones have been told to stop and will be rolled back */
};

struct run {
    const struct run_options *options;
    struct hpo_store *store;
    struct hpo_study *study;
    size_t value_count; /* directions */
    struct guardian guardian;
    struct workdir workdir;
    sigset_t program_mask; /* signal mask before we changed ours */
    int signal_fd;
    int wake_fd;      /* an eventfd: a teller is done */
    struct job *jobs; /* options->jobs places */
    size_t running;
    struct tries *tries;
    size_t tries_count;
    enum run_mode mode;
    uint64_t fails_in_row; /* of this process, all for the same reason */
    struct text fail_reason;
    bool waiting_said;
    int64_t waiting_since; /* nothing runs here and others are at work; 0: not so */
    bool over;             /* hpo_ask said that there is no more */
    bool waiting;          /* hpo_ask said to wait for others */
    bool signalled;        /* a signal ended it early */
    int status;            /* exit code of what went wrong first */
    struct progress progress;
};

int64_t run_now_ms(void);
/* Something went wrong that ends the run: no new trials, and with `stop` no old ones either. */
void run_end(struct run *run, int status, bool stop);
/* A call of the library failed: say so and end the run as the code demands. */
void run_failed(struct run *run, int code);
void run_failed_with(struct run *run, int code, const struct hpo_error_detail *detail);

/* run_loop.c: until the search is done or the run ended. */
void run_loop(struct run *run);

/* run_job.c */
/* Start the program for a trial just asked for; takes it over. If that fails, the trial has been
 * abandoned, the run ended, and the place is free. */
void job_start(struct run *run, struct job *job, struct hpo_trial *trial);
/* Read what has come on HPO_RESULT_FD. */
void job_read(struct run *run, struct job *job);
/* Has the program ended? Its exit status is still to be fetched. */
bool job_has_ended(const struct job *job);
/* Ask the program's group to end, and see to it after the grace. */
void job_ask_to_end(struct run *run, struct job *job);
void job_signal(const struct job *job, int signal_number);
/* After job_has_ended: end what is left of the group, read the rest, reap. Returns the status of
 * waitpid. */
int job_reap(struct run *run, struct job *job);
/* The last result on stdout, if none came on the descriptor; sets values. */
void job_find_result(struct run *run, struct job *job);
/* Free the place. `keep`: leave the directory. */
void job_release(struct run *run, struct job *job, bool keep_directory, bool keep_output);
/* Append the end of stderr, as a JSON string; false if it is empty. */
bool job_stderr_line(const struct job *job, struct text *out); /* its last line, for people */
bool job_stderr_tail(const struct job *job, struct text *out, size_t limit);

/* run_settle.c */
/* The program of `job` has ended: settle its trial. The place is free afterwards, or telling. */
void job_settle(struct run *run, struct job *job);
void run_forget_tries(struct run *run, uint64_t number);

/* run_tell.c */
/* Tell the store; `reason` (why it failed, or "") becomes an attribute. */
void job_tell(struct run *run, struct job *job, enum hpo_trial_state state, const double *values,
              size_t count, const char *reason);
bool job_is_told(const struct job *job);
/* After job_is_told: say so and free the place. */
void job_end_tell(struct run *run, struct job *job);
/* Roll the trial back and free the place. */
void job_give_up(struct run *run, struct job *job);

#endif

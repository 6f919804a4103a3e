/*
 * run_tell: from a judged attempt to a record in the store.
 *
 * Telling waits for the disk. With several jobs each waits in a thread of its own: flushes are
 * shared then, and the loop goes on listening to the other programs. A teller touches nothing but
 * its struct telling and the trial.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/cli.h"
#include "tools/run.h"
#include "tools/trial_out.h"
#include "tools/writer.h"

#define TAIL_BYTES 2048 /* of stderr, kept with a failed trial */
#define TELL_TRIES 5    /* a failed flush moves the log to a new file; that, too, may fail */

void job_give_up(struct run *run, struct job *job)
{
    int code = hpo_abandon(job->trial);

    if (code < 0 && run->mode != RUN_STOPPING)
        run_failed(run, code);
    job_release(run, job, false, false);
}

/* -- attributes -- */

static int set_attr(struct job *job, const char *key, const json_t *value)
{
    struct writer writer = {0};
    char *bytes = NULL;
    size_t size;
    int code = HPO_NOMEM;

    writer.out = open_memstream(&bytes, &size);
    if (!writer.out)
        return HPO_NOMEM;
    writer_json(&writer, NULL, value);
    if (fclose(writer.out) == 0)
        code = hpo_trial_attr_set(job->trial, HPO_ATTR_USER, key, bytes, size);
    free(bytes);
    return code;
}

static int set_attrs(struct job *job)
{
    const char *key;
    json_t *value;
    int code = HPO_OK;

    json_object_foreach(job->attrs, key, value)
    {
        code = set_attr(job, key, value);
        if (code < 0)
            break;
    }
    return code;
}

/* What went wrong, for whoever looks at the trial later. */
static int set_failure(struct job *job, const char *reason)
{
    struct text error = {0}, tail = {0};
    int code;

    result_tail(&error, reason, strlen(reason), TAIL_BYTES);
    code = hpo_trial_attr_set(job->trial, HPO_ATTR_OWN, "error", error.data, error.size);
    if (code == HPO_OK && job_stderr_tail(job, &tail, TAIL_BYTES))
        code = hpo_trial_attr_set(job->trial, HPO_ATTR_OWN, "stderr", tail.data, tail.size);
    text_release(&error);
    text_release(&tail);
    return code;
}

/* -- what is said about it -- */

/* Why, and the last thing that the program had to say. */
static void add_reason(struct text *line, const struct job *job, const char *reason)
{
    struct text last = {0};

    text_addf(line, ": %s", reason);
    if (job_stderr_line(job, &last))
        text_addf(line, ": %s", last.data);
    text_release(&last);
}

/* One line for a trial that the store has acknowledged. */
static void announce(const struct run *run, const struct job *job)
{
    const struct telling *telling = &job->telling;
    const char *reason = text_string(&telling->reason);
    struct text line = {0};

    if (run->options->quiet || (!*reason && !run->options->verbose))
        return;
    text_addf(&line, "trial %" PRIu64 " %s", job->number, trial_state_name(telling->state));
    if (telling->count) {
        text_add_char(&line, ' ');
        trial_print_values(&line, telling->values, telling->count);
    }
    if (*reason)
        add_reason(&line, job, reason);
    cli_say("%s", text_string(&line));
    text_release(&line);
}

/* Is no trial of the study any good? */
static bool nothing_succeeded(struct run *run)
{
    struct hpo_study_info *info;
    bool nothing;

    if (hpo_study_info(run->study, &info) < 0)
        return false;
    nothing = info->complete == 0 && info->pruned == 0;
    hpo_study_info_free(info);
    return nothing;
}

/* A misspelt --result or a missing module lets every trial fail; a night later all of them would be
 * used up. So a search that begins with nothing but the same failure ends. */
static void count_failure(struct run *run, const char *reason)
{
    if (run->fails_in_row && strcmp(text_string(&run->fail_reason), reason) == 0)
        run->fails_in_row++;
    else
        run->fails_in_row = 1;
    text_clear(&run->fail_reason);
    text_add(&run->fail_reason, reason);
    if (run->options->fails_max && run->fails_in_row == run->options->fails_max &&
        run->mode == RUN_ASKING && nothing_succeeded(run)) {
        cli_say("%" PRIu64 " trials in a row failed, and none of the study succeeded: %s; mend the "
                "program or its options, then begin another --study (--fails-max 0 goes on)",
                run->fails_in_row, reason);
        run_end(run, EXIT_FAILED, false);
    }
}

/* -- telling -- */

static void tell(struct telling *telling)
{
    int code;

    for (int tries = 0;; tries++) {
        code = hpo_tell(telling->trial, telling->state, telling->values, telling->count);
        if (code != HPO_NOT_WRITTEN || tries == TELL_TRIES)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 50000000L << tries}, NULL);
    }
    telling->code = code;
    if (code < 0)
        hpo_error_detail(telling->store, &telling->detail); /* it is this thread's */
}

static void *tell_in_thread(void *arg)
{
    struct telling *telling = arg;
    uint64_t one = 1;

    tell(telling);
    atomic_store(&telling->done, true);
    (void)!write(telling->wake_fd, &one, sizeof(one));
    return NULL;
}

bool job_is_told(const struct job *job)
{
    return atomic_load(&job->telling.done);
}

void job_end_tell(struct run *run, struct job *job)
{
    struct telling *telling = &job->telling;
    const struct run_options *options = run->options;
    enum hpo_trial_state state = telling->state;
    struct text reason = telling->reason;
    uint64_t number = job->number;

    if (telling->threaded)
        pthread_join(telling->thread, NULL);
    if (telling->code < 0) { /* R1: its trial is rolled back when the store is closed, if not now */
        run_failed_with(run, telling->code, &telling->detail);
        job_give_up(run, job);
        goto release;
    }
    announce(run, job);
    run_forget_tries(run, number);
    job_release(run, job, true,
                options->output == OUTPUT_KEEP ||
                    (options->output == OUTPUT_FAILED && reason.size));
    if (state != HPO_FAIL)
        run->fails_in_row = 0;
    else
        count_failure(run, text_string(&reason));
    if (state == HPO_FAIL && options->on_fail == ON_FAIL_STOP && run->mode == RUN_ASKING) {
        cli_say("ending because trial %" PRIu64 " failed (--on-fail stop)", number);
        run_end(run, EXIT_FAILED, false);
    }
release:
    text_release(&reason);
}

void job_tell(struct run *run, struct job *job, enum hpo_trial_state state, const double *values,
              size_t count, const char *reason)
{
    struct telling *telling = &job->telling;
    int code = *reason ? set_failure(job, reason) : set_attrs(job);

    if ((code == HPO_INVALID || code == HPO_TOO_LARGE) && !*reason) {
        job_tell(run, job, HPO_FAIL, NULL, 0, "one of its attributes is too long or has no name");
        return;
    }
    if (code < 0) {
        run_failed(run, code);
        job_give_up(run, job);
        return;
    }
    telling->store = run->store;
    telling->trial = job->trial;
    telling->wake_fd = run->wake_fd;
    telling->state = state;
    telling->count = count;
    if (count)
        memcpy(telling->values, values, count * sizeof(values[0]));
    text_add(&telling->reason, reason);
    telling->begun = true;
    telling->threaded = run->options->jobs > 1 &&
                        pthread_create(&telling->thread, NULL, tell_in_thread, telling) == 0;
    if (!telling->threaded) {
        tell(telling);
        job_end_tell(run, job);
    }
}

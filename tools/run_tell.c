/*
 * run_tell: from the end of a program to a record in the store, or a rollback.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "tools/cli.h"
#include "tools/memory.h"
#include "tools/run.h"
#include "tools/trial_out.h"

#define TAIL_BYTES 2048 /* of stderr, kept with a failed trial */
#define TELL_TRIES 5    /* a failed flush moves the log to a new file; that, too, may fail */

/* -- how often a number was tried -- */

static struct tries *tries_of(struct run *run, uint64_t number)
{
    for (size_t i = 0; i < run->tries_count; i++)
        if (run->tries[i].number == number)
            return &run->tries[i];
    run->tries = memory_resize(run->tries, run->tries_count + 1, sizeof(run->tries[0]));
    run->tries[run->tries_count] = (struct tries){.number = number};
    return &run->tries[run->tries_count++];
}

static void forget_tries(struct run *run, uint64_t number)
{
    for (size_t i = 0; i < run->tries_count; i++)
        if (run->tries[i].number == number)
            run->tries[i] = run->tries[--run->tries_count];
}

/* -- telling -- */

static void give_up_job(struct run *run, struct job *job)
{
    int code = hpo_abandon(job->trial);

    if (code < 0 && run->mode != RUN_STOPPING)
        run_failed(run, code, NULL);
    job_release(run, job, false, false);
}

static int set_attrs(struct job *job)
{
    const char *key;
    json_t *value;
    int code = HPO_OK;

    json_object_foreach(job->attrs, key, value)
    {
        char *bytes = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(17));

        code = bytes ? hpo_trial_attr_set(job->trial, HPO_ATTR_USER, key, bytes, strlen(bytes))
                     : HPO_NOMEM;
        free(bytes);
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

static int tell(struct job *job, enum hpo_trial_state state, const double *values, size_t count)
{
    int code;

    for (int tries = 0;; tries++) {
        code = hpo_tell(job->trial, state, values, count);
        if (code != HPO_NOT_WRITTEN || tries == TELL_TRIES)
            return code;
        nanosleep(&(struct timespec){.tv_nsec = 50000000L << tries}, NULL);
    }
}

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
static void announce(const struct run *run, const struct job *job, enum hpo_trial_state state,
                     const double *values, size_t count, const char *reason)
{
    struct text line = {0};

    if (run->options->quiet || (!*reason && !run->options->verbose))
        return;
    text_addf(&line, "trial %" PRIu64 " %s", job->number, trial_state_name(state));
    if (count) {
        text_add_char(&line, ' ');
        trial_print_values(&line, values, count);
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

static void finish(struct run *run, struct job *job, enum hpo_trial_state state,
                   const double *values, size_t count, const char *reason)
{
    bool keep =
        run->options->output == OUTPUT_KEEP || (run->options->output == OUTPUT_FAILED && *reason);
    int code = *reason ? set_failure(job, reason) : set_attrs(job);

    if (code == HPO_OK)
        code = tell(job, state, values, count);
    if (code < 0) { /* R1: its trial is rolled back when the store is closed, if not now */
        run_failed(run, code, NULL);
        give_up_job(run, job);
        return;
    }
    announce(run, job, state, values, count, reason);
    forget_tries(run, job->number);
    job_release(run, job, true, keep);
    if (state == HPO_FAIL)
        count_failure(run, reason);
    else
        run->fails_in_row = 0;
}

/* -- what an end means -- */

static void settle_failure(struct run *run, struct job *job, const char *reason)
{
    const struct run_options *options = run->options;
    struct tries *tries = tries_of(run, job->number);

    if (options->on_fail == ON_FAIL_RETRY && tries->failures < options->retries) {
        tries->failures++;
        if (!options->quiet)
            cli_say("trial %" PRIu64 " failed: %s; running it again (%" PRIu64 " of %" PRIu64 ")",
                    job->number, reason, tries->failures, options->retries);
        give_up_job(run, job);
    } else if (options->on_fail == ON_FAIL_PENALTY) {
        finish(run, job, HPO_COMPLETE, options->penalty, run->value_count, reason);
    } else {
        uint64_t number = job->number;

        finish(run, job, HPO_FAIL, NULL, 0, reason);
        if (options->on_fail == ON_FAIL_STOP && run->mode == RUN_ASKING) {
            cli_say("ending because trial %" PRIu64 " failed (--on-fail stop)", number);
            run_end(run, EXIT_FAILED, false);
        }
    }
}

static void settle_interruption(struct run *run, struct job *job, struct text *reason)
{
    struct tries *tries = tries_of(run, job->number);
    uint64_t max = run->options->interrupts_max;

    if (tries->interrupts >= max) {
        if (max)
            text_addf(reason, ", interrupted %" PRIu64 " times", max + 1);
        settle_failure(run, job, text_string(reason));
        return;
    }
    tries->interrupts++;
    if (!run->options->quiet && run->mode == RUN_ASKING)
        cli_say("trial %" PRIu64 " interrupted: %s; running it again (%" PRIu64 " of %" PRIu64 ")",
                job->number, text_string(reason), tries->interrupts, max);
    give_up_job(run, job);
}

/* What was looked for on stdout, for the message that it is not there. */
static void describe_result(const struct run *run, struct text *out)
{
    const struct run_options *options = run->options;

    if (options->key_count == 0 && run->value_count > 1)
        text_addf(out, "line with %zu numbers", run->value_count);
    else if (options->key_count == 0)
        text_add(out, "line with a number");
    for (size_t i = 0; i < options->key_count; i++)
        text_addf(out, "%s%s=NUMBER", i ? " and " : "line ", options->keys[i]);
}

static enum outcome judge(struct run *run, struct job *job, int status, struct text *reason)
{
    struct text missing = {0};
    struct outcome_facts facts = {.stopped = job->stopped,
                                  .pruned = job->pruned,
                                  .timed_out = job->timed_out,
                                  .timeout_ms = run->options->timeout_ms,
                                  .status = status,
                                  .interrupt_code = run->options->interrupt_code,
                                  .bad_line = job->bad_line.size ? job->bad_line.data : NULL,
                                  .value_count = run->value_count};
    enum outcome outcome;

    if (status == 0)
        job_find_result(run, job);
    describe_result(run, &missing);
    facts.missing = text_string(&missing);
    facts.values = job->has_values ? job->values : NULL;
    outcome = outcome_judge(&facts, reason);
    text_release(&missing);
    return outcome;
}

void job_settle(struct run *run, struct job *job)
{
    int status = job_reap(run, job);
    struct text reason = {0};
    bool last = job->has_report && !isnan(job->last_report) && run->value_count == 1;

    switch (judge(run, job, status, &reason)) {
    case OUTCOME_COMPLETE:
        finish(run, job, HPO_COMPLETE, job->values, run->value_count, "");
        break;
    case OUTCOME_PRUNED: /* as Optuna does: its last report is its value */
        finish(run, job, HPO_PRUNED, &job->last_report, last ? 1 : 0, "");
        break;
    case OUTCOME_FAIL:
        settle_failure(run, job, text_string(&reason));
        break;
    case OUTCOME_INTERRUPTED:
        settle_interruption(run, job, &reason);
        break;
    case OUTCOME_STOPPED:
        give_up_job(run, job);
        break;
    }
    text_release(&reason);
}

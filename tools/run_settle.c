/*
 * run_settle: what the end of a program means for its trial: told, or rolled back and run again.
 */
#include <inttypes.h>
#include <math.h>

#include "tools/cli.h"
#include "tools/memory.h"
#include "tools/run.h"

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

void run_forget_tries(struct run *run, uint64_t number)
{
    for (size_t i = 0; i < run->tries_count; i++)
        if (run->tries[i].number == number)
            run->tries[i] = run->tries[--run->tries_count];
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
        job_give_up(run, job);
    } else if (options->on_fail == ON_FAIL_PENALTY) {
        job_tell(run, job, HPO_COMPLETE, options->penalty, run->value_count, reason);
    } else {
        job_tell(run, job, HPO_FAIL, NULL, 0, reason);
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
    job_give_up(run, job);
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
        job_tell(run, job, HPO_COMPLETE, job->values, run->value_count, "");
        break;
    case OUTCOME_PRUNED: /* as Optuna does: its last report is its value */
        job_tell(run, job, HPO_PRUNED, &job->last_report, last ? 1 : 0, "");
        break;
    case OUTCOME_FAIL:
        settle_failure(run, job, text_string(&reason));
        break;
    case OUTCOME_INTERRUPTED:
        settle_interruption(run, job, &reason);
        break;
    case OUTCOME_STOPPED:
        job_give_up(run, job);
        break;
    }
    text_release(&reason);
}

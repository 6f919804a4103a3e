/*
 * outcome: the table of the header in code.
 */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "tools/number.h"
#include "tools/outcome.h"

static bool interrupting_signal(int signal_number)
{
    return signal_number == SIGHUP || signal_number == SIGINT || signal_number == SIGTERM ||
           signal_number == SIGKILL;
}

static bool interrupting_status(int status, int interrupt_code)
{
    return status == 128 + SIGINT || status == 128 + SIGTERM || status == interrupt_code;
}

static enum outcome judge_status(const struct outcome_facts *facts, struct text *reason)
{
    if (WIFSIGNALED(facts->status)) {
        int signal_number = WTERMSIG(facts->status);

        text_addf(reason, "killed by signal %d (%s)", signal_number, strsignal(signal_number));
        return interrupting_signal(signal_number) ? OUTCOME_INTERRUPTED : OUTCOME_FAIL;
    }
    if (WEXITSTATUS(facts->status) != 0) {
        text_addf(reason, "exit status %d", WEXITSTATUS(facts->status));
        return interrupting_status(WEXITSTATUS(facts->status), facts->interrupt_code)
                   ? OUTCOME_INTERRUPTED
                   : OUTCOME_FAIL;
    }
    return OUTCOME_COMPLETE;
}

enum outcome outcome_judge(const struct outcome_facts *facts, struct text *reason)
{
    char number[NUMBER_SIZE];
    enum outcome outcome;

    text_clear(reason);
    if (facts->stopped)
        return OUTCOME_STOPPED;
    if (facts->pruned)
        return OUTCOME_PRUNED;
    if (facts->timed_out) {
        number_print_short((double)facts->timeout_ms / 1000, number);
        text_addf(reason, "no result within %s s", number);
        return OUTCOME_FAIL;
    }
    outcome = judge_status(facts, reason);
    if (outcome != OUTCOME_COMPLETE)
        return outcome;
    if (facts->bad_line) {
        text_addf(reason, "unreadable line on HPO_RESULT_FD: %s", facts->bad_line);
        return OUTCOME_FAIL;
    }
    if (!facts->values) {
        text_addf(reason, "exit status 0, but no %s on stdout", facts->missing);
        return OUTCOME_FAIL;
    }
    for (size_t i = 0; i < facts->value_count; i++) {
        if (isnan(facts->values[i])) {
            text_add(reason, "the result is NaN");
            return OUTCOME_FAIL;
        }
    }
    return OUTCOME_COMPLETE;
}

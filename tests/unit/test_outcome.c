/*
 * Outcomes: every row of the table, and which row comes first.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <string.h>

#include "tools/outcome.h"

static struct text reason;
static const double one = 1;

static void teardown(void)
{
    text_release(&reason);
}

TestSuite(outcome, .fini = teardown);

static struct outcome_facts facts(int status)
{
    return (struct outcome_facts){.status = status,
                                  .interrupt_code = -1,
                                  .timeout_ms = 5000,
                                  .values = &one,
                                  .value_count = 1,
                                  .missing = "line with a number"};
}

static enum outcome judge(struct outcome_facts f)
{
    return outcome_judge(&f, &reason);
}

static int exited(int status)
{
    return status << 8;
}

Test(outcome, status_0_with_a_value_is_complete)
{
    cr_assert_eq(judge(facts(0)), OUTCOME_COMPLETE);
    cr_assert_eq(reason.size, 0);
}

Test(outcome, every_exit_status)
{
    for (int status = 1; status < 256; status++) {
        struct outcome_facts f = facts(exited(status));

        cr_assert_eq(judge(f), status == 130 || status == 143 ? OUTCOME_INTERRUPTED : OUTCOME_FAIL,
                     "%d", status);
        f.interrupt_code = status;
        cr_assert_eq(judge(f), OUTCOME_INTERRUPTED, "%d", status);
    }
}

Test(outcome, every_signal)
{
    for (int signal_number = 1; signal_number < 32; signal_number++) {
        bool interrupts = signal_number == SIGHUP || signal_number == SIGINT ||
                          signal_number == SIGTERM || signal_number == SIGKILL;

        cr_assert_eq(judge(facts(signal_number)), interrupts ? OUTCOME_INTERRUPTED : OUTCOME_FAIL,
                     "%d", signal_number);
        cr_assert_eq(judge(facts(signal_number | 0x80)),
                     interrupts ? OUTCOME_INTERRUPTED : OUTCOME_FAIL, "%d with a core",
                     signal_number);
    }
}

Test(outcome, what_we_did_counts_before_what_the_program_did)
{
    const int statuses[] = {0, exited(1), exited(143), SIGTERM, SIGKILL, SIGSEGV};

    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        struct outcome_facts f = facts(statuses[i]);

        f.timed_out = true;
        cr_assert_eq(judge(f), OUTCOME_FAIL);
        cr_assert_str_eq(reason.data, "no result within 5 s");
        f.pruned = true;
        cr_assert_eq(judge(f), OUTCOME_PRUNED);
        f.stopped = true;
        cr_assert_eq(judge(f), OUTCOME_STOPPED);
    }
}

Test(outcome, a_missing_or_unreadable_result_is_a_failure)
{
    struct outcome_facts f = facts(0);

    f.values = NULL;
    cr_assert_eq(judge(f), OUTCOME_FAIL);
    cr_assert(strstr(reason.data, "line with a number"));
    f.bad_line = "it is odd";
    cr_assert_eq(judge(f), OUTCOME_FAIL);
    cr_assert(strstr(reason.data, "it is odd"));
    f.status = SIGTERM; /* half a line is what a killed program leaves */
    cr_assert_eq(judge(f), OUTCOME_INTERRUPTED);
}

Test(outcome, nan_is_a_failure_and_infinity_is_not)
{
    const double values[] = {1, NAN}, infinite[] = {INFINITY, -INFINITY};
    struct outcome_facts f = facts(0);

    f.value_count = 2;
    f.values = values;
    cr_assert_eq(judge(f), OUTCOME_FAIL);
    cr_assert_str_eq(reason.data, "the result is NaN");
    f.values = infinite;
    cr_assert_eq(judge(f), OUTCOME_COMPLETE);
}

Test(outcome, timeout_is_said_in_seconds)
{
    struct outcome_facts f = facts(0);

    f.timed_out = true;
    f.timeout_ms = 200;
    cr_assert_eq(judge(f), OUTCOME_FAIL);
    cr_assert_str_eq(reason.data, "no result within 0.2 s");
}

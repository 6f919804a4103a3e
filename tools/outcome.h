/*
 * outcome: what the end of an attempt means for its trial. Pure.
 *
 * The rows of outcome_judge, first that fits:
 *   we stopped it (second Ctrl-C)                      STOPPED: rolled back
 *   the pruner said stop                               PRUNED
 *   it ran out of time                                 FAIL
 *   killed by HUP, INT, TERM, KILL; exit 130, 143 or
 *   --interrupt-code                                   INTERRUPTED: rolled back and run again
 *   any other signal or exit status but 0              FAIL
 *   it wrote a line that nobody can read               FAIL
 *   no result; a NaN                                   FAIL
 *   else                                               COMPLETE
 */
#ifndef HPO_TOOLS_OUTCOME_H
#define HPO_TOOLS_OUTCOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/text.h"

enum outcome {
    OUTCOME_COMPLETE,
    OUTCOME_PRUNED,
    OUTCOME_FAIL,
    OUTCOME_INTERRUPTED,
    OUTCOME_STOPPED,
};

struct outcome_facts {
    bool stopped, pruned, timed_out;
    int64_t timeout_ms;
    int status;           /* of waitpid */
    int interrupt_code;   /* -1: none */
    const char *bad_line; /* what was wrong with a line on HPO_RESULT_FD, or NULL */
    const double *values; /* NULL: it gave no result */
    size_t value_count;
    const char *missing; /* what kind of result was looked for */
};

/* `reason` is replaced: one line of words that depend on nothing but the facts, since it becomes an
 * attribute; empty for COMPLETE, PRUNED and STOPPED. */
enum outcome outcome_judge(const struct outcome_facts *facts, struct text *reason);

#endif

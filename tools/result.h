/*
 * result: what a tuned program says about itself, on stdout or on descriptor HPO_RESULT_FD.
 *
 * On stdout the last line counts that is a number (several objectives: that many numbers), or with
 * --result the last line KEY=number for each key. On the descriptor every line must be one of
 *
 *     report STEP VALUE
 *     0.25          [0.25, 17]          {"value": 0.25, "attrs": {"epochs": 12}}
 *     {"values": [0.25, 17]}
 */
#ifndef HPO_TOOLS_RESULT_H
#define HPO_TOOLS_RESULT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/text.h"

#define RESULT_VALUES_MAX 64 /* directions of a study */

/* The last line of `data` that consists of `count` numbers. */
bool result_last_numbers(const char *data, size_t size, double *values, size_t count);
/* The last line KEY=number. */
bool result_last_key(const char *data, size_t size, const char *key, double *value);

enum result_line_kind { RESULT_EMPTY, RESULT_REPORT, RESULT_VALUES };

struct result_line {
    enum result_line_kind kind;
    int64_t step; /* RESULT_REPORT */
    double value;
    double values[RESULT_VALUES_MAX]; /* RESULT_VALUES: as many as asked for */
    json_t *attrs;                    /* an object, or NULL; json_decref */
};

/* Read a line of the descriptor. 0, or -1 with one line in `why`. */
int result_parse_line(const char *line, size_t size, size_t count, struct result_line *out,
                      struct text *why);

/* The end of what a failed program wrote, as one JSON string: at most `limit` bytes of it, from the
 * start of a line where possible, other bytes than UTF-8 replaced. */
void result_tail(struct text *out, const char *data, size_t size, size_t limit);

#endif

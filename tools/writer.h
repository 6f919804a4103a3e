/*
 * writer: writing JSON as it goes, one value after the other, to a stdio stream.
 *
 * Numbers come out as number_print writes them, so they read back exactly; JSON has no infinities,
 * so they are the strings "inf", "-inf", "nan". Bytes that are no UTF-8 become U+FFFD. `key` is
 * NULL inside an array or at the top. Everything stays on one line. Errors of the stream are for
 * its owner to notice (ferror).
 */
#ifndef HPO_TOOLS_WRITER_H
#define HPO_TOOLS_WRITER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "hpo.h"

struct writer {
    FILE *out;
    bool comma; /* a value stands before the next one on this level */
};

void writer_begin(struct writer *json, const char *key, char bracket); /* '{' or '[' */
void writer_end(struct writer *json, char bracket);                    /* '}' or ']' */
void writer_line(struct writer *json); /* end of a top-level value */

void writer_string(struct writer *json, const char *key, const char *string);
void writer_string_n(struct writer *json, const char *key, const char *bytes, size_t size);
void writer_uint(struct writer *json, const char *key, uint64_t value);
void writer_int(struct writer *json, const char *key, int64_t value);
void writer_real(struct writer *json, const char *key, double value);
void writer_bool(struct writer *json, const char *key, bool value);
void writer_null(struct writer *json, const char *key);
void writer_hex(struct writer *json, const char *key, const uint8_t *bytes, size_t size);
void writer_hex64(struct writer *json, const char *key, uint64_t value); /* "0x0123456789abcdef" */
/* Microseconds since 1970 as "2026-01-02T03:04:05.000006Z"; INT64_MIN is null. */
void writer_time(struct writer *json, const char *key, int64_t us);
/* An attribute's bytes: themselves if they are JSON, else a string, else {"hex": ...}. */
void writer_bytes(struct writer *json, const char *key, const void *bytes, size_t size);
/* What jansson has read. */
void writer_json(struct writer *json, const char *key, const json_t *value);
/* A parameter's value in the type of its distribution or choice. */
void writer_param_value(struct writer *json, const char *key,
                        const struct hpo_distribution *distribution, double value);
/* What --space reads, inside an object: "type": "float", "low": .., "high": .., "log": true. */
void writer_distribution(struct writer *json, const struct hpo_distribution *distribution);

/* Microseconds since 1970 as ISO 8601 in UTC. */
#define WRITER_TIME_SIZE 96 /* what gcc thinks six ints may take */
const char *writer_time_print(int64_t us, char out[WRITER_TIME_SIZE]);

#endif

/*
 * number: numbers as people and JSON write them, exact in both directions.
 *
 * What number_print writes, number_parse reads back as the same double, with as few digits as that
 * takes. Parsing takes a whole string (blanks around it allowed) or nothing, and always in the C
 * locale, because no command of ours calls setlocale.
 */
#ifndef HPO_TOOLS_NUMBER_H
#define HPO_TOOLS_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NUMBER_SIZE 40

/* "0.1", "3.0", "1e-05", "inf", "-inf", "nan". A double never looks like an integer. Returns out.
 */
const char *number_print(double value, char out[NUMBER_SIZE]);

/* The same, but an integral value as "3". */
const char *number_print_short(double value, char out[NUMBER_SIZE]);

/* A finite, infinite or NaN double. */
bool number_parse(const char *text, double *out);
/* The same in `size` bytes that need no NUL after them. */
bool number_parse_n(const char *bytes, size_t size, double *out);
/* Exactly `count` numbers, separated by blanks or a comma. */
bool number_parse_list(const char *bytes, size_t size, double *out, size_t count);

/* Decimal, the whole string. */
bool number_parse_int(const char *text, int64_t *out);
bool number_parse_uint(const char *text, uint64_t *out);

/* A seed of up to 128 bits: decimal below 2^64, or 0x and up to 32 hexadecimal digits. seed[0] is
 * the low half. */
bool number_parse_seed(const char *text, uint64_t seed[2]);

/* A span of time in seconds: "90", "1.5", "90s", "15m", "8h", "2d"; positive and at most a year, in
 * milliseconds. */
bool number_parse_seconds(const char *text, int64_t *milliseconds);

#endif

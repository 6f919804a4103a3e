/*
 * number: the shortest of 1 to 17 digits that reads back as the same bits is what we print.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/number.h"

#define LONGEST 400 /* a line longer than this is prose, not a number */

const char *number_print(double value, char out[NUMBER_SIZE])
{
    if (isnan(value))
        return strcpy(out, "nan");
    if (isinf(value))
        return strcpy(out, value < 0 ? "-inf" : "inf");
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, NUMBER_SIZE, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    /* %g turns to exponents early when digits are few: 100.0 as "1e+02". Up to 10^16 an integral
     * value reads better written out. */
    if (fabs(value) < 1e16 && value == (double)(int64_t)value)
        snprintf(out, NUMBER_SIZE, "%.0f", value);
    if (!strpbrk(out, ".e"))
        strcat(out, ".0");
    return out;
}

const char *number_print_short(double value, char out[NUMBER_SIZE])
{
    size_t size;

    number_print(value, out);
    size = strlen(out);
    if (size > 2 && strcmp(out + size - 2, ".0") == 0)
        out[size - 2] = 0;
    return out;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

static void trim(const char **bytes, size_t *size)
{
    while (*size && blank(**bytes)) {
        (*bytes)++;
        (*size)--;
    }
    while (*size && blank((*bytes)[*size - 1]))
        (*size)--;
}

bool number_parse_n(const char *bytes, size_t size, double *out)
{
    char copy[LONGEST + 1], *end;
    double value;

    trim(&bytes, &size);
    if (size == 0 || size > LONGEST || memchr(bytes, 0, size))
        return false;
    memcpy(copy, bytes, size);
    copy[size] = 0;
    value = strtod(copy, &end);
    if (end != copy + size)
        return false;
    *out = value;
    return true;
}

bool number_parse(const char *text, double *out)
{
    return number_parse_n(text, strlen(text), out);
}

bool number_parse_list(const char *bytes, size_t size, double *out, size_t count)
{
    trim(&bytes, &size);
    for (size_t i = 0; i < count; i++) {
        size_t length = 0;

        while (length < size && !blank(bytes[length]) && bytes[length] != ',')
            length++;
        if (!number_parse_n(bytes, length, &out[i]))
            return false;
        bytes += length;
        size -= length;
        trim(&bytes, &size);
        if (size && *bytes == ',' && i + 1 < count) {
            bytes++;
            size--;
            trim(&bytes, &size);
        }
    }
    return size == 0;
}

bool number_parse_int(const char *text, int64_t *out)
{
    char *end;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    if (end == text || *end || errno)
        return false;
    *out = value;
    return true;
}

bool number_parse_uint(const char *text, uint64_t *out)
{
    char *end;
    unsigned long long value;

    if (!isdigit((unsigned char)*text)) /* strtoull would take "-1" */
        return false;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (*end || errno)
        return false;
    *out = value;
    return true;
}

bool number_parse_seed(const char *text, uint64_t seed[2])
{
    uint64_t low = 0, high = 0;

    if (strncmp(text, "0x", 2) != 0) {
        if (!number_parse_uint(text, &low))
            return false;
    } else {
        size_t digits = strlen(text + 2);

        if (digits == 0 || digits > 32 || strspn(text + 2, "0123456789abcdefABCDEF") != digits)
            return false;
        for (const char *c = text + 2; *c; c++) {
            uint64_t digit =
                (uint64_t)(isdigit((unsigned char)*c) ? *c - '0' : (*c | 32) - 'a' + 10);

            high = high << 4 | low >> 60;
            low = low << 4 | digit;
        }
    }
    seed[0] = low;
    seed[1] = high;
    return true;
}

bool number_parse_seconds(const char *text, int64_t *milliseconds)
{
    static const struct {
        char unit;
        double seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    size_t size = strlen(text);
    double value, scale = 1;

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (size && text[size - 1] == units[i].unit) {
            scale = units[i].seconds;
            size--;
            break;
        }
    }
    if (!number_parse_n(text, size, &value) || !(value * scale >= 0.001) ||
        value * scale > 366.0 * 86400)
        return false;
    *milliseconds = (int64_t)(value * scale * 1000 + 0.5);
    return true;
}

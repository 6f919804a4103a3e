/*
 * writer: no tree is built; a comma is due before every value but the first of its level.
 *
 * jansson reads JSON for us, but prints 17 digits and refuses what is not finite; hence this.
 */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "tools/writer.h"
#include "tools/number.h"
#include "tools/text.h"

static void write_string(FILE *out, const char *bytes, size_t size)
{
    putc('"', out);
    while (size) {
        size_t n = text_utf8_size(bytes, size);

        if (n == 0) {
            fputs("\\ufffd", out);
            n = 1;
        } else if (*bytes == '"' || *bytes == '\\') {
            fprintf(out, "\\%c", *bytes);
        } else if (*bytes == '\n') {
            fputs("\\n", out);
        } else if (*bytes == '\t') {
            fputs("\\t", out);
        } else if ((unsigned char)*bytes < 0x20 || *bytes == 0x7f) {
            fprintf(out, "\\u%04x", (unsigned)*bytes);
        } else {
            fwrite(bytes, 1, n, out);
        }
        bytes += n;
        size -= n;
    }
    putc('"', out);
}

/* What stands before every value. */
static void start_value(struct writer *json, const char *key)
{
    if (json->comma)
        fputs(", ", json->out);
    if (key) {
        write_string(json->out, key, strlen(key));
        fputs(": ", json->out);
    }
    json->comma = true;
}

void writer_begin(struct writer *json, const char *key, char bracket)
{
    start_value(json, key);
    putc(bracket, json->out);
    json->comma = false;
}

void writer_end(struct writer *json, char bracket)
{
    putc(bracket, json->out);
    json->comma = true;
}

void writer_line(struct writer *json)
{
    putc('\n', json->out);
    json->comma = false;
}

void writer_string_n(struct writer *json, const char *key, const char *bytes, size_t size)
{
    start_value(json, key);
    write_string(json->out, bytes, size);
}

void writer_string(struct writer *json, const char *key, const char *string)
{
    writer_string_n(json, key, string, strlen(string));
}

void writer_uint(struct writer *json, const char *key, uint64_t value)
{
    start_value(json, key);
    fprintf(json->out, "%" PRIu64, value);
}

void writer_int(struct writer *json, const char *key, int64_t value)
{
    start_value(json, key);
    fprintf(json->out, "%" PRId64, value);
}

void writer_real(struct writer *json, const char *key, double value)
{
    char number[NUMBER_SIZE];

    number_print(value, number);
    if (isfinite(value)) {
        start_value(json, key);
        fputs(number, json->out);
    } else {
        writer_string(json, key, number);
    }
}

void writer_bool(struct writer *json, const char *key, bool value)
{
    start_value(json, key);
    fputs(value ? "true" : "false", json->out);
}

void writer_null(struct writer *json, const char *key)
{
    start_value(json, key);
    fputs("null", json->out);
}

void writer_hex(struct writer *json, const char *key, const uint8_t *bytes, size_t size)
{
    start_value(json, key);
    putc('"', json->out);
    for (size_t i = 0; i < size; i++)
        fprintf(json->out, "%02x", bytes[i]);
    putc('"', json->out);
}

void writer_hex64(struct writer *json, const char *key, uint64_t value)
{
    start_value(json, key);
    fprintf(json->out, "\"0x%016" PRIx64 "\"", value);
}

const char *writer_time_print(int64_t us, char out[WRITER_TIME_SIZE])
{
    int64_t seconds = us / 1000000, rest = us % 1000000;
    time_t t;
    struct tm tm;

    if (rest < 0) { /* before 1970 */
        rest += 1000000;
        seconds--;
    }
    t = (time_t)seconds;
    if (us == INT64_MIN || !gmtime_r(&t, &tm) || tm.tm_year > 8099 || tm.tm_year < -1900)
        return strcpy(out, "-");
    snprintf(out, WRITER_TIME_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)rest);
    return out;
}

void writer_time(struct writer *json, const char *key, int64_t us)
{
    char time[WRITER_TIME_SIZE];

    writer_time_print(us, time);
    if (*time == '-')
        writer_null(json, key);
    else
        writer_string(json, key, time);
}

static bool is_utf8(const char *bytes, size_t size)
{
    for (size_t n; size; bytes += n, size -= n) {
        n = text_utf8_size(bytes, size);
        if (n == 0 || *bytes == 0)
            return false;
    }
    return true;
}

void writer_bytes(struct writer *json, const char *key, const void *bytes, size_t size)
{
    json_t *parsed = json_loadb(bytes, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    const char *b = bytes;

    if (parsed) { /* as written; line ends can only stand between its tokens */
        start_value(json, key);
        for (size_t i = 0; i < size; i++)
            putc(b[i] == '\n' || b[i] == '\r' ? ' ' : b[i], json->out);
        json_decref(parsed);
    } else if (is_utf8(b, size)) {
        writer_string_n(json, key, b, size);
    } else {
        writer_begin(json, key, '{');
        writer_hex(json, "hex", bytes, size);
        writer_end(json, '}');
    }
}

void writer_json(struct writer *json, const char *key, const json_t *value)
{
    const char *name;
    json_t *member;
    size_t i;

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        writer_begin(json, key, '{');
        json_object_foreach((json_t *)value, name, member) writer_json(json, name, member);
        writer_end(json, '}');
        break;
    case JSON_ARRAY:
        writer_begin(json, key, '[');
        json_array_foreach(value, i, member) writer_json(json, NULL, member);
        writer_end(json, ']');
        break;
    case JSON_STRING:
        writer_string_n(json, key, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        writer_int(json, key, json_integer_value(value));
        break;
    case JSON_REAL:
        writer_real(json, key, json_real_value(value));
        break;
    case JSON_NULL:
        writer_null(json, key);
        break;
    default:
        writer_bool(json, key, json_is_true(value));
        break;
    }
}

static void write_choice(struct writer *json, const char *key, const struct hpo_choice *choice)
{
    switch (choice->type) {
    case HPO_CHOICE_BOOL:
        writer_bool(json, key, choice->boolean);
        break;
    case HPO_CHOICE_INT:
        writer_int(json, key, choice->integer);
        break;
    case HPO_CHOICE_FLOAT:
        writer_real(json, key, choice->real);
        break;
    case HPO_CHOICE_TEXT:
        writer_string(json, key, choice->text);
        break;
    default:
        writer_null(json, key);
        break;
    }
}

void writer_param_value(struct writer *json, const char *key,
                        const struct hpo_distribution *distribution, double value)
{
    if (distribution->kind == HPO_CATEGORICAL && value >= 0 &&
        value < (double)distribution->choice_count)
        write_choice(json, key, &distribution->choices[(size_t)value]);
    else if (distribution->kind == HPO_INT && fabs(value) <= 0x1p53)
        writer_int(json, key, (int64_t)value);
    else
        writer_real(json, key, value);
}

void writer_distribution(struct writer *json, const struct hpo_distribution *distribution)
{
    if (distribution->kind == HPO_CATEGORICAL) {
        writer_string(json, "type", "choice");
        writer_begin(json, "choices", '[');
        for (size_t i = 0; i < distribution->choice_count; i++)
            write_choice(json, NULL, &distribution->choices[i]);
        writer_end(json, ']');
    } else if (distribution->kind == HPO_INT) {
        writer_string(json, "type", "int");
        writer_int(json, "low", distribution->low_int);
        writer_int(json, "high", distribution->high_int);
        if (distribution->step_int > 1)
            writer_int(json, "step", distribution->step_int);
    } else {
        writer_string(json, "type", "float");
        writer_real(json, "low", distribution->low);
        writer_real(json, "high", distribution->high);
        if (distribution->step > 0)
            writer_real(json, "step", distribution->step);
    }
    if (distribution->flags & HPO_LOG)
        writer_bool(json, "log", true);
}

/*
 * result: stdout is read from its end, the descriptor line by line.
 */
#include <string.h>

#include "tools/number.h"
#include "tools/result.h"

/* The line that ends at *size; *size moves to the end of the one before. NULL: no line is left. */
static const char *line_before(const char *data, size_t *size, bool *more, size_t *line_size)
{
    size_t end = *size;
    const char *newline;

    if (!*more)
        return NULL;
    newline = end ? memrchr(data, '\n', end) : NULL;
    *more = newline != NULL;
    *size = newline ? (size_t)(newline - data) : 0;
    *line_size = newline ? end - *size - 1 : end;
    return newline ? newline + 1 : data;
}

bool result_last_numbers(const char *data, size_t size, double *values, size_t count)
{
    bool more = true;
    const char *line;
    size_t line_size;

    while ((line = line_before(data, &size, &more, &line_size)))
        if (number_parse_list(line, line_size, values, count))
            return true;
    return false;
}

bool result_last_key(const char *data, size_t size, const char *key, double *value)
{
    size_t key_size = strlen(key);
    bool more = true;
    const char *line;
    size_t line_size;

    while ((line = line_before(data, &size, &more, &line_size))) {
        size_t indent = 0;

        while (indent < line_size && (line[indent] == ' ' || line[indent] == '\t'))
            indent++;
        line += indent;
        line_size -= indent;
        if (line_size > key_size && memcmp(line, key, key_size) == 0 && line[key_size] == '=' &&
            number_parse_n(line + key_size + 1, line_size - key_size - 1, value))
            return true;
    }
    return false;
}

/* -- the descriptor -- */

static int parse_report(const char *line, size_t size, struct result_line *out, struct text *why)
{
    size_t word = 0;
    char step[32];

    while (word < size && line[word] != ' ' && line[word] != '\t')
        word++;
    if (word == 0 || word >= sizeof(step))
        goto bad;
    memcpy(step, line, word);
    step[word] = 0;
    if (!number_parse_int(step, &out->step) ||
        !number_parse_n(line + word, size - word, &out->value))
        goto bad;
    out->kind = RESULT_REPORT;
    return 0;
bad:
    return text_refuse(why, "a report is \"report STEP VALUE\"");
}

/* A JSON number, or the words that JSON lacks. */
static bool json_value(const json_t *value, double *out)
{
    if (json_is_number(value)) {
        *out = json_number_value(value);
        return true;
    }
    return json_is_string(value) && number_parse(json_string_value(value), out);
}

static int json_values(const json_t *value, size_t count, struct result_line *out, struct text *why)
{
    if (!json_is_array(value)) {
        if (count != 1)
            return text_refuse(why, "%zu values are wanted, as a list", count);
        return json_value(value, &out->values[0]) ? 0
                                                  : text_refuse(why, "the value is not a number");
    }
    if (json_array_size(value) != count)
        return text_refuse(why, "%zu values came, the study has %zu direction%s",
                           json_array_size(value), count, count == 1 ? "" : "s");
    for (size_t i = 0; i < count; i++)
        if (!json_value(json_array_get(value, i), &out->values[i]))
            return text_refuse(why, "value %zu is not a number", i + 1);
    return 0;
}

static int parse_object(const json_t *object, size_t count, struct result_line *out,
                        struct text *why)
{
    const json_t *value = json_object_get(object, "value");
    const json_t *values = json_object_get(object, "values");
    json_t *attrs = json_object_get(object, "attrs");
    const char *key;
    json_t *unused;

    json_object_foreach((json_t *)object, key, unused) if (
        strcmp(key, "value") != 0 && strcmp(key, "values") != 0 &&
        strcmp(key, "attrs") !=
            0) return text_refuse(why, "\"%s\" is not known; there are value, values and attrs",
                                  key);
    if (!value == !values)
        return text_refuse(why, "\"value\" or \"values\" is wanted");
    if (attrs && !json_is_object(attrs))
        return text_refuse(why, "\"attrs\" must be an object");
    if (json_values(value ? value : values, count, out, why) < 0)
        return -1;
    out->attrs = json_incref(attrs);
    return 0;
}

static int parse_json(const char *line, size_t size, size_t count, struct result_line *out,
                      struct text *why)
{
    json_error_t error;
    json_t *root = json_loadb(line, size, JSON_REJECT_DUPLICATES, &error);
    int err;

    if (!root)
        return text_refuse(why, "%s", error.text);
    err = json_is_object(root) ? parse_object(root, count, out, why)
                               : json_values(root, count, out, why);
    json_decref(root);
    return err;
}

int result_parse_line(const char *line, size_t size, size_t count, struct result_line *out,
                      struct text *why)
{
    static const char report[] = "report";
    struct result_line read = {.kind = RESULT_VALUES};
    int err = 0;

    while (size && strchr(" \t\r", line[size - 1]))
        size--;
    while (size && (*line == ' ' || *line == '\t')) {
        line++;
        size--;
    }
    if (size == 0)
        read.kind = RESULT_EMPTY;
    else if (size > sizeof(report) && memcmp(line, report, sizeof(report) - 1) == 0 &&
             (line[sizeof(report) - 1] == ' ' || line[sizeof(report) - 1] == '\t'))
        err = parse_report(line + sizeof(report), size - sizeof(report), &read, why);
    else if (*line == '{' || *line == '[')
        err = parse_json(line, size, count, &read, why);
    else if (!number_parse_list(line, size, read.values, count))
        err = text_refuse(why, "it is neither \"report STEP VALUE\" nor a result");
    if (err == 0)
        *out = read;
    return err;
}

/* -- what a failed program said last -- */

static void add_json_bytes(struct text *out, const char *data, size_t size)
{
    while (size) {
        size_t n = text_utf8_size(data, size);

        if (n == 0) {
            text_add(out, "\\ufffd");
            n = 1;
        } else if (*data == '"' || *data == '\\') {
            text_addf(out, "\\%c", *data);
        } else if (*data == '\n') {
            text_add(out, "\\n");
        } else if ((unsigned char)*data < 0x20 || *data == 0x7f) {
            text_addf(out, "\\u%04x", (unsigned)*data);
        } else {
            text_add_n(out, data, n);
        }
        data += n;
        size -= n;
    }
}

void result_tail(struct text *out, const char *data, size_t size, size_t limit)
{
    while (size && strchr(" \t\r\n", data[size - 1]))
        size--;
    if (size > limit) {
        const char *cut = data + size - limit;
        const char *newline = memchr(cut, '\n', limit);
        size_t rest;

        if (newline)
            cut = newline + 1;
        else /* one long line: at least no half characters */
            while (cut < data + size && (*cut & 0xc0) == 0x80)
                cut++;
        rest = (size_t)(data + size - cut);
        data = cut;
        size = rest;
    }
    text_add_char(out, '"');
    add_json_bytes(out, data, size);
    text_add_char(out, '"');
}

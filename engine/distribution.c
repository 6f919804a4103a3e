/*
 * distribution: see distribution.h.
 */
#include "distribution.h"
#include "error.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INTEGER_MAX (INT64_C(1) << 53)

static int refuse(int code, const char *format, const char *what, const char *why)
{
    return error_set(error_here(), code, 0, NULL, 0, 0, format, what, why);
}

/* -- UTF-8 -- */

/* Length of the well-formed sequence at the start of [s, s + n), 0 if there is none: no overlong
 * forms, no surrogates, nothing above U+10FFFF. */
static size_t utf8_sequence(const uint8_t *s, size_t n)
{
    size_t need, i;
    uint32_t code;

    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xC2 && s[0] < 0xE0) {
        need = 2;
        code = s[0] & 0x1F;
    } else if (s[0] >= 0xE0 && s[0] < 0xF0) {
        need = 3;
        code = s[0] & 0x0F;
    } else if (s[0] >= 0xF0 && s[0] < 0xF5) {
        need = 4;
        code = s[0] & 0x07;
    } else {
        return 0;
    }
    if (n < need)
        return 0;
    for (i = 1; i < need; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3F);
    }
    if (need == 3 && (code < 0x800 || (code >= 0xD800 && code < 0xE000)))
        return 0;
    if (need == 4 && (code < 0x10000 || code > 0x10FFFF))
        return 0;
    return need;
}

static bool utf8_valid(const uint8_t *s, size_t n)
{
    size_t step;

    for (; n > 0; s += step, n -= step) {
        step = utf8_sequence(s, n);
        if (step == 0)
            return false;
    }
    return true;
}

int name_check(const char *name, const char *what, struct bytes *out)
{
    size_t size;

    if (!name || name[0] == '\0')
        return refuse(HPO_INVALID, "%s%s is missing or empty", what, "");
    size = strlen(name);
    if (size > RECORD_NAME_MAX)
        return refuse(HPO_TOO_LARGE, "%s%s is longer than 64 KiB", what, "");
    if (!utf8_valid((const uint8_t *)name, size))
        return refuse(HPO_INVALID, "%s%s is not UTF-8", what, "");
    *out = (struct bytes){(const uint8_t *)name, size};
    return 0;
}

/* -- from callers -- */

static int choices_from_public(const struct hpo_distribution *from, const char *name,
                               struct arena *arena, struct record_distribution *out)
{
    struct record_choice *choices;
    size_t i;

    if (from->choice_count == 0 || !from->choices)
        return refuse(HPO_INVALID, "parameter %s: %s", name, "there are no choices");
    if (from->choice_count > 65535)
        return refuse(HPO_TOO_LARGE, "parameter %s: %s", name, "more than 65535 choices");
    choices = arena_array(arena, from->choice_count, sizeof(*choices));
    if (!choices)
        return HPO_NOMEM;
    for (i = 0; i < from->choice_count; i++) {
        const struct hpo_choice *choice = &from->choices[i];

        choices[i].type = (uint8_t)choice->type;
        switch (choice->type) {
        case HPO_CHOICE_NULL:
            break;
        case HPO_CHOICE_BOOL:
            choices[i].boolean = choice->boolean;
            break;
        case HPO_CHOICE_INT:
            choices[i].integer = choice->integer;
            break;
        case HPO_CHOICE_FLOAT:
            choices[i].real = isnan(choice->real) ? (double)NAN : choice->real;
            break;
        case HPO_CHOICE_TEXT:
            if (!choice->text)
                return refuse(HPO_INVALID, "parameter %s: %s", name, "a choice has no text");
            choices[i].text = (struct bytes){(const uint8_t *)choice->text, strlen(choice->text)};
            if (!utf8_valid(choices[i].text.data, choices[i].text.size))
                return refuse(HPO_INVALID, "parameter %s: %s", name, "a choice is not UTF-8");
            if (choices[i].text.size > RECORD_NAME_MAX)
                return refuse(HPO_TOO_LARGE, "parameter %s: %s", name,
                              "a choice is longer than 64 KiB");
            break;
        default:
            return refuse(HPO_INVALID, "parameter %s: %s", name, "a choice has an unknown type");
        }
    }
    out->choices = choices;
    out->choice_count = (uint32_t)from->choice_count;
    return 0;
}

int distribution_from_public(const struct hpo_distribution *from, const char *name,
                             struct arena *arena, struct record_distribution *out)
{
    struct sampler_distribution prepared = {.kind = (uint8_t)from->kind};
    struct sampler_message message = {""};
    struct record_distribution result = {.kind = (uint8_t)from->kind};
    int err;

    if (from->flags & ~(unsigned)HPO_LOG)
        return refuse(HPO_INVALID, "parameter %s: %s", name, "unknown flags");
    result.log = prepared.log = (from->flags & HPO_LOG) != 0;
    switch (from->kind) {
    case HPO_FLOAT:
        prepared.low = from->low;
        prepared.high = from->high;
        prepared.step = from->step;
        break;
    case HPO_INT:
        if (from->low_int < -INTEGER_MAX || from->low_int > INTEGER_MAX ||
            from->high_int < -INTEGER_MAX || from->high_int > INTEGER_MAX ||
            from->step_int > INTEGER_MAX)
            return refuse(HPO_INVALID, "parameter %s: %s", name,
                          "an integer lies beyond 2^53, where doubles have gaps");
        if (from->step_int < 0)
            return refuse(HPO_INVALID, "parameter %s: %s", name, "step must be above 0");
        prepared.low = (double)from->low_int;
        prepared.high = (double)from->high_int;
        prepared.step = from->step_int == 1 ? 0 : (double)from->step_int;
        break;
    case HPO_CATEGORICAL:
        if (result.log)
            return refuse(HPO_INVALID, "parameter %s: %s", name, "choices have no logarithm");
        err = choices_from_public(from, name, arena, &result);
        if (err < 0)
            return err;
        prepared.choice_count = result.choice_count;
        break;
    default:
        return refuse(HPO_INVALID, "parameter %s: %s", name, "unknown kind of distribution");
    }
    err = distribution_prepare(&prepared, &message);
    if (err < 0)
        return refuse(HPO_INVALID, "parameter %s: %s", name, message.text);
    if (from->kind == HPO_FLOAT) {
        result.low = prepared.low + 0.0; /* one zero: -0 and 0 are the same end */
        result.high = prepared.high + 0.0;
        result.has_step = prepared.step > 0;
        result.step = prepared.step;
    } else if (from->kind == HPO_INT) {
        result.low_int = (int64_t)prepared.low;
        result.high_int = (int64_t)prepared.high;
        result.has_step = prepared.step > 1;
        result.step_int = result.has_step ? (int64_t)prepared.step : 0;
    }
    *out = result;
    return 0;
}

/* -- to readers and samplers -- */

void distribution_to_public(const struct record_distribution *from, struct arena *arena,
                            struct hpo_distribution *out)
{
    struct hpo_choice *choices;
    uint32_t i;

    memset(out, 0, sizeof(*out));
    out->kind = (enum hpo_distribution_kind)from->kind;
    out->flags = from->log ? HPO_LOG : HPO_LINEAR;
    switch (from->kind) {
    case DISTRIBUTION_FLOAT:
        out->low = from->low;
        out->high = from->high;
        out->step = from->has_step ? from->step : 0;
        break;
    case DISTRIBUTION_INT:
        out->low_int = from->low_int;
        out->high_int = from->high_int;
        out->step_int = from->has_step ? from->step_int : 1;
        break;
    default:
        choices = arena_array(arena, from->choice_count, sizeof(*choices));
        if (!choices)
            return;
        for (i = 0; i < from->choice_count; i++) {
            choices[i].type = (enum hpo_choice_type)from->choices[i].type;
            choices[i].boolean = from->choices[i].boolean;
            choices[i].integer = from->choices[i].integer;
            choices[i].real = from->choices[i].real;
            if (from->choices[i].type == CHOICE_TEXT)
                choices[i].text = arena_text(arena, from->choices[i].text);
        }
        out->choices = choices;
        out->choice_count = from->choice_count;
        break;
    }
}

void distribution_to_sampler(const struct record_distribution *from,
                             struct sampler_distribution *out)
{
    memset(out, 0, sizeof(*out));
    out->kind = from->kind;
    out->log = from->log;
    switch (from->kind) {
    case DISTRIBUTION_FLOAT:
        out->low = from->low;
        out->high = from->high;
        out->step = from->has_step ? from->step : 0;
        break;
    case DISTRIBUTION_INT:
        out->low = (double)from->low_int;
        out->high = (double)from->high_int;
        out->step = from->has_step ? (double)from->step_int : 0;
        break;
    default:
        out->choice_count = from->choice_count;
        break;
    }
    /* A record that another version wrote and this one finds impossible stays as it is: the fold
     * has accepted it, and suggestions for it are refused by the study's versions. */
    (void)distribution_prepare(out, NULL);
}

static bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static bool same_choice(const struct record_choice *a, const struct record_choice *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case CHOICE_BOOL:
        return a->boolean == b->boolean;
    case CHOICE_INT:
        return a->integer == b->integer;
    case CHOICE_FLOAT:
        return memcmp(&a->real, &b->real, sizeof(a->real)) == 0 ||
               (isnan(a->real) && isnan(b->real));
    case CHOICE_TEXT:
        return bytes_equal(a->text, b->text);
    default:
        return true;
    }
}

bool distribution_same_class(const struct record_distribution *a,
                             const struct record_distribution *b)
{
    uint32_t i;

    if (a->kind != b->kind || a->log != b->log || a->choice_count != b->choice_count)
        return false;
    for (i = 0; i < a->choice_count; i++)
        if (!same_choice(&a->choices[i], &b->choices[i]))
            return false;
    return true;
}

/* -- text -- */

void real_text(double value, char out[32])
{
    static const int digits[] = {15, 16, 17};
    size_t i, length;
    char *p, *rest;

    if (isnan(value)) {
        strcpy(out, "nan");
        return;
    }
    if (isinf(value)) {
        strcpy(out, value > 0 ? "inf" : "-inf");
        return;
    }
    /* %g leaves trailing zeros away, so 15 digits give the shortest decimal whenever one of at most
     * 15 digits reads back. */
    for (i = 0; i < sizeof(digits) / sizeof(digits[0]); i++) {
        (void)snprintf(out, 32, "%.*g", digits[i], value);
        if (strtod(out, NULL) == value)
            break;
    }
    /* The host program's locale may have another decimal point, even one of several bytes. */
    for (p = out; *p; p++) {
        if (strchr("0123456789+-e", *p))
            continue;
        *p = '.';
        for (rest = p + 1; *rest && !strchr("0123456789+-e", *rest); rest++)
            ;
        length = strlen(rest);
        memmove(p + 1, rest, length + 1);
        break;
    }
}

char *distribution_text(const struct record_distribution *distribution, double value,
                        struct arena *arena)
{
    const struct record_choice *choice;
    char text[32] = "";

    switch (distribution->kind) {
    case DISTRIBUTION_FLOAT:
        real_text(value, text);
        break;
    case DISTRIBUTION_INT:
        (void)snprintf(text, sizeof(text), "%lld", (long long)value);
        break;
    default:
        if (!(value >= 0 && value < distribution->choice_count))
            break;
        choice = &distribution->choices[(uint32_t)value];
        switch (choice->type) {
        case CHOICE_TEXT:
            return arena_text(arena, choice->text);
        case CHOICE_BOOL:
            strcpy(text, choice->boolean ? "true" : "false");
            break;
        case CHOICE_INT:
            (void)snprintf(text, sizeof(text), "%lld", (long long)choice->integer);
            break;
        case CHOICE_FLOAT:
            real_text(choice->real, text);
            break;
        default:
            strcpy(text, "null");
            break;
        }
        break;
    }
    return arena_string(arena, text);
}

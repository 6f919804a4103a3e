/*
 * options: parse, normalise, print. No strtod and no printf: both obey the locale, and the latter
 * prints what the former need not read back. A real of at most 15 digits and a power of ten up to
 * 22 is one product or quotient of two exact doubles (Clinger 1990), which is correctly rounded;
 * what is longer is refused, nobody needs it here.
 */
#include "samplers/strict.h"
#include "samplers/options.h"

#include <assert.h>
#include <string.h>

#define REAL_DIGITS_MAX 15
#define POWER_MAX 22
#define TEXT_MAX 40 /* longest canonical bool, count or real, with its end */

/* digits * 10^exponent, without trailing zeros in digits; 0 is 0 * 10^0. */
struct decimal {
    bool negative;
    uint64_t digits;
    int digit_count;
    int exponent;
};

/* -- reading -- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* [+-]digits at *text; false if there are none or too many. */
static bool read_exponent(const char **text, int *out)
{
    const char *at = *text;
    bool negative = *at == '-';
    int value = 0, count = 0;

    if (*at == '-' || *at == '+')
        at++;
    for (; is_digit(*at); at++) {
        value = 10 * value + (*at - '0');
        if (++count > 3)
            return false;
    }
    *out = negative ? -value : value;
    *text = at;
    return count > 0;
}

/* [+-]digits[.digits][e[+-]digits], the whole text, and small enough to be exact. */
static bool read_decimal(const char *text, struct decimal *out)
{
    struct decimal d = {.negative = *text == '-'};
    bool point = false, any = false;
    int exponent = 0, zeros = 0; /* zeros: seen, but not yet known to be inside the number */

    if (*text == '-' || *text == '+')
        text++;
    for (; is_digit(*text) || (*text == '.' && !point); text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        any = true;
        if (point)
            d.exponent--;
        if (*text == '0') {
            if (d.digit_count > 0)
                zeros++;
            continue;
        }
        if (d.digit_count + zeros >= REAL_DIGITS_MAX)
            return false;
        for (; zeros > 0; zeros--, d.digit_count++)
            d.digits *= 10;
        d.digits = 10 * d.digits + (uint64_t)(*text - '0');
        d.digit_count++;
    }
    d.exponent += zeros;
    if (!any)
        return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        if (!read_exponent(&text, &exponent))
            return false;
    }
    d.exponent += exponent;
    if (d.digits == 0)
        d = (struct decimal){0};
    *out = d;
    return *text == 0 && d.exponent <= POWER_MAX && d.exponent >= -POWER_MAX;
}

static double decimal_value(const struct decimal *d)
{
    double power = 1, value = (double)d->digits;

    for (int i = 0; i < (d->exponent < 0 ? -d->exponent : d->exponent); i++)
        power *= 10; /* exact up to 10^22 */
    value = d->exponent < 0 ? value / power : value * power;
    return d->negative ? -value : value;
}

static bool read_count(const char *text, uint64_t *out)
{
    uint64_t value = 0;

    if (*text == 0)
        return false;
    for (; *text; text++) {
        uint64_t digit = (uint64_t)(*text - '0');

        if (!is_digit(*text) || value > (UINT64_MAX - digit) / 10)
            return false;
        value = 10 * value + digit;
    }
    *out = value;
    return true;
}

/* -- writing -- */

static size_t write_count(uint64_t value, char *text)
{
    char reversed[24];
    size_t size = 0;

    do {
        reversed[size++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (size_t i = 0; i < size; i++)
        text[i] = reversed[size - 1 - i];
    text[size] = 0;
    return size;
}

/* Plainly ("0.05", "1200") where that takes no more than a few zeros, else "12e-7". */
static void write_decimal(const struct decimal *d, char *text)
{
    char digits[24];
    size_t size = write_count(d->digits, digits);
    int point = (int)size + d->exponent; /* digits before the point */

    if (d->negative)
        *text++ = '-';
    if (d->exponent >= 0 && d->exponent <= 6) {
        memcpy(text, digits, size);
        memset(text + size, '0', (size_t)d->exponent);
        text[size + (size_t)d->exponent] = 0;
    } else if (d->exponent < 0 && point > -5) {
        size_t whole = point > 0 ? (size_t)point : 0;
        size_t zeros = point < 0 ? (size_t)-point : 0;

        memcpy(text, digits, whole);
        text += whole;
        if (whole == 0)
            *text++ = '0';
        *text++ = '.';
        memset(text, '0', zeros);
        memcpy(text + zeros, digits + whole, size - whole + 1);
    } else {
        memcpy(text, digits, size);
        text += size;
        *text++ = 'e';
        if (d->exponent < 0)
            *text++ = '-';
        (void)write_count((uint64_t)(d->exponent < 0 ? -d->exponent : d->exponent), text);
    }
}

/* -- rules -- */

static int fail_value(struct sampler_message *message, const char *key, const char *what,
                      const char *more)
{
    (void)sampler_fail(message, 0, "option ", key);
    return sampler_fail(message, SAMPLER_INVALID, what, more);
}

static int fail_range(struct sampler_message *message, const char *key, const char *low,
                      const char *high)
{
    (void)fail_value(message, key, " must lie between ", low);
    return sampler_fail(message, SAMPLER_INVALID, " and ", high);
}

static int canonical_bool(const struct option_rule *rule, const char *given,
                          struct sampler_message *message, char *text)
{
    if (strcmp(given, "true") == 0 || strcmp(given, "1") == 0)
        memcpy(text, "true", 5);
    else if (strcmp(given, "false") == 0 || strcmp(given, "0") == 0)
        memcpy(text, "false", 6);
    else
        return fail_value(message, rule->key, " must be true or false", NULL);
    return SAMPLER_OK;
}

static int canonical_count(const struct option_rule *rule, const char *given,
                           struct sampler_message *message, char *text)
{
    uint64_t value;
    char low[TEXT_MAX], high[TEXT_MAX];

    if (!read_count(given, &value))
        return fail_value(message, rule->key, " must be a whole number", NULL);
    if (value < rule->count_min || value > rule->count_max) {
        (void)write_count(rule->count_min, low);
        (void)write_count(rule->count_max, high);
        return fail_range(message, rule->key, low, high);
    }
    (void)write_count(value, text);
    return SAMPLER_OK;
}

static int canonical_real(const struct option_rule *rule, const char *given,
                          struct sampler_message *message, char *text)
{
    struct decimal decimal;
    double value;

    if (!read_decimal(given, &decimal))
        return fail_value(message, rule->key, " must be a decimal number of at most 15 digits",
                          NULL);
    value = decimal_value(&decimal);
    if (value < rule->real_min || value > rule->real_max)
        return fail_value(message, rule->key, " is out of its range", NULL);
    write_decimal(&decimal, text);
    return SAMPLER_OK;
}

static int canonical_word(const struct option_rule *rule, const char *given,
                          struct sampler_message *message, const char **out)
{
    const char *before = " must be one of ";

    for (const char *const *word = rule->words; *word; word++)
        if (strcmp(*word, given) == 0) {
            *out = *word;
            return SAMPLER_OK;
        }
    (void)sampler_fail(message, 0, "option ", rule->key);
    for (const char *const *word = rule->words; *word; word++, before = ", ")
        (void)sampler_fail(message, 0, before, *word);
    return SAMPLER_INVALID;
}

/* The canonical form of a value: in `text` (TEXT_MAX bytes) or elsewhere, where *out then points.
 */
static int canonical(const struct option_rule *rule, const char *given,
                     struct sampler_message *message, char *text, const char **out)
{
    *out = text;
    if (rule->kind != OPTION_WORD && rule->words)
        for (const char *const *word = rule->words; *word; word++)
            if (strcmp(*word, given) == 0) {
                *out = *word;
                return SAMPLER_OK;
            }
    switch (rule->kind) {
    case OPTION_BOOL:
        return canonical_bool(rule, given, message, text);
    case OPTION_COUNT:
        return canonical_count(rule, given, message, text);
    case OPTION_REAL:
        return canonical_real(rule, given, message, text);
    case OPTION_WORD:
        break;
    }
    return canonical_word(rule, given, message, out);
}

static const struct sampler_option *option_find(const struct sampler_option *options,
                                                uint32_t count, const char *key)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(options[i].key, key) == 0)
            return &options[i];
    return NULL;
}

static int check_keys(const struct option_rule *rules, uint32_t rule_count,
                      const struct sampler_option *options, uint32_t option_count,
                      struct sampler_message *message)
{
    for (uint32_t i = 0; i < option_count; i++) {
        const char *key = options[i].key;
        uint32_t r = 0;

        if (option_find(options, i, key))
            return fail_value(message, key, " is given twice", NULL);
        while (r < rule_count && strcmp(rules[r].key, key) != 0)
            r++;
        if (r < rule_count)
            continue;
        (void)fail_value(message, key, " is unknown",
                         rule_count ? "; known are" : "; there are none");
        for (r = 0; r < rule_count; r++)
            (void)sampler_fail(message, 0, r ? ", " : " ", rules[r].key);
        return SAMPLER_INVALID;
    }
    return SAMPLER_OK;
}

int options_complete(const struct option_rule *rules, uint32_t rule_count,
                     const struct sampler_option *options, uint32_t option_count, size_t size,
                     const struct sampler_allocator *allocator, struct sampler_message *message,
                     struct sampler_configuration **out)
{
    /* One block: the configuration, the option list behind it, then the texts of the values. Keys
     * are the rules' own. */
    size_t list_at = (size + 15) / 16 * 16;
    size_t text_at = list_at + rule_count * sizeof(struct sampler_option);
    int err = check_keys(rules, rule_count, options, option_count, message);

    if (err < 0)
        return err;

    uint8_t *block = allocator->alloc(allocator->context, text_at + (size_t)rule_count * TEXT_MAX);

    if (!block)
        return SAMPLER_NOMEM;
    memset(block, 0, text_at + (size_t)rule_count * TEXT_MAX);

    struct sampler_option *list = (struct sampler_option *)(void *)(block + list_at);

    for (uint32_t r = 0; r < rule_count; r++) {
        const struct sampler_option *given = option_find(options, option_count, rules[r].key);

        assert(r == 0 || strcmp(rules[r - 1].key, rules[r].key) < 0);
        list[r].key = rules[r].key;
        err = canonical(&rules[r], given ? given->value : rules[r].fallback, message,
                        (char *)block + text_at + (size_t)r * TEXT_MAX, &list[r].value);
        if (err < 0)
            goto free_block;
        assert(given || strcmp(list[r].value, rules[r].fallback) == 0);
    }
    *out = (struct sampler_configuration *)(void *)block;
    (*out)->options = list;
    (*out)->option_count = rule_count;
    (*out)->allocator = allocator;
    return SAMPLER_OK;

free_block:
    allocator->free(allocator->context, block);
    return err;
}

/* -- getting -- */

const char *options_word(const struct sampler_configuration *configuration, const char *key)
{
    const struct sampler_option *option =
        option_find(configuration->options, configuration->option_count, key);

    assert(option);
    return option->value;
}

bool options_bool(const struct sampler_configuration *configuration, const char *key)
{
    return options_word(configuration, key)[0] == 't';
}

uint64_t options_count(const struct sampler_configuration *configuration, const char *key)
{
    uint64_t value = 0;
    bool read = read_count(options_word(configuration, key), &value);

    assert(read);
    (void)read;
    return value;
}

double options_real(const struct sampler_configuration *configuration, const char *key)
{
    struct decimal decimal = {0};
    bool read = read_decimal(options_word(configuration, key), &decimal);

    assert(read);
    (void)read;
    return decimal_value(&decimal);
}

/*
 * options: the text in which a study records how its sampler and pruner are set.
 *
 * A sampler lists its options once, as a table of rules. options_complete checks what the user gave
 * against it, adds what was left out, and writes everything in one form, sorted by key, so that two
 * configurations are the same exactly if their texts are.
 */
#ifndef HPO_SAMPLERS_OPTIONS_H
#define HPO_SAMPLERS_OPTIONS_H

#include "samplers/sampler.h"

enum option_kind {
    OPTION_BOOL,  /* "true" or "false"; "1" and "0" are understood */
    OPTION_COUNT, /* decimal digits */
    OPTION_REAL,  /* decimal, with an exponent if wanted; at most 15 digits, 1e-22 to 1e37 in
                     magnitude, or zero */
    OPTION_WORD,  /* one of `words` */
};

struct option_rule {
    const char *key;
    const char *fallback; /* its default, canonical */
    enum option_kind kind;
    uint64_t count_min, count_max; /* COUNT */
    double real_min, real_max;     /* REAL, both allowed */
    const char *const *words;      /* WORD: NULL-terminated. COUNT and REAL: words that may stand
                                    * instead of a number ("auto"), or NULL */
};

/*
 * Allocate a configuration of `size` bytes (a struct that begins with struct sampler_configuration,
 * the rest zeroed) with the complete options, in one block that configuration_free frees. `rules`
 * stand sorted by key (asserted). 0, SAMPLER_NOMEM, SAMPLER_INVALID with the message filled:
 * unknown key (the message lists the known ones), a key twice, a value that its rule does not
 * allow.
 */
int options_complete(const struct option_rule *rules, uint32_t rule_count,
                     const struct sampler_option *options, uint32_t option_count, size_t size,
                     const struct sampler_allocator *allocator, struct sampler_message *message,
                     struct sampler_configuration **out);

/* The value of a complete configuration's option; the key must be one of its rules' and of that
 * kind, and for the numbers not one of its words (asserted). options_word gives any option's
 * text. */
bool options_bool(const struct sampler_configuration *configuration, const char *key);
uint64_t options_count(const struct sampler_configuration *configuration, const char *key);
double options_real(const struct sampler_configuration *configuration, const char *key);
const char *options_word(const struct sampler_configuration *configuration, const char *key);

#endif

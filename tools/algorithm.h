/*
 * algorithm: a sampler or pruner as named on a command line, NAME[:key=value,...].
 */
#ifndef HPO_TOOLS_ALGORITHM_H
#define HPO_TOOLS_ALGORITHM_H

#include <stddef.h>

#include "hpo.h"
#include "tools/text.h"

/* Owns everything; zero-initialised it names none. */
struct algorithm {
    char *name;
    struct hpo_option *options;
    size_t count;
};

/* 0, or -1 with one line in `why` and nothing in `out`. */
int algorithm_parse(const char *text, struct algorithm *out, struct text *why);
void algorithm_release(struct algorithm *algorithm);
/* As it was written. */
void algorithm_print(struct text *out, const char *name, const struct hpo_option *options,
                     size_t count);

#endif

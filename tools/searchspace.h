/*
 * searchspace: a search space as it is written on a command line or in a JSON file, and back.
 *
 *     lr=float(1e-5,1e-1,log)   momentum=float(0,0.95,step=0.05)
 *     depth=int(2,12)           act=choice(relu,"a, b")
 *
 *     {"lr": {"type": "float", "low": 1e-5, "high": 0.1, "log": true},
 *      "act": {"type": "choice", "choices": ["relu", 2, null]}}
 *
 * Choices on the command line are strings; the file's have JSON's types. The order of parameters is
 * kept: it names their random streams. What a distribution may be is the library's to judge.
 */
#ifndef HPO_TOOLS_SEARCHSPACE_H
#define HPO_TOOLS_SEARCHSPACE_H

#include <stdbool.h>
#include <stddef.h>

#include "hpo.h"
#include "tools/text.h"

/* Owns everything that its members point to. */
struct searchspace {
    struct hpo_param *params;
    size_t count;
};

/* Add "name=kind(...)", or all parameters of a JSON text. 0, or -1 with one line in `why`, the
 * space unchanged (a file's parameters before the bad one stay). */
int searchspace_add(struct searchspace *space, const char *definition, struct text *why);
int searchspace_add_json(struct searchspace *space, const char *json, size_t size,
                         struct text *why);
void searchspace_release(struct searchspace *space);

const struct hpo_param *searchspace_find(const struct hpo_param *params, size_t count,
                                         const char *name);

/* "float(1e-05,0.1,log)"; what searchspace_add reads back, but for choices that are no strings. */
void searchspace_print(struct text *out, const struct hpo_distribution *distribution);
void searchspace_print_choice(struct text *out, const struct hpo_choice *choice);
bool searchspace_same(const struct hpo_distribution *a, const struct hpo_distribution *b);

/* The value that a person means by `text`, as hpo_fixed wants it: one that the parameter can have.
 * 0, or -1 with `why`. */
int searchspace_value(const struct hpo_param *param, const char *text, double *value,
                      struct text *why);

/* Lines "  - lr=float(..)\n" and "  + lr=float(..)\n" for what differs between a recorded space and
 * a wanted one, in names, distributions or order. Nothing if they are the same. */
void searchspace_diff(struct text *out, const struct hpo_param *recorded, size_t recorded_count,
                      const struct hpo_param *wanted, size_t wanted_count);

#endif

/*
 * placeholder: {name} in a program's arguments stands for a parameter's value.
 *
 * "{{" and "}}" stand for the braces themselves; a "}" alone is itself. A name in braces that is no
 * parameter is refused before anything runs: a search over a value that never arrives is a night
 * lost.
 */
#ifndef HPO_TOOLS_PLACEHOLDER_H
#define HPO_TOOLS_PLACEHOLDER_H

#include <stddef.h>

#include "tools/text.h"

/* The value of a name of `size` bytes, or NULL. */
typedef const char *placeholder_lookup(void *arg, const char *name, size_t size);

/* Append `argument` with its placeholders replaced. 0, or -1 with one line in `why`. */
int placeholder_expand(struct text *out, const char *argument, placeholder_lookup *lookup,
                       void *arg, struct text *why);

/* "HPO_PARAM_" and the name in capitals, other characters than letters and digits as "_". */
void placeholder_variable(struct text *out, const char *name);

#endif

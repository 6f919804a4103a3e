/*
 * placeholder: one pass over the argument.
 */
#include <ctype.h>
#include <string.h>

#include "tools/placeholder.h"

int placeholder_expand(struct text *out, const char *argument, placeholder_lookup *lookup,
                       void *arg, struct text *why)
{
    for (const char *c = argument; *c; c++) {
        const char *value;
        size_t size;

        if ((*c == '{' || *c == '}') && c[1] == *c) {
            text_add_char(out, *c++);
            continue;
        }
        if (*c != '{') {
            text_add_char(out, *c);
            continue;
        }
        size = strcspn(c + 1, "{}");
        if (c[1 + size] != '}')
            return text_refuse(why,
                               "a \"{\" is not closed in \"%s\"; write \"{{\" for the brace "
                               "itself",
                               argument);
        value = lookup(arg, c + 1, size);
        if (!value)
            return text_refuse(why,
                               "\"{%.*s}\" names no parameter; write \"{{%.*s}}\" if the braces "
                               "are meant",
                               (int)size, c + 1, (int)size, c + 1);
        text_add(out, value);
        c += size + 1;
    }
    return 0;
}

void placeholder_variable(struct text *out, const char *name)
{
    text_add(out, "HPO_PARAM_");
    for (const char *c = name; *c; c++)
        text_add_char(out, isalnum((unsigned char)*c) ? (char)toupper((unsigned char)*c) : '_');
}

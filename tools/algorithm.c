/*
 * algorithm: which names and keys exist is the library's to say; here is only how they are written.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/algorithm.h"
#include "tools/memory.h"

void algorithm_release(struct algorithm *algorithm)
{
    for (size_t i = 0; i < algorithm->count; i++) {
        free((char *)algorithm->options[i].key);
        free((char *)algorithm->options[i].value);
    }
    free(algorithm->options);
    free(algorithm->name);
    *algorithm = (struct algorithm){0};
}

static int add_option(struct algorithm *algorithm, const char *option, size_t size,
                      struct text *why)
{
    const char *equals = memchr(option, '=', size);
    struct hpo_option *added;
    size_t key_size = equals ? (size_t)(equals - option) : 0;

    if (key_size == 0)
        return text_refuse(why, "\"%.*s\" is not key=value", (int)size, option);
    for (size_t i = 0; i < algorithm->count; i++)
        if (strlen(algorithm->options[i].key) == key_size &&
            memcmp(algorithm->options[i].key, option, key_size) == 0)
            return text_refuse(why, "\"%.*s\" is given twice", (int)key_size, option);
    algorithm->options =
        memory_resize(algorithm->options, algorithm->count + 1, sizeof(algorithm->options[0]));
    added = &algorithm->options[algorithm->count++];
    added->key = memory_copy_n(option, key_size);
    added->value = memory_copy_n(equals + 1, size - key_size - 1);
    return 0;
}

int algorithm_parse(const char *text, struct algorithm *out, struct text *why)
{
    struct algorithm algorithm = {0};
    size_t size = strcspn(text, ":");
    const char *at = text + size;

    if (size == 0)
        return text_refuse(why, "the name is empty; write NAME or NAME:key=value,...");
    algorithm.name = memory_copy_n(text, size);
    while (*at) {
        at++; /* the colon, or the comma before the next option */
        size = strcspn(at, ",");
        if (add_option(&algorithm, at, size, why) < 0) {
            algorithm_release(&algorithm);
            return -1;
        }
        at += size;
    }
    *out = algorithm;
    return 0;
}

void algorithm_print(struct text *out, const char *name, const struct hpo_option *options,
                     size_t count)
{
    text_add(out, name);
    for (size_t i = 0; i < count; i++)
        text_addf(out, "%c%s=%s", i ? ',' : ':', options[i].key, options[i].value);
}

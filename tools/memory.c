/*
 * memory: see the header; one way out for all.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/memory.h"

static void *checked(void *p)
{
    static const char message[] = "hpo: out of memory\n";

    if (!p) {
        (void)!write(2, message, sizeof(message) - 1); /* stdio might want memory itself */
        _exit(1);
    }
    return p;
}

void *memory_new(size_t count, size_t size)
{
    return checked(calloc(count ? count : 1, size ? size : 1));
}

void *memory_resize(void *old, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        return checked(NULL);
    return checked(realloc(old, bytes ? bytes : 1));
}

char *memory_copy(const char *string)
{
    return checked(strdup(string));
}

char *memory_copy_n(const char *bytes, size_t size)
{
    char *copy = memory_new(size + 1, 1);

    if (size)
        memcpy(copy, bytes, size);
    return copy;
}

/*
 * memory: allocation for programs that cannot go on without it.
 *
 * A command of ours that finds no memory has nothing better to do than to say so and end: whatever
 * it had not told the store is rolled back like after any other death. So these never return NULL;
 * they end the program with exit code 1. The library itself never does that.
 */
#ifndef HPO_TOOLS_MEMORY_H
#define HPO_TOOLS_MEMORY_H

#include <stddef.h>

/* Zeroed; free with free(). */
void *memory_new(size_t count, size_t size);
/* As realloc; new bytes are not zeroed. */
void *memory_resize(void *old, size_t count, size_t size);
char *memory_copy(const char *string);
/* A copy of `size` bytes with a NUL after them. */
char *memory_copy_n(const char *bytes, size_t size);

#endif

/*
 * common: what every file of samplers/ shares: results, messages, memory.
 *
 * samplers/ is arithmetic. It includes nothing of the engine, opens no file, reads no clock, and
 * has no memory of its own: the caller hands in an allocator. Any thread may call anything here;
 * what a function may not be called with at the same time is said at the function.
 */
#ifndef HPO_SAMPLERS_COMMON_H
#define HPO_SAMPLERS_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0 is success, negative an error, positive an ordinary outcome. */
enum sampler_error {
    SAMPLER_OK = 0,
    SAMPLER_NOMEM = -1, /* the allocator gave nothing; what was being made is unchanged */
    SAMPLER_INVALID =
        -2, /* a distribution or an option cannot be right; the message says which and why */
    SAMPLER_UNSUPPORTED =
        -3, /* right in itself, but not for this sampler (e.g. two objectives under CMA-ES), or a
             * draw of a domain that this version does not know */
    SAMPLER_MATH = -4, /* this build does not compute the bits it must (detmath_self_test) */
};

enum sampler_outcome {
    SAMPLER_NO_MORE = 1, /* the sampler has no further point to offer (grid) */
};

/* One line for people: what is wrong and what would be right. Always terminated. */
struct sampler_message {
    char text[192];
};

/* Append text to the message; what does not fit is cut. Texts may be NULL. Returns `error`, so that
 * `return sampler_fail(message, SAMPLER_INVALID, "low ", NULL)` reads well. The message may be
 * NULL. */
int sampler_fail(struct sampler_message *message, int error, const char *text, const char *more);

/* Where memory comes from. realloc(NULL) allocates, free(NULL) does nothing; alloc and realloc give
 * NULL when there is none, and blocks aligned for any type. */
struct sampler_allocator {
    void *context;
    void *(*alloc)(void *context, size_t size);
    void *(*realloc)(void *context, void *old, size_t size);
    void (*free)(void *context, void *block);
};

/* Bytes that grow. Zero-initialise with the allocator; release when done. */
struct sampler_bytes {
    const struct sampler_allocator *allocator;
    uint8_t *data;
    size_t size, capacity;
};

/* Append `size` bytes. 0 or SAMPLER_NOMEM (unchanged). */
int sampler_bytes_append(struct sampler_bytes *bytes, const void *data, size_t size);
void sampler_bytes_clear(struct sampler_bytes *bytes); /* keeps the memory */
void sampler_bytes_release(struct sampler_bytes *bytes);

#endif

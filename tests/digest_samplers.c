/*
 * Print the digest of a fixed list of suggestions and function values, and the math version. Exit
 * code 1 if either is not what it must be. Built by digest_across_builds.sh with many compilers and
 * flags.
 */
#include <stdio.h>
#include <stdlib.h>

#include "unit/suggestion_list.h"

static void *plain_alloc(void *context, size_t size)
{
    (void)context;
    return malloc(size);
}

static void *plain_realloc(void *context, void *old, size_t size)
{
    (void)context;
    return realloc(old, size);
}

static void plain_free(void *context, void *block)
{
    (void)context;
    free(block);
}

int main(void)
{
    static const struct sampler_allocator allocator = {
        .alloc = plain_alloc, .realloc = plain_realloc, .free = plain_free};
    uint64_t digest = suggestion_list_digest(&allocator);
    uint32_t version = detmath_version();

    printf("%016llx math version %u\n", (unsigned long long)digest, version);
    return digest == SUGGESTION_LIST_DIGEST && version == DETMATH_VERSION ? 0 : 1;
}

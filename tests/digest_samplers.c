/*
 * Print the digests of fixed lists of suggestions and function values, and the math version. Exit
 * code 1 if any is not what it must be. Built by digest_across_builds.sh with many compilers and
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
    uint32_t version = detmath_version();
    bool right = version == DETMATH_VERSION;

    for (size_t i = 0; i < SUGGESTION_LISTS; i++) {
        uint64_t digest = suggestion_lists[i].compute(&allocator);

        printf("%s %016llx ", suggestion_lists[i].name, (unsigned long long)digest);
        right = right && digest == suggestion_lists[i].digest;
    }
    printf("math version %u\n", version);
    return right ? 0 : 1;
}

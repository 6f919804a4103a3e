/*
 * samplers_support: what the tests of samplers/ share: golden vectors read with jansson, a counting
 * allocator that can be told to fail, random test input.
 */
#ifndef HPO_TESTS_SAMPLERS_SUPPORT_H
#define HPO_TESTS_SAMPLERS_SUPPORT_H

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "samplers/common.h"

#define UNUSED __attribute__((unused))

/* -- memory -- */

struct test_memory {
    struct sampler_allocator allocator;
    long live;      /* blocks not yet freed */
    long until_bad; /* allocations until one fails; negative: none does */
};

static UNUSED bool test_memory_denied(struct test_memory *memory)
{
    return memory->until_bad >= 0 && memory->until_bad-- == 0;
}

static UNUSED void *test_alloc(void *context, size_t size)
{
    struct test_memory *memory = context;

    if (test_memory_denied(memory))
        return NULL;
    memory->live++;
    void *block = malloc(size ? size : 1);
    memset(block, 0xA5, size); /* so that no test passes thanks to zeros */
    return block;
}

static UNUSED void *test_realloc(void *context, void *old, size_t size)
{
    struct test_memory *memory = context;

    if (test_memory_denied(memory))
        return NULL;
    memory->live += old == NULL;
    return realloc(old, size);
}

static UNUSED void test_free(void *context, void *block)
{
    struct test_memory *memory = context;

    memory->live -= block != NULL;
    free(block);
}

static UNUSED void test_memory_init(struct test_memory *memory)
{
    *memory = (struct test_memory){.allocator = {.context = memory,
                                                 .alloc = test_alloc,
                                                 .realloc = test_realloc,
                                                 .free = test_free},
                                   .until_bad = -1};
}

/* -- input that is the same in every run -- */

struct test_random {
    uint64_t state;
};

static UNUSED uint64_t
test_word64(struct test_random *random) /* Marsaglia's xorshift*, not the generator under test */
{
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return random->state * UINT64_C(2685821657736338717);
}

static UNUSED double test_unit(struct test_random *random)
{
    return (double)(test_word64(random) >> 11) * 0x1p-53;
}

/* -- vectors -- */

static UNUSED json_t *vectors_load(const char *name)
{
    char path[4096];
    json_error_t error;
    json_t *root;

    snprintf(path, sizeof(path), "%s/%s", HPO_TEST_VECTORS, name);
    root = json_load_file(path, 0, &error);
    cr_assert(root, "%s: %s", path, error.text);
    return root;
}

/* Line after line of a .jsonl file: NULL at the end. */
static UNUSED FILE *vectors_open(const char *name)
{
    char path[4096];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", HPO_TEST_VECTORS, name);
    file = fopen(path, "r");
    cr_assert(file, "%s cannot be read", path);
    return file;
}

static UNUSED json_t *vectors_next(FILE *file)
{
    json_error_t error;
    json_t *line = json_loadf(file, JSON_DISABLE_EOF_CHECK, &error);

    cr_assert(line || feof(file), "line not understood: %s", error.text);
    return line;
}

static UNUSED json_t *vectors_get(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);

    cr_assert(value, "no key %s in the vectors", key);
    return value;
}

static UNUSED double vectors_double(const json_t *value)
{
    const char *text = json_string_value(value);
    char *end;

    cr_assert(text, "a double is a string in the vectors");
    double result = strtod(text, &end);
    cr_assert(*end == 0, "%s is no double", text);
    return result;
}

static UNUSED uint64_t vectors_word(const json_t *value)
{
    const char *text = json_string_value(value);
    char *end;

    if (!text)
        return (uint64_t)json_integer_value(value);
    uint64_t result = strtoull(text, &end, 0);
    cr_assert(*end == 0, "%s is no word", text);
    return result;
}

/* 32 hex digits, "0x" before them: low half, high half. */
static UNUSED void vectors_seed(const json_t *value, uint64_t words[2])
{
    const char *text = json_string_value(value);
    char half[17] = {0};

    cr_assert(text && strlen(text) == 34, "a seed has 32 digits");
    memcpy(half, text + 2, 16);
    words[1] = strtoull(half, NULL, 16);
    memcpy(half, text + 18, 16);
    words[0] = strtoull(half, NULL, 16);
}

/* Distance in units of the expected value's last place; 0 for equal infinities and for two NaN. */
static UNUSED double ulp_distance(double got, double expected)
{
    int exponent;

    if (got == expected || (isnan(got) && isnan(expected)))
        return 0;
    if (!isfinite(got) || !isfinite(expected))
        return INFINITY;
    if (fabs(expected) < 0x1p-1022)
        return fabs(got - expected) / 0x1p-1074;
    (void)frexp(expected, &exponent);
    return fabs(ldexp(got, 53 - exponent) - ldexp(expected, 53 - exponent));
}

#endif

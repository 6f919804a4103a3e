/*
 * fuzz: see fuzz.h. The bound on allocations is one number for the program: targets run one input
 * at a time.
 */
#include "fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"

void fuzz_fail(const char *file, int line, const char *format, ...)
{
    va_list args;

    (void)fprintf(stderr, "FUZZ %s:%d: ", file, line);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fputc('\n', stderr);
    abort();
}

/* -- input -- */

bool fuzz_more(const struct fuzz_input *input)
{
    return input->at < input->end;
}

static void take(struct fuzz_input *input, uint8_t *to, size_t size)
{
    size_t left = (size_t)(input->end - input->at), n = size < left ? size : left;

    memset(to, 0, size);
    if (n)
        memcpy(to, input->at, n);
    input->at += n;
}

uint8_t fuzz_u8(struct fuzz_input *input)
{
    uint8_t bytes[1];

    take(input, bytes, sizeof(bytes));
    return bytes[0];
}

uint16_t fuzz_u16(struct fuzz_input *input)
{
    uint8_t bytes[2];

    take(input, bytes, sizeof(bytes));
    return codec_load_u16(bytes);
}

uint32_t fuzz_u32(struct fuzz_input *input)
{
    uint8_t bytes[4];

    take(input, bytes, sizeof(bytes));
    return codec_load_u32(bytes);
}

uint64_t fuzz_u64(struct fuzz_input *input)
{
    uint8_t bytes[8];

    take(input, bytes, sizeof(bytes));
    return codec_load_u64(bytes);
}

uint32_t fuzz_below(struct fuzz_input *input, uint32_t bound)
{
    return (bound <= 256 ? fuzz_u8(input) : fuzz_u32(input)) % bound;
}

const uint8_t *fuzz_bytes(struct fuzz_input *input, size_t size, size_t *got)
{
    const uint8_t *bytes = input->at;
    size_t left = (size_t)(input->end - input->at);

    *got = size < left ? size : left;
    input->at += *got;
    return bytes;
}

/* -- memory -- */

static size_t bound = SIZE_MAX;
static void *(*real_alloc)(void *self, size_t n);
static void *(*real_realloc)(void *self, void *old, size_t n);

static void check(size_t n)
{
    FUZZ_REQUIRE(n <= bound, "allocation of %zu bytes, bound %zu", n, bound);
}

static void *bounded_alloc(void *self, size_t n)
{
    check(n);
    return real_alloc(self, n);
}

static void *bounded_realloc(void *self, void *old, size_t n)
{
    check(n);
    return real_realloc(self, old, n);
}

void fuzz_bound(size_t input, size_t fixed)
{
    bound = 16 * input + fixed;
}

void fuzz_bounded(struct hpo_os *table, const struct hpo_os *real)
{
    real_alloc = real->alloc;
    real_realloc = real->realloc;
    *table = *real;
    table->alloc = bounded_alloc;
    table->realloc = bounded_realloc;
}

const struct hpo_os *fuzz_os(void)
{
    static struct hpo_os table;

    if (table.size == 0)
        fuzz_bounded(&table, os_linux());
    return &table;
}

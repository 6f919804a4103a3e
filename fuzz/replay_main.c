/*
 * replay_main: a fuzz target without libFuzzer: every file of its corpus, then mutations of them.
 *
 *     replay_X CORPUS MUTATIONS              MUTATIONS times HPO_TEST_SCALE (default 0.1) mutations
 *     replay_X CORPUS --mutation N [FILE]    only that one; FILE: write the input there
 *     replay_X --file FILE                   only that input
 *
 * Mutation N depends on the corpus and on N alone. Whatever ends the program prints N.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_MAX (64u << 10)
#define FILES_MAX 512

struct input {
    char *name;
    uint8_t *bytes;
    size_t size;
};

static struct input corpus[FILES_MAX];
static size_t corpus_count;
static char doing[512]; /* for the handler below */

/* Says what was under way when the program came to its end. */
static void on_signal(int number)
{
    ssize_t written = write(STDERR_FILENO, doing, strlen(doing));

    (void)written;
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static bool read_input(const char *path, struct input *out)
{
    FILE *file = fopen(path, "rb");

    if (!file)
        return false;
    out->bytes = malloc(INPUT_MAX);
    if (out->bytes)
        out->size = fread(out->bytes, 1, INPUT_MAX, file);
    (void)fclose(file);
    out->name = strdup(path);
    return out->bytes && out->name;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct input *)a)->name, ((const struct input *)b)->name);
}

static bool read_corpus(const char *directory)
{
    DIR *stream = opendir(directory);
    struct dirent *entry;
    char path[1024];

    if (!stream)
        return false;
    while ((entry = readdir(stream)) && corpus_count < FILES_MAX) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        if (read_input(path, &corpus[corpus_count]))
            corpus_count++;
    }
    (void)closedir(stream);
    qsort(corpus, corpus_count, sizeof(corpus[0]), by_name);
    return corpus_count > 0;
}

/* One step: bits, bytes, numbers at the edge, pieces taken out, put in, copied, from elsewhere. */
static size_t mutate(uint8_t *bytes, size_t size, uint64_t *random)
{
    static const uint8_t edges[] = {0, 1, 2, 7, 8, 0x7f, 0x80, 0xfe, 0xff};
    size_t at = size ? next(random) % size : 0, n = 1 + next(random) % 16, from;

    switch (size ? next(random) % 7 : 3) {
    case 0:
        bytes[at] ^= (uint8_t)(1u << next(random) % 8);
        return size;
    case 1:
        bytes[at] = (uint8_t)next(random);
        return size;
    case 2:
        bytes[at] = edges[next(random) % sizeof(edges)];
        return size;
    case 3:
        if (size + n > INPUT_MAX)
            return size;
        memmove(bytes + at + n, bytes + at, size - at);
        for (size_t i = 0; i < n; i++)
            bytes[at + i] = (uint8_t)next(random);
        return size + n;
    case 4:
        n = n < size - at ? n : size - at;
        memmove(bytes + at, bytes + at + n, size - at - n);
        return size - n;
    case 5:
        n *= 1 + next(random) % 32;
        from = next(random) % size;
        n = n < size - at ? n : size - at;
        n = n < size - from ? n : size - from;
        memmove(bytes + at, bytes + from, n);
        return size;
    default: {
        const struct input *other = &corpus[next(random) % corpus_count];

        if (other->size == 0)
            return size;
        from = next(random) % other->size;
        n = other->size - from < INPUT_MAX - at ? other->size - from : INPUT_MAX - at;
        memcpy(bytes + at, other->bytes + from, n);
        return at + n;
    }
    }
}

static size_t make_mutation(uint64_t number, uint8_t *bytes)
{
    uint64_t random = number * 0x2545f4914f6cdd1du + 1;
    const struct input *from = &corpus[next(&random) % corpus_count];
    size_t size = from->size;

    memcpy(bytes, from->bytes, size);
    for (uint64_t steps = 1 + next(&random) % 6; steps > 0; steps--)
        size = mutate(bytes, size, &random);
    return size;
}

/* A copy of the very size, so that a sanitizer sees a read behind its end. */
static void run(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy)
        abort();
    memcpy(copy, bytes, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void run_mutation(uint64_t number, uint8_t *bytes, const char *write_to)
{
    size_t size = make_mutation(number, bytes);
    FILE *file = write_to ? fopen(write_to, "wb") : NULL;

    if (file) {
        (void)fwrite(bytes, 1, size, file);
        (void)fclose(file);
    }
    (void)snprintf(doing, sizeof(doing), "FAIL at --mutation %llu\n", (unsigned long long)number);
    run(bytes, size);
}

int main(int argc, char **argv)
{
    const char *scale = getenv("HPO_TEST_SCALE");
    uint8_t *bytes = malloc(INPUT_MAX + 4096);
    uint64_t count = 0;

    (void)signal(SIGABRT, on_signal);
    (void)signal(SIGSEGV, on_signal);
    if (argc < 3 || !bytes) {
        (void)fprintf(stderr, "usage: %s CORPUS MUTATIONS\n", argv[0]);
        return 2;
    }
    if (strcmp(argv[1], "--file") == 0) {
        if (!read_input(argv[2], &corpus[corpus_count]))
            return 2;
        corpus_count = 1;
    } else if (!read_corpus(argv[1])) {
        (void)fprintf(stderr, "%s: no corpus\n", argv[1]);
        return 2;
    } else if (strcmp(argv[2], "--mutation") == 0 && argc > 3) {
        run_mutation(strtoull(argv[3], NULL, 10), bytes, argc > 4 ? argv[4] : NULL);
        corpus_count = 0;
    } else {
        count = (uint64_t)(strtod(argv[2], NULL) * (scale ? strtod(scale, NULL) : 0.1)) + 1;
    }
    for (size_t i = 0; i < corpus_count; i++) {
        (void)snprintf(doing, sizeof(doing), "FAIL at %s\n", corpus[i].name);
        run(corpus[i].bytes, corpus[i].size);
    }
    for (uint64_t n = 1; n <= count; n++)
        run_mutation(n, bytes, NULL);
    (void)printf("%zu files, %llu mutations\n", corpus_count, (unsigned long long)count);
    for (size_t i = 0; i < FILES_MAX && corpus[i].name; i++) {
        free(corpus[i].name);
        free(corpus[i].bytes);
    }
    free(bytes);
    return 0;
}

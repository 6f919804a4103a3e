/*
 * bench_tpe: what a suggestion costs, in milliseconds, over 100, 1,000 and 10,000 finished trials.
 *
 * One thread, one model that follows: each measured suggestion includes taking in the one trial
 * that finished since the one before. The median of many is printed. For instruction counts:
 *
 *   valgrind --tool=callgrind --toggle-collect=measured bench_tpe 1000 10 float
 *
 * with arguments: trials, parameters, and the kind of space (float, int, mixed, one: univariate).
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "unit/study_walk.h"

#define PARAMS_MAX 30

static void *bench_alloc(void *context, size_t size)
{
    (void)context;
    return malloc(size);
}

static void *bench_realloc(void *context, void *old, size_t size)
{
    (void)context;
    return realloc(old, size);
}

static void bench_free(void *context, void *block)
{
    (void)context;
    free(block);
}

static const struct sampler_allocator allocator = {
    .alloc = bench_alloc, .realloc = bench_realloc, .free = bench_free};

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static struct sampler_distribution distribution_of(const char *kind, int i)
{
    if (strcmp(kind, "int") == 0 || (strcmp(kind, "mixed") == 0 && i % 3 == 1))
        return (struct sampler_distribution){.kind = SAMPLER_INT, .low = 0, .high = 100};
    if (strcmp(kind, "mixed") == 0 && i % 3 == 2)
        return (struct sampler_distribution){.kind = SAMPLER_CATEGORICAL, .choice_count = 5};
    return (struct sampler_distribution){.kind = SAMPLER_FLOAT, .low = -5, .high = 5};
}

static int make(struct walk *walk, const char *sampler, const char *kind, int params)
{
    static const struct sampler_option univariate = {"multivariate", "false"};
    static char names[PARAMS_MAX][16];
    int err = SAMPLER_OK;

    walk_init(walk, &allocator, 1);
    walk->finish = walk_finish_mixed;
    for (int i = 0; err == SAMPLER_OK && i < params; i++) {
        snprintf(names[i], sizeof(names[i]), "x%02d", i);
        err = walk_param(walk, names[i], distribution_of(kind, i));
    }
    if (err == SAMPLER_OK)
        err = walk_configure(walk, sampler, &univariate, strcmp(kind, "one") == 0, NULL);
    return err;
}

/* The trials before the measured ones come from Random: what TPE would cost to make them is not
 * the question, and the densities are as wide as they can be. */
static int fill(struct walk *walk, int trials)
{
    struct sampler_configuration *tpe = walk->configuration;
    void *model = walk->model;
    int err = sampler_configure(sampler_find("random"), &walk->study, NULL, 0, 0, &allocator, NULL,
                                &walk->configuration);

    if (err < 0)
        return err;
    walk->model = NULL;
    err = walk_run(walk, (uint64_t)trials, 1, 1);
    configuration_free(walk->configuration);
    walk->configuration = tpe;
    walk->model = model;
    return err;
}

/* Out of line, so that callgrind can be told to count here only. */
__attribute__((noinline)) int measured(struct walk *walk);
int measured(struct walk *walk)
{
    return walk_begin(walk);
}

/* Median milliseconds a suggestion. Negative: an error. */
static double bench(const char *kind, int trials, int params, int rounds)
{
    struct walk walk;
    double *times = malloc((size_t)rounds * sizeof(*times)), median;
    int err = make(&walk, "tpe", kind, params);

    if (err == SAMPLER_OK)
        err = fill(&walk, trials);
    if (err == SAMPLER_OK) /* the first one takes all trials in */
        err = walk_begin(&walk) < 0 ? -1 : walk_end_running(&walk, 0);
    for (int i = 0; err == SAMPLER_OK && i < rounds; i++) {
        double start = now_ms();

        err = measured(&walk);
        times[i] = now_ms() - start;
        if (err == SAMPLER_OK)
            err = walk_end_running(&walk, 0);
    }
    qsort(times, (size_t)rounds, sizeof(*times), compare);
    median = err == SAMPLER_OK ? times[rounds / 2] : -1;
    walk_release(&walk);
    free(times);
    return median;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *kind;
        int params;
    } spaces[] = {{"float", 2}, {"float", 10}, {"float", 30},
                  {"int", 10},  {"mixed", 12}, {"one", 10}};

    if (argc == 4) { /* one place, a fixed number of suggestions: for callgrind */
        double ms = bench(argv[3], atoi(argv[1]), atoi(argv[2]), 20);

        printf("%s trials, %s parameters, %s: %.3f ms a suggestion (20 measured)\n", argv[1],
               argv[2], argv[3], ms);
        return ms < 0;
    }
    printf("TPE, median ms a suggestion of all parameters (24 candidates)\n");
    printf("%-12s %10s %10s %10s\n", "space", "n = 100", "1,000", "10,000");
    for (size_t s = 0; s < sizeof(spaces) / sizeof(spaces[0]); s++) {
        printf("%-6s d=%-3d", spaces[s].kind, spaces[s].params);
        for (int trials = 100; trials <= 10000; trials *= 10) {
            double ms = bench(spaces[s].kind, trials, spaces[s].params, trials < 10000 ? 101 : 31);

            if (ms < 0)
                return 1;
            printf(" %10.3f", ms);
            fflush(stdout);
        }
        printf("\n");
    }
    return 0;
}

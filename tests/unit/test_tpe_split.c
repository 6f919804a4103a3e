/*
 * TPE's split of trials into good and others, and its weights, against what Optuna 5 does; the
 * hypervolume against sums that can be counted.
 */
#include "samplers_support.h"
#include "samplers/hypervolume.h"
#include "samplers/parzen.h"
#include "samplers/tpe_split.h"

#define TRIALS_MAX 400

static struct test_memory memory;

static void setup(void)
{
    test_memory_init(&memory);
}

static void teardown(void)
{
    cr_assert_eq(memory.live, 0);
}

TestSuite(tpe_split, .init = setup, .fini = teardown);

struct history {
    struct sampler_study study;
    uint8_t directions[4];
    struct sampler_trial trials[TRIALS_MAX];
    struct sampler_report reports[TRIALS_MAX][8];
    double objectives[TRIALS_MAX][4], constraints[TRIALS_MAX][4];
    uint32_t count;
};

static uint8_t read_state(const char *name)
{
    if (strcmp(name, "COMPLETE") == 0)
        return SAMPLER_COMPLETE;
    if (strcmp(name, "PRUNED") == 0)
        return SAMPLER_PRUNED;
    cr_assert_str_eq(name, "RUNNING");
    return SAMPLER_RUNNING;
}

static void read_trial(struct history *history, uint32_t i, const json_t *row)
{
    struct sampler_trial *trial = &history->trials[i];
    const json_t *values = vectors_get(row, "values"), *steps = vectors_get(row, "steps");
    const json_t *constraints = vectors_get(row, "constraints");

    *trial =
        (struct sampler_trial){.number = i,
                               .state = read_state(json_string_value(vectors_get(row, "state"))),
                               .objectives = history->objectives[i],
                               .reports = history->reports[i],
                               .constraints = history->constraints[i]};
    for (size_t k = 0; trial->state == SAMPLER_COMPLETE && k < json_array_size(values); k++)
        history->objectives[i][trial->objective_count++] =
            vectors_double(json_array_get(values, k));
    for (size_t k = 0; k < json_array_size(steps); k++) {
        const json_t *step = json_array_get(steps, k);

        history->reports[i][trial->report_count++] = (struct sampler_report){
            json_integer_value(json_array_get(step, 0)), vectors_double(json_array_get(step, 1))};
    }
    for (size_t k = 0; k < json_array_size(constraints); k++)
        history->constraints[i][trial->constraint_count++] =
            vectors_double(json_array_get(constraints, k));
}

static void read_history(struct history *history, const json_t *split)
{
    const json_t *directions = vectors_get(split, "directions");
    const json_t *trials = vectors_get(split, "trials");

    history->study.directions = history->directions;
    history->study.direction_count = (uint32_t)json_array_size(directions);
    for (uint32_t k = 0; k < history->study.direction_count; k++)
        history->directions[k] =
            strcmp(json_string_value(json_array_get(directions, k)), "maximize") == 0;
    if (json_is_null(trials)) /* as before */
        return;
    history->count = (uint32_t)json_array_size(trials);
    for (uint32_t i = 0; i < history->count; i++)
        read_trial(history, i, json_array_get(trials, i));
}

/* Which trials are below: flags by number. Returns how many have finished. */
static uint32_t split_history(const struct history *history, uint32_t n_below, uint8_t *flags)
{
    struct tpe_key keys[TRIALS_MAX];
    uint8_t below[TRIALS_MAX];
    uint32_t finished = 0;

    for (uint32_t i = 0; i < history->count; i++)
        if (history->trials[i].state != SAMPLER_RUNNING)
            keys[finished++] = tpe_key_of(&history->study, &history->trials[i]);
    cr_assert_eq(tpe_split(&history->study, keys, finished, n_below, &memory.allocator, below), 0);
    memset(flags, 0, TRIALS_MAX);
    for (uint32_t i = 0; i < finished; i++)
        flags[keys[i].trial->number] = below[i];
    return finished;
}

static void check_split(struct history *history, const json_t *split)
{
    const char *name = json_string_value(vectors_get(split, "case"));
    uint32_t n_below = (uint32_t)json_integer_value(vectors_get(split, "n_below"));
    const json_t *below = vectors_get(split, "below"), *above = vectors_get(split, "above");
    uint8_t flags[TRIALS_MAX];
    uint32_t finished;

    read_history(history, split);
    finished = split_history(history, n_below, flags);
    cr_assert_eq(tpe_below_count(finished, history->study.direction_count),
                 json_integer_value(vectors_get(split, "default_n_below")));
    cr_assert_eq(json_array_size(below) + json_array_size(above), history->count);
    for (size_t i = 0; i < json_array_size(below); i++) {
        json_int_t number = json_integer_value(json_array_get(below, i));

        cr_expect(flags[number], "%s, %u below: trial %d should be", name, n_below, (int)number);
    }
    for (size_t i = 0; i < json_array_size(above); i++) {
        json_int_t number = json_integer_value(json_array_get(above, i));

        cr_expect_not(flags[number], "%s, %u below: trial %d should not be", name, n_below,
                      (int)number);
    }
}

Test(tpe_split, good_trials_and_weights_are_those_of_optuna)
{
    FILE *file = vectors_open("tpe_split.jsonl");
    struct history *history = calloc(1, sizeof(*history));
    int splits = 0, weights = 0;
    json_t *row, *part;

    while ((row = vectors_next(file)) != NULL) {
        if ((part = json_object_get(row, "split")) != NULL) {
            check_split(history, part);
            splits++;
        } else if ((part = json_object_get(row, "weights")) != NULL) {
            uint32_t count = (uint32_t)json_integer_value(vectors_get(part, "n"));
            double weight[TRIALS_MAX];

            cr_assert_eq(json_array_size(vectors_get(part, "w")), count);
            parzen_weights(weight, count);
            for (uint32_t i = 0; i < count; i++) {
                double theirs = vectors_double(json_array_get(vectors_get(part, "w"), i));

                cr_assert_leq(fabs(weight[i] - theirs), 1e-15, "weight %u of %u", i, count);
            }
            weights++;
        } else if ((part = json_object_get(row, "n_below")) != NULL) {
            json_t *n = vectors_get(part, "n"), *single = vectors_get(part, "single");
            json_t *multi = json_object_get(part, "multi");

            cr_assert_eq(json_array_size(n), 400);
            for (size_t i = 0; i < json_array_size(n); i++) {
                uint32_t trials = (uint32_t)json_integer_value(json_array_get(n, i));

                cr_assert_eq(tpe_below_count(trials, 1),
                             json_integer_value(json_array_get(single, i)));
                if (multi)
                    cr_assert_eq(tpe_below_count(trials, 2),
                                 json_integer_value(json_array_get(multi, i)));
            }
        }
        json_decref(row);
    }
    fclose(file);
    free(history);
    cr_assert_eq(splits, 277);
    cr_assert_eq(weights, 12);
    fprintf(stderr, "tpe_split: %d splits and %d weights equal\n", splits, weights);
}

/* -- hypervolume -- */

/* Points on a grid of integers: count its cells. */
static double counted(const double *points, uint32_t count, uint32_t objectives, int side)
{
    long cells = 1;
    double covered = 0;

    for (uint32_t k = 0; k < objectives; k++)
        cells *= side;
    for (long cell = 0; cell < cells; cell++) {
        bool inside = false;

        for (uint32_t i = 0; i < count && !inside; i++) {
            long left = cell;

            inside = true;
            for (uint32_t k = 0; k < objectives && inside; k++, left /= side)
                inside = (double)(left % side) >= points[i * objectives + k];
        }
        covered += inside;
    }
    return covered;
}

Test(tpe_split, hypervolume_is_the_number_of_cells)
{
    struct test_random random = {3};
    double points[12 * 5], work[12 * 25], reference[5] = {6, 6, 6, 6, 6};

    for (uint32_t objectives = 2; objectives <= 5; objectives++)
        for (int i = 0; i < 100; i++) {
            uint32_t count = (uint32_t)(test_word64(&random) % 13);
            double expected;

            for (uint32_t j = 0; j < count * objectives; j++)
                points[j] = (double)(test_word64(&random) % 7);
            expected = counted(points, count, objectives, 6);
            cr_assert_eq(hypervolume(points, count, objectives, reference, work), expected);
        }
}

/* The lazy search chooses as one that computes every gain anew. Integers: all sums are exact. */
Test(tpe_split, the_subset_is_the_greedy_one)
{
    struct test_random random = {4};
    double points[40 * 4], set[40 * 4], work[41 * 16], reference[4] = {10, 10, 10, 10};
    uint32_t chosen[40], compared = 0;

    for (uint32_t objectives = 2; objectives <= 4; objectives++)
        for (int round = 0; round < 60; round++) {
            uint32_t count = 0, wanted;

            /* Points of one sum do not dominate each other; in lexicographic order. */
            for (int a = 0; a < 10 && count < 40; a++)
                for (int b = 0; b < 10 && count < 40; b++) {
                    int c = objectives == 4 ? (int)(test_word64(&random) % 10) : 0;
                    int last = 12 - a - (objectives > 2 ? b : 0) - c;

                    if (last < 0 || last > 9 || test_word64(&random) % 3 ||
                        (objectives == 2 && b > 0))
                        continue;
                    points[count * objectives] = a;
                    if (objectives > 2)
                        points[count * objectives + 1] = b;
                    if (objectives > 3)
                        points[count * objectives + 2] = c;
                    points[count * objectives + objectives - 1] = last;
                    count++;
                }
            wanted = count ? (uint32_t)(test_word64(&random) % count) + 1 : 0;
            cr_assert_eq(hypervolume_subset(points, count, objectives, reference, wanted,
                                            &memory.allocator, chosen),
                         0);
            for (uint32_t n = 0; n < wanted; n++, compared++) {
                double most = -1;
                uint32_t best = 0;

                for (uint32_t i = 0; i < count; i++) {
                    bool taken = false;
                    double volume;

                    for (uint32_t j = 0; j < n; j++) {
                        taken = taken || chosen[j] == i;
                        memcpy(set + j * objectives, points + chosen[j] * objectives,
                               objectives * sizeof(double));
                    }
                    memcpy(set + n * objectives, points + i * objectives,
                           objectives * sizeof(double));
                    volume = hypervolume(set, n + 1, objectives, reference, work);
                    if (!taken && volume > most) {
                        most = volume;
                        best = i;
                    }
                }
                cr_assert_eq(chosen[n], best);
            }
        }
    cr_assert_gt(compared, 500);
}

Test(tpe_split, lost_memory_is_said_and_nothing_leaks)
{
    struct history *history = calloc(1, sizeof(*history));
    struct test_random random = {9};
    uint8_t flags[TRIALS_MAX], below[TRIALS_MAX];
    struct tpe_key keys[100];
    int refused = 0;

    history->study =
        (struct sampler_study){.directions = history->directions, .direction_count = 3};
    history->count = 100;
    for (uint32_t i = 0; i < 100; i++) {
        history->trials[i] = (struct sampler_trial){.number = i,
                                                    .state = SAMPLER_COMPLETE,
                                                    .objectives = history->objectives[i],
                                                    .objective_count = 3};
        for (int k = 0; k < 3; k++)
            history->objectives[i][k] = test_unit(&random);
        keys[i] = tpe_key_of(&history->study, &history->trials[i]);
    }
    (void)split_history(history, 10, flags);
    for (long n = 0; n < 8; n++) {
        memory.until_bad = n;
        int err = tpe_split(&history->study, keys, 100, 10, &memory.allocator, below);

        memory.until_bad = -1;
        refused += err == SAMPLER_NOMEM;
        if (err == 0)
            cr_assert_eq(memcmp(flags, below, 100), 0);
    }
    cr_assert_geq(refused, 2);
    free(history);
}

/*
 * TPE's density estimator against 125 recorded suggestions of Optuna 5, and what must hold of any
 * density.
 */
#include "samplers_support.h"
#include "samplers/detmath.h"
#include "samplers/parzen.h"

#define CANDIDATES 24
#define PARAMS_MAX 30

static struct test_memory memory;

static void setup(void)
{
    test_memory_init(&memory);
}

static void teardown(void)
{
    cr_assert_eq(memory.live, 0);
}

TestSuite(parzen, .init = setup, .fini = teardown);

/* -- vectors -- */

static struct sampler_distribution read_distribution(const json_t *row)
{
    struct sampler_distribution d = {0};
    json_t *choices = json_object_get(row, "cat");

    if (choices) {
        d.kind = SAMPLER_CATEGORICAL;
        d.choice_count = (uint32_t)json_integer_value(choices);
    } else {
        d.low = vectors_double(vectors_get(row, "low"));
        d.high = vectors_double(vectors_get(row, "high"));
        d.step = vectors_double(vectors_get(row, "step"));
        d.log = json_is_true(vectors_get(row, "log"));
        d.kind = d.log && d.step == 1 ? SAMPLER_INT : SAMPLER_FLOAT; /* steps of 1 are the same */
    }
    cr_assert_eq(distribution_prepare(&d, NULL), 0);
    return d;
}

/* Sort by value; equal ones stay in order of trial number. */
static void sorted_column(const json_t *list, const struct sampler_distribution *d, double *value,
                          uint32_t *kernel)
{
    for (uint32_t i = 0; i < json_array_size(list); i++) {
        double v = vectors_double(json_array_get(list, i));
        uint32_t at = i;

        if (d->kind != SAMPLER_CATEGORICAL)
            v = distribution_to_scale(d, v);
        for (; at > 0 && value[at - 1] > v; at--) {
            value[at] = value[at - 1];
            kernel[at] = kernel[at - 1];
        }
        value[at] = v;
        kernel[at] = i;
    }
}

static void build(struct parzen *parzen, const json_t *columns,
                  const struct sampler_distribution *distributions, uint32_t params)
{
    uint32_t n = (uint32_t)json_array_size(json_array_get(columns, 0));
    double *value = calloc(n + 1, sizeof(*value));
    uint32_t *kernel = calloc(n + 1, sizeof(*kernel));
    struct parzen_observations observations = {.value = value, .kernel = kernel};

    cr_assert_eq(parzen_begin(parzen, n, params, false), 0);
    for (uint32_t p = 0; p < params; p++) {
        sorted_column(json_array_get(columns, p), &distributions[p], value, kernel);
        parzen_column(parzen, p, &distributions[p], &observations);
    }
    free(value);
    free(kernel);
}

static uint32_t first_largest(const double *score, uint32_t count)
{
    uint32_t best = 0;

    for (uint32_t c = 1; c < count; c++)
        if (score[c] > score[best])
            best = c;
    return best;
}

struct agreement {
    int cases, same_choice;
    double candidate, score; /* worst differences */
};

static void check_case(const json_t *row, struct agreement *agreement)
{
    const char *name = json_string_value(vectors_get(row, "case"));
    json_t *params = vectors_get(row, "params"), *given = vectors_get(row, "uniforms");
    uint32_t count = (uint32_t)json_array_size(params);
    struct sampler_distribution distributions[PARAMS_MAX];
    struct parzen below = {.allocator = &memory.allocator}, above = below;
    double uniforms[CANDIDATES * (PARAMS_MAX + 1)], value[CANDIDATES * PARAMS_MAX];
    double place[CANDIDATES * PARAMS_MAX], low[CANDIDATES], high[CANDIDATES], *work;
    struct parzen_candidates candidates = {
        .count = CANDIDATES, .parameters = count, .value = value, .place = place};
    uint32_t best, expected = (uint32_t)json_integer_value(vectors_get(row, "best"));

    for (uint32_t p = 0; p < count; p++)
        distributions[p] = read_distribution(json_array_get(params, p));
    build(&below, vectors_get(row, "below"), distributions, count);
    build(&above, vectors_get(row, "above"), distributions, count);
    cr_assert_eq(json_array_size(given), parzen_uniforms(count, CANDIDATES));
    for (uint32_t i = 0; i < json_array_size(given); i++)
        uniforms[i] = vectors_double(json_array_get(given, i));
    parzen_draw(&below, uniforms, &candidates);
    work = malloc(sizeof(double) *
                  (parzen_score_work(&below, CANDIDATES) + parzen_score_work(&above, CANDIDATES)));
    parzen_score(&below, &candidates, work, low);
    parzen_score(&above, &candidates, work, high);
    for (uint32_t p = 0; p < count; p++)
        for (uint32_t c = 0; c < CANDIDATES; c++) {
            double ours = value[p * CANDIDATES + c];
            double theirs = vectors_double(
                json_array_get(json_array_get(vectors_get(row, "candidates"), p), c));
            double difference = theirs == 0 ? fabs(ours) : fabs(ours - theirs) / fabs(theirs);

            cr_assert_leq(difference, 1e-12, "%s: parameter %u, candidate %u: %.17g, theirs %.17g",
                          name, p, c, ours, theirs);
            agreement->candidate = fmax(agreement->candidate, difference);
        }
    for (uint32_t c = 0; c < CANDIDATES; c++) {
        double theirs = vectors_double(json_array_get(vectors_get(row, "acquisition"), c));
        double difference = fabs(low[c] - high[c] - theirs);

        cr_assert_leq(difference, 1e-9, "%s: candidate %u scores %.17g, theirs %.17g", name, c,
                      low[c] - high[c], theirs);
        agreement->score = fmax(agreement->score, difference);
        low[c] -= high[c];
    }
    best = first_largest(low, CANDIDATES);
    agreement->cases++;
    agreement->same_choice += best == expected;
    if (best != expected)
        cr_assert_leq(fabs(low[best] - low[expected]), 1e-12, "%s", name);
    free(work);
    parzen_release(&below);
    parzen_release(&above);
}

Test(parzen, candidates_scores_and_choices_are_those_of_optuna)
{
    FILE *file = vectors_open("tpe.jsonl");
    struct agreement agreement = {0};
    json_t *row;

    while ((row = vectors_next(file)) != NULL) {
        check_case(row, &agreement);
        json_decref(row);
    }
    fclose(file);
    cr_assert_eq(agreement.cases, 125);
    fprintf(stderr,
            "parzen: %d suggestions: same choice in %d, candidates within %.1e, scores within "
            "%.1e\n",
            agreement.cases, agreement.same_choice, agreement.candidate, agreement.score);
}

/* -- what must hold of any density -- */

/* A mixture of `count` observations of one parameter, drawn evenly or all near the low end. */
static void build_random(struct parzen *parzen, const struct sampler_distribution *d,
                         uint32_t count, bool crowded, struct test_random *random)
{
    double value[60];
    uint32_t kernel[60];
    struct parzen_observations observations = {.value = value, .kernel = kernel};

    for (uint32_t i = 0; i < count; i++) {
        double u = test_unit(random) * (crowded ? 0.01 : 1), v = distribution_from_unit(d, u);
        uint32_t at = i;

        if (d->kind != SAMPLER_CATEGORICAL)
            v = distribution_to_scale(d, v);
        for (; at > 0 && value[at - 1] > v; at--) {
            value[at] = value[at - 1];
            kernel[at] = kernel[at - 1];
        }
        value[at] = v;
        kernel[at] = i;
    }
    cr_assert_eq(parzen_begin(parzen, count, 1, false), 0);
    parzen_column(parzen, 0, d, &observations);
}

static double density(const struct parzen *parzen, double value, double place)
{
    struct parzen_candidates one = {.count = 1, .parameters = 1, .value = &value, .place = &place};
    double work[200], score;

    cr_assert_leq(parzen_score_work(parzen, 1), 200);
    parzen_score(parzen, &one, work, &score);
    return exp(score);
}

/* The sum over all values, or Simpson's rule over the scale, is one. */
static double total_of(const struct parzen *parzen, const struct sampler_distribution *d)
{
    double lo, hi, sum = 0;
    int pieces = 4000;

    if (d->kind == SAMPLER_CATEGORICAL || d->kind == SAMPLER_INT || d->step != 0) {
        double step = d->kind == SAMPLER_CATEGORICAL ? 1 : d->step;
        int last = (int)rint((d->high - d->low) / step);

        for (int i = 0; i <= last; i++)
            sum += density(parzen, d->low + i * step, d->low + i * step);
        return sum;
    }
    distribution_scale(d, &lo, &hi);
    for (int i = 0; i <= pieces; i++) {
        double weight = i == 0 || i == pieces ? 1 : i % 2 ? 4 : 2;

        sum += weight * density(parzen, 0, lo + (hi - lo) * i / pieces);
    }
    return sum * (hi - lo) / pieces / 3;
}

Test(parzen, densities_sum_to_one_and_candidates_lie_in_their_ranges)
{
    static const struct sampler_distribution kinds[] = {
        {.kind = SAMPLER_FLOAT, .low = -5, .high = 5},
        {.kind = SAMPLER_FLOAT, .low = 1e-5, .high = 0.1, .log = true},
        {.kind = SAMPLER_FLOAT, .low = 0, .high = 0.8, .step = 0.05},
        {.kind = SAMPLER_INT, .low = -20, .high = 40, .step = 3},
        {.kind = SAMPLER_INT, .low = 1, .high = 300, .log = true},
        {.kind = SAMPLER_INT, .low = 0, .high = 200000}, /* narrow cells: density times width */
        {.kind = SAMPLER_CATEGORICAL, .choice_count = 7},
    };
    struct test_random random = {12};

    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
        for (uint32_t count = 0; count <= 50; count += count < 2 ? 1 : 24) {
            struct parzen parzen = {.allocator = &memory.allocator};
            struct sampler_distribution d = kinds[k];
            double uniforms[48], value[24], place[24];
            struct parzen_candidates candidates = {
                .count = 24, .parameters = 1, .value = value, .place = place};

            cr_assert_eq(distribution_prepare(&d, NULL), 0);
            build_random(&parzen, &d, count, count % 2, &random);
            cr_assert_lt(fabs(total_of(&parzen, &d) - 1), 1e-9, "kind %zu, %u observations: %.15g",
                         k, count, total_of(&parzen, &d));
            for (int i = 0; i < 48; i++)
                uniforms[i] = i == 24 ? 0 : i == 25 ? 1 - 0x1p-53 : test_unit(&random);
            parzen_draw(&parzen, uniforms, &candidates);
            for (int c = 0; c < 24; c++)
                cr_assert(distribution_contains(&d, value[c]), "kind %zu: %.17g", k, value[c]);
            parzen_release(&parzen);
        }
}

/* Mirrored observations and uniforms give mirrored candidates. */
Test(parzen, the_mirror_image_of_the_input_is_that_of_the_output)
{
    struct sampler_distribution d = {.kind = SAMPLER_FLOAT, .low = -3, .high = 3};
    struct test_random random = {13};
    double given[20], value[20], uniforms[48], drawn[2][24], place[24];
    uint32_t kernel[20];
    struct parzen_observations observations = {.value = value, .kernel = kernel};

    cr_assert_eq(distribution_prepare(&d, NULL), 0);
    for (int i = 0; i < 20; i++)
        given[i] = -3 + i * 0.3 + 0.25 * test_unit(&random); /* ascending */
    for (int i = 0; i < 24; i++)
        uniforms[i] = test_unit(&random);
    for (int i = 24; i < 48; i++)
        uniforms[i] = 0x1p-20 + (1 - 0x1p-19) * test_unit(&random);
    for (int side = 0; side < 2; side++) {
        struct parzen parzen = {.allocator = &memory.allocator};
        struct parzen_candidates candidates = {
            .count = 24, .parameters = 1, .value = drawn[side], .place = place};

        for (uint32_t i = 0; i < 20; i++) {
            value[i] = side ? -given[19 - i] : given[i];
            kernel[i] = side ? 19 - i : i;
        }
        cr_assert_eq(parzen_begin(&parzen, 20, 1, false), 0);
        parzen_column(&parzen, 0, &d, &observations);
        parzen_draw(&parzen, uniforms, &candidates);
        parzen_release(&parzen);
        for (int i = 24; i < 48; i++)
            uniforms[i] = 1 - uniforms[i];
    }
    for (int c = 0; c < 24; c++)
        cr_assert_lt(fabs(drawn[0][c] + drawn[1][c]), 1e-12, "%.17g and %.17g", drawn[0][c],
                     drawn[1][c]);
}

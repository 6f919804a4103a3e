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

static struct sampler_distribution read_distribution(const json_t *row, const json_t *observed)
{
    struct sampler_distribution d = {0};
    json_t *choices = json_object_get(row, "cat");

    (void)observed;
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
        distributions[p] = read_distribution(json_array_get(params, p), NULL);
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

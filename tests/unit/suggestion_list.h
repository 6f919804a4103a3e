/*
 * suggestion_list: fixed suggestions and function values, digested, one digest a list. Their bits
 * must be the same on every machine and for every compiler and level: the unit tests compare with
 * the constants, tests/digest_across_builds.sh builds tests/digest_samplers.c in many ways. A
 * changed constant is a changed result of every study ever made with that sampler: a new sampler
 * version or math version comes with it.
 */
#ifndef HPO_TESTS_SUGGESTION_LIST_H
#define HPO_TESTS_SUGGESTION_LIST_H

#include "samplers/detmath.h"
#include "unit/study_walk.h"

#define SUGGESTION_RANDOM_DIGEST UINT64_C(0x49DB289E561991AD) /* with exp and log */
#define SUGGESTION_MATH_DIGEST UINT64_C(0x87D32C45E1FB5EE0)   /* the rest of detmath */
#define SUGGESTION_GRID_DIGEST UINT64_C(0xA069CB40B71DCC3A)
#define SUGGESTION_QMC_DIGEST UINT64_C(0x9B13DF60271F57F0)
#define SUGGESTION_TPE_DIGEST UINT64_C(0xAB256C4D8809F34A)
#define SUGGESTION_TPE_UNIVARIATE_DIGEST UINT64_C(0x274E46880586F370)
#define SUGGESTION_TPE_GROUP_DIGEST UINT64_C(0x1A42966B60B09A41)
#define SUGGESTION_TPE_OBJECTIVES_DIGEST UINT64_C(0x70E0DC73BBB105F7)
#define SUGGESTION_TRIALS 400
#define SUGGESTION_FUNCTION_VALUES 100000

/* One of each kind, with ends that make the arithmetic work. */
static const struct sampler_distribution suggestion_distributions[] = {
    {.kind = SAMPLER_FLOAT, .low = -5, .high = 10},
    {.kind = SAMPLER_FLOAT, .low = 0.1, .high = 0.3},
    {.kind = SAMPLER_FLOAT, .low = 1e-5, .high = 0.1, .log = true},
    {.kind = SAMPLER_FLOAT, .low = 1e-300, .high = 1e300, .log = true},
    {.kind = SAMPLER_FLOAT, .low = 0, .high = 0.8, .step = 0.05},
    {.kind = SAMPLER_FLOAT, .low = 0.1, .high = 0.75, .step = 0.1},
    {.kind = SAMPLER_INT, .low = -7, .high = 7},
    {.kind = SAMPLER_INT, .low = 3, .high = 25, .step = 7},
    {.kind = SAMPLER_INT, .low = -0x1p53, .high = 0x1p53, .step = 3},
    {.kind = SAMPLER_INT, .low = 1, .high = 4096, .log = true},
    {.kind = SAMPLER_INT, .low = 8, .high = 1e9, .log = true},
    {.kind = SAMPLER_CATEGORICAL, .choice_count = 5},
    {.kind = SAMPLER_CATEGORICAL, .choice_count = 1},
};
#define SUGGESTION_PARAMS (sizeof(suggestion_distributions) / sizeof(suggestion_distributions[0]))

static inline uint64_t suggestion_functions(uint64_t digest)
{
    struct philox_key key = {{42, 0}};
    struct stream stream;
    struct fpenv saved;

    (void)stream_open(&stream, &key, 15, 0, 0, 0, 0, NULL);
    fpenv_enter(&saved);
    for (int i = 0; i < SUGGESTION_FUNCTION_VALUES; i++) {
        double u = stream_open_unit(&stream);

        digest = walk_chain_double(digest, det_exp(i % 2 ? 1460 * u - 748 : 4 * u - 2));
        digest = walk_chain_double(digest, det_log(i % 2 ? det_exp(1400 * u - 742) : 4 * u));
    }
    fpenv_leave(&saved);
    return digest;
}

static inline uint64_t suggestion_math(const struct sampler_allocator *allocator)
{
    struct philox_key key = {{43, 0}};
    struct stream stream;
    struct fpenv saved;
    uint64_t digest = 1;

    (void)allocator;
    (void)stream_open(&stream, &key, 15, 0, 0, 0, 0, NULL);
    fpenv_enter(&saved);
    for (int i = 0; i < SUGGESTION_FUNCTION_VALUES / 4; i++) {
        double u = stream_open_unit(&stream);
        double wide = i % 2 ? 80 * u - 40 : 4 * u - 2;

        digest = walk_chain_double(digest, det_log1p(i % 2 ? 50 * u : 2 * u - 1));
        digest = walk_chain_double(digest, det_expm1(wide));
        digest = walk_chain_double(digest, det_erf(wide));
        digest = walk_chain_double(digest, det_erfc(wide));
        digest = walk_chain_double(digest, det_erfcx(i % 2 ? 60 * u : u));
        digest = walk_chain_double(digest, det_ndtr(wide));
        digest = walk_chain_double(digest, det_log_ndtr(wide));
        digest = walk_chain_double(digest, det_ndtri(i % 2 ? u : det_exp(-740 * u)));
    }
    fpenv_leave(&saved);
    return digest;
}

/* 0 if anything but success came back, which no digest is. */
static inline uint64_t suggestion_random(const struct sampler_allocator *allocator)
{
    struct sampler_study study = {.name = "list",
                                  .name_size = 4,
                                  .key = {{0xfedcba9876543210, 0x0123456789abcdef}},
                                  .directions = (const uint8_t[]){0},
                                  .direction_count = 1};
    struct sampler_view view = {0};
    struct sampler_configuration *configuration = NULL;
    struct draw_list draws = {.allocator = allocator};
    uint64_t digest = suggestion_functions(1);

    if (sampler_configure(sampler_find("random"), &study, NULL, 0, 0, allocator, NULL,
                          &configuration) != 0)
        return 0;
    for (uint64_t trial = 0; trial < SUGGESTION_TRIALS; trial++) {
        struct sampler_trial own = {.number = trial, .state = SAMPLER_RUNNING};
        struct sampler_call call = {.configuration = configuration,
                                    .study = &study,
                                    .view = &view,
                                    .own = &own,
                                    .draws = &draws,
                                    .allocator = allocator};

        draw_list_clear(&draws);
        for (uint32_t i = 0; i < SUGGESTION_PARAMS; i++) {
            struct sampler_param param = {.name = "p",
                                          .name_size = 1,
                                          .number = i,
                                          .family = i,
                                          .slot = 1 + i,
                                          .distribution = suggestion_distributions[i]};
            double value;

            if (distribution_prepare(&param.distribution, NULL) != 0 ||
                sampler_suggest_one(&call, &param, &value) != 0)
                return 0;
            digest = walk_chain_double(digest, value);
            digest = walk_chain_double(digest, distribution_to_unit(&param.distribution, value));
        }
        for (uint32_t i = 0; i < draws.count; i++) {
            struct draw draw;

            draw_list_get(&draws, i, &draw);
            digest = walk_chain(digest, draw.digest);
        }
    }
    draw_list_release(&draws);
    configuration_free(configuration);
    return digest;
}

/* 300 trials of four workers over a mixed space, conditional if wanted. */
static inline uint64_t suggestion_walk_objectives(const struct sampler_allocator *allocator,
                                                  const char *sampler,
                                                  const struct sampler_option *option,
                                                  uint32_t option_count, bool conditional,
                                                  uint32_t objectives)
{
    static const char *const names[SUGGESTION_PARAMS] = {"n", "b", "x", "d", "l", "f", "k",
                                                         "h", "i", "j", "e", "c", "m"};
    struct walk walk;
    uint64_t digest = 0;
    int err = SAMPLER_OK;

    walk_init(&walk, allocator, 99);
    walk.finish = walk_finish_mixed;
    walk.asks = conditional ? walk_asks_conditional : NULL;
    walk.study.direction_count = objectives;
    walk.directions[1] = 1;
    for (uint32_t i = 0; err == SAMPLER_OK && i < SUGGESTION_PARAMS; i++)
        err = walk_param(&walk, names[i], suggestion_distributions[i]);
    if (err == SAMPLER_OK)
        err = walk_configure(&walk, sampler, option, option_count, NULL);
    if (err == SAMPLER_OK)
        err = walk_run(&walk, 300, 4, 1);
    if (err == SAMPLER_OK)
        digest = walk.digest;
    walk_release(&walk);
    return digest;
}

static inline uint64_t suggestion_walk(const struct sampler_allocator *allocator,
                                       const char *sampler, const struct sampler_option *option,
                                       uint32_t option_count)
{
    return suggestion_walk_objectives(allocator, sampler, option, option_count, false, 1);
}

static inline uint64_t suggestion_qmc(const struct sampler_allocator *allocator)
{
    return suggestion_walk(allocator, "qmc", NULL, 0);
}

static inline uint64_t suggestion_grid(const struct sampler_allocator *allocator)
{
    static const struct sampler_option points = {"points", "3"};

    return suggestion_walk(allocator, "grid", &points, 1);
}

static inline uint64_t suggestion_tpe(const struct sampler_allocator *allocator)
{
    return suggestion_walk(allocator, "tpe", NULL, 0);
}

static inline uint64_t suggestion_tpe_univariate(const struct sampler_allocator *allocator)
{
    static const struct sampler_option univariate = {"multivariate", "false"};

    return suggestion_walk_objectives(allocator, "tpe", &univariate, 1, true, 1);
}

static inline uint64_t suggestion_tpe_group(const struct sampler_allocator *allocator)
{
    static const struct sampler_option group = {"group", "true"};

    return suggestion_walk_objectives(allocator, "tpe", &group, 1, true, 1);
}

static inline uint64_t suggestion_tpe_objectives(const struct sampler_allocator *allocator)
{
    return suggestion_walk_objectives(allocator, "tpe", NULL, 0, false, 3);
}

struct suggestion_list {
    const char *name;
    uint64_t (*compute)(const struct sampler_allocator *allocator);
    uint64_t digest;
};

static const struct suggestion_list suggestion_lists[] = {
    {"random", suggestion_random, SUGGESTION_RANDOM_DIGEST},
    {"math", suggestion_math, SUGGESTION_MATH_DIGEST},
    {"grid", suggestion_grid, SUGGESTION_GRID_DIGEST},
    {"qmc", suggestion_qmc, SUGGESTION_QMC_DIGEST},
    {"tpe", suggestion_tpe, SUGGESTION_TPE_DIGEST},
    {"tpe-univariate", suggestion_tpe_univariate, SUGGESTION_TPE_UNIVARIATE_DIGEST},
    {"tpe-group", suggestion_tpe_group, SUGGESTION_TPE_GROUP_DIGEST},
    {"tpe-objectives", suggestion_tpe_objectives, SUGGESTION_TPE_OBJECTIVES_DIGEST},
};
#define SUGGESTION_LISTS (sizeof(suggestion_lists) / sizeof(suggestion_lists[0]))

#endif

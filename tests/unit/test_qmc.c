/*
 * Sobol points against golden vectors, their evenness after scrambling, and the QMC sampler.
 */
#include "samplers_support.h"
#include "samplers/sobol.h"
#include "study_walk.h"

/* -- points -- */

Test(qmc, direction_numbers_are_those_of_the_vectors)
{
    json_t *root = vectors_load("sobol.json");
    json_t *rows = vectors_get(root, "direction");
    uint32_t v[SOBOL_DIGITS];

    cr_assert_eq(sobol_dimension_count(), 1111);
    cr_assert_gt(json_array_size(rows), 10);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);

        sobol_directions((uint32_t)vectors_word(vectors_get(row, "dim")), v);
        for (size_t b = 0; b < SOBOL_DIGITS; b++)
            cr_assert_eq(v[b], vectors_word(json_array_get(vectors_get(row, "v"), b)));
    }
    json_decref(root);
}

Test(qmc, points_near_and_far_are_those_of_the_vectors)
{
    json_t *root = vectors_load("sobol.json");
    json_t *near = vectors_get(root, "first64"), *far = vectors_get(root, "far");
    json_t *dims = vectors_get(root, "far_dims");
    uint32_t v[SOBOL_DIGITS];
    int compared = 0;

    cr_assert_eq(json_array_size(near), 64);
    for (size_t i = 0; i < 64; i++)
        for (uint32_t d = 0; d < 20; d++, compared++) {
            json_t *row = json_array_get(near, i);

            sobol_directions(d, v);
            cr_assert_eq(sobol_point(v, (uint32_t)vectors_word(vectors_get(row, "index"))),
                         vectors_word(json_array_get(vectors_get(row, "x"), d)));
        }
    for (size_t i = 0; i < json_array_size(far); i++)
        for (size_t d = 0; d < json_array_size(dims); d++, compared++) {
            json_t *row = json_array_get(far, i);

            sobol_directions((uint32_t)vectors_word(json_array_get(dims, d)), v);
            cr_assert_eq(sobol_point(v, (uint32_t)vectors_word(vectors_get(row, "index"))),
                         vectors_word(json_array_get(vectors_get(row, "x"), d)));
        }
    fprintf(stderr, "qmc: %d coordinates equal\n", compared);
    json_decref(root);
}

Test(qmc, scrambled_points_are_those_of_the_vectors)
{
    json_t *root = vectors_load("sobol.json");
    json_t *rows = vectors_get(root, "scrambled");

    cr_assert_gt(json_array_size(rows), 100);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        uint32_t dimension = (uint32_t)vectors_word(vectors_get(row, "dim")), v[SOBOL_DIGITS], x;
        struct philox_key key;
        uint64_t digits;

        vectors_seed(vectors_get(row, "seed"), key.words);
        sobol_directions(dimension, v);
        x = sobol_point(v, (uint32_t)vectors_word(vectors_get(row, "index")));
        cr_assert_eq(x, vectors_word(vectors_get(row, "x")));
        digits = sobol_scramble(&key, (uint32_t)vectors_word(vectors_get(row, "instance")),
                                dimension, x);
        cr_assert_eq(digits, vectors_word(vectors_get(row, "digits52")));
        cr_assert_eq(sobol_unit_scrambled(digits), vectors_double(vectors_get(row, "u")));
    }
    fprintf(stderr, "qmc: %zu scrambled coordinates equal\n", json_array_size(rows));
    json_decref(root);
}

/* What Owen's scrambling must keep: each 1/256 of every axis holds one of 256 points, and each
 * elementary box of the first two dimensions too. */
Test(qmc, scrambling_keeps_the_points_even)
{
    struct philox_key key = {{11, 12}};
    uint32_t v[2][SOBOL_DIGITS], w[SOBOL_DIGITS];

    for (uint32_t d = 0; d < 50; d++) {
        bool seen[256] = {false};

        sobol_directions(d, w);
        for (uint32_t i = 0; i < 256; i++) {
            uint64_t cell = sobol_scramble(&key, 0, d, sobol_point(w, i)) >> 44;

            cr_assert_not(seen[cell]);
            seen[cell] = true;
        }
    }
    sobol_directions(0, v[0]);
    sobol_directions(1, v[1]);
    for (int split = 0; split <= 8; split++) {
        bool seen[256] = {false};

        for (uint32_t i = 0; i < 256; i++) {
            uint64_t a = sobol_scramble(&key, 0, 0, sobol_point(v[0], i)) >> (52 - split);
            uint64_t b = sobol_scramble(&key, 0, 1, sobol_point(v[1], i)) >> (44 + split);
            uint64_t cell = a << (8 - split) | b;

            cr_assert_not(seen[cell]);
            seen[cell] = true;
        }
    }
}

/* -- the sampler -- */

static struct test_memory memory;
static struct walk walk;

static void setup(void)
{
    test_memory_init(&memory);
    walk_init(&walk, &memory.allocator, 21);
    walk.finish = walk_finish_mixed;
    /* Names in another order than numbers; one with a single value. */
    cr_assert_eq(
        walk_param(&walk, "z",
                   (struct sampler_distribution){.kind = SAMPLER_FLOAT, .low = -1, .high = 3}),
        0);
    cr_assert_eq(
        walk_param(&walk, "a",
                   (struct sampler_distribution){.kind = SAMPLER_CATEGORICAL, .choice_count = 3}),
        0);
    cr_assert_eq(
        walk_param(&walk, "one",
                   (struct sampler_distribution){.kind = SAMPLER_INT, .low = 4, .high = 4}),
        0);
    cr_assert_eq(walk_param(&walk, "m",
                            (struct sampler_distribution){
                                .kind = SAMPLER_INT, .low = 1, .high = 100, .log = true}),
                 0);
}

static void teardown(void)
{
    walk_release(&walk);
    cr_assert_eq(memory.live, 0);
}

static double value_of(const struct walk_row *row, uint32_t param)
{
    double value = NAN;

    cr_assert(walk_value(row, param, &value));
    return value;
}

static void check_points(bool scramble)
{
    static const uint32_t by_name[] = {1, 3, 0}; /* a, m, z */

    cr_assert_eq(walk_run(&walk, 40, 1, 1), 0);
    for (size_t n = 1; n < 40; n++)
        for (uint32_t d = 0; d < 3; d++) {
            uint32_t v[SOBOL_DIGITS], x;
            double u;

            sobol_directions(d, v);
            x = sobol_point(v, (uint32_t)n - 1);
            u = scramble ? sobol_unit_scrambled(sobol_scramble(&walk.study.key, 0, d, x))
                         : sobol_unit(x);
            cr_assert_eq(value_of(walk.rows[n], by_name[d]),
                         distribution_from_unit(&walk.params[by_name[d]].distribution, u));
        }
}

Test(qmc, trial_n_is_point_n_minus_one_over_the_names_in_order, .init = setup, .fini = teardown)
{
    cr_assert_eq(walk_configure(&walk, "qmc", NULL, 0, NULL), 0);
    cr_assert_str_eq(walk.configuration->options[0].value, "true");
    check_points(true);
}

Test(qmc, unscrambled_points_are_the_plain_sequence, .init = setup, .fini = teardown)
{
    static const struct sampler_option plain = {"scramble", "false"};

    cr_assert_eq(walk_configure(&walk, "qmc", &plain, 1, NULL), 0);
    check_points(false);
}

Test(qmc, a_draw_holds_the_points_number_and_proves_its_coordinates, .init = setup,
     .fini = teardown)
{
    uint64_t words[3], digest;
    uint8_t bytes[24];
    struct draw draw;

    cr_assert_eq(walk_configure(&walk, "qmc", NULL, 0, NULL), 0);
    cr_assert_eq(walk_run(&walk, 10, 1, 1), 0);
    cr_assert_eq(walk.draws.count, 1);
    draw_list_get(&walk.draws, 0, &draw);
    cr_assert_eq(draw.domain, DRAW_SOBOL);
    cr_assert_eq(draw.third, 9);
    cr_assert_eq(draw.part_count, 1);
    cr_assert_eq(draw.parts[0].slot, 0);
    cr_assert_eq(draw.parts[0].first, 8);
    cr_assert_eq(draw.parts[0].count, 3);
    cr_assert_eq(draw_digest(&walk.study.key, &draw, &digest), SAMPLER_UNSUPPORTED);
    cr_assert_eq(sampler_qmc.draw_words(walk.configuration, &walk.study, &draw, 0, 0, 3, words), 0);
    for (int i = 0; i < 24; i++)
        bytes[i] = (uint8_t)(words[i / 8] >> 8 * (i % 8));
    cr_assert_eq(XXH3_64bits(bytes, 24), draw.digest);
    cr_assert_eq(sampler_qmc.draw_words(walk.configuration, &walk.study, &draw, 0, 1, 1111, words),
                 SAMPLER_INVALID);
}

/* Fresh, or moved there and back: the first finished trial is the same, and so are the bits. */
Test(qmc, a_moved_model_and_a_fresh_one_agree, .init = setup, .fini = teardown)
{
    struct walk_row moved, fresh;
    struct test_random random = {5};

    cr_assert_eq(walk_configure(&walk, "qmc", NULL, 0, NULL), 0);
    cr_assert_eq(walk_run(&walk, 60, 6, 3), 0);
    for (int i = 0; i < 300; i++) {
        struct sampler_view view = {.ended = walk.ended, .ended_count = test_word64(&random) % 61};
        void *model;
        uint64_t digest;

        cr_assert_eq(walk_suggest(&walk, &view, walk.model, 60, &moved), 0);
        digest = walk_digest(&walk, &moved, 1);
        cr_assert_eq(sampler_model_new(walk.configuration, &walk.study, &memory.allocator, &model),
                     0);
        cr_assert_eq(walk_suggest(&walk, &view, model, 60, &fresh), 0);
        cr_assert_eq(walk_digest(&walk, &fresh, 1), digest);
        sampler_model_free(walk.configuration, model);
    }
}

Test(qmc, before_anything_has_finished_and_beyond_the_sequence_it_is_random, .init = setup,
     .fini = teardown)
{
    static const uint64_t numbers[] = {0, UINT64_C(1) << 33, UINT64_MAX};
    struct sampler_view view = {0};
    struct walk_row row;

    cr_assert_eq(walk_configure(&walk, "qmc", NULL, 0, NULL), 0);
    cr_assert_eq(walk_suggest(&walk, &view, walk.model, 3, &row), 0);
    cr_assert_eq(walk.space.count, 0);
    cr_assert_eq(walk_run(&walk, 3, 1, 1), 0);
    view = (struct sampler_view){.ended = walk.ended, .ended_count = walk.ended_count};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(walk_suggest(&walk, &view, walk.model, numbers[i], &row), 0);
        cr_assert_eq(walk.space.count, 0);
    }
    cr_assert_eq(walk_suggest(&walk, &view, walk.model, UINT64_C(1) << 32, &row), 0);
    cr_assert_eq(walk.space.count, 3); /* the last point */
}

Test(qmc, lost_memory_changes_no_bit, .init = setup, .fini = teardown)
{
    struct walk_row row;
    struct sampler_view view;
    uint64_t expected;
    int refused = 0;

    cr_assert_eq(walk_configure(&walk, "qmc", NULL, 0, NULL), 0);
    cr_assert_eq(walk_run(&walk, 5, 1, 1), 0);
    view = (struct sampler_view){.ended = walk.ended, .ended_count = walk.ended_count};
    cr_assert_eq(walk_suggest(&walk, &view, walk.model, 5, &row), 0);
    expected = walk_digest(&walk, &row, 1);
    for (long n = 0; n < 12; n++) {
        void *model = NULL;
        int err;

        draw_list_release(&walk.draws);
        space_release(&walk.space);
        memory.until_bad = n;
        err = sampler_model_new(walk.configuration, &walk.study, &memory.allocator, &model);
        if (err == 0)
            err = walk_suggest(&walk, &view, model, 5, &row);
        memory.until_bad = -1;
        refused += err == SAMPLER_NOMEM;
        if (err == 0)
            cr_assert_eq(walk_digest(&walk, &row, 1), expected);
        sampler_model_free(walk.configuration, model);
    }
    cr_assert_geq(refused, 5);
}

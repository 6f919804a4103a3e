/*
 * Distributions: what is allowed, and the way to the scale, to the unit form and back.
 */
#include "samplers_support.h"
#include "samplers/detmath.h"
#include "samplers/space.h"

static struct sampler_distribution prepared(struct sampler_distribution d)
{
    struct sampler_message message = {{0}};

    cr_assert_eq(distribution_prepare(&d, &message), SAMPLER_OK, "%s", message.text);
    return d;
}

static struct sampler_distribution a_float(double low, double high, double step, bool log)
{
    return (struct sampler_distribution){
        .kind = SAMPLER_FLOAT, .log = log, .low = low, .high = high, .step = step};
}

static struct sampler_distribution an_int(double low, double high, double step, bool log)
{
    return (struct sampler_distribution){
        .kind = SAMPLER_INT, .log = log, .low = low, .high = high, .step = step};
}

static struct sampler_distribution choices(uint32_t count)
{
    return (struct sampler_distribution){.kind = SAMPLER_CATEGORICAL, .choice_count = count};
}

/* -- vectors -- */

static struct sampler_distribution read_distribution(const json_t *line)
{
    const char *kind = json_string_value(vectors_get(line, "kind"));
    bool is_int = strcmp(kind, "int") == 0 || strcmp(kind, "log int") == 0;
    const json_t *step = vectors_get(line, "step");
    struct sampler_distribution d = {.kind = is_int ? SAMPLER_INT : SAMPLER_FLOAT,
                                     .log = json_is_true(vectors_get(line, "log")),
                                     .low = vectors_double(vectors_get(line, "low")),
                                     .high = vectors_double(vectors_get(line, "high")),
                                     .step = json_is_null(step) ? 0 : vectors_double(step)};
    struct sampler_distribution as_given = d;

    d = prepared(d);
    cr_assert_eq(d.low, as_given.low);
    cr_assert_eq(d.high, as_given.high); /* the file's ends are on their grids */
    return d;
}

/* One row: u, its place on the scale, the value, the value's unit form, that without half steps. */
static void check_row(const struct sampler_distribution *d, const json_t *row)
{
    double expected[5], lo, hi, value;

    for (size_t i = 0; i < 5; i++)
        expected[i] = vectors_double(json_array_get(row, i));
    distribution_scale(d, &lo, &hi);
    if (!d->log) {
        cr_assert_eq(lo + (hi - lo) * expected[0], expected[1]);
        cr_assert_eq(distribution_from_unit(d, expected[0]), expected[2]);
        cr_assert_eq(distribution_to_unit(d, expected[2]), expected[3]);
        cr_assert_eq(distribution_to_unit_whole(d, expected[2]), expected[4]);
        return;
    }

    /* Logarithms were libm's: from the file's own place the value is within 2 ulp; from u, the
     * place may be off by an ulp of its own, which exp multiplies by |place|. */
    double place_error = 3 * 0x1p-52 * (fabs(lo) > fabs(hi) ? fabs(lo) : fabs(hi));

    value = distribution_from_scale(d, expected[1]);
    if (d->kind == SAMPLER_INT) {
        cr_assert_eq(value, expected[2]);
        cr_assert_eq(distribution_from_unit(d, expected[0]), expected[2]);
    } else {
        /* The file holds exp x unclipped; ours never leaves the range. */
        double clipped = fmin(fmax(expected[2], d->low), d->high);

        cr_assert_leq(ulp_distance(value, clipped), 2, "%a for %a", value, clipped);
        value = distribution_from_unit(d, expected[0]);
        cr_assert_leq(fabs(value - clipped), clipped * place_error + 0x1p-1074, "%a for %a", value,
                      clipped);
        cr_assert_geq(value, d->low);
        cr_assert_lt(value, d->high);
    }
    cr_assert_float_eq(distribution_to_unit(d, expected[2]), expected[3], 1e-14);
    cr_assert_float_eq(distribution_to_unit_whole(d, expected[2]), expected[4], 1e-14);
}

Test(space, every_transform_of_the_vectors_comes_out)
{
    FILE *file = vectors_open("transform.jsonl");
    int lines = 0, rows = 0;
    json_t *line;

    while ((line = vectors_next(file)) != NULL) {
        struct sampler_distribution d;
        double lo, hi;

        if (strcmp(json_string_value(vectors_get(line, "kind")), "categorical") != 0) {
            const json_t *scale = vectors_get(line, "scale"), *list = vectors_get(line, "rows");

            d = read_distribution(line);
            distribution_scale(&d, &lo, &hi);
            cr_assert_leq(ulp_distance(lo, vectors_double(json_array_get(scale, 0))),
                          d.log ? 1 : 0);
            cr_assert_leq(ulp_distance(hi, vectors_double(json_array_get(scale, 1))),
                          d.log ? 1 : 0);
            for (size_t i = 0; i < json_array_size(list); i++, rows++)
                check_row(&d, json_array_get(list, i));
        }
        lines++;
        json_decref(line);
    }
    fclose(file);
    cr_assert_eq(lines, 24);
    cr_assert_gt(rows, 300);
}

/* -- preparing -- */

Test(space, high_is_lowered_to_the_grid)
{
    cr_assert_eq(prepared(a_float(0, 1, 0.3, false)).high, 0.3 * 3);
    cr_assert_eq(prepared(a_float(0.1, 0.7, 0.1, false)).high,
                 0.7); /* off by rounding only: exact */
    cr_assert_eq(prepared(an_int(3, 25, 7, false)).high, 24);
    cr_assert_eq(prepared(an_int(3, 9, 7, false)).high, 3);
    cr_assert_eq(prepared(an_int(-0x1p53, 0x1p53, 3, false)).high,
                 (double)(-(INT64_C(1) << 53) + (INT64_C(1) << 54) / 3 * 3));
    cr_assert_eq(prepared(a_float(0, 1, 2, false)).high, 0);
}

Test(space, preparing_twice_changes_nothing)
{
    struct test_random random = {11};

    for (int i = 0; i < 100000; i++) {
        struct sampler_distribution d, twice;
        double low = ldexp(test_unit(&random) - 0.5, i % 40);

        d = a_float(low, low + ldexp(test_unit(&random), i % 37),
                    ldexp(test_unit(&random) + 0.01, i % 41 - 35), false);
        if (distribution_prepare(&d, NULL) < 0)
            continue; /* a step too small for its place */
        twice = d;
        cr_assert_eq(distribution_prepare(&twice, NULL), SAMPLER_OK);
        cr_assert(distribution_equal(&d, &twice), "%a %a %a", d.low, d.high, d.step);
    }
}

Test(space, what_cannot_be_is_refused_and_left_alone)
{
    const struct sampler_distribution bad[] = {
        {.kind = 0, .low = 0, .high = 1},
        {.kind = 9, .low = 0, .high = 1},
        choices(0),
        a_float(1, 0, 0, false),
        a_float(NAN, 1, 0, false),
        a_float(0, NAN, 0, false),
        a_float(-INFINITY, 1, 0, false),
        a_float(0, INFINITY, 0, false),
        a_float(0, 1, -0.1, false),
        a_float(0, 1, NAN, false),
        a_float(0, 1, INFINITY, false),
        a_float(0, 1, 0, true),
        a_float(-1, 1, 0, true),
        a_float(1, 2, 0.5, true),
        a_float(-1.7e308, 1.7e308, 0, false),
        a_float(0, 1.7e308, 1.7e308, false),
        a_float(1e16, 2e16, 0.1, false),
        an_int(0.5, 3, 1, false),
        an_int(0, 3.5, 1, false),
        an_int(0, 3, 0.5, false),
        an_int(0, 3, -1, false),
        an_int(-0x1p53 - 2, 0, 1, false),
        an_int(0, 0x1p53 + 2, 1, false),
        an_int(0, 10, 1, true),
        an_int(1, 10, 2, true),
        an_int(5, 4, 1, false),
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct sampler_distribution d = bad[i];
        struct sampler_message message = {{0}};

        cr_assert_eq(distribution_prepare(&d, &message), SAMPLER_INVALID, "case %zu", i);
        cr_assert_gt(strlen(message.text), 10);
        cr_assert_eq(memcmp(&d.low, &bad[i].low, sizeof(d.low)), 0);
        cr_assert_eq(memcmp(&d.high, &bad[i].high, sizeof(d.high)), 0);
        cr_assert_eq(memcmp(&d.step, &bad[i].step, sizeof(d.step)), 0);
        cr_assert_eq(distribution_prepare(&d, NULL), SAMPLER_INVALID); /* the message may be NULL */
    }
}

Test(space, only_one_possible_value_is_single_valued)
{
    struct sampler_distribution single[] = {
        prepared(a_float(2, 2, 0, false)),   prepared(a_float(2, 2, 0, true)),
        prepared(a_float(2, 2.5, 1, false)), prepared(an_int(4, 4, 1, true)),
        prepared(an_int(4, 6, 3, false)),    prepared(choices(1))};
    struct sampler_distribution several[] = {prepared(a_float(2, nextafter(2, 3), 0, false)),
                                             prepared(an_int(4, 5, 1, true)), prepared(choices(2))};

    for (size_t i = 0; i < 6; i++) {
        cr_assert(distribution_single(&single[i]), "case %zu", i);
        cr_assert_eq(distribution_from_unit(&single[i], 0.7), single[i].low);
    }
    for (size_t i = 0; i < 3; i++)
        cr_assert_not(distribution_single(&several[i]));
}

Test(space, containment_knows_grids_integers_and_choices)
{
    struct sampler_distribution step = prepared(a_float(0, 1, 0.1, false)),
                                whole = prepared(an_int(-3, 11, 7, false)),
                                open = prepared(a_float(-1, 1, 0, false)),
                                choice = prepared(choices(3));

    cr_assert(distribution_contains(&step, 3 * 0.1));
    cr_assert_not(distribution_contains(&step, 0.35));
    cr_assert_not(distribution_contains(&step, 1.1));
    cr_assert(distribution_contains(&whole, 4));
    cr_assert_not(distribution_contains(&whole, 5));
    cr_assert_not(distribution_contains(&whole, 4.5));
    cr_assert_not(distribution_contains(&whole, -10));
    cr_assert(distribution_contains(&open, 1));
    cr_assert_not(distribution_contains(&open, NAN));
    cr_assert_not(distribution_contains(&open, nextafter(1, 2)));
    cr_assert(distribution_contains(&choice, 2));
    cr_assert_not(distribution_contains(&choice, 3));
    cr_assert_not(distribution_contains(&choice, -1));
    cr_assert_not(distribution_contains(&choice, 0.5));
}

#ifdef __SSE2__
#include <xmmintrin.h>

Test(space, a_careless_library_in_the_process_changes_no_decision)
{
    struct test_random random = {29};
    int lowered = 0;

    for (int i = 0; i < 20000; i++) {
        double step = ldexp(test_unit(&random) + 0.01, i % 31 - 15);
        struct sampler_distribution d = a_float(test_unit(&random), 1 + test_unit(&random), step,
                                                false),
                                    careless = d;
        double value = d.low + 3 * step;
        int err, careless_err;
        bool inside, careless_inside;

        err = distribution_prepare(&d, NULL);
        inside = err == SAMPLER_OK && distribution_contains(&d, value);
        _mm_setcsr(0xDFC0); /* flush-to-zero, denormals-are-zero, rounding up */
        careless_err = distribution_prepare(&careless, NULL);
        careless_inside = err == SAMPLER_OK && distribution_contains(&careless, value);
        _mm_setcsr(0x1F80);
        cr_assert_eq(careless_err, err);
        cr_assert_eq(careless_inside, inside);
        cr_assert(distribution_equal(&careless, &d), "[%a, %a] step %a", d.low, d.high, d.step);
        lowered += inside;
    }
    cr_assert_gt(lowered, 5000);
    struct sampler_distribution tiny = prepared(a_float(0x1p-1074, 0x1p-1070, 0, true));

    _mm_setcsr(0xDFC0);
    bool zero_inside = distribution_contains(&tiny, 0);

    _mm_setcsr(0x1F80);
    cr_assert_not(zero_inside);
}
#endif

/* -- properties -- */

/* Any distribution that distribution_prepare may accept, extremes included. */
static bool any_distribution(struct test_random *random, struct sampler_distribution *d)
{
    static const double sizes[] = {1e-300, 1e-8, 0.1, 1, 3, 1000, 1e9, 0x1p52, 1e200};
    double a = sizes[test_word64(random) % 9] * (test_unit(random) - 0.5);
    double b = sizes[test_word64(random) % 9] * test_unit(random);

    switch (test_word64(random) % 6) {
    case 0:
        *d = a_float(a, a + b, 0, false);
        break;
    case 1:
        *d = a_float(fabs(a), fabs(a) + b, 0, true);
        break;
    case 2:
        *d = a_float(a, a + b, b / (double)(1 + test_word64(random) % 10000), false);
        break;
    case 3:
        *d = an_int(floor(a), floor(a + b), (double)(1 + test_word64(random) % 100), false);
        break;
    case 4:
        *d = an_int(1 + floor(fabs(a)), 1 + floor(fabs(a) + b), 1, true);
        break;
    default:
        *d = choices(1 + (uint32_t)(test_word64(random) % 1000));
    }
    return distribution_prepare(d, NULL) == SAMPLER_OK;
}

Test(space, every_transform_gives_a_value_that_is_contained)
{
    static const double units[] = {0, 0x1p-53, 0.25, 0.5, 1 - 0x1p-53, 1};
    struct test_random random = {13};
    int tried = 0;

    for (int i = 0; i < 60000; i++) {
        struct sampler_distribution d;

        if (!any_distribution(&random, &d))
            continue;
        tried++;
        for (int k = 0; k < 8; k++) {
            double u = k < 6 ? units[k] : test_unit(&random), value = distribution_from_unit(&d, u),
                   lo, hi;

            cr_assert(distribution_contains(&d, value), "kind %d [%a, %a] step %a u %a: %a", d.kind,
                      d.low, d.high, d.step, u, value); /* D2 */
            if (d.kind == SAMPLER_FLOAT && d.step == 0 && !distribution_single(&d))
                cr_assert_lt(value, d.high);
            cr_assert_geq(distribution_to_unit(&d, value), 0);
            cr_assert_leq(distribution_to_unit(&d, value), 1);
            if (d.kind == SAMPLER_CATEGORICAL)
                continue;
            distribution_scale(&d, &lo, &hi);
            cr_assert(distribution_contains(&d, distribution_from_scale(&d, lo - (hi - lo) * u)));
            cr_assert(distribution_contains(&d, distribution_from_scale(&d, hi + (hi - lo) * u)));
        }
    }
    cr_assert_gt(tried, 30000);
}

Test(space, values_on_a_grid_come_back_from_their_unit_form)
{
    struct test_random random = {17};
    int tried = 0;

    for (int i = 0; i < 60000; i++) {
        struct sampler_distribution d;
        double value;

        if (!any_distribution(&random, &d) || (d.kind == SAMPLER_FLOAT && d.step == 0))
            continue;
        value = distribution_from_unit(&d, test_unit(&random));
        /* With too many cells the unit form, or the logarithm, cannot tell them apart. */
        if (d.kind != SAMPLER_CATEGORICAL && (d.high - d.low) / d.step > 1e6)
            continue;
        if (d.log && d.high > 1e6)
            continue;
        tried++;
        cr_assert_eq(distribution_from_unit(&d, distribution_to_unit(&d, value)), value,
                     "kind %d [%a, %a] step %a: %a", d.kind, d.low, d.high, d.step, value);
    }
    cr_assert_gt(tried, 10000);
}

Test(space, integers_are_exact_up_to_two_to_the_53)
{
    struct sampler_distribution d = prepared(an_int(-0x1p53, 0x1p53, 3, false));
    struct test_random random = {19};

    for (int i = 0; i < 10000; i++) {
        double value = distribution_from_unit(&d, test_unit(&random));

        cr_assert_eq(((int64_t)value - (int64_t)d.low) % 3, 0);
    }
    cr_assert_eq(distribution_from_unit(&d, 0), d.low);
    cr_assert_eq(distribution_from_unit(&d, 1), d.high);
}

/* -- parameters -- */

static struct sampler_param named(const char *name, uint32_t group)
{
    return (struct sampler_param){.name = name, .name_size = strlen(name), .group = group};
}

Test(space, parameters_are_ordered_by_group_then_by_bytes_of_their_name)
{
    static const char *const names[] = {"",   "A", "a",        "a0",
                                        "ab", "b", "\xc3\xa9", "\xf0\x9f\x98\x80"};
    struct test_memory memory;
    struct test_random random = {23};

    test_memory_init(&memory);
    for (int round = 0; round < 200; round++) {
        struct space space = {.allocator = &memory.allocator};
        int order[24];

        for (int i = 0; i < 24; i++)
            order[i] = i;
        for (int i = 23; i > 0; i--) {
            int j = (int)(test_word64(&random) % (uint64_t)(i + 1)), held = order[i];

            order[i] = order[j];
            order[j] = held;
        }
        for (int i = 0; i < 24; i++) {
            struct sampler_param param = named(names[order[i] % 8], (uint32_t)order[i] / 8);

            cr_assert_eq(space_add(&space, &param), SAMPLER_OK);
        }
        space_sort(&space);
        for (uint32_t i = 0; i < 24; i++) {
            cr_assert_eq(space.params[i].group, i / 8);
            cr_assert_eq(space.params[i].name, names[i % 8]);
        }
        space_release(&space);
    }
    cr_assert_eq(memory.live, 0);
}

Test(space, no_memory_leaves_the_list_as_it_was)
{
    struct test_memory memory;
    struct space space;
    struct sampler_param param = named("x", 0);

    test_memory_init(&memory);
    space = (struct space){.allocator = &memory.allocator};
    for (uint32_t i = 0; i < 16; i++)
        cr_assert_eq(space_add(&space, &param), SAMPLER_OK);
    memory.until_bad = 0;
    cr_assert_eq(space_add(&space, &param), SAMPLER_NOMEM);
    cr_assert_eq(space.count, 16);
    cr_assert_eq(space_add(&space, &param), SAMPLER_OK);
    cr_assert_eq(space.count, 17);
    space_clear(&space);
    cr_assert_eq(space.count, 0);
    space_release(&space);
    cr_assert_eq(memory.live, 0);
}

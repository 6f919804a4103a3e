/*
 * The grid: every point once, in one order; what is given out again; what has no grid.
 */
#include "samplers_support.h"
#include "study_walk.h"

static struct test_memory memory;
static struct walk walk;

static void setup(void)
{
    test_memory_init(&memory);
    walk_init(&walk, &memory.allocator, 5);
    walk.finish = walk_finish_mixed;
}

static void teardown(void)
{
    walk_release(&walk);
    cr_assert_eq(memory.live, 0);
}

TestSuite(grid, .init = setup, .fini = teardown);

static void add(const char *name, struct sampler_distribution distribution)
{
    cr_assert_eq(walk_param(&walk, name, distribution), 0);
}

/* 3 x 4 x 2 points, names in another order than numbers. */
static void add_mixed(void)
{
    add("s",
        (struct sampler_distribution){.kind = SAMPLER_FLOAT, .low = 0, .high = 1, .step = 0.5});
    add("i", (struct sampler_distribution){.kind = SAMPLER_INT, .low = -3, .high = 3, .step = 2});
    add("c", (struct sampler_distribution){.kind = SAMPLER_CATEGORICAL, .choice_count = 2});
    add("one", (struct sampler_distribution){.kind = SAMPLER_INT, .low = 7, .high = 7});
}

static void configure(const char *points)
{
    struct sampler_option option = {"points", points};
    struct sampler_message message = {{0}};

    cr_assert_eq(walk_configure(&walk, "grid", &option, points ? 1 : 0, &message), 0, "%s",
                 message.text);
}

static double value_of(const struct walk_row *row, uint32_t param)
{
    double value = NAN;

    cr_assert(walk_value(row, param, &value));
    return value;
}

/* The place of a mixed trial's point: by name c, i, s. */
static uint32_t mixed_point(const struct walk_row *row)
{
    double c = value_of(row, 2), i = (value_of(row, 1) + 3) / 2, s = value_of(row, 0) * 2;

    cr_assert_eq(value_of(row, 3), 7);
    return (uint32_t)((c * 4 + i) * 3 + s);
}

Test(grid, every_point_comes_once_in_the_order_of_one_permutation)
{
    uint32_t order[24];
    struct stream stream;

    add_mixed();
    configure(NULL);
    cr_assert_eq(walk_run(&walk, 24, 1, 1), 0);
    cr_assert_eq(stream_open(&stream, &walk.study.key, DRAW_GRID, 0, 0, 0, 0, NULL), 0);
    stream_permutation(&stream, order, 24);
    for (size_t n = 0; n < 24; n++)
        cr_assert_eq(mixed_point(walk.rows[n]), order[n]);
    cr_assert_eq(walk_begin(&walk), SAMPLER_NO_MORE); /* failed ones have ended too */
}

Test(grid, the_order_is_logged_with_the_first_suggestion_only)
{
    struct draw draw;
    uint64_t digest;

    add_mixed();
    configure(NULL);
    cr_assert_eq(walk_begin(&walk), 0);
    cr_assert_eq(walk.draws.count, 1);
    draw_list_get(&walk.draws, 0, &draw);
    cr_assert_eq(draw.domain, DRAW_GRID);
    cr_assert_eq(draw.third, 0);
    cr_assert_eq(draw.part_count, 1);
    cr_assert_geq(draw.parts[0].count, 23);
    cr_assert_eq(draw_digest(&walk.study.key, &draw, &digest), 0);
    cr_assert_eq(digest, draw.digest);
    cr_assert_eq(walk_begin(&walk), 0); /* sees the first one running */
    cr_assert_eq(walk.draws.count, 0);
    cr_assert_eq(walk_end_running(&walk, 0), 0);
    cr_assert_eq(walk_begin(&walk), 0);
    cr_assert_eq(walk.draws.count, 0);
}

Test(grid, what_nobody_has_comes_before_what_still_runs_and_then_there_is_no_more)
{
    uint32_t seen = 0, running = 0;

    add_mixed();
    configure(NULL);
    for (int i = 0; i < 24; i++) {
        if (i == 3)
            walk.next_number++; /* number 3 belongs to somebody whose trial was rolled back */
        cr_assert_eq(walk_begin(&walk), 0);
        if (i < 20)
            cr_assert_eq(walk_end_running(&walk, 0), 0);
    }
    /* Number 24 got what number 3 would have had, so all points are taken, four of them running. */
    for (size_t n = 0; n < 20; n++)
        seen |= UINT32_C(1) << mixed_point(walk.rows[n]);
    for (size_t n = 0; n < 4; n++)
        running |= UINT32_C(1) << mixed_point(walk.running[n]);
    cr_assert_eq(walk.running[3]->trial.number, 24);
    cr_assert_eq(seen | running, (UINT32_C(1) << 24) - 1);
    cr_assert_eq(seen & running, 0);
    cr_assert_eq(walk_begin(&walk), 0);
    cr_assert(running >> mixed_point(walk.running[4]) & 1);
    while (walk.running_count > 0)
        cr_assert_eq(walk_end_running(&walk, 0), 0);
    cr_assert_eq(walk_begin(&walk), SAMPLER_NO_MORE);
}

Test(grid, points_gives_continuous_parameters_their_places_and_thins_out_the_others)
{
    bool log_ints[1001] = {false};
    double last = 0;

    add("f", (struct sampler_distribution){.kind = SAMPLER_FLOAT, .low = -1, .high = 1});
    add("l",
        (struct sampler_distribution){.kind = SAMPLER_FLOAT, .low = 1e-4, .high = 1, .log = true});
    add("n",
        (struct sampler_distribution){.kind = SAMPLER_INT, .low = 1, .high = 1000, .log = true});
    add("w", (struct sampler_distribution){.kind = SAMPLER_INT, .low = 0, .high = 0x1p53});
    add("few", (struct sampler_distribution){.kind = SAMPLER_INT, .low = 0, .high = 2});
    configure("5");
    cr_assert_eq(walk_run(&walk, 5 * 5 * 5 * 5 * 3, 1, 1), 0);
    cr_assert_eq(walk_begin(&walk), SAMPLER_NO_MORE);
    for (size_t n = 0; n < walk.ended_count; n++) {
        const struct walk_row *row = walk.rows[n];
        double f = value_of(row, 0), l = value_of(row, 1), w = value_of(row, 3);

        cr_assert_eq(f, rint(2 * f) / 2);
        cr_assert_lt(fabs(log10(l) - rint(log10(l))), 1e-12);
        cr_assert(l >= 1e-4 && l <= 1);
        cr_assert_eq(w, rint(w / 0x1p51) * 0x1p51);
        log_ints[(int)value_of(row, 2)] = true;
    }
    cr_assert(log_ints[1] && log_ints[1000]);
    for (int i = 1, count = 0; i <= 1000; i++) {
        count += log_ints[i];
        if (!log_ints[i])
            continue;
        cr_assert(last == 0 || i / last > 5, "%d after %g", i, last);
        last = i;
        cr_assert_leq(count, 5);
    }
}

/* Small log integers have fewer places than are asked for between the small ones: none comes
 * twice. */
Test(grid, thinned_log_integers_never_repeat)
{
    add("n", (struct sampler_distribution){.kind = SAMPLER_INT, .low = 1, .high = 40, .log = true});
    configure("35");
    cr_assert_eq(walk_run(&walk, 35, 1, 1), 0);
    cr_assert_eq(walk_begin(&walk), SAMPLER_NO_MORE);
    for (size_t a = 0; a < 35; a++)
        for (size_t b = 0; b < a; b++)
            cr_assert_neq(value_of(walk.rows[a], 0), value_of(walk.rows[b], 0));
}

Test(grid, what_has_no_grid_is_refused_with_a_reason)
{
    struct sampler_message message = {{0}};

    cr_assert_eq(walk_configure(&walk, "grid", NULL, 0, &message), SAMPLER_UNSUPPORTED);
    cr_assert_str_eq(message.text, "grid needs a declared space");
    add("f", (struct sampler_distribution){.kind = SAMPLER_FLOAT, .low = 0, .high = 1});
    message.text[0] = 0;
    cr_assert_eq(walk_configure(&walk, "grid", NULL, 0, &message), SAMPLER_UNSUPPORTED);
    cr_assert_str_eq(message.text, "grid: a continuous parameter needs the option points");
    message.text[0] = 0;
    add("i", (struct sampler_distribution){.kind = SAMPLER_INT, .low = 0, .high = 0x1p53});
    struct sampler_option option = {"points", "5000"};
    cr_assert_eq(walk_configure(&walk, "grid", &option, 1, &message), SAMPLER_UNSUPPORTED);
    cr_assert_str_eq(message.text, "grid: more than 16777216 points");
    walk.study.declared = NULL;
    cr_assert_eq(walk_configure(&walk, "grid", &option, 1, NULL), SAMPLER_UNSUPPORTED);
    cr_assert_null(walk.configuration);
    walk.study.declared = &walk.declared;
    configure("100"); /* 100 of the integers' 2^53, and 100 floats */
    cr_assert_eq(walk_run(&walk, 20, 1, 1), 0);
}

Test(grid, points_of_an_earlier_space_do_not_count_and_a_lost_space_has_no_more)
{
    add_mixed();
    configure(NULL);
    cr_assert_eq(walk_run(&walk, 24, 1, 1), 0);
    add("d", (struct sampler_distribution){.kind = SAMPLER_CATEGORICAL, .choice_count = 2});
    cr_assert_eq(walk_run(&walk, 48, 3, 1), 0); /* the engine hands in what is declared now */
    cr_assert_eq(walk_begin(&walk), SAMPLER_NO_MORE);
    walk.study.declared = NULL;
    cr_assert_eq(walk_begin(&walk), SAMPLER_NO_MORE);
    walk.study.declared = &walk.declared;
}

Test(grid, lost_memory_changes_no_bit)
{
    struct walk_row row;
    struct sampler_view view;
    uint64_t expected;
    int refused = 0;

    add_mixed();
    configure(NULL);
    cr_assert_eq(walk_run(&walk, 24, 8, 1), 0);
    view = (struct sampler_view){.ended = walk.ended, .ended_count = 10};
    cr_assert_eq(walk_suggest(&walk, &view, walk.model, 30, &row), 0);
    expected = walk_digest(&walk, &row, 1);
    for (long n = 0; n < 12; n++) {
        void *model = NULL;
        int err;

        draw_list_release(&walk.draws);
        space_release(&walk.space);
        sampler_bytes_release(&walk.note);
        memory.until_bad = n;
        err = sampler_model_new(walk.configuration, &walk.study, &memory.allocator, &model);
        if (err == 0)
            err = walk_suggest(&walk, &view, model, 30, &row);
        memory.until_bad = -1;
        refused += err == SAMPLER_NOMEM;
        if (err == 0)
            cr_assert_eq(walk_digest(&walk, &row, 1), expected);
        sampler_model_free(walk.configuration, model);
    }
    cr_assert_geq(refused, 5);
}

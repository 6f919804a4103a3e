/*
 * The Random sampler and the pruner "none" through the interface that the engine uses; the
 * registry; the list of suggestions whose bits are fixed for all time.
 */
#include "samplers_support.h"
#include "samplers/fpenv.h"
#include "samplers/sampler.h"
#include "suggestion_list.h"

static struct test_memory memory;
static struct sampler_study study;
static struct sampler_view view;
static struct sampler_trial own;
static struct draw_list draws;
static struct sampler_configuration *configuration;
static struct sampler_call call;
static const uint8_t minimise[] = {0};

static void setup(void)
{
    test_memory_init(&memory);
    study = (struct sampler_study){.name = "s",
                                   .name_size = 1,
                                   .key = {{42, 7}},
                                   .directions = minimise,
                                   .direction_count = 1};
    view = (struct sampler_view){0};
    own = (struct sampler_trial){.number = 5, .state = SAMPLER_RUNNING};
    draws = (struct draw_list){.allocator = &memory.allocator};
    cr_assert_eq(sampler_configure(sampler_find("random"), &study, NULL, 0, 0, &memory.allocator,
                                   NULL, &configuration),
                 SAMPLER_OK);
    call = (struct sampler_call){.configuration = configuration,
                                 .study = &study,
                                 .view = &view,
                                 .own = &own,
                                 .draws = &draws,
                                 .allocator = &memory.allocator};
}

static void teardown(void)
{
    draw_list_release(&draws);
    configuration_free(configuration);
    cr_assert_eq(memory.live, 0);
}

TestSuite(random, .init = setup, .fini = teardown);

static struct sampler_param param(uint64_t slot, struct sampler_distribution distribution)
{
    cr_assert_eq(distribution_prepare(&distribution, NULL), SAMPLER_OK);
    return (struct sampler_param){
        .name = "x", .name_size = 1, .slot = slot, .distribution = distribution};
}

static struct sampler_param unit_param(uint64_t slot)
{
    return param(slot, (struct sampler_distribution){.kind = SAMPLER_FLOAT, .low = 0, .high = 1});
}

static double suggest(const struct sampler_param *p)
{
    double value = NAN;

    cr_assert_eq(sampler_suggest_one(&call, p, &value), SAMPLER_OK);
    return value;
}

/* The first word of the stream that the value must have been made of. */
static uint64_t first_word(uint32_t instance, uint64_t trial, uint64_t slot)
{
    struct stream stream;

    cr_assert_eq(stream_open(&stream, &study.key, 1, instance, trial, slot, 0, NULL), SAMPLER_OK);
    return stream_word(&stream);
}

Test(random, registry_finds_by_name_and_lists_in_order)
{
    cr_assert_eq(sampler_find("random"), &sampler_random);
    cr_assert_eq(pruner_find("none"), &pruner_none);
    cr_assert_null(sampler_find("Random"));
    cr_assert_null(sampler_find(""));
    cr_assert_null(pruner_find("nothing"));
    for (uint32_t i = 0; sampler_at(i); i++) {
        cr_assert_eq(sampler_find(sampler_at(i)->name), sampler_at(i));
        cr_assert(i == 0 || strcmp(sampler_at(i - 1)->name, sampler_at(i)->name) < 0);
        cr_assert_gt(sampler_at(i)->version, 0);
    }
    for (uint32_t i = 0; pruner_at(i); i++) {
        cr_assert_eq(pruner_find(pruner_at(i)->name), pruner_at(i));
        cr_assert(i == 0 || strcmp(pruner_at(i - 1)->name, pruner_at(i)->name) < 0);
        cr_assert_gt(pruner_at(i)->version, 0);
    }
    for (uint32_t i = 0; sampler_at(i); i++)
        cr_assert_str_eq(sampler_names()[i], sampler_at(i)->name);
    for (uint32_t i = 0; pruner_at(i); i++)
        cr_assert_str_eq(pruner_names()[i], pruner_at(i)->name);
    cr_assert_null(sampler_at(1000));
    cr_assert_null(pruner_at(1000));
}

Test(random, takes_no_option)
{
    static const struct sampler_option option = {"n_startup", "10"};
    struct sampler_configuration *out = NULL;
    struct sampler_message message = {{0}};

    cr_assert_eq(configuration->option_count, 0);
    cr_assert_eq(sampler_configure(&sampler_random, &study, &option, 1, 0, &memory.allocator,
                                   &message, &out),
                 SAMPLER_INVALID);
    cr_assert_null(out);
    cr_assert_str_eq(message.text, "option n_startup is unknown; there are none");
    cr_assert_eq(pruner_configure(&pruner_none, &study, &option, 1, &memory.allocator, NULL, &out),
                 SAMPLER_INVALID);
    configuration_free(NULL); /* harmless */
}

Test(random, draws_nothing_jointly_and_has_no_model)
{
    struct space space = {.allocator = &memory.allocator};
    struct sampler_bytes note = {.allocator = &memory.allocator};
    void *model = &model;

    cr_assert_eq(sampler_model_new(configuration, &study, &memory.allocator, &model), SAMPLER_OK);
    cr_assert_null(model);
    cr_assert_eq(sampler_model_move(configuration, &study, &view, model), SAMPLER_OK);
    sampler_model_free(configuration, model);
    cr_assert_eq(sampler_joint_space(&call, &space), SAMPLER_OK);
    cr_assert_eq(space.count, 0);
    cr_assert_eq(sampler_suggest_joint(&call, &space, NULL, &note), SAMPLER_OK);
    cr_assert_eq(note.size, 0);
    cr_assert_eq(draws.count, 0);
    space_release(&space);
    sampler_bytes_release(&note);
}

Test(random, a_value_is_the_unit_form_of_its_own_streams_first_word)
{
    static const uint64_t slots[] = {1, 2, 31, DRAW_SLOT_UNDECLARED, DRAW_SLOT_UNDECLARED + 9};

    for (own.number = 0; own.number < 50; own.number++)
        for (int s = 0; s < 5; s++)
            for (size_t d = 0; d < SUGGESTION_PARAMS - 1; d++) { /* the last one is single-valued */
                struct sampler_param p = param(slots[s], suggestion_distributions[d]);
                double u = uniform_from_word(first_word(0, own.number, slots[s]));

                cr_assert_eq(suggest(&p), distribution_from_unit(&p.distribution, u));
            }
}

Test(random, the_parameters_of_a_trial_are_one_draw_with_a_word_each)
{
    struct draw draw;
    uint64_t digest;

    for (uint64_t slot = 1; slot <= 30; slot++) {
        struct sampler_param p = unit_param(slot);

        (void)suggest(&p);
    }
    cr_assert_eq(draws.count, 1);
    draw_list_get(&draws, 0, &draw);
    cr_assert_eq(draw.domain, 1);
    cr_assert_eq(draw.instance, 0);
    cr_assert_eq(draw.third, own.number);
    cr_assert_eq(draw.part_count, 30);
    for (uint32_t i = 0; i < 30; i++) {
        cr_assert_eq(draw.parts[i].slot, i + 1);
        cr_assert_eq(draw.parts[i].first, 0);
        cr_assert_eq(draw.parts[i].count, 1);
        cr_assert_eq(draw_word(&study.key, &draw, i, 0), first_word(0, own.number, i + 1));
    }
    cr_assert_eq(draw_digest(&study.key, &draw, &digest), SAMPLER_OK);
    cr_assert_eq(digest, draw.digest);
}

Test(random, looks_at_nothing_but_seed_trial_slot_and_instance)
{
    static const double objective = 1;
    static const struct sampler_trial other = {
        .number = 0, .state = SAMPLER_COMPLETE, .objectives = &objective, .objective_count = 1};
    static const struct sampler_trial *const ended[] = {&other};
    struct sampler_param p = unit_param(3), q = unit_param(4);
    double alone = suggest(&p), second;

    (void)suggest(&q);
    cr_assert_eq(suggest(&p), alone); /* not the order of calls */
    view.ended = ended;
    view.ended_count = 1;
    cr_assert_eq(suggest(&p), alone); /* not the others */
    own.note_size = 1;
    own.note = (const uint8_t *)"n";
    study.name = "another";
    study.name_size = 7;
    cr_assert_eq(suggest(&p), alone);
    configuration->instance = 1;
    second = suggest(&p);
    cr_assert_eq(second, uniform_from_word(first_word(1, own.number, 3)));
    cr_assert_neq(second, alone);
    configuration->instance = 0;
    study.key.words[1]++;
    cr_assert_neq(suggest(&p), alone);
}

Test(random, a_parameter_with_one_value_draws_nothing)
{
    struct sampler_param p =
        param(1, (struct sampler_distribution){.kind = SAMPLER_INT, .low = 4, .high = 4});

    cr_assert_eq(suggest(&p), 4);
    p = param(1, (struct sampler_distribution){.kind = SAMPLER_CATEGORICAL, .choice_count = 1});
    cr_assert_eq(suggest(&p), 0);
    cr_assert_eq(draws.count, 0);
}

Test(random, no_memory_for_the_record_is_said_and_the_next_call_succeeds)
{
    struct sampler_param p = unit_param(1);
    double value, expected = suggest(&p);
    int refused = 0;

    for (long n = 0; n < 3; n++) {
        draw_list_release(&draws);
        memory.until_bad = n;
        if (sampler_suggest_one(&call, &p, &value) != SAMPLER_OK) {
            refused++;
            memory.until_bad = -1;
            cr_assert_eq(draws.count, 0);
            cr_assert_eq(sampler_suggest_one(&call, &p, &value), SAMPLER_OK);
        }
        cr_assert_eq(value, expected);
    }
    cr_assert_eq(refused, 3); /* entries, hash, parts */
    memory.until_bad = -1;
}

/* 20,000 values in 20 equal cells: chi-square with 19 degrees of freedom is above 60 once in 4e6
 * times. The seed is fixed, so this either always passes or never. */
Test(random, values_are_even_over_every_kind_of_range)
{
    const struct sampler_distribution even[] = {
        {.kind = SAMPLER_FLOAT, .low = -3, .high = 5},
        {.kind = SAMPLER_FLOAT, .low = 1e-6, .high = 10, .log = true},
        {.kind = SAMPLER_INT, .low = -9, .high = 10},
        {.kind = SAMPLER_INT, .low = 100, .high = 290, .step = 10},
        {.kind = SAMPLER_FLOAT, .low = 0.1, .high = 2, .step = 0.1},
        {.kind = SAMPLER_CATEGORICAL, .choice_count = 20},
    };

    for (size_t d = 0; d < sizeof(even) / sizeof(even[0]); d++) {
        struct sampler_param p = param(1 + d, even[d]);
        int cells[20] = {0};
        double chi = 0;

        for (own.number = 0; own.number < 20000; own.number++) {
            draw_list_clear(&draws);
            int cell = (int)(distribution_to_unit(&p.distribution, suggest(&p)) * 20);

            cr_assert(cell >= 0 && cell < 20);
            cells[cell]++;
        }
        for (int i = 0; i < 20; i++)
            chi += (cells[i] - 1000.0) * (cells[i] - 1000.0) / 1000.0;
        cr_assert_lt(chi, 60, "distribution %zu: chi-square %g", d, chi);
    }
}

Test(random, log_integers_are_as_likely_as_the_logarithm_of_their_cell)
{
    struct sampler_param p = param(
        1, (struct sampler_distribution){.kind = SAMPLER_INT, .low = 1, .high = 16, .log = true});
    int count[17] = {0};
    double chi = 0;

    for (own.number = 0; own.number < 50000; own.number++) {
        draw_list_clear(&draws);
        count[(int)suggest(&p)]++;
    }
    for (int i = 1; i <= 16; i++) {
        double expected = 50000 * log((i + 0.5) / (i - 0.5)) / log(16.5 / 0.5);

        chi += (count[i] - expected) * (count[i] - expected) / expected;
    }
    cr_assert_lt(chi, 53, "chi-square %g", chi); /* 15 degrees of freedom: once in 3e5 */
}

Test(random, the_fixed_lists_of_suggestions_have_their_digests)
{
    for (size_t i = 0; i < SUGGESTION_LISTS; i++) {
        uint64_t digest = suggestion_lists[i].compute(&memory.allocator);

        cr_expect_eq(digest, suggestion_lists[i].digest, "%s: 0x%016llX", suggestion_lists[i].name,
                     (unsigned long long)digest);
    }
}

#ifdef __SSE2__
#include <xmmintrin.h>

Test(random, a_careless_library_in_the_process_changes_no_bit)
{
    struct sampler_param p =
        param(1, (struct sampler_distribution){
                     .kind = SAMPLER_FLOAT, .low = 0x1p-1074, .high = 1, .log = true});
    double clean[200];
    unsigned int before;
    int subnormal = 0;

    for (own.number = 0; own.number < 200; own.number++) {
        clean[own.number] = suggest(&p);
        subnormal += clean[own.number] < 0x1p-1022;
    }
    cr_assert_gt(subnormal, 0);
    _mm_setcsr(0xDFC0); /* flush-to-zero, denormals-are-zero, rounding up */
    before = _mm_getcsr();
    for (own.number = 0; own.number < 200; own.number++) {
        double value = 0;
        int err = sampler_suggest_one(&call, &p, &value);
        unsigned int after = _mm_getcsr();

        _mm_setcsr(0x1F80);
        cr_assert_eq(err, SAMPLER_OK);
        cr_assert_eq(after, before);
        cr_assert_eq(memcmp(&value, &clean[own.number], sizeof(value)), 0);
        _mm_setcsr(before);
    }
    _mm_setcsr(0x1F80);
}
#endif

/* -- pruner -- */

Test(random, none_never_prunes)
{
    static const struct sampler_report reports[] = {{1, 10}, {2, NAN}, {3, INFINITY}};
    struct sampler_configuration *none = NULL;
    struct sampler_bytes note = {.allocator = &memory.allocator};
    bool prune = true;

    cr_assert_eq(
        pruner_configure(pruner_find("none"), &study, NULL, 0, &memory.allocator, NULL, &none),
        SAMPLER_OK);
    cr_assert_eq(none->pruner, &pruner_none);
    cr_assert_null(none->sampler);
    call.configuration = none;
    for (own.report_count = 0; own.report_count <= 3; own.report_count++) {
        own.reports = reports;
        prune = true;
        cr_assert_eq(pruner_decide(&call, &prune, &note), SAMPLER_OK);
        cr_assert_not(prune);
        cr_assert_eq(note.size, 0);
    }
    configuration_free(none);
}

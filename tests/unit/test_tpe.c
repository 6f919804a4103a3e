/*
 * The TPE sampler through the engine's interface: spaces as Optuna 5 finds them, the words that it
 * draws, its model (moved = fresh), and input that is out of the ordinary.
 */
#include "samplers_support.h"
#include "samplers/parzen.h"
#include "samplers/tpe_model.h"
#include "study_walk.h"

static struct test_memory memory;
static struct walk walk;

static void setup(void)
{
    test_memory_init(&memory);
    walk_init(&walk, &memory.allocator, 77);
    walk.finish = walk_finish_mixed;
}

static void teardown(void)
{
    walk_release(&walk);
    cr_assert_eq(memory.live, 0);
}

TestSuite(tpe, .init = setup, .fini = teardown);

static void add(const char *name, struct sampler_distribution distribution)
{
    cr_assert_eq(walk_param(&walk, name, distribution), 0);
}

static void add_floats(uint32_t count)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};

    for (uint32_t i = 0; i < count; i++)
        add(names[i], (struct sampler_distribution){.kind = SAMPLER_FLOAT, .low = -5, .high = 5});
}

static void add_mixed(void)
{
    add("kind", (struct sampler_distribution){.kind = SAMPLER_CATEGORICAL, .choice_count = 3});
    add("x", (struct sampler_distribution){.kind = SAMPLER_FLOAT, .low = -5, .high = 5});
    add("lr", (struct sampler_distribution){
                  .kind = SAMPLER_FLOAT, .low = 1e-5, .high = 0.1, .log = true});
    add("n", (struct sampler_distribution){.kind = SAMPLER_INT, .low = 1, .high = 20});
    add("w",
        (struct sampler_distribution){.kind = SAMPLER_INT, .low = 4, .high = 512, .log = true});
    add("p",
        (struct sampler_distribution){.kind = SAMPLER_FLOAT, .low = 0, .high = 0.8, .step = 0.05});
    add("one", (struct sampler_distribution){.kind = SAMPLER_FLOAT, .low = 2, .high = 2});
}

static void configure(const struct sampler_option *options, uint32_t count)
{
    struct sampler_message message = {{0}};

    cr_assert_eq(walk_configure(&walk, "tpe", options, count, &message), 0, "%s", message.text);
}

/* -- options -- */

Test(tpe, options_have_optunas_defaults_and_group_needs_multivariate)
{
    static const struct sampler_option group[] = {{"group", "true"}, {"multivariate", "false"}};
    struct sampler_message message = {{0}};

    add_floats(1);
    configure(NULL, 0);
    cr_assert_eq(walk.configuration->option_count, 5);
    cr_assert_str_eq(walk.configuration->options[0].value, "true");
    cr_assert_str_eq(walk.configuration->options[1].value, "false");
    cr_assert_str_eq(walk.configuration->options[2].value, "auto");
    cr_assert_str_eq(walk.configuration->options[3].value, "24");
    cr_assert_str_eq(walk.configuration->options[4].value, "10");
    sampler_model_free(walk.configuration, walk.model);
    configuration_free(walk.configuration);
    walk.configuration = NULL;
    walk.model = NULL;
    cr_assert_eq(walk_configure(&walk, "tpe", group, 2, &message), SAMPLER_INVALID);
    walk.study.direction_count = 2; /* auto is false there */
    cr_assert_eq(walk_configure(&walk, "tpe", group, 1, &message), SAMPLER_INVALID);
    cr_assert_null(walk.configuration);
}

/* -- spaces -- */

struct space_case {
    struct walk_row rows[40];
    size_t count;
};

static struct sampler_distribution read_distribution(const json_t *row)
{
    const char *type = json_string_value(vectors_get(row, "type"));
    struct sampler_distribution d = {0};

    if (strcmp(type, "cat") == 0) {
        d.kind = SAMPLER_CATEGORICAL;
        d.choice_count = (uint32_t)json_array_size(vectors_get(row, "choices"));
        return d;
    }
    d.kind = strcmp(type, "int") == 0 ? SAMPLER_INT : SAMPLER_FLOAT;
    d.low = json_number_value(vectors_get(row, "low"));
    d.high = json_number_value(vectors_get(row, "high"));
    d.log = json_is_true(vectors_get(row, "log"));
    d.step = json_number_value(vectors_get(row, "step")); /* null: 0 */
    return d;
}

/* The number of (name, distribution, choices), defined if new. */
static uint32_t define(const char *name, const json_t *row)
{
    struct sampler_distribution d = read_distribution(row);
    uint32_t family = walk.study.param_count;
    static char choices[WALK_PARAMS][200], names[WALK_PARAMS][32];
    char text[200] = {0};

    if (json_object_get(row, "choices")) {
        char *dumped = json_dumps(json_object_get(row, "choices"), JSON_COMPACT);

        snprintf(text, sizeof(text), "%s", dumped);
        free(dumped);
    }
    cr_assert_eq(distribution_prepare(&d, NULL), 0);
    for (uint32_t p = 0; p < walk.study.param_count; p++) {
        if (strcmp(walk.params[p].name, name) != 0)
            continue;
        family = walk.params[p].family;
        if (distribution_equal(&walk.params[p].distribution, &d) && strcmp(choices[p], text) == 0)
            return p;
    }
    cr_assert_lt(walk.study.param_count, WALK_PARAMS);
    snprintf(choices[walk.study.param_count], sizeof(text), "%s", text);
    snprintf(names[walk.study.param_count], sizeof(names[0]), "%s", name);
    add(names[walk.study.param_count], d);
    walk.params[walk.study.param_count - 1].family = family;
    return walk.study.param_count - 1;
}

static void read_rows(struct space_case *read, const json_t *trials)
{
    static const double zero = 0;

    read->count = json_array_size(trials);
    cr_assert_leq(read->count, 40);
    for (size_t i = 0; i < read->count; i++) {
        struct walk_row *row = &read->rows[i];
        const json_t *trial = json_array_get(trials, i), *distribution;
        const char *state = json_string_value(vectors_get(trial, "state")), *name;

        memset(row, 0, sizeof(*row));
        row->trial.number = i;
        row->trial.state = strcmp(state, "COMPLETE") == 0 ? SAMPLER_COMPLETE
                           : strcmp(state, "PRUNED") == 0 ? SAMPLER_PRUNED
                           : strcmp(state, "FAIL") == 0   ? SAMPLER_FAIL
                                                          : SAMPLER_RUNNING;
        row->trial.values = row->values;
        row->trial.objectives = &zero;
        row->trial.objective_count = row->trial.state == SAMPLER_COMPLETE;
        json_object_foreach((json_t *)(uintptr_t)vectors_get(trial, "params"), name, distribution)
        {
            uint32_t number = define(name, distribution);

            walk_give(row, number, walk.params[number].distribution.low);
        }
    }
}

/* The joint space must be these names, in this order; with groups: those of group `group`. */
static void check_names(const json_t *names, uint32_t from, uint32_t to, uint32_t case_number)
{
    cr_expect_eq(to - from, json_array_size(names), "case %u", case_number);
    for (uint32_t i = from; i < to && i - from < json_array_size(names); i++) {
        const struct sampler_param *param = &walk.space.params[i];

        cr_expect(strncmp(param->name, json_string_value(json_array_get(names, i - from)),
                          param->name_size) == 0,
                  "case %u: %s", case_number, param->name);
    }
}

static void joint_space(const char *group, struct space_case *read)
{
    const struct sampler_option options[] = {
        {"group", group}, {"multivariate", "true"}, {"n_startup", "0"}};
    const struct sampler_trial *ended[40], *running[40];
    struct sampler_view view = {.ended = ended, .running = running};
    struct sampler_trial own = {.number = 1000};

    for (size_t i = 0; i < read->count; i++) {
        if (read->rows[i].trial.state == SAMPLER_RUNNING)
            running[view.running_count++] = &read->rows[i].trial;
        else
            ended[view.ended_count++] = &read->rows[i].trial;
    }
    configure(options, 3);

    struct sampler_call call = {.configuration = walk.configuration,
                                .study = &walk.study,
                                .view = &view,
                                .own = &own,
                                .model = walk.model,
                                .draws = &walk.draws,
                                .allocator = &memory.allocator};

    cr_assert_eq(sampler_model_move(walk.configuration, &walk.study, &view, walk.model), 0);
    cr_assert_eq(sampler_joint_space(&call, &walk.space), 0);
    sampler_model_free(walk.configuration, walk.model);
    configuration_free(walk.configuration);
    walk.model = NULL;
    walk.configuration = NULL;
}

Test(tpe, joint_spaces_and_groups_are_those_of_optuna)
{
    FILE *file = vectors_open("tpe_split.jsonl");
    struct space_case *read = malloc(sizeof(*read));
    uint32_t cases = 0, groups = 0;
    json_t *line, *row;

    while ((line = vectors_next(file)) != NULL) {
        if ((row = json_object_get(line, "space")) != NULL) {
            const json_t *list = vectors_get(row, "groups");
            uint32_t from = 0, to = 0;

            walk_release(&walk);
            setup();
            read_rows(read, vectors_get(row, "trials"));
            joint_space("false", read);
            check_names(vectors_get(row, "joint"), 0, walk.space.count, cases);
            joint_space("true", read);
            for (size_t g = 0; g < json_array_size(list); g++, from = to, groups++) {
                while (to < walk.space.count &&
                       walk.space.params[to].group == walk.space.params[from].group)
                    to++;
                check_names(json_array_get(list, g), from, to, cases);
            }
            cr_expect_eq(to, walk.space.count);
            cases++;
        }
        json_decref(line);
    }
    fclose(file);
    free(read);
    cr_assert_eq(cases, 14);
    fprintf(stderr, "tpe: %u spaces and %u groups equal\n", cases, groups);
}

/* -- draws -- */

Test(tpe, startup_is_random_and_then_a_joint_draw_takes_its_words)
{
    struct draw draw;
    uint64_t digest;

    add_floats(3);
    configure(NULL, 0);
    for (int i = 0; i < 40; i++) {
        uint32_t finished = 0;

        for (size_t t = 0; t < walk.ended_count; t++)
            finished += walk.ended[t]->state != SAMPLER_FAIL;
        cr_assert_eq(walk_begin(&walk), 0);
        cr_assert_eq(walk.draws.count, 1);
        draw_list_get(&walk.draws, 0, &draw);
        cr_assert_eq(draw.domain, finished < 10 ? DRAW_RANDOM : DRAW_TPE_JOINT);
        cr_assert_eq(draw.third, (uint64_t)i);
        if (finished >= 10) {
            cr_assert_eq(draw.part_count, 1);
            cr_assert_eq(draw.parts[0].slot, 0);
            cr_assert_eq(draw.parts[0].first, 0);
            cr_assert_eq(draw.parts[0].count, 24 * 4);
        }
        cr_assert_eq(draw_digest(&walk.study.key, &draw, &digest), 0);
        cr_assert_eq(digest, draw.digest);
        cr_assert_eq(walk_end_running(&walk, 0), 0);
    }
}

Test(tpe, one_parameter_takes_48_words_of_its_own_slot)
{
    static const struct sampler_option univariate = {"multivariate", "false"};
    struct draw draw;

    add_floats(3);
    configure(&univariate, 1);
    cr_assert_eq(walk_run(&walk, 30, 1, 1), 0);
    cr_assert_eq(walk_begin(&walk), 0);
    cr_assert_eq(walk.draws.count, 1);
    draw_list_get(&walk.draws, 0, &draw);
    cr_assert_eq(draw.domain, DRAW_TPE_ONE);
    cr_assert_eq(draw.part_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(draw.parts[i].slot, 1 + i);
        cr_assert_eq(draw.parts[i].count, 48);
    }
}

/* The whole suggestion by hand, from the papers' steps: split, sort, two mixtures, the stream's
 * words, the first largest ratio. Also with running trials and those that lack the parameter. */
Test(tpe, a_suggestion_is_the_best_of_24_candidates_drawn_from_the_good_trials)
{
    static const struct sampler_option univariate = {"multivariate", "false"};
    struct walk_row row;
    const struct sampler_trial *running[WALK_RUNNING];
    double value[200], place[24], drawn[24], uniforms[48], low[24], high[24], work[200 * 25];
    uint32_t kernel[200], best = 0;

    add_floats(4);
    walk.asks = walk_asks_conditional;
    configure(&univariate, 1);
    cr_assert_eq(walk_run(&walk, 100, 1, 1), 0);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(walk_begin(&walk), 0);

    struct sampler_view view = walk_view(&walk, running);
    uint64_t number = walk.next_number;

    cr_assert_eq(walk_suggest(&walk, &view, walk.model, number, &row), 0);
    for (uint32_t p = 0; p < 4; p++) {
        struct parzen mixtures[2] = {{.allocator = &memory.allocator},
                                     {.allocator = &memory.allocator}};
        struct parzen_candidates candidates = {
            .count = 24, .parameters = 1, .value = drawn, .place = place};
        struct tpe_key keys[100];
        uint8_t below[100];
        struct stream stream;
        uint32_t finished = 0;
        double got;

        if (!walk_value(&row, p, &got))
            continue;
        for (size_t i = 0; i < walk.ended_count; i++)
            if (walk.ended[i]->state != SAMPLER_FAIL)
                keys[finished++] = tpe_key_of(&walk.study, walk.ended[i]);
        cr_assert_eq(tpe_split(&walk.study, keys, finished, tpe_below_count(finished, 1),
                               &memory.allocator, below),
                     0);
        for (int side = 0; side < 2; side++) {
            struct parzen_observations observations = {.value = value, .kernel = kernel};
            uint32_t count = 0;

            for (uint32_t i = 0; i < finished + (side ? 5 : 0); i++) {
                const struct walk_row *other =
                    i < finished ? (const struct walk_row *)(const void *)keys[i].trial
                                 : walk.running[i - finished];
                uint32_t at = count;
                double v;

                if ((i < finished && below[i] == side) || !walk_value(other, p, &v))
                    continue;
                for (; at > 0 && value[at - 1] > v; at--) {
                    value[at] = value[at - 1];
                    kernel[at] = kernel[at - 1];
                }
                value[at] = v;
                kernel[at] = count++;
            }
            cr_assert_eq(parzen_begin(&mixtures[side], count, 1, false), 0);
            parzen_column(&mixtures[side], 0, &walk.params[p].distribution, &observations);
        }
        cr_assert_eq(stream_open(&stream, &walk.study.key, DRAW_TPE_ONE, 0, number, 1 + p, 0, NULL),
                     0);
        for (int i = 0; i < 48; i++)
            uniforms[i] = stream_uniform(&stream);
        parzen_draw(&mixtures[0], uniforms, &candidates);
        parzen_score(&mixtures[0], &candidates, work, low);
        parzen_score(&mixtures[1], &candidates, work, high);
        best = 0;
        for (uint32_t c = 1; c < 24; c++)
            if (low[c] - high[c] > low[best] - high[best])
                best = c;
        cr_assert_eq(got, drawn[best], "parameter %u", p);
        parzen_release(&mixtures[0]);
        parzen_release(&mixtures[1]);
    }
}

/* -- the model -- */

/* Ask at random earlier views, some of them with running trials, with the walk's one model and with
 * a fresh one. */
static void check_moved(const struct sampler_option *options, uint32_t option_count,
                        uint32_t objectives, bool conditional, uint64_t seed)
{
    struct walk_row moved, fresh;
    struct test_random random = {seed};

    walk.study.direction_count = objectives;
    walk.directions[1] = 1;
    walk.asks = conditional ? walk_asks_conditional : NULL;
    add_mixed();
    configure(options, option_count);
    cr_assert_eq(walk_run(&walk, 120, 7, seed), 0);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(walk_begin(&walk), 0);
    for (int i = 0; i < 120; i++) {
        const struct sampler_trial *running[WALK_RUNNING];
        struct sampler_view view = walk_view(&walk, running);
        uint64_t number = 200 + test_word64(&random) % 50, digest;
        void *model = NULL;

        /* Mostly a little behind, as views of trials side by side are. */
        view.ended_count -= test_word64(&random) % (i % 5 ? 6 : 121);
        view.running_count = test_word64(&random) % 6;
        cr_assert_eq(walk_suggest(&walk, &view, walk.model, number, &moved), 0);
        digest = walk_digest(&walk, &moved, 1);
        cr_assert_eq(sampler_model_new(walk.configuration, &walk.study, &memory.allocator, &model),
                     0);
        cr_assert_eq(walk_suggest(&walk, &view, model, number, &fresh), 0);
        cr_assert_eq(walk_digest(&walk, &fresh, 1), digest, "round %d", i);
        sampler_model_free(walk.configuration, model);
    }
}

Test(tpe, a_moved_model_is_a_fresh_one)
{
    check_moved(NULL, 0, 1, false, 3);
}

Test(tpe, a_moved_model_is_a_fresh_one_univariate_and_conditional)
{
    static const struct sampler_option univariate = {"multivariate", "false"};

    check_moved(&univariate, 1, 1, true, 4);
}

Test(tpe, a_moved_model_is_a_fresh_one_in_groups)
{
    static const struct sampler_option group = {"group", "true"};

    check_moved(&group, 1, 1, true, 5);
}

Test(tpe, a_moved_model_is_a_fresh_one_with_several_objectives)
{
    static const struct sampler_option multivariate = {"multivariate", "true"};

    check_moved(&multivariate, 1, 3, false, 6);
}

Test(tpe, workers_that_run_side_by_side_keep_apart)
{
    static const struct sampler_option rash = {"constant_liar", "false"};
    const struct sampler_trial *running[WALK_RUNNING];
    struct walk_row with, without;
    int differ = 0;

    add_floats(2);
    configure(NULL, 0);
    cr_assert_eq(walk_run(&walk, 60, 1, 1), 0);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(walk_begin(&walk), 0);

    struct sampler_view view = walk_view(&walk, running);

    for (uint64_t number = 500; number < 540; number++) {
        view.running_count = 8;
        cr_assert_eq(walk_suggest(&walk, &view, walk.model, number, &with), 0);
        view.running_count = 0;
        cr_assert_eq(walk_suggest(&walk, &view, walk.model, number, &without), 0);
        differ += memcmp(with.values, without.values, sizeof(with.values)) != 0;
    }
    cr_assert_geq(differ, 10);
    /* Without the liar running trials make no difference. */
    sampler_model_free(walk.configuration, walk.model);
    configuration_free(walk.configuration);
    configure(&rash, 1);
    for (uint64_t number = 500; number < 540; number++) {
        view.running_count = 8;
        cr_assert_eq(walk_suggest(&walk, &view, walk.model, number, &with), 0);
        view.running_count = 0;
        cr_assert_eq(walk_suggest(&walk, &view, walk.model, number, &without), 0);
        cr_assert_eq(memcmp(with.values, without.values, sizeof(with.values)), 0);
    }
}

/* -- brackets -- */

static uint64_t some_resource(const struct sampler_configuration *configuration,
                              const struct sampler_view *view)
{
    (void)configuration;
    (void)view;
    return 9;
}

static uint32_t parity(const struct sampler_configuration *configuration,
                       const struct sampler_study *study, uint64_t resource, uint64_t number)
{
    (void)configuration;
    (void)study;
    cr_assert_eq(resource, 9);
    return number % 2;
}

/* A pruner with brackets: as if the trials of the other bracket did not exist. */
Test(tpe, a_pruners_bracket_is_all_that_a_trial_sees)
{
    struct pruner halves = {
        .name = "halves", .version = 1, .resource = some_resource, .bracket = parity};
    struct sampler_configuration pruner = {.pruner = &halves};
    const struct sampler_trial *odd[WALK_RUNNING * 8], *odd_running[WALK_RUNNING];
    const struct sampler_trial *running[WALK_RUNNING];
    struct walk_row cut, alone;

    add_floats(3);
    configure(NULL, 0);
    cr_assert_eq(walk_run(&walk, 80, 4, 1), 0);
    for (int i = 0; i < 6; i++)
        cr_assert_eq(walk_begin(&walk), 0);

    struct sampler_view view = walk_view(&walk, running);
    struct sampler_view half = {.ended = odd, .running = odd_running};

    for (size_t i = 0; i < view.ended_count; i++)
        if (view.ended[i]->number % 2)
            odd[half.ended_count++] = view.ended[i];
    for (size_t i = 0; i < view.running_count; i++)
        if (view.running[i]->number % 2)
            odd_running[half.running_count++] = view.running[i];
    walk.pruner = &pruner;
    cr_assert_eq(walk_suggest(&walk, &view, walk.model, 101, &cut), 0);
    walk.pruner = NULL;
    sampler_model_free(walk.configuration, walk.model);
    cr_assert_eq(sampler_model_new(walk.configuration, &walk.study, &memory.allocator, &walk.model),
                 0);
    cr_assert_eq(walk_suggest(&walk, &half, walk.model, 101, &alone), 0);
    cr_assert_eq(cut.trial.value_count, 3);
    cr_assert_eq(memcmp(cut.values, alone.values, sizeof(cut.values)), 0);
}

/* -- out of the ordinary -- */

static void finish_infinite(const struct walk *of, struct walk_row *row)
{
    walk_finish_mixed(of, row);
    if (row->trial.state == SAMPLER_COMPLETE && row->trial.number % 2)
        row->objectives[0] = row->trial.number % 4 == 1 ? INFINITY : -INFINITY;
    row->constraint = row->trial.number % 5 ? NAN : INFINITY;
    row->trial.constraint_count = row->trial.number % 3 != 0;
}

Test(tpe, infinite_objectives_and_constraints_that_are_no_numbers_are_borne)
{
    add_mixed();
    walk.finish = finish_infinite;
    configure(NULL, 0);
    cr_assert_eq(walk_run(&walk, 100, 3, 1), 0);
}

Test(tpe, vast_ranges_many_choices_and_equal_values_are_borne)
{
    add("huge", (struct sampler_distribution){.kind = SAMPLER_INT, .low = -0x1p53, .high = 0x1p53});
    add("hugelog",
        (struct sampler_distribution){.kind = SAMPLER_INT, .low = 1, .high = 0x1p53, .log = true});
    add("wide", (struct sampler_distribution){.kind = SAMPLER_FLOAT, .low = -8e307, .high = 8e307});
    add("tiny", (struct sampler_distribution){.kind = SAMPLER_FLOAT, .low = 0, .high = 0x1p-1074});
    add("fine",
        (struct sampler_distribution){.kind = SAMPLER_FLOAT, .low = 0, .high = 1, .step = 1e-12});
    add("deep", (struct sampler_distribution){
                    .kind = SAMPLER_FLOAT, .low = 1e-300, .high = 1e300, .log = true});
    add("many", (struct sampler_distribution){.kind = SAMPLER_CATEGORICAL, .choice_count = 10000});
    add("two", (struct sampler_distribution){.kind = SAMPLER_INT, .low = 0, .high = 1});
    configure(NULL, 0);
    cr_assert_eq(walk_run(&walk, 150, 3, 1), 0);
}

/* Every value of every trial is the same: gaps are nil, all good trials are one place. */
static void finish_at_one_place(const struct walk *of, struct walk_row *row)
{
    walk_finish_mixed(of, row);
    for (uint32_t i = 0; i < row->trial.value_count; i++)
        row->values[i].value = of->params[row->values[i].param].distribution.low;
}

Test(tpe, trials_at_one_place_are_borne)
{
    add_mixed();
    walk.finish = finish_at_one_place;
    configure(NULL, 0);
    cr_assert_eq(walk_run(&walk, 120, 1, 1), 0);
}

/* Half of the trials know "x" with another range and "c" with other choices. */
Test(tpe, values_of_another_range_count_where_they_lie_in_it_and_choices_do_not)
{
    struct walk_row rows[40], row;
    const struct sampler_trial *ended[40];
    struct sampler_view view = {.ended = ended, .ended_count = 40};
    struct tpe_model model;

    add("x", (struct sampler_distribution){.kind = SAMPLER_FLOAT, .low = 0, .high = 1});
    add("c", (struct sampler_distribution){.kind = SAMPLER_CATEGORICAL, .choice_count = 3});
    add("x2", (struct sampler_distribution){.kind = SAMPLER_FLOAT, .low = 0, .high = 2});
    add("c2", (struct sampler_distribution){.kind = SAMPLER_CATEGORICAL, .choice_count = 4});
    walk.params[2].name = "x";
    walk.params[2].name_size = 1;
    walk.params[2].family = 0;
    walk.params[3].name = "c";
    walk.params[3].name_size = 1;
    walk.params[3].family = 1;
    configure(NULL, 0);
    memset(rows, 0, sizeof(rows));
    for (uint32_t i = 0; i < 40; i++) {
        bool other = i % 2;

        rows[i].trial = (struct sampler_trial){.number = i,
                                               .state = SAMPLER_COMPLETE,
                                               .objectives = rows[i].objectives,
                                               .objective_count = 1,
                                               .values = rows[i].values};
        rows[i].objectives[0] = i;
        walk_give(&rows[i], other ? 2 : 0, other ? i * 0.05 : i * 0.025);
        walk_give(&rows[i], other ? 3 : 1, i % 3);
        ended[i] = &rows[i].trial;
    }
    tpe_model_init(&model, &memory.allocator);
    cr_assert_eq(tpe_model_follow(&model, &walk.study, &view, NULL), 0);
    cr_assert_eq(tpe_model_build(&model, &walk.study, NULL, 0, &walk.params[0], 1), 0);
    /* 20 of its own, and those of the other 20 that are at most 1 (i = 1, 3 ... 19). */
    cr_assert_eq(model.below_mixture.observations + model.above_mixture.observations, 30);
    cr_assert_eq(tpe_model_build(&model, &walk.study, NULL, 0, &walk.params[2], 1), 0);
    cr_assert_eq(model.below_mixture.observations + model.above_mixture.observations, 40);
    cr_assert_eq(tpe_model_build(&model, &walk.study, NULL, 0, &walk.params[1], 1), 0);
    cr_assert_eq(model.below_mixture.observations + model.above_mixture.observations, 20);
    tpe_model_release(&model);
    /* No parameter is common to all: each is drawn by itself. */
    cr_assert_eq(walk_suggest(&walk, &view, walk.model, 50, &row), 0);
    cr_assert_eq(walk.space.count, 0);
    cr_assert_eq(row.trial.value_count, 4);
}

Test(tpe, without_any_parameter_there_is_nothing_to_draw)
{
    configure(NULL, 0);
    cr_assert_eq(walk_run(&walk, 30, 2, 1), 0);
    cr_assert_eq(walk.draws.count, 0);
}

Test(tpe, lost_memory_changes_no_bit_and_leaks_nothing)
{
    static const struct sampler_option group = {"group", "true"};
    const struct sampler_trial *running[WALK_RUNNING];
    struct walk_row row;
    uint64_t expected;
    int refused = 0;

    walk.study.direction_count = 1;
    walk.asks = walk_asks_conditional;
    add_mixed();
    configure(&group, 1);
    cr_assert_eq(walk_run(&walk, 40, 1, 1), 0);
    cr_assert_eq(walk_begin(&walk), 0);

    struct sampler_view view = walk_view(&walk, running);

    cr_assert_eq(walk_suggest(&walk, &view, walk.model, 60, &row), 0);
    expected = walk_digest(&walk, &row, 1);
    for (long n = 0; n < 200; n++) {
        void *model = NULL;
        int err;

        draw_list_release(&walk.draws);
        space_release(&walk.space);
        memory.until_bad = n;
        err = sampler_model_new(walk.configuration, &walk.study, &memory.allocator, &model);
        if (err == 0)
            err = walk_suggest(&walk, &view, model, 60, &row);
        memory.until_bad = -1;
        cr_assert(err == 0 || err == SAMPLER_NOMEM);
        refused += err != 0;
        if (err == 0)
            cr_assert_eq(walk_digest(&walk, &row, 1), expected);
        sampler_model_free(walk.configuration, model);
    }
    cr_assert_gt(refused, 30);
    cr_assert_lt(refused, 200); /* the whole way was gone */
}

/* -- does it search? -- */

static double best_of(const char *sampler, uint64_t seed)
{
    double best = INFINITY;

    walk_release(&walk);
    walk_init(&walk, &memory.allocator, seed);
    walk.finish = walk_finish_mixed;
    add_floats(5);
    cr_assert_eq(walk_configure(&walk, sampler, NULL, 0, NULL), 0);
    cr_assert_eq(walk_run(&walk, 150, 1, 1), 0);
    for (size_t i = 0; i < walk.ended_count; i++)
        if (walk.ended[i]->state == SAMPLER_COMPLETE && walk.ended[i]->objectives[0] < best)
            best = walk.ended[i]->objectives[0];
    return best;
}

Test(tpe, it_finds_better_points_than_chance)
{
    int better = 0;

    for (uint64_t seed = 1; seed <= 10; seed++)
        better += best_of("tpe", seed) < best_of("random", seed) / 2;
    fprintf(stderr, "tpe: less than half of random's value in %d of 10 studies\n", better);
    cr_assert_geq(better, 8);
}

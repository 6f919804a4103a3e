/*
 * Every pruner against the decisions of Optuna 5: 58 studies as lists of events, the brackets of
 * Hyperband, Wilcoxon's test; then what is ours: options, notes, resources fixed once.
 */
#include "samplers_support.h"
#include "samplers/pruner_reports.h"
#include "samplers/pruner_wilcoxon.h"
#include "samplers/sampler.h"

#define TRIALS_MAX 80
#define REPORTS_MAX 256
#define NOTE_MAX 520
#define OPTIONS_MAX 12

struct replayed {
    struct sampler_trial trial;
    struct sampler_report reports[REPORTS_MAX];
    struct sampler_decision decisions[REPORTS_MAX];
    uint8_t notes[REPORTS_MAX][NOTE_MAX];
    double objective;
    bool begun;
};

struct replay {
    struct sampler_study study;
    uint8_t direction;
    struct sampler_configuration *pruner;
    struct replayed trials[TRIALS_MAX];
    const struct sampler_trial *ended[TRIALS_MAX], *running[TRIALS_MAX];
    size_t ended_count;
    struct sampler_bytes note;
    uint32_t decisions;
};

static struct test_memory memory;
static struct replay replay;

static void setup(void)
{
    test_memory_init(&memory);
    memset(&replay, 0, sizeof(replay));
    replay.note.allocator = &memory.allocator;
    replay.study = (struct sampler_study){
        .name = "study", .name_size = 5, .directions = &replay.direction, .direction_count = 1};
}

static void teardown(void)
{
    configuration_free(replay.pruner);
    sampler_bytes_release(&replay.note);
    cr_assert_eq(memory.live, 0);
}

TestSuite(pruners, .init = setup, .fini = teardown);

/* -- options -- */

struct options {
    struct sampler_option list[OPTIONS_MAX];
    char keys[OPTIONS_MAX][48], values[OPTIONS_MAX][48];
    uint32_t count;
};

static const char *our_key(const char *theirs)
{
    static const char *const names[][2] = {
        {"n_startup_trials", "n_startup"}, {"n_startup_steps", "n_startup"},
        {"n_warmup_steps", "warmup"},      {"interval_steps", "interval"},
        {"n_min_trials", "n_min"},         {"min_early_stopping_rate", "early_stopping"},
        {"bootstrap_count", "bootstrap"}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i][0], theirs) == 0)
            return names[i][1];
    return theirs;
}

static void add_option(struct options *options, const char *prefix, const char *key,
                       const char *value)
{
    uint32_t i = options->count++;

    cr_assert_lt(i, OPTIONS_MAX);
    snprintf(options->keys[i], sizeof(options->keys[i]), "%s%s", prefix, key);
    snprintf(options->values[i], sizeof(options->values[i]), "%s", value);
    options->list[i] = (struct sampler_option){options->keys[i], options->values[i]};
}

static void read_options(struct options *options, const char *prefix, const json_t *given)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)given, key, value)
    {
        char text[48];

        if (json_is_string(value))
            snprintf(text, sizeof(text), "%s", json_string_value(value));
        else
            snprintf(text, sizeof(text), "%.15g", json_number_value(value));
        add_option(options, prefix, our_key(key), text);
    }
}

static void configure(const char *name, const struct options *options)
{
    struct sampler_message message = {{0}};
    const struct pruner *pruner = pruner_find(name);

    cr_assert(pruner, "no pruner %s", name);
    configuration_free(replay.pruner);
    replay.pruner = NULL;
    cr_assert_eq(pruner_configure(pruner, &replay.study, options->list, options->count,
                                  &memory.allocator, &message, &replay.pruner),
                 0, "%s", message.text);
}

/* -- events -- */

static void begin(uint32_t number)
{
    struct replayed *trial = &replay.trials[number];

    cr_assert_lt(number, TRIALS_MAX);
    memset(trial, 0, sizeof(*trial));
    trial->begun = true;
    trial->trial = (struct sampler_trial){.number = number,
                                          .state = SAMPLER_RUNNING,
                                          .objectives = &trial->objective,
                                          .reports = trial->reports,
                                          .decisions = trial->decisions};
}

static void report(uint32_t number, int64_t step, double value)
{
    struct replayed *trial = &replay.trials[number];
    uint32_t at = trial->trial.report_count;

    cr_assert_lt(at, REPORTS_MAX);
    for (; at > 0 && trial->reports[at - 1].step > step; at--)
        trial->reports[at] = trial->reports[at - 1];
    cr_assert(at == 0 || trial->reports[at - 1].step < step);
    trial->reports[at] = (struct sampler_report){step, value};
    trial->trial.report_count++;
}

static void finish(uint32_t number, uint8_t state, double value)
{
    struct replayed *trial = &replay.trials[number];

    trial->trial.state = state;
    trial->objective = value;
    trial->trial.objective_count = state == SAMPLER_COMPLETE;
    replay.ended[replay.ended_count++] = &trial->trial;
}

static struct sampler_view make_view(uint32_t except)
{
    struct sampler_view view = {
        .ended = replay.ended, .ended_count = replay.ended_count, .running = replay.running};

    for (uint32_t i = 0; i < TRIALS_MAX; i++)
        if (replay.trials[i].begun && i != except &&
            replay.trials[i].trial.state == SAMPLER_RUNNING)
            replay.running[view.running_count++] = &replay.trials[i].trial;
    return view;
}

/* The decision about a trial, recorded with its note. */
static bool decide(uint32_t number)
{
    struct replayed *trial = &replay.trials[number];
    struct sampler_view view = make_view(number);
    struct sampler_call call = {.configuration = replay.pruner,
                                .study = &replay.study,
                                .view = &view,
                                .own = &trial->trial,
                                .allocator = &memory.allocator};
    uint32_t at = trial->trial.decision_count;
    bool prune;

    cr_assert_eq(pruner_decide(&call, &prune, &replay.note), 0);
    cr_assert(at < REPORTS_MAX && replay.note.size <= NOTE_MAX);
    if (replay.note.size > 0)
        memcpy(trial->notes[at], replay.note.data, replay.note.size);
    trial->decisions[at] = (struct sampler_decision){
        .step = trial->trial.report_count ? trial->reports[trial->trial.report_count - 1].step : 0,
        .prune = prune,
        .note = trial->notes[at],
        .note_size = replay.note.size};
    trial->trial.decision_count++;
    replay.decisions++;
    return prune;
}

/* What the trial's notes say: words of 8 bytes, the resource first. */
static uint32_t last_words(uint32_t number, uint64_t words[NOTE_MAX / 8])
{
    const struct replayed *trial = &replay.trials[number];
    uint32_t i = trial->trial.decision_count;

    while (i > 0 && trial->decisions[i - 1].note_size == 0)
        i--;
    if (i == 0)
        return 0;
    for (size_t w = 0; w < trial->decisions[i - 1].note_size / 8; w++) {
        words[w] = 0;
        for (int b = 0; b < 8; b++)
            words[w] |= (uint64_t)trial->notes[i - 1][8 * w + (size_t)b] << 8 * b;
    }
    return (uint32_t)(trial->decisions[i - 1].note_size / 8);
}

static uint64_t resource_of_study(void)
{
    uint64_t words[NOTE_MAX / 8];

    for (uint32_t i = 0; i < TRIALS_MAX; i++)
        if (replay.trials[i].begun && last_words(i, words) > 0 && words[0] != 0)
            return words[0];
    return 0;
}

/* Rungs, minimum resource and bracket as the file has them. */
static void check_details(const char *name, uint32_t number, const json_t *details,
                          const json_t *options)
{
    uint64_t words[NOTE_MAX / 8];
    uint32_t count = last_words(number, words), rungs = count ? count - 1 : 0;
    const json_t *expected = json_object_get(details, "rungs");
    const json_t *minimum = json_object_get(details, "min_resource");
    const json_t *bracket = json_object_get(details, "bracket");

    cr_assert_eq(rungs, json_object_size(expected), "%s: trial %u", name, number);
    for (uint32_t r = 0; r < rungs; r++) {
        char key[16];
        double value;

        snprintf(key, sizeof(key), "%u", r);
        memcpy(&value, &words[1 + r], sizeof(value));
        cr_assert_eq(value, vectors_double(vectors_get(expected, key)));
    }
    if (minimum && json_is_string(json_object_get(options, "min_resource")))
        cr_assert_eq(resource_of_study(), (uint64_t)json_integer_value(minimum), "%s", name);
    if (bracket) {
        struct sampler_view view = make_view(TRIALS_MAX);
        uint64_t resource = pruner_hyperband.resource(replay.pruner, &view);

        cr_assert_eq(resource == 0, json_is_null(bracket), "%s: trial %u", name, number);
        if (resource)
            cr_assert_eq(pruner_hyperband.bracket(replay.pruner, &replay.study, resource, number),
                         json_integer_value(bracket), "%s: trial %u", name, number);
    }
}

static void replay_event(const char *name, const json_t *event, const json_t *options)
{
    const char *kind = json_string_value(json_array_get(event, 0));
    uint32_t number = (uint32_t)json_integer_value(json_array_get(event, 1));
    const json_t *second = json_array_get(event, 2), *third = json_array_get(event, 3);

    if (kind[0] == 'b') {
        begin(number);
    } else if (kind[0] == 'r') {
        report(number, json_integer_value(second), vectors_double(third));
    } else if (kind[0] == 'd') {
        bool prune = decide(number);

        cr_assert_eq(prune, json_is_true(second), "%s: trial %u, decision %u: %d", name, number,
                     replay.trials[number].trial.decision_count, prune);
        if (third)
            check_details(name, number, third, options);
    } else {
        const char *state = json_string_value(second);

        finish(number,
               strcmp(state, "COMPLETE") == 0 ? SAMPLER_COMPLETE
               : strcmp(state, "PRUNED") == 0 ? SAMPLER_PRUNED
                                              : SAMPLER_FAIL,
               json_is_string(third) ? vectors_double(third) : 0);
    }
}

static void replay_study(const json_t *row)
{
    const char *name = json_string_value(vectors_get(row, "case"));
    const json_t *wrapped = json_object_get(row, "wrapped"), *options = vectors_get(row, "options");
    const json_t *events = vectors_get(row, "events");
    struct options given = {.count = 0};
    uint32_t before = replay.decisions;

    memset(replay.trials, 0, sizeof(replay.trials));
    replay.ended_count = 0;
    replay.study.name = json_string_value(vectors_get(row, "study"));
    replay.study.name_size = strlen(replay.study.name);
    replay.direction = strcmp(json_string_value(vectors_get(row, "direction")), "maximize") == 0;
    read_options(&given, "", options);
    if (wrapped && !json_is_null(wrapped)) {
        add_option(&given, "", "inner", json_string_value(vectors_get(wrapped, "pruner")));
        read_options(&given, "inner.", vectors_get(wrapped, "options"));
    }
    configure(json_string_value(vectors_get(row, "pruner")), &given);
    for (size_t i = 0; i < json_array_size(events); i++)
        replay_event(name, json_array_get(events, i), options);
    cr_assert_gt(replay.decisions, before);
}

static void check_hyperband(const json_t *row, bool of_trials)
{
    struct options given = {.count = 0};
    const json_t *trials = json_object_get(row, "of_trial");
    uint64_t maximum = (uint64_t)json_integer_value(vectors_get(row, "max_resource"));

    if (of_trials) { /* the study before it, which is still configured */
        for (size_t i = 0; i < json_array_size(trials); i++)
            cr_assert_eq(pruner_hyperband.bracket(replay.pruner, &replay.study, maximum, i),
                         json_integer_value(json_array_get(trials, i)));
        return;
    }

    /* How often each bracket comes, over many trials, follows its budget. */
    const json_t *budgets = vectors_get(row, "budgets");
    uint32_t count = (uint32_t)json_integer_value(vectors_get(row, "n_brackets"));
    double total = 0, chi = 0;
    uint32_t seen[64] = {0};

    for (int k = 0; k < 3; k++) {
        static const char *const keys[] = {"min_resource", "max_resource", "reduction_factor"};
        char text[32];

        snprintf(text, sizeof(text), "%lld",
                 (long long)json_integer_value(vectors_get(row, keys[k])));
        add_option(&given, "", keys[k], text);
    }
    configure("hyperband", &given);
    cr_assert_eq(json_array_size(budgets), count);
    for (uint32_t b = 0; b < count; b++)
        total += (double)json_integer_value(json_array_get(budgets, b));
    for (uint64_t n = 0; n < 3000; n++) {
        uint32_t bracket = pruner_hyperband.bracket(replay.pruner, &replay.study, maximum, n);

        cr_assert_lt(bracket, count);
        seen[bracket]++;
    }
    for (uint32_t b = 0; b < count; b++) {
        double expected = 3000 * (double)json_integer_value(json_array_get(budgets, b)) / total;

        chi += (seen[b] - expected) * (seen[b] - expected) / fmax(expected, 1);
    }
    cr_assert_lt(chi, 30 + 2 * count, "%u brackets: chi-square %g", count, chi);
}

static double check_wilcoxon(const json_t *row)
{
    const json_t *best = vectors_get(row, "best"), *current = vectors_get(row, "current");
    struct options given = {.count = 0};
    double expected, d[REPORTS_MAX], p = NAN;
    uint32_t count = 0;

    memset(replay.trials, 0, sizeof(replay.trials));
    replay.ended_count = 0;
    replay.direction = strcmp(json_string_value(vectors_get(row, "direction")), "maximize") == 0;
    read_options(&given, "", vectors_get(row, "options"));
    configure("wilcoxon", &given);
    for (uint32_t t = 0; t < 2; t++) {
        const json_t *list = t ? current : best;

        begin(t);
        for (size_t i = 0; i < json_array_size(list); i++)
            report(t, json_integer_value(json_array_get(json_array_get(list, i), 0)),
                   vectors_double(json_array_get(json_array_get(list, i), 1)));
        if (t == 0)
            finish(0, SAMPLER_COMPLETE, 0);
    }
    cr_assert_eq(decide(1), json_is_true(vectors_get(row, "prune")), "%s",
                 json_string_value(vectors_get(row, "case")));
    if (!json_is_string(json_object_get(row, "p")))
        return 0;
    expected = vectors_double(vectors_get(row, "p"));
    for (uint32_t i = 0; i < replay.trials[1].trial.report_count; i++) {
        double value;

        if (reports_at(&replay.trials[0].trial, replay.trials[1].reports[i].step, &value)) {
            double difference = replay.trials[1].reports[i].value - value;

            d[count++] = replay.direction ? -difference : difference;
        }
    }
    if (count == 0 || isnan(expected))
        return 0;
    p = wilcoxon_p(d, count);
    cr_assert_leq(fabs(p - expected), 1e-12 * expected, "%s: p = %.17g, not %.17g",
                  json_string_value(vectors_get(row, "case")), p, expected);
    return fabs(p - expected) / expected;
}

Test(pruners, decisions_are_those_of_optuna)
{
    FILE *file = vectors_open("pruners.jsonl");
    uint32_t studies = 0, tests = 0, setups = 0;
    double worst = 0;
    json_t *row, *part, *study = NULL;

    while ((row = vectors_next(file)) != NULL) {
        if (json_object_get(row, "events")) {
            json_decref(study); /* its name is borrowed until the next one */
            study = json_incref(row);
            replay_study(row);
            studies++;
        } else if ((part = json_object_get(row, "brackets")) != NULL) {
            check_hyperband(part, true);
            setups++;
        } else if ((part = json_object_get(row, "hyperband_setup")) != NULL) {
            check_hyperband(part, false);
            setups++;
        } else if ((part = json_object_get(row, "wilcoxon")) != NULL) {
            worst = fmax(worst, check_wilcoxon(part));
            tests++;
        }
        json_decref(row);
    }
    json_decref(study);
    fclose(file);
    cr_assert_eq(studies, 58);
    cr_assert_eq(tests, 137);
    cr_assert_geq(replay.decisions, 4863);
    fprintf(stderr,
            "pruners: %u studies, %u decisions equal; %u Hyperband settings; %u Wilcoxon tests, p "
            "within %.1e\n",
            studies, replay.decisions, setups, tests, worst);
}

/* -- ours -- */

static void expect_refused(const char *pruner, const char *key, const char *value, const char *text)
{
    struct sampler_option option = {key, value};
    struct sampler_message message = {{0}};
    struct sampler_configuration *out = NULL;

    cr_assert_lt(pruner_configure(pruner_find(pruner), &replay.study, &option, key ? 1 : 0,
                                  &memory.allocator, &message, &out),
                 0);
    cr_assert_null(out);
    cr_assert_str_eq(message.text, text);
}

Test(pruners, settings_that_cannot_be_right_are_refused)
{
    expect_refused("threshold", NULL, NULL, "threshold needs lower or upper");
    expect_refused("patient", "inner.n_startup", "3",
                   "there is no inner pruner for option inner.n_startup");
    expect_refused("patient", "inner", "hyperband",
                   "option inner must be one of median, none, percentile, successive_halving, "
                   "threshold, wilcoxon");
    expect_refused("successive_halving", "bootstrap", "1",
                   "bootstrap needs a given min_resource, not auto");
    expect_refused("successive_halving", "min_resource", "0",
                   "option min_resource must lie between 1 and 9007199254740992");
    expect_refused("successive_halving", "min_resource", "automatic",
                   "option min_resource must be a whole number");
    replay.study.direction_count = 2;
    expect_refused("median", NULL, NULL, "pruners need exactly one objective");
    expect_refused("hyperband", NULL, NULL, "pruners need exactly one objective");
    expect_refused("wilcoxon", NULL, NULL, "pruners need exactly one objective");
}

Test(pruners, options_of_an_inner_pruner_stand_with_its_owners)
{
    struct options given = {.count = 0};
    static const char *const keys[] = {"inner",           "inner.interval",   "inner.n_min",
                                       "inner.n_startup", "inner.percentile", "inner.warmup",
                                       "min_delta",       "patience"};
    struct sampler_configuration *again = NULL;

    add_option(&given, "", "patience", "3");
    add_option(&given, "inner.", "percentile", "12.5");
    add_option(&given, "", "inner", "percentile");
    configure("patient", &given);
    cr_assert_eq(replay.pruner->option_count, 8);
    for (uint32_t i = 0; i < 8; i++)
        cr_assert_str_eq(replay.pruner->options[i].key, keys[i]);
    cr_assert_str_eq(replay.pruner->options[4].value, "12.5");
    /* What is stored configures the same again. */
    cr_assert_eq(pruner_configure(&pruner_patient, &replay.study, replay.pruner->options, 8,
                                  &memory.allocator, NULL, &again),
                 0);
    for (uint32_t i = 0; i < 8; i++)
        cr_assert_str_eq(replay.pruner->options[i].value, again->options[i].value);
    configuration_free(again);
}

/* "auto" is fixed by a decision and stands in its note: later, longer trials do not move it, and
 * without the note it would come out otherwise. */
Test(pruners, a_resource_is_fixed_once_and_read_from_the_notes)
{
    struct options given = {.count = 0};
    uint64_t words[NOTE_MAX / 8];

    configure("successive_halving", &given);
    begin(0);
    report(0, 1000, 1);
    cr_assert_not(decide(0)); /* nothing complete yet */
    cr_assert_eq(last_words(0, words), 0);
    finish(0, SAMPLER_COMPLETE, 1);
    begin(1);
    report(1, 1, 1);
    cr_assert_not(decide(1));
    cr_assert_eq(last_words(1, words), 1);
    cr_assert_eq(words[0], 10);
    begin(2);
    report(2, 90000, 0.5);
    finish(2, SAMPLER_COMPLETE, 0.5);
    begin(3);
    report(3, 10, 0.75);
    cr_assert_not(decide(3));
    cr_assert_eq(last_words(3, words), 2);
    cr_assert_eq(words[0], 10);
    replay.trials[1].trial.decision_count = 0; /* as if trial 1 had been rolled back */
    replay.trials[3].trial.decision_count = 0;
    cr_assert_not(decide(3));
    cr_assert_eq(last_words(3, words), 1);
    cr_assert_eq(words[0], 900);
}

/* Notes of others come from a log: whatever stands there, nothing is read beyond its end. */
Test(pruners, notes_that_are_none_are_passed_over)
{
    static const size_t sizes[] = {0, 1, 7, 9, 15, 8 * 66, 4096};
    static uint8_t garbage[4096];
    struct options given = {.count = 0};

    memset(garbage, 0xFF, sizeof(garbage));
    add_option(&given, "", "min_resource", "1");
    configure("successive_halving", &given);
    begin(0);
    report(0, 1, 1);
    begin(1);
    report(1, 1, 2);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        replay.trials[0].decisions[0] =
            (struct sampler_decision){.step = 1, .note = garbage, .note_size = sizes[i]};
        replay.trials[0].trial.decision_count = 1;
        replay.trials[1].trial.decision_count = 0;
        cr_assert_not(decide(1)); /* alone on its rung */
    }
}

Test(pruners, far_steps_and_large_factors_do_not_overflow)
{
    struct options given = {.count = 0};

    add_option(&given, "", "min_resource", "9007199254740992");
    add_option(&given, "", "reduction_factor", "1000000");
    add_option(&given, "", "early_stopping", "64");
    configure("successive_halving", &given);
    begin(0);
    report(0, INT64_MAX - 1, 1);
    cr_assert_not(decide(0));
    report(0, INT64_MAX, 1);
    cr_assert_not(decide(0));
    begin(1);
    report(1, INT64_MIN, 1);
    cr_assert_not(decide(1));
    given.count = 0;
    add_option(&given, "", "n_brackets", "64");
    add_option(&given, "", "max_resource", "9007199254740992");
    add_option(&given, "", "reduction_factor", "1000000");
    configure("hyperband", &given);
    cr_assert_lt(pruner_hyperband.bracket(replay.pruner, &replay.study, 1, 5), 64);
}

Test(pruners, lost_memory_is_said_and_nothing_leaks)
{
    static const char *const names[] = {"percentile", "wilcoxon", "patient", "successive_halving"};

    for (size_t k = 0; k < 4; k++) {
        struct options given = {.count = 0};
        int refused = 0;

        if (k == 2)
            add_option(&given, "", "inner", "percentile");
        for (long n = 0; n < 12; n++) {
            struct sampler_configuration *made = NULL;
            struct sampler_bytes note = {.allocator = &memory.allocator};
            bool prune;

            memory.until_bad = n;
            int err = pruner_configure(pruner_find(names[k]), &replay.study, given.list,
                                       given.count, &memory.allocator, NULL, &made);
            if (err == 0) {
                memset(replay.trials, 0, sizeof(replay.trials));
                replay.ended_count = 0;
                for (uint32_t t = 0; t < 8; t++) {
                    begin(t);
                    for (int s = 1; s < 20; s++)
                        report(t, s * 30, t + s);
                    if (t < 7)
                        finish(t, SAMPLER_COMPLETE, t);
                }
                struct sampler_view view = make_view(7);
                struct sampler_call call = {.configuration = made,
                                            .study = &replay.study,
                                            .view = &view,
                                            .own = &replay.trials[7].trial,
                                            .allocator = &memory.allocator};

                err = pruner_decide(&call, &prune, &note);
            }
            memory.until_bad = -1;
            cr_assert(err == 0 || err == SAMPLER_NOMEM);
            refused += err != 0;
            sampler_bytes_release(&note);
            configuration_free(made);
        }
        cr_assert_geq(refused, 2, "%s", names[k]);
    }
}

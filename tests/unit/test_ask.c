/*
 * ask: which trial comes next, and with which parameters.
 */
#include "api_words.h"

#include "samplers/draw.h"
#include "samplers/space.h"

#include <math.h>

TestSuite(ask, .init = api_setup, .fini = api_teardown, .timeout = 60);

/* The parameters of a trial, as text, in order. */
static void params_of(struct hpo_store *store, struct hpo_study *study, uint64_t number, char *out,
                      size_t size)
{
    struct hpo_trial_info *info = read_of(store, study, number);
    size_t i, used = 0;

    out[0] = '\0';
    for (i = 0; i < info->param_count; i++)
        used += (size_t)snprintf(out + used, size - used, "%s=%s ", info->params[i].name,
                                 info->params[i].text);
    hpo_trial_info_free(info);
}

Test(ask, numbers_go_up_from_zero_and_ids_from_one)
{
    struct hpo_store *store = open_store();
    struct hpo_study *a = study_named(store, "a"), *b = study_named(store, "b");
    struct hpo_trial *first = ask(store, a), *other = ask(store, b), *second = ask(store, a);

    cr_assert_eq(hpo_trial_number(first), 0);
    cr_assert_eq(hpo_trial_number(second), 1);
    cr_assert_eq(hpo_trial_number(other), 0);
    cr_assert_eq(hpo_trial_id(first), 1);
    cr_assert_eq(hpo_trial_id(other), 2);
    cr_assert_eq(hpo_trial_id(second), 3);
    cr_assert_neq(hpo_trial_seed(first), hpo_trial_seed(second));
    cr_assert_eq(hpo_trial_seed(first), hpo_trial_seed(other), "one seed, one number, one stream");
    close_store(store);
}

Test(ask, a_declared_space_is_drawn_whole_in_one_batch)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_trial_info *info;
    struct hpo_trial *trial;
    uint64_t lsn, batches;
    int64_t depth;
    size_t act;
    double lr, drop;
    static const char *const choices[] = {"relu", "tanh"};

    hpo_trial_free(ask(store, study)); /* opens the session */
    lsn = stat_of(store).lsn;
    trial = ask(store, study);
    cr_assert_eq(stat_of(store).lsn, lsn + 1);
    batches = stat_of(store).batches;
    ok(store, hpo_suggest_float(trial, "lr", 1e-5, 1e-1, HPO_LOG, &lr));
    ok(store, hpo_suggest_int(trial, "depth", 2, 12, 0, &depth));
    ok(store, hpo_suggest_float_step(trial, "drop", 0, 1, 0.25, &drop));
    ok(store, hpo_suggest(trial, "act", &api_space[2].distribution, &(double){0}));
    gives(HPO_INCOMPATIBLE, hpo_suggest_categorical(trial, "act", choices, 2, &act));
    gives(HPO_INCOMPATIBLE, hpo_suggest_float(trial, "lr", 1e-5, 1e-1, 0, &lr));
    gives(HPO_INCOMPATIBLE, hpo_suggest_float(trial, "depth", 2, 12, 0, &lr));
    cr_assert_eq(stat_of(store).batches, batches, "what was drawn is only read");
    info = read_of(store, study, 1);
    cr_assert_eq(info->param_count, API_SPACE_COUNT);
    cr_assert_eq(info->params[0].value, lr);
    cr_assert_eq(info->params[1].value, (double)depth);
    cr_assert_eq(info->params[3].value, drop);
    cr_assert(lr >= 1e-5 && lr <= 1e-1 && depth >= 2 && depth <= 12);
    cr_assert_eq(drop * 4, (double)(int)(drop * 4));
    hpo_trial_info_free(info);
    close_store(store);
}

Test(ask, values_come_from_the_streams_that_the_papers_name)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct philox_key key = {{1, 0}};
    struct sampler_distribution lr = {.kind = SAMPLER_FLOAT, .log = true, .low = 1e-5, .high = 0.1};
    struct sampler_distribution x = {.kind = SAMPLER_FLOAT, .low = 0, .high = 1};
    struct hpo_trial_info *info;
    struct hpo_trial *trial;
    struct stream stream;
    uint64_t number;

    cr_assert_eq(distribution_prepare(&lr, NULL), 0);
    cr_assert_eq(distribution_prepare(&x, NULL), 0);
    for (number = 0; number < 5; number++) {
        trial = ask(store, study);
        info = read_of(store, study, number);
        stream_open(&stream, &key, DRAW_RANDOM, 0, number, 1, 0, NULL);
        cr_assert_eq(info->params[0].value, distribution_from_unit(&lr, stream_uniform(&stream)));
        hpo_trial_info_free(info);
        /* Undeclared names of the trial: slot 2^31 + ordinal. */
        (void)suggest(store, trial, "u");
        stream_open(&stream, &key, DRAW_RANDOM, 0, number, (UINT64_C(1) << 31) + 1, 0, NULL);
        cr_assert_eq(suggest(store, trial, "v"),
                     distribution_from_unit(&x, stream_uniform(&stream)));
        stream_open(&stream, &key, DRAW_OBJECTIVE, 0, number, 0, 0, NULL);
        cr_assert_eq(hpo_trial_seed(trial), stream_word(&stream));
        tell(store, trial, 0);
    }
    close_store(store);
}

Test(ask, asking_twice_for_a_name_gives_the_first_answer)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_named(store, "s");
    struct hpo_trial *trial = ask(store, study);
    double first = suggest(store, trial, "x"), value;
    uint64_t batches = stat_of(store).batches;

    cr_assert_eq(suggest(store, trial, "x"), first);
    ok(store, hpo_suggest_float(trial, "x", 5, 6, 0, &value));
    cr_assert_eq(value, first);
    cr_assert_eq(stat_of(store).batches, batches);
    close_store(store);
}

Test(ask, a_name_keeps_its_kind_in_a_study_but_not_its_range)
{
    static const char *const ab[] = {"a", "b"}, *const ac[] = {"a", "c"};
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_named(store, "s");
    struct hpo_trial *trial = ask(store, study);
    size_t index;
    int64_t integer;
    double value;

    (void)suggest(store, trial, "x");
    ok(store, hpo_suggest_categorical(trial, "c", ab, 2, &index));
    tell(store, trial, 0);
    trial = ask(store, study);
    gives(HPO_INCOMPATIBLE, hpo_suggest_int(trial, "x", 0, 1, 0, &integer));
    gives(HPO_INCOMPATIBLE, hpo_suggest_float(trial, "x", 0.1, 1, HPO_LOG, &value));
    gives(HPO_INCOMPATIBLE, hpo_suggest_categorical(trial, "c", ac, 2, &index));
    gives(HPO_INCOMPATIBLE, hpo_suggest_categorical(trial, "c", ab, 1, &index));
    ok(store, hpo_suggest_float(trial, "x", 10, 20, 0, &value));
    cr_assert(value >= 10 && value <= 20);
    ok(store, hpo_suggest_categorical(trial, "c", ab, 2, &index));
    cr_assert_lt(index, 2);
    close_store(store);
}

Test(ask, a_parameter_with_one_value_draws_nothing)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_named(store, "s");
    struct hpo_trial *trial = ask(store, study);
    struct hpo_history *history;
    const struct hpo_record_info *record;
    int64_t value;

    ok(store, hpo_suggest_int(trial, "n", 7, 7, 0, &value));
    cr_assert_eq(value, 7);
    ok(store, hpo_history_open(store, 0, false, &history));
    while (hpo_history_next(history, &record) == 0)
        cr_assert_str_neq(record->type, "DRAW");
    hpo_history_close(history);
    close_store(store);
}

Test(ask, the_total_counts_what_is_finished_and_what_runs)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_named(store, "s");
    struct hpo_trial *a, *b, *c;
    double value = 1;

    gives(0, ask_total(study, 2, &a));
    gives(0, ask_total(study, 2, &b));
    gives(HPO_WAIT, ask_total(study, 2, &c));
    ok(store, hpo_tell(a, HPO_COMPLETE, &value, 1));
    gives(HPO_WAIT, ask_total(study, 2, &c));
    ok(store, hpo_abandon(b));
    gives(0, ask_total(study, 2, &c));
    cr_assert_eq(hpo_trial_number(c), 1, "the number comes back");
    ok(store, hpo_tell(c, HPO_FAIL, NULL, 0));
    gives(HPO_NO_MORE, ask_total(study, 2, &c));
    gives(0, ask_total(study, 3, &c));
    close_store(store);
}

Test(ask, whoever_comes_when_it_is_over_writes_nothing)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_named(store, "s");
    struct hpo_trial *trial;
    uint64_t lsn;

    tell(store, ask(store, study), 1);
    close_store(store);
    store = open_store();
    ok(store, hpo_study_open(store, "s", &study));
    lsn = stat_of(store).lsn;
    gives(HPO_NO_MORE, ask_total(study, 1, &trial));
    cr_assert_eq(stat_of(store).lsn, lsn);
    close_store(store);
}

Test(ask, the_stop_flag_ends_a_study_for_everybody)
{
    struct hpo_store *store = open_store(), *other = open_store();
    struct hpo_study *study = study_named(store, "s"), *same;
    struct hpo_trial *trial = ask(store, study);
    struct hpo_study_info *info;
    double value = 1;

    ok(other, hpo_study_open(other, "s", &same));
    ok(store, hpo_tell_and_stop(trial, HPO_COMPLETE, &value, 1));
    gives(HPO_NO_MORE, hpo_ask(same, NULL, &trial));
    gives(HPO_NO_MORE, ask_total(study, 100, &trial));
    info = info_of(store, study);
    cr_assert(info->stopped);
    hpo_study_info_free(info);
    close_store(other);
    close_store(store);
}

Test(ask, an_abandoned_trial_is_given_out_again_with_its_parameters)
{
    char before[256], after[256];
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_trial *trial = ask(store, study), *again;
    struct hpo_trial_info *info;
    uint64_t id = hpo_trial_id(trial), view, seed = hpo_trial_seed(trial);
    double value = 1;

    tell(store, trial, 1);
    trial = ask(store, study);
    id = hpo_trial_id(trial);
    seed = hpo_trial_seed(trial);
    info = read_of(store, study, 1);
    view = info->view;
    cr_assert_eq(info->begin_lsn, view + 1);
    hpo_trial_info_free(info);
    params_of(store, study, 1, before, sizeof(before));
    tell(store, ask(store, study), 2); /* number 2 happens meanwhile */
    ok(store, hpo_abandon(trial));
    gives(HPO_ROLLED_BACK, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    gives(HPO_ROLLED_BACK, hpo_abandon(trial));
    cr_assert_eq(state_of(store, study, 1), HPO_WAITING, "lists have no holes");
    again = ask(store, study);
    cr_assert_eq(hpo_trial_number(again), 1);
    cr_assert_neq(hpo_trial_id(again), id);
    cr_assert_eq(hpo_trial_seed(again), seed);
    params_of(store, study, 1, after, sizeof(after));
    cr_assert_str_eq(after, before);
    info = read_of(store, study, 1);
    cr_assert_eq(info->view, view, "the view is the rolled-back attempt's");
    hpo_trial_info_free(info);
    gives(HPO_ROLLED_BACK, hpo_report(trial, 1, 1));
    close_store(store);
}

Test(ask, closing_rolls_back_what_runs_and_the_next_run_gets_the_same)
{
    char before[2][256], after[256];
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_trial *trial;

    (void)ask(store, study);
    trial = ask(store, study);
    ok(store, hpo_report(trial, 1, 1));
    ok(store, hpo_trial_attr_set(trial, HPO_ATTR_USER, "k", "v", 1));
    params_of(store, study, 0, before[0], sizeof(before[0]));
    params_of(store, study, 1, before[1], sizeof(before[1]));
    close_store(store);
    store = open_store();
    ok(store, hpo_study_open(store, "s", &study));
    cr_assert_eq(stat_of(store).trials_running, 0);
    for (uint64_t number = 0; number < 2; number++) {
        struct hpo_trial_info *info;

        cr_assert_eq(hpo_trial_number(ask(store, study)), number);
        params_of(store, study, number, after, sizeof(after));
        cr_assert_str_eq(after, before[number]);
        info = read_of(store, study, number);
        cr_assert_eq(info->report_count, 0);
        cr_assert_eq(info->attr_count, 0);
        hpo_trial_info_free(info);
    }
    close_store(store);
}

Test(ask, a_queued_point_comes_first_and_the_rest_is_drawn)
{
    const struct hpo_fixed point[] = {{"depth", 5, NULL}, {"act", 1, NULL}};
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_trial_info *info;
    struct hpo_trial *trial, *again;
    uint64_t number = 99;
    int64_t depth;
    char drawn[256], with[256];

    ok(store, hpo_enqueue(study, point, 2, &number));
    cr_assert_eq(number, 0);
    cr_assert_eq(state_of(store, study, 0), HPO_WAITING);
    info = read_of(store, study, 0);
    cr_assert_eq(info->param_count, 2, "what it will be given can be seen");
    hpo_trial_info_free(info);
    close_store(store);
    store = open_store();
    ok(store, hpo_study_open(store, "s", &study));
    trial = ask(store, study);
    cr_assert_eq(hpo_trial_number(trial), 0);
    ok(store, hpo_suggest_int(trial, "depth", 2, 12, 0, &depth));
    cr_assert_eq(depth, 5);
    info = read_of(store, study, 0);
    cr_assert_eq(info->param_count, API_SPACE_COUNT);
    hpo_trial_info_free(info);
    params_of(store, study, 0, with, sizeof(with));
    cr_assert(strstr(with, "act=tanh"), "%s", with);
    /* Rolled back, it is queued again: same number, same id, same values. */
    number = hpo_trial_id(trial);
    ok(store, hpo_abandon(trial));
    gives(HPO_ROLLED_BACK, hpo_report(trial, 1, 1));
    again = ask(store, study);
    cr_assert_eq(hpo_trial_number(again), 0);
    cr_assert_eq(hpo_trial_id(again), number);
    gives(HPO_ROLLED_BACK, hpo_report(trial, 1, 1)); /* the id is the same, the attempt is not */
    params_of(store, study, 0, drawn, sizeof(drawn));
    cr_assert_str_eq(drawn, with);
    close_store(store);
}

Test(ask, a_queued_value_for_an_undeclared_name_waits_until_it_is_asked_for)
{
    const struct hpo_distribution unit = {.kind = HPO_FLOAT, .low = 0, .high = 1};
    const struct hpo_fixed point[] = {{"x", 0.25, &unit}, {"y", 7, &unit}}; /* y lies outside */
    const struct hpo_fixed unknown = {"z", 0, NULL}, kind = {"x", NAN, &unit};
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_named(store, "s");
    struct hpo_trial_info *info;
    struct hpo_trial *trial;

    ok(store, hpo_enqueue(study, point, 2, NULL));
    gives(HPO_INVALID, hpo_enqueue(study, &unknown, 1, NULL));
    gives(HPO_INVALID, hpo_enqueue(study, &kind, 1, NULL));
    gives(HPO_INVALID, hpo_enqueue(study, NULL, 1, NULL));
    gives(HPO_INVALID, hpo_enqueue(study, (const struct hpo_fixed[]){point[0], point[0]}, 2, NULL));
    trial = ask(store, study);
    info = read_of(store, study, 0);
    cr_assert_eq(info->param_count, 0);
    hpo_trial_info_free(info);
    cr_assert_eq(suggest(store, trial, "x"), 0.25);
    cr_assert_neq(suggest(store, trial, "y"), 7);
    tell(store, trial, 1);
    ok(store, hpo_enqueue(study, &(struct hpo_fixed){"x", 0.5, NULL}, 1, NULL)); /* known by now */
    trial = ask(store, study);
    cr_assert_eq(suggest(store, trial, "x"), 0.5);
    close_store(store);
}

Test(ask, the_window_holds_back_the_next_trial_until_its_view_has_finished)
{
    struct hpo_study_options options = {.size = sizeof(options), .window = 2};
    struct hpo_store *store = open_store();
    struct hpo_study *study;
    struct hpo_trial *trials[4];

    ok(store, hpo_study_create(store, "w", &options, &study));
    trials[0] = ask(store, study);
    trials[1] = ask(store, study);
    gives(HPO_WAIT, hpo_ask(study, NULL, &trials[2]));
    tell(store, trials[1], 1);
    gives(HPO_WAIT, hpo_ask(study, NULL, &trials[2]));
    tell(store, trials[0], 1);
    trials[2] = ask(store, study);
    trials[3] = ask(store, study);
    cr_assert_eq(hpo_trial_number(trials[3]), 3);
    close_store(store);
}

Test(ask, a_detached_trial_outlives_its_session_and_is_told_by_another)
{
    struct hpo_ask_options detached = {.size = sizeof(detached), .detached = true};
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_trial *trial, *own, *other;
    struct hpo_trial_info *info;
    char before[256], after[256];

    ok(store, hpo_ask(study, &detached, &trial));
    cr_assert_eq(stat_of(store).lsn, stat_of(store).lsn_durable, "durable from the start");
    params_of(store, study, 0, before, sizeof(before));
    own = ask(store, study);
    gives(HPO_BUSY, hpo_trial_attach(study, 1, &other));
    gives(HPO_NOT_FOUND, hpo_trial_attach(study, 2, &other));
    close_store(store);
    (void)own;
    store = open_store();
    ok(store, hpo_study_open(store, "s", &study));
    cr_assert_eq(state_of(store, study, 0), HPO_RUNNING);
    ok(store, hpo_trial_attach(study, 0, &other));
    info = read_of(store, study, 0);
    cr_assert(info->detached);
    cr_assert_eq(info->session, 0);
    hpo_trial_info_free(info);
    params_of(store, study, 0, after, sizeof(after));
    cr_assert_str_eq(after, before);
    tell(store, other, 3);
    gives(HPO_FINISHED, hpo_trial_attach(study, 0, &other));
    ok(store, hpo_ask(study, &detached, &trial));
    ok(store, hpo_trial_attach(study, 1, &other));
    ok(store, hpo_abandon(other));
    gives(HPO_ROLLED_BACK, hpo_abandon(trial));
    close_store(store);
}

Test(ask, two_runs_with_one_seed_are_the_same_whatever_is_killed_in_between)
{
    char plain[8][256], broken[8][256];
    int run, i;

    for (run = 0; run < 2; run++) {
        struct hpo_store *store = open_store();
        struct hpo_study *study = study_named(store, run ? "broken" : "plain");
        struct hpo_trial *trial;

        for (i = 0; i < 8; i++) {
            trial = ask(store, study);
            if (run == 1 && i % 2 == 1) { /* loses its process after two suggestions */
                (void)suggest(store, trial, "a");
                (void)suggest(store, trial, "b");
                close_store(store);
                store = open_store();
                ok(store, hpo_study_open(store, "broken", &study));
                trial = ask(store, study);
            }
            cr_assert_eq(hpo_trial_number(trial), (uint64_t)i);
            (void)suggest(store, trial, "a");
            (void)suggest(store, trial, "b");
            (void)suggest(store, trial, "c");
            tell(store, trial, i);
            params_of(store, study, (uint64_t)i, run ? broken[i] : plain[i], 256);
        }
        close_store(store);
    }
    for (i = 0; i < 8; i++)
        cr_assert_str_eq(broken[i], plain[i]);
}

/* Samplers with a model begin the trial first and compute without the tail (ask.c). */

static struct hpo_study *study_with(struct hpo_store *store, const char *name, const char *sampler)
{
    static const struct hpo_param grid[] = {
        {"n", {.kind = HPO_INT, .low_int = 0, .high_int = 2}},
        {"c", {.kind = HPO_CATEGORICAL, .choices = api_choices, .choice_count = 3}},
    };
    struct hpo_study_options options = {.size = sizeof(options),
                                        .has_seed = true,
                                        .seed = {1, 0},
                                        .params = grid,
                                        .param_count = 2,
                                        .sampler = sampler};
    struct hpo_study *study = NULL;

    ok(store, hpo_study_create(store, name, &options, &study));
    return study;
}

Test(ask, a_grid_gives_every_point_once_and_then_no_more)
{
    char seen[9][256];
    struct hpo_store *store = open_store(), *other = open_store();
    struct hpo_study *study = study_with(store, "g", "grid"), *same;
    struct hpo_trial *trial;
    int i, k;

    ok(other, hpo_study_open(other, "g", &same));
    for (i = 0; i < 9; i++) {
        trial = i % 2 ? ask(other, same) : ask(store, study);
        params_of(store, study, (uint64_t)i, seen[i], sizeof(seen[i]));
        for (k = 0; k < i; k++)
            cr_assert_str_neq(seen[k], seen[i]);
        if (i == 4) { /* an abandoned point is given out again */
            char again[256];

            ok(store, hpo_abandon(trial));
            trial = ask(other, same);
            params_of(store, study, (uint64_t)i, again, sizeof(again));
            cr_assert_str_eq(again, seen[i]);
            tell(other, trial, i);
            continue;
        }
        tell(i % 2 ? other : store, trial, i);
    }
    gives(HPO_NO_MORE, hpo_ask(study, NULL, &trial));
    gives(HPO_NO_MORE, hpo_ask(same, NULL, &trial));
    cr_assert_eq(stat_of(store).trials_running, 0, "what was begun in vain is taken back");
    cr_assert_eq(stat_of(store).trials, 9);
    close_store(other);
    close_store(store);
}

/* The objective of these studies: something that a model can learn. */
static double objective(const char *params, double extra)
{
    double value = extra;

    for (; *params; params++)
        value += *params % 7;
    return value;
}

static void run_study(const char *name, const char *sampler, int trials, bool broken, bool declared,
                      char (*out)[256])
{
    struct hpo_store *store = open_store();
    struct hpo_study_options options = {
        .size = sizeof(options), .has_seed = true, .seed = {1, 0}, .sampler = sampler};
    struct hpo_study *study = NULL;
    struct hpo_trial *trial;
    int i;

    if (declared)
        study = study_with(store, name, sampler);
    else
        ok(store, hpo_study_create(store, name, &options, &study));
    for (i = 0; i < trials; i++) {
        trial = ask(store, study);
        (void)suggest(store, trial, "extra");
        if (broken && i % 5 == 3) { /* its model goes with its process */
            close_store(store);
            store = open_store();
            ok(store, hpo_study_open(store, name, &study));
            trial = ask(store, study);
        }
        cr_assert_eq(hpo_trial_number(trial), (uint64_t)i);
        (void)suggest(store, trial, "extra");
        (void)suggest(store, trial, "more");
        params_of(store, study, (uint64_t)i, out[i], 256);
        tell(store, trial, objective(out[i], suggest(store, trial, "extra")));
    }
    close_store(store);
}

Test(ask, a_model_that_went_with_its_process_comes_back_the_same)
{
    static const char *const samplers[] = {"qmc", "tpe"};
    static char plain[40][256], broken[40][256];
    char names[2][40];
    int s, i, declared;

    for (s = 0; s < 2; s++)
        for (declared = 0; declared < 2; declared++) {
            snprintf(names[0], sizeof(names[0]), "plain %d %d", s, declared);
            snprintf(names[1], sizeof(names[1]), "broken %d %d", s, declared);
            run_study(names[0], samplers[s], 40, false, declared, plain);
            run_study(names[1], samplers[s], 40, true, declared, broken);
            for (i = 0; i < 40; i++)
                cr_assert_str_eq(broken[i], plain[i], "%s, declared %d, trial %d", samplers[s],
                                 declared, i);
        }
}

/* A retry sees the view of the attempt that was rolled back, whatever others have finished since.
 */
Test(ask, a_retry_under_a_model_gets_its_parameters_whatever_others_did_meanwhile)
{
    char before[256], after[256];
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_with(store, "s", "tpe");
    struct hpo_trial *trial, *other;
    int i;

    for (i = 0; i < 15; i++) {
        trial = ask(store, study);
        params_of(store, study, (uint64_t)i, before, sizeof(before));
        tell(store, trial, objective(before, 0));
    }
    trial = ask(store, study);
    params_of(store, study, 15, before, sizeof(before));
    for (i = 16; i < 30; i++) {
        other = ask(store, study);
        params_of(store, study, (uint64_t)i, after, sizeof(after));
        tell(store, other, -objective(after, 0));
    }
    ok(store, hpo_abandon(trial));
    trial = ask(store, study);
    cr_assert_eq(hpo_trial_number(trial), 15);
    params_of(store, study, 15, after, sizeof(after));
    cr_assert_str_eq(after, before);
    tell(store, trial, 1);
    close_store(store);
}

Test(ask, every_word_of_every_sampler_is_recomputed)
{
    static const char *const samplers[] = {"random", "grid", "qmc", "tpe"};
    struct hpo_store *store = open_store();
    struct hpo_history *history;
    const struct hpo_record_info *record;
    size_t s, draws = 0;
    int i;

    for (s = 0; s < 4; s++) {
        struct hpo_study *study = study_with(store, samplers[s], samplers[s]);

        for (i = 0; i < (s == 3 ? 20 : 8); i++)
            tell(store, ask(store, study), i);
    }
    ok(store, hpo_history_open(store, 0, true, &history));
    while (hpo_history_next(history, &record) == 0)
        if (strcmp(record->type, "DRAW") == 0) {
            cr_assert(record->digest_ok, "%llu", (unsigned long long)record->lsn);
            cr_assert_gt(record->word_count, 0);
            draws++;
        }
    cr_assert_geq(draws, 36);
    hpo_history_close(history);
    close_store(store);
}

Test(ask, bad_arguments_are_refused)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_named(store, "s");
    struct hpo_trial *trial;
    uint64_t lsn = stat_of(store).lsn;
    bool prune;
    double value;
    int64_t integer;
    size_t index;

    gives(HPO_INVALID, hpo_ask(NULL, NULL, &trial));
    gives(HPO_INVALID, hpo_ask(study, NULL, NULL));
    gives(HPO_INVALID, hpo_ask(study, &(struct hpo_ask_options){.size = 1}, &trial));
    gives(HPO_INVALID, hpo_trial_attach(NULL, 0, &trial));
    gives(HPO_INVALID, hpo_trial_attach(study, 0, NULL));
    gives(HPO_INVALID, hpo_suggest_float(NULL, "x", 0, 1, 0, &value));
    gives(HPO_INVALID, hpo_should_prune(NULL, &prune));
    gives(HPO_INVALID, hpo_enqueue(NULL, NULL, 0, NULL));
    cr_assert_eq(stat_of(store).lsn, lsn);
    trial = ask(store, study);
    lsn = stat_of(store).lsn;
    gives(HPO_INVALID, hpo_suggest_float(trial, NULL, 0, 1, 0, &value));
    gives(HPO_INVALID, hpo_suggest_float(trial, "", 0, 1, 0, &value));
    gives(HPO_INVALID, hpo_suggest_float(trial, "x", 1, 0, 0, &value));
    gives(HPO_INVALID, hpo_suggest_float(trial, "x", NAN, 1, 0, &value));
    gives(HPO_INVALID, hpo_suggest_float(trial, "x", 0, 1, HPO_LOG, &value));
    gives(HPO_INVALID, hpo_suggest_float(trial, "x", 0, 1, 0, NULL));
    gives(HPO_INVALID, hpo_suggest_float_step(trial, "x", 0, 1, -1, &value));
    gives(HPO_INVALID, hpo_suggest_int(trial, "x", 0, 1, 0, NULL));
    gives(HPO_INVALID, hpo_suggest_int(trial, "x", INT64_MIN, 1, 0, &integer));
    gives(HPO_INVALID, hpo_suggest_int_step(trial, "x", 0, 1, -2, &integer));
    gives(HPO_INVALID, hpo_suggest_categorical(trial, "x", NULL, 0, &index));
    gives(HPO_INVALID, hpo_suggest_categorical(trial, "x", NULL, 2, &index));
    gives(HPO_INVALID, hpo_suggest_categorical(trial, "x", (const char *const[]){NULL}, 1, &index));
    gives(HPO_INVALID, hpo_suggest(trial, "x", NULL, &value));
    gives(HPO_INVALID, hpo_should_prune(trial, NULL));
    cr_assert_eq(stat_of(store).lsn, lsn);
    ok(store, hpo_should_prune(trial, &prune));
    cr_assert_not(prune, "without a pruner nothing is pruned");
    close_store(store);
}

/* -- pruning -- */

Test(ask, a_pruning_decision_is_recorded_with_what_it_had_read_and_stands)
{
    struct hpo_study_options study_options = {
        .size = sizeof(study_options), .has_seed = true, .pruner = "median"};
    struct hpo_store *store = open_store(), *other = open_store();
    struct hpo_study *study;
    struct hpo_study_info *info;
    struct hpo_history *history;
    const struct hpo_record_info *record;
    struct hpo_trial *good, *bad;
    uint64_t view = 0, decisions = 0;
    bool prune = true;
    size_t i;
    int k;

    ok(store, hpo_study_create(store, "s", &study_options, &study));
    info = info_of(store, study);
    cr_assert_str_eq(info->pruner, "median");
    cr_assert_gt(info->pruner_option_count, 0);
    hpo_study_info_free(info);
    for (k = 0; k < 6; k++) { /* enough to begin with */
        good = ask(store, study);
        ok(store, hpo_should_prune(good, &prune));
        cr_assert_not(prune, "nothing was reported");
        ok(store, hpo_report(good, 1, 1));
        ok(store, hpo_should_prune(good, &prune));
        cr_assert_not(prune);
        tell(store, good, 1);
    }
    bad = ask(store, study);
    ok(store, hpo_report(bad, 1, 100));
    ok(store, hpo_should_prune(bad, &prune));
    cr_assert(prune);
    k = (int)stat_of(store).lsn;
    ok(store, hpo_should_prune(bad, &prune));
    cr_assert(prune, "it stands");
    cr_assert_eq(stat_of(store).lsn, (uint64_t)k, "and is not recorded again");
    ok(store, hpo_tell(bad, HPO_PRUNED, NULL, 0));
    ok(other, hpo_history_open(other, 0, false, &history));
    while (hpo_history_next(history, &record) == 0)
        if (strcmp(record->type, "PRUNE_DECISION") == 0) {
            decisions++;
            for (i = 0; i < record->field_count; i++)
                if (strcmp(record->fields[i].name, "view") == 0)
                    view = record->fields[i].uint;
            cr_assert_eq(view, record->lsn - 1);
        }
    cr_assert_eq(decisions, 7);
    hpo_history_close(history);
    close_store(other);
    close_store(store);
}

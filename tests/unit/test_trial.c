/*
 * trial: what is written about a trial, and how it ends.
 */
#include "api_words.h"

#include <math.h>

TestSuite(trial, .init = api_setup, .fini = api_teardown, .timeout = 60);

Test(trial, what_was_told_is_durable_and_read_back)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_trial *trial = ask(store, study);
    struct hpo_trial_info *info;
    double value = -0.5;
    uint64_t number;

    ok(store, hpo_report(trial, 2, 20));
    ok(store, hpo_report(trial, 1, -INFINITY));
    ok(store, hpo_report(trial, 3, NAN));
    ok(store, hpo_report(trial, 2, 22));
    ok(store, hpo_trial_attr_set(trial, HPO_ATTR_USER, "b", "1", 1));
    ok(store, hpo_trial_attr_set(trial, HPO_ATTR_OWN, "a", "two\0", 4));
    ok(store, hpo_trial_attr_set(trial, HPO_ATTR_USER, "b", "3", 1));
    ok(store, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    cr_assert_eq(stat_of(store).lsn, stat_of(store).lsn_durable);
    close_store(store);
    store = open_with(HPO_OPEN_READ_ONLY);
    ok(store, hpo_study_open(store, "s", &study));
    info = read_of(store, study, 0);
    cr_assert_eq(info->number, 0);
    cr_assert_eq(info->id, 1);
    cr_assert_eq(info->study, 1);
    cr_assert_eq(info->state, HPO_COMPLETE);
    cr_assert_eq(info->value_count, 1);
    cr_assert_eq(info->values[0], -0.5);
    cr_assert_eq(info->report_count, 3);
    cr_assert_eq(info->reports[0].step, 2);
    cr_assert_eq(info->reports[0].value, 22);
    cr_assert_eq(info->reports[1].step, 1);
    cr_assert(isinf(info->reports[1].value));
    cr_assert(isnan(info->reports[2].value));
    cr_assert_eq(info->attr_count, 2);
    cr_assert_str_eq(info->attrs[0].key, "b");
    cr_assert_str_eq(info->attrs[0].value, "3");
    cr_assert_eq(info->attrs[1].space, HPO_ATTR_OWN);
    cr_assert_eq(info->attrs[1].size, 4);
    cr_assert_lt(info->begin_lsn, info->end_lsn);
    cr_assert_gt(info->begin_us, 0);
    cr_assert_geq(info->end_us, info->begin_us);
    cr_assert_eq(info->session, 0);
    hpo_trial_info_free(info);
    hpo_trial_info_free(NULL);
    ok(store, hpo_best(study, &number));
    cr_assert_eq(number, 0);
    gives(HPO_NOT_FOUND, hpo_trial_read(study, 1, &info));
    close_store(store);
}

Test(trial, values_must_be_numbers_and_as_many_as_directions)
{
    const enum hpo_direction two[] = {HPO_MINIMIZE, HPO_MAXIMIZE};
    struct hpo_study_options options = {
        .size = sizeof(options), .directions = two, .direction_count = 2};
    struct hpo_store *store = open_store();
    struct hpo_study *study;
    struct hpo_trial *trial;
    double values[3] = {1, INFINITY, 2}, nan[2] = {0, NAN};
    uint64_t lsn, number;

    ok(store, hpo_study_create(store, "s", &options, &study));
    trial = ask(store, study);
    lsn = stat_of(store).lsn;
    gives(HPO_INVALID, hpo_tell(trial, HPO_COMPLETE, nan, 2));
    gives(HPO_INVALID, hpo_tell(trial, HPO_COMPLETE, values, 1));
    gives(HPO_INVALID, hpo_tell(trial, HPO_COMPLETE, values, 3));
    gives(HPO_INVALID, hpo_tell(trial, HPO_COMPLETE, NULL, 0));
    gives(HPO_INVALID, hpo_tell(trial, HPO_COMPLETE, NULL, 2));
    gives(HPO_INVALID, hpo_tell(trial, HPO_PRUNED, values, 1));
    gives(HPO_INVALID, hpo_tell(trial, HPO_RUNNING, values, 2));
    gives(HPO_INVALID, hpo_tell(trial, HPO_WAITING, values, 2));
    gives(HPO_INVALID, hpo_tell(trial, (enum hpo_trial_state)9, values, 2));
    gives(HPO_INVALID, hpo_tell(NULL, HPO_COMPLETE, values, 2));
    cr_assert_eq(stat_of(store).lsn, lsn, "misuse leaves the store unchanged");
    ok(store, hpo_tell(trial, HPO_COMPLETE, values, 2));
    gives(HPO_INVALID, hpo_best(study, &number));
    close_store(store);
}

Test(trial, a_finished_trial_cannot_change)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_named(store, "s");
    struct hpo_trial *trial = ask(store, study);
    double value = 1;
    bool prune;
    void *out;
    size_t size;

    ok(store, hpo_trial_attr_set(trial, HPO_ATTR_USER, "k", "v", 1));
    ok(store, hpo_tell(trial, HPO_PRUNED, NULL, 0));
    gives(HPO_FINISHED, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    gives(HPO_FINISHED, hpo_report(trial, 1, 1));
    gives(HPO_FINISHED, hpo_suggest_float(trial, "x", 0, 1, 0, &value));
    gives(HPO_FINISHED, hpo_trial_attr_set(trial, HPO_ATTR_USER, "k", "w", 1));
    gives(HPO_FINISHED, hpo_should_prune(trial, &prune));
    gives(HPO_FINISHED, hpo_abandon(trial));
    gives(HPO_FINISHED,
          hpo_trial_param_set(trial, "x", &(struct hpo_distribution){.kind = HPO_FLOAT}, 0));
    ok(store, hpo_trial_attr_get(trial, HPO_ATTR_USER, "k", &out, &size));
    cr_assert_str_eq(out, "v");
    hpo_free(out);
    cr_assert_eq(state_of(store, study, 0), HPO_PRUNED);
    hpo_trial_free(trial);
    hpo_trial_free(NULL);
    close_store(store);
}

Test(trial, long_attributes_travel_in_pieces)
{
    size_t size = 3 * 1024 * 1024 + 17, got;
    unsigned char *value = malloc(size);
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_named(store, "s");
    struct hpo_trial *trial = ask(store, study);
    struct hpo_trial_info *info;
    void *out;
    size_t i;

    for (i = 0; i < size; i++)
        value[i] = (unsigned char)(i * 2246822519u >> 11);
    ok(store, hpo_trial_attr_set(trial, HPO_ATTR_USER, "k", value, size));
    ok(store, hpo_trial_attr_get(trial, HPO_ATTR_USER, "k", &out, &got));
    cr_assert_eq(got, size);
    cr_assert_eq(memcmp(out, value, size), 0);
    hpo_free(out);
    tell(store, trial, 1);
    close_store(store);
    store = open_store();
    ok(store, hpo_study_open(store, "s", &study));
    info = read_of(store, study, 0);
    cr_assert_eq(info->attrs[0].size, size);
    cr_assert_eq(memcmp(info->attrs[0].value, value, size), 0);
    hpo_trial_info_free(info);
    free(value);
    close_store(store);
}

Test(trial, values_that_somebody_else_chose_are_recorded)
{
    const struct hpo_distribution integer = {.kind = HPO_INT, .low_int = 0, .high_int = 9};
    const struct hpo_distribution choice = {
        .kind = HPO_CATEGORICAL, .choices = api_choices, .choice_count = 3};
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_named(store, "s");
    struct hpo_trial *trial = ask(store, study);
    struct hpo_trial_info *info;
    double value;

    ok(store, hpo_trial_param_set(trial, "n", &integer, 4));
    ok(store, hpo_trial_param_set(trial, "c", &choice, 2));
    gives(HPO_EXISTS, hpo_trial_param_set(trial, "n", &integer, 5));
    gives(HPO_INVALID, hpo_trial_param_set(trial, "m", &integer, 4.5));
    gives(HPO_INVALID, hpo_trial_param_set(trial, "d", &choice, 3));
    gives(HPO_INVALID, hpo_trial_param_set(trial, "d", &choice, NAN));
    gives(HPO_INVALID, hpo_trial_param_set(trial, "d", NULL, 0));
    gives(HPO_INCOMPATIBLE, hpo_trial_param_set(trial, "n", &choice, 1));
    ok(store, hpo_suggest(trial, "n", &integer, &value));
    cr_assert_eq(value, 4);
    info = read_of(store, study, 0);
    cr_assert_eq(info->param_count, 2);
    cr_assert_str_eq(info->params[0].text, "4");
    cr_assert_str_eq(info->params[1].text, "null");
    hpo_trial_info_free(info);
    close_store(store);
}

Test(trial, numbers_are_written_so_that_they_read_back)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0.1, "0.1"},
                 {1e-5, "1e-05"},
                 {1.0 / 3, "0.3333333333333333"},
                 {100, "100"},
                 {1e300, "1e+300"},
                 {-2.5, "-2.5"},
                 {0.30000000000000004, "0.30000000000000004"}};
    const struct hpo_distribution wide = {.kind = HPO_FLOAT, .low = -1e305, .high = 1e305};
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_named(store, "s");
    struct hpo_trial *trial = ask(store, study);
    struct hpo_trial_info *info;
    char name[16];
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(name, sizeof(name), "x%zu", i);
        ok(store, hpo_trial_param_set(trial, name, &wide, cases[i].value));
    }
    info = read_of(store, study, 0);
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_assert_str_eq(info->params[i].text, cases[i].text);
    hpo_trial_info_free(info);
    close_store(store);
}

Test(trial, the_list_filters_by_state_and_shows_each_step_as_it_is)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_named(store, "s");
    struct hpo_cursor *all, *complete;
    const struct hpo_trial_info *info;
    struct hpo_trial *trials[3];
    int i;

    for (i = 0; i < 3; i++)
        trials[i] = ask(store, study);
    tell(store, trials[1], 1);
    gives(HPO_INVALID, hpo_trial_list(study, 1u << 9, &all));
    ok(store, hpo_trial_list(study, 0, &all));
    ok(store, hpo_trial_list(study, 1u << HPO_COMPLETE, &complete));
    ok(store, hpo_cursor_next_trial(complete, &info));
    cr_assert_eq(info->number, 1);
    ok(store, hpo_cursor_next_trial(all, &info));
    cr_assert_eq(info->number, 0);
    cr_assert_eq(info->state, HPO_RUNNING);
    gives(HPO_NO_MORE, hpo_cursor_next_trial(complete, &info));
    tell(store, trials[2], 2);
    hpo_study_free(study);                                      /* the cursor needs it no more */
    gives(HPO_NO_MORE, hpo_cursor_next_trial(complete, &info)); /* it has gone past 2 */
    ok(store, hpo_cursor_next_trial(all, &info));
    ok(store, hpo_cursor_next_trial(all, &info));
    cr_assert_eq(info->state, HPO_COMPLETE);
    gives(HPO_NO_MORE, hpo_cursor_next_trial(all, &info));
    hpo_cursor_free(all);
    hpo_cursor_free(complete);
    close_store(store);
}

Test(trial, best_and_front_go_by_direction)
{
    const enum hpo_direction maximize = HPO_MAXIMIZE, two[] = {HPO_MINIMIZE, HPO_MAXIMIZE};
    const double points[4][2] = {{1, 1}, {2, 3}, {3, 2}, {1, 1}};
    struct hpo_study_options options = {
        .size = sizeof(options), .directions = &maximize, .direction_count = 1};
    struct hpo_store *store = open_store();
    struct hpo_study *study;
    struct hpo_trial *trial;
    uint64_t number, *front;
    size_t count;
    int i;

    ok(store, hpo_study_create(store, "max", &options, &study));
    gives(HPO_NOT_FOUND, hpo_best(study, &number));
    for (i = 0; i < 4; i++)
        tell(store, ask(store, study), i == 2 ? 1 : i);
    ok(store, hpo_best(study, &number));
    cr_assert_eq(number, 3);
    options.directions = two;
    options.direction_count = 2;
    ok(store, hpo_study_create(store, "two", &options, &study));
    for (i = 0; i < 4; i++) {
        trial = ask(store, study);
        ok(store, hpo_tell(trial, HPO_COMPLETE, points[i], 2));
    }
    ok(store, hpo_pareto(study, &front, &count));
    cr_assert_eq(count, 3);
    cr_assert_eq(front[0], 0);
    cr_assert_eq(front[1], 1);
    cr_assert_eq(front[2], 3, "equal points stand side by side");
    hpo_free(front);
    close_store(store);
}

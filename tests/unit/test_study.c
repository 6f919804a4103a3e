/*
 * study: making, opening, comparing, changing and deleting studies.
 */
#include "api_words.h"

TestSuite(study, .init = api_setup, .fini = api_teardown, .timeout = 60);

static int create(struct hpo_store *store, const char *name,
                  const struct hpo_study_options *options)
{
    struct hpo_study *study = NULL;
    int err = hpo_study_create(store, name, options, &study);

    if (err == 0)
        hpo_study_free(study);
    else
        cr_assert_null(study, "an out-parameter is set only on success");
    return err;
}

#define OPTIONS(...) \
    (&(struct hpo_study_options){.size = sizeof(struct hpo_study_options), __VA_ARGS__})

Test(study, defaults_are_random_without_pruner_minimizing)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study;
    struct hpo_study_info *info;

    ok(store, hpo_study_create(store, "s", NULL, &study));
    info = info_of(store, study);
    cr_assert_str_eq(info->name, "s");
    cr_assert_eq(info->id, 1);
    cr_assert_eq(info->direction_count, 1);
    cr_assert_eq(info->directions[0], HPO_MINIMIZE);
    cr_assert_str_eq(info->sampler, "random");
    cr_assert_str_eq(info->pruner, "");
    cr_assert_not(info->declared);
    cr_assert_not(info->stopped);
    cr_assert(info->seed[0] != 0 || info->seed[1] != 0, "a seed of none comes from the system");
    cr_assert_eq(info->trials, 0);
    cr_assert_gt(info->created_us, 0);
    hpo_study_info_free(info);
    close_store(store);
}

Test(study, everything_that_was_given_is_read_back_after_reopening)
{
    const enum hpo_direction directions[] = {HPO_MAXIMIZE, HPO_MINIMIZE};
    struct hpo_store *store = open_store();
    struct hpo_study *study;
    struct hpo_study_info *info;

    ok(store,
       hpo_study_create(store, "näme",
                        OPTIONS(.directions = directions, .direction_count = 2, .has_seed = true,
                                .seed = {7, 9}, .params = api_space, .param_count = API_SPACE_COUNT,
                                .sampler = "random", .window = 3),
                        &study));
    close_store(store);
    store = open_store();
    ok(store, hpo_study_open(store, "näme", &study));
    info = info_of(store, study);
    cr_assert_eq(info->direction_count, 2);
    cr_assert_eq(info->directions[0], HPO_MAXIMIZE);
    cr_assert_eq(info->directions[1], HPO_MINIMIZE);
    cr_assert_eq(info->seed[0], 7);
    cr_assert_eq(info->seed[1], 9);
    cr_assert_eq(info->window, 3);
    cr_assert(info->declared);
    cr_assert_eq(info->param_count, API_SPACE_COUNT);
    cr_assert_str_eq(info->params[0].name, "lr");
    cr_assert_eq(info->params[0].distribution.kind, HPO_FLOAT);
    cr_assert_eq(info->params[0].distribution.flags, HPO_LOG);
    cr_assert_eq(info->params[0].distribution.low, 1e-5);
    cr_assert_eq(info->params[1].distribution.high_int, 12);
    cr_assert_eq(info->params[1].distribution.step_int, 1);
    cr_assert_eq(info->params[2].distribution.choice_count, 3);
    cr_assert_str_eq(info->params[2].distribution.choices[1].text, "tanh");
    cr_assert_eq(info->params[2].distribution.choices[2].type, HPO_CHOICE_NULL);
    cr_assert_eq(info->params[3].distribution.step, 0.25);
    hpo_study_info_free(info);
    ok(store, hpo_study_open_id(store, 1, &study));
    gives(HPO_NOT_FOUND, hpo_study_open_id(store, 2, &study));
    gives(HPO_NOT_FOUND, hpo_study_open(store, "name", &study));
    close_store(store);
}

Test(study, an_existing_one_is_opened_and_compared_with_what_is_given)
{
    const enum hpo_direction maximize = HPO_MAXIMIZE, minimize = HPO_MINIMIZE;
    struct hpo_param other[API_SPACE_COUNT];
    struct hpo_store *store = open_store();

    hpo_study_free(study_declared(store, "s"));
    gives(0, create(store, "s", NULL));
    gives(0, create(store, "s", OPTIONS(.directions = &minimize, .direction_count = 1)));
    gives(0, create(store, "s", OPTIONS(.params = api_space, .param_count = API_SPACE_COUNT)));
    gives(0, create(store, "s", OPTIONS(.sampler = "random", .pruner = "none")));
    gives(0, create(store, "s", OPTIONS(.has_seed = true, .seed = {1, 0})));

    gives(HPO_EXISTS, create(store, "s", OPTIONS(.exclusive = true)));
    gives(HPO_INCOMPATIBLE,
          create(store, "s", OPTIONS(.directions = &maximize, .direction_count = 1)));
    gives(HPO_INCOMPATIBLE, create(store, "s", OPTIONS(.has_seed = true, .seed = {1, 1})));
    gives(HPO_INCOMPATIBLE, create(store, "s", OPTIONS(.window = 2)));
    gives(HPO_INCOMPATIBLE, create(store, "s", OPTIONS(.params = api_space, .param_count = 2)));
    memcpy(other, api_space, sizeof(other));
    other[1].distribution.high_int = 13;
    gives(HPO_INCOMPATIBLE,
          create(store, "s", OPTIONS(.params = other, .param_count = API_SPACE_COUNT)));
    cr_assert(strstr(api_reason(store), "depth"), "the message names the first difference: %s",
              api_reason(store));
    memcpy(other, api_space, sizeof(other));
    other[0].name = "rate";
    gives(HPO_INCOMPATIBLE,
          create(store, "s", OPTIONS(.params = other, .param_count = API_SPACE_COUNT)));
    cr_assert(strstr(api_reason(store), "lr") && strstr(api_reason(store), "rate"));
    close_store(store);
}

Test(study, a_change_is_recorded_when_it_is_allowed)
{
    const enum hpo_direction maximize = HPO_MAXIMIZE;
    struct hpo_param other[2] = {api_space[1], api_space[0]};
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_study_info *info;
    struct hpo_trial *trial;
    double value;

    tell(store, ask(store, study), 1);
    gives(0, create(store, "s",
                    OPTIONS(.params = other, .param_count = 2, .has_seed = true, .seed = {5, 6},
                            .allow_change = true)));
    gives(HPO_INCOMPATIBLE,
          create(store, "s",
                 OPTIONS(.directions = &maximize, .direction_count = 1, .allow_change = true)));
    info = info_of(store, study);
    cr_assert_eq(info->param_count, 2);
    cr_assert_str_eq(info->params[0].name, "depth");
    cr_assert_eq(info->seed[0], 5);
    hpo_study_info_free(info);
    trial = ask(store, study); /* the handle's cached configuration notices */
    {
        struct hpo_trial_info *read = read_of(store, study, 1);

        cr_assert_eq(read->param_count, 2);
        cr_assert_str_eq(read->params[0].name, "depth");
        hpo_trial_info_free(read);
    }
    ok(store, hpo_suggest_float(trial, "lr", 1e-5, 1e-1, HPO_LOG, &value));
    tell(store, trial, 2);
    gives(0, create(store, "s", OPTIONS(.params = other, .param_count = 2)));
    close_store(store);
}

Test(study, bad_arguments_change_nothing)
{
    const enum hpo_direction odd = (enum hpo_direction)7;
    const struct hpo_option option = {"no_such_option", "1"}, empty = {NULL, NULL};
    const struct hpo_choice unknown = {.type = (enum hpo_choice_type)9};
    struct hpo_store *store = open_store();
    struct hpo_study *study;
    struct hpo_param twice[2] = {api_space[0], api_space[0]};
    struct hpo_param bad = api_space[0];
    uint64_t lsn = stat_of(store).lsn;
    char *long_name = calloc(1, 65538);

    memset(long_name, 'x', 65537);
    gives(HPO_INVALID, hpo_study_create(NULL, "s", NULL, &study));
    gives(HPO_INVALID, hpo_study_create(store, "s", NULL, NULL));
    gives(HPO_INVALID, create(store, NULL, NULL));
    gives(HPO_INVALID, create(store, "", NULL));
    gives(HPO_INVALID, create(store, "\xff", NULL));
    gives(HPO_INVALID, create(store, "\xed\xa0\x80", NULL)); /* a surrogate */
    gives(HPO_TOO_LARGE, create(store, long_name, NULL));
    gives(HPO_INVALID,
          hpo_study_create(store, "s", &(struct hpo_study_options){.size = 8}, &study));
    gives(HPO_INVALID, create(store, "s", OPTIONS(.sampler = "no such sampler")));
    cr_assert(strstr(api_reason(store), "random"), "the message lists what is known: %s",
              api_reason(store));
    gives(HPO_INVALID, create(store, "s", OPTIONS(.pruner = "no such pruner")));
    gives(HPO_INVALID,
          create(store, "s", OPTIONS(.sampler_options = &option, .sampler_option_count = 1)));
    gives(HPO_INVALID,
          create(store, "s", OPTIONS(.sampler_options = &empty, .sampler_option_count = 1)));
    gives(HPO_INVALID, create(store, "s", OPTIONS(.sampler_option_count = 1)));
    gives(HPO_INVALID,
          create(store, "s", OPTIONS(.pruner_options = &option, .pruner_option_count = 1)));
    gives(HPO_INVALID, create(store, "s", OPTIONS(.directions = &odd, .direction_count = 1)));
    gives(HPO_INVALID, create(store, "s", OPTIONS(.directions = &odd, .direction_count = 65)));
    gives(HPO_INVALID, create(store, "s", OPTIONS(.direction_count = 1)));
    gives(HPO_INVALID, create(store, "s", OPTIONS(.params = twice, .param_count = 2)));
    gives(HPO_INVALID, create(store, "s", OPTIONS(.param_count = 2)));
    bad.distribution.low = 0; /* with log */
    gives(HPO_INVALID, create(store, "s", OPTIONS(.params = &bad, .param_count = 1)));
    bad.distribution.low = 1;
    gives(HPO_INVALID, create(store, "s", OPTIONS(.params = &bad, .param_count = 1)));
    bad.distribution.low = -1.0 / 0.0;
    gives(HPO_INVALID, create(store, "s", OPTIONS(.params = &bad, .param_count = 1)));
    bad.distribution = (struct hpo_distribution){.kind = HPO_FLOAT, .flags = 8, .high = 1};
    gives(HPO_INVALID, create(store, "s", OPTIONS(.params = &bad, .param_count = 1)));
    bad.distribution = (struct hpo_distribution){.kind = (enum hpo_distribution_kind)4, .high = 1};
    gives(HPO_INVALID, create(store, "s", OPTIONS(.params = &bad, .param_count = 1)));
    bad.distribution = (struct hpo_distribution){.kind = HPO_INT, .high_int = INT64_MAX};
    gives(HPO_INVALID, create(store, "s", OPTIONS(.params = &bad, .param_count = 1)));
    bad.distribution = (struct hpo_distribution){.kind = HPO_INT, .high_int = 4, .step_int = -1};
    gives(HPO_INVALID, create(store, "s", OPTIONS(.params = &bad, .param_count = 1)));
    bad.distribution = (struct hpo_distribution){.kind = HPO_CATEGORICAL};
    gives(HPO_INVALID, create(store, "s", OPTIONS(.params = &bad, .param_count = 1)));
    bad.distribution =
        (struct hpo_distribution){.kind = HPO_CATEGORICAL, .choices = &unknown, .choice_count = 1};
    gives(HPO_INVALID, create(store, "s", OPTIONS(.params = &bad, .param_count = 1)));
    cr_assert_eq(stat_of(store).lsn, lsn);
    free(long_name);
    close_store(store);
}

Test(study, deleting_frees_the_name_and_ends_the_handles)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_named(store, "s"), *again;
    struct hpo_trial *trial = ask(store, study), *other;
    struct hpo_study_info *info;
    double value = 1;

    gives(HPO_NOT_FOUND, hpo_study_delete(store, "t"));
    ok(store, hpo_study_delete(store, "s"));
    gives(HPO_NOT_FOUND, hpo_study_delete(store, "s"));
    gives(HPO_NOT_FOUND, hpo_ask(study, NULL, &other));
    gives(HPO_NOT_FOUND, hpo_study_info(study, &info));
    gives(HPO_NOT_FOUND, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    gives(HPO_NOT_FOUND, hpo_suggest_float(trial, "x", 0, 1, 0, &value));
    gives(HPO_NOT_FOUND, hpo_report(trial, 1, 1));
    gives(HPO_NOT_FOUND, hpo_abandon(trial));
    again = study_named(store, "s");
    info = info_of(store, again);
    cr_assert_eq(info->id, 2, "ids are never used again");
    cr_assert_eq(info->trials, 0);
    hpo_study_info_free(info);
    gives(HPO_NOT_FOUND, hpo_ask(study, NULL, &other));
    close_store(store);
}

Test(study, the_list_goes_by_id)
{
    struct hpo_store *store = open_store();
    struct hpo_cursor *cursor;
    const struct hpo_study_info *info;
    const struct hpo_trial_info *trial;

    hpo_study_free(study_named(store, "b"));
    hpo_study_free(study_named(store, "a"));
    hpo_study_free(study_named(store, "c"));
    ok(store, hpo_study_delete(store, "a"));
    ok(store, hpo_study_list(store, &cursor));
    gives(HPO_INVALID, hpo_cursor_next_trial(cursor, &trial));
    ok(store, hpo_cursor_next_study(cursor, &info));
    cr_assert_str_eq(info->name, "b");
    ok(store, hpo_cursor_next_study(cursor, &info));
    cr_assert_str_eq(info->name, "c");
    gives(HPO_NO_MORE, hpo_cursor_next_study(cursor, &info));
    hpo_study_free(study_named(store, "d"));
    ok(store, hpo_cursor_next_study(cursor, &info)); /* it shows the store as it is at each step */
    cr_assert_str_eq(info->name, "d");
    hpo_cursor_free(cursor);
    hpo_cursor_free(NULL);
    close_store(store);
}

Test(study, attributes_keep_their_bytes_long_ones_too)
{
    size_t size = 3900 * 1024, got;
    unsigned char *value = malloc(size + 1);
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_named(store, "s");
    void *out;
    size_t i;

    for (i = 0; i < size; i++)
        value[i] = (unsigned char)(i * 2654435761u >> 13);
    ok(store, hpo_study_attr_set(study, HPO_ATTR_USER, "k", "v", 1));
    ok(store, hpo_study_attr_set(study, HPO_ATTR_SYSTEM, "k", "", 0));
    ok(store, hpo_study_attr_set(study, HPO_ATTR_USER, "long", value, size));
    ok(store, hpo_study_attr_set(study, HPO_ATTR_USER, "k", "w\0x", 3));
    gives(HPO_TOO_LARGE, hpo_study_attr_set(study, HPO_ATTR_USER, "long", value, size + 1));
    gives(HPO_INVALID, hpo_study_attr_set(study, HPO_ATTR_USER, "", "v", 1));
    gives(HPO_INVALID, hpo_study_attr_set(study, (enum hpo_attr_space)3, "k", "v", 1));
    gives(HPO_INVALID, hpo_study_attr_set(study, HPO_ATTR_USER, "k", NULL, 1));
    close_store(store);
    store = open_store();
    ok(store, hpo_study_open(store, "s", &study));
    ok(store, hpo_study_attr_get(study, HPO_ATTR_USER, "k", &out, &got));
    cr_assert_eq(got, 3);
    cr_assert_eq(memcmp(out, "w\0x\0", 4), 0);
    hpo_free(out);
    ok(store, hpo_study_attr_get(study, HPO_ATTR_SYSTEM, "k", &out, &got));
    cr_assert_eq(got, 0);
    hpo_free(out);
    ok(store, hpo_study_attr_get(study, HPO_ATTR_USER, "long", &out, &got));
    cr_assert_eq(got, size);
    cr_assert_eq(memcmp(out, value, size), 0);
    hpo_free(out);
    gives(HPO_NOT_FOUND, hpo_study_attr_get(study, HPO_ATTR_OWN, "k", &out, &got));
    hpo_free(NULL);
    free(value);
    close_store(store);
}

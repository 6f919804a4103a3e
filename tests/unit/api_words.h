/*
 * api_words: short words for tests of the public calls: a store in a directory of its own, studies
 * and trials with one line each. Every word asserts that its call succeeded.
 */
#ifndef HPO_TESTS_API_WORDS_H
#define HPO_TESTS_API_WORDS_H

#include "hpo.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char api_root[512]; /* this test's directory */
static char api_path[600]; /* the store in it */

/* What a failed call says, for messages. */
static inline const char *api_reason(struct hpo_store *store)
{
    static _Thread_local struct hpo_error_detail detail;

    if (store)
        hpo_error_detail(store, &detail);
    else
        hpo_open_error(&detail);
    return detail.message;
}

#define ok(store, call)                                                               \
    do {                                                                              \
        int ok_result_ = (call);                                                      \
        cr_assert_eq(ok_result_, 0, #call ": %d: %s", ok_result_, api_reason(store)); \
    } while (0)

#define gives(code, call)                                                                \
    do {                                                                                 \
        int gives_result_ = (call);                                                      \
        cr_assert_eq(gives_result_, (code), #call ": %d, not %s", gives_result_, #code); \
    } while (0)

static inline void api_setup(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(api_root, sizeof(api_root), "%s/hpo-api-XXXXXX", base ? base : "/tmp");
    cr_assert(mkdtemp(api_root));
    snprintf(api_path, sizeof(api_path), "%s/s.hpo", api_root);
}

static inline void api_teardown(void)
{
    char command[600];

    snprintf(command, sizeof(command), "rm -rf '%s'", api_root);
    cr_assert_eq(system(command), 0);
}

static inline struct hpo_store *open_with(unsigned flags)
{
    struct hpo_options options = {.size = sizeof(options), .flags = flags, .program = "test"};
    struct hpo_store *store = NULL;

    ok(NULL, hpo_open(api_path, &options, &store));
    return store;
}

static inline struct hpo_store *open_store(void)
{
    return open_with(0);
}

static inline void close_store(struct hpo_store *store)
{
    cr_assert_eq(hpo_close(store), 0);
}

/* A study with seed 1 and no declared space. */
static inline struct hpo_study *study_named(struct hpo_store *store, const char *name)
{
    struct hpo_study_options options = {.size = sizeof(options), .has_seed = true, .seed = {1, 0}};
    struct hpo_study *study = NULL;

    ok(store, hpo_study_create(store, name, &options, &study));
    return study;
}

/* The space that tests declare: one parameter of each kind. */
static const struct hpo_choice api_choices[] = {
    {.type = HPO_CHOICE_TEXT, .text = "relu"},
    {.type = HPO_CHOICE_TEXT, .text = "tanh"},
    {.type = HPO_CHOICE_NULL},
};
static const struct hpo_param api_space[] = {
    {"lr", {.kind = HPO_FLOAT, .flags = HPO_LOG, .low = 1e-5, .high = 1e-1}},
    {"depth", {.kind = HPO_INT, .low_int = 2, .high_int = 12}},
    {"act", {.kind = HPO_CATEGORICAL, .choices = api_choices, .choice_count = 3}},
    {"drop", {.kind = HPO_FLOAT, .low = 0, .high = 1, .step = 0.25}},
};
#define API_SPACE_COUNT (sizeof(api_space) / sizeof(api_space[0]))

static inline struct hpo_study *study_declared(struct hpo_store *store, const char *name)
{
    struct hpo_study_options options = {
        .size = sizeof(options),
        .has_seed = true,
        .seed = {1, 0},
        .params = api_space,
        .param_count = API_SPACE_COUNT,
    };
    struct hpo_study *study = NULL;

    ok(store, hpo_study_create(store, name, &options, &study));
    return study;
}

static inline struct hpo_trial *ask(struct hpo_store *store, struct hpo_study *study)
{
    struct hpo_trial *trial = NULL;

    ok(store, hpo_ask(study, NULL, &trial));
    return trial;
}

static inline int ask_total(struct hpo_study *study, uint64_t total, struct hpo_trial **trial)
{
    struct hpo_ask_options options = {.size = sizeof(options), .total = total};

    return hpo_ask(study, &options, trial);
}

static inline double suggest(struct hpo_store *store, struct hpo_trial *trial, const char *name)
{
    double value = -1;

    ok(store, hpo_suggest_float(trial, name, 0, 1, HPO_LINEAR, &value));
    cr_assert(value >= 0 && value <= 1);
    return value;
}

static inline void tell(struct hpo_store *store, struct hpo_trial *trial, double value)
{
    ok(store, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    hpo_trial_free(trial);
}

static inline struct hpo_stat stat_of(struct hpo_store *store)
{
    struct hpo_stat stat = {.size = sizeof(stat)};

    ok(store, hpo_stat(store, &stat));
    return stat;
}

static inline struct hpo_trial_info *read_of(struct hpo_store *store, struct hpo_study *study,
                                             uint64_t number)
{
    struct hpo_trial_info *info = NULL;

    ok(store, hpo_trial_read(study, number, &info));
    return info;
}

static inline enum hpo_trial_state state_of(struct hpo_store *store, struct hpo_study *study,
                                            uint64_t number)
{
    struct hpo_trial_info *info = read_of(store, study, number);
    enum hpo_trial_state state = info->state;

    hpo_trial_info_free(info);
    return state;
}

static inline struct hpo_study_info *info_of(struct hpo_store *store, struct hpo_study *study)
{
    struct hpo_study_info *info = NULL;

    ok(store, hpo_study_info(study, &info));
    return info;
}

#endif

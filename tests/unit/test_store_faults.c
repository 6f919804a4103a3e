/*
 * store_faults: the public calls on the real kernel, with single system calls that fail.
 * memory_log.h shows the same outcomes without files; here the whole way down is there.
 */
#include "api_words.h"
#include "wrapped_os.h"

#include <errno.h>

static struct wrapped_os wrapped;

static void setup(void)
{
    api_setup();
    wrapped_os_init(&wrapped);
}

TestSuite(store_faults, .init = setup, .fini = api_teardown, .timeout = 120);

static struct hpo_store *open_wrapped(void)
{
    struct hpo_options options = {.size = sizeof(options), .os = &wrapped.os, .program = "test"};
    struct hpo_store *store = NULL;

    ok(NULL, hpo_open(api_path, &options, &store));
    return store;
}

static void fail_sync(enum wrapped_effect effect, unsigned count)
{
    const struct wrapped_rule rule = {.call = WRAPPED_SYNC_DATA,
                                      .role = OS_ROLE_WAL,
                                      .count = count,
                                      .effect = effect,
                                      .value = EIO};

    wrapped_os_arm(&wrapped, &rule);
}

static void check_sound(void)
{
    struct hpo_fsck_options options = {.size = sizeof(options)};
    struct hpo_fsck_result result;

    ok(NULL, hpo_fsck(api_path, &options, NULL, NULL, &result));
    cr_assert_eq(result.damages, 0);
}

Test(store_faults, a_failed_flush_whose_pages_are_still_there_costs_nothing)
{
    struct hpo_store *store = open_wrapped();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_trial *trial = ask(store, study);
    double value = 1;

    fail_sync(WRAPPED_FAIL, 1);
    ok(store, hpo_tell(trial, HPO_COMPLETE, &value, 1)); /* copied to a new segment */
    cr_assert_eq(stat_of(store).flush_failures, 1);
    cr_assert_geq(stat_of(store).rolls, 1);
    tell(store, ask(store, study), 2);
    close_store(store);
    store = open_with(HPO_OPEN_READ_ONLY | HPO_OPEN_DURABLE_ONLY);
    ok(store, hpo_study_open(store, "s", &study));
    cr_assert_eq(state_of(store, study, 0), HPO_COMPLETE);
    cr_assert_eq(state_of(store, study, 1), HPO_COMPLETE);
    close_store(store);
    check_sound();
}

Test(store_faults, a_failed_flush_that_took_its_pages_is_not_written_and_can_be_told_again)
{
    struct hpo_store *store = open_wrapped(), *other = open_store();
    struct hpo_study *study = study_declared(store, "s"), *same;
    struct hpo_trial *trial = ask(store, study);
    double value = 1;

    ok(other, hpo_study_open(other, "s", &same));
    ok(store, hpo_sync(store)); /* the begin is durable; the finish will be alone in its sector */
    fail_sync(WRAPPED_REVERT, 1);
    gives(HPO_NOT_WRITTEN, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    cr_assert_eq(state_of(store, study, 0), HPO_RUNNING);
    cr_assert_eq(state_of(other, same, 0), HPO_RUNNING, "and others see the same");
    ok(store, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    cr_assert_eq(state_of(other, same, 0), HPO_COMPLETE);
    cr_assert_eq(memcmp(stat_of(other).digest, stat_of(store).digest, 16), 0);
    close_store(other);
    close_store(store);
    check_sound();
}

Test(store_faults, when_no_segment_can_be_made_either_nobody_can_tell_and_reopening_tells)
{
    struct wrapped_rule rename = {.call = WRAPPED_RENAME, .effect = WRAPPED_FAIL, .value = EIO};
    struct hpo_store *store = open_wrapped();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_trial *trial = ask(store, study), *other;
    double value = 1;

    fail_sync(WRAPPED_FAIL, 0);
    wrapped_os_arm(&wrapped, &rename);
    gives(HPO_UNKNOWN, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    cr_assert_lt(hpo_ask(study, NULL, &other), 0);
    (void)state_of(store, study, 0); /* reading goes on */
    wrapped_os_disarm(&wrapped);
    (void)hpo_close(store);
    store = open_store();
    ok(store, hpo_study_open(store, "s", &study));
    trial = ask(store, study);
    cr_assert_leq(hpo_trial_number(trial), 1);
    tell(store, trial, 2);
    close_store(store);
    check_sound();
}

Test(store_faults, a_snapshot_that_cannot_be_written_hurts_nobody)
{
    struct wrapped_rule full = {
        .call = WRAPPED_SYNC_ALL, .role = OS_ROLE_SNAP, .effect = WRAPPED_FAIL, .value = ENOSPC};
    struct hpo_store *store = open_wrapped();
    struct hpo_study *study = study_declared(store, "s");
    char value[4096];
    int i;

    memset(value, 'x', sizeof(value));
    wrapped_os_arm(&wrapped, &full);
    for (i = 0; i < 300; i++) { /* over the threshold */
        struct hpo_trial *trial = ask(store, study);

        ok(store, hpo_trial_attr_set(trial, HPO_ATTR_USER, "k", value, sizeof(value)));
        tell(store, trial, i);
    }
    gives(HPO_NOSPACE, hpo_snapshot(store));
    cr_assert_eq(stat_of(store).snapshots, 0);
    tell(store, ask(store, study), 1);
    wrapped_os_disarm(&wrapped);
    ok(store, hpo_snapshot(store));
    close_store(store);
    store = open_with(HPO_OPEN_READ_ONLY);
    cr_assert_eq(stat_of(store).trials, 301);
    close_store(store);
    check_sound();
}

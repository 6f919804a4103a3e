/*
 * The fold: what studies and trials become, and every rule that it holds the log to.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fold_fixture.h"
#include "hpo.h"
#include "os_linux.h"
#include "state_internal.h"

static struct fold fold;

static void begin_fold(void)
{
    fold_init(&fold, os_linux());
    cr_assert_eq(fold_session(&fold, 0), 0);
}

static void end_fold(void)
{
    assert_checks(fold.state);
    fold_release(&fold);
}

static const struct state_study *the_study(void)
{
    return state_study_by_id(fold.state, 1);
}

static struct state_counts counts(void)
{
    struct state_counts counts;

    state_study_counts(the_study(), &counts);
    return counts;
}

static struct state_begin next(void)
{
    struct state_begin next;

    state_next_begin(fold.state, the_study(), &next);
    return next;
}

/* "key=value,key=value" of the study, as readers see it. */
static const char *attrs(void)
{
    static char line[256];
    struct state_study_attr attr;
    size_t cursor = 0, at = 0;

    line[0] = 0;
    while (state_study_attr_next(the_study(), &cursor, &attr))
        at += (size_t)snprintf(line + at, sizeof(line) - at, "%s%.*s=%.*s", at ? "," : "",
                               (int)attr.key.size, attr.key.data, (int)attr.value.size,
                               attr.value.data);
    return line;
}

/* -- trials -- */

TestSuite(state, .init = begin_fold, .fini = end_fold);

Test(state, a_trial_goes_from_begin_to_finish)
{
    uint64_t study = fold_study(&fold, "s"), trial;
    uint32_t x = fold_define(&fold, study, "x", 1);
    struct state_trial t;

    trial = fold_begin(&fold, study);
    fold_suggest(&fold, trial, x, 0.25);
    fold_report(&fold, trial, 7, 3.5);
    fold_report(&fold, trial, 7, 2.5);
    fold_trial_attr(&fold, trial, "why", "because");
    t = fold_trial(&fold, trial);
    cr_assert(t.state == TRIAL_RUNNING && t.number == 0 && t.session == fold.session &&
              t.begin_lsn == 4);
    cr_assert_eq(t.view, 3);
    fold_finish(&fold, trial, 0.5);
    t = fold_trial(&fold, trial);
    cr_assert(t.state == TRIAL_COMPLETE && t.end_lsn == fold_next(&fold) - 1);
    cr_assert(t.objective_count == 1 && t.objectives[0] == 0.5);
    cr_assert(t.value_count == 1 && t.values[0].value == 0.25 && t.values[0].flags == VALUE_ASKED);
    cr_assert(t.report_count == 1 && t.reports[0].first == 3.5 && t.reports[0].last == 2.5);
    cr_assert(t.attr_count == 1 && state_attr_value(&t, 0).size == 7);
    cr_assert_eq(counts().complete, 1);
}

Test(state, a_rolled_back_number_comes_again_with_its_view)
{
    uint64_t study = fold_study(&fold, "s"), first = fold_begin(&fold, study), second, again;
    struct state_trial before = fold_trial(&fold, first), t;

    second = fold_begin(&fold, study);
    fold_rollback(&fold, first);
    cr_assert(next().number == 0 && next().retry && next().view == before.view);
    cr_assert_eq(state_trial_by_id(fold.state, first, &t), HPO_ROLLED_BACK);
    cr_assert(t.state == TRIAL_ROLLED_BACK && t.begin_lsn == before.begin_lsn);
    again = fold_begin(&fold, study);
    t = fold_trial(&fold, again);
    cr_assert(t.number == 0 && t.view == before.view && again != first && again != second);
}

Test(state, a_free_number_above_every_living_one_is_not_listed)
{
    uint64_t study = fold_study(&fold, "s"), trial;
    struct state_trial t;

    fold_finish(&fold, fold_begin(&fold, study), 1);
    trial = fold_begin(&fold, study);
    fold_rollback(&fold, trial);
    cr_assert_eq(counts().listed, 1);
    cr_assert_eq(state_trial_by_number(the_study(), 1, &t), HPO_NOT_FOUND);
    cr_assert(next().number == 1 && next().retry);
}

Test(state, a_free_number_below_a_living_one_shows_as_an_empty_waiting_trial)
{
    uint64_t study = fold_study(&fold, "s"), first = fold_begin(&fold, study), id;
    struct state_trial t;

    fold_begin(&fold, study);
    fold_rollback(&fold, first);
    cr_assert_eq(counts().listed, 2);
    cr_assert_eq(counts().waiting, 1);
    cr_assert_eq(state_trial_by_number(the_study(), 0, &t), 0);
    cr_assert(t.state == TRIAL_WAITING && t.value_count == 0 && t.id == 3);
    id = t.id;
    cr_assert_eq(state_trial_by_id(fold.state, id, &t), 0);
    cr_assert_eq(t.number, 0);
    cr_assert_eq(next().trial, id);
}

Test(state, a_popped_queue_entry_is_queued_again_as_it_was)
{
    uint64_t study = fold_study(&fold, "s"), entry = fold_enqueue(&fold, study, 0);
    uint32_t x = fold_define(&fold, study, "x", 1);
    struct record set = {.type = RECORD_PARAM_SET,
                         .param_set = {entry, {.param = x, .asked = true, .value = 0.5}}};
    struct state_trial t;
    uint64_t view;

    fold_trial_attr(&fold, entry, "k", "waiting");
    cr_assert_eq(fold_one(&fold, &set), 0);
    cr_assert_eq(fold_begin(&fold, study), entry);
    view = fold_trial(&fold, entry).view;
    fold_trial_attr(&fold, entry, "k", "running");
    set.param_set.value.value = 0.75;
    cr_assert_eq(fold_one(&fold, &set), 0);
    fold_rollback(&fold, entry);
    t = fold_trial(&fold, entry);
    cr_assert(t.state == TRIAL_WAITING && t.number == 0 && t.retry && t.view == view &&
              t.begin_lsn == 0);
    cr_assert(t.value_count == 1 && t.values[0].value == 0.5);
    cr_assert(t.attr_count == 1 && memcmp(state_attr_value(&t, 0).data, "waiting", 7) == 0);
    cr_assert(next().popped && next().retry && next().trial == entry);
    cr_assert_eq(state_param_compatible(the_study(), &state_param_at(the_study(), x)->definition),
                 0);
}

Test(state, what_a_trial_enqueued_vanishes_with_it_while_it_waits)
{
    uint64_t study = fold_study(&fold, "s"), writer = fold_begin(&fold, study), a, b;
    struct state_trial t;

    a = fold_enqueue(&fold, study, writer);
    b = fold_enqueue(&fold, study, writer);
    cr_assert_eq(fold_begin(&fold, study), a);
    fold_rollback(&fold, writer);
    cr_assert_eq(state_trial_by_id(fold.state, b, &t), HPO_NOT_FOUND);
    cr_assert(fold_trial(&fold, a).state == TRIAL_RUNNING && fold_trial(&fold, a).orphan);
    cr_assert_eq(counts().listed, 2);
    fold_rollback(&fold, a); /* who enqueued it never was */
    cr_assert_eq(state_trial_by_id(fold.state, a, &t), HPO_ROLLED_BACK);
    cr_assert_eq(counts().listed, 0);
    cr_assert_eq(next().number, 0);
}

Test(state, what_a_finished_trial_enqueued_stays)
{
    uint64_t study = fold_study(&fold, "s"), writer = fold_begin(&fold, study),
             a = fold_enqueue(&fold, study, writer);

    cr_assert_eq(fold_trial(&fold, a).on_behalf, writer);
    fold_finish(&fold, writer, 1);
    cr_assert_eq(fold_trial(&fold, a).on_behalf, 0);
    cr_assert_eq(fold_begin(&fold, study), a);
}

Test(state, the_lowest_number_that_waits_comes_first)
{
    uint64_t study = fold_study(&fold, "s"), first = fold_begin(&fold, study);

    fold_enqueue(&fold, study, 0);
    fold_rollback(&fold, first);
    cr_assert(next().number == 0 && !next().popped);
    fold_begin(&fold, study);
    cr_assert(next().number == 1 && next().popped);
}

Test(state, a_finished_trial_keeps_its_block)
{
    uint64_t study = fold_study(&fold, "s"), first = fold_begin(&fold, study);
    const double *objectives;
    struct state_trial t;

    fold_finish(&fold, first, 42);
    objectives = fold_trial(&fold, first).objectives;
    for (unsigned i = 0; i < 1000; i++)
        fold_finish(&fold, fold_begin(&fold, study), i);
    state_ended_at(the_study(), 0, &t);
    cr_assert(t.objectives == objectives && *objectives == 42);
}

Test(state, an_imported_trial_is_taken_over_with_what_follows_it_in_its_batch)
{
    uint64_t study = fold_study(&fold, "s");
    uint32_t x = fold_define(&fold, study, "x", 1);
    struct record_value value = {.param = x, .asked = true, .value = 0.125};
    double loss = 2;
    struct record import = {.type = RECORD_TRIAL_IMPORT,
                            .trial_import = {.study = study,
                                             .trial = 1,
                                             .number = 0,
                                             .state = TRIAL_COMPLETE,
                                             .objectives = &loss,
                                             .objective_count = 1,
                                             .values = &value,
                                             .value_count = 1,
                                             .begin = {.us = 1, .kind = 1},
                                             .end = {.us = 2, .kind = 1}}};
    struct record attr = {
        .type = RECORD_TRIAL_ATTR,
        .trial_attr = {1, {.piece = 1, .pieces = 2, .key = text("long"), .value = text("one")}}};
    struct state_trial t;
    uint64_t best;

    fold_put(&fold, &import);
    fold_put(&fold, &attr);
    attr.trial_attr.attr.piece = 2;
    attr.trial_attr.attr.value = text("two");
    fold_put(&fold, &attr);
    cr_assert_eq(fold_apply(&fold), 0);
    t = fold_trial(&fold, 1);
    cr_assert(t.state == TRIAL_COMPLETE && t.imported && t.begin.kind == 1 && t.end.us == 2);
    cr_assert(state_attr_value(&t, 0).size == 6 &&
              memcmp(state_attr_value(&t, 0).data, "onetwo", 6) == 0);
    cr_assert(state_best(the_study(), &best) == 0 && best == 0);
}

Test(state, attributes_of_a_trial_keep_their_order)
{
    uint64_t study = fold_study(&fold, "s"), trial = fold_begin(&fold, study);
    struct record removed = {
        .type = RECORD_TRIAL_ATTR,
        .trial_attr = {trial, {.piece = 1, .pieces = 1, .removed = true, .key = text("b")}}};
    struct state_trial t;
    struct bytes value;

    fold_trial_attr(&fold, trial, "b", "1");
    fold_trial_attr(&fold, trial, "a", "2");
    fold_trial_attr(&fold, trial, "b", "3");
    t = fold_trial(&fold, trial);
    cr_assert(t.attr_count == 2 && *state_attr_key(&t, 0).data == 'b' &&
              *state_attr_value(&t, 0).data == '3');
    cr_assert_eq(fold_one(&fold, &removed), 0);
    t = fold_trial(&fold, trial);
    cr_assert_eq(state_trial_attr(&t, ATTR_USER, text("b"), &value), HPO_NOT_FOUND);
    cr_assert_eq(state_trial_attr(&t, ATTR_USER, text("a"), &value), 0);
    cr_assert_eq(state_trial_attr(&t, ATTR_SYSTEM, text("a"), &value), HPO_NOT_FOUND);
}

Test(state, overwriting_a_large_attribute_does_not_pile_up)
{
    uint64_t study = fold_study(&fold, "s"), trial = fold_begin(&fold, study);
    char *value = malloc(100001);

    fold.keep = false;
    memset(value, 'v', 100000);
    value[100000] = 0;
    fold_trial_attr(&fold, trial, "small", "stays");
    for (unsigned i = 0; i < 100; i++) {
        value[0] = (char)('a' + i % 26);
        fold_trial_attr(&fold, trial, "large", value);
    }
    cr_assert_leq(fold_trial(&fold, trial).heap_size, 400000);
    cr_assert_eq(fold_trial(&fold, trial).attr_count, 2);
    free(value);
}

Test(state, reports_find_their_step_in_any_order)
{
    uint64_t study = fold_study(&fold, "s"), trial = fold_begin(&fold, study);
    struct state_trial t;

    for (unsigned round = 0; round < 2; round++)
        for (int64_t step = 50; step > -50; step -= 3)
            fold_report(&fold, trial, step, (double)step + round);
    t = fold_trial(&fold, trial);
    cr_assert_eq(t.report_count, 34);
    for (uint32_t i = 0; i < t.report_count; i++)
        cr_assert(t.reports[i].step == 50 - 3 * (int64_t)i &&
                  t.reports[i].last == t.reports[i].first + 1);
}

/* -- study attributes -- */

Test(state, undoing_a_trial_keeps_what_others_wrote_later)
{
    uint64_t study = fold_study(&fold, "s"), a, b;

    fold_study_attr(&fold, study, 0, "k", "base");
    a = fold_begin(&fold, study);
    b = fold_begin(&fold, study);
    fold_study_attr(&fold, study, a, "k", "a");
    fold_study_attr(&fold, study, b, "k", "b");
    fold_rollback(&fold, a);
    cr_assert_str_eq(attrs(), "k=b");
    fold_rollback(&fold, b);
    cr_assert_str_eq(attrs(), "k=base");
}

Test(state, undoing_the_last_writer_shows_the_one_before)
{
    uint64_t study = fold_study(&fold, "s"), a = fold_begin(&fold, study),
             b = fold_begin(&fold, study);

    fold_study_attr(&fold, study, a, "k", "a");
    fold_study_attr(&fold, study, b, "k", "b");
    fold_finish(&fold, a, 1);
    fold_rollback(&fold, b);
    cr_assert_str_eq(attrs(), "k=a");
}

Test(state, the_order_of_keys_is_that_of_the_first_setting_that_counts)
{
    uint64_t study = fold_study(&fold, "s"), a = fold_begin(&fold, study),
             b = fold_begin(&fold, study);

    fold_study_attr(&fold, study, a, "x", "1");
    fold_study_attr(&fold, study, b, "y", "2");
    fold_study_attr(&fold, study, b, "x", "3");
    cr_assert_str_eq(attrs(), "x=3,y=2");
    fold_rollback(&fold, a);
    cr_assert_str_eq(attrs(), "y=2,x=3");
    fold_study_attr(&fold, study, 0, "y", "4");
    cr_assert_str_eq(attrs(), "y=4,x=3");
}

Test(state, a_foreign_generator_stands_where_the_last_draw_that_counts_left_it)
{
    uint64_t study = fold_study(&fold, "s"), a = fold_begin(&fold, study), position;
    struct record_draw_part part = {.count = 100};
    struct record draw = {.type = RECORD_DRAW,
                          .draw = {.trial = a,
                                   .study = study,
                                   .foreign = true,
                                   .domain = 5,
                                   .third = 1000,
                                   .parts = &part,
                                   .part_count = 1}};

    cr_assert_eq(state_foreign_position(the_study(), 5, &position), HPO_NOT_FOUND);
    cr_assert_eq(fold_one(&fold, &draw), 0);
    fold_finish(&fold, a, 1);
    draw.draw.trial = fold_begin(&fold, study);
    draw.draw.third = 1100;
    cr_assert_eq(fold_one(&fold, &draw), 0);
    cr_assert(state_foreign_position(the_study(), 5, &position) == 0 && position == 1200);
    fold_rollback(&fold, draw.draw.trial);
    cr_assert(state_foreign_position(the_study(), 5, &position) == 0 && position == 1100);
    cr_assert_eq(state_foreign_position(the_study(), 6, &position), HPO_NOT_FOUND);
}

/* -- parameters -- */

static struct record_param int_param(const char *name)
{
    return (struct record_param){.name = text(name),
                                 .distribution = {.kind = DISTRIBUTION_INT, .high_int = 3}};
}

Test(state, a_rolled_back_trial_does_not_pin_a_distribution)
{
    uint64_t study = fold_study(&fold, "s"), trial = fold_begin(&fold, study);
    uint32_t x = fold_define(&fold, study, "x", 1);
    struct record_param other = int_param("x");

    cr_assert_eq(state_param_compatible(the_study(), &other), 0);
    fold_suggest(&fold, trial, x, 0.5);
    cr_assert_eq(state_param_compatible(the_study(), &other), HPO_INCOMPATIBLE);
    fold_rollback(&fold, trial);
    cr_assert_eq(state_param_compatible(the_study(), &other), 0);
}

Test(state, ranges_may_differ_from_trial_to_trial)
{
    uint64_t study = fold_study(&fold, "s");
    uint32_t x1 = fold_define(&fold, study, "x", 1), x2 = fold_define(&fold, study, "x", 2);

    fold_suggest(&fold, fold_begin(&fold, study), x1, 0.5);
    fold_suggest(&fold, fold_begin(&fold, study), x2, 1.5);
    cr_assert_eq(state_param_at(the_study(), x2)->family, x1);
}

Test(state, a_declared_space_defines_its_parameters)
{
    static const uint8_t maximize = 1;
    struct record_param space[2] = {int_param("a"), int_param("b")};
    struct record create = {.type = RECORD_STUDY_CREATE,
                            .study_create = {.study = 1,
                                             .name = text("s"),
                                             .directions = &maximize,
                                             .direction_count = 1,
                                             .declared = true,
                                             .params = space,
                                             .param_count = 2}};
    struct record config = {
        .type = RECORD_STUDY_CONFIG,
        .study_config = {.study = 1, .has_space = true, .params = space, .param_count = 2}};
    const uint32_t *declared;
    uint32_t count;

    cr_assert_eq(fold_one(&fold, &create), 0);
    declared = state_declared(the_study(), &count);
    cr_assert(count == 2 && declared[0] == 0 && declared[1] == 1 &&
              state_param_count(the_study()) == 2);
    cr_assert_eq(state_param_at(the_study(), 1)->place, 2);
    space[0] = int_param("c");
    cr_assert_eq(fold_one(&fold, &config), 0);
    declared = state_declared(the_study(), &count);
    cr_assert(count == 2 && declared[0] == 2 && declared[1] == 1 &&
              state_param_count(the_study()) == 3);
    cr_assert_eq(state_param_at(the_study(), 0)->place, 0);
    cr_assert_eq(state_study_config_lsn(the_study()), fold_next(&fold) - 1);
    cr_assert_eq(*state_study_config(the_study())->directions, 1);
}

/* -- views -- */

Test(state, an_earlier_view_shows_what_ran_then_with_what_it_had)
{
    struct state_trial_list list = {.os = os_linux()};
    uint64_t study = fold_study(&fold, "s"), done, gone, runs, view;
    uint32_t x = fold_define(&fold, study, "x", 1), y = fold_define(&fold, study, "y", 1);

    done = fold_begin(&fold, study);
    gone = fold_begin(&fold, study);
    runs = fold_begin(&fold, study);
    fold_suggest(&fold, done, x, 0.1);
    fold_suggest(&fold, gone, x, 0.2);
    view = fold_next(&fold) - 1;
    fold_suggest(&fold, done, y, 0.3);
    fold_suggest(&fold, runs, x, 0.4);
    fold_finish(&fold, done, 1);
    fold_rollback(&fold, gone);
    fold_begin(&fold, study);
    cr_assert_eq(state_view_ended(the_study(), view), 0);
    cr_assert_eq(state_view_running(the_study(), view, UINT64_MAX, &list), 0);
    cr_assert_eq(list.count, 3);
    cr_assert(list.trials[0].id == done && list.trials[0].state == TRIAL_RUNNING &&
              list.trials[0].value_count == 1);
    cr_assert(list.trials[1].id == gone && list.trials[1].value_count == 1 &&
              list.trials[1].values[0].value == 0.2);
    cr_assert(list.trials[2].id == runs && list.trials[2].value_count == 0);
    cr_assert_eq(state_view_running(the_study(), view, 1, &list), 0);
    cr_assert_eq(list.count, 2);
    cr_assert_eq(state_view_ended(the_study(), fold_next(&fold)), 1);
    state_trial_list_release(&list);
}

/* -- stopping, sessions -- */

Test(state, a_study_is_stopped_until_a_trial_begins_that_is_not_rolled_back)
{
    uint64_t study = fold_study(&fold, "s"), a = fold_begin(&fold, study),
             b = fold_begin(&fold, study), c;
    struct record stop = {.type = RECORD_TRIAL_FINISH,
                          .trial_finish = {.trial = a, .state = TRIAL_FAIL, .stop = true}};

    cr_assert_eq(fold_one(&fold, &stop), 0);
    cr_assert(state_study_stopped(the_study()));
    fold_finish(&fold, b, 1); /* it ran already: no sign that the search goes on */
    cr_assert(state_study_stopped(the_study()));
    c = fold_begin(&fold, study);
    cr_assert_not(state_study_stopped(the_study()));
    fold_rollback(&fold, c);
    cr_assert(state_study_stopped(the_study()));
}

Test(state, a_session_on_a_slot_ends_the_one_before_and_leaves_its_trials_to_be_rolled_back)
{
    uint64_t study = fold_study(&fold, "s"), trial = fold_begin(&fold, study), old = fold.session,
             end;
    uint32_t sequence;
    struct state_trial t;

    cr_assert_eq(fold_session(&fold, 0), 0);
    cr_assert_null(state_session_find(fold.state, old));
    cr_assert_eq(state_session_ended(fold.state, old, &end, &sequence), 0);
    cr_assert(end == fold.session && sequence == 3);
    t = fold_trial(&fold, trial);
    cr_assert(t.state == TRIAL_RUNNING && t.session == old);
    fold_rollback(&fold, trial);
    cr_assert_eq(state_session_by_slot(fold.state, 0)->session, fold.session);
    cr_assert_eq(memcmp(state_session_find(fold.state, fold.session)->program.data, "test", 4), 0);
}

Test(state, a_session_that_closes_and_keeps_leaves_detached_trials)
{
    uint64_t study = fold_study(&fold, "s"), trial = fold_begin(&fold, study), old = fold.session;
    struct record close = {.type = RECORD_SESSION_CLOSE,
                           .session_close = {.session = old, .keep = 1}};

    cr_assert_eq(fold_one(&fold, &close), 0);
    cr_assert_eq(fold_trial(&fold, trial).session, 0);
    cr_assert_eq(state_session_count(fold.state), 0);
}

Test(state, a_deleted_study_leaves_nothing_but_used_ids)
{
    uint64_t study = fold_study(&fold, "s"), trial = fold_begin(&fold, study);
    struct record deletion = {.type = RECORD_STUDY_DELETE, .study_delete = {study}};
    struct state_trial t;

    fold_finish(&fold, fold_begin(&fold, study), 1);
    fold_rollback(&fold, fold_begin(&fold, study));
    cr_assert_eq(fold_one(&fold, &deletion), 0);
    cr_assert_null(state_study_find(fold.state, text("s")));
    cr_assert_eq(state_trial_by_id(fold.state, trial, &t), HPO_NOT_FOUND);
    cr_assert_eq(fold_study(&fold, "s"), study + 1);
    cr_assert_eq(fold_begin(&fold, study + 1), 5);
}

/* -- best -- */

Test(state, of_equal_trials_the_lowest_number_is_best)
{
    uint64_t study = fold_study(&fold, "s"), a = fold_begin(&fold, study),
             b = fold_begin(&fold, study), best;

    cr_assert_eq(state_best(the_study(), &best), HPO_NOT_FOUND);
    fold_finish(&fold, b, 1);
    fold_finish(&fold, a, 1);
    cr_assert(state_best(the_study(), &best) == 0 && best == 0);
    fold_finish(&fold, fold_begin(&fold, study), 0.5);
    cr_assert(state_best(the_study(), &best) == 0 && best == 2);
}

/* -- the digest -- */

Test(state, the_digest_of_a_fixed_log_is_this_one)
{
    uint8_t digest[16];
    char line[33];

    fold_release(&fold);
    fold_init(&fold, os_linux());
    fold_varied(&fold, 20);
    cr_assert_eq(state_digest(fold.state, digest), 0);
    for (unsigned i = 0; i < 16; i++)
        snprintf(line + 2 * i, 3, "%02x", digest[i]);
    /* Another value here means that stored snapshots are not read any more: raise STATE_ENCODING
     * too. */
    cr_assert_str_eq(line, "234aeb5916285c7de455bc81d5d35214");
}

Test(state, heartbeats_and_unknown_records_that_may_be_skipped_change_nothing_but_the_lsn)
{
    struct record beat = {.type = RECORD_HEARTBEAT, .heartbeat = {.trial = 77}};
    struct state *plain;

    fold_study(&fold, "s");
    plain = fold_again(&fold, 2);
    cr_assert_eq(fold_one(&fold, &beat), 0);
    plain->at = fold.state->at;
    plain->sessions[0]->public.sequence++;
    assert_same_digest(plain, fold.state);
    state_free(plain);
}

/* -- no memory -- */

static long allocations_left;

static void *limited_alloc(void *self, size_t size)
{
    (void)self;
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

static void *limited_realloc(void *self, void *old, size_t size)
{
    (void)self;
    return allocations_left-- > 0 ? realloc(old, size) : NULL;
}

/* Every allocation of a whole history fails once; what is left can be freed (the sanitizers look).
 */
Test(state, without_memory_the_state_stops_and_can_be_freed)
{
    struct hpo_os os = *os_linux();
    struct state *state;
    long allowed = 0;
    int err;

    fold_release(&fold);
    fold_init(&fold, os_linux());
    fold_varied(&fold, 6);
    os.alloc = limited_alloc;
    os.realloc = limited_realloc;
    do {
        allocations_left = allowed++;
        err = state_new(&os, fold_uuid, &state);
        if (err < 0)
            continue;
        for (size_t i = 0; i < fold.count && err == 0; i++)
            err = state_apply_batch(state, &fold.batches[i].batch);
        if (err < 0) {
            cr_assert_eq(err, HPO_NOMEM);
            cr_assert_eq(state_apply_batch(state, &fold.batches[0].batch), HPO_NOMEM);
        }
        allocations_left = 1000000;
        if (err == 0)
            assert_same_digest(fold.state, state);
        state_free(state);
    } while (err < 0);
    cr_assert_gt(allowed, 100);
}

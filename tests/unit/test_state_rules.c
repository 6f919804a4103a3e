/*
 * Every rule of the log, broken once: the batch is refused, the message names record and rule, and
 * the state stays refused.
 */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "fold_fixture.h"
#include "hpo.h"
#include "os_linux.h"

/*
 * The log that all rules are broken after. Session 1 on slot 0; study 1 "s" with window 2;
 * parameters 0 x float, 1 x int, 2 c of two choices; trial 1 (number 0) runs and uses x; trial 2
 * (number 1) runs; trial 3 (number 2) waits; trial 4 (number 3) is finished; number 4 was rolled
 * back (trial 5, the next attempt is trial 6); study 2 "t" is empty.
 */
static struct fold fold;

static void setup(void)
{
    static const uint8_t minimize = 0;
    static const struct record_choice choices[2] = {{.type = CHOICE_NULL}, {.type = CHOICE_BOOL}};
    struct record study = {.type = RECORD_STUDY_CREATE,
                           .study_create = {.study = 1,
                                            .name = text("s"),
                                            .directions = &minimize,
                                            .direction_count = 1,
                                            .window = 2}};
    struct record param = {.type = RECORD_PARAM_DEFINE, .param_define = {.study = 1, .param = 1}};

    fold_init(&fold, os_linux());
    fold.keep = false;
    cr_assert_eq(fold_session(&fold, 0), 0);
    cr_assert_eq(fold_one(&fold, &study), 0);
    fold_define(&fold, 1, "x", 1);
    param.param_define.definition = (struct record_param){
        .name = text("x"), .distribution = {.kind = DISTRIBUTION_INT, .high_int = 3}};
    cr_assert_eq(fold_one(&fold, &param), 0);
    param.param_define.param = 2;
    param.param_define.definition = (struct record_param){
        .name = text("c"),
        .distribution = {.kind = DISTRIBUTION_CATEGORICAL, .choices = choices, .choice_count = 2}};
    cr_assert_eq(fold_one(&fold, &param), 0);
    cr_assert_eq(fold_begin(&fold, 1), 1);
    fold_suggest(&fold, 1, 0, 0.5);
    cr_assert_eq(fold_begin(&fold, 1), 2);
    cr_assert_eq(fold_enqueue(&fold, 1, 0), 3);
    {
        struct record import = {
            .type = RECORD_TRIAL_IMPORT,
            .trial_import = {.study = 1, .trial = 4, .number = 3, .state = TRIAL_FAIL}};
        struct record begin = {.type = RECORD_TRIAL_BEGIN,
                               .trial_begin = {.study = 1, .trial = 5, .number = 4}};

        cr_assert_eq(fold_one(&fold, &import), 0);
        begin.trial_begin.view = fold_next(&fold) - 1;
        cr_assert_eq(fold_one(&fold, &begin), 0);
    }
    fold_rollback(&fold, 5);
    cr_assert_eq(fold_study(&fold, "t"), 2);
}

/* The batch with these records is refused for the last one, with this in the message. */
static void refused_batch(const struct record *records, unsigned count, const char *rule)
{
    struct log_position before;
    struct record harmless = {.type = RECORD_HEARTBEAT};
    char address[64];
    int err;

    setup();
    before = state_position(fold.state);
    snprintf(address, sizeof(address), "record %llu.%u ", (unsigned long long)before.lsn + 1,
             count - 1);
    for (unsigned i = 0; i < count; i++)
        fold_put(&fold, &records[i]);
    err = fold_apply(&fold);
    cr_assert_eq(err, HPO_CORRUPT, "%s is accepted: %d", rule, err);
    cr_assert_not_null(strstr(state_failure(fold.state)->message, rule), "not '%s' but: %s", rule,
                       state_failure(fold.state)->message);
    cr_assert_not_null(strstr(state_failure(fold.state)->message, address), "not '%s' in: %s",
                       address, state_failure(fold.state)->message);
    cr_assert_eq(state_failure(fold.state)->lsn, before.lsn + 1);
    cr_assert_eq(state_position(fold.state).lsn, before.lsn);
    cr_assert_eq(fold_one(&fold, &harmless), HPO_CORRUPT);
    fold_release(&fold);
}

static void refused(struct record record, const char *rule)
{
    refused_batch(&record, 1, rule);
}

#define BEGIN(of, ...) \
    ((struct record){.type = RECORD_TRIAL_BEGIN, .trial_begin = {.study = (of), __VA_ARGS__}})
#define ENQUEUE(of, ...) \
    ((struct record){.type = RECORD_TRIAL_ENQUEUE, .trial_enqueue = {.study = (of), __VA_ARGS__}})
#define IMPORT(of, ...) \
    ((struct record){.type = RECORD_TRIAL_IMPORT, .trial_import = {.study = (of), __VA_ARGS__}})
#define SUGGEST(...) ((struct record){.type = RECORD_SUGGEST, .suggest = {__VA_ARGS__}})
#define SET(id, number, of)                    \
    ((struct record){.type = RECORD_PARAM_SET, \
                     .param_set = {id, {.param = number, .asked = true, .value = of}}})
#define VALUES(...)                   \
    .values = (struct record_value[]) \
    {                                 \
        __VA_ARGS__                   \
    }

static uint64_t lsn(void)
{
    uint64_t at;

    setup();
    at = fold_next(&fold);
    fold_release(&fold);
    return at;
}

Test(state_rules, of_sessions)
{
    struct record open = {.type = RECORD_SESSION_OPEN, .session_open = {.slot = 1}};
    struct record close = {.type = RECORD_SESSION_CLOSE, .session_close = {.session = 99}};
    struct record own = {.type = RECORD_SESSION_CLOSE, .session_close = {.session = 1}};
    struct record beat = {.type = RECORD_HEARTBEAT};

    refused(open, "opened by the first record");
    refused_batch((struct record[]){beat, open}, 2, "opened by the first record");
    refused(close, "not open");
    refused(own, "not rolled back");
}

Test(state_rules, of_sequences)
{
    struct record beat = {.type = RECORD_HEARTBEAT};
    struct log_batch batch = {.record_count = 1};
    struct {
        uint64_t session;
        uint32_t sequence;
        int64_t lsn_off;
        const char *rule;
    } cases[] = {{1, 0, 0, "a gap or a repeat"},
                 {1, 1, 0, "a gap or a repeat"},
                 {1, 99, 0, "a gap or a repeat"},
                 {2, 1, 0, "not open"},
                 {0, 1, 0, "not open"},
                 {1, 0, 1, "not the batch that follows"},
                 {1, 0, -1, "not the batch that follows"}};

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        setup();
        fold_put(&fold, &beat);
        batch.at =
            (struct log_position){.lsn = fold_next(&fold) + (uint64_t)cases[i].lsn_off, .chain = 1};
        batch.session = cases[i].session;
        batch.sequence =
            cases[i].sequence ? cases[i].sequence : state_session_at(fold.state, 0)->sequence;
        batch.records = fold.buffer.data;
        batch.records_size = fold.buffer.size;
        cr_assert_eq(state_apply_batch(fold.state, &batch), HPO_CORRUPT);
        cr_assert_not_null(strstr(state_failure(fold.state)->message, cases[i].rule), "%s",
                           state_failure(fold.state)->message);
        fold_release(&fold);
    }
}

Test(state_rules, of_a_sessions_first_batch)
{
    struct record beat = {.type = RECORD_HEARTBEAT},
                  open = {.type = RECORD_SESSION_OPEN, .session_open = {.slot = 7}};

    for (unsigned i = 0; i < 3; i++) {
        struct log_batch batch = {.sequence = i == 1 ? 2 : 1, .record_count = i == 2 ? 0 : 1};

        setup();
        fold_put(&fold, i == 0 ? &beat : &open);
        batch.at.lsn = batch.session = fold_next(&fold);
        batch.records = fold.buffer.data;
        batch.records_size = i == 2 ? 0 : fold.buffer.size;
        cr_assert_eq(state_apply_batch(fold.state, &batch), HPO_CORRUPT);
        cr_assert_not_null(strstr(state_failure(fold.state)->message, "first batch"), "%s",
                           state_failure(fold.state)->message);
        fold_release(&fold);
    }
}

Test(state_rules, of_bytes)
{
    struct record beat = {.type = RECORD_HEARTBEAT};

    for (unsigned i = 0; i < 3; i++) {
        struct log_batch batch = {.session = 1, .record_count = 1};

        setup();
        fold_put(&fold, &beat);
        batch.at.lsn = fold_next(&fold);
        batch.sequence = state_session_at(fold.state, 0)->sequence + 1;
        batch.records = fold.buffer.data;
        batch.records_size = fold.buffer.size;
        if (i == 0)
            fold_put(&fold, &beat), batch.records = fold.buffer.data,
                                    batch.records_size = fold.buffer.size;
        else if (i == 1)
            batch.record_count = 2;
        else
            fold.buffer.data[4] = 250, fold.buffer.data[7] = 0;
        cr_assert_eq(state_apply_batch(fold.state, &batch), i == 2 ? HPO_UNSUPPORTED : HPO_CORRUPT);
        fold_release(&fold);
    }
}

Test(state_rules, of_studies)
{
    struct record_param twice[2] = {{.name = {(const uint8_t *)"x", 1},
                                     .distribution = {.kind = DISTRIBUTION_INT, .high_int = 3}},
                                    {.name = {(const uint8_t *)"x", 1},
                                     .distribution = {.kind = DISTRIBUTION_INT, .high_int = 4}}};
    struct record create = {.type = RECORD_STUDY_CREATE,
                            .study_create = {.study = 3, .name = text("u")}};
    struct record deletion = {.type = RECORD_STUDY_DELETE, .study_delete = {9}};
    struct record config = {.type = RECORD_STUDY_CONFIG, .study_config = {.study = 9}};
    struct record attr = {.type = RECORD_STUDY_ATTR,
                          .study_attr = {9, 0, {.piece = 1, .pieces = 1}}};
    struct record part = {.type = RECORD_SAMPLER_STATE, .sampler_state = {.study = 9}};
    struct record draw = {.type = RECORD_DRAW, .draw = {.study = 9}};

    create.study_create.study = 4;
    refused(create, "next study's id");
    create.study_create.study = 2;
    refused(create, "next study's id");
    create.study_create.study = 3;
    create.study_create.name = text("t");
    refused(create, "name is taken");
    create.study_create.name = text("u");
    create.study_create.declared = true;
    create.study_create.params = twice;
    create.study_create.param_count = 2;
    refused(create, "a name twice");
    refused(deletion, "no such study");
    refused(config, "no such study");
    config.study_config = (struct record_study_config){
        .study = 1, .has_space = true, .params = twice, .param_count = 2};
    refused(config, "a name twice");
    refused(attr, "no such study");
    refused(part, "no such study");
    refused(draw, "no such study");
}

Test(state_rules, of_what_is_done_on_behalf_of_a_trial)
{
    struct record attr = {.type = RECORD_STUDY_ATTR,
                          .study_attr = {1, 3, {.piece = 1, .pieces = 1}}};
    struct record part = {.type = RECORD_SAMPLER_STATE, .sampler_state = {.study = 2, .trial = 1}};
    struct record draw = {.type = RECORD_DRAW, .draw = {.study = 1, .trial = 4}};

    refused(attr, "does not run in this study");
    refused(part, "does not run in this study");
    refused(draw, "does not run in this study");
    refused(ENQUEUE(1, .trial = 7, .number = 5, .on_behalf = 6), "does not run in this study");
}

Test(state_rules, of_parameters)
{
    struct record define = {
        .type = RECORD_PARAM_DEFINE,
        .param_define = {.study = 1,
                         .param = 4,
                         .definition = {.name = text("n"),
                                        .distribution = {.kind = DISTRIBUTION_FLOAT, .high = 1}}}};

    refused(define, "next parameter's number");
    define.param_define.param = 3;
    define.param_define.definition.name = text("x");
    refused(define, "defined already");
    define.param_define.study = 9;
    refused(define, "no such study");
}

Test(state_rules, of_beginning)
{
    uint64_t view = lsn() - 1;

    refused(BEGIN(9, .trial = 7, .number = 5, .view = view), "no such study");
    refused(BEGIN(1, .trial = 8, .number = 5, .view = view), "next trial's id");
    refused(BEGIN(1, .trial = 6, .number = 5, .view = view), "next trial's id");
    refused(BEGIN(1, .trial = 7, .number = 6, .view = view), "not free");
    refused(BEGIN(1, .trial = 7, .number = 0, .view = view), "not free");
    refused(BEGIN(1, .trial = 7, .number = 3, .view = view), "not free");
    refused(BEGIN(1, .trial = 7, .number = 5, .view = view - 1), "not the batch before");
    refused(BEGIN(1, .trial = 7, .number = 5, .view = view + 1), "not the batch before");
    refused(BEGIN(1, .trial = 7, .number = 4, .view = view), "not the id");
    refused(BEGIN(1, .trial = 6, .number = 4, .view = view), "view of the attempt");
    refused(BEGIN(1, .trial = 6, .number = 4, .view = view - 3, .mode = VIEW_LIVE),
            "view of the attempt");
    refused(BEGIN(1, .trial = 2, .number = 1, .view = view, .popped = true), "no such queue entry");
    refused(BEGIN(1, .trial = 3, .number = 1, .view = view, .popped = true), "no such queue entry");
    refused(BEGIN(1, .trial = 99, .number = 2, .view = view, .popped = true),
            "no such queue entry");
    refused(BEGIN(1, .trial = 3, .number = 2, .view = 1, .popped = true), "not the batch before");
    refused(BEGIN(1, .trial = 7, .number = 5, .view = view, .mode = VIEW_WINDOW), "window allows");
    refused(BEGIN(2, .trial = 7, .number = 0, .view = view, .mode = VIEW_WINDOW), "without one");
}

Test(state_rules, of_the_queue)
{
    struct record_value unknown = {.param = 3, .asked = true};
    struct record_value twice[2] = {{.param = 0, .asked = true}, {.param = 1, .asked = true}};

    refused(ENQUEUE(9, .trial = 7, .number = 5), "no such study");
    refused(ENQUEUE(1, .trial = 8, .number = 5), "next trial's id");
    refused(ENQUEUE(1, .trial = 7, .number = 2), "not free");
    refused(ENQUEUE(1, .trial = 6, .number = 4), "waits for the trial");
    refused(ENQUEUE(1, .trial = 7, .number = 5, .values = &unknown, .value_count = 1),
            "no such parameter");
    refused(ENQUEUE(1, .trial = 7, .number = 5, .values = twice, .value_count = 2), "second value");
}

Test(state_rules, of_importing)
{
    struct record_value drawn = {.param = 0};
    double one = 1;

    refused(IMPORT(9, .trial = 7, .number = 5), "no such study");
    refused(IMPORT(1, .trial = 7, .number = 1), "not free");
    refused(IMPORT(1, .trial = 6, .number = 4), "waits for the trial");
    refused(IMPORT(1, .trial = 7, .number = 5, .objectives = &one, .objective_count = 1),
            "with objectives");
    refused(IMPORT(1, .trial = 7, .number = 5, .values = &drawn, .value_count = 1), "no parameter");
}

Test(state_rules, of_suggestions_and_values)
{
    refused(SUGGEST(.trial = 3, VALUES({.param = 0, .asked = true}), .value_count = 1),
            "no such running trial");
    refused(SUGGEST(.trial = 4, VALUES({.param = 0, .asked = true}), .value_count = 1),
            "no such running trial");
    refused(SUGGEST(.trial = 2, VALUES({.param = 9, .asked = true}), .value_count = 1),
            "no such parameter");
    refused(SUGGEST(.trial = 2, VALUES({.param = 2, .asked = true, .value = 2}), .value_count = 1),
            "cannot have");
    refused(SUGGEST(.trial = 2, VALUES({.param = 2, .asked = true, .value = -1}), .value_count = 1),
            "cannot have");
    refused(
        SUGGEST(.trial = 2, VALUES({.param = 2, .asked = true, .value = 0.5}), .value_count = 1),
        "cannot have");
    refused(
        SUGGEST(.trial = 2, VALUES({.param = 1, .asked = true, .value = 0.5}), .value_count = 1),
        "cannot have");
    refused(SUGGEST(.trial = 2, VALUES({.param = 0, .asked = true, .value = 1e308 * 10}),
                    .value_count = 1),
            "cannot have");
    refused(SUGGEST(.trial = 2, VALUES({.param = 1, .asked = true}), .value_count = 1),
            "another kind, log or choices");
    refused(SUGGEST(.trial = 1, VALUES({.param = 0, .asked = true}), .value_count = 1),
            "second value");
    refused(SUGGEST(.trial = 2, VALUES({.param = 0}), .value_count = 1), "not asked for");
    refused(
        SUGGEST(.trial = 2, .joint = true, VALUES({.param = 0}, {.param = 1}), .value_count = 2),
        "second value");
    refused(SUGGEST(.trial = 2, .note = text("n")), "a note without");
    refused_batch(
        (struct record[]){SUGGEST(.trial = 2, .joint = true), SUGGEST(.trial = 2, .joint = true)},
        2, "second joint suggestion");
    refused(SET(4, 0, 0.5), "no such unfinished trial");
    refused(SET(2, 9, 0), "no such parameter");
    refused(SET(2, 1, 0), "another kind, log or choices");
    refused(SET(1, 1, 0), "another kind, log or choices");
}

Test(state_rules, of_what_trials_are_given)
{
    struct record report = {.type = RECORD_REPORT, .report = {4, {1, 1}}};
    struct record prune = {.type = RECORD_PRUNE_DECISION, .prune_decision = {.trial = 3}};
    struct record attr = {.type = RECORD_TRIAL_ATTR, .trial_attr = {4, {.piece = 1, .pieces = 1}}};

    refused(report, "no such unfinished trial");
    refused(prune, "no such running trial");
    prune.prune_decision.trial = 2;
    prune.prune_decision.view = lsn();
    refused(prune, "a view that is not before it");
    refused(attr, "no such unfinished trial");
}

Test(state_rules, of_long_attributes)
{
    struct record first = {
        .type = RECORD_TRIAL_ATTR,
        .trial_attr = {1, {.piece = 1, .pieces = 3, .key = text("k"), .value = text("v")}}};
    struct record second = first, other = first, beat = {.type = RECORD_HEARTBEAT};

    second.trial_attr.attr.piece = 2;
    other.trial_attr.attr.piece = 3;
    refused_batch((struct record[]){first, beat}, 2, "lacks a piece");
    refused_batch((struct record[]){first, first}, 2, "lacks a piece");
    refused_batch((struct record[]){first, other}, 2, "lacks a piece");
    refused(second, "does not follow");
    other = second;
    other.trial_attr.attr.key = text("l");
    refused_batch((struct record[]){first, other}, 2, "does not follow");
    other = second;
    other.trial_attr.attr.pieces = 4;
    refused_batch((struct record[]){first, other}, 2, "does not follow");
    other = second;
    other.trial_attr.attr.space = ATTR_SYSTEM;
    refused_batch((struct record[]){first, other}, 2, "does not follow");
    other = second;
    other.trial_attr.trial = 2;
    refused_batch((struct record[]){first, other}, 2, "does not follow");
    other =
        (struct record){.type = RECORD_STUDY_ATTR, .study_attr = {1, 0, second.trial_attr.attr}};
    refused_batch((struct record[]){first, other}, 2, "does not follow");
    setup(); /* the batch ends before the attribute does */
    fold_put(&fold, &first);
    cr_assert_eq(fold_apply(&fold), HPO_CORRUPT);
    fold_release(&fold);
}

Test(state_rules, of_ending)
{
    struct record finish = {.type = RECORD_TRIAL_FINISH,
                            .trial_finish = {.trial = 4, .state = TRIAL_FAIL}};
    struct record rollback = {.type = RECORD_TRIAL_ROLLBACK,
                              .trial_rollback = {3, 0, ROLLBACK_DEAD}};

    refused(finish, "no such unfinished trial");
    finish.trial_finish.trial = 5;
    refused(finish, "no such unfinished trial");
    finish.trial_finish.trial = 1;
    refused_batch((struct record[]){finish, finish}, 2, "no such unfinished trial");
    refused(rollback, "no such running trial");
    rollback.trial_rollback.trial = 4;
    refused(rollback, "no such running trial");
    rollback.trial_rollback.trial = 1;
    refused(rollback, "not the session");
    rollback.trial_rollback.session = 1;
    refused_batch((struct record[]){rollback, rollback}, 2, "no such running trial");
}

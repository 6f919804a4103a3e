/*
 * The fold against the reference model.
 *
 * Goal: no history of records makes the fold answer otherwise than lists that are searched from
 * the front; and the state that a snapshot brings back, with the rest of the log behind it, is the
 * state that the whole log leads to. Method: random histories, several workers, sessions that die,
 * trials that are rolled back, queue entries on behalf of others; after every batch the cheap
 * questions, now and then all of them. A failure prints the seed of its history.
 */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "fold_fixture.h"
#include "hpo.h"
#include "os_linux.h"
#include "tests/reference.h"

#define SLOTS 4
#define NAMES 3
#define CLASSES 3
#define VARIANTS 2
#define STUDIES_MAX 4
#define HISTORY_STEPS 400

struct run {
    struct fold fold;
    struct reference ref;
    struct maker maker;
    uint64_t seed;
    uint64_t sessions[SLOTS];                     /* open on the slot, 0: none */
    int32_t params[64][NAMES][CLASSES][VARIANTS]; /* number + 1, by study id */
    uint32_t param_counts[64];
    uint64_t operations;
    bool closed; /* the batch's own session: nothing may follow */
};

#define RUN_ASSERT(run, condition)                                                                 \
    cr_assert((condition), "%s; seed %llu, LSN %llu", #condition, (unsigned long long)(run)->seed, \
              (unsigned long long)state_position((run)->fold.state).lsn)

static uint64_t below(struct run *run, uint64_t bound)
{
    return maker_below(&run->maker, bound);
}

/* -- making batches -- */

/* Into the batch, and into the model at once. */
static void say(struct run *run, const struct record *record)
{
    uint32_t index = run->fold.buffer.count;
    uint64_t lsn = fold_next(&run->fold);

    fold_put(&run->fold, record);
    reference_apply(&run->ref, lsn, index, run->fold.session, record);
    run->operations++;
}

static struct reference_study *any_study(struct run *run)
{
    size_t at = run->ref.study_count ? below(run, run->ref.study_count) : 0;

    for (size_t i = 0; i < run->ref.study_count; i++, at = (at + 1) % run->ref.study_count)
        if (!run->ref.studies[at].deleted)
            return &run->ref.studies[at];
    return NULL;
}

/* An unfinished trial: running, or also waiting. */
static struct reference_trial *any_trial(struct run *run, bool waiting_too)
{
    size_t at = run->ref.trial_count ? below(run, run->ref.trial_count) : 0;

    for (size_t i = 0; i < run->ref.trial_count; i++, at = (at + 1) % run->ref.trial_count) {
        struct reference_trial *t = &run->ref.trials[at];

        if (reference_living(t) &&
            (t->state == TRIAL_RUNNING || (waiting_too && t->state == TRIAL_WAITING)))
            return t;
    }
    return NULL;
}

static uint64_t maybe_behalf(struct run *run, uint64_t study)
{
    struct reference_trial *t = any_trial(run, false);

    return t && t->study == study && below(run, 3) ? t->id : 0;
}

static struct record_distribution distribution_of(uint8_t class, uint8_t variant)
{
    static const struct record_choice choices[] = {{.type = CHOICE_NULL},
                                                   {.type = CHOICE_INT, .integer = 1}};

    if (class == 0)
        return (struct record_distribution){.kind = DISTRIBUTION_FLOAT, .high = 1 + variant};
    if (class == 1)
        return (struct record_distribution){.kind = DISTRIBUTION_INT, .high_int = 5 + variant};
    return (struct record_distribution){
        .kind = DISTRIBUTION_CATEGORICAL, .choices = choices, .choice_count = 1u + variant};
}

/* The reference's class: differing choices are another class too. */
static uint8_t class_of(uint8_t class, uint8_t variant)
{
    return class == 2 ? (uint8_t)(2 + variant) : class;
}

static const uint8_t name_bytes[NAMES] = {'x', 'y', 'z'};

static struct record_param param_of(uint8_t name, uint8_t class, uint8_t variant)
{
    return (struct record_param){.name = {.data = &name_bytes[name], .size = 1},
                                 .distribution = distribution_of(class, variant)};
}

static void note_param(struct run *run, uint64_t study, uint8_t name, uint8_t class,
                       uint8_t variant)
{
    run->params[study][name][class][variant] = (int32_t)++run->param_counts[study];
    reference_define(&run->ref, study, name, class_of(class, variant));
}

/* A parameter of the name that the study may use, defined if need be. false: none came up. */
static bool pick_param(struct run *run, uint64_t study, uint8_t name, bool asked,
                       struct record_value *out)
{
    uint8_t class = (uint8_t)below(run, CLASSES), variant = (uint8_t)below(run, VARIANTS);

    if (below(run, 4))
        class = 0;
    if (asked && !reference_compatible(&run->ref, study, name, class_of(class, variant)))
        return false;
    if (!run->params[study][name][class][variant]) {
        struct record record = {.type = RECORD_PARAM_DEFINE,
                                .param_define = {.study = study,
                                                 .param = run->param_counts[study],
                                                 .definition = param_of(name, class, variant)}};

        say(run, &record);
        note_param(run, study, name, class, variant);
    }
    *out = (struct record_value){.param = (uint32_t)run->params[study][name][class][variant] - 1,
                                 .asked = asked,
                                 .value = class == 0 ? (double)below(run, 1000) / 999 : 0};
    return true;
}

static bool has_value(struct run *run, const struct reference_trial *t, uint8_t name,
                      uint32_t flags)
{
    for (uint32_t i = 0; i < t->now.value_count; i++)
        if ((t->now.values[i].flags & flags) &&
            reference_param(&run->ref, t->study, t->now.values[i].param)->name == name)
            return true;
    return false;
}

/* -- operations -- */

static void op_study(struct run *run)
{
    uint8_t directions[3] = {(uint8_t)below(run, 2), (uint8_t)below(run, 2), 1},
            name = (uint8_t)run->ref.study_count;
    struct record_param space[2] = {param_of(0, 0, 0), param_of(1, 1, 1)};
    struct record record = {.type = RECORD_STUDY_CREATE};
    struct record_study_create *create = &record.study_create;
    unsigned living = 0;

    for (size_t i = 0; i < run->ref.study_count; i++)
        living += !run->ref.studies[i].deleted;
    if (living == STUDIES_MAX || run->ref.study_count == 60)
        return;
    create->study = run->ref.next_study;
    create->name = (struct bytes){.data = &name, .size = 1};
    create->directions = directions;
    create->direction_count = (uint8_t)(below(run, 2) ? 1 : below(run, 4));
    create->window = below(run, 3) ? 0 : 1 + (uint32_t)below(run, 3);
    create->declared = below(run, 2);
    create->params = space;
    create->param_count = create->declared ? 2 : 0;
    say(run, &record);
    if (create->declared) {
        note_param(run, create->study, 0, 0, 0);
        note_param(run, create->study, 1, 1, 1);
    }
}

static void op_study_config(struct run *run)
{
    struct reference_study *study = any_study(run);
    struct record_param space[1] = {param_of(2, 0, 1)};
    struct record record = {.type = RECORD_STUDY_CONFIG};
    struct record_study_config *config = &record.study_config;

    if (!study)
        return;
    config->study = study->id;
    config->has_seed = true;
    config->seed[0] = maker_next(&run->maker);
    config->has_space = below(run, 2);
    config->params = space;
    config->param_count = config->has_space ? 1 : 0;
    say(run, &record);
    if (config->has_space && !run->params[study->id][2][0][1])
        note_param(run, study->id, 2, 0, 1);
}

static void op_delete(struct run *run)
{
    struct reference_study *study = any_study(run);
    struct record record = {.type = RECORD_STUDY_DELETE};

    if (!study || below(run, 10))
        return;
    record.study_delete.study = study->id;
    say(run, &record);
}

static uint64_t model_prefix(struct run *run, uint64_t study)
{
    uint64_t number = 0;
    struct reference_trial *t;

    while ((t = reference_number(&run->ref, study, number)) && reference_ended(t))
        number++;
    return number;
}

static void begin_as(struct run *run, const struct reference_study *study,
                     const struct state_begin *next)
{
    struct record record = {
        .type = RECORD_TRIAL_BEGIN,
        .trial_begin = {.study = study->id,
                        .trial = next->trial,
                        .number = next->number,
                        .view = next->retry ? next->view : fold_next(&run->fold) - 1,
                        .mode = next->retry ? next->mode
                                            : (uint8_t)(below(run, 5) ? VIEW_LOG : VIEW_LIVE),
                        .detached = below(run, 5) == 0,
                        .popped = next->popped,
                        .time = {.us = (int64_t)below(run, 1000), .kind = 0}}};

    if (!next->retry && study->window &&
        (next->number < study->window ||
         next->number - study->window < model_prefix(run, study->id)))
        record.trial_begin.mode = VIEW_WINDOW;
    say(run, &record);
}

static void op_begin(struct run *run)
{
    struct reference_study *study = any_study(run);
    struct reference_trial *waits = any_trial(run, true);
    struct state_begin next;

    if (!study)
        return;
    reference_next_begin(&run->ref, study->id, &next);
    if (below(run, 6) == 0 && waits &&
        waits->state == TRIAL_WAITING) { /* any entry, not the first */
        study = reference_study(&run->ref, waits->study);
        next = (struct state_begin){waits->number, waits->id,   true,
                                    waits->retry,  waits->view, waits->mode};
    }
    begin_as(run, study, &next);
}

static void op_enqueue(struct run *run)
{
    struct reference_study *study = any_study(run);
    struct record_value value;
    struct record record = {.type = RECORD_TRIAL_ENQUEUE};
    struct record_trial_enqueue *enqueue = &record.trial_enqueue;

    if (!study)
        return;
    enqueue->study = study->id;
    enqueue->on_behalf = maybe_behalf(run, study->id);
    if (below(run, 2) && pick_param(run, study->id, (uint8_t)below(run, NAMES), false, &value)) {
        value.asked = true;
        enqueue->values = &value;
        enqueue->value_count = 1;
    }
    reference_next_enqueue(&run->ref, study->id, &enqueue->number, &enqueue->trial);
    say(run, &record);
}

static void op_import(struct run *run)
{
    static const uint8_t key = 'k', content = 'v';
    struct reference_study *study = any_study(run);
    struct record_report reports[2] = {{.step = 3, .value = 1}, {.step = 1, .value = 2}};
    struct record_attr attr = {.piece = 1, .pieces = 1, .key = {&key, 1}, .value = {&content, 1}};
    double objectives[3] = {(double)below(run, 5), (double)below(run, 5), 0};
    struct record_value value;
    struct record record = {.type = RECORD_TRIAL_IMPORT};
    struct record_trial_import *import = &record.trial_import;

    if (!study)
        return;
    if (pick_param(run, study->id, (uint8_t)below(run, NAMES), true, &value)) {
        import->values = &value;
        import->value_count = 1;
    }
    import->study = study->id;
    import->state = (uint8_t)below(run, 5);
    import->reports = reports;
    import->report_count = (uint32_t)below(run, 3);
    import->attrs = &attr;
    import->attr_count = (uint32_t)below(run, 2);
    if (import->state >= TRIAL_COMPLETE && import->state <= TRIAL_FAIL) {
        import->objectives = objectives;
        import->objective_count = study->direction_count;
    }
    reference_next_enqueue(&run->ref, study->id, &import->number, &import->trial);
    say(run, &record);
}

static void op_suggest(struct run *run)
{
    struct reference_trial *t = any_trial(run, false);
    struct record_value values[NAMES];
    struct record record = {.type = RECORD_SUGGEST};
    struct record_suggest *suggest = &record.suggest;
    uint32_t flags = 0;

    if (!t || t->now.value_count + NAMES > REFERENCE_VALUES)
        return;
    suggest->trial = t->id;
    suggest->joint = !t->now.note_lsn && below(run, 2);
    for (uint8_t name = 0; name < NAMES; name++) {
        bool asked = !suggest->joint || below(run, 2);

        flags = asked ? VALUE_ASKED : 0;
        if (has_value(run, t, name, flags | (suggest->joint ? VALUE_JOINT : 0u)) ||
            below(run, 3) == 0)
            continue;
        if (pick_param(run, t->study, name, asked, &values[suggest->value_count]))
            suggest->value_count++;
    }
    suggest->values = values;
    if (suggest->joint)
        suggest->note = text("note");
    if (suggest->joint || suggest->value_count)
        say(run, &record);
}

static void op_param_set(struct run *run)
{
    struct reference_trial *t = any_trial(run, true);
    uint8_t name = (uint8_t)below(run, NAMES);
    struct record record = {.type = RECORD_PARAM_SET};

    if (!t || t->now.value_count == REFERENCE_VALUES)
        return;
    record.param_set.trial = t->id;
    if (!pick_param(run, t->study, name, true, &record.param_set.value))
        return;
    for (uint32_t i = 0; i < t->now.value_count; i++) { /* again: only in the class that it has */
        struct reference_param *has = reference_param(&run->ref, t->study, t->now.values[i].param);
        struct reference_param *gets =
            reference_param(&run->ref, t->study, record.param_set.value.param);

        if ((t->now.values[i].flags & VALUE_ASKED) && has->name == name &&
            has->class != gets->class)
            return;
    }
    say(run, &record);
}

static void op_report(struct run *run)
{
    struct reference_trial *t = any_trial(run, true);
    struct record record = {.type = RECORD_REPORT};

    if (!t || t->now.report_count == REFERENCE_REPORTS)
        return;
    record.report =
        (struct record_report_of){t->id, {(int64_t)below(run, 12) - 3, (double)below(run, 100)}};
    say(run, &record);
}

static void op_prune(struct run *run)
{
    struct reference_trial *t = any_trial(run, false);
    struct record record = {.type = RECORD_PRUNE_DECISION};

    if (!t)
        return;
    record.prune_decision =
        (struct record_prune_decision){t->id, 1, below(run, fold_next(&run->fold)), below(run, 2),
                                       text(below(run, 2) ? "rung" : "")};
    say(run, &record);
}

static struct record_attr any_attr(struct run *run)
{
    static const uint8_t keys[] = {'a', 'b', 'c'}, contents[] = {'1', '2', '3', '4'};
    struct record_attr attr = {.space = (uint8_t)below(run, 3), .piece = 1, .pieces = 1};

    attr.key = (struct bytes){&keys[below(run, 3)], 1};
    attr.removed = below(run, 8) == 0;
    if (!attr.removed)
        attr.value = (struct bytes){&contents[below(run, 4)], 1};
    return attr;
}

static void op_trial_attr(struct run *run)
{
    struct reference_trial *t = any_trial(run, true);
    struct record record = {.type = RECORD_TRIAL_ATTR};

    if (!t || t->now.attr_count == REFERENCE_ATTRS)
        return;
    record.trial_attr = (struct record_trial_attr){t->id, any_attr(run)};
    say(run, &record);
}

static void op_study_attr(struct run *run)
{
    struct reference_study *study = any_study(run);
    struct record record = {.type = RECORD_STUDY_ATTR};

    if (!study)
        return;
    record.study_attr =
        (struct record_study_attr){study->id, maybe_behalf(run, study->id), any_attr(run)};
    say(run, &record);
}

static void op_sampler_state(struct run *run)
{
    static const uint8_t names[] = {'p', 'q'}, contents[] = {'1', '2', '3'};
    struct reference_study *study = any_study(run);
    struct record_option parts[2] = {{{&names[0], 1}, {&contents[below(run, 3)], 1}},
                                     {{&names[1], 1}, {&contents[below(run, 3)], 1}}};
    struct record record = {.type = RECORD_SAMPLER_STATE};
    uint32_t first = (uint32_t)below(run, 2);

    if (!study)
        return;
    record.sampler_state = (struct record_sampler_state){
        study->id, maybe_behalf(run, study->id), parts + first, 1 + (first == 0 && below(run, 2))};
    say(run, &record);
}

static void op_finish(struct run *run)
{
    struct reference_trial *t = any_trial(run, below(run, 10) == 0);
    double objectives[3] = {(double)below(run, 5), (double)below(run, 5), (double)below(run, 5)};
    struct record record = {.type = RECORD_TRIAL_FINISH};

    if (!t)
        return;
    record.trial_finish = (struct record_trial_finish){.trial = t->id,
                                                       .state = (uint8_t)(1 + below(run, 3)),
                                                       .stop = below(run, 20) == 0,
                                                       .objectives = objectives,
                                                       .time = {.us = 77, .kind = 0}};
    if (record.trial_finish.state == TRIAL_COMPLETE || below(run, 2))
        record.trial_finish.objective_count = reference_study(&run->ref, t->study)->direction_count;
    say(run, &record);
}

static void roll_back(struct run *run, const struct reference_trial *t)
{
    struct record record = {.type = RECORD_TRIAL_ROLLBACK,
                            .trial_rollback = {t->id, t->session, ROLLBACK_DEAD}};

    say(run, &record);
}

static void op_rollback(struct run *run)
{
    struct reference_trial *t = any_trial(run, false);

    if (t)
        roll_back(run, t);
}

/* Everything of one session is rolled back and the session closed; or its trials are kept. */
static void op_close(struct run *run)
{
    unsigned slot = (unsigned)below(run, SLOTS);
    uint64_t session = run->sessions[slot];
    struct record record = {.type = RECORD_SESSION_CLOSE,
                            .session_close = {session, (uint8_t)below(run, 2)}};

    if (!session || below(run, 4))
        return;
    if (!record.session_close.keep)
        for (size_t i = 0; i < run->ref.trial_count; i++)
            if (reference_living(&run->ref.trials[i]) &&
                run->ref.trials[i].state == TRIAL_RUNNING && run->ref.trials[i].session == session)
                roll_back(run, &run->ref.trials[i]);
    say(run, &record);
    run->sessions[slot] = 0;
    run->closed = session == run->fold.session;
}

typedef void (*operation)(struct run *run);

static const operation operations[] = {
    op_study,   op_study_config, op_delete,     op_begin,      op_begin,         op_begin,
    op_begin,   op_begin,        op_enqueue,    op_enqueue,    op_import,        op_suggest,
    op_suggest, op_suggest,      op_param_set,  op_param_set,  op_report,        op_report,
    op_prune,   op_trial_attr,   op_trial_attr, op_study_attr, op_study_attr,    op_finish,
    op_finish,  op_finish,       op_rollback,   op_rollback,   op_sampler_state, op_close};

/* -- comparing -- */

static void compare_attrs(struct run *run, const struct state_trial *got,
                          const struct reference_trial *t)
{
    RUN_ASSERT(run, got->attr_count == t->now.attr_count);
    for (uint32_t i = 0; i < got->attr_count; i++) {
        const struct reference_attr *attr = &t->now.attrs[i];

        RUN_ASSERT(run,
                   got->attrs[i].space == attr->space && got->attrs[i].removed == attr->removed);
        RUN_ASSERT(run, got->attrs[i].lsn == attr->lsn);
        RUN_ASSERT(run, state_attr_key(got, i).data[0] == attr->key);
        RUN_ASSERT(run, attr->removed || state_attr_value(got, i).data[0] == attr->value);
    }
}

/* Values and reports up to a view. */
static void compare_content(struct run *run, const struct state_trial *got,
                            const struct reference_trial *t, uint64_t view)
{
    uint32_t values = 0, reports = 0;

    while (values < t->now.value_count && t->now.values[values].lsn <= view)
        values++;
    while (reports < t->now.report_count && t->now.reports[reports].lsn <= view)
        reports++;
    RUN_ASSERT(run, got->value_count == values && got->report_count == reports);
    for (uint32_t i = 0; i < values; i++)
        RUN_ASSERT(run, memcmp(&got->values[i], &t->now.values[i], sizeof(got->values[i])) == 0);
    for (uint32_t i = 0; i < reports; i++)
        RUN_ASSERT(run, memcmp(&got->reports[i], &t->now.reports[i], sizeof(got->reports[i])) == 0);
    RUN_ASSERT(run, got->note_lsn == (t->now.note_lsn <= view ? t->now.note_lsn : 0));
    RUN_ASSERT(run, (state_trial_note(got).size == 4) == (got->note_lsn != 0));
}

static void compare_trial(struct run *run, const struct state_trial *got,
                          const struct reference_trial *t)
{
    RUN_ASSERT(run, got->study == t->study && got->number == t->number && got->id == t->id);
    RUN_ASSERT(run, got->state == t->state && got->created_lsn == t->created_lsn);
    RUN_ASSERT(run, got->begin_lsn == t->begin_lsn && got->end_lsn == t->end_lsn);
    RUN_ASSERT(run, got->view == t->view && got->mode == t->mode && got->session == t->session);
    RUN_ASSERT(run, got->on_behalf == t->on_behalf && got->popped == t->popped &&
                        got->orphan == t->orphan);
    RUN_ASSERT(run, got->retry == t->retry && got->stop == t->stop && got->imported == t->imported);
    RUN_ASSERT(run, got->objective_count == t->objective_count);
    RUN_ASSERT(run,
               got->objective_count == 0 || memcmp(got->objectives, t->objectives,
                                                   got->objective_count * sizeof(double)) == 0);
    RUN_ASSERT(run, got->decision_count == t->now.decision_count);
    compare_content(run, got, t, UINT64_MAX);
    compare_attrs(run, got, t);
}

static void compare_numbers(struct run *run, const struct state_study *study,
                            const struct reference_study *model)
{
    struct state_counts counts, expected = {0};
    struct state_trial got;

    for (uint64_t number = 0; number < model->next_number + 2; number++) {
        bool listed = number < model->next_number && reference_listed(&run->ref, model->id, number);
        struct reference_trial *t = reference_number(&run->ref, model->id, number);
        int err = state_trial_by_number(study, number, &got);

        RUN_ASSERT(run, err == (listed ? 0 : HPO_NOT_FOUND));
        if (!listed)
            continue;
        expected.listed = number + 1;
        expected.running += t && t->state == TRIAL_RUNNING;
        expected.complete += t && t->state == TRIAL_COMPLETE;
        expected.pruned += t && t->state == TRIAL_PRUNED;
        expected.failed += t && t->state == TRIAL_FAIL;
        expected.waiting += !t || t->state == TRIAL_WAITING;
        if (t)
            compare_trial(run, &got, t);
        else
            RUN_ASSERT(run, got.state == TRIAL_WAITING && got.value_count == 0 && got.id != 0);
        RUN_ASSERT(run,
                   state_trial_by_id(run->fold.state, got.id, &got) == 0 && got.number == number);
    }
    for (size_t i = 0; i < run->ref.trial_count; i++)
        expected.rolled_back += run->ref.trials[i].id && run->ref.trials[i].study == model->id &&
                                run->ref.trials[i].state == TRIAL_ROLLED_BACK;
    state_study_counts(study, &counts);
    RUN_ASSERT(run, memcmp(&counts, &expected, sizeof(counts)) == 0);
    RUN_ASSERT(run, state_finished_prefix(study) == model_prefix(run, model->id));
}

/* The next key in order of first setting, among what counts; *at moves on. NULL: no more. */
static struct reference_event *next_key(struct run *run, uint64_t study, bool parts, size_t *at)
{
    for (; *at < run->ref.event_count; (*at)++) {
        struct reference_event *e = &run->ref.events[*at], *last = e;
        bool first = true;

        if (e->undone || e->study != study || (e->space == 3) != parts)
            continue;
        for (size_t i = 0; i < run->ref.event_count; i++) {
            struct reference_event *other = &run->ref.events[i];

            if (other->undone || other->study != study || other->space != e->space ||
                other->key != e->key)
                continue;
            first = first && i >= *at;
            last = other;
        }
        if (!first || last->removed)
            continue;
        (*at)++;
        return last;
    }
    return NULL;
}

static void compare_study_attrs(struct run *run, const struct state_study *study, uint64_t id,
                                bool parts)
{
    size_t at = 0, cursor = 0;
    struct state_study_attr got, found;
    struct reference_event *expected;

    for (;;) {
        bool more = parts ? state_sampler_part_next(study, &cursor, &got)
                          : state_study_attr_next(study, &cursor, &got);

        expected = next_key(run, id, parts, &at);
        RUN_ASSERT(run, more == (expected != NULL));
        if (!more)
            return;
        RUN_ASSERT(run, got.space == expected->space && got.key.data[0] == expected->key);
        RUN_ASSERT(run, got.value.size == 1 && got.value.data[0] == expected->value);
        RUN_ASSERT(run, got.lsn == expected->lsn && got.on_behalf == expected->writer);
        RUN_ASSERT(run, (parts ? state_sampler_part_find(study, got.key, &found)
                               : state_study_attr_find(study, got.space, got.key, &found)) == 0);
        RUN_ASSERT(run, found.value.data == got.value.data);
    }
}

static void compare_view(struct run *run, const struct state_study *study, uint64_t id,
                         uint64_t view)
{
    struct state_trial_list list = {.os = run->fold.os};
    struct state_trial got;
    size_t ended = 0, running = 0;
    uint64_t least = 0;

    for (size_t i = 0; i < run->ref.trial_count; i++)
        ended += reference_ended(&run->ref.trials[i]) && run->ref.trials[i].id &&
                 run->ref.trials[i].study == id && run->ref.trials[i].end_lsn <= view;
    RUN_ASSERT(run, state_view_ended(study, view) == ended);
    for (size_t i = 0; i < state_ended_count(study); i++) {
        state_ended_at(study, i, &got);
        RUN_ASSERT(run, got.end_lsn >= least && (got.end_lsn <= view) == (i < ended));
        least = got.end_lsn;
    }
    RUN_ASSERT(run, state_view_running(study, view, UINT64_MAX, &list) == 0);
    for (size_t i = 0; i < run->ref.trial_count; i++) {
        const struct reference_trial *t = &run->ref.trials[i];
        size_t at = 0;

        if (!t->id || t->study != id || t->begin_lsn == 0 || t->begin_lsn > view ||
            (t->end_lsn && t->end_lsn <= view))
            continue;
        running++;
        while (at < list.count &&
               (list.trials[at].number != t->number || list.trials[at].begin_lsn != t->begin_lsn))
            at++;
        RUN_ASSERT(run, at < list.count && list.trials[at].state == TRIAL_RUNNING &&
                            list.trials[at].id == t->id);
        RUN_ASSERT(run, at == 0 || list.trials[at - 1].number < list.trials[at].number);
        compare_content(run, &list.trials[at], t, view);
    }
    RUN_ASSERT(run, list.count == running);
    state_trial_list_release(&list);
}

static bool beats(const struct reference_study *model, const struct reference_trial *a,
                  const struct reference_trial *b)
{
    bool somewhere = false;

    for (unsigned i = 0; i < model->direction_count; i++) {
        double x = model->directions[i] ? -a->objectives[i] : a->objectives[i];
        double y = model->directions[i] ? -b->objectives[i] : b->objectives[i];

        if (x > y)
            return false;
        somewhere = somewhere || x < y;
    }
    return somewhere;
}

static bool competes(const struct reference_study *model, const struct reference_trial *t)
{
    return reference_living(t) && t->study == model->id && t->state == TRIAL_COMPLETE &&
           t->objective_count == model->direction_count;
}

static void compare_best(struct run *run, const struct state_study *study,
                         const struct reference_study *model)
{
    const uint64_t *front;
    size_t count, expected = 0;
    uint64_t number, best = UINT64_MAX;
    int err;

    if (model->direction_count == 0) {
        RUN_ASSERT(run, state_pareto(study, &front, &count) == HPO_INVALID &&
                            state_best(study, &number) == HPO_INVALID);
        return;
    }
    RUN_ASSERT(run, state_pareto(study, &front, &count) == 0);
    for (size_t i = 0; i < run->ref.trial_count; i++) {
        const struct reference_trial *t = &run->ref.trials[i];
        bool beaten = false;

        if (!competes(model, t))
            continue;
        for (size_t k = 0; k < run->ref.trial_count && !beaten; k++)
            beaten = competes(model, &run->ref.trials[k]) && beats(model, &run->ref.trials[k], t);
        if (beaten)
            continue;
        best = t->number < best ? t->number : best;
        expected++;
        for (size_t k = 0; k < count && !beaten; k++)
            beaten = front[k] == t->number;
        RUN_ASSERT(run, beaten);
    }
    RUN_ASSERT(run, count == expected);
    for (size_t k = 1; k < count; k++)
        RUN_ASSERT(run, front[k - 1] < front[k]);
    err = state_best(study, &number);
    if (model->direction_count == 1)
        RUN_ASSERT(run, err == (expected ? 0 : HPO_NOT_FOUND) && (err || number == best));
    else
        RUN_ASSERT(run, err == HPO_INVALID);
}

static void compare_stopped(struct run *run, const struct state_study *study, uint64_t id)
{
    uint64_t stop = 0;
    bool stopped;

    for (size_t i = 0; i < run->ref.trial_count; i++)
        if (reference_living(&run->ref.trials[i]) && run->ref.trials[i].study == id &&
            run->ref.trials[i].stop && run->ref.trials[i].end_lsn > stop)
            stop = run->ref.trials[i].end_lsn;
    stopped = stop != 0;
    for (size_t i = 0; i < run->ref.trial_count; i++) {
        const struct reference_trial *t = &run->ref.trials[i];

        if (reference_living(t) && t->study == id && t->begin_lsn > stop &&
            t->begin_lsn != t->end_lsn)
            stopped = false;
        if (reference_living(t) && t->study == id && t->begin_lsn > stop && !t->imported)
            stopped = false;
    }
    RUN_ASSERT(run, state_study_stopped(study) == stopped);
}

static void compare_params(struct run *run, const struct state_study *study, uint64_t id)
{
    RUN_ASSERT(run, state_param_count(study) == run->param_counts[id]);
    for (uint8_t name = 0; name < NAMES; name++) {
        for (uint8_t class = 0; class < CLASSES; class ++) {
            for (uint8_t variant = 0; variant < VARIANTS; variant++) {
                struct record_param param = param_of(name, class, variant);
                int32_t known = run->params[id][name][class][variant];
                uint32_t number;
                int err = state_param_find(study, &param, &number);

                RUN_ASSERT(run, err == (known ? 0 : HPO_NOT_FOUND) &&
                                    (err || (int32_t)number == known - 1));
                err = state_param_compatible(study, &param);
                RUN_ASSERT(run, (err == 0) == reference_compatible(&run->ref, id, name,
                                                                   class_of(class, variant)));
            }
        }
    }
}

static void compare_cheap(struct run *run)
{
    struct state *state = run->fold.state;
    uint64_t living = 0;

    RUN_ASSERT(run, state_next_trial(state) == run->ref.next_trial &&
                        state_next_study(state) == run->ref.next_study);
    for (size_t i = 0; i < run->ref.study_count; i++) {
        const struct reference_study *model = &run->ref.studies[i];
        const struct state_study *study = state_study_by_id(state, model->id);
        struct state_begin got, expected;
        uint64_t number, id, expected_number, expected_id;

        RUN_ASSERT(run, (study == NULL) == model->deleted);
        if (!study)
            continue;
        living++;
        state_next_begin(state, study, &got);
        reference_next_begin(&run->ref, model->id, &expected);
        RUN_ASSERT(run, got.number == expected.number && got.trial == expected.trial &&
                            got.popped == expected.popped);
        RUN_ASSERT(run, got.retry == expected.retry && got.view == expected.view &&
                            got.mode == expected.mode);
        state_next_enqueue(state, study, &number, &id);
        reference_next_enqueue(&run->ref, model->id, &expected_number, &expected_id);
        RUN_ASSERT(run, number == expected_number && id == expected_id);
    }
    RUN_ASSERT(run, state_study_count(state) == living);
}

static void compare_running(struct run *run)
{
    struct state_trial got;
    uint64_t cursor = 0, count = 0, expected = 0, before = 0;

    while (state_running_next(run->fold.state, &cursor, &got)) {
        RUN_ASSERT(run, got.id > before && got.state == TRIAL_RUNNING);
        before = got.id;
        count++;
    }
    for (size_t i = 0; i < run->ref.trial_count; i++)
        expected +=
            reference_living(&run->ref.trials[i]) && run->ref.trials[i].state == TRIAL_RUNNING;
    RUN_ASSERT(run, count == expected);
}

static void compare_all(struct run *run)
{
    assert_checks(run->fold.state);
    compare_running(run);
    for (size_t i = 0; i < run->ref.study_count; i++) {
        const struct reference_study *model = &run->ref.studies[i];
        const struct state_study *study = state_study_by_id(run->fold.state, model->id);

        if (!study)
            continue;
        compare_numbers(run, study, model);
        compare_study_attrs(run, study, model->id, false);
        compare_study_attrs(run, study, model->id, true);
        compare_params(run, study, model->id);
        compare_best(run, study, model);
        compare_stopped(run, study, model->id);
        for (unsigned k = 0; k < 4; k++)
            compare_view(run, study, model->id, below(run, fold_next(&run->fold)));
    }
}

/* -- running -- */

/* Some open session writes; if none is left, or now and then, another one opens and ends what was
 * on its slot. */
static void choose_session(struct run *run)
{
    unsigned slot = (unsigned)below(run, SLOTS);

    if (!run->sessions[slot] || below(run, 40) == 0) {
        run->fold.session = 0;
        cr_assert_eq(fold_session(&run->fold, slot), 0);
        run->sessions[slot] = run->fold.session;
    }
    run->fold.session = run->sessions[slot];
}

static void step(struct run *run)
{
    unsigned count = 1 + (unsigned)(below(run, 3) == 0 ? below(run, 4) : 0);
    int err;

    choose_session(run);
    run->closed = false;
    for (unsigned i = 0; i < count && !run->closed; i++)
        operations[below(run, sizeof(operations) / sizeof(operations[0]))](run);
    if (run->fold.buffer.count == 0)
        return;
    err = fold_apply(&run->fold);
    cr_assert_eq(err, 0, "seed %llu: %s", (unsigned long long)run->seed,
                 state_failure(run->fold.state)->message);
    compare_cheap(run);
}

static void run_init(struct run *run, uint64_t seed)
{
    memset(run, 0, sizeof(*run));
    run->seed = seed;
    run->ref.next_study = run->ref.next_trial = 1;
    fold_init(&run->fold, os_linux());
    maker_init(&run->maker, seed);
}

static void run_release(struct run *run)
{
    fold_release(&run->fold);
    reference_release(&run->ref);
    maker_release(&run->maker);
    free(run);
}

static struct run *history(uint64_t seed, unsigned steps)
{
    struct run *run = malloc(sizeof(*run));

    run_init(run, seed);
    for (unsigned i = 0; i < steps; i++) {
        step(run);
        if (below(run, 50) == 0)
            compare_all(run);
    }
    compare_all(run);
    return run;
}

Test(differential, random_histories_have_the_same_answers)
{
    uint64_t operations_wanted = maker_scaled(2000000), done = 0, batches = 0, histories = 0;

    for (uint64_t seed = 1; done < operations_wanted; seed++) {
        struct run *run = history(seed, HISTORY_STEPS);
        uint64_t end = state_position(run->fold.state).lsn, middle = below(run, end + 1);
        struct state *again = fold_again(&run->fold, middle),
                     *loaded = fold_reload(&run->fold, again);

        fold_tail(&run->fold, loaded, end);
        assert_same_digest(run->fold.state, loaded);
        assert_checks(loaded);
        state_free(again);
        state_free(loaded);
        done += run->operations;
        batches += end;
        histories++;
        run_release(run);
    }
    cr_log_info("%llu operations in %llu batches of %llu histories: no difference",
                (unsigned long long)done, (unsigned long long)batches,
                (unsigned long long)histories);
}

Test(differential, from_every_lsn_a_saved_state_and_the_tail_lead_to_the_same_digest)
{
    uint64_t histories = maker_scaled(300), points = 0;

    for (uint64_t seed = 1000000; seed < 1000000 + histories; seed++) {
        struct run *run = history(seed, 120);
        uint64_t end = state_position(run->fold.state).lsn;
        struct state *walk = fold_again(&run->fold, 0);

        for (uint64_t lsn = 1; lsn <= end; lsn++) {
            struct state *loaded;

            fold_tail(&run->fold, walk, lsn);
            loaded = fold_reload(&run->fold, walk);
            fold_tail(&run->fold, loaded, end);
            assert_same_digest(run->fold.state, loaded);
            state_free(loaded);
            points++;
        }
        state_free(walk);
        run_release(run);
    }
    cr_log_info("%llu LSNs: one digest each", (unsigned long long)points);
}

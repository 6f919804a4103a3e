/*
 * reference: see reference.h.
 */
#include "reference.h"

#include <stdlib.h>
#include <string.h>

#define GROW(list, count, capacity)                                 \
    do {                                                            \
        if ((count) == (capacity)) {                                \
            (capacity) = (capacity) ? 2 * (capacity) : 16;          \
            (list) = realloc((list), (capacity) * sizeof(*(list))); \
        }                                                           \
    } while (0)

void reference_release(struct reference *r)
{
    free(r->trials);
    free(r->frees);
    free(r->events);
}

/* -- looking up -- */

bool reference_ended(const struct reference_trial *t)
{
    return t->state == TRIAL_COMPLETE || t->state == TRIAL_PRUNED || t->state == TRIAL_FAIL;
}

bool reference_living(const struct reference_trial *t)
{
    return t->id && t->state != TRIAL_ROLLED_BACK;
}

struct reference_study *reference_study(struct reference *r, uint64_t id)
{
    for (size_t i = 0; i < r->study_count; i++)
        if (r->studies[i].id == id && !r->studies[i].deleted)
            return &r->studies[i];
    return NULL;
}

struct reference_trial *reference_number(struct reference *r, uint64_t study, uint64_t number)
{
    for (size_t i = 0; i < r->trial_count; i++)
        if (reference_living(&r->trials[i]) && r->trials[i].study == study &&
            r->trials[i].number == number)
            return &r->trials[i];
    return NULL;
}

struct reference_trial *reference_id(struct reference *r, uint64_t id)
{
    for (size_t i = 0; i < r->trial_count; i++)
        if (reference_living(&r->trials[i]) && r->trials[i].id == id)
            return &r->trials[i];
    return NULL;
}

struct reference_param *reference_param(struct reference *r, uint64_t study, uint32_t number)
{
    for (size_t i = 0; i < r->param_count; i++)
        if (r->params[i].study == study && number-- == 0)
            return &r->params[i];
    return NULL;
}

static uint8_t name_of(struct reference *r, uint64_t study, uint32_t param)
{
    return reference_param(r, study, param)->name;
}

bool reference_compatible(struct reference *r, uint64_t study, uint8_t name, uint8_t class)
{
    for (size_t i = 0; i < r->trial_count; i++) {
        struct reference_trial *t = &r->trials[i];

        for (uint32_t k = 0; reference_living(t) && t->study == study && k < t->now.value_count;
             k++) {
            struct reference_param *used = reference_param(r, study, t->now.values[k].param);

            if ((t->now.values[k].flags & VALUE_ASKED) && used->name == name &&
                used->class != class)
                return false;
        }
    }
    return true;
}

static struct reference_free *free_find(struct reference *r, uint64_t study, uint64_t number)
{
    for (size_t i = 0; i < r->free_count; i++)
        if (r->frees[i].study == study && r->frees[i].number == number)
            return &r->frees[i];
    return NULL;
}

bool reference_listed(struct reference *r, uint64_t study, uint64_t number)
{
    for (uint64_t above = number; above < reference_study(r, study)->next_number; above++)
        if (reference_number(r, study, above))
            return true;
    return false;
}

void reference_next_begin(struct reference *r, uint64_t study, struct state_begin *out)
{
    uint64_t next = reference_study(r, study)->next_number;

    for (uint64_t number = 0; number < next; number++) {
        struct reference_trial *t = reference_number(r, study, number);
        struct reference_free *f = free_find(r, study, number);

        if (t && t->state == TRIAL_WAITING) {
            *out = (struct state_begin){
                number, t->id, true, t->retry, t->retry ? t->view : 0, t->retry ? t->mode : 0};
            return;
        }
        if (f) {
            *out = (struct state_begin){number, f->id, false, f->has_view, f->view, f->mode};
            return;
        }
    }
    *out = (struct state_begin){.number = next, .trial = r->next_trial};
}

void reference_next_enqueue(struct reference *r, uint64_t study, uint64_t *number, uint64_t *trial)
{
    *number = reference_study(r, study)->next_number;
    *trial = r->next_trial;
    for (uint64_t n = 0; n < reference_study(r, study)->next_number; n++) {
        struct reference_free *f = free_find(r, study, n);

        if (!f || f->has_view)
            continue;
        *number = n;
        *trial = f->id;
        return;
    }
}

/* -- numbers -- */

static void free_remove(struct reference *r, struct reference_free *f)
{
    memmove(f, f + 1, (size_t)(r->frees + r->free_count - f - 1) * sizeof(*f));
    r->free_count--;
}

static void free_add(struct reference *r, struct reference_free entry)
{
    GROW(r->frees, r->free_count, r->free_capacity);
    r->frees[r->free_count++] = entry;
}

static struct reference_trial *trial_new(struct reference *r, uint64_t study, uint64_t number,
                                         uint64_t id, uint64_t lsn)
{
    struct reference_study *s = reference_study(r, study);
    struct reference_free *f = free_find(r, study, number);
    struct reference_trial *t;

    if (f) {
        free_remove(r, f);
    } else {
        s->next_number = number + 1;
        r->next_trial = id + 1;
    }
    GROW(r->trials, r->trial_count, r->trial_capacity);
    t = &r->trials[r->trial_count++];
    memset(t, 0, sizeof(*t));
    t->study = study;
    t->number = number;
    t->id = id;
    t->created_lsn = lsn;
    return t;
}

static void trim_and_name(struct reference *r, uint64_t study)
{
    struct reference_study *s = reference_study(r, study);
    struct reference_free *f;

    while (s->next_number && (f = free_find(r, study, s->next_number - 1)) && !f->has_view) {
        free_remove(r, f);
        s->next_number--;
    }
    for (uint64_t n = 0; n < s->next_number; n++)
        if ((f = free_find(r, study, n)) && !f->id)
            f->id = r->next_trial++;
}

/* -- what trials are given -- */

static void add_value(struct reference_trial *t, const struct record_value *value, uint32_t flags,
                      uint64_t lsn)
{
    t->now.values[t->now.value_count++] = (struct state_value){
        .param = value->param, .flags = flags, .value = value->value, .lsn = lsn};
}

static void set_value(struct reference *r, struct reference_trial *t,
                      const struct record_value *value, uint64_t lsn)
{
    for (uint32_t i = 0; i < t->now.value_count; i++) {
        struct state_value *old = &t->now.values[i];

        if ((old->flags & VALUE_ASKED) &&
            name_of(r, t->study, old->param) == name_of(r, t->study, value->param)) {
            old->param = value->param;
            old->value = value->value;
            old->flags = VALUE_ASKED | VALUE_SET;
            return;
        }
    }
    add_value(t, value, VALUE_ASKED | VALUE_SET, lsn);
}

static void add_report(struct reference_trial *t, const struct record_report *report, uint64_t lsn)
{
    for (uint32_t i = 0; i < t->now.report_count; i++) {
        if (t->now.reports[i].step == report->step) {
            t->now.reports[i].last = report->value;
            return;
        }
    }
    t->now.reports[t->now.report_count++] = (struct state_report){
        .step = report->step, .first = report->value, .last = report->value, .lsn = lsn};
}

static void set_attr(struct reference_trial *t, const struct record_attr *attr, uint64_t lsn)
{
    struct reference_attr set = {attr->space, attr->key.data[0],
                                 attr->value.size ? attr->value.data[0] : 0, attr->removed, lsn};

    for (uint32_t i = 0; i < t->now.attr_count; i++) {
        if (t->now.attrs[i].space == set.space && t->now.attrs[i].key == set.key) {
            set.lsn = t->now.attrs[i].lsn;
            t->now.attrs[i] = set;
            return;
        }
    }
    t->now.attrs[t->now.attr_count++] = set;
}

/* -- records -- */

static void begin(struct reference *r, uint64_t lsn, uint64_t session,
                  const struct record_trial_begin *record)
{
    struct reference_trial *t =
        record->popped ? reference_id(r, record->trial)
                       : trial_new(r, record->study, record->number, record->trial, lsn);

    t->waiting = t->now;
    t->state = TRIAL_RUNNING;
    t->begin_lsn = lsn;
    t->view = record->view;
    t->mode = record->mode;
    t->session = record->detached ? 0 : session;
    t->popped = record->popped;
    t->retry = false;
}

static void end_of_writer(struct reference *r, struct reference_trial *writer, bool undo)
{
    for (size_t i = 0; i < r->event_count; i++) {
        if (r->events[i].writer != writer->id)
            continue;
        r->events[i].undone = undo;
        r->events[i].writer = 0;
    }
    for (size_t i = 0; i < r->trial_count; i++) {
        struct reference_trial *t = &r->trials[i];

        if (t->on_behalf != writer->id || !reference_living(t) || reference_ended(t))
            continue;
        t->on_behalf = 0;
        t->orphan = undo && t->state == TRIAL_RUNNING;
        if (undo && t->state == TRIAL_WAITING) {
            free_add(r, (struct reference_free){.study = t->study, .number = t->number});
            t->id = 0; /* never was */
        }
    }
}

static void end(struct reference *r, struct reference_trial *t, uint64_t lsn)
{
    end_of_writer(r, t, false);
    t->end_lsn = lsn;
    t->on_behalf = 0;
    t->orphan = false;
    if (t->retry)
        t->view = t->mode = 0;
    t->retry = false;
}

static void finish(struct reference *r, uint64_t lsn, const struct record_trial_finish *record)
{
    struct reference_trial *t = reference_id(r, record->trial);

    t->state = record->state;
    t->stop = record->stop;
    t->objective_count = record->objective_count;
    if (record->objective_count)
        memcpy(t->objectives, record->objectives, record->objective_count * sizeof(double));
    end(r, t, lsn);
}

static void rollback(struct reference *r, uint64_t lsn, const struct record_trial_rollback *record)
{
    size_t at = (size_t)(reference_id(r, record->trial) - r->trials);
    struct reference_trial again = r->trials[at];
    bool queued = again.popped && !again.orphan;

    end_of_writer(r, &r->trials[at], true);
    r->trials[at].state = TRIAL_ROLLED_BACK;
    r->trials[at].end_lsn = lsn;
    if (queued) {
        again.state = TRIAL_WAITING;
        again.begin_lsn = again.session = 0;
        again.popped = false;
        again.retry = true;
        again.now = again.waiting;
        GROW(r->trials, r->trial_count, r->trial_capacity);
        r->trials[r->trial_count++] = again;
    } else {
        free_add(r, (struct reference_free){.study = again.study,
                                            .number = again.number,
                                            .id = again.orphan ? 0 : r->next_trial++,
                                            .has_view = !again.orphan,
                                            .view = again.orphan ? 0 : again.view,
                                            .mode = again.orphan ? 0 : again.mode});
    }
    trim_and_name(r, again.study);
}

static void import(struct reference *r, uint64_t lsn, uint64_t session,
                   const struct record_trial_import *record)
{
    struct reference_trial *t = trial_new(r, record->study, record->number, record->trial, lsn);

    t->state = record->state;
    t->imported = true;
    if (record->state != TRIAL_WAITING) {
        t->begin_lsn = lsn;
        t->view = lsn - 1;
        t->mode = VIEW_LIVE;
    }
    if (record->state == TRIAL_RUNNING)
        t->session = session;
    for (uint32_t i = 0; i < record->value_count; i++)
        add_value(t, &record->values[i], VALUE_ASKED | VALUE_SET, lsn);
    for (uint32_t i = 0; i < record->report_count; i++)
        add_report(t, &record->reports[i], lsn);
    for (uint32_t i = 0; i < record->attr_count; i++)
        set_attr(t, &record->attrs[i], lsn);
    t->objective_count = record->objective_count;
    if (record->objective_count)
        memcpy(t->objectives, record->objectives, record->objective_count * sizeof(double));
    if (reference_ended(t))
        t->end_lsn = lsn;
}

static void event(struct reference *r, uint64_t study, uint64_t writer, uint64_t lsn,
                  uint32_t index, uint8_t space, struct bytes key, struct bytes value, bool removed)
{
    GROW(r->events, r->event_count, r->event_capacity);
    r->events[r->event_count++] = (struct reference_event){.study = study,
                                                           .lsn = lsn,
                                                           .writer = writer,
                                                           .index = index,
                                                           .space = space,
                                                           .key = key.data[0],
                                                           .value = value.size ? value.data[0] : 0,
                                                           .removed = removed};
}

static void create(struct reference *r, const struct record_study_create *record)
{
    struct reference_study *s = &r->studies[r->study_count++];

    memset(s, 0, sizeof(*s));
    s->id = record->study;
    s->direction_count = record->direction_count;
    if (record->direction_count)
        memcpy(s->directions, record->directions, record->direction_count);
    s->window = record->window;
    r->next_study = record->study + 1;
}

static void delete (struct reference *r, uint64_t study)
{
    reference_study(r, study)->deleted = true;
    for (size_t i = 0; i < r->trial_count; i++)
        if (r->trials[i].study == study)
            r->trials[i].id = 0;
}

void reference_define(struct reference *r, uint64_t study, uint8_t name, uint8_t class)
{
    r->params[r->param_count++] = (struct reference_param){study, name, class};
}

void reference_apply(struct reference *r, uint64_t lsn, uint32_t index, uint64_t session,
                     const struct record *record)
{
    struct reference_trial *t;

    switch (record->type) {
    case RECORD_SESSION_CLOSE:
        for (size_t i = 0; i < r->trial_count; i++)
            if (r->trials[i].state == TRIAL_RUNNING &&
                r->trials[i].session == record->session_close.session)
                r->trials[i].session = 0;
        break;
    case RECORD_STUDY_CREATE:
        create(r, &record->study_create);
        break;
    case RECORD_STUDY_DELETE:
        delete (r, record->study_delete.study);
        break;
    case RECORD_STUDY_ATTR:
        event(r, record->study_attr.study, record->study_attr.on_behalf, lsn, index,
              record->study_attr.attr.space, record->study_attr.attr.key,
              record->study_attr.attr.value, record->study_attr.attr.removed);
        break;
    case RECORD_SAMPLER_STATE:
        for (uint32_t i = 0; i < record->sampler_state.part_count; i++)
            event(r, record->sampler_state.study, record->sampler_state.trial, lsn, index, 3,
                  record->sampler_state.parts[i].key, record->sampler_state.parts[i].value, false);
        break;
    case RECORD_TRIAL_ENQUEUE:
        t = trial_new(r, record->trial_enqueue.study, record->trial_enqueue.number,
                      record->trial_enqueue.trial, lsn);
        t->state = TRIAL_WAITING;
        t->on_behalf = record->trial_enqueue.on_behalf;
        for (uint32_t i = 0; i < record->trial_enqueue.value_count; i++)
            add_value(t, &record->trial_enqueue.values[i], VALUE_FIXED, lsn);
        break;
    case RECORD_TRIAL_BEGIN:
        begin(r, lsn, session, &record->trial_begin);
        break;
    case RECORD_TRIAL_IMPORT:
        import(r, lsn, session, &record->trial_import);
        break;
    case RECORD_SUGGEST:
        t = reference_id(r, record->suggest.trial);
        for (uint32_t i = 0; i < record->suggest.value_count; i++)
            add_value(t, &record->suggest.values[i],
                      (record->suggest.values[i].asked ? VALUE_ASKED : 0u) |
                          (record->suggest.joint ? VALUE_JOINT : 0u),
                      lsn);
        if (record->suggest.joint)
            t->now.note_lsn = lsn;
        break;
    case RECORD_PARAM_SET:
        set_value(r, reference_id(r, record->param_set.trial), &record->param_set.value, lsn);
        break;
    case RECORD_REPORT:
        add_report(reference_id(r, record->report.trial), &record->report.report, lsn);
        break;
    case RECORD_PRUNE_DECISION:
        reference_id(r, record->prune_decision.trial)->now.decision_count++;
        break;
    case RECORD_TRIAL_ATTR:
        set_attr(reference_id(r, record->trial_attr.trial), &record->trial_attr.attr, lsn);
        break;
    case RECORD_TRIAL_FINISH:
        finish(r, lsn, &record->trial_finish);
        break;
    case RECORD_TRIAL_ROLLBACK:
        rollback(r, lsn, &record->trial_rollback);
        break;
    default:
        break;
    }
}

/*
 * state_trial: how trials come to be: enqueue, begin, import.
 *
 * A new trial takes a number from the pool or the next one (F1, F2). A queue entry that is taken
 * keeps its block as it waited, so that a rollback can queue it again as if nothing had happened.
 */
#include "state_internal.h"

#include <assert.h>

#include "hpo.h"
#include "state_blob.h"

/* -- numbers -- */

int trial_link_set(struct state_study *study, uint64_t number, uint64_t id, trial_link link)
{
    study->by_number[number] = link;
    return map_put(&study->state->trials_by_id, id, link);
}

int number_take(struct state_study *study, uint64_t number)
{
    int err;

    assert(number == study->next_number);
    err = list_reserve(study->state->os, &study->by_number, &study->number_capacity,
                       (size_t)number + 1);
    if (err < 0)
        return err;
    study->by_number[number] = 0;
    study->next_number++;
    return 0;
}

/* A number for a new trial: one from the pool, then *taken is what the pool had, or the next one.
 */
static int number_claim(struct state_study *study, uint64_t number, uint64_t id,
                        struct pool_entry *taken)
{
    struct state *state = study->state;
    struct pool_entry *entry = pool_find(study, number);
    int err;

    *taken = (struct pool_entry){0};
    if (entry) {
        if (entry->id != id)
            return state_refuse(state, "not the id that its number was given");
        *taken = *entry;
        pool_remove(study, entry);
        return 0;
    }
    if (number != study->next_number)
        return state_refuse(state, "the number is not free");
    if (id != state->next_trial || id > STATE_ID_MAX)
        return state_refuse(state, "not the next trial's id");
    err = number_take(study, number);
    if (err == 0)
        state->next_trial++;
    return err;
}

/* -- beginning -- */

int apply_enqueue(struct state *state, const struct record_trial_enqueue *record)
{
    struct state_study *study = study_get(state, record->study);
    struct live_trial *live, *writer;
    struct pool_entry taken;
    int err;

    if (!study)
        return state_refuse(state, "no such study");
    err = on_behalf_of(state, study, record->on_behalf, &writer);
    if (err < 0)
        return err;
    err = number_claim(study, record->number, record->trial, &taken);
    if (err < 0)
        return err;
    if (taken.has_view)
        return state_refuse(state, "the number waits for the trial that was rolled back");
    live = live_new(study, record->number, record->trial);
    if (!live)
        return HPO_NOMEM;
    live->t.state = TRIAL_WAITING;
    live->t.created_lsn = state->batch->at.lsn;
    live->t.on_behalf = record->on_behalf;
    err = live_list_add(state->os, &study->queue, live, false);
    if (err < 0) {
        live_free(live);
        return err;
    }
    if (writer)
        writer->enqueued++;
    for (uint32_t i = 0; i < record->value_count && err == 0; i++)
        err = live_value_add(live, &record->values[i], VALUE_FIXED, VALUE_FIXED);
    return err < 0 ? err : trial_link_set(study, live->t.number, live->t.id, link_live(live));
}

static int check_view(struct state *state, const struct state_study *study,
                      const struct record_trial_begin *record)
{
    uint64_t window = study->config->window;

    if (record->mode == VIEW_WINDOW) {
        if (window == 0)
            return state_refuse(state, "window view in a study without one");
        if (record->number >= window && record->number - window >= study->finished_prefix)
            return state_refuse(state, "begins before its window allows it");
    }
    return 0;
}

/* A fresh begin sees all of the log before it, a retry what the attempt before it saw. */
static int check_retry(struct state *state, const struct record_trial_begin *record, bool retry,
                       uint64_t view, uint8_t mode)
{
    if (retry && (record->view != view || record->mode != mode))
        return state_refuse(state, "not the view of the attempt that was rolled back");
    if (!retry && record->view != state->batch->at.lsn - 1)
        return state_refuse(state, "its view is not the batch before");
    return 0;
}

static int begin(struct live_trial *live, const struct record_trial_begin *record)
{
    struct state *state = live->study->state;
    int err;

    live->t.state = TRIAL_RUNNING;
    live->t.begin_lsn = state->batch->at.lsn;
    live->t.begin = record->time;
    live->t.view = record->view;
    live->t.mode = record->mode;
    live->t.session = record->detached ? 0 : state->batch->session;
    live->t.retry = false;
    err = live_list_add(state->os, &live->study->running, live, false);
    if (err < 0)
        return err;
    return live_list_add(state->os, &state->running, live, true);
}

/* Its block as it waits, without who enqueued it: that may change while it runs. */
static int keep_waiting_block(struct live_trial *live)
{
    const struct hpo_os *os = live->study->state->os;
    struct state_trial t = live->t;

    t.on_behalf = 0;
    live->waiting = os->alloc(os->self, blob_size(&t));
    if (!live->waiting)
        return HPO_NOMEM;
    blob_encode(live->waiting, &t);
    return 0;
}

static int begin_popped(struct state *state, struct state_study *study,
                        const struct record_trial_begin *record)
{
    struct live_trial *live = live_get(state, record->trial);
    int err;

    if (!live || live->study != study || live->t.number != record->number ||
        live->t.state != TRIAL_WAITING)
        return state_refuse(state, "no such queue entry");
    err = check_retry(state, record, live->t.retry, live->t.view, live->t.mode);
    if (err < 0)
        return err;
    err = keep_waiting_block(live);
    if (err < 0)
        return err;
    live->t.popped = true;
    live_list_remove(&study->queue, live, false);
    err = begin(live, record);
    if (err < 0 && !live_list_has(&study->running, live))
        live_free(live);
    return err;
}

int apply_begin(struct state *state, const struct record_trial_begin *record)
{
    struct state_study *study = study_get(state, record->study);
    struct live_trial *live;
    struct pool_entry taken;
    int err;

    if (!study)
        return state_refuse(state, "no such study");
    err = check_view(state, study, record);
    if (err < 0)
        return err;
    if (record->popped)
        return begin_popped(state, study, record);
    err = number_claim(study, record->number, record->trial, &taken);
    if (err == 0)
        err = check_retry(state, record, taken.has_view, taken.view, taken.mode);
    if (err < 0)
        return err;
    live = live_new(study, record->number, record->trial);
    if (!live)
        return HPO_NOMEM;
    live->t.created_lsn = state->batch->at.lsn;
    err = begin(live, record);
    if (err < 0) {
        if (!live_list_has(&study->running, live))
            live_free(live);
        return err;
    }
    return trial_link_set(study, live->t.number, live->t.id, link_live(live));
}

/* -- importing -- */

static int import_content(struct live_trial *live, const struct record_trial_import *record)
{
    struct state *state = live->study->state;
    int err = 0;

    for (uint32_t i = 0; i < record->value_count && err == 0; i++) {
        if (!record->values[i].asked)
            return state_refuse(state, "imports a value that is no parameter");
        err = live_value_add(live, &record->values[i], VALUE_ASKED | VALUE_SET, VALUE_ASKED);
    }
    for (uint32_t i = 0; i < record->report_count && err == 0; i++)
        err = live_report_add(live, &record->reports[i]);
    for (uint32_t i = 0; i < record->attr_count && err == 0; i++)
        err = live_attr_set(live, record->attrs[i].space, record->attrs[i].key,
                            record->attrs[i].removed, record->attrs[i].value, state->batch->at.lsn);
    return err;
}

/* It waits, runs, or ends as soon as the attributes that follow in the batch are there. */
static int import_place(struct live_trial *live, const struct record_trial_import *record)
{
    struct state *state = live->study->state;
    struct state_study *study = live->study;
    int err;

    switch (record->state) {
    case TRIAL_WAITING:
        return live_list_add(state->os, &study->queue, live, false);
    case TRIAL_RUNNING:
        err = live_list_add(state->os, &study->running, live, false);
        return err < 0 ? err : live_list_add(state->os, &state->running, live, true);
    default:
        state->importing = live;
        return 0;
    }
}

int apply_import(struct state *state, const struct record_trial_import *record)
{
    struct state_study *study = study_get(state, record->study);
    uint64_t lsn = state->batch->at.lsn;
    bool finished = record->state != TRIAL_WAITING && record->state != TRIAL_RUNNING;
    struct live_trial *live;
    struct pool_entry taken;
    int err;

    if (!study)
        return state_refuse(state, "no such study");
    if (!finished && record->objective_count)
        return state_refuse(state, "an unfinished trial with objectives");
    err = number_claim(study, record->number, record->trial, &taken);
    if (err < 0)
        return err;
    if (taken.has_view)
        return state_refuse(state, "the number waits for the trial that was rolled back");
    live = live_new(study, record->number, record->trial);
    if (!live)
        return HPO_NOMEM;
    live->t.state = record->state;
    live->t.imported = true;
    live->t.created_lsn = lsn;
    live->t.begin = record->begin;
    if (record->state != TRIAL_WAITING) {
        live->t.begin_lsn = lsn;
        live->t.view = lsn - 1;
        live->t.mode = VIEW_LIVE;
    }
    if (record->state == TRIAL_RUNNING)
        live->t.session = state->batch->session;
    err = import_place(live, record);
    if (err < 0) {
        if (!live_list_has(&study->running, live))
            live_free(live);
        return err;
    }
    err = trial_link_set(study, live->t.number, live->t.id, link_live(live));
    if (err == 0)
        err = import_content(live, record);
    if (err == 0 && finished) {
        live->t.end = record->end;
        err = live_objectives(live, record->objectives, record->objective_count);
    }
    return err;
}

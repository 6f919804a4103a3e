/*
 * trial: what is written about a trial after it has begun, and the one record that makes it count.
 *
 * Every call takes the tail, finds the trial in the state as it is then, and appends one batch.
 * Only finishing, queueing and abandoning wait for the disk: what a trial has recorded before its
 * finish stands in front of it in the log and becomes durable with it.
 */
#include "ask.h"
#include "attr.h"
#include "distribution.h"

#include <math.h>
#include <string.h>

/* -- finding the trial of a handle -- */

/* It is not running as this handle knew it: why? */
static int trial_gone(struct hpo_trial *handle, int found, const struct state_trial *trial)
{
    struct hpo_store *store = handle->store;

    if (!state_study_by_id(store->state, handle->study))
        return call_error(HPO_NOT_FOUND, "the study has been deleted");
    if (found == 0 && trial->begin_lsn == handle->begin_lsn && trial->state != TRIAL_RUNNING)
        return call_error(HPO_FINISHED, "trial %llu is finished",
                          (unsigned long long)handle->number);
    if (handle->session != 0 && !state_session_find(store->state, handle->session))
        return call_error(HPO_SESSION_LOST,
                          "another process found this session dead and rolled trial %llu back",
                          (unsigned long long)handle->number);
    return call_error(HPO_ROLLED_BACK, "this attempt of trial %llu was rolled back",
                      (unsigned long long)handle->number);
}

int trial_of(struct hpo_trial *trial, const struct state_study **study, struct state_trial *out)
{
    struct hpo_store *store = trial->store;
    int err;

    if (trial->lost)
        return call_error(HPO_ROLLED_BACK,
                          "a flush failed and the begin of trial %llu was lost with it",
                          (unsigned long long)trial->number);
    err = state_trial_by_id(store->state, trial->id, out);
    if (err != 0 || out->state != TRIAL_RUNNING || out->begin_lsn != trial->begin_lsn)
        return trial_gone(trial, err, out);
    *study = state_study_by_id(store->state, trial->study);
    return *study ? 0 : trial_gone(trial, HPO_NOT_FOUND, out);
}

void hpo_trial_free(struct hpo_trial *trial)
{
    struct hpo_store *store;

    if (!trial)
        return;
    store = trial->store;
    if (call_begin(store) < 0)
        return; /* forked: hpo_close frees it */
    trial_unlink(trial);
    store->os->free(store->os->self, trial);
    (void)call_end(store, 0);
}

uint64_t hpo_trial_number(const struct hpo_trial *trial)
{
    return trial->number;
}

uint64_t hpo_trial_id(const struct hpo_trial *trial)
{
    return trial->id;
}

uint64_t hpo_trial_seed(const struct hpo_trial *trial)
{
    return trial->seed;
}

/* -- one record about a running trial -- */

/* Append `record` about the trial; its trial id is in place. Does not wait. */
static int append_about(struct hpo_trial *trial, const struct record *record)
{
    struct hpo_store *store = trial->store;
    const struct state_study *study;
    struct state_trial found;
    struct log_ticket ticket;
    int err;

    err = tail_begin(store, TAIL_FINISH);
    if (err < 0)
        return err;
    err = trial_of(trial, &study, &found);
    if (err == 0)
        err = tail_record(store, record);
    if (err == 0)
        err = tail_append(store, TAIL_FINISH, &ticket);
    tail_end(store);
    return err;
}

int hpo_report(struct hpo_trial *trial, int64_t step, double value)
{
    struct record record = {.type = RECORD_REPORT};
    int err;

    if (!trial)
        return HPO_INVALID;
    err = call_begin(trial->store);
    if (err < 0)
        return err;
    record.report.trial = trial->id;
    record.report.report.step = step;
    record.report.report.value = isnan(value) ? (double)NAN : value;
    err = append_about(trial, &record);
    return call_end(trial->store, err);
}

/* -- attributes -- */

static int attr_set_locked(struct hpo_trial *trial, uint8_t space, struct bytes key,
                           struct bytes value)
{
    struct hpo_store *store = trial->store;
    const struct state_study *study;
    struct state_trial found;
    struct log_ticket ticket;
    int err;

    err = tail_begin(store, TAIL_FINISH);
    if (err < 0)
        return err;
    err = trial_of(trial, &study, &found);
    if (err == 0 && found.heap_size + (uint64_t)key.size + value.size > STATE_TRIAL_BYTES_MAX / 2)
        err = call_error(HPO_TOO_LARGE, "the trial's attributes are limited to 512 MiB");
    if (err == 0)
        err = attr_encode_trial(store, trial->id, space, key, value);
    if (err == 0)
        err = tail_append(store, TAIL_FINISH, &ticket);
    tail_end(store);
    return err;
}

int hpo_trial_attr_set(struct hpo_trial *trial, enum hpo_attr_space space, const char *key,
                       const void *value, size_t size)
{
    struct bytes key_bytes;
    int err;

    if (!trial)
        return HPO_INVALID;
    err = call_begin(trial->store);
    if (err < 0)
        return err;
    err = attr_check(space, key, value, size, &key_bytes);
    if (err == 0)
        err = attr_set_locked(trial, (uint8_t)space, key_bytes, (struct bytes){value, size});
    return call_end(trial->store, err);
}

static int attr_get_locked(struct hpo_trial *trial, uint8_t space, struct bytes key, void **value,
                           size_t *size)
{
    struct hpo_store *store = trial->store;
    struct state_trial found;
    struct bytes bytes;
    int err;

    err = store_catch_up(store);
    if (err < 0)
        return err;
    err = state_trial_by_id(store->state, trial->id, &found);
    if (trial->lost || err != 0 || found.begin_lsn != trial->begin_lsn)
        return trial_gone(trial, HPO_ROLLED_BACK, &found);
    err = state_trial_attr(&found, space, key, &bytes);
    if (err < 0)
        return call_error(HPO_NOT_FOUND, "there is no attribute %.*s",
                          (int)(key.size < 64 ? key.size : 64), (const char *)key.data);
    return attr_give(store, bytes, value, size);
}

int hpo_trial_attr_get(struct hpo_trial *trial, enum hpo_attr_space space, const char *key,
                       void **value, size_t *size)
{
    int err;

    if (!trial)
        return HPO_INVALID;
    if (!key || !value || !size)
        return call_refuse(trial->store, HPO_INVALID, "no key, or no place for the result");
    err = call_begin(trial->store);
    if (err < 0)
        return err;
    err = attr_get_locked(trial, (uint8_t)space, (struct bytes){(const uint8_t *)key, strlen(key)},
                          value, size);
    return call_end(trial->store, err);
}

/* -- finishing -- */

static int tell_check(enum hpo_trial_state state, const double *values, size_t count)
{
    size_t i;

    if (state != HPO_COMPLETE && state != HPO_PRUNED && state != HPO_FAIL)
        return call_error(HPO_INVALID, "a trial ends as complete, pruned or failed");
    if (count > 0 && !values)
        return call_error(HPO_INVALID, "a number of values, but no values");
    if (state == HPO_COMPLETE && count == 0)
        return call_error(HPO_INVALID, "a complete trial has one value per direction");
    if (count > RECORD_DIRECTIONS_MAX)
        return call_error(HPO_INVALID, "more than %u values", RECORD_DIRECTIONS_MAX);
    for (i = 0; i < count; i++)
        if (isnan(values[i]))
            return call_error(HPO_INVALID, "value %zu is not a number", i);
    return 0;
}

static int tell_locked(struct hpo_trial *trial, const struct record *record)
{
    struct hpo_store *store = trial->store;
    const struct state_study *study;
    struct state_trial found;
    struct log_ticket ticket;
    uint32_t directions;
    int err;

    err = tail_begin(store, TAIL_FINISH);
    if (err < 0)
        return err;
    err = trial_of(trial, &study, &found);
    if (err < 0)
        goto end;
    directions = state_study_config(study)->direction_count;
    if (directions > 0 && record->trial_finish.objective_count > 0 &&
        record->trial_finish.objective_count != directions) {
        err = call_error(HPO_INVALID, "the study has %u directions, not %u", directions,
                         record->trial_finish.objective_count);
        goto end;
    }
    err = tail_record(store, record);
    if (err == 0)
        err = tail_append(store, TAIL_FINISH, &ticket);

end:
    tail_end(store);
    if (err < 0)
        return err;
    err = call_wait(store, &ticket);
    if (err == 0)
        store_snapshot_consider(store);
    return err;
}

static int tell(struct hpo_trial *trial, enum hpo_trial_state state, const double *values,
                size_t count, bool stop)
{
    struct record record = {.type = RECORD_TRIAL_FINISH};
    int err;

    if (!trial)
        return HPO_INVALID;
    err = call_begin(trial->store);
    if (err < 0)
        return err;
    err = tell_check(state, values, count);
    if (err == 0) {
        record.trial_finish = (struct record_trial_finish){
            .trial = trial->id,
            .state = (uint8_t)state,
            .stop = stop,
            .objectives = values,
            .objective_count = (uint32_t)count,
            .time = store_now(trial->store),
        };
        err = tell_locked(trial, &record);
    }
    return call_end(trial->store, err);
}

int hpo_tell(struct hpo_trial *trial, enum hpo_trial_state state, const double *values,
             size_t count)
{
    return tell(trial, state, values, count, false);
}

int hpo_tell_and_stop(struct hpo_trial *trial, enum hpo_trial_state state, const double *values,
                      size_t count)
{
    return tell(trial, state, values, count, true);
}

static int abandon_locked(struct hpo_trial *trial)
{
    struct hpo_store *store = trial->store;
    struct record record = {.type = RECORD_TRIAL_ROLLBACK};
    const struct state_study *study;
    struct state_trial found;
    struct log_ticket ticket;
    int err;

    err = tail_begin(store, TAIL_FINISH);
    if (err < 0)
        return err;
    err = trial_of(trial, &study, &found);
    if (err == 0) {
        record.trial_rollback.trial = found.id;
        record.trial_rollback.session = found.session;
        record.trial_rollback.reason = ROLLBACK_ABANDONED;
        err = tail_record(store, &record);
    }
    if (err == 0)
        err = tail_append(store, TAIL_FINISH, &ticket);
    tail_end(store);
    return err < 0 ? err : call_wait(store, &ticket);
}

int hpo_abandon(struct hpo_trial *trial)
{
    int err;

    if (!trial)
        return HPO_INVALID;
    err = call_begin(trial->store);
    if (err < 0)
        return err;
    err = abandon_locked(trial);
    return call_end(trial->store, err);
}

/* -- values from elsewhere: the queue, other people's samplers -- */

/* The number of a parameter, defined in the buffer if it is new; *fresh counts such definitions. */
static int number_of(struct hpo_store *store, const struct state_study *study,
                     const struct record_param *param, uint32_t *fresh, uint32_t *number)
{
    struct record record = {.type = RECORD_PARAM_DEFINE};
    int err = state_param_find(study, param, number);

    if (err != HPO_NOT_FOUND)
        return err;
    *number = state_param_count(study) + *fresh;
    *fresh += 1;
    record.param_define.study = state_study_id(study);
    record.param_define.param = *number;
    record.param_define.definition = *param;
    return tail_record(store, &record);
}

/* Is this a value of that kind? It may lie outside the range, but a choice must exist. */
static int value_check(const struct record_param *param, double value)
{
    const struct record_distribution *distribution = &param->distribution;
    int size = (int)(param->name.size < 64 ? param->name.size : 64);
    bool good;

    switch (distribution->kind) {
    case DISTRIBUTION_FLOAT:
        good = isfinite(value);
        break;
    case DISTRIBUTION_INT:
        good = fabs(value) <= 0x1p53 && value == (double)(int64_t)value;
        break;
    default:
        good = value >= 0 && value < distribution->choice_count && value == (double)(uint32_t)value;
        break;
    }
    return good ? 0
                : call_error(HPO_INVALID, "parameter %.*s: %g is not a value of its kind", size,
                             (const char *)param->name.data, value);
}

static int incompatible(const struct record_param *param)
{
    return call_error(
        HPO_INCOMPATIBLE, "parameter %.*s: this study uses it with another kind, log or choices",
        (int)(param->name.size < 64 ? param->name.size : 64), (const char *)param->name.data);
}

static int param_set_locked(struct hpo_trial *trial, const struct record_param *param, double value)
{
    struct hpo_store *store = trial->store;
    struct record record = {.type = RECORD_PARAM_SET};
    const struct state_study *study;
    struct state_trial found;
    struct state_value known;
    struct log_ticket ticket;
    uint32_t number, fresh = 0;
    int err;

    err = tail_begin(store, TAIL_FINISH);
    if (err < 0)
        return err;
    err = trial_of(trial, &study, &found);
    if (err == 0)
        err = state_param_compatible(study, param);
    if (err == HPO_INCOMPATIBLE)
        err = incompatible(param);
    if (err == 0)
        err = number_of(store, study, param, &fresh, &number);
    if (err == 0 && fresh == 0 &&
        state_trial_value(study, &found, state_param_at(study, number)->family, VALUE_ASKED,
                          &known) == 0)
        err = call_error(HPO_EXISTS, "the trial has a value for this parameter");
    if (err == 0) {
        record.param_set.trial = trial->id;
        record.param_set.value = (struct record_value){number, true, value};
        err = tail_record(store, &record);
    }
    if (err == 0)
        err = tail_append(store, TAIL_FINISH, &ticket);
    tail_end(store);
    return err;
}

int hpo_trial_param_set(struct hpo_trial *trial, const char *name,
                        const struct hpo_distribution *distribution, double value)
{
    struct record_param param;
    struct arena arena;
    int err;

    if (!trial)
        return HPO_INVALID;
    if (!distribution)
        return call_refuse(trial->store, HPO_INVALID, "no distribution");
    err = call_begin(trial->store);
    if (err < 0)
        return err;
    arena_init(&arena, trial->store->os);
    err = name_check(name, "the parameter's name", &param.name);
    if (err == 0)
        err = distribution_from_public(distribution, name, &arena, &param.distribution);
    if (err == 0)
        err = value_check(&param, value);
    if (err == 0)
        err = param_set_locked(trial, &param, value);
    arena_release(&arena);
    return call_end(trial->store, err);
}

/* -- the queue -- */

/* A point to be queued, in the form of the log as far as that is possible without the study. */
struct point {
    struct arena arena;
    size_t count;
    struct record_param *params; /* distribution kind 0: the study's own */
    double *values;
};

static int point_make(struct point *point, const struct hpo_os *os, const struct hpo_fixed *params,
                      size_t count)
{
    size_t i, j;
    int err;

    arena_init(&point->arena, os);
    point->count = count;
    if (count > 0 && !params)
        return call_error(HPO_INVALID, "a number of parameters, but no parameters");
    if (count > 65535)
        return call_error(HPO_TOO_LARGE, "more than 65535 parameters");
    point->params = arena_array(&point->arena, count, sizeof(*point->params));
    point->values = arena_array(&point->arena, count, sizeof(*point->values));
    if (!point->params || !point->values)
        return HPO_NOMEM;
    for (i = 0; i < count; i++) {
        struct record_param *param = &point->params[i];

        err = name_check(params[i].name, "a parameter's name", &param->name);
        for (j = 0; err == 0 && j < i; j++)
            if (point->params[j].name.size == param->name.size &&
                memcmp(point->params[j].name.data, param->name.data, param->name.size) == 0)
                err = call_error(HPO_INVALID, "parameter %.64s is named twice", params[i].name);
        if (err == 0 && params[i].distribution)
            err = distribution_from_public(params[i].distribution, params[i].name, &point->arena,
                                           &param->distribution);
        if (err < 0)
            return err;
        point->values[i] = params[i].value;
    }
    return 0;
}

/* The distribution that a name goes by in this study: the declared one, else the latest. */
static const struct state_param *param_by_name(const struct state_study *study, struct bytes name)
{
    const struct state_param *latest = NULL;
    uint32_t number, i, count;
    const uint32_t *declared = state_declared(study, &count);

    for (i = 0; i < count; i++) {
        const struct state_param *param = state_param_at(study, declared[i]);

        if (param->definition.name.size == name.size &&
            memcmp(param->definition.name.data, name.data, name.size) == 0)
            return param;
    }
    for (number = 0; number < state_param_count(study); number++) {
        const struct state_param *param = state_param_at(study, number);

        if (param->definition.name.size == name.size &&
            memcmp(param->definition.name.data, name.data, name.size) == 0)
            latest = param;
    }
    return latest;
}

static int encode_point(struct hpo_store *store, const struct state_study *study,
                        struct point *point, struct record_value *values)
{
    uint32_t fresh = 0;
    size_t i;
    int err;

    for (i = 0; i < point->count; i++) {
        struct record_param param = point->params[i];

        if (param.distribution.kind == 0) {
            const struct state_param *known = param_by_name(study, param.name);

            if (!known)
                return call_error(HPO_INVALID,
                                  "parameter %.*s is not known and has no distribution",
                                  (int)(param.name.size < 64 ? param.name.size : 64),
                                  (const char *)param.name.data);
            param = known->definition;
        }
        err = value_check(&param, point->values[i]);
        if (err == 0)
            err = state_param_compatible(study, &param);
        if (err == HPO_INCOMPATIBLE)
            err = incompatible(&param);
        if (err == 0)
            err = number_of(store, study, &param, &fresh, &values[i].param);
        if (err < 0)
            return err;
        values[i].asked = true;
        values[i].value = point->values[i];
    }
    return 0;
}

static int enqueue_locked(struct hpo_study *study, struct point *point, uint64_t *number)
{
    struct hpo_store *store = study->store;
    struct record record = {.type = RECORD_TRIAL_ENQUEUE};
    struct record_value *values = arena_array(&point->arena, point->count, sizeof(*values));
    const struct state_study *found;
    struct log_ticket ticket;
    int err;

    if (!values)
        return HPO_NOMEM;
    err = tail_begin(store, TAIL_BEGIN);
    if (err < 0)
        return err;
    found = study_of(study, &err);
    if (!found)
        goto end;
    err = encode_point(store, found, point, values);
    if (err < 0)
        goto end;
    record.trial_enqueue.study = state_study_id(found);
    state_next_enqueue(store->state, found, &record.trial_enqueue.number,
                       &record.trial_enqueue.trial);
    record.trial_enqueue.values = values;
    record.trial_enqueue.value_count = (uint32_t)point->count;
    record.trial_enqueue.time = store_now(store);
    err = tail_record(store, &record);
    if (err == 0)
        err = tail_append(store, TAIL_BEGIN, &ticket);

end:
    tail_end(store);
    if (err < 0)
        return err;
    err = call_wait(store, &ticket);
    if (err == 0 && number)
        *number = record.trial_enqueue.number;
    return err;
}

int hpo_enqueue(struct hpo_study *study, const struct hpo_fixed *params, size_t count,
                uint64_t *number)
{
    struct point point;
    int err;

    if (!study)
        return HPO_INVALID;
    err = call_begin(study->store);
    if (err < 0)
        return err;
    err = point_make(&point, study->store->os, params, count);
    if (err == 0)
        err = enqueue_locked(study, &point, number);
    arena_release(&point.arena);
    return call_end(study->store, err);
}

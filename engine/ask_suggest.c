/*
 * ask_suggest: one parameter at a time, for names that the study's space does not declare (and the
 * answer that is there already for those it does). Two ways, as in ask.c: a quick sampler computes
 * with the log's tail in hand, another one between two holds of it.
 */
#include "ask.h"
#include "distribution.h"

#include <string.h>

/* -- one parameter -- */

struct suggesting {
    struct hpo_trial *trial;
    struct record_param param;
    struct asker *asker;
    struct plan plan;
    bool sampled; /* the plan has run */
    double value;
};

/* The trial's entry of this name with one of the flags. */
static bool value_of(const struct state_study *study, const struct state_trial *trial,
                     struct bytes name, uint32_t flags, struct state_value *out)
{
    uint32_t i;

    for (i = 0; i < trial->value_count; i++) {
        const struct state_param *param = state_param_at(study, trial->values[i].param);

        if ((trial->values[i].flags & flags) && param->definition.name.size == name.size &&
            memcmp(param->definition.name.data, name.data, name.size) == 0) {
            *out = trial->values[i];
            return true;
        }
    }
    return false;
}

static int incompatible(struct bytes name)
{
    return call_error(HPO_INCOMPATIBLE,
                      "parameter %.*s: this study uses it with another kind, log or choices",
                      (int)(name.size < 64 ? name.size : 64), (const char *)name.data);
}

/* Is there an answer without asking the sampler? 1: *value is the trial's already. 2: fixed by its
 * queue entry, 3: drawn jointly before; both are yet to become a parameter of the trial. 0: no. */
static int known_value(const struct suggesting *suggesting, const struct state_study *study,
                       const struct state_trial *trial, double *value)
{
    const struct record_param *param = &suggesting->param;
    struct sampler_distribution distribution;
    struct state_value known;
    int err;

    if (value_of(study, trial, param->name, VALUE_ASKED, &known)) {
        if (!distribution_same_class(&state_param_at(study, known.param)->definition.distribution,
                                     &param->distribution))
            return incompatible(param->name);
        *value = known.value;
        return 1;
    }
    err = state_param_compatible(study, param);
    if (err < 0)
        return err == HPO_INCOMPATIBLE ? incompatible(param->name) : err;
    distribution_to_sampler(&param->distribution, &distribution);
    if (value_of(study, trial, param->name, VALUE_FIXED, &known) &&
        distribution_same_class(&state_param_at(study, known.param)->definition.distribution,
                                &param->distribution) &&
        distribution_contains(&distribution, known.value)) {
        *value = known.value;
        return 2;
    }
    if (value_of(study, trial, param->name, VALUE_JOINT, &known) &&
        distribution_same_class(&state_param_at(study, known.param)->definition.distribution,
                                &param->distribution) &&
        distribution_contains(&distribution, known.value)) {
        *value = known.value;
        return 3;
    }
    return 0;
}

static int encode_define(struct hpo_store *store, const struct state_study *study,
                         const struct record_param *param, uint32_t *number)
{
    struct record record = {.type = RECORD_PARAM_DEFINE};
    int err = state_param_find(study, param, number);

    if (err != HPO_NOT_FOUND)
        return err;
    *number = state_param_count(study);
    record.param_define.study = state_study_id(study);
    record.param_define.param = *number;
    record.param_define.definition = *param;
    err = tail_record(store, &record);
    return err < 0 ? err : 1;
}

static int encode_known(struct hpo_store *store, uint64_t trial, uint32_t param, double value,
                        int how)
{
    struct record_value given = {.param = param, .asked = true, .value = value};
    struct record record = {.type = RECORD_PARAM_SET};

    if (how == 2) {
        record.param_set.trial = trial;
        record.param_set.value = given;
    } else {
        record.type = RECORD_SUGGEST;
        record.suggest.trial = trial;
        record.suggest.values = &given;
        record.suggest.value_count = 1;
    }
    return tail_record(store, &record);
}

/* The plan for this parameter, from what is known now. */
static int prepare(struct suggesting *suggesting, const struct state_study *study,
                   const struct state_trial *trial, uint32_t number, struct sampler_param *param)
{
    int err = asker_update(suggesting->asker, study);

    if (err < 0)
        return err;
    plan_release(&suggesting->plan);
    err = plan_prepare(&suggesting->plan, suggesting->asker, study, trial);
    if (err < 0)
        return err;
    asker_param(suggesting->asker, study, trial, number, param);
    return 0;
}

/* One turn with the tail in hand. 0: done, *value is it. 1: the parameter has a number now, or the
 * sampler is to be run without the tail: go on there. */
static int suggest_turn(struct suggesting *suggesting)
{
    struct hpo_trial *handle = suggesting->trial;
    struct hpo_store *store = handle->store;
    const struct state_study *study;
    struct sampler_param param;
    struct state_trial trial;
    struct log_ticket ticket;
    uint32_t number;
    int err, known, defined;

    err = trial_of(handle, &study, &trial);
    if (err < 0)
        return err;
    known = known_value(suggesting, study, &trial, &suggesting->value);
    if (known < 0 || known == 1)
        return known < 0 ? known : 0;
    err = asker_update(suggesting->asker, study);
    if (err < 0)
        return err;
    defined = encode_define(store, study, &suggesting->param, &number);
    if (defined < 0)
        return defined;
    if (known > 0) {
        err = encode_known(store, trial.id, number, suggesting->value, known);
    } else if (suggesting->sampled) {
        err = plan_encode(&suggesting->plan, store, trial.study, trial.id);
    } else if (defined == 0 && asker_is_quick(suggesting->asker)) {
        err = prepare(suggesting, study, &trial, number, &param);
        if (err == 0)
            err = plan_run_one(&suggesting->plan, &param, trial.note_lsn == 0, &suggesting->value);
        if (err == 0)
            err = plan_encode(&suggesting->plan, store, trial.study, trial.id);
    } else {
        if (defined > 0)
            err = tail_append(store, TAIL_FINISH, &ticket);
        return err < 0 ? err : 1;
    }
    if (err != 0)
        return err > 0 ? call_error(HPO_INVALID, "the sampler has no value to offer") : err;
    return tail_append(store, TAIL_FINISH, &ticket);
}

/* Run a sampler that takes its time, without tail and mutex. */
static int suggest_slowly(struct suggesting *suggesting)
{
    struct hpo_store *store = suggesting->trial->store;
    const struct state_study *study;
    struct sampler_param param;
    struct state_trial trial;
    uint32_t number;
    int err;

    err = store_catch_up(store);
    if (err < 0)
        return err;
    err = trial_of(suggesting->trial, &study, &trial);
    if (err < 0)
        return err;
    err = state_param_find(study, &suggesting->param, &number);
    if (err < 0)
        return err;
    err = prepare(suggesting, study, &trial, number, &param);
    if (err < 0)
        return err;
    store->os->mutex_unlock(store->os->self, store->mutex);
    err = plan_run_one(&suggesting->plan, &param, trial.note_lsn == 0, &suggesting->value);
    store->os->mutex_lock(store->os->self, store->mutex);
    if (err != 0)
        return err > 0 ? call_error(HPO_INVALID, "the sampler has no value to offer") : err;
    suggesting->sampled = true;
    return 0;
}

static int suggest_locked(struct suggesting *suggesting)
{
    struct hpo_store *store = suggesting->trial->store;
    const struct state_study *study;
    struct state_trial trial;
    int err, known;

    err = store_catch_up(store);
    if (err < 0)
        return err;
    err = trial_of(suggesting->trial, &study, &trial);
    if (err < 0)
        return err;
    known = known_value(suggesting, study, &trial, &suggesting->value);
    if (known < 0 || known == 1) /* the usual case in a declared space: nothing to write */
        return known < 0 ? known : 0;
    for (;;) {
        err = tail_begin(store, TAIL_FINISH);
        if (err < 0)
            return err;
        err = suggest_turn(suggesting);
        tail_end(store);
        if (err <= 0)
            return err;
        if (!asker_is_quick(suggesting->asker)) {
            err = suggest_slowly(suggesting);
            if (err < 0)
                return err;
        }
    }
}

int hpo_suggest(struct hpo_trial *trial, const char *name,
                const struct hpo_distribution *distribution, double *value)
{
    struct suggesting suggesting = {.trial = trial};
    struct arena arena;
    int err;

    if (!trial)
        return HPO_INVALID;
    if (!distribution || !value)
        return call_refuse(trial->store, HPO_INVALID, "no distribution, or no place for the value");
    err = call_begin(trial->store);
    if (err < 0)
        return err;
    arena_init(&arena, trial->store->os);
    err = name_check(name, "the parameter's name", &suggesting.param.name);
    if (err == 0)
        err = distribution_from_public(distribution, name, &arena, &suggesting.param.distribution);
    if (err == 0)
        err = asker_take(trial->store, trial->study, &suggesting.asker);
    if (err < 0)
        goto out;
    err = suggest_locked(&suggesting);
    plan_release(&suggesting.plan);
    asker_release(suggesting.asker);
    if (err == 0)
        *value = suggesting.value;

out:
    arena_release(&arena);
    return call_end(trial->store, err);
}

static int suggest_int(struct hpo_trial *trial, const char *name,
                       const struct hpo_distribution *distribution, int64_t *out)
{
    double value;
    int err;

    if (!trial)
        return HPO_INVALID;
    if (!out)
        return call_refuse(trial->store, HPO_INVALID, "no place for the value");
    err = hpo_suggest(trial, name, distribution, &value);
    if (err == 0)
        *out = (int64_t)value;
    return err;
}

int hpo_suggest_float(struct hpo_trial *trial, const char *name, double low, double high,
                      unsigned flags, double *out)
{
    struct hpo_distribution distribution = {
        .kind = HPO_FLOAT, .flags = flags, .low = low, .high = high};

    return hpo_suggest(trial, name, &distribution, out);
}

int hpo_suggest_float_step(struct hpo_trial *trial, const char *name, double low, double high,
                           double step, double *out)
{
    struct hpo_distribution distribution = {
        .kind = HPO_FLOAT, .low = low, .high = high, .step = step};

    return hpo_suggest(trial, name, &distribution, out);
}

int hpo_suggest_int(struct hpo_trial *trial, const char *name, int64_t low, int64_t high,
                    unsigned flags, int64_t *out)
{
    struct hpo_distribution distribution = {
        .kind = HPO_INT, .flags = flags, .low_int = low, .high_int = high};

    return suggest_int(trial, name, &distribution, out);
}

int hpo_suggest_int_step(struct hpo_trial *trial, const char *name, int64_t low, int64_t high,
                         int64_t step, int64_t *out)
{
    struct hpo_distribution distribution = {
        .kind = HPO_INT, .low_int = low, .high_int = high, .step_int = step};

    return suggest_int(trial, name, &distribution, out);
}

int hpo_suggest_categorical(struct hpo_trial *trial, const char *name, const char *const *choices,
                            size_t count, size_t *index)
{
    struct hpo_distribution distribution = {.kind = HPO_CATEGORICAL, .choice_count = count};
    struct hpo_choice *texts;
    double value;
    size_t i;
    int err;

    if (!trial)
        return HPO_INVALID;
    if (!index || (count > 0 && !choices) || count > 65535)
        return call_refuse(trial->store, HPO_INVALID,
                           "no choices, too many, or no place for the index");
    texts = trial->store->os->alloc(trial->store->os->self, (count + 1) * sizeof(*texts));
    if (!texts)
        return call_refuse(trial->store, HPO_NOMEM, "%s", hpo_strerror(HPO_NOMEM));
    for (i = 0; i < count; i++)
        texts[i] = (struct hpo_choice){.type = HPO_CHOICE_TEXT, .text = choices[i]};
    distribution.choices = texts;
    err = hpo_suggest(trial, name, &distribution, &value);
    if (err == 0)
        *index = (size_t)value;
    trial->store->os->free(trial->store->os->self, texts);
    return err;
}

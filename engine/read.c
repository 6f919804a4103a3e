/*
 * read: copies of what the state knows, for callers.
 *
 * What is handed out is a copy, so it stays true to the moment it was taken and lives as long as
 * the caller wants, whatever others append meanwhile. Each copy is one arena behind a public
 * struct.
 */
#include "read.h"
#include "attr.h"
#include "distribution.h"

#include <string.h>

/* -- studies -- */

static const struct hpo_option *copy_options(const struct record_algorithm *algorithm,
                                             struct arena *arena)
{
    struct hpo_option *options = arena_array(arena, algorithm->option_count, sizeof(*options));
    uint32_t i;

    if (!options)
        return NULL;
    for (i = 0; i < algorithm->option_count; i++) {
        options[i].key = arena_text(arena, algorithm->options[i].key);
        options[i].value = arena_text(arena, algorithm->options[i].value);
    }
    return options;
}

static void copy_params(const struct state_study *study, struct hpo_study_info *out,
                        struct arena *arena)
{
    uint32_t i, count;
    const uint32_t *declared = state_declared(study, &count);
    struct hpo_param *params;

    if (!declared)
        count = state_param_count(study);
    params = arena_array(arena, count, sizeof(*params));
    if (!params)
        return;
    for (i = 0; i < count; i++) {
        const struct state_param *param = state_param_at(study, declared ? declared[i] : i);

        params[i].name = arena_text(arena, param->definition.name);
        distribution_to_public(&param->definition.distribution, arena, &params[i].distribution);
    }
    out->params = params;
    out->param_count = count;
}

void read_study(const struct state_study *study, struct arena *arena, struct hpo_study_info *out)
{
    const struct record_study_create *config = state_study_config(study);
    enum hpo_direction *directions =
        arena_array(arena, config->direction_count, sizeof(*directions));
    struct state_counts counts;
    uint8_t i;

    memset(out, 0, sizeof(*out));
    if (!directions)
        return;
    state_study_counts(study, &counts);
    for (i = 0; i < config->direction_count; i++)
        directions[i] = (enum hpo_direction)config->directions[i];
    out->id = state_study_id(study);
    out->name = arena_text(arena, config->name);
    out->directions = directions;
    out->direction_count = config->direction_count;
    out->seed[0] = config->seed[0];
    out->seed[1] = config->seed[1];
    out->math_version = config->math_version;
    out->window = config->window;
    out->sampler = arena_text(arena, config->sampler.name);
    out->pruner = arena_text(arena, config->pruner.name);
    out->sampler_options = copy_options(&config->sampler, arena);
    out->sampler_option_count = config->sampler.option_count;
    out->pruner_options = copy_options(&config->pruner, arena);
    out->pruner_option_count = config->pruner.option_count;
    out->declared = config->declared;
    copy_params(study, out, arena);
    out->trials = counts.listed;
    out->running = counts.running;
    out->waiting = counts.waiting;
    out->complete = counts.complete;
    out->pruned = counts.pruned;
    out->failed = counts.failed;
    out->created_us = config->time.us;
    out->stopped = state_study_stopped(study);
}

/* A public struct with the arena that holds what it points to. */
struct study_copy {
    struct hpo_study_info info; /* first: its address is the caller's */
    struct arena arena;
};

struct trial_copy {
    struct hpo_trial_info info;
    struct arena arena;
};

int hpo_study_info(struct hpo_study *study, struct hpo_study_info **out)
{
    struct study_copy *copy = NULL;
    const struct state_study *found;
    struct hpo_store *store;
    int err;

    if (!study)
        return HPO_INVALID;
    store = study->store;
    if (!out)
        return call_refuse(store, HPO_INVALID, "no place for the result");
    err = call_begin(store);
    if (err < 0)
        return err;
    err = store_catch_up(store);
    if (err < 0)
        goto out;
    found = study_of(study, &err);
    if (!found)
        goto out;
    copy = store->os->alloc(store->os->self, sizeof(*copy));
    if (!copy) {
        err = HPO_NOMEM;
        goto out;
    }
    arena_init(&copy->arena, store->os);
    read_study(found, &copy->arena, &copy->info);
    if (copy->arena.failed) {
        hpo_study_info_free(&copy->info);
        err = HPO_NOMEM;
        goto out;
    }
    *out = &copy->info;

out:
    return call_end(store, err);
}

void hpo_study_info_free(struct hpo_study_info *info)
{
    struct study_copy *copy = (struct study_copy *)(void *)info;
    const struct hpo_os *os;

    if (!copy)
        return;
    os = copy->arena.os;
    arena_release(&copy->arena);
    os->free(os->self, copy);
}

/* -- trials -- */

static void copy_trial_params(const struct state_study *study, const struct state_trial *trial,
                              struct arena *arena, struct hpo_trial_info *out)
{
    struct hpo_trial_param *params = arena_array(arena, trial->value_count, sizeof(*params));
    struct hpo_distribution *distribution;
    uint32_t i;

    if (!params)
        return;
    for (i = 0; i < trial->value_count; i++) {
        const struct state_value *value = &trial->values[i];
        const struct state_param *param = state_param_at(study, value->param);
        struct hpo_trial_param *to = &params[out->param_count];

        /* What a waiting trial will be given is worth seeing, too. */
        if (!(value->flags & VALUE_ASKED) &&
            !(trial->state == TRIAL_WAITING && (value->flags & VALUE_FIXED)))
            continue;
        distribution = arena_alloc(arena, sizeof(*distribution));
        if (!distribution)
            return;
        to->name = arena_text(arena, param->definition.name);
        distribution_to_public(&param->definition.distribution, arena, distribution);
        to->distribution = distribution;
        to->value = value->value;
        to->text = distribution_text(&param->definition.distribution, value->value, arena);
        out->param_count++;
    }
    out->params = params;
}

static void copy_reports(const struct state_trial *trial, struct arena *arena,
                         struct hpo_trial_info *out)
{
    struct hpo_report_info *reports = arena_array(arena, trial->report_count, sizeof(*reports));
    uint32_t i;

    if (!reports)
        return;
    for (i = 0; i < trial->report_count; i++) {
        reports[i].step = trial->reports[i].step;
        reports[i].value = trial->reports[i].last;
    }
    out->reports = reports;
    out->report_count = trial->report_count;
}

static void copy_attrs(const struct state_trial *trial, struct arena *arena,
                       struct hpo_trial_info *out)
{
    struct hpo_attr_info *attrs = arena_array(arena, trial->attr_count, sizeof(*attrs));
    uint32_t i;

    if (!attrs)
        return;
    for (i = 0; i < trial->attr_count; i++) {
        struct bytes value = state_attr_value(trial, i);

        if (trial->attrs[i].removed)
            continue;
        attrs[out->attr_count].space = (enum hpo_attr_space)trial->attrs[i].space;
        attrs[out->attr_count].key = arena_text(arena, state_attr_key(trial, i));
        attrs[out->attr_count].value = arena_text(arena, value);
        attrs[out->attr_count].size = value.size;
        out->attr_count++;
    }
    out->attrs = attrs;
}

static int64_t public_time(const struct record_time *time)
{
    return time->kind == 255 ? INT64_MIN : time->us;
}

void read_trial(const struct state_study *study, const struct state_trial *trial,
                struct arena *arena, struct hpo_trial_info *out)
{
    double *values = arena_array(arena, trial->objective_count, sizeof(*values));

    memset(out, 0, sizeof(*out));
    if (!values)
        return;
    out->number = trial->number;
    out->id = trial->id;
    out->study = trial->study;
    out->state = (enum hpo_trial_state)trial->state;
    out->detached = trial->state == TRIAL_RUNNING && trial->session == 0;
    out->view = trial->view;
    out->begin_lsn = trial->begin_lsn;
    out->end_lsn = trial->end_lsn;
    out->session = trial->state == TRIAL_RUNNING ? trial->session : 0;
    if (trial->objective_count)
        memcpy(values, trial->objectives, trial->objective_count * sizeof(*values));
    out->values = values;
    out->value_count = trial->objective_count;
    copy_trial_params(study, trial, arena, out);
    copy_reports(trial, arena, out);
    copy_attrs(trial, arena, out);
    out->begin_us = trial->begin_lsn || trial->imported ? public_time(&trial->begin) : INT64_MIN;
    out->end_us = trial->end_lsn ? public_time(&trial->end) : INT64_MIN;
}

static int trial_read_locked(struct hpo_study *study, uint64_t number, struct trial_copy **out)
{
    struct hpo_store *store = study->store;
    const struct state_study *found;
    struct state_trial trial;
    struct trial_copy *copy;
    int err;

    err = store_catch_up(store);
    if (err < 0)
        return err;
    found = study_of(study, &err);
    if (!found)
        return err;
    err = state_trial_by_number(found, number, &trial);
    if (err < 0)
        return call_error(HPO_NOT_FOUND, "there is no trial %llu", (unsigned long long)number);
    copy = store->os->alloc(store->os->self, sizeof(*copy));
    if (!copy)
        return HPO_NOMEM;
    arena_init(&copy->arena, store->os);
    read_trial(found, &trial, &copy->arena, &copy->info);
    if (copy->arena.failed) {
        hpo_trial_info_free(&copy->info);
        return HPO_NOMEM;
    }
    *out = copy;
    return 0;
}

int hpo_trial_read(struct hpo_study *study, uint64_t number, struct hpo_trial_info **out)
{
    struct trial_copy *copy = NULL;
    int err;

    if (!study)
        return HPO_INVALID;
    if (!out)
        return call_refuse(study->store, HPO_INVALID, "no place for the result");
    err = call_begin(study->store);
    if (err < 0)
        return err;
    err = trial_read_locked(study, number, &copy);
    if (err == 0)
        *out = &copy->info;
    return call_end(study->store, err);
}

void hpo_trial_info_free(struct hpo_trial_info *info)
{
    struct trial_copy *copy = (struct trial_copy *)(void *)info;
    const struct hpo_os *os;

    if (!copy)
        return;
    os = copy->arena.os;
    arena_release(&copy->arena);
    os->free(os->self, copy);
}

/* -- best -- */

int hpo_best(struct hpo_study *study, uint64_t *number)
{
    const struct state_study *found;
    int err;

    if (!study)
        return HPO_INVALID;
    if (!number)
        return call_refuse(study->store, HPO_INVALID, "no place for the result");
    err = call_begin(study->store);
    if (err < 0)
        return err;
    err = store_catch_up(study->store);
    if (err < 0)
        goto out;
    found = study_of(study, &err);
    if (!found)
        goto out;
    err = state_best(found, number);
    if (err == HPO_NOT_FOUND)
        err = call_error(err, "no trial of the study is complete");
    else if (err == HPO_INVALID)
        err = call_error(err, "the study has not one direction: ask for its Pareto front");

out:
    return call_end(study->store, err);
}

int hpo_pareto(struct hpo_study *study, uint64_t **numbers, size_t *count)
{
    const struct state_study *found;
    const uint64_t *front;
    size_t front_count, size;
    void *copy;
    int err;

    if (!study)
        return HPO_INVALID;
    if (!numbers || !count)
        return call_refuse(study->store, HPO_INVALID, "no place for the result");
    err = call_begin(study->store);
    if (err < 0)
        return err;
    err = store_catch_up(study->store);
    if (err < 0)
        goto out;
    found = study_of(study, &err);
    if (!found)
        goto out;
    err = state_pareto(found, &front, &front_count);
    if (err == HPO_INVALID)
        err = call_error(err, "the study has no directions");
    if (err < 0)
        goto out;
    err = attr_give(study->store,
                    (struct bytes){(const uint8_t *)front, front_count * sizeof(*front)}, &copy,
                    &size);
    if (err == 0) {
        *numbers = copy;
        *count = front_count;
    }

out:
    return call_end(study->store, err);
}

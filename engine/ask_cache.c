/*
 * ask_cache: a study in the samplers' form: configuration, parameters, rows. See ask.h.
 */
#include "ask.h"
#include "distribution.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* -- memory for samplers -- */

static void *allocator_alloc(void *context, size_t size)
{
    const struct hpo_os *os = context;

    return os->alloc(os->self, size);
}

static void *allocator_realloc(void *context, void *old, size_t size)
{
    const struct hpo_os *os = context;

    return os->realloc(os->self, old, size);
}

static void allocator_free(void *context, void *block)
{
    const struct hpo_os *os = context;

    if (block)
        os->free(os->self, block);
}

static struct sampler_allocator allocator_of(const struct hpo_os *os)
{
    return (struct sampler_allocator){
        .context = (void *)(uintptr_t)os, /* only read */
        .alloc = allocator_alloc,
        .realloc = allocator_realloc,
        .free = allocator_free,
    };
}

/* Room for one more element in a growing array. */
static int grow(const struct hpo_os *os, void **array, size_t *capacity, size_t count, size_t size)
{
    size_t wanted = *capacity ? *capacity : 16;
    void *grown;

    if (count < *capacity)
        return 0;
    while (wanted <= count)
        wanted *= 2;
    grown = os->realloc(os->self, *array, wanted * size);
    if (!grown)
        return HPO_NOMEM;
    memset((char *)grown + *capacity * size, 0, (wanted - *capacity) * size);
    *array = grown;
    *capacity = wanted;
    return 0;
}

/* -- askers and their lock -- */

static struct asker *asker_find(struct hpo_store *store, uint64_t study)
{
    struct asker *asker;

    for (asker = store->askers; asker; asker = asker->next)
        if (asker->study_id == study)
            return asker;
    return NULL;
}

static int asker_new(struct hpo_store *store, uint64_t study, struct asker **out)
{
    const struct hpo_os *os = store->os;
    struct asker *asker = os->alloc(os->self, sizeof(*asker));
    int err;

    if (!asker)
        return HPO_NOMEM;
    memset(asker, 0, sizeof(*asker));
    asker->store = store;
    asker->study_id = study;
    asker->allocator = allocator_of(os);
    arena_init(&asker->arena, os);
    err = os->mutex_new(os->self, &asker->sampling);
    if (err < 0) {
        os->free(os->self, asker);
        return error_from_errno(err);
    }
    asker->next = store->askers;
    store->askers = asker;
    *out = asker;
    return 0;
}

/* Forget what was made from the fold; keep the lock. */
static void asker_reset(struct asker *asker)
{
    const struct hpo_os *os = asker->store->os;

    if (asker->model)
        sampler_model_free(asker->sampler, asker->model);
    asker->model = NULL;
    configuration_free(asker->sampler);
    configuration_free(asker->pruner);
    asker->sampler = asker->pruner = NULL;
    asker->declared.allocator = &asker->allocator;
    space_release(&asker->declared);
    os->free(os->self, asker->params);
    os->free(os->self, (void *)asker->ended);
    os->free(os->self, (void *)asker->by_number);
    asker->params = NULL;
    asker->ended = asker->by_number = NULL;
    asker->param_capacity = asker->ended_capacity = asker->number_capacity = 0;
    asker->ended_count = asker->number_count = 0;
    memset(&asker->study, 0, sizeof(asker->study));
    arena_release(&asker->arena);
    arena_init(&asker->arena, os);
    asker->made = false;
}

static void asker_free(struct asker *asker)
{
    const struct hpo_os *os = asker->store->os;

    asker_reset(asker);
    os->mutex_free(os->self, asker->sampling);
    os->free(os->self, asker);
}

/* Askers of studies that are gone would pile up in a long-lived process. */
static void asker_prune(struct hpo_store *store)
{
    struct asker **link = &store->askers;

    while (*link) {
        struct asker *asker = *link;

        if (asker->users == 0 && store->state &&
            !state_study_by_id(store->state, asker->study_id)) {
            *link = asker->next;
            asker_free(asker);
        } else {
            link = &asker->next;
        }
    }
}

void askers_free(struct hpo_store *store)
{
    while (store->askers) {
        struct asker *asker = store->askers;

        store->askers = asker->next;
        asker_free(asker);
    }
}

int asker_take(struct hpo_store *store, uint64_t study, struct asker **out)
{
    const struct hpo_os *os = store->os;
    struct asker *asker = asker_find(store, study);
    int err;

    if (!asker) {
        asker_prune(store);
        err = asker_new(store, study, &asker);
        if (err < 0)
            return err;
    }
    asker->users++;
    os->mutex_unlock(os->self, store->mutex); /* order of locks: sampling, then mutex */
    os->mutex_lock(os->self, asker->sampling);
    os->mutex_lock(os->self, store->mutex);
    *out = asker;
    return 0;
}

void asker_release(struct asker *asker)
{
    const struct hpo_os *os = asker->store->os;

    asker->users--;
    os->mutex_unlock(os->self, asker->sampling);
}

bool asker_is_quick(const struct asker *asker)
{
    return !asker->sampler->sampler->model_new;
}

/* -- configuration -- */

static int sampler_failed(int err, const struct sampler_message *message)
{
    switch (err) {
    case SAMPLER_NOMEM:
        return HPO_NOMEM;
    case SAMPLER_MATH:
        return call_error(HPO_UNSUPPORTED, "this build does not compute the bits it must");
    default:
        return call_error(HPO_INVALID, "%s", message->text);
    }
}

static int options_to_sampler(const struct record_algorithm *algorithm, struct arena *arena,
                              struct sampler_option **out)
{
    struct sampler_option *options = arena_array(arena, algorithm->option_count, sizeof(*options));
    uint32_t i;

    if (!options)
        return HPO_NOMEM;
    for (i = 0; i < algorithm->option_count; i++) {
        options[i].key = arena_text(arena, algorithm->options[i].key);
        options[i].value = arena_text(arena, algorithm->options[i].value);
    }
    *out = options;
    return arena->failed ? HPO_NOMEM : 0;
}

static int configure_sampler(struct asker *asker, const struct record_study_create *config)
{
    struct sampler_message message = {""};
    struct sampler_option *options;
    const struct sampler *sampler;
    char *name = arena_text(&asker->arena, config->sampler.name);
    int err;

    if (!name)
        return HPO_NOMEM;
    sampler = sampler_find(name);
    if (!sampler)
        return call_error(HPO_UNSUPPORTED,
                          "this build has no sampler \"%.64s\", which the study uses", name);
    if (sampler->version != config->sampler.version)
        return call_error(HPO_INCOMPATIBLE,
                          "the study's sampler %.64s has version %u, this build's %u: go on by "
                          "allowing the change",
                          name, config->sampler.version, sampler->version);
    err = options_to_sampler(&config->sampler, &asker->arena, &options);
    if (err < 0)
        return err;
    err = sampler_configure(sampler, &asker->study, options, config->sampler.option_count, 0,
                            &asker->allocator, &message, &asker->sampler);
    return err < 0 ? sampler_failed(err, &message) : 0;
}

static int configure_pruner(struct asker *asker, const struct record_study_create *config)
{
    struct sampler_message message = {""};
    struct sampler_option *options;
    const struct pruner *pruner;
    char *name;
    int err;

    if (config->pruner.name.size == 0)
        return 0;
    name = arena_text(&asker->arena, config->pruner.name);
    if (!name)
        return HPO_NOMEM;
    pruner = pruner_find(name);
    if (!pruner)
        return call_error(HPO_UNSUPPORTED,
                          "this build has no pruner \"%.64s\", which the study uses", name);
    if (pruner->version != config->pruner.version)
        return call_error(HPO_INCOMPATIBLE,
                          "the study's pruner %.64s has version %u, this build's %u: go on by "
                          "allowing the change",
                          name, config->pruner.version, pruner->version);
    err = options_to_sampler(&config->pruner, &asker->arena, &options);
    if (err < 0)
        return err;
    err = pruner_configure(pruner, &asker->study, options, config->pruner.option_count,
                           &asker->allocator, &message, &asker->pruner);
    return err < 0 ? sampler_failed(err, &message) : 0;
}

/* -- parameters -- */

static int add_param(struct asker *asker, const struct state_param *param)
{
    struct sampler_param *to;
    char *name;
    int err;

    err = grow(asker->store->os, (void **)&asker->params, &asker->param_capacity, param->number,
               sizeof(*asker->params));
    if (err < 0)
        return err;
    name = arena_text(&asker->arena, param->definition.name);
    if (!name)
        return HPO_NOMEM;
    to = &asker->params[param->number];
    *to = (struct sampler_param){
        .name = name,
        .name_size = param->definition.name.size,
        .number = param->number,
        .family = param->family,
        .slot = param->place ? DRAW_SLOT_DECLARED + (param->place - 1) : 0,
    };
    distribution_to_sampler(&param->definition.distribution, &to->distribution);
    asker->study.params = asker->params;
    asker->study.param_count = param->number + 1;
    return 0;
}

static int add_params(struct asker *asker, const struct state_study *study)
{
    uint32_t number, count = state_param_count(study);
    int err;

    for (number = asker->study.param_count; number < count; number++) {
        err = add_param(asker, state_param_at(study, number));
        if (err < 0)
            return err;
    }
    asker->study.params = asker->params;
    return 0;
}

static int declare_space(struct asker *asker, const struct state_study *study)
{
    uint32_t i, count;
    const uint32_t *numbers = state_declared(study, &count);

    asker->declared.allocator = &asker->allocator;
    if (!numbers)
        return 0;
    for (i = 0; i < count; i++)
        if (space_add(&asker->declared, &asker->params[numbers[i]]) < 0)
            return HPO_NOMEM;
    asker->study.declared = &asker->declared;
    return 0;
}

static int asker_make(struct asker *asker, const struct state_study *study)
{
    const struct record_study_create *config = state_study_config(study);
    uint8_t *directions = arena_alloc(&asker->arena, config->direction_count);
    char *name = arena_text(&asker->arena, config->name);
    int err;

    if (!directions || !name)
        return HPO_NOMEM;
    if (config->math_version != ask_math_version())
        return call_error(HPO_INCOMPATIBLE,
                          "the study was made with math version %u, this build has %u: go on by "
                          "allowing the change",
                          config->math_version, ask_math_version());
    if (config->direction_count)
        memcpy(directions, config->directions, config->direction_count);
    asker->study.name = name;
    asker->study.name_size = config->name.size;
    asker->study.key.words[0] = config->seed[0];
    asker->study.key.words[1] = config->seed[1];
    asker->study.directions = directions;
    asker->study.direction_count = config->direction_count;
    err = add_params(asker, study);
    if (err == 0)
        err = declare_space(asker, study);
    if (err == 0)
        err = configure_sampler(asker, config);
    if (err == 0)
        err = configure_pruner(asker, config);
    return err;
}

int asker_update(struct asker *asker, const struct state_study *study)
{
    struct hpo_store *store = asker->store;
    int err;

    if (asker->made && asker->fold_serial == store->fold_serial &&
        asker->config_lsn == state_study_config_lsn(study))
        return add_params(asker, study);
    asker_reset(asker);
    err = asker_make(asker, study);
    if (err < 0) {
        asker_reset(asker);
        return err;
    }
    asker->made = true;
    asker->fold_serial = store->fold_serial;
    asker->config_lsn = state_study_config_lsn(study);
    return 0;
}

void asker_param(const struct asker *asker, const struct state_study *study,
                 const struct state_trial *trial, uint32_t number, struct sampler_param *out)
{
    uint64_t ordinal = 0;
    uint32_t i;

    assert(number < asker->study.param_count);
    *out = asker->params[number];
    if (out->slot != 0)
        return;
    for (i = 0; i < trial->value_count; i++)
        if ((trial->values[i].flags & VALUE_ASKED) &&
            state_param_at(study, trial->values[i].param)->place == 0)
            ordinal++;
    out->slot = DRAW_SLOT_UNDECLARED + ordinal;
}

/* -- rows -- */

/* Does this entry stand in the row? One that its distribution does not contain never does: such
 * values come from queue entries and other people's samplers. */
static bool value_counts(const struct asker *asker, const struct state_trial *trial, uint32_t index,
                         bool running)
{
    const struct state_value *value = &trial->values[index];
    uint32_t family, i;

    if (!distribution_contains(&asker->params[value->param].distribution, value->value))
        return false;
    if (value->flags & VALUE_ASKED)
        return true;
    if (!running || !(value->flags & VALUE_JOINT))
        return false;
    /* Drawn jointly and not asked for, unless asking has added an entry of its own. */
    family = asker->params[value->param].family;
    for (i = 0; i < trial->value_count; i++)
        if ((trial->values[i].flags & VALUE_ASKED) &&
            asker->params[trial->values[i].param].family == family)
            return false;
    return true;
}

static int by_step(const struct sampler_report *a, const struct sampler_report *b)
{
    return a->step < b->step ? -1 : a->step > b->step;
}

/* Insertion sort: reports come ascending but for a few. Steps differ. */
static void sort_reports(struct sampler_report *reports, uint32_t count)
{
    uint32_t i, j;

    for (i = 1; i < count; i++) {
        struct sampler_report report = reports[i];

        for (j = i; j > 0 && by_step(&report, &reports[j - 1]) < 0; j--)
            reports[j] = reports[j - 1];
        reports[j] = report;
    }
}

static uint8_t *copy_bytes(struct arena *arena, struct bytes bytes)
{
    return (uint8_t *)arena_text(arena, bytes);
}

static void fill_decisions(struct sampler_trial *row, const struct state_trial *trial,
                           struct arena *arena)
{
    struct sampler_decision *decisions =
        arena_array(arena, trial->decision_count, sizeof(*decisions));
    uint32_t i;

    if (!decisions)
        return;
    for (i = 0; i < trial->decision_count; i++) {
        struct bytes note = state_decision_note(trial, i);

        decisions[i].step = trial->decisions[i].step;
        decisions[i].prune = trial->decisions[i].prune != 0;
        decisions[i].note = copy_bytes(arena, note);
        decisions[i].note_size = note.size;
    }
    row->decisions = decisions;
    row->decision_count = trial->decision_count;
}

/* A trial as samplers see it, all of it in the arena. `extra` more values fit behind the last. */
static int fill_row(const struct asker *asker, const struct state_trial *trial, bool running,
                    uint32_t extra, struct arena *arena, struct sampler_trial *row)
{
    struct sampler_value *values =
        arena_array(arena, (size_t)trial->value_count + extra, sizeof(*values));
    struct sampler_report *reports = arena_array(arena, trial->report_count, sizeof(*reports));
    double *objectives = arena_array(arena, trial->objective_count, sizeof(*objectives));
    struct bytes note = state_trial_note(trial);
    uint32_t i;

    memset(row, 0, sizeof(*row));
    row->number = trial->number;
    row->state = running ? SAMPLER_RUNNING : trial->state;
    fill_decisions(row, trial, arena);
    row->note = copy_bytes(arena, note);
    row->note_size = note.size;
    if (arena->failed)
        return HPO_NOMEM;
    for (i = 0; i < trial->value_count; i++)
        if (value_counts(asker, trial, i, running))
            values[row->value_count++] = (struct sampler_value){
                .param = trial->values[i].param,
                .value = trial->values[i].value,
            };
    row->values = values;
    for (i = 0; i < trial->report_count; i++) {
        reports[i].step = trial->reports[i].step;
        reports[i].value = trial->reports[i].first;
    }
    sort_reports(reports, trial->report_count);
    row->reports = reports;
    row->report_count = trial->report_count;
    /* Other storages know COMPLETE trials with as many objectives as they like. */
    if (row->state == SAMPLER_COMPLETE && trial->objective_count != asker->study.direction_count)
        row->state = SAMPLER_FAIL;
    if (row->state == SAMPLER_COMPLETE) {
        if (trial->objective_count)
            memcpy(objectives, trial->objectives, trial->objective_count * sizeof(*objectives));
        row->objectives = objectives;
        row->objective_count = trial->objective_count;
    }
    return 0;
}

static int add_row(struct asker *asker, const struct state_trial *trial)
{
    const struct hpo_os *os = asker->store->os;
    struct sampler_trial *row;
    int err;

    err = grow(os, (void **)&asker->ended, &asker->ended_capacity, asker->ended_count,
               sizeof(*asker->ended));
    if (err == 0)
        err = grow(os, (void **)&asker->by_number, &asker->number_capacity, trial->number,
                   sizeof(*asker->by_number));
    if (err < 0)
        return err;
    row = arena_alloc(&asker->arena, sizeof(*row));
    if (!row)
        return HPO_NOMEM;
    err = fill_row(asker, trial, false, 0, &asker->arena, row);
    if (err < 0)
        return err;
    asker->ended[asker->ended_count++] = row;
    asker->by_number[trial->number] = row;
    if (trial->number >= asker->number_count)
        asker->number_count = trial->number + 1;
    return 0;
}

/* Rows of the first `count` ended trials exist afterwards. */
static int add_rows(struct asker *asker, const struct state_study *study, size_t count)
{
    struct state_trial trial;
    int err;

    while (asker->ended_count < count) {
        state_ended_at(study, asker->ended_count, &trial);
        err = add_row(asker, &trial);
        if (err < 0)
            return err;
    }
    return 0;
}

/* -- plans -- */

static int running_rows(struct plan *plan, const struct state_study *study, uint64_t view,
                        uint64_t except)
{
    struct state_trial_list list = {.os = plan->asker->store->os};
    const struct sampler_trial **rows;
    struct sampler_trial *row;
    size_t i;
    int err;

    err = state_view_running(study, view, except, &list);
    if (err < 0)
        goto release;
    rows = arena_array(&plan->arena, list.count, sizeof(*rows));
    row = arena_array(&plan->arena, list.count, sizeof(*row));
    if (!rows || !row) {
        err = HPO_NOMEM;
        goto release;
    }
    for (i = 0; i < list.count && err == 0; i++) {
        err = fill_row(plan->asker, &list.trials[i], true, 0, &plan->arena, &row[i]);
        rows[i] = &row[i];
    }
    plan->view.running = rows;
    plan->view.running_count = list.count;

release:
    state_trial_list_release(&list);
    return err;
}

static int fill_log_view(struct plan *plan, const struct state_study *study, uint64_t view,
                         uint64_t except)
{
    struct asker *asker = plan->asker;
    size_t count = state_view_ended(study, view);
    int err;

    err = add_rows(asker, study, count);
    if (err < 0)
        return err;
    plan->view.ended = asker->ended;
    plan->view.ended_count = count;
    return running_rows(plan, study, view, except);
}

/* Window W: exactly the finished trials 0 .. n - W (docs/determinism.md). */
static int fill_window_view(struct plan *plan, const struct state_study *study, uint64_t number)
{
    struct asker *asker = plan->asker;
    uint32_t window = state_study_config(study)->window;
    uint64_t count = window > 0 && number >= window ? number - window + 1 : 0;
    int err;

    err = add_rows(asker, study, state_ended_count(study));
    if (err < 0)
        return err;
    assert(count <= asker->number_count); /* the trial could not have begun otherwise */
    plan->view.ended = asker->by_number;
    plan->view.ended_count = (size_t)count;
    return 0;
}

static int plan_begin(struct plan *plan, struct asker *asker, const struct state_study *study,
                      const struct state_trial *trial)
{
    uint32_t extra = asker->study.param_count + 1;
    int err;

    memset(plan, 0, sizeof(*plan));
    arena_init(&plan->arena, asker->store->os);
    plan->asker = asker;
    plan->note.allocator = &asker->allocator;
    plan->draws.allocator = &asker->allocator;
    (void)study;
    err = fill_row(asker, trial, true, extra, &plan->arena, &plan->own);
    if (err < 0)
        return err;
    plan->own_values = (struct sampler_value *)(uintptr_t)plan->own.values; /* ours, in the arena */
    plan->own_capacity = trial->value_count + extra;
    return 0;
}

int plan_prepare(struct plan *plan, struct asker *asker, const struct state_study *study,
                 const struct state_trial *trial)
{
    int err;

    err = plan_begin(plan, asker, study, trial);
    if (err < 0)
        return err;
    /* A pruner that divides the study into brackets looks at the view on the sampler's behalf. */
    if (asker->sampler->sampler->blind && (!asker->pruner || asker->pruner->pruner->blind))
        return 0;
    plan->with_view = true;
    if (trial->mode == VIEW_WINDOW)
        return fill_window_view(plan, study, trial->number);
    return fill_log_view(plan, study, trial->view, trial->number);
}

int plan_prepare_pruning(struct plan *plan, struct asker *asker, const struct state_study *study,
                         const struct state_trial *trial, uint64_t view)
{
    int err;

    err = plan_begin(plan, asker, study, trial);
    if (err < 0 || asker->pruner->pruner->blind)
        return err;
    plan->with_view = true;
    if (trial->mode == VIEW_WINDOW)
        return fill_window_view(plan, study, trial->number);
    return fill_log_view(plan, study, view, trial->number);
}

void plan_release(struct plan *plan)
{
    if (!plan->asker)
        return;
    draw_list_release(&plan->draws);
    sampler_bytes_release(&plan->note);
    arena_release(&plan->arena);
    plan->asker = NULL;
}

/*
 * history_fields: see history_fields.h.
 *
 * Names are keys of JSON objects and stay the same for ever; a repeated group is
 * "group.index.name". Numbers that only the log knows (parameters, trial ids) come with what they
 * stand for.
 */
#include "history_fields.h"
#include "distribution.h"

#include <stdio.h>
#include <string.h>

struct fields {
    struct arena *arena;
    struct hpo_field *list;
    size_t count, capacity;
    const struct history_context *context;
};

/* -- one field -- */

static struct hpo_field *add(struct fields *fields, const char *name, enum hpo_field_type type)
{
    struct hpo_field *field;

    if (fields->count == fields->capacity) {
        size_t capacity = fields->capacity ? fields->capacity * 2 : 16;
        struct hpo_field *grown = arena_array(fields->arena, capacity, sizeof(*grown));

        if (!grown)
            return NULL;
        if (fields->count)
            memcpy(grown, fields->list, fields->count * sizeof(*grown));
        fields->list = grown;
        fields->capacity = capacity;
    }
    field = &fields->list[fields->count++];
    field->name = name;
    field->type = type;
    return field;
}

static void add_uint(struct fields *fields, const char *name, uint64_t value)
{
    struct hpo_field *field = add(fields, name, HPO_FIELD_UINT);

    if (field)
        field->uint = value;
}

static void add_hex(struct fields *fields, const char *name, uint64_t value)
{
    struct hpo_field *field = add(fields, name, HPO_FIELD_HEX64);

    if (field)
        field->uint = value;
}

static void add_int(struct fields *fields, const char *name, int64_t value)
{
    struct hpo_field *field = add(fields, name, HPO_FIELD_INT);

    if (field)
        field->sint = value;
}

static void add_real(struct fields *fields, const char *name, double value)
{
    struct hpo_field *field = add(fields, name, HPO_FIELD_REAL);

    if (field)
        field->real = value;
}

static void add_bool(struct fields *fields, const char *name, bool value)
{
    struct hpo_field *field = add(fields, name, HPO_FIELD_BOOL);

    if (field)
        field->uint = value;
}

static void add_data(struct fields *fields, const char *name, enum hpo_field_type type,
                     struct bytes bytes)
{
    char *copy = arena_text(fields->arena, bytes);
    struct hpo_field *field = copy ? add(fields, name, type) : NULL;

    if (field) {
        field->text = copy;
        field->size = bytes.size;
    }
}

static void add_text(struct fields *fields, const char *name, const char *text)
{
    add_data(fields, name, HPO_FIELD_TEXT, (struct bytes){(const uint8_t *)text, strlen(text)});
}

static void add_hex_bytes(struct fields *fields, const char *name, const uint8_t bytes[16])
{
    char text[33];
    int i;

    for (i = 0; i < 16; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    add_text(fields, name, text);
}

/* "group.index.member", or "group.index" */
static const char *indexed(struct fields *fields, const char *group, uint32_t index,
                           const char *member)
{
    char name[256];

    (void)snprintf(name, sizeof(name), "%s.%u%s%s", group, index, member ? "." : "",
                   member ? member : "");
    return arena_string(fields->arena, name);
}

static const char *joined(struct fields *fields, const char *group, const char *member)
{
    char name[256];

    (void)snprintf(name, sizeof(name), "%s%s", group, member);
    return arena_string(fields->arena, name);
}

/* -- things that several records have -- */

static void add_time(struct fields *fields, const char *name, const struct record_time *time)
{
    if (time->kind == 255)
        return;
    add_int(fields, name, time->us);
    if (time->kind != 0)
        add_bool(fields, joined(fields, name, "_local"), true);
}

static const struct state_study *add_study(struct fields *fields, uint64_t id)
{
    const struct state_study *study = state_study_by_id(fields->context->state, id);

    add_uint(fields, "study", id);
    if (study)
        add_data(fields, "study_name", HPO_FIELD_TEXT, state_study_config(study)->name);
    return study;
}

/* Its study and number, as far as they are still known. */
static const struct state_study *add_trial(struct fields *fields, uint64_t id)
{
    struct state_trial trial;
    int err;

    if (id == 0)
        return NULL;
    add_uint(fields, "trial", id);
    err = state_trial_by_id(fields->context->state, id, &trial);
    if (err != 0 && err != HPO_ROLLED_BACK)
        return NULL;
    add_uint(fields, "number", trial.number);
    return add_study(fields, trial.study);
}

static void add_distribution(struct fields *fields, const char *prefix,
                             const struct record_distribution *d)
{
    uint32_t i;

    switch (d->kind) {
    case DISTRIBUTION_FLOAT:
        add_text(fields, joined(fields, prefix, "kind"), "float");
        add_real(fields, joined(fields, prefix, "low"), d->low);
        add_real(fields, joined(fields, prefix, "high"), d->high);
        if (d->has_step)
            add_real(fields, joined(fields, prefix, "step"), d->step);
        break;
    case DISTRIBUTION_INT:
        add_text(fields, joined(fields, prefix, "kind"), "int");
        add_int(fields, joined(fields, prefix, "low"), d->low_int);
        add_int(fields, joined(fields, prefix, "high"), d->high_int);
        if (d->has_step)
            add_int(fields, joined(fields, prefix, "step"), d->step_int);
        break;
    default:
        add_text(fields, joined(fields, prefix, "kind"), "choice");
        break;
    }
    if (d->log)
        add_bool(fields, joined(fields, prefix, "log"), true);
    for (i = 0; i < d->choice_count; i++) {
        const struct record_choice *choice = &d->choices[i];
        const char *name = indexed(fields, joined(fields, prefix, "choices"), i, NULL);

        switch (choice->type) {
        case CHOICE_BOOL:
            add_bool(fields, name, choice->boolean);
            break;
        case CHOICE_INT:
            add_int(fields, name, choice->integer);
            break;
        case CHOICE_FLOAT:
            add_real(fields, name, choice->real);
            break;
        case CHOICE_TEXT:
            add_data(fields, name, HPO_FIELD_TEXT, choice->text);
            break;
        default:
            (void)add(fields, name, HPO_FIELD_BYTES); /* null: bytes without bytes */
            break;
        }
    }
}

static void add_space(struct fields *fields, const struct record_param *params, uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        add_data(fields, indexed(fields, "params", i, "name"), HPO_FIELD_TEXT, params[i].name);
        add_distribution(fields, indexed(fields, "params", i, ""), &params[i].distribution);
    }
}

static void add_algorithm(struct fields *fields, const char *what,
                          const struct record_algorithm *algorithm)
{
    uint32_t i;

    add_data(fields, what, HPO_FIELD_TEXT, algorithm->name);
    if (algorithm->name.size == 0)
        return;
    add_uint(fields, joined(fields, what, "_version"), algorithm->version);
    for (i = 0; i < algorithm->option_count; i++) {
        const char *group = joined(fields, what, "_options");

        add_data(fields, indexed(fields, group, i, "key"), HPO_FIELD_TEXT,
                 algorithm->options[i].key);
        add_data(fields, indexed(fields, group, i, "value"), HPO_FIELD_TEXT,
                 algorithm->options[i].value);
    }
}

static void add_seed(struct fields *fields, const uint64_t seed[2])
{
    add_hex(fields, "seed_low", seed[0]);
    add_hex(fields, "seed_high", seed[1]);
}

static const char *space_name(uint8_t space)
{
    static const char *const names[] = {"user", "system", "own"};

    return space < 3 ? names[space] : "?";
}

static void add_attr(struct fields *fields, const struct record_attr *attr)
{
    add_text(fields, "space", space_name(attr->space));
    add_data(fields, "key", HPO_FIELD_TEXT, attr->key);
    if (attr->pieces > 1) {
        add_uint(fields, "piece", attr->piece);
        add_uint(fields, "pieces", attr->pieces);
    }
    if (attr->removed)
        add_bool(fields, "removed", true);
    else
        add_data(fields, "value", HPO_FIELD_BYTES, attr->value);
}

/* "values.0.": the parameter by number, name, and the value as number and text. */
static void add_value(struct fields *fields, const char *prefix, const struct state_study *study,
                      const struct record_value *value)
{
    const struct state_param *param = study ? state_param_at(study, value->param) : NULL;
    char *text;

    add_uint(fields, joined(fields, prefix, "param"), value->param);
    if (param)
        add_data(fields, joined(fields, prefix, "name"), HPO_FIELD_TEXT, param->definition.name);
    add_real(fields, joined(fields, prefix, "value"), value->value);
    if (!param)
        return;
    text = distribution_text(&param->definition.distribution, value->value, fields->arena);
    if (text)
        add_text(fields, joined(fields, prefix, "text"), text);
}

static void add_values(struct fields *fields, const struct state_study *study,
                       const struct record_value *values, uint32_t count, bool with_asked)
{
    uint32_t i;

    for (i = 0; i < count; i++) {
        add_value(fields, indexed(fields, "values", i, ""), study, &values[i]);
        if (with_asked)
            add_bool(fields, indexed(fields, "values", i, "asked"), values[i].asked);
    }
}

static void add_objectives(struct fields *fields, const double *objectives, uint32_t count)
{
    uint32_t i;

    for (i = 0; i < count; i++)
        add_real(fields, indexed(fields, "objectives", i, NULL), objectives[i]);
}

static const char *state_name(uint8_t state)
{
    static const char *const names[] = {"running", "complete", "pruned", "fail", "waiting"};

    return state < 5 ? names[state] : "?";
}

/* -- by type -- */

static void sessions_and_store(struct fields *fields, const struct record *record)
{
    switch (record->type) {
    case RECORD_SESSION_OPEN:
        add_uint(fields, "slot", record->session_open.slot);
        add_hex_bytes(fields, "boot_id", record->session_open.boot_id);
        add_uint(fields, "process_id", record->session_open.process_id);
        add_data(fields, "host", HPO_FIELD_TEXT, record->session_open.host);
        add_data(fields, "program", HPO_FIELD_TEXT, record->session_open.program);
        add_time(fields, "time_us", &record->session_open.time);
        break;
    case RECORD_SESSION_CLOSE:
        add_uint(fields, "closes", record->session_close.session);
        add_bool(fields, "keep", record->session_close.keep != 0);
        break;
    case RECORD_HEARTBEAT:
        (void)add_trial(fields, record->heartbeat.trial);
        add_hex_bytes(fields, "boot_id", record->heartbeat.boot_id);
        add_int(fields, "boot_time_us", record->heartbeat.boot_time_us);
        break;
    default:
        add_uint(fields, "snapshot_lsn", record->snapshot_done.lsn);
        add_hex(fields, "snapshot_chain", record->snapshot_done.chain);
        add_hex_bytes(fields, "digest", record->snapshot_done.digest);
        break;
    }
}

static void study_create(struct fields *fields, const struct record_study_create *create)
{
    uint32_t i;

    add_uint(fields, "study", create->study);
    add_data(fields, "study_name", HPO_FIELD_TEXT, create->name);
    for (i = 0; i < create->direction_count; i++)
        add_text(fields, indexed(fields, "directions", i, NULL),
                 create->directions[i] ? "maximize" : "minimize");
    add_seed(fields, create->seed);
    add_uint(fields, "math_version", create->math_version);
    add_uint(fields, "window", create->window);
    add_algorithm(fields, "sampler", &create->sampler);
    add_algorithm(fields, "pruner", &create->pruner);
    add_bool(fields, "declared", create->declared);
    add_space(fields, create->params, create->param_count);
    add_time(fields, "time_us", &create->time);
}

static void study_config(struct fields *fields, const struct record_study_config *config)
{
    (void)add_study(fields, config->study);
    if (config->has_sampler)
        add_algorithm(fields, "sampler", &config->sampler);
    if (config->has_pruner)
        add_algorithm(fields, "pruner", &config->pruner);
    if (config->has_seed)
        add_seed(fields, config->seed);
    if (config->has_math_version)
        add_uint(fields, "math_version", config->math_version);
    if (config->has_space)
        add_space(fields, config->params, config->param_count);
}

static void sampler_state(struct fields *fields, const struct record_sampler_state *state)
{
    uint32_t i;

    (void)add_study(fields, state->study);
    if (state->trial)
        add_uint(fields, "trial", state->trial);
    for (i = 0; i < state->part_count; i++) {
        add_data(fields, indexed(fields, "parts", i, "name"), HPO_FIELD_TEXT, state->parts[i].key);
        add_data(fields, indexed(fields, "parts", i, "value"), HPO_FIELD_BYTES,
                 state->parts[i].value);
    }
}

static void studies(struct fields *fields, const struct record *record)
{
    switch (record->type) {
    case RECORD_STUDY_CREATE:
        study_create(fields, &record->study_create);
        break;
    case RECORD_STUDY_DELETE:
        add_uint(fields, "study", record->study_delete.study);
        if (fields->context->deleted.size)
            add_data(fields, "study_name", HPO_FIELD_TEXT, fields->context->deleted);
        break;
    case RECORD_STUDY_CONFIG:
        study_config(fields, &record->study_config);
        break;
    case RECORD_STUDY_ATTR:
        (void)add_study(fields, record->study_attr.study);
        if (record->study_attr.on_behalf)
            add_uint(fields, "on_behalf", record->study_attr.on_behalf);
        add_attr(fields, &record->study_attr.attr);
        break;
    case RECORD_PARAM_DEFINE:
        (void)add_study(fields, record->param_define.study);
        add_uint(fields, "param", record->param_define.param);
        add_data(fields, "name", HPO_FIELD_TEXT, record->param_define.definition.name);
        add_distribution(fields, "", &record->param_define.definition.distribution);
        break;
    default:
        sampler_state(fields, &record->sampler_state);
        break;
    }
}

static void enqueue(struct fields *fields, const struct record_trial_enqueue *enqueue)
{
    const struct state_study *study;

    add_uint(fields, "trial", enqueue->trial);
    add_uint(fields, "number", enqueue->number);
    study = add_study(fields, enqueue->study);
    if (enqueue->on_behalf)
        add_uint(fields, "on_behalf", enqueue->on_behalf);
    add_values(fields, study, enqueue->values, enqueue->value_count, false);
    add_time(fields, "time_us", &enqueue->time);
}

static void begin(struct fields *fields, const struct record_trial_begin *begin)
{
    static const char *const modes[] = {"log", "window", "live"};

    add_uint(fields, "trial", begin->trial);
    add_uint(fields, "number", begin->number);
    (void)add_study(fields, begin->study);
    add_uint(fields, "view", begin->view);
    add_text(fields, "mode", begin->mode < 3 ? modes[begin->mode] : "?");
    if (begin->detached)
        add_bool(fields, "detached", true);
    if (begin->popped)
        add_bool(fields, "popped", true);
    add_time(fields, "time_us", &begin->time);
}

static void import(struct fields *fields, const struct record_trial_import *import)
{
    const struct state_study *study;
    uint32_t i;

    add_uint(fields, "trial", import->trial);
    add_uint(fields, "number", import->number);
    study = add_study(fields, import->study);
    add_text(fields, "state", state_name(import->state));
    add_objectives(fields, import->objectives, import->objective_count);
    add_values(fields, study, import->values, import->value_count, false);
    for (i = 0; i < import->report_count; i++) {
        add_int(fields, indexed(fields, "reports", i, "step"), import->reports[i].step);
        add_real(fields, indexed(fields, "reports", i, "value"), import->reports[i].value);
    }
    for (i = 0; i < import->attr_count; i++) {
        add_text(fields, indexed(fields, "attrs", i, "space"), space_name(import->attrs[i].space));
        add_data(fields, indexed(fields, "attrs", i, "key"), HPO_FIELD_TEXT, import->attrs[i].key);
        add_data(fields, indexed(fields, "attrs", i, "value"), HPO_FIELD_BYTES,
                 import->attrs[i].value);
    }
    add_time(fields, "begin_us", &import->begin);
    add_time(fields, "end_us", &import->end);
}

static void draw(struct fields *fields, const struct record_draw *draw)
{
    uint32_t i;

    if (draw->trial)
        (void)add_trial(fields, draw->trial);
    else
        (void)add_study(fields, draw->study);
    if (draw->foreign) {
        add_bool(fields, "foreign", true);
        add_uint(fields, "label", draw->domain);
        add_uint(fields, "position", draw->third);
    } else {
        add_uint(fields, "domain", draw->domain);
        add_uint(fields, "instance", draw->instance);
        add_uint(fields, "third", draw->third);
    }
    for (i = 0; i < draw->part_count; i++) {
        add_uint(fields, indexed(fields, "parts", i, "slot"), draw->parts[i].slot);
        add_uint(fields, indexed(fields, "parts", i, "first"), draw->parts[i].first);
        add_uint(fields, indexed(fields, "parts", i, "count"), draw->parts[i].count);
    }
    add_hex(fields, "digest", draw->digest);
}

static void suggest(struct fields *fields, const struct record_suggest *suggest)
{
    const struct state_study *study = add_trial(fields, suggest->trial);

    add_bool(fields, "joint", suggest->joint);
    add_values(fields, study, suggest->values, suggest->value_count, suggest->joint);
    if (suggest->note.size)
        add_data(fields, "note", HPO_FIELD_BYTES, suggest->note);
}

static void prune_decision(struct fields *fields, const struct record_prune_decision *decision)
{
    (void)add_trial(fields, decision->trial);
    add_int(fields, "step", decision->step);
    add_uint(fields, "view", decision->view);
    add_bool(fields, "prune", decision->prune);
    if (decision->note.size)
        add_data(fields, "note", HPO_FIELD_BYTES, decision->note);
}

static void rollback(struct fields *fields, const struct record_trial_rollback *rollback)
{
    static const char *const reasons[] = {"?", "dead", "abandoned", "interrupted", "closed"};

    (void)add_trial(fields, rollback->trial);
    add_uint(fields, "of_session", rollback->session);
    add_text(fields, "reason", rollback->reason < 5 ? reasons[rollback->reason] : "?");
}

static void trials(struct fields *fields, const struct record *record)
{
    const struct state_study *study;

    switch (record->type) {
    case RECORD_TRIAL_ENQUEUE:
        enqueue(fields, &record->trial_enqueue);
        break;
    case RECORD_TRIAL_BEGIN:
        begin(fields, &record->trial_begin);
        break;
    case RECORD_TRIAL_IMPORT:
        import(fields, &record->trial_import);
        break;
    case RECORD_DRAW:
        draw(fields, &record->draw);
        break;
    case RECORD_SUGGEST:
        suggest(fields, &record->suggest);
        break;
    case RECORD_PARAM_SET:
        study = add_trial(fields, record->param_set.trial);
        add_value(fields, "", study, &record->param_set.value);
        break;
    case RECORD_REPORT:
        (void)add_trial(fields, record->report.trial);
        add_int(fields, "step", record->report.report.step);
        add_real(fields, "value", record->report.report.value);
        break;
    case RECORD_PRUNE_DECISION:
        prune_decision(fields, &record->prune_decision);
        break;
    case RECORD_TRIAL_ATTR:
        (void)add_trial(fields, record->trial_attr.trial);
        add_attr(fields, &record->trial_attr.attr);
        break;
    case RECORD_TRIAL_FINISH:
        (void)add_trial(fields, record->trial_finish.trial);
        add_text(fields, "state", state_name(record->trial_finish.state));
        add_objectives(fields, record->trial_finish.objectives,
                       record->trial_finish.objective_count);
        if (record->trial_finish.stop)
            add_bool(fields, "stop", true);
        add_time(fields, "time_us", &record->trial_finish.time);
        break;
    default:
        rollback(fields, &record->trial_rollback);
        break;
    }
}

void history_fields(const struct record *record, const struct history_context *context,
                    struct arena *arena, const struct hpo_field **out, size_t *count)
{
    struct fields fields = {.arena = arena, .context = context};

    if (record->skipped)
        add_uint(&fields, "record_type", record->type);
    else if (record->type < RECORD_STUDY_CREATE)
        sessions_and_store(&fields, record);
    else if (record->type < RECORD_TRIAL_ENQUEUE)
        studies(&fields, record);
    else
        trials(&fields, record);
    *out = fields.list;
    *count = fields.count;
}

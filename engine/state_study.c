/*
 * state_study: studies and their parameters.
 *
 * A study's configuration is kept as the bytes of a STUDY_CREATE record and decoded from them: one
 * form for what was created, what was changed later, snapshots and digests. A parameter is a pair
 * of name and distribution, likewise kept as its bytes, which are what two definitions are
 * compared by.
 */
#include "state_internal.h"

#include <assert.h>
#include <string.h>

#include "hpo.h"
#include "state_blob.h"

/* A configuration with the memory that it points into. */
struct record_create_held {
    struct record_buffer bytes;
    struct record_scratch scratch;
    struct record record;
};

static void held_free(const struct hpo_os *os, struct record_create_held *held)
{
    if (!held)
        return;
    record_buffer_release(&held->bytes);
    record_scratch_release(&held->scratch);
    state_release(os, held);
}

static int held_new(const struct hpo_os *os, const struct record_study_create *config,
                    struct record_create_held **out)
{
    struct record record = {.type = RECORD_STUDY_CREATE, .study_create = *config};
    struct record_create_held *held = state_alloc(os, sizeof(*held));
    size_t used;
    int err;

    if (!held)
        return HPO_NOMEM;
    held->bytes.os = held->scratch.os = os;
    err = record_encode(&held->bytes, &record);
    if (err < 0)
        goto fail;
    err = record_decode(held->bytes.data, held->bytes.size, &held->scratch, &held->record, &used);
    if (err < 0)
        goto fail;
    *out = held;
    return 0;

fail:
    held_free(os, held);
    return err;
}

struct bytes study_config_bytes(const struct state_study *study)
{
    return (struct bytes){.data = study->held->bytes.data, .size = study->held->bytes.size};
}

/* -- finding -- */

static size_t study_place(const struct state *state, uint64_t id)
{
    size_t low = 0, high = state->study_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (state->studies[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct state_study *study_get(const struct state *state, uint64_t id)
{
    size_t at = study_place(state, id);

    if (at == state->study_count || state->studies[at]->id != id)
        return NULL;
    return state->studies[at];
}

static uint64_t name_hash(struct bytes name)
{
    return hash64(0, name.data, name.size);
}

static bool same_bytes(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

const struct state_study *state_study_find(const struct state *state, struct bytes name)
{
    struct state_study *study =
        (struct state_study *)(uintptr_t)map_get(&state->studies_by_name, name_hash(name));

    while (study && !same_bytes(study->config->name, name))
        study = study->next_name;
    return study;
}

const struct state_study *state_study_by_id(const struct state *state, uint64_t id)
{
    return study_get(state, id);
}

const struct state_study *state_study_after(const struct state *state, uint64_t id)
{
    size_t at = study_place(state, id + 1);

    return id < UINT64_MAX && at < state->study_count ? state->studies[at] : NULL;
}

uint64_t state_study_count(const struct state *state)
{
    return state->study_count;
}

uint64_t state_study_id(const struct state_study *study)
{
    return study->id;
}

uint64_t state_study_config_lsn(const struct state_study *study)
{
    return study->config_lsn;
}

const struct record_study_create *state_study_config(const struct state_study *study)
{
    return study->config;
}

/* -- making and freeing -- */

static int name_link(struct state *state, struct state_study *study)
{
    uint64_t hash = name_hash(study->config->name);

    study->next_name = (struct state_study *)(uintptr_t)map_get(&state->studies_by_name, hash);
    return map_put(&state->studies_by_name, hash, (uintptr_t)study);
}

static void name_unlink(struct state *state, struct state_study *study)
{
    uint64_t hash = name_hash(study->config->name);
    struct state_study *first =
        (struct state_study *)(uintptr_t)map_get(&state->studies_by_name, hash);

    if (first != study) {
        while (first->next_name != study)
            first = first->next_name;
        first->next_name = study->next_name;
    } else if (study->next_name) {
        (void)map_put(&state->studies_by_name, hash,
                      (uintptr_t)study->next_name); /* replaces: no memory needed */
    } else {
        map_remove(&state->studies_by_name, hash);
    }
}

int study_add(struct state *state, const struct record_study_create *config,
              struct state_study **out)
{
    const struct hpo_os *os = state->os;
    struct state_study *study;
    size_t at;
    int err;

    err = list_reserve(os, &state->studies, &state->study_capacity, state->study_count + 1);
    if (err < 0)
        return err;
    study = state_alloc(os, sizeof(*study));
    if (!study)
        return HPO_NOMEM;
    study->state = state;
    study->id = config->study;
    study->params_by_hash.os = study->families_by_hash.os = study->attrs_by_hash.os = os;
    study->param_scratch.os = os;
    err = held_new(os, config, &study->held);
    if (err < 0)
        goto fail;
    study->config = &study->held->record.study_create;
    err = name_link(state, study);
    if (err < 0)
        goto fail;
    at = study_place(state, study->id);
    list_open(state->studies, state->study_count, at, sizeof(*state->studies));
    state->studies[at] = study;
    state->study_count++;
    *out = study;
    return 0;

fail:
    study_free(study);
    return err;
}

static void live_list_free(const struct hpo_os *os, struct live_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        live_free(list->items[i]);
    state_release(os, list->items);
}

void study_free(struct state_study *study)
{
    const struct hpo_os *os = study->state->os;

    live_list_free(os, &study->queue);
    live_list_free(os, &study->running);
    for (uint32_t i = 0; i < study->param_count; i++)
        state_release(os, study->params[i].bytes);
    state_release(os, study->params);
    map_release(&study->params_by_hash);
    map_release(&study->families_by_hash);
    record_scratch_release(&study->param_scratch);
    state_release(os, study->declared);
    for (size_t i = 0; i < study->attr_count; i++)
        attr_entry_free(os, study->attrs[i]);
    state_release(os, study->attrs);
    map_release(&study->attrs_by_hash);
    state_release(os, study->by_number);
    state_release(os, study->pool);
    state_release(os, study->ended.items);
    state_release(os, study->attempts.items);
    chunks_release(os, &study->chunks);
    state_release(os, study->front);
    state_release(os, study->front_numbers);
    held_free(os, study->held);
    state_release(os, study);
}

/* -- records -- */

/* Define what the declared space names and the study has not got. */
static int define_declared(struct state_study *study)
{
    const struct record_study_create *config = study->config;
    int err;

    for (uint32_t i = 0; i < config->param_count; i++) {
        uint32_t number;

        err = state_param_find(study, &config->params[i], &number);
        if (err == HPO_NOT_FOUND)
            err = param_add(study, &config->params[i]);
        if (err < 0)
            return err;
    }
    err = study_declare(study);
    if (err == HPO_CORRUPT)
        return state_refuse(study->state, "a declared space with a name twice");
    return err;
}

int study_create(struct state *state, const struct record_study_create *record)
{
    struct state_study *study;
    int err;

    if (record->study != state->next_study || record->study > STATE_ID_MAX)
        return state_refuse(state, "not the next study's id");
    if (state_study_find(state, record->name))
        return state_refuse(state, "the study's name is taken");
    err = study_add(state, record, &study);
    if (err < 0)
        return err;
    state->next_study++;
    study->created_lsn = study->config_lsn = state->batch->at.lsn;
    return define_declared(study);
}

int study_config(struct state *state, const struct record_study_config *record)
{
    struct state_study *study = study_get(state, record->study);
    struct record_study_create config;
    struct record_create_held *held;
    int err;

    if (!study)
        return state_refuse(state, "no such study");
    config = *study->config;
    if (record->has_sampler)
        config.sampler = record->sampler;
    if (record->has_pruner)
        config.pruner = record->pruner;
    if (record->has_space) {
        config.declared = true;
        config.params = record->params;
        config.param_count = record->param_count;
    }
    if (record->has_seed)
        memcpy(config.seed, record->seed, sizeof(config.seed));
    if (record->has_math_version)
        config.math_version = record->math_version;
    err = held_new(state->os, &config, &held);
    if (err < 0)
        return err == HPO_TOO_LARGE ? state_refuse(state, "a configuration over 1 MiB") : err;
    /* The name is the same, but name_link's hash chains compare it through `config`. */
    held_free(state->os, study->held);
    study->held = held;
    study->config = &held->record.study_create;
    study->config_lsn = state->batch->at.lsn;
    return define_declared(study);
}

static void forget_ids(struct state *state, struct state_study *study)
{
    for (size_t i = 0; i < study->queue.count; i++)
        map_remove(&state->trials_by_id, study->queue.items[i]->t.id);
    for (size_t i = 0; i < study->running.count; i++) {
        map_remove(&state->trials_by_id, study->running.items[i]->t.id);
        live_list_remove(&state->running, study->running.items[i], true);
    }
    for (size_t i = 0; i < study->ended.count; i++)
        map_remove(&state->trials_by_id, blob_id(study->ended.items[i]));
    for (size_t i = 0; i < study->attempts.count; i++)
        map_remove(&state->trials_by_id, blob_id(study->attempts.items[i]));
    for (size_t i = 0; i < study->pool_count; i++)
        map_remove(&state->trials_by_id, study->pool[i].id);
}

int study_delete(struct state *state, const struct record_study_delete *record)
{
    struct state_study *study = study_get(state, record->study);

    if (!study)
        return state_refuse(state, "no such study");
    forget_ids(state, study);
    name_unlink(state, study);
    list_close(state->studies, state->study_count, study_place(state, study->id),
               sizeof(*state->studies));
    state->study_count--;
    study_free(study);
    return 0;
}

int param_define(struct state *state, const struct record_param_define *record)
{
    struct state_study *study = study_get(state, record->study);
    uint32_t number;
    int err;

    if (!study)
        return state_refuse(state, "no such study");
    if (record->param != study->param_count)
        return state_refuse(state, "not the next parameter's number");
    err = state_param_find(study, &record->definition, &number);
    if (err == 0)
        return state_refuse(state, "the parameter is defined already");
    return err == HPO_NOT_FOUND ? param_add(study, &record->definition) : err;
}

/* -- parameters -- */

struct param_entry *param_get(const struct state_study *study, uint32_t number)
{
    return number < study->param_count ? &study->params[number] : NULL;
}

static bool same_choice(const struct record_choice *a, const struct record_choice *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case CHOICE_BOOL:
        return a->boolean == b->boolean;
    case CHOICE_INT:
        return a->integer == b->integer;
    case CHOICE_FLOAT:
        return a->real == b->real || (a->real != a->real && b->real != b->real);
    case CHOICE_TEXT:
        return same_bytes(a->text, b->text);
    default:
        return true;
    }
}

/* What may not change while trials use the name (F8). */
static bool same_class(const struct record_distribution *a, const struct record_distribution *b)
{
    if (a->kind != b->kind || a->log != b->log || a->choice_count != b->choice_count)
        return false;
    for (uint32_t i = 0; i < a->choice_count; i++)
        if (!same_choice(&a->choices[i], &b->choices[i]))
            return false;
    return true;
}

/* The first number of the name's family, STATE_NONE if the name is new. */
static uint32_t family_find(const struct state_study *study, struct bytes name)
{
    uint64_t found = map_get(&study->families_by_hash, name_hash(name));
    uint32_t number = found ? (uint32_t)(found - 1) : STATE_NONE;

    while (number != STATE_NONE && !same_bytes(study->params[number].public.definition.name, name))
        number = study->params[number].next_name;
    return number;
}

/* The class in a family, STATE_NONE if it has no such member. */
static uint32_t class_find(const struct state_study *study, uint32_t family,
                           const struct record_distribution *distribution)
{
    for (uint32_t i = family; i != STATE_NONE; i = study->params[i].next_member)
        if (study->params[i].class == i &&
            same_class(&study->params[i].public.definition.distribution, distribution))
            return i;
    return STATE_NONE;
}

int state_param_find(const struct state_study *study, const struct record_param *param,
                     uint32_t *number)
{
    struct record_buffer buffer = {.os = study->state->os};
    uint64_t found;
    uint32_t at;
    int err;

    err = record_encode_param(&buffer, param);
    if (err < 0)
        goto out;
    found = map_get(&study->params_by_hash, hash64(0, buffer.data, buffer.size));
    at = found ? (uint32_t)(found - 1) : STATE_NONE;
    while (at != STATE_NONE &&
           !same_bytes((struct bytes){study->params[at].bytes, study->params[at].size},
                       (struct bytes){buffer.data, buffer.size}))
        at = study->params[at].next_same;
    err = at == STATE_NONE ? HPO_NOT_FOUND : 0;
    if (err == 0)
        *number = at;

out:
    record_buffer_release(&buffer);
    return err;
}

/* The entry's bytes, and the definition that points into them. */
static int param_hold(struct state_study *study, struct param_entry *entry,
                      const struct record_param *param)
{
    struct record_buffer buffer = {.os = study->state->os};
    size_t used;
    int err = record_encode_param(&buffer, param);

    if (err < 0)
        goto fail;
    err = record_decode_param(buffer.data, buffer.size, &study->param_scratch,
                              &entry->public.definition, &used);
    if (err < 0)
        goto fail;
    entry->bytes = buffer.data;
    entry->size = buffer.size;
    return 0;

fail:
    record_buffer_release(&buffer);
    return err;
}

/* Hash chains, family and class of a new entry, whose number is not counted yet. */
static int param_index(struct state_study *study, struct param_entry *entry)
{
    const struct record_param *definition = &entry->public.definition;
    uint64_t hash = hash64(0, entry->bytes, entry->size), name = name_hash(definition->name);
    uint32_t number = entry->public.number, family = family_find(study, definition->name), class;
    uint64_t found;
    int err;

    found = map_get(&study->params_by_hash, hash);
    entry->next_same = found ? (uint32_t)(found - 1) : STATE_NONE;
    err = map_put(&study->params_by_hash, hash, (uint64_t)number + 1);
    if (err < 0)
        return err;
    entry->next_name = entry->next_member = STATE_NONE;
    entry->last_member = number;
    if (family == STATE_NONE) {
        found = map_get(&study->families_by_hash, name);
        entry->next_name = found ? (uint32_t)(found - 1) : STATE_NONE;
        entry->public.family = entry->class = number;
        return map_put(&study->families_by_hash, name, (uint64_t)number + 1);
    }
    class = class_find(study, family, &definition->distribution);
    entry->public.family = family;
    entry->public.place = study->params[family].public.place;
    entry->class = class == STATE_NONE ? number : class;
    study->params[study->params[family].last_member].next_member = number;
    study->params[family].last_member = number;
    return 0;
}

int param_add(struct state_study *study, const struct record_param *param)
{
    struct param_entry *entry;
    int err;

    if (study->param_count == STATE_NONE)
        return state_refuse(study->state, "too many parameters");
    err = list_reserve(study->state->os, &study->params, &study->param_capacity,
                       (size_t)study->param_count + 1);
    if (err < 0)
        return err;
    entry = &study->params[study->param_count];
    memset(entry, 0, sizeof(*entry));
    entry->public.number = study->param_count;
    err = param_hold(study, entry, param);
    if (err < 0)
        return err;
    study->param_count++; /* owns its bytes from now on */
    return param_index(study, entry);
}

int study_declare(struct state_study *study)
{
    const struct record_study_create *config = study->config;
    const struct hpo_os *os = study->state->os;
    uint32_t *declared = NULL;
    int err = 0;

    for (uint32_t i = 0; i < study->param_count; i++)
        study->params[i].public.place = 0;
    if (config->param_count) {
        declared = state_alloc(os, config->param_count * sizeof(*declared));
        if (!declared)
            return HPO_NOMEM;
    }
    for (uint32_t i = 0; i < config->param_count && err == 0; i++) {
        err = state_param_find(study, &config->params[i], &declared[i]);
        if (err == 0 && study->params[family_of(study, declared[i])].public.place)
            err = HPO_CORRUPT; /* a name twice */
        if (err == 0)
            study->params[family_of(study, declared[i])].public.place = i + 1;
    }
    if (err < 0) {
        state_release(os, declared);
        return err == HPO_NOT_FOUND ? HPO_CORRUPT : err;
    }
    for (uint32_t i = 0; i < study->param_count; i++)
        study->params[i].public.place = study->params[family_of(study, i)].public.place;
    state_release(os, study->declared);
    study->declared = declared;
    study->declared_count = config->param_count;
    return 0;
}

uint32_t state_param_count(const struct state_study *study)
{
    return study->param_count;
}

const struct state_param *state_param_at(const struct state_study *study, uint32_t number)
{
    const struct param_entry *entry = param_get(study, number);

    return entry ? &entry->public : NULL;
}

const uint32_t *state_declared(const struct state_study *study, uint32_t *count)
{
    *count = study->declared_count;
    return study->declared;
}

int state_param_compatible(const struct state_study *study, const struct record_param *param)
{
    uint32_t family = family_find(study, param->name);
    const struct param_entry *first;

    if (family == STATE_NONE)
        return 0;
    first = &study->params[family];
    if (first->living == 0)
        return 0;
    return same_class(&study->params[first->living_class].public.definition.distribution,
                      &param->distribution)
               ? 0
               : HPO_INCOMPATIBLE;
}

bool family_take(struct state_study *study, uint32_t param)
{
    struct param_entry *first = &study->params[family_of(study, param)];

    if (first->living && first->living_class != study->params[param].class)
        return false;
    first->living_class = study->params[param].class;
    first->living++;
    return true;
}

void family_leave(struct state_study *study, uint32_t param)
{
    struct param_entry *first = &study->params[family_of(study, param)];

    assert(first->living > 0);
    first->living--;
}

bool param_holds(const struct param_entry *param, double value)
{
    const struct record_distribution *distribution = &param->public.definition.distribution;

    if (value - value != 0) /* infinite or NaN */
        return false;
    if (distribution->kind == DISTRIBUTION_FLOAT)
        return true;
    if (value < -9223372036854775808.0 || value >= 9223372036854775808.0 ||
        (double)(int64_t)value != value)
        return false;
    return distribution->kind == DISTRIBUTION_INT ||
           (value >= 0 && value < distribution->choice_count);
}

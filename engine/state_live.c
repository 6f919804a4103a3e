/*
 * state_live: an unfinished trial: a struct with growing arrays in the order of the log (F6), and
 * what it is given.
 */
#include "state_internal.h"

#include <assert.h>
#include <string.h>

#include "hpo.h"
#include "state_blob.h"

#define HEAP_GARBAGE_MIN 65536u

static const struct record_time no_time = {.us = 0, .kind = 255};

static bool same_bytes(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* -- unfinished trials -- */

struct live_trial *live_new(struct state_study *study, uint64_t number, uint64_t id)
{
    struct live_trial *live = state_alloc(study->state->os, sizeof(*live));

    if (!live)
        return NULL;
    live->study = study;
    live->t.study = study->id;
    live->t.number = number;
    live->t.id = id;
    live->t.begin = live->t.end = no_time;
    live->reports_rise = true;
    live->report_steps.os = study->state->os;
    return live;
}

void live_free(struct live_trial *live)
{
    const struct hpo_os *os = live->study->state->os;

    state_release(os, live->values);
    state_release(os, live->reports);
    state_release(os, live->decisions);
    state_release(os, live->attrs);
    state_release(os, live->objectives);
    state_release(os, live->heap);
    state_release(os, live->waiting);
    state_release(os, live->written);
    map_release(&live->report_steps);
    state_release(os, live);
}

static void live_refresh(struct live_trial *live)
{
    live->t.objectives = live->objectives;
    live->t.values = live->values;
    live->t.reports = live->reports;
    live->t.decisions = live->decisions;
    live->t.attrs = live->attrs;
    live->t.heap = live->heap;
}

struct live_trial *live_get(const struct state *state, uint64_t id)
{
    return live_of((trial_link)map_get(&state->trials_by_id, id));
}

static size_t list_place(const struct live_list *list, const struct live_trial *live, bool by_id)
{
    size_t low = 0, high = list->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct state_trial *t = &list->items[middle]->t;

        if (by_id ? t->id < live->t.id : t->number < live->t.number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int live_list_add(const struct hpo_os *os, struct live_list *list, struct live_trial *live,
                  bool by_id)
{
    size_t at = list_place(list, live, by_id);
    int err = list_reserve(os, &list->items, &list->capacity, list->count + 1);

    if (err < 0)
        return err;
    list_open(list->items, list->count, at, sizeof(*list->items));
    list->items[at] = live;
    list->count++;
    return 0;
}

void live_list_remove(struct live_list *list, struct live_trial *live, bool by_id)
{
    size_t at = list_place(list, live, by_id);

    assert(at < list->count && list->items[at] == live);
    list_close(list->items, list->count, at, sizeof(*list->items));
    list->count--;
}

bool live_list_has(const struct live_list *list, const struct live_trial *live)
{
    size_t at = list_place(list, live, false);

    return at < list->count && list->items[at] == live;
}

/* -- growing -- */

/* Room for `more` bytes in a trial's block, which is far below what its fields can count. */
static int check_size(struct live_trial *live, uint64_t more)
{
    const struct state_trial *t = &live->t;
    uint64_t size = (uint64_t)t->value_count * sizeof(*t->values) +
                    (uint64_t)t->report_count * sizeof(*t->reports) +
                    (uint64_t)t->decision_count * sizeof(*t->decisions) +
                    (uint64_t)t->attr_count * sizeof(*t->attrs) + t->heap_size - live->heap_garbage;

    return size + more <= STATE_TRIAL_BYTES_MAX
               ? 0
               : state_refuse(live->study->state, "a trial over 1 GiB");
}

/* Copy bytes to the heap's end; *offset is where they are. */
static int heap_put(struct live_trial *live, struct bytes bytes, uint32_t *offset)
{
    int err = check_size(live, bytes.size);

    if (err < 0)
        return err;
    *offset = live->t.heap_size;
    if (bytes.size == 0)
        return 0;
    err = list_reserve(live->study->state->os, &live->heap, &live->heap_capacity,
                       live->t.heap_size + bytes.size);
    if (err < 0)
        return err;
    memcpy(live->heap + live->t.heap_size, bytes.data, bytes.size);
    live->t.heap_size += (uint32_t)bytes.size;
    live->t.heap = live->heap;
    return 0;
}

static void move_bytes(const struct live_trial *live, uint8_t *to, uint32_t *used, uint32_t *offset,
                       uint32_t size)
{
    if (size)
        memcpy(to + *used, live->heap + *offset, size);
    *offset = *used;
    *used += size;
}

/* Drop overwritten values once they are most of the heap, so that it stays within twice its
 * content. */
static int heap_tidy(struct live_trial *live)
{
    const struct hpo_os *os = live->study->state->os;
    uint32_t used = 0;
    uint8_t *heap;

    if (live->heap_garbage < HEAP_GARBAGE_MIN || live->heap_garbage < live->t.heap_size / 2)
        return 0;
    heap = os->alloc(os->self, live->t.heap_size - live->heap_garbage + 1);
    if (!heap)
        return HPO_NOMEM;
    move_bytes(live, heap, &used, &live->t.note_offset, live->t.note_size);
    for (uint32_t i = 0; i < live->t.decision_count; i++)
        move_bytes(live, heap, &used, &live->decisions[i].note_offset,
                   live->decisions[i].note_size);
    for (uint32_t i = 0; i < live->t.attr_count; i++) {
        move_bytes(live, heap, &used, &live->attrs[i].key_offset, live->attrs[i].key_size);
        move_bytes(live, heap, &used, &live->attrs[i].value_offset, live->attrs[i].value_size);
    }
    assert(used == live->t.heap_size - live->heap_garbage);
    live->heap_capacity = used + 1;
    live->heap_garbage = 0;
    live->t.heap_size = used;
    state_release(os, live->heap);
    live->heap = heap;
    live->t.heap = heap;
    return 0;
}

static int value_push(struct live_trial *live, const struct state_value *value)
{
    int err = check_size(live, sizeof(*value));

    if (err == 0)
        err = list_reserve(live->study->state->os, &live->values, &live->value_capacity,
                           (size_t)live->t.value_count + 1);
    if (err < 0)
        return err;
    live->values[live->t.value_count++] = *value;
    live->t.values = live->values;
    return 0;
}

static struct state_value *value_of(struct live_trial *live, uint32_t family, uint32_t flags)
{
    for (uint32_t i = 0; i < live->t.value_count; i++)
        if ((live->values[i].flags & flags) &&
            family_of(live->study, live->values[i].param) == family)
            return &live->values[i];
    return NULL;
}

/* A value with what the log may say about it: the parameter exists, can have it, and no other
 * value of the name has `once`. */
int live_value_add(struct live_trial *live, const struct record_value *value, uint32_t flags,
                   uint32_t once)
{
    struct state *state = live->study->state;
    const struct param_entry *param = param_get(live->study, value->param);
    struct state_value entry = {
        .param = value->param, .flags = flags, .value = value->value, .lsn = state->batch->at.lsn};

    if (!param)
        return state_refuse(state, "no such parameter");
    if (!param_holds(param, value->value))
        return state_refuse(state, "a value that its parameter cannot have");
    if (value_of(live, param->public.family, once))
        return state_refuse(state, "a second value for a name");
    if ((flags & VALUE_ASKED) && !family_take(live->study, value->param))
        return state_refuse(state, "living trials use the name with another kind, log or choices");
    return value_push(live, &entry);
}

int live_objectives(struct live_trial *live, const double *objectives, uint32_t count)
{
    const struct hpo_os *os = live->study->state->os;

    if (count == 0)
        return 0;
    live->objectives = os->alloc(os->self, count * sizeof(*objectives));
    if (!live->objectives)
        return HPO_NOMEM;
    memcpy(live->objectives, objectives, count * sizeof(*objectives));
    live->t.objectives = live->objectives;
    live->t.objective_count = count;
    return 0;
}

/* -- what a trial is given -- */

/* The running trial (or, if allowed, the waiting one); NULL: there is none, which is refused. */
static struct live_trial *running_get(struct state *state, uint64_t id, bool waiting_too)
{
    struct live_trial *live = live_get(state, id);

    if (live && (live->t.state == TRIAL_RUNNING || (waiting_too && live->t.state == TRIAL_WAITING)))
        return live;
    (void)state_refuse(state, waiting_too ? "no such unfinished trial" : "no such running trial");
    return NULL;
}

int apply_suggest(struct state *state, const struct record_suggest *record)
{
    struct live_trial *live = running_get(state, record->trial, false);
    int err = 0;

    if (!live)
        return HPO_CORRUPT;
    if (record->joint && live->t.note_lsn)
        return state_refuse(state, "a second joint suggestion");
    if (!record->joint && record->note.size)
        return state_refuse(state, "a note without a joint suggestion");
    for (uint32_t i = 0; i < record->value_count && err == 0; i++) {
        const struct record_value *value = &record->values[i];
        uint32_t flags = (value->asked ? VALUE_ASKED : 0u) | (record->joint ? VALUE_JOINT : 0u);

        if (!flags)
            return state_refuse(state, "drawn alone and not asked for");
        err = live_value_add(live, value, flags, flags);
    }
    if (err < 0 || !record->joint)
        return err;
    err = heap_put(live, record->note, &live->t.note_offset);
    if (err < 0)
        return err;
    live->t.note_size = (uint32_t)record->note.size;
    live->t.note_lsn = state->batch->at.lsn;
    return 0;
}

/* Other people's samplers may set a name again: the place stays, the value changes. The class does
 * not, even if this trial is the only one: it may have to be queued again with what it had before.
 */
static int param_set_again(struct live_trial *live, struct state_value *entry,
                           const struct record_value *value)
{
    struct state *state = live->study->state;
    const struct param_entry *param = param_get(live->study, value->param);

    if (!param_holds(param, value->value))
        return state_refuse(state, "a value that its parameter cannot have");
    if (param->class != param_get(live->study, entry->param)->class)
        return state_refuse(state, "the trial uses the name with another kind, log or choices");
    entry->param = value->param;
    entry->value = value->value;
    entry->flags = VALUE_ASKED | VALUE_SET;
    return 0;
}

int apply_param_set(struct state *state, const struct record_param_set *record)
{
    const struct param_entry *param;
    struct state_value *entry;
    struct live_trial *live = running_get(state, record->trial, true);

    if (!live)
        return HPO_CORRUPT;
    param = param_get(live->study, record->value.param);
    if (!param)
        return state_refuse(state, "no such parameter");
    entry = value_of(live, param->public.family, VALUE_ASKED);
    if (entry)
        return param_set_again(live, entry, &record->value);
    return live_value_add(live, &record->value, VALUE_ASKED | VALUE_SET, VALUE_ASKED);
}

/* The index of a step's report; as long as steps rise, by bisection, then by a map. */
static uint32_t report_find(const struct live_trial *live, int64_t step)
{
    uint32_t low = 0, high = live->t.report_count;

    if (!live->reports_rise) {
        uint64_t found = map_get(&live->report_steps, (uint64_t)step);

        return found ? (uint32_t)(found - 1) : STATE_NONE;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (live->reports[middle].step < step)
            low = middle + 1;
        else
            high = middle;
    }
    return low < live->t.report_count && live->reports[low].step == step ? low : STATE_NONE;
}

static int report_index(struct live_trial *live)
{
    uint32_t count = live->t.report_count;
    int err = 0;

    if (live->reports_rise &&
        (count < 2 || live->reports[count - 1].step > live->reports[count - 2].step))
        return 0;
    if (!live->reports_rise)
        return map_put(&live->report_steps, (uint64_t)live->reports[count - 1].step, count);
    live->reports_rise = false;
    for (uint32_t i = 0; i < count && err == 0; i++)
        err = map_put(&live->report_steps, (uint64_t)live->reports[i].step, (uint64_t)i + 1);
    return err;
}

static int report_push(struct live_trial *live, const struct state_report *report)
{
    int err = check_size(live, sizeof(*report));

    if (err == 0)
        err = list_reserve(live->study->state->os, &live->reports, &live->report_capacity,
                           (size_t)live->t.report_count + 1);
    if (err < 0)
        return err;
    live->reports[live->t.report_count++] = *report;
    live->t.reports = live->reports;
    return report_index(live);
}

int live_report_add(struct live_trial *live, const struct record_report *report)
{
    struct state_report entry = {.step = report->step,
                                 .first = report->value,
                                 .last = report->value,
                                 .lsn = live->study->state->batch->at.lsn};
    uint32_t at = report_find(live, report->step);

    if (at == STATE_NONE)
        return report_push(live, &entry);
    live->reports[at].last = report->value;
    return 0;
}

int apply_report(struct state *state, const struct record_report_of *record)
{
    struct live_trial *live = running_get(state, record->trial, true);

    return live ? live_report_add(live, &record->report) : HPO_CORRUPT;
}

int apply_prune_decision(struct state *state, const struct record_prune_decision *record)
{
    struct state_decision decision = {.step = record->step,
                                      .view = record->view,
                                      .lsn = state->batch->at.lsn,
                                      .prune = record->prune,
                                      .note_size = (uint32_t)record->note.size};
    struct live_trial *live = running_get(state, record->trial, false);
    int err = 0;

    if (!live)
        return HPO_CORRUPT;
    if (record->view >= state->batch->at.lsn)
        return state_refuse(state, "a view that is not before it");
    err = check_size(live, sizeof(decision));
    if (err == 0)
        err = list_reserve(state->os, &live->decisions, &live->decision_capacity,
                           (size_t)live->t.decision_count + 1);
    if (err == 0)
        err = heap_put(live, record->note, &decision.note_offset);
    if (err < 0)
        return err;
    live->decisions[live->t.decision_count++] = decision;
    live->t.decisions = live->decisions;
    return 0;
}

static struct state_attr *attr_of(struct live_trial *live, uint8_t space, struct bytes key)
{
    for (uint32_t i = 0; i < live->t.attr_count; i++)
        if (live->attrs[i].space == space && same_bytes(state_attr_key(&live->t, i), key))
            return &live->attrs[i];
    return NULL;
}

int live_attr_set(struct live_trial *live, uint8_t space, struct bytes key, bool removed,
                  struct bytes value, uint64_t lsn)
{
    struct state_attr *attr = attr_of(live, space, key);
    int err;

    if (!attr) {
        struct state_attr entry = {.lsn = lsn,
                                   .key_size = (uint32_t)key.size,
                                   .space = space,
                                   .value_offset = live->t.heap_size};

        err = check_size(live, sizeof(entry));
        if (err == 0)
            err = list_reserve(live->study->state->os, &live->attrs, &live->attr_capacity,
                               (size_t)live->t.attr_count + 1);
        if (err == 0)
            err = heap_put(live, key, &entry.key_offset);
        if (err < 0)
            return err;
        attr = &live->attrs[live->t.attr_count++];
        *attr = entry;
        live->t.attrs = live->attrs;
    }
    live->heap_garbage += attr->value_size;
    attr->value_size = 0;
    attr->removed = removed;
    err = heap_put(live, value, &attr->value_offset);
    if (err < 0)
        return err;
    attr->value_size = (uint32_t)value.size;
    return heap_tidy(live);
}

/* -- from a block -- */

static void *copy_items(const struct hpo_os *os, const void *items, size_t count, size_t size,
                        size_t *capacity, int *err)
{
    void *copy;

    if (count == 0 || *err < 0)
        return NULL;
    copy = os->alloc(os->self, count * size);
    if (!copy) {
        *err = HPO_NOMEM;
        return NULL;
    }
    memcpy(copy, items, count * size);
    *capacity = count;
    return copy;
}

int live_read_block(struct live_trial *live, const uint8_t *block)
{
    const struct hpo_os *os = live->study->state->os;
    struct state_trial t;
    size_t objective_capacity;
    int err = 0;

    blob_read(block, &t);
    live->values =
        copy_items(os, t.values, t.value_count, sizeof(*t.values), &live->value_capacity, &err);
    live->reports =
        copy_items(os, t.reports, t.report_count, sizeof(*t.reports), &live->report_capacity, &err);
    live->decisions = copy_items(os, t.decisions, t.decision_count, sizeof(*t.decisions),
                                 &live->decision_capacity, &err);
    live->attrs =
        copy_items(os, t.attrs, t.attr_count, sizeof(*t.attrs), &live->attr_capacity, &err);
    live->objectives = copy_items(os, t.objectives, t.objective_count, sizeof(*t.objectives),
                                  &objective_capacity, &err);
    live->heap = copy_items(os, t.heap, t.heap_size, 1, &live->heap_capacity, &err);
    if (err < 0)
        return err;
    live->t = t;
    live_refresh(live);
    for (uint32_t i = 0; i < t.report_count && err == 0; i++) {
        live->t.report_count = i + 1;
        err = report_index(live);
    }
    if (err == 0 && !live->reports_rise && live->report_steps.count != t.report_count)
        return HPO_CORRUPT; /* a step twice */
    if (err == 0 && t.note_size == 0)
        live->t.note_offset = 0;
    return err;
}

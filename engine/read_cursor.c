/*
 * read_cursor: one trial or study after the other.
 *
 * A cursor holds the last number or id it has given, nothing of the state, so it needs no care
 * while others append; each step shows the study as it is then.
 */
#include "read.h"

#include <string.h>

struct hpo_cursor {
    struct hpo_store *store;
    struct hpo_study
        study;     /* trials of this one (a handle of our own, not listed); id 0: studies */
    uint64_t next; /* trials: the next number; studies: the last id given */
    unsigned states;
    struct arena arena; /* of the info given last */
    struct hpo_trial_info trial;
    struct hpo_study_info info;
};

static struct hpo_cursor *cursor_new(struct hpo_store *store)
{
    struct hpo_cursor *cursor = store->os->alloc(store->os->self, sizeof(*cursor));

    if (!cursor)
        return NULL;
    memset(cursor, 0, sizeof(*cursor));
    cursor->store = store;
    arena_init(&cursor->arena, store->os);
    return cursor;
}

int hpo_study_list(struct hpo_store *store, struct hpo_cursor **out)
{
    struct hpo_cursor *cursor;
    int err;

    if (!store)
        return HPO_INVALID;
    if (!out)
        return call_refuse(store, HPO_INVALID, "no place for the result");
    err = call_begin(store);
    if (err < 0)
        return err;
    cursor = cursor_new(store);
    if (cursor)
        *out = cursor;
    return call_end(store, cursor ? 0 : HPO_NOMEM);
}

static int trial_list(struct hpo_study *study, unsigned states, struct hpo_cursor **out)
{
    struct hpo_store *store = study->store;
    struct hpo_cursor *cursor = cursor_new(store);
    uint8_t *name;

    if (!cursor)
        return HPO_NOMEM;
    /* The caller may free its handle while the cursor lives. */
    name = store->os->alloc(store->os->self, study->name.size + 1);
    if (!name) {
        store->os->free(store->os->self, cursor);
        return HPO_NOMEM;
    }
    memcpy(name, study->name.data, study->name.size);
    cursor->study =
        (struct hpo_study){.store = store, .id = study->id, .name = {name, study->name.size}};
    cursor->states = states;
    *out = cursor;
    return 0;
}

int hpo_trial_list(struct hpo_study *study, unsigned states, struct hpo_cursor **out)
{
    int err;

    if (!study)
        return HPO_INVALID;
    if (!out || (states & ~((1u << (HPO_WAITING + 1)) - 1)))
        return call_refuse(study->store, HPO_INVALID,
                           "an unknown state, or no place for the result");
    err = call_begin(study->store);
    if (err < 0)
        return err;
    err = trial_list(study, states, out);
    return call_end(study->store, err);
}

static int next_trial(struct hpo_cursor *cursor)
{
    const struct state_study *study;
    struct state_counts counts;
    struct state_trial trial;
    int err;

    err = store_catch_up(cursor->store);
    if (err < 0)
        return err;
    study = study_of(&cursor->study, &err);
    if (!study)
        return err;
    state_study_counts(study, &counts);
    for (; cursor->next < counts.listed; cursor->next++) {
        err = state_trial_by_number(study, cursor->next, &trial);
        if (err < 0)
            return err;
        if (cursor->states == 0 || (cursor->states & 1u << trial.state))
            break;
    }
    if (cursor->next >= counts.listed)
        return HPO_NO_MORE;
    arena_reset(&cursor->arena);
    read_trial(study, &trial, &cursor->arena, &cursor->trial);
    if (cursor->arena.failed)
        return HPO_NOMEM;
    cursor->next++;
    return 0;
}

int hpo_cursor_next_trial(struct hpo_cursor *cursor, const struct hpo_trial_info **out)
{
    int err;

    if (!cursor)
        return HPO_INVALID;
    if (!out || cursor->study.id == 0)
        return call_refuse(cursor->store, HPO_INVALID,
                           "a cursor over studies, or no place for the result");
    err = call_begin(cursor->store);
    if (err < 0)
        return err;
    err = next_trial(cursor);
    if (err == 0)
        *out = &cursor->trial;
    return call_end(cursor->store, err);
}

static int next_study(struct hpo_cursor *cursor)
{
    const struct state_study *study;
    int err;

    err = store_catch_up(cursor->store);
    if (err < 0)
        return err;
    study = state_study_after(cursor->store->state, cursor->next);
    if (!study)
        return HPO_NO_MORE;
    arena_reset(&cursor->arena);
    read_study(study, &cursor->arena, &cursor->info);
    if (cursor->arena.failed)
        return HPO_NOMEM;
    cursor->next = state_study_id(study);
    return 0;
}

int hpo_cursor_next_study(struct hpo_cursor *cursor, const struct hpo_study_info **out)
{
    int err;

    if (!cursor)
        return HPO_INVALID;
    if (!out || cursor->study.id != 0)
        return call_refuse(cursor->store, HPO_INVALID,
                           "a cursor over trials, or no place for the result");
    err = call_begin(cursor->store);
    if (err < 0)
        return err;
    err = next_study(cursor);
    if (err == 0)
        *out = &cursor->info;
    return call_end(cursor->store, err);
}

void hpo_cursor_free(struct hpo_cursor *cursor)
{
    const struct hpo_os *os;

    if (!cursor)
        return;
    os = cursor->store->os;
    arena_release(&cursor->arena);
    os->free(os->self, (void *)(uintptr_t)cursor->study.name.data);
    os->free(os->self, cursor);
}

/*
 * history_fields: a record as named fields, for people and for JSON.
 */
#ifndef HPO_ENGINE_HISTORY_FIELDS_H
#define HPO_ENGINE_HISTORY_FIELDS_H

#include "arena.h"
#include "hpo.h"
#include "record.h"
#include "state.h"

/* What helps to name things: the state right after the record's batch, and the name of a study that
 * the batch deletes. */
struct history_context {
    const struct state *state;
    struct bytes deleted;
};

/* Describe the record. Everything lives in the arena; arena->failed tells whether there was memory.
 */
void history_fields(const struct record *record, const struct history_context *context,
                    struct arena *arena, const struct hpo_field **fields, size_t *count);

#endif

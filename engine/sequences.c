/*
 * sequences: see sequences.h. Open addressing; at least half of the table is free.
 */
#include "sequences.h"

#include <string.h>

#include "hpo.h"

#define ROOM_MIN 64u

/* The entry of a session, or the free one where it would go. */
static struct sequences_entry *find(struct sequences_entry *entries, size_t room, uint64_t session)
{
    size_t at = (size_t)(session * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (room - 1);

    while (entries[at].session != 0 && entries[at].session != session)
        at = (at + 1) & (room - 1);
    return &entries[at];
}

static int grow(struct sequences *sequences, const struct hpo_os *os)
{
    size_t room = sequences->room ? sequences->room * 2 : ROOM_MIN;
    struct sequences_entry *entries = os->alloc(os->self, room * sizeof(*entries));

    if (!entries)
        return HPO_NOMEM;
    memset(entries, 0, room * sizeof(*entries));
    for (size_t i = 0; i < sequences->room; i++) {
        if (sequences->entries[i].session != 0)
            *find(entries, room, sequences->entries[i].session) = sequences->entries[i];
    }
    os->free(os->self, sequences->entries);
    sequences->entries = entries;
    sequences->room = room;
    return 0;
}

int sequences_note(struct sequences *sequences, const struct hpo_os *os, uint64_t start_lsn,
                   const struct log_batch *batch)
{
    struct sequences_entry *entry;
    int err;

    if (2 * (sequences->count + 1) > sequences->room) {
        err = grow(sequences, os);
        if (err < 0)
            return err;
    }
    entry = find(sequences->entries, sequences->room, batch->session);
    if (entry->session == 0) {
        if (batch->sequence != 1 && batch->session > start_lsn)
            return 1;
        entry->session = batch->session;
        sequences->count++;
    } else if (batch->sequence == 1 || batch->sequence - 1 != entry->last) {
        return 1;
    }
    entry->last = batch->sequence;
    return 0;
}

void sequences_release(struct sequences *sequences, const struct hpo_os *os)
{
    os->free(os->self, sequences->entries);
    *sequences = (struct sequences){0};
}

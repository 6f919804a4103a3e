/*
 * sequences: the last sequence number of every session, to notice a gap or a repeat (rule B4).
 *
 * A batch with sequence 1 begins a session; each later batch of it must have the next number. Of a
 * session that began before reading did, the first batch seen sets the number.
 */
#ifndef HPO_ENGINE_SEQUENCES_H
#define HPO_ENGINE_SEQUENCES_H

#include "log.h"

struct sequences_entry {
    uint64_t session; /* 0: free */
    uint32_t last;
};

/* All zero: empty. */
struct sequences {
    struct sequences_entry *entries;
    size_t room, count;
};

/* Take note of a batch. `start_lsn`: reading began behind it. 0; 1 if its sequence is not the next
 * one of its session (nothing is noted then); HPO_NOMEM. */
int sequences_note(struct sequences *sequences, const struct hpo_os *os, uint64_t start_lsn,
                   const struct log_batch *batch);
void sequences_release(struct sequences *sequences, const struct hpo_os *os);

#endif

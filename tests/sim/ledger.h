/*
 * ledger: what the simulated processes wrote, what they were promised, and what they were told is
 * lost.
 *
 * Every batch carries a marker, and its records follow from the marker and its size, so that a
 * batch found in a log is recognised, and half a batch is not taken for one. Times are numbers of
 * effects of the machine; a fact holds in every cut at or after its time.
 */
#ifndef HPO_TESTS_SIM_LEDGER_H
#define HPO_TESTS_SIM_LEDGER_H

#include "log.h"

#define LEDGER_NEVER UINT64_MAX

struct ledger_batch {
    uint64_t marker;
    uint32_t size; /* of the records: a multiple of 8, at least 8 */
    uint64_t begun_at;
    uint64_t acknowledged_at; /* from here on it must be there */
    uint64_t dead_at;         /* from here on it must not */
    uint64_t seen_at; /* step at which somebody had read it: no death of a process takes it back */
    bool appended;    /* log_append returned, and the ticket is its */
    struct log_ticket ticket;
};

struct ledger {
    struct ledger_batch *list;
    unsigned count, room;
};

void ledger_free(struct ledger *ledger);
unsigned ledger_begin(struct ledger *ledger, uint64_t marker, uint32_t size, uint64_t now);
/* The facts of `from` as they stand at a cut, with all times set to 0: what a machine that boots
 * then begins with. */
void ledger_at(const struct ledger *from, uint64_t cut, struct ledger *out);
/* A hash over what the ledger demands and allows of an image at a cut. */
uint64_t ledger_obligations(const struct ledger *ledger, uint64_t cut);

/* The records of a batch. */
void ledger_fill(uint8_t *records, uint64_t marker, uint32_t size);

/* A log as somebody read it. Lives in the memory of the process that read, which may die at any
 * moment. */
struct ledger_reading {
    const struct hpo_os *os;
    struct ledger_entry {
        struct log_position at;
        uint64_t session;
        uint32_t sequence;
        unsigned batch; /* in the ledger */
    } * list;
    unsigned count, room;
    char problem[200]; /* of the batch just read; empty if none */
};

void ledger_reading_free(struct ledger_reading *reading);
/* A log_batch_fn; arg is a struct ledger_reader. A batch that nobody wrote ends the read with
 * HPO_CORRUPT. */
struct ledger_reader {
    struct ledger *ledger;
    struct ledger_reading *reading;
};
int ledger_read_batch(void *arg, const struct log_batch *batch);

/* Does the reading, whole from LSN 1, keep what the ledger says holds at `now`? NULL or what is
 * wrong, beginning with a class word: "lost", "resurrected", "half", "invented". What somebody had
 * seen by step `seen_by` must be there, too; 0 after a power loss or a failed flush, which may take
 * it back. */
const char *ledger_compare(const struct ledger *ledger, struct ledger_reading *reading,
                           uint64_t now, uint64_t seen_by);

/* After a recovery returned: what it shows counts as promised, the rest is dead. */
void ledger_settle(struct ledger *ledger, const struct ledger_reading *reading, uint64_t now);

#endif

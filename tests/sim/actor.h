/*
 * actor: a simulated process (or one thread of it) that uses the log as the engine does, and keeps
 * the ledger.
 *
 * Errors: without an injected failing call every error of the log ends the run as a failure. With
 * one, the actor does what the engine would: a batch that was not written is noted as dead and the
 * session's sequence is read anew; a handle that can do no more is closed.
 */
#ifndef HPO_TESTS_SIM_ACTOR_H
#define HPO_TESTS_SIM_ACTOR_H

#include "error.h"
#include "fault/sim.h"
#include "ledger.h"
#include "tale.h"

#define ACTOR_STORE "/store"

/* One run: a machine and what happened on it. */
struct world {
    struct sim *sim;
    struct ledger ledger; /* of scenarios over log.h */
    struct tale tale;     /* of scenarios over hpo.h */
    uint64_t segment_first, segment_max;
    bool calls_may_fail; /* one will; what was read may be lost with a failed flush */
    bool power_was_lost; /* this machine has come up after one */
    uint64_t depth;      /* how often */
};

struct actor {
    struct world *world;
    struct sim_process *process;
    struct log *log;
    struct error_detail error;
    struct log_session *slot;
    uint64_t session; /* 0: none yet */
    uint32_t sequence;
    struct log_position read_to;
    unsigned written; /* batches begun */
    unsigned thread;  /* of its process */
    bool broken;      /* the handle can do no more */
};

/* Begin as a thread of `process`. */
void actor_begin(struct actor *actor, struct world *world, struct sim_process *process);

/* Open the store, read the whole log and compare it with the ledger. False if the open failed, as
 * it may after a failed call only. */
bool actor_open(struct actor *actor, bool create);
/* The same for a handle that only reads. */
bool actor_open_reader(struct actor *actor);
/* Share the handle of another thread of the process. */
void actor_join(struct actor *actor, const struct actor *owner);
void actor_close(struct actor *actor);

/* Append one batch with `size` bytes of records; opens a session first if there is none. The
 * batch's number in the ledger, or -1 if it was refused. */
int actor_append(struct actor *actor, uint32_t size);
/* Wait until it is durable and note it. */
void actor_wait(struct actor *actor, int batch);
/* Both. */
void actor_commit(struct actor *actor, uint32_t size);
/* log_sync: everything published so far is durable. */
void actor_sync(struct actor *actor);

/* Read the whole log anew and compare. The reading is the caller's to free, if wanted. */
void actor_check(struct actor *actor, struct ledger_reading *out);

/* A failure of the run: the verdict is against the log. */
#define actor_fail(actor, ...) sim_fail((actor)->process, __VA_ARGS__)

#endif

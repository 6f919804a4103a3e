/*
 * store: one handle on a log: its fold, its session, the way in and out of every public call, and
 * transactions.
 *
 * A public call that reads: call_begin, store_catch_up, look at the state, call_end. One that
 * writes: call_begin, tail_begin (takes the log's tail, catches up, has a session), decide by the
 * state, encode records, tail_append, tail_end, call_wait if it promises durability, call_end.
 *
 * Locks, always taken in this order: a study's sampling lock (ask.h), the handle's mutex, the log's
 * tail. Nobody waits for the disk with any of them.
 *
 * Invariants (cited as T1..T5)
 *   T1  The state is changed only by batches that were read from the log or have been appended to
 *       it; what a call decides, it decides from the state with the tail in its hands.
 *   T2  `state` is NULL or at a position of this log; NULL means: fold anew at the next call.
 *   T3  A handle of a trial is good for one attempt: id, begin LSN and, after a flush has failed,
 *       the chain at the begin.
 *   T4  The session is claimed and opened with the tail held, so that a slot is never taken by a
 *       session that the log does not know while its predecessor's trials are still running.
 *   T5  No batch above `limit` is folded: a read-only handle at an LSN, or one that met a batch
 * that breaks a rule.
 */
#ifndef HPO_ENGINE_STORE_H
#define HPO_ENGINE_STORE_H

#include "arena.h"
#include "error.h"
#include "hpo.h"
#include "log.h"
#include "os.h"
#include "record.h"
#include "snapshot.h"
#include "state.h"

struct asker; /* ask.h */

#define STORE_CLOSING 0x80000000u

/* The session of this handle. */
struct session {
    struct log_session *lock; /* the slot's lock; NULL: none claimed */
    uint32_t slot;
    struct log_position open; /* its SESSION_OPEN; lsn 0: not opened yet */
    bool unconfirmed;         /* while folding anew: not met yet */
};

struct hpo_store {
    const struct hpo_os *os;
    uint64_t generation; /* of the process that opened it (os->generation) */
    uint64_t serial;     /* names the handle in a thread's error detail */
    char *path;
    char *program;
    unsigned flags; /* enum hpo_open_flags */
    bool read_only;
    enum hpo_durability durability;
    uint64_t segment_size_first, segment_size_max;
    uint8_t uuid[16];
    struct log *log;
    struct os_dir *snap_dir; /* NULL: no snapshots on this device */

    _Atomic uint32_t
        users; /* calls under way, and STORE_CLOSING: hpo_close waits for the last one */

    struct os_mutex *mutex; /* guards everything below */
    struct state *state;
    uint64_t fold_serial;       /* changes whenever the fold begins anew: caches go by it */
    uint64_t limit;             /* T5; UINT64_MAX: none */
    struct error_detail damage; /* code 0, or why limit lies before a batch */
    uint64_t tail_bytes;        /* of log folded after the newest snapshot known */
    uint64_t snapshot_lsn;      /* of that snapshot, 0: none */
    uint64_t snapshot_bytes;    /* its size; valid if snapshot_sized */
    bool snapshot_sized;
    struct session session;
    struct record_buffer buffer;   /* the batch being built */
    struct record_scratch scratch; /* of whoever decodes under the mutex */
    struct hpo_study *studies;
    struct hpo_trial *trials;
    struct asker *askers;
};

struct hpo_study {
    struct hpo_store *store;
    struct hpo_study *next, **link;
    uint64_t id;
    struct bytes name; /* owned; ids of studies whose creation was lost can come again */
};

struct hpo_trial {
    struct hpo_store *store;
    struct hpo_trial *next, **link;
    uint64_t study, number, id;
    struct log_position begin; /* lsn 0 for a trial that was attached: its own begin is durable */
    uint64_t begin_lsn;
    uint64_t session; /* 0: detached */
    uint64_t seed;
    bool unconfirmed; /* while folding anew: begin not met yet */
    bool lost;        /* the begin went with a failed flush */
};

/* -- calls -- */

/* Enter a public call: the thread's detail is cleared and belongs to this handle, its mutex is
 * held. HPO_FORKED (nothing is held then; return it as it is). */
int call_begin(struct hpo_store *store);
/* Leave it: frees the mutex, completes the detail if `result` is an error without one, returns it.
 */
int call_end(struct hpo_store *store, int result);
/* Fail a call that never entered (bad arguments, a read-only handle ...). */
int call_refuse(struct hpo_store *store, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* hpo_open has no handle yet: clear the thread's detail; keep the reason for hpo_open_error. */
void store_open_begin(void);
int store_open_failed(int result);
/* Wait for the batch without the mutex. Inside a call, without the tail. */
int call_wait(struct hpo_store *store, const struct log_ticket *ticket);

/* The detail of a failing public call: return call_error(HPO_INVALID, "..."). */
int call_error(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Does the struct that the caller says to be `size` bytes long contain the member? */
#define HAS_MEMBER(options, member) \
    ((options)->size >= offsetof(__typeof__(*(options)), member) + sizeof((options)->member))

/* -- the fold -- */

/* Fold what has been appended since. 0 or an error; after one, nothing may be asked of the state.
 */
int store_catch_up(struct hpo_store *store);
/* The first fold, with a snapshot that was found before the log was opened (NULL: none). */
int store_fold_first(struct hpo_store *store, struct state *from);

/* -- transactions -- */

enum tail_purpose {
    TAIL_BEGIN,  /* something new: not with the last of a full disk */
    TAIL_FINISH, /* finishes what has begun: may use the reserve */
};

/* Take the log's tail, catch up, make sure of a session. The buffer is empty then. On error nothing
 * is held. HPO_READONLY, HPO_CORRUPT (damage), and what log_lock and log_append say. */
int tail_begin(struct hpo_store *store, enum tail_purpose purpose);
/* Append the buffer as one batch of this session, fold it and empty the buffer. */
int tail_append(struct hpo_store *store, enum tail_purpose purpose, struct log_ticket *ticket);
void tail_end(struct hpo_store *store);

/* Encode one record into the buffer. */
int tail_record(struct hpo_store *store, const struct record *record);

/* Now, as records carry it. */
struct record_time store_now(const struct hpo_store *store);

/* -- snapshots (store_snapshot.c) -- */

/* Open the newest good snapshot at most at this LSN; *out NULL and 0 if there is none. Bad ones are
 * moved to quarantine/ by handles that may write. */
int store_snapshot_find(struct hpo_store *store, uint64_t at_most, struct state **out,
                        struct snapshot_entry *entry);
/* After a commit: write a snapshot if one is due and nobody else is at it. Best effort. Called
 * inside a call, without the tail. */
void store_snapshot_consider(struct hpo_store *store);
/* Note a batch that was folded. */
void store_snapshot_account(struct hpo_store *store, const struct log_batch *batch);

/* -- sessions (session.c) -- */

/* Make sure that this handle has an open session; the tail is held. */
int session_ensure(struct hpo_store *store, enum tail_purpose purpose);
/* Is some open session of another handle dead, or a trial running for none? Asks the locks, needs
 * no tail. 1, 0, or an error. */
int session_some_dead(struct hpo_store *store);
/* Roll back the trials of dead sessions and close these, by records; the tail is held. */
int session_reclaim(struct hpo_store *store);
/* Roll back this session's own trials and close it. Takes the tail itself. */
int session_close(struct hpo_store *store);

/* -- studies and trials found again in the state -- */

/* The study of a handle; NULL with HPO_NOT_FOUND in *err (deleted). Caught up. */
const struct state_study *study_of(struct hpo_study *study, int *err);
/* The running trial of a handle. 0; HPO_NOT_FOUND (study deleted), HPO_FINISHED, HPO_ROLLED_BACK,
 * HPO_SESSION_LOST. Caught up. */
int trial_of(struct hpo_trial *trial, const struct state_study **study, struct state_trial *out);
/* A new handle on a study; under the mutex. */
int study_handle(struct hpo_store *store, const struct state_study *study, struct hpo_study **out);
void study_unlink(struct hpo_study *study);
void trial_unlink(struct hpo_trial *trial);

#endif

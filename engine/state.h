/*
 * state: what the log says about studies and trials, as a pure fold.
 *
 * state = fold(apply, log). Nothing here reads a clock, a file, a process id or an address; two
 * folds over the same batches answer every question alike and have the same digest, whether they
 * began at the first batch or at a snapshot (snapshot.h). Every rule that a log must obey is
 * checked here: a batch that breaks one is HPO_CORRUPT.
 *
 * Words
 *   living    a trial that waits, runs or has finished; a rolled-back attempt is not.
 *   ended     finished: COMPLETE, PRUNED or FAIL. Never changes again.
 *   attempt   what TRIAL_BEGIN starts: the trial's id. A rolled-back attempt is kept, because
 *             earlier views show it.
 *   pool      numbers that a rollback set free, each with the id of its next attempt and the view
 *             of the last one.
 *   queue     trials that WAIT, by number.
 *
 * Invariants (cited as F1..F8)
 *   F1  Ids of studies and trials are 1, 2, 3 ... over the whole store and never given twice. A
 *       rollback takes the next id for the attempt to come; a queue entry that is queued again
 *       keeps its own.
 *   F2  Every number below `next_number` is living or in the pool, never both.
 *   F3  The pool's highest entry has a view if it is next_number - 1: a free number that nobody
 *       needs back is forgotten.
 *   F4  `ended` is append-only, in the order of the log; end LSNs in it never fall.
 *   F5  An ended trial and a rolled-back attempt are each one immutable block of canonical bytes
 *       (state_blob.h).
 *   F6  Values, reports and decisions of a trial are in the order of the log, so what a view shows
 *       of them is a prefix.
 *   F7  Of the versions of a study attribute at most one is settled; each other one belongs to an
 *       unfinished trial.
 *   F8  Parameters of living trials of one name have one class (kind, log, choices).
 *
 * Ownership: everything handed out is borrowed. Pointers from state_* are valid until the next
 * state_apply_batch or state_free, except those of an ended trial (and of rolled-back attempts):
 * valid until their study is deleted or the state freed.
 *
 * Threads: none may call anything during state_apply_batch; between, any number may read.
 * state_digest and state_pareto count as writing (they use caches).
 */
#ifndef HPO_ENGINE_STATE_H
#define HPO_ENGINE_STATE_H

#include "error.h"
#include "log.h"
#include "os.h"
#include "record.h"

struct state;
struct state_study;

/*
 * What a writer must know. It holds log_lock and has folded everything, so what it finds here is
 * what its batch will be applied to; whoever appends a batch that breaks a rule has spoilt the
 * log.
 *
 *   ids        study and trial ids and numbers are those of state_next_*; one new number per
 *              batch.
 *   session    open, sequence + 1. SESSION_OPEN is record 0 of its batch and the only one; it ends
 *              an open session of its slot, whose trials stay as they are until rolled back.
 *              SESSION_CLOSE without `keep` comes after the rollback of that session's trials.
 *   study      its name is free. Names in a declared space differ from each other.
 *   begin      view = LSN of the batch before (a retry: view and mode of state_next_begin); in
 *              window mode only when the window allows it (state_finished_prefix).
 *   suggest    RUNNING; joint at most once, only then a note and values not asked for; no name
 *              twice; what is asked for must be compatible (state_param_compatible).
 *   set        RUNNING or WAITING, as are report and attr; compatible, and a name that is set
 *              again keeps its kind, log and choices.
 *   values     index of a choice, integral, or finite, by kind. Ranges are not checked: what was
 *              enqueued may lie outside.
 *   prune      RUNNING, view below its own LSN.
 *   finish     RUNNING or WAITING. Any number of objectives (0 .. 64): the caller's own rule
 *              counts.
 *   rollback   RUNNING, with the session that struct state_trial tells.
 *   on behalf  of a RUNNING trial of that study.
 *   pieces     of a long attribute follow each other directly, in one batch.
 *   sizes      a trial holds at most STATE_TRIAL_BYTES_MAX, most of it attributes and notes.
 */
#define STATE_TRIAL_BYTES_MAX (1u << 30)

/* -- the fold -- */

/* The state before the first batch of the store with this uuid. 0, HPO_NOMEM. */
int state_new(const struct hpo_os *os, const uint8_t uuid[16], struct state **out);
void state_free(struct state *state); /* NULL is harmless */

/*
 * Apply the batch after state_position. 0; HPO_CORRUPT: it breaks a rule of the log (state_failure
 * says which record and which rule); HPO_UNSUPPORTED: a record of a newer version; HPO_NOMEM.
 * After an error the state is unusable: every later call of state_apply_batch answers the same
 * error, and nothing else may be asked; free it and fold anew. Fits log_read: pass the state
 * through the arg.
 */
int state_apply_batch(struct state *state, const struct log_batch *batch);

/* The last batch applied; {0, chain before the first batch} in the beginning. */
struct log_position state_position(const struct state *state);
void state_uuid(const struct state *state, uint8_t out[16]);

/* Why state_apply_batch failed; lsn and message ("record 12.3 TRIAL_FINISH: ..."). code is 0 if it
 * did not. */
const struct error_detail *state_failure(const struct state *state);

/* XXH3-128, big-endian, of the canonical encoding of everything (docs/format.md, "The digest of a
 * state"). Costs the unfinished and the small things, not the ended trials. 0, HPO_NOMEM. */
int state_digest(struct state *state, uint8_t out[16]);

/* Walk the whole structure and check F1..F8 and every count and index against what they speak of.
 * 0, or HPO_CORRUPT with a message. For tests and fsck. */
int state_check(struct state *state, struct error_detail *error);

/* The ids that the next STUDY_CREATE and the next new trial carry. */
uint64_t state_next_study(const struct state *state);
uint64_t state_next_trial(const struct state *state);

/* -- sessions -- */

struct state_session {
    uint64_t session;  /* LSN of its SESSION_OPEN */
    uint32_t slot;     /* dead = the slot's lock is free (log_session_alive) */
    uint32_t sequence; /* of its last batch; the next one carries one more */
    uint8_t boot_id[16];
    uint64_t process_id; /* for people */
    struct record_time time;
    struct bytes host, program;
};

/* Open sessions, in order of number; NULL beyond the last. Not open means ended by a record (or
 * never heard of). */
size_t state_session_count(const struct state *state);
const struct state_session *state_session_at(const struct state *state, size_t index);
const struct state_session *state_session_find(const struct state *state, uint64_t session);
const struct state_session *state_session_by_slot(const struct state *state, uint32_t slot);

/* An ended session's end LSN and last sequence, to tell what arrived of it. 0, HPO_NOT_FOUND. */
int state_session_ended(const struct state *state, uint64_t session, uint64_t *end_lsn,
                        uint32_t *sequence);

/* -- studies -- */

/* NULL: no such study (or deleted). */
const struct state_study *state_study_find(const struct state *state, struct bytes name);
const struct state_study *state_study_by_id(const struct state *state, uint64_t id);
/* The study with the lowest id above `id`: studies in order of id, beginning with 0. */
const struct state_study *state_study_after(const struct state *state, uint64_t id);
uint64_t state_study_count(const struct state *state);

uint64_t state_study_id(const struct state_study *study);
/* LSN of its STUDY_CREATE or last STUDY_CONFIG: what was made from the configuration goes by it. */
uint64_t state_study_config_lsn(const struct state_study *study);
/* The study as it is configured now: STUDY_CREATE with all STUDY_CONFIG applied. Compare encoded
 * for equality. */
const struct record_study_create *state_study_config(const struct state_study *study);

struct state_counts {
    uint64_t listed; /* trials with numbers 0 .. listed - 1 exist for readers (free numbers below a
                        living one too, as WAITING) */
    uint64_t running;
    uint64_t waiting; /* queue entries, and free numbers that are listed */
    uint64_t complete, pruned, failed;
    uint64_t rolled_back; /* attempts */
};
void state_study_counts(const struct state_study *study, struct state_counts *out);

/* A commit carried the stop flag and no living trial has begun after it. */
bool state_study_stopped(const struct state_study *study);

/* -- parameters -- */

struct state_param {
    struct record_param definition;
    uint32_t number; /* study-wide */
    uint32_t family; /* lowest number with this name */
    uint32_t place;  /* 1 + k: its name is k-th in the declared space; 0: not declared */
};

/* Definitions by number: PARAM_DEFINE gives them, and a declared space (STUDY_CREATE,
 * STUDY_CONFIG) defines what it names and is not yet defined, in its order, without further
 * records. They survive rollback. */
uint32_t state_param_count(const struct state_study *study);
const struct state_param *state_param_at(const struct state_study *study,
                                         uint32_t number); /* NULL beyond the last */
/* The numbers of the declared space, in its order; NULL and 0 if none is declared. */
const uint32_t *state_declared(const struct state_study *study, uint32_t *count);
/* The number of exactly this name and distribution. 0, HPO_NOT_FOUND (define it with number
 * state_param_count), HPO_NOMEM. */
int state_param_find(const struct state_study *study, const struct record_param *param,
                     uint32_t *number);
/* May a trial use this parameter? 0, HPO_INCOMPATIBLE: living trials use the name with another
 * kind, log or choices. HPO_NOMEM. */
int state_param_compatible(const struct state_study *study, const struct record_param *param);

/* -- trials, for reading -- */

enum state_value_flags {
    VALUE_ASKED = 1, /* a parameter of the trial */
    VALUE_JOINT = 2, /* drawn jointly. Without ASKED: not asked for when it was drawn; asking adds
                        another entry */
    VALUE_FIXED = 4, /* of the queue entry's template: to be used when asked for; not a parameter */
    VALUE_SET = 8,   /* PARAM_SET: no native sampler chose it */
};

/* The structs below are laid out as in the blocks of state_blob.h and read in place. */
struct state_value {
    uint32_t param;
    uint32_t flags; /* enum state_value_flags */
    double value;
    uint64_t lsn; /* batch that gave it */
};

struct state_report {
    int64_t step;
    double first; /* what was reported first for this step: what pruners see */
    double last;  /* and last: what readers see */
    uint64_t lsn; /* batch of the first report */
};

struct state_decision {
    int64_t step;
    uint64_t view;
    uint64_t lsn;
    uint32_t prune; /* 0 or 1 */
    uint32_t note_size;
    uint32_t note_offset; /* in the trial's heap */
    uint32_t zero;
};

struct state_attr {
    uint64_t lsn;                                            /* batch that set it first */
    uint32_t key_offset, key_size, value_offset, value_size; /* in the trial's heap */
    uint8_t space;                                           /* enum record_attr_space */
    uint8_t removed; /* 1: deleted; keeps its place, is not shown */
    uint8_t zero[6];
};

/* States besides enum record_trial_state. */
enum { TRIAL_ROLLED_BACK = 5 /* an attempt that never happened */ };

/* One trial or attempt as it stands. A free number that is listed: state WAITING, id of the
 * attempt to come, all else empty. */
struct state_trial {
    uint64_t study, number, id;
    uint64_t created_lsn;        /* batch that gave number and id: enqueue, import or begin */
    uint64_t begin_lsn, end_lsn; /* 0: not yet. end_lsn of a rolled-back attempt: the rollback's */
    uint64_t view;               /* WAITING: of the rolled-back attempt, if `retry` */
    uint64_t session;            /* 0: detached, or waiting, or imported as finished */
    uint64_t on_behalf;          /* unfinished: of whom it was enqueued on behalf; 0: settled */
    struct record_time begin, end;
    uint8_t state;  /* enum record_trial_state, TRIAL_ROLLED_BACK */
    uint8_t mode;   /* enum record_view_mode */
    uint8_t reason; /* rolled back: enum record_rollback_reason */
    bool popped;    /* came from the queue */
    bool orphan;    /* RUNNING: came from the queue, and who enqueued it was rolled back meanwhile:
                     * rolled back itself, it vanishes */
    bool imported;
    bool stop;  /* its commit carried the stop flag */
    bool retry; /* WAITING: begin it with `view` and `mode` */
    uint32_t objective_count, value_count, report_count, decision_count, attr_count;
    const double *objectives;
    const struct state_value *values;   /* order of the log; a name once per kind of entry */
    const struct state_report *reports; /* order of first report, each step once */
    const struct state_decision *decisions;
    const struct state_attr *attrs; /* order of first setting */
    const uint8_t *heap;
    uint32_t heap_size;
    uint32_t note_offset, note_size; /* of the joint suggestion, in heap */
    uint64_t note_lsn;               /* batch of the joint suggestion; 0: none */
};

/* By number. 0, HPO_NOT_FOUND (not listed). */
int state_trial_by_number(const struct state_study *study, uint64_t number,
                          struct state_trial *out);
/* By id, over all studies. 0; HPO_ROLLED_BACK with *out the attempt (the latest, if a queue entry
 * was never queued again); HPO_NOT_FOUND. An attempt on a queue entry has the entry's id: a handle
 * must compare begin_lsn too, it may have been rolled back and begun again. */
int state_trial_by_id(const struct state *state, uint64_t id, struct state_trial *out);
/* RUNNING trials of all studies, by id: the first one above *cursor, which is moved to it (begin
 * with 0). false: no more. */
bool state_running_next(const struct state *state, uint64_t *cursor, struct state_trial *out);

struct bytes state_trial_note(const struct state_trial *trial);
struct bytes state_decision_note(const struct state_trial *trial, uint32_t index);
struct bytes state_attr_key(const struct state_trial *trial, uint32_t index);
struct bytes state_attr_value(const struct state_trial *trial, uint32_t index);
/* 0, HPO_NOT_FOUND (never set, or removed). */
int state_trial_attr(const struct state_trial *trial, uint8_t space, struct bytes key,
                     struct bytes *value);
/* The entry of the name's family with one of `flags` set. 0, HPO_NOT_FOUND. */
int state_trial_value(const struct state_study *study, const struct state_trial *trial,
                      uint32_t family, uint32_t flags, struct state_value *out);

/* -- what comes next -- */

/* What the next TRIAL_BEGIN must say: the lowest number that waits (queue or pool), else a new
 * one. */
struct state_begin {
    uint64_t number, trial;
    bool popped; /* the queue entry with this id */
    bool retry;  /* view and mode are those of a rolled-back attempt and must be used; else choose:
                    the last LSN */
    uint64_t view;
    uint8_t mode;
};
void state_next_begin(const struct state *state, const struct state_study *study,
                      struct state_begin *out);
/* The number and id that the next TRIAL_ENQUEUE or TRIAL_IMPORT must carry. */
void state_next_enqueue(const struct state *state, const struct state_study *study,
                        uint64_t *number, uint64_t *trial);

/* -- study attributes, sampler state, foreign generators -- */

/* In order of first setting, removed ones left out. Values as now: what running trials wrote
 * counts until undone. */
struct state_study_attr {
    uint8_t space; /* enum record_attr_space */
    struct bytes key, value;
    uint64_t lsn;       /* of this value */
    uint64_t on_behalf; /* unfinished trial that it is undone with; 0: settled */
};
/* The first visible attribute at or after *cursor, which is moved behind it (begin with 0). false:
 * no more. */
bool state_study_attr_next(const struct state_study *study, size_t *cursor,
                           struct state_study_attr *out);
/* 0, HPO_NOT_FOUND. */
int state_study_attr_find(const struct state_study *study, uint8_t space, struct bytes key,
                          struct state_study_attr *out);

/* Named parts of SAMPLER_STATE, versioned like attributes. */
bool state_sampler_part_next(const struct state_study *study, size_t *cursor,
                             struct state_study_attr *out);
int state_sampler_part_find(const struct state_study *study, struct bytes name,
                            struct state_study_attr *out);
/* Where a foreign generator stands: position + words of its last DRAW that was not rolled back. 0,
 * HPO_NOT_FOUND. */
int state_foreign_position(const struct state_study *study, uint32_t label, uint64_t *position);

/* -- views (docs/determinism.md) -- */

/* All ended trials in fold order; the list only grows, and what it points to stays. */
size_t state_ended_count(const struct state_study *study);
void state_ended_at(const struct state_study *study, size_t index, struct state_trial *out);
/* How many of them the log view `view` shows: those ended by that LSN, a prefix. */
size_t state_view_ended(const struct state_study *study, uint64_t view);

/* A list that grows. Zero-initialise with the os; release when done. */
struct state_trial_list {
    const struct hpo_os *os;
    struct state_trial *trials;
    size_t count, capacity;
};
void state_trial_list_release(struct state_trial_list *list);
/* The trials running in the log view `view`, by number: begun by that LSN and neither ended nor
 * rolled back by it, each cut to what it had been given by then (state_trial_cut), state RUNNING.
 * Leaves out number `except` (the asking trial; UINT64_MAX: none). Costs what ended since the
 * view. 0, HPO_NOMEM. */
int state_view_running(const struct state_study *study, uint64_t view, uint64_t except,
                       struct state_trial_list *list);
/* Leave of values, reports, decisions and note what was given by `view`; end what happened later.
 */
void state_trial_cut(struct state_trial *trial, uint64_t view);

/* The lowest number that has not finished: 0 .. n - 1 all have. Trial k of window W may begin if
 * it is 0 .. W - 1 or k - W < n, and sees exactly the numbers 0 .. k - W (state_trial_by_number).
 */
uint64_t state_finished_prefix(const struct state_study *study);

/* -- best -- */

/* Number of the best COMPLETE trial, the lowest among equals. 0, HPO_NOT_FOUND, HPO_INVALID (not
 * exactly one direction). */
int state_best(const struct state_study *study, uint64_t *number);
/* Numbers of the Pareto front, ascending; borrowed until the next apply or state_pareto of this
 * study. 0, HPO_NOMEM, HPO_INVALID (directions not set). */
int state_pareto(const struct state_study *study, const uint64_t **numbers, size_t *count);

#endif

/*
 * fold_fixture: a log in memory: records put into batches, kept, and folded.
 */
#ifndef HPO_TESTS_FOLD_FIXTURE_H
#define HPO_TESTS_FOLD_FIXTURE_H

#include "record.h"
#include "record_maker.h"
#include "state.h"

struct kept_batch {
    struct log_batch batch; /* records point to `bytes` */
    uint8_t *bytes;
};

struct fold {
    const struct hpo_os *os;
    struct state *state;
    struct record_buffer buffer; /* of the batch being put together */
    struct kept_batch *batches;  /* batches[i] has LSN i + 1 */
    size_t count, capacity;
    uint64_t session; /* whose batches are made */
    bool keep;        /* keep what was applied, for folding again */
};

extern const uint8_t fold_uuid[16];

void fold_init(struct fold *fold, const struct hpo_os *os);
void fold_release(struct fold *fold);

/* Add a record to the batch being put together. Asserts that it can be encoded. */
void fold_put(struct fold *fold, const struct record *record);
/* Append and apply the batch. What state_apply_batch says; an error is in state_failure. */
int fold_apply(struct fold *fold);
/* One record, one batch. */
int fold_one(struct fold *fold, const struct record *record);

/* A session on the slot, whose batches follow. */
int fold_session(struct fold *fold, uint32_t slot);

/* A new state with the batches up to `lsn`. */
struct state *fold_again(const struct fold *fold, uint64_t lsn);

/* The same state by way of its items, as a snapshot would bring it back; asserts that the digest
 * is the same and that it checks. */
struct state *fold_reload(const struct fold *fold, struct state *from);

/* Apply the kept batches behind `state` up to `lsn`. */
void fold_tail(const struct fold *fold, struct state *state, uint64_t lsn);

void assert_same_digest(struct state *a, struct state *b);
void assert_checks(struct state *state);

/* The next LSN. */
uint64_t fold_next(const struct fold *fold);

struct bytes text(const char *text);

/* -- one batch each; asserted to be accepted -- */

uint64_t fold_study(struct fold *fold,
                    const char *name); /* one direction, minimize, no declared space */
uint32_t fold_define(struct fold *fold, uint64_t study, const char *name,
                     double high);                      /* float, 0 .. high */
uint64_t fold_begin(struct fold *fold, uint64_t study); /* what comes next; the id */
uint64_t fold_enqueue(struct fold *fold, uint64_t study, uint64_t on_behalf);
void fold_suggest(struct fold *fold, uint64_t trial, uint32_t param,
                  double value); /* asked, alone */
void fold_report(struct fold *fold, uint64_t trial, int64_t step, double value);
void fold_finish(struct fold *fold, uint64_t trial, double value); /* COMPLETE */
void fold_rollback(struct fold *fold, uint64_t trial);
void fold_study_attr(struct fold *fold, uint64_t study, uint64_t on_behalf, const char *key,
                     const char *value);
void fold_trial_attr(struct fold *fold, uint64_t trial, const char *key, const char *value);

/* A trial that must be there. */
struct state_trial fold_trial(const struct fold *fold, uint64_t id);

/* A varied log: studies, queue, attempts, unfinished trials, attributes of several writers; about
 * `trials` finished. */
void fold_varied(struct fold *fold, unsigned trials);

#endif

/*
 * reference: the fold once more, as simple as it can be written: lists that are searched from the
 * front.
 *
 * It takes the same records as engine/state.c and answers the same questions, so that the two can
 * be compared. It knows no errors: it is given only what a log may say. What can be undone is kept
 * as a list of events with a mark, what has been is never taken away, and every answer is looked
 * up among all there is.
 */
#ifndef HPO_TESTS_REFERENCE_H
#define HPO_TESTS_REFERENCE_H

#include "record.h"
#include "state.h"

#define REFERENCE_VALUES 24
#define REFERENCE_REPORTS 24
#define REFERENCE_ATTRS 12

struct reference_attr {
    uint8_t space, key; /* keys and values are single bytes here */
    uint8_t value;
    bool removed;
    uint64_t lsn;
};

/* What a trial has been given. */
struct reference_content {
    struct state_value values[REFERENCE_VALUES];
    struct state_report reports[REFERENCE_REPORTS];
    struct reference_attr attrs[REFERENCE_ATTRS];
    uint32_t value_count, report_count, attr_count, decision_count;
    uint64_t note_lsn;
};

/* A trial or an attempt. */
struct reference_trial {
    uint64_t study, number, id, created_lsn, begin_lsn, end_lsn, view, session, on_behalf;
    uint8_t state, mode;
    bool popped, orphan, retry, stop, imported;
    double objectives[3];
    uint32_t objective_count;
    struct reference_content now, waiting; /* waiting: as it was when taken from the queue */
};

struct reference_free {
    uint64_t study, number, id, view;
    bool has_view;
    uint8_t mode;
};

/* Something said about a study; counts until its writer is rolled back. */
struct reference_event {
    uint64_t study, lsn, writer; /* writer 0: nobody can undo it any more */
    uint32_t index;
    uint8_t space, key, value;
    bool removed, undone;
};

struct reference_param {
    uint64_t study;
    uint8_t name;
    uint8_t class; /* differing kind, log or choices */
};

struct reference_study {
    uint64_t id, next_number;
    uint8_t directions[3];
    uint8_t direction_count;
    uint32_t window;
    bool deleted;
};

struct reference {
    struct reference_study studies[64];
    size_t study_count;
    struct reference_trial
        *trials; /* in the order in which they were made or queued again; ended ones too */
    size_t trial_count, trial_capacity;
    struct reference_free *frees;
    size_t free_count, free_capacity;
    struct reference_event *events;
    size_t event_count, event_capacity;
    struct reference_param params[256]; /* all studies' in one list */
    size_t param_count;
    uint64_t next_study, next_trial;
};

void reference_release(struct reference *reference);

/* One record of batch `lsn`, whose place in the batch is `index`. `class` and `name` of a defined
 * parameter are told beside the record. */
void reference_apply(struct reference *reference, uint64_t lsn, uint32_t index, uint64_t session,
                     const struct record *record);
void reference_define(struct reference *reference, uint64_t study, uint8_t name, uint8_t class);

struct reference_study *reference_study(struct reference *reference, uint64_t id); /* NULL: none */
/* The living trial with the number or the id; NULL: none. */
struct reference_trial *reference_number(struct reference *reference, uint64_t study,
                                         uint64_t number);
struct reference_trial *reference_id(struct reference *reference, uint64_t id);
/* The k-th parameter of the study. */
struct reference_param *reference_param(struct reference *reference, uint64_t study,
                                        uint32_t number);
/* May a trial use the name with the class? */
bool reference_compatible(struct reference *reference, uint64_t study, uint8_t name, uint8_t class);
void reference_next_begin(struct reference *reference, uint64_t study, struct state_begin *out);
void reference_next_enqueue(struct reference *reference, uint64_t study, uint64_t *number,
                            uint64_t *trial);
bool reference_listed(struct reference *reference, uint64_t study, uint64_t number);
bool reference_living(const struct reference_trial *trial);
bool reference_ended(const struct reference_trial *trial);

#endif

/*
 * ask: where the engine and the samplers meet. Only ask*.c include samplers/sampler.h.
 *
 * An asker is what one handle keeps of one study for its sampler: the configuration, parameters and
 * trials in the samplers' form, and the model. It is a cache of the fold and owns copies of all of
 * it, so a sampler can compute while other threads go on folding.
 *
 * Invariants (cited as K1..K3)
 *   K1  Everything in an asker is guarded by its `sampling` lock. Filling it also needs the
 * handle's mutex (it reads the state); computing must not hold that one if it may take long. K2
 * Ended rows are built in the order of the log, once, and keep their addresses until the asker is
 * made anew: when the fold began anew or the study's configuration changed. K3  A suggestion is a
 * function of what plan_prepare copied and of the stream: nothing that other threads do meanwhile
 * can change it.
 */
#ifndef HPO_ENGINE_ASK_H
#define HPO_ENGINE_ASK_H

#include "samplers/sampler.h"
#include "store.h"

struct asker {
    struct asker *next;
    struct hpo_store *store;
    uint64_t study_id;
    unsigned users; /* under the handle's mutex: threads that hold or wait for `sampling` */
    struct os_mutex *sampling;
    struct sampler_allocator allocator;

    bool made;            /* the rest is valid, for: */
    uint64_t fold_serial; /* this fold */
    uint64_t config_lsn;  /* and this configuration */
    struct arena arena;   /* all copies below */
    struct sampler_configuration *sampler, *pruner;
    struct sampler_study study;
    struct sampler_param *params; /* study.params, growing; own memory */
    size_t param_capacity;
    struct space declared;
    const struct sampler_trial **ended; /* K2 */
    size_t ended_count, ended_capacity;
    const struct sampler_trial **by_number; /* the same rows; NULL where not ended */
    size_t number_count, number_capacity;
    void *model;
};

/* One suggestion to be made: its inputs, copied, and what comes out. */
struct plan {
    struct asker *asker;
    struct arena arena; /* everything below */
    struct sampler_trial own;
    struct sampler_value *own_values; /* own.values, growing */
    uint32_t own_capacity;
    struct sampler_view view;
    struct sampler_bytes note;
    struct draw_list draws;
    bool with_view; /* the view is filled; else the sampler is blind */

    /* Results, in the order of the record. */
    struct record_value *joint; /* of sampler_suggest_joint; asked: as parameters of the trial */
    uint32_t joint_count;
    struct record_value *single; /* drawn alone, or joint values asked for under another number */
    uint32_t single_count;
};

/* The asker of a study, with its sampling lock. Inside a call; frees the mutex for a moment, so
 * whatever the caller knew of the state must be asked again. 0, HPO_NOMEM. */
int asker_take(struct hpo_store *store, uint64_t study, struct asker **out);
void asker_release(struct asker *asker);
void askers_free(struct hpo_store *store);

/* Bring it to the present configuration and parameters. Mutex and sampling lock held, caught up.
 * HPO_UNSUPPORTED: a sampler that this build does not have. HPO_INCOMPATIBLE: the study was made
 * with another version of the sampler or of the arithmetic. */
int asker_update(struct asker *asker, const struct state_study *study);

/* Is its sampler quick enough, and independent enough of other trials, to run with the log's tail
 * in hand? */
bool asker_is_quick(const struct asker *asker);

/* Copy what a suggestion for this trial depends on: view and own values. `trial` is the running
 * trial, or what it is going to be (number, view, mode, values of its queue entry). Same conditions
 * as asker_update. The plan is zeroed and owned by the caller: plan_release. */
int plan_prepare(struct plan *plan, struct asker *asker, const struct state_study *study,
                 const struct state_trial *trial);
/* The same for a pruning decision: sees everything up to `view`. */
int plan_prepare_pruning(struct plan *plan, struct asker *asker, const struct state_study *study,
                         const struct state_trial *trial, uint64_t view);
void plan_release(struct plan *plan);

/* Compute. Sampling lock held, the mutex need not be. 0, HPO_NO_MORE, HPO_NOMEM. */
int plan_run_declared(struct plan *plan); /* all declared parameters that have no value yet */
/* One parameter; `joint` says whether the joint space is yet to be drawn. Its value is *value. */
int plan_run_one(struct plan *plan, const struct sampler_param *param, bool joint, double *value);
int plan_run_pruner(struct plan *plan, bool *prune);

/* The records of what was computed, into the handle's buffer: DRAWs and SUGGESTs. */
int plan_encode(struct plan *plan, struct hpo_store *store, uint64_t study, uint64_t trial);

/* A parameter of the study as samplers see it, in asker->study.params after asker_update; the slot
 * filled in for this trial. */
void asker_param(const struct asker *asker, const struct state_study *study,
                 const struct state_trial *trial, uint32_t number, struct sampler_param *out);

/* The seed that the objective of trial `number` gets. */
uint64_t ask_objective_seed(const uint64_t seed[2], uint64_t number);

/* -- configurations, for study.c -- */

/* Check and complete an algorithm's name and options for a study like this (directions and declared
 * space). Name "" is none. Everything in *out is in the arena. HPO_INVALID with the thread's
 * detail, HPO_NOMEM. */
int ask_configure_sampler(const struct hpo_os *os, struct record_study_create *study,
                          const char *name, const struct hpo_option *options, size_t count,
                          struct arena *arena, struct record_algorithm *out);
int ask_configure_pruner(const struct hpo_os *os, struct record_study_create *study,
                         const char *name, const struct hpo_option *options, size_t count,
                         struct arena *arena, struct record_algorithm *out);

/* Number of the arithmetic of this build (docs/determinism.md). */
uint32_t ask_math_version(void);

/* -- words of a recorded draw, for history.c -- */

/* Recompute the words of a DRAW record under its study's configuration. *words is NULL and 0 if
 * they are too many to be believed, foreign, or of a kind that this build does not know. HPO_NOMEM.
 */
int ask_draw_words(const struct hpo_os *os, const struct record_draw *draw,
                   const struct record_study_create *study, struct arena *arena,
                   const uint64_t **words, size_t *count, bool *digest_ok);
/* Those of a draw that is not made of stream words (QMC): the sampler recomputes them. 1: it
 * cannot.
 */
int ask_sampler_words(const struct hpo_os *os, const struct draw *draw,
                      const struct record_study_create *study, struct arena *arena, uint64_t *out);

#endif

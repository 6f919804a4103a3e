/*
 * tpe_model: the finished trials of a view in the form in which TPE needs them.
 *
 * It follows a view: new trials are inserted, and trials that a shorter view does not have are
 * taken out. Everything in it is a function of the view; what it remembers besides (columns that
 * were asked for, the work that kernels took) changes no bit.
 *
 * Invariants
 *   T1  Trials stand by number in keys[]; their slot is their place in the view's ended list, which
 *       does not move.
 *   T2  A column holds every finished trial that has a value for its parameter, by (value, number).
 */
#ifndef HPO_SAMPLERS_TPE_MODEL_H
#define HPO_SAMPLERS_TPE_MODEL_H

#include "samplers/parzen.h"
#include "samplers/tpe_split.h"

struct tpe_column {
    uint32_t param;
    double *value; /* on the scale; choices: the index */
    uint32_t *slot;
    uint32_t count, capacity;
    struct parzen_memo *memo; /* by slot */
    uint32_t memo_capacity;
};

struct tpe_model {
    const struct sampler_allocator *allocator;
    const struct sampler_trial **rows; /* by slot: the view's ended list */
    uint32_t *place;                   /* by slot: scratch of tpe_model_build */
    uint32_t seen, row_capacity;
    struct tpe_key *keys; /* finished ones, by number */
    uint32_t *slots;      /* of keys[] */
    uint8_t *below;       /* of keys[], if split_known */
    uint32_t finished;
    bool split_known;
    uint32_t *present; /* by parameter: finished trials that have just it */
    uint32_t param_count;
    struct tpe_column *columns;
    uint32_t column_count, column_capacity;
    uint32_t widest; /* most parameters that any trial had */
    /* Groups, folded over keys[0 ... group_trials - 1]; by family. */
    uint32_t *group;       /* TPE_NO_GROUP: not seen yet */
    uint32_t *group_param; /* as which parameter it was first seen */
    uint32_t family_count, group_count, group_trials;
    /* Scratch. */
    double *numbers;
    size_t number_capacity;
    struct parzen_memo **memos;
    uint32_t *ranks;
    size_t observation_capacity;
    struct parzen below_mixture, above_mixture;
};

#define TPE_NO_GROUP UINT32_MAX

/* Which trials count: those of one bracket of a pruner. */
struct tpe_bracket {
    const struct sampler_configuration *pruner;
    uint64_t resource; /* of the view */
    uint32_t number;
};

/* Is the trial of that bracket? */
bool tpe_in_bracket(const struct sampler_study *study, const struct tpe_bracket *bracket,
                    const struct sampler_trial *trial);

void tpe_model_init(struct tpe_model *model, const struct sampler_allocator *allocator);
void tpe_model_release(struct tpe_model *model);

/* Follow the view; `bracket` NULL: all trials count (always the same for one model). 0 or
 * SAMPLER_NOMEM, after which the model may only be released. */
int tpe_model_follow(struct tpe_model *model, const struct sampler_study *study,
                     const struct sampler_view *view, const struct tpe_bracket *bracket);

/* Parameters that every finished trial has and that can have kernels (no single-valued ones),
 * unsorted. 0, SAMPLER_NOMEM. */
int tpe_model_common(const struct tpe_model *model, const struct sampler_study *study,
                     struct space *out);

/* The groups of parameters that were used together, likewise; .group is set. 0, SAMPLER_NOMEM. */
int tpe_model_groups(struct tpe_model *model, const struct sampler_study *study, struct space *out);

/* Room for so many doubles of scratch, or NULL. */
double *tpe_model_scratch(struct tpe_model *model, size_t count);

/*
 * The two mixtures over `count` parameters: model->below_mixture of the good trials,
 * model->above_mixture of the others and of the running ones (by number), each without trials that
 * lack one of the parameters. 0 or SAMPLER_NOMEM.
 */
int tpe_model_build(struct tpe_model *model, const struct sampler_study *study,
                    const struct sampler_trial *const *running, uint32_t running_count,
                    const struct sampler_param *params, uint32_t count);

#endif

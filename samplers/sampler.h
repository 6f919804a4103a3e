/*
 * sampler: the interface between the engine and everything that proposes or prunes.
 *
 * A sampler is a pure function: (configuration, space, view, the trial's own earlier suggestions,
 * stream) -> values and a note. It knows nothing of files, locks, clocks or the engine. Each
 * sampler is one table of functions in one file; the engine calls it through the sampler_*
 * functions below, which also put the floating-point environment into its known state and back
 * (fpenv.h).
 *
 * How the engine asks, for one trial (in one batch if the space is declared):
 *   1. sampler_joint_space, sampler_suggest_joint: once, at the trial's first suggestion, also when
 * that space is empty. All values are recorded. One becomes a parameter of the trial when the
 * objective asks for that name and the value lies in the range asked for.
 *   2. sampler_suggest_one: for each parameter that the joint space lacks, when it is asked for.
 *   3. draw_list_get on every draw, one DRAW record each.
 *
 * Invariants
 *   P1  A result depends on what stands in struct sampler_call, and on `version` and the math
 * version. On nothing else: no address, no history of the model, no order of calls, no thread. P2
 * A moved model and a fresh one give the same bits. Models are a cache, never saved. P3  Rows are
 * immutable. Of two log views of one study the shorter `ended` list is a prefix of the longer one,
 * with the same row pointers; so too two window views. Running rows belong to one view only.
 */
#ifndef HPO_SAMPLERS_SAMPLER_H
#define HPO_SAMPLERS_SAMPLER_H

#include "samplers/common.h"
#include "samplers/draw.h"
#include "samplers/space.h"

/* -- what is known of a study -- */

/* Optuna's numbers, as in the log. "Finished" in the papers on TPE and pruning is COMPLETE or
 * PRUNED; a row of any of the last three states has *ended*. */
enum sampler_state {
    SAMPLER_RUNNING = 0,
    SAMPLER_COMPLETE = 1,
    SAMPLER_PRUNED = 2,
    SAMPLER_FAIL = 3
};

struct sampler_value {
    uint32_t param; /* number: index into study->params */
    double value;
};

struct sampler_report {
    int64_t step;
    double value; /* NaN is possible, and one canonical NaN */
};

/* What a pruner decided about a trial earlier, with the note that it left. */
struct sampler_decision {
    int64_t step;
    bool prune;
    const uint8_t *note;
    size_t note_size;
};

/* One trial as seen from a view. All pointers are borrowed and live as long as the row. */
struct sampler_trial {
    uint64_t number;
    uint8_t state;
    /* COMPLETE: exactly one per direction, no NaN (the engine shows a COMPLETE trial that was
     * stored with another number as FAIL). Other states: count 0. */
    const double *objectives;
    uint32_t objective_count;
    /* Each family at most once, in the order of the log, each contained in its parameter's
     * distribution (the engine leaves out what is not: somebody else's sampler or an import may
     * have set it). Ended rows: the parameters of the trial. RUNNING rows: also joint values not
     * asked for yet. */
    const struct sampler_value *values;
    uint32_t value_count;
    const struct sampler_report *reports; /* ascending by step, the first report of each step */
    uint32_t report_count;
    const double *constraints; /* > 0 is violated; count 0: none known */
    uint32_t constraint_count;
    const uint8_t *note; /* of its joint suggestion */
    size_t note_size;
    const struct sampler_decision *decisions; /* in the order in which they were made */
    uint32_t decision_count;
};

/* Columns over trials. Borrowed for one call, except that ended rows keep their addresses (P3)
 * until model_free. */
struct sampler_view {
    const struct sampler_trial *const *ended; /* COMPLETE, PRUNED, FAIL in fold order: log view:
                                               * order of the log; window view: by number */
    size_t ended_count;
    const struct sampler_trial *const *running; /* log view only: begun before the view, not ended
                                                 * by it; by number; without the trial itself */
    size_t running_count;
};

/* What does not change from view to view; grows only at the end of params. */
struct sampler_study {
    const char *name; /* UTF-8, not terminated */
    size_t name_size;
    struct philox_key key;     /* the seed */
    const uint8_t *directions; /* 0 minimise, 1 maximise */
    uint32_t direction_count;
    const struct sampler_param
        *params; /* all parameters ever defined; params[i].number == i; slot may be 0 */
    uint32_t param_count;
    const struct space *declared; /* the declared space in its order, with slots; NULL: none */
    const struct sampler_trial *const
        *source;         /* trials of the study that a configuration names for a warm start, */
    size_t source_count; /* with parameters numbered as in params; count 0: none */
};

/* -- configurations -- */

/* Options as text, as a study stores them: sorted by key, every option present, in canonical form.
 */
struct sampler_option {
    const char *key, *value; /* terminated */
};

/* Begins every sampler's and pruner's own configuration struct. Freed as one by configuration_free.
 */
struct sampler_configuration {
    const struct sampler *sampler; /* or NULL if it is a pruner's */
    const struct pruner *pruner;   /* or NULL if it is a sampler's */
    uint32_t instance;             /* of its streams; 0 unless a study has several samplers */
    const struct sampler_option *options;
    uint32_t option_count;
    const struct sampler_allocator *allocator;
};

/*
 * Check options for the study, fill in defaults. The result says in `options` what to store;
 * configuring with these again gives the same. `study` needs its directions and declared space
 * only. 0, SAMPLER_NOMEM, SAMPLER_INVALID (unknown or twice given key, bad value),
 * SAMPLER_UNSUPPORTED (this study is not for it); the message is filled for the last two and may be
 * NULL. Free with configuration_free, NULL allowed.
 */
int sampler_configure(const struct sampler *sampler, const struct sampler_study *study,
                      const struct sampler_option *options, uint32_t option_count,
                      uint32_t instance, const struct sampler_allocator *allocator,
                      struct sampler_message *message, struct sampler_configuration **out);
int pruner_configure(const struct pruner *pruner, const struct sampler_study *study,
                     const struct sampler_option *options, uint32_t option_count,
                     const struct sampler_allocator *allocator, struct sampler_message *message,
                     struct sampler_configuration **out);
void configuration_free(struct sampler_configuration *configuration);

/* -- calls -- */

/* Everything that a suggestion or a pruning decision is a function of, and where its draws go. */
struct sampler_call {
    const struct sampler_configuration *configuration;
    const struct sampler_configuration
        *pruner; /* the study's pruner: Hyperband cuts a sampler's view; NULL: none */
    const struct sampler_study *study;
    const struct sampler_view *view;
    const struct sampler_trial
        *own;    /* the trial itself, RUNNING: its number, what it got so far, reports, note */
    void *model; /* moved to exactly this view (model_move); NULL if the sampler has none */
    struct draw_list *draws;
    const struct sampler_allocator *allocator;
};

/*
 * The parameters to be drawn jointly, in drawing order (`out` cleared first). Their slots are 0. 0
 * or SAMPLER_NOMEM.
 */
int sampler_joint_space(const struct sampler_call *call, struct space *out);

/*
 * One value per parameter of `space`, which is sampler_joint_space's answer to the same call (maybe
 * empty), and a note (cleared first; may stay empty). 0, SAMPLER_NOMEM, SAMPLER_NO_MORE (nothing
 * was suggested).
 */
int sampler_suggest_joint(const struct sampler_call *call, const struct space *space,
                          double *values, struct sampler_bytes *note);

/* A value for one parameter, with its slot. Single-valued parameters draw nothing. 0,
 * SAMPLER_NOMEM, SAMPLER_NO_MORE. */
int sampler_suggest_one(const struct sampler_call *call, const struct sampler_param *param,
                        double *value);

/*
 * The cache that makes suggestions cheap: one per study and handle. model_new gives one that has
 * seen nothing; NULL in *model and 0 if the sampler needs none. model_move brings it to exactly
 * `view`: forward by what is new, backward by undoing or afresh. After an error of model_move the
 * model may only be freed. One thread at a time, suggestions included: they may use it as scratch
 * and let it remember work. The study must be the same one, though its params may have grown.
 */
int sampler_model_new(const struct sampler_configuration *configuration,
                      const struct sampler_study *study, const struct sampler_allocator *allocator,
                      void **model);
int sampler_model_move(const struct sampler_configuration *configuration,
                       const struct sampler_study *study, const struct sampler_view *view,
                       void *model);
void sampler_model_free(const struct sampler_configuration *configuration, void *model);

/*
 * Should call->own stop at its largest reported step? `configuration` is the pruner's, `view` the
 * decision's own, `model` is not used. Without any report: never. The note (cleared first) is to be
 * stored with the decision. 0, SAMPLER_NOMEM.
 */
int pruner_decide(const struct sampler_call *call, bool *prune, struct sampler_bytes *note);

/* -- tables -- */

/* What a sampler's file provides. Called only through the functions above, which document the
 * contracts. */
struct sampler {
    const char *name;
    uint32_t version; /* raised by any change that alters a bit of any suggestion */
    /* Looks at no other trial: the engine may hand an empty view instead of building the rows. */
    bool blind;
    /* Fill *out, allocated as a struct that begins with sampler_configuration, whose option list is
     * made by options_complete (options.h); the caller sets the common members. */
    int (*configure)(const struct sampler_study *study, const struct sampler_option *options,
                     uint32_t option_count, const struct sampler_allocator *allocator,
                     struct sampler_message *message, struct sampler_configuration **out);
    int (*joint_space)(const struct sampler_call *call, struct space *out);
    int (*suggest_joint)(const struct sampler_call *call, const struct space *space, double *values,
                         struct sampler_bytes *note);
    int (*suggest_one)(const struct sampler_call *call, const struct sampler_param *param,
                       double *value);
    /* The three of the model are all NULL if there is none. */
    int (*model_new)(const struct sampler_configuration *configuration,
                     const struct sampler_study *study, const struct sampler_allocator *allocator,
                     void **model);
    int (*model_move)(const struct sampler_configuration *configuration,
                      const struct sampler_study *study, const struct sampler_view *view,
                      void *model);
    void (*model_free)(const struct sampler_configuration *configuration, void *model);
    /* Recompute `count` numbers of a draw whose digest is not over stream words (QMC); NULL: all
     * are stream words. */
    int (*draw_words)(const struct sampler_configuration *configuration,
                      const struct sampler_study *study, const struct draw *draw, uint32_t part,
                      uint64_t first, uint64_t count, uint64_t *out);
};

struct pruner {
    const char *name;
    uint32_t version;
    bool blind; /* as above */
    int (*configure)(const struct sampler_study *study, const struct sampler_option *options,
                     uint32_t option_count, const struct sampler_allocator *allocator,
                     struct sampler_message *message, struct sampler_configuration **out);
    int (*decide)(const struct sampler_call *call, bool *prune, struct sampler_bytes *note);
    /* Free what the configuration owns besides its own block; NULL: nothing. */
    void (*release)(struct sampler_configuration *configuration);
    /* Which part of the study a trial competes in: samplers see only trials of the same bracket.
     * NULL, both: one for all. `resource` is what the brackets go by, given or fixed by what stands
     * in the view's decisions, 0 while nothing has fixed it; asked once for a view, and handed to
     * `bracket` for each trial. The configuration is the pruner's. */
    uint64_t (*resource)(const struct sampler_configuration *configuration,
                         const struct sampler_view *view);
    uint32_t (*bracket)(const struct sampler_configuration *configuration,
                        const struct sampler_study *study, uint64_t resource,
                        uint64_t trial_number);
};

/* By name ("random"; "none"), NULL if there is no such thing. The lists, in order of name, for
 * messages and --help: entry `index`, NULL beyond the last. */
const struct sampler *sampler_find(const char *name);
/* All names in order, NULL at the end; as sampler_at gives them. Static. */
const char *const *sampler_names(void);
const char *const *pruner_names(void);
const struct sampler *sampler_at(uint32_t index);
const struct pruner *pruner_find(const char *name);
const struct pruner *pruner_at(uint32_t index);

extern const struct sampler sampler_grid, sampler_qmc, sampler_random, sampler_tpe;
extern const struct pruner pruner_halving, pruner_hyperband, pruner_median, pruner_none,
    pruner_patient, pruner_percentile, pruner_threshold, pruner_wilcoxon;

/* A parameter from Random, in unit form, under the calling sampler's own instance: everybody's
 * fallback. */
int random_suggest_one(const struct sampler_call *call, const struct sampler_param *param,
                       double *value);

#endif

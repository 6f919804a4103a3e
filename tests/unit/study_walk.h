/*
 * study_walk: a study without an engine: trials are suggested, get a made-up result and become rows
 * of the next views. Serial, or with several workers whose trials overlap. For the unit tests, the
 * digests over builds, and the benchmarks; so it knows nothing of Criterion.
 */
#ifndef HPO_TESTS_STUDY_WALK_H
#define HPO_TESTS_STUDY_WALK_H

#include <string.h>
#include <xxhash.h>

#include "samplers/fpenv.h"
#include "samplers/sampler.h"

#define WALK_UNUSED __attribute__((unused))
#define WALK_PARAMS 40
#define WALK_OBJECTIVES 3
#define WALK_REPORTS 8
#define WALK_NOTE 512
#define WALK_RUNNING 32

struct walk_row {
    struct sampler_trial trial;
    double objectives[WALK_OBJECTIVES];
    struct sampler_value values[WALK_PARAMS];
    struct sampler_report reports[WALK_REPORTS];
    double constraint;
    uint8_t note[WALK_NOTE];
};

struct walk {
    const struct sampler_allocator *allocator;
    struct sampler_study study;
    uint8_t directions[WALK_OBJECTIVES];
    struct sampler_param params[WALK_PARAMS];
    struct space declared;
    struct sampler_configuration *configuration, *pruner;
    void *model;
    struct draw_list draws;
    struct space space; /* of the last joint suggestion */
    struct sampler_bytes note;
    struct walk_row **rows; /* ended ones, in fold order */
    const struct sampler_trial **ended;
    size_t ended_count, capacity;
    struct walk_row *running[WALK_RUNNING]; /* by number */
    size_t running_count;
    uint64_t next_number;
    uint64_t digest; /* over all suggestions and draws so far */
    /* Does the trial, with what it has, ask for the parameter? NULL: always. */
    bool (*asks)(const struct walk *walk, const struct walk_row *row, uint32_t param);
    /* Gives the row its state, objectives, reports, constraints. */
    void (*finish)(const struct walk *walk, struct walk_row *row);
};

/* Chain: the digest so far and one more word. Little-endian whatever the machine is. */
static inline uint64_t walk_chain(uint64_t digest, uint64_t word)
{
    uint8_t bytes[8];

    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(word >> 8 * i);
    return XXH3_64bits_withSeed(bytes, sizeof(bytes), digest);
}

static inline uint64_t walk_chain_double(uint64_t digest, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return walk_chain(digest, value == value ? bits : UINT64_C(0x7FF8000000000000));
}

/* Zeroes the walk; parameters, then walk_configure, follow. */
static WALK_UNUSED void walk_init(struct walk *walk, const struct sampler_allocator *allocator,
                                  uint64_t seed)
{
    *walk = (struct walk){.allocator = allocator};
    walk->study = (struct sampler_study){.name = "walk",
                                         .name_size = 4,
                                         .key = {{seed, 7}},
                                         .directions = walk->directions,
                                         .direction_count = 1,
                                         .params = walk->params,
                                         .declared = &walk->declared};
    walk->declared.allocator = allocator;
    walk->draws.allocator = allocator;
    walk->space.allocator = allocator;
    walk->note.allocator = allocator;
    walk->digest = 1;
}

/* 0 or an error. The name is borrowed. */
static WALK_UNUSED int walk_param(struct walk *walk, const char *name,
                                  struct sampler_distribution distribution)
{
    uint32_t number = walk->study.param_count;
    int err = distribution_prepare(&distribution, NULL);

    if (err < 0)
        return err;
    walk->params[number] = (struct sampler_param){.name = name,
                                                  .name_size = strlen(name),
                                                  .number = number,
                                                  .family = number,
                                                  .slot = DRAW_SLOT_DECLARED + number,
                                                  .distribution = distribution};
    walk->study.param_count++;
    return space_add(&walk->declared, &walk->params[number]);
}

static WALK_UNUSED int walk_configure(struct walk *walk, const char *sampler,
                                      const struct sampler_option *options, uint32_t option_count,
                                      struct sampler_message *message)
{
    int err = sampler_configure(sampler_find(sampler), &walk->study, options, option_count, 0,
                                walk->allocator, message, &walk->configuration);

    if (err < 0)
        return err;
    return sampler_model_new(walk->configuration, &walk->study, walk->allocator, &walk->model);
}

/* The value that a trial has for a parameter, or false. */
static WALK_UNUSED bool walk_value(const struct walk_row *row, uint32_t param, double *value)
{
    for (uint32_t i = 0; i < row->trial.value_count; i++)
        if (row->trial.values[i].param == param) {
            *value = row->trial.values[i].value;
            return true;
        }
    return false;
}

static inline void walk_give(struct walk_row *row, uint32_t param, double value)
{
    row->values[row->trial.value_count++] = (struct sampler_value){param, value};
}

/*
 * Everything that the trial gets, from that view with that model (moved here). Leaves the draws in
 * walk->draws. 0, SAMPLER_NO_MORE or an error.
 */
static inline int walk_suggest(struct walk *walk, const struct sampler_view *view, void *model,
                               uint64_t number, struct walk_row *row)
{
    double joint[WALK_PARAMS];
    struct sampler_call call = {.configuration = walk->configuration,
                                .pruner = walk->pruner,
                                .study = &walk->study,
                                .view = view,
                                .own = &row->trial,
                                .model = model,
                                .draws = &walk->draws,
                                .allocator = walk->allocator};
    int err = sampler_model_move(walk->configuration, &walk->study, view, model);

    memset(row, 0, sizeof(*row));
    row->trial.number = number;
    row->trial.state = SAMPLER_RUNNING;
    row->trial.values = row->values;
    draw_list_clear(&walk->draws);
    if (err == SAMPLER_OK)
        err = sampler_joint_space(&call, &walk->space);
    if (err == SAMPLER_OK)
        err = sampler_suggest_joint(&call, &walk->space, joint, &walk->note);
    if (err != SAMPLER_OK)
        return err;
    if (walk->note.size > 0)
        memcpy(row->note, walk->note.data, walk->note.size);
    row->trial.note = row->note;
    row->trial.note_size = walk->note.size;
    for (uint32_t p = 0; p < walk->study.param_count; p++) {
        uint32_t j = 0;
        double value;

        if (walk->asks && !walk->asks(walk, row, p))
            continue;
        while (j < walk->space.count && walk->space.params[j].number != p)
            j++;
        if (j < walk->space.count) {
            value = joint[j];
        } else {
            err = sampler_suggest_one(&call, &walk->params[p], &value);
            if (err != SAMPLER_OK)
                return err;
        }
        walk_give(row, p, value);
    }
    return SAMPLER_OK;
}

/* The digest of a suggestion with its draws, chained to `digest`. */
static inline uint64_t walk_digest(struct walk *walk, const struct walk_row *row, uint64_t digest)
{
    digest = walk_chain(digest, row->trial.number);
    for (uint32_t i = 0; i < row->trial.value_count; i++) {
        digest = walk_chain(digest, row->values[i].param);
        digest = walk_chain_double(digest, row->values[i].value);
    }
    for (size_t i = 0; i < row->trial.note_size; i++)
        digest = walk_chain(digest, row->note[i]);
    for (uint32_t i = 0; i < walk->draws.count; i++) {
        struct draw draw;

        draw_list_get(&walk->draws, i, &draw);
        digest = walk_chain(digest, draw.digest);
    }
    return digest;
}

static inline int walk_reserve(struct walk *walk)
{
    const struct sampler_allocator *allocator = walk->allocator;
    size_t capacity = walk->capacity ? 2 * walk->capacity : 64;
    struct walk_row **rows;
    const struct sampler_trial **ended;

    if (walk->ended_count < walk->capacity)
        return SAMPLER_OK;
    rows = allocator->realloc(allocator->context, walk->rows, capacity * sizeof(*rows));
    if (!rows)
        return SAMPLER_NOMEM;
    walk->rows = rows;
    ended = allocator->realloc(allocator->context, walk->ended, capacity * sizeof(*ended));
    if (!ended)
        return SAMPLER_NOMEM;
    walk->ended = ended;
    walk->capacity = capacity;
    return SAMPLER_OK;
}

/* A row that has ended: finish() fills in the rest. The walk owns it from here. */
static inline int walk_end(struct walk *walk, struct walk_row *row)
{
    int err = walk_reserve(walk);

    if (err < 0)
        return err;
    row->trial.objectives = row->objectives;
    row->trial.reports = row->reports;
    row->trial.constraints = &row->constraint;
    walk->finish(walk, row);
    walk->rows[walk->ended_count] = row;
    walk->ended[walk->ended_count++] = &row->trial;
    return SAMPLER_OK;
}

static inline struct sampler_view walk_view(const struct walk *walk,
                                            const struct sampler_trial **running)
{
    for (size_t i = 0; i < walk->running_count; i++)
        running[i] = &walk->running[i]->trial;
    return (struct sampler_view){.ended = walk->ended,
                                 .ended_count = walk->ended_count,
                                 .running = running,
                                 .running_count = walk->running_count};
}

/* Begin the next trial: it joins the running ones. */
static inline int walk_begin(struct walk *walk)
{
    const struct sampler_trial *running[WALK_RUNNING];
    struct sampler_view view = walk_view(walk, running);
    struct walk_row *row = walk->allocator->alloc(walk->allocator->context, sizeof(*row));
    int err;

    if (!row)
        return SAMPLER_NOMEM;
    err = walk_suggest(walk, &view, walk->model, walk->next_number, row);
    if (err != SAMPLER_OK) {
        walk->allocator->free(walk->allocator->context, row);
        return err;
    }
    walk->next_number++;
    walk->digest = walk_digest(walk, row, walk->digest);
    walk->running[walk->running_count++] = row;
    return SAMPLER_OK;
}

/* End the running trial at that place. */
static inline int walk_end_running(struct walk *walk, size_t place)
{
    struct walk_row *row = walk->running[place];
    int err = walk_end(walk, row);

    if (err < 0)
        return err;
    walk->running_count--;
    for (size_t i = place; i < walk->running_count; i++)
        walk->running[i] = walk->running[i + 1];
    return SAMPLER_OK;
}

/* `count` trials by so many workers; which of them ends next follows from `seed`. */
static WALK_UNUSED int walk_run(struct walk *walk, uint64_t count, size_t workers, uint64_t seed)
{
    uint64_t begun = 0, choice = seed;
    int err = SAMPLER_OK;

    while (err == SAMPLER_OK && (begun < count || walk->running_count > 0)) {
        if (begun < count && walk->running_count < workers) {
            err = walk_begin(walk);
            begun++;
            continue;
        }
        choice = walk_chain(choice, begun);
        err = walk_end_running(walk, choice % walk->running_count);
    }
    return err;
}

static WALK_UNUSED void walk_release(struct walk *walk)
{
    const struct sampler_allocator *allocator = walk->allocator;

    sampler_model_free(walk->configuration, walk->model);
    configuration_free(walk->configuration);
    configuration_free(walk->pruner);
    for (size_t i = 0; i < walk->ended_count; i++)
        allocator->free(allocator->context, walk->rows[i]);
    for (size_t i = 0; i < walk->running_count; i++)
        allocator->free(allocator->context, walk->running[i]);
    allocator->free(allocator->context, walk->rows);
    allocator->free(allocator->context, walk->ended);
    draw_list_release(&walk->draws);
    space_release(&walk->declared);
    space_release(&walk->space);
    sampler_bytes_release(&walk->note);
}

/* -- conditional spaces -- */

/* Parameter 0 selects: even ones of the others belong to its lower half, odd ones to its upper. */
static WALK_UNUSED bool walk_asks_conditional(const struct walk *walk, const struct walk_row *row,
                                              uint32_t param)
{
    double first;

    if (param < 2 || !walk_value(row, 0, &first))
        return true;
    return (distribution_to_unit(&walk->params[0].distribution, first) > 0.5) == (param % 2 == 1);
}

/* -- made-up results -- */

/* The sum over the parameters' unit forms of (u - place)^2, with places that differ from parameter
 * to parameter and from objective to objective. Every seventh trial is pruned after two reports,
 * every eleventh fails; every third violates a constraint by its first parameter. */
static WALK_UNUSED void walk_finish_mixed(const struct walk *walk, struct walk_row *row)
{
    struct fpenv saved;

    fpenv_enter(&saved);
    for (uint32_t k = 0; k < walk->study.direction_count; k++) {
        double sum = 0;

        for (uint32_t i = 0; i < row->trial.value_count; i++) {
            uint32_t param = row->values[i].param;
            double u =
                distribution_to_unit(&walk->params[param].distribution, row->values[i].value);
            double from = u - (double)((param * 5 + k * 3) % 8) / 8;

            sum += from * from;
        }
        row->objectives[k] = walk->directions[k] ? -sum : sum;
    }
    row->trial.objective_count = walk->study.direction_count;
    row->trial.state = SAMPLER_COMPLETE;
    if (row->trial.number % 3 == 2) {
        row->constraint = row->objectives[0] * 4 - 1;
        row->trial.constraint_count = 1;
    }
    if (row->trial.number % 7 == 5) {
        row->trial.state = SAMPLER_PRUNED;
        row->trial.objective_count = 0;
        row->reports[0] = (struct sampler_report){1, 2 * row->objectives[0]};
        row->reports[1] = (struct sampler_report){4, row->objectives[0]};
        row->trial.report_count = (uint32_t)(row->trial.number % 3);
    } else if (row->trial.number % 11 == 9) {
        row->trial.state = SAMPLER_FAIL;
        row->trial.objective_count = 0;
    }
    fpenv_leave(&saved);
}

#endif

/*
 * qmc: trial n is point n - 1 of Sobol's sequence, over the parameters of the study's first
 * finished trial.
 *
 * A point belongs to a trial's number, whatever other workers do: it needs no record and survives
 * a rollback. Trial 0 has no space yet and is random, as is everything that the space lacks.
 * Parameters get their coordinates in order of name, since their numbers depend on which worker
 * came first.
 *
 * The model remembers the first finished trial of the view and the direction numbers of its space.
 */
#include "samplers/strict.h"
#include "samplers/options.h"
#include "samplers/sampler.h"
#include "samplers/sobol.h"

#include <assert.h>

static const struct option_rule rules[] = {
    {.key = "scramble", .fallback = "true", .kind = OPTION_BOOL},
};

struct qmc_configuration {
    struct sampler_configuration common;
    bool scramble;
};

struct qmc_model {
    const struct sampler_allocator *allocator;
    size_t seen;                       /* of the view's ended trials */
    const struct sampler_trial *first; /* the finished one of lowest number; NULL: none */
    size_t first_at;                   /* its place in the list */
    uint32_t (*directions)[SOBOL_DIGITS];
    uint32_t dimensions; /* of which they are */
};

static int qmc_configure(const struct sampler_study *study, const struct sampler_option *options,
                         uint32_t option_count, const struct sampler_allocator *allocator,
                         struct sampler_message *message, struct sampler_configuration **out)
{
    int err = options_complete(rules, 1, options, option_count, sizeof(struct qmc_configuration),
                               allocator, message, out);

    (void)study;
    if (err == SAMPLER_OK)
        ((struct qmc_configuration *)(void *)*out)->scramble = options_bool(*out, "scramble");
    return err;
}

/* -- model -- */

static int qmc_model_new(const struct sampler_configuration *configuration,
                         const struct sampler_study *study,
                         const struct sampler_allocator *allocator, void **out)
{
    struct qmc_model *model = allocator->alloc(allocator->context, sizeof(*model));

    (void)configuration;
    (void)study;
    if (!model)
        return SAMPLER_NOMEM;
    *model = (struct qmc_model){.allocator = allocator};
    *out = model;
    return SAMPLER_OK;
}

static bool is_finished(const struct sampler_trial *trial)
{
    return trial->state == SAMPLER_COMPLETE || trial->state == SAMPLER_PRUNED;
}

/* Enough direction numbers for `needed` dimensions (at most what the table has). */
static int model_expand(struct qmc_model *model, uint32_t needed)
{
    const struct sampler_allocator *allocator = model->allocator;

    if (needed > sobol_dimension_count())
        needed = sobol_dimension_count();
    if (needed <= model->dimensions)
        return SAMPLER_OK;

    void *grown = allocator->realloc(allocator->context, model->directions,
                                     needed * sizeof(*model->directions));

    if (!grown)
        return SAMPLER_NOMEM;
    model->directions = grown;
    for (; model->dimensions < needed; model->dimensions++)
        sobol_directions(model->dimensions, model->directions[model->dimensions]);
    return SAMPLER_OK;
}

static int qmc_model_move(const struct sampler_configuration *configuration,
                          const struct sampler_study *study, const struct sampler_view *view,
                          void *context)
{
    struct qmc_model *model = context;

    (void)configuration;
    (void)study;
    /* The first of a longer list is the first of a shorter one too if it is in it. */
    if (view->ended_count < model->seen && (!model->first || model->first_at < view->ended_count))
        model->seen = view->ended_count;
    if (view->ended_count < model->seen) {
        model->seen = 0;
        model->first = NULL;
    }
    for (; model->seen < view->ended_count; model->seen++) {
        const struct sampler_trial *trial = view->ended[model->seen];

        if (!is_finished(trial) || (model->first && model->first->number < trial->number))
            continue;
        model->first = trial;
        model->first_at = model->seen;
    }
    return model->first ? model_expand(model, model->first->value_count) : SAMPLER_OK;
}

static void qmc_model_free(const struct sampler_configuration *configuration, void *context)
{
    struct qmc_model *model = context;
    const struct sampler_allocator *allocator = model->allocator;

    (void)configuration;
    allocator->free(allocator->context, model->directions);
    allocator->free(allocator->context, model);
}

/* -- suggestions -- */

/* The number of the trial's point, or false: trial 0, or beyond the sequence. */
static bool point_of(uint64_t trial_number, uint32_t *point)
{
    if (trial_number == 0 || trial_number - 1 > UINT32_MAX)
        return false;
    *point = (uint32_t)(trial_number - 1);
    return true;
}

static int qmc_joint_space(const struct sampler_call *call, struct space *out)
{
    const struct qmc_model *model = call->model;
    const struct sampler_trial *first = model->first;
    uint32_t point;

    if (!first || !point_of(call->own->number, &point))
        return SAMPLER_OK;
    for (uint32_t i = 0; i < first->value_count; i++) {
        struct sampler_param param = call->study->params[first->values[i].param];
        int err;

        if (distribution_single(&param.distribution))
            continue;
        param.slot = DRAW_SLOT_JOINT;
        param.group = 0;
        err = space_add(out, &param);
        if (err < 0)
            return err;
    }
    space_sort(out);
    if (out->count > sobol_dimension_count())
        out->count = sobol_dimension_count(); /* the others one by one, at random */
    return SAMPLER_OK;
}

/* The number that stands for a coordinate in the draw's digest. */
static uint64_t coordinate_word(const struct sampler_configuration *configuration,
                                const struct sampler_study *study, const uint32_t v[SOBOL_DIGITS],
                                uint32_t dimension, uint32_t point)
{
    uint32_t x = sobol_point(v, point);

    if (!((const struct qmc_configuration *)(const void *)configuration)->scramble)
        return x;
    return sobol_scramble(&study->key, configuration->instance, dimension, x);
}

static int qmc_suggest_joint(const struct sampler_call *call, const struct space *space,
                             double *values, struct sampler_bytes *note)
{
    const struct sampler_configuration *configuration = call->configuration;
    const struct qmc_model *model = call->model;
    bool scramble = ((const struct qmc_configuration *)(const void *)configuration)->scramble;
    uint32_t point = 0;
    int err;

    (void)note;
    if (space->count == 0)
        return SAMPLER_OK;
    (void)point_of(call->own->number, &point);
    assert(space->count <= model->dimensions);
    for (uint32_t i = 0; i < space->count; i++) {
        uint64_t word = coordinate_word(configuration, call->study, model->directions[i], i, point);
        double u = scramble ? sobol_unit_scrambled(word) : sobol_unit((uint32_t)word);

        /* The coordinates of a point are consecutive words of the draw's one part. */
        err = draw_list_add(call->draws, DRAW_SOBOL, configuration->instance, call->own->number,
                            DRAW_SLOT_JOINT, (uint64_t)point + i, 1, &word);
        if (err < 0)
            return err;
        values[i] = distribution_from_unit(&space->params[i].distribution, u);
    }
    return SAMPLER_OK;
}

static int qmc_draw_words(const struct sampler_configuration *configuration,
                          const struct sampler_study *study, const struct draw *draw, uint32_t part,
                          uint64_t first, uint64_t count, uint64_t *out)
{
    uint64_t point = draw->parts[part].first;

    if (point > UINT32_MAX || first >= sobol_dimension_count() ||
        count > sobol_dimension_count() - first)
        return SAMPLER_INVALID;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t v[SOBOL_DIGITS], dimension = (uint32_t)(first + i);

        sobol_directions(dimension, v);
        out[i] = coordinate_word(configuration, study, v, dimension, (uint32_t)point);
    }
    return SAMPLER_OK;
}

const struct sampler sampler_qmc = {
    .name = "qmc",
    .version = 1,
    .configure = qmc_configure,
    .joint_space = qmc_joint_space,
    .suggest_joint = qmc_suggest_joint,
    .suggest_one = random_suggest_one,
    .model_new = qmc_model_new,
    .model_move = qmc_model_move,
    .model_free = qmc_model_free,
    .draw_words = qmc_draw_words,
};

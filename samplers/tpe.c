/*
 * tpe: the tree-structured Parzen estimator, as in Optuna 5.
 *
 * Finished trials are split into a good tenth and the others. Each side becomes a density (parzen):
 * candidates are drawn from the good one, and the one with the largest ratio of densities is taken.
 * Trials that are still running count among the others, so that workers keep apart ("constant
 * liar"). Until n_startup trials have finished, everything is random.
 *
 * Parameters that every finished trial has are drawn jointly (`multivariate`; with `group` each
 * group of parameters that are used together), the others one by one when they are asked for.
 */
#include "samplers/strict.h"
#include "samplers/options.h"
#include "samplers/sampler.h"
#include "samplers/tpe_model.h"

#include <assert.h>
#include <string.h>

#define CANDIDATES_MAX 10000

static const char *const multivariate_words[] = {"auto", "false", "true", NULL};

static const struct option_rule rules[] = {
    {.key = "constant_liar", .fallback = "true", .kind = OPTION_BOOL},
    {.key = "group", .fallback = "false", .kind = OPTION_BOOL},
    {.key = "multivariate", .fallback = "auto", .kind = OPTION_WORD, .words = multivariate_words},
    {.key = "n_candidates",
     .fallback = "24",
     .kind = OPTION_COUNT,
     .count_min = 1,
     .count_max = CANDIDATES_MAX},
    {.key = "n_startup", .fallback = "10", .kind = OPTION_COUNT, .count_max = UINT32_MAX},
};

struct tpe_configuration {
    struct sampler_configuration common;
    bool liar, group, multivariate;
    uint32_t candidates, startup;
};

static const struct tpe_configuration *
tpe_configuration(const struct sampler_configuration *configuration)
{
    return (const struct tpe_configuration *)(const void *)configuration;
}

static int tpe_configure(const struct sampler_study *study, const struct sampler_option *options,
                         uint32_t option_count, const struct sampler_allocator *allocator,
                         struct sampler_message *message, struct sampler_configuration **out)
{
    struct sampler_configuration *made;
    struct tpe_configuration *tpe;
    const char *multivariate;
    int err = options_complete(rules, sizeof(rules) / sizeof(rules[0]), options, option_count,
                               sizeof(*tpe), allocator, message, &made);

    if (err < 0)
        return err;
    tpe = (struct tpe_configuration *)(void *)made;
    tpe->liar = options_bool(made, "constant_liar");
    tpe->group = options_bool(made, "group");
    multivariate = options_word(made, "multivariate");
    tpe->multivariate =
        multivariate[0] == 'a' ? study->direction_count == 1 : multivariate[0] == 't';
    tpe->candidates = (uint32_t)options_count(made, "n_candidates");
    tpe->startup = (uint32_t)options_count(made, "n_startup");
    if (tpe->group && !tpe->multivariate)
        err =
            sampler_fail(message, SAMPLER_INVALID,
                         "option group needs multivariate=true (several objectives: say so)", NULL);
    else if (study->direction_count == 0 || study->direction_count > 64)
        err = sampler_fail(message, SAMPLER_UNSUPPORTED, "tpe needs 1 to 64 objectives", NULL);
    if (err < 0) {
        configuration_free(made);
        return err;
    }
    *out = made;
    return SAMPLER_OK;
}

/* -- the model of a call -- */

static int tpe_new(const struct sampler_configuration *configuration,
                   const struct sampler_study *study, const struct sampler_allocator *allocator,
                   void **out)
{
    struct tpe_model *model = allocator->alloc(allocator->context, sizeof(*model));

    (void)configuration;
    (void)study;
    if (!model)
        return SAMPLER_NOMEM;
    tpe_model_init(model, allocator);
    *out = model;
    return SAMPLER_OK;
}

static int tpe_move(const struct sampler_configuration *configuration,
                    const struct sampler_study *study, const struct sampler_view *view,
                    void *context)
{
    (void)configuration;
    return tpe_model_follow(context, study, view, NULL);
}

static void tpe_free(const struct sampler_configuration *configuration, void *context)
{
    struct tpe_model *model = context;
    const struct sampler_allocator *allocator = model->allocator;

    (void)configuration;
    tpe_model_release(model);
    allocator->free(allocator->context, model);
}

/* The trials that count for a call: all of the view, or those of its bracket. */
struct tpe_use {
    struct tpe_model *model;
    struct tpe_model own; /* of one bracket; else unused */
    const struct sampler_trial *const *running;
    const struct sampler_trial **own_running;
    uint32_t running_count;
};

static void use_end(const struct sampler_call *call, struct tpe_use *use)
{
    if (use->model == &use->own)
        tpe_model_release(&use->own);
    call->allocator->free(call->allocator->context, use->own_running);
}

static int use_bracket(const struct sampler_call *call, struct tpe_use *use)
{
    const struct pruner *pruner = call->pruner->pruner;
    const struct sampler_view *view = call->view;
    struct tpe_bracket bracket = {.pruner = call->pruner,
                                  .resource = pruner->resource(call->pruner, view)};

    bracket.number =
        pruner->bracket(call->pruner, call->study, bracket.resource, call->own->number);
    tpe_model_init(&use->own, call->allocator);
    use->model = &use->own;
    use->own_running = call->allocator->alloc(call->allocator->context,
                                              (view->running_count + 1) * sizeof(*view->running));
    if (!use->own_running)
        return SAMPLER_NOMEM;
    use->running = use->own_running;
    use->running_count = 0;
    for (size_t i = 0; i < view->running_count; i++)
        if (tpe_in_bracket(call->study, &bracket, view->running[i]))
            use->own_running[use->running_count++] = view->running[i];
    return tpe_model_follow(&use->own, call->study, view, &bracket);
}

/* use_end follows, also after an error. */
static int use_begin(const struct sampler_call *call, struct tpe_use *use)
{
    *use = (struct tpe_use){.model = call->model,
                            .running = call->view->running,
                            .running_count = (uint32_t)call->view->running_count};
    if (call->pruner && call->pruner->pruner->bracket)
        return use_bracket(call, use);
    return SAMPLER_OK;
}

static bool is_starting(const struct sampler_call *call, const struct tpe_use *use)
{
    return use->model->finished < tpe_configuration(call->configuration)->startup;
}

/* -- suggestions -- */

static int tpe_joint_space(const struct sampler_call *call, struct space *out)
{
    const struct tpe_configuration *tpe = tpe_configuration(call->configuration);
    struct tpe_use use;
    int err = use_begin(call, &use);

    if (err == SAMPLER_OK && tpe->multivariate && !is_starting(call, &use)) {
        err = tpe->group ? tpe_model_groups(use.model, call->study, out)
                         : tpe_model_common(use.model, call->study, out);
        space_sort(out);
    }
    use_end(call, &use);
    return err;
}

/* Values for `count` parameters from one pair of mixtures: the candidate whose score is largest,
 * the first one if several are. */
static int suggest(const struct sampler_call *call, struct tpe_use *use,
                   const struct sampler_param *params, uint32_t count, struct stream *stream,
                   double *values)
{
    const struct tpe_configuration *tpe = tpe_configuration(call->configuration);
    uint32_t candidates = tpe->candidates, uniforms = parzen_uniforms(count, candidates), best = 0;
    struct tpe_model *model = use->model;
    struct parzen_candidates drawn = {.count = candidates, .parameters = count};
    size_t work;
    double *scratch, *below, *above;
    int err = tpe_model_build(model, call->study, use->running, tpe->liar ? use->running_count : 0,
                              params, count);

    if (err < 0)
        return err;
    work = parzen_score_work(&model->above_mixture, candidates);
    if (parzen_score_work(&model->below_mixture, candidates) > work)
        work = parzen_score_work(&model->below_mixture, candidates);
    if (uniforms > work)
        work = uniforms; /* needed one after the other */
    scratch = tpe_model_scratch(model, work + 2 * (size_t)candidates * (count + 1));
    if (!scratch)
        return SAMPLER_NOMEM;
    drawn.value = scratch + work;
    drawn.place = drawn.value + (size_t)candidates * count;
    below = drawn.place + (size_t)candidates * count;
    above = below + candidates;
    for (uint32_t i = 0; i < uniforms; i++)
        scratch[i] = stream_uniform(stream);
    parzen_draw(&model->below_mixture, scratch, &drawn);
    parzen_score(&model->below_mixture, &drawn, scratch, below);
    parzen_score(&model->above_mixture, &drawn, scratch, above);
    for (uint32_t c = 1; c < candidates; c++)
        if (below[c] - above[c] > below[best] - above[best])
            best = c;
    for (uint32_t p = 0; p < count; p++)
        values[p] = drawn.value[(size_t)p * candidates + best];
    return SAMPLER_OK;
}

static int tpe_suggest_joint(const struct sampler_call *call, const struct space *space,
                             double *values, struct sampler_bytes *note)
{
    struct stream stream;
    struct tpe_use use;
    int err;

    (void)note;
    if (space->count == 0)
        return SAMPLER_OK;
    err = use_begin(call, &use);
    if (err == SAMPLER_OK)
        err = stream_open(&stream, &call->study->key, DRAW_TPE_JOINT, call->configuration->instance,
                          call->own->number, DRAW_SLOT_JOINT, 0, call->draws);
    for (uint32_t from = 0, to; err == SAMPLER_OK && from < space->count; from = to) {
        for (to = from; to < space->count && space->params[to].group == space->params[from].group;)
            to++;
        err = suggest(call, &use, space->params + from, to - from, &stream, values + from);
    }
    use_end(call, &use);
    return err;
}

static int tpe_suggest_one(const struct sampler_call *call, const struct sampler_param *param,
                           double *value)
{
    struct stream stream;
    struct tpe_use use;
    int err;

    if (!parzen_fits(&param->distribution))
        return random_suggest_one(call, param, value);
    assert(param->slot != DRAW_SLOT_JOINT);
    err = use_begin(call, &use);
    if (err == SAMPLER_OK && is_starting(call, &use)) {
        err = random_suggest_one(call, param, value);
    } else if (err == SAMPLER_OK) {
        err = stream_open(&stream, &call->study->key, DRAW_TPE_ONE, call->configuration->instance,
                          call->own->number, param->slot, 0, call->draws);
        if (err == SAMPLER_OK)
            err = suggest(call, &use, param, 1, &stream, value);
    }
    use_end(call, &use);
    return err;
}

const struct sampler sampler_tpe = {
    .name = "tpe",
    .version = 1,
    .configure = tpe_configure,
    .joint_space = tpe_joint_space,
    .suggest_joint = tpe_suggest_joint,
    .suggest_one = tpe_suggest_one,
    .model_new = tpe_new,
    .model_move = tpe_move,
    .model_free = tpe_free,
};

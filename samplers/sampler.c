/*
 * sampler: the doors through which the engine comes in. Each sets the floating-point environment,
 * checks what must hold on both sides, and goes through the table; and the lists of tables.
 */
#include "samplers/strict.h"
#include "samplers/sampler.h"
#include "samplers/fpenv.h"

#include <assert.h>
#include <string.h>

/* In order of name. A new sampler or pruner is a file and a line. */
static const struct sampler *const samplers[] = {
    &sampler_grid,
    &sampler_qmc,
    &sampler_random,
    &sampler_tpe,
};
static const struct pruner *const pruners[] = {
    &pruner_hyperband,  &pruner_median,  &pruner_none,      &pruner_patient,
    &pruner_percentile, &pruner_halving, &pruner_threshold, &pruner_wilcoxon,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Their names, for people: the tables above cannot be read before run time. */
static const char *const sampler_name_list[] = {"grid", "qmc", "random", "tpe", NULL};
static const char *const pruner_name_list[] = {"hyperband", "median",     "none",
                                               "patient",   "percentile", "successive_halving",
                                               "threshold", "wilcoxon",   NULL};
_Static_assert(COUNT(sampler_name_list) == COUNT(samplers) + 1, "a name for every sampler");
_Static_assert(COUNT(pruner_name_list) == COUNT(pruners) + 1, "a name for every pruner");

const char *const *sampler_names(void)
{
    return sampler_name_list;
}

const char *const *pruner_names(void)
{
    return pruner_name_list;
}

const struct sampler *sampler_at(uint32_t index)
{
    return index < COUNT(samplers) ? samplers[index] : NULL;
}

const struct pruner *pruner_at(uint32_t index)
{
    return index < COUNT(pruners) ? pruners[index] : NULL;
}

const struct sampler *sampler_find(const char *name)
{
    for (uint32_t i = 0; i < COUNT(samplers); i++)
        if (strcmp(samplers[i]->name, name) == 0)
            return samplers[i];
    return NULL;
}

const struct pruner *pruner_find(const char *name)
{
    for (uint32_t i = 0; i < COUNT(pruners); i++)
        if (strcmp(pruners[i]->name, name) == 0)
            return pruners[i];
    return NULL;
}

/* -- configurations -- */

int sampler_configure(const struct sampler *sampler, const struct sampler_study *study,
                      const struct sampler_option *options, uint32_t option_count,
                      uint32_t instance, const struct sampler_allocator *allocator,
                      struct sampler_message *message, struct sampler_configuration **out)
{
    struct fpenv saved;
    int err;

    fpenv_enter(&saved);
    err = sampler->configure(study, options, option_count, allocator, message, out);
    fpenv_leave(&saved);
    if (err < 0)
        return err;
    (*out)->sampler = sampler;
    (*out)->pruner = NULL;
    (*out)->instance = instance;
    return SAMPLER_OK;
}

int pruner_configure(const struct pruner *pruner, const struct sampler_study *study,
                     const struct sampler_option *options, uint32_t option_count,
                     const struct sampler_allocator *allocator, struct sampler_message *message,
                     struct sampler_configuration **out)
{
    struct fpenv saved;
    int err;

    fpenv_enter(&saved);
    err = pruner->configure(study, options, option_count, allocator, message, out);
    fpenv_leave(&saved);
    if (err < 0)
        return err;
    (*out)->sampler = NULL;
    (*out)->pruner = pruner;
    (*out)->instance = 0;
    return SAMPLER_OK;
}

void configuration_free(struct sampler_configuration *configuration)
{
    if (!configuration)
        return;
    if (configuration->pruner && configuration->pruner->release)
        configuration->pruner->release(configuration);
    configuration->allocator->free(configuration->allocator->context, configuration);
}

/* -- suggestions -- */

int sampler_joint_space(const struct sampler_call *call, struct space *out)
{
    struct fpenv saved;
    int err;

    space_clear(out);
    fpenv_enter(&saved);
    err = call->configuration->sampler->joint_space(call, out);
    fpenv_leave(&saved);
    return err;
}

int sampler_suggest_joint(const struct sampler_call *call, const struct space *space,
                          double *values, struct sampler_bytes *note)
{
    struct fpenv saved;
    int err;

    sampler_bytes_clear(note);
    fpenv_enter(&saved);
    err = call->configuration->sampler->suggest_joint(call, space, values, note);
    fpenv_leave(&saved);
    for (uint32_t i = 0; err == SAMPLER_OK && i < space->count; i++)
        assert(distribution_contains(&space->params[i].distribution, values[i])); /* D2 */
    return err;
}

int sampler_suggest_one(const struct sampler_call *call, const struct sampler_param *param,
                        double *value)
{
    struct fpenv saved;
    int err;

    fpenv_enter(&saved);
    err = call->configuration->sampler->suggest_one(call, param, value);
    fpenv_leave(&saved);
    assert(err != SAMPLER_OK || distribution_contains(&param->distribution, *value)); /* D2 */
    return err;
}

int pruner_decide(const struct sampler_call *call, bool *prune, struct sampler_bytes *note)
{
    struct fpenv saved;
    int err;

    sampler_bytes_clear(note);
    *prune = false;
    if (call->own->report_count == 0)
        return SAMPLER_OK;
    fpenv_enter(&saved);
    err = call->configuration->pruner->decide(call, prune, note);
    fpenv_leave(&saved);
    return err;
}

/* -- models -- */

int sampler_model_new(const struct sampler_configuration *configuration,
                      const struct sampler_study *study, const struct sampler_allocator *allocator,
                      void **model)
{
    struct fpenv saved;
    int err = SAMPLER_OK;

    *model = NULL;
    fpenv_enter(&saved);
    if (configuration->sampler->model_new)
        err = configuration->sampler->model_new(configuration, study, allocator, model);
    fpenv_leave(&saved);
    return err;
}

int sampler_model_move(const struct sampler_configuration *configuration,
                       const struct sampler_study *study, const struct sampler_view *view,
                       void *model)
{
    struct fpenv saved;
    int err = SAMPLER_OK;

    fpenv_enter(&saved);
    if (model)
        err = configuration->sampler->model_move(configuration, study, view, model);
    fpenv_leave(&saved);
    return err;
}

void sampler_model_free(const struct sampler_configuration *configuration, void *model)
{
    if (model)
        configuration->sampler->model_free(configuration, model);
}

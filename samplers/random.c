/*
 * random: the Random sampler, and everybody's fallback: domain 1, the parameter's own slot, word 0,
 * unit form.
 *
 * It looks at no other trial and draws nothing jointly, so a parameter's value depends on seed,
 * trial number and slot alone.
 */
#include "samplers/strict.h"
#include "samplers/options.h"
#include "samplers/sampler.h"

#include <assert.h>

static int random_configure(const struct sampler_study *study, const struct sampler_option *options,
                            uint32_t option_count, const struct sampler_allocator *allocator,
                            struct sampler_message *message, struct sampler_configuration **out)
{
    (void)study;
    return options_complete(NULL, 0, options, option_count, sizeof(struct sampler_configuration),
                            allocator, message, out);
}

static int random_joint_space(const struct sampler_call *call, struct space *out)
{
    (void)call;
    (void)out; /* stays empty */
    return SAMPLER_OK;
}

static int random_suggest_joint(const struct sampler_call *call, const struct space *space,
                                double *values, struct sampler_bytes *note)
{
    (void)call;
    (void)values;
    (void)note;
    assert(space->count == 0);
    (void)space;
    return SAMPLER_OK;
}

int random_suggest_one(const struct sampler_call *call, const struct sampler_param *param,
                       double *value)
{
    struct stream stream;
    int err;

    if (distribution_single(&param->distribution)) {
        *value = param->distribution.low;
        return SAMPLER_OK;
    }
    assert(param->slot != DRAW_SLOT_JOINT);
    err = stream_open(&stream, &call->study->key, DRAW_RANDOM, call->configuration->instance,
                      call->own->number, param->slot, 0, call->draws);
    if (err < 0)
        return err;
    *value = distribution_from_unit(&param->distribution, stream_uniform(&stream));
    return SAMPLER_OK;
}

const struct sampler sampler_random = {
    .name = "random",
    .version = 1,
    .blind = true,
    .configure = random_configure,
    .joint_space = random_joint_space,
    .suggest_joint = random_suggest_joint,
    .suggest_one = random_suggest_one,
};

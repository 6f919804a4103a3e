/*
 * pruner_none: never prunes. A study without pruner still records which pruner it has: this one.
 */
#include "samplers/strict.h"
#include "samplers/options.h"
#include "samplers/sampler.h"

static int none_configure(const struct sampler_study *study, const struct sampler_option *options,
                          uint32_t option_count, const struct sampler_allocator *allocator,
                          struct sampler_message *message, struct sampler_configuration **out)
{
    (void)study;
    return options_complete(NULL, 0, options, option_count, sizeof(struct sampler_configuration),
                            allocator, message, out);
}

static int none_decide(const struct sampler_call *call, bool *prune, struct sampler_bytes *note)
{
    (void)call;
    (void)note;
    *prune = false;
    return SAMPLER_OK;
}

const struct pruner pruner_none = {
    .name = "none",
    .version = 1,
    .blind = true,
    .configure = none_configure,
    .decide = none_decide,
};

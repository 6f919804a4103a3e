/*
 * study_out: one place for the names of keys.
 */
#include <inttypes.h>

#include "tools/algorithm.h"
#include "tools/study_out.h"
#include "tools/trial_out.h"

uint64_t study_finished(const struct hpo_study_info *info)
{
    return info->complete + info->pruned + info->failed;
}

static const char *direction_name(enum hpo_direction direction)
{
    return direction == HPO_MAXIMIZE ? "maximize" : "minimize";
}

void study_json_summary(struct writer *json, const struct hpo_study_info *info)
{
    writer_string(json, "name", info->name);
    writer_uint(json, "id", info->id);
    writer_begin(json, "directions", '[');
    for (size_t i = 0; i < info->direction_count; i++)
        writer_string(json, NULL, direction_name(info->directions[i]));
    writer_end(json, ']');
    writer_uint(json, "trials", info->trials);
    writer_uint(json, "finished", study_finished(info));
    writer_uint(json, "complete", info->complete);
    writer_uint(json, "pruned", info->pruned);
    writer_uint(json, "failed", info->failed);
    writer_uint(json, "running", info->running);
    writer_uint(json, "waiting", info->waiting);
    writer_time(json, "created", info->created_us);
    writer_bool(json, "stopped", info->stopped);
}

static void json_algorithm(struct writer *json, const char *key, const char *name,
                           const struct hpo_option *options, size_t count)
{
    writer_begin(json, key, '{');
    writer_string(json, "name", *name ? name : "none");
    writer_begin(json, "options", '{');
    for (size_t i = 0; i < count; i++)
        writer_string(json, options[i].key, options[i].value);
    writer_end(json, '}');
    writer_end(json, '}');
}

static void json_space(struct writer *json, const struct hpo_study_info *info)
{
    writer_begin(json, "space", '[');
    for (size_t i = 0; i < info->param_count; i++) {
        const struct hpo_param *param = &info->params[i];

        writer_begin(json, NULL, '{');
        writer_string(json, "name", param->name);
        writer_distribution(json, &param->distribution);
        writer_end(json, '}');
    }
    writer_end(json, ']');
}

void study_json_setup(struct writer *json, const struct hpo_study_info *info)
{
    char seed[40];

    snprintf(seed, sizeof(seed), "0x%016" PRIx64 "%016" PRIx64, info->seed[1], info->seed[0]);
    writer_string(json, "seed", seed);
    writer_uint(json, "math_version", info->math_version);
    writer_uint(json, "window", info->window);
    json_algorithm(json, "sampler", info->sampler, info->sampler_options,
                   info->sampler_option_count);
    json_algorithm(json, "pruner", info->pruner, info->pruner_options, info->pruner_option_count);
    writer_bool(json, "declared", info->declared);
    json_space(json, info);
}

void study_print_algorithm(struct text *out, const char *name, const struct hpo_option *options,
                           size_t count)
{
    algorithm_print(out, *name ? name : "none", options, count);
}

void study_print_best(struct text *out, struct hpo_study *study, const struct hpo_study_info *info)
{
    struct hpo_trial_info *best;
    uint64_t number, *front;
    size_t count;

    if (info->complete == 0)
        return;
    if (info->direction_count > 1) {
        if (hpo_pareto(study, &front, &count) == HPO_OK) {
            text_addf(out, "%zu trial%s on the Pareto front", count, count == 1 ? "" : "s");
            hpo_free(front);
        }
    } else if (hpo_best(study, &number) == HPO_OK &&
               hpo_trial_read(study, number, &best) == HPO_OK) {
        text_add(out, "best ");
        trial_print_values(out, best->values, best->value_count);
        text_addf(out, " by trial %" PRIu64, number);
        hpo_trial_info_free(best);
    }
}

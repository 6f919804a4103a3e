/*
 * hpo show: what a study is and how far it is.
 */
#include <inttypes.h>
#include <stdio.h>

#include "tools/cli.h"
#include "tools/command.h"
#include "tools/writer.h"
#include "tools/searchspace.h"
#include "tools/study_out.h"
#include "tools/trial_out.h"

static error_t parse(int key, char *arg, struct argp_state *state)
{
    const char **study = state->input;

    switch (key) {
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            return ARGP_ERR_UNKNOWN;
        *study = arg;
        return 0;
    case ARGP_KEY_END:
        if (state->arg_num == 0)
            argp_error(state, "STUDY is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {
    {&cli_json_argp, 0, NULL, 0}, {&cli_store_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {NULL,
                                   parse,
                                   "STUDY",
                                   "Show a study: its search space, sampler and seed, how many "
                                   "trials there are, the best one.",
                                   children,
                                   NULL,
                                   NULL};

static void print_json(struct hpo_study *study, const struct hpo_study_info *info)
{
    struct writer json = {.out = stdout};
    struct hpo_trial_info *best;
    uint64_t number;

    writer_begin(&json, NULL, '{');
    study_json_summary(&json, info);
    study_json_setup(&json, info);
    if (hpo_best(study, &number) == HPO_OK && hpo_trial_read(study, number, &best) == HPO_OK) {
        trial_json(&json, "best", best);
        hpo_trial_info_free(best);
    } else {
        writer_null(&json, "best");
    }
    writer_end(&json, '}');
    writer_line(&json);
}

static void print_setup(struct text *out, const struct hpo_study_info *info)
{
    char time[WRITER_TIME_SIZE];

    text_addf(out, "study      %s (id %" PRIu64 ", created %s)\n", info->name, info->id,
              writer_time_print(info->created_us, time));
    text_add(out, "directions");
    for (size_t i = 0; i < info->direction_count; i++)
        text_add(out, info->directions[i] == HPO_MAXIMIZE ? " maximize" : " minimize");
    text_add(out, "\nsampler    ");
    study_print_algorithm(out, info->sampler, info->sampler_options, info->sampler_option_count);
    text_add(out, "\npruner     ");
    study_print_algorithm(out, info->pruner, info->pruner_options, info->pruner_option_count);
    text_addf(out, "\nseed       0x%016" PRIx64 "%016" PRIx64 ", math version %" PRIu32 "\n",
              info->seed[1], info->seed[0], info->math_version);
    if (info->window)
        text_addf(out, "window     %" PRIu32 "\n", info->window);
    for (size_t i = 0; i < info->param_count; i++) {
        text_addf(out, "parameter  %s=", info->params[i].name);
        searchspace_print(out, &info->params[i].distribution);
        text_add(out, info->declared ? "\n" : "    (as asked for)\n");
    }
}

static void print_people(struct hpo_study *study, const struct hpo_study_info *info)
{
    struct text out = {0}, best = {0};

    print_setup(&out, info);
    text_addf(&out,
              "trials     %" PRIu64 " finished: %" PRIu64 " complete, %" PRIu64 " pruned, %" PRIu64
              " failed; %" PRIu64 " running, %" PRIu64 " waiting%s\n",
              study_finished(info), info->complete, info->pruned, info->failed, info->running,
              info->waiting, info->stopped ? "; the search is over" : "");
    study_print_best(&best, study, info);
    if (best.size)
        text_addf(&out, "result     %s; see: hpo best %s\n", best.data, info->name);
    fputs(text_string(&out), stdout);
    text_release(&out);
    text_release(&best);
}

int command_show(int argc, char **argv)
{
    const char *name = NULL;
    struct hpo_store *store = NULL;
    struct hpo_study *study;
    struct hpo_study_info *info;
    int status, code;

    argp_parse(&parser, argc, argv, 0, NULL, &name);
    status = cli_open_to_read(name, &store, &study);
    if (!status) {
        code = hpo_study_info(study, &info);
        if (code < 0) {
            status = cli_failed(store, code, name);
        } else {
            (cli.json ? print_json : print_people)(study, info);
            hpo_study_info_free(info);
        }
    }
    return cli_finish(store, status);
}

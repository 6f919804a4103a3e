/*
 * hpo best: the best trial of one objective, the Pareto front of several.
 */
#include <inttypes.h>
#include <stdio.h>

#include "tools/cli.h"
#include "tools/command.h"
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
static const struct argp parser = {
    NULL,
    parse,
    "STUDY",
    "Print the best trial: its value, number and parameters. Of several objectives, every trial "
    "that no other one beats.",
    children,
    NULL,
    NULL};

static void print_line(const struct hpo_trial_info *trial)
{
    struct text line = {0};

    trial_print_values(&line, trial->values, trial->value_count);
    text_addf(&line, "  trial %" PRIu64 "  ", trial->number);
    trial_print_params(&line, trial);
    puts(line.data);
    text_release(&line);
}

/* 0 or an error of the library. */
static int print_trial(struct hpo_study *study, uint64_t number, struct writer *json)
{
    struct hpo_trial_info *trial;
    int code = hpo_trial_read(study, number, &trial);

    if (code < 0)
        return code;
    if (json)
        trial_json(json, NULL, trial);
    else
        print_line(trial);
    hpo_trial_info_free(trial);
    return 0;
}

static int print_front(struct hpo_study *study)
{
    struct writer json = {.out = stdout};
    uint64_t *numbers;
    size_t count;
    int code = hpo_pareto(study, &numbers, &count);

    if (code < 0)
        return code;
    if (count == 0)
        code = HPO_NOT_FOUND;
    if (cli.json && count) {
        writer_begin(&json, NULL, '{');
        writer_begin(&json, "front", '[');
    }
    for (size_t i = 0; i < count && code == 0; i++)
        code = print_trial(study, numbers[i], cli.json ? &json : NULL);
    if (cli.json && count) {
        writer_end(&json, ']');
        writer_end(&json, '}');
        writer_line(&json);
    }
    hpo_free(numbers);
    return code;
}

static int print_best(struct hpo_study *study)
{
    struct writer json = {.out = stdout};
    struct hpo_study_info *info;
    uint64_t number;
    size_t directions;
    int code = hpo_study_info(study, &info);

    if (code < 0)
        return code;
    directions = info->direction_count;
    hpo_study_info_free(info);
    if (directions > 1)
        return print_front(study);
    code = hpo_best(study, &number);
    if (code == 0)
        code = print_trial(study, number, cli.json ? &json : NULL);
    if (code == 0 && cli.json)
        writer_line(&json);
    return code;
}

int command_best(int argc, char **argv)
{
    const char *name = NULL;
    struct hpo_store *store = NULL;
    struct hpo_study *study;
    int status, code;

    argp_parse(&parser, argc, argv, 0, NULL, &name);
    status = cli_open_to_read(name, &store, &study);
    if (!status) {
        code = print_best(study);
        if (code == HPO_NOT_FOUND) {
            cli_say("study \"%s\" has no complete trial yet", name);
            status = EXIT_NOT_FOUND;
        } else if (code < 0) {
            status = cli_failed(store, code, name);
        }
    }
    return cli_finish(store, status);
}

/*
 * hpo trial: everything about one trial.
 */
#include <inttypes.h>
#include <stdio.h>

#include "tools/cli.h"
#include "tools/command.h"
#include "tools/trial_out.h"

struct arguments {
    const char *study;
    uint64_t number;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;

    switch (key) {
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            return ARGP_ERR_UNKNOWN;
        if (state->arg_num == 0)
            a->study = arg;
        else
            a->number = cli_trial_number(arg);
        return 0;
    case ARGP_KEY_END:
        if (state->arg_num < 2)
            argp_error(state, "STUDY and NUMBER are wanted");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {
    {&cli_json_argp, 0, NULL, 0}, {&cli_store_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {NULL,
                                   parse,
                                   "STUDY NUMBER",
                                   "Show one trial: state, values, parameters, reports, "
                                   "attributes; of a failed one also why.",
                                   children,
                                   NULL,
                                   NULL};

static void print(const struct hpo_trial_info *trial)
{
    struct writer json = {.out = stdout};
    struct text out = {0};

    if (cli.json) {
        trial_json(&json, NULL, trial);
        writer_line(&json);
    } else {
        trial_print(&out, trial);
        fputs(text_string(&out), stdout);
    }
    text_release(&out);
}

int command_trial(int argc, char **argv)
{
    struct arguments a = {0};
    struct hpo_store *store = NULL;
    struct hpo_study *study;
    struct hpo_trial_info *trial;
    int status, code;

    argp_parse(&parser, argc, argv, 0, NULL, &a);
    status = cli_open_to_read(a.study, &store, &study);
    if (!status) {
        code = hpo_trial_read(study, a.number, &trial);
        if (code == HPO_NOT_FOUND) {
            cli_say("study \"%s\" has no trial %" PRIu64, a.study, a.number);
            status = EXIT_NOT_FOUND;
        } else if (code < 0) {
            status = cli_failed(store, code, a.study);
        } else {
            print(trial);
            hpo_trial_info_free(trial);
        }
    }
    return cli_finish(store, status);
}

/*
 * hpo abandon: roll a detached trial back; its number will be given out again.
 */
#include "tools/cli.h"
#include "tools/command.h"

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

static const struct argp_child children[] = {{&cli_store_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {
    NULL,
    parse,
    "STUDY NUMBER",
    "Give back a trial that `hpo ask' began, as if it had never been asked for. The next `hpo ask' "
    "gives it out again, with the same parameters.",
    children,
    NULL,
    NULL};

int command_abandon(int argc, char **argv)
{
    struct arguments a = {0};
    struct hpo_store *store = NULL;
    struct hpo_study *study;
    struct hpo_trial *trial = NULL;
    int status, code;

    argp_parse(&parser, argc, argv, 0, NULL, &a);
    status = cli_open(HPO_OPEN_EXISTING, &store);
    if (!status)
        status = cli_open_study(store, a.study, &study);
    if (!status)
        status = cli_open_trial(store, study, a.number, &trial);
    if (!status) {
        code = hpo_abandon(trial);
        if (code < 0)
            status = cli_failed(store, code, a.study);
    }
    hpo_trial_free(trial);
    return cli_finish(store, status);
}

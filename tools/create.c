/*
 * hpo create: a study without a run, for scripts that ask and tell.
 */
#include "tools/cli.h"
#include "tools/command.h"
#include "tools/study_setup.h"

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct study_setup *setup = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = setup;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            return ARGP_ERR_UNKNOWN;
        setup->name = arg;
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
    {&study_setup_argp, 0, NULL, 0}, {&cli_store_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {NULL,
                                   parse,
                                   "STUDY",
                                   "Make a study, and the store if there is none. A study of that "
                                   "name must not exist yet.",
                                   children,
                                   NULL,
                                   NULL};

int command_create(int argc, char **argv)
{
    struct study_setup setup = {0};
    struct hpo_store *store = NULL;
    struct hpo_study *study;
    int status;

    argp_parse(&parser, argc, argv, 0, NULL, &setup);
    status = cli_open(0, &store);
    if (!status)
        status = study_setup_open(store, &setup, true, &study);
    status = cli_finish(store, status);
    study_setup_release(&setup);
    return status;
}

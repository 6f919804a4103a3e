/*
 * hpo tell: finish a detached trial. When it returns 0 the result survives power loss.
 */
#include <math.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/command.h"
#include "tools/number.h"
#include "tools/result.h"
#include "tools/trial_out.h"

struct arguments {
    const char *study;
    uint64_t number;
    enum hpo_trial_state state;
    double values[RESULT_VALUES_MAX];
    size_t count;
    bool stop;
};

enum { KEY_STATE = 0x100, KEY_STOP };

static const struct argp_option options[] = {
    {"state", KEY_STATE, "complete|pruned|fail", 0, "What became of it (default: complete)", 0},
    {"stop", KEY_STOP, NULL, 0, "And the search is over: no more trials will be given out", 0},
    {0}};

static void parse_place(struct arguments *a, const char *arg, struct argp_state *state)
{
    if (state->arg_num == 0) {
        a->study = arg;
    } else if (state->arg_num == 1) {
        a->number = cli_trial_number(arg);
    } else if (a->count == RESULT_VALUES_MAX || !number_parse(arg, &a->values[a->count])) {
        cli_refuse("\"%s\" is not a value", arg);
    } else if (isnan(a->values[a->count++])) {
        cli_refuse("NaN is no result; --state fail says that the trial failed");
    }
}

static enum hpo_trial_state parse_state(const char *arg)
{
    static const enum hpo_trial_state states[] = {HPO_COMPLETE, HPO_PRUNED, HPO_FAIL};

    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (strcmp(arg, trial_state_name(states[i])) == 0)
            return states[i];
    cli_refuse("--state \"%s\": complete, pruned or fail is wanted", arg);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;

    switch (key) {
    case KEY_STATE:
        a->state = parse_state(arg);
        return 0;
    case KEY_STOP:
        a->stop = true;
        return 0;
    case ARGP_KEY_ARG:
        parse_place(a, arg, state);
        return 0;
    case ARGP_KEY_END:
        if (state->arg_num < 2)
            argp_error(state, "STUDY and NUMBER are wanted");
        if (a->state == HPO_COMPLETE && a->count == 0)
            cli_refuse("a complete trial has a VALUE; --state fail says that it failed");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&cli_store_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {
    options, parse, "STUDY NUMBER [VALUE...]", "Finish a trial that `hpo ask' began.", children,
    NULL,    NULL};

int command_tell(int argc, char **argv)
{
    struct arguments a = {.state = HPO_COMPLETE};
    struct hpo_store *store = NULL;
    struct hpo_study *study;
    struct hpo_trial *trial = NULL;
    int status, code;

    cli_protect_negative_numbers(argc, argv);
    argp_parse(&parser, argc, argv, 0, NULL, &a);
    status = cli_open(HPO_OPEN_EXISTING, &store);
    if (!status)
        status = cli_open_study(store, a.study, &study);
    if (!status)
        status = cli_open_trial(store, study, a.number, &trial);
    if (!status) {
        code = (a.stop ? hpo_tell_and_stop : hpo_tell)(trial, a.state, a.values, a.count);
        if (code < 0)
            status = cli_failed(store, code, a.study);
    }
    hpo_trial_free(trial);
    return cli_finish(store, status);
}

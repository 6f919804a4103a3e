/*
 * hpo ask: begin a detached trial. It belongs to no process; it waits for hpo tell or hpo abandon.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/cli.h"
#include "tools/command.h"
#include "tools/writer.h"
#include "tools/number.h"
#include "tools/placeholder.h"
#include "tools/trial_out.h"

#define WAIT_MS 20

struct arguments {
    const char *study;
    uint64_t total;
    bool environment;
};

static const struct argp_option options[] = {
    {"total", 'n', "N", 0, "Begin none when N are finished or running (exit code 3)", 0},
    {"env", 'e', NULL, 0, "Print assignments for a shell: eval \"$(hpo ask --env STUDY)\"", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;

    switch (key) {
    case 'n':
        if (!number_parse_uint(arg, &a->total) || a->total == 0)
            cli_refuse("--total \"%s\": a number above 0 is wanted", arg);
        return 0;
    case 'e':
        a->environment = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            return ARGP_ERR_UNKNOWN;
        a->study = arg;
        return 0;
    case ARGP_KEY_END:
        if (!a->study)
            argp_error(state, "STUDY is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {
    {&cli_json_argp, 0, NULL, 0}, {&cli_store_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {
    options,
    parse,
    "STUDY",
    "Begin the next trial and print its number and parameters: \"12 lr=0.01 depth=3\".\vThe trial "
    "waits, also over reboots, for `hpo tell' or `hpo abandon'.",
    children,
    NULL,
    NULL};

static void print_environment(const struct hpo_trial *trial, const struct hpo_trial_info *info)
{
    struct text name = {0};

    printf("HPO_TRIAL=%" PRIu64 "\nHPO_SEED=%" PRIu64 "\n", info->number,
           hpo_trial_seed(trial) >> 33);
    for (size_t i = 0; i < info->param_count; i++) {
        text_clear(&name);
        placeholder_variable(&name, info->params[i].name);
        printf("%s='", name.data);
        for (const char *c = info->params[i].text; *c; c++)
            fputs(*c == '\'' ? "'\\''" : (char[]){*c, 0}, stdout);
        printf("'\n");
    }
    text_release(&name);
}

static void print_json(const struct hpo_trial *trial, const struct hpo_trial_info *info)
{
    struct writer json = {.out = stdout};

    writer_begin(&json, NULL, '{');
    writer_uint(&json, "number", info->number);
    writer_uint(&json, "id", info->id);
    writer_uint(&json, "seed", hpo_trial_seed(trial) >> 33);
    trial_json_params(&json, "params", info);
    writer_end(&json, '}');
    writer_line(&json);
}

static void print_trial(const struct arguments *a, const struct hpo_trial *trial,
                        const struct hpo_trial_info *info)
{
    struct text line = {0};

    if (cli.json) {
        print_json(trial, info);
    } else if (a->environment) {
        print_environment(trial, info);
    } else {
        text_addf(&line, "%" PRIu64 "%s", info->number, info->param_count ? " " : "");
        trial_print_params(&line, info);
        puts(line.data);
    }
    text_release(&line);
}

static int ask(struct hpo_study *study, const struct arguments *a, struct hpo_trial **trial)
{
    struct hpo_ask_options how = {.size = sizeof(how), .total = a->total, .detached = true};
    int code;

    while ((code = hpo_ask(study, &how, trial)) == HPO_WAIT && !cli.no_wait)
        nanosleep(&(struct timespec){.tv_nsec = WAIT_MS * 1000000L}, NULL);
    return code;
}

static int ask_and_print(struct hpo_store *store, struct hpo_study *study,
                         const struct arguments *a)
{
    struct hpo_trial *trial;
    struct hpo_trial_info *info;
    int code = ask(study, a, &trial);

    if (code == HPO_WAIT) {
        cli_say("study \"%s\": the last trials are running; ask again later", a->study);
        return EXIT_BUSY;
    }
    if (code == HPO_NO_MORE) {
        cli_say("study \"%s\": there are no more trials to do", a->study);
        return EXIT_NOT_FOUND;
    }
    if (code < 0)
        return cli_failed(store, code, a->study);
    code = hpo_trial_read(study, hpo_trial_number(trial), &info);
    if (code == HPO_OK) {
        print_trial(a, trial, info);
        hpo_trial_info_free(info);
    }
    if (code < 0 || fflush(stdout) || ferror(stdout)) /* nobody has heard of it */
        (void)hpo_abandon(trial);
    hpo_trial_free(trial);
    return code < 0 ? cli_failed(store, code, a->study) : EXIT_DONE;
}

int command_ask(int argc, char **argv)
{
    struct arguments a = {0};
    struct hpo_store *store = NULL;
    struct hpo_study *study;
    int status;

    argp_parse(&parser, argc, argv, 0, NULL, &a);
    status = cli_open(HPO_OPEN_EXISTING, &store);
    if (!status)
        status = cli_open_study(store, a.study, &study);
    if (!status)
        status = ask_and_print(store, study, &a);
    return cli_finish(store, status);
}

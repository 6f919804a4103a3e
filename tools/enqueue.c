/*
 * hpo enqueue: put a point in the queue; what it leaves open is drawn when its turn comes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/command.h"
#include "tools/writer.h"
#include "tools/memory.h"
#include "tools/searchspace.h"

struct arguments {
    const char *study;
    char **params; /* "name=value", split in place */
    size_t count;
};

static const struct argp_option options[] = {
    {"param", 'p', "NAME=VALUE", 0, "A parameter's value; repeat for more", 0}, {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;

    switch (key) {
    case 'p':
        if (!strchr(arg, '=') || *arg == '=')
            cli_refuse("--param \"%s\" is not NAME=VALUE", arg);
        a->params = memory_resize(a->params, a->count + 1, sizeof(a->params[0]));
        a->params[a->count++] = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            return ARGP_ERR_UNKNOWN;
        a->study = arg;
        return 0;
    case ARGP_KEY_END:
        if (!a->study)
            argp_error(state, "STUDY is missing");
        if (a->count == 0)
            cli_refuse("--param NAME=VALUE is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {
    {&cli_json_argp, 0, NULL, 0}, {&cli_store_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {options,
                                   parse,
                                   "STUDY",
                                   "Put a point in the queue and print the number its trial will "
                                   "have. Parameters not named are drawn.",
                                   children,
                                   NULL,
                                   NULL};

/* The last entry of a name: where a range has varied, the newest. */
static const struct hpo_param *newest(const struct hpo_study_info *info, const char *name)
{
    for (size_t i = info->param_count; i > 0; i--)
        if (strcmp(info->params[i - 1].name, name) == 0)
            return &info->params[i - 1];
    return NULL;
}

static int fix(const struct hpo_study_info *info, char *definition, struct hpo_fixed *out)
{
    char *equals = strchr(definition, '=');
    const struct hpo_param *param;
    struct text why = {0};
    int status = 0;

    *equals = 0;
    param = newest(info, definition);
    if (!param)
        return cli_usage("study \"%s\" has no parameter \"%s\"; see: hpo show %s", info->name,
                         definition, info->name);
    out->name = param->name;
    out->distribution = info->declared ? NULL : &param->distribution;
    if (searchspace_value(param, equals + 1, &out->value, &why) < 0)
        status = cli_usage("%s", text_string(&why));
    text_release(&why);
    return status;
}

static void print_number(uint64_t number)
{
    struct writer json = {.out = stdout};

    if (!cli.json) {
        printf("%" PRIu64 "\n", number);
        return;
    }
    writer_begin(&json, NULL, '{');
    writer_uint(&json, "number", number);
    writer_end(&json, '}');
    writer_line(&json);
}

static int enqueue(struct hpo_store *store, struct hpo_study *study, const struct arguments *a)
{
    struct hpo_fixed *fixed = memory_new(a->count, sizeof(*fixed));
    struct hpo_study_info *info;
    uint64_t number;
    int status = 0, code = hpo_study_info(study, &info);

    if (code < 0) {
        status = cli_failed(store, code, a->study);
        goto release;
    }
    for (size_t i = 0; i < a->count && !status; i++)
        status = fix(info, a->params[i], &fixed[i]);
    if (!status) {
        code = hpo_enqueue(study, fixed, a->count, &number);
        if (code < 0)
            status = cli_failed(store, code, a->study);
        else
            print_number(number);
    }
    hpo_study_info_free(info);
release:
    free(fixed);
    return status;
}

int command_enqueue(int argc, char **argv)
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
        status = enqueue(store, study, &a);
    free(a.params);
    return cli_finish(store, status);
}

/*
 * study_setup: a study that exists is compared only with what the command line says; what it leaves
 * out is the study's own affair.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/memory.h"
#include "tools/number.h"
#include "tools/study_setup.h"

enum {
    KEY_SAMPLER = 0x100,
    KEY_PRUNER,
    KEY_SEED,
    KEY_DIRECTION,
    KEY_SPACE,
    KEY_CHANGE,
    KEY_WINDOW
};

static const struct argp_option options[] = {
    {"param", 'p', "NAME=KIND(...)", 0,
     "A parameter: NAME=float(LOW,HIGH[,log][,step=S]), NAME=int(LOW,HIGH[,log][,step=S]), "
     "NAME=choice(A,B,...); repeat for more",
     1},
    {"space", KEY_SPACE, "FILE", 0, "Parameters from a JSON file; choices keep their types", 1},
    {"direction", KEY_DIRECTION, "minimize|maximize", 0,
     "Which values are better (default: minimize); repeat for several objectives", 1},
    {"sampler", KEY_SAMPLER, "NAME[:KEY=VALUE,...]", 0, "Who chooses the parameters", 1},
    {"pruner", KEY_PRUNER, "NAME[:KEY=VALUE,...]", 0, "Who stops hopeless trials (default: nobody)",
     1},
    {"seed", KEY_SEED, "N", 0, "Of all random numbers (default: from the system, recorded)", 1},
    {"window", KEY_WINDOW, "W", 0,
     "Trial n sees the finished trials up to n - W only: up to W workers together then find the "
     "same study whatever their timing",
     1},
    {"allow-change", KEY_CHANGE, NULL, 0,
     "Go on although space, sampler or seed differ from the recorded ones, and record the new ones",
     1},
    {0}};

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "re");
    struct text text = {0};
    char buffer[4096];
    size_t n;
    bool bad;

    if (!file)
        return NULL;
    while ((n = fread(buffer, 1, sizeof(buffer), file)))
        text_add_n(&text, buffer, n);
    bad = ferror(file) != 0;
    fclose(file);
    if (bad) { /* a directory, say: errno is still that of the read */
        text_release(&text);
        return NULL;
    }
    *size = text.size;
    return text_take(&text);
}

static int add_space_file(struct searchspace *space, const char *path, struct text *why)
{
    size_t size;
    char *json = read_file(path, &size);
    struct text reason = {0};
    int err;

    if (!json)
        return text_refuse(why, "--space %s: %s", path, strerror(errno));
    err = searchspace_add_json(space, json, size, &reason);
    if (err < 0)
        text_refuse(why, "--space %s: %s", path, text_string(&reason));
    text_release(&reason);
    free(json);
    return err;
}

static int add_direction(struct study_setup *setup, const char *word, struct text *why)
{
    enum hpo_direction direction;

    if (strcmp(word, "minimize") == 0 || strcmp(word, "min") == 0)
        direction = HPO_MINIMIZE;
    else if (strcmp(word, "maximize") == 0 || strcmp(word, "max") == 0)
        direction = HPO_MAXIMIZE;
    else
        return text_refuse(why, "--direction is minimize or maximize, not \"%s\"", word);
    setup->directions =
        memory_resize(setup->directions, setup->direction_count + 1, sizeof(setup->directions[0]));
    setup->directions[setup->direction_count++] = direction;
    return 0;
}

static int set_algorithm(struct algorithm *out, const char *option, const char *arg,
                         struct text *why)
{
    struct text reason = {0};
    int err;

    algorithm_release(out);
    err = algorithm_parse(arg, out, &reason);
    if (err < 0)
        text_refuse(why, "%s: %s", option, text_string(&reason));
    text_release(&reason);
    return err;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct study_setup *setup = state->input;
    struct text why = {0};
    int err = 0;

    switch (key) {
    case 'p':
        err = searchspace_add(&setup->space, arg, &why);
        break;
    case KEY_SPACE:
        err = add_space_file(&setup->space, arg, &why);
        break;
    case KEY_DIRECTION:
        err = add_direction(setup, arg, &why);
        break;
    case KEY_SAMPLER:
        err = set_algorithm(&setup->sampler, "--sampler", arg, &why);
        break;
    case KEY_PRUNER:
        err = set_algorithm(&setup->pruner, "--pruner", arg, &why);
        break;
    case KEY_SEED:
        setup->has_seed = true;
        if (!number_parse_seed(arg, setup->seed))
            err = text_refuse(&why,
                              "--seed \"%s\" is neither a number below 2^64 nor 0x and up to "
                              "32 hexadecimal digits",
                              arg);
        break;
    case KEY_WINDOW:
        if (!number_parse_uint(arg, &setup->window) || setup->window == 0 ||
            setup->window > UINT32_MAX)
            err = text_refuse(&why, "--window \"%s\" is not a number above 0", arg);
        break;
    case KEY_CHANGE:
        setup->allow_change = true;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    if (err < 0)
        cli_refuse("%s", text_string(&why));
    text_release(&why);
    return 0;
}

const struct argp study_setup_argp = {.options = options, .parser = parse};

void study_setup_release(struct study_setup *setup)
{
    free(setup->directions);
    algorithm_release(&setup->sampler);
    algorithm_release(&setup->pruner);
    searchspace_release(&setup->space);
}

/* -- what differs -- */

static void diff_directions(struct text *out, const struct hpo_study_info *info,
                            const struct study_setup *setup)
{
    static const char *const words[] = {"minimize", "maximize"};
    bool same = setup->direction_count == info->direction_count;

    for (size_t i = 0; same && i < info->direction_count; i++)
        same = setup->directions[i] == info->directions[i];
    if (same || setup->direction_count == 0)
        return;
    text_add(out, "  - directions");
    for (size_t i = 0; i < info->direction_count; i++)
        text_addf(out, " %s", words[info->directions[i] == HPO_MAXIMIZE]);
    text_add(out, "\n  + directions");
    for (size_t i = 0; i < setup->direction_count; i++)
        text_addf(out, " %s", words[setup->directions[i] == HPO_MAXIMIZE]);
    text_add_char(out, '\n');
}

static void diff_algorithm(struct text *out, const char *title, const char *name,
                           const struct hpo_option *recorded, size_t recorded_count,
                           const struct algorithm *wanted)
{
    struct text old = {0}, new = {0};

    if (wanted->name) {
        algorithm_print(&old, *name ? name : "none", recorded, recorded_count);
        algorithm_print(&new, wanted->name, wanted->options, wanted->count);
        if (strcmp(text_string(&old), text_string(&new)) != 0)
            text_addf(out, "  - %s %s\n  + %s %s\n", title, text_string(&old), title,
                      text_string(&new));
    }
    text_release(&old);
    text_release(&new);
}

static void print_difference(struct hpo_study *study, const struct study_setup *setup)
{
    struct hpo_study_info *info;
    struct text out = {0};

    if (hpo_study_info(study, &info) != HPO_OK)
        return; /* the message before says enough */
    diff_directions(&out, info, setup);
    diff_algorithm(&out, "sampler", info->sampler, info->sampler_options,
                   info->sampler_option_count, &setup->sampler);
    diff_algorithm(&out, "pruner", info->pruner, info->pruner_options, info->pruner_option_count,
                   &setup->pruner);
    if (setup->has_seed && (setup->seed[0] != info->seed[0] || setup->seed[1] != info->seed[1]))
        text_addf(&out,
                  "  - seed 0x%016" PRIx64 "%016" PRIx64 "\n  + seed 0x%016" PRIx64 "%016" PRIx64
                  "\n",
                  info->seed[1], info->seed[0], setup->seed[1], setup->seed[0]);
    if (setup->window && setup->window != info->window)
        text_addf(&out, "  - window %" PRIu32 "\n  + window %" PRIu64 "\n", info->window,
                  setup->window);
    if (setup->space.count)
        searchspace_diff(&out, info->params, info->declared ? info->param_count : 0,
                         setup->space.params, setup->space.count);
    fputs(text_string(&out), stderr);
    text_release(&out);
    hpo_study_info_free(info);
}

/* -- opening -- */

static bool knows(const char *const *names, const char *name)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

/* 0, or EXIT_USAGE: the name is not one of this build's. */
static int check_algorithm(const char *what, const struct algorithm *algorithm,
                           const char *const *names)
{
    struct text list = {0};
    int status = 0;

    if (algorithm->name && !knows(names, algorithm->name)) {
        for (size_t i = 0; names[i]; i++)
            text_addf(&list, "%s%s", i ? ", " : "", names[i]);
        status = cli_usage("unknown %s \"%s\"; this build knows: %s", what, algorithm->name,
                           text_string(&list));
        text_release(&list);
    }
    return status;
}

static struct hpo_study_options study_options(const struct study_setup *setup)
{
    return (struct hpo_study_options){
        .size = sizeof(struct hpo_study_options),
        .directions = setup->directions,
        .direction_count = setup->direction_count,
        .sampler = setup->sampler.name,
        .sampler_options = setup->sampler.options,
        .sampler_option_count = setup->sampler.count,
        .pruner = setup->pruner.name,
        .pruner_options = setup->pruner.options,
        .pruner_option_count = setup->pruner.count,
        .has_seed = setup->has_seed,
        .seed = {setup->seed[0], setup->seed[1]},
        .params = setup->space.params,
        .param_count = setup->space.count,
        .window = (uint32_t)setup->window,
        .allow_change = setup->allow_change,
    };
}

static int refused(struct hpo_store *store, int code, const struct study_setup *setup)
{
    struct hpo_study *study;
    int status = cli_failed(store, code, setup->name);

    if (code == HPO_INCOMPATIBLE && hpo_study_open(store, setup->name, &study) == HPO_OK) {
        print_difference(study, setup);
        hpo_study_free(study);
    }
    return status;
}

int study_setup_open(struct hpo_store *store, const struct study_setup *setup, bool exclusive,
                     struct hpo_study **out)
{
    struct hpo_study_options wanted = study_options(setup);
    int status, code;

    status = check_algorithm("sampler", &setup->sampler, hpo_samplers());
    if (!status)
        status = check_algorithm("pruner", &setup->pruner, hpo_pruners());
    if (status)
        return status;
    for (;;) {
        code = exclusive ? HPO_NOT_FOUND : hpo_study_open(store, setup->name, out);
        if (code == HPO_OK) { /* compare; one that is deleted meanwhile is made anew, as asked */
            hpo_study_free(*out);
            wanted.sampler = setup->sampler.name;
            wanted.exclusive = false;
            code = hpo_study_create(store, setup->name, &wanted, out);
            return code == HPO_OK ? 0 : refused(store, code, setup);
        }
        if (code != HPO_NOT_FOUND)
            return refused(store, code, setup);
        if (!exclusive && !setup->space.count)
            return cli_usage(
                "there is no study \"%s\" yet, and a new one needs a search space: give "
                "--param or --space",
                setup->name);
        if (!wanted.sampler)
            wanted.sampler = knows(hpo_samplers(), "tpe") ? "tpe" : "random";
        wanted.exclusive = true;
        code = hpo_study_create(store, setup->name, &wanted, out);
        if (code == HPO_OK)
            return 0;
        if (code != HPO_EXISTS || exclusive)
            return refused(store, code, setup);
        /* Another worker with the same command line was faster. */
    }
}

/*
 * hpo diff: the first trial in which two studies differ. 0 the same, 1 different, 2 trouble.
 */
#include <inttypes.h>
#include <stdio.h>

#include "tools/cli.h"
#include "tools/command.h"
#include "tools/compare.h"
#include "tools/writer.h"

#define EXIT_SAME 0
#define EXIT_DIFFERENT 1
#define EXIT_TROUBLE 2

struct arguments {
    const char *other_store;
    const char *names[2];
};

static const struct argp_option options[] = {
    {"other-store", 'o', "STORE", 0, "STUDY_B is in this store", 0}, {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;

    switch (key) {
    case 'o':
        a->other_store = arg;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            return ARGP_ERR_UNKNOWN;
        a->names[state->arg_num] = arg;
        return 0;
    case ARGP_KEY_END:
        if (!a->names[0] || (!a->names[1] && !a->other_store))
            argp_error(state, "STUDY_A and STUDY_B are wanted");
        if (!a->names[1])
            a->names[1] = a->names[0];
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
    "STUDY_A [STUDY_B]",
    "Find the first difference between two studies: numbers, states, parameters, values, reports, "
    "attributes and their order. With --other-store, STUDY_B may be left away if it has the same "
    "name.\vExit code 0: the same; 1: different; 2: usage or error. Times, ids, LSNs, views and "
    "sessions are not compared.",
    children,
    NULL,
    NULL};

/* One of the two: its store and a cursor that stands on its next trial. */
struct side {
    const char *store_path;
    struct hpo_store *store;
    struct hpo_study *study;
    struct hpo_cursor *cursor;
    const struct hpo_trial_info *trial; /* NULL at the end */
};

static int open_side(struct side *side, const char *store_path, const char *name)
{
    int status, code;

    cli.store_path = store_path;
    status = cli_open_to_read(name, &side->store, &side->study);
    side->store_path = cli.store_path;
    if (status)
        return status;
    code = hpo_trial_list(side->study, 0, &side->cursor);
    return code < 0 ? cli_failed(side->store, code, name) : 0;
}

static int close_side(struct side *side, int status)
{
    cli.store_path = side->store_path; /* for a message about damage */
    hpo_cursor_free(side->cursor);
    return cli_finish(side->store, status);
}

static int next_trial(struct side *side)
{
    int code = hpo_cursor_next_trial(side->cursor, &side->trial);

    if (code != HPO_OK)
        side->trial = NULL;
    return code < 0 ? cli_failed(side->store, code, side->store_path) : 0;
}

static void print_same(uint64_t trials)
{
    struct writer json = {.out = stdout};

    if (cli.json) {
        writer_begin(&json, NULL, '{');
        writer_bool(&json, "same", true);
        writer_uint(&json, "trials", trials);
        writer_end(&json, '}');
        writer_line(&json);
    } else {
        printf("identical: %" PRIu64 " trial%s\n", trials, trials == 1 ? "" : "s");
    }
}

static void print_different(uint64_t number, const struct difference *difference)
{
    struct writer json = {.out = stdout};

    if (cli.json) {
        writer_begin(&json, NULL, '{');
        writer_bool(&json, "same", false);
        writer_uint(&json, "trial", number);
        writer_string(&json, "what", text_string(&difference->what));
        writer_string(&json, "a", text_string(&difference->a));
        writer_string(&json, "b", text_string(&difference->b));
        writer_end(&json, '}');
        writer_line(&json);
    } else {
        printf("trial %" PRIu64 ", %s: %s and %s\n", number, text_string(&difference->what),
               text_string(&difference->a), text_string(&difference->b));
    }
}

/* One list of trials goes on where the other has ended or has a gap. */
static bool one_is_missing(const struct side *a, const struct side *b, struct difference *out,
                           uint64_t *number)
{
    bool in_a = a->trial && (!b->trial || a->trial->number < b->trial->number);
    bool in_b = b->trial && (!a->trial || b->trial->number < a->trial->number);

    if (!in_a && !in_b)
        return false;
    *number = in_a ? a->trial->number : b->trial->number;
    text_add(&out->what, "only one has it");
    text_add(&out->a, in_a ? "there" : "missing");
    text_add(&out->b, in_b ? "there" : "missing");
    return true;
}

static int compare(struct side *a, struct side *b)
{
    struct difference difference = {0};
    uint64_t number = 0, trials = 0;
    bool different = false;
    int status;

    for (;;) {
        status = next_trial(a);
        if (!status)
            status = next_trial(b);
        if (status || (!a->trial && !b->trial))
            break;
        different = one_is_missing(a, b, &difference, &number);
        if (!different) {
            number = a->trial->number;
            different = compare_trials(a->trial, b->trial, &difference);
        }
        if (different)
            break;
        trials++;
    }
    if (different)
        print_different(number, &difference);
    else if (!status)
        print_same(trials);
    difference_release(&difference);
    return status ? EXIT_TROUBLE : different ? EXIT_DIFFERENT : EXIT_SAME;
}

int command_diff(int argc, char **argv)
{
    struct arguments a = {0};
    struct side sides[2] = {{0}};
    int result, status;

    argp_parse(&parser, argc, argv, 0, NULL, &a);
    status = open_side(&sides[0], cli.store_path, a.names[0]);
    if (!status)
        status =
            open_side(&sides[1], a.other_store ? a.other_store : sides[0].store_path, a.names[1]);
    result = status ? EXIT_TROUBLE : compare(&sides[0], &sides[1]);
    for (size_t i = 0; i < 2; i++) {
        status = close_side(&sides[i], 0); /* damage: what was compared is not all there was */
        if (status)
            result = EXIT_TROUBLE;
    }
    return result;
}

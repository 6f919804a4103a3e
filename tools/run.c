/*
 * hpo run: tune a program; the same command line again goes on where it ended, however it ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tools/cli.h"
#include "tools/command.h"
#include "tools/memory.h"
#include "tools/number.h"
#include "tools/placeholder.h"
#include "tools/run.h"
#include "tools/study_out.h"

enum {
    KEY_STUDY = 0x200,
    KEY_TIMEOUT,
    KEY_GRACE,
    KEY_RESULT,
    KEY_INTERRUPTS,
    KEY_INTERRUPT_CODE,
    KEY_FAILS,
    KEY_ON_FAIL,
    KEY_WORK_DIR,
    KEY_OUTPUT,
};

static const struct argp_option options[] = {
    {"study", KEY_STUDY, "NAME", 0, "The study; made if there is none of that name", 0},
    {"trials", 'n', "N", 0, "Until N trials are finished in all (default: until stopped)", 0},
    {"jobs", 'J', "N", 0, "Programs at a time (default: 1)", 0},
    {"timeout", KEY_TIMEOUT, "TIME", 0, "A trial fails after TIME: 90, 15m, 8h", 2},
    {"grace", KEY_GRACE, "TIME", 0, "From SIGTERM to SIGKILL (default: 5)", 2},
    {"result", KEY_RESULT, "KEY", 0,
     "The value is the last line KEY=number on stdout; repeat for several objectives (default: the "
     "last line that is a number)",
     2},
    {"interrupts-max", KEY_INTERRUPTS, "N", 0,
     "Run a trial again at most N times after its program was killed from outside (default: 3)", 2},
    {"interrupt-code", KEY_INTERRUPT_CODE, "N", 0, "Exit status that means the same", 2},
    {"on-fail", KEY_ON_FAIL, "fail|retry=N|stop|penalty=V", 0,
     "What a failed program does to its trial (default: fail)", 2},
    {"fails-max", KEY_FAILS, "N", 0,
     "End when the first N trials of a study all failed for the same reason (default: 10; 0: go "
     "on)",
     2},
    {"work-dir", KEY_WORK_DIR, "DIR", 0,
     "Where the trials' directories are made (default: STORE.trials)", 2},
    {"output", KEY_OUTPUT, "keep|failed|none", 0,
     "Which programs' stdout.log and stderr.log stay in their directories (default: keep)", 2},
    {"verbose", 'v', NULL, 0, "A line for each finished trial", 3},
    {"quiet", 'q', NULL, 0, "No progress, no remarks, errors only", 3},
    {0}};

static int parse_penalty(struct run_options *o, const char *text)
{
    size_t count = 1;

    for (const char *c = text; *c; c++)
        count += *c == ',';
    o->on_fail = ON_FAIL_PENALTY;
    o->penalty_text = text;
    o->penalty_count = count;
    return count <= RESULT_VALUES_MAX && number_parse_list(text, strlen(text), o->penalty, count)
               ? 0
               : -1;
}

static int parse_on_fail(struct run_options *o, const char *text)
{
    if (strcmp(text, "fail") == 0) {
        o->on_fail = ON_FAIL_TELL;
    } else if (strcmp(text, "stop") == 0) {
        o->on_fail = ON_FAIL_STOP;
    } else if (strncmp(text, "retry=", 6) == 0) {
        o->on_fail = ON_FAIL_RETRY;
        return number_parse_uint(text + 6, &o->retries) ? 0 : -1;
    } else if (strncmp(text, "penalty=", 8) == 0) {
        return parse_penalty(o, text + 8);
    } else {
        return -1;
    }
    return 0;
}

static int parse_output(struct run_options *o, const char *text)
{
    static const char *const words[] = {"keep", "failed", "none"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(text, words[i]) == 0) {
            o->output = (enum run_output)i;
            return 0;
        }
    }
    return -1;
}

static void refuse(const char *option, const char *arg, const char *wanted)
{
    cli_refuse("%s \"%s\": %s", option, arg, wanted);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct run_options *o = state->input;
    uint64_t code;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->setup;
        return 0;
    case KEY_STUDY:
        o->setup.name = arg;
        return 0;
    case 'n':
        if (!number_parse_uint(arg, &o->trials) || o->trials == 0)
            refuse("--trials", arg, "a number above 0 is wanted");
        return 0;
    case 'J':
        if (!number_parse_uint(arg, &o->jobs) || o->jobs == 0 || o->jobs > 4096)
            refuse("--jobs", arg, "a number from 1 to 4096 is wanted");
        return 0;
    case KEY_TIMEOUT:
        if (!number_parse_seconds(arg, &o->timeout_ms))
            refuse("--timeout", arg, "a time above 0 is wanted, like 90, 1.5, 15m or 8h");
        return 0;
    case KEY_GRACE:
        if (!number_parse_seconds(arg, &o->grace_ms))
            refuse("--grace", arg, "a time above 0 is wanted, like 5, 0.5 or 2m");
        return 0;
    case KEY_RESULT:
        o->keys = memory_resize(o->keys, o->key_count + 1, sizeof(o->keys[0]));
        o->keys[o->key_count++] = arg;
        return 0;
    case KEY_INTERRUPTS:
        if (!number_parse_uint(arg, &o->interrupts_max))
            refuse("--interrupts-max", arg, "a number is wanted");
        return 0;
    case KEY_FAILS:
        if (!number_parse_uint(arg, &o->fails_max))
            refuse("--fails-max", arg, "a number is wanted");
        return 0;
    case KEY_INTERRUPT_CODE:
        if (!number_parse_uint(arg, &code) || code == 0 || code > 255)
            refuse("--interrupt-code", arg, "an exit status from 1 to 255 is wanted");
        o->interrupt_code = (int)code;
        return 0;
    case KEY_ON_FAIL:
        if (parse_on_fail(o, arg) < 0)
            refuse("--on-fail", arg, "fail, retry=N, stop or penalty=V is wanted");
        return 0;
    case KEY_WORK_DIR:
        o->work_dir = arg;
        return 0;
    case KEY_OUTPUT:
        if (parse_output(o, arg) < 0)
            refuse("--output", arg, "keep, failed or none is wanted");
        return 0;
    case 'v':
        o->verbose = true;
        return 0;
    case 'q':
        o->quiet = true;
        return 0;
    case ARGP_KEY_ARGS: /* the first word that is no option begins the program */
        o->program = state->argv + state->next;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {
    {&study_setup_argp, 0, NULL, 0}, {&cli_store_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {
    options,
    parse,
    "[--] PROGRAM [ARGUMENT...]",
    "Tune a program: run it with other parameters again and again, and keep what came of it. "
    "{NAME} in an argument is the parameter's value. The last number that the program prints is "
    "the "
    "trial's value. The same command line again goes on where it ended."
    "\vThe program finds HPO_TRIAL, HPO_TRIAL_DIR, HPO_SEED, HPO_PARAM_<NAME> and HPO_RESULT_FD in "
    "its environment. See hpo-run(1).",
    children,
    NULL,
    NULL};

/* -- checks that need no store -- */

static const char *look_up(void *arg, const char *name, size_t size)
{
    const struct searchspace *space = arg;

    for (size_t i = 0; i < space->count; i++)
        if (strlen(space->params[i].name) == size && memcmp(space->params[i].name, name, size) == 0)
            return "";
    return NULL;
}

/* Two parameters that one variable would stand for: 0, or EXIT_USAGE. */
static int check_variables(const struct hpo_param *params, size_t count)
{
    struct text a = {0}, b = {0};
    int status = 0;

    for (size_t i = 0; i < count && !status; i++) {
        for (size_t j = 0; j < i && !status; j++) {
            text_clear(&a);
            text_clear(&b);
            placeholder_variable(&a, params[i].name);
            placeholder_variable(&b, params[j].name);
            if (strcmp(a.data, b.data) == 0)
                status = cli_usage("parameters \"%s\" and \"%s\" would share the variable %s: "
                                   "rename one",
                                   params[j].name, params[i].name, a.data);
        }
    }
    text_release(&a);
    text_release(&b);
    return status;
}

static int check_program(const struct run_options *o, const struct searchspace *space)
{
    struct text out = {0}, why = {0};
    int status = 0;

    for (char **argument = o->program; *argument && !status; argument++)
        if (placeholder_expand(&out, *argument, look_up, (void *)space, &why) < 0)
            status = cli_usage("%s", text_string(&why));
    text_release(&out);
    text_release(&why);
    return status ? status : check_variables(space->params, space->count);
}

static int check_options(const struct run_options *o)
{
    if (!o->setup.name)
        return cli_usage("no study is named: give --study NAME");
    if (!o->program || !*o->program)
        return cli_usage("no program is given: put its command line after \"--\"");
    return o->setup.space.count ? check_program(o, &o->setup.space) : 0;
}

/* What only the study can answer: its space, where the command line gives none, and its number of
 * objectives. */
static int check_against_study(struct run *run)
{
    const struct run_options *o = run->options;
    struct hpo_study_info *info;
    int code = hpo_study_info(run->study, &info), status;

    if (code < 0)
        return cli_failed(run->store, code, o->setup.name);
    run->value_count = info->direction_count;
    if (!info->declared)
        status = cli_usage("study \"%s\" has no declared search space: give --param or --space",
                           o->setup.name);
    else if (o->key_count && o->key_count != info->direction_count)
        status = cli_usage("--result is given %zu time%s, the study has %zu objective%s",
                           o->key_count, o->key_count == 1 ? "" : "s", info->direction_count,
                           info->direction_count == 1 ? "" : "s");
    else if (o->on_fail == ON_FAIL_PENALTY && o->penalty_count != info->direction_count)
        status = cli_usage("--on-fail penalty=%s has %zu value%s, the study has %zu objective%s",
                           o->penalty_text, o->penalty_count, o->penalty_count == 1 ? "" : "s",
                           info->direction_count, info->direction_count == 1 ? "" : "s");
    else
        status = check_program(o, &(struct searchspace){.params = (struct hpo_param *)info->params,
                                                        .count = info->param_count});
    hpo_study_info_free(info);
    return status;
}

/* -- opening -- */

/* Signals (and tellers) arrive at descriptors from here on, where the loop finds them one at a
 * time. */
static int take_over_signals(struct run *run)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGUSR1, SIGHUP, SIGTSTP, SIGCHLD};
    sigset_t mask;

    sigemptyset(&mask);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        struct sigaction action;

        sigaction(wanted[i], NULL, &action);
        if (action.sa_handler != SIG_IGN || wanted[i] == SIGCHLD) /* nohup, background jobs */
            sigaddset(&mask, wanted[i]);
    }
    (void)signal(SIGCHLD, SIG_DFL); /* ignored, children would vanish unseen */
    (void)signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &mask, &run->program_mask);
    run->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    run->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (run->signal_fd < 0 || run->wake_fd < 0) {
        cli_say("cannot watch for events: %s", strerror(errno));
        return EXIT_FAILED;
    }
    return 0;
}

static int open_workdir(struct run *run)
{
    const struct run_options *o = run->options;
    struct hpo_study_info *info;
    struct hpo_stat stat = {.size = sizeof(stat)};
    struct workdir_owner owner;
    struct text parent = {0}, note = {0};
    int code, status = 0;

    code = hpo_stat(run->store, &stat);
    if (code == HPO_OK)
        code = hpo_study_info(run->study, &info);
    if (code < 0)
        return cli_failed(run->store, code, cli.store_path);
    memcpy(owner.store, stat.uuid, sizeof(owner.store));
    owner.study = info->id;
    hpo_study_info_free(info);
    text_add(&parent, o->work_dir ? o->work_dir : cli.store_path);
    while (parent.size > 1 && parent.data[parent.size - 1] == '/')
        parent.data[--parent.size] = 0;
    if (!o->work_dir)
        text_add(&parent, ".trials");
    code = workdir_open(&run->workdir, parent.data, o->setup.name, &owner, &note);
    if (code != 0 && (code < 0 || !o->quiet))
        cli_say("%s", text_string(&note));
    if (code < 0)
        status = EXIT_FAILED;
    text_release(&parent);
    text_release(&note);
    return status;
}

static int open_all(struct run *run)
{
    int status = cli_open(0, &run->store);

    if (!status)
        status = study_setup_open(run->store, &run->options->setup, false, &run->study);
    if (!status)
        status = check_against_study(run);
    if (!status)
        status = open_workdir(run);
    return status;
}

/* All trials are finished, whether hpo_ask was there to say so or not. */
static bool is_complete(const struct run *run)
{
    struct hpo_study_info *info;
    bool complete;

    if (!run->options->trials || hpo_study_info(run->study, &info) < 0)
        return run->over;
    complete = study_finished(info) >= run->options->trials;
    hpo_study_info_free(info);
    return complete;
}

/* The exit code, and the last line, unless an error was that. */
static int conclude(struct run *run)
{
    bool complete = is_complete(run);

    progress_clear(&run->progress);
    if (run->status)
        return run->status;
    if (!run->options->quiet)
        progress_summary(run->study, run->options->trials,
                         complete    ? NULL
                         : run->over ? "the search is over: nothing more to try, or it was stopped"
                                     : "the same command line goes on from here");
    return complete || run->over ? EXIT_DONE : EXIT_INTERRUPTED;
}

static void release_options(struct run_options *o)
{
    study_setup_release(&o->setup);
    free(o->keys);
}

int command_run(int argc, char **argv)
{
    struct run_options o = {
        .jobs = 1, .grace_ms = 5000, .interrupts_max = 3, .fails_max = 10, .interrupt_code = -1};
    struct run run = {.options = &o, .signal_fd = -1, .wake_fd = -1};
    int status;

    argp_parse(&parser, argc, argv, ARGP_IN_ORDER, NULL, &o);
    status = check_options(&o);
    if (status)
        goto release_options;
    if (guardian_start(&run.guardian) < 0) { /* before the store, which it must not hold open */
        cli_say("cannot start a process: %s", strerror(errno));
        status = EXIT_FAILED;
        goto release_options;
    }
    status = open_all(&run);
    if (!status)
        status = take_over_signals(&run); /* not before: opening may wait, and Ctrl-C end that */
    if (!status) {
        run.jobs = memory_new(o.jobs, sizeof(run.jobs[0]));
        run.progress.enabled = isatty(STDERR_FILENO) && !o.quiet;
        run_loop(&run);
        status = conclude(&run);
    }
    status = cli_finish(run.store, status);
    guardian_stop(&run.guardian);
    if (run.signal_fd >= 0)
        close(run.signal_fd);
    if (run.wake_fd >= 0)
        close(run.wake_fd);
    workdir_release(&run.workdir);
    free(run.jobs);
    free(run.tries);
    text_release(&run.fail_reason);
release_options:
    release_options(&o);
    return status;
}

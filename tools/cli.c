/*
 * cli: one table says for each of the library's codes how a command ends and what a person can do.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli.h"
#include "tools/memory.h"
#include "tools/number.h"
#include "tools/text.h"

struct cli cli = {.name = "hpo", .line_start = ""};

static const struct {
    int code, exit;
    const char *advice; /* follows the message after "; " unless it has advice of its own */
} endings[] = {
    {HPO_OK, EXIT_DONE, NULL},
    {HPO_NOMEM, EXIT_FAILED, "nothing is lost: free memory and run the same command again"},
    {HPO_INVALID, EXIT_USAGE, NULL},
    {HPO_NOT_FOUND, EXIT_NOT_FOUND, NULL},
    {HPO_EXISTS, EXIT_USAGE, "choose another name"},
    {HPO_IO, EXIT_FAILED, "see the kernel's log for the device's error"},
    {HPO_NOSPACE, EXIT_FAILED, "nothing is lost: free space and run the same command again"},
    {HPO_PERMISSION, EXIT_FAILED, "check owner and mode, and that it is not mounted read-only"},
    {HPO_CORRUPT, EXIT_DAMAGED, NULL}, /* the hpo-fsck command, with the store's name */
    {HPO_UNSUPPORTED, EXIT_FAILED, "use a newer version of hpo"},
    {HPO_READONLY, EXIT_FAILED, NULL},
    {HPO_BUSY, EXIT_BUSY, "try again, or leave --no-wait away"},
    {HPO_NOT_WRITTEN, EXIT_FAILED, "the disk refused; run the same command again"},
    {HPO_UNKNOWN, EXIT_FAILED, "run the same command again: opening the store tells"},
    {HPO_FORKED, EXIT_FAILED, NULL},
    {HPO_SESSION_LOST, EXIT_FAILED, "run the same command again"},
    {HPO_FINISHED, EXIT_FAILED, "a finished trial cannot change"},
    {HPO_INCOMPATIBLE, EXIT_USAGE, "--allow-change accepts it, another --study leaves it alone"},
    {HPO_TOO_LARGE, EXIT_USAGE, NULL},
    {HPO_NETWORK_FS, EXIT_FAILED, "put the store on a local disk"},
    {HPO_ROLLED_BACK, EXIT_FAILED, "ask again: the number is given out anew"},
};

int cli_exit_code(int code)
{
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
        if (endings[i].code == code)
            return endings[i].exit;
    return EXIT_FAILED;
}

static const char *advice_for(int code)
{
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
        if (endings[i].code == code)
            return endings[i].advice;
    return NULL;
}

static void say(const char *format, va_list args)
{
    struct text line = {0};
    size_t message;

    text_addf(&line, "%s%s: ", cli.line_start, cli.name);
    message = line.size;
    text_vaddf(&line, format, args);
    for (char *c = line.data + message; *c; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    text_add_char(&line, '\n');
    (void)!write(STDERR_FILENO, line.data, line.size);
    text_release(&line);
}

void cli_say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args);
    va_end(args);
}

int cli_usage(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args);
    va_end(args);
    return EXIT_USAGE;
}

void cli_refuse(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say(format, args);
    va_end(args);
    exit(argp_err_exit_status);
}

static void add_place(struct text *line, const struct hpo_error_detail *detail)
{
    if (detail->path[0] && detail->lsn)
        text_addf(line, " (%s, offset %llu, LSN %llu)", detail->path,
                  (unsigned long long)detail->offset, (unsigned long long)detail->lsn);
    else if (detail->path[0] && detail->code == HPO_CORRUPT)
        text_addf(line, " (%s, offset %llu)", detail->path, (unsigned long long)detail->offset);
    else if (detail->path[0] && !strstr(detail->message, detail->path))
        text_addf(line, " (%s)", detail->path);
    else if (detail->lsn)
        text_addf(line, " (LSN %llu)", (unsigned long long)detail->lsn);
}

int cli_failed_with(const struct hpo_error_detail *found, int code, const char *what)
{
    struct hpo_error_detail detail = *found;
    struct text line = {0};
    const char *message, *hint, *advice = advice_for(code);

    if (detail.code != code) /* of an earlier call */
        detail = (struct hpo_error_detail){.code = code};
    message = detail.message[0] ? detail.message : hpo_strerror(code);
    if (what)
        text_addf(&line, "%s: ", what);
    hint = code == HPO_CORRUPT ? strstr(message, "; run hpo-fsck") : NULL; /* comes with the name */
    text_add_n(&line, message, hint ? (size_t)(hint - message) : strlen(message));
    if (detail.system_errno && !strstr(message, strerror(detail.system_errno)))
        text_addf(&line, ": %s", strerror(detail.system_errno));
    add_place(&line, &detail);
    if (code == HPO_CORRUPT)
        text_addf(&line, "; see: hpo-fsck %s", cli.store_path);
    else if (advice && !strchr(message, ';'))
        text_addf(&line, "; %s", advice);
    cli_say("%s", text_string(&line));
    text_release(&line);
    return cli_exit_code(code);
}

int cli_failed(struct hpo_store *store, int code, const char *what)
{
    struct hpo_error_detail detail;

    if (store)
        hpo_error_detail(store, &detail);
    else
        hpo_open_error(&detail);
    return cli_failed_with(&detail, code, what);
}

/* -- options that many commands take -- */

static error_t parse_store(int key, char *arg, struct argp_state *state)
{
    (void)state;
    switch (key) {
    case 's':
        cli.store_path = arg;
        return 0;
    case 'W':
        cli.no_wait = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option store_options[] = {
    {"store", 's', "STORE", 0, "The store's directory (default: $HPO_STORE)", 10},
    {"no-wait", 'W', NULL, 0, "End with 75 instead of waiting for other processes", 10},
    {0}};
const struct argp cli_store_argp = {.options = store_options, .parser = parse_store};

static error_t parse_json(int key, char *arg, struct argp_state *state)
{
    (void)arg;
    (void)state;
    if (key != 'j')
        return ARGP_ERR_UNKNOWN;
    cli.json = true;
    return 0;
}

static const struct argp_option json_options[] = {
    {"json", 'j', NULL, 0, "Print one JSON object", 5}, {0}};
const struct argp cli_json_argp = {.options = json_options, .parser = parse_json};

void cli_protect_negative_numbers(int argc, char **argv)
{
    double unused;

    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (argv[i][0] == '-' && number_parse(argv[i], &unused)) {
            char *value = memory_new(strlen(argv[i]) + 2, 1);

            value[0] = ' ';
            strcpy(value + 1, argv[i]);
            argv[i] = value; /* lives as long as the command line: to the end */
        }
    }
}

uint64_t cli_trial_number(const char *text)
{
    uint64_t number;

    if (!number_parse_uint(text, &number))
        cli_refuse("\"%s\" is not a trial's number", text);
    return number;
}

/* -- the store -- */

int cli_open(unsigned flags, struct hpo_store **out)
{
    struct hpo_options options = {.size = sizeof(options), .flags = flags, .program = cli.name};
    int code;

    if (!cli.store_path || !*cli.store_path)
        cli.store_path = getenv("HPO_STORE");
    if (!cli.store_path || !*cli.store_path)
        return cli_usage("no store is named: give -s STORE or set HPO_STORE");
    if (cli.no_wait)
        options.flags |= HPO_OPEN_NO_WAIT;
    code = hpo_open(cli.store_path, &options, out);
    if (code == HPO_OK)
        return 0;
    if (code == HPO_NOT_FOUND && (flags & HPO_OPEN_EXISTING)) {
        cli_say("%s: there is no store here", cli.store_path);
        return EXIT_NOT_FOUND;
    }
    return cli_failed(NULL, code, cli.store_path);
}

int cli_open_study(struct hpo_store *store, const char *name, struct hpo_study **out)
{
    int code = hpo_study_open(store, name, out);

    if (code == HPO_NOT_FOUND && hpo_damage(store) < 0) /* it may stand beyond the damage */
        code = hpo_damage(store);
    if (code == HPO_NOT_FOUND) {
        cli_say("%s: there is no study \"%s\"; see: hpo studies -s %s", cli.store_path, name,
                cli.store_path);
        return EXIT_NOT_FOUND;
    }
    return code == HPO_OK ? 0 : cli_failed(store, code, cli.store_path);
}

int cli_open_trial(struct hpo_store *store, struct hpo_study *study, uint64_t number,
                   struct hpo_trial **out)
{
    int code = hpo_trial_attach(study, number, out);

    switch (code) {
    case HPO_OK:
        return 0;
    case HPO_NOT_FOUND:
        cli_say("there is no trial %llu", (unsigned long long)number);
        return EXIT_NOT_FOUND;
    case HPO_FINISHED:
        cli_say("trial %llu is finished and cannot change", (unsigned long long)number);
        return EXIT_FAILED;
    case HPO_BUSY:
        cli_say("trial %llu belongs to a running process; see: hpo stat",
                (unsigned long long)number);
        return EXIT_BUSY;
    default:
        return cli_failed(store, code, NULL);
    }
}

int cli_open_to_read(const char *name, struct hpo_store **store, struct hpo_study **study)
{
    int status = cli_open(HPO_OPEN_EXISTING | HPO_OPEN_READ_ONLY, store);

    if (status || !name)
        return status;
    status = cli_open_study(*store, name, study);
    if (status) {
        hpo_close(*store);
        *store = NULL;
    }
    return status;
}

int cli_finish(struct hpo_store *store, int status)
{
    int code = store ? hpo_damage(store) : HPO_OK;

    if (code < 0) { /* what was printed is true, but it is not all there once was */
        int damaged = cli_failed(store, code, cli.store_path);

        status = status && status != EXIT_NOT_FOUND ? status : damaged;
    }
    code = store ? hpo_close(store) : HPO_OK;
    if (code < 0 && !status)
        status = cli_failed(NULL, code, cli.store_path);
    if (fflush(stdout) || ferror(stdout)) {
        cli_say("cannot write to standard output: %s", strerror(errno));
        status = status ? status : EXIT_FAILED;
    }
    return status;
}

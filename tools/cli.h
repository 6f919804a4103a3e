/*
 * cli: what all commands share: messages, exit codes, opening the store they were given.
 *
 * Data goes to stdout; everything else is one line on stderr, "hpo run: message", written at once
 * so that lines of several processes do not mix. Exit codes are decided in one table, in cli.c.
 */
#ifndef HPO_TOOLS_CLI_H
#define HPO_TOOLS_CLI_H

#include <argp.h>
#include <stdbool.h>

#include "hpo.h"

enum cli_exit {
    EXIT_DONE = 0,
    EXIT_FAILED = 1, /* newer version, no space, no permission, network file system, no program */
    EXIT_USAGE = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_DAMAGED = 4,
    EXIT_BUSY = 75,
    EXIT_INTERRUPTED = 130,
};

struct cli {
    const char *name;       /* "hpo run" */
    const char *store_path; /* -s, or HPO_STORE */
    bool no_wait;
    bool json;
    const char *line_start; /* what clears a progress line before a message, or "" */
};

/* A command is one thread with one command line: its state may be one global. */
extern struct cli cli;

/* -s STORE and --no-wait; --json. For the children of a command's argp. */
extern const struct argp cli_store_argp, cli_json_argp;

/* Exactly one line on stderr. Newlines in it become blanks. */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, and EXIT_USAGE. */
int cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same for parsers of options, which cannot return it: ends the program. Nothing is open yet.
 */
void cli_refuse(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Say that the library refused: `what` (may be NULL), the detail of the store's (NULL: hpo_open's)
 * last error, what to do. Returns the exit code. */
int cli_failed(struct hpo_store *store, int code, const char *what);
/* The same with a detail taken earlier, perhaps in another thread. */
int cli_failed_with(const struct hpo_error_detail *detail, int code, const char *what);
int cli_exit_code(int code);

/* Open the store named on the command line. 0 or an exit code, said. flags: enum hpo_open_flags. */
int cli_open(unsigned flags, struct hpo_store **out);
/* Open it for looking, and the study if `name` is not NULL. */
int cli_open_to_read(const char *name, struct hpo_store **store, struct hpo_study **study);
int cli_open_study(struct hpo_store *store, const char *name, struct hpo_study **out);
/* A detached trial by number, to finish or give back. */
int cli_open_trial(struct hpo_store *store, struct hpo_study *study, uint64_t number,
                   struct hpo_trial **out);
/* Close, flush stdout, and return the command's exit code: `status`, unless that is 0 and something
 * is wrong after all: the store is damaged beyond what was shown, stdout could not be written. */
int cli_finish(struct hpo_store *store, int status);

/* "-1.5" is a value and not an option: give such arguments a blank in front, which every parser of
 * numbers skips. */
void cli_protect_negative_numbers(int argc, char **argv);

/* A trial's number, or the end as of cli_refuse. */
uint64_t cli_trial_number(const char *text);

#endif

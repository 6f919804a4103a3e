/*
 * hpo: find the command and hand it its words.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli.h"
#include "tools/command.h"
#include "tools/memory.h"
#include "tools/text.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"run", command_run, "tune a program; the same command line again resumes"},
    {"create", command_create, "make a study without running anything"},
    {"ask", command_ask, "begin a trial for a script to carry out"},
    {"tell", command_tell, "finish a trial that was asked for"},
    {"abandon", command_abandon, "give a trial back, to be run again"},
    {"enqueue", command_enqueue, "try this point next"},
    {"studies", command_studies, "list the studies of a store"},
    {"show", command_show, "a study: space, sampler, counts, best trial"},
    {"trials", command_trials, "list the trials of a study"},
    {"trial", command_trial, "everything about one trial"},
    {"best", command_best, "the best trial, or the Pareto front"},
    {"log", command_log, "every record of the log"},
    {"stat", command_stat, "sizes, counters, who is connected"},
    {"diff", command_diff, "the first difference between two studies"},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *out)
{
    fputs("Usage: hpo [-s STORE] COMMAND [OPTION...]\n\n"
          "Search for good parameters, and keep what was found whatever happens.\n\n",
          out);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
    fputs("\n`hpo COMMAND --help' tells about one; hpo(1) and hpo-run(1) tell everything.\n"
          "HPO_STORE in the environment names the store where -s does not.\n",
          out);
}

/* Library and commands count on 0, 1 and 2 being taken: a log must not become somebody's stderr. */
static void fill_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO && fcntl(fd, F_SETFD, 0) == 0);
    if (fd > STDERR_FILENO)
        close(fd);
}

static int run_command(int argc, char **argv)
{
    struct text name = {0};

    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, argv[0]) == 0) {
            int status;

            text_addf(&name, "hpo %s", commands[i].name);
            cli.name = argv[0] = name.data;
            status = commands[i].run(argc, argv);
            text_release(&name);
            return status;
        }
    }
    return cli_usage("unknown command \"%s\"; see: hpo --help", argv[0]);
}

int main(int argc, char **argv)
{
    int at = 1;

    fill_standard_descriptors();
    argp_err_exit_status = EXIT_USAGE;
    while (at < argc && argv[at][0] == '-') {
        const char *option = argv[at++];

        if (strcmp(option, "--version") == 0 || strcmp(option, "-V") == 0) {
            printf("hpo %s\n", hpo_version());
            return EXIT_DONE;
        }
        if (strcmp(option, "--help") == 0 || strcmp(option, "-h") == 0 ||
            strcmp(option, "-?") == 0) {
            print_help(stdout);
            return EXIT_DONE;
        }
        if (strncmp(option, "--store=", 8) == 0)
            cli.store_path = option + 8;
        else if (strncmp(option, "-s", 2) == 0 && option[2])
            cli.store_path = option + 2;
        else if ((strcmp(option, "-s") == 0 || strcmp(option, "--store") == 0) && at < argc)
            cli.store_path = argv[at++];
        else
            return cli_usage("\"%s\" before the command is not understood; see: hpo --help",
                             option);
    }
    if (at == argc) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    return run_command(argc - at, argv + at);
}

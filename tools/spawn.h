/*
 * spawn: start the tuned program in a process group of its own.
 *
 * A terminal's Ctrl-C must not reach it (the first one lets running trials finish), signals to its
 * group must reach all of it, and it must not outlive us: PR_SET_PDEATHSIG and the guardian.
 */
#ifndef HPO_TOOLS_SPAWN_H
#define HPO_TOOLS_SPAWN_H

#include <signal.h>
#include <sys/types.h>

#include "tools/guardian.h"

#define SPAWN_RESULT_FD 3 /* what HPO_RESULT_FD says */

struct spawn {
    char *const *argv; /* argv[0] is looked up in PATH */
    char *const *envp;
    int stdout_fd, stderr_fd, result_fd; /* become 1, 2 and SPAWN_RESULT_FD; stdin is /dev/null */
    const struct guardian *guardian;
    const sigset_t *mask; /* of the program */
};

/* 0, or a negative errno: of fork, or why the program cannot be executed. Nothing runs then. */
int spawn_program(const struct spawn *spawn, pid_t *out);

#endif

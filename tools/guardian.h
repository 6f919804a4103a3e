/*
 * guardian: a small process that kills what a killed `hpo run` would leave running.
 *
 * A tuned program usually is a shell script with the real work as its child, and PR_SET_PDEATHSIG
 * reaches only the direct child. Left alone, the grandchild would burn a GPU for a trial that was
 * rolled back, beside the new attempt. The guardian holds the read end of a pipe; everything that
 * writes to it dies with `hpo run`, and then it kills the process groups it was told about.
 */
#ifndef HPO_TOOLS_GUARDIAN_H
#define HPO_TOOLS_GUARDIAN_H

#include <sys/types.h>

struct guardian {
    pid_t pid;
    int fd; /* write end, close-on-exec */
};

/* Start it. Call before anything is opened that it should not share. 0 or a negative errno. */
int guardian_start(struct guardian *guardian);
/* Watch, or no longer watch, a process group. One write; may be called between fork and exec. Stop
 * watching before the group's leader is reaped: afterwards its number may be somebody else's. */
void guardian_watch(const struct guardian *guardian, pid_t group);
void guardian_forget(const struct guardian *guardian, pid_t group);
/* End it; groups still watched are killed. */
void guardian_stop(struct guardian *guardian);

#endif

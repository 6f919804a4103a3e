/*
 * spawn: the child reports a failed exec through a pipe that a successful one closes.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/spawn.h"

#define OUT_OF_THE_WAY 10 /* above every descriptor that the program is given */

/* Signals whose disposition we change for ourselves. */
static void restore_signals(const sigset_t *mask)
{
    (void)signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, mask, NULL);
}

/* Sources first go out of the way: one may sit where another is to go. */
static int place_descriptors(const struct spawn *spawn)
{
    const int targets[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, SPAWN_RESULT_FD};
    int sources[4];

    sources[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    sources[1] = spawn->stdout_fd;
    sources[2] = spawn->stderr_fd;
    sources[3] = spawn->result_fd;
    for (int i = 0; i < 4; i++) {
        sources[i] = fcntl(sources[i], F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
        if (sources[i] < 0)
            return -1;
    }
    for (int i = 0; i < 4; i++)
        if (dup2(sources[i], targets[i]) < 0)
            return -1;
    return 0;
}

static void __attribute__((noreturn))
become_program(const struct spawn *spawn, pid_t parent, int report_fd)
{
    int err;

    report_fd = fcntl(report_fd, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
    setpgid(0, 0);
    guardian_watch(spawn->guardian, getpid());
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(127); /* the parent died before we asked to die with it */
    if (place_descriptors(spawn) == 0) {
        restore_signals(spawn->mask);
        execvpe(spawn->argv[0], spawn->argv, spawn->envp);
    }
    err = errno;
    (void)!write(report_fd, &err, sizeof(err));
    _exit(127);
}

int spawn_program(const struct spawn *spawn, pid_t *out)
{
    pid_t parent = getpid(), pid;
    int report[2], err = 0;
    ssize_t n;

    if (pipe2(report, O_CLOEXEC) < 0)
        return -errno;
    pid = fork();
    if (pid < 0) {
        err = -errno;
        goto close_both;
    }
    if (pid == 0)
        become_program(spawn, parent, report[1]);
    setpgid(pid, pid); /* whoever of the two comes first; fails harmlessly after the exec */
    close(report[1]);
    do
        n = read(report[0], &err, sizeof(err));
    while (n < 0 && errno == EINTR);
    close(report[0]);
    if (n != sizeof(err)) { /* closed by exec */
        *out = pid;
        return 0;
    }
    guardian_forget(spawn->guardian, pid);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return -err;

close_both:
    close(report[0]);
    close(report[1]);
    return err;
}

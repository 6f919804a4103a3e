/*
 * guardian: messages are one pid each, negative to forget it; end of file means: kill the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/guardian.h"

#define GROUPS_MAX 4096 /* running at once; more jobs than that are merely not guarded */

static void change(pid_t *groups, size_t *count, pid_t message)
{
    if (message > 0 && *count < GROUPS_MAX) {
        groups[(*count)++] = message;
        return;
    }
    for (size_t i = 0; i < *count; i++) {
        if (groups[i] == -message) {
            groups[i] = groups[--*count];
            return;
        }
    }
}

static void __attribute__((noreturn)) stand_guard(int fd)
{
    static pid_t groups[GROUPS_MAX];
    size_t count = 0;
    pid_t message;
    ssize_t n;

    while ((n = read(fd, &message, sizeof(message))) != 0)
        if (n == sizeof(message))
            change(groups, &count, message);
        else if (n > 0 || errno != EINTR)
            break;
    for (size_t i = 0; i < count; i++)
        kill(-groups[i], SIGKILL);
    _exit(0);
}

/* Nothing that meets `hpo run` or its terminal may meet the guardian, and it holds nothing open. */
static void __attribute__((noreturn)) become_guardian(int fd)
{
    sigset_t none;
    int null;

    setsid();
    for (int signal_number = 1; signal_number < NSIG; signal_number++)
        (void)signal(signal_number, SIG_IGN);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_NAME, "hpo-guardian");
    if (fd != 3)
        dup2(fd, 3);
    close_range(4, ~0u, 0);
    null = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3 && null >= 0; i++)
        dup2(null, i);
    if (null > 3)
        close(null);
    (void)!chdir("/");
    stand_guard(3);
}

int guardian_start(struct guardian *guardian)
{
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    pid = fork();
    if (pid < 0) {
        int err = -errno;

        close(fds[0]);
        close(fds[1]);
        return err;
    }
    if (pid == 0)
        become_guardian(fds[0]);
    close(fds[0]);
    *guardian = (struct guardian){.pid = pid, .fd = fds[1]};
    return 0;
}

void guardian_watch(const struct guardian *guardian, pid_t group)
{
    (void)!write(guardian->fd, &group, sizeof(group));
}

void guardian_forget(const struct guardian *guardian, pid_t group)
{
    group = -group;
    (void)!write(guardian->fd, &group, sizeof(group));
}

void guardian_stop(struct guardian *guardian)
{
    close(guardian->fd);
    while (waitpid(guardian->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    *guardian = (struct guardian){.pid = 0, .fd = -1};
}

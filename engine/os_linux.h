/*
 * os_linux: what the two halves of the real table share. os_linux.c makes the calls,
 * os_linux_fork.c knows every descriptor the library holds and closes them in forked children.
 * Nobody else includes this.
 */
#ifndef HPO_ENGINE_OS_LINUX_H
#define HPO_ENGINE_OS_LINUX_H

#include <stdint.h>

/* A descriptor that a forked child must not keep. Embedded in os_file and os_dir. fd is -1 in a
 * child, so that every call on an inherited object fails with -EBADF there. */
struct os_held {
    int fd;
    struct os_held *next;
    struct os_held *previous;
};

/* Open `name` relative to at_fd (AT_FDCWD or a directory) and remember it in `held`. The descriptor
 * is above 2 and close-on-exec; no fork can happen between the open and the remembering. 0 or
 * -errno. */
int os_held_open(struct os_held *held, int at_fd, const char *name, int flags);

/* Close and forget, in one step as seen by fork. Harmless on what a child inherited. */
void os_held_close(struct os_held *held);

/* Forks between the process that loaded the library and this one. */
uint64_t os_fork_generation(void);

#endif

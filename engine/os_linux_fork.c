/*
 * os_linux_fork: descriptors do not survive fork.
 *
 * An OFD lock belongs to the open file description, so a forked child that keeps a descriptor keeps
 * its parent's locks alive, also after the parent was killed: a data-loader child would make a dead
 * trainer look alive for ever. Closing a descriptor in the child releases nothing of the parent's.
 *
 * Invariants
 *   F1  Every descriptor of the table is in the list, or no fork can happen: the list's mutex
 *       is held by open, by close and, through pthread_atfork, by fork.
 *   F2  In a child the list is empty before fork returns; what stood in it has fd -1.
 */
#include "os_linux.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct os_held *list_first;       /* guarded by list_mutex */
static _Atomic uint64_t fork_generation; /* written by the only thread of a new child */

static void fork_prepare(void)
{
    pthread_mutex_lock(&list_mutex);
}

static void fork_parent(void)
{
    pthread_mutex_unlock(&list_mutex);
}

static void fork_child(void)
{
    while (list_first) {
        struct os_held *held = list_first;

        list_first = held->next;
        close(held->fd);
        held->fd = -1;
        held->next = held->previous = NULL;
    }
    atomic_fetch_add_explicit(&fork_generation, 1, memory_order_relaxed);
    pthread_mutex_unlock(&list_mutex);
}

__attribute__((constructor)) static void fork_register(void)
{
    /* Fails only for want of memory before main. Going on without it would make locks of dead
     * processes look alive, silently; there is nobody to tell. */
    if (pthread_atfork(fork_prepare, fork_parent, fork_child) != 0)
        abort();
}

uint64_t os_fork_generation(void)
{
    return atomic_load_explicit(&fork_generation, memory_order_relaxed);
}

/* A program that closed its standard streams gets 0, 1 or 2 from open; its next printf would then
 * go into the log. */
static int move_above_standard_streams(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int err = moved < 0 ? -errno : moved;

    close(fd);
    return err;
}

int os_held_open(struct os_held *held, int at_fd, const char *name, int flags)
{
    int fd;

    pthread_mutex_lock(&list_mutex);
    do
        fd = openat(at_fd, name, flags | O_CLOEXEC, 0666);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        fd = -errno;
    else if (fd <= 2)
        fd = move_above_standard_streams(fd);
    if (fd >= 0) {
        assert(fd > 2);
        held->fd = fd;
        held->previous = NULL;
        held->next = list_first;
        if (list_first)
            list_first->previous = held;
        list_first = held;
    }
    pthread_mutex_unlock(&list_mutex);
    return fd < 0 ? fd : 0;
}

void os_held_close(struct os_held *held)
{
    pthread_mutex_lock(&list_mutex);
    if (held->fd >= 0) {
        if (held->next)
            held->next->previous = held->previous;
        if (held->previous)
            held->previous->next = held->next;
        else
            list_first = held->next;
        /* Never repeated: on Linux the descriptor is gone even after EINTR. Errors of writing have
         * been reported by the syncs that somebody waited for. */
        close(held->fd);
        held->fd = -1;
    }
    pthread_mutex_unlock(&list_mutex);
}

/*
 * locks: the bytes of the file `lock`, which say who is alive and who may do what.
 *
 * Each right is one byte, locked with the semantics of open file descriptions: a lock falls when
 * its description goes, at the latest with the process, so no death leaves one behind and no timer
 * is needed. The file itself is empty and never unlinked, truncated or replaced.
 *
 * One `struct locks` is one description and belongs to one handle. Between two handles the kernel
 * excludes, also inside one process; between the threads of one handle it does not (they share the
 * description), so APPEND has a mutex beside it and the try-locks have a flag each.
 *
 * Order: SYNC before APPEND. Whoever holds APPEND never waits for SYNC; SYNC and PREPARE are only
 * ever tried. ALIVE and READY are taken at open and freed by closing.
 */
#ifndef HPO_ENGINE_LOCKS_H
#define HPO_ENGINE_LOCKS_H

#include "os.h"

enum lock_byte {
    /* Shared by every read-write handle for life; exclusive: alone, recovers, builds shm. */
    LOCK_ALIVE = 0,
    LOCK_APPEND = 1,   /* exclusive for microseconds: reserve, write, publish; seal; roll */
    LOCK_PREPARE = 2,  /* tried: zeroes a file ahead of need */
    LOCK_SNAPSHOT = 3, /* tried: builds a snapshot */
    LOCK_RETAIN = 4,   /* shared while opening files that may be removed, exclusive to remove */
    LOCK_ADMIN = 5,    /* exclusive: repair */
    LOCK_READY = 6,    /* shared for life by those who know that shm is whole */
};

#define LOCK_SYNC_FIRST 64u /* + epoch mod LOCK_SYNC_COUNT: flushes for all of that epoch */
#define LOCK_SYNC_COUNT 1024u
#define LOCK_SESSION_FIRST 4096u /* + slot: one session, for life */
#define LOCK_SESSION_COUNT 65536u

struct locks {
    const struct hpo_os *os;
    struct os_file *file;
    struct os_mutex *append_mutex;
    /* What threads of this handle have: a bit per SYNC byte, a word each for PREPARE, SNAPSHOT. */
    _Atomic uint64_t sync_busy[LOCK_SYNC_COUNT / 64];
    _Atomic uint32_t prepare_busy, snapshot_busy;
};

/* Open the lock file of a store directory; `writable` also creates it. Read-only descriptions can
 * test locks but not take them. 0 or -errno; *locks needs no release after a failure. */
int locks_open(struct locks *locks, const struct hpo_os *os, struct os_dir *store, bool writable);

/* Close the description, which frees every byte held through it. In a forked child the descriptor
 * is closed already, and only memory is freed. */
void locks_close(struct locks *locks);

/* APPEND: waits for other threads and other processes. 0 or -errno. */
int locks_append(struct locks *locks);
void locks_append_free(struct locks *locks);

/* SYNC of an epoch: 0 got it, -EAGAIN somebody else (a thread of this handle, or another handle)
 * has it, else -errno. */
int locks_sync_try(struct locks *locks, uint64_t epoch);
void locks_sync_free(struct locks *locks, uint64_t epoch);

/* PREPARE and SNAPSHOT, same results. */
int locks_prepare_try(struct locks *locks);
void locks_prepare_free(struct locks *locks);
int locks_snapshot_try(struct locks *locks);
void locks_snapshot_free(struct locks *locks);

/* What joining a store found. */
enum locks_join {
    LOCKS_ALONE = 1,  /* ALIVE is held exclusively: recover, build shm, then locks_ready */
    LOCKS_JOINED = 2, /* ALIVE and READY are held shared: shm is whole */
};

/* The handshake of an opening read-write handle. Waits while another one recovers, unless
 * `no_wait`: then -EBUSY. Returns an enum locks_join or -errno. A joiner that gets ALIVE shared but
 * finds nobody who vouches for shm (the builder died half-way) frees it and starts over. */
int locks_join(struct locks *locks, bool no_wait);

/* The builder's last step: READY shared, then ALIVE exclusive -> shared, in this order; the other
 * way round a joiner could find ALIVE shared and READY free and would go in circles. 0 or -errno.
 */
int locks_ready(struct locks *locks);

/* 1 if some read-write handle vouches for shm, 0 if nobody does, or -errno. For handles that hold
 * neither. */
int locks_test_ready(struct locks *locks);

/* 1 if nobody but this handle holds ALIVE (and now nobody can join until the byte is freed), 0 if
 * others do. The last one out seals and attests. */
int locks_last_out(struct locks *locks);

#endif

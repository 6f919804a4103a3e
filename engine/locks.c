/*
 * locks: the bytes of `lock`. A lock falls with its holder; everything here follows from that.
 *
 * Invariants
 *   K1  A busy flag is set exactly while a thread of this handle holds the byte or asks for it.
 *   K2  The byte APPEND is held only by whoever holds append_mutex.
 *   K3  READY is held only together with ALIVE.
 */
#include "locks.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define JOIN_PAUSE_US 1000 /* between two rounds of joiners that meet a dead builder's traces */

int locks_open(struct locks *locks, const struct hpo_os *os, struct os_dir *store, bool writable)
{
    int err;

    memset(locks, 0, sizeof(*locks));
    locks->os = os;
    err = os->file_open(os->self, store, "lock", writable ? OS_WRITE | OS_CREATE : OS_READ,
                        OS_ROLE_LOCK, &locks->file);
    if (err < 0)
        return err;
    err = os->mutex_new(os->self, &locks->append_mutex);
    if (err < 0)
        os->file_close(os->self, locks->file);
    return err;
}

void locks_close(struct locks *locks)
{
    locks->os->mutex_free(locks->os->self, locks->append_mutex);
    locks->os->file_close(locks->os->self, locks->file);
}

static int lock_byte(struct locks *locks, uint64_t byte, enum os_lock_kind kind, bool wait)
{
    return locks->os->lock(locks->os->self, locks->file, byte, kind, wait);
}

/* Unlocking a byte that we hold cannot fail for a reason that anybody could act on; the close frees
 * it. */
static void free_byte(struct locks *locks, uint64_t byte)
{
    (void)lock_byte(locks, byte, OS_UNLOCK, false);
}

int locks_append(struct locks *locks)
{
    int err;

    locks->os->mutex_lock(locks->os->self, locks->append_mutex);
    err = lock_byte(locks, LOCK_APPEND, OS_LOCK_EXCLUSIVE, true);
    if (err < 0)
        locks->os->mutex_unlock(locks->os->self, locks->append_mutex);
    return err;
}

void locks_append_free(struct locks *locks)
{
    free_byte(locks, LOCK_APPEND);
    locks->os->mutex_unlock(locks->os->self, locks->append_mutex);
}

int locks_sync_try(struct locks *locks, uint64_t epoch)
{
    uint64_t index = epoch % LOCK_SYNC_COUNT;
    _Atomic uint64_t *word = &locks->sync_busy[index / 64];
    uint64_t bit = UINT64_C(1) << (index % 64);
    int err;

    if (atomic_fetch_or_explicit(word, bit, memory_order_acquire) & bit)
        return -EAGAIN;
    err = lock_byte(locks, LOCK_SYNC_FIRST + index, OS_LOCK_EXCLUSIVE, false);
    if (err < 0)
        atomic_fetch_and_explicit(word, ~bit, memory_order_release);
    return err;
}

void locks_sync_free(struct locks *locks, uint64_t epoch)
{
    uint64_t index = epoch % LOCK_SYNC_COUNT;
    uint64_t bit = UINT64_C(1) << (index % 64);
    uint64_t before;

    /* The byte first: with the flag down another thread could take the byte again (one description,
     * no conflict), and we would free it under that thread. */
    free_byte(locks, LOCK_SYNC_FIRST + index);
    before = atomic_fetch_and_explicit(&locks->sync_busy[index / 64], ~bit, memory_order_release);
    assert(before & bit);
    (void)before;
}

/* A byte that at most one thread of this handle asks for at a time. */
static int byte_try(struct locks *locks, _Atomic uint32_t *busy, enum lock_byte byte)
{
    int err;

    if (atomic_exchange_explicit(busy, 1, memory_order_acquire))
        return -EAGAIN;
    err = lock_byte(locks, byte, OS_LOCK_EXCLUSIVE, false);
    if (err < 0)
        atomic_store_explicit(busy, 0, memory_order_release);
    return err;
}

static void byte_free(struct locks *locks, _Atomic uint32_t *busy, enum lock_byte byte)
{
    free_byte(locks, byte); /* before the flag, as in locks_sync_free */
    atomic_store_explicit(busy, 0, memory_order_release);
}

int locks_prepare_try(struct locks *locks)
{
    return byte_try(locks, &locks->prepare_busy, LOCK_PREPARE);
}

void locks_prepare_free(struct locks *locks)
{
    byte_free(locks, &locks->prepare_busy, LOCK_PREPARE);
}

int locks_snapshot_try(struct locks *locks)
{
    return byte_try(locks, &locks->snapshot_busy, LOCK_SNAPSHOT);
}

void locks_snapshot_free(struct locks *locks)
{
    byte_free(locks, &locks->snapshot_busy, LOCK_SNAPSHOT);
}

int locks_join(struct locks *locks, bool no_wait)
{
    for (;;) {
        int err = lock_byte(locks, LOCK_ALIVE, OS_LOCK_EXCLUSIVE, false);

        if (err == 0)
            return LOCKS_ALONE;
        if (err != -EAGAIN)
            return err;
        err = lock_byte(locks, LOCK_ALIVE, OS_LOCK_SHARED, !no_wait);
        if (err == -EAGAIN)
            return -EBUSY;
        if (err < 0)
            return err;
        /* ALIVE shared: from here on nobody can begin to rebuild shm. What stands in it is whole if
         * somebody vouches for it now; that he may be gone a moment later does not matter. */
        err = locks->os->lock_test(locks->os->self, locks->file, LOCK_READY);
        if (err == 1)
            err = lock_byte(locks, LOCK_READY, OS_LOCK_SHARED, false);
        else if (err == 0)
            err = -EAGAIN;
        if (err == 0)
            return LOCKS_JOINED;
        free_byte(locks, LOCK_ALIVE);
        if (err != -EAGAIN)
            return err;
        locks->os->sleep(locks->os->self, JOIN_PAUSE_US);
    }
}

int locks_ready(struct locks *locks)
{
    int err = lock_byte(locks, LOCK_READY, OS_LOCK_SHARED, false);

    return err < 0 ? err : lock_byte(locks, LOCK_ALIVE, OS_LOCK_SHARED, false);
}

int locks_test_ready(struct locks *locks)
{
    return locks->os->lock_test(locks->os->self, locks->file, LOCK_READY);
}

int locks_last_out(struct locks *locks)
{
    return lock_byte(locks, LOCK_ALIVE, OS_LOCK_EXCLUSIVE, false) == 0;
}

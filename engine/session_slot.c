/*
 * session_slot: who is writing, and is it alive; and who builds a snapshot. A session is a byte of
 * the lock file, held for life through an open description of its own: with the handle's
 * description a sibling session of the same handle would look dead, because a description never
 * conflicts with itself. Dead means that the byte is free; no timers, no process ids.
 */
#include "wal_local.h"

#include <assert.h>
#include <errno.h>

struct log_session {
    struct os_file *file;
    uint64_t generation;
    uint32_t slot;
};

int log_session_claim(struct log *log, struct log_session **out, uint32_t *slot)
{
    const struct hpo_os *os = log->os;
    struct error_detail error = {0};
    struct log_session *session;
    uint32_t at;
    int err = wal_check_process(log);

    if (err < 0)
        return err;
    if (log->read_only) {
        error_set(&error, HPO_READONLY, 0, NULL, 0, 0, "the store was opened for reading");
        return wal_fail(log, &error);
    }
    session = os->alloc(os->self, sizeof(*session));
    if (!session) {
        error_set(&error, HPO_NOMEM, 0, NULL, 0, 0, "no memory");
        return wal_fail(log, &error);
    }
    err = os->file_open(os->self, log->store, "lock", OS_WRITE, OS_ROLE_LOCK, &session->file);
    if (err < 0)
        goto free_session;
    for (at = 0, err = -EAGAIN; at < LOCK_SESSION_COUNT && err == -EAGAIN; at++)
        err = os->lock(os->self, session->file, LOCK_SESSION_FIRST + at, OS_LOCK_EXCLUSIVE, false);
    if (err < 0)
        goto close_file;
    session->slot = at - 1;
    session->generation = log->generation;
    *out = session;
    *slot = session->slot;
    return 0;

close_file:
    os->file_close(os->self, session->file);
free_session:
    os->free(os->self, session);
    error_set(&error, err == -EAGAIN ? HPO_BUSY : error_from_errno(err), -err, "lock", 0, 0,
              err == -EAGAIN ? "all session slots are taken" : "cannot take a session slot");
    return wal_fail(log, &error);
}

void log_session_release(struct log *log, struct log_session *session)
{
    if (!session)
        return;
    log->os->file_close(log->os->self,
                        session->file); /* in a forked child the descriptor is gone already */
    log->os->free(log->os->self, session);
}

int log_session_alive(struct log *log, uint32_t slot)
{
    struct error_detail error = {0};
    int err = wal_check_process(log);

    if (err < 0)
        return err;
    if (slot >= LOCK_SESSION_COUNT || !log->locks.file)
        return 0;
    err = log->os->lock_test(log->os->self, log->locks.file, LOCK_SESSION_FIRST + slot);
    if (err >= 0)
        return err;
    error_set(&error, error_from_errno(err), -err, "lock", LOCK_SESSION_FIRST + slot, 0,
              "cannot test a lock");
    return wal_fail(log, &error);
}

/* ---- snapshots ---- */

int log_snapshot_try(struct log *log)
{
    struct error_detail error = {0};
    int err = wal_check_process(log);

    if (err < 0)
        return err;
    err = log->read_only ? -EROFS : locks_snapshot_try(&log->locks);
    if (err == 0)
        return 0;
    if (err == -EAGAIN)
        error_set(&error, HPO_BUSY, 0, "lock", LOCK_SNAPSHOT, 0, "somebody else builds a snapshot");
    else if (log->read_only)
        error_set(&error, HPO_READONLY, 0, NULL, 0, 0, "the store was opened for reading");
    else
        error_set(&error, error_from_errno(err), -err, "lock", LOCK_SNAPSHOT, 0, "cannot lock");
    return wal_fail(log, &error);
}

void log_snapshot_free(struct log *log)
{
    if (wal_check_process(log) == 0)
        locks_snapshot_free(&log->locks);
}

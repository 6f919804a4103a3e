/*
 * session: who writes, and what is done about those who no longer can.
 *
 * A session is a slot, whose lock lives as long as its process, and a SESSION_OPEN record. Dead
 * means that the slot's lock is free: no timers, no process ids. Rolling back is a decision and so
 * a record; whoever asks for a trial and finds a dead session makes it.
 *
 * Two ways lead from a dead session to its rollback:
 *   - somebody finds its slot free (session_reclaim), or
 *   - a new session claims that very slot: then the lock proves nothing any more, so the claim, the
 *     SESSION_OPEN and the rollbacks are one batch under one hold of the tail (T4).
 */
#include "store.h"

#include <string.h>

#define RECLAIM_RECORDS_MAX 16384 /* per batch; far below the limits of a batch */

static struct bytes text(const char *string)
{
    return (struct bytes){(const uint8_t *)string, strlen(string)};
}

static int encode_rollback(struct hpo_store *store, const struct state_trial *trial, uint8_t reason)
{
    struct record record = {.type = RECORD_TRIAL_ROLLBACK};

    record.trial_rollback.trial = trial->id;
    record.trial_rollback.session = trial->session;
    record.trial_rollback.reason = reason;
    return tail_record(store, &record);
}

static int encode_close(struct hpo_store *store, uint64_t session)
{
    struct record record = {.type = RECORD_SESSION_CLOSE};

    record.session_close.session = session;
    return tail_record(store, &record);
}

static int encode_open(struct hpo_store *store, uint32_t slot)
{
    const struct hpo_os *os = store->os;
    struct record record = {.type = RECORD_SESSION_OPEN};
    char host[256] = "";
    int err;

    record.session_open.slot = slot;
    err = os->boot_id(os->self, record.session_open.boot_id);
    if (err < 0)
        return error_set(error_here(), error_from_errno(err), -err, NULL, 0, 0,
                         "the boot id cannot be read");
    if (os->host_name(os->self, host, sizeof(host)) < 0)
        host[0] = '\0'; /* for people only */
    record.session_open.process_id = os->process_id(os->self);
    record.session_open.time = store_now(store);
    record.session_open.host = text(host);
    record.session_open.program = text(store->program);
    return tail_record(store, &record);
}

/* Roll back, into the buffer, the trials of one session, or as many as a batch should hold. The
 * pool hands out ids in the order of the rollbacks, and trials come by id. */
static int encode_rollbacks_of(struct hpo_store *store, uint64_t session, uint8_t reason)
{
    struct state_trial trial;
    uint64_t cursor = 0;
    int err;

    while (store->buffer.count < RECLAIM_RECORDS_MAX &&
           state_running_next(store->state, &cursor, &trial)) {
        if (trial.session != session)
            continue;
        err = encode_rollback(store, &trial, reason);
        if (err < 0)
            return err;
    }
    return 0;
}

static int session_open(struct hpo_store *store, enum tail_purpose purpose)
{
    struct session *session = &store->session;
    const struct state_session *before;
    struct log_ticket ticket;
    bool claimed = false;
    int err;

    if (!session->lock) {
        err = log_session_claim(store->log, &session->lock, &session->slot);
        if (err < 0)
            return err;
        claimed = true;
    }
    session->open = (struct log_position){0, 0};
    err = encode_open(store, session->slot);
    if (err < 0)
        goto release;
    before = state_session_by_slot(store->state, session->slot);
    if (before) {
        err = encode_rollbacks_of(store, before->session, ROLLBACK_DEAD);
        if (err < 0)
            goto release;
    }
    err = tail_append(store, purpose, &ticket);
    if (err < 0)
        goto release;
    session->open = ticket.at;
    /* What did not fit: session_reclaim finds the trials of a session that is not open any more. */
    return store->state ? 0 : store_catch_up(store);

release:
    if (claimed) {
        log_session_release(store->log, session->lock);
        session->lock = NULL;
    }
    return err;
}

int session_ensure(struct hpo_store *store, enum tail_purpose purpose)
{
    struct session *session = &store->session;

    if (session->open.lsn != 0) {
        if (state_session_find(store->state, session->open.lsn))
            return 0;
        /* Somebody ended it, because our slot's lock was gone: a slot of a new session it is. */
        if (session->lock)
            log_session_release(store->log, session->lock);
        session->lock = NULL;
    }
    return session_open(store, purpose);
}

int session_some_dead(struct hpo_store *store)
{
    size_t index, count = state_session_count(store->state);
    struct state_trial trial;
    uint64_t cursor = 0;
    int err;

    for (index = 0; index < count; index++) {
        const struct state_session *session = state_session_at(store->state, index);

        if (session->session == store->session.open.lsn)
            continue;
        err = log_session_alive(store->log, session->slot);
        if (err <= 0)
            return err < 0 ? err : 1;
    }
    while (state_running_next(store->state, &cursor, &trial))
        if (trial.session != 0 && !state_session_find(store->state, trial.session))
            return 1; /* its session has ended without it: session_open had too many to roll back */
    return 0;
}

/* Append what is in the buffer, if anything. */
static int flush_buffer(struct hpo_store *store)
{
    struct log_ticket ticket;
    int err;

    if (store->buffer.count == 0)
        return 0;
    err = tail_append(store, TAIL_FINISH, &ticket);
    if (err == 0 && !store->state)
        err = store_catch_up(store);
    return err;
}

/* Sessions found dead, by LSN. Found once: one that dies a moment later waits for the next look, or
 * it would be closed with trials that nobody rolled back. */
struct dead {
    uint64_t *sessions;
    size_t count;
};

static int find_dead(struct hpo_store *store, struct dead *dead)
{
    size_t index, count = state_session_count(store->state);
    int err;

    dead->count = 0;
    dead->sessions = store->os->alloc(store->os->self, (count + 1) * sizeof(*dead->sessions));
    if (!dead->sessions)
        return HPO_NOMEM;
    for (index = 0; index < count; index++) {
        const struct state_session *session = state_session_at(store->state, index);

        if (session->session == store->session.open.lsn)
            continue;
        err = log_session_alive(store->log, session->slot);
        if (err < 0)
            return err;
        if (err == 0)
            dead->sessions[dead->count++] = session->session;
    }
    return 0;
}

/* Its session is dead, or has ended without rolling it back (a crash between two batches of
 * session_open): nobody else will finish it. */
static bool is_orphan(struct hpo_store *store, const struct dead *dead,
                      const struct state_trial *trial)
{
    size_t index;

    if (trial->session == 0 || trial->session == store->session.open.lsn)
        return false;
    for (index = 0; index < dead->count; index++)
        if (dead->sessions[index] == trial->session)
            return true;
    return !state_session_find(store->state, trial->session);
}

static int reclaim_trials(struct hpo_store *store, const struct dead *dead)
{
    struct state_trial trial;
    uint64_t cursor = 0;
    int err;

    while (state_running_next(store->state, &cursor, &trial)) {
        if (!is_orphan(store, dead, &trial))
            continue;
        err = encode_rollback(store, &trial, ROLLBACK_DEAD);
        if (err == 0 && store->buffer.count >= RECLAIM_RECORDS_MAX)
            err = flush_buffer(store); /* the cursor is an id: it outlives the batch */
        if (err < 0)
            return err;
    }
    return 0;
}

int session_reclaim(struct hpo_store *store)
{
    struct dead dead = {NULL, 0};
    size_t index;
    int err;

    record_buffer_clear(&store->buffer);
    err = find_dead(store, &dead);
    if (err == 0)
        err = reclaim_trials(store, &dead);
    for (index = 0; err == 0 && index < dead.count; index++)
        err = encode_close(store, dead.sessions[index]);
    if (err == 0)
        err = flush_buffer(store);
    store->os->free(store->os->self, dead.sessions);
    return err;
}

int session_close(struct hpo_store *store)
{
    struct session *session = &store->session;
    struct log_ticket ticket;
    int err = 0;

    if (session->open.lsn == 0)
        goto release;
    err = log_lock(store->log);
    if (err < 0)
        goto release;
    err = store_catch_up(store);
    while (err == 0 && state_session_find(store->state, session->open.lsn)) {
        record_buffer_clear(&store->buffer);
        err = encode_rollbacks_of(store, session->open.lsn, ROLLBACK_CLOSED);
        if (err == 0 && store->buffer.count < RECLAIM_RECORDS_MAX)
            err = encode_close(store, session->open.lsn);
        if (err == 0)
            err = tail_append(store, TAIL_FINISH, &ticket);
        if (err == 0 && !store->state)
            err = store_catch_up(store);
    }
    log_unlock(store->log);

release:
    if (session->lock)
        log_session_release(store->log, session->lock);
    session->lock = NULL;
    session->open = (struct log_position){0, 0};
    return err;
}

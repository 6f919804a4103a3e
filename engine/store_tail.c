/*
 * store_tail: transactions. Take the tail, know everything, decide, append, fold what was appended.
 */
#include "store.h"

#include <assert.h>

int tail_begin(struct hpo_store *store, enum tail_purpose purpose)
{
    int err;

    if (store->read_only)
        return call_error(HPO_READONLY, "the store was opened for reading only");
    if (store->damage.code != 0) {
        *error_here() = store->damage;
        return store->damage.code;
    }
    err = log_lock(store->log);
    if (err < 0)
        return err;
    err = store_catch_up(store);
    if (err < 0)
        goto unlock;
    if (store->damage.code != 0) {
        *error_here() = store->damage;
        err = store->damage.code;
        goto unlock;
    }
    record_buffer_clear(&store->buffer);
    err = session_ensure(store, purpose);
    if (err < 0)
        goto unlock;
    record_buffer_clear(&store->buffer);
    return 0;

unlock:
    log_unlock(store->log);
    return err;
}

void tail_end(struct hpo_store *store)
{
    log_unlock(store->log);
}

int tail_record(struct hpo_store *store, const struct record *record)
{
    return record_encode(&store->buffer, record);
}

int tail_append(struct hpo_store *store, enum tail_purpose purpose, struct log_ticket *ticket)
{
    struct record_buffer *buffer = &store->buffer;
    const struct state_session *session;
    struct log_ticket appended;
    struct log_batch batch;
    uint32_t sequence = 1;
    int err;

    assert(buffer->count > 0);
    assert(store->state);
    if (store->session.open.lsn != 0) {
        session = state_session_find(store->state, store->session.open.lsn);
        assert(session); /* session_ensure */
        sequence = session->sequence + 1;
    }
    err = log_append(store->log, store->session.open.lsn, sequence, buffer->data, buffer->size,
                     buffer->count, purpose == TAIL_FINISH, &appended);
    if (err < 0)
        return err;
    batch = (struct log_batch){
        .at = appended.at,
        .session = appended.session,
        .sequence = appended.sequence,
        .record_count = buffer->count,
        .records = buffer->data,
        .records_size = buffer->size,
    };
    err = state_apply_batch(store->state, &batch);
    if (err == 0) {
        store_snapshot_account(store, &batch);
    } else {
        /* It is in the log. Without memory the next call folds anew and finds it; a broken rule is
         * our mistake, and everybody will find it. */
        struct error_detail failure = *state_failure(store->state);

        state_free(store->state);
        store->state = NULL;
        store->fold_serial++;
        if (err != HPO_NOMEM) {
            *error_here() = failure;
            return err;
        }
    }
    record_buffer_clear(buffer);
    *ticket = appended;
    return 0;
}

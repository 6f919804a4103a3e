/*
 * state: batches, sessions, and which record goes where. See state.h; the map of files is in
 * state_internal.h.
 *
 * A batch is checked while it is applied, not before: a log that breaks a rule is not applied in
 * part and then used, because the state refuses everything after an error. That keeps the checks
 * beside what they protect.
 */
#include "state_internal.h"

#include <assert.h>
#include <string.h>

#include "batch.h"
#include "hpo.h"

int state_new(const struct hpo_os *os, const uint8_t uuid[16], struct state **out)
{
    struct state *state = state_alloc(os, sizeof(*state));

    if (!state)
        return HPO_NOMEM;
    state->os = os;
    memcpy(state->uuid, uuid, sizeof(state->uuid));
    state->at.chain = batch_chain_start(uuid);
    state->next_study = state->next_trial = 1;
    state->studies_by_name.os = state->trials_by_id.os = os;
    state->scratch.os = state->buffer.os = os;
    *out = state;
    return 0;
}

void state_free(struct state *state)
{
    const struct hpo_os *os;

    if (!state)
        return;
    os = state->os;
    if (state->importing)
        live_free(state->importing);
    for (size_t i = 0; i < state->study_count; i++)
        study_free(state->studies[i]);
    state_release(os, state->studies);
    map_release(&state->studies_by_name);
    map_release(&state->trials_by_id);
    state_release(os, state->running.items);
    for (size_t i = 0; i < state->session_count; i++)
        state_release(os, state->sessions[i]);
    state_release(os, state->sessions);
    state_release(os, state->ended);
    state_release(os, state->pieces.key);
    state_release(os, state->pieces.value);
    record_scratch_release(&state->scratch);
    record_buffer_release(&state->buffer);
    if (state->backing_free)
        state->backing_free(state->backing);
    state_release(os, state);
}

struct log_position state_position(const struct state *state)
{
    return state->at;
}

void state_uuid(const struct state *state, uint8_t out[16])
{
    memcpy(out, state->uuid, sizeof(state->uuid));
}

const struct error_detail *state_failure(const struct state *state)
{
    return &state->failure;
}

uint64_t state_next_study(const struct state *state)
{
    return state->next_study;
}

uint64_t state_next_trial(const struct state *state)
{
    return state->next_trial;
}

int state_refuse(struct state *state, const char *rule)
{
    return error_set(&state->failure, HPO_CORRUPT, 0, NULL, 0, state->at.lsn + 1, "%s", rule);
}

/* -- sessions -- */

static size_t session_place(const struct state *state, uint64_t session)
{
    size_t low = 0, high = state->session_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (state->sessions[middle]->public.session < session)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct session_open *session_get(const struct state *state, uint64_t session)
{
    size_t at = session_place(state, session);

    if (at == state->session_count || state->sessions[at]->public.session != session)
        return NULL;
    return state->sessions[at];
}

int session_add(struct state *state, const struct state_session *session)
{
    struct session_open *open;
    size_t size = session->host.size + session->program.size, at;
    int err;

    err = list_reserve(state->os, &state->sessions, &state->session_capacity,
                       state->session_count + 1);
    if (err < 0)
        return err;
    open = state_alloc(state->os, sizeof(*open) + size);
    if (!open)
        return HPO_NOMEM;
    open->public = *session;
    open->public.host.data = open->text;
    open->public.program.data = open->text + session->host.size;
    if (session->host.size)
        memcpy(open->text, session->host.data, session->host.size);
    if (session->program.size)
        memcpy(open->text + session->host.size, session->program.data, session->program.size);
    at = session_place(state, session->session);
    list_open(state->sessions, state->session_count, at, sizeof(*state->sessions));
    state->sessions[at] = open;
    state->session_count++;
    return 0;
}

static int session_end(struct state *state, struct session_open *open)
{
    size_t at = session_place(state, open->public.session);
    int err =
        list_reserve(state->os, &state->ended, &state->ended_capacity, state->ended_count + 1);

    if (err < 0)
        return err;
    state->ended[state->ended_count++] = (struct session_ended){.session = open->public.session,
                                                                .end_lsn = state->batch->at.lsn,
                                                                .slot = open->public.slot,
                                                                .sequence = open->public.sequence};
    list_close(state->sessions, state->session_count, at, sizeof(*state->sessions));
    state->session_count--;
    state_release(state->os, open);
    return 0;
}

static int apply_session_open(struct state *state, const struct record_session_open *record)
{
    const struct state_session *earlier = state_session_by_slot(state, record->slot);
    struct state_session session = {
        .session = state->batch->at.lsn,
        .slot = record->slot,
        .sequence = 1,
        .process_id = record->process_id,
        .time = record->time,
        .host = record->host,
        .program = record->program,
    };
    int err;

    memcpy(session.boot_id, record->boot_id, sizeof(session.boot_id));
    if (state->index != 0 || state->batch->session != state->batch->at.lsn)
        return state_refuse(state, "a session is opened by the first record of its first batch");
    if (earlier) { /* the slot was free, so that one is dead */
        err = session_end(state, session_get(state, earlier->session));
        if (err < 0)
            return err;
    }
    return session_add(state, &session);
}

static int apply_session_close(struct state *state, const struct record_session_close *record)
{
    struct session_open *open = session_get(state, record->session);

    if (!open)
        return state_refuse(state, "closes a session that is not open");
    for (size_t i = 0; i < state->running.count; i++) {
        struct live_trial *live = state->running.items[i];

        if (live->t.session != record->session)
            continue;
        if (!record->keep)
            return state_refuse(state, "closes a session whose trials were not rolled back");
        live->t.session = 0; /* detached from now on */
    }
    return session_end(state, open);
}

size_t state_session_count(const struct state *state)
{
    return state->session_count;
}

const struct state_session *state_session_at(const struct state *state, size_t index)
{
    return index < state->session_count ? &state->sessions[index]->public : NULL;
}

const struct state_session *state_session_find(const struct state *state, uint64_t session)
{
    const struct session_open *open = session_get(state, session);

    return open ? &open->public : NULL;
}

const struct state_session *state_session_by_slot(const struct state *state, uint32_t slot)
{
    for (size_t i = 0; i < state->session_count; i++)
        if (state->sessions[i]->public.slot == slot)
            return &state->sessions[i]->public;
    return NULL;
}

int state_session_ended(const struct state *state, uint64_t session, uint64_t *end_lsn,
                        uint32_t *sequence)
{
    for (size_t i = state->ended_count; i-- > 0;) {
        if (state->ended[i].session == session) {
            *end_lsn = state->ended[i].end_lsn;
            *sequence = state->ended[i].sequence;
            return 0;
        }
    }
    return HPO_NOT_FOUND;
}

/* -- batches -- */

static int dispatch(struct state *state, const struct record *record)
{
    switch ((enum record_type)record->type) {
    case RECORD_SESSION_OPEN:
        return apply_session_open(state, &record->session_open);
    case RECORD_SESSION_CLOSE:
        return apply_session_close(state, &record->session_close);
    case RECORD_HEARTBEAT: /* older readers skip these two, so the state may not depend on them */
    case RECORD_SNAPSHOT_DONE:
        return 0;
    case RECORD_STUDY_CREATE:
        return study_create(state, &record->study_create);
    case RECORD_STUDY_DELETE:
        return study_delete(state, &record->study_delete);
    case RECORD_STUDY_CONFIG:
        return study_config(state, &record->study_config);
    case RECORD_STUDY_ATTR:
        return apply_study_attr(state, &record->study_attr);
    case RECORD_PARAM_DEFINE:
        return param_define(state, &record->param_define);
    case RECORD_SAMPLER_STATE:
        return apply_sampler_state(state, &record->sampler_state);
    case RECORD_TRIAL_ENQUEUE:
        return apply_enqueue(state, &record->trial_enqueue);
    case RECORD_TRIAL_BEGIN:
        return apply_begin(state, &record->trial_begin);
    case RECORD_TRIAL_IMPORT:
        return apply_import(state, &record->trial_import);
    case RECORD_DRAW:
        return apply_draw(state, &record->draw);
    case RECORD_SUGGEST:
        return apply_suggest(state, &record->suggest);
    case RECORD_PARAM_SET:
        return apply_param_set(state, &record->param_set);
    case RECORD_REPORT:
        return apply_report(state, &record->report);
    case RECORD_PRUNE_DECISION:
        return apply_prune_decision(state, &record->prune_decision);
    case RECORD_TRIAL_ATTR:
        return apply_trial_attr(state, &record->trial_attr);
    case RECORD_TRIAL_FINISH:
        return apply_finish(state, &record->trial_finish);
    case RECORD_TRIAL_ROLLBACK:
        return apply_rollback(state, &record->trial_rollback);
    }
    return state_refuse(state, "a record of a type that is not known");
}

static const struct record_attr *attr_of(const struct record *record)
{
    if (record->type == RECORD_STUDY_ATTR)
        return &record->study_attr.attr;
    return record->type == RECORD_TRIAL_ATTR ? &record->trial_attr.attr : NULL;
}

/* What was left open by the record before and ends here. */
static int settle_before(struct state *state, const struct record *record)
{
    struct live_trial *importing = state->importing;
    const struct record_attr *attr = record ? attr_of(record) : NULL;

    if (state->pieces.active && (!attr || attr->piece != state->pieces.next))
        return state_refuse(state, "a long attribute lacks a piece");
    if (!importing)
        return 0;
    if (record && record->type == RECORD_TRIAL_ATTR && record->trial_attr.trial == importing->t.id)
        return 0;
    state->importing = NULL;
    return trial_end(importing);
}

static int apply_record(struct state *state, const struct record *record)
{
    int err = settle_before(state, record);

    if (err < 0 || record->skipped)
        return err;
    return dispatch(state, record);
}

static int apply_records(struct state *state, const struct log_batch *batch)
{
    const uint8_t *at = batch->records;
    size_t left = batch->records_size;
    int err;

    for (state->index = 0; state->index < batch->record_count; state->index++) {
        struct record record;
        size_t used;

        record_scratch_reset(&state->scratch);
        err = record_decode(at, left, &state->scratch, &record, &used);
        if (err < 0)
            return err == HPO_CORRUPT ? state_refuse(state, "cannot be decoded") : err;
        if (state->index == 0 && batch->session == batch->at.lsn &&
            record.type != RECORD_SESSION_OPEN)
            return state_refuse(state, "a session's first batch must open it");
        err = apply_record(state, &record);
        if (err < 0) {
            struct error_detail *failure = &state->failure;
            char rule[sizeof(failure->message)];

            if (err != HPO_CORRUPT)
                return err;
            memcpy(rule, failure->message, sizeof(rule));
            return error_set(failure, HPO_CORRUPT, 0, NULL, 0, batch->at.lsn, "%s: %.180s",
                             record_type_name(record.type), rule);
        }
        at += used;
        left -= used;
    }
    if (left)
        return state_refuse(state, "bytes after the last record");
    return settle_before(state, NULL);
}

/* Sequence numbers of a session have no gap and no repeat, and a session that has ended writes
 * nothing more. */
static int apply_sequence(struct state *state, const struct log_batch *batch)
{
    struct session_open *open;

    if (batch->session == batch->at.lsn)
        return batch->sequence == 1 && batch->record_count
                   ? 0
                   : state_refuse(state, "a session's first batch has sequence 1 and opens it");
    open = session_get(state, batch->session);
    if (!open)
        return state_refuse(state, "written by a session that is not open");
    if (batch->sequence != open->public.sequence + 1)
        return state_refuse(state, "a gap or a repeat in the sequence of its session");
    open->public.sequence = batch->sequence;
    return 0;
}

static int apply_batch(struct state *state, const struct log_batch *batch)
{
    int err;

    state->index = 0;
    if (batch->at.lsn != state->at.lsn + 1 || batch->at.lsn > STATE_LSN_MAX)
        return state_refuse(state, "not the batch that follows");
    err = apply_sequence(state, batch);
    if (err < 0)
        return err;
    return apply_records(state, batch);
}

int state_apply_batch(struct state *state, const struct log_batch *batch)
{
    char rule[sizeof(state->failure.message)];
    int err;

    if (state->failed)
        return state->failed;
    state->batch = batch;
    err = apply_batch(state, batch);
    state->batch = NULL;
    if (err == 0) {
        state->at = batch->at;
        return 0;
    }
    state->failed = err;
    memcpy(rule, state->failure.message, sizeof(rule));
    if (err == HPO_NOMEM)
        memcpy(rule, "no memory", sizeof("no memory"));
    else if (err == HPO_UNSUPPORTED)
        memcpy(rule, "a record of a newer version", sizeof("a record of a newer version"));
    return error_set(&state->failure, err, 0, NULL, 0, batch->at.lsn, "record %llu.%u %.200s",
                     (unsigned long long)batch->at.lsn, state->index, rule);
}

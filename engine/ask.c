/*
 * ask: giving out trials and their parameters.
 *
 * A trial's number and view are decided with the log's tail in hand; what the sampler makes of them
 * is a pure function, so it need not be computed there. Two ways:
 *   - a quick sampler (no model: Random, Grid ...) runs with the tail in hand, a few microseconds,
 *     and begin, DRAW and SUGGEST are one batch;
 *   - one with a model may take milliseconds. Its trial is begun first, in a batch of its own,
 * which fixes number and view; then the sampler runs without tail and without the handle's mutex,
 * and DRAW and SUGGEST follow. Nobody waits for anybody's sampler, and nothing is computed twice
 *     (to sample first and append if the tail has not moved would, with n workers, nearly always be
 *     in vain: every other ask takes the number). No flush either way.
 * A process that dies between the two leaves a begun trial without parameters, which is rolled back
 * as any other and gets its view and so its parameters again.
 */
#include "ask.h"

#include <string.h>

/* -- handles -- */

/* A handle is made before the trial begins: afterwards nothing may fail for want of memory. */
static int trial_handle_new(struct hpo_store *store, struct hpo_trial **out)
{
    struct hpo_trial *handle = store->os->alloc(store->os->self, sizeof(*handle));

    if (!handle)
        return HPO_NOMEM;
    memset(handle, 0, sizeof(*handle));
    handle->store = store;
    *out = handle;
    return 0;
}

static void trial_handle_fill(struct hpo_trial *handle, const struct state_study *study,
                              const struct state_trial *trial, uint64_t session)
{
    handle->study = state_study_id(study);
    handle->number = trial->number;
    handle->id = trial->id;
    handle->session = session;
    handle->seed = ask_objective_seed(state_study_config(study)->seed, trial->number);
}

static void trial_handle_link(struct hpo_trial *handle)
{
    struct hpo_store *store = handle->store;

    handle->next = store->trials;
    handle->link = &store->trials;
    if (store->trials)
        store->trials->link = &handle->next;
    store->trials = handle;
}

void trial_unlink(struct hpo_trial *trial)
{
    *trial->link = trial->next;
    if (trial->next)
        trial->next->link = trial->link;
}

/* -- one ask -- */

struct asking {
    struct hpo_study *study;
    struct asker *asker;
    uint64_t total;
    bool detached;
    struct plan plan;
    struct hpo_trial *handle; /* linked when all is done */
    struct log_ticket begun;  /* the batch with TRIAL_BEGIN */
    struct log_ticket last;   /* the last batch */
};

/* May a trial begin at all? 0, HPO_NO_MORE, HPO_WAIT. */
static int may_begin(const struct asking *asking, const struct state_study *study,
                     const struct state_begin *next)
{
    uint32_t window = state_study_config(study)->window;
    struct state_counts counts;
    uint64_t finished;

    if (state_study_stopped(study))
        return HPO_NO_MORE;
    state_study_counts(study, &counts);
    finished = counts.complete + counts.pruned + counts.failed;
    if (asking->total > 0 && finished >= asking->total)
        return HPO_NO_MORE;
    if (asking->total > 0 && finished + counts.running >= asking->total)
        return HPO_WAIT;
    if (window > 0 && next->number >= window &&
        next->number - window >= state_finished_prefix(study))
        return HPO_WAIT;
    return 0;
}

/* The trial as it is going to be, before it has begun: what its queue entry holds, if it is one. */
static int trial_to_come(struct hpo_store *store, const struct state_study *study,
                         const struct state_begin *next, struct state_trial *out)
{
    int err;

    memset(out, 0, sizeof(*out));
    if (next->popped) {
        err = state_trial_by_number(study, next->number, out);
        if (err < 0)
            return err;
    }
    out->study = state_study_id(study);
    out->number = next->number;
    out->id = next->trial;
    out->view = next->retry ? next->view : state_position(store->state).lsn;
    out->mode =
        next->retry ? next->mode : (state_study_config(study)->window ? VIEW_WINDOW : VIEW_LOG);
    return 0;
}

static int encode_begin(struct hpo_store *store, const struct state_trial *trial,
                        const struct state_begin *next, bool detached)
{
    struct record record = {.type = RECORD_TRIAL_BEGIN};

    record.trial_begin = (struct record_trial_begin){
        .study = trial->study,
        .trial = trial->id,
        .number = trial->number,
        .view = trial->view,
        .mode = trial->mode,
        .detached = detached,
        .popped = next->popped,
        .time = store_now(store),
    };
    return tail_record(store, &record);
}

/* The template's values for declared parameters become parameters of the trial at once. In the
 * declared order; what the template says about other names waits until it is asked for. */
static int encode_fixed(struct asking *asking, const struct state_study *study,
                        const struct state_trial *trial)
{
    struct record record = {.type = RECORD_PARAM_SET};
    struct plan *plan = &asking->plan;
    uint32_t i, count;
    const uint32_t *declared = state_declared(study, &count);
    int err;

    for (i = 0; i < count; i++) {
        const struct sampler_param *param = &asking->asker->params[declared[i]];
        struct state_value value;

        if (state_trial_value(study, trial, param->family, VALUE_FIXED, &value) < 0 ||
            !distribution_contains(&param->distribution, value.value))
            continue;
        record.param_set.trial = trial->id;
        record.param_set.value = (struct record_value){param->number, true, value.value};
        err = tail_record(asking->study->store, &record);
        if (err < 0)
            return err;
        plan->own_values[plan->own.value_count++] =
            (struct sampler_value){param->number, value.value};
    }
    return 0;
}

/* Begin, and sample in the same batch, with the tail in hand. */
static int begin_whole(struct asking *asking, const struct state_study *study,
                       const struct state_trial *trial, const struct state_begin *next)
{
    struct hpo_store *store = asking->study->store;
    int err;

    err = plan_prepare(&asking->plan, asking->asker, study, trial);
    if (err == 0)
        err = encode_begin(store, trial, next, asking->detached);
    if (err == 0)
        err = encode_fixed(asking, study, trial);
    if (err == 0)
        err = plan_run_declared(&asking->plan);
    if (err == 0)
        err = plan_encode(&asking->plan, store, trial->study, trial->id);
    if (err == 0)
        err = tail_append(store, TAIL_BEGIN, &asking->begun);
    asking->last = asking->begun;
    return err;
}

/* Begin only; the view stands from now on. */
static int begin_first(struct asking *asking, const struct state_study *study,
                       const struct state_trial *trial, const struct state_begin *next)
{
    struct hpo_store *store = asking->study->store;
    int err;

    if (state_study_config(study)->declared) {
        err = plan_prepare(&asking->plan, asking->asker, study, trial);
        if (err < 0)
            return err;
    }
    err = encode_begin(store, trial, next, asking->detached);
    if (err == 0 && state_study_config(study)->declared)
        err = encode_fixed(asking, study, trial);
    if (err == 0)
        err = tail_append(store, TAIL_BEGIN, &asking->begun);
    asking->last = asking->begun;
    return err;
}

/* Everything that is decided with the tail in hand. */
static int begin_trial(struct asking *asking, bool dead)
{
    struct hpo_store *store = asking->study->store;
    const struct state_study *study;
    struct state_begin next;
    struct state_trial trial;
    int err;

    err = tail_begin(store, TAIL_BEGIN);
    if (err < 0)
        return err;
    if (dead)
        err = session_reclaim(store);
    if (err < 0)
        goto end;
    study = study_of(asking->study, &err);
    if (!study)
        goto end;
    err = asker_update(asking->asker, study);
    if (err < 0)
        goto end;
    state_next_begin(store->state, study, &next);
    err = may_begin(asking, study, &next);
    if (err != 0)
        goto end;
    err = trial_to_come(store, study, &next, &trial);
    if (err < 0)
        goto end;
    trial_handle_fill(asking->handle, study, &trial,
                      asking->detached ? 0 : store->session.open.lsn);
    if (state_study_config(study)->declared && asker_is_quick(asking->asker))
        err = begin_whole(asking, study, &trial, &next);
    else
        err = begin_first(asking, study, &trial, &next);
    if (err == 0) {
        asking->handle->begin = asking->begun.at;
        asking->handle->begin_lsn = asking->begun.at.lsn;
        trial_handle_link(asking->handle);
    }

end:
    tail_end(store);
    return err;
}

/* The sampler had nothing to offer, or failed: the trial that was begun for it never happened. */
static int take_back(struct asking *asking, int outcome)
{
    struct hpo_store *store = asking->study->store;
    struct record record = {.type = RECORD_TRIAL_ROLLBACK};
    const struct state_study *study;
    struct log_ticket ticket;
    struct state_trial trial;
    int err;

    err = tail_begin(store, TAIL_FINISH);
    if (err < 0)
        return outcome < 0 ? outcome : err;
    if (trial_of(asking->handle, &study, &trial) == 0) {
        record.trial_rollback.trial = trial.id;
        record.trial_rollback.session = trial.session;
        record.trial_rollback.reason = ROLLBACK_ABANDONED;
        err = tail_record(store, &record);
        if (err == 0)
            err = tail_append(store, TAIL_FINISH, &ticket);
    }
    tail_end(store);
    return err < 0 && outcome > 0 ? err : outcome;
}

/* The second batch of a trial whose sampler takes its time. */
static int sample_declared(struct asking *asking)
{
    struct hpo_store *store = asking->study->store;
    const struct state_study *study;
    struct state_trial trial;
    int err;

    store->os->mutex_unlock(store->os->self, store->mutex);
    err = plan_run_declared(&asking->plan);
    store->os->mutex_lock(store->os->self, store->mutex);
    if (err != 0)
        return take_back(asking, err);
    err = tail_begin(store, TAIL_BEGIN);
    if (err < 0)
        return take_back(asking, err);
    err = trial_of(asking->handle, &study, &trial);
    if (err == 0)
        err = plan_encode(&asking->plan, store, trial.study, trial.id);
    if (err == 0 && store->buffer.count > 0)
        err = tail_append(store, TAIL_BEGIN, &asking->last);
    tail_end(store);
    return err < 0 ? take_back(asking, err) : 0;
}

static int ask_locked(struct asking *asking)
{
    struct hpo_store *store = asking->study->store;
    const struct state_study *study;
    struct state_begin next;
    bool quick, declared;
    int err, dead;

    err = store_catch_up(store);
    if (err < 0)
        return err;
    study = study_of(asking->study, &err);
    if (!study)
        return err;
    err = asker_update(asking->asker, study);
    if (err < 0)
        return err;
    dead = session_some_dead(store);
    if (dead < 0)
        return dead;
    /* Whoever polls for the end of a search, or comes when it is over, writes nothing. Only what
     * dead sessions hold could change the answer. */
    state_next_begin(store->state, study, &next);
    err = may_begin(asking, study, &next);
    if (err == HPO_NO_MORE || (err == HPO_WAIT && dead == 0))
        return err;
    err = begin_trial(asking, dead > 0);
    if (err != 0)
        return err;
    quick = asker_is_quick(asking->asker);
    declared = asking->asker->study.declared != NULL;
    if (declared && !quick)
        err = sample_declared(asking);
    if (err == 0 && asking->detached)
        err = call_wait(store, &asking->last);
    return err;
}

int hpo_ask(struct hpo_study *study, const struct hpo_ask_options *options, struct hpo_trial **out)
{
    struct asking asking = {.study = study};
    int err;

    if (!study)
        return HPO_INVALID;
    if (!out || (options && !HAS_MEMBER(options, detached)))
        return call_refuse(study->store, HPO_INVALID,
                           "no place for the result, or options without size");
    asking.total = options ? options->total : 0;
    asking.detached = options && options->detached;
    err = call_begin(study->store);
    if (err < 0)
        return err;
    if (study->store->read_only) {
        err = call_error(HPO_READONLY, "the store was opened for reading only");
        goto out;
    }
    err = trial_handle_new(study->store, &asking.handle);
    if (err < 0)
        goto out;
    err = asker_take(study->store, study->id, &asking.asker);
    if (err < 0)
        goto free_handle;
    err = ask_locked(&asking);
    plan_release(&asking.plan);
    asker_release(asking.asker);
    if (err == 0)
        *out = asking.handle;

free_handle:
    if (err != 0) {
        if (asking.handle->link)
            trial_unlink(asking.handle);
        study->store->os->free(study->store->os->self, asking.handle);
    }
out:
    return call_end(study->store, err);
}

/* -- detached trials -- */

static int attach_locked(struct hpo_study *study, uint64_t number, struct hpo_trial **out)
{
    struct hpo_store *store = study->store;
    const struct state_study *found;
    struct hpo_trial *handle;
    struct state_trial trial;
    int err;

    err = store_catch_up(store);
    if (err < 0)
        return err;
    found = study_of(study, &err);
    if (!found)
        return err;
    err = state_trial_by_number(found, number, &trial);
    if (err < 0 || trial.state == TRIAL_WAITING)
        return call_error(HPO_NOT_FOUND, "trial %llu does not run", (unsigned long long)number);
    if (trial.state != TRIAL_RUNNING)
        return call_error(HPO_FINISHED, "trial %llu is finished", (unsigned long long)number);
    if (trial.session != 0)
        return call_error(HPO_BUSY, "trial %llu belongs to a session", (unsigned long long)number);
    err = trial_handle_new(store, &handle);
    if (err < 0)
        return err;
    trial_handle_fill(handle, found, &trial, 0);
    handle->begin_lsn = trial.begin_lsn; /* durable, so never to be compared by chain */
    trial_handle_link(handle);
    *out = handle;
    return 0;
}

int hpo_trial_attach(struct hpo_study *study, uint64_t number, struct hpo_trial **out)
{
    int err;

    if (!study)
        return HPO_INVALID;
    if (!out)
        return call_refuse(study->store, HPO_INVALID, "no place for the result");
    err = call_begin(study->store);
    if (err < 0)
        return err;
    err = attach_locked(study, number, out);
    return call_end(study->store, err);
}

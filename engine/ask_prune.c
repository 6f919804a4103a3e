/*
 * ask_prune: should a trial stop? In the log view a decision sees what others have reported by now,
 * so it is an event of its own: the record carries the LSN up to which the pruner had read.
 */
#include "ask.h"

static int encode_decision(struct plan *plan, struct hpo_store *store, uint64_t trial, int64_t step,
                           uint64_t view, bool prune)
{
    struct record record = {.type = RECORD_PRUNE_DECISION};

    record.prune_decision.trial = trial;
    record.prune_decision.step = step;
    record.prune_decision.view = view;
    record.prune_decision.prune = prune;
    record.prune_decision.note = (struct bytes){plan->note.data, plan->note.size};
    return tail_record(store, &record);
}

/* The largest step reported; false: no report. */
static bool last_step(const struct state_trial *trial, int64_t *step)
{
    uint32_t i;

    for (i = 0; i < trial->report_count; i++)
        if (i == 0 || trial->reports[i].step > *step)
            *step = trial->reports[i].step;
    return trial->report_count > 0;
}

/* What was decided at this step before stands: a decision is an event. */
static bool decided(const struct state_trial *trial, int64_t step, bool *prune)
{
    uint32_t i;

    for (i = 0; i < trial->decision_count; i++)
        if (trial->decisions[i].step == step) {
            *prune = trial->decisions[i].prune != 0;
            return true;
        }
    return false;
}

static int append_decision(struct hpo_trial *handle, struct plan *plan, int64_t step, uint64_t view,
                           bool *prune)
{
    struct hpo_store *store = handle->store;
    const struct state_study *study;
    struct state_trial trial;
    struct log_ticket ticket;
    int err;

    err = tail_begin(store, TAIL_FINISH);
    if (err < 0)
        return err;
    err = trial_of(handle, &study, &trial);
    if (err == 0 && !decided(&trial, step, prune)) {
        err = encode_decision(plan, store, trial.id, step, view, *prune);
        if (err == 0)
            err = tail_append(store, TAIL_FINISH, &ticket);
    }
    tail_end(store);
    return err;
}

static int should_prune_locked(struct hpo_trial *handle, struct asker *asker, struct plan *plan,
                               bool *prune)
{
    struct hpo_store *store = handle->store;
    const struct state_study *study;
    struct state_trial trial;
    int64_t step = 0;
    uint64_t view;
    int err;

    err = store_catch_up(store);
    if (err < 0)
        return err;
    err = trial_of(handle, &study, &trial);
    if (err < 0)
        return err;
    err = asker_update(asker, study);
    if (err < 0)
        return err;
    *prune = false;
    if (!asker->pruner || !last_step(&trial, &step) || decided(&trial, step, prune))
        return 0;
    view = state_position(store->state).lsn;
    err = plan_prepare_pruning(plan, asker, study, &trial, view);
    if (err < 0)
        return err;
    store->os->mutex_unlock(store->os->self, store->mutex);
    err = plan_run_pruner(plan, prune);
    store->os->mutex_lock(store->os->self, store->mutex);
    return err < 0 ? err : append_decision(handle, plan, step, view, prune);
}

int hpo_should_prune(struct hpo_trial *trial, bool *prune)
{
    struct plan plan = {.asker = NULL};
    struct asker *asker;
    bool decision;
    int err;

    if (!trial)
        return HPO_INVALID;
    if (!prune)
        return call_refuse(trial->store, HPO_INVALID, "no place for the result");
    err = call_begin(trial->store);
    if (err < 0)
        return err;
    err = asker_take(trial->store, trial->study, &asker);
    if (err < 0)
        goto out;
    err = should_prune_locked(trial, asker, &plan, &decision);
    plan_release(&plan);
    asker_release(asker);
    if (err == 0)
        *prune = decision;

out:
    return call_end(trial->store, err);
}

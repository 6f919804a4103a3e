/*
 * worker: see worker.h.
 */
#include "worker.h"

#include "check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STUDY "study"
#define WAIT_US 50000
#define WAITS_MAX 2000

static const struct hpo_param space[] = {
    {TALE_LR, {.kind = HPO_FLOAT, .flags = HPO_LOG, .low = 1e-4, .high = 1}},
    {TALE_UNITS, {.kind = HPO_INT, .low_int = 1, .high_int = 128}},
};

static uint64_t now(const struct worker *worker)
{
    return sim_effects(worker->world->sim);
}

/* Nothing that happens in these scenarios explains an error. */
static void must(struct worker *worker, int err, const char *what)
{
    struct hpo_error_detail detail = {0};

    if (err >= 0)
        return;
    if (worker->store)
        hpo_error_detail(worker->store, &detail);
    else
        hpo_open_error(&detail);
    sim_fail(worker->process, "%s: %s failed with %d: %s (%s, LSN %" PRIu64 ")",
             err == HPO_CORRUPT ? "false alarm" : "error", what, err, detail.message, detail.path,
             detail.lsn);
}

void worker_begin(struct worker *worker, struct world *world, struct sim_process *process)
{
    *worker = (struct worker){.world = world, .process = process};
}

static void open_study(struct worker *worker, bool declared)
{
    struct hpo_study_options options = {.size = sizeof(options),
                                        .has_seed = true,
                                        .seed = {1, 2},
                                        .params = declared ? space : NULL,
                                        .param_count = declared ? 2 : 0};
    struct tale *tale = &worker->world->tale;
    int err = hpo_study_open(worker->store, STUDY, &worker->study);

    if (err == HPO_NOT_FOUND) {
        if (tale->study_at <= now(worker))
            sim_fail(worker->process, "lost: the study is gone");
        if (worker->world->power_was_lost)
            tale_forget_points(tale);
        err = hpo_study_create(worker->store, STUDY, &options, &worker->study);
        must(worker, err, "study_create");
    }
    must(worker, err, "study_open");
    /* One that was there already was read, and is durable only if its maker was told so; unless
     * this is a recovery. */
    if (tale->study_at == LEDGER_NEVER && worker->world->power_was_lost)
        tale->study_at = now(worker);
}

void worker_open(struct worker *worker, bool declared)
{
    struct hpo_options options = {.size = sizeof(options),
                                  .program = "sim",
                                  .os = sim_os(worker->process),
                                  .segment_size_first = worker->world->segment_first,
                                  .segment_size_max = worker->world->segment_max};

    must(worker, hpo_open(ACTOR_STORE, &options, &worker->store), "open");
    open_study(worker, declared);
    worker_check(worker, false);
}

void worker_close(struct worker *worker)
{
    int err = hpo_close(worker->store);

    worker->store = NULL;
    must(worker, err, "close");
}

void worker_check(struct worker *worker, bool settle)
{
    char problem[256];
    const char *wrong =
        tale_compare(&worker->world->tale, worker->study, now(worker), settle, problem);

    if (wrong)
        sim_fail(worker->process, "%s", wrong);
}

/* The next trial, or NULL when all are finished. */
static struct hpo_trial *ask(struct worker *worker, uint64_t total)
{
    struct hpo_ask_options options = {.size = sizeof(options), .total = total};
    const struct hpo_os *os = sim_os(worker->process);
    struct hpo_trial *trial;

    for (unsigned i = 0; i < WAITS_MAX; i++) {
        int err = hpo_ask(worker->study, &options, &trial);

        must(worker, err, "ask");
        if (err == 0)
            return trial;
        if (err == HPO_NO_MORE)
            return NULL;
        os->sleep(os->self, WAIT_US);
    }
    sim_fail(worker->process, "hang: trials of others never end");
}

/* A number given out again has the point of its first time, and no trace of it. */
static void look_at_trial(struct worker *worker, struct hpo_trial *trial)
{
    uint64_t number = hpo_trial_number(trial);
    double lr;
    int64_t units;
    void *value;
    size_t size;

    must(worker, hpo_suggest_float(trial, TALE_LR, 1e-4, 1, HPO_LOG, &lr), "suggest_float");
    must(worker, hpo_suggest_int(trial, TALE_UNITS, 1, 128, HPO_LINEAR, &units), "suggest_int");
    if (!tale_point(&worker->world->tale, number, lr, (double)units, now(worker)))
        sim_fail(worker->process, "half: trial %" PRIu64 " has another point than before", number);
    if (hpo_trial_attr_get(trial, HPO_ATTR_USER, TALE_NOTE, &value, &size) != HPO_NOT_FOUND)
        sim_fail(worker->process, "half: trial %" PRIu64 " begins with a trace of another attempt",
                 number);
}

bool worker_trial(struct worker *worker, uint64_t total)
{
    struct hpo_trial *trial = ask(worker, total);
    struct tale *tale = &worker->world->tale;
    uint64_t number;
    unsigned tell;
    double value;

    if (!trial)
        return false;
    number = hpo_trial_number(trial);
    look_at_trial(worker, trial);
    must(worker, hpo_report(trial, 1, 0.5), "report");
    must(worker, hpo_trial_attr_set(trial, HPO_ATTR_USER, TALE_NOTE, "told", 4), "attr_set");
    tell = tale_tell_begin(tale, number, now(worker));
    value = tale->tells[tell].value;
    must(worker, hpo_tell(trial, HPO_COMPLETE, &value, 1), "tell");
    tale->tells[tell].told_at = now(worker);
    hpo_trial_free(trial);
    return true;
}

void worker_abandon(struct worker *worker)
{
    struct hpo_trial *trial = ask(worker, 0);

    look_at_trial(worker, trial);
    must(worker, hpo_trial_attr_set(trial, HPO_ATTR_USER, TALE_NOTE, "gone", 4), "attr_set");
    must(worker, hpo_abandon(trial), "abandon");
    hpo_trial_free(trial);
}

void worker_attr(struct worker *worker)
{
    struct tale *tale = &worker->world->tale;
    unsigned attr = tale_attr_begin(tale, now(worker));
    char key[32];

    snprintf(key, sizeof(key), "k%" PRIu64, tale->attrs[attr].key);
    must(worker, hpo_study_attr_set(worker->study, HPO_ATTR_USER, key, key, strlen(key)),
         "study_attr_set");
    tale->attrs[attr].set_at = now(worker);
}

void worker_enqueue(struct worker *worker, double units)
{
    struct tale *tale = &worker->world->tale;
    struct hpo_fixed fixed = {.name = TALE_UNITS, .value = units};
    unsigned queued = tale_queue_begin(tale, units, now(worker));
    uint64_t number;

    must(worker, hpo_enqueue(worker->study, &fixed, 1, &number), "enqueue");
    tale->queued[queued].number = number;
    tale->queued[queued].told_at = now(worker);
}

void worker_snapshot(struct worker *worker)
{
    must(worker, hpo_snapshot(worker->store), "snapshot");
}

/* ---- what must hold of an image ---- */

static void note_damage(void *arg, const struct hpo_fsck_finding *finding)
{
    char *text = arg;

    if (finding->severity == HPO_FSCK_DAMAGE && !text[0])
        snprintf(text, 256, "%s in %s: %.150s", finding->code, finding->file ? finding->file : "?",
                 finding->what);
}

static void fsck_agrees(struct sim_process *process, void *arg)
{
    struct world *world = arg;
    struct hpo_fsck_options options = {.size = sizeof(options), .os = sim_os(process)};
    struct hpo_fsck_result result;
    char damage[256] = "";
    int err = hpo_fsck(ACTOR_STORE, &options, note_damage, damage, &result);

    if (err == HPO_NOT_FOUND && world->tale.study_at > sim_effects(world->sim))
        return; /* nothing was promised yet */
    if (err < 0)
        sim_fail(process, "error: hpo_fsck failed with %d", err);
    if (result.damages)
        sim_fail(process, "false alarm: hpo_fsck: %s", damage);
}

static void recover_and_tell(struct sim_process *process, void *arg)
{
    struct world *world = arg;
    struct worker worker;

    worker_begin(&worker, world, process);
    worker_open(&worker, true);
    worker_check(&worker, true);
    worker_trial(&worker, 0);
    worker_close(&worker);
}

static void open_again(struct sim_process *process, void *arg)
{
    struct hpo_study_info *info;
    struct worker worker;

    worker_begin(&worker, arg, process);
    worker_open(&worker, true);
    must(&worker, hpo_study_info(worker.study, &info), "study_info");
    if (info->running)
        sim_fail(process, "half: a trial of a dead session is still running");
    hpo_study_info_free(info);
    worker_close(&worker);
}

const char *check_store(struct world *world, bool look_first)
{
    const char *wrong = look_first ? check_call(world, fsck_agrees) : NULL;

    if (!wrong)
        wrong = check_call(world, recover_and_tell);
    if (!wrong)
        wrong = check_call(world, open_again);
    if (!wrong && look_first)
        wrong = check_call(world, fsck_agrees);
    return wrong;
}

/*
 * store_scenarios: the same machine under the whole library, through hpo.h: from ask to tell, with
 * snapshots, attributes, a queue, trials given up, and workers that die.
 */
#include "scenarios.h"

#include "worker.h"

static void spawn(struct world *world, sim_fn fn)
{
    sim_spawn(sim_process_new(world->sim), fn, world);
}

static void tell_some(struct sim_process *process, void *arg)
{
    struct worker worker;

    worker_begin(&worker, arg, process);
    worker_open(&worker, true);
    for (unsigned i = 0; i < 3; i++)
        worker_trial(&worker, 0);
    worker_attr(&worker);
    worker_abandon(&worker);
    worker_trial(&worker, 0);
    worker_close(&worker);
}

static void start_tell(struct world *world)
{
    spawn(world, tell_some);
}

/* The space is defined as it is asked for: more records, in more batches. */
static void tell_undeclared(struct sim_process *process, void *arg)
{
    struct worker worker;

    worker_begin(&worker, arg, process);
    worker_open(&worker, false);
    for (unsigned i = 0; i < 3; i++)
        worker_trial(&worker, 0);
    worker_close(&worker);
}

static void start_undeclared(struct world *world)
{
    spawn(world, tell_undeclared);
}

/* More snapshots than are kept, trials between and after. */
static void tell_and_save(struct sim_process *process, void *arg)
{
    struct worker worker;

    worker_begin(&worker, arg, process);
    worker_open(&worker, true);
    for (unsigned i = 0; i < 3; i++) {
        worker_trial(&worker, 0);
        worker_snapshot(&worker);
    }
    worker_trial(&worker, 0);
    worker_close(&worker);
}

static void start_snapshot(struct world *world)
{
    spawn(world, tell_and_save);
}

static void enqueue_and_tell(struct sim_process *process, void *arg)
{
    struct worker worker;

    worker_begin(&worker, arg, process);
    worker_open(&worker, true);
    worker_enqueue(&worker, 17);
    worker_enqueue(&worker, 99);
    for (unsigned i = 0; i < 3; i++)
        worker_trial(&worker, 0);
    worker_close(&worker);
}

static void start_queue(struct world *world)
{
    spawn(world, enqueue_and_tell);
}

/* Workers on one study, until four trials are finished; whoever is left finishes what a dead one
 * began. */
static void work_to_the_end(struct sim_process *process, void *arg)
{
    struct hpo_study_info *info;
    struct worker worker;

    worker_begin(&worker, arg, process);
    worker_open(&worker, true);
    while (worker_trial(&worker, 4))
        continue;
    worker_check(&worker, false);
    if (hpo_study_info(worker.study, &info) == 0) {
        uint64_t finished = info->complete;

        hpo_study_info_free(info);
        if (finished != 4)
            sim_fail(process, "lost: %u of 4 trials are finished, and there are no more",
                     (unsigned)finished);
    }
    worker_close(&worker);
}

static void start_workers(struct world *world)
{
    spawn(world, work_to_the_end);
    spawn(world, work_to_the_end);
}

static void work_later(struct sim_process *process, void *arg)
{
    const struct hpo_os *os = sim_os(process);

    os->sleep(os->self, 100000);
    work_to_the_end(process, arg);
}

static void start_resume(struct world *world)
{
    spawn(world, work_to_the_end);
    spawn(world, work_later);
}

const struct scenario store_scenarios[] = {
    {.name = "tell",
     .what = "ask to tell, attributes, a trial given up",
     .start = start_tell,
     .check = check_store,
     .schedules = 2,
     .events = EVENTS_KILL,
     .event_stride = 16,
     .nested_one_in = 200},
    {.name = "undeclared",
     .what = "ask to tell with a space that is not declared",
     .start = start_undeclared,
     .check = check_store,
     .schedules = 2,
     .events = EVENTS_KILL,
     .event_stride = 16,
     .nested_one_in = 200},
    {.name = "snapshot",
     .what = "more snapshots than are kept",
     .start = start_snapshot,
     .check = check_store,
     .schedules = 2,
     .events = EVENTS_KILL,
     .event_stride = 32,
     .nested_one_in = 400},
    {.name = "queue",
     .what = "points put into the queue, and taken from it",
     .start = start_queue,
     .check = check_store,
     .schedules = 2,
     .events = EVENTS_KILL,
     .event_stride = 16,
     .nested_one_in = 200},
    {.name = "workers",
     .what = "two workers on one study",
     .start = start_workers,
     .check = check_store,
     .schedules = 4,
     .more_schedules = 500,
     .events = EVENTS_KILL | EVENTS_STOP,
     .event_stride = 64,
     .nested_one_in = 400},
    {.name = "resume",
     .what = "a worker is killed at every step, another one finishes the study",
     .start = start_resume,
     .check = check_store,
     .schedules = 2,
     .events = EVENTS_KILL,
     .event_stride = 48,
     .nested_one_in = 400},
};
const unsigned store_scenario_count = sizeof(store_scenarios) / sizeof(store_scenarios[0]);

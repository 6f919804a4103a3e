/*
 * scenarios: one short function each, over the real log (log.h). Segments are small, so that a roll
 * comes every few batches and an image is quickly read.
 */
#include "scenarios.h"

#include "fault/sim.h"

static void spawn(struct world *world, sim_fn fn)
{
    sim_spawn(sim_process_new(world->sim), fn, world);
}

/* ---- one process ---- */

static void create_and_close(struct sim_process *process, void *arg)
{
    struct actor actor;

    actor_begin(&actor, arg, process);
    if (actor_open(&actor, true))
        actor_close(&actor);
}

static void start_create(struct world *world)
{
    spawn(world, create_and_close);
}

static void commit_some(struct sim_process *process, void *arg)
{
    static const uint32_t sizes[] = {8, 64, 440, 456, 464, 1000, 16};
    struct actor actor;

    actor_begin(&actor, arg, process);
    if (!actor_open(&actor, true))
        return;
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        actor_commit(&actor, sizes[i]);
    actor_close(&actor);
}

static void start_commit(struct world *world)
{
    spawn(world, commit_some);
}

/* Appends that nobody waits for: the open sector is written again and again, and one flush takes
 * all. */
static void append_then_sync(struct sim_process *process, void *arg)
{
    struct actor actor;

    actor_begin(&actor, arg, process);
    if (!actor_open(&actor, true))
        return;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 5; i++)
            actor_append(&actor, 40 + 48 * i);
        actor_sync(&actor);
    }
    actor_append(&actor, 24);
    actor_close(&actor);
}

static void start_append(struct world *world)
{
    spawn(world, append_then_sync);
}

/* Batches over many sectors and pages, one larger than a segment. */
static void commit_large(struct sim_process *process, void *arg)
{
    static const uint32_t sizes[] = {2000, 5000, 40000, 8};
    struct actor actor;

    actor_begin(&actor, arg, process);
    if (!actor_open(&actor, true))
        return;
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        actor_commit(&actor, sizes[i]);
    actor_close(&actor);
}

static void start_large(struct world *world)
{
    spawn(world, commit_large);
}

/* Segments fill up; every second batch is waited for, so that rolls have something to copy. */
static void fill_segments(struct sim_process *process, void *arg)
{
    struct actor actor;

    actor_begin(&actor, arg, process);
    if (!actor_open(&actor, true))
        return;
    for (unsigned i = 0; i < 14; i++) {
        int batch = actor_append(&actor, 600 + 72 * (i % 3));

        if (i % 3 == 2)
            actor_wait(&actor, batch);
    }
    actor_sync(&actor);
    actor_close(&actor);
}

static void start_roll(struct world *world)
{
    spawn(world, fill_segments);
}

/* Closed and opened again in the same boot, without and with something left unsynced by a process
 * that just went away. */
static void open_three_times(struct sim_process *process, void *arg)
{
    for (unsigned i = 0; i < 3; i++) {
        struct actor actor;

        actor_begin(&actor, arg, process);
        actor.thread = i; /* markers of its own */
        if (!actor_open(&actor, true))
            return;
        actor_commit(&actor, 104);
        actor_append(&actor, 200);
        actor_close(&actor);
    }
}

static void start_reopen(struct world *world)
{
    spawn(world, open_three_times);
}

/* ---- several processes ---- */

static void commit_three(struct sim_process *process, void *arg)
{
    struct actor actor;

    actor_begin(&actor, arg, process);
    if (!actor_open(&actor, true))
        return;
    for (unsigned i = 0; i < 3; i++)
        actor_commit(&actor, 56 + 120 * sim_process_number(process));
    actor_close(&actor);
}

static void start_group_2(struct world *world)
{
    for (unsigned i = 0; i < 2; i++)
        spawn(world, commit_three);
}

static void start_group_4(struct world *world)
{
    for (unsigned i = 0; i < 4; i++)
        spawn(world, commit_three);
}

/* Two at work, a third comes when it likes: it joins, or it is the first one out of three to find a
 * store that is being made, or the last to leave. Rolls happen under their hands. */
static void commit_and_fill(struct sim_process *process, void *arg)
{
    struct actor actor;

    actor_begin(&actor, arg, process);
    if (!actor_open(&actor, true))
        return;
    for (unsigned i = 0; i < 5; i++) {
        int batch = actor_append(&actor, 504);

        if (i % 2)
            actor_wait(&actor, batch);
    }
    actor_close(&actor);
}

static void come_late(struct sim_process *process, void *arg)
{
    const struct hpo_os *os = sim_os(process);

    os->sleep(os->self, 1500);
    commit_three(process, arg);
}

static void start_fill_together(struct world *world)
{
    spawn(world, commit_and_fill);
    spawn(world, commit_and_fill);
    spawn(world, come_late);
}

/* A process that works, and one that opens when the first is gone or dead: the same boot, the page
 * cache whole. */
static void start_heir(struct world *world)
{
    spawn(world, commit_and_fill);
    spawn(world, come_late);
}

/* Two at work, and a witness that keeps the store open from before until after: whoever dies,
 * somebody is left to take over. */
static void witness(struct sim_process *process, void *arg)
{
    const struct hpo_os *os = sim_os(process);
    struct actor actor;

    actor_begin(&actor, arg, process);
    if (!actor_open(&actor, true))
        return;
    os->sleep(os->self, 5000000);
    actor_commit(&actor, 48);
    actor_check(&actor, NULL);
    actor_close(&actor);
}

static void commit_beside_witness(struct sim_process *process, void *arg)
{
    const struct hpo_os *os = sim_os(process);

    os->sleep(os->self, 100000);
    commit_and_fill(process, arg);
}

static void start_witnessed(struct world *world)
{
    spawn(world, witness);
    spawn(world, commit_beside_witness);
    spawn(world, commit_beside_witness);
}

/* Threads of one process share a handle. */
struct crew {
    struct actor owner;
    unsigned left;
};

static void crew_work(struct actor *actor, struct crew *crew)
{
    for (unsigned i = 0; i < 3; i++)
        actor_commit(actor, 72 + 200 * i);
    log_session_release(actor->log, actor->slot);
    actor->slot = NULL;
    if (--crew->left == 0)
        log_close(crew->owner.log);
}

static void crew_member(struct sim_process *process, void *arg)
{
    struct crew *crew = arg;
    struct actor actor;

    actor_begin(&actor, crew->owner.world, process);
    actor.thread = 1;
    actor_join(&actor, &crew->owner);
    crew_work(&actor, crew);
}

static void crew_owner(struct sim_process *process, void *arg)
{
    const struct hpo_os *os = sim_os(process);
    struct crew *crew = os->alloc(os->self, sizeof(*crew));

    actor_begin(&crew->owner, arg, process);
    if (actor_open(&crew->owner, true)) {
        struct actor actor = crew->owner;

        crew->left = 2;
        sim_spawn(process, crew_member, crew);
        crew_work(&actor, crew);
        while (crew->left > 0)
            os->sleep(os->self, 500);
    }
    os->free(os->self, crew);
}

static void start_threads(struct world *world)
{
    spawn(world, crew_owner);
    spawn(world, commit_three);
}

/* One writes and rolls, one only reads: it takes no lock, and sees whole batches in order at any
 * moment. */
static void read_along(struct sim_process *process, void *arg)
{
    const struct hpo_os *os = sim_os(process);

    for (unsigned i = 0; i < 6; i++) {
        struct actor actor;

        actor_begin(&actor, arg, process);
        if (actor_open_reader(&actor)) {
            for (unsigned k = 0; k < 3; k++) {
                os->sleep(os->self, 300);
                actor_check(&actor, NULL);
            }
            actor_close(&actor);
        }
        os->sleep(os->self, 700);
    }
}

static void start_reader(struct world *world)
{
    spawn(world, commit_and_fill);
    spawn(world, read_along);
}

const struct scenario scenarios[] = {
    {.name = "create",
     .what = "a store is made and closed",
     .start = start_create,
     .schedules = 2,
     .events = EVENTS_KILL,
     .nested_one_in = 4},
    {.name = "commit",
     .what = "one process commits batches of many sizes",
     .start = start_commit,
     .schedules = 2,
     .events = EVENTS_KILL,
     .event_stride = 2,
     .nested_one_in = 60},
    {.name = "append",
     .what = "one process appends and syncs now and then",
     .start = start_append,
     .schedules = 2,
     .events = EVENTS_KILL,
     .event_stride = 2,
     .nested_one_in = 100},
    {.name = "large",
     .what = "batches of many sectors, and of more than a segment",
     .start = start_large,
     .schedules = 2,
     .events = EVENTS_KILL,
     .event_stride = 4,
     .nested_one_in = 200},
    {.name = "roll",
     .what = "segments fill up and are rolled",
     .start = start_roll,
     .schedules = 2,
     .events = EVENTS_KILL,
     .event_stride = 3,
     .nested_one_in = 100},
    {.name = "reopen",
     .what = "a store is closed and opened again",
     .start = start_reopen,
     .schedules = 2,
     .events = EVENTS_KILL,
     .event_stride = 3,
     .nested_one_in = 60},
    {.name = "group_2",
     .what = "two processes share flushes",
     .start = start_group_2,
     .schedules = 12,
     .nested_one_in = 150,
     .more_schedules = 4000},
    {.name = "group_4",
     .what = "four processes share flushes",
     .start = start_group_4,
     .schedules = 12,
     .nested_one_in = 300,
     .more_schedules = 4000},
    {.name = "takeover",
     .what = "two processes, one of them killed at every step",
     .start = start_group_2,
     .schedules = 3,
     .events = EVENTS_KILL,
     .event_stride = 3,
     .nested_one_in = 400},
    {.name = "stop",
     .what = "two processes, one of them stopped at every step",
     .start = start_group_2,
     .schedules = 3,
     .events = EVENTS_STOP,
     .event_stride = 3,
     .nested_one_in = 400},
    {.name = "fill",
     .what = "three processes roll under each other's hands",
     .start = start_fill_together,
     .schedules = 3,
     .events = EVENTS_KILL,
     .event_stride = 16,
     .nested_one_in = 400,
     .more_schedules = 4000},
    {.name = "heir",
     .what = "a process dies, another one opens in the same boot",
     .start = start_heir,
     .schedules = 2,
     .events = EVENTS_KILL | EVENTS_STOP,
     .event_stride = 5,
     .nested_one_in = 300},
    {.name = "threads",
     .what = "two threads on one handle beside another process",
     .start = start_threads,
     .schedules = 6,
     .events = EVENTS_KILL,
     .event_stride = 12,
     .nested_one_in = 300,
     .more_schedules = 4000},
    {.name = "reader",
     .what = "one process writes, one only reads",
     .start = start_reader,
     .schedules = 6,
     .events = EVENTS_KILL,
     .event_stride = 12,
     .nested_one_in = 300,
     .more_schedules = 4000},
    {.name = "bytes",
     .what = "killed writes end at any byte, as they would without the rule: takeover copes",
     .start = start_witnessed,
     .schedules = 40,
     .events = EVENTS_KILL_WITHIN,
     .cuts_at_bytes = true,
     .spared = 1},
    {.name = "failing",
     .what = "one call fails: no space, no reading, no flush",
     .start = start_fill_together,
     .schedules = 2,
     .events = EVENTS_FAIL,
     .event_stride = 2,
     .nested_one_in = 0},
};
const unsigned scenario_count = sizeof(scenarios) / sizeof(scenarios[0]);

/*
 * check: see check.h.
 */
#include "check.h"

#include "recovery.h"
#include "wal.h"

#include <stdio.h>
#include <string.h>

static void verdict_is_lawful(struct actor *actor)
{
    struct wal_stat stat;

    log_stat(actor->log, &stat);
    if (!stat.recovered)
        actor_fail(actor, "error: the first opener did not recover");
    switch ((enum recovery_verdict)stat.verdict) {
    case RECOVERY_NO_STORE:
    case RECOVERY_UNBORN:
    case RECOVERY_CLEAN_END:
    case RECOVERY_TORN_TAIL:
        return;
    default:
        actor_fail(actor, "false alarm: verdict %s",
                   recovery_verdict_name((enum recovery_verdict)stat.verdict));
    }
}

/* Reads without recovering: the same as whoever recovers will see. */
static void look(struct sim_process *process, void *arg)
{
    struct actor actor;

    actor_begin(&actor, arg, process);
    if (actor_open_reader(&actor))
        actor_close(&actor);
}

static void recover_and_commit(struct sim_process *process, void *arg)
{
    struct world *world = arg;
    struct ledger_reading reading;
    struct actor actor;

    actor_begin(&actor, world, process);
    if (!actor_open(&actor, true))
        actor_fail(&actor, "error: open failed");
    verdict_is_lawful(&actor);
    actor_check(&actor, &reading);
    ledger_settle(&world->ledger, &reading, sim_effects(world->sim));
    ledger_reading_free(&reading);
    actor_commit(&actor, 136);
    actor_close(&actor);
}

/* Everything is promised now, so comparing with the ledger is comparing with what was shown before.
 */
static void open_again(struct sim_process *process, void *arg)
{
    struct actor actor;

    actor_begin(&actor, arg, process);
    if (!actor_open(&actor, false))
        actor_fail(&actor, "lost: the store is gone when it is opened again");
    actor_close(&actor);
}

const char *check_call(struct world *world, sim_fn fn)
{
    static const char *const outcomes[] = {[SIM_DEADLOCK] = "hang: everybody waits for ever",
                                           [SIM_LIMIT] = "hang: no end is in sight"};
    enum sim_outcome outcome = sim_call(sim_process_new(world->sim), fn, world);

    if (outcome == SIM_FAILED)
        return sim_failure(world->sim);
    if (outcome != SIM_DONE)
        return outcomes[outcome];
    return sim_leaks(world->sim) ? "leak: something was not given back" : NULL;
}

const char *check_image(struct world *world, bool look_first)
{
    const char *wrong = look_first ? check_call(world, look) : NULL;

    if (!wrong)
        wrong = check_call(world, recover_and_commit);
    if (!wrong)
        wrong = check_call(world, open_again);
    return wrong;
}

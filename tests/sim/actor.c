/*
 * actor: see actor.h.
 */
#include "actor.h"

#include "batch.h"
#include "wal.h"

#include <string.h>

#define APPEND_TRIES 4

static uint64_t now(const struct actor *actor)
{
    return sim_effects(actor->world->sim);
}

/* Is the error one that an injected failure explains? */
static bool excused(struct actor *actor, int err, const char *what)
{
    if (!actor->world->calls_may_fail)
        actor_fail(actor, "error: %s failed with %d: %s (%s, LSN %llu, offset %llu)", what, err,
                   actor->error.message, actor->error.path, (unsigned long long)actor->error.lsn,
                   (unsigned long long)actor->error.offset);
    if (err == HPO_CORRUPT)
        actor_fail(actor, "false alarm: %s says corrupt after a failed call: %s (%s)", what,
                   actor->error.message, actor->error.path);
    if (err == HPO_UNKNOWN)
        actor->broken = true;
    return true;
}

void actor_begin(struct actor *actor, struct world *world, struct sim_process *process)
{
    memset(actor, 0, sizeof(*actor));
    actor->world = world;
    actor->process = process;
}

static bool open_store(struct actor *actor, bool create, bool read_only)
{
    struct log_options options = {.os = sim_os(actor->process),
                                  .create = create,
                                  .read_only = read_only,
                                  .segment_size_first = actor->world->segment_first,
                                  .segment_size_max = actor->world->segment_max,
                                  .error = &actor->error};
    int err = log_open(ACTOR_STORE, &options, &actor->log);

    if (err < 0) {
        actor->log = NULL;
        if (err == HPO_CORRUPT)
            actor_fail(actor, "false alarm: %s (%s, LSN %llu, offset %llu)", actor->error.message,
                       actor->error.path, (unsigned long long)actor->error.lsn,
                       (unsigned long long)actor->error.offset);
        if (err == HPO_NOT_FOUND && !create)
            return false;
        excused(actor, err, "open");
        return false;
    }
    return true;
}

static void mark_seen(struct actor *actor, const struct ledger_reading *reading)
{
    for (unsigned i = 0; i < reading->count; i++)
        if (actor->world->ledger.list[reading->list[i].batch].seen_at == LEDGER_NEVER)
            actor->world->ledger.list[reading->list[i].batch].seen_at =
                sim_steps(actor->world->sim);
}

/* What the log shows of this actor's own session. */
static void find_session(struct actor *actor, const struct ledger_reading *reading)
{
    uint32_t last = 0;

    for (unsigned i = 0; i < reading->count; i++)
        if (actor->session && reading->list[i].session == actor->session &&
            actor->world->ledger.list[reading->list[i].batch].marker >> 16 ==
                ((uint64_t)actor->world->depth << 16 | sim_process_number(actor->process) << 4 |
                 actor->thread))
            last = reading->list[i].sequence;
    actor->sequence = last;
    if (last == 0)
        actor->session = 0;
}

static int read_whole(struct actor *actor, struct ledger_reading *reading)
{
    struct ledger_reader reader = {.ledger = &actor->world->ledger, .reading = reading};
    struct log_position beginning = {0};
    uint8_t uuid[16];

    log_uuid(actor->log, uuid);
    beginning.chain = batch_chain_start(uuid);
    memset(reading, 0, sizeof(*reading));
    reading->os = sim_os(actor->process);
    return log_read(actor->log, &beginning, ledger_read_batch, &reader);
}

void actor_check(struct actor *actor, struct ledger_reading *out)
{
    struct ledger_reading reading;
    /* What is acknowledged or seen while we read need not be found. */
    uint64_t before = now(actor), seen_by = sim_steps(actor->world->sim);
    const char *wrong;
    int err = read_whole(actor, &reading);

    if (actor->world->power_was_lost || actor->world->calls_may_fail)
        seen_by = 0;
    if (err < 0 && !reading.problem[0]) {
        ledger_reading_free(&reading);
        excused(actor, err, "read");
        if (out)
            *out = (struct ledger_reading){.os = sim_os(actor->process)};
        return;
    }
    /* Whatever was begun up to now may be there; what was promised before must be. */
    wrong = ledger_compare(&actor->world->ledger, &reading, before, seen_by);
    if (wrong && strncmp(wrong, "invented: not yet", 17) == 0)
        wrong = NULL;
    if (wrong) {
        char copy[200];

        memcpy(copy, reading.problem, sizeof(copy));
        ledger_reading_free(&reading);
        actor_fail(actor, "%s", copy);
    }
    mark_seen(actor, &reading);
    if (reading.count)
        actor->read_to = reading.list[reading.count - 1].at;
    find_session(actor, &reading);
    if (out)
        *out = reading;
    else
        ledger_reading_free(&reading);
}

bool actor_open(struct actor *actor, bool create)
{
    if (!open_store(actor, create, false))
        return false;
    actor_check(actor, NULL);
    return true;
}

bool actor_open_reader(struct actor *actor)
{
    if (!open_store(actor, false, true))
        return false;
    if (log_damage(actor->log) != 0)
        actor_fail(actor, "false alarm: a reader sees damage: %s (%s)", actor->error.message,
                   actor->error.path);
    actor_check(actor, NULL);
    return true;
}

void actor_join(struct actor *actor, const struct actor *owner)
{
    actor->log = owner->log;
    actor->read_to = owner->read_to;
}

void actor_close(struct actor *actor)
{
    if (!actor->log)
        return;
    log_session_release(actor->log, actor->slot);
    log_close(actor->log);
    actor->log = NULL;
    actor->slot = NULL;
}

/* Under the lock: everything up to the end is read before anything is appended. */
static bool catch_up(struct actor *actor)
{
    struct ledger_reading reading = {.os = sim_os(actor->process)};
    struct ledger_reader reader = {.ledger = &actor->world->ledger, .reading = &reading};
    struct log_position end;
    int err;

    if (actor->read_to.lsn == 0) {
        uint8_t uuid[16];

        log_uuid(actor->log, uuid);
        actor->read_to.chain = batch_chain_start(uuid);
    }
    err = log_read(actor->log, &actor->read_to, ledger_read_batch, &reader);
    if (err == LOG_DIVERGED) {
        /* Only a failed flush takes back what was published. */
        if (!actor->world->calls_may_fail)
            actor_fail(actor, "lost: the log no longer holds batch %llu that was read",
                       (unsigned long long)actor->read_to.lsn);
        ledger_reading_free(&reading);
        actor_check(actor, NULL);
        return true;
    }
    if (reading.problem[0])
        actor_fail(actor, "%s", reading.problem);
    if (err < 0) {
        ledger_reading_free(&reading);
        excused(actor, err, "read");
        return false;
    }
    mark_seen(actor, &reading);
    if (reading.count)
        actor->read_to = reading.list[reading.count - 1].at;
    ledger_reading_free(&reading);
    end = log_end(actor->log);
    if (end.lsn != actor->read_to.lsn || end.chain != actor->read_to.chain)
        actor_fail(actor, "error: the end is at %llu but reading ended at %llu",
                   (unsigned long long)end.lsn, (unsigned long long)actor->read_to.lsn);
    return true;
}

static int append_once(struct actor *actor, uint32_t size, int *batch)
{
    struct world *world = actor->world;
    uint64_t marker =
        (((uint64_t)world->depth << 16 | sim_process_number(actor->process) << 4 | actor->thread)
         << 16) +
        actor->written;
    const struct hpo_os *os = sim_os(actor->process);
    uint8_t *records = os->alloc(os->self, size);
    struct log_ticket ticket;
    unsigned index;
    int err;

    ledger_fill(records, marker, size);
    actor->written++;
    index = ledger_begin(&world->ledger, marker, size, now(actor));
    err = log_append(actor->log, actor->session, actor->session ? actor->sequence + 1 : 1, records,
                     size, 1, true, &ticket);
    os->free(os->self, records);
    if (err < 0) {
        /* These say that nothing was appended, now or later; other errors leave it open. */
        if (err == HPO_NOSPACE || err == HPO_NOT_WRITTEN)
            world->ledger.list[index].dead_at = now(actor);
        return err;
    }
    world->ledger.list[index].appended = true;
    world->ledger.list[index].ticket = ticket;
    actor->session = ticket.session;
    actor->sequence = ticket.sequence;
    actor->read_to = ticket.at;
    *batch = (int)index;
    return 0;
}

int actor_append(struct actor *actor, uint32_t size)
{
    int batch = -1;
    int err = HPO_NOT_WRITTEN;

    for (int tries = 0; tries < APPEND_TRIES && err == HPO_NOT_WRITTEN && !actor->broken; tries++) {
        err = log_lock(actor->log);
        if (err < 0) {
            excused(actor, err, "lock");
            return -1;
        }
        if (!actor->slot) {
            uint32_t slot;

            err = log_session_claim(actor->log, &actor->slot, &slot);
            if (err < 0)
                actor->slot = NULL;
        }
        if (err == 0 && catch_up(actor))
            err = append_once(actor, size, &batch);
        else
            err = HPO_IO;
        log_unlock(actor->log);
        if (err < 0) {
            excused(actor, err, "append");
            if (err == HPO_NOT_WRITTEN)
                actor_check(actor, NULL);
        }
    }
    return batch;
}

void actor_wait(struct actor *actor, int batch)
{
    struct log_ticket ticket;
    int err;

    if (batch < 0 || actor->broken)
        return;
    ticket = actor->world->ledger.list[batch].ticket;
    err = log_wait(actor->log, &ticket);
    if (err == 0) {
        actor->world->ledger.list[batch].acknowledged_at = now(actor);
        return;
    }
    excused(actor, err, "wait");
    if (err == HPO_NOT_WRITTEN) {
        actor->world->ledger.list[batch].dead_at = now(actor);
        actor_check(actor, NULL);
    }
}

void actor_commit(struct actor *actor, uint32_t size)
{
    actor_wait(actor, actor_append(actor, size));
}

/* What was published when log_sync was called is durable when it returns: own batches and others'.
 */
void actor_sync(struct actor *actor)
{
    struct ledger *ledger = &actor->world->ledger;
    unsigned before = ledger->count;
    const struct hpo_os *os = sim_os(actor->process);
    bool *published = os->alloc(os->self, before * sizeof(*published));
    int err;

    for (unsigned i = 0; i < before; i++)
        published[i] = ledger->list[i].appended && ledger->list[i].dead_at == LEDGER_NEVER;
    err = log_sync(actor->log);
    for (unsigned i = 0; err == 0 && i < before; i++)
        if (published[i] && ledger->list[i].acknowledged_at == LEDGER_NEVER &&
            ledger->list[i].dead_at == LEDGER_NEVER)
            ledger->list[i].acknowledged_at = now(actor);
    os->free(os->self, published);
    if (err < 0)
        excused(actor, err, "sync");
}

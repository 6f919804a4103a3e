/*
 * memory_log: see memory_log.h. One mutex for everything.
 */
#include "memory_log.h"

#include "batch.h"
#include "error.h"
#include "wal.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 64

struct memory_batch {
    struct log_batch batch; /* records owned */
};

struct memory_log {
    struct memory_log *next;
    char *name;
    uint8_t uuid[16];
    struct memory_batch *batches; /* batch of LSN n at n - 1 */
    size_t count, capacity;
    uint64_t durable;
    uint32_t epoch;
    bool losing, breaking, broken;
    uint64_t kept;
    int full;
    const struct log_session *slots[SLOTS]; /* who holds it */
    uint64_t flushes, commits;
};

struct log {
    struct memory_log *shared;
    bool read_only, relaxed;
};

struct log_session {
    uint32_t slot;
};

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t tail = PTHREAD_MUTEX_INITIALIZER; /* log_lock, for all names */
static struct memory_log *logs;

static struct memory_log *find(const char *name)
{
    struct memory_log *log;

    for (log = logs; log; log = log->next)
        if (strcmp(log->name, name) == 0)
            return log;
    return NULL;
}

static void drop_batches(struct memory_log *log, size_t count)
{
    while (log->count > count)
        free((void *)log->batches[--log->count].batch.records);
}

void memory_log_reset(void)
{
    while (logs) {
        struct memory_log *log = logs;

        logs = log->next;
        drop_batches(log, 0);
        free(log->batches);
        free(log->name);
        free(log);
    }
}

void memory_log_lose(const char *name, uint64_t kept)
{
    pthread_mutex_lock(&guard);
    find(name)->losing = true;
    find(name)->kept = kept;
    pthread_mutex_unlock(&guard);
}

void memory_log_break(const char *name)
{
    pthread_mutex_lock(&guard);
    find(name)->breaking = true;
    pthread_mutex_unlock(&guard);
}

void memory_log_free_slot(const char *name, uint32_t slot)
{
    find(name)->slots[slot] = NULL;
}

void memory_log_space(const char *name, int full)
{
    find(name)->full = full;
}

uint64_t memory_log_lsn(const char *name)
{
    return find(name)->count;
}

void memory_log_batch(const char *name, uint64_t lsn, const uint8_t **records, size_t *size)
{
    const struct log_batch *batch = &find(name)->batches[lsn - 1].batch;

    *records = batch->records;
    *size = batch->records_size;
}

static struct log_position end_of(const struct memory_log *log)
{
    if (log->count == 0)
        return (struct log_position){0, batch_chain_start(log->uuid)};
    return log->batches[log->count - 1].batch.at;
}

static struct log_position position_before(const struct memory_log *log, uint64_t lsn)
{
    if (lsn == 1)
        return (struct log_position){0, batch_chain_start(log->uuid)};
    return log->batches[lsn - 2].batch.at;
}

static void chain_batch(const struct memory_log *log, struct log_batch *batch)
{
    struct batch_header header = {
        .session = batch->sequence == 1 ? 0 : batch->session,
        .sequence = batch->sequence,
        .record_count = batch->record_count,
    };
    struct log_position before = position_before(log, batch->at.lsn);
    uint8_t bytes[BATCH_HEADER_SIZE];
    int err;

    err = batch_header_encode(bytes, &header, &before, batch->records, batch->records_size);
    assert(err == 0);
    (void)err;
    batch->session = header.session;
    batch->at = (struct log_position){header.lsn, header.chain};
}

void memory_log_replace(const char *name, uint64_t lsn, const uint8_t *records, size_t size,
                        uint16_t count)
{
    struct memory_log *log = find(name);
    struct log_batch *batch = &log->batches[lsn - 1].batch;
    uint8_t *copy = malloc(size);
    uint64_t i;

    memcpy(copy, records, size);
    free((void *)batch->records);
    batch->records = copy;
    batch->records_size = size;
    batch->record_count = count;
    for (i = lsn; i <= log->count; i++)
        chain_batch(log, &log->batches[i - 1].batch);
}

/* -- log.h -- */

int log_identify(const struct hpo_os *os, const char *path, uint8_t uuid[16])
{
    struct memory_log *log = find(path);

    (void)os;
    if (!log)
        return HPO_NOT_FOUND;
    memcpy(uuid, log->uuid, 16);
    return 0;
}

int log_open(const char *path, const struct log_options *options, struct log **out)
{
    struct memory_log *shared = find(path);
    struct log *log;

    if (!shared && !options->create)
        return error_set(error_here(), HPO_NOT_FOUND, 0, NULL, 0, 0, "no log of that name");
    if (!shared) {
        shared = calloc(1, sizeof(*shared));
        shared->name = strdup(path);
        memcpy(shared->uuid, "memory log uuid.", 16);
        shared->next = logs;
        logs = shared;
    }
    log = calloc(1, sizeof(*log));
    log->shared = shared;
    log->read_only = options->read_only;
    log->relaxed = options->relaxed;
    *out = log;
    return 0;
}

void log_close(struct log *log)
{
    free(log);
}

void log_uuid(const struct log *log, uint8_t out[16])
{
    memcpy(out, log->shared->uuid, 16);
}

struct log_position log_end(struct log *log)
{
    return end_of(log->shared);
}

uint64_t log_durable(struct log *log)
{
    return log->shared->durable;
}

int log_read(struct log *log, const struct log_position *from, log_batch_fn fn, void *arg)
{
    struct memory_log *shared = log->shared;
    struct log_position before;
    uint64_t lsn;
    int err = 0;

    pthread_mutex_lock(&guard);
    before = from->lsn <= shared->count ? position_before(shared, from->lsn + 1)
                                        : (struct log_position){0, 0};
    if (from->lsn != 0 && (before.lsn != from->lsn || before.chain != from->chain))
        err = LOG_DIVERGED;
    for (lsn = from->lsn + 1; err == 0 && lsn <= shared->count; lsn++)
        err = fn(arg, &shared->batches[lsn - 1].batch);
    pthread_mutex_unlock(&guard);
    return err;
}

int log_lock(struct log *log)
{
    if (log->read_only)
        return HPO_READONLY;
    if (log->shared->broken)
        return error_set(error_here(), HPO_UNKNOWN, 0, NULL, 0, 0, "the log takes nothing more");
    pthread_mutex_lock(&tail);
    return 0;
}

void log_unlock(struct log *log)
{
    (void)log;
    pthread_mutex_unlock(&tail);
}

int log_append(struct log *log, uint64_t session, uint32_t sequence, const uint8_t *records,
               size_t size, uint16_t record_count, bool last_reserve, struct log_ticket *out)
{
    struct memory_log *shared = log->shared;
    struct log_batch *batch;
    uint8_t *copy;

    if (shared->full == 2 || (shared->full == 1 && !last_reserve))
        return error_set(error_here(), HPO_NOSPACE, 28, NULL, 0, 0, "no space");
    assert(size % 8 == 0 && record_count > 0);
    pthread_mutex_lock(&guard);
    if (shared->count == shared->capacity) {
        shared->capacity = shared->capacity ? shared->capacity * 2 : 64;
        shared->batches = realloc(shared->batches, shared->capacity * sizeof(*shared->batches));
    }
    copy = malloc(size);
    memcpy(copy, records, size);
    batch = &shared->batches[shared->count++].batch;
    *batch = (struct log_batch){
        .at = {shared->count, 0},
        .session = session,
        .sequence = sequence,
        .record_count = record_count,
        .records = copy,
        .records_size = size,
    };
    chain_batch(shared, batch);
    *out = (struct log_ticket){batch->at, batch->session, sequence, shared->epoch};
    pthread_mutex_unlock(&guard);
    return 0;
}

/* Flush: everything is durable, or what the test wanted happens. */
static int flush(struct memory_log *shared)
{
    if (shared->breaking)
        shared->broken = true;
    if (shared->broken)
        return error_set(error_here(), HPO_UNKNOWN, 5, NULL, 0, 0, "nobody can tell");
    shared->flushes++;
    if (shared->losing) {
        uint64_t left = shared->durable + shared->kept;

        shared->losing = false;
        shared->epoch++;
        if (left < shared->count)
            drop_batches(shared, (size_t)left);
    }
    shared->durable = shared->count;
    return 0;
}

int log_wait(struct log *log, const struct log_ticket *ticket)
{
    struct memory_log *shared = log->shared;
    int err = 0;

    if (log->relaxed)
        return 0;
    pthread_mutex_lock(&guard);
    shared->commits++;
    if (shared->durable < ticket->at.lsn || shared->epoch != ticket->epoch)
        err = flush(shared);
    if (err == 0 && (shared->count < ticket->at.lsn ||
                     shared->batches[ticket->at.lsn - 1].batch.at.chain != ticket->at.chain))
        err = error_set(error_here(), HPO_NOT_WRITTEN, 5, NULL, 0, ticket->at.lsn,
                        "the flush failed");
    pthread_mutex_unlock(&guard);
    return err;
}

int log_sync(struct log *log)
{
    int err;

    pthread_mutex_lock(&guard);
    err = flush(log->shared);
    pthread_mutex_unlock(&guard);
    return err;
}

int log_session_claim(struct log *log, struct log_session **out, uint32_t *slot)
{
    struct log_session *session = calloc(1, sizeof(*session));

    while (log->shared->slots[session->slot])
        session->slot++;
    assert(session->slot < SLOTS);
    log->shared->slots[session->slot] = session;
    *slot = session->slot;
    *out = session;
    return 0;
}

void log_session_release(struct log *log, struct log_session *session)
{
    if (log->shared->slots[session->slot] == session)
        log->shared->slots[session->slot] = NULL;
    free(session);
}

int log_session_alive(struct log *log, uint32_t slot)
{
    return log->shared->slots[slot] != NULL;
}

int log_snapshot_try(struct log *log)
{
    (void)log;
    return 0;
}

void log_snapshot_free(struct log *log)
{
    (void)log;
}

void log_stat(struct log *log, struct wal_stat *out)
{
    memset(out, 0, sizeof(*out));
    out->end = end_of(log->shared);
    out->durable = log->shared->durable;
    out->counters[SHM_FLUSHES] = log->shared->flushes;
    out->counters[SHM_COMMITS] = log->shared->commits;
}

int log_damage(struct log *log)
{
    (void)log;
    return 0;
}

/*
 * bench/group: commits per flush with 1 to 32 real processes on one store, a flush taking 4 ms
 * (simulated in the table, so that the figure does not depend on the disk); the wait of a commit in
 * flush times; and how long survivors stand still when a leader is killed in its flush or a writer
 * inside its append.
 *
 * Arguments: seconds per group size (default 1), kills per kind (default 20). Exit 1 below 8
 * commits per flush at 32 processes.
 */
#include "bench.h"
#include "error.h"
#include "log.h"
#include "wal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLUSH_US 4000
#define PROCESSES_MAX 32
#define SAMPLES_MAX 20000
#define RECORDS_SIZE 120
#define SURVIVORS 4

/* Seen by all processes. */
struct shared {
    _Atomic int ready, go, stop;
    _Atomic uint64_t killed_at_us;
    _Atomic uint64_t
        first_after_us; /* the first commit of a survivor that began to be durable after the kill */
    _Atomic uint64_t commits;
    uint32_t sample_count[PROCESSES_MAX];
    float samples[PROCESSES_MAX][SAMPLES_MAX]; /* waits in microseconds */
};

static struct shared *shared;
static struct wrapped_os wrapped;
static char store[500];

static uint64_t now_us(void)
{
    return (uint64_t)(bench_now() * 1e6);
}

static struct log *open_store(void)
{
    struct error_detail error = {0};
    struct log_options options = {.os = &wrapped.os, .create = true, .error = &error};
    struct log *log;

    if (log_open(store, &options, &log) < 0)
        bench_die("%s: %s", store, error.message);
    return log;
}

struct writer {
    struct log *log;
    uint64_t session;
    uint32_t sequence;
};

static void commit(struct writer *writer)
{
    uint8_t records[RECORDS_SIZE] = {1};
    struct log_ticket ticket;
    int err = log_lock(writer->log);

    if (err == 0) {
        err = log_append(writer->log, writer->session, writer->sequence + 1, records,
                         sizeof(records), 1, true, &ticket);
        log_unlock(writer->log);
    }
    if (err == 0)
        err = log_wait(writer->log, &ticket);
    if (err < 0)
        bench_die("commit: %d", err);
    writer->session = ticket.session;
    writer->sequence = ticket.sequence;
}

/* ---- commits per flush ---- */

static void commit_in_group(int index)
{
    struct writer writer = {.log = open_store()};
    uint32_t count = 0;

    commit(&writer);
    atomic_fetch_add(&shared->ready, 1);
    while (!atomic_load(&shared->go))
        usleep(500);
    while (!atomic_load(&shared->stop)) {
        uint64_t begin = now_us();

        commit(&writer);
        if (count < SAMPLES_MAX)
            shared->samples[index][count++] = (float)(now_us() - begin);
    }
    shared->sample_count[index] = count;
    log_close(writer.log);
}

static double measure_group(int processes, double seconds)
{
    static double waits[(size_t)PROCESSES_MAX * SAMPLES_MAX];
    struct log *log;
    struct wal_stat before, after;
    pid_t pids[PROCESSES_MAX];
    size_t count = 0;
    double flushes, commits, elapsed;

    memset(shared, 0, sizeof(*shared));
    for (int i = 0; i < processes; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            commit_in_group(i);
            exit(0);
        }
    }
    log = open_store();
    while (atomic_load(&shared->ready) < processes)
        usleep(1000);
    log_stat(log, &before);
    elapsed = bench_now();
    atomic_store(&shared->go, 1);
    usleep((useconds_t)(seconds * 1e6));
    log_stat(log, &after);
    elapsed = bench_now() - elapsed;
    atomic_store(&shared->stop, 1);
    for (int i = 0; i < processes; i++) {
        int status;

        if (waitpid(pids[i], &status, 0) != pids[i] || status != 0)
            bench_die("a writer failed");
        for (uint32_t k = 0; k < shared->sample_count[i]; k++)
            waits[count++] = shared->samples[i][k];
    }
    log_close(log);
    (void)bench_quartiles(waits, count);
    flushes = (double)(after.counters[SHM_FLUSHES] - before.counters[SHM_FLUSHES]);
    commits = (double)(after.counters[SHM_BATCHES] - before.counters[SHM_BATCHES]);
    printf("%2d processes: %5.1f commits per flush, %6.0f commits/s, wait p50 %.2f p99 %.2f flush "
           "times, %lu rolls\n",
           processes, commits / flushes, commits / elapsed,
           bench_quantile(waits, count, 0.5) / FLUSH_US,
           bench_quantile(waits, count, 0.99) / FLUSH_US,
           (unsigned long)(after.counters[SHM_ROLLS] - before.counters[SHM_ROLLS]));
    return commits / flushes;
}

/* ---- takeover ---- */

static void die_now(void *arg)
{
    (void)arg;
    atomic_store(&shared->killed_at_us, now_us());
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void victim(const char *point)
{
    struct wrapped_rule rule = {
        .call = WRAPPED_POINT, .point = point, .from = 5, .effect = WRAPPED_HOOK, .hook = die_now};
    struct writer writer = {.log = open_store()};

    wrapped_os_arm(&wrapped, &rule);
    for (;;)
        commit(&writer);
}

static void survivor(void)
{
    struct writer writer = {.log = open_store()};

    while (!atomic_load(&shared->stop)) {
        uint64_t end, none = 0;

        commit(&writer);
        end = now_us();
        if (atomic_load(&shared->killed_at_us) &&
            end > atomic_load(&shared->killed_at_us) + FLUSH_US / 2)
            atomic_compare_exchange_strong(&shared->first_after_us, &none, end);
    }
    log_close(writer.log);
}

/* Time from the kill to the first durable commit of a survivor after it. */
static void measure_takeover(const char *what, const char *point, int kills)
{
    double *times = calloc((size_t)kills, sizeof(*times));

    for (int i = 0; i < kills; i++) {
        pid_t pids[SURVIVORS + 1];

        memset(shared, 0, sizeof(*shared));
        for (int k = 0; k <= SURVIVORS; k++) {
            pids[k] = fork();
            if (pids[k] == 0) {
                if (k == SURVIVORS)
                    victim(point);
                survivor();
                exit(0);
            }
        }
        while (!atomic_load(&shared->first_after_us))
            usleep(1000);
        atomic_store(&shared->stop, 1);
        for (int k = 0; k <= SURVIVORS; k++) {
            int status;

            if (waitpid(pids[k], &status, 0) != pids[k] || (k < SURVIVORS && status != 0))
                bench_die("a survivor failed");
        }
        times[i] =
            (double)(atomic_load(&shared->first_after_us) - atomic_load(&shared->killed_at_us)) /
            1000;
    }
    (void)bench_quartiles(times, (size_t)kills);
    printf("%s killed at %s: survivors go on after p50 %.1f p99 %.1f ms (%d kills, flush 4 ms)\n",
           what, point, bench_quantile(times, (size_t)kills, 0.5),
           bench_quantile(times, (size_t)kills, 0.99), kills);
    free(times);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 1;
    int kills = argc > 2 ? atoi(argv[2]) : 20;
    double at_32 = 0;

    if (seconds <= 0 || kills < 0)
        bench_die("usage: bench_group [seconds] [kills]");
    snprintf(store, sizeof(store), "%s/store", bench_directory());
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        bench_die("no memory");
    setlinebuf(stdout);
    wrapped_os_init(&wrapped);
    wrapped.sync_us = FLUSH_US;
    for (int processes = 1; processes <= PROCESSES_MAX; processes *= 2)
        at_32 = measure_group(processes, seconds);
    if (kills > 0) {
        measure_takeover("leader ", "sync.sealed", kills);
        measure_takeover("leader ", "sync.flushed", kills);
        measure_takeover("appender", "append.written", kills);
    }
    bench_cleanup();
    return at_32 < 8;
}

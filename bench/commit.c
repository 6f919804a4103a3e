/*
 * bench/commit: durable commits of one process against the raw loop, flush time simulated as 1 ms
 * (argument: rounds), then on the real disk for information. A commit is what a tell does to the
 * log: lock, append one batch of 120 bytes, unlock, wait until durable.
 *
 * Prints the ratio of rates, median and quartiles of the rounds, and the CPU time per commit beyond
 * the raw loop's. Exit 1 if the simulated ratio is below 0.9.
 */
#include "batch.h"
#include "bench.h"
#include "error.h"
#include "log.h"
#include "wal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMITS 200
#define ROUNDS_MAX 200
#define RECORDS_SIZE 120 /* one finished trial */

struct side {
    double seconds, cpu;
};

struct ours {
    struct log *log;
    uint64_t session;
    uint32_t sequence;
    uint8_t records[RECORDS_SIZE];
};

static void ours_commit(struct ours *ours)
{
    struct log_ticket ticket;
    int err = log_lock(ours->log);

    if (err == 0) {
        err = log_append(ours->log, ours->session, ours->sequence + 1, ours->records,
                         sizeof(ours->records), 1, true, &ticket);
        log_unlock(ours->log);
    }
    if (err == 0)
        err = log_wait(ours->log, &ticket);
    if (err < 0)
        bench_die("commit: %d", err);
    ours->session = ticket.session;
    ours->sequence = ticket.sequence;
    ours->records[0]++;
}

static void raw_side(void *arg)
{
    bench_raw_commit(arg);
}

static void our_side(void *arg)
{
    ours_commit(arg);
}

static struct side run(void (*commit)(void *arg), void *arg)
{
    double seconds = bench_now(), cpu = bench_cpu_seconds();

    for (int i = 0; i < COMMITS; i++)
        commit(arg);
    return (struct side){bench_now() - seconds, bench_cpu_seconds() - cpu};
}

static double measure(struct wrapped_os *wrapped, const char *directory, const char *name,
                      int rounds)
{
    static double ratios[ROUNDS_MAX], cpu[ROUNDS_MAX], rate[ROUNDS_MAX], raw_rate[ROUNDS_MAX];
    struct error_detail error = {0};
    struct log_options options = {.os = &wrapped->os, .create = true, .error = &error};
    struct ours ours = {0};
    struct bench_raw raw;
    struct wal_stat before, after;
    struct bench_quartiles ratio, cpu_us;
    char store[500];

    snprintf(store, sizeof(store), "%s/%s", directory, name);
    if (log_open(store, &options, &ours.log) < 0)
        bench_die("%s: %s", store, error.message);
    bench_raw_open(&raw, &wrapped->os, directory, 4u << 20);
    memset(ours.records, 0x5a, sizeof(ours.records));
    ours_commit(&ours);
    log_stat(ours.log, &before);
    for (int i = 0; i < rounds; i++) {
        struct side r, o;

        if (i % 2) {
            r = run(raw_side, &raw);
            o = run(our_side, &ours);
        } else {
            o = run(our_side, &ours);
            r = run(raw_side, &raw);
        }
        ratios[i] = r.seconds / o.seconds;
        cpu[i] = (o.cpu - r.cpu) / COMMITS * 1e6;
        rate[i] = COMMITS / o.seconds;
        raw_rate[i] = COMMITS / r.seconds;
    }
    log_stat(ours.log, &after);
    ratio = bench_quartiles(ratios, (size_t)rounds);
    cpu_us = bench_quartiles(cpu, (size_t)rounds);
    printf("%-14s ratio %.3f (quartiles %.3f %.3f)  %.0f commits/s, raw %.0f/s  CPU beyond raw "
           "%.1f us/commit\n",
           name, ratio.median, ratio.low, ratio.high, bench_quartiles(rate, (size_t)rounds).median,
           bench_quartiles(raw_rate, (size_t)rounds).median, cpu_us.median);
    printf("%-14s per commit: %.3f flushes, %.3f writes, %.3f pages of 4 KiB, %.3f attest writes; "
           "%lu rolls\n",
           "",
           (double)(after.counters[SHM_FLUSHES] - before.counters[SHM_FLUSHES]) /
               (rounds * COMMITS),
           (double)(after.counters[SHM_LOG_WRITES] - before.counters[SHM_LOG_WRITES]) /
               (rounds * COMMITS),
           (double)(after.counters[SHM_LOG_PAGES] - before.counters[SHM_LOG_PAGES]) /
               (rounds * COMMITS),
           (double)(after.counters[SHM_ATTEST_WRITES] - before.counters[SHM_ATTEST_WRITES]) /
               (rounds * COMMITS),
           (unsigned long)(after.counters[SHM_ROLLS] - before.counters[SHM_ROLLS]));
    bench_raw_close(&raw);
    log_close(ours.log);
    return ratio.median;
}

int main(int argc, char **argv)
{
    static struct wrapped_os wrapped;
    const char *directory = bench_directory();
    int rounds = argc > 1 ? atoi(argv[1]) : 15;
    double simulated;

    if (rounds < 1 || rounds > ROUNDS_MAX)
        bench_die("usage: bench_commit [rounds, 1 to %d]", ROUNDS_MAX);
    wrapped_os_init(&wrapped);
    wrapped.sync_us = 1000;
    simulated = measure(&wrapped, directory, "flush of 1 ms", rounds);
    wrapped.sync_us = 0;
    (void)measure(&wrapped, directory, "real disk", rounds);
    bench_cleanup();
    return simulated < 0.9;
}

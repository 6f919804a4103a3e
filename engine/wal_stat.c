/*
 * wal_stat: what the log is and has done, in plain numbers. Looks at files and page, changes
 * nothing.
 */
#include "wal_local.h"

#include <string.h>

#define PROBE_BYTES 65536u

/* The end of the last sector that was ever written: the zeros behind it are not in use. */
static uint64_t used_bytes(struct log *log, struct os_file *file, uint64_t size, uint8_t *probe)
{
    uint64_t end = size;

    while (end > 0) {
        uint64_t begin = (end - 1) / PROBE_BYTES * PROBE_BYTES;
        int64_t n = log->os->file_pread(log->os->self, file, probe, (size_t)(end - begin), begin);

        while (n > 0 && probe[n - 1] == 0)
            n--;
        if (n != 0)
            return n < 0 ? size
                         : (begin + (uint64_t)n + SECTOR_SIZE - 1) / SECTOR_SIZE * SECTOR_SIZE;
        end = begin;
    }
    return 0;
}

struct census {
    struct log *log;
    struct wal_stat *stat;
    uint8_t *probe;
};

static int count_segment(void *arg, const char *name)
{
    struct census *census = arg;
    const struct hpo_os *os = census->log->os;
    struct os_file *file;
    uint64_t size;

    if (segment_file_number(name) == 0 ||
        os->file_open(os->self, census->log->wal, name, OS_READ, OS_ROLE_WAL, &file) < 0)
        return 0;
    if (os->file_size(os->self, file, &size) == 0) {
        census->stat->segments++;
        census->stat->log_bytes += size;
        census->stat->log_bytes_used += used_bytes(census->log, file, size, census->probe);
    }
    os->file_close(os->self, file);
    return 0;
}

static void read_counters(const struct shm *shm, struct wal_stat *out)
{
    for (size_t i = 0; i < SHM_COUNTERS; i++)
        out->counters[i] = atomic_load_explicit(&shm->counters[i], memory_order_relaxed);
    for (size_t h = 0; h < SHM_HISTOGRAMS; h++)
        for (size_t i = 0; i < SHM_BUCKETS; i++)
            out->histograms[h][i] =
                atomic_load_explicit(&shm->histograms[h][i], memory_order_relaxed);
    out->space_low = atomic_load_explicit(&shm->space_low, memory_order_relaxed) != 0;
}

void log_stat(struct log *log, struct wal_stat *out)
{
    const struct hpo_os *os = log->os;
    struct shm *shm = atomic_load(&log->shm);
    struct census census = {.log = log, .stat = out};
    struct shm_published end;

    memset(out, 0, sizeof(*out));
    if (wal_check_process(log) < 0)
        return;
    out->end = log_end(log);
    out->durable = log_durable(log);
    out->fs = log->fs;
    out->relaxed = log->relaxed;
    out->recovered = log->recovered;
    out->verdict = log->verdict;
    out->alive = !log->read_only || (log->locks.file && locks_test_ready(&log->locks) == 1);
    if (shm) {
        shm_read(shm, false, &end);
        out->epoch = end.epoch;
        out->segment = end.segment;
        read_counters(shm, out);
    }
    census.probe = os->alloc(os->self, PROBE_BYTES);
    if (!census.probe)
        return;
    (void)os->dir_list(os->self, log->wal, count_segment, &census);
    (void)wal_zero_count(log, &out->zero_files, &out->zero_file_bytes);
    out->reserve_spent = out->space_low && out->zero_files == 0;
    os->free(os->self, census.probe);
}

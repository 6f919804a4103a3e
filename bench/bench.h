/*
 * bench: what the benchmark programs share. Shared machines are noisy, so what is compared runs
 * interleaved in rounds, and the result is the median of the rounds' ratios with its quartiles.
 * Absolute times are information.
 */
#ifndef HPO_BENCH_BENCH_H
#define HPO_BENCH_BENCH_H

#include "wrapped_os.h"

#include <stddef.h>
#include <stdint.h>

/* Say what failed and exit with 1. */
void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* A fresh directory under $TMPDIR or /var/tmp (a disk, not memory); removed by bench_cleanup. */
const char *bench_directory(void);
void bench_cleanup(void);

double bench_now(void);         /* seconds, monotonic */
double bench_cpu_seconds(void); /* of this process, user and system */

struct bench_quartiles {
    double low, median, high;
};
/* Sorts the values. */
struct bench_quartiles bench_quartiles(double *values, size_t count);
/* The q-quantile (0..1) of sorted values. */
double bench_quantile(const double *sorted, size_t count, double q);

/* The raw loop: a zeroed file, written by one pwrite of 512 bytes after the other, each followed by
 * a data sync, all through the same table as the log. */
struct bench_raw {
    const struct hpo_os *os;
    struct os_dir *dir;
    struct os_file *file;
    uint8_t *page;
    uint64_t offset, size;
};
void bench_raw_open(struct bench_raw *raw, const struct hpo_os *os, const char *directory,
                    uint64_t size);
void bench_raw_commit(struct bench_raw *raw);
void bench_raw_close(struct bench_raw *raw);

#endif

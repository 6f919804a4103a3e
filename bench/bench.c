/*
 * bench: clocks, quartiles, a directory to work in, and the raw loop that everything is measured
 * against.
 */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static char directory[400];

void bench_die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

const char *bench_directory(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(directory, sizeof(directory), "%s/hpo-bench-XXXXXX", base ? base : "/var/tmp");
    if (!mkdtemp(directory))
        bench_die("cannot make %s", directory);
    return directory;
}

void bench_cleanup(void)
{
    char command[500];

    snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    if (system(command) != 0)
        fprintf(stderr, "cannot remove %s\n", directory);
}

double bench_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double bench_cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double bench_quantile(const double *sorted, size_t count, double q)
{
    size_t index = (size_t)(q * (double)(count - 1) + 0.5);

    return count ? sorted[index] : 0;
}

struct bench_quartiles bench_quartiles(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return (struct bench_quartiles){bench_quantile(values, count, 0.25),
                                    bench_quantile(values, count, 0.5),
                                    bench_quantile(values, count, 0.75)};
}

void bench_raw_open(struct bench_raw *raw, const struct hpo_os *os, const char *path, uint64_t size)
{
    void *memory;

    memset(raw, 0, sizeof(*raw));
    raw->os = os;
    raw->size = size;
    if (os->dir_open(os->self, path, &raw->dir) < 0 ||
        os->file_open(os->self, raw->dir, "raw", OS_WRITE | OS_CREATE, OS_ROLE_WAL, &raw->file) < 0)
        bench_die("cannot make the raw file in %s", path);
    if (posix_memalign(&memory, 4096, 4096) != 0)
        bench_die("no memory");
    raw->page = memory;
    memset(raw->page, 0, 4096);
    for (uint64_t at = 0; at < size; at += 4096) {
        if (os->file_pwrite(os->self, raw->file, raw->page, 4096, at) != 4096)
            bench_die("cannot fill the raw file");
    }
    if (os->file_sync_all(os->self, raw->file) < 0)
        bench_die("cannot sync the raw file");
    memset(raw->page, 0x5a, 4096);
}

void bench_raw_commit(struct bench_raw *raw)
{
    if (raw->os->file_pwrite(raw->os->self, raw->file, raw->page + raw->offset % 4096, 512,
                             raw->offset) != 512 ||
        raw->os->file_sync_data(raw->os->self, raw->file) < 0)
        bench_die("the raw loop failed");
    raw->offset += 512;
    if (raw->offset == raw->size)
        raw->offset = 0;
}

void bench_raw_close(struct bench_raw *raw)
{
    raw->os->file_close(raw->os->self, raw->file);
    raw->os->dir_close(raw->os->self, raw->dir);
    free(raw->page);
}

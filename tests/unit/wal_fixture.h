/*
 * wal_fixture: a store in a directory of its own and the few steps that every test of the log
 * takes. Included by one test program at a time.
 */
#ifndef HPO_TESTS_WAL_FIXTURE_H
#define HPO_TESTS_WAL_FIXTURE_H

#include "batch.h"
#include "error.h"
#include "log.h"
#include "wal.h"
#include "wrapped_os.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct wrapped_os wrapped;
static char root_path[400], store_path[512];
static struct error_detail detail;

/* n at the scale of `make check` (0.1) and above, fewer below (valgrind), at least `minimum`. */
__attribute__((unused)) static unsigned scaled(unsigned n, unsigned minimum)
{
    const char *scale = getenv("HPO_TEST_SCALE");
    double factor = scale ? atof(scale) * 10 : 1;
    unsigned count = factor >= 1 ? n : (unsigned)(n * factor);

    return count > minimum ? count : minimum;
}

static void setup(void)
{
    const char *base = getenv("TMPDIR");

    snprintf(root_path, sizeof(root_path), "%s/hpo-wal-XXXXXX", base ? base : "/tmp");
    cr_assert(mkdtemp(root_path));
    snprintf(store_path, sizeof(store_path), "%s/store", root_path);
    wrapped_os_init(&wrapped);
}

static void teardown(void)
{
    char command[900];

    snprintf(command, sizeof(command), "chmod -R u+rwX '%s'; rm -rf '%s'", root_path, root_path);
    cr_assert_eq(system(command), 0);
}

static struct log_options default_options(void)
{
    return (struct log_options){.os = &wrapped.os, .create = true, .error = &detail};
}

/* Segments of 8 KiB to 16 KiB: rolls come quickly. */
static struct log_options small_options(void)
{
    struct log_options options = default_options();

    options.segment_size_first = 8192;
    options.segment_size_max = 16384;
    return options;
}

static struct log *open_log(const struct log_options *options)
{
    struct log *log = NULL;
    int err = log_open(store_path, options, &log);

    cr_assert_eq(err, 0, "open: %d %s %s", err, detail.path, detail.message);
    return log;
}

/* Records that say who wrote them: `size` bytes filled from `tag`. */
static void fill_records(uint8_t *to, size_t size, uint64_t tag)
{
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = tag * 0x9e3779b97f4a7c15u + i;

        memcpy(to + i, &word, 8);
    }
}

/* A writer: one session on one handle. */
struct writer {
    struct log *log;
    uint64_t session;
    uint32_t sequence;
};

static int append_sized(struct writer *writer, size_t size, uint64_t tag, bool last_reserve,
                        struct log_ticket *ticket)
{
    uint8_t *records = malloc(size);
    int err;

    cr_assert(records);
    fill_records(records, size, tag);
    err = log_append(writer->log, writer->session, writer->session ? writer->sequence + 1 : 1,
                     records, size, 1, last_reserve, ticket);
    free(records);
    if (err == 0) {
        if (writer->session == 0)
            writer->session = ticket->at.lsn;
        writer->sequence = ticket->sequence;
    }
    return err;
}

/* Lock, append 64 bytes, unlock. */
static int append_one(struct writer *writer, uint64_t tag, struct log_ticket *ticket)
{
    int err = log_lock(writer->log);

    if (err < 0)
        return err;
    err = append_sized(writer, 64, tag, true, ticket);
    log_unlock(writer->log);
    return err;
}

static void must_append(struct writer *writer, uint64_t tag, struct log_ticket *ticket)
{
    int err = append_one(writer, tag, ticket);

    cr_assert_eq(err, 0, "append: %d %s %s", err, detail.path, detail.message);
}

static void must_wait(struct log *log, const struct log_ticket *ticket)
{
    int err = log_wait(log, ticket);

    cr_assert_eq(err, 0, "wait: %d %s %s", err, detail.path, detail.message);
}

static void must_commit(struct writer *writer, uint64_t tag)
{
    struct log_ticket ticket;

    must_append(writer, tag, &ticket);
    must_wait(writer->log, &ticket);
}

static struct writer begin_session(struct log *log)
{
    struct writer writer = {.log = log};

    must_commit(&writer, 0);
    return writer;
}

/* What a reader saw. */
struct seen {
    struct log_position at;
    uint64_t count;
    uint64_t bytes;
};

static int note_batch(void *arg, const struct log_batch *batch)
{
    struct seen *seen = arg;

    cr_assert_eq(batch->at.lsn, seen->at.lsn + 1);
    seen->at = batch->at;
    seen->count++;
    seen->bytes += batch->records_size;
    return 0;
}

static struct seen from_start(struct log *log)
{
    struct seen seen = {0};
    uint8_t uuid[16];

    log_uuid(log, uuid);
    seen.at = (struct log_position){0, batch_chain_start(uuid)};
    return seen;
}

static int read_on(struct log *log, struct seen *seen)
{
    struct log_position from = seen->at;

    return log_read(log, &from, note_batch, seen);
}

__attribute__((unused)) static struct seen read_all(struct log *log)
{
    struct seen seen = from_start(log);
    int err = read_on(log, &seen);
    struct log_position end = log_end(log);

    cr_assert_eq(err, 0, "read: %d %s at %lu: %s", err, detail.path, (unsigned long)detail.offset,
                 detail.message);
    cr_assert_eq(seen.at.lsn, end.lsn);
    cr_assert_eq(seen.at.chain, end.chain);
    return seen;
}

/* Run fn(arg) in a child of this process; its exit status as of waitpid. */
__attribute__((unused)) static int in_child(void (*fn)(void *arg), void *arg)
{
    pid_t pid = fork();
    int status = 0;

    cr_assert_geq(pid, 0);
    if (pid == 0) {
        fn(arg);
        _exit(0);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return status;
}

static bool was_killed(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

#endif

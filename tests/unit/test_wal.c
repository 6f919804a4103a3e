/*
 * wal: the local log on the real kernel, one process or a few: what it costs, what it survives,
 * what it refuses. Power loss and schedules are the simulated machine's (tests/sim/), groups of
 * many writers test_wal_group.c.
 */
#include "wal_fixture.h"

#include "attest.h"
#include "locks.h"
#include "recovery.h"
#include "segment.h"

#include <pthread.h>
#include <fcntl.h>

TestSuite(wal, .init = setup, .fini = teardown, .timeout = 120);

static struct wal_stat stat_of(struct log *log)
{
    struct wal_stat stat;

    log_stat(log, &stat);
    return stat;
}

/* ---- the plain path ---- */

Test(wal, what_was_committed_is_there_after_reopening)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    struct seen before, after;

    for (uint64_t i = 1; i <= 100; i++)
        must_commit(&writer, i);
    before = read_all(log);
    cr_assert_eq(before.count, 101);
    cr_assert_eq(log_durable(log), 101);
    log_close(log);
    options.create = false;
    log = open_log(&options);
    after = read_all(log);
    cr_assert_eq(after.count, before.count);
    cr_assert_eq(after.at.chain, before.at.chain);
    cr_assert_eq(log_durable(log), 101);
    cr_assert_eq(stat_of(log).verdict, RECOVERY_CLEAN_END);
    cr_assert_eq(stat_of(log).segments, 1, "a clean end goes on in place");
    writer.log = log;
    must_commit(&writer, 7);
    log_close(log);
}

Test(wal, a_new_store_is_empty_and_stays_so)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options);

    cr_assert_eq(read_all(log).count, 0);
    cr_assert_eq(log_sync(log), 0);
    log_close(log);
    log = open_log(&options);
    cr_assert_eq(read_all(log).count, 0);
    cr_assert_eq(stat_of(log).segments, 1);
    log_close(log);
}

Test(wal, a_durable_batch_alone_costs_one_flush_one_write_one_page_one_attest)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    struct wal_stat before = stat_of(log), after;
    uint64_t flushes = wrapped.counts[WRAPPED_SYNC_DATA], writes = wrapped.counts[WRAPPED_PWRITE];

    for (uint64_t i = 1; i <= 50; i++)
        must_commit(&writer, i);
    after = stat_of(log);
    /* As counted by the log, and as seen by the table. */
    cr_assert_eq(after.counters[SHM_FLUSHES] - before.counters[SHM_FLUSHES], 50);
    cr_assert_eq(after.counters[SHM_LOG_WRITES] - before.counters[SHM_LOG_WRITES], 50);
    cr_assert_eq(after.counters[SHM_LOG_SECTORS] - before.counters[SHM_LOG_SECTORS], 50);
    cr_assert_eq(after.counters[SHM_LOG_PAGES] - before.counters[SHM_LOG_PAGES], 50);
    cr_assert_eq(after.counters[SHM_ATTEST_WRITES] - before.counters[SHM_ATTEST_WRITES], 50);
    cr_assert_eq(after.counters[SHM_COMMITS] - before.counters[SHM_COMMITS], 50);
    cr_assert_eq(after.histograms[SHM_COMMITS_PER_FLUSH][0] -
                     before.histograms[SHM_COMMITS_PER_FLUSH][0],
                 50);
    cr_assert_eq(after.counters[SHM_ROLLS], 0);
    cr_assert_eq(wrapped.counts[WRAPPED_SYNC_DATA] - flushes, 50);
    cr_assert_eq(wrapped.counts[WRAPPED_PWRITE] - writes, 50);
    log_close(log);
}

Test(wal, each_sector_attests_what_was_durable_when_it_began)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    uint8_t sector[SECTOR_SIZE];
    char path[600];
    int fd;

    for (uint64_t i = 1; i < 20; i++)
        must_commit(&writer, i);
    log_close(log);
    snprintf(path, sizeof(path), "%s/wal/00000001.wal", store_path);
    fd = open(path, O_RDONLY);
    for (uint64_t i = 0; i < 20; i++) { /* the sector of LSN i + 1 */
        cr_assert_eq(pread(fd, sector, SECTOR_SIZE, (off_t)(SEGMENT_HEADER_SIZE + i * SECTOR_SIZE)),
                     SECTOR_SIZE);
        cr_assert_eq(sector_durable(sector), i);
    }
    close(fd);
}

Test(wal, small_batches_without_a_flush_share_sectors)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    struct wal_stat before = stat_of(log), after;
    struct log_ticket ticket;

    for (uint64_t i = 1; i <= 100; i++)
        must_append(&writer, i, &ticket);
    must_wait(log, &ticket);
    after = stat_of(log);
    /* 104 bytes each: 21 full sectors of payload; a batch across sectors writes two. */
    cr_assert_leq(after.counters[SHM_LOG_WRITE_BYTES] - before.counters[SHM_LOG_WRITE_BYTES],
                  512u * 125);
    cr_assert_eq(after.counters[SHM_FLUSHES] - before.counters[SHM_FLUSHES], 1);
    /* 21 sectors, the first of them the second of its page. */
    cr_assert_eq(after.counters[SHM_LOG_PAGES] - before.counters[SHM_LOG_PAGES], 3);
    cr_assert_eq(read_all(log).count, 101);
    log_close(log);
}

Test(wal, reading_with_nothing_new_makes_no_call)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    struct seen seen = read_all(log);
    uint64_t opens = wrapped.counts[WRAPPED_OPEN], locks = wrapped.counts[WRAPPED_LOCK];

    (void)writer;
    for (int i = 0; i < 10; i++)
        cr_assert_eq(read_on(log, &seen), 0);
    cr_assert_eq(wrapped.counts[WRAPPED_OPEN], opens);
    cr_assert_eq(wrapped.counts[WRAPPED_LOCK], locks);
    log_close(log);
}

Test(wal, segments_follow_each_other_and_reading_crosses_them)
{
    struct log_options options = small_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    struct seen follower = read_all(log), seen;
    struct wal_stat stat;

    for (uint64_t i = 1; i <= 200; i++) {
        must_commit(&writer, i);
        if (i % 7 == 0)
            cr_assert_eq(read_on(log, &follower), 0);
    }
    cr_assert_eq(read_on(log, &follower), 0);
    seen = read_all(log);
    cr_assert_eq(seen.count, 201);
    cr_assert_eq(seen.at.chain, follower.at.chain);
    stat = stat_of(log);
    cr_assert_geq(stat.counters[SHM_ROLLS_FULL], 6, "rolls: %lu",
                  (unsigned long)stat.counters[SHM_ROLLS_FULL]);
    cr_assert_eq(stat.counters[SHM_ROLLS], stat.counters[SHM_ROLLS_FULL]);
    cr_assert_eq(stat.segments, stat.counters[SHM_ROLLS] + 1);
    cr_assert_eq(stat.counters[SHM_ATTEST_SYNCS], stat.counters[SHM_ROLLS], "a roll syncs it");
    cr_assert_geq(stat.zero_files, 1, "a file is ready for the next roll");
    log_close(log);
    log = open_log(&options);
    cr_assert_eq(read_all(log).at.chain, seen.at.chain);
    log_close(log);
}

Test(wal, a_batch_larger_than_a_segment_gets_one_of_its_own)
{
    struct log_options options = small_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    static const size_t sizes[] = {20000, 64, 1u << 20, BATCH_RECORDS_MAX, 4096, 16384};
    struct log_ticket ticket;
    struct seen seen;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        cr_assert_eq(log_lock(log), 0);
        cr_assert_eq(append_sized(&writer, sizes[i], i, true, &ticket), 0, "%zu: %s", sizes[i],
                     detail.message);
        log_unlock(log);
        must_wait(log, &ticket);
    }
    cr_assert_eq(log_lock(log), 0);
    cr_assert_eq(append_sized(&writer, BATCH_RECORDS_MAX + 8, 9, true, &ticket), HPO_TOO_LARGE);
    log_unlock(log);
    seen = read_all(log);
    cr_assert_eq(seen.count, 7);
    log_close(log);
    log = open_log(&options);
    cr_assert_eq(read_all(log).at.chain, seen.at.chain);
    log_close(log);
}

Test(wal, a_position_that_never_was_is_told_as_divergence)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    struct seen seen = read_all(log);

    must_commit(&writer, 1);
    seen.at.chain ^= 1;
    cr_assert_eq(read_on(log, &seen), LOG_DIVERGED);
    seen.at = (struct log_position){17, 4};
    cr_assert_eq(read_on(log, &seen), LOG_DIVERGED);
    log_close(log);
}

/* ---- several handles ---- */

Test(wal, two_handles_of_one_process_see_each_other)
{
    struct log_options options = small_options();
    struct log *one = open_log(&options), *two = open_log(&options);
    struct writer first = begin_session(one), second = begin_session(two);
    struct seen seen_one, seen_two;

    for (uint64_t i = 1; i <= 100; i++)
        must_commit(i % 3 ? &first : &second, i);
    seen_one = read_all(one);
    seen_two = read_all(two);
    cr_assert_eq(seen_one.count, 102);
    cr_assert_eq(seen_one.at.chain, seen_two.at.chain);
    log_close(one);
    must_commit(&second, 101);
    cr_assert_eq(read_all(two).count, 103);
    log_close(two);
}

Test(wal, the_last_one_out_leaves_nothing_to_recover)
{
    struct log_options options = default_options();
    struct log *log;
    struct writer writer;
    struct log_ticket ticket;
    struct attest attest;
    struct os_dir *dir;
    uint8_t uuid[16];

    options.relaxed = true;
    log = open_log(&options);
    writer = (struct writer){.log = log};
    for (uint64_t i = 0; i < 10; i++) {
        must_append(&writer, i, &ticket);
        cr_assert_eq(log_wait(log, &ticket), 0);
    }
    cr_assert_eq(log_durable(log), 0, "relaxed: nothing was flushed");
    cr_assert_eq(stat_of(log).counters[SHM_COMMITS], 0);
    log_uuid(log, uuid);
    log_close(log);
    cr_assert_eq(wrapped.real->dir_open(NULL, store_path, &dir), 0);
    cr_assert_eq(attest_read(wrapped.real, dir, uuid, &attest, &detail), 0);
    wrapped.real->dir_close(NULL, dir);
    cr_assert(attest.slot[0].at.lsn == 10 || attest.slot[1].at.lsn == 10, "close attests the end");
    log = open_log(&options);
    cr_assert_eq(stat_of(log).verdict, RECOVERY_CLEAN_END);
    cr_assert_eq(stat_of(log).segments, 1);
    cr_assert_eq(log_durable(log), 10);
    log_close(log);
}

Test(wal, sync_makes_the_batches_of_others_durable)
{
    struct log_options options = default_options();
    struct log *one = open_log(&options), *two = open_log(&options);
    struct writer writer = begin_session(one);
    struct log_ticket ticket;

    must_append(&writer, 1, &ticket);
    cr_assert_lt(log_durable(two), ticket.at.lsn);
    cr_assert_eq(log_sync(two), 0);
    cr_assert_eq(log_durable(two), ticket.at.lsn);
    log_close(two);
    log_close(one);
}

/* ---- handles that only read ---- */

Test(wal, a_reader_follows_a_live_store_without_locks_or_writes)
{
    struct log_options options = small_options(), reading = small_options();
    struct log *log = open_log(&options), *reader;
    struct writer writer = begin_session(log);
    struct log_ticket ticket;
    struct seen seen;
    uint64_t locks;

    reading.read_only = true;
    reader = open_log(&reading);
    seen = read_all(reader);
    for (uint64_t i = 1; i <= 120; i++) {
        must_append(&writer, i, &ticket);
        locks = wrapped.counts[WRAPPED_LOCK];
        cr_assert_eq(read_on(reader, &seen), 0);
        cr_assert_eq(wrapped.counts[WRAPPED_LOCK], locks);
        cr_assert_eq(seen.at.lsn, ticket.at.lsn, "unflushed batches are visible");
    }
    cr_assert_eq(log_lock(reader), HPO_READONLY);
    log_close(log);
    cr_assert_eq(read_on(reader, &seen), 0);
    log = open_log(&options); /* the page is rebuilt under the reader */
    writer.log = log;
    must_commit(&writer, 500);
    cr_assert_eq(read_on(reader, &seen), 0);
    cr_assert_eq(seen.at.lsn, log_end(log).lsn);
    cr_assert_eq(log_durable(reader), log_durable(log));
    log_close(log);
    log_close(reader);
}

Test(wal, a_reader_reads_the_files_when_nobody_is_alive_and_notices_who_comes)
{
    struct log_options options = default_options(), reading = default_options();
    struct log *log = open_log(&options), *reader;
    struct writer writer = begin_session(log);
    struct seen seen;

    for (uint64_t i = 1; i <= 20; i++)
        must_commit(&writer, i);
    log_close(log);
    reading.read_only = true;
    reader = open_log(&reading);
    seen = read_all(reader);
    cr_assert_eq(seen.count, 21);
    cr_assert_eq(log_durable(reader), 21);
    cr_assert_not(stat_of(reader).alive);
    cr_assert_eq(log_damage(reader), 0);
    log = open_log(&options);
    writer.log = log;
    must_commit(&writer, 21);
    cr_assert_eq(read_on(reader, &seen), 0);
    cr_assert_eq(seen.at.lsn, 22);
    cr_assert(stat_of(reader).alive);
    log_close(log);
    log_close(reader);
}

Test(wal, a_reader_without_a_page_notices_who_came_and_went)
{
    struct log_options options = small_options(), reading = small_options();
    struct log *log = open_log(&options), *reader;
    struct writer writer = begin_session(log);
    struct log_ticket ticket;
    struct seen seen;
    uint64_t opens;

    log_close(log);
    reading.read_only = true;
    reader = open_log(&reading);
    seen = read_all(reader);
    for (uint64_t i = 1; i < 40; i++) {
        log = open_log(&options);
        writer = (struct writer){.log = log};
        must_commit(&writer, i);
        if (i % 3 == 0) {
            struct wrapped_rule rule = {.call = WRAPPED_PWRITE,
                                        .role = OS_ROLE_WAL,
                                        .count = 1,
                                        .effect = WRAPPED_FAIL,
                                        .value = ENOSPC};

            wrapped_os_arm(&wrapped, &rule); /* and sometimes it rolls */
            must_append(&writer, i, &ticket);
            wrapped_os_disarm(&wrapped);
        }
        log_close(log);
        cr_assert_eq(read_on(reader, &seen), 0);
        cr_assert_eq(seen.at.lsn, log_end(reader).lsn);
        cr_assert_eq(seen.count, 1 + i + i / 3, "%lu", (unsigned long)i);
        cr_assert_eq(log_durable(reader), seen.at.lsn);
        opens = wrapped.counts[WRAPPED_OPEN];
        cr_assert_eq(read_on(reader, &seen), 0);
        cr_assert_eq(read_on(reader, &seen), 0);
        cr_assert_leq(wrapped.counts[WRAPPED_OPEN], opens + 4, "two cheap looks each");
    }
    log_close(reader);
}

Test(wal, a_reader_needs_neither_page_nor_lock_file)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    char path[600];

    must_commit(&writer, 1);
    log_close(log);
    snprintf(path, sizeof(path), "%s/lock", store_path);
    cr_assert_eq(unlink(path), 0);
    snprintf(path, sizeof(path), "%s/shm", store_path);
    cr_assert_eq(unlink(path), 0);
    options.read_only = true;
    log = open_log(&options);
    cr_assert_eq(read_all(log).count, 2);
    log_close(log);
    snprintf(path, sizeof(path), "%s/lock", store_path);
    cr_assert_eq(access(path, F_OK), -1, "a reader makes no files");
}

Test(wal, an_open_during_anothers_recovery_waits_or_says_busy)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    struct os_dir *dir;
    struct locks locks;
    int64_t begin;

    (void)writer;
    log_close(log);
    cr_assert_eq(wrapped.real->dir_open(NULL, store_path, &dir), 0);
    cr_assert_eq(locks_open(&locks, wrapped.real, dir, true), 0);
    cr_assert_eq(locks_join(&locks, false), LOCKS_ALONE); /* and here it is stuck */
    options.no_wait = true;
    cr_assert_eq(log_open(store_path, &options, &log), HPO_BUSY);
    options.read_only = true;
    cr_assert_eq(log_open(store_path, &options, &log), HPO_BUSY);
    options.no_wait = false;
    begin = wrapped.real->clock_monotonic(NULL);
    log = open_log(&options); /* a reader has waited long enough */
    cr_assert_geq(wrapped.real->clock_monotonic(NULL) - begin, 500000);
    cr_assert_eq(read_all(log).count, 1);
    log_close(log);
    locks_close(&locks);
    wrapped.real->dir_close(NULL, dir);
}

static void flip_bit(const char *file, uint64_t offset)
{
    char path[600];
    uint8_t byte;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", store_path, file);
    fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= 4;
    cr_assert_eq(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

Test(wal, damage_refuses_writers_and_shows_readers_what_lies_before)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);

    for (uint64_t i = 1; i <= 20; i++)
        must_commit(&writer, i);
    log_close(log);
    flip_bit("wal/00000001.wal", SEGMENT_HEADER_SIZE + 10 * SECTOR_SIZE + 100); /* batch 11 */
    cr_assert_eq(log_open(store_path, &options, &log), HPO_CORRUPT);
    cr_assert_str_eq(detail.path, "wal/00000001.wal");
    cr_assert_eq(detail.lsn, 11);
    cr_assert_eq(detail.offset, SEGMENT_HEADER_SIZE + 10 * SECTOR_SIZE);
    options.read_only = true;
    log = open_log(&options);
    cr_assert_eq(read_all(log).count, 10);
    cr_assert_eq(log_damage(log), HPO_CORRUPT);
    cr_assert_eq(detail.lsn, 11);
    log_close(log);
}

/* ---- fork ---- */

struct inherited {
    struct writer writer;
    struct log_session *session;
};

static void use_inherited(void *arg)
{
    struct inherited *inherited = arg;
    struct log *log = inherited->writer.log;
    struct log_ticket ticket = {{1, 1}, 1, 1, 1};
    struct log_session *session;
    struct seen seen = {0};
    uint32_t slot;
    bool right = log_lock(log) == HPO_FORKED &&
                 log_read(log, &seen.at, note_batch, &seen) == HPO_FORKED &&
                 log_wait(log, &ticket) == HPO_FORKED && log_sync(log) == HPO_FORKED &&
                 log_session_claim(log, &session, &slot) == HPO_FORKED &&
                 log_session_alive(log, 0) == HPO_FORKED && log_snapshot_try(log) == HPO_FORKED;

    log_session_release(log, inherited->session);
    log_close(log);
    _exit(right ? 7 : 8);
}

Test(wal, an_inherited_handle_does_nothing_and_its_close_frees_only_memory)
{
    struct log_options options = default_options();
    struct inherited inherited = {.writer = begin_session(open_log(&options))};
    struct log *log = inherited.writer.log;
    uint32_t slot;
    int status;

    cr_assert_eq(log_session_claim(log, &inherited.session, &slot), 0);
    status = in_child(use_inherited, &inherited);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %d", status);
    cr_assert_eq(log_session_alive(log, slot), 1);
    must_commit(&inherited.writer, 1);
    cr_assert_eq(read_all(log).count, 2);
    log_session_release(log, inherited.session);
    log_close(log);
}

/* ---- sessions ---- */

static void claim_and_die(void *arg)
{
    struct log_options *options = arg;
    struct log_session *session;
    struct log *log;
    uint32_t slot;

    if (log_open(store_path, options, &log) < 0 || log_session_claim(log, &session, &slot) < 0 ||
        slot != 2)
        _exit(1);
    kill(getpid(), SIGKILL);
}

Test(wal, a_session_is_alive_as_long_as_its_slot_is_held)
{
    struct log_options options = default_options();
    struct log *one = open_log(&options), *two = open_log(&options);
    struct log_session *first, *second;
    uint32_t slot_first, slot_second;

    cr_assert_eq(log_session_claim(one, &first, &slot_first), 0);
    cr_assert_eq(log_session_claim(one, &second, &slot_second), 0);
    cr_assert_eq(slot_first, 0);
    cr_assert_eq(slot_second, 1);
    cr_assert_eq(log_session_alive(one, 0), 1, "its own handle sees it");
    cr_assert_eq(log_session_alive(two, 1), 1, "and a sibling in the same process");
    cr_assert_eq(log_session_alive(two, 2), 0);
    cr_assert(was_killed(in_child(claim_and_die, &options)));
    cr_assert_eq(log_session_alive(two, 2), 0, "death frees the slot");
    log_session_release(one, first);
    cr_assert_eq(log_session_alive(two, 0), 0);
    cr_assert_eq(log_session_claim(two, &first, &slot_first), 0);
    cr_assert_eq(slot_first, 0);
    log_session_release(two, first);
    log_session_release(one, second);
    log_close(two);
    log_close(one);
}

/* ---- deaths ---- */

struct death {
    struct log_options options;
    const char *point;
    unsigned occurrence;
    uint64_t acknowledged; /* batches, when the point comes for the first time; 0: do not look */
};

/* Commit until killed. */
static void commit_until_killed(void *arg)
{
    struct death *death = arg;
    struct wrapped_rule rule = {.call = WRAPPED_POINT,
                                .point = death->point,
                                .from = death->occurrence,
                                .count = 1,
                                .effect = WRAPPED_KILL};
    struct log *log;
    struct writer writer = {0};

    if (log_open(store_path, &death->options, &log) < 0)
        _exit(1);
    writer.log = log;
    wrapped_os_arm(&wrapped, &rule);
    for (uint64_t i = 0; i < 400; i++) {
        struct log_ticket ticket;

        if (append_one(&writer, i, &ticket) < 0 || log_wait(log, &ticket) < 0)
            _exit(2);
    }
    _exit(3);
}

static const char *const points[] = {
    "append.marked",   "append.written",     "append.published", "sync.sealed", "sync.flushed",
    "sync.durable",    "roll.marked",        "segment.taken",    "roll.copied", "segment.synced",
    "segment.renamed", "segment.dir_synced", "roll.published",   "roll.begun",  "roll.attested",
};

/* A writer is killed at a point while another lives: the other goes on, nothing acknowledged is
 * lost. */
static void death_beside_a_survivor(const char *point)
{
    struct death death = {.options = small_options(), .point = point};
    struct log *log;
    struct writer writer;
    struct seen seen, follower;
    bool rolling = strncmp(point, "roll.", 5) == 0 || strncmp(point, "segment.", 8) == 0;

    death.occurrence = rolling ? 2 : 20;
    log = open_log(&death.options);
    writer = begin_session(log);
    follower = read_all(log);
    cr_assert(was_killed(in_child(commit_until_killed, &death)), "%s was not reached", point);
    for (uint64_t i = 1000; i < 1010; i++)
        must_commit(&writer, i);
    seen = read_all(log);
    cr_assert_eq(read_on(log, &follower), 0, "%s", point);
    cr_assert_eq(follower.at.chain, seen.at.chain);
    /* The dead one's 19 commits before the point, at least. */
    if (!rolling)
        cr_assert_geq(seen.count, 1 + 19 + 10);
    cr_assert_eq(log_durable(log), seen.at.lsn);
    log_close(log);
    log = open_log(&death.options);
    cr_assert_eq(stat_of(log).verdict, RECOVERY_CLEAN_END, "%s", point);
    cr_assert_eq(read_all(log).at.chain, seen.at.chain);
    log_close(log);
}

Test(wal, a_survivor_goes_on_wherever_another_writer_died)
{
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        death_beside_a_survivor(points[i]);
        teardown();
        setup();
    }
}

Test(wal, the_next_opener_recovers_wherever_the_only_writer_died)
{
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        struct death death = {.options = small_options(), .point = points[i]};
        bool rolling =
            strncmp(points[i], "roll.", 5) == 0 || strncmp(points[i], "segment.", 8) == 0;
        struct log *log;
        struct writer writer;
        struct seen seen;

        death.occurrence = rolling ? 3 : 20;
        cr_assert(was_killed(in_child(commit_until_killed, &death)), "%s was not reached",
                  points[i]);
        log = open_log(&death.options);
        seen = read_all(log);
        if (!rolling)
            cr_assert(seen.count >= 19 && seen.count <= 20, "%s: %lu", points[i],
                      (unsigned long)seen.count);
        writer = (struct writer){.log = log};
        must_commit(&writer, 4711);
        cr_assert_eq(read_all(log).count, seen.count + 1);
        log_close(log);
        teardown();
        setup();
    }
}

/* A waiter, not an appender, is the first to meet what the dead one left. */
static void death_beside_a_waiter(const char *point, bool relaxed)
{
    struct log_options options = small_options();
    struct death death = {.options = small_options(), .point = point, .occurrence = 1};
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    struct log_ticket ticket;

    death.options.relaxed = relaxed; /* it flushes nothing: the waiter has to */
    must_append(&writer, 1, &ticket);
    cr_assert(was_killed(in_child(commit_until_killed, &death)), "%s", point);
    must_wait(log, &ticket);
    cr_assert_geq(log_durable(log), ticket.at.lsn);
    log_close(log);
}

Test(wal, a_waiter_is_not_left_alone_by_a_dead_roller, .timeout = 60)
{
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        death_beside_a_waiter(points[i], false);
        teardown();
        setup();
        if (strncmp(points[i], "sync.", 5) != 0) {
            death_beside_a_waiter(points[i], true);
            teardown();
            setup();
        }
    }
}

static unsigned count_files(const char *suffix)
{
    char command[700], text[64] = "";
    FILE *count;

    snprintf(command, sizeof(command), "ls '%s/wal' | grep -c '%s$'", store_path, suffix);
    count = popen(command, "r");
    cr_assert(count && fgets(text, sizeof(text), count));
    pclose(count);
    return (unsigned)strtoul(text, NULL, 10);
}

Test(wal, files_of_dead_preparers_and_rollers_do_not_pile_up)
{
    struct death death = {.options = small_options(), .occurrence = 1};
    static const char *const left_over[] = {"segment.taken", "segment.synced", "roll.copied"};
    struct log *log = open_log(&death.options);
    struct writer writer = begin_session(log);

    for (unsigned i = 0; i < 12; i++) {
        death.point = left_over[i % 3];
        cr_assert(was_killed(in_child(commit_until_killed, &death)), "%s", death.point);
        must_commit(&writer, i);
    }
    death.point = "append.marked";
    cr_assert(was_killed(in_child(commit_until_killed, &death)));
    must_commit(&writer, 100);
    cr_assert_eq(count_files(".new"), 0);
    cr_assert_leq(count_files(".zero"), 4);
    log_close(log);
}

static void die_in_recovery(void *arg)
{
    struct death *death = arg;
    struct wrapped_rule rule = {
        .call = WRAPPED_POINT, .point = death->point, .count = 1, .effect = WRAPPED_KILL};
    struct log *log;

    wrapped_os_arm(&wrapped, &rule);
    if (log_open(store_path, &death->options, &log) < 0)
        _exit(1);
    _exit(3);
}

Test(wal, recovery_survives_its_own_death)
{
    static const char *const recovery_points[] = {
        "roll.marked",        "segment.taken",  "roll.copied", "segment.synced", "segment.renamed",
        "segment.dir_synced", "roll.published", "roll.begun",  "roll.attested"};

    for (size_t i = 0; i < sizeof(recovery_points) / sizeof(recovery_points[0]); i++) {
        struct death death = {
            .options = default_options(), .point = "append.published", .occurrence = 20};
        struct log *log;
        uint64_t count;

        cr_assert(was_killed(in_child(commit_until_killed, &death)));
        death.point = recovery_points[i]; /* batch 20 is published, not attested: recovery rolls */
        cr_assert(was_killed(in_child(die_in_recovery, &death)), "%s was not reached", death.point);
        (void)in_child(die_in_recovery, &death); /* and perhaps once more */
        log = open_log(&death.options);
        count = read_all(log).count;
        cr_assert_eq(count, 20, "%s: %lu", death.point, (unsigned long)count);
        log_close(log);
        teardown();
        setup();
    }
}

Test(wal, a_store_killed_again_and_again_stays_small)
{
    struct death death = {.options = default_options(), .point = "append.written", .occurrence = 3};
    unsigned kills = scaled(50, 10);
    struct log *log;
    char command[700], text[64] = "";
    unsigned long kib;
    FILE *du;

    for (unsigned i = 0; i < kills; i++)
        cr_assert(was_killed(in_child(commit_until_killed, &death)));
    log = open_log(&death.options);
    /* Two acknowledged of each, and the third, which the page cache kept. */
    cr_assert_eq(read_all(log).count, kills * 3);
    cr_assert_geq(stat_of(log).segments, kills);
    log_close(log);
    snprintf(command, sizeof(command), "du -sk '%s'", store_path);
    du = popen(command, "r");
    cr_assert(du && fgets(text, sizeof(text), du));
    pclose(du);
    kib = strtoul(text, NULL, 10);
    cr_assert_lt(kib, kills * 16 + 1024, "%u killed segments take %lu KiB", kills, kib);
}

/* ---- failing flushes ---- */

Test(wal, after_a_failed_flush_the_log_rolls_and_what_was_copied_counts)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options), *other = open_log(&options);
    struct writer writer = begin_session(log), second = begin_session(other);
    struct wrapped_rule rule = {.call = WRAPPED_SYNC_DATA,
                                .role = OS_ROLE_WAL,
                                .count = 1,
                                .effect = WRAPPED_FAIL,
                                .value = EIO};
    struct log_ticket mine, theirs;
    struct wal_stat stat;

    must_append(&writer, 1, &mine);
    must_append(&second, 2, &theirs);
    wrapped_os_arm(&wrapped, &rule);
    must_wait(log, &mine);
    must_wait(other, &theirs);
    stat = stat_of(log);
    cr_assert_eq(stat.counters[SHM_FLUSH_FAILURES], 1);
    cr_assert_eq(stat.counters[SHM_ROLLS_SYNC_FAILED], 1);
    cr_assert_eq(stat.epoch, 2);
    cr_assert_eq(stat.counters[SHM_BATCHES_COPIED], 2);
    cr_assert_eq(log_durable(log), 4);
    must_commit(&writer, 3);
    must_commit(&second, 4);
    cr_assert_eq(read_all(other).count, 6);
    log_close(other);
    log_close(log);
    log = open_log(&options);
    cr_assert_eq(read_all(log).count, 6);
    log_close(log);
}

Test(wal, a_batch_that_a_failed_flush_took_away_was_not_written)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options), *other = open_log(&options);
    struct writer writer = begin_session(log);
    struct wrapped_rule rule = {
        .call = WRAPPED_SYNC_DATA, .role = OS_ROLE_WAL, .count = 1, .effect = WRAPPED_REVERT};
    struct log_ticket lost, kept;
    struct seen follower = read_all(other), own;

    must_append(&writer, 1, &lost);
    cr_assert_eq(read_on(other, &follower), 0);
    cr_assert_eq(follower.at.lsn, 2);
    wrapped_os_arm(&wrapped, &rule);
    cr_assert_eq(log_wait(log, &lost), HPO_NOT_WRITTEN);
    cr_assert_eq(read_on(other, &follower), LOG_DIVERGED);
    own = read_all(log);
    cr_assert_eq(own.count, 1);
    writer.sequence = 1; /* the last one in the log */
    must_append(&writer, 2, &kept);
    cr_assert_eq(kept.at.lsn, lost.at.lsn, "numbers are used again");
    cr_assert_neq(kept.at.chain, lost.at.chain);
    must_wait(log, &kept);
    follower = from_start(other);
    cr_assert_eq(read_on(other, &follower), 0);
    cr_assert_eq(follower.count, 2);
    log_close(other);
    log_close(log);
}

/* Its flush fails and takes the pages with it, and it dies before it can tell anybody. */
static void fail_and_die(void *arg)
{
    struct log_options *options = arg;
    struct wrapped_rule fail = {
        .call = WRAPPED_SYNC_DATA, .role = OS_ROLE_WAL, .count = 1, .effect = WRAPPED_REVERT};
    struct wrapped_rule die = {
        .call = WRAPPED_POINT, .point = "sync.flushed", .count = 1, .effect = WRAPPED_KILL};
    struct writer writer = {0};
    struct log_ticket ticket;

    if (log_open(store_path, options, &writer.log) < 0)
        _exit(1);
    wrapped_os_arm(&wrapped, &fail);
    wrapped_os_arm(&wrapped, &die);
    if (append_one(&writer, 2, &ticket) < 0)
        _exit(2);
    (void)log_wait(writer.log, &ticket);
    _exit(3);
}

Test(wal, a_leader_that_dies_with_the_news_of_a_failed_flush_deceives_nobody)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    struct log_ticket ticket;

    must_append(&writer, 1, &ticket);
    /* The child's batch shares the sector of ours. */
    cr_assert(was_killed(in_child(fail_and_die, &options)));
    cr_assert_eq(log_wait(log, &ticket), HPO_NOT_WRITTEN,
                 "no second flush may say that it is durable");
    cr_assert_eq(stat_of(log).counters[SHM_ROLLS_TAKEOVER], 1);
    cr_assert_eq(read_all(log).count, 1);
    log_close(log);
}

Test(wal, a_lost_batch_is_not_taken_for_anothers_of_its_number)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options), *other = open_log(&options);
    struct writer writer = begin_session(log), second = begin_session(other);
    struct wrapped_rule rule = {
        .call = WRAPPED_SYNC_DATA, .role = OS_ROLE_WAL, .count = 1, .effect = WRAPPED_REVERT};
    struct log_ticket lost, taken;

    must_append(&writer, 1, &lost);
    wrapped_os_arm(&wrapped, &rule);
    cr_assert_eq(log_sync(other), HPO_NOT_WRITTEN);
    must_append(&second, 2, &taken);
    must_wait(other, &taken);
    cr_assert_eq(taken.at.lsn, lost.at.lsn);
    cr_assert_eq(log_wait(log, &lost), HPO_NOT_WRITTEN, "durable is another one");
    log_close(other);
    log_close(log);
}

/* W6: two threads of a session; the first one's batch is lost, the second appends the very same
 * bytes again. */
Test(wal, a_lost_batch_is_not_taken_for_its_twin)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options), *other = open_log(&options);
    struct writer writer = begin_session(log), second = begin_session(other), again;
    struct wrapped_rule rule = {
        .call = WRAPPED_SYNC_DATA, .role = OS_ROLE_WAL, .count = 1, .effect = WRAPPED_REVERT};
    struct log_ticket lost, twin;

    again = writer;
    must_append(&writer, 1, &lost);
    wrapped_os_arm(&wrapped, &rule);
    cr_assert_eq(log_sync(other), HPO_NOT_WRITTEN, "the other handle's flush fails and rolls");
    must_append(&again, 1, &twin);
    cr_assert_eq(twin.at.lsn, lost.at.lsn);
    cr_assert_eq(twin.at.chain, lost.at.chain, "by number and by chain it is the same batch");
    must_wait(log, &twin);
    cr_assert_eq(log_wait(log, &lost), HPO_NOT_WRITTEN);
    (void)second;
    log_close(other);
    log_close(log);
}

Test(wal, without_a_new_segment_the_outcome_is_unknown_and_the_handle_read_only)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    struct wrapped_rule flush = {.call = WRAPPED_SYNC_DATA,
                                 .role = OS_ROLE_WAL,
                                 .count = 1,
                                 .effect = WRAPPED_FAIL,
                                 .value = EIO};
    struct wrapped_rule full = {.call = WRAPPED_PWRITE,
                                .role = OS_ROLE_WAL,
                                .from = 1,
                                .effect = WRAPPED_FAIL,
                                .value = ENOSPC};
    struct log_ticket ticket;

    must_append(&writer, 1, &ticket);
    wrapped_os_arm(&wrapped, &flush);
    wrapped_os_arm(&wrapped, &full);
    cr_assert_eq(log_wait(log, &ticket), HPO_UNKNOWN);
    cr_assert_neq(strstr(detail.message, "open the store again"), NULL);
    wrapped_os_disarm(&wrapped);
    cr_assert_eq(log_lock(log), HPO_UNKNOWN);
    cr_assert_eq(read_all(log).count, 2, "reading goes on");
    log_close(log);
    log = open_log(&options);
    cr_assert_eq(read_all(log).count, 2, "reopening tells");
    log_close(log);
}

Test(wal, a_failing_flush_is_never_repeated_on_its_file)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    struct wrapped_rule rule = {.call = WRAPPED_SYNC_DATA,
                                .role = OS_ROLE_WAL,
                                .count = 1,
                                .effect = WRAPPED_FAIL,
                                .value = EIO};
    uint64_t flushes;

    wrapped_os_arm(&wrapped, &rule);
    flushes = wrapped.counts[WRAPPED_SYNC_DATA];
    must_commit(&writer, 1);
    cr_assert_eq(wrapped.counts[WRAPPED_SYNC_DATA], flushes + 1);
    log_close(log);
}

/* ---- failing writes and full disks ---- */

Test(wal, short_and_interrupted_writes_are_gone_on_with)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    struct wrapped_rule cut = {.call = WRAPPED_PWRITE,
                               .role = OS_ROLE_WAL,
                               .count = 3,
                               .effect = WRAPPED_SHORT,
                               .value = 1024};
    struct wrapped_rule interrupted = {.call = WRAPPED_PWRITE,
                                       .role = OS_ROLE_WAL,
                                       .from = 2,
                                       .count = 1,
                                       .effect = WRAPPED_FAIL,
                                       .value = EINTR};
    struct log_ticket ticket;

    wrapped_os_arm(&wrapped, &interrupted);
    wrapped_os_arm(&wrapped, &cut);
    cr_assert_eq(log_lock(log), 0);
    cr_assert_eq(append_sized(&writer, 10000, 1, true, &ticket), 0);
    log_unlock(log);
    must_wait(log, &ticket);
    cr_assert_eq(stat_of(log).counters[SHM_ROLLS], 0);
    cr_assert_eq(read_all(log).count, 2);
    log_close(log);
}

Test(wal, a_failed_write_is_left_behind_and_repeated_in_a_new_segment)
{
    static const int errors[] = {ENOSPC, EDQUOT, EFBIG, EIO, EROFS};

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        struct log_options options = default_options();
        struct log *log = open_log(&options);
        struct writer writer = begin_session(log);
        struct wrapped_rule rule = {.call = WRAPPED_PWRITE,
                                    .role = OS_ROLE_WAL,
                                    .count = 1,
                                    .effect = WRAPPED_FAIL,
                                    .value = errors[i]};

        wrapped_os_arm(&wrapped, &rule);
        must_commit(&writer, 1);
        cr_assert_eq(stat_of(log).counters[SHM_ROLLS_TAKEOVER], 1);
        cr_assert_eq(read_all(log).count, 2);
        log_close(log);
        teardown();
        setup();
    }
}

Test(wal, an_append_that_cannot_be_written_anywhere_appends_nothing)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    struct wrapped_rule rule = {.call = WRAPPED_PWRITE,
                                .role = OS_ROLE_WAL,
                                .from = 1,
                                .effect = WRAPPED_FAIL,
                                .value = ENOSPC};
    struct log_ticket ticket;

    wrapped_os_arm(&wrapped, &rule);
    cr_assert_eq(append_one(&writer, 1, &ticket), HPO_NOSPACE);
    cr_assert_eq(log_end(log).lsn, 1);
    wrapped_os_disarm(&wrapped);
    must_commit(&writer, 2); /* the marker that stayed made this one roll first */
    cr_assert_eq(stat_of(log).counters[SHM_ROLLS_TAKEOVER], 1);
    cr_assert_eq(read_all(log).count, 2);
    log_close(log);
}

Test(wal, on_a_full_disk_trials_in_progress_finish_and_new_ones_are_refused)
{
    struct log_options options = small_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    /* New files cannot be written any more, the ones that exist can. */
    struct wrapped_rule full = {.call = WRAPPED_SYNC_ALL,
                                .role = OS_ROLE_WAL,
                                .from = 1,
                                .effect = WRAPPED_FAIL,
                                .value = ENOSPC};
    struct log_ticket ticket;
    unsigned finished = 0, segments;
    int err;

    for (uint64_t i = 0; i < 60; i++) /* several segments; reserve and next file exist */
        must_commit(&writer, i);
    segments = (unsigned)stat_of(log).segments;
    cr_assert_geq(stat_of(log).zero_files, 1);
    wrapped_os_arm(&wrapped, &full);
    for (;;) {
        cr_assert_eq(log_lock(log), 0);
        err = append_sized(&writer, 64, finished, false, &ticket);
        log_unlock(log);
        if (err < 0)
            break;
        must_wait(log, &ticket);
        cr_assert_lt(++finished, 200u);
    }
    cr_assert_eq(err, HPO_NOSPACE);
    cr_assert(stat_of(log).space_low);
    finished = 0;
    for (;;) { /* what is left serves those that have begun */
        err = append_one(&writer, 1000 + finished, &ticket);
        if (err < 0)
            break;
        err = log_wait(log, &ticket);
        cr_assert_eq(err, 0);
        cr_assert_lt(++finished, 200u);
    }
    cr_assert_eq(err, HPO_NOSPACE);
    cr_assert_geq(finished, 1);
    cr_assert_geq(stat_of(log).segments, segments);
    wrapped_os_disarm(&wrapped);
    wrapped.real->sleep(NULL, 1100000); /* it tries once a second */
    cr_assert_eq(log_lock(log), 0);     /* space again: the first caller makes the files */
    cr_assert_eq(append_sized(&writer, 64, 7, false, &ticket), 0, "%s", detail.message);
    log_unlock(log);
    must_wait(log, &ticket);
    cr_assert_not(stat_of(log).space_low);
    read_all(log);
    log_close(log);
}

Test(wal, a_roll_that_fails_before_its_rename_leaves_the_old_segment_in_use)
{
    struct log_options options = small_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    struct log_ticket ticket;
    unsigned failures = 0;

    for (uint64_t i = 0; i < 100; i++) {
        struct wrapped_rule rule = {.call = WRAPPED_OPEN,
                                    .role = OS_ROLE_WAL,
                                    .count = 1,
                                    .effect = WRAPPED_FAIL,
                                    .value = EMFILE};

        wrapped_os_disarm(&wrapped);
        wrapped_os_arm(&wrapped, &rule);
        if (append_one(&writer, i, &ticket) < 0) {
            failures++;
            wrapped_os_disarm(&wrapped);
            must_append(&writer, i, &ticket);
        }
        wrapped_os_disarm(&wrapped);
        must_wait(log, &ticket);
    }
    cr_assert_eq(read_all(log).count, 101);
    log_close(log);
    log = open_log(&options);
    cr_assert_eq(read_all(log).count, 101);
    log_close(log);
}

Test(wal, a_roll_that_fails_after_its_rename_is_followed_by_another_roll)
{
    struct log_options options = small_options();
    struct log *log = open_log(&options);
    struct writer writer = begin_session(log);
    struct wrapped_rule rule = {
        .call = WRAPPED_DIR_SYNC, .count = 1, .effect = WRAPPED_FAIL, .value = EIO};
    struct log_ticket ticket;
    unsigned failures = 0;

    wrapped_os_arm(&wrapped, &rule);
    for (uint64_t i = 0; i < 40; i++) {
        if (append_one(&writer, i, &ticket) < 0) {
            failures++;
            i--;
            continue;
        }
        must_wait(log, &ticket);
    }
    cr_assert_eq(failures, 1);
    cr_assert_geq(stat_of(log).counters[SHM_ROLLS_TAKEOVER], 1,
                  "nobody appends to the old one again");
    cr_assert_eq(read_all(log).count, 41);
    log_close(log);
    log = open_log(&options);
    cr_assert_eq(read_all(log).count, 41);
    log_close(log);
}

/* ---- what is refused ---- */

Test(wal, network_file_systems_are_refused_and_fuse_unless_allowed)
{
    struct log_options options = default_options();
    struct log *log;

    wrapped.fs_kind = OS_FS_NETWORK;
    cr_assert_eq(log_open(store_path, &options, &log), HPO_NETWORK_FS);
    wrapped.fs_kind = OS_FS_FUSE;
    cr_assert_eq(log_open(store_path, &options, &log), HPO_NETWORK_FS);
    options.allow_fuse = true;
    log = open_log(&options);
    log_close(log);
    wrapped.fs_kind = OS_FS_COW;
    log = open_log(&options);
    cr_assert_eq(stat_of(log).fs.kind, OS_FS_COW, "noted");
    log_close(log);
}

Test(wal, nothing_is_created_where_it_was_not_wanted)
{
    struct log_options options = default_options();
    struct log *log;
    char path[600];

    options.create = false;
    cr_assert_eq(log_open(store_path, &options, &log), HPO_NOT_FOUND);
    cr_assert_eq(mkdir(store_path, 0755), 0);
    cr_assert_eq(log_open(store_path, &options, &log), HPO_NOT_FOUND);
    snprintf(path, sizeof(path), "%s/lock", store_path);
    cr_assert_eq(access(path, F_OK), -1);
    options.read_only = true;
    cr_assert_eq(log_open(store_path, &options, &log), HPO_NOT_FOUND);
    cr_assert_eq(access(path, F_OK), -1);
    options.read_only = false;
    options.create = true;
    snprintf(path, sizeof(path), "%s/thesis.tex", store_path);
    fclose(fopen(path, "w"));
    cr_assert_eq(log_open(store_path, &options, &log), HPO_INVALID);
    cr_assert_eq(unlink(path), 0);
    log = open_log(&options);
    log_close(log);
}

Test(wal, a_store_that_was_removed_under_its_user_takes_nothing_more)
{
    struct log_options options = default_options();
    struct log *log = open_log(&options), *fresh;
    struct writer writer = begin_session(log);
    char command[600];

    snprintf(command, sizeof(command), "rm -rf '%s'", store_path);
    cr_assert_eq(system(command), 0);
    fresh = open_log(&options);
    wrapped.real->sleep(NULL, 1100000); /* it looks once a second */
    cr_assert_eq(log_lock(log), HPO_UNKNOWN);
    (void)writer;
    log_close(log);
    cr_assert_eq(read_all(fresh).count, 0);
    log_close(fresh);
}

/* ---- a leader that hangs ---- */

struct hang {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool inside, let_go;
};

static void hang_here(void *arg)
{
    struct hang *hang = arg;

    pthread_mutex_lock(&hang->mutex);
    hang->inside = true;
    pthread_cond_broadcast(&hang->changed);
    while (!hang->let_go)
        pthread_cond_wait(&hang->changed, &hang->mutex);
    pthread_mutex_unlock(&hang->mutex);
}

static void *commit_in_thread(void *arg)
{
    must_commit(arg, 77);
    return NULL;
}

Test(wal, a_leader_frozen_in_its_flush_holds_up_nobody)
{
    struct hang hang = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct log_options options = default_options();
    struct log *slow = open_log(&options), *log = open_log(&options);
    struct writer leader = begin_session(slow), writer = begin_session(log);
    struct wrapped_rule rule = {.call = WRAPPED_SYNC_DATA,
                                .role = OS_ROLE_WAL,
                                .count = 1,
                                .effect = WRAPPED_HOOK,
                                .hook = hang_here,
                                .arg = &hang};
    pthread_t thread;

    wrapped_os_arm(&wrapped, &rule);
    cr_assert_eq(pthread_create(&thread, NULL, commit_in_thread, &leader), 0);
    pthread_mutex_lock(&hang.mutex);
    while (!hang.inside)
        pthread_cond_wait(&hang.changed, &hang.mutex);
    pthread_mutex_unlock(&hang.mutex);
    must_commit(&writer, 1); /* after a second, in a new segment */
    cr_assert_eq(stat_of(log).counters[SHM_ROLLS_TAKEOVER], 1);
    cr_assert_eq(stat_of(log).epoch, 2);
    must_commit(&writer, 2);
    pthread_mutex_lock(&hang.mutex);
    hang.let_go = true;
    pthread_cond_broadcast(&hang.changed);
    pthread_mutex_unlock(&hang.mutex);
    pthread_join(thread, NULL); /* its batch was copied */
    must_commit(&writer, 3);
    cr_assert_eq(stat_of(log).epoch, 2, "the late result changed nothing");
    cr_assert_eq(read_all(slow).count, 6);
    log_close(log);
    log_close(slow);
}

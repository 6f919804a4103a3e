/*
 * wal_group: many writers on one log, threads and processes. Counted: everybody's batches are there
 * once, in one order, and flushes are shared. Kills fall anywhere.
 */
#include "wal_fixture.h"

#include <pthread.h>
#include <sys/mman.h>

TestSuite(wal_group, .init = setup, .fini = teardown, .timeout = 240);

/* What processes tell each other and the test. */
struct shared {
    _Atomic uint64_t acknowledged; /* commits whose wait returned 0 */
    _Atomic uint64_t refused;      /* HPO_NOT_WRITTEN */
    _Atomic int ready, stop;
    _Atomic uint64_t last_acknowledged[64]; /* by writer: its last acknowledged sequence */
    _Atomic uint64_t sessions[64];
};

static struct shared *new_shared(void)
{
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq(shared, MAP_FAILED);
    memset(shared, 0, sizeof(*shared));
    return shared;
}

static uint64_t counter(struct log *log, enum shm_counter which)
{
    struct wal_stat stat;

    log_stat(log, &stat);
    return stat.counters[which];
}

/* ---- threads on one handle ---- */

#define THREADS 8
#define COMMITS_EACH 100

struct thread_writer {
    struct log *log;
    uint64_t id;
};

static void *commit_many(void *arg)
{
    struct thread_writer *thread = arg;
    struct writer writer = begin_session(thread->log);

    for (uint64_t i = 0; i < COMMITS_EACH; i++)
        must_commit(&writer, thread->id * 1000 + i);
    return NULL;
}

/* Every batch once, each session's sequence without a gap. */
struct census {
    struct log_position at;
    uint64_t count;
    uint64_t sessions[4096];
    uint32_t last[4096];
    size_t session_count;
};

static int census_batch(void *arg, const struct log_batch *batch)
{
    struct census *census = arg;
    size_t i = 0;

    cr_assert_eq(batch->at.lsn, census->at.lsn + 1);
    census->at = batch->at;
    census->count++;
    while (i < census->session_count && census->sessions[i] != batch->session)
        i++;
    if (i == census->session_count) {
        cr_assert_lt(i, 4096u);
        census->sessions[census->session_count++] = batch->session;
        census->last[i] = 0;
        cr_assert_eq(batch->session, batch->at.lsn);
    }
    cr_assert_eq(batch->sequence, census->last[i] + 1);
    census->last[i] = batch->sequence;
    return 0;
}

static void take_census(struct log *log, struct census *census)
{
    struct seen start = from_start(log);
    int err;

    memset(census, 0, sizeof(*census));
    census->at = start.at;
    err = log_read(log, &start.at, census_batch, census);
    cr_assert_eq(err, 0, "read: %d %s %s", err, detail.path, detail.message);
}

Test(wal_group, threads_of_one_handle_share_flushes)
{
    static struct census census;
    struct log_options options = default_options();
    struct log *log;
    struct thread_writer writers[THREADS];
    pthread_t threads[THREADS];
    uint64_t flushes;

    wrapped.sync_us = 2000;
    log = open_log(&options);
    for (uint64_t i = 0; i < THREADS; i++) {
        writers[i] = (struct thread_writer){log, i};
        cr_assert_eq(pthread_create(&threads[i], NULL, commit_many, &writers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    take_census(log, &census);
    cr_assert_eq(census.count, THREADS * (COMMITS_EACH + 1));
    cr_assert_eq(census.session_count, THREADS);
    flushes = counter(log, SHM_FLUSHES);
    cr_log_info("%lu commits, %lu flushes", (unsigned long)census.count, (unsigned long)flushes);
    cr_assert_leq(flushes, census.count / 2);
    cr_assert_eq(log_durable(log), census.at.lsn);
    log_close(log);
}

Test(wal_group, eight_handles_of_one_process_with_a_thread_each)
{
    static struct census census;
    struct log_options options = small_options(); /* and they roll all the time */
    struct log *logs[THREADS];
    struct thread_writer writers[THREADS];
    pthread_t threads[THREADS];

    wrapped.sync_us = 500;
    for (uint64_t i = 0; i < THREADS; i++) {
        logs[i] = open_log(&options);
        writers[i] = (struct thread_writer){logs[i], i};
        cr_assert_eq(pthread_create(&threads[i], NULL, commit_many, &writers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < THREADS; i++) {
        take_census(logs[i], &census);
        cr_assert_eq(census.count, THREADS * (COMMITS_EACH + 1));
    }
    cr_assert_gt(counter(logs[0], SHM_ROLLS_FULL), 3);
    for (size_t i = 0; i < THREADS; i++)
        log_close(logs[i]);
}

/* ---- processes ---- */

/* In a child: commit until told to stop; note what was acknowledged. No Criterion asserts here. */
static void write_until_stopped(struct shared *shared, const struct log_options *options,
                                unsigned index)
{
    struct writer writer = {0};
    uint64_t tag = 0;

    if (log_open(store_path, options, &writer.log) < 0)
        _exit(10);
    atomic_fetch_add(&shared->ready, 1);
    while (!atomic_load(&shared->stop)) {
        struct log_ticket ticket;
        int err = append_one(&writer, tag++, &ticket);

        if (err == 0)
            err = log_wait(writer.log, &ticket);
        if (err < 0)
            _exit(11);
        atomic_store(&shared->sessions[index], ticket.session);
        atomic_store(&shared->last_acknowledged[index], ticket.sequence);
        atomic_fetch_add(&shared->acknowledged, 1);
    }
    log_close(writer.log);
    _exit(0);
}

static pid_t start_writer(struct shared *shared, const struct log_options *options, unsigned index)
{
    pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid == 0)
        write_until_stopped(shared, options, index);
    return pid;
}

static void must_end_well(pid_t pid)
{
    int status;

    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
}

/* What writer `index` was told is durable is there. */
static void must_hold(const struct census *census, struct shared *shared, unsigned index)
{
    uint64_t session = atomic_load(&shared->sessions[index]);
    uint64_t acknowledged = atomic_load(&shared->last_acknowledged[index]);

    if (acknowledged == 0)
        return;
    for (size_t i = 0; i < census->session_count; i++) {
        if (census->sessions[i] == session) {
            cr_assert_geq(census->last[i], acknowledged, "writer %u lost what was acknowledged",
                          index);
            return;
        }
    }
    cr_assert_fail("session %lu of writer %u is gone", (unsigned long)session, index);
}

Test(wal_group, processes_share_flushes)
{
    static struct census census;
    struct log_options options = default_options();
    struct shared *shared = new_shared();
    struct log *log;
    pid_t pids[16];
    uint64_t flushes, commits;

    wrapped.sync_us = 4000;
    log = open_log(&options);
    for (unsigned i = 0; i < 16; i++)
        pids[i] = start_writer(shared, &options, i);
    while (atomic_load(&shared->acknowledged) < 2000)
        usleep(1000);
    atomic_store(&shared->stop, 1);
    for (unsigned i = 0; i < 16; i++)
        must_end_well(pids[i]);
    take_census(log, &census);
    for (unsigned i = 0; i < 16; i++)
        must_hold(&census, shared, i);
    cr_assert_eq(census.count, atomic_load(&shared->acknowledged));
    flushes = counter(log, SHM_FLUSHES);
    commits = counter(log, SHM_COMMITS);
    cr_log_info("16 processes, 4 ms: %.1f commits per flush", (double)commits / (double)flushes);
    cr_assert_gt(commits / flushes, 4);
    log_close(log);
}

static void random_kills(unsigned writers, unsigned kills, uint64_t segment_bytes, unsigned seed)
{
    static struct census census;
    struct log_options options = default_options();
    struct shared *shared = new_shared();
    struct log *log;
    pid_t pids[64];
    unsigned slots[8];

    options.segment_size_first = segment_bytes;
    options.segment_size_max = segment_bytes * 4;
    wrapped.sync_us = 300;
    log = open_log(&options);
    for (unsigned i = 0; i < writers; i++) {
        slots[i] = i;
        pids[i] = start_writer(shared, &options, i);
    }
    for (unsigned k = 0; k < kills; k++) {
        unsigned who = (unsigned)rand_r(&seed) % writers;
        uint64_t before = atomic_load(&shared->acknowledged);
        unsigned patience = 0;
        int status;

        usleep((useconds_t)(rand_r(&seed) % 15000));
        kill(pids[who], SIGKILL);
        cr_assert_eq(waitpid(pids[who], &status, 0), pids[who]);
        cr_assert(was_killed(status), "status %d", status);
        /* A new one in another place of the table, so that the dead one's last acknowledgement is
         * kept. */
        slots[who] = writers + k;
        pids[who] = start_writer(shared, &options, slots[who]);
        while (atomic_load(&shared->acknowledged) == before) {
            usleep(1000);
            cr_assert_lt(++patience, 20000u, "nobody goes on after kill %u", k);
        }
    }
    atomic_store(&shared->stop, 1);
    for (unsigned i = 0; i < writers; i++)
        must_end_well(pids[i]);
    take_census(log, &census);
    for (unsigned i = 0; i < writers + kills; i++)
        must_hold(&census, shared, i);
    cr_log_info("%u kills among %u writers: %lu batches, %lu takeovers, %lu full rolls", kills,
                writers, (unsigned long)census.count,
                (unsigned long)counter(log, SHM_ROLLS_TAKEOVER),
                (unsigned long)counter(log, SHM_ROLLS_FULL));
    log_close(log);
    log = open_log(&options);
    {
        static struct census again;

        take_census(log, &again);
        cr_assert_eq(again.at.chain, census.at.chain);
    }
    log_close(log);
}

Test(wal_group, survivors_go_on_after_random_kills)
{
    random_kills(4, scaled(50, 5), 256u << 10, 1);
}

Test(wal_group, survivors_go_on_after_random_kills_while_segments_roll)
{
    random_kills(4, scaled(50, 5), 16384, 2);
}

/* Nobody holds the store between two kills: each time recovery begins from the files. */
Test(wal_group, everybody_killed_again_and_again)
{
    static struct census census;
    struct log_options options = small_options();
    struct shared *shared = new_shared();
    unsigned seed = 3;
    struct log *log;

    options.segment_size_first = 32768;
    options.segment_size_max = 65536;
    for (unsigned round = 0; round < scaled(15, 3); round++) {
        pid_t pids[3];

        for (unsigned i = 0; i < 3; i++)
            pids[i] = start_writer(shared, &options, round * 3 + i);
        usleep((useconds_t)(3000 + rand_r(&seed) % 20000));
        for (unsigned i = 0; i < 3; i++)
            kill(pids[i], SIGKILL);
        for (unsigned i = 0; i < 3; i++) {
            int status;

            cr_assert_eq(waitpid(pids[i], &status, 0), pids[i]);
            cr_assert(was_killed(status), "status %d", status);
        }
    }
    log = open_log(&options);
    take_census(log, &census);
    for (unsigned i = 0; i < 45; i++)
        must_hold(&census, shared, i);
    cr_log_info("%lu acknowledged, %lu in the log",
                (unsigned long)atomic_load(&shared->acknowledged), (unsigned long)census.count);
    log_close(log);
}

Test(wal_group, a_failing_flush_reaches_all_processes)
{
    static struct census census;
    struct log_options options = default_options();
    struct shared *shared = new_shared();
    struct wrapped_rule rule = {.call = WRAPPED_SYNC_DATA,
                                .role = OS_ROLE_WAL,
                                .from = 5,
                                .count = 1,
                                .effect = WRAPPED_FAIL,
                                .value = EIO};
    struct log *log = open_log(&options);
    pid_t pids[4];

    wrapped.sync_us = 1000;
    wrapped_os_arm(&wrapped, &rule); /* each child's fifth flush fails */
    for (unsigned i = 0; i < 4; i++)
        pids[i] = start_writer(shared, &options, i);
    while (atomic_load(&shared->acknowledged) < 400)
        usleep(1000);
    atomic_store(&shared->stop, 1);
    for (unsigned i = 0; i < 4; i++)
        must_end_well(pids[i]);
    wrapped_os_disarm(&wrapped);
    take_census(log, &census);
    for (unsigned i = 0; i < 4; i++)
        must_hold(&census, shared, i);
    cr_assert_geq(counter(log, SHM_ROLLS_SYNC_FAILED), 1);
    cr_assert_eq(counter(log, SHM_FLUSH_FAILURES), counter(log, SHM_ROLLS_SYNC_FAILED));
    log_close(log);
}

Test(wal_group, openers_that_come_together_make_one_store)
{
    struct log_options options = default_options();

    for (unsigned round = 0; round < scaled(10, 2); round++) {
        struct shared *shared = new_shared();
        static struct census census;
        struct log *log;
        pid_t pids[6];

        for (unsigned i = 0; i < 6; i++)
            pids[i] = start_writer(shared, &options, i);
        while (atomic_load(&shared->acknowledged) < 12)
            usleep(500);
        atomic_store(&shared->stop, 1);
        for (unsigned i = 0; i < 6; i++)
            must_end_well(pids[i]);
        log = open_log(&options);
        take_census(log, &census);
        for (unsigned i = 0; i < 6; i++)
            must_hold(&census, shared, i);
        log_close(log);
    }
}

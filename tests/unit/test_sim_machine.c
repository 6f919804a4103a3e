/*
 * sim_machine: simulated processes, their locks, waiting and death; and a small log over the
 * machine that is found out when it breaks a rule. What the disk keeps: test_sim_disk.c.
 */
#include "sim_words.h"

TestSuite(sim_machine, .timeout = 120);

/* ---- locks, time, waiting ---- */

static void lock_rules(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct os_file *a = open_file(self, "lock"), *b = open_file(self, "lock"), *reader = NULL;
    struct os_dir *root = open_root(self);

    (void)arg;
    MUST(os->file_open(os->self, root, "lock", OS_READ, OS_ROLE_LOCK, &reader) == 0);
    MUST(os->lock(os->self, a, 1, OS_LOCK_EXCLUSIVE, false) == 0);
    MUST(os->lock(os->self, a, 1, OS_LOCK_EXCLUSIVE, true) == 0);
    MUST(os->lock(os->self, b, 1, OS_LOCK_EXCLUSIVE, false) == -EAGAIN);
    MUST(os->lock(os->self, b, 1, OS_LOCK_SHARED, false) == -EAGAIN);
    MUST(os->lock(os->self, b, 2, OS_LOCK_EXCLUSIVE, false) == 0);
    MUST(os->lock_test(os->self, b, 1) == 1 && os->lock_test(os->self, a, 1) == 0);
    MUST(os->lock(os->self, a, 1, OS_LOCK_SHARED, false) == 0);
    MUST(os->lock(os->self, b, 1, OS_LOCK_SHARED, false) == 0);
    MUST(os->lock(os->self, a, 1, OS_LOCK_EXCLUSIVE, false) == -EAGAIN);
    MUST(os->lock_test(os->self, b, 1) == 1);
    MUST(os->lock(os->self, b, 1, OS_UNLOCK, false) == 0);
    MUST(os->lock(os->self, a, 1, OS_LOCK_EXCLUSIVE, false) == 0);
    MUST(os->lock(os->self, reader, 5, OS_LOCK_EXCLUSIVE, false) == -EBADF);
    MUST(os->lock(os->self, reader, 5, OS_LOCK_SHARED, false) == 0);
    close_file(self, a);
    MUST(os->lock_test(os->self, reader, 1) == 0);
    MUST(os->lock_test(os->self, reader, 2) == 1);
    close_file(self, b);
    close_file(self, reader);
    os->dir_close(os->self, root);
}

Test(sim_machine, locks_belong_to_the_open_description)
{
    struct sim *sim = sim_new(NULL);

    call_well(sim, lock_rules, NULL);
    sim_free(sim);
}

struct counting {
    unsigned counter, inside;
};

static void count_under_lock(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct os_file *file = open_file(self, "lock");
    struct counting *counting = arg;

    for (int i = 0; i < 5; i++) {
        unsigned seen;

        MUST(os->lock(os->self, file, 1, OS_LOCK_EXCLUSIVE, true) == 0);
        MUST(counting->inside++ == 0);
        seen = counting->counter;
        os->point(os->self, "between");
        counting->counter = seen + 1;
        counting->inside--;
        MUST(os->lock(os->self, file, 1, OS_UNLOCK, false) == 0);
    }
    close_file(self, file);
}

static void count_without_lock(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct counting *counting = arg;

    for (int i = 0; i < 5; i++) {
        unsigned seen = counting->counter;

        os->point(os->self, "between");
        counting->counter = seen + 1;
    }
}

Test(sim_machine, schedules_interleave_and_waiting_locks_exclude)
{
    unsigned races = 0;

    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct sim_options options = options_of(seed);
        struct counting counting = {0}, racing = {0};
        struct sim *sim = sim_new(&options);

        for (int i = 0; i < 3; i++) {
            sim_spawn(sim_process_new(sim), count_under_lock, &counting);
            sim_spawn(sim_process_new(sim), count_without_lock, &racing);
        }
        run_well(sim);
        cr_assert_eq(counting.counter, 15);
        races += racing.counter != 15;
        sim_free(sim);
    }
    cr_assert_gt(races, 25, "without the lock the schedules find the race");
}

static void lock_two(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct os_file *file = open_file(self, "lock");
    uint64_t first = *(uint64_t *)arg;

    MUST(os->lock(os->self, file, first, OS_LOCK_EXCLUSIVE, true) == 0);
    os->point(os->self, "one");
    MUST(os->lock(os->self, file, 3 - first, OS_LOCK_EXCLUSIVE, true) == 0);
    close_file(self, file);
}

Test(sim_machine, a_dead_lock_is_noticed)
{
    uint64_t orders[2] = {1, 2};
    unsigned found = 0;

    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct sim_options options = options_of(seed);
        struct sim *sim = sim_new(&options);

        sim_spawn(sim_process_new(sim), lock_two, &orders[0]);
        sim_spawn(sim_process_new(sim), lock_two, &orders[1]);
        found += sim_run(sim) == SIM_DEADLOCK;
        sim_free(sim);
    }
    cr_assert_gt(found, 5);
    cr_assert_lt(found, 40);
}

static void spin(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);

    (void)arg;
    for (;;)
        os->point(os->self, "again");
}

Test(sim_machine, a_live_lock_is_noticed)
{
    struct sim_options options = {.steps_max = 1000};
    struct sim *sim = sim_new(&options);

    sim_spawn(sim_process_new(sim), spin, NULL);
    cr_assert_eq(sim_run(sim), SIM_LIMIT);
    sim_free(sim);
}

static void sleep_in_turn(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    int64_t begin = os->clock_monotonic(os->self), real = os->clock_real(os->self);

    os->point(os->self, "nothing takes no time");
    MUST(os->clock_monotonic(os->self) == begin);
    os->sleep(os->self, 1000 * (int64_t)sim_process_number(self));
    MUST(os->clock_monotonic(os->self) == begin + 1000 * (int64_t)sim_process_number(self));
    MUST(os->clock_real(os->self) - real == 1000 * (int64_t)sim_process_number(self));
    MUST(++*(unsigned *)arg == sim_process_number(self));
}

Test(sim_machine, time_moves_only_when_everybody_waits)
{
    struct sim *sim = sim_new(NULL);
    unsigned order = 0;

    for (int i = 0; i < 3; i++)
        sim_spawn(sim_process_new(sim), sleep_in_turn, &order);
    run_well(sim);
    cr_assert_eq(order, 3);
    sim_free(sim);
}

struct page {
    _Atomic uint32_t word, other;
};

static struct page *map_page(struct sim_process *self)
{
    const struct hpo_os *os = sim_os(self);
    struct os_file *file = open_file(self, "shm");
    void *page = NULL;

    MUST(os->shm_map(os->self, file, 4096, true, &page) == 0);
    close_file(self, file);
    return page;
}

static void wait_for_word(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct page *page = map_page(self);

    (void)arg;
    while (atomic_load(&page->word) == 0)
        MUST(os->futex_wait(os->self, &page->word, 0, 1000000) == 0);
    MUST(os->futex_wait(os->self, &page->word, 0, 1000000) == 0);
    MUST(os->futex_wait(os->self, &page->other, 0, 50) == -ETIMEDOUT);
}

static void set_word(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct page *page = map_page(self);

    (void)arg;
    os->point(os->self, "before");
    atomic_store(&page->word, 1);
    os->point(os->self, "between");
    os->futex_wake(os->self, &page->word);
}

Test(sim_machine, a_futex_wakes_all_and_times_out)
{
    for (uint64_t seed = 0; seed <= 50; seed++) {
        struct sim_options options = options_of(seed);
        struct sim *sim = sim_new(&options);
        static const char zeros[4096];

        cr_assert_eq(sim_put_file(sim, "/shm", zeros, sizeof(zeros)), 0);
        for (int i = 0; i < 3; i++)
            sim_spawn(sim_process_new(sim), wait_for_word, NULL);
        sim_spawn(sim_process_new(sim), set_word, NULL);
        run_well(sim);
        cr_assert_eq(sim_timeouts(sim), 3, "the last wait of each, no other");
        sim_free(sim);
    }
}

struct shared_mutex {
    struct os_mutex *mutex;
    unsigned inside, done;
};

static void use_mutex(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct shared_mutex *shared = arg;

    for (int i = 0; i < 4; i++) {
        os->mutex_lock(os->self, shared->mutex);
        MUST(shared->inside++ == 0);
        os->point(os->self, "inside");
        shared->inside--;
        os->mutex_unlock(os->self, shared->mutex);
    }
    if (++shared->done == 3)
        os->mutex_free(os->self, shared->mutex);
}

static void make_mutex_and_threads(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct shared_mutex *shared = arg;

    MUST(os->mutex_new(os->self, &shared->mutex) == 0);
    sim_spawn(self, use_mutex, arg);
    sim_spawn(self, use_mutex, arg);
    use_mutex(self, arg);
}

Test(sim_machine, threads_of_a_process_share_its_mutexes)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct sim_options options = options_of(seed);
        struct shared_mutex shared = {0};
        struct sim *sim = sim_new(&options);

        sim_spawn(sim_process_new(sim), make_mutex_and_threads, &shared);
        run_well(sim);
        cr_assert_eq(shared.done, 3);
        cr_assert_eq(sim_leaks(sim), 0);
        sim_free(sim);
    }
}

/* ---- sameness ---- */

Test(sim_machine, the_same_seed_gives_the_same_run_and_another_seed_another)
{
    uint64_t traces[3];

    for (int i = 0; i < 3; i++) {
        struct sim_options options = options_of(i == 2 ? 12 : 11);
        struct counting counting = {0};
        struct sim *sim = sim_new(&options);

        for (int k = 0; k < 4; k++)
            sim_spawn(sim_process_new(sim), count_under_lock, &counting);
        run_well(sim);
        traces[i] = sim_trace(sim);
        sim_free(sim);
    }
    cr_assert_eq(traces[0], traces[1]);
    cr_assert_neq(traces[0], traces[2]);
}

/* ---- death and stopping ---- */

static void die_in_a_write(struct sim_process *self, void *arg)
{
    struct os_file *file = open_file(self, "f");

    (void)arg;
    write_at(self, file, 2048, 'x', 12288); /* pages 0.5 .. 3.5 */
    MUST(!"it should be dead");
}

Test(sim_machine, a_write_cut_short_by_death_ends_at_a_page_of_the_file)
{
    unsigned seen[5] = {0}, odd = 0;

    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct sim_options options = options_of(seed);
        struct sim *sim;
        int64_t size;

        options.event = (struct sim_event){.step = 3, .kind = SIM_KILL_WITHIN};
        options.cuts_at_bytes = seed > 50;
        sim = sim_new(&options);
        sim_spawn(sim_process_new(sim), die_in_a_write, NULL);
        run_well(sim);
        size = sim_get_file(sim, "/f", NULL, 0);
        if (seed > 50) {
            odd += size % 4096 != 0;
        } else {
            cr_assert(size == 14336 || size % 4096 == 0);
            seen[(size + 4095) / 4096]++;
        }
        sim_free(sim);
    }
    cr_assert(seen[0] && seen[1] && seen[2] && seen[3] && !seen[4]);
    cr_assert_gt(odd, 40);
}

static void take_lock_and_memory(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct os_file *file = open_file(self, "lock");
    char *block = os->alloc(os->self, 100);

    (void)arg;
    MUST(block && os->lock(os->self, file, 1, OS_LOCK_EXCLUSIVE, true) == 0);
    block = os->realloc(os->self, block, 200);
    memset(block, 1, 200);
    os->point(os->self, "holding");
    os->free(os->self, block);
    close_file(self, file);
}

Test(sim_machine, death_at_every_step_frees_the_lock_and_the_others_go_on)
{
    uint64_t steps;
    struct sim *sim = sim_new(NULL);

    sim_spawn(sim_process_new(sim), take_lock_and_memory, NULL);
    sim_spawn(sim_process_new(sim), take_lock_and_memory, NULL);
    run_well(sim);
    cr_assert_eq(sim_leaks(sim), 0);
    steps = sim_steps(sim);
    sim_free(sim);
    for (uint64_t step = 1; step <= steps; step++) {
        for (unsigned k = SIM_KILL_BEFORE; k <= SIM_KILL_WITHIN; k++) {
            for (unsigned victim = 0; victim <= 2; victim++) {
                struct sim_options options = options_of(step % 7);

                options.event = (struct sim_event){
                    .step = step, .kind = (enum sim_event_kind)k, .victim = victim};
                sim = sim_new(&options);
                sim_spawn(sim_process_new(sim), take_lock_and_memory, NULL);
                sim_spawn(sim_process_new(sim), take_lock_and_memory, NULL);
                run_well(sim);
                cr_assert_eq(sim_leaks(sim), 0, "the dead leave nothing behind");
                sim_free(sim);
            }
        }
    }
}

Test(sim_machine, a_stopped_process_keeps_its_lock_until_it_is_continued)
{
    for (unsigned long_stop = 0; long_stop < 2; long_stop++) {
        struct sim_options options = {.seed = 3};
        struct sim *sim;
        uint64_t step = 0;

        sim = sim_new(&options);
        sim_spawn(sim_process_new(sim), take_lock_and_memory, NULL);
        run_well(sim);
        for (uint64_t i = 1; i <= sim_steps(sim); i++)
            if (sim_step_op(sim, i) == SIM_POINT)
                step = i;
        sim_free(sim);
        options.event = (struct sim_event){
            .step = step, .kind = long_stop ? SIM_STOP_LONG : SIM_STOP_BRIEFLY, .victim = 1};
        sim = sim_new(&options);
        sim_spawn(sim_process_new(sim), take_lock_and_memory, NULL);
        run_well(sim);
        sim_free(sim);
    }
}

static void kill_the_first(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct sim_process *first = arg;
    struct os_file *file = open_file(self, "lock");

    os->sleep(os->self, 10000);
    MUST(os->lock_test(os->self, file, 1) == 1);
    sim_kill(first);
    MUST(sim_process_dead(first));
    MUST(os->lock(os->self, file, 1, OS_LOCK_EXCLUSIVE, true) == 0);
    close_file(self, file);
}

Test(sim_machine, a_process_may_be_killed_while_it_waits)
{
    struct sim *sim = sim_new(NULL);
    struct sim_process *first = sim_process_new(sim);
    uint8_t boot[16];

    sim_spawn(first, hold_lock_and_sleep, boot);
    sim_spawn(sim_process_new(sim), kill_the_first, first);
    run_well(sim);
    sim_free(sim);
}

static void leak(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);

    (void)arg;
    open_file(self, "f");
    open_root(self);
    MUST(os->alloc(os->self, 10));
}

Test(sim_machine, what_a_finished_process_left_open_is_counted)
{
    struct sim *sim = sim_new(NULL);

    call_well(sim, leak, NULL);
    cr_assert_eq(sim_leaks(sim), 3);
    sim_free(sim);
}

static void fail_with_message(struct sim_process *self, void *arg)
{
    sim_fail(self, "because of %s", (const char *)arg);
}

Test(sim_machine, a_failure_ends_the_run_and_is_told)
{
    struct sim *sim = sim_new(NULL);

    sim_spawn(sim_process_new(sim), spin, NULL);
    sim_spawn(sim_process_new(sim), fail_with_message, "this");
    sim_free(sim);
    sim = sim_new(&(struct sim_options){.seed = 1});
    sim_spawn(sim_process_new(sim), spin, NULL);
    sim_spawn(sim_process_new(sim), fail_with_message, "that");
    cr_assert_eq(sim_run(sim), SIM_FAILED);
    cr_assert_str_eq(sim_failure(sim), "because of that");
    sim_free(sim);
}

/* ---- the rest of the table ---- */

static void lend_and_take_back(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct os_dir *root = open_root(self);
    char *path = NULL, got[8] = "";
    FILE *stream;

    (void)arg;
    MUST(os->borrow(os->self, root, "none", false, &path) == -ENOENT);
    MUST(os->borrow(os->self, root, "loan", true, &path) == 0);
    stream = fopen(path, "w");
    MUST(stream && fputs("lent", stream) >= 0 && fclose(stream) == 0);
    MUST(os->give_back(os->self, root, "loan", true, path) == 0);
    MUST(os->dir_sync(os->self, root) == 0);
    MUST(os->borrow(os->self, root, "loan", false, &path) == 0);
    stream = fopen(path, "r");
    MUST(stream && fread(got, 1, sizeof(got), stream) == 4 && fclose(stream) == 0);
    MUST(strcmp(got, "lent") == 0);
    MUST(os->give_back(os->self, root, "loan", false, path) == 0);
    os->dir_close(os->self, root);
}

Test(sim_machine, a_loan_comes_back_as_unsynced_writes)
{
    struct sim_options options = {.tears = SIM_TEARS_NONE};
    struct sim *sim = sim_new(&options);
    struct sim_cut *cut;

    call_well(sim, lend_and_take_back, NULL);
    cr_assert_eq(sim_leaks(sim), 0);
    cut = cut_at_end(sim);
    cr_assert_eq(sim_cut_items(cut), 2, "a sector and a size");
    sim_cut_free(cut);
    sim_free(sim);
}

static void look_at_the_machine(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct os_dir *root = open_root(self);
    uint8_t a[20] = {0}, b[20] = {0};
    struct os_fs fs;
    char name[32];

    MUST(os->dir_fs(os->self, root, &fs) == 0 && fs.kind == *(enum os_fs_kind *)arg);
    MUST(os->entropy(os->self, a, sizeof(a)) == 0 && os->entropy(os->self, b, sizeof(b)) == 0);
    MUST(memcmp(a, b, sizeof(a)) != 0);
    MUST(os->host_name(os->self, name, sizeof(name)) == 0 && name[0]);
    MUST(os->process_id(os->self) > 0);
    MUST(os->generation(os->self) == 0);
    os->dir_close(os->self, root);
}

Test(sim_machine, the_kind_of_file_system_can_be_set)
{
    enum os_fs_kind kinds[] = {OS_FS_LOCAL, OS_FS_NETWORK, OS_FS_FUSE};

    for (unsigned i = 0; i < 3; i++) {
        struct sim_options options = {.fs = kinds[i]};
        struct sim *sim = sim_new(&options);

        call_well(sim, look_at_the_machine, &kinds[i]);
        sim_free(sim);
    }
}

/* ---- a small log: the machine finds what is wrong with it ---- */

enum log_flaw { FLAW_NONE, FLAW_NO_FLUSH, FLAW_NO_DIR_SYNC, FLAW_NO_CHECKSUM };

struct small_log {
    enum log_flaw flaw;
    unsigned acknowledged;
    uint64_t acknowledged_at[16]; /* effects */
    unsigned found;
    bool damaged;
};

struct small_record {
    uint64_t number;
    uint64_t value[62];
    uint64_t check;
};

static uint64_t check_of(const struct small_record *record)
{
    uint64_t sum = record->number * 7 + 1;

    for (unsigned i = 0; i < 62; i++)
        sum = sum * 31 + record->value[i];
    return sum;
}

static void small_log_write(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct small_log *log = arg;
    struct os_file *file = open_file(self, "log");

    if (log->flaw != FLAW_NO_DIR_SYNC)
        sync_root(self);
    for (unsigned i = 0; i < 4; i++) {
        struct small_record record = {.number = i + 1};

        for (unsigned k = 0; k < 62; k++)
            record.value[k] = (uint64_t)i << 32 | (k + 1);
        record.check = check_of(&record);
        MUST(os->file_pwrite(os->self, file, &record, sizeof(record), i * sizeof(record)) ==
             (int64_t)sizeof(record));
        if (log->flaw != FLAW_NO_FLUSH)
            sync_file(self, file);
        log->acknowledged_at[log->acknowledged++] = os->process_id(os->self);
    }
    close_file(self, file);
}

static void small_log_read(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct small_log *log = arg;
    struct os_file *file = open_file(self, "log");
    struct small_record record;

    log->found = 0;
    log->damaged = false;
    while (os->file_pread(os->self, file, &record, sizeof(record), log->found * sizeof(record)) ==
           (int64_t)sizeof(record)) {
        if (record.number != log->found + 1 ||
            (log->flaw != FLAW_NO_CHECKSUM && record.check != check_of(&record)))
            break;
        for (unsigned k = 0; k < 62; k++)
            log->damaged |= record.value[k] != ((uint64_t)log->found << 32 | (k + 1));
        log->found++;
    }
    close_file(self, file);
}

/* Of all images after the last acknowledgement: how many have lost something, or show half a
 * record. */
static unsigned images_gone_wrong(enum log_flaw flaw)
{
    struct small_log log = {.flaw = flaw};
    unsigned wrong = 0;

    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct sim_options options = options_of(seed);
        struct sim *sim = sim_new(&options);

        log.acknowledged = 0;
        call_well(sim, small_log_write, &log);
        for (uint64_t effect = 0; effect <= sim_effects(sim); effect++) {
            struct sim_cut *cut = sim_cut_new(sim, effect);
            unsigned items = sim_cut_items(cut);

            for (uint64_t m = 0; m < UINT64_C(1) << (items < 8 ? items : 8); m++) {
                struct sim_mask mask = mask_of(m);
                struct sim *image;

                sim_cut_choose(cut, &mask);
                image = sim_cut_boot(cut, NULL);
                call_well(image, small_log_read, &log);
                wrong += log.damaged || (effect == sim_effects(sim) && log.found < 4);
                sim_free(image);
            }
            sim_cut_free(cut);
        }
        sim_free(sim);
    }
    return wrong;
}

Test(sim_machine, a_log_that_keeps_the_rules_loses_nothing)
{
    cr_assert_eq(images_gone_wrong(FLAW_NONE), 0);
}

Test(sim_machine, a_log_that_breaks_one_rule_is_found_out)
{
    cr_assert_gt(images_gone_wrong(FLAW_NO_FLUSH), 0);
    cr_assert_gt(images_gone_wrong(FLAW_NO_DIR_SYNC), 0);
    cr_assert_gt(images_gone_wrong(FLAW_NO_CHECKSUM), 0);
}

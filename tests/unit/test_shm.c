/*
 * shm: the words that processes share. Copies of the published end are whole however fast it
 * changes; words of another epoch say nothing; a page is believed only by those it is meant for.
 */
#include "shm.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct hpo_os *os;
static char root_path[400];
static struct os_dir *root;
static const struct shm_identity identity = {.uuid = "fifteen letters",
                                             .boot_id = "another fifteen"};

static void setup(void)
{
    const char *base = getenv("TMPDIR");

    os = os_linux();
    snprintf(root_path, sizeof(root_path), "%s/hpo-shm-XXXXXX", base ? base : "/tmp");
    cr_assert(mkdtemp(root_path));
    cr_assert_eq(os->dir_open(os->self, root_path, &root), 0);
}

static void teardown(void)
{
    char command[500];

    os->dir_close(os->self, root);
    snprintf(command, sizeof(command), "rm -rf '%s'", root_path);
    cr_assert_eq(system(command), 0);
}

TestSuite(shm, .init = setup, .fini = teardown, .timeout = 60);

/* Every field and every byte of the image follow from the LSN. */
static struct shm_published end_at(uint64_t lsn)
{
    struct shm_published end = {.epoch = 3,
                                .segment = 5,
                                .at = {lsn, lsn * 0x9e3779b97f4a7c15u},
                                .tail = {.offset = lsn * SECTOR_SIZE, .used = 8 + lsn % 60 * 8}};

    memset(end.tail.image, (int)(lsn & 0xff), SECTOR_SIZE);
    return end;
}

static bool is_whole(const struct shm_published *end)
{
    struct shm_published right = end_at(end->at.lsn);

    return end->epoch == right.epoch && end->segment == right.segment &&
           end->at.chain == right.at.chain && end->tail.offset == right.tail.offset &&
           end->tail.used == right.tail.used &&
           memcmp(end->tail.image, right.tail.image, SECTOR_SIZE) == 0;
}

static struct shm *build(void)
{
    struct shm_published end = end_at(7);
    struct shm *shm = NULL;

    cr_assert_eq(shm_build(os, root, &identity, &end, 4, &shm), 0);
    return shm;
}

Test(shm, the_file_has_real_blocks_and_is_never_replaced)
{
    struct shm *shm = build();
    char path[500];
    struct stat before, after;

    snprintf(path, sizeof(path), "%s/shm", root_path);
    cr_assert_eq(stat(path, &before), 0);
    cr_assert_eq(before.st_size, SHM_SIZE);
    cr_assert_geq(before.st_blocks * 512, SHM_SIZE);
    shm_finish(shm);
    shm_detach(os, shm);
    shm_detach(os, build());
    cr_assert_eq(stat(path, &after), 0);
    cr_assert_eq(after.st_ino, before.st_ino);
}

Test(shm, a_page_is_believed_only_when_finished_and_only_for_its_store_and_boot)
{
    struct shm_identity other = identity;
    struct shm *shm = build(), *mapped;

    cr_assert_eq(shm_generation(shm) % 2, 1);
    cr_assert_eq(shm_attach(os, root, &identity, true, &mapped), -EPROTO, "being rebuilt");
    shm_finish(shm);
    cr_assert_eq(shm_generation(shm) % 2, 0);
    cr_assert_eq(shm_attach(os, root, &identity, false, &mapped), 0);
    shm_detach(os, mapped);
    other.uuid[3] ^= 1;
    cr_assert_eq(shm_attach(os, root, &other, true, &mapped), -EPROTO);
    other = identity;
    other.boot_id[15] ^= 1;
    cr_assert_eq(shm_attach(os, root, &other, true, &mapped), -EPROTO);
    shm_detach(os, shm);
}

Test(shm, no_page_and_a_short_page_are_told_apart)
{
    struct shm *mapped;
    char path[500];
    int fd;

    cr_assert_eq(shm_attach(os, root, &identity, true, &mapped), -ENOENT);
    snprintf(path, sizeof(path), "%s/shm", root_path);
    fd = open(path, O_CREAT | O_RDWR, 0600);
    cr_assert_eq(write(fd, "x", 1), 1);
    close(fd);
    cr_assert_eq(shm_attach(os, root, &identity, true, &mapped), -EPROTO);
    shm_detach(os, build()); /* a builder fills it up */
}

Test(shm, each_build_has_another_generation_and_forgets_everything)
{
    struct shm *shm = build();
    uint64_t generation;

    shm_finish(shm);
    generation = shm_generation(shm);
    shm_mark(shm, SHM_MARK_ROLL);
    shm_count(shm, SHM_FLUSHES, 5);
    shm_detach(os, shm);
    shm = build();
    shm_finish(shm);
    cr_assert_gt(shm_generation(shm), generation);
    cr_assert_eq(shm_marker(shm), SHM_MARK_NONE);
    cr_assert_eq(atomic_load(&shm->counters[SHM_FLUSHES]), 0);
    shm_detach(os, shm);
}

Test(shm, a_page_full_of_noise_can_be_built_upon)
{
    struct shm_published end;
    struct shm *shm;
    uint64_t durable;
    char path[500];
    uint8_t noise[SHM_SIZE];
    int fd;

    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)(i * 131 + 7);
    snprintf(path, sizeof(path), "%s/shm", root_path);
    fd = open(path, O_CREAT | O_RDWR, 0600);
    cr_assert_eq(write(fd, noise, sizeof(noise)), (ssize_t)sizeof(noise));
    close(fd);
    shm = build();
    shm_finish(shm);
    shm_read(shm, true, &end);
    cr_assert(is_whole(&end));
    cr_assert(shm_durable(shm, 3, &durable));
    cr_assert_eq(durable, 4);
    cr_assert_eq(shm_check(shm), 0);
    shm_detach(os, shm);
}

#define PUBLICATIONS 200000u

static void *publish_many(void *arg)
{
    for (uint64_t lsn = 8; lsn < 8 + PUBLICATIONS; lsn++) {
        struct shm_published end = end_at(lsn);

        shm_publish(arg, &end);
    }
    return NULL;
}

Test(shm, a_copy_is_whole_while_another_thread_publishes)
{
    struct shm *shm = build();
    struct shm_published end = {0};
    pthread_t thread;
    uint64_t before = 0, copies = 0;

    cr_assert_eq(pthread_create(&thread, NULL, publish_many, shm), 0);
    while (end.at.lsn < 7 + PUBLICATIONS) {
        shm_read(shm, true, &end);
        cr_assert(is_whole(&end), "LSN %lu", (unsigned long)end.at.lsn);
        cr_assert_geq(end.at.lsn, before);
        cr_assert_eq(shm_check(shm), 0);
        before = end.at.lsn;
        copies++;
    }
    pthread_join(thread, NULL);
    cr_log_info("%lu copies during %u publications", (unsigned long)copies, PUBLICATIONS);
    shm_detach(os, shm);
}

Test(shm, a_copy_is_whole_while_another_process_publishes_and_is_killed)
{
    for (int round = 0; round < 20; round++) {
        struct shm *shm = build(), *mapped;
        struct shm_published end;
        int status;
        pid_t pid;

        shm_finish(shm);
        pid = fork();
        if (pid == 0) {
            struct os_dir *dir;

            if (os->dir_open(os->self, root_path, &dir) < 0 ||
                shm_attach(os, dir, &identity, true, &mapped) < 0)
                _exit(1);
            publish_many(mapped);
            _exit(0);
        }
        for (int i = 0; i < 2000; i++) {
            shm_read(shm, true, &end);
            cr_assert(is_whole(&end));
        }
        kill(pid, SIGKILL); /* perhaps in the middle of the spare slot */
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        shm_read(shm, true, &end);
        cr_assert(is_whole(&end));
        shm_detach(os, shm);
    }
}

Test(shm, the_durable_word_rises_only_within_its_epoch)
{
    struct shm *shm = build();
    uint64_t durable;

    cr_assert(shm_durable(shm, 3, &durable));
    cr_assert_eq(durable, 4);
    cr_assert(shm_durable_raise(shm, 3, 6));
    cr_assert(shm_durable_raise(shm, 3, 5), "late, but true");
    cr_assert(shm_durable(shm, 3, &durable));
    cr_assert_eq(durable, 6);
    cr_assert_not(shm_durable_raise(shm, 2, 100));
    cr_assert_not(shm_durable_raise(shm, 4, 100));
    cr_assert_not(shm_durable(shm, 4, &durable));
    cr_assert_eq(shm_durable_lsn(shm), 6);
    shm_epoch_begin(shm, 4, 5);
    cr_assert_not(shm_durable_raise(shm, 3, 7), "a late leader publishes nothing");
    cr_assert(shm_durable(shm, 4, &durable));
    cr_assert_eq(durable, 5);
    shm_detach(os, shm);
}

Test(shm, the_flush_word_obeys_only_its_epoch)
{
    struct shm *shm = build();

    cr_assert_eq(shm_flush_state(shm, 3), SHM_FLUSH_IDLE);
    cr_assert_eq(shm_flush_state(shm, 4), -1);
    cr_assert_not(shm_flush_begin(shm, 4));
    cr_assert(shm_flush_begin(shm, 3));
    cr_assert_not(shm_flush_begin(shm, 3), "somebody flushes");
    cr_assert_eq(shm_flush_state(shm, 3), SHM_FLUSHING);
    cr_assert(shm_flush_end(shm, 3, false));
    cr_assert_not(shm_flush_end(shm, 3, false));
    cr_assert(shm_flush_begin(shm, 3));
    cr_assert(shm_flush_end(shm, 3, true));
    cr_assert_eq(shm_flush_state(shm, 3), SHM_FLUSH_FAILED);
    cr_assert_not(shm_flush_begin(shm, 3), "poison is final");
    shm_epoch_begin(shm, 4, 7);
    cr_assert_eq(shm_flush_state(shm, 4), SHM_FLUSH_IDLE);
    cr_assert_not(shm_flush_end(shm, 3, true), "a late leader poisons nothing");
    cr_assert_eq(shm_flush_state(shm, 4), SHM_FLUSH_IDLE);
    shm_detach(os, shm);
}

struct sleeper {
    struct shm *shm;
    uint32_t seen;
    _Atomic int woken;
};

static void *sleep_on_word(void *arg)
{
    struct sleeper *sleeper = arg;

    while (shm_sequence(sleeper->shm) == sleeper->seen)
        shm_wait(os, sleeper->shm, sleeper->seen, 10000000);
    atomic_store(&sleeper->woken, 1);
    return NULL;
}

Test(shm, waking_reaches_who_sleeps_and_who_is_about_to, .timeout = 8)
{
    struct shm *shm = build();

    for (int round = 0; round < 200; round++) {
        struct sleeper sleeper = {.shm = shm, .seen = shm_sequence(shm)};
        pthread_t thread;

        cr_assert_eq(pthread_create(&thread, NULL, sleep_on_word, &sleeper), 0);
        if (round % 2)
            os->sleep(os->self, 200);
        shm_wake(os, shm);
        pthread_join(thread, NULL);
        cr_assert_eq(atomic_load(&sleeper.woken), 1);
    }
    shm_detach(os, shm);
}

Test(shm, histograms_count_by_powers_of_two)
{
    static const struct {
        uint64_t value;
        unsigned bucket;
    } cases[] = {{0, 0}, {1, 0},    {2, 1},     {3, 1},
                 {4, 2}, {1023, 9}, {1024, 10}, {UINT64_MAX, SHM_BUCKETS - 1}};
    struct shm *shm = build();

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t before = atomic_load(&shm->histograms[SHM_FLUSH_US][cases[i].bucket]);

        shm_observe(shm, SHM_FLUSH_US, cases[i].value);
        cr_assert_eq(atomic_load(&shm->histograms[SHM_FLUSH_US][cases[i].bucket]), before + 1);
    }
    shm_detach(os, shm);
}

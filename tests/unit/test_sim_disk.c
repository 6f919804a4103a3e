/*
 * sim_disk: what the simulated disk keeps over a power loss, and what it refuses to promise. A
 * crash test is worth as much as this.
 */
#include "sim_words.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

TestSuite(sim_disk, .timeout = 120);

/* ---- the disk ---- */

static void write_synced_then_unsynced(struct sim_process *self, void *arg)
{
    struct os_file *file = open_file(self, "f");

    (void)arg;
    write_at(self, file, 0, 'a', 512);
    sync_file(self, file);
    sync_root(self);
    write_at(self, file, 0, 'b', 512);
    write_at(self, file, 0, 'c', 512);
    close_file(self, file);
}

Test(sim_disk, any_version_since_the_last_flush_may_survive_and_none_before_it)
{
    struct sim_options options = {.tears = SIM_TEARS_NONE};
    struct sim *sim = sim_new(&options);
    struct sim_cut *cut;
    char byte[512];

    call_well(sim, write_synced_then_unsynced, NULL);
    cut = cut_at_end(sim);
    cr_assert_eq(sim_cut_plain(cut), 2);
    cr_assert_eq(sim_cut_items(cut), 2);
    cr_assert_eq(image_file(cut, 0, "/f", byte, 512), 512);
    cr_assert_eq(byte[0], 'a');
    image_file(cut, 1, "/f", byte, 512);
    cr_assert_eq(byte[0], 'b');
    image_file(cut, 2, "/f", byte, 512);
    cr_assert_eq(byte[511], 'c');
    image_file(cut, 3, "/f", byte, 512);
    cr_assert_eq(byte[0], 'c');
    sim_cut_free(cut);
    sim_free(sim);
}

Test(sim_disk, every_moment_of_a_run_can_be_cut)
{
    struct sim *sim = sim_new(NULL);
    struct sim_cut *cut;
    char byte[512];

    call_well(sim, write_synced_then_unsynced, NULL);
    /* Effects: 1 name, 2 write, 3 flush, 4 dir_sync, 5 and 6 writes. */
    cr_assert_eq(sim_effects(sim), 6);
    cut = sim_cut_new(sim, 0);
    cr_assert_eq(image_file(cut, UINT64_MAX, "/f", byte, 512), -ENOENT);
    sim_cut_free(cut);
    cut = sim_cut_new(sim, 3);
    cr_assert_eq(sim_cut_items(cut), 1, "content and size are durable, the name is not");
    cr_assert_eq(image_file(cut, 0, "/f", byte, 512), -ENOENT);
    cr_assert_eq(image_file(cut, 1, "/f", byte, 512), 512);
    cr_assert_eq(byte[0], 'a');
    sim_cut_free(cut);
    cut = sim_cut_new(sim, 4);
    cr_assert_eq(sim_cut_items(cut), 0);
    sim_cut_free(cut);
    sim_free(sim);
}

static void write_two_sectors_at_once(struct sim_process *self, void *arg)
{
    struct os_file *file = open_file(self, "f");

    (void)arg;
    sync_root(self);
    write_at(self, file, 0, 'x', 1024);
    close_file(self, file);
}

Test(sim_disk, each_sector_and_the_size_arrive_on_their_own)
{
    struct sim_options options = {.tears = SIM_TEARS_NONE};
    struct sim *sim = sim_new(&options);
    struct sim_cut *cut;
    char bytes[1024];

    call_well(sim, write_two_sectors_at_once, NULL);
    cut = cut_at_end(sim);
    cr_assert_eq(sim_cut_items(cut), 3, "two sectors, one size");
    cr_assert_eq(image_file(cut, 3, "/f", bytes, 1024), 0, "sectors without the size");
    cr_assert_eq(image_file(cut, 4, "/f", bytes, 1024), 1024, "the size without sectors");
    cr_assert_eq(bytes[0], 0);
    cr_assert_eq(image_file(cut, 6, "/f", bytes, 1024), 1024);
    cr_assert_eq(bytes[0], 0);
    cr_assert_eq(bytes[512], 'x');
    sim_cut_free(cut);
    sim_free(sim);
}

static void grow_again(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct os_file *file = open_file(self, "f");
    char byte = '?';

    (void)arg;
    write_at(self, file, 0, 'x', 700);
    MUST(os->file_resize(os->self, file, 100) == 0);
    MUST(os->file_resize(os->self, file, 700) == 0);
    MUST(os->file_pread(os->self, file, &byte, 1, 99) == 1 && byte == 'x');
    MUST(os->file_pread(os->self, file, &byte, 1, 100) == 1 && byte == 0);
    MUST(os->file_pread(os->self, file, &byte, 1, 650) == 1 && byte == 0);
    write_at(self, file, 0, 'y', 700);
    MUST(os->file_punch(os->self, file, 10, 600) == 0);
    MUST(os->file_pread(os->self, file, &byte, 1, 9) == 1 && byte == 'y');
    MUST(os->file_pread(os->self, file, &byte, 1, 609) == 1 && byte == 0);
    MUST(os->file_pread(os->self, file, &byte, 1, 610) == 1 && byte == 'y');
    close_file(self, file);
}

Test(sim_disk, bytes_beyond_the_end_are_zero_when_a_file_grows_again)
{
    struct sim *sim = sim_new(NULL);

    call_well(sim, grow_again, NULL);
    sim_free(sim);
}

static void write_short_then_long(struct sim_process *self, void *arg)
{
    struct os_file *file = open_file(self, "f");

    (void)arg;
    write_at(self, file, 0, 'x', 100);
    sync_file(self, file);
    sync_root(self);
    write_at(self, file, 100, 'y', 100);
    close_file(self, file);
}

static void look_behind_the_old_end(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct os_file *file = open_file(self, "f");
    char byte = '?';

    (void)arg;
    MUST(os->file_resize(os->self, file, 200) == 0);
    MUST(os->file_pread(os->self, file, &byte, 1, 150) == 1 && byte == 0);
    close_file(self, file);
}

Test(sim_disk, a_sector_that_arrived_without_its_size_does_not_come_back_later)
{
    struct sim_options options = {.tears = SIM_TEARS_NONE};
    struct sim *sim = sim_new(&options), *image;
    struct sim_mask mask = mask_of(1); /* the sector, not the size */
    struct sim_cut *cut;

    call_well(sim, write_short_then_long, NULL);
    cut = cut_at_end(sim);
    cr_assert_eq(sim_cut_items(cut), 2);
    sim_cut_choose(cut, &mask);
    image = sim_cut_boot(cut, NULL);
    call_well(image, look_behind_the_old_end, NULL);
    sim_free(image);
    sim_cut_free(cut);
    sim_free(sim);
}

/* ---- tears ---- */

static void write_word_pattern(struct sim_process *self, struct os_file *file, uint64_t base)
{
    const struct hpo_os *os = sim_os(self);
    uint64_t words[64];

    for (unsigned i = 0; i < 64; i++)
        words[i] = base + i + 1;
    MUST(os->file_pwrite(os->self, file, words, sizeof(words), 0) == (int64_t)sizeof(words));
}

static void write_two_versions(struct sim_process *self, void *arg)
{
    struct os_file *file = open_file(self, "f");

    (void)arg;
    write_word_pattern(self, file, 0);
    sync_file(self, file);
    sync_root(self);
    write_word_pattern(self, file, 1000);
    write_word_pattern(self, file, 2000);
    close_file(self, file);
}

Test(sim_disk, a_tear_mixes_two_versions_in_whole_words)
{
    unsigned differing = 0;

    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct sim_options options = options_of(seed);
        struct sim *sim = sim_new(&options);
        struct sim_cut *cut;

        call_well(sim, write_two_versions, NULL);
        cut = cut_at_end(sim);
        cr_assert_eq(sim_cut_plain(cut), 2);
        cr_assert_eq(sim_cut_items(cut), 4);
        for (uint64_t mask = 0; mask < 16; mask++) {
            unsigned from[3] = {0};
            uint64_t words[64];

            image_file(cut, mask, "/f", words, sizeof(words));
            for (unsigned i = 0; i < 64; i++) {
                uint64_t base = words[i] - i - 1;

                cr_assert(base == 0 || base == 1000 || base == 2000, "a word half new");
                from[base / 1000]++;
            }
            /* Without the version, its tear means nothing. */
            if (!(mask & 3))
                cr_assert_eq(from[0], 64);
            if (mask == 2 || mask == 3 || mask == 6 || mask == 7)
                cr_assert_eq(from[2], 64);
            if (mask == 10)
                differing += from[2] > 0 && from[2] < 64;
        }
        sim_cut_free(cut);
        sim_free(sim);
    }
    cr_assert_eq(differing, 40);
}

Test(sim_disk, by_the_narrow_rule_only_a_sector_written_again_is_torn)
{
    struct sim_options options = {.tears = SIM_TEARS_REWRITTEN};
    struct sim *sim = sim_new(&options);
    struct sim_cut *cut;

    call_well(sim, write_two_versions, NULL);
    cut = cut_at_end(sim);
    cr_assert_eq(sim_cut_plain(cut), 2);
    cr_assert_eq(sim_cut_items(cut), 3, "the second version may be torn, the first not");
    sim_cut_free(cut);
    sim_free(sim);
}

/* ---- names ---- */

static void make_and_rename(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct os_dir *dir = open_root(self);
    struct os_file *file = open_in(self, dir, "new");

    (void)arg;
    write_at(self, file, 0, 'n', 512);
    sync_file(self, file);
    MUST(os->name_rename(os->self, dir, "new", dir, "final") == 0);
    close_file(self, file);
    os->dir_close(os->self, dir);
}

Test(sim_disk, a_files_own_flush_does_not_save_its_name_and_a_rename_is_whole)
{
    struct sim *sim = sim_new(NULL);
    struct sim_cut *cut;

    call_well(sim, make_and_rename, NULL);
    cut = cut_at_end(sim);
    cr_assert_eq(sim_cut_plain(cut), 2);
    for (uint64_t mask = 0; mask < 4; mask++) {
        bool old = image_file(cut, mask, "/new", NULL, 0) >= 0;
        bool new = image_file(cut, mask, "/final", NULL, 0) >= 0;

        cr_assert_eq(old, mask == 1);
        cr_assert_eq(new, mask >= 2, "the rename alone, too: any subset");
    }
    sim_cut_free(cut);
    sim_free(sim);
}

Test(sim_disk, on_a_journal_names_survive_as_a_prefix)
{
    struct sim_options options = {.names_by_prefix = true};
    struct sim *sim = sim_new(&options);
    struct sim_cut *cut;

    call_well(sim, make_and_rename, NULL);
    cut = cut_at_end(sim);
    cr_assert_eq(image_file(cut, 2, "/final", NULL, 0), -ENOENT);
    cr_assert_eq(image_file(cut, 2, "/new", NULL, 0), -ENOENT);
    cr_assert_eq(image_file(cut, 3, "/final", NULL, 0), 512);
    sim_cut_free(cut);
    sim_free(sim);
}

static void replace_without_flush(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct os_dir *dir = open_root(self);
    struct os_file *file = open_in(self, dir, "f");

    (void)arg;
    write_at(self, file, 0, 'o', 512);
    sync_file(self, file);
    close_file(self, file);
    file = open_in(self, dir, "f.new");
    write_at(self, file, 0, 'n', 512);
    close_file(self, file);
    MUST(os->name_rename(os->self, dir, "f.new", dir, "f") == 0);
    MUST(os->dir_sync(os->self, dir) == 0);
    os->dir_close(os->self, dir);
}

Test(sim_disk, a_rename_promises_nothing_about_content)
{
    struct sim_options options = {.tears = SIM_TEARS_NONE};
    struct sim *sim = sim_new(&options);
    struct sim_cut *cut;
    char byte = '?';

    call_well(sim, replace_without_flush, NULL);
    cut = cut_at_end(sim);
    cr_assert_eq(image_file(cut, 0, "/f", NULL, 0), 0, "the name is durable, the file is empty");
    cr_assert_eq(image_file(cut, 2, "/f", &byte, 1), 512, "or has a size and no content");
    cr_assert_eq(byte, 0);
    sim_cut_free(cut);
    sim_free(sim);
}

static void move_between_directories(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct os_dir *root = open_root(self), *a = NULL, *b = NULL;
    bool both = *(bool *)arg;

    MUST(os->dir_create(os->self, "/a") == 0);
    MUST(os->dir_create_at(os->self, root, "b") == 0);
    MUST(os->dir_create(os->self, "/a/deep/er") == -ENOENT);
    MUST(os->dir_open(os->self, "/a/", &a) == 0);
    MUST(os->dir_open_at(os->self, root, "b", &b) == 0);
    close_file(self, open_in(self, a, "f"));
    MUST(os->dir_sync(os->self, root) == 0);
    MUST(os->dir_sync(os->self, a) == 0);
    MUST(os->name_rename(os->self, a, "f", b, "g") == 0);
    MUST(os->dir_sync(os->self, b) == 0);
    if (both)
        MUST(os->dir_sync(os->self, a) == 0);
    os->dir_close(os->self, a);
    os->dir_close(os->self, b);
    os->dir_close(os->self, root);
}

Test(sim_disk, a_rename_between_directories_is_durable_when_both_are)
{
    for (int both = 0; both < 2; both++) {
        struct sim *sim = sim_new(NULL);
        bool arg = both;
        struct sim_cut *cut;

        call_well(sim, move_between_directories, &arg);
        cut = cut_at_end(sim);
        cr_assert_eq(sim_cut_items(cut), both ? 0 : 1);
        cr_assert_eq(image_file(cut, 0, "/a/f", NULL, 0), both ? -ENOENT : 0);
        cr_assert_eq(image_file(cut, 0, "/b/g", NULL, 0), both ? 0 : -ENOENT);
        cr_assert_eq(image_file(cut, 1, "/b/g", NULL, 0), 0);
        cr_assert_eq(image_file(cut, 1, "/a/f", NULL, 0), -ENOENT);
        sim_cut_free(cut);
        sim_free(sim);
    }
}

static void names_of_every_kind(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct os_dir *root = open_root(self);
    struct os_file *file = NULL;
    struct os_identity one, two;

    (void)arg;
    close_file(self, open_in(self, root, "a"));
    MUST(os->file_open(os->self, root, "a", OS_WRITE | OS_CREATE | OS_EXCL, OS_ROLE_OTHER, &file) ==
         -EEXIST);
    MUST(os->file_open(os->self, root, "none", OS_READ, OS_ROLE_OTHER, &file) == -ENOENT);
    MUST(os->dir_create(os->self, "/d") == 0);
    MUST(os->file_open(os->self, root, "d", OS_WRITE, OS_ROLE_OTHER, &file) == -EISDIR);
    MUST(os->file_open(os->self, root, "d", OS_READ, OS_ROLE_OTHER, &file) == -EINVAL);
    MUST(os->name_link(os->self, root, "a", root, "b") == 0);
    MUST(os->name_link(os->self, root, "a", root, "b") == -EEXIST);
    MUST(os->name_rename(os->self, root, "a", root, "d") == -EISDIR);
    MUST(os->name_unlink(os->self, root, "d") == -EISDIR);
    MUST(os->name_unlink(os->self, root, "a") == 0);
    MUST(os->name_unlink(os->self, root, "a") == -ENOENT);
    file = open_in(self, root, "b");
    MUST(os->file_identity(os->self, file, &one) == 0);
    MUST(os->name_unlink(os->self, root, "b") == 0);
    write_at(self, file, 0, 'x', 10); /* an open file outlives its name */
    close_file(self, file);
    file = open_in(self, root, "b");
    MUST(os->file_identity(os->self, file, &two) == 0);
    MUST(one.inode != two.inode);
    MUST(file && os->file_size(os->self, file, &one.inode) == 0 && one.inode == 0);
    close_file(self, file);
    os->dir_close(os->self, root);
}

Test(sim_disk, names_behave_as_on_linux)
{
    struct sim *sim = sim_new(NULL);

    call_well(sim, names_of_every_kind, NULL);
    cr_assert_eq(sim_leaks(sim), 0);
    sim_free(sim);
}

/* ---- flushes take time ---- */

struct flushing {
    uint64_t covered, late; /* effects */
};

static void write_and_flush(struct sim_process *self, void *arg)
{
    struct os_file *file = open_file(self, "f");

    (void)arg;
    write_at(self, file, 0, '1', 512);
    sync_file(self, file);
    close_file(self, file);
}

static void write_beside(struct sim_process *self, void *arg)
{
    struct os_file *file = open_file(self, "f");

    (void)arg;
    write_at(self, file, 512, '2', 512);
    close_file(self, file);
}

Test(sim_disk, what_is_written_during_a_flush_is_not_covered_by_it)
{
    unsigned during = 0, before = 0;

    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct sim_options options = {.seed = seed, .tears = SIM_TEARS_NONE};
        struct sim *sim = sim_new(&options);
        struct sim_cut *cut;
        char bytes[1024] = {0};

        sim_spawn(sim_process_new(sim), write_and_flush, NULL);
        sim_spawn(sim_process_new(sim), write_beside, NULL);
        run_well(sim);
        cut = cut_at_end(sim);
        if (sim_cut_plain(cut) == 1)
            before++; /* all but the name was covered */
        else
            during++;
        cr_assert_eq(image_file(cut, UINT64_MAX, "/f", bytes, 1024), 1024);
        cr_assert_eq(bytes[1023], '2');
        sim_cut_free(cut);
        sim_free(sim);
    }
    cr_assert_gt(during, 10);
    cr_assert_gt(before, 10);
}

static void flush_twice(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct os_file *file = open_file(self, "f");
    int *first = arg;

    sync_root(self);
    write_at(self, file, 0, 'x', 512);
    *first = os->file_sync_data(os->self, file);
    write_at(self, file, 512, 'y', 512);
    MUST(os->file_sync_data(os->self, file) == 0);
    close_file(self, file);
}

Test(sim_disk, a_failed_flush_loses_its_writes_for_ever_and_the_cache_may_drop_them)
{
    unsigned kept = 0, dropped = 0;
    uint64_t step = 0;

    for (uint64_t seed = 0; seed < 40; seed++) {
        struct sim_options options = {.seed = seed, .tears = SIM_TEARS_NONE};
        struct sim_cut *cut;
        struct sim *sim;
        char bytes[1024], cached;
        int first = 0;

        options.event = (struct sim_event){.step = step, .kind = SIM_FAIL_CALL, .error = EIO};
        sim = sim_new(&options);
        call_well(sim, flush_twice, &first);
        for (uint64_t i = 1; step == 0 && i <= sim_steps(sim); i++)
            if (sim_step_op(sim, i) == SIM_SYNC_DATA)
                step = i; /* of the first flush: fails from seed 1 on */
        cr_assert_eq(first, seed == 0 ? 0 : -EIO);
        cut = cut_at_end(sim);
        cr_assert_eq(sim_get_file(sim, "/f", &cached, 1), 1024);
        image_file(cut, 0, "/f", bytes, 1024);
        cr_assert_eq(bytes[0], seed == 0 ? 'x' : 0,
                     "the later flush did not save the first sector");
        cr_assert_eq(bytes[512], 'y');
        if (seed > 0 && cached == 'x') {
            kept++;
            cr_assert_eq(sim_cut_items(cut), 1, "it may be there all the same");
        } else if (seed > 0) {
            dropped++;
            cr_assert_eq(sim_cut_items(cut), 0, "who reads zeros now has read the medium");
        }
        sim_cut_free(cut);
        sim_free(sim);
    }
    cr_assert(kept > 5 && dropped > 5);
}

Test(sim_disk, a_lie_reports_success_and_saves_nothing)
{
    struct sim_options options = {.tears = SIM_TEARS_NONE, .lie_file_sync = "n*"};
    struct sim *sim = sim_new(&options);
    struct sim_cut *cut;

    call_well(sim, make_and_rename, NULL);
    cut = cut_at_end(sim);
    cr_assert_eq(sim_cut_plain(cut), 4, "two names, a sector, a size");
    sim_cut_free(cut);
    sim_free(sim);
}

/* ---- images ---- */

static void see_another_boot(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct os_file *file = open_file(self, "lock");
    uint8_t *before = arg, now[16];

    MUST(os->boot_id(os->self, now) == 0);
    MUST(memcmp(before, now, 16) != 0);
    MUST(os->lock(os->self, file, 1, OS_LOCK_EXCLUSIVE, false) == 0);
    close_file(self, file);
}

Test(sim_disk, a_power_loss_frees_locks_and_changes_the_boot_id)
{
    struct sim *sim = sim_new(NULL), *image;
    struct sim_mask none = {0};
    struct sim_cut *cut;
    uint8_t boot[16];

    sim_spawn(sim_process_new(sim), hold_lock_and_sleep, boot);
    run_well(sim);
    cut = cut_at_end(sim);
    sim_cut_choose(cut, &none);
    image = sim_cut_boot(cut, NULL);
    call_well(image, see_another_boot, boot);
    sim_free(image);
    sim_cut_free(cut);
    sim_free(sim);
}

static void write_through_a_mapping(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct os_file *file = open_file(self, "shm");
    void *page = NULL;

    (void)arg;
    write_at(self, file, 0, 0, 4096);
    MUST(os->shm_map(os->self, file, 4096, true, &page) == 0);
    MUST(((uintptr_t)page & 4095) == 0);
    memset(page, 'm', 4096);
    sync_file(self, file);
    sync_root(self);
    os->shm_unmap(os->self, page, 4096);
    close_file(self, file);
}

Test(sim_disk, mapped_memory_comes_back_as_anything)
{
    struct sim *sim = sim_new(NULL);
    unsigned zero = 0, stale = 0, garbage = 0;
    struct sim_cut *cut;

    call_well(sim, write_through_a_mapping, NULL);
    cut = cut_at_end(sim);
    for (uint64_t mask = 0; mask < 60; mask++) {
        char page[4096];

        cr_assert_eq(image_file(cut, mask << 8, "/shm", page, 4096), 4096);
        if (page[0] == 0 && page[4095] == 0)
            zero++;
        else if (page[0] == 'm' && page[4095] == 'm')
            stale++;
        else
            garbage++;
    }
    cr_assert(zero > 5 && stale > 5 && garbage > 5);
    sim_cut_free(cut);
    sim_free(sim);
}

static void map_too_much(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    void *page;

    (void)arg;
    os->shm_map(os->self, open_file(self, "shm"), 4096, true, &page);
}

Test(sim_disk, a_mapping_beyond_the_end_of_the_file_is_a_failure)
{
    struct sim *sim = sim_new(NULL);

    cr_assert_eq(sim_call(sim_process_new(sim), map_too_much, NULL), SIM_FAILED);
    cr_assert(strstr(sim_failure(sim), "SIGBUS"));
    sim_free(sim);
}

Test(sim_disk, equal_images_have_equal_hashes_and_others_do_not)
{
    struct sim *sim = sim_new(NULL);
    uint64_t hashes[16];
    struct sim_cut *cut;

    call_well(sim, write_two_versions, NULL);
    cut = cut_at_end(sim);
    for (unsigned i = 0; i < 16; i++) {
        struct sim_mask mask = mask_of(i);

        hashes[i] = sim_cut_choose(cut, &mask);
    }
    cr_assert_eq(hashes[2], hashes[3], "the later version hides the earlier one");
    cr_assert_eq(hashes[0], hashes[4], "a tear of nothing");
    cr_assert_neq(hashes[0], hashes[1]);
    cr_assert_neq(hashes[1], hashes[2]);
    cr_assert_neq(hashes[2], hashes[10]);
    sim_cut_free(cut);
    sim_free(sim);
}

Test(sim_disk, masks_are_printed_and_read)
{
    struct sim_mask mask = {0}, again;
    char text[SIM_MASK_TEXT];

    sim_mask_print(&mask, text);
    cr_assert_str_eq(text, "0x0");
    sim_mask_set(&mask, 1);
    sim_mask_set(&mask, 67);
    sim_mask_set(&mask, SIM_ITEMS_MAX - 1);
    sim_mask_print(&mask, text);
    cr_assert_eq(sim_mask_parse(text, &again), 0);
    cr_assert_eq(memcmp(&mask, &again, sizeof(mask)), 0);
    cr_assert_eq(strlen(text), SIM_MASK_TEXT - 1);
    cr_assert_eq(sim_mask_parse("0x", &again), -EINVAL);
    cr_assert_eq(sim_mask_parse("12", &again), -EINVAL);
    cr_assert_eq(sim_mask_parse("0x1g", &again), -EINVAL);
}

Test(sim_disk, an_image_can_be_cut_again)
{
    struct sim_options options = {.tears = SIM_TEARS_NONE};
    struct sim *sim = sim_new(&options), *image;
    struct sim_cut *cut, *cut_again;
    struct sim_mask mask = mask_of(1);
    char byte;

    call_well(sim, write_synced_then_unsynced, NULL);
    cut = cut_at_end(sim);
    sim_cut_choose(cut, &mask);
    image = sim_cut_boot(cut, &options);
    call_well(image, write_synced_then_unsynced, NULL); /* over the old content 'b' */
    cut_again = sim_cut_new(image, 0);
    cr_assert_eq(sim_cut_items(cut_again), 0, "all that came up is durable");
    image_file(cut_again, 0, "/f", &byte, 1);
    cr_assert_eq(byte, 'b');
    sim_cut_free(cut_again);
    cut_again = cut_at_end(image);
    image_file(cut_again, 0, "/f", &byte, 1);
    cr_assert_eq(byte, 'a');
    sim_cut_free(cut_again);
    sim_free(image);
    sim_cut_free(cut);
    sim_free(sim);
}

Test(sim_disk, tests_put_look_change_and_export_files)
{
    struct sim *sim = sim_new(NULL);
    char directory[] = "/tmp/hpo-sim-XXXXXX", path[64], got[8] = "";
    struct sim_cut *cut;
    int fd;

    cr_assert_eq(sim_put_directory(sim, "/store"), 0);
    cr_assert_eq(sim_put_file(sim, "/store/f", "abc", 3), 0);
    cr_assert_eq(sim_put_file(sim, "/none/f", "abc", 3), -ENOENT);
    cr_assert_eq(sim_put_file(sim, "/store", "abc", 3), -EISDIR);
    cr_assert_eq(sim_change_byte(sim, "/store/f", 1, 'b' ^ 'X'), 0);
    cr_assert_eq(sim_change_byte(sim, "/store/f", 3, 1), -EINVAL);
    cr_assert_eq(sim_get_file(sim, "/store/f", got, sizeof(got)), 3);
    cr_assert_str_eq(got, "aXc");
    cut = cut_at_end(sim);
    cr_assert_eq(sim_cut_items(cut), 0, "what a test puts there is durable");
    sim_cut_free(cut);
    cr_assert(mkdtemp(directory));
    cr_assert_eq(sim_export(sim, "/", directory), 0);
    snprintf(path, sizeof(path), "%s/store/f", directory);
    fd = open(path, O_RDONLY);
    cr_assert_geq(fd, 0);
    memset(got, 0, sizeof(got));
    cr_assert_eq(read(fd, got, sizeof(got)), 3);
    cr_assert_str_eq(got, "aXc");
    close(fd);
    unlink(path);
    snprintf(path, sizeof(path), "%s/store", directory);
    rmdir(path);
    rmdir(directory);
    sim_free(sim);
}

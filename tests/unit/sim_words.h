/*
 * sim_words: short words for the tests of the simulated machine, for the processes inside and for
 * looking at images.
 */
#ifndef HPO_TESTS_UNIT_SIM_WORDS_H
#define HPO_TESTS_UNIT_SIM_WORDS_H

#include "fault/sim.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Inside a process a failed check ends the run with a message. */
#define MUST(condition)                                                  \
    do {                                                                 \
        if (!(condition))                                                \
            sim_fail(self, "%s:%d: %s", __func__, __LINE__, #condition); \
    } while (0)

static inline struct sim_options options_of(uint64_t seed)
{
    return (struct sim_options){.seed = seed};
}

static inline void run_well(struct sim *sim)
{
    enum sim_outcome outcome = sim_run(sim);

    cr_assert_eq(outcome, SIM_DONE, "outcome %d: %s", (int)outcome, sim_failure(sim));
}

/* One process, one function, the caller's thread. */
static inline void call_well(struct sim *sim, sim_fn fn, void *arg)
{
    enum sim_outcome outcome = sim_call(sim_process_new(sim), fn, arg);

    cr_assert_eq(outcome, SIM_DONE, "outcome %d: %s", (int)outcome, sim_failure(sim));
}

/* ---- short words for the processes ---- */

static inline struct os_dir *open_root(struct sim_process *self)
{
    const struct hpo_os *os = sim_os(self);
    struct os_dir *dir = NULL;

    MUST(os->dir_open(os->self, "/", &dir) == 0);
    return dir;
}

static inline struct os_file *open_in(struct sim_process *self, struct os_dir *dir,
                                      const char *name)
{
    const struct hpo_os *os = sim_os(self);
    struct os_file *file = NULL;

    MUST(os->file_open(os->self, dir, name, OS_WRITE | OS_CREATE, OS_ROLE_OTHER, &file) == 0);
    return file;
}

static inline struct os_file *open_file(struct sim_process *self, const char *name)
{
    const struct hpo_os *os = sim_os(self);
    struct os_dir *dir = open_root(self);
    struct os_file *file = open_in(self, dir, name);

    os->dir_close(os->self, dir);
    return file;
}

static inline void write_at(struct sim_process *self, struct os_file *file, uint64_t offset, char c,
                            size_t n)
{
    const struct hpo_os *os = sim_os(self);
    char bytes[16384];

    memset(bytes, c, sizeof(bytes));
    MUST(os->file_pwrite(os->self, file, bytes, n, offset) == (int64_t)n);
}

static inline void sync_root(struct sim_process *self)
{
    const struct hpo_os *os = sim_os(self);
    struct os_dir *dir = open_root(self);

    MUST(os->dir_sync(os->self, dir) == 0);
    os->dir_close(os->self, dir);
}

static inline void sync_file(struct sim_process *self, struct os_file *file)
{
    const struct hpo_os *os = sim_os(self);

    MUST(os->file_sync_data(os->self, file) == 0);
}

static inline void close_file(struct sim_process *self, struct os_file *file)
{
    const struct hpo_os *os = sim_os(self);

    os->file_close(os->self, file);
}

/* Takes byte 1 of the lock file; the boot id goes to arg. */
static inline void hold_lock_and_sleep(struct sim_process *self, void *arg)
{
    const struct hpo_os *os = sim_os(self);
    struct os_file *file = open_file(self, "lock");

    MUST(os->boot_id(os->self, arg) == 0);
    sync_root(self);
    MUST(os->lock(os->self, file, 1, OS_LOCK_EXCLUSIVE, false) == 0);
    os->sleep(os->self, 1000000);
    close_file(self, file);
}

/* ---- short words for images ---- */

static inline struct sim_mask mask_of(uint64_t low)
{
    return (struct sim_mask){.words = {low}};
}

/* The size of a file in the image, or a negative errno; its bytes in `to`. */
static inline int64_t image_file(struct sim_cut *cut, uint64_t low_mask, const char *path, void *to,
                                 size_t n)
{
    struct sim_mask mask = mask_of(low_mask);
    struct sim *image;
    int64_t size;

    sim_cut_choose(cut, &mask);
    image = sim_cut_boot(cut, NULL);
    size = sim_get_file(image, path, to, n);
    sim_free(image);
    return size;
}

static inline struct sim_cut *cut_at_end(const struct sim *sim)
{
    return sim_cut_new(sim, sim_effects(sim));
}

#endif

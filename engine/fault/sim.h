/*
 * sim: a machine in memory, with a disk that can lose power and processes that can be killed.
 *
 * The engine reaches the system only through struct hpo_os (os.h). A simulated process is one such
 * table. All processes of a machine share its disk, its page cache, its locks and its shared
 * memory, as real processes of one host do. The machine keeps the whole history of its disk, so
 * that one run gives every power loss that could have happened in it: choose a cut (the number of
 * the last effect that took place) and a mask (which of the work that no flush covered had reached
 * the medium by chance), and boot another machine from what survived.
 *
 * What is volatile, what makes it durable, what a power loss may leave:
 *
 *   a sector of 512 bytes  A flush of its file that began after the write and returned. Before
 *                          that any version it had since, and any mixture of two of them in
 *                          aligned 8-byte words: the page is copied to the device while it changes.
 *   size of a file         Either flush of the file. Before that old or new; new bytes are zero
 *                          where no sector arrived.
 *   a name                 dir_sync of its directory; of both for a rename between two. Before
 *                          that each operation happened or not, a rename never by half. Two
 *                          modes: any subset, or a prefix (journals).
 *   content behind a name  Its own flush. Renaming promises nothing about it.
 *   mapped memory          Nothing, ever: its file comes back as zeros, as garbage, or stale.
 *
 * Processes are threads that run only while they hold the baton. Every call that somebody else
 * could notice is a step; before and after it the baton may go to another thread, chosen by a
 * generator with a seed. Same options, same program: same steps, same trace. Memory, clock,
 * entropy and identity are not steps. Time is a counter that moves only when every thread waits.
 *
 * Not modelled: devices that ignore flushes, garble their neighbours or return other data without
 * an error.
 *
 * Threads: one thread of the test drives a machine (new, spawn, run, free); different machines are
 * independent. A process's function must not leave by other ways than return, sim_fail or its own
 * death.
 */
#ifndef HPO_ENGINE_FAULT_SIM_H
#define HPO_ENGINE_FAULT_SIM_H

#include "os.h"

#define SIM_SECTOR_BYTES 512
#define SIM_ITEMS_MAX 1024

struct sim;
struct sim_process;

enum sim_op {
    SIM_OPEN,
    SIM_CLOSE,
    SIM_PREAD,
    SIM_PWRITE,
    SIM_SYNC_DATA,
    SIM_SYNC_ALL,
    SIM_SIZE,
    SIM_RESIZE,
    SIM_PUNCH,
    SIM_DIR_OPEN,
    SIM_DIR_CREATE,
    SIM_DIR_LIST,
    SIM_DIR_SYNC,
    SIM_RENAME,
    SIM_LINK,
    SIM_UNLINK,
    SIM_LOCK,
    SIM_LOCK_TEST,
    SIM_SHM_MAP,
    SIM_FUTEX_WAIT,
    SIM_FUTEX_WAKE,
    SIM_MUTEX_LOCK,
    SIM_MUTEX_UNLOCK,
    SIM_SLEEP,
    SIM_BORROW,
    SIM_GIVE_BACK,
    SIM_POINT,
    SIM_OP_COUNT,
};

/* What happens to a process at one step. */
enum sim_event_kind {
    SIM_NOTHING = 0,
    SIM_KILL_BEFORE, /* SIGKILL just before the call */
    SIM_KILL_AFTER,  /* its effect is there, it never returned */
    SIM_KILL_WITHIN, /* a write ends at a page boundary of the file, chosen by the seed; a flush was
                        under way */
    SIM_STOP_BRIEFLY, /* SIGSTOP before the call, SIGCONT some steps later */
    SIM_STOP_LONG,    /* SIGSTOP before the call, SIGCONT when all have waited SIM_STOP_LONG_US */
    /* The call does nothing and returns -error. Of what a failed flush should have covered nothing
     * is certain for ever, and by the seed the page cache keeps it or has dropped some of it. */
    SIM_FAIL_CALL,
};

#define SIM_STOP_LONG_US INT64_C(60000000)

struct sim_event {
    uint64_t step; /* number of the step, from 1; 0: no event */
    enum sim_event_kind kind;
    unsigned victim; /* 0: the process that takes this step, else the process with this number (from
                        1) */
    int error;       /* of SIM_FAIL_CALL: ENOSPC, EIO ... */
};

enum sim_tears {
    SIM_TEARS_ANY, /* every unsynced write of a sector may be torn: its page may be dirty already */
    SIM_TEARS_REWRITTEN, /* only sectors written again before the flush that covers them has
                            returned */
    SIM_TEARS_NONE,
};

struct sim_options {
    uint64_t seed; /* of the schedule and of every choice inside the machine; 0: switch only when
                      one waits */
    struct sim_event event;
    enum sim_tears tears;
    bool names_by_prefix; /* unsynced name operations survive as a prefix; else any subset */
    bool cuts_at_bytes;   /* a killed write may end anywhere, as it does if the buffer does not lie
                             like the file */
    enum os_fs_kind fs;   /* what dir_fs says */
    uint64_t steps_max;   /* a run that takes more is taken for a live lock; 0: 200,000 */
    /* Lies: dir_sync or flushes of files whose name (directory: its own name) matches this fnmatch
     * pattern report success and do nothing. NULL: none. */
    const char *lie_dir_sync;
    const char *lie_file_sync;
};

enum sim_outcome {
    SIM_DONE = 0, /* every thread has returned or is dead */
    SIM_DEADLOCK, /* everybody waits for ever */
    SIM_LIMIT,    /* steps_max */
    SIM_FAILED,   /* sim_fail was called */
};

/* A fresh machine: an empty root directory, durable. Out of memory ends the program (it is a test's
 * tool). */
struct sim *sim_new(const struct sim_options *options);
void sim_free(struct sim *sim);

/* -- processes -- */

/* A process without a thread. Belongs to the machine. Numbers count from 1. */
struct sim_process *sim_process_new(struct sim *sim);
const struct hpo_os *sim_os(struct sim_process *process);
unsigned sim_process_number(const struct sim_process *process);
bool sim_process_dead(const struct sim_process *process);

typedef void (*sim_fn)(struct sim_process *process, void *arg);

/* Add a thread to the process; it begins when sim_run gives it the baton. Also from inside a
 * process. */
void sim_spawn(struct sim_process *process, sim_fn fn, void *arg);

/* Run until nobody can go on. Threads that have returned are joined; what a process left open is
 * closed when its last thread returned, and counted as leaks. */
enum sim_outcome sim_run(struct sim *sim);

/* Run fn as the only thread of the process on the caller's own stack: no thread is made, no switch
 * happens. For the many short recoveries of a crash test. Other processes of the machine must not
 * be in the middle of a run. */
enum sim_outcome sim_call(struct sim_process *process, sim_fn fn, void *arg);

/* Kill from inside a run (by another process's function) or between runs. */
void sim_kill(struct sim_process *process);

/* End the run with a message (copied); called by a process's function. Does not return. */
_Noreturn void sim_fail(struct sim_process *process, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *sim_failure(const struct sim *sim); /* "" if none */

/* -- what happened -- */

uint64_t sim_steps(const struct sim *sim);   /* taken so far */
uint64_t sim_effects(const struct sim *sim); /* on the disk so far; the cut after the last one */
uint64_t sim_trace(const struct sim *sim);   /* hash of every step, its thread and its result */
enum sim_op sim_step_op(const struct sim *sim, uint64_t step);   /* what step (from 1) did */
unsigned sim_step_process(const struct sim *sim, uint64_t step); /* and who took it */
uint64_t sim_step_effects(const struct sim *sim, uint64_t step); /* before it */
uint64_t sim_count(const struct sim *sim, enum sim_op op);
uint64_t
sim_leaks(const struct sim *sim); /* blocks and files left by processes that ended by returning */
uint64_t sim_timeouts(const struct sim *sim); /* futex waits that ended by their time */
const char *sim_op_name(enum sim_op op);

/* -- the disk, as a test sees it -- */

/* Durable copies, outside of every process and history: before the first run, or to damage an
 * image. Paths are absolute. -ENOENT and the like on failure. */
int sim_put_file(struct sim *sim, const char *path, const void *bytes, size_t n);
int sim_put_directory(struct sim *sim, const char *path);
int64_t sim_get_file(const struct sim *sim, const char *path, void *to,
                     size_t n); /* the size of the file */
int sim_change_byte(struct sim *sim, const char *path, uint64_t offset, uint8_t xor);
/* Write the tree below path out to a directory of the host, which must exist. */
int sim_export(const struct sim *sim, const char *path, const char *host_directory);

/* -- power loss -- */

struct sim_mask {
    uint64_t words[SIM_ITEMS_MAX / 64];
};

void sim_mask_set(struct sim_mask *mask, unsigned item);
void sim_mask_clear(struct sim_mask *mask, unsigned item);
bool sim_mask_has(const struct sim_mask *mask, unsigned item);
/* As in "0x2f"; `out` of SIM_MASK_TEXT bytes. Parse: 0 or -EINVAL. */
#define SIM_MASK_TEXT (SIM_ITEMS_MAX / 4 + 3)
void sim_mask_print(const struct sim_mask *mask, char *out);
int sim_mask_parse(const char *text, struct sim_mask *out);

/* The machine lost power right after effect number `effect`. Items are the unsynced versions, sizes
 * and names in order of time, then one tear per torn version. Reads the machine, which must outlive
 * the cut and not run meanwhile. */
struct sim_cut;
struct sim_cut *sim_cut_new(const struct sim *sim, uint64_t effect);
void sim_cut_free(struct sim_cut *cut);
unsigned sim_cut_plain(
    const struct sim_cut *cut); /* items 0 .. plain-1: work that arrived whole or not at all */
unsigned sim_cut_items(const struct sim_cut *cut); /* plain .. items-1: tears */
/* One line about an item, for a failing run. */
void sim_cut_describe(const struct sim_cut *cut, unsigned item, char *out, size_t size);

/* Choose the survivors. The hash is over names, sizes and contents: equal images, equal hashes. */
uint64_t sim_cut_choose(struct sim_cut *cut, const struct sim_mask *mask);

/* A machine that comes up with the image chosen last: everything on it is durable, the boot id is
 * another, nobody runs. It borrows from the cut: free it first. `options` as for sim_new. */
struct sim *sim_cut_boot(struct sim_cut *cut, const struct sim_options *options);

#endif

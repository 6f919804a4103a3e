/*
 * sim_machine: the parts of a simulated machine, shared by the files of this directory.
 *
 * Invariants
 *   M1  Only the thread that holds the baton touches the machine. The baton is handed over
 *       with release and acquire.
 *   M2  `now` of a file is what every process reads: the page cache. `base` and `writes` are
 *       what a cut is made from.
 *   M3  Effects are numbered in order; everything in a history carries the number of the
 *       effect that made it.
 *   M4  The memory of a sector's content is never written again: images share it.
 *   M5  A dead process owns nothing: no lock, no open file, no block, no runnable thread.
 */
#ifndef HPO_ENGINE_FAULT_SIM_MACHINE_H
#define HPO_ENGINE_FAULT_SIM_MACHINE_H

#include "sim.h"

#include <pthread.h>
#include <setjmp.h>

#define SIM_PROCESSES_MAX 16
#define SIM_THREADS_MAX 32
#define SIM_NAME_MAX 255
#define SIM_FILE_SECTORS_MAX (UINT64_C(1) << 20)

/* The content of a sector; NULL stands for zeros. */
struct sim_sector {
    uint64_t hash;
    uint8_t bytes[SIM_SECTOR_BYTES];
};

struct sim_write {
    uint64_t effect;
    uint32_t sector;
    bool lost;    /* a flush that should have covered it failed: no later flush does */
    bool settled; /* read back from the medium: durable by itself */
    const struct sim_sector *content;
};

struct sim_resize {
    uint64_t effect;
    uint64_t size;
};

/* A flush of a file or a directory covers what was done up to `begin`, once `end` has happened. */
struct sim_flush {
    uint64_t begin;
    uint64_t end;
};

struct sim_entry {
    const char *name; /* owned by the machine's arena */
    struct sim_inode *inode;
};

struct sim_entries {
    struct sim_entry *list;
    unsigned count;
    unsigned room;
};

struct sim_lock {
    uint64_t byte;
    enum os_lock_kind kind;
    const struct os_file *holder;
};

struct sim_inode {
    struct sim_inode *next;
    struct sim *sim;
    uint64_t number;
    bool directory;
    bool mapped; /* then `flat` is the content, for every process and for pread and pwrite */
    enum os_role role;
    char name[64]; /* its latest name, cut short; for lies and messages */

    const struct sim_sector **now;
    const struct sim_sector *const *base;
    uint32_t now_count, base_count;
    bool now_owned,
        base_owned; /* else shared with base, or with the cut this machine was booted from */
    uint64_t size, base_size;
    uint8_t *flat;
    size_t flat_size;

    struct sim_write *writes;
    unsigned writes_count, writes_room;
    struct sim_resize *sizes;
    unsigned sizes_count, sizes_room;
    struct sim_flush *flushes;
    unsigned flushes_count, flushes_room;

    struct sim_lock *locks;
    unsigned locks_count, locks_room;

    struct sim_entries entries, base_entries; /* of a directory */
};

enum sim_name_kind { SIM_NAME_ADD, SIM_NAME_REMOVE, SIM_NAME_MOVE };

struct sim_name_op {
    uint64_t effect;
    enum sim_name_kind kind;
    struct sim_inode *from_dir; /* of REMOVE and MOVE */
    const char *from;
    struct sim_inode *to_dir; /* of ADD and MOVE */
    const char *to;
    struct sim_inode *inode;
};

enum sim_wait { SIM_WAIT_NONE, SIM_WAIT_LOCK, SIM_WAIT_FUTEX, SIM_WAIT_MUTEX, SIM_WAIT_TIME };

enum sim_state { SIM_READY, SIM_ENDED };

struct sim_thread {
    struct sim_process *process;
    unsigned index;
    sim_fn fn;
    void *arg;
    pthread_t pthread;
    bool on_caller; /* runs on the stack of sim_call, has no pthread */
    bool started, joined;
    _Atomic uint32_t go;    /* 1: take the baton */
    _Atomic uint32_t leave; /* 1: you are dead, touch nothing, go */
    jmp_buf home;
    enum sim_state state;

    enum sim_wait wait;
    bool timed; /* the wait ends at `deadline` */
    bool woken;
    bool timed_out;
    int64_t deadline;
    const struct os_file *wait_file;
    uint64_t wait_byte;
    enum os_lock_kind wait_kind;
    const void *wait_address;
    const struct os_mutex *wait_mutex;
    struct sim_inode *flushing; /* inside a flush of this, begun at flush_begin */
    uint64_t flush_begin;
};

struct sim_block {
    struct sim_block *next, *previous;
    struct sim_process *owner;
    _Alignas(16) size_t size; /* the block begins right after */
};

struct sim_loan {
    struct sim_loan *next;
    struct sim_inode *inode;
    bool for_write;
    int fd;
    char *path;
};

struct sim_process {
    struct hpo_os table;
    struct sim *sim;
    unsigned number;
    bool dead, stopped;
    uint64_t resume_step;
    int64_t resume_time;
    unsigned threads_alive;
    uint64_t entropy;
    struct os_file *files;
    struct os_dir *dirs;
    struct os_mutex *mutexes;
    struct sim_block *blocks;
    struct sim_loan *loans;
};

struct os_file {
    struct os_file *next, *previous;
    struct sim_process *process;
    struct sim_inode *inode;
    unsigned flags;
    enum os_role role;
};

struct os_dir {
    struct os_dir *next, *previous;
    struct sim_process *process;
    struct sim_inode *inode;
};

struct os_mutex {
    struct os_mutex *next, *previous;
    const struct sim_thread *holder;
};

struct sim_step {
    uint8_t op;
    uint8_t process;
    uint32_t effects; /* before it */
};

struct sim_chunk; /* of the arena */

struct sim {
    struct sim_options options;
    uint64_t random;
    unsigned switch_one_in; /* chance of handing the baton on at a step */

    struct sim_inode *inodes;
    struct sim_inode *root;
    uint64_t inode_last;
    struct sim_name_op *names;
    unsigned names_count, names_room;
    uint64_t effects;
    uint64_t boots;

    struct sim_process *processes[SIM_PROCESSES_MAX];
    unsigned process_count;
    struct sim_thread *threads[SIM_THREADS_MAX];
    unsigned thread_count;
    struct sim_thread *current; /* NULL: the driver has the baton */
    _Atomic uint32_t driver_go;
    enum sim_outcome outcome;
    struct sim_thread *die_after; /* is to be killed when the call it is in has had its effect */
    int64_t time;

    uint64_t steps;
    struct sim_step *log;
    unsigned log_room;
    uint64_t counts[SIM_OP_COUNT];
    uint64_t trace;
    uint64_t leaks, timeouts;
    char failure[512];

    struct sim_chunk *chunks;
};

/* -- sim_disk.c -- */

void *sim_must_alloc(size_t n); /* zeroed, or the program ends */
void *sim_grow(void *list, unsigned count, unsigned *room, size_t item_size);
uint64_t sim_mix(uint64_t hash, uint64_t value);
uint64_t sim_hash_bytes(const void *bytes, size_t n, uint64_t seed);
uint64_t sim_hash_text(const char *text);
uint64_t sim_random(struct sim *sim);
void *sim_arena(struct sim *sim, size_t n); /* as long as the machine */
const char *sim_arena_text(struct sim *sim, const char *text);
void sim_arena_free(struct sim *sim);
const struct sim_sector *sim_sector_new(struct sim *sim, const uint8_t *bytes);

struct sim_inode *sim_inode_new(struct sim *sim, bool directory, enum os_role role);
void sim_inode_free(struct sim_inode *inode);
struct sim_inode *sim_entry_find(const struct sim_entries *entries, const char *name);
void sim_entry_set(struct sim_entries *entries, const char *name, struct sim_inode *inode);
bool sim_entry_remove(struct sim_entries *entries, const char *name, const struct sim_inode *inode);
void sim_entries_copy(struct sim_entries *to, const struct sim_entries *from);
/* Absolute path to a directory, or to the directory above the last component. -ENOENT, -ENOTDIR. */
int sim_walk(const struct sim *sim, const char *path, struct sim_inode **dir,
             char last[SIM_NAME_MAX + 1]);
void sim_name_apply(struct sim_entries *(*entries_of)(void *arg, struct sim_inode *dir), void *arg,
                    const struct sim_name_op *op);
void sim_name_do(struct sim *sim, const struct sim_name_op *op); /* one effect */

/* Content. Each call is one effect where it changes something. */
void sim_inode_read(const struct sim_inode *inode, uint8_t *to, uint64_t offset, size_t n);
void sim_inode_write(struct sim_inode *inode, const uint8_t *from, uint64_t offset, size_t n);
void sim_inode_resize(struct sim_inode *inode, uint64_t size);
void sim_inode_punch(struct sim_inode *inode, uint64_t offset, uint64_t n);
void sim_inode_map(struct sim_inode *inode, size_t size);
void sim_inode_flushed(struct sim_inode *inode, uint64_t begin); /* one effect */
void sim_inode_flush_failed(struct sim_inode *inode, uint64_t begin, bool evict);
/* Whatever the inode has now is durable, and always was. */
void sim_inode_settle(struct sim_inode *inode);

/* -- sim_schedule.c -- */

/* Begin a step: hand the baton on if the seed says so, count, let the step's event happen. Returns
 * 0, or the -errno that the call is to return without doing anything. *within is set if the caller
 * is to be killed within the call. */
int sim_step_begin(struct sim_process *process, enum sim_op op, uint64_t detail, bool *within);
/* End it: note the result; the place of SIM_KILL_AFTER. Returns the result. */
int64_t sim_step_end(struct sim_process *process, int64_t result);
/* Wait in the way that the caller has written into the thread. */
void sim_block(struct sim *sim);
void sim_yield(struct sim *sim);
_Noreturn void sim_die(struct sim_process *process);
bool sim_lock_conflicts(const struct sim_inode *inode, const struct os_file *file, uint64_t byte,
                        enum os_lock_kind kind);

/* -- sim_table.c -- */

void sim_table_fill(struct sim_process *process);
void sim_table_fill_self(struct hpo_os *table); /* sim_table_self.c */
void sim_file_drop(struct os_file *file);
void sim_loans_drop(struct sim_process *process);

#endif

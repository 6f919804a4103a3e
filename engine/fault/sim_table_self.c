/*
 * sim_table_self: the functions of struct hpo_os that have to do with processes: locks, shared
 * memory, threads, time, memory, borrowed files, points.
 */
#include "sim_machine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define REAL_TIME_BEGIN_US INT64_C(1700000000000000)

/* ---- locks ---- */

static struct sim_lock *find_lock(struct sim_inode *inode, const struct os_file *file,
                                  uint64_t byte)
{
    for (unsigned i = 0; i < inode->locks_count; i++)
        if (inode->locks[i].byte == byte && inode->locks[i].holder == file)
            return &inode->locks[i];
    return NULL;
}

static void set_lock(struct os_file *file, uint64_t byte, enum os_lock_kind kind)
{
    struct sim_inode *inode = file->inode;
    struct sim_lock *lock = find_lock(inode, file, byte);

    if (lock && kind == OS_UNLOCK) {
        *lock = inode->locks[--inode->locks_count];
        return;
    }
    if (kind == OS_UNLOCK)
        return;
    if (!lock) {
        inode->locks =
            sim_grow(inode->locks, inode->locks_count, &inode->locks_room, sizeof(*inode->locks));
        lock = &inode->locks[inode->locks_count++];
    }
    *lock = (struct sim_lock){.byte = byte, .kind = kind, .holder = file};
}

static int table_lock(void *self, struct os_file *file, uint64_t byte, enum os_lock_kind kind,
                      bool wait)
{
    struct sim_process *process = self;
    int err = sim_step_begin(self, SIM_LOCK, byte << 3 | (unsigned)kind << 1 | wait, NULL);
    struct sim_thread *me = process->sim->current;

    if (err == 0 && kind == OS_LOCK_EXCLUSIVE && !(file->flags & OS_WRITE))
        err = -EBADF;
    if (err == 0 && kind != OS_UNLOCK && sim_lock_conflicts(file->inode, file, byte, kind)) {
        if (!wait) {
            err = -EAGAIN;
        } else {
            me->wait = SIM_WAIT_LOCK;
            me->wait_file = file;
            me->wait_byte = byte;
            me->wait_kind = kind;
            sim_block(process->sim);
        }
    }
    if (err == 0)
        set_lock(file, byte, kind);
    return (int)sim_step_end(self, err);
}

static int table_lock_test(void *self, struct os_file *file, uint64_t byte)
{
    int result = sim_step_begin(self, SIM_LOCK_TEST, byte, NULL);

    if (result == 0)
        result = sim_lock_conflicts(file->inode, file, byte, OS_LOCK_EXCLUSIVE);
    return (int)sim_step_end(self, result);
}

/* ---- memory between processes ---- */

static int table_shm_map(void *self, struct os_file *file, size_t size, bool writable, void **out)
{
    int err = sim_step_begin(self, SIM_SHM_MAP, size, NULL);

    if (err == 0 && writable && !(file->flags & OS_WRITE))
        err = -EACCES;
    if (err == 0 && size > file->inode->size)
        sim_fail(self, "mapping %zu bytes of a file of %llu: the rest would be SIGBUS", size,
                 (unsigned long long)file->inode->size);
    if (err == 0) {
        sim_inode_map(file->inode, size);
        *out = file->inode->flat;
    }
    return (int)sim_step_end(self, err);
}

/* The memory stays with the file: other processes map the same. */
static void table_shm_unmap(void *self, void *address, size_t size)
{
    (void)self;
    (void)address;
    (void)size;
}

static int table_futex_wait(void *self, _Atomic uint32_t *word, uint32_t value, int64_t timeout_us)
{
    struct sim_process *process = self;
    struct sim *sim = process->sim;
    int result = sim_step_begin(self, SIM_FUTEX_WAIT, value, NULL);

    if (result == 0 && atomic_load(word) == value) {
        struct sim_thread *me = sim->current;

        me->wait = SIM_WAIT_FUTEX;
        me->wait_address = word;
        me->timed = true;
        me->deadline = sim->time + (timeout_us > 0 ? timeout_us : 0);
        sim_block(sim);
        if (!me->woken) {
            result = -ETIMEDOUT;
            sim->timeouts++;
        }
    }
    return (int)sim_step_end(self, result);
}

static void table_futex_wake(void *self, _Atomic uint32_t *word)
{
    struct sim_process *process = self;
    struct sim *sim = process->sim;

    if (sim_step_begin(self, SIM_FUTEX_WAKE, 0, NULL) == 0)
        for (unsigned i = 0; i < sim->thread_count; i++)
            if (sim->threads[i]->wait == SIM_WAIT_FUTEX && sim->threads[i]->wait_address == word)
                sim->threads[i]->woken = true;
    sim_step_end(self, 0);
}

/* ---- threads ---- */

static int table_mutex_new(void *self, struct os_mutex **out)
{
    struct sim_process *process = self;
    struct os_mutex *mutex = sim_must_alloc(sizeof(*mutex));

    mutex->next = process->mutexes;
    if (mutex->next)
        mutex->next->previous = mutex;
    process->mutexes = mutex;
    *out = mutex;
    return 0;
}

static void table_mutex_free(void *self, struct os_mutex *mutex)
{
    struct sim_process *process = self;

    if (!mutex)
        return;
    assert(!mutex->holder);
    if (mutex->next)
        mutex->next->previous = mutex->previous;
    if (mutex->previous)
        mutex->previous->next = mutex->next;
    else
        process->mutexes = mutex->next;
    free(mutex);
}

static void table_mutex_lock(void *self, struct os_mutex *mutex)
{
    struct sim_process *process = self;
    struct sim_thread *me;

    sim_step_begin(self, SIM_MUTEX_LOCK, 0, NULL);
    me = process->sim->current;
    assert(mutex->holder != me);
    if (mutex->holder) {
        me->wait = SIM_WAIT_MUTEX;
        me->wait_mutex = mutex;
        sim_block(process->sim);
    }
    mutex->holder = me;
    sim_step_end(self, 0);
}

static void table_mutex_unlock(void *self, struct os_mutex *mutex)
{
    struct sim_process *process = self;

    sim_step_begin(self, SIM_MUTEX_UNLOCK, 0, NULL);
    assert(mutex->holder == process->sim->current);
    mutex->holder = NULL;
    sim_step_end(self, 0);
}

/* ---- time, chance, self ---- */

static int64_t table_clock_monotonic(void *self)
{
    struct sim_process *process = self;

    return process->sim->time;
}

static int64_t table_clock_real(void *self)
{
    struct sim_process *process = self;

    return REAL_TIME_BEGIN_US + process->sim->time;
}

static void table_sleep(void *self, int64_t us)
{
    struct sim_process *process = self;
    struct sim *sim = process->sim;

    sim_step_begin(self, SIM_SLEEP, (uint64_t)us, NULL);
    sim->current->wait = SIM_WAIT_TIME;
    sim->current->timed = true;
    sim->current->deadline = sim->time + (us > 0 ? us : 0);
    sim_block(sim);
    sim_step_end(self, 0);
}

static int table_entropy(void *self, void *to, size_t n)
{
    struct sim_process *process = self;
    uint8_t *bytes = to;

    for (size_t i = 0; i < n; i++) {
        if (i % 8 == 0)
            process->entropy = sim_mix(process->entropy, i + 3);
        bytes[i] = (uint8_t)(process->entropy >> (8 * (i % 8)));
    }
    return 0;
}

static uint64_t table_process_id(void *self)
{
    struct sim_process *process = self;

    return 1000 + process->sim->boots * SIM_PROCESSES_MAX + process->number;
}

static int table_boot_id(void *self, uint8_t out[16])
{
    struct sim_process *process = self;

    for (unsigned i = 0; i < 16; i++)
        out[i] = (uint8_t)(sim_mix(process->sim->boots, 99) >> (8 * (i % 8)));
    out[15] = (uint8_t)process->sim->boots;
    return 0;
}

static int table_host_name(void *self, char *out, size_t size)
{
    (void)self;
    assert(size > 0);
    snprintf(out, size, "simulated");
    return 0;
}

static uint64_t table_generation(void *self)
{
    (void)self;
    return 0;
}

/* ---- memory ---- */

static void block_link(struct sim_process *process, struct sim_block *block)
{
    block->owner = process;
    block->previous = NULL;
    block->next = process->blocks;
    if (block->next)
        block->next->previous = block;
    process->blocks = block;
}

static struct sim_block *block_unlink(struct sim_process *process, void *p)
{
    struct sim_block *block = (struct sim_block *)p - 1;

    assert(block->owner == process);
    if (block->next)
        block->next->previous = block->previous;
    if (block->previous)
        block->previous->next = block->next;
    else
        process->blocks = block->next;
    return block;
}

static void *table_alloc(void *self, size_t n)
{
    struct sim_block *block = malloc(sizeof(*block) + n);

    if (!block)
        return NULL;
    block->size = n;
    block_link(self, block);
    return block + 1;
}

static void table_free(void *self, void *p)
{
    if (p)
        free(block_unlink(self, p));
}

/* Always elsewhere: who keeps an old pointer is found out. */
static void *table_realloc(void *self, void *old, size_t n)
{
    void *p = table_alloc(self, n);

    if (p && old) {
        size_t size = ((struct sim_block *)old - 1)->size;

        memcpy(p, old, size < n ? size : n);
        table_free(self, old);
    }
    return p;
}

/* ---- borrowed files ---- */

/* Scratch copies are memory files, reached through /proc: nothing is left behind, whoever dies. */
static int scratch_new(const struct sim_inode *inode, char **path)
{
    uint8_t bytes[8 * SIM_SECTOR_BYTES];
    int fd = memfd_create("hpo-sim", MFD_CLOEXEC);

    if (fd < 0)
        return -errno;
    for (uint64_t at = 0; at < inode->size;) {
        uint64_t left = inode->size - at;
        size_t part = left < sizeof(bytes) ? (size_t)left : sizeof(bytes);

        sim_inode_read(inode, bytes, at, part);
        if (pwrite(fd, bytes, part, (off_t)at) != (ssize_t)part) {
            close(fd);
            return -EIO;
        }
        at += part;
    }
    if (asprintf(path, "/proc/self/fd/%d", fd) < 0) {
        close(fd);
        return -ENOMEM;
    }
    return fd;
}

static int lend(struct sim_process *process, struct os_dir *dir, const char *name, bool for_write,
                char **path)
{
    struct sim_inode *inode = sim_entry_find(&dir->inode->entries, name);
    struct sim_loan *loan;
    int fd;

    if (inode && inode->directory)
        return -EISDIR;
    if (!inode && !for_write)
        return -ENOENT;
    if (!inode) {
        struct sim_name_op op = {.kind = SIM_NAME_ADD, .to_dir = dir->inode, .to = name};

        op.inode = inode = sim_inode_new(process->sim, false, OS_ROLE_SNAP);
        sim_name_do(process->sim, &op);
    }
    fd = scratch_new(inode, path);
    if (fd < 0)
        return fd;
    loan = sim_must_alloc(sizeof(*loan));
    *loan = (struct sim_loan){
        .next = process->loans, .inode = inode, .for_write = for_write, .fd = fd, .path = *path};
    process->loans = loan;
    return 0;
}

static int table_borrow(void *self, struct os_dir *dir, const char *name, bool for_write,
                        char **path)
{
    int err;

    assert(*name && !strchr(name, '/'));
    err = sim_step_begin(self, SIM_BORROW, sim_hash_text(name) ^ for_write, NULL);
    if (err == 0)
        err = lend(self, dir, name, for_write, path);
    return (int)sim_step_end(self, err);
}

/* What somebody else's code wrote is in the page cache, in no order that we know: unsynced writes,
 * one effect for every 64 KiB. */
static int take_over(const struct sim_loan *loan)
{
    static _Thread_local uint8_t bytes[65536];
    uint64_t at = 0;
    ssize_t n;

    while ((n = pread(loan->fd, bytes, sizeof(bytes), (off_t)at)) > 0) {
        sim_inode_write(loan->inode, bytes, at, (size_t)n);
        at += (uint64_t)n;
    }
    if (n == 0 && at < loan->inode->size)
        sim_inode_resize(loan->inode, at);
    return n < 0 ? -errno : 0;
}

static int end_loan(struct sim_process *process, struct sim_loan *loan)
{
    struct sim_loan **link = &process->loans;
    int err = loan->for_write ? take_over(loan) : 0;

    while (*link != loan)
        link = &(*link)->next;
    *link = loan->next;
    close(loan->fd);
    free(loan->path);
    free(loan);
    return err;
}

static int table_give_back(void *self, struct os_dir *dir, const char *name, bool for_write,
                           char *path)
{
    struct sim_process *process = self;
    struct sim_loan *loan = process->loans;
    int err;

    (void)dir;
    (void)for_write;
    while (loan && loan->path != path)
        loan = loan->next;
    assert(loan);
    err = sim_step_begin(self, SIM_GIVE_BACK, sim_hash_text(name), NULL);
    if (err == 0)
        err = end_loan(process, loan);
    return (int)sim_step_end(self, err);
}

/* A process that dies leaves what it has written so far. */
void sim_loans_drop(struct sim_process *process)
{
    while (process->loans)
        end_loan(process, process->loans);
}

static void table_point(void *self, const char *name)
{
    sim_step_begin(self, SIM_POINT, sim_hash_text(name), NULL);
    sim_step_end(self, 0);
}

void sim_table_fill_self(struct hpo_os *table)
{
    table->lock = table_lock;
    table->lock_test = table_lock_test;
    table->shm_map = table_shm_map;
    table->shm_unmap = table_shm_unmap;
    table->futex_wait = table_futex_wait;
    table->futex_wake = table_futex_wake;
    table->mutex_new = table_mutex_new;
    table->mutex_free = table_mutex_free;
    table->mutex_lock = table_mutex_lock;
    table->mutex_unlock = table_mutex_unlock;
    table->clock_monotonic = table_clock_monotonic;
    table->clock_real = table_clock_real;
    table->sleep = table_sleep;
    table->entropy = table_entropy;
    table->process_id = table_process_id;
    table->boot_id = table_boot_id;
    table->host_name = table_host_name;
    table->generation = table_generation;
    table->alloc = table_alloc;
    table->realloc = table_realloc;
    table->free = table_free;
    table->borrow = table_borrow;
    table->give_back = table_give_back;
    table->point = table_point;
}

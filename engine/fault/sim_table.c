/*
 * sim_table: the functions of struct hpo_os, on a simulated machine.
 *
 * Each call that another process could notice is a step (sim_step_begin, sim_step_end); between the
 * two nobody else runs, except while the call waits. Results and errors are those of Linux.
 */
#include "sim_machine.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_PAGE_BYTES 4096u
#define FLUSH_US 1000
#define FILE_BYTES_MAX (SIM_FILE_SECTORS_MAX * SIM_SECTOR_BYTES)
#define DEVICE_NUMBER 1
#define REAL_TIME_BEGIN_US INT64_C(1700000000000000)

static uint64_t text_hash(const char *text)
{
    return sim_hash_bytes(text, strlen(text), 7);
}

static bool is_single_component(const char *name)
{
    return *name && !strchr(name, '/') && strlen(name) <= SIM_NAME_MAX;
}

/* ---- open files ---- */

static struct os_file *file_new(struct sim_process *process, struct sim_inode *inode,
                                unsigned flags, enum os_role role)
{
    struct os_file *file = sim_must_alloc(sizeof(*file));

    file->process = process;
    file->inode = inode;
    file->flags = flags;
    file->role = role;
    file->next = process->files;
    if (file->next)
        file->next->previous = file;
    process->files = file;
    return file;
}

static void unlock_all(struct os_file *file)
{
    struct sim_inode *inode = file->inode;
    unsigned kept = 0;

    for (unsigned i = 0; i < inode->locks_count; i++)
        if (inode->locks[i].holder != file)
            inode->locks[kept++] = inode->locks[i];
    inode->locks_count = kept;
}

void sim_file_drop(struct os_file *file)
{
    unlock_all(file);
    if (file->next)
        file->next->previous = file->previous;
    if (file->previous)
        file->previous->next = file->next;
    else
        file->process->files = file->next;
    free(file);
}

/* What open does once the name has been looked up. */
static int open_inode(struct sim_process *process, struct os_dir *dir, const char *name,
                      unsigned flags, enum os_role role, struct os_file **out)
{
    struct sim_inode *inode = sim_entry_find(&dir->inode->entries, name);

    if (inode && (flags & OS_CREATE) && (flags & OS_EXCL))
        return -EEXIST;
    if (inode && inode->directory)
        return (flags & (OS_WRITE | OS_CREATE)) ? -EISDIR : -EINVAL;
    if (!inode && !(flags & OS_CREATE))
        return -ENOENT;
    if (!inode) {
        struct sim_name_op op = {.kind = SIM_NAME_ADD, .to_dir = dir->inode, .to = name};

        op.inode = inode = sim_inode_new(process->sim, false, role);
        sim_name_do(process->sim, &op);
    }
    inode->role = role;
    *out = file_new(process, inode, flags, role);
    return 0;
}

static int table_file_open(void *self, struct os_dir *dir, const char *name, unsigned flags,
                           enum os_role role, struct os_file **out)
{
    int err;

    assert(is_single_component(name) && (flags & (OS_READ | OS_WRITE)));
    err = sim_step_begin(self, SIM_OPEN, text_hash(name) ^ flags, NULL);
    if (err == 0)
        err = open_inode(self, dir, name, flags, role, out);
    return (int)sim_step_end(self, err);
}

static void table_file_close(void *self, struct os_file *file)
{
    if (!file)
        return;
    sim_step_begin(self, SIM_CLOSE, file->inode->number, NULL);
    sim_file_drop(file);
    sim_step_end(self, 0);
}

static int64_t table_file_pread(void *self, struct os_file *file, void *to, size_t n,
                                uint64_t offset)
{
    int64_t result = sim_step_begin(self, SIM_PREAD, file->inode->number ^ offset << 8, NULL);

    if (result == 0 && offset > INT64_MAX - n)
        result = -EINVAL;
    if (result == 0 && offset < file->inode->size) {
        uint64_t left = file->inode->size - offset;

        result = (int64_t)(n < left ? n : left);
        sim_inode_read(file->inode, to, offset, (size_t)result);
    }
    return sim_step_end(self, result);
}

/* Where a write ends that SIGKILL cut short: at a page boundary of the file, if the buffer lies
 * like the file. */
static size_t cut_short(struct sim *sim, uint64_t offset, size_t n)
{
    uint64_t pages, page;

    if (sim->options.cuts_at_bytes)
        return sim_random(sim) % (n + 1);
    pages = (offset + n - 1) / FILE_PAGE_BYTES - offset / FILE_PAGE_BYTES; /* boundaries inside */
    page = sim_random(sim) % (pages + 1);
    return page == 0 ? 0 : (size_t)((offset / FILE_PAGE_BYTES + page) * FILE_PAGE_BYTES - offset);
}

static int64_t table_file_pwrite(void *self, struct os_file *file, const void *from, size_t n,
                                 uint64_t offset)
{
    struct sim_process *process = self;
    int64_t result;
    bool within;

    assert(file->role != OS_ROLE_WAL || process->sim->options.cuts_at_bytes ||
           (((uintptr_t)from ^ (uintptr_t)offset) & (FILE_PAGE_BYTES - 1)) == 0);
    result = sim_step_begin(self, SIM_PWRITE, file->inode->number ^ offset << 8, &within);
    if (result == 0 && !(file->flags & OS_WRITE))
        result = -EBADF;
    if (result == 0 && (offset > FILE_BYTES_MAX || n > FILE_BYTES_MAX - offset))
        result = -EFBIG;
    if (result == 0 && n > 0) {
        if (within)
            n = cut_short(process->sim, offset, n);
        if (n > 0)
            sim_inode_write(file->inode, from, offset, n);
        if (within)
            sim_die(process);
        result = (int64_t)n;
    }
    return sim_step_end(self, result);
}

/* A flush takes time. With seed 0 all of them, else half, are as slow as a device, which lets
 * everybody else go as far as they can; of the others the generator decides. */
static int flush(struct sim_process *process, struct sim_inode *inode, enum sim_op op,
                 const char *lie)
{
    struct sim *sim = process->sim;
    bool within;
    int err = sim_step_begin(process, op, inode->number, &within);
    struct sim_thread *me = sim->current;

    if (lie && fnmatch(lie, inode->name, 0) == 0)
        return (int)sim_step_end(process, err);
    if (err < 0) {
        sim_inode_flush_failed(inode, sim->effects, sim_random(sim) % 2);
        return (int)sim_step_end(process, err);
    }
    me->flushing = inode;
    me->flush_begin = sim->effects;
    if (within)
        sim_die(process);
    if (sim->thread_count > 1) {
        if (!sim->options.seed || sim_random(sim) % 2) {
            me->wait = SIM_WAIT_TIME;
            me->timed = true;
            me->deadline = sim->time + FLUSH_US;
            sim_block(sim);
        } else {
            sim_yield(sim);
        }
    }
    me->flushing = NULL;
    sim_inode_flushed(inode, me->flush_begin);
    return (int)sim_step_end(process, 0);
}

static int table_file_sync_data(void *self, struct os_file *file)
{
    struct sim_process *process = self;

    return flush(process, file->inode, SIM_SYNC_DATA, process->sim->options.lie_file_sync);
}

static int table_file_sync_all(void *self, struct os_file *file)
{
    struct sim_process *process = self;

    return flush(process, file->inode, SIM_SYNC_ALL, process->sim->options.lie_file_sync);
}

static int table_file_size(void *self, struct os_file *file, uint64_t *out)
{
    int err = sim_step_begin(self, SIM_SIZE, file->inode->number, NULL);

    if (err == 0)
        *out = file->inode->size;
    return (int)sim_step_end(self, err);
}

static int table_file_resize(void *self, struct os_file *file, uint64_t size)
{
    int err = sim_step_begin(self, SIM_RESIZE, file->inode->number ^ size << 8, NULL);

    if (err == 0 && !(file->flags & OS_WRITE))
        err = -EINVAL;
    if (err == 0 && size > FILE_BYTES_MAX)
        err = -EFBIG;
    if (err == 0)
        sim_inode_resize(file->inode, size);
    return (int)sim_step_end(self, err);
}

static int table_file_punch(void *self, struct os_file *file, uint64_t offset, uint64_t n)
{
    int err = sim_step_begin(self, SIM_PUNCH, file->inode->number ^ offset << 8, NULL);

    if (err == 0 && !(file->flags & OS_WRITE))
        err = -EBADF;
    if (err == 0 && (offset > FILE_BYTES_MAX || n > FILE_BYTES_MAX))
        err = -EFBIG;
    if (err == 0)
        sim_inode_punch(file->inode, offset, n);
    return (int)sim_step_end(self, err);
}

static int table_file_identity(void *self, struct os_file *file, struct os_identity *out)
{
    (void)self;
    *out = (struct os_identity){.device = DEVICE_NUMBER, .inode = file->inode->number};
    return 0;
}

/* ---- directories and names ---- */

static struct os_dir *dir_new(struct sim_process *process, struct sim_inode *inode)
{
    struct os_dir *dir = sim_must_alloc(sizeof(*dir));

    dir->process = process;
    dir->inode = inode;
    dir->next = process->dirs;
    if (dir->next)
        dir->next->previous = dir;
    process->dirs = dir;
    return dir;
}

static int open_directory(struct sim_process *process, struct sim_inode *parent, const char *name,
                          struct os_dir **out)
{
    struct sim_inode *inode = name[0] ? sim_entry_find(&parent->entries, name) : parent;

    if (!inode)
        return -ENOENT;
    if (!inode->directory)
        return -ENOTDIR;
    *out = dir_new(process, inode);
    return 0;
}

static int table_dir_open(void *self, const char *path, struct os_dir **out)
{
    struct sim_process *process = self;
    char last[SIM_NAME_MAX + 1];
    struct sim_inode *parent;
    int err = sim_step_begin(self, SIM_DIR_OPEN, text_hash(path), NULL);

    if (err == 0)
        err = sim_walk(process->sim, path, &parent, last);
    if (err == 0 && (strcmp(last, ".") == 0 || strcmp(last, "..") == 0))
        last[0] = '\0'; /* of the root, which is the working directory */
    if (err == 0)
        err = open_directory(process, parent, last, out);
    return (int)sim_step_end(self, err);
}

static int table_dir_open_at(void *self, struct os_dir *dir, const char *name, struct os_dir **out)
{
    int err;

    assert(is_single_component(name));
    err = sim_step_begin(self, SIM_DIR_OPEN, text_hash(name), NULL);
    if (err == 0)
        err = open_directory(self, dir->inode, name, out);
    return (int)sim_step_end(self, err);
}

static int create_directory(struct sim *sim, struct sim_inode *parent, const char *name)
{
    struct sim_name_op op = {.kind = SIM_NAME_ADD, .to_dir = parent, .to = name};

    if (!name[0] || sim_entry_find(&parent->entries, name))
        return -EEXIST;
    op.inode = sim_inode_new(sim, true, OS_ROLE_OTHER);
    sim_name_do(sim, &op);
    return 0;
}

static int table_dir_create(void *self, const char *path)
{
    struct sim_process *process = self;
    char last[SIM_NAME_MAX + 1];
    struct sim_inode *parent;
    int err = sim_step_begin(self, SIM_DIR_CREATE, text_hash(path), NULL);

    if (err == 0)
        err = sim_walk(process->sim, path, &parent, last);
    if (err == 0)
        err = create_directory(process->sim, parent, last);
    return (int)sim_step_end(self, err);
}

static int table_dir_create_at(void *self, struct os_dir *dir, const char *name)
{
    struct sim_process *process = self;
    int err;

    assert(is_single_component(name));
    err = sim_step_begin(self, SIM_DIR_CREATE, text_hash(name), NULL);
    if (err == 0)
        err = create_directory(process->sim, dir->inode, name);
    return (int)sim_step_end(self, err);
}

static void table_dir_close(void *self, struct os_dir *dir)
{
    struct sim_process *process = self;

    if (!dir)
        return;
    if (dir->next)
        dir->next->previous = dir->previous;
    if (dir->previous)
        dir->previous->next = dir->next;
    else
        process->dirs = dir->next;
    free(dir);
}

/* From a copy: the callback may change the directory. The names live as long as the machine. */
static int table_dir_list(void *self, struct os_dir *dir, os_list_fn fn, void *arg)
{
    struct sim_process *process = self;
    int result = sim_step_begin(self, SIM_DIR_LIST, dir->inode->number, NULL);
    unsigned count = dir->inode->entries.count;
    const char **names = sim_arena(process->sim, count * sizeof(*names));

    for (unsigned i = 0; i < count; i++)
        names[i] = dir->inode->entries.list[i].name;
    result = (int)sim_step_end(self, result);
    for (unsigned i = 0; result == 0 && i < count; i++)
        result = fn(arg, names[i]);
    return result;
}

static int table_dir_sync(void *self, struct os_dir *dir)
{
    struct sim_process *process = self;

    return flush(process, dir->inode, SIM_DIR_SYNC, process->sim->options.lie_dir_sync);
}

static int table_dir_identity(void *self, struct os_dir *dir, struct os_identity *out)
{
    (void)self;
    *out = (struct os_identity){.device = DEVICE_NUMBER, .inode = dir->inode->number};
    return 0;
}

static int table_dir_fs(void *self, struct os_dir *dir, struct os_fs *out)
{
    static const struct os_fs kinds[] = {
        [OS_FS_LOCAL] = {OS_FS_LOCAL, 0xEF53, "ext4"},
        [OS_FS_NETWORK] = {OS_FS_NETWORK, 0x6969, "nfs"},
        [OS_FS_FUSE] = {OS_FS_FUSE, 0x65735546, "fuse"},
        [OS_FS_COW] = {OS_FS_COW, 0x9123683E, "btrfs"},
        [OS_FS_OVERLAY] = {OS_FS_OVERLAY, 0x794C7630, "overlay"},
        [OS_FS_MEMORY] = {OS_FS_MEMORY, 0x01021994, "tmpfs"},
    };
    struct sim_process *process = self;

    (void)dir;
    *out = kinds[process->sim->options.fs];
    return 0;
}

static int rename_or_link(struct sim *sim, struct os_dir *from_dir, const char *from,
                          struct os_dir *to_dir, const char *to, bool link)
{
    struct sim_inode *inode = sim_entry_find(&from_dir->inode->entries, from);
    struct sim_inode *there = sim_entry_find(&to_dir->inode->entries, to);
    struct sim_name_op op = {.kind = link ? SIM_NAME_ADD : SIM_NAME_MOVE,
                             .from_dir = link ? NULL : from_dir->inode,
                             .from = link ? NULL : from,
                             .to_dir = to_dir->inode,
                             .to = to,
                             .inode = inode};

    if (!inode)
        return -ENOENT;
    if (link && inode->directory)
        return -EPERM;
    if (there && link)
        return -EEXIST;
    if (there && there->directory != inode->directory)
        return there->directory ? -EISDIR : -ENOTDIR;
    if (there && there->directory && there->entries.count)
        return -ENOTEMPTY;
    if (there != inode) /* two names of one file: POSIX leaves both */
        sim_name_do(sim, &op);
    return 0;
}

static int table_name_rename(void *self, struct os_dir *from_dir, const char *from,
                             struct os_dir *to_dir, const char *to)
{
    struct sim_process *process = self;
    int err;

    assert(is_single_component(from) && is_single_component(to));
    err = sim_step_begin(self, SIM_RENAME, text_hash(from) ^ text_hash(to) << 1, NULL);
    if (err == 0)
        err = rename_or_link(process->sim, from_dir, from, to_dir, to, false);
    return (int)sim_step_end(self, err);
}

static int table_name_link(void *self, struct os_dir *from_dir, const char *from,
                           struct os_dir *to_dir, const char *to)
{
    struct sim_process *process = self;
    int err;

    assert(is_single_component(from) && is_single_component(to));
    err = sim_step_begin(self, SIM_LINK, text_hash(from) ^ text_hash(to) << 1, NULL);
    if (err == 0)
        err = rename_or_link(process->sim, from_dir, from, to_dir, to, true);
    return (int)sim_step_end(self, err);
}

static int table_name_unlink(void *self, struct os_dir *dir, const char *name)
{
    struct sim_process *process = self;
    struct sim_name_op op = {.kind = SIM_NAME_REMOVE, .from_dir = dir->inode, .from = name};
    int err;

    assert(is_single_component(name));
    err = sim_step_begin(self, SIM_UNLINK, text_hash(name), NULL);
    if (err == 0) {
        op.inode = sim_entry_find(&dir->inode->entries, name);
        if (!op.inode)
            err = -ENOENT;
        else if (op.inode->directory)
            err = -EISDIR;
        else
            sim_name_do(process->sim, &op);
    }
    return (int)sim_step_end(self, err);
}

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

    assert(is_single_component(name));
    err = sim_step_begin(self, SIM_BORROW, text_hash(name) ^ for_write, NULL);
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
    err = sim_step_begin(self, SIM_GIVE_BACK, text_hash(name), NULL);
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
    sim_step_begin(self, SIM_POINT, text_hash(name), NULL);
    sim_step_end(self, 0);
}

void sim_table_fill(struct sim_process *process)
{
    process->table = (struct hpo_os){
        .size = sizeof(struct hpo_os),
        .self = process,
        .file_open = table_file_open,
        .file_close = table_file_close,
        .file_pread = table_file_pread,
        .file_pwrite = table_file_pwrite,
        .file_sync_data = table_file_sync_data,
        .file_sync_all = table_file_sync_all,
        .file_size = table_file_size,
        .file_resize = table_file_resize,
        .file_punch = table_file_punch,
        .file_identity = table_file_identity,
        .dir_open = table_dir_open,
        .dir_open_at = table_dir_open_at,
        .dir_create = table_dir_create,
        .dir_create_at = table_dir_create_at,
        .dir_close = table_dir_close,
        .dir_list = table_dir_list,
        .dir_sync = table_dir_sync,
        .dir_identity = table_dir_identity,
        .dir_fs = table_dir_fs,
        .name_rename = table_name_rename,
        .name_link = table_name_link,
        .name_unlink = table_name_unlink,
        .lock = table_lock,
        .lock_test = table_lock_test,
        .shm_map = table_shm_map,
        .shm_unmap = table_shm_unmap,
        .futex_wait = table_futex_wait,
        .futex_wake = table_futex_wake,
        .mutex_new = table_mutex_new,
        .mutex_free = table_mutex_free,
        .mutex_lock = table_mutex_lock,
        .mutex_unlock = table_mutex_unlock,
        .clock_monotonic = table_clock_monotonic,
        .clock_real = table_clock_real,
        .sleep = table_sleep,
        .entropy = table_entropy,
        .process_id = table_process_id,
        .boot_id = table_boot_id,
        .host_name = table_host_name,
        .generation = table_generation,
        .alloc = table_alloc,
        .realloc = table_realloc,
        .free = table_free,
        .borrow = table_borrow,
        .give_back = table_give_back,
        .point = table_point,
    };
}

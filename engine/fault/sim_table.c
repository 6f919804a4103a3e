/*
 * sim_table: the functions of struct hpo_os on a simulated machine: files, directories, names. The
 * others are in sim_table_self.c.
 *
 * Each call that another process could notice is a step (sim_step_begin, sim_step_end); between the
 * two nobody else runs, except while the call waits. Results and errors are those of Linux.
 */
#include "sim_machine.h"

#include <assert.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#define FILE_PAGE_BYTES 4096u
#define FLUSH_US 1000
#define FILE_BYTES_MAX (SIM_FILE_SECTORS_MAX * SIM_SECTOR_BYTES)
#define DEVICE_NUMBER 1

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
    err = sim_step_begin(self, SIM_OPEN, sim_hash_text(name) ^ flags, NULL);
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
    int err = sim_step_begin(self, SIM_DIR_OPEN, sim_hash_text(path), NULL);

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
    err = sim_step_begin(self, SIM_DIR_OPEN, sim_hash_text(name), NULL);
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
    int err = sim_step_begin(self, SIM_DIR_CREATE, sim_hash_text(path), NULL);

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
    err = sim_step_begin(self, SIM_DIR_CREATE, sim_hash_text(name), NULL);
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
    err = sim_step_begin(self, SIM_RENAME, sim_hash_text(from) ^ sim_hash_text(to) << 1, NULL);
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
    err = sim_step_begin(self, SIM_LINK, sim_hash_text(from) ^ sim_hash_text(to) << 1, NULL);
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
    err = sim_step_begin(self, SIM_UNLINK, sim_hash_text(name), NULL);
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
    };
    sim_table_fill_self(&process->table);
}

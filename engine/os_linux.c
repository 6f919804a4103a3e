/*
 * os_linux: the real table. Each function is one system call with its error turned into -errno;
 * what goes beyond that says why. Descriptors and fork: os_linux_fork.c.
 */
#include "os.h"
#include "os_linux.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE_OFFSET_MASK 4095u /* of the file's pages, not of the machine's: part of the format */
#define MICROSECONDS 1000000

struct os_file {
    struct os_held held;
    enum os_role role;
};

struct os_dir {
    struct os_held held;
};

struct os_mutex {
    pthread_mutex_t mutex;
};

static bool is_single_component(const char *name)
{
    return *name && !strchr(name, '/');
}

/* ---- files ---- */

static int linux_file_open(void *self, struct os_dir *dir, const char *name, unsigned flags,
                           enum os_role role, struct os_file **out)
{
    /* O_NONBLOCK: a FIFO put in a file's place must be refused below, not waited for. Regular files
     * do not notice it. */
    int system_flags = O_NOFOLLOW | O_NONBLOCK;
    struct os_file *file;
    struct stat st;
    int err;

    (void)self;
    assert(is_single_component(name));
    assert(flags & (OS_READ | OS_WRITE));
    system_flags |= (flags & OS_WRITE) ? O_RDWR : O_RDONLY;
    if (flags & OS_CREATE)
        system_flags |= O_CREAT;
    if (flags & OS_EXCL)
        system_flags |= O_EXCL;

    file = malloc(sizeof(*file));
    if (!file)
        return -ENOMEM;
    file->role = role;
    err = os_held_open(&file->held, dir->held.fd, name, system_flags);
    if (err < 0)
        goto free_file;
    err = fstat(file->held.fd, &st) < 0 ? -errno : 0;
    if (err == 0 && !S_ISREG(st.st_mode))
        err = -EINVAL;
    if (err < 0)
        goto close_file;
    *out = file;
    return 0;

close_file:
    os_held_close(&file->held);
free_file:
    free(file);
    return err;
}

static void linux_file_close(void *self, struct os_file *file)
{
    (void)self;
    if (!file)
        return;
    os_held_close(&file->held);
    free(file);
}

static int64_t linux_file_pread(void *self, struct os_file *file, void *to, size_t n,
                                uint64_t offset)
{
    size_t done = 0;

    (void)self;
    if (offset > INT64_MAX - n)
        return -EINVAL;
    while (done < n) {
        ssize_t got = pread(file->held.fd, (char *)to + done, n - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

static int64_t linux_file_pwrite(void *self, struct os_file *file, const void *from, size_t n,
                                 uint64_t offset)
{
    ssize_t put;

    (void)self;
    assert(file->role != OS_ROLE_WAL ||
           (((uintptr_t)from ^ (uintptr_t)offset) & PAGE_OFFSET_MASK) == 0);
    if (offset > INT64_MAX - n)
        return -EFBIG;
    put = pwrite(file->held.fd, from, n, (off_t)offset);
    return put < 0 ? -errno : put;
}

static int linux_file_sync_data(void *self, struct os_file *file)
{
    (void)self;
    return fdatasync(file->held.fd) < 0 ? -errno : 0;
}

static int linux_file_sync_all(void *self, struct os_file *file)
{
    (void)self;
    return fsync(file->held.fd) < 0 ? -errno : 0;
}

static int linux_file_size(void *self, struct os_file *file, uint64_t *out)
{
    struct stat st;

    (void)self;
    if (fstat(file->held.fd, &st) < 0)
        return -errno;
    *out = (uint64_t)st.st_size;
    return 0;
}

static int linux_file_resize(void *self, struct os_file *file, uint64_t size)
{
    int err;

    (void)self;
    if (size > INT64_MAX)
        return -EFBIG;
    do
        err = ftruncate(file->held.fd, (off_t)size) < 0 ? -errno : 0;
    while (err == -EINTR);
    return err;
}

static int linux_file_punch(void *self, struct os_file *file, uint64_t offset, uint64_t n)
{
    int err;

    (void)self;
    if (offset > INT64_MAX || n > INT64_MAX)
        return -EFBIG;
    do
        err = fallocate(file->held.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                        (off_t)n) < 0
                  ? -errno
                  : 0;
    while (err == -EINTR);
    return err == -ENOSYS ? -EOPNOTSUPP : err;
}

static int held_identity(const struct os_held *held, struct os_identity *out)
{
    struct stat st;

    if (fstat(held->fd, &st) < 0)
        return -errno;
    out->device = (uint64_t)st.st_dev;
    out->inode = (uint64_t)st.st_ino;
    return 0;
}

static int linux_file_identity(void *self, struct os_file *file, struct os_identity *out)
{
    (void)self;
    return held_identity(&file->held, out);
}

/* ---- directories and names ---- */

static int open_directory(int at_fd, const char *name, int flags, struct os_dir **out)
{
    struct os_dir *dir = malloc(sizeof(*dir));
    int err;

    if (!dir)
        return -ENOMEM;
    err = os_held_open(&dir->held, at_fd, name, O_RDONLY | O_DIRECTORY | flags);
    if (err < 0) {
        free(dir);
        return err;
    }
    *out = dir;
    return 0;
}

static int linux_dir_open(void *self, const char *path, struct os_dir **out)
{
    (void)self;
    return open_directory(AT_FDCWD, path, 0, out); /* the caller's own path may be a link */
}

static int linux_dir_open_at(void *self, struct os_dir *dir, const char *name, struct os_dir **out)
{
    (void)self;
    assert(is_single_component(name));
    return open_directory(dir->held.fd, name, O_NOFOLLOW, out);
}

static int linux_dir_create(void *self, const char *path)
{
    (void)self;
    return mkdir(path, 0777) < 0 ? -errno : 0;
}

static int linux_dir_create_at(void *self, struct os_dir *dir, const char *name)
{
    (void)self;
    assert(is_single_component(name));
    return mkdirat(dir->held.fd, name, 0777) < 0 ? -errno : 0;
}

static void linux_dir_close(void *self, struct os_dir *dir)
{
    (void)self;
    if (!dir)
        return;
    os_held_close(&dir->held);
    free(dir);
}

static int list_entries(const char *entries, size_t size, os_list_fn fn, void *arg)
{
    size_t at = 0;
    int result = 0;

    while (result == 0 && at < size) {
        const struct dirent64 *entry = (const struct dirent64 *)(const void *)(entries + at);

        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = fn(arg, entry->d_name);
        at += entry->d_reclen;
    }
    return result;
}

/* Through a description of its own: the position of `dir` itself would be shared by all its users.
 */
static int linux_dir_list(void *self, struct os_dir *dir, os_list_fn fn, void *arg)
{
    _Alignas(struct dirent64) char entries[8192];
    struct os_dir *own;
    int result;

    (void)self;
    result = open_directory(dir->held.fd, ".", O_NOFOLLOW, &own);
    if (result < 0)
        return result;
    do {
        ssize_t size = getdents64(own->held.fd, entries, sizeof(entries));

        if (size == 0)
            break;
        if (size > 0)
            result = list_entries(entries, (size_t)size, fn, arg);
        else if (errno != EINTR)
            result = -errno;
    } while (result == 0);
    linux_dir_close(NULL, own);
    return result;
}

static int linux_dir_sync(void *self, struct os_dir *dir)
{
    (void)self;
    return fsync(dir->held.fd) < 0 ? -errno : 0;
}

static int linux_dir_identity(void *self, struct os_dir *dir, struct os_identity *out)
{
    (void)self;
    return held_identity(&dir->held, out);
}

/* statfs(2) and the kernel's sources; the kernel's own header lacks half of them. virtiofs and
 * every fuseblk carry FUSE's number. */
static const struct {
    uint32_t magic;
    enum os_fs_kind kind;
    char name[12];
} file_systems[] = {
    {0x00006969, OS_FS_NETWORK, "nfs"},    {0x0000517B, OS_FS_NETWORK, "smb"},
    {0xFF534D42, OS_FS_NETWORK, "cifs"},   {0xFE534D42, OS_FS_NETWORK, "smb2"},
    {0x01021997, OS_FS_NETWORK, "9p"},     {0x00C36400, OS_FS_NETWORK, "ceph"},
    {0x5346414F, OS_FS_NETWORK, "afs"},    {0x6B414653, OS_FS_NETWORK, "kafs"},
    {0x0BD00BD0, OS_FS_NETWORK, "lustre"}, {0x01161970, OS_FS_NETWORK, "gfs2"},
    {0x7461636F, OS_FS_NETWORK, "ocfs2"},  {0x73757245, OS_FS_NETWORK, "coda"},
    {0x0000564C, OS_FS_NETWORK, "ncp"},    {0x47504653, OS_FS_NETWORK, "gpfs"},
    {0x19830326, OS_FS_NETWORK, "beegfs"}, {0x20030528, OS_FS_NETWORK, "orangefs"},
    {0xAAD7AAEA, OS_FS_NETWORK, "panfs"},  {0x786F4256, OS_FS_NETWORK, "vboxsf"},
    {0xBACBACBC, OS_FS_NETWORK, "vmhgfs"}, {0x65735546, OS_FS_FUSE, "fuse"},
    {0x9123683E, OS_FS_COW, "btrfs"},      {0x2FC12FC1, OS_FS_COW, "zfs"},
    {0xCA451A4E, OS_FS_COW, "bcachefs"},   {0x794C7630, OS_FS_OVERLAY, "overlay"},
    {0x01021994, OS_FS_MEMORY, "tmpfs"},   {0x858458F6, OS_FS_MEMORY, "ramfs"},
    {0x0000EF53, OS_FS_LOCAL, "ext4"},     {0x58465342, OS_FS_LOCAL, "xfs"},
    {0xF2F52010, OS_FS_LOCAL, "f2fs"},
};

static int linux_dir_fs(void *self, struct os_dir *dir, struct os_fs *out)
{
    struct statfs st;
    uint32_t magic;

    (void)self;
    if (fstatfs(dir->held.fd, &st) < 0)
        return -errno;
    magic = (uint32_t)st.f_type;
    memset(out, 0, sizeof(*out));
    out->magic = magic;
    out->kind = OS_FS_LOCAL;
    snprintf(out->name, sizeof(out->name), "0x%x", (unsigned)magic);
    for (size_t i = 0; i < sizeof(file_systems) / sizeof(file_systems[0]); i++) {
        if (file_systems[i].magic == magic) {
            out->kind = file_systems[i].kind;
            snprintf(out->name, sizeof(out->name), "%s", file_systems[i].name);
        }
    }
    return 0;
}

static int linux_name_rename(void *self, struct os_dir *from_dir, const char *from,
                             struct os_dir *to_dir, const char *to)
{
    (void)self;
    assert(is_single_component(from) && is_single_component(to));
    return renameat(from_dir->held.fd, from, to_dir->held.fd, to) < 0 ? -errno : 0;
}

static int linux_name_link(void *self, struct os_dir *from_dir, const char *from,
                           struct os_dir *to_dir, const char *to)
{
    (void)self;
    assert(is_single_component(from) && is_single_component(to));
    return linkat(from_dir->held.fd, from, to_dir->held.fd, to, 0) < 0 ? -errno : 0;
}

static int linux_name_unlink(void *self, struct os_dir *dir, const char *name)
{
    (void)self;
    assert(is_single_component(name));
    return unlinkat(dir->held.fd, name, 0) < 0 ? -errno : 0;
}

/* ---- locks ---- */

static int linux_lock(void *self, struct os_file *file, uint64_t byte, enum os_lock_kind kind,
                      bool wait)
{
    static const short types[] = {
        [OS_UNLOCK] = F_UNLCK, [OS_LOCK_SHARED] = F_RDLCK, [OS_LOCK_EXCLUSIVE] = F_WRLCK};
    struct flock range = {
        .l_type = types[kind], .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};
    int err;

    (void)self;
    assert(byte <= INT64_MAX);
    do
        err = fcntl(file->held.fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &range) < 0 ? -errno : 0;
    while (err == -EINTR);
    return err == -EACCES ? -EAGAIN : err; /* POSIX allows either for "held by another" */
}

static int linux_lock_test(void *self, struct os_file *file, uint64_t byte)
{
    struct flock range = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1};

    (void)self;
    assert(byte <= INT64_MAX);
    if (fcntl(file->held.fd, F_OFD_GETLK, &range) < 0)
        return -errno;
    return range.l_type != F_UNLCK;
}

/* ---- memory between processes ---- */

static int linux_shm_map(void *self, struct os_file *file, size_t size, bool writable, void **out)
{
    void *address = mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
                         file->held.fd, 0);

    (void)self;
    if (address == MAP_FAILED)
        return -errno;
    *out = address;
    return 0;
}

static void linux_shm_unmap(void *self, void *address, size_t size)
{
    (void)self;
    if (address)
        munmap(address, size);
}

static struct timespec timespec_of(int64_t us)
{
    if (us < 0)
        us = 0;
    return (struct timespec){.tv_sec = us / MICROSECONDS, .tv_nsec = us % MICROSECONDS * 1000};
}

/* Without FUTEX_PRIVATE_FLAG: the waiters are in other processes. */
static int linux_futex_wait(void *self, _Atomic uint32_t *word, uint32_t value, int64_t timeout_us)
{
    struct timespec timeout = timespec_of(timeout_us);

    (void)self;
    if (syscall(SYS_futex, word, FUTEX_WAIT, value, &timeout, NULL, 0) == 0)
        return 0;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

static void linux_futex_wake(void *self, _Atomic uint32_t *word)
{
    (void)self;
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* ---- threads ---- */

static int linux_mutex_new(void *self, struct os_mutex **out)
{
    struct os_mutex *mutex = malloc(sizeof(*mutex));

    (void)self;
    if (!mutex)
        return -ENOMEM;
    pthread_mutex_init(&mutex->mutex, NULL);
    *out = mutex;
    return 0;
}

static void linux_mutex_free(void *self, struct os_mutex *mutex)
{
    (void)self;
    if (!mutex)
        return;
    pthread_mutex_destroy(&mutex->mutex);
    free(mutex);
}

static void linux_mutex_lock(void *self, struct os_mutex *mutex)
{
    int err = pthread_mutex_lock(&mutex->mutex);

    (void)self;
    (void)err;
    assert(err == 0);
}

static void linux_mutex_unlock(void *self, struct os_mutex *mutex)
{
    int err = pthread_mutex_unlock(&mutex->mutex);

    (void)self;
    (void)err;
    assert(err == 0);
}

/* ---- time, chance, self ---- */

static int64_t clock_us(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * MICROSECONDS + now.tv_nsec / 1000;
}

static int64_t linux_clock_monotonic(void *self)
{
    (void)self;
    return clock_us(CLOCK_MONOTONIC);
}

static int64_t linux_clock_real(void *self)
{
    (void)self;
    return clock_us(CLOCK_REALTIME);
}

static void linux_sleep(void *self, int64_t us)
{
    struct timespec left = timespec_of(us);

    (void)self;
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        continue;
}

static int linux_entropy(void *self, void *to, size_t n)
{
    size_t done = 0;

    (void)self;
    while (done < n) {
        ssize_t got = getrandom((char *)to + done, n - done, 0);

        if (got < 0 && errno != EINTR)
            return -errno;
        if (got > 0)
            done += (size_t)got;
    }
    return 0;
}

static uint64_t linux_process_id(void *self)
{
    (void)self;
    return (uint64_t)getpid();
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* A UUID in text: 32 hex digits with dashes between. */
static int linux_boot_id(void *self, uint8_t out[16])
{
    struct os_held held;
    char text[64];
    unsigned digits = 0;
    ssize_t n;
    int err;

    (void)self;
    err = os_held_open(&held, AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY);
    if (err < 0)
        return err;
    n = read(held.fd, text, sizeof(text));
    err = n < 0 ? -errno : 0;
    os_held_close(&held);
    if (err < 0)
        return err;
    for (ssize_t i = 0; i < n && digits < 32; i++) {
        int digit = hex_digit(text[i]);

        if (digit < 0)
            continue;
        if (digits % 2 == 0)
            out[digits / 2] = (uint8_t)(digit << 4);
        else
            out[digits / 2] |= (uint8_t)digit;
        digits++;
    }
    return digits == 32 ? 0 : -EIO;
}

static int linux_host_name(void *self, char *out, size_t size)
{
    (void)self;
    assert(size > 0);
    if (gethostname(out, size) < 0 && errno != ENAMETOOLONG)
        return -errno;
    out[size - 1] = '\0'; /* a name cut short may lack it */
    return 0;
}

static uint64_t linux_generation(void *self)
{
    (void)self;
    return os_fork_generation();
}

/* ---- memory ---- */

static void *linux_alloc(void *self, size_t n)
{
    (void)self;
    return malloc(n ? n : 1);
}

static void *linux_realloc(void *self, void *old, size_t n)
{
    (void)self;
    return realloc(old, n ? n : 1);
}

static void linux_free(void *self, void *p)
{
    (void)self;
    free(p);
}

/* ---- borrowed files ---- */

/* Through the open directory's entry in /proc: stays right when the store or the process's working
 * directory moves meanwhile. */
static int linux_borrow(void *self, struct os_dir *dir, const char *name, bool for_write,
                        char **path)
{
    (void)self;
    (void)for_write;
    assert(is_single_component(name));
    if (dir->held.fd < 0)
        return -EBADF;
    return asprintf(path, "/proc/self/fd/%d/%s", dir->held.fd, name) < 0 ? -ENOMEM : 0;
}

static int linux_give_back(void *self, struct os_dir *dir, const char *name, bool for_write,
                           char *path)
{
    (void)self;
    (void)dir;
    (void)name;
    (void)for_write;
    free(path);
    return 0;
}

static void linux_point(void *self, const char *name)
{
    (void)self;
    (void)name;
}

/* ---- the table ---- */

static const struct hpo_os linux_table = {
    .size = sizeof(struct hpo_os),
    .self = NULL,
    .file_open = linux_file_open,
    .file_close = linux_file_close,
    .file_pread = linux_file_pread,
    .file_pwrite = linux_file_pwrite,
    .file_sync_data = linux_file_sync_data,
    .file_sync_all = linux_file_sync_all,
    .file_size = linux_file_size,
    .file_resize = linux_file_resize,
    .file_punch = linux_file_punch,
    .file_identity = linux_file_identity,
    .dir_open = linux_dir_open,
    .dir_open_at = linux_dir_open_at,
    .dir_create = linux_dir_create,
    .dir_create_at = linux_dir_create_at,
    .dir_close = linux_dir_close,
    .dir_list = linux_dir_list,
    .dir_sync = linux_dir_sync,
    .dir_identity = linux_dir_identity,
    .dir_fs = linux_dir_fs,
    .name_rename = linux_name_rename,
    .name_link = linux_name_link,
    .name_unlink = linux_name_unlink,
    .lock = linux_lock,
    .lock_test = linux_lock_test,
    .shm_map = linux_shm_map,
    .shm_unmap = linux_shm_unmap,
    .futex_wait = linux_futex_wait,
    .futex_wake = linux_futex_wake,
    .mutex_new = linux_mutex_new,
    .mutex_free = linux_mutex_free,
    .mutex_lock = linux_mutex_lock,
    .mutex_unlock = linux_mutex_unlock,
    .clock_monotonic = linux_clock_monotonic,
    .clock_real = linux_clock_real,
    .sleep = linux_sleep,
    .entropy = linux_entropy,
    .process_id = linux_process_id,
    .boot_id = linux_boot_id,
    .host_name = linux_host_name,
    .generation = linux_generation,
    .alloc = linux_alloc,
    .realloc = linux_realloc,
    .free = linux_free,
    .borrow = linux_borrow,
    .give_back = linux_give_back,
    .point = linux_point,
};

const struct hpo_os *os_linux(void)
{
    return &linux_table;
}

static const struct hpo_os *_Atomic installed_table; /* NULL: the real one */

const struct hpo_os *os_default(void)
{
    const struct hpo_os *os = atomic_load_explicit(&installed_table, memory_order_acquire);

    return os ? os : &linux_table;
}

int hpo_os_install(const struct hpo_os *os)
{
    if (os && os->size != sizeof(struct hpo_os))
        return -EINVAL;
    atomic_store_explicit(&installed_table, os, memory_order_release);
    return 0;
}

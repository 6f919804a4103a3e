/*
 * os: the only way from the engine to the operating system.
 *
 * Everything the engine touches outside its own memory goes through one table of functions, so that
 * a simulated disk with simulated processes (engine/fault/) can stand in for Linux without a change
 * to the code under test. engine/os_linux.c is the real table. `nm` over all other objects is
 * checked in CI: no open, write, fcntl, mmap, clock_gettime, getrandom or malloc there.
 *
 * Conventions
 *   - 0 or a count on success, a negative errno (-EIO, -ENOSPC ...) on failure. The layer above
 * turns these into enum hpo_error and keeps errno in the error detail.
 *   - Every function gets `self`, the table's own context, first. A simulated process is one table.
 *   - Files and directories are opaque and belong to whoever opened them, until closed.
 *   - Functions may be called by any thread; a file may be used by many threads at once.
 *   - Descriptors are above 2, O_CLOEXEC, O_NOFOLLOW, and closed in a forked child at once (an OFD
 * lock lives as long as any child keeps the descriptor); see `generation`.
 *
 * Numbers of bytes are uint64_t/size_t, times are microseconds in int64_t unless the name says
 * else.
 */
#ifndef HPO_ENGINE_OS_H
#define HPO_ENGINE_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>

struct os_file;  /* an open file (one open file description: locks belong to it) */
struct os_dir;   /* an open directory */
struct os_mutex; /* a mutex between threads of one process */

/* What a file is for. Fault points are named after it ("wal.sync_data"); nothing else depends on
 * it. */
enum os_role {
    OS_ROLE_FORMAT = 1,
    OS_ROLE_LOCK,
    OS_ROLE_SHM,
    OS_ROLE_ATTEST,
    OS_ROLE_WAL, /* segments and the zeroed files that become segments */
    OS_ROLE_SNAP,
    OS_ROLE_QUARANTINE,
    OS_ROLE_OTHER,
};

/* Flags of file_open; without OS_CREATE the file must exist. All files are regular files, else
 * -EINVAL. */
enum os_open_flags {
    OS_READ = 1,
    OS_WRITE = 2,  /* read and write */
    OS_CREATE = 4, /* create if absent */
    OS_EXCL = 8,   /* with OS_CREATE: fail with -EEXIST if present */
};

enum os_lock_kind {
    OS_UNLOCK = 0,
    OS_LOCK_SHARED = 1,
    OS_LOCK_EXCLUSIVE = 2,
};

struct os_identity {
    uint64_t device;
    uint64_t inode;
};

/* What kind of file system a directory lies on, as far as we care. */
enum os_fs_kind {
    OS_FS_LOCAL = 0,
    OS_FS_NETWORK = 1, /* NFS, CIFS, SMB, 9p, Ceph, AFS, Lustre, GFS2, OCFS2 ...: refused at open */
    OS_FS_FUSE = 2,    /* two hosts may share it: refused unless asked for */
    OS_FS_COW = 3,     /* btrfs, zfs, bcachefs: zeroing ahead reserves nothing; noted in stat */
    OS_FS_OVERLAY = 4, /* allowed; noted in stat */
    OS_FS_MEMORY = 5,  /* tmpfs, ramfs: allowed; survives no power loss; noted in stat */
};

struct os_fs {
    enum os_fs_kind kind;
    uint64_t magic; /* statfs f_type, or what the simulated disk says */
    char name[16];  /* "ext4", "nfs", "0x…" */
};

/* Called once per name by dir_list; a non-zero result stops the listing and is returned. */
typedef int (*os_list_fn)(void *arg, const char *name);

struct hpo_os {
    size_t size; /* sizeof(struct hpo_os) */
    void *self;

    /* -- files; names are single components, relative to an open directory -- */
    int (*file_open)(void *self, struct os_dir *dir, const char *name, unsigned flags,
                     enum os_role role, struct os_file **out);
    void (*file_close)(void *self, struct os_file *file);
    /* Read up to n bytes at offset; the count, short only at the end of the file (EINTR is retried
     * inside). */
    int64_t (*file_pread)(void *self, struct os_file *file, void *to, size_t n, uint64_t offset);
    /* One write call: the count written may be short; -EINTR only if nothing was written.
     * For OS_ROLE_WAL the table asserts (address XOR offset) & 4095 == 0: a write cut short by
     * SIGKILL then ends at a page boundary of the file (docs/format.md, "Append"). */
    int64_t (*file_pwrite)(void *self, struct os_file *file, const void *from, size_t n,
                           uint64_t offset);
    int (*file_sync_data)(void *self,
                          struct os_file *file); /* fdatasync; never retried by anybody */
    int (*file_sync_all)(void *self, struct os_file *file); /* fsync */
    int (*file_size)(void *self, struct os_file *file, uint64_t *out);
    int (*file_resize)(void *self, struct os_file *file, uint64_t size); /* ftruncate */
    /* Give back the blocks of a range that reads as zero, keeping the size; -EOPNOTSUPP where it
     * cannot. */
    int (*file_punch)(void *self, struct os_file *file, uint64_t offset, uint64_t n);
    int (*file_identity)(void *self, struct os_file *file, struct os_identity *out);

    /* -- directories and names -- */
    int (*dir_open)(void *self, const char *path, struct os_dir **out); /* any path */
    int (*dir_open_at)(void *self, struct os_dir *dir, const char *name, struct os_dir **out);
    int (*dir_create)(void *self, const char *path); /* any path; -EEXIST */
    int (*dir_create_at)(void *self, struct os_dir *dir, const char *name);
    void (*dir_close)(void *self, struct os_dir *dir);
    int (*dir_list)(void *self, struct os_dir *dir, os_list_fn fn,
                    void *arg); /* any order; without "." and ".." */
    int (*dir_sync)(void *self, struct os_dir *dir);
    int (*dir_identity)(void *self, struct os_dir *dir, struct os_identity *out);
    int (*dir_fs)(void *self, struct os_dir *dir, struct os_fs *out);
    int (*name_rename)(void *self, struct os_dir *from_dir, const char *from, struct os_dir *to_dir,
                       const char *to); /* replaces */
    int (*name_link)(void *self, struct os_dir *from_dir, const char *from, struct os_dir *to_dir,
                     const char *to); /* -EEXIST */
    int (*name_unlink)(void *self, struct os_dir *dir, const char *name);

    /* -- locks on single bytes, with the semantics of open file descriptions (F_OFD_SETLK) -- */
    /* kind OS_UNLOCK frees; converting shared to exclusive and back is allowed. With wait false:
     * -EAGAIN if another description holds it. With wait true: blocks (the simulated table passes
     * the baton on). */
    int (*lock)(void *self, struct os_file *file, uint64_t byte, enum os_lock_kind kind, bool wait);
    /* 1 if another description holds a lock on the byte that conflicts with an exclusive one, else
     * 0. */
    int (*lock_test)(void *self, struct os_file *file, uint64_t byte);

    /* -- memory between processes: a page of a file; the words are C11 atomics -- */
    int (*shm_map)(void *self, struct os_file *file, size_t size, bool writable, void **out);
    void (*shm_unmap)(void *self, void *address, size_t size);
    /* Sleep while *word == value, at most timeout; 0 woken or changed, -ETIMEDOUT. Spurious returns
     * are lawful. */
    int (*futex_wait)(void *self, _Atomic uint32_t *word, uint32_t value, int64_t timeout_us);
    void (*futex_wake)(void *self, _Atomic uint32_t *word); /* all waiters, in all processes */

    /* -- threads -- */
    int (*mutex_new)(void *self, struct os_mutex **out);
    void (*mutex_free)(void *self, struct os_mutex *mutex);
    void (*mutex_lock)(void *self, struct os_mutex *mutex);
    void (*mutex_unlock)(void *self, struct os_mutex *mutex);

    /* -- time, chance, self -- */
    int64_t (*clock_monotonic)(void *self); /* microseconds from anywhere */
    int64_t (*clock_real)(void *self);      /* microseconds since 1970 UTC */
    void (*sleep)(void *self, int64_t us);
    int (*entropy)(void *self, void *to, size_t n);
    uint64_t (*process_id)(void *self);
    int (*boot_id)(void *self, uint8_t out[16]); /* changes with every boot of the machine */
    int (*host_name)(void *self, char *out, size_t size);
    /* How many forks lie between this process and the one that loaded the library: 0, and one more
     * in each forked child. A handle made under another generation answers HPO_FORKED; its
     * descriptors are closed already. */
    uint64_t (*generation)(void *self);

    /* -- memory: every allocation of the library -- */
    void *(*alloc)(void *self, size_t n);
    void *(*realloc)(void *self, void *old, size_t n);
    void (*free)(void *self, void *p);

    /* -- borrowed files: for LMDB, which makes its own system calls -- */
    /* A path under which `name` in dir may be created (for_write) or read by somebody else's code
     * until given back. The real table returns the file's own path. The simulated one hands out a
     * scratch copy; at give_back of a for_write loan it takes the bytes over as unsynced writes of
     * `name`. The path is freed by give_back. */
    int (*borrow)(void *self, struct os_dir *dir, const char *name, bool for_write, char **path);
    int (*give_back)(void *self, struct os_dir *dir, const char *name, bool for_write, char *path);

    /* -- steps: a no-op that names a place between two instructions, where a process may be
     * stopped, killed or overtaken by the simulation or by an armed fault point ("append.marked",
     * "roll.renamed" ...) -- */
    void (*point)(void *self, const char *name);
};

/* The real table. Valid for the life of the program. */
const struct hpo_os *os_linux(void);

/* The table that hpo_open uses when its options name none: os_linux() unless hpo_os_install changed
 * it. */
const struct hpo_os *os_default(void);

/* Make `os` the default table of the process, NULL: os_linux() again. The one symbol exported
 * beside hpo.h; libhpo-fault calls it. The table must stay valid until replaced and every handle
 * opened under it is closed. Any thread; handles that are open keep the table they were opened
 * with. -EINVAL if the table's size is not ours. */
__attribute__((visibility("default"))) int hpo_os_install(const struct hpo_os *os);

#endif

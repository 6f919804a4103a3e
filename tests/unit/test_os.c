/*
 * os: the real table against the real kernel. What the simulated table promises as well is tested
 * the same way in test_sim_machine.c.
 */
#include "os.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct hpo_os *os;
static char root_path[512];
static struct os_dir *root;

static void setup(void)
{
    const char *base = getenv("TMPDIR");

    os = os_linux();
    snprintf(root_path, sizeof(root_path), "%s/hpo-os-XXXXXX", base ? base : "/tmp");
    cr_assert(mkdtemp(root_path));
    cr_assert_eq(os->dir_open(os->self, root_path, &root), 0);
}

static void teardown(void)
{
    char command[600];

    os->dir_close(os->self, root);
    snprintf(command, sizeof(command), "rm -rf '%s'", root_path);
    cr_assert_eq(system(command), 0);
}

TestSuite(os, .init = setup, .fini = teardown, .timeout = 60);

static struct os_file *open_file(const char *name, unsigned flags, enum os_role role)
{
    struct os_file *file = NULL;
    int err = os->file_open(os->self, root, name, flags, role, &file);

    cr_assert_eq(err, 0, "open %s: %s", name, strerror(-err));
    return file;
}

static int open_error(const char *name, unsigned flags)
{
    struct os_file *file = NULL;
    int err = os->file_open(os->self, root, name, flags, OS_ROLE_OTHER, &file);

    cr_assert_lt(err, 0);
    cr_assert_null(file, "an out-parameter is set only on success");
    return err;
}

static void host_path(char *out, size_t size, const char *name)
{
    cr_assert_lt(snprintf(out, size, "%s/%s", root_path, name), (int)size);
}

/* ---- files ---- */

Test(os, what_is_written_is_read_and_a_read_is_short_only_at_the_end)
{
    struct os_file *file = open_file("f", OS_WRITE | OS_CREATE, OS_ROLE_OTHER);
    char got[16] = "";
    uint64_t size = 0;

    cr_assert_eq(os->file_pwrite(os->self, file, "hello", 5, 3), 5);
    cr_assert_eq(os->file_pread(os->self, file, got, sizeof(got), 0), 8);
    cr_assert_eq(memcmp(got, "\0\0\0hello", 8), 0);
    cr_assert_eq(os->file_pread(os->self, file, got, sizeof(got), 100), 0);
    cr_assert_eq(os->file_sync_data(os->self, file), 0);
    cr_assert_eq(os->file_sync_all(os->self, file), 0);
    cr_assert_eq(os->dir_sync(os->self, root), 0);
    cr_assert_eq(os->file_resize(os->self, file, 4), 0);
    cr_assert_eq(os->file_size(os->self, file, &size), 0);
    cr_assert_eq(size, 4);
    os->file_close(os->self, file);
}

Test(os, offsets_that_no_file_has_are_errors)
{
    struct os_file *file = open_file("f", OS_WRITE | OS_CREATE, OS_ROLE_OTHER);
    char byte = 0;

    cr_assert_eq(os->file_pread(os->self, file, &byte, 1, UINT64_MAX), -EINVAL);
    cr_assert_eq(os->file_pwrite(os->self, file, &byte, 1, UINT64_MAX), -EFBIG);
    cr_assert_eq(os->file_resize(os->self, file, UINT64_MAX), -EFBIG);
    cr_assert_eq(os->file_punch(os->self, file, UINT64_MAX, 1), -EFBIG);
    os->file_close(os->self, file);
}

Test(os, flags_of_open_mean_what_they_say)
{
    struct os_file *file;

    cr_assert_eq(open_error("f", OS_WRITE), -ENOENT);
    os->file_close(os->self, open_file("f", OS_WRITE | OS_CREATE | OS_EXCL, OS_ROLE_OTHER));
    cr_assert_eq(open_error("f", OS_WRITE | OS_CREATE | OS_EXCL), -EEXIST);
    file = open_file("f", OS_READ, OS_ROLE_OTHER);
    cr_assert_eq(os->file_pwrite(os->self, file, "x", 1, 0), -EBADF);
    os->file_close(os->self, file);
}

Test(os, only_regular_files_are_opened)
{
    char path[600];

    host_path(path, sizeof(path), "fifo");
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(open_error("fifo", OS_READ), -EINVAL, "and not waited for");
    host_path(path, sizeof(path), "link");
    cr_assert_eq(symlink("/etc/passwd", path), 0);
    cr_assert_eq(open_error("link", OS_READ), -ELOOP);
    cr_assert_eq(os->dir_create_at(os->self, root, "directory"), 0);
    cr_assert_eq(open_error("directory", OS_READ), -EINVAL);
    cr_assert_eq(open_error("directory", OS_WRITE), -EISDIR);
}

Test(os, descriptors_stay_clear_of_the_standard_streams_and_of_exec)
{
    struct os_file *file;
    bool found = false;

    close(STDIN_FILENO);
    file = open_file("f", OS_WRITE | OS_CREATE, OS_ROLE_OTHER);
    cr_assert_lt(fcntl(STDIN_FILENO, F_GETFD), 0, "descriptor 0 is not taken");
    for (int fd = 3; fd < 64; fd++) {
        struct stat st;
        struct os_identity identity;

        cr_assert_eq(os->file_identity(os->self, file, &identity), 0);
        if (fstat(fd, &st) == 0 && st.st_ino == identity.inode && st.st_dev == identity.device) {
            cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
            found = true;
        }
    }
    cr_assert(found);
    os->file_close(os->self, file);
}

Test(os, a_punched_range_reads_as_zero_and_the_size_stays)
{
    struct os_file *file = open_file("f", OS_WRITE | OS_CREATE, OS_ROLE_OTHER);
    static char bytes[8192];
    uint64_t size = 0;
    int err;

    memset(bytes, 'x', sizeof(bytes));
    cr_assert_eq(os->file_pwrite(os->self, file, bytes, sizeof(bytes), 0), (int64_t)sizeof(bytes));
    err = os->file_punch(os->self, file, 4096, 4096);
    cr_assert(err == 0 || err == -EOPNOTSUPP);
    cr_assert_eq(os->file_size(os->self, file, &size), 0);
    cr_assert_eq(size, sizeof(bytes));
    cr_assert_eq(os->file_pread(os->self, file, bytes, 8192, 0), 8192);
    cr_assert_eq(bytes[4095], 'x');
    cr_assert_eq(bytes[4096], err == 0 ? 0 : 'x');
    os->file_close(os->self, file);
}

/* In a child, so that the abort does not keep this process from cleaning up. */
Test(os, a_write_to_the_log_must_lie_like_its_place_in_the_file)
{
    struct os_file *file = open_file("f", OS_WRITE | OS_CREATE, OS_ROLE_WAL);
    _Alignas(4096) static char page[8192];
    int status = -1;
    pid_t child;

    cr_assert_eq(os->file_pwrite(os->self, file, page + 512, 512, 8704), 512);
    child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        os->file_pwrite(os->self, file, page + 512, 512, 1024);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    os->file_close(os->self, file);
}

/* ---- directories ---- */

struct names {
    unsigned count;
    char seen[8][16];
};

static int note_name(void *arg, const char *name)
{
    struct names *names = arg;

    cr_assert_lt(names->count, 8);
    snprintf(names->seen[names->count++], sizeof(names->seen[0]), "%s", name);
    return 0;
}

static int stop_at_once(void *arg, const char *name)
{
    (void)name;
    ++*(int *)arg;
    return 7;
}

static int count_name(void *arg, const char *name)
{
    (void)name;
    ++*(int *)arg;
    return 0;
}

Test(os, names_are_created_renamed_linked_unlinked_and_listed)
{
    struct names names = {0};
    struct os_dir *sub = NULL;
    int calls = 0;

    os->file_close(os->self, open_file("a", OS_WRITE | OS_CREATE, OS_ROLE_OTHER));
    os->file_close(os->self, open_file("b", OS_WRITE | OS_CREATE, OS_ROLE_OTHER));
    cr_assert_eq(os->dir_create_at(os->self, root, "sub"), 0);
    cr_assert_eq(os->dir_create_at(os->self, root, "sub"), -EEXIST);
    cr_assert_eq(os->dir_open_at(os->self, root, "sub", &sub), 0);
    cr_assert_eq(os->name_link(os->self, root, "a", sub, "b"), 0);
    cr_assert_eq(os->name_link(os->self, root, "a", root, "b"), -EEXIST);
    cr_assert_eq(os->name_rename(os->self, root, "a", root, "b"), 0, "rename replaces");
    cr_assert_eq(os->name_unlink(os->self, root, "a"), -ENOENT);
    cr_assert_eq(os->dir_list(os->self, root, note_name, &names), 0);
    cr_assert_eq(names.count, 2, "no . and no ..");
    cr_assert_eq(os->dir_list(os->self, root, stop_at_once, &calls), 7);
    cr_assert_eq(calls, 1);
    names.count = 0;
    cr_assert_eq(os->dir_list(os->self, sub, note_name, &names), 0);
    cr_assert_eq(os->dir_list(os->self, sub, note_name, &names), 0, "again from the start");
    cr_assert_eq(names.count, 2);
    cr_assert_str_eq(names.seen[0], "b");
    os->dir_close(os->self, sub);
}

Test(os, a_large_directory_is_listed_whole)
{
    int calls = 0;
    char name[64];

    for (int i = 0; i < 600; i++) {
        snprintf(name, sizeof(name), "a-name-that-is-not-short-%04d", i);
        os->file_close(os->self, open_file(name, OS_WRITE | OS_CREATE, OS_ROLE_OTHER));
    }
    cr_assert_eq(os->dir_list(os->self, root, stop_at_once, &calls), 7);
    calls = 0;
    cr_assert_eq(os->dir_list(os->self, root, count_name, &calls), 0);
    cr_assert_eq(calls, 600);
}

Test(os, a_directory_replaced_under_its_path_has_another_identity)
{
    struct os_identity before, after;
    struct os_dir *again;
    char path[600];

    host_path(path, sizeof(path), "store");
    cr_assert_eq(os->dir_create(os->self, path), 0);
    cr_assert_eq(os->dir_create(os->self, path), -EEXIST);
    cr_assert_eq(os->dir_open(os->self, path, &again), 0);
    cr_assert_eq(os->dir_identity(os->self, again, &before), 0);
    cr_assert_eq(rmdir(path), 0);
    cr_assert_eq(os->dir_create(os->self, path), 0);
    os->dir_close(os->self, again);
    cr_assert_eq(os->dir_open(os->self, path, &again), 0);
    cr_assert_eq(os->dir_identity(os->self, root, &after), 0);
    cr_assert_eq(before.device, after.device);
    cr_assert_neq(before.inode, after.inode);
    os->dir_close(os->self, again);
}

Test(os, the_kind_of_file_system_is_told)
{
    struct os_dir *dir;
    struct os_fs fs;

    cr_assert_eq(os->dir_fs(os->self, root, &fs), 0);
    cr_assert_neq(fs.kind, OS_FS_NETWORK, "tests do not run on %s", fs.name);
    if (os->dir_open(os->self, "/dev/shm", &dir) == 0) {
        cr_assert_eq(os->dir_fs(os->self, dir, &fs), 0);
        cr_assert_eq(fs.kind, OS_FS_MEMORY);
        cr_assert_str_eq(fs.name, "tmpfs");
        os->dir_close(os->self, dir);
    }
    cr_assert_eq(os->dir_open(os->self, "/proc", &dir), 0);
    cr_assert_eq(os->dir_fs(os->self, dir, &fs), 0);
    cr_assert_eq(fs.kind, OS_FS_LOCAL);
    cr_assert_str_eq(fs.name, "0x9fa0", "what is not in the list is told by number");
    os->dir_close(os->self, dir);
}

/* ---- locks ---- */

Test(os, locks_belong_to_the_description_even_within_one_process)
{
    struct os_file *a = open_file("lock", OS_WRITE | OS_CREATE, OS_ROLE_LOCK);
    struct os_file *b = open_file("lock", OS_WRITE, OS_ROLE_LOCK);

    cr_assert_eq(os->lock(os->self, a, 1, OS_LOCK_EXCLUSIVE, false), 0);
    cr_assert_eq(os->lock(os->self, a, 1, OS_LOCK_EXCLUSIVE, false), 0, "again by the holder");
    cr_assert_eq(os->lock(os->self, b, 1, OS_LOCK_EXCLUSIVE, false), -EAGAIN);
    cr_assert_eq(os->lock(os->self, b, 1, OS_LOCK_SHARED, false), -EAGAIN);
    cr_assert_eq(os->lock(os->self, b, 2, OS_LOCK_EXCLUSIVE, false), 0, "each byte on its own");
    cr_assert_eq(os->lock_test(os->self, b, 1), 1);
    cr_assert_eq(os->lock_test(os->self, a, 1), 0, "one's own lock is no conflict");
    cr_assert_eq(os->lock(os->self, a, 1, OS_UNLOCK, false), 0);
    cr_assert_eq(os->lock_test(os->self, b, 1), 0);
    os->file_close(os->self, b);
    cr_assert_eq(os->lock_test(os->self, a, 2), 0, "closing frees");
    os->file_close(os->self, a);
}

Test(os, shared_locks_stand_together_and_are_converted)
{
    struct os_file *a = open_file("lock", OS_WRITE | OS_CREATE, OS_ROLE_LOCK);
    struct os_file *b = open_file("lock", OS_WRITE, OS_ROLE_LOCK);
    struct os_file *reader = open_file("lock", OS_READ, OS_ROLE_LOCK);

    cr_assert_eq(os->lock(os->self, a, 0, OS_LOCK_SHARED, false), 0);
    cr_assert_eq(os->lock(os->self, b, 0, OS_LOCK_SHARED, false), 0);
    cr_assert_eq(os->lock(os->self, a, 0, OS_LOCK_EXCLUSIVE, false), -EAGAIN);
    cr_assert_eq(os->lock_test(os->self, b, 0), 1, "a's shared lock is still there");
    cr_assert_eq(os->lock(os->self, b, 0, OS_UNLOCK, false), 0);
    cr_assert_eq(os->lock(os->self, a, 0, OS_LOCK_EXCLUSIVE, false), 0);
    cr_assert_eq(os->lock(os->self, b, 0, OS_LOCK_SHARED, false), -EAGAIN);
    cr_assert_eq(os->lock(os->self, a, 0, OS_LOCK_SHARED, false), 0, "downgraded");
    cr_assert_eq(os->lock(os->self, b, 0, OS_LOCK_SHARED, false), 0);
    cr_assert_eq(os->lock_test(os->self, reader, 0), 1, "a reader may look");
    cr_assert_eq(os->lock(os->self, reader, 0, OS_LOCK_EXCLUSIVE, false), -EBADF);
    os->file_close(os->self, reader);
    os->file_close(os->self, b);
    os->file_close(os->self, a);
}

struct waiter {
    struct os_file *file;
    _Atomic int state;
    _Atomic uint32_t *word;
};

static void *wait_for_lock(void *arg)
{
    struct waiter *waiter = arg;

    atomic_store(&waiter->state, 1);
    cr_assert_eq(os->lock(os->self, waiter->file, 9, OS_LOCK_EXCLUSIVE, true), 0);
    atomic_store(&waiter->state, 2);
    return NULL;
}

Test(os, a_waiting_lock_is_granted_when_the_holder_lets_go)
{
    struct os_file *a = open_file("lock", OS_WRITE | OS_CREATE, OS_ROLE_LOCK);
    struct waiter waiter = {.file = open_file("lock", OS_WRITE, OS_ROLE_LOCK)};
    pthread_t thread;

    cr_assert_eq(os->lock(os->self, a, 9, OS_LOCK_EXCLUSIVE, false), 0);
    cr_assert_eq(pthread_create(&thread, NULL, wait_for_lock, &waiter), 0);
    os->sleep(os->self, 20000);
    cr_assert_neq(atomic_load(&waiter.state), 2);
    cr_assert_eq(os->lock(os->self, a, 9, OS_UNLOCK, false), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(atomic_load(&waiter.state), 2);
    os->file_close(os->self, waiter.file);
    os->file_close(os->self, a);
}

/* ---- fork ---- */

static void read_byte(int fd)
{
    char byte;

    cr_assert_eq(read(fd, &byte, 1), 1);
}

/* A process takes a lock, forks a child that sleeps for ever, and is killed. The child must not
 * keep the lock alive: this is what a training program with data-loader children does. */
Test(os, a_child_that_outlives_its_killed_parent_does_not_keep_the_lock)
{
    struct os_file *file = open_file("lock", OS_WRITE | OS_CREATE, OS_ROLE_LOCK);
    int ready[2], stay[2];
    pid_t parent;

    cr_assert_eq(pipe(ready), 0);
    cr_assert_eq(pipe(stay), 0);
    parent = fork();
    cr_assert_geq(parent, 0);
    if (parent == 0) {
        struct os_dir *dir;
        struct os_file *own;
        char byte;

        if (os->dir_open(os->self, root_path, &dir) != 0 ||
            os->file_open(os->self, dir, "lock", OS_WRITE, OS_ROLE_LOCK, &own) != 0 ||
            os->lock(os->self, own, 5, OS_LOCK_EXCLUSIVE, false) != 0)
            _exit(1);
        if (fork() == 0) {
            close(stay[1]);
            if (write(ready[1], "c", 1) != 1 || read(stay[0], &byte, 1) != 0)
                _exit(1);
            _exit(0);
        }
        close(stay[1]);
        pause();
        _exit(1);
    }
    read_byte(ready[0]);
    cr_assert_eq(os->lock_test(os->self, file, 5), 1, "the parent lives and holds it");
    cr_assert_eq(kill(parent, SIGKILL), 0);
    cr_assert_eq(waitpid(parent, NULL, 0), parent);
    cr_assert_eq(os->lock(os->self, file, 5, OS_LOCK_EXCLUSIVE, false), 0, "the child lives on");
    close(stay[1]); /* now the child ends */
    os->file_close(os->self, file);
}

Test(os, a_forked_child_sees_another_generation_and_no_descriptor_and_disturbs_nobody)
{
    struct os_file *file = open_file("lock", OS_WRITE | OS_CREATE, OS_ROLE_LOCK);
    struct os_file *other = open_file("lock", OS_WRITE, OS_ROLE_LOCK);
    uint64_t generation = os->generation(os->self);
    int status = -1;
    pid_t child;

    cr_assert_eq(os->lock(os->self, file, 5, OS_LOCK_EXCLUSIVE, false), 0);
    child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        char byte, *path;
        struct os_dir *dir;
        bool good = os->generation(os->self) == generation + 1 &&
                    os->file_pread(os->self, file, &byte, 1, 0) == -EBADF &&
                    os->file_sync_data(os->self, file) == -EBADF &&
                    os->lock(os->self, file, 5, OS_UNLOCK, false) == -EBADF &&
                    os->dir_sync(os->self, root) == -EBADF &&
                    os->dir_open_at(os->self, root, "x", &dir) == -EBADF &&
                    os->borrow(os->self, root, "x", false, &path) == -EBADF;

        os->file_close(os->self, file);
        os->file_close(os->self, other);
        os->dir_close(os->self, root);
        /* A child that opens for itself gets working descriptors, and its own child none of them.
         */
        good = good && os->dir_open(os->self, root_path, &dir) == 0 &&
               os->dir_sync(os->self, dir) == 0;
        _exit(good ? 0 : 1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert_eq(os->generation(os->self), generation);
    cr_assert_eq(os->lock_test(os->self, other, 5), 1, "the parent still holds its lock");
    os->file_close(os->self, other);
    os->file_close(os->self, file);
}

static void *open_and_close(void *arg)
{
    struct waiter *waiter = arg;

    while (atomic_load(&waiter->state) == 0) {
        struct os_file *file = open_file("lock", OS_WRITE, OS_ROLE_LOCK);

        os->file_close(os->self, file);
    }
    return NULL;
}

/* Forks while another thread opens and closes: a child may be born between any two instructions,
 * and still has no descriptor of the file. */
Test(os, a_fork_beside_opening_threads_leaks_nothing)
{
    struct waiter waiter = {.file = open_file("lock", OS_WRITE | OS_CREATE, OS_ROLE_LOCK)};
    struct os_identity identity;
    pthread_t thread;

    cr_assert_eq(os->file_identity(os->self, waiter.file, &identity), 0);
    cr_assert_eq(pthread_create(&thread, NULL, open_and_close, &waiter), 0);
    for (int i = 0; i < 200; i++) {
        int status = -1;
        pid_t child = fork();

        cr_assert_geq(child, 0);
        if (child == 0) {
            struct stat st;

            for (int fd = 0; fd < 64; fd++)
                if (fstat(fd, &st) == 0 && st.st_ino == identity.inode &&
                    st.st_dev == identity.device)
                    _exit(1);
            _exit(0);
        }
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "fork %d", i);
    }
    atomic_store(&waiter.state, 1);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    os->file_close(os->self, waiter.file);
}

/* ---- memory between processes ---- */

Test(os, a_futex_in_a_mapped_page_wakes_another_process)
{
    struct os_file *file = open_file("shm", OS_WRITE | OS_CREATE, OS_ROLE_SHM);
    static char zero[4096];
    void *page = NULL;
    _Atomic uint32_t *word;
    int status = -1;
    pid_t child;

    cr_assert_eq(os->file_pwrite(os->self, file, zero, sizeof(zero), 0), 4096);
    cr_assert_eq(os->shm_map(os->self, file, 4096, true, &page), 0);
    word = page;
    child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        while (atomic_load(word) == 0)
            os->futex_wait(os->self, word, 0, 10000000);
        _exit(atomic_load(word) == 1 ? 0 : 1);
    }
    os->sleep(os->self, 20000);
    atomic_store(word, 1);
    os->futex_wake(os->self, word);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    os->shm_unmap(os->self, page, 4096);
    os->file_close(os->self, file);
}

Test(os, a_futex_wait_ends_by_change_or_by_its_time)
{
    _Atomic uint32_t word = 3;
    int64_t begin = os->clock_monotonic(os->self);

    cr_assert_eq(os->futex_wait(os->self, &word, 2, 10000000), 0, "not the value: at once");
    cr_assert_eq(os->futex_wait(os->self, &word, 3, 20000), -ETIMEDOUT);
    cr_assert_eq(os->futex_wait(os->self, &word, 3, -5), -ETIMEDOUT);
    cr_assert_geq(os->clock_monotonic(os->self) - begin, 20000);
}

/* ---- the rest ---- */

Test(os, clocks_chance_and_names_of_the_machine)
{
    uint8_t a[16] = {0}, b[16] = {0};
    char name[65] = "", cut[2] = "?";

    cr_assert_gt(os->clock_real(os->self), INT64_C(1600000000) * 1000000);
    cr_assert_eq(os->entropy(os->self, a, sizeof(a)), 0);
    cr_assert_eq(os->entropy(os->self, b, sizeof(b)), 0);
    cr_assert_neq(memcmp(a, b, sizeof(a)), 0);
    cr_assert_eq(os->boot_id(os->self, a), 0);
    cr_assert_eq(os->boot_id(os->self, b), 0);
    cr_assert_eq(memcmp(a, b, sizeof(a)), 0);
    cr_assert_eq(os->host_name(os->self, name, sizeof(name)), 0);
    cr_assert_gt(strlen(name), 0);
    cr_assert_eq(os->host_name(os->self, cut, sizeof(cut)), 0);
    cr_assert_leq(strlen(cut), 1);
    cr_assert_eq(os->process_id(os->self), (uint64_t)getpid());
    os->point(os->self, "test.nothing");
}

Test(os, no_memory_is_asked_for_in_vain)
{
    char *p = os->alloc(os->self, 0);

    cr_assert(p, "not even nothing");
    p = os->realloc(os->self, p, 100);
    cr_assert(p);
    os->free(os->self, p);
    os->free(os->self, NULL);
    os->file_close(os->self, NULL);
    os->dir_close(os->self, NULL);
    os->mutex_free(os->self, NULL);
    os->shm_unmap(os->self, NULL, 0);
}

Test(os, a_borrowed_path_leads_to_the_file_even_after_the_directory_moved)
{
    char from[600], to[600], *path = NULL, got[8] = "";
    struct os_dir *sub;
    struct os_file *file;
    FILE *stream;

    host_path(from, sizeof(from), "one");
    host_path(to, sizeof(to), "two");
    cr_assert_eq(os->dir_create(os->self, from), 0);
    cr_assert_eq(os->dir_open(os->self, from, &sub), 0);
    cr_assert_eq(rename(from, to), 0);
    cr_assert_eq(os->borrow(os->self, sub, "loan", true, &path), 0);
    stream = fopen(path, "w");
    cr_assert(stream);
    cr_assert_geq(fputs("lent", stream), 0);
    cr_assert_eq(fclose(stream), 0);
    cr_assert_eq(os->give_back(os->self, sub, "loan", true, path), 0);
    cr_assert_eq(os->file_open(os->self, sub, "loan", OS_READ, OS_ROLE_SNAP, &file), 0);
    cr_assert_eq(os->file_pread(os->self, file, got, sizeof(got), 0), 4);
    cr_assert_str_eq(got, "lent");
    os->file_close(os->self, file);
    os->dir_close(os->self, sub);
}

Test(os, a_mutex_excludes_threads)
{
    struct os_mutex *mutex = NULL;

    cr_assert_eq(os->mutex_new(os->self, &mutex), 0);
    os->mutex_lock(os->self, mutex);
    os->mutex_unlock(os->self, mutex);
    os->mutex_lock(os->self, mutex);
    os->mutex_unlock(os->self, mutex);
    os->mutex_free(os->self, mutex);
}

Test(os, the_default_table_can_be_replaced_by_one_of_the_same_size)
{
    struct hpo_os copy = *os;

    cr_assert_eq(os_default(), os_linux());
    cr_assert_eq(hpo_os_install(&copy), 0);
    cr_assert_eq(os_default(), &copy);
    copy.size--;
    cr_assert_eq(hpo_os_install(&copy), -EINVAL);
    cr_assert_eq(hpo_os_install(NULL), 0);
    cr_assert_eq(os_default(), os_linux());
}

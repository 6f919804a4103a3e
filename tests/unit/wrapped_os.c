/*
 * wrapped_os: each changed call looks at the rules, then goes on to the real one. The real table
 * ignores its `self`, so the unchanged calls are simply copied.
 */
#include "wrapped_os.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>

static enum os_role role_of(struct wrapped_os *wrapped, struct os_file *file)
{
    for (size_t i = 0; i < WRAPPED_FILES; i++) {
        if (atomic_load(&wrapped->files[i].file) == file)
            return wrapped->files[i].role;
    }
    return 0;
}

static void remember(struct wrapped_os *wrapped, struct os_file *file, enum os_role role)
{
    for (size_t i = 0; i < WRAPPED_FILES; i++) {
        struct os_file *free_entry = NULL;

        if (atomic_compare_exchange_strong(&wrapped->files[i].file, &free_entry, file)) {
            wrapped->files[i].role = role;
            return;
        }
    }
    abort(); /* more open files than a test should have */
}

static void forget(struct wrapped_os *wrapped, struct os_file *file)
{
    for (size_t i = 0; i < WRAPPED_FILES; i++) {
        struct os_file *expected = file;

        if (atomic_compare_exchange_strong(&wrapped->files[i].file, &expected, NULL))
            return;
    }
}

/* The rule that applies to this call, or NULL. */
static const struct wrapped_rule *rule_for(struct wrapped_os *wrapped, enum wrapped_call call,
                                           enum os_role role, const char *point)
{
    const struct wrapped_rule *found = NULL;

    if (call != WRAPPED_POINT && (role == 0 || role == OS_ROLE_WAL))
        atomic_fetch_add(&wrapped->counts[call], 1);
    for (unsigned i = 0; i < wrapped->rule_count; i++) {
        const struct wrapped_rule *rule = &wrapped->rules[i];
        unsigned n;

        if (rule->call != call || (rule->role && rule->role != role) ||
            (point && strcmp(rule->point, point) != 0))
            continue;
        n = atomic_fetch_add(&wrapped->seen[i], 1) + 1;
        if (!found && n >= rule->from && (rule->count == 0 || n < rule->from + rule->count))
            found = rule;
    }
    if (found && found->effect == WRAPPED_KILL) {
        kill(getpid(), SIGKILL);
        for (;;)
            pause();
    }
    if (found && found->effect == WRAPPED_HOOK)
        found->hook(found->arg);
    return found;
}

static bool fails(const struct wrapped_rule *rule)
{
    return rule && rule->effect == WRAPPED_FAIL;
}

static int wrapped_open(void *self, struct os_dir *dir, const char *name, unsigned flags,
                        enum os_role role, struct os_file **out)
{
    struct wrapped_os *wrapped = self;
    const struct wrapped_rule *rule = rule_for(wrapped, WRAPPED_OPEN, role, NULL);
    int err = fails(rule) ? -(int)rule->value
                          : wrapped->real->file_open(NULL, dir, name, flags, role, out);

    if (err == 0)
        remember(wrapped, *out, role);
    return err;
}

static void wrapped_close(void *self, struct os_file *file)
{
    struct wrapped_os *wrapped = self;

    if (file)
        forget(wrapped, file);
    wrapped->real->file_close(NULL, file);
}

static int64_t wrapped_pwrite(void *self, struct os_file *file, const void *from, size_t n,
                              uint64_t offset)
{
    struct wrapped_os *wrapped = self;
    enum os_role role = role_of(wrapped, file);
    const struct wrapped_rule *rule = rule_for(wrapped, WRAPPED_PWRITE, role, NULL);
    int64_t put;

    if (fails(rule))
        return -rule->value;
    if (rule && rule->effect == WRAPPED_SHORT && n > (size_t)rule->value)
        n = (size_t)rule->value;
    put = wrapped->real->file_pwrite(NULL, file, from, n, offset);
    if (put > 0 && role == OS_ROLE_WAL) {
        atomic_fetch_add(&wrapped->write_bytes, (uint64_t)put);
        wrapped->last_file = file;
        wrapped->last_offset = offset;
        wrapped->last_size = n;
    }
    return put;
}

/* What a page cache that drops failed pages shows afterwards: the old content, here zeros. */
static void revert(struct wrapped_os *wrapped)
{
    void *zeros = NULL;

    if (posix_memalign(&zeros, 4096, wrapped->last_size + 8192) != 0)
        abort();
    memset(zeros, 0, wrapped->last_size + 8192);
    (void)wrapped->real->file_pwrite(NULL, wrapped->last_file,
                                     (char *)zeros + wrapped->last_offset % 4096,
                                     wrapped->last_size, wrapped->last_offset);
    free(zeros);
}

static int wrapped_sync_data(void *self, struct os_file *file)
{
    struct wrapped_os *wrapped = self;
    enum os_role role = role_of(wrapped, file);
    const struct wrapped_rule *rule = rule_for(wrapped, WRAPPED_SYNC_DATA, role, NULL);

    if (fails(rule))
        return -(int)rule->value;
    if (rule && rule->effect == WRAPPED_REVERT) {
        revert(wrapped);
        return -EIO;
    }
    if (role == OS_ROLE_WAL && wrapped->sync_us > 0) {
        wrapped->real->sleep(NULL, wrapped->sync_us);
        if (!wrapped->sync_really)
            return 0;
    }
    return wrapped->real->file_sync_data(NULL, file);
}

static int wrapped_sync_all(void *self, struct os_file *file)
{
    struct wrapped_os *wrapped = self;
    const struct wrapped_rule *rule =
        rule_for(wrapped, WRAPPED_SYNC_ALL, role_of(wrapped, file), NULL);

    return fails(rule) ? -(int)rule->value : wrapped->real->file_sync_all(NULL, file);
}

static int wrapped_dir_sync(void *self, struct os_dir *dir)
{
    struct wrapped_os *wrapped = self;
    const struct wrapped_rule *rule = rule_for(wrapped, WRAPPED_DIR_SYNC, 0, NULL);

    return fails(rule) ? -(int)rule->value : wrapped->real->dir_sync(NULL, dir);
}

static int wrapped_rename(void *self, struct os_dir *from_dir, const char *from,
                          struct os_dir *to_dir, const char *to)
{
    struct wrapped_os *wrapped = self;
    const struct wrapped_rule *rule = rule_for(wrapped, WRAPPED_RENAME, 0, NULL);

    return fails(rule) ? -(int)rule->value
                       : wrapped->real->name_rename(NULL, from_dir, from, to_dir, to);
}

static int wrapped_lock(void *self, struct os_file *file, uint64_t byte, enum os_lock_kind kind,
                        bool wait)
{
    struct wrapped_os *wrapped = self;
    const struct wrapped_rule *rule = rule_for(wrapped, WRAPPED_LOCK, 0, NULL);

    return fails(rule) ? -(int)rule->value : wrapped->real->lock(NULL, file, byte, kind, wait);
}

static int wrapped_futex_wait(void *self, _Atomic uint32_t *word, uint32_t value,
                              int64_t timeout_us)
{
    struct wrapped_os *wrapped = self;

    (void)rule_for(wrapped, WRAPPED_FUTEX_WAIT, 0, NULL);
    return wrapped->real->futex_wait(NULL, word, value, timeout_us);
}

static int wrapped_dir_fs(void *self, struct os_dir *dir, struct os_fs *out)
{
    struct wrapped_os *wrapped = self;
    int err = wrapped->real->dir_fs(NULL, dir, out);

    if (err == 0 && wrapped->fs_kind != OS_FS_LOCAL)
        out->kind = wrapped->fs_kind;
    return err;
}

static void wrapped_point(void *self, const char *name)
{
    (void)rule_for(self, WRAPPED_POINT, 0, name);
}

void wrapped_os_init(struct wrapped_os *wrapped)
{
    memset(wrapped, 0, sizeof(*wrapped));
    wrapped->real = os_linux();
    wrapped->os = *wrapped->real;
    wrapped->os.self = wrapped;
    wrapped->os.file_open = wrapped_open;
    wrapped->os.file_close = wrapped_close;
    wrapped->os.file_pwrite = wrapped_pwrite;
    wrapped->os.file_sync_data = wrapped_sync_data;
    wrapped->os.file_sync_all = wrapped_sync_all;
    wrapped->os.dir_sync = wrapped_dir_sync;
    wrapped->os.name_rename = wrapped_rename;
    wrapped->os.lock = wrapped_lock;
    wrapped->os.futex_wait = wrapped_futex_wait;
    wrapped->os.dir_fs = wrapped_dir_fs;
    wrapped->os.point = wrapped_point;
}

void wrapped_os_arm(struct wrapped_os *wrapped, const struct wrapped_rule *rule)
{
    if (wrapped->rule_count == WRAPPED_RULES)
        abort();
    wrapped->rules[wrapped->rule_count] = *rule;
    if (wrapped->rules[wrapped->rule_count].from == 0)
        wrapped->rules[wrapped->rule_count].from = 1;
    atomic_store(&wrapped->seen[wrapped->rule_count], 0);
    wrapped->rule_count++;
}

void wrapped_os_disarm(struct wrapped_os *wrapped)
{
    wrapped->rule_count = 0;
}

/*
 * wrapped_os: the real table with single calls changed, for tests that run on the real kernel. What
 * the simulated machine can do is tested there; this is for real processes, threads and files.
 *
 * A rule names a call (by what it does and the role of its file) or a point, which of its calls it
 * concerns, and what happens. Counting is per table; a forked child has a copy.
 */
#ifndef HPO_TESTS_WRAPPED_OS_H
#define HPO_TESTS_WRAPPED_OS_H

#include "os.h"

enum wrapped_call {
    WRAPPED_NONE = 0,
    WRAPPED_POINT,
    WRAPPED_OPEN,
    WRAPPED_PWRITE,
    WRAPPED_SYNC_DATA,
    WRAPPED_SYNC_ALL,
    WRAPPED_DIR_SYNC,
    WRAPPED_RENAME,
    WRAPPED_LOCK,
    WRAPPED_FUTEX_WAIT,
    WRAPPED_CALLS
};

enum wrapped_effect {
    WRAPPED_FAIL = 1, /* the call returns -value and does nothing */
    WRAPPED_KILL,     /* SIGKILL to this process before the call */
    WRAPPED_SHORT,    /* pwrite: writes only `value` bytes */
    WRAPPED_REVERT,   /* sync: fails with -EIO, and the last WAL write reads as zeros from now on */
    WRAPPED_HOOK,     /* calls hook(arg) before the call */
};

struct wrapped_rule {
    enum wrapped_call call;
    enum os_role role;    /* 0: any */
    const char *point;    /* of WRAPPED_POINT */
    unsigned from, count; /* the from-th call (1 = the first after arming) and so many; count 0: all
                             further ones */
    enum wrapped_effect effect;
    int64_t value;
    void (*hook)(void *arg);
    void *arg;
};

#define WRAPPED_RULES 8
#define WRAPPED_FILES 512

struct wrapped_os {
    struct hpo_os os; /* give &wrapped.os to what is tested */
    const struct hpo_os *real;
    int64_t sync_us;                        /* a data sync of a segment takes so long ... */
    bool sync_really;                       /* ... and is also done */
    enum os_fs_kind fs_kind;                /* what dir_fs says, if not OS_FS_LOCAL */
    _Atomic uint64_t counts[WRAPPED_CALLS]; /* of WAL files where a role applies */
    _Atomic uint64_t write_bytes;
    struct wrapped_rule rules[WRAPPED_RULES];
    _Atomic unsigned seen[WRAPPED_RULES];
    unsigned rule_count;
    struct {
        struct os_file *_Atomic file;
        enum os_role role;
    } files[WRAPPED_FILES];
    struct os_file *_Atomic last_file; /* of the last WAL write, for WRAPPED_REVERT */
    _Atomic uint64_t last_offset;
    _Atomic size_t last_size;
};

/* The table must not move afterwards. */
void wrapped_os_init(struct wrapped_os *wrapped);
void wrapped_os_arm(struct wrapped_os *wrapped, const struct wrapped_rule *rule);
void wrapped_os_disarm(struct wrapped_os *wrapped);

#endif

/*
 * prepare: files of zeros, made ahead of need.
 *
 * A roll happens under APPEND, where everybody waits; zeroing megabytes there would be felt. So
 * when the current segment is half full, whoever notices writes the next one's zeros, without any
 * lock that others wait for. Real zeros: blocks that fallocate merely reserves cost the file system
 * a journal commit at their first write.
 *
 * Beside the file for the next roll a small one stays as the reserve for a full disk. When no other
 * can be made, trials in progress may finish in what is left; new ones are refused (space_low), so
 * that nothing begins that cannot end.
 */
#include "wal_local.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define ZERO_SUFFIX ".zero"
#define NEW_SUFFIX ".new"
#define SPACE_RETRY_US 1000000
#define ZERO_FILES_MAX 16 /* that one listing remembers; more cannot be there by our doing */

uint64_t wal_next_segment_bytes(const struct log *log, uint64_t bytes)
{
    uint64_t next = log->segment_bytes_first;

    while (next <= bytes && next < log->segment_bytes_max)
        next *= 2;
    return next < log->segment_bytes_max ? next : log->segment_bytes_max;
}

struct zero_file {
    char name[SEGMENT_NAME_SIZE];
    uint64_t bytes;
};

/* Files whose names end in a suffix; the first few, if there are more. */
struct inventory {
    const char *suffix;
    struct zero_file files[ZERO_FILES_MAX];
    size_t count;
};

static int note_name(void *arg, const char *name)
{
    struct inventory *inventory = arg;
    size_t length = strlen(name), suffix = strlen(inventory->suffix);

    if (length <= suffix || length >= SEGMENT_NAME_SIZE ||
        strcmp(name + length - suffix, inventory->suffix) != 0)
        return 0;
    if (inventory->count < ZERO_FILES_MAX)
        memcpy(inventory->files[inventory->count++].name, name, length + 1);
    return 0;
}

/* Names and sizes of the zeroed files. One that vanishes meanwhile (taken by a roll) is left out.
 */
static int take_stock(struct log *log, struct inventory *inventory)
{
    const struct hpo_os *os = log->os;
    size_t kept = 0;
    int err;

    inventory->suffix = ZERO_SUFFIX;
    inventory->count = 0;
    err = os->dir_list(os->self, log->wal, note_name, inventory);
    for (size_t i = 0; err == 0 && i < inventory->count; i++) {
        struct zero_file zero = inventory->files[i];
        struct os_file *file;

        if (os->file_open(os->self, log->wal, zero.name, OS_READ, OS_ROLE_WAL, &file) < 0)
            continue;
        if (os->file_size(os->self, file, &zero.bytes) == 0)
            inventory->files[kept++] = zero;
        os->file_close(os->self, file);
    }
    inventory->count = kept;
    return err;
}

int wal_zero_count(struct log *log, uint64_t *count, uint64_t *bytes)
{
    struct inventory inventory;
    int err = take_stock(log, &inventory);

    *count = inventory.count;
    *bytes = 0;
    for (size_t i = 0; i < inventory.count; i++)
        *bytes += inventory.files[i].bytes;
    return err;
}

static const struct zero_file *find_exact(const struct inventory *inventory, uint64_t bytes)
{
    for (size_t i = 0; i < inventory->count; i++) {
        if (inventory->files[i].bytes == bytes)
            return &inventory->files[i];
    }
    return NULL;
}

static const struct zero_file *find_smallest(const struct inventory *inventory, uint64_t minimum)
{
    const struct zero_file *best = NULL;

    for (size_t i = 0; i < inventory->count; i++) {
        const struct zero_file *file = &inventory->files[i];

        if (file->bytes >= minimum && file->bytes <= SEGMENT_BYTES_MAX &&
            (!best || file->bytes < best->bytes))
            best = file;
    }
    return best;
}

static int make_zero(struct log *log, uint64_t bytes, char name[SEGMENT_NAME_SIZE],
                     struct error_detail *error)
{
    int err = segment_zero_create(log->os, log->wal, bytes, name, error);

    if (err == 0 && log->shm) {
        shm_count(log->shm, SHM_SEGMENTS_MADE, 1);
        shm_count(log->shm, SHM_ZERO_BYTES, bytes);
    }
    return err;
}

/* Remember whether a zeroed file could be made. */
static void note_space(struct shm *shm, int err)
{
    if (err == 0 || err == HPO_NOSPACE)
        atomic_store_explicit(&shm->space_low, err == HPO_NOSPACE, memory_order_relaxed);
}

int wal_zero_take(struct log *log, const struct wal_zero_request *request,
                  char name[SEGMENT_NAME_SIZE], uint64_t *bytes, struct error_detail *error)
{
    uint64_t wanted = request->wanted > request->minimum ? request->wanted : request->minimum;
    const struct zero_file *found;
    struct inventory inventory;
    int err = take_stock(log, &inventory);

    if (err < 0)
        return error_set(error, error_from_errno(err), -err, "wal", 0, 0, "cannot list");
    found = find_exact(&inventory, wanted);
    if (!found && request->any_size)
        found = find_smallest(&inventory, request->minimum);
    if (!found) {
        err = make_zero(log, wanted, name, error);
        note_space(log->shm, err);
        if (err == 0)
            *bytes = wanted;
        if (err != HPO_NOSPACE || !request->last_reserve)
            return err;
        found = find_smallest(&inventory, request->minimum);
        if (!found)
            return err;
    }
    memcpy(name, found->name, SEGMENT_NAME_SIZE);
    *bytes = found->bytes;
    return 0;
}

/* A file under a temporary name belongs to whoever holds APPEND (a roller) or PREPARE (a preparer).
 * With both in hand nobody can be at work on any. */
void wal_sweep(struct log *log)
{
    const struct hpo_os *os = log->os;
    struct inventory inventory = {.suffix = NEW_SUFFIX};

    if (locks_prepare_try(&log->locks) < 0)
        return;
    if (os->dir_list(os->self, log->wal, note_name, &inventory) == 0) {
        for (size_t i = 0; i < inventory.count; i++)
            (void)os->name_unlink(os->self, log->wal, inventory.files[i].name);
    }
    locks_prepare_free(&log->locks);
}

/* Under PREPARE: the next segment's file and the reserve, whichever is missing. */
static void stock_up(struct log *log, uint64_t next)
{
    struct inventory inventory;
    char name[SEGMENT_NAME_SIZE];
    const struct zero_file *for_next;
    size_t others;
    int err = take_stock(log, &inventory);

    if (err < 0 || inventory.count == ZERO_FILES_MAX)
        return;
    for_next = find_exact(&inventory, next);
    others = inventory.count - (for_next ? 1 : 0);
    /* The reserve first: it is what a full disk is survived with. */
    if (others == 0)
        err = make_zero(log, log->segment_bytes_first, name, NULL);
    if (err == 0 && !for_next)
        err = make_zero(log, next, name, NULL);
    note_space(log->shm, err);
}

void wal_prepare(struct log *log)
{
    struct shm *shm = log->shm;
    /* Perhaps of an older epoch: then the next caller sees to it. */
    uint64_t bytes = atomic_load(&log->segment_bytes);
    struct shm_published end;

    shm_read(shm, false, &end);
    if (end.tail.offset < bytes / 2 ||
        atomic_load_explicit(&shm->prepared_epoch, memory_order_relaxed) == end.epoch)
        return;
    if (locks_prepare_try(&log->locks) < 0)
        return;
    if (atomic_load_explicit(&shm->prepared_epoch, memory_order_relaxed) != end.epoch) {
        stock_up(log, wal_next_segment_bytes(log, bytes));
        atomic_store_explicit(&shm->prepared_epoch, end.epoch, memory_order_relaxed);
    }
    locks_prepare_free(&log->locks);
}

bool wal_space_low(const struct log *log)
{
    return atomic_load_explicit(&((struct shm *)log->shm)->space_low, memory_order_relaxed) != 0;
}

void wal_space_retry(struct log *log)
{
    struct shm *shm = log->shm;
    uint64_t now = (uint64_t)log->os->clock_monotonic(log->os->self);

    /* Each try fills the disk for a moment; not with every call. */
    if (now < atomic_load_explicit(&shm->space_retry_us, memory_order_relaxed) ||
        locks_prepare_try(&log->locks) < 0)
        return;
    atomic_store_explicit(&shm->space_retry_us, now + SPACE_RETRY_US, memory_order_relaxed);
    stock_up(log, wal_next_segment_bytes(log, atomic_load(&log->segment_bytes)));
    locks_prepare_free(&log->locks);
}

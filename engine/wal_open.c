/*
 * wal_open: becoming a user of a store, and ceasing to be one.
 *
 * The first opener is alone (ALIVE exclusive): it examines the files, creates, goes on in place or
 * rolls as the table of recovery.c says, builds the page, and only then lets others in. Everybody
 * else finds the page vouched for and believes it. Until the builder has said READY nothing of what
 * it did is believed by anybody, so it may die anywhere.
 */
#include "wal_local.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static int system_error(struct error_detail *error, int negative_errno, const char *path,
                        const char *what)
{
    return error_set(error, error_from_errno(negative_errno), -negative_errno, path, 0, 0,
                     "cannot %s", what);
}

/* ---- the directory ---- */

/* The directory that holds `path`: what must be synced for the store's own name to survive. */
static int sync_parent(const struct hpo_os *os, const char *path, struct error_detail *error)
{
    size_t length = strlen(path);
    struct os_dir *dir;
    char *parent;
    int err;

    while (length > 1 && path[length - 1] == '/')
        length--;
    while (length > 0 && path[length - 1] != '/')
        length--;
    while (length > 1 && path[length - 1] == '/')
        length--;
    parent = os->alloc(os->self, length + 2);
    if (!parent)
        return error_set(error, HPO_NOMEM, 0, NULL, 0, 0, "no memory");
    memcpy(parent, length ? path : ".", length ? length : 1);
    parent[length ? length : 1] = '\0';
    err = os->dir_open(os->self, parent, &dir);
    if (err == 0) {
        err = os->dir_sync(os->self, dir);
        os->dir_close(os->self, dir);
    }
    if (err < 0)
        system_error(error, err, parent, "sync the directory that holds the store");
    os->free(os->self, parent);
    return err < 0 ? error_from_errno(err) : 0;
}

static int open_directory(struct log *log, const char *path, const struct log_options *options,
                          struct error_detail *error)
{
    const struct hpo_os *os = log->os;
    int err = os->dir_open(os->self, path, &log->store);

    if (err == -ENOENT && options->create && !options->read_only) {
        err = os->dir_create(os->self, path);
        if (err == 0 || err == -EEXIST)
            err = os->dir_open(os->self, path, &log->store);
        else if (err == -ENOENT)
            return error_set(error, HPO_NOT_FOUND, ENOENT, path, 0, 0,
                             "the directory above does not exist");
    }
    if (err < 0)
        return system_error(error, err, path, "open the store's directory");
    err = os->dir_fs(os->self, log->store, &log->fs);
    if (err < 0)
        return system_error(error, err, path, "tell its file system");
    if (log->fs.kind == OS_FS_NETWORK)
        return error_set(error, HPO_NETWORK_FS, 0, path, 0, 0,
                         "network file systems (%s) cannot keep a store safe; use a local disk",
                         log->fs.name);
    if (log->fs.kind == OS_FS_FUSE && !options->allow_fuse)
        return error_set(error, HPO_NETWORK_FS, 0, path, 0, 0,
                         "FUSE may be shared by hosts; allow it only if this host alone uses it");
    return 0;
}

struct contents {
    bool store; /* something of ours */
    bool foreign;
};

static int note_name(void *arg, const char *name)
{
    static const char *const ours[] = {"lock", "shm", "attest", "wal", "snap", "quarantine"};
    struct contents *contents = arg;
    bool own = strncmp(name, "FORMAT", 6) == 0;

    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        own = own || strcmp(name, ours[i]) == 0;
    if (own)
        contents->store = true;
    else if (strcmp(name, "lost+found") != 0) /* the root of a file system of its own */
        contents->foreign = true;
    return 0;
}

/* Before the first file is made there: is this a store, or may it become one? */
static int vet_directory(struct log *log, bool create, struct error_detail *error)
{
    struct contents contents = {false, false};
    struct format format;
    enum format_copies copies;
    int err = format_read(log->os, log->store, &format, &copies, NULL);

    if (err == 0)
        return 0; /* recovery says more */
    if (err != HPO_NOT_FOUND)
        return format_read(log->os, log->store, &format, &copies, error);
    err = log->os->dir_list(log->os->self, log->store, note_name, &contents);
    if (err < 0)
        return system_error(error, err, NULL, "list the store's directory");
    if (contents.foreign)
        return error_set(error, create ? HPO_INVALID : HPO_NOT_FOUND, 0, NULL, 0, 0,
                         "the directory is not empty and holds no store");
    if (!create && !contents.store)
        return error_set(error, HPO_NOT_FOUND, 0, NULL, 0, 0, "there is no store here");
    return 0;
}

/* ---- the page and the files behind it ---- */

static void fill_identity(const struct log *log, struct shm_identity *identity)
{
    memcpy(identity->uuid, log->uuid, 16);
    memcpy(identity->boot_id, log->boot_id, 16);
}

int wal_attach(struct log *log, bool writable)
{
    struct shm_identity identity;
    struct shm *shm;
    int err;

    fill_identity(log, &identity);
    err = shm_attach(log->os, log->store, &identity, writable, &shm);
    if (err == 0)
        atomic_store(&log->shm, shm);
    return err;
}

static int open_wal(struct log *log, struct error_detail *error)
{
    int err = log->os->dir_open_at(log->os->self, log->store, "wal", &log->wal);

    if (err < 0)
        return system_error(error, err, "wal", "open");
    scan_init(&log->scan, log->os, log->wal, log->uuid);
    return 0;
}

static int open_attest(struct log *log, struct error_detail *error)
{
    int err = log->os->file_open(log->os->self, log->store, "attest", OS_WRITE | OS_CREATE,
                                 OS_ROLE_ATTEST, &log->attest);

    return err < 0 ? system_error(error, err, "attest", "open") : 0;
}

static int sync_directory(struct log *log, struct os_dir *dir, const char *path,
                          struct error_detail *error)
{
    int err = log->os->dir_sync(log->os->self, dir);

    return err < 0 ? system_error(error, err, path, "sync") : 0;
}

static int read_uuid(struct log *log, struct error_detail *error)
{
    struct format format;
    enum format_copies copies;
    int err = format_read(log->os, log->store, &format, &copies, error);

    if (err < 0)
        return err;
    if (copies == FORMAT_COPIES_NONE)
        return error_set(error, HPO_CORRUPT, 0, "FORMAT", 0, 0,
                         "neither copy verifies; run hpo-fsck");
    if (format_access(&format.features) == FORMAT_REFUSED ||
        (!log->read_only && format_access(&format.features) == FORMAT_READ_ONLY))
        return error_set(error, HPO_UNSUPPORTED, 0, "FORMAT", 0, 0,
                         "made by a newer version of libhpo");
    memcpy(log->uuid, format.uuid, 16);
    return 0;
}

/* ---- the first opener ---- */

/* A store from nothing, or from what an interrupted creation left. */
static int create_store(struct log *log, const char *path, const struct recovery *found,
                        struct error_detail *error)
{
    const struct hpo_os *os = log->os;
    struct format format;
    int err;

    if (found->verdict == RECOVERY_NO_STORE) {
        memset(&format, 0, sizeof(format));
        format_features_current(&format.features);
        err = os->entropy(os->self, format.uuid, 16);
        if (err < 0)
            return system_error(error, err, NULL, "get random bytes");
        format.created_us = os->clock_real(os->self);
        err = format_create(os, log->store, &format, error);
        if (err < 0)
            return err;
        memcpy(log->uuid, format.uuid, 16);
    }
    err = os->dir_create_at(os->self, log->store, "wal");
    if (err < 0 && err != -EEXIST)
        return system_error(error, err, "wal", "create");
    err = open_wal(log, error);
    if (err == 0)
        err = open_attest(log, error);
    if (err == 0)
        err = segment_sweep(os, log->wal, error);
    if (err == 0)
        err = sync_directory(log, log->store, NULL, error);
    if (err == 0)
        err = sync_parent(os, path, error);
    if (err == 0)
        err = wal_first_segment(log, error);
    if (err < 0)
        return err;
    log->end = (struct shm_published){
        .epoch = 1, .segment = 1, .at = {.lsn = 0, .chain = batch_chain_start(log->uuid)}};
    segment_tail_start(&log->end.tail);
    return 0;
}

/* An existing store: nothing is built on a name that is not durable. */
static int adopt_store(struct log *log, const struct recovery *found, struct error_detail *error)
{
    const struct recovery_segment *newest = &found->segments[found->segment_count - 1];
    int err = open_wal(log, error);

    assert(newest->number == found->limit.segment && newest->error == 0);
    if (err == 0)
        err = open_attest(log, error);
    if (err == 0)
        err = sync_directory(log, log->wal, "wal", error);
    if (err == 0)
        err = sync_directory(log, log->store, NULL, error);
    if (err == 0)
        err = segment_sweep(log->os, log->wal, error);
    if (err < 0)
        return err;
    log->end = (struct shm_published){.epoch = newest->header.epoch,
                                      .segment = newest->number,
                                      .at = found->limit.end,
                                      .tail = found->limit.tail};
    assert(log->end.tail.used == 0); /* what is on disk is never written into again */
    return 0;
}

/* Roll away from what a crash left, and give back the blocks that nothing was ever written to. */
static int roll_away(struct log *log, const struct recovery *found, struct error_detail *error)
{
    struct wal_segment *old = log->segment;
    int err;

    wal_segment_hold(log, old);
    err = wal_roll(log, SEGMENT_REASON_RECOVERY, 0, true, found->limit.other_boot, error);
    if (err == 0)
        segment_punch(log->os, &old->segment, found->limit.tail.offset);
    wal_segment_drop(log, old);
    return err;
}

static int build_page(struct log *log, const struct recovery *found, struct error_detail *error)
{
    uint64_t durable = found->action == RECOVERY_CREATE ? 0 : found->attested.lsn;
    struct shm_identity identity;
    struct shm *shm;
    int err;

    assert(durable <= log->end.at.lsn);
    fill_identity(log, &identity);
    err = shm_build(log->os, log->store, &identity, &log->end, durable, &shm);
    if (err < 0)
        return system_error(error, err, "shm", "build");
    atomic_store(&shm->attest_turn, attest_next(&found->attest));
    atomic_store(&log->shm, shm);
    log->pending_epoch = log->end.epoch;
    err = wal_segment_open_current(log, error);
    if (err == 0 && found->action == RECOVERY_ROLL)
        err = roll_away(log, found, error);
    log->pending_epoch = log->end.epoch;
    if (err < 0)
        return err;
    shm_finish(shm);
    err = locks_ready(&log->locks);
    return err < 0 ? system_error(error, err, "lock", "lock") : 0;
}

static int open_alone(struct log *log, const char *path, const struct log_options *options,
                      struct error_detail *error)
{
    struct recovery_options request = {.os = log->os,
                                       .store = log->store,
                                       .snapshots = options->snapshots,
                                       .snapshot_count = options->snapshot_count};
    struct recovery found;
    int err;

    memcpy(request.boot_id, log->boot_id, 16);
    err = recovery_examine(&request, &found, error);
    if (err < 0)
        goto release;
    log->recovered = true;
    log->verdict = (uint8_t)found.verdict;
    memcpy(log->uuid, found.format.uuid, 16);
    if (found.action == RECOVERY_REFUSE) {
        *error = found.damage;
        err = found.damage.code;
        assert(err < 0);
    } else if (found.read_only_features) {
        err = error_set(error, HPO_UNSUPPORTED, 0, "FORMAT", 0, 0,
                        "made by a newer version of libhpo; it can be opened for reading");
    } else if (found.action == RECOVERY_CREATE) {
        err = options->create
                  ? create_store(log, path, &found, error)
                  : error_set(error, HPO_NOT_FOUND, 0, NULL, 0, 0, "there is no store here");
    } else {
        err = adopt_store(log, &found, error);
    }
    if (err == 0)
        err = build_page(log, &found, error);
release:
    recovery_release(&found);
    return err;
}

/* ---- everybody else ---- */

static int open_joined(struct log *log, struct error_detail *error)
{
    int err = read_uuid(log, error);

    if (err == 0)
        err = open_wal(log, error);
    if (err == 0)
        err = open_attest(log, error);
    if (err < 0)
        return err;
    err = wal_attach(log, true);
    if (err == -EPROTO)
        return error_set(error, HPO_UNSUPPORTED, 0, "shm", 0, 0,
                         "the store is in use by another version of libhpo");
    if (err < 0)
        return system_error(error, err, "shm", "map");
    shm_read(log->shm, true, &log->end);
    log->pending_epoch = log->end.epoch;
    return 0;
}

static int open_writer(struct log *log, const char *path, const struct log_options *options,
                       struct error_detail *error)
{
    int err = vet_directory(log, options->create, error);

    if (err < 0)
        return err;
    err = locks_open(&log->locks, log->os, log->store, true);
    if (err == 0)
        err = log->os->file_identity(log->os->self, log->locks.file, &log->lock_identity);
    if (err < 0)
        return system_error(error, err, "lock", "open");
    err = locks_join(&log->locks, options->no_wait);
    if (err == -EBUSY)
        return error_set(error, HPO_BUSY, 0, "lock", 0, 0,
                         "another process is recovering the store");
    if (err < 0)
        return system_error(error, err, "lock", "lock");
    return err == LOCKS_ALONE ? open_alone(log, path, options, error) : open_joined(log, error);
}

static int open_reader(struct log *log, const struct log_options *options,
                       struct error_detail *error)
{
    int err = locks_open(&log->locks, log->os, log->store, false);

    /* Without a lock file, or one that we may not open, nobody can be asked: the files speak. */
    if (err == -ENOENT || err == -EACCES)
        log->locks.file = NULL;
    else if (err < 0)
        return system_error(error, err, "lock", "open");
    err = read_uuid(log, error);
    if (err == HPO_UNSUPPORTED)
        return err;
    err = wal_reader_begin(log, options, err == 0, error);
    return err < 0 ? err : open_wal(log, error);
}

int log_identify(const struct hpo_os *os, const char *path, uint8_t out[16])
{
    struct error_detail error = {0};
    struct format format;
    enum format_copies copies;
    struct os_dir *dir;
    int err = os->dir_open(os->self, path, &dir);

    if (err < 0) {
        err = system_error(&error, err, path, "open the store's directory");
    } else {
        err = format_read(os, dir, &format, &copies, &error);
        os->dir_close(os->self, dir);
    }
    if (err == 0 && copies == FORMAT_COPIES_NONE)
        err = error_set(&error, HPO_CORRUPT, 0, "FORMAT", 0, 0,
                        "neither copy verifies; run hpo-fsck");
    if (err == 0)
        memcpy(out, format.uuid, 16);
    else
        *error_here() = error;
    return err;
}

/* ---- open and close ---- */

static void free_memory(struct log *log)
{
    const struct hpo_os *os = log->os;

    wal_segment_drop(log, log->segment);
    sector_buffer_release(os, &log->buffer);
    if (log->wal)
        scan_release(&log->scan);
    if (log->shm)
        shm_detach(os, log->shm);
    os->file_close(os->self, log->attest);
    if (log->locks.file)
        locks_close(&log->locks);
    os->dir_close(os->self, log->wal);
    os->dir_close(os->self, log->store);
    os->mutex_free(os->self, log->read_mutex);
    os->mutex_free(os->self, log->mutex);
    os->free(os->self, log->pending);
    os->free(os->self, log);
}

static uint64_t segment_bytes_option(uint64_t given, uint64_t otherwise)
{
    return segment_bytes_for(given ? given : otherwise, 0);
}

static void tell(const struct log_options *options, const struct error_detail *error)
{
    *error_here() = *error;
    if (options->error)
        *options->error = *error;
}

int log_open(const char *path, const struct log_options *options, struct log **out)
{
    const struct hpo_os *os = options->os;
    struct error_detail error = {0};
    struct log *log = os->alloc(os->self, sizeof(*log));
    int err;

    if (!log)
        return error_set(error_here(), HPO_NOMEM, 0, NULL, 0, 0, "no memory");
    memset(log, 0, sizeof(*log));
    log->os = os;
    log->generation = os->generation(os->self);
    log->read_only = options->read_only;
    log->relaxed = options->relaxed;
    log->error = options->error;
    log->segment_bytes_first =
        segment_bytes_option(options->segment_size_first, WAL_SEGMENT_BYTES_FIRST);
    log->segment_bytes_max =
        segment_bytes_option(options->segment_size_max, WAL_SEGMENT_BYTES_LAST);
    if (log->segment_bytes_max < log->segment_bytes_first)
        log->segment_bytes_max = log->segment_bytes_first;
    err = os->mutex_new(os->self, &log->mutex);
    if (err == 0)
        err = os->mutex_new(os->self, &log->read_mutex);
    if (err == 0)
        err = os->boot_id(os->self, log->boot_id);
    if (err < 0)
        err = system_error(&error, err, NULL, "begin");
    if (err == 0)
        err = open_directory(log, path, options, &error);
    if (err == 0)
        err = log->read_only ? open_reader(log, options, &error)
                             : open_writer(log, path, options, &error);
    if (err < 0) {
        tell(options, &error);
        free_memory(log);
        return err;
    }
    *out = log;
    return 0;
}

/* The last one out makes durable what was appended, and says so where the next opener looks. Best
 * effort: what was acknowledged is durable already, and whatever fails here the next opener
 * recovers from. */
static void leave(struct log *log)
{
    const struct hpo_os *os = log->os;
    uint64_t durable;

    if (wal_tail_take(log, NULL) < 0)
        return;
    if (log->end.tail.used > 0) {
        sector_seal(&log->end.tail);
        shm_publish(log->shm, &log->end);
    }
    if (shm_durable(log->shm, log->end.epoch, &durable) && durable < log->end.at.lsn &&
        shm_flush_begin(log->shm, log->end.epoch)) {
        int result = os->file_sync_data(os->self, log->segment->segment.file);

        shm_count(log->shm, SHM_FLUSHES, 1);
        if (shm_flush_end(log->shm, log->end.epoch, result < 0) && result == 0)
            shm_durable_raise(log->shm, log->end.epoch, log->end.at.lsn);
    }
    if (shm_durable(log->shm, log->end.epoch, &durable) && durable == log->end.at.lsn)
        (void)wal_attest(log, log->end.epoch, &log->end.at, true, NULL);
    wal_tail_free(log);
}

void log_close(struct log *log)
{
    if (!log)
        return;
    if (wal_check_process(log) == 0 && !log->read_only && locks_last_out(&log->locks))
        leave(log);
    free_memory(log);
}

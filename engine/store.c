/*
 * store: opening and closing.
 *
 * A snapshot is looked for before the log is opened: it tells recovery what must be durable, and
 * where reading may begin. It is only a cache; whatever is wrong with it means replay, and a handle
 * that may write moves it to quarantine/.
 */
#include "store.h"
#include "ask.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

static char *copy_string(const struct hpo_os *os, const char *string)
{
    size_t size = strlen(string) + 1;
    char *copy = os->alloc(os->self, size);

    if (copy)
        memcpy(copy, string, size);
    return copy;
}

static uint64_t next_serial(void)
{
    static _Atomic uint64_t serial;

    return atomic_fetch_add(&serial, 1) + 1;
}

/* -- options -- */

static int options_check(const char *path, const struct hpo_options *options)
{
    unsigned known = HPO_OPEN_EXISTING | HPO_OPEN_READ_ONLY | HPO_OPEN_ALLOW_FUSE |
                     HPO_OPEN_NO_WAIT | HPO_OPEN_DURABLE_ONLY;

    if (!path || path[0] == '\0')
        return call_error(HPO_INVALID, "no path");
    if (!options)
        return 0;
    if (!HAS_MEMBER(options, segment_size_max))
        return call_error(HPO_INVALID, "options without size");
    if (options->flags & ~known)
        return call_error(HPO_INVALID, "unknown flags");
    if (options->durability != HPO_DURABLE && options->durability != HPO_RELAXED)
        return call_error(HPO_INVALID, "unknown durability");
    if (!(options->flags & HPO_OPEN_READ_ONLY) &&
        (options->at_lsn || (options->flags & HPO_OPEN_DURABLE_ONLY)))
        return call_error(HPO_INVALID, "only a read-only handle can show the past");
    if (options->os && options->os->size != sizeof(struct hpo_os))
        return call_error(HPO_INVALID, "a system table of another version");
    return 0;
}

static int store_new(const char *path, const struct hpo_options *options, struct hpo_store **out)
{
    const struct hpo_os *os = options && options->os ? options->os : os_default();
    const char *program =
        options && options->program ? options->program : program_invocation_short_name;
    struct hpo_store *store = os->alloc(os->self, sizeof(*store));
    int err = HPO_NOMEM;

    if (!store)
        return HPO_NOMEM;
    memset(store, 0, sizeof(*store));
    store->os = os;
    store->generation = os->generation(os->self);
    store->serial = next_serial();
    store->limit = UINT64_MAX;
    if (options) {
        store->flags = options->flags;
        store->read_only = (options->flags & HPO_OPEN_READ_ONLY) != 0;
        store->durability = options->durability;
        store->segment_size_first = options->segment_size_first;
        store->segment_size_max = options->segment_size_max;
        if (options->at_lsn)
            store->limit = options->at_lsn;
    }
    store->buffer.os = os;
    store->scratch.os = os;
    store->path = copy_string(os, path);
    store->program = copy_string(os, program ? program : "");
    if (!store->path || !store->program)
        goto free_store;
    if (strlen(store->program) > 255)
        store->program[255] = '\0';
    err = os->mutex_new(os->self, &store->mutex);
    if (err < 0) {
        err = error_from_errno(err);
        goto free_store;
    }
    *out = store;
    return 0;

free_store:
    os->free(os->self, store->path);
    os->free(os->self, store->program);
    os->free(os->self, store);
    return err;
}

/* Memory only; everything else is closed, or belongs to the parent process. */
static void store_free(struct hpo_store *store)
{
    const struct hpo_os *os = store->os;

    while (store->trials) {
        struct hpo_trial *trial = store->trials;

        trial_unlink(trial);
        os->free(os->self, trial);
    }
    while (store->studies) {
        struct hpo_study *study = store->studies;

        study_unlink(study);
        os->free(os->self, study);
    }
    askers_free(store);
    state_free(store->state);
    record_scratch_release(&store->scratch);
    record_buffer_release(&store->buffer);
    os->mutex_free(os->self, store->mutex);
    os->free(os->self, store->path);
    os->free(os->self, store->program);
    os->free(os->self, store);
}

/* -- opening -- */

/* The snapshot directory, if this device has one. */
static int open_snapshots(struct hpo_store *store)
{
    const struct hpo_os *os = store->os;
    struct os_dir *dir;
    int err;

    if (store->snap_dir)
        return 0;
    err = os->dir_open(os->self, store->path, &dir);
    if (err < 0)
        return 0; /* log_open tells what is wrong with it, or makes it */
    err = os->dir_open_at(os->self, dir, "snap", &store->snap_dir);
    os->dir_close(os->self, dir);
    if (err < 0)
        store->snap_dir = NULL; /* a cache that is not there */
    return 0;
}

static int open_log(struct hpo_store *store, const struct state *snapshot)
{
    struct log_snapshot known = {{0, 0}};
    struct log_options options = {
        .os = store->os,
        .read_only = store->read_only,
        .create = !store->read_only && !(store->flags & HPO_OPEN_EXISTING),
        .allow_fuse = (store->flags & HPO_OPEN_ALLOW_FUSE) != 0,
        .relaxed = store->durability == HPO_RELAXED,
        .no_wait = (store->flags & HPO_OPEN_NO_WAIT) != 0,
        .segment_size_first = store->segment_size_first,
        .segment_size_max = store->segment_size_max,
    };

    if (snapshot) {
        known.at = state_position(snapshot);
        options.snapshots = &known;
        options.snapshot_count = 1;
    }
    return log_open(store->path, &options, &store->log);
}

/* The first fold; *from is taken over. A position that the log does not know is no error. */
static int first_fold(struct hpo_store *store, struct state *from)
{
    uint8_t uuid[16];
    int err;

    log_uuid(store->log, store->uuid);
    if (from) {
        state_uuid(from, uuid);
        if (memcmp(uuid, store->uuid, sizeof(uuid)) != 0) { /* replaced while we were opening it */
            state_free(from);
            from = NULL;
        }
    }
    err = store_fold_first(store, from);
    if (err == 0 && store->damage.code != 0 && !store->read_only) {
        *error_here() = store->damage;
        err = store->damage.code;
    }
    return err;
}

/* Roll back what dead sessions have left, so that readers need not wait for the first ask. */
static int clean_up(struct hpo_store *store)
{
    int err = session_some_dead(store);

    if (err <= 0)
        return err;
    err = tail_begin(store, TAIL_FINISH);
    if (err < 0)
        return err;
    err = session_reclaim(store);
    tail_end(store);
    return err;
}

static int open_store(struct hpo_store *store)
{
    struct snapshot_entry entry;
    struct state *snapshot = NULL;
    int err;

    err = log_identify(store->os, store->path, store->uuid);
    if (err == 0) {
        err = open_snapshots(store);
        if (err == 0)
            err = store_snapshot_find(store, store->limit, &snapshot, &entry);
        if (err < 0)
            return err;
    }
    err = open_log(store, snapshot); /* tells what log_identify found wrong, too */
    if (err < 0) {
        state_free(snapshot);
        return err;
    }
    err = first_fold(store, snapshot);
    if (err == 0)
        err = open_snapshots(store);
    if (err == 0 && !store->read_only) {
        err = clean_up(store);
        if (err == HPO_NOSPACE) /* the next ask tries again and says so */
            err = 0;
    }
    return err;
}

static void close_parts(struct hpo_store *store)
{
    if (store->snap_dir)
        store->os->dir_close(store->os->self, store->snap_dir);
    store->snap_dir = NULL;
    log_close(store->log);
    store->log = NULL;
}

int hpo_open(const char *path, const struct hpo_options *options, struct hpo_store **out)
{
    struct hpo_store *store = NULL;
    int err;

    store_open_begin();
    err = out ? options_check(path, options) : call_error(HPO_INVALID, "no place for the handle");
    if (err == 0)
        err = store_new(path, options, &store);
    if (err < 0)
        return store_open_failed(err);
    err = open_store(store);
    if (err < 0) {
        if (store->session.lock)
            log_session_release(store->log, store->session.lock);
        close_parts(store);
        store_free(store);
        return store_open_failed(err);
    }
    *out = store;
    return 0;
}

/* -- closing -- */

/* Threads that are still in a call on this handle, most likely at the disk, finish it first. */
static void wait_for_users(struct hpo_store *store)
{
    uint32_t users = atomic_fetch_or(&store->users, STORE_CLOSING) | STORE_CLOSING;

    while (users != STORE_CLOSING) {
        (void)store->os->futex_wait(store->os->self, &store->users, users, 1000000);
        users = atomic_load(&store->users);
    }
}

int hpo_close(struct hpo_store *store)
{
    int err = 0, closed;

    if (!store)
        return 0;
    if (store->os->generation(store->os->self) != store->generation) {
        log_close(store->log); /* sees the same and frees memory only */
        store_free(store);
        return 0;
    }
    wait_for_users(store);
    err = call_begin(store);
    if (err < 0)
        return err;
    if (!store->read_only) {
        closed = session_close(store);
        err = store->durability == HPO_RELAXED ? log_sync(store->log) : 0;
        if (err == 0 && closed < 0 && closed != HPO_NOSPACE)
            err = closed;
    }
    err = call_end(store, err);
    close_parts(store);
    store_free(store);
    return err;
}

/* -- small calls -- */

int hpo_sync(struct hpo_store *store)
{
    const struct hpo_os *os;
    int err;

    if (!store)
        return HPO_INVALID;
    if (store->read_only)
        return call_refuse(store, HPO_READONLY, "the store was opened for reading only");
    err = call_begin(store);
    if (err < 0)
        return err;
    os = store->os;
    os->mutex_unlock(os->self, store->mutex);
    err = log_sync(store->log);
    os->mutex_lock(os->self, store->mutex);
    return call_end(store, err);
}

int hpo_damage(struct hpo_store *store)
{
    int err;

    if (!store)
        return HPO_INVALID;
    err = call_begin(store);
    if (err < 0)
        return err;
    err = store_catch_up(store);
    if (err == 0 && store->damage.code != 0) {
        *error_here() = store->damage;
        err = HPO_CORRUPT;
    }
    if (err == 0)
        err = log_damage(store->log);
    return call_end(store, err);
}

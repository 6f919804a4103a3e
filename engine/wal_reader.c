/*
 * wal_reader: how a handle that only reads learns how far the log reaches. It takes no lock.
 *
 * If somebody vouches for the page, the handle maps it, read-only, and follows it from then on; the
 * page is rebuilt in place, so the mapping stays right, and while it is being rebuilt what was
 * known last counts. When all writers are gone the page says what they left.
 *
 * If nobody does when the handle is opened, it examines the files as recovery would, and reads up
 * to the last whole batch. A page without a voucher may be anything, the copy of another store's
 * for instance. At each later read the handle asks whether somebody has come; and whether somebody
 * came and went in between, by two cheap looks at the files: at the sector behind the end, and for
 * a newer segment.
 */
#include "wal_local.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define RECOVERY_PAUSE_US 1000
#define RECOVERY_PAUSES_MAX 1000 /* then look at the files, whoever is stuck in its recovery */
#define STRANGE_PAGES_MAX 100    /* READY is held, yet the page is nothing that we know */

static void lock(struct log *log)
{
    log->os->mutex_lock(log->os->self, log->mutex);
}

static void unlock(struct log *log)
{
    log->os->mutex_unlock(log->os->self, log->mutex);
}

/* ---- how far ---- */

/* The page's end, if the page is whole: false while it is being rebuilt. */
static bool read_page(struct log *log, const struct shm *shm, struct shm_published *end)
{
    uint64_t before = shm_generation(shm), durable;

    shm_read(shm, true, end);
    durable = shm_durable_lsn(shm);
    if (before % 2 != 0 || shm_generation(shm) != before)
        return false;
    lock(log);
    log->limit = (struct scan_limit){.segment = end->segment, .end = end->at, .tail = end->tail};
    log->limit_durable.lsn = durable;
    unlock(log);
    return true;
}

void wal_reader_limit(struct log *log, struct scan_limit *limit, uint32_t *epoch)
{
    const struct shm *shm = atomic_load(&log->shm);
    struct shm_published end;

    *epoch = shm && read_page(log, shm, &end) ? end.epoch : 0;
    lock(log);
    *limit = log->limit;
    unlock(log);
}

uint64_t wal_reader_durable(struct log *log)
{
    const struct shm *shm = atomic_load(&log->shm);
    struct shm_published end;
    uint64_t durable;

    if (shm)
        (void)read_page(log, shm, &end);
    lock(log);
    durable = log->limit_durable.lsn;
    unlock(log);
    return durable;
}

int log_damage(struct log *log)
{
    struct error_detail damage;

    lock(log);
    damage = log->damage;
    unlock(log);
    return damage.code == 0 ? 0 : wal_fail(log, &damage);
}

/* ---- who is there ---- */

static bool somebody_there(struct log *log, enum lock_byte byte)
{
    return log->locks.file && log->os->lock_test(log->os->self, log->locks.file, byte) == 1;
}

/* Map the page if somebody vouches for it. -EPROTO: somebody does, but it is not for us. */
static int follow_if_alive(struct log *log)
{
    if (atomic_load(&log->shm) || !somebody_there(log, LOCK_READY))
        return 0;
    return wal_attach(log, false);
}

/* ---- files that nobody vouches for ---- */

/* What an examination found. */
struct finding {
    uint8_t verdict;
    uint8_t uuid[16];
    struct scan_limit limit;
    struct log_position durable; /* its chain is 0 if it is not known */
    struct error_detail damage;
};

static int refuse(const struct recovery *found, struct error_detail *error)
{
    switch (found->verdict) {
    case RECOVERY_NO_STORE:
    case RECOVERY_UNBORN:
        return error_set(error, HPO_NOT_FOUND, 0, NULL, 0, 0, "there is no store here");
    case RECOVERY_UNSUPPORTED:
        return error_set(error, HPO_UNSUPPORTED, 0, found->damage.path, found->damage.offset, 0,
                         "%s", found->damage.message);
    case RECOVERY_BAD_FORMAT:
        if (found->segment_count > 0)
            return 0; /* the segments' headers say what FORMAT should */
        return error_set(error, HPO_CORRUPT, 0, found->damage.path, found->damage.offset, 0, "%s",
                         found->damage.message);
    default:
        return 0;
    }
}

static int examine(struct log *log, const struct log_snapshot *snapshots, size_t count,
                   struct finding *finding, struct error_detail *error)
{
    struct recovery_options request = {
        .os = log->os, .store = log->store, .snapshots = snapshots, .snapshot_count = count};
    struct recovery found;
    int err;

    memcpy(request.boot_id, log->boot_id, 16);
    err = recovery_examine(&request, &found, error);
    if (err == 0)
        err = refuse(&found, error);
    if (err == 0) {
        memset(finding, 0, sizeof(*finding));
        finding->verdict = (uint8_t)found.verdict;
        memcpy(finding->uuid, found.format.uuid, 16);
        finding->limit = found.limit;
        if (found.attested.lsn <= found.limit.end.lsn)
            finding->durable = found.attested;
        else
            finding->durable.lsn = found.limit.end.lsn;
        if (found.action == RECOVERY_REFUSE)
            finding->damage = found.damage;
    }
    recovery_release(&found);
    return err;
}

static int behind_sector(struct log *log, struct wal_behind *out)
{
    const struct hpo_os *os = log->os;
    char name[SEGMENT_NAME_SIZE];
    struct os_file *file;
    int64_t n;
    int err;

    segment_file_name(log->limit.segment, name);
    err = os->file_open(os->self, log->wal, name, OS_READ, OS_ROLE_WAL, &file);
    if (err < 0)
        return err;
    n = os->file_pread(os->self, file, out->sector, SECTOR_SIZE, log->limit.tail.offset);
    os->file_close(os->self, file);
    return n < 0 ? (int)n : 0;
}

/* Look at what lies behind the end that we know. Any failure is taken for a change: the examination
 * that follows tells. */
static bool look_behind(struct log *log, struct wal_behind *out)
{
    const struct hpo_os *os = log->os;
    char name[SEGMENT_NAME_SIZE];
    struct os_file *file;
    int err;

    memset(out, 0, sizeof(*out));
    if (behind_sector(log, out) < 0)
        return false;
    segment_file_name(log->limit.segment + 1, name);
    err = os->file_open(os->self, log->wal, name, OS_READ, OS_ROLE_WAL, &file);
    if (err == 0)
        os->file_close(os->self, file);
    out->newer_segment = err == 0;
    return err == 0 || err == -ENOENT;
}

static void adopt(struct log *log, const struct finding *finding)
{
    lock(log);
    log->verdict = finding->verdict;
    log->limit = finding->limit;
    log->limit_durable = finding->durable;
    log->damage = finding->damage;
    unlock(log);
}

int wal_reader_begin(struct log *log, const struct log_options *options, bool follow,
                     struct error_detail *error)
{
    struct finding finding;

    for (unsigned pauses = 0, strange = 0;; pauses++) {
        bool last = pauses >= RECOVERY_PAUSES_MAX;
        struct scan_limit limit;
        uint32_t epoch;
        int err;

        if (follow && follow_if_alive(log) == -EPROTO && ++strange > STRANGE_PAGES_MAX)
            return error_set(error, HPO_UNSUPPORTED, 0, "shm", 0, 0,
                             "the store is in use by another version of libhpo");
        wal_reader_limit(log, &limit, &epoch);
        if (epoch > 0)
            return 0;
        if (follow && options->no_wait && somebody_there(log, LOCK_ALIVE))
            return error_set(error, HPO_BUSY, 0, "lock", LOCK_ALIVE, 0,
                             "another process is recovering the store");
        if (!follow || last || !somebody_there(log, LOCK_ALIVE)) {
            err = examine(log, options->snapshots, options->snapshot_count, &finding, error);
            /* Whoever came meanwhile may have been writing under our eyes: then look again. */
            if (!follow || last || !somebody_there(log, LOCK_ALIVE)) {
                if (err < 0)
                    return err;
                adopt(log, &finding);
                memcpy(log->uuid, finding.uuid, 16);
                return 0;
            }
        }
        log->os->sleep(log->os->self, RECOVERY_PAUSE_US); /* somebody recovers */
    }
}

/* Whether the files are as they were when they were examined. The first look after an examination
 * also tells whether somebody came and went during it: then there is something behind an end that
 * was clean. Under read_mutex. */
static bool files_changed(struct log *log)
{
    static const struct wal_behind nothing;
    struct wal_behind now;
    bool changed;

    if (!look_behind(log, &now))
        return true;
    if (log->behind_known)
        changed = memcmp(&now, &log->behind, sizeof(now)) != 0;
    else
        changed = now.newer_segment ||
                  (log->verdict == RECOVERY_CLEAN_END && memcmp(&now, &nothing, sizeof(now)) != 0);
    log->behind = now;
    log->behind_known = !changed;
    return changed;
}

int wal_reader_refresh(struct log *log, struct error_detail *error)
{
    const struct hpo_os *os = log->os;
    struct log_snapshot known;
    struct finding finding;
    int err = 0;

    (void)follow_if_alive(log);
    if (atomic_load(&log->shm) || somebody_there(log, LOCK_ALIVE))
        return 0; /* the page tells; or somebody is about to */
    os->mutex_lock(os->self, log->read_mutex);
    if (!files_changed(log))
        goto unlock_reading;
    /* Only what is durable may be called so; from there on nothing need be read again. */
    known.at = log->limit_durable;
    err = examine(log, &known, known.at.lsn > 0 && known.at.chain != 0, &finding, error);
    if (err == 0 && !somebody_there(log, LOCK_ALIVE)) {
        adopt(log, &finding);
        log->behind_known = false;
    }
unlock_reading:
    os->mutex_unlock(os->self, log->read_mutex);
    return err;
}

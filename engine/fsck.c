/*
 * fsck: hpo_fsck. One idea: the store is examined by the very code that opens it, and folded by the
 * very code that reads it; fsck only says at length what they found.
 *
 * A store in use is looked at up to its published end. If that end moved while damage was found,
 * the damage may be a roll seen half-way: look again.
 */
#include "fsck.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "locks.h"
#include "repair.h"
#include "shm.h"
#include "store.h"

#define ATTEMPTS_MAX 8
#define PAUSE_US 1000
#define PAUSES_MAX 1000     /* then the files are looked at, whoever is stuck in recovery */
#define PROGRESS_EVERY 4096 /* batches */

void fsck_report(struct fsck *f, enum hpo_fsck_severity severity, const char *code,
                 const char *file, uint64_t offset, uint64_t lsn_first, uint64_t lsn_last,
                 const char *means, const char *repair, const char *what, ...)
{
    char text[400];
    struct hpo_fsck_finding finding = {
        .severity = severity,
        .code = code,
        .file = file,
        .offset = offset,
        .lsn_first = lsn_first,
        .lsn_last = lsn_last,
        .what = text,
        .means = means,
        .repair = repair,
    };
    va_list arguments;

    va_start(arguments, what);
    (void)vsnprintf(text, sizeof(text), what, arguments);
    va_end(arguments);
    if (severity == HPO_FSCK_NOTE)
        f->result->notes++;
    else if (severity == HPO_FSCK_FIXED)
        f->result->fixed++;
    else
        f->result->damages++;
    if (f->finding)
        f->finding(f->arg, &finding);
}

/* A message without the advice to run what is running. */
static void without_advice(const struct error_detail *detail, char *to, size_t size)
{
    char *advice;

    (void)snprintf(to, size, "%s", detail->message);
    advice = strstr(to, "; run hpo-fsck");
    if (!advice)
        advice = strstr(to, "; hpo-fsck -p");
    if (advice)
        *advice = '\0';
}

static int no_memory(struct fsck *f, uint64_t lsn)
{
    return error_set(f->error, HPO_NOMEM, 0, NULL, 0, lsn, "no memory to fold the log");
}

/* -- is anybody writing? -- */

/* Copy the published end of the shared page, if it is whole. */
static bool read_published(struct fsck *f)
{
    struct shm_identity identity;
    struct shm_published published;
    struct shm *shm;
    uint64_t before;
    bool whole;

    memcpy(identity.uuid, f->uuid, 16);
    if (f->os->boot_id(f->os->self, identity.boot_id) < 0 ||
        shm_attach(f->os, f->store, &identity, false, &shm) < 0)
        return false;
    before = shm_generation(shm);
    shm_read(shm, true, &published);
    whole = before % 2 == 0 && shm_generation(shm) == before;
    shm_detach(f->os, shm);
    if (!whole)
        return false;
    f->live_limit = (struct scan_limit){
        .segment = published.segment, .end = published.at, .tail = published.tail};
    f->live_epoch = published.epoch;
    return true;
}

/* Sets `live`. While somebody recovers the store he is waited for. */
static int look_for_writers(struct fsck *f)
{
    struct locks locks;
    int err = locks_open(&locks, f->os, f->store, false);

    f->live = false;
    if (err == -ENOENT || err == -EACCES)
        return 0; /* nobody can be asked: the files speak */
    if (err < 0)
        return error_set(f->error, error_from_errno(err), -err, "lock", 0, 0, "cannot open it");
    for (unsigned pause = 0; pause < PAUSES_MAX; pause++) {
        if (locks_test_ready(&locks) == 1) {
            f->live = f->uuid_known && read_published(f);
            if (f->live || !f->uuid_known)
                break;
        } else if (f->os->lock_test(f->os->self, locks.file, LOCK_ALIVE) != 1) {
            break;
        }
        f->os->sleep(f->os->self, PAUSE_US);
    }
    locks_close(&locks);
    return 0;
}

/* Whether what was found may be a change seen half-way. */
static int may_be_stale(struct fsck *f, bool *stale)
{
    struct scan_limit before = f->live_limit;
    bool live = f->live;
    int err;

    *stale = false;
    if (f->found.damage.code == 0)
        return 0;
    err = look_for_writers(f);
    *stale = live != f->live || (live && (before.segment != f->live_limit.segment ||
                                          before.end.lsn != f->live_limit.end.lsn));
    return err;
}

/* -- snapshots -- */

static int keep_snapshot(struct fsck *f, const struct snapshot_entry *entry, struct state *state)
{
    struct fsck_snapshot *snapshot = &f->snapshots[f->snapshot_count];

    snapshot->at = state_position(state);
    memcpy(snapshot->name, entry->name, sizeof(snapshot->name));
    f->positions[f->snapshot_count].at = snapshot->at;
    f->snapshot_count++;
    return state_digest(state, snapshot->digest);
}

static int look_at_snapshot(struct fsck *f, struct os_dir *dir, const struct snapshot_entry *entry)
{
    struct error_detail why = {0};
    struct state *state = NULL;
    char path[80], text[256];
    int err = snapshot_open(f->os, dir, entry, f->uuid, &state, &why);

    (void)snprintf(path, sizeof(path), "snap/%s", entry->name);
    without_advice(&why, text, sizeof(text));
    f->result->bytes += err == HPO_NOT_FOUND ? 0 : entry->bytes;
    if (err == 0) {
        f->result->snapshots++;
        err = keep_snapshot(f, entry, state);
        state_free(state);
    } else if (err == HPO_CORRUPT) {
        fsck_report(f, HPO_FSCK_DAMAGE, "BAD_SNAPSHOT", path, why.offset, 0, 0,
                    "nothing is lost: a snapshot only saves reading the log",
                    "none needed: the next writer puts it in quarantine and makes another one",
                    "%s", text);
        err = 0;
    } else if (err == HPO_UNSUPPORTED) {
        fsck_report(f, HPO_FSCK_NOTE, "OTHER_SNAPSHOT", path, 0, 0, 0,
                    "nothing is lost: a snapshot only saves reading the log", "none needed", "%s",
                    text);
        err = 0;
    } else if (err == HPO_NOT_FOUND) {
        err = 0; /* removed meanwhile, as old ones are */
    } else if (f->error) {
        *f->error = why;
    }
    return err;
}

static int look_at_snapshots(struct fsck *f)
{
    struct snapshot_list list = {.os = f->os};
    struct os_dir *dir;
    int err;

    if (!f->uuid_known)
        return 0;
    err = f->os->dir_open_at(f->os->self, f->store, "snap", &dir);
    if (err == -ENOENT)
        return 0;
    if (err < 0)
        return error_set(f->error, error_from_errno(err), -err, "snap", 0, 0,
                         "cannot open the directory");
    err = snapshot_list_read(&list, dir, f->error);
    if (err == 0 && list.count > 0) {
        f->snapshots = f->os->alloc(f->os->self, list.count * sizeof(*f->snapshots));
        f->positions = f->os->alloc(f->os->self, list.count * sizeof(*f->positions));
        if (!f->snapshots || !f->positions)
            err = no_memory(f, 0);
    }
    for (size_t i = 0; i < list.count && err == 0; i++)
        err = look_at_snapshot(f, dir, &list.entries[i]);
    snapshot_list_release(&list);
    f->os->dir_close(f->os->self, dir);
    return err;
}

/* -- examining and folding -- */

/* Whether the snapshots at the fold's position say the same. */
static int compare_snapshots(struct fsck *f)
{
    struct log_position at = state_position(f->state);
    uint8_t digest[16];
    int err;

    for (size_t i = 0; i < f->snapshot_count && i < 64; i++) {
        if (f->snapshots[i].at.lsn != at.lsn || f->snapshots[i].at.chain != at.chain)
            continue;
        err = state_digest(f->state, digest);
        if (err < 0)
            return no_memory(f, at.lsn);
        if (memcmp(digest, f->snapshots[i].digest, 16) != 0)
            f->differing_snapshots |= UINT64_C(1) << i;
    }
    return 0;
}

static void report_progress(struct fsck *f, uint32_t segment, uint64_t offset)
{
    uint64_t done = offset, total = 0;

    for (size_t i = 0; i < f->found.segment_count; i++) {
        total += f->found.segments[i].file_size;
        if (f->found.segments[i].number < segment)
            done += f->found.segments[i].file_size;
    }
    f->progress(f->progress_arg, done < total ? done : total, total);
}

/* recovery's callback per batch. */
static int take_batch(void *arg, const struct log_batch *batch, uint32_t segment, uint64_t offset)
{
    struct fsck *f = arg;
    char path[SEGMENT_NAME_SIZE + 8];
    int err;

    f->batches++;
    if (f->progress && f->batches % PROGRESS_EVERY == 0)
        report_progress(f, segment, offset);
    if (!f->state || f->fold_failed || batch->at.lsn <= state_position(f->state).lsn)
        return 0;
    err = state_apply_batch(f->state, batch);
    if (err == HPO_NOMEM)
        return no_memory(f, batch->at.lsn);
    if (err < 0) {
        f->fold_failed = true;
        f->fold_error = *state_failure(f->state);
        (void)snprintf(path, sizeof(path), "wal/%08x.wal", (unsigned)segment);
        (void)snprintf(f->fold_error.path, sizeof(f->fold_error.path), "%s", path);
        f->fold_error.offset = offset;
        f->fold_error.lsn = batch->at.lsn;
        return 0;
    }
    return compare_snapshots(f);
}

/* The state to fold from: the newest good snapshot's, or the empty one. */
static int begin_fold(struct fsck *f)
{
    struct os_dir *dir;
    int err;

    state_free(f->state);
    f->state = NULL;
    f->fold_failed = false;
    f->batches = f->differing_snapshots = 0;
    if (!f->uuid_known)
        return 0;
    if ((f->flags & HPO_FSCK_QUICK) && f->snapshot_count > 0) {
        err = f->os->dir_open_at(f->os->self, f->store, "snap", &dir);
        if (err < 0)
            return error_set(f->error, error_from_errno(err), -err, "snap", 0, 0,
                             "cannot open the directory");
        err = snapshot_open_newest(f->os, dir, f->uuid, UINT64_MAX, NULL, NULL, &f->state, NULL,
                                   f->error);
        f->os->dir_close(f->os->self, dir);
        if (err != HPO_NOT_FOUND)
            return err;
    }
    err = state_new(f->os, f->uuid, &f->state);
    return err < 0 ? no_memory(f, 0) : 0;
}

static int examine_once(struct fsck *f, bool with_fold)
{
    struct recovery_options options = {
        .os = f->os,
        .store = f->store,
        .snapshots = f->positions,
        .snapshot_count = f->snapshot_count,
        .from_beginning = !(f->flags & HPO_FSCK_QUICK),
        .live = f->live ? &f->live_limit : NULL,
        .live_epoch = f->live_epoch,
        .batch = with_fold ? take_batch : NULL,
        .arg = f,
    };
    int err = f->os->boot_id(f->os->self, options.boot_id);

    if (err < 0)
        return error_set(f->error, error_from_errno(err), -err, NULL, 0, 0,
                         "cannot tell the boot id");
    recovery_release(&f->found);
    return recovery_examine(&options, &f->found, f->error);
}

static int examine(struct fsck *f)
{
    bool stale = true;
    int err = 0;

    if (!f->uuid_known) { /* FORMAT is of no help: the segments say whose they are */
        err = examine_once(f, false);
        memcpy(f->uuid, f->found.format.uuid, 16);
        f->uuid_known = err == 0 && f->found.segment_count > 0;
    }
    for (unsigned attempt = 0; attempt < ATTEMPTS_MAX && stale && err == 0; attempt++) {
        err = look_for_writers(f);
        if (err == 0)
            err = begin_fold(f);
        if (err == 0)
            err = examine_once(f, true);
        if (err == 0)
            err = may_be_stale(f, &stale);
    }
    return err;
}

/* -- saying it -- */

static const char *repair_of(enum recovery_verdict verdict)
{
    switch (verdict) {
    case RECOVERY_CORRUPT_TAIL:
        return "-p: give up what lies behind that batch; nothing attests that it was ever durable";
    case RECOVERY_TORN_TAIL:
        return "none needed: the next writer begins a new segment";
    case RECOVERY_UNBORN:
        return "none needed: the next writer finishes it";
    default:
        return "restore the file, from a backup if there is one; reading works up to the damage";
    }
}

static int report_verdict(struct fsck *f)
{
    const struct recovery *found = &f->found;
    const struct error_detail *damage = &found->damage;
    char means[200], text[256], path[SEGMENT_NAME_SIZE + 8];
    uint64_t last = found->damage_lsn_last;
    int err = 0;

    (void)snprintf(means, sizeof(means),
                   "up to LSN %llu everything is whole: %llu studies, %llu trials",
                   (unsigned long long)found->limit.end.lsn, (unsigned long long)f->result->studies,
                   (unsigned long long)f->result->trials);
    switch (found->verdict) {
    case RECOVERY_CLEAN_END:
    case RECOVERY_NO_STORE:
    case RECOVERY_UNSUPPORTED: /* hpo_fsck has failed */
        return 0;
    case RECOVERY_UNBORN:
        fsck_report(f, HPO_FSCK_NOTE, "UNBORN", "FORMAT", 0, 0, 0, "the store is empty",
                    repair_of(found->verdict), "the creation of the store was interrupted");
        return 0;
    case RECOVERY_TORN_TAIL:
        err = fsck_tail_last(f, &last);
        (void)snprintf(path, sizeof(path), "wal/%08x.wal", (unsigned)found->limit.segment);
        fsck_report(f, HPO_FSCK_NOTE, "TORN_TAIL", path, found->limit.tail.offset,
                    last > found->limit.end.lsn ? found->limit.end.lsn + 1 : 0,
                    last > found->limit.end.lsn ? last : 0, means, repair_of(found->verdict),
                    "the ordinary trace of a crash behind batch %llu: something was being written",
                    (unsigned long long)found->limit.end.lsn);
        return err;
    case RECOVERY_CORRUPT_TAIL:
        if (!f->live)
            err = fsck_tail_last(f, &last);
        break;
    default:
        break;
    }
    without_advice(damage, text, sizeof(text));
    fsck_report(f, HPO_FSCK_DAMAGE, recovery_verdict_name(found->verdict), damage->path,
                damage->offset, damage->lsn, last >= damage->lsn ? last : damage->lsn, means,
                repair_of(found->verdict), "%s", text);
    return err;
}

static int report_fold(struct fsck *f)
{
    struct error_detail why = {0};
    char path[80];
    int err = 0;

    if (f->fold_failed)
        fsck_report(f, HPO_FSCK_DAMAGE, "BAD_RECORD", f->fold_error.path, f->fold_error.offset,
                    f->fold_error.lsn, f->fold_error.lsn,
                    "studies and trials cannot be read from there on",
                    "none: whoever wrote it, wrote it so", "%s", f->fold_error.message);
    else if (f->state && !(f->flags & HPO_FSCK_QUICK))
        err = state_check(f->state, &why);
    if (err == HPO_NOMEM)
        return no_memory(f, f->result->lsn);
    if (err < 0)
        fsck_report(f, HPO_FSCK_DAMAGE, "BAD_STATE", "", 0, 0, 0,
                    "a fault of libhpo, not of the store", "none: report it", "%s", why.message);
    for (size_t i = 0; i < f->snapshot_count && i < 64; i++) {
        if (!(f->differing_snapshots >> i & 1))
            continue;
        (void)snprintf(path, sizeof(path), "snap/%s", f->snapshots[i].name);
        fsck_report(f, HPO_FSCK_DAMAGE, "WRONG_SNAPSHOT", path, 0, f->snapshots[i].at.lsn,
                    f->snapshots[i].at.lsn, "readers that begin with it see other trials",
                    "remove it: the log is the truth, and another one will be made",
                    "the snapshot is not what the log says at LSN %llu",
                    (unsigned long long)f->snapshots[i].at.lsn);
    }
    return 0;
}

static int fill_result(struct fsck *f)
{
    struct hpo_fsck_result *r = f->result;
    const struct state_study *study;
    struct state_counts counts;

    r->verdict = recovery_verdict_name(f->found.verdict);
    r->lsn = f->found.limit.end.lsn;
    r->lsn_durable = f->found.attested.lsn < r->lsn ? f->found.attested.lsn : r->lsn;
    r->batches = f->batches;
    r->segments = f->found.segment_count;
    for (size_t i = 0; i < f->found.segment_count; i++)
        r->bytes += f->found.segments[i].file_size;
    if (!f->state || f->fold_failed)
        return 0;
    r->studies = state_study_count(f->state);
    for (study = state_study_after(f->state, 0); study;
         study = state_study_after(f->state, state_study_id(study))) {
        state_study_counts(study, &counts);
        r->trials += counts.listed;
    }
    return state_digest(f->state, r->digest) < 0 ? no_memory(f, r->lsn) : 0;
}

/* Give up the tail; the findings of the check that follows speak of the repaired store. */
static void preen(struct fsck *f)
{
    struct repair_result done;
    struct error_detail why = {0};
    uint64_t end = f->found.limit.end.lsn, last = end;
    const char *file = f->found.damage.path;
    char means[200];
    int err;

    (void)fsck_tail_last(f, &last);
    err = repair_tail(f->os, f->store, f->positions, f->snapshot_count, &done, &why);
    if (err == REPAIR_NOTHING)
        return;
    if (err < 0) {
        fsck_report(f, HPO_FSCK_DAMAGE, "NOT_REPAIRED", why.path[0] ? why.path : file, why.offset,
                    end + 1, last, "the store is as it was", "try again", "%s", why.message);
        return;
    }
    (void)snprintf(means, sizeof(means),
                   last > end
                       ? "given up: what was written of batches %llu to %llu; no attestation "
                         "says that any of it was durable"
                       : "no batch is concerned",
                   (unsigned long long)end + 1, (unsigned long long)last);
    fsck_report(
        f, HPO_FSCK_FIXED, "CORRUPT_TAIL", file, f->found.damage.offset, end + 1,
        last > end ? last : end + 1, means,
        done.quarantine[0] ? "done; the damaged segment is kept in quarantine/ too"
                           : "done; the damaged segment is kept",
        "the log goes on behind batch %llu in segment %08x; left behind: %llu sectors, %llu "
        "of them damaged, %llu whole",
        (unsigned long long)end, (unsigned)done.segment, (unsigned long long)done.sectors_given_up,
        (unsigned long long)done.sectors_damaged, (unsigned long long)done.sectors_whole);
}

static void read_uuid(struct fsck *f)
{
    struct format format;
    enum format_copies copies;

    if (format_read(f->os, f->store, &format, &copies, NULL) < 0 || copies == FORMAT_COPIES_NONE ||
        format_access(&format.features) == FORMAT_REFUSED)
        return;
    memcpy(f->uuid, format.uuid, 16);
    f->uuid_known = true;
}

static int check(struct fsck *f)
{
    int err;

    read_uuid(f);
    err = look_at_snapshots(f);
    if (err == 0)
        err = examine(f);
    if (err == 0 && f->found.verdict == RECOVERY_NO_STORE)
        err = error_set(f->error, HPO_NOT_FOUND, 0, NULL, 0, 0, "there is no store here");
    if (err == 0 && f->found.verdict == RECOVERY_UNSUPPORTED) {
        *f->error = f->found.damage; /* no damage: nothing can be said about such a store */
        err = HPO_UNSUPPORTED;
    }
    if (err == 0 && f->found.verdict == RECOVERY_CORRUPT_TAIL && (f->flags & HPO_FSCK_PREEN)) {
        preen(f);
        err = examine(f);
    }
    if (err < 0)
        return err;
    err = fill_result(f);
    if (err == 0 && f->found.read_only_features)
        fsck_report(f, HPO_FSCK_NOTE, "READ_ONLY_FEATURES", "FORMAT", 16, 0, 0,
                    "it can be read; opening it for writing is refused", "none: use a newer libhpo",
                    "FORMAT or a segment names features that this version may read but not write");
    if (err == 0)
        err = report_verdict(f);
    if (err == 0)
        err = report_fold(f);
    return err < 0 ? err : fsck_look_at_files(f);
}

static int arguments_check(const char *path, const struct hpo_fsck_options *options,
                           const struct hpo_fsck_result *result)
{
    if (!path || path[0] == '\0' || !result)
        return call_error(HPO_INVALID, "a path and a place for the result are needed");
    if (options && !HAS_MEMBER(options, arg))
        return call_error(HPO_INVALID, "options without size");
    if (options && options->flags & ~(unsigned)(HPO_FSCK_QUICK | HPO_FSCK_PREEN))
        return call_error(HPO_INVALID, "unknown flags");
    if (options && options->os && options->os->size != sizeof(struct hpo_os))
        return call_error(HPO_INVALID, "a system table of another version");
    return 0;
}

int hpo_fsck(const char *path, const struct hpo_fsck_options *options,
             void (*finding)(void *arg, const struct hpo_fsck_finding *finding), void *arg,
             struct hpo_fsck_result *result)
{
    struct hpo_fsck_result counted = {0};
    struct fsck f = {
        .os = options && options->os ? options->os : os_default(),
        .flags = options ? options->flags : 0,
        .progress = options ? options->progress : NULL,
        .progress_arg = options ? options->arg : NULL,
        .finding = finding,
        .arg = arg,
        .result = &counted,
        .error = error_here(),
    };
    int err;

    store_open_begin();
    err = arguments_check(path, options, result);
    if (err < 0)
        return store_open_failed(err);
    err = f.os->dir_open(f.os->self, path, &f.store);
    if (err < 0)
        return store_open_failed(error_set(f.error, error_from_errno(err), -err, path, 0, 0,
                                           "cannot open the store's directory"));
    err = check(&f);
    recovery_release(&f.found);
    state_free(f.state);
    f.os->free(f.os->self, f.snapshots);
    f.os->free(f.os->self, f.positions);
    f.os->dir_close(f.os->self, f.store);
    if (err < 0)
        return store_open_failed(err);
    *result = counted;
    return 0;
}

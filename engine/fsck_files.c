/*
 * fsck_files: what recovery does not need to look at, but a check does. One idea: nothing here
 * changes what the log means; it is the state of the spare copies and of what was left behind.
 */
#include "fsck.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int system_error(struct fsck *f, int negative_errno, const char *path, const char *what)
{
    return error_set(f->error, error_from_errno(negative_errno), -negative_errno, path, 0, 0,
                     "cannot %s", what);
}

static void look_at_copies(struct fsck *f, const char *file, enum format_copies copies)
{
    uint64_t offset = copies == FORMAT_COPY_FIRST ? FORMAT_COPY_SIZE : 0;

    if (copies == FORMAT_COPIES_BOTH || copies == FORMAT_COPIES_NONE)
        return; /* none: the verdict says so */
    fsck_report(f, HPO_FSCK_DAMAGE, "ONE_COPY", file, offset, 0, 0,
                "nothing is lost: the other copy is whole", "write the copy anew",
                "one of the two copies of the header does not verify");
}

static void look_at_slots(struct fsck *f)
{
    for (unsigned i = 0; i < 2; i++) {
        if (f->found.attest.slot[i].state == ATTEST_BAD)
            fsck_report(f, HPO_FSCK_NOTE, "BAD_SLOT", "attest", (uint64_t)i * ATTEST_SLOT_SIZE, 0,
                        0, "nothing is lost; a crash while it was written leaves this",
                        "none: it is written again",
                        "slot %u, which notes how far the log was durable, does not verify", i);
    }
}

/* -- every sector -- */

struct census {
    uint64_t count[5]; /* by enum sector_class */
    uint64_t foreign_offset;
};

static int count_sectors(struct fsck *f, struct segment_scan *scan, const struct segment *segment,
                         uint64_t offset, bool other_boot, struct census *census)
{
    const uint8_t *stored;
    enum sector_class class;
    int got;

    while ((got = segment_scan_peek(scan, offset, &stored, f->error)) > 0) {
        class = sector_classify(stored, segment->header.salt, offset, other_boot);
        if (class == SECTOR_FOREIGN && census->count[SECTOR_FOREIGN] == 0)
            census->foreign_offset = offset;
        census->count[class]++;
        offset += SECTOR_SIZE;
    }
    return got;
}

/* Count what the segment holds; what lies behind its successor's stated end is dead. `next`: NULL
 * for the newest. */
static int look_at_sectors(struct fsck *f, struct segment_scan *scan, const struct segment *segment,
                           const struct segment_header *next)
{
    bool newest = !next;
    const struct scan_bound bound = {
        .lsn_last = next ? next->end.lsn : f->found.limit.end.lsn,
        .tail = newest && f->live ? &f->live_limit.tail : NULL,
        .other_boot = newest && f->found.limit.other_boot,
    };
    struct census dead = {0};
    struct log_batch batch;
    struct sector_tail tail;
    int got;

    segment_scan_start(scan, f->os, segment, &bound);
    while ((got = segment_scan_next(scan, &batch, f->error)) > 0)
        ;
    if (got < 0)
        return got;
    f->result->sectors += scan->sectors;
    if (newest || scan->stop != SCAN_BOUND)
        return 0; /* recovery has looked behind p, or the verdict speaks of this segment */
    segment_scan_tail(scan, &tail);
    got = count_sectors(f, scan, segment, tail.offset,
                        memcmp(segment->header.boot_id, next->boot_id, 16) != 0, &dead);
    if (got == 0 && dead.count[SECTOR_FOREIGN] > 0)
        fsck_report(f, HPO_FSCK_NOTE, "DEAD_BYTES", segment->path, dead.foreign_offset, 0, 0,
                    "nothing is lost: the log goes on in the next segment",
                    "none: left as evidence",
                    "%llu damaged sectors in the part of the segment that a roll left behind",
                    (unsigned long long)dead.count[SECTOR_FOREIGN]);
    return got;
}

static int look_at_segment(struct fsck *f, struct segment_scan *scan, size_t index)
{
    const struct recovery_segment *found = &f->found.segments[index], *next = found + 1;
    struct os_dir *wal;
    struct segment segment;
    char path[SEGMENT_NAME_SIZE + 8];
    int err;

    (void)snprintf(path, sizeof(path), "wal/%08x.wal", (unsigned)found->number);
    look_at_copies(f, path, found->copies);
    if (found->file_size < found->header.bytes)
        fsck_report(f, HPO_FSCK_DAMAGE, "SHORT_SEGMENT", path, found->file_size, 0, 0,
                    "what is missing reads as zeros; where batches were the verdict says so",
                    "none needed: the next writer begins a new segment",
                    "the file has %llu bytes instead of %llu", (unsigned long long)found->file_size,
                    (unsigned long long)found->header.bytes);
    if (f->flags & HPO_FSCK_QUICK)
        return 0;
    err = f->os->dir_open_at(f->os->self, f->store, "wal", &wal);
    if (err < 0)
        return system_error(f, err, "wal", "open the directory");
    err = segment_open(f->os, wal, found->number, NULL, false, &segment, f->error);
    f->os->dir_close(f->os->self, wal);
    if (err < 0)
        return err;
    if (index + 1 < f->found.segment_count && next->error == 0)
        err = look_at_sectors(f, scan, &segment, &next->header);
    else
        err = look_at_sectors(f, scan, &segment, NULL);
    segment_close(f->os, &segment);
    return err;
}

/* -- names -- */

enum place { IN_STORE, IN_WAL, IN_SNAP };

struct listing {
    struct fsck *fsck;
    enum place place;
    uint64_t quarantined;
};

static bool ends_with(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);

    return n > m && strcmp(name + n - m, ending) == 0;
}

static bool belongs(enum place place, const char *name)
{
    static const char *const ours[] = {"FORMAT", "lock", "shm",        "attest",
                                       "wal",    "snap", "quarantine", "lost+found"};
    size_t dash = 16;

    if (place == IN_WAL)
        return segment_file_number(name) != 0 || ends_with(name, ".zero");
    if (place == IN_SNAP)
        return strlen(name) == SNAPSHOT_NAME_SIZE - 1 && name[dash] == '-' &&
               ends_with(name, ".mdb");
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        if (strcmp(name, ours[i]) == 0)
            return true;
    }
    return false;
}

static int look_at_name(void *arg, const char *name)
{
    static const char *const prefix[] = {"", "wal/", "snap/"};
    struct listing *listing = arg;
    char path[256];

    if (belongs(listing->place, name))
        return 0;
    (void)snprintf(path, sizeof(path), "%s%s", prefix[listing->place], name);
    if (ends_with(name, ".new")) {
        if (!listing->fsck->live) /* else somebody is at work on it */
            fsck_report(listing->fsck, HPO_FSCK_NOTE, "LEFT_OVER", path, 0, 0, 0,
                        "nothing is lost: nothing refers to it",
                        "none needed: the next writer removes it",
                        "a process died while it made this file");
        return 0;
    }
    fsck_report(listing->fsck, HPO_FSCK_NOTE, "UNKNOWN_NAME", path, 0, 0, 0,
                "it is not part of the store", "none: it is left alone",
                "a file that libhpo does not make");
    return 0;
}

static int count_quarantined(void *arg, const char *name)
{
    struct listing *listing = arg;

    (void)name;
    listing->quarantined++;
    return 0;
}

static int list(struct fsck *f, const char *name, struct listing *listing, os_list_fn fn)
{
    struct os_dir *dir = f->store;
    int err = 0;

    if (name)
        err = f->os->dir_open_at(f->os->self, f->store, name, &dir);
    if (err == -ENOENT)
        return 0;
    if (err == 0) {
        err = f->os->dir_list(f->os->self, dir, fn, listing);
        if (name)
            f->os->dir_close(f->os->self, dir);
    }
    return err < 0 ? system_error(f, err, name, "list the directory") : 0;
}

static int look_at_names(struct fsck *f)
{
    struct listing listing = {.fsck = f, .place = IN_STORE};
    int err = list(f, NULL, &listing, look_at_name);

    listing.place = IN_WAL;
    if (err == 0)
        err = list(f, "wal", &listing, look_at_name);
    listing.place = IN_SNAP;
    if (err == 0)
        err = list(f, "snap", &listing, look_at_name);
    if (err == 0)
        err = list(f, "quarantine", &listing, count_quarantined);
    if (err == 0 && listing.quarantined > 0)
        fsck_report(f, HPO_FSCK_NOTE, "QUARANTINE", "quarantine", 0, 0, 0,
                    "kept as evidence; the store does not need them",
                    "none: remove them by hand when nobody wants to look at them",
                    "%llu files that were damaged or replaced by a repair",
                    (unsigned long long)listing.quarantined);
    return err;
}

int fsck_look_at_files(struct fsck *f)
{
    struct segment_scan scan = {0};
    int err = 0;

    look_at_copies(f, "FORMAT", f->found.format_copies);
    look_at_slots(f);
    for (size_t i = 0; i < f->found.segment_count && err == 0; i++) {
        if (f->found.segments[i].error == 0)
            err = look_at_segment(f, &scan, i);
    }
    segment_scan_release(&scan);
    return err < 0 ? err : look_at_names(f);
}

/* -- what lies behind p -- */

/* The LSN of the batch that begins in a sector that verifies, 0 if none does or the LSN lies in the
 * next one. */
static uint64_t lsn_that_begins(const uint8_t *stored)
{
    uint8_t payload[SECTOR_PAYLOAD_SIZE];
    uint32_t first = sector_first(stored);
    size_t size;

    if (first == SECTOR_FIRST_NONE)
        return 0;
    size = sector_payload(stored, first * 8, payload);
    return size >= 8 ? codec_load_u64(payload) : 0;
}

int fsck_tail_last(struct fsck *f, uint64_t *out)
{
    const struct recovery *found = &f->found;
    const struct scan_bound bound = {.lsn_last = 0};
    struct segment_scan scan = {0};
    struct segment segment;
    struct os_dir *wal;
    const uint8_t *stored;
    uint64_t offset, lsn;
    enum sector_class class;
    int got;

    *out = found->limit.end.lsn;
    got = f->os->dir_open_at(f->os->self, f->store, "wal", &wal);
    if (got < 0)
        return system_error(f, got, "wal", "open the directory");
    got = segment_open(f->os, wal, found->limit.segment, NULL, false, &segment, f->error);
    f->os->dir_close(f->os->self, wal);
    if (got < 0)
        return got;
    segment_scan_start(&scan, f->os, &segment, &bound);
    for (offset = found->limit.tail.offset;
         (got = segment_scan_peek(&scan, offset, &stored, f->error)) > 0; offset += SECTOR_SIZE) {
        class = sector_classify(stored, segment.header.salt, offset, true);
        lsn = class == SECTOR_VALID || class == SECTOR_OUTRUN ? lsn_that_begins(stored) : 0;
        if (lsn > *out)
            *out = lsn;
    }
    segment_scan_release(&scan);
    segment_close(f->os, &segment);
    return got;
}

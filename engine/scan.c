/*
 * scan: see scan.h. One idea: sectors are loaded one at a time and only as far as the batch at hand
 * needs them, so what is left in the stream after a batch always belongs to the sector loaded last,
 * and a place is known without keeping any table.
 */
#include "scan.h"

#include <assert.h>
#include <string.h>

#include "hpo.h"

#define WINDOW_MAX (256u << 10)
#define WINDOW_MIN (4u << 10)
#define STREAM_MIN (4u << 10)

static_assert(WINDOW_MIN % SECTOR_SIZE == 0 && WINDOW_MAX % SECTOR_SIZE == 0, "whole sectors");

/* Go on behind `place`: forget what is loaded. The sector of the place may hold more by now. */
static void rewind_to_place(struct segment_scan *scan)
{
    bool full = scan->place.used == SECTOR_PAYLOAD_SIZE;

    scan->next_offset = scan->place.offset + (full ? SECTOR_SIZE : 0);
    scan->skip = full ? 0 : scan->place.used;
    scan->stream_begin = scan->stream_end = 0;
    scan->sector_last = false;
    scan->stop = SCAN_RUNNING;
    scan->verdict = BATCH_GOOD;
}

void segment_scan_start(struct segment_scan *scan, const struct hpo_os *os,
                        const struct segment *segment, const struct scan_bound *bound)
{
    struct segment_scan fresh = {
        .at = segment->header.end,
        .place = {.offset = SEGMENT_HEADER_SIZE},
        .os = os,
        .segment = segment,
        .bound = *bound,
        .window = scan->window,
        .window_room = scan->window_room,
        .stream = scan->stream,
        .stream_room = scan->stream_room,
    };

    *scan = fresh;
    rewind_to_place(scan);
}

void segment_scan_extend(struct segment_scan *scan, const struct scan_bound *bound)
{
    scan->bound = *bound;
    rewind_to_place(scan);
}

void segment_scan_tail(const struct segment_scan *scan, struct sector_tail *out)
{
    *out = (struct sector_tail){.offset = scan->place.offset, .used = scan->place.used};
    sector_seal(out);
}

void segment_scan_release(struct segment_scan *scan)
{
    if (!scan->os)
        return;
    scan->os->free(scan->os->self, scan->window);
    scan->os->free(scan->os->self, scan->stream);
    *scan = (struct segment_scan){0};
}

/* Where the file may be read up to. */
static uint64_t file_limit(const struct segment_scan *scan)
{
    uint64_t limit = scan->segment->header.bytes;

    if (scan->bound.tail && scan->bound.tail->offset < limit)
        limit = scan->bound.tail->offset;
    return limit;
}

/* Fill the window from next_offset on; bytes behind the end of a short file read as zeros. */
static int window_fill(struct segment_scan *scan, struct error_detail *error)
{
    const struct hpo_os *os = scan->os;
    uint64_t left = file_limit(scan) - scan->next_offset;
    size_t want = left < WINDOW_MAX ? (size_t)left : WINDOW_MAX, room = WINDOW_MIN;
    uint8_t *grown;
    int64_t n;

    scan->window_size = 0;
    while (room < want)
        room *= 2;
    if (scan->window_room < room) {
        grown = os->realloc(os->self, scan->window, room);
        if (!grown)
            return error_set(error, HPO_NOMEM, 0, scan->segment->path, scan->next_offset, 0,
                             "no memory to read the segment");
        scan->window = grown;
        scan->window_room = room;
    }
    n = os->file_pread(os->self, scan->segment->file, scan->window, want, scan->next_offset);
    if (n < 0) /* never the end of the log: what cannot be read may be durable */
        return error_set(error, error_from_errno((int)n), (int)-n, scan->segment->path,
                         scan->next_offset, scan->at.lsn + 1, "cannot read the segment");
    memset(scan->window + n, 0, want - (size_t)n);
    scan->window_offset = scan->next_offset;
    scan->window_size = want;
    return 0;
}

/* The stored bytes of the sector at next_offset: 1; 0 if the bound ends before it. */
static int sector_fetch(struct segment_scan *scan, const uint8_t **out, struct error_detail *error)
{
    const struct sector_tail *tail = scan->bound.tail;
    int err;

    if (tail && tail->used > 0 && scan->next_offset == tail->offset) {
        *out = tail->image; /* C3 */
        return 1;
    }
    if (scan->next_offset >= file_limit(scan))
        return 0;
    if (scan->next_offset < scan->window_offset ||
        scan->next_offset >= scan->window_offset + scan->window_size) {
        err = window_fill(scan, error);
        if (err < 0)
            return err;
    }
    *out = scan->window + (scan->next_offset - scan->window_offset);
    return 1;
}

/* Note why the walk ends at the sector next_offset. */
static int stop_at(struct segment_scan *scan, enum scan_stop stop)
{
    scan->stop = stop;
    scan->stop_offset = scan->next_offset;
    return 0;
}

int segment_scan_peek(struct segment_scan *scan, uint64_t offset, const uint8_t **out,
                      struct error_detail *error)
{
    assert(offset % SECTOR_SIZE == 0);
    if (scan->stop == SCAN_RUNNING)
        (void)stop_at(scan, SCAN_BOUND);
    scan->next_offset = offset;
    return sector_fetch(scan, out, error);
}

static int stream_reserve(struct segment_scan *scan, size_t more, struct error_detail *error)
{
    const struct hpo_os *os = scan->os;
    size_t kept = scan->stream_end - scan->stream_begin, room = scan->stream_room;
    uint8_t *grown;

    if (scan->stream_begin > 0) {
        memmove(scan->stream, scan->stream + scan->stream_begin, kept);
        scan->stream_begin = 0;
        scan->stream_end = kept;
    }
    if (room - kept >= more)
        return 0;
    if (room < STREAM_MIN)
        room = STREAM_MIN;
    while (room - kept < more)
        room *= 2;
    grown = os->realloc(os->self, scan->stream, room);
    if (!grown)
        return error_set(error, HPO_NOMEM, 0, scan->segment->path, scan->next_offset, 0,
                         "no memory to read a batch");
    scan->stream = grown;
    scan->stream_room = room;
    return 0;
}

/* Load one more sector into the stream: 1; 0 if none is there that counts (stop is set). */
static int sector_load(struct segment_scan *scan, struct error_detail *error)
{
    bool pending = scan->stream_end > scan->stream_begin;
    const uint8_t *stored;
    enum sector_class class;
    int got, err;

    if (scan->sector_last)
        return stop_at(scan, SCAN_SECTOR);
    if (pending && scan->sector_used < SECTOR_PAYLOAD_SIZE) /* X3: a batch ends there, or never */
        return stop_at(scan, SCAN_SECTOR);
    got = sector_fetch(scan, &stored, error);
    if (got < 0)
        return got;
    if (got == 0)
        return stop_at(scan, pending ? SCAN_SECTOR : scan->bound.tail ? SCAN_TAIL : SCAN_NOTHING);
    class = sector_classify(stored, scan->segment->header.salt, scan->next_offset,
                            scan->bound.other_boot);
    if (class == SECTOR_ZERO && !pending && scan->skip == 0)
        return stop_at(scan, SCAN_NOTHING);
    if ((class != SECTOR_VALID && class != SECTOR_OUTRUN) || sector_used(stored) < scan->skip)
        return stop_at(scan, SCAN_SECTOR);
    err = stream_reserve(scan, SECTOR_PAYLOAD_SIZE, error);
    if (err < 0)
        return err;
    scan->sectors++;
    if (sector_durable(stored) > scan->attested) {
        scan->attested = sector_durable(stored);
        scan->attested_offset = scan->next_offset;
    }
    if (!pending) {
        scan->begin_offset = scan->next_offset;
        scan->begin_used = scan->skip;
    }
    scan->stream_end += sector_payload(stored, scan->skip, scan->stream + scan->stream_end);
    scan->sector_offset = scan->next_offset;
    scan->sector_used = sector_used(stored);
    scan->sector_first = sector_first(stored);
    scan->sector_last = class == SECTOR_OUTRUN;
    scan->next_offset += SECTOR_SIZE;
    scan->skip = 0;
    return 1;
}

/* Have at least `size` bytes in the stream: 1; 0 if they are not to be had (stop is set). */
static int stream_need(struct segment_scan *scan, size_t size, struct error_detail *error)
{
    int got;

    while (scan->stream_end - scan->stream_begin < size) {
        got = sector_load(scan, error);
        if (got <= 0)
            return got;
    }
    return 1;
}

static int stop_batch(struct segment_scan *scan, enum batch_verdict verdict)
{
    scan->stop = SCAN_BATCH;
    scan->verdict = verdict;
    scan->stop_offset = scan->begin_offset;
    return 0;
}

/* What the sector says about where its first batch begins must be true; `first` is that of the
 * sector in which this batch begins. */
static bool first_agrees(const struct segment_scan *scan, uint32_t first)
{
    if (first == SECTOR_FIRST_NONE)
        return false;
    return scan->begun_in == scan->begin_offset ? first * 8 < scan->begin_used
                                                : first * 8 == scan->begin_used;
}

int segment_scan_next(struct segment_scan *scan, struct log_batch *out, struct error_detail *error)
{
    struct batch_header header;
    enum batch_verdict verdict;
    uint32_t first;
    size_t left;
    int got;

    if (scan->stop != SCAN_RUNNING)
        return 0;
    if (scan->at.lsn >= scan->bound.lsn_last)
        return stop_at(scan, SCAN_BOUND);
    left = scan->stream_end - scan->stream_begin;
    if (left > 0) {
        scan->begin_offset = scan->sector_offset;
        scan->begin_used = scan->sector_used - (uint32_t)left;
    } else {
        do { /* a sealed sector read again may have nothing more to give */
            got = sector_load(scan, error);
            if (got <= 0)
                return got;
        } while (scan->stream_end == scan->stream_begin);
    }
    first = scan->sector_first;
    got = stream_need(scan, BATCH_HEADER_SIZE, error);
    if (got <= 0)
        return got;
    if (!batch_header_decode(scan->stream + scan->stream_begin, &header))
        return stop_batch(scan, BATCH_BAD_HEADER);
    if (header.lsn - 1 != scan->at.lsn)
        return stop_batch(scan, BATCH_BAD_LSN);
    got = stream_need(scan, header.length, error);
    if (got <= 0)
        return got;
    verdict = batch_verify(scan->stream + scan->stream_begin, header.length, &scan->at, out);
    if (verdict == BATCH_GOOD && !first_agrees(scan, first))
        verdict = BATCH_BAD_HEADER;
    if (verdict != BATCH_GOOD)
        return stop_batch(scan, verdict);
    scan->stream_begin += header.length;
    left = scan->stream_end - scan->stream_begin;
    assert(left < SECTOR_PAYLOAD_SIZE && left <= scan->sector_used);
    scan->at = out->at;
    scan->place.offset = scan->sector_offset;
    scan->place.used = scan->sector_used - (uint32_t)left;
    scan->begun_in = scan->begin_offset;
    scan->batch_offset = scan->begin_offset + SECTOR_HEADER_SIZE + scan->begin_used;
    return 1;
}

/* -- the whole log -- */

void scan_init(struct scan *scan, const struct hpo_os *os, struct os_dir *wal,
               const uint8_t uuid[16])
{
    *scan = (struct scan){.os = os, .wal = wal};
    memcpy(scan->uuid, uuid, 16);
}

void scan_release(struct scan *scan)
{
    if (!scan->os)
        return;
    segment_scan_release(&scan->walk);
    segment_close(scan->os, &scan->segment);
    scan->open = false;
}

/* Open segment `number` of the log, which must be there. */
static int open_member(const struct scan *scan, uint32_t number, struct segment *out,
                       struct error_detail *error)
{
    int err = segment_open(scan->os, scan->wal, number, scan->uuid, false, out, error);

    if (err == HPO_NOT_FOUND) {
        if (error)
            error->code = HPO_CORRUPT;
        err = HPO_CORRUPT;
    }
    return err;
}

/* Make `segment` (taken over) the one that is read, from its beginning. */
static void enter(struct scan *scan, const struct segment *segment)
{
    const struct scan_bound nothing = {.lsn_last = segment->header.end.lsn};

    segment_close(scan->os, &scan->segment);
    scan->segment = *segment;
    scan->open = true;
    segment_scan_start(&scan->walk, scan->os, &scan->segment, &nothing);
}

static int damaged(const struct scan *scan, struct error_detail *error)
{
    const struct segment_scan *walk = &scan->walk;

    return error_set(error, HPO_CORRUPT, 0, scan->segment.path, walk->stop_offset, walk->at.lsn + 1,
                     "%s; run hpo-fsck",
                     walk->stop == SCAN_BATCH ? "what follows is not the next batch"
                                              : "a sector that was written does not verify");
}

/*
 * Deliver what the current segment holds of (walk.at, lsn_last]; without fn just walk there. The
 * walk has reached lsn_last on return 0.
 */
static int walk_to(struct scan *scan, uint64_t lsn_last, const struct scan_limit *limit,
                   log_batch_fn fn, void *arg, struct error_detail *error)
{
    bool newest = scan->segment.header.number == limit->segment;
    const struct scan_bound bound = {
        .lsn_last = lsn_last,
        .tail = newest ? &limit->tail : NULL,
        .other_boot = newest && limit->other_boot,
    };
    struct log_batch batch;
    int got;

    segment_scan_extend(&scan->walk, &bound);
    while ((got = segment_scan_next(&scan->walk, &batch, error)) > 0) {
        got = fn ? fn(arg, &batch) : 0;
        if (got != 0)
            return got;
    }
    if (got == 0 && scan->walk.at.lsn < lsn_last)
        return damaged(scan, error);
    return got;
}

/* The newest segment up to the limit whose stated end is not beyond `lsn`; opened. Stated ends only
 * grow, so it is found by halving. */
static int find_segment(const struct scan *scan, uint64_t lsn, uint32_t newest, struct segment *out,
                        struct error_detail *error)
{
    uint32_t low = 1, high = newest, middle;
    struct segment segment;
    int err;

    while (low < high) {
        middle = low + (high - low + 1) / 2;
        err = open_member(scan, middle, &segment, error);
        if (err < 0)
            return err;
        if (segment.header.end.lsn <= lsn)
            low = middle;
        else
            high = middle - 1;
        segment_close(scan->os, &segment);
    }
    return open_member(scan, low, out, error);
}

/* Bring the walk to `from`, wherever that is in the log as it is up to the limit. */
static int seek(struct scan *scan, const struct log_position *from, const struct scan_limit *limit,
                struct error_detail *error)
{
    struct segment segment;
    int err;

    err = find_segment(scan, from->lsn, limit->segment, &segment, error);
    if (err < 0)
        return err;
    enter(scan, &segment);
    if (from->lsn < scan->walk.at.lsn)
        return LOG_DIVERGED;
    err = walk_to(scan, from->lsn, limit, NULL, NULL, error);
    if (err < 0)
        return err;
    return scan->walk.at.chain == from->chain ? 0 : LOG_DIVERGED;
}

/* Read the current, not the newest segment to its successor's stated end and go over to the
 * successor. */
static int read_through(struct scan *scan, const struct scan_limit *limit, log_batch_fn fn,
                        void *arg, struct error_detail *error)
{
    struct log_position at;
    struct segment next;
    int err;

    err = open_member(scan, scan->segment.header.number + 1, &next, error);
    if (err < 0)
        return err;
    if (next.header.end.lsn < scan->walk.at.lsn) {
        /* A roll left behind batches that were read; they count if the successor has them too. */
        segment_close(scan->os, &next);
        at = scan->walk.at;
        return seek(scan, &at, limit, error);
    }
    err = walk_to(scan, next.header.end.lsn, limit, fn, arg, error);
    if (err == 0 && scan->walk.at.chain != next.header.end.chain)
        err = error_set(error, HPO_CORRUPT, 0, next.path, 80, next.header.end.lsn,
                        "the segment does not continue the one before it; run hpo-fsck");
    if (err != 0) {
        segment_close(scan->os, &next);
        return err;
    }
    enter(scan, &next);
    return 0;
}

int scan_read(struct scan *scan, const struct log_position *from, const struct scan_limit *limit,
              log_batch_fn fn, void *arg, struct error_detail *error)
{
    int err = 0;

    if (from->lsn > limit->end.lsn ||
        (from->lsn == limit->end.lsn && from->chain != limit->end.chain))
        return LOG_DIVERGED;
    if (from->lsn == limit->end.lsn)
        return 0;
    if (!scan->open || scan->walk.at.lsn != from->lsn || scan->walk.at.chain != from->chain ||
        scan->segment.header.number > limit->segment)
        err = seek(scan, from, limit, error);
    while (err == 0 && scan->segment.header.number < limit->segment)
        err = read_through(scan, limit, fn, arg, error);
    if (err == 0)
        err = walk_to(scan, limit->end.lsn, limit, fn, arg, error);
    if (err == 0 && scan->walk.at.chain != limit->end.chain)
        err = damaged(scan, error);
    return err;
}

/*
 * scan: reading batches, one segment or a chain of them. Read-only; takes no lock.
 *
 * Two levels. `segment_scan` walks one segment from its first sector and stops where nothing more
 * counts; recovery, rolls and fsck use it. `scan` follows the whole log from any position to a
 * published end, across segments and rolls; log_read uses it, and keeps one per handle so that
 * catching up costs one pread, or none.
 *
 * Invariants
 *   C1  A batch is delivered only if every sector it lies in counts and its LSN and chain follow
 *       the batch before.
 *   C2  Of a segment that has a successor nothing after the successor's stated end is delivered.
 *   C3  Up to a limit the file is read only before limit.tail.offset; the open sector comes from
 *       limit.tail.image, never from the file, where it may be in mid-change.
 */
#ifndef HPO_ENGINE_SCAN_H
#define HPO_ENGINE_SCAN_H

#include "segment.h"

/* A place in a segment: just behind a batch, or before the first one (used 0). */
struct scan_place {
    uint64_t offset; /* of the sector */
    uint32_t used;   /* payload bytes of that sector that lie before the place */
};

/* Why a walk through a segment ended. */
enum scan_stop {
    SCAN_RUNNING = 0,
    SCAN_BOUND,   /* bound.lsn_last reached */
    SCAN_TAIL,    /* bound.tail reached exactly: nothing is left over */
    SCAN_NOTHING, /* the next sector is zero, or the segment is full, and nothing is left over */
    SCAN_SECTOR,  /* the next sector does not count, or a batch lacks bytes because of it */
    SCAN_BATCH,   /* the sectors count, but what they hold is not the next batch */
};

struct scan_bound {
    uint64_t lsn_last;              /* deliver no batch after it (the successor's stated end) */
    const struct sector_tail *tail; /* read no further; NULL: to the end. Valid during calls */
    bool other_boot;                /* written before a reboot: words may be missing */
};

/* A walk through one segment. Fields above the line are for readers. */
struct segment_scan {
    struct log_position at;   /* last batch delivered; at the start the header's `end` */
    struct scan_place place;  /* just behind it */
    uint64_t batch_offset;    /* file offset of the first byte of the last batch delivered */
    uint64_t attested;        /* highest LSN attested by a sector read so far */
    uint64_t attested_offset; /* of that sector */
    enum scan_stop stop;
    enum batch_verdict verdict; /* with SCAN_BATCH: what is wrong with it */
    uint64_t stop_offset;       /* of the sector at which it stopped */
    uint64_t sectors;           /* that counted */
    /* ---- */
    const struct hpo_os *os;
    const struct segment *segment;
    struct scan_bound bound;
    uint64_t next_offset; /* of the next sector to load */
    uint32_t skip;        /* payload bytes of it that were delivered already */
    uint8_t *window;      /* file bytes [window_offset, + window_size) */
    size_t window_room, window_size;
    uint64_t window_offset;
    uint8_t *stream; /* unmasked payload not yet delivered: [stream_begin, stream_end) */
    size_t stream_room, stream_begin, stream_end;
    uint64_t sector_offset; /* of the sector loaded last */
    uint32_t sector_used, sector_first;
    bool sector_last;      /* it was OUTRUN: nothing after it counts */
    uint64_t begun_in;     /* sector in which a batch began last, 0: none yet */
    uint64_t begin_offset; /* where the batch being read begins */
    uint32_t begin_used;
};

/* Begin before the first batch of the segment, which must stay open until release. `scan` is all
 * zero or was used before (it keeps its buffers then). Allocates nothing. */
void segment_scan_start(struct segment_scan *scan, const struct hpo_os *os,
                        const struct segment *segment, const struct scan_bound *bound);
/* The next batch: 1, described in `out` (valid until the next call); 0: the walk has ended, see
 * stop; HPO_IO, HPO_NOMEM. */
int segment_scan_next(struct segment_scan *scan, struct log_batch *out, struct error_detail *error);
/* Go on from `place` with another bound: more was published, or the successor is known now. */
void segment_scan_extend(struct segment_scan *scan, const struct scan_bound *bound);
/* The sector stored at `offset`, whatever it holds, within the bound: 1, borrowed until the next
 * call; 0 if the bound ends before it. Ends the walk: only another peek, start or extend may
 * follow. */
int segment_scan_peek(struct segment_scan *scan, uint64_t offset, const uint8_t **out,
                      struct error_detail *error);
/* The tail with which appending goes on behind `place` in a new sector. */
void segment_scan_tail(const struct segment_scan *scan, struct sector_tail *out);
void segment_scan_release(struct segment_scan *scan);

/* How far a log is to be read: what a publish slot says, or what recovery found. */
struct scan_limit {
    uint32_t segment; /* the newest that counts */
    struct log_position end;
    struct sector_tail tail; /* of that segment */
    bool other_boot;         /* what recovery found of another boot and nobody rolled yet */
};

/* A reader of the log. Not thread-safe: one caller at a time. */
struct scan {
    const struct hpo_os *os;
    struct os_dir *wal;
    uint8_t uuid[16];
    bool open;
    struct segment segment;
    struct segment_scan walk;
};

void scan_init(struct scan *scan, const struct hpo_os *os, struct os_dir *wal,
               const uint8_t uuid[16]);
void scan_release(struct scan *scan);

/*
 * Call fn for every batch after `from` up to limit->end. `from` may be any position; the reader
 * remembers where it stopped, so that going on from there is cheap. 0; what fn returned if not 0
 * (that batch counts as read); LOG_DIVERGED if `from` is not in the log up to the limit;
 * HPO_CORRUPT with a detail if a batch before the limit does not verify; HPO_IO, HPO_NOMEM.
 */
int scan_read(struct scan *scan, const struct log_position *from, const struct scan_limit *limit,
              log_batch_fn fn, void *arg, struct error_detail *error);

#endif

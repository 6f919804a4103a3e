/*
 * wal_local: what the files of the local log share. Nobody else includes this.
 *
 * Locks inside a handle, in the order in which they may be taken:
 *   APPEND (locks.h; between processes and threads)  >  read_mutex  >  mutex
 * log_read may be called with APPEND held or not; its callback may not call back into the log.
 *
 * Invariants (cited as W1..W7)
 *   W1  Bytes of a segment are written only by the holder of APPEND, between setting the marker
 *       and publishing.
 *   W2  Sectors before end.tail.offset are final. The open sector is known by its image in the
 *       slot and never read from the file.
 *   W3  Once a leader sealed (under APPEND), no byte that its flush covers is written again.
 *   W4  durable(epoch) <= end of that epoch, and everything up to it was covered by a sync that
 *       returned 0 on a segment in which no sync failed before.
 *   W5  From the rename that names a new segment on, nobody appends to its predecessor, whatever
 *       fails later.
 *   W6  All waiting batches of a handle were appended in `pending_epoch`, or found in it. When the
 *       epoch has moved they are settled before the handle appends again: a later batch of the
 *       same session may have number and chain of a lost one.
 *   W7  log->segment is the segment of end.epoch whenever APPEND is held and wal_tail_take has
 *       returned 0.
 */
#ifndef HPO_ENGINE_WAL_LOCAL_H
#define HPO_ENGINE_WAL_LOCAL_H

#include "error.h"
#include "locks.h"
#include "recovery.h"
#include "shm.h"
#include "wal.h"

#define WAL_SEGMENT_BYTES_FIRST (256u << 10)
#define WAL_SEGMENT_BYTES_LAST (16u << 20)

/* The current segment, open for writing. A leader keeps it through its flush while others roll. */
struct wal_segment {
    struct segment segment;
    unsigned references; /* guarded by log->mutex */
};

/* A batch of ours that somebody may still wait for. */
enum wal_pending_state {
    WAL_PENDING_WAITING, /* in the log as of pending_epoch, not known to be durable */
    WAL_PENDING_FOUND,   /* while settling only: it is in the log of the new epoch, too */
    WAL_PENDING_DEAD,    /* an epoch ended without it */
};
struct wal_pending {
    struct log_position at;
    uint32_t epoch; /* it was appended in */
    enum wal_pending_state state;
};

/* What lies behind the end that was found in the files: tells whether somebody wrote since. */
struct wal_behind {
    uint8_t newer_segment; /* there is a file of the next number */
    uint8_t sector[SECTOR_SIZE];
};

struct log {
    /* constant after open */
    const struct hpo_os *os;
    uint64_t generation; /* of forks */
    bool read_only, relaxed;
    uint64_t segment_bytes_first, segment_bytes_max;
    uint8_t uuid[16], boot_id[16];
    struct os_dir *store, *wal;
    struct os_identity lock_identity; /* of the file `lock` as opened */
    struct os_fs fs;
    struct locks locks; /* file NULL: none (read-only, nobody ever wrote) */
    struct os_file *attest;
    bool recovered;
    uint8_t verdict;

    /* Set at open for read-write handles. One that only reads maps the page once somebody vouches
     * for it, keeps the mapping and looks at the generation each time. */
    struct shm *_Atomic shm;

    /* No new segment could be made when one was needed: HPO_UNKNOWN from now on. */
    _Atomic bool broken;
    /* Names the thread that has APPEND through this handle; NULL: none. */
    const char *_Atomic holder;
    /* Size of log->segment, for whoever does not hold APPEND. */
    _Atomic uint64_t segment_bytes;

    /* guarded by APPEND */
    struct shm_published end;
    struct wal_segment *segment;
    struct sector_buffer buffer;
    int64_t store_checked_us;

    /* guarded by read_mutex */
    struct os_mutex *read_mutex;
    struct scan scan;
    struct wal_behind behind; /* handles that only read, without a page */
    bool behind_known;        /* false: not looked at since the files were examined */

    /* guarded by mutex */
    struct os_mutex *mutex;
    struct wal_pending *pending;
    size_t pending_count, pending_room;
    uint32_t pending_epoch;
    struct error_detail *error; /* the caller's; filled by wal_fail */
    /* the rest only for handles that only read */
    struct scan_limit limit; /* how far the log reaches: as examined, or as last published */
    struct log_position limit_durable; /* chain 0: not known */
    struct error_detail damage;        /* as examined; code 0: none */
};

/* -- wal.c -- */

/* Copy a local detail to the handle's and return its code; several threads may fail at once. */
int wal_fail(struct log *log, const struct error_detail *detail);

/* HPO_FORKED in a child of the process that opened the log, else 0. */
int wal_check_process(const struct log *log);

/* Take APPEND and look around, as every holder must: read the end, open the current segment, settle
 * what was pending in an older epoch, roll if somebody died inside an append or a flush failed. On
 * failure APPEND is free again. */
int wal_tail_take(struct log *log, struct error_detail *error);
void wal_tail_free(struct log *log);

/* Whether the calling thread holds APPEND through this handle. */
bool wal_tail_is_mine(const struct log *log);

/* W7: open the segment of log->end unless it is open. */
int wal_segment_open_current(struct log *log, struct error_detail *error);
void wal_segment_hold(struct log *log, struct wal_segment *segment);
void wal_segment_drop(struct log *log, struct wal_segment *segment);

/* -- commit.c -- */

/* Make room for one more pending batch, so that remembering it cannot fail after it was written. */
int wal_pending_reserve(struct log *log);
void wal_pending_add(struct log *log, const struct log_position *at);
/* W6. The end is as read from shm just now. */
int wal_settle(struct log *log, const struct shm_published *end, struct error_detail *error);

/* Write `at` to the attest slot whose turn it is, if `epoch` is still the log's; `sync` also makes
 * it durable. */
int wal_attest(struct log *log, uint32_t epoch, const struct log_position *at, bool sync,
               struct error_detail *error);

/* -- roll.c -- */

/* The first segment of a new store, durable, with its attest slot. The caller is alone. */
int wal_first_segment(struct log *log, struct error_detail *error);

/*
 * The one way to a new segment. Caller holds APPEND (or is alone) and log->end, log->segment are
 * current. Copies what verifies after the durable LSN. `stream_bytes`: what the new segment must
 * have room for beside the copies. `last_reserve`: may use the file kept for a full disk.
 * other_boot: of the segment that is left (recovery). On success log->end and log->segment are the
 * new ones and the marker is clear.
 */
int wal_roll(struct log *log, enum segment_reason reason, uint64_t stream_bytes, bool last_reserve,
             bool other_boot, struct error_detail *error);

/* -- prepare.c -- */

/* The size of the segment after one of `bytes`. */
uint64_t wal_next_segment_bytes(const struct log *log, uint64_t bytes);

/* Called without APPEND: if the current segment is half full, see that a zeroed file for the next
 * one and the reserve exist. Never fails; what goes wrong shows when a segment is needed. */
void wal_prepare(struct log *log);

/* Whether the last attempt to make a zeroed file failed for want of space; and a new attempt, at
 * most once a second, called without APPEND. */
bool wal_space_low(const struct log *log);
void wal_space_retry(struct log *log);

struct wal_zero_request {
    uint64_t wanted, minimum; /* bytes */
    bool any_size;            /* take what is there rather than make one */
    bool last_reserve;        /* on a full disk take what is left */
};
/* A zeroed file for a roll: its name and size. HPO_NOSPACE. */
int wal_zero_take(struct log *log, const struct wal_zero_request *request,
                  char name[SEGMENT_NAME_SIZE], uint64_t *bytes, struct error_detail *error);
/* Under APPEND: remove files that dead preparers and rollers left half made. Best effort. */
void wal_sweep(struct log *log);
/* Count and sizes of zeroed files. */
int wal_zero_count(struct log *log, uint64_t *count, uint64_t *bytes);

/* -- wal_reader.c: handles that only read -- */

/* At open: map the page if somebody vouches for it, else examine the files. `follow` false: the
 * store's uuid is not known, the files are all there is. */
int wal_reader_begin(struct log *log, const struct log_options *options, bool follow,
                     struct error_detail *error);

/* Before each read: has somebody come, or come and gone? */
int wal_reader_refresh(struct log *log, struct error_detail *error);

/* How far the log reaches. *epoch is 0 if that is what was known last, or comes from the files. */
void wal_reader_limit(struct log *log, struct scan_limit *limit, uint32_t *epoch);
uint64_t wal_reader_durable(struct log *log);

/* -- wal_open.c -- */

/* Map the page that others vouch for; 0, -ENOENT or -EPROTO as shm_attach. */
int wal_attach(struct log *log, bool writable);

#endif

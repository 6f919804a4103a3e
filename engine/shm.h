/*
 * shm: the page that the processes of a live store share: where the log ends, what is durable, who
 * flushes.
 *
 * Nothing in it is believed after a reboot or after the last handle is gone: the first opener
 * builds it anew from the files, in place, under an odd generation number (handles that only read
 * keep their mapping and notice). The file `shm` has real blocks and is never truncated or
 * replaced, so that a mapping cannot fault.
 *
 * Who may write what
 *   published slots, marker    the holder of APPEND (or the builder, who is alone)
 *   flush word, durable word   anyone, by one compare-and-swap that names the epoch it is meant for
 *   sequence, counters         anyone, atomically
 *
 * Invariants (cited as H1..H6; shm_check looks at what one copy can show)
 *   H1  `current` counts publications, and the slot current & 1 is whole. The other one is written
 *       only under APPEND and only after the present one was published; so a copy is whole if
 *       `current` is the same before and after.
 *   H2  Published: used <= payload size of a sector; used > 0 means that the image is the sector
 *       at that offset. The LSN falls only when the epoch rises.
 *   H3  The durable word rises within an epoch and never passes the published LSN of its epoch.
 *   H4  Flush word and durable word carry their epoch; a word of another epoch says nothing.
 *   H5  The marker is set from before the first byte of an append or a roll is written until its
 *       outcome is published. Found set under APPEND: whoever set it is gone, and the bytes behind
 *       the published end are his.
 *   H6  The sequence word changes after whatever a waiter might be waiting for.
 */
#ifndef HPO_ENGINE_SHM_H
#define HPO_ENGINE_SHM_H

#include "sector.h"

#define SHM_SIZE 8192u
#define SHM_BUCKETS 32u

/* Where the log ends. Positions are meaningful only within their segment. */
struct shm_published {
    uint32_t epoch;
    uint32_t segment;        /* number of the current segment */
    struct log_position at;  /* newest batch */
    struct sector_tail tail; /* where the next one goes, with the open sector as stored */
};

enum shm_marker {
    SHM_MARK_NONE = 0,
    SHM_MARK_APPEND = 1,
    SHM_MARK_ROLL = 2,
};

enum shm_flush_state {
    SHM_FLUSH_IDLE = 0,
    SHM_FLUSHING = 1, /* the holder of SYNC is in its flush; whoever gets SYNC and finds it rolls */
    SHM_FLUSH_FAILED = 2, /* poison: this segment's file is never flushed again */
};

/* Counters since shm was built, over all processes. */
enum shm_counter {
    SHM_BATCHES,
    SHM_BATCH_BYTES,
    SHM_LOG_WRITES,
    SHM_LOG_WRITE_BYTES,
    SHM_LOG_SECTORS,
    SHM_LOG_PAGES, /* 4 KiB pages of a segment dirtied; one written again before a flush is one */
    SHM_FLUSHES,
    SHM_FLUSH_FAILURES,
    SHM_COMMITS,
    SHM_ATTEST_WRITES,
    SHM_ATTEST_BYTES,
    SHM_ATTEST_SYNCS,
    SHM_ROLLS,
    SHM_ROLLS_FULL,
    SHM_ROLLS_RECOVERY,
    SHM_ROLLS_SYNC_FAILED,
    SHM_ROLLS_TAKEOVER,
    SHM_BATCHES_COPIED,
    SHM_SEGMENTS_MADE, /* zeroed files made, ahead of need or not */
    SHM_ZERO_BYTES,
    SHM_COUNTERS
};

enum shm_histogram {
    SHM_COMMITS_PER_FLUSH, /* callers satisfied by one flush */
    SHM_FLUSH_US,
    SHM_HISTOGRAMS
};

struct shm_slot {
    _Atomic uint64_t epoch_segment, lsn, chain, offset, used;
    _Atomic uint64_t image[SECTOR_SIZE / 8];
};

/* The page itself. All of it is guarded as said above; nobody outside shm.c and wal's statistics
 * touches members. */
struct shm {
    _Atomic uint64_t magic;
    _Atomic uint64_t layout;
    _Atomic uint64_t uuid[2], boot_id[2];
    _Atomic uint64_t generation; /* odd: being rebuilt */

    _Alignas(64) _Atomic uint64_t current; /* number of publications; slot current & 1 */
    _Atomic uint64_t marker;               /* enum shm_marker */
    _Atomic uint64_t dirty_page;           /* last one counted since the last seal, + 1 */

    _Alignas(64) _Atomic uint64_t flush; /* epoch << 2 | enum shm_flush_state */
    _Atomic uint64_t durable;            /* epoch mod 2^16 << 48 | LSN */
    _Atomic uint64_t attest_turn; /* slots of `attest` given out; slot turn & 1 is written next */

    _Alignas(64) _Atomic uint32_t sequence; /* futex */
    _Atomic uint32_t waiters;               /* asleep on it, or killed there: too many at worst */

    /* Group commit: hints, never trusted for correctness. */
    _Alignas(64) _Atomic uint64_t arrivals; /* callers that began to wait for durability */
    _Atomic uint64_t arrivals_sealed;       /* value of arrivals at the last seal */
    _Atomic uint64_t arrivals_expected;     /* how many the next leader may hope for */
    _Atomic uint64_t flush_us;              /* smoothed duration of a flush */

    /* Room for the next segment. prepared_epoch: whose successor's file was made, or tried. */
    _Alignas(64) _Atomic uint64_t prepared_epoch;
    _Atomic uint64_t space_low;      /* no zeroed file beside the reserve could be made */
    _Atomic uint64_t space_retry_us; /* monotonic: not tried again before */

    _Alignas(64) _Atomic uint64_t counters[SHM_COUNTERS];
    _Atomic uint64_t histograms[SHM_HISTOGRAMS][SHM_BUCKETS];

    _Alignas(64) struct shm_slot slots[2];
};

_Static_assert(sizeof(struct shm) <= SHM_SIZE, "the shared page is as large as its file");
_Static_assert(sizeof(_Atomic uint64_t) == 8 && sizeof(_Atomic uint32_t) == 4,
               "atomics in shared memory are plain words");

/* -- building and attaching -- */

struct shm_identity {
    uint8_t uuid[16]; /* the store's */
    uint8_t boot_id[16];
};

/* Open or create the file `shm` with all its blocks, map it, make its generation odd and everything
 * else zero, then its identity, `end` and the durable LSN of end->epoch. Caller holds ALIVE
 * exclusively. 0 or -errno. */
int shm_build(const struct hpo_os *os, struct os_dir *store, const struct shm_identity *identity,
              const struct shm_published *end, uint64_t durable, struct shm **out);

/* The last step of building: the generation becomes even. */
void shm_finish(struct shm *shm);

/* Map the page that others vouch for. Writable for read-write handles (who hold READY), else
 * read-only. 0; -ENOENT no file; -EPROTO it is not a whole page of this store, boot and layout
 * (another version of the library, or nobody alive). */
int shm_attach(const struct hpo_os *os, struct os_dir *store, const struct shm_identity *identity,
               bool writable, struct shm **out);

void shm_detach(const struct hpo_os *os, struct shm *shm);

uint64_t shm_generation(const struct shm *shm);

/* -- published end -- */

/* Copy the published end; lock-free, whole (H1). `with_image` false leaves the image undefined. */
void shm_read(const struct shm *shm, bool with_image, struct shm_published *out);

/* The count of publications: cheap test for "nothing new". */
uint64_t shm_publications(const struct shm *shm);

/* Publish a new end in one switch. Caller holds APPEND. */
void shm_publish(struct shm *shm, const struct shm_published *end);

enum shm_marker shm_marker(const struct shm *shm);
void shm_mark(struct shm *shm, enum shm_marker marker);

/* -- flushing -- */

/* The durable LSN of `epoch`; false if the word bears another epoch. */
bool shm_durable(const struct shm *shm, uint32_t epoch, uint64_t *lsn);

/* The LSN in the durable word, whatever its epoch: behind the truth at worst, never ahead. */
uint64_t shm_durable_lsn(const struct shm *shm);

/* Raise the durable LSN within its epoch; false if the word bears another one (then nothing
 * changed). */
bool shm_durable_raise(struct shm *shm, uint32_t epoch, uint64_t lsn);

/* Begin an epoch: flush word idle, then durable word. Caller holds APPEND and has published the
 * epoch's first end. */
void shm_epoch_begin(struct shm *shm, uint32_t epoch, uint64_t durable);

/* State of the flush word for `epoch`; -1 if the word bears another epoch. */
int shm_flush_state(const struct shm *shm, uint32_t epoch);

/* IDLE -> FLUSHING for `epoch`; false if the word says anything else. */
bool shm_flush_begin(struct shm *shm, uint32_t epoch);

/* FLUSHING -> IDLE or FAILED for `epoch`; false if the word changed meanwhile: the log was rolled
 * under the leader, whose result counts for nothing. */
bool shm_flush_end(struct shm *shm, uint32_t epoch, bool failed);

uint32_t shm_sequence(const struct shm *shm);
/* Change the sequence word and wake everybody that waits for it. After SYNC was freed (H6). */
void shm_wake(const struct hpo_os *os, struct shm *shm);
/* Sleep until the sequence word differs from `seen`, at most timeout_us. */
void shm_wait(const struct hpo_os *os, struct shm *shm, uint32_t seen, int64_t timeout_us);

/* -- counting -- */

void shm_count(struct shm *shm, enum shm_counter counter, uint64_t n);
void shm_observe(struct shm *shm, enum shm_histogram histogram, uint64_t value);

/* All invariants that can be seen from one copy; 0, or the number of the one that is broken. For
 * tests. */
int shm_check(const struct shm *shm);

#endif

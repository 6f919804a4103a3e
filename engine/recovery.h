/*
 * recovery: what a log found on disk means. Read-only: nothing here writes, renames or locks.
 *
 * It gathers facts (recovery_facts) and decides by one table, which is data (recovery_table) and is
 * printed in docs/recovery.md with the same row numbers. What is done about the verdict (create, go
 * on in place, roll, refuse) is wal.c's part; what may be done to damage is repair.h's.
 *
 * Words: p is the last whole batch that counts. H is the highest LSN that anything attests to have
 * been durable.
 */
#ifndef HPO_ENGINE_RECOVERY_H
#define HPO_ENGINE_RECOVERY_H

#include "attest.h"
#include "scan.h"

/* -- facts: small enums, so that all combinations can be walked -- */

enum recovery_format {
    RECOVERY_FORMAT_GOOD = 0, /* at least one copy verifies */
    RECOVERY_FORMAT_ABSENT,
    RECOVERY_FORMAT_BAD,     /* there, but neither copy verifies */
    RECOVERY_FORMAT_REFUSED, /* version or features that this build does not know */
};
enum recovery_segments {
    RECOVERY_SEGMENTS_WHOLE = 0, /* 1 .. n without gap, every header continues the one before */
    RECOVERY_SEGMENTS_NONE,
    RECOVERY_SEGMENTS_GAP, /* a number is missing below the newest */
    RECOVERY_SEGMENTS_BAD, /* a header that does not verify, or does not continue the one before */
    RECOVERY_SEGMENTS_REFUSED, /* a header with version or features that this build does not know */
};
/* Signs of a log outside wal/: good attest slots, snapshots. */
enum recovery_traces {
    RECOVERY_TRACES_NONE = 0,
    RECOVERY_TRACES_SOME,
    RECOVERY_TRACES_NEWER, /* a slot whose epoch is above the newest header's */
};
/* DIFFER: a slot, header or snapshot at or below p has another chain than the log there, or a
 * sector attests more than its segment's successor's stated end. */
enum recovery_chains {
    RECOVERY_CHAINS_AGREE = 0,
    RECOVERY_CHAINS_DIFFER,
};
enum recovery_reach {
    RECOVERY_P_ABOVE_H = 0,
    RECOVERY_P_IS_H,
    RECOVERY_P_BELOW_H,
};
/* Whether p is the end of what its sector holds; GOES_ON also if words follow behind `used`. */
enum recovery_stream {
    RECOVERY_STREAM_ENDS = 0,
    RECOVERY_STREAM_GOES_ON,
};
/* The worst class among the sectors after p's; OUTRUN counts as torn. */
enum recovery_after {
    RECOVERY_AFTER_ZERO = 0,
    RECOVERY_AFTER_VALID,
    RECOVERY_AFTER_TORN,
    RECOVERY_AFTER_FOREIGN,
};
enum recovery_boot {
    RECOVERY_BOOT_SAME = 0,
    RECOVERY_BOOT_OTHER,
};
/* All that follows p. ONE_APPEND: nothing, or the beginning, in one piece, of a next batch. */
enum recovery_rest {
    RECOVERY_REST_ONE_APPEND = 0,
    RECOVERY_REST_OTHER,
};
/* The newest segment's file. SHORT: reads as zeros behind its end. */
enum recovery_file {
    RECOVERY_FILE_WHOLE = 0,
    RECOVERY_FILE_SHORT,
};

struct recovery_facts {
    uint8_t format, segments, traces, chains, reach, stream, after, boot, rest, file;
};
enum { RECOVERY_FACTS = 10 };
/* Facts by number, in the order above, so that tests and tools can walk them. */
uint8_t recovery_fact(const struct recovery_facts *facts, unsigned fact);
void recovery_fact_set(struct recovery_facts *facts, unsigned fact, uint8_t value);
const char *recovery_fact_name(unsigned fact);                       /* "format" ... */
const char *recovery_fact_value_name(unsigned fact, unsigned value); /* NULL: no such value */

enum recovery_verdict {
    RECOVERY_NO_STORE = 1, /* nothing is there */
    RECOVERY_UNBORN,       /* FORMAT, but no segment yet: creation was interrupted */
    RECOVERY_CLEAN_END,
    RECOVERY_TORN_TAIL,
    RECOVERY_CORRUPT_TAIL,
    RECOVERY_CORRUPT_COMMITTED,
    RECOVERY_MISSING_SEGMENT,
    RECOVERY_BAD_FORMAT,
    RECOVERY_BAD_HEADER,
    RECOVERY_UNSUPPORTED,
};
const char *recovery_verdict_name(enum recovery_verdict verdict); /* "CLEAN_END" ... */

enum recovery_action {
    RECOVERY_CREATE = 1, /* make FORMAT (if absent) and segment 1 */
    RECOVERY_IN_PLACE,   /* sync wal/, then go on in a new sector behind p */
    RECOVERY_ROLL,       /* roll with reason RECOVERY: stated end = H, copy H+1 .. p */
    RECOVERY_REFUSE,     /* a writable open fails; reading works up to p */
};

const char *recovery_action_name(enum recovery_action action); /* "create" ... */

/* A row fits if for each fact the bit (1 << value) is set in its mask. The first one decides. */
struct recovery_row {
    struct recovery_facts accepts; /* the masks */
    uint8_t verdict, action;
    const char *text; /* the row in words, as in docs/recovery.md */
};
/* Rows are numbered from 1. */
const struct recovery_row *recovery_table(size_t *count);
/* The number of the row that decides. Every combination of facts has one. */
unsigned recovery_decide(const struct recovery_facts *facts);

/* -- the examination -- */

/* What attested H, or what contradicts the log. */
enum recovery_source {
    RECOVERY_BY_NOTHING = 0,
    RECOVERY_BY_SECTOR,
    RECOVERY_BY_SLOT,
    RECOVERY_BY_HEADER,
    RECOVERY_BY_SNAPSHOT,
};

/* A segment as found, in the order of numbers. Files are closed again. */
struct recovery_segment {
    uint32_t number;
    int error; /* 0; HPO_CORRUPT, HPO_UNSUPPORTED: its header; HPO_NOT_FOUND: a gap */
    enum format_copies copies;
    uint64_t file_size;
    struct segment_header header; /* valid if error is 0 */
};

struct recovery_options {
    const struct hpo_os *os;
    struct os_dir *store;
    const struct log_snapshot *snapshots; /* good by their own checksum, newest first */
    size_t snapshot_count;
    uint8_t boot_id[16]; /* ours */
    bool from_beginning; /* read every batch since LSN 1, whatever the snapshots say */
    /* A store in use: look no further than what is published. NULL: nobody writes. */
    const struct scan_limit
        *live; /* if it found damage and the published end has moved meanwhile: ask again */
    uint32_t live_epoch;
    /* Called for every batch read, in order, if not NULL; non-zero ends the examination with that
     * result. */
    int (*batch)(void *arg, const struct log_batch *batch, uint32_t segment, uint64_t offset);
    void *arg;
};

struct recovery {
    enum recovery_verdict verdict;
    enum recovery_action action;
    unsigned row;
    struct recovery_facts facts;
    bool read_only_features; /* unknown ro_compat bits: writing is HPO_UNSUPPORTED */

    struct format format; /* if facts.format is GOOD; else uuid as the headers say it */
    enum format_copies format_copies;
    struct attest attest;
    struct recovery_segment *segments;
    size_t segment_count;
    uint32_t epoch_max; /* highest seen in headers and slots */

    struct scan_limit limit;      /* p, its segment, the tail behind it with no sector open */
    struct log_position start;    /* where reading began: the stated end of some segment's header */
    struct log_position attested; /* H; its chain too if H <= p */
    enum recovery_source attested_by;
    char attested_path[48]; /* where, with attested_offset */
    uint64_t attested_offset;
    uint64_t snapshots_bad;  /* bit i: snapshots[i] contradicts the log, or lies beyond it */
    uint64_t after_count[5]; /* sectors after p's, by enum sector_class */

    struct error_detail damage; /* code 0: none; else file, offset, first LSN concerned */
    uint64_t damage_lsn_last;   /* last LSN known to be concerned; 0 if unknown */

    const struct hpo_os *os;
};

/*
 * Examine STORE (its directory is open). 0 with a verdict, whatever it is; negative only if the
 * system failed: HPO_IO, HPO_NOMEM, HPO_PERMISSION; or what options->batch returned. Release what
 * it fills, also after a failure.
 */
int recovery_examine(const struct recovery_options *options, struct recovery *out,
                     struct error_detail *error);
void recovery_release(struct recovery *recovery);

#endif

/*
 * fsck: checking a whole store. The public call is hpo_fsck (hpo.h); this is what its two files
 * share.
 *
 * The examination of the log is recovery's, with the same table; fsck adds the fold over every
 * batch, the snapshots, and what nobody else needs to look at: second copies, dead bytes, stray
 * names.
 */
#ifndef HPO_ENGINE_FSCK_H
#define HPO_ENGINE_FSCK_H

#include "hpo.h"
#include "recovery.h"
#include "snapshot.h"
#include "state.h"

/* A snapshot that is good by itself. */
struct fsck_snapshot {
    struct log_position at;
    uint8_t digest[16];
    char name[SNAPSHOT_NAME_SIZE];
};

struct fsck {
    const struct hpo_os *os;
    unsigned flags;
    void (*progress)(void *arg, uint64_t done, uint64_t total);
    void *progress_arg;
    void (*finding)(void *arg, const struct hpo_fsck_finding *finding);
    void *arg;
    struct hpo_fsck_result *result;
    struct error_detail *error;

    struct os_dir *store;
    uint8_t uuid[16];
    bool uuid_known;

    /* snapshots, newest first */
    struct fsck_snapshot *snapshots;
    struct log_snapshot *positions; /* the same, for recovery */
    size_t snapshot_count;

    /* a store that others write to */
    bool live;
    uint32_t live_epoch;
    struct scan_limit live_limit;

    /* the fold; NULL: none (yet) */
    struct state *state;
    bool fold_failed;
    struct error_detail fold_error; /* a batch that breaks a rule of the fold */
    uint64_t differing_snapshots;   /* bit i: the fold at its LSN has another digest */
    uint64_t batches;

    struct recovery found;
};

/* Report; counts in the result. `file` and the texts are copied by nobody: valid during the call.
 */
void fsck_report(struct fsck *fsck, enum hpo_fsck_severity severity, const char *code,
                 const char *file, uint64_t offset, uint64_t lsn_first, uint64_t lsn_last,
                 const char *means, const char *repair, const char *what, ...)
    __attribute__((format(printf, 10, 11)));

/* -- fsck_files.c -- */

/* Copies, slots, sizes, names; with every sector unless HPO_FSCK_QUICK. Negative if the system
 * failed. */
int fsck_look_at_files(struct fsck *fsck);

/* The highest LSN of which anything lies behind p in the newest segment, p itself if nothing does.
 */
int fsck_tail_last(struct fsck *fsck, uint64_t *out);

#endif

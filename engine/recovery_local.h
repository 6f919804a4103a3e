/*
 * recovery_local: what recovery.c (facts outside the log, decision) and recovery_walk.c (facts
 * inside it) share. Private to the two.
 */
#ifndef HPO_ENGINE_RECOVERY_LOCAL_H
#define HPO_ENGINE_RECOVERY_LOCAL_H

#include "recovery.h"
#include "sequences.h"

/* A batch that something outside the log remembers, by LSN and chain. */
struct claim {
    struct log_position at;
    enum recovery_source source;
    unsigned index; /* of the slot or snapshot */
    bool differs;
};

/* One examination under way. */
struct examination {
    const struct recovery_options *options;
    const struct hpo_os *os;
    struct recovery *out;
    struct error_detail *error;

    /* what lies around the log */
    struct os_dir *wal;
    uint8_t uuid[16];
    bool uuid_known;
    uint32_t *numbers; /* of the segment files, ascending */
    size_t number_count, number_room;
    size_t usable; /* leading segments that can be read one after the other */
    bool cut_off;  /* something follows the last usable segment, but cannot be used */
    struct claim *claims;
    size_t claim_count;

    /* the walk */
    struct sequences sequences;
    struct segment segment; /* the one that is being looked at */
    struct segment_scan walk;
    size_t reached;          /* index of the segment in which p lies */
    struct log_position p;   /* last batch that counts */
    struct scan_place place; /* behind it, in segment `reached` */
    bool sequence_broken;    /* the batch after p has a sequence that is not the next */

    /* damage by kind, the first of each; code 0: none */
    struct error_detail structure; /* FORMAT, names and headers */
    struct error_detail chain;     /* what contradicts the log */
    struct error_detail stop;      /* where p ends, and stop_reason why it is not further */
    const char *stop_reason;
    struct error_detail foreign; /* what no crash leaves */
};

#define NO_BOUND UINT64_MAX

/* Keep the first description of a kind of damage. */
#define DESCRIBE(detail, ...) \
    ((void)((detail)->code == 0 ? error_set(detail, HPO_CORRUPT, 0, __VA_ARGS__) : 0))

int recovery_no_memory(const struct examination *x);

/* Something attests that `lsn` was durable. */
void recovery_attest(struct examination *x, uint64_t lsn, enum recovery_source source,
                     const char *path, uint64_t offset);

/* How far what bears `epoch` can still attest: a later repair gave up what lies beyond its stated
 * end. With `any`, every later segment's stated end is such a limit. */
uint64_t recovery_attest_limit(const struct examination *x, uint32_t epoch, bool any);

/* Compare what is remembered of the batch at `at` with the log. */
void recovery_compare_claims(struct examination *x, const struct log_position *at);

/* Walk through the usable segments (at least one), find p and H, and fill facts, limit, start,
 * attested. */
int recovery_walk(struct examination *x);

#endif

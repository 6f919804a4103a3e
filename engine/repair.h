/*
 * repair: what may be done about damage. Never in place, nothing is deleted.
 *
 * So far one repair: giving up a damaged tail that nothing ever attested (CORRUPT_TAIL). It is a
 * roll with reason REPAIR: stated end = H, the batches H+1 .. p copied unchanged, everything behind
 * p left behind in the old segment, which gets a second name in quarantine/.
 *
 * Invariants
 *   Q1  Nothing at or below H is given up: the verdict is CORRUPT_TAIL, so p >= H.
 *   Q2  Until the new segment's name is durable the store is as before; then it is repaired.
 *   Q3  The new epoch is above every one seen, in headers, slots and quarantine.
 */
#ifndef HPO_ENGINE_REPAIR_H
#define HPO_ENGINE_REPAIR_H

#include "recovery.h"

struct repair_result {
    struct log_position end;   /* p: what the repaired log ends with */
    uint32_t segment;          /* the new one */
    uint64_t sectors_given_up; /* behind p, not zero; of those */
    uint64_t sectors_damaged;  /* foreign, and */
    uint64_t sectors_whole;    /* valid: parts of batches that cannot be reached */
    char quarantine[64]; /* the old segment's other name; empty: the file system has no links */
};

enum { REPAIR_NOTHING = 1 /* positive outcome: there is no such damage */ };

/*
 * Repair the tail of the store in that directory. Takes ADMIN and ALIVE for the time: HPO_BUSY if
 * anybody has the store open for writing. `snapshots` as for recovery_examine. Crash-safe (Q2).
 * HPO_NOSPACE, HPO_IO, HPO_PERMISSION; HPO_UNSUPPORTED with unknown ro_compat features.
 */
int repair_tail(const struct hpo_os *os, struct os_dir *store, const struct log_snapshot *snapshots,
                size_t snapshot_count, struct repair_result *out, struct error_detail *error);

#endif

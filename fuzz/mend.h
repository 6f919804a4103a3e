/*
 * mend: make checks, hashes and chains right again after bytes were changed, as docs/format.md has
 * them.
 *
 * Written from the document and not from the engine's writers, so that the two are compared as a
 * by-product: what is mended must verify. Fields that a check covers are left as the input has
 * them, except lengths that would end the walk.
 */
#ifndef HPO_FUZZ_MEND_H
#define HPO_FUZZ_MEND_H

#include "segment.h"

/* What is known about positions: chains of LSNs 0 .. MEND_LSNS - 1 of one log, newest wins. */
#define MEND_LSNS 1024u

struct mend {
    uint64_t chains[MEND_LSNS];
    bool known[MEND_LSNS];
};

void mend_start(struct mend *mend, const uint8_t uuid[16]);

/* Both copies of a FORMAT or header: the first one, hashed, twice. */
void mend_copies(uint8_t *bytes, size_t size, uint32_t number);

/* Sectors from `offset` of a segment on: `used` brought into its range, zeros behind it, batches
 * numbered and chained behind `at` (moved on), checks. Stops at the first zero sector. */
void mend_sectors(struct mend *mend, uint8_t *sectors, size_t size, uint64_t offset, uint64_t salt,
                  struct log_position *at);

/* A whole segment: stated end chained as known, then copies and sectors. */
void mend_segment(struct mend *mend, uint8_t *bytes, size_t size, uint32_t number);

/* Both slots of an attest file, chains as known. */
void mend_attest(const struct mend *mend, uint8_t *bytes, size_t size, const uint8_t uuid[16]);

#endif

/*
 * state_blob: an ended trial or a rolled-back attempt as one immutable block of canonical bytes.
 *
 * A header, then arrays of fixed-size entries, then a heap with notes, keys and values, padded to
 * 8: ready to be read where it lies, in memory or in a snapshot's map. Unfinished trials have the
 * same form in snapshots and digests. Bytes: docs/format.md, "A trial's block".
 *
 * Invariants
 *   T1  One trial, one block: equal trials have equal bytes. The heap has no gaps, overlaps or
 *       leftovers; its order is note, notes of decisions, key and value of each attribute.
 *   T2  A block that blob_verify accepted can be read without a further look at bounds.
 *   T3  Blocks lie on addresses that are multiples of 8. The machine is little-endian (checked
 *       when compiling).
 */
#ifndef HPO_ENGINE_STATE_BLOB_H
#define HPO_ENGINE_STATE_BLOB_H

#include "state.h"

#define BLOB_HEADER_SIZE 136u

/* Bytes of the trial's block; its arrays and heap may be in any order and have gaps. */
size_t blob_size(const struct state_trial *trial);
/* Write it, blob_size bytes. */
void blob_encode(uint8_t *to, const struct state_trial *trial);

/* Whether the bytes are one block, whole and canonical (T1, T2). Knows nothing about the study. */
bool blob_verify(const uint8_t *bytes, size_t size);

/* A verified block as a trial; pointers go into the block. */
void blob_read(const uint8_t *block, struct state_trial *out);

/* Single fields of a verified block, for searching. */
uint32_t blob_bytes(const uint8_t *block); /* the whole size */
uint64_t blob_id(const uint8_t *block);
uint64_t blob_number(const uint8_t *block);
uint64_t blob_begin_lsn(const uint8_t *block);
uint64_t blob_end_lsn(const uint8_t *block);

/* Whether an ended trial ran here at all: not one that was imported as finished. */
static inline bool blob_was_begun(const struct state_trial *trial)
{
    return trial->begin_lsn != 0 && !(trial->imported && trial->begin_lsn == trial->end_lsn);
}

#endif

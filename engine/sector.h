/*
 * sector: 512 bytes of a segment that check themselves and attest what was durable before them.
 *
 *     0 check u32 | 4 used u16 | 6 first u8 | 7 mask u8 | 8 durable u64 | 16 payload, 496 bytes
 *
 * check = low half of XXH3-64(bytes 4..511 as stored, seed = salt of the segment + offset of the
 * sector in the file). Bytes from 8 on are stored XOR mask up to the end of what is used, zero
 * behind it. The payloads of consecutive sectors form the stream of batches. Why the mask:
 * docs/format.md, "Torn or corrupt".
 *
 * Invariants
 *   X1  A sector goes from zero to its content and the content only grows; mask and durable stay.
 *   X2  As stored, the two header words and every payload word in use have at least two non-zero
 *       bytes.
 *   X3  used is a multiple of 8 in [8, 496]; used < 496 only where a batch ends.
 *   X4  Once sealed (before a flush) a sector is never written again.
 */
#ifndef HPO_ENGINE_SECTOR_H
#define HPO_ENGINE_SECTOR_H

#include "batch.h"

#define SECTOR_SIZE 512u
#define SECTOR_HEADER_SIZE 16u
#define SECTOR_PAYLOAD_SIZE (SECTOR_SIZE - SECTOR_HEADER_SIZE)
#define SECTOR_FIRST_NONE 0xFFu

enum sector_class {
    SECTOR_ZERO = 0, /* never written, as far as can be seen */
    SECTOR_VALID,    /* verifies, for this place and this segment */
    SECTOR_OUTRUN,   /* verifies with the words behind `used` taken as zero: an older word 0 and
                        newer words behind (only after a reboot). Counts; nothing after it does */
    SECTOR_TORN,     /* some words did not arrive (only after a reboot) */
    SECTOR_FOREIGN,  /* anything else: damage */
};

/* What the sector stored at `offset` of the segment with that salt is. other_boot: it was written
 * in another life of the machine, so words may be missing; without a reboot nothing is ever torn.
 */
enum sector_class sector_classify(const uint8_t stored[SECTOR_SIZE], uint64_t salt, uint64_t offset,
                                  bool other_boot);

/* Fields of a sector that was classified VALID or OUTRUN. */
uint32_t sector_used(const uint8_t stored[SECTOR_SIZE]);
/* Where the first batch that starts here does: payload offset / 8, or SECTOR_FIRST_NONE. */
uint32_t sector_first(const uint8_t stored[SECTOR_SIZE]);
uint64_t sector_durable(const uint8_t stored[SECTOR_SIZE]);
/* Unmask the payload from byte `begin` of it up to `used`; the count. */
size_t sector_payload(const uint8_t stored[SECTOR_SIZE], uint32_t begin, uint8_t *to);

/*
 * The end of a stream that is being written. Plain bytes: it may lie in shared memory and be
 * copied.
 */
struct sector_tail {
    uint64_t offset;            /* of the open sector; if none is open, of the next one */
    uint32_t used;              /* payload bytes in the open sector; 0: none is open */
    uint32_t reserved;          /* 0 */
    uint8_t image[SECTOR_SIZE]; /* the open sector as stored; meaningless if used is 0 */
};

/* The next batch will begin a new sector. Do this under APPEND before a flush (X4). */
void sector_seal(struct sector_tail *tail);

/* Memory in which writes are laid out: address and file offset agree modulo 4096. Zero-initialised
 * = empty; one per handle; grows to what the largest write needed. */
struct sector_buffer {
    uint8_t *memory;
    size_t size;
};
void sector_buffer_release(const struct hpo_os *os, struct sector_buffer *buffer);

/* One pwrite: whole sectors, one range. `bytes` lies in the buffer and is valid until it is used
 * again. */
struct sector_write {
    const uint8_t *bytes;
    size_t size;
    uint64_t offset;
    struct sector_tail tail; /* the end once this is written */
};

enum { SECTOR_FULL = 32 }; /* positive outcome of sector_append */

/*
 * Lay out the write that appends one batch at `tail`. Writes nothing and changes no argument but
 * buffer and out. `durable` is what sectors begun here attest; the open sector keeps its own and
 * its mask, or stays as it is and a new one begins if the batch's words do not go with that mask.
 * Sectors beyond segment_bytes are not used: SECTOR_FULL. HPO_NOMEM.
 */
int sector_append(const struct hpo_os *os, struct sector_buffer *buffer,
                  const struct sector_tail *tail, uint64_t salt, uint64_t segment_bytes,
                  uint64_t durable, const uint8_t header[BATCH_HEADER_SIZE], const uint8_t *records,
                  size_t records_size, struct sector_write *out);

/* Bytes of whole sectors that a stream of `size` bytes needs if it begins a new sector. */
uint64_t sector_bytes_for(uint64_t size);

#endif

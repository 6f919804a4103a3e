/*
 * batch: the unit of atomicity of the log, and its chain.
 *
 *      0 lsn u64 | 8 session u64 | 16 length u32 | 20 sequence u32 | 24 record count u16 |
 *     26 flags u16 (0) | 28 zero u32 | 32 chain u64 | 40 records, padded to 8
 *
 * The same bytes go to every log device. `chain` is XXH3-64 over bytes 0..31 and the records,
 * seeded with the chain of the batch before; so one number stands for the whole history up to a
 * batch.
 *
 * Invariants
 *   B1  lsn = lsn of the batch before + 1; the first is 1.
 *   B2  session = lsn exactly when sequence = 1 (the batch of SESSION_OPEN); else session < lsn.
 *   B3  length counts header, records and padding: a multiple of 8, in [BATCH_HEADER_SIZE,
 *       BATCH_SIZE_MAX].
 *   B4  Within a session the sequence goes 1, 2, 3 ... (checked by recovery and fsck, not here).
 */
#ifndef HPO_ENGINE_BATCH_H
#define HPO_ENGINE_BATCH_H

#include "log.h"

#define BATCH_HEADER_SIZE 40u
#define BATCH_SIZE_MAX (4u << 20)
#define BATCH_RECORDS_MAX (BATCH_SIZE_MAX - BATCH_HEADER_SIZE)

struct batch_header {
    uint64_t lsn;
    uint64_t session;
    uint32_t length; /* of the whole batch */
    uint32_t sequence;
    uint16_t record_count;
    uint16_t flags;
    uint64_t chain;
};

/* chain(0) of a store: what its first batch is chained to. */
uint64_t batch_chain_start(const uint8_t uuid[16]);

/*
 * Write the header of a batch that follows `previous` and carries `records`. header->lsn, length
 * and chain are computed here; session 0 means that this batch opens a session (its own LSN,
 * sequence 1). HPO_INVALID if a rule B1..B3 would be broken or records_size is not a multiple of 8,
 * HPO_TOO_LARGE above BATCH_SIZE_MAX.
 */
int batch_header_encode(uint8_t to[BATCH_HEADER_SIZE], struct batch_header *header,
                        const struct log_position *previous, const uint8_t *records,
                        size_t records_size);

/* Read the header's fields. false if it breaks a rule by itself (B2, B3, non-zero reserved fields):
 * no reader may believe `length` then. Says nothing about chain or LSN. */
bool batch_header_decode(const uint8_t from[BATCH_HEADER_SIZE], struct batch_header *out);

enum batch_verdict {
    BATCH_GOOD = 0,
    BATCH_SHORT,      /* fewer bytes than header and length ask for */
    BATCH_BAD_HEADER, /* fields that no writer writes */
    BATCH_BAD_LSN,    /* well formed, but not the one after `previous` */
    BATCH_BAD_CHAIN,  /* bytes differ from what was chained, or it follows something else */
};

/* Verify that the bytes begin with the whole batch that follows `previous`, and describe it. `out`
 * (set only if GOOD) borrows from the bytes. */
enum batch_verdict batch_verify(const uint8_t *bytes, size_t size,
                                const struct log_position *previous, struct log_batch *out);

/* Whether up to `size` bytes can be the beginning of a batch with the LSN after `previous` that has
 * more bytes than these: what a process that died inside its append leaves. */
bool batch_begins(const uint8_t *bytes, size_t size, const struct log_position *previous);

#endif

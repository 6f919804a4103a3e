/*
 * log_fixture: a real store in a temporary directory, made of batches by hand.
 *
 * It uses the functions of segment, sector and attest in the order in which wal.c does, without
 * locks and shared page, so that a test can stop anywhere and damage anything. Each failure of the
 * fixture itself ends the test.
 */
#ifndef HPO_TESTS_LOG_FIXTURE_H
#define HPO_TESTS_LOG_FIXTURE_H

#include "recovery.h"

struct fixture {
    const struct hpo_os *os;
    char path[512];
    struct os_dir *store;
    struct os_dir *wal;
    uint8_t uuid[16];
    uint8_t boot[16];
    uint64_t segment_bytes;
    struct segment segment; /* the newest */
    struct sector_tail tail;
    struct sector_buffer buffer;
    struct log_position at;      /* last batch */
    struct log_position durable; /* last batch that a flush covered */
    uint32_t sequence;           /* last of session 1 */
    struct attest attest;
};

/* FORMAT, wal/, segment 1 of `segment_bytes`, attest {0, epoch 1}. */
void fixture_new(struct fixture *fixture, uint64_t segment_bytes);
/* Removes the directory. */
void fixture_free(struct fixture *fixture);

/* Append a batch with records_size bytes (a multiple of 8) that depend on its LSN. SECTOR_FULL:
 * rolls first (reason FULL). The batch's file offset, of its first sector. */
uint64_t fixture_append(struct fixture *fixture, size_t records_size);
/* What a flush does: seal, sync; all that was appended is durable now. */
void fixture_flush(struct fixture *fixture);
/* Write the next attest slot. */
void fixture_attest(struct fixture *fixture);
/* The records of batch `lsn` as fixture_append made them. */
void fixture_records(uint64_t lsn, uint8_t *to, size_t size);

/* A roll: stated end `end`, then the batches after it up to `last` copied from the newest segment.
 * Writes no attest slot. */
void fixture_roll(struct fixture *fixture, enum segment_reason reason,
                  const struct log_position *end, uint64_t last);
/* A roll as wal.c does it: from the durable LSN, everything, and a slot. */
void fixture_roll_all(struct fixture *fixture, enum segment_reason reason);

/* Examine; boot_differs: as another boot of the machine would. Release `out` by recovery_release.
 */
void fixture_examine(const struct fixture *fixture, bool boot_differs, struct recovery *out);

/* Bytes of files, by name relative to the store. */
size_t fixture_size(const struct fixture *fixture, const char *name);
void fixture_read(const struct fixture *fixture, const char *name, uint64_t offset, void *to,
                  size_t size);
void fixture_write(const struct fixture *fixture, const char *name, uint64_t offset,
                   const void *from, size_t size);
void fixture_flip(const struct fixture *fixture, const char *name, uint64_t offset, unsigned bit);
void fixture_truncate(const struct fixture *fixture, const char *name, uint64_t size);
void fixture_rename(const struct fixture *fixture, const char *from, const char *to);
void fixture_unlink(const struct fixture *fixture, const char *name);

#endif

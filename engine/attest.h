/*
 * attest: two 512-byte slots that remember how far the log was durable.
 *
 * After a flush the leader writes {durable LSN, chain, epoch} into the slot that was not used last;
 * nobody waits for that write. It is synced only after a roll and at close. So the file trails the
 * truth and never leads it, and a lost, stale or torn slot costs nothing but the certainty it would
 * have given: damage to what a slot attests is told apart from an ordinary torn tail.
 *
 * Invariants
 *   A1  A slot is written only after the flush that makes its LSN durable returned 0, or by a roll
 *       once its segment's name is durable.
 *   A2  Epoch 1, LSN 0 is written when the store is created: a slot whose epoch is above every
 *       header's means that a segment is missing, even if no batch was ever written.
 */
#ifndef HPO_ENGINE_ATTEST_H
#define HPO_ENGINE_ATTEST_H

#include "error.h"
#include "log.h"

#define ATTEST_SLOT_SIZE 512u
#define ATTEST_SIZE (2u * ATTEST_SLOT_SIZE)

enum attest_state {
    ATTEST_ABSENT = 0, /* no file, or all zero: never written */
    ATTEST_GOOD,
    ATTEST_BAD, /* does not verify: damaged, or torn by a power loss */
};

struct attest_slot {
    enum attest_state state;
    struct log_position at;
    uint32_t epoch;
};

struct attest {
    struct attest_slot slot[2];
};

void attest_encode(const struct attest_slot *slot, const uint8_t uuid[16], unsigned index,
                   uint8_t to[ATTEST_SLOT_SIZE]);
void attest_decode(const uint8_t from[ATTEST_SLOT_SIZE], const uint8_t uuid[16], unsigned index,
                   struct attest_slot *out);

/* Read STORE/attest. A missing or short file is no error: its slots are ABSENT. HPO_IO and others
 * from the system. */
int attest_read(const struct hpo_os *os, struct os_dir *store, const uint8_t uuid[16],
                struct attest *out, struct error_detail *error);

/* The slot to write next: the one that holds less, by (epoch, LSN). */
unsigned attest_next(const struct attest *attest);

/* Write one slot to the open file (OS_ROLE_ATTEST); not synced. */
int attest_write(const struct hpo_os *os, struct os_file *file, const uint8_t uuid[16],
                 unsigned index, const struct attest_slot *slot, struct error_detail *error);

#endif

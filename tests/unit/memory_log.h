/*
 * memory_log: log.h without a file. It stands in for wal when a test is linked with it, which shows
 * that nothing above log.h knows what a log is made of, and lets a test lose batches, sessions and
 * flushes exactly when it wants to.
 *
 * A log is a name. Every handle that opens the name sees the same batches, as processes would.
 */
#ifndef HPO_TESTS_MEMORY_LOG_H
#define HPO_TESTS_MEMORY_LOG_H

#include "log.h"

/* Forget all logs; every handle must be closed, or is leaked on purpose (a dead process). */
void memory_log_reset(void);

/* The next waits for durability find that the flush failed: all but the first `kept` of the batches
 * that were not durable are gone. As after a roll, whoever was copied is durable. */
void memory_log_lose(const char *name, uint64_t kept);

/* The next wait cannot be told: HPO_UNKNOWN, and every handle is read-only from then on. */
void memory_log_break(const char *name);

/* The session slot is free: its process has died. */
void memory_log_free_slot(const char *name, uint32_t slot);

/* No space for anything but what finishes (1), for nothing (2), for all (0). */
void memory_log_space(const char *name, int full);

uint64_t memory_log_lsn(const char *name);
/* The records of batch `lsn`, borrowed. */
void memory_log_batch(const char *name, uint64_t lsn, const uint8_t **records, size_t *size);
/* Put other records into batch `lsn` and chain everything anew. */
void memory_log_replace(const char *name, uint64_t lsn, const uint8_t *records, size_t size,
                        uint16_t count);

#endif

/*
 * log: what the engine needs from a device that keeps batches in order.
 *
 * A log is a sequence of batches numbered 1, 2, 3 ... (LSN). Each carries the session that wrote
 * it, that session's own sequence number, its records, and a chain hash over everything before it.
 * The fold (state.h), the store and the samplers know the log only through this interface; nothing
 * above it knows about files, segments or positions. wal.c is the local implementation; a table in
 * PostgreSQL could be another: an LSN is a number on every device and the bytes of a batch are the
 * same (batch.h).
 *
 * Invariants
 *   L1  A batch, once durable, is returned by every later read with the same bytes, LSN and chain.
 *   L2  Reads never return part of a batch, nor a batch whose predecessor they did not return.
 *   L3  Appended but not yet durable batches are visible to every reader, in this process and
 * others. They may vanish (power loss, failed flush). Whoever folded them learns it by chain:
 * LOG_DIVERGED. L4  Between log_lock and log_unlock no one else appends.
 *
 * Threads: a log may be used by many threads; log_lock/unlock pairs belong to one thread. Errors
 * are enum hpo_error; the detail (path, offset, LSN, errno) is the failing thread's error_here().
 */
#ifndef HPO_ENGINE_LOG_H
#define HPO_ENGINE_LOG_H

#include "os.h"

/* A place in the log: everything up to and including `lsn`; `chain` is that batch's chain hash.
 * {0, XXH3-64(store uuid)} is the beginning. Two positions are the same only if both fields are
 * equal: after a failed flush or a power loss LSNs are used again, chains never. */
struct log_position {
    uint64_t lsn;
    uint64_t chain;
};

/* A batch as read. `records` is the encoded records with padding, verified by the chain; borrowed,
 * valid during the callback only. */
struct log_batch {
    struct log_position at; /* its own LSN and chain */
    uint64_t
        session; /* LSN of the SESSION_OPEN that began the session; its own LSN for that batch */
    uint32_t sequence; /* 1, 2, 3 ... within the session */
    uint16_t record_count;
    uint16_t flags;
    const uint8_t *records;
    size_t records_size;
};

/* Called per batch in LSN order; a non-zero result ends the read and is returned by it. */
typedef int (*log_batch_fn)(void *arg, const struct log_batch *batch);

/* What log_append hands out and log_wait waits for. */
struct log_ticket {
    struct log_position at;
    uint64_t session;
    uint32_t sequence;
    uint32_t
        epoch; /* private to the implementation: the incarnation of the log it was appended in */
};

/* Positive outcomes besides 0. */
enum { LOG_DIVERGED = 16 /* the position asked for is not in the log (any more): fold anew */ };

struct error_detail; /* error.h */

/* A snapshot known to the caller, good by its own checksum; attests that its LSN was durable.
 * Newest first. */
struct log_snapshot {
    struct log_position at;
};

struct log_options {
    const struct hpo_os *os;
    bool read_only; /* takes no lock that others wait for, writes nothing, works up to damage */
    bool create;    /* make the store if the directory is absent or empty */
    bool allow_fuse;
    bool relaxed; /* log_wait returns at once: survives SIGKILL, not power loss */
    bool no_wait; /* HPO_BUSY instead of waiting for another process that recovers the store */
    /* Bytes; 0: 256 KiB and 16 MiB. Tests use small ones. */
    uint64_t segment_size_first, segment_size_max;
    /* Where a scan may begin, and what must be there; may be NULL. */
    const struct log_snapshot *snapshots;
    size_t snapshot_count;
    struct error_detail *error; /* a copy of details goes here, too; for programs of one thread */
};

struct log;

/*
 * Open the log in store directory `path`; with `create`, make it durable (FORMAT, directories,
 * first segment) before returning. Runs recovery if nobody else has the store open: after it the
 * log is writable or the call has failed with HPO_CORRUPT and a detail naming file, offset and LSN.
 * With read_only, damage is not an error of open: log_damage tells, reading works up to it.
 */
int log_open(const char *path, const struct log_options *options, struct log **out);

/* The uuid of the store in that directory, without opening it. HPO_NOT_FOUND: there is none yet. */
int log_identify(const struct hpo_os *os, const char *path, uint8_t out[16]);

/* Seal and flush what was appended if this is the last writer out, note it in `attest`, free locks.
 * Never fails: what was acknowledged is durable already. NULL is harmless. */
void log_close(struct log *log);

/* The store's uuid. */
void log_uuid(const struct log *log, uint8_t out[16]);

/* Newest published batch, without a system call and without a lock. */
struct log_position log_end(struct log *log);

/* Newest batch known to be durable. LSN may lie behind the truth, never ahead of it. */
uint64_t log_durable(struct log *log);

/* Read all batches after `from` up to the published end. `from` must be a position of this log (0:
 * the beginning, or the position of one of the snapshots given at open, or any position read or
 * appended before), else LOG_DIVERGED. With nothing new: no system call. */
int log_read(struct log *log, const struct log_position *from, log_batch_fn fn, void *arg);

/* Take the tail: the caller may now catch up with log_read and append. Rolls first if the one
 * before died inside an append or a flush failed. HPO_READONLY on a read-only handle, HPO_UNKNOWN
 * if the log can take nothing more. */
int log_lock(struct log *log);
void log_unlock(struct log *log);

/* Append one batch. Caller holds log_lock and has folded everything up to log_end (sequence is the
 * session's last sequence in the log + 1; session 0 means: this batch is the SESSION_OPEN, its
 * session is its own LSN). records: encoded records, padded to 8, at most BATCH_SIZE_MAX with the
 * header, else HPO_TOO_LARGE. On success the batch is visible to all, not yet durable. HPO_NOSPACE:
 * nothing was appended. `last_reserve` says that the batch may use the reserve kept for a full disk
 * (finishing trials may, beginning ones may not). */
int log_append(struct log *log, uint64_t session, uint32_t sequence, const uint8_t *records,
               size_t size, uint16_t record_count, bool last_reserve, struct log_ticket *out);

/* Wait until the ticket's batch is durable; whoever gets there first flushes for all. Caller does
 * not hold log_lock. 0: durable. HPO_NOT_WRITTEN: a flush failed and the batch is not in the log.
 * HPO_UNKNOWN: it cannot be told; the handle is read-only from now on. */
int log_wait(struct log *log, const struct log_ticket *ticket);

/* Everything published so far durable (the caller's and others'). */
int log_sync(struct log *log);

/* -- sessions: who is writing, and is it alive -- */

/* Take a free slot for the life of the returned session; the slot's lock is the proof of life. Its
 * own open description, closed in forked children. */
struct log_session;
int log_session_claim(struct log *log, struct log_session **out, uint32_t *slot);
void log_session_release(struct log *log, struct log_session *session);
/* 1 alive, 0 dead (the slot is free). No timers, no process ids. */
int log_session_alive(struct log *log, uint32_t slot);

/* -- snapshots: one process at a time builds one -- */

/* 0: nobody else builds a snapshot until log_snapshot_free. HPO_BUSY: somebody does. */
int log_snapshot_try(struct log *log);
void log_snapshot_free(struct log *log);

/* What the log found at open, and what it has counted: for stat and fsck. See wal.h for the fields.
 */
struct wal_stat;
void log_stat(struct log *log, struct wal_stat *out);

/* 0 if the log is sound as far as it was read; else HPO_CORRUPT with the detail of the damage
 * (read-only handles). */
int log_damage(struct log *log);

#endif

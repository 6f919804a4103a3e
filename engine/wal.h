/*
 * wal: the local log, a sequence of segments in one directory, shared by processes. It implements
 * log.h; nobody above knows more of it than this file: what it has counted.
 *
 * Its parts: wal.c the tail (lock, append), commit.c waiting for the disk together, roll.c one way
 * to a new segment, prepare.c zeroed files ahead of need, wal_open.c open, recover, close,
 * wal_read.c reading, session_slot.c who is alive, shm.c and locks.c what processes share. Rules:
 * docs/format.md.
 */
#ifndef HPO_ENGINE_WAL_H
#define HPO_ENGINE_WAL_H

#include "log.h"
#include "shm.h"

/* Plain numbers. Counters: since the first opener built shm, over all processes; zero for a handle
 * that only reads and found nobody alive. Histograms: bucket i counts values v with 2^i <= v <
 * 2^(i+1), bucket 0 also 0. */
struct wal_stat {
    struct log_position end;
    uint64_t durable; /* LSN */
    uint32_t epoch, segment;
    uint64_t segments, log_bytes,
        log_bytes_used; /* files, their sizes, without the zeros behind their last sectors */
    uint64_t zero_files, zero_file_bytes; /* waiting to become segments */
    struct os_fs fs;
    bool alive;     /* some read-write handle has the store open (this one included) */
    bool relaxed;   /* this handle acknowledges without waiting for the disk */
    bool space_low; /* beyond the reserve no zeroed file can be made: trials in progress may finish,
                       none may begin */
    bool reserve_spent; /* the reserve is gone, too */
    bool recovered;     /* this handle was the first opener */
    uint8_t verdict;    /* enum recovery_verdict that this handle found at open, 0 if it joined */
    uint64_t counters[SHM_COUNTERS];                  /* by enum shm_counter */
    uint64_t histograms[SHM_HISTOGRAMS][SHM_BUCKETS]; /* by enum shm_histogram */
};

#endif

/*
 * segment: one file of the log: a header of 4096 bytes, then sectors.
 *
 * A segment is born whole: a file of zeros, synced, under a temporary name; then header and copied
 * batches, synced; then its name. It is appended to, and never recycled, reset or shortened. Bytes:
 * docs/format.md.
 *
 * Invariants
 *   S1  Numbers count 1, 2, 3 ... without gap; the header repeats the number in the name.
 *   S2  first_lsn = end.lsn + 1, where `end` is the last batch before this segment that counts.
 *       What the predecessor holds after `end` is dead.
 *   S3  A segment's zeros are synced before it gets a header, its header and copied batches before
 *       it gets its name, its name before its first new batch is acknowledged.
 *   S4  A zeroed file is used once: it becomes <random>.new before its first byte is written.
 *
 * The steps of a roll, and who does them: wal.c holds APPEND, decides about `end` and what is
 * copied, and calls segment_zero_create (ahead of need, under PREPARE), segment_begin,
 * segment_append_batch per copied batch, segment_commit; then it publishes, and writes and syncs
 * `attest`. On failure before segment_commit: segment_abandon.
 */
#ifndef HPO_ENGINE_SEGMENT_H
#define HPO_ENGINE_SEGMENT_H

#include "format.h"
#include "sector.h"

#define SEGMENT_HEADER_SIZE 4096u
#define SEGMENT_NAME_SIZE 32u /* "00000001.wal", "0123456789abcdef.zero" and a zero byte */
#define SEGMENT_BYTES_MIN (SEGMENT_HEADER_SIZE + 4096u)
#define SEGMENT_BYTES_MAX (1ull << 32)

enum segment_reason {
    SEGMENT_REASON_FIRST = 1,
    SEGMENT_REASON_FULL,
    SEGMENT_REASON_RECOVERY,
    SEGMENT_REASON_SYNC_FAILED,
    SEGMENT_REASON_TAKEOVER,
    SEGMENT_REASON_REPAIR,
};
const char *segment_reason_name(uint32_t reason); /* "FIRST" ...; "?" if unknown */

struct segment_header {
    struct format_features features;
    uint8_t uuid[16];
    uint32_t number;
    uint32_t epoch;
    uint64_t salt;
    uint64_t first_lsn;
    struct log_position end; /* of the predecessor: its last batch that counts */
    uint64_t bytes;          /* of the whole file */
    uint32_t reason;
    uint8_t boot_id[16];
    int64_t created_us;
};

void segment_header_encode(const struct segment_header *header, uint8_t to[SEGMENT_HEADER_SIZE]);
/* `out` is set unless COPIES_NONE. Verifies hashes (seeded with `number`) and that the fields make
 * sense (S1, S2, sizes); not access, not uuid. */
enum format_copies segment_header_decode(const uint8_t *bytes, size_t size, uint32_t number,
                                         struct segment_header *out);

void segment_file_name(uint32_t number, char to[SEGMENT_NAME_SIZE]);
/* The number in a segment's file name, 0 if it is not one. */
uint32_t segment_file_number(const char *name);

/* An open segment. */
struct segment {
    struct os_file *file;
    struct segment_header header;
    enum format_copies copies;
    uint64_t file_size; /* as found; below header.bytes: SHORT_SEGMENT, zeros behind its end */
    char path[SEGMENT_NAME_SIZE + 8]; /* "wal/00000001.wal", for error details */
};

/*
 * Open a segment and read its header. HPO_NOT_FOUND; HPO_CORRUPT if neither copy of the header
 * verifies or it belongs to another store (uuid; NULL: any) or bears another number;
 * HPO_UNSUPPORTED by format_access; HPO_PERMISSION, HPO_IO. Details in `error` (may be NULL).
 */
int segment_open(const struct hpo_os *os, struct os_dir *wal, uint32_t number,
                 const uint8_t uuid[16], bool writable, struct segment *out,
                 struct error_detail *error);
/* Close the file; a segment whose file is NULL is harmless. */
void segment_close(const struct hpo_os *os, struct segment *segment);

/* Make `<random>.zero`: `bytes` zeros, written and synced under another name (`.new`) before they
 * get this one, so whoever finds it may take it. HPO_NOSPACE leaves nothing behind. */
int segment_zero_create(const struct hpo_os *os, struct os_dir *wal, uint64_t bytes,
                        char name[SEGMENT_NAME_SIZE], struct error_detail *error);

/*
 * Take the zeroed file `zero` (its size must be header->bytes), rename it to `<random>.new`
 * (returned in `temporary`) and write the header. header->salt is chosen here, at random. Nothing
 * is synced. On failure the file is removed.
 */
int segment_begin(const struct hpo_os *os, struct os_dir *wal, const char *zero,
                  const struct segment_header *header, struct segment *out,
                  char temporary[SEGMENT_NAME_SIZE], struct error_detail *error);

/* Append one whole batch as it was read (header and chain are made again from `previous`, and must
 * come out the same, else HPO_CORRUPT) and write it at *tail, which is moved on. SECTOR_FULL as
 * sector_append. */
int segment_append_batch(const struct hpo_os *os, const struct segment *segment,
                         struct sector_buffer *buffer, struct sector_tail *tail, uint64_t durable,
                         const struct log_position *previous, const struct log_batch *batch,
                         struct error_detail *error);

/*
 * Sync the file, rename `temporary` to the segment's own name, sync the directory. *renamed says
 * whether the rename may have happened: from then on a failure must not be followed by an append to
 * the predecessor.
 */
int segment_commit(const struct hpo_os *os, struct os_dir *wal, const struct segment *segment,
                   const char *temporary, bool *renamed, struct error_detail *error);

/* Close and remove a segment that did not get its name. */
void segment_abandon(const struct hpo_os *os, struct os_dir *wal, struct segment *segment,
                     const char *temporary);

/* pwrite until all is written: short writes and -EINTR are gone on with, anything else is an error.
 * What is in the file after an error is unknown up to write->offset + size. */
int segment_write(const struct hpo_os *os, const struct segment *segment,
                  const struct sector_write *write, struct error_detail *error);

/* Where the first sector lies; the tail of an empty segment. */
void segment_tail_start(struct sector_tail *tail);

/* File size for a segment that must hold a stream of `stream_bytes`, at least `wanted`: whole
 * 4096s. */
uint64_t segment_bytes_for(uint64_t wanted, uint64_t stream_bytes);

/* Remove left-over `.new` and `.zero` files. The caller is alone. */
int segment_sweep(const struct hpo_os *os, struct os_dir *wal, struct error_detail *error);

/* Give back whole zero blocks behind `offset` (a hint; every failure is ignored). */
void segment_punch(const struct hpo_os *os, const struct segment *segment, uint64_t offset);

#endif

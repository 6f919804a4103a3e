/*
 * snapshot: a state as an immutable LMDB file, so that opening does not replay everything.
 *
 * snap/<lsn, 16 hex>-<XXH3-128 of the file, 32 hex>.mdb: built under a temporary name, synced,
 * hashed, renamed, never touched again. A reader hashes the whole file against its name before it
 * lets LMDB look at it, then walks it once: every block is checked, ended trials stay where they
 * are in the map. A snapshot is a cache: bad, missing or deleted merely means replay. Format:
 * docs/format.md, "Snapshots".
 *
 * Invariants
 *   N1  A file under its final name is whole and synced, and so is its name.
 *   N2  A snapshot speaks of one LSN that was durable when it was built, and carries that LSN, its
 *       chain, the store's uuid and the state's digest; all four are compared.
 *   N3  No byte of a snapshot is believed before the file's hash, nor used as offset or count
 *       before it is checked.
 */
#ifndef HPO_ENGINE_SNAPSHOT_H
#define HPO_ENGINE_SNAPSHOT_H

#include "error.h"
#include "log.h"
#include "os.h"
#include "state.h"

#define SNAPSHOT_NAME_SIZE 54 /* 16 + 1 + 32 + 4 characters and the end */
#define SNAPSHOT_GENERATIONS 2

struct snapshot_entry {
    uint64_t lsn;
    uint8_t hash[16]; /* as in the name */
    uint64_t bytes;   /* file size */
    char name[SNAPSHOT_NAME_SIZE];
};

/* Files of a snapshot directory by name alone, newest first. Zero-initialise with the os. */
struct snapshot_list {
    const struct hpo_os *os;
    struct snapshot_entry *entries;
    size_t count, capacity;
};
int snapshot_list_read(struct snapshot_list *list, struct os_dir *dir, struct error_detail *error);
void snapshot_list_release(struct snapshot_list *list);

/*
 * Read one snapshot. 0: *out is the state at entry->lsn, owned by the caller; it keeps the file
 * mapped until freed, whether or not the name is removed meanwhile. HPO_CORRUPT: damaged or not of
 * this store, detail says how (caller may quarantine it); HPO_UNSUPPORTED: written by another
 * version of LMDB or of libhpo, leave it; HPO_NOT_FOUND, HPO_IO, HPO_NOMEM.
 */
int snapshot_open(const struct hpo_os *os, struct os_dir *dir, const struct snapshot_entry *entry,
                  const uint8_t uuid[16], struct state **out, struct error_detail *error);

/* Called for each snapshot that was passed over because it is bad: its code and detail. */
typedef void (*snapshot_bad_fn)(void *arg, const struct snapshot_entry *entry, int code,
                                const struct error_detail *error);

/*
 * Read the newest good snapshot with lsn <= at_most (UINT64_MAX: any). 0: *out and *entry (may be
 * NULL) are set; position and chain: state_position(*out). HPO_NOT_FOUND: none; fold from the
 * beginning. HPO_NOMEM, HPO_IO (the directory cannot be read).
 */
int snapshot_open_newest(const struct hpo_os *os, struct os_dir *dir, const uint8_t uuid[16],
                         uint64_t at_most, snapshot_bad_fn bad, void *arg, struct state **out,
                         struct snapshot_entry *entry, struct error_detail *error);

/*
 * Write the state as a snapshot. The caller holds SNAPSHOT and knows that state_position is
 * durable. On 0 the file has its final name, durably; *out (may be NULL) describes it. On error
 * nothing of it remains under a name that counts. HPO_NOSPACE, HPO_IO, HPO_NOMEM.
 */
int snapshot_write(const struct hpo_os *os, struct os_dir *dir, struct state *state,
                   struct snapshot_entry *out, struct error_detail *error);

/* Remove all but the newest SNAPSHOT_GENERATIONS snapshots, and what a writer that died left
 * behind. Caller holds SNAPSHOT (and RETAIN where others may be opening). 0 or the first error;
 * goes on after one. */
int snapshot_sweep(const struct hpo_os *os, struct os_dir *dir, struct error_detail *error);

/* Is a new one due? tail: bytes of log after the newest snapshot; snapshot: that file's size, 0 if
 * none. */
bool snapshot_due(uint64_t tail_bytes, uint64_t snapshot_bytes);

#endif

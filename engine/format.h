/*
 * format: the store's immutable birth certificate, the file FORMAT, and the rules about versions.
 *
 * FORMAT is 4096 bytes: two copies of 2048, each with its own hash, written once before the first
 * segment. It names the store (uuid), the version of the format and the features that a reader must
 * know. Segment headers carry version and masks too, so that a later writer can use a feature from
 * one segment on.
 *
 * Versions (ext4's rule): another major or an unknown incompat bit: refuse. An unknown ro_compat
 * bit: read only. Unknown compat bits and a higher minor: go on.
 */
#ifndef HPO_ENGINE_FORMAT_H
#define HPO_ENGINE_FORMAT_H

#include "codec.h"
#include "error.h"
#include "os.h"

#define FORMAT_SIZE 4096u
#define FORMAT_COPY_SIZE 2048u
#define FORMAT_MAJOR 1u
#define FORMAT_MINOR 0u
#define FORMAT_COMPAT_KNOWN 0u
#define FORMAT_RO_COMPAT_KNOWN 0u
#define FORMAT_INCOMPAT_KNOWN 0u

/* What both FORMAT and segment headers say about who may read them; the first 32 bytes of a copy,
 * behind its magic. */
struct format_features {
    uint16_t major;
    uint16_t minor;
    uint32_t compat;
    uint32_t ro_compat;
    uint32_t incompat;
    uint32_t sector_size;
};

enum format_access {
    FORMAT_READ_WRITE = 0,
    FORMAT_READ_ONLY, /* unknown ro_compat bits */
    FORMAT_REFUSED,   /* other major, unknown incompat bits, another sector size */
};

/* What this build writes. */
void format_features_current(struct format_features *out);
void format_features_put(struct codec_writer *writer, const struct format_features *features);
void format_features_get(struct codec_reader *reader, struct format_features *out);
enum format_access format_access(const struct format_features *features);

struct format {
    struct format_features features;
    uint8_t uuid[16];
    int64_t created_us; /* since 1970 UTC */
};

/* Which of two copies verified. */
enum format_copies {
    FORMAT_COPIES_BOTH = 0,
    FORMAT_COPY_FIRST,
    FORMAT_COPY_SECOND,
    FORMAT_COPIES_NONE
};

/*
 * A copy is FORMAT_COPY_SIZE bytes, the last 8 of which are XXH3-64 of those before, seeded with
 * where the copy belongs: 4096 * the segment's number (FORMAT: 0) + the copy's offset.
 */
void format_copy_seal(uint8_t copy[FORMAT_COPY_SIZE], uint32_t number, uint32_t offset);
bool format_copy_verifies(const uint8_t copy[FORMAT_COPY_SIZE], uint32_t number, uint32_t offset);
/* Which copies of a file that begins with two of them verify; two that differ count as none. */
enum format_copies format_copies_check(const uint8_t *bytes, size_t size, uint32_t number);

void format_encode(const struct format *format, uint8_t to[FORMAT_SIZE]);
/* Decode from `size` bytes (a short file lacks a copy). `out` is set unless COPIES_NONE. Two good
 * copies that differ count as none. Verifies hashes, not access: ask format_access. */
enum format_copies format_decode(const uint8_t *bytes, size_t size, struct format *out);

/* Read STORE/FORMAT. 0 with *copies (COPIES_NONE: there, but neither copy verifies); HPO_NOT_FOUND
 * if there is no such file; HPO_IO and others from the system. */
int format_read(const struct hpo_os *os, struct os_dir *store, struct format *out,
                enum format_copies *copies, struct error_detail *error);

/* Make FORMAT durable: temporary file, sync, rename, directory sync. The caller is alone (holds
 * ALIVE exclusive). */
int format_create(const struct hpo_os *os, struct os_dir *store, const struct format *format,
                  struct error_detail *error);

#endif

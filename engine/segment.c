/*
 * segment: see segment.h. One idea: a segment appears under its name whole or not at all, so nobody
 * ever meets half a header, and nothing depends on syncing an old file again.
 */
#include "segment.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "codec.h"

#define PAGE_SIZE 4096u
#define ZEROS_SIZE (64u << 10)

static_assert(SEGMENT_HEADER_SIZE == FORMAT_SIZE, "two copies, like FORMAT");
static_assert(SEGMENT_HEADER_SIZE % SECTOR_SIZE == 0, "sectors begin at a multiple of their size");

static const uint8_t magic[8] = {'H', 'P', 'O', 'W', '\r', '\n', 0x1a, '\n'};

/* Never written to. Not const, so that it costs no room in the file of the library. */
static uint8_t zeros[ZEROS_SIZE] __attribute__((aligned(4096)));

const char *segment_reason_name(uint32_t reason)
{
    switch (reason) {
    case SEGMENT_REASON_FIRST:
        return "FIRST";
    case SEGMENT_REASON_FULL:
        return "FULL";
    case SEGMENT_REASON_RECOVERY:
        return "RECOVERY";
    case SEGMENT_REASON_SYNC_FAILED:
        return "SYNC_FAILED";
    case SEGMENT_REASON_TAKEOVER:
        return "TAKEOVER";
    case SEGMENT_REASON_REPAIR:
        return "REPAIR";
    default:
        return "?";
    }
}

void segment_header_encode(const struct segment_header *header, uint8_t to[SEGMENT_HEADER_SIZE])
{
    struct codec_writer writer;

    memset(to, 0, SEGMENT_HEADER_SIZE);
    codec_writer_init(&writer, to, FORMAT_COPY_SIZE - 8);
    codec_put_bytes(&writer, magic, sizeof(magic));
    format_features_put(&writer, &header->features);
    codec_put_bytes(&writer, header->uuid, sizeof(header->uuid));
    codec_put_u32(&writer, header->number);
    codec_put_u32(&writer, header->epoch);
    codec_put_u64(&writer, header->salt);
    codec_put_u64(&writer, header->first_lsn);
    codec_put_u64(&writer, header->end.lsn);
    codec_put_u64(&writer, header->end.chain);
    codec_put_u64(&writer, header->bytes);
    codec_put_u32(&writer, header->reason);
    codec_put_u32(&writer, 0);
    codec_put_bytes(&writer, header->boot_id, sizeof(header->boot_id));
    codec_put_i64(&writer, header->created_us);
    assert(codec_writer_ok(&writer));
    memcpy(to + FORMAT_COPY_SIZE, to, FORMAT_COPY_SIZE);
    format_copy_seal(to, header->number, 0);
    format_copy_seal(to + FORMAT_COPY_SIZE, header->number, FORMAT_COPY_SIZE);
}

static bool header_sane(const struct segment_header *header, uint32_t number)
{
    return header->number == number && header->epoch > 0 && header->end.lsn < UINT64_MAX &&
           header->first_lsn == header->end.lsn + 1 && header->bytes >= SEGMENT_BYTES_MIN &&
           header->bytes <= SEGMENT_BYTES_MAX && header->bytes % SECTOR_SIZE == 0 &&
           header->reason != 0;
}

enum format_copies segment_header_decode(const uint8_t *bytes, size_t size, uint32_t number,
                                         struct segment_header *out)
{
    enum format_copies copies = format_copies_check(bytes, size, number);
    struct segment_header header;
    struct codec_reader reader;

    if (copies == FORMAT_COPIES_NONE)
        return copies;
    codec_reader_init(&reader, bytes + (copies == FORMAT_COPY_SECOND ? FORMAT_COPY_SIZE : 0),
                      FORMAT_COPY_SIZE - 8);
    if (memcmp(codec_get_bytes(&reader, sizeof(magic)), magic, sizeof(magic)) != 0)
        return FORMAT_COPIES_NONE;
    format_features_get(&reader, &header.features);
    codec_get_copy(&reader, header.uuid, sizeof(header.uuid));
    header.number = codec_get_u32(&reader);
    header.epoch = codec_get_u32(&reader);
    header.salt = codec_get_u64(&reader);
    header.first_lsn = codec_get_u64(&reader);
    header.end.lsn = codec_get_u64(&reader);
    header.end.chain = codec_get_u64(&reader);
    header.bytes = codec_get_u64(&reader);
    header.reason = codec_get_u32(&reader);
    (void)codec_get_u32(&reader);
    codec_get_copy(&reader, header.boot_id, sizeof(header.boot_id));
    header.created_us = codec_get_i64(&reader);
    assert(codec_reader_ok(&reader));
    /* Of another major version only what stands before the uuid can be relied on. */
    if (format_access(&header.features) != FORMAT_REFUSED && !header_sane(&header, number))
        return FORMAT_COPIES_NONE;
    *out = header;
    return copies;
}

void segment_file_name(uint32_t number, char to[SEGMENT_NAME_SIZE])
{
    (void)snprintf(to, SEGMENT_NAME_SIZE, "%08x.wal", (unsigned)number);
}

uint32_t segment_file_number(const char *name)
{
    uint32_t number = 0;

    for (unsigned i = 0; i < 8; i++) {
        char c = name[i];

        if (c >= '0' && c <= '9')
            number = number << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            number = number << 4 | (uint32_t)(c - 'a' + 10);
        else
            return 0;
    }
    return strcmp(name + 8, ".wal") == 0 ? number : 0;
}

/* The number for which a header verifies that does not verify for the file's own name; 0: none. */
static uint32_t other_number(const uint8_t *bytes, size_t size)
{
    uint32_t number;

    if (size < FORMAT_COPY_SIZE)
        return 0;
    number = codec_load_u32(bytes + 48);
    return format_copies_check(bytes, size, number) == FORMAT_COPIES_NONE ? 0 : number;
}

static int header_check(const struct segment *segment, const uint8_t *bytes, size_t size,
                        uint32_t number, const uint8_t uuid[16], struct error_detail *error)
{
    uint32_t other;

    if (segment->copies == FORMAT_COPIES_NONE) {
        other = other_number(bytes, size);
        if (other != 0 && other != number)
            return error_set(error, HPO_CORRUPT, 0, segment->path, 0, 0,
                             "this is segment %08x under another name; run hpo-fsck",
                             (unsigned)other);
        return error_set(error, HPO_CORRUPT, 0, segment->path, 0, 0,
                         "neither copy of the segment's header verifies; run hpo-fsck");
    }
    if (format_access(&segment->header.features) == FORMAT_REFUSED)
        return error_set(error, HPO_UNSUPPORTED, 0, segment->path, 8, 0,
                         "the segment needs version %u.%u, features %#x, sectors of %u bytes, "
                         "which this build does not know; use a newer libhpo",
                         segment->header.features.major, segment->header.features.minor,
                         (unsigned)segment->header.features.incompat,
                         (unsigned)segment->header.features.sector_size);
    if (uuid && memcmp(segment->header.uuid, uuid, 16) != 0)
        return error_set(error, HPO_CORRUPT, 0, segment->path, 32, segment->header.first_lsn,
                         "the segment belongs to another store; run hpo-fsck");
    return 0;
}

int segment_open(const struct hpo_os *os, struct os_dir *wal, uint32_t number,
                 const uint8_t uuid[16], bool writable, struct segment *out,
                 struct error_detail *error)
{
    char name[SEGMENT_NAME_SIZE];
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    struct segment segment = {0};
    int64_t n;
    int err;

    segment_file_name(number, name);
    (void)snprintf(segment.path, sizeof(segment.path), "wal/%s", name);
    err = os->file_open(os->self, wal, name, writable ? OS_WRITE : OS_READ, OS_ROLE_WAL,
                        &segment.file);
    if (err < 0)
        return error_set(error, error_from_errno(err), -err, segment.path, 0, 0,
                         "cannot open the segment");
    err = os->file_size(os->self, segment.file, &segment.file_size);
    if (err < 0) {
        err = error_set(error, error_from_errno(err), -err, segment.path, 0, 0,
                        "cannot tell the segment's size");
        goto close;
    }
    n = os->file_pread(os->self, segment.file, bytes, sizeof(bytes), 0);
    if (n < 0) {
        err = error_set(error, error_from_errno((int)n), (int)-n, segment.path, 0, 0,
                        "cannot read the segment's header");
        goto close;
    }
    segment.copies = segment_header_decode(bytes, (size_t)n, number, &segment.header);
    err = header_check(&segment, bytes, (size_t)n, number, uuid, error);
    if (err < 0)
        goto close;
    *out = segment;
    return 0;

close:
    os->file_close(os->self, segment.file);
    return err;
}

void segment_close(const struct hpo_os *os, struct segment *segment)
{
    if (segment->file)
        os->file_close(os->self, segment->file);
    segment->file = NULL;
}

/* A name that was never used: 64 random bits and the ending. */
static int random_name(const struct hpo_os *os, const char *ending, char to[SEGMENT_NAME_SIZE])
{
    uint8_t bytes[8];
    int err = os->entropy(os->self, bytes, sizeof(bytes));

    if (err < 0)
        return err;
    (void)snprintf(to, SEGMENT_NAME_SIZE, "%016llx%s", (unsigned long long)codec_load_u64(bytes),
                   ending);
    return 0;
}

/* pwrite all of it; -errno. The offsets of address and file agree modulo 4096 throughout. */
static int write_all(const struct hpo_os *os, struct os_file *file, const uint8_t *bytes,
                     size_t size, uint64_t offset)
{
    int64_t n;

    while (size > 0) {
        n = os->file_pwrite(os->self, file, bytes, size, offset);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        bytes += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int write_zeros(const struct hpo_os *os, struct os_file *file, uint64_t size)
{
    uint64_t offset = 0;
    size_t share;
    int err = 0;

    while (offset < size && err == 0) {
        share = size - offset < ZEROS_SIZE ? (size_t)(size - offset) : ZEROS_SIZE;
        err = write_all(os, file, zeros, share, offset);
        offset += share;
    }
    return err;
}

int segment_zero_create(const struct hpo_os *os, struct os_dir *wal, uint64_t bytes,
                        char name[SEGMENT_NAME_SIZE], struct error_detail *error)
{
    char temporary[SEGMENT_NAME_SIZE], ready[SEGMENT_NAME_SIZE];
    struct os_file *file;
    int err;

    assert(bytes >= SEGMENT_BYTES_MIN && bytes <= SEGMENT_BYTES_MAX && bytes % PAGE_SIZE == 0);
    /* Two names: a roller must not take a file that is still being written. */
    err = random_name(os, ".new", temporary);
    if (err == 0)
        err = random_name(os, ".zero", ready);
    if (err < 0)
        goto fail;
    err =
        os->file_open(os->self, wal, temporary, OS_WRITE | OS_CREATE | OS_EXCL, OS_ROLE_WAL, &file);
    if (err < 0)
        goto fail;
    err = write_zeros(os, file, bytes);
    if (err == 0)
        err = os->file_sync_all(os->self, file);
    os->file_close(os->self, file);
    if (err == 0)
        err = os->name_rename(os->self, wal, temporary, wal, ready);
    if (err < 0)
        goto remove;
    memcpy(name, ready, SEGMENT_NAME_SIZE);
    return 0;

remove: /* a full disk must get its room back; if this fails too, recovery sweeps it */
    (void)os->name_unlink(os->self, wal, temporary);
fail:
    return error_set(error, error_from_errno(err), -err, "wal", 0, 0,
                     "cannot make a file of %llu zero bytes for the next segment",
                     (unsigned long long)bytes);
}

int segment_begin(const struct hpo_os *os, struct os_dir *wal, const char *zero,
                  const struct segment_header *header, struct segment *out,
                  char temporary[SEGMENT_NAME_SIZE], struct error_detail *error)
{
    static_assert(PAGE_SIZE >= SEGMENT_HEADER_SIZE, "the header is one page");
    uint8_t bytes[SEGMENT_HEADER_SIZE] __attribute__((aligned(4096)));
    struct segment segment = {.header = *header, .copies = FORMAT_COPIES_BOTH};
    char name[SEGMENT_NAME_SIZE];
    uint8_t salt[8];
    int err;

    assert(header_sane(header, header->number));
    segment_file_name(header->number, name);
    (void)snprintf(segment.path, sizeof(segment.path), "wal/%s", name);
    err = os->entropy(os->self, salt, sizeof(salt));
    if (err < 0)
        goto fail;
    segment.header.salt = codec_load_u64(salt);
    err = random_name(os, ".new", temporary);
    if (err < 0)
        goto fail;
    err = os->name_rename(os->self, wal, zero, wal, temporary); /* S4 */
    if (err < 0)
        goto fail;
    os->point(os->self, "segment.taken");
    err = os->file_open(os->self, wal, temporary, OS_WRITE, OS_ROLE_WAL, &segment.file);
    if (err < 0)
        goto remove;
    err = os->file_size(os->self, segment.file, &segment.file_size);
    if (err == 0 && segment.file_size != header->bytes)
        err = -EINVAL;
    if (err < 0)
        goto close;
    segment_header_encode(&segment.header, bytes);
    err = write_all(os, segment.file, bytes, sizeof(bytes), 0);
    if (err < 0)
        goto close;
    *out = segment;
    return 0;

close:
    os->file_close(os->self, segment.file);
remove:
    (void)os->name_unlink(os->self, wal, temporary);
fail:
    return error_set(error, error_from_errno(err), -err, segment.path, 0, header->first_lsn,
                     "cannot begin the segment");
}

int segment_append_batch(const struct hpo_os *os, const struct segment *segment,
                         struct sector_buffer *buffer, struct sector_tail *tail, uint64_t durable,
                         const struct log_position *previous, const struct log_batch *batch,
                         struct error_detail *error)
{
    struct batch_header header = {
        .session = batch->session,
        .sequence = batch->sequence,
        .record_count = batch->record_count,
        .flags = batch->flags,
    };
    uint8_t bytes[BATCH_HEADER_SIZE];
    struct sector_write write;
    int err;

    err = batch_header_encode(bytes, &header, previous, batch->records, batch->records_size);
    if (err < 0 || header.lsn != batch->at.lsn || header.chain != batch->at.chain)
        return error_set(error, HPO_CORRUPT, 0, segment->path, tail->offset, batch->at.lsn,
                         "a batch to be copied does not follow the one before it");
    err = sector_append(os, buffer, tail, segment->header.salt, segment->header.bytes, durable,
                        bytes, batch->records, batch->records_size, &write);
    if (err < 0)
        return error_set(error, err, 0, segment->path, tail->offset, batch->at.lsn,
                         "no memory to lay out a batch");
    if (err == 0)
        err = segment_write(os, segment, &write, error);
    if (err == 0)
        *tail = write.tail;
    return err;
}

int segment_commit(const struct hpo_os *os, struct os_dir *wal, const struct segment *segment,
                   const char *temporary, bool *renamed, struct error_detail *error)
{
    char name[SEGMENT_NAME_SIZE];
    int err;

    *renamed = false;
    segment_file_name(segment->header.number, name);
    err = os->file_sync_all(os->self, segment->file);
    if (err < 0)
        goto fail;
    os->point(os->self, "segment.synced");
    err = os->name_rename(os->self, wal, temporary, wal, name);
    /* After an I/O error nobody can tell whether the name changed; any other error came before. */
    *renamed = err == 0 || err == -EIO;
    if (err < 0)
        goto fail;
    os->point(os->self, "segment.renamed");
    err = os->dir_sync(os->self, wal);
    if (err < 0)
        goto fail;
    os->point(os->self, "segment.dir_synced");
    return 0;

fail:
    return error_set(error, error_from_errno(err), -err, segment->path, 0,
                     segment->header.first_lsn,
                     *renamed ? "the new segment's name may not be durable"
                              : "cannot make the new segment durable");
}

void segment_abandon(const struct hpo_os *os, struct os_dir *wal, struct segment *segment,
                     const char *temporary)
{
    segment_close(os, segment);
    (void)os->name_unlink(os->self, wal, temporary); /* best effort: recovery sweeps */
}

int segment_write(const struct hpo_os *os, const struct segment *segment,
                  const struct sector_write *write, struct error_detail *error)
{
    int err = write_all(os, segment->file, write->bytes, write->size, write->offset);

    if (err < 0)
        return error_set(error, error_from_errno(err), -err, segment->path, write->offset, 0,
                         "cannot write to the segment");
    return 0;
}

void segment_tail_start(struct sector_tail *tail)
{
    *tail = (struct sector_tail){.offset = SEGMENT_HEADER_SIZE};
}

uint64_t segment_bytes_for(uint64_t wanted, uint64_t stream_bytes)
{
    uint64_t need = SEGMENT_HEADER_SIZE + sector_bytes_for(stream_bytes);

    if (need < SEGMENT_BYTES_MIN)
        need = SEGMENT_BYTES_MIN;
    if (need < wanted)
        need = wanted;
    return (need + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
}

static bool ends_with(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);

    return n > m && strcmp(name + n - m, ending) == 0;
}

/* Stops at the first temporary file: 1, its name in arg. */
static int find_temporary(void *arg, const char *name)
{
    if (strlen(name) >= SEGMENT_NAME_SIZE ||
        (!ends_with(name, ".new") && !ends_with(name, ".zero")))
        return 0;
    (void)snprintf(arg, SEGMENT_NAME_SIZE, "%s", name);
    return 1;
}

int segment_sweep(const struct hpo_os *os, struct os_dir *wal, struct error_detail *error)
{
    char name[SEGMENT_NAME_SIZE];
    int err;

    for (;;) { /* one at a time: a directory must not change while it is listed */
        err = os->dir_list(os->self, wal, find_temporary, name);
        if (err <= 0)
            break;
        err = os->name_unlink(os->self, wal, name);
        if (err < 0)
            break;
    }
    if (err < 0)
        return error_set(error, error_from_errno(err), -err, "wal", 0, 0,
                         "cannot remove files left over by a process that died");
    return 0;
}

void segment_punch(const struct hpo_os *os, const struct segment *segment, uint64_t offset)
{
    uint64_t begin, end = segment->file_size, run = 0;
    uint8_t *page = os->alloc(os->self, PAGE_SIZE);
    int err = page ? 0 : -ENOMEM;

    begin = (offset + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
    if (begin < SEGMENT_HEADER_SIZE)
        begin = SEGMENT_HEADER_SIZE;
    /* Runs of whole zero pages are given back one by one; `run` is where the current one began. */
    for (run = begin; err == 0 && begin + PAGE_SIZE <= end; begin += PAGE_SIZE) {
        if (os->file_pread(os->self, segment->file, page, PAGE_SIZE, begin) != PAGE_SIZE)
            break;
        if (memcmp(page, zeros, PAGE_SIZE) == 0)
            continue;
        if (run < begin)
            err = os->file_punch(os->self, segment->file, run, begin - run);
        run = begin + PAGE_SIZE;
    }
    if (err == 0 && run < begin)
        (void)os->file_punch(os->self, segment->file, run, begin - run);
    os->free(os->self, page);
}

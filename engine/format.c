/*
 * format: see format.h. One idea: what says how to read a store is written once, twice over, and
 * never changed; so one good copy is enough and two good ones must agree.
 */
#include "format.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "hash.h"

#define COPY_HASH_AT (FORMAT_COPY_SIZE - 8u)
#define FILE_NAME "FORMAT"
#define FILE_NAME_NEW "FORMAT.new"

static const uint8_t magic[8] = {'H', 'P', 'O', 'F', '\r', '\n', 0x1a, '\n'};

void format_features_current(struct format_features *out)
{
    *out = (struct format_features){
        .major = FORMAT_MAJOR,
        .minor = FORMAT_MINOR,
        .sector_size = 512,
    };
}

enum format_access format_access(const struct format_features *features)
{
    if (features->major != FORMAT_MAJOR || (features->incompat & ~FORMAT_INCOMPAT_KNOWN) ||
        features->sector_size != 512)
        return FORMAT_REFUSED;
    if (features->ro_compat & ~FORMAT_RO_COMPAT_KNOWN)
        return FORMAT_READ_ONLY;
    return FORMAT_READ_WRITE;
}

void format_features_put(struct codec_writer *writer, const struct format_features *features)
{
    codec_put_u16(writer, features->major);
    codec_put_u16(writer, features->minor);
    codec_put_u32(writer, features->compat);
    codec_put_u32(writer, features->ro_compat);
    codec_put_u32(writer, features->incompat);
    codec_put_u32(writer, features->sector_size);
    codec_put_u32(writer, 0);
}

void format_features_get(struct codec_reader *reader, struct format_features *out)
{
    out->major = codec_get_u16(reader);
    out->minor = codec_get_u16(reader);
    out->compat = codec_get_u32(reader);
    out->ro_compat = codec_get_u32(reader);
    out->incompat = codec_get_u32(reader);
    out->sector_size = codec_get_u32(reader);
    (void)codec_get_u32(reader);
}

static uint64_t copy_hash(const uint8_t *copy, uint32_t number, uint32_t offset)
{
    return hash64((uint64_t)number * FORMAT_SIZE + offset, copy, COPY_HASH_AT);
}

void format_copy_seal(uint8_t copy[FORMAT_COPY_SIZE], uint32_t number, uint32_t offset)
{
    codec_store_u64(copy + COPY_HASH_AT, copy_hash(copy, number, offset));
}

bool format_copy_verifies(const uint8_t copy[FORMAT_COPY_SIZE], uint32_t number, uint32_t offset)
{
    return codec_load_u64(copy + COPY_HASH_AT) == copy_hash(copy, number, offset);
}

enum format_copies format_copies_check(const uint8_t *bytes, size_t size, uint32_t number)
{
    bool first = size >= FORMAT_COPY_SIZE && format_copy_verifies(bytes, number, 0);
    bool second = size >= FORMAT_SIZE &&
                  format_copy_verifies(bytes + FORMAT_COPY_SIZE, number, FORMAT_COPY_SIZE);

    if (first && second)
        return memcmp(bytes, bytes + FORMAT_COPY_SIZE, COPY_HASH_AT) == 0 ? FORMAT_COPIES_BOTH
                                                                          : FORMAT_COPIES_NONE;
    return first ? FORMAT_COPY_FIRST : second ? FORMAT_COPY_SECOND : FORMAT_COPIES_NONE;
}

void format_encode(const struct format *format, uint8_t to[FORMAT_SIZE])
{
    struct codec_writer writer;

    memset(to, 0, FORMAT_SIZE);
    codec_writer_init(&writer, to, COPY_HASH_AT);
    codec_put_bytes(&writer, magic, sizeof(magic));
    format_features_put(&writer, &format->features);
    codec_put_bytes(&writer, format->uuid, sizeof(format->uuid));
    codec_put_i64(&writer, format->created_us);
    assert(codec_writer_ok(&writer));
    memcpy(to + FORMAT_COPY_SIZE, to, FORMAT_COPY_SIZE);
    format_copy_seal(to, 0, 0);
    format_copy_seal(to + FORMAT_COPY_SIZE, 0, FORMAT_COPY_SIZE);
}

enum format_copies format_decode(const uint8_t *bytes, size_t size, struct format *out)
{
    enum format_copies copies = format_copies_check(bytes, size, 0);
    struct codec_reader reader;
    struct format format;

    if (copies == FORMAT_COPIES_NONE)
        return copies;
    codec_reader_init(&reader, bytes + (copies == FORMAT_COPY_SECOND ? FORMAT_COPY_SIZE : 0),
                      COPY_HASH_AT);
    if (memcmp(codec_get_bytes(&reader, sizeof(magic)), magic, sizeof(magic)) != 0)
        return FORMAT_COPIES_NONE;
    format_features_get(&reader, &format.features);
    codec_get_copy(&reader, format.uuid, sizeof(format.uuid));
    format.created_us = codec_get_i64(&reader);
    assert(codec_reader_ok(&reader));
    *out = format;
    return copies;
}

int format_read(const struct hpo_os *os, struct os_dir *store, struct format *out,
                enum format_copies *copies, struct error_detail *error)
{
    uint8_t bytes[FORMAT_SIZE];
    struct os_file *file;
    int64_t n;
    int err;

    err = os->file_open(os->self, store, FILE_NAME, OS_READ, OS_ROLE_FORMAT, &file);
    if (err < 0)
        return error_set(error, error_from_errno(err), -err, FILE_NAME, 0, 0,
                         "cannot open FORMAT, the file that makes a directory a store");
    n = os->file_pread(os->self, file, bytes, sizeof(bytes), 0);
    os->file_close(os->self, file);
    if (n < 0)
        return error_set(error, error_from_errno((int)n), (int)-n, FILE_NAME, 0, 0,
                         "cannot read FORMAT");
    *copies = format_decode(bytes, (size_t)n, out);
    return 0;
}

static int write_all(const struct hpo_os *os, struct os_file *file, const uint8_t *bytes,
                     size_t size)
{
    size_t done = 0;
    int64_t n;

    while (done < size) {
        n = os->file_pwrite(os->self, file, bytes + done, size - done, done);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        done += (size_t)n;
    }
    return 0;
}

int format_create(const struct hpo_os *os, struct os_dir *store, const struct format *format,
                  struct error_detail *error)
{
    uint8_t bytes[FORMAT_SIZE];
    struct os_file *file;
    int err;

    format_encode(format, bytes);
    /* An earlier attempt that died may have left the file; its bytes are of no use. */
    err = os->name_unlink(os->self, store, FILE_NAME_NEW);
    if (err < 0 && err != -ENOENT)
        goto fail;
    err = os->file_open(os->self, store, FILE_NAME_NEW, OS_WRITE | OS_CREATE | OS_EXCL,
                        OS_ROLE_FORMAT, &file);
    if (err < 0)
        goto fail;
    err = write_all(os, file, bytes, sizeof(bytes));
    if (err == 0)
        err = os->file_sync_all(os->self, file);
    os->file_close(os->self, file);
    if (err == 0)
        err = os->name_rename(os->self, store, FILE_NAME_NEW, store, FILE_NAME);
    if (err == 0)
        err = os->dir_sync(os->self, store);
    if (err < 0)
        goto remove;
    return 0;

remove: /* best effort: the next creation begins by removing it */
    (void)os->name_unlink(os->self, store, FILE_NAME_NEW);
fail:
    return error_set(error, error_from_errno(err), -err, FILE_NAME, 0, 0,
                     "cannot write FORMAT: no store was made");
}

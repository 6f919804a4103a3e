/*
 * attest: see attest.h. One idea: two slots written in turn, so that a write that does not arrive
 * whole costs one slot and never both.
 */
#include "attest.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "codec.h"
#include "hash.h"

#define FILE_NAME "attest"
#define SLOT_HASH_AT (ATTEST_SLOT_SIZE - 8u)

static const uint8_t magic[8] = {'H', 'P', 'O', 'A', '\r', '\n', 0x1a, '\n'};

static uint64_t slot_hash(const uint8_t *slot, const uint8_t uuid[16], unsigned index)
{
    return hash64(hash64(index, uuid, 16), slot, SLOT_HASH_AT);
}

void attest_encode(const struct attest_slot *slot, const uint8_t uuid[16], unsigned index,
                   uint8_t to[ATTEST_SLOT_SIZE])
{
    struct codec_writer writer;

    memset(to, 0, ATTEST_SLOT_SIZE);
    codec_writer_init(&writer, to, SLOT_HASH_AT);
    codec_put_bytes(&writer, magic, sizeof(magic));
    codec_put_u64(&writer, slot->at.lsn);
    codec_put_u64(&writer, slot->at.chain);
    codec_put_u32(&writer, slot->epoch);
    assert(codec_writer_ok(&writer));
    codec_store_u64(to + SLOT_HASH_AT, slot_hash(to, uuid, index));
}

void attest_decode(const uint8_t from[ATTEST_SLOT_SIZE], const uint8_t uuid[16], unsigned index,
                   struct attest_slot *out)
{
    static const uint8_t zero[ATTEST_SLOT_SIZE];
    struct codec_reader reader;

    *out = (struct attest_slot){.state = ATTEST_ABSENT};
    if (memcmp(from, zero, ATTEST_SLOT_SIZE) == 0)
        return;
    out->state = ATTEST_BAD;
    if (codec_load_u64(from + SLOT_HASH_AT) != slot_hash(from, uuid, index))
        return;
    codec_reader_init(&reader, from, SLOT_HASH_AT);
    if (memcmp(codec_get_bytes(&reader, sizeof(magic)), magic, sizeof(magic)) != 0)
        return;
    out->at.lsn = codec_get_u64(&reader);
    out->at.chain = codec_get_u64(&reader);
    out->epoch = codec_get_u32(&reader);
    if (out->epoch == 0 || out->at.lsn == UINT64_MAX)
        return;
    assert(codec_reader_ok(&reader));
    out->state = ATTEST_GOOD;
}

int attest_read(const struct hpo_os *os, struct os_dir *store, const uint8_t uuid[16],
                struct attest *out, struct error_detail *error)
{
    uint8_t bytes[ATTEST_SIZE] = {0};
    struct os_file *file;
    int64_t n;
    int err;

    *out = (struct attest){0};
    err = os->file_open(os->self, store, FILE_NAME, OS_READ, OS_ROLE_ATTEST, &file);
    if (err == -ENOENT)
        return 0;
    if (err < 0)
        return error_set(error, error_from_errno(err), -err, FILE_NAME, 0, 0,
                         "cannot open the file that says how far the log was durable");
    n = os->file_pread(os->self, file, bytes, sizeof(bytes), 0);
    os->file_close(os->self, file);
    if (n < 0)
        return error_set(error, error_from_errno((int)n), (int)-n, FILE_NAME, 0, 0,
                         "cannot read the file that says how far the log was durable");
    for (unsigned i = 0; i < 2; i++)
        attest_decode(bytes + i * ATTEST_SLOT_SIZE, uuid, i, &out->slot[i]);
    return 0;
}

unsigned attest_next(const struct attest *attest)
{
    const struct attest_slot *a = &attest->slot[0], *b = &attest->slot[1];

    if (a->state != ATTEST_GOOD)
        return 0;
    if (b->state != ATTEST_GOOD)
        return 1;
    if (a->epoch != b->epoch)
        return a->epoch < b->epoch ? 0 : 1;
    return a->at.lsn <= b->at.lsn ? 0 : 1;
}

int attest_write(const struct hpo_os *os, struct os_file *file, const uint8_t uuid[16],
                 unsigned index, const struct attest_slot *slot, struct error_detail *error)
{
    uint8_t bytes[ATTEST_SLOT_SIZE];
    uint64_t offset = (uint64_t)index * ATTEST_SLOT_SIZE;
    size_t done = 0;
    int64_t n;

    assert(index < 2 && slot->epoch > 0);
    attest_encode(slot, uuid, index, bytes);
    while (done < sizeof(bytes)) {
        n = os->file_pwrite(os->self, file, bytes + done, sizeof(bytes) - done, offset + done);
        if (n == -EINTR)
            continue;
        if (n <= 0)
            return error_set(error, n < 0 ? error_from_errno((int)n) : HPO_IO, (int)-n, FILE_NAME,
                             offset + done, slot->at.lsn, "cannot note how far the log is durable");
        done += (size_t)n;
    }
    return 0;
}

/*
 * batch: see batch.h. One idea: the length is believed only after the header's own rules hold and
 * the bytes it speaks of are there, and the content only after the chain agrees.
 */
#include "batch.h"

#include <assert.h>
#include <string.h>

#include "codec.h"
#include "hash.h"
#include "hpo.h"

#define CHAIN_OFFSET 32u /* the chain covers the header before it */

static_assert(CHAIN_OFFSET + 8 == BATCH_HEADER_SIZE, "chain ends the header");
static_assert(BATCH_SIZE_MAX % 8 == 0, "a batch is a multiple of 8");

uint64_t batch_chain_start(const uint8_t uuid[16])
{
    return hash64(0, uuid, 16);
}

/* B2 and B3, and the fields that are reserved. */
static bool header_sane(const struct batch_header *header)
{
    if (header->length < BATCH_HEADER_SIZE || header->length > BATCH_SIZE_MAX ||
        header->length % 8 != 0)
        return false;
    if (header->lsn == 0 || header->session == 0 || header->session > header->lsn)
        return false;
    if (header->sequence == 0 || (header->sequence == 1) != (header->session == header->lsn))
        return false;
    return header->flags == 0;
}

static uint64_t chain_of(const uint8_t *header, const uint8_t *records, size_t records_size,
                         uint64_t previous)
{
    return hash64_joined(previous, header, CHAIN_OFFSET, records, records_size);
}

int batch_header_encode(uint8_t to[BATCH_HEADER_SIZE], struct batch_header *header,
                        const struct log_position *previous, const uint8_t *records,
                        size_t records_size)
{
    struct batch_header made = *header;
    struct codec_writer writer;

    if (records_size > BATCH_RECORDS_MAX)
        return HPO_TOO_LARGE;
    if (records_size % 8 != 0 || previous->lsn == UINT64_MAX)
        return HPO_INVALID;
    made.lsn = previous->lsn + 1;
    made.length = (uint32_t)(BATCH_HEADER_SIZE + records_size);
    if (made.session == 0) {
        made.session = made.lsn;
        made.sequence = 1;
    }
    if (!header_sane(&made))
        return HPO_INVALID;
    codec_writer_init(&writer, to, BATCH_HEADER_SIZE);
    codec_put_u64(&writer, made.lsn);
    codec_put_u64(&writer, made.session);
    codec_put_u32(&writer, made.length);
    codec_put_u32(&writer, made.sequence);
    codec_put_u16(&writer, made.record_count);
    codec_put_u16(&writer, made.flags);
    codec_put_u32(&writer, 0);
    made.chain = chain_of(to, records, records_size, previous->chain);
    codec_put_u64(&writer, made.chain);
    assert(codec_writer_ok(&writer) && writer.position == BATCH_HEADER_SIZE);
    *header = made;
    return 0;
}

bool batch_header_decode(const uint8_t from[BATCH_HEADER_SIZE], struct batch_header *out)
{
    struct codec_reader reader;
    struct batch_header header = {0};

    codec_reader_init(&reader, from, BATCH_HEADER_SIZE);
    header.lsn = codec_get_u64(&reader);
    header.session = codec_get_u64(&reader);
    header.length = codec_get_u32(&reader);
    header.sequence = codec_get_u32(&reader);
    header.record_count = codec_get_u16(&reader);
    header.flags = codec_get_u16(&reader);
    codec_get_zeros(&reader, 4);
    header.chain = codec_get_u64(&reader);
    if (!codec_reader_done(&reader) || !header_sane(&header))
        return false;
    *out = header;
    return true;
}

enum batch_verdict batch_verify(const uint8_t *bytes, size_t size,
                                const struct log_position *previous, struct log_batch *out)
{
    struct batch_header header;

    if (size < BATCH_HEADER_SIZE)
        return BATCH_SHORT;
    if (!batch_header_decode(bytes, &header))
        return BATCH_BAD_HEADER;
    if (header.lsn - 1 != previous->lsn)
        return BATCH_BAD_LSN;
    if (header.length > size)
        return BATCH_SHORT;
    if (chain_of(bytes, bytes + BATCH_HEADER_SIZE, header.length - BATCH_HEADER_SIZE,
                 previous->chain) != header.chain)
        return BATCH_BAD_CHAIN;
    *out = (struct log_batch){
        .at = {.lsn = header.lsn, .chain = header.chain},
        .session = header.session,
        .sequence = header.sequence,
        .record_count = header.record_count,
        .flags = header.flags,
        .records = bytes + BATCH_HEADER_SIZE,
        .records_size = header.length - BATCH_HEADER_SIZE,
    };
    return BATCH_GOOD;
}

bool batch_begins(const uint8_t *bytes, size_t size, const struct log_position *previous)
{
    struct batch_header header;
    uint64_t lsn, session;

    if (size < 8)
        return size == 0;
    lsn = codec_load_u64(bytes);
    if (lsn - 1 != previous->lsn)
        return false;
    if (size >= 16) {
        session = codec_load_u64(bytes + 8);
        if (session == 0 || session > lsn)
            return false;
    }
    if (size < BATCH_HEADER_SIZE)
        return true;
    return batch_header_decode(bytes, &header) && header.length > size;
}

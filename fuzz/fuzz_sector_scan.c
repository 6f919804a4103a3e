/*
 * fuzz_sector_scan: what stands in a segment behind a good header: sectors, and the batches in
 * them.
 *
 * Input: one byte of choices, then the bytes from offset 4096 on. They are read as they come and
 * mended, and each time as written before a reboot (words may be missing) and not.
 *
 * Oracles: batches follow each other by LSN and chain and verify by themselves; a walk that has
 * ended stays ended; two walks are the same; mending loses nothing; what was read, written again by
 * sector_append, reads the same; no allocation above 16 times the input.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "hpo.h"
#include "mend.h"
#include "scan.h"

#define INPUT_MAX (64u << 10)
#define SALT UINT64_C(0x0123456789abcdef)

static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

/* The file: a header that nobody reads here, then `bytes`. */
static const uint8_t *bytes;
static size_t bytes_size;

static int64_t memory_pread(void *self, struct os_file *file, void *to, size_t n, uint64_t offset)
{
    size_t left, count;

    (void)self, (void)file;
    FUZZ_REQUIRE(offset >= SEGMENT_HEADER_SIZE, "a walk reads at %llu", (unsigned long long)offset);
    offset -= SEGMENT_HEADER_SIZE;
    left = offset < bytes_size ? bytes_size - (size_t)offset : 0;
    count = n < left ? n : left;
    if (count)
        memcpy(to, bytes + offset, count);
    return (int64_t)count;
}

struct walk {
    uint64_t batches;
    uint64_t hash; /* of all that was read */
    struct log_position at;
    enum scan_stop stop;
};

/* Where what is read is written again. */
struct copy {
    uint8_t *image;
    struct sector_tail tail;
    struct sector_buffer buffer;
    uint64_t batches;
    bool full;
};

static void append(const struct hpo_os *os, struct copy *copy, const struct segment *segment,
                   const uint8_t header[BATCH_HEADER_SIZE], const struct log_batch *batch)
{
    struct sector_write write;
    int err;

    if (copy->full)
        return;
    if (batch->at.lsn % 3 == 0)
        sector_seal(&copy->tail);
    err = sector_append(os, &copy->buffer, &copy->tail, SALT, segment->header.bytes,
                        batch->at.lsn / 2, header, batch->records, batch->records_size, &write);
    if (err == SECTOR_FULL) {
        copy->full = true;
        return;
    }
    FUZZ_REQUIRE(err == 0, "sector_append: %d", err);
    FUZZ_REQUIRE(write.offset >= SEGMENT_HEADER_SIZE &&
                     write.offset + write.size <= segment->header.bytes,
                 "a write outside the segment");
    memcpy(copy->image + write.offset - SEGMENT_HEADER_SIZE, write.bytes, write.size);
    copy->tail = write.tail;
    copy->batches++;
}

static void check_batch(const struct log_position *previous, const struct log_batch *batch,
                        uint8_t encoded[BATCH_HEADER_SIZE])
{
    struct batch_header header = {.session = batch->sequence == 1 ? 0 : batch->session,
                                  .sequence = batch->sequence,
                                  .record_count = batch->record_count};
    int err;

    FUZZ_REQUIRE(batch->at.lsn == previous->lsn + 1, "LSN %llu after %llu",
                 (unsigned long long)batch->at.lsn, (unsigned long long)previous->lsn);
    FUZZ_REQUIRE(batch->flags == 0, "flags");
    err = batch_header_encode(encoded, &header, previous, batch->records, batch->records_size);
    FUZZ_REQUIRE(err == 0, "batch %llu read, but may not be written: %d",
                 (unsigned long long)batch->at.lsn, err);
    FUZZ_REQUIRE(header.chain == batch->at.chain, "the chain of batch %llu",
                 (unsigned long long)batch->at.lsn);
}

static struct walk walk(const struct hpo_os *os, const struct segment *segment, bool other_boot,
                        uint64_t last, struct copy *copy)
{
    const struct scan_bound bound = {.lsn_last = last, .other_boot = other_boot};
    struct walk out = {.at = segment->header.end};
    struct segment_scan scan = {0};
    struct log_batch batch;
    uint8_t header[BATCH_HEADER_SIZE];
    int more;

    segment_scan_start(&scan, os, segment, &bound);
    while ((more = segment_scan_next(&scan, &batch, NULL)) == 1) {
        check_batch(&out.at, &batch, header);
        for (size_t i = 0; i < batch.records_size; i++)
            out.hash = (out.hash ^ batch.records[i]) * UINT64_C(0x100000001b3);
        out.batches++;
        out.at = batch.at;
        if (copy)
            append(os, copy, segment, header, &batch);
    }
    FUZZ_REQUIRE(more == 0, "segment_scan_next: %d", more);
    FUZZ_REQUIRE(scan.stop != SCAN_RUNNING, "a walk ended and is running");
    FUZZ_REQUIRE(out.at.lsn <= last, "a batch beyond the bound");
    FUZZ_REQUIRE(scan.at.lsn == out.at.lsn && scan.at.chain == out.at.chain, "scan.at");
    FUZZ_REQUIRE(scan.place.used <= SECTOR_PAYLOAD_SIZE && scan.place.offset % SECTOR_SIZE == 0 &&
                     scan.place.offset <= segment->header.bytes,
                 "scan.place");
    out.stop = scan.stop;
    FUZZ_REQUIRE(segment_scan_next(&scan, &batch, NULL) == 0, "a walk that had ended goes on");
    segment_scan_release(&scan);
    return out;
}

static void assert_same(const struct walk *a, const struct walk *b)
{
    FUZZ_REQUIRE(a->batches == b->batches && a->hash == b->hash && a->at.chain == b->at.chain,
                 "%llu batches, then %llu", (unsigned long long)a->batches,
                 (unsigned long long)b->batches);
}

/* Read, write what was read, read that. */
static struct walk there_and_back(const struct hpo_os *os, const struct segment *segment,
                                  uint64_t last)
{
    struct copy copy = {.image = calloc(1, segment->header.bytes)};
    const uint8_t *bytes_before = bytes;
    size_t size_before = bytes_size;
    struct walk first, again;

    FUZZ_REQUIRE(copy.image, "no memory");
    segment_tail_start(&copy.tail);
    first = walk(os, segment, false, last, &copy);
    bytes = copy.image;
    bytes_size = (size_t)segment->header.bytes - SEGMENT_HEADER_SIZE;
    again = walk(os, segment, false, UINT64_MAX, NULL);
    FUZZ_REQUIRE(again.batches == copy.batches, "%llu batches written, %llu read",
                 (unsigned long long)copy.batches, (unsigned long long)again.batches);
    if (!copy.full)
        assert_same(&first, &again);
    bytes = bytes_before;
    bytes_size = size_before;
    sector_buffer_release(os, &copy.buffer);
    free(copy.image);
    return first;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct segment segment = {0};
    struct hpo_os os;
    struct walk raw, mended, again;
    struct log_position at;
    uint64_t last;
    uint8_t *copy;

    if (size < 1 || size > INPUT_MAX)
        return 0;
    last = data[0] & 1 ? data[0] >> 1 : UINT64_MAX;
    data++, size--;
    fuzz_bound(size, 256u << 10);
    fuzz_bounded(&os, os_linux());
    os.file_pread = memory_pread;
    segment.header.end = (struct log_position){0, batch_chain_start(uuid)};
    segment.header.first_lsn = 1;
    segment.header.number = 1;
    segment.header.salt = SALT;
    segment.header.bytes = SEGMENT_HEADER_SIZE + (size + 4095) / 4096 * 4096;
    if (segment.header.bytes < SEGMENT_BYTES_MIN)
        segment.header.bytes = SEGMENT_BYTES_MIN;
    segment.file_size = SEGMENT_HEADER_SIZE + size;

    bytes = data;
    bytes_size = size;
    raw = there_and_back(&os, &segment, last);
    (void)walk(&os, &segment, true, last, NULL);

    copy = malloc(size + 1);
    FUZZ_REQUIRE(copy, "no memory");
    memcpy(copy, data, size);
    at = segment.header.end;
    mend_sectors(NULL, copy, size, SEGMENT_HEADER_SIZE, SALT, &at);
    bytes = copy;
    mended = there_and_back(&os, &segment, last);
    FUZZ_REQUIRE(mended.batches >= raw.batches, "mending loses batches: %llu, %llu",
                 (unsigned long long)raw.batches, (unsigned long long)mended.batches);
    again = walk(&os, &segment, true, last, NULL);
    FUZZ_REQUIRE(again.batches >= mended.batches, "fewer batches after a reboot");
    free(copy);
    return 0;
}

/* segment: header, birth, names; failures at every step. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "hpo.h"
#include "log_fixture.h"

static void make(struct segment_header *header, uint8_t bytes[SEGMENT_HEADER_SIZE])
{
    *header = (struct segment_header){
        .number = 9,
        .epoch = 11,
        .salt = 0x1234,
        .first_lsn = 101,
        .end = {100, 0xcafe},
        .bytes = 1 << 18,
        .reason = SEGMENT_REASON_TAKEOVER,
        .created_us = 77,
    };
    format_features_current(&header->features);
    memset(header->uuid, 0x5a, 16);
    memset(header->boot_id, 0xb0, 16);
    segment_header_encode(header, bytes);
}

Test(segment, the_header_lies_where_the_format_says)
{
    uint8_t b[SEGMENT_HEADER_SIZE];
    struct segment_header h;

    make(&h, b);
    cr_assert_eq(memcmp(b, "HPOW\r\n\x1a\n", 8), 0);
    cr_assert_eq(codec_load_u16(b + 8), 1);
    cr_assert_eq(codec_load_u32(b + 24), 512);
    cr_assert_eq(memcmp(b + 32, h.uuid, 16), 0);
    cr_assert_eq(codec_load_u32(b + 48), 9);
    cr_assert_eq(codec_load_u32(b + 52), 11);
    cr_assert_eq(codec_load_u64(b + 56), 0x1234);
    cr_assert_eq(codec_load_u64(b + 64), 101);
    cr_assert_eq(codec_load_u64(b + 72), 100);
    cr_assert_eq(codec_load_u64(b + 80), 0xcafe);
    cr_assert_eq(codec_load_u64(b + 88), 1 << 18);
    cr_assert_eq(codec_load_u32(b + 96), SEGMENT_REASON_TAKEOVER);
    cr_assert_eq(memcmp(b + 104, h.boot_id, 16), 0);
    cr_assert_eq(codec_load_u64(b + 120), 77);
    cr_assert_eq(memcmp(b, b + 2048, 2040), 0);
}

Test(segment, every_flipped_bit_of_a_header_costs_one_copy)
{
    uint8_t b[SEGMENT_HEADER_SIZE], whole[SEGMENT_HEADER_SIZE], again[SEGMENT_HEADER_SIZE];
    struct segment_header h, read;

    make(&h, b);
    memcpy(whole, b, sizeof(b));
    cr_assert_eq(segment_header_decode(b, sizeof(b), 9, &read), FORMAT_COPIES_BOTH);
    for (unsigned bit = 0; bit < SEGMENT_HEADER_SIZE * 8; bit++) {
        b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(segment_header_decode(b, sizeof(b), 9, &read),
                     bit < 2048 * 8 ? FORMAT_COPY_SECOND : FORMAT_COPY_FIRST);
        segment_header_encode(&read, again);
        cr_assert_eq(memcmp(again, whole, sizeof(whole)), 0);
        b[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_assert_eq(segment_header_decode(b, sizeof(b), 8, &read), FORMAT_COPIES_NONE);
    for (size_t n = 0; n < sizeof(b); n += 8)
        cr_assert_eq(segment_header_decode(b, n, 9, &read),
                     n < 2048 ? FORMAT_COPIES_NONE : FORMAT_COPY_FIRST);
}

Test(segment, a_header_whose_fields_make_no_sense_does_not_verify)
{
    uint8_t b[SEGMENT_HEADER_SIZE];
    struct segment_header good, h, read;

    make(&good, b);
    for (unsigned field = 0; field < 8; field++) {
        h = good;
        switch (field) {
        case 0:
            h.epoch = 0;
            break;
        case 1:
            h.first_lsn = 100;
            break;
        case 2:
            h.end.lsn = UINT64_MAX;
            h.first_lsn = 0;
            break;
        case 3:
            h.bytes = 4096;
            break;
        case 4:
            h.bytes = (1 << 18) + 8;
            break;
        case 5:
            h.bytes = UINT64_C(1) << 40;
            break;
        case 6:
            h.reason = 0;
            break;
        case 7:
            h.number = 10; /* and a hash for the place of number 9 */
            break;
        }
        segment_header_encode(&h, b);
        format_copy_seal(b, 9, 0);
        format_copy_seal(b + 2048, 9, 2048);
        cr_assert_eq(segment_header_decode(b, sizeof(b), 9, &read), FORMAT_COPIES_NONE, "%u",
                     field);
    }
}

Test(segment, names_are_eight_hexadecimal_digits)
{
    static const char *bad[] = {"",
                                "1.wal",
                                "00000000.wal",
                                "0000000g.wal",
                                "0000000A.wal",
                                "00000001.wa",
                                "00000001.wal2",
                                "00000001",
                                "000000010.wal",
                                "0123456789abcdef.zero"};
    char name[SEGMENT_NAME_SIZE];

    segment_file_name(1, name);
    cr_assert_str_eq(name, "00000001.wal");
    segment_file_name(0xfedcba98, name);
    cr_assert_str_eq(name, "fedcba98.wal");
    cr_assert_eq(segment_file_number(name), 0xfedcba98);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(segment_file_number(bad[i]), 0, "%s", bad[i]);
}

static unsigned count_files(const struct fixture *f)
{
    char path[1024];
    unsigned count = 0;
    DIR *dir;

    (void)snprintf(path, sizeof(path), "%s/wal", f->path);
    dir = opendir(path);
    cr_assert_not_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

Test(segment, it_is_born_zeroed_and_whole)
{
    struct fixture f;
    uint8_t bytes[16384], zero[16384] = {0};

    fixture_new(&f, 16384);
    cr_assert_eq(fixture_size(&f, "wal/00000001.wal"), 16384);
    fixture_read(&f, "wal/00000001.wal", 4096, bytes, 12288);
    cr_assert_eq(memcmp(bytes, zero, 12288), 0);
    cr_assert_eq(count_files(&f), 1);
    fixture_free(&f);
}

Test(segment, one_that_was_abandoned_leaves_nothing)
{
    struct fixture f;
    struct segment_header header;
    struct segment segment;
    char zero[SEGMENT_NAME_SIZE], temporary[SEGMENT_NAME_SIZE];

    fixture_new(&f, 16384);
    header = f.segment.header;
    header.number = 2;
    cr_assert_eq(segment_zero_create(f.os, f.wal, 16384, zero, NULL), 0);
    cr_assert_eq(count_files(&f), 2);
    cr_assert_eq(segment_begin(f.os, f.wal, zero, &header, &segment, temporary, NULL), 0);
    cr_assert_neq(segment.header.salt, f.segment.header.salt);
    segment_abandon(f.os, f.wal, &segment, temporary);
    cr_assert_eq(count_files(&f), 1);
    fixture_free(&f);
}

Test(segment, a_zeroed_file_of_another_size_or_absent_is_refused)
{
    struct fixture f;
    struct segment_header header;
    struct segment segment;
    char zero[SEGMENT_NAME_SIZE], temporary[SEGMENT_NAME_SIZE];

    fixture_new(&f, 16384);
    header = f.segment.header;
    header.number = 2;
    cr_assert_eq(segment_zero_create(f.os, f.wal, 12288, zero, NULL), 0);
    cr_assert_lt(segment_begin(f.os, f.wal, zero, &header, &segment, temporary, NULL), 0);
    cr_assert_eq(count_files(&f), 1);
    cr_assert_eq(segment_begin(f.os, f.wal, zero, &header, &segment, temporary, NULL),
                 HPO_NOT_FOUND);
    fixture_free(&f);
}

Test(segment, left_over_files_are_swept_and_segments_stay)
{
    struct fixture f;
    char zero[SEGMENT_NAME_SIZE];

    fixture_new(&f, 16384);
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(segment_zero_create(f.os, f.wal, 12288, zero, NULL), 0);
    fixture_rename(&f, "wal/00000001.wal", "wal/x.new");
    fixture_rename(&f, "wal/x.new", "wal/00000001.wal");
    cr_assert_eq(count_files(&f), 6);
    cr_assert_eq(segment_sweep(f.os, f.wal, NULL), 0);
    cr_assert_eq(count_files(&f), 1);
    fixture_free(&f);
}

Test(segment, opening_says_what_is_wrong)
{
    struct fixture f;
    struct segment segment;
    struct error_detail error;
    uint8_t uuid[16] = {0};

    fixture_new(&f, 16384);
    fixture_append(&f, 64);
    fixture_flush(&f);
    fixture_roll_all(&f, SEGMENT_REASON_FULL);
    cr_assert_eq(segment_open(f.os, f.wal, 3, f.uuid, false, &segment, &error), HPO_NOT_FOUND);
    cr_assert_eq(segment_open(f.os, f.wal, 2, uuid, false, &segment, &error), HPO_CORRUPT);
    cr_assert_not_null(strstr(error.message, "another store"));
    cr_assert_str_eq(error.path, "wal/00000002.wal");
    fixture_unlink(&f, "wal/00000001.wal");
    fixture_rename(&f, "wal/00000002.wal", "wal/00000001.wal");
    cr_assert_eq(segment_open(f.os, f.wal, 1, f.uuid, false, &segment, &error), HPO_CORRUPT);
    cr_assert_not_null(strstr(error.message, "segment 00000002 under another name"));
    fixture_rename(&f, "wal/00000001.wal", "wal/00000002.wal");
    fixture_flip(&f, "wal/00000002.wal", 70, 0);
    cr_assert_eq(segment_open(f.os, f.wal, 2, f.uuid, false, &segment, &error), 0);
    cr_assert_eq(segment.copies, FORMAT_COPY_SECOND);
    segment_close(f.os, &segment);
    fixture_flip(&f, "wal/00000002.wal", 2048 + 70, 0);
    cr_assert_eq(segment_open(f.os, f.wal, 2, f.uuid, false, &segment, &error), HPO_CORRUPT);
    cr_assert_not_null(strstr(error.message, "neither copy"));
    fixture_truncate(&f, "wal/00000002.wal", 0);
    cr_assert_eq(segment_open(f.os, f.wal, 2, f.uuid, false, &segment, &error), HPO_CORRUPT);
    fixture_free(&f);
}

Test(segment, one_made_by_a_newer_version_is_unsupported)
{
    struct fixture f;
    struct segment segment;
    struct error_detail error;
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    struct segment_header header;

    fixture_new(&f, 16384);
    header = f.segment.header;
    header.features.incompat = 4;
    segment_header_encode(&header, bytes);
    fixture_write(&f, "wal/00000001.wal", 0, bytes, sizeof(bytes));
    cr_assert_eq(segment_open(f.os, f.wal, 1, f.uuid, false, &segment, &error), HPO_UNSUPPORTED);
    header.features.incompat = 0;
    header.features.major = 2;
    header.bytes = 5; /* of another major version no field behind it can be judged */
    segment_header_encode(&header, bytes);
    fixture_write(&f, "wal/00000001.wal", 0, bytes, sizeof(bytes));
    cr_assert_eq(segment_open(f.os, f.wal, 1, f.uuid, false, &segment, &error), HPO_UNSUPPORTED);
    fixture_free(&f);
}

Test(segment, holes_are_punched_behind_the_end_only)
{
    struct fixture f;
    uint8_t before[65536], after[65536];

    fixture_new(&f, 65536);
    for (unsigned i = 0; i < 20; i++)
        fixture_append(&f, 200);
    fixture_read(&f, "wal/00000001.wal", 0, before, sizeof(before));
    segment_punch(f.os, &f.segment, 0);
    fixture_read(&f, "wal/00000001.wal", 0, after, sizeof(after));
    cr_assert_eq(memcmp(before, after, sizeof(before)), 0);
    cr_assert_eq(fixture_size(&f, "wal/00000001.wal"), 65536);
    fixture_free(&f);
}

/* -- a table whose writes do as they are told -- */

static struct {
    struct hpo_os table;
    int64_t (*pwrite)(void *, struct os_file *, const void *, size_t, uint64_t);
    unsigned calls;
    int error; /* of the second call */
} odd;

static int64_t odd_pwrite(void *self, struct os_file *file, const void *from, size_t n,
                          uint64_t offset)
{
    unsigned call = odd.calls++;

    if (call % 3 == 0)
        return -EINTR;
    if (odd.error && call == 4)
        return odd.error;
    return odd.pwrite(self, file, from, n > 1000 ? 1000 : n, offset);
}

static void make_odd(int error)
{
    odd.table = *os_linux();
    odd.pwrite = odd.table.file_pwrite;
    odd.table.file_pwrite = odd_pwrite;
    odd.calls = 0;
    odd.error = error;
}

Test(segment, short_and_interrupted_writes_are_gone_on_with)
{
    struct fixture f;
    struct segment_scan scan = {0};
    const struct scan_bound bound = {.lsn_last = UINT64_MAX};
    struct log_batch batch;
    uint8_t records[6000];

    make_odd(0);
    fixture_new(&f, 65536);
    f.os = &odd.table;
    fixture_append(&f, sizeof(records));
    fixture_append(&f, sizeof(records));
    cr_assert_gt(odd.calls, 12);
    segment_scan_start(&scan, f.os, &f.segment, &bound);
    for (unsigned i = 1; i <= 2; i++) {
        cr_assert_eq(segment_scan_next(&scan, &batch, NULL), 1);
        fixture_records(i, records, sizeof(records));
        cr_assert_eq(memcmp(batch.records, records, sizeof(records)), 0);
    }
    segment_scan_release(&scan);
    fixture_free(&f);
}

Test(segment, a_full_disk_leaves_no_zeroed_file)
{
    struct fixture f;
    struct error_detail error = {0};
    char zero[SEGMENT_NAME_SIZE];

    fixture_new(&f, 16384);
    make_odd(-ENOSPC);
    cr_assert_eq(segment_zero_create(&odd.table, f.wal, 65536, zero, &error), HPO_NOSPACE);
    cr_assert_eq(error.system_errno, ENOSPC);
    cr_assert_eq(count_files(&f), 1);
    fixture_free(&f);
}

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

Test(segment, reasons_have_names)
{
    static const char *const names[] = {"?",           "FIRST",    "FULL",   "RECOVERY",
                                        "SYNC_FAILED", "TAKEOVER", "REPAIR", "?"};

    for (unsigned i = 0; i < 8; i++)
        cr_assert_str_eq(segment_reason_name(i), names[i]);
}

Test(segment, a_batch_that_does_not_follow_is_not_copied)
{
    struct fixture f;
    struct segment_scan scan = {0};
    const struct scan_bound bound = {.lsn_last = UINT64_MAX};
    struct log_position wrong = {.lsn = 0, .chain = 1};
    struct error_detail error;
    struct log_batch batch;
    struct sector_tail tail;

    fixture_new(&f, 16384);
    fixture_append(&f, 64);
    segment_scan_start(&scan, f.os, &f.segment, &bound);
    cr_assert_eq(segment_scan_next(&scan, &batch, NULL), 1);
    segment_tail_start(&tail);
    cr_assert_eq(
        segment_append_batch(f.os, &f.segment, &f.buffer, &tail, 0, &wrong, &batch, &error),
        HPO_CORRUPT);
    cr_assert_eq(error.lsn, 1);
    segment_scan_release(&scan);
    segment_scan_release(&scan); /* harmless twice */
    fixture_free(&f);
}

static struct {
    struct hpo_os table;
    unsigned punched;
    uint64_t bytes;
} punch;

static int count_punch(void *self, struct os_file *file, uint64_t offset, uint64_t n)
{
    (void)self, (void)file;
    cr_assert_eq(offset % 4096, 0);
    cr_assert_eq(n % 4096, 0);
    punch.punched++;
    punch.bytes += n;
    return 0;
}

Test(segment, what_is_not_zero_is_not_given_back)
{
    struct fixture f;
    uint8_t byte = 1;

    fixture_new(&f, 65536);
    fixture_append(&f, 200);
    fixture_write(&f, "wal/00000001.wal", 5 * 4096 + 17, &byte, 1);
    fixture_write(&f, "wal/00000001.wal", 9 * 4096, &byte, 1);
    punch.table = *f.os;
    punch.table.file_punch = count_punch;
    segment_punch(&punch.table, &f.segment, 0);
    cr_assert_eq(punch.punched, 3); /* pages 2..4, 6..8, 10..15 */
    cr_assert_eq(punch.bytes, (3 + 3 + 6) * 4096);
    fixture_free(&f);
}

/* -- every step of a birth failing -- */

static struct {
    struct hpo_os table;
    unsigned calls, fail_at;
    int error;
} birth;

static bool birth_fails(void)
{
    return ++birth.calls == birth.fail_at;
}

static int birth_entropy(void *self, void *to, size_t n)
{
    return birth_fails() ? birth.error : os_linux()->entropy(self, to, n);
}

static int birth_open(void *self, struct os_dir *dir, const char *name, unsigned flags,
                      enum os_role role, struct os_file **out)
{
    return birth_fails() ? birth.error : os_linux()->file_open(self, dir, name, flags, role, out);
}

static int birth_sync(void *self, struct os_file *file)
{
    return birth_fails() ? birth.error : os_linux()->file_sync_all(self, file);
}

static int birth_rename(void *self, struct os_dir *from_dir, const char *from,
                        struct os_dir *to_dir, const char *to)
{
    return birth_fails() ? birth.error : os_linux()->name_rename(self, from_dir, from, to_dir, to);
}

static int birth_dir_sync(void *self, struct os_dir *dir)
{
    return birth_fails() ? birth.error : os_linux()->dir_sync(self, dir);
}

static int birth_size(void *self, struct os_file *file, uint64_t *out)
{
    return birth_fails() ? birth.error : os_linux()->file_size(self, file, out);
}

static int64_t birth_pwrite(void *self, struct os_file *file, const void *from, size_t n,
                            uint64_t offset)
{
    return birth_fails() ? birth.error : os_linux()->file_pwrite(self, file, from, n, offset);
}

/* From nothing to a named segment; on failure as a roll would clean up. */
static int be_born(struct fixture *f, bool *renamed)
{
    struct segment_header header = f->segment.header;
    char zero[SEGMENT_NAME_SIZE], temporary[SEGMENT_NAME_SIZE];
    struct segment segment;
    struct error_detail error = {0};
    int err;

    header.number = 2;
    *renamed = false;
    err = segment_zero_create(&birth.table, f->wal, 16384, zero, &error);
    if (err == 0) {
        err = segment_begin(&birth.table, f->wal, zero, &header, &segment, temporary, &error);
        if (err < 0)
            (void)f->os->name_unlink(f->os->self, f->wal, zero); /* it was not taken yet, perhaps */
    }
    if (err == 0) {
        err = segment_commit(&birth.table, f->wal, &segment, temporary, renamed, &error);
        if (err < 0 && !*renamed)
            segment_abandon(&birth.table, f->wal, &segment, temporary);
        else
            segment_close(&birth.table, &segment);
    }
    cr_assert(err == 0 || error.code == err);
    return err;
}

Test(segment, a_birth_that_fails_at_any_step_leaves_nothing_or_a_whole_segment)
{
    static const int errors[] = {-EIO, -ENOSPC};
    unsigned failed = 0, named = 0;

    for (unsigned e = 0; e < 2; e++) {
        int err = -1;

        for (unsigned at = 1; err != 0; at++) {
            struct fixture f;
            struct segment segment;
            bool renamed;

            fixture_new(&f, 16384);
            birth.table = *f.os;
            birth.table.entropy = birth_entropy;
            birth.table.file_open = birth_open;
            birth.table.file_sync_all = birth_sync;
            birth.table.name_rename = birth_rename;
            birth.table.dir_sync = birth_dir_sync;
            birth.table.file_size = birth_size;
            birth.table.file_pwrite = birth_pwrite;
            birth.calls = 0;
            birth.fail_at = at;
            birth.error = errors[e];
            err = be_born(&f, &renamed);
            failed += err != 0;
            named += err != 0 && renamed;
            if (!renamed)
                cr_assert_eq(count_files(&f), 1, "call %u", at);
            if (segment_open(f.os, f.wal, 2, f.uuid, false, &segment, NULL) == 0) {
                cr_assert(renamed);
                segment_close(f.os, &segment);
            }
            fixture_free(&f);
            cr_assert_lt(at, 50);
        }
    }
    cr_assert_gt(failed, 16);
    cr_assert_eq(named,
                 3); /* directory sync twice; a rename that ended with EIO may have happened */
}

static int cannot_list(void *self, struct os_dir *dir, os_list_fn fn, void *arg)
{
    (void)self, (void)dir, (void)fn, (void)arg;
    return -EIO;
}

static int cannot_unlink(void *self, struct os_dir *dir, const char *name)
{
    (void)self, (void)dir, (void)name;
    return -EROFS;
}

Test(segment, a_sweep_that_fails_says_so)
{
    struct fixture f;
    struct hpo_os table;
    struct error_detail error;
    char zero[SEGMENT_NAME_SIZE];

    fixture_new(&f, 16384);
    cr_assert_eq(segment_zero_create(f.os, f.wal, 12288, zero, NULL), 0);
    table = *f.os;
    table.dir_list = cannot_list;
    cr_assert_eq(segment_sweep(&table, f.wal, &error), HPO_IO);
    table = *f.os;
    table.name_unlink = cannot_unlink;
    cr_assert_eq(segment_sweep(&table, f.wal, &error), HPO_PERMISSION);
    fixture_free(&f);
}

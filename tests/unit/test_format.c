/* format, attest: two copies, two slots; every damaged variant, and versions from the future. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attest.h"
#include "codec.h"
#include "format.h"
#include "hash.h"
#include "hpo.h"
#include "log_fixture.h"

static void make(struct format *format, uint8_t bytes[FORMAT_SIZE])
{
    memset(format, 0, sizeof(*format));
    format_features_current(&format->features);
    for (unsigned i = 0; i < 16; i++)
        format->uuid[i] = (uint8_t)(i + 1);
    format->created_us = INT64_C(1234567890123456);
    format_encode(format, bytes);
}

static bool same(const struct format *a, const struct format *b)
{
    return memcmp(&a->features, &b->features, sizeof(a->features)) == 0 &&
           memcmp(a->uuid, b->uuid, 16) == 0 && a->created_us == b->created_us;
}

Test(format, the_fields_lie_where_the_format_says)
{
    uint8_t bytes[FORMAT_SIZE];
    struct format format;

    make(&format, bytes);
    cr_assert_eq(memcmp(bytes, "HPOF\r\n\x1a\n", 8), 0);
    cr_assert_eq(codec_load_u16(bytes + 8), 1);
    cr_assert_eq(codec_load_u16(bytes + 10), 0);
    cr_assert_eq(codec_load_u32(bytes + 12), 0);
    cr_assert_eq(codec_load_u32(bytes + 16), 0);
    cr_assert_eq(codec_load_u32(bytes + 20), 0);
    cr_assert_eq(codec_load_u32(bytes + 24), 512);
    cr_assert_eq(memcmp(bytes + 32, format.uuid, 16), 0);
    cr_assert_eq(codec_load_u64(bytes + 48), (uint64_t)format.created_us);
    cr_assert_eq(memcmp(bytes, bytes + 2048, 2040), 0);
    cr_assert_neq(memcmp(bytes + 2040, bytes + 4088, 8), 0); /* each for its own place */
}

Test(format, either_copy_is_enough_and_every_flipped_bit_is_noticed)
{
    uint8_t bytes[FORMAT_SIZE];
    struct format format, read;

    make(&format, bytes);
    cr_assert_eq(format_decode(bytes, sizeof(bytes), &read), FORMAT_COPIES_BOTH);
    for (unsigned bit = 0; bit < FORMAT_SIZE * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(format_decode(bytes, sizeof(bytes), &read),
                     bit < 2048 * 8 ? FORMAT_COPY_SECOND : FORMAT_COPY_FIRST);
        cr_assert(same(&format, &read));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

Test(format, both_copies_damaged_is_none)
{
    uint8_t bytes[FORMAT_SIZE];
    struct format format, read;

    make(&format, bytes);
    bytes[100] ^= 1;
    bytes[2048 + 100] ^= 1;
    cr_assert_eq(format_decode(bytes, sizeof(bytes), &read), FORMAT_COPIES_NONE);
}

Test(format, a_shorter_file_has_fewer_copies)
{
    uint8_t bytes[FORMAT_SIZE];
    struct format format, read;

    make(&format, bytes);
    for (size_t n = 0; n < FORMAT_SIZE; n++)
        cr_assert_eq(format_decode(bytes, n, &read),
                     n < 2048 ? FORMAT_COPIES_NONE : FORMAT_COPY_FIRST);
}

Test(format, two_good_copies_that_differ_count_as_none)
{
    uint8_t a[FORMAT_SIZE], b[FORMAT_SIZE];
    struct format format, read;

    make(&format, a);
    format.uuid[0] ^= 1;
    format_encode(&format, b);
    memcpy(a + 2048, b + 2048, 2048);
    cr_assert_eq(format_decode(a, sizeof(a), &read), FORMAT_COPIES_NONE);
}

Test(format, another_magic_is_not_ours)
{
    uint8_t bytes[FORMAT_SIZE];
    struct format format, read;

    make(&format, bytes);
    bytes[3] = bytes[2048 + 3] = 'W';
    format_copy_seal(bytes, 0, 0);
    format_copy_seal(bytes + 2048, 0, 2048);
    cr_assert_eq(format_decode(bytes, sizeof(bytes), &read), FORMAT_COPIES_NONE);
}

Test(format, versions_and_features_follow_the_rule)
{
    struct format_features f;

    format_features_current(&f);
    cr_assert_eq(format_access(&f), FORMAT_READ_WRITE);
    f.minor = 9;
    f.compat = 0xffffffff;
    cr_assert_eq(format_access(&f), FORMAT_READ_WRITE);
    f.ro_compat = 1;
    cr_assert_eq(format_access(&f), FORMAT_READ_ONLY);
    f.incompat = 0x80000000;
    cr_assert_eq(format_access(&f), FORMAT_REFUSED);
    format_features_current(&f);
    f.major = 2;
    cr_assert_eq(format_access(&f), FORMAT_REFUSED);
    format_features_current(&f);
    f.sector_size = 4096;
    cr_assert_eq(format_access(&f), FORMAT_REFUSED);
}

Test(format, it_is_written_whole_and_read_back)
{
    struct fixture fixture;
    struct format read;
    enum format_copies copies;

    fixture_new(&fixture, 16384);
    cr_assert_eq(format_read(fixture.os, fixture.store, &read, &copies, NULL), 0);
    cr_assert_eq(copies, FORMAT_COPIES_BOTH);
    cr_assert_eq(memcmp(read.uuid, fixture.uuid, 16), 0);
    cr_assert_eq(fixture_size(&fixture, "FORMAT"), FORMAT_SIZE);
    fixture_unlink(&fixture, "FORMAT");
    cr_assert_eq(format_read(fixture.os, fixture.store, &read, &copies, NULL), HPO_NOT_FOUND);
    fixture_free(&fixture);
}

Test(attest, a_slot_reads_back_in_its_own_place_and_store_only)
{
    const struct attest_slot slot = {.at = {5, 0xabcdef}, .epoch = 3};
    uint8_t uuid[16] = {1, 2, 3}, other[16] = {1, 2, 4}, bytes[ATTEST_SLOT_SIZE];
    struct attest_slot read;

    attest_encode(&slot, uuid, 1, bytes);
    cr_assert_eq(memcmp(bytes, "HPOA\r\n\x1a\n", 8), 0);
    cr_assert_eq(codec_load_u64(bytes + 8), 5);
    cr_assert_eq(codec_load_u64(bytes + 16), 0xabcdef);
    cr_assert_eq(codec_load_u32(bytes + 24), 3);
    attest_decode(bytes, uuid, 1, &read);
    cr_assert_eq(read.state, ATTEST_GOOD);
    cr_assert_eq(read.at.lsn, 5);
    cr_assert_eq(read.at.chain, 0xabcdef);
    cr_assert_eq(read.epoch, 3);
    attest_decode(bytes, uuid, 0, &read);
    cr_assert_eq(read.state, ATTEST_BAD);
    attest_decode(bytes, other, 1, &read);
    cr_assert_eq(read.state, ATTEST_BAD);
}

Test(attest, every_flipped_bit_is_noticed_and_zeros_are_absent)
{
    const struct attest_slot slot = {.at = {5, 0xabcdef}, .epoch = 3};
    uint8_t uuid[16] = {1, 2, 3}, bytes[ATTEST_SLOT_SIZE];
    struct attest_slot read;

    attest_encode(&slot, uuid, 0, bytes);
    for (unsigned bit = 0; bit < sizeof(bytes) * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        attest_decode(bytes, uuid, 0, &read);
        cr_assert_eq(read.state, ATTEST_BAD);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    memset(bytes, 0, sizeof(bytes));
    attest_decode(bytes, uuid, 0, &read);
    cr_assert_eq(read.state, ATTEST_ABSENT);
}

Test(attest, the_slot_that_holds_less_is_written_next)
{
    struct attest a = {0};

    cr_assert_eq(attest_next(&a), 0);
    a.slot[0] = (struct attest_slot){.state = ATTEST_GOOD, .at = {9, 1}, .epoch = 1};
    cr_assert_eq(attest_next(&a), 1);
    a.slot[1] = (struct attest_slot){.state = ATTEST_GOOD, .at = {3, 1}, .epoch = 2};
    cr_assert_eq(attest_next(&a), 0);
    a.slot[0].epoch = 2;
    cr_assert_eq(attest_next(&a), 1);
    a.slot[0].state = ATTEST_BAD;
    cr_assert_eq(attest_next(&a), 0);
}

Test(attest, a_missing_or_short_file_is_no_error)
{
    struct fixture fixture;
    struct attest read;

    fixture_new(&fixture, 16384);
    fixture_attest(&fixture);
    cr_assert_eq(attest_read(fixture.os, fixture.store, fixture.uuid, &read, NULL), 0);
    cr_assert(read.slot[0].state == ATTEST_GOOD && read.slot[1].state == ATTEST_GOOD);
    fixture_truncate(&fixture, "attest", 700);
    cr_assert_eq(attest_read(fixture.os, fixture.store, fixture.uuid, &read, NULL), 0);
    cr_assert(read.slot[0].state == ATTEST_GOOD && read.slot[1].state == ATTEST_BAD);
    fixture_truncate(&fixture, "attest", 512);
    cr_assert_eq(attest_read(fixture.os, fixture.store, fixture.uuid, &read, NULL), 0);
    cr_assert(read.slot[0].state == ATTEST_GOOD && read.slot[1].state == ATTEST_ABSENT);
    fixture_unlink(&fixture, "attest");
    cr_assert_eq(attest_read(fixture.os, fixture.store, fixture.uuid, &read, NULL), 0);
    cr_assert(read.slot[0].state == ATTEST_ABSENT && read.slot[1].state == ATTEST_ABSENT);
    fixture_free(&fixture);
}

Test(attest, a_slot_that_makes_no_sense_is_bad_even_if_its_hash_agrees)
{
    struct attest_slot slot = {.at = {5, 1}, .epoch = 0};
    uint8_t uuid[16] = {1}, bytes[ATTEST_SLOT_SIZE];
    struct attest_slot read;

    attest_encode(&slot, uuid, 0, bytes);
    attest_decode(bytes, uuid, 0, &read);
    cr_assert_eq(read.state, ATTEST_BAD);
    slot = (struct attest_slot){.at = {UINT64_MAX, 1}, .epoch = 1};
    attest_encode(&slot, uuid, 0, bytes);
    attest_decode(bytes, uuid, 0, &read);
    cr_assert_eq(read.state, ATTEST_BAD);
    bytes[0] = 'h'; /* another magic, and the hash over it */
    codec_store_u64(bytes + 504, hash64(hash64(0, uuid, 16), bytes, 504));
    attest_decode(bytes, uuid, 0, &read);
    cr_assert_eq(read.state, ATTEST_BAD);
}

/* -- a table whose calls fail, or write a little at a time -- */

static struct {
    struct hpo_os table;
    unsigned calls, fail_at;
    int error;
} odd;

static bool fails(void)
{
    return ++odd.calls == odd.fail_at;
}

static int64_t odd_pwrite(void *self, struct os_file *file, const void *from, size_t n,
                          uint64_t offset)
{
    if (fails())
        return odd.error;
    return os_linux()->file_pwrite(self, file, from, n > 300 ? 300 : n, offset);
}

static int odd_open(void *self, struct os_dir *dir, const char *name, unsigned flags,
                    enum os_role role, struct os_file **out)
{
    return fails() ? odd.error : os_linux()->file_open(self, dir, name, flags, role, out);
}

static int odd_sync(void *self, struct os_file *file)
{
    return fails() ? odd.error : os_linux()->file_sync_all(self, file);
}

static int odd_unlink(void *self, struct os_dir *dir, const char *name)
{
    return fails() ? odd.error : os_linux()->name_unlink(self, dir, name);
}

static int odd_rename(void *self, struct os_dir *from_dir, const char *from, struct os_dir *to_dir,
                      const char *to)
{
    return fails() ? odd.error : os_linux()->name_rename(self, from_dir, from, to_dir, to);
}

static int odd_dir_sync(void *self, struct os_dir *dir)
{
    return fails() ? odd.error : os_linux()->dir_sync(self, dir);
}

static void arm(unsigned fail_at, int error)
{
    odd.table = *os_linux();
    odd.table.file_pwrite = odd_pwrite;
    odd.table.file_open = odd_open;
    odd.table.file_sync_all = odd_sync;
    odd.table.name_unlink = odd_unlink;
    odd.table.name_rename = odd_rename;
    odd.table.dir_sync = odd_dir_sync;
    odd.calls = 0;
    odd.fail_at = fail_at;
    odd.error = error;
}

Test(format, a_failing_call_makes_no_store_and_the_next_try_works)
{
    struct fixture f;
    struct format format, read;
    enum format_copies copies;
    struct error_detail error;
    unsigned failed = 0;
    int err = -1;

    fixture_new(&f, 16384);
    format_features_current(&format.features);
    memset(format.uuid, 0x42, 16);
    format.created_us = 5;
    for (unsigned at = 1; err != 0; at++) {
        if (at == 1)
            fixture_unlink(&f, "FORMAT");
        arm(at, -ENOSPC);
        err = format_create(&odd.table, f.store, &format, &error);
        if (err != 0) {
            cr_assert_eq(err, HPO_NOSPACE);
            cr_assert_eq(error.system_errno, ENOSPC);
            failed++;
        }
        cr_assert_lt(at, 100);
    }
    cr_assert_gt(failed, 10);
    cr_assert_eq(format_read(f.os, f.store, &read, &copies, NULL), 0);
    cr_assert_eq(copies, FORMAT_COPIES_BOTH);
    cr_assert(same(&format, &read));
    fixture_unlink(&f, "FORMAT");
    arm(3, -EINTR); /* a write that was interrupted before it began is made again */
    cr_assert_eq(format_create(&odd.table, f.store, &format, &error), 0);
    fixture_free(&f);
}

Test(attest, an_interrupted_write_is_gone_on_with_and_a_failing_one_is_told)
{
    struct fixture f;
    struct attest read;
    struct os_file *file;
    struct attest_slot slot = {.state = ATTEST_GOOD, .at = {9, 8}, .epoch = 7};
    struct error_detail error;

    fixture_new(&f, 16384);
    cr_assert_eq(f.os->file_open(f.os->self, f.store, "attest", OS_WRITE, OS_ROLE_ATTEST, &file),
                 0);
    arm(1, -EINTR);
    cr_assert_eq(attest_write(&odd.table, file, f.uuid, 1, &slot, &error), 0);
    cr_assert_eq(attest_read(f.os, f.store, f.uuid, &read, NULL), 0);
    cr_assert(read.slot[1].state == ATTEST_GOOD && read.slot[1].epoch == 7);
    arm(2, -EIO);
    cr_assert_eq(attest_write(&odd.table, file, f.uuid, 1, &slot, &error), HPO_IO);
    arm(1, 0); /* a call that writes nothing and says nothing */
    cr_assert_eq(attest_write(&odd.table, file, f.uuid, 1, &slot, &error), HPO_IO);
    f.os->file_close(f.os->self, file);
    fixture_free(&f);
}

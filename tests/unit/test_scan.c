/* scan: reading in order, going on, across rolls, up to a limit. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "hpo.h"
#include "log_fixture.h"

/* Checks that batches come in order with the records they were made of. */
struct reader {
    struct log_position at;
    unsigned count;
    unsigned stop_after; /* 0: never */
};

static int take(void *arg, const struct log_batch *batch)
{
    struct reader *r = arg;
    uint8_t *records = malloc(batch->records_size + 8);

    cr_assert_eq(batch->at.lsn, r->at.lsn + 1);
    fixture_records(batch->at.lsn, records, batch->records_size);
    cr_assert_eq(memcmp(batch->records, records, batch->records_size), 0);
    free(records);
    r->at = batch->at;
    r->count++;
    return r->count == r->stop_after ? 77 : 0;
}

static struct scan_limit limit_of(const struct fixture *f)
{
    return (struct scan_limit){.segment = f->segment.header.number, .end = f->at, .tail = f->tail};
}

static void start(const struct fixture *f, struct scan *scan, struct reader *reader)
{
    scan_init(scan, f->os, f->wal, f->uuid);
    *reader = (struct reader){.at = {.chain = batch_chain_start(f->uuid)}};
}

/* Sizes from one word to several sectors. */
static size_t size_of(unsigned i)
{
    return (i * 7919 % 200) * 8 + 8;
}

Test(scan, batches_come_back_in_order_across_segments)
{
    struct fixture f;
    struct scan scan;
    struct reader reader;
    struct scan_limit limit;
    struct log_position from;

    fixture_new(&f, 16384);
    for (unsigned i = 0; i < 200; i++) {
        fixture_append(&f, size_of(i));
        if (i % 7 == 0)
            fixture_flush(&f);
    }
    cr_assert_gt(f.segment.header.number, 9);
    limit = limit_of(&f);
    start(&f, &scan, &reader);
    from = reader.at;
    cr_assert_eq(scan_read(&scan, &from, &limit, take, &reader, NULL), 0);
    cr_assert_eq(reader.count, 200);
    cr_assert_eq(reader.at.chain, f.at.chain);
    scan_release(&scan);
    fixture_free(&f);
}

Test(scan, a_reader_that_follows_sees_each_batch_once)
{
    struct fixture f;
    struct scan scan;
    struct reader reader;
    struct scan_limit limit;
    struct log_position from;

    fixture_new(&f, 32768);
    start(&f, &scan, &reader);
    for (unsigned i = 0; i < 300; i++) {
        fixture_append(&f, size_of(i));
        if (i % 5 == 4)
            fixture_flush(&f);
        if (i % 3 == 0) {
            from = reader.at;
            limit = limit_of(&f);
            cr_assert_eq(scan_read(&scan, &from, &limit, take, &reader, NULL), 0);
            cr_assert_eq(reader.count, i + 1);
            cr_assert_eq(scan_read(&scan, &reader.at, &limit, take, &reader, NULL), 0);
            cr_assert_eq(reader.count, i + 1);
        }
    }
    scan_release(&scan);
    fixture_free(&f);
}

Test(scan, reading_can_begin_at_every_position)
{
    struct fixture f;
    struct scan scan;
    struct reader reader;
    struct scan_limit limit;
    struct log_position positions[100];

    fixture_new(&f, 16384);
    for (unsigned i = 0; i < 100; i++) {
        fixture_append(&f, size_of(i));
        positions[i] = f.at;
        if (i % 4 == 0)
            fixture_flush(&f);
    }
    limit = limit_of(&f);
    start(&f, &scan, &reader);
    for (unsigned i = 0; i < 100; i++) {
        unsigned at = i * 37 % 100;

        reader = (struct reader){.at = positions[at]};
        cr_assert_eq(scan_read(&scan, &positions[at], &limit, take, &reader, NULL), 0);
        cr_assert_eq(reader.count, 99 - at);
    }
    scan_release(&scan);
    fixture_free(&f);
}

Test(scan, a_callback_may_stop_and_reading_goes_on_behind_that_batch)
{
    struct fixture f;
    struct scan scan;
    struct reader reader;
    struct scan_limit limit;
    struct log_position from;

    fixture_new(&f, 65536);
    for (unsigned i = 0; i < 50; i++)
        fixture_append(&f, 40);
    limit = limit_of(&f);
    start(&f, &scan, &reader);
    for (unsigned i = 1; i <= 50; i++) {
        reader.stop_after = i;
        from = reader.at;
        cr_assert_eq(scan_read(&scan, &from, &limit, take, &reader, NULL), 77);
        cr_assert_eq(reader.count, i);
    }
    scan_release(&scan);
    fixture_free(&f);
}

Test(scan, a_position_that_is_not_in_the_log_is_told)
{
    struct fixture f;
    struct scan scan;
    struct reader reader;
    struct scan_limit limit;
    struct log_position from;

    fixture_new(&f, 65536);
    for (unsigned i = 0; i < 10; i++)
        fixture_append(&f, 40);
    limit = limit_of(&f);
    start(&f, &scan, &reader);
    from = (struct log_position){5, 12345};
    cr_assert_eq(scan_read(&scan, &from, &limit, take, &reader, NULL), LOG_DIVERGED);
    from = (struct log_position){10, 12345};
    cr_assert_eq(scan_read(&scan, &from, &limit, take, &reader, NULL), LOG_DIVERGED);
    from = (struct log_position){11, f.at.chain};
    cr_assert_eq(scan_read(&scan, &from, &limit, take, &reader, NULL), LOG_DIVERGED);
    from = (struct log_position){0, 1};
    cr_assert_eq(scan_read(&scan, &from, &limit, take, &reader, NULL), LOG_DIVERGED);
    cr_assert_eq(reader.count, 0);
    cr_assert_eq(scan_read(&scan, &reader.at, &limit, take, &reader, NULL), 0);
    cr_assert_eq(reader.count, 10);
    scan_release(&scan);
    fixture_free(&f);
}

Test(scan, what_a_roll_left_behind_is_dead_and_what_it_copied_counts)
{
    struct fixture f;
    struct scan scan;
    struct reader reader;
    struct scan_limit limit;
    struct log_position from, end, tenth;

    fixture_new(&f, 65536);
    start(&f, &scan, &reader);
    for (unsigned i = 0; i < 8; i++)
        fixture_append(&f, 40);
    fixture_flush(&f);
    end = f.durable;
    fixture_append(&f, 40);
    fixture_append(&f, 40);
    tenth = f.at;
    fixture_append(&f, 40);
    fixture_append(&f, 40); /* 12 */
    from = reader.at;
    limit = limit_of(&f);
    cr_assert_eq(scan_read(&scan, &from, &limit, take, &reader, NULL), 0);
    cr_assert_eq(reader.count, 12);
    fixture_roll(&f, SEGMENT_REASON_SYNC_FAILED, &end, 10); /* 11 and 12 were lost */
    cr_assert_eq(f.at.chain, tenth.chain);
    limit = limit_of(&f);
    cr_assert_eq(scan_read(&scan, &reader.at, &limit, take, &reader, NULL), LOG_DIVERGED);
    f.sequence = 10;
    fixture_append(&f, 48);
    fixture_append(&f, 48);
    fixture_append(&f, 48);
    limit = limit_of(&f);
    cr_assert_eq(scan_read(&scan, &reader.at, &limit, take, &reader, NULL), LOG_DIVERGED);
    reader = (struct reader){.at = tenth}; /* it was copied: a reader there just goes on */
    cr_assert_eq(scan_read(&scan, &tenth, &limit, take, &reader, NULL), 0);
    cr_assert_eq(reader.count, 3);
    scan_release(&scan);
    start(&f, &scan, &reader);
    from = reader.at;
    cr_assert_eq(scan_read(&scan, &from, &limit, take, &reader, NULL), 0);
    cr_assert_eq(reader.count, 13);
    scan_release(&scan);
    fixture_free(&f);
}

Test(scan, rolls_that_copy_nothing_leave_segments_in_which_nothing_counts)
{
    struct fixture f;
    struct scan scan;
    struct reader reader;
    struct scan_limit limit;
    struct log_position from, end;

    fixture_new(&f, 16384);
    for (unsigned i = 0; i < 3; i++)
        fixture_append(&f, 40);
    fixture_flush(&f);
    end = f.durable;
    for (unsigned i = 0; i < 3; i++) {
        fixture_append(&f, 40); /* lost each time */
        fixture_roll(&f, SEGMENT_REASON_SYNC_FAILED, &end, 3);
        f.sequence = 3;
    }
    fixture_append(&f, 40);
    limit = limit_of(&f);
    start(&f, &scan, &reader);
    from = reader.at;
    cr_assert_eq(scan_read(&scan, &from, &limit, take, &reader, NULL), 0);
    cr_assert_eq(reader.count, 4);
    reader = (struct reader){.at = end};
    cr_assert_eq(scan_read(&scan, &end, &limit, take, &reader, NULL), 0);
    cr_assert_eq(reader.count, 1);
    scan_release(&scan);
    fixture_free(&f);
}

Test(scan, the_open_sector_is_read_from_its_image)
{
    struct fixture f;
    struct scan scan;
    struct reader reader;
    struct scan_limit limit;
    struct log_position from;
    uint8_t garbage[512];

    fixture_new(&f, 65536);
    fixture_append(&f, 40);
    fixture_append(&f, 40);
    limit = limit_of(&f);
    memset(garbage, 0x77, sizeof(garbage));
    fixture_write(&f, "wal/00000001.wal", limit.tail.offset, garbage, sizeof(garbage));
    start(&f, &scan, &reader);
    from = reader.at;
    cr_assert_eq(scan_read(&scan, &from, &limit, take, &reader, NULL), 0);
    cr_assert_eq(reader.count, 2);
    scan_release(&scan);
    fixture_free(&f);
}

Test(scan, damage_before_the_limit_names_file_offset_and_lsn)
{
    struct fixture f;
    struct scan scan;
    struct reader reader;
    struct scan_limit limit;
    struct log_position from;
    struct error_detail error = {0};
    uint64_t offset;

    fixture_new(&f, 65536);
    fixture_append(&f, 480);
    offset = fixture_append(&f, 2000);
    fixture_append(&f, 40);
    limit = limit_of(&f);
    fixture_flip(&f, "wal/00000001.wal", offset + 512 + 100, 3);
    start(&f, &scan, &reader);
    from = reader.at;
    cr_assert_eq(scan_read(&scan, &from, &limit, take, &reader, &error), HPO_CORRUPT);
    cr_assert_eq(reader.count, 1);
    cr_assert_str_eq(error.path, "wal/00000001.wal");
    cr_assert_eq(error.offset, offset + 512);
    cr_assert_eq(error.lsn, 2);
    scan_release(&scan);
    fixture_free(&f);
}

Test(scan, a_missing_segment_is_damage)
{
    struct fixture f;
    struct scan scan;
    struct reader reader;
    struct scan_limit limit;
    struct log_position from;
    struct error_detail error = {0};

    fixture_new(&f, 16384);
    for (unsigned i = 0; i < 30; i++) {
        fixture_append(&f, 2000);
        fixture_flush(&f);
    }
    limit = limit_of(&f);
    fixture_unlink(&f, "wal/00000003.wal");
    start(&f, &scan, &reader);
    from = reader.at;
    cr_assert_eq(scan_read(&scan, &from, &limit, take, &reader, &error), HPO_CORRUPT);
    cr_assert_str_eq(error.path, "wal/00000003.wal");
    scan_release(&scan);
    fixture_free(&f);
}

Test(scan, the_largest_batch_goes_through)
{
    struct fixture f;
    struct scan scan;
    struct reader reader;
    struct scan_limit limit;
    struct log_position from;

    fixture_new(&f, segment_bytes_for(0, BATCH_SIZE_MAX + 1000));
    fixture_append(&f, 40);
    fixture_append(&f, BATCH_RECORDS_MAX);
    fixture_append(&f, 40);
    limit = limit_of(&f);
    start(&f, &scan, &reader);
    from = reader.at;
    cr_assert_eq(scan_read(&scan, &from, &limit, take, &reader, NULL), 0);
    cr_assert_eq(reader.count, 3);
    scan_release(&scan);
    fixture_free(&f);
}

Test(scan, a_segment_that_does_not_continue_the_one_before_is_damage)
{
    struct fixture f;
    struct scan scan;
    struct reader reader;
    struct scan_limit limit;
    struct log_position from;
    struct error_detail error = {0};
    uint8_t bytes[SEGMENT_HEADER_SIZE];

    fixture_new(&f, 16384);
    fixture_append(&f, 40);
    fixture_flush(&f);
    fixture_roll_all(&f, SEGMENT_REASON_FULL);
    fixture_append(&f, 40);
    f.segment.header.end.chain ^= 1;
    segment_header_encode(&f.segment.header, bytes);
    fixture_write(&f, "wal/00000002.wal", 0, bytes, sizeof(bytes));
    limit = limit_of(&f);
    start(&f, &scan, &reader);
    from = reader.at;
    cr_assert_eq(scan_read(&scan, &from, &limit, take, &reader, &error), HPO_CORRUPT);
    cr_assert_str_eq(error.path, "wal/00000002.wal");
    cr_assert_eq(reader.count, 1);
    scan_release(&scan);
    fixture_free(&f);
}

Test(scan, a_limit_that_is_not_what_the_log_holds_is_damage)
{
    struct fixture f;
    struct scan scan;
    struct reader reader;
    struct scan_limit limit;
    struct log_position from;

    fixture_new(&f, 16384);
    fixture_append(&f, 40);
    limit = limit_of(&f);
    limit.end.chain ^= 1;
    start(&f, &scan, &reader);
    from = reader.at;
    cr_assert_eq(scan_read(&scan, &from, &limit, take, &reader, NULL), HPO_CORRUPT);
    scan_release(&scan);
    fixture_free(&f);
}

/* recovery: the table over all combinations of facts, its twin in docs/recovery.md, and each row on
 * a real store. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec.h"
#include "hash.h"
#include "hpo.h"
#include "log_fixture.h"

/* -- the table -- */

/* The decision in other words than the table's: what docs/recovery.md says in prose. */
static enum recovery_verdict expected(const struct recovery_facts *f, enum recovery_action *action)
{
    bool log_elsewhere = f->traces != RECOVERY_TRACES_NONE;

    *action = RECOVERY_REFUSE;
    if (f->format == RECOVERY_FORMAT_REFUSED)
        return RECOVERY_UNSUPPORTED;
    if (f->format != RECOVERY_FORMAT_GOOD) {
        if (f->format == RECOVERY_FORMAT_ABSENT && f->segments == RECOVERY_SEGMENTS_NONE &&
            !log_elsewhere) {
            *action = RECOVERY_CREATE;
            return RECOVERY_NO_STORE;
        }
        return RECOVERY_BAD_FORMAT;
    }
    if (f->segments == RECOVERY_SEGMENTS_REFUSED)
        return RECOVERY_UNSUPPORTED;
    if (f->segments == RECOVERY_SEGMENTS_BAD)
        return RECOVERY_BAD_HEADER;
    if (f->segments == RECOVERY_SEGMENTS_GAP || f->traces == RECOVERY_TRACES_NEWER)
        return RECOVERY_MISSING_SEGMENT;
    if (f->segments == RECOVERY_SEGMENTS_NONE) {
        if (log_elsewhere)
            return RECOVERY_MISSING_SEGMENT;
        *action = RECOVERY_CREATE;
        return RECOVERY_UNBORN;
    }
    if (f->chains == RECOVERY_CHAINS_DIFFER || f->reach == RECOVERY_P_BELOW_H)
        return RECOVERY_CORRUPT_COMMITTED;
    if (f->stream == RECOVERY_STREAM_ENDS && f->after == RECOVERY_AFTER_ZERO) {
        *action = f->reach == RECOVERY_P_IS_H && f->boot == RECOVERY_BOOT_SAME &&
                          f->file == RECOVERY_FILE_WHOLE
                      ? RECOVERY_IN_PLACE
                      : RECOVERY_ROLL;
        return RECOVERY_CLEAN_END;
    }
    if (f->after == RECOVERY_AFTER_FOREIGN)
        return RECOVERY_CORRUPT_TAIL;
    if (f->boot == RECOVERY_BOOT_SAME && f->rest != RECOVERY_REST_ONE_APPEND)
        return RECOVERY_CORRUPT_TAIL;
    *action = RECOVERY_ROLL;
    return RECOVERY_TORN_TAIL;
}

/* Next combination of facts; false after the last. */
static bool advance(struct recovery_facts *facts)
{
    for (unsigned fact = 0; fact < RECOVERY_FACTS; fact++) {
        unsigned value = recovery_fact(facts, fact) + 1u;

        if (recovery_fact_value_name(fact, value)) {
            recovery_fact_set(facts, fact, (uint8_t)value);
            return true;
        }
        recovery_fact_set(facts, fact, 0);
    }
    return false;
}

Test(recovery, every_combination_of_facts_has_one_decision)
{
    const struct recovery_row *rows;
    struct recovery_facts facts = {0};
    unsigned combinations = 0, decided[32] = {0};
    enum recovery_action action;
    size_t count;

    rows = recovery_table(&count);
    cr_assert_leq(count, 32);
    do {
        unsigned row = recovery_decide(&facts);
        enum recovery_verdict verdict = expected(&facts, &action);

        cr_assert(row >= 1 && row <= count);
        for (unsigned earlier = 0; earlier + 1 < row; earlier++) {
            bool fits = true; /* no earlier row fits too */

            for (unsigned fact = 0; fact < RECOVERY_FACTS; fact++)
                fits &=
                    (recovery_fact(&rows[earlier].accepts, fact) >> recovery_fact(&facts, fact)) &
                    1;
            cr_assert(!fits);
        }
        cr_assert_eq(rows[row - 1].verdict, verdict, "row %u", row);
        cr_assert_eq(rows[row - 1].action, action, "row %u", row);
        decided[row - 1]++;
        combinations++;
    } while (advance(&facts));
    for (size_t row = 0; row < count; row++)
        cr_assert_gt(decided[row], 0, "row %zu decides nothing", row + 1);
    printf("recovery: %u combinations of facts, %zu rows\n", combinations, count);
    cr_assert_eq(combinations, 4 * 5 * 3 * 2 * 3 * 2 * 4 * 2 * 2 * 2);
}

/* A row as docs/recovery.md prints it. */
static void print_row(char *to, size_t size, unsigned number, const struct recovery_row *row)
{
    size_t n = (size_t)snprintf(to, size, "| %u |", number);

    for (unsigned fact = 0; fact < RECOVERY_FACTS; fact++) {
        unsigned accepted = recovery_fact(&row->accepts, fact), all = 0, listed = 0;

        for (unsigned v = 0; recovery_fact_value_name(fact, v); v++)
            all |= 1u << v;
        if ((accepted & all) == all) {
            n += (size_t)snprintf(to + n, size - n, " any |");
            continue;
        }
        for (unsigned v = 0; recovery_fact_value_name(fact, v); v++) {
            if (accepted >> v & 1)
                n += (size_t)snprintf(to + n, size - n, "%s%s", listed++ ? ", " : " ",
                                      recovery_fact_value_name(fact, v));
        }
        n += (size_t)snprintf(to + n, size - n, " |");
    }
    (void)snprintf(to + n, size - n, " `%s` | %s | %s |", recovery_verdict_name(row->verdict),
                   recovery_action_name(row->action), row->text);
}

Test(recovery, the_document_prints_the_table_of_the_code)
{
    const struct recovery_row *rows;
    char line[1024], path[1024], number[32];
    static char text[1 << 18];
    unsigned printed = 0;
    size_t count, n;
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/docs/recovery.md", HPO_SOURCE_DIR);
    file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    n = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[n] = 0;
    rows = recovery_table(&count);
    for (size_t i = 0; i < count; i++) {
        print_row(line, sizeof(line), (unsigned)i + 1, &rows[i]);
        cr_assert_not_null(strstr(text, line), "docs/recovery.md lacks this row:\n%s", line);
    }
    for (unsigned i = 1; i < 100; i++) {
        (void)snprintf(number, sizeof(number), "\n| %u |", i);
        printed += strstr(text, number) != NULL;
    }
    cr_assert_eq(printed, count);
}

/* -- each row on a real store -- */

static void expect(const struct fixture *f, bool other_boot, enum recovery_verdict verdict,
                   enum recovery_action action, uint64_t lsn, const char *why)
{
    struct recovery found;

    fixture_examine(f, other_boot, &found);
    cr_assert_eq(found.verdict, verdict, "%s: %s (row %u), %s", why,
                 recovery_verdict_name(found.verdict), found.row, found.damage.message);
    cr_assert_eq(found.action, action, "%s: %s", why, recovery_action_name(found.action));
    cr_assert_eq(found.limit.end.lsn, lsn, "%s: p is %llu", why,
                 (unsigned long long)found.limit.end.lsn);
    cr_assert_eq(found.damage.code != 0, action == RECOVERY_REFUSE, "%s", why);
    if (found.damage.code != 0) {
        cr_assert_neq(found.damage.path[0], 0, "%s", why);
        cr_assert_neq(found.damage.message[0], 0, "%s", why);
    }
    recovery_release(&found);
}

/* `count` batches of three sectors each and a bit, flushed and attested after `attested`. */
static void fill(struct fixture *f, unsigned count, unsigned attested)
{
    for (unsigned i = 1; i <= count; i++) {
        fixture_append(f, 1200);
        if (i == attested) {
            fixture_flush(f);
            fixture_attest(f);
        }
    }
}

Test(recovery, nothing_there_is_created)
{
    struct fixture f;

    fixture_new(&f, 16384);
    fixture_unlink(&f, "FORMAT");
    fixture_unlink(&f, "attest");
    fixture_unlink(&f, "wal/00000001.wal");
    expect(&f, false, RECOVERY_NO_STORE, RECOVERY_CREATE, 0, "empty wal/");
    fixture_free(&f);
}

Test(recovery, creation_that_was_interrupted_goes_on)
{
    struct fixture f;

    fixture_new(&f, 16384);
    fixture_unlink(&f, "attest");
    fixture_unlink(&f, "wal/00000001.wal");
    expect(&f, false, RECOVERY_UNBORN, RECOVERY_CREATE, 0, "FORMAT only");
    fixture_free(&f);
}

Test(recovery, a_store_without_batches_is_clean)
{
    struct fixture f;

    fixture_new(&f, 16384);
    expect(&f, false, RECOVERY_CLEAN_END, RECOVERY_IN_PLACE, 0, "same boot");
    expect(&f, true, RECOVERY_CLEAN_END, RECOVERY_ROLL, 0, "other boot");
    fixture_unlink(&f, "attest");
    expect(&f, false, RECOVERY_CLEAN_END, RECOVERY_IN_PLACE, 0, "header attests LSN 0");
    fixture_free(&f);
}

Test(recovery, a_store_closed_in_order_goes_on_in_place)
{
    struct fixture f;
    struct recovery found;

    fixture_new(&f, 65536);
    fill(&f, 5, 5);
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.verdict, RECOVERY_CLEAN_END);
    cr_assert_eq(found.action, RECOVERY_IN_PLACE);
    cr_assert_eq(found.limit.end.chain, f.at.chain);
    cr_assert_eq(found.limit.tail.offset, f.tail.offset);
    cr_assert_eq(found.limit.tail.used, 0);
    cr_assert_eq(found.attested.lsn, 5);
    cr_assert_eq(found.attested.chain, f.at.chain);
    cr_assert_eq(found.attested_by, RECOVERY_BY_SLOT);
    cr_assert_eq(found.epoch_max, 1);
    cr_assert_eq(found.segment_count, 1);
    recovery_release(&found);
    expect(&f, true, RECOVERY_CLEAN_END, RECOVERY_ROLL, 5, "another boot always rolls");
    fixture_free(&f);
}

Test(recovery, a_store_closed_without_a_flush_rolls)
{
    struct fixture f;
    struct recovery found;

    fixture_new(&f, 65536);
    fill(&f, 5, 3);
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.verdict, RECOVERY_CLEAN_END);
    cr_assert_eq(found.action, RECOVERY_ROLL);
    cr_assert_eq(found.limit.end.lsn, 5);
    cr_assert_eq(found.attested.lsn, 3);
    recovery_release(&found);
    fixture_free(&f);
}

Test(recovery, sectors_attest_what_was_durable_when_they_were_begun)
{
    struct fixture f;
    struct recovery found;

    fixture_new(&f, 65536);
    fill(&f, 3, 3);
    fixture_append(&f, 40);
    fixture_unlink(&f, "attest");
    fixture_examine(&f, true, &found);
    cr_assert_eq(found.attested.lsn, 3);
    cr_assert_eq(found.attested_by, RECOVERY_BY_SECTOR);
    cr_assert_str_eq(found.attested_path, "wal/00000001.wal");
    recovery_release(&found);
    fixture_free(&f);
}

Test(recovery, a_sector_that_did_not_arrive_is_a_torn_tail_only_after_a_reboot)
{
    static const uint8_t zero[512];
    struct fixture f;
    uint64_t offset;

    fixture_new(&f, 65536);
    fill(&f, 3, 3);
    offset = fixture_append(&f, 1200);
    fixture_append(&f, 1200);
    fixture_write(&f, "wal/00000001.wal", offset + 512, zero, 512);
    expect(&f, true, RECOVERY_TORN_TAIL, RECOVERY_ROLL, 3, "reboot");
    expect(&f, false, RECOVERY_CORRUPT_TAIL, RECOVERY_REFUSE, 3, "no reboot");
    fixture_free(&f);
}

Test(recovery, words_that_did_not_arrive_are_a_torn_tail)
{
    static const uint8_t zero[8];
    struct fixture f;
    uint64_t offset;

    fixture_new(&f, 65536);
    fill(&f, 3, 3);
    offset = fixture_append(&f, 1200);
    for (unsigned word = 0; word < 3 * 64; word++) {
        uint8_t old[8];

        fixture_read(&f, "wal/00000001.wal", offset + 8 * word, old, 8);
        fixture_write(&f, "wal/00000001.wal", offset + 8 * word, zero, 8);
        if (memcmp(old, zero, 8) != 0)
            expect(&f, true, RECOVERY_TORN_TAIL, RECOVERY_ROLL, 3, "a word");
        fixture_write(&f, "wal/00000001.wal", offset + 8 * word, old, 8);
    }
    fixture_free(&f);
}

Test(recovery, an_older_first_word_with_newer_words_behind_still_gives_its_batches)
{
    struct fixture f;
    struct recovery found;
    uint8_t word[8];

    fixture_new(&f, 65536);
    fixture_append(&f, 40);
    fixture_append(&f, 40);
    fixture_read(&f, "wal/00000001.wal", 4096, word, 8);
    fixture_append(&f, 40); /* same sector */
    fixture_write(&f, "wal/00000001.wal", 4096, word, 8);
    expect(&f, true, RECOVERY_TORN_TAIL, RECOVERY_ROLL, 2, "reboot");
    expect(&f, false, RECOVERY_CORRUPT_TAIL, RECOVERY_REFUSE, 0, "no reboot");
    fixture_examine(&f, true, &found);
    cr_assert(found.limit.other_boot);
    cr_assert_eq(found.limit.tail.offset, 4096 + 512);
    recovery_release(&found);
    fixture_free(&f);
}

Test(recovery, an_append_cut_at_a_page_is_a_torn_tail_without_a_reboot)
{
    static const uint8_t zero[512];
    struct fixture f;
    uint64_t offset, end;

    fixture_new(&f, 65536);
    fill(&f, 3, 3);
    offset = fixture_append(&f, 8000);
    end = f.tail.offset + 512;
    for (uint64_t cut = (offset / 4096 + 1) * 4096; cut < end; cut += 4096) {
        for (uint64_t at = end - 512; at >= cut; at -= 512)
            fixture_write(&f, "wal/00000001.wal", at, zero, 512);
        expect(&f, false, RECOVERY_TORN_TAIL, RECOVERY_ROLL, 3, "cut");
        break; /* from the front: what was zeroed stays so */
    }
    fixture_free(&f);
}

Test(recovery, a_hole_with_whole_batches_behind_it_is_not_jumped)
{
    static const uint8_t zero[512];
    struct fixture f;
    struct recovery found;
    uint64_t offset;

    fixture_new(&f, 65536);
    fill(&f, 3, 3);
    offset = fixture_append(&f, 400); /* one sector */
    sector_seal(&f.tail);
    fixture_append(&f, 400);
    fixture_write(&f, "wal/00000001.wal", offset, zero, 512);
    expect(&f, true, RECOVERY_TORN_TAIL, RECOVERY_ROLL, 3, "reboot");
    fixture_examine(&f, true, &found);
    cr_assert_eq(found.after_count[SECTOR_VALID], 1);
    recovery_release(&found);
    fixture_free(&f);
}

Test(recovery, a_flipped_bit_in_free_space_is_loud)
{
    struct fixture f;

    fixture_new(&f, 16384);
    fill(&f, 2, 2);
    fixture_flip(&f, "wal/00000001.wal", 16000, 3);
    expect(&f, false, RECOVERY_CORRUPT_TAIL, RECOVERY_REFUSE, 2, "same boot");
    expect(&f, true, RECOVERY_CORRUPT_TAIL, RECOVERY_REFUSE, 2, "other boot");
    fixture_free(&f);
}

Test(recovery, damage_below_what_is_attested_names_file_offset_and_span)
{
    struct fixture f;
    struct recovery found;
    uint64_t offset;

    fixture_new(&f, 65536);
    fill(&f, 2, 0);
    offset = fixture_append(&f, 1200);
    fixture_append(&f, 1200);
    fixture_flush(&f);
    fixture_attest(&f);
    fixture_append(&f, 1200);
    fixture_flip(&f, "wal/00000001.wal", offset + 512 + 7, 1);
    expect(&f, true, RECOVERY_CORRUPT_COMMITTED, RECOVERY_REFUSE, 2, "flip");
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.verdict, RECOVERY_CORRUPT_COMMITTED);
    cr_assert_str_eq(found.damage.path, "wal/00000001.wal");
    cr_assert_eq(found.damage.offset, offset + 512);
    cr_assert_eq(found.damage.lsn, 3);
    cr_assert_eq(found.damage_lsn_last, 4);
    cr_assert_not_null(strstr(found.damage.message, "hpo-fsck"));
    recovery_release(&found);
    fixture_free(&f);
}

Test(recovery, damage_among_durable_batches_that_nothing_attests_is_a_corrupt_tail)
{
    struct fixture f;
    uint64_t offset;

    fixture_new(&f, 65536);
    fill(&f, 2, 2);
    offset = fixture_append(&f, 1200);
    fixture_flush(&f);
    fixture_flip(&f, "wal/00000001.wal", offset + 512 + 7, 1);
    expect(&f, true, RECOVERY_CORRUPT_TAIL, RECOVERY_REFUSE, 2, "other boot");
    expect(&f, false, RECOVERY_CORRUPT_TAIL, RECOVERY_REFUSE, 2, "same boot");
    fixture_free(&f);
}

/* Three segments: the first two full, the last with some batches. */
static void three_segments(struct fixture *f)
{
    fixture_new(f, 16384);
    while (f->segment.header.number < 3) {
        fixture_append(f, 1200);
        fixture_flush(f);
        fixture_attest(f);
    }
    fixture_append(f, 1200);
    fixture_flush(f);
    fixture_attest(f);
}

Test(recovery, a_missing_segment_is_told_wherever_it_is)
{
    struct fixture f;
    struct recovery found;
    uint64_t first_of_2, first_of_3;

    three_segments(&f);
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.verdict, RECOVERY_CLEAN_END);
    cr_assert_eq(found.segment_count, 3);
    first_of_2 = found.segments[1].header.first_lsn;
    first_of_3 = found.segments[2].header.first_lsn;
    recovery_release(&found);
    fixture_rename(&f, "wal/00000001.wal", "wal/x");
    expect(&f, false, RECOVERY_MISSING_SEGMENT, RECOVERY_REFUSE, 0, "first");
    fixture_rename(&f, "wal/x", "wal/00000001.wal");
    fixture_rename(&f, "wal/00000002.wal", "wal/x");
    fixture_examine(&f, false, &found);
    cr_assert_str_eq(found.damage.path, "wal/00000002.wal");
    recovery_release(&found);
    /* What follows the last attestation in segment 1 might be dead: nobody knows. */
    expect(&f, false, RECOVERY_MISSING_SEGMENT, RECOVERY_REFUSE, first_of_2 - 2, "middle");
    fixture_rename(&f, "wal/x", "wal/00000002.wal");
    fixture_rename(&f, "wal/00000003.wal", "wal/x");
    expect(&f, false, RECOVERY_MISSING_SEGMENT, RECOVERY_REFUSE, first_of_3 - 2, "newest");
    fixture_unlink(&f, "attest");
    expect(&f, false, RECOVERY_CLEAN_END, RECOVERY_ROLL, first_of_3 - 1, "newest and attest");
    fixture_rename(&f, "wal/00000001.wal", "wal/y");
    fixture_rename(&f, "wal/00000002.wal", "wal/z");
    expect(&f, false, RECOVERY_UNBORN, RECOVERY_CREATE, 0, "everything but FORMAT");
    fixture_free(&f);
}

Test(recovery, a_missing_segment_is_told_by_the_epoch_of_a_slot_even_at_lsn_0)
{
    struct fixture f;

    fixture_new(&f, 16384);
    fixture_roll_all(&f, SEGMENT_REASON_RECOVERY);
    expect(&f, false, RECOVERY_CLEAN_END, RECOVERY_IN_PLACE, 0, "whole");
    fixture_unlink(&f, "wal/00000002.wal");
    expect(&f, false, RECOVERY_MISSING_SEGMENT, RECOVERY_REFUSE, 0, "newest missing");
    fixture_unlink(&f, "wal/00000001.wal");
    expect(&f, false, RECOVERY_MISSING_SEGMENT, RECOVERY_REFUSE, 0, "all missing");
    fixture_free(&f);
}

Test(recovery, headers_attest_what_came_before_them)
{
    static const uint8_t zero[4096];
    struct fixture f;
    struct recovery found;

    three_segments(&f);
    fixture_unlink(&f, "attest");
    fixture_write(&f, "wal/00000001.wal", 8192, zero, 4096);
    fixture_examine(&f, true, &found);
    cr_assert_eq(found.verdict, RECOVERY_CORRUPT_COMMITTED);
    cr_assert_geq(found.attested.lsn, found.segments[2].header.end.lsn);
    cr_assert_lt(found.limit.end.lsn, found.segments[1].header.end.lsn);
    recovery_release(&found);
    fixture_free(&f);
}

Test(recovery, one_copy_of_a_header_is_enough_and_none_is_a_bad_header)
{
    struct fixture f;
    struct recovery found;
    uint64_t last;

    three_segments(&f);
    last = f.at.lsn;
    fixture_flip(&f, "wal/00000002.wal", 60, 0);
    fixture_flip(&f, "FORMAT", 2048 + 60, 0);
    expect(&f, false, RECOVERY_CLEAN_END, RECOVERY_IN_PLACE, last, "one copy");
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.segments[1].copies, FORMAT_COPY_SECOND);
    cr_assert_eq(found.format_copies, FORMAT_COPY_FIRST);
    recovery_release(&found);
    fixture_flip(&f, "wal/00000002.wal", 2048 + 60, 0);
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.verdict, RECOVERY_BAD_HEADER);
    cr_assert_str_eq(found.damage.path, "wal/00000002.wal");
    cr_assert_eq(found.limit.segment, 1);
    recovery_release(&found);
    fixture_free(&f);
}

Test(recovery, segments_under_each_others_names_are_bad_headers)
{
    struct fixture f;
    struct recovery found;

    three_segments(&f);
    fixture_rename(&f, "wal/00000001.wal", "wal/x");
    fixture_rename(&f, "wal/00000002.wal", "wal/00000001.wal");
    fixture_rename(&f, "wal/x", "wal/00000002.wal");
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.verdict, RECOVERY_BAD_HEADER);
    cr_assert_eq(found.limit.end.lsn, 0);
    recovery_release(&found);
    fixture_free(&f);
}

Test(recovery, a_segment_of_another_store_is_a_bad_header)
{
    struct fixture f, other;
    struct recovery found;
    static uint8_t bytes[16384];

    three_segments(&f);
    fixture_new(&other, 16384);
    other.uuid[0] ^= 1;
    fixture_roll_all(&other, SEGMENT_REASON_RECOVERY);
    fixture_read(&other, "wal/00000002.wal", 0, bytes, sizeof(bytes));
    fixture_write(&f, "wal/00000002.wal", 0, bytes, sizeof(bytes));
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.verdict, RECOVERY_BAD_HEADER);
    cr_assert_not_null(strstr(found.damage.message, "another store"));
    recovery_release(&found);
    fixture_free(&other);
    fixture_free(&f);
}

Test(recovery, a_header_that_does_not_continue_the_one_before_is_bad)
{
    struct fixture f;
    struct recovery found;
    uint8_t bytes[SEGMENT_HEADER_SIZE], kept[SEGMENT_HEADER_SIZE];
    struct segment_header good, header;

    three_segments(&f);
    fixture_read(&f, "wal/00000002.wal", 0, kept, sizeof(kept));
    cr_assert_eq(segment_header_decode(kept, sizeof(kept), 2, &good), FORMAT_COPIES_BOTH);
    for (unsigned i = 0; i < 3; i++) {
        header = good;
        if (i == 0)
            header.epoch = 3;
        else if (i == 1)
            header.reason = SEGMENT_REASON_FIRST;
        else
            header.reason = SEGMENT_REASON_REPAIR, header.epoch = 1;
        segment_header_encode(&header, bytes);
        fixture_write(&f, "wal/00000002.wal", 0, bytes, sizeof(bytes));
        fixture_examine(&f, false, &found);
        cr_assert_eq(found.verdict, RECOVERY_BAD_HEADER, "%u", i);
        recovery_release(&found);
    }
    /* Another chain at the same LSN: the log contradicts its own header. */
    header = good;
    header.end.chain ^= 1;
    segment_header_encode(&header, bytes);
    fixture_write(&f, "wal/00000002.wal", 0, bytes, sizeof(bytes));
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.verdict, RECOVERY_CORRUPT_COMMITTED);
    cr_assert_eq(found.facts.chains, RECOVERY_CHAINS_DIFFER);
    recovery_release(&found);
    fixture_write(&f, "wal/00000002.wal", 0, kept, sizeof(kept));
    expect(&f, false, RECOVERY_CLEAN_END, RECOVERY_IN_PLACE, f.at.lsn, "as before");
    fixture_free(&f);
}

Test(recovery, format_absent_or_bad_is_told_and_the_log_can_still_be_read)
{
    struct fixture f;

    fixture_new(&f, 65536);
    fill(&f, 4, 4);
    fixture_flip(&f, "FORMAT", 100, 0);
    fixture_flip(&f, "FORMAT", 2048 + 100, 0);
    expect(&f, false, RECOVERY_BAD_FORMAT, RECOVERY_REFUSE, 4, "bad");
    fixture_truncate(&f, "FORMAT", 0);
    expect(&f, false, RECOVERY_BAD_FORMAT, RECOVERY_REFUSE, 4, "empty");
    fixture_unlink(&f, "FORMAT");
    expect(&f, false, RECOVERY_BAD_FORMAT, RECOVERY_REFUSE, 4, "absent");
    fixture_unlink(&f, "wal/00000001.wal");
    expect(&f, false, RECOVERY_BAD_FORMAT, RECOVERY_REFUSE, 0, "attest only");
    fixture_free(&f);
}

Test(recovery, a_newer_format_or_segment_is_unsupported_and_ro_compat_is_read_only)
{
    struct fixture f;
    struct recovery found;
    uint8_t bytes[FORMAT_SIZE];
    struct format format = {0};

    fixture_new(&f, 65536);
    fill(&f, 2, 2);
    memcpy(format.uuid, f.uuid, 16);
    format_features_current(&format.features);
    format.features.ro_compat = 2;
    format_encode(&format, bytes);
    fixture_write(&f, "FORMAT", 0, bytes, sizeof(bytes));
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.verdict, RECOVERY_CLEAN_END);
    cr_assert(found.read_only_features);
    recovery_release(&found);
    format.features.incompat = 1;
    format_encode(&format, bytes);
    fixture_write(&f, "FORMAT", 0, bytes, sizeof(bytes));
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.verdict, RECOVERY_UNSUPPORTED);
    cr_assert_eq(found.damage.code, HPO_UNSUPPORTED);
    cr_assert_not_null(strstr(found.damage.message, "newer"));
    recovery_release(&found);
    format_features_current(&format.features);
    format_encode(&format, bytes);
    fixture_write(&f, "FORMAT", 0, bytes, sizeof(bytes));
    f.segment.header.features.incompat = 1;
    segment_header_encode(&f.segment.header, bytes);
    fixture_write(&f, "wal/00000001.wal", 0, bytes, sizeof(bytes));
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.verdict, RECOVERY_UNSUPPORTED);
    cr_assert_eq(found.damage.code, HPO_UNSUPPORTED);
    recovery_release(&found);
    fixture_free(&f);
}

Test(recovery, a_slot_is_compared_by_chain)
{
    struct fixture f;
    struct recovery found;
    struct attest_slot slot;
    uint8_t bytes[512];

    fixture_new(&f, 65536);
    fill(&f, 5, 4);
    slot = (struct attest_slot){.at = {3, 0x1234}, .epoch = 1};
    attest_encode(&slot, f.uuid, 0, bytes);
    fixture_write(&f, "attest", 0, bytes, 512);
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.verdict, RECOVERY_CORRUPT_COMMITTED);
    cr_assert_eq(found.facts.chains, RECOVERY_CHAINS_DIFFER);
    cr_assert_str_eq(found.damage.path, "attest");
    cr_assert_eq(found.damage.lsn, 3);
    recovery_release(&found);
    fixture_free(&f);
}

Test(recovery, a_slot_of_an_old_epoch_may_lawfully_say_more_than_the_roll_kept)
{
    struct fixture f;
    struct log_position end;

    fixture_new(&f, 65536);
    fill(&f, 3, 3);
    end = f.durable;
    fixture_append(&f, 40);
    fixture_append(&f, 40);
    fixture_flush(&f);
    fixture_attest(&f); /* the late leader: LSN 5 in epoch 1 */
    fixture_roll(&f, SEGMENT_REASON_SYNC_FAILED, &end, 4);
    expect(&f, false, RECOVERY_CLEAN_END, RECOVERY_ROLL, 4, "LSN 5 is dead");
    f.sequence = 4;
    fixture_append(&f, 48);
    expect(&f, false, RECOVERY_CLEAN_END, RECOVERY_ROLL, 5, "another LSN 5");
    fixture_free(&f);
}

Test(recovery, a_sector_may_not_attest_more_than_its_successor_states)
{
    struct fixture f;
    struct log_position end;
    struct recovery found;

    fixture_new(&f, 65536);
    fill(&f, 3, 3);
    end = f.durable;
    fixture_append(&f, 40);
    fixture_flush(&f);
    fixture_append(&f, 40); /* its sector attests LSN 4 */
    fixture_roll(&f, SEGMENT_REASON_SYNC_FAILED, &end, 3);
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.verdict, RECOVERY_CORRUPT_COMMITTED);
    cr_assert_eq(found.facts.chains, RECOVERY_CHAINS_DIFFER);
    cr_assert_str_eq(found.damage.path, "wal/00000001.wal");
    recovery_release(&found);
    fixture_free(&f);
}

Test(recovery, a_repair_silences_what_lower_epochs_attested)
{
    struct fixture f;
    struct log_position end;

    fixture_new(&f, 65536);
    fill(&f, 3, 3);
    end = f.durable;
    fixture_append(&f, 40);
    fixture_flush(&f);
    fixture_attest(&f);
    fixture_append(&f, 40);     /* its sector attests LSN 4 */
    f.segment.header.epoch = 7; /* the repair takes an epoch above every one seen */
    fixture_roll(&f, SEGMENT_REASON_REPAIR, &end, 3);
    expect(&f, false, RECOVERY_CLEAN_END, RECOVERY_IN_PLACE, 3, "LSN 4 was given up");
    fixture_free(&f);
}

Test(recovery, the_dead_part_of_an_old_segment_says_nothing)
{
    struct fixture f;
    struct log_position end;
    uint64_t dead;

    fixture_new(&f, 65536);
    fill(&f, 3, 3);
    end = f.durable;
    dead = fixture_append(&f, 1200);
    fixture_append(&f, 1200);
    fixture_roll(&f, SEGMENT_REASON_SYNC_FAILED, &end, 3);
    fixture_flip(&f, "wal/00000001.wal", dead + 20, 1);
    fixture_flip(&f, "wal/00000001.wal", 60000, 1);
    expect(&f, false, RECOVERY_CLEAN_END, RECOVERY_IN_PLACE, 3, "damage in the dead part");
    expect(&f, true, RECOVERY_CLEAN_END, RECOVERY_ROLL, 3, "damage in the dead part");
    fixture_free(&f);
}

Test(recovery, a_gap_or_a_repeat_in_a_sessions_sequence_is_damage)
{
    for (unsigned i = 0; i < 2; i++) {
        struct fixture f;
        struct recovery found;

        fixture_new(&f, 65536);
        fill(&f, 3, 3);
        f.sequence += i ? 1 : -1;
        fixture_append(&f, 40);
        fixture_examine(&f, true, &found);
        cr_assert_eq(found.verdict, RECOVERY_CORRUPT_TAIL);
        cr_assert_eq(found.limit.end.lsn, 3);
        cr_assert_eq(found.damage.lsn, 4);
        recovery_release(&found);
        fixture_flush(&f);
        fixture_attest(&f);
        fixture_examine(&f, true, &found);
        cr_assert_eq(found.verdict, RECOVERY_CORRUPT_COMMITTED);
        cr_assert_not_null(strstr(found.damage.message, "session"));
        recovery_release(&found);
        fixture_free(&f);
    }
}

Test(recovery, a_short_segment_reads_as_zeros_and_rolls)
{
    struct fixture f;
    struct recovery found;

    fixture_new(&f, 65536);
    fill(&f, 3, 3);
    fixture_truncate(&f, "wal/00000001.wal", 40000);
    expect(&f, false, RECOVERY_CLEAN_END, RECOVERY_ROLL, 3, "free space is gone");
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.facts.file, RECOVERY_FILE_SHORT);
    recovery_release(&found);
    fixture_truncate(&f, "wal/00000001.wal", 4096 + 600);
    expect(&f, false, RECOVERY_CORRUPT_COMMITTED, RECOVERY_REFUSE, 0, "batches are gone");
    fixture_truncate(&f, "wal/00000001.wal", 3000);
    expect(&f, false, RECOVERY_CORRUPT_COMMITTED, RECOVERY_REFUSE, 0, "one header is gone");
    fixture_truncate(&f, "wal/00000001.wal", 2000);
    expect(&f, false, RECOVERY_BAD_HEADER, RECOVERY_REFUSE, 0, "both headers are gone");
    fixture_free(&f);
}

static int examine_with(const struct fixture *f, const struct log_snapshot *snapshots, size_t count,
                        struct recovery *found)
{
    struct recovery_options options = {
        .os = f->os, .store = f->store, .snapshots = snapshots, .snapshot_count = count};

    memcpy(options.boot_id, f->boot, 16);
    return recovery_examine(&options, found, NULL);
}

Test(recovery, snapshots_say_where_to_begin_and_must_agree)
{
    struct fixture f;
    struct recovery found;
    struct log_snapshot snapshots[2];

    fixture_new(&f, 16384);
    while (f.segment.header.number < 4) {
        fixture_append(&f, 1200);
        fixture_flush(&f);
    }
    fixture_attest(&f);
    snapshots[0].at = f.at;
    snapshots[1].at = (struct log_position){2, 0x999}; /* older than where reading begins */
    cr_assert_eq(examine_with(&f, snapshots, 2, &found), 0);
    cr_assert_eq(found.verdict, RECOVERY_CLEAN_END);
    cr_assert_eq(found.start.lsn, f.segment.header.end.lsn);
    cr_assert_eq(found.snapshots_bad, 0);
    recovery_release(&found);
    snapshots[0].at.chain ^= 1;
    cr_assert_eq(examine_with(&f, snapshots, 2, &found), 0);
    cr_assert_eq(found.verdict, RECOVERY_CORRUPT_COMMITTED);
    cr_assert_eq(found.snapshots_bad, 1);
    recovery_release(&found);
    snapshots[0].at = (struct log_position){f.at.lsn + 1, 5}; /* durable, and not in the log */
    cr_assert_eq(examine_with(&f, snapshots, 1, &found), 0);
    cr_assert_eq(found.verdict, RECOVERY_CORRUPT_COMMITTED);
    cr_assert_eq(found.attested_by, RECOVERY_BY_SNAPSHOT);
    cr_assert_eq(found.snapshots_bad, 1);
    recovery_release(&found);
    fixture_free(&f);
}

Test(recovery, a_lost_log_with_a_snapshot_left_is_told)
{
    struct fixture f;
    struct recovery found;
    struct log_snapshot snapshot;

    fixture_new(&f, 16384);
    fixture_append(&f, 40);
    snapshot.at = f.at;
    fixture_unlink(&f, "attest");
    fixture_unlink(&f, "wal/00000001.wal");
    cr_assert_eq(examine_with(&f, &snapshot, 1, &found), 0);
    cr_assert_eq(found.verdict, RECOVERY_MISSING_SEGMENT);
    recovery_release(&found);
    fixture_free(&f);
}

Test(recovery, a_store_in_use_is_looked_at_up_to_its_published_end)
{
    struct fixture f;
    struct recovery found;
    struct scan_limit live;
    struct recovery_options options;
    uint8_t garbage[512];

    fixture_new(&f, 65536);
    fill(&f, 3, 3);
    fixture_append(&f, 40);
    live = (struct scan_limit){.segment = 1, .end = f.at, .tail = f.tail};
    options =
        (struct recovery_options){.os = f.os, .store = f.store, .live = &live, .live_epoch = 1};
    /* What others do meanwhile: append, attest, roll. */
    fixture_append(&f, 40);
    fixture_flush(&f);
    fixture_attest(&f);
    fixture_roll_all(&f, SEGMENT_REASON_FULL);
    memset(garbage, 0x11, sizeof(garbage));
    fixture_write(&f, "wal/00000001.wal", live.tail.offset, garbage, 512);
    cr_assert_eq(recovery_examine(&options, &found, NULL), 0);
    cr_assert_eq(found.verdict, RECOVERY_CLEAN_END, "%s", found.damage.message);
    cr_assert_eq(found.limit.end.lsn, 4);
    cr_assert_eq(found.limit.tail.used, live.tail.used);
    recovery_release(&found);
    fixture_flip(&f, "wal/00000001.wal", 4096 + 700, 1);
    cr_assert_eq(recovery_examine(&options, &found, NULL), 0);
    cr_assert_eq(found.verdict, RECOVERY_CORRUPT_COMMITTED);
    recovery_release(&found);
    fixture_free(&f);
}

static int count_batch(void *arg, const struct log_batch *batch, uint32_t segment, uint64_t offset)
{
    uint64_t *next = arg;

    cr_assert_eq(batch->at.lsn, *next);
    cr_assert(segment > 0 && offset >= SEGMENT_HEADER_SIZE + SECTOR_HEADER_SIZE);
    (*next)++;
    return 0;
}

static int stop_at_third(void *arg, const struct log_batch *batch, uint32_t segment,
                         uint64_t offset)
{
    (void)count_batch(arg, batch, segment, offset);
    return batch->at.lsn == 3 ? 33 : 0;
}

Test(recovery, every_batch_is_delivered_once_with_its_place)
{
    struct fixture f;
    struct recovery found;
    uint64_t next = 1;
    struct recovery_options options;

    three_segments(&f);
    options = (struct recovery_options){
        .os = f.os, .store = f.store, .batch = count_batch, .arg = &next, .from_beginning = true};
    memcpy(options.boot_id, f.boot, 16);
    cr_assert_eq(recovery_examine(&options, &found, NULL), 0);
    cr_assert_eq(next, f.at.lsn + 1);
    recovery_release(&found);
    fixture_free(&f);
}

Test(recovery, a_slot_that_agrees_vouches_for_a_segment_whose_successor_is_gone)
{
    struct fixture f;

    fixture_new(&f, 65536);
    fill(&f, 4, 4);
    fixture_append(&f, 1200); /* its sectors attest 4 */
    fixture_append(&f, 40);
    fixture_flush(&f);
    fixture_roll_all(&f, SEGMENT_REASON_FULL); /* its slot attests 6, with that chain */
    fixture_unlink(&f, "wal/00000002.wal");
    expect(&f, false, RECOVERY_MISSING_SEGMENT, RECOVERY_REFUSE, 6, "by the slot");
    fixture_flip(&f, "attest", 100, 1); /* whichever slot it is, the other epoch still counts */
    fixture_flip(&f, "attest", 512 + 100, 1);
    expect(&f, false, RECOVERY_CLEAN_END, RECOVERY_ROLL, 6, "nobody knows of segment 2");
    fixture_free(&f);
}

Test(recovery, the_published_segment_of_a_store_in_use_must_be_there)
{
    struct fixture f;
    struct recovery found;
    struct scan_limit live;
    struct recovery_options options;

    three_segments(&f);
    live = (struct scan_limit){.segment = 3, .end = f.at, .tail = f.tail};
    options =
        (struct recovery_options){.os = f.os, .store = f.store, .live = &live, .live_epoch = 3};
    cr_assert_eq(recovery_examine(&options, &found, NULL), 0);
    cr_assert_eq(found.verdict, RECOVERY_CLEAN_END);
    recovery_release(&found);
    fixture_unlink(&f, "wal/00000003.wal");
    cr_assert_eq(recovery_examine(&options, &found, NULL), 0);
    cr_assert_eq(found.verdict, RECOVERY_MISSING_SEGMENT);
    cr_assert_str_eq(found.damage.path, "wal/00000003.wal");
    recovery_release(&found);
    fixture_free(&f);
}

Test(recovery, a_segment_with_ro_compat_features_makes_the_store_read_only)
{
    struct fixture f;
    struct recovery found;
    uint8_t bytes[SEGMENT_HEADER_SIZE];

    fixture_new(&f, 65536);
    fill(&f, 2, 2);
    f.segment.header.features.ro_compat = 1;
    segment_header_encode(&f.segment.header, bytes);
    fixture_write(&f, "wal/00000001.wal", 0, bytes, sizeof(bytes));
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.verdict, RECOVERY_CLEAN_END);
    cr_assert(found.read_only_features);
    recovery_release(&found);
    fixture_free(&f);
}

/* Sessions come and go: hundreds in one log, interleaved. */
Test(recovery, every_session_is_followed_and_an_unknown_one_is_damage)
{
    struct fixture f;
    struct recovery found;
    struct batch_header header;
    uint8_t bytes[BATCH_HEADER_SIZE], records[8] = {1};
    uint64_t sessions[300];
    uint32_t sequences[300];
    struct sector_write write;
    unsigned open = 0;

    fixture_new(&f, 1 << 20);
    for (unsigned i = 0; i < 3000; i++) {
        unsigned which = i * 7919 % 300;

        if (i % 10 == 0 || which >= open) {
            header = (struct batch_header){.record_count = 1};
            which = open < 300 ? open++ : which;
        } else {
            header =
                (struct batch_header){.session = sessions[which], .sequence = sequences[which] + 1};
        }
        cr_assert_eq(batch_header_encode(bytes, &header, &f.at, records, 8), 0);
        cr_assert_eq(sector_append(f.os, &f.buffer, &f.tail, f.segment.header.salt,
                                   f.segment.header.bytes, 0, bytes, records, 8, &write),
                     0);
        cr_assert_eq(segment_write(f.os, &f.segment, &write, NULL), 0);
        f.tail = write.tail;
        f.at = (struct log_position){header.lsn, header.chain};
        sessions[which] = header.session;
        sequences[which] = header.sequence;
    }
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.verdict, RECOVERY_CLEAN_END, "%s", found.damage.message);
    cr_assert_eq(found.limit.end.lsn, 3000);
    recovery_release(&found);
    header = (struct batch_header){.session = 2999, .sequence = 5}; /* nobody opened it */
    cr_assert_eq(batch_header_encode(bytes, &header, &f.at, records, 8), 0);
    cr_assert_eq(sector_append(f.os, &f.buffer, &f.tail, f.segment.header.salt,
                               f.segment.header.bytes, 0, bytes, records, 8, &write),
                 0);
    cr_assert_eq(segment_write(f.os, &f.segment, &write, NULL), 0);
    fixture_examine(&f, false, &found);
    cr_assert_eq(found.verdict, RECOVERY_CORRUPT_TAIL);
    cr_assert_eq(found.limit.end.lsn, 3000);
    recovery_release(&found);
    fixture_free(&f);
}

Test(recovery, a_caller_can_end_the_examination)
{
    struct fixture f;
    struct recovery found;
    uint64_t next = 1;
    struct recovery_options options;

    three_segments(&f);
    options = (struct recovery_options){
        .os = f.os, .store = f.store, .batch = stop_at_third, .arg = &next};
    cr_assert_eq(recovery_examine(&options, &found, NULL), 33);
    cr_assert_eq(next, 4);
    recovery_release(&found);
    recovery_release(&found);
    fixture_free(&f);
}

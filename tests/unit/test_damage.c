/*
 * damage: exhaustive damage to whole stores.
 *
 * Goal: whatever is damaged, a reader gets the same data, or an error that names file, offset and
 * LSN together with a prefix of the data; never other data. Method: a store in a directory, one
 * change at a time (each bit flipped; file cut at each byte; each sector, page and word zeroed,
 * copied over another, shifted), examined as an opener of the same boot and of another one would,
 * and read; what comes out is compared with what was written. The answer is also compared with the
 * truth table: what is damaged where decides which verdict it must be. Counts are printed.
 * HPO_TEST_SCALE (0.1 if unset) thins out the loops; at 1 they are complete.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec.h"
#include "hash.h"
#include "hpo.h"
#include "log_fixture.h"

#define BATCHES_MAX 256

/* What was written: the chain after each batch; a chain stands for all bytes before it. */
struct reference {
    uint64_t chain[BATCHES_MAX + 1];
    uint64_t last;
    uint64_t end; /* offset of the first sector behind the last batch */
};

struct counts {
    unsigned long cases, same, committed, tail, header, torn, other, gap;
};

static double scale(void)
{
    const char *text = getenv("HPO_TEST_SCALE");
    double value = text ? atof(text) : 0.1;

    return value > 1 ? 1 : value <= 0 ? 0.1 : value;
}

/* Every which case is looked at; odd, so that all bits of a byte are met in turn. */
static unsigned long stride(void)
{
    unsigned long every = (unsigned long)(1 / scale());

    return every | 1;
}

static int remember(void *arg, const struct log_batch *batch, uint32_t segment, uint64_t offset)
{
    struct reference *reference = arg;

    (void)segment, (void)offset;
    cr_assert_leq(batch->at.lsn, BATCHES_MAX);
    reference->chain[batch->at.lsn] = batch->at.chain;
    reference->last = batch->at.lsn;
    return 0;
}

static void examine(const struct fixture *f, bool other_boot, bool from_beginning,
                    struct reference *reference, struct recovery *out)
{
    struct recovery_options options = {
        .os = f->os,
        .store = f->store,
        .from_beginning = from_beginning,
        .batch = reference ? remember : NULL,
        .arg = reference,
    };
    struct error_detail error = {0};

    memcpy(options.boot_id, f->boot, 16);
    if (other_boot)
        options.boot_id[0] ^= 1;
    cr_assert_eq(recovery_examine(&options, out, &error), 0, "%s: %s", error.path, error.message);
}

static void learn(const struct fixture *f, struct reference *reference)
{
    struct recovery found;

    *reference = (struct reference){0};
    examine(f, false, true, reference, &found);
    cr_assert_eq(found.damage.code, 0);
    reference->chain[0] = found.start.chain;
    cr_assert_eq(found.limit.end.lsn, reference->last);
    reference->end = found.limit.tail.offset;
    recovery_release(&found);
}

static int count_read(void *arg, const struct log_batch *batch)
{
    const struct reference *reference = *(const struct reference **)arg;

    cr_assert_leq(batch->at.lsn, reference->last);
    cr_assert_eq(batch->at.chain, reference->chain[batch->at.lsn], "other data at LSN %llu",
                 (unsigned long long)batch->at.lsn);
    return 0;
}

/* Examine and read; all that comes out must be what was written, and damage must be named. */
static enum recovery_verdict outcome(const struct fixture *f, bool other_boot,
                                     const struct reference *reference, uint64_t *lsn,
                                     struct counts *counts)
{
    struct recovery found;
    struct scan scan;
    struct error_detail error = {0};
    enum recovery_verdict verdict;
    int err;

    examine(f, other_boot, false, NULL, &found);
    verdict = found.verdict;
    counts->cases++;
    cr_assert_leq(found.limit.end.lsn, reference->last);
    cr_assert(found.limit.end.chain == reference->chain[found.limit.end.lsn] ||
              found.facts.format != RECOVERY_FORMAT_GOOD);
    if (found.action == RECOVERY_REFUSE) {
        cr_assert_neq(found.damage.code, 0);
        cr_assert_neq(found.damage.path[0], 0);
        cr_assert_neq(found.damage.message[0], 0);
        cr_assert_gt(found.damage.lsn, 0);
    }
    if (found.facts.format == RECOVERY_FORMAT_GOOD && found.limit.end.lsn > 0) {
        scan_init(&scan, f->os, f->wal, f->uuid);
        err = scan_read(&scan, &found.start, &found.limit, count_read, &reference, &error);
        cr_assert_eq(err, 0, "reading to LSN %llu: %s at %llu: %s",
                     (unsigned long long)found.limit.end.lsn, error.path,
                     (unsigned long long)error.offset, error.message);
        scan_release(&scan);
    }
    *lsn = found.limit.end.lsn;
    if (verdict == RECOVERY_CLEAN_END || verdict == RECOVERY_TORN_TAIL) {
        if (*lsn == reference->last)
            counts->same++;
        else
            counts->torn++;
    } else if (verdict == RECOVERY_CORRUPT_COMMITTED) {
        counts->committed++;
    } else if (verdict == RECOVERY_CORRUPT_TAIL) {
        counts->tail++;
    } else if (verdict == RECOVERY_BAD_HEADER || verdict == RECOVERY_BAD_FORMAT) {
        counts->header++;
    } else {
        counts->other++;
    }
    recovery_release(&found);
    return verdict;
}

static void print(const char *what, const struct counts *c)
{
    printf("damage: %-44s %8lu cases: %lu same data, %lu CORRUPT_COMMITTED, %lu CORRUPT_TAIL, %lu "
           "header or FORMAT, %lu other, %lu shorter\n",
           what, c->cases, c->same, c->committed, c->tail, c->header, c->other, c->torn);
    fflush(stdout);
}

/* -- a store of 50 trials, closed in order: everything is attested -- */

static void append_and_wait(struct log *log, uint64_t *session, uint32_t *sequence, size_t size,
                            bool wait)
{
    struct log_ticket ticket;
    uint8_t records[512];

    cr_assert_eq(log_lock(log), 0);
    fixture_records(log_end(log).lsn + 1, records, size);
    cr_assert_eq(log_append(log, *session, ++*sequence, records, size, 1, true, &ticket), 0);
    log_unlock(log);
    if (*session == 0)
        *session = ticket.at.lsn;
    if (wait)
        cr_assert_eq(log_wait(log, &ticket), 0);
}

/* Opens a fixture over a store that the log itself made and closed. */
static void fifty_trials(struct fixture *f, struct reference *reference)
{
    struct log_options options = {.create = true, .segment_size_first = 64 << 10};
    uint64_t session = 0;
    uint32_t sequence = 0;
    struct log *log;
    const char *tmp = getenv("TMPDIR");

    memset(f, 0, sizeof(*f));
    f->os = options.os = os_linux();
    (void)snprintf(f->path, sizeof(f->path), "%s/hpo-test-XXXXXX", tmp ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(f->path));
    cr_assert_eq(log_open(f->path, &options, &log), 0);
    log_uuid(log, f->uuid);
    append_and_wait(log, &session, &sequence, 48, false);
    for (unsigned trial = 0; trial < 50; trial++) {
        append_and_wait(log, &session, &sequence, 208 + 8 * (trial % 5), false); /* ask */
        append_and_wait(log, &session, &sequence, 40 + 8 * (trial % 3), true);   /* tell */
    }
    log_close(log);
    cr_assert_eq(f->os->boot_id(f->os->self, f->boot), 0);
    cr_assert_eq(f->os->dir_open(f->os->self, f->path, &f->store), 0);
    cr_assert_eq(f->os->dir_open_at(f->os->self, f->store, "wal", &f->wal), 0);
    learn(f, reference);
    cr_assert_eq(reference->last, 101);
}

/* Which bits are flipped by one test: a share of them, so that tests share the cores. */
static void flip_share(unsigned share, unsigned shares)
{
    struct fixture f;
    struct reference reference;
    struct counts counts = {0};
    uint64_t size, used, lsn, step = stride();
    enum recovery_verdict verdict;
    char what[64];

    fifty_trials(&f, &reference);
    size = fixture_size(&f, "wal/00000001.wal");
    used = reference.end;
    for (uint64_t bit = share * step; bit < size * 8; bit += shares * step) {
        bool other_boot = bit / (shares * step) % 2;

        fixture_flip(&f, "wal/00000001.wal", bit / 8, bit % 8);
        verdict = outcome(&f, other_boot, &reference, &lsn, &counts);
        if (bit / 8 < SEGMENT_HEADER_SIZE)
            cr_assert(verdict == RECOVERY_CLEAN_END && lsn == reference.last);
        else if (bit / 8 < used)
            cr_assert_eq(verdict, RECOVERY_CORRUPT_COMMITTED, "bit %llu", (unsigned long long)bit);
        else
            cr_assert(verdict == RECOVERY_CORRUPT_TAIL && lsn == reference.last, "bit %llu",
                      (unsigned long long)bit);
        fixture_flip(&f, "wal/00000001.wal", bit / 8, bit % 8);
    }
    (void)snprintf(what, sizeof(what), "segment, bits flipped (part %u of %u)", share + 1, shares);
    print(what, &counts);
    cr_assert_eq(outcome(&f, false, &reference, &lsn, &counts), RECOVERY_CLEAN_END);
    fixture_free(&f);
}

Test(damage, every_flipped_bit_of_a_segment_gives_the_same_data_or_is_named_1, .timeout = 600)
{
    flip_share(0, 4);
}

Test(damage, every_flipped_bit_of_a_segment_gives_the_same_data_or_is_named_2, .timeout = 600)
{
    flip_share(1, 4);
}

Test(damage, every_flipped_bit_of_a_segment_gives_the_same_data_or_is_named_3, .timeout = 600)
{
    flip_share(2, 4);
}

Test(damage, every_flipped_bit_of_a_segment_gives_the_same_data_or_is_named_4, .timeout = 600)
{
    flip_share(3, 4);
}

Test(damage, every_flipped_bit_of_format_and_attest_gives_the_same_data, .timeout = 600)
{
    static const char *const names[] = {"FORMAT", "attest"};
    struct fixture f;
    struct reference reference;
    struct counts counts = {0};
    uint64_t lsn;

    fifty_trials(&f, &reference);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t bits = fixture_size(&f, names[i]) * 8;

        for (uint64_t bit = 0; bit < bits; bit += scale() < 1 ? 3 : 1) {
            fixture_flip(&f, names[i], bit / 8, bit % 8);
            cr_assert_eq(outcome(&f, bit % 2, &reference, &lsn, &counts), RECOVERY_CLEAN_END);
            cr_assert_eq(lsn, reference.last);
            fixture_flip(&f, names[i], bit / 8, bit % 8);
        }
    }
    print("FORMAT and attest, bits flipped", &counts);
    fixture_free(&f);
}

Test(damage, a_segment_cut_at_every_byte_gives_the_same_data_or_is_named, .timeout = 600)
{
    struct fixture f;
    struct reference reference;
    struct counts counts = {0};
    uint64_t lsn, size, used;
    enum recovery_verdict verdict;
    static uint8_t whole[1 << 16];

    fifty_trials(&f, &reference);
    size = fixture_size(&f, "wal/00000001.wal");
    cr_assert_eq(size, sizeof(whole)); /* the last 64 KiB are all of it */
    fixture_read(&f, "wal/00000001.wal", 0, whole, sizeof(whole));
    used = reference.end;
    for (uint64_t cut = size; cut-- > 0;) { /* all of them, whatever the scale */
        fixture_truncate(&f, "wal/00000001.wal", cut);
        verdict = outcome(&f, cut % 2, &reference, &lsn, &counts);
        if (cut < FORMAT_COPY_SIZE)
            cr_assert_eq(verdict, RECOVERY_BAD_HEADER);
        else if (verdict == RECOVERY_CLEAN_END)
            cr_assert_eq(lsn, reference.last); /* free space, or zeros that were zeros anyway */
        else
            cr_assert(verdict == RECOVERY_CORRUPT_COMMITTED && cut < used);
    }
    print("segment, cut at every byte", &counts);
    cr_assert_eq(counts.cases, 65536);
    fixture_write(&f, "wal/00000001.wal", 0, whole, sizeof(whole));
    cr_assert_eq(outcome(&f, false, &reference, &lsn, &counts), RECOVERY_CLEAN_END);
    fixture_free(&f);
}

Test(damage, missing_or_empty_files_give_the_same_data_or_are_named)
{
    static const char *const names[] = {"FORMAT", "attest", "shm", "lock", "wal/00000001.wal"};
    struct fixture f;
    struct reference reference;
    struct counts counts = {0};
    uint64_t lsn;
    enum recovery_verdict verdict;

    fifty_trials(&f, &reference);
    for (unsigned i = 0; i < 5; i++) {
        fixture_rename(&f, names[i], "x");
        verdict = outcome(&f, false, &reference, &lsn, &counts);
        cr_assert_eq(verdict, i == 0   ? RECOVERY_BAD_FORMAT
                              : i == 4 ? RECOVERY_MISSING_SEGMENT
                                       : RECOVERY_CLEAN_END);
        fixture_rename(&f, "x", names[i]);
    }
    for (unsigned i = 0; i < 5; i++) {
        static uint8_t kept[1 << 20];
        size_t size = fixture_size(&f, names[i]);

        cr_assert_leq(size, sizeof(kept));
        fixture_read(&f, names[i], 0, kept, size);
        fixture_truncate(&f, names[i], 0);
        verdict = outcome(&f, false, &reference, &lsn, &counts);
        cr_assert_eq(verdict, i == 0   ? RECOVERY_BAD_FORMAT
                              : i == 4 ? RECOVERY_BAD_HEADER
                                       : RECOVERY_CLEAN_END);
        fixture_truncate(&f, names[i], size);
        fixture_write(&f, names[i], 0, kept, size);
    }
    print("files missing or empty", &counts);
    fixture_free(&f);
}

/* -- sectors, pages and words of a segment -- */

/* Replace [offset, +size) by `bytes`, look, put the old bytes back. Nothing if they are the same.
 */
static void replace(const struct fixture *f, const struct reference *reference, uint64_t offset,
                    const uint8_t *bytes, size_t size, struct counts *counts)
{
    uint8_t old[4096];
    uint64_t lsn;
    enum recovery_verdict verdict;
    bool free_space = offset >= reference->end;

    fixture_read(f, "wal/00000001.wal", offset, old, size);
    if (memcmp(old, bytes, size) == 0)
        return;
    fixture_write(f, "wal/00000001.wal", offset, bytes, size);
    for (unsigned other_boot = 0; other_boot < 2; other_boot++) {
        verdict = outcome(f, other_boot, reference, &lsn, counts);
        if (free_space) /* zeros became something else */
            cr_assert(verdict == RECOVERY_CORRUPT_TAIL && lsn == reference->last, "offset %llu: %s",
                      (unsigned long long)offset, recovery_verdict_name(verdict));
        else
            cr_assert_eq(verdict, RECOVERY_CORRUPT_COMMITTED, "offset %llu: %s",
                         (unsigned long long)offset, recovery_verdict_name(verdict));
    }
    fixture_write(f, "wal/00000001.wal", offset, old, size);
}

Test(damage, every_sector_and_page_zeroed_duplicated_or_shifted_is_named, .timeout = 600)
{
    static uint8_t whole[1 << 16];
    uint8_t bytes[4096];
    struct fixture f;
    struct reference reference;
    struct counts zeroed = {0}, copied = {0}, shifted = {0};
    uint64_t sectors, used;

    fifty_trials(&f, &reference);
    fixture_read(&f, "wal/00000001.wal", 0, whole, sizeof(whole));
    sectors = sizeof(whole) / SECTOR_SIZE;
    used = reference.end / SECTOR_SIZE;
    memset(bytes, 0, sizeof(bytes));
    for (uint64_t s = 8; s < used; s++)
        replace(&f, &reference, s * 512, bytes, 512, &zeroed);
    for (uint64_t page = 1; page * 8 < used; page++)
        replace(&f, &reference, page * 4096, bytes, 4096, &zeroed);
    for (uint64_t word = 4096 / 8; word < used * 64; word++)
        replace(&f, &reference, word * 8, bytes, 8, &zeroed);
    for (uint64_t byte = 4096; byte < used * 512; byte++)
        replace(&f, &reference, byte, bytes, 1, &zeroed);
    print("sectors, pages, words, bytes zeroed", &zeroed);
    for (uint64_t from = 8; from < used; from++) { /* also into free space */
        for (uint64_t to = 8; to < sectors; to += to < used || scale() >= 1 ? 1 : 7)
            replace(&f, &reference, to * 512, whole + from * 512, 512, &copied);
    }
    for (uint64_t from = 1; from * 8 < used; from++) {
        for (uint64_t to = 1; to < 16; to++)
            replace(&f, &reference, to * 4096, whole + from * 4096, 4096, &copied);
    }
    print("sectors and pages copied over each other", &copied);
    for (uint64_t s = 8; s < used; s++) {
        for (unsigned by = 1; by < 512; by += by < 16 ? 1 : 31) {
            memset(bytes, 0, 512);
            memcpy(bytes + by, whole + s * 512, 512 - by);
            replace(&f, &reference, s * 512, bytes, 512, &shifted);
            memset(bytes, 0, 512);
            memcpy(bytes, whole + s * 512 + by, 512 - by);
            replace(&f, &reference, s * 512, bytes, 512, &shifted);
        }
    }
    print("sectors shifted", &shifted);
    fixture_free(&f);
}

Test(damage, sectors_and_segments_swapped_are_named, .timeout = 600)
{
    static uint8_t whole[1 << 16];
    struct fixture f;
    struct reference reference;
    struct counts counts = {0};
    uint64_t used, lsn;

    fifty_trials(&f, &reference);
    fixture_read(&f, "wal/00000001.wal", 0, whole, sizeof(whole));
    used = reference.end / SECTOR_SIZE;
    for (uint64_t a = 8; a < used; a++) {
        for (uint64_t b = a + 1; b < used; b++) {
            fixture_write(&f, "wal/00000001.wal", a * 512, whole + b * 512, 512);
            fixture_write(&f, "wal/00000001.wal", b * 512, whole + a * 512, 512);
            cr_assert_eq(outcome(&f, (a + b) % 2, &reference, &lsn, &counts),
                         RECOVERY_CORRUPT_COMMITTED);
            fixture_write(&f, "wal/00000001.wal", a * 512, whole + a * 512, 512);
            fixture_write(&f, "wal/00000001.wal", b * 512, whole + b * 512, 512);
        }
    }
    print("sectors swapped with each other", &counts);
    fixture_free(&f);
}

/* -- a store that was not closed: attested, durable, open -- */

/*
 * Segment 1: batches 1..6, then dead ones. Segment 2: 7..20; H = 15 is attested, 16..18 were
 * flushed and nothing attests them, 19 and 20 were never flushed.
 */
static uint64_t attested_end, durable_end;

static void a_store_that_died(struct fixture *f, struct reference *reference)
{
    struct log_position end;

    fixture_new(f, 32 << 10);
    for (unsigned i = 1; i <= 6; i++)
        fixture_append(f, 200 + 40 * i);
    fixture_flush(f);
    fixture_attest(f);
    end = f->durable;
    fixture_append(f, 1000); /* dead */
    fixture_append(f, 1000);
    fixture_roll(f, SEGMENT_REASON_SYNC_FAILED, &end, 6);
    f->sequence = 6;
    fixture_attest(f);
    for (unsigned i = 7; i <= 15; i++)
        fixture_append(f, 200 + 40 * i);
    fixture_flush(f);
    fixture_attest(f);
    attested_end = f->tail.offset;
    for (unsigned i = 16; i <= 18; i++) {
        /* Sectors begun now must not attest 15: the gap is what lies behind the last attestation.
         */
        fixture_append(f, 200 + 40 * i);
    }
    durable_end = f->tail.offset + SECTOR_SIZE;
    sector_seal(&f->tail);
    fixture_append(f, 104);
    fixture_append(f, 1504);
    learn(f, reference);
    cr_assert_eq(reference->last, 20);
}

static void flip_died(const char *name, bool newest)
{
    struct fixture f;
    struct reference reference;
    struct counts counts = {0};
    uint64_t lsn, step = stride(), size;
    enum recovery_verdict verdict;

    a_store_that_died(&f, &reference);
    size = fixture_size(&f, name);
    for (uint64_t bit = 0; bit < size * 8; bit += step) {
        uint64_t byte = bit / 8;

        fixture_flip(&f, name, byte, bit % 8);
        for (unsigned other_boot = 0; other_boot < 2; other_boot++) {
            verdict = outcome(&f, other_boot, &reference, &lsn, &counts);
            if (byte < SEGMENT_HEADER_SIZE)
                cr_assert(verdict == RECOVERY_CLEAN_END && lsn == 20);
            else if (!newest && byte >= 8192) /* dead bytes, free space of an old segment */
                cr_assert(verdict == RECOVERY_CLEAN_END && lsn == 20, "byte %llu",
                          (unsigned long long)byte);
            else if (!newest)
                cr_assert(verdict == RECOVERY_CORRUPT_COMMITTED ||
                          (verdict == RECOVERY_CLEAN_END && lsn == 20));
            else if (byte < attested_end)
                cr_assert_eq(verdict, RECOVERY_CORRUPT_COMMITTED);
            else
                cr_assert_eq(verdict, RECOVERY_CORRUPT_TAIL, "byte %llu: %s",
                             (unsigned long long)byte, recovery_verdict_name(verdict));
        }
        fixture_flip(&f, name, byte, bit % 8);
    }
    print(newest ? "newest segment of a store that died, bits"
                 : "old segment with dead bytes, bits",
          &counts);
    fixture_free(&f);
}

Test(damage, each_bit_of_a_store_that_died_gets_the_verdict_of_its_place, .timeout = 600)
{
    flip_died("wal/00000002.wal", true);
}

Test(damage, dead_bytes_of_an_old_segment_change_nothing, .timeout = 600)
{
    flip_died("wal/00000001.wal", false);
}

/* The one gap, counted: durable and not yet attested sectors that become zero, wholly or in words,
 * or an earlier version of themselves, read as a torn tail after a reboot. Never other data. */
Test(damage, the_gap_is_the_last_group_that_nothing_attests, .timeout = 600)
{
    static const uint8_t zero[512];
    struct fixture f;
    struct reference reference;
    struct counts counts = {0};
    uint64_t lsn, gap = 0, named = 0;
    uint8_t old[512];

    a_store_that_died(&f, &reference);
    for (uint64_t offset = SEGMENT_HEADER_SIZE; offset < durable_end; offset += 512) {
        for (unsigned word = 0; word <= 64; word++) { /* 64: the whole sector */
            uint64_t at = offset + (word < 64 ? 8 * word : 0);
            size_t size = word < 64 ? 8 : 512;
            enum recovery_verdict same, other;

            fixture_read(&f, "wal/00000002.wal", at, old, size);
            if (memcmp(old, zero, size) == 0)
                continue;
            fixture_write(&f, "wal/00000002.wal", at, zero, size);
            other = outcome(&f, true, &reference, &lsn, &counts);
            same = outcome(&f, false, &reference, &lsn, &counts);
            if (offset < attested_end) {
                cr_assert_eq(other, RECOVERY_CORRUPT_COMMITTED);
                cr_assert_eq(same, RECOVERY_CORRUPT_COMMITTED);
                named++;
            } else {
                cr_assert_eq(other, RECOVERY_TORN_TAIL);
                cr_assert_eq(same, RECOVERY_CORRUPT_TAIL); /* without a reboot it is loud */
                gap++;
            }
            fixture_write(&f, "wal/00000002.wal", at, old, size);
        }
    }
    printf(
        "damage: %-44s %8llu cases named, %llu in the gap (read as a torn tail after a reboot)\n",
        "words and sectors zeroed below the durable LSN", (unsigned long long)named,
        (unsigned long long)gap);
    cr_assert(named > 300 && gap > 30);
    fixture_free(&f);
}

/* -- damage under a check that agrees: what a writer with a fault, or malice, could make -- */

static void flip_and_seal(const struct fixture *f, const char *name, uint64_t salt, uint64_t sector,
                          unsigned bit, uint8_t old[SECTOR_SIZE])
{
    uint8_t bytes[SECTOR_SIZE];

    fixture_read(f, name, sector, old, SECTOR_SIZE);
    memcpy(bytes, old, SECTOR_SIZE);
    bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    codec_store_u32(bytes, (uint32_t)hash64(salt + sector, bytes + 4, SECTOR_SIZE - 4));
    fixture_write(f, name, sector, bytes, SECTOR_SIZE);
}

static uint64_t salt_of(const struct fixture *f, const char *name)
{
    uint8_t bytes[8];

    fixture_read(f, name, 56, bytes, 8);
    return codec_load_u64(bytes);
}

/* A changed `used` of the last sector may claim words behind the last batch. They are no batch, and
 * all that are stay: the log ends as it did, with something after it. */
static bool last_claims_more(const struct reference *reference, uint64_t sector, unsigned bit,
                             const uint8_t old[SECTOR_SIZE])
{
    uint32_t used = codec_load_u16(old + 4), changed;

    if (sector + SECTOR_SIZE < reference->end || bit < 32 || bit >= 48)
        return false;
    changed = used ^ 1u << (bit - 32);
    return changed > used && changed <= SECTOR_PAYLOAD_SIZE && changed % 8 == 0;
}

Test(damage, a_last_sector_that_claims_more_ends_as_before_with_something_after_it)
{
    struct fixture f;
    struct reference reference;
    struct counts counts = {0};
    uint8_t bytes[SECTOR_SIZE];
    uint64_t lsn, salt, sector;

    fifty_trials(&f, &reference);
    salt = salt_of(&f, "wal/00000001.wal");
    sector = reference.end - SECTOR_SIZE;
    fixture_read(&f, "wal/00000001.wal", sector, bytes, SECTOR_SIZE);
    cr_assert_leq(codec_load_u16(bytes + 4) + 8u, SECTOR_PAYLOAD_SIZE);
    codec_store_u16(bytes + 4, (uint16_t)(codec_load_u16(bytes + 4) + 8));
    codec_store_u32(bytes, (uint32_t)hash64(salt + sector, bytes + 4, SECTOR_SIZE - 4));
    fixture_write(&f, "wal/00000001.wal", sector, bytes, SECTOR_SIZE);
    cr_assert_eq(outcome(&f, true, &reference, &lsn, &counts), RECOVERY_TORN_TAIL);
    cr_assert_eq(lsn, reference.last);
    cr_assert_eq(outcome(&f, false, &reference, &lsn, &counts), RECOVERY_CORRUPT_TAIL);
    cr_assert_eq(lsn, reference.last);
    fixture_free(&f);
}

/* The chain, and the sectors' own rules, tell what the checks no longer can. */
Test(damage, a_changed_bit_under_a_good_check_never_gives_other_data, .timeout = 600)
{
    struct fixture f;
    struct reference reference;
    struct counts counts = {0};
    uint8_t old[SECTOR_SIZE];
    uint64_t lsn, salt;
    unsigned long step = stride(), harmless = 0;
    enum recovery_verdict verdict;

    fifty_trials(&f, &reference);
    salt = salt_of(&f, "wal/00000001.wal");
    for (uint64_t sector = SEGMENT_HEADER_SIZE; sector < reference.end; sector += SECTOR_SIZE) {
        for (unsigned bit = 32 + (unsigned)(sector / 512 % step); bit < SECTOR_SIZE * 8;
             bit += (unsigned)step) {
            flip_and_seal(&f, "wal/00000001.wal", salt, sector, bit, old);
            verdict = outcome(&f, bit % 2, &reference, &lsn, &counts);
            if (bit / 8 >= 8 && bit / 8 < 16 && verdict == RECOVERY_CLEAN_END)
                harmless++; /* it attests less, or nothing new: the log is as it was */
            else if (last_claims_more(&reference, sector, bit, old)) {
                cr_assert_eq(lsn, reference.last);
                cr_assert(verdict == RECOVERY_TORN_TAIL || verdict == RECOVERY_CORRUPT_TAIL);
                harmless += verdict == RECOVERY_TORN_TAIL;
            } else
                cr_assert_eq(verdict, RECOVERY_CORRUPT_COMMITTED, "sector %llu bit %u: %s",
                             (unsigned long long)sector, bit, recovery_verdict_name(verdict));
            fixture_write(&f, "wal/00000001.wal", sector, old, SECTOR_SIZE);
        }
    }
    print("bits of sectors changed, checks made to agree", &counts);
    cr_assert_eq(counts.same, harmless);
    cr_assert_gt(counts.committed, 10000 * scale());
    fixture_free(&f);
}

Test(damage, a_changed_bit_under_a_good_check_in_an_unattested_tail_gives_a_prefix, .timeout = 600)
{
    struct fixture f;
    struct reference reference;
    struct counts counts = {0};
    uint8_t old[SECTOR_SIZE];
    uint64_t lsn, salt;
    unsigned long step = stride();

    a_store_that_died(&f, &reference);
    salt = salt_of(&f, "wal/00000002.wal");
    for (uint64_t sector = attested_end; sector < reference.end; sector += SECTOR_SIZE) {
        for (unsigned bit = 32; bit < SECTOR_SIZE * 8; bit += (unsigned)step) {
            flip_and_seal(&f, "wal/00000002.wal", salt, sector, bit, old);
            for (unsigned other_boot = 0; other_boot < 2; other_boot++)
                (void)outcome(&f, other_boot, &reference, &lsn, &counts);
            fixture_write(&f, "wal/00000002.wal", sector, old, SECTOR_SIZE);
        }
    }
    print("the same in an unattested tail", &counts);
    fixture_free(&f);
}

/* Header fields of a batch, one by one, under good checks; the length above all. */
Test(damage, fields_of_a_batch_header_are_not_believed_before_the_chain_agrees)
{
    static const struct {
        unsigned at, size;
        uint64_t value;
    } fields[] = {
        {0, 8, 0},           {0, 8, 1},        {0, 8, 99},          {0, 8, UINT64_MAX},
        {8, 8, 0},           {8, 8, 2},        {8, 8, UINT64_MAX},  {16, 4, 0},
        {16, 4, 39},         {16, 4, 40},      {16, 4, 48},         {16, 4, 4096},
        {16, 4, 1 << 20},    {16, 4, 4 << 20}, {16, 4, 0xfffffff8}, {20, 4, 0},
        {20, 4, 1},          {20, 4, 3},       {20, 4, UINT32_MAX}, {24, 2, 0},
        {24, 2, 0xffff},     {26, 2, 1},       {26, 2, 0x8000},     {28, 4, 1},
        {28, 4, 0x80000000}, {32, 8, 0},       {32, 8, UINT64_MAX},
    };
    struct fixture f;
    struct reference reference;
    struct counts counts = {0};
    uint8_t old[SECTOR_SIZE], bytes[SECTOR_SIZE], plain[8];
    uint64_t lsn, salt, first, sector;
    enum recovery_verdict verdict;

    fixture_new(&f, 32 << 10);
    fixture_append(&f, 40);
    fixture_flush(&f);
    sector = fixture_append(&f, 104); /* batch 2, alone in its sector */
    fixture_flush(&f);
    fixture_append(&f, 40);
    fixture_flush(&f);
    fixture_attest(&f);
    learn(&f, &reference);
    salt = f.segment.header.salt;
    fixture_read(&f, "wal/00000001.wal", sector, old, SECTOR_SIZE);
    first = SECTOR_HEADER_SIZE;
    for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        memcpy(bytes, old, SECTOR_SIZE);
        codec_store_u64(plain, fields[i].value);
        for (unsigned j = 0; j < fields[i].size; j++)
            bytes[first + fields[i].at + j] = plain[j] ^ bytes[7];
        if (memcmp(bytes, old, SECTOR_SIZE) == 0)
            continue;
        codec_store_u32(bytes, (uint32_t)hash64(salt + sector, bytes + 4, SECTOR_SIZE - 4));
        fixture_write(&f, "wal/00000001.wal", sector, bytes, SECTOR_SIZE);
        for (unsigned other_boot = 0; other_boot < 2; other_boot++) {
            verdict = outcome(&f, other_boot, &reference, &lsn, &counts);
            cr_assert_eq(verdict, RECOVERY_CORRUPT_COMMITTED, "field %u", i);
            cr_assert_eq(lsn, 1);
        }
    }
    print("fields of a batch header, checks made to agree", &counts);
    cr_assert_geq(counts.cases, 2 * 26);
    fixture_free(&f);
}

/* A reader that opens the store as users do sees what the examination says. */
Test(damage, a_read_only_handle_reads_up_to_the_damage, .timeout = 600)
{
    struct fixture f;
    struct reference reference;
    struct reference *pointer = &reference;
    unsigned damaged = 0, cases = 0;

    fifty_trials(&f, &reference);
    for (uint64_t bit = 4096 * 8; bit < 65536 * 8; bit += 997 * (scale() < 1 ? 3 : 1), cases++) {
        struct log_options options = {.os = os_linux(), .read_only = true};
        struct log_position from = {.chain = reference.chain[0]};
        struct log *log;

        fixture_flip(&f, "wal/00000001.wal", bit / 8, bit % 8);
        cr_assert_eq(log_open(f.path, &options, &log), 0);
        cr_assert_eq(log_read(log, &from, count_read, &pointer), 0);
        damaged += log_damage(log) == HPO_CORRUPT;
        log_close(log);
        options.read_only = false; /* and nobody writes to it */
        cr_assert_eq(log_open(f.path, &options, &log), HPO_CORRUPT);
        fixture_flip(&f, "wal/00000001.wal", bit / 8, bit % 8);
    }
    printf("damage: %-44s %8u cases, all refused for writing\n", "log_open", cases);
    cr_assert_eq(damaged, cases);
    fixture_free(&f);
}

/*
 * fsck: hpo_fsck on stores made by the public calls: sound, in use, torn, damaged in each kind of
 * place, and repaired.
 */
#include "api_words.h"

#include "codec.h"
#include "hash.h"
#include "scan.h"
#include "snapshot.h"
#include "state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

TestSuite(fsck, .init = api_setup, .fini = api_teardown, .timeout = 300);

/* -- what was found -- */

struct findings {
    unsigned count;
    struct {
        enum hpo_fsck_severity severity;
        char code[32], file[128], what[400], means[256], repair[256];
        uint64_t offset, lsn_first, lsn_last;
    } entry[64];
};

static void take(void *arg, const struct hpo_fsck_finding *finding)
{
    struct findings *f = arg;

    cr_assert(finding->code && finding->file && finding->what && finding->means && finding->repair);
    cr_assert(finding->what[0] && finding->means[0] && finding->repair[0]);
    cr_assert_null(strstr(finding->what, "hpo-fsck"), "%s", finding->what);
    if (f->count == 64)
        return;
    f->entry[f->count].severity = finding->severity;
    snprintf(f->entry[f->count].code, 32, "%s", finding->code);
    snprintf(f->entry[f->count].file, 128, "%s", finding->file);
    snprintf(f->entry[f->count].what, 400, "%s", finding->what);
    snprintf(f->entry[f->count].means, 256, "%s", finding->means);
    snprintf(f->entry[f->count].repair, 256, "%s", finding->repair);
    f->entry[f->count].offset = finding->offset;
    f->entry[f->count].lsn_first = finding->lsn_first;
    f->entry[f->count].lsn_last = finding->lsn_last;
    f->count++;
}

static int has(const struct findings *f, const char *code)
{
    for (unsigned i = 0; i < f->count; i++) {
        if (strcmp(f->entry[i].code, code) == 0)
            return (int)i;
    }
    return -1;
}

static struct hpo_fsck_result check(unsigned flags, struct findings *f)
{
    struct hpo_fsck_options options = {.size = sizeof(options), .flags = flags};
    struct hpo_fsck_result result;

    memset(f, 0, sizeof(*f));
    ok(NULL, hpo_fsck(api_path, &options, take, f, &result));
    cr_assert_eq(result.notes + result.fixed + result.damages, f->count);
    return result;
}

static void expect_sound(const struct hpo_fsck_result *result, const struct findings *f)
{
    cr_assert_eq(f->count, 0, "%s %s: %s", f->entry[0].code, f->entry[0].file, f->entry[0].what);
    cr_assert_eq(result->damages, 0);
}

/* -- files -- */

static char *in_store(const char *name)
{
    static char path[1024];

    snprintf(path, sizeof(path), "%s/%s", api_path, name);
    return path;
}

static void flip(const char *name, uint64_t offset, unsigned bit)
{
    int fd = open(in_store(name), O_RDWR);
    uint8_t byte;

    cr_assert_geq(fd, 0, "%s", name);
    cr_assert_eq(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= (uint8_t)(1u << bit);
    cr_assert_eq(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

/* The name of the only file in a directory of the store that ends so. */
static const char *only(const char *dir, const char *ending)
{
    static char name[512];
    struct dirent *entry;
    unsigned count = 0;
    DIR *stream = opendir(in_store(dir));

    cr_assert_not_null(stream);
    while ((entry = readdir(stream))) {
        size_t n = strlen(entry->d_name), m = strlen(ending);

        if (n > m && strcmp(entry->d_name + n - m, ending) == 0) {
            snprintf(name, sizeof(name), "%s/%s", dir, entry->d_name);
            count++;
        }
    }
    closedir(stream);
    cr_assert_eq(count, 1, "%s/*%s", dir, ending);
    return name;
}

/* The first sector of the segment that is all zero. */
static uint64_t first_zero_sector(const char *name)
{
    static const uint8_t zero[512];
    int fd = open(in_store(name), O_RDONLY);
    uint8_t bytes[512];
    uint64_t offset = 4096;

    cr_assert_geq(fd, 0);
    while (pread(fd, bytes, 512, (off_t)offset) == 512 && memcmp(bytes, zero, 512) != 0)
        offset += 512;
    close(fd);
    return offset;
}

/* -- stores -- */

static void run_trials(struct hpo_store *store, unsigned count)
{
    struct hpo_study *study = study_declared(store, "a");

    for (unsigned i = 0; i < count; i++) {
        struct hpo_trial *trial = ask(store, study);
        double value = i;

        ok(store, hpo_tell(trial, HPO_COMPLETE, &value, 1));
        hpo_trial_free(trial);
    }
    hpo_study_free(study);
}

static void closed_store(unsigned trials)
{
    struct hpo_store *store = open_store();

    run_trials(store, trials);
    close_store(store);
}

Test(fsck, a_store_closed_in_order_is_sound)
{
    struct findings f;
    struct hpo_fsck_result full, quick;
    static const uint8_t zero[16];

    closed_store(20);
    full = check(0, &f);
    expect_sound(&full, &f);
    cr_assert_str_eq(full.verdict, "CLEAN_END");
    cr_assert_eq(full.studies, 1);
    cr_assert_eq(full.trials, 20);
    cr_assert_eq(full.lsn, full.lsn_durable);
    cr_assert_eq(full.batches, full.lsn);
    cr_assert_gt(full.sectors, 20);
    cr_assert_neq(memcmp(full.digest, zero, 16), 0);
    quick = check(HPO_FSCK_QUICK, &f);
    expect_sound(&quick, &f);
    cr_assert_eq(memcmp(full.digest, quick.digest, 16), 0);
    cr_assert_eq(quick.trials, 20);
}

Test(fsck, a_snapshot_shortens_a_quick_check_and_agrees_with_a_full_one)
{
    struct hpo_store *store = open_store();
    struct findings f;
    struct hpo_fsck_result full, quick;

    run_trials(store, 30);
    ok(store, hpo_snapshot(store));
    run_trials(store, 5);
    close_store(store);
    full = check(0, &f);
    expect_sound(&full, &f);
    cr_assert_eq(full.snapshots, 1);
    quick = check(HPO_FSCK_QUICK, &f);
    expect_sound(&quick, &f);
    cr_assert_eq(memcmp(full.digest, quick.digest, 16), 0);
    cr_assert_eq(quick.trials, 35);
}

Test(fsck, a_store_in_use_is_looked_at_up_to_its_published_end)
{
    struct hpo_store *store = open_store();
    struct findings f;
    struct hpo_fsck_result result;
    struct hpo_trial *trial;
    struct hpo_study *study;

    run_trials(store, 10);
    study = study_declared(store, "a");
    trial = ask(store, study); /* in the open sector, not flushed */
    for (unsigned i = 0; i < 3; i++) {
        result = check(i == 1 ? HPO_FSCK_QUICK : i == 2 ? HPO_FSCK_PREEN : 0, &f);
        expect_sound(&result, &f);
        cr_assert_eq(result.trials, 11);
    }
    hpo_trial_free(trial);
    hpo_study_free(study);
    close_store(store);
}

Test(fsck, a_store_that_is_written_to_all_the_time_is_sound_at_every_moment)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        closed_store(400);
        closed_store(400);
        _exit(0);
    }
    for (unsigned checks = 0;; checks++) {
        struct hpo_fsck_options options = {.size = sizeof(options)};
        struct hpo_fsck_result result;
        struct findings f = {0};
        int err = hpo_fsck(api_path, &options, take, &f, &result);

        cr_assert(err == 0 || err == HPO_NOT_FOUND, "%d: %s", err, api_reason(NULL));
        cr_assert(err < 0 || result.damages == 0, "%s: %s", f.entry[0].code, f.entry[0].what);
        if (waitpid(child, &status, WNOHANG) == child) {
            printf("fsck: %u checks of a store that was being written\n", checks);
            break;
        }
    }
    cr_assert_eq(status, 0);
}

Test(fsck, damage_to_durable_batches_is_named_and_never_repaired)
{
    struct findings f;
    struct hpo_fsck_result result;
    int at;

    closed_store(20);
    flip("wal/00000001.wal", 4096 + 3 * 512 + 77, 3);
    for (unsigned i = 0; i < 2; i++) {
        result = check(i ? HPO_FSCK_PREEN : 0, &f);
        cr_assert_str_eq(result.verdict, "CORRUPT_COMMITTED");
        at = has(&f, "CORRUPT_COMMITTED");
        cr_assert_geq(at, 0);
        cr_assert_eq(f.entry[at].severity, HPO_FSCK_DAMAGE);
        cr_assert_str_eq(f.entry[at].file, "wal/00000001.wal");
        cr_assert_eq(f.entry[at].offset, 4096 + 3 * 512);
        cr_assert_eq(f.entry[at].lsn_first, result.lsn + 1);
        cr_assert_gt(f.entry[at].lsn_last, f.entry[at].lsn_first);
        cr_assert_eq(result.fixed, 0);
    }
}

Test(fsck, a_damaged_tail_is_given_up_by_preening)
{
    struct findings f;
    struct hpo_fsck_result result, before;
    struct hpo_store *store;
    int at;

    closed_store(20);
    before = check(0, &f);
    flip("wal/00000001.wal", first_zero_sector("wal/00000001.wal") + 700, 3);
    result = check(0, &f);
    cr_assert_str_eq(result.verdict, "CORRUPT_TAIL");
    cr_assert_eq(result.damages, 1);
    at = has(&f, "CORRUPT_TAIL");
    cr_assert(at >= 0 && f.entry[at].severity == HPO_FSCK_DAMAGE);
    cr_assert_eq(strncmp(f.entry[at].repair, "-p:", 3), 0);
    cr_assert_eq(memcmp(result.digest, before.digest, 16), 0);
    result = check(HPO_FSCK_PREEN, &f);
    cr_assert_str_eq(result.verdict, "CLEAN_END");
    cr_assert_eq(result.damages, 0);
    cr_assert_eq(result.fixed, 1);
    cr_assert_eq(memcmp(result.digest, before.digest, 16), 0);
    at = has(&f, "CORRUPT_TAIL");
    cr_assert(at >= 0 && f.entry[at].severity == HPO_FSCK_FIXED);
    result = check(0, &f); /* what is left says that it is of no consequence */
    cr_assert_eq(result.damages, 0);
    cr_assert_geq(has(&f, "DEAD_BYTES"), 0);
    cr_assert_geq(has(&f, "QUARANTINE"), 0);
    store = open_store();
    run_trials(store, 3);
    close_store(store);
    result = check(0, &f);
    cr_assert_eq(result.damages, 0);
    cr_assert_eq(result.trials, 23);
}

Test(fsck, a_tail_cannot_be_given_up_while_somebody_writes)
{
    struct hpo_store *store;
    struct findings f;
    struct hpo_fsck_result result;

    closed_store(3);
    store = open_store();
    /* Behind the published end of a store in use nothing is looked at. */
    flip("wal/00000001.wal", 65536 + 700, 3);
    result = check(HPO_FSCK_PREEN, &f);
    expect_sound(&result, &f);
    close_store(store);
}

Test(fsck, spare_copies_slots_sizes_and_stray_files_are_noticed)
{
    struct findings f;
    struct hpo_fsck_result result;
    int fd;

    closed_store(5);
    flip("FORMAT", 2048 + 50, 1);
    flip("wal/00000001.wal", 60, 1);
    flip("attest", 20, 1);
    cr_assert_eq(truncate(in_store("wal/00000001.wal"), 200000), 0);
    fd = open(in_store("wal/0123456789abcdef.new"), O_CREAT | O_WRONLY, 0666);
    close(fd);
    fd = open(in_store("notes.txt"), O_CREAT | O_WRONLY, 0666);
    close(fd);
    result = check(0, &f);
    cr_assert_str_eq(result.verdict, "CLEAN_END");
    cr_assert_eq(result.damages, 3);
    cr_assert_eq(result.notes, 3);
    cr_assert_geq(has(&f, "ONE_COPY"), 0);
    cr_assert_geq(has(&f, "SHORT_SEGMENT"), 0);
    cr_assert_geq(has(&f, "BAD_SLOT"), 0);
    cr_assert_geq(has(&f, "LEFT_OVER"), 0);
    cr_assert_geq(has(&f, "UNKNOWN_NAME"), 0);
    cr_assert_eq(result.trials, 5);
}

Test(fsck, a_damaged_snapshot_is_noticed_and_costs_nothing)
{
    struct hpo_store *store = open_store();
    struct findings f;
    struct hpo_fsck_result before, after;

    run_trials(store, 30);
    ok(store, hpo_snapshot(store));
    close_store(store);
    before = check(0, &f);
    flip(only("snap", ".mdb"), 5000, 2);
    after = check(0, &f);
    cr_assert_geq(has(&f, "BAD_SNAPSHOT"), 0);
    cr_assert_eq(after.damages, 1);
    cr_assert_eq(memcmp(before.digest, after.digest, 16), 0);
    after = check(HPO_FSCK_QUICK, &f);
    cr_assert_eq(memcmp(before.digest, after.digest, 16), 0);
}

/* A batch whose sectors and chain are in order, and whose records are nonsense: only a writer with
 * a fault can have made it. */
Test(fsck, a_record_that_breaks_a_rule_is_named)
{
    const struct hpo_os *os = os_linux();
    struct findings f;
    struct hpo_fsck_result before, result;
    struct segment segment;
    struct segment_scan scan = {0};
    const struct scan_bound bound = {.lsn_last = UINT64_MAX};
    struct sector_buffer buffer = {0};
    struct sector_tail tail;
    struct sector_write write;
    struct os_dir *wal;
    struct log_batch batch;
    uint64_t session = 0;
    uint32_t sequence = 0;
    uint8_t header_bytes[BATCH_HEADER_SIZE], records[16] = {16, 0, 0, 0, 200, 1, 0, 0};
    struct batch_header header = {.record_count = 1};
    int at;

    closed_store(5);
    before = check(0, &f);
    cr_assert_eq(os->dir_open(os->self, in_store("wal"), &wal), 0);
    cr_assert_eq(segment_open(os, wal, 1, NULL, true, &segment, NULL), 0);
    segment_scan_start(&scan, os, &segment, &bound);
    while (segment_scan_next(&scan, &batch, NULL) > 0)
        session = batch.session, sequence = batch.sequence;
    segment_scan_tail(&scan, &tail);
    header.session = session;
    header.sequence = sequence + 1;
    cr_assert_eq(batch_header_encode(header_bytes, &header, &scan.at, records, 16), 0);
    cr_assert_eq(sector_append(os, &buffer, &tail, segment.header.salt, segment.header.bytes, 1,
                               header_bytes, records, 16, &write),
                 0);
    cr_assert_eq(segment_write(os, &segment, &write, NULL), 0);
    sector_buffer_release(os, &buffer);
    segment_scan_release(&scan);
    segment_close(os, &segment);
    os->dir_close(os->self, wal);
    result = check(0, &f);
    at = has(&f, "BAD_RECORD");
    cr_assert_geq(at, 0);
    cr_assert_eq(f.entry[at].lsn_first, before.lsn + 1);
    cr_assert_str_eq(f.entry[at].file, "wal/00000001.wal");
    cr_assert_geq(f.entry[at].offset, tail.offset);
    cr_assert_eq(result.lsn, before.lsn + 1);
}

Test(fsck, what_is_no_store_is_not_checked)
{
    struct hpo_fsck_result result;
    struct findings f = {0};
    struct hpo_fsck_options options = {.size = sizeof(options), .flags = 1u << 10};

    gives(HPO_NOT_FOUND, hpo_fsck(api_path, NULL, take, &f, &result));
    cr_assert_eq(mkdir(api_path, 0777), 0);
    gives(HPO_NOT_FOUND, hpo_fsck(api_path, NULL, take, &f, &result));
    cr_assert_neq(api_reason(NULL)[0], '\0');
    gives(HPO_INVALID, hpo_fsck(NULL, NULL, take, &f, &result));
    gives(HPO_INVALID, hpo_fsck(api_path, NULL, take, &f, NULL));
    gives(HPO_INVALID, hpo_fsck(api_path, &options, take, &f, &result));
    options.size = 4;
    gives(HPO_INVALID, hpo_fsck(api_path, &options, take, &f, &result));
    cr_assert_eq(f.count, 0);
}

Test(fsck, a_store_of_a_newer_version_is_not_called_damaged)
{
    struct hpo_fsck_result result;
    struct findings f = {0};
    struct hpo_error_detail detail;
    struct format format;
    uint8_t bytes[FORMAT_SIZE];
    int fd;

    closed_store(3);
    fd = open(in_store("FORMAT"), O_RDWR);
    cr_assert_eq(read(fd, bytes, sizeof(bytes)), sizeof(bytes));
    cr_assert_eq(format_decode(bytes, sizeof(bytes), &format), FORMAT_COPIES_BOTH);
    format.features.ro_compat = 8;
    format_encode(&format, bytes);
    cr_assert_eq(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    ok(NULL, hpo_fsck(api_path, NULL, take, &f, &result));
    cr_assert_geq(has(&f, "READ_ONLY_FEATURES"), 0);
    cr_assert_eq(result.damages, 0);
    cr_assert_eq(result.trials, 3);
    f.count = 0;
    format.features.incompat = 8;
    format_encode(&format, bytes);
    cr_assert_eq(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    close(fd);
    gives(HPO_UNSUPPORTED, hpo_fsck(api_path, NULL, take, &f, &result));
    cr_assert_eq(f.count, 0);
    hpo_open_error(&detail);
    cr_assert_str_eq(detail.path, "FORMAT");
    cr_assert_not_null(strstr(detail.message, "newer"));
}

Test(fsck, missing_files_are_named)
{
    static const struct {
        const char *name, *code;
    } files[] = {{"FORMAT", "BAD_FORMAT"}, {"wal/00000001.wal", "MISSING_SEGMENT"}};
    struct findings f;
    struct hpo_fsck_result result;
    char hidden[700];

    closed_store(5);
    snprintf(hidden, sizeof(hidden), "%s/hidden", api_root);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(rename(in_store(files[i].name), hidden), 0);
        result = check(0, &f);
        cr_assert_str_eq(result.verdict, files[i].code);
        cr_assert_geq(has(&f, files[i].code), 0);
        cr_assert_eq(result.trials, i == 0 ? 5 : 0); /* without FORMAT the log still speaks */
        cr_assert_eq(rename(hidden, in_store(files[i].name)), 0);
    }
    result = check(0, &f);
    expect_sound(&result, &f);
}

/* A finding of one kind must not depend on chance: every 13th bit of the whole store. */
Test(fsck, no_flipped_bit_of_a_store_goes_unnoticed_or_changes_the_data, .timeout = 600)
{
    static const char *const names[] = {"FORMAT", "attest", "wal/00000001.wal"};
    struct hpo_fsck_result before, after;
    struct findings f;
    unsigned long cases = 0, shorter = 0;
    const char *scale = getenv("HPO_TEST_SCALE");
    uint64_t step = scale && atof(scale) >= 1 ? 97 : 977;

    closed_store(50);
    before = check(0, &f);
    for (unsigned i = 0; i < 3; i++) {
        struct stat st;

        cr_assert_eq(stat(in_store(names[i]), &st), 0);
        for (uint64_t bit = 0; bit < (uint64_t)st.st_size * 8; bit += step, cases++) {
            flip(names[i], bit / 8, bit % 8);
            after = check(0, &f);
            cr_assert_gt(f.count, 0, "%s bit %llu went unnoticed", names[i],
                         (unsigned long long)bit);
            if (after.lsn == before.lsn)
                cr_assert_eq(memcmp(after.digest, before.digest, 16), 0);
            else
                shorter++;
            cr_assert(after.lsn == before.lsn || after.damages > 0);
            flip(names[i], bit / 8, bit % 8);
        }
    }
    printf(
        "fsck: %lu flipped bits of a store of 50 trials, all noticed, %lu of them with a shorter "
        "log, none with other data\n",
        cases, shorter);
}

/* -- a segment changed by hand -- */

struct tail {
    const struct hpo_os *os;
    struct os_dir *wal;
    struct segment segment;
    struct sector_buffer buffer;
    struct sector_tail tail;
    struct log_position at;
    uint64_t session, durable;
    uint32_t sequence;
};

static int note_batch(struct tail *t, const struct log_batch *batch)
{
    t->at = batch->at;
    t->session = batch->session;
    t->sequence = batch->sequence;
    return 0;
}

static void open_tail(struct tail *t)
{
    const struct scan_bound bound = {.lsn_last = UINT64_MAX};
    struct segment_scan scan = {0};
    struct log_batch batch;

    memset(t, 0, sizeof(*t));
    t->os = os_linux();
    cr_assert_eq(t->os->dir_open(t->os->self, in_store("wal"), &t->wal), 0);
    cr_assert_eq(segment_open(t->os, t->wal, 1, NULL, true, &t->segment, NULL), 0);
    segment_scan_start(&scan, t->os, &t->segment, &bound);
    while (segment_scan_next(&scan, &batch, NULL) > 0)
        (void)note_batch(t, &batch);
    segment_scan_tail(&scan, &t->tail);
    segment_scan_release(&scan);
    t->durable = t->at.lsn;
}

static void close_tail(struct tail *t)
{
    sector_buffer_release(t->os, &t->buffer);
    segment_close(t->os, &t->segment);
    t->os->dir_close(t->os->self, t->wal);
}

/* A batch of one skippable record that fills `size` bytes: it changes nothing. */
static uint64_t append_padding(struct tail *t, uint32_t size)
{
    struct batch_header header = {
        .session = t->session, .sequence = t->sequence + 1, .record_count = 1};
    uint8_t bytes[BATCH_HEADER_SIZE], *records = calloc(1, size);
    struct sector_write write;

    codec_store_u32(records, size);
    records[4] = 250; /* a type that nobody knows */
    records[5] = 1;
    records[7] = 0x80;
    cr_assert_eq(batch_header_encode(bytes, &header, &t->at, records, size), 0);
    cr_assert_eq(sector_append(t->os, &t->buffer, &t->tail, t->segment.header.salt,
                               t->segment.header.bytes, t->durable, bytes, records, size, &write),
                 0);
    cr_assert_eq(segment_write(t->os, &t->segment, &write, NULL), 0);
    t->tail = write.tail;
    t->at = (struct log_position){header.lsn, header.chain};
    t->sequence = header.sequence;
    free(records);
    return write.offset;
}

static void write_header(struct tail *t)
{
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    int fd = open(in_store("wal/00000001.wal"), O_RDWR);

    segment_header_encode(&t->segment.header, bytes);
    cr_assert_eq(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    close(fd);
}

static void zero_sector(uint64_t offset)
{
    static const uint8_t zero[512];
    int fd = open(in_store("wal/00000001.wal"), O_RDWR);

    cr_assert_eq(pwrite(fd, zero, 512, (off_t)offset), 512);
    close(fd);
}

Test(fsck, a_torn_tail_is_an_ordinary_thing)
{
    struct findings f;
    struct hpo_fsck_result before, result;
    struct hpo_store *store;
    struct tail t;
    uint64_t offset;
    int at;

    closed_store(5);
    before = check(0, &f);
    open_tail(&t);
    t.segment.header.boot_id[0] ^= 1; /* as if the machine had restarted since */
    write_header(&t);
    offset = append_padding(&t, 1200);
    sector_seal(&t.tail);
    append_padding(&t, 64);
    close_tail(&t);
    zero_sector(offset + 512);
    for (unsigned i = 0; i < 2; i++) {
        result = check(i ? HPO_FSCK_PREEN : 0, &f);
        cr_assert_str_eq(result.verdict, "TORN_TAIL");
        cr_assert_eq(result.damages + result.fixed, 0);
        at = has(&f, "TORN_TAIL");
        cr_assert(at >= 0 && f.entry[at].severity == HPO_FSCK_NOTE);
        cr_assert_eq(f.entry[at].lsn_first, before.lsn + 1);
        cr_assert_eq(f.entry[at].lsn_last, before.lsn + 2); /* what lies beyond the hole */
        cr_assert_str_eq(f.entry[at].file, "wal/00000001.wal");
        cr_assert_eq(memcmp(result.digest, before.digest, 16), 0);
    }
    store = open_store();
    close_store(store);
    result = check(0, &f);
    expect_sound(&result, &f);
}

Test(fsck, without_a_restart_the_same_is_a_damaged_tail_and_names_what_is_given_up)
{
    struct findings f;
    struct hpo_fsck_result before, result;
    struct tail t;
    uint64_t offset;
    int at;

    closed_store(5);
    before = check(0, &f);
    open_tail(&t);
    offset = append_padding(&t, 1200);
    sector_seal(&t.tail);
    append_padding(&t, 64);
    append_padding(&t, 64);
    close_tail(&t);
    zero_sector(offset + 512);
    result = check(HPO_FSCK_PREEN, &f);
    at = has(&f, "CORRUPT_TAIL");
    cr_assert(at >= 0 && f.entry[at].severity == HPO_FSCK_FIXED);
    cr_assert_eq(f.entry[at].lsn_first, before.lsn + 1);
    cr_assert_eq(f.entry[at].lsn_last,
                 before.lsn + 2); /* the third begins behind the second's first */
    cr_assert_not_null(strstr(f.entry[at].means, "given up"));
    cr_assert_str_eq(result.verdict, "CLEAN_END");
}

Test(fsck, a_store_whose_creation_was_interrupted_is_empty)
{
    struct findings f;
    struct hpo_fsck_result result;
    struct hpo_store *store = open_store();

    close_store(store);
    cr_assert_eq(unlink(in_store("wal/00000001.wal")), 0);
    cr_assert_eq(unlink(in_store("attest")), 0);
    result = check(0, &f);
    cr_assert_str_eq(result.verdict, "UNBORN");
    cr_assert_eq(result.damages, 0);
    cr_assert_geq(has(&f, "UNBORN"), 0);
}

/* A snapshot that is good by itself and says something else than the log: made of the log with one
 * value changed. */
Test(fsck, a_snapshot_that_contradicts_the_log_is_named)
{
    const struct hpo_os *os = os_linux();
    const struct scan_bound bound = {.lsn_last = UINT64_MAX};
    struct segment_scan scan = {0};
    struct findings f;
    struct hpo_fsck_result before, result;
    struct os_dir *snap;
    struct state *state;
    struct log_batch batch;
    struct tail t;
    double three = 3, four = 4;
    unsigned changed = 0;

    closed_store(20);
    before = check(0, &f);
    open_tail(&t);
    cr_assert_eq(state_new(os, t.segment.header.uuid, &state), 0);
    segment_scan_start(&scan, os, &t.segment, &bound);
    while (segment_scan_next(&scan, &batch, NULL) > 0) {
        uint8_t *records = malloc(batch.records_size + 1);

        memcpy(records, batch.records, batch.records_size);
        for (size_t i = 0; i + 8 <= batch.records_size && batch.records_size < 80; i++) {
            if (memcmp(records + i, &three, 8) == 0) {
                memcpy(records + i, &four, 8);
                changed++;
            }
        }
        batch.records = records;
        cr_assert_eq(state_apply_batch(state, &batch), 0);
        free(records);
    }
    cr_assert_eq(changed, 1);
    segment_scan_release(&scan);
    close_tail(&t);
    if (mkdir(in_store("snap"), 0777) < 0)
        cr_assert_eq(errno, EEXIST);
    cr_assert_eq(os->dir_open(os->self, in_store("snap"), &snap), 0);
    cr_assert_eq(snapshot_write(os, snap, state, NULL, NULL), 0);
    os->dir_close(os->self, snap);
    state_free(state);
    result = check(0, &f);
    cr_assert_geq(has(&f, "WRONG_SNAPSHOT"), 0);
    cr_assert_eq(result.damages, 1);
    cr_assert_eq(memcmp(result.digest, before.digest, 16), 0); /* the log is the truth */
}

static uint64_t progress_last, progress_calls;

static void note_progress(void *arg, uint64_t done, uint64_t total)
{
    (void)arg;
    cr_assert_geq(done, progress_last);
    cr_assert_leq(done, total);
    progress_last = done;
    progress_calls++;
}

Test(fsck, progress_is_reported_on_the_way)
{
    struct hpo_fsck_options options = {.size = sizeof(options), .progress = note_progress};
    struct hpo_options relaxed = {.size = sizeof(relaxed), .durability = HPO_RELAXED};
    struct hpo_fsck_result result;
    struct hpo_store *store;

    ok(NULL, hpo_open(api_path, &relaxed, &store));
    run_trials(store, 2200);
    close_store(store);
    ok(NULL, hpo_fsck(api_path, &options, NULL, NULL, &result));
    cr_assert_gt(result.batches, 4096);
    cr_assert_geq(progress_calls, 1);
    cr_assert_eq(result.trials, 2200);
}

/* -- failing calls and memory -- */

static struct {
    struct hpo_os table;
    unsigned long calls, fail_at;
    long blocks;
    int error;
} faulty;

static bool fails(void)
{
    return ++faulty.calls == faulty.fail_at;
}

static void *faulty_alloc(void *self, size_t n)
{
    void *p = fails() ? NULL : os_linux()->alloc(self, n);

    faulty.blocks += p != NULL;
    return p;
}

static void *faulty_realloc(void *self, void *old, size_t n)
{
    void *p = fails() ? NULL : os_linux()->realloc(self, old, n);

    faulty.blocks += p && !old;
    return p;
}

static void faulty_free(void *self, void *p)
{
    faulty.blocks -= p != NULL;
    os_linux()->free(self, p);
}

static int64_t faulty_pread(void *self, struct os_file *file, void *to, size_t n, uint64_t offset)
{
    return fails() ? -faulty.error : os_linux()->file_pread(self, file, to, n, offset);
}

static int faulty_open(void *self, struct os_dir *dir, const char *name, unsigned flags,
                       enum os_role role, struct os_file **out)
{
    return fails() ? -faulty.error : os_linux()->file_open(self, dir, name, flags, role, out);
}

static int faulty_dir_open_at(void *self, struct os_dir *dir, const char *name, struct os_dir **out)
{
    return fails() ? -faulty.error : os_linux()->dir_open_at(self, dir, name, out);
}

static int faulty_dir_list(void *self, struct os_dir *dir, os_list_fn fn, void *arg)
{
    return fails() ? -faulty.error : os_linux()->dir_list(self, dir, fn, arg);
}

static void arm(bool memory, unsigned long at, int error)
{
    memset(&faulty, 0, sizeof(faulty));
    faulty.table = *os_linux();
    if (memory) {
        faulty.table.alloc = faulty_alloc;
        faulty.table.realloc = faulty_realloc;
        faulty.table.free = faulty_free;
    } else {
        faulty.table.file_pread = faulty_pread;
        faulty.table.file_open = faulty_open;
        faulty.table.dir_open_at = faulty_dir_open_at;
        faulty.table.dir_list = faulty_dir_list;
    }
    faulty.fail_at = at;
    faulty.error = error;
}

static void fail_each(bool memory, int error)
{
    struct hpo_fsck_options options = {.size = sizeof(options), .os = &faulty.table};
    struct hpo_fsck_result before, result;
    struct hpo_store *store = open_store();
    unsigned long calls, failed = 0, cases = 0;
    struct findings f;

    run_trials(store, 8);
    ok(store, hpo_snapshot(store));
    run_trials(store, 3);
    close_store(store);
    arm(memory, 0, error);
    ok(NULL, hpo_fsck(api_path, &options, take, memset(&f, 0, sizeof(f)), &before));
    calls = faulty.calls;
    for (unsigned long at = 1; at <= calls; at++, cases++) {
        int err;

        arm(memory, at, error);
        err = hpo_fsck(api_path, &options, take, memset(&f, 0, sizeof(f)), &result);
        failed += err < 0;
        if (err < 0)
            cr_assert(err == (memory ? HPO_NOMEM : HPO_IO) && api_reason(NULL)[0], "call %lu: %d",
                      at, err);
        else /* what could not be looked at shows, or the call did not matter */
            cr_assert(memcmp(result.digest, before.digest, 16) == 0 || f.count > 0, "call %lu", at);
        cr_assert(!memory || faulty.blocks == 0, "call %lu leaks", at);
    }
    printf("fsck: %lu %s failing once: %lu reported\n", cases, memory ? "allocations" : "calls",
           failed);
    cr_assert_gt(failed, cases / 2);
}

Test(fsck, each_failing_call_is_told)
{
    fail_each(false, EIO);
}

Test(fsck, each_failing_allocation_is_told_and_leaks_nothing)
{
    fail_each(true, ENOMEM);
}

/*
 * fuzz_fsck: a whole store, changed, then examined, read, preened and opened.
 *
 * Input: one byte of choices, then changes to the files of a sound store (base_store.h): bytes
 * written over, files cut, removed, copied to other names, sectors swapped or zeroed, sectors
 * added. If chosen, every check and chain is made right again afterwards. The store lies on a
 * simulated machine, so nothing waits for a disk and whatever waits for ever is seen.
 *
 * Oracles
 *   - nothing crashes or hangs; each finding has its texts; an error has a reason
 *   - examining and reading change nothing, and examining twice finds the same
 *   - what full fsck calls sound can be opened for writing, and then works: a trial is told
 *   - what opens for writing, or was preened without damage left, is sound to a full fsck
 *   - no allocation above 16 times the store and the input
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base_store.h"
#include "codec.h"
#include "fuzz.h"
#include "hpo.h"
#include "mend.h"

#define INPUT_MAX 4096u

enum { CHOOSE_MEND = 1, CHOOSE_PREEN = 2 };

static struct base_store base;

static void forget_base(void)
{
    base_store_release(&base);
}

/* -- the changed store -- */

static const char *const other_names[] = {
    "wal/00000001.wal",
    "wal/00000002.wal",
    "wal/00000005.wal",
    "wal/00000009.wal",
    "wal/ffffffff.wal",
    "wal/00112233445566ff.new",
    "wal/00112233445566ff.zero",
    "wal/x",
    "attest",
    "FORMAT",
    "FORMAT.new",
    "shm",
    "snap/0000000000000005-00000000000000000000000000000000.mdb",
    "snap/00112233445566ff.new",
    "snap/x",
    "quarantine/00000001.wal",
};

static struct base_file *file_of(struct fuzz_input *in, struct base_store *store)
{
    return &store->files[fuzz_below(in, (uint32_t)store->count)];
}

/* Mostly small, or near the ends of what is written. */
static size_t place_in(struct fuzz_input *in, const struct base_file *file)
{
    size_t place = fuzz_u16(in);

    return file->size ? place % file->size : 0;
}

static void cut(struct fuzz_input *in, struct base_file *file)
{
    file->size = place_in(in, file);
}

static void put(struct fuzz_input *in, struct base_file *file)
{
    size_t at = place_in(in, file), n;
    const uint8_t *bytes = fuzz_bytes(in, fuzz_u8(in), &n);

    n = n < file->size - at ? n : file->size - at;
    if (n)
        memcpy(file->bytes + at, bytes, n);
}

static void toggle(struct fuzz_input *in, struct base_file *file)
{
    size_t at = place_in(in, file);

    if (file->size)
        file->bytes[at] ^= (uint8_t)(1u << fuzz_u8(in) % 8);
}

static void copy_to(struct fuzz_input *in, struct base_store *store, const struct base_file *file)
{
    const char *name = other_names[fuzz_below(in, sizeof(other_names) / sizeof(other_names[0]))];
    struct base_file *to = NULL;

    for (size_t i = 0; i < store->count; i++) {
        if (strcmp(store->files[i].name, name) == 0)
            to = &store->files[i];
    }
    if (to == file)
        return;
    if (!to) {
        if (store->count == BASE_FILES_MAX)
            return;
        to = &store->files[store->count++];
        (void)snprintf(to->name, sizeof(to->name), "%s", name);
        to->bytes = NULL;
    }
    free(to->bytes);
    to->size = file->size;
    to->bytes = malloc(file->size + 1);
    FUZZ_REQUIRE(to->bytes, "no memory");
    memcpy(to->bytes, file->bytes, file->size);
}

static void sectors(struct fuzz_input *in, struct base_file *file, bool swap)
{
    uint8_t kept[512];
    size_t count = file->size / 512, a, b;

    if (count == 0)
        return;
    a = fuzz_u8(in) % count;
    b = fuzz_u8(in) % count;
    memcpy(kept, file->bytes + a * 512, 512);
    if (swap)
        memmove(file->bytes + a * 512, file->bytes + b * 512, 512);
    else
        memset(file->bytes + a * 512, 0, 512);
    if (swap)
        memcpy(file->bytes + b * 512, kept, 512);
}

/* A batch of one record behind what is written in a segment: bytes as they come, to be mended. */
static void add_sector(struct fuzz_input *in, struct base_file *file)
{
    uint8_t payload[496] = {0};
    size_t n, at = 4096, size = fuzz_u8(in) % 57 * 8;
    const uint8_t *bytes = fuzz_bytes(in, size, &n);

    if (n)
        memcpy(payload + 40, bytes, n);
    codec_store_u32(payload + 16, (uint32_t)(40 + size));
    codec_store_u64(payload + 8, 1 + fuzz_u8(in) % 64);
    codec_store_u32(payload + 20, fuzz_u8(in));
    codec_store_u16(payload + 24, 1);
    while (at + 512 <= file->size && codec_load_u32(file->bytes + at) != 0)
        at += 512;
    if (at + 512 > file->size)
        return;
    memset(file->bytes + at, 0, 512);
    file->bytes[at + 7] = 0xa5;
    codec_store_u16(file->bytes + at + 4, (uint16_t)(40 + size));
    codec_store_u64(file->bytes + at + 8, UINT64_C(0xa5a5a5a5a5a5a5a5));
    for (size_t i = 0; i < 40 + size; i++)
        file->bytes[at + 16 + i] = payload[i] ^ 0xa5;
}

static void change(struct fuzz_input *in, struct base_store *store)
{
    uint8_t what = fuzz_u8(in) % 8;
    struct base_file *file = file_of(in, store);

    switch (what) {
    case 0:
    case 1:
        put(in, file);
        break;
    case 2:
        toggle(in, file);
        break;
    case 3:
        cut(in, file);
        break;
    case 4:
        file->name[0] = 0; /* removed */
        break;
    case 5:
        copy_to(in, store, file);
        break;
    case 6:
        sectors(in, file, fuzz_u8(in) & 1);
        break;
    default:
        add_sector(in, file);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct base_file *)a)->name, ((const struct base_file *)b)->name);
}

/* In order of names, so that chains are known from one segment to the next, and attest last. */
static void mend_store(struct base_store *store)
{
    static struct mend mend;

    mend_start(&mend, store->uuid);
    qsort(store->files, store->count, sizeof(store->files[0]), by_name);
    for (size_t i = 0; i < store->count; i++) {
        struct base_file *file = &store->files[i];

        if (strcmp(file->name, "FORMAT") == 0)
            mend_copies(file->bytes, file->size, 0);
        else if (strncmp(file->name, "wal/", 4) == 0 && segment_file_number(file->name + 4))
            mend_segment(&mend, file->bytes, file->size, segment_file_number(file->name + 4));
    }
    for (size_t i = 0; i < store->count; i++) {
        if (strcmp(store->files[i].name, "attest") == 0)
            mend_attest(&mend, store->files[i].bytes, store->files[i].size, store->uuid);
    }
}

static void copy_base(struct base_store *out)
{
    *out = base;
    for (size_t i = 0; i < out->count; i++) {
        out->files[i].bytes = malloc(out->files[i].size + 1);
        FUZZ_REQUIRE(out->files[i].bytes, "no memory");
        memcpy(out->files[i].bytes, base.files[i].bytes, base.files[i].size);
    }
}

static size_t put_store(struct sim *sim, const struct base_store *store)
{
    static const char *const directories[] = {"", "/wal", "/snap", "/quarantine"};
    char path[160];
    size_t total = 0;

    for (unsigned i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof(path), BASE_PATH "%s", directories[i]);
        FUZZ_REQUIRE(sim_put_directory(sim, path) == 0, "sim_put_directory");
    }
    for (size_t i = 0; i < store->count; i++) {
        if (!store->files[i].name[0])
            continue;
        (void)snprintf(path, sizeof(path), BASE_PATH "/%s", store->files[i].name);
        FUZZ_REQUIRE(sim_put_file(sim, path, store->files[i].bytes, store->files[i].size) == 0,
                     "sim_put_file");
        total += store->files[i].size;
    }
    return total;
}

/* -- what is done to it; each by a process of its own -- */

struct report {
    int err;
    unsigned flags;
    struct hpo_fsck_result result;
    uint64_t count, damages, hash;
    char first[160]; /* damage, for messages */
};

static void take(void *arg, const struct hpo_fsck_finding *finding)
{
    struct report *report = arg;

    FUZZ_REQUIRE(finding->code && finding->code[0] && finding->file && finding->what &&
                     finding->what[0] && finding->means && finding->means[0] && finding->repair &&
                     finding->repair[0],
                 "a finding without texts: %s", finding->code ? finding->code : "?");
    report->count++;
    for (const char *c = finding->code; *c; c++)
        report->hash = (report->hash ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
    for (const char *c = finding->what; *c; c++)
        report->hash = (report->hash ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
    if (finding->severity == HPO_FSCK_DAMAGE && report->damages++ == 0)
        (void)snprintf(report->first, sizeof(report->first), "%s %s: %.100s", finding->code,
                       finding->file, finding->what);
}

static void examine(struct sim_process *process, void *arg)
{
    struct report *report = arg;
    struct hpo_os os;
    struct hpo_fsck_options options = {.size = sizeof(options), .flags = report->flags, .os = &os};
    struct hpo_error_detail detail;

    fuzz_bounded(&os, sim_os(process));
    report->err = hpo_fsck(BASE_PATH, &options, take, report, &report->result);
    if (report->err < 0) {
        hpo_open_error(&detail);
        FUZZ_REQUIRE(detail.message[0], "hpo_fsck: %d without a reason", report->err);
        return;
    }
    FUZZ_REQUIRE(report->result.damages == report->damages &&
                     report->count ==
                         report->result.notes + report->result.fixed + report->result.damages,
                 "findings and counts differ");
    FUZZ_REQUIRE(report->result.verdict, "no verdict");
}

struct opening {
    unsigned flags;
    int err;
};

/* Walk whatever can be read. */
static void read_all(struct hpo_store *store)
{
    const struct hpo_study_info *study;
    const struct hpo_trial_info *trial;
    const struct hpo_record_info *record;
    struct hpo_cursor *studies, *trials;
    struct hpo_history *history;
    struct hpo_study *one;

    if (hpo_study_list(store, &studies) == 0) {
        while (hpo_cursor_next_study(studies, &study) == 0) {
            if (hpo_study_open_id(store, study->id, &one) < 0)
                continue;
            if (hpo_trial_list(one, 0, &trials) == 0) {
                while (hpo_cursor_next_trial(trials, &trial) == 0)
                    ;
                hpo_cursor_free(trials);
            }
            hpo_study_free(one);
        }
        hpo_cursor_free(studies);
    }
    if (hpo_history_open(store, 1, true, &history) == 0) {
        while (hpo_history_next(history, &record) == 0)
            ;
        hpo_history_close(history);
    }
}

static void work(struct hpo_store *store)
{
    struct hpo_study_options options = {.size = sizeof(options), .has_seed = true, .seed = {9, 9}};
    struct hpo_error_detail detail = {0};
    struct hpo_study *study;
    struct hpo_trial *trial;
    double x = 0;
    int err = hpo_study_create(store, "a name that nobody has", &options, &study);

    if (err == 0) {
        err = hpo_ask(study, NULL, &trial);
        if (err == 0)
            err = hpo_suggest_float(trial, "x", 0, 1, HPO_LINEAR, &x);
        if (err == 0)
            err = hpo_tell(trial, HPO_COMPLETE, &x, 1);
    }
    if (err < 0)
        hpo_error_detail(store, &detail);
    FUZZ_REQUIRE(err == 0, "opened, but does not work: %d %s", err, detail.message);
}

static void open_store(struct sim_process *process, void *arg)
{
    struct opening *opening = arg;
    struct hpo_os os;
    struct hpo_options options = {.size = sizeof(options),
                                  .flags = opening->flags | HPO_OPEN_EXISTING,
                                  .program = "fuzz",
                                  .segment_size_first = 8192,
                                  .segment_size_max = 8192,
                                  .os = &os};
    struct hpo_error_detail detail;
    struct hpo_store *store;

    fuzz_bounded(&os, sim_os(process));
    opening->err = hpo_open(BASE_PATH, &options, &store);
    if (opening->err < 0) {
        hpo_open_error(&detail);
        FUZZ_REQUIRE(detail.message[0], "hpo_open: %d without a reason", opening->err);
        return;
    }
    read_all(store);
    if (!(opening->flags & HPO_OPEN_READ_ONLY))
        work(store);
    (void)hpo_close(store);
}

static void call(struct sim *sim, sim_fn fn, void *arg)
{
    enum sim_outcome outcome = sim_call(sim_process_new(sim), fn, arg);

    FUZZ_REQUIRE(outcome == SIM_DONE, "outcome %d: %s", (int)outcome, sim_failure(sim));
    FUZZ_REQUIRE(sim_leaks(sim) == 0, "%llu things left open", (unsigned long long)sim_leaks(sim));
}

static struct report fsck(struct sim *sim, unsigned flags)
{
    struct report report = {.flags = flags};

    call(sim, examine, &report);
    return report;
}

static int open_and_close(struct sim *sim, unsigned flags)
{
    struct opening opening = {.flags = flags};

    call(sim, open_store, &opening);
    return opening.err;
}

static void drive(struct sim *sim, uint8_t choice, bool unchanged)
{
    uint64_t effects = sim_effects(sim);
    struct report quick = fsck(sim, HPO_FSCK_QUICK), full = fsck(sim, 0), again = fsck(sim, 0);
    struct report preen, after;
    int err;

    if (unchanged)
        FUZZ_REQUIRE(quick.err == 0 && quick.damages == 0 && full.err == 0 && full.damages == 0,
                     "the store to be changed is not sound itself: %s", full.first);
    FUZZ_REQUIRE(full.err == again.err && full.hash == again.hash && full.count == again.count,
                 "fsck twice differs: %s, %s", full.first, again.first);
    (void)open_and_close(sim, HPO_OPEN_READ_ONLY);
    FUZZ_REQUIRE(sim_effects(sim) == effects, "examining or reading wrote something");
    if (choice & CHOOSE_PREEN) {
        preen = fsck(sim, HPO_FSCK_PREEN);
        FUZZ_REQUIRE((preen.err < 0) == (full.err < 0), "preen %d, fsck %d", preen.err, full.err);
        after = fsck(sim, 0);
        FUZZ_REQUIRE(preen.err < 0 || after.damages <= preen.damages,
                     "preened, and then damaged: %s", after.first);
        full = after;
    }
    err = open_and_close(sim, 0);
    if (full.err == 0 && full.damages == 0)
        FUZZ_REQUIRE(err == 0 || err == HPO_UNSUPPORTED, /* unknown ro_compat: may only be read */
                     "sound (%s), but cannot be opened: %d", full.result.verdict, err);
    if (err < 0)
        return;
    after = fsck(sim, 0);
    FUZZ_REQUIRE(after.err == 0 && after.damages <= full.damages,
                 "opened and closed, then damaged: %s (before: %llu %s)", after.first,
                 (unsigned long long)full.damages, full.first);
    err = open_and_close(sim, 0);
    FUZZ_REQUIRE(err == 0, "opened once, but not twice: %d", err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sim_options options = {.fs = OS_FS_LOCAL, .steps_max = 1u << 20};
    struct fuzz_input in = {data, data + size};
    struct base_store store;
    struct sim *sim;
    uint8_t choice = fuzz_u8(&in);
    size_t total;

    if (size > INPUT_MAX)
        return 0;
    if (base.count == 0) {
        base_store_make(&base);
        (void)atexit(forget_base);
    }
    copy_base(&store);
    for (unsigned i = 0; i < 64 && fuzz_more(&in); i++)
        change(&in, &store);
    if (choice & CHOOSE_MEND)
        mend_store(&store);
    sim = sim_new(&options);
    total = put_store(sim, &store);
    fuzz_bound(total + size, 4u << 20);
    drive(sim, choice, size <= 1); /* also mended it is as it was */
    sim_free(sim);
    base_store_release(&store);
    return 0;
}

/*
 * recovery_faults: every call of the system, and every allocation, that reading a log makes,
 * failing once and from then on. An error of the system is an error, never the end of the log: an
 * examination either fails or finds what it finds without the fault; nothing leaks.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hpo.h"
#include "log_fixture.h"

/* The real table, with its calls counted and some of them failing. */
static struct {
    struct hpo_os table;
    const struct hpo_os *real;
    unsigned long calls, fail_at; /* 0: none */
    bool from_then_on;
    int error;
    long blocks, files; /* open now */
} faulty;

static bool fails(void)
{
    faulty.calls++;
    return faulty.fail_at && (faulty.calls == faulty.fail_at ||
                              (faulty.from_then_on && faulty.calls > faulty.fail_at));
}

static int faulty_file_open(void *self, struct os_dir *dir, const char *name, unsigned flags,
                            enum os_role role, struct os_file **out)
{
    int err = fails() ? -faulty.error : faulty.real->file_open(self, dir, name, flags, role, out);

    faulty.files += err == 0;
    return err;
}

static void faulty_file_close(void *self, struct os_file *file)
{
    faulty.files--;
    faulty.real->file_close(self, file);
}

static int64_t faulty_pread(void *self, struct os_file *file, void *to, size_t n, uint64_t offset)
{
    return fails() ? -faulty.error : faulty.real->file_pread(self, file, to, n, offset);
}

static int faulty_size(void *self, struct os_file *file, uint64_t *out)
{
    return fails() ? -faulty.error : faulty.real->file_size(self, file, out);
}

static int faulty_dir_open_at(void *self, struct os_dir *dir, const char *name, struct os_dir **out)
{
    int err = fails() ? -faulty.error : faulty.real->dir_open_at(self, dir, name, out);

    faulty.files += err == 0;
    return err;
}

static void faulty_dir_close(void *self, struct os_dir *dir)
{
    faulty.files--;
    faulty.real->dir_close(self, dir);
}

static int faulty_dir_list(void *self, struct os_dir *dir, os_list_fn fn, void *arg)
{
    return fails() ? -faulty.error : faulty.real->dir_list(self, dir, fn, arg);
}

static void *faulty_alloc(void *self, size_t n)
{
    void *p = fails() ? NULL : faulty.real->alloc(self, n);

    faulty.blocks += p != NULL;
    return p;
}

static void *faulty_realloc(void *self, void *old, size_t n)
{
    void *p = fails() ? NULL : faulty.real->realloc(self, old, n);

    faulty.blocks += p != NULL && !old;
    return p;
}

static void faulty_free(void *self, void *p)
{
    faulty.blocks -= p != NULL;
    faulty.real->free(self, p);
}

static void arm(bool memory, unsigned long at, bool from_then_on, int error)
{
    memset(&faulty, 0, sizeof(faulty));
    faulty.real = os_linux();
    faulty.table = *faulty.real;
    if (memory) {
        faulty.table.alloc = faulty_alloc;
        faulty.table.realloc = faulty_realloc;
        faulty.table.free = faulty_free;
    } else {
        faulty.table.file_open = faulty_file_open;
        faulty.table.file_close = faulty_file_close;
        faulty.table.file_pread = faulty_pread;
        faulty.table.file_size = faulty_size;
        faulty.table.dir_open_at = faulty_dir_open_at;
        faulty.table.dir_close = faulty_dir_close;
        faulty.table.dir_list = faulty_dir_list;
    }
    faulty.fail_at = at;
    faulty.from_then_on = from_then_on;
    faulty.error = error;
}

/* Several segments, a dead part, a torn end, enough sessions' batches for every buffer to grow. */
static void make_store(struct fixture *f)
{
    struct log_position end;
    static const uint8_t zero[512];
    uint64_t offset;

    fixture_new(f, 32 << 10);
    while (f->segment.header.number < 3) {
        fixture_append(f, 6000);
        fixture_flush(f);
    }
    fixture_attest(f);
    end = f->durable;
    fixture_append(f, 1200);
    fixture_roll(f, SEGMENT_REASON_TAKEOVER, &end, end.lsn);
    f->sequence--;
    fixture_append(f, 600);
    fixture_flush(f);
    fixture_append(f, 40); /* attests it */
    offset = fixture_append(f, 1200);
    fixture_write(f, "wal/00000004.wal", offset + 1024, zero, 512);
}

static int examine(const struct fixture *f, struct recovery *found, struct error_detail *error)
{
    struct recovery_options options = {.os = &faulty.table, .store = f->store};

    memcpy(options.boot_id, f->boot, 16);
    options.boot_id[3] ^= 1;
    return recovery_examine(&options, found, error);
}

static void fail_everything(bool memory, int error, int expected_code)
{
    struct fixture f;
    struct recovery sound, found;
    struct error_detail detail;
    unsigned long calls, failed = 0;

    make_store(&f);
    arm(memory, 0, false, error);
    cr_assert_eq(examine(&f, &sound, &detail), 0);
    cr_assert_eq(sound.verdict, RECOVERY_TORN_TAIL);
    calls = faulty.calls;
    cr_assert_gt(calls, memory ? 5u : 20u);
    recovery_release(&sound);
    cr_assert(faulty.blocks == 0 && faulty.files == 0);
    for (unsigned both = 0; both < 2; both++) {
        for (unsigned long at = 1; at <= calls; at++) {
            int err;

            memset(&detail, 0, sizeof(detail));
            arm(memory, at, both, error);
            err = examine(&f, &found, &detail);
            failed += err < 0;
            if (err < 0) {
                cr_assert_eq(err, expected_code, "call %lu: %d", at, err);
                cr_assert_eq(detail.code, err);
                cr_assert_neq(detail.message[0], 0);
            } else {
                cr_assert_eq(found.verdict, sound.verdict, "call %lu", at);
                cr_assert_eq(found.limit.end.lsn, sound.limit.end.lsn);
            }
            faulty.fail_at = 0;
            recovery_release(&found);
            cr_assert_eq(faulty.blocks, 0, "call %lu leaks memory", at);
            cr_assert_eq(faulty.files, 0, "call %lu leaks files", at);
        }
    }
    printf("recovery: %s %d: %lu calls, %lu of %lu failures reported\n",
           memory ? "memory" : "errno", error, calls, failed, 2 * calls);
    cr_assert_eq(failed, 2 * calls);
    fixture_free(&f);
}

Test(recovery_faults, an_unreadable_disk_is_an_error_and_not_the_end_of_the_log)
{
    fail_everything(false, EIO, HPO_IO);
}

Test(recovery_faults, no_permission_is_told)
{
    fail_everything(false, EACCES, HPO_PERMISSION);
}

Test(recovery_faults, too_many_open_files_is_told)
{
    fail_everything(false, EMFILE, HPO_IO);
}

Test(recovery_faults, no_memory_is_told)
{
    fail_everything(true, ENOMEM, HPO_NOMEM);
}

static int ignore(void *arg, const struct log_batch *batch)
{
    *(uint64_t *)arg = batch->at.lsn;
    return 0;
}

static void read_everything(bool memory, int error, int expected_code)
{
    struct fixture f;
    struct recovery sound;
    struct scan scan;
    struct error_detail detail;
    unsigned long calls = 0, failed = 0;
    uint64_t last = 0;

    make_store(&f);
    arm(memory, 0, false, error);
    cr_assert_eq(examine(&f, &sound, &detail), 0);
    for (unsigned long at = 0; at <= calls; at++) {
        int err;

        arm(memory, at, false, error);
        scan_init(&scan, &faulty.table, f.wal, f.uuid);
        last = 0;
        err = scan_read(&scan, &sound.start, &sound.limit, ignore, &last, &detail);
        if (at == 0) {
            cr_assert_eq(err, 0);
            calls = faulty.calls;
        } else {
            cr_assert_eq(err, expected_code, "call %lu: %d", at, err);
            failed++;
            /* The same reader goes on when the fault is gone, from where it stands. */
            faulty.fail_at = 0;
            cr_assert_eq(scan_read(&scan, &sound.start, &sound.limit, ignore, &last, &detail), 0);
        }
        cr_assert_eq(last, sound.limit.end.lsn);
        scan_release(&scan);
        cr_assert(faulty.blocks == 0 && faulty.files == 0, "call %lu", at);
    }
    printf("scan: %s: %lu calls, each failed once\n", memory ? "memory" : "EIO", failed);
    cr_assert_gt(failed, memory ? 2u : 10u);
    recovery_release(&sound);
    fixture_free(&f);
}

Test(recovery_faults, a_reader_that_met_an_error_can_go_on)
{
    read_everything(false, EIO, HPO_IO);
}

Test(recovery_faults, a_reader_without_memory_can_go_on)
{
    read_everything(true, ENOMEM, HPO_NOMEM);
}

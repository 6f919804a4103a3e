#include "log_fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec.h"

#define REQUIRE(call) cr_assert_eq((call), 0, "%s", #call)

static void begin_segment(struct fixture *f, enum segment_reason reason,
                          const struct log_position *end, struct segment *out,
                          char temporary[SEGMENT_NAME_SIZE])
{
    struct segment_header header = {
        .number = f->segment.header.number + 1,
        .epoch = f->segment.header.epoch + 1,
        .first_lsn = end->lsn + 1,
        .end = *end,
        .bytes = f->segment_bytes,
        .reason = reason,
    };
    char zero[SEGMENT_NAME_SIZE];

    format_features_current(&header.features);
    memcpy(header.uuid, f->uuid, 16);
    memcpy(header.boot_id, f->boot, 16);
    REQUIRE(segment_zero_create(f->os, f->wal, f->segment_bytes, zero, NULL));
    REQUIRE(segment_begin(f->os, f->wal, zero, &header, out, temporary, NULL));
}

void fixture_new(struct fixture *f, uint64_t segment_bytes)
{
    const char *tmp = getenv("TMPDIR");
    struct format format = {.created_us = 1};
    char temporary[SEGMENT_NAME_SIZE];
    bool renamed;
    int fd;

    memset(f, 0, sizeof(*f));
    f->os = os_linux();
    f->segment_bytes = segment_bytes;
    (void)snprintf(f->path, sizeof(f->path), "%s/hpo-test-XXXXXX", tmp ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(f->path));
    REQUIRE(f->os->dir_open(f->os->self, f->path, &f->store));
    REQUIRE(f->os->dir_create_at(f->os->self, f->store, "wal"));
    REQUIRE(f->os->dir_open_at(f->os->self, f->store, "wal", &f->wal));
    for (unsigned i = 0; i < 16; i++) {
        f->uuid[i] = (uint8_t)(0x10 + i);
        f->boot[i] = (uint8_t)(0xb0 + i);
    }
    format_features_current(&format.features);
    memcpy(format.uuid, f->uuid, 16);
    REQUIRE(format_create(f->os, f->store, &format, NULL));
    f->at = f->durable = (struct log_position){.chain = batch_chain_start(f->uuid)};
    begin_segment(f, SEGMENT_REASON_FIRST, &f->at, &f->segment, temporary);
    REQUIRE(segment_commit(f->os, f->wal, &f->segment, temporary, &renamed, NULL));
    segment_tail_start(&f->tail);
    fd = openat(AT_FDCWD, f->path, O_DIRECTORY | O_RDONLY);
    cr_assert_geq(fd, 0);
    close(openat(fd, "attest", O_CREAT | O_RDWR, 0666));
    close(fd);
    fixture_attest(f);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

void fixture_free(struct fixture *f)
{
    segment_close(f->os, &f->segment);
    sector_buffer_release(f->os, &f->buffer);
    f->os->dir_close(f->os->self, f->wal);
    f->os->dir_close(f->os->self, f->store);
    cr_assert_eq(nftw(f->path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void fixture_records(uint64_t lsn, uint8_t *to, size_t size)
{
    uint64_t state = lsn * UINT64_C(0x9E3779B97F4A7C15);

    for (size_t i = 0; i < size; i += 8) { /* numbers, runs of zeros and text, as logs have them */
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        codec_store_u64(to + i, i % 24 == 0   ? lsn + i
                                : i % 24 == 8 ? state
                                              : UINT64_C(0x2020202020202061));
    }
}

uint64_t fixture_append(struct fixture *f, size_t records_size)
{
    struct batch_header header = {.session = f->at.lsn ? 1 : 0, .sequence = f->sequence + 1};
    uint8_t *records = malloc(records_size + 8), bytes[BATCH_HEADER_SIZE];
    struct sector_write write;
    int err;

    cr_assert_not_null(records);
    header.record_count = 1;
    fixture_records(f->at.lsn + 1, records, records_size);
    REQUIRE(batch_header_encode(bytes, &header, &f->at, records, records_size));
    err =
        sector_append(f->os, &f->buffer, &f->tail, f->segment.header.salt, f->segment.header.bytes,
                      f->durable.lsn, bytes, records, records_size, &write);
    if (err == SECTOR_FULL) {
        fixture_flush(f);
        fixture_roll_all(f, SEGMENT_REASON_FULL);
        err = sector_append(f->os, &f->buffer, &f->tail, f->segment.header.salt,
                            f->segment.header.bytes, f->durable.lsn, bytes, records, records_size,
                            &write);
    }
    cr_assert_eq(err, 0);
    REQUIRE(segment_write(f->os, &f->segment, &write, NULL));
    f->tail = write.tail;
    f->at = (struct log_position){header.lsn, header.chain};
    f->sequence = header.sequence;
    free(records);
    return write.offset;
}

void fixture_flush(struct fixture *f)
{
    sector_seal(&f->tail);
    REQUIRE(f->os->file_sync_data(f->os->self, f->segment.file));
    f->durable = f->at;
}

void fixture_attest(struct fixture *f)
{
    unsigned index = attest_next(&f->attest);
    struct os_file *file;

    f->attest.slot[index] = (struct attest_slot){
        .state = ATTEST_GOOD, .at = f->durable, .epoch = f->segment.header.epoch};
    REQUIRE(f->os->file_open(f->os->self, f->store, "attest", OS_WRITE, OS_ROLE_ATTEST, &file));
    REQUIRE(attest_write(f->os, file, f->uuid, index, &f->attest.slot[index], NULL));
    f->os->file_close(f->os->self, file);
}

void fixture_roll(struct fixture *f, enum segment_reason reason, const struct log_position *end,
                  uint64_t last)
{
    const struct scan_bound bound = {.lsn_last = last};
    struct segment_scan scan = {0};
    struct segment fresh;
    struct sector_tail tail;
    struct log_position previous = *end;
    struct log_batch batch;
    char temporary[SEGMENT_NAME_SIZE];
    bool renamed;
    int got;

    begin_segment(f, reason, end, &fresh, temporary);
    segment_tail_start(&tail);
    segment_scan_start(&scan, f->os, &f->segment, &bound);
    while ((got = segment_scan_next(&scan, &batch, NULL)) > 0) {
        if (batch.at.lsn <= end->lsn)
            continue;
        REQUIRE(segment_append_batch(f->os, &fresh, &f->buffer, &tail, end->lsn, &previous, &batch,
                                     NULL));
        previous = batch.at;
    }
    cr_assert_eq(got, 0);
    cr_assert_eq(previous.lsn, last);
    segment_scan_release(&scan);
    REQUIRE(segment_commit(f->os, f->wal, &fresh, temporary, &renamed, NULL));
    segment_close(f->os, &f->segment);
    f->segment = fresh;
    sector_seal(&tail);
    f->tail = tail;
    f->at = f->durable = previous;
}

void fixture_roll_all(struct fixture *f, enum segment_reason reason)
{
    struct log_position end = f->durable;

    fixture_roll(f, reason, &end, f->at.lsn);
    fixture_attest(f);
}

void fixture_examine(const struct fixture *f, bool boot_differs, struct recovery *out)
{
    struct recovery_options options = {.os = f->os, .store = f->store};

    memcpy(options.boot_id, f->boot, 16);
    if (boot_differs)
        options.boot_id[0] ^= 1;
    REQUIRE(recovery_examine(&options, out, NULL));
}

static int open_name(const struct fixture *f, const char *name, int flags)
{
    char path[1024];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/%s", f->path, name);
    fd = open(path, flags | O_CLOEXEC);
    cr_assert_geq(fd, 0, "%s", path);
    return fd;
}

size_t fixture_size(const struct fixture *f, const char *name)
{
    int fd = open_name(f, name, O_RDONLY);
    struct stat st;

    REQUIRE(fstat(fd, &st));
    close(fd);
    return (size_t)st.st_size;
}

void fixture_read(const struct fixture *f, const char *name, uint64_t offset, void *to, size_t size)
{
    int fd = open_name(f, name, O_RDONLY);

    cr_assert_eq(pread(fd, to, size, (off_t)offset), (ssize_t)size);
    close(fd);
}

void fixture_write(const struct fixture *f, const char *name, uint64_t offset, const void *from,
                   size_t size)
{
    int fd = open_name(f, name, O_RDWR);

    cr_assert_eq(pwrite(fd, from, size, (off_t)offset), (ssize_t)size);
    close(fd);
}

void fixture_flip(const struct fixture *f, const char *name, uint64_t offset, unsigned bit)
{
    int fd = open_name(f, name, O_RDWR);
    uint8_t byte;

    cr_assert_eq(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= (uint8_t)(1u << bit);
    cr_assert_eq(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

void fixture_truncate(const struct fixture *f, const char *name, uint64_t size)
{
    int fd = open_name(f, name, O_RDWR);

    REQUIRE(ftruncate(fd, (off_t)size));
    close(fd);
}

void fixture_rename(const struct fixture *f, const char *from, const char *to)
{
    char a[1024], b[1024];

    (void)snprintf(a, sizeof(a), "%s/%s", f->path, from);
    (void)snprintf(b, sizeof(b), "%s/%s", f->path, to);
    REQUIRE(rename(a, b));
}

void fixture_unlink(const struct fixture *f, const char *name)
{
    char a[1024];

    (void)snprintf(a, sizeof(a), "%s/%s", f->path, name);
    REQUIRE(unlink(a));
}

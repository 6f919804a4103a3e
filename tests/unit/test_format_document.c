/* format_document: the worked example of docs/format.md is what the code makes. */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "attest.h"
#include "record.h"
#include "segment.h"

static char text[1 << 16];
static size_t length;

static void say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    length += (size_t)vsnprintf(text + length, sizeof(text) - length, format, arguments);
    va_end(arguments);
    cr_assert_lt(length, sizeof(text));
}

/* Sixteen bytes a line; lines of zeros are left out. */
static void dump(const char *title, const uint8_t *bytes, size_t size, uint64_t offset)
{
    static const uint8_t zero[16];

    say("    %s\n", title);
    for (size_t i = 0; i < size; i += 16) {
        if (memcmp(bytes + i, zero, size - i < 16 ? size - i : 16) == 0)
            continue;
        say("    %06llx ", (unsigned long long)(offset + i));
        for (size_t j = i; j < i + 16 && j < size; j++)
            say("%s%02x", j == i + 8 ? "  " : " ", bytes[j]);
        say("\n");
    }
    say("\n");
}

static struct bytes text_of(const char *string)
{
    return (struct bytes){(const uint8_t *)string, strlen(string)};
}

static void append(struct sector_tail *tail, struct sector_buffer *buffer, uint64_t salt,
                   uint64_t session, uint32_t sequence, struct log_position *at,
                   const struct record *record, struct sector_write *write)
{
    struct record_buffer records = {.os = os_linux()};
    struct batch_header header = {.session = session, .sequence = sequence, .record_count = 1};
    uint8_t bytes[BATCH_HEADER_SIZE];

    cr_assert_eq(record_encode(&records, record), 0);
    cr_assert_eq(batch_header_encode(bytes, &header, at, records.data, records.size), 0);
    cr_assert_eq(sector_append(os_linux(), buffer, tail, salt, 1 << 18, 0, bytes, records.data,
                               records.size, write),
                 0);
    *at = (struct log_position){header.lsn, header.chain};
    *tail = write->tail;
    record_buffer_release(&records);
}

/* A store with two batches: a session opens, and a trial finishes (which one is not asked here). */
static void make_example(void)
{
    struct format format = {.created_us = INT64_C(1767225600000000)};
    struct segment_header header = {
        .number = 1,
        .epoch = 1,
        .salt = UINT64_C(0x0123456789abcdef),
        .first_lsn = 1,
        .bytes = 1 << 18,
        .reason = SEGMENT_REASON_FIRST,
        .created_us = INT64_C(1767225600000000),
    };
    struct record open = {.type = RECORD_SESSION_OPEN}, finish = {.type = RECORD_TRIAL_FINISH};
    double objective = 0.25;
    uint8_t bytes[FORMAT_SIZE], slot_bytes[ATTEST_SLOT_SIZE], payload[SECTOR_PAYLOAD_SIZE];
    struct sector_buffer buffer = {0};
    struct sector_tail tail;
    struct sector_write write;
    struct log_position at;
    struct attest_slot slot = {.state = ATTEST_GOOD, .epoch = 1};
    size_t used;

    for (unsigned i = 0; i < 16; i++) {
        format.uuid[i] = (uint8_t)(0x11 * i);
        header.boot_id[i] = (uint8_t)(0xb0 + i);
    }
    format_features_current(&format.features);
    format_encode(&format, bytes);
    dump("FORMAT, first copy", bytes, FORMAT_COPY_SIZE, 0);

    header.features = format.features;
    memcpy(header.uuid, format.uuid, 16);
    at = header.end = (struct log_position){.chain = batch_chain_start(format.uuid)};
    segment_header_encode(&header, bytes);
    dump("wal/00000001.wal, first copy of the header", bytes, FORMAT_COPY_SIZE, 0);

    open.session_open.slot = 3;
    memcpy(open.session_open.boot_id, header.boot_id, 16);
    open.session_open.process_id = 4711;
    open.session_open.time.us = INT64_C(1767225601000000);
    open.session_open.host = text_of("lab");
    open.session_open.program = text_of("hpo");
    segment_tail_start(&tail);
    append(&tail, &buffer, header.salt, 0, 0, &at, &open, &write);
    dump("wal/00000001.wal, first sector after batch 1", write.bytes, SECTOR_SIZE, write.offset);

    finish.trial_finish.trial = 1;
    finish.trial_finish.state = TRIAL_COMPLETE;
    finish.trial_finish.objectives = &objective;
    finish.trial_finish.objective_count = 1;
    finish.trial_finish.time.us = INT64_C(1767225602000000);
    append(&tail, &buffer, header.salt, 1, 2, &at, &finish, &write);
    dump("wal/00000001.wal, the same sector after batch 2", write.bytes, SECTOR_SIZE, write.offset);
    used = sector_payload(write.bytes, 0, payload);
    dump("its payload without the mask", payload, used, 0);

    slot.at = at;
    attest_encode(&slot, format.uuid, 0, slot_bytes);
    dump("attest, slot 0, after the flush", slot_bytes, ATTEST_SLOT_SIZE, 0);
    sector_buffer_release(os_linux(), &buffer);
}

Test(format_document, the_worked_example_is_what_the_code_makes)
{
    static char document[1 << 18];
    char path[1024];
    FILE *file;
    size_t n;

    make_example();
    (void)snprintf(path, sizeof(path), "%s/docs/format.md", HPO_SOURCE_DIR);
    file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    n = fread(document, 1, sizeof(document) - 1, file);
    fclose(file);
    document[n] = 0;
    if (!strstr(document, text))
        printf("docs/format.md should say:\n%s", text);
    cr_assert_not_null(strstr(document, text));
}

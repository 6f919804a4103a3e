/*
 * record: the frame around a record's fields: length, type, version, flags, padding.
 *
 * The fields themselves are described once, for both directions: record_fields.c.
 */
#include "record_coder.h"

#include <assert.h>
#include <string.h>

#define RECORD_HEADER_SIZE 8u
#define RECORD_VERSION 1u
#define RECORD_COUNT_MAX 65535u
#define SCRATCH_BLOCK_SIZE 4096u

/* -- scratch -- */

struct record_scratch_block {
    struct record_scratch_block *next;
    size_t size, used; /* bytes after this header */
};

static_assert(sizeof(struct record_scratch_block) % 8 == 0, "items after the header are aligned");

void record_scratch_reset(struct record_scratch *scratch)
{
    for (struct record_scratch_block *block = scratch->blocks; block; block = block->next)
        block->used = 0;
}

void record_scratch_release(struct record_scratch *scratch)
{
    while (scratch->blocks) {
        struct record_scratch_block *block = scratch->blocks;
        scratch->blocks = block->next;
        scratch->os->free(scratch->os->self, block);
    }
}

void *record_scratch_alloc(struct record_scratch *scratch, size_t size)
{
    struct record_scratch_block *block;
    void *items;

    size = (size + 7) & ~(size_t)7;
    for (block = scratch->blocks; block; block = block->next)
        if (block->size - block->used >= size)
            break;
    if (!block) {
        size_t room = size > SCRATCH_BLOCK_SIZE ? size : SCRATCH_BLOCK_SIZE;
        block = scratch->os->alloc(scratch->os->self, sizeof(*block) + room);
        if (!block)
            return NULL;
        *block = (struct record_scratch_block){.next = scratch->blocks, .size = room};
        scratch->blocks = block;
    }
    items = (uint8_t *)(block + 1) + block->used;
    block->used += size;
    return items;
}

/* -- buffer -- */

void record_buffer_clear(struct record_buffer *buffer)
{
    buffer->size = 0;
    buffer->count = 0;
}

void record_buffer_release(struct record_buffer *buffer)
{
    if (buffer->data)
        buffer->os->free(buffer->os->self, buffer->data);
    buffer->data = NULL;
    buffer->capacity = 0;
    record_buffer_clear(buffer);
}

static int buffer_reserve(struct record_buffer *buffer, size_t more)
{
    size_t capacity = buffer->capacity ? buffer->capacity : 512;
    uint8_t *data;

    if (buffer->capacity - buffer->size >= more)
        return 0;
    while (capacity - buffer->size < more)
        capacity *= 2;
    data = buffer->os->realloc(buffer->os->self, buffer->data, capacity);
    if (!data)
        return HPO_NOMEM;
    buffer->data = data;
    buffer->capacity = capacity;
    return 0;
}

/* -- the table of types -- */

static const char *const names[] = {
    [RECORD_SESSION_OPEN] = "SESSION_OPEN",
    [RECORD_SESSION_CLOSE] = "SESSION_CLOSE",
    [RECORD_HEARTBEAT] = "HEARTBEAT",
    [RECORD_SNAPSHOT_DONE] = "SNAPSHOT_DONE",
    [RECORD_STUDY_CREATE] = "STUDY_CREATE",
    [RECORD_STUDY_DELETE] = "STUDY_DELETE",
    [RECORD_STUDY_CONFIG] = "STUDY_CONFIG",
    [RECORD_STUDY_ATTR] = "STUDY_ATTR",
    [RECORD_PARAM_DEFINE] = "PARAM_DEFINE",
    [RECORD_SAMPLER_STATE] = "SAMPLER_STATE",
    [RECORD_TRIAL_ENQUEUE] = "TRIAL_ENQUEUE",
    [RECORD_TRIAL_BEGIN] = "TRIAL_BEGIN",
    [RECORD_TRIAL_IMPORT] = "TRIAL_IMPORT",
    [RECORD_DRAW] = "DRAW",
    [RECORD_SUGGEST] = "SUGGEST",
    [RECORD_PARAM_SET] = "PARAM_SET",
    [RECORD_REPORT] = "REPORT",
    [RECORD_PRUNE_DECISION] = "PRUNE_DECISION",
    [RECORD_TRIAL_ATTR] = "TRIAL_ATTR",
    [RECORD_TRIAL_FINISH] = "TRIAL_FINISH",
    [RECORD_TRIAL_ROLLBACK] = "TRIAL_ROLLBACK",
};

static bool type_known(uint8_t type)
{
    return type < sizeof(names) / sizeof(names[0]) && names[type];
}

const char *record_type_name(uint8_t type)
{
    return type_known(type) ? names[type] : "?";
}

/* A reader may pass over these: they tell, they do not change anything. */
static uint16_t flags_of(uint8_t type)
{
    return type == RECORD_HEARTBEAT || type == RECORD_SNAPSHOT_DONE ? RECORD_SKIPPABLE : 0;
}

/* -- encoding -- */

/* The walk only reads the record when it encodes; the struct is shared with decoding, so const
 * ends here. */
static struct record *readable(const struct record *record)
{
    return (struct record *)(uintptr_t)record;
}

int record_encode(struct record_buffer *buffer, const struct record *record)
{
    struct coder measure = {0}, write = {0};
    size_t size, padded;
    int err;

    if (!type_known(record->type) || record->skipped)
        return HPO_INVALID;
    if (buffer->count == RECORD_COUNT_MAX)
        return HPO_TOO_LARGE;
    codec_writer_init(&measure.writer, NULL, 0);
    code_payload(&measure, readable(record));
    if (measure.error)
        return measure.error;
    size = RECORD_HEADER_SIZE + measure.writer.position;
    if (size > RECORD_SIZE_MAX)
        return HPO_TOO_LARGE;
    padded = (size + 7) & ~(size_t)7;
    err = buffer_reserve(buffer, padded);
    if (err < 0)
        return err;

    codec_writer_init(&write.writer, buffer->data + buffer->size, padded);
    codec_put_u32(&write.writer, (uint32_t)size);
    codec_put_u8(&write.writer, record->type);
    codec_put_u8(&write.writer, RECORD_VERSION);
    codec_put_u16(&write.writer, flags_of(record->type));
    code_payload(&write, readable(record));
    codec_put_padding(&write.writer, 8);
    assert(!write.error && codec_writer_ok(&write.writer) && write.writer.position == padded);
    buffer->size += padded;
    buffer->count++;
    return 0;
}

/* -- decoding -- */

int record_decode(const uint8_t *bytes, size_t size, struct record_scratch *scratch,
                  struct record *out, size_t *used)
{
    struct coder c = {.decoding = true, .scratch = scratch};
    struct codec_reader header;
    struct record record = {0};
    uint32_t length;
    uint8_t version;
    uint16_t flags;
    size_t padded;

    codec_reader_init(&header, bytes, size);
    length = codec_get_u32(&header);
    record.type = codec_get_u8(&header);
    version = codec_get_u8(&header);
    flags = codec_get_u16(&header);
    if (!codec_reader_ok(&header) || length < RECORD_HEADER_SIZE || length > RECORD_SIZE_MAX)
        return HPO_CORRUPT;
    padded = ((size_t)length + 7) & ~(size_t)7;
    if (padded > size)
        return HPO_CORRUPT;
    codec_get_bytes(&header, length - RECORD_HEADER_SIZE);
    codec_get_zeros(&header, padded - length);
    if (!codec_reader_ok(&header))
        return HPO_CORRUPT;
    if (!type_known(record.type) || version != RECORD_VERSION || flags != flags_of(record.type)) {
        if (flags != RECORD_SKIPPABLE || (type_known(record.type) && version == RECORD_VERSION))
            return HPO_UNSUPPORTED;
        record.skipped = true; /* R4 */
    } else {
        codec_reader_init(&c.reader, bytes + RECORD_HEADER_SIZE, length - RECORD_HEADER_SIZE);
        code_payload(&c, &record);
        if (c.error == HPO_NOMEM)
            return HPO_NOMEM;
        if (c.error || !codec_reader_done(&c.reader))
            return HPO_CORRUPT;
    }
    *out = record;
    *used = padded;
    return 0;
}

/* -- parts alone -- */

typedef void (*code_fn)(struct coder *c, void *part);

static void code_any_param(struct coder *c, void *part)
{
    code_param(c, part);
}

static void code_any_distribution(struct coder *c, void *part)
{
    code_distribution(c, part);
}

static int encode_part(struct record_buffer *buffer, void *part, code_fn code)
{
    struct coder measure = {0}, write = {0};
    int err;

    codec_writer_init(&measure.writer, NULL, 0);
    code(&measure, part);
    if (measure.error)
        return measure.error;
    if (measure.writer.position > RECORD_SIZE_MAX)
        return HPO_TOO_LARGE;
    err = buffer_reserve(buffer, measure.writer.position);
    if (err < 0)
        return err;
    codec_writer_init(&write.writer, buffer->data + buffer->size, measure.writer.position);
    code(&write, part);
    assert(!write.error && codec_writer_ok(&write.writer));
    buffer->size += measure.writer.position;
    return 0;
}

static int decode_part(const uint8_t *bytes, size_t size, struct record_scratch *scratch,
                       void *part, code_fn code, size_t *used)
{
    struct coder c = {.decoding = true, .scratch = scratch};

    codec_reader_init(&c.reader, bytes, size);
    code(&c, part);
    if (c.error == HPO_NOMEM)
        return HPO_NOMEM;
    if (c.error || !codec_reader_ok(&c.reader))
        return HPO_CORRUPT;
    *used = size - codec_reader_left(&c.reader);
    return 0;
}

int record_encode_distribution(struct record_buffer *buffer,
                               const struct record_distribution *distribution)
{
    struct record_distribution copy = *distribution;

    return encode_part(buffer, &copy, code_any_distribution);
}

int record_decode_distribution(const uint8_t *bytes, size_t size, struct record_scratch *scratch,
                               struct record_distribution *out, size_t *used)
{
    struct record_distribution distribution = {0};
    int err = decode_part(bytes, size, scratch, &distribution, code_any_distribution, used);

    if (err == 0)
        *out = distribution;
    return err;
}

int record_encode_param(struct record_buffer *buffer, const struct record_param *param)
{
    struct record_param copy = *param;

    return encode_part(buffer, &copy, code_any_param);
}

int record_decode_param(const uint8_t *bytes, size_t size, struct record_scratch *scratch,
                        struct record_param *out, size_t *used)
{
    struct record_param param = {0};
    int err = decode_part(bytes, size, scratch, &param, code_any_param, used);

    if (err == 0)
        *out = param;
    return err;
}

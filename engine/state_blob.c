/*
 * state_blob: see state_blob.h. The header is written and read field by field; the arrays are used
 * in place, so their structs' layout is pinned here.
 *
 *   0    size u32 | 4 version u8 (1) | 5 state u8 | 6 mode u8 | 7 reason u8
 *   8    study | 16 number | 24 id | 32 created LSN | 40 begin LSN | 48 end LSN | 56 view |
 *        64 session | 72 on behalf of (u64 each)
 *   80   begin time | 88 end time (i64 each) | 96 begin kind u8 | 97 end kind u8 | 98 flags u16
 *   100  objectives | 104 values | 108 reports | 112 decisions | 116 attributes | 120 heap bytes |
 *        124 note bytes (u32 each)
 *   128  LSN of the note u64
 *   136  objectives f64 each | values 24 each | reports 32 each | decisions 40 each |
 *        attributes 32 each | heap | zeros to a multiple of 8
 */
#include "state_blob.h"

#include <assert.h>
#include <string.h>

#include "codec.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blocks are read in place (T3)");
static_assert(sizeof(struct state_value) == 24, "as in a block");
static_assert(offsetof(struct state_value, value) == 8 && offsetof(struct state_value, lsn) == 16,
              "");
static_assert(sizeof(struct state_report) == 32, "as in a block");
static_assert(sizeof(struct state_decision) == 40, "as in a block");
static_assert(offsetof(struct state_decision, prune) == 24, "");
static_assert(sizeof(struct state_attr) == 32, "as in a block");
static_assert(offsetof(struct state_attr, space) == 24, "");

#define BLOB_VERSION 1u

enum blob_flags {
    BLOB_POPPED = 1,
    BLOB_IMPORTED = 2,
    BLOB_STOP = 4,
    BLOB_RETRY = 8,
    BLOB_ORPHAN = 16,
    BLOB_FLAGS = 31
};

static uint32_t heap_size(const struct state_trial *trial)
{
    size_t size = trial->note_size;

    for (uint32_t i = 0; i < trial->decision_count; i++)
        size += trial->decisions[i].note_size;
    for (uint32_t i = 0; i < trial->attr_count; i++)
        size += (size_t)trial->attrs[i].key_size + trial->attrs[i].value_size;
    assert(size <= UINT32_MAX);
    return (uint32_t)size;
}

static uint64_t arrays_size(const struct state_trial *trial)
{
    return (uint64_t)trial->objective_count * sizeof(double) +
           (uint64_t)trial->value_count * sizeof(struct state_value) +
           (uint64_t)trial->report_count * sizeof(struct state_report) +
           (uint64_t)trial->decision_count * sizeof(struct state_decision) +
           (uint64_t)trial->attr_count * sizeof(struct state_attr);
}

static uint64_t padded(uint64_t size)
{
    return (size + 7) & ~(uint64_t)7;
}

size_t blob_size(const struct state_trial *trial)
{
    return (size_t)padded(BLOB_HEADER_SIZE + arrays_size(trial) + heap_size(trial));
}

/* -- encoding -- */

static unsigned flags_of(const struct state_trial *trial)
{
    return (trial->popped ? BLOB_POPPED : 0u) | (trial->imported ? BLOB_IMPORTED : 0u) |
           (trial->stop ? BLOB_STOP : 0u) | (trial->retry ? BLOB_RETRY : 0u) |
           (trial->orphan ? BLOB_ORPHAN : 0u);
}

static void put_header(struct codec_writer *w, const struct state_trial *trial, size_t size)
{
    codec_put_u32(w, (uint32_t)size);
    codec_put_u8(w, BLOB_VERSION);
    codec_put_u8(w, trial->state);
    codec_put_u8(w, trial->mode);
    codec_put_u8(w, trial->reason);
    codec_put_u64(w, trial->study);
    codec_put_u64(w, trial->number);
    codec_put_u64(w, trial->id);
    codec_put_u64(w, trial->created_lsn);
    codec_put_u64(w, trial->begin_lsn);
    codec_put_u64(w, trial->end_lsn);
    codec_put_u64(w, trial->view);
    codec_put_u64(w, trial->session);
    codec_put_u64(w, trial->on_behalf);
    codec_put_i64(w, trial->begin.us);
    codec_put_i64(w, trial->end.us);
    codec_put_u8(w, trial->begin.kind);
    codec_put_u8(w, trial->end.kind);
    codec_put_u16(w, (uint16_t)flags_of(trial));
    codec_put_u32(w, trial->objective_count);
    codec_put_u32(w, trial->value_count);
    codec_put_u32(w, trial->report_count);
    codec_put_u32(w, trial->decision_count);
    codec_put_u32(w, trial->attr_count);
    codec_put_u32(w, heap_size(trial));
    codec_put_u32(w, trial->note_size);
    codec_put_u64(w, trial->note_lsn);
    assert(w->position == BLOB_HEADER_SIZE);
}

static void put_arrays(struct codec_writer *w, const struct state_trial *trial)
{
    uint32_t offset = trial->note_size;

    codec_put_bytes(w, trial->objectives, trial->objective_count * sizeof(double));
    codec_put_bytes(w, trial->values, trial->value_count * sizeof(struct state_value));
    codec_put_bytes(w, trial->reports, trial->report_count * sizeof(struct state_report));
    for (uint32_t i = 0; i < trial->decision_count; i++) {
        struct state_decision decision = trial->decisions[i];

        decision.note_offset = offset;
        offset += decision.note_size;
        codec_put_bytes(w, &decision, sizeof(decision));
    }
    for (uint32_t i = 0; i < trial->attr_count; i++) {
        struct state_attr attr = trial->attrs[i];

        attr.key_offset = offset;
        offset += attr.key_size;
        attr.value_offset = offset;
        offset += attr.value_size;
        codec_put_bytes(w, &attr, sizeof(attr));
    }
}

static void put_heap(struct codec_writer *w, const struct state_trial *trial)
{
    if (trial->note_size)
        codec_put_bytes(w, trial->heap + trial->note_offset, trial->note_size);
    for (uint32_t i = 0; i < trial->decision_count; i++)
        if (trial->decisions[i].note_size)
            codec_put_bytes(w, trial->heap + trial->decisions[i].note_offset,
                            trial->decisions[i].note_size);
    for (uint32_t i = 0; i < trial->attr_count; i++) {
        const struct state_attr *attr = &trial->attrs[i];

        if (attr->key_size)
            codec_put_bytes(w, trial->heap + attr->key_offset, attr->key_size);
        if (attr->value_size)
            codec_put_bytes(w, trial->heap + attr->value_offset, attr->value_size);
    }
}

void blob_encode(uint8_t *to, const struct state_trial *trial)
{
    size_t size = blob_size(trial);
    struct codec_writer w;

    codec_writer_init(&w, to, size);
    put_header(&w, trial, size);
    put_arrays(&w, trial);
    put_heap(&w, trial);
    codec_put_padding(&w, 8);
    assert(codec_writer_ok(&w) && w.position == size);
}

/* -- reading -- */

uint32_t blob_bytes(const uint8_t *block)
{
    return codec_load_u32(block);
}

uint64_t blob_number(const uint8_t *block)
{
    return codec_load_u64(block + 16);
}

uint64_t blob_id(const uint8_t *block)
{
    return codec_load_u64(block + 24);
}

uint64_t blob_begin_lsn(const uint8_t *block)
{
    return codec_load_u64(block + 40);
}

uint64_t blob_end_lsn(const uint8_t *block)
{
    return codec_load_u64(block + 48);
}

static void read_header(const uint8_t *block, struct state_trial *out)
{
    unsigned flags = codec_load_u16(block + 98);

    *out = (struct state_trial){
        .state = block[5],
        .mode = block[6],
        .reason = block[7],
        .study = codec_load_u64(block + 8),
        .number = codec_load_u64(block + 16),
        .id = codec_load_u64(block + 24),
        .created_lsn = codec_load_u64(block + 32),
        .begin_lsn = codec_load_u64(block + 40),
        .end_lsn = codec_load_u64(block + 48),
        .view = codec_load_u64(block + 56),
        .session = codec_load_u64(block + 64),
        .on_behalf = codec_load_u64(block + 72),
        .begin = {.us = (int64_t)codec_load_u64(block + 80), .kind = block[96]},
        .end = {.us = (int64_t)codec_load_u64(block + 88), .kind = block[97]},
        .popped = flags & BLOB_POPPED,
        .imported = flags & BLOB_IMPORTED,
        .stop = flags & BLOB_STOP,
        .retry = flags & BLOB_RETRY,
        .orphan = flags & BLOB_ORPHAN,
        .objective_count = codec_load_u32(block + 100),
        .value_count = codec_load_u32(block + 104),
        .report_count = codec_load_u32(block + 108),
        .decision_count = codec_load_u32(block + 112),
        .attr_count = codec_load_u32(block + 116),
        .heap_size = codec_load_u32(block + 120),
        .note_size = codec_load_u32(block + 124),
        .note_lsn = codec_load_u64(block + 128),
    };
}

static void read_arrays(const uint8_t *block, struct state_trial *out)
{
    const uint8_t *at = block + BLOB_HEADER_SIZE;

    out->objectives = (const double *)(const void *)at;
    at += out->objective_count * sizeof(double);
    out->values = (const struct state_value *)(const void *)at;
    at += out->value_count * sizeof(struct state_value);
    out->reports = (const struct state_report *)(const void *)at;
    at += out->report_count * sizeof(struct state_report);
    out->decisions = (const struct state_decision *)(const void *)at;
    at += out->decision_count * sizeof(struct state_decision);
    out->attrs = (const struct state_attr *)(const void *)at;
    at += out->attr_count * sizeof(struct state_attr);
    out->heap = at;
}

void blob_read(const uint8_t *block, struct state_trial *out)
{
    assert(((uintptr_t)block & 7) == 0);
    read_header(block, out);
    read_arrays(block, out);
}

/* -- verifying -- */

static bool time_good(const struct record_time *time)
{
    return time->kind <= 1 || (time->kind == 255 && time->us == 0);
}

static bool values_good(const struct state_trial *trial)
{
    uint64_t lsn = 0;

    for (uint32_t i = 0; i < trial->value_count; i++) {
        const struct state_value *value = &trial->values[i];
        uint32_t flags = value->flags;

        if (value->lsn < lsn || value->value != value->value)
            return false;
        if (flags != VALUE_ASKED && flags != VALUE_JOINT && flags != (VALUE_ASKED | VALUE_JOINT) &&
            flags != VALUE_FIXED && flags != (VALUE_ASKED | VALUE_SET))
            return false;
        lsn = value->lsn;
    }
    return true;
}

static bool reports_good(const struct state_trial *trial)
{
    uint64_t lsn = 0;

    for (uint32_t i = 0; i < trial->report_count; i++) {
        if (trial->reports[i].lsn < lsn)
            return false;
        lsn = trial->reports[i].lsn;
    }
    return true;
}

/* Everything in the heap, in the one order and without gaps (T1). */
static bool heap_good(const struct state_trial *trial)
{
    uint64_t offset = trial->note_size, lsn = 0;
    static const uint8_t none[6];

    for (uint32_t i = 0; i < trial->decision_count; i++) {
        const struct state_decision *decision = &trial->decisions[i];

        if (decision->prune > 1 || decision->zero || decision->note_offset != offset ||
            decision->lsn < lsn)
            return false;
        offset += decision->note_size;
        lsn = decision->lsn;
        if (offset > trial->heap_size)
            return false;
    }
    lsn = 0;
    for (uint32_t i = 0; i < trial->attr_count; i++) {
        const struct state_attr *attr = &trial->attrs[i];

        if (attr->space > ATTR_OWN || attr->removed > 1 || (attr->removed && attr->value_size) ||
            attr->lsn < lsn || memcmp(attr->zero, none, sizeof(none)) != 0)
            return false;
        if (attr->key_offset != offset || attr->value_offset != offset + attr->key_size)
            return false;
        offset += (uint64_t)attr->key_size + attr->value_size;
        lsn = attr->lsn;
        if (offset > trial->heap_size)
            return false;
    }
    return offset == trial->heap_size;
}

static bool padding_good(const uint8_t *bytes, size_t used, size_t size)
{
    for (; used < size; used++)
        if (bytes[used])
            return false;
    return true;
}

bool blob_verify(const uint8_t *bytes, size_t size)
{
    struct state_trial trial;
    uint64_t used;

    if (size < BLOB_HEADER_SIZE || size > UINT32_MAX || codec_load_u32(bytes) != size ||
        bytes[4] != BLOB_VERSION || codec_load_u16(bytes + 98) > BLOB_FLAGS)
        return false;
    read_header(bytes, &trial);
    used = BLOB_HEADER_SIZE + arrays_size(&trial) + trial.heap_size;
    if (padded(used) != size || trial.note_size > trial.heap_size)
        return false;
    if (trial.state > TRIAL_ROLLED_BACK || trial.mode > VIEW_LIVE ||
        trial.reason > ROLLBACK_CLOSED ||
        (trial.reason != 0) != (trial.state == TRIAL_ROLLED_BACK) || !time_good(&trial.begin) ||
        !time_good(&trial.end))
        return false;
    read_arrays(bytes, &trial);
    for (uint32_t i = 0; i < trial.objective_count; i++)
        if (trial.objectives[i] != trial.objectives[i])
            return false;
    return values_good(&trial) && reports_good(&trial) && heap_good(&trial) &&
           padding_good(bytes, (size_t)used, size);
}

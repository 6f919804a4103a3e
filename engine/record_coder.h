/*
 * record_coder: the walk over a record's fields, in either direction. Private to record*.c.
 *
 * Encoding and decoding are the same walk (`struct coder`): measuring, writing or reading. So what
 * is written and what is read cannot drift apart, and each rule about a field stands in one place:
 * a writer that breaks it gets HPO_INVALID, bytes that break it are HPO_CORRUPT. When encoding,
 * the walk only reads the struct.
 */
#ifndef HPO_ENGINE_RECORD_CODER_H
#define HPO_ENGINE_RECORD_CODER_H

#include "codec.h"
#include "hpo.h"
#include "record.h"

struct coder {
    bool decoding;
    int error; /* sticky: HPO_INVALID, HPO_TOO_LARGE (encoding), HPO_CORRUPT, HPO_NOMEM (decoding)
                */
    struct codec_writer writer;
    struct codec_reader reader;
    struct record_scratch *scratch;
};

void coder_fail(struct coder *c, int error);
void coder_require(struct coder *c, bool holds); /* a rule about a field */

void code_u8(struct coder *c, uint8_t *field);
/* u16, u32, u64 and i64 take as many bytes as they need, fixed always eight. */
void code_u16(struct coder *c, uint16_t *field);
void code_u32(struct coder *c, uint32_t *field);
void code_u64(struct coder *c, uint64_t *field);
void code_i64(struct coder *c, int64_t *field);
void code_fixed(struct coder *c, uint64_t *field); /* hashes, seeds */
void code_bool(struct coder *c, bool *field);
void code_enum(struct coder *c, uint8_t *field, unsigned low, unsigned high); /* both included */
void code_f64(struct coder *c, double *field);    /* NaN has one encoding (R1): written in any form
                                                   * it becomes that, read in any other it is damage */
void code_number(struct coder *c, double *field); /* no NaN */
void code_raw(struct coder *c, uint8_t *bytes, size_t size);
void code_bytes(struct coder *c, struct bytes *field);
void code_name(struct coder *c, struct bytes *field); /* at most RECORD_NAME_MAX (R2) */

/*
 * The items of an array and how many there are. Reading, memory is taken only once at least
 * `least` bytes for each item are known to be there (R3). Writing, the caller's own items are
 * handed back.
 */
void *code_items(struct coder *c, const void *items, uint32_t *count, size_t item_size,
                 size_t least);

/* `pointer` and `count` are the struct's members, `code_item` walks one item. */
#define CODE_ARRAY(c, type, pointer, count, least, code_item)                  \
    do {                                                                       \
        uint32_t n_ = (c)->decoding ? 0 : (count);                             \
        type *items_ = code_items((c), (pointer), &n_, sizeof(type), (least)); \
        for (uint32_t i_ = 0; i_ < n_ && !(c)->error; i_++)                    \
            code_item((c), &items_[i_]);                                       \
        if ((c)->decoding) {                                                   \
            (pointer) = items_;                                                \
            (count) = n_;                                                      \
        }                                                                      \
    } while (0)

/* Memory of a scratch, aligned for any type; NULL: none. */
void *record_scratch_alloc(struct record_scratch *scratch, size_t size);

/* record_fields.c */
void code_distribution(struct coder *c, struct record_distribution *distribution);
void code_param(struct coder *c, struct record_param *param);
void code_payload(struct coder *c, struct record *record); /* by record->type, which is known */

#endif

/*
 * attr: see attr.h.
 *
 * hpo_free has no handle to tell which table the memory came from, so what it frees carries the
 * table in front.
 */
#include "attr.h"
#include "distribution.h"

#include <stdalign.h>
#include <string.h>

#define PIECE_MAX                                                                   \
    (RECORD_SIZE_MAX - 70 * 1024) /* beside the longest key and the record's fields \
                                   */
#define VALUE_MAX (3900u * 1024)  /* with its records, below a batch's 4 MiB */

struct gift {
    alignas(max_align_t) const struct hpo_os *os;
    alignas(max_align_t) unsigned char data[];
};

int attr_check(enum hpo_attr_space space, const char *key, const void *value, size_t size,
               struct bytes *key_out)
{
    if ((unsigned)space > HPO_ATTR_OWN)
        return call_error(HPO_INVALID, "unknown space of attributes");
    if (!value && size > 0)
        return call_error(HPO_INVALID, "the attribute has a size, but no value");
    if (size > VALUE_MAX)
        return call_error(HPO_TOO_LARGE, "attributes are limited to %u bytes", VALUE_MAX);
    return name_check(key, "the attribute's key", key_out);
}

/* The piece of a value that begins at *done; moves *done. */
static struct record_attr next_piece(uint8_t space, struct bytes key, struct bytes value,
                                     size_t *done)
{
    size_t pieces = value.size ? (value.size + PIECE_MAX - 1) / PIECE_MAX : 1;
    size_t left = value.size - *done;
    struct record_attr attr = {
        .space = space,
        .piece = (uint16_t)(*done / PIECE_MAX + 1),
        .pieces = (uint16_t)pieces,
        .key = key,
        .value = {value.size ? value.data + *done : NULL, left < PIECE_MAX ? left : PIECE_MAX},
    };

    *done += attr.value.size;
    return attr;
}

int attr_encode_study(struct hpo_store *store, uint64_t study, uint8_t space, struct bytes key,
                      struct bytes value)
{
    struct record record = {.type = RECORD_STUDY_ATTR};
    size_t done = 0;
    int err;

    do {
        record.study_attr.study = study;
        record.study_attr.attr = next_piece(space, key, value, &done);
        err = tail_record(store, &record);
    } while (err == 0 && done < value.size);
    return err;
}

int attr_encode_trial(struct hpo_store *store, uint64_t trial, uint8_t space, struct bytes key,
                      struct bytes value)
{
    struct record record = {.type = RECORD_TRIAL_ATTR};
    size_t done = 0;
    int err;

    do {
        record.trial_attr.trial = trial;
        record.trial_attr.attr = next_piece(space, key, value, &done);
        err = tail_record(store, &record);
    } while (err == 0 && done < value.size);
    return err;
}

int attr_give(struct hpo_store *store, struct bytes value, void **out, size_t *size)
{
    struct gift *gift = store->os->alloc(store->os->self, sizeof(*gift) + value.size + 1);

    if (!gift)
        return HPO_NOMEM;
    gift->os = store->os;
    if (value.size)
        memcpy(gift->data, value.data, value.size);
    gift->data[value.size] = '\0';
    *out = gift->data;
    *size = value.size;
    return 0;
}

void hpo_free(void *p)
{
    struct gift *gift;

    if (!p)
        return;
    gift = (struct gift *)(void *)((unsigned char *)p - offsetof(struct gift, data));
    gift->os->free(gift->os->self, gift);
}

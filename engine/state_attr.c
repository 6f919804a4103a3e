/*
 * state_attr: values of a study that can be undone: attributes, a sampler's named parts, where
 * foreign generators stand.
 *
 * Each key has versions in the order of the log, at most one per writer. Nobody can undo a settled
 * version, so a later settled one replaces it; a version of an unfinished trial is settled or
 * taken away when that trial ends. The value that shows is that of the last version, and the key's
 * place in the order is that of the first setting that still counts, so that after an undo
 * everything is as if the writer had never been there. Removing a key hides it; it keeps its
 * place.
 */
#include "state_internal.h"

#include <assert.h>
#include <string.h>

#include "codec.h"
#include "hpo.h"

/* -- entries -- */

static bool key_is(const struct attr_entry *entry, uint8_t space, struct bytes key)
{
    return entry->space == space && entry->key_size == key.size &&
           (key.size == 0 || memcmp(entry->key, key.data, key.size) == 0);
}

struct attr_entry *attr_find(const struct state_study *study, uint8_t space, struct bytes key)
{
    uint64_t hash = hash64(space, key.data, key.size);
    struct attr_entry *entry = (struct attr_entry *)(uintptr_t)map_get(&study->attrs_by_hash, hash);

    while (entry && !key_is(entry, space, key))
        entry = entry->next_same;
    return entry;
}

void attr_entry_free(const struct hpo_os *os, struct attr_entry *entry)
{
    for (uint32_t i = 0; i < entry->version_count; i++)
        state_release(os, entry->versions[i].value);
    state_release(os, entry->versions);
    state_release(os, entry);
}

/* Keys set by one record share a place; they are ordered among themselves by space and key. */
static bool entry_before(const struct attr_entry *a, const struct attr_entry *b)
{
    size_t common = a->key_size < b->key_size ? a->key_size : b->key_size;
    int order;

    if (a->place != b->place)
        return a->place < b->place;
    if (a->space != b->space)
        return a->space < b->space;
    order = memcmp(a->key, b->key, common);
    return order ? order < 0 : a->key_size < b->key_size;
}

static size_t entry_place(const struct state_study *study, const struct attr_entry *entry)
{
    size_t low = 0, high = study->attr_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (entry_before(study->attrs[middle], entry))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void entry_insert(struct state_study *study, struct attr_entry *entry)
{
    size_t at = entry_place(study, entry);

    list_open(study->attrs, study->attr_count, at, sizeof(*study->attrs));
    study->attrs[at] = entry;
    study->attr_count++;
}

static void entry_take_out(struct state_study *study, struct attr_entry *entry)
{
    size_t at = entry_place(study, entry);

    assert(study->attrs[at] == entry);
    list_close(study->attrs, study->attr_count, at, sizeof(*study->attrs));
    study->attr_count--;
}

static int entry_new(struct state_study *study, uint8_t space, struct bytes key, uint64_t place,
                     struct attr_entry **out)
{
    const struct hpo_os *os = study->state->os;
    struct attr_entry *entry;
    int err;

    err = list_reserve(os, &study->attrs, &study->attr_capacity, study->attr_count + 1);
    if (err < 0)
        return err;
    entry = state_alloc(os, sizeof(*entry) + key.size);
    if (!entry)
        return HPO_NOMEM;
    entry->space = space;
    entry->key_size = (uint32_t)key.size;
    if (key.size)
        memcpy(entry->key, key.data, key.size);
    entry->hash = hash64(space, key.data, key.size);
    entry->place = place;
    entry->next_same = (struct attr_entry *)(uintptr_t)map_get(&study->attrs_by_hash, entry->hash);
    err = map_put(&study->attrs_by_hash, entry->hash, (uintptr_t)entry);
    if (err < 0) {
        attr_entry_free(os, entry);
        return err;
    }
    entry_insert(study, entry);
    *out = entry;
    return 0;
}

static void entry_drop(struct state_study *study, struct attr_entry *entry)
{
    struct attr_entry *first =
        (struct attr_entry *)(uintptr_t)map_get(&study->attrs_by_hash, entry->hash);

    entry_take_out(study, entry);
    if (first != entry) {
        while (first->next_same != entry)
            first = first->next_same;
        first->next_same = entry->next_same;
    } else if (entry->next_same) {
        (void)map_put(&study->attrs_by_hash, entry->hash,
                      (uintptr_t)entry->next_same); /* replaces */
    } else {
        map_remove(&study->attrs_by_hash, entry->hash);
    }
    attr_entry_free(study->state->os, entry);
}

/* -- versions -- */

static struct attr_version *version_of(const struct attr_entry *entry, uint64_t writer)
{
    for (uint32_t i = 0; i < entry->version_count; i++)
        if (entry->versions[i].writer == writer)
            return &entry->versions[i];
    return NULL;
}

static void version_remove(const struct hpo_os *os, struct attr_entry *entry,
                           struct attr_version *version)
{
    state_release(os, version->value);
    list_close(entry->versions, entry->version_count, (size_t)(version - entry->versions),
               sizeof(*version));
    entry->version_count--;
}

/* A version at the end: the log only goes forward. */
static int version_add(const struct hpo_os *os, struct attr_entry *entry,
                       const struct attr_set *set, uint64_t writer, uint64_t place)
{
    size_t capacity = entry->version_capacity;
    struct attr_version *version;
    uint8_t *value = NULL;
    int err;

    err = list_reserve(os, &entry->versions, &capacity, (size_t)entry->version_count + 1);
    if (err < 0)
        return err;
    entry->version_capacity = (uint32_t)capacity;
    if (set->value.size) {
        value = os->alloc(os->self, set->value.size);
        if (!value)
            return HPO_NOMEM;
        memcpy(value, set->value.data, set->value.size);
    }
    version = &entry->versions[entry->version_count++];
    *version = (struct attr_version){.lsn = set->lsn,
                                     .place = place,
                                     .writer = writer,
                                     .removed = set->removed,
                                     .value = value,
                                     .size = (uint32_t)set->value.size};
    return 0;
}

const struct attr_version *attr_visible(const struct attr_entry *entry)
{
    assert(entry->version_count > 0);
    return &entry->versions[entry->version_count - 1];
}

static int written_add(struct live_trial *writer, struct attr_entry *entry)
{
    int err = list_reserve(writer->study->state->os, &writer->written, &writer->written_capacity,
                           writer->written_count + 1);

    if (err == 0)
        writer->written[writer->written_count++] = entry;
    return err;
}

int attr_set(struct state_study *study, const struct attr_set *set)
{
    const struct hpo_os *os = study->state->os;
    uint64_t writer = set->writer ? set->writer->t.id : 0, place = set->place;
    struct attr_entry *entry = attr_find(study, set->space, set->key);
    struct attr_version *old;
    int err = 0;

    if (!entry)
        err = entry_new(study, set->space, set->key, place, &entry);
    if (err < 0)
        return err;
    old = version_of(entry, writer);
    if (old) {
        place = old->place;
        version_remove(os, entry, old);
    } else if (set->writer) {
        err = written_add(set->writer, entry);
        if (err < 0)
            return err;
    }
    return version_add(os, entry, set, writer, place);
}

int attr_load(struct state_study *study, uint8_t space, struct bytes key, uint64_t place,
              struct attr_entry **out)
{
    int err;

    if (space > SPACE_FOREIGN || attr_find(study, space, key))
        return HPO_CORRUPT;
    err = entry_new(study, space, key, place, out);
    if (err < 0)
        return err;
    return study->attrs[study->attr_count - 1] == *out ? 0 : HPO_CORRUPT;
}

int attr_load_version(struct state_study *study, struct attr_entry *entry,
                      const struct attr_set *set, uint64_t writer)
{
    if (version_of(entry, writer) || (entry->version_count && set->lsn < attr_visible(entry)->lsn))
        return HPO_CORRUPT;
    return version_add(study->state->os, entry, set, writer, set->place);
}

int attr_load_writers(struct state_study *study)
{
    int err = 0;

    for (size_t i = 0; i < study->attr_count; i++) {
        struct attr_entry *entry = study->attrs[i];

        for (uint32_t k = 0; k < entry->version_count && err == 0; k++) {
            uint64_t writer = entry->versions[k].writer;
            struct live_trial *live = writer ? live_get(study->state, writer) : NULL;

            if (!writer)
                continue;
            if (!live || live->study != study || live->t.state != TRIAL_RUNNING)
                return HPO_CORRUPT;
            err = written_add(live, entry);
        }
    }
    return err;
}

/* Of two settled versions the later one's value counts, and the earlier place. */
static void entry_settle(const struct hpo_os *os, struct attr_entry *entry,
                         struct attr_version *version)
{
    struct attr_version *settled = version_of(entry, 0);
    uint64_t place;

    version->writer = 0;
    if (!settled)
        return;
    place = settled->place < version->place ? settled->place : version->place;
    settled->place = version->place = place;
    version_remove(os, entry,
                   settled < version ? settled : version); /* in order of LSN: the earlier goes */
}

void attr_settle(struct live_trial *writer)
{
    for (size_t i = 0; i < writer->written_count; i++) {
        struct attr_entry *entry = writer->written[i];

        entry_settle(writer->study->state->os, entry, version_of(entry, writer->t.id));
    }
    writer->written_count = 0;
}

void attr_undo(struct live_trial *writer)
{
    struct state_study *study = writer->study;

    for (size_t i = 0; i < writer->written_count; i++) {
        struct attr_entry *entry = writer->written[i];
        uint64_t place = UINT64_MAX;

        version_remove(study->state->os, entry, version_of(entry, writer->t.id));
        for (uint32_t k = 0; k < entry->version_count; k++)
            if (entry->versions[k].place < place)
                place = entry->versions[k].place;
        if (entry->version_count == 0) {
            entry_drop(study, entry);
        } else if (place != entry->place) {
            entry_take_out(study, entry);
            entry->place = place;
            entry_insert(study, entry);
        }
    }
    writer->written_count = 0;
}

/* -- records -- */

int on_behalf_of(struct state *state, const struct state_study *study, uint64_t id,
                 struct live_trial **out)
{
    struct live_trial *live = id ? live_get(state, id) : NULL;

    if (id && (!live || live->study != study || live->t.state != TRIAL_RUNNING))
        return state_refuse(state, "on behalf of a trial that does not run in this study");
    *out = live;
    return 0;
}

/*
 * Put a long attribute together. 1: this was its last piece, *value is all of it; 0: more to come.
 * A whole value (one piece) is passed through.
 */
static int take_piece(struct state *state, bool of_study, uint64_t target, uint64_t on_behalf,
                      const struct record_attr *attr, struct bytes *value)
{
    struct piece_buffer *pieces = &state->pieces;
    int err;

    *value = attr->value;
    if (attr->pieces == 1)
        return 1;
    if (attr->piece == 1) {
        pieces->key_size = pieces->value_size = 0;
        err = attr->key.size
                  ? list_reserve(state->os, &pieces->key, &pieces->key_capacity, attr->key.size)
                  : 0;
        if (err < 0)
            return err;
        if (attr->key.size)
            memcpy(pieces->key, attr->key.data, attr->key.size);
        pieces->key_size = attr->key.size;
        pieces->active = true;
        pieces->of_study = of_study;
        pieces->target = target;
        pieces->on_behalf = on_behalf;
        pieces->space = attr->space;
        pieces->pieces = attr->pieces;
        pieces->next = 1;
    }
    if (!pieces->active || pieces->of_study != of_study || pieces->target != target ||
        pieces->on_behalf != on_behalf || pieces->space != attr->space ||
        pieces->pieces != attr->pieces || pieces->next != attr->piece ||
        pieces->key_size != attr->key.size ||
        (attr->key.size && memcmp(pieces->key, attr->key.data, attr->key.size) != 0))
        return state_refuse(state, "a piece that does not follow");
    if (attr->value.size) {
        err = list_reserve(state->os, &pieces->value, &pieces->value_capacity,
                           pieces->value_size + attr->value.size);
        if (err < 0)
            return err;
        memcpy(pieces->value + pieces->value_size, attr->value.data, attr->value.size);
        pieces->value_size += attr->value.size;
    }
    *value = (struct bytes){.data = pieces->value, .size = pieces->value_size};
    pieces->next++;
    pieces->active = attr->piece < attr->pieces;
    return !pieces->active;
}

int apply_study_attr(struct state *state, const struct record_study_attr *record)
{
    struct state_study *study = study_get(state, record->study);
    struct attr_set set = {.space = record->attr.space,
                           .key = record->attr.key,
                           .removed = record->attr.removed,
                           .lsn = state->batch->at.lsn,
                           .place = place_of(state->batch->at.lsn, state->index)};
    int err;

    if (!study)
        return state_refuse(state, "no such study");
    err = on_behalf_of(state, study, record->on_behalf, &set.writer);
    if (err < 0)
        return err;
    err = take_piece(state, true, record->study, record->on_behalf, &record->attr, &set.value);
    return err == 1 ? attr_set(study, &set) : err;
}

int apply_trial_attr(struct state *state, const struct record_trial_attr *record)
{
    struct live_trial *live = live_get(state, record->trial);
    struct bytes value;
    int err;

    if (!live)
        return state_refuse(state, "no such unfinished trial");
    err = take_piece(state, false, record->trial, 0, &record->attr, &value);
    return err == 1 ? live_attr_set(live, record->attr.space, record->attr.key,
                                    record->attr.removed, value, state->batch->at.lsn)
                    : err;
}

int apply_sampler_state(struct state *state, const struct record_sampler_state *record)
{
    struct state_study *study = study_get(state, record->study);
    struct attr_set set = {.space = SPACE_SAMPLER_PART,
                           .lsn = state->batch->at.lsn,
                           .place = place_of(state->batch->at.lsn, state->index)};
    int err;

    if (!study)
        return state_refuse(state, "no such study");
    err = on_behalf_of(state, study, record->trial, &set.writer);
    for (uint32_t i = 0; i < record->part_count && err == 0; i++) {
        set.key = record->parts[i].key;
        set.value = record->parts[i].value;
        err = attr_set(study, &set);
    }
    return err;
}

/* The words of our own streams need no memory; a foreign generator stands where its last draw left
 * it. */
int apply_draw(struct state *state, const struct record_draw *record)
{
    struct state_study *study = study_get(state, record->study);
    uint64_t position = record->third;
    uint8_t label[4], value[8];
    struct attr_set set = {.space = SPACE_FOREIGN,
                           .key = {.data = label, .size = sizeof(label)},
                           .value = {.data = value, .size = sizeof(value)},
                           .lsn = state->batch->at.lsn,
                           .place = place_of(state->batch->at.lsn, state->index)};
    int err;

    if (!study)
        return state_refuse(state, "no such study");
    err = on_behalf_of(state, study, record->trial, &set.writer);
    if (err < 0 || !record->foreign)
        return err;
    for (uint32_t i = 0; i < record->part_count; i++)
        position += record->parts[i].count;
    codec_store_u32(label, record->domain);
    codec_store_u64(value, position);
    return attr_set(study, &set);
}

/* -- reading -- */

static void attr_tell(const struct attr_entry *entry, struct state_study_attr *out)
{
    const struct attr_version *version = attr_visible(entry);

    *out = (struct state_study_attr){.space = entry->space,
                                     .key = {.data = entry->key, .size = entry->key_size},
                                     .value = {.data = version->value, .size = version->size},
                                     .lsn = version->lsn,
                                     .on_behalf = version->writer};
}

static bool attr_next(const struct state_study *study, size_t *cursor, unsigned low, unsigned high,
                      struct state_study_attr *out)
{
    while (*cursor < study->attr_count) {
        const struct attr_entry *entry = study->attrs[(*cursor)++];

        if (entry->space < low || entry->space > high || attr_visible(entry)->removed)
            continue;
        attr_tell(entry, out);
        return true;
    }
    return false;
}

static int attr_get(const struct state_study *study, uint8_t space, struct bytes key,
                    struct state_study_attr *out)
{
    const struct attr_entry *entry = attr_find(study, space, key);

    if (!entry || attr_visible(entry)->removed)
        return HPO_NOT_FOUND;
    attr_tell(entry, out);
    return 0;
}

bool state_study_attr_next(const struct state_study *study, size_t *cursor,
                           struct state_study_attr *out)
{
    return attr_next(study, cursor, ATTR_USER, ATTR_OWN, out);
}

int state_study_attr_find(const struct state_study *study, uint8_t space, struct bytes key,
                          struct state_study_attr *out)
{
    return space <= ATTR_OWN ? attr_get(study, space, key, out) : HPO_NOT_FOUND;
}

bool state_sampler_part_next(const struct state_study *study, size_t *cursor,
                             struct state_study_attr *out)
{
    return attr_next(study, cursor, SPACE_SAMPLER_PART, SPACE_SAMPLER_PART, out);
}

int state_sampler_part_find(const struct state_study *study, struct bytes name,
                            struct state_study_attr *out)
{
    return attr_get(study, SPACE_SAMPLER_PART, name, out);
}

int state_foreign_position(const struct state_study *study, uint32_t label, uint64_t *position)
{
    struct state_study_attr attr;
    uint8_t key[4];
    int err;

    codec_store_u32(key, label);
    err = attr_get(study, SPACE_FOREIGN, (struct bytes){.data = key, .size = sizeof(key)}, &attr);
    if (err < 0)
        return err;
    if (attr.value.size != 8)
        return HPO_CORRUPT;
    *position = codec_load_u64(attr.value.data);
    return 0;
}

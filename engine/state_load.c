/*
 * state_load: a state from its items, as a snapshot holds them.
 *
 * The items come from a file whose hash is right, which says that nobody damaged it, not that we
 * wrote it. So nothing is used as an index, a count or a pointer before it is checked, and what is
 * not checked here (that the whole is what some log would have led to) shows in the digest, which
 * the caller compares.
 */
#include "state_internal.h"

#include <assert.h>
#include <string.h>

#include "codec.h"
#include "hpo.h"
#include "state_blob.h"

static int bad(struct load *load, const char *what)
{
    return error_set(load->error, HPO_CORRUPT, 0, NULL, 0, load->state->at.lsn,
                     "%s (item %u.%llu.%llu)", what, load->last.kind,
                     (unsigned long long)load->last.study, (unsigned long long)load->last.ordinal);
}

static int bad_unless_nomem(struct load *load, int err, const char *what)
{
    return err == HPO_NOMEM || err == 0 ? err : bad(load, what);
}

/* -- the store's own -- */

static int load_state(struct load *load, struct codec_reader *r)
{
    struct state *state = load->state;
    uint32_t version = codec_get_u32(r);

    codec_get_zeros(r, 4);
    state->at.lsn = codec_get_u64(r);
    state->next_study = codec_get_u64(r);
    state->next_trial = codec_get_u64(r);
    codec_get_u64(r); /* the counts are compared by load_end, in the digest */
    codec_get_u64(r);
    codec_get_u64(r);
    if (!codec_reader_done(r) || version != 1 || state->at.lsn > STATE_LSN_MAX ||
        state->next_study < 1 || state->next_study > STATE_ID_MAX + 1 || state->next_trial < 1 ||
        state->next_trial > STATE_ID_MAX + 1)
        return bad(load, "the state's own numbers");
    return 0;
}

static int load_session(struct load *load, const struct item *item, struct codec_reader *r)
{
    struct state_session session = {.session = item->ordinal};
    uint32_t kind;

    session.slot = codec_get_u32(r);
    session.sequence = codec_get_u32(r);
    codec_get_copy(r, session.boot_id, sizeof(session.boot_id));
    session.process_id = codec_get_u64(r);
    session.time.us = codec_get_i64(r);
    kind = codec_get_u32(r);
    session.host.size = codec_get_u32(r);
    session.program.size = codec_get_u32(r);
    codec_get_zeros(r, 4);
    session.host.data = codec_get_bytes(r, session.host.size);
    session.program.data = codec_get_bytes(r, session.program.size);
    codec_get_zeros(r, codec_reader_left(r) & 7);
    if (!codec_reader_done(r) || kind > UINT8_MAX || session.session == 0 ||
        session.session > load->state->at.lsn)
        return bad(load, "a session");
    session.time.kind = (uint8_t)kind;
    return session_add(load->state, &session);
}

static int load_sessions_ended(struct load *load, struct codec_reader *r)
{
    struct state *state = load->state;

    while (codec_reader_left(r) >= 24) {
        struct session_ended *ended;
        int err =
            list_reserve(state->os, &state->ended, &state->ended_capacity, state->ended_count + 1);

        if (err < 0)
            return err;
        ended = &state->ended[state->ended_count++];
        ended->session = codec_get_u64(r);
        ended->end_lsn = codec_get_u64(r);
        ended->slot = codec_get_u32(r);
        ended->sequence = codec_get_u32(r);
    }
    return codec_reader_done(r) ? 0 : bad(load, "ended sessions");
}

/* -- studies -- */

static int load_study(struct load *load, const struct item *item, struct codec_reader *r)
{
    struct state *state = load->state;
    uint64_t created = codec_get_u64(r), config_lsn = codec_get_u64(r),
             next_number = codec_get_u64(r);
    struct state_study *study;
    struct record record;
    const uint8_t *bytes;
    size_t used, left;
    int err;

    codec_get_bytes(r, 6 * 8 + 8 + 3 * 8); /* chains and counts: likewise */
    left = codec_reader_left(r);
    bytes = codec_get_bytes(r, left);
    if (!codec_reader_ok(r) || item->study == 0 || item->study >= state->next_study ||
        next_number > load->limit)
        return bad(load, "a study");
    record_scratch_reset(&state->scratch);
    err = record_decode(bytes, left, &state->scratch, &record, &used);
    if (err < 0)
        return bad_unless_nomem(load, err, "a study's configuration");
    if (used != left || record.skipped || record.type != RECORD_STUDY_CREATE ||
        record.study_create.study != item->study ||
        state_study_find(state, record.study_create.name))
        return bad(load, "a study's configuration");
    err = study_add(state, &record.study_create, &study);
    if (err < 0)
        return err;
    study->created_lsn = created;
    study->config_lsn = config_lsn;
    if (next_number) {
        err = list_reserve(state->os, &study->by_number, &study->number_capacity, next_number);
        if (err < 0)
            return err;
        memset(study->by_number, 0, next_number * sizeof(*study->by_number));
    }
    study->next_number = next_number;
    return 0;
}

static int load_param(struct load *load, const struct item *item, struct codec_reader *r)
{
    uint64_t size = codec_get_u64(r);
    const uint8_t *bytes = codec_get_bytes(r, size);
    struct record_param param;
    uint32_t number;
    size_t used;
    int err;

    codec_get_zeros(r, codec_reader_left(r) & 7);
    if (!codec_reader_done(r) || item->ordinal != load->study->param_count)
        return bad(load, "a parameter");
    record_scratch_reset(&load->state->scratch);
    err = record_decode_param(bytes, size, &load->state->scratch, &param, &used);
    if (err < 0)
        return bad_unless_nomem(load, err, "a parameter's definition");
    err = state_param_find(load->study, &param, &number);
    if (used != size || err == 0)
        return bad(load, "a parameter that is defined twice");
    return err == HPO_NOT_FOUND ? param_add(load->study, &param) : err;
}

struct loaded_version {
    uint64_t lsn, place, writer;
    uint32_t size, removed;
};

static struct loaded_version get_version(struct codec_reader *r)
{
    struct loaded_version version;

    version.lsn = codec_get_u64(r);
    version.place = codec_get_u64(r);
    version.writer = codec_get_u64(r);
    version.size = codec_get_u32(r);
    version.removed = codec_get_u32(r);
    return version;
}

static int load_attr(struct load *load, const struct item *item, struct codec_reader *r)
{
    struct state_study *study = load->study;
    uint32_t space = codec_get_u32(r), key_size = codec_get_u32(r), count = codec_get_u32(r);
    struct codec_reader versions, again;
    uint64_t place = UINT64_MAX;
    struct attr_entry *entry;
    struct bytes key;
    int err;

    codec_get_zeros(r, 4);
    if (!codec_reader_ok(r) || count == 0 || count > codec_reader_left(r) / 32)
        return bad(load, "an attribute's versions");
    codec_reader_init(&versions, codec_get_bytes(r, (size_t)count * 32), (size_t)count * 32);
    again = versions;
    key = (struct bytes){.data = codec_get_bytes(r, key_size), .size = key_size};
    if (!codec_reader_ok(r) || item->ordinal != study->attr_count || space > SPACE_FOREIGN)
        return bad(load, "an attribute's key");
    for (uint32_t i = 0; i < count; i++) {
        struct loaded_version version = get_version(&again);

        place = version.place < place ? version.place : place;
    }
    err = attr_load(study, (uint8_t)space, key, place, &entry);
    for (uint32_t i = 0; i < count && err == 0; i++) {
        struct loaded_version version = get_version(&versions);
        struct attr_set set = {
            .removed = version.removed != 0, .lsn = version.lsn, .place = version.place};

        set.value = (struct bytes){.data = codec_get_bytes(r, version.size), .size = version.size};
        if (!codec_reader_ok(r) || version.removed > 1)
            return bad(load, "an attribute's value");
        err = attr_load_version(study, entry, &set, version.writer);
    }
    codec_get_zeros(r, codec_reader_left(r) & 7);
    if (err == 0 && !codec_reader_done(r))
        return bad(load, "an attribute's size");
    return bad_unless_nomem(load, err, "an attribute out of order");
}

/* -- trials -- */

static bool number_free(const struct state_study *study, uint64_t number)
{
    return number < study->next_number && !study->by_number[number] && !pool_find(study, number);
}

static int load_pool(struct load *load, struct codec_reader *r)
{
    struct state_study *study = load->study;
    uint64_t least = 0;

    while (codec_reader_left(r)) {
        struct pool_entry entry = {0};
        uint32_t has_view, mode;
        int err;

        entry.number = codec_get_u64(r);
        entry.id = codec_get_u64(r);
        entry.view = codec_get_u64(r);
        has_view = codec_get_u32(r);
        mode = codec_get_u32(r);
        entry.has_view = has_view != 0;
        entry.mode = (uint8_t)mode;
        if (!codec_reader_ok(r) || has_view > 1 || mode > VIEW_LIVE || entry.number < least ||
            !number_free(study, entry.number) || entry.id == 0 ||
            entry.id >= load->state->next_trial || map_get(&load->state->trials_by_id, entry.id))
            return bad(load, "a free number");
        least = entry.number + 1;
        err = pool_add(study, &entry);
        if (err == 0)
            err = map_put(&load->state->trials_by_id, entry.id, link_pool(study));
        if (err < 0)
            return err;
    }
    return 0;
}

static bool values_known(const struct state_study *study, const struct state_trial *trial)
{
    for (uint32_t i = 0; i < trial->value_count; i++) {
        const struct param_entry *param = param_get(study, trial->values[i].param);

        if (!param || !param_holds(param, trial->values[i].value))
            return false;
    }
    return true;
}

static int take_families(struct load *load, const struct state_trial *trial)
{
    for (uint32_t i = 0; i < trial->value_count; i++)
        if ((trial->values[i].flags & VALUE_ASKED) &&
            !family_take(load->study, trial->values[i].param))
            return bad(load, "living trials use a name with different kinds");
    return 0;
}

/* A block of this study with numbers that can be. */
static int check_block(struct load *load, const uint8_t *data, size_t size, struct state_trial *out)
{
    if (!blob_verify(data, size))
        return bad(load, "a trial's block");
    blob_read(data, out);
    if (out->study != load->study->id || out->id == 0 || out->id >= load->state->next_trial ||
        out->end_lsn > load->state->at.lsn || out->begin_lsn > load->state->at.lsn ||
        !values_known(load->study, out))
        return bad(load, "a trial that does not fit its study");
    return 0;
}

/* Blocks are read where they are, if that is for good and on a multiple of 8 (T3). NULL: no
 * memory. */
static const uint8_t *keep_block(struct load *load, const struct item *item)
{
    uint8_t *copy;

    if (load->stays)
        return item->data;
    copy = chunk_alloc(load->state->os, &load->study->chunks, item->size);
    if (copy)
        memcpy(copy, item->data, item->size);
    return copy;
}

static uint64_t last_end(const struct block_list *list)
{
    return list->count ? blob_end_lsn(list->items[list->count - 1]) : 0;
}

static int load_ended(struct load *load, const struct item *item)
{
    struct state_study *study = load->study;
    struct state_trial trial;
    const uint8_t *block;
    int err = check_block(load, item->data, item->size, &trial);

    if (err < 0)
        return err;
    if (item->ordinal != study->ended.count || trial.state < TRIAL_COMPLETE ||
        trial.state > TRIAL_FAIL || trial.end_lsn < last_end(&study->ended) ||
        !number_free(study, trial.number) || map_get(&load->state->trials_by_id, trial.id))
        return bad(load, "an ended trial out of place");
    err = take_families(load, &trial);
    if (err < 0)
        return err;
    block = keep_block(load, item);
    return block ? ended_add(study, block) : HPO_NOMEM;
}

/* What an id leads to can be replaced by a later attempt, or by what waits or runs again under it.
 */
static bool id_open(const struct state *state, uint64_t id)
{
    trial_link link = (trial_link)map_get(&state->trials_by_id, id);
    struct state_trial trial;

    if (!link)
        return true;
    if (!block_of(link))
        return false;
    blob_read(block_of(link), &trial);
    return trial.state == TRIAL_ROLLED_BACK;
}

static int load_attempt(struct load *load, const struct item *item)
{
    struct state_study *study = load->study;
    struct state_trial trial;
    const uint8_t *block;
    int err = check_block(load, item->data, item->size, &trial);

    if (err < 0)
        return err;
    if (item->ordinal != study->attempts.count || trial.state != TRIAL_ROLLED_BACK ||
        trial.end_lsn < last_end(&study->attempts))
        return bad(load, "an attempt out of place");
    block = keep_block(load, item);
    err = block ? attempt_add(study, block) : HPO_NOMEM;
    if (err == 0 && id_open(load->state, trial.id))
        err = map_put(&load->state->trials_by_id, trial.id, link_block(block));
    return err;
}

/* The block as it waited, of a trial that came from the queue. */
static int load_waiting(struct load *load, struct live_trial *live, const uint8_t *data,
                        size_t size)
{
    const struct hpo_os *os = load->state->os;
    struct state_trial trial;
    int err = check_block(load, data, size, &trial);

    if (err < 0)
        return err;
    if (trial.state != TRIAL_WAITING || trial.id != live->t.id || trial.number != live->t.number)
        return bad(load, "a queue entry that its trial does not come from");
    live->waiting = os->alloc(os->self, size);
    if (!live->waiting)
        return HPO_NOMEM;
    memcpy(live->waiting, data, size);
    return 0;
}

static int list_unfinished(struct load *load, struct live_trial *live)
{
    struct state_study *study = load->study;
    int err;

    if (live->t.state == TRIAL_WAITING)
        return live_list_add(load->state->os, &study->queue, live, false);
    err = live_list_add(load->state->os, &load->state->running, live, true);
    if (err < 0)
        return err;
    err = live_list_add(load->state->os, &study->running, live, false);
    if (err < 0)
        live_list_remove(&load->state->running, live, true);
    return err;
}

static int load_unfinished(struct load *load, const struct item *item)
{
    struct state_study *study = load->study;
    size_t size = item->size >= BLOB_HEADER_SIZE ? blob_bytes(item->data) : 0;
    struct live_trial *live;
    struct state_trial trial;
    int err;

    if (size > item->size)
        return bad(load, "an unfinished trial's size");
    err = check_block(load, item->data, size, &trial);
    if (err < 0)
        return err;
    if ((trial.state != TRIAL_WAITING && trial.state != TRIAL_RUNNING) ||
        trial.number != item->ordinal || !number_free(study, trial.number) ||
        !id_open(load->state, trial.id) ||
        (trial.popped && trial.state == TRIAL_RUNNING) != (size < item->size))
        return bad(load, "an unfinished trial out of place");
    err = take_families(load, &trial);
    if (err < 0)
        return err;
    live = live_new(study, trial.number, trial.id);
    if (!live)
        return HPO_NOMEM;
    err =
        bad_unless_nomem(load, live_read_block(live, item->data), "an unfinished trial's reports");
    if (err == 0 && size < item->size)
        err = load_waiting(load, live, item->data + size, item->size - size);
    if (err == 0)
        err = list_unfinished(load, live);
    if (err < 0) {
        live_free(live);
        return err;
    }
    return trial_link_set(study, trial.number, trial.id, link_live(live));
}

/* -- all -- */

static bool key_before(const struct item *a, const struct item *b)
{
    if (a->kind != b->kind)
        return a->kind < b->kind;
    if (a->study != b->study)
        return a->study < b->study;
    return a->ordinal < b->ordinal;
}

static int load_of_study(struct load *load, const struct item *item, struct codec_reader *r)
{
    if (!load->study || load->study->id != item->study)
        load->study = study_get(load->state, item->study);
    if (!load->study)
        return bad(load, "something of no study");
    switch (item->kind) {
    case ITEM_PARAM:
        return load_param(load, item, r);
    case ITEM_ATTR:
        return load_attr(load, item, r);
    case ITEM_POOL:
        return load_pool(load, r);
    case ITEM_ENDED:
        return load_ended(load, item);
    case ITEM_ATTEMPT:
        return load_attempt(load, item);
    case ITEM_UNFINISHED:
        return load_unfinished(load, item);
    default:
        return bad(load, "of unknown kind");
    }
}

int load_item(struct load *load, const struct item *item)
{
    bool first = load->last.kind == 0;
    struct codec_reader r;

    assert(((uintptr_t)item->data & 7) == 0);
    if (!key_before(&load->last, item) || first != (item->kind == ITEM_STATE))
        return bad(load, "out of order, after");
    load->last = *item;
    if (item->kind != ITEM_ENDED && item->kind != ITEM_ATTEMPT)
        item_digest(&load->digest, item);
    codec_reader_init(&r, item->data, item->size);
    switch (item->kind) {
    case ITEM_STATE:
        return load_state(load, &r);
    case ITEM_SESSION:
        return load_session(load, item, &r);
    case ITEM_SESSIONS_ENDED:
        return load_sessions_ended(load, &r);
    case ITEM_STUDY:
        return load_study(load, item, &r);
    default:
        return load_of_study(load, item, &r);
    }
}

static int end_enqueued(struct load *load, struct live_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        struct live_trial *live = list->items[i], *writer;

        if (!live->t.on_behalf)
            continue;
        writer = live_get(load->state, live->t.on_behalf);
        if (!writer || writer->study != live->study || writer->t.state != TRIAL_RUNNING ||
            writer == live)
            return bad(load, "enqueued on behalf of nobody");
        writer->enqueued++;
    }
    return 0;
}

/* F2: each number leads to a trial or is free. */
static int end_numbers(struct load *load, const struct state_study *study)
{
    uint64_t known =
        study->ended.count + study->queue.count + study->running.count + study->pool_count;

    return known == study->next_number ? 0 : bad(load, "a number without a trial");
}

static int end_study(struct load *load, struct state_study *study)
{
    int err = bad_unless_nomem(load, study_declare(study), "a declared space that is not defined");

    if (err == 0)
        err = end_numbers(load, study);
    if (err == 0)
        err = bad_unless_nomem(load, attr_load_writers(study), "an attribute written by nobody");
    if (err == 0)
        err = end_enqueued(load, &study->queue);
    if (err == 0)
        err = end_enqueued(load, &study->running);
    return err;
}

int load_end(struct load *load)
{
    struct state *state = load->state;
    int err = load->last.kind ? 0 : bad(load, "no state");
    struct hash128 digest;

    for (size_t i = 0; i < state->study_count && err == 0; i++)
        err = end_study(load, state->studies[i]);
    if (err == 0)
        err = state_digest128(state, &digest);
    if (err < 0)
        return err;
    /* Every count and every bit that was not looked at above. */
    return digest.low == load->digest.low && digest.high == load->digest.high
               ? 0
               : bad(load, "not what the state that it describes would be saved as");
}

/*
 * state_items: the state as keyed pieces: what snapshots hold and what the digest is taken of.
 *
 * One canonical encoding serves both, so that a snapshot that reads back to the same digest is
 * known to have lost nothing. Ended trials and attempts stand in the digest by a chain over their
 * blocks that is kept up to date as they end. Left out of the digest, and of the state proper: the
 * store's uuid and the log's chain. Bytes: docs/format.md, "Snapshots".
 */
#include "state_internal.h"

#include <assert.h>
#include <string.h>

#include "codec.h"
#include "hpo.h"
#include "state_blob.h"

#define STATE_ENCODING 1u
#define SESSIONS_PER_CHUNK 1024u

struct walk {
    struct state *state;
    bool blocks;
    item_fn fn;
    void *arg;
    uint8_t *buffer;
    size_t capacity;
};

typedef void (*encode_fn)(struct codec_writer *w, const void *what);

/* Encode into the buffer, padded to 8, and hand it on. */
static int emit(struct walk *walk, uint8_t kind, uint64_t study, uint64_t ordinal, encode_fn encode,
                const void *what)
{
    struct item item = {.kind = kind, .study = study, .ordinal = ordinal};
    struct codec_writer w;
    int err;

    codec_writer_init(&w, NULL, 0);
    encode(&w, what);
    codec_put_padding(&w, 8);
    item.size = w.position;
    err = list_reserve(walk->state->os, &walk->buffer, &walk->capacity, item.size);
    if (err < 0)
        return err;
    codec_writer_init(&w, walk->buffer, item.size);
    encode(&w, what);
    codec_put_padding(&w, 8);
    assert(codec_writer_ok(&w) && w.position == item.size);
    item.data = walk->buffer;
    return walk->fn(walk->arg, &item);
}

static int emit_block(struct walk *walk, uint8_t kind, uint64_t study, uint64_t ordinal,
                      const uint8_t *block)
{
    struct item item = {
        .kind = kind, .study = study, .ordinal = ordinal, .data = block, .size = blob_bytes(block)};

    return walk->fn(walk->arg, &item);
}

/* -- the store's own -- */

static void encode_state(struct codec_writer *w, const void *what)
{
    const struct state *state = what;

    codec_put_u32(w, STATE_ENCODING);
    codec_put_u32(w, 0);
    codec_put_u64(w, state->at.lsn);
    codec_put_u64(w, state->next_study);
    codec_put_u64(w, state->next_trial);
    codec_put_u64(w, state->study_count);
    codec_put_u64(w, state->session_count);
    codec_put_u64(w, state->ended_count);
}

static void encode_session(struct codec_writer *w, const void *what)
{
    const struct state_session *session = what;

    codec_put_u32(w, session->slot);
    codec_put_u32(w, session->sequence);
    codec_put_bytes(w, session->boot_id, sizeof(session->boot_id));
    codec_put_u64(w, session->process_id);
    codec_put_i64(w, session->time.us);
    codec_put_u32(w, session->time.kind);
    codec_put_u32(w, (uint32_t)session->host.size);
    codec_put_u32(w, (uint32_t)session->program.size);
    codec_put_u32(w, 0);
    codec_put_bytes(w, session->host.data, session->host.size);
    codec_put_bytes(w, session->program.data, session->program.size);
}

struct sessions_chunk {
    const struct session_ended *sessions;
    size_t count;
};

static void encode_sessions_ended(struct codec_writer *w, const void *what)
{
    const struct sessions_chunk *chunk = what;

    for (size_t i = 0; i < chunk->count; i++) {
        codec_put_u64(w, chunk->sessions[i].session);
        codec_put_u64(w, chunk->sessions[i].end_lsn);
        codec_put_u32(w, chunk->sessions[i].slot);
        codec_put_u32(w, chunk->sessions[i].sequence);
    }
}

static int walk_sessions(struct walk *walk)
{
    struct state *state = walk->state;
    int err = 0;

    for (size_t i = 0; i < state->session_count && err == 0; i++)
        err = emit(walk, ITEM_SESSION, 0, state->sessions[i]->public.session, encode_session,
                   &state->sessions[i]->public);
    for (size_t at = 0; at < state->ended_count && err == 0; at += SESSIONS_PER_CHUNK) {
        size_t left = state->ended_count - at;
        struct sessions_chunk chunk = {.sessions = state->ended + at,
                                       .count =
                                           left < SESSIONS_PER_CHUNK ? left : SESSIONS_PER_CHUNK};

        err = emit(walk, ITEM_SESSIONS_ENDED, 0, at / SESSIONS_PER_CHUNK, encode_sessions_ended,
                   &chunk);
    }
    return err;
}

/* -- studies -- */

static void put_chain(struct codec_writer *w, const struct block_list *list)
{
    codec_put_u64(w, list->count);
    codec_put_u64(w, list->chain.low);
    codec_put_u64(w, list->chain.high);
}

static void encode_study(struct codec_writer *w, const void *what)
{
    const struct state_study *study = what;
    struct bytes config = study_config_bytes(study);

    codec_put_u64(w, study->created_lsn);
    codec_put_u64(w, study->config_lsn);
    codec_put_u64(w, study->next_number);
    put_chain(w, &study->ended);
    put_chain(w, &study->attempts);
    codec_put_u32(w, study->param_count);
    codec_put_u32(w, (uint32_t)study->attr_count);
    codec_put_u64(w, study->pool_count);
    codec_put_u64(w, study->queue.count);
    codec_put_u64(w, study->running.count);
    codec_put_bytes(w, config.data, config.size);
}

static void encode_param(struct codec_writer *w, const void *what)
{
    const struct param_entry *param = what;

    codec_put_u64(w, param->size);
    codec_put_bytes(w, param->bytes, param->size);
}

static void encode_attr(struct codec_writer *w, const void *what)
{
    const struct attr_entry *entry = what;

    codec_put_u32(w, entry->space);
    codec_put_u32(w, entry->key_size);
    codec_put_u32(w, entry->version_count);
    codec_put_u32(w, 0);
    for (uint32_t i = 0; i < entry->version_count; i++) {
        codec_put_u64(w, entry->versions[i].lsn);
        codec_put_u64(w, entry->versions[i].place);
        codec_put_u64(w, entry->versions[i].writer);
        codec_put_u32(w, entry->versions[i].size);
        codec_put_u32(w, entry->versions[i].removed);
    }
    codec_put_bytes(w, entry->key, entry->key_size);
    for (uint32_t i = 0; i < entry->version_count; i++)
        codec_put_bytes(w, entry->versions[i].value, entry->versions[i].size);
}

static void encode_pool(struct codec_writer *w, const void *what)
{
    const struct state_study *study = what;

    for (size_t i = 0; i < study->pool_count; i++) {
        codec_put_u64(w, study->pool[i].number);
        codec_put_u64(w, study->pool[i].id);
        codec_put_u64(w, study->pool[i].view);
        codec_put_u32(w, study->pool[i].has_view);
        codec_put_u32(w, study->pool[i].mode);
    }
}

/* -- trials -- */

static int emit_unfinished(struct walk *walk, const struct live_trial *live)
{
    struct item item = {.kind = ITEM_UNFINISHED, .study = live->t.study, .ordinal = live->t.number};
    size_t size = blob_size(&live->t), waiting = live->waiting ? blob_bytes(live->waiting) : 0;
    int err = list_reserve(walk->state->os, &walk->buffer, &walk->capacity, size + waiting);

    if (err < 0)
        return err;
    blob_encode(walk->buffer, &live->t);
    if (waiting)
        memcpy(walk->buffer + size, live->waiting, waiting);
    item.data = walk->buffer;
    item.size = size + waiting;
    return walk->fn(walk->arg, &item);
}

/* Queue and running trials, by number. */
static int walk_unfinished(struct walk *walk, const struct state_study *study)
{
    size_t q = 0, r = 0;
    int err = 0;

    while ((q < study->queue.count || r < study->running.count) && err == 0) {
        bool queued = r == study->running.count ||
                      (q < study->queue.count &&
                       study->queue.items[q]->t.number < study->running.items[r]->t.number);

        err = emit_unfinished(walk, queued ? study->queue.items[q++] : study->running.items[r++]);
    }
    return err;
}

static int walk_blocks(struct walk *walk, uint8_t kind, uint64_t study,
                       const struct block_list *list)
{
    int err = 0;

    for (size_t i = 0; i < list->count && err == 0; i++)
        err = emit_block(walk, kind, study, i, list->items[i]);
    return err;
}

static int walk_study(struct walk *walk, const struct state_study *study, uint8_t kind)
{
    int err = 0;

    switch (kind) {
    case ITEM_STUDY:
        return emit(walk, kind, study->id, 0, encode_study, study);
    case ITEM_PARAM:
        for (uint32_t i = 0; i < study->param_count && err == 0; i++)
            err = emit(walk, kind, study->id, i, encode_param, &study->params[i]);
        return err;
    case ITEM_ATTR:
        for (size_t i = 0; i < study->attr_count && err == 0; i++)
            err = emit(walk, kind, study->id, i, encode_attr, study->attrs[i]);
        return err;
    case ITEM_POOL:
        return study->pool_count ? emit(walk, kind, study->id, 0, encode_pool, study) : 0;
    case ITEM_ENDED:
        return walk->blocks ? walk_blocks(walk, kind, study->id, &study->ended) : 0;
    case ITEM_ATTEMPT:
        return walk->blocks ? walk_blocks(walk, kind, study->id, &study->attempts) : 0;
    default:
        return walk_unfinished(walk, study);
    }
}

int state_items(struct state *state, bool blocks, item_fn fn, void *arg)
{
    struct walk walk = {.state = state, .blocks = blocks, .fn = fn, .arg = arg};
    int err;

    err = emit(&walk, ITEM_STATE, 0, 0, encode_state, state);
    if (err == 0)
        err = walk_sessions(&walk);
    for (uint8_t kind = ITEM_STUDY; kind <= ITEM_UNFINISHED && err == 0; kind++)
        for (size_t i = 0; i < state->study_count && err == 0; i++)
            err = walk_study(&walk, state->studies[i], kind);
    state_release(state->os, walk.buffer);
    return err;
}

/* -- the digest: a chain over the items -- */

void item_digest(struct hash128 *chain, const struct item *item)
{
    struct hash128 hash = hash128(item->data, item->size);
    uint8_t bytes[56];

    codec_store_u64(bytes, chain->low);
    codec_store_u64(bytes + 8, chain->high);
    codec_store_u64(bytes + 16, item->kind);
    codec_store_u64(bytes + 24, item->study);
    codec_store_u64(bytes + 32, item->ordinal);
    codec_store_u64(bytes + 40, hash.low);
    codec_store_u64(bytes + 48, hash.high);
    *chain = hash128(bytes, sizeof(bytes));
}

static int digest_item(void *arg, const struct item *item)
{
    item_digest(arg, item);
    return 0;
}

int state_digest128(struct state *state, struct hash128 *out)
{
    *out = (struct hash128){0};
    return state_items(state, false, digest_item, out);
}

int state_digest(struct state *state, uint8_t out[16])
{
    struct hash128 chain;
    int err = state_digest128(state, &chain);

    for (unsigned i = 0; i < 8 && err == 0; i++) {
        out[i] = (uint8_t)(chain.high >> (56 - 8 * i));
        out[8 + i] = (uint8_t)(chain.low >> (56 - 8 * i));
    }
    return err;
}

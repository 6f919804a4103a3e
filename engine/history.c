/*
 * history: the records of the log, one after the other, explained.
 *
 * It reads through a log handle of its own, which only reads, so that walking the past does not
 * disturb the store's own place at the end; and it folds along, because names of parameters,
 * numbers of trials and the seeds of draws are in the state, not in the record.
 */
#include "ask.h"
#include "history_fields.h"
#include "store.h"

#include <assert.h>
#include <string.h>

#define CHUNK_BYTES (256u * 1024) /* read ahead */
#define HISTORY_STOP 33           /* the callback has enough for now */

/* A batch read ahead. */
struct kept_batch {
    struct kept_batch *next;
    struct log_batch batch; /* its records follow, in the arena */
};

struct hpo_history {
    struct hpo_store *store;
    struct log *log;
    struct state *state; /* folded up to the batch that is being told */
    uint64_t from;       /* nothing before this LSN is told */
    bool draws;
    struct log_position read; /* read ahead up to here */
    uint64_t settled;         /* told, and known to be durable */
    uint64_t restart;         /* memory ran out in the fold: begin again with this LSN */

    struct arena ahead; /* the chunk */
    struct kept_batch *first, **last;
    size_t ahead_bytes;

    const struct log_batch *batch; /* being told; NULL: none */
    size_t offset;                 /* of its next record */
    uint32_t index;
    struct bytes deleted; /* name of the study that it deletes, in told_batch */
    struct arena told_batch, told_record;
    struct record_scratch scratch;
    struct hpo_record_info info;
};

/* -- opening -- */

static struct hpo_history *history_new(struct hpo_store *store)
{
    const struct hpo_os *os = store->os;
    struct hpo_history *history = os->alloc(os->self, sizeof(*history));

    if (!history)
        return NULL;
    memset(history, 0, sizeof(*history));
    history->store = store;
    history->last = &history->first;
    history->scratch.os = os;
    arena_init(&history->ahead, os);
    arena_init(&history->told_batch, os);
    arena_init(&history->told_record, os);
    return history;
}

static void history_free(struct hpo_history *history)
{
    const struct hpo_os *os = history->store->os;

    log_close(history->log);
    state_free(history->state);
    record_scratch_release(&history->scratch);
    arena_release(&history->ahead);
    arena_release(&history->told_batch);
    arena_release(&history->told_record);
    os->free(os->self, history);
}

/* The fold begins at the newest snapshot before `from`, if there is one. */
static int history_start(struct hpo_history *history, uint64_t from)
{
    struct hpo_store *store = history->store;
    struct log_snapshot known;
    struct log_options options = {
        .os = store->os,
        .read_only = true,
        .allow_fuse = (store->flags & HPO_OPEN_ALLOW_FUSE) != 0,
    };
    int err = 0;

    if (from > 1 && store->snap_dir) {
        err = snapshot_open_newest(store->os, store->snap_dir, store->uuid, from - 1, NULL, NULL,
                                   &history->state, NULL, NULL);
        if (err == HPO_NOMEM)
            return err;
    }
    if (!history->state)
        err = state_new(store->os, store->uuid, &history->state);
    if (err < 0)
        return err;
    history->from = from;
    history->read = state_position(history->state);
    if (history->log)
        return 0;
    known.at = history->read;
    options.snapshots = &known;
    options.snapshot_count = known.at.lsn > 0;
    return log_open(store->path, &options, &history->log);
}

int hpo_history_open(struct hpo_store *store, uint64_t from, bool draws, struct hpo_history **out)
{
    struct hpo_history *history;
    int err;

    if (!store)
        return HPO_INVALID;
    if (!out)
        return call_refuse(store, HPO_INVALID, "no place for the result");
    err = call_begin(store);
    if (err < 0)
        return err;
    history = history_new(store);
    if (!history)
        return call_end(store, HPO_NOMEM);
    history->draws = draws;
    err = history_start(history, from > 0 ? from : 1);
    if (err < 0)
        history_free(history);
    else
        *out = history;
    return call_end(store, err);
}

void hpo_history_close(struct hpo_history *history)
{
    if (history)
        history_free(history);
}

/* -- reading ahead -- */

static int keep_batch(void *arg, const struct log_batch *batch)
{
    struct hpo_history *history = arg;
    struct kept_batch *kept;
    uint8_t *records;

    if (batch->at.lsn > history->store->limit)
        return HISTORY_STOP;
    kept = arena_alloc(&history->ahead, sizeof(*kept));
    records = arena_alloc(&history->ahead, batch->records_size);
    if (!kept || !records)
        return HPO_NOMEM;
    memcpy(records, batch->records, batch->records_size);
    kept->batch = *batch;
    kept->batch.records = records;
    *history->last = kept;
    history->last = &kept->next;
    history->read = batch->at;
    history->ahead_bytes += batch->records_size;
    return history->ahead_bytes >= CHUNK_BYTES ? HISTORY_STOP : 0;
}

static void forget_chunk(struct hpo_history *history)
{
    arena_reset(&history->ahead);
    history->first = NULL;
    history->last = &history->first;
    history->ahead_bytes = 0;
}

/* Fold anew, and go on telling at `from`. */
static int begin_again(struct hpo_history *history, uint64_t from)
{
    int err;

    if (from < history->from)
        from = history->from;
    history->restart = from; /* also if it fails half-way */
    forget_chunk(history);
    state_free(history->state);
    history->state = NULL;
    err = history_start(history, from);
    if (err == 0)
        history->restart = 0;
    return err;
}

static int read_chunk(struct hpo_history *history)
{
    int err;

    forget_chunk(history);
    err = log_read(history->log, &history->read, keep_batch, history);
    if (err == LOG_DIVERGED) {
        /* What we had read beyond the durable end is gone: a flush failed. */
        err = begin_again(history, history->settled + 1);
        if (err == 0)
            err = log_read(history->log, &history->read, keep_batch, history);
    }
    if (err == LOG_DIVERGED)
        return HPO_IO;
    return err > 0 ? 0 : err;
}

/* -- telling -- */

/* The name of a study is gone from the state once its deletion is folded. */
static int note_deletion(struct hpo_history *history, const struct log_batch *batch)
{
    const struct state_study *study;
    struct record record;
    size_t used;
    int err;

    history->deleted = (struct bytes){NULL, 0};
    if (batch->record_count == 0 || batch->records_size < 8 ||
        batch->records[4] != RECORD_STUDY_DELETE)
        return 0;
    record_scratch_reset(&history->scratch);
    err = record_decode(batch->records, batch->records_size, &history->scratch, &record, &used);
    if (err < 0)
        return err;
    study = state_study_by_id(history->state, record.study_delete.study);
    if (study) {
        struct bytes name = state_study_config(study)->name;
        char *copy = arena_text(&history->told_batch, name);

        if (!copy)
            return HPO_NOMEM;
        history->deleted = (struct bytes){(const uint8_t *)copy, name.size};
    }
    return 0;
}

/* Fold the next batch and begin to tell it; skips what lies before `from`. 1: there is none. */
static int next_batch(struct hpo_history *history)
{
    struct kept_batch *kept;
    uint64_t durable;
    int err;

    history->batch = NULL;
    if (history->restart) {
        err = begin_again(history, history->restart);
        if (err < 0)
            return err;
    }
    for (;;) {
        if (!history->first) {
            err = read_chunk(history);
            if (err < 0)
                return err;
        }
        kept = history->first;
        durable = log_durable(history->log);
        if (!kept ||
            ((history->store->flags & HPO_OPEN_DURABLE_ONLY) && kept->batch.at.lsn > durable))
            return HPO_NO_MORE;
        arena_reset(&history->told_batch);
        err = note_deletion(history, &kept->batch);
        if (err == 0)
            err = state_apply_batch(history->state, &kept->batch);
        if (err < 0) {
            if (err == HPO_NOMEM)
                history->restart = kept->batch.at.lsn;
            else if (state_failure(history->state)->code != 0)
                *error_here() = *state_failure(history->state);
            return err;
        }
        history->first = kept->next;
        if (!history->first)
            history->last = &history->first;
        if (kept->batch.at.lsn <= durable)
            history->settled = kept->batch.at.lsn;
        if (kept->batch.at.lsn >= history->from && kept->batch.record_count > 0)
            break;
    }
    history->batch = &kept->batch;
    history->offset = 0;
    history->index = 0;
    return 0;
}

static int tell_words(struct hpo_history *history, const struct record_draw *draw)
{
    const struct state_study *study = state_study_by_id(history->state, draw->study);

    history->info.words = NULL;
    history->info.word_count = 0;
    history->info.digest_ok = false;
    if (!history->draws || !study)
        return 0;
    return ask_draw_words(history->store->os, draw, state_study_config(study),
                          &history->told_record, &history->info.words, &history->info.word_count,
                          &history->info.digest_ok);
}

static int tell_record(struct hpo_history *history)
{
    const struct log_batch *batch = history->batch;
    struct hpo_record_info *info = &history->info;
    struct history_context context = {history->state, history->deleted};
    struct record record;
    size_t used;
    int err;

    record_scratch_reset(&history->scratch);
    arena_reset(&history->told_record);
    err = record_decode(batch->records + history->offset, batch->records_size - history->offset,
                        &history->scratch, &record, &used);
    if (err < 0)
        return err;
    memset(info, 0, sizeof(*info));
    info->lsn = batch->at.lsn;
    info->index = history->index;
    info->session = batch->session;
    info->sequence = batch->sequence;
    info->chain = batch->at.chain;
    info->durable = batch->at.lsn <= log_durable(history->log);
    info->type = record_type_name(record.type);
    history_fields(&record, &context, &history->told_record, &info->fields, &info->field_count);
    if (record.type == RECORD_DRAW && !record.skipped)
        err = tell_words(history, &record.draw);
    if (err < 0 || history->told_record.failed)
        return HPO_NOMEM;
    history->offset += used;
    history->index++;
    return 0;
}

int hpo_history_next(struct hpo_history *history, const struct hpo_record_info **out)
{
    struct hpo_store *store;
    int err = 0;

    if (!history)
        return HPO_INVALID;
    store = history->store;
    if (!out)
        return call_refuse(store, HPO_INVALID, "no place for the result");
    err = call_begin(store);
    if (err < 0)
        return err;
    if (!history->restart && state_failure(history->state)->code != 0) {
        *error_here() = *state_failure(history->state);
        err = error_here()->code;
    } else if (!history->batch || history->index == history->batch->record_count) {
        err = next_batch(history);
    }
    if (err == 0)
        err = tell_record(history);
    if (err == 0)
        *out = &history->info;
    return call_end(store, err);
}

/*
 * fold_fixture: see fold_fixture.h. Chains are made as in the log, so that positions are real
 * ones.
 */
#include "fold_fixture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "hpo.h"
#include "state_internal.h"

const uint8_t fold_uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

struct bytes text(const char *text)
{
    return (struct bytes){.data = (const uint8_t *)text, .size = strlen(text)};
}

void fold_init(struct fold *fold, const struct hpo_os *os)
{
    memset(fold, 0, sizeof(*fold));
    fold->os = os;
    fold->keep = true;
    fold->buffer.os = os;
    cr_assert_eq(state_new(os, fold_uuid, &fold->state), 0);
}

void fold_release(struct fold *fold)
{
    for (size_t i = 0; i < fold->count; i++)
        free(fold->batches[i].bytes);
    free(fold->batches);
    record_buffer_release(&fold->buffer);
    state_free(fold->state);
}

void fold_put(struct fold *fold, const struct record *record)
{
    int err = record_encode(&fold->buffer, record);

    cr_assert_eq(err, 0, "%s: %d", record_type_name(record->type), err);
}

uint64_t fold_next(const struct fold *fold)
{
    return state_position(fold->state).lsn + 1;
}

static void keep(struct fold *fold, const struct log_batch *batch)
{
    struct kept_batch *kept;

    if (fold->count == fold->capacity) {
        fold->capacity = fold->capacity ? 2 * fold->capacity : 64;
        fold->batches = realloc(fold->batches, fold->capacity * sizeof(*fold->batches));
    }
    kept = &fold->batches[fold->count++];
    kept->batch = *batch;
    kept->bytes = malloc(batch->records_size + 1);
    memcpy(kept->bytes, batch->records, batch->records_size);
    kept->batch.records = kept->bytes;
}

int fold_apply(struct fold *fold)
{
    struct log_position previous = state_position(fold->state);
    const struct state_session *session = state_session_find(fold->state, fold->session);
    struct batch_header header = {.session = fold->session,
                                  .sequence = session ? session->sequence + 1 : 1,
                                  .record_count = fold->buffer.count};
    uint8_t bytes[BATCH_HEADER_SIZE];
    struct log_batch batch;
    int err;

    if (!session)
        header.session = 0;
    err = batch_header_encode(bytes, &header, &previous, fold->buffer.data, fold->buffer.size);
    cr_assert_eq(err, 0);
    batch = (struct log_batch){.at = {.lsn = header.lsn, .chain = header.chain},
                               .session = session ? fold->session : header.lsn,
                               .sequence = header.sequence,
                               .record_count = fold->buffer.count,
                               .records = fold->buffer.data,
                               .records_size = fold->buffer.size};
    err = state_apply_batch(fold->state, &batch);
    if (err == 0 && fold->keep)
        keep(fold, &batch);
    record_buffer_clear(&fold->buffer);
    return err;
}

int fold_one(struct fold *fold, const struct record *record)
{
    fold_put(fold, record);
    return fold_apply(fold);
}

int fold_session(struct fold *fold, uint32_t slot)
{
    struct record record = {.type = RECORD_SESSION_OPEN,
                            .session_open = {.slot = slot,
                                             .process_id = 4242,
                                             .time = {.us = 1000000, .kind = 0},
                                             .host = text("here"),
                                             .program = text("test")}};
    uint64_t lsn = fold_next(fold);
    int err;

    fold->session = 0;
    err = fold_one(fold, &record);
    fold->session = lsn;
    return err;
}

void assert_checks(struct state *state)
{
    struct error_detail error = {0};
    int err = state_check(state, &error);

    cr_assert_eq(err, 0, "%d: %s", err, error.message);
}

void assert_same_digest(struct state *a, struct state *b)
{
    uint8_t of_a[16], of_b[16];

    cr_assert_eq(state_digest(a, of_a), 0);
    cr_assert_eq(state_digest(b, of_b), 0);
    cr_assert_eq(memcmp(of_a, of_b, 16), 0, "digests differ at LSN %llu and %llu",
                 (unsigned long long)state_position(a).lsn,
                 (unsigned long long)state_position(b).lsn);
}

static int copy_item(void *arg, const struct item *item)
{
    struct load *load = arg;
    struct item copy = *item;
    uint8_t *data = malloc(item->size + 1); /* its very size: reading beyond it would be seen */
    int err;

    memcpy(data, item->data, item->size);
    copy.data = data;
    err = load_item(load, &copy);
    free(data);
    return err;
}

struct state *fold_reload(const struct fold *fold, struct state *from)
{
    struct error_detail error = {0};
    struct load load = {.limit = 1u << 20, .error = &error};
    int err;

    cr_assert_eq(state_new(fold->os, fold_uuid, &load.state), 0);
    err = state_items(from, true, copy_item, &load);
    if (err == 0)
        err = load_end(&load);
    cr_assert_eq(err, 0, "%d: %s", err, error.message);
    load.state->at.chain = state_position(from).chain;
    assert_same_digest(from, load.state);
    assert_checks(load.state);
    return load.state;
}

void fold_tail(const struct fold *fold, struct state *state, uint64_t lsn)
{
    for (uint64_t i = state_position(state).lsn; i < lsn; i++)
        cr_assert_eq(state_apply_batch(state, &fold->batches[i].batch), 0, "%s",
                     state_failure(state)->message);
}

struct state *fold_again(const struct fold *fold, uint64_t lsn)
{
    struct state *state;

    cr_assert_eq(state_new(fold->os, fold_uuid, &state), 0);
    fold_tail(fold, state, lsn);
    return state;
}

/* -- one batch each -- */

static void accepted(struct fold *fold, const struct record *record)
{
    int err = fold_one(fold, record);

    cr_assert_eq(err, 0, "%s", state_failure(fold->state)->message);
}

uint64_t fold_study(struct fold *fold, const char *name)
{
    static const uint8_t minimize = 0;
    uint64_t id = state_next_study(fold->state);
    struct record record = {.type = RECORD_STUDY_CREATE,
                            .study_create = {.study = id,
                                             .name = text(name),
                                             .directions = &minimize,
                                             .direction_count = 1,
                                             .seed = {11, 22}}};

    accepted(fold, &record);
    return id;
}

uint32_t fold_define(struct fold *fold, uint64_t study, const char *name, double high)
{
    uint32_t number = state_param_count(state_study_by_id(fold->state, study));
    struct record record = {
        .type = RECORD_PARAM_DEFINE,
        .param_define = {
            .study = study,
            .param = number,
            .definition = {.name = text(name),
                           .distribution = {.kind = DISTRIBUTION_FLOAT, .low = 0, .high = high}}}};

    accepted(fold, &record);
    return number;
}

uint64_t fold_begin(struct fold *fold, uint64_t study)
{
    struct record record = {.type = RECORD_TRIAL_BEGIN};
    struct state_begin next;

    state_next_begin(fold->state, state_study_by_id(fold->state, study), &next);
    record.trial_begin =
        (struct record_trial_begin){.study = study,
                                    .trial = next.trial,
                                    .number = next.number,
                                    .view = next.retry ? next.view : fold_next(fold) - 1,
                                    .mode = next.retry ? next.mode : VIEW_LOG,
                                    .popped = next.popped,
                                    .time = {.us = 5, .kind = 0}};
    accepted(fold, &record);
    return next.trial;
}

uint64_t fold_enqueue(struct fold *fold, uint64_t study, uint64_t on_behalf)
{
    struct record record = {.type = RECORD_TRIAL_ENQUEUE,
                            .trial_enqueue = {.study = study, .on_behalf = on_behalf}};

    state_next_enqueue(fold->state, state_study_by_id(fold->state, study),
                       &record.trial_enqueue.number, &record.trial_enqueue.trial);
    accepted(fold, &record);
    return record.trial_enqueue.trial;
}

void fold_suggest(struct fold *fold, uint64_t trial, uint32_t param, double value)
{
    struct record_value one = {.param = param, .asked = true, .value = value};
    struct record record = {.type = RECORD_SUGGEST,
                            .suggest = {.trial = trial, .values = &one, .value_count = 1}};

    accepted(fold, &record);
}

void fold_report(struct fold *fold, uint64_t trial, int64_t step, double value)
{
    struct record record = {.type = RECORD_REPORT, .report = {trial, {step, value}}};

    accepted(fold, &record);
}

void fold_finish(struct fold *fold, uint64_t trial, double value)
{
    struct record record = {
        .type = RECORD_TRIAL_FINISH,
        .trial_finish = {
            .trial = trial, .state = TRIAL_COMPLETE, .objectives = &value, .objective_count = 1}};

    accepted(fold, &record);
}

void fold_rollback(struct fold *fold, uint64_t trial)
{
    struct state_trial t = fold_trial(fold, trial);
    struct record record = {.type = RECORD_TRIAL_ROLLBACK,
                            .trial_rollback = {trial, t.session, ROLLBACK_DEAD}};

    accepted(fold, &record);
}

void fold_study_attr(struct fold *fold, uint64_t study, uint64_t on_behalf, const char *key,
                     const char *value)
{
    struct record record = {
        .type = RECORD_STUDY_ATTR,
        .study_attr = {
            study, on_behalf, {.piece = 1, .pieces = 1, .key = text(key), .value = text(value)}}};

    accepted(fold, &record);
}

void fold_trial_attr(struct fold *fold, uint64_t trial, const char *key, const char *value)
{
    struct record record = {
        .type = RECORD_TRIAL_ATTR,
        .trial_attr = {trial, {.piece = 1, .pieces = 1, .key = text(key), .value = text(value)}}};

    accepted(fold, &record);
}

struct state_trial fold_trial(const struct fold *fold, uint64_t id)
{
    struct state_trial trial;

    cr_assert_eq(state_trial_by_id(fold->state, id, &trial), 0, "trial %llu",
                 (unsigned long long)id);
    return trial;
}

static void varied_trial(struct fold *fold, uint64_t study, const uint32_t params[2], unsigned i)
{
    uint64_t trial = fold_begin(fold, study);

    for (unsigned p = 0; p < 2; p++)
        fold_suggest(fold, trial, params[p], i * 0.01);
    fold_study_attr(fold, study, trial, "last", i % 2 ? "odd" : "even");
    fold_report(fold, trial, 1, i);
    fold_trial_attr(fold, trial, "note", "some text");
    if (i % 5 == 4) {
        fold_enqueue(fold, study, trial);
        fold_rollback(fold, trial);
        trial = fold_begin(fold, study);
    }
    fold_finish(fold, trial, 100.0 - i);
}

void fold_varied(struct fold *fold, unsigned trials)
{
    static const char *const names[] = {"first", "second"};

    cr_assert_eq(fold_session(fold, 3), 0);
    for (unsigned s = 0; s < 2; s++) {
        uint64_t study = fold_study(fold, names[s]), left, low;
        uint32_t params[2] = {fold_define(fold, study, "lr", 1),
                              fold_define(fold, study, "decay", 2)};

        fold_study_attr(fold, study, 0, "owner", "me");
        for (unsigned i = 0; i < trials; i++)
            varied_trial(fold, study, params, i);
        low = fold_begin(fold, study);
        fold_enqueue(fold, study, 0);
        left = fold_begin(fold, study);
        fold_suggest(fold, left, params[0], 0.5);
        fold_enqueue(fold, study, left);
        fold_study_attr(fold, study, left, "owner", "trial");
        fold_rollback(fold, fold_begin(fold, study));
        fold_rollback(fold, low);
        cr_assert_eq(fold_session(fold, 4 + s), 0);
    }
}

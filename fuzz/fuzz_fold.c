/*
 * fuzz_fold: a log of well-formed records, folded.
 *
 * Input: a row of choices. Each record's fields are chosen from what the state makes plausible (ids
 * that exist, the next ones, view and number as they must be), and now and then otherwise, so that
 * long logs are reached and every rule is broken.
 *
 * Oracles: a batch is accepted, or refused as HPO_CORRUPT with a reason, and after folding anew the
 * state is what it was; state_check holds; the digest is stable; folding again and going by way of
 * a snapshot's items in the middle give the same digest.
 */
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "fuzz.h"
#include "hpo.h"
#include "state_internal.h"

#define INPUT_MAX 4096u
#define BATCHES_MAX 600u
#define REFUSED_MAX 6u

static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

struct log {
    struct fuzz_input in;
    struct state *state;
    struct record_buffer buffer;
    struct log_batch batches[BATCHES_MAX];
    size_t count, middle;
    uint64_t session;
    /* what records point into */
    struct record_value values[4];
    struct record_choice choices[3];
    struct record_param params[3];
    struct record_report reports[3];
    struct record_attr attrs[2];
    struct record_option options[2];
    struct record_draw_part parts[2];
    double objectives[2];
    uint8_t directions[2];
};

/* -- choices -- */

/* One in sixteen is not what the state makes plausible. */
static uint64_t likely(struct log *log, uint64_t value)
{
    uint8_t choice = fuzz_u8(&log->in);

    if (choice < 240)
        return value;
    return choice < 250 ? value + (uint64_t)(int64_t)(int8_t)fuzz_u8(&log->in) : fuzz_u64(&log->in);
}

static struct bytes name_of(struct log *log)
{
    static const uint8_t letters[] = "abcdefgh";
    uint8_t choice = fuzz_u8(&log->in);

    return (struct bytes){letters + choice % 4, choice < 250 ? 1 : choice % 5};
}

static struct bytes text_of(struct log *log)
{
    struct bytes text;

    text.data = fuzz_bytes(&log->in, fuzz_u8(&log->in) % 12, &text.size);
    return text;
}

static double number_of(struct log *log)
{
    uint8_t choice = fuzz_u8(&log->in);
    uint64_t bits;
    double value;

    if (choice < 240)
        return choice % 8;
    bits = fuzz_u64(&log->in);
    memcpy(&value, &bits, sizeof(value));
    return value == value ? value : 0.5;
}

static struct record_time time_of(struct log *log)
{
    return (struct record_time){fuzz_u8(&log->in), 0};
}

static uint64_t study_of(struct log *log)
{
    uint64_t next = state_next_study(log->state);

    return likely(log, next > 1 ? 1 + fuzz_u8(&log->in) % (next - 1) : 1);
}

/* A running trial if there is one, or any; 0 if `none` allows it. */
static uint64_t trial_of(struct log *log, bool none)
{
    uint8_t choice = fuzz_u8(&log->in);
    uint64_t cursor = choice % 16, next = state_next_trial(log->state);
    struct state_trial trial;

    if (none && choice < 128)
        return 0;
    cursor = next > 8 ? next - 8 + choice % 8 : cursor;
    if (cursor > 0)
        cursor--;
    if (state_running_next(log->state, &cursor, &trial))
        return likely(log, trial.id);
    cursor = 0;
    if (state_running_next(log->state, &cursor, &trial))
        return likely(log, trial.id);
    return likely(log, choice % 32);
}

static void distribution_of(struct log *log, struct record_distribution *out)
{
    uint8_t choice = fuzz_u8(&log->in);

    memset(out, 0, sizeof(*out));
    out->kind = (uint8_t)(1 + choice % 3);
    out->log = choice & 16;
    out->has_step = !out->log && (choice & 32);
    out->low = out->low_int = 1;
    out->high_int = 2 + choice % 4;
    out->high = (double)out->high_int;
    out->step = 0.5;
    out->step_int = 2;
    if (out->kind == DISTRIBUTION_CATEGORICAL) {
        out->log = out->has_step = false;
        out->choice_count = 1 + choice / 64 % 3;
        for (uint32_t i = 0; i < out->choice_count; i++)
            log->choices[i] = (struct record_choice){.type = CHOICE_INT, .integer = (int64_t)i};
        out->choices = log->choices;
    }
}

static uint32_t params_of(struct log *log)
{
    uint32_t count = fuzz_u8(&log->in) % 4;

    for (uint32_t i = 0; i < count; i++) {
        log->params[i].name = name_of(log);
        distribution_of(log, &log->params[i].distribution);
    }
    return count;
}

static uint32_t param_of(struct log *log, uint64_t study)
{
    const struct state_study *s = state_study_by_id(log->state, study);
    uint32_t count = s ? state_param_count(s) : 0;

    return (uint32_t)likely(log, count ? fuzz_u8(&log->in) % count : 0);
}

static uint32_t values_of(struct log *log, uint64_t study, bool asked)
{
    uint32_t count = fuzz_u8(&log->in) % 4;

    for (uint32_t i = 0; i < count; i++)
        log->values[i] = (struct record_value){.param = param_of(log, study),
                                               .asked = asked || (fuzz_u8(&log->in) & 1),
                                               .value = number_of(log)};
    return count;
}

static struct record_attr attr_of(struct log *log, bool whole)
{
    uint8_t choice = fuzz_u8(&log->in);
    struct record_attr attr = {.space = choice % 3, .piece = 1, .pieces = 1, .key = name_of(log)};

    attr.removed = !whole && choice >= 224;
    if (!attr.removed)
        attr.value = text_of(log);
    if (!whole && choice >= 200 && choice < 224) {
        attr.pieces = 2;
        attr.piece = (uint16_t)(1 + (choice & 1));
    }
    return attr;
}

static struct record_algorithm algorithm_of(struct log *log)
{
    struct record_algorithm algorithm = {.name = name_of(log), .version = 1};

    if (fuzz_u8(&log->in) & 1) {
        log->options[0] = (struct record_option){name_of(log), text_of(log)};
        algorithm.options = log->options;
        algorithm.option_count = 1;
    }
    return algorithm;
}

static uint64_t study_of_trial(struct log *log, uint64_t id)
{
    struct state_trial trial;

    return state_trial_by_id(log->state, id, &trial) == 0 ? trial.study : 1;
}

/* -- records -- */

static void study_record(struct log *log, struct record *record)
{
    uint64_t study = study_of(log);

    switch (record->type) {
    case RECORD_STUDY_CREATE:
        record->study_create =
            (struct record_study_create){.study = likely(log, state_next_study(log->state)),
                                         .name = name_of(log),
                                         .directions = log->directions,
                                         .direction_count = (uint8_t)(fuzz_u8(&log->in) % 3),
                                         .window = fuzz_u8(&log->in) % 4 == 0 ? 2 : 0,
                                         .sampler = algorithm_of(log),
                                         .declared = fuzz_u8(&log->in) & 1,
                                         .time = time_of(log)};
        log->directions[0] = fuzz_u8(&log->in) & 1;
        log->directions[1] = fuzz_u8(&log->in) & 1;
        if (record->study_create.declared) {
            record->study_create.param_count = params_of(log);
            record->study_create.params = log->params;
        }
        break;
    case RECORD_STUDY_DELETE:
        record->study_delete.study = study;
        break;
    case RECORD_STUDY_CONFIG:
        record->study_config = (struct record_study_config){.study = study,
                                                            .has_pruner = fuzz_u8(&log->in) & 1,
                                                            .has_space = fuzz_u8(&log->in) & 1,
                                                            .has_seed = fuzz_u8(&log->in) & 1,
                                                            .seed = {3, 4}};
        if (record->study_config.has_pruner)
            record->study_config.pruner = algorithm_of(log);
        if (record->study_config.has_space) {
            record->study_config.param_count = params_of(log);
            record->study_config.params = log->params;
        }
        if (!record->study_config.has_seed)
            memset(record->study_config.seed, 0, sizeof(record->study_config.seed));
        break;
    case RECORD_STUDY_ATTR:
        record->study_attr =
            (struct record_study_attr){study, trial_of(log, true), attr_of(log, false)};
        break;
    case RECORD_PARAM_DEFINE: {
        const struct state_study *s = state_study_by_id(log->state, study);

        record->param_define.study = study;
        record->param_define.param = (uint32_t)likely(log, s ? state_param_count(s) : 0);
        record->param_define.definition.name = name_of(log);
        distribution_of(log, &record->param_define.definition.distribution);
        break;
    }
    default: /* SAMPLER_STATE */
        log->options[0] = (struct record_option){name_of(log), text_of(log)};
        record->sampler_state =
            (struct record_sampler_state){study, trial_of(log, true), log->options, 1};
    }
}

static void begin_record(struct log *log, struct record *record)
{
    uint64_t study = study_of(log);
    const struct state_study *s = state_study_by_id(log->state, study);
    struct state_begin next = {0};
    uint64_t number = 0, trial = 0;

    if (s) {
        state_next_begin(log->state, s, &next);
        state_next_enqueue(log->state, s, &number, &trial);
    }
    if (record->type == RECORD_TRIAL_BEGIN) {
        record->trial_begin = (struct record_trial_begin){
            .study = study,
            .trial = likely(log, next.trial),
            .number = likely(log, next.number),
            .view = likely(log, next.retry ? next.view : state_position(log->state).lsn),
            .mode = next.retry ? next.mode : fuzz_u8(&log->in) % 8 == 0,
            .detached = fuzz_u8(&log->in) % 8 == 0,
            .popped = likely(log, next.popped) & 1,
            .time = time_of(log)};
        return;
    }
    number = likely(log, number);
    trial = likely(log, trial);
    if (record->type == RECORD_TRIAL_ENQUEUE) {
        record->trial_enqueue =
            (struct record_trial_enqueue){study,       trial,
                                          number,      trial_of(log, true),
                                          log->values, values_of(log, study, true),
                                          time_of(log)};
        return;
    }
    record->trial_import = (struct record_trial_import){.study = study,
                                                        .trial = trial,
                                                        .number = number,
                                                        .state = fuzz_u8(&log->in) % 5,
                                                        .objectives = log->objectives,
                                                        .objective_count = fuzz_u8(&log->in) % 3,
                                                        .values = log->values,
                                                        .value_count = values_of(log, study, true),
                                                        .reports = log->reports,
                                                        .report_count = fuzz_u8(&log->in) % 4,
                                                        .attrs = log->attrs,
                                                        .attr_count = fuzz_u8(&log->in) % 3,
                                                        .begin = time_of(log),
                                                        .end = time_of(log)};
    for (unsigned i = 0; i < 3; i++)
        log->reports[i] = (struct record_report){fuzz_u8(&log->in) % 4, number_of(log)};
    for (unsigned i = 0; i < 2; i++) {
        log->attrs[i] = attr_of(log, true);
        log->objectives[i] = number_of(log);
    }
}

static void live_record(struct log *log, struct record *record)
{
    uint64_t trial = trial_of(log, record->type == RECORD_DRAW);
    uint64_t study = study_of_trial(log, trial), lsn = state_position(log->state).lsn;

    switch (record->type) {
    case RECORD_DRAW:
        log->parts[0] = (struct record_draw_part){fuzz_u8(&log->in), 0, 1 + fuzz_u8(&log->in) % 9};
        record->draw = (struct record_draw){.trial = trial,
                                            .study = likely(log, study),
                                            .foreign = fuzz_u8(&log->in) & 1,
                                            .domain = fuzz_u8(&log->in) % 4,
                                            .third = fuzz_u8(&log->in),
                                            .parts = log->parts,
                                            .part_count = 1,
                                            .digest = 77};
        break;
    case RECORD_SUGGEST:
        record->suggest.trial = trial;
        record->suggest.joint = fuzz_u8(&log->in) % 3 == 0;
        record->suggest.values = log->values;
        record->suggest.value_count = values_of(log, study, !record->suggest.joint);
        if (record->suggest.joint)
            record->suggest.note = text_of(log);
        break;
    case RECORD_PARAM_SET:
        record->param_set = (struct record_param_set){
            trial, {.param = param_of(log, study), .asked = true, .value = number_of(log)}};
        break;
    case RECORD_REPORT:
        record->report = (struct record_report_of){trial, {fuzz_u8(&log->in) % 5, number_of(log)}};
        break;
    case RECORD_PRUNE_DECISION:
        record->prune_decision = (struct record_prune_decision){
            trial, fuzz_u8(&log->in) % 5, likely(log, lsn), fuzz_u8(&log->in) & 1, text_of(log)};
        break;
    case RECORD_TRIAL_ATTR:
        record->trial_attr = (struct record_trial_attr){trial, attr_of(log, false)};
        break;
    case RECORD_TRIAL_FINISH:
        record->trial_finish =
            (struct record_trial_finish){.trial = trial,
                                         .state = (uint8_t)(1 + fuzz_u8(&log->in) % 3),
                                         .stop = fuzz_u8(&log->in) % 8 == 0,
                                         .objectives = log->objectives,
                                         .objective_count = fuzz_u8(&log->in) % 3,
                                         .time = time_of(log)};
        log->objectives[0] = number_of(log);
        log->objectives[1] = number_of(log);
        break;
    default: { /* TRIAL_ROLLBACK */
        struct state_trial t = {0};

        (void)state_trial_by_id(log->state, trial, &t);
        record->trial_rollback = (struct record_trial_rollback){
            trial, likely(log, t.session), (uint8_t)(1 + fuzz_u8(&log->in) % 4)};
    }
    }
}

static void session_record(struct log *log, struct record *record)
{
    switch (record->type) {
    case RECORD_SESSION_OPEN:
        record->session_open = (struct record_session_open){.slot = fuzz_u8(&log->in) % 4,
                                                            .process_id = fuzz_u8(&log->in),
                                                            .time = time_of(log),
                                                            .host = name_of(log),
                                                            .program = text_of(log)};
        break;
    case RECORD_SESSION_CLOSE:
        record->session_close.session = likely(log, log->session);
        record->session_close.keep = fuzz_u8(&log->in) & 1;
        break;
    case RECORD_HEARTBEAT:
        record->heartbeat.trial = trial_of(log, false);
        break;
    default:
        record->snapshot_done.lsn = likely(log, state_position(log->state).lsn);
    }
}

/* Trials' records are the most frequent ones. */
static uint8_t type_of(struct log *log)
{
    static const uint8_t types[] = {
        RECORD_TRIAL_BEGIN,   RECORD_SUGGEST,       RECORD_TRIAL_FINISH,   RECORD_TRIAL_ROLLBACK,
        RECORD_TRIAL_ENQUEUE, RECORD_STUDY_ATTR,    RECORD_TRIAL_BEGIN,    RECORD_REPORT,
        RECORD_PARAM_SET,     RECORD_TRIAL_IMPORT,  RECORD_DRAW,           RECORD_PRUNE_DECISION,
        RECORD_TRIAL_ATTR,    RECORD_SAMPLER_STATE, RECORD_PARAM_DEFINE,   RECORD_STUDY_CREATE,
        RECORD_STUDY_DELETE,  RECORD_STUDY_CONFIG,  RECORD_SESSION_OPEN,   RECORD_SESSION_CLOSE,
        RECORD_HEARTBEAT,     RECORD_SNAPSHOT_DONE, RECORD_TRIAL_ROLLBACK, RECORD_TRIAL_BEGIN,
    };

    return types[fuzz_u8(&log->in) % sizeof(types)];
}

static void put_record(struct log *log, uint8_t type)
{
    struct record record = {.type = type};
    int err;

    if (type < RECORD_STUDY_CREATE)
        session_record(log, &record);
    else if (type <= RECORD_SAMPLER_STATE)
        study_record(log, &record);
    else if (type <= RECORD_TRIAL_IMPORT)
        begin_record(log, &record);
    else
        live_record(log, &record);
    err = record_encode(&log->buffer, &record); /* fields may break a rule of records, too */
    FUZZ_REQUIRE(err == 0 || err == HPO_INVALID || err == HPO_TOO_LARGE, "record_encode: %d", err);
}

/* -- batches -- */

static struct state *new_state(void)
{
    struct state *state;

    FUZZ_REQUIRE(state_new(fuzz_os(), uuid, &state) == 0, "state_new");
    return state;
}

/* Fold the kept batches behind the state's position. */
static void fold_tail(const struct log *log, struct state *state)
{
    for (size_t i = (size_t)state_position(state).lsn; i < log->count; i++)
        FUZZ_REQUIRE(state_apply_batch(state, &log->batches[i]) == 0, "accepted, then refused: %s",
                     state_failure(state)->message);
}

static void assert_same(struct state *a, struct state *b, const char *how)
{
    uint8_t of_a[16], of_b[16];

    FUZZ_REQUIRE(state_digest(a, of_a) == 0 && state_digest(b, of_b) == 0, "state_digest");
    FUZZ_REQUIRE(memcmp(of_a, of_b, 16) == 0, "digests differ: %s", how);
}

static void assert_checks(struct state *state)
{
    struct error_detail error = {0};
    int err = state_check(state, &error);

    FUZZ_REQUIRE(err == 0, "state_check: %d %s", err, error.message);
}

/* Make a batch of the records; whether it was accepted. */
static bool apply(struct log *log)
{
    struct log_position previous = state_position(log->state);
    const struct state_session *session = state_session_find(log->state, log->session);
    struct batch_header header = {.session = session ? log->session : 0,
                                  .sequence = session ? session->sequence + 1 : 1,
                                  .record_count = log->buffer.count};
    uint8_t bytes[BATCH_HEADER_SIZE], *copy = malloc(log->buffer.size + 1);
    struct log_batch batch;
    int err;

    FUZZ_REQUIRE(copy, "no memory");
    FUZZ_REQUIRE(
        batch_header_encode(bytes, &header, &previous, log->buffer.data, log->buffer.size) == 0,
        "batch_header_encode");
    memcpy(copy, log->buffer.data, log->buffer.size);
    batch = (struct log_batch){.at = {header.lsn, header.chain},
                               .session = session ? log->session : header.lsn,
                               .sequence = header.sequence,
                               .record_count = log->buffer.count,
                               .records = copy,
                               .records_size = log->buffer.size};
    err = state_apply_batch(log->state, &batch);
    if (err == 0) {
        log->batches[log->count++] = batch;
        return true;
    }
    free(copy);
    FUZZ_REQUIRE(err == HPO_CORRUPT || err == HPO_UNSUPPORTED, "state_apply_batch: %d", err);
    FUZZ_REQUIRE(state_failure(log->state)->message[0], "refused without a reason");
    state_free(log->state);
    log->state = new_state();
    fold_tail(log, log->state);
    return false;
}

static bool next_batch(struct log *log)
{
    bool open = !state_session_find(log->state, log->session);
    uint64_t lsn = state_position(log->state).lsn + 1;
    unsigned records = 1 + (fuzz_u8(&log->in) % 8 == 0 ? fuzz_u8(&log->in) % 4u : 0u);
    bool accepted;

    record_buffer_clear(&log->buffer);
    if (open || fuzz_u8(&log->in) % 16 == 0) {
        put_record(log, RECORD_SESSION_OPEN);
        open = true;
        log->session = 0;
    }
    for (unsigned i = 0; i < records; i++)
        put_record(log, type_of(log));
    if (log->buffer.count == 0)
        return true;
    accepted = apply(log);
    if (open && accepted)
        log->session = lsn;
    return accepted;
}

/* -- snapshots -- */

static int copy_item(void *arg, const struct item *item)
{
    struct item copy = *item;
    uint8_t *data = malloc(item->size + 1);
    int err;

    FUZZ_REQUIRE(data, "no memory");
    memcpy(data, item->data, item->size);
    copy.data = data;
    err = load_item(arg, &copy);
    free(data);
    return err;
}

static struct state *by_items(struct state *from)
{
    struct error_detail error = {0};
    struct load load = {.limit = 1u << 16, .error = &error, .state = new_state()};
    int err = state_items(from, true, copy_item, &load);

    if (err == 0)
        err = load_end(&load);
    FUZZ_REQUIRE(err == 0, "its own items: %d %s", err, error.message);
    load.state->at.chain = state_position(from).chain;
    assert_same(from, load.state, "by way of items");
    assert_checks(load.state);
    return load.state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct log *log;
    struct state *again, *loaded = NULL;
    unsigned refused = 0;

    if (size > INPUT_MAX)
        return 0;
    fuzz_bound(size, 2u << 20);
    log = calloc(1, sizeof(*log));
    FUZZ_REQUIRE(log, "no memory");
    log->in = (struct fuzz_input){data, data + size};
    log->buffer.os = fuzz_os();
    log->state = new_state();
    log->middle = fuzz_u8(&log->in);
    while (fuzz_more(&log->in) && log->count < BATCHES_MAX && refused < REFUSED_MAX) {
        refused += !next_batch(log);
        if (!loaded && log->count >= log->middle)
            loaded = by_items(log->state);
    }
    assert_checks(log->state);
    again = new_state();
    fold_tail(log, again);
    assert_same(log->state, again, "folded again");
    assert_same(log->state, again, "asked again");
    state_free(again);
    if (loaded) {
        fold_tail(log, loaded);
        assert_same(log->state, loaded, "snapshot and tail");
        assert_checks(loaded);
        state_free(loaded);
    }
    loaded = by_items(log->state);
    state_free(loaded);
    state_free(log->state);
    record_buffer_release(&log->buffer);
    for (size_t i = 0; i < log->count; i++)
        free((void *)(uintptr_t)log->batches[i].records);
    free(log);
    return 0;
}

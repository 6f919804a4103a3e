/*
 * store_log: the public calls over a log without files (memory_log.h), where flushes, batches,
 * sessions and memory are lost exactly when a test wants it.
 */
#include "api_words.h"
#include "memory_log.h"
#include "os.h"
#include "record.h"

#include <signal.h>

#define LOG "memory"

static void setup(void)
{
    snprintf(api_path, sizeof(api_path), LOG);
}

/* A handle whose process is dead: its slot is free, and it does nothing any more. Its memory is
 * freed at the end of the test, when its session has been ended by others. */
static struct hpo_store *dead_stores[8];
static int dead_count;

static void die(struct hpo_store *store, uint32_t slot)
{
    dead_stores[dead_count++] = store;
    memory_log_free_slot(LOG, slot);
}

static void bury(void)
{
    while (dead_count > 0)
        (void)hpo_close(dead_stores[--dead_count]);
}

static void teardown(void)
{
    bury();
    memory_log_reset();
}

TestSuite(store_log, .init = setup, .fini = teardown, .timeout = 300);

static double first_param(struct hpo_store *store, struct hpo_study *study, uint64_t number)
{
    struct hpo_trial_info *info = read_of(store, study, number);
    double value = info->params[0].value;

    hpo_trial_info_free(info);
    return value;
}

Test(store_log, nothing_above_the_log_needs_files)
{
    struct hpo_store *store = open_store(), *reader;
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_stat before, after;
    int i;

    for (i = 0; i < 5; i++)
        tell(store, ask(store, study), i);
    gives(HPO_NOT_FOUND, hpo_snapshot(store));
    before = stat_of(store);
    reader = open_with(HPO_OPEN_READ_ONLY);
    after = stat_of(reader);
    cr_assert_eq(after.lsn, before.lsn);
    cr_assert_eq(memcmp(after.digest, before.digest, 16), 0);
    close_store(reader);
    close_store(store);
}

Test(store_log, a_finish_that_was_lost_is_told_again)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_trial *trial = ask(store, study);
    double value = 1;

    memory_log_lose(LOG, 1); /* the begin stays, the finish goes */
    gives(HPO_NOT_WRITTEN, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    cr_assert_eq(state_of(store, study, 0), HPO_RUNNING);
    ok(store, hpo_report(trial, 1, 1));
    ok(store, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    cr_assert_eq(state_of(store, study, 0), HPO_COMPLETE);
    close_store(store);
}

Test(store_log, a_begin_that_was_lost_ends_the_handle_and_comes_again)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_trial *trial = ask(store, study), *again;
    double value = 1, drawn = first_param(store, study, 0);

    memory_log_lose(LOG, 0);
    gives(HPO_NOT_WRITTEN, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    gives(HPO_ROLLED_BACK, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    gives(HPO_ROLLED_BACK, hpo_report(trial, 1, 1));
    again = ask(store, study);
    cr_assert_eq(hpo_trial_number(again), 0);
    cr_assert_eq(first_param(store, study, 0), drawn);
    gives(HPO_ROLLED_BACK, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    tell(store, again, 2);
    close_store(store);
}

Test(store_log, a_session_that_was_lost_with_its_open_begins_anew)
{
    struct hpo_store *first = open_store(), *store = open_store();
    struct hpo_study *study;
    struct hpo_trial *trial;
    double value = 1;

    hpo_study_free(study_declared(first, "s"));
    ok(store, hpo_study_open(store, "s", &study));
    trial = ask(store, study); /* SESSION_OPEN and TRIAL_BEGIN, not flushed */
    memory_log_lose(LOG, 0);
    gives(HPO_NOT_WRITTEN, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    gives(HPO_ROLLED_BACK, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    tell(store, ask(store, study), 2);
    cr_assert_eq(stat_of(store).sessions, 2);
    close_store(store);
    close_store(first);
}

Test(store_log, a_lost_begin_is_not_mistaken_for_another_at_the_same_place)
{
    struct hpo_store *a = open_store(), *b = open_store();
    struct hpo_study *study = study_declared(a, "s"), *same;
    struct hpo_trial *mine, *theirs;
    double value = 1;
    uint64_t lsn;

    ok(b, hpo_study_open(b, "s", &same));
    tell(b, ask(b, same), 0); /* b has a session, everything is durable */
    mine = ask(a, study);
    lsn = memory_log_lsn(LOG);
    memory_log_lose(LOG, 0);
    ok(b, hpo_sync(b));
    theirs = ask(b, same);
    cr_assert_eq(memory_log_lsn(LOG), lsn, "the same place");
    cr_assert_eq(hpo_trial_id(theirs), hpo_trial_id(mine), "the same id");
    gives(HPO_ROLLED_BACK, hpo_tell(mine, HPO_COMPLETE, &value, 1));
    cr_assert_eq(state_of(a, study, hpo_trial_number(theirs)), HPO_RUNNING);
    tell(b, theirs, 3);
    close_store(a);
    close_store(b);
}

Test(store_log, a_session_found_dead_is_told_so_and_begins_anew)
{
    struct hpo_store *a = open_store(), *b = open_store();
    struct hpo_study *study = study_declared(a, "s"), *same;
    struct hpo_trial *mine = ask(a, study), *theirs;
    double value = 1, drawn = first_param(a, study, 0);

    ok(b, hpo_study_open(b, "s", &same));
    memory_log_free_slot(LOG, 0); /* all descriptors of a's process were closed, say */
    theirs = ask(b, same);
    cr_assert_eq(hpo_trial_number(theirs), 0, "the dead session's trial is given out again");
    cr_assert_eq(first_param(b, same, 0), drawn);
    gives(HPO_SESSION_LOST, hpo_tell(mine, HPO_COMPLETE, &value, 1));
    gives(HPO_SESSION_LOST, hpo_report(mine, 1, 1));
    tell(a, ask(a, study), 1);
    gives(HPO_SESSION_LOST, hpo_tell(mine, HPO_COMPLETE, &value, 1));
    tell(b, theirs, 2);
    close_store(a);
    close_store(b);
}

Test(store_log, a_new_session_on_a_dead_ones_slot_rolls_it_back_in_its_first_batch)
{
    struct hpo_store *dead = open_store(), *store;
    struct hpo_study *study = study_declared(dead, "s");
    struct hpo_history *history;
    const struct hpo_record_info *record;
    uint64_t opened = 0, rolled_back = 0;
    int i;

    for (i = 0; i < 3; i++)
        (void)ask(dead, study);
    die(dead, 0);
    store = open_store(); /* opening cleans up */
    cr_assert_eq(stat_of(store).trials_running, 0);
    cr_assert_eq(stat_of(store).sessions, 1);
    ok(store, hpo_history_open(store, 0, false, &history));
    while (hpo_history_next(history, &record) == 0) {
        if (strcmp(record->type, "SESSION_OPEN") == 0)
            opened = record->lsn;
        if (strcmp(record->type, "TRIAL_ROLLBACK") == 0) {
            cr_assert_eq(record->lsn, opened);
            rolled_back++;
        }
    }
    cr_assert_eq(rolled_back, 3);
    hpo_history_close(history);
    close_store(store);
}

/* A slot that is held by a session which the log does not know would hide its dead predecessor. */
Test(store_log, a_claim_that_comes_to_nothing_is_given_back)
{
    struct hpo_store *store, *unlucky;
    struct hpo_study *study;

    store = open_store();
    study = study_declared(store, "s");
    (void)ask(store, study);
    die(store, 0);
    memory_log_space(LOG, 2);
    unlucky = open_store(); /* finds the dead session, claims its slot, and can write nothing */
    cr_assert_eq(stat_of(unlucky).trials_running, 1);
    memory_log_space(LOG, 0);
    store = open_store();
    cr_assert_eq(stat_of(store).trials_running, 0);
    close_store(store);
    close_store(unlucky);
}

Test(store_log, many_dead_sessions_are_cleaned_up_at_once)
{
    struct hpo_store *store, *dead[5];
    struct hpo_study *study;
    int i, k;

    for (i = 0; i < 5; i++) {
        dead[i] = open_store();
        study = study_declared(dead[i], "s");
        for (k = 0; k <= i; k++)
            (void)ask(dead[i], study);
    }
    store = open_store();
    ok(store, hpo_study_open(store, "s", &study));
    (void)ask(store, study); /* number 15 */
    cr_assert_eq(stat_of(store).trials_running, 16);
    for (i = 0; i < 5; i++)
        die(dead[i], (uint32_t)i);
    cr_assert_eq(hpo_trial_number(ask(store, study)), 0);
    cr_assert_eq(stat_of(store).trials_running, 2);
    cr_assert_eq(stat_of(store).sessions, 1);
    close_store(store);
}

Test(store_log, when_nobody_can_tell_the_handle_is_read_only)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_trial *trial = ask(store, study), *other;
    double value = 1;

    memory_log_break(LOG);
    gives(HPO_UNKNOWN, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    gives(HPO_UNKNOWN, hpo_ask(study, NULL, &other));
    cr_assert_eq(state_of(store, study, 0), HPO_COMPLETE, "reading goes on");
    cr_assert_lt(hpo_close(store), 0);
}

Test(store_log, a_full_disk_lets_trials_finish_and_begins_none)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_trial *a = ask(store, study), *b = ask(store, study), *c;
    double value = 1;

    memory_log_space(LOG, 1);
    gives(HPO_NOSPACE, hpo_ask(study, NULL, &c));
    gives(HPO_NOSPACE, hpo_enqueue(study, NULL, 0, NULL));
    gives(HPO_NOSPACE, hpo_study_attr_set(study, HPO_ATTR_USER, "k", "v", 1));
    ok(store, hpo_report(a, 1, 1));
    ok(store, hpo_tell(a, HPO_COMPLETE, &value, 1));
    memory_log_space(LOG, 2);
    gives(HPO_NOSPACE, hpo_tell(b, HPO_COMPLETE, &value, 1));
    cr_assert_eq(state_of(store, study, 1), HPO_RUNNING);
    memory_log_space(LOG, 0);
    ok(store, hpo_tell(b, HPO_COMPLETE, &value, 1));
    c = ask(store, study);
    cr_assert_eq(hpo_trial_number(c), 2);
    close_store(store);
}

/* -- a batch that breaks a rule of the log -- */

/* Replace batch `lsn` by the end of a trial that nobody knows. */
static void break_rule(uint64_t lsn)
{
    struct record record = {.type = RECORD_TRIAL_FINISH};
    struct record_buffer buffer = {.os = os_linux()};

    record.trial_finish.trial = 999;
    record.trial_finish.state = TRIAL_FAIL;
    record.trial_finish.time.kind = 0;
    cr_assert_eq(record_encode(&buffer, &record), 0);
    memory_log_replace(LOG, lsn, buffer.data, buffer.size, buffer.count);
    record_buffer_release(&buffer);
}

Test(store_log, a_batch_that_breaks_a_rule_stops_writers_and_shows_readers_the_rest)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_error_detail detail;
    struct hpo_trial_info *info;
    uint64_t lsn;

    tell(store, ask(store, study), 1);
    lsn = memory_log_lsn(LOG) + 1;
    tell(store, ask(store, study), 1);
    close_store(store);
    break_rule(lsn);
    gives(HPO_CORRUPT, hpo_open(api_path, NULL, &store));
    hpo_open_error(&detail);
    cr_assert_eq(detail.code, HPO_CORRUPT);
    cr_assert_eq(detail.lsn, lsn);
    store = open_with(HPO_OPEN_READ_ONLY);
    ok(store, hpo_study_open(store, "s", &study));
    cr_assert_eq(state_of(store, study, 0), HPO_COMPLETE);
    gives(HPO_NOT_FOUND, hpo_trial_read(study, 1, &info));
    cr_assert_eq(stat_of(store).lsn, lsn - 1);
    gives(HPO_CORRUPT, hpo_damage(store));
    close_store(store);
}

Test(store_log, a_living_handle_that_meets_one_goes_on_reading_only)
{
    struct hpo_store *a = open_store(), *b = open_store();
    struct hpo_study *study = study_declared(a, "s"), *same;
    struct hpo_trial *trial;
    double value = 1;

    ok(b, hpo_study_open(b, "s", &same));
    trial = ask(a, study);
    break_rule(memory_log_lsn(LOG)); /* b has not read it yet */
    cr_assert_eq(stat_of(b).trials, 0);
    gives(HPO_CORRUPT, hpo_ask(same, NULL, &(struct hpo_trial *){NULL}));
    gives(HPO_CORRUPT, hpo_damage(b));
    /* a has folded the batch that was there before: its place in the log is gone. */
    gives(HPO_CORRUPT, hpo_tell(trial, HPO_COMPLETE, &value, 1));
    cr_assert_eq(stat_of(a).trials, 0);
    (void)hpo_close(a);
    (void)hpo_close(b);
}

/* -- studies of other builds -- */

/* Rewrite the STUDY_CREATE in batch `lsn` as another build would have written it. */
static void rewrite_study(uint64_t lsn, const uint8_t *bytes, size_t size,
                          void (*change)(struct record_study_create *create))
{
    struct record_scratch scratch = {.os = os_linux()};
    struct record_buffer buffer = {.os = os_linux()};
    struct record record;
    size_t used;

    cr_assert_eq(record_decode(bytes, size, &scratch, &record, &used), 0);
    cr_assert_eq(record.type, RECORD_STUDY_CREATE);
    change(&record.study_create);
    cr_assert_eq(record_encode(&buffer, &record), 0);
    memory_log_replace(LOG, lsn, buffer.data, buffer.size, buffer.count);
    record_buffer_release(&buffer);
    record_scratch_release(&scratch);
}

static void other_math(struct record_study_create *create)
{
    create->math_version += 7;
}

static void newer_sampler(struct record_study_create *create)
{
    create->sampler.version += 1;
}

static void unknown_sampler(struct record_study_create *create)
{
    create->sampler.name = (struct bytes){(const uint8_t *)"future", 6};
}

static void study_of_another_build(void (*change)(struct record_study_create *create))
{
    struct hpo_store *store = open_store();
    const uint8_t *bytes;
    size_t size;

    hpo_study_free(study_declared(store, "s"));
    close_store(store);
    memory_log_batch(LOG, 2, &bytes, &size);
    rewrite_study(2, bytes, size, change);
}

Test(store_log, a_study_of_another_math_version_opens_but_goes_on_only_when_told_to)
{
    struct hpo_study_options options = {.size = sizeof(options), .allow_change = true};
    struct hpo_store *store;
    struct hpo_study *study;
    struct hpo_study_info *info;
    struct hpo_trial *trial;

    study_of_another_build(other_math);
    store = open_store();
    ok(store, hpo_study_create(store, "s", NULL, &study));
    gives(HPO_INCOMPATIBLE, hpo_ask(study, NULL, &trial));
    cr_assert(strstr(api_reason(store), "math version"), "%s", api_reason(store));
    cr_assert_eq(stat_of(store).trials, 0);
    ok(store, hpo_study_create(store, "s", &options, &study));
    tell(store, ask(store, study), 1);
    info = info_of(store, study);
    cr_assert_lt(info->math_version, 7, "the change is recorded");
    hpo_study_info_free(info);
    close_store(store);
}

Test(store_log, a_study_of_another_version_of_its_sampler_likewise)
{
    struct hpo_study_options options = {.size = sizeof(options), .allow_change = true};
    struct hpo_store *store;
    struct hpo_study *study;
    struct hpo_trial *trial;

    study_of_another_build(newer_sampler);
    store = open_store();
    ok(store, hpo_study_open(store, "s", &study));
    gives(HPO_INCOMPATIBLE, hpo_ask(study, NULL, &trial));
    ok(store, hpo_study_create(store, "s", &options, &study));
    tell(store, ask(store, study), 1);
    close_store(store);
}

Test(store_log, a_sampler_that_this_build_lacks_is_named)
{
    struct hpo_store *store;
    struct hpo_study *study;
    struct hpo_study_info *info;
    struct hpo_trial *trial;

    study_of_another_build(unknown_sampler);
    store = open_store();
    ok(store, hpo_study_open(store, "s", &study));
    info = info_of(store, study);
    cr_assert_str_eq(info->sampler, "future");
    hpo_study_info_free(info);
    gives(HPO_UNSUPPORTED, hpo_ask(study, NULL, &trial));
    cr_assert(strstr(api_reason(store), "future"));
    close_store(store);
}

/* -- memory -- */

static struct hpo_os meagre;
static long allocations, fail_at; /* the fail_at-th allocation fails, once; 0: none */
static long blocks;
static int records; /* told without failure */

static bool refuse(void)
{
    allocations++;
    return fail_at != 0 && allocations == fail_at;
}

static void *meagre_alloc(void *self, size_t size)
{
    void *block = refuse() ? NULL : os_linux()->alloc(self, size);

    blocks += block != NULL;
    return block;
}

static void *meagre_realloc(void *self, void *old, size_t size)
{
    void *block = refuse() ? NULL : os_linux()->realloc(self, old, size);

    blocks += block && !old;
    return block;
}

static void meagre_free(void *self, void *block)
{
    blocks -= block != NULL;
    os_linux()->free(self, block);
}

/* Whatever lacks memory says so, has done nothing, and works when called again. */
#define retry(call)                                                                              \
    do {                                                                                         \
        int retry_result_ = (call);                                                              \
        if (retry_result_ == HPO_NOMEM)                                                          \
            retry_result_ = (call);                                                              \
        cr_assert_eq(retry_result_, 0, "allocation %ld: " #call ": %d", fail_at, retry_result_); \
    } while (0)

/* One of everything. The digest at the end goes to `digest`. */
static void everything(uint8_t digest[16], uint64_t *trials)
{
    struct hpo_options options = {.size = sizeof(options), .os = &meagre, .program = "test"};
    struct hpo_study_options study_options = {.size = sizeof(study_options),
                                              .has_seed = true,
                                              .params = api_space,
                                              .param_count = API_SPACE_COUNT};
    const struct hpo_distribution unit = {.kind = HPO_FLOAT, .high = 1};
    struct hpo_stat stat = {.size = sizeof(stat)};
    struct hpo_store *store;
    struct hpo_study *study, *other;
    struct hpo_trial *trial;
    struct hpo_study_info *study_info;
    struct hpo_trial_info *info;
    struct hpo_cursor *cursor;
    const struct hpo_trial_info *next;
    struct hpo_history *history;
    const struct hpo_record_info *record;
    uint64_t *front, number;
    size_t count;
    double value = 2;
    void *out;
    int i, err, told = 0;

    retry(hpo_open(api_path, &options, &store));
    retry(hpo_study_create(store, "s", &study_options, &study));
    retry(hpo_enqueue(study, &(struct hpo_fixed){"x", 0.5, &unit}, 1, NULL));
    retry(hpo_study_attr_set(study, HPO_ATTR_USER, "k", "v", 1));
    retry(hpo_study_attr_get(study, HPO_ATTR_USER, "k", &out, &count));
    hpo_free(out);
    for (i = 0; i < 3; i++) {
        retry(hpo_ask(study, NULL, &trial));
        retry(hpo_suggest_float(trial, "x", 0, 1, 0, &value));
        retry(hpo_report(trial, 1, i));
        retry(hpo_trial_attr_set(trial, HPO_ATTR_USER, "k", "v", 1));
        retry(hpo_tell(trial, HPO_COMPLETE, &value, 1));
        hpo_trial_free(trial);
    }
    retry(hpo_study_open(store, "s", &other));
    retry(hpo_study_info(other, &study_info));
    hpo_study_info_free(study_info);
    retry(hpo_trial_read(other, 1, &info));
    cr_assert_eq(info->param_count, API_SPACE_COUNT + 1);
    hpo_trial_info_free(info);
    retry(hpo_trial_list(other, 0, &cursor));
    for (i = 0; i < 3; i++)
        retry(hpo_cursor_next_trial(cursor, &next));
    hpo_cursor_free(cursor);
    retry(hpo_best(other, &number));
    retry(hpo_pareto(other, &front, &count));
    hpo_free(front);
    retry(hpo_history_open(store, 0, true, &history));
    do {
        err = hpo_history_next(history, &record);
        told += err == 0;
    } while (err == 0 || err == HPO_NOMEM);
    cr_assert_eq(err, HPO_NO_MORE);
    if (fail_at == 0)
        records = told;
    cr_assert_eq(told, records, "allocation %ld: %d records, not %d", fail_at, told, records);
    hpo_history_close(history);
    retry(hpo_stat(store, &stat));
    memcpy(digest, stat.digest, 16);
    *trials = stat.trials;
    (void)hpo_close(store);
}

Test(store_log, every_allocation_may_fail_once)
{
    uint8_t digest[16];
    uint64_t trials;
    long total, step;
    const char *scale = getenv("HPO_TEST_SCALE");

    meagre = *os_linux();
    meagre.alloc = meagre_alloc;
    meagre.realloc = meagre_realloc;
    meagre.free = meagre_free;
    everything(digest, &trials);
    cr_assert_eq(blocks, 0, "everything is freed");
    total = allocations;
    step = scale && atof(scale) < 0.05 ? 7 : 1;
    for (fail_at = 1; fail_at <= total; fail_at += step) {
        memory_log_reset();
        allocations = 0;
        everything(digest, &trials);
        cr_assert_eq(trials, 3, "allocation %ld", fail_at);
        cr_assert_eq(blocks, 0, "allocation %ld: %ld blocks are left", fail_at, blocks);
    }
    fprintf(stderr, "%ld allocations, each failed once\n", total);
}

/*
 * history: the records of the log, explained.
 */
#include "api_words.h"

TestSuite(history, .init = api_setup, .fini = api_teardown, .timeout = 60);

static const struct hpo_field *field(const struct hpo_record_info *record, const char *name)
{
    size_t i;

    for (i = 0; i < record->field_count; i++)
        if (strcmp(record->fields[i].name, name) == 0)
            return &record->fields[i];
    return NULL;
}

static uint64_t uint_of(const struct hpo_record_info *record, const char *name)
{
    const struct hpo_field *found = field(record, name);

    cr_assert(found, "%s has no field %s", record->type, name);
    cr_assert_eq(found->type, HPO_FIELD_UINT);
    return found->uint;
}

static const char *text_of(const struct hpo_record_info *record, const char *name)
{
    const struct hpo_field *found = field(record, name);

    cr_assert(found, "%s has no field %s", record->type, name);
    cr_assert_eq(found->type, HPO_FIELD_TEXT);
    return found->text;
}

/* The next record of this type. */
static const struct hpo_record_info *next_of(struct hpo_store *store, struct hpo_history *history,
                                             const char *type)
{
    const struct hpo_record_info *record;
    int err;

    do {
        err = hpo_history_next(history, &record);
        cr_assert_eq(err, 0, "no %s: %d %s", type, err, api_reason(store));
    } while (strcmp(record->type, type) != 0);
    return record;
}

Test(history, a_trial_is_told_record_by_record)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "näme");
    struct hpo_trial *trial = ask(store, study);
    struct hpo_history *history;
    const struct hpo_record_info *record;
    struct hpo_trial_info *info;
    uint64_t lsn;

    ok(store, hpo_report(trial, -3, 2.5));
    ok(store, hpo_trial_attr_set(trial, HPO_ATTR_SYSTEM, "k", "v\0w", 3));
    tell(store, trial, 0.125);
    ok(store, hpo_history_open(store, 0, true, &history));

    ok(store, hpo_history_next(history, &record));
    cr_assert_str_eq(record->type, "SESSION_OPEN");
    cr_assert_eq(record->lsn, 1);
    cr_assert_eq(record->index, 0);
    cr_assert_eq(record->session, 1);
    cr_assert_eq(record->sequence, 1);
    cr_assert(record->durable);
    cr_assert_eq(uint_of(record, "process_id"), (uint64_t)getpid());
    cr_assert_str_eq(text_of(record, "program"), "test");

    record = next_of(store, history, "STUDY_CREATE");
    cr_assert_eq(record->sequence, 2);
    cr_assert_str_eq(text_of(record, "study_name"), "näme");
    cr_assert_str_eq(text_of(record, "directions.0"), "minimize");
    cr_assert_eq(field(record, "seed_low")->type, HPO_FIELD_HEX64);
    cr_assert_eq(field(record, "seed_low")->uint, 1);
    cr_assert_str_eq(text_of(record, "sampler"), "random");
    cr_assert_str_eq(text_of(record, "params.0.name"), "lr");
    cr_assert_eq(field(record, "params.0.low")->real, 1e-5);
    cr_assert_eq(field(record, "params.1.high")->sint, 12);
    cr_assert_str_eq(text_of(record, "params.2.choices.1"), "tanh");
    cr_assert_null(field(record, "params.2.choices.2")->text, "null");

    record = next_of(store, history, "TRIAL_BEGIN");
    lsn = record->lsn;
    cr_assert_eq(record->index, 0);
    cr_assert_eq(uint_of(record, "number"), 0);
    cr_assert_eq(uint_of(record, "view"), lsn - 1);
    cr_assert_str_eq(text_of(record, "study_name"), "näme");

    ok(store, hpo_history_next(history, &record));
    cr_assert_str_eq(record->type, "DRAW");
    cr_assert_eq(record->lsn, lsn);
    cr_assert_eq(record->index, 1);
    cr_assert_eq(record->word_count, 4, "one word a parameter");
    cr_assert(record->digest_ok);
    cr_assert_eq(uint_of(record, "parts.0.slot"), 1);
    cr_assert_eq(uint_of(record, "domain"), 1);

    ok(store, hpo_history_next(history, &record));
    cr_assert_str_eq(record->type, "SUGGEST");
    cr_assert_eq(record->index, 2);
    cr_assert_eq(record->word_count, 0);
    cr_assert_str_eq(text_of(record, "values.0.name"), "lr");
    info = read_of(store, study, 0);
    cr_assert_eq(field(record, "values.0.value")->real, info->params[0].value);
    cr_assert_str_eq(text_of(record, "values.0.text"), info->params[0].text);
    hpo_trial_info_free(info);

    record = next_of(store, history, "REPORT");
    cr_assert_eq(field(record, "step")->sint, -3);
    cr_assert_eq(field(record, "value")->real, 2.5);
    record = next_of(store, history, "TRIAL_ATTR");
    cr_assert_str_eq(text_of(record, "space"), "system");
    cr_assert_eq(field(record, "value")->type, HPO_FIELD_BYTES);
    cr_assert_eq(field(record, "value")->size, 3);
    cr_assert_eq(memcmp(field(record, "value")->text, "v\0w\0", 4), 0);
    record = next_of(store, history, "TRIAL_FINISH");
    cr_assert_eq(uint_of(record, "number"), 0);
    cr_assert_str_eq(text_of(record, "state"), "complete");
    cr_assert_eq(field(record, "objectives.0")->real, 0.125);
    gives(HPO_NO_MORE, hpo_history_next(history, &record));
    hpo_history_close(history);
    hpo_history_close(NULL);
    close_store(store);
}

Test(history, it_can_be_followed)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_named(store, "s");
    struct hpo_history *history;
    const struct hpo_record_info *record;
    struct hpo_trial *trial;
    uint64_t last = stat_of(store).lsn;

    ok(store, hpo_history_open(store, last + 1, false, &history));
    gives(HPO_NO_MORE, hpo_history_next(history, &record));
    trial = ask(store, study);
    ok(store, hpo_history_next(history, &record));
    cr_assert_str_eq(record->type, "TRIAL_BEGIN");
    cr_assert_not(record->durable, "nobody has waited for it yet");
    gives(HPO_NO_MORE, hpo_history_next(history, &record));
    (void)suggest(store, trial, "x");
    ok(store, hpo_history_next(history, &record));
    cr_assert_str_eq(record->type, "PARAM_DEFINE");
    cr_assert_str_eq(text_of(record, "name"), "x");
    record = next_of(store, history, "DRAW");
    cr_assert_eq(record->word_count, 0, "words only if wanted");
    tell(store, trial, 1);
    record = next_of(store, history, "TRIAL_FINISH");
    cr_assert(record->durable);
    hpo_history_close(history);
    close_store(store);
}

Test(history, it_begins_anywhere_and_behind_a_snapshot)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_declared(store, "s");
    struct hpo_history *history;
    const struct hpo_record_info *record;
    uint64_t from, snapshot;
    int i;

    for (i = 0; i < 10; i++)
        tell(store, ask(store, study), i);
    ok(store, hpo_snapshot(store));
    snapshot = stat_of(store).snapshot_lsn;
    for (i = 0; i < 5; i++)
        tell(store, ask(store, study), i);
    for (from = 1; from <= stat_of(store).lsn; from++) {
        ok(store, hpo_history_open(store, from, true, &history));
        ok(store, hpo_history_next(history, &record));
        cr_assert_eq(record->lsn, from);
        cr_assert_eq(record->index, 0);
        while (hpo_history_next(history, &record) == 0)
            if (strcmp(record->type, "DRAW") == 0)
                cr_assert(record->digest_ok);
        hpo_history_close(history);
    }
    cr_assert_gt(snapshot, 0);
    close_store(store);
}

Test(history, what_was_rolled_back_or_deleted_keeps_its_name)
{
    struct hpo_store *store = open_store();
    struct hpo_study *study = study_named(store, "gone");
    struct hpo_history *history;
    const struct hpo_record_info *record;
    struct hpo_trial *trial = ask(store, study);

    ok(store, hpo_enqueue(study,
                          &(struct hpo_fixed){
                              "x", 0.5, &(struct hpo_distribution){.kind = HPO_FLOAT, .high = 1}},
                          1, NULL));
    ok(store, hpo_study_attr_set(study, HPO_ATTR_USER, "k", "v", 1));
    ok(store, hpo_abandon(trial));
    ok(store, hpo_study_delete(store, "gone"));
    close_store(store);
    store = open_with(HPO_OPEN_READ_ONLY);
    ok(store, hpo_history_open(store, 0, true, &history));
    record = next_of(store, history, "TRIAL_ENQUEUE");
    cr_assert_eq(uint_of(record, "number"), 1);
    cr_assert_str_eq(text_of(record, "values.0.name"), "x");
    cr_assert_eq(field(record, "values.0.value")->real, 0.5);
    record = next_of(store, history, "STUDY_ATTR");
    cr_assert_str_eq(text_of(record, "key"), "k");
    record = next_of(store, history, "TRIAL_ROLLBACK");
    cr_assert_str_eq(text_of(record, "reason"), "abandoned");
    cr_assert_eq(uint_of(record, "number"), 0);
    record = next_of(store, history, "STUDY_DELETE");
    cr_assert_str_eq(text_of(record, "study_name"), "gone");
    record = next_of(store, history, "SESSION_CLOSE");
    cr_assert_eq(uint_of(record, "closes"), 1);
    gives(HPO_NO_MORE, hpo_history_next(history, &record));
    hpo_history_close(history);
    gives(HPO_INVALID, hpo_history_open(NULL, 0, false, &history));
    gives(HPO_INVALID, hpo_history_open(store, 0, false, NULL));
    gives(HPO_INVALID, hpo_history_next(NULL, &record));
    close_store(store);
}

Test(history, a_past_store_has_a_past_history)
{
    struct hpo_store *store = open_store(), *past;
    struct hpo_study *study = study_named(store, "s");
    struct hpo_history *history;
    const struct hpo_record_info *record;
    uint64_t lsn, last = 0;

    tell(store, ask(store, study), 1);
    lsn = stat_of(store).lsn;
    tell(store, ask(store, study), 1);
    ok(NULL,
       hpo_open(api_path,
                &(struct hpo_options){
                    .size = sizeof(struct hpo_options), .flags = HPO_OPEN_READ_ONLY, .at_lsn = lsn},
                &past));
    ok(past, hpo_history_open(past, 0, false, &history));
    while (hpo_history_next(history, &record) == 0)
        last = record->lsn;
    cr_assert_eq(last, lsn);
    hpo_history_close(history);
    close_store(past);
    close_store(store);
}

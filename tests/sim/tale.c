/*
 * tale: see tale.h.
 */
#include "tale.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ (hash >> 31);
}

static void *grow(void *list, unsigned count, unsigned *room, size_t item_size)
{
    if (count < *room)
        return list;
    *room = *room ? 2 * *room : 16;
    list = realloc(list, *room * item_size);
    if (!list) {
        fputs("sim: out of memory\n", stderr);
        abort();
    }
    return list;
}

void tale_begin(struct tale *tale)
{
    memset(tale, 0, sizeof(*tale));
    tale->study_at = LEDGER_NEVER;
    tale_forget_points(tale);
}

void tale_forget_points(struct tale *tale)
{
    for (unsigned i = 0; i < TALE_TRIALS_MAX; i++)
        tale->points[i].known_at = LEDGER_NEVER;
}

void tale_free(struct tale *tale)
{
    free(tale->tells);
    free(tale->attrs);
    free(tale->queued);
    tale_begin(tale);
}

static uint64_t flat(uint64_t at, uint64_t cut)
{
    return at <= cut ? 0 : LEDGER_NEVER;
}

void tale_at(const struct tale *from, uint64_t cut, struct tale *out)
{
    tale_begin(out);
    memcpy(out->points, from->points, sizeof(out->points));
    for (unsigned i = 0; i < TALE_TRIALS_MAX; i++)
        out->points[i].known_at = flat(from->points[i].known_at, cut);
    out->next_value = from->next_value;
    out->study_at = flat(from->study_at, cut);
    for (unsigned i = 0; i < from->tell_count; i++) {
        const struct tale_tell *old = &from->tells[i];
        unsigned at;

        if (old->begun_at > cut)
            continue;
        at = tale_tell_begin(out, old->number, 0);
        out->tells[at].value = old->value;
        out->tells[at].told_at = flat(old->told_at, cut);
        out->tells[at].dead_at = flat(old->dead_at, cut);
    }
    for (unsigned i = 0; i < from->attr_count; i++) {
        const struct tale_attr *old = &from->attrs[i];
        unsigned at;

        if (old->begun_at > cut)
            continue;
        at = tale_attr_begin(out, 0);
        out->attrs[at].key = old->key;
        out->attrs[at].set_at = flat(old->set_at, cut);
    }
    for (unsigned i = 0; i < from->queued_count; i++) {
        const struct tale_queued *old = &from->queued[i];
        unsigned at;

        if (old->begun_at > cut)
            continue;
        at = tale_queue_begin(out, old->units, 0);
        out->queued[at].number = old->number;
        out->queued[at].told_at = flat(old->told_at, cut);
    }
    out->next_value = from->next_value;
}

uint64_t tale_obligations(const struct tale *tale, uint64_t cut)
{
    uint64_t sum = tale->study_at <= cut;

    for (unsigned i = 0; i < tale->tell_count; i++) {
        uint64_t value = (uint64_t)tale->tells[i].value;

        if (tale->tells[i].told_at <= cut)
            sum += mix(value, 3);
        if (tale->tells[i].dead_at <= cut)
            sum += mix(value, 4);
    }
    for (unsigned i = 0; i < tale->attr_count; i++)
        if (tale->attrs[i].set_at <= cut)
            sum += mix(tale->attrs[i].key, 5);
    for (unsigned i = 0; i < tale->queued_count; i++)
        if (tale->queued[i].told_at <= cut)
            sum += mix((uint64_t)tale->queued[i].units, 6);
    return sum;
}

unsigned tale_tell_begin(struct tale *tale, uint64_t number, uint64_t now)
{
    tale->tells = grow(tale->tells, tale->tell_count, &tale->tell_room, sizeof(*tale->tells));
    tale->tells[tale->tell_count] = (struct tale_tell){.number = number,
                                                       .value = (double)++tale->next_value,
                                                       .begun_at = now,
                                                       .told_at = LEDGER_NEVER,
                                                       .dead_at = LEDGER_NEVER};
    return tale->tell_count++;
}

unsigned tale_attr_begin(struct tale *tale, uint64_t now)
{
    tale->attrs = grow(tale->attrs, tale->attr_count, &tale->attr_room, sizeof(*tale->attrs));
    tale->attrs[tale->attr_count] =
        (struct tale_attr){.key = ++tale->next_value, .begun_at = now, .set_at = LEDGER_NEVER};
    return tale->attr_count++;
}

unsigned tale_queue_begin(struct tale *tale, double units, uint64_t now)
{
    tale->queued =
        grow(tale->queued, tale->queued_count, &tale->queued_room, sizeof(*tale->queued));
    tale->queued[tale->queued_count] =
        (struct tale_queued){.units = units, .begun_at = now, .told_at = LEDGER_NEVER};
    return tale->queued_count++;
}

bool tale_point(struct tale *tale, uint64_t number, double lr, double units, uint64_t now)
{
    if (number >= TALE_TRIALS_MAX)
        return false;
    if (tale->points[number].known_at == LEDGER_NEVER) {
        tale->points[number].known_at = now;
        tale->points[number].lr = lr;
        tale->points[number].units = units;
    }
    return tale->points[number].lr == lr && tale->points[number].units == units;
}

/* ---- comparing ---- */

struct comparison {
    struct tale *tale;
    uint64_t now;
    char *problem;               /* 256 bytes */
    bool shown[TALE_TRIALS_MAX]; /* finished */
    double values[TALE_TRIALS_MAX];
};

#define PROBLEM(comparison, ...) \
    (snprintf((comparison)->problem, 256, __VA_ARGS__), (comparison)->problem)

static struct tale_tell *find_tell(struct tale *tale, uint64_t number, double value)
{
    for (unsigned i = 0; i < tale->tell_count; i++)
        if (tale->tells[i].number == number && tale->tells[i].value == value)
            return &tale->tells[i];
    return NULL;
}

static const struct hpo_trial_param *find_param(const struct hpo_trial_info *trial,
                                                const char *name)
{
    for (size_t i = 0; i < trial->param_count; i++)
        if (strcmp(trial->params[i].name, name) == 0)
            return &trial->params[i];
    return NULL;
}

/* A trial that is there as finished: all of it must be, and somebody must have told it. */
static const char *compare_finished(struct comparison *comparison,
                                    const struct hpo_trial_info *trial)
{
    const struct hpo_trial_param *lr = find_param(trial, TALE_LR);
    const struct hpo_trial_param *units = find_param(trial, TALE_UNITS);
    const struct tale_tell *tell;

    if (trial->state != HPO_COMPLETE || trial->value_count != 1 || !lr || !units ||
        trial->report_count != 1 || trial->attr_count != 1 ||
        strcmp(trial->attrs[0].key, TALE_NOTE) != 0)
        return PROBLEM(comparison, "half: trial %" PRIu64 " lacks something of what was told",
                       trial->number);
    tell = find_tell(comparison->tale, trial->number, trial->values[0]);
    if (!tell)
        return PROBLEM(comparison, "invented: trial %" PRIu64 " has value %g, nobody told that",
                       trial->number, trial->values[0]);
    if (tell->dead_at <= comparison->now)
        return PROBLEM(comparison, "resurrected: trial %" PRIu64 " as told in vain, value %g",
                       trial->number, trial->values[0]);
    if (!tale_point(comparison->tale, trial->number, lr->value, units->value, comparison->now))
        return PROBLEM(comparison, "half: trial %" PRIu64 " has another point than before",
                       trial->number);
    if (comparison->shown[trial->number])
        return PROBLEM(comparison, "resurrected: trial %" PRIu64 " is there twice", trial->number);
    comparison->shown[trial->number] = true;
    comparison->values[trial->number] = trial->values[0];
    return NULL;
}

static const char *compare_trials(struct comparison *comparison, struct hpo_study *study)
{
    const struct hpo_trial_info *trial;
    struct hpo_cursor *cursor;
    const char *wrong = NULL;
    int err = hpo_trial_list(study, 0, &cursor);

    if (err < 0)
        return PROBLEM(comparison, "error: trials cannot be listed: %d", err);
    while (!wrong && (err = hpo_cursor_next_trial(cursor, &trial)) == 0)
        if (trial->state != HPO_RUNNING && trial->state != HPO_WAITING)
            wrong = compare_finished(comparison, trial);
    hpo_cursor_free(cursor);
    if (err < 0)
        return PROBLEM(comparison, "error: trials cannot be read: %d", err);
    return wrong;
}

static const char *compare_tells(struct comparison *comparison)
{
    for (unsigned i = 0; i < comparison->tale->tell_count; i++) {
        const struct tale_tell *tell = &comparison->tale->tells[i];

        if (tell->told_at <= comparison->now &&
            (!comparison->shown[tell->number] || comparison->values[tell->number] != tell->value))
            return PROBLEM(comparison, "lost: trial %" PRIu64 " was told with value %g",
                           tell->number, tell->value);
    }
    return NULL;
}

static const char *compare_attrs(struct comparison *comparison, struct hpo_study *study)
{
    for (unsigned i = 0; i < comparison->tale->attr_count; i++) {
        const struct tale_attr *attr = &comparison->tale->attrs[i];
        char key[32];
        void *value;
        size_t size;
        int err;

        snprintf(key, sizeof(key), "k%" PRIu64, attr->key);
        err = hpo_study_attr_get(study, HPO_ATTR_USER, key, &value, &size);
        if (err == 0) {
            bool same = size == strlen(key) && memcmp(value, key, size) == 0;

            hpo_free(value);
            if (!same)
                return PROBLEM(comparison, "half: attribute %s has another value", key);
        } else if (err != HPO_NOT_FOUND) {
            return PROBLEM(comparison, "error: attribute %s: %d", key, err);
        } else if (attr->set_at <= comparison->now) {
            return PROBLEM(comparison, "lost: attribute %s was set", key);
        }
    }
    return NULL;
}

/* A queued point waits, runs or is finished under its number. */
static const char *compare_queue(struct comparison *comparison, struct hpo_study *study)
{
    for (unsigned i = 0; i < comparison->tale->queued_count; i++) {
        const struct tale_queued *queued = &comparison->tale->queued[i];
        const struct hpo_trial_param *units;
        struct hpo_trial_info *trial;
        bool same;
        int err;

        if (queued->told_at > comparison->now)
            continue;
        err = hpo_trial_read(study, queued->number, &trial);
        if (err < 0)
            return PROBLEM(comparison, "lost: queued trial %" PRIu64 " is gone: %d", queued->number,
                           err);
        units = find_param(trial, TALE_UNITS);
        same = units && units->value == queued->units;
        hpo_trial_info_free(trial);
        if (!same)
            return PROBLEM(comparison, "half: queued trial %" PRIu64 " has another point",
                           queued->number);
    }
    return NULL;
}

static void settle(struct comparison *comparison)
{
    struct tale *tale = comparison->tale;

    for (unsigned i = 0; i < tale->tell_count; i++) {
        struct tale_tell *tell = &tale->tells[i];
        bool there =
            comparison->shown[tell->number] && comparison->values[tell->number] == tell->value;

        if (there && tell->told_at == LEDGER_NEVER)
            tell->told_at = comparison->now;
        else if (!there && tell->dead_at == LEDGER_NEVER)
            tell->dead_at = comparison->now;
    }
}

const char *tale_compare(struct tale *tale, struct hpo_study *study, uint64_t now, bool settled,
                         char problem[256])
{
    struct comparison comparison = {.tale = tale, .now = now, .problem = problem};
    const char *wrong = compare_trials(&comparison, study);

    if (!wrong)
        wrong = compare_tells(&comparison);
    if (!wrong)
        wrong = compare_attrs(&comparison, study);
    if (!wrong)
        wrong = compare_queue(&comparison, study);
    if (!wrong && settled)
        settle(&comparison);
    return wrong;
}

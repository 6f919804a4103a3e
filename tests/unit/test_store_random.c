/*
 * store_random: long random use, in which everything goes wrong that can.
 *
 * Goal: whatever callers do, right or wrong, in whatever order, while flushes fail, sessions die
 * and disks are full: nothing is appended that the fold does not accept (it would spoil the log for
 * everybody), nothing acknowledged is lost, and all handles and a fresh replay agree.
 *
 * Method: some handles on one log in memory (memory_log.h), each with studies and trials at hand;
 * a seeded generator picks calls and arguments, many of them bad. A failing run prints its seed.
 */
#include "api_words.h"
#include "memory_log.h"
#include "os.h"
#include "store.h"

#include <math.h>

#define LOG "random"

enum { ACTORS = 3, STUDIES = 3, TRIALS = 6, NUMBERS = 4096 };

struct actor {
    struct hpo_store *store;
    uint32_t slot;
    struct hpo_study *studies[STUDIES];
    struct hpo_trial *trials[TRIALS];
    unsigned owner[TRIALS]; /* study of each trial */
};

static uint64_t seed, generator;
static struct actor actors[ACTORS];
static struct hpo_store *dead[4096];
static unsigned dead_count;

/* What was acknowledged: state and value of each number of each study, by name and id. */
struct told {
    bool told;
    double value;
};
static struct told told[STUDIES][NUMBERS];
static uint64_t study_ids[STUDIES];
static unsigned counts[64]; /* results by code */
static unsigned tells;

static uint64_t draw(uint64_t n)
{
    generator ^= generator << 13;
    generator ^= generator >> 7;
    generator ^= generator << 17;
    return generator % n;
}

static void setup(void)
{
    snprintf(api_path, sizeof(api_path), LOG);
}

TestSuite(store_random, .init = setup, .timeout = 600);

/* Results that are never right, whatever was called. */
static int note(int result, const char *call, struct hpo_store *store)
{
    cr_assert(result != HPO_CORRUPT && result != HPO_IO && result != HPO_UNKNOWN &&
                  result != HPO_UNSUPPORTED && result != HPO_FORKED,
              "seed %llu: %s: %d %s", (unsigned long long)seed, call, result, api_reason(store));
    counts[result < 0 ? -result : 32 + result]++;
    return result;
}

#define call(actor, expression) note((expression), #expression, (actor)->store)

static const char *name_of(unsigned study)
{
    static const char *const names[STUDIES] = {"free", "declared", "grid"};

    return names[study];
}

static struct hpo_study_options options_of(unsigned study)
{
    static const char *const samplers[STUDIES] = {"random", "random", "qmc"};
    struct hpo_study_options options = {
        .size = sizeof(options), .has_seed = true, .seed = {5, 6}, .sampler = samplers[study]};

    if (study > 0) {
        options.params = api_space;
        options.param_count = API_SPACE_COUNT;
    }
    return options;
}

static void open_actor(struct actor *actor)
{
    struct hpo_options options = {.size = sizeof(options), .program = "actor"};

    memset(actor, 0, sizeof(*actor));
    cr_assert_eq(hpo_open(api_path, &options, &actor->store), 0, "%s", api_reason(NULL));
}

static void forget_trial(struct actor *actor, unsigned t)
{
    hpo_trial_free(actor->trials[t]);
    actor->trials[t] = NULL;
}

static struct hpo_study *any_study(struct actor *actor, unsigned *which)
{
    struct hpo_study_options options;
    struct hpo_study_info *info;
    int err;

    *which = (unsigned)draw(STUDIES);
    if (!actor->studies[*which]) {
        options = options_of(*which);
        err = call(actor, hpo_study_create(actor->store, name_of(*which), &options,
                                           &actor->studies[*which]));
        if (err < 0)
            return NULL;
        if (hpo_study_info(actor->studies[*which], &info) == 0) {
            study_ids[*which] = info->id;
            hpo_study_info_free(info);
        }
    }
    return actor->studies[*which];
}

static void ask_something(struct actor *actor)
{
    struct hpo_ask_options options = {.size = sizeof(options)};
    unsigned t = (unsigned)draw(TRIALS), which;
    struct hpo_study *study = any_study(actor, &which);

    if (!study)
        return;
    if (actor->trials[t])
        forget_trial(actor, t);
    options.detached = draw(10) == 0;
    options.total = draw(4) == 0 ? draw(200) : 0;
    actor->owner[t] = which;
    if (call(actor, draw(2) ? hpo_ask(study, NULL, &actor->trials[t])
                            : hpo_ask(study, &options, &actor->trials[t])) == HPO_NOT_FOUND) {
        hpo_study_free(study); /* deleted by somebody */
        actor->studies[which] = NULL;
    }
}

/* A parameter of a name and a distribution that may or may not fit. */
static struct hpo_distribution any_distribution(void)
{
    struct hpo_distribution distribution = {.kind = (enum hpo_distribution_kind)(draw(4))};

    switch (draw(6)) {
    case 0:
        return api_space[draw(API_SPACE_COUNT)].distribution;
    case 1:
        distribution =
            (struct hpo_distribution){.kind = HPO_FLOAT, .low = 0, .high = (double)draw(3)};
        break;
    case 2:
        distribution = (struct hpo_distribution){.kind = HPO_INT,
                                                 .low_int = (int64_t)draw(5),
                                                 .high_int = (int64_t)draw(9),
                                                 .step_int = (int64_t)draw(3)};
        break;
    case 3:
        distribution = (struct hpo_distribution){.kind = HPO_FLOAT,
                                                 .flags = HPO_LOG,
                                                 .low = (double)draw(2),
                                                 .high = 10,
                                                 .step = draw(8) == 0 ? 1 : 0};
        break;
    case 4:
        distribution = (struct hpo_distribution){
            .kind = HPO_CATEGORICAL, .choices = api_choices, .choice_count = draw(4)};
        break;
    default:
        break; /* a kind without anything */
    }
    return distribution;
}

static const char *any_name(void)
{
    static const char *const names[] = {"lr", "depth", "act", "drop", "x", "y", "z", "\xff", ""};

    return names[draw(sizeof(names) / sizeof(names[0]))];
}

static void suggest_something(struct actor *actor, unsigned t)
{
    struct hpo_distribution distribution = any_distribution();
    struct hpo_trial *trial = actor->trials[t];
    double value;

    if (draw(5) == 0)
        (void)call(actor, hpo_trial_param_set(trial, any_name(), &distribution, (double)draw(4)));
    else
        (void)call(actor, hpo_suggest(trial, any_name(), &distribution, &value));
}

static void write_something(struct actor *actor, unsigned t)
{
    static char bytes[5000];
    struct hpo_trial *trial = actor->trials[t];
    bool prune;
    void *out;
    size_t size;

    switch (draw(5)) {
    case 0:
        (void)call(actor, hpo_report(trial, (int64_t)draw(5) - 1, draw(5) ? (double)draw(9) : NAN));
        break;
    case 1:
        (void)call(actor, hpo_should_prune(trial, &prune));
        break;
    case 2:
        (void)call(actor, hpo_trial_attr_set(trial, (enum hpo_attr_space)draw(4), any_name(), bytes,
                                             draw(sizeof(bytes))));
        break;
    case 3:
        if (call(actor, hpo_trial_attr_get(trial, HPO_ATTR_USER, any_name(), &out, &size)) == 0)
            hpo_free(out);
        break;
    default:
        break;
    }
}

static void finish_something(struct actor *actor, unsigned t)
{
    struct hpo_trial *trial = actor->trials[t];
    uint64_t number = hpo_trial_number(trial);
    double values[2] = {(double)draw(1000), draw(20) ? 1 : NAN};
    unsigned which = actor->owner[t];
    struct told *entry;
    int err;

    if (draw(8) == 0) {
        (void)call(actor, hpo_abandon(trial));
    } else if (draw(8) == 0) {
        (void)call(actor, hpo_tell(trial, (enum hpo_trial_state)draw(6), values, draw(3)));
        err = hpo_tell(trial, HPO_FAIL, NULL, 0); /* whatever that was, it is over now */
        (void)note(err, "tell", actor->store);
    } else {
        err = call(actor, hpo_tell(trial, HPO_COMPLETE, values, 1));
        if (err == 0) {
            cr_assert_lt(number, NUMBERS);
            entry = &told[which][number];
            cr_assert_not(entry->told, "seed %llu: number %llu of %s was acknowledged twice",
                          (unsigned long long)seed, (unsigned long long)number, name_of(which));
            *entry = (struct told){true, values[0]};
            tells++;
        }
    }
    if (draw(3))
        forget_trial(actor, t);
}

static void read_something(struct actor *actor)
{
    struct hpo_stat stat = {.size = sizeof(stat)};
    const struct hpo_trial_info *info;
    struct hpo_cursor *cursor;
    unsigned which;
    struct hpo_study *study = any_study(actor, &which);
    uint64_t number = 0;

    if (!study || hpo_trial_list(study, 0, &cursor) != 0)
        return;
    while (hpo_cursor_next_trial(cursor, &info) == 0) {
        cr_assert_eq(info->number, number, "seed %llu", (unsigned long long)seed);
        number++;
    }
    hpo_cursor_free(cursor);
    (void)call(actor, hpo_stat(actor->store, &stat));
    (void)call(actor, hpo_best(study, &number));
}

static void about_studies(struct actor *actor)
{
    const struct hpo_fixed points[] = {{any_name(), (double)draw(3), NULL},
                                       {"x", 0.5, &api_space[3].distribution}};
    unsigned which, a, t;
    struct hpo_study *study = any_study(actor, &which);

    if (!study)
        return;
    switch (draw(4)) {
    case 0:
        (void)call(actor, hpo_enqueue(study, points, draw(3), NULL));
        break;
    case 1:
        (void)call(actor, hpo_study_attr_set(study, HPO_ATTR_USER, any_name(), "v", draw(2)));
        break;
    case 2:
        (void)call(actor, hpo_sync(actor->store));
        break;
    default:
        if (draw(20))
            break;
        if (call(actor, hpo_study_delete(actor->store, name_of(which))) == 0)
            memset(told[which], 0, sizeof(told[which]));
        for (a = 0; a < ACTORS; a++) {
            for (t = 0; t < TRIALS; t++)
                if (actors[a].trials[t] && actors[a].owner[t] == which)
                    forget_trial(&actors[a], t);
            hpo_study_free(actors[a].studies[which]);
            actors[a].studies[which] = NULL;
        }
        break;
    }
}

static uint32_t slot_of(struct actor *actor)
{
    return actor->store->session.slot;
}

/* What the world does. */
static void misfortune(struct actor *actor)
{
    switch (draw(5)) {
    case 0:
        memory_log_lose(LOG, draw(6));
        break;
    case 1:
        memory_log_space(LOG, (int)draw(3));
        break;
    case 2: /* its process dies */
        if (actor->store->session.lock)
            memory_log_free_slot(LOG, slot_of(actor));
        dead[dead_count++] = actor->store;
        open_actor(actor);
        break;
    case 3: /* somebody closed its descriptors */
        if (actor->store->session.lock)
            memory_log_free_slot(LOG, slot_of(actor));
        break;
    default:
        (void)call(actor, hpo_close(actor->store));
        open_actor(actor);
        break;
    }
}

static void step(void)
{
    struct actor *actor = &actors[draw(ACTORS)];
    unsigned t = (unsigned)draw(TRIALS);

    if (draw(150) == 0)
        misfortune(actor);
    else if (draw(12) == 0)
        memory_log_space(LOG, 0);
    else if (draw(30) == 0)
        read_something(actor);
    else if (draw(10) == 0)
        about_studies(actor);
    else if (!actor->trials[t])
        ask_something(actor);
    else if (draw(4) == 0)
        finish_something(actor, t);
    else if (draw(2))
        suggest_something(actor, t);
    else
        write_something(actor, t);
}

/* All handles agree with a fresh replay, the fold is whole, and what was acknowledged is there. */
static void check_everything(void)
{
    struct hpo_store *fresh = open_with(HPO_OPEN_READ_ONLY);
    struct hpo_stat want = stat_of(fresh), got;
    struct error_detail error = {0};
    struct hpo_trial_info *info;
    struct hpo_study *study;
    unsigned a, s, n;

    cr_assert_eq(hpo_damage(fresh), 0);
    cr_assert_eq(state_check(fresh->state, &error), 0, "seed %llu: %s", (unsigned long long)seed,
                 error.message);
    for (a = 0; a < ACTORS; a++) {
        got = stat_of(actors[a].store);
        cr_assert_eq(memcmp(got.digest, want.digest, 16), 0, "seed %llu: actor %u",
                     (unsigned long long)seed, a);
        cr_assert_eq(state_check(actors[a].store->state, &error), 0, "seed %llu: actor %u: %s",
                     (unsigned long long)seed, a, error.message);
    }
    for (s = 0; s < STUDIES; s++) {
        if (hpo_study_open(fresh, name_of(s), &study) != 0)
            continue;
        for (n = 0; n < NUMBERS; n++) {
            if (!told[s][n].told)
                continue;
            cr_assert_eq(hpo_trial_read(study, n, &info), 0, "seed %llu: trial %u of %s is lost",
                         (unsigned long long)seed, n, name_of(s));
            cr_assert_eq(info->state, HPO_COMPLETE);
            cr_assert_eq(info->values[0], told[s][n].value);
            hpo_trial_info_free(info);
        }
    }
    close_store(fresh);
}

static void run(uint64_t with_seed, unsigned steps)
{
    unsigned i;

    seed = with_seed;
    generator = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    memory_log_reset();
    memset(told, 0, sizeof(told));
    dead_count = 0;
    for (i = 0; i < ACTORS; i++)
        open_actor(&actors[i]);
    for (i = 0; i < steps; i++) {
        step();
        if (i % 500 == 499)
            check_everything();
    }
    memory_log_space(LOG, 0);
    check_everything();
    for (i = 0; i < ACTORS; i++)
        (void)hpo_close(actors[i].store);
    while (dead_count > 0)
        (void)hpo_close(dead[--dead_count]);
    memory_log_reset();
}

Test(store_random, whatever_is_called_the_log_stays_whole_and_nothing_is_lost)
{
    const char *scale = getenv("HPO_TEST_SCALE");
    unsigned runs = (unsigned)(200 * (scale ? atof(scale) : 0.1)) + 4, i;
    unsigned calls = 0, code;

    for (i = 0; i < runs; i++)
        run(1000 + i, 2500);
    for (code = 0; code < 64; code++)
        calls += counts[code];
    fprintf(stderr, "%u runs: %u calls, %u succeeded, %u trials acknowledged, all there\n", runs,
            calls, counts[32], tells);
    /* The run means something only if all of this happened. */
    cr_assert_gt(tells, 100 * runs / 4);
    cr_assert_gt(counts[-HPO_NOT_WRITTEN], 0);
    cr_assert_gt(counts[-HPO_NOSPACE], 0);
    cr_assert_gt(counts[-HPO_SESSION_LOST], 0);
    cr_assert_gt(counts[-HPO_ROLLED_BACK], 0);
    cr_assert_gt(counts[-HPO_FINISHED], 0);
    cr_assert_gt(counts[-HPO_INCOMPATIBLE], 0);
    cr_assert_gt(counts[-HPO_INVALID], 0);
}

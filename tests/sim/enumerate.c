/*
 * enumerate: see enumerate.h.
 *
 * A run gives a machine with its whole history, so every cut of it is looked at without running
 * again. An image that was seen before, with the same promises, is not looked at twice: most of the
 * runs that differ only in what happened late cost nothing for what came before.
 *
 * Which survivors: with few items every subset, with many the sets that catch most mistakes
 * (nothing, everything, each alone, each missing, every prefix and suffix of time) and some at
 * random; each tear alone and in company.
 */
#include "enumerate.h"

#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LEVELS_MAX 4
#define SUBSETS_ITEMS_MAX 10
#define RANDOM_SETS 256
#define RANDOM_SETS_LEAN 12
#define FAILURES_PRINTED 10
#define FAILURES_MAX 200
#define ID_BYTES (LEVELS_MAX * (SIM_MASK_TEXT + 24) + 64)

/* ---- the input of a run, packed into a number ---- */

enum { FAIL_ENOSPC, FAIL_EIO, FAIL_EMFILE, FAIL_KINDS };
static const int fail_errors[FAIL_KINDS] = {ENOSPC, EIO, EMFILE};

struct run_seed {
    uint64_t schedule; /* below 65,536 */
    struct sim_event event;
};

static uint64_t pack_seed(const struct run_seed *run)
{
    unsigned fail = 0;

    for (unsigned i = 0; i < FAIL_KINDS; i++)
        if (run->event.kind == SIM_FAIL_CALL && fail_errors[i] == run->event.error)
            fail = i;
    return run->schedule | (uint64_t)run->event.kind << 16 | (uint64_t)run->event.victim << 20 |
           (uint64_t)fail << 24 | run->event.step << 28;
}

static struct run_seed unpack_seed(uint64_t seed)
{
    struct run_seed run = {.schedule = seed & 0xFFFF};

    run.event.kind = (enum sim_event_kind)(seed >> 16 & 15);
    run.event.victim = seed >> 20 & 15;
    run.event.error = fail_errors[(seed >> 24 & 15) % FAIL_KINDS];
    run.event.step = seed >> 28;
    return run;
}

/* ---- where we are ---- */

struct level {
    uint64_t cut;
    struct sim_mask mask;
    bool has_mask;
};

struct search {
    const struct enumeration *how;
    struct report *report;
    uint64_t seed;
    struct level levels[LEVELS_MAX];
    unsigned depth;
    uint64_t *seen; /* open addressing; 0 is free */
    uint64_t seen_count, seen_room;
    uint64_t printed;
    const struct level *replay; /* look at these only */
    unsigned replay_depth;
};

static struct search *current_search;

static void print_id(const struct search *search, char *out, size_t size)
{
    int n = snprintf(out, size, "%s:%" PRIu64, search->how->scenario->name, search->seed);

    for (unsigned i = 0; i < search->depth; i++) {
        char mask[SIM_MASK_TEXT];

        sim_mask_print(&search->levels[i].mask, mask);
        n += snprintf(out + n, size - (size_t)n, ":%" PRIu64 ":%s", search->levels[i].cut, mask);
    }
}

const char *enumerate_place(void)
{
    static char id[ID_BYTES];

    if (!current_search)
        return "nothing";
    print_id(current_search, id, sizeof(id));
    return id;
}

static void count_failure(struct search *search, const char *reason)
{
    struct report *report = search->report;

    if (strncmp(reason, "lost", 4) == 0)
        report->lost++;
    else if (strncmp(reason, "resurrected", 11) == 0)
        report->resurrected++;
    else if (strncmp(reason, "half", 4) == 0 || strncmp(reason, "invented", 8) == 0)
        report->half++;
    else if (strncmp(reason, "false alarm", 11) == 0)
        report->false_alarms++;
    else
        report->other++;
}

static void tell_failure(struct search *search, const char *reason)
{
    char id[ID_BYTES];

    count_failure(search, reason);
    if (search->printed++ >= FAILURES_PRINTED)
        return;
    print_id(search, id, sizeof(id));
    printf("FAIL %s %s\n", id, reason);
    fflush(stdout);
}

uint64_t report_failures(const struct report *report)
{
    return report->lost + report->resurrected + report->half + report->false_alarms + report->other;
}

static bool enough(const struct search *search)
{
    uint64_t failures = report_failures(search->report);

    return failures >= (search->how->stop_at_first ? 1 : FAILURES_MAX);
}

/* ---- images seen ---- */

static bool seen_put(uint64_t *table, uint64_t room, uint64_t key)
{
    uint64_t at = key & (room - 1);

    while (table[at] && table[at] != key)
        at = (at + 1) & (room - 1);
    if (table[at])
        return false;
    table[at] = key;
    return true;
}

static bool is_new(struct search *search, uint64_t key)
{
    if (!key)
        key = 1;
    if (search->seen_count * 2 >= search->seen_room) {
        uint64_t room = search->seen_room ? 2 * search->seen_room : 1 << 16;
        uint64_t *table = calloc(room, sizeof(*table));

        if (!table)
            abort();
        for (uint64_t i = 0; i < search->seen_room; i++)
            if (search->seen[i])
                seen_put(table, room, search->seen[i]);
        free(search->seen);
        search->seen = table;
        search->seen_room = room;
    }
    if (!seen_put(search->seen, search->seen_room, key))
        return false;
    search->seen_count++;
    return true;
}

/* ---- one image ---- */

static struct sim_options image_options(const struct search *search, const struct world *world)
{
    struct run_seed run = unpack_seed(search->seed);

    return (struct sim_options){.seed = run.schedule + world->depth + 1,
                                .names_by_prefix = run.schedule & 1,
                                .steps_max = 20000,
                                .lie_dir_sync = search->how->lie_dir_sync,
                                .lie_file_sync = search->how->lie_file_sync};
}

static void look_at_cuts(struct search *search, const struct world *world, uint64_t first,
                         bool lean);

static void boot(struct search *search, const struct world *from, struct sim_cut *cut,
                 uint64_t effect, struct world *out)
{
    struct sim_options options = image_options(search, from);

    *out = (struct world){.segment_first = from->segment_first,
                          .segment_max = from->segment_max,
                          .power_was_lost = true,
                          .depth = from->depth + 1};
    out->sim = sim_cut_boot(cut, &options);
    ledger_at(&from->ledger, effect, &out->ledger);
    tale_at(&from->tale, effect, &out->tale);
}

static void world_end(struct world *world)
{
    sim_free(world->sim);
    ledger_free(&world->ledger);
    tale_free(&world->tale);
}

static const char *check(const struct search *search, struct world *image, bool look_first)
{
    const struct scenario *scenario = search->how->scenario;

    return scenario->check ? scenario->check(image, look_first) : check_image(image, look_first);
}

static bool fails(struct search *search, const struct world *from, struct sim_cut *cut,
                  const struct level *level, char reason[512])
{
    struct world image;
    const char *wrong;

    sim_cut_choose(cut, &level->mask);
    boot(search, from, cut, level->cut, &image);
    wrong = check(search, &image, true);
    if (wrong)
        snprintf(reason, 512, "%s", wrong);
    world_end(&image);
    return wrong != NULL;
}

/* Clear every bit of the mask that the failure does not need. */
static void minimise(struct search *search, const struct world *from, struct sim_cut *cut,
                     struct level *level, char reason[512])
{
    for (unsigned i = 0; i < sim_cut_items(cut); i++) {
        if (!sim_mask_has(&level->mask, i))
            continue;
        sim_mask_clear(&level->mask, i);
        if (!fails(search, from, cut, level, reason))
            sim_mask_set(&level->mask, i);
    }
}

static void describe(const struct search *search, const struct sim_cut *cut,
                     const struct sim_mask *mask)
{
    char text[200];

    printf("  survivors of %u items (%u of them tears):\n", sim_cut_items(cut),
           sim_cut_items(cut) - sim_cut_plain(cut));
    for (unsigned i = 0; i < sim_cut_items(cut); i++) {
        sim_cut_describe(cut, i, text, sizeof(text));
        printf("  %c %3u %s\n", sim_mask_has(mask, i) ? '+' : '-', i, text);
    }
    (void)search;
}

static void keep_image(const struct search *search, const struct sim *image)
{
    int err;

    if (mkdir(search->how->keep, 0777) < 0 && errno != EEXIST)
        err = -errno;
    else
        err = sim_export(image, "/", search->how->keep);
    printf("  image %s %s\n", err < 0 ? "could not be written to" : "is in", search->how->keep);
}

static void look_at_image(struct search *search, const struct world *from, struct sim_cut *cut,
                          const struct sim_mask *mask)
{
    struct level *level = &search->levels[search->depth];
    unsigned one_in = search->how->scenario->nested_one_in;
    uint64_t hash = sim_cut_choose(cut, mask);
    uint64_t key =
        hash * UINT64_C(0x9E3779B97F4A7C15) ^
        (ledger_obligations(&from->ledger, level->cut) + tale_obligations(&from->tale, level->cut));
    const char *wrong;
    struct world image;

    if (!search->replay && !is_new(search, key)) {
        search->report->known++;
        return;
    }
    level->mask = *mask;
    search->depth++;
    search->report->images++;
    search->report->images_nested += search->depth > 1;
    boot(search, from, cut, level->cut, &image);
    if (search->replay && search->depth == search->replay_depth) {
        describe(search, cut, mask);
        if (search->how->keep)
            keep_image(search, image.sim);
    }
    wrong = check(search, &image, hash % 4 == 0);
    if (wrong) {
        char reason[512];

        snprintf(reason, sizeof(reason), "%s", wrong);
        world_end(&image);
        if (!search->replay && search->printed < FAILURES_PRINTED)
            minimise(search, from, cut, level, reason);
        tell_failure(search, reason);
    } else {
        search->report->timeouts += sim_timeouts(image.sim);
        /* The third and later levels are sampled thinner: each multiplies. */
        if (search->replay)
            one_in = search->depth < search->replay_depth ? 1 : 0;
        else if (search->depth > 1)
            one_in *= 64;
        if (one_in && search->depth < LEVELS_MAX && hash / 4 % one_in == 0)
            look_at_cuts(search, &image, 0, true);
        world_end(&image);
    }
    search->depth--;
}

/* ---- sets of survivors ---- */

struct masks {
    struct search *search;
    const struct world *from;
    struct sim_cut *cut;
    unsigned plain, items;
};

static void try_mask(struct masks *masks, const struct sim_mask *mask)
{
    if (!enough(masks->search))
        look_at_image(masks->search, masks->from, masks->cut, mask);
}

static struct sim_mask range(unsigned first, unsigned end)
{
    struct sim_mask mask = {0};

    for (unsigned i = first; i < end; i++)
        sim_mask_set(&mask, i);
    return mask;
}

static void every_subset(struct masks *masks)
{
    for (uint64_t m = 0; m < UINT64_C(1) << masks->items; m++)
        try_mask(masks, &(struct sim_mask){.words = {m}});
}

static void telling_sets(struct masks *masks)
{
    struct sim_mask mask = {0};

    try_mask(masks, &mask);
    for (unsigned i = 0; i < masks->plain; i++) {
        mask = range(0, i + 1); /* prefix; the last one is everything */
        try_mask(masks, &mask);
        mask = range(i, masks->plain);
        try_mask(masks, &mask);
        mask = range(i, i + 1);
        try_mask(masks, &mask);
        mask = range(0, masks->plain);
        sim_mask_clear(&mask, i);
        try_mask(masks, &mask);
    }
    for (unsigned i = masks->plain; i < masks->items; i++) {
        mask = range(0, masks->plain);
        sim_mask_set(&mask, i);
        try_mask(masks, &mask);
    }
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Each with a density of its own; late items matter most, so half of the sets have everything up to
 * some moment. */
static void random_sets(struct masks *masks, unsigned count)
{
    const struct search *search = masks->search;
    uint64_t state = search->seed * 31 + search->levels[search->depth].cut;

    for (unsigned k = 0; k < count; k++) {
        uint64_t how = next_random(&state);
        unsigned density = 1 + (unsigned)(how >> 8) % 7;
        unsigned certain = how % 2 ? (unsigned)(how >> 16) % (masks->plain + 1) : 0;
        struct sim_mask mask = range(0, certain);

        for (unsigned i = certain; i < masks->plain; i++)
            if (next_random(&state) % 8 < density)
                sim_mask_set(&mask, i);
        for (unsigned i = masks->plain; i < masks->items; i++)
            if (next_random(&state) % 4 == 0)
                sim_mask_set(&mask, i);
        try_mask(masks, &mask);
    }
}

static void look_at_cut(struct search *search, const struct world *world, uint64_t effect,
                        bool lean)
{
    struct sim_cut *cut = sim_cut_new(world->sim, effect);
    struct masks masks = {.search = search,
                          .from = world,
                          .cut = cut,
                          .plain = sim_cut_plain(cut),
                          .items = sim_cut_items(cut)};
    double scale = search->how->scale < 1 ? search->how->scale : 1;
    unsigned subsets_max = lean || scale < 0.5 ? SUBSETS_ITEMS_MAX - 4 : SUBSETS_ITEMS_MAX;
    unsigned random = lean ? RANDOM_SETS_LEAN : RANDOM_SETS;

    search->report->cuts++;
    search->levels[search->depth].cut = effect;
    if (search->replay) {
        look_at_image(search, world, cut, &search->replay[search->depth].mask);
    } else if (masks.items <= subsets_max) {
        every_subset(&masks);
    } else {
        telling_sets(&masks);
        random_sets(&masks, (unsigned)(random * scale) + 4);
    }
    sim_cut_free(cut);
}

static void look_at_cuts(struct search *search, const struct world *world, uint64_t first,
                         bool lean)
{
    if (search->replay) {
        if (search->depth < search->replay_depth)
            look_at_cut(search, world, search->replay[search->depth].cut, lean);
        return;
    }
    for (uint64_t effect = first; effect <= sim_effects(world->sim) && !enough(search); effect++)
        look_at_cut(search, world, effect, lean);
}

/* ---- runs ---- */

/* Run the scenario; false if that alone has failed. The world is the caller's to end. */
static bool run(struct search *search, const struct run_seed *seed, struct world *world)
{
    static const char *const outcomes[] = {[SIM_DEADLOCK] = "hang: everybody waits for ever",
                                           [SIM_LIMIT] = "hang: no end is in sight"};
    const struct scenario *scenario = search->how->scenario;
    struct sim_options options = {.seed = seed->schedule,
                                  .event = seed->event,
                                  .names_by_prefix = seed->schedule & 1,
                                  .cuts_at_bytes = scenario->cuts_at_bytes,
                                  .lie_dir_sync = search->how->lie_dir_sync,
                                  .lie_file_sync = search->how->lie_file_sync};
    enum sim_outcome outcome;

    search->seed = pack_seed(seed);
    search->depth = 0;
    *world =
        (struct world){.segment_first = scenario->segment_first ? scenario->segment_first : 8192,
                       .segment_max = scenario->segment_max ? scenario->segment_max : 32768,
                       .calls_may_fail = seed->event.kind == SIM_FAIL_CALL};
    tale_begin(&world->tale);
    world->sim = sim_new(&options);
    scenario->start(world);
    outcome = sim_run(world->sim);
    search->report->runs++;
    search->report->timeouts += sim_timeouts(world->sim);
    if (outcome == SIM_FAILED)
        tell_failure(search, sim_failure(world->sim));
    else if (outcome != SIM_DONE)
        tell_failure(search, outcomes[outcome]);
    else if (sim_leaks(world->sim))
        tell_failure(search, "leak: something was not given back");
    else if ((seed->event.kind == SIM_NOTHING || seed->event.kind == SIM_STOP_BRIEFLY) &&
             sim_timeouts(world->sim))
        tell_failure(search, "wait: somebody was not woken, though nobody died");
    return outcome == SIM_DONE;
}

static void run_with_event(struct search *search, const struct run_seed *seed, uint64_t first_cut)
{
    struct world world;

    if (enough(search))
        return;
    if (run(search, seed, &world) && !search->how->scenario->cuts_at_bytes)
        look_at_cuts(search, &world, first_cut, true);
    world_end(&world);
}

static bool has_effect(enum sim_op op)
{
    return op == SIM_PWRITE || op == SIM_SYNC_DATA || op == SIM_SYNC_ALL || op == SIM_DIR_SYNC ||
           op == SIM_RENAME || op == SIM_UNLINK || op == SIM_RESIZE || op == SIM_PUNCH;
}

static bool may_be_cut_within(enum sim_op op)
{
    return op == SIM_PWRITE || op == SIM_SYNC_DATA || op == SIM_SYNC_ALL;
}

static bool is_worth_stopping(enum sim_op op)
{
    return op == SIM_PWRITE || op == SIM_SYNC_DATA || op == SIM_POINT || op == SIM_LOCK ||
           op == SIM_FUTEX_WAIT || op == SIM_RENAME;
}

/* Which error a failing call gives, -1: it is left alone. */
static int failure_of(enum sim_op op)
{
    switch (op) {
    case SIM_PWRITE:
    case SIM_RENAME:
        return ENOSPC;
    case SIM_SYNC_DATA:
    case SIM_SYNC_ALL:
    case SIM_DIR_SYNC:
    case SIM_PREAD:
        return EIO;
    case SIM_OPEN:
        return EMFILE;
    default:
        return -1;
    }
}

static void try_event(struct search *search, struct run_seed seed, enum sim_event_kind kind,
                      unsigned victim, int error, uint64_t first_cut)
{
    seed.event.kind = kind;
    seed.event.victim = victim;
    seed.event.error = error;
    run_with_event(search, &seed, first_cut);
}

/* Everything that may happen at one step of a run that went well. */
static void events_at_step(struct search *search, const struct sim *base, uint64_t schedule,
                           uint64_t step, unsigned processes)
{
    unsigned events = search->how->scenario->events;
    enum sim_op op = sim_step_op(base, step);
    unsigned runner = sim_step_process(base, step);
    struct run_seed seed = {.schedule = schedule, .event = {.step = step}};
    uint64_t cut = sim_step_effects(base, step);

    if (runner == search->how->scenario->spared)
        return;
    if ((events & EVENTS_KILL_WITHIN) && op == SIM_PWRITE)
        try_event(search, seed, SIM_KILL_WITHIN, 0, 0, cut);
    if (events & EVENTS_KILL) {
        try_event(search, seed, SIM_KILL_BEFORE, 0, 0, cut);
        if (has_effect(op))
            try_event(search, seed, SIM_KILL_AFTER, 0, 0, cut);
        if (may_be_cut_within(op))
            try_event(search, seed, SIM_KILL_WITHIN, 0, 0, cut);
        if (processes > 1 && step % 3 == 0)
            try_event(search, seed, SIM_KILL_BEFORE, runner % processes + 1, 0, cut);
    }
    if ((events & EVENTS_STOP) && is_worth_stopping(op)) {
        try_event(search, seed, SIM_STOP_BRIEFLY, 0, 0, cut);
        try_event(search, seed, SIM_STOP_LONG, 0, 0, cut);
    }
    if ((events & EVENTS_FAIL) && failure_of(op) >= 0)
        try_event(search, seed, SIM_FAIL_CALL, 0, failure_of(op), cut);
}

static void enumerate_schedule(struct search *search, uint64_t schedule, uint64_t stride)
{
    struct run_seed seed = {.schedule = schedule};
    struct world world;
    unsigned processes = 0;

    if (!run(search, &seed, &world)) {
        world_end(&world);
        return;
    }
    look_at_cuts(search, &world, 0, false);
    for (uint64_t step = 1; step <= sim_steps(world.sim); step++)
        if (sim_step_process(world.sim, step) > processes)
            processes = sim_step_process(world.sim, step);
    for (uint64_t step = 1; step <= sim_steps(world.sim) && !enough(search); step++) {
        /* Where something happens on the disk, and at the places that the engine names itself,
         * death matters most. */
        enum sim_op op = sim_step_op(world.sim, step);
        uint64_t every = has_effect(op) || op == SIM_POINT ? (stride + 3) / 4 : stride;

        if (search->how->scenario->events && (step + schedule) % every == 0)
            events_at_step(search, world.sim, schedule, step, processes);
    }
    world_end(&world);
}

/* No power loss: does everybody come through, under yet another schedule? */
static void run_only(struct search *search, uint64_t schedule)
{
    struct run_seed seed = {.schedule = schedule};
    struct world world;

    run(search, &seed, &world);
    world_end(&world);
}

static void search_end(struct search *search)
{
    free(search->seen);
    current_search = NULL;
}

void enumerate_all(const struct enumeration *how, struct report *report)
{
    struct search search = {.how = how, .report = report};
    const struct scenario *scenario = how->scenario;
    double stride = (scenario->event_stride ? scenario->event_stride : 1) / how->scale;
    unsigned schedules = (unsigned)(scenario->schedules * how->scale + 0.5);

    current_search = &search;
    if (schedules < 2)
        schedules = 2; /* both modes of names */
    for (unsigned i = 0; i < schedules && !enough(&search); i++)
        enumerate_schedule(&search, i, stride < 1 ? 1 : (uint64_t)stride);
    for (unsigned i = 0; i < scenario->more_schedules * how->scale && !enough(&search); i++)
        run_only(&search, schedules + i);
    search_end(&search);
}

/* ---- replay ---- */

static int parse_number(const char **text, uint64_t *out)
{
    char *end;

    if (**text < '0' || **text > '9')
        return -EINVAL;
    errno = 0;
    *out = strtoull(*text, &end, 10);
    *text = end;
    return errno ? -EINVAL : 0;
}

static int parse_id(const char *id, uint64_t *seed, struct level levels[LEVELS_MAX],
                    unsigned *depth)
{
    *depth = 0;
    if (parse_number(&id, seed) < 0)
        return -EINVAL;
    while (*id) {
        char mask[SIM_MASK_TEXT];
        size_t n;

        if (*depth == LEVELS_MAX || *id++ != ':' || parse_number(&id, &levels[*depth].cut) < 0 ||
            *id++ != ':')
            return -EINVAL;
        n = strcspn(id, ":");
        if (n >= sizeof(mask))
            return -EINVAL;
        memcpy(mask, id, n);
        mask[n] = '\0';
        if (sim_mask_parse(mask, &levels[*depth].mask) < 0)
            return -EINVAL;
        id += n;
        ++*depth;
    }
    return 0;
}

int enumerate_replay(const struct enumeration *how, const char *id, struct report *report)
{
    struct level levels[LEVELS_MAX] = {0};
    struct search search = {.how = how, .report = report, .replay = levels};
    struct run_seed seed;
    struct world world;
    uint64_t packed;
    int err = parse_id(id, &packed, levels, &search.replay_depth);

    if (err < 0)
        return err;
    current_search = &search;
    seed = unpack_seed(packed);
    if (run(&search, &seed, &world))
        look_at_cuts(&search, &world, 0, false);
    printf("  %" PRIu64 " steps, %" PRIu64 " effects, trace %016" PRIx64 "\n", sim_steps(world.sim),
           sim_effects(world.sim), sim_trace(world.sim));
    world_end(&world);
    search_end(&search);
    return 0;
}

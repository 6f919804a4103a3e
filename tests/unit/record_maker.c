/*
 * record_maker: see record_maker.h. Sizes are mostly small, now and then empty or large; numbers
 * are mostly small, now and then extreme.
 */
#include "record_maker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_SIZE (4u << 20)

void maker_init(struct maker *maker, uint64_t seed)
{
    maker->state = seed;
    maker->memory = malloc(MEMORY_SIZE);
    maker->used = 0;
    if (!maker->memory)
        abort();
}

void maker_release(struct maker *maker)
{
    free(maker->memory);
}

uint64_t maker_next(struct maker *maker)
{
    uint64_t z = maker->state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t maker_below(struct maker *maker, uint64_t bound)
{
    return maker_next(maker) % bound;
}

bool maker_chance(struct maker *maker, unsigned percent)
{
    return maker_below(maker, 100) < percent;
}

uint64_t maker_scaled(uint64_t count)
{
    const char *text = getenv("HPO_TEST_SCALE");
    double scale = text ? atof(text) : 0.1;
    double scaled = (double)count * scale;

    return scaled < 1 ? 1 : (uint64_t)scaled;
}

static void *take(struct maker *maker, size_t size)
{
    void *memory = maker->memory + maker->used;

    maker->used += (size + 15) & ~(size_t)15;
    if (maker->used > MEMORY_SIZE)
        abort();
    memset(memory, 0, size);
    return memory;
}

static uint64_t number(struct maker *maker)
{
    switch (maker_below(maker, 6)) {
    case 0:
        return maker_next(maker);
    case 1:
        return maker_below(maker, 2) ? UINT64_MAX : 0;
    case 2:
        return 1ull << maker_below(maker, 64);
    default:
        return maker_below(maker, 1000);
    }
}

static int64_t signed_number(struct maker *maker)
{
    return (int64_t)(maker_chance(maker, 50) ? number(maker) : 0 - number(maker));
}

static double real(struct maker *maker)
{
    uint64_t bits = maker_next(maker);
    double value;

    switch (maker_below(maker, 6)) {
    case 0:
        memcpy(&value, &bits, sizeof(value));
        return value == value ? value : 1.5;
    case 1:
        return maker_below(maker, 2) ? INFINITY : -INFINITY;
    case 2:
        return maker_below(maker, 2) ? 0.0 : -0.0;
    default:
        return (double)(int64_t)maker_below(maker, 2000) / 7 - 100;
    }
}

static double any_real(struct maker *maker)
{
    return maker_chance(maker, 10) ? NAN : real(maker);
}

static struct bytes bytes(struct maker *maker, size_t least, size_t most)
{
    struct bytes bytes;
    uint8_t *to;

    bytes.size = maker_chance(maker, 90) ? maker_below(maker, 12) : maker_below(maker, most + 1);
    if (bytes.size < least)
        bytes.size = least;
    bytes.data = to = take(maker, bytes.size + 1);
    for (size_t i = 0; i < bytes.size; i++)
        to[i] = (uint8_t)maker_next(maker);
    return bytes;
}

static struct record_time time_of(struct maker *maker)
{
    struct record_time time = {.us = signed_number(maker), .kind = (uint8_t)maker_below(maker, 3)};

    return time.kind == 2 ? (struct record_time){.kind = 255} : time;
}

static uint32_t count_of(struct maker *maker)
{
    return (uint32_t)(maker_chance(maker, 95) ? maker_below(maker, 5) : maker_below(maker, 40));
}

static void raw(struct maker *maker, uint8_t *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)maker_next(maker);
}

static struct record_choice choice(struct maker *maker)
{
    struct record_choice choice = {.type = (uint8_t)maker_below(maker, 5)};

    if (choice.type == CHOICE_BOOL)
        choice.boolean = maker_chance(maker, 50);
    else if (choice.type == CHOICE_INT)
        choice.integer = signed_number(maker);
    else if (choice.type == CHOICE_FLOAT)
        choice.real = any_real(maker);
    else if (choice.type == CHOICE_TEXT)
        choice.text = bytes(maker, 0, 100);
    return choice;
}

static struct record_distribution distribution(struct maker *maker)
{
    struct record_distribution d = {.kind = (uint8_t)(1 + maker_below(maker, 3))};
    struct record_choice *choices;

    if (d.kind != DISTRIBUTION_CATEGORICAL) {
        d.log = maker_chance(maker, 30);
        d.has_step = !d.log && maker_chance(maker, 30);
        d.low = d.log ? 1e-5 * (double)(1 + maker_below(maker, 1000))
                      : -3.5 * (double)maker_below(maker, 100);
        d.high = d.low + (double)maker_below(maker, 50);
        d.low_int = d.log ? 1 + (int64_t)maker_below(maker, 10) : -(int64_t)maker_below(maker, 100);
        d.high_int = d.low_int + (int64_t)maker_below(maker, 1000);
        d.step = 0.25 * (double)(1 + maker_below(maker, 8));
        d.step_int = 2 + (int64_t)maker_below(maker, 5);
        return d;
    }
    d.choice_count = 1 + count_of(maker);
    d.choices = choices = take(maker, d.choice_count * sizeof(*choices));
    for (uint32_t i = 0; i < d.choice_count; i++)
        choices[i] = choice(maker);
    return d;
}

static const struct record_param *params(struct maker *maker, uint32_t *count)
{
    struct record_param *list;

    *count = count_of(maker);
    list = take(maker, (*count + 1) * sizeof(*list));
    for (uint32_t i = 0; i < *count; i++) {
        list[i].name = bytes(maker, 0, 300);
        list[i].distribution = distribution(maker);
    }
    return list;
}

/* Sorted, each key once: keys begin with their place, as a digit and more digits would sort. */
static const struct record_option *options(struct maker *maker, uint32_t *count)
{
    struct record_option *list;

    *count = count_of(maker);
    list = take(maker, (*count + 1) * sizeof(*list));
    for (uint32_t i = 0; i < *count; i++) {
        uint8_t *key = take(maker, 3);

        key[0] = (uint8_t)i;
        key[1] = (uint8_t)maker_next(maker);
        list[i].key = (struct bytes){.data = key, .size = 1 + maker_below(maker, 2)};
        list[i].value = bytes(maker, 0, 2000);
    }
    return list;
}

static struct record_algorithm algorithm(struct maker *maker)
{
    struct record_algorithm algorithm = {.name = bytes(maker, 0, 50)};

    if (algorithm.name.size == 0)
        return algorithm;
    algorithm.version = (uint32_t)number(maker);
    algorithm.options = options(maker, &algorithm.option_count);
    return algorithm;
}

static const struct record_value *values(struct maker *maker, uint32_t *count)
{
    struct record_value *list;

    *count = count_of(maker);
    list = take(maker, (*count + 1) * sizeof(*list));
    for (uint32_t i = 0; i < *count; i++)
        list[i] = (struct record_value){.param = (uint32_t)number(maker),
                                        .asked = maker_chance(maker, 50),
                                        .value = real(maker)};
    return list;
}

static const double *objectives(struct maker *maker, uint32_t *count)
{
    double *list;

    *count = (uint32_t)maker_below(maker, 4);
    list = take(maker, (*count + 1) * sizeof(*list));
    for (uint32_t i = 0; i < *count; i++)
        list[i] = real(maker);
    return list;
}

static struct record_attr attr(struct maker *maker, bool whole)
{
    struct record_attr attr = {.space = (uint8_t)maker_below(maker, 3), .piece = 1, .pieces = 1};

    attr.key = bytes(maker, 0, 1000);
    attr.removed = maker_chance(maker, 10);
    if (!attr.removed)
        attr.value = bytes(maker, 0, 20000);
    if (!attr.removed && !whole && maker_chance(maker, 20)) {
        attr.pieces = (uint16_t)(1 + maker_below(maker, 65535));
        attr.piece = (uint16_t)(1 + maker_below(maker, attr.pieces));
    }
    return attr;
}

static void make_import(struct maker *maker, struct record_trial_import *r)
{
    struct record_report *reports;
    struct record_attr *attrs;

    r->study = number(maker);
    r->trial = number(maker);
    r->number = number(maker);
    r->state = (uint8_t)maker_below(maker, 5);
    r->objectives = objectives(maker, &r->objective_count);
    r->values = values(maker, &r->value_count);
    r->report_count = count_of(maker);
    r->reports = reports = take(maker, (r->report_count + 1) * sizeof(*reports));
    for (uint32_t i = 0; i < r->report_count; i++)
        reports[i] = (struct record_report){.step = signed_number(maker), .value = any_real(maker)};
    r->attr_count = count_of(maker);
    r->attrs = attrs = take(maker, (r->attr_count + 1) * sizeof(*attrs));
    for (uint32_t i = 0; i < r->attr_count; i++)
        attrs[i] = attr(maker, true);
    r->begin = time_of(maker);
    r->end = time_of(maker);
}

static void make_study_create(struct maker *maker, struct record_study_create *r)
{
    uint8_t *directions;

    r->study = number(maker);
    r->name = bytes(maker, 1, 300);
    r->direction_count = (uint8_t)maker_below(maker, 4);
    r->directions = directions = take(maker, r->direction_count + 1u);
    for (unsigned i = 0; i < r->direction_count; i++)
        directions[i] = (uint8_t)maker_below(maker, 2);
    r->seed[0] = maker_next(maker);
    r->seed[1] = maker_next(maker);
    r->math_version = (uint32_t)number(maker);
    r->window = (uint32_t)number(maker);
    r->sampler = algorithm(maker);
    r->pruner = algorithm(maker);
    r->declared = maker_chance(maker, 50);
    if (r->declared)
        r->params = params(maker, &r->param_count);
    r->time = time_of(maker);
}

static void make_study_config(struct maker *maker, struct record_study_config *r)
{
    r->study = number(maker);
    r->has_sampler = maker_chance(maker, 50);
    r->has_pruner = maker_chance(maker, 50);
    r->has_space = maker_chance(maker, 50);
    r->has_seed = maker_chance(maker, 50);
    r->has_math_version = maker_chance(maker, 50);
    if (r->has_sampler)
        r->sampler = algorithm(maker);
    if (r->has_pruner)
        r->pruner = algorithm(maker);
    if (r->has_space)
        r->params = params(maker, &r->param_count);
    if (r->has_seed)
        r->seed[0] = maker_next(maker);
    if (r->has_math_version)
        r->math_version = (uint32_t)number(maker);
}

static void make_draw(struct maker *maker, struct record_draw *r)
{
    struct record_draw_part *parts;

    r->trial = number(maker);
    r->study = number(maker);
    r->foreign = maker_chance(maker, 30);
    r->domain = (uint32_t)number(maker);
    r->instance = (uint32_t)number(maker);
    r->third = number(maker);
    r->part_count = count_of(maker);
    r->parts = parts = take(maker, (r->part_count + 1) * sizeof(*parts));
    for (uint32_t i = 0; i < r->part_count; i++)
        parts[i] = (struct record_draw_part){
            .slot = number(maker), .first = number(maker), .count = number(maker)};
    r->digest = maker_next(maker);
}

static void make_session_open(struct maker *maker, struct record_session_open *r)
{
    r->slot = (uint32_t)number(maker);
    raw(maker, r->boot_id, sizeof(r->boot_id));
    r->process_id = number(maker);
    r->time = time_of(maker);
    r->host = bytes(maker, 0, 100);
    r->program = bytes(maker, 0, 100);
}

static void make_trial_begin(struct maker *maker, struct record_trial_begin *r)
{
    r->study = number(maker);
    r->trial = number(maker);
    r->number = number(maker);
    r->view = number(maker);
    r->mode = (uint8_t)maker_below(maker, 3);
    r->detached = maker_chance(maker, 50);
    r->popped = maker_chance(maker, 50);
    r->time = time_of(maker);
}

uint8_t maker_type(unsigned index)
{
    static const uint8_t types[] = {
        RECORD_SESSION_OPEN,  RECORD_SESSION_CLOSE,  RECORD_HEARTBEAT,     RECORD_SNAPSHOT_DONE,
        RECORD_STUDY_CREATE,  RECORD_STUDY_DELETE,   RECORD_STUDY_CONFIG,  RECORD_STUDY_ATTR,
        RECORD_PARAM_DEFINE,  RECORD_SAMPLER_STATE,  RECORD_TRIAL_ENQUEUE, RECORD_TRIAL_BEGIN,
        RECORD_TRIAL_IMPORT,  RECORD_DRAW,           RECORD_SUGGEST,       RECORD_PARAM_SET,
        RECORD_REPORT,        RECORD_PRUNE_DECISION, RECORD_TRIAL_ATTR,    RECORD_TRIAL_FINISH,
        RECORD_TRIAL_ROLLBACK};

    return index < sizeof(types) ? types[index] : 0;
}

struct record maker_record(struct maker *maker, uint8_t type)
{
    struct record record = {.type = type};

    maker->used = 0;
    switch ((enum record_type)type) {
    case RECORD_SESSION_OPEN:
        make_session_open(maker, &record.session_open);
        break;
    case RECORD_SESSION_CLOSE:
        record.session_close =
            (struct record_session_close){number(maker), (uint8_t)maker_below(maker, 2)};
        break;
    case RECORD_HEARTBEAT:
        record.heartbeat.trial = number(maker);
        raw(maker, record.heartbeat.boot_id, sizeof(record.heartbeat.boot_id));
        record.heartbeat.boot_time_us = signed_number(maker);
        break;
    case RECORD_SNAPSHOT_DONE:
        record.snapshot_done.lsn = number(maker);
        record.snapshot_done.chain = maker_next(maker);
        raw(maker, record.snapshot_done.digest, sizeof(record.snapshot_done.digest));
        break;
    case RECORD_STUDY_CREATE:
        make_study_create(maker, &record.study_create);
        break;
    case RECORD_STUDY_DELETE:
        record.study_delete.study = number(maker);
        break;
    case RECORD_STUDY_CONFIG:
        make_study_config(maker, &record.study_config);
        break;
    case RECORD_STUDY_ATTR:
        record.study_attr =
            (struct record_study_attr){number(maker), number(maker), attr(maker, false)};
        break;
    case RECORD_PARAM_DEFINE:
        record.param_define.study = number(maker);
        record.param_define.param = (uint32_t)number(maker);
        record.param_define.definition.name = bytes(maker, 0, 300);
        record.param_define.definition.distribution = distribution(maker);
        break;
    case RECORD_SAMPLER_STATE:
        record.sampler_state.study = number(maker);
        record.sampler_state.trial = number(maker);
        record.sampler_state.parts = options(maker, &record.sampler_state.part_count);
        break;
    case RECORD_TRIAL_ENQUEUE:
        record.trial_enqueue.study = number(maker);
        record.trial_enqueue.trial = number(maker);
        record.trial_enqueue.number = number(maker);
        record.trial_enqueue.on_behalf = number(maker);
        record.trial_enqueue.values = values(maker, &record.trial_enqueue.value_count);
        record.trial_enqueue.time = time_of(maker);
        break;
    case RECORD_TRIAL_BEGIN:
        make_trial_begin(maker, &record.trial_begin);
        break;
    case RECORD_TRIAL_IMPORT:
        make_import(maker, &record.trial_import);
        break;
    case RECORD_DRAW:
        make_draw(maker, &record.draw);
        break;
    case RECORD_SUGGEST:
        record.suggest.trial = number(maker);
        record.suggest.joint = maker_chance(maker, 50);
        record.suggest.values = values(maker, &record.suggest.value_count);
        record.suggest.note = bytes(maker, 0, 500);
        break;
    case RECORD_PARAM_SET:
        record.param_set.trial = number(maker);
        record.param_set.value = (struct record_value){(uint32_t)number(maker), true, real(maker)};
        break;
    case RECORD_REPORT:
        record.report =
            (struct record_report_of){number(maker), {signed_number(maker), any_real(maker)}};
        break;
    case RECORD_PRUNE_DECISION:
        record.prune_decision =
            (struct record_prune_decision){number(maker), signed_number(maker), number(maker),
                                           maker_chance(maker, 50), bytes(maker, 0, 500)};
        break;
    case RECORD_TRIAL_ATTR:
        record.trial_attr = (struct record_trial_attr){number(maker), attr(maker, false)};
        break;
    case RECORD_TRIAL_FINISH:
        record.trial_finish.trial = number(maker);
        record.trial_finish.state = (uint8_t)(1 + maker_below(maker, 3));
        record.trial_finish.stop = maker_chance(maker, 10);
        record.trial_finish.objectives = objectives(maker, &record.trial_finish.objective_count);
        record.trial_finish.time = time_of(maker);
        break;
    case RECORD_TRIAL_ROLLBACK:
        record.trial_rollback = (struct record_trial_rollback){
            number(maker), number(maker), (uint8_t)(1 + maker_below(maker, 4))};
        break;
    }
    return record;
}

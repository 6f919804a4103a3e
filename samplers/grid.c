/*
 * grid: every point of the declared space once, in one random order.
 *
 * The points are the product of the parameters' values, parameters by name, the last one fastest. A
 * parameter with steps or choices has its own values; `points` gives continuous ones that many
 * places, evenly on their scale with both ends, and thins out those with more values. Trial n takes
 * the n-th point of the order, whatever others do. Beyond the last point, points whose trials were
 * rolled back or are still running are given out again, until all have ended: then there is no
 * more. A failed trial has ended its point.
 *
 * The order is one draw of the whole study (domain 9, third 0, slot 0). It is logged with every
 * suggestion that sees no other suggestion of the grid in its view: with the first, that is.
 *
 * The note is the point and the number of points, so that points of an earlier space do not count.
 */
#include "samplers/strict.h"
#include "samplers/detmath.h"
#include "samplers/options.h"
#include "samplers/sampler.h"

#include <assert.h>
#include <string.h>

#define POINTS_MAX (UINT32_C(1) << 24)
#define VALUES_MAX 10000 /* of a continuous parameter */
#define NOTE_SIZE 8

static const struct option_rule rules[] = {
    {.key = "points", .fallback = "0", .kind = OPTION_COUNT, .count_max = VALUES_MAX},
};

struct grid_configuration {
    struct sampler_configuration common;
    uint32_t points; /* places of a continuous parameter; 0: there must be none */
};

struct grid_model {
    const struct sampler_allocator *allocator;
    uint32_t *order; /* a permutation of the points */
    uint32_t count;  /* 0: not made yet */
};

static const struct grid_configuration *
grid_configuration(const struct sampler_configuration *configuration)
{
    return (const struct grid_configuration *)(const void *)configuration;
}

/* -- the values of one parameter -- */

static bool is_continuous(const struct sampler_distribution *d)
{
    return d->kind == SAMPLER_FLOAT && d->step == 0;
}

/* How many values it has by itself; beyond 2^24 only that it is too many. */
static double own_values(const struct sampler_distribution *d)
{
    if (d->kind == SAMPLER_CATEGORICAL)
        return (double)d->choice_count;
    return det_rint((d->high - d->low) / d->step) + 1;
}

/* How many are used; 0: a continuous one without `points`. */
static double used_values(const struct sampler_distribution *d, uint32_t points)
{
    double own;

    if (distribution_single(d))
        return 1;
    if (is_continuous(d))
        return points;
    own = own_values(d);
    if (points == 0 || d->kind == SAMPLER_CATEGORICAL || own < points)
        return own;
    return points;
}

/* Thinned log integers: the places rounded, each at least one above the one before, and with room
 * for those that follow. */
static double log_int_value(const struct sampler_distribution *d, uint32_t count, uint32_t index)
{
    double lo = distribution_to_scale(d, d->low), hi = distribution_to_scale(d, d->high);
    double value = d->low - 1;

    for (uint32_t i = 0; i <= index; i++) {
        double place = distribution_from_scale(d, lo + (hi - lo) * ((double)i / (count - 1)));
        double last = d->high - (double)(count - 1 - i);

        value = place > value + 1 ? place : value + 1;
        value = value < last ? value : last;
    }
    return value;
}

static double grid_value(const struct sampler_distribution *d, uint32_t count, uint32_t index)
{
    double lo, hi;

    if (count == 1 && !is_continuous(d))
        return distribution_single(d) || d->kind == SAMPLER_CATEGORICAL
                   ? d->low
                   : distribution_from_unit(d, 0.5);
    if (d->kind == SAMPLER_CATEGORICAL)
        return index;
    if (is_continuous(d)) {
        if (distribution_single(d) || (index == 0 && count > 1))
            return d->low;
        if (index == count - 1 && count > 1)
            return d->high;
        distribution_scale(d, &lo, &hi);
        return distribution_from_scale(
            d, lo + (hi - lo) * (count == 1 ? 0.5 : (double)index / (count - 1)));
    }

    /* own_values would round 2^53 + 1. */
    uint64_t last = (uint64_t)det_rint((d->high - d->low) / d->step), step = index;

    if (count < last + 1) {
        if (d->log)
            return log_int_value(d, count, index);
        /* Both below 2^14 and 2^54: the product may not fit, so as a double; rounded, it is still
         * strictly rising, since the spacing is above one. */
        step = (uint64_t)det_rint((double)last * ((double)index / (count - 1)));
    }
    if (d->kind == SAMPLER_INT)
        return (double)((int64_t)d->low + (int64_t)step * (int64_t)d->step);
    return step == last ? d->high : distribution_from_scale(d, d->low + (double)step * d->step);
}

/* -- the space -- */

/* The number of points, or 0 with the message filled. */
static uint32_t count_points(const struct space *declared, uint32_t points,
                             struct sampler_message *message)
{
    double product = 1;

    if (!declared || declared->count == 0) {
        (void)sampler_fail(message, 0, "grid needs a declared space", NULL);
        return 0;
    }
    for (uint32_t i = 0; i < declared->count; i++) {
        double used = used_values(&declared->params[i].distribution, points);

        if (used == 0) {
            (void)sampler_fail(message, 0, "grid: a continuous parameter needs the option points",
                               NULL);
            return 0;
        }
        product *= used;
        if (product > POINTS_MAX) {
            (void)sampler_fail(message, 0, "grid: more than 16777216 points", NULL);
            return 0;
        }
    }
    return (uint32_t)product;
}

static int grid_configure(const struct sampler_study *study, const struct sampler_option *options,
                          uint32_t option_count, const struct sampler_allocator *allocator,
                          struct sampler_message *message, struct sampler_configuration **out)
{
    struct sampler_configuration *made;
    int err = options_complete(rules, 1, options, option_count, sizeof(struct grid_configuration),
                               allocator, message, &made);

    if (err < 0)
        return err;

    struct grid_configuration *configuration = (struct grid_configuration *)(void *)made;

    configuration->points = (uint32_t)options_count(made, "points");
    if (count_points(study->declared, configuration->points, message) == 0) {
        configuration_free(made);
        return SAMPLER_UNSUPPORTED;
    }
    *out = made;
    return SAMPLER_OK;
}

static int grid_joint_space(const struct sampler_call *call, struct space *out)
{
    const struct space *declared = call->study->declared;

    for (uint32_t i = 0; declared && i < declared->count; i++) {
        struct sampler_param param = declared->params[i];
        int err;

        if (distribution_single(&param.distribution))
            continue;
        param.slot = DRAW_SLOT_JOINT;
        param.group = 0;
        err = space_add(out, &param);
        if (err < 0)
            return err;
    }
    space_sort(out);
    return SAMPLER_OK;
}

/* -- the order -- */

static int order_stream(const struct sampler_configuration *configuration,
                        const struct sampler_study *study, struct draw_list *draws,
                        struct stream *stream)
{
    return stream_open(stream, &study->key, DRAW_GRID, configuration->instance, 0, DRAW_SLOT_JOINT,
                       0, draws);
}

static int grid_model_new(const struct sampler_configuration *configuration,
                          const struct sampler_study *study,
                          const struct sampler_allocator *allocator, void **out)
{
    struct grid_model *model = allocator->alloc(allocator->context, sizeof(*model));

    (void)configuration;
    (void)study;
    if (!model)
        return SAMPLER_NOMEM;
    *model = (struct grid_model){.allocator = allocator};
    *out = model;
    return SAMPLER_OK;
}

/* The order depends on the space only, which a study may change while it runs. */
static int grid_model_move(const struct sampler_configuration *configuration,
                           const struct sampler_study *study, const struct sampler_view *view,
                           void *context)
{
    struct grid_model *model = context;
    const struct sampler_allocator *allocator = model->allocator;
    uint32_t count = count_points(study->declared, grid_configuration(configuration)->points, NULL);
    struct stream stream;

    (void)view;
    if (count == model->count)
        return SAMPLER_OK;
    allocator->free(allocator->context, model->order);
    model->count = 0;
    model->order = allocator->alloc(allocator->context, (count ? count : 1) * sizeof(uint32_t));
    if (!model->order)
        return SAMPLER_NOMEM;
    (void)order_stream(configuration, study, NULL, &stream); /* unrecorded: cannot fail */
    stream_permutation(&stream, model->order, count);
    model->count = count;
    return SAMPLER_OK;
}

static void grid_model_free(const struct sampler_configuration *configuration, void *context)
{
    struct grid_model *model = context;
    const struct sampler_allocator *allocator = model->allocator;

    (void)configuration;
    allocator->free(allocator->context, model->order);
    allocator->free(allocator->context, model);
}

/* -- notes -- */

static void put32(uint8_t *bytes, uint32_t word)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(word >> 8 * i);
}

static uint32_t get32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

/* The point of a trial that the grid suggested over a space of `count` points. */
static bool noted_point(const struct sampler_trial *trial, uint32_t count, uint32_t *point)
{
    if (trial->note_size != NOTE_SIZE || get32(trial->note + 4) != count)
        return false;
    *point = get32(trial->note);
    return *point < count;
}

static bool sees_a_suggestion(const struct sampler_view *view, uint32_t count)
{
    uint32_t point;

    for (size_t i = 0; i < view->ended_count; i++)
        if (noted_point(view->ended[i], count, &point))
            return true;
    for (size_t i = 0; i < view->running_count; i++)
        if (noted_point(view->running[i], count, &point))
            return true;
    return false;
}

/* -- suggestions -- */

enum point_state { FREE = 0, TAKEN = 1, ENDED = 2 };

/* The first point in order that no trial of the view has, else the first that none has ended. 0,
 * SAMPLER_NO_MORE, SAMPLER_NOMEM. */
static int point_left(const struct sampler_call *call, uint32_t *out)
{
    const struct grid_model *model = call->model;
    const struct sampler_view *view = call->view;
    uint32_t point;
    int err = SAMPLER_NO_MORE;
    uint8_t *states = call->allocator->alloc(call->allocator->context, model->count);

    if (!states)
        return SAMPLER_NOMEM;
    memset(states, FREE, model->count);
    for (size_t i = 0; i < view->running_count; i++)
        if (noted_point(view->running[i], model->count, &point))
            states[point] = TAKEN;
    for (size_t i = 0; i < view->ended_count; i++)
        if (noted_point(view->ended[i], model->count, &point))
            states[point] = ENDED;
    for (int state = FREE; state <= TAKEN && err == SAMPLER_NO_MORE; state++)
        for (uint32_t i = 0; i < model->count && err == SAMPLER_NO_MORE; i++)
            if (states[model->order[i]] == state) {
                *out = model->order[i];
                err = SAMPLER_OK;
            }
    call->allocator->free(call->allocator->context, states);
    return err;
}

/* Enter the words of the order in the draw's record. */
static int record_order(const struct sampler_call *call, uint32_t count)
{
    struct stream stream;
    int err = order_stream(call->configuration, call->study, call->draws, &stream);

    if (err < 0)
        return err;
    for (uint32_t i = count; i > 1; i--)
        (void)stream_below(&stream, i);
    return SAMPLER_OK;
}

static int grid_suggest_joint(const struct sampler_call *call, const struct space *space,
                              double *values, struct sampler_bytes *note)
{
    const struct grid_model *model = call->model;
    uint32_t points = grid_configuration(call->configuration)->points;
    uint8_t bytes[NOTE_SIZE];
    uint32_t point;
    int err;

    /* The declared space has been taken away, or has become one that has no grid. */
    if (model->count == 0)
        return SAMPLER_NO_MORE;
    if (call->own->number < model->count) {
        point = model->order[call->own->number];
    } else {
        err = point_left(call, &point);
        if (err != SAMPLER_OK)
            return err;
    }
    put32(bytes, point);
    put32(bytes + 4, model->count);
    err = sampler_bytes_append(note, bytes, sizeof(bytes));
    if (err < 0)
        return err;
    if (!sees_a_suggestion(call->view, model->count)) {
        err = record_order(call, model->count);
        if (err < 0)
            return err;
    }
    for (uint32_t i = space->count; i > 0; i--) {
        const struct sampler_distribution *d = &space->params[i - 1].distribution;
        uint32_t count = (uint32_t)used_values(d, points);

        values[i - 1] = grid_value(d, count, point % count);
        point /= count;
    }
    return SAMPLER_OK;
}

const struct sampler sampler_grid = {
    .name = "grid",
    .version = 1,
    .configure = grid_configure,
    .joint_space = grid_joint_space,
    .suggest_joint = grid_suggest_joint,
    .suggest_one = random_suggest_one,
    .model_new = grid_model_new,
    .model_move = grid_model_move,
    .model_free = grid_model_free,
};

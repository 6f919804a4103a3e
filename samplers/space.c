/*
 * space: the table of scales. Everything a sampler computes with passes through here on its way in
 * and out, so these few lines decide bits: each transform is written once, with its operations in
 * the order that docs/determinism.md gives.
 */
#include "samplers/strict.h"
#include "samplers/space.h"
#include "samplers/detmath.h"
#include "samplers/fpenv.h"

#include <assert.h>
#include <string.h>

/* The engine calls distribution_prepare and distribution_contains directly, and what they say goes
 * into the log, so these two set the environment themselves. Their work is behind a call, across
 * which it cannot be moved. */
#define OUT_OF_LINE __attribute__((noinline))

#define INTEGER_MAX 0x1p53
/* How far from the grid of its step a float may lie, in steps. */
#define GRID_TOLERANCE 1e-8

static bool is_finite(double x)
{
    return x - x == 0;
}

static bool is_integer(double x)
{
    return x >= -INTEGER_MAX && x <= INTEGER_MAX && det_floor(x) == x;
}

/* -- checking -- */

/*
 * (value - low) / step is computed with an error of up to this much: the tolerance of the grid
 * where that is larger. (Ours: a fixed 1e-8 would lower high again and again when there are more
 * than 1e8 steps.)
 */
static double grid_tolerance(const struct sampler_distribution *d)
{
    double error = (det_abs(d->low) + det_abs(d->high)) / d->step * 0x1p-51;

    return error > GRID_TOLERANCE ? error : GRID_TOLERANCE;
}

static int prepare_categorical(struct sampler_distribution *d, struct sampler_message *message)
{
    if (d->choice_count == 0)
        return sampler_fail(message, SAMPLER_INVALID,
                            "a categorical parameter needs at least one choice", NULL);
    d->low = 0;
    d->high = (double)(d->choice_count - 1);
    d->step = 0;
    d->log = false;
    return SAMPLER_OK;
}

static int prepare_int(struct sampler_distribution *d, struct sampler_message *message)
{
    if (d->step == 0)
        d->step = 1;
    if (!is_integer(d->low) || !is_integer(d->high) || !is_integer(d->step))
        return sampler_fail(message, SAMPLER_INVALID,
                            "low, high and step of an integer must be integers within 2^53", NULL);
    if (d->log && d->low < 1)
        return sampler_fail(message, SAMPLER_INVALID, "a log integer needs low >= 1", NULL);
    if (d->log && d->step != 1)
        return sampler_fail(message, SAMPLER_INVALID, "a log integer has step 1", NULL);

    int64_t low = (int64_t)d->low, high = (int64_t)d->high, step = (int64_t)d->step;

    d->high = (double)(low + (high - low) / step * step);
    return SAMPLER_OK;
}

static int prepare_float(struct sampler_distribution *d, struct sampler_message *message)
{
    if (d->log && d->low <= 0)
        return sampler_fail(message, SAMPLER_INVALID, "a log float needs low > 0", NULL);
    if (d->log && d->step != 0)
        return sampler_fail(message, SAMPLER_INVALID, "a log float has no step", NULL);
    if (d->step == 0)
        return SAMPLER_OK;
    /* Then there are fewer than 2^49 steps between the ends and zero, and doubles tell them apart.
     */
    if (!(grid_tolerance(d) < 0.25))
        return sampler_fail(message, SAMPLER_INVALID,
                            "the step is too small for a range so far from zero", NULL);

    double steps = (d->high - d->low) / d->step;

    if (det_abs(steps - det_rint(steps)) >= grid_tolerance(d))
        d->high = d->low + det_floor(steps) * d->step;
    return SAMPLER_OK;
}

static OUT_OF_LINE int prepare(struct sampler_distribution *distribution,
                               struct sampler_message *message)
{
    struct sampler_distribution d = *distribution;
    int err;

    if (d.kind == SAMPLER_CATEGORICAL) {
        err = prepare_categorical(&d, message);
        if (err == SAMPLER_OK)
            *distribution = d;
        return err;
    }
    if (d.kind != SAMPLER_FLOAT && d.kind != SAMPLER_INT)
        return sampler_fail(message, SAMPLER_INVALID,
                            "a parameter is a float, an integer or categorical", NULL);
    if (!is_finite(d.low) || !is_finite(d.high))
        return sampler_fail(message, SAMPLER_INVALID, "low and high must be finite", NULL);
    if (d.low > d.high)
        return sampler_fail(message, SAMPLER_INVALID, "low must not be above high", NULL);
    if (!(d.step >= 0) || !is_finite(d.step))
        return sampler_fail(message, SAMPLER_INVALID, "step must be positive", NULL);
    d.choice_count = 0;
    d.low += 0; /* -0 is 0: one distribution, one form */
    d.high += 0;
    d.step += 0;
    err = d.kind == SAMPLER_INT ? prepare_int(&d, message) : prepare_float(&d, message);
    if (err < 0)
        return err;

    double lo, hi;

    distribution_scale(&d, &lo, &hi);
    if (!is_finite(hi - lo))
        return sampler_fail(message, SAMPLER_INVALID, "high - low is too large", NULL);
    *distribution = d;
    return SAMPLER_OK;
}

int distribution_prepare(struct sampler_distribution *distribution, struct sampler_message *message)
{
    struct fpenv saved;
    int err;

    fpenv_enter(&saved);
    err = prepare(distribution, message);
    fpenv_leave(&saved);
    return err;
}

bool distribution_single(const struct sampler_distribution *distribution)
{
    return distribution->low == distribution->high;
}

static OUT_OF_LINE bool contains(const struct sampler_distribution *d, double value)
{
    if (!(value >= d->low && value <= d->high))
        return false;
    if (d->kind == SAMPLER_CATEGORICAL)
        return det_floor(value) == value;
    if (d->kind == SAMPLER_INT)
        return det_floor(value) == value &&
               ((int64_t)value - (int64_t)d->low) % (int64_t)d->step == 0;
    if (d->step == 0)
        return true;

    double steps = (value - d->low) / d->step;

    return det_abs(steps - det_rint(steps)) < grid_tolerance(d);
}

bool distribution_contains(const struct sampler_distribution *distribution, double value)
{
    struct fpenv saved;
    bool inside;

    fpenv_enter(&saved);
    inside = contains(distribution, value);
    fpenv_leave(&saved);
    return inside;
}

bool distribution_equal(const struct sampler_distribution *a, const struct sampler_distribution *b)
{
    return a->kind == b->kind && a->log == b->log && a->low == b->low && a->high == b->high &&
           a->step == b->step && a->choice_count == b->choice_count;
}

/* -- the scale -- */

void distribution_scale(const struct sampler_distribution *distribution, double *lo, double *hi)
{
    const struct sampler_distribution *d = distribution;

    assert(d->kind != SAMPLER_CATEGORICAL);
    if (d->log) {
        double half = d->kind == SAMPLER_INT ? 0.5 : 0;

        *lo = det_log(d->low - half);
        *hi = det_log(d->high + half);
    } else {
        *lo = d->low - d->step / 2; /* without a step: low */
        *hi = d->high + d->step / 2;
    }
}

static double clip(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* low + floor((x - low) / step + 1/2) step, the last product in integers: as a double it could miss
 * the grid near 2^53. */
static double int_from_scale(const struct sampler_distribution *d, double x)
{
    int64_t low = (int64_t)d->low, step = (int64_t)d->step;
    int64_t last = ((int64_t)d->high - low) / step;
    double place = det_floor((x - d->low) / d->step + 0.5);

    if (!(place > 0))
        return d->low;
    if (place >= (double)last)
        return d->high;
    return (double)(low + (int64_t)place * step);
}

double distribution_from_scale(const struct sampler_distribution *distribution, double x)
{
    const struct sampler_distribution *d = distribution;

    assert(d->kind != SAMPLER_CATEGORICAL);
    if (d->log) {
        double value = det_exp(x);

        return clip(d->kind == SAMPLER_INT ? det_rint(value) : value, d->low, d->high);
    }
    if (d->kind == SAMPLER_INT)
        return int_from_scale(d, x);
    if (d->step != 0)
        x = d->low + det_rint((x - d->low) / d->step) * d->step;
    return clip(x, d->low, d->high);
}

double distribution_to_scale(const struct sampler_distribution *distribution, double value)
{
    assert(distribution->kind != SAMPLER_CATEGORICAL);
    return distribution->log ? det_log(value) : value;
}

/* -- the unit form -- */

double distribution_from_unit(const struct sampler_distribution *distribution, double u)
{
    const struct sampler_distribution *d = distribution;
    double lo, hi;

    if (d->kind == SAMPLER_CATEGORICAL)
        return clip(det_floor(u * (double)d->choice_count), 0, d->high);
    if (distribution_single(d))
        return d->low;
    distribution_scale(d, &lo, &hi);

    double value = distribution_from_scale(d, lo + (hi - lo) * u);

    /* A continuous range is half open, as in Optuna's own samplers. */
    if (d->kind == SAMPLER_FLOAT && d->step == 0 && value >= d->high)
        value = det_next_below(d->high);
    return value;
}

/* 0 where the scale has no width: two doubles so close that their logarithms are one. */
static double unit_of(double x, double lo, double hi)
{
    return hi > lo ? clip((x - lo) / (hi - lo), 0, 1) : 0;
}

double distribution_to_unit(const struct sampler_distribution *distribution, double value)
{
    double lo, hi;

    if (distribution->kind == SAMPLER_CATEGORICAL)
        return (value + 0.5) / (double)distribution->choice_count;
    distribution_scale(distribution, &lo, &hi);
    return unit_of(distribution_to_scale(distribution, value), lo, hi);
}

double distribution_to_unit_whole(const struct sampler_distribution *distribution, double value)
{
    double lo = distribution_to_scale(distribution, distribution->low);
    double hi = distribution_to_scale(distribution, distribution->high);

    return unit_of(distribution_to_scale(distribution, value), lo, hi);
}

/* -- parameters -- */

int sampler_param_compare_name(const struct sampler_param *a, const struct sampler_param *b)
{
    size_t common = a->name_size < b->name_size ? a->name_size : b->name_size;
    int order = common > 0 ? memcmp(a->name, b->name, common) : 0;

    if (order != 0)
        return order;
    return (a->name_size > b->name_size) - (a->name_size < b->name_size);
}

int space_add(struct space *space, const struct sampler_param *param)
{
    if (space->count == space->capacity) {
        const struct sampler_allocator *allocator = space->allocator;
        uint32_t capacity = space->capacity ? 2 * space->capacity : 16;
        struct sampler_param *params =
            allocator->realloc(allocator->context, space->params, capacity * sizeof(*params));

        if (!params)
            return SAMPLER_NOMEM;
        space->params = params;
        space->capacity = capacity;
    }
    space->params[space->count++] = *param;
    return SAMPLER_OK;
}

static bool goes_before(const struct sampler_param *a, const struct sampler_param *b)
{
    if (a->group != b->group)
        return a->group < b->group;
    return sampler_param_compare_name(a, b) < 0;
}

/* Insertion: spaces are small, mostly sorted already, and equal names cannot be. */
void space_sort(struct space *space)
{
    for (uint32_t i = 1; i < space->count; i++) {
        struct sampler_param held = space->params[i];
        uint32_t place = i;

        while (place > 0 && goes_before(&held, &space->params[place - 1])) {
            space->params[place] = space->params[place - 1];
            place--;
        }
        space->params[place] = held;
    }
}

void space_clear(struct space *space)
{
    space->count = 0;
}

void space_release(struct space *space)
{
    if (space->params)
        space->allocator->free(space->allocator->context, space->params);
    space->params = NULL;
    space->count = 0;
    space->capacity = 0;
}

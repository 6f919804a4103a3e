/*
 * pruner_percentile: a trial stops when its best report so far is worse than that percentile of
 * what the complete trials reported at the same step. median is the one with 50. And threshold,
 * which shares the rule about intervals: a report outside of two fixed bounds stops the trial.
 */
#include "samplers/strict.h"
#include "samplers/detmath.h"
#include "samplers/options.h"
#include "samplers/pruner_reports.h"

#include <assert.h>
#include <string.h>

#define STEPS_MAX (UINT64_C(1) << 53)
#define NONE "none"

#define RULE_INTERVAL                                                             \
    {                                                                             \
        .key = "interval", .fallback = "1", .kind = OPTION_COUNT, .count_min = 1, \
        .count_max = STEPS_MAX                                                    \
    }
#define RULE_N_MIN                                                             \
    {                                                                          \
        .key = "n_min", .fallback = "1", .kind = OPTION_COUNT, .count_min = 1, \
        .count_max = UINT32_MAX                                                \
    }
#define RULE_N_STARTUP                                                                     \
    {                                                                                      \
        .key = "n_startup", .fallback = "5", .kind = OPTION_COUNT, .count_max = UINT32_MAX \
    }
#define RULE_WARMUP                                                                    \
    {                                                                                  \
        .key = "warmup", .fallback = "0", .kind = OPTION_COUNT, .count_max = STEPS_MAX \
    }

static const struct option_rule median_rules[] = {RULE_INTERVAL, RULE_N_MIN, RULE_N_STARTUP,
                                                  RULE_WARMUP};
static const struct option_rule percentile_rules[] = {
    RULE_INTERVAL,
    RULE_N_MIN,
    RULE_N_STARTUP,
    {.key = "percentile", .fallback = "25", .kind = OPTION_REAL, .real_min = 0, .real_max = 100},
    RULE_WARMUP};
static const char *const no_bound[] = {NONE, NULL};
static const struct option_rule threshold_rules[] = {RULE_INTERVAL,
                                                     {.key = "lower",
                                                      .fallback = NONE,
                                                      .kind = OPTION_REAL,
                                                      .real_min = -1e37,
                                                      .real_max = 1e37,
                                                      .words = no_bound},
                                                     {.key = "upper",
                                                      .fallback = NONE,
                                                      .kind = OPTION_REAL,
                                                      .real_min = -1e37,
                                                      .real_max = 1e37,
                                                      .words = no_bound},
                                                     RULE_WARMUP};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct percentile_configuration {
    struct sampler_configuration common;
    int64_t interval, warmup;
    uint64_t n_min, n_startup;
    double percentile;
};

struct threshold_configuration {
    struct sampler_configuration common;
    int64_t interval, warmup;
    double lower, upper;
};

static int needs_one_objective(const struct sampler_study *study, struct sampler_message *message)
{
    if (study->direction_count == 1)
        return SAMPLER_OK;
    return sampler_fail(message, SAMPLER_UNSUPPORTED, "pruners need exactly one objective", NULL);
}

/* -- percentile, median -- */

static int configure(const struct option_rule *rules, uint32_t rule_count,
                     const struct sampler_study *study, const struct sampler_option *options,
                     uint32_t option_count, const struct sampler_allocator *allocator,
                     struct sampler_message *message, struct sampler_configuration **out)
{
    int err = needs_one_objective(study, message);

    if (err == SAMPLER_OK)
        err = options_complete(rules, rule_count, options, option_count,
                               sizeof(struct percentile_configuration), allocator, message, out);
    if (err == SAMPLER_OK) {
        struct percentile_configuration *made = (struct percentile_configuration *)(void *)*out;

        made->interval = (int64_t)options_count(*out, "interval");
        made->warmup = (int64_t)options_count(*out, "warmup");
        made->n_min = options_count(*out, "n_min");
        made->n_startup = options_count(*out, "n_startup");
        made->percentile = rules == percentile_rules ? options_real(*out, "percentile") : 50;
    }
    return err;
}

static int median_configure(const struct sampler_study *study, const struct sampler_option *options,
                            uint32_t option_count, const struct sampler_allocator *allocator,
                            struct sampler_message *message, struct sampler_configuration **out)
{
    return configure(median_rules, COUNT(median_rules), study, options, option_count, allocator,
                     message, out);
}

static int percentile_configure(const struct sampler_study *study,
                                const struct sampler_option *options, uint32_t option_count,
                                const struct sampler_allocator *allocator,
                                struct sampler_message *message, struct sampler_configuration **out)
{
    return configure(percentile_rules, COUNT(percentile_rules), study, options, option_count,
                     allocator, message, out);
}

/* Heap sort: equal numbers cannot be told apart, so any sort gives the same. No NaN. */
static void sort_numbers(double *x, size_t count)
{
    for (size_t size = count, start = count / 2; size > 1;) {
        size_t at;
        double held;

        if (start > 0) {
            held = x[at = --start];
        } else {
            held = x[--size];
            x[size] = x[at = 0];
        }
        for (size_t child = 2 * at + 1; child < size; child = 2 * at + 1) {
            if (child + 1 < size && x[child] < x[child + 1])
                child++;
            if (!(held < x[child]))
                break;
            x[at] = x[child];
            at = child;
        }
        x[at] = held;
    }
}

/* Of count > 0 sorted numbers, between neighbours in proportion. */
static double percentile_of(const double *x, size_t count, double percent)
{
    double position = (double)(count - 1) * (percent / 100);
    double whole = det_floor(position), t = position - whole;
    size_t at = (size_t)whole;
    double v = x[at], w = x[at + 1 < count ? at + 1 : at];

    return t < 0.5 ? v + (w - v) * t : w - (w - v) * (1 - t);
}

static int percentile_decide(const struct sampler_call *call, bool *prune,
                             struct sampler_bytes *note)
{
    const struct percentile_configuration *configuration =
        (const struct percentile_configuration *)(const void *)call->configuration;
    const struct sampler_view *view = call->view;
    const struct sampler_trial *own = call->own;
    bool maximise = call->study->directions[0];
    double best = reports_best(own, 0, own->report_count, maximise), limit;
    int64_t step = own->reports[own->report_count - 1].step;
    uint64_t complete = 0, given = 0;
    size_t count = 0;
    double *values;

    (void)note;
    for (size_t i = 0; i < view->ended_count; i++)
        complete += view->ended[i]->state == SAMPLER_COMPLETE;
    if (complete == 0 || complete < configuration->n_startup)
        return SAMPLER_OK;
    if (!reports_first_in_interval(own, configuration->warmup, configuration->interval))
        return SAMPLER_OK;
    if (best != best) {
        *prune = true;
        return SAMPLER_OK;
    }
    values = call->allocator->alloc(call->allocator->context, complete * sizeof(*values));
    if (!values)
        return SAMPLER_NOMEM;
    for (size_t i = 0; i < view->ended_count; i++) {
        double value;

        if (view->ended[i]->state != SAMPLER_COMPLETE || !reports_at(view->ended[i], step, &value))
            continue;
        given++;
        if (value == value)
            values[count++] = value;
    }
    if (given >= configuration->n_min && count > 0) {
        sort_numbers(values, count);
        limit = percentile_of(
            values, count, maximise ? 100 - configuration->percentile : configuration->percentile);
        *prune = maximise ? best < limit : best > limit; /* never if an infinity makes it NaN */
    }
    call->allocator->free(call->allocator->context, values);
    return SAMPLER_OK;
}

/* -- threshold -- */

static double bound(const struct sampler_configuration *configuration, const char *key,
                    double otherwise)
{
    return strcmp(options_word(configuration, key), NONE) == 0 ? otherwise
                                                               : options_real(configuration, key);
}

static int threshold_configure(const struct sampler_study *study,
                               const struct sampler_option *options, uint32_t option_count,
                               const struct sampler_allocator *allocator,
                               struct sampler_message *message, struct sampler_configuration **out)
{
    struct sampler_configuration *made;
    struct threshold_configuration *threshold;
    int err = needs_one_objective(study, message);

    if (err == SAMPLER_OK)
        err = options_complete(threshold_rules, COUNT(threshold_rules), options, option_count,
                               sizeof(*threshold), allocator, message, &made);
    if (err < 0)
        return err;
    threshold = (struct threshold_configuration *)(void *)made;
    threshold->interval = (int64_t)options_count(made, "interval");
    threshold->warmup = (int64_t)options_count(made, "warmup");
    threshold->lower = bound(made, "lower", -__builtin_inf());
    threshold->upper = bound(made, "upper", __builtin_inf());
    if (threshold->lower - threshold->lower != 0 && threshold->upper - threshold->upper != 0)
        err = sampler_fail(message, SAMPLER_INVALID, "threshold needs lower or upper", NULL);
    else if (threshold->lower > threshold->upper)
        err = sampler_fail(message, SAMPLER_INVALID, "lower must not be above upper", NULL);
    if (err < 0) {
        configuration_free(made);
        return err;
    }
    *out = made;
    return SAMPLER_OK;
}

static int threshold_decide(const struct sampler_call *call, bool *prune,
                            struct sampler_bytes *note)
{
    const struct threshold_configuration *configuration =
        (const struct threshold_configuration *)(const void *)call->configuration;
    const struct sampler_trial *own = call->own;
    double value = own->reports[own->report_count - 1].value;

    (void)note;
    if (reports_first_in_interval(own, configuration->warmup, configuration->interval))
        *prune = value != value || value < configuration->lower || value > configuration->upper;
    return SAMPLER_OK;
}

const struct pruner pruner_median = {
    .name = "median",
    .version = 1,
    .configure = median_configure,
    .decide = percentile_decide,
};

const struct pruner pruner_percentile = {
    .name = "percentile",
    .version = 1,
    .configure = percentile_configure,
    .decide = percentile_decide,
};

const struct pruner pruner_threshold = {
    .name = "threshold",
    .version = 1,
    .blind = true,
    .configure = threshold_configure,
    .decide = threshold_decide,
};

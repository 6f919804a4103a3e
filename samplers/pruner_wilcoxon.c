/*
 * pruner_wilcoxon: a trial stops when it is significantly worse than the best one, paired step by
 * step (instances of a problem, folds of a validation): Wilcoxon's signed-rank test, one-sided.
 *
 * Zero differences are ranked too, half of their ranks on each side. The distribution is exact for
 * at most 50 pairs without ties and zeros, else normal.
 */
#include "samplers/strict.h"
#include "samplers/detmath.h"
#include "samplers/options.h"
#include "samplers/pruner_reports.h"
#include "samplers/pruner_wilcoxon.h"

#include <assert.h>
#include <string.h>

#define EXACT_MAX 50 /* 2^50 counts are exact in a double */

static const struct option_rule rules[] = {
    {.key = "n_startup", .fallback = "2", .kind = OPTION_COUNT, .count_max = UINT32_MAX},
    {.key = "p_threshold", .fallback = "0.1", .kind = OPTION_REAL, .real_min = 0, .real_max = 1},
};

struct wilcoxon_configuration {
    struct sampler_configuration common;
    uint64_t startup;
    double threshold;
};

static int wilcoxon_configure(const struct sampler_study *study,
                              const struct sampler_option *options, uint32_t option_count,
                              const struct sampler_allocator *allocator,
                              struct sampler_message *message, struct sampler_configuration **out)
{
    int err;

    if (study->direction_count != 1)
        return sampler_fail(message, SAMPLER_UNSUPPORTED, "pruners need exactly one objective",
                            NULL);
    err = options_complete(rules, 2, options, option_count, sizeof(struct wilcoxon_configuration),
                           allocator, message, out);
    if (err == SAMPLER_OK) {
        struct wilcoxon_configuration *made = (struct wilcoxon_configuration *)(void *)*out;

        made->startup = options_count(*out, "n_startup");
        made->threshold = options_real(*out, "p_threshold");
    }
    return err;
}

/* -- the test -- */

/* By magnitude; which of two equal ones comes first makes no difference. Heap sort. */
static void sort_magnitudes(double *d, uint32_t count)
{
    for (uint32_t size = count, start = count / 2; size > 1;) {
        uint32_t at;
        double held;

        if (start > 0) {
            held = d[at = --start];
        } else {
            held = d[--size];
            d[size] = d[at = 0];
        }
        for (uint32_t child = 2 * at + 1; child < size; child = 2 * at + 1) {
            if (child + 1 < size && det_abs(d[child]) < det_abs(d[child + 1]))
                child++;
            if (!(det_abs(held) < det_abs(d[child])))
                break;
            d[at] = d[child];
            at = child;
        }
        d[at] = held;
    }
}

/* The share of the 2^n sign patterns whose positive ranks sum to at least `sum`. */
static double exact_tail(uint32_t n, uint32_t sum)
{
    double ways[EXACT_MAX * (EXACT_MAX + 1) / 2 + 1] = {1}, tail = 0;
    uint32_t most = n * (n + 1) / 2, total = 0;

    for (uint32_t rank = 1; rank <= n; rank++) {
        total += rank;
        for (uint32_t s = total; s >= rank; s--)
            ways[s] += ways[s - rank];
    }
    for (uint32_t s = sum; s <= most; s++)
        tail += ways[s];
    for (uint32_t i = 0; i < n; i++)
        tail *= 0.5;
    return tail;
}

double wilcoxon_p(double *d, uint32_t count)
{
    double positive = 0, ties = 0, n = count, mean, variance;
    bool plain = count <= EXACT_MAX;

    assert(count > 0);
    sort_magnitudes(d, count);
    for (uint32_t from = 0, to; from < count; from = to) {
        double rank, size;

        for (to = from + 1; to < count && det_abs(d[to]) == det_abs(d[from]); to++)
            plain = false;
        size = to - from;
        rank = 0.5 * ((double)from + 1 + (double)to); /* the middle of from + 1 ... to */
        ties += size * size * size - size;
        plain = plain && d[from] != 0;
        for (uint32_t i = from; i < to; i++)
            positive += d[i] > 0 ? rank : d[i] == 0 ? 0.5 * rank : 0;
    }
    if (plain)
        return exact_tail(count, (uint32_t)positive);
    mean = n * (n + 1) * 0.25;
    variance = (n * (n + 1) * (2 * n + 1) - 0.5 * ties) / 24;
    return det_ndtr(-((positive - mean) / __builtin_sqrt(variance)));
}

/* -- decisions -- */

static bool is_feasible(const struct sampler_trial *trial)
{
    for (uint32_t i = 0; i < trial->constraint_count; i++)
        if (trial->constraints[i] > 0)
            return false;
    return true;
}

/* The best complete feasible trial, the lowest number among equal ones; NULL: none. */
static const struct sampler_trial *best_trial(const struct sampler_view *view, bool maximise)
{
    const struct sampler_trial *best = NULL;

    for (size_t i = 0; i < view->ended_count; i++) {
        const struct sampler_trial *trial = view->ended[i];
        double value;

        if (trial->state != SAMPLER_COMPLETE || !is_feasible(trial))
            continue;
        value = trial->objectives[0];
        if (!best || (maximise ? value > best->objectives[0] : value < best->objectives[0]) ||
            (value == best->objectives[0] && trial->number < best->number))
            best = trial;
    }
    return best;
}

/* The mean of all reports, in order of step; *finite becomes false if one is not. */
static double mean_of(const struct sampler_trial *trial, bool *finite)
{
    double sum = 0;

    for (uint32_t i = 0; i < trial->report_count; i++) {
        double value = trial->reports[i].value;

        *finite = *finite && value - value == 0;
        sum += value;
    }
    return sum / trial->report_count;
}

static int wilcoxon_decide(const struct sampler_call *call, bool *prune, struct sampler_bytes *note)
{
    const struct wilcoxon_configuration *configuration =
        (const struct wilcoxon_configuration *)(const void *)call->configuration;
    bool maximise = call->study->directions[0], finite = true, mean_is_worse;
    const struct sampler_trial *own = call->own, *best = best_trial(call->view, maximise);
    double own_mean, best_mean, *d;
    uint32_t pairs = 0;

    (void)note;
    if (!best || best->report_count == 0)
        return SAMPLER_OK;
    own_mean = mean_of(own, &finite);
    best_mean = mean_of(best, &finite);
    if (!finite)
        return SAMPLER_OK;
    d = call->allocator->alloc(call->allocator->context, own->report_count * sizeof(*d));
    if (!d)
        return SAMPLER_NOMEM;
    for (uint32_t i = 0; i < own->report_count; i++) {
        double value;

        if (!reports_at(best, own->reports[i].step, &value))
            continue;
        d[pairs] = maximise ? value - own->reports[i].value : own->reports[i].value - value;
        pairs++;
    }
    mean_is_worse = maximise ? own_mean < best_mean : own_mean > best_mean;
    if (pairs >= 2 && pairs >= configuration->startup && mean_is_worse)
        *prune = wilcoxon_p(d, pairs) < configuration->threshold;
    call->allocator->free(call->allocator->context, d);
    return SAMPLER_OK;
}

const struct pruner pruner_wilcoxon = {
    .name = "wilcoxon",
    .version = 1,
    .configure = wilcoxon_configure,
    .decide = wilcoxon_decide,
};

/*
 * pruner_reports: the small questions.
 */
#include "samplers/strict.h"
#include "samplers/pruner_reports.h"

#include <assert.h>

bool reports_first_in_interval(const struct sampler_trial *trial, int64_t warmup, int64_t interval)
{
    uint32_t count = trial->report_count;
    int64_t step, start;

    assert(warmup >= 0 && interval > 0);
    if (count == 0 || trial->reports[count - 1].step < warmup)
        return false;
    step = trial->reports[count - 1].step;
    start = step - (step - warmup) % interval;
    return count == 1 || trial->reports[count - 2].step < start;
}

double reports_best(const struct sampler_trial *trial, uint32_t from, uint32_t to, bool maximise)
{
    double best = __builtin_nan("");

    for (uint32_t i = from; i < to; i++) {
        double value = trial->reports[i].value;

        if (value == value && (best != best || (maximise ? value > best : value < best)))
            best = value;
    }
    return best;
}

bool reports_at(const struct sampler_trial *trial, int64_t step, double *value)
{
    uint32_t from = 0, to = trial->report_count;

    while (from < to) {
        uint32_t middle = from + (to - from) / 2;

        if (trial->reports[middle].step < step)
            from = middle + 1;
        else
            to = middle;
    }
    if (from == trial->report_count || trial->reports[from].step != step)
        return false;
    *value = trial->reports[from].value;
    return true;
}

bool reports_last_step(const struct sampler_view *view, int64_t *step)
{
    bool any = false;

    for (size_t i = 0; i < view->ended_count; i++) {
        const struct sampler_trial *trial = view->ended[i];

        if (trial->state != SAMPLER_COMPLETE || trial->report_count == 0)
            continue;

        int64_t last = trial->reports[trial->report_count - 1].step;

        if (!any || last > *step)
            *step = last;
        any = true;
    }
    return any;
}

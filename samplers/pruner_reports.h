/*
 * pruner_reports: what several pruners ask about reports.
 */
#ifndef HPO_SAMPLERS_PRUNER_REPORTS_H
#define HPO_SAMPLERS_PRUNER_REPORTS_H

#include "samplers/sampler.h"

/* Only the first report of each interval decides, and nothing before `warmup`. */
bool reports_first_in_interval(const struct sampler_trial *trial, int64_t warmup, int64_t interval);

/* The smallest (or largest) of reports from ... to - 1, NaN left out; NaN if there is none. */
double reports_best(const struct sampler_trial *trial, uint32_t from, uint32_t to, bool maximise);

/* The trial's report at that step. */
bool reports_at(const struct sampler_trial *trial, int64_t step, double *value);

/* The largest last step of the view's COMPLETE trials; false: none of them reported. */
bool reports_last_step(const struct sampler_view *view, int64_t *step);

#endif

/*
 * trial_out: a trial as people and programs read it.
 */
#ifndef HPO_TOOLS_TRIAL_OUT_H
#define HPO_TOOLS_TRIAL_OUT_H

#include "hpo.h"
#include "tools/writer.h"
#include "tools/text.h"

/* "running", "complete", "pruned", "fail", "waiting". Static. */
const char *trial_state_name(enum hpo_trial_state state);
/* Add the bit of a state's name to *mask; -1: there is no such state. */
int trial_state_add(const char *name, unsigned *mask);

/* One object with everything: number, state, values, params, reports, attrs, ... */
void trial_json(struct writer *json, const char *key, const struct hpo_trial_info *trial);
/* Only {"lr": 0.1, ...}. */
void trial_json_params(struct writer *json, const char *key, const struct hpo_trial_info *trial);
/* "lr=0.1 depth=3"; values with blanks are quoted. */
void trial_print_params(struct text *out, const struct hpo_trial_info *trial);
/* "0.25" or "0.25 17". */
void trial_print_values(struct text *out, const double *values, size_t count);
/* Everything, on several lines. */
void trial_print(struct text *out, const struct hpo_trial_info *trial);

#endif

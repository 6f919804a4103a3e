/*
 * compare: what two trials differ in. Pure.
 *
 * Compared are number, state, parameters, values, reports and attributes, each with their order,
 * bit for bit (all NaNs are one). Not compared is what a run may do differently and still be the
 * same: times, ids, LSNs, views, sessions.
 */
#ifndef HPO_TOOLS_COMPARE_H
#define HPO_TOOLS_COMPARE_H

#include <stdbool.h>

#include "hpo.h"
#include "tools/text.h"

struct difference {
    struct text what; /* "parameter lr", "state" */
    struct text a, b; /* what each has there */
};

/* Replaces *out if they differ. */
bool compare_trials(const struct hpo_trial_info *a, const struct hpo_trial_info *b,
                    struct difference *out);
void difference_release(struct difference *difference);

#endif

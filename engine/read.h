/*
 * read: copies of studies and trials for callers. Under the mutex, caught up; everything goes into
 * the arena, whose `failed` tells whether there was memory.
 */
#ifndef HPO_ENGINE_READ_H
#define HPO_ENGINE_READ_H

#include "store.h"

void read_study(const struct state_study *study, struct arena *arena, struct hpo_study_info *out);
void read_trial(const struct state_study *study, const struct state_trial *trial,
                struct arena *arena, struct hpo_trial_info *out);

#endif

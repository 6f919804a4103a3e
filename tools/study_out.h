/*
 * study_out: a study as programs and people read it.
 */
#ifndef HPO_TOOLS_STUDY_OUT_H
#define HPO_TOOLS_STUDY_OUT_H

#include "hpo.h"
#include "tools/writer.h"
#include "tools/text.h"

uint64_t study_finished(const struct hpo_study_info *info);
/* name, id, directions, counts. Inside an object. */
void study_json_summary(struct writer *json, const struct hpo_study_info *info);
/* What --space and the other options of hpo run would say. Inside an object. */
void study_json_setup(struct writer *json, const struct hpo_study_info *info);
/* "tpe:startup=10"; "none" if there is none. */
void study_print_algorithm(struct text *out, const char *name, const struct hpo_option *options,
                           size_t count);
/* "best 0.25 by trial 7", or the size of the Pareto front, or nothing. */
void study_print_best(struct text *out, struct hpo_study *study, const struct hpo_study_info *info);

#endif

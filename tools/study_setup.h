/*
 * study_setup: the options that make a study, shared by hpo run and hpo create.
 *
 * The same options given again open the study; other ones are refused with a diff, unless
 * --allow-change.
 */
#ifndef HPO_TOOLS_STUDY_SETUP_H
#define HPO_TOOLS_STUDY_SETUP_H

#include <argp.h>

#include "hpo.h"
#include "tools/algorithm.h"
#include "tools/searchspace.h"

struct study_setup {
    const char *name;
    enum hpo_direction *directions;
    size_t direction_count;
    struct algorithm sampler, pruner;
    struct searchspace space;
    bool has_seed, allow_change;
    uint64_t seed[2];
    uint64_t window;
};

/* Its input is a struct study_setup. */
extern const struct argp study_setup_argp;

/* Open the study, or make it. 0 or an exit code, said. `exclusive`: it must not exist yet. */
int study_setup_open(struct hpo_store *store, const struct study_setup *setup, bool exclusive,
                     struct hpo_study **out);
void study_setup_release(struct study_setup *setup);

#endif

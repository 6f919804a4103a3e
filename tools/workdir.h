/*
 * workdir: a directory of its own for every attempt of a trial.
 *
 *     search.hpo.trials/STUDY/.hpo-run     whose directory this is: store and study
 *     search.hpo.trials/STUDY/12/          HPO_TRIAL_DIR of trial 12
 *
 * An attempt that was rolled back never happened, so the next one finds the directory at the same
 * path, empty. Only what the marker shows to be ours is ever removed: a directory of another store
 * (somebody deleted the store and began anew) is moved aside, one without marker is refused.
 */
#ifndef HPO_TOOLS_WORKDIR_H
#define HPO_TOOLS_WORKDIR_H

#include <stdint.h>

#include "tools/text.h"

struct workdir {
    char *path; /* absolute, of the study */
};

/* What the marker says. */
struct workdir_owner {
    uint8_t store[16]; /* uuid */
    uint64_t study;    /* id */
};

/* Make or find the study's directory under `parent` (made if only its last part is missing). 0, 1
 * if an old directory was moved aside (`note` says so), or -1 with one line in `note`. */
int workdir_open(struct workdir *workdir, const char *parent, const char *study,
                 const struct workdir_owner *owner, struct text *note);
void workdir_release(struct workdir *workdir);

/* A fresh, empty directory for a trial; its path is appended to `out`. 0 or a negative errno. */
int workdir_make_trial(const struct workdir *workdir, uint64_t number, struct text *out);
/* Remove a directory and all in it. 0 or a negative errno. */
int workdir_remove(const char *path);

/* The study's name as one harmless component of a path. */
void workdir_component(struct text *out, const char *study, uint64_t id);

#endif

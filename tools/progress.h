/*
 * progress: one line on a terminal, redrawn; the summary at the end.
 */
#ifndef HPO_TOOLS_PROGRESS_H
#define HPO_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "hpo.h"

struct progress {
    bool enabled;
    bool shown; /* the line stands there now */
    int64_t started_ms, drawn_ms;
    bool has_start;
    uint64_t done_at_start;
};

/* Draw the line if it is due (or `now_please`); `note` is a few words at its end, or NULL. */
void progress_draw(struct progress *progress, struct hpo_study *study, uint64_t total,
                   const char *note, bool now_please);
/* Take the line away. */
void progress_clear(struct progress *progress);
/* "100 of 100 trials finished: 97 complete, 3 failed; best 0.1 by trial 7", said. */
void progress_summary(struct hpo_study *study, uint64_t total, const char *ending);

#endif

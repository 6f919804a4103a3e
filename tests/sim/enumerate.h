/*
 * enumerate: run a scenario, cut power after every effect, look at everything that may have
 * survived.
 *
 * One input is (scenario, seed, cut, mask): the seed holds the schedule and what happens to whom
 * (run_seed), the cut is the number of the last effect that took place, the mask chooses among the
 * unsynced work. Further pairs of cut and mask follow where power is lost again during or after the
 * recovery. Written name:seed:cut:mask[:cut:mask...], and read by --replay.
 */
#ifndef HPO_TESTS_SIM_ENUMERATE_H
#define HPO_TESTS_SIM_ENUMERATE_H

#include "actor.h"

enum { EVENTS_KILL = 1, EVENTS_STOP = 2, EVENTS_FAIL = 4, EVENTS_KILL_WITHIN = 8 };

struct scenario {
    const char *name;
    const char *what;                                           /* one line */
    void (*start)(struct world *world);                         /* make the processes */
    const char *(*check)(struct world *world, bool look_first); /* of an image; NULL: check_image */
    unsigned schedules;      /* how many seeds without an event, at scale 1 */
    unsigned more_schedules; /* how many more without a power loss; all below 65,536 */
    unsigned events;         /* EVENTS_*: at every step, one run each */
    unsigned event_stride;   /* at scale 1 every so many steps; 0: 1 */
    unsigned nested_one_in;  /* one of so many images is cut again during its recovery; 0: none */
    uint64_t segment_first, segment_max; /* bytes; 0: 8 KiB and 32 KiB */
    bool cuts_at_bytes; /* of killed writes; no images then: the rule for buffers exists because of
                           them */
    unsigned spared;    /* the number of a process to which no event happens; 0: none */
};

struct report {
    uint64_t runs, cuts;
    uint64_t images;        /* distinct, each recovered and checked */
    uint64_t images_nested; /* of them: after a power loss in a recovery or after it */
    uint64_t known;         /* choices that gave an image already looked at */
    uint64_t lost, resurrected, half, false_alarms, other;
    uint64_t rolls, timeouts;
};

struct enumeration {
    const struct scenario *scenario;
    double scale;                             /* of the counts; 1: CI */
    const char *lie_dir_sync, *lie_file_sync; /* see sim.h */
    bool stop_at_first;
    const char *keep; /* replay: a directory of the host for the image */
};

/* Everything at this scale. Failures are printed, one line each, at most ten. */
void enumerate_all(const struct enumeration *how, struct report *report);
/* One id, "seed:cut:mask..." without the name; or "seed" alone, or "seed:cut". -EINVAL if it does
 * not parse. */
int enumerate_replay(const struct enumeration *how, const char *id, struct report *report);

uint64_t report_failures(const struct report *report);
/* For the handler of a crash: what was being looked at. */
const char *enumerate_place(void);

#endif

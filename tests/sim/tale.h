/*
 * tale: the ledger of studies and trials, for scenarios over hpo.h. Times as in ledger.h.
 *
 * One study. Every tell has a value of its own, so that what comes back can be told from what was
 * told again. Whoever asks for a number a second time, after a death or a power loss, must get the
 * point of the first time.
 */
#ifndef HPO_TESTS_SIM_TALE_H
#define HPO_TESTS_SIM_TALE_H

#include "hpo.h"
#include "ledger.h"

#define TALE_TRIALS_MAX 64
#define TALE_LR "lr"       /* float, 1e-4 .. 1, logarithmic */
#define TALE_UNITS "units" /* int, 1 .. 128 */
#define TALE_NOTE "note"   /* attribute of every trial that is told */

struct tale_tell {
    uint64_t number;
    double value;
    uint64_t begun_at, told_at, dead_at;
};

/* A study attribute, set once. */
struct tale_attr {
    uint64_t key;
    uint64_t begun_at, set_at;
};

/* A point put into the queue. */
struct tale_queued {
    double units;
    uint64_t number; /* known once it is told */
    uint64_t begun_at, told_at;
};

struct tale {
    struct tale_tell *tells;
    unsigned tell_count, tell_room;
    struct tale_attr *attrs;
    unsigned attr_count, attr_room;
    struct tale_queued *queued;
    unsigned queued_count, queued_room;
    uint64_t study_at; /* hpo_study_create had returned */
    struct {
        uint64_t known_at;
        double lr, units;
    } points[TALE_TRIALS_MAX];
    uint64_t next_value;
};

void tale_begin(struct tale *tale);
void tale_free(struct tale *tale);
void tale_at(const struct tale *from, uint64_t cut, struct tale *out);
uint64_t tale_obligations(const struct tale *tale, uint64_t cut);

unsigned tale_tell_begin(struct tale *tale, uint64_t number, uint64_t now);
unsigned tale_attr_begin(struct tale *tale, uint64_t now);
unsigned tale_queue_begin(struct tale *tale, double units, uint64_t now);

/* Is this the point of that number, as anybody has ever seen it? Notes it if nobody has. */
bool tale_point(struct tale *tale, uint64_t number, double lr, double units, uint64_t now);
/* Another study has taken the place of one that was never promised: it has points of its own. */
void tale_forget_points(struct tale *tale);

/* Compare everything that the study shows with what holds at `now`. NULL, or what is wrong with its
 * class, in `problem`. With `settle`, what is shown counts as promised from now on, the rest is
 * dead. */
const char *tale_compare(struct tale *tale, struct hpo_study *study, uint64_t now, bool settle,
                         char problem[256]);

#endif

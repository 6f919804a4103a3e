/*
 * worker: a simulated process that uses libhpo as a program does, and keeps the tale.
 */
#ifndef HPO_TESTS_SIM_WORKER_H
#define HPO_TESTS_SIM_WORKER_H

#include "actor.h"

struct worker {
    struct world *world;
    struct sim_process *process;
    struct hpo_store *store;
    struct hpo_study *study;
};

void worker_begin(struct worker *worker, struct world *world, struct sim_process *process);
/* Open the store, and the study, which is made if it is not there. Compare with the tale. */
void worker_open(struct worker *worker, bool declared);
void worker_close(struct worker *worker);
/* Compare everything with the tale; with `settle` see tale_compare. */
void worker_check(struct worker *worker, bool settle);

/* Ask, compare the point with what anybody saw under that number, report, note, tell. False when
 * `total` trials are finished (0: no limit). */
bool worker_trial(struct worker *worker, uint64_t total);
/* Ask, set an attribute and give the trial up. */
void worker_abandon(struct worker *worker);
void worker_attr(struct worker *worker);
void worker_enqueue(struct worker *worker, double units);
void worker_snapshot(struct worker *worker);

/* As check_image (check.h), through hpo.h: opening, every told trial, one more trial, opening
 * again; hpo_fsck agrees before and after. */
const char *check_store(struct world *world, bool look_first);

#endif

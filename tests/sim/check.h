/*
 * check: what must hold of an image.
 */
#ifndef HPO_TESTS_SIM_CHECK_H
#define HPO_TESTS_SIM_CHECK_H

#include "actor.h"

/*
 * The machine has just come up; world->ledger holds what was promised and written before. Opens
 * with production code: the verdict is lawful, every promised batch is there, nothing is half
 * there, nothing dead is back; what is shown now counts as promised; a batch can be committed;
 * opening again shows the same and one more; nothing is leaked. `look_first`: a handle that only
 * reads looks before anybody recovers, and must see the same. NULL, or what is wrong, beginning
 * with its class; valid until the machine is freed.
 */
const char *check_image(struct world *world, bool look_first);

/* The function as a process of its own, on the caller's stack. NULL, or what is wrong. */
const char *check_call(struct world *world, sim_fn fn);

#endif

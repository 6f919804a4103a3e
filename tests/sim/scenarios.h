/* scenarios: what the simulated processes do. */
#ifndef HPO_TESTS_SIM_SCENARIOS_H
#define HPO_TESTS_SIM_SCENARIOS_H

#include "enumerate.h"

extern const struct scenario scenarios[];
extern const unsigned scenario_count;

#endif

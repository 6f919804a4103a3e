/* scenarios: what the simulated processes do. */
#ifndef HPO_TESTS_SIM_SCENARIOS_H
#define HPO_TESTS_SIM_SCENARIOS_H

#include "enumerate.h"

extern const struct scenario scenarios[];
extern const unsigned scenario_count;
extern const struct scenario store_scenarios[]; /* over hpo.h */
extern const unsigned store_scenario_count;

#endif

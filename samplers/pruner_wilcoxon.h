/*
 * pruner_wilcoxon: the signed-rank test by itself.
 */
#ifndef HPO_SAMPLERS_PRUNER_WILCOXON_H
#define HPO_SAMPLERS_PRUNER_WILCOXON_H

#include <stdint.h>

/* How likely differences without tendency have positive ranks that sum to as much as these. d holds
 * count > 0 finite numbers, which are reordered. */
double wilcoxon_p(double *d, uint32_t count);

#endif

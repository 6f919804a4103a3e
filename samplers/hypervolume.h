/*
 * hypervolume: how much of the space below a reference point a set of points dominates, and the
 * subset that a greedy search finds to dominate most of it. Everything is minimised.
 */
#ifndef HPO_SAMPLERS_HYPERVOLUME_H
#define HPO_SAMPLERS_HYPERVOLUME_H

#include "samplers/common.h"

#define HYPERVOLUME_OBJECTIVES 64

/* The volume between `count` points (row by row) and the reference, no point beyond it in any
 * coordinate. `points` are reordered. `work` holds count * objectives^2 doubles. Infinite if a
 * point is -inf somewhere. */
double hypervolume(double *points, uint32_t count, uint32_t objectives, const double *reference,
                   double *work);

/*
 * chosen[0 ... wanted - 1] become indices of points: each adds the most volume to those before it,
 * the first one where several do. Points are unique and in lexicographic order, none dominates
 * another, none is beyond the finite reference; at least 2 objectives; wanted <= count. After a
 * point of infinite volume the rest follow in order. 0 or SAMPLER_NOMEM.
 */
int hypervolume_subset(const double *points, uint32_t count, uint32_t objectives,
                       const double *reference, uint32_t wanted,
                       const struct sampler_allocator *allocator, uint32_t *chosen);

#endif

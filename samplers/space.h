/*
 * space: what a parameter may be, and the scales on which samplers work.
 *
 * A value is always a double: the float itself, the integer exactly, or the index of the choice. A
 * sampler thinks in one of two scales: the *scale* [lo, hi] of the table in docs/determinism.md
 * (logarithms for log kinds, half a step more at both ends for stepped ones), or the *unit form* u
 * in [0, 1), which is that scale stretched to one.
 *
 * Invariants
 *   D1  A distribution that passed distribution_prepare has finite ends, low <= high, high on the
 * grid of its step, integers within +-2^53, and a scale whose ends and width are finite. D2  Every
 * value that comes out of a transform is contained in the distribution (distribution_contains). D3
 * A single-valued parameter draws nothing: its value is low.
 */
#ifndef HPO_SAMPLERS_SPACE_H
#define HPO_SAMPLERS_SPACE_H

#include "samplers/common.h"

/* The same numbers as in the log's records. */
enum sampler_kind { SAMPLER_FLOAT = 1, SAMPLER_INT = 2, SAMPLER_CATEGORICAL = 3 };

struct sampler_distribution {
    uint8_t kind; /* enum sampler_kind */
    bool log;
    double low,
        high; /* both included; CATEGORICAL: 0 and choice_count - 1, set by distribution_prepare */
    double
        step; /* FLOAT: 0 is none. INT: 0 given means 1; prepared, it is never 0. CATEGORICAL: 0 */
    uint32_t choice_count; /* CATEGORICAL only, else 0 */
};

/*
 * Check and bring to normal form, in place: high lowered to low + k step, INT without step gets
 * step 1, CATEGORICAL gets its ends. Preparing twice changes nothing. 0, or SAMPLER_INVALID with
 * the distribution unchanged and the message filled: an end that is no number or infinite, low >
 * high, log with low <= 0 (integers: low < 1), log with a step, a step <= 0, ends or step of an
 * integer that are no integers or lie beyond +-2^53, no choices, a range too wide for doubles.
 */
int distribution_prepare(struct sampler_distribution *distribution,
                         struct sampler_message *message);

/* All functions below expect a prepared distribution. Those on scales and unit forms are for
 * samplers, inside the known floating-point environment (fpenv.h); prepare and contains set it
 * themselves. */

/* Only one value is possible: that value is low. */
bool distribution_single(const struct sampler_distribution *distribution);

/* Is the value one that the distribution allows: inside, on the grid (within 1e-8 of a float's
 * step), an integer or an index where it must be one? NaN never is. */
bool distribution_contains(const struct sampler_distribution *distribution, double value);

/* Same kind, log, ends, step, number of choices. (Whether two lists of choices are the same is for
 * the caller, who gives equal parameters equal numbers.) */
bool distribution_equal(const struct sampler_distribution *a, const struct sampler_distribution *b);

/* The ends of the scale, numeric kinds only. */
void distribution_scale(const struct sampler_distribution *distribution, double *lo, double *hi);

/* From a place x on the scale back to a value, clipped (numeric kinds only). x may lie outside [lo,
 * hi]. */
double distribution_from_scale(const struct sampler_distribution *distribution, double x);

/* Where a value lies on the scale: itself, or its logarithm (numeric kinds only). */
double distribution_to_scale(const struct sampler_distribution *distribution, double value);

/* Unit form, any kind; u in [0, 1]. Categorical: floor(u C), and back the middle of the choice's
 * piece. */
double distribution_from_unit(const struct sampler_distribution *distribution, double u);
double distribution_to_unit(const struct sampler_distribution *distribution, double value);

/* Unit form without the half steps, low -> 0 and high -> 1, for CMA-ES with margin (numeric, not
 * single-valued). */
double distribution_to_unit_whole(const struct sampler_distribution *distribution, double value);

/* One parameter as a sampler sees it. Names are bytes of UTF-8, borrowed, not terminated. */
struct sampler_param {
    const char *name;
    size_t name_size;
    /* Study-wide: two parameters with equal number have equal name, distribution and choices. */
    uint32_t number;
    /* The lowest number with this name: equal for equal names, whatever their distributions. */
    uint32_t family;
    /* Of its streams, given by the engine: 1 + its place in the declared space; for an undeclared
     * name 2^31 + its ordinal among the trial's own undeclared names; 0 where none is known yet. */
    uint64_t slot;
    /* Of a joint draw: parameters of one group are drawn together; 0 unless the sampler groups. */
    uint32_t group;
    struct sampler_distribution distribution; /* prepared */
};

/* Order by name as bytes, a shorter name before its continuation: <0, 0, >0. Numbers depend on who
 * came first when several workers define parameters; never order by them what decides a draw. */
int sampler_param_compare_name(const struct sampler_param *a, const struct sampler_param *b);

/* A list of parameters, in drawing order. Zero-initialise with the allocator. */
struct space {
    const struct sampler_allocator *allocator;
    struct sampler_param *params;
    uint32_t count, capacity;
};

/* Copies the parameter, borrows its name. 0, SAMPLER_NOMEM. */
int space_add(struct space *space, const struct sampler_param *param);
void space_sort(struct space *space);  /* by group, then name */
void space_clear(struct space *space); /* keeps the memory */
void space_release(struct space *space);

#endif

/*
 * parzen: the density that TPE builds from observations: a weighted mixture with one kernel an
 * observation and one prior. Along each parameter a kernel is a normal distribution cut to the
 * scale's ends; for stepped parameters the mass of that in the value's cell; for choices a row of
 * probabilities.
 *
 * Sigmas follow from the neighbours: the larger of the two gaps in the sorted column. The caller
 * keeps columns sorted and hands them in that way (order by value, then trial number), since
 * sorting them anew for each suggestion would cost most of it.
 *
 * Invariants
 *   Z1  Kernels stand in order of trial number, the prior last; sums over kernels are taken in that
 *       order, in four lanes (kernel mod 4), lanes added as (0 + 1) + (2 + 3).
 *   Z2  Every mixture holds the prior, whose density is positive everywhere, so no logarithm of a
 *       mixture is infinite or no number.
 */
#ifndef HPO_SAMPLERS_PARZEN_H
#define HPO_SAMPLERS_PARZEN_H

#include "samplers/common.h"
#include "samplers/space.h"

/* -- the cut normal distribution, in standardised ends -- */

/* ln(Phi(b) - Phi(a)), a <= b. */
double normal_log_mass(double a, double b);
/* The place z in [a, b] below which lies the share q (in [0, 1)) of the mass; a <= 0 <= b, b - a >=
 * 1. */
double normal_cut_quantile(double q, double a, double b);

/* -- kernels -- */

/* Can the parameter have kernels? Not if it has a single value, or a scale so narrow that a
 * hundredth of it has no finite inverse. */
bool parzen_fits(const struct sampler_distribution *distribution);

/* What a kernel's width costs to compute: remembered by whoever asks for it again with the same
 * centre. Zero-initialised it holds nothing. */
struct parzen_memo {
    double sigma;    /* 0: nothing */
    double inverse;  /* 1 / sigma */
    double constant; /* minus ln of what the density is divided by */
};

/* The observations of one parameter, sorted; all arrays are borrowed for the call. */
struct parzen_observations {
    const double *value;        /* ascending: on the scale; choices: the index */
    const uint32_t *kernel;     /* of that observation: its rank by trial number */
    struct parzen_memo **memos; /* of that observation; NULL, or single ones NULL: none */
};

struct parzen_column {
    const struct sampler_distribution *distribution;
    double lo, hi;
    /* Numeric, by kernel. */
    double *mu, *inverse, *sigma;
    /* Stepped: kernels of equal mu and sigma are one group, so that masses are computed once. */
    uint32_t *group;
    uint32_t group_count;
    double *group_mu, *group_inverse;
    /* Choices, by kernel: the observed one; the prior's is no choice. */
    uint32_t *choice;
    double hit, miss; /* a row's entry at the observed choice, and elsewhere */
};

/* A mixture. Zero-initialise with the allocator; its memory is kept from use to use. */
struct parzen {
    const struct sampler_allocator *allocator;
    uint32_t observations, kernels; /* kernels = observations + 1 */
    double *weight;                 /* by kernel, of sum 1 */
    double *base;                   /* by kernel: ln weight, and what is constant along x */
    struct parzen_column *columns;
    uint32_t column_count, column_capacity;
    void *block; /* holds all arrays */
    size_t block_size, block_used;
};

/* TPE's weights of `count` observations, oldest first: the last 25 count 1, older ones less. */
void parzen_weights(double *weight, uint32_t count);

/* Begin a mixture of that many observations over so many parameters. `flat`: all weights are 1.
 * parzen_column follows for each parameter, then parzen_finish. 0, SAMPLER_NOMEM. */
int parzen_begin(struct parzen *parzen, uint32_t observations, uint32_t parameters, bool flat);
void parzen_column(struct parzen *parzen, uint32_t parameter,
                   const struct sampler_distribution *distribution,
                   const struct parzen_observations *observations);
void parzen_release(struct parzen *parzen);

/* -- candidates -- */

/* Values by [parameter * count + candidate], and where they lie on the scale. */
struct parzen_candidates {
    uint32_t count, parameters;
    double *value, *place;
};

/* How many uniforms parzen_draw takes: one for the kernel, one a parameter, each `count` times. */
uint32_t parzen_uniforms(uint32_t parameters, uint32_t count);

/* Draw candidates: uniforms in the order kernels, choices of each categorical parameter, places of
 * each numeric one. */
void parzen_draw(const struct parzen *parzen, const double *uniforms,
                 const struct parzen_candidates *candidates);

/* ln of the mixture's density at each candidate. `work` (parzen_score_work doubles) is scratch. */
size_t parzen_score_work(const struct parzen *parzen, uint32_t count);
void parzen_score(const struct parzen *parzen, const struct parzen_candidates *candidates,
                  double *work, double *score);

#endif

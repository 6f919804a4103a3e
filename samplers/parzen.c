/*
 * parzen: kernels, candidates, scores.
 *
 * Most of a suggestion's time goes into parzen_score: candidates times kernels times parameters. So
 * the loops over kernels are plain, without a branch, over arrays; what belongs to a kernel alone
 * is added up once, and the exponentials that cannot change the sum are left out.
 */
#include "samplers/strict.h"
#include "samplers/parzen.h"
#include "samplers/detmath.h"
#include "samplers/detmath_coefficients.h"

#include <assert.h>
#include <string.h>

#define RECENT 25      /* observations of full weight */
#define WIDTHS_MAX 100 /* sigma is at least (hi - lo) / min(100, n + 2) */
#define BLOCK 512      /* kernels at a time, so that their columns stay in the cache */
/* Terms so far below the largest are left out: a million of them would not move the sum's last
 * bit. */
#define NEGLIGIBLE (-50.0)
#define NARROWEST 0x1p-900
#define NARROW 0x1p-10 /* cells of less than that many sigma */

/* -- the cut normal distribution -- */

double normal_log_mass(double a, double b)
{
    assert(a <= b);
    if (a > 0) { /* the mirror image: the tail's logarithm is the accurate one */
        double mirrored = -a;

        a = -b;
        b = mirrored;
    }
    if (b <= 0) {
        /* Phi(x) = exp(-x^2/2) erfcx(-x / sqrt 2) / 2; the larger power stands before all. */
        double power = det_exp(0.5 * (b - a) * (b + a));
        double share = det_erfcx(-b * SQRT_HALF) - det_erfcx(-a * SQRT_HALF) * power;

        return det_log(0.5 * share) - 0.5 * b * b;
    }
    return det_log1p(-det_ndtr(a) - det_ndtr(-b));
}

/* Phi(b) - Phi(a) is at least 0.34 here, and either tail is a sum of positive numbers, so neither
 * needs logarithms. */
double normal_cut_quantile(double q, double a, double b)
{
    double left = det_ndtr(a), right = det_ndtr(-b);
    double mass = 1 - (left + right);
    double below = left + q * mass, z;

    assert(a <= 0 && b >= 0);
    if (q == 0)
        return a;
    z = below <= 0.5 ? det_ndtri(below) : -det_ndtri(right + (1 - q) * mass);
    return z < a ? a : z > b ? b : z;
}

bool parzen_fits(const struct sampler_distribution *distribution)
{
    double lo, hi;

    if (distribution_single(distribution))
        return false;
    if (distribution->kind == SAMPLER_CATEGORICAL)
        return true;
    distribution_scale(distribution, &lo, &hi);
    return hi - lo > NARROWEST;
}

/* -- memory -- */

static void *take(struct parzen *parzen, size_t count, size_t size)
{
    uint8_t *at = (uint8_t *)parzen->block + parzen->block_used;

    parzen->block_used += (count * size + 15) / 16 * 16;
    assert(parzen->block_used <= parzen->block_size);
    return at;
}

/* What a column takes at most: mu, inverse, sigma, group mu and inverse, group. */
static size_t column_size(uint32_t kernels)
{
    size_t doubles = ((size_t)kernels * sizeof(double) + 15) / 16 * 16;
    size_t words = ((size_t)kernels * sizeof(uint32_t) + 15) / 16 * 16;

    return 5 * doubles + words;
}

static int reserve(struct parzen *parzen, uint32_t kernels, uint32_t parameters)
{
    const struct sampler_allocator *allocator = parzen->allocator;
    size_t size = 2 * ((size_t)kernels * sizeof(double) + 15) + parameters * column_size(kernels);

    if (parameters > parzen->column_capacity) {
        uint32_t capacity = parameters + 8;
        void *columns = allocator->realloc(allocator->context, parzen->columns,
                                           capacity * sizeof(*parzen->columns));

        if (!columns)
            return SAMPLER_NOMEM;
        parzen->columns = columns;
        parzen->column_capacity = capacity;
    }
    if (size > parzen->block_size) {
        void *block = allocator->alloc(allocator->context, size + size / 2);

        if (!block)
            return SAMPLER_NOMEM;
        allocator->free(allocator->context, parzen->block);
        parzen->block = block;
        parzen->block_size = size + size / 2;
    }
    parzen->block_used = 0;
    return SAMPLER_OK;
}

void parzen_release(struct parzen *parzen)
{
    const struct sampler_allocator *allocator = parzen->allocator;

    allocator->free(allocator->context, parzen->columns);
    allocator->free(allocator->context, parzen->block);
    *parzen = (struct parzen){.allocator = allocator};
}

/* -- weights -- */

void parzen_weights(double *weight, uint32_t count)
{
    uint32_t old = count > RECENT ? count - RECENT : 0;
    double first = old > 0 ? 1.0 / count : 1;
    double step = old > 1 ? (1 - first) / (old - 1) : 0;

    for (uint32_t i = 0; i < count; i++)
        weight[i] = i < old ? first + i * step : 1;
    if (old > 1)
        weight[old - 1] = 1; /* not what rounding makes of it */
}

/* Z1 */
static double sum_of(const double *x, uint32_t count)
{
    double lane[4] = {0, 0, 0, 0};
    uint32_t whole = count / 4 * 4;

    for (uint32_t i = 0; i < whole; i += 4)
        for (int l = 0; l < 4; l++)
            lane[l] += x[i + (uint32_t)l];
    for (uint32_t i = whole; i < count; i++)
        lane[i - whole] += x[i];
    return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

int parzen_begin(struct parzen *parzen, uint32_t observations, uint32_t parameters, bool flat)
{
    uint32_t kernels = observations + 1;
    int err = reserve(parzen, kernels, parameters);

    if (err < 0)
        return err;
    parzen->observations = observations;
    parzen->kernels = kernels;
    parzen->column_count = parameters;
    parzen->weight = take(parzen, kernels, sizeof(double));
    parzen->base = take(parzen, kernels, sizeof(double));
    if (flat)
        for (uint32_t i = 0; i < observations; i++)
            parzen->weight[i] = 1;
    else
        parzen_weights(parzen->weight, observations);
    parzen->weight[observations] = 1; /* the prior */

    double total = sum_of(parzen->weight, kernels);

    for (uint32_t i = 0; i < kernels; i++) {
        parzen->weight[i] /= total;
        parzen->base[i] = det_log(parzen->weight[i]);
    }
    return SAMPLER_OK;
}

/* -- columns -- */

static bool is_stepped(const struct sampler_distribution *d)
{
    return d->kind == SAMPLER_INT || d->step != 0;
}

static void memo_fill(const struct parzen_column *column, double mu, double sigma,
                      struct parzen_memo *memo)
{
    double inverse = 1 / sigma;
    double mass = normal_log_mass((column->lo - mu) * inverse, (column->hi - mu) * inverse);

    memo->sigma = sigma;
    memo->inverse = inverse;
    memo->constant =
        is_stepped(column->distribution) ? -mass : -(LN_SQRT_2PI + det_log(sigma)) - mass;
}

static void kernel_set(struct parzen *parzen, struct parzen_column *column, uint32_t kernel,
                       double mu, const struct parzen_memo *memo)
{
    column->mu[kernel] = mu;
    column->sigma[kernel] = memo->sigma;
    column->inverse[kernel] = memo->inverse;
    parzen->base[kernel] += memo->constant;
}

/* The larger gap to a neighbour; at either end the only inner one; alone, the larger one to lo or
 * hi. */
static double sigma_at(const struct parzen_column *column, const double *value, uint32_t i,
                       uint32_t count)
{
    double before = i > 0 ? value[i] - value[i - 1] : value[i] - column->lo;
    double after = i + 1 < count ? value[i + 1] - value[i] : column->hi - value[i];

    if (count > 1 && i == 0)
        return after;
    if (count > 1 && i + 1 == count)
        return before;
    return before > after ? before : after;
}

static void group_add(struct parzen_column *column, uint32_t kernel)
{
    uint32_t last = column->group_count - 1;

    if (column->group_count == 0 || column->group_mu[last] != column->mu[kernel] ||
        column->group_inverse[last] != column->inverse[kernel]) {
        last = column->group_count++;
        column->group_mu[last] = column->mu[kernel];
        column->group_inverse[last] = column->inverse[kernel];
    }
    column->group[kernel] = last;
}

static void numeric_column(struct parzen *parzen, struct parzen_column *column,
                           const struct parzen_observations *observations)
{
    uint32_t n = parzen->observations;
    double width, sigma_min;
    struct parzen_memo own = {0};

    distribution_scale(column->distribution, &column->lo, &column->hi);
    width = column->hi - column->lo;
    sigma_min = width / (n + 2 < WIDTHS_MAX ? n + 2 : WIDTHS_MAX);
    column->mu = take(parzen, parzen->kernels, sizeof(double));
    column->inverse = take(parzen, parzen->kernels, sizeof(double));
    column->sigma = take(parzen, parzen->kernels, sizeof(double));
    column->group_mu = take(parzen, parzen->kernels, sizeof(double));
    column->group_inverse = take(parzen, parzen->kernels, sizeof(double));
    column->group = take(parzen, parzen->kernels, sizeof(uint32_t));
    column->group_count = 0;
    for (uint32_t i = 0; i < n; i++) {
        double mu = observations->value[i];
        double sigma = sigma_at(column, observations->value, i, n);
        struct parzen_memo *memo = observations->memos ? observations->memos[i] : NULL;

        sigma = sigma < sigma_min ? sigma_min : sigma > width ? width : sigma;
        /* Neighbours of equal value and width share the work even where nobody remembers. */
        if (!memo) {
            if (i == 0 || observations->value[i - 1] != mu)
                own.sigma = 0;
            memo = &own;
        }
        if (memo->sigma != sigma)
            memo_fill(column, mu, sigma, memo);
        kernel_set(parzen, column, observations->kernel[i], mu, memo);
        if (is_stepped(column->distribution))
            group_add(column, observations->kernel[i]);
    }
    memo_fill(column, 0.5 * (column->lo + column->hi), width, &own);
    kernel_set(parzen, column, n, 0.5 * (column->lo + column->hi), &own);
    if (is_stepped(column->distribution))
        group_add(column, n);
}

static void categorical_column(struct parzen *parzen, struct parzen_column *column,
                               const struct parzen_observations *observations)
{
    uint32_t n = parzen->observations;
    double prior = 1.0 / (n + 1);
    double total = column->distribution->choice_count * prior + 1;

    column->choice = take(parzen, parzen->kernels, sizeof(uint32_t));
    for (uint32_t i = 0; i < n; i++)
        column->choice[observations->kernel[i]] = (uint32_t)observations->value[i];
    column->choice[n] = column->distribution->choice_count; /* the prior: no choice stands out */
    column->hit = (1 + prior) / total;
    column->miss = prior / total;
}

void parzen_column(struct parzen *parzen, uint32_t parameter,
                   const struct sampler_distribution *distribution,
                   const struct parzen_observations *observations)
{
    struct parzen_column *column = &parzen->columns[parameter];

    *column = (struct parzen_column){.distribution = distribution};
    if (distribution->kind == SAMPLER_CATEGORICAL)
        categorical_column(parzen, column, observations);
    else
        numeric_column(parzen, column, observations);
}

/* -- drawing -- */

uint32_t parzen_uniforms(uint32_t parameters, uint32_t count)
{
    return count * (parameters + 1);
}

/* How many running sums of the weights, divided by the last one, are <= u. */
static uint32_t draw_kernel(const struct parzen *parzen, double total, double u)
{
    double sum = 0;
    uint32_t kernel = 0;

    for (; kernel + 1 < parzen->kernels; kernel++) {
        sum += parzen->weight[kernel];
        if (!(sum / total <= u))
            break;
    }
    return kernel;
}

/* How many running sums of the row are < u, the last one taken as 1. */
static double draw_choice(const struct parzen_column *column, uint32_t kernel, double u)
{
    uint32_t count = column->distribution->choice_count, choice = 0;
    bool prior = column->choice[kernel] == count;
    double sum = 0;

    for (; choice + 1 < count; choice++) {
        sum += prior ? 1.0 / count : choice == column->choice[kernel] ? column->hit : column->miss;
        if (!(sum < u))
            break;
    }
    return choice;
}

static void draw_number(const struct parzen_column *column, uint32_t kernel, double u,
                        double *value, double *place)
{
    const struct sampler_distribution *d = column->distribution;
    double mu = column->mu[kernel], sigma = column->sigma[kernel];
    double z = normal_cut_quantile(u, (column->lo - mu) / sigma, (column->hi - mu) / sigma);
    double x = sigma * z + mu;

    if (d->log) {
        *value = distribution_from_scale(d, x);
        /* A continuous candidate is scored where it was drawn. */
        *place = d->kind == SAMPLER_FLOAT ? x : *value;
        return;
    }
    if (d->step != 0) {
        double stepped = d->low + det_rint((x - d->low) / d->step) * d->step;

        x = d->kind == SAMPLER_INT ? distribution_from_scale(d, stepped) : stepped;
    }
    *value = x < d->low ? d->low : x > d->high ? d->high : x;
    *place = *value;
}

void parzen_draw(const struct parzen *parzen, const double *uniforms,
                 const struct parzen_candidates *candidates)
{
    uint32_t count = candidates->count;
    double total = 0;

    for (uint32_t i = 0; i < parzen->kernels; i++)
        total += parzen->weight[i];
    for (uint32_t c = 0; c < count; c++) {
        uint32_t kernel = draw_kernel(parzen, total, uniforms[c]);
        uint32_t row = 1;

        for (int numeric = 0; numeric <= 1; numeric++)
            for (uint32_t p = 0; p < parzen->column_count; p++) {
                const struct parzen_column *column = &parzen->columns[p];
                bool categorical = column->distribution->kind == SAMPLER_CATEGORICAL;
                double *value = &candidates->value[p * count + c];
                double *place = &candidates->place[p * count + c];

                if (categorical != (numeric == 0))
                    continue;
                if (categorical)
                    *place = *value = draw_choice(column, kernel, uniforms[row * count + c]);
                else
                    draw_number(column, kernel, uniforms[row * count + c], value, place);
                row++;
            }
    }
}

/* -- scoring -- */

size_t parzen_score_work(const struct parzen *parzen, uint32_t count)
{
    /* A term for each candidate and kernel, and a row of group masses. */
    return (size_t)(count + 1) * parzen->kernels;
}

/* Continuous parameters: -((x - mu) / sigma)^2 / 2. */
static void add_squares(const struct parzen_column *column, const double *place, uint32_t count,
                        uint32_t from, uint32_t to, uint32_t kernels, double *terms)
{
    const double *restrict mu = column->mu, *restrict inverse = column->inverse;

    for (uint32_t c = 0; c < count; c++) {
        double x = place[c];
        double *restrict term = terms + (size_t)c * kernels;

        for (uint32_t k = from; k < to; k++) {
            double t = (x - mu[k]) * inverse[k];

            term[k] -= 0.5 * (t * t);
        }
    }
}

/* A stepped value's cell on the scale. */
struct cell {
    double low, high, middle, width;
};

static struct cell cell_of(const struct sampler_distribution *d, double value)
{
    double half = 0.5 * d->step;
    struct cell cell = {value - half, value + half, value, d->step};

    if (d->log) {
        cell.width = det_log1p(d->step / cell.low);
        cell.low = det_log(cell.low);
        cell.high = det_log(cell.high);
        cell.middle = 0.5 * (cell.low + cell.high);
    }
    return cell;
}

/*
 * ln of the kernel's mass in the cell. A narrow cell's mass is a difference of nearly equal numbers
 * (of equal ones, when a range has 2^53 steps): there density times width, with the second term of
 * the series in the width.
 */
static double cell_log_mass(const struct cell *cell, double mu, double inverse)
{
    double width = cell->width * inverse;

    if (width < NARROW) {
        double m = (cell->middle - mu) * inverse, m2 = m * m;

        return (det_log(width) - LN_SQRT_2PI - 0.5 * m2) +
               det_log1p((m2 - 1) * (width * width) * (1.0 / 24));
    }
    return normal_log_mass((cell->low - mu) * inverse, (cell->high - mu) * inverse);
}

/* Stepped parameters: ln of the mass of the candidate's cell, once for each group and cell. */
static void add_masses(const struct parzen_column *column, const double *value, uint32_t count,
                       uint32_t kernels, double *masses, double *terms)
{
    for (uint32_t c = 0; c < count; c++) {
        uint32_t first = 0;
        struct cell cell;

        while (value[first] != value[c])
            first++;
        if (first < c) /* done together with that one */
            continue;
        cell = cell_of(column->distribution, value[c]);
        for (uint32_t g = 0; g < column->group_count; g++)
            masses[g] = cell_log_mass(&cell, column->group_mu[g], column->group_inverse[g]);
        for (uint32_t same = c; same < count; same++) {
            double *restrict term = terms + (size_t)same * kernels;

            if (value[same] != value[c])
                continue;
            for (uint32_t k = 0; k < kernels; k++)
                term[k] += masses[column->group[k]];
        }
    }
}

static void add_choices(const struct parzen_column *column, const double *value, uint32_t count,
                        uint32_t kernels, double *terms)
{
    double hit = det_log(column->hit), miss = det_log(column->miss);
    double prior = det_log(1.0 / column->distribution->choice_count);

    for (uint32_t c = 0; c < count; c++) {
        uint32_t choice = (uint32_t)value[c];
        double *term = terms + (size_t)c * kernels;

        for (uint32_t k = 0; k + 1 < kernels; k++)
            term[k] += column->choice[k] == choice ? hit : miss;
        term[kernels - 1] += prior;
    }
}

static double log_sum_exp(const double *terms, uint32_t count)
{
    double most = terms[0], lane[4] = {0, 0, 0, 0};

    for (uint32_t k = 1; k < count; k++)
        most = terms[k] > most ? terms[k] : most;
    assert(most - most == 0); /* Z2 */
    for (uint32_t k = 0; k < count; k++) {
        double below = terms[k] - most;

        if (below > NEGLIGIBLE)
            lane[k & 3] += det_exp(below);
    }
    return most + det_log((lane[0] + lane[1]) + (lane[2] + lane[3]));
}

void parzen_score(const struct parzen *parzen, const struct parzen_candidates *candidates,
                  double *work, double *score)
{
    uint32_t kernels = parzen->kernels, count = candidates->count;
    double *masses = work, *terms = work + kernels;

    for (uint32_t c = 0; c < count; c++)
        memcpy(terms + (size_t)c * kernels, parzen->base, kernels * sizeof(double));
    for (uint32_t from = 0; from < kernels; from += BLOCK) {
        uint32_t to = kernels - from > BLOCK ? from + BLOCK : kernels;

        for (uint32_t p = 0; p < parzen->column_count; p++) {
            const struct parzen_column *column = &parzen->columns[p];

            if (column->distribution->kind == SAMPLER_FLOAT && column->distribution->step == 0)
                add_squares(column, candidates->place + (size_t)p * count, count, from, to, kernels,
                            terms);
        }
    }
    for (uint32_t p = 0; p < parzen->column_count; p++) {
        const struct parzen_column *column = &parzen->columns[p];

        if (column->distribution->kind == SAMPLER_CATEGORICAL)
            add_choices(column, candidates->value + (size_t)p * count, count, kernels, terms);
        else if (is_stepped(column->distribution))
            add_masses(column, candidates->value + (size_t)p * count, count, kernels, masses,
                       terms);
    }
    for (uint32_t c = 0; c < count; c++)
        score[c] = log_sum_exp(terms + (size_t)c * kernels, kernels);
}

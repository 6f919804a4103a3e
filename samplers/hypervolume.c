/*
 * hypervolume: by slices; the greedy choice by gains that can only fall.
 *
 * The volume of m objectives is a sum over slices along the last one, each as thick as the gap to
 * the next point and with a base of m - 1 objectives; two objectives are a staircase. All terms are
 * positive, so nothing cancels.
 *
 * What a point adds to a set is its own box less what of it the set covers already: the volume of
 * the set's points moved into the box. It only falls as the set grows (submodularity), so an old
 * gain is an upper bound, and a new one is computed only for the point whose bound is largest.
 */
#include "samplers/strict.h"
#include "samplers/hypervolume.h"

#include <assert.h>
#include <string.h>

/* By the last coordinate, then the ones before it. */
static bool row_before(const double *a, const double *b, uint32_t objectives)
{
    for (uint32_t k = objectives; k > 0; k--)
        if (a[k - 1] != b[k - 1])
            return a[k - 1] < b[k - 1];
    return false;
}

/* Insertion: sets are small, and mostly in order one level down. */
static void sort_rows(double *points, uint32_t count, uint32_t objectives)
{
    double held[HYPERVOLUME_OBJECTIVES];

    for (uint32_t i = 1; i < count; i++) {
        uint32_t at = i;

        memcpy(held, points + (size_t)i * objectives, objectives * sizeof(double));
        for (; at > 0 && row_before(held, points + (size_t)(at - 1) * objectives, objectives); at--)
            memcpy(points + (size_t)at * objectives, points + (size_t)(at - 1) * objectives,
                   objectives * sizeof(double));
        memcpy(points + (size_t)at * objectives, held, objectives * sizeof(double));
    }
}

/* Sorted by y, then x: each point that is further left than all before it adds a step. */
static double staircase(const double *points, uint32_t count, const double *reference)
{
    double area = 0, left = reference[0];

    for (uint32_t i = 0; i < count; i++) {
        double x = points[2 * (size_t)i], y = points[2 * (size_t)i + 1];

        if (x >= left || y >= reference[1])
            continue;
        area += (left - x) * (reference[1] - y);
        left = x;
    }
    return area;
}

double hypervolume(double *points, uint32_t count, uint32_t objectives, const double *reference,
                   double *work)
{
    double volume = 0;
    uint32_t base = objectives - 1;

    assert(objectives >= 2 && objectives <= HYPERVOLUME_OBJECTIVES);
    sort_rows(points, count, objectives);
    if (objectives == 2)
        return staircase(points, count, reference);
    for (uint32_t i = 0; i < count; i++) {
        double from = points[(size_t)i * objectives + base];
        double to = i + 1 < count ? points[(size_t)(i + 1) * objectives + base] : reference[base];

        if (!(to > from))
            continue;
        for (uint32_t j = 0; j <= i; j++)
            memcpy(work + (size_t)j * base, points + (size_t)j * objectives, base * sizeof(double));
        volume +=
            hypervolume(work, i + 1, base, reference, work + (size_t)count * base) * (to - from);
    }
    return volume;
}

static double box(const double *point, const double *reference, uint32_t objectives)
{
    double volume = 1;

    for (uint32_t k = 0; k < objectives; k++)
        volume *= reference[k] - point[k];
    return volume;
}

/* No number, which 0 times infinity gives, counts as the largest. */
static bool is_larger(double a, double b)
{
    return a > b || (a != a && b == b);
}

/* Two objectives: along the staircase a point's gain is one rectangle, whose far corner the chosen
 * neighbours pull in. */
static int subset_of_two(const double *points, uint32_t count, const double *reference,
                         uint32_t wanted, const struct sampler_allocator *allocator,
                         uint32_t *chosen)
{
    double *corner = allocator->alloc(allocator->context, 2 * (size_t)count * sizeof(*corner));
    uint8_t *taken = allocator->alloc(allocator->context, count);
    int err = corner && taken ? SAMPLER_OK : SAMPLER_NOMEM;

    for (uint32_t i = 0; err == SAMPLER_OK && i < count; i++) {
        corner[2 * (size_t)i] = reference[0];
        corner[2 * (size_t)i + 1] = reference[1];
        taken[i] = 0;
    }
    for (uint32_t n = 0; err == SAMPLER_OK && n < wanted; n++) {
        uint32_t best = count;
        double most = 0;

        for (uint32_t i = 0; i < count; i++) {
            double gain = (corner[2 * (size_t)i] - points[2 * (size_t)i]) *
                          (corner[2 * (size_t)i + 1] - points[2 * (size_t)i + 1]);

            if (!taken[i] && (best == count || is_larger(gain, most))) {
                best = i;
                most = gain;
            }
        }
        chosen[n] = best;
        taken[best] = 1;
        for (uint32_t i = 0; i < count; i++) {
            double *at = &corner[2 * (size_t)i + (i > best)];
            double limit = points[2 * (size_t)best + (i > best)];

            *at = limit < *at ? limit : *at;
        }
    }
    allocator->free(allocator->context, corner);
    allocator->free(allocator->context, taken);
    return err;
}

/* Move the chosen points into the box of `point` and leave out what others cover. */
static uint32_t limit(const double *points, const uint32_t *chosen, uint32_t count,
                      const double *point, uint32_t objectives, double *out)
{
    uint32_t size = 0;

    for (uint32_t i = 0; i < count; i++) {
        double *moved = out + (size_t)size * objectives;
        uint32_t kept = 0;
        bool covered = false;

        for (uint32_t k = 0; k < objectives; k++) {
            double at = points[(size_t)chosen[i] * objectives + k];

            moved[k] = at > point[k] ? at : point[k];
        }
        for (uint32_t j = 0; j < size && !covered; j++) {
            const double *other = out + (size_t)j * objectives;
            uint32_t k = 0;

            while (k < objectives && other[k] <= moved[k])
                k++;
            covered = k == objectives;
        }
        if (covered)
            continue;
        for (uint32_t j = 0; j <= size; j++) { /* and what the new one covers */
            const double *other = out + (size_t)j * objectives;
            uint32_t k = 0;

            while (k < objectives && moved[k] <= other[k])
                k++;
            if (k == objectives && j < size)
                continue;
            if (kept < j)
                memmove(out + (size_t)kept * objectives, other, objectives * sizeof(double));
            kept++;
        }
        size = kept;
    }
    return size;
}

static int subset_of_many(const double *points, uint32_t count, uint32_t objectives,
                          const double *reference, uint32_t wanted,
                          const struct sampler_allocator *allocator, uint32_t *chosen)
{
    size_t work = (size_t)(wanted + 1) * objectives * (objectives + 1);
    double *gain = allocator->alloc(allocator->context, (count + work) * sizeof(*gain));
    uint32_t *known = allocator->alloc(allocator->context, count * sizeof(*known));
    uint8_t *taken = allocator->alloc(allocator->context, count);
    double *limited = gain + count, *below = limited + (size_t)(wanted + 1) * objectives;
    bool infinite = false;
    int err = gain && known && taken ? SAMPLER_OK : SAMPLER_NOMEM;

    for (uint32_t i = 0; err == SAMPLER_OK && i < count; i++) {
        gain[i] = box(points + (size_t)i * objectives, reference, objectives);
        known[i] = 0; /* chosen points that the gain takes into account */
        taken[i] = 0;
    }
    for (uint32_t n = 0; err == SAMPLER_OK && n < wanted;) {
        uint32_t best = count;

        for (uint32_t i = 0; i < count; i++)
            if (!taken[i] && (best == count || (!infinite && is_larger(gain[i], gain[best]))))
                best = i;
        if (!infinite && known[best] < n) {
            const double *point = points + (size_t)best * objectives;
            uint32_t size = limit(points, chosen, n, point, objectives, limited);

            gain[best] = box(point, reference, objectives) -
                         hypervolume(limited, size, objectives, reference, below);
            known[best] = n;
            continue;
        }
        infinite = infinite || gain[best] - gain[best] != 0;
        taken[best] = 1;
        chosen[n++] = best;
    }
    allocator->free(allocator->context, gain);
    allocator->free(allocator->context, known);
    allocator->free(allocator->context, taken);
    return err;
}

int hypervolume_subset(const double *points, uint32_t count, uint32_t objectives,
                       const double *reference, uint32_t wanted,
                       const struct sampler_allocator *allocator, uint32_t *chosen)
{
    if (objectives == 2)
        return subset_of_two(points, count, reference, wanted, allocator, chosen);
    return subset_of_many(points, count, objectives, reference, wanted, allocator, chosen);
}

/*
 * tpe_split: keys, and one pass that keeps the first few; with several objectives, fronts.
 */
#include "samplers/strict.h"
#include "samplers/tpe_split.h"
#include "samplers/hypervolume.h"

#include <assert.h>
#include <string.h>

#define BELOW_MAX 25 /* with one objective */
#define INFINITE __builtin_inf()

static double violation(const struct sampler_trial *trial)
{
    double sum = 0;

    for (uint32_t i = 0; i < trial->constraint_count; i++)
        if (trial->constraints[i] > 0)
            sum += trial->constraints[i];
    return sum;
}

struct tpe_key tpe_key_of(const struct sampler_study *study, const struct sampler_trial *trial)
{
    double sign = study->directions[0] ? -1 : 1;
    struct tpe_key key = {.trial = trial, .second = violation(trial)};

    if (key.second > 0) {
        key.class = TPE_INFEASIBLE;
    } else if (trial->state == SAMPLER_COMPLETE) {
        key.class = TPE_COMPLETE;
        key.second = study->direction_count == 1 ? sign * trial->objectives[0] : 0;
    } else if (trial->report_count == 0) {
        key.class = TPE_PRUNED;
        key.first = 1;
        key.second = 0;
    } else {
        const struct sampler_report *last = &trial->reports[trial->report_count - 1];

        key.class = TPE_PRUNED;
        key.first = last->step == INT64_MIN ? INT64_MAX : -last->step;
        key.second = last->value == last->value ? sign * last->value : INFINITE;
    }
    return key;
}

uint32_t tpe_below_count(uint32_t n, uint32_t objectives)
{
    uint32_t tenth = n / 10 + (n % 10 != 0);

    return objectives == 1 && tenth > BELOW_MAX ? BELOW_MAX : tenth;
}

/* A total order, since numbers differ. */
static bool comes_before(const struct tpe_key *a, const struct tpe_key *b)
{
    if (a->class != b->class)
        return a->class < b->class;
    if (a->first != b->first)
        return a->first < b->first;
    if (a->second != b->second)
        return a->second < b->second;
    return a->trial->number < b->trial->number;
}

/* Mark the first `wanted` in order among the keys of class `lowest` and above. One pass; the chosen
 * ones are kept in a heap with the last of them on top. */
static int take_first(const struct tpe_key *keys, uint32_t count, enum tpe_class lowest,
                      uint32_t wanted, const struct sampler_allocator *allocator, uint8_t *below)
{
    uint32_t *heap, size = 0;

    if (wanted == 0)
        return SAMPLER_OK;
    heap = allocator->alloc(allocator->context, wanted * sizeof(*heap));
    if (!heap)
        return SAMPLER_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at;

        if (keys[i].class < lowest)
            continue;
        if (size < wanted) { /* a new leaf rises */
            for (at = size++; at > 0 && comes_before(&keys[heap[(at - 1) / 2]], &keys[i]);
                 at = (at - 1) / 2)
                heap[at] = heap[(at - 1) / 2];
            heap[at] = i;
            continue;
        }
        if (!comes_before(&keys[i], &keys[heap[0]]))
            continue;
        for (at = 0; 2 * at + 1 < size;) { /* the top is replaced and sinks */
            uint32_t child = 2 * at + 1;

            if (child + 1 < size && comes_before(&keys[heap[child]], &keys[heap[child + 1]]))
                child++;
            if (!comes_before(&keys[i], &keys[heap[child]]))
                break;
            heap[at] = heap[child];
            at = child;
        }
        heap[at] = i;
    }
    for (uint32_t i = 0; i < size; i++)
        below[heap[i]] = 1;
    allocator->free(allocator->context, heap);
    return SAMPLER_OK;
}

/* -- several objectives -- */

/* Losses of the feasible COMPLETE trials, in lexicographic order, equal ones by number. */
struct fronts {
    uint32_t objectives, count;
    double *loss;    /* by number, row by row */
    uint32_t *key;   /* by number: which key */
    uint32_t *order; /* lexicographic: rows not yet in a front */
    uint32_t *front; /* the front: rows, in lexicographic order */
    uint32_t *merge; /* scratch of the sort, then flags of a front */
};

static const double *loss_of(const struct fronts *fronts, uint32_t row)
{
    return fronts->loss + (size_t)row * fronts->objectives;
}

/* Lexicographic, then by row, which is by number. */
static bool lex_before(const struct fronts *fronts, uint32_t a, uint32_t b)
{
    const double *x = loss_of(fronts, a), *y = loss_of(fronts, b);

    for (uint32_t k = 0; k < fronts->objectives; k++)
        if (x[k] != y[k])
            return x[k] < y[k];
    return a < b;
}

static void lex_sort(struct fronts *fronts)
{
    uint32_t count = fronts->count, *from = fronts->order, *to = fronts->merge;

    for (uint32_t i = 0; i < count; i++)
        from[i] = i;
    for (uint32_t width = 1; width < count; width *= 2) {
        for (uint32_t start = 0; start < count; start += 2 * width) {
            uint32_t middle = start + width < count ? start + width : count;
            uint32_t end = middle + width < count ? middle + width : count;
            uint32_t i = start, j = middle;

            for (uint32_t k = start; k < end; k++)
                to[k] = j >= end || (i < middle && lex_before(fronts, from[i], from[j]))
                            ? from[i++]
                            : from[j++];
        }
        uint32_t *held = from;

        from = to;
        to = held;
    }
    fronts->order = from;
    fronts->merge = to;
}

static bool dominates(const double *a, const double *b, uint32_t objectives)
{
    bool better = false;

    for (uint32_t k = 0; k < objectives; k++) {
        if (a[k] > b[k])
            return false;
        better = better || a[k] < b[k];
    }
    return better;
}

/* Move the rows that none of `left` dominates from order to front. A row can only be dominated by
 * one that is lexicographically before it, and then also by one of the front. */
static uint32_t next_front(struct fronts *fronts, uint32_t *left)
{
    uint32_t size = 0, kept = 0;

    for (uint32_t i = 0; i < *left; i++) {
        uint32_t row = fronts->order[i], f = size;

        while (f > 0 && !dominates(loss_of(fronts, fronts->front[f - 1]), loss_of(fronts, row),
                                   fronts->objectives))
            f--;
        if (f == 0)
            fronts->front[size++] = row;
        else
            fronts->order[kept++] = row;
    }
    *left = kept;
    return size;
}

static bool same_loss(const struct fronts *fronts, uint32_t a, uint32_t b)
{
    const double *x = loss_of(fronts, a), *y = loss_of(fronts, b);
    uint32_t k = 0;

    while (k < fronts->objectives && x[k] == y[k])
        k++;
    return k == fronts->objectives;
}

/* Mark the rows of the lowest `wanted` numbers among those of the front with that flag. */
static void take_lowest(const struct fronts *fronts, const uint8_t *flags, uint8_t flag,
                        uint32_t size, uint32_t wanted, uint8_t *below)
{
    for (; wanted > 0; wanted--) {
        uint32_t lowest = UINT32_MAX;

        for (uint32_t i = 0; i < size; i++) {
            uint32_t row = fronts->front[i];

            if (flags[i] == flag && !below[fronts->key[row]] && row < lowest)
                lowest = row;
        }
        below[fronts->key[lowest]] = 1;
    }
}

/* Some of a front: the unique points that cover most, each standing for its lowest number. */
static int take_covering(struct fronts *fronts, uint32_t size, uint32_t wanted,
                         const struct sampler_allocator *allocator, uint8_t *below)
{
    uint32_t objectives = fronts->objectives, unique = 0;
    double reference[HYPERVOLUME_OBJECTIVES];
    bool finite = true;
    size_t bytes = size * (objectives * sizeof(double) + 2 * sizeof(uint32_t) + 1);
    uint8_t *block = allocator->alloc(allocator->context, bytes);
    double *points = (double *)(void *)block;
    uint32_t *rows = (uint32_t *)(void *)(points + (size_t)size * objectives);
    uint32_t *chosen = rows + size;
    uint8_t *first = (uint8_t *)(chosen + size);
    int err = SAMPLER_OK;

    if (!block)
        return SAMPLER_NOMEM;
    for (uint32_t k = 0; k < objectives; k++) {
        double worst = loss_of(fronts, fronts->front[0])[k];

        for (uint32_t i = 1; i < size; i++) {
            double loss = loss_of(fronts, fronts->front[i])[k];

            worst = loss > worst ? loss : worst;
        }
        reference[k] = worst > 0 ? 1.1 * worst : 0.9 * worst;
        if (reference[k] == 0)
            reference[k] = 1e-12;
        finite = finite && reference[k] - reference[k] == 0;
    }
    for (uint32_t i = 0; i < size; i++) {
        first[i] = i == 0 || !same_loss(fronts, fronts->front[i - 1], fronts->front[i]);
        if (!first[i])
            continue;
        memcpy(points + (size_t)unique * objectives, loss_of(fronts, fronts->front[i]),
               objectives * sizeof(double));
        rows[unique++] = fronts->front[i];
    }
    if (unique < wanted) {
        take_lowest(fronts, first, 1, size, unique, below);
        take_lowest(fronts, first, 0, size, wanted - unique, below);
    } else if (finite) {
        err = hypervolume_subset(points, unique, objectives, reference, wanted, allocator, chosen);
        for (uint32_t i = 0; err == SAMPLER_OK && i < wanted; i++)
            below[fronts->key[rows[chosen[i]]]] = 1;
    } else { /* volumes mean nothing: the first ones in lexicographic order */
        for (uint32_t i = 0; i < wanted; i++)
            below[fronts->key[rows[i]]] = 1;
    }
    allocator->free(allocator->context, block);
    return err;
}

/* Mark `wanted` of the COMPLETE ones, of which there are `complete` > wanted. */
static int take_fronts(const struct sampler_study *study, const struct tpe_key *keys,
                       uint32_t count, uint32_t complete, uint32_t wanted,
                       const struct sampler_allocator *allocator, uint8_t *below)
{
    uint32_t objectives = study->direction_count;
    size_t words = (size_t)complete * sizeof(uint32_t);
    uint8_t *block = allocator->alloc(allocator->context,
                                      (size_t)complete * objectives * sizeof(double) + 4 * words);
    struct fronts fronts = {.objectives = objectives, .loss = (double *)(void *)block};
    uint32_t left = complete;
    int err = SAMPLER_OK;

    if (!block)
        return SAMPLER_NOMEM;
    fronts.key = (uint32_t *)(void *)(fronts.loss + (size_t)complete * objectives);
    fronts.order = fronts.key + complete;
    fronts.front = fronts.order + complete;
    fronts.merge = fronts.front + complete;
    for (uint32_t i = 0; i < count; i++) {
        if (keys[i].class != TPE_COMPLETE)
            continue;
        for (uint32_t k = 0; k < objectives; k++) {
            double value = keys[i].trial->objectives[k];

            fronts.loss[(size_t)fronts.count * objectives + k] =
                study->directions[k] ? -value : value;
        }
        fronts.key[fronts.count++] = i;
    }
    lex_sort(&fronts);
    while (err == SAMPLER_OK && wanted > 0) {
        uint32_t size = next_front(&fronts, &left);

        if (size > wanted) {
            err = take_covering(&fronts, size, wanted, allocator, below);
            break;
        }
        for (uint32_t i = 0; i < size; i++)
            below[fronts.key[fronts.front[i]]] = 1;
        wanted -= size;
    }
    allocator->free(allocator->context, block);
    return err;
}

int tpe_split(const struct sampler_study *study, const struct tpe_key *keys, uint32_t count,
              uint32_t n_below, const struct sampler_allocator *allocator, uint8_t *below)
{
    uint32_t complete = 0;

    memset(below, 0, count);
    if (study->direction_count == 1)
        return take_first(keys, count, TPE_COMPLETE, n_below, allocator, below);
    for (uint32_t i = 0; i < count; i++)
        complete += keys[i].class == TPE_COMPLETE;
    if (complete > n_below)
        return take_fronts(study, keys, count, complete, n_below, allocator, below);
    for (uint32_t i = 0; i < count; i++)
        below[i] = keys[i].class == TPE_COMPLETE;
    return take_first(keys, count, TPE_PRUNED, n_below - complete, allocator, below);
}

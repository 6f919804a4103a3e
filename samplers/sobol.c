/*
 * sobol: expansion of the table, points, scrambling.
 */
#include "samplers/strict.h"
#include "samplers/sobol.h"
#include "samplers/draw.h"
#include "samplers/sobol_table.h"

#include <assert.h>

#define GROUP_DIGITS 8 /* whose tree of 255 inner nodes fits one block of 256 bits */
#define GROUPS (SOBOL_DIGITS / GROUP_DIGITS)
#define TAIL_DIGITS 20

uint32_t sobol_dimension_count(void)
{
    return SOBOL_DIMENSIONS;
}

static int degree_of(uint32_t polynomial)
{
    int degree = 0;

    while (polynomial >> (degree + 1))
        degree++;
    return degree;
}

/* m_k = 2 a_1 m_(k-1) ^ 4 a_2 m_(k-2) ^ ... ^ 2^s m_(k-s) ^ m_(k-s); v_b = m_(b+1) << (31 - b). */
void sobol_directions(uint32_t dimension, uint32_t v[SOBOL_DIGITS])
{
    assert(dimension < SOBOL_DIMENSIONS);

    uint32_t polynomial = SOBOL_POLYNOMIALS[dimension];
    const uint16_t *initial = SOBOL_INITIAL + SOBOL_OFFSETS[dimension];
    int degree = degree_of(polynomial);
    uint64_t m[SOBOL_DIGITS];

    for (int k = 0; k < SOBOL_DIGITS; k++) {
        if (degree == 0) {
            m[k] = 1;
        } else if (k < degree) {
            m[k] = initial[k];
        } else {
            m[k] = m[k - degree] ^ m[k - degree] << degree;
            for (int j = 1; j < degree; j++)
                if (polynomial >> (degree - j) & 1)
                    m[k] ^= m[k - j] << j;
        }
        v[k] = (uint32_t)(m[k] << (SOBOL_DIGITS - 1 - k));
    }
}

uint32_t sobol_point(const uint32_t v[SOBOL_DIGITS], uint32_t index)
{
    uint32_t gray = index ^ index >> 1, x = 0;

    for (int b = 0; gray != 0; b++, gray >>= 1)
        if (gray & 1)
            x ^= v[b];
    return x;
}

uint64_t sobol_scramble(const struct philox_key *key, uint32_t instance, uint32_t dimension,
                        uint32_t x)
{
    uint64_t domain = (uint64_t)DRAW_SOBOL << 32 | instance;
    uint64_t slot = (uint64_t)dimension << 8, scrambled = 0, bits[4];

    for (uint32_t group = 0; group < GROUPS; group++) {
        uint32_t above = SOBOL_DIGITS - GROUP_DIGITS * group; /* digits from this group down */
        uint64_t counter[4] = {(uint64_t)x >> above, slot | group, 0, domain};
        uint32_t node = 1;

        philox_block(key, counter, bits);
        for (uint32_t i = 1; i <= GROUP_DIGITS; i++) {
            uint32_t digit = x >> (above - i) & 1;

            scrambled = scrambled << 1 | (digit ^ (bits[node >> 6] >> (node & 63) & 1));
            node = 2 * node + digit;
        }
    }

    uint64_t counter[4] = {x, slot | GROUPS, 0, domain};

    philox_block(key, counter, bits);
    return scrambled << TAIL_DIGITS | bits[0] >> (64 - TAIL_DIGITS);
}

double sobol_unit(uint32_t x)
{
    return (double)x * 0x1p-32;
}

double sobol_unit_scrambled(uint64_t digits)
{
    return ((double)digits + 0.5) * 0x1p-52;
}

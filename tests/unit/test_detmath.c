/*
 * exp and log: accuracy against correctly rounded results, exact places, and the self-test.
 */
#include "samplers_support.h"
#include "samplers/detmath.h"
#include "samplers/fpenv.h"

#ifdef HPO_TEST_MPFR
#include <mpfr.h>
#endif

#define ULP_GOAL 1.0
#define SWEEP_COUNT 40000

static double from_word(uint64_t bits)
{
    double x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* -- vectors -- */

static void check_vectors(const char *name, double (*function)(double), size_t count)
{
    json_t *root = vectors_load("detmath.json");
    json_t *rows = vectors_get(root, name);
    double worst = 0;

    cr_assert_eq(json_array_size(rows), count);
    for (size_t i = 0; i < count; i++) {
        double x = vectors_double(json_array_get(json_array_get(rows, i), 0));
        double expected = vectors_double(json_array_get(json_array_get(rows, i), 1));
        double distance = ulp_distance(function(x), expected);

        cr_assert_leq(distance, ULP_GOAL, "%s(%a) = %a, expected %a", name, x, function(x),
                      expected);
        worst = distance > worst ? distance : worst;
    }
    fprintf(stderr, "detmath: %s on %zu vectors: worst distance %g ulp\n", name, count, worst);
    json_decref(root);
}

Test(detmath, exp_is_within_an_ulp_of_the_vectors)
{
    check_vectors("exp", det_exp, 307);
}

Test(detmath, log_is_within_an_ulp_of_the_vectors)
{
    check_vectors("log", det_log, 272);
}

/* -- MPFR -- */

#ifdef HPO_TEST_MPFR

/* Error in units of the last place of the correctly rounded result; its subnormal unit is 2^-1074.
 */
static double error_ulp(double got, const mpfr_t exact)
{
    double rounded = mpfr_get_d(exact, MPFR_RNDN);
    int exponent;
    mpfr_t difference;
    double error;

    if (!isfinite(rounded) || !isfinite(got))
        return got == rounded ? 0 : INFINITY;
    (void)frexp(rounded, &exponent);
    if (fabs(rounded) < 0x1p-1022)
        exponent = -1021;
    mpfr_init2(difference, 300);
    mpfr_sub_d(difference, exact, got, MPFR_RNDN);
    mpfr_mul_2si(difference, difference, 53 - exponent, MPFR_RNDN);
    error = fabs(mpfr_get_d(difference, MPFR_RNDN));
    mpfr_clear(difference);
    return error;
}

struct sweep {
    const char *name;
    double (*function)(double);
    int (*exact)(mpfr_t, const mpfr_t, mpfr_rnd_t);
    double worst, worst_at;
    int count, wrong;
};

static void sweep_one(struct sweep *sweep, double x)
{
    mpfr_t argument, exact;
    double error, got = sweep->function(x);

    mpfr_init2(argument, 53);
    mpfr_init2(exact, 200);
    mpfr_set_d(argument, x, MPFR_RNDN);
    sweep->exact(exact, argument, MPFR_RNDN);
    error = error_ulp(got, exact);
    sweep->count++;
    sweep->wrong += error > 0.5;
    if (error > sweep->worst) {
        sweep->worst = error;
        sweep->worst_at = x;
    }
    mpfr_clear(argument);
    mpfr_clear(exact);
}

static void sweep_end(const struct sweep *sweep)
{
    fprintf(stderr, "detmath: %s on %d arguments: worst %.4f ulp at %a, %d not correctly rounded\n",
            sweep->name, sweep->count, sweep->worst, sweep->worst_at, sweep->wrong);
    cr_assert_leq(sweep->worst, ULP_GOAL);
}

/* The whole domain with both ends, where the reduction is, and every size of argument. */
Test(detmath, exp_is_within_an_ulp_of_mpfr)
{
    struct sweep sweep = {.name = "exp", .function = det_exp, .exact = mpfr_exp};
    struct test_random random = {3};

    for (int i = 0; i < SWEEP_COUNT; i++) {
        double u = test_unit(&random);

        switch (i % 4) {
        case 0:
            sweep_one(&sweep, -745.2 + u * (709.79 + 745.2));
            break;
        case 1:
            sweep_one(&sweep, -745.2 + u * 40); /* subnormal results */
            break;
        case 2:
            sweep_one(&sweep, (u - 0.5) * 40);
            break;
        default:
            sweep_one(&sweep, ldexp(u - 0.5, -(i / 4) % 60));
        }
    }
    for (int k = -1075; k <= 1024; k++) /* next to the places where the reduction changes over */
        for (int side = -2; side <= 2; side++)
            sweep_one(&sweep, (k + 0.5) * 0.693147180559945309 * (1 + side * 0x1p-52));
    sweep_end(&sweep);
}

Test(detmath, log_is_within_an_ulp_of_mpfr)
{
    struct sweep sweep = {.name = "log", .function = det_log, .exact = mpfr_log};
    struct test_random random = {4};

    for (int i = 0; i < SWEEP_COUNT; i++) {
        double u = test_unit(&random);

        switch (i % 4) {
        case 0:
            sweep_one(&sweep, from_word(test_word64(&random) % UINT64_C(0x7FEFFFFFFFFFFFFF) + 1));
            break;
        case 1:
            sweep_one(&sweep, 0.5 + u * 1.5);
            break;
        case 2:
            sweep_one(&sweep, 1 + ldexp(u - 0.5, -(i / 4) % 53));
            break;
        default:
            sweep_one(&sweep,
                      from_word(test_word64(&random) >> (12 + (i / 4) % 51) | 1)); /* subnormal */
        }
    }
    for (int exponent = -1074; exponent <= 1023; exponent++)
        for (int step = 0; step < 4; step++)
            sweep_one(&sweep,
                      ldexp(1 + step * 0.25, exponent) > 0 ? ldexp(1 + step * 0.25, exponent) : 1);
    sweep_end(&sweep);
}

#else

Test(detmath, sweeps_against_mpfr_are_left_out)
{
    cr_skip_test("libmpfr-dev was not found when this was configured: exp and log were not swept "
                 "against MPFR");
}

#endif

/* -- exact places -- */

Test(detmath, ends_of_exp_are_exact)
{
    cr_assert_eq(det_exp(0), 1);
    cr_assert_eq(det_exp(-0.0), 1);
    cr_assert_eq(det_exp(INFINITY), INFINITY);
    cr_assert_eq(det_exp(-INFINITY), 0);
    cr_assert(isnan(det_exp(NAN)));
    cr_assert_eq(det_exp(0x1.62e42fefa39efp+9), 0x1.fffffffffff2ap+1023); /* the last finite one */
    cr_assert_eq(det_exp(0x1.62e42fefa39fp+9), INFINITY);
    cr_assert_eq(det_exp(1e300), INFINITY);
    cr_assert_eq(det_exp(-745.13), 0x1p-1074);
    cr_assert_eq(det_exp(-745.14), 0);
    cr_assert_eq(det_exp(-1e300), 0);
}

Test(detmath, ends_of_log_are_exact)
{
    cr_assert_eq(det_log(1), 0);
    cr_assert_not(signbit(det_log(1)));
    cr_assert_eq(det_log(0), -INFINITY);
    cr_assert_eq(det_log(-0.0), -INFINITY);
    cr_assert_eq(det_log(INFINITY), INFINITY);
    cr_assert(isnan(det_log(-1)));
    cr_assert(isnan(det_log(-INFINITY)));
    cr_assert(isnan(det_log(NAN)));
}

Test(detmath, exp_and_log_never_step_back)
{
    struct test_random random = {5};

    for (int i = 0; i < 200000; i++) {
        double x = -700 + 1400 * test_unit(&random);
        double y = from_word(test_word64(&random) % UINT64_C(0x7FE0000000000000) + 1);

        cr_assert_leq(det_exp(x), det_exp(nextafter(x, INFINITY)));
        cr_assert_leq(det_log(y), det_log(nextafter(y, INFINITY)));
    }
}

Test(detmath, basic_operations_are_those_of_libm)
{
    struct test_random random = {6};
    static const double edges[] = {
        0,     0.5,        1.5,          2.5,       0.49999999999999994, 0x1p52,
        1e300, 0x1p52 - 1, 0x1p51 + 0.5, 0x1p-1074, 4503599627370495.5,  1};

    for (int i = 0; i < 200024; i++) {
        double x =
            i < 24 ? (i % 2 ? -1 : 1) * edges[i / 2] : ldexp(test_unit(&random) - 0.5, i % 60);

        cr_assert_eq(det_rint(x), rint(x), "rint(%a)", x);
        cr_assert_eq(det_floor(x), floor(x), "floor(%a)", x);
        cr_assert_eq(det_abs(x), fabs(x));
        cr_assert_eq(det_next_below(x), nextafter(x, -INFINITY));
    }
    cr_assert(isnan(det_rint(NAN)));
    cr_assert_eq(det_rint(-INFINITY), -INFINITY);
}

/* -- the self-test and the environment -- */

Test(detmath, self_test_passes_and_names_the_version)
{
    cr_assert_eq(detmath_self_test(), SAMPLER_OK);
    cr_assert_eq(detmath_version(), DETMATH_VERSION);
}

#ifdef __SSE2__
#include <xmmintrin.h>

/* Flush-to-zero, denormals-are-zero, rounding up: what a careless library may leave behind. */
#define CARELESS 0xDFC0u

Test(detmath, self_test_sets_its_own_environment_and_gives_the_callers_back)
{
    volatile double tiny = 0x1p-1022, half = 0.5;

    _mm_setcsr(CARELESS);
    if (tiny * half != 0) {
        _mm_setcsr(0x1F80);
        cr_skip_test("flush-to-zero has no effect here (valgrind does not imitate it)");
    }
    cr_assert_eq(detmath_self_test(), SAMPLER_OK);
    cr_assert_eq(_mm_getcsr() & 0xFFC0, CARELESS & 0xFFC0);
    _mm_setcsr(0x1F80);
}

Test(detmath, entering_switches_subnormals_on_and_leaving_keeps_the_flags)
{
    volatile double tiny = 0x1p-1022, half = 0.5, result;
    struct fpenv saved;
    unsigned int before;

    _mm_setcsr(CARELESS | 0x20); /* with the inexact flag raised */
    before = _mm_getcsr();
    fpenv_enter(&saved);
    result = tiny * half;
    fpenv_leave(&saved);
    cr_assert_eq(_mm_getcsr(), before);
    _mm_setcsr(0x1F80);
    cr_assert_eq(result, 0x1p-1023);
}
#endif

/*
 * detmath: accuracy against correctly rounded results and MPFR, exact places, order, the self-test.
 */
#include "samplers_support.h"
#include "samplers/detmath.h"
#include "samplers/fpenv.h"

#ifdef HPO_TEST_MPFR
#include <mpfr.h>
#endif

#define SWEEP_COUNT 40000

static double from_word(uint64_t bits)
{
    double x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* -- vectors -- */

/* What detmath.h promises, in ulp. */
struct promise {
    const char *name;
    double (*function)(double);
    double goal;  /* 0: 1e-15 relative */
    size_t count; /* of its vectors */
};

static const struct promise promises[] = {
    {"exp", det_exp, 1, 307},     {"log", det_log, 1, 272},           {"log1p", det_log1p, 2, 282},
    {"expm1", det_expm1, 2, 293}, {"erf", det_erf, 2, 290},           {"erfc", det_erfc, 4, 296},
    {"erfcx", det_erfcx, 2, 288}, {"log_ndtr", det_log_ndtr, 4, 296}, {"ndtri", det_ndtri, 0, 271},
};
#define PROMISES (sizeof(promises) / sizeof(promises[0]))

Test(detmath, functions_are_as_close_to_the_vectors_as_promised)
{
    json_t *root = vectors_load("detmath.json");

    for (size_t p = 0; p < PROMISES; p++) {
        json_t *rows = vectors_get(root, promises[p].name);
        double worst = 0;

        cr_assert_eq(json_array_size(rows), promises[p].count, "%s", promises[p].name);
        for (size_t i = 0; i < promises[p].count; i++) {
            double x = vectors_double(json_array_get(json_array_get(rows, i), 0));
            double expected = vectors_double(json_array_get(json_array_get(rows, i), 1));
            double got = promises[p].function(x);
            double distance = ulp_distance(got, expected);

            if (promises[p].goal > 0)
                cr_assert_leq(distance, promises[p].goal, "%s(%a) = %a, expected %a",
                              promises[p].name, x, got, expected);
            else
                cr_assert_leq(fabs(got - expected), 1e-15 * fabs(expected), "%s(%a)",
                              promises[p].name, x);
            worst = distance > worst ? distance : worst;
        }
        fprintf(stderr, "detmath: %s on %zu vectors: worst distance %g ulp\n", promises[p].name,
                promises[p].count, worst);
    }
    json_decref(root);
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
    double goal;     /* ulp */
    double relative; /* the largest relative error, where the result is no subnormal */
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
    if (fabs(got) >= 0x1p-1022 && isfinite(got)) {
        mpfr_sub_d(argument, exact, got, MPFR_RNDN);
        mpfr_div(argument, argument, exact, MPFR_RNDN);
        sweep->relative = fmax(sweep->relative, fabs(mpfr_get_d(argument, MPFR_RNDN)));
    }
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
    fprintf(stderr,
            "detmath: %s on %d arguments: worst %.4f ulp at %a, %.2e relative; %d not "
            "correctly rounded\n",
            sweep->name, sweep->count, sweep->worst, sweep->worst_at, sweep->relative,
            sweep->wrong);
    cr_assert_leq(sweep->worst, sweep->goal);
}

/* The whole domain with both ends, where the reduction is, and every size of argument. */
Test(detmath, exp_is_within_an_ulp_of_mpfr)
{
    struct sweep sweep = {.name = "exp", .function = det_exp, .exact = mpfr_exp, .goal = 1};
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
    struct sweep sweep = {.name = "log", .function = det_log, .exact = mpfr_log, .goal = 1};
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

/* exp(x^2) erfc x; 200 bits of erfc and of x^2 are plenty, mpfr_erfc's exponent has no end here. */
static int exact_erfcx(mpfr_t out, const mpfr_t x, mpfr_rnd_t round)
{
    mpfr_t power;

    mpfr_init2(power, 200);
    mpfr_sqr(power, x, round);
    mpfr_exp(power, power, round);
    mpfr_erfc(out, x, round);
    mpfr_mul(out, out, power, round);
    mpfr_clear(power);
    return 0;
}

static int exact_ndtr(mpfr_t out, const mpfr_t a, mpfr_rnd_t round)
{
    mpfr_t x;

    mpfr_init2(x, 200);
    mpfr_set_ui(x, 2, round);
    mpfr_sqrt(x, x, round);
    mpfr_div(x, a, x, round);
    mpfr_neg(x, x, round);
    mpfr_erfc(out, x, round);
    mpfr_div_ui(out, out, 2, round);
    mpfr_clear(x);
    return 0;
}

static int exact_log_ndtr(mpfr_t out, const mpfr_t a, mpfr_rnd_t round)
{
    mpfr_t q;

    mpfr_init2(q, 200);
    if (mpfr_sgn(a) > 0) {
        mpfr_neg(q, a, round);
        exact_ndtr(q, q, round);
        mpfr_neg(q, q, round);
        mpfr_log1p(out, q, round);
    } else {
        exact_ndtr(q, a, round);
        mpfr_log(out, q, round);
    }
    mpfr_clear(q);
    return 0;
}

/* From the double z = ndtri(u), which is right to 1e-15: two Newton steps, each of which squares
 * that, on the side where the tail is small. */
static int exact_ndtri(mpfr_t out, const mpfr_t u, mpfr_rnd_t round)
{
    mpfr_t p, step, density;
    bool upper = mpfr_cmp_d(u, 0.5) > 0;

    mpfr_inits2(200, p, step, density, (mpfr_ptr)0);
    mpfr_set(p, u, round);
    if (upper)
        mpfr_ui_sub(p, 1, p, round);
    mpfr_set_d(out, det_ndtri(mpfr_get_d(p, round)), round);
    for (int i = 0; i < 2; i++) {
        exact_ndtr(step, out, round);
        mpfr_sub(step, step, p, round);
        mpfr_sqr(density, out, round);
        mpfr_div_si(density, density, -2, round);
        mpfr_exp(density, density, round);
        mpfr_div(step, step, density, round);
        mpfr_const_pi(density, round); /* the density's sqrt(2 pi) */
        mpfr_mul_ui(density, density, 2, round);
        mpfr_sqrt(density, density, round);
        mpfr_mul(step, step, density, round);
        mpfr_sub(out, out, step, round);
    }
    if (upper)
        mpfr_neg(out, out, round);
    mpfr_clears(p, step, density, (mpfr_ptr)0);
    return 0;
}

/* Arguments over [low, high], a quarter each: all of it; near 0; [-3, 3] within it; every size of
 * argument down to 2^-60 with both signs where the domain has them. */
static void sweep_domain(struct sweep *sweep, double low, double high, int count)
{
    struct test_random random = {8};

    for (int i = 0; i < count; i++) {
        double u = test_unit(&random), sign = i & 4 && low < 0 ? -1 : 1;
        double x = i % 4 == 0   ? low + u * (high - low)
                   : i % 4 == 1 ? sign * u
                   : i % 4 == 2 ? sign * 3 * u
                                : sign * ldexp(u, -(i / 4) % 60);

        sweep_one(sweep, x < low ? low : x > high ? high : x);
    }
    sweep_end(sweep);
}

Test(detmath, log1p_and_expm1_are_within_their_ulps_of_mpfr)
{
    struct sweep log1p_sweep = {
        .name = "log1p", .function = det_log1p, .exact = mpfr_log1p, .goal = 2};
    struct sweep expm1_sweep = {
        .name = "expm1", .function = det_expm1, .exact = mpfr_expm1, .goal = 2};

    for (int i = 0; i < 4000; i++)
        sweep_one(&log1p_sweep, ldexp(1 + i * 0x1p-12, i % 1000));
    sweep_domain(&log1p_sweep, nextafter(-1, 0), 10, SWEEP_COUNT);
    for (int k = -58; k <= 1024; k++)
        for (int side = -2; side <= 2; side++) {
            double x = (k + 0.5) * 0.693147180559945309 * (1 + side * 0x1p-52);

            sweep_one(&expm1_sweep, x > 709.78 ? 709.78 : x);
        }
    sweep_domain(&expm1_sweep, -45, 50, SWEEP_COUNT);
}

Test(detmath, error_functions_are_within_their_ulps_of_mpfr)
{
    struct sweep erf_sweep = {.name = "erf", .function = det_erf, .exact = mpfr_erf, .goal = 2};
    struct sweep erfc_sweep = {.name = "erfc", .function = det_erfc, .exact = mpfr_erfc, .goal = 4};
    struct sweep erfcx_sweep = {
        .name = "erfcx", .function = det_erfcx, .exact = exact_erfcx, .goal = 2};

    sweep_domain(&erf_sweep, -6.5, 6.5, SWEEP_COUNT);
    sweep_domain(&erfc_sweep, -6.5, 27.3, SWEEP_COUNT);
    for (int i = 0; i < 1000; i++) /* the asymptotic series, and both sides of where it begins */
        sweep_one(&erfcx_sweep, i % 2 ? 50 * (1 + (i - 500) * 0x1p-52) : 50 + i * i * 0.001);
    for (int piece = 4; piece <= 64; piece++)
        for (int side = -4; side <= 4; side++)
            sweep_one(&erfcx_sweep, fabs((256.0 / piece - 4) * (1 + side * 0x1p-52)));
    sweep_domain(&erfcx_sweep, 0, 50, SWEEP_COUNT);
}

Test(detmath, normal_distribution_is_within_its_ulps_of_mpfr)
{
    struct sweep ndtr = {.name = "ndtr", .function = det_ndtr, .exact = exact_ndtr, .goal = 4};
    struct sweep below = {.name = "log_ndtr up to -1/2",
                          .function = det_log_ndtr,
                          .exact = exact_log_ndtr,
                          .goal = 2};
    struct sweep above = {.name = "log_ndtr above -1/2",
                          .function = det_log_ndtr,
                          .exact = exact_log_ndtr,
                          .goal = 4};
    struct test_random random = {9};

    sweep_domain(&ndtr, -38.4, 8.3, SWEEP_COUNT);
    for (int i = 0; i < SWEEP_COUNT; i++) {
        double u = test_unit(&random);

        sweep_one(&below, i % 2 ? -0.5 - 4 * u : -0.5 - ldexp(u, i / 2 % 10));
    }
    sweep_end(&below);
    sweep_domain(&above, -0.5, 38.4, SWEEP_COUNT);
}

Test(detmath, inverse_normal_is_within_1e15_of_mpfr)
{
    struct sweep sweep = {.name = "ndtri", .function = det_ndtri, .exact = exact_ndtri, .goal = 9};
    struct test_random random = {10};

    for (int i = 0; i < SWEEP_COUNT / 2; i++) {
        double u = test_unit(&random);

        sweep_one(&sweep, i % 4 == 0   ? (floor(u * 0x1p52) + 0.5) * 0x1p-52
                          : i % 4 == 1 ? 0.075 * u + 0x1p-60
                          : i % 4 == 2 ? 1 - 0.075 * u - 0x1p-53
                                       : ldexp(u + 0x1p-60, -(i / 4) % 1010));
    }
    sweep_end(&sweep);
    cr_assert_leq(sweep.relative, 1e-15);
}

#else

Test(detmath, sweeps_against_mpfr_are_left_out)
{
    cr_skip_test("libmpfr-dev was not found when this was configured: nothing was swept "
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

Test(detmath, ends_of_the_other_functions_are_exact)
{
    cr_assert_eq(det_log1p(-1), -INFINITY);
    cr_assert(isnan(det_log1p(-1.5)) && isnan(det_log1p(NAN)));
    cr_assert_eq(det_log1p(INFINITY), INFINITY);
    cr_assert_eq(det_log1p(1e-300), 1e-300);
    cr_assert_eq(det_log1p(0x1p-1074), 0x1p-1074);
    cr_assert_eq(det_expm1(-INFINITY), -1);
    cr_assert_eq(det_expm1(INFINITY), INFINITY);
    cr_assert_eq(det_expm1(710), INFINITY);
    cr_assert(isnan(det_expm1(NAN)));
    cr_assert_eq(det_expm1(-0x1p-1074), -0x1p-1074);
    cr_assert_eq(det_erf(0), 0);
    cr_assert_eq(det_erf(INFINITY), 1);
    cr_assert_eq(det_erf(-INFINITY), -1);
    cr_assert(isnan(det_erf(NAN)) && isnan(det_erfc(NAN)) && isnan(det_erfcx(NAN)));
    cr_assert_eq(det_erfc(0), 1);
    cr_assert_eq(det_erfc(INFINITY), 0);
    cr_assert_eq(det_erfc(-INFINITY), 2);
    cr_assert_eq(det_erfcx(0), 1);
    cr_assert_eq(det_erfcx(INFINITY), 0);
    cr_assert(isnan(det_erfcx(-0x1p-1074)));
    cr_assert_eq(det_ndtr(0), 0.5);
    cr_assert_eq(det_ndtr(INFINITY), 1);
    cr_assert_eq(det_ndtr(-INFINITY), 0);
    cr_assert_eq(det_log_ndtr(INFINITY), 0);
    cr_assert_eq(det_log_ndtr(-INFINITY), -INFINITY);
    cr_assert(isnan(det_ndtr(NAN)) && isnan(det_log_ndtr(NAN)) && isnan(det_ndtri(NAN)));
    cr_assert_eq(det_ndtri(0.5), 0);
    cr_assert_eq(det_ndtri(0), -INFINITY);
    cr_assert_eq(det_ndtri(1), INFINITY);
    cr_assert(isnan(det_ndtri(-0.1)) && isnan(det_ndtri(1.1)));
    cr_assert(fabs(det_ndtri(0x1p-1074) + 38.4674056171443) < 1e-12);
}

Test(detmath, inverse_normal_is_symmetric_and_it_and_the_tails_never_step_back)
{
    struct test_random random = {7};

    for (int i = 0; i < 100000; i++) {
        double u = (floor(test_unit(&random) * 0x1p51) + 0.5) * 0x1p-52; /* below 1/2 */
        double near = u * (1 + 0x1p-40), a = 60 * test_unit(&random) - 45;

        cr_assert_eq(det_ndtri(1 - u), -det_ndtri(u));
        cr_assert_leq(det_ndtri(u), det_ndtri(near));
        cr_assert_leq(det_log_ndtr(a), det_log_ndtr(a + 0x1p-40));
    }
}

/* ln Phi(a) = ln(1 - exp(ln Phi(-a))), over a where neither side loses digits. */
Test(detmath, log_ndtr_and_its_mirror_image_add_up_to_one)
{
    for (int i = 0; i <= 1000; i++) {
        double a = -1 + i * 0.006;
        double mirrored = det_log1p(-det_exp(det_log_ndtr(-a)));

        cr_assert(fabs(det_log_ndtr(a) - mirrored) <= 1e-14 * fabs(mirrored), "at %g", a);
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

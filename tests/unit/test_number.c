/*
 * Numbers: shortest text that reads back as the same bits, and nothing half read.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/number.h"

TestSuite(number);

static uint64_t bits(double value)
{
    uint64_t b;

    memcpy(&b, &value, sizeof(b));
    return b;
}

Test(number, prints_as_a_person_would)
{
    static const struct {
        double value;
        const char *text, *brief;
    } cases[] = {
        {0, "0.0", "0"},
        {-0.0, "-0.0", "-0"},
        {3, "3.0", "3"},
        {100, "100.0", "100"},
        {123456789012, "123456789012.0", "123456789012"},
        {0.1, "0.1", "0.1"},
        {1.0 / 3, "0.3333333333333333", "0.3333333333333333"},
        {1e-5, "1e-05", "1e-05"},
        {1e22, "1e+22", "1e+22"},
        {5e-324, "5e-324", "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308", "1.7976931348623157e+308"},
        {INFINITY, "inf", "inf"},
        {-INFINITY, "-inf", "-inf"},
        {NAN, "nan", "nan"},
        {-NAN, "nan", "nan"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[NUMBER_SIZE];

        cr_expect_str_eq(number_print(cases[i].value, out), cases[i].text);
        cr_expect_str_eq(number_print_short(cases[i].value, out), cases[i].brief);
    }
}

Test(number, every_printed_number_reads_back_as_the_same_bits)
{
    uint64_t x = 88172645463325252u;

    for (int i = 0; i < 200000; i++) {
        char out[NUMBER_SIZE];
        double value, back;

        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(&value, &x, sizeof(value));
        if (i % 4 == 0) /* near the edge where %g changes its form */
            value = (double)(int64_t)(x >> (x & 63)) / (double)(1 << (i % 8));
        if (isnan(value))
            continue;
        cr_assert(number_parse(number_print(value, out), &back));
        cr_assert_eq(bits(back), bits(value), "%a printed as %s", value, out);
        cr_assert_lt(strlen(out), NUMBER_SIZE);
        cr_assert(strpbrk(out, ".ei") != NULL, "%s looks like an integer", out);
    }
}

Test(number, takes_a_whole_string_or_nothing)
{
    static const char *const good[] = {"1",   " 1 ",    "-1.5e3", "+2", "inf", "-Infinity",
                                       "nan", "0x1p-3", "1.",     ".5", "1\r"};
    static const char *const bad[] = {"", " ", "1x", "x1", "1 2", "1,5", "--1", "1e", "e5", "."};
    double value;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_expect(number_parse(good[i], &value), "\"%s\" refused", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect(!number_parse(bad[i], &value), "\"%s\" taken", bad[i]);
}

Test(number, reads_no_further_than_it_was_told)
{
    double value;

    cr_assert(number_parse_n("12345", 3, &value));
    cr_assert_eq(value, 123);
    cr_assert(!number_parse_n("1\0002", 3, &value), "a NUL is no blank");
}

Test(number, list_has_exactly_as_many_as_asked_for)
{
    double v[3];

    cr_assert(number_parse_list(" 1, 2\t3 ", 8, v, 3));
    cr_assert(v[0] == 1 && v[1] == 2 && v[2] == 3);
    cr_assert(number_parse_list("1,2", 3, v, 2));
    cr_assert(number_parse_list("1 , 2", 5, v, 2));
    cr_assert(!number_parse_list("1 2", 3, v, 1));
    cr_assert(!number_parse_list("1 2", 3, v, 3));
    cr_assert(!number_parse_list("1,,2", 4, v, 2));
    cr_assert(!number_parse_list("1,2,", 4, v, 2));
    cr_assert(!number_parse_list(",1", 2, v, 1));
    cr_assert(!number_parse_list("", 0, v, 1));
}

Test(number, integers_do_not_overflow)
{
    int64_t i;
    uint64_t u;

    cr_assert(number_parse_int("-9223372036854775808", &i) && i == INT64_MIN);
    cr_assert(!number_parse_int("9223372036854775808", &i));
    cr_assert(!number_parse_int("1.0", &i));
    cr_assert(!number_parse_int("", &i));
    cr_assert(number_parse_uint("18446744073709551615", &u) && u == UINT64_MAX);
    cr_assert(!number_parse_uint("18446744073709551616", &u));
    cr_assert(!number_parse_uint("-1", &u));
    cr_assert(!number_parse_uint(" 1", &u));
}

Test(number, seed_has_128_bits_in_hexadecimal)
{
    uint64_t seed[2];

    cr_assert(number_parse_seed("7", seed) && seed[0] == 7 && seed[1] == 0);
    cr_assert(number_parse_seed("0x0123456789abcdefFEDCBA9876543210", seed));
    cr_assert_eq(seed[0], 0xfedcba9876543210);
    cr_assert_eq(seed[1], 0x0123456789abcdef);
    cr_assert(!number_parse_seed("0x", seed));
    cr_assert(!number_parse_seed("0x0123456789abcdef0123456789abcdef0", seed), "33 digits");
    cr_assert(!number_parse_seed("0xg", seed));
    cr_assert(!number_parse_seed("-1", seed));
}

Test(number, spans_of_time_have_units)
{
    int64_t ms;

    cr_assert(number_parse_seconds("90", &ms) && ms == 90000);
    cr_assert(number_parse_seconds("1.5", &ms) && ms == 1500);
    cr_assert(number_parse_seconds("0.001s", &ms) && ms == 1);
    cr_assert(number_parse_seconds("15m", &ms) && ms == 900000);
    cr_assert(number_parse_seconds("8h", &ms) && ms == 28800000);
    cr_assert(number_parse_seconds("2d", &ms) && ms == 172800000);
    cr_assert(!number_parse_seconds("0", &ms));
    cr_assert(!number_parse_seconds("-1", &ms));
    cr_assert(!number_parse_seconds("nan", &ms));
    cr_assert(!number_parse_seconds("inf", &ms));
    cr_assert(!number_parse_seconds("400d", &ms));
    cr_assert(!number_parse_seconds("5x", &ms));
    cr_assert(!number_parse_seconds("m", &ms));
    cr_assert(!number_parse_seconds("", &ms));
}

/*
 * NAME[:key=value,...].
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tools/algorithm.h"

static struct algorithm algorithm;
static struct text why;

static void teardown(void)
{
    algorithm_release(&algorithm);
    text_release(&why);
}

TestSuite(algorithm, .fini = teardown);

Test(algorithm, name_alone)
{
    cr_assert_eq(algorithm_parse("tpe", &algorithm, &why), 0);
    cr_assert_str_eq(algorithm.name, "tpe");
    cr_assert_eq(algorithm.count, 0);
}

Test(algorithm, options_keep_their_order_and_values)
{
    cr_assert_eq(algorithm_parse("tpe:n_startup=10,a=b=c,empty=", &algorithm, &why), 0);
    cr_assert_eq(algorithm.count, 3);
    cr_assert_str_eq(algorithm.options[0].key, "n_startup");
    cr_assert_str_eq(algorithm.options[0].value, "10");
    cr_assert_str_eq(algorithm.options[1].value, "b=c");
    cr_assert_str_eq(algorithm.options[2].value, "");
}

Test(algorithm, what_is_wrong_is_said)
{
    static const char *const bad[] = {"",       ":a=b",     "tpe:",       "tpe:a",
                                      "tpe:=b", "tpe:a=1,", "tpe:a=1,a=2"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(algorithm_parse(bad[i], &algorithm, &why), -1, "\"%s\" was taken", bad[i]);
        cr_assert(why.size > 0);
        cr_assert_null(algorithm.name);
    }
}

Test(algorithm, printed_as_written)
{
    static const char form[] = "tpe:a=1,b=2";
    struct text out = {0};

    cr_assert_eq(algorithm_parse(form, &algorithm, &why), 0);
    algorithm_print(&out, algorithm.name, algorithm.options, algorithm.count);
    cr_assert_str_eq(out.data, form);
    text_release(&out);
}

/*
 * Placeholders: every brace is either a value, a brace, or refused.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tools/placeholder.h"

static struct text out, why;

static void teardown(void)
{
    text_release(&out);
    text_release(&why);
}

TestSuite(placeholder, .fini = teardown);

static const char *look_up(void *arg, const char *name, size_t size)
{
    (void)arg;
    if (size == 2 && memcmp(name, "lr", 2) == 0)
        return "0.1";
    if (size == 1 && *name == 'b')
        return "{x}";
    return NULL;
}

static const char *expand(const char *argument)
{
    text_clear(&out);
    cr_assert_eq(placeholder_expand(&out, argument, look_up, NULL, &why), 0, "%s: %s", argument,
                 text_string(&why));
    return text_string(&out);
}

Test(placeholder, anywhere_in_an_argument)
{
    cr_assert_str_eq(expand("{lr}"), "0.1");
    cr_assert_str_eq(expand("--lr={lr}"), "--lr=0.1");
    cr_assert_str_eq(expand("{lr}{lr},x{lr}y"), "0.10.1,x0.1y");
    cr_assert_str_eq(expand(""), "");
    cr_assert_str_eq(expand("plain"), "plain");
}

Test(placeholder, doubled_braces_are_braces)
{
    cr_assert_str_eq(expand("{{lr}}"), "{lr}");
    cr_assert_str_eq(expand("{{{lr}}}"), "{0.1}");
    cr_assert_str_eq(expand("awk {{print $1}}"), "awk {print $1}");
}

Test(placeholder, a_closing_brace_alone_is_itself)
{
    cr_assert_str_eq(expand("a}b"), "a}b");
}

Test(placeholder, values_are_not_expanded_again)
{
    cr_assert_str_eq(expand("{b}"), "{x}");
}

Test(placeholder, unknown_and_open_ones_are_refused)
{
    static const char *const bad[] = {"{foo}", "{}", "{", "a{lr", "{lr{", "{LR}", "{ lr }"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        text_clear(&out);
        cr_assert_eq(placeholder_expand(&out, bad[i], look_up, NULL, &why), -1, "\"%s\" was taken",
                     bad[i]);
        cr_assert(strstr(why.data, "{{"), "what to do is not said: %s", why.data);
    }
}

Test(placeholder, variables_are_capitals_and_underscores)
{
    placeholder_variable(&out, "lr");
    cr_assert_str_eq(out.data, "HPO_PARAM_LR");
    text_clear(&out);
    placeholder_variable(&out, "opt.beta-2");
    cr_assert_str_eq(out.data, "HPO_PARAM_OPT_BETA_2");
}

/*
 * Text: grows, is never NULL, and knows what UTF-8 is.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tools/text.h"

TestSuite(text);

Test(text, empty_is_an_empty_string)
{
    struct text text = {0};

    cr_assert_str_eq(text_string(&text), "");
    text_clear(&text);
    cr_assert_str_eq(text_string(&text), "");
    text_release(&text);
}

Test(text, grows_over_every_size)
{
    struct text text = {0};

    for (size_t i = 0; i < 3000; i++) {
        text_add_char(&text, 'a');
        cr_assert_eq(text.size, i + 1);
        cr_assert_eq(text.data[text.size], 0);
    }
    text_addf(&text, "%0500d", 7);
    cr_assert_eq(text.size, 3500);
    cr_assert_eq(strlen(text.data), 3500);
    text_release(&text);
}

Test(text, taking_leaves_it_empty)
{
    struct text text = {0};
    char *taken = text_take(&text);

    cr_assert_str_eq(taken, "");
    free(taken);
    text_add(&text, "x");
    taken = text_take(&text);
    cr_assert_str_eq(taken, "x");
    cr_assert_eq(text.size, 0);
    free(taken);
}

Test(text, refusing_replaces_the_content)
{
    struct text why = {0};

    text_add(&why, "old");
    cr_assert_eq(text_refuse(&why, "new %d", 1), -1);
    cr_assert_str_eq(why.data, "new 1");
    text_release(&why);
}

Test(text, utf8_is_valid_whole_and_shortest)
{
    static const struct {
        const char *bytes;
        size_t size, expected;
    } cases[] = {
        {"a", 1, 1},
        {"", 0, 0},
        {"\xc3\xa4", 2, 2},
        {"\xe2\x82\xac", 3, 3},
        {"\xf0\x9f\x98\x80", 4, 4},
        {"\xc3\xa4", 1, 0},         /* cut */
        {"\xe2\x82\xac", 2, 0},     /* cut */
        {"\xc0\x80", 2, 0},         /* longer than needed */
        {"\xe0\x80\x80", 3, 0},     /* longer than needed */
        {"\xf0\x80\x80\x80", 4, 0}, /* longer than needed */
        {"\xed\xa0\x80", 3, 0},     /* surrogate */
        {"\xf4\x90\x80\x80", 4, 0}, /* above U+10FFFF */
        {"\xf5\x80\x80\x80", 4, 0},
        {"\x80", 1, 0},
        {"\xff", 1, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(text_utf8_size(cases[i].bytes, cases[i].size), cases[i].expected, "case %zu",
                     i);
}

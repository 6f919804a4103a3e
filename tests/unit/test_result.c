/*
 * Results: the last number on stdout, KEY=number, and the lines of HPO_RESULT_FD.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "tools/result.h"

static struct text why;

static void teardown(void)
{
    text_release(&why);
}

TestSuite(result, .fini = teardown);

static double last_number(const char *output)
{
    double value = -1;

    return result_last_numbers(output, strlen(output), &value, 1) ? value : -1;
}

Test(result, last_line_that_is_a_number)
{
    cr_assert_eq(last_number("0.5\n"), 0.5);
    cr_assert_eq(last_number("0.5"), 0.5);
    cr_assert_eq(last_number("1\n2\n"), 2);
    cr_assert_eq(last_number("1\nepoch 2\n3 of 4\n\n"), 1);
    cr_assert_eq(last_number("loss 0.5\r\n0.25\r\n"), 0.25);
    cr_assert_eq(last_number("\n\n 7 \n"), 7);
    cr_assert(isinf(last_number("inf\n")));
    cr_assert(isnan(last_number("1\nnan\n")), "NaN is what it said last");
}

Test(result, output_without_a_number_has_no_result)
{
    static const char *const none[] = {"", "\n", "hello\n", "0.5x\n", "1 2\n"};

    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        cr_assert_eq(last_number(none[i]), -1, "\"%s\"", none[i]);
}

Test(result, several_objectives_need_as_many_numbers)
{
    double v[2];
    const char *output = "1\n0.5 17\n3\n1 2 3\n";

    cr_assert(result_last_numbers(output, strlen(output), v, 2));
    cr_assert(v[0] == 0.5 && v[1] == 17);
}

Test(result, key_takes_the_last_line_with_a_number)
{
    const char *output = "loss=0.5\n  loss=0.25  \nloss=oops\nmy loss=3\nlossy=4\nloss =5\n";
    double value;

    cr_assert(result_last_key(output, strlen(output), "loss", &value));
    cr_assert_eq(value, 0.25);
    cr_assert(!result_last_key(output, strlen(output), "acc", &value));
    cr_assert(!result_last_key("", 0, "loss", &value));
}

static int parse(const char *line, size_t count, struct result_line *out)
{
    *out = (struct result_line){0};
    return result_parse_line(line, strlen(line), count, out, &why);
}

Test(result, report_lines)
{
    struct result_line line;

    cr_assert_eq(parse("report 3 0.5", 1, &line), 0);
    cr_assert(line.kind == RESULT_REPORT && line.step == 3 && line.value == 0.5);
    cr_assert_eq(parse("  report\t-1   nan\r", 1, &line), 0);
    cr_assert(line.kind == RESULT_REPORT && line.step == -1 && isnan(line.value));
    cr_assert_eq(parse("report 3", 1, &line), -1);
    cr_assert_eq(parse("report x 1", 1, &line), -1);
    cr_assert_eq(parse("report 1 2 3", 1, &line), -1);
    cr_assert_eq(parse("report 1.5 2", 1, &line), -1);
    cr_assert_eq(parse("report 99999999999999999999999999999999999999 2", 1, &line), -1);
    cr_assert_eq(parse("report", 1, &line), -1);
}

Test(result, results_in_every_form)
{
    struct result_line line;

    cr_assert_eq(parse("0.5", 1, &line), 0);
    cr_assert(line.kind == RESULT_VALUES && line.values[0] == 0.5);
    cr_assert_eq(parse("1 2", 2, &line), 0);
    cr_assert(line.values[0] == 1 && line.values[1] == 2);
    cr_assert_eq(parse("[1, 2.5]", 2, &line), 0);
    cr_assert(line.values[0] == 1 && line.values[1] == 2.5);
    cr_assert_eq(parse("[7]", 1, &line), 0);
    cr_assert_eq(line.values[0], 7);
    cr_assert_eq(parse("{\"value\": 3}", 1, &line), 0);
    cr_assert_eq(line.values[0], 3);
    cr_assert_eq(parse("{\"values\": [3, \"inf\"]}", 2, &line), 0);
    cr_assert(line.values[0] == 3 && isinf(line.values[1]));
    cr_assert_eq(parse("{\"value\": 3, \"attrs\": {\"epochs\": 12}}", 1, &line), 0);
    cr_assert_eq(json_integer_value(json_object_get(line.attrs, "epochs")), 12);
    json_decref(line.attrs);
}

Test(result, blank_lines_say_nothing)
{
    struct result_line line;

    cr_assert_eq(parse("", 1, &line), 0);
    cr_assert_eq(line.kind, RESULT_EMPTY);
    cr_assert_eq(parse(" \t\r", 1, &line), 0);
    cr_assert_eq(line.kind, RESULT_EMPTY);
}

Test(result, unreadable_lines_are_refused)
{
    static const struct {
        const char *line;
        size_t count;
    } bad[] = {
        {"hello", 1},
        {"1 2", 1},
        {"1", 2},
        {"[1]", 2},
        {"[1, 2]", 1},
        {"[\"x\"]", 1},
        {"{\"value\": [1, 2]}", 1},
        {"{\"value\": 1}", 2},
        {"{\"value\": null}", 1},
        {"{}", 1},
        {"{\"value\": 1, \"values\": [1]}", 1},
        {"{\"value\": 1, \"attrs\": 2}", 1},
        {"{\"value\": 1, \"vlaue\": 2}", 1},
        {"{\"value\": 1", 1},
        {"{\"value\": 1} {", 1},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct result_line line;

        cr_assert_eq(parse(bad[i].line, bad[i].count, &line), -1, "\"%s\" was taken", bad[i].line);
        cr_assert(why.size > 0);
        cr_assert_null(line.attrs);
    }
}

static void tail_is(const char *data, size_t limit, const char *expected)
{
    struct text out = {0};

    result_tail(&out, data, strlen(data), limit);
    cr_assert_str_eq(text_string(&out), expected);
    text_release(&out);
}

Test(result, tail_is_a_json_string_from_a_lines_start)
{
    tail_is("a\nb\n", 100, "\"a\\nb\"");
    tail_is("", 100, "\"\"");
    tail_is("long first line\nlast\n", 8, "\"last\"");
    tail_is("say \"hi\"\\\t\x01", 100, "\"say \\\"hi\\\"\\\\\\u0009\\u0001\"");
    tail_is("bad \xff byte", 100, "\"bad \\ufffd byte\"");
    tail_is("one line that is too long", 8, "\"too long\"");
    tail_is("caf\xc3\xa9s", 2, "\"s\"");
}

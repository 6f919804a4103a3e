/*
 * Search spaces: what people write is read as they mean it, or refused with the reason.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tools/searchspace.h"

static struct searchspace space;
static struct text why, out;

static void teardown(void)
{
    searchspace_release(&space);
    text_release(&why);
    text_release(&out);
}

TestSuite(searchspace, .fini = teardown);

static const struct hpo_distribution *added(const char *definition)
{
    cr_assert_eq(searchspace_add(&space, definition, &why), 0, "%s: %s", definition,
                 text_string(&why));
    return &space.params[space.count - 1].distribution;
}

static void refused(const char *definition, const char *word)
{
    size_t count = space.count;

    cr_assert_eq(searchspace_add(&space, definition, &why), -1, "%s was taken", definition);
    cr_assert(strstr(text_string(&why), word), "%s: \"%s\" lacks \"%s\"", definition,
              text_string(&why), word);
    cr_assert(!strchr(text_string(&why), '\n'));
    cr_assert_eq(space.count, count);
}

Test(searchspace, float_with_log)
{
    const struct hpo_distribution *d = added("lr=float(1e-5, 0.1 ,log)");

    cr_assert_str_eq(space.params[0].name, "lr");
    cr_assert_eq(d->kind, HPO_FLOAT);
    cr_assert_eq(d->flags, HPO_LOG);
    cr_assert(d->low == 1e-5 && d->high == 0.1 && d->step == 0);
}

Test(searchspace, float_with_step)
{
    const struct hpo_distribution *d = added("m=float(0,0.95,step=0.05)");

    cr_assert(d->low == 0 && d->high == 0.95 && d->step == 0.05 && d->flags == 0);
}

Test(searchspace, int_with_step_and_with_log)
{
    const struct hpo_distribution *d = added("n=int(-3,12,step=5)");

    cr_assert(d->kind == HPO_INT && d->low_int == -3 && d->high_int == 12 && d->step_int == 5);
    d = added("k=int(1,1024,log)");
    cr_assert(d->kind == HPO_INT && d->flags == HPO_LOG && d->step_int == 0);
}

Test(searchspace, choices_are_strings)
{
    const struct hpo_distribution *d = added("act=choice(relu, 2 ,true)");

    cr_assert_eq(d->kind, HPO_CATEGORICAL);
    cr_assert_eq(d->choice_count, 3);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(d->choices[i].type, HPO_CHOICE_TEXT);
    cr_assert_str_eq(d->choices[1].text, "2");
}

Test(searchspace, quoted_choices_keep_commas_blanks_and_quotes)
{
    const struct hpo_distribution *d = added("a=choice(x,\"a, b\",' c ',\"q\\\"q\",\"\")");

    cr_assert_eq(d->choice_count, 5);
    for (size_t i = 0; i < 5; i++) {
        static const char *const texts[] = {"x", "a, b", " c ", "q\"q", ""};

        cr_assert_eq(d->choices[i].type, HPO_CHOICE_TEXT);
        cr_assert_str_eq(d->choices[i].text, texts[i]);
    }
}

Test(searchspace, what_is_wrong_is_said)
{
    refused("lr", "is not a parameter");
    refused("=float(0,1)", "is not a parameter");
    refused("lr=float", "is not a parameter");
    refused("lr=flaot(0,1)", "\"flaot\" is no kind");
    refused("lr=float(0,1", "\")\" is missing");
    refused("lr=float(0)", "low,high");
    refused("lr=float(a,1)", "\"a\" is not a number");
    refused("lr=float(0,1,lgo)", "\"lgo\"");
    refused("lr=float(0,1,step=0)", "step must be above 0");
    refused("lr=float(0,1) x", "follows");
    refused("n=int(0.5,1)", "whole number");
    refused("n=int(1,10,step=-1)", "step must be above 0");
    refused("a=choice()", "empty");
    refused("a=choice(x,,y)", "empty");
    refused("a=choice(\"x)", "quote is not closed");
    refused("a=choice(\"x\"y)", "closed quote");
}

Test(searchspace, a_name_is_given_once)
{
    added("x=float(0,1)");
    refused("x=int(0,1)", "given twice");
}

Test(searchspace, printed_form_reads_back_the_same)
{
    static const char *const forms[] = {
        "float(1e-05,0.1,log)", "float(0,1,step=0.25)",
        "float(-1.5,3)",        "int(2,12)",
        "int(1,100,log)",       "int(0,100,step=10)",
        "choice(relu,tanh)",    "choice(\"a, b\",\" c\",\"q\\\"\\\\\",\"\")"};

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct text definition = {0};
        const struct hpo_distribution *first, *second;

        text_addf(&definition, "a%zu=%s", i, forms[i]);
        added(definition.data);
        text_clear(&out);
        searchspace_print(&out, &space.params[space.count - 1].distribution);
        cr_assert_str_eq(text_string(&out), forms[i]);
        text_clear(&definition);
        text_addf(&definition, "b%zu=%s", i, out.data);
        added(definition.data);
        first = &space.params[space.count - 2].distribution;
        second = &space.params[space.count - 1].distribution;
        cr_assert(searchspace_same(first, second));
        text_release(&definition);
    }
}

static int add_json(const char *json)
{
    return searchspace_add_json(&space, json, strlen(json), &why);
}

Test(searchspace, json_keeps_order_and_types)
{
    cr_assert_eq(
        add_json("{\"z\": {\"type\": \"float\", \"low\": 1, \"high\": 2.5, \"log\": true},"
                 "\"a\": {\"type\": \"int\", \"low\": 1, \"high\": 9, \"step\": 2},"
                 "\"c\": {\"type\": \"choice\", \"choices\": [\"x\", 2, 2.5, true, null]}}"),
        0, "%s", text_string(&why));
    cr_assert_eq(space.count, 3);
    cr_assert_str_eq(space.params[0].name, "z");
    cr_assert_str_eq(space.params[1].name, "a");
    cr_assert_str_eq(space.params[2].name, "c");
    cr_assert(space.params[0].distribution.low == 1 &&
              space.params[0].distribution.flags == HPO_LOG);
    cr_assert_eq(space.params[1].distribution.step_int, 2);
    {
        const struct hpo_choice *c = space.params[2].distribution.choices;

        cr_assert_eq(space.params[2].distribution.choice_count, 5);
        cr_assert(c[0].type == HPO_CHOICE_TEXT && strcmp(c[0].text, "x") == 0);
        cr_assert(c[1].type == HPO_CHOICE_INT && c[1].integer == 2);
        cr_assert(c[2].type == HPO_CHOICE_FLOAT && c[2].real == 2.5);
        cr_assert(c[3].type == HPO_CHOICE_BOOL && c[3].boolean);
        cr_assert_eq(c[4].type, HPO_CHOICE_NULL);
    }
}

Test(searchspace, json_may_be_a_list_with_names)
{
    cr_assert_eq(add_json("[{\"name\": \"b\", \"type\": \"int\", \"low\": 0, \"high\": 1},"
                          " {\"name\": \"a\", \"type\": \"int\", \"low\": 0, \"high\": 1}]"),
                 0);
    cr_assert_str_eq(space.params[0].name, "b");
}

Test(searchspace, json_errors_name_the_parameter)
{
    static const struct {
        const char *json, *word;
    } cases[] = {
        {"{\"a\": 1}", "\"a\": it must be an object"},
        {"{\"a\": {\"type\": \"flot\"}}", "\"a\": \"type\""},
        {"{\"a\": {\"type\": \"float\", \"low\": 0}}", "\"high\" is missing"},
        {"{\"a\": {\"type\": \"float\", \"low\": \"0\", \"high\": 1}}", "must be a number"},
        {"{\"a\": {\"type\": \"int\", \"low\": 0.5, \"high\": 1}}", "whole number"},
        {"{\"a\": {\"type\": \"int\", \"low\": 0, \"high\": 1, \"step\": 0}}", "step"},
        {"{\"a\": {\"type\": \"int\", \"low\": 0, \"high\": 1, \"lgo\": true}}", "\"lgo\""},
        {"{\"a\": {\"type\": \"int\", \"low\": 0, \"high\": 1, \"log\": 1}}", "true or false"},
        {"{\"a\": {\"type\": \"choice\", \"choices\": []}}", "not empty"},
        {"{\"a\": {\"type\": \"choice\", \"choices\": [[1]]}}", "string, number"},
        {"{\"\": {\"type\": \"int\", \"low\": 0, \"high\": 1}}", "name is empty"},
        {"[{\"type\": \"int\", \"low\": 0, \"high\": 1}]", "entry 1 has no \"name\""},
        {"{\"a\": ", "not JSON"},
        {"7", "not JSON"},
        {"{\"a\": {\"type\": \"int\", \"low\": 0, \"high\": 1}, \"a\": 2}", "not JSON"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(add_json(cases[i].json), -1, "%s was taken", cases[i].json);
        cr_assert(strstr(text_string(&why), cases[i].word), "%s: \"%s\"", cases[i].json,
                  text_string(&why));
    }
}

Test(searchspace, values_are_read_by_their_parameter)
{
    double value;

    added("f=float(0,1)");
    added("n=int(0,9)");
    added("c=choice(a,b)");
    cr_assert(searchspace_value(&space.params[0], "0.5", &value, &why) == 0 && value == 0.5);
    cr_assert(searchspace_value(&space.params[1], "7", &value, &why) == 0 && value == 7);
    cr_assert(searchspace_value(&space.params[2], "b", &value, &why) == 0 && value == 1);
    cr_assert_eq(searchspace_value(&space.params[0], "inf", &value, &why), -1);
    cr_assert_eq(searchspace_value(&space.params[1], "7.5", &value, &why), -1);
    cr_assert_eq(searchspace_value(&space.params[2], "z", &value, &why), -1);
    cr_assert(strstr(why.data, "choice(a,b)"));
}

Test(searchspace, values_outside_the_range_or_off_the_grid_are_refused)
{
    static const struct {
        const char *text;
        size_t param;
        bool good;
    } cases[] = {{"0", 0, true},
                 {"1", 0, true},
                 {"1.01", 0, false},
                 {"-0.1", 0, false},
                 {"0.75", 1, true},
                 {"0.3", 1, false},
                 {"0.2500000000001", 1, true},
                 {"1", 2, true},
                 {"10", 2, true},
                 {"4", 2, true},
                 {"5", 2, false},
                 {"12", 2, false},
                 {"-2", 2, false}};
    double value;

    added("f=float(0,1)");
    added("g=float(0,1,step=0.25)");
    added("n=int(1,10,step=3)");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(searchspace_value(&space.params[cases[i].param], cases[i].text, &value, &why),
                     cases[i].good ? 0 : -1, "%s", cases[i].text);
}

static const char *diff(const char *const *old, size_t old_count, const char *const *new,
                        size_t new_count)
{
    struct searchspace other = {0};

    for (size_t i = 0; i < old_count; i++)
        cr_assert_eq(searchspace_add(&space, old[i], &why), 0);
    for (size_t i = 0; i < new_count; i++)
        cr_assert_eq(searchspace_add(&other, new[i], &why), 0);
    searchspace_diff(&out, space.params, space.count, other.params, other.count);
    searchspace_release(&other);
    return text_string(&out);
}

Test(searchspace, diff_of_the_same_is_empty)
{
    const char *const a[] = {"x=float(0,1)", "y=choice(a,b)"};

    cr_assert_str_eq(diff(a, 2, a, 2), "");
}

Test(searchspace, diff_shows_changed_gone_and_new)
{
    const char *const a[] = {"x=float(0,1)", "y=int(1,2)", "z=int(1,2)"};
    const char *const b[] = {"x=float(0,2)", "z=int(1,2)", "w=choice(p)"};

    cr_assert_str_eq(diff(a, 3, b, 3), "  - x=float(0,1)\n  + x=float(0,2)\n  - y=int(1,2)\n"
                                       "  + w=choice(p)\n");
}

Test(searchspace, diff_shows_another_order)
{
    const char *const a[] = {"x=float(0,1)", "y=int(1,2)"};
    const char *const b[] = {"y=int(1,2)", "x=float(0,1)"};

    cr_assert_str_eq(diff(a, 2, b, 2), "  - place 1: x\n  + place 1: y\n");
}

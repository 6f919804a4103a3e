/*
 * Comparing trials: whatever counts is found, whatever does not is not.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "tools/compare.h"

static const struct hpo_distribution range = {.kind = HPO_FLOAT, .low = 0, .high = 1};
static const struct hpo_distribution other_range = {.kind = HPO_FLOAT, .low = 0, .high = 2};

/* A trial and everything it points to. */
struct made {
    struct hpo_trial_param params[2];
    struct hpo_report_info reports[2];
    struct hpo_attr_info attrs[2];
    double values[2];
    struct hpo_trial_info info;
};

static struct made a, b;
static struct difference difference;

static void make(struct made *m)
{
    *m = (struct made){
        .params = {{"x", &range, 0.5, "0.5"}, {"y", &range, 0.25, "0.25"}},
        .reports = {{1, 0.5}, {2, NAN}},
        .attrs = {{HPO_ATTR_USER, "k", "1", 1}, {HPO_ATTR_OWN, "error", "\"e\"", 3}},
        .values = {1, 2},
    };
    m->info = (struct hpo_trial_info){.number = 3,
                                      .state = HPO_COMPLETE,
                                      .values = m->values,
                                      .value_count = 2,
                                      .params = m->params,
                                      .param_count = 2,
                                      .reports = m->reports,
                                      .report_count = 2,
                                      .attrs = m->attrs,
                                      .attr_count = 2};
}

static void setup(void)
{
    make(&a);
    make(&b);
}

static void teardown(void)
{
    difference_release(&difference);
}

TestSuite(compare, .init = setup, .fini = teardown);

static void found(const char *what)
{
    cr_assert(compare_trials(&a.info, &b.info, &difference), "%s was not found", what);
    cr_assert_str_eq(text_string(&difference.what), what);
    cr_assert(strcmp(text_string(&difference.a), text_string(&difference.b)) != 0);
    make(&b);
}

Test(compare, the_same_is_the_same)
{
    cr_assert(!compare_trials(&a.info, &b.info, &difference));
}

Test(compare, times_ids_lsns_views_and_sessions_do_not_count)
{
    b.info.id = 9;
    b.info.study = 9;
    b.info.view = 9;
    b.info.begin_lsn = b.info.end_lsn = 9;
    b.info.session = 9;
    b.info.begin_us = b.info.end_us = 9;
    b.info.detached = true;
    cr_assert(!compare_trials(&a.info, &b.info, &difference));
}

Test(compare, everything_else_counts)
{
    b.info.number = 4;
    found("number");
    b.info.state = HPO_FAIL;
    found("state");
    b.params[1].name = "z";
    found("name of parameter 2");
    b.params[0].distribution = &other_range;
    found("range of parameter x");
    b.params[1].value = nextafter(0.25, 1);
    b.params[1].text = "0.25000000000000006";
    found("parameter y");
    b.info.param_count = 1;
    found("number of parameters");
    b.reports[0].step = 7;
    found("step of report 1");
    b.reports[1].value = 0;
    found("report at step 2");
    b.info.report_count = 1;
    found("number of reports");
    b.values[1] = -2;
    found("value 2");
    b.info.value_count = 1;
    found("number of values");
    b.attrs[0].key = "l";
    found("name of attribute 1");
    b.attrs[1].value = "\"f\"";
    found("attribute error");
    b.info.attr_count = 1;
    found("number of attributes");
}

Test(compare, order_counts)
{
    b.params[0] = a.params[1];
    b.params[1] = a.params[0];
    found("name of parameter 1");
    b.attrs[0] = a.attrs[1];
    b.attrs[1] = a.attrs[0];
    found("name of attribute 1");
}

Test(compare, zeros_differ_in_their_sign_and_nans_in_nothing)
{
    a.values[0] = 0;
    b.values[0] = -0.0;
    cr_assert(compare_trials(&a.info, &b.info, &difference));
    a.values[0] = NAN;
    b.values[0] = -NAN;
    cr_assert(!compare_trials(&a.info, &b.info, &difference));
}

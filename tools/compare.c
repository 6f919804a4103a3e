/*
 * compare: the first thing that differs, in the order in which a trial comes about.
 */
#include <math.h>
#include <string.h>

#include "tools/compare.h"
#include "tools/number.h"
#include "tools/searchspace.h"
#include "tools/trial_out.h"

void difference_release(struct difference *difference)
{
    text_release(&difference->what);
    text_release(&difference->a);
    text_release(&difference->b);
}

static void set(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void set(struct text *text, const char *format, ...)
{
    va_list args;

    text_clear(text);
    va_start(args, format);
    text_vaddf(text, format, args);
    va_end(args);
}

static bool same_number(double a, double b)
{
    return memcmp(&a, &b, sizeof(a)) == 0 || (isnan(a) && isnan(b));
}

static void set_number(struct text *text, double value)
{
    char number[NUMBER_SIZE];

    set(text, "%s", number_print(value, number));
}

/* Member i of a list is missing in one of the two. */
static bool lengths_differ(size_t a, size_t b, const char *what, struct difference *out)
{
    if (a == b)
        return false;
    set(&out->what, "number of %s", what);
    set(&out->a, "%zu", a);
    set(&out->b, "%zu", b);
    return true;
}

static bool params_differ(const struct hpo_trial_info *a, const struct hpo_trial_info *b,
                          struct difference *out)
{
    for (size_t i = 0; i < a->param_count && i < b->param_count; i++) {
        const struct hpo_trial_param *p = &a->params[i], *q = &b->params[i];

        if (strcmp(p->name, q->name) != 0) {
            set(&out->what, "name of parameter %zu", i + 1);
            set(&out->a, "%s", p->name);
            set(&out->b, "%s", q->name);
            return true;
        }
        if (!searchspace_same(p->distribution, q->distribution)) {
            set(&out->what, "range of parameter %s", p->name);
            text_clear(&out->a);
            text_clear(&out->b);
            searchspace_print(&out->a, p->distribution);
            searchspace_print(&out->b, q->distribution);
            return true;
        }
        if (!same_number(p->value, q->value)) {
            set(&out->what, "parameter %s", p->name);
            set(&out->a, "%s", p->text);
            set(&out->b, "%s", q->text);
            return true;
        }
    }
    return lengths_differ(a->param_count, b->param_count, "parameters", out);
}

static bool reports_differ(const struct hpo_trial_info *a, const struct hpo_trial_info *b,
                           struct difference *out)
{
    for (size_t i = 0; i < a->report_count && i < b->report_count; i++) {
        const struct hpo_report_info *p = &a->reports[i], *q = &b->reports[i];

        if (p->step != q->step) {
            set(&out->what, "step of report %zu", i + 1);
            set(&out->a, "%lld", (long long)p->step);
            set(&out->b, "%lld", (long long)q->step);
            return true;
        }
        if (!same_number(p->value, q->value)) {
            set(&out->what, "report at step %lld", (long long)p->step);
            set_number(&out->a, p->value);
            set_number(&out->b, q->value);
            return true;
        }
    }
    return lengths_differ(a->report_count, b->report_count, "reports", out);
}

static bool values_differ(const struct hpo_trial_info *a, const struct hpo_trial_info *b,
                          struct difference *out)
{
    for (size_t i = 0; i < a->value_count && i < b->value_count; i++) {
        if (!same_number(a->values[i], b->values[i])) {
            if (a->value_count > 1)
                set(&out->what, "value %zu", i + 1);
            else
                set(&out->what, "value");
            set_number(&out->a, a->values[i]);
            set_number(&out->b, b->values[i]);
            return true;
        }
    }
    return lengths_differ(a->value_count, b->value_count, "values", out);
}

static void set_attr(struct text *text, const struct hpo_attr_info *attr)
{
    text_clear(text);
    for (size_t i = 0; i < attr->size; i++) {
        char c = ((const char *)attr->value)[i];

        text_add_char(text, (unsigned char)c < 0x20 || c == 0x7f ? ' ' : c);
    }
}

static bool attrs_differ(const struct hpo_trial_info *a, const struct hpo_trial_info *b,
                         struct difference *out)
{
    for (size_t i = 0; i < a->attr_count && i < b->attr_count; i++) {
        const struct hpo_attr_info *p = &a->attrs[i], *q = &b->attrs[i];

        if (p->space != q->space || strcmp(p->key, q->key) != 0) {
            set(&out->what, "name of attribute %zu", i + 1);
            set(&out->a, "%s", p->key);
            set(&out->b, "%s", q->key);
            return true;
        }
        if (p->size != q->size || memcmp(p->value, q->value, p->size) != 0) {
            set(&out->what, "attribute %s", p->key);
            set_attr(&out->a, p);
            set_attr(&out->b, q);
            return true;
        }
    }
    return lengths_differ(a->attr_count, b->attr_count, "attributes", out);
}

bool compare_trials(const struct hpo_trial_info *a, const struct hpo_trial_info *b,
                    struct difference *out)
{
    if (a->number != b->number) {
        set(&out->what, "number");
        set(&out->a, "%llu", (unsigned long long)a->number);
        set(&out->b, "%llu", (unsigned long long)b->number);
        return true;
    }
    if (params_differ(a, b, out) || reports_differ(a, b, out))
        return true;
    if (a->state != b->state) {
        set(&out->what, "state");
        set(&out->a, "%s", trial_state_name(a->state));
        set(&out->b, "%s", trial_state_name(b->state));
        return true;
    }
    return values_differ(a, b, out) || attrs_differ(a, b, out);
}

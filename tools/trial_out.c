/*
 * trial_out: see the header; one place for the names of states and keys.
 */
#include <string.h>

#include "tools/number.h"
#include "tools/searchspace.h"
#include "tools/trial_out.h"

static const char *const state_names[] = {"running", "complete", "pruned", "fail", "waiting"};
#define STATES (sizeof(state_names) / sizeof(state_names[0]))

static const struct {
    enum hpo_attr_space space;
    const char *key, *title;
} attr_spaces[] = {{HPO_ATTR_USER, "attrs", "attribute"},
                   {HPO_ATTR_SYSTEM, "system_attrs", "system attribute"},
                   {HPO_ATTR_OWN, "own_attrs", "own attribute"}};
#define ATTR_SPACES (sizeof(attr_spaces) / sizeof(attr_spaces[0]))

const char *trial_state_name(enum hpo_trial_state state)
{
    return (size_t)state < STATES ? state_names[state] : "unknown";
}

int trial_state_add(const char *name, unsigned *mask)
{
    for (size_t i = 0; i < STATES; i++) {
        if (strcasecmp(name, state_names[i]) == 0) {
            *mask |= 1u << i;
            return 0;
        }
    }
    return -1;
}

/* -- JSON -- */

void trial_json_params(struct writer *json, const char *key, const struct hpo_trial_info *trial)
{
    writer_begin(json, key, '{');
    for (size_t i = 0; i < trial->param_count; i++)
        writer_param_value(json, trial->params[i].name, trial->params[i].distribution,
                           trial->params[i].value);
    writer_end(json, '}');
}

static void json_reports(struct writer *json, const struct hpo_trial_info *trial)
{
    writer_begin(json, "reports", '[');
    for (size_t i = 0; i < trial->report_count; i++) {
        writer_begin(json, NULL, '[');
        writer_int(json, NULL, trial->reports[i].step);
        writer_real(json, NULL, trial->reports[i].value);
        writer_end(json, ']');
    }
    writer_end(json, ']');
}

static void json_attrs(struct writer *json, const struct hpo_trial_info *trial)
{
    for (size_t k = 0; k < ATTR_SPACES; k++) {
        writer_begin(json, attr_spaces[k].key, '{');
        for (size_t i = 0; i < trial->attr_count; i++)
            if (trial->attrs[i].space == attr_spaces[k].space)
                writer_bytes(json, trial->attrs[i].key, trial->attrs[i].value,
                             trial->attrs[i].size);
        writer_end(json, '}');
    }
}

static void json_lsn(struct writer *json, const char *key, uint64_t lsn)
{
    if (lsn)
        writer_uint(json, key, lsn);
    else
        writer_null(json, key);
}

void trial_json(struct writer *json, const char *key, const struct hpo_trial_info *trial)
{
    writer_begin(json, key, '{');
    writer_uint(json, "number", trial->number);
    writer_string(json, "state", trial_state_name(trial->state));
    writer_begin(json, "values", '[');
    for (size_t i = 0; i < trial->value_count; i++)
        writer_real(json, NULL, trial->values[i]);
    writer_end(json, ']');
    trial_json_params(json, "params", trial);
    json_reports(json, trial);
    json_attrs(json, trial);
    writer_time(json, "begin", trial->begin_us);
    writer_time(json, "end", trial->end_us);
    writer_uint(json, "id", trial->id);
    writer_uint(json, "view", trial->view);
    json_lsn(json, "begin_lsn", trial->begin_lsn);
    json_lsn(json, "end_lsn", trial->end_lsn);
    json_lsn(json, "session", trial->session);
    writer_bool(json, "detached", trial->detached);
    writer_end(json, '}');
}

/* -- for people -- */

/* As a shell would want it, so that a line can be copied. */
static void add_shell_word(struct text *out, const char *word)
{
    if (*word && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                              "_@%+=:,./-") == strlen(word)) {
        text_add(out, word);
        return;
    }
    text_add_char(out, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            text_add(out, "'\\''");
        else
            text_add_char(out, *word);
    }
    text_add_char(out, '\'');
}

void trial_print_params(struct text *out, const struct hpo_trial_info *trial)
{
    for (size_t i = 0; i < trial->param_count; i++) {
        text_addf(out, "%s%s=", i ? " " : "", trial->params[i].name);
        add_shell_word(out, trial->params[i].text);
    }
}

void trial_print_values(struct text *out, const double *values, size_t count)
{
    char number[NUMBER_SIZE];

    for (size_t i = 0; i < count; i++)
        text_addf(out, "%s%s", i ? " " : "", number_print(values[i], number));
}

static void print_times(struct text *out, const struct hpo_trial_info *trial)
{
    char time[WRITER_TIME_SIZE];

    if (trial->begin_us != INT64_MIN)
        text_addf(out, "begun      %s\n", writer_time_print(trial->begin_us, time));
    if (trial->end_us != INT64_MIN)
        text_addf(out, "ended      %s\n", writer_time_print(trial->end_us, time));
    text_addf(out, "id         %llu, view %llu, LSN %llu to %llu\n", (unsigned long long)trial->id,
              (unsigned long long)trial->view, (unsigned long long)trial->begin_lsn,
              (unsigned long long)trial->end_lsn);
}

static void print_attr(struct text *out, const struct hpo_attr_info *attr)
{
    const char *title = "attribute";

    for (size_t k = 0; k < ATTR_SPACES; k++)
        if (attr_spaces[k].space == attr->space)
            title = attr_spaces[k].title;
    text_addf(out, "%s %s = ", title, attr->key);
    for (size_t i = 0; i < attr->size; i++) {
        char c = ((const char *)attr->value)[i];

        text_add_char(out, (unsigned char)c < 0x20 || c == 0x7f ? ' ' : c);
    }
    text_add_char(out, '\n');
}

void trial_print(struct text *out, const struct hpo_trial_info *trial)
{
    char number[NUMBER_SIZE];

    text_addf(out, "trial %llu  %s", (unsigned long long)trial->number,
              trial_state_name(trial->state));
    if (trial->value_count) {
        text_add(out, "  ");
        trial_print_values(out, trial->values, trial->value_count);
    }
    text_add_char(out, '\n');
    for (size_t i = 0; i < trial->param_count; i++) {
        text_addf(out, "parameter  %s = %s    ", trial->params[i].name, trial->params[i].text);
        searchspace_print(out, trial->params[i].distribution);
        text_add_char(out, '\n');
    }
    for (size_t i = 0; i < trial->report_count; i++)
        text_addf(out, "report     step %lld = %s\n", (long long)trial->reports[i].step,
                  number_print(trial->reports[i].value, number));
    for (size_t i = 0; i < trial->attr_count; i++)
        print_attr(out, &trial->attrs[i]);
    print_times(out, trial);
    if (trial->detached)
        text_add(out, "detached: it waits for hpo tell or hpo abandon\n");
}

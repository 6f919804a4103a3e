/*
 * hpo trials: one line for each trial of a study, for people, for spreadsheets, for programs.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cli.h"
#include "tools/command.h"
#include "tools/writer.h"
#include "tools/memory.h"
#include "tools/table.h"
#include "tools/trial_out.h"

enum form { FORM_TABLE, FORM_JSON, FORM_JSONL, FORM_CSV };

struct arguments {
    const char *study;
    unsigned states;
    enum form form;
};

static const struct argp_option options[] = {
    {"state", 't', "STATE[,...]", 0,
     "Only trials that are complete, pruned, fail, running, waiting", 0},
    {"json", 'j', NULL, 0, "Print one JSON array, with everything", 0},
    {"jsonl", 'l', NULL, 0, "Print one JSON object a line, with everything", 0},
    {"csv", 'c', NULL, 0, "Print comma-separated values with a title line", 0},
    {0}};

static void add_states(struct arguments *a, char *list)
{
    for (char *word = strtok(list, ","); word; word = strtok(NULL, ","))
        if (trial_state_add(word, &a->states) < 0)
            cli_refuse("--state \"%s\": complete, pruned, fail, running or waiting is wanted",
                       word);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;

    switch (key) {
    case 't':
        add_states(a, arg);
        return 0;
    case 'j':
        a->form = FORM_JSON;
        return 0;
    case 'l':
        a->form = FORM_JSONL;
        return 0;
    case 'c':
        a->form = FORM_CSV;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            return ARGP_ERR_UNKNOWN;
        a->study = arg;
        return 0;
    case ARGP_KEY_END:
        if (!a->study)
            argp_error(state, "STUDY is missing");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&cli_store_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {options,  parse, "STUDY", "List the trials of a study.",
                                   children, NULL,  NULL};

/* The parameters that are columns: each name once. */
struct columns {
    const char **names;
    size_t count, value_count;
    bool errors; /* and why trials failed, if any did */
};

static void find_columns(struct columns *columns, const struct hpo_study_info *info)
{
    columns->names = memory_new(info->param_count, sizeof(columns->names[0]));
    columns->value_count = info->direction_count;
    columns->errors = info->failed > 0;
    for (size_t i = 0; i < info->param_count; i++) {
        size_t k = 0;

        while (k < columns->count && strcmp(columns->names[k], info->params[i].name) != 0)
            k++;
        if (k == columns->count)
            columns->names[columns->count++] = info->params[i].name;
    }
}

static const char *param_text(const struct hpo_trial_info *trial, const char *name)
{
    for (size_t i = 0; i < trial->param_count; i++)
        if (strcmp(trial->params[i].name, name) == 0)
            return trial->params[i].text;
    return "";
}

/* Why it failed, as hpo run has noted it. */
static void add_error(struct text *out, const struct hpo_trial_info *trial)
{
    for (size_t i = 0; i < trial->attr_count; i++) {
        const struct hpo_attr_info *attr = &trial->attrs[i];

        if (attr->space == HPO_ATTR_OWN && strcmp(attr->key, "error") == 0) {
            json_t *text = json_loadb(attr->value, attr->size, JSON_DECODE_ANY, NULL);

            text_add(out, json_is_string(text) ? json_string_value(text) : "");
            json_decref(text);
        }
    }
}

/* -- CSV as RFC 4180 has it -- */

static void csv_cell(const char *cell, bool first)
{
    if (!first)
        putchar(',');
    if (!strpbrk(cell, ",\"\r\n")) {
        fputs(cell, stdout);
        return;
    }
    putchar('"');
    for (; *cell; cell++) {
        if (*cell == '"')
            putchar('"');
        putchar(*cell);
    }
    putchar('"');
}

static void csv_titles(const struct columns *columns)
{
    char title[32];

    fputs("number,state", stdout);
    for (size_t i = 0; i < columns->value_count; i++) {
        snprintf(title, sizeof(title), columns->value_count == 1 ? "value" : "value_%zu", i);
        csv_cell(title, false);
    }
    for (size_t i = 0; i < columns->count; i++)
        csv_cell(columns->names[i], false);
    puts(",begin,end");
}

static void csv_row(const struct columns *columns, const struct hpo_trial_info *trial)
{
    char time[WRITER_TIME_SIZE];
    struct text value = {0};

    printf("%" PRIu64 ",%s", trial->number, trial_state_name(trial->state));
    for (size_t i = 0; i < columns->value_count; i++) {
        text_clear(&value);
        if (i < trial->value_count)
            trial_print_values(&value, &trial->values[i], 1);
        csv_cell(text_string(&value), false);
    }
    for (size_t i = 0; i < columns->count; i++)
        csv_cell(param_text(trial, columns->names[i]), false);
    writer_time_print(trial->begin_us, time);
    csv_cell(*time == '-' ? "" : time, false);
    writer_time_print(trial->end_us, time);
    csv_cell(*time == '-' ? "" : time, false);
    putchar('\n');
    text_release(&value);
}

/* -- a table -- */

static void table_titles(struct table *table, const struct columns *columns)
{
    table->columns = 4 + columns->count;
    table_add(table, "TRIAL");
    table_add(table, "STATE");
    table_add(table, columns->value_count == 1 ? "VALUE" : "VALUES");
    for (size_t i = 0; i < columns->count; i++)
        table_add(table, columns->names[i]);
    table_add(table, columns->errors ? "ERROR" : "");
}

static void table_row(struct table *table, const struct columns *columns,
                      const struct hpo_trial_info *trial)
{
    struct text values = {0}, error = {0};

    trial_print_values(&values, trial->values, trial->value_count);
    add_error(&error, trial);
    table_addf(table, "%" PRIu64, trial->number);
    table_add(table, trial_state_name(trial->state));
    table_add(table, text_string(&values));
    for (size_t i = 0; i < columns->count; i++)
        table_add(table, param_text(trial, columns->names[i]));
    table_add(table, text_string(&error));
    text_release(&values);
    text_release(&error);
}

static int list(struct hpo_store *store, struct hpo_study *study, const struct arguments *a)
{
    struct hpo_study_info *info = NULL;
    struct hpo_cursor *cursor = NULL;
    const struct hpo_trial_info *trial;
    struct columns columns = {0};
    struct table table = {0};
    struct writer json = {.out = stdout};
    int code = hpo_study_info(study, &info);

    if (code == HPO_OK)
        code = hpo_trial_list(study, a->states, &cursor);
    if (code < 0)
        goto free_info;
    find_columns(&columns, info);
    if (a->form == FORM_CSV)
        csv_titles(&columns);
    else if (a->form == FORM_TABLE)
        table_titles(&table, &columns);
    else if (a->form == FORM_JSON)
        writer_begin(&json, NULL, '[');
    while ((code = hpo_cursor_next_trial(cursor, &trial)) == HPO_OK) {
        if (a->form == FORM_CSV)
            csv_row(&columns, trial);
        else if (a->form == FORM_TABLE)
            table_row(&table, &columns, trial);
        else
            trial_json(&json, NULL, trial);
        if (a->form == FORM_JSONL)
            writer_line(&json);
    }
    if (a->form == FORM_TABLE)
        table_print(&table, stdout);
    if (a->form == FORM_JSON) {
        writer_end(&json, ']');
        writer_line(&json);
    }
    free(columns.names);
    hpo_cursor_free(cursor);
free_info:
    hpo_study_info_free(info);
    return code < 0 ? cli_failed(store, code, a->study) : EXIT_DONE;
}

int command_trials(int argc, char **argv)
{
    struct arguments a = {0};
    struct hpo_store *store = NULL;
    struct hpo_study *study;
    int status;

    argp_parse(&parser, argc, argv, 0, NULL, &a);
    status = cli_open_to_read(a.study, &store, &study);
    if (!status)
        status = list(store, study, &a);
    return cli_finish(store, status);
}

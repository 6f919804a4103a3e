/*
 * hpo studies: one line for each study of a store.
 */
#include <stdio.h>

#include "tools/cli.h"
#include "tools/command.h"
#include "tools/writer.h"
#include "tools/study_out.h"
#include "tools/table.h"

static enum { FORM_TABLE, FORM_JSON, FORM_JSONL } form;

static const struct argp_option options[] = {
    {"json", 'j', NULL, 0, "Print one JSON array", 0},
    {"jsonl", 'l', NULL, 0, "Print one JSON object a line", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    (void)arg;
    (void)state;
    if (key != 'l' && key != 'j')
        return ARGP_ERR_UNKNOWN;
    form = key == 'l' ? FORM_JSONL : FORM_JSON;
    return 0;
}

static const struct argp_child children[] = {{&cli_store_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {options,  parse, NULL, "List the studies of a store.",
                                   children, NULL,  NULL};

static void add_row(struct table *table, struct hpo_store *store, const struct hpo_study_info *info)
{
    struct hpo_study *study;
    struct text best = {0};

    if (hpo_study_open_id(store, info->id, &study) == HPO_OK) {
        study_print_best(&best, study, info);
        hpo_study_free(study);
    }
    table_add(table, info->name);
    table_addf(table, "%llu", (unsigned long long)study_finished(info));
    table_addf(table, "%llu", (unsigned long long)info->running);
    table_add(table, info->sampler);
    table_add(table, text_string(&best));
    text_release(&best);
}

static void print_json(struct writer *json, const struct hpo_study_info *info)
{
    writer_begin(json, NULL, '{');
    study_json_summary(json, info);
    study_json_setup(json, info);
    writer_end(json, '}');
    if (form == FORM_JSONL)
        writer_line(json);
}

static int list(struct hpo_store *store)
{
    static const char *const titles[] = {"STUDY", "FINISHED", "RUNNING", "SAMPLER", "RESULT"};
    struct table table = {.columns = sizeof(titles) / sizeof(titles[0])};
    struct writer json = {.out = stdout};
    const struct hpo_study_info *info;
    struct hpo_cursor *cursor;
    int code = hpo_study_list(store, &cursor);

    if (code < 0)
        return cli_failed(store, code, cli.store_path);
    for (size_t i = 0; i < table.columns && form == FORM_TABLE; i++)
        table_add(&table, titles[i]);
    if (form == FORM_JSON)
        writer_begin(&json, NULL, '[');
    while ((code = hpo_cursor_next_study(cursor, &info)) == HPO_OK) {
        if (form == FORM_TABLE)
            add_row(&table, store, info);
        else
            print_json(&json, info);
    }
    hpo_cursor_free(cursor);
    if (form == FORM_TABLE)
        table_print(&table, stdout);
    if (form == FORM_JSON) {
        writer_end(&json, ']');
        writer_line(&json);
    }
    return code < 0 ? cli_failed(store, code, cli.store_path) : EXIT_DONE;
}

int command_studies(int argc, char **argv)
{
    struct hpo_store *store = NULL;
    int status;

    argp_parse(&parser, argc, argv, 0, NULL, NULL);
    status = cli_open_to_read(NULL, &store, NULL);
    if (!status)
        status = list(store);
    return cli_finish(store, status);
}

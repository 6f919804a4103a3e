/*
 * hpo log: every record of the log, as it stands there.
 *
 * A record's address is LSN.INDEX. Fields of repeated groups come as "values.0.name"; in JSON they
 * become lists of objects.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tools/cli.h"
#include "tools/command.h"
#include "tools/writer.h"
#include "tools/number.h"
#include "tools/text.h"

#define FOLLOW_MS 100
#define DEPTH_MAX 8

struct arguments {
    uint64_t from;
    bool follow, draws;
    enum { FORM_TEXT, FORM_JSON, FORM_JSONL } form;
};

enum { KEY_FROM = 0x100, KEY_DRAWS };

static const struct argp_option options[] = {
    {"from", KEY_FROM, "LSN", 0, "Begin with this LSN", 0},
    {"follow", 'f', NULL, 0, "Wait for more at the end, like tail -f", 0},
    {"draws", KEY_DRAWS, NULL, 0, "Print the random words behind each DRAW record", 0},
    {"json", 'j', NULL, 0, "Print one JSON array", 0},
    {"jsonl", 'l', NULL, 0, "Print one JSON object a line", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;

    switch (key) {
    case KEY_FROM:
        if (!number_parse_uint(arg, &a->from))
            cli_refuse("--from \"%s\" is not an LSN", arg);
        return 0;
    case 'f':
        a->follow = true;
        return 0;
    case KEY_DRAWS:
        a->draws = true;
        return 0;
    case 'j':
        a->form = FORM_JSON;
        return 0;
    case 'l':
        a->form = FORM_JSONL;
        return 0;
    case ARGP_KEY_END:
        if (a->follow && a->form == FORM_JSON)
            cli_refuse("--follow never ends, a JSON array must: use --jsonl");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_child children[] = {{&cli_store_argp, 0, NULL, 0}, {0}};
static const struct argp parser = {
    options,  parse, NULL, "Print the records of a store's log: address, session, type, fields.",
    children, NULL,  NULL};

/* -- for people -- */

static void print_bytes(const struct hpo_field *field, bool quoted)
{
    if (!field->text) {
        fputs("null", stdout);
        return;
    }
    if (quoted)
        putchar('"');
    for (size_t i = 0; i < field->size;) {
        size_t n = text_utf8_size(field->text + i, field->size - i);
        unsigned char c = (unsigned char)field->text[i];

        if (n == 0 || c < 0x20 || c == 0x7f) {
            printf("\\x%02x", c);
            n = 1;
        } else {
            fwrite(field->text + i, 1, n, stdout);
        }
        i += n;
    }
    if (quoted)
        putchar('"');
}

static void print_field(const struct hpo_field *field)
{
    char number[NUMBER_SIZE];

    printf("  %s=", field->name);
    switch (field->type) {
    case HPO_FIELD_UINT:
        printf("%" PRIu64, field->uint);
        break;
    case HPO_FIELD_INT:
        printf("%" PRId64, field->sint);
        break;
    case HPO_FIELD_REAL:
        fputs(number_print(field->real, number), stdout);
        break;
    case HPO_FIELD_TEXT:
        print_bytes(field, false);
        break;
    case HPO_FIELD_BYTES:
        print_bytes(field, true);
        break;
    case HPO_FIELD_BOOL:
        fputs(field->uint ? "true" : "false", stdout);
        break;
    case HPO_FIELD_HEX64:
        printf("0x%016" PRIx64, field->uint);
        break;
    }
}

static void print_record(const struct hpo_record_info *record)
{
    printf("%" PRIu64 ".%" PRIu32 "%s  %" PRIu64 "#%" PRIu32 "  %s", record->lsn, record->index,
           record->durable ? "" : "*", record->session, record->sequence, record->type);
    for (size_t i = 0; i < record->field_count; i++)
        print_field(&record->fields[i]);
    if (record->words && !record->digest_ok)
        fputs("  THE DIGEST DOES NOT FIT THE WORDS", stdout);
    putchar('\n');
    for (size_t i = 0; i < record->word_count; i++)
        printf("    word %zu  0x%016" PRIx64 "\n", i, record->words[i]);
}

/* -- JSON -- */

static void json_field(struct writer *json, const char *key, const struct hpo_field *field)
{
    switch (field->type) {
    case HPO_FIELD_UINT:
        writer_uint(json, key, field->uint);
        break;
    case HPO_FIELD_INT:
        writer_int(json, key, field->sint);
        break;
    case HPO_FIELD_REAL:
        writer_real(json, key, field->real);
        break;
    case HPO_FIELD_TEXT:
    case HPO_FIELD_BYTES:
        if (!field->text)
            writer_null(json, key);
        else
            writer_string_n(json, key, field->text, field->size);
        break;
    case HPO_FIELD_BOOL:
        writer_bool(json, key, field->uint != 0);
        break;
    case HPO_FIELD_HEX64:
        writer_hex64(json, key, field->uint);
        break;
    }
}

/* The dotted parts of a field's name, and which brackets they have opened. */
struct path {
    size_t depth;
    struct part {
        const char *start;
        size_t size;
        bool list; /* what the part's value is: its own parts are numbers */
    } parts[DEPTH_MAX];
};

static bool is_number(const struct part *part)
{
    return part->size > 0 && strspn(part->start, "0123456789") >= part->size;
}

static struct path split(const char *name)
{
    struct path path = {0};

    for (;;) {
        size_t size = path.depth == DEPTH_MAX - 1 ? strlen(name) : strcspn(name, ".");

        path.parts[path.depth++] = (struct part){.start = name, .size = size};
        if (!name[size])
            break;
        name += size + 1;
    }
    for (size_t i = 0; i + 1 < path.depth; i++)
        path.parts[i].list = is_number(&path.parts[i + 1]);
    return path;
}

static size_t common_parts(const struct path *a, const struct path *b)
{
    size_t n = 0;

    /* The last part is the field itself and opens nothing. */
    while (n + 1 < a->depth && n + 1 < b->depth && a->parts[n].size == b->parts[n].size &&
           memcmp(a->parts[n].start, b->parts[n].start, a->parts[n].size) == 0)
        n++;
    return n;
}

static void close_to(struct writer *json, const struct path *open, size_t depth)
{
    for (size_t i = open->depth ? open->depth - 1 : 0; i > depth; i--)
        writer_end(json, open->parts[i - 1].list ? ']' : '}');
}

/* The key under which a part stands: none inside a list. */
static const char *part_key(const struct path *path, size_t i, char *buffer, size_t size)
{
    if (i > 0 && path->parts[i - 1].list)
        return NULL;
    snprintf(buffer, size, "%.*s", (int)path->parts[i].size, path->parts[i].start);
    return buffer;
}

static void json_fields(struct writer *json, const struct hpo_record_info *record)
{
    struct path open = {0};
    char key[128];

    writer_begin(json, "fields", '{');
    for (size_t i = 0; i < record->field_count; i++) {
        struct path path = split(record->fields[i].name);
        size_t common = common_parts(&open, &path);

        close_to(json, &open, common);
        for (size_t k = common; k + 1 < path.depth; k++)
            writer_begin(json, part_key(&path, k, key, sizeof(key)),
                         path.parts[k].list ? '[' : '{');
        json_field(json, part_key(&path, path.depth - 1, key, sizeof(key)), &record->fields[i]);
        open = path;
    }
    close_to(json, &open, 0);
    writer_end(json, '}');
}

static void print_json(struct writer *json, const struct hpo_record_info *record)
{
    writer_begin(json, NULL, '{');
    writer_uint(json, "lsn", record->lsn);
    writer_uint(json, "index", record->index);
    writer_string(json, "type", record->type);
    writer_uint(json, "session", record->session);
    writer_uint(json, "sequence", record->sequence);
    writer_hex64(json, "chain", record->chain);
    writer_bool(json, "durable", record->durable);
    json_fields(json, record);
    if (record->words) {
        writer_begin(json, "words", '[');
        for (size_t i = 0; i < record->word_count; i++)
            writer_hex64(json, NULL, record->words[i]);
        writer_end(json, ']');
        writer_bool(json, "digest_ok", record->digest_ok);
    }
    writer_end(json, '}');
}

static int print_log(struct hpo_store *store, const struct arguments *a)
{
    struct hpo_history *history;
    const struct hpo_record_info *record;
    struct writer json = {.out = stdout};
    int code = hpo_history_open(store, a->from, a->draws, &history);

    if (code < 0)
        return cli_failed(store, code, cli.store_path);
    if (a->form == FORM_JSON)
        writer_begin(&json, NULL, '[');
    for (;;) {
        code = hpo_history_next(history, &record);
        if (code == HPO_OK) {
            if (a->form == FORM_TEXT)
                print_record(record);
            else
                print_json(&json, record);
            if (a->form == FORM_JSONL)
                writer_line(&json);
        } else if (code != HPO_NO_MORE || !a->follow || fflush(stdout) || ferror(stdout)) {
            break;
        } else {
            nanosleep(&(struct timespec){.tv_nsec = FOLLOW_MS * 1000000L}, NULL);
        }
    }
    if (a->form == FORM_JSON) {
        writer_end(&json, ']');
        writer_line(&json);
    }
    hpo_history_close(history);
    return code < 0 ? cli_failed(store, code, cli.store_path) : EXIT_DONE;
}

int command_log(int argc, char **argv)
{
    struct arguments a = {0};
    struct hpo_store *store = NULL;
    int status;

    argp_parse(&parser, argc, argv, 0, NULL, &a);
    status = cli_open_to_read(NULL, &store, NULL);
    if (!status)
        status = print_log(store, &a);
    return cli_finish(store, status);
}

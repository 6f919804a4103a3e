/*
 * searchspace: syntax only; whether low <= high and the like is checked by the library, once.
 */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/memory.h"
#include "tools/number.h"
#include "tools/searchspace.h"

/* -- building -- */

static void release_param(struct hpo_param *param)
{
    for (size_t i = 0; i < param->distribution.choice_count; i++)
        free((char *)param->distribution.choices[i].text);
    free((struct hpo_choice *)param->distribution.choices);
    free((char *)param->name);
}

void searchspace_release(struct searchspace *space)
{
    for (size_t i = 0; i < space->count; i++)
        release_param(&space->params[i]);
    free(space->params);
    *space = (struct searchspace){0};
}

const struct hpo_param *searchspace_find(const struct hpo_param *params, size_t count,
                                         const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(params[i].name, name) == 0)
            return &params[i];
    return NULL;
}

/* Takes the param over, also when it is refused. */
static int add_param(struct searchspace *space, struct hpo_param *param, struct text *why)
{
    if (searchspace_find(space->params, space->count, param->name)) {
        text_refuse(why, "parameter \"%s\" is given twice", param->name);
        release_param(param);
        return -1;
    }
    space->params = memory_resize(space->params, space->count + 1, sizeof(space->params[0]));
    space->params[space->count++] = *param;
    return 0;
}

static void add_choice(struct hpo_distribution *distribution, const struct hpo_choice *choice)
{
    struct hpo_choice *choices = memory_resize((void *)distribution->choices,
                                               distribution->choice_count + 1, sizeof(*choices));

    choices[distribution->choice_count++] = *choice;
    distribution->choices = choices;
}

/* -- from the command line -- */

/* One argument between the parentheses; `bytes` is freed by whoever took it. */
struct item {
    char *bytes;
    bool quoted;
};

struct items {
    struct item *list;
    size_t count;
};

static void release_items(struct items *items)
{
    for (size_t i = 0; i < items->count; i++)
        free(items->list[i].bytes);
    free(items->list);
}

/* Read one argument up to a comma or the closing parenthesis; `at` moves behind it, onto either. */
static int read_item(const char **at, struct item *out, struct text *why)
{
    struct text text = {0};
    const char *c = *at + strspn(*at, " \t");

    out->quoted = *c == '"' || *c == '\'';
    if (out->quoted) {
        char quote = *c++;

        while (*c && *c != quote) {
            if (*c == '\\' && c[1])
                c++;
            text_add_char(&text, *c++);
        }
        if (!*c) {
            text_release(&text);
            return text_refuse(why, "a quote is not closed");
        }
        c++;
        c += strspn(c, " \t");
    } else {
        while (*c && *c != ',' && *c != ')')
            text_add_char(&text, *c++);
        while (text.size && strchr(" \t", text.data[text.size - 1]))
            text.data[--text.size] = 0;
    }
    if (*c != ',' && *c != ')') {
        text_release(&text);
        return text_refuse(why, *c ? "text follows a closed quote: \"%s\"" : "\")\" is missing%s",
                           c);
    }
    out->bytes = text_take(&text);
    *at = c;
    return 0;
}

/* `at` stands behind the opening parenthesis. */
static int read_items(const char *at, struct items *items, struct text *why)
{
    for (;;) {
        struct item item;

        if (read_item(&at, &item, why) < 0)
            return -1;
        items->list = memory_resize(items->list, items->count + 1, sizeof(items->list[0]));
        items->list[items->count++] = item;
        if (*at == ')')
            break;
        at++;
    }
    if (at[1 + strspn(at + 1, " \t")])
        return text_refuse(why, "text follows the \")\": \"%s\"", at + 1);
    return 0;
}

static int set_bound(struct hpo_distribution *d, const char *text, double *real, int64_t *integer,
                     struct text *why)
{
    if (d->kind == HPO_INT)
        return number_parse_int(text, integer)
                   ? 0
                   : text_refuse(why, "\"%s\" is not a whole number", text);
    return number_parse(text, real) ? 0 : text_refuse(why, "\"%s\" is not a number", text);
}

static int read_numeric(struct hpo_distribution *d, const struct items *items, struct text *why)
{
    if (items->count < 2)
        return text_refuse(why, "it takes (low,high), then perhaps log or step=");
    if (set_bound(d, items->list[0].bytes, &d->low, &d->low_int, why) < 0 ||
        set_bound(d, items->list[1].bytes, &d->high, &d->high_int, why) < 0)
        return -1;
    for (size_t i = 2; i < items->count; i++) {
        const char *word = items->list[i].bytes;

        if (strcmp(word, "log") == 0)
            d->flags |= HPO_LOG;
        else if (strncmp(word, "step=", 5) != 0)
            return text_refuse(why, "\"%s\" is neither log nor step=", word);
        else if (set_bound(d, word + 5, &d->step, &d->step_int, why) < 0)
            return -1;
        else if (d->kind == HPO_INT ? d->step_int < 1 : !(d->step > 0))
            return text_refuse(why, "the step must be above 0");
    }
    return 0;
}

static int read_choices(struct hpo_distribution *d, struct items *items, struct text *why)
{
    for (size_t i = 0; i < items->count; i++) {
        struct item *item = &items->list[i];

        if (!item->quoted && !*item->bytes)
            return text_refuse(why, "a choice is empty; write \"\" if that is meant");
        add_choice(d, &(struct hpo_choice){.type = HPO_CHOICE_TEXT, .text = item->bytes});
        item->bytes = NULL;
    }
    return 0;
}

static int read_kind(const char *word, size_t size, enum hpo_distribution_kind *kind)
{
    static const struct {
        const char *word;
        enum hpo_distribution_kind kind;
    } kinds[] = {{"float", HPO_FLOAT},
                 {"int", HPO_INT},
                 {"choice", HPO_CATEGORICAL},
                 {"categorical", HPO_CATEGORICAL}};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strlen(kinds[i].word) == size && memcmp(kinds[i].word, word, size) == 0) {
            *kind = kinds[i].kind;
            return 0;
        }
    }
    return -1;
}

int searchspace_add(struct searchspace *space, const char *definition, struct text *why)
{
    const char *equals = strchr(definition, '=');
    const char *open = equals ? strchr(equals, '(') : NULL;
    struct hpo_param param = {0};
    struct items items = {0};
    struct text reason = {0};
    int err = -1;

    if (!equals || equals == definition || !open)
        return text_refuse(why,
                           "\"%s\" is not a parameter; write name=float(low,high[,log][,step=s]), "
                           "name=int(low,high[,log][,step=s]) or name=choice(a,b,...)",
                           definition);
    param.name = memory_copy_n(definition, (size_t)(equals - definition));
    if (read_kind(equals + 1, (size_t)(open - equals - 1), &param.distribution.kind) < 0) {
        text_refuse(&reason, "\"%.*s\" is no kind; there are float, int and choice",
                    (int)(open - equals - 1), equals + 1);
        goto refuse;
    }
    if (read_items(open + 1, &items, &reason) < 0)
        goto refuse;
    if ((param.distribution.kind == HPO_CATEGORICAL
             ? read_choices(&param.distribution, &items, &reason)
             : read_numeric(&param.distribution, &items, &reason)) < 0)
        goto refuse;
    err = add_param(space, &param, why);
    goto release;

refuse:
    text_refuse(why, "parameter \"%s\": %s", definition, text_string(&reason));
    release_param(&param);
release:
    release_items(&items);
    text_release(&reason);
    return err;
}

/* -- from JSON -- */

static int json_bound(const json_t *object, const char *key, bool needed,
                      enum hpo_distribution_kind kind, double *real, int64_t *integer,
                      struct text *why)
{
    const json_t *value = json_object_get(object, key);

    if (!value)
        return needed ? text_refuse(why, "\"%s\" is missing", key) : 0;
    if (kind == HPO_INT) {
        if (!json_is_integer(value))
            return text_refuse(why, "\"%s\" must be a whole number", key);
        *integer = json_integer_value(value);
    } else {
        if (!json_is_number(value))
            return text_refuse(why, "\"%s\" must be a number", key);
        *real = json_number_value(value);
    }
    return 0;
}

static int json_numeric(struct hpo_distribution *d, const json_t *object, struct text *why)
{
    const json_t *log = json_object_get(object, "log");

    if (json_bound(object, "low", true, d->kind, &d->low, &d->low_int, why) < 0 ||
        json_bound(object, "high", true, d->kind, &d->high, &d->high_int, why) < 0 ||
        json_bound(object, "step", false, d->kind, &d->step, &d->step_int, why) < 0)
        return -1;
    if (json_object_get(object, "step") && (d->kind == HPO_INT ? d->step_int < 1 : !(d->step > 0)))
        return text_refuse(why, "the step must be above 0");
    if (log && !json_is_boolean(log))
        return text_refuse(why, "\"log\" must be true or false");
    if (json_is_true(log))
        d->flags |= HPO_LOG;
    return 0;
}

static int json_choices(struct hpo_distribution *d, const json_t *object, struct text *why)
{
    const json_t *list = json_object_get(object, "choices");
    const json_t *value;
    size_t i;

    if (!json_is_array(list) || json_array_size(list) == 0)
        return text_refuse(why, "\"choices\" must be a list that is not empty");
    json_array_foreach(list, i, value)
    {
        struct hpo_choice choice = {.type = HPO_CHOICE_NULL};

        if (json_is_string(value)) {
            choice.type = HPO_CHOICE_TEXT;
            choice.text = memory_copy(json_string_value(value));
        } else if (json_is_integer(value)) {
            choice.type = HPO_CHOICE_INT;
            choice.integer = json_integer_value(value);
        } else if (json_is_real(value)) {
            choice.type = HPO_CHOICE_FLOAT;
            choice.real = json_real_value(value);
        } else if (json_is_boolean(value)) {
            choice.type = HPO_CHOICE_BOOL;
            choice.boolean = json_is_true(value);
        } else if (!json_is_null(value)) {
            return text_refuse(why, "a choice must be a string, number, boolean or null");
        }
        add_choice(d, &choice);
    }
    return 0;
}

static int known_keys(const json_t *object, struct text *why)
{
    static const char *const keys[] = {"name", "type", "low", "high", "step", "log", "choices"};
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)object, key, value)
    {
        size_t i = 0;

        while (i < sizeof(keys) / sizeof(keys[0]) && strcmp(keys[i], key) != 0)
            i++;
        if (i == sizeof(keys) / sizeof(keys[0]))
            return text_refuse(why,
                               "\"%s\" is not known; there are type, low, high, step, log and "
                               "choices",
                               key);
    }
    return 0;
}

static int add_json_param(struct searchspace *space, const char *name, const json_t *object,
                          struct text *why)
{
    struct hpo_param param = {.name = memory_copy(name)};
    struct text reason = {0};
    const char *type = json_string_value(json_object_get(object, "type"));
    int err = -1;

    if (!json_is_object(object))
        text_refuse(&reason,
                    "it must be an object like {\"type\": \"float\", \"low\": 0, \"high\": 1}");
    else if (!*name)
        text_refuse(&reason, "its name is empty");
    else if (!type || read_kind(type, strlen(type), &param.distribution.kind) < 0)
        text_refuse(&reason, "\"type\" must be \"float\", \"int\" or \"choice\"");
    else if (known_keys(object, &reason) == 0)
        err = param.distribution.kind == HPO_CATEGORICAL
                  ? json_choices(&param.distribution, object, &reason)
                  : json_numeric(&param.distribution, object, &reason);
    if (err < 0) {
        text_refuse(why, "parameter \"%s\": %s", name, text_string(&reason));
        release_param(&param);
    } else {
        err = add_param(space, &param, why);
    }
    text_release(&reason);
    return err;
}

int searchspace_add_json(struct searchspace *space, const char *json, size_t size, struct text *why)
{
    json_error_t error;
    json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, &error);
    json_t *value;
    const char *name;
    size_t i;
    int err = 0;

    if (!root)
        return text_refuse(why, "not JSON: %s (line %d)", error.text, error.line);
    if (json_is_object(root)) {
        json_object_foreach(root, name, value)
        {
            err = add_json_param(space, name, value, why);
            if (err < 0)
                break;
        }
    } else { /* an array; json_load takes nothing else at the top */
        json_array_foreach(root, i, value)
        {
            name = json_string_value(json_object_get(value, "name"));
            err = name ? add_json_param(space, name, value, why)
                       : text_refuse(why, "entry %zu has no \"name\"", i + 1);
            if (err < 0)
                break;
        }
    }
    json_decref(root);
    return err;
}

/* -- back to text -- */

void searchspace_print_choice(struct text *out, const struct hpo_choice *choice)
{
    char number[NUMBER_SIZE];

    switch (choice->type) {
    case HPO_CHOICE_BOOL:
        text_add(out, choice->boolean ? "true" : "false");
        break;
    case HPO_CHOICE_INT:
        text_addf(out, "%" PRId64, choice->integer);
        break;
    case HPO_CHOICE_FLOAT:
        text_add(out, number_print(choice->real, number));
        break;
    case HPO_CHOICE_TEXT:
        text_add(out, choice->text);
        break;
    default:
        text_add(out, "null");
        break;
    }
}

/* Would the text be read back as this string, without quotes? */
static bool plain_choice(const char *text)
{
    return *text && !strpbrk(text, ",)\\\"'") && !strchr(" \t", *text) &&
           !strchr(" \t", text[strlen(text) - 1]);
}

static void print_choice_quoted(struct text *out, const struct hpo_choice *choice)
{
    if (choice->type != HPO_CHOICE_TEXT || plain_choice(choice->text)) {
        searchspace_print_choice(out, choice);
        return;
    }
    text_add_char(out, '"');
    for (const char *c = choice->text; *c; c++) {
        if (*c == '"' || *c == '\\')
            text_add_char(out, '\\');
        text_add_char(out, *c);
    }
    text_add_char(out, '"');
}

void searchspace_print(struct text *out, const struct hpo_distribution *d)
{
    char number[NUMBER_SIZE];

    if (d->kind == HPO_CATEGORICAL) {
        text_add(out, "choice(");
        for (size_t i = 0; i < d->choice_count; i++) {
            text_add(out, i ? "," : "");
            print_choice_quoted(out, &d->choices[i]);
        }
    } else if (d->kind == HPO_INT) {
        text_addf(out, "int(%" PRId64 ",%" PRId64, d->low_int, d->high_int);
        if (d->step_int > 1)
            text_addf(out, ",step=%" PRId64, d->step_int);
    } else {
        text_addf(out, "float(%s", number_print_short(d->low, number));
        text_addf(out, ",%s", number_print_short(d->high, number));
        if (d->step > 0)
            text_addf(out, ",step=%s", number_print_short(d->step, number));
    }
    text_add(out, d->flags & HPO_LOG ? ",log)" : ")");
}

static bool same_choice(const struct hpo_choice *a, const struct hpo_choice *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case HPO_CHOICE_BOOL:
        return a->boolean == b->boolean;
    case HPO_CHOICE_INT:
        return a->integer == b->integer;
    case HPO_CHOICE_FLOAT:
        return a->real == b->real || (isnan(a->real) && isnan(b->real));
    case HPO_CHOICE_TEXT:
        return strcmp(a->text, b->text) == 0;
    default:
        return true;
    }
}

bool searchspace_same(const struct hpo_distribution *a, const struct hpo_distribution *b)
{
    if (a->kind != b->kind || (a->flags & HPO_LOG) != (b->flags & HPO_LOG))
        return false;
    if (a->kind == HPO_FLOAT)
        return a->low == b->low && a->high == b->high && a->step == b->step;
    if (a->kind == HPO_INT)
        return a->low_int == b->low_int && a->high_int == b->high_int &&
               (a->step_int > 1 ? a->step_int : 1) == (b->step_int > 1 ? b->step_int : 1);
    if (a->choice_count != b->choice_count)
        return false;
    for (size_t i = 0; i < a->choice_count; i++)
        if (!same_choice(&a->choices[i], &b->choices[i]))
            return false;
    return true;
}

/* In the range and on the grid of its step; an index of a choice always is. */
static bool can_have(const struct hpo_distribution *d, double value)
{
    if (d->kind == HPO_INT) {
        int64_t step = d->step_int > 1 ? d->step_int : 1;

        return value >= (double)d->low_int && value <= (double)d->high_int &&
               ((int64_t)value - d->low_int) % step == 0;
    }
    if (d->kind == HPO_FLOAT) {
        double steps = d->step > 0 ? (value - d->low) / d->step : 0;

        /* As the samplers have it: within 1e-8 of a step. */
        return value >= d->low && value <= d->high &&
               (steps > 0x1p53 || fabs(steps - (double)(int64_t)(steps + 0.5)) <= 1e-8);
    }
    return true;
}

static int parse_value(const struct hpo_distribution *d, const char *text, double *value)
{
    struct text choice = {0};
    int64_t integer;
    bool found = false;

    if (d->kind == HPO_FLOAT)
        return number_parse(text, value) && isfinite(*value) ? 0 : -1;
    if (d->kind == HPO_INT) {
        if (!number_parse_int(text, &integer))
            return -1;
        *value = (double)integer;
        return 0;
    }
    for (size_t i = 0; i < d->choice_count && !found; i++) {
        text_clear(&choice);
        searchspace_print_choice(&choice, &d->choices[i]);
        found = strcmp(text_string(&choice), text) == 0;
        *value = (double)i;
    }
    text_release(&choice);
    return found ? 0 : -1;
}

int searchspace_value(const struct hpo_param *param, const char *text, double *value,
                      struct text *why)
{
    struct text range = {0};
    int err = parse_value(&param->distribution, text, value);

    if (err == 0 && !can_have(&param->distribution, *value))
        err = -1;
    if (err < 0) {
        searchspace_print(&range, &param->distribution);
        text_refuse(why, "parameter \"%s\": \"%s\" is not in %s", param->name, text,
                    text_string(&range));
        text_release(&range);
    }
    return err;
}

static void diff_line(struct text *out, char sign, const struct hpo_param *param)
{
    text_addf(out, "  %c %s=", sign, param->name);
    searchspace_print(out, &param->distribution);
    text_add_char(out, '\n');
}

void searchspace_diff(struct text *out, const struct hpo_param *recorded, size_t recorded_count,
                      const struct hpo_param *wanted, size_t wanted_count)
{
    size_t before = out->size, place = 0;

    for (size_t i = 0; i < recorded_count; i++) {
        const struct hpo_param *new = searchspace_find(wanted, wanted_count, recorded[i].name);

        if (!new || !searchspace_same(&recorded[i].distribution, &new->distribution))
            diff_line(out, '-', &recorded[i]);
        if (new && !searchspace_same(&recorded[i].distribution, &new->distribution))
            diff_line(out, '+', new);
    }
    for (size_t i = 0; i < wanted_count; i++)
        if (!searchspace_find(recorded, recorded_count, wanted[i].name))
            diff_line(out, '+', &wanted[i]);
    if (out->size != before)
        return;
    /* The same parameters: then only their order can differ. */
    while (place < recorded_count && place < wanted_count &&
           strcmp(recorded[place].name, wanted[place].name) == 0)
        place++;
    if (place < recorded_count && place < wanted_count)
        text_addf(out, "  - place %zu: %s\n  + place %zu: %s\n", place + 1, recorded[place].name,
                  place + 1, wanted[place].name);
}

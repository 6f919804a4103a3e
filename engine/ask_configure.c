/*
 * ask_configure: from an algorithm's name and options as a user gives them to what a study records.
 */
#include "ask.h"
#include "distribution.h"

#include "samplers/detmath.h"

#include <stdio.h>
#include <string.h>

static void *alloc(void *context, size_t size)
{
    const struct hpo_os *os = context;

    return os->alloc(os->self, size);
}

static void *resize(void *context, void *old, size_t size)
{
    const struct hpo_os *os = context;

    return os->realloc(os->self, old, size);
}

static void release(void *context, void *block)
{
    const struct hpo_os *os = context;

    if (block)
        os->free(os->self, block);
}

/* What configuring looks at: directions and the declared space. */
struct outline {
    struct sampler_allocator allocator;
    struct sampler_study study;
    struct space declared;
};

static int outline_make(struct outline *outline, const struct hpo_os *os,
                        const struct record_study_create *study)
{
    uint32_t i;

    memset(outline, 0, sizeof(*outline));
    outline->allocator = (struct sampler_allocator){
        .context = (void *)(uintptr_t)os, /* only read */
        .alloc = alloc,
        .realloc = resize,
        .free = release,
    };
    outline->declared.allocator = &outline->allocator;
    outline->study.name = (const char *)study->name.data;
    outline->study.name_size = study->name.size;
    outline->study.key.words[0] = study->seed[0];
    outline->study.key.words[1] = study->seed[1];
    outline->study.directions = study->directions;
    outline->study.direction_count = study->direction_count;
    for (i = 0; i < study->param_count; i++) {
        struct sampler_param param = {
            .name = (const char *)study->params[i].name.data,
            .name_size = study->params[i].name.size,
            .number = i,
            .family = i,
            .slot = DRAW_SLOT_DECLARED + i,
        };

        distribution_to_sampler(&study->params[i].distribution, &param.distribution);
        if (space_add(&outline->declared, &param) < 0) {
            space_release(&outline->declared);
            return HPO_NOMEM;
        }
    }
    outline->study.params = outline->declared.params;
    outline->study.param_count = outline->declared.count;
    outline->study.declared = study->declared ? &outline->declared : NULL;
    return 0;
}

static int options_given(const struct hpo_option *options, size_t count, struct arena *arena,
                         struct sampler_option **out)
{
    struct sampler_option *given;
    struct bytes key;
    size_t i;
    int err;

    if (count > 65535)
        return call_error(HPO_TOO_LARGE, "more than 65535 options");
    given = arena_array(arena, count, sizeof(*given));
    if (!given)
        return HPO_NOMEM;
    for (i = 0; i < count; i++) {
        err = name_check(options[i].key, "an option's key", &key);
        if (err < 0)
            return err;
        if (!options[i].value || strlen(options[i].value) > RECORD_NAME_MAX)
            return call_error(HPO_INVALID, "option %.64s has no value or too long a one",
                              options[i].key);
        given[i] = (struct sampler_option){options[i].key, options[i].value};
    }
    *out = given;
    return 0;
}

/* The complete options, copied: the configuration goes. */
static int keep(const struct sampler_configuration *configuration, const char *name,
                uint32_t version, struct arena *arena, struct record_algorithm *out)
{
    struct record_option *options =
        arena_array(arena, configuration->option_count, sizeof(*options));
    char *copy = arena_string(arena, name);
    uint32_t i;

    if (!options || !copy)
        return HPO_NOMEM;
    for (i = 0; i < configuration->option_count; i++) {
        const char *key = arena_string(arena, configuration->options[i].key);
        const char *value = arena_string(arena, configuration->options[i].value);

        if (!key || !value)
            return HPO_NOMEM;
        options[i].key = (struct bytes){(const uint8_t *)key, strlen(key)};
        options[i].value = (struct bytes){(const uint8_t *)value, strlen(value)};
    }
    *out = (struct record_algorithm){
        .name = {(const uint8_t *)copy, strlen(copy)},
        .version = version,
        .options = options,
        .option_count = configuration->option_count,
    };
    return 0;
}

static int failed(int err, const struct sampler_message *message)
{
    if (err == SAMPLER_NOMEM)
        return HPO_NOMEM;
    return call_error(err == SAMPLER_MATH ? HPO_UNSUPPORTED : HPO_INVALID, "%s", message->text);
}

/* "known: grid, random" */
static int unknown(const char *what, const char *name, const char *(*at)(uint32_t index))
{
    char known[160] = "";
    size_t used = 0;
    uint32_t i;

    for (i = 0; at(i) && used < sizeof(known); i++) {
        int n = snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "", at(i));

        used += n > 0 ? (size_t)n : 0;
    }
    return call_error(HPO_INVALID, "unknown %s \"%.40s\"; known: %s", what, name, known);
}

static const char *sampler_name_at(uint32_t index)
{
    const struct sampler *sampler = sampler_at(index);

    return sampler ? sampler->name : NULL;
}

static const char *pruner_name_at(uint32_t index)
{
    const struct pruner *pruner = pruner_at(index);

    return pruner ? pruner->name : NULL;
}

int ask_configure_sampler(const struct hpo_os *os, struct record_study_create *study,
                          const char *name, const struct hpo_option *options, size_t count,
                          struct arena *arena, struct record_algorithm *out)
{
    const struct sampler *sampler = sampler_find(name);
    struct sampler_configuration *configuration = NULL;
    struct sampler_message message = {""};
    struct sampler_option *given;
    struct outline outline;
    int err;

    if (!sampler)
        return unknown("sampler", name, sampler_name_at);
    err = options_given(options, count, arena, &given);
    if (err < 0)
        return err;
    err = outline_make(&outline, os, study);
    if (err < 0)
        return err;
    err = sampler_configure(sampler, &outline.study, given, (uint32_t)count, 0, &outline.allocator,
                            &message, &configuration);
    err = err < 0 ? failed(err, &message)
                  : keep(configuration, sampler->name, sampler->version, arena, out);
    configuration_free(configuration);
    space_release(&outline.declared);
    return err;
}

int ask_configure_pruner(const struct hpo_os *os, struct record_study_create *study,
                         const char *name, const struct hpo_option *options, size_t count,
                         struct arena *arena, struct record_algorithm *out)
{
    const struct pruner *pruner = pruner_find(name);
    struct sampler_configuration *configuration = NULL;
    struct sampler_message message = {""};
    struct sampler_option *given;
    struct outline outline;
    int err;

    if (!pruner)
        return unknown("pruner", name, pruner_name_at);
    err = options_given(options, count, arena, &given);
    if (err < 0)
        return err;
    err = outline_make(&outline, os, study);
    if (err < 0)
        return err;
    err = pruner_configure(pruner, &outline.study, given, (uint32_t)count, &outline.allocator,
                           &message, &configuration);
    err = err < 0 ? failed(err, &message)
                  : keep(configuration, pruner->name, pruner->version, arena, out);
    configuration_free(configuration);
    space_release(&outline.declared);
    return err;
}

/* -- words -- */

static int options_recorded(const struct record_algorithm *algorithm, struct arena *arena,
                            struct sampler_option **out)
{
    struct sampler_option *options = arena_array(arena, algorithm->option_count, sizeof(*options));
    uint32_t i;

    if (!options)
        return HPO_NOMEM;
    for (i = 0; i < algorithm->option_count; i++) {
        options[i].key = arena_text(arena, algorithm->options[i].key);
        options[i].value = arena_text(arena, algorithm->options[i].value);
    }
    *out = options;
    return arena->failed ? HPO_NOMEM : 0;
}

int ask_sampler_words(const struct hpo_os *os, const struct draw *draw,
                      const struct record_study_create *study, struct arena *arena, uint64_t *out)
{
    struct sampler_configuration *configuration = NULL;
    const struct sampler *sampler;
    struct sampler_option *options;
    struct outline outline;
    char *name = arena_text(arena, study->sampler.name);
    uint32_t part;
    int err;

    sampler = name ? sampler_find(name) : NULL;
    if (!sampler || !sampler->draw_words || sampler->version != study->sampler.version)
        return name ? 1 : HPO_NOMEM;
    err = options_recorded(&study->sampler, arena, &options);
    if (err < 0)
        return err;
    err = outline_make(&outline, os, study);
    if (err < 0)
        return err;
    err = sampler_configure(sampler, &outline.study, options, study->sampler.option_count,
                            draw->instance, &outline.allocator, NULL, &configuration);
    for (part = 0; err == 0 && part < draw->part_count; part++) {
        err = sampler->draw_words(configuration, &outline.study, draw, part, 0,
                                  draw->parts[part].count, out);
        out += draw->parts[part].count;
    }
    configuration_free(configuration);
    space_release(&outline.declared);
    if (err == SAMPLER_NOMEM)
        return HPO_NOMEM;
    return err < 0 ? 1 : 0;
}

/* -- names -- */

const char *const *hpo_samplers(void)
{
    return sampler_names();
}

const char *const *hpo_pruners(void)
{
    return pruner_names();
}

/*
 * pruner_patient: nothing happens while a trial still improves; when its last `patience` + 1
 * reports are all worse than the best one before them by more than min_delta, the inner pruner
 * decides, or without one the trial stops.
 *
 * The inner pruner is configured by options of its own, written with "inner." before them. Notes
 * are its notes.
 */
#include "samplers/strict.h"
#include "samplers/options.h"
#include "samplers/pruner_reports.h"

#include <assert.h>
#include <string.h>

#define PREFIX "inner."
#define PREFIX_SIZE (sizeof(PREFIX) - 1)
#define KEY_SIZE 48 /* the longest key of an inner option, with prefix and end */
#define INNER_OPTIONS_MAX 16

/* Hyperband is not among them: samplers would not know of its brackets. */
static const char *const inner_words[] = {
    "median", "none", "percentile", "successive_halving", "threshold", "wilcoxon", NULL};

static const struct option_rule rules[] = {
    {.key = "inner", .fallback = "none", .kind = OPTION_WORD, .words = inner_words},
    {.key = "min_delta", .fallback = "0", .kind = OPTION_REAL, .real_max = 1e37},
    {.key = "patience", .fallback = "10", .kind = OPTION_COUNT, .count_max = UINT32_MAX - 2},
};
#define RULES 3

struct patient_configuration {
    struct sampler_configuration common;
    uint32_t patience;
    double delta;
    struct sampler_configuration *inner; /* NULL: none */
    void *list;                          /* the options of both */
};

static bool is_inner(const char *key)
{
    return strlen(key) >= PREFIX_SIZE && memcmp(key, PREFIX, PREFIX_SIZE) == 0;
}

/* The options of both in one list, which is sorted: "inner", "inner.*", the other two. */
static int join_options(struct patient_configuration *patient)
{
    const struct sampler_allocator *allocator = patient->common.allocator;
    const struct sampler_option *own = patient->common.options;
    uint32_t inner_count = patient->inner ? patient->inner->option_count : 0;
    uint32_t count = RULES + inner_count;
    struct sampler_option *list = allocator->alloc(
        allocator->context, count * sizeof(*list) + (size_t)inner_count * KEY_SIZE);
    char *keys;

    if (!list)
        return SAMPLER_NOMEM;
    keys = (char *)(list + count);
    list[0] = own[0];
    for (uint32_t i = 0; i < inner_count; i++) {
        char *key = keys + (size_t)i * KEY_SIZE;
        const struct sampler_option *option = &patient->inner->options[i];
        size_t size = strlen(option->key);

        assert(size < KEY_SIZE - PREFIX_SIZE);
        memcpy(key, PREFIX, PREFIX_SIZE);
        memcpy(key + PREFIX_SIZE, option->key, size + 1);
        list[1 + i] = (struct sampler_option){key, option->value};
    }
    for (uint32_t i = 1; i < RULES; i++)
        list[inner_count + i] = own[i];
    patient->list = list;
    patient->common.options = list;
    patient->common.option_count = count;
    return SAMPLER_OK;
}

static void patient_release(struct sampler_configuration *configuration)
{
    struct patient_configuration *patient = (struct patient_configuration *)(void *)configuration;
    const struct sampler_allocator *allocator = configuration->allocator;

    configuration_free(patient->inner);
    allocator->free(allocator->context, patient->list);
}

static int configure_inner(struct patient_configuration *patient, const char *name,
                           const struct sampler_study *study, const struct sampler_option *options,
                           uint32_t option_count, struct sampler_message *message)
{
    if (strcmp(name, "none") != 0)
        return pruner_configure(pruner_find(name), study, options, option_count,
                                patient->common.allocator, message, &patient->inner);
    if (option_count > 0)
        return sampler_fail(message, SAMPLER_INVALID, "there is no inner pruner for option inner.",
                            options[0].key);
    return SAMPLER_OK;
}

static int patient_configure(const struct sampler_study *study,
                             const struct sampler_option *options, uint32_t option_count,
                             const struct sampler_allocator *allocator,
                             struct sampler_message *message, struct sampler_configuration **out)
{
    struct sampler_option own[INNER_OPTIONS_MAX], inner[INNER_OPTIONS_MAX];
    uint32_t own_count = 0, inner_count = 0;
    struct sampler_configuration *made;
    struct patient_configuration *patient;
    int err;

    if (study->direction_count != 1)
        return sampler_fail(message, SAMPLER_UNSUPPORTED, "pruners need exactly one objective",
                            NULL);
    for (uint32_t i = 0; i < option_count; i++) {
        bool is = is_inner(options[i].key);

        if ((is ? inner_count : own_count) == INNER_OPTIONS_MAX)
            return sampler_fail(message, SAMPLER_INVALID, "too many options", NULL);
        if (is)
            inner[inner_count++] =
                (struct sampler_option){options[i].key + PREFIX_SIZE, options[i].value};
        else
            own[own_count++] = options[i];
    }
    err =
        options_complete(rules, RULES, own, own_count, sizeof(*patient), allocator, message, &made);
    if (err < 0)
        return err;
    patient = (struct patient_configuration *)(void *)made;
    patient->patience = (uint32_t)options_count(made, "patience");
    patient->delta = options_real(made, "min_delta");
    err = configure_inner(patient, options_word(made, "inner"), study, inner, inner_count, message);
    if (err == SAMPLER_OK)
        err = join_options(patient);
    if (err < 0) {
        patient_release(made);
        configuration_free(made);
        return err;
    }
    *out = made;
    return SAMPLER_OK;
}

static int patient_decide(const struct sampler_call *call, bool *prune, struct sampler_bytes *note)
{
    const struct patient_configuration *patient =
        (const struct patient_configuration *)(const void *)call->configuration;
    const struct sampler_trial *own = call->own;
    uint32_t count = own->report_count, recent = patient->patience + 1;
    bool maximise = call->study->directions[0];
    struct sampler_call inner = *call;
    double before, after;

    if (count <= recent)
        return SAMPLER_OK;
    before = reports_best(own, 0, count - recent, maximise);
    after = reports_best(own, count - recent, count, maximise);
    /* Not with a NaN on either side. */
    *prune = maximise ? before - patient->delta > after : before + patient->delta < after;
    if (!*prune || !patient->inner)
        return SAMPLER_OK;
    *prune = false;
    inner.configuration = patient->inner;
    return patient->inner->pruner->decide(&inner, prune, note);
}

const struct pruner pruner_patient = {
    .name = "patient",
    .version = 1,
    .configure = patient_configure,
    .release = patient_release,
    .decide = patient_decide,
};

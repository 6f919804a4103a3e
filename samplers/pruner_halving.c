/*
 * pruner_halving: asynchronous successive halving (ASHA), and Hyperband, which runs several of it
 * side by side.
 *
 * Rungs lie at min_resource * factor^(early + k) steps. A trial that reaches one competes with
 * every trial that has reached it so far and goes on if it is among the best 1 / factor of them.
 * Who arrives when matters, so a decision is an event: what it recorded stands in its note, and
 * that is where others read it.
 *
 * Hyperband deals trials to brackets by a checksum of study name and number; bracket b halves with
 * early = b among its own trials.
 *
 * The note, all little-endian: 8 bytes, the resource ("auto") that this trial goes by, 0 if it
 * was given; then 8 bytes for each rung reached so far, the value there as a double. Empty: as in
 * the trial's decision before. The resource of a study is the one in the first note of the
 * lowest-numbered trial that has any; when none has, the decision works it out and so fixes it.
 */
#include "samplers/strict.h"
#include "samplers/options.h"
#include "samplers/pruner_reports.h"

#include <assert.h>
#include <string.h>

#define RESOURCE_MAX (UINT64_C(1) << 53)
#define FACTOR_MAX 1000000
#define RUNGS_MAX 64 /* factors of at least 2 within 2^63 steps */
#define AUTO "auto"

static const char *const auto_words[] = {AUTO, NULL};

static const struct option_rule halving_rules[] = {
    {.key = "bootstrap", .fallback = "0", .kind = OPTION_COUNT, .count_max = UINT32_MAX},
    {.key = "early_stopping", .fallback = "0", .kind = OPTION_COUNT, .count_max = RUNGS_MAX},
    {.key = "min_resource",
     .fallback = AUTO,
     .kind = OPTION_COUNT,
     .count_min = 1,
     .count_max = RESOURCE_MAX,
     .words = auto_words},
    {.key = "reduction_factor",
     .fallback = "4",
     .kind = OPTION_COUNT,
     .count_min = 2,
     .count_max = FACTOR_MAX},
};

static const struct option_rule hyperband_rules[] = {
    {.key = "bootstrap", .fallback = "0", .kind = OPTION_COUNT, .count_max = UINT32_MAX},
    {.key = "max_resource",
     .fallback = AUTO,
     .kind = OPTION_COUNT,
     .count_min = 1,
     .count_max = RESOURCE_MAX,
     .words = auto_words},
    {.key = "min_resource",
     .fallback = "1",
     .kind = OPTION_COUNT,
     .count_min = 1,
     .count_max = RESOURCE_MAX},
    /* 0: as many as the resources give; for agreement with others that count otherwise. */
    {.key = "n_brackets", .fallback = "0", .kind = OPTION_COUNT, .count_max = RUNGS_MAX},
    {.key = "reduction_factor",
     .fallback = "3",
     .kind = OPTION_COUNT,
     .count_min = 2,
     .count_max = FACTOR_MAX},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct halving_configuration {
    struct sampler_configuration common;
    bool hyperband;
    uint64_t bootstrap, factor, early;
    uint64_t minimum, maximum; /* 0: auto (of halving the minimum, of Hyperband the maximum) */
    uint32_t brackets;         /* 0: worked out */
};

static const struct halving_configuration *
halving_configuration(const struct sampler_configuration *configuration)
{
    return (const struct halving_configuration *)(const void *)configuration;
}

static uint64_t resource_option(const struct sampler_configuration *configuration, const char *key)
{
    return strcmp(options_word(configuration, key), AUTO) == 0 ? 0
                                                               : options_count(configuration, key);
}

static int configure(bool hyperband, const struct sampler_study *study,
                     const struct sampler_option *options, uint32_t option_count,
                     const struct sampler_allocator *allocator, struct sampler_message *message,
                     struct sampler_configuration **out)
{
    struct sampler_configuration *made;
    struct halving_configuration *halving;
    int err;

    if (study->direction_count != 1)
        return sampler_fail(message, SAMPLER_UNSUPPORTED, "pruners need exactly one objective",
                            NULL);
    err = options_complete(hyperband ? hyperband_rules : halving_rules,
                           hyperband ? COUNT(hyperband_rules) : COUNT(halving_rules), options,
                           option_count, sizeof(*halving), allocator, message, &made);
    if (err < 0)
        return err;
    halving = (struct halving_configuration *)(void *)made;
    halving->hyperband = hyperband;
    halving->bootstrap = options_count(made, "bootstrap");
    halving->factor = options_count(made, "reduction_factor");
    halving->minimum = resource_option(made, "min_resource");
    if (hyperband) {
        halving->maximum = resource_option(made, "max_resource");
        halving->brackets = (uint32_t)options_count(made, "n_brackets");
        if (halving->maximum != 0 && halving->maximum < halving->minimum)
            err = sampler_fail(message, SAMPLER_INVALID,
                               "max_resource must not be below min_resource", NULL);
    } else {
        halving->early = options_count(made, "early_stopping");
        if (halving->bootstrap > 0 && halving->minimum == 0)
            err = sampler_fail(message, SAMPLER_INVALID,
                               "bootstrap needs a given min_resource, not auto", NULL);
    }
    if (err < 0) {
        configuration_free(made);
        return err;
    }
    *out = made;
    return SAMPLER_OK;
}

static int halving_configure(const struct sampler_study *study,
                             const struct sampler_option *options, uint32_t option_count,
                             const struct sampler_allocator *allocator,
                             struct sampler_message *message, struct sampler_configuration **out)
{
    return configure(false, study, options, option_count, allocator, message, out);
}

static int hyperband_configure(const struct sampler_study *study,
                               const struct sampler_option *options, uint32_t option_count,
                               const struct sampler_allocator *allocator,
                               struct sampler_message *message, struct sampler_configuration **out)
{
    return configure(true, study, options, option_count, allocator, message, out);
}

/* -- notes -- */

static uint64_t get64(const uint8_t *bytes)
{
    uint64_t word = 0;

    for (int i = 0; i < 8; i++)
        word |= (uint64_t)bytes[i] << 8 * i;
    return word;
}

static int put64(struct sampler_bytes *note, uint64_t word)
{
    uint8_t bytes[8];

    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(word >> 8 * i);
    return sampler_bytes_append(note, bytes, sizeof(bytes));
}

static bool is_note(const struct sampler_decision *decision)
{
    return decision->note_size >= 8 && decision->note_size % 8 == 0 &&
           decision->note_size <= 8 * (1 + RUNGS_MAX);
}

/* The trial's last note that says anything, or NULL. */
static const struct sampler_decision *last_note(const struct sampler_trial *trial)
{
    for (uint32_t i = trial->decision_count; i > 0; i--)
        if (is_note(&trial->decisions[i - 1]))
            return &trial->decisions[i - 1];
    return NULL;
}

static uint32_t rungs_of(const struct sampler_decision *note)
{
    return note ? (uint32_t)(note->note_size / 8 - 1) : 0;
}

static double rung_value(const struct sampler_decision *note, uint32_t rung)
{
    uint64_t bits = get64(note->note + 8 * (1 + (size_t)rung));
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* -- the resource that a study fixes once -- */

/* Lower *number to the trial's if its first note has a resource, which goes to *resource. */
static void look_for_resource(const struct sampler_trial *trial, uint64_t *number,
                              uint64_t *resource)
{
    if (*resource != 0 && trial->number >= *number)
        return;
    for (uint32_t i = 0; i < trial->decision_count; i++) {
        uint64_t found = is_note(&trial->decisions[i]) ? get64(trial->decisions[i].note) : 0;

        if (found != 0 && found <= INT64_MAX) {
            *number = trial->number;
            *resource = found;
            return;
        }
    }
}

/* What the view's notes say, 0 if nothing. `own` may be NULL. */
static uint64_t noted_resource(const struct sampler_view *view, const struct sampler_trial *own)
{
    uint64_t number = 0, resource = 0;

    for (size_t i = 0; i < view->ended_count; i++)
        look_for_resource(view->ended[i], &number, &resource);
    for (size_t i = 0; i < view->running_count; i++)
        look_for_resource(view->running[i], &number, &resource);
    if (own)
        look_for_resource(own, &number, &resource);
    return resource;
}

/* What complete trials suggest, 0 while none has reported: a hundredth of the longest as the
 * minimum, all of its steps (they begin with 0) as the maximum. */
static uint64_t estimated_resource(const struct halving_configuration *halving,
                                   const struct sampler_view *view)
{
    int64_t last;

    if (!reports_last_step(view, &last))
        return 0;
    if (halving->hyperband)
        return last < 0 ? 1 : (uint64_t)last + 1;
    return last < 200 ? 1 : (uint64_t)last / 100;
}

/* -- rungs -- */

/* minimum * factor^power, INT64_MAX if that is too large. */
static uint64_t rung_step(uint64_t minimum, uint64_t factor, uint64_t power)
{
    uint64_t step = minimum;

    for (; power > 0 && step <= INT64_MAX; power--)
        step = step > INT64_MAX / factor ? INT64_MAX : step * factor;
    return step < INT64_MAX ? step : INT64_MAX;
}

/* The trials that a trial competes with. */
struct field {
    const struct sampler_call *call;
    const struct halving_configuration *halving;
    uint64_t resource;
    uint32_t bracket;
};

static uint32_t bracket_of(const struct halving_configuration *halving,
                           const struct sampler_study *study, uint64_t resource, uint64_t number);

/* Count a trial of the field at the rung: all, and those better than `value`. */
static void compare(const struct field *field, const struct sampler_trial *other, uint32_t rung,
                    double value, uint64_t *all, uint64_t *better)
{
    const struct sampler_decision *note;
    double theirs;

    if (other->number == field->call->own->number)
        return;
    note = last_note(other);
    if (rungs_of(note) <= rung)
        return;
    if (field->halving->hyperband && bracket_of(field->halving, field->call->study, field->resource,
                                                other->number) != field->bracket)
        return;
    theirs = rung_value(note, rung);
    (*all)++;
    *better += field->call->study->directions[0] ? theirs > value : theirs < value;
}

/* Among the best 1 / factor (at least one) of those at the rung, ties included? */
static bool goes_on(const struct field *field, uint32_t rung, double value)
{
    const struct sampler_view *view = field->call->view;
    uint64_t all = 1, better = 0, places;

    for (size_t i = 0; i < view->ended_count; i++)
        compare(field, view->ended[i], rung, value, &all, &better);
    for (size_t i = 0; i < view->running_count; i++)
        compare(field, view->running[i], rung, value, &all, &better);
    places = all / field->halving->factor;
    return all > field->halving->bootstrap && better < (places > 0 ? places : 1);
}

/* Write the note: the resource ("auto"), the rungs there were and the new ones, all of them with
 * the trial's value now. */
static int write_note(struct sampler_bytes *note, uint64_t resource,
                      const struct sampler_decision *before, uint32_t rungs, double value)
{
    uint32_t old = rungs_of(before);
    uint64_t bits;
    int err = put64(note, resource);

    memcpy(&bits, &value, sizeof(bits));
    for (uint32_t i = 0; err == SAMPLER_OK && i < rungs; i++)
        err = put64(note, i < old ? get64(before->note + 8 * (1 + (size_t)i)) : bits);
    return err;
}

/* Climb as many rungs as the step allows. `minimum` and `early` are the bracket's. */
static int climb(const struct field *field, uint64_t minimum, uint64_t early, bool is_auto,
                 bool fixes, bool *prune, struct sampler_bytes *note)
{
    const struct sampler_trial *own = field->call->own;
    const struct sampler_report *last = &own->reports[own->report_count - 1];
    const struct sampler_decision *before = last_note(own);
    uint32_t rungs = rungs_of(before);

    while (!*prune && rungs < RUNGS_MAX && last->step > 0 &&
           (uint64_t)last->step >= rung_step(minimum, field->halving->factor, early + rungs)) {
        if (last->value != last->value) {
            *prune = true;
            break;
        }
        *prune = !goes_on(field, rungs, last->value);
        rungs++;
    }
    if (rungs == rungs_of(before) && !fixes)
        return SAMPLER_OK;
    return write_note(note, is_auto ? field->resource : 0, before, rungs, last->value);
}

/* -- brackets -- */

/* zlib's CRC-32, a bit at a time. */
static uint32_t crc32_add(uint32_t crc, const uint8_t *bytes, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int b = 0; b < 8; b++)
            crc = crc >> 1 ^ (UINT32_C(0xEDB88320) & (0 - (crc & 1)));
    }
    return ~crc;
}

/* Of the text "name_number". */
static uint32_t trial_checksum(const struct sampler_study *study, uint64_t number)
{
    uint8_t text[24];
    size_t at = sizeof(text);
    uint32_t crc = crc32_add(0, (const uint8_t *)study->name, study->name_size);

    do {
        text[--at] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    text[--at] = '_';
    return crc32_add(crc, text + at, sizeof(text) - at);
}

static uint32_t bracket_count(const struct halving_configuration *halving, uint64_t maximum)
{
    uint32_t count = 1;

    if (halving->brackets != 0)
        return halving->brackets;
    while (count < RUNGS_MAX && rung_step(halving->minimum, halving->factor, count) <= maximum)
        count++;
    return count;
}

/* ceil(count factor^s / (s + 1)), s = count - 1 - bracket: how many trials it is worth. */
static uint64_t bracket_budget(const struct halving_configuration *halving, uint32_t count,
                               uint32_t bracket)
{
    uint64_t s = count - 1 - bracket;
    uint64_t size = rung_step(1, halving->factor, s);

    if (size >
        (UINT64_C(1) << 56)) /* times 64 it would not fit; so rare that nothing else counts */
        size = UINT64_C(1) << 56;
    return (count * size + s) / (s + 1);
}

static uint32_t bracket_of(const struct halving_configuration *halving,
                           const struct sampler_study *study, uint64_t resource, uint64_t number)
{
    uint32_t count = bracket_count(halving, resource), bracket = 0;
    uint64_t total = 0, place;

    for (uint32_t b = 0; b < count; b++) {
        uint64_t budget = bracket_budget(halving, count, b);

        total = budget > UINT64_MAX - total ? UINT64_MAX : total + budget;
    }
    place = trial_checksum(study, number) % total;
    for (; bracket + 1 < count; bracket++) {
        uint64_t budget = bracket_budget(halving, count, bracket);

        if (place < budget)
            break;
        place -= budget;
    }
    return bracket;
}

static uint64_t hyperband_resource(const struct sampler_configuration *configuration,
                                   const struct sampler_view *view)
{
    const struct halving_configuration *halving = halving_configuration(configuration);

    return halving->maximum != 0 ? halving->maximum : noted_resource(view, NULL);
}

static uint32_t hyperband_bracket(const struct sampler_configuration *configuration,
                                  const struct sampler_study *study, uint64_t resource,
                                  uint64_t trial_number)
{
    if (resource == 0) /* not fixed yet: all trials are together */
        return 0;
    return bracket_of(halving_configuration(configuration), study, resource, trial_number);
}

/* -- decisions -- */

static int halving_decide(const struct sampler_call *call, bool *prune, struct sampler_bytes *note)
{
    const struct halving_configuration *halving = halving_configuration(call->configuration);
    struct field field = {.call = call, .halving = halving};
    bool is_auto = (halving->hyperband ? halving->maximum : halving->minimum) == 0, fixes = false;

    field.resource = halving->hyperband ? halving->maximum : halving->minimum;
    if (is_auto) {
        field.resource = noted_resource(call->view, call->own);
        fixes = field.resource == 0;
        if (fixes)
            field.resource = estimated_resource(halving, call->view);
        if (field.resource == 0)
            return SAMPLER_OK;
    }
    if (!halving->hyperband)
        return climb(&field, field.resource, halving->early, is_auto, fixes, prune, note);
    field.bracket = bracket_of(halving, call->study, field.resource, call->own->number);
    return climb(&field, halving->minimum, field.bracket, is_auto, fixes, prune, note);
}

const struct pruner pruner_halving = {
    .name = "successive_halving",
    .version = 1,
    .configure = halving_configure,
    .decide = halving_decide,
};

const struct pruner pruner_hyperband = {
    .name = "hyperband",
    .version = 1,
    .configure = hyperband_configure,
    .decide = halving_decide,
    .resource = hyperband_resource,
    .bracket = hyperband_bracket,
};

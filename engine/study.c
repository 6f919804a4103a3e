/*
 * study: making, opening, changing and deleting studies, and their attributes.
 *
 * Opening one that exists compares what the caller gives with what is recorded, because the
 * commonest way to resume a search is to start the same program again: if the program has changed,
 * the caller learns it before a single trial is spent.
 */
#include "ask.h"
#include "attr.h"
#include "distribution.h"

#include <string.h>

/* What a caller wants, checked and in the form of the log. */
struct wish {
    struct arena arena;
    struct record_study_create create;
    const struct hpo_study_options *options;
    bool directions, sampler, pruner, seed, space, window; /* given */
    bool whole;                                            /* good for a new study as it is */
};

static struct bytes text(const char *string)
{
    return (struct bytes){(const uint8_t *)string, strlen(string)};
}

static bool same_bytes(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* -- handles -- */

static int handle_new(struct hpo_store *store, struct bytes name, struct hpo_study **out)
{
    const struct hpo_os *os = store->os;
    struct hpo_study *handle = os->alloc(os->self, sizeof(*handle) + name.size);
    uint8_t *copy;

    if (!handle)
        return HPO_NOMEM;
    copy = (uint8_t *)(handle + 1);
    memcpy(copy, name.data, name.size);
    *handle = (struct hpo_study){.store = store, .name = {copy, name.size}};
    *out = handle;
    return 0;
}

static void handle_link(struct hpo_study *handle, uint64_t id)
{
    struct hpo_store *store = handle->store;

    handle->id = id;
    handle->next = store->studies;
    handle->link = &store->studies;
    if (store->studies)
        store->studies->link = &handle->next;
    store->studies = handle;
}

int study_handle(struct hpo_store *store, const struct state_study *study, struct hpo_study **out)
{
    int err = handle_new(store, state_study_config(study)->name, out);

    if (err == 0)
        handle_link(*out, state_study_id(study));
    return err;
}

void study_unlink(struct hpo_study *study)
{
    *study->link = study->next;
    if (study->next)
        study->next->link = study->link;
}

const struct state_study *study_of(struct hpo_study *study, int *err)
{
    const struct state_study *found = state_study_by_id(study->store->state, study->id);

    if (found && same_bytes(state_study_config(found)->name, study->name))
        return found;
    *err = call_error(HPO_NOT_FOUND, "the study has been deleted");
    return NULL;
}

void hpo_study_free(struct hpo_study *study)
{
    struct hpo_store *store;

    if (!study)
        return;
    store = study->store;
    if (call_begin(store) < 0)
        return; /* forked: the memory is the parent's concern, hpo_close frees it */
    study_unlink(study);
    store->os->free(store->os->self, study);
    (void)call_end(store, 0);
}

/* -- what the caller wants -- */

static int wish_directions(struct wish *wish)
{
    const struct hpo_study_options *options = wish->options;
    size_t count = options && options->directions ? options->direction_count : 0;
    uint8_t *directions;
    size_t i;

    if (options && !options->directions && options->direction_count > 0)
        return call_error(HPO_INVALID, "a number of directions, but no directions");
    if (count > RECORD_DIRECTIONS_MAX)
        return call_error(HPO_INVALID, "more than %u directions", RECORD_DIRECTIONS_MAX);
    directions = arena_alloc(&wish->arena, count ? count : 1);
    if (!directions)
        return HPO_NOMEM;
    for (i = 0; i < count; i++) {
        if (options->directions[i] != HPO_MINIMIZE && options->directions[i] != HPO_MAXIMIZE)
            return call_error(HPO_INVALID, "direction %zu is neither minimize nor maximize", i);
        directions[i] = (uint8_t)options->directions[i];
    }
    wish->directions = count > 0;
    wish->create.directions = directions; /* default: one, minimize = 0 */
    wish->create.direction_count = count ? (uint8_t)count : 1;
    return 0;
}

static int wish_space(struct wish *wish)
{
    const struct hpo_study_options *options = wish->options;
    struct record_param *params;
    size_t i, j;
    int err;

    if (!options || options->param_count == 0)
        return 0;
    if (!options->params)
        return call_error(HPO_INVALID, "a number of parameters, but no parameters");
    if (options->param_count > 65535)
        return call_error(HPO_TOO_LARGE, "more than 65535 parameters");
    params = arena_array(&wish->arena, options->param_count, sizeof(*params));
    if (!params)
        return HPO_NOMEM;
    for (i = 0; i < options->param_count; i++) {
        err = name_check(options->params[i].name, "a parameter's name", &params[i].name);
        if (err < 0)
            return err;
        for (j = 0; j < i; j++)
            if (same_bytes(params[j].name, params[i].name))
                return call_error(HPO_INVALID, "parameter %.64s is declared twice",
                                  options->params[i].name);
        err = distribution_from_public(&options->params[i].distribution, options->params[i].name,
                                       &wish->arena, &params[i].distribution);
        if (err < 0)
            return err;
    }
    wish->space = true;
    wish->create.declared = true;
    wish->create.params = params;
    wish->create.param_count = (uint32_t)options->param_count;
    return 0;
}

static int wish_make(struct wish *wish, struct hpo_store *store, const char *name,
                     const struct hpo_study_options *options)
{
    int err;

    memset(wish, 0, sizeof(*wish));
    arena_init(&wish->arena, store->os);
    wish->options = options;
    err = name_check(name, "the study's name", &wish->create.name);
    if (err < 0)
        return err;
    err = wish_directions(wish);
    if (err == 0)
        err = wish_space(wish);
    if (err < 0 || !options)
        return err;
    if ((options->sampler_option_count && !options->sampler_options) ||
        (options->pruner_option_count && !options->pruner_options))
        return call_error(HPO_INVALID, "a number of options, but no options");
    wish->sampler = options->sampler || options->sampler_option_count;
    wish->pruner = options->pruner || options->pruner_option_count;
    wish->seed = options->has_seed;
    wish->create.seed[0] = options->seed[0];
    wish->create.seed[1] = options->seed[1];
    if (HAS_MEMBER(options, window) && options->window) {
        wish->window = true;
        wish->create.window = options->window;
    }
    return 0;
}

/* Sampler and pruner, for a study like `like` (the wish itself, or the existing one as changed). */
static int wish_algorithms(struct wish *wish, struct hpo_store *store,
                           struct record_study_create *like, const struct record_algorithm *now,
                           const struct record_algorithm *pruner_now)
{
    const struct hpo_study_options *options = wish->options;
    const char *sampler = options && options->sampler ? options->sampler : NULL;
    const char *pruner = options && options->pruner ? options->pruner : NULL;
    int err = 0;

    if (!sampler && now)
        sampler = arena_text(&wish->arena, now->name);
    if (!sampler)
        sampler = "random";
    if (!pruner && pruner_now)
        pruner = arena_text(&wish->arena, pruner_now->name);
    if (!pruner)
        pruner = "";
    if (wish->sampler || !now)
        err = ask_configure_sampler(
            store->os, like, sampler, options ? options->sampler_options : NULL,
            options ? options->sampler_option_count : 0, &wish->arena, &wish->create.sampler);
    if (err < 0)
        return err;
    if (pruner[0] == '\0' || strcmp(pruner, "none") == 0) {
        if (options && options->pruner_option_count)
            return call_error(HPO_INVALID, "options for no pruner");
        return 0;
    }
    if (wish->pruner || !pruner_now)
        err = ask_configure_pruner(
            store->os, like, pruner, options ? options->pruner_options : NULL,
            options ? options->pruner_option_count : 0, &wish->arena, &wish->create.pruner);
    return err;
}

/* -- comparing -- */

static bool same_algorithm(const struct record_algorithm *a, const struct record_algorithm *b)
{
    uint32_t i;

    if (!same_bytes(a->name, b->name) || a->version != b->version ||
        a->option_count != b->option_count)
        return false;
    for (i = 0; i < a->option_count; i++)
        if (!same_bytes(a->options[i].key, b->options[i].key) ||
            !same_bytes(a->options[i].value, b->options[i].value))
            return false;
    return true;
}

static bool same_numbers(const struct record_distribution *a, const struct record_distribution *b)
{
    return a->low == b->low && a->high == b->high && a->has_step == b->has_step &&
           a->step == b->step && a->low_int == b->low_int && a->high_int == b->high_int &&
           a->step_int == b->step_int;
}

static bool same_param(const struct record_param *a, const struct record_param *b)
{
    return same_bytes(a->name, b->name) &&
           distribution_same_class(&a->distribution, &b->distribution) &&
           same_numbers(&a->distribution, &b->distribution);
}

/* The first difference between two spaces, for people. */
static int space_differs(const struct record_study_create *now,
                         const struct record_study_create *want)
{
    uint32_t i;

    if (!now->declared)
        return call_error(HPO_INCOMPATIBLE, "the study exists and has no declared space");
    for (i = 0; i < now->param_count && i < want->param_count; i++) {
        const struct record_param *a = &now->params[i], *b = &want->params[i];

        if (!same_bytes(a->name, b->name))
            return call_error(
                HPO_INCOMPATIBLE, "the study exists and its parameter %u is %.*s, not %.*s", i,
                (int)(a->name.size < 64 ? a->name.size : 64), (const char *)a->name.data,
                (int)(b->name.size < 64 ? b->name.size : 64), (const char *)b->name.data);
        if (!same_param(a, b))
            return call_error(HPO_INCOMPATIBLE,
                              "the study exists and its parameter %.*s has another range or kind",
                              (int)(a->name.size < 64 ? a->name.size : 64),
                              (const char *)a->name.data);
    }
    if (now->param_count != want->param_count)
        return call_error(HPO_INCOMPATIBLE, "the study exists and has %u parameters, not %u",
                          now->param_count, want->param_count);
    return 0;
}

static int algorithm_differs(const char *what, const struct record_algorithm *now,
                             const struct record_algorithm *want)
{
    uint32_t i;

    if (same_algorithm(now, want))
        return 0;
    if (!same_bytes(now->name, want->name))
        return call_error(
            HPO_INCOMPATIBLE, "the study exists and its %s is \"%.*s\", not \"%.*s\"", what,
            (int)(now->name.size < 64 ? now->name.size : 64), (const char *)now->name.data,
            (int)(want->name.size < 64 ? want->name.size : 64), (const char *)want->name.data);
    if (now->version != want->version)
        return call_error(HPO_INCOMPATIBLE,
                          "the study exists and its %s has version %u, this build's %u", what,
                          now->version, want->version);
    for (i = 0; i < now->option_count && i < want->option_count; i++)
        if (!same_bytes(now->options[i].value, want->options[i].value))
            break;
    if (i < now->option_count && i < want->option_count)
        return call_error(
            HPO_INCOMPATIBLE, "the study exists and its %s has %.*s = %.*s, not %.*s", what,
            (int)(now->options[i].key.size < 40 ? now->options[i].key.size : 40),
            (const char *)now->options[i].key.data,
            (int)(now->options[i].value.size < 40 ? now->options[i].value.size : 40),
            (const char *)now->options[i].value.data,
            (int)(want->options[i].value.size < 40 ? want->options[i].value.size : 40),
            (const char *)want->options[i].value.data);
    return call_error(HPO_INCOMPATIBLE, "the study exists and its %s has other options", what);
}

/* The study as it would be with the wish applied, for configuring algorithms. */
static struct record_study_create merged(const struct wish *wish,
                                         const struct record_study_create *now)
{
    struct record_study_create like = *now;

    if (wish->space) {
        like.declared = true;
        like.params = wish->create.params;
        like.param_count = wish->create.param_count;
    }
    return like;
}

/* Compare the wish with what there is; what differs and may change goes into `config`. 0: nothing
 * to do, 1: config is to be recorded. Errors speak of the first difference. */
static int wish_compare(struct wish *wish, struct hpo_store *store, const struct state_study *study,
                        struct record_study_config *config)
{
    const struct record_study_create *now = state_study_config(study);
    const struct record_study_create *want = &wish->create;
    bool allow = wish->options && wish->options->allow_change;
    struct record_study_create like = merged(wish, now);
    int err;

    memset(config, 0, sizeof(*config));
    config->study = state_study_id(study);
    err = wish_algorithms(wish, store, &like, &now->sampler, &now->pruner);
    if (err < 0)
        return err;
    if (wish->directions && (want->direction_count != now->direction_count ||
                             memcmp(want->directions, now->directions, want->direction_count)))
        return call_error(HPO_INCOMPATIBLE, "the study exists and has other directions");
    if (wish->window && want->window != now->window)
        return call_error(HPO_INCOMPATIBLE, "the study exists and has window %u, not %u",
                          now->window, want->window);
    if (wish->space && (err = space_differs(now, want)) < 0) {
        if (!allow)
            return err;
        config->has_space = true;
        config->params = want->params;
        config->param_count = want->param_count;
    }
    if (wish->sampler && (err = algorithm_differs("sampler", &now->sampler, &want->sampler)) < 0) {
        if (!allow)
            return err;
        config->has_sampler = true;
        config->sampler = want->sampler;
    }
    if (wish->pruner && (err = algorithm_differs("pruner", &now->pruner, &want->pruner)) < 0) {
        if (!allow)
            return err;
        config->has_pruner = true;
        config->pruner = want->pruner;
    }
    if (wish->seed && memcmp(want->seed, now->seed, sizeof(now->seed)) != 0) {
        if (!allow)
            return call_error(HPO_INCOMPATIBLE, "the study exists and has another seed");
        config->has_seed = true;
        memcpy(config->seed, want->seed, sizeof(config->seed));
    }
    if (now->math_version != ask_math_version() && allow) {
        config->has_math_version = true;
        config->math_version = ask_math_version();
    }
    error_here()->code = 0;
    return config->has_space || config->has_sampler || config->has_pruner || config->has_seed ||
           config->has_math_version;
}

typedef int (*configure_fn)(const struct hpo_os *os, struct record_study_create *study,
                            const char *name, const struct hpo_option *options, size_t count,
                            struct arena *arena, struct record_algorithm *out);

/* Configure an algorithm afresh, from its recorded options. 1: *out differs from what is recorded.
 */
static int renew(struct wish *wish, struct hpo_store *store, struct record_study_create *like,
                 const struct record_algorithm *now, configure_fn configure,
                 struct record_algorithm *out)
{
    struct hpo_option *options;
    const char *name;
    uint32_t i;
    int err;

    if (now->name.size == 0)
        return 0;
    name = arena_text(&wish->arena, now->name);
    options = arena_array(&wish->arena, now->option_count, sizeof(*options));
    for (i = 0; options && i < now->option_count; i++) {
        options[i].key = arena_text(&wish->arena, now->options[i].key);
        options[i].value = arena_text(&wish->arena, now->options[i].value);
    }
    if (wish->arena.failed)
        return HPO_NOMEM;
    err = configure(store->os, like, name, options, now->option_count, &wish->arena, out);
    return err < 0 ? err : !same_algorithm(now, out);
}

/* A study whose sampler or pruner has another version than this build's goes on only when told to.
 */
static int renew_versions(struct wish *wish, struct hpo_store *store,
                          const struct state_study *study, struct record_study_config *config)
{
    const struct record_study_create *now = state_study_config(study);
    struct record_study_create like = merged(wish, now);
    int sampler = 0, pruner = 0;

    if (!config->has_sampler)
        sampler = renew(wish, store, &like, &now->sampler, ask_configure_sampler, &config->sampler);
    if (sampler >= 0 && !config->has_pruner)
        pruner = renew(wish, store, &like, &now->pruner, ask_configure_pruner, &config->pruner);
    if (sampler < 0 || pruner < 0)
        return sampler < 0 ? sampler : pruner;
    config->has_sampler |= sampler > 0;
    config->has_pruner |= pruner > 0;
    return sampler | pruner;
}

/* -- creating and opening -- */

/* Everything that a new study needs and that can be wrong, before the log is touched. */
static int wish_whole(struct wish *wish, struct hpo_store *store)
{
    const struct hpo_os *os = store->os;
    int err;

    err = wish_algorithms(wish, store, &wish->create, NULL, NULL);
    if (err < 0)
        return err;
    if (!wish->seed) {
        err = os->entropy(os->self, wish->create.seed, sizeof(wish->create.seed));
        if (err < 0)
            return error_set(error_here(), error_from_errno(err), -err, NULL, 0, 0,
                             "the system gives no random seed");
    }
    wish->whole = true;
    return 0;
}

static int append_create(struct wish *wish, struct hpo_store *store, struct log_ticket *ticket)
{
    struct record record = {.type = RECORD_STUDY_CREATE};
    int err = wish->whole ? 0 : wish_whole(wish, store);

    if (err < 0)
        return err;
    wish->create.study = state_next_study(store->state);
    wish->create.math_version = ask_math_version();
    wish->create.time = store_now(store);
    record.study_create = wish->create;
    err = tail_record(store, &record);
    return err < 0 ? err : tail_append(store, TAIL_BEGIN, ticket);
}

/* Compare with an existing study. 1: `config` is to be recorded. */
static int consider_existing(struct wish *wish, struct hpo_store *store,
                             const struct state_study *study, struct record_study_config *config)
{
    int err, renewed = 0;

    if (wish->options && wish->options->exclusive)
        return call_error(HPO_EXISTS, "there is a study of that name");
    err = wish_compare(wish, store, study, config);
    if (err >= 0 && wish->options && wish->options->allow_change)
        renewed = renew_versions(wish, store, study, config);
    return renewed < 0 ? renewed : err | renewed;
}

/* With the tail: create, change or leave as it is; *id is the study's. 1: something was appended.
 */
static int create_or_change(struct wish *wish, struct hpo_store *store, struct log_ticket *ticket,
                            uint64_t *id)
{
    const struct state_study *study = state_study_find(store->state, wish->create.name);
    struct record record = {.type = RECORD_STUDY_CONFIG};
    int err;

    if (!study) {
        err = append_create(wish, store, ticket);
        *id = wish->create.study;
        return err < 0 ? err : 1;
    }
    *id = state_study_id(study);
    wish->whole = false;
    err = consider_existing(wish, store, study, &record.study_config);
    if (err <= 0)
        return err;
    err = tail_record(store, &record);
    if (err == 0)
        err = tail_append(store, TAIL_BEGIN, ticket);
    return err < 0 ? err : 1;
}

static int handle_by_name(struct hpo_store *store, struct bytes name, struct hpo_study **out)
{
    const struct state_study *study;
    int err = store_catch_up(store);

    if (err < 0)
        return err;
    study = state_study_find(store->state, name);
    if (!study)
        return call_error(HPO_NOT_FOUND, "there is no study of that name");
    return study_handle(store, study, out);
}

static int create_locked(struct wish *wish, struct hpo_store *store, struct hpo_study **out)
{
    const struct state_study *study;
    struct record_study_config config;
    struct hpo_study *handle;
    struct log_ticket ticket;
    uint64_t id = 0;
    int err;

    err = store_catch_up(store);
    if (err < 0)
        return err;
    study = state_study_find(store->state, wish->create.name);
    if (study) { /* the usual case, without the tail: also on a read-only handle */
        err = consider_existing(wish, store, study, &config);
        if (err <= 0)
            return err < 0 ? err : study_handle(store, study, out);
    } else if (!store->read_only) {
        err = wish_whole(wish, store);
        if (err < 0)
            return err;
    }
    err =
        handle_new(store, wish->create.name, &handle); /* nothing may fail for memory afterwards */
    if (err < 0)
        return err;
    err = tail_begin(store, TAIL_BEGIN);
    if (err < 0)
        goto free_handle;
    err = create_or_change(wish, store, &ticket, &id);
    tail_end(store);
    if (err > 0)
        err = call_wait(store, &ticket);
    if (err < 0)
        goto free_handle;
    handle_link(handle, id);
    *out = handle;
    return 0;

free_handle:
    store->os->free(store->os->self, handle);
    return err;
}

int hpo_study_create(struct hpo_store *store, const char *name,
                     const struct hpo_study_options *options, struct hpo_study **out)
{
    struct wish wish;
    int err;

    if (!store)
        return HPO_INVALID;
    if (!out || (options && !HAS_MEMBER(options, allow_change)))
        return call_refuse(store, HPO_INVALID, "no place for the result, or options without size");
    err = call_begin(store);
    if (err < 0)
        return err;
    err = wish_make(&wish, store, name, options);
    if (err == 0)
        err = create_locked(&wish, store, out);
    arena_release(&wish.arena);
    return call_end(store, err);
}

int hpo_study_open(struct hpo_store *store, const char *name, struct hpo_study **out)
{
    struct bytes bytes;
    int err;

    if (!store)
        return HPO_INVALID;
    if (!out)
        return call_refuse(store, HPO_INVALID, "no place for the result");
    err = call_begin(store);
    if (err < 0)
        return err;
    err = name_check(name, "the study's name", &bytes);
    if (err == 0)
        err = handle_by_name(store, bytes, out);
    return call_end(store, err);
}

int hpo_study_open_id(struct hpo_store *store, uint64_t id, struct hpo_study **out)
{
    const struct state_study *study;
    int err;

    if (!store)
        return HPO_INVALID;
    if (!out)
        return call_refuse(store, HPO_INVALID, "no place for the result");
    err = call_begin(store);
    if (err < 0)
        return err;
    err = store_catch_up(store);
    if (err == 0) {
        study = state_study_by_id(store->state, id);
        err = study ? study_handle(store, study, out)
                    : call_error(HPO_NOT_FOUND, "there is no study %llu", (unsigned long long)id);
    }
    return call_end(store, err);
}

static int delete_locked(struct hpo_store *store, struct bytes name)
{
    struct record record = {.type = RECORD_STUDY_DELETE};
    const struct state_study *study;
    struct log_ticket ticket;
    int err;

    err = store_catch_up(store);
    if (err < 0)
        return err;
    if (!state_study_find(store->state, name) && !store->read_only)
        return call_error(HPO_NOT_FOUND, "there is no study of that name");
    err = tail_begin(store, TAIL_FINISH);
    if (err < 0)
        return err;
    study = state_study_find(store->state, name);
    if (study) {
        record.study_delete.study = state_study_id(study);
        err = tail_record(store, &record);
        if (err == 0)
            err = tail_append(store, TAIL_FINISH, &ticket);
    } else {
        err = call_error(HPO_NOT_FOUND, "there is no study of that name");
    }
    tail_end(store);
    return err < 0 ? err : call_wait(store, &ticket);
}

int hpo_study_delete(struct hpo_store *store, const char *name)
{
    struct bytes bytes;
    int err;

    if (!store)
        return HPO_INVALID;
    err = call_begin(store);
    if (err < 0)
        return err;
    err = name_check(name, "the study's name", &bytes);
    if (err == 0)
        err = delete_locked(store, bytes);
    return call_end(store, err);
}

/* -- attributes -- */

static int attr_set_locked(struct hpo_study *study, enum hpo_attr_space space, struct bytes key,
                           struct bytes value)
{
    struct hpo_store *store = study->store;
    const struct state_study *found;
    struct log_ticket ticket;
    int err;

    err = tail_begin(store, TAIL_BEGIN);
    if (err < 0)
        return err;
    found = study_of(study, &err);
    if (found) {
        err = attr_encode_study(store, state_study_id(found), (uint8_t)space, key, value);
        if (err == 0)
            err = tail_append(store, TAIL_BEGIN, &ticket);
    }
    tail_end(store);
    return err < 0 ? err : call_wait(store, &ticket);
}

int hpo_study_attr_set(struct hpo_study *study, enum hpo_attr_space space, const char *key,
                       const void *value, size_t size)
{
    struct bytes key_bytes;
    int err;

    if (!study)
        return HPO_INVALID;
    err = call_begin(study->store);
    if (err < 0)
        return err;
    err = attr_check(space, key, value, size, &key_bytes);
    if (err == 0)
        err = attr_set_locked(study, space, key_bytes, (struct bytes){value, size});
    return call_end(study->store, err);
}

int hpo_study_attr_get(struct hpo_study *study, enum hpo_attr_space space, const char *key,
                       void **value, size_t *size)
{
    const struct state_study *found;
    struct state_study_attr attr;
    int err;

    if (!study)
        return HPO_INVALID;
    if (!value || !size || !key)
        return call_refuse(study->store, HPO_INVALID, "no key, or no place for the result");
    err = call_begin(study->store);
    if (err < 0)
        return err;
    err = store_catch_up(study->store);
    if (err < 0)
        goto out;
    found = study_of(study, &err);
    if (!found)
        goto out;
    err = state_study_attr_find(found, (uint8_t)space, text(key), &attr);
    if (err == 0)
        err = attr_give(study->store, attr.value, value, size);
    else
        err = call_error(HPO_NOT_FOUND, "there is no attribute %.64s", key);

out:
    return call_end(study->store, err);
}

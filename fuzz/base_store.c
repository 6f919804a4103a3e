/*
 * base_store: see base_store.h.
 */
#include "base_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "hpo.h"

#define MUST(call) FUZZ_REQUIRE((call) == 0, "%s", #call)

static void one_trial(struct hpo_study *study, unsigned i)
{
    struct hpo_trial *trial;
    double x, value;
    int64_t depth;

    MUST(hpo_ask(study, NULL, &trial));
    MUST(hpo_suggest_float(trial, "x", 0, 1, HPO_LINEAR, &x));
    MUST(hpo_suggest_int(trial, "depth", 1, 9, HPO_LINEAR, &depth));
    MUST(hpo_report(trial, 1, x));
    if (i % 3 == 0)
        MUST(hpo_trial_attr_set(trial, HPO_ATTR_USER, "note", "some text", 9));
    value = x + (double)depth;
    if (i % 5 == 4)
        MUST(hpo_abandon(trial));
    else
        MUST(hpo_tell(trial, i % 4 == 3 ? HPO_PRUNED : HPO_COMPLETE, &value, 1));
    hpo_trial_free(trial);
}

static struct hpo_store *open_in(struct sim_process *process)
{
    struct hpo_options options = {.size = sizeof(options),
                                  .program = "fuzz",
                                  .os = sim_os(process),
                                  .segment_size_first = 8192,
                                  .segment_size_max = 8192};
    struct hpo_store *store;

    MUST(hpo_open(BASE_PATH, &options, &store));
    return store;
}

static struct hpo_study *study_in(struct hpo_store *store, const char *name)
{
    struct hpo_study_options options = {.size = sizeof(options), .has_seed = true, .seed = {7, 0}};
    struct hpo_study *study;

    MUST(hpo_study_create(store, name, &options, &study));
    return study;
}

/* Leaves a detached trial running. */
static void whole_session(struct sim_process *process, void *arg)
{
    struct hpo_ask_options detached = {.size = sizeof(detached), .detached = true};
    struct hpo_trial *trial;
    struct hpo_store *store = open_in(process);
    struct hpo_study *study = study_in(store, "one");

    (void)arg;
    MUST(hpo_study_attr_set(study, HPO_ATTR_USER, "owner", "me", 2));
    for (unsigned i = 0; i < 6; i++)
        one_trial(study, i);
    MUST(hpo_snapshot(store));
    for (unsigned i = 0; i < 3; i++)
        one_trial(study, i);
    MUST(hpo_ask(study, &detached, &trial));
    hpo_trial_free(trial);
    MUST(hpo_close(store));
}

/* Killed: nothing is closed, a trial runs that the next opener rolls back. */
static void killed_session(struct sim_process *process, void *arg)
{
    struct hpo_store *store = open_in(process);
    struct hpo_study *study = study_in(store, "two");
    struct hpo_trial *trial;
    double x;

    (void)arg;
    MUST(hpo_enqueue(study, NULL, 0, NULL));
    MUST(hpo_enqueue(study, NULL, 0, NULL));
    one_trial(study, 0);
    MUST(hpo_ask(study, NULL, &trial));
    MUST(hpo_suggest_float(trial, "x", 0, 1, HPO_LINEAR, &x));
    sim_kill(process);
}

struct listing {
    struct base_store *out;
    const char *prefix;
};

static int add_name(void *arg, const char *name)
{
    struct listing *listing = arg;
    struct base_file *file = &listing->out->files[listing->out->count];

    FUZZ_REQUIRE(listing->out->count < BASE_FILES_MAX, "too many files");
    if (strchr(name, '.') || strcmp(name, "FORMAT") == 0 || strcmp(name, "attest") == 0) {
        (void)snprintf(file->name, sizeof(file->name), "%s%s", listing->prefix, name);
        listing->out->count++;
    }
    return 0;
}

static void list(struct sim_process *process, void *arg)
{
    static const char *const directories[] = {BASE_PATH, BASE_PATH "/wal", BASE_PATH "/snap"};
    static const char *const prefixes[] = {"", "wal/", "snap/"};
    const struct hpo_os *os = sim_os(process);

    for (unsigned i = 0; i < 3; i++) {
        struct listing listing = {arg, prefixes[i]};
        struct os_dir *dir;

        MUST(os->dir_open(os->self, directories[i], &dir));
        MUST(os->dir_list(os->self, dir, add_name, &listing));
        os->dir_close(os->self, dir);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct base_file *)a)->name, ((const struct base_file *)b)->name);
}

void base_store_make(struct base_store *out)
{
    struct sim_options options = {.fs = OS_FS_LOCAL, .steps_max = 1u << 22};
    struct sim *sim = sim_new(&options);
    char path[128];

    memset(out, 0, sizeof(*out));
    (void)sim_call(sim_process_new(sim), killed_session, NULL);
    MUST(sim_call(sim_process_new(sim), whole_session, NULL));
    MUST(sim_call(sim_process_new(sim), list, out));
    qsort(out->files, out->count, sizeof(out->files[0]), by_name);
    for (size_t i = 0; i < out->count; i++) {
        struct base_file *file = &out->files[i];
        int64_t size;

        (void)snprintf(path, sizeof(path), BASE_PATH "/%s", file->name);
        size = sim_get_file(sim, path, NULL, 0);
        FUZZ_REQUIRE(size > 0, "%s", path);
        file->size = (size_t)size;
        file->bytes = malloc(file->size);
        FUZZ_REQUIRE(file->bytes, "no memory");
        (void)sim_get_file(sim, path, file->bytes, file->size);
        if (strcmp(file->name, "FORMAT") == 0)
            memcpy(out->uuid, file->bytes + 32, 16);
    }
    sim_free(sim);
}

void base_store_release(struct base_store *store)
{
    for (size_t i = 0; i < store->count; i++)
        free(store->files[i].bytes);
    store->count = 0;
}

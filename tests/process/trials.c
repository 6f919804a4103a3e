/*
 * trials: runs durable trials in one process, as many as it is told, for those who count what they
 * cost.
 *
 *     trials STORE
 *
 * reads numbers from stdin, one a line; for each it runs that many trials (ask, ten suggestions of
 * a declared space, tell) and then writes a line to stdout. Ends, and closes the store, with its
 * input.
 */
#include <hpo.h>

#include <inttypes.h>
#include <stdio.h>

#define PARAMS 10

static int failed(struct hpo_store *store, const char *what, int err)
{
    struct hpo_error_detail detail = {0};

    if (store)
        hpo_error_detail(store, &detail);
    else
        hpo_open_error(&detail);
    fprintf(stderr, "trials: %s: %s (%s)\n", what, detail.message, hpo_strerror(err));
    return 1;
}

static int run_one(struct hpo_study *study, const struct hpo_param *params)
{
    struct hpo_trial *trial;
    double sum = 0;
    int err = hpo_ask(study, NULL, &trial);

    if (err)
        return err;
    for (int i = 0; i < PARAMS && !err; i++) {
        double value;

        err = hpo_suggest(trial, params[i].name, &params[i].distribution, &value);
        if (!err)
            sum += value;
    }
    if (!err)
        err = hpo_tell(trial, HPO_COMPLETE, &sum, 1);
    hpo_trial_free(trial);
    return err;
}

int main(int argc, char **argv)
{
    /* A first segment so large that none is made ahead or rolled to while somebody counts. */
    const struct hpo_options options = {
        .size = sizeof(options), .segment_size_first = 8u << 20, .segment_size_max = 16u << 20};
    static const char *const names[PARAMS] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
    struct hpo_param params[PARAMS];
    struct hpo_study_options study_options = {.size = sizeof(study_options),
                                              .sampler = "random",
                                              .has_seed = true,
                                              .seed = {1, 0},
                                              .params = params,
                                              .param_count = PARAMS};
    struct hpo_store *store;
    struct hpo_study *study;
    uint64_t count;
    int err;

    if (argc != 2)
        return 2;
    for (int i = 0; i < PARAMS; i++) {
        params[i] = (struct hpo_param){names[i], {.kind = HPO_FLOAT, .low = 0, .high = 1}};
        if (i % 2)
            params[i].distribution =
                (struct hpo_distribution){.kind = HPO_INT, .low_int = 0, .high_int = 1000 * i};
    }
    err = hpo_open(argv[1], &options, &store);
    if (err)
        return failed(NULL, "open", err);
    err = hpo_study_create(store, "s", &study_options, &study);
    if (err)
        return failed(store, "study", err);
    while (scanf("%" SCNu64, &count) == 1) {
        for (; count > 0; count--) {
            err = run_one(study, params);
            if (err)
                return failed(store, "trial", err);
        }
        printf("done\n");
        fflush(stdout);
    }
    err = hpo_close(store);
    return err ? failed(NULL, "close", err) : 0;
}

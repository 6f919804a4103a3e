/* The example of hpo.h, as a program that a user builds against the installed library. */
#include <hpo.h>

#include <stdio.h>
#include <string.h>

static int fail(struct hpo_store *store, const char *what, int code)
{
    struct hpo_error_detail detail;

    if (store)
        hpo_error_detail(store, &detail);
    else
        hpo_open_error(&detail);
    fprintf(stderr, "%s: %s: %s\n", what, hpo_strerror(code), detail.message);
    return 1;
}

int main(int argc, char **argv)
{
    struct hpo_ask_options until = {.size = sizeof(until), .total = 10};
    struct hpo_store *store;
    struct hpo_study *study;
    struct hpo_trial *trial;
    uint64_t best;
    double lr, loss;
    int err;

    if (argc != 2 || strcmp(hpo_version(), "0.1.0") != 0)
        return 2;
    err = hpo_open(argv[1], NULL, &store);
    if (err < 0)
        return fail(NULL, "open", err);
    err = hpo_study_create(store, "lr", NULL, &study);
    if (err < 0)
        return fail(store, "create", err);
    while ((err = hpo_ask(study, &until, &trial)) == 0) {
        err = hpo_suggest_float(trial, "lr", 1e-5, 1e-1, HPO_LOG, &lr);
        if (err < 0)
            return fail(store, "suggest", err);
        loss = (lr - 0.01) * (lr - 0.01);
        err = hpo_tell(trial, HPO_COMPLETE, &loss, 1);
        if (err < 0)
            return fail(store, "tell", err);
        hpo_trial_free(trial);
    }
    if (err != HPO_NO_MORE)
        return fail(store, "ask", err);
    err = hpo_best(study, &best);
    if (err < 0)
        return fail(store, "best", err);
    return hpo_close(store) != 0;
}

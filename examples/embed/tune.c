/*
 * iris-tune: find good hyperparameters for a small network on Fisher's iris, kept in a libhpo
 * store.
 *
 *     iris-tune STORE [TRIALS [IRIS.CSV]]
 *
 * Kill it whenever you like and start the same command again: it goes on where it was and ends with
 * the same study. TRIALS (default 40) is the total. Several at once on one store share the work.
 */
#include "iris.h"
#include "network.h"

#include <hpo.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EPOCHS 200
#define EPOCHS_PER_REPORT 50

static const char *const activations[] = {"tanh", "relu"};

struct settings {
    double learning_rate, l2;
    int64_t hidden;
    size_t activation;
};

struct score {
    double loss; /* mean of -log(probability given to the true species), over flowers held back */
    double accuracy;
};

struct model {
    struct network net;
    double x[IRIS_ROWS][IRIS_FEATURES];
    int rows[IRIS_ROWS], count; /* those that it learns from */
};

static void complain(struct hpo_store *store, const char *doing, int err)
{
    struct hpo_error_detail detail = {0};

    if (store)
        hpo_error_detail(store, &detail);
    else
        hpo_open_error(&detail);
    fprintf(stderr, "iris-tune: %s: %s\n", doing,
            detail.message[0] ? detail.message : hpo_strerror(err));
}

/* The space is declared, so a trial's parameters are drawn all at once when it is asked for. */
static int open_study(struct hpo_store *store, struct hpo_study **out)
{
    const struct hpo_choice choices[] = {
        {.type = HPO_CHOICE_TEXT, .text = activations[0]},
        {.type = HPO_CHOICE_TEXT, .text = activations[1]},
    };
    const struct hpo_param space[] = {
        {"learning_rate", {.kind = HPO_FLOAT, .flags = HPO_LOG, .low = 1e-4, .high = 10}},
        {"l2", {.kind = HPO_FLOAT, .flags = HPO_LOG, .low = 1e-6, .high = 1e-1}},
        {"hidden", {.kind = HPO_INT, .low_int = 2, .high_int = NETWORK_HIDDEN_MAX}},
        {"activation", {.kind = HPO_CATEGORICAL, .choices = choices, .choice_count = 2}},
    };
    const struct hpo_study_options options = {
        .size = sizeof(options),
        .sampler = "random",
        .has_seed = true,
        .seed = {1936, 0},
        .params = space,
        .param_count = sizeof(space) / sizeof(space[0]),
    };

    return hpo_study_create(store, "iris", &options, out);
}

static int choose(struct hpo_trial *trial, struct settings *out)
{
    int err = hpo_suggest_float(trial, "learning_rate", 1e-4, 10, HPO_LOG, &out->learning_rate);

    if (!err)
        err = hpo_suggest_float(trial, "l2", 1e-6, 1e-1, HPO_LOG, &out->l2);
    if (!err)
        err = hpo_suggest_int(trial, "hidden", 2, NETWORK_HIDDEN_MAX, HPO_LINEAR, &out->hidden);
    if (!err)
        err = hpo_suggest_categorical(trial, "activation", activations, 2, &out->activation);
    return err;
}

static struct score validate(const struct iris *iris, const struct model *models)
{
    struct score score = {0, 0};

    for (int i = 0; i < IRIS_ROWS; i++) {
        const struct model *model = &models[iris->fold[i]];
        double p[IRIS_CLASSES];
        int best = 0;

        network_predict(&model->net, model->x[i], p);
        for (int k = 1; k < IRIS_CLASSES; k++)
            best = p[k] > p[best] ? k : best;
        score.loss -= log(p[iris->species[i]]) / IRIS_ROWS;
        score.accuracy += (best == iris->species[i]) / (double)IRIS_ROWS;
    }
    return score;
}

/* Train one network per fold, side by side, and report the loss on the way. */
static int evaluate(struct hpo_trial *trial, const struct iris *iris,
                    const struct settings *settings, struct score *out)
{
    static struct model models[IRIS_FOLDS];

    for (int fold = 0; fold < IRIS_FOLDS; fold++) {
        struct model *model = &models[fold];

        /* The same seed in every attempt of a trial: a retried trial gives the same loss. */
        network_init(&model->net, (int)settings->hidden,
                     settings->activation == 0 ? ACTIVATION_TANH : ACTIVATION_RELU,
                     hpo_trial_seed(trial) + (uint64_t)fold);
        iris_standardize(iris, fold, model->x);
        model->count = 0;
        for (int i = 0; i < IRIS_ROWS; i++) {
            if (iris->fold[i] != fold)
                model->rows[model->count++] = i;
        }
    }
    for (int epoch = 1; epoch <= EPOCHS; epoch++) {
        for (int fold = 0; fold < IRIS_FOLDS; fold++) {
            struct model *model = &models[fold];

            network_epoch(&model->net, model->x, iris->species, model->rows, model->count,
                          settings->learning_rate, settings->l2);
        }
        if (epoch % EPOCHS_PER_REPORT == 0) {
            int err;

            *out = validate(iris, models);
            err = hpo_report(trial, epoch, out->loss);
            if (err < 0)
                return err;
        }
    }
    return 0;
}

static int finish(struct hpo_trial *trial, const struct score *score)
{
    char accuracy[32];
    int err;

    if (isnan(score->loss)) /* too large a learning rate: no loss to tell */
        return hpo_tell(trial, HPO_FAIL, NULL, 0);
    snprintf(accuracy, sizeof(accuracy), "%.4f", score->accuracy);
    err = hpo_trial_attr_set(trial, HPO_ATTR_USER, "accuracy", accuracy, strlen(accuracy));
    if (err < 0)
        return err;
    return hpo_tell(trial, HPO_COMPLETE, &score->loss, 1);
}

static int run_trial(struct hpo_trial *trial, const struct iris *iris)
{
    struct settings settings;
    struct score score;
    int err = choose(trial, &settings);

    if (!err)
        err = evaluate(trial, iris, &settings, &score);
    if (!err)
        err = finish(trial, &score);
    if (err)
        return err;
    printf("trial %3llu  loss %8.5f  accuracy %5.1f %%  learning rate %.3g, l2 %.3g, %d %s units\n",
           (unsigned long long)hpo_trial_number(trial), score.loss, 100 * score.accuracy,
           settings.learning_rate, settings.l2, (int)settings.hidden,
           activations[settings.activation]);
    fflush(stdout);
    return 0;
}

static int search(struct hpo_study *study, const struct iris *iris, uint64_t total)
{
    const struct hpo_ask_options until = {.size = sizeof(until), .total = total};

    for (;;) {
        struct hpo_trial *trial;
        int err = hpo_ask(study, &until, &trial);

        if (err < 0 || err == HPO_NO_MORE)
            return err < 0 ? err : 0;
        if (err == HPO_WAIT) { /* others run the last trials; if they die, the work is ours */
            usleep(20000);
            continue;
        }
        err = run_trial(trial, iris);
        hpo_trial_free(trial);
        if (err < 0)
            return err;
    }
}

static int print_best(struct hpo_study *study)
{
    struct hpo_trial_info *best;
    uint64_t number;
    int err = hpo_best(study, &number);

    if (!err)
        err = hpo_trial_read(study, number, &best);
    if (err)
        return err;
    printf("best is trial %llu with loss %.5f:", (unsigned long long)number, best->values[0]);
    for (size_t i = 0; i < best->param_count; i++)
        printf(" %s=%s", best->params[i].name, best->params[i].text);
    printf("\n");
    hpo_trial_info_free(best);
    return 0;
}

int main(int argc, char **argv)
{
    const char *data = argc > 3 ? argv[3] : IRIS_CSV;
    uint64_t total = argc > 2 ? strtoull(argv[2], NULL, 10) : 40;
    struct hpo_store *store;
    struct hpo_study *study;
    struct iris iris;
    int err;

    if (argc < 2 || argc > 4 || total == 0) {
        fprintf(stderr, "usage: iris-tune STORE [TRIALS [IRIS.CSV]]\n");
        return 2;
    }
    if (iris_read(data, &iris) < 0) {
        fprintf(stderr, "iris-tune: %s: %s\n", data,
                errno == EINVAL ? "not the iris table" : strerror(errno));
        return 1;
    }
    err = hpo_open(argv[1], NULL, &store);
    if (err) {
        complain(NULL, argv[1], err);
        return 1;
    }
    err = open_study(store, &study);
    if (!err)
        err = search(study, &iris, total);
    if (!err)
        err = print_best(study);
    if (err)
        complain(store, argv[1], err);
    if (hpo_close(store) < 0)
        err = -1;
    return err ? 1 : 0;
}

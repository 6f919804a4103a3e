#include "network.h"

#include <math.h>

/* SplitMix64 (Steele, Lea, Flood 2014): one addition and a mix per word. */
static uint64_t random_word(struct network *net)
{
    uint64_t z = net->random += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Uniform in [-limit, limit). */
static double random_weight(struct network *net, double limit)
{
    return limit * (2 * ((double)(random_word(net) >> 11) * 0x1p-53) - 1);
}

void network_init(struct network *net, int hidden, enum activation activation, uint64_t seed)
{
    net->hidden = hidden;
    net->activation = activation;
    net->random = seed;
    for (int h = 0; h < hidden; h++) {
        for (int j = 0; j <= IRIS_FEATURES; j++)
            net->w1[h][j] = random_weight(net, sqrt(6.0 / (IRIS_FEATURES + hidden)));
    }
    for (int k = 0; k < IRIS_CLASSES; k++) {
        for (int h = 0; h <= hidden; h++)
            net->w2[k][h] = random_weight(net, sqrt(6.0 / (hidden + IRIS_CLASSES)));
    }
}

static void forward(const struct network *net, const double x[IRIS_FEATURES], double *units,
                    double out[IRIS_CLASSES])
{
    double highest = -HUGE_VAL, sum = 0;

    for (int h = 0; h < net->hidden; h++) {
        double a = net->w1[h][IRIS_FEATURES];

        for (int j = 0; j < IRIS_FEATURES; j++)
            a += net->w1[h][j] * x[j];
        if (net->activation == ACTIVATION_TANH)
            units[h] = tanh(a);
        else
            units[h] = a > 0 ? a : 0;
    }
    for (int k = 0; k < IRIS_CLASSES; k++) {
        out[k] = net->w2[k][net->hidden];
        for (int h = 0; h < net->hidden; h++)
            out[k] += net->w2[k][h] * units[h];
        highest = out[k] > highest ? out[k] : highest;
    }
    for (int k = 0; k < IRIS_CLASSES; k++) {
        out[k] = exp(out[k] - highest); /* the largest becomes 1: no overflow */
        sum += out[k];
    }
    for (int k = 0; k < IRIS_CLASSES; k++)
        out[k] /= sum;
}

/* One step down the gradient of -log(probability of the true class) + l2/2 * |weights|^2. */
static void step(struct network *net, const double x[IRIS_FEATURES], int species,
                 double learning_rate, double l2)
{
    double units[NETWORK_HIDDEN_MAX], p[IRIS_CLASSES];

    forward(net, x, units, p);
    p[species] -= 1; /* now the gradient at the softmax's input */
    for (int h = 0; h < net->hidden; h++) {
        double back = 0;

        for (int k = 0; k < IRIS_CLASSES; k++) {
            back += p[k] * net->w2[k][h];
            net->w2[k][h] -= learning_rate * (p[k] * units[h] + l2 * net->w2[k][h]);
        }
        if (net->activation == ACTIVATION_TANH)
            back *= 1 - units[h] * units[h];
        else
            back = units[h] > 0 ? back : 0;
        for (int j = 0; j < IRIS_FEATURES; j++)
            net->w1[h][j] -= learning_rate * (back * x[j] + l2 * net->w1[h][j]);
        net->w1[h][IRIS_FEATURES] -= learning_rate * back;
    }
    for (int k = 0; k < IRIS_CLASSES; k++)
        net->w2[k][net->hidden] -= learning_rate * p[k];
}

void network_epoch(struct network *net, double x[][IRIS_FEATURES], const int *species,
                   const int *rows, int count, double learning_rate, double l2)
{
    int order[IRIS_ROWS];

    for (int i = 0; i < count; i++) { /* Fisher and Yates, from the inside out */
        int j = (int)(random_word(net) % (uint64_t)(i + 1));

        order[i] = order[j];
        order[j] = rows[i];
    }
    for (int i = 0; i < count; i++)
        step(net, x[order[i]], species[order[i]], learning_rate, l2);
}

void network_predict(const struct network *net, const double x[IRIS_FEATURES],
                     double out[IRIS_CLASSES])
{
    double units[NETWORK_HIDDEN_MAX];

    forward(net, x, units, out);
}

/*
 * network: a perceptron with one hidden layer and a softmax at its end, trained by plain stochastic
 * gradient descent. Everything random comes from the caller's seed.
 */
#ifndef NETWORK_H
#define NETWORK_H

#include "iris.h"

#include <stdint.h>

#define NETWORK_HIDDEN_MAX 16

enum activation { ACTIVATION_TANH, ACTIVATION_RELU };

struct network {
    int hidden; /* units, at most NETWORK_HIDDEN_MAX */
    enum activation activation;
    uint64_t random;                                  /* state of the generator */
    double w1[NETWORK_HIDDEN_MAX][IRIS_FEATURES + 1]; /* the last column is the bias */
    double w2[IRIS_CLASSES][NETWORK_HIDDEN_MAX + 1];
};

/* Small random weights. */
void network_init(struct network *net, int hidden, enum activation activation, uint64_t seed);

/* One pass in random order over the `count` rows whose indices are in `rows`, with weight decay
 * `l2`. */
void network_epoch(struct network *net, double x[][IRIS_FEATURES], const int *species,
                   const int *rows, int count, double learning_rate, double l2);

/* Probability of each class. NaN if training has diverged. */
void network_predict(const struct network *net, const double x[IRIS_FEATURES],
                     double out[IRIS_CLASSES]);

#endif

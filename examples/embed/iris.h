/*
 * iris: Fisher's 150 flowers, read from iris.csv, and how they are split for cross-validation.
 */
#ifndef IRIS_H
#define IRIS_H

#define IRIS_ROWS 150
#define IRIS_FEATURES 4
#define IRIS_CLASSES 3
#define IRIS_FOLDS 5

struct iris {
    double x[IRIS_ROWS][IRIS_FEATURES]; /* centimetres */
    int species[IRIS_ROWS];
    int fold[IRIS_ROWS]; /* 0 to IRIS_FOLDS - 1, ten flowers of each species in every fold */
};

/* 0, or -1 with errno set: the file cannot be read, or (EINVAL) is not the table we know. */
int iris_read(const char *path, struct iris *out);

/* Copy the features, each with mean 0 and variance 1 over the rows outside `fold`: what is held
 * back for validation must not leak into the scale. */
void iris_standardize(const struct iris *iris, int fold, double out[IRIS_ROWS][IRIS_FEATURES]);

#endif

#include "iris.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const species_names[IRIS_CLASSES] = {"setosa", "versicolor", "virginica"};

static int read_row(FILE *file, struct iris *out, int row, int seen[IRIS_CLASSES])
{
    char name[16];
    double *x = out->x[row];

    if (fscanf(file, "%lf,%lf,%lf,%lf,%15s", &x[0], &x[1], &x[2], &x[3], name) != 5)
        return -1;
    for (int i = 0; i < IRIS_CLASSES; i++) {
        if (strcmp(name, species_names[i]) == 0) {
            out->species[row] = i;
            out->fold[row] = seen[i]++ % IRIS_FOLDS;
            return 0;
        }
    }
    return -1;
}

int iris_read(const char *path, struct iris *out)
{
    int seen[IRIS_CLASSES] = {0};
    FILE *file = fopen(path, "r");
    int err = -1;

    if (!file)
        return -1;
    errno = EINVAL;
    if (fscanf(file, "%*[^\n]") == EOF) /* the line of headings */
        goto close_file;
    for (int row = 0; row < IRIS_ROWS; row++) {
        if (read_row(file, out, row, seen) < 0)
            goto close_file;
    }
    err = 0;

close_file:
    fclose(file);
    return err;
}

void iris_standardize(const struct iris *iris, int fold, double out[IRIS_ROWS][IRIS_FEATURES])
{
    for (int j = 0; j < IRIS_FEATURES; j++) {
        double sum = 0, squares = 0, mean, deviation;
        int count = 0;

        for (int i = 0; i < IRIS_ROWS; i++) {
            if (iris->fold[i] == fold)
                continue;
            sum += iris->x[i][j];
            squares += iris->x[i][j] * iris->x[i][j];
            count++;
        }
        mean = sum / count;
        deviation = sqrt(squares / count - mean * mean);
        for (int i = 0; i < IRIS_ROWS; i++)
            out[i][j] = (iris->x[i][j] - mean) / deviation;
    }
}

/*
 * base_store: a small sound store made by the public calls on a simulated machine: several
 * segments, a snapshot, studies with finished, rolled-back, waiting and running trials,
 * one of the sessions killed. The same bytes every time.
 */
#ifndef HPO_FUZZ_BASE_STORE_H
#define HPO_FUZZ_BASE_STORE_H

#include "fault/sim.h"

#define BASE_FILES_MAX 32
#define BASE_PATH "/s"

struct base_file {
    char name[96]; /* relative to the store */
    uint8_t *bytes;
    size_t size;
};

struct base_store {
    struct base_file files[BASE_FILES_MAX];
    size_t count;
    uint8_t uuid[16];
};

void base_store_make(struct base_store *out);
void base_store_release(struct base_store *store);

#endif

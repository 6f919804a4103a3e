/*
 * attr: attributes on their way into the log, where long ones travel in pieces, and out again.
 */
#ifndef HPO_ENGINE_ATTR_H
#define HPO_ENGINE_ATTR_H

#include "store.h"

/* The arguments of a set call. 0; HPO_INVALID, HPO_TOO_LARGE with the thread's detail. */
int attr_check(enum hpo_attr_space space, const char *key, const void *value, size_t size,
               struct bytes *key_out);

/* Records into the handle's buffer: one, or the pieces of a long value, for one batch. */
int attr_encode_study(struct hpo_store *store, uint64_t study, uint8_t space, struct bytes key,
                      struct bytes value);
int attr_encode_trial(struct hpo_store *store, uint64_t trial, uint8_t space, struct bytes key,
                      struct bytes value);

/* A copy for the caller, to be freed by hpo_free; a NUL that is not counted follows. */
int attr_give(struct hpo_store *store, struct bytes value, void **out, size_t *size);

#endif

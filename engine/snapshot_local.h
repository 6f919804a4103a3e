/*
 * snapshot_local: what snapshot.c, snapshot_read.c and snapshot_write.c share.
 */
#ifndef HPO_ENGINE_SNAPSHOT_LOCAL_H
#define HPO_ENGINE_SNAPSHOT_LOCAL_H

#include "snapshot.h"
#include "state_internal.h"

#define SNAPSHOT_KEY_SIZE 16u
#define SNAPSHOT_META_SIZE 64u

/* The first value of the file: whose state it is. */
struct snapshot_meta {
    uint8_t uuid[16];
    struct log_position at;
    uint8_t digest[16];
};

/* Keys sort as bytes in the order of their numbers: kind and study in the first eight, big-endian.
 */
void snapshot_key_encode(uint8_t to[SNAPSHOT_KEY_SIZE], const struct item *item);
bool snapshot_key_decode(const void *key, size_t size, struct item *item);

void snapshot_meta_encode(uint8_t to[SNAPSHOT_META_SIZE], const struct snapshot_meta *meta);
/* 0, HPO_CORRUPT (not a meta value), HPO_UNSUPPORTED (of another version). */
int snapshot_meta_decode(const uint8_t *bytes, size_t size, struct snapshot_meta *meta);

/* Hash and size of an open file. 0, HPO_IO ... with detail. */
int snapshot_hash_file(const struct hpo_os *os, struct os_file *file, const char *name,
                       uint8_t hash[16], uint64_t *bytes, struct error_detail *error);

void snapshot_name(char name[SNAPSHOT_NAME_SIZE], uint64_t lsn, const uint8_t hash[16]);

/* The enum hpo_error of what LMDB returned. */
int snapshot_lmdb_error(int result);

#endif

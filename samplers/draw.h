/*
 * draw: named streams of random words, variates made of them, and the record of what was taken.
 *
 * Word w of a stream is word w & 3 of the Philox block with counter {w >> 2, slot, third, domain <<
 * 32 | instance} under the study's key. Everything that a sampler draws is entered in a draw_list:
 * which words of which streams, and one XXH3-64 over the words of a (domain, instance, third) in
 * the order in which they were taken. The engine stores that as DRAW records; draw_digest
 * recomputes the digest from the key, which proves them.
 *
 * Invariants
 *   W1  One variate takes one word (below() may take more); nothing keeps half a word or a second
 * normal for later. W2  The words of a part are first, first + 1, ... first + count - 1; none is
 * skipped. W3  A word handed out is a word in the digest: both happen in stream_word.
 */
#ifndef HPO_SAMPLERS_DRAW_H
#define HPO_SAMPLERS_DRAW_H

#include "samplers/common.h"
#include "samplers/philox.h"

enum draw_domain {
    DRAW_RANDOM = 1,
    DRAW_TPE_JOINT = 2,
    DRAW_TPE_ONE = 3,
    DRAW_CMAES = 4,
    DRAW_CMAES_RESTART = 5,
    DRAW_SOBOL = 6,
    DRAW_NSGA2 = 7,
    DRAW_GP = 8,
    DRAW_GRID = 9,
    DRAW_PRUNER = 10,
    DRAW_FOREIGN = 16,
    DRAW_OBJECTIVE = 17, /* the seed that a trial's objective gets */
};

#define DRAW_SLOT_JOINT UINT64_C(0)
#define DRAW_SLOT_DECLARED UINT64_C(1) /* + place of the name in the declared space */
#define DRAW_SLOT_UNDECLARED \
    (UINT64_C(1) << 31) /* + ordinal among the trial's own undeclared names */

struct draw_part {
    uint64_t slot;
    uint64_t first; /* first word taken */
    uint64_t count; /* words taken, consecutive */
};

/* What one DRAW record says. */
struct draw {
    uint32_t domain, instance;
    uint64_t third; /* trial number, or what the domain names (restart number, 0) */
    const struct draw_part *parts;
    uint32_t part_count;
    uint64_t digest; /* XXH3-64 of all words, little-endian, part by part */
};

/*
 * The draws of one call, or of several calls that become one batch. Zero-initialise with the
 * allocator. Entries of one (domain, instance, third) are one draw; draws stand in the order in
 * which they were begun.
 */
struct draw_list {
    const struct sampler_allocator *allocator;
    struct draw_entry *entries; /* private */
    uint32_t count, capacity;
};

/* Entry `index` (< count) as a draw; its pointers are valid until the list changes. Parts of which
 * no word was taken are left out; a draw left without parts need not be stored. */
void draw_list_get(struct draw_list *list, uint32_t index, struct draw *out);
void draw_list_clear(struct draw_list *list); /* forget the draws */
void draw_list_release(struct draw_list *list);

/* One stream, read forwards. Lives on the stack; nothing to release. */
struct stream {
    struct philox_key key;
    uint64_t slot, third;
    uint32_t domain, instance;
    uint64_t position;     /* the next word */
    uint64_t block[4];     /* words of block block_number */
    uint64_t block_number; /* valid if block_valid */
    bool block_valid;
    struct draw_list *list; /* NULL: not recorded */
    uint32_t entry, part;   /* where in the list */
};

/*
 * Begin to read a stream at word `first`. `list` may be NULL for words that are not recorded.
 * Several streams may be open at once, but those of one (domain, instance, third) are read one
 * after the other: opening the next one ends the one before (asserted). A stream that continues the
 * last part of its draw prolongs that part. 0 or SAMPLER_NOMEM (list unchanged); taking words
 * cannot fail.
 */
int stream_open(struct stream *stream, const struct philox_key *key, uint32_t domain,
                uint32_t instance, uint64_t third, uint64_t slot, uint64_t first,
                struct draw_list *list);

uint64_t stream_word(struct stream *stream);

/* Variates of one word. */
double uniform_from_word(uint64_t word); /* [0, 1): 53 bits */
double
open_from_word(uint64_t word); /* (0, 1), symmetric about 1/2: open(~word) = 1 - open(word) */
double
normal_from_word(uint64_t word); /* ndtri(open), |z| <= 8.21, normal(~word) = -normal(word) */
double stream_uniform(struct stream *stream); /* uniform_from_word of the next word */
double stream_open_unit(struct stream *stream);
double stream_normal(struct stream *stream); /* inside the known environment (fpenv.h) */
uint32_t stream_u32(struct stream *stream);  /* the high half of the next word */

/* An integer below n, without bias (Lemire); n > 0. Takes one word, seldom more. */
uint64_t stream_below(struct stream *stream, uint64_t n);

/* order[] becomes a permutation of 0 ... n - 1: Fisher-Yates from the top. */
void stream_permutation(struct stream *stream, uint32_t *order, uint32_t n);

/* For draws whose digest is over numbers that are no stream words (Sobol points): enter them as
 * they are. A part {slot, first, count} with these words; the same rules as stream_open. 0 or
 * SAMPLER_NOMEM (list unchanged). */
int draw_list_add(struct draw_list *list, uint32_t domain, uint32_t instance, uint64_t third,
                  uint64_t slot, uint64_t first, uint64_t count, const uint64_t *words);

/*
 * Recompute the words of a recorded draw, as `hpo log --draws` prints them: word `index` of part
 * `part`. The domains in this file are all made of stream words except DRAW_SOBOL, whose sampler
 * provides `words` in its table.
 */
uint64_t draw_word(const struct philox_key *key, const struct draw *draw, uint32_t part,
                   uint64_t index);

/* Recompute the digest of a recorded draw from the key, to be compared with draw->digest. 0, or
 * SAMPLER_UNSUPPORTED for a domain whose words are not stream words (foreign, Sobol). Takes time in
 * proportion to the counts, which a caller bounds before it believes them. */
int draw_digest(const struct philox_key *key, const struct draw *draw, uint64_t *digest);

#endif

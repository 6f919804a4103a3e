/*
 * distribution: one thing in three forms: hpo.h's for callers, record.h's for the log, space.h's
 * for samplers. The numbers of kinds, flags and types are the same in all three.
 */
#ifndef HPO_ENGINE_DISTRIBUTION_H
#define HPO_ENGINE_DISTRIBUTION_H

#include "arena.h"
#include "hpo.h"
#include "record.h"
#include "samplers/space.h"

/* Check what a caller gave and bring it to the form that is stored (high on the grid of its step).
 * Choices are copied into the arena, their texts borrowed. 0, HPO_INVALID (with the thread's
 * detail: which parameter, what is wrong), HPO_NOMEM. */
int distribution_from_public(const struct hpo_distribution *from, const char *name,
                             struct arena *arena, struct record_distribution *out);

/* Copy for a reader; choices and texts into the arena (arena->failed tells). */
void distribution_to_public(const struct record_distribution *from, struct arena *arena,
                            struct hpo_distribution *out);

/* As samplers see it, prepared. What was stored is always good. */
void distribution_to_sampler(const struct record_distribution *from,
                             struct sampler_distribution *out);

/* Kind, log and choices are the same: ranges may differ from trial to trial, these may not. */
bool distribution_same_class(const struct record_distribution *a,
                             const struct record_distribution *b);

/* A value as a person would write it: the shortest number that reads back exactly, or the choice.
 */
char *distribution_text(const struct record_distribution *distribution, double value,
                        struct arena *arena);

/* The shortest decimal that reads back as exactly this double; at most 31 characters and the end.
 */
void real_text(double value, char out[32]);

/* A name or key from a caller: 1 byte to 64 KiB of UTF-8. 0, HPO_INVALID or HPO_TOO_LARGE, with the
 * thread's detail; `what` is for the message. */
int name_check(const char *name, const char *what, struct bytes *out);

#endif

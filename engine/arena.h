/*
 * arena: memory for things that are freed together.
 *
 * What the reading calls hand out is one piece to the caller: a struct with strings and arrays
 * behind it. An arena allocates them one after the other and frees them at once. Nothing is freed
 * singly.
 */
#ifndef HPO_ENGINE_ARENA_H
#define HPO_ENGINE_ARENA_H

#include "os.h"
#include "record.h"

struct arena {
    const struct hpo_os *os;
    struct arena_block *blocks; /* newest first */
    bool failed;                /* an allocation failed; all later ones do too */
};

void arena_init(struct arena *arena, const struct hpo_os *os);
void arena_release(struct arena *arena);
/* Forget everything, keep the largest block for what comes next. */
void arena_reset(struct arena *arena);

/* Zeroed memory, aligned for any type; NULL only if there is no memory. A size of 0 gives a pointer
 * that may be kept but not read. */
void *arena_alloc(struct arena *arena, size_t size);
/* `count` times `size`, NULL also if that is no size. */
void *arena_array(struct arena *arena, size_t count, size_t size);
/* A copy with a NUL behind it. */
char *arena_text(struct arena *arena, struct bytes bytes);
char *arena_string(struct arena *arena, const char *string);

#endif

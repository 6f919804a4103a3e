/*
 * arena: see arena.h. Blocks double in size, so that a thing of n bytes costs O(log n) allocations.
 */
#include "arena.h"

#include <stdalign.h>
#include <string.h>

#define ARENA_FIRST 1024u

struct arena_block {
    struct arena_block *next;
    size_t size, used; /* of data */
    alignas(max_align_t) unsigned char data[];
};

void arena_init(struct arena *arena, const struct hpo_os *os)
{
    memset(arena, 0, sizeof(*arena));
    arena->os = os;
}

static void free_blocks(struct arena *arena, struct arena_block *block)
{
    while (block) {
        struct arena_block *next = block->next;

        arena->os->free(arena->os->self, block);
        block = next;
    }
}

void arena_release(struct arena *arena)
{
    if (arena->os)
        free_blocks(arena, arena->blocks);
    arena->blocks = NULL;
}

void arena_reset(struct arena *arena)
{
    if (arena->blocks) {
        free_blocks(arena, arena->blocks->next);
        arena->blocks->next = NULL;
        arena->blocks->used = 0;
    }
    arena->failed = false;
}

static struct arena_block *add_block(struct arena *arena, size_t size)
{
    size_t room = arena->blocks ? arena->blocks->size * 2 : ARENA_FIRST;
    struct arena_block *block;

    if (room < size)
        room = size;
    if (room > SIZE_MAX - sizeof(*block))
        return NULL;
    block = arena->os->alloc(arena->os->self, sizeof(*block) + room);
    if (!block)
        return NULL;
    block->next = arena->blocks;
    block->size = room;
    block->used = 0;
    arena->blocks = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    const size_t align = alignof(max_align_t);
    struct arena_block *block = arena->blocks;
    void *memory;

    if (arena->failed || size > SIZE_MAX / 4)
        goto fail;
    size = (size + align - 1) / align * align;
    if (size == 0)
        size = align;
    if (!block || block->size - block->used < size)
        block = add_block(arena, size);
    if (!block)
        goto fail;
    memory = block->data + block->used;
    block->used += size;
    memset(memory, 0, size);
    return memory;

fail:
    arena->failed = true;
    return NULL;
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size) {
        arena->failed = true;
        return NULL;
    }
    return arena_alloc(arena, count * size);
}

char *arena_text(struct arena *arena, struct bytes bytes)
{
    char *copy;

    if (bytes.size == SIZE_MAX) {
        arena->failed = true;
        return NULL;
    }
    copy = arena_alloc(arena, bytes.size + 1);
    if (copy && bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    return copy;
}

char *arena_string(struct arena *arena, const char *string)
{
    return arena_text(arena, (struct bytes){(const uint8_t *)string, strlen(string)});
}

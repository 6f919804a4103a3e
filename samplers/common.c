/*
 * common: messages and growing bytes.
 */
#include "samplers/strict.h"
#include "samplers/common.h"

#include <string.h>

static void message_append(struct sampler_message *message, const char *text)
{
    size_t used = strlen(message->text);
    size_t room = sizeof(message->text) - 1 - used;
    size_t size = strlen(text);

    if (size > room)
        size = room;
    memcpy(message->text + used, text, size);
    message->text[used + size] = 0;
}

int sampler_fail(struct sampler_message *message, int error, const char *text, const char *more)
{
    if (message && text)
        message_append(message, text);
    if (message && more)
        message_append(message, more);
    return error;
}

int sampler_bytes_append(struct sampler_bytes *bytes, const void *data, size_t size)
{
    if (size == 0)
        return SAMPLER_OK;
    if (size > SIZE_MAX / 4 - bytes->size)
        return SAMPLER_NOMEM;
    if (size > bytes->capacity - bytes->size) {
        size_t capacity = 2 * (bytes->size + size);
        const struct sampler_allocator *allocator = bytes->allocator;
        uint8_t *grown = allocator->realloc(allocator->context, bytes->data, capacity);

        if (!grown)
            return SAMPLER_NOMEM;
        bytes->data = grown;
        bytes->capacity = capacity;
    }
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    return SAMPLER_OK;
}

void sampler_bytes_clear(struct sampler_bytes *bytes)
{
    bytes->size = 0;
}

void sampler_bytes_release(struct sampler_bytes *bytes)
{
    if (bytes->data)
        bytes->allocator->free(bytes->allocator->context, bytes->data);
    bytes->data = NULL;
    bytes->size = 0;
    bytes->capacity = 0;
}

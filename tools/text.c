/*
 * text: a buffer that doubles.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/memory.h"
#include "tools/text.h"

static void make_room(struct text *text, size_t more)
{
    size_t capacity = text->capacity ? text->capacity : 64;

    while (capacity - text->size <= more)
        capacity *= 2;
    if (capacity != text->capacity) {
        text->data = memory_resize(text->data, capacity, 1);
        text->capacity = capacity;
    }
}

void text_add_n(struct text *text, const char *bytes, size_t size)
{
    make_room(text, size);
    if (size)
        memcpy(text->data + text->size, bytes, size);
    text->size += size;
    text->data[text->size] = 0;
}

void text_add(struct text *text, const char *string)
{
    text_add_n(text, string, strlen(string));
}

void text_add_char(struct text *text, char c)
{
    text_add_n(text, &c, 1);
}

void text_vaddf(struct text *text, const char *format, va_list args)
{
    va_list again;
    int size;

    va_copy(again, args);
    size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    assert(size >= 0);
    make_room(text, (size_t)size);
    vsnprintf(text->data + text->size, (size_t)size + 1, format, args);
    text->size += (size_t)size;
}

void text_addf(struct text *text, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    text_vaddf(text, format, args);
    va_end(args);
}

int text_refuse(struct text *text, const char *format, ...)
{
    va_list args;

    text_clear(text);
    va_start(args, format);
    text_vaddf(text, format, args);
    va_end(args);
    return -1;
}

void text_clear(struct text *text)
{
    text->size = 0;
    if (text->data)
        text->data[0] = 0;
}

const char *text_string(const struct text *text)
{
    return text->data ? text->data : "";
}

char *text_take(struct text *text)
{
    char *data;

    make_room(text, 0);
    text->data[text->size] = 0;
    data = text->data;
    *text = (struct text){0};
    return data;
}

void text_release(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}

static bool continues(const unsigned char *bytes, size_t count)
{
    for (size_t i = 1; i <= count; i++)
        if ((bytes[i] & 0xc0) != 0x80)
            return false;
    return true;
}

size_t text_utf8_size(const char *bytes, size_t size)
{
    const unsigned char *b = (const unsigned char *)bytes;

    if (size >= 1 && b[0] < 0x80)
        return 1;
    if (size >= 2 && b[0] >= 0xc2 && b[0] <= 0xdf && continues(b, 1))
        return 2;
    /* Not longer than needed (e0 80..9f), no surrogates (ed a0..bf). */
    if (size >= 3 && (b[0] & 0xf0) == 0xe0 && continues(b, 2) && !(b[0] == 0xe0 && b[1] < 0xa0) &&
        !(b[0] == 0xed && b[1] > 0x9f))
        return 3;
    /* Not longer than needed, nothing above U+10FFFF. */
    if (size >= 4 && b[0] >= 0xf0 && b[0] <= 0xf4 && continues(b, 3) &&
        !(b[0] == 0xf0 && b[1] < 0x90) && !(b[0] == 0xf4 && b[1] > 0x8f))
        return 4;
    return 0;
}

/*
 * text: a string that grows.
 *
 * Zero-initialised it is empty; text_string of an empty one is "". A NUL always follows the bytes.
 * text_release frees it and leaves it empty. Running out of memory ends the program (memory.h).
 */
#ifndef HPO_TOOLS_TEXT_H
#define HPO_TOOLS_TEXT_H

#include <stdarg.h>
#include <stddef.h>

struct text {
    char *data;
    size_t size, capacity;
};

void text_add(struct text *text, const char *string);
void text_add_n(struct text *text, const char *bytes, size_t size);
void text_add_char(struct text *text, char c);
void text_addf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_vaddf(struct text *text, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
/* Replace the content; returns -1, so that a parser can `return text_refuse(why, ...)`. */
int text_refuse(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_clear(struct text *text); /* keeps the memory */
const char *text_string(const struct text *text);
/* Hand over the string (free it) and become empty. */
char *text_take(struct text *text);
void text_release(struct text *text);

/* Bytes of the valid UTF-8 character at the front, 0 if there is none. */
size_t text_utf8_size(const char *bytes, size_t size);

#endif

/*
 * table: all cells are kept until the widths are known.
 */
#include <stdlib.h>
#include <string.h>

#include "tools/memory.h"
#include "tools/table.h"
#include "tools/text.h"

static void take(struct table *table, char *cell)
{
    if (table->cell_count % 64 == 0)
        table->cells = memory_resize(table->cells, table->cell_count + 64, sizeof(table->cells[0]));
    table->cells[table->cell_count++] = cell;
}

void table_add(struct table *table, const char *cell)
{
    take(table, memory_copy(cell));
}

void table_addf(struct table *table, const char *format, ...)
{
    struct text text = {0};
    va_list args;

    va_start(args, format);
    text_vaddf(&text, format, args);
    va_end(args);
    take(table, text_take(&text));
}

/* Characters, near enough: bytes that begin one. */
static size_t width(const char *cell)
{
    size_t count = 0;

    for (; *cell; cell++)
        count += (*cell & 0xc0) != 0x80;
    return count;
}

void table_print(struct table *table, FILE *out)
{
    size_t *widths = memory_new(table->columns, sizeof(*widths));

    for (size_t i = 0; i < table->cell_count; i++) {
        size_t w = width(table->cells[i]), column = i % table->columns;

        if (w > widths[column])
            widths[column] = w;
    }
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t column = i % table->columns, next = i + 1, pad;

        fputs(table->cells[i], out);
        /* Blanks only where something follows in this row. */
        while (next % table->columns && next < table->cell_count && !*table->cells[next])
            next++;
        if (next % table->columns == 0 || next >= table->cell_count) {
            if ((i + 1) % table->columns == 0)
                putc('\n', out);
        } else {
            for (pad = width(table->cells[i]); pad < widths[column] + 2; pad++)
                putc(' ', out);
        }
        free(table->cells[i]);
    }
    free(table->cells);
    free(widths);
    *table = (struct table){.columns = table->columns};
}

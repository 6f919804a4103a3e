/*
 * table: columns that are as wide as their widest cell.
 */
#ifndef HPO_TOOLS_TABLE_H
#define HPO_TOOLS_TABLE_H

#include <stddef.h>
#include <stdio.h>

struct table {
    size_t columns;
    char **cells; /* row after row */
    size_t cell_count;
};

void table_add(struct table *table, const char *cell); /* copied */
void table_addf(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Print with two blanks between columns, none at the end of lines, and free. */
void table_print(struct table *table, FILE *out);

#endif

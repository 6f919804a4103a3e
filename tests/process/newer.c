/*
 * newer: makes a store look as if a later version had made it, with every hash in order.
 *
 *     newer STORE major|minor|compat|ro_compat|incompat
 *
 * raises the version in FORMAT, or sets a feature bit in it that this build does not know.
 */
#include "format.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    const struct {
        const char *name;
        struct format_features add;
    } changes[] = {
        {"major", {.major = 1}},
        {"minor", {.minor = 1}},
        {"compat", {.compat = 1u << 31}},
        {"ro_compat", {.ro_compat = 1u << 31}},
        {"incompat", {.incompat = 1u << 31}},
    };
    uint8_t bytes[FORMAT_SIZE];
    struct format format;
    char path[4096];
    FILE *file;

    if (argc != 3)
        return 2;
    snprintf(path, sizeof(path), "%s/FORMAT", argv[1]);
    file = fopen(path, "r+");
    if (!file || fread(bytes, 1, sizeof(bytes), file) != sizeof(bytes) ||
        format_decode(bytes, sizeof(bytes), &format) != FORMAT_COPIES_BOTH)
        return 3;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        if (strcmp(argv[2], changes[i].name) != 0)
            continue;
        format.features.major = (uint16_t)(format.features.major + changes[i].add.major);
        format.features.minor = (uint16_t)(format.features.minor + changes[i].add.minor);
        format.features.compat |= changes[i].add.compat;
        format.features.ro_compat |= changes[i].add.ro_compat;
        format.features.incompat |= changes[i].add.incompat;
        format_encode(&format, bytes);
        rewind(file);
        return fwrite(bytes, 1, sizeof(bytes), file) == sizeof(bytes) && fclose(file) == 0 ? 0 : 3;
    }
    return 2;
}

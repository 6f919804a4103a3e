/*
 * make_corpus: writes the seeds of every target: make_corpus DIRECTORY. The same ones every time.
 *
 * Seeds are small and sound, so that a mutation is one step away from something that is accepted.
 * Inputs that once found something lie beside them under other names and are not touched.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base_store.h"
#include "codec.h"
#include "fuzz.h"
#include "mend.h"
#include "record_maker.h"
#include "snapshot_local.h"

#define SALT UINT64_C(0x0123456789abcdef) /* of fuzz_sector_scan */

static const uint8_t uuid[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const char *root;

static void save(const char *target, const char *name, const void *bytes, size_t size)
{
    char path[1024];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", root, target);
    (void)mkdir(root, 0777);
    (void)mkdir(path, 0777);
    (void)snprintf(path, sizeof(path), "%s/%s/%s", root, target, name);
    file = fopen(path, "wb");
    FUZZ_REQUIRE(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0, "%s", path);
}

/* -- format -- */

static void format_seeds(void)
{
    struct format format = {.created_us = 1};
    struct segment_header header = {.number = 2,
                                    .epoch = 2,
                                    .salt = SALT,
                                    .first_lsn = 8,
                                    .end = {7, 99},
                                    .bytes = 8192,
                                    .reason = SEGMENT_REASON_FULL};
    uint8_t bytes[FORMAT_SIZE], seed[256] = {0};

    format_features_current(&format.features);
    memcpy(format.uuid, uuid, 16);
    header.features = format.features;
    memcpy(header.uuid, uuid, 16);
    format_encode(&format, bytes);
    seed[0] = 4 | 8;
    memcpy(seed + 1, bytes, 64);
    save("format", "format", seed, 65);
    seed[0] = 4 | 32;
    memcpy(seed + 161, "\xff\x0f", 2);
    save("format", "format-short", seed, 163);
    segment_header_encode(&header, bytes);
    seed[0] = 1 | 4 | 8;
    memcpy(seed + 1, bytes, 128);
    save("format", "header", seed, 129);
    memset(seed, 0, sizeof(seed));
    seed[0] = 2 | 4;
    for (unsigned i = 0; i < 2; i++) {
        memcpy(seed + 1 + (size_t)i * 40, "HPOA\r\n\x1a\n", 8);
        codec_store_u64(seed + 9 + (size_t)i * 40, 5 + i);
        codec_store_u32(seed + 25 + (size_t)i * 40, 3);
    }
    save("format", "attest", seed, 81);
}

/* -- records, and sectors of them -- */

static void record_seeds(void)
{
    struct maker maker;
    struct record_buffer buffer = {.os = os_linux()};

    maker_init(&maker, 14);
    for (unsigned t = 0; maker_type(t); t++) {
        struct record_buffer best = {.os = os_linux()};
        char name[64];

        for (unsigned i = 0; i < 200; i++) { /* not tiny, not large */
            struct record record = maker_record(&maker, maker_type(t));

            record_buffer_clear(&buffer);
            FUZZ_REQUIRE(record_encode(&buffer, &record) == 0, "record_encode");
            if (buffer.size > 160 || (best.size && buffer.size <= best.size))
                continue;
            record_buffer_clear(&best);
            FUZZ_REQUIRE(record_encode(&best, &record) == 0, "record_encode");
        }
        (void)snprintf(name, sizeof(name), "%s", record_type_name(maker_type(t)));
        if (best.size)
            save("record", name, best.data, best.size);
        record_buffer_release(&best);
    }
    record_buffer_release(&buffer);
    maker_release(&maker);
}

/* `count` sectors; every third batch ends inside the sector, every other crosses into the next. */
static void sector_seed(const char *name, unsigned count, uint8_t choice)
{
    uint8_t seed[1 + 8 * 512] = {0}, *at = seed + 1;
    struct log_position position = {0, batch_chain_start(uuid)};
    struct maker maker;

    maker_init(&maker, count);
    seed[0] = choice;
    for (unsigned s = 0; s < count; s++) {
        uint8_t *sector = at + (size_t)s * 512, payload[496];
        unsigned batches = s + 1 < count ? 4 : 2, each = 496 / batches / 8 * 8;

        memset(payload, 0, sizeof(payload));
        for (unsigned b = 0; b < batches; b++) {
            uint8_t *batch = payload + (size_t)b * each;

            codec_store_u64(batch + 8, 1);
            codec_store_u32(batch + 16, b + 1 < batches ? each : 496 - b * each);
            codec_store_u32(batch + 20, s + b == 0 ? 1 : 4 * s + b + 1);
            codec_store_u16(batch + 24, 1);
            for (unsigned i = 40; i < each; i++)
                batch[i] = i % 16 < 8 ? (uint8_t)maker_next(&maker) : 0;
        }
        sector[7] = 0xa5;
        codec_store_u16(sector + 4, 496);
        for (unsigned i = 0; i < 8; i++)
            sector[8 + i] = 0xa5;
        for (unsigned i = 0; i < 496; i++)
            sector[16 + i] = payload[i] ^ 0xa5;
    }
    mend_sectors(NULL, at, (size_t)count * 512, 4096, SALT, &position);
    save("sector_scan", name, seed, 1 + (size_t)count * 512);
    maker_release(&maker);
}

/* -- fold: rows of choices; most stay below 240, so that most records keep the rules -- */

static void fold_seeds(void)
{
    struct maker maker;
    uint8_t seed[900];
    char name[32];

    maker_init(&maker, 5);
    for (unsigned n = 0; n < 8; n++) {
        unsigned bound = n % 2 ? 240 : 255;

        for (unsigned i = 0; i < sizeof(seed); i++)
            seed[i] = (uint8_t)maker_below(&maker, bound);
        seed[0] = (uint8_t)(4 * n);
        (void)snprintf(name, sizeof(name), "choices-%u", n);
        save("fold", name, seed, 100 + 100 * (size_t)n);
    }
    maker_release(&maker);
}

/* -- snapshot: the items of the base store's -- */

struct items {
    uint8_t bytes[32768];
    size_t size;
};

static int add_item(void *arg, const struct item *item)
{
    struct items *items = arg;
    uint8_t *to = items->bytes + items->size;

    FUZZ_REQUIRE(items->size + 6 + item->size <= sizeof(items->bytes), "too many items");
    to[0] = item->kind;
    to[1] = (uint8_t)item->study;
    codec_store_u16(to + 2, (uint16_t)item->ordinal);
    codec_store_u16(to + 4, (uint16_t)item->size);
    memcpy(to + 6, item->data, item->size);
    items->size += 6 + item->size;
    return 0;
}

struct opened {
    struct items *items;
    const uint8_t *uuid;
};

static void read_snapshot(struct sim_process *process, void *arg)
{
    struct opened *opened = arg;
    const struct hpo_os *os = sim_os(process);
    uint8_t meta[SNAPSHOT_META_SIZE];
    struct snapshot_meta of = {{0}, {0, 0}, {0}};
    struct item item = {.kind = ITEM_META, .data = meta, .size = sizeof(meta)};
    struct os_dir *dir;
    struct state *state;

    FUZZ_REQUIRE(os->dir_open(os->self, BASE_PATH "/snap", &dir) == 0, "dir_open");
    FUZZ_REQUIRE(snapshot_open_newest(os, dir, opened->uuid, UINT64_MAX, NULL, NULL, &state, NULL,
                                      NULL) == 0,
                 "no snapshot");
    memcpy(of.uuid, uuid, 16);
    of.at = state_position(state);
    snapshot_meta_encode(meta, &of);
    opened->items->bytes[0] = 7;
    opened->items->size = 1;
    (void)add_item(opened->items, &item);
    FUZZ_REQUIRE(state_items(state, true, add_item, opened->items) == 0, "state_items");
    state_free(state);
    os->dir_close(os->self, dir);
}

static void snapshot_seeds(const struct base_store *base)
{
    static struct items items;
    struct sim_options options = {.fs = OS_FS_LOCAL};
    struct sim *sim = sim_new(&options);
    struct opened opened = {&items, base->uuid};
    char path[160];

    FUZZ_REQUIRE(sim_put_directory(sim, BASE_PATH) == 0 &&
                     sim_put_directory(sim, BASE_PATH "/snap") == 0,
                 "sim_put_directory");
    for (size_t i = 0; i < base->count; i++) {
        if (strncmp(base->files[i].name, "snap/", 5) != 0)
            continue;
        (void)snprintf(path, sizeof(path), BASE_PATH "/%s", base->files[i].name);
        FUZZ_REQUIRE(sim_put_file(sim, path, base->files[i].bytes, base->files[i].size) == 0,
                     "sim_put_file");
    }
    FUZZ_REQUIRE(sim_call(sim_process_new(sim), read_snapshot, &opened) == SIM_DONE, "sim_call");
    save("snapshot", "store", items.bytes, items.size);
    sim_free(sim);
}

/* -- fsck: one change each -- */

static void fsck_seeds(const struct base_store *base)
{
    uint8_t seed[16];
    char name[32];

    save("fsck", "unchanged", "\x00", 1);
    save("fsck", "unchanged-preen", "\x02", 1);
    save("fsck", "mended-preen", "\x03", 1);
    for (uint8_t what = 0; what < 8; what++) {
        for (uint8_t choice = 0; choice < 4; choice += 3) {
            memset(seed, what + 1, sizeof(seed));
            seed[0] = choice;
            seed[1] = what;
            seed[2] = (uint8_t)((what * 2 + choice) % base->count);
            codec_store_u16(seed + 3, (uint16_t)(4096 + 512 * what + 40));
            (void)snprintf(name, sizeof(name), "change-%u-%u", what, choice);
            save("fsck", name, seed, sizeof(seed));
        }
    }
}

int main(int argc, char **argv)
{
    struct base_store base;

    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    root = argv[1];
    base_store_make(&base);
    format_seeds();
    record_seeds();
    sector_seed("one", 1, 0);
    sector_seed("three", 3, 0);
    sector_seed("bound", 2, 1 | 4 << 1);
    fold_seeds();
    snapshot_seeds(&base);
    fsck_seeds(&base);
    base_store_release(&base);
    return 0;
}

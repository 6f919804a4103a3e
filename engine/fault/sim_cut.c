/*
 * sim_cut: what a power loss may leave.
 *
 * From a machine's history and the number of an effect follow two things: what is durable for
 * certain, and a list of items, each of which may or may not have reached the medium. A mask
 * chooses among them; an image is the durable part with the chosen items applied in order of time.
 * Of several versions of a sector the latest chosen one is there, so that every version can be the
 * one that survives. A tear belongs to a version: if both are chosen, and no later version is, the
 * sector is a mixture of that version and an older one.
 *
 * Many images of one cut are looked at, most of them to find that they are known: choosing costs
 * the files that have items, and a new machine is made only when somebody boots it.
 */
#include "sim_machine.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_PER_SECTOR (SIM_SECTOR_BYTES / 8)

enum item_kind { ITEM_WRITE, ITEM_SIZE, ITEM_NAME, ITEM_TEAR };

struct item {
    enum item_kind kind;
    uint64_t effect;
    unsigned file;                    /* index into cut->files; not of a name */
    uint32_t sector;                  /* of WRITE, TEAR */
    unsigned tear;                    /* of WRITE: its tear's item, 0: none */
    const struct sim_sector *content; /* of WRITE, TEAR */
    uint64_t size;                    /* of SIZE */
    const struct sim_name_op *name;   /* of NAME */
};

/* A file or directory of the machine at the cut. */
struct cut_file {
    struct sim_inode *inode;
    const struct sim_sector **durable; /* own */
    uint32_t durable_count, count;     /* count: with room for every item */
    uint64_t durable_size, durable_hash;
    bool has_items;
    const struct sim_sector **chosen; /* own; NULL unless has_items */
    uint64_t size, hash;              /* as chosen */
    struct sim_entries entries;       /* of a directory, as chosen */
    struct sim_inode *twin;           /* in the machine being booted */
};

struct sim_cut {
    const struct sim *sim;
    uint64_t effect;
    struct cut_file *files; /* by number of the inode - 1 */
    unsigned file_count;
    struct item *items;
    unsigned plain, count, room;
    uint64_t mask_hash;
    struct sim own; /* nothing but an arena for torn sectors and what boot makes up */
};

/* ---- masks ---- */

void sim_mask_set(struct sim_mask *mask, unsigned item)
{
    mask->words[item / 64] |= UINT64_C(1) << (item % 64);
}

void sim_mask_clear(struct sim_mask *mask, unsigned item)
{
    mask->words[item / 64] &= ~(UINT64_C(1) << (item % 64));
}

bool sim_mask_has(const struct sim_mask *mask, unsigned item)
{
    return mask->words[item / 64] >> (item % 64) & 1;
}

void sim_mask_print(const struct sim_mask *mask, char *out)
{
    int digits = SIM_ITEMS_MAX / 4;

    while (digits > 1 && (mask->words[(digits - 1) / 16] >> ((digits - 1) % 16 * 4) & 15) == 0)
        digits--;
    *out++ = '0';
    *out++ = 'x';
    while (digits-- > 0)
        *out++ = "0123456789abcdef"[mask->words[digits / 16] >> (digits % 16 * 4) & 15];
    *out = '\0';
}

int sim_mask_parse(const char *text, struct sim_mask *out)
{
    size_t digits;

    if (strncmp(text, "0x", 2) != 0)
        return -EINVAL;
    text += 2;
    digits = strspn(text, "0123456789abcdef");
    if (digits == 0 || digits > SIM_ITEMS_MAX / 4 || text[digits])
        return -EINVAL;
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < digits; i++) {
        char c = text[digits - 1 - i];

        out->words[i / 16] |= (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10) << (i % 16 * 4);
    }
    return 0;
}

/* ---- what is durable, and the items ---- */

/* The last moment up to which flushes that had returned by the cut covered everything. */
static uint64_t covered_up_to(const struct sim_inode *inode, uint64_t effect)
{
    uint64_t covered = 0;

    for (unsigned i = 0; i < inode->flushes_count; i++)
        if (inode->flushes[i].end <= effect && inode->flushes[i].begin > covered)
            covered = inode->flushes[i].begin;
    return covered;
}

static uint64_t sector_hash(uint64_t index, const struct sim_sector *sector)
{
    return sector ? sim_mix(index, sector->hash) : 0;
}

static struct item *item_add(struct sim_cut *cut)
{
    cut->items = sim_grow(cut->items, cut->count, &cut->room, sizeof(*cut->items));
    memset(&cut->items[cut->count], 0, sizeof(*cut->items));
    return &cut->items[cut->count++];
}

/* A later flush that went well made a newer version of the sector durable: older ones that a failed
 * flush had left in doubt are past. */
static void forget_items_of(struct sim_cut *cut, unsigned first, uint32_t sector)
{
    unsigned kept = first;

    for (unsigned i = first; i < cut->count; i++)
        if (cut->items[i].kind != ITEM_WRITE || cut->items[i].sector != sector)
            cut->items[kept++] = cut->items[i];
    cut->count = kept;
}

static void add_file_content(struct sim_cut *cut, unsigned index)
{
    struct cut_file *file = &cut->files[index];
    const struct sim_inode *inode = file->inode;
    uint64_t covered = covered_up_to(inode, cut->effect);
    unsigned first = cut->count;
    uint32_t count = inode->base_count;

    for (unsigned i = 0; i < inode->writes_count && inode->writes[i].effect <= cut->effect; i++)
        if (inode->writes[i].sector >= count)
            count = inode->writes[i].sector + 1;
    file->count = file->durable_count = count;
    file->durable = sim_must_alloc(count * sizeof(*file->durable));
    if (inode->base_count)
        memcpy(file->durable, inode->base, inode->base_count * sizeof(*file->durable));
    for (unsigned i = 0; i < inode->writes_count && inode->writes[i].effect <= cut->effect; i++) {
        const struct sim_write *write = &inode->writes[i];

        if (write->settled || (write->effect <= covered && !write->lost)) {
            file->durable[write->sector] = write->content;
            forget_items_of(cut, first, write->sector);
        } else {
            struct item *item = item_add(cut);

            item->kind = ITEM_WRITE;
            item->effect = write->effect;
            item->file = index;
            item->sector = write->sector;
            item->content = write->content;
        }
    }
    for (uint32_t i = 0; i < count; i++)
        file->durable_hash += sector_hash(i, file->durable[i]);
}

static void add_file_size(struct sim_cut *cut, unsigned index)
{
    struct cut_file *file = &cut->files[index];
    const struct sim_inode *inode = file->inode;
    uint64_t covered = covered_up_to(inode, cut->effect);

    file->durable_size = inode->base_size;
    for (unsigned i = 0; i < inode->sizes_count && inode->sizes[i].effect <= cut->effect; i++) {
        if (inode->sizes[i].effect <= covered) {
            file->durable_size = inode->sizes[i].size;
        } else {
            struct item *item = item_add(cut);

            item->kind = ITEM_SIZE;
            item->effect = inode->sizes[i].effect;
            item->file = index;
            item->size = inode->sizes[i].size;
        }
    }
}

/* A rename between two directories is durable when both are. */
static bool name_is_covered(const struct sim_name_op *op, uint64_t effect)
{
    return (!op->from_dir || op->effect <= covered_up_to(op->from_dir, effect)) &&
           (!op->to_dir || op->effect <= covered_up_to(op->to_dir, effect));
}

static void add_names(struct sim_cut *cut)
{
    const struct sim *sim = cut->sim;

    for (unsigned i = 0; i < sim->names_count && sim->names[i].effect <= cut->effect; i++) {
        if (!name_is_covered(&sim->names[i], cut->effect)) {
            struct item *item = item_add(cut);

            item->kind = ITEM_NAME;
            item->effect = sim->names[i].effect;
            item->name = &sim->names[i];
        }
    }
}

/* By time; within one effect by place, so that the order does not depend on how it was gathered. */
static int compare_items(const void *a, const void *b)
{
    const struct item *x = a, *y = b;

    if (x->effect != y->effect)
        return x->effect < y->effect ? -1 : 1;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return x->sector < y->sector ? -1 : x->sector > y->sector;
}

/* ---- tears ---- */

/* Which words of a torn sector are the newer ones. Devices and copies go upwards mostly; the header
 * words of a log sector are where a wrong reader is caught. */
static uint64_t tear_pattern(uint64_t random)
{
    unsigned at = 1 + (unsigned)(random >> 8) % (WORDS_PER_SECTOR - 1);
    uint64_t low = (UINT64_C(1) << at) - 1;

    switch (random % 8) {
    case 0:
        return low;
    case 1:
        return ~low;
    case 2:
        return ~UINT64_C(1); /* all but the first word */
    case 3:
        return ~UINT64_C(2);
    case 4:
        return ~(UINT64_C(1) << at);
    case 5:
        return UINT64_C(1) << (random >> 16) % 8;
    default:
        return sim_mix(random, 5);
    }
}

static const struct sim_sector *tear(struct sim_cut *cut, const struct sim_sector *older,
                                     const struct sim_sector *newer, uint64_t pattern)
{
    uint8_t bytes[SIM_SECTOR_BYTES] = {0};

    if (older)
        memcpy(bytes, older->bytes, sizeof(bytes));
    for (unsigned i = 0; i < WORDS_PER_SECTOR; i++) {
        if (!(pattern >> i & 1))
            continue;
        if (newer)
            memcpy(bytes + 8 * i, newer->bytes + 8 * i, 8);
        else
            memset(bytes + 8 * i, 0, 8);
    }
    return sim_sector_new(&cut->own, bytes);
}

static bool same_content(const struct sim_sector *a, const struct sim_sector *b)
{
    return a == b || (a && b && memcmp(a->bytes, b->bytes, SIM_SECTOR_BYTES) == 0);
}

/* A version may be torn against any older one that may still be on the medium; the pattern's
 * numbers say which. */
static void add_tear(struct sim_cut *cut, unsigned of)
{
    const struct item version = cut->items[of];
    const struct sim_sector *older[8] = {cut->files[version.file].durable[version.sector]};
    uint64_t random = sim_mix(sim_mix(cut->sim->options.seed, version.effect), version.sector);
    const struct sim_sector *content;
    unsigned count = 1;
    struct item *item;

    for (unsigned i = 0; i < of; i++)
        if (cut->items[i].kind == ITEM_WRITE && cut->items[i].file == version.file &&
            cut->items[i].sector == version.sector && count < 8)
            older[count++] = cut->items[i].content;
    if (cut->sim->options.tears == SIM_TEARS_REWRITTEN && count == 1)
        return;
    content = tear(cut, older[(random >> 32) % count], version.content, tear_pattern(random));
    if (same_content(content, version.content) || cut->count == SIM_ITEMS_MAX)
        return;
    item = item_add(cut);
    item->kind = ITEM_TEAR;
    item->effect = version.effect;
    item->file = version.file;
    item->sector = version.sector;
    item->content = content;
    cut->items[of].tear = cut->count - 1;
}

struct sim_cut *sim_cut_new(const struct sim *sim, uint64_t effect)
{
    struct sim_cut *cut = sim_must_alloc(sizeof(*cut));

    cut->sim = sim;
    cut->effect = effect;
    cut->file_count = (unsigned)sim->inode_last;
    cut->files = sim_must_alloc(cut->file_count * sizeof(*cut->files));
    for (struct sim_inode *inode = sim->inodes; inode; inode = inode->next)
        cut->files[inode->number - 1].inode = inode;
    for (unsigned i = 0; i < cut->file_count; i++) {
        if (!cut->files[i].inode->directory) {
            if (!cut->files[i].inode->mapped)
                add_file_content(cut, i);
            add_file_size(cut, i);
        }
    }
    add_names(cut);
    /* More than anybody can tell apart: the oldest count as having arrived in whatever order, the
     * mask cannot name more. */
    assert(cut->count <= SIM_ITEMS_MAX);
    if (cut->count)
        qsort(cut->items, cut->count, sizeof(*cut->items), compare_items);
    cut->plain = cut->count;
    if (sim->options.tears != SIM_TEARS_NONE)
        for (unsigned i = 0; i < cut->plain; i++)
            if (cut->items[i].kind == ITEM_WRITE)
                add_tear(cut, i);
    for (unsigned i = 0; i < cut->count; i++)
        if (cut->items[i].kind == ITEM_WRITE)
            cut->files[cut->items[i].file].has_items = true;
    for (unsigned i = 0; i < cut->file_count; i++)
        if (cut->files[i].has_items)
            cut->files[i].chosen =
                sim_must_alloc(cut->files[i].count * sizeof(*cut->files[i].chosen));
    return cut;
}

void sim_cut_free(struct sim_cut *cut)
{
    if (!cut)
        return;
    for (unsigned i = 0; i < cut->file_count; i++) {
        free(cut->files[i].durable);
        free(cut->files[i].chosen);
        free(cut->files[i].entries.list);
    }
    free(cut->files);
    free(cut->items);
    sim_arena_free(&cut->own);
    free(cut);
}

unsigned sim_cut_plain(const struct sim_cut *cut)
{
    return cut->plain;
}

unsigned sim_cut_items(const struct sim_cut *cut)
{
    return cut->count;
}

void sim_cut_describe(const struct sim_cut *cut, unsigned index, char *out, size_t size)
{
    const struct item *item = &cut->items[index];
    const struct sim_name_op *name = item->name;

    switch (item->kind) {
    case ITEM_WRITE:
    case ITEM_TEAR:
        snprintf(out, size, "effect %llu: sector %u (offset %llu) of %s%s",
                 (unsigned long long)item->effect, item->sector,
                 (unsigned long long)item->sector * SIM_SECTOR_BYTES,
                 cut->files[item->file].inode->name,
                 item->kind == ITEM_TEAR ? ", torn"
                 : item->content         ? ""
                                         : ", zeros");
        break;
    case ITEM_SIZE:
        snprintf(out, size, "effect %llu: size %llu of %s", (unsigned long long)item->effect,
                 (unsigned long long)item->size, cut->files[item->file].inode->name);
        break;
    case ITEM_NAME:
        snprintf(out, size, "effect %llu: %s %s%s%s", (unsigned long long)item->effect,
                 name->kind == SIM_NAME_ADD      ? "new name"
                 : name->kind == SIM_NAME_REMOVE ? "unlink"
                                                 : "rename",
                 name->from ? name->from : "", name->kind == SIM_NAME_MOVE ? " to " : "",
                 name->to ? name->to : "");
        break;
    }
}

/* ---- choosing ---- */

static void choose_contents(struct sim_cut *cut, const struct sim_mask *mask)
{
    for (unsigned i = 0; i < cut->file_count; i++) {
        struct cut_file *file = &cut->files[i];

        file->size = file->durable_size;
        file->hash = file->durable_hash;
        if (file->has_items)
            memcpy(file->chosen, file->durable, file->count * sizeof(*file->chosen));
    }
    for (unsigned i = 0; i < cut->plain; i++) {
        const struct item *item = &cut->items[i];
        struct cut_file *file = &cut->files[item->file];
        const struct sim_sector *content = item->content;

        if (item->kind == ITEM_NAME || !sim_mask_has(mask, i))
            continue;
        if (item->kind == ITEM_SIZE) {
            file->size = item->size;
            continue;
        }
        if (item->tear && sim_mask_has(mask, item->tear))
            content = cut->items[item->tear].content;
        file->hash += sector_hash(item->sector, content) -
                      sector_hash(item->sector, file->chosen[item->sector]);
        file->chosen[item->sector] = content;
    }
}

static struct sim_entries *entries_chosen(void *arg, struct sim_inode *dir)
{
    struct sim_cut *cut = arg;

    return &cut->files[dir->number - 1].entries;
}

/* In the mode of a journal the first operation that did not arrive ends all. Those that a flush
 * covered are there; a journal flushes what came before with them. */
static void choose_names(struct sim_cut *cut, const struct sim_mask *mask)
{
    const struct sim *sim = cut->sim;
    unsigned item = 0;
    bool lost = false;

    for (unsigned i = 0; i < cut->file_count; i++) {
        struct cut_file *file = &cut->files[i];

        if (!file->inode->directory)
            continue;
        free(file->entries.list);
        sim_entries_copy(&file->entries, &file->inode->base_entries);
    }
    for (unsigned i = 0; i < sim->names_count && sim->names[i].effect <= cut->effect; i++) {
        const struct sim_name_op *op = &sim->names[i];

        if (!name_is_covered(op, cut->effect)) {
            while (cut->items[item].name != op)
                item++;
            if (!sim_mask_has(mask, item))
                lost = true;
            if (sim->options.names_by_prefix ? lost : !sim_mask_has(mask, item))
                continue;
        }
        sim_name_apply(entries_chosen, cut, op);
    }
}

/* Independent of the order of entries. The content of memory that was shared is nobody's business.
 */
static uint64_t hash_tree(const struct sim_cut *cut, const struct sim_inode *dir, uint64_t path)
{
    const struct sim_entries *entries = &cut->files[dir->number - 1].entries;
    uint64_t hash = 0;

    for (unsigned i = 0; i < entries->count; i++) {
        const char *name = entries->list[i].name;
        const struct sim_inode *inode = entries->list[i].inode;
        const struct cut_file *file = &cut->files[inode->number - 1];
        uint64_t at = sim_hash_bytes(name, strlen(name), path);

        if (inode->directory)
            hash += sim_mix(at, hash_tree(cut, inode, at));
        else
            hash += sim_mix(at, inode->mapped ? 1 : sim_mix(file->hash, file->size));
    }
    return hash;
}

uint64_t sim_cut_choose(struct sim_cut *cut, const struct sim_mask *mask)
{
    choose_contents(cut, mask);
    choose_names(cut, mask);
    cut->mask_hash = sim_hash_bytes(mask, sizeof(*mask), cut->effect);
    return hash_tree(cut, cut->sim->root, 1);
}

/* ---- booting ---- */

/* Bytes beyond the end of a file read as zero when it grows again, whatever the medium holds there.
 */
static void trim(struct sim *sim, struct sim_inode *inode)
{
    uint64_t whole = inode->size / SIM_SECTOR_BYTES;
    size_t rest = inode->size % SIM_SECTOR_BYTES;
    uint64_t keep = whole + (rest > 0);
    const struct sim_sector **list;

    if (inode->now_count < keep || (inode->now_count == keep && (!rest || !inode->now[whole])))
        return;
    list = sim_must_alloc(keep * sizeof(*list));
    if (keep)
        memcpy(list, inode->now, keep * sizeof(*list));
    if (rest && list[whole]) {
        uint8_t bytes[SIM_SECTOR_BYTES] = {0};

        memcpy(bytes, list[whole]->bytes, rest);
        list[whole] = sim_sector_new(sim, bytes);
    }
    if (inode->base_owned)
        free((void *)(uintptr_t)inode->base);
    inode->base = list;
    inode->base_owned = true;
    inode->base_count = (uint32_t)keep;
    inode->now = list;
    inode->now_count = (uint32_t)keep;
}

/* Zeros, garbage, or what it was some time: one as good as the other. */
static void fill_mapped(struct sim *sim, const struct sim_cut *cut, const struct sim_inode *old,
                        struct sim_inode *inode)
{
    unsigned how = cut->mask_hash % 3;
    uint32_t count = (uint32_t)((inode->size + SIM_SECTOR_BYTES - 1) / SIM_SECTOR_BYTES);
    const struct sim_sector **list;

    if (how == 0 || count == 0)
        return;
    list = sim_must_alloc(count * sizeof(*list));
    for (uint32_t i = 0; i < count; i++) {
        uint64_t words[WORDS_PER_SECTOR] = {0};
        uint64_t at = (uint64_t)i * SIM_SECTOR_BYTES;

        if (how == 1)
            for (unsigned k = 0; k < WORDS_PER_SECTOR; k++)
                words[k] = sim_mix(cut->mask_hash + i, k);
        else if (at + SIM_SECTOR_BYTES <= old->flat_size)
            memcpy(words, old->flat + at, SIM_SECTOR_BYTES);
        list[i] = sim_sector_new(sim, (const uint8_t *)words);
    }
    inode->base = list;
    inode->base_owned = true;
    inode->base_count = count;
    inode->now = list;
    inode->now_count = count;
}

static void boot_file(struct sim *sim, struct sim_cut *cut, struct cut_file *file)
{
    struct sim_inode *inode = sim_inode_new(sim, false, file->inode->role);

    file->twin = inode;
    inode->size = inode->base_size = file->size;
    if (file->inode->mapped) {
        fill_mapped(sim, cut, file->inode, inode);
    } else if (file->has_items) {
        size_t bytes = file->count * sizeof(*inode->now);

        inode->now = memcpy(sim_must_alloc(bytes), file->chosen, bytes);
        inode->now_count = inode->base_count = file->count;
        inode->base = inode->now;
        inode->base_owned = true;
    } else if (file->durable_count) {
        inode->now = file->durable;
        inode->now_count = inode->base_count = file->durable_count;
        inode->base = inode->now;
    }
    trim(sim, inode);
}

static void boot_directory(struct sim *sim, struct sim_cut *cut, const struct sim_inode *old,
                           struct sim_inode *dir)
{
    const struct sim_entries *entries = &cut->files[old->number - 1].entries;

    for (unsigned i = 0; i < entries->count; i++) {
        const char *name = entries->list[i].name;
        struct cut_file *file = &cut->files[entries->list[i].inode->number - 1];

        if (!file->twin && file->inode->directory) {
            file->twin = sim_inode_new(sim, true, OS_ROLE_OTHER);
            boot_directory(sim, cut, file->inode, file->twin);
        } else if (!file->twin) {
            boot_file(sim, cut, file);
        }
        snprintf(file->twin->name, sizeof(file->twin->name), "%s", name);
        sim_entry_set(&dir->base_entries, name, file->twin);
    }
    sim_entries_copy(&dir->entries, &dir->base_entries);
}

struct sim *sim_cut_boot(struct sim_cut *cut, const struct sim_options *options)
{
    struct sim *sim = sim_new(options);

    sim->boots = cut->sim->boots + 1;
    sim->time = cut->sim->time;
    for (unsigned i = 0; i < cut->file_count; i++)
        cut->files[i].twin = NULL;
    boot_directory(sim, cut, cut->sim->root, sim->root);
    return sim;
}

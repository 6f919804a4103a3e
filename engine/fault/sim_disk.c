/*
 * sim_disk: files, directories and their history.
 *
 * A file's content is an array of pointers to immutable sectors. A write makes new sectors, puts
 * them into the array and notes (effect, sector, content) in the file's history; nothing is ever
 * taken out of a history, so that every moment of the run can be rebuilt afterwards (sim_cut.c). A
 * write that changes nothing makes no version.
 */
#include "sim_machine.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES 65536
#define SHM_ALIGNMENT 4096

static const uint8_t zero_sector[SIM_SECTOR_BYTES];

/* ---- memory and numbers ---- */

struct sim_chunk {
    struct sim_chunk *next;
    size_t used, size;
    _Alignas(16) uint8_t bytes[];
};

static _Noreturn void out_of_memory(void)
{
    fputs("sim: out of memory\n", stderr);
    abort();
}

void *sim_must_alloc(size_t n)
{
    void *p = calloc(1, n ? n : 1);

    if (!p)
        out_of_memory();
    return p;
}

/* Room for one more item in a list. */
void *sim_grow(void *list, unsigned count, unsigned *room, size_t item_size)
{
    if (count < *room)
        return list;
    *room = *room ? *room * 2 : 8;
    list = realloc(list, *room * item_size);
    if (!list)
        out_of_memory();
    return list;
}

void *sim_arena(struct sim *sim, size_t n)
{
    struct sim_chunk *chunk = sim->chunks;
    void *p;

    n = (n + 15) & ~(size_t)15;
    if (!chunk || chunk->size - chunk->used < n) {
        size_t size = n > CHUNK_BYTES ? n : CHUNK_BYTES;

        chunk = malloc(sizeof(*chunk) + size);
        if (!chunk)
            out_of_memory();
        chunk->next = sim->chunks;
        chunk->used = 0;
        chunk->size = size;
        sim->chunks = chunk;
    }
    p = chunk->bytes + chunk->used;
    chunk->used += n;
    return p;
}

const char *sim_arena_text(struct sim *sim, const char *text)
{
    size_t n = strlen(text) + 1;

    return memcpy(sim_arena(sim, n), text, n);
}

void sim_arena_free(struct sim *sim)
{
    while (sim->chunks) {
        struct sim_chunk *chunk = sim->chunks;

        sim->chunks = chunk->next;
        free(chunk);
    }
}

/* The finalizer of splitmix64 over a running value: spreads, and depends on the order. */
uint64_t sim_mix(uint64_t hash, uint64_t value)
{
    uint64_t z = (hash ^ value) + UINT64_C(0x9E3779B97F4A7C15);

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

uint64_t sim_hash_bytes(const void *bytes, size_t n, uint64_t seed)
{
    const uint8_t *p = bytes;
    uint64_t hash = seed ^ n;

    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word;

        memcpy(&word, p, 8);
        hash = sim_mix(hash, word);
    }
    for (; n > 0; p++, n--)
        hash = sim_mix(hash, *p);
    return hash;
}

uint64_t sim_hash_text(const char *text)
{
    return sim_hash_bytes(text, strlen(text), 7);
}

uint64_t sim_random(struct sim *sim)
{
    sim->random += UINT64_C(0x9E3779B97F4A7C15);
    return sim_mix(sim->random, 0);
}

const struct sim_sector *sim_sector_new(struct sim *sim, const uint8_t *bytes)
{
    struct sim_sector *sector;

    if (memcmp(bytes, zero_sector, SIM_SECTOR_BYTES) == 0)
        return NULL;
    sector = sim_arena(sim, sizeof(*sector));
    memcpy(sector->bytes, bytes, SIM_SECTOR_BYTES);
    sector->hash = sim_hash_bytes(bytes, SIM_SECTOR_BYTES, 1);
    return sector;
}

/* ---- inodes and entries ---- */

struct sim_inode *sim_inode_new(struct sim *sim, bool directory, enum os_role role)
{
    struct sim_inode *inode = sim_must_alloc(sizeof(*inode));

    inode->sim = sim;
    inode->number = ++sim->inode_last;
    inode->directory = directory;
    inode->role = role;
    inode->next = sim->inodes;
    sim->inodes = inode;
    return inode;
}

void sim_inode_free(struct sim_inode *inode)
{
    if (inode->now_owned)
        free(inode->now);
    if (inode->base_owned)
        free((void *)(uintptr_t)inode->base);
    free(inode->flat);
    free(inode->writes);
    free(inode->sizes);
    free(inode->flushes);
    free(inode->locks);
    free(inode->entries.list);
    free(inode->base_entries.list);
    free(inode);
}

static struct sim_entry *entry_find(const struct sim_entries *entries, const char *name)
{
    for (unsigned i = 0; i < entries->count; i++)
        if (strcmp(entries->list[i].name, name) == 0)
            return &entries->list[i];
    return NULL;
}

struct sim_inode *sim_entry_find(const struct sim_entries *entries, const char *name)
{
    struct sim_entry *entry = entry_find(entries, name);

    return entry ? entry->inode : NULL;
}

void sim_entry_set(struct sim_entries *entries, const char *name, struct sim_inode *inode)
{
    struct sim_entry *entry = entry_find(entries, name);

    if (!entry) {
        entries->list =
            sim_grow(entries->list, entries->count, &entries->room, sizeof(*entries->list));
        entry = &entries->list[entries->count++];
    }
    entry->name = name;
    entry->inode = inode;
}

/* Only if the name stands for this inode: when operations survive a power loss singly, an older one
 * may meet the result of a newer one. */
bool sim_entry_remove(struct sim_entries *entries, const char *name, const struct sim_inode *inode)
{
    struct sim_entry *entry = entry_find(entries, name);

    if (!entry || entry->inode != inode)
        return false;
    *entry = entries->list[--entries->count];
    return true;
}

void sim_entries_copy(struct sim_entries *to, const struct sim_entries *from)
{
    to->count = to->room = from->count;
    to->list = sim_must_alloc(from->count * sizeof(*to->list));
    if (from->count)
        memcpy(to->list, from->list, from->count * sizeof(*to->list));
}

int sim_walk(const struct sim *sim, const char *path, struct sim_inode **dir,
             char last[SIM_NAME_MAX + 1])
{
    struct sim_inode *at = sim->root;

    last[0] = '\0';
    for (;;) {
        size_t n;

        path += strspn(path, "/");
        if (!*path)
            break;
        if (last[0]) { /* one more component follows: the one before must be a directory */
            at = sim_entry_find(&at->entries, last);
            if (!at)
                return -ENOENT;
            if (!at->directory)
                return -ENOTDIR;
        }
        n = strcspn(path, "/");
        if (n > SIM_NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(last, path, n);
        last[n] = '\0';
        path += n;
    }
    *dir = at;
    return 0;
}

void sim_name_apply(struct sim_entries *(*entries_of)(void *arg, struct sim_inode *dir), void *arg,
                    const struct sim_name_op *op)
{
    switch (op->kind) {
    case SIM_NAME_ADD:
        sim_entry_set(entries_of(arg, op->to_dir), op->to, op->inode);
        break;
    case SIM_NAME_REMOVE:
        sim_entry_remove(entries_of(arg, op->from_dir), op->from, op->inode);
        break;
    case SIM_NAME_MOVE:
        sim_entry_remove(entries_of(arg, op->from_dir), op->from, op->inode);
        sim_entry_set(entries_of(arg, op->to_dir), op->to, op->inode);
        break;
    }
}

static struct sim_entries *entries_now(void *arg, struct sim_inode *dir)
{
    (void)arg;
    return &dir->entries;
}

void sim_name_do(struct sim *sim, const struct sim_name_op *op)
{
    struct sim_name_op *note;

    sim->names = sim_grow(sim->names, sim->names_count, &sim->names_room, sizeof(*sim->names));
    note = &sim->names[sim->names_count++];
    *note = *op;
    note->effect = ++sim->effects;
    if (op->from)
        note->from = sim_arena_text(sim, op->from);
    if (op->to) {
        note->to = sim_arena_text(sim, op->to);
        snprintf(op->inode->name, sizeof(op->inode->name), "%s", op->to);
    }
    sim_name_apply(entries_now, NULL, note);
}

/* ---- content ---- */

static const struct sim_sector *sector_of(const struct sim_inode *inode, uint64_t index)
{
    return index < inode->now_count ? inode->now[index] : NULL;
}

void sim_inode_read(const struct sim_inode *inode, uint8_t *to, uint64_t offset, size_t n)
{
    assert(offset <= inode->size && n <= inode->size - offset);
    if (inode->mapped) {
        memcpy(to, inode->flat + offset, n);
        return;
    }
    while (n > 0) {
        const struct sim_sector *sector = sector_of(inode, offset / SIM_SECTOR_BYTES);
        size_t at = offset % SIM_SECTOR_BYTES;
        size_t part = n < SIM_SECTOR_BYTES - at ? n : SIM_SECTOR_BYTES - at;

        if (sector)
            memcpy(to, sector->bytes + at, part);
        else
            memset(to, 0, part);
        to += part;
        offset += part;
        n -= part;
    }
}

static void make_room(struct sim_inode *inode, uint64_t sectors)
{
    const struct sim_sector **list;
    uint64_t count = inode->now_count;

    if (inode->now_owned && sectors <= count)
        return;
    if (sectors > count)
        count = sectors > 2 * count ? sectors : 2 * count;
    assert(count <= SIM_FILE_SECTORS_MAX);
    list = sim_must_alloc(count * sizeof(*list));
    if (inode->now_count)
        memcpy(list, inode->now, inode->now_count * sizeof(*list));
    if (inode->now_owned)
        free(inode->now);
    inode->now = list;
    inode->now_count = (uint32_t)count;
    inode->now_owned = true;
}

static void put_sector(struct sim_inode *inode, uint64_t index, const uint8_t *bytes)
{
    const struct sim_sector *old = sector_of(inode, index);
    struct sim_write *write;

    if (memcmp(old ? old->bytes : zero_sector, bytes, SIM_SECTOR_BYTES) == 0)
        return;
    make_room(inode, index + 1);
    inode->now[index] = sim_sector_new(inode->sim, bytes);
    inode->writes =
        sim_grow(inode->writes, inode->writes_count, &inode->writes_room, sizeof(*inode->writes));
    write = &inode->writes[inode->writes_count++];
    *write = (struct sim_write){
        .effect = inode->sim->effects, .sector = (uint32_t)index, .content = inode->now[index]};
}

/* NULL writes zeros. */
static void put_bytes(struct sim_inode *inode, const uint8_t *from, uint64_t offset, uint64_t n)
{
    if (inode->mapped) {
        assert(offset + n <= inode->flat_size);
        if (from)
            memcpy(inode->flat + offset, from, n);
        else
            memset(inode->flat + offset, 0, n);
        return;
    }
    while (n > 0) {
        uint64_t index = offset / SIM_SECTOR_BYTES;
        size_t at = offset % SIM_SECTOR_BYTES;
        size_t part = n < SIM_SECTOR_BYTES - at ? n : SIM_SECTOR_BYTES - at;

        if (part == SIM_SECTOR_BYTES) {
            put_sector(inode, index, from ? from : zero_sector);
        } else {
            const struct sim_sector *old = sector_of(inode, index);
            uint8_t bytes[SIM_SECTOR_BYTES];

            memcpy(bytes, old ? old->bytes : zero_sector, SIM_SECTOR_BYTES);
            memcpy(bytes + at, from ? from : zero_sector, part);
            put_sector(inode, index, bytes);
        }
        if (from)
            from += part;
        offset += part;
        n -= part;
    }
}

static void put_size(struct sim_inode *inode, uint64_t size)
{
    if (size == inode->size)
        return;
    inode->size = size;
    inode->sizes =
        sim_grow(inode->sizes, inode->sizes_count, &inode->sizes_room, sizeof(*inode->sizes));
    inode->sizes[inode->sizes_count++] =
        (struct sim_resize){.effect = inode->sim->effects, .size = size};
}

void sim_inode_write(struct sim_inode *inode, const uint8_t *from, uint64_t offset, size_t n)
{
    inode->sim->effects++;
    put_bytes(inode, from, offset, n);
    if (offset + n > inode->size)
        put_size(inode, offset + n);
}

void sim_inode_resize(struct sim_inode *inode, uint64_t size)
{
    inode->sim->effects++;
    if (size < inode->size) {
        uint64_t end = (uint64_t)inode->now_count * SIM_SECTOR_BYTES;

        if (end > inode->size)
            end = inode->size;
        if (end > size && !inode->mapped)
            put_bytes(inode, NULL, size, end - size);
    }
    put_size(inode, size);
}

void sim_inode_punch(struct sim_inode *inode, uint64_t offset, uint64_t n)
{
    uint64_t end = offset + n;

    inode->sim->effects++;
    if (end > inode->size)
        end = inode->size;
    if (end > offset)
        put_bytes(inode, NULL, offset, end - offset);
}

void sim_inode_map(struct sim_inode *inode, size_t size)
{
    size_t room = size > inode->size ? size : (size_t)inode->size;

    if (inode->mapped)
        return;
    room = (room + SHM_ALIGNMENT - 1) & ~(size_t)(SHM_ALIGNMENT - 1);
    inode->flat = aligned_alloc(SHM_ALIGNMENT, room);
    if (!inode->flat)
        out_of_memory();
    memset(inode->flat, 0, room);
    inode->flat_size = room;
    sim_inode_read(inode, inode->flat, 0, (size_t)inode->size);
    inode->mapped = true;
}

void sim_inode_flushed(struct sim_inode *inode, uint64_t begin)
{
    uint64_t end = ++inode->sim->effects;

    inode->flushes = sim_grow(inode->flushes, inode->flushes_count, &inode->flushes_room,
                              sizeof(*inode->flushes));
    inode->flushes[inode->flushes_count++] = (struct sim_flush){.begin = begin, .end = end};
}

static uint64_t covered_up_to(const struct sim_inode *inode)
{
    uint64_t covered = 0;

    for (unsigned i = 0; i < inode->flushes_count; i++)
        if (inode->flushes[i].begin > covered)
            covered = inode->flushes[i].begin;
    return covered;
}

/* The content of a sector that is certainly on the medium. */
static const struct sim_sector *durable_content(const struct sim_inode *inode, uint32_t sector,
                                                uint64_t covered)
{
    const struct sim_sector *content = sector < inode->base_count ? inode->base[sector] : NULL;

    for (unsigned i = 0; i < inode->writes_count; i++) {
        const struct sim_write *write = &inode->writes[i];

        if (write->sector == sector &&
            (write->settled || (write->effect <= covered && !write->lost)))
            content = write->content;
    }
    return content;
}

/* The kernel marks the pages clean: what they held is on the medium or not, and no later flush will
 * see to it. A clean page may be dropped from the cache at any time; then everybody reads what is
 * on the medium. */
void sim_inode_flush_failed(struct sim_inode *inode, uint64_t begin, bool evict)
{
    uint64_t covered = covered_up_to(inode);
    unsigned count = inode->writes_count;

    inode->sim->effects++;
    for (unsigned i = 0; i < count; i++) {
        struct sim_write *write = &inode->writes[i];

        if (write->effect <= covered || write->effect > begin || write->lost || write->settled)
            continue;
        write->lost = true;
        if (evict && !inode->mapped && sim_random(inode->sim) % 2) {
            struct sim_write back = {.effect = inode->sim->effects,
                                     .sector = write->sector,
                                     .settled = true,
                                     .content = durable_content(inode, write->sector, covered)};

            inode->now[back.sector] = back.content;
            inode->writes = sim_grow(inode->writes, inode->writes_count, &inode->writes_room,
                                     sizeof(*inode->writes));
            inode->writes[inode->writes_count++] = back;
        }
    }
}

void sim_inode_settle(struct sim_inode *inode)
{
    if (inode->directory) {
        free(inode->base_entries.list);
        sim_entries_copy(&inode->base_entries, &inode->entries);
    } else {
        if (inode->base_owned)
            free((void *)(uintptr_t)inode->base);
        inode->base = NULL;
        inode->base_count = inode->now_count;
        inode->base_owned = inode->now_count > 0;
        if (inode->now_count) {
            size_t bytes = inode->now_count * sizeof(*inode->now);

            inode->base = memcpy(sim_must_alloc(bytes), inode->now, bytes);
        }
        inode->base_size = inode->size;
    }
    inode->writes_count = inode->sizes_count = inode->flushes_count = 0;
}

/* ---- the disk as a test sees it ---- */

/* What a test puts there counts as having been there always. */
static void forget_name_ops_on(struct sim *sim, const struct sim_inode *inode)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < sim->names_count; i++)
        if (sim->names[i].inode != inode)
            sim->names[kept++] = sim->names[i];
    sim->names_count = kept;
}

static int put_inode(struct sim *sim, const char *path, bool directory, struct sim_inode **out)
{
    char last[SIM_NAME_MAX + 1];
    struct sim_inode *dir, *inode;
    int err = sim_walk(sim, path, &dir, last);

    if (err < 0)
        return err;
    if (!last[0])
        return -EINVAL;
    inode = sim_entry_find(&dir->entries, last);
    if (!inode) {
        struct sim_name_op op = {.kind = SIM_NAME_ADD, .to_dir = dir, .to = last};

        op.inode = inode = sim_inode_new(sim, directory, OS_ROLE_OTHER);
        sim_name_do(sim, &op);
        forget_name_ops_on(sim, inode);
        sim_entry_set(&dir->base_entries, sim_arena_text(sim, last), inode);
    }
    if (inode->directory != directory)
        return directory ? -ENOTDIR : -EISDIR;
    *out = inode;
    return 0;
}

int sim_put_file(struct sim *sim, const char *path, const void *bytes, size_t n)
{
    struct sim_inode *inode;
    int err = put_inode(sim, path, false, &inode);

    if (err < 0)
        return err;
    sim_inode_resize(inode, 0);
    sim_inode_write(inode, bytes, 0, n);
    sim_inode_settle(inode);
    return 0;
}

int sim_put_directory(struct sim *sim, const char *path)
{
    struct sim_inode *inode;

    return put_inode(sim, path, true, &inode);
}

static int find_file(const struct sim *sim, const char *path, struct sim_inode **out)
{
    char last[SIM_NAME_MAX + 1];
    struct sim_inode *dir;
    int err = sim_walk(sim, path, &dir, last);

    if (err < 0)
        return err;
    *out = sim_entry_find(&dir->entries, last);
    if (!*out)
        return -ENOENT;
    return (*out)->directory ? -EISDIR : 0;
}

int64_t sim_get_file(const struct sim *sim, const char *path, void *to, size_t n)
{
    struct sim_inode *inode;
    int err = find_file(sim, path, &inode);

    if (err < 0)
        return err;
    sim_inode_read(inode, to, 0, n < inode->size ? n : (size_t)inode->size);
    return (int64_t)inode->size;
}

int sim_change_byte(struct sim *sim, const char *path, uint64_t offset, uint8_t xor)
{
    struct sim_inode *inode;
    uint8_t byte;
    int err = find_file(sim, path, &inode);

    if (err < 0)
        return err;
    if (offset >= inode->size)
        return -EINVAL;
    sim_inode_read(inode, &byte, offset, 1);
    byte ^= xor;
    sim_inode_write(inode, &byte, offset, 1);
    sim_inode_settle(inode);
    return 0;
}

static int export_file(const struct sim_inode *inode, int host_dir, const char *name)
{
    uint8_t bytes[8 * SIM_SECTOR_BYTES];
    uint64_t offset = 0;
    int err = 0;
    int fd = openat(host_dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    if (fd < 0)
        return -errno;
    while (err == 0 && offset < inode->size) {
        uint64_t left = inode->size - offset;
        size_t part = left < sizeof(bytes) ? (size_t)left : sizeof(bytes);
        ssize_t put;

        sim_inode_read(inode, bytes, offset, part);
        put = write(fd, bytes, part);
        if (put > 0)
            offset += (uint64_t)put;
        else if (put == 0 || errno != EINTR)
            err = put == 0 ? -EIO : -errno;
    }
    if (close(fd) < 0 && err == 0)
        err = -errno;
    return err;
}

static int export_tree(const struct sim_inode *dir, int host_dir)
{
    int err = 0;

    for (unsigned i = 0; err == 0 && i < dir->entries.count; i++) {
        const struct sim_entry *entry = &dir->entries.list[i];

        if (!entry->inode->directory) {
            err = export_file(entry->inode, host_dir, entry->name);
        } else {
            int below;

            if (mkdirat(host_dir, entry->name, 0777) < 0 && errno != EEXIST)
                return -errno;
            below = openat(host_dir, entry->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (below < 0)
                return -errno;
            err = export_tree(entry->inode, below);
            close(below);
        }
    }
    return err;
}

int sim_export(const struct sim *sim, const char *path, const char *host_directory)
{
    char last[SIM_NAME_MAX + 1];
    struct sim_inode *dir;
    int err = sim_walk(sim, path, &dir, last);
    int host_dir;

    if (err == 0 && last[0]) {
        dir = sim_entry_find(&dir->entries, last);
        if (!dir || !dir->directory)
            err = dir ? -ENOTDIR : -ENOENT;
    }
    if (err < 0)
        return err;
    host_dir = open(host_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (host_dir < 0)
        return -errno;
    err = export_tree(dir, host_dir);
    close(host_dir);
    return err;
}

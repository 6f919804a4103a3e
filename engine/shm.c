/*
 * shm: words that several processes read and write at once.
 *
 * The published end is larger than a word, so it has two slots and a counter whose lowest bit says
 * which one counts. Writers are serialised by APPEND; a reader copies and then looks whether the
 * counter moved. Slot words are stored with release and loaded with acquire order instead of
 * fences: then no store to the spare slot can be seen before the switch that made it spare, and no
 * load of a slot can slip behind the second look at the counter.
 */
#include "shm.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define SHM_MAGIC UINT64_C(0x314d48534f5048) /* "HPOSHM1" as it stands in memory */
#define SHM_LAYOUT (UINT64_C(1) << 32 | sizeof(struct shm))

#define DURABLE_LSN_BITS 48
#define DURABLE_LSN_MASK ((UINT64_C(1) << DURABLE_LSN_BITS) - 1)

/* ---- words ---- */

static uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

static void store(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

static uint64_t flush_word(uint32_t epoch, enum shm_flush_state state)
{
    return (uint64_t)epoch << 2 | (uint64_t)state;
}

static uint64_t durable_word(uint32_t epoch, uint64_t lsn)
{
    assert(lsn <= DURABLE_LSN_MASK);
    return (uint64_t)epoch << DURABLE_LSN_BITS | lsn;
}

static bool durable_is_of(uint64_t word, uint32_t epoch)
{
    return word >> DURABLE_LSN_BITS == (epoch & 0xffff);
}

/* ---- building and attaching ---- */

static void store_identity(struct shm *shm, const struct shm_identity *identity)
{
    uint64_t words[4];

    memcpy(words, identity->uuid, 16);
    memcpy(words + 2, identity->boot_id, 16);
    store(&shm->uuid[0], words[0]);
    store(&shm->uuid[1], words[1]);
    store(&shm->boot_id[0], words[2]);
    store(&shm->boot_id[1], words[3]);
    store(&shm->layout, SHM_LAYOUT);
    store(&shm->magic, SHM_MAGIC);
}

static bool identity_is(const struct shm *shm, const struct shm_identity *identity)
{
    uint64_t words[4];

    memcpy(words, identity->uuid, 16);
    memcpy(words + 2, identity->boot_id, 16);
    return load(&shm->magic) == SHM_MAGIC && load(&shm->layout) == SHM_LAYOUT &&
           load(&shm->uuid[0]) == words[0] && load(&shm->uuid[1]) == words[1] &&
           load(&shm->boot_id[0]) == words[2] && load(&shm->boot_id[1]) == words[3];
}

/* Write real blocks for whatever the file lacks. A file of full size was filled by an earlier
 * builder. */
static int fill_file(const struct hpo_os *os, struct os_file *file)
{
    static const uint8_t zeros[SHM_SIZE];
    uint64_t size;
    int err = os->file_size(os->self, file, &size);

    while (err == 0 && size < SHM_SIZE) {
        int64_t put = os->file_pwrite(os->self, file, zeros, SHM_SIZE - (size_t)size, size);

        if (put > 0)
            size += (uint64_t)put;
        else if (put != -EINTR)
            err = put < 0 ? (int)put : -EIO;
    }
    return err;
}

int shm_build(const struct hpo_os *os, struct os_dir *dir, const struct shm_identity *identity,
              const struct shm_published *end, uint64_t durable, struct shm **out)
{
    struct os_file *file;
    struct shm *shm;
    void *address;
    uint64_t generation;
    int err;

    err = os->file_open(os->self, dir, "shm", OS_WRITE | OS_CREATE, OS_ROLE_SHM, &file);
    if (err < 0)
        return err;
    err = fill_file(os, file);
    if (err < 0)
        goto close_file;
    err = os->shm_map(os->self, file, SHM_SIZE, true, &address);
    if (err < 0)
        goto close_file;
    shm = address;
    generation = load(&shm->generation) | 1;
    store(&shm->generation, generation);
    /* Handles that only read may be looking; word by word, atomically, so that they see words. */
    for (size_t i = 0; i < SHM_SIZE / 8; i++) {
        _Atomic uint64_t *word = (_Atomic uint64_t *)address + i;

        if (word != &shm->generation)
            store(word, 0);
    }
    store_identity(shm, identity);
    shm_publish(shm, end);
    shm_epoch_begin(shm, end->epoch, durable);
    *out = shm;

close_file: /* a mapping outlives its descriptor */
    os->file_close(os->self, file);
    return err;
}

void shm_finish(struct shm *shm)
{
    uint64_t generation = load(&shm->generation);

    assert(generation & 1);
    store(&shm->generation, generation + 1);
}

int shm_attach(const struct hpo_os *os, struct os_dir *dir, const struct shm_identity *identity,
               bool writable, struct shm **out)
{
    struct os_file *file;
    struct shm *shm;
    void *address;
    uint64_t size;
    int err;

    err = os->file_open(os->self, dir, "shm", writable ? OS_WRITE : OS_READ, OS_ROLE_SHM, &file);
    if (err < 0)
        return err;
    err = os->file_size(os->self, file, &size);
    if (err == 0 && size < SHM_SIZE)
        err = -EPROTO;
    if (err == 0)
        err = os->shm_map(os->self, file, SHM_SIZE, writable, &address);
    os->file_close(os->self, file);
    if (err < 0)
        return err;
    shm = address;
    if ((load(&shm->generation) & 1) || !identity_is(shm, identity)) {
        os->shm_unmap(os->self, address, SHM_SIZE);
        return -EPROTO;
    }
    *out = shm;
    return 0;
}

void shm_detach(const struct hpo_os *os, struct shm *shm)
{
    if (shm)
        os->shm_unmap(os->self, shm, SHM_SIZE);
}

uint64_t shm_generation(const struct shm *shm)
{
    return load(&shm->generation);
}

/* ---- published end ---- */

void shm_read(const struct shm *shm, bool with_image, struct shm_published *out)
{
    uint64_t before, after = load(&shm->current);

    do {
        const struct shm_slot *slot = &shm->slots[after & 1];
        uint64_t epoch_segment = load(&slot->epoch_segment);

        before = after;
        out->epoch = (uint32_t)(epoch_segment >> 32);
        out->segment = (uint32_t)epoch_segment;
        out->at.lsn = load(&slot->lsn);
        out->at.chain = load(&slot->chain);
        out->tail.offset = load(&slot->offset);
        out->tail.used = (uint32_t)load(&slot->used);
        out->tail.reserved = 0;
        if (with_image && out->tail.used > 0) {
            for (size_t i = 0; i < SECTOR_SIZE / 8; i++) {
                uint64_t word = load(&slot->image[i]);

                memcpy(out->tail.image + i * 8, &word, 8);
            }
        }
        after = load(&shm->current);
    } while (after != before);
}

uint64_t shm_publications(const struct shm *shm)
{
    return load(&shm->current);
}

void shm_publish(struct shm *shm, const struct shm_published *end)
{
    uint64_t current = atomic_load_explicit(&shm->current, memory_order_relaxed);
    const struct shm_slot *old = &shm->slots[current & 1];
    struct shm_slot *slot = &shm->slots[(current + 1) & 1];

    assert(end->tail.used <= SECTOR_PAYLOAD_SIZE);                                          /* H2 */
    assert(end->epoch > load(&old->epoch_segment) >> 32 || end->at.lsn >= load(&old->lsn)); /* H2 */
    (void)old;
    store(&slot->epoch_segment, (uint64_t)end->epoch << 32 | end->segment);
    store(&slot->lsn, end->at.lsn);
    store(&slot->chain, end->at.chain);
    store(&slot->offset, end->tail.offset);
    store(&slot->used, end->tail.used);
    if (end->tail.used > 0) {
        for (size_t i = 0; i < SECTOR_SIZE / 8; i++) {
            uint64_t word;

            memcpy(&word, end->tail.image + i * 8, 8);
            store(&slot->image[i], word);
        }
    }
    store(&shm->current, current + 1);
}

enum shm_marker shm_marker(const struct shm *shm)
{
    return (enum shm_marker)load(&shm->marker);
}

void shm_mark(struct shm *shm, enum shm_marker marker)
{
    store(&shm->marker, (uint64_t)marker);
}

/* ---- flushing ---- */

bool shm_durable(const struct shm *shm, uint32_t epoch, uint64_t *lsn)
{
    uint64_t word = load(&shm->durable);

    if (!durable_is_of(word, epoch))
        return false;
    *lsn = word & DURABLE_LSN_MASK;
    return true;
}

uint64_t shm_durable_lsn(const struct shm *shm)
{
    return load(&shm->durable) & DURABLE_LSN_MASK;
}

bool shm_durable_raise(struct shm *shm, uint32_t epoch, uint64_t lsn)
{
    uint64_t word = load(&shm->durable);

    while (durable_is_of(word, epoch)) {
        if ((word & DURABLE_LSN_MASK) >= lsn)
            return true;
        if (atomic_compare_exchange_weak_explicit(&shm->durable, &word, durable_word(epoch, lsn),
                                                  memory_order_acq_rel, memory_order_acquire))
            return true;
    }
    return false;
}

void shm_epoch_begin(struct shm *shm, uint32_t epoch, uint64_t durable)
{
    store(&shm->flush, flush_word(epoch, SHM_FLUSH_IDLE));
    store(&shm->durable, durable_word(epoch, durable));
}

int shm_flush_state(const struct shm *shm, uint32_t epoch)
{
    uint64_t word = load(&shm->flush);

    return word >> 2 == epoch ? (int)(word & 3) : -1;
}

static bool flush_change(struct shm *shm, uint32_t epoch, enum shm_flush_state from,
                         enum shm_flush_state to)
{
    uint64_t expected = flush_word(epoch, from);

    return atomic_compare_exchange_strong_explicit(&shm->flush, &expected, flush_word(epoch, to),
                                                   memory_order_acq_rel, memory_order_acquire);
}

bool shm_flush_begin(struct shm *shm, uint32_t epoch)
{
    return flush_change(shm, epoch, SHM_FLUSH_IDLE, SHM_FLUSHING);
}

bool shm_flush_end(struct shm *shm, uint32_t epoch, bool failed)
{
    return flush_change(shm, epoch, SHM_FLUSHING, failed ? SHM_FLUSH_FAILED : SHM_FLUSH_IDLE);
}

uint32_t shm_sequence(const struct shm *shm)
{
    return atomic_load_explicit(&shm->sequence, memory_order_acquire);
}

void shm_wake(const struct hpo_os *os, struct shm *shm)
{
    /* Sequentially consistent, as in shm_wait: either the waiter is counted here, or it finds the
     * word changed. */
    atomic_fetch_add(&shm->sequence, 1);
    if (atomic_load(&shm->waiters) > 0)
        os->futex_wake(os->self, &shm->sequence);
}

void shm_wait(const struct hpo_os *os, struct shm *shm, uint32_t seen, int64_t timeout_us)
{
    atomic_fetch_add(&shm->waiters, 1);
    (void)os->futex_wait(os->self, &shm->sequence, seen, timeout_us); /* the caller looks again */
    atomic_fetch_sub(&shm->waiters, 1);
}

/* ---- counting ---- */

void shm_count(struct shm *shm, enum shm_counter counter, uint64_t n)
{
    atomic_fetch_add_explicit(&shm->counters[counter], n, memory_order_relaxed);
}

void shm_observe(struct shm *shm, enum shm_histogram histogram, uint64_t value)
{
    unsigned bucket = value ? 63u - (unsigned)__builtin_clzll(value) : 0;

    if (bucket >= SHM_BUCKETS)
        bucket = SHM_BUCKETS - 1;
    atomic_fetch_add_explicit(&shm->histograms[histogram][bucket], 1, memory_order_relaxed);
}

int shm_check(const struct shm *shm)
{
    struct shm_published end;
    uint64_t durable;

    shm_read(shm, false, &end);
    if (end.tail.used > SECTOR_PAYLOAD_SIZE || end.tail.offset % SECTOR_SIZE != 0)
        return 2;
    if (shm_durable(shm, end.epoch, &durable)) {
        /* Read after the end: it may have moved on, the durable LSN not beyond where it is now. */
        struct shm_published now;

        shm_read(shm, false, &now);
        if (now.epoch == end.epoch && durable > now.at.lsn)
            return 3;
    }
    return shm_marker(shm) > SHM_MARK_ROLL ? 5 : 0;
}

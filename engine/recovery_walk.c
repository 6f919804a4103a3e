/*
 * recovery_walk: the part of recovery that reads the log. One idea: walk from the newest point that
 * is known to be good, segment by segment to each stated end, and then look at everything behind.
 *
 * Of a segment whose successor is missing or cannot be read nobody knows where its dead part
 * begins. Therefore only what is attested counts there (find_own_end).
 */
#include "recovery_local.h"

#include <assert.h>
#include <string.h>

#include "hpo.h"

/* The highest LSN that sectors attest, and which one does. */
struct highest {
    uint64_t lsn;
    uint64_t offset; /* 0: none */
};

static void highest_add(struct highest *highest, const uint8_t *stored, uint64_t offset)
{
    if (highest->offset != 0 && sector_durable(stored) <= highest->lsn)
        return;
    highest->lsn = sector_durable(stored);
    highest->offset = offset;
}

/* What sectors of segment `index`, which is open, attest. */
static void attest_by_sector(struct examination *x, size_t index, const struct highest *highest)
{
    uint64_t lsn = highest->lsn, offset = highest->offset;
    const struct recovery_segment *segments = x->out->segments;
    uint64_t limit = recovery_attest_limit(x, segments[index].header.epoch, false);

    if (offset == 0)
        return;
    if (lsn > limit)
        lsn = limit;
    if (index + 1 < x->usable && lsn > segments[index + 1].header.end.lsn) {
        x->out->facts.chains = RECOVERY_CHAINS_DIFFER;
        DESCRIBE(&x->chain, x->segment.path, offset, segments[index + 1].header.first_lsn,
                 "LSN %llu was durable here, but the next segment says that LSN %llu was the last "
                 "that counts; run hpo-fsck",
                 (unsigned long long)lsn, (unsigned long long)segments[index + 1].header.end.lsn);
    }
    recovery_attest(x, lsn, RECOVERY_BY_SECTOR, x->segment.path, offset);
}

/* -- walking -- */

static int open_segment(struct examination *x, size_t index)
{
    segment_close(x->os, &x->segment);
    return segment_open(x->os, x->wal, x->out->segments[index].number, x->uuid, false, &x->segment,
                        x->error);
}

static bool is_newest(const struct examination *x, size_t index)
{
    return index + 1 == x->usable && !x->cut_off;
}

/* How segment `index` is to be read up to `lsn_last`. */
static struct scan_bound bound_of(const struct examination *x, size_t index, uint64_t lsn_last)
{
    const struct recovery_options *options = x->options;
    struct scan_bound bound = {.lsn_last = lsn_last};

    if (!is_newest(x, index))
        return bound;
    if (options->live) {
        bound.tail = &options->live->tail;
        if (options->live->end.lsn < lsn_last)
            bound.lsn_last = options->live->end.lsn;
    } else {
        bound.other_boot = x->out->facts.boot == RECOVERY_BOOT_OTHER;
    }
    return bound;
}

/* Walk through the open segment and deliver its batches; p and place move along. */
static int walk_segment(struct examination *x, size_t index, uint64_t lsn_last)
{
    const struct recovery_options *options = x->options;
    const struct scan_bound bound = bound_of(x, index, lsn_last);
    struct highest highest;
    struct log_batch batch;
    int got, err;

    segment_scan_start(&x->walk, x->os, &x->segment, &bound);
    x->reached = index;
    x->place = x->walk.place;
    while ((got = segment_scan_next(&x->walk, &batch, x->error)) > 0) {
        err = sequences_note(&x->sequences, x->os, x->out->start.lsn, &batch);
        if (err < 0)
            return recovery_no_memory(x);
        if (err > 0) {
            x->sequence_broken = true;
            DESCRIBE(&x->foreign, x->segment.path, x->walk.batch_offset, batch.at.lsn,
                     "batch %u of session %llu does not follow that session's last one; run "
                     "hpo-fsck",
                     (unsigned)batch.sequence, (unsigned long long)batch.session);
            break;
        }
        x->p = batch.at;
        x->place = x->walk.place;
        recovery_compare_claims(x, &batch.at);
        err = options->batch ? options->batch(options->arg, &batch, x->segment.header.number,
                                              x->walk.batch_offset)
                             : 0;
        if (err != 0)
            return err;
    }
    highest = (struct highest){x->walk.attested, x->walk.attested_offset};
    attest_by_sector(x, index, &highest);
    return got < 0 ? got : 0;
}

/* Why the walk did not get beyond p. */
static void describe_stop(struct examination *x)
{
    const struct segment_scan *walk = &x->walk;

    if (x->stop.code != 0)
        return;
    x->stop_reason = walk->stop == SCAN_BATCH     ? "the sectors do not hold the next batch"
                     : walk->stop == SCAN_NOTHING ? "there is nothing where it should be"
                                                  : "a sector does not verify";
    DESCRIBE(&x->stop, x->segment.path, walk->stop_offset ? walk->stop_offset : x->place.offset,
             x->p.lsn + 1, "%s", x->stop_reason);
}

/* All sectors from `offset` on that verify attest, dead or not. */
static int sweep_dead(struct examination *x, size_t index, uint64_t offset)
{
    struct highest highest = {0};
    const uint8_t *stored;
    int got;

    while ((got = segment_scan_peek(&x->walk, offset, &stored, x->error)) > 0) {
        if (sector_classify(stored, x->segment.header.salt, offset, false) == SECTOR_VALID)
            highest_add(&highest, stored, offset);
        offset += SECTOR_SIZE;
    }
    attest_by_sector(x, index, &highest);
    return got;
}

static uint64_t sector_behind(const struct scan_place *place)
{
    return place->used ? place->offset + SECTOR_SIZE : place->offset;
}

/* The last LSN of the open segment that the segment itself, a slot or a snapshot vouches for. */
static int find_own_end(struct examination *x, size_t index, uint64_t *out)
{
    const struct scan_bound bound = {.lsn_last = NO_BOUND};
    uint64_t own = x->segment.header.end.lsn;
    struct highest highest = {0};
    const uint8_t *stored;
    struct log_batch batch;
    uint64_t offset;
    int got;

    segment_scan_start(&x->walk, x->os, &x->segment, &bound);
    while ((got = segment_scan_next(&x->walk, &batch, x->error)) > 0) {
        for (size_t i = 0; i < x->claim_count; i++) {
            if (x->claims[i].at.lsn == batch.at.lsn && x->claims[i].at.chain == batch.at.chain)
                own = batch.at.lsn;
        }
    }
    if (got < 0)
        return got;
    for (offset = SEGMENT_HEADER_SIZE;
         (got = segment_scan_peek(&x->walk, offset, &stored, x->error)) > 0;
         offset += SECTOR_SIZE) {
        if (sector_classify(stored, x->segment.header.salt, offset, false) != SECTOR_VALID)
            continue;
        highest_add(&highest, stored, offset);
    }
    attest_by_sector(x, index, &highest);
    *out = highest.lsn > own ? highest.lsn : own;
    return got;
}

/* The segment in which reading begins: the newest that begins at or before the newest snapshot. */
static size_t choose_start(const struct examination *x)
{
    const struct recovery_options *options = x->options;
    size_t index = 0;

    if (options->from_beginning || options->snapshot_count == 0)
        return 0;
    while (index + 1 < x->usable &&
           x->out->segments[index + 1].header.end.lsn <= options->snapshots[0].at.lsn)
        index++;
    return index;
}

/* Walk from segment to segment as far as the log holds together. Leaves the segment of p open. */
static int walk_log(struct examination *x)
{
    const struct recovery_segment *segments = x->out->segments;
    size_t index = choose_start(x);
    uint64_t own_end;
    int err;

    x->out->start = x->p = segments[index].header.end;
    recovery_compare_claims(x, &x->p);
    for (;; index++) {
        const struct segment_header *next = &segments[index + 1].header;

        err = open_segment(x, index);
        if (err < 0)
            return err;
        if (index + 1 == x->usable)
            break;
        err = walk_segment(x, index, next->end.lsn);
        if (err != 0)
            return err;
        err = sweep_dead(x, index, sector_behind(&x->place));
        if (err < 0)
            return err;
        if (x->p.lsn != next->end.lsn) {
            describe_stop(x);
            return 0;
        }
        if (x->p.chain != next->end.chain) {
            x->out->facts.chains = RECOVERY_CHAINS_DIFFER;
            DESCRIBE(&x->chain, x->segment.path, x->place.offset, x->p.lsn,
                     "the next segment continues another batch %llu than this one; run hpo-fsck",
                     (unsigned long long)x->p.lsn);
            return 0;
        }
    }
    own_end = NO_BOUND;
    if (x->cut_off) {
        err = find_own_end(x, index, &own_end);
        if (err < 0)
            return err;
    }
    err = walk_segment(x, index, own_end);
    if (err == 0 && !(x->cut_off && x->p.lsn >= own_end))
        describe_stop(x);
    return err;
}

/* Segments behind the one in which p lies attest too. */
static int sweep_rest(struct examination *x)
{
    const struct scan_bound bound = {.lsn_last = 0};
    int err = 0;

    for (size_t i = x->reached + 1; i < x->usable && err == 0; i++) {
        err = open_segment(x, i);
        if (err < 0)
            break;
        segment_scan_start(&x->walk, x->os, &x->segment, &bound);
        err = sweep_dead(x, i, SEGMENT_HEADER_SIZE);
    }
    return err;
}

/* -- after p, in the newest segment -- */

/* What follows p, put together as far as it is in one piece. */
struct rest {
    uint8_t head[BATCH_HEADER_SIZE]; /* its first bytes */
    size_t size;
    bool one_piece; /* until now */
    bool ended;     /* a sector was not written, so nothing may follow */
};

static void rest_add(struct rest *rest, const uint8_t *stored, uint32_t begin)
{
    uint8_t payload[SECTOR_PAYLOAD_SIZE];
    size_t size = sector_payload(stored, begin, payload), head;

    if (size == 0)
        return;
    if (rest->ended || sector_used(stored) != SECTOR_PAYLOAD_SIZE)
        rest->one_piece = false;
    if (rest->size < BATCH_HEADER_SIZE) {
        head = BATCH_HEADER_SIZE - rest->size;
        memcpy(rest->head + rest->size, payload, size < head ? size : head);
    }
    rest->size += size;
}

static void note_after(struct examination *x, enum sector_class class, uint64_t offset)
{
    static const uint8_t as_fact[] = {
        [SECTOR_ZERO] = RECOVERY_AFTER_ZERO,       [SECTOR_VALID] = RECOVERY_AFTER_VALID,
        [SECTOR_OUTRUN] = RECOVERY_AFTER_TORN,     [SECTOR_TORN] = RECOVERY_AFTER_TORN,
        [SECTOR_FOREIGN] = RECOVERY_AFTER_FOREIGN,
    };

    x->out->after_count[class]++;
    if (as_fact[class] > x->out->facts.after)
        x->out->facts.after = as_fact[class];
    if (class == SECTOR_FOREIGN)
        DESCRIBE(&x->foreign, x->segment.path, offset, x->p.lsn + 1,
                 "a sector behind the last batch is damaged: no crash leaves such bytes; "
                 "hpo-fsck -p gives up what was never attested");
}

static int look_after(struct examination *x)
{
    bool other_boot = x->out->facts.boot == RECOVERY_BOOT_OTHER;
    uint64_t salt = x->segment.header.salt, offset = x->place.offset;
    struct rest rest = {.one_piece = true};
    struct highest highest = {0};
    enum sector_class class;
    const uint8_t *stored;
    int got;

    if (x->place.used > 0) {
        got = segment_scan_peek(&x->walk, offset, &stored, x->error);
        if (got <= 0)
            return got;
        class = sector_classify(stored, salt, offset, other_boot);
        if (class == SECTOR_OUTRUN || sector_used(stored) > x->place.used)
            x->out->facts.stream = RECOVERY_STREAM_GOES_ON;
        if (class != SECTOR_VALID)
            rest.one_piece = false;
        rest_add(&rest, stored, x->place.used);
        offset += SECTOR_SIZE;
    }
    while ((got = segment_scan_peek(&x->walk, offset, &stored, x->error)) > 0) {
        class = sector_classify(stored, salt, offset, other_boot);
        note_after(x, class, offset);
        if (class == SECTOR_VALID || class == SECTOR_OUTRUN) {
            highest_add(&highest, stored, offset);
            rest_add(&rest, stored, 0);
        }
        if (class == SECTOR_ZERO)
            rest.ended = true;
        else if (class != SECTOR_VALID)
            rest.one_piece = false;
        offset += SECTOR_SIZE;
    }
    if (got < 0)
        return got;
    attest_by_sector(x, x->reached, &highest);
    if (!rest.one_piece || !batch_begins(rest.head, rest.size, &x->p))
        x->out->facts.rest = RECOVERY_REST_OTHER;
    if (x->sequence_broken)
        x->out->facts.after = RECOVERY_AFTER_FOREIGN;
    return 0;
}

/* A log in use ends where it was published to end, or something is damaged. */
static int look_at_live_end(struct examination *x)
{
    const struct scan_limit *live = x->options->live;

    if (x->p.lsn == live->end.lsn && x->p.chain == live->end.chain)
        return 0;
    x->out->facts.after = RECOVERY_AFTER_FOREIGN;
    DESCRIBE(&x->foreign, x->segment.path,
             x->walk.stop_offset ? x->walk.stop_offset : x->place.offset, x->p.lsn + 1,
             "what was written to the log cannot be read back; run hpo-fsck");
    return sweep_dead(x, x->reached, sector_behind(&x->place));
}

/* The chain of H, if the log holds it: it lies in the segment of p, whose header attests its start.
 */
static int find_attested_chain(struct examination *x)
{
    struct recovery *out = x->out;
    struct scan_bound bound = bound_of(x, x->reached, out->attested.lsn);
    struct log_batch batch;
    int got = 0;

    if (out->attested.lsn > x->p.lsn)
        return 0;
    if (out->attested.lsn == x->p.lsn) {
        out->attested = x->p;
        return 0;
    }
    segment_scan_start(&x->walk, x->os, &x->segment, &bound);
    while (x->walk.at.lsn < out->attested.lsn &&
           (got = segment_scan_next(&x->walk, &batch, x->error)) > 0)
        ;
    if (x->walk.at.lsn == out->attested.lsn)
        out->attested = x->walk.at;
    return got < 0 ? got : 0;
}

int recovery_walk(struct examination *x)
{
    struct recovery *out = x->out;
    const struct recovery_segment *newest = &out->segments[x->usable - 1];
    int err;

    if (!x->options->live &&
        memcmp(newest->header.boot_id, x->options->boot_id, sizeof(x->options->boot_id)) != 0)
        out->facts.boot = RECOVERY_BOOT_OTHER;
    if (newest->file_size < newest->header.bytes)
        out->facts.file = RECOVERY_FILE_SHORT;
    err = walk_log(x);
    if (err != 0)
        return err;
    if (is_newest(x, x->reached))
        err = x->options->live ? look_at_live_end(x) : look_after(x);
    if (err == 0)
        err = find_attested_chain(x);
    if (err < 0)
        return err;
    out->limit.segment = out->segments[x->reached].number;
    out->limit.end = x->p;
    out->limit.tail = (struct sector_tail){.offset = x->place.offset, .used = x->place.used};
    sector_seal(&out->limit.tail);
    out->limit.other_boot = is_newest(x, x->reached) && out->facts.boot == RECOVERY_BOOT_OTHER;
    if (x->options->live && x->p.lsn == x->options->live->end.lsn)
        out->limit = *x->options->live;
    return sweep_rest(x);
}

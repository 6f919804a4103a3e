/*
 * recovery: see recovery.h. One idea: collect everything that attests something (headers, slots,
 * snapshots; sectors: recovery_walk.c), put the facts together, and let the table decide; nothing
 * is decided on the way.
 */
#include "recovery_local.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hpo.h"

#define HEADER_END_AT 72u /* where a segment's header states its predecessor's end */

int recovery_no_memory(const struct examination *x)
{
    return error_set(x->error, HPO_NOMEM, 0, NULL, 0, 0, "no memory to examine the log");
}

void recovery_attest(struct examination *x, uint64_t lsn, enum recovery_source source,
                     const char *path, uint64_t offset)
{
    struct recovery *out = x->out;

    if (out->attested_by != RECOVERY_BY_NOTHING && lsn <= out->attested.lsn)
        return;
    out->attested.lsn = lsn;
    out->attested_by = source;
    out->attested_offset = offset;
    (void)snprintf(out->attested_path, sizeof(out->attested_path), "%s", path);
}

/* -- FORMAT, names and headers -- */

static int look_at_format(struct examination *x)
{
    struct recovery *out = x->out;
    int err;

    err = format_read(x->os, x->options->store, &out->format, &out->format_copies, x->error);
    if (err == HPO_NOT_FOUND) {
        out->format_copies = FORMAT_COPIES_NONE;
        out->facts.format = RECOVERY_FORMAT_ABSENT;
        DESCRIBE(&x->structure, "FORMAT", 0, 0,
                 "there are parts of a store, but no FORMAT; run hpo-fsck");
        return 0;
    }
    if (err < 0)
        return err;
    if (out->format_copies == FORMAT_COPIES_NONE) {
        out->facts.format = RECOVERY_FORMAT_BAD;
        DESCRIBE(&x->structure, "FORMAT", 0, 0, "neither copy of FORMAT verifies; run hpo-fsck");
        return 0;
    }
    switch (format_access(&out->format.features)) {
    case FORMAT_REFUSED:
        out->facts.format = RECOVERY_FORMAT_REFUSED;
        (void)error_set(
            &x->structure, HPO_UNSUPPORTED, 0, "FORMAT", 8, 0,
            "the store needs version %u.%u, features %#x, sectors of %u bytes, which this "
            "build does not know; use a newer libhpo",
            out->format.features.major, out->format.features.minor,
            (unsigned)out->format.features.incompat, (unsigned)out->format.features.sector_size);
        return 0;
    case FORMAT_READ_ONLY:
        out->read_only_features = true;
        break;
    case FORMAT_READ_WRITE:
        break;
    }
    memcpy(x->uuid, out->format.uuid, 16);
    x->uuid_known = true;
    return 0;
}

static int collect_number(void *arg, const char *name)
{
    struct examination *x = arg;
    uint32_t number = segment_file_number(name);
    size_t room = x->number_room ? 2 * x->number_room : 16;
    uint32_t *grown;

    if (number == 0 || (x->options->live && number > x->options->live->segment))
        return 0;
    if (x->number_count == x->number_room) {
        grown = x->os->realloc(x->os->self, x->numbers, room * sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        x->numbers = grown;
        x->number_room = room;
    }
    x->numbers[x->number_count++] = number;
    return 0;
}

/* Ascending; directories list in almost any order, but seldom thousands of names. */
static void sort_numbers(uint32_t *numbers, size_t count)
{
    for (size_t gap = count / 2; gap > 0; gap /= 2) {
        for (size_t i = gap; i < count; i++) {
            uint32_t moving = numbers[i];
            size_t j = i;

            for (; j >= gap && numbers[j - gap] > moving; j -= gap)
                numbers[j] = numbers[j - gap];
            numbers[j] = moving;
        }
    }
}

static int list_segments(struct examination *x)
{
    int err = x->os->dir_open_at(x->os->self, x->options->store, "wal", &x->wal);

    if (err == -ENOENT) {
        x->wal = NULL;
        return 0;
    }
    if (err == 0)
        err = x->os->dir_list(x->os->self, x->wal, collect_number, x);
    if (err < 0)
        return error_set(x->error, error_from_errno(err), -err, "wal", 0, 0,
                         "cannot list the segments");
    sort_numbers(x->numbers, x->number_count);
    return 0;
}

/* Worse findings replace lesser ones: refused, then bad, then a gap. What FORMAT is comes before.
 */
static void segments_are(struct examination *x, enum recovery_segments what,
                         const struct error_detail *why)
{
    x->cut_off = true;
    if (what <= x->out->facts.segments)
        return;
    x->out->facts.segments = what;
    if (x->out->facts.format == RECOVERY_FORMAT_GOOD)
        x->structure = *why;
}

/* Whether a header continues the one before (NULL: there is none). */
static bool header_continues(const struct examination *x, const struct segment_header *header,
                             const struct segment_header *before)
{
    if (!before)
        return header->reason == SEGMENT_REASON_FIRST && header->end.lsn == 0 &&
               header->end.chain == batch_chain_start(x->uuid);
    if (header->reason == SEGMENT_REASON_FIRST || header->end.lsn < before->end.lsn)
        return false;
    return header->reason == SEGMENT_REASON_REPAIR ? header->epoch > before->epoch
                                                   : header->epoch - 1 == before->epoch;
}

static int look_at_header(struct examination *x, struct recovery_segment *found)
{
    struct segment segment;
    struct error_detail why = {0};
    int err;

    err = segment_open(x->os, x->wal, found->number, x->uuid_known ? x->uuid : NULL, false,
                       &segment, &why);
    if (err < 0) {
        found->error = err;
        found->copies = FORMAT_COPIES_NONE;
        if (err != HPO_CORRUPT && err != HPO_UNSUPPORTED && err != HPO_NOT_FOUND) {
            if (x->error)
                *x->error = why;
            return err;
        }
        if (err == HPO_NOT_FOUND)
            why.code = HPO_CORRUPT;
        segments_are(x,
                     err == HPO_UNSUPPORTED ? RECOVERY_SEGMENTS_REFUSED
                     : err == HPO_CORRUPT   ? RECOVERY_SEGMENTS_BAD
                                            : RECOVERY_SEGMENTS_GAP,
                     &why);
        return 0;
    }
    found->header = segment.header;
    found->copies = segment.copies;
    found->file_size = segment.file_size;
    segment_close(x->os, &segment);
    if (!x->uuid_known) { /* FORMAT is of no help: the first segment says whose it is */
        memcpy(x->uuid, found->header.uuid, 16);
        memcpy(x->out->format.uuid, x->uuid, 16);
        x->uuid_known = true;
    }
    if (format_access(&found->header.features) == FORMAT_READ_ONLY)
        x->out->read_only_features = true;
    if (found->header.epoch > x->out->epoch_max)
        x->out->epoch_max = found->header.epoch;
    return 0;
}

/* A segment that must be there is not. */
static void segment_missing(struct examination *x, uint32_t number, const char *message)
{
    struct error_detail why = {0};
    char path[SEGMENT_NAME_SIZE + 8];

    (void)snprintf(path, sizeof(path), "wal/%08x.wal", (unsigned)number);
    (void)error_set(&why, HPO_CORRUPT, 0, path, 0, 0, "%s; run hpo-fsck", message);
    segments_are(x, RECOVERY_SEGMENTS_GAP, &why);
}

/* Look at one header; before: the last of those that continue each other, moved on if this one
 * does. */
static int look_at_member(struct examination *x, struct recovery_segment *found,
                          const struct segment_header **before)
{
    struct error_detail why = {0};
    char path[SEGMENT_NAME_SIZE + 8];
    int err = look_at_header(x, found);

    if (err < 0 || x->cut_off)
        return err;
    if (!header_continues(x, &found->header, *before)) {
        (void)snprintf(path, sizeof(path), "wal/%08x.wal", (unsigned)found->number);
        (void)error_set(&why, HPO_CORRUPT, 0, path, HEADER_END_AT, found->header.first_lsn,
                        "the segment does not continue the one before it; run hpo-fsck");
        segments_are(x, RECOVERY_SEGMENTS_BAD, &why);
        return 0;
    }
    *before = &found->header;
    x->usable++;
    return 0;
}

static int look_at_headers(struct examination *x)
{
    struct recovery *out = x->out;
    const struct segment_header *before = NULL;
    uint32_t expected = 1;
    int err = 0;

    if (x->number_count == 0) {
        out->facts.segments = RECOVERY_SEGMENTS_NONE;
        DESCRIBE(&x->structure, "wal/00000001.wal", 0, 1, "all segments are missing; run hpo-fsck");
        return 0;
    }
    out->segments = x->os->alloc(x->os->self, x->number_count * sizeof(*out->segments));
    if (!out->segments)
        return recovery_no_memory(x);
    memset(out->segments, 0, x->number_count * sizeof(*out->segments));
    out->segment_count = x->number_count;
    for (size_t i = 0; i < x->number_count && err == 0; i++, expected++) {
        out->segments[i].number = x->numbers[i];
        if (x->numbers[i] != expected)
            segment_missing(x, expected, "the segment is missing");
        expected = x->numbers[i];
        err = look_at_member(x, &out->segments[i], &before);
    }
    if (x->options->live && expected - 1 != x->options->live->segment)
        segment_missing(x, x->options->live->segment,
                        "the segment that is being written is missing");
    return err;
}

/* -- what attests -- */

/* How far a sector or slot of that epoch can still attest anything: a repair gave up what lies
 * beyond its stated end. With `any`, every later segment's stated end is such a limit. */
uint64_t recovery_attest_limit(const struct examination *x, uint32_t epoch, bool any)
{
    uint64_t limit = NO_BOUND;

    for (size_t i = 0; i < x->out->segment_count; i++) {
        const struct recovery_segment *segment = &x->out->segments[i];

        if (segment->error == 0 && segment->header.epoch > epoch &&
            (any || segment->header.reason == SEGMENT_REASON_REPAIR) &&
            segment->header.end.lsn < limit)
            limit = segment->header.end.lsn;
    }
    return limit;
}

static void claim_add(struct examination *x, const struct log_position *at,
                      enum recovery_source source, unsigned index)
{
    x->claims[x->claim_count++] = (struct claim){.at = *at, .source = source, .index = index};
}

static void look_at_slot(struct examination *x, unsigned index)
{
    const struct attest_slot *slot = &x->out->attest.slot[index];
    const struct recovery_options *options = x->options;
    uint64_t limit;
    uint32_t newest = 0;

    if (slot->state != ATTEST_GOOD)
        return;
    if (options->live &&
        (slot->epoch > options->live_epoch || slot->at.lsn > options->live->end.lsn))
        return; /* written after the published end was looked at */
    for (size_t i = 0; i < x->out->segment_count; i++) {
        if (x->out->segments[i].error == 0 && x->out->segments[i].header.epoch > newest)
            newest = x->out->segments[i].header.epoch;
    }
    if (slot->epoch > newest) {
        x->out->facts.traces = RECOVERY_TRACES_NEWER;
        x->cut_off = true;
        DESCRIBE(&x->structure, "wal", 0, slot->at.lsn,
                 "the newest segment is missing: the log was durable up to LSN %llu in epoch %u, "
                 "the newest segment found is of epoch %u; run hpo-fsck",
                 (unsigned long long)slot->at.lsn, (unsigned)slot->epoch, (unsigned)newest);
    }
    if (slot->epoch > x->out->epoch_max)
        x->out->epoch_max = slot->epoch;
    limit = recovery_attest_limit(x, slot->epoch, true);
    if (slot->at.lsn > limit) { /* lawful: its flush returned while others rolled */
        recovery_attest(x, limit, RECOVERY_BY_SLOT, "attest", (uint64_t)index * ATTEST_SLOT_SIZE);
        return;
    }
    recovery_attest(x, slot->at.lsn, RECOVERY_BY_SLOT, "attest",
                    (uint64_t)index * ATTEST_SLOT_SIZE);
    claim_add(x, &slot->at, RECOVERY_BY_SLOT, index);
}

static int look_at_claims(struct examination *x)
{
    const struct recovery_options *options = x->options;
    struct recovery *out = x->out;
    char path[48];
    int err;

    x->claims = x->os->alloc(x->os->self, (2 + options->snapshot_count) * sizeof(*x->claims));
    if (!x->claims)
        return recovery_no_memory(x);
    for (size_t i = 0; i < out->segment_count; i++) {
        if (out->segments[i].error != 0)
            continue;
        (void)snprintf(path, sizeof(path), "wal/%08x.wal", (unsigned)out->segments[i].number);
        recovery_attest(x, out->segments[i].header.end.lsn, RECOVERY_BY_HEADER, path,
                        HEADER_END_AT);
    }
    err = attest_read(x->os, options->store, x->uuid, &out->attest, x->error);
    if (err < 0)
        return err;
    for (unsigned i = 0; i < 2; i++) {
        if (out->attest.slot[i].state != ATTEST_ABSENT && out->facts.traces == RECOVERY_TRACES_NONE)
            out->facts.traces = RECOVERY_TRACES_SOME;
        look_at_slot(x, i);
    }
    for (size_t i = 0; i < options->snapshot_count; i++) {
        const struct log_position *at = &options->snapshots[i].at;

        if (options->live && at->lsn > options->live->end.lsn)
            continue;
        if (out->facts.traces == RECOVERY_TRACES_NONE)
            out->facts.traces = RECOVERY_TRACES_SOME;
        (void)snprintf(path, sizeof(path), "snap/%016llx", (unsigned long long)at->lsn);
        recovery_attest(x, at->lsn, RECOVERY_BY_SNAPSHOT, path, 0);
        claim_add(x, at, RECOVERY_BY_SNAPSHOT, (unsigned)i);
    }
    return 0;
}

static void contradicted(struct examination *x, const struct claim *claim)
{
    x->out->facts.chains = RECOVERY_CHAINS_DIFFER;
    if (claim->source == RECOVERY_BY_SLOT)
        DESCRIBE(&x->chain, "attest", (uint64_t)claim->index * ATTEST_SLOT_SIZE, claim->at.lsn,
                 "another batch %llu was durable than the one in the log; run hpo-fsck",
                 (unsigned long long)claim->at.lsn);
    else
        DESCRIBE(&x->chain, "snap", 0, claim->at.lsn,
                 "a snapshot was made of another batch %llu than the one in the log; run hpo-fsck",
                 (unsigned long long)claim->at.lsn);
}

/* Compare what is remembered of the batch at `at` with the log. */
void recovery_compare_claims(struct examination *x, const struct log_position *at)
{
    for (size_t i = 0; i < x->claim_count; i++) {
        struct claim *claim = &x->claims[i];

        if (claim->at.lsn != at->lsn || claim->at.chain == at->chain)
            continue;
        claim->differs = true;
        contradicted(x, claim);
    }
}

/* -- putting it together -- */

/* What is damaged at the place where the log ends, in words. */
static void describe_end(struct examination *x, struct error_detail *damage)
{
    const struct recovery *out = x->out;
    unsigned long long last = out->attested.lsn;

    if (out->verdict == RECOVERY_CORRUPT_COMMITTED)
        (void)error_set(damage, HPO_CORRUPT, 0, x->stop.path, x->stop.offset, x->stop.lsn,
                        "durable batches %llu to %llu are damaged (%s); what is before can be "
                        "read; run hpo-fsck",
                        (unsigned long long)x->p.lsn + 1, last, x->stop_reason);
    else
        (void)error_set(damage, HPO_CORRUPT, 0, x->stop.path, x->stop.offset, x->stop.lsn,
                        "what follows batch %llu is damaged (%s), though the machine did not "
                        "restart; hpo-fsck -p gives up what was never attested",
                        (unsigned long long)x->p.lsn, x->stop_reason);
}

static void describe_damage(struct examination *x)
{
    struct recovery *out = x->out;

    switch (out->verdict) {
    case RECOVERY_NO_STORE:
    case RECOVERY_UNBORN:
    case RECOVERY_CLEAN_END:
    case RECOVERY_TORN_TAIL:
        return;
    case RECOVERY_UNSUPPORTED:
    case RECOVERY_BAD_FORMAT:
    case RECOVERY_BAD_HEADER:
    case RECOVERY_MISSING_SEGMENT:
        out->damage = x->structure;
        break;
    case RECOVERY_CORRUPT_COMMITTED:
        if (out->facts.chains == RECOVERY_CHAINS_DIFFER)
            out->damage = x->chain;
        else if (x->sequence_broken)
            out->damage = x->foreign;
        else
            describe_end(x, &out->damage);
        break;
    case RECOVERY_CORRUPT_TAIL:
        if (out->facts.after == RECOVERY_AFTER_FOREIGN)
            out->damage = x->foreign;
        else
            describe_end(x, &out->damage);
        break;
    }
    assert(out->damage.code != 0);
    if (out->damage.lsn == 0)
        out->damage.lsn = x->p.lsn + 1;
    if (out->attested.lsn >= out->damage.lsn)
        out->damage_lsn_last = out->attested.lsn;
}

static void decide(struct examination *x)
{
    struct recovery *out = x->out;
    const struct recovery_row *rows;
    size_t count;

    if (out->attested.lsn > x->p.lsn)
        out->facts.reach = RECOVERY_P_BELOW_H;
    else if (out->attested.lsn == x->p.lsn)
        out->facts.reach = RECOVERY_P_IS_H;
    for (size_t i = 0; i < x->claim_count; i++) {
        const struct claim *claim = &x->claims[i];

        if (claim->source == RECOVERY_BY_SNAPSHOT && claim->index < 64 &&
            (claim->differs || claim->at.lsn > x->p.lsn))
            out->snapshots_bad |= UINT64_C(1) << claim->index;
    }
    rows = recovery_table(&count);
    out->row = recovery_decide(&out->facts);
    out->verdict = rows[out->row - 1].verdict;
    out->action = rows[out->row - 1].action;
    describe_damage(x);
}

/* All facts. A store that this build cannot read is not looked into: its names may mean other
 * things. */
static int look_around(struct examination *x)
{
    struct recovery *out = x->out;
    int err;

    err = look_at_format(x);
    if (err < 0 || out->facts.format == RECOVERY_FORMAT_REFUSED)
        return err;
    err = list_segments(x);
    if (err == 0)
        err = look_at_headers(x);
    if (err < 0)
        return err;
    x->p = (struct log_position){.chain = batch_chain_start(x->uuid)};
    out->start = out->limit.end = x->p;
    segment_tail_start(&out->limit.tail);
    err = look_at_claims(x);
    if (err == 0 && x->usable > 0)
        err = recovery_walk(x);
    return err;
}

int recovery_examine(const struct recovery_options *options, struct recovery *out,
                     struct error_detail *error)
{
    struct examination x = {.options = options, .os = options->os, .out = out, .error = error};
    int err;

    *out = (struct recovery){.os = options->os};
    err = look_around(&x);
    if (err == 0)
        decide(&x);
    segment_scan_release(&x.walk);
    segment_close(x.os, &x.segment);
    sequences_release(&x.sequences, x.os);
    if (x.wal)
        x.os->dir_close(x.os->self, x.wal);
    x.os->free(x.os->self, x.numbers);
    x.os->free(x.os->self, x.claims);
    return err;
}

void recovery_release(struct recovery *recovery)
{
    if (!recovery->os)
        return;
    recovery->os->free(recovery->os->self, recovery->segments);
    recovery->segments = NULL;
    recovery->segment_count = 0;
}

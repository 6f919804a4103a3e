/*
 * ledger: see ledger.h. Lists are short (some hundred batches): everything is found by walking.
 */
#include "ledger.h"

#include "hpo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    hash = (hash ^ (hash >> 29)) * UINT64_C(0xBF58476D1CE4E5B9);
    return hash ^ (hash >> 32);
}

static void *grow(void *list, unsigned count, unsigned *room, size_t item_size)
{
    if (count < *room)
        return list;
    *room = *room ? 2 * *room : 16;
    list = realloc(list, *room * item_size);
    if (!list) {
        fputs("sim: out of memory\n", stderr);
        abort();
    }
    return list;
}

void ledger_free(struct ledger *ledger)
{
    free(ledger->list);
    memset(ledger, 0, sizeof(*ledger));
}

unsigned ledger_begin(struct ledger *ledger, uint64_t marker, uint32_t size, uint64_t now)
{
    ledger->list = grow(ledger->list, ledger->count, &ledger->room, sizeof(*ledger->list));
    ledger->list[ledger->count] = (struct ledger_batch){.marker = marker,
                                                        .size = size,
                                                        .begun_at = now,
                                                        .acknowledged_at = LEDGER_NEVER,
                                                        .dead_at = LEDGER_NEVER,
                                                        .seen_at = LEDGER_NEVER};
    return ledger->count++;
}

void ledger_at(const struct ledger *from, uint64_t cut, struct ledger *out)
{
    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < from->count; i++) {
        const struct ledger_batch *old = &from->list[i];
        struct ledger_batch *batch;

        if (old->begun_at > cut)
            continue;
        out->list = grow(out->list, out->count, &out->room, sizeof(*out->list));
        batch = &out->list[out->count++];
        *batch = *old;
        batch->begun_at = 0;
        batch->acknowledged_at = old->acknowledged_at <= cut ? 0 : LEDGER_NEVER;
        batch->dead_at = old->dead_at <= cut ? 0 : LEDGER_NEVER;
        batch->seen_at = LEDGER_NEVER;
    }
}

uint64_t ledger_obligations(const struct ledger *ledger, uint64_t cut)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < ledger->count; i++) {
        const struct ledger_batch *batch = &ledger->list[i];

        if (batch->acknowledged_at <= cut)
            sum += mix(batch->ticket.at.chain, 1);
        if (batch->dead_at <= cut)
            sum += mix(batch->marker, 2);
    }
    return sum;
}

void ledger_reading_free(struct ledger_reading *reading)
{
    reading->os->free(reading->os->self, reading->list);
    reading->list = NULL;
    reading->count = reading->room = 0;
}

static int find_by_marker(const struct ledger *ledger, uint64_t marker)
{
    for (unsigned i = 0; i < ledger->count; i++)
        if (ledger->list[i].marker == marker)
            return (int)i;
    return -1;
}

static uint64_t word_of(uint64_t marker, uint32_t index)
{
    uint64_t word = index == 0 ? marker : mix(marker, index);

    /* Words of every kind: full, sparse, zero. The mask of a sector has to cope. */
    if (index > 0 && word % 5 == 0)
        word = 0;
    else if (index > 0 && word % 5 == 1)
        word = UINT64_C(0xFF) << (word >> 8) % 57;
    return word;
}

void ledger_fill(uint8_t *records, uint64_t marker, uint32_t size)
{
    for (uint32_t i = 0; i < size / 8; i++) {
        uint64_t word = word_of(marker, i);

        memcpy(records + 8 * (size_t)i, &word, 8);
    }
}

static bool records_are(const struct log_batch *batch, uint64_t marker)
{
    for (uint32_t i = 0; i < batch->records_size / 8; i++) {
        uint64_t word = word_of(marker, i);

        if (memcmp(batch->records + 8 * (size_t)i, &word, 8) != 0)
            return false;
    }
    return true;
}

int ledger_read_batch(void *arg, const struct log_batch *batch)
{
    struct ledger_reader *reader = arg;
    struct ledger_reading *reading = reader->reading;
    struct ledger_batch *known;
    uint64_t marker = 0;
    int index = -1;

    if (batch->records_size >= 8) {
        memcpy(&marker, batch->records, 8);
        index = find_by_marker(reader->ledger, marker);
    }
    if (index < 0) {
        snprintf(reading->problem, sizeof(reading->problem),
                 "invented: batch %llu with marker %llx was never written",
                 (unsigned long long)batch->at.lsn, (unsigned long long)marker);
        return HPO_CORRUPT;
    }
    known = &reader->ledger->list[index];
    if (known->size != batch->records_size || !records_are(batch, marker)) {
        snprintf(reading->problem, sizeof(reading->problem),
                 "half: batch %llu differs from what was written",
                 (unsigned long long)batch->at.lsn);
        return HPO_CORRUPT;
    }
    if (reading->count == reading->room) {
        reading->room = reading->room ? 2 * reading->room : 64;
        reading->list = reading->os->realloc(reading->os->self, reading->list,
                                             reading->room * sizeof(*reading->list));
    }
    reading->list[reading->count++] = (struct ledger_entry){.at = batch->at,
                                                            .session = batch->session,
                                                            .sequence = batch->sequence,
                                                            .batch = (unsigned)index};
    return 0;
}

static const struct ledger_entry *find_entry(const struct ledger_reading *reading, unsigned batch)
{
    for (unsigned i = 0; i < reading->count; i++)
        if (reading->list[i].batch == batch)
            return &reading->list[i];
    return NULL;
}

/* LSNs without gaps, each session's sequence without gaps, nothing twice. */
static bool compare_order(struct ledger_reading *reading)
{
    for (unsigned i = 0; i < reading->count; i++) {
        const struct ledger_entry *entry = &reading->list[i];
        uint32_t last = 0;

        if (entry->at.lsn != i + 1) {
            snprintf(reading->problem, sizeof(reading->problem),
                     "half: LSN %llu in the place of %u", (unsigned long long)entry->at.lsn, i + 1);
            return false;
        }
        for (unsigned k = 0; k < i; k++) {
            if (reading->list[k].batch == entry->batch) {
                snprintf(reading->problem, sizeof(reading->problem),
                         "resurrected: batch %u is there again as %u", k + 1, i + 1);
                return false;
            }
            if (reading->list[k].session == entry->session)
                last = reading->list[k].sequence;
        }
        if (entry->sequence != last + 1) {
            snprintf(reading->problem, sizeof(reading->problem),
                     "lost: batch %u of session %llu has sequence %u after %u", i + 1,
                     (unsigned long long)entry->session, (unsigned)entry->sequence, (unsigned)last);
            return false;
        }
    }
    return true;
}

const char *ledger_compare(const struct ledger *ledger, struct ledger_reading *reading,
                           uint64_t now, uint64_t seen_by)
{
    if (reading->problem[0] || !compare_order(reading))
        return reading->problem;
    for (unsigned i = 0; i < ledger->count; i++) {
        const struct ledger_batch *batch = &ledger->list[i];
        const struct ledger_entry *entry = find_entry(reading, i);
        const char *wrong = NULL;

        if (batch->acknowledged_at <= now && (!entry || entry->at.lsn != batch->ticket.at.lsn ||
                                              entry->at.chain != batch->ticket.at.chain))
            wrong = "lost: acknowledged batch";
        else if (batch->dead_at <= now && entry)
            wrong = "resurrected: dead batch";
        else if (batch->seen_at <= seen_by && !entry)
            wrong = "lost: published batch";
        else if (batch->begun_at > now && entry)
            wrong = "invented: not yet written batch";
        if (wrong) {
            snprintf(reading->problem, sizeof(reading->problem),
                     "%s %llu (marker %llx); %u batches are there", wrong,
                     (unsigned long long)batch->ticket.at.lsn, (unsigned long long)batch->marker,
                     reading->count);
            return reading->problem;
        }
    }
    return NULL;
}

void ledger_settle(struct ledger *ledger, const struct ledger_reading *reading, uint64_t now)
{
    for (unsigned i = 0; i < ledger->count; i++) {
        struct ledger_batch *batch = &ledger->list[i];
        const struct ledger_entry *entry = find_entry(reading, i);

        if (entry && batch->acknowledged_at == LEDGER_NEVER) {
            batch->acknowledged_at = now;
            batch->ticket.at = entry->at;
        } else if (!entry && batch->dead_at == LEDGER_NEVER) {
            batch->dead_at = now;
        }
    }
}

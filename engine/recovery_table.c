/*
 * recovery_table: facts -> verdict, as data. One idea: each row says which values of each fact it
 * accepts, and the first row that fits decides, so the table can be read, printed and walked
 * through completely. docs/recovery.md prints it; tests/unit/test_recovery.c compares the two.
 */
#include "recovery.h"

#include <assert.h>
#include <stddef.h>

#define ANY 0xFF
#define ONLY(value) (1u << (value))
#define EITHER(a, b) (1u << (a) | 1u << (b))

/* The log itself is not looked at by this row. */
#define WHATEVER_IS_IN_IT \
    .chains = ANY, .reach = ANY, .stream = ANY, .after = ANY, .boot = ANY, .rest = ANY, .file = ANY
#define A_WHOLE_STORE                                                                \
    .format = ONLY(RECOVERY_FORMAT_GOOD), .segments = ONLY(RECOVERY_SEGMENTS_WHOLE), \
    .traces = EITHER(RECOVERY_TRACES_NONE, RECOVERY_TRACES_SOME)

static const struct recovery_row table[] = {
    {{.format = ONLY(RECOVERY_FORMAT_REFUSED), .segments = ANY, .traces = ANY, WHATEVER_IS_IN_IT},
     RECOVERY_UNSUPPORTED,
     RECOVERY_REFUSE,
     "FORMAT names a version or features that this build does not know"},
    {{.format = ONLY(RECOVERY_FORMAT_ABSENT),
      .segments = ONLY(RECOVERY_SEGMENTS_NONE),
      .traces = ONLY(RECOVERY_TRACES_NONE),
      WHATEVER_IS_IN_IT},
     RECOVERY_NO_STORE,
     RECOVERY_CREATE,
     "nothing is there"},
    {{.format = EITHER(RECOVERY_FORMAT_ABSENT, RECOVERY_FORMAT_BAD),
      .segments = ANY,
      .traces = ANY,
      WHATEVER_IS_IN_IT},
     RECOVERY_BAD_FORMAT,
     RECOVERY_REFUSE,
     "parts of a store without a FORMAT that verifies"},
    {{.format = ANY, .segments = ONLY(RECOVERY_SEGMENTS_REFUSED), .traces = ANY, WHATEVER_IS_IN_IT},
     RECOVERY_UNSUPPORTED,
     RECOVERY_REFUSE,
     "a segment names a version or features that this build does not know"},
    {{.format = ANY, .segments = ONLY(RECOVERY_SEGMENTS_BAD), .traces = ANY, WHATEVER_IS_IN_IT},
     RECOVERY_BAD_HEADER,
     RECOVERY_REFUSE,
     "a segment's header does not verify or does not continue the segment before"},
    {{.format = ANY, .segments = ONLY(RECOVERY_SEGMENTS_GAP), .traces = ANY, WHATEVER_IS_IN_IT},
     RECOVERY_MISSING_SEGMENT,
     RECOVERY_REFUSE,
     "a segment is missing before the newest one"},
    {{.format = ANY, .segments = ANY, .traces = ONLY(RECOVERY_TRACES_NEWER), WHATEVER_IS_IN_IT},
     RECOVERY_MISSING_SEGMENT,
     RECOVERY_REFUSE,
     "the newest segment is missing: `attest` knows a later epoch than every header"},
    {{.format = ANY,
      .segments = ONLY(RECOVERY_SEGMENTS_NONE),
      .traces = ONLY(RECOVERY_TRACES_NONE),
      WHATEVER_IS_IN_IT},
     RECOVERY_UNBORN,
     RECOVERY_CREATE,
     "creation was interrupted between FORMAT and the first segment"},
    {{.format = ANY, .segments = ONLY(RECOVERY_SEGMENTS_NONE), .traces = ANY, WHATEVER_IS_IN_IT},
     RECOVERY_MISSING_SEGMENT,
     RECOVERY_REFUSE,
     "all segments are missing: something else remembers a log"},
    {{A_WHOLE_STORE, .chains = ONLY(RECOVERY_CHAINS_DIFFER), .reach = ANY, .stream = ANY,
      .after = ANY, .boot = ANY, .rest = ANY, .file = ANY},
     RECOVERY_CORRUPT_COMMITTED,
     RECOVERY_REFUSE,
     "what attests a batch contradicts the log"},
    {{A_WHOLE_STORE, .chains = ANY, .reach = ONLY(RECOVERY_P_BELOW_H), .stream = ANY, .after = ANY,
      .boot = ANY, .rest = ANY, .file = ANY},
     RECOVERY_CORRUPT_COMMITTED,
     RECOVERY_REFUSE,
     "durable batches are damaged"},
    {{A_WHOLE_STORE, .chains = ANY, .reach = ONLY(RECOVERY_P_IS_H),
      .stream = ONLY(RECOVERY_STREAM_ENDS), .after = ONLY(RECOVERY_AFTER_ZERO),
      .boot = ONLY(RECOVERY_BOOT_SAME), .rest = ANY, .file = ONLY(RECOVERY_FILE_WHOLE)},
     RECOVERY_CLEAN_END,
     RECOVERY_IN_PLACE,
     "closed in order, or everything was attested; same boot"},
    {{A_WHOLE_STORE, .chains = ANY, .reach = ANY, .stream = ONLY(RECOVERY_STREAM_ENDS),
      .after = ONLY(RECOVERY_AFTER_ZERO), .boot = ANY, .rest = ANY, .file = ANY},
     RECOVERY_CLEAN_END,
     RECOVERY_ROLL,
     "nothing is half there"},
    {{A_WHOLE_STORE, .chains = ANY, .reach = ANY, .stream = ANY,
      .after = ONLY(RECOVERY_AFTER_FOREIGN), .boot = ANY, .rest = ANY, .file = ANY},
     RECOVERY_CORRUPT_TAIL,
     RECOVERY_REFUSE,
     "damage among bytes that nothing attests"},
    {{A_WHOLE_STORE, .chains = ANY, .reach = ANY, .stream = ANY, .after = ANY,
      .boot = ONLY(RECOVERY_BOOT_SAME), .rest = ONLY(RECOVERY_REST_OTHER), .file = ANY},
     RECOVERY_CORRUPT_TAIL,
     RECOVERY_REFUSE,
     "without a reboot the page cache loses nothing, yet something is missing"},
    {{A_WHOLE_STORE, .chains = ANY, .reach = ANY, .stream = ANY, .after = ANY, .boot = ANY,
      .rest = ANY, .file = ANY},
     RECOVERY_TORN_TAIL,
     RECOVERY_ROLL,
     "the ordinary trace of a crash"},
};

const struct recovery_row *recovery_table(size_t *count)
{
    *count = sizeof(table) / sizeof(table[0]);
    return table;
}

/* Names of the values of each fact, as in docs/recovery.md. */
static const struct {
    const char *name;
    size_t offset;
    const char *values[8];
} fact_names[RECOVERY_FACTS] = {
    {"format", offsetof(struct recovery_facts, format), {"good", "absent", "bad", "refused"}},
    {"segments",
     offsetof(struct recovery_facts, segments),
     {"whole", "none", "gap", "bad", "refused"}},
    {"traces", offsetof(struct recovery_facts, traces), {"none", "some", "newer"}},
    {"chains", offsetof(struct recovery_facts, chains), {"agree", "differ"}},
    {"p to H", offsetof(struct recovery_facts, reach), {"above", "equal", "below"}},
    {"stream", offsetof(struct recovery_facts, stream), {"ends", "goes on"}},
    {"after p", offsetof(struct recovery_facts, after), {"zero", "valid", "torn", "foreign"}},
    {"boot", offsetof(struct recovery_facts, boot), {"same", "other"}},
    {"rest", offsetof(struct recovery_facts, rest), {"one append", "other"}},
    {"file", offsetof(struct recovery_facts, file), {"whole", "short"}},
};

uint8_t recovery_fact(const struct recovery_facts *facts, unsigned fact)
{
    assert(fact < RECOVERY_FACTS);
    return ((const uint8_t *)facts)[fact_names[fact].offset];
}

void recovery_fact_set(struct recovery_facts *facts, unsigned fact, uint8_t value)
{
    assert(fact < RECOVERY_FACTS);
    ((uint8_t *)facts)[fact_names[fact].offset] = value;
}

const char *recovery_fact_name(unsigned fact)
{
    return fact < RECOVERY_FACTS ? fact_names[fact].name : NULL;
}

const char *recovery_fact_value_name(unsigned fact, unsigned value)
{
    return fact < RECOVERY_FACTS && value < 8 ? fact_names[fact].values[value] : NULL;
}

static bool row_fits(const struct recovery_row *row, const struct recovery_facts *facts)
{
    for (unsigned fact = 0; fact < RECOVERY_FACTS; fact++) {
        if (!(recovery_fact(&row->accepts, fact) & 1u << recovery_fact(facts, fact)))
            return false;
    }
    return true;
}

unsigned recovery_decide(const struct recovery_facts *facts)
{
    size_t count = sizeof(table) / sizeof(table[0]);
    unsigned row = 1;

    while (row <= count && !row_fits(&table[row - 1], facts))
        row++;
    assert(row <= count); /* tests/unit/test_recovery.c walks all combinations */
    return row;
}

const char *recovery_verdict_name(enum recovery_verdict verdict)
{
    switch (verdict) {
    case RECOVERY_NO_STORE:
        return "NO_STORE";
    case RECOVERY_UNBORN:
        return "UNBORN";
    case RECOVERY_CLEAN_END:
        return "CLEAN_END";
    case RECOVERY_TORN_TAIL:
        return "TORN_TAIL";
    case RECOVERY_CORRUPT_TAIL:
        return "CORRUPT_TAIL";
    case RECOVERY_CORRUPT_COMMITTED:
        return "CORRUPT_COMMITTED";
    case RECOVERY_MISSING_SEGMENT:
        return "MISSING_SEGMENT";
    case RECOVERY_BAD_FORMAT:
        return "BAD_FORMAT";
    case RECOVERY_BAD_HEADER:
        return "BAD_HEADER";
    case RECOVERY_UNSUPPORTED:
        return "UNSUPPORTED";
    }
    return "?";
}

const char *recovery_action_name(enum recovery_action action)
{
    switch (action) {
    case RECOVERY_CREATE:
        return "create";
    case RECOVERY_IN_PLACE:
        return "go on in place";
    case RECOVERY_ROLL:
        return "roll";
    case RECOVERY_REFUSE:
        return "refuse";
    }
    return "?";
}

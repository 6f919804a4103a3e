/*
 * record: the things a log can say, one struct each, and their bytes.
 *
 * A batch carries records; a record is `length u32, type u8, version u8, flags u16`, the payload,
 * padding to 8 (docs/format.md). This module turns bytes into structs and back and knows what each
 * field may hold; what a record means for a study is state.c's business. Decisions are records too:
 * rolling back a dead worker's trial, pruning.
 *
 * Ownership: encoding copies out of the struct. Decoding borrows: strings and bytes point into the
 * encoded bytes, arrays into the caller's scratch (record_scratch), both valid until the next
 * decode with that scratch.
 *
 * Invariants (when encoding HPO_INVALID or HPO_TOO_LARGE, when decoding HPO_CORRUPT)
 *   R1  What decodes encodes to the same bytes: one encoding per record, padding and NaN too.
 *   R2  Names and keys are at most 64 KiB, one record at most 1 MiB; a longer attribute value
 *       travels in pieces.
 *   R3  No count or length is believed before the bytes it speaks of are known to be there.
 *   R4  A type that is not known is an error (HPO_UNSUPPORTED) unless the record's flag bit 15 says
 *       it may be skipped.
 */
#ifndef HPO_ENGINE_RECORD_H
#define HPO_ENGINE_RECORD_H

#include "os.h"

#define RECORD_NAME_MAX 65536u
#define RECORD_SIZE_MAX 1048576u
#define RECORD_DIRECTIONS_MAX 64u
#define RECORD_SKIPPABLE 0x8000u /* bit of the flags word */

/* Borrowed bytes; strings are not terminated. data may be NULL only if size is 0. */
struct bytes {
    const uint8_t *data;
    size_t size;
};

enum record_type {
    RECORD_SESSION_OPEN = 1,
    RECORD_SESSION_CLOSE = 2,
    RECORD_HEARTBEAT = 3,     /* skippable */
    RECORD_SNAPSHOT_DONE = 4, /* skippable */
    RECORD_STUDY_CREATE = 16,
    RECORD_STUDY_DELETE = 17,
    RECORD_STUDY_CONFIG = 18,
    RECORD_STUDY_ATTR = 19,
    RECORD_PARAM_DEFINE = 20,
    RECORD_SAMPLER_STATE = 21,
    RECORD_TRIAL_ENQUEUE = 32,
    RECORD_TRIAL_BEGIN = 33,
    RECORD_TRIAL_IMPORT = 34,
    RECORD_DRAW = 35,
    RECORD_SUGGEST = 36,
    RECORD_PARAM_SET = 37,
    RECORD_REPORT = 38,
    RECORD_PRUNE_DECISION = 39,
    RECORD_TRIAL_ATTR = 40,
    RECORD_TRIAL_FINISH = 41,
    RECORD_TRIAL_ROLLBACK = 42,
};

/* A point in time, kept as it was given. */
struct record_time {
    int64_t us;   /* microseconds since 1970 */
    uint8_t kind; /* 0 UTC, 1 naive local time as given, 255 none */
};

/* -- distributions and configurations, as stored -- */

enum record_choice_type {
    CHOICE_NULL = 0,
    CHOICE_BOOL = 1,
    CHOICE_INT = 2,
    CHOICE_FLOAT = 3,
    CHOICE_TEXT = 4
};

struct record_choice {
    uint8_t type; /* enum record_choice_type */
    bool boolean;
    int64_t integer;
    double real;       /* NaN canonical */
    struct bytes text; /* UTF-8 */
};

enum record_distribution_kind {
    DISTRIBUTION_FLOAT = 1,
    DISTRIBUTION_INT = 2,
    DISTRIBUTION_CATEGORICAL = 3
};

struct record_distribution {
    uint8_t kind;
    bool log;
    bool has_step;                       /* float: step given; int: step other than 1 given */
    double low, high, step;              /* FLOAT: finite, low <= high */
    int64_t low_int, high_int, step_int; /* INT */
    const struct record_choice *choices; /* CATEGORICAL */
    uint32_t choice_count;
};

struct record_option {
    struct bytes key, value; /* sorted by key, as text */
};

/* Which sampler or pruner a study uses. name empty: none. */
struct record_algorithm {
    struct bytes name;
    uint32_t version;
    const struct record_option *options;
    uint32_t option_count;
};

struct record_param {
    struct bytes name;
    struct record_distribution distribution;
};

struct record_value {
    uint32_t param; /* study-wide number, given by PARAM_DEFINE */
    bool asked;     /* SUGGEST: a parameter of the trial; false: drawn jointly, not asked for yet */
    double value;   /* the float; the integer exactly; the index of the choice */
};

struct record_report {
    int64_t step;
    double value; /* NaN canonical */
};

enum record_attr_space {
    ATTR_USER = 0,
    ATTR_SYSTEM = 1,
    ATTR_OWN = 2 /* libhpo's own, e.g. stderr tail, constraint values */
};

/* An attribute, or one piece of a long one: pieces 1 .. pieces follow each other inside one batch.
 */
struct record_attr {
    uint8_t space;          /* enum record_attr_space */
    uint16_t piece, pieces; /* both 1 for a whole value */
    bool removed;           /* the key is deleted; value is empty */
    struct bytes key, value;
};

/* -- records -- */

struct record_session_open { /* its batch has session 0 on the way in, its own LSN when read;
                                sequence 1 */
    uint32_t slot;
    uint8_t boot_id[16];
    uint64_t process_id; /* for people only; never decides anything */
    struct record_time time;
    struct bytes host, program;
};

struct record_session_close {
    uint64_t session;
    uint8_t keep; /* 1: its unfinished trials stay (they become detached), 0: they are rolled back
                     by records before this one */
};

struct record_snapshot_done {
    uint64_t lsn, chain;
    uint8_t digest[16]; /* of the state at lsn, big-endian canonical XXH3-128 */
};

struct record_heartbeat {
    uint64_t trial;
    uint8_t boot_id[16];
    int64_t boot_time_us;
};

struct record_study_create {
    uint64_t study;
    struct bytes name;
    const uint8_t *directions; /* 0 minimize, 1 maximize */
    uint8_t direction_count;   /* 1 .. 64; 0 is "not set", as Optuna has it */
    uint64_t seed[2];          /* low, high 64 bits */
    uint32_t math_version;
    uint32_t window; /* 0: log view */
    struct record_algorithm sampler, pruner;
    bool declared; /* the space is declared: params below, in order; slot 1 + k belongs to params[k]
                    */
    const struct record_param *params;
    uint32_t param_count;
    struct record_time time;
};

struct record_study_delete {
    uint64_t study;
};

/* A later change; only what is marked present changes. */
struct record_study_config {
    uint64_t study;
    bool has_sampler, has_pruner, has_space, has_seed, has_math_version;
    struct record_algorithm sampler, pruner;
    const struct record_param *params;
    uint32_t param_count;
    uint64_t seed[2];
    uint32_t math_version;
};

struct record_study_attr {
    uint64_t study;
    uint64_t on_behalf; /* id of the running trial that it is undone with, 0: none */
    struct record_attr attr;
};

struct record_param_define {
    uint64_t study;
    uint32_t param; /* 0, 1, 2 ... per study */
    struct record_param definition;
};

struct record_sampler_state {
    uint64_t study;
    uint64_t trial;                    /* committed with it; 0: of none */
    const struct record_option *parts; /* named parts, sorted by name; values are opaque bytes */
    uint32_t part_count;
};

struct record_trial_enqueue {
    uint64_t study, trial, number;
    uint64_t on_behalf; /* as in study_attr */
    const struct record_value
        *values; /* the template: parameters fixed in advance (asked is true) */
    uint32_t value_count;
    struct record_time time;
};

enum record_view_mode {
    VIEW_LOG = 0,
    VIEW_WINDOW = 1,
    VIEW_LIVE = 2 /* foreign samplers in serial mode */
};

struct record_trial_begin {
    uint64_t study, trial, number;
    uint64_t view; /* LSN of the last batch it may see */
    uint8_t mode;  /* enum record_view_mode */
    bool detached; /* belongs to no session */
    bool popped;   /* it is the queue entry with this id */
    struct record_time time;
};

struct record_trial_import {
    uint64_t study, trial, number;
    uint8_t state; /* enum record_trial_state */
    const double *objectives;
    uint32_t objective_count;
    const struct record_value *values;
    uint32_t value_count;
    const struct record_report *reports;
    uint32_t report_count;
    const struct record_attr
        *attrs; /* whole values only; longer ones follow as TRIAL_ATTR in the same batch */
    uint32_t attr_count;
    struct record_time begin, end;
};

struct record_draw_part {
    uint64_t slot;
    uint64_t first; /* first word */
    uint64_t count;
};

struct record_draw {
    uint64_t trial; /* 0: of none */
    uint64_t study; /* whose seed keys the stream */
    bool foreign; /* generator label and position instead of a Philox stream: domain = label number,
                     third = position */
    uint32_t domain, instance;
    uint64_t third;
    const struct record_draw_part *parts;
    uint32_t part_count;
    uint64_t digest; /* XXH3-64 of all the words, little-endian, in order */
};

struct record_suggest {
    uint64_t trial;
    bool joint;
    const struct record_value *values;
    uint32_t value_count;
    struct bytes note;
};

struct record_param_set { /* chosen by no native sampler: foreign or enqueued; draws nothing */
    uint64_t trial;
    struct record_value value;
};

struct record_report_of {
    uint64_t trial;
    struct record_report report;
};

struct record_prune_decision {
    uint64_t trial;
    int64_t step;
    uint64_t view; /* LSN up to which the pruner had read */
    bool prune;
    struct bytes note;
};

struct record_trial_attr {
    uint64_t trial;
    struct record_attr attr;
};

enum record_trial_state {
    TRIAL_RUNNING = 0, /* Optuna's numbers */
    TRIAL_COMPLETE = 1,
    TRIAL_PRUNED = 2,
    TRIAL_FAIL = 3,
    TRIAL_WAITING = 4,
};

struct record_trial_finish {
    uint64_t trial;
    uint8_t state;            /* COMPLETE, PRUNED or FAIL */
    bool stop;                /* the study was told to stop with this trial */
    const double *objectives; /* no NaN */
    uint32_t objective_count;
    struct record_time time;
};

enum record_rollback_reason {
    ROLLBACK_DEAD = 1,
    ROLLBACK_ABANDONED = 2,
    ROLLBACK_INTERRUPTED = 3,
    ROLLBACK_CLOSED = 4
};

struct record_trial_rollback {
    uint64_t trial;   /* = the attempt */
    uint64_t session; /* that it belonged to; 0 detached */
    uint8_t reason;
};

struct record {
    uint8_t type; /* enum record_type; a skipped unknown type keeps its number and has no union
                     member */
    bool skipped; /* type unknown, flag bit 15 set: carries nothing */
    union {
        struct record_session_open session_open;
        struct record_session_close session_close;
        struct record_heartbeat heartbeat;
        struct record_snapshot_done snapshot_done;
        struct record_study_create study_create;
        struct record_study_delete study_delete;
        struct record_study_config study_config;
        struct record_study_attr study_attr;
        struct record_param_define param_define;
        struct record_sampler_state sampler_state;
        struct record_trial_enqueue trial_enqueue;
        struct record_trial_begin trial_begin;
        struct record_trial_import trial_import;
        struct record_draw draw;
        struct record_suggest suggest;
        struct record_param_set param_set;
        struct record_report_of report;
        struct record_prune_decision prune_decision;
        struct record_trial_attr trial_attr;
        struct record_trial_finish trial_finish;
        struct record_trial_rollback trial_rollback;
    };
};

/* Memory for the arrays of decoded records; grows, is reused, never shrinks. Zero-initialise with
 * the os. */
struct record_scratch {
    const struct hpo_os *os;
    struct record_scratch_block *blocks; /* private */
};
void record_scratch_reset(
    struct record_scratch *scratch); /* before a new batch: pointers from before are void */
void record_scratch_release(struct record_scratch *scratch);

/* A growing buffer of encoded records: the body of one batch. Zero-initialise with the os. */
struct record_buffer {
    const struct hpo_os *os;
    uint8_t *data;
    size_t size, capacity;
    uint16_t count;
};
void record_buffer_clear(struct record_buffer *buffer); /* keeps the memory */
void record_buffer_release(struct record_buffer *buffer);

/* Append one encoded record. 0, HPO_NOMEM, HPO_TOO_LARGE (a record over 1 MiB, a name over 64 KiB,
 * a count over 65535 records). On error the buffer is as before. */
int record_encode(struct record_buffer *buffer, const struct record *record);

/* Decode the record at the start of [bytes, bytes + size). *used gets its length with padding. 0,
 * HPO_CORRUPT, HPO_UNSUPPORTED (unknown type that may not be skipped, unknown version), HPO_NOMEM.
 */
int record_decode(const uint8_t *bytes, size_t size, struct record_scratch *scratch,
                  struct record *out, size_t *used);

/* The type's name ("TRIAL_BEGIN"), for printing; "?" for an unknown one. */
const char *record_type_name(uint8_t type);

/* Distribution and algorithm alone, with the same bytes as inside records (for state's canonical
 * encoding and for comparing). */
int record_encode_distribution(struct record_buffer *buffer,
                               const struct record_distribution *distribution);
int record_decode_distribution(const uint8_t *bytes, size_t size, struct record_scratch *scratch,
                               struct record_distribution *out, size_t *used);
/* A name with its distribution, the same way. These append bytes only: no header, no padding, no
 * count. */
int record_encode_param(struct record_buffer *buffer, const struct record_param *param);
int record_decode_param(const uint8_t *bytes, size_t size, struct record_scratch *scratch,
                        struct record_param *out, size_t *used);

#endif

/*
 * hpo.h: libhpo, a crash-safe store for hyperparameter searches.
 *
 * A store is a directory on a local disk. It holds studies; a study holds trials; every draw of the
 * random generator, every suggested parameter and every change of a trial's state is a checksummed
 * record in one write-ahead log. A trial counts from the moment hpo_tell returns: then it survives
 * power loss. A process that dies before leaves nothing: its trial is rolled back and given out
 * again, with the same number and the same parameters.
 *
 *     struct hpo_ask_options until = {.size = sizeof(until), .total = 100};
 *     struct hpo_store *store;
 *     struct hpo_study *study;
 *     struct hpo_trial *trial;
 *     double lr, loss;
 *
 *     hpo_open("search.hpo", NULL, &store);
 *     hpo_study_create(store, "lr", NULL, &study);      (or the existing one of that name)
 *     while (hpo_ask(study, &until, &trial) == 0) {
 *         hpo_suggest_float(trial, "lr", 1e-5, 1e-1, HPO_LOG, &lr);
 *         loss = train(lr);
 *         hpo_tell(trial, HPO_COMPLETE, &loss, 1);
 *         hpo_trial_free(trial);
 *     }
 *     hpo_close(store);
 *
 * Conventions
 *   - Results: 0 success, a negative enum hpo_error, or a positive enum hpo_outcome. Unless said
 *     otherwise a call that failed has changed nothing. hpo_error_detail tells where and why.
 *   - Handles are opaque. Option structs begin with their size; a zeroed member means its default;
 *     NULL means all defaults.
 *   - Out-parameters come last and are set only on success. Strings are UTF-8; those handed out
 *     belong to the handle or struct they came from and live until the call that the function's
 *     comment names.
 *   - Any thread may use any handle; calls on one store are serialised inside, except for the wait
 *     for the disk, which threads and processes share. Freeing or closing a handle while another
 *     thread is still inside a call on it is the caller's mistake. After fork() the child gets
 *     HPO_FORKED from every inherited handle and opens its own.
 *   - The library never prints, never exits, installs no signal handler and starts no thread.
 */
#ifndef HPO_H
#define HPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HPO_VERSION_MAJOR 0
#define HPO_VERSION_MINOR 1
#define HPO_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HPO_API __attribute__((visibility("default")))
#else
#define HPO_API
#endif

enum hpo_error {
    HPO_OK = 0,
    HPO_NOMEM = -1,         /* no memory; retry later */
    HPO_INVALID = -2,       /* an argument cannot be right; the message says which */
    HPO_NOT_FOUND = -3,     /* no such store, study, trial, parameter, attribute */
    HPO_EXISTS = -4,        /* the name is taken */
    HPO_IO = -5,            /* the system failed to read or write; errno in the detail */
    HPO_NOSPACE = -6,       /* disk or quota full; running trials may still be told */
    HPO_PERMISSION = -7,    /* may not read or write here; read-only file system */
    HPO_CORRUPT = -8,       /* durable data is damaged: the detail says where; run hpo-fsck */
    HPO_UNSUPPORTED = -9,   /* made by a newer version, or needs what this build lacks */
    HPO_READONLY = -10,     /* the handle was opened for reading */
    HPO_BUSY = -11,         /* somebody holds it and waiting was not wanted */
    HPO_NOT_WRITTEN = -12,  /* a flush failed; the trial is as before the call: call again */
    HPO_UNKNOWN = -13,      /* nobody can tell whether it is durable; the handle is read-only now,
                               opening the store again tells */
    HPO_FORKED = -14,       /* the handle belongs to the parent process: open your own */
    HPO_SESSION_LOST = -15, /* others found this session dead and rolled its trials back */
    HPO_FINISHED = -16,     /* the trial is finished and cannot change */
    HPO_INCOMPATIBLE = -17, /* another kind of distribution; a changed space, seed or math */
    HPO_TOO_LARGE = -18,    /* over a size limit */
    HPO_NETWORK_FS = -19,   /* network file systems are refused */
    HPO_ROLLED_BACK = -20,  /* this attempt of the trial was rolled back */
};

enum hpo_outcome {
    HPO_NO_MORE = 1, /* hpo_ask: the search is over; a cursor: it is at its end */
    HPO_WAIT = 2,    /* others are at work on the last trials: ask again later, one may come back */
};

struct hpo_store;  /* an open store */
struct hpo_study;  /* a study in an open store */
struct hpo_trial;  /* a trial that this process asked for */
struct hpo_cursor; /* a place in a list of trials or studies */
struct hpo_os; /* the table of system functions; only test suites give their own (hpo_fault.h) */
struct hpo_error_detail;

/* -- store -- */

enum hpo_durability {
    HPO_DURABLE = 0, /* tell, create, attributes outside trials survive power loss on return */
    HPO_RELAXED = 1, /* they wait for nothing: survive SIGKILL, not power loss. hpo_stat shows it */
};

enum hpo_open_flags {
    HPO_OPEN_EXISTING = 1,      /* do not create */
    HPO_OPEN_READ_ONLY = 2,     /* needs no write permission, blocks nobody, reclaims nothing; works
                                   on a damaged store up to the damage */
    HPO_OPEN_ALLOW_FUSE = 4,    /* two hosts may share such a file system; nothing protects then */
    HPO_OPEN_NO_WAIT = 8,       /* HPO_BUSY instead of waiting for another process's recovery */
    HPO_OPEN_DURABLE_ONLY = 16, /* read-only handles: show only what is known to be durable */
};

struct hpo_options {
    size_t size;
    unsigned flags; /* enum hpo_open_flags */
    enum hpo_durability durability;
    uint64_t at_lsn;         /* read-only: show the store as it was after this LSN; 0: now */
    const char *program;     /* name for `hpo stat`; default the process's own name */
    const struct hpo_os *os; /* default: the real one */
    uint64_t segment_size_first, segment_size_max; /* bytes, 0: 256 KiB and 16 MiB */
};

/* Open the store in directory `path`, creating it (durably) unless told otherwise. Recovers first
 * if nobody has it open: a torn tail is left behind, trials of dead sessions are rolled back. Fails
 * with HPO_CORRUPT if durable data is damaged (a read-only handle opens nevertheless, see
 * hpo_damage). On error, the reason can be had by hpo_open_error in the same thread. */
HPO_API int hpo_open(const char *path, const struct hpo_options *options, struct hpo_store **out);

/* Where and why the last hpo_open or hpo_fsck of this thread failed; see hpo_error_detail. */
HPO_API void hpo_open_error(struct hpo_error_detail *out);

/* Close a store and free its studies and trials still held (cursors and histories before it, by
 * their own calls). Waits for calls of other threads that are under way; to begin one afterwards is
 * the caller's mistake. Unfinished trials of this session that were asked for here are rolled back,
 * detached ones stay. Everything acknowledged is durable already; relaxed data is flushed. The
 * handle is gone also if an error is returned. NULL is harmless. In a forked child: frees memory
 * only. */
HPO_API int hpo_close(struct hpo_store *store);

/* Flush everything appended so far, by anybody. On return it survives power loss. */
HPO_API int hpo_sync(struct hpo_store *store);

/* 0, or HPO_CORRUPT if this read-only handle stops at damage (detail in hpo_error_detail). */
HPO_API int hpo_damage(struct hpo_store *store);

struct hpo_error_detail {
    int code;          /* enum hpo_error */
    int system_errno;  /* 0 if no system call failed */
    uint64_t lsn;      /* 0 if none */
    uint64_t offset;   /* meaningful if path is not empty */
    char path[256];    /* file in the store, or empty */
    char message[256]; /* one line: what is wrong and what to do */
};

/* The detail of the last error of this handle in this thread's last failing call; zeroed if none.
 */
HPO_API void hpo_error_detail(struct hpo_store *store, struct hpo_error_detail *out);

/* One line in English for a code. Static. */
HPO_API const char *hpo_strerror(int code);

/* "0.1.0". Static. */
HPO_API const char *hpo_version(void);

/* The samplers and pruners that this build knows: names in alphabetical order, NULL at the end.
 * Static. "none" is the pruner that never prunes. */
HPO_API const char *const *hpo_samplers(void);
HPO_API const char *const *hpo_pruners(void);

/* A histogram with buckets of powers of two: bucket i counts values v with 2^i <= v < 2^(i+1);
 * bucket 0 also 0. */
struct hpo_histogram {
    uint64_t buckets[32];
};

struct hpo_stat {
    size_t size; /* set by the caller to sizeof(struct hpo_stat) */
    uint8_t uuid[16];
    uint64_t lsn, lsn_durable;
    uint8_t digest[16]; /* of the state at lsn */
    uint64_t studies, trials, trials_running, trials_waiting, sessions;
    uint64_t segments, log_bytes, log_bytes_used; /* files' sizes; sectors in use */
    uint64_t snapshots, snapshot_lsn, snapshot_bytes;
    enum hpo_durability durability;
    char file_system[16];
    unsigned notes; /* enum hpo_stat_note */
    /* Since the store was last opened by its first opener, over all processes: */
    uint64_t batches, batch_bytes; /* appended */
    uint64_t log_writes, log_write_bytes, log_sectors,
        log_pages;                    /* pwrite calls on segments; 4 KiB pages dirtied */
    uint64_t flushes, flush_failures; /* fdatasync of a segment */
    uint64_t commits;                 /* callers that waited for durability */
    uint64_t attest_writes, attest_bytes;
    uint64_t rolls, takeovers, segments_made;
    struct hpo_histogram commits_per_flush, flush_us;
};

enum hpo_stat_note {
    HPO_NOTE_COW = 1, /* copy-on-write file system: zeroing ahead reserves no space */
    HPO_NOTE_OVERLAY = 2,
    HPO_NOTE_MEMORY = 4,        /* tmpfs: survives no reboot */
    HPO_NOTE_RESERVE_SPENT = 8, /* no zeroed segment is left and none can be made */
};

HPO_API int hpo_stat(struct hpo_store *store, struct hpo_stat *out);

struct hpo_session_info {
    uint64_t session; /* LSN of its SESSION_OPEN */
    uint32_t slot;
    bool alive, own;
    uint64_t process_id;
    int64_t opened_us; /* UTC */
    const char *host, *program;
    uint64_t running; /* its unfinished trials */
};
/* Visit every open session; a non-zero result of fn ends the walk and is returned. The info lives
 * during the callback; fn must not call back into the store. */
HPO_API int hpo_sessions(struct hpo_store *store,
                         int (*fn)(void *arg, const struct hpo_session_info *info), void *arg);

/* Write a snapshot of the present durable state now (normally done by itself when the tail grows).
 */
HPO_API int hpo_snapshot(struct hpo_store *store);

/* -- search space -- */

enum hpo_distribution_kind { HPO_FLOAT = 1, HPO_INT = 2, HPO_CATEGORICAL = 3 };
enum hpo_distribution_flags { HPO_LINEAR = 0, HPO_LOG = 1 };

enum hpo_choice_type {
    HPO_CHOICE_NULL = 0,
    HPO_CHOICE_BOOL = 1,
    HPO_CHOICE_INT = 2,
    HPO_CHOICE_FLOAT = 3,
    HPO_CHOICE_TEXT = 4
};

struct hpo_choice {
    enum hpo_choice_type type;
    bool boolean;
    int64_t integer;
    double real;
    const char *text;
};

struct hpo_distribution {
    enum hpo_distribution_kind kind;
    unsigned flags;                      /* HPO_LOG: uniform in the logarithm; not with a step */
    double low, high, step;              /* HPO_FLOAT: finite, low <= high; step 0: continuous */
    int64_t low_int, high_int, step_int; /* HPO_INT, within +-2^53; step 0 means 1 */
    const struct hpo_choice *choices;    /* HPO_CATEGORICAL: at least one, at most 65535 */
    size_t choice_count;
};

struct hpo_param {
    const char *name;
    struct hpo_distribution distribution;
};

/* -- studies -- */

enum hpo_direction { HPO_MINIMIZE = 0, HPO_MAXIMIZE = 1 };

struct hpo_option {
    const char *key, *value;
};

struct hpo_study_options {
    size_t size;
    const enum hpo_direction *directions; /* default: one, minimize */
    size_t direction_count;
    const char *sampler; /* default "random" */
    const struct hpo_option *sampler_options;
    size_t sampler_option_count;
    const char *pruner; /* default none */
    const struct hpo_option *pruner_options;
    size_t pruner_option_count;
    bool has_seed;    /* else 128 bits from the system, recorded */
    uint64_t seed[2]; /* low, high */
    const struct hpo_param
        *params; /* the declared space; none: parameters are defined as they are asked for */
    size_t param_count;
    bool exclusive;    /* HPO_EXISTS if the name is taken; default: open the existing one */
    bool allow_change; /* existing study: accept another space, sampler, pruner or seed, and another
                          version of this library's arithmetic, and record it; default:
                          HPO_INCOMPATIBLE */
    /* Window W > 0: trial n sees exactly the finished trials 0 .. n - W and may begin when these
     * have finished, so the result does not depend on timing. 0: it sees what has finished. */
    uint32_t window;
};

/* Create a study, durably, or open the one of that name. For an existing one the options that are
 * given are compared (directions, space, sampler, pruner, seed, window): different is
 * HPO_INCOMPATIBLE with a message that names the first difference. Name: 1 byte to 64 KiB. The
 * handle belongs to the store and lives until hpo_study_free or hpo_close. */
HPO_API int hpo_study_create(struct hpo_store *store, const char *name,
                             const struct hpo_study_options *options, struct hpo_study **out);
HPO_API int hpo_study_open(struct hpo_store *store, const char *name, struct hpo_study **out);
HPO_API int hpo_study_open_id(struct hpo_store *store, uint64_t id, struct hpo_study **out);
HPO_API void hpo_study_free(struct hpo_study *study);
/* Delete the study and its trials, durably; its name is free at once. The log keeps the history.
 * Handles of it then answer HPO_NOT_FOUND. */
HPO_API int hpo_study_delete(struct hpo_store *store, const char *name);

struct hpo_study_info {
    uint64_t id;
    const char *name;
    const enum hpo_direction *directions;
    size_t direction_count;
    uint64_t seed[2];
    uint32_t math_version;
    uint32_t window;
    const char *sampler, *pruner; /* pruner "" if none */
    const struct hpo_option *sampler_options, *pruner_options;
    size_t sampler_option_count, pruner_option_count;
    bool declared;
    const struct hpo_param *params; /* declared space, or what has been defined so far (several
                                       entries of a name if its range varied) */
    size_t param_count;
    uint64_t trials, running, waiting, complete, pruned, failed;
    int64_t created_us;
    bool stopped; /* the last commit carried the stop flag */
};
/* A copy of what the study is now; free with hpo_study_info_free. */
HPO_API int hpo_study_info(struct hpo_study *study, struct hpo_study_info **out);
HPO_API void hpo_study_info_free(struct hpo_study_info *info);
/* All studies by id: a cursor for hpo_cursor_next_study. */
HPO_API int hpo_study_list(struct hpo_store *store, struct hpo_cursor **out);

enum hpo_attr_space { HPO_ATTR_USER = 0, HPO_ATTR_SYSTEM = 1, HPO_ATTR_OWN = 2 };

/* Attributes are opaque bytes (JSON by convention), to about 3.9 MiB. Setting one outside a trial
 * is durable on return. *value is malloc'ed by the library: hpo_free. */
HPO_API int hpo_study_attr_set(struct hpo_study *study, enum hpo_attr_space space, const char *key,
                               const void *value, size_t size);
HPO_API int hpo_study_attr_get(struct hpo_study *study, enum hpo_attr_space space, const char *key,
                               void **value, size_t *size);
HPO_API void hpo_free(void *p);

/* -- trials -- */

enum hpo_trial_state {
    HPO_RUNNING = 0,
    HPO_COMPLETE = 1,
    HPO_PRUNED = 2,
    HPO_FAIL = 3,
    HPO_WAITING = 4
};

struct hpo_ask_options {
    size_t size;
    uint64_t
        total; /* with n > 0: finished + running may not exceed n; see the outcomes of hpo_ask */
    bool detached; /* belongs to no session: durable from the start, waits for its tell or
                      hpo_abandon, survives this process */
};

/* Begin the next trial: the lowest number that waits, be it a queued point or one that a rollback
 * set free (that one gets the view of the rolled-back attempt, and so its parameters), else a new
 * number. First rolls back the trials of sessions that have died. If the study's space is declared,
 * all its parameters are drawn here. Not durable and need not be: until told, a trial never
 * happened (detached: durable on return). HPO_NO_MORE: `total` trials are finished, the study was
 * stopped, or the sampler has no further point. HPO_WAIT: the last ones are running elsewhere, or
 * the window holds the next one back. HPO_NOSPACE: no new trials on a full disk. HPO_INCOMPATIBLE,
 * HPO_UNSUPPORTED: the study's sampler or arithmetic is not this build's. The handle lives until
 * hpo_trial_free or hpo_close. */
HPO_API int hpo_ask(struct hpo_study *study, const struct hpo_ask_options *options,
                    struct hpo_trial **out);
/* A handle on a detached trial that runs, by number. HPO_NOT_FOUND; HPO_FINISHED; HPO_BUSY if it
 * belongs to a living session. */
HPO_API int hpo_trial_attach(struct hpo_study *study, uint64_t number, struct hpo_trial **out);
/* Free the handle. The trial stays as it is: unfinished ones go on until told through another
 * handle of this session, abandoned, or rolled back at hpo_close. */
HPO_API void hpo_trial_free(struct hpo_trial *trial);

HPO_API uint64_t hpo_trial_number(const struct hpo_trial *trial);
HPO_API uint64_t
hpo_trial_id(const struct hpo_trial *trial); /* of this attempt; never used again */
/* 64 bits for the objective's own randomness: the same in every attempt of this trial (stream
 * domain 17). */
HPO_API uint64_t hpo_trial_seed(const struct hpo_trial *trial);

/* Put a point in the queue; parameters not named are drawn when the trial is asked for. Values as
 * double: the float, the integer, the index of the choice. One that lies outside the range asked
 * for later is not used. Durable on return. */
struct hpo_fixed {
    const char *name;
    double value;
    const struct hpo_distribution *distribution; /* NULL: the one that the study knows */
};
HPO_API int hpo_enqueue(struct hpo_study *study, const struct hpo_fixed *params, size_t count,
                        uint64_t *number);

/* The trial's value for a parameter; asking twice for a name gives the first answer, also if the
 * range is another. high and low are in the range. HPO_INCOMPATIBLE: used with another kind, log or
 * choices in this study. With HPO_FINISHED, HPO_ROLLED_BACK, HPO_SESSION_LOST the trial is over. */
HPO_API int hpo_suggest_float(struct hpo_trial *trial, const char *name, double low, double high,
                              unsigned flags, double *out);
HPO_API int hpo_suggest_float_step(struct hpo_trial *trial, const char *name, double low,
                                   double high, double step, double *out);
HPO_API int hpo_suggest_int(struct hpo_trial *trial, const char *name, int64_t low, int64_t high,
                            unsigned flags, int64_t *out);
HPO_API int hpo_suggest_int_step(struct hpo_trial *trial, const char *name, int64_t low,
                                 int64_t high, int64_t step, int64_t *out);
/* Among strings; *index is the place in choices. */
HPO_API int hpo_suggest_categorical(struct hpo_trial *trial, const char *name,
                                    const char *const *choices, size_t count, size_t *index);
/* The general form; *value as in hpo_fixed. */
HPO_API int hpo_suggest(struct hpo_trial *trial, const char *name,
                        const struct hpo_distribution *distribution, double *value);

/* An intermediate value; NaN and infinities are allowed; a step reported again is overwritten for
 * readers. Appended, not flushed. */
HPO_API int hpo_report(struct hpo_trial *trial, int64_t step, double value);
/* Ask the study's pruner about the largest step reported; the decision is recorded and stands for
 * that step. Without a pruner: never, and nothing is recorded. */
HPO_API int hpo_should_prune(struct hpo_trial *trial, bool *prune);

HPO_API int hpo_trial_attr_set(struct hpo_trial *trial, enum hpo_attr_space space, const char *key,
                               const void *value, size_t size);
HPO_API int hpo_trial_attr_get(struct hpo_trial *trial, enum hpo_attr_space space, const char *key,
                               void **value, size_t *size);

/* Finish the trial: COMPLETE with one value per direction (finite or infinite; NaN is HPO_INVALID),
 * PRUNED or FAIL with values or none. On return it survives power loss. HPO_NOT_WRITTEN: it is
 * still running, call again. */
HPO_API int hpo_tell(struct hpo_trial *trial, enum hpo_trial_state state, const double *values,
                     size_t count);
/* The same, and the study is over: hpo_ask answers HPO_NO_MORE from now on. */
HPO_API int hpo_tell_and_stop(struct hpo_trial *trial, enum hpo_trial_state state,
                              const double *values, size_t count);
/* Roll the trial back, as if its process had died: it will be given out again. Durable on return.
 */
HPO_API int hpo_abandon(struct hpo_trial *trial);

/* -- foreign: trials whose parameters somebody else's sampler chooses -- */

/* Record a value that no sampler of libhpo drew; it may lie outside the range. HPO_EXISTS: the
 * trial has one for this name. */
HPO_API int hpo_trial_param_set(struct hpo_trial *trial, const char *name,
                                const struct hpo_distribution *distribution, double value);

/* -- reading -- */

struct hpo_trial_param {
    const char *name;
    const struct hpo_distribution *distribution;
    double value;
    const char *text; /* as a person would write it: shortest number that reads back exactly, or the
                         choice */
};
struct hpo_report_info {
    int64_t step;
    double value;
};
struct hpo_attr_info {
    enum hpo_attr_space space;
    const char *key;
    const void *value; /* followed by a NUL that is not counted */
    size_t size;
};

struct hpo_trial_info {
    uint64_t number, id, study;
    enum hpo_trial_state state;
    bool detached;
    uint64_t view, begin_lsn, end_lsn; /* 0 if not yet */
    uint64_t session;                  /* running: whose; 0 detached or none */
    const double *values;
    size_t value_count;
    const struct hpo_trial_param *params; /* in order of first setting */
    size_t param_count;
    const struct hpo_report_info *reports; /* by order of first report */
    size_t report_count;
    const struct hpo_attr_info *attrs; /* in order of first setting */
    size_t attr_count;
    int64_t begin_us, end_us; /* UTC; INT64_MIN: none */
};

/* A copy of one trial; free with hpo_trial_info_free. */
HPO_API int hpo_trial_read(struct hpo_study *study, uint64_t number, struct hpo_trial_info **out);
HPO_API void hpo_trial_info_free(struct hpo_trial_info *info);

/* Trials by number; states is a mask of 1 << enum hpo_trial_state, 0 for all. The cursor shows the
 * study as it is at each step. */
HPO_API int hpo_trial_list(struct hpo_study *study, unsigned states, struct hpo_cursor **out);
/* The next trial or study, or HPO_NO_MORE. The info belongs to the cursor and lives until its next
 * call. */
HPO_API int hpo_cursor_next_trial(struct hpo_cursor *cursor, const struct hpo_trial_info **out);
HPO_API int hpo_cursor_next_study(struct hpo_cursor *cursor, const struct hpo_study_info **out);
HPO_API void hpo_cursor_free(struct hpo_cursor *cursor);

/* Number of the best COMPLETE trial (lowest number among equals); HPO_NOT_FOUND if there is none;
 * HPO_INVALID for several directions. */
HPO_API int hpo_best(struct hpo_study *study, uint64_t *number);
/* Numbers of the Pareto front, ascending; hpo_free(*numbers). */
HPO_API int hpo_pareto(struct hpo_study *study, uint64_t **numbers, size_t *count);

/* -- history -- */

enum hpo_field_type {
    HPO_FIELD_UINT,
    HPO_FIELD_INT,
    HPO_FIELD_REAL,
    HPO_FIELD_TEXT,
    HPO_FIELD_BYTES,
    HPO_FIELD_BOOL,
    HPO_FIELD_HEX64
};

/* A field of a record, for people and for JSON. A repeated group has names like "values.0.param".
 */
struct hpo_field {
    const char *name;
    enum hpo_field_type type;
    uint64_t uint;
    int64_t sint;
    double real;
    const char *text; /* TEXT and BYTES */
    size_t size;
};

struct hpo_record_info {
    uint64_t lsn;
    uint32_t index; /* in its batch, from 0; a record's address is lsn.index */
    uint64_t session;
    uint32_t sequence;
    uint64_t chain;
    bool durable;
    const char *type; /* "TRIAL_BEGIN" */
    const struct hpo_field *fields;
    size_t field_count;
    /* DRAW records whose stream is known: the words themselves, recomputed; digest_ok tells whether
     * they prove the record. */
    const uint64_t *words;
    size_t word_count;
    bool digest_ok;
};

struct hpo_history;
/* Records from LSN `from` (0 and 1: the first). `draws`: recompute the words of DRAW records. Needs
 * the names and seeds of studies, so the fold runs along. Close it before the store. */
HPO_API int hpo_history_open(struct hpo_store *store, uint64_t from, bool draws,
                             struct hpo_history **out);
/* The next record, or HPO_NO_MORE when the end is reached (call again later to follow). Lives until
 * the next call. What is told with `durable` false may vanish with a failed flush; the telling then
 * goes on behind the last record that was durable. */
HPO_API int hpo_history_next(struct hpo_history *history, const struct hpo_record_info **out);
HPO_API void hpo_history_close(struct hpo_history *history);

/* -- checking -- */

enum hpo_fsck_flags {
    HPO_FSCK_QUICK = 1, /* headers, chain ends, hashes of snapshots; default: everything */
    HPO_FSCK_PREEN = 2, /* repair what loses nothing that was ever attested as durable */
};

enum hpo_fsck_severity { HPO_FSCK_NOTE = 0, HPO_FSCK_FIXED = 1, HPO_FSCK_DAMAGE = 2 };

struct hpo_fsck_finding {
    enum hpo_fsck_severity severity;
    const char *code; /* "CORRUPT_TAIL" */
    const char *file; /* relative to the store */
    uint64_t offset;
    uint64_t lsn_first, lsn_last; /* batches concerned; 0 if none */
    const char *what;             /* one sentence */
    const char *means;            /* what it means for studies and trials */
    const char *repair;           /* what a repair would do, and by which flag */
};

struct hpo_fsck_options {
    size_t size;
    unsigned flags;
    const struct hpo_os *os;
    void (*progress)(void *arg, uint64_t bytes_done, uint64_t bytes_total);
    void *arg;
};

struct hpo_fsck_result {
    uint64_t lsn, lsn_durable, batches, segments, sectors, snapshots, studies, trials, bytes;
    uint64_t notes, fixed, damages;
    uint8_t digest[16];
    const char *verdict; /* "CLEAN_END", "TORN_TAIL", "CORRUPT_TAIL" ...; static */
};

/* Check the store; safe on a live one (looks as far as the published end). 0 even if damage was
 * found: see result->damages. On error, the reason can be had by hpo_open_error in the same thread.
 */
HPO_API int hpo_fsck(const char *path, const struct hpo_fsck_options *options,
                     void (*finding)(void *arg, const struct hpo_fsck_finding *finding), void *arg,
                     struct hpo_fsck_result *result);

#ifdef __cplusplus
}
#endif
#endif

/*
 * state_internal: the structs of the fold and what its files share. Private to state*.c,
 * snapshot*.c.
 *
 *   state.c          batches, sessions, which record goes where
 *   state_study.c    studies and parameters
 *   state_attr.c     what of a study can be undone: attributes, sampler parts, foreign generators
 *   state_trial.c    enqueue, begin, import
 *   state_live.c     unfinished trials and what they are given
 *   state_end.c      finish, roll back, the pool
 *   state_blob.c     ended trials and attempts as blocks of bytes
 *   state_read.c     reading trials
 *   state_view.c     views, best, Pareto front
 *   state_items.c    the canonical encoding, the digest
 *   state_load.c     back from the encoding
 *   state_check.c    invariants
 *   state_memory.c   lists, maps, memory
 */
#ifndef HPO_ENGINE_STATE_INTERNAL_H
#define HPO_ENGINE_STATE_INTERNAL_H

#include "hash.h"
#include "record.h"
#include "state.h"
#include "state_memory.h"

#define STATE_LSN_MAX ((1ull << 48) - 1) /* as in the log's shared page */
#define STATE_ID_MAX ((1ull << 53) - 1)  /* ids are exact as doubles, for every binding */
#define STATE_NONE UINT32_MAX

/* A place in the log at which something was set first: LSN and index of the record. Orders
 * attributes. */
static inline uint64_t place_of(uint64_t lsn, uint32_t index)
{
    return lsn << 16 | index;
}

/* -- studies: parameters -- */

struct param_entry {
    struct state_param public;
    uint32_t class;        /* lowest number with the same name, kind, log and choices */
    uint32_t next_same;    /* next number with the same hash of the whole, STATE_NONE */
    uint32_t next_name;    /* of a family's first: next family whose name has the same hash */
    uint32_t next_member;  /* next number of the same family */
    uint32_t last_member;  /* of a family's first: the last of them */
    uint32_t living_class; /* of a family's first: class that living trials use, if living > 0 */
    uint64_t living; /* of a family's first: living trials that have a parameter of this name */
    uint8_t *bytes;  /* record_encode_param */
    size_t size;
};

/* -- studies: attributes, sampler parts, foreign generators: keys with versions -- */

enum { SPACE_SAMPLER_PART = 3, SPACE_FOREIGN = 4 /* beside enum record_attr_space */ };

struct attr_version {
    uint64_t lsn;    /* of this value */
    uint64_t place;  /* of the first value by this writer, or the first settled one */
    uint64_t writer; /* unfinished trial; 0: settled */
    bool removed;
    uint8_t *value;
    uint32_t size;
};

struct attr_entry {
    struct attr_entry *next_same; /* same hash */
    uint64_t hash;
    uint64_t place;                /* least of its versions' */
    struct attr_version *versions; /* by LSN; one per writer (F7) */
    uint32_t version_count, version_capacity;
    uint8_t space;
    uint32_t key_size;
    uint8_t key[];
};

/* -- trials -- */

struct live_trial {
    struct state_study *study;
    struct state_trial t; /* as readers see it; arrays below */
    struct state_value *values;
    struct state_report *reports;
    struct state_decision *decisions;
    struct state_attr *attrs;
    double *objectives; /* of an import that is finished when its batch goes on */
    uint8_t *heap;
    size_t value_capacity, report_capacity, decision_capacity, attr_capacity, heap_capacity;
    size_t heap_garbage;         /* bytes of overwritten attributes */
    bool reports_rise;           /* steps ascend: a new one is the largest */
    struct map report_steps;     /* else: step -> index */
    uint8_t *waiting;            /* popped: its block as it waited, to be queued again */
    uint32_t enqueued;           /* unfinished trials with on_behalf = this one */
    struct attr_entry **written; /* study attributes with a version of this trial */
    size_t written_count, written_capacity;
};

struct pool_entry {
    uint64_t number, id;
    uint64_t view;
    bool has_view;
    uint8_t mode;
};

/* What a number or an id leads to: a pointer with its kind in the low bits (everything is aligned
 * to 8). */
typedef uintptr_t trial_link;
enum { LINK_BLOCK = 0, LINK_LIVE = 1, LINK_POOL = 2 /* the study, by id only */, LINK_KIND = 3 };

static inline trial_link link_block(const uint8_t *block)
{
    return (uintptr_t)block;
}
static inline trial_link link_live(struct live_trial *live)
{
    return (uintptr_t)live | LINK_LIVE;
}
static inline trial_link link_pool(struct state_study *study)
{
    return (uintptr_t)study | LINK_POOL;
}
static inline const uint8_t *block_of(trial_link link)
{
    return (link & LINK_KIND) == LINK_BLOCK ? (const uint8_t *)link
                                            : NULL; /* NULL too for no link */
}
static inline struct live_trial *live_of(trial_link link)
{
    return (link & LINK_KIND) == LINK_LIVE ? (struct live_trial *)(link & ~(uintptr_t)LINK_KIND)
                                           : NULL;
}
static inline struct state_study *pool_of(trial_link link)
{
    return (link & LINK_KIND) == LINK_POOL ? (struct state_study *)(link & ~(uintptr_t)LINK_KIND)
                                           : NULL;
}

struct live_list {
    struct live_trial **items;
    size_t count, capacity;
};

struct block_list {
    const uint8_t **items;
    size_t count, capacity;
    struct hash128 chain; /* over the blocks in order: XXH3-128(chain before, XXH3-128(block)) */
};

struct state_study {
    struct state *state;
    struct state_study *next_name; /* same hash of the name */
    uint64_t id, created_lsn, config_lsn;
    struct record_create_held *held; /* owner of config's bytes */
    const struct record_study_create *config;

    struct param_entry *params;
    uint32_t param_count;
    size_t param_capacity;
    struct map params_by_hash, families_by_hash;
    struct record_scratch param_scratch; /* never reset */
    uint32_t *declared;
    uint32_t declared_count;

    struct attr_entry **attrs; /* by place, then key */
    size_t attr_count, attr_capacity;
    struct map attrs_by_hash; /* -> attr_entry */

    trial_link *by_number; /* next_number of them; 0: in the pool */
    size_t number_capacity;
    uint64_t next_number;
    struct pool_entry *pool; /* by number */
    size_t pool_count, pool_capacity;
    struct live_list queue, running;   /* by number */
    struct block_list ended, attempts; /* order of the log */
    struct chunk *chunks;              /* memory of blocks that are not in a snapshot's map */

    uint64_t complete, pruned, failed;
    uint64_t finished_prefix;
    uint64_t stop_lsn;      /* last commit with the stop flag; 0: none */
    uint64_t begun_lsn_max; /* of ended trials */
    const uint8_t *best;    /* one direction */

    const uint8_t **front; /* Pareto front of the first front_done ended trials, by number */
    uint64_t *front_numbers;
    size_t front_count, front_capacity, front_numbers_capacity, front_done;
};

/* -- sessions -- */

struct session_ended {
    uint64_t session, end_lsn;
    uint32_t slot, sequence;
};

struct session_open {
    struct state_session public;
    uint8_t text[]; /* host and program */
};

/* A long attribute on its way. */
struct piece_buffer {
    bool active;
    bool of_study;
    uint64_t target, on_behalf;
    uint8_t space;
    uint16_t next, pieces;
    uint32_t first_index;
    uint8_t *key;
    size_t key_size, key_capacity;
    uint8_t *value;
    size_t value_size, value_capacity;
};

struct state {
    const struct hpo_os *os;
    uint8_t uuid[16];
    struct log_position at;
    struct error_detail failure;
    int failed; /* what every later apply answers */

    uint64_t next_study, next_trial;
    struct state_study **studies; /* by id */
    size_t study_count, study_capacity;
    struct map studies_by_name; /* hash -> state_study */
    struct map trials_by_id;    /* id -> trial_link */
    struct live_list running;   /* of all studies, by id */

    struct session_open **sessions; /* by number */
    size_t session_count, session_capacity;
    struct session_ended *ended; /* in the order in which they ended */
    size_t ended_count, ended_capacity;

    /* while a batch is applied */
    const struct log_batch *batch;
    uint32_t index; /* of the record */
    struct piece_buffer pieces;
    struct live_trial
        *importing; /* an import in a finished state: ends when its attributes are there */
    struct record_scratch scratch;
    struct record_buffer buffer;

    void *backing; /* the snapshot's map */
    void (*backing_free)(void *backing);
};

/* -- state.c -- */

/* HPO_CORRUPT, with the rule in the failure's message. */
int state_refuse(struct state *state, const char *rule) __attribute__((cold));

/* -- state_study.c -- */

/* An open session in its place. */
int session_add(struct state *state, const struct state_session *session);

int study_create(struct state *state, const struct record_study_create *record);
int study_config(struct state *state, const struct record_study_config *record);
int study_delete(struct state *state, const struct record_study_delete *record);
int param_define(struct state *state, const struct record_param_define *record);
struct state_study *study_get(const struct state *state, uint64_t id);
void study_free(struct state_study *study);
/* A study in the state's lists, configured as `config` says (copied), without parameters or
 * trials. */
int study_add(struct state *state, const struct record_study_create *config,
              struct state_study **out);
/* Its configuration as an encoded STUDY_CREATE record. */
struct bytes study_config_bytes(const struct state_study *study);
/* The next number for this definition, which is not there yet. */
int param_add(struct state_study *study, const struct record_param *param);
/* Find the declared space among the definitions (all are there) and give places. */
int study_declare(struct state_study *study);
struct param_entry *param_get(const struct state_study *study, uint32_t number); /* NULL */
static inline uint32_t family_of(const struct state_study *study, uint32_t param)
{
    return study->params[param].public.family;
}
/* A living trial has, or no longer has, this parameter. */
bool family_take(struct state_study *study, uint32_t param); /* false: another class lives there */
void family_leave(struct state_study *study, uint32_t param);
/* Whether the double can be a value of the parameter. */
bool param_holds(const struct param_entry *param, double value);

/* -- state_attr.c -- */

struct attr_set {
    uint8_t space;
    struct bytes key, value;
    bool removed;
    uint64_t lsn, place;
    struct live_trial *writer; /* NULL: settled */
};
int attr_set(struct state_study *study, const struct attr_set *set);
struct attr_entry *attr_find(const struct state_study *study, uint8_t space, struct bytes key);
const struct attr_version *attr_visible(const struct attr_entry *entry);
/* The writer has ended: what it wrote is settled; or was rolled back: is gone. */
void attr_settle(struct live_trial *writer);
void attr_undo(struct live_trial *writer);
void attr_entry_free(const struct hpo_os *os, struct attr_entry *entry);
/* A key as loaded, behind all others, then its versions in order of LSN. HPO_CORRUPT: out of
 * order, twice. */
int attr_load(struct state_study *study, uint8_t space, struct bytes key, uint64_t place,
              struct attr_entry **out);
int attr_load_version(struct state_study *study, struct attr_entry *entry,
                      const struct attr_set *set, uint64_t writer);
/* The writer's versions are known to it again. */
int attr_load_writers(struct state_study *study);

int apply_study_attr(struct state *state, const struct record_study_attr *record);
int apply_sampler_state(struct state *state, const struct record_sampler_state *record);
int apply_draw(struct state *state, const struct record_draw *record);
/* The trial on whose behalf something is written: *out NULL for 0. */
int on_behalf_of(struct state *state, const struct state_study *study, uint64_t id,
                 struct live_trial **out);

/* -- state_trial.c -- */

int apply_enqueue(struct state *state, const struct record_trial_enqueue *record);
int apply_begin(struct state *state, const struct record_trial_begin *record);
int apply_import(struct state *state, const struct record_trial_import *record);

/* Make the study's next number; it leads nowhere yet. */
int number_take(struct state_study *study, uint64_t number);
/* What number and id lead to from now on. */
int trial_link_set(struct state_study *study, uint64_t number, uint64_t id, trial_link link);

/* -- state_live.c -- */

int apply_suggest(struct state *state, const struct record_suggest *record);
int apply_param_set(struct state *state, const struct record_param_set *record);
int apply_report(struct state *state, const struct record_report_of *record);
int apply_prune_decision(struct state *state, const struct record_prune_decision *record);
int apply_trial_attr(struct state *state, const struct record_trial_attr *record);

/* An unfinished trial without content, in no list. NULL: no memory. */
struct live_trial *live_new(struct state_study *study, uint64_t number, uint64_t id);
void live_free(struct live_trial *live);
/* Everything of a verified block, into an empty trial. 0, HPO_NOMEM, HPO_CORRUPT (a step twice). */
int live_read_block(struct live_trial *live, const uint8_t *block);
/* The unfinished trial with this id; NULL: none. */
struct live_trial *live_get(const struct state *state, uint64_t id);

/* A value that its parameter can have, in a name that has none with a flag of `once` yet. */
int live_value_add(struct live_trial *live, const struct record_value *value, uint32_t flags,
                   uint32_t once);
int live_report_add(struct live_trial *live, const struct record_report *report);
int live_attr_set(struct live_trial *live, uint8_t space, struct bytes key, bool removed,
                  struct bytes value, uint64_t lsn);
/* The objectives of a trial that is about to end (copied). */
int live_objectives(struct live_trial *live, const double *objectives, uint32_t count);

/* Lists by number; of the state's running trials by id. */
int live_list_add(const struct hpo_os *os, struct live_list *list, struct live_trial *live,
                  bool by_id);
void live_list_remove(struct live_list *list, struct live_trial *live, bool by_id);
bool live_list_has(const struct live_list *list, const struct live_trial *live); /* by number */

/* -- state_end.c -- */

int apply_finish(struct state *state, const struct record_trial_finish *record);
int apply_rollback(struct state *state, const struct record_trial_rollback *record);
/* The unfinished trial becomes a block; live->t says how it ended. */
int trial_end(struct live_trial *live);
/* A block joins `ended`, is what its number and id lead to, and is counted. */
int ended_add(struct state_study *study, const uint8_t *block);
int attempt_add(struct state_study *study, const uint8_t *block);
/* The pool entry of a number, NULL. */
struct pool_entry *pool_find(const struct state_study *study, uint64_t number);
int pool_add(struct state_study *study, const struct pool_entry *entry);
void pool_remove(struct state_study *study, struct pool_entry *entry);

/* -- state_view.c -- */

void best_update(struct state_study *study, const uint8_t *block);

/* -- state_items.c, state_load.c: the state as keyed pieces, for the digest and for snapshots
 * -- */

/* Keys are three numbers, in this order: kind, study, ordinal. Every value's size is a multiple of
 * 8. */
enum item_kind {
    ITEM_META = 0,           /* of a snapshot's file; not of the state */
    ITEM_STATE = 1,          /* one */
    ITEM_SESSION = 2,        /* ordinal: session */
    ITEM_SESSIONS_ENDED = 3, /* ordinal: which chunk */
    ITEM_STUDY = 4,          /* ordinal 0 */
    ITEM_PARAM = 5,          /* ordinal: number */
    ITEM_ATTR = 6,           /* ordinal: in the order of keys */
    ITEM_POOL = 7,           /* ordinal 0; absent if empty */
    ITEM_ENDED = 8,          /* ordinal: in fold order; the block */
    ITEM_ATTEMPT = 9,        /* likewise */
    ITEM_UNFINISHED =
        10, /* ordinal: number; the block, and for what was popped the block as it waited */
};

struct item {
    uint8_t kind; /* enum item_kind */
    uint64_t study, ordinal;
    const uint8_t *data; /* aligned to 8 */
    size_t size;
};

typedef int (*item_fn)(void *arg, const struct item *item);

/* Every item in the order of keys; `blocks` false: without ENDED and ATTEMPT, whose chains stand
 * in STUDY. A non-zero result ends the walk and is returned. HPO_NOMEM. */
int state_items(struct state *state, bool blocks, item_fn fn, void *arg);

/* The digest is a chain over the items without blocks, beginning with zero. */
void item_digest(struct hash128 *chain, const struct item *item);
int state_digest128(struct state *state, struct hash128 *out);

/* Where a load stands. */
struct load {
    struct state *state; /* as state_new made it */
    uint64_t limit;      /* no count can be larger: bytes of the file */
    bool stays;          /* ENDED and ATTEMPT values stay where they are until backing_free */
    struct error_detail *error;
    struct hash128 digest;     /* of the items so far */
    struct item last;          /* key of the item before */
    struct state_study *study; /* of the item before */
};

/* Add the next item, in the order of keys. 0, HPO_CORRUPT with a message, HPO_NOMEM; after an
 * error the state may only be freed. */
int load_item(struct load *load, const struct item *item);
/* After the last one: whether everything is there that the others speak of. The caller compares
 * the digest. */
int load_end(struct load *load);

#endif

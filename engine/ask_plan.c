/*
 * ask_plan: computing a suggestion and writing it down. See ask.h; what is in a plan is a copy, so
 * nothing here looks at the state or takes a lock.
 */
#include "ask.h"
#include "codec.h"
#include "distribution.h"
#include "hash.h"

#include "samplers/detmath.h"

#include <assert.h>
#include <string.h>

#define DRAW_WORDS_MAX (1u << 20) /* of one record that history recomputes */

static int outcome(int err)
{
    if (err == SAMPLER_NO_MORE)
        return HPO_NO_MORE;
    return err < 0 ? HPO_NOMEM : 0; /* suggesting fails in no other way */
}

static struct sampler_call call_of(struct plan *plan)
{
    return (struct sampler_call){
        .configuration = plan->asker->sampler,
        .pruner = plan->asker->pruner,
        .study = &plan->asker->study,
        .view = &plan->view,
        .own = &plan->own,
        .model = plan->asker->model,
        .draws = &plan->draws,
        .allocator = &plan->asker->allocator,
    };
}

/* The model, at the plan's view. A model whose move failed is gone; the next call makes a new one.
 */
static int move_model(struct plan *plan)
{
    struct asker *asker = plan->asker;
    int err = 0;

    if (!asker->model)
        err = sampler_model_new(asker->sampler, &asker->study, &asker->allocator, &asker->model);
    if (err < 0 || !asker->model)
        return err < 0 ? HPO_NOMEM : 0;
    err = sampler_model_move(asker->sampler, &asker->study, &plan->view, asker->model);
    if (err < 0) {
        sampler_model_free(asker->sampler, asker->model);
        asker->model = NULL;
        return HPO_NOMEM;
    }
    return 0;
}

static void own_add(struct plan *plan, uint32_t param, double value)
{
    assert(plan->own.value_count < plan->own_capacity);
    plan->own_values[plan->own.value_count++] = (struct sampler_value){param, value};
}

static bool own_has(const struct plan *plan, uint32_t family)
{
    uint32_t i;

    for (i = 0; i < plan->own.value_count; i++)
        if (plan->asker->params[plan->own.values[i].param].family == family)
            return true;
    return false;
}

/* The joint space, drawn once. Values are parameters of nobody yet. */
static int run_joint(struct plan *plan)
{
    struct space space = {.allocator = &plan->asker->allocator};
    struct sampler_call call;
    double *values;
    uint32_t i;
    int err;

    err = move_model(plan);
    if (err < 0)
        return err;
    call = call_of(plan);
    err = outcome(sampler_joint_space(&call, &space));
    if (err != 0)
        goto release;
    values = arena_array(&plan->arena, space.count, sizeof(*values));
    plan->joint = arena_array(&plan->arena, space.count, sizeof(*plan->joint));
    if (!values || !plan->joint) {
        err = HPO_NOMEM;
        goto release;
    }
    err = outcome(sampler_suggest_joint(&call, &space, values, &plan->note));
    if (err != 0)
        goto release;
    for (i = 0; i < space.count; i++)
        plan->joint[i] = (struct record_value){.param = space.params[i].number, .value = values[i]};
    plan->joint_count = space.count;

release:
    space_release(&space);
    return err;
}

/* A joint value that serves for `param`, or NULL. */
static struct record_value *joint_for(struct plan *plan, const struct sampler_param *param)
{
    uint32_t i;

    for (i = 0; i < plan->joint_count; i++) {
        struct record_value *value = &plan->joint[i];

        if (plan->asker->params[value->param].family == param->family &&
            distribution_contains(&param->distribution, value->value))
            return value;
    }
    return NULL;
}

static int run_single(struct plan *plan, const struct sampler_param *param, double *value)
{
    struct sampler_call call = call_of(plan);

    return outcome(sampler_suggest_one(&call, param, value));
}

/* One parameter becomes the trial's: from the joint draw if that has it, else drawn alone. */
static int choose(struct plan *plan, const struct sampler_param *param, double *out)
{
    struct record_value *joint = joint_for(plan, param);
    double value;
    int err;

    if (joint && joint->param == param->number) {
        joint->asked = true;
        value = joint->value;
    } else {
        if (joint) {
            value = joint->value;
        } else {
            err = run_single(plan, param, &value);
            if (err != 0)
                return err;
        }
        plan->single[plan->single_count++] =
            (struct record_value){.param = param->number, .asked = true, .value = value};
    }
    own_add(plan, param->number, value);
    *out = value;
    return 0;
}

int plan_run_declared(struct plan *plan)
{
    const struct space *declared = plan->asker->study.declared;
    double value;
    uint32_t i;
    int err;

    plan->single = arena_array(&plan->arena, declared->count, sizeof(*plan->single));
    if (!plan->single)
        return HPO_NOMEM;
    err = run_joint(plan);
    for (i = 0; err == 0 && i < declared->count; i++)
        if (!own_has(plan, declared->params[i].family))
            err = choose(plan, &declared->params[i], &value);
    return err;
}

int plan_run_one(struct plan *plan, const struct sampler_param *param, bool joint, double *value)
{
    int err;

    plan->single = arena_array(&plan->arena, 1, sizeof(*plan->single));
    if (!plan->single)
        return HPO_NOMEM;
    err = joint ? run_joint(plan) : move_model(plan);
    return err == 0 ? choose(plan, param, value) : err;
}

int plan_run_pruner(struct plan *plan, bool *prune)
{
    struct sampler_call call = call_of(plan);

    call.configuration = plan->asker->pruner;
    call.model = NULL;
    return outcome(pruner_decide(&call, prune, &plan->note));
}

/* -- writing it down -- */

static int encode_draw(struct plan *plan, struct hpo_store *store, const struct draw *draw,
                       uint64_t study, uint64_t trial)
{
    struct record record = {.type = RECORD_DRAW};
    struct record_draw_part *parts = arena_array(&plan->arena, draw->part_count, sizeof(*parts));
    uint32_t i;

    if (!parts)
        return HPO_NOMEM;
    for (i = 0; i < draw->part_count; i++)
        parts[i] = (struct record_draw_part){
            .slot = draw->parts[i].slot,
            .first = draw->parts[i].first,
            .count = draw->parts[i].count,
        };
    record.draw = (struct record_draw){
        .trial = trial,
        .study = study,
        .domain = draw->domain,
        .instance = draw->instance,
        .third = draw->third,
        .parts = parts,
        .part_count = draw->part_count,
        .digest = draw->digest,
    };
    return tail_record(store, &record);
}

static int encode_suggest(struct plan *plan, struct hpo_store *store, uint64_t trial, bool joint)
{
    struct record record = {.type = RECORD_SUGGEST};

    record.suggest.trial = trial;
    record.suggest.joint = joint;
    record.suggest.values = joint ? plan->joint : plan->single;
    record.suggest.value_count = joint ? plan->joint_count : plan->single_count;
    if (joint)
        record.suggest.note = (struct bytes){plan->note.data, plan->note.size};
    return tail_record(store, &record);
}

int plan_encode(struct plan *plan, struct hpo_store *store, uint64_t study, uint64_t trial)
{
    struct draw draw;
    uint32_t i;
    int err = 0;

    for (i = 0; err == 0 && i < plan->draws.count; i++) {
        draw_list_get(&plan->draws, i, &draw);
        if (draw.part_count > 0)
            err = encode_draw(plan, store, &draw, study, trial);
    }
    if (err == 0 && (plan->joint_count > 0 || plan->note.size > 0))
        err = encode_suggest(plan, store, trial, true);
    if (err == 0 && plan->single_count > 0)
        err = encode_suggest(plan, store, trial, false);
    return err;
}

uint64_t ask_objective_seed(const uint64_t seed[2], uint64_t number)
{
    struct philox_key key = {{seed[0], seed[1]}};
    struct stream stream;
    int err;

    err = stream_open(&stream, &key, DRAW_OBJECTIVE, 0, number, 0, 0, NULL);
    assert(err == 0); /* without a list nothing is allocated */
    (void)err;
    return stream_word(&stream);
}

uint32_t ask_math_version(void)
{
    return detmath_version();
}

/* As draw.h defines it: XXH3-64 of the words, little-endian, in order. */
static int digest_of(struct arena *arena, const uint64_t *words, size_t count, uint64_t *out)
{
    uint8_t *bytes = arena_array(arena, count, 8);
    size_t i;

    if (!bytes)
        return HPO_NOMEM;
    for (i = 0; i < count; i++)
        codec_store_u64(bytes + 8 * i, words[i]);
    *out = hash64(0, bytes, count * 8);
    return 0;
}

/* The record's draw in the samplers' form. *total is 0 if it is not to be believed. */
static int name_draw(const struct record_draw *draw, struct arena *arena, struct draw *named,
                     uint64_t *total)
{
    struct draw_part *parts = arena_array(arena, draw->part_count, sizeof(*parts));
    uint32_t part;

    if (!parts)
        return HPO_NOMEM;
    *total = 0;
    *named = (struct draw){
        .domain = draw->domain,
        .instance = draw->instance,
        .third = draw->third,
        .parts = parts,
        .part_count = draw->part_count,
        .digest = draw->digest,
    };
    for (part = 0; part < draw->part_count; part++) {
        parts[part] = (struct draw_part){draw->parts[part].slot, draw->parts[part].first,
                                         draw->parts[part].count};
        if (parts[part].count > DRAW_WORDS_MAX - *total) {
            *total = 0; /* no sampler of ours draws that much */
            return 0;
        }
        *total += parts[part].count;
    }
    return 0;
}

int ask_draw_words(const struct hpo_os *os, const struct record_draw *draw,
                   const struct record_study_create *study, struct arena *arena,
                   const uint64_t **words, size_t *count, bool *digest_ok)
{
    struct philox_key key = {{study->seed[0], study->seed[1]}};
    uint64_t total, digest, word, *list, *next;
    struct draw named;
    uint32_t part;
    int err;

    *words = NULL;
    *count = 0;
    *digest_ok = false;
    if (draw->foreign)
        return 0;
    err = name_draw(draw, arena, &named, &total);
    if (err < 0 || total == 0)
        return err;
    list = next = arena_array(arena, (size_t)total, sizeof(*list));
    if (!list)
        return HPO_NOMEM;
    if (draw_digest(&key, &named, &digest) == 0) {
        for (part = 0; part < named.part_count; part++)
            for (word = 0; word < named.parts[part].count; word++)
                *next++ = draw_word(&key, &named, part, word);
    } else {
        err = ask_sampler_words(os, &named, study, arena, list);
        if (err != 0)
            return err < 0 ? err : 0;
        err = digest_of(arena, list, (size_t)total, &digest);
        if (err < 0)
            return err;
    }
    *words = list;
    *count = (size_t)total;
    *digest_ok = digest == draw->digest;
    return 0;
}

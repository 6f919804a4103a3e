/*
 * record_fields: what each type of record carries and what each field may hold, one function per
 * type.
 *
 * The order of the calls is the order of the bytes (docs/format.md, "Records").
 */
#include "record_coder.h"

#include <string.h>

#define CHOICES_MAX 65535u

static bool is_finite(double value)
{
    return value - value == 0;
}

static int bytes_compare(const struct bytes *a, const struct bytes *b)
{
    size_t common = a->size < b->size ? a->size : b->size;
    int order = common ? memcmp(a->data, b->data, common) : 0;

    return order ? order : (a->size > b->size) - (a->size < b->size);
}

/* -- parts of records -- */

static void code_time(struct coder *c, struct record_time *time)
{
    uint64_t us = c->decoding ? 0 : (uint64_t)time->us;

    code_fixed(c, &us);
    if (c->decoding)
        time->us = (int64_t)us;
    code_u8(c, &time->kind);
    coder_require(c, time->kind <= 1 || (time->kind == 255 && time->us == 0));
}

static void code_choice(struct coder *c, struct record_choice *choice)
{
    code_enum(c, &choice->type, CHOICE_NULL, CHOICE_TEXT);
    switch (choice->type) {
    case CHOICE_BOOL:
        code_bool(c, &choice->boolean);
        break;
    case CHOICE_INT:
        code_i64(c, &choice->integer);
        break;
    case CHOICE_FLOAT:
        code_f64(c, &choice->real);
        break;
    case CHOICE_TEXT:
        code_bytes(c, &choice->text);
        break;
    default:
        break;
    }
}

static void code_range_float(struct coder *c, struct record_distribution *d)
{
    code_f64(c, &d->low);
    code_f64(c, &d->high);
    coder_require(c, is_finite(d->low) && is_finite(d->high) && d->low <= d->high &&
                         (!d->log || d->low > 0));
    if (d->has_step) {
        code_f64(c, &d->step);
        coder_require(c, is_finite(d->step) && d->step > 0 && !d->log);
    }
}

static void code_range_int(struct coder *c, struct record_distribution *d)
{
    code_i64(c, &d->low_int);
    code_i64(c, &d->high_int);
    coder_require(c, d->low_int <= d->high_int && (!d->log || d->low_int >= 1));
    if (d->has_step) {
        code_i64(c, &d->step_int);
        coder_require(c, d->step_int > 1 && !d->log);
    }
}

void code_distribution(struct coder *c, struct record_distribution *d)
{
    uint8_t flags = c->decoding ? 0 : (uint8_t)(d->log | d->has_step << 1);

    code_enum(c, &d->kind, DISTRIBUTION_FLOAT, DISTRIBUTION_CATEGORICAL);
    code_u8(c, &flags);
    coder_require(c, flags <= 3);
    if (c->decoding) {
        d->log = flags & 1;
        d->has_step = flags >> 1 & 1;
    }
    switch (d->kind) {
    case DISTRIBUTION_FLOAT:
        code_range_float(c, d);
        break;
    case DISTRIBUTION_INT:
        code_range_int(c, d);
        break;
    default:
        coder_require(c, flags == 0);
        CODE_ARRAY(c, struct record_choice, d->choices, d->choice_count, 1, code_choice);
        coder_require(c, d->choice_count >= 1 && d->choice_count <= CHOICES_MAX);
        break;
    }
}

void code_param(struct coder *c, struct record_param *param)
{
    code_name(c, &param->name);
    code_distribution(c, &param->distribution);
}

static void code_option(struct coder *c, struct record_option *option)
{
    code_name(c, &option->key);
    code_bytes(c, &option->value);
}

/* Sorted, each key once: one encoding (R1). */
static void require_sorted(struct coder *c, const struct record_option *options, uint32_t count)
{
    for (uint32_t i = 1; i < count && !c->error; i++)
        coder_require(c, bytes_compare(&options[i - 1].key, &options[i].key) < 0);
}

static void code_algorithm(struct coder *c, struct record_algorithm *algorithm)
{
    code_name(c, &algorithm->name);
    code_u32(c, &algorithm->version);
    CODE_ARRAY(c, struct record_option, algorithm->options, algorithm->option_count, 2,
               code_option);
    require_sorted(c, algorithm->options, algorithm->option_count);
    coder_require(c, algorithm->name.size || (!algorithm->version && !algorithm->option_count));
}

/* param << 1 | asked, then the double: nine bytes for the first 64 parameters. */
static void code_value(struct coder *c, struct record_value *value)
{
    uint64_t head = c->decoding ? 0 : (uint64_t)value->param << 1 | value->asked;

    code_u64(c, &head);
    coder_require(c, head >> 33 == 0);
    code_number(c, &value->value);
    if (c->decoding) {
        value->param = (uint32_t)(head >> 1);
        value->asked = head & 1;
    }
}

static void code_report(struct coder *c, struct record_report *report)
{
    code_i64(c, &report->step);
    code_f64(c, &report->value);
}

static void code_attr(struct coder *c, struct record_attr *attr)
{
    uint8_t head = c->decoding ? 0 : (uint8_t)(attr->space | attr->removed << 2);

    coder_require(c, c->decoding || attr->space <= ATTR_OWN);
    code_u8(c, &head);
    if (c->decoding) {
        attr->space = head & 3;
        attr->removed = head >> 2 & 1;
    }
    coder_require(c, head < 8 && attr->space <= ATTR_OWN);
    code_u16(c, &attr->piece);
    code_u16(c, &attr->pieces);
    code_name(c, &attr->key);
    code_bytes(c, &attr->value);
    coder_require(c, attr->piece >= 1 && attr->piece <= attr->pieces);
    coder_require(c, !attr->removed || (attr->value.size == 0 && attr->pieces == 1));
}

static void code_whole_attr(struct coder *c, struct record_attr *attr)
{
    code_attr(c, attr);
    coder_require(c, attr->pieces == 1);
}

static void code_objective(struct coder *c, double *objective)
{
    code_number(c, objective);
}

/* -- records -- */

static void code_session_open(struct coder *c, struct record_session_open *r)
{
    code_u32(c, &r->slot);
    code_raw(c, r->boot_id, sizeof(r->boot_id));
    code_u64(c, &r->process_id);
    code_time(c, &r->time);
    code_name(c, &r->host);
    code_name(c, &r->program);
}

static void code_session_close(struct coder *c, struct record_session_close *r)
{
    code_u64(c, &r->session);
    code_enum(c, &r->keep, 0, 1);
}

static void code_heartbeat(struct coder *c, struct record_heartbeat *r)
{
    code_u64(c, &r->trial);
    code_raw(c, r->boot_id, sizeof(r->boot_id));
    code_i64(c, &r->boot_time_us);
}

static void code_snapshot_done(struct coder *c, struct record_snapshot_done *r)
{
    code_u64(c, &r->lsn);
    code_fixed(c, &r->chain);
    code_raw(c, r->digest, sizeof(r->digest));
}

static void code_directions(struct coder *c, struct record_study_create *r)
{
    code_u8(c, &r->direction_count);
    coder_require(c, r->direction_count <= RECORD_DIRECTIONS_MAX);
    if (c->decoding) {
        r->directions = codec_get_bytes(&c->reader, r->direction_count);
        if (!r->directions)
            r->direction_count = 0;
    } else {
        coder_require(c, r->directions || !r->direction_count);
        if (!c->error)
            codec_put_bytes(&c->writer, r->directions, r->direction_count);
    }
    for (unsigned i = 0; i < r->direction_count && !c->error; i++)
        coder_require(c, r->directions[i] <= 1);
}

static void code_space(struct coder *c, const struct record_param **params, uint32_t *count)
{
    const struct record_param *list = c->decoding ? NULL : *params;
    uint32_t n = c->decoding ? 0 : *count;

    CODE_ARRAY(c, struct record_param, list, n, 5, code_param);
    if (c->decoding) {
        *params = list;
        *count = n;
    }
}

static void code_seed(struct coder *c, uint64_t seed[2])
{
    code_fixed(c, &seed[0]);
    code_fixed(c, &seed[1]);
}

static void code_study_create(struct coder *c, struct record_study_create *r)
{
    code_u64(c, &r->study);
    code_name(c, &r->name);
    coder_require(c, r->name.size > 0);
    code_directions(c, r);
    code_seed(c, r->seed);
    code_u32(c, &r->math_version);
    code_u32(c, &r->window);
    code_algorithm(c, &r->sampler);
    code_algorithm(c, &r->pruner);
    code_bool(c, &r->declared);
    if (r->declared)
        code_space(c, &r->params, &r->param_count);
    else
        coder_require(c, r->param_count == 0);
    code_time(c, &r->time);
}

static void code_study_delete(struct coder *c, struct record_study_delete *r)
{
    code_u64(c, &r->study);
}

static void code_study_config(struct coder *c, struct record_study_config *r)
{
    code_u64(c, &r->study);
    code_bool(c, &r->has_sampler);
    if (r->has_sampler)
        code_algorithm(c, &r->sampler);
    code_bool(c, &r->has_pruner);
    if (r->has_pruner)
        code_algorithm(c, &r->pruner);
    code_bool(c, &r->has_space);
    if (r->has_space)
        code_space(c, &r->params, &r->param_count);
    code_bool(c, &r->has_seed);
    if (r->has_seed)
        code_seed(c, r->seed);
    code_bool(c, &r->has_math_version);
    if (r->has_math_version)
        code_u32(c, &r->math_version);
}

static void code_study_attr(struct coder *c, struct record_study_attr *r)
{
    code_u64(c, &r->study);
    code_u64(c, &r->on_behalf);
    code_attr(c, &r->attr);
}

static void code_param_define(struct coder *c, struct record_param_define *r)
{
    code_u64(c, &r->study);
    code_u32(c, &r->param);
    code_param(c, &r->definition);
}

static void code_sampler_state(struct coder *c, struct record_sampler_state *r)
{
    code_u64(c, &r->study);
    code_u64(c, &r->trial);
    CODE_ARRAY(c, struct record_option, r->parts, r->part_count, 2, code_option);
    require_sorted(c, r->parts, r->part_count);
}

static void code_trial_enqueue(struct coder *c, struct record_trial_enqueue *r)
{
    code_u64(c, &r->study);
    code_u64(c, &r->trial);
    code_u64(c, &r->number);
    code_u64(c, &r->on_behalf);
    CODE_ARRAY(c, struct record_value, r->values, r->value_count, 9, code_value);
    code_time(c, &r->time);
}

static void code_trial_begin(struct coder *c, struct record_trial_begin *r)
{
    code_u64(c, &r->study);
    code_u64(c, &r->trial);
    code_u64(c, &r->number);
    code_u64(c, &r->view);
    code_enum(c, &r->mode, VIEW_LOG, VIEW_LIVE);
    code_bool(c, &r->detached);
    code_bool(c, &r->popped);
    code_time(c, &r->time);
}

static void code_trial_import(struct coder *c, struct record_trial_import *r)
{
    code_u64(c, &r->study);
    code_u64(c, &r->trial);
    code_u64(c, &r->number);
    code_enum(c, &r->state, TRIAL_RUNNING, TRIAL_WAITING);
    CODE_ARRAY(c, double, r->objectives, r->objective_count, 8, code_objective);
    coder_require(c, r->objective_count <= RECORD_DIRECTIONS_MAX);
    CODE_ARRAY(c, struct record_value, r->values, r->value_count, 9, code_value);
    CODE_ARRAY(c, struct record_report, r->reports, r->report_count, 9, code_report);
    CODE_ARRAY(c, struct record_attr, r->attrs, r->attr_count, 5, code_whole_attr);
    code_time(c, &r->begin);
    code_time(c, &r->end);
}

/* Slots rise by one as a rule: each is stored as the difference to the one before, three bytes a
 * part. */
static void code_draw_part(struct coder *c, struct record_draw_part *part, uint64_t *slot)
{
    int64_t step = c->decoding ? 0 : (int64_t)(part->slot - *slot);

    code_i64(c, &step);
    code_u64(c, &part->first);
    code_u64(c, &part->count);
    *slot += (uint64_t)step;
    if (c->decoding)
        part->slot = *slot;
}

static void code_draw(struct coder *c, struct record_draw *r)
{
    uint32_t count = c->decoding ? 0 : r->part_count;
    struct record_draw_part *parts;
    uint64_t slot = 0;

    code_u64(c, &r->trial);
    code_u64(c, &r->study);
    code_bool(c, &r->foreign);
    code_u32(c, &r->domain);
    code_u32(c, &r->instance);
    code_u64(c, &r->third);
    parts = code_items(c, r->parts, &count, sizeof(*parts), 3);
    for (uint32_t i = 0; i < count && !c->error; i++)
        code_draw_part(c, &parts[i], &slot);
    code_fixed(c, &r->digest);
    if (c->decoding) {
        r->parts = parts;
        r->part_count = count;
    }
}

static void code_suggest(struct coder *c, struct record_suggest *r)
{
    code_u64(c, &r->trial);
    code_bool(c, &r->joint);
    CODE_ARRAY(c, struct record_value, r->values, r->value_count, 9, code_value);
    code_bytes(c, &r->note);
}

static void code_param_set(struct coder *c, struct record_param_set *r)
{
    code_u64(c, &r->trial);
    code_value(c, &r->value);
    coder_require(c, r->value.asked);
}

static void code_report_of(struct coder *c, struct record_report_of *r)
{
    code_u64(c, &r->trial);
    code_report(c, &r->report);
}

static void code_prune_decision(struct coder *c, struct record_prune_decision *r)
{
    code_u64(c, &r->trial);
    code_i64(c, &r->step);
    code_u64(c, &r->view);
    code_bool(c, &r->prune);
    code_bytes(c, &r->note);
}

static void code_trial_attr(struct coder *c, struct record_trial_attr *r)
{
    code_u64(c, &r->trial);
    code_attr(c, &r->attr);
}

static void code_trial_finish(struct coder *c, struct record_trial_finish *r)
{
    code_u64(c, &r->trial);
    code_enum(c, &r->state, TRIAL_COMPLETE, TRIAL_FAIL);
    code_bool(c, &r->stop);
    CODE_ARRAY(c, double, r->objectives, r->objective_count, 8, code_objective);
    coder_require(c, r->objective_count <= RECORD_DIRECTIONS_MAX);
    code_time(c, &r->time);
}

static void code_trial_rollback(struct coder *c, struct record_trial_rollback *r)
{
    code_u64(c, &r->trial);
    code_u64(c, &r->session);
    code_enum(c, &r->reason, ROLLBACK_DEAD, ROLLBACK_CLOSED);
}

void code_payload(struct coder *c, struct record *r)
{
    switch ((enum record_type)r->type) {
    case RECORD_SESSION_OPEN:
        code_session_open(c, &r->session_open);
        break;
    case RECORD_SESSION_CLOSE:
        code_session_close(c, &r->session_close);
        break;
    case RECORD_HEARTBEAT:
        code_heartbeat(c, &r->heartbeat);
        break;
    case RECORD_SNAPSHOT_DONE:
        code_snapshot_done(c, &r->snapshot_done);
        break;
    case RECORD_STUDY_CREATE:
        code_study_create(c, &r->study_create);
        break;
    case RECORD_STUDY_DELETE:
        code_study_delete(c, &r->study_delete);
        break;
    case RECORD_STUDY_CONFIG:
        code_study_config(c, &r->study_config);
        break;
    case RECORD_STUDY_ATTR:
        code_study_attr(c, &r->study_attr);
        break;
    case RECORD_PARAM_DEFINE:
        code_param_define(c, &r->param_define);
        break;
    case RECORD_SAMPLER_STATE:
        code_sampler_state(c, &r->sampler_state);
        break;
    case RECORD_TRIAL_ENQUEUE:
        code_trial_enqueue(c, &r->trial_enqueue);
        break;
    case RECORD_TRIAL_BEGIN:
        code_trial_begin(c, &r->trial_begin);
        break;
    case RECORD_TRIAL_IMPORT:
        code_trial_import(c, &r->trial_import);
        break;
    case RECORD_DRAW:
        code_draw(c, &r->draw);
        break;
    case RECORD_SUGGEST:
        code_suggest(c, &r->suggest);
        break;
    case RECORD_PARAM_SET:
        code_param_set(c, &r->param_set);
        break;
    case RECORD_REPORT:
        code_report_of(c, &r->report);
        break;
    case RECORD_PRUNE_DECISION:
        code_prune_decision(c, &r->prune_decision);
        break;
    case RECORD_TRIAL_ATTR:
        code_trial_attr(c, &r->trial_attr);
        break;
    case RECORD_TRIAL_FINISH:
        code_trial_finish(c, &r->trial_finish);
        break;
    case RECORD_TRIAL_ROLLBACK:
        code_trial_rollback(c, &r->trial_rollback);
        break;
    }
}

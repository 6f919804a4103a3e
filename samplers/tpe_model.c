/*
 * tpe_model: insertion, removal, and the pass that turns columns into mixtures.
 */
#include "samplers/strict.h"
#include "samplers/tpe_model.h"

#include <assert.h>
#include <string.h>

/* With so many more columns than a trial has parameters all are dropped: names with ever new
 * ranges would pile up. */
#define COLUMNS_SPARE 256
#define NOWHERE UINT32_MAX

void tpe_model_init(struct tpe_model *model, const struct sampler_allocator *allocator)
{
    *model = (struct tpe_model){.allocator = allocator,
                                .below_mixture.allocator = allocator,
                                .above_mixture.allocator = allocator};
}

static void column_release(struct tpe_model *model, struct tpe_column *column)
{
    const struct sampler_allocator *allocator = model->allocator;

    allocator->free(allocator->context, column->value);
    allocator->free(allocator->context, column->slot);
    allocator->free(allocator->context, column->memo);
    *column = (struct tpe_column){0};
}

static void columns_drop(struct tpe_model *model)
{
    for (uint32_t i = 0; i < model->column_count; i++)
        column_release(model, &model->columns[i]);
    model->column_count = 0;
}

void tpe_model_release(struct tpe_model *model)
{
    const struct sampler_allocator *allocator = model->allocator;
    void *const blocks[] = {model->rows,    model->place,         model->keys,  model->slots,
                            model->below,   model->present,       model->group, model->group_param,
                            model->numbers, (void *)model->memos, model->ranks};

    columns_drop(model);
    allocator->free(allocator->context, model->columns);
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
        allocator->free(allocator->context, blocks[i]);
    parzen_release(&model->below_mixture);
    parzen_release(&model->above_mixture);
    tpe_model_init(model, allocator);
}

/* Grow *array to `count` elements. */
static int grow(const struct sampler_allocator *allocator, void *array, size_t count, size_t size)
{
    void **block = array;
    void *grown = allocator->realloc(allocator->context, *block, count * size);

    if (!grown)
        return SAMPLER_NOMEM;
    *block = grown;
    return SAMPLER_OK;
}

double *tpe_model_scratch(struct tpe_model *model, size_t count)
{
    if (count > model->number_capacity) {
        if (grow(model->allocator, &model->numbers, count + count / 2, sizeof(double)) < 0)
            return NULL;
        model->number_capacity = count + count / 2;
    }
    return model->numbers;
}

/* -- values -- */

/*
 * What the trial says about the parameter, on its scale. A value given under another range of the
 * same name counts if it lies in this one (ours: Optuna takes it wherever it lies); one of another
 * list of choices does not.
 */
static bool trial_value(const struct sampler_study *study, const struct sampler_trial *trial,
                        const struct sampler_param *param, double *value)
{
    const struct sampler_distribution *d = &param->distribution;

    for (uint32_t i = 0; i < trial->value_count; i++) {
        const struct sampler_value *given = &trial->values[i];
        const struct sampler_param *as = &study->params[given->param];

        if (as->family != param->family)
            continue;
        if (as->number != param->number &&
            (as->distribution.kind == SAMPLER_CATEGORICAL || d->kind == SAMPLER_CATEGORICAL ||
             !distribution_contains(d, given->value)))
            return false;
        *value =
            d->kind == SAMPLER_CATEGORICAL ? given->value : distribution_to_scale(d, given->value);
        return true;
    }
    return false;
}

/* -- columns -- */

static int column_reserve(struct tpe_model *model, struct tpe_column *column, uint32_t count)
{
    int err;

    if (count > column->capacity) {
        uint32_t capacity = count + count / 2 + 16;

        err = grow(model->allocator, &column->value, capacity, sizeof(*column->value));
        if (err == SAMPLER_OK)
            err = grow(model->allocator, &column->slot, capacity, sizeof(*column->slot));
        if (err < 0)
            return err;
        column->capacity = capacity;
    }
    if (model->seen > column->memo_capacity) {
        uint32_t capacity = model->seen + model->seen / 2 + 16;

        err = grow(model->allocator, &column->memo, capacity, sizeof(*column->memo));
        if (err < 0)
            return err;
        memset(column->memo + column->memo_capacity, 0,
               (capacity - column->memo_capacity) * sizeof(*column->memo));
        column->memo_capacity = capacity;
    }
    return SAMPLER_OK;
}

static int column_insert(struct tpe_model *model, const struct sampler_study *study,
                         struct tpe_column *column, uint32_t slot)
{
    const struct sampler_trial *trial = model->rows[slot];
    uint32_t from = 0, to = column->count;
    double value;
    int err = column_reserve(model, column, column->count + 1);

    if (err < 0)
        return err;
    if (!trial_value(study, trial, &study->params[column->param], &value))
        return SAMPLER_OK;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        double other = column->value[middle];

        if (other < value ||
            (other == value && model->rows[column->slot[middle]]->number < trial->number))
            from = middle + 1;
        else
            to = middle;
    }
    memmove(column->value + from + 1, column->value + from,
            (column->count - from) * sizeof(*column->value));
    memmove(column->slot + from + 1, column->slot + from,
            (column->count - from) * sizeof(*column->slot));
    column->value[from] = value;
    column->slot[from] = slot;
    column->count++;
    return SAMPLER_OK;
}

static void column_cut(struct tpe_column *column, uint32_t seen)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < column->count; i++) {
        column->value[kept] = column->value[i];
        column->slot[kept] = column->slot[i];
        kept += column->slot[i] < seen;
    }
    column->count = kept;
    if (seen < column->memo_capacity)
        memset(column->memo + seen, 0, (column->memo_capacity - seen) * sizeof(*column->memo));
}

/* Sort values and slots together; stable, and they come by number. `values` and `slots` are scratch
 * of the same size. */
static void column_sort(struct tpe_column *column, double *values, uint32_t *slots)
{
    uint32_t count = column->count;

    for (uint32_t width = 1; width < count; width *= 2) {
        for (uint32_t start = 0; start < count; start += 2 * width) {
            uint32_t middle = start + width < count ? start + width : count;
            uint32_t end = middle + width < count ? middle + width : count;
            uint32_t i = start, j = middle;

            for (uint32_t k = start; k < end; k++) {
                bool first = j >= end || (i < middle && column->value[i] <= column->value[j]);
                uint32_t from = first ? i++ : j++;

                values[k] = column->value[from];
                slots[k] = column->slot[from];
            }
        }
        memcpy(column->value, values, count * sizeof(*values));
        memcpy(column->slot, slots, count * sizeof(*slots));
    }
}

/* All finished trials that have a value. */
static int column_fill(struct tpe_model *model, const struct sampler_study *study,
                       struct tpe_column *column)
{
    const struct sampler_allocator *allocator = model->allocator;
    size_t room = model->finished ? model->finished : 1;
    uint8_t *block;
    int err = column_reserve(model, column, model->finished);

    if (err < 0)
        return err;
    block = allocator->alloc(allocator->context, room * (sizeof(double) + sizeof(uint32_t)));
    if (!block)
        return SAMPLER_NOMEM;
    for (uint32_t i = 0; i < model->finished; i++)
        if (trial_value(study, model->keys[i].trial, &study->params[column->param],
                        &column->value[column->count]))
            column->slot[column->count++] = model->slots[i];
    column_sort(column, (double *)(void *)block,
                (uint32_t *)(void *)(block + room * sizeof(double)));
    allocator->free(allocator->context, block);
    return SAMPLER_OK;
}

/* The column of a parameter, made if need be. */
static int column_get(struct tpe_model *model, const struct sampler_study *study, uint32_t param,
                      struct tpe_column **out)
{
    struct tpe_column made = {.param = param};
    int err = SAMPLER_OK;

    for (uint32_t i = 0; i < model->column_count; i++)
        if (model->columns[i].param == param) {
            *out = &model->columns[i];
            return column_reserve(model, *out, (*out)->count);
        }
    if (model->column_count == model->column_capacity) {
        uint32_t capacity = model->column_capacity + 16;

        err = grow(model->allocator, &model->columns, capacity, sizeof(*model->columns));
        if (err < 0)
            return err;
        model->column_capacity = capacity;
    }
    err = column_fill(model, study, &made);
    if (err < 0) {
        column_release(model, &made);
        return err;
    }
    model->columns[model->column_count] = made;
    *out = &model->columns[model->column_count++];
    return SAMPLER_OK;
}

/* -- following -- */

static int reserve_rows(struct tpe_model *model, size_t count)
{
    const struct sampler_allocator *allocator = model->allocator;
    size_t capacity = count + count / 2 + 64;
    int err;

    if (count <= model->row_capacity)
        return SAMPLER_OK;
    if (capacity > UINT32_MAX / 2) /* slots and ranks are 32 bits, one of them a flag */
        return SAMPLER_NOMEM;
    err = grow(allocator, &model->rows, capacity, sizeof(*model->rows));
    if (err == SAMPLER_OK)
        err = grow(allocator, &model->place, capacity, sizeof(*model->place));
    if (err == SAMPLER_OK)
        err = grow(allocator, &model->keys, capacity, sizeof(*model->keys));
    if (err == SAMPLER_OK)
        err = grow(allocator, &model->slots, capacity, sizeof(*model->slots));
    if (err == SAMPLER_OK)
        err = grow(allocator, &model->below, capacity, sizeof(*model->below));
    if (err == SAMPLER_OK)
        model->row_capacity = (uint32_t)capacity;
    return err;
}

static int reserve_params(struct tpe_model *model, const struct sampler_study *study)
{
    uint32_t count = study->param_count;
    int err;

    if (count <= model->param_count)
        return SAMPLER_OK;
    err = grow(model->allocator, &model->present, count, sizeof(*model->present));
    if (err == SAMPLER_OK)
        err = grow(model->allocator, &model->group, count, sizeof(*model->group));
    if (err == SAMPLER_OK)
        err = grow(model->allocator, &model->group_param, count, sizeof(*model->group_param));
    if (err < 0)
        return err;
    for (uint32_t i = model->param_count; i < count; i++) {
        model->present[i] = 0;
        model->group[i] = TPE_NO_GROUP;
    }
    model->param_count = count;
    return SAMPLER_OK;
}

static void count_params(struct tpe_model *model, const struct sampler_trial *trial, uint32_t by)
{
    for (uint32_t i = 0; i < trial->value_count; i++)
        model->present[trial->values[i].param] += by;
}

static void groups_forget(struct tpe_model *model)
{
    for (uint32_t i = 0; i < model->param_count; i++)
        model->group[i] = TPE_NO_GROUP;
    model->group_count = 0;
    model->group_trials = 0;
}

/* Take out what the view does not have. */
static void cut(struct tpe_model *model, uint32_t seen)
{
    uint32_t kept = 0;

    if (seen == model->seen)
        return;
    for (uint32_t i = 0; i < model->finished; i++) {
        if (model->slots[i] >= seen) {
            count_params(model, model->keys[i].trial, UINT32_MAX); /* one less */
            continue;
        }
        model->keys[kept] = model->keys[i];
        model->slots[kept++] = model->slots[i];
    }
    if (kept < model->finished) {
        model->split_known = false;
        groups_forget(model);
    }
    model->finished = kept;
    for (uint32_t i = 0; i < model->column_count; i++)
        column_cut(&model->columns[i], seen);
    model->seen = seen;
}

static int insert(struct tpe_model *model, const struct sampler_study *study, uint32_t slot)
{
    const struct sampler_trial *trial = model->rows[slot];
    uint32_t at = model->finished;
    int err = SAMPLER_OK;

    while (at > 0 && model->keys[at - 1].trial->number > trial->number) {
        model->keys[at] = model->keys[at - 1];
        model->slots[at] = model->slots[at - 1];
        at--;
    }
    model->keys[at] = tpe_key_of(study, trial);
    model->slots[at] = slot;
    model->finished++;
    model->split_known = false;
    if (at < model->group_trials)
        groups_forget(model);
    count_params(model, trial, 1);
    model->widest = trial->value_count > model->widest ? trial->value_count : model->widest;
    for (uint32_t i = 0; err == SAMPLER_OK && i < model->column_count; i++)
        err = column_insert(model, study, &model->columns[i], slot);
    return err;
}

bool tpe_in_bracket(const struct sampler_study *study, const struct tpe_bracket *bracket,
                    const struct sampler_trial *trial)
{
    return bracket->pruner->pruner->bracket(bracket->pruner, study, bracket->resource,
                                            trial->number) == bracket->number;
}

static bool counts(const struct sampler_study *study, const struct tpe_bracket *bracket,
                   const struct sampler_trial *trial)
{
    if (trial->state != SAMPLER_COMPLETE && trial->state != SAMPLER_PRUNED)
        return false;
    return !bracket || tpe_in_bracket(study, bracket, trial);
}

int tpe_model_follow(struct tpe_model *model, const struct sampler_study *study,
                     const struct sampler_view *view, const struct tpe_bracket *bracket)
{
    int err = reserve_rows(model, view->ended_count);

    if (err == SAMPLER_OK)
        err = reserve_params(model, study);
    if (err < 0)
        return err;
    if (model->column_count > model->widest + COLUMNS_SPARE)
        columns_drop(model);
    if (view->ended_count < model->seen)
        cut(model, (uint32_t)view->ended_count);
    while (err == SAMPLER_OK && model->seen < view->ended_count) {
        uint32_t slot = model->seen++;

        model->rows[slot] = view->ended[slot];
        if (counts(study, bracket, model->rows[slot]))
            err = insert(model, study, slot);
    }
    return err;
}

/* -- spaces -- */

static int add_param(const struct sampler_study *study, uint32_t number, uint32_t group,
                     struct space *out)
{
    struct sampler_param param = study->params[number];

    if (!parzen_fits(&param.distribution))
        return SAMPLER_OK;
    param.slot = DRAW_SLOT_JOINT;
    param.group = group;
    return space_add(out, &param);
}

int tpe_model_common(const struct tpe_model *model, const struct sampler_study *study,
                     struct space *out)
{
    int err = SAMPLER_OK;

    for (uint32_t p = 0; err == SAMPLER_OK && p < model->param_count; p++)
        if (model->finished > 0 && model->present[p] == model->finished)
            err = add_param(study, p, 0, out);
    return err;
}

/*
 * One trial more: every group becomes the part in the trial's set and the part outside, and what
 * had no group yet becomes a new one. Groups are numbered in order. `part` has two words a group
 * and the flags `used` one a family.
 */
static void groups_divide(struct tpe_model *model, const struct sampler_study *study,
                          const struct sampler_trial *trial, uint32_t *part, uint8_t *used)
{
    uint32_t next = 0, fresh = 0;

    memset(used, 0, model->param_count);
    memset(part, 0, 2 * (size_t)model->group_count * sizeof(*part));
    for (uint32_t i = 0; i < trial->value_count; i++) {
        uint32_t family = study->params[trial->values[i].param].family;

        used[family] = 1;
        if (model->group[family] == TPE_NO_GROUP) {
            model->group_param[family] = trial->values[i].param;
            fresh++;
        }
    }
    for (uint32_t f = 0; f < model->param_count; f++)
        if (model->group[f] != TPE_NO_GROUP)
            part[2 * model->group[f] + !used[f]] = 1;
    for (uint32_t g = 0; g < 2 * model->group_count; g++)
        part[g] = part[g] ? next++ : TPE_NO_GROUP;
    for (uint32_t f = 0; f < model->param_count; f++) {
        if (model->group[f] != TPE_NO_GROUP)
            model->group[f] = part[2 * model->group[f] + !used[f]];
        else if (used[f])
            model->group[f] = next;
    }
    model->group_count = next + (fresh > 0);
}

int tpe_model_groups(struct tpe_model *model, const struct sampler_study *study, struct space *out)
{
    size_t words = 2 * (size_t)model->param_count + 1;
    uint8_t *block;
    int err = SAMPLER_OK;

    if (model->group_trials < model->finished) {
        block = model->allocator->alloc(model->allocator->context,
                                        words * sizeof(uint32_t) + model->param_count);
        if (!block)
            return SAMPLER_NOMEM;
        for (; model->group_trials < model->finished; model->group_trials++)
            groups_divide(model, study, model->keys[model->group_trials].trial,
                          (uint32_t *)(void *)block, block + words * sizeof(uint32_t));
        model->allocator->free(model->allocator->context, block);
    }
    for (uint32_t f = 0; err == SAMPLER_OK && f < model->param_count; f++)
        if (model->group[f] != TPE_NO_GROUP)
            err = add_param(study, model->group_param[f], model->group[f], out);
    return err;
}

/* -- mixtures -- */

/* A running trial in the mixture of the others. */
struct running {
    const struct sampler_trial *trial;
    uint32_t rank;
};

struct build {
    const struct sampler_study *study;
    const struct sampler_param *params;
    struct tpe_column **columns;
    uint32_t count;
    struct running *running;
    double *values;  /* of running ones, a row for each trial */
    uint32_t *order; /* of running ones, by value within the column at work */
    uint32_t running_count, below, above;
};

static int split(struct tpe_model *model, const struct sampler_study *study)
{
    int err;

    if (model->split_known)
        return SAMPLER_OK;
    err = tpe_split(study, model->keys, model->finished,
                    tpe_below_count(model->finished, study->direction_count), model->allocator,
                    model->below);
    model->split_known = err == SAMPLER_OK;
    return err;
}

/* place[slot]: in how many of the columns the trial is. */
static void count_places(struct tpe_model *model, const struct build *build)
{
    bool everywhere = true;

    for (uint32_t c = 0; c < build->count; c++)
        everywhere = everywhere && build->columns[c]->count == model->finished;
    if (everywhere) {
        for (uint32_t i = 0; i < model->finished; i++)
            model->place[model->slots[i]] = build->count;
        return;
    }
    for (uint32_t i = 0; i < model->finished; i++)
        model->place[model->slots[i]] = 0;
    for (uint32_t c = 0; c < build->count; c++)
        for (uint32_t i = 0; i < build->columns[c]->count; i++)
            model->place[build->columns[c]->slot[i]]++;
}

/* The running trials that have all parameters, with their values. */
static void find_running(struct build *build, const struct sampler_trial *const *running,
                         uint32_t count)
{
    for (uint32_t r = 0; r < count; r++) {
        double *values = build->values + (size_t)build->running_count * build->count;
        uint32_t c = 0;

        while (c < build->count &&
               trial_value(build->study, running[r], &build->params[c], &values[c]))
            c++;
        if (c == build->count)
            build->running[build->running_count++].trial = running[r];
    }
}

/* place[slot] becomes rank << 1 | above, or NOWHERE: ranks by number, on each side. */
static void rank_trials(struct tpe_model *model, struct build *build)
{
    uint32_t r = 0;

    for (uint32_t i = 0; i < model->finished; i++) {
        uint32_t *place = &model->place[model->slots[i]];

        for (; r < build->running_count &&
               build->running[r].trial->number < model->keys[i].trial->number;
             r++)
            build->running[r].rank = build->above++;
        if (*place < build->count)
            *place = NOWHERE;
        else if (model->below[i])
            *place = build->below++ << 1;
        else
            *place = build->above++ << 1 | 1;
    }
    for (; r < build->running_count; r++)
        build->running[r].rank = build->above++;
}

static void sort_running(struct build *build, uint32_t c)
{
    for (uint32_t i = 0; i < build->running_count; i++) {
        uint32_t at = i;

        /* By value; they stand by number already. */
        while (at > 0 && build->values[(size_t)build->order[at - 1] * build->count + c] >
                             build->values[(size_t)i * build->count + c]) {
            build->order[at] = build->order[at - 1];
            at--;
        }
        build->order[at] = i;
    }
}

/* Deal the column's trials, in their order, to the two sides. */
static void build_column(struct tpe_model *model, struct build *build, uint32_t c)
{
    const struct tpe_column *column = build->columns[c];
    uint32_t below = 0, above = build->below, r = 0;
    /* Below from the start of the arrays, above behind them. */
    double *value = model->numbers;
    struct parzen_observations observations = {.value = value, .kernel = model->ranks};

    sort_running(build, c);
    for (uint32_t i = 0; i <= column->count; i++) {
        bool last = i == column->count;
        const struct sampler_trial *trial = last ? NULL : model->rows[column->slot[i]];

        for (; r < build->running_count; r++) {
            const struct running *other = &build->running[build->order[r]];
            double at = build->values[(size_t)build->order[r] * build->count + c];

            if (!last && (at > column->value[i] ||
                          (at == column->value[i] && other->trial->number > trial->number)))
                break;
            value[above] = at;
            model->ranks[above] = other->rank;
            model->memos[above++] = NULL;
        }
        if (last)
            break;

        uint32_t place = model->place[column->slot[i]];
        uint32_t to = place & 1 ? above : below;

        if (place == NOWHERE)
            continue;
        value[to] = column->value[i];
        model->ranks[to] = place >> 1;
        model->memos[to] = &column->memo[column->slot[i]];
        above += place & 1;
        below += !(place & 1);
    }
    assert(below == build->below && above == build->below + build->above);
    parzen_column(&model->below_mixture, c, &build->params[c].distribution, &observations);
    observations.value += build->below;
    observations.kernel += build->below;
    observations.memos = model->memos + build->below;
    parzen_column(&model->above_mixture, c, &build->params[c].distribution, &observations);
}

static int reserve_observations(struct tpe_model *model, size_t count)
{
    int err = tpe_model_scratch(model, count) ? SAMPLER_OK : SAMPLER_NOMEM;

    if (err == SAMPLER_OK && count > model->observation_capacity) {
        size_t capacity = count + count / 2;

        err = grow(model->allocator, &model->memos, capacity, sizeof(struct parzen_memo *));
        if (err == SAMPLER_OK)
            err = grow(model->allocator, &model->ranks, capacity, sizeof(*model->ranks));
        if (err == SAMPLER_OK)
            model->observation_capacity = capacity;
    }
    return err;
}

static int build_mixtures(struct tpe_model *model, struct build *build,
                          const struct sampler_trial *const *running, uint32_t running_count)
{
    int err = split(model, build->study);

    if (err < 0)
        return err;
    count_places(model, build);
    find_running(build, running, running_count);
    rank_trials(model, build);
    err = reserve_observations(model, (size_t)build->below + build->above + 1);
    if (err == SAMPLER_OK)
        err = parzen_begin(&model->below_mixture, build->below, build->count,
                           build->study->direction_count > 1);
    if (err == SAMPLER_OK)
        err = parzen_begin(&model->above_mixture, build->above, build->count, false);
    for (uint32_t c = 0; err == SAMPLER_OK && c < build->count; c++)
        build_column(model, build, c);
    return err;
}

int tpe_model_build(struct tpe_model *model, const struct sampler_study *study,
                    const struct sampler_trial *const *running, uint32_t running_count,
                    const struct sampler_param *params, uint32_t count)
{
    const struct sampler_allocator *allocator = model->allocator;
    struct build build = {.study = study, .params = params, .count = count};
    size_t pointers = count * sizeof(*build.columns);
    size_t trials = (size_t)running_count * sizeof(*build.running);
    size_t values = (size_t)running_count * count * sizeof(double);
    uint8_t *block;
    int err = SAMPLER_OK;

    /* Columns may move while others are made, so all are made first. */
    for (uint32_t c = 0; err == SAMPLER_OK && c < count; c++) {
        struct tpe_column *column;

        err = column_get(model, study, params[c].number, &column);
    }
    if (err < 0)
        return err;
    block = allocator->alloc(allocator->context,
                             pointers + trials + values + running_count * sizeof(uint32_t) + 1);
    if (!block)
        return SAMPLER_NOMEM;
    build.columns = (struct tpe_column **)(void *)block;
    build.running = (struct running *)(void *)(block + pointers);
    build.values = (double *)(void *)(block + pointers + trials);
    build.order = (uint32_t *)(void *)(block + pointers + trials + values);
    for (uint32_t c = 0; err == SAMPLER_OK && c < count; c++)
        err = column_get(model, study, params[c].number, &build.columns[c]);
    if (err == SAMPLER_OK)
        err = build_mixtures(model, &build, running, running_count);
    allocator->free(allocator->context, block);
    return err;
}

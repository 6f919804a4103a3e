/*
 * The bytes of records: every type in both directions, and every way to damage them.
 */
#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "hpo.h"
#include "os_linux.h"
#include "record_maker.h"

#define SEED 20240229u

struct bench {
    struct record_buffer buffer, again;
    struct record_scratch scratch;
    struct maker maker;
};

static void bench_init(struct bench *bench, uint64_t seed)
{
    memset(bench, 0, sizeof(*bench));
    bench->buffer.os = bench->again.os = bench->scratch.os = os_linux();
    maker_init(&bench->maker, seed);
}

static void bench_release(struct bench *bench)
{
    record_buffer_release(&bench->buffer);
    record_buffer_release(&bench->again);
    record_scratch_release(&bench->scratch);
    maker_release(&bench->maker);
}

static void encode_random(struct bench *bench, uint8_t type)
{
    struct record record = maker_record(&bench->maker, type);

    record_buffer_clear(&bench->buffer);
    cr_assert_eq(record_encode(&bench->buffer, &record), 0, "type %u, seed %llu", type,
                 (unsigned long long)bench->maker.state);
}

/* What decodes must encode to the same bytes (R1); what does not must say so. */
static void assert_rejected_or_same(struct bench *bench, const uint8_t *bytes, size_t size)
{
    struct record record;
    size_t used;
    int err;

    record_scratch_reset(&bench->scratch);
    err = record_decode(bytes, size, &bench->scratch, &record, &used);
    if (err < 0) {
        cr_assert(err == HPO_CORRUPT || err == HPO_UNSUPPORTED);
        return;
    }
    cr_assert(used <= size && used % 8 == 0);
    if (record.skipped)
        return;
    record_buffer_clear(&bench->again);
    cr_assert_eq(record_encode(&bench->again, &record), 0);
    cr_assert_eq(bench->again.size, used);
    cr_assert_eq(memcmp(bench->again.data, bytes, used), 0, "%s decodes from two encodings",
                 record_type_name(record.type));
}

Test(record, every_type_round_trips)
{
    uint64_t rounds = maker_scaled(20000);
    struct bench bench;
    struct record record;
    size_t used;

    bench_init(&bench, SEED);
    for (unsigned t = 0; maker_type(t); t++) {
        for (uint64_t i = 0; i < rounds; i++) {
            encode_random(&bench, maker_type(t));
            record_scratch_reset(&bench.scratch);
            cr_assert_eq(
                record_decode(bench.buffer.data, bench.buffer.size, &bench.scratch, &record, &used),
                0);
            cr_assert_eq(used, bench.buffer.size);
            cr_assert_eq(record.type, maker_type(t));
            record_buffer_clear(&bench.again);
            cr_assert_eq(record_encode(&bench.again, &record), 0);
            cr_assert_eq(bench.again.size, bench.buffer.size);
            cr_assert_eq(memcmp(bench.again.data, bench.buffer.data, used), 0);
        }
    }
    bench_release(&bench);
}

Test(record, a_finish_has_these_bytes)
{
    static const uint8_t expected[] = {
        /* length 30, type 41, version 1, flags 0 */
        30, 0, 0, 0, 41, 1, 0, 0,
        /* trial 300 as varint, COMPLETE, no stop, one objective 1.0 */
        0xac, 0x02, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f,
        /* time 258 us, UTC; padding */
        2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    double one = 1.0;
    struct record record = {.type = RECORD_TRIAL_FINISH,
                            .trial_finish = {.trial = 300,
                                             .state = TRIAL_COMPLETE,
                                             .objectives = &one,
                                             .objective_count = 1,
                                             .time = {.us = 258, .kind = 0}}};
    struct bench bench;

    bench_init(&bench, SEED);
    cr_assert_eq(record_encode(&bench.buffer, &record), 0);
    cr_assert_eq(bench.buffer.size, sizeof(expected));
    cr_assert_arr_eq(bench.buffer.data, expected, sizeof(expected));
    bench_release(&bench);
}

Test(record, what_is_decoded_is_what_was_said)
{
    struct record_choice choices[] = {
        {.type = CHOICE_NULL},
        {.type = CHOICE_BOOL, .boolean = true},
        {.type = CHOICE_INT, .integer = INT64_MIN},
        {.type = CHOICE_FLOAT, .real = -0.5},
        {.type = CHOICE_TEXT, .text = {.data = (const uint8_t *)"adam", .size = 4}}};
    struct record record = {
        .type = RECORD_PARAM_DEFINE,
        .param_define = {.study = 7,
                         .param = UINT32_MAX,
                         .definition = {.name = {.data = (const uint8_t *)"opt", .size = 3},
                                        .distribution = {.kind = DISTRIBUTION_CATEGORICAL,
                                                         .choices = choices,
                                                         .choice_count = 5}}}};
    struct record_param_define *got;
    struct bench bench;
    struct record out;
    size_t used;

    bench_init(&bench, SEED);
    cr_assert_eq(record_encode(&bench.buffer, &record), 0);
    cr_assert_eq(record_decode(bench.buffer.data, bench.buffer.size, &bench.scratch, &out, &used),
                 0);
    got = &out.param_define;
    cr_assert_eq(got->study, 7);
    cr_assert_eq(got->param, UINT32_MAX);
    cr_assert_eq(got->definition.name.size, 3);
    cr_assert_eq(memcmp(got->definition.name.data, "opt", 3), 0);
    cr_assert_eq(got->definition.distribution.choice_count, 5);
    cr_assert_eq(got->definition.distribution.choices[1].boolean, true);
    cr_assert_eq(got->definition.distribution.choices[2].integer, INT64_MIN);
    cr_assert_eq(got->definition.distribution.choices[3].real, -0.5);
    cr_assert_eq(memcmp(got->definition.distribution.choices[4].text.data, "adam", 4), 0);
    bench_release(&bench);
}

Test(record, a_trial_with_ten_declared_parameters_begins_in_one_sector)
{
    struct record_draw_part parts[10];
    struct record_value values[10];
    struct record begin = {
        .type = RECORD_TRIAL_BEGIN,
        .trial_begin = {.study = 3, .trial = 100000, .number = 99000, .view = 500000}};
    struct record draw = {.type = RECORD_DRAW,
                          .draw = {.trial = 100000,
                                   .study = 3,
                                   .domain = 2,
                                   .third = 99000,
                                   .parts = parts,
                                   .part_count = 10}};
    struct record suggest = {
        .type = RECORD_SUGGEST,
        .suggest = {.trial = 100000, .joint = true, .values = values, .value_count = 10}};
    double loss = 0.25;
    struct record finish = {
        .type = RECORD_TRIAL_FINISH,
        .trial_finish = {
            .trial = 100000, .state = TRIAL_COMPLETE, .objectives = &loss, .objective_count = 1}};
    struct bench bench;

    for (uint32_t i = 0; i < 10; i++) {
        parts[i] = (struct record_draw_part){.slot = i + 1, .first = 0, .count = 1};
        values[i] = (struct record_value){.param = i, .asked = true, .value = 0.1};
    }
    begin.trial_begin.time.us = finish.trial_finish.time.us = 1700000000000000;
    bench_init(&bench, SEED);
    cr_assert_eq(record_encode(&bench.buffer, &begin), 0);
    cr_assert_eq(record_encode(&bench.buffer, &draw), 0);
    cr_assert_eq(record_encode(&bench.buffer, &suggest), 0);
    cr_assert_leq(40 + bench.buffer.size, 300, "%zu bytes", bench.buffer.size);
    record_buffer_clear(&bench.buffer);
    cr_assert_eq(record_encode(&bench.buffer, &finish), 0);
    cr_assert_leq(40 + bench.buffer.size, 80, "%zu bytes", bench.buffer.size);
    bench_release(&bench);
}

Test(record, every_truncation_is_damage)
{
    uint64_t rounds = maker_scaled(300);
    struct bench bench;
    struct record record;
    size_t used;

    bench_init(&bench, SEED + 1);
    for (unsigned t = 0; maker_type(t); t++) {
        for (uint64_t i = 0; i < rounds; i++) {
            encode_random(&bench, maker_type(t));
            if (bench.buffer.size > 2000)
                continue;
            for (size_t size = 0; size < bench.buffer.size; size++) {
                /* An allocation of exactly that size: reading beyond it would be seen. */
                uint8_t *cut = malloc(size + 1);

                memcpy(cut, bench.buffer.data, size);
                record_scratch_reset(&bench.scratch);
                cr_assert_eq(record_decode(cut, size, &bench.scratch, &record, &used), HPO_CORRUPT);
                free(cut);
            }
        }
    }
    bench_release(&bench);
}

Test(record, a_length_that_ends_too_early_is_damage_or_another_record)
{
    uint64_t rounds = maker_scaled(300);
    struct bench bench;

    bench_init(&bench, SEED + 2);
    for (unsigned t = 0; maker_type(t); t++) {
        for (uint64_t i = 0; i < rounds; i++) {
            encode_random(&bench, maker_type(t));
            if (bench.buffer.size > 2000)
                continue;
            for (uint32_t length = 0; length < bench.buffer.size; length++) {
                size_t padded = (length + 7) & ~(size_t)7;
                uint8_t *cut = calloc(1, padded + 8);

                memcpy(cut, bench.buffer.data, length);
                memcpy(cut, &length, sizeof(length));
                assert_rejected_or_same(&bench, cut, padded);
                free(cut);
            }
        }
    }
    bench_release(&bench);
}

Test(record, every_flipped_bit_is_damage_or_another_record)
{
    uint64_t rounds = maker_scaled(300);
    struct bench bench;

    bench_init(&bench, SEED + 3);
    for (unsigned t = 0; maker_type(t); t++) {
        for (uint64_t i = 0; i < rounds; i++) {
            encode_random(&bench, maker_type(t));
            if (bench.buffer.size > 600)
                continue;
            for (size_t bit = 0; bit < bench.buffer.size * 8; bit++) {
                bench.buffer.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
                assert_rejected_or_same(&bench, bench.buffer.data, bench.buffer.size);
                bench.buffer.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            }
        }
    }
    bench_release(&bench);
}

/* Lengths and counts are single bytes where they are small: each byte once as each extreme. */
Test(record, every_length_and_count_made_extreme_is_damage_or_another_record)
{
    static const uint8_t extremes[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    uint64_t rounds = maker_scaled(300);
    struct bench bench;

    bench_init(&bench, SEED + 4);
    for (unsigned t = 0; maker_type(t); t++) {
        for (uint64_t i = 0; i < rounds; i++) {
            encode_random(&bench, maker_type(t));
            if (bench.buffer.size > 600)
                continue;
            for (size_t at = 0; at < bench.buffer.size; at++) {
                uint8_t before = bench.buffer.data[at];

                for (unsigned e = 0; e < sizeof(extremes); e++) {
                    bench.buffer.data[at] = extremes[e];
                    assert_rejected_or_same(&bench, bench.buffer.data, bench.buffer.size);
                }
                for (unsigned e = 0; e < 4 && at + 4 <= bench.buffer.size; e++) {
                    uint8_t four[4];

                    memcpy(four, bench.buffer.data + at, 4);
                    memset(bench.buffer.data + at, 0xff, 4);
                    bench.buffer.data[at + 3] = extremes[e];
                    assert_rejected_or_same(&bench, bench.buffer.data, bench.buffer.size);
                    memcpy(bench.buffer.data + at, four, 4);
                }
                bench.buffer.data[at] = before;
            }
        }
    }
    bench_release(&bench);
}

Test(record, padding_says_nothing)
{
    struct record record = {.type = RECORD_STUDY_DELETE, .study_delete = {.study = 1}};
    struct bench bench;
    struct record out;
    size_t used;

    bench_init(&bench, SEED);
    cr_assert_eq(record_encode(&bench.buffer, &record), 0);
    cr_assert_eq(bench.buffer.size, 16);
    for (size_t at = 9; at < 16; at++) {
        bench.buffer.data[at] = 1;
        cr_assert_eq(record_decode(bench.buffer.data, 16, &bench.scratch, &out, &used),
                     HPO_CORRUPT);
        bench.buffer.data[at] = 0;
    }
    cr_assert_eq(record_decode(bench.buffer.data, 16, &bench.scratch, &out, &used), 0);
    bench_release(&bench);
}

Test(record, an_unknown_type_is_refused_unless_it_may_be_skipped)
{
    uint8_t bytes[24] = {20, 0, 0, 0, 200, 9, 0, 0, 1, 2, 3};
    struct bench bench;
    struct record out;
    size_t used;

    bench_init(&bench, SEED);
    cr_assert_eq(record_decode(bytes, sizeof(bytes), &bench.scratch, &out, &used), HPO_UNSUPPORTED);
    bytes[7] = 0x80;
    cr_assert_eq(record_decode(bytes, sizeof(bytes), &bench.scratch, &out, &used), 0);
    cr_assert(out.skipped && out.type == 200);
    cr_assert_eq(used, 24);
    cr_assert_str_eq(record_type_name(200), "?");
    cr_assert_eq(record_encode(&bench.buffer, &out), HPO_INVALID);
    bench_release(&bench);
}

Test(record, a_known_type_of_another_version_is_refused)
{
    struct record record = {.type = RECORD_STUDY_DELETE, .study_delete = {.study = 1}};
    struct bench bench;
    struct record out;
    size_t used;

    bench_init(&bench, SEED);
    cr_assert_eq(record_encode(&bench.buffer, &record), 0);
    bench.buffer.data[5] = 2;
    cr_assert_eq(record_decode(bench.buffer.data, 16, &bench.scratch, &out, &used),
                 HPO_UNSUPPORTED);
    bench.buffer.data[5] = 1;
    bench.buffer.data[7] = 0x80; /* one that nobody may skip, marked as if one might */
    cr_assert_eq(record_decode(bench.buffer.data, 16, &bench.scratch, &out, &used),
                 HPO_UNSUPPORTED);
    bench_release(&bench);
}

Test(record, nan_has_one_encoding)
{
    struct record record = {.type = RECORD_REPORT, .report = {.trial = 1, .report = {.step = 0}}};
    uint64_t negative_nan = 0xfff8000000000123u, bits;
    struct bench bench;
    struct record out;
    size_t used;

    memcpy(&record.report.report.value, &negative_nan, 8);
    bench_init(&bench, SEED);
    cr_assert_eq(record_encode(&bench.buffer, &record), 0);
    cr_assert_eq(record_decode(bench.buffer.data, bench.buffer.size, &bench.scratch, &out, &used),
                 0);
    memcpy(&bits, &out.report.report.value, 8);
    cr_assert_eq(bits, 0x7ff8000000000000u);
    memcpy(bench.buffer.data + 10, &negative_nan, 8);
    cr_assert_eq(record_decode(bench.buffer.data, bench.buffer.size, &bench.scratch, &out, &used),
                 HPO_CORRUPT);
    bench_release(&bench);
}

Test(record, an_objective_is_never_nan)
{
    double nan = NAN;
    struct record record = {
        .type = RECORD_TRIAL_FINISH,
        .trial_finish = {
            .trial = 1, .state = TRIAL_COMPLETE, .objectives = &nan, .objective_count = 1}};
    struct bench bench;

    bench_init(&bench, SEED);
    cr_assert_eq(record_encode(&bench.buffer, &record), HPO_INVALID);
    bench_release(&bench);
}

Test(record, limits_are_the_same_when_writing)
{
    uint8_t *large = calloc(1, RECORD_SIZE_MAX + 1);
    struct record record = {
        .type = RECORD_TRIAL_ATTR,
        .trial_attr = {.trial = 1,
                       .attr = {.piece = 1, .pieces = 1, .key = {large, RECORD_NAME_MAX}}}};
    struct bench bench;
    size_t size;

    bench_init(&bench, SEED);
    cr_assert_eq(record_encode(&bench.buffer, &record), 0);
    size = bench.buffer.size;
    record.trial_attr.attr.key.size++;
    cr_assert_eq(record_encode(&bench.buffer, &record), HPO_TOO_LARGE);
    record.trial_attr.attr.key.size = 3;
    record.trial_attr.attr.value = (struct bytes){large, RECORD_SIZE_MAX - 19};
    cr_assert_eq(record_encode(&bench.buffer, &record), 0);
    record.trial_attr.attr.value.size++;
    cr_assert_eq(record_encode(&bench.buffer, &record), HPO_TOO_LARGE);
    record.trial_attr.attr.value.size = SIZE_MAX;
    cr_assert_eq(record_encode(&bench.buffer, &record), HPO_TOO_LARGE);
    cr_assert_eq(bench.buffer.size, size + RECORD_SIZE_MAX,
                 "a refused record left something behind");
    cr_assert_eq(bench.buffer.count, 2);
    free(large);
    bench_release(&bench);
}

Test(record, a_batch_holds_65535_records)
{
    struct record record = {.type = RECORD_STUDY_DELETE, .study_delete = {.study = 1}};
    struct bench bench;

    bench_init(&bench, SEED);
    for (unsigned i = 0; i < 65535; i++)
        cr_assert_eq(record_encode(&bench.buffer, &record), 0);
    cr_assert_eq(record_encode(&bench.buffer, &record), HPO_TOO_LARGE);
    cr_assert_eq(bench.buffer.count, 65535);
    bench_release(&bench);
}

static void assert_invalid(struct bench *bench, const struct record *record, int line)
{
    cr_assert_eq(record_encode(&bench->buffer, record), HPO_INVALID, "line %d", line);
    cr_assert_eq(bench->buffer.size, 0);
}

static struct record define(struct record_distribution distribution)
{
    return (struct record){
        .type = RECORD_PARAM_DEFINE,
        .param_define = {.study = 1, .definition = {.distribution = distribution}}};
}

Test(record, a_distribution_that_cannot_be_is_not_written)
{
    struct record_distribution bad[] = {
        {.kind = 0},
        {.kind = 4},
        {.kind = DISTRIBUTION_FLOAT, .low = 1, .high = 0},
        {.kind = DISTRIBUTION_FLOAT, .low = NAN, .high = 0},
        {.kind = DISTRIBUTION_FLOAT, .low = 0, .high = INFINITY},
        {.kind = DISTRIBUTION_FLOAT, .low = 0, .high = 1, .log = true},
        {.kind = DISTRIBUTION_FLOAT, .low = 0, .high = 1, .has_step = true, .step = 0},
        {.kind = DISTRIBUTION_FLOAT, .low = 1, .high = 2, .log = true, .has_step = true, .step = 1},
        {.kind = DISTRIBUTION_INT, .low_int = 1, .high_int = 0},
        {.kind = DISTRIBUTION_INT, .low_int = 0, .high_int = 3, .log = true},
        {.kind = DISTRIBUTION_INT, .low_int = 0, .high_int = 3, .has_step = true, .step_int = 1},
        {.kind = DISTRIBUTION_CATEGORICAL},
        {.kind = DISTRIBUTION_CATEGORICAL,
         .log = true,
         .choice_count = 1,
         .choices = &(struct record_choice){0}},
        {.kind = DISTRIBUTION_CATEGORICAL,
         .choice_count = 1,
         .choices = &(struct record_choice){.type = 5}},
    };
    struct bench bench;

    bench_init(&bench, SEED);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct record record = define(bad[i]);

        assert_invalid(&bench, &record, (int)i);
    }
    bench_release(&bench);
}

Test(record, options_are_sorted_and_each_is_there_once)
{
    struct record_option twice[] = {{.key = {(const uint8_t *)"a", 1}},
                                    {.key = {(const uint8_t *)"a", 1}}};
    struct record_option falls[] = {{.key = {(const uint8_t *)"ab", 2}},
                                    {.key = {(const uint8_t *)"a", 1}}};
    struct record record = {.type = RECORD_SAMPLER_STATE,
                            .sampler_state = {.parts = twice, .part_count = 2}};
    struct bench bench;

    bench_init(&bench, SEED);
    assert_invalid(&bench, &record, __LINE__);
    record.sampler_state.parts = falls;
    assert_invalid(&bench, &record, __LINE__);
    record.sampler_state.part_count = 1;
    cr_assert_eq(record_encode(&bench.buffer, &record), 0);
    bench_release(&bench);
}

Test(record, fields_out_of_range_are_not_written)
{
    uint8_t up = 2;
    struct record records[] = {
        {.type = RECORD_SESSION_CLOSE, .session_close = {.keep = 2}},
        {.type = RECORD_STUDY_CREATE, .study_create = {.name = {0}}},
        {.type = RECORD_STUDY_CREATE,
         .study_create = {.name = {(const uint8_t *)"n", 1},
                          .directions = &up,
                          .direction_count = 1}},
        {.type = RECORD_TRIAL_BEGIN, .trial_begin = {.mode = 3}},
        {.type = RECORD_TRIAL_BEGIN, .trial_begin = {.time = {.us = 1, .kind = 255}}},
        {.type = RECORD_TRIAL_BEGIN, .trial_begin = {.time = {.kind = 2}}},
        {.type = RECORD_TRIAL_FINISH, .trial_finish = {.state = TRIAL_RUNNING}},
        {.type = RECORD_TRIAL_FINISH, .trial_finish = {.state = TRIAL_WAITING}},
        {.type = RECORD_TRIAL_ROLLBACK, .trial_rollback = {.reason = 0}},
        {.type = RECORD_PARAM_SET, .param_set = {.value = {.asked = false}}},
        {.type = RECORD_TRIAL_ATTR, .trial_attr = {.attr = {.space = 3, .piece = 1, .pieces = 1}}},
        {.type = RECORD_TRIAL_ATTR, .trial_attr = {.attr = {.piece = 2, .pieces = 1}}},
        {.type = RECORD_TRIAL_ATTR, .trial_attr = {.attr = {.piece = 0, .pieces = 1}}},
        {.type = 0},
    };
    struct bench bench;

    bench_init(&bench, SEED);
    for (unsigned i = 0; i < sizeof(records) / sizeof(records[0]); i++)
        assert_invalid(&bench, &records[i], (int)i);
    bench_release(&bench);
}

/* A count that promises more than there is must not make anyone allocate for it (R3). */
static size_t largest;

static void *counting_alloc(void *self, size_t size)
{
    (void)self;
    largest = size > largest ? size : largest;
    return malloc(size);
}

Test(record, a_count_is_not_believed_before_its_bytes_are_there)
{
    /* SUGGEST {trial 1, joint 0, 2^32 - 1 values} and nothing behind */
    uint8_t bytes[16] = {15, 0, 0, 0, RECORD_SUGGEST, 1, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f};
    struct hpo_os os = *os_linux();
    struct record_scratch scratch = {.os = &os};
    struct record out;
    size_t used;

    os.alloc = counting_alloc;
    cr_assert_eq(record_decode(bytes, sizeof(bytes), &scratch, &out, &used), HPO_CORRUPT);
    cr_assert_eq(largest, 0);
    record_scratch_release(&scratch);
}

static void *no_memory(void *self, size_t size)
{
    (void)self;
    (void)size;
    return NULL;
}

static void *no_more_memory(void *self, void *old, size_t size)
{
    (void)self;
    (void)old;
    (void)size;
    return NULL;
}

Test(record, without_memory_nothing_is_half_done)
{
    struct hpo_os os = *os_linux();
    struct record_scratch scratch = {.os = &os};
    struct record_buffer buffer = {.os = &os};
    struct bench bench;
    struct record out, record = {.type = RECORD_STUDY_DELETE};
    size_t used;

    bench_init(&bench, SEED);
    do
        encode_random(&bench, RECORD_DRAW);
    while (bench.buffer.size < 64);
    os.alloc = no_memory;
    os.realloc = no_more_memory;
    cr_assert_eq(record_decode(bench.buffer.data, bench.buffer.size, &scratch, &out, &used),
                 HPO_NOMEM);
    cr_assert_eq(record_encode(&buffer, &record), HPO_NOMEM);
    cr_assert(buffer.size == 0 && buffer.count == 0);
    bench_release(&bench);
}

Test(record, a_parameter_alone_has_the_bytes_that_it_has_inside)
{
    uint64_t rounds = maker_scaled(10000);
    struct record_param param;
    struct bench bench;
    size_t used;

    bench_init(&bench, SEED + 5);
    for (uint64_t i = 0; i < rounds; i++) {
        struct record record = maker_record(&bench.maker, RECORD_PARAM_DEFINE);

        record_buffer_clear(&bench.buffer);
        record_buffer_clear(&bench.again);
        cr_assert_eq(record_encode_param(&bench.buffer, &record.param_define.definition), 0);
        record_scratch_reset(&bench.scratch);
        cr_assert_eq(record_decode_param(bench.buffer.data, bench.buffer.size, &bench.scratch,
                                         &param, &used),
                     0);
        cr_assert_eq(used, bench.buffer.size);
        cr_assert_eq(record_encode_param(&bench.again, &param), 0);
        cr_assert_eq(bench.again.size, bench.buffer.size);
        cr_assert_eq(memcmp(bench.again.data, bench.buffer.data, used), 0);
    }
    bench_release(&bench);
}

Test(record, every_type_has_a_name)
{
    for (unsigned t = 0; maker_type(t); t++)
        cr_assert_str_neq(record_type_name(maker_type(t)), "?");
}

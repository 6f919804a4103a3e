/*
 * Streams, variates, and the record of what was drawn.
 */
#include "samplers_support.h"
#include "samplers/draw.h"

#include <xxhash.h>

static const struct philox_key KEY = {{UINT64_C(0xfedcba9876543210), UINT64_C(0x0123456789abcdef)}};

/* -- variates -- */

Test(draw, one_word_makes_each_variate_of_the_vectors)
{
    json_t *root = vectors_load("philox.json");
    json_t *variates = vectors_get(root, "variates");

    cr_assert_eq(json_array_size(variates), 64);
    for (size_t i = 0; i < 64; i++) {
        const json_t *variate = json_array_get(variates, i);
        uint64_t word = vectors_word(vectors_get(variate, "word"));

        cr_assert_eq(uniform_from_word(word), vectors_double(vectors_get(variate, "uniform")));
        cr_assert_eq(open_from_word(word), vectors_double(vectors_get(variate, "open")));
        double normal = vectors_double(vectors_get(variate, "normal"));

        cr_assert_leq(fabs(normal_from_word(word) - normal), 1e-15 * fabs(normal));
        cr_assert_eq(word >> 32, vectors_word(vectors_get(variate, "u32")));
    }
    json_decref(root);
}

Test(draw, open_unit_never_is_an_end_and_mirrors_exactly)
{
    struct test_random random = {7};

    cr_assert_gt(open_from_word(0), 0);
    cr_assert_lt(open_from_word(UINT64_MAX), 1);
    for (int i = 0; i < 100000; i++) {
        uint64_t word = test_word64(&random);

        cr_assert_eq(open_from_word(~word), 1 - open_from_word(word));
        cr_assert_eq(normal_from_word(~word), -normal_from_word(word));
    }
}

Test(draw, stream_variates_are_those_of_their_words)
{
    struct stream words, stream;

    stream_open(&words, &KEY, DRAW_NSGA2, 3, 55, 0, 0, NULL);
    stream_open(&stream, &KEY, DRAW_NSGA2, 3, 55, 0, 0, NULL);
    cr_assert_eq(stream_uniform(&stream), uniform_from_word(stream_word(&words)));
    cr_assert_eq(stream_open_unit(&stream), open_from_word(stream_word(&words)));
    cr_assert_eq(stream_u32(&stream), (uint32_t)(stream_word(&words) >> 32));
    cr_assert_eq(stream_normal(&stream), normal_from_word(stream_word(&words)));
    cr_assert_eq(stream.position, 4); /* W1 */
}

Test(draw, integers_of_the_vectors_come_out_with_their_rejections)
{
    json_t *root = vectors_load("philox.json");
    json_t *integers = vectors_get(root, "integers");
    int rejections = 0;

    cr_assert_eq(json_array_size(integers), 14);
    for (size_t i = 0; i < 14; i++) {
        const json_t *row = json_array_get(integers, i);
        const json_t *values = vectors_get(row, "values"), *used = vectors_get(row, "words_used");
        uint64_t n = strtoull(json_string_value(vectors_get(row, "n")), NULL, 10), before = 0;
        struct philox_key key;
        struct stream stream;

        vectors_seed(vectors_get(row, "seed"), key.words);
        stream_open(&stream, &key, (uint32_t)vectors_word(vectors_get(row, "domain")), 0,
                    vectors_word(vectors_get(row, "third")), vectors_word(vectors_get(row, "slot")),
                    0, NULL);
        for (size_t v = 0; v < json_array_size(values); v++) {
            uint64_t expected = strtoull(json_string_value(json_array_get(values, v)), NULL, 10);

            cr_assert_eq(stream_below(&stream, n), expected, "row %zu value %zu", i, v);
            cr_assert_eq(stream.position - before, vectors_word(json_array_get(used, v)));
            rejections += stream.position - before > 1;
            before = stream.position;
        }
    }
    cr_assert_gt(rejections, 3);
    json_decref(root);
}

Test(draw, permutations_of_the_vectors_come_out)
{
    json_t *root = vectors_load("philox.json");
    json_t *permutations = vectors_get(root, "permutations");

    cr_assert_eq(json_array_size(permutations), 4);
    for (size_t i = 0; i < 4; i++) {
        const json_t *row = json_array_get(permutations, i);
        const json_t *expected = vectors_get(row, "order");
        uint32_t n = (uint32_t)vectors_word(vectors_get(row, "n"));
        uint32_t *order = calloc(n, sizeof(*order));
        struct philox_key key;
        struct stream stream;

        vectors_seed(vectors_get(row, "seed"), key.words);
        stream_open(&stream, &key, (uint32_t)vectors_word(vectors_get(row, "domain")),
                    (uint32_t)vectors_word(vectors_get(row, "instance")),
                    vectors_word(vectors_get(row, "third")), vectors_word(vectors_get(row, "slot")),
                    0, NULL);
        stream_permutation(&stream, order, n);
        cr_assert_eq(json_array_size(expected), n);
        for (uint32_t k = 0; k < n; k++)
            cr_assert_eq(order[k], vectors_word(json_array_get(expected, k)));
        cr_assert_eq(stream.position, vectors_word(vectors_get(row, "words_used")));
        free(order);
    }
    json_decref(root);
}

Test(draw, a_stream_can_be_entered_anywhere)
{
    struct stream whole, part;
    uint64_t words[40];

    stream_open(&whole, &KEY, DRAW_CMAES, 0, 9, 0, 0, NULL);
    for (int i = 0; i < 40; i++)
        words[i] = stream_word(&whole);
    for (uint64_t first = 0; first < 40; first++) {
        stream_open(&part, &KEY, DRAW_CMAES, 0, 9, 0, first, NULL);
        for (uint64_t i = first; i < 40; i++)
            cr_assert_eq(stream_word(&part), words[i]);
    }
}

Test(draw, every_field_of_its_name_makes_another_stream)
{
    struct philox_key other_low = KEY, other_high = KEY;
    uint64_t words[7];
    struct stream stream;

    other_low.words[0] ^= 1;
    other_high.words[1] ^= 1;
    stream_open(&stream, &KEY, 1, 0, 5, 1, 0, NULL);
    words[0] = stream_word(&stream);
    stream_open(&stream, &KEY, 2, 0, 5, 1, 0, NULL);
    words[1] = stream_word(&stream);
    stream_open(&stream, &KEY, 1, 1, 5, 1, 0, NULL);
    words[2] = stream_word(&stream);
    stream_open(&stream, &KEY, 1, 0, 6, 1, 0, NULL);
    words[3] = stream_word(&stream);
    stream_open(&stream, &KEY, 1, 0, 5, 2, 0, NULL);
    words[4] = stream_word(&stream);
    stream_open(&stream, &other_low, 1, 0, 5, 1, 0, NULL);
    words[5] = stream_word(&stream);
    stream_open(&stream, &other_high, 1, 0, 5, 1, 0, NULL);
    words[6] = stream_word(&stream);
    for (int i = 0; i < 7; i++)
        for (int j = 0; j < i; j++)
            cr_assert_neq(words[i], words[j]);
}

/* -- the record -- */

static struct test_memory memory;
static struct draw_list list;

static void setup(void)
{
    test_memory_init(&memory);
    list = (struct draw_list){.allocator = &memory.allocator};
}

static void teardown(void)
{
    draw_list_release(&list);
    cr_assert_eq(memory.live, 0);
}

TestSuite(draw_record, .init = setup, .fini = teardown);

static void take(uint32_t domain, uint64_t third, uint64_t slot, uint64_t first, int count,
                 uint64_t *words)
{
    struct stream stream;

    cr_assert_eq(stream_open(&stream, &KEY, domain, 0, third, slot, first, &list), SAMPLER_OK);
    for (int i = 0; i < count; i++)
        words[i] = stream_word(&stream);
}

static uint64_t digest_of(const uint64_t *words, size_t count)
{
    return XXH3_64bits(words, count * sizeof(*words)); /* tests run on little-endian machines */
}

static void assert_recomputed(const struct draw *draw)
{
    uint64_t digest;

    cr_assert_eq(draw_digest(&KEY, draw, &digest), SAMPLER_OK);
    cr_assert_eq(digest, draw->digest);
}

Test(draw_record, digest_is_that_of_the_words_taken_in_their_order)
{
    uint64_t words[900];
    struct draw draw;

    take(DRAW_RANDOM, 4, 3, 0, 1, words);
    take(DRAW_RANDOM, 4, 1, 7, 799, words + 1); /* enough to fill the hash's own buffer */
    take(DRAW_RANDOM, 4, DRAW_SLOT_UNDECLARED + 2, 0, 100, words + 800);
    cr_assert_eq(list.count, 1);
    draw_list_get(&list, 0, &draw);
    cr_assert_eq(draw.part_count, 3);
    cr_assert_eq(draw.domain, DRAW_RANDOM);
    cr_assert_eq(draw.third, 4);
    cr_assert_eq(draw.parts[1].slot, 1);
    cr_assert_eq(draw.parts[1].first, 7);
    cr_assert_eq(draw.parts[1].count, 799);
    cr_assert_eq(draw.digest, digest_of(words, 900));
    assert_recomputed(&draw);
    for (uint64_t i = 0; i < 799; i++)
        cr_assert_eq(draw_word(&KEY, &draw, 1, i), words[1 + i]);
}

Test(draw_record, domains_instances_and_thirds_are_draws_of_their_own)
{
    uint64_t words[30];
    struct draw draw;
    struct stream stream;

    take(DRAW_TPE_JOINT, 4, 0, 0, 10, words);
    take(DRAW_RANDOM, 4, 2, 0, 10, words + 10);
    take(DRAW_CMAES_RESTART, 1, 0, 0, 10, words + 20);
    cr_assert_eq(stream_open(&stream, &KEY, DRAW_RANDOM, 1, 4, 2, 0, &list), SAMPLER_OK);
    (void)stream_word(&stream);
    cr_assert_eq(list.count, 4);
    for (uint32_t i = 0; i < 3; i++) {
        draw_list_get(&list, i, &draw);
        cr_assert_eq(draw.digest, digest_of(words + 10 * i, 10));
        assert_recomputed(&draw);
    }
    draw_list_get(&list, 3, &draw);
    cr_assert_eq(draw.instance, 1);
    assert_recomputed(&draw);
}

Test(draw_record, a_stream_taken_up_again_prolongs_its_part)
{
    uint64_t words[8];
    struct draw draw;

    take(DRAW_CMAES, 4, 0, 0, 3, words);
    take(DRAW_CMAES, 4, 0, 3, 5, words + 3);
    draw_list_get(&list, 0, &draw);
    cr_assert_eq(draw.part_count, 1);
    cr_assert_eq(draw.parts[0].count, 8);
    cr_assert_eq(draw.digest, digest_of(words, 8));
}

Test(draw_record, a_stream_of_which_no_word_was_taken_leaves_no_part)
{
    uint64_t words[2];
    struct draw draw;

    take(DRAW_RANDOM, 1, 1, 0, 0, words);
    draw_list_get(&list, 0, &draw);
    cr_assert_eq(draw.part_count, 0);
    take(DRAW_RANDOM, 1, 2, 0, 2, words);
    take(DRAW_RANDOM, 1, 3, 0, 0, words);
    draw_list_get(&list, 0, &draw);
    cr_assert_eq(draw.part_count, 1);
    cr_assert_eq(draw.parts[0].slot, 2);
    cr_assert_eq(draw.digest, digest_of(words, 2));
}

Test(draw_record, any_changed_field_changes_the_recomputed_digest)
{
    uint64_t words[20], digest;
    struct draw draw, changed;
    struct draw_part parts[2];
    struct philox_key other = KEY;

    take(DRAW_RANDOM, 4, 3, 0, 10, words);
    take(DRAW_RANDOM, 4, 5, 0, 10, words + 10);
    draw_list_get(&list, 0, &draw);
    for (int field = 0; field < 8; field++) {
        memcpy(parts, draw.parts, sizeof(parts));
        changed = draw;
        changed.parts = parts;
        changed.domain += field == 0;
        changed.instance += field == 1;
        changed.third += field == 2;
        parts[0].slot += field == 3;
        parts[1].first += field == 4;
        parts[1].count += field == 5;
        parts[0].count -= field == 6;
        changed.part_count -= field == 7;
        cr_assert_eq(draw_digest(&KEY, &changed, &digest), SAMPLER_OK);
        cr_assert_neq(digest, draw.digest, "field %d", field);
    }
    other.words[1]++;
    cr_assert_eq(draw_digest(&other, &draw, &digest), SAMPLER_OK);
    cr_assert_neq(digest, draw.digest);
}

Test(draw_record, numbers_that_are_no_stream_words_are_entered_as_they_are)
{
    static const uint64_t points[3] = {11, 22, UINT64_MAX};
    struct draw draw;
    uint64_t digest;

    cr_assert_eq(draw_list_add(&list, DRAW_SOBOL, 0, 4, 0, 3, 3, points), SAMPLER_OK);
    draw_list_get(&list, 0, &draw);
    cr_assert_eq(draw.part_count, 1);
    cr_assert_eq(draw.parts[0].first, 3);
    cr_assert_eq(draw.parts[0].count, 3);
    cr_assert_eq(draw.digest, digest_of(points, 3));
    cr_assert_eq(draw_digest(&KEY, &draw, &digest), SAMPLER_UNSUPPORTED);
}

Test(draw_record, a_cleared_list_is_like_new_and_reuses_its_memory)
{
    uint64_t words[4];
    struct draw draw;
    long blocks;

    take(DRAW_RANDOM, 1, 1, 0, 4, words);
    blocks = memory.live;
    for (uint64_t trial = 2; trial < 50; trial++) {
        draw_list_clear(&list);
        take(DRAW_RANDOM, trial, 1, 0, 4, words);
        cr_assert_eq(list.count, 1);
        draw_list_get(&list, 0, &draw);
        cr_assert_eq(draw.third, trial);
        cr_assert_eq(draw.digest, digest_of(words, 4));
    }
    cr_assert_eq(memory.live, blocks);
}

/* The n-th allocation fails, for every n: the list stays as it was and the same calls then succeed.
 */
Test(draw_record, no_memory_leaves_the_list_as_it_was)
{
    int refused = 0;

    for (long n = 0; n < 40; n++) {
        struct draw_list tried = {.allocator = &memory.allocator};
        uint64_t words[60], count = 0;
        struct draw draw;

        memory.until_bad = n;
        for (uint64_t domain = 1; domain <= 6;
             domain++) /* more entries and parts than the first capacity */
            for (uint64_t slot = 1; slot <= 10; slot++) {
                struct stream stream;
                uint32_t before = tried.count;
                int err =
                    stream_open(&stream, &KEY, (uint32_t)(domain + 10), 0, 0, slot, 0, &tried);

                if (err < 0) {
                    cr_assert_eq(err, SAMPLER_NOMEM);
                    cr_assert_eq(tried.count, before);
                    refused++;
                    err =
                        stream_open(&stream, &KEY, (uint32_t)(domain + 10), 0, 0, slot, 0, &tried);
                }
                cr_assert_eq(err, SAMPLER_OK);
                words[count++] = stream_word(&stream);
            }
        memory.until_bad = -1;
        cr_assert_eq(tried.count, 6);
        for (uint32_t i = 0; i < 6; i++) {
            draw_list_get(&tried, i, &draw);
            cr_assert_eq(draw.part_count, 10);
            cr_assert_eq(draw.digest, digest_of(words + 10 * i, 10));
        }
        draw_list_release(&tried);
        cr_assert_eq(memory.live, 0);
    }
    cr_assert_gt(refused, 10);
}

/*
 * Philox against the published known answers, NumPy's generator, and named streams.
 */
#include "samplers_support.h"
#include "samplers/draw.h"
#include "samplers/philox.h"
#include "samplers/wide.h"

static void read_words(const json_t *array, uint64_t *out, size_t count)
{
    cr_assert_eq(json_array_size(array), count);
    for (size_t i = 0; i < count; i++)
        out[i] = vectors_word(json_array_get(array, i));
}

Test(philox, every_known_answer_comes_out)
{
    json_t *root = vectors_load("philox.json");
    json_t *answers = vectors_get(root, "kat");

    cr_assert_eq(json_array_size(answers), 15);
    for (size_t i = 0; i < 15; i++) {
        const json_t *answer = json_array_get(answers, i);
        uint64_t counter[4], expected[4], got[4];
        struct philox_key key;

        read_words(vectors_get(answer, "ctr"), counter, 4);
        read_words(vectors_get(answer, "key"), key.words, 2);
        read_words(vectors_get(answer, "out"), expected, 4);
        philox_block(&key, counter, got);
        cr_assert_arr_eq(got, expected, sizeof(got), "known answer %zu", i);
    }
    json_decref(root);
}

Test(philox, every_named_stream_has_its_words)
{
    json_t *root = vectors_load("philox.json");
    json_t *streams = vectors_get(root, "streams");

    cr_assert_eq(json_array_size(streams), 44);
    for (size_t i = 0; i < 44; i++) {
        const json_t *named = json_array_get(streams, i);
        const json_t *words = vectors_get(named, "words");
        struct philox_key key;
        uint64_t key_words[2], attempt = vectors_word(vectors_get(named, "attempt"));
        struct stream stream;

        vectors_seed(vectors_get(named, "seed"), key.words);
        read_words(vectors_get(named, "key"), key_words, 2);
        cr_assert_arr_eq(key.words, key_words, sizeof(key_words)); /* key = seed, low half first */
        cr_assert_eq(stream_open(&stream, &key,
                                 (uint32_t)vectors_word(vectors_get(named, "domain")),
                                 (uint32_t)vectors_word(vectors_get(named, "instance")),
                                 vectors_word(vectors_get(named, "third")),
                                 attempt << 32 | vectors_word(vectors_get(named, "slot")),
                                 vectors_word(vectors_get(named, "first")), NULL),
                     SAMPLER_OK);
        cr_assert_gt(json_array_size(words), 0);
        for (size_t w = 0; w < json_array_size(words); w++)
            cr_assert_eq(stream_word(&stream), vectors_word(json_array_get(words, w)),
                         "stream %zu word %zu", i, w);
    }
    json_decref(root);
}

Test(philox, product_by_halves_is_the_product)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     2,
                                     UINT32_MAX,
                                     UINT64_C(1) << 32,
                                     UINT64_MAX - 1,
                                     UINT64_MAX,
                                     UINT64_C(1) << 63,
                                     UINT64_C(0xFFFFFFFF00000000),
                                     UINT64_C(0xD2E7470EE14C6C93)};
    struct test_random random = {1};
    uint64_t low, low_halves;

    for (size_t i = 0; i < 10; i++)
        for (size_t j = 0; j < 10; j++) {
            uint64_t high = wide_multiply(edges[i], edges[j], &low);

            cr_assert_eq(wide_multiply_halves(edges[i], edges[j], &low_halves), high);
            cr_assert_eq(low_halves, low);
        }
    for (int i = 0; i < 200000; i++) {
        uint64_t a = test_word64(&random), b = test_word64(&random);
        uint64_t high = wide_multiply(a, b, &low);

        cr_assert_eq(wide_multiply_halves(a, b, &low_halves), high);
        cr_assert_eq(low_halves, low);
        cr_assert_eq(low, a * b);
    }
}

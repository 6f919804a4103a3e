/*
 * Options: one canonical text for each meaning, and a message for everything else.
 */
#include "samplers_support.h"
#include "samplers/options.h"

static const char *const words[] = {"none", "ipop", "bipop", NULL};

static const struct option_rule rules[] = {
    {.key = "group", .fallback = "false", .kind = OPTION_BOOL},
    {.key = "n_startup", .fallback = "10", .kind = OPTION_COUNT, .count_max = 1000000},
    {.key = "restart", .fallback = "none", .kind = OPTION_WORD, .words = words},
    {.key = "sigma", .fallback = "0.25", .kind = OPTION_REAL, .real_min = -1e22, .real_max = 1e37},
};
#define RULE_COUNT 4

struct configuration {
    struct sampler_configuration common;
    char own[100];
};

static struct test_memory memory;
static struct sampler_configuration *made;
static struct sampler_message message;

static void setup(void)
{
    test_memory_init(&memory);
    made = NULL;
}

static void teardown(void)
{
    configuration_free(made);
    cr_assert_eq(memory.live, 0);
}

TestSuite(options, .init = setup, .fini = teardown);

static int complete(const struct sampler_option *options, uint32_t count)
{
    struct sampler_configuration *out = NULL;
    int err;

    configuration_free(made);
    made = NULL;
    message.text[0] = 0;
    err = options_complete(rules, RULE_COUNT, options, count, sizeof(struct configuration),
                           &memory.allocator, &message, &out);
    cr_assert((err == SAMPLER_OK) == (out != NULL));
    made = out;
    return err;
}

static int complete_one(const char *key, const char *value)
{
    struct sampler_option option = {key, value};

    return complete(&option, 1);
}

Test(options, defaults_are_filled_in_and_sorted)
{
    cr_assert_eq(complete(NULL, 0), SAMPLER_OK);
    cr_assert_eq(made->option_count, RULE_COUNT);
    for (uint32_t i = 0; i < RULE_COUNT; i++) {
        cr_assert_str_eq(made->options[i].key, rules[i].key);
        cr_assert_str_eq(made->options[i].value, rules[i].fallback);
    }
    cr_assert_eq(options_bool(made, "group"), false);
    cr_assert_eq(options_count(made, "n_startup"), 10);
    cr_assert_str_eq(options_word(made, "restart"), "none");
    cr_assert_eq(options_real(made, "sigma"), 0.25);
    for (size_t i = 0; i < sizeof(((struct configuration *)made)->own); i++)
        cr_assert_eq(((struct configuration *)(void *)made)->own[i], 0);
}

Test(options, what_was_given_stands_for_the_default_in_any_order)
{
    static const struct sampler_option given[] = {
        {"sigma", "1e3"}, {"restart", "bipop"}, {"group", "1"}};

    cr_assert_eq(complete(given, 3), SAMPLER_OK);
    cr_assert_str_eq(made->options[0].value, "true");
    cr_assert_str_eq(made->options[1].value, "10");
    cr_assert_str_eq(made->options[2].value, "bipop");
    cr_assert_str_eq(made->options[3].value, "1000");
    cr_assert(options_bool(made, "group"));
}

Test(options, reals_have_one_text_each)
{
    static const char *const pairs[][2] = {
        {"0", "0"},
        {"-0.000", "0"},
        {"0e5", "0"},
        {"+1.50", "1.5"},
        {"1.5e0", "1.5"},
        {"15e-1", "1.5"},
        {"007", "7"},
        {"1200", "1200"},
        {"1.2E+3", "1200"},
        {".5", "0.5"},
        {"5.", "5"},
        {"0.00001", "0.00001"},
        {"1e-5", "0.00001"},
        {"1e-6", "1e-6"},
        {"-0.05", "-0.05"},
        {"1e6", "1000000"},
        {"1e7", "1e7"},
        {"12345678.9", "12345678.9"},
        {"1e22", "1e22"},
        {"123456789012345", "123456789012345"},
        {"1000000000000000000000", "1e21"},
        {"3.25e-10", "325e-12"},
        {"100.001", "100.001"},
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        cr_assert_eq(complete_one("sigma", pairs[i][0]), SAMPLER_OK, "%s: %s", pairs[i][0],
                     message.text);
        cr_assert_str_eq(made->options[3].value, pairs[i][1]);
        cr_assert_eq(options_real(made, "sigma"), strtod(pairs[i][0], NULL));
        cr_assert_eq(complete_one("sigma", pairs[i][1]), SAMPLER_OK); /* canonical again */
        cr_assert_str_eq(made->options[3].value, pairs[i][1]);
    }
}

Test(options, reals_are_the_nearest_doubles)
{
    struct test_random random = {31};
    int checked = 0;

    for (int i = 0; i < 50000; i++) {
        char text[64];

        snprintf(text, sizeof(text), "%s%llue%d", i % 2 ? "-" : "",
                 (unsigned long long)(test_word64(&random) % UINT64_C(1000000000000000)),
                 i % 37 - 18);
        if (complete_one("sigma", text) != SAMPLER_OK)
            continue; /* above the rule's range */
        checked++;
        cr_assert_eq(options_real(made, "sigma"), strtod(text, NULL), "%s", text);
        cr_assert_eq(strtod(made->options[3].value, NULL), strtod(text, NULL), "%s became %s", text,
                     made->options[3].value);
    }
    cr_assert_gt(checked, 20000);
}

Test(options, what_no_rule_allows_is_refused_with_its_name)
{
    static const struct sampler_option bad[] = {
        {"grup", "true"},
        {"group", "yes"},
        {"group", ""},
        {"n_startup", ""},
        {"n_startup", "-1"},
        {"n_startup", "1.5"},
        {"n_startup", "1000001"},
        {"n_startup", " 3"},
        {"n_startup", "99999999999999999999999999"},
        {"restart", "IPOP"},
        {"sigma", ""},
        {"sigma", "."},
        {"sigma", "nan"},
        {"sigma", "inf"},
        {"sigma", "1e"},
        {"sigma", "1e+"},
        {"sigma", "1e9999"},
        {"sigma", "1e38"},
        {"sigma", "-1e23"},
        {"sigma", "0x1p3"},
        {"sigma", "1,5"},
        {"sigma", "1.2.3"},
        {"sigma", "1234567890123456"},
        {"sigma", "1e-40"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(complete(&bad[i], 1), SAMPLER_INVALID, "%s=%s", bad[i].key, bad[i].value);
        cr_assert(strstr(message.text, bad[i].key), "%s", message.text);
    }
    cr_assert_eq(complete_one("grup", "1"), SAMPLER_INVALID);
    cr_assert_str_eq(message.text,
                     "option grup is unknown; known are group, n_startup, restart, sigma");
    cr_assert_eq(complete_one("restart", "x"), SAMPLER_INVALID);
    cr_assert_str_eq(message.text, "option restart must be one of none, ipop, bipop");
    cr_assert_eq(complete_one("n_startup", "1000001"), SAMPLER_INVALID);
    cr_assert_str_eq(message.text, "option n_startup must lie between 0 and 1000000");
}

Test(options, a_key_given_twice_is_refused)
{
    static const struct sampler_option twice[] = {{"group", "1"}, {"sigma", "1"}, {"group", "1"}};

    cr_assert_eq(complete(twice, 3), SAMPLER_INVALID);
    cr_assert(strstr(message.text, "twice"));
}

Test(options, a_long_message_is_cut_and_ends)
{
    char key[1000];

    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = 0;
    cr_assert_eq(complete_one(key, "1"), SAMPLER_INVALID);
    cr_assert_eq(strlen(message.text), sizeof(message.text) - 1);
}

Test(options, no_memory_is_said)
{
    memory.until_bad = 0;
    cr_assert_eq(complete(NULL, 0), SAMPLER_NOMEM);
    memory.until_bad = -1;
}

Test(options, bytes_grow_and_keep_what_they_held_when_memory_ends)
{
    struct sampler_bytes bytes = {.allocator = &memory.allocator};
    uint8_t expected[1000];

    for (int i = 0; i < 1000; i++) {
        uint8_t byte = (uint8_t)(i * 7);

        expected[i] = byte;
        memory.until_bad = i % 2 ? 0 : -1; /* every other attempt has no memory, if it needs any */
        if (sampler_bytes_append(&bytes, &byte, 1) != SAMPLER_OK) {
            cr_assert_eq(bytes.size, (size_t)i);
            memory.until_bad = -1;
            cr_assert_eq(sampler_bytes_append(&bytes, &byte, 1), SAMPLER_OK);
        }
    }
    memory.until_bad = -1;
    cr_assert_eq(bytes.size, 1000);
    cr_assert_arr_eq(bytes.data, expected, 1000);
    cr_assert_eq(sampler_bytes_append(&bytes, expected, SIZE_MAX / 2), SAMPLER_NOMEM);
    cr_assert_eq(bytes.size, 1000);
    sampler_bytes_clear(&bytes);
    cr_assert_eq(bytes.size, 0);
    sampler_bytes_release(&bytes);
}

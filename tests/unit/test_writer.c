/*
 * JSON out: valid for any bytes, numbers exact, one line.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/writer.h"

static char *written;
static size_t size;
static struct writer writer;

static void setup(void)
{
    writer = (struct writer){.out = open_memstream(&written, &size)};
}

static void teardown(void)
{
    fclose(writer.out);
    free(written);
}

TestSuite(writer, .init = setup, .fini = teardown);

static const char *result(void)
{
    fflush(writer.out);
    return written;
}

Test(writer, commas_stand_between_values)
{
    writer_begin(&writer, NULL, '{');
    writer_uint(&writer, "a", UINT64_MAX);
    writer_begin(&writer, "b", '[');
    writer_end(&writer, ']');
    writer_begin(&writer, "c", '[');
    writer_int(&writer, NULL, INT64_MIN);
    writer_bool(&writer, NULL, true);
    writer_begin(&writer, NULL, '{');
    writer_null(&writer, "d");
    writer_end(&writer, '}');
    writer_end(&writer, ']');
    writer_end(&writer, '}');
    writer_line(&writer);
    cr_assert_str_eq(result(),
                     "{\"a\": 18446744073709551615, \"b\": [], \"c\": [-9223372036854775808, true, "
                     "{\"d\": null}]}\n");
}

Test(writer, every_byte_makes_a_valid_string)
{
    char all[255];
    json_t *back;

    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    writer_string_n(&writer, NULL, all, sizeof(all));
    back = json_loads(result(), JSON_DECODE_ANY, NULL);
    cr_assert_not_null(back, "%s", written);
    cr_assert_eq(memcmp(json_string_value(back), all, 127), 0, "ASCII comes back as it was");
    cr_assert(!strchr(written, '\n'));
    json_decref(back);
}

Test(writer, numbers_read_back_exactly)
{
    const double values[] = {0.1, 1.0 / 3, 5e-324, -1.7976931348623157e308, 1e22, 3};
    json_t *back;

    writer_begin(&writer, NULL, '[');
    for (size_t i = 0; i < 6; i++)
        writer_real(&writer, NULL, values[i]);
    writer_real(&writer, NULL, INFINITY);
    writer_real(&writer, NULL, -INFINITY);
    writer_real(&writer, NULL, NAN);
    writer_end(&writer, ']');
    back = json_loads(result(), 0, NULL);
    cr_assert_not_null(back, "%s", written);
    for (size_t i = 0; i < 6; i++) {
        cr_assert(json_is_real(json_array_get(back, i)), "%s", written);
        cr_assert_eq(json_real_value(json_array_get(back, i)), values[i]);
    }
    cr_assert_str_eq(json_string_value(json_array_get(back, 6)), "inf");
    cr_assert_str_eq(json_string_value(json_array_get(back, 7)), "-inf");
    cr_assert_str_eq(json_string_value(json_array_get(back, 8)), "nan");
    json_decref(back);
}

Test(writer, times_are_iso_8601_in_utc)
{
    char out[WRITER_TIME_SIZE];

    cr_assert_str_eq(writer_time_print(0, out), "1970-01-01T00:00:00.000000Z");
    cr_assert_str_eq(writer_time_print(1767323045000006, out), "2026-01-02T03:04:05.000006Z");
    cr_assert_str_eq(writer_time_print(-1, out), "1969-12-31T23:59:59.999999Z");
    cr_assert_str_eq(writer_time_print(INT64_MIN, out), "-");
    cr_assert_str_eq(writer_time_print(INT64_MAX, out), "-");
    writer_time(&writer, NULL, INT64_MIN);
    cr_assert_str_eq(result(), "null");
}

Test(writer, attributes_that_are_json_stay_json)
{
    writer_begin(&writer, NULL, '[');
    writer_bytes(&writer, NULL, "{\"a\":\n 1.50}", 12);
    writer_bytes(&writer, NULL, "\"x\"", 3);
    writer_bytes(&writer, NULL, "plain", 5);
    writer_bytes(&writer, NULL, "\xff\x00z", 3);
    writer_bytes(&writer, NULL, "", 0);
    writer_end(&writer, ']');
    cr_assert_str_eq(result(), "[{\"a\":  1.50}, \"x\", \"plain\", {\"hex\": \"ff007a\"}, \"\"]");
}

Test(writer, parameters_have_their_types)
{
    const struct hpo_choice choices[] = {{.type = HPO_CHOICE_TEXT, .text = "t"},
                                         {.type = HPO_CHOICE_INT, .integer = 2},
                                         {.type = HPO_CHOICE_FLOAT, .real = 2},
                                         {.type = HPO_CHOICE_BOOL, .boolean = true},
                                         {.type = HPO_CHOICE_NULL}};
    const struct hpo_distribution f = {.kind = HPO_FLOAT, .low = 0, .high = 1},
                                  n = {.kind = HPO_INT, .low_int = 0, .high_int = 9},
                                  c = {.kind = HPO_CATEGORICAL,
                                       .choices = choices,
                                       .choice_count = 5};

    writer_begin(&writer, NULL, '[');
    writer_param_value(&writer, NULL, &f, 1);
    writer_param_value(&writer, NULL, &n, 7);
    for (int i = 0; i < 5; i++)
        writer_param_value(&writer, NULL, &c, i);
    writer_end(&writer, ']');
    cr_assert_str_eq(result(), "[1.0, 7, \"t\", 2, 2.0, true, null]");
}

Test(writer, what_jansson_read_is_written_back)
{
    static const char text[] =
        "{\"a\": [0.1, 1, true, null, \"x\\\"y\"], \"b\": {\"c\": 1e-07}, \"d\": []}";
    json_t *value = json_loads(text, 0, NULL);

    cr_assert_not_null(value);
    writer_json(&writer, NULL, value);
    cr_assert_str_eq(result(), text);
    json_decref(value);
}

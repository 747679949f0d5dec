// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka needs the four above first
#include <cmocka.h>

#include "base/buf.h"
#include "base/json_in.h"
#include <stdio.h>

static json_t *must_read(struct str text)
{
    struct json_fault fault;
    json_t *root = json_read_object(text, &fault);
    if (!root) fail_msg("refused: %s (%s)", fault.code, fault.detail);
    assert_null(fault.code);
    return root;
}

static void bad_texts_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        struct str text;
        const char *code;
    } table[] = {
        {{NULL, 0}, "invalid_json"},
        {STR(""), "invalid_json"},
        {STR(" "), "invalid_json"},
        {STR("{"), "invalid_json"},
        {STR("[]"), "invalid_json"},
        {STR("[{}]"), "invalid_json"},
        {STR("\"a\""), "invalid_json"},
        {STR("1"), "invalid_json"},
        {STR("null"), "invalid_json"},
        {STR("{}x"), "invalid_json"},
        {STR("{}{}"), "invalid_json"},
        {STR("{},"), "invalid_json"},
        {STR("{}\0"), "invalid_json"},
        {STR("\xef\xbb\xbf{}"), "invalid_json"}, // a byte order mark
        {STR("{\"a\":1,}"), "invalid_json"},
        {STR("{'a':1}"), "invalid_json"},
        {STR("{a:1}"), "invalid_json"},
        {STR("{\"a\":01}"), "invalid_json"},
        {STR("{\"a\":+1}"), "invalid_json"},
        {STR("{\"a\":.5}"), "invalid_json"},
        {STR("{\"a\":1.}"), "invalid_json"},
        {STR("{\"a\":0x10}"), "invalid_json"},
        {STR("{\"a\":NaN}"), "invalid_json"},
        {STR("{\"a\":Infinity}"), "invalid_json"},
        {STR("{\"a\":True}"), "invalid_json"},
        {STR("{\"a\":1}//c"), "invalid_json"},
        {STR("{\"a\":\"\t\"}"), "invalid_json"},
        {STR("{\"a\":\"\n\"}"), "invalid_json"},
        {STR("{\"a\":\"\\x41\"}"), "invalid_json"},
        {STR("{\"a\":\"\\u12\"}"), "invalid_json"},
        {STR("{\"a\":\"\\ud800\"}"), "invalid_json"}, // half a pair
        {STR("{\"a\":\"\\udc00\\ud800\"}"), "invalid_json"},
        {STR("{\"a\":\"x\\u0000y\"}"), "invalid_json"},
        {STR("{\"a\":\"x\0y\"}"), "invalid_json"},
        {STR("{\"a\\u0000b\":1}"), "invalid_json"},
        {STR("{\"a\":9223372036854775808}"), "invalid_json"},
        {STR("{\"a\":-9223372036854775809}"), "invalid_json"},
        {STR("{\"a\":1e400}"), "invalid_json"},
        {STR("{\"a\":\"\xff\"}"), "invalid_utf8"},
        {STR("{\"a\":\"\xc0\x80\"}"), "invalid_utf8"},
        {STR("{\"a\":\"\xed\xa0\x80\"}"), "invalid_utf8"},
        {STR("{\"a\":\"\xf4\x90\x80\x80\"}"), "invalid_utf8"},
        {STR("{\"a\":\"\xe4\xb8\"}"), "invalid_utf8"},
        {STR("{\"\xff\":1}"), "invalid_utf8"},
        {STR("{\"a\":1,\"a\":1}"), "duplicate_key"},
        {STR("{\"a\":1,\"\\u0061\":2}"), "duplicate_key"},
        {STR("{\"x\":{\"a\":1,\"b\":2,\"a\":3}}"), "duplicate_key"},
        {STR("{\"x\":[{\"\":1,\"\":3}]}"), "duplicate_key"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct json_fault fault;
        memset(&fault, 'x', sizeof fault);
        json_t *root = json_read_object(table[i].text, &fault);
        if (root) fail_msg("row %zu was accepted: %.*s", i, (int)table[i].text.n, table[i].text.p);
        if (strcmp(fault.code, table[i].code) != 0) fail_msg("row %zu: %s, expected %s", i, fault.code, table[i].code);
        assert_string_equal(fault.pointer, "");
        assert_true(strlen(fault.detail) > 0);
    }
}

static void the_place_of_a_fault_is_told(void **state)
{
    (void)state;
    struct json_fault fault;
    assert_null(json_read_object(STR("{\"a\":1,\n \"a\":2}"), &fault));
    assert_string_equal(fault.code, "duplicate_key");
    assert_non_null(strstr(fault.detail, "line 2"));
}

static void a_strangers_bytes_are_not_quoted(void **state)
{
    (void)state;
    struct json_fault fault;
    assert_null(json_read_object(STR("{\"a\":secret\xff}"), &fault));
    assert_null(strstr(fault.detail, "secret"));
}

// `depth` objects, each the only member of the one around it.
static void nest(struct buf *b, int depth, const char *open, const char *close)
{
    buf_z(b, "{\"a\":");
    for (int i = 1; i < depth; i++)
        buf_z(b, open);
    buf_z(b, "1");
    for (int i = 1; i < depth; i++)
        buf_z(b, close);
    buf_z(b, "}");
}

static void depth_is_bounded(void **state)
{
    (void)state;
    static const char *const brackets[][2] = {{"[", "]"}, {"{\"b\":", "}"}};
    for (int i = 0; i < 2; i++) {
        struct json_fault fault;
        struct buf b = {0};
        nest(&b, JSON_DEPTH_MAX, brackets[i][0], brackets[i][1]);
        json_decref(must_read(buf_view(&b)));
        buf_clear(&b);
        nest(&b, JSON_DEPTH_MAX + 1, brackets[i][0], brackets[i][1]);
        assert_null(json_read_object(buf_view(&b), &fault));
        assert_string_equal(fault.code, "too_deep");
        buf_clear(&b);
        nest(&b, 1000000, brackets[i][0], brackets[i][1]);
        assert_null(json_read_object(buf_view(&b), &fault));
        assert_string_equal(fault.code, "too_deep");
        buf_free(&b);
    }
}

static void brackets_in_strings_are_not_depth(void **state)
{
    (void)state;
    json_t *root = must_read(STR("{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[[[[[[[[[[[\\\\\",\"b\":[[],[],[],[],[],"
                                 "[],[],[],[],[],[],[],[],[],[],[],[],[]]}"));
    json_decref(root);
}

static void numbers_that_are_not_integers_are_refused_where_one_belongs(void **state)
{
    (void)state;
    static const char *const values[] = {"1.0",   "1e2",  "1E0",  "0.5", "-0.0", "1e-3", "9007199254740993.0",
                                         "\"1\"", "true", "null", "[1]", "{}"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct json_fault fault;
        struct buf b = {0};
        int64_t v = 42;
        buf_printf(&b, "{\"amount\":%s}", values[i]);
        json_t *root = json_read_object(buf_view(&b), &fault);
        assert_non_null(root);
        struct json_in in = {root, "", &fault};
        if (json_in_int(&in, "amount", true, INT64_MIN, INT64_MAX, &v)) fail_msg("%s was accepted", values[i]);
        assert_string_equal(fault.code, "wrong_type");
        assert_string_equal(fault.pointer, "/amount");
        assert_int_equal(v, 42);
        json_decref(root);
        buf_free(&b);
    }
}

static void integers_are_exact_to_their_limits(void **state)
{
    (void)state;
    struct json_fault fault = {0};
    json_t *root =
        must_read(STR("{\"a\":9223372036854775807,\"b\":-9223372036854775808,\"c\":9007199254740993,\"d\":-0}"));
    struct json_in in = {root, "", &fault};
    int64_t v = 0;
    assert_true(json_in_int(&in, "a", true, INT64_MIN, INT64_MAX, &v));
    assert_true(v == INT64_MAX);
    assert_true(json_in_int(&in, "b", true, INT64_MIN, INT64_MAX, &v));
    assert_true(v == INT64_MIN);
    assert_true(json_in_int(&in, "c", true, INT64_MIN, INT64_MAX, &v));
    assert_true(v == INT64_C(9007199254740993));
    assert_true(json_in_int(&in, "d", true, 0, 0, &v));
    assert_int_equal(v, 0);
    assert_null(fault.code);
    json_decref(root);
}

static void bounds_are_inclusive(void **state)
{
    (void)state;
    json_t *root = must_read(STR("{\"n\":5,\"s\":\"12345\",\"a\":[1,2,3]}"));
    static const struct {
        int64_t min, max;
        bool good;
    } table[] = {{5, 5, true}, {1, 5, true}, {5, 9, true}, {6, 9, false}, {1, 4, false}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct json_fault fault = {0};
        struct json_in in = {root, "", &fault};
        int64_t v;
        assert_int_equal(json_in_int(&in, "n", true, table[i].min, table[i].max, &v), table[i].good);
        if (!table[i].good) assert_string_equal(fault.code, "out_of_range");
    }
    struct json_fault fault = {0};
    struct json_in in = {root, "", &fault};
    struct str s;
    const json_t *a;
    assert_true(json_in_str(&in, "s", true, 5, &s));
    assert_true(str_eq(s, STR("12345")));
    assert_true(json_in_array(&in, "a", true, 3, &a));
    assert_false(json_in_str(&in, "s", true, 4, &s));
    assert_string_equal(fault.code, "too_long");
    fault.code = NULL;
    assert_false(json_in_array(&in, "a", true, 2, &a));
    assert_string_equal(fault.code, "too_many");
    json_decref(root);
}

static void an_absent_member_is_a_fault_only_where_required(void **state)
{
    (void)state;
    json_t *root = must_read(STR("{\"nothing\":null}"));
    struct json_fault fault = {0};
    struct json_in in = {root, "", &fault};
    struct str s = STR("kept");
    int64_t v = 42;
    bool yes = true;
    const json_t *a = root, *o = root;
    assert_false(json_in_str(&in, "x", false, 10, &s));
    assert_false(json_in_int(&in, "x", false, 0, 1, &v));
    assert_false(json_in_bool(&in, "x", false, &yes));
    assert_false(json_in_array(&in, "x", false, 10, &a));
    assert_false(json_in_object(&in, "x", false, &o));
    assert_null(fault.code);
    assert_true(str_eq(s, STR("kept")) && v == 42 && yes && a == root && o == root);
    assert_false(json_in_str(&in, "x", true, 10, &s));
    assert_string_equal(fault.code, "missing_field");
    assert_string_equal(fault.pointer, "/x");
    fault.code = NULL;
    assert_false(json_in_str(&in, "nothing", false, 10, &s));
    assert_string_equal(fault.code, "wrong_type"); // null is a value
    json_decref(root);
}

static void each_getter_refuses_the_types_of_the_others(void **state)
{
    (void)state;
    json_t *root = must_read(STR("{\"s\":\"t\",\"i\":1,\"b\":true,\"a\":[],\"o\":{},\"n\":null,\"r\":1.5}"));
    static const char *const names[] = {"s", "i", "b", "a", "o", "n", "r"};
    for (size_t i = 0; i < 7; i++) {
        for (size_t getter = 0; getter < 5; getter++) {
            struct json_fault fault = {0};
            struct json_in in = {root, "", &fault};
            struct str s;
            int64_t v;
            bool yes;
            const json_t *value;
            bool got = getter == 0   ? json_in_str(&in, names[i], true, 10, &s)
                       : getter == 1 ? json_in_int(&in, names[i], true, 0, 10, &v)
                       : getter == 2 ? json_in_bool(&in, names[i], true, &yes)
                       : getter == 3 ? json_in_array(&in, names[i], true, 10, &value)
                                     : json_in_object(&in, names[i], true, &value);
            assert_int_equal(got, i == getter);
            if (i != getter) assert_string_equal(fault.code, "wrong_type");
        }
    }
    json_decref(root);
}

static void after_the_first_fault_nothing_is_read(void **state)
{
    (void)state;
    json_t *root = must_read(STR("{\"good\":1,\"s\":\"t\",\"b\":false,\"a\":[],\"o\":{}}"));
    struct json_fault fault = {0};
    struct json_in in = {root, "", &fault};
    static const char *const none[] = {"good", NULL};
    int64_t v = 42;
    struct str s;
    bool yes;
    const json_t *value;
    json_in_fail(&in, "first", "first_code", "because of %d", 7);
    assert_false(json_in_int(&in, "good", true, 0, 10, &v));
    assert_false(json_in_str(&in, "s", true, 10, &s));
    assert_false(json_in_bool(&in, "b", true, &yes));
    assert_false(json_in_array(&in, "a", true, 10, &value));
    assert_false(json_in_object(&in, "o", true, &value));
    assert_false(json_in_only(&in, none));
    json_in_fail(&in, "second", "second_code", "x");
    assert_int_equal(v, 42);
    assert_string_equal(fault.code, "first_code");
    assert_string_equal(fault.pointer, "/first");
    assert_string_equal(fault.detail, "because of 7");
    json_decref(root);
}

static void an_unknown_member_is_pointed_at(void **state)
{
    (void)state;
    static const char *const names[] = {"known", "other", NULL};
    struct json_fault fault = {0};
    json_t *root = must_read(STR("{\"known\":1,\"other\":2}"));
    struct json_in in = {root, "", &fault};
    assert_true(json_in_only(&in, names));
    assert_null(fault.code);
    json_decref(root);
    in.object = root = must_read(STR("{\"known\":1,\"Known\":2}"));
    in.at = "/items/0";
    assert_false(json_in_only(&in, names));
    assert_string_equal(fault.code, "unknown_field");
    assert_string_equal(fault.pointer, "/items/0/Known");
    json_decref(root);
}

static void pointers_are_escaped_as_rfc_6901_says(void **state)
{
    (void)state;
    static const char *const names[] = {NULL};
    static const struct {
        struct str text;
        const char *pointer;
    } table[] = {
        {STR("{\"a/b\":1}"), "/a~1b"},
        {STR("{\"m~n\":1}"), "/m~0n"},
        {STR("{\"~1\":1}"), "/~01"},
        {STR("{\"/~/\":1}"), "/~1~0~1"},
        {STR("{\"\":1}"), "/"},
        {STR("{\" \":1}"), "/ "},
        {STR("{\"\xe6\x94\xaf\xe4\xbb\x98\":1}"), "/\xe6\x94\xaf\xe4\xbb\x98"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct json_fault fault = {0};
        json_t *root = must_read(table[i].text);
        struct json_in in = {root, "", &fault};
        assert_false(json_in_only(&in, names));
        assert_string_equal(fault.pointer, table[i].pointer);
        json_decref(root);
    }
}

static void a_pointer_that_does_not_fit_ends_at_its_object(void **state)
{
    (void)state;
    static const char *const objects[] = {"", "/o", "/oo"}; // of odd and even length: an escape takes two bytes
    for (size_t o = 0; o < sizeof objects / sizeof objects[0]; o++) {
        struct json_fault fault = {0};
        struct json_in in = {NULL, objects[o], &fault};
        char name[200];
        memset(name, '/', sizeof name);
        for (size_t n = 0; n < sizeof name; n++) {
            char expected[512];
            int at = snprintf(expected, sizeof expected, "%s/", objects[o]);
            for (size_t i = 0; i < n; i++)
                memcpy(expected + at + 2 * i, "~1", 3);
            if (strlen(expected) >= sizeof fault.pointer) (void)snprintf(expected, sizeof expected, "%s", objects[o]);
            fault.code = NULL;
            name[n] = 0;
            json_in_fail(&in, name, "x", "y");
            assert_string_equal(fault.pointer, expected);
            name[n] = '/';
        }
        fault.code = NULL;
        json_in_fail(&in, NULL, "x", "y");
        assert_string_equal(fault.pointer, objects[o]);
    }
}

static void a_detail_is_cut_between_characters(void **state)
{
    (void)state;
    struct json_fault fault = {0};
    struct json_in in = {NULL, "", &fault};
    char text[400];
    for (size_t pad = 0; pad < 3; pad++) {
        memset(text, 'x', pad);
        for (size_t i = pad; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xe6\x94\xaf", 4);
        fault.code = NULL;
        json_in_fail(&in, "n", "c", "%s", text);
        size_t n = strlen(fault.detail);
        assert_true(n > 150);
        assert_int_equal((n - pad) % 3, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_texts_are_refused_by_name),
        cmocka_unit_test(the_place_of_a_fault_is_told),
        cmocka_unit_test(a_strangers_bytes_are_not_quoted),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(brackets_in_strings_are_not_depth),
        cmocka_unit_test(numbers_that_are_not_integers_are_refused_where_one_belongs),
        cmocka_unit_test(integers_are_exact_to_their_limits),
        cmocka_unit_test(bounds_are_inclusive),
        cmocka_unit_test(an_absent_member_is_a_fault_only_where_required),
        cmocka_unit_test(each_getter_refuses_the_types_of_the_others),
        cmocka_unit_test(after_the_first_fault_nothing_is_read),
        cmocka_unit_test(an_unknown_member_is_pointed_at),
        cmocka_unit_test(pointers_are_escaped_as_rfc_6901_says),
        cmocka_unit_test(a_pointer_that_does_not_fit_ends_at_its_object),
        cmocka_unit_test(a_detail_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

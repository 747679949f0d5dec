// SPDX-License-Identifier: Apache-2.0
#include "broker/rocketmq/message.h"
#include "broker/rocketmq/wire.h"
#include "golden.h"
#include "hex.h"
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <stdlib.h>
#include <zlib.h>

static void fields_are(const struct message *m)
{
    assert_true(str_eq(m->topic, STR("till_order_cancel")));
    assert_int_equal(m->queue_id, 3);
    assert_int_equal(m->flag, 9);
    assert_int_equal(m->queue_offset, 41);
    assert_int_equal(m->physical_offset, INT64_C(123456789012));
    assert_int_equal(m->born_ms, INT64_C(1764086400000));
    assert_int_equal(m->stored_ms, INT64_C(1764086400005));
    assert_int_equal(m->n_reconsumed, 2);
    assert_int_equal(m->prepared_offset, 77);
    assert_true(str_eq(wire_property(m->properties, STR("TAGS")), STR("order.cancel")));
    assert_true(str_eq(wire_property(m->properties, STR("UNIQ_KEY")), STR("K1")));
}

static void stored_reads(const char *golden, struct str body)
{
    size_t n, used;
    char *bytes = from_hex(golden, &n);
    struct message m;
    struct buf room = {0};
    struct str got;
    assert_int_equal(message_read((struct str){bytes, n}, &m, &used), MESSAGE_READ);
    assert_int_equal(used, n);
    fields_are(&m);
    assert_true(message_body(&m, &room, &got));
    assert_true(str_eq(got, body));
    buf_free(&room);
    free(bytes);
}

static void stored_messages_of_java_are_read(void **state)
{
    (void)state;
    stored_reads(GOLDEN_STORED, STR("{\"id\":\"ord_1\"}"));
    stored_reads(GOLDEN_STORED_IPV6, STR("{\"id\":\"ord_1\"}"));
    stored_reads(GOLDEN_STORED_PACKED, STR("hello hello hello hello hello"));
}

// The second version differs in the length of the topic's length alone.
static void long_topics_have_a_longer_length(void **state)
{
    (void)state;
    size_t n, used;
    char *one = from_hex(GOLDEN_STORED, &n);
    size_t at = n - 2 - 0x1e - strlen("till_order_cancel") - 1; // of the topic's length
    char *two = malloc(n + 1);
    assert_non_null(two);
    memcpy(two, one, at);
    two[at] = 0;
    memcpy(two + at + 1, one + at, n - at);
    wire_set32(two, (uint32_t)n + 1);
    wire_set32(two + 4, 0xDAA320AB);
    struct message m;
    assert_int_equal(message_read((struct str){two, n + 1}, &m, &used), MESSAGE_READ);
    fields_are(&m);
    free(one);
    free(two);
}

static void messages_follow_each_other_until_the_blank(void **state)
{
    (void)state;
    size_t n, used;
    char *one = from_hex(GOLDEN_STORED, &n);
    char *many = malloc(2 * n + 8);
    struct message m;
    assert_non_null(many);
    memcpy(many, one, n);
    memcpy(many + n, one, n);
    wire_set32(many + 2 * n, 8);
    wire_set32(many + 2 * n + 4, 0xCBD43194);
    struct str rest = {many, 2 * n + 8};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(message_read(rest, &m, &used), MESSAGE_READ);
        rest.p += used;
        rest.n -= used;
    }
    assert_int_equal(message_read(rest, &m, &used), MESSAGE_END);
    assert_int_equal(message_read((struct str){NULL, 0}, &m, &used), MESSAGE_END);
    free(many);
    free(one);
}

static void lies_inside(struct str s, const char *p, size_t n)
{
    assert_true(s.n == 0 || (s.p >= p && s.p + s.n <= p + n));
}

static void damaged_messages_are_never_read_beyond_their_end(void **state)
{
    (void)state;
    size_t n, used;
    char *whole = from_hex(GOLDEN_STORED_PACKED, &n);
    struct message m;
    struct buf room = {0};
    struct str body;
    for (size_t cut = 0; cut < n; cut++) {
        char *p = malloc(cut ? cut : 1);
        assert_non_null(p);
        memcpy(p, whole, cut);
        if (cut >= 4) wire_set32(p, (uint32_t)cut);
        assert_int_not_equal(message_read((struct str){p, cut}, &m, &used), MESSAGE_READ);
        free(p);
    }
    for (size_t i = 0; i < n; i++) {
        for (int x = 1; x < 256; x *= 2) {
            char *p = malloc(n);
            assert_non_null(p);
            memcpy(p, whole, n);
            p[i] = (char)(p[i] ^ x);
            if (message_read((struct str){p, n}, &m, &used) == MESSAGE_READ) {
                lies_inside(m.topic, p, n);
                lies_inside(m.properties, p, n);
                lies_inside(m.body, p, n);
                (void)message_body(&m, &room, &body);
            }
            assert_true(used <= n);
            free(p);
        }
    }
    buf_free(&room);
    free(whole);
}

static void a_broken_message_can_be_stepped_over(void **state)
{
    (void)state;
    size_t n, used;
    char *bytes = from_hex(GOLDEN_STORED, &n);
    struct message m;
    wire_set32(bytes + 4, 1);
    assert_int_equal(message_read((struct str){bytes, n}, &m, &used), MESSAGE_BROKEN);
    assert_int_equal(used, n);
    wire_set32(bytes, 7);
    assert_int_equal(message_read((struct str){bytes, n}, &m, &used), MESSAGE_BROKEN);
    assert_int_equal(used, 0);
    free(bytes);
}

static void bodies_packed_otherwise_are_not_readable(void **state)
{
    (void)state;
    struct message m = {.body = STR("whatever"), .sys_flag = MESSAGE_COMPRESSED | 1 << 8};
    struct buf room = {0};
    struct str body;
    assert_false(message_body(&m, &room, &body)); // LZ4
    m.sys_flag = MESSAGE_COMPRESSED | 2 << 8;
    assert_false(message_body(&m, &room, &body)); // ZSTD
    m.sys_flag = MESSAGE_COMPRESSED | 3 << 8;
    assert_false(message_body(&m, &room, &body)); // zlib, but it is none
    m.sys_flag = 0;
    assert_true(message_body(&m, &room, &body));
    assert_true(str_eq(body, STR("whatever")));
    buf_free(&room);
}

// 40 MiB in 40 KB: unpacking stops at the limit.
static void a_body_that_would_unpack_without_end_is_not_readable(void **state)
{
    (void)state;
    size_t n = (size_t)40 << 20;
    uLongf packed_n = compressBound(n);
    char *zeroes = calloc(1, n), *packed = malloc(packed_n);
    assert_true(zeroes && packed);
    assert_int_equal(compress((Bytef *)packed, &packed_n, (const Bytef *)zeroes, n), Z_OK);
    struct message m = {.body = {packed, packed_n}, .sys_flag = MESSAGE_COMPRESSED};
    struct buf room = {0};
    struct str body;
    assert_false(message_body(&m, &room, &body));
    assert_true(room.n <= MESSAGE_BODY_MAX);
    buf_free(&room);
    free(zeroes);
    free(packed);
}

static void a_batch_is_byte_for_byte_that_of_java(void **state)
{
    (void)state;
    size_t n;
    char *java = from_hex(GOLDEN_BATCH, &n);
    struct buf b = {0};
    assert_true(message_batch_add(&b, 0, STR("body0"), STR("UNIQ_KEY\1K0\2WAIT\1true\2")));
    assert_true(message_batch_add(&b, 0, STR("body1"), STR("UNIQ_KEY\1K1\2WAIT\1true\2")));
    assert_int_equal(b.n, n);
    assert_memory_equal(b.p, java, n);
    buf_free(&b);
    free(java);
}

static void unique_keys_are_32_capital_digits_and_differ(void **state)
{
    (void)state;
    struct message_ids ids, others;
    char last[MESSAGE_UNIQ_KEY_LEN + 1] = "", key[MESSAGE_UNIQ_KEY_LEN + 1];
    assert_true(message_ids_init(&ids));
    assert_true(message_ids_init(&others));
    for (int i = 0; i < 100000; i++) {
        message_ids_next(&ids, 1764086400000, key);
        assert_int_equal(strspn(key, "0123456789ABCDEF"), MESSAGE_UNIQ_KEY_LEN);
        assert_true(strcmp(last, key) < 0);
        memcpy(last, key, sizeof last);
    }
    message_ids_next(&others, 1764086400000, key);
    assert_memory_not_equal(key, last, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_messages_of_java_are_read),
        cmocka_unit_test(long_topics_have_a_longer_length),
        cmocka_unit_test(messages_follow_each_other_until_the_blank),
        cmocka_unit_test(damaged_messages_are_never_read_beyond_their_end),
        cmocka_unit_test(a_broken_message_can_be_stepped_over),
        cmocka_unit_test(bodies_packed_otherwise_are_not_readable),
        cmocka_unit_test(a_body_that_would_unpack_without_end_is_not_readable),
        cmocka_unit_test(a_batch_is_byte_for_byte_that_of_java),
        cmocka_unit_test(unique_keys_are_32_capital_digits_and_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

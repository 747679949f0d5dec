// SPDX-License-Identifier: Apache-2.0
#include "broker/rocketmq/wire.h"
#include "golden.h"
#include "hex.h"
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <stdio.h>
#include <stdlib.h>

static void send_of(struct wire_request *r, enum wire_kind kind)
{
    wire_request_init(r, WIRE_SEND_V2, kind, 70001);
    wire_put(r, "a", STR("till_tx"));
    wire_put(r, "b", STR("till_order_cancel"));
    wire_put(r, "c", STR("TBW102"));
    wire_put_i64(r, "d", 4);
    wire_put_i64(r, "e", 2);
    wire_put_i64(r, "f", 4);
    wire_put_i64(r, "g", INT64_C(1764086400000));
    wire_put_i64(r, "h", 0);
    wire_put(r, "i", STR("UNIQ_KEY\1K1\2TAGS\1order.cancel\2"));
    wire_put_i64(r, "j", 0);
    wire_put(r, "k", STR("false"));
    wire_put(r, "m", STR("false"));
    wire_put(r, "bname", STR("broker-a"));
    r->body = STR("{\"id\":\"ord_1\"}");
}

// In the order in which Java's map walks its keys.
static void end_of(struct wire_request *r, enum wire_kind kind)
{
    wire_request_init(r, WIRE_END_TRANSACTION, kind, 70001);
    wire_put(r, "producerGroup", STR("till_tx"));
    wire_put(r, "bname", STR("broker-a"));
    wire_put_i64(r, "commitLogOffset", INT64_C(123456789012));
    wire_put(r, "topic", STR("till_order_cancel"));
    wire_put(r, "msgId", STR("K1"));
    wire_put_i64(r, "tranStateTableOffset", 7);
    wire_put_i64(r, "commitOrRollback", 8);
    wire_put(r, "transactionId", STR("K1"));
    wire_put(r, "fromTransactionCheck", STR("true"));
}

static void encoded_is(struct wire_request *r, const char *golden)
{
    size_t n;
    char *expected = from_hex(golden, &n);
    struct buf out = {0};
    assert_true(wire_encode(r, NULL, &out));
    assert_int_equal(out.n, n);
    assert_memory_equal(out.p, expected, n);
    buf_free(&out);
    free(expected);
}

static void binary_frames_are_byte_for_byte_those_of_java(void **state)
{
    (void)state;
    struct wire_request r;
    send_of(&r, WIRE_BINARY);
    encoded_is(&r, GOLDEN_SEND_BINARY);
    end_of(&r, WIRE_BINARY);
    encoded_is(&r, GOLDEN_END_BINARY);
}

static void same_frame(const struct wire_frame *a, const struct wire_frame *b)
{
    assert_int_equal(a->code, b->code);
    assert_int_equal(a->opaque, b->opaque);
    assert_int_equal(a->flag, b->flag);
    assert_int_equal(a->version, b->version);
    assert_true(str_eq(a->remark, b->remark));
    assert_true(str_eq(a->body, b->body));
    assert_int_equal(a->n_fields, b->n_fields);
    for (unsigned i = 0; i < a->n_fields; i++) {
        char key[64];
        (void)snprintf(key, sizeof key, "%.*s", (int)a->fields[i].key.n, a->fields[i].key.p);
        assert_true(str_eq(a->fields[i].value, wire_field_of(b, key)));
    }
}

// JSON has no order of members: ours and Java's must say the same.
static void json_is(struct wire_request *r, const char *golden)
{
    size_t n;
    char *java = from_hex(golden, &n);
    struct buf out = {0};
    struct wire_frame a, b;
    assert_true(wire_encode(r, NULL, &out));
    assert_int_equal(wire_frame_len(out.p, out.n), out.n);
    assert_true(wire_parse(java, n, &a));
    assert_true(wire_parse(out.p, out.n, &b));
    same_frame(&a, &b);
    buf_free(&out);
    free(java);
}

static void json_frames_say_what_those_of_java_say(void **state)
{
    (void)state;
    struct wire_request r;
    send_of(&r, WIRE_JSON);
    json_is(&r, GOLDEN_SEND_JSON);
    end_of(&r, WIRE_JSON);
    json_is(&r, GOLDEN_END_JSON);
}

static void answer_reads(const char *golden)
{
    size_t n;
    char *java = from_hex(golden, &n);
    struct wire_frame f;
    int64_t queue_id, offset, at;
    assert_int_equal(wire_frame_len(java, n), n);
    assert_true(wire_parse(java, n, &f));
    assert_int_equal(f.code, 0);
    assert_int_equal(f.opaque, 70001);
    assert_int_equal(f.flag, WIRE_RESPONSE);
    assert_int_equal(f.version, 513);
    assert_int_equal(f.body.n, 0);
    assert_true(wire_field_i64(&f, "queueId", &queue_id) && queue_id == 2);
    assert_true(wire_field_i64(&f, "queueOffset", &offset) && offset == 41);
    struct str id = wire_field_of(&f, "msgId");
    assert_true(str_eq(id, STR("7F00000100005597000000000012D687")));
    assert_true(wire_hex_i64((struct str){id.p + 16, 16}, &at) && at == 0x12D687);
    assert_null(wire_field_of(&f, "nothing").p);
    free(java);
}

static void refusal_reads(const char *golden)
{
    size_t n;
    char *java = from_hex(golden, &n);
    struct wire_frame f;
    assert_true(wire_parse(java, n, &f));
    assert_int_equal(f.code, 1);
    assert_int_equal(f.opaque, 70002);
    assert_true(
        str_eq(f.remark, STR("Find prepared transaction message failed \"\xc3\xa4\xe4\xb8\xad\xf0\x9f\x98\x80\"\n")));
    assert_true(str_eq(f.body, STR("b")));
    free(java);
}

static void answers_are_read_in_both_forms(void **state)
{
    (void)state;
    answer_reads(GOLDEN_SENT_JSON);
    answer_reads(GOLDEN_SENT_BINARY);
    refusal_reads(GOLDEN_REFUSED_JSON);
    refusal_reads(GOLDEN_REFUSED_BINARY);
}

static void signature_is(struct wire_request *r, const char *golden)
{
    struct acl *a = acl_new(STR("admin"), STR("secret12"));
    struct buf out = {0};
    struct wire_frame f;
    assert_non_null(a);
    assert_true(wire_encode(r, a, &out));
    assert_true(wire_parse(out.p, out.n, &f));
    assert_true(str_eq(wire_field_of(&f, "AccessKey"), STR("admin")));
    assert_true(str_eq(wire_field_of(&f, "Signature"), str_of(golden)));
    buf_free(&out);
    acl_free(a);
}

static void signatures_are_those_of_java(void **state)
{
    (void)state;
    struct wire_request r;
    send_of(&r, WIRE_BINARY);
    signature_is(&r, GOLDEN_SEND_SIGNATURE);
    send_of(&r, WIRE_JSON);
    signature_is(&r, GOLDEN_SEND_SIGNATURE);
    end_of(&r, WIRE_BINARY);
    signature_is(&r, GOLDEN_END_SIGNATURE);
}

// The server would sign the word "null" in its place.
static void an_empty_value_is_left_out(void **state)
{
    (void)state;
    struct wire_request r;
    wire_request_init(&r, WIRE_SEND_BATCH, WIRE_BINARY, 1);
    wire_put(&r, "i", STR(""));
    wire_put(&r, "m", STR("true"));
    assert_int_equal(r.n_fields, 1);
}

static void json_texts_are_unescaped_where_they_lie(void **state)
{
    (void)state;
    static const char header[] =
        " { \"extFields\" : {\"a\":\"\\u0001x\\\"\\\\\\/\\b\\f\\n\\r\\t\\ud83d\\ude00\\u00e4\", \"n\":7,"
        "\"none\":null } , \"code\":-3,\"remark\":null,\"opaque\":5,\"flag\":1,\"new\":true}\n";
    char frame[8 + sizeof header - 1];
    struct wire_frame f;
    wire_set32(frame, sizeof frame - 4);
    wire_set32(frame + 4, sizeof header - 1);
    memcpy(frame + 8, header, sizeof header - 1);
    assert_true(wire_parse(frame, sizeof frame, &f));
    assert_int_equal(f.code, -3);
    assert_true(str_eq(wire_field_of(&f, "a"), STR("\1x\"\\/\b\f\n\r\t\xf0\x9f\x98\x80\xc3\xa4")));
    assert_true(str_eq(wire_field_of(&f, "n"), STR("7")));
    assert_null(wire_field_of(&f, "none").p);
    assert_int_equal(f.remark.n, 0);
}

static bool parses(const char *header)
{
    size_t n = strlen(header);
    char *frame = malloc(8 + n);
    struct wire_frame f;
    assert_non_null(frame);
    wire_set32(frame, (uint32_t)n + 4);
    wire_set32(frame + 4, (uint32_t)n);
    memcpy(frame + 8, header, n);
    bool ok = wire_parse(frame, 8 + n, &f);
    free(frame);
    return ok;
}

static void json_that_is_no_header_is_refused(void **state)
{
    (void)state;
    assert_true(parses("{\"code\":0}"));
    static const char *const bad[] = {"",
                                      "{",
                                      "{}",
                                      "[]",
                                      "{\"opaque\":1}",
                                      "{\"code\":0",
                                      "{\"code\":0}}",
                                      "{\"code\":\"x\"}",
                                      "{\"code\":2147483648}",
                                      "{\"code\":1.5}",
                                      "{\"code\":0,}",
                                      "{\"code\":0,\"extFields\":[]}",
                                      "{\"code\":0,\"extFields\":{\"a\":{}}}",
                                      "{\"code\":0,\"extFields\":{\"a\":\"\\u12\"}}",
                                      "{\"code\":0,\"extFields\":{\"a\":\"\\ud83d\"}}",
                                      "{\"code\":0,\"extFields\":{\"a\":\"\\x\"}}",
                                      "{\"code\":0,\"extFields\":{\"a\":\"",
                                      "{\"code\":0,\"remark\":\"\\"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (parses(bad[i])) fail_msg("%s", bad[i]);
}

static void a_frame_is_measured_by_its_first_eight_bytes(void **state)
{
    (void)state;
    char p[8];
    struct wire_frame f;
    assert_false(wire_parse(p, 0, &f));
    wire_set32(p, 100);
    wire_set32(p + 4, 50);
    assert_int_equal(wire_frame_len(p, 7), 0);
    assert_int_equal(wire_frame_len(p, 8), 104);
    wire_set32(p + 4, 97); // a header longer than the frame
    assert_int_equal(wire_frame_len(p, 8), -1);
    wire_set32(p + 4, 0x02000000 | 50); // no such kind
    assert_int_equal(wire_frame_len(p, 8), -1);
    wire_set32(p + 4, 50);
    wire_set32(p, WIRE_FRAME_MAX);
    assert_int_equal(wire_frame_len(p, 8), -1);
    wire_set32(p, 0xffffffff);
    assert_int_equal(wire_frame_len(p, 8), -1);
}

// Every beginning of a frame, said to be a whole one, and every frame with one byte changed: never more is read than is
// there (the address sanitizer looks on), and what is taken for fields lies inside.
static void lies_inside(const struct wire_frame *f, const char *frame, size_t n)
{
    assert_true(f->body.p >= frame && f->body.p + f->body.n <= frame + n);
    for (unsigned i = 0; i < f->n_fields; i++) {
        struct str k = f->fields[i].key, v = f->fields[i].value;
        assert_true(k.p >= frame && k.p + k.n <= frame + n && v.p >= frame && v.p + v.n <= frame + n);
    }
}

static void damage(const char *golden)
{
    size_t n;
    char *whole = from_hex(golden, &n);
    for (size_t cut = 8; cut < n; cut++) {
        char *p = malloc(cut);
        struct wire_frame f;
        assert_non_null(p);
        memcpy(p, whole, cut);
        wire_set32(p, (uint32_t)cut - 4);
        if (wire_parse(p, cut, &f)) lies_inside(&f, p, cut);
        free(p);
    }
    for (size_t i = 0; i < n; i++) {
        for (int x = 1; x < 256; x *= 2) {
            char *p = malloc(n);
            struct wire_frame f;
            assert_non_null(p);
            memcpy(p, whole, n);
            p[i] = (char)(p[i] ^ x);
            if (wire_parse(p, n, &f)) lies_inside(&f, p, n);
            free(p);
        }
    }
    free(whole);
}

static void damaged_frames_are_never_read_beyond_their_end(void **state)
{
    (void)state;
    damage(GOLDEN_SEND_BINARY);
    damage(GOLDEN_SEND_JSON);
    damage(GOLDEN_SENT_BINARY);
    damage(GOLDEN_REFUSED_JSON);
    damage(GOLDEN_REFUSED_BINARY);
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    uint32_t random = 12345;
    for (int round = 0; round < 2000; round++) {
        struct wire_request r;
        char texts[8][40];
        static const char *const keys[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
        wire_request_init(&r, round % 30000, round % 2 ? WIRE_JSON : WIRE_BINARY, round);
        for (int i = 0; i < 8; i++) {
            size_t n = (random = random * 1664525 + 1013904223) >> 24;
            n = 1 + n % 39;
            for (size_t k = 0; k < n; k++)
                texts[i][k] = (char)(((random = random * 1664525 + 1013904223) >> 24) & 0x7f);
            wire_put(&r, keys[i], (struct str){texts[i], n});
        }
        r.body = (struct str){texts[0], (size_t)round % 30};
        struct buf out = {0};
        struct wire_frame f;
        assert_true(wire_encode(&r, NULL, &out));
        assert_true(wire_parse(out.p, out.n, &f));
        assert_int_equal(f.code, r.code);
        assert_int_equal(f.opaque, r.opaque);
        assert_int_equal(f.n_fields, 8);
        for (int i = 0; i < 8; i++)
            assert_true(str_eq(f.fields[i].value, r.fields[i].value));
        assert_true(str_eq(f.body, r.body));
        buf_free(&out);
    }
}

static void properties_are_found_by_name(void **state)
{
    (void)state;
    struct buf b = {0};
    wire_property_add(&b, STR("UNIQ_KEY"), STR("K1"));
    wire_property_add(&b, STR("TAGS"), STR(""));
    wire_property_add(&b, STR("KEYS"), STR("a b"));
    struct str p = buf_view(&b);
    assert_true(str_eq(wire_property(p, STR("UNIQ_KEY")), STR("K1")));
    assert_non_null(wire_property(p, STR("TAGS")).p);
    assert_int_equal(wire_property(p, STR("TAGS")).n, 0);
    assert_null(wire_property(p, STR("TAG")).p);
    assert_null(wire_property(p, STR("KEY")).p);
    p.n--; // Java does not always end with the separator
    assert_true(str_eq(wire_property(p, STR("KEYS")), STR("a b")));
    assert_false(wire_property_fits(STR("a\1")));
    assert_true(wire_property_fits(STR("a b")));
    buf_free(&b);
}

static void numbers_are_whole_texts(void **state)
{
    (void)state;
    int64_t v;
    assert_true(wire_i64(STR("-9223372036854775808"), &v) && v == INT64_MIN);
    assert_true(wire_i64(STR("9223372036854775807"), &v) && v == INT64_MAX);
    assert_false(wire_i64(STR("9223372036854775808"), &v));
    assert_false(wire_i64(STR(""), &v));
    assert_false(wire_i64(STR("-"), &v));
    assert_false(wire_i64(STR("1x"), &v));
    assert_false(wire_i64(STR("99999999999999999999"), &v));
    assert_true(wire_hex_i64(STR("fF"), &v) && v == 255);
    assert_false(wire_hex_i64(STR("g"), &v));
    assert_false(wire_hex_i64(STR("00000000000000000"), &v));
}

static void a_frame_too_long_leaves_the_buffer_as_it_was(void **state)
{
    (void)state;
    struct wire_request r;
    struct buf out = {0};
    char *body = calloc(1, WIRE_FRAME_MAX);
    assert_non_null(body);
    buf_z(&out, "before");
    wire_request_init(&r, WIRE_SEND_V2, WIRE_BINARY, 1);
    r.body = (struct str){body, WIRE_FRAME_MAX - 20};
    assert_false(wire_encode(&r, NULL, &out));
    assert_true(str_eq(buf_view(&out), STR("before")));
    free(body);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binary_frames_are_byte_for_byte_those_of_java),
        cmocka_unit_test(json_frames_say_what_those_of_java_say),
        cmocka_unit_test(answers_are_read_in_both_forms),
        cmocka_unit_test(signatures_are_those_of_java),
        cmocka_unit_test(an_empty_value_is_left_out),
        cmocka_unit_test(json_texts_are_unescaped_where_they_lie),
        cmocka_unit_test(json_that_is_no_header_is_refused),
        cmocka_unit_test(a_frame_is_measured_by_its_first_eight_bytes),
        cmocka_unit_test(damaged_frames_are_never_read_beyond_their_end),
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(properties_are_found_by_name),
        cmocka_unit_test(numbers_are_whole_texts),
        cmocka_unit_test(a_frame_too_long_leaves_the_buffer_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

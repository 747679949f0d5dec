// SPDX-License-Identifier: Apache-2.0
// The client against a name server and broker that misbehave.
#include "broker/rocketmq/client.h"
#include "fake.h"
#include "golden.h"
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RESULTS 16

struct desk {
    struct fake fake;
    struct rmq *c;
    struct rmq_options o;
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct rmq_result results[RESULTS];
    unsigned n_results;
    struct rmq_check check;
    char check_key[64];
    unsigned n_checks;
    struct rmq_receipt receipt;
    char body[64];
    unsigned n_deliveries;
};

static void on_done(void *ctx, uint64_t token, const struct rmq_result *r)
{
    struct desk *d = ctx;
    (void)token;
    pthread_mutex_lock(&d->lock);
    assert_true(d->n_results < RESULTS);
    d->results[d->n_results++] = *r;
    pthread_cond_broadcast(&d->came);
    pthread_mutex_unlock(&d->lock);
}

static void on_check(void *ctx, const struct rmq_check *check)
{
    struct desk *d = ctx;
    pthread_mutex_lock(&d->lock);
    d->check = *check;
    (void)snprintf(d->check_key, sizeof d->check_key, "%.*s", (int)check->uniq_key.n, check->uniq_key.p);
    d->n_checks++;
    pthread_cond_broadcast(&d->came);
    pthread_mutex_unlock(&d->lock);
}

static void on_message(void *ctx, const struct rmq_delivery *m)
{
    struct desk *d = ctx;
    pthread_mutex_lock(&d->lock);
    d->receipt = m->receipt;
    (void)snprintf(d->body, sizeof d->body, "%.*s", (int)m->body.n, m->body.p);
    d->n_deliveries++;
    pthread_cond_broadcast(&d->came);
    pthread_mutex_unlock(&d->lock);
}

static void await_count(struct desk *d, const unsigned *count, unsigned n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&d->lock);
    while (*count < n)
        if (pthread_cond_timedwait(&d->came, &d->lock, &until) != 0) fail_msg("waited in vain");
    pthread_mutex_unlock(&d->lock);
}

static struct rmq_stats stats_when(struct desk *d, bool (*holds)(const struct rmq_stats *s))
{
    struct rmq_stats s;
    struct timespec pause = {.tv_nsec = 5000000};
    for (int i = 0; i < 4000; i++) {
        rmq_stats(d->c, &s);
        if (holds(&s)) return s;
        nanosleep(&pause, NULL);
    }
    fail_msg("the statistics never said so");
    return s;
}

static const struct str topic = {"orders", 6};

// The hook and what else the test wants are set before.
static void desk_open(struct desk *d, fake_hook *hook)
{
    char why[160];
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->came, NULL);
    d->fake.hook = hook;
    d->fake.ctx = d;
    fake_start(&d->fake);
    if (!d->o.namesrv.n) d->o.namesrv = str_of(d->fake.address);
    d->o.transaction_group = STR("tx");
    d->o.producer_group = STR("out");
    d->o.topics = &topic;
    d->o.n_topics = 1;
    if (!d->o.call_deadline_ms) d->o.call_deadline_ms = 10000;
    d->o.on_check = on_check;
    d->o.ctx = d;
    d->c = rmq_new(&d->o, why);
    if (!d->c) fail_msg("%s", why);
}

static void desk_close(struct desk *d)
{
    rmq_free(d->c);
    fake_stop(&d->fake);
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->came);
}

static struct rmq_message message(void)
{
    return (struct rmq_message){.topic = topic, .body = STR("body"), .uniq_key = STR("KEY1")};
}

static struct rmq_result half(struct desk *d)
{
    struct rmq_message m = message();
    unsigned n = d->n_results + 1;
    assert_true(rmq_half(d->c, &m, on_done, d, 0));
    await_count(d, &d->n_results, n);
    return d->results[n - 1];
}

static void must_be(const struct rmq_result *r, enum rmq_outcome outcome, int code)
{
    if (r->outcome != outcome || r->code != code)
        fail_msg("outcome %d, code %d: %s", (int)r->outcome, r->code, r->remark);
}

static void half_and_end(enum wire_kind answers)
{
    struct desk d = {.fake.answers = answers};
    desk_open(&d, NULL);
    struct rmq_result h = half(&d);
    must_be(&h, RMQ_DONE, 0);
    assert_string_equal(h.handle.broker, "broker-a");
    assert_int_equal(h.handle.commit_log_offset, 0x12D687);
    assert_int_equal(h.handle.queue_offset, 41);
    assert_string_equal(h.msg_id, "KEY1");
    struct rmq_end end = {.handle = &h.handle, .topic = topic, .uniq_key = STR("KEY1"), .answer = RMQ_COMMIT};
    assert_true(rmq_end(d.c, &end, on_done, &d, 0));
    await_count(&d, &d.n_results, 2);
    must_be(&d.results[1], RMQ_DONE, 0);
    end.oneway = true;
    assert_true(rmq_end(d.c, &end, on_done, &d, 0));
    await_count(&d, &d.n_results, 3);
    must_be(&d.results[2], RMQ_DONE, 0);
    fake_await(&d.fake, WIRE_END_TRANSACTION, 2);
    desk_close(&d);
}

static void a_half_and_its_end_are_answered_in_json(void **state)
{
    (void)state;
    half_and_end(WIRE_JSON);
}

static void a_half_and_its_end_are_answered_in_binary(void **state)
{
    (void)state;
    half_and_end(WIRE_BINARY);
}

static bool garbage_first(struct fake *f, int fd, const struct wire_frame *r)
{
    if (r->code != WIRE_SEND_V2 || f->step++ > 0) return false;
    fake_write(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    return true;
}

static void garbage_closes_the_connection_and_the_next_call_has_a_new_one(void **state)
{
    (void)state;
    struct desk d = {0};
    desk_open(&d, garbage_first);
    struct rmq_result r = half(&d);
    must_be(&r, RMQ_UNKNOWN, -1);
    r = half(&d);
    must_be(&r, RMQ_DONE, 0);
    struct rmq_stats s;
    rmq_stats(d.c, &s);
    assert_int_equal(s.frames_bad, 1);
    assert_int_equal(s.connections_lost, 1);
    assert_int_equal(s.connects, 3); // name server, broker twice: the other one lived on
    desk_close(&d);
}

static bool hang_up_first(struct fake *f, int fd, const struct wire_frame *r)
{
    if (r->code != WIRE_SEND_V2 || f->step++ > 0) return false;
    fake_hang_up(fd);
    return true;
}

static void a_connection_lost_in_the_middle_of_a_call_leaves_it_unknown(void **state)
{
    (void)state;
    struct desk d = {0};
    desk_open(&d, hang_up_first);
    struct rmq_result r = half(&d);
    must_be(&r, RMQ_UNKNOWN, -1);
    assert_int_equal(d.fake.n_sent, 0);
    r = half(&d);
    must_be(&r, RMQ_DONE, 0);
    assert_int_equal(d.fake.n_sent, 1); // the first one was not sent again
    desk_close(&d);
}

static bool busy_twice(struct fake *f, int fd, const struct wire_frame *r)
{
    if (r->code != WIRE_SEND_V2 || f->step++ > 1) return false;
    fake_answer(f, fd, r, WIRE_BUSY, "[REJECTREQUEST]system busy", NULL, STR(""));
    return true;
}

static void a_busy_broker_is_asked_again(void **state)
{
    (void)state;
    struct desk d = {0};
    desk_open(&d, busy_twice);
    struct rmq_result r = half(&d);
    must_be(&r, RMQ_DONE, 0);
    struct rmq_stats s;
    rmq_stats(d.c, &s);
    assert_int_equal(s.busy, 2);
    assert_int_equal(s.retries, 2);
    desk_close(&d);
}

static bool busy_always(struct fake *f, int fd, const struct wire_frame *r)
{
    if (r->code != WIRE_SEND_V2) return false;
    fake_answer(f, fd, r, WIRE_BUSY, "[OVERLOAD]", NULL, STR(""));
    return true;
}

static void a_broker_busy_until_the_deadline_has_refused(void **state)
{
    (void)state;
    struct desk d = {.o.call_deadline_ms = 2000};
    desk_open(&d, busy_always);
    fake_await(&d.fake, WIRE_HEARTBEAT, 1);
    struct rmq_result r = half(&d);
    must_be(&r, RMQ_REFUSED, WIRE_BUSY);
    assert_string_equal(r.remark, "[OVERLOAD]");
    desk_close(&d);
}

static bool go_away_first(struct fake *f, int fd, const struct wire_frame *r)
{
    if (r->code != WIRE_SEND_V2 || f->step++ > 0) return false;
    fake_answer(f, fd, r, WIRE_GO_AWAY, "shutting down", NULL, STR(""));
    return true;
}

static void a_broker_that_says_go_away_is_connected_to_anew(void **state)
{
    (void)state;
    struct desk d = {0};
    desk_open(&d, go_away_first);
    struct rmq_result r = half(&d);
    must_be(&r, RMQ_DONE, 0);
    struct rmq_stats s;
    rmq_stats(d.c, &s);
    assert_int_equal(s.go_away, 1);
    assert_int_equal(s.connects, 3);
    fake_await(&d.fake, WIRE_HEARTBEAT, 2); // the new connection was introduced, too
    desk_close(&d);
}

static void a_route_without_a_master_sends_nothing(void **state)
{
    (void)state;
    struct desk d = {.o.call_deadline_ms = 300,
                     .fake.route =
                         "{\"brokerDatas\":[{\"brokerName\":\"broker-a\",\"brokerAddrs\":{\"1\":\"127.0.0.1:9\"}}],"
                         "\"queueDatas\":[{\"brokerName\":\"broker-a\",\"writeQueueNums\":4,\"perm\":6}]}"};
    desk_open(&d, NULL);
    struct rmq_result r = half(&d);
    must_be(&r, RMQ_NOT_SENT, -1);
    assert_non_null(strstr(r.remark, "no master"));
    desk_close(&d);
}

static void broker_ids_without_quotes_are_understood(void **state)
{
    (void)state;
    char route[300];
    struct desk d = {.fake.route = route};
    // The port is known only after the start, so the first route has none and a later one has.
    (void)snprintf(route, sizeof route, "{}");
    d.o.route_poll_ms = 50;
    desk_open(&d, NULL);
    pthread_mutex_lock(&d.fake.lock);
    (void)snprintf(route, sizeof route,
                   "{\"brokerDatas\":[{\"brokerAddrs\":{0:\"%s\",1:\"127.0.0.1:9\"},\"brokerName\":\"broker-a\"}],"
                   "\"queueDatas\":[{\"brokerName\":\"broker-a\",\"writeQueueNums\":4,\"perm\":6}]}",
                   d.fake.address);
    pthread_mutex_unlock(&d.fake.lock);
    struct rmq_result r = half(&d);
    must_be(&r, RMQ_DONE, 0);
    desk_close(&d);
}

static bool forbid(struct fake *f, int fd, const struct wire_frame *r)
{
    if (r->code != WIRE_SEND_V2) return false;
    fake_answer(f, fd, r, WIRE_NO_PERMISSION, "check signature failed.", NULL, STR(""));
    return true;
}

static void a_signature_that_is_not_accepted_is_a_refusal(void **state)
{
    (void)state;
    struct desk d = {.o.access_key = STR("ak"), .o.secret_key = STR("wrong")};
    desk_open(&d, forbid);
    struct rmq_result r = half(&d);
    must_be(&r, RMQ_REFUSED, WIRE_NO_PERMISSION);
    assert_string_equal(r.remark, "check signature failed.");
    struct rmq_stats s;
    rmq_stats(d.c, &s);
    assert_int_equal(s.acl_refusals, 1);
    assert_int_equal(s.n_refusals, 1);
    assert_int_equal(s.refusals[0].code, WIRE_NO_PERMISSION);
    desk_close(&d);
}

static bool no_topic(struct fake *f, int fd, const struct wire_frame *r)
{
    if (r->code != WIRE_GET_ROUTE) return false;
    fake_answer(f, fd, r, WIRE_TOPIC_NOT_EXIST, "No topic route info", NULL, STR(""));
    return true;
}

static void a_topic_that_is_nowhere_sends_nothing(void **state)
{
    (void)state;
    struct desk d = {.o.call_deadline_ms = 300};
    char text[160];
    desk_open(&d, no_topic);
    struct rmq_result r = half(&d);
    must_be(&r, RMQ_NOT_SENT, -1);
    assert_string_equal(r.remark, "no route for topic orders");
    assert_false(rmq_state(d.c, text));
    assert_string_equal(text, "no route for topic orders");
    desk_close(&d);
}

static bool only_default(struct fake *f, int fd, const struct wire_frame *r)
{
    if (r->code != WIRE_GET_ROUTE || str_eq(wire_field_of(r, "topic"), STR("TBW102"))) return false;
    fake_answer(f, fd, r, WIRE_TOPIC_NOT_EXIST, "No topic route info", NULL, STR(""));
    return true;
}

static void a_topic_not_made_yet_goes_where_the_default_topic_is(void **state)
{
    (void)state;
    struct desk d = {0};
    desk_open(&d, only_default);
    struct rmq_result r = half(&d);
    must_be(&r, RMQ_DONE, 0);
    desk_close(&d);
}

static void what_cannot_be_sent_is_refused_at_the_door(void **state)
{
    (void)state;
    struct desk d = {.o.max_body = 100};
    static const char long_body[101];
    desk_open(&d, NULL);
    struct rmq_message m = message();
    m.body = (struct str){long_body, sizeof long_body};
    assert_false(rmq_half(d.c, &m, on_done, &d, 0));
    assert_int_equal(errno, EMSGSIZE);
    m = message();
    m.topic = STR("no topic");
    assert_false(rmq_send(d.c, &m, on_done, &d, 0));
    assert_int_equal(errno, EINVAL);
    m = message();
    m.keys = STR("a\1b");
    assert_false(rmq_send(d.c, &m, on_done, &d, 0));
    assert_int_equal(errno, EINVAL);
    m = message();
    m.deliver_ms = 1; // a half message with a delivery time would lose its topic
    assert_false(rmq_half(d.c, &m, on_done, &d, 0));
    assert_int_equal(errno, EINVAL);
    assert_int_equal(d.n_results, 0);
    desk_close(&d);
}

static bool silent(struct fake *f, int fd, const struct wire_frame *r)
{
    (void)f;
    (void)fd;
    return r->code == WIRE_SEND_V2;
}

static void more_calls_than_there_is_room_for_are_not_accepted(void **state)
{
    (void)state;
    struct desk d = {.o.in_flight = 2};
    desk_open(&d, silent);
    struct rmq_message m = message();
    assert_true(rmq_send(d.c, &m, on_done, &d, 0));
    assert_true(rmq_send(d.c, &m, on_done, &d, 0));
    assert_false(rmq_send(d.c, &m, on_done, &d, 0));
    assert_int_equal(errno, EAGAIN);
    fake_await(&d.fake, WIRE_SEND_V2, 2);
    desk_close(&d);
    assert_int_equal(d.n_results, 2); // the end of the client answers what is open
    must_be(&d.results[0], RMQ_UNKNOWN, -1);
    must_be(&d.results[1], RMQ_UNKNOWN, -1);
}

static bool answer_with_heartbeat(struct fake *f, int fd, const struct wire_frame *r)
{
    static int32_t opaque;
    if (r->code == WIRE_SEND_V2) {
        opaque = r->opaque;
        return true;
    }
    if (r->code == WIRE_HEARTBEAT && opaque) {
        struct wire_frame late = {.opaque = opaque};
        fake_answer(f, fd, &late, 0, NULL, NULL, STR(""));
        opaque = 0;
    }
    return false;
}

static bool has_late(const struct rmq_stats *s)
{
    return s->late_answers == 1;
}

static void an_answer_after_the_deadline_is_counted_only(void **state)
{
    (void)state;
    struct desk d = {.o.call_deadline_ms = 100, .o.heartbeat_ms = 200};
    desk_open(&d, answer_with_heartbeat);
    fake_await(&d.fake, WIRE_HEARTBEAT, 1);
    struct rmq_result r = half(&d);
    must_be(&r, RMQ_UNKNOWN, -1);
    (void)stats_when(&d, has_late);
    assert_int_equal(d.n_results, 1);
    desk_close(&d);
}

static bool accident(struct fake *f, int fd, const struct wire_frame *r)
{
    static const char *const remarks[] = {"UNKNOWN_ERROR", "java.lang.NullPointerException", "timer wheel is off"};
    if (r->code != WIRE_SEND_V2) return false;
    if (f->step < 3)
        fake_answer(f, fd, r, WIRE_SYSTEM_ERROR, remarks[f->step], NULL, STR(""));
    else
        fake_answer(f, fd, r, 0, NULL, NULL, STR("")); // stored, nobody says where
    f->step++;
    return true;
}

static void an_accident_in_the_broker_is_unknown_and_a_clear_no_is_a_refusal(void **state)
{
    (void)state;
    struct desk d = {0};
    desk_open(&d, accident);
    struct rmq_result r = half(&d);
    must_be(&r, RMQ_UNKNOWN, 1);
    r = half(&d);
    must_be(&r, RMQ_UNKNOWN, 1);
    r = half(&d);
    must_be(&r, RMQ_REFUSED, 1);
    r = half(&d);
    must_be(&r, RMQ_UNKNOWN, 0);
    desk_close(&d);
}

static void an_absent_name_server_is_no_reason_to_wait(void **state)
{
    (void)state;
    struct desk d = {.o.call_deadline_ms = 200, .o.namesrv = STR("127.0.0.1:1")};
    char text[160];
    desk_open(&d, NULL);
    struct rmq_result r = half(&d);
    must_be(&r, RMQ_NOT_SENT, -1);
    assert_false(rmq_state(d.c, text));
    assert_non_null(strstr(text, "name server unreachable"));
    desk_close(&d);
}

static size_t hex_bytes(const char *hex, char *out)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned v;
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        assert_int_equal(sscanf(pair, "%x", &v), 1);
        out[i] = (char)v;
    }
    return n;
}

// The golden message with its properties replaced, as a check-back.
static void send_check(int fd, const char *group, const char *offset)
{
    char stored[1024];
    struct buf properties = {0}, out = {0};
    size_t n = hex_bytes(GOLDEN_STORED, stored);
    size_t at = n - 2 - 0x1e; // of the properties' length
    wire_property_add(&properties, STR("UNIQ_KEY"), STR("K1"));
    wire_property_add(&properties, STR("PGROUP"), str_of(group));
    wire_property_add(&properties, STR("TRANSACTION_CHECK_TIMES"), STR("3"));
    wire_set16(stored + at, (uint32_t)properties.n);
    memcpy(stored + at + 2, properties.p, properties.n);
    n = at + 2 + properties.n;
    wire_set32(stored, (uint32_t)n);
    struct wire_request r;
    wire_request_init(&r, WIRE_CHECK_TRANSACTION, WIRE_JSON, 77);
    r.is_oneway = true;
    wire_put(&r, "commitLogOffset", str_of(offset));
    wire_put(&r, "tranStateTableOffset", STR("12"));
    r.body = (struct str){stored, n};
    assert_true(wire_encode(&r, NULL, &out));
    fake_write(fd, out.p, out.n);
    buf_free(&out);
    buf_free(&properties);
}

static bool checks_after_heartbeat(struct fake *f, int fd, const struct wire_frame *r)
{
    if (r->code != WIRE_HEARTBEAT || f->step++ > 0) return false;
    send_check(fd, "somebody else", "1000");
    send_check(fd, "tx", "not a number");
    send_check(fd, "tx", "2000");
    return false;
}

static void a_check_of_a_foreign_group_is_counted_and_ours_is_delivered(void **state)
{
    (void)state;
    struct desk d = {0};
    desk_open(&d, checks_after_heartbeat);
    await_count(&d, &d.n_checks, 1);
    assert_int_equal(d.check.handle.commit_log_offset, 2000);
    assert_int_equal(d.check.handle.queue_offset, 12);
    assert_string_equal(d.check.handle.broker, "broker-a");
    assert_int_equal(d.check.n, 3);
    assert_string_equal(d.check_key, "K1");
    desk_close(&d);
    assert_int_equal(d.n_checks, 1);
}

static bool has_checks(const struct rmq_stats *s)
{
    return s->checks == 3;
}

static void foreign_and_broken_checks_are_told_apart(void **state)
{
    (void)state;
    struct desk d = {0};
    desk_open(&d, checks_after_heartbeat);
    struct rmq_stats s = stats_when(&d, has_checks);
    assert_int_equal(s.checks_foreign, 1);
    assert_int_equal(s.checks_bad, 1);
    desk_close(&d);
}

static bool asks_back(struct fake *f, int fd, const struct wire_frame *r)
{
    struct desk *d = f->ctx;
    if (r->flag & WIRE_RESPONSE) {
        if (r->opaque == 99 && r->code == WIRE_NOT_SUPPORTED) f->step = 2;
        pthread_mutex_lock(&d->lock);
        d->n_checks = (unsigned)f->step;
        pthread_cond_broadcast(&d->came);
        pthread_mutex_unlock(&d->lock);
        return true;
    }
    if (r->code != WIRE_HEARTBEAT) return false;
    struct wire_request ask;
    struct buf out = {0};
    wire_request_init(&ask, 307, WIRE_JSON, 99); // GET_CONSUMER_RUNNING_INFO
    assert_true(wire_encode(&ask, NULL, &out));
    fake_write(fd, out.p, out.n);
    buf_free(&out);
    return false;
}

static void what_we_do_not_serve_is_answered_so(void **state)
{
    (void)state;
    struct desk d = {0};
    desk_open(&d, asks_back);
    await_count(&d, &d.n_checks, 2);
    desk_close(&d);
}

static bool pops(struct fake *f, int fd, const struct wire_frame *r)
{
    char stored[1024];
    static const char *const fields[] = {"popTime",
                                         "1764086400100",
                                         "invisibleTime",
                                         "60000",
                                         "reviveQid",
                                         "5",
                                         "startOffsetInfo",
                                         "0 1 7;0 3 40;1 3 9",
                                         "msgOffsetInfo",
                                         "0 3 41",
                                         "restNum",
                                         "0",
                                         NULL};
    struct desk *d = f->ctx;
    if (r->code == WIRE_POP && f->step == 0) {
        f->step = 1;
        assert_true(str_eq(wire_field_of(r, "maxMsgNums"), STR("1")));
        size_t n = hex_bytes(GOLDEN_STORED, stored);
        fake_answer(f, fd, r, 0, NULL, fields, (struct str){stored, n});
        return true;
    }
    if (r->code == WIRE_POP) {
        pthread_mutex_lock(&d->lock);
        d->n_checks = f->step == 2 ? 1 : 100; // only after the acknowledgement
        pthread_cond_broadcast(&d->came);
        pthread_mutex_unlock(&d->lock);
    }
    if (r->code == WIRE_ACK) {
        f->step = 2;
        assert_true(str_eq(wire_field_of(r, "extraInfo"), STR("40 1764086400100 60000 5 0 broker-a 3 41")));
        assert_true(str_eq(wire_field_of(r, "queueId"), STR("3")));
        assert_true(str_eq(wire_field_of(r, "offset"), STR("41")));
        assert_true(str_eq(wire_field_of(r, "topic"), topic));
    }
    return false;
}

static void a_delivery_is_acknowledged_by_its_receipt_and_makes_room_for_the_next(void **state)
{
    (void)state;
    struct desk d = {0};
    desk_open(&d, pops);
    struct rmq_subscription s = {
        .topic = topic, .group = STR("g"), .invisible_ms = 60000, .max = 1, .on_message = on_message, .ctx = &d};
    assert_true(rmq_subscribe(d.c, &s));
    await_count(&d, &d.n_deliveries, 1);
    assert_string_equal(d.body, "{\"id\":\"ord_1\"}");
    assert_true(rmq_ack(d.c, &d.receipt, on_done, &d, 0));
    await_count(&d, &d.n_results, 1);
    must_be(&d.results[0], RMQ_DONE, 0);
    await_count(&d, &d.n_checks, 1);
    assert_int_equal(d.n_checks, 1);
    desk_close(&d);
}

static void options_that_make_no_sense_are_told(void **state)
{
    (void)state;
    char why[160];
    struct rmq_options o = {.namesrv = STR("nowhere")};
    assert_null(rmq_new(&o, why));
    assert_non_null(strstr(why, "host:port"));
    o = (struct rmq_options){.namesrv = STR("127.0.0.1:1"), .access_key = STR("ak")};
    assert_null(rmq_new(&o, why));
    assert_non_null(strstr(why, "belong together"));
    o = (struct rmq_options){.namesrv = STR("127.0.0.1:1"), .tls = true, .ca_file = "/nonexistent"};
    assert_null(rmq_new(&o, why));
    assert_non_null(strstr(why, "TLS"));
    rmq_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_half_and_its_end_are_answered_in_json),
        cmocka_unit_test(a_half_and_its_end_are_answered_in_binary),
        cmocka_unit_test(garbage_closes_the_connection_and_the_next_call_has_a_new_one),
        cmocka_unit_test(a_connection_lost_in_the_middle_of_a_call_leaves_it_unknown),
        cmocka_unit_test(a_busy_broker_is_asked_again),
        cmocka_unit_test(a_broker_busy_until_the_deadline_has_refused),
        cmocka_unit_test(a_broker_that_says_go_away_is_connected_to_anew),
        cmocka_unit_test(a_route_without_a_master_sends_nothing),
        cmocka_unit_test(broker_ids_without_quotes_are_understood),
        cmocka_unit_test(a_signature_that_is_not_accepted_is_a_refusal),
        cmocka_unit_test(a_topic_that_is_nowhere_sends_nothing),
        cmocka_unit_test(a_topic_not_made_yet_goes_where_the_default_topic_is),
        cmocka_unit_test(what_cannot_be_sent_is_refused_at_the_door),
        cmocka_unit_test(more_calls_than_there_is_room_for_are_not_accepted),
        cmocka_unit_test(an_answer_after_the_deadline_is_counted_only),
        cmocka_unit_test(an_accident_in_the_broker_is_unknown_and_a_clear_no_is_a_refusal),
        cmocka_unit_test(an_absent_name_server_is_no_reason_to_wait),
        cmocka_unit_test(a_check_of_a_foreign_group_is_counted_and_ours_is_delivered),
        cmocka_unit_test(foreign_and_broken_checks_are_told_apart),
        cmocka_unit_test(what_we_do_not_serve_is_answered_so),
        cmocka_unit_test(a_delivery_is_acknowledged_by_its_receipt_and_makes_room_for_the_next),
        cmocka_unit_test(options_that_make_no_sense_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

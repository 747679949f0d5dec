// SPDX-License-Identifier: Apache-2.0
// One connection's promises: order of answers, limits, ends, streams.
#include "fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define HELD(i, n) "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " n "\r\n\r\nheld " i
#define GET(path)  "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static const struct fixture_setup usual = {0};

static void answers_come_in_request_order_though_given_in_another(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &usual);
    int fd = client_open(&f);
    client_say(fd, GET("/hold") GET("/hold") GET("/now?x") GET("/hold"));
    wait_count(&f.n_held, 3);
    let_go(&f, 2);
    let_go(&f, 1);
    assert_true(client_silent(fd, 50));
    let_go(&f, 0);
    client_expect(fd,
                  HELD("0", "6") HELD("1", "6") "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n/now?x" HELD("2", "6"));
    assert_int_equal(atomic_load(&f.n_closed), 0);
    close(fd);
    fixture_close(&f);
}

static void more_than_64_unanswered_requests_are_not_read(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &usual);
    int fd = client_open(&f);
    struct buf b = {0}, want = {0};
    for (unsigned i = 0; i < 200; i++)
        buf_z(&b, GET("/hold"));
    client_send(fd, buf_view(&b));
    wait_count(&f.n_held, PIPELINE_MAX);
    usleep(50000);
    assert_int_equal(atomic_load(&f.n_held), PIPELINE_MAX);
    for (unsigned i = 0; i < 200; i++) {
        for (int64_t end = test_now_ms() + WAIT_MS; atomic_load(&f.n_held) <= i && test_now_ms() < end;)
            usleep(100);
        let_go(&f, i);
        assert_true(atomic_load(&f.n_held) <= i + 1 + PIPELINE_MAX);
        buf_printf(&want, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\nheld %u",
                   i < 10    ? 6
                   : i < 100 ? 7
                             : 8,
                   i);
    }
    buf_char(&want, 0);
    client_expect(fd, want.p);
    buf_free(&b);
    buf_free(&want);
    close(fd);
    fixture_close(&f);
}

static void thousands_of_pipelined_requests_are_all_answered(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &usual);
    int fd = client_open(&f);
    struct buf b = {0};
    for (unsigned i = 0; i < 3000; i++)
        buf_z(&b, GET("/now"));
    buf_z(&b, "GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client_send(fd, buf_view(&b));
    buf_free(&b);
    struct buf got = client_rest(fd);
    size_t each = strlen("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n/now");
    assert_int_equal(got.n, 3001 * each + strlen("Connection: close\r\n"));
    assert_int_equal(atomic_load(&f.n_requests), 3001);
    assert_true(atomic_load(&f.n_rounds) < 3001); // one call for many requests
    buf_free(&got);
    close(fd);
    fixture_close(&f);
}

static void client_closing_early_is_told_to_the_handler(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &usual);
    int fd = client_open(&f), other = client_open(&f);
    client_say(fd, GET("/hold") GET("/now") GET("/hold"));
    client_say(other, GET("/stream"));
    wait_count(&f.n_held, 3);
    close(fd);
    wait_count(&f.n_closed, 2); // the answered one is not told
    struct linger reset = {1, 0};
    setsockopt(other, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    int64_t begin = test_now_ms();
    close(other);
    wait_count(&f.n_closed, 3);
    assert_true(test_now_ms() - begin < 500); // a reset leaves no doubt
    fixture_close(&f);
    assert_int_equal(atomic_load(&f.n_closed), 3);
}

static void client_that_only_ends_its_sending_still_gets_the_answer(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &usual);
    int fd = client_open(&f);
    client_say(fd, GET("/hold"));
    shutdown(fd, SHUT_WR);
    wait_count(&f.n_held, 1);
    usleep(100000);
    let_go(&f, 0);
    client_expect(fd, HELD("0", "6"));
    client_expect_end(fd);
    assert_int_equal(atomic_load(&f.n_closed), 0);
    close(fd);
    fixture_close(&f);
}

static void expect_limit(enum conn_phase phase, const char *say, const char *status_line, const char *code)
{
    struct fixture f;
    fixture_open(&f, &(struct fixture_setup){.phase = phase, .limit_ms = 300});
    int fd = client_open(&f);
    int64_t begin = test_now_ms();
    client_say(fd, say);
    struct buf got = client_rest(fd);
    int64_t took = test_now_ms() - begin;
    assert_true(took >= 150 && took < 2000);
    assert_true(str_starts(buf_view(&got), str_of(status_line)));
    if (*code) assert_non_null(strstr(got.p, code));
    if (*code) assert_non_null(strstr(got.p, "Connection: close\r\n"));
    if (!*status_line) assert_int_equal(got.n, 0);
    buf_free(&got);
    close(fd);
    fixture_close(&f);
}

static void slow_clients_meet_their_limits(void **state)
{
    (void)state;
    expect_limit(PHASE_HEAD, "GET / HTTP/1.1\r\nHo", "HTTP/1.1 408 Request Timeout\r\n", "\"request_timeout\"");
    expect_limit(PHASE_BODY, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe", "HTTP/1.1 408 ",
                 "\"request_timeout\"");
    expect_limit(PHASE_FRESH, "", "", "");
    expect_limit(PHASE_IDLE, GET("/now"), "HTTP/1.1 200 OK\r\n", "");
}

static void dribbling_a_head_does_not_extend_its_limit(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &(struct fixture_setup){.phase = PHASE_HEAD, .limit_ms = 400});
    int fd = client_open(&f);
    client_say(fd, "GET / HTTP/1.1\r\n");
    int64_t begin = test_now_ms();
    while (client_silent(fd, 50) && test_now_ms() - begin < 2000)
        client_say(fd, "X: y\r\n");
    assert_true(test_now_ms() - begin < 1200);
    client_expect(fd, "HTTP/1.1 408 ");
    close(fd);
    fixture_close(&f);
}

static void reader_that_takes_nothing_is_cut_off(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &(struct fixture_setup){.phase = PHASE_STALL, .limit_ms = 300});
    int fd = client_open(&f);
    struct buf b = {0};
    for (unsigned i = 0; i < 40; i++)
        buf_z(&b, GET("/big")); // more than the kernel's buffers take
    client_send(fd, buf_view(&b));
    buf_free(&b);
    for (int64_t end = test_now_ms() + WAIT_MS; http_server_connections(f.server) && test_now_ms() < end;)
        usleep(1000);
    assert_int_equal(http_server_connections(f.server), 0);
    close(fd);
    fixture_close(&f);
}

static void large_answers_arrive_whole(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &usual);
    int fd = client_open(&f);
    struct buf b = {0};
    for (unsigned i = 0; i < 20; i++)
        buf_z(&b, GET("/big"));
    buf_z(&b, "GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client_send(fd, buf_view(&b));
    buf_free(&b);
    usleep(50000);
    struct buf got = client_rest(fd);
    size_t head = strlen("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1048576\r\n\r\n");
    const char *last = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    assert_int_equal(got.n, 20 * (head + 1048576) + strlen(last));
    assert_string_equal(got.p + got.n - strlen(last), last);
    buf_free(&got);
    close(fd);
    fixture_close(&f);
}

static void too_many_connections_are_told_503(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &(struct fixture_setup){.max_connections = 2});
    int a = client_open(&f), b = client_open(&f);
    client_say(a, GET("/now"));
    client_expect(a, "HTTP/1.1 200 OK\r\n");
    client_say(b, GET("/now"));
    client_expect(b, "HTTP/1.1 200 OK\r\n");
    int c = client_open(&f);
    client_say(c, GET("/now"));
    client_expect(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n");
    struct buf got = client_rest(c);
    assert_non_null(strstr(got.p, "\"code\":\"overloaded\""));
    buf_free(&got);
    close(c);
    assert_int_equal(http_server_connections(f.server), 2);
    close(a);
    for (int64_t end = test_now_ms() + WAIT_MS; http_server_connections(f.server) > 1 && test_now_ms() < end;)
        usleep(1000);
    c = client_open(&f);
    client_say(c, GET("/now"));
    client_expect(c, "HTTP/1.1 200 OK\r\n");
    close(b);
    close(c);
    fixture_close(&f);
}

static void head_has_the_length_and_no_body(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &usual);
    int fd = client_open(&f);
    client_say(fd, "HEAD /now HTTP/1.1\r\nHost: a\r\n\r\n"
                   "HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n" GET("/now?2"));
    client_expect(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
                      "HTTP/1.1 204 No Content\r\n\r\n"
                      "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n/now?2");
    close(fd);
    fixture_close(&f);
}

static void check_dialogue(const char *say, const char *want, bool ends)
{
    struct fixture f;
    fixture_open(&f, &usual);
    int fd = client_open(&f);
    client_say(fd, say);
    client_expect(fd, want);
    if (ends)
        client_expect_end(fd);
    else
        assert_true(client_silent(fd, 30));
    close(fd);
    fixture_close(&f);
}

static void connections_are_kept_or_closed_as_asked(void **state)
{
    (void)state;
    check_dialogue("GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/now"),
                   "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n/now", true);
    check_dialogue("GET /now HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n/now",
                   true);
    check_dialogue("GET /now HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                   "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: keep-alive\r\n\r\n/now", false);
    check_dialogue(GET("/last") GET("/hold"), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                   true);
    check_dialogue(GET("http://other/now"), "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\nhttp://other/now", false);
    check_dialogue(GET("/%6eow"), "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n/%6eow", false);
    check_dialogue("GET /head?X-one HTTP/1.1\r\nHost: a\r\nX-On: 1\r\nx-ONE:  two \r\n\r\n" GET("/head?absent"),
                   "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo"
                   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                   false);
    // one that must be single and came twice is as good as none
    check_dialogue("GET /single?X-one HTTP/1.1\r\nHost: a\r\nX-ONE: two\r\n\r\n"
                   "GET /single?X-one HTTP/1.1\r\nHost: a\r\nX-One: two\r\nx-one: two\r\n\r\n",
                   "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo"
                   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                   false);
}

static void expectations_are_answered_in_order(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &usual);
    int fd = client_open(&f);
    client_say(fd, GET("/hold") "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    wait_count(&f.n_held, 1);
    assert_true(client_silent(fd, 50));
    let_go(&f, 0);
    client_expect(fd, HELD("0", "6") "HTTP/1.1 100 Continue\r\n\r\n");
    client_say(fd, "hello");
    client_expect(fd,
                  "HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nX-More: yes\r\n\r\nhello");
    // Who begins to send the body at once needs no invitation.
    client_say(fd, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nx");
    assert_true(client_silent(fd, 50));
    client_say(fd, "y");
    client_expect(fd, "HTTP/1.1 201 Created\r\n");
    close(fd);
    fixture_close(&f);
}

static void faults_are_answered_after_what_came_before(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &usual);
    int fd = client_open(&f);
    client_say(fd, GET("/hold") "GET / HTTP/1.1\nHost: a\r\n\r\n" GET("/now"));
    wait_count(&f.n_held, 1);
    assert_true(client_silent(fd, 50));
    let_go(&f, 0);
    client_expect(fd, HELD("0", "6") "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\n");
    struct buf got = client_rest(fd);
    assert_non_null(strstr(got.p, "Connection: close\r\n"));
    assert_non_null(strstr(got.p, "\"status\":400"));
    assert_non_null(strstr(got.p, "\"code\":\"bad_request\"}"));
    assert_int_equal(atomic_load(&f.n_requests), 1);
    buf_free(&got);
    close(fd);
    fixture_close(&f);
}

static void refusal_reaches_a_client_that_is_still_sending(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &usual);
    int fd = client_open(&f);
    struct buf b = {0};
    buf_z(&b, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
    buf_reserve(&b, 300000);
    memset(b.p + b.n, 'x', 300000);
    b.n += 300000;
    client_send(fd, buf_view(&b));
    buf_free(&b);
    client_expect(fd, "HTTP/1.1 413 Content Too Large\r\n");
    struct buf got = client_rest(fd);
    assert_non_null(strstr(got.p, "\"code\":\"body_too_large\""));
    buf_free(&got);
    close(fd);
    fixture_close(&f);
}

static void bodies_of_every_kind_arrive_whole(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &usual);
    int fd = client_open(&f);
    char *body = malloc(HTTP_BODY_MAX);
    assert_non_null(body);
    for (size_t i = 0; i < HTTP_BODY_MAX; i++)
        body[i] = (char)('a' + i % 23);
    struct buf b = {0};
    buf_printf(&b, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %u\r\n\r\n", HTTP_BODY_MAX);
    buf_add(&b, body, HTTP_BODY_MAX);
    buf_z(&b, "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < HTTP_BODY_MAX; at += 2) // three times its size on the wire
        buf_printf(&b, "2\r\n%.2s\r\n", body + at);
    buf_z(&b, "0\r\nX: y\r\n\r\n");
    for (size_t at = 0; at < b.n; at += 5000) {
        client_send(fd, (struct str){b.p + at, b.n - at < 5000 ? b.n - at : 5000});
        usleep(200);
    }
    struct buf got = client_rest(fd);
    const char *first = strstr(got.p, "\r\n\r\n");
    assert_non_null(first);
    assert_memory_equal(first + 4, body, HTTP_BODY_MAX);
    assert_memory_equal(got.p + got.n - HTTP_BODY_MAX, body, HTTP_BODY_MAX);
    assert_true(got.n < 2 * HTTP_BODY_MAX + 400);
    buf_free(&got);
    buf_free(&b);
    free(body);
    close(fd);
    fixture_close(&f);
}

// --- streams

static void write_pieces(void *arg)
{
    struct fixture *f = arg;
    assert_true(http_stream_write(f->held[0], STR("data: 1\n\n")));
    assert_true(http_stream_write(f->held[0], STR("")));
    assert_true(http_stream_write(f->held[0], STR("data: 22222222\n\n")));
}

static void end_stream(void *arg)
{
    struct fixture *f = arg;
    http_stream_end(f->held[0]);
}

static void check_stream(const char *request, const char *head, const char *pieces, const char *end)
{
    struct fixture f;
    fixture_open(&f, &usual);
    int fd = client_open(&f);
    client_say(fd, request);
    client_expect(fd, head);
    wait_count(&f.n_held, 1);
    on_worker(&f, write_pieces, &f);
    client_expect(fd, pieces);
    assert_true(client_silent(fd, 30));
    on_worker(&f, end_stream, &f);
    client_expect(fd, end);
    assert_int_equal(atomic_load(&f.n_closed), 0);
    close(fd);
    fixture_close(&f);
}

static void streams_are_chunked_and_flushed(void **state)
{
    (void)state;
    check_stream(GET("/stream") GET("/now"),
                 "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
                 "9\r\ndata: 1\n\n\r\n10\r\ndata: 22222222\n\n\r\n",
                 "0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n/now");
    check_stream("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n" GET("/now"),
                 "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n", "",
                 "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n/now");
    check_stream("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                 "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n",
                 "data: 1\n\ndata: 22222222\n\n", "");
}

struct flood {
    struct fixture *f;
    size_t taken;
    bool refused;
};

static void flood_round(void *arg)
{
    struct flood *w = arg;
    static char piece[16384];
    memset(piece, 'f', sizeof piece);
    for (int i = 0; i < 8 && !w->refused; i++) {
        w->refused = !http_stream_write(w->f->held[0], (struct str){piece, sizeof piece});
        if (!w->refused) w->taken += sizeof piece;
    }
    if (w->refused) assert_false(http_stream_write(w->f->held[0], STR("x")));
    if (w->refused) http_stream_end(w->f->held[0]);
}

static void stream_whose_reader_does_not_read_is_refused_and_never_looks_whole(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &usual);
    int fd = client_open(&f);
    client_say(fd, GET("/stream"));
    wait_count(&f.n_held, 1);
    struct flood w = {&f, 0, false};
    for (int i = 0; i < 1000 && !w.refused; i++)
        on_worker(&f, flood_round, &w);
    assert_true(w.refused);
    assert_true(w.taken >= STREAM_WAIT_MAX - 16384);
    struct buf got = client_rest(fd);
    assert_true(got.n > w.taken); // what was taken arrives
    assert_null(strstr(got.p, "\r\n0\r\n\r\n"));
    buf_free(&got);
    close(fd);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_come_in_request_order_though_given_in_another),
        cmocka_unit_test(more_than_64_unanswered_requests_are_not_read),
        cmocka_unit_test(thousands_of_pipelined_requests_are_all_answered),
        cmocka_unit_test(client_closing_early_is_told_to_the_handler),
        cmocka_unit_test(client_that_only_ends_its_sending_still_gets_the_answer),
        cmocka_unit_test(slow_clients_meet_their_limits),
        cmocka_unit_test(dribbling_a_head_does_not_extend_its_limit),
        cmocka_unit_test(reader_that_takes_nothing_is_cut_off),
        cmocka_unit_test(large_answers_arrive_whole),
        cmocka_unit_test(too_many_connections_are_told_503),
        cmocka_unit_test(head_has_the_length_and_no_body),
        cmocka_unit_test(connections_are_kept_or_closed_as_asked),
        cmocka_unit_test(expectations_are_answered_in_order),
        cmocka_unit_test(faults_are_answered_after_what_came_before),
        cmocka_unit_test(refusal_reaches_a_client_that_is_still_sending),
        cmocka_unit_test(bodies_of_every_kind_arrive_whole),
        cmocka_unit_test(streams_are_chunked_and_flushed),
        cmocka_unit_test(stream_whose_reader_does_not_read_is_refused_and_never_looks_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
// Workers: posts from other threads, timers, starting and stopping; and the small helpers for handlers.
#include "fixture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define N_POSTERS 4
#define N_POSTS   5000

static const struct fixture_setup usual = {0};

struct poster {
    struct fixture *f;
    pthread_t thread;
    unsigned next; // on the worker's thread
    bool disordered;
    atomic_uint *n_run;
};

struct numbered {
    struct poster *poster;
    unsigned i;
};

static void run_numbered(void *arg)
{
    struct numbered *n = arg;
    if (n->poster->next++ != n->i) n->poster->disordered = true;
    atomic_fetch_add(n->poster->n_run, 1);
    free(n);
}

static void *post_many(void *arg)
{
    struct poster *p = arg;
    for (unsigned i = 0; i < N_POSTS; i++) {
        struct numbered *n = malloc(sizeof *n);
        if (!n) abort();
        *n = (struct numbered){p, i};
        if (!http_worker_post(fixture_worker(p->f), run_numbered, n)) abort();
    }
    return NULL;
}

static void posts_of_several_threads_all_run_in_each_ones_order(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &usual);
    atomic_uint n_run = 0;
    struct poster posters[N_POSTERS];
    for (unsigned i = 0; i < N_POSTERS; i++) {
        posters[i] = (struct poster){.f = &f, .n_run = &n_run};
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_many, &posters[i]), 0);
    }
    for (unsigned i = 0; i < N_POSTERS; i++)
        pthread_join(posters[i].thread, NULL);
    wait_count(&n_run, N_POSTERS * N_POSTS);
    for (unsigned i = 0; i < N_POSTERS; i++)
        assert_false(posters[i].disordered);
    fixture_close(&f);
}

static void posts_before_the_start_run_after_it_and_none_after_the_stop(void **state)
{
    (void)state;
    char why[200];
    struct fixture f = {0};
    struct http_handler h = {0};
    struct http_options o = {"127.0.0.1:0", 1, 1};
    f.server = http_server_new(&o, &h, why);
    assert_non_null(f.server);
    atomic_uint n_run = 0;
    struct poster p = {.f = &f, .n_run = &n_run};
    post_many(&p);
    assert_int_equal(atomic_load(&n_run), 0);
    assert_true(http_server_start(f.server));
    wait_count(&n_run, N_POSTS);
    http_server_stop(f.server, 0);
    assert_false(http_worker_post(fixture_worker(&f), run_numbered, NULL));
    http_server_free(f.server);
}

struct timers {
    struct fixture *f;
    struct http_timer *cancelled;
    atomic_uint n_fired, n_late;
    int64_t begin_ms, fired_ms;
};

static void count_fired(void *arg)
{
    struct timers *t = arg;
    t->fired_ms = test_now_ms();
    atomic_fetch_add(&t->n_fired, 1);
}

static void count_late(void *arg)
{
    struct timers *t = arg;
    atomic_fetch_add(&t->n_late, 1);
}

static void set_timers(void *arg)
{
    struct timers *t = arg;
    t->begin_ms = test_now_ms();
    http_timer_after(fixture_worker(t->f), 100, count_fired, t);
    t->cancelled = http_timer_after(fixture_worker(t->f), 50, count_late, t);
    http_timer_after(fixture_worker(t->f), 3600000, count_late, t); // still armed at the stop
    http_timer_cancel(t->cancelled);
    http_timer_cancel(NULL);
}

static void timers_fire_once_unless_cancelled(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &usual);
    struct timers t = {.f = &f};
    on_worker(&f, set_timers, &t);
    wait_count(&t.n_fired, 1);
    usleep(150000);
    fixture_close(&f);
    assert_int_equal(atomic_load(&t.n_fired), 1);
    assert_int_equal(atomic_load(&t.n_late), 0);
    assert_in_range(t.fired_ms - t.begin_ms, 80, 1000);
}

struct stopper {
    struct fixture *f;
    unsigned grace_ms;
    int64_t took_ms;
    pthread_t thread;
};

static void *stop_it(void *arg)
{
    struct stopper *s = arg;
    int64_t begin = test_now_ms();
    http_server_stop(s->f->server, s->grace_ms);
    s->took_ms = test_now_ms() - begin;
    return NULL;
}

static void stop_lets_running_exchanges_finish(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &usual);
    int fd = client_open(&f), idle = client_open(&f);
    client_say(idle, GET("/now"));
    client_expect(idle, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n/now");
    client_say(fd, GET("/hold") GET("/hold"));
    wait_count(&f.n_held, 2);
    struct stopper s = {.f = &f, .grace_ms = 4000};
    pthread_create(&s.thread, NULL, stop_it, &s);
    client_expect_end(idle); // at once
    assert_true(client_silent(fd, 100));
    let_go(&f, 0);
    let_go(&f, 1);
    client_expect(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nheld 0"
                      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\nConnection: "
                      "close\r\n\r\nheld 1");
    client_expect_end(fd);
    close(fd);
    pthread_join(s.thread, NULL);
    assert_true(s.took_ms < 2000);
    assert_int_equal(atomic_load(&f.n_closed), 0);
    close(idle);
    fixture_close(&f);
}

static void stop_ends_what_outlasts_the_grace(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &usual);
    int fd = client_open(&f);
    client_say(fd, GET("/hold"));
    wait_count(&f.n_held, 1);
    struct stopper s = {.f = &f, .grace_ms = 300};
    stop_it(&s);
    assert_in_range(s.took_ms, 150, 2000);
    assert_int_equal(atomic_load(&f.n_closed), 1);
    client_expect_end(fd);
    close(fd);
    fixture_close(&f);
}

static void every_worker_serves(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &(struct fixture_setup){.n_workers = 4});
    assert_int_equal(http_server_workers(f.server), 4);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(http_worker_index(http_server_worker(f.server, i)), i);
    int fds[64];
    for (unsigned i = 0; i < 64; i++) {
        fds[i] = client_open(&f);
        client_say(fds[i], GET("/now"));
    }
    for (unsigned i = 0; i < 64; i++) {
        client_expect(fds[i], "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n/now");
    }
    assert_int_equal(http_server_connections(f.server), 64);
    http_server_stop(f.server, 0);
    unsigned n_busy = 0;
    for (unsigned i = 0; i < 4; i++)
        n_busy += http_server_worker(f.server, i)->n_served > 0;
    assert_true(n_busy > 1);
    for (unsigned i = 0; i < 64; i++)
        close(fds[i]);
    fixture_close(&f);
}

static void port_in_use_is_told(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, &(struct fixture_setup){.n_workers = 2});
    char address[32], why[200] = "";
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", http_server_port(f.server));
    struct http_handler h = {0};
    struct http_options o = {address, 2, 10};
    assert_null(http_server_new(&o, &h, why));
    assert_non_null(strstr(why, "in use"));
    assert_non_null(strstr(why, address));
    fixture_close(&f);
}

static void malformed_addresses_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",       "8080",         ":8080",   "127.0.0.1", "127.0.0.1:",   "127.0.0.1:65536",
        "::1:80", "127.0.0.1:8x", "[::1:80", "[]:80",     "127.0.0.1:-1", "127.0.0.1: 80"};
    struct http_handler h = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char why[200] = "";
        struct http_options o = {bad[i], 1, 10};
        if (http_server_new(&o, &h, why)) fail_msg("\"%s\" was taken", bad[i]);
        assert_true(strlen(why) > 0 && !strchr(why, '\n'));
    }
    char why[200] = "";
    assert_null(http_server_new(&(struct http_options){"127.0.0.1:0", 0, 10}, &h, why));
    assert_null(http_server_new(&(struct http_options){"127.0.0.1:0", 65, 10}, &h, why));
}

static void query_parameters_are_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *query, *name, *value; // NULL: absent
    } cases[] = {
        {"a=1&b=2", "b", "2"},   {"a=1&b=2", "c", NULL}, {"a=%20+x", "a", "  x"}, {"a", "a", ""},
        {"a=", "a", ""},         {"", "a", NULL},        {"ab=1&a=2", "a", "2"},  {"%61=1", "a", "1"},
        {"a=%zz", "a", NULL},    {"a=%00", "a", NULL},   {"a=1&a=2", "a", "1"},   {"&&a=1", "a", "1"},
        {"%zz=1&a=2", "a", "2"}, {"a=b=c", "a", "b=c"},  {"a=%", "a", NULL},
    };
    struct buf out = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool found = http_query(str_of(cases[i].query), cases[i].name, &out);
        if (found != (cases[i].value != NULL)) fail_msg("%s", cases[i].query);
        if (found && !str_eq(buf_view(&out), str_of(cases[i].value))) fail_msg("%s", cases[i].query);
    }
    buf_free(&out);
}

static void problems_have_their_members(void **state)
{
    (void)state;
    struct buf out = {0};
    http_problem_json(&out, 422, "unknown_sku", "No \"such\" thing.", "/items/0/sku");
    buf_char(&out, 0);
    assert_string_equal(out.p,
                        "{\"type\":\"about:blank\",\"title\":\"Unprocessable Content\",\"status\":422,"
                        "\"detail\":\"No \\\"such\\\" thing.\",\"code\":\"unknown_sku\",\"pointer\":\"/items/0/sku\"}");
    buf_clear(&out);
    http_problem_json(&out, 404, "not_found", "x", "");
    buf_char(&out, 0);
    assert_null(strstr(out.p, "pointer"));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_of_several_threads_all_run_in_each_ones_order),
        cmocka_unit_test(posts_before_the_start_run_after_it_and_none_after_the_stop),
        cmocka_unit_test(timers_fire_once_unless_cancelled),
        cmocka_unit_test(stop_lets_running_exchanges_finish),
        cmocka_unit_test(stop_ends_what_outlasts_the_grace),
        cmocka_unit_test(every_worker_serves),
        cmocka_unit_test(port_in_use_is_told),
        cmocka_unit_test(malformed_addresses_are_refused),
        cmocka_unit_test(query_parameters_are_decoded),
        cmocka_unit_test(problems_have_their_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

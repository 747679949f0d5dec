// SPDX-License-Identifier: Apache-2.0
#include "channel/caller.h"
#include "base/mono.h"
#include "port/clock.h"
#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/queue.h>

#define HEADERS_MAX    (32 * 1024)
#define IDLE_POLL_MS   60000
#define USER_AGENT     "till"
#define EASY_SPARE_MAX 32

enum stage {
    STAGE_WAITING, // in its lane, or still in the inbox
    STAGE_BUILD,   // with the signers
    STAGE_FLYING,
    STAGE_JUDGE, // with the signers
};

TAILQ_HEAD(jobs, job);
struct job {
    // fixed when submitted
    struct lane *lane;
    struct call call;
    int64_t now_ms;               // Till's clock
    int64_t submitted_ms, due_ms; // monotonic
    struct str subject;           // behind the struct, as call.payer is

    // the loop's
    enum stage stage;
    atomic_bool answered; // written by the loop; a signer looks, to save itself work nobody waits for
    int64_t sent_ms;      // monotonic, 0: not yet
    CURL *easy;
    struct curl_slist *header_list;
    TAILQ_ENTRY(job) by_due;   // of the unanswered
    TAILQ_ENTRY(job) in_stage; // of the one list its stage says; none while it flies

    // whose turn it is: loop or signer, handed over under the lock
    struct call_request request;
    bool is_built;
    int status;
    struct buf reply_headers, reply_body;
    bool too_long;
    struct answer answer;
    struct buf text;
};

struct lane {
    struct caller *caller;
    const struct lane_ops *ops;
    void *ctx;
    struct answer_sink sink;
    struct jobs waiting; // loop
    unsigned n_active;   // loop: beyond waiting
    unsigned n_jobs;     // lock: all
    bool is_closing;     // lock
    bool is_closed;      // lock
};

struct caller {
    struct caller_options options;
    CURLM *multi;
    pthread_t loop, signer[CALLER_SIGNERS_MAX];
    unsigned n_signers;
    bool has_loop;

    // loop
    struct jobs unanswered; // by deadline
    CURL *spare[EASY_SPARE_MAX];
    unsigned n_spare;

    pthread_mutex_t lock;
    pthread_cond_t work_came, lane_closed;
    struct jobs inbox, to_judge, to_build, done;
    struct lane *lanes[CALLER_LANES_MAX];
    bool must_stop;
};

// --- Headers

static bool same_letters(struct str s, const char *name)
{
    return strlen(name) == s.n && strncasecmp(s.p, name, s.n) == 0;
}

static struct str trimmed(struct str s)
{
    while (s.n > 0 && strchr(" \t\r\n", s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && strchr(" \t\r\n", s.p[s.n - 1]))
        s.n--;
    return s;
}

struct str call_reply_header(const struct call_reply *reply, const char *name)
{
    struct str rest = reply->headers, found = {"", 0};
    unsigned n = 0;
    while (rest.n > 0) {
        const char *end = memchr(rest.p, '\n', rest.n);
        struct str line = {rest.p, end ? (size_t)(end - rest.p) + 1 : rest.n};
        rest.p += line.n;
        rest.n -= line.n;
        const char *colon = memchr(line.p, ':', line.n);
        if (!colon || !same_letters((struct str){line.p, (size_t)(colon - line.p)}, name)) continue;
        found = trimmed((struct str){colon + 1, line.n - (size_t)(colon - line.p) - 1});
        n++;
    }
    return n == 1 ? found : (struct str){"", 0};
}

// --- A job's life: the loop thread

static void spare_easy(struct caller *c, CURL *easy)
{
    if (!easy) return;
    if (c->n_spare == EASY_SPARE_MAX) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy);
    c->spare[c->n_spare++] = easy;
}

static CURL *take_easy(struct caller *c)
{
    return c->n_spare > 0 ? c->spare[--c->n_spare] : curl_easy_init();
}

static void job_free(struct job *j)
{
    buf_free(&j->request.url);
    buf_free(&j->request.headers);
    buf_free(&j->request.body);
    buf_free(&j->reply_headers);
    buf_free(&j->reply_body);
    buf_free(&j->text);
    free(j);
}

static void signers_take(struct caller *c, struct job *j, enum stage stage)
{
    j->stage = stage;
    pthread_mutex_lock(&c->lock);
    if (stage == STAGE_JUDGE)
        TAILQ_INSERT_TAIL(&c->to_judge, j, in_stage);
    else
        TAILQ_INSERT_TAIL(&c->to_build, j, in_stage);
    pthread_cond_signal(&c->work_came);
    pthread_mutex_unlock(&c->lock);
}

// A call is signed when it has a place on the wire, not before: its timestamp stays fresh.
static void lane_admit(struct lane *l)
{
    struct caller *c = l->caller;
    struct job *j;
    while (l->n_active < c->options.max_in_flight && (j = TAILQ_FIRST(&l->waiting))) {
        TAILQ_REMOVE(&l->waiting, j, in_stage);
        l->n_active++;
        signers_take(c, j, STAGE_BUILD);
    }
}

// The last of a job that nobody else holds.
static void job_end(struct job *j)
{
    struct lane *l = j->lane;
    if (j->stage != STAGE_WAITING) l->n_active--;
    job_free(j);
    lane_admit(l);
    pthread_mutex_lock(&l->caller->lock);
    l->n_jobs--;
    pthread_mutex_unlock(&l->caller->lock);
}

// The one place answers leave from.
static void job_post(struct job *j, struct answer *a)
{
    int64_t asked_ms = j->sent_ms ? j->sent_ms : j->submitted_ms;
    a->asked_ms = j->now_ms + (asked_ms - j->submitted_ms);
    a->took_ms = mono_ms() - asked_ms;
    TAILQ_REMOVE(&j->lane->caller->unanswered, j, by_due);
    atomic_store(&j->answered, true);
    j->lane->sink.post(j->lane->sink.ctx, a);
}

static struct answer answer_blank(const struct job *j)
{
    return (struct answer){
        .payment_key = j->call.payment_key,
        .refund_key = j->call.refund_key,
        .on_demand = j->call.on_demand,
        .channel = j->call.channel,
        .method = j->call.method,
        .outcome = OUTCOME_UNKNOWN,
    };
}

static void job_post_unknown(struct job *j, const char *reason)
{
    struct answer a = answer_blank(j);
    (void)snprintf(a.detail, sizeof a.detail, "%s", reason);
    job_post(j, &a);
}

static void flight_leave(struct job *j)
{
    struct caller *c = j->lane->caller;
    curl_multi_remove_handle(c->multi, j->easy);
    spare_easy(c, j->easy);
    curl_slist_free_all(j->header_list);
    j->easy = NULL;
    j->header_list = NULL;
}

// Answers without the provider's word, and lets go of the job unless a signer holds it: then job_back() will.
static void job_give_up(struct job *j, const char *reason)
{
    job_post_unknown(j, reason);
    switch (j->stage) {
    case STAGE_WAITING: TAILQ_REMOVE(&j->lane->waiting, j, in_stage); break;
    case STAGE_FLYING: flight_leave(j); break;
    case STAGE_BUILD:
    case STAGE_JUDGE: return;
    }
    job_end(j);
}

// --- On the wire

static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct job *j = ctx;
    if (n * size > CALL_REPLY_MAX - j->reply_body.n) {
        j->too_long = true;
        return 0;
    }
    buf_add(&j->reply_body, p, n * size);
    return j->reply_body.failed ? 0 : n * size;
}

static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
    struct job *j = ctx;
    struct str line = {p, n * size};
    if (str_starts(line, STR("HTTP/"))) buf_clear(&j->reply_headers); // after a "100 Continue" the real one
    if (line.n > HEADERS_MAX - j->reply_headers.n) {
        j->too_long = true;
        return 0;
    }
    buf_str(&j->reply_headers, line);
    return j->reply_headers.failed ? 0 : line.n;
}

static struct curl_slist *header_list(struct str lines)
{
    struct curl_slist *list = NULL;
    while (lines.n > 0) {
        const char *end = memchr(lines.p, '\n', lines.n);
        size_t n = end ? (size_t)(end - lines.p) : lines.n;
        char *line = strndup(lines.p, n);
        struct curl_slist *longer = line ? curl_slist_append(list, line) : NULL;
        free(line);
        if (!longer) {
            curl_slist_free_all(list);
            return NULL;
        }
        list = longer;
        lines.p += end ? n + 1 : n;
        lines.n -= end ? n + 1 : n;
    }
    return list;
}

// The curl calls that set options fail only for want of memory or for an option this libcurl does not know.
static bool easy_prepare(struct job *j)
{
    struct call_request *r = &j->request;
    CURL *e = j->easy;
    buf_char(&r->url, '\0');
    if (r->url.failed || r->body.failed || r->headers.failed) return false;
    j->header_list = header_list(buf_view(&r->headers));
    if (!j->header_list && r->headers.n > 0) return false;
    CURLcode rc = curl_easy_setopt(e, CURLOPT_URL, r->url.p);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_HTTPHEADER, j->header_list);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_USERAGENT, USER_AGENT);
    if (rc == CURLE_OK && r->is_post) rc = curl_easy_setopt(e, CURLOPT_POST, 1L);
    if (rc == CURLE_OK && r->is_post) rc = curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)r->body.n);
    if (rc == CURLE_OK && r->is_post) rc = curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->body.n ? r->body.p : "");
    // Plain http is for sandboxes on this machine: never through a proxy that the environment names.
    if (rc == CURLE_OK && strncmp(r->url.p, "http:", 5) == 0) rc = curl_easy_setopt(e, CURLOPT_PROXY, "");
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    // A call given up while its host is being resolved must not make the loop wait for the resolver.
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_WRITEDATA, j);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_HEADERDATA, j);
    if (rc == CURLE_OK) rc = curl_easy_setopt(e, CURLOPT_PRIVATE, j);
    return rc == CURLE_OK;
}

static void job_fly(struct job *j)
{
    struct caller *c = j->lane->caller;
    j->easy = take_easy(c);
    if (j->easy && easy_prepare(j) && curl_multi_add_handle(c->multi, j->easy) == CURLM_OK) {
        j->stage = STAGE_FLYING;
        j->sent_ms = mono_ms();
        return;
    }
    curl_slist_free_all(j->header_list);
    spare_easy(c, j->easy);
    job_post_unknown(j, "cannot be sent");
    job_end(j);
}

static const char *failure_text(const struct job *j, CURLcode rc)
{
    if (j->too_long) return "answer too long";
    switch ((int)rc) {
    case CURLE_OPERATION_TIMEDOUT: return "timeout";
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY: return "cannot resolve the host";
    case CURLE_COULDNT_CONNECT: return "cannot connect";
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR: return "connection broken";
    case CURLE_PARTIAL_FILE: return "answer cut short";
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE: return "tls";
    default: return curl_easy_strerror(rc);
    }
}

static void job_land(struct job *j, CURLcode rc)
{
    long status = 0;
    curl_easy_getinfo(j->easy, CURLINFO_RESPONSE_CODE, &status);
    flight_leave(j);
    if (rc == CURLE_OK) {
        j->status = (int)status;
        signers_take(j->lane->caller, j, STAGE_JUDGE);
        return;
    }
    job_post_unknown(j, failure_text(j, rc));
    job_end(j);
}

// --- The loop's round

static void job_back(struct job *j)
{
    if (atomic_load(&j->answered)) {
        job_end(j);
    } else if (j->stage == STAGE_BUILD && j->is_built && !j->request.is_local) {
        job_fly(j);
    } else if (j->stage == STAGE_BUILD && !j->is_built) {
        job_post_unknown(j, "cannot be signed");
        job_end(j);
    } else {
        job_post(j, &j->answer);
        job_end(j);
    }
}

static void lane_empty(struct lane *l)
{
    struct job *j, *next;
    for (j = TAILQ_FIRST(&l->caller->unanswered); j; j = next) {
        next = TAILQ_NEXT(j, by_due);
        if (j->lane == l) job_give_up(j, "shutdown");
    }
}

static void lanes_close(struct caller *c)
{
    struct lane *closing[CALLER_LANES_MAX];
    unsigned n = 0;
    pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < CALLER_LANES_MAX; i++)
        if (c->lanes[i] && c->lanes[i]->is_closing && TAILQ_EMPTY(&c->inbox)) closing[n++] = c->lanes[i];
    pthread_mutex_unlock(&c->lock);
    for (unsigned i = 0; i < n; i++)
        lane_empty(closing[i]);
    pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < CALLER_LANES_MAX; i++) {
        struct lane *l = c->lanes[i];
        if (!l || !l->is_closing || l->n_jobs > 0) continue;
        c->lanes[i] = NULL;
        l->is_closed = true;
        pthread_cond_broadcast(&c->lane_closed);
    }
    pthread_mutex_unlock(&c->lock);
}

static void jobs_arrive(struct caller *c, struct jobs *arrived)
{
    struct job *j;
    while ((j = TAILQ_FIRST(arrived))) {
        TAILQ_REMOVE(arrived, j, in_stage);
        TAILQ_INSERT_TAIL(&c->unanswered, j, by_due);
        TAILQ_INSERT_TAIL(&j->lane->waiting, j, in_stage);
        lane_admit(j->lane);
    }
}

static void jobs_return(struct jobs *returned)
{
    struct job *j;
    while ((j = TAILQ_FIRST(returned))) {
        TAILQ_REMOVE(returned, j, in_stage);
        job_back(j);
    }
}

static void jobs_expire(struct caller *c)
{
    struct job *j;
    int64_t now_ms = mono_ms();
    while ((j = TAILQ_FIRST(&c->unanswered)) && j->due_ms <= now_ms)
        job_give_up(j, "timeout");
}

static void jobs_land(struct caller *c)
{
    int left;
    CURLMsg *m;
    while ((m = curl_multi_info_read(c->multi, &left))) {
        struct job *j = NULL;
        if (m->msg != CURLMSG_DONE) continue;
        CURLcode rc = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &j);
        job_land(j, rc);
    }
}

static int poll_ms(const struct caller *c)
{
    const struct job *j = TAILQ_FIRST(&c->unanswered);
    if (!j) return IDLE_POLL_MS; // whatever comes wakes us
    int64_t left_ms = j->due_ms - mono_ms();
    return left_ms < 0 ? 0 : left_ms < IDLE_POLL_MS ? (int)left_ms : IDLE_POLL_MS;
}

static bool round_run(struct caller *c)
{
    struct jobs arrived = TAILQ_HEAD_INITIALIZER(arrived), returned = TAILQ_HEAD_INITIALIZER(returned);
    pthread_mutex_lock(&c->lock);
    TAILQ_CONCAT(&arrived, &c->inbox, in_stage);
    TAILQ_CONCAT(&returned, &c->done, in_stage);
    bool goes_on = !c->must_stop;
    pthread_mutex_unlock(&c->lock);
    jobs_arrive(c, &arrived);
    jobs_return(&returned);
    int running;
    curl_multi_perform(c->multi, &running);
    jobs_land(c);
    jobs_expire(c); // after landing: what has arrived is heard
    lanes_close(c);
    return goes_on;
}

static void *loop_run(void *arg)
{
    struct caller *c = arg;
    while (round_run(c))
        curl_multi_poll(c->multi, NULL, 0, poll_ms(c), NULL);
    return NULL;
}

// --- Signers

// The provider's own clock, from the header every HTTP server sends. Nobody signed it; it is only ever used to be more
// careful (order.h, provider_ms).
static int64_t reply_date_ms(const struct call_reply *reply)
{
    char text[64];
    struct str date = call_reply_header(reply, "Date");
    if (date.n == 0 || date.n >= sizeof text) return 0;
    memcpy(text, date.p, date.n);
    text[date.n] = 0;
    time_t seconds = curl_getdate(text, NULL);
    return seconds > 0 ? (int64_t)seconds * 1000 : 0;
}

static void job_judge(struct job *j, const struct call_reply *reply)
{
    const struct lane *l = j->lane;
    j->answer = answer_blank(j);
    l->ops->judge(l->ctx, &j->call, reply, &j->answer, &j->text);
    j->answer.provider_ms = reply_date_ms(reply);
}

static void job_build(struct job *j)
{
    const struct lane *l = j->lane;
    int64_t now_ms = j->now_ms + (mono_ms() - j->submitted_ms);
    j->is_built = l->ops->build(l->ctx, &j->call, j->subject, now_ms, &j->request);
    if (j->is_built && j->request.is_local)
        job_judge(j, &(struct call_reply){.headers = STR(""), .body = buf_view(&j->request.body)});
}

static void job_work(struct job *j)
{
    if (atomic_load(&j->answered)) return;
    if (j->stage == STAGE_BUILD)
        job_build(j);
    else
        job_judge(j, &(struct call_reply){j->status, buf_view(&j->reply_headers), buf_view(&j->reply_body)});
}

// What came back goes first: somebody paid while he waits.
static struct job *work_take(struct caller *c)
{
    struct job *j;
    while (!(j = TAILQ_FIRST(&c->to_judge)) && !(j = TAILQ_FIRST(&c->to_build))) {
        if (c->must_stop) return NULL;
        pthread_cond_wait(&c->work_came, &c->lock);
    }
    if (j->stage == STAGE_JUDGE)
        TAILQ_REMOVE(&c->to_judge, j, in_stage);
    else
        TAILQ_REMOVE(&c->to_build, j, in_stage);
    return j;
}

static void *signer_run(void *arg)
{
    struct caller *c = arg;
    struct job *j;
    pthread_mutex_lock(&c->lock);
    while ((j = work_take(c))) {
        pthread_mutex_unlock(&c->lock);
        job_work(j);
        pthread_mutex_lock(&c->lock);
        bool was_empty = TAILQ_EMPTY(&c->done);
        TAILQ_INSERT_TAIL(&c->done, j, in_stage);
        if (was_empty) curl_multi_wakeup(c->multi);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

// --- Opening and closing

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_start(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) abort();
}

static bool options_are_good(const struct caller_options *o)
{
    return o->signers >= 1 && o->signers <= CALLER_SIGNERS_MAX && o->max_calls >= 1 && o->max_in_flight >= 1 &&
           o->deadline_ms >= 1;
}

// Signals are for the main thread.
static bool threads_start(struct caller *c)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    c->has_loop = pthread_create(&c->loop, NULL, loop_run, c) == 0;
    if (c->has_loop) pthread_setname_np(c->loop, "caller");
    while (c->has_loop && c->n_signers < c->options.signers &&
           pthread_create(&c->signer[c->n_signers], NULL, signer_run, c) == 0)
        pthread_setname_np(c->signer[c->n_signers++], "signer");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return c->n_signers == c->options.signers;
}

struct caller *caller_open(const struct caller_options *options, char why[200])
{
    (void)snprintf(why, 200, "%s", "caller: an option is out of range");
    if (!options_are_good(options)) return NULL;
    pthread_once(&curl_once, curl_start);
    struct caller *c = calloc(1, sizeof *c);
    (void)snprintf(why, 200, "%s", "caller: out of memory or threads");
    if (!c) return NULL;
    c->options = *options;
    TAILQ_INIT(&c->unanswered);
    TAILQ_INIT(&c->inbox);
    TAILQ_INIT(&c->to_judge);
    TAILQ_INIT(&c->to_build);
    TAILQ_INIT(&c->done);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->work_came, NULL);
    pthread_cond_init(&c->lane_closed, NULL);
    c->multi = curl_multi_init();
    // Idle connections kept; left alone, libcurl keeps fewer whenever few calls are under way.
    if (c->multi) curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)c->options.max_in_flight * 2);
    if (c->multi && threads_start(c)) {
        why[0] = 0;
        return c;
    }
    caller_free(c);
    return NULL;
}

void caller_free(struct caller *c)
{
    if (!c) return;
    pthread_mutex_lock(&c->lock);
    c->must_stop = true;
    pthread_cond_broadcast(&c->work_came);
    pthread_mutex_unlock(&c->lock);
    if (c->multi) curl_multi_wakeup(c->multi);
    if (c->has_loop) pthread_join(c->loop, NULL);
    for (unsigned i = 0; i < c->n_signers; i++)
        pthread_join(c->signer[i], NULL);
    while (c->n_spare > 0)
        curl_easy_cleanup(c->spare[--c->n_spare]);
    if (c->multi) curl_multi_cleanup(c->multi);
    pthread_cond_destroy(&c->lane_closed);
    pthread_cond_destroy(&c->work_came);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

// --- Lanes

struct lane *lane_open(struct caller *c, const struct lane_ops *ops, void *ctx, const struct answer_sink *sink)
{
    struct lane *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    *l = (struct lane){.caller = c, .ops = ops, .ctx = ctx, .sink = *sink};
    TAILQ_INIT(&l->waiting);
    unsigned i = 0;
    pthread_mutex_lock(&c->lock);
    while (i < CALLER_LANES_MAX && c->lanes[i])
        i++;
    if (i < CALLER_LANES_MAX) c->lanes[i] = l;
    pthread_mutex_unlock(&c->lock);
    if (i < CALLER_LANES_MAX) return l;
    free(l);
    return NULL;
}

static struct job *job_new(struct lane *l, const struct call *call, struct str subject, int64_t now_ms)
{
    size_t n = subject.n < CALL_SUBJECT_MAX ? subject.n : CALL_SUBJECT_MAX;
    struct job *j = calloc(1, sizeof *j + n + call->payer.n);
    if (!j) return NULL;
    j->lane = l;
    j->call = *call;
    j->now_ms = now_ms;
    char *copy = (char *)(j + 1);
    if (n > 0) memcpy(copy, subject.p, n);
    j->subject = (struct str){copy, n};
    if (call->payer.n > 0) memcpy(copy + n, call->payer.p, call->payer.n);
    j->call.payer.p = copy + n;
    return j;
}

bool lane_submit(struct lane *l, const struct call *call, struct str subject, int64_t now_ms)
{
    struct caller *c = l->caller;
    struct job *j = job_new(l, call, subject, now_ms);
    if (!j) return false;
    pthread_mutex_lock(&c->lock);
    bool has_room = !l->is_closing && l->n_jobs < c->options.max_calls;
    bool was_empty = TAILQ_EMPTY(&c->inbox);
    if (has_room) {
        j->submitted_ms = mono_ms(); // under the lock, so that the inbox is in the order of deadlines
        j->due_ms = j->submitted_ms + c->options.deadline_ms;
        l->n_jobs++;
        TAILQ_INSERT_TAIL(&c->inbox, j, in_stage);
    }
    pthread_mutex_unlock(&c->lock);
    if (!has_room) {
        free(j);
        return false;
    }
    if (was_empty) curl_multi_wakeup(c->multi);
    return true;
}

void lane_close(struct lane *l)
{
    if (!l) return;
    struct caller *c = l->caller;
    pthread_mutex_lock(&c->lock);
    l->is_closing = true;
    curl_multi_wakeup(c->multi);
    while (!l->is_closed)
        pthread_cond_wait(&c->lane_closed, &c->lock);
    pthread_mutex_unlock(&c->lock);
    free(l);
}

// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "base/mono.h"
#include "channel/caller_inside.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define IDLE_POLL_MS 60000

// --- A job's life: the loop thread

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

// The lane's own time, for what care.h counts: it goes on with the monotonic clock, and jumps ahead when a call brings
// news that Till's clock did. Of the two the one that ran further counts, so a breaker that is open for half a minute
// is over when the test clock is moved by six hours, and also when an hour is taken back from the wall clock. (A call's
// deadline is real time: what it waits for is a network.)
static int64_t lane_now_ms(const struct lane *l)
{
    return mono_ms() + l->ahead_ms;
}

static void lane_time_came(struct lane *l, const struct job *j)
{
    int64_t ahead_ms = j->now_ms - j->submitted_ms;
    pthread_mutex_lock(&l->caller->lock);
    if (ahead_ms > l->ahead_ms) l->ahead_ms = ahead_ms;
    pthread_mutex_unlock(&l->caller->lock);
}

static unsigned class_of(const struct call *call)
{
    switch (call->method) {
    case CALL_CREATE: return 0;
    case CALL_CLOSE:
    case CALL_CANCEL:
    case CALL_REFUND: return 1;
    case CALL_QUERY:
    case CALL_REFUND_QUERY:
    case CALL_NONE: break;
    }
    return call->on_demand ? 2 : 3;
}

static void signers_take(struct job *j, enum stage stage)
{
    struct lane *l = j->lane;
    j->stage = stage;
    pthread_mutex_lock(&l->caller->lock);
    if (stage == STAGE_JUDGE)
        TAILQ_INSERT_TAIL(&l->to_judge, j, in_stage);
    else
        TAILQ_INSERT_TAIL(&l->to_build, j, in_stage);
    pthread_cond_signal(&l->caller->work_came);
    pthread_mutex_unlock(&l->caller->lock);
}

static void breaker_log(const struct lane *l, enum breaker before, enum breaker after)
{
    if (before == after) return;
    if (after == BREAKER_OPEN && before == BREAKER_CLOSED)
        log_warn("caller", "%s gives no answer: it is left alone, and asked now and then", l->ops->name);
    else if (after == BREAKER_CLOSED)
        log_info("caller", "%s answers again", l->ops->name);
}

// The provider's care learns how a call ended.
static void job_tell(struct job *j)
{
    struct lane *l = j->lane;
    if (!j->is_let_go) return;
    pthread_mutex_lock(&l->caller->lock);
    enum breaker before = l->care.breaker;
    care_ended(&l->care, lane_now_ms(l), j->let_go_ms, j->call.is_retry, j->end, j->hold_ms);
    enum breaker after = l->care.breaker;
    pthread_mutex_unlock(&l->caller->lock);
    breaker_log(l, before, after);
}

// The one place answers leave from.
static void job_post(struct job *j, struct answer *a)
{
    int64_t asked_ms = j->sent_ms ? j->sent_ms : j->submitted_ms;
    a->asked_ms = j->now_ms + (asked_ms - j->submitted_ms);
    a->took_ms = mono_ms() - asked_ms;
    TAILQ_REMOVE(&j->lane->unanswered, j, by_due);
    atomic_store(&j->answered, true);
    job_tell(j);
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

static void job_post_unsent(struct job *j, enum unsent reason, const char *text)
{
    pthread_mutex_lock(&j->lane->caller->lock);
    j->lane->unsent[reason]++;
    pthread_mutex_unlock(&j->lane->caller->lock);
    j->end = CARE_UNSENT;
    job_post_unknown(j, text);
}

// The last of a job that nobody else holds.
static void job_drop(struct job *j)
{
    struct lane *l = j->lane;
    pthread_mutex_lock(&l->caller->lock);
    l->n_active -= j->stage != STAGE_WAITING;
    l->n_jobs--;
    pthread_mutex_unlock(&l->caller->lock);
    job_free(j);
}

// --- Whose turn it is: the loop thread

static struct job *lane_next(struct lane *l)
{
    bool waits[TURN_CLASSES];
    for (unsigned i = 0; i < TURN_CLASSES; i++)
        waits[i] = !TAILQ_EMPTY(&l->waiting[i]);
    unsigned class = turns_next(&l->turns, waits);
    return class < TURN_CLASSES ? TAILQ_FIRST(&l->waiting[class]) : NULL;
}

static void job_stop_waiting(struct job *j)
{
    TAILQ_REMOVE(&j->lane->waiting[class_of(&j->call)], j, in_stage);
}

// Asks the lane's care, and lets it go if there is a place on the wire too.
static enum care_verdict job_ask(struct job *j, int64_t *wait_ms)
{
    struct lane *l = j->lane;
    pthread_mutex_lock(&l->caller->lock);
    int64_t now_ms = lane_now_ms(l);
    enum care_verdict verdict = care_ask(&l->care, now_ms, j->call.is_retry);
    *wait_ms = care_wait_ms(&l->care, now_ms);
    if (verdict == CARE_GO && l->n_active < l->caller->options.max_in_flight) {
        care_sent(&l->care, now_ms, j->call.is_retry);
        l->n_active++;
        j->is_let_go = true;
        j->let_go_ms = now_ms;
    }
    pthread_mutex_unlock(&l->caller->lock);
    return verdict;
}

static void job_keep_back(struct job *j, enum unsent reason)
{
    job_stop_waiting(j);
    job_post_unsent(j, reason, unsent_name(reason));
    job_drop(j);
}

// What of its deadline a call must have left to be sent at all: else it would only time out over there, unheard.
static int64_t least_flight_ms(const struct lane *l)
{
    return l->deadline_ms / 4;
}

// A call is signed when it has a place on the wire, not before: its timestamp stays fresh. False: it goes on waiting,
// and so do those behind it.
static bool job_admit(struct job *j)
{
    int64_t wait_ms, latest_ms = j->due_ms - least_flight_ms(j->lane);
    if (mono_ms() > latest_ms) {
        job_keep_back(j, UNSENT_DEADLINE);
        return true;
    }
    switch (job_ask(j, &wait_ms)) {
    case CARE_GO: break;
    case CARE_BREAKER_OPEN: job_keep_back(j, UNSENT_BREAKER); return true;
    case CARE_OVER_BUDGET: job_keep_back(j, UNSENT_BUDGET); return true;
    case CARE_WAIT:
        j->lane->again_ms = mono_ms() + wait_ms;
        if (j->lane->again_ms <= latest_ms) return false;
        job_keep_back(j, UNSENT_RATE);
        return true;
    }
    if (!j->is_let_go) return false;
    job_stop_waiting(j);
    turns_took(&j->lane->turns, class_of(&j->call));
    signers_take(j, STAGE_BUILD);
    return true;
}

static void lane_admit(struct lane *l)
{
    struct job *j;
    l->again_ms = INT64_MAX;
    while ((j = lane_next(l)) && job_admit(j))
        ;
    if (!j) l->again_ms = INT64_MAX;
}

static void job_end(struct job *j)
{
    struct lane *l = j->lane;
    job_drop(j);
    lane_admit(l);
}

// Lets go of an answered job, unless a signer holds it: then job_back() will.
static void job_leave(struct job *j)
{
    switch (j->stage) {
    case STAGE_WAITING: job_stop_waiting(j); break;
    case STAGE_FLYING: flight_leave(j); break;
    case STAGE_BUILD:
    case STAGE_JUDGE: return;
    }
    job_end(j);
}

// Nobody waits for it any more.
static void job_expire(struct job *j)
{
    switch (j->stage) {
    case STAGE_WAITING:
    case STAGE_BUILD: job_post_unsent(j, UNSENT_DEADLINE, unsent_name(UNSENT_DEADLINE)); break;
    case STAGE_FLYING:
        // Unless it left late: then that was our doing.
        j->end = mono_ms() - j->sent_ms >= least_flight_ms(j->lane) ? CARE_FAILED : CARE_UNCLEAR;
        job_post_unknown(j, "timeout");
        break;
    case STAGE_JUDGE: // the provider answered; the signers are slow
        j->end = CARE_UNCLEAR;
        job_post_unknown(j, "timeout");
        break;
    }
    job_leave(j);
}

// --- On the wire

static void job_fly(struct job *j)
{
    if (flight_start(j)) {
        j->stage = STAGE_FLYING;
        j->sent_ms = mono_ms();
        return;
    }
    job_post_unsent(j, UNSENT_FAULT, "cannot be sent");
    job_end(j);
}

static void job_land(struct job *j, CURLcode rc)
{
    long status = 0;
    curl_easy_getinfo(j->easy, CURLINFO_RESPONSE_CODE, &status);
    flight_leave(j);
    if (rc == CURLE_OK) {
        j->status = (int)status;
        signers_take(j, STAGE_JUDGE);
        return;
    }
    j->end = failure_end(j, rc);
    job_post_unknown(j, failure_text(j, rc));
    job_end(j);
}

// --- The loop's round

static struct call_reply reply_of(const struct job *j)
{
    return (struct call_reply){j->status, buf_view(&j->reply_headers), buf_view(&j->reply_body)};
}

// What an answer says of the provider. An authentic word is one, whatever status it came under.
static enum care_end answer_end(int status, const struct answer *a)
{
    if (status == 429 || a->trouble == TROUBLE_SLOW_DOWN) return CARE_SLOWED;
    if (a->outcome != OUTCOME_UNKNOWN) return CARE_WORD;
    return status >= 500 || a->trouble == TROUBLE_FAULT ? CARE_FAILED : CARE_UNCLEAR;
}

static void job_back(struct job *j)
{
    if (atomic_load(&j->answered)) {
        job_end(j);
    } else if (j->stage == STAGE_BUILD && j->is_built && !j->request.is_local) {
        job_fly(j);
    } else if (j->stage == STAGE_BUILD && !j->is_built) {
        job_post_unsent(j, UNSENT_FAULT, "cannot be signed");
        job_end(j);
    } else {
        struct call_reply reply = reply_of(j);
        j->end = answer_end(j->status, &j->answer);
        j->hold_ms = reply_hold_ms(&reply);
        job_post(j, &j->answer);
        job_end(j);
    }
}

static void lane_empty(struct lane *l)
{
    struct job *j;
    while ((j = TAILQ_FIRST(&l->unanswered))) {
        j->end = j->sent_ms ? CARE_UNCLEAR : CARE_UNSENT;
        job_post_unknown(j, "shutdown");
        job_leave(j);
    }
}

// Only the loop takes a lane out of the list, so it may look at them without the lock.
static unsigned lanes_now(struct caller *c, struct lane *out[CALLER_LANES_MAX])
{
    unsigned n = 0;
    pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < CALLER_LANES_MAX; i++)
        if (c->lanes[i]) out[n++] = c->lanes[i];
    pthread_mutex_unlock(&c->lock);
    return n;
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

static void jobs_arrive(struct jobs *arrived)
{
    struct job *j;
    while ((j = TAILQ_FIRST(arrived))) {
        TAILQ_REMOVE(arrived, j, in_stage);
        TAILQ_INSERT_TAIL(&j->lane->unanswered, j, by_due);
        TAILQ_INSERT_TAIL(&j->lane->waiting[class_of(&j->call)], j, in_stage);
        lane_time_came(j->lane, j);
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

static void lane_expire(struct lane *l)
{
    struct job *j;
    int64_t now_ms = mono_ms();
    while ((j = TAILQ_FIRST(&l->unanswered)) && j->due_ms <= now_ms)
        job_expire(j);
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

static int poll_ms(struct caller *c)
{
    struct lane *lanes[CALLER_LANES_MAX];
    unsigned n = lanes_now(c, lanes);
    int64_t now_ms = mono_ms(), next_ms = now_ms + IDLE_POLL_MS; // whatever comes wakes us
    for (unsigned i = 0; i < n; i++) {
        const struct job *j = TAILQ_FIRST(&lanes[i]->unanswered);
        if (j && j->due_ms < next_ms) next_ms = j->due_ms;
        if (lanes[i]->again_ms < next_ms) next_ms = lanes[i]->again_ms;
    }
    return next_ms < now_ms ? 0 : (int)(next_ms - now_ms);
}

static bool round_run(struct caller *c)
{
    struct jobs arrived = TAILQ_HEAD_INITIALIZER(arrived), returned = TAILQ_HEAD_INITIALIZER(returned);
    struct lane *lanes[CALLER_LANES_MAX];
    pthread_mutex_lock(&c->lock);
    TAILQ_CONCAT(&arrived, &c->inbox, in_stage);
    TAILQ_CONCAT(&returned, &c->done, in_stage);
    bool goes_on = !c->must_stop;
    pthread_mutex_unlock(&c->lock);
    jobs_arrive(&arrived);
    jobs_return(&returned);
    int running;
    curl_multi_perform(c->multi, &running);
    jobs_land(c);
    unsigned n = lanes_now(c, lanes);
    for (unsigned i = 0; i < n; i++) {
        lane_expire(lanes[i]); // after landing: what has arrived is heard
        lane_admit(lanes[i]);
    }
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
static struct job *lane_work(struct lane *l)
{
    struct job *j = TAILQ_FIRST(&l->to_judge);
    if (j) {
        TAILQ_REMOVE(&l->to_judge, j, in_stage);
    } else if ((j = TAILQ_FIRST(&l->to_build))) {
        TAILQ_REMOVE(&l->to_build, j, in_stage);
    }
    return j;
}

// One of each lane in turn, so that a flooded one takes no more of the signers than any other.
static struct job *work_find(struct caller *c)
{
    struct job *j = NULL;
    for (unsigned i = 0; !j && i < CALLER_LANES_MAX; i++) {
        struct lane *l = c->lanes[c->next_lane];
        c->next_lane = (c->next_lane + 1) % CALLER_LANES_MAX;
        if (l) j = lane_work(l);
    }
    return j;
}

static struct job *work_take(struct caller *c)
{
    struct job *j;
    while (!(j = work_find(c)) && !c->must_stop)
        pthread_cond_wait(&c->work_came, &c->lock);
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
    TAILQ_INIT(&c->inbox);
    TAILQ_INIT(&c->done);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->work_came, NULL);
    pthread_cond_init(&c->lane_closed, NULL);
    c->multi = curl_multi_init();
    // Idle connections kept, enough for all lanes: none costs another its own. Left alone, libcurl keeps fewer whenever
    // few calls are under way.
    if (c->multi) curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)c->options.max_in_flight * CALLER_LANES_MAX);
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
    flights_free(c);
    if (c->multi) curl_multi_cleanup(c->multi);
    pthread_cond_destroy(&c->lane_closed);
    pthread_cond_destroy(&c->work_came);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

// --- Lanes

struct lane *lane_open(struct caller *c, const struct lane_ops *ops, void *ctx, const struct answer_sink *sink)
{
    if (ops->deadline_ms > c->options.deadline_ms) return NULL;
    struct lane *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    *l = (struct lane){.caller = c, .ops = ops, .ctx = ctx, .sink = *sink, .again_ms = INT64_MAX};
    l->deadline_ms = ops->deadline_ms > 0 ? ops->deadline_ms : c->options.deadline_ms;
    l->ahead_ms = -mono_ms(); // its time begins at 0; the first call sets it
    care_init(&l->care);
    TAILQ_INIT(&l->unanswered);
    TAILQ_INIT(&l->to_judge);
    TAILQ_INIT(&l->to_build);
    for (unsigned i = 0; i < TURN_CLASSES; i++)
        TAILQ_INIT(&l->waiting[i]);
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

// The less urgent fill a part of the lane only, so that there is room for a code in any storm.
static unsigned room_for(const struct caller *c, const struct call *call)
{
    return c->options.max_calls - c->options.max_calls * class_of(call) / 8;
}

bool lane_submit(struct lane *l, const struct call *call, struct str subject, int64_t now_ms)
{
    struct caller *c = l->caller;
    struct job *j = job_new(l, call, subject, now_ms);
    if (!j) return false;
    pthread_mutex_lock(&c->lock);
    bool has_room = !l->is_closing && l->n_jobs < room_for(c, call);
    bool was_empty = TAILQ_EMPTY(&c->inbox);
    if (has_room) {
        j->submitted_ms = mono_ms(); // under the lock, so that the inbox is in the order of deadlines
        j->due_ms = j->submitted_ms + l->deadline_ms;
        l->n_jobs++;
        TAILQ_INSERT_TAIL(&c->inbox, j, in_stage);
    } else if (!l->is_closing) {
        l->unsent[UNSENT_FULL]++;
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

// --- For people

const char *unsent_name(enum unsent v)
{
#define X_TEXT(constant, text) [constant] = text,
    static const char *const names[] = {UNSENTS(X_TEXT)};
#undef X_TEXT
    return names[v];
}

static void lane_read(const struct lane *l, struct lane_stats *out)
{
    int64_t now_ms = lane_now_ms(l), hold_ms = l->care.hold_until_ms - now_ms;
    *out = (struct lane_stats){
        .name = l->ops->name,
        .breaker = l->care.breaker,
        .in_flight = l->n_active,
        .waiting = l->n_jobs - l->n_active,
        .retry_budget = care_budget_left(&l->care, now_ms),
        .rate_per_s = care_rate(&l->care, now_ms),
        .hold_ms = hold_ms > 0 ? hold_ms : 0,
        .opened = l->care.n_opened,
        .slowed = l->care.n_slowed,
    };
    memcpy(out->unsent, l->unsent, sizeof out->unsent);
}

unsigned caller_lanes(struct caller *c, struct lane_stats out[CALLER_LANES_MAX])
{
    unsigned n = 0;
    pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < CALLER_LANES_MAX; i++)
        if (c->lanes[i]) lane_read(c->lanes[i], &out[n++]);
    pthread_mutex_unlock(&c->lock);
    return n;
}

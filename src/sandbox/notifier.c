// SPDX-License-Identifier: Apache-2.0
#include "sandbox/notifier.h"
#include "base/log.h"
#include "sandbox/provider.h"
#include "sandbox/trades.h"
#include <curl/curl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SLOTS        16u
#define CONNECT_MS   2000L
#define ANSWER_MS    5000L
#define REPLY_MAX    64u // of the answer's body is looked at: more is no `success` anyway
#define BODY_MAX     65536u
#define SLEEP_MAX_MS 60000

struct slot {
    CURL *easy; // NULL: free
    struct notice notice;
    struct buf body;
    struct curl_slist *headers;
    char reply[REPLY_MAX]; // the beginning
    size_t reply_n;        // of the whole
    bool done, good;
};

struct notifier {
    struct sandbox *sandbox;
    CURLM *multi;
    pthread_t thread;
    bool started;
    atomic_bool stopping;
    unsigned in_flight; // under the ledger's lock
    struct slot slots[SLOTS];
};

struct notifier *notifier_new(struct sandbox *s)
{
    struct notifier *n = calloc(1, sizeof *n);
    if (!n) return NULL;
    n->sandbox = s;
    n->multi = curl_multi_init();
    if (n->multi) return n;
    notifier_free(n);
    return NULL;
}

void notifier_wake(struct notifier *n)
{
    (void)curl_multi_wakeup(n->multi);
}

unsigned notifier_in_flight(const struct notifier *n)
{
    return n->in_flight;
}

// --- One sending

static size_t take_reply(char *p, size_t size, size_t count, void *user)
{
    struct slot *slot = user;
    size_t n = size * count;
    if (slot->reply_n < REPLY_MAX) {
        size_t room = REPLY_MAX - slot->reply_n;
        memcpy(slot->reply + slot->reply_n, p, n < room ? n : room);
    }
    slot->reply_n += n;
    return slot->reply_n <= BODY_MAX ? n : 0; // 0 ends the transfer
}

static bool easy_prepare(struct slot *slot)
{
    CURL *e = slot->easy;
    return curl_easy_setopt(e, CURLOPT_URL, slot->notice.url) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)slot->body.n) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_POSTFIELDS, slot->body.p) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HTTPHEADER, slot->headers) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_reply) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEDATA, slot) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PRIVATE, slot) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, ANSWER_MS) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK && // loopback needs none
           curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK && // a test server's certificate is its own
           curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK;
}

static bool headers_add(struct slot *slot, const char *line)
{
    struct curl_slist *longer = curl_slist_append(slot->headers, line);
    if (longer) slot->headers = longer;
    return longer != NULL;
}

static bool post_make(struct notifier *n, struct slot *slot)
{
    struct buf lines = {0};
    bool ok = PROVIDERS[slot->notice.channel].notice_write(n->sandbox, &slot->notice, &slot->body, &lines);
    buf_char(&lines, 0);
    if (lines.failed) ok = false;
    char *line = lines.p;
    for (char *end; ok && (end = strstr(line, "\r\n")); line = end + 2) {
        *end = 0;
        ok = headers_add(slot, line);
    }
    buf_free(&lines);
    return ok;
}

static void slot_send(struct notifier *n, struct slot *slot)
{
    slot->easy = curl_easy_init();
    if (slot->easy && post_make(n, slot) && easy_prepare(slot) &&
        curl_multi_add_handle(n->multi, slot->easy) == CURLM_OK)
        return;
    log_error("sandbox", "a notification cannot be sent: out of memory");
    slot->done = true;
}

static void slot_free(struct notifier *n, struct slot *slot)
{
    if (slot->easy) {
        (void)curl_multi_remove_handle(n->multi, slot->easy);
        curl_easy_cleanup(slot->easy);
    }
    buf_free(&slot->notice.fields);
    buf_free(&slot->body);
    curl_slist_free_all(slot->headers);
    *slot = (struct slot){0};
}

static bool slot_is_used(const struct slot *slot)
{
    return slot->notice.id != 0;
}

// --- The round

// Takes what is due into free slots. False when the ledger is broken: then nothing is ever sent again.
static bool take_due(struct notifier *n)
{
    struct sandbox *s = n->sandbox;
    int64_t busy[SLOTS], now_ms = clock_now_ms(s->clock);
    unsigned n_busy = 0, n_new;
    struct notice due[SLOTS];
    for (unsigned i = 0; i < SLOTS; i++)
        if (slot_is_used(&n->slots[i])) busy[n_busy++] = n->slots[i].notice.id;
    ledger_lock(s->ledger);
    trades_settle(s, now_ms);
    sandbox_values_store(s);
    s->woke = false;
    // Only what is durable may be sent: what this round owes newly is read after its commit.
    bool ok = ledger_commit(s->ledger);
    n_new = ok ? ledger_notices_due(s->ledger, now_ms, busy, n_busy, due, SLOTS - n_busy) : 0;
    n->in_flight += n_new;
    ledger_unlock(s->ledger);
    for (unsigned i = 0, taken = 0; taken < n_new; i++) {
        if (slot_is_used(&n->slots[i])) continue;
        n->slots[i].notice = due[taken++];
        slot_send(n, &n->slots[i]);
    }
    return ok;
}

static bool reply_is_good(const struct slot *slot, long status)
{
    struct str reply = {slot->reply, slot->reply_n <= REPLY_MAX ? slot->reply_n : 0};
    return PROVIDERS[slot->notice.channel].is_heard(status, reply);
}

static void reap(struct notifier *n)
{
    int left;
    const CURLMsg *m;
    while ((m = curl_multi_info_read(n->multi, &left))) {
        if (m->msg != CURLMSG_DONE) continue;
        char *user = NULL;
        long status = 0;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &user);
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        struct slot *slot = (struct slot *)(void *)user;
        slot->done = true;
        slot->good = m->data.result == CURLE_OK && reply_is_good(slot, status);
    }
}

static void outcome_store(struct notifier *n, const struct slot *slot)
{
    struct ledger *l = n->sandbox->ledger;
    unsigned attempt = slot->notice.attempt + 1;
    int64_t now_ms = clock_now_ms(n->sandbox->clock);
    if (slot->good || slot->notice.forgery)
        ledger_notice_end(l, slot->notice.id, attempt, NOTICE_DELIVERED);
    else if (attempt > PROVIDERS[slot->notice.channel].n_gaps)
        ledger_notice_end(l, slot->notice.id, attempt, NOTICE_GIVEN_UP);
    else
        ledger_notice_again(l, slot->notice.id, attempt, now_ms + PROVIDERS[slot->notice.channel].gaps_ms[attempt - 1]);
}

// Returns how many; some of them may be due again at once.
static unsigned settle_done(struct notifier *n)
{
    unsigned n_done = 0;
    for (unsigned i = 0; i < SLOTS; i++)
        n_done += n->slots[i].done;
    if (n_done == 0) return 0;
    ledger_lock(n->sandbox->ledger);
    for (unsigned i = 0; i < SLOTS; i++)
        if (n->slots[i].done) outcome_store(n, &n->slots[i]);
    (void)ledger_commit(n->sandbox->ledger); // if it failed they are owed still
    n->in_flight -= n_done;
    ledger_unlock(n->sandbox->ledger);
    for (unsigned i = 0; i < SLOTS; i++)
        if (n->slots[i].done) slot_free(n, &n->slots[i]);
    return n_done;
}

// How long nothing can be due, if nobody wakes us.
static int sleep_ms(struct notifier *n)
{
    ledger_lock(n->sandbox->ledger);
    int64_t due_ms = ledger_next_due_ms(n->sandbox->ledger);
    bool full = n->in_flight == SLOTS;
    bool sending = n->in_flight > 0;
    ledger_unlock(n->sandbox->ledger);
    int64_t now_ms = clock_now_ms(n->sandbox->clock);
    if (full || (sending && due_ms <= now_ms)) return 1000; // what is due is probably what is being sent
    if (due_ms <= now_ms) return 0;
    return due_ms - now_ms > SLEEP_MAX_MS ? SLEEP_MAX_MS : (int)(due_ms - now_ms);
}

static void *notifier_run(void *user)
{
    struct notifier *n = user;
    while (!atomic_load(&n->stopping)) {
        int running;
        bool ok = take_due(n);
        (void)curl_multi_perform(n->multi, &running);
        reap(n);
        if (settle_done(n) && ok) continue;
        int wait_ms = ok ? sleep_ms(n) : 1000;
        if (wait_ms > 0) (void)curl_multi_poll(n->multi, NULL, 0, wait_ms, NULL);
    }
    return NULL;
}

bool notifier_start(struct notifier *n)
{
    n->started = pthread_create(&n->thread, NULL, notifier_run, n) == 0;
    return n->started;
}

void notifier_stop(struct notifier *n)
{
    if (!n->started) return;
    atomic_store(&n->stopping, true);
    notifier_wake(n);
    pthread_join(n->thread, NULL);
    n->started = false;
}

void notifier_free(struct notifier *n)
{
    if (!n) return;
    for (unsigned i = 0; i < SLOTS; i++)
        slot_free(n, &n->slots[i]);
    curl_multi_cleanup(n->multi);
    free(n);
}

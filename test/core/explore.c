// SPDX-License-Identifier: Apache-2.0
// Explores every state one order can reach, breadth first, over an abstract outside world that may say anything at
// any time about its first attempt: each kind of answer, notices, the timer, the buyer, the merchant. (Attempts that
// follow it are asked for and grow old; only the truth is told of them.) Breaks off with the name of the law that does
// not hold. Checked on every edge: order_laws.h and the stock's own arithmetic (so no move comes twice); in every
// state: that a provider which now tells the truth brings the order to its end.
//
// Two states are one when they differ in nothing but instants and in counters beyond what the machine tells
// apart.
//
// What has been met is remembered by 64 bits of hash alone: two states that share one would be taken for one, which
// among ten million happens once in three hundred thousand explorations. A node's rows are kept until all that follows
// from it has been met. So a state costs some twenty bytes, and the depth (how far counters are told apart) is a matter
// of time.
#include "order_laws.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define T0_MS         INT64_C(1795399500000)
#define WINDOW_MS     INT64_C(120000)
#define GRACE_MS      INT64_C(30000)
#define PRICE_FEN     2 // so that a partial refund is possible, and few are
#define ATTEMPTS_HERE 2 // as many as buyers ask for; the machine may ask for one more
#define STATES_MAX    20000000u
#define TABLE_SIZE    (1u << 26)
#define N_WAYS        7u // two releases times three answers to late money, and one with two wallets

struct node {
    struct bundle b;
    struct stock stock; // of the only unit there is
    int64_t now_ms;
};
struct way {       // stays when the rows are gone
    unsigned from; // the node it was reached from
    const char *how;
};

static struct node *nodes; // untouched pages cost nothing, and those of nodes that were left are given back
static struct way *ways;
static unsigned n_nodes;
static uint64_t *table;                    // of hashes; 0: free
static bool deep;                          // more is told apart
static unsigned at_most_from = STATES_MAX; // so many states are gone on from
static unsigned long n_edges;
static struct rules rules;
// Buyers change their wallet, operators say their word, refunds fail late, some of the money goes back unasked; then
// merchants refund nothing: all at once are too many states.
static bool pays;

static unsigned at_node; // where the way that failed set out from

static void fail(const char *how, const char *law)
{
    printf("broken: %s\nby: %s", law, how);
    for (unsigned i = at_node;; i = ways[i].from) {
        printf(", after %s", ways[i].how);
        if (ways[i].from == i) break;
    }
    printf("\n");
    exit(1);
}

// --- What tells states apart

static unsigned char *put(unsigned char *at, int64_t v)
{
    *at = (unsigned char)v;
    return at + 1;
}

static int64_t at_most(int64_t v, int64_t max)
{
    return v < max ? v : max;
}

#define KEY_SIZE 320
static void node_key(const struct node *n, unsigned char key[KEY_SIZE])
{
    const struct order *o = &n->b.order;
    memset(key, 0, KEY_SIZE);
    unsigned char *k = key;
    k = put(k, o->state);
    k = put(k, o->reason);
    k = put(k, o->paid_fen);
    k = put(k, o->refunded_fen);
    k = put(k, at_most(o->n_checks, deep ? 5 : 2));
    k = put(k, o->reply_state);
    k = put(k, n->now_ms >= o->expires_ms);
    k = put(k, n->stock.available * 2 + n->stock.held);
    for (unsigned i = 0; i < n->b.n_payments; i++) {
        const struct payment *p = &n->b.payment[i];
        k = put(k, p->state);
        k = put(k, p->proof);
        k = put(k, p->owes);
        k = put(k, at_most(p->tries, deep ? 12 : 7));
        k = put(k, p->captured_fen);
        k = put(k, p->refunded_fen);
        k = put(k, p->refunding_fen);
        k = put(k, p->counts);
        k = put(k, p->word);
        k = put(k, p->channel);
        k = put(k, n->now_ms >= p->expires_ms + GRACE_MS);
        bool waits = p->owes == CALL_QUERY && p->tries == 0 && p->due_ms <= o->closing_ms + rules.cancel_wait_ms;
        k = put(k, waits && p->due_ms > n->now_ms); // for order.cancel
    }
    for (unsigned i = 0; i < n->b.n_refunds; i++) {
        const struct refund *f = &n->b.refund[i];
        k = put(k, f->state);
        k = put(k, f->cause);
        k = put(k, f->owes);
        k = put(k, at_most(f->tries, deep ? 6 : 2));
        k = put(k, f->absents);
        k = put(k, f->uncertain);
        k = put(k, f->is_abnormal);
        k = put(k, f->replaces_key != 0);
        k = put(k, f->amount_fen);
    }
}

static bool node_is_new(const struct node *n)
{
    unsigned char key[KEY_SIZE];
    node_key(n, key);
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (unsigned i = 0; i < KEY_SIZE; i++)
        hash = (hash ^ key[i]) * UINT64_C(0x100000001b3);
    hash ^= hash >> 32; // the last bytes have reached the low bits only
    hash *= UINT64_C(0x9e3779b97f4a7c15);
    hash ^= hash >> 29;
    hash += hash == 0;
    for (unsigned i = (unsigned)(hash >> 20) % TABLE_SIZE;; i = (i + 1) % TABLE_SIZE) {
        if (table[i] == hash) return false;
        if (table[i]) continue;
        table[i] = hash;
        return true;
    }
}

static void *pages(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) abort();
    return p;
}

#define NODES_A_TIME 4096u
// What followed from the first `n` nodes has been met; their rows are of no more use.
static void forget_before(unsigned n)
{
    if (n == 0 || n % NODES_A_TIME != 0) return;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), end = (size_t)n * sizeof *nodes / page * page;
    size_t from = (size_t)(n - NODES_A_TIME) * sizeof *nodes / page * page;
    (void)madvise((char *)nodes + from, end - from, MADV_DONTNEED);
}

// --- A step, judged

// What a store would not load again: ended refunds.
static void forget_ended_refunds(struct bundle *b)
{
    unsigned n = 0;
    for (unsigned i = 0; i < b->n_refunds; i++)
        if (b->refund[i].state == REFUND_PENDING) b->refund[n++] = b->refund[i];
    b->n_refunds = n;
}

static struct step step_to(const struct node *from, struct node *to, struct event e, const char *how)
{
    struct step out;
    memcpy(to, from, sizeof *to);
    to->now_ms = e.now_ms;
    e.fresh_key = 100 + EVENT_FRESH_KEYS * (uint64_t)(from->b.order.version + 1);
    core_step(&rules, &to->b, &e, &out);
    const char *broken = step_law(&rules, &from->b, &e, &to->b, &out);
    if (broken) fail(how, broken);
    if (!stock_apply(&to->stock, out.stock, 1)) fail(how, "the unit is there to be moved");
    to->b.order.version += out.changed;
    forget_ended_refunds(&to->b);
    n_edges++;
    return out;
}

// --- The end that must be in reach: a provider that says the truth, and no further surprises

static struct event true_answer(const struct node *n, const struct call *c)
{
    struct event e = {.kind = EV_ANSWER, .now_ms = n->now_ms};
    e.answer = (struct answer){
        .payment_key = c->payment_key,
        .refund_key = c->refund_key,
        .method = c->method,
        .on_demand = c->on_demand,
        .outcome = OUTCOME_DONE,
        .asked_ms = n->now_ms,
    };
    switch (c->method) {
    case CALL_CREATE: e.answer.fact = FACT_CODE; break;
    case CALL_CLOSE:
    case CALL_CANCEL: e.answer.fact = FACT_CLOSED; break;
    case CALL_REFUND:
    case CALL_REFUND_QUERY: e.answer.fact = FACT_REFUND_DONE; break;
    case CALL_QUERY:
    case CALL_NONE: e.answer.fact = FACT_NOT_FOUND; break;
    }
    return e;
}

static void check_it_can_end(const struct node *from)
{
    struct node a = *from, b;
    at_node = (unsigned)(from - nodes);
    for (unsigned turn = 0; turn < 60; turn++) {
        if (a.b.order.due_ms == TIME_NEVER) {
            if (a.b.order.state != ORDER_PAID && a.b.order.state != ORDER_CANCELLED)
                fail("waiting", "an order that owes nothing has ended");
            if (a.stock.held != 0) fail("waiting", "an order that has ended holds no stock");
            if (a.stock.sold != (a.b.order.state == ORDER_PAID)) fail("waiting", "sold is what is paid");
            return;
        }
        int64_t due_ms = a.b.order.due_ms > a.now_ms ? a.b.order.due_ms : a.now_ms;
        struct step out = step_to(&a, &b, (struct event){.kind = EV_DUE, .now_ms = due_ms}, "the timer");
        a = b;
        for (unsigned i = 0; i < out.n_calls; i++) {
            step_to(&a, &b, true_answer(&a, &out.calls[i]), "the truth");
            a = b;
        }
    }
    fail("waiting", "every order can end");
}

// --- The surprises

static void visit(unsigned from, struct event e, const char *how)
{
    if (n_nodes == STATES_MAX) {
        printf("more than %u states\n", STATES_MAX);
        exit(1);
    }
    struct node *to = &nodes[n_nodes];
    at_node = from;
    step_to(&nodes[from], to, e, how);
    ways[n_nodes] = (struct way){from, how};
    if (!node_is_new(to)) return;
    n_nodes++;
    check_it_can_end(to);
}

static bool tells_of_money(enum fact f)
{
    return f == FACT_PAID || f == FACT_PAID_AND_REFUNDED || f == FACT_PAID_SOME_REFUNDED;
}

// Whether a channel may say so at all: order.h at FACTS.
static bool may_be_said(enum call_method m, enum outcome o, enum fact f)
{
    if (o == OUTCOME_UNKNOWN) return f == FACT_NONE;
    if (o == OUTCOME_REFUSED) return f == FACT_NONE || (m == CALL_CLOSE && f == FACT_NOT_FOUND);
    switch (m) {
    case CALL_CREATE: return f == FACT_CODE || f == FACT_PAID;
    case CALL_REFUND: return f >= FACT_REFUND_DONE && f <= FACT_REFUND_ABNORMAL && f != FACT_REFUND_ABSENT;
    case CALL_REFUND_QUERY: return f >= FACT_REFUND_DONE && f <= FACT_REFUND_ABNORMAL;
    case CALL_NONE: return f == FACT_NONE || tells_of_money(f) || f == FACT_CLOSED;
    case CALL_QUERY:
    case CALL_CLOSE:
    case CALL_CANCEL: break;
    }
    return (f >= FACT_WAITING && f <= FACT_PAID_AND_REFUNDED) || (f == FACT_PAID_SOME_REFUNDED && m == CALL_QUERY);
}

static void visit_answers(unsigned from, enum call_method m, enum outcome o, enum fact f)
{
    const struct node *n = &nodes[from];
    struct event e = {.kind = m == CALL_NONE ? EV_NOTICE : EV_ANSWER, .now_ms = n->now_ms};
    bool money = tells_of_money(f);
    for (unsigned i = 0; i < 3; i++) {
        if (i > 0 && !money && f != FACT_NOT_FOUND) break;
        e.answer = (struct answer){
            .payment_key = n->b.payment[0].key,
            .method = m,
            .outcome = o,
            .fact = f,
            .asked_ms = i == 0 ? n->now_ms : T0_MS, // NOT_FOUND proves by when it was asked
            .captured_fen = !money   ? 0
                            : i == 1 ? PRICE_FEN + 1
                                     : PRICE_FEN,
        };
        e.answer.of_refund = m == CALL_NONE;
        e.stock_is_short = i == 2;
        if (m != CALL_REFUND && m != CALL_REFUND_QUERY) visit(from, e, fact_name(f));
        if (m == CALL_QUERY && i == 0) {
            e.answer.on_demand = true;
            visit(from, e, "an answer on demand");
            e.answer.on_demand = false;
        }
        for (unsigned k = 0; k < n->b.n_refunds && (m == CALL_REFUND || m == CALL_REFUND_QUERY); k++) {
            e.answer.refund_key = nodes[from].b.refund[k].key;
            visit(from, e, fact_name(f));
        }
    }
}

static void visit_all_from(unsigned from)
{
    int64_t now_ms = nodes[from].now_ms, due_ms = nodes[from].b.order.due_ms;
    if (due_ms != TIME_NEVER)
        visit(from, (struct event){.kind = EV_DUE, .now_ms = due_ms > now_ms ? due_ms : now_ms}, "the timer");
    visit(from, (struct event){.kind = EV_CANCEL, .now_ms = now_ms, .cancel = {REASON_BUYER}}, "a cancellation");
    visit(from, (struct event){.kind = EV_SWEEP, .now_ms = now_ms}, "the sweep");
    visit(from, (struct event){.kind = EV_RECEIVED, .now_ms = now_ms}, "order.cancel");
    visit(from, (struct event){.kind = EV_CHECK, .now_ms = now_ms}, "a check");
    visit(from, (struct event){.kind = EV_LATE_REPLY, .now_ms = now_ms}, "a late reply");
    for (unsigned accepts = 0; accepts < 2 && pays; accepts++)
        visit(from,
              (struct event){.kind = EV_RESOLVE, .now_ms = now_ms, .resolve = {nodes[from].b.payment[0].key, accepts}},
              accepts ? "a word: accepted" : "a word: it goes back");
    for (enum channel_id c = CHANNEL_ALIPAY; c <= CHANNEL_WECHATPAY && pays && nodes[from].b.n_payments < ATTEMPTS_HERE;
         c++)
        visit(from, (struct event){.kind = EV_PAY, .now_ms = now_ms, .pay = {.channel = c}}, channel_name(c));
    for (int64_t fen = 0; fen <= 1 && !pays; fen++)
        visit(from, (struct event){.kind = EV_REFUND, .now_ms = now_ms, .refund = {fen}}, "a refund");
    for (enum call_method m = CALL_NONE; m <= CALL_REFUND_QUERY; m++)
        for (enum outcome o = OUTCOME_DONE; o <= OUTCOME_UNKNOWN; o++)
            for (enum fact f = FACT_NONE; f <= (pays ? FACT_PAID_SOME_REFUNDED : FACT_REFUND_ABSENT); f++)
                if (may_be_said(m, o, f)) visit_answers(from, m, o, f);
}

static void explore(enum release release, enum late_payment late, bool with_wallets)
{
    pays = with_wallets;
    rules = (struct rules){
        .close_grace_ms = GRACE_MS,
        .release = release,
        .late_payment = late,
        .checkback = {SCHEDULE_ADAPTIVE, 30000, 30000, 3},
        .cancel_wait_ms = 5000,
        .call_deadline_ms = 3000,
        .code_min_life_ms = 60000,
        .code_max_life_ms = 7200000,
        .refund_query_ms = 10000,
    };
    nodes = pages((STATES_MAX + 1) * sizeof *nodes);
    ways = pages((STATES_MAX + 1) * sizeof *ways);
    table = pages(TABLE_SIZE * sizeof *table);
    n_nodes = 0;
    n_edges = 0;
    struct node start = {.stock = {1, 0, 0}};
    ways[0] = (struct way){0, "placing"};
    start.b.order = (struct order){
        .key = 1,
        .channel = CHANNEL_ALIPAY,
        .policy = POLICY_REVERSE,
        .holds_stock = true,
        .amount_fen = PRICE_FEN,
        .expires_ms = T0_MS + WINDOW_MS,
    };
    nodes[0] = start;
    step_to(&start, &nodes[0], (struct event){.kind = EV_PLACE, .now_ms = T0_MS}, "placing");
    node_is_new(&nodes[0]);
    n_nodes = 1;
    for (unsigned i = 0; i < n_nodes && i < at_most_from; i++) {
        forget_before(i);
        visit_all_from(i);
    }
    static const char *const LATE[] = {"refund", "reopen", "hold"};
    printf("release=%s late_payment=%s%s: %u states, %lu edges\n", release == RELEASE_PROOF ? "proof" : "deadline",
           LATE[late], pays ? " two wallets" : "", n_nodes, n_edges);
}

// Every way of being configured, each in a process of its own, two at a time. True: no law was broken.
static bool explore_all(void)
{
    bool good = true;
    unsigned running = 0;
    for (unsigned i = 0; i < N_WAYS || running > 0;) {
        int status = 0;
        (void)fflush(NULL);
        if (i < N_WAYS && running < 2) {
            pid_t pid = fork();
            if (pid < 0) abort();
            if (pid == 0) {
                if (i < 6) explore((enum release)(i / 3), (enum late_payment)(i % 3), false);
                if (i == 6) explore(RELEASE_PROOF, LATE_HOLD, true);
                (void)fflush(NULL);
                _exit(0);
            }
            i++;
            running++;
        } else {
            (void)wait(&status);
            good = good && status == 0;
            running--;
        }
    }
    return good;
}

// one: one way of being configured, as the unit tests do; some: the first of its states, for slow builds; all: the
// seven; deep: the seven, and more told apart.
int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "one";
    deep = strcmp(what, "deep") == 0;
    if (strcmp(what, "one") == 0 || strcmp(what, "some") == 0) {
        if (what[0] == 's') at_most_from = 20000;
        explore(RELEASE_PROOF, LATE_REFUND, false);
        return 0;
    }
    if (!deep && strcmp(what, "all") != 0) {
        fprintf(stderr, "usage: explore_core [one|some|all|deep]\n");
        return 2;
    }
    bool good = explore_all();
    printf("%d passed, %d failed\n", good, !good);
    return good ? 0 : 1;
}

// SPDX-License-Identifier: Apache-2.0
// One seed's world: what is drawn for it, virtual time, what will happen when, the story and its hash.
//
// The parts know each other only through here and each other's few functions: clients (clients.h) talk to the node, the
// node (node.h) is the product on its simulated disk, provider_model.h are the providers with their ledger,
// broker_model.h a broker elsewhere, checker.h looks at all of it from outside. Nothing reads a clock, starts a thread
// or depends on an address.
#ifndef TILL_SIM_WORLD_H
#define TILL_SIM_WORLD_H

#include "engine/engine.h"
#include "random.h"

// --- What can go wrong, by class; each seed draws a set.
#define FAULTS(X)                                                                                                      \
    X(FAULT_NOTIFY, "notify")   /* notifications dropped, late, duplicated, reordered */                               \
    X(FAULT_CALLS, "calls")     /* outcomes unknown (carried out or not), refusals, slow and late packets */           \
    X(FAULT_STALE, "stale")     /* the provider answers from a replica that lags */                                    \
    X(FAULT_OUTAGE, "outage")   /* the provider cannot be reached for a while */                                       \
    X(FAULT_KILL, "kill")       /* the process is killed, inside a write or between */                                 \
    X(FAULT_POWER, "power")     /* the power fails: what was not synced is kept, dropped or torn */                    \
    X(FAULT_DISK, "disk")       /* full, a failing write, a failing sync */                                            \
    X(FAULT_CLOCK, "clock")     /* jumps forth and back, a pause of minutes */                                         \
    X(FAULT_CLIENTS, "clients") /* answers lost on the way, requests sent twice */                                     \
    X(FAULT_AMOUNT, "amount")   /* the buyer is charged another amount; numbers nobody gave */                         \
    X(FAULT_BROKER, "broker")   /* a broker elsewhere: sends, answers, questions lost; away; restarted, and forgets */ \
    X(FAULT_STORE, "store")     /* a store elsewhere: refuses a batch, or is lost during COMMIT */
#define X_ENUM(constant, text) constant,
enum fault_class { FAULTS(X_ENUM) N_FAULTS };

// --- What a run has reached: the rows of the catalogue of races and faults. `must` ones fail a long run at 0.
#define SCENES(X)                                                                                                      \
    X(SCENE_PAY_MEETS_CLOSE, "01_pay_meets_close", true)                                                               \
    X(SCENE_CLOSE_BEFORE_PAY, "02_close_before_pay", true)                                                             \
    X(SCENE_NOTICE_RACES_DEADLINE, "03_notice_races_deadline", true)                                                   \
    X(SCENE_CANCEL_RACES_PAY, "04_cancel_races_pay", true)                                                             \
    X(SCENE_PAID_AFTER_CANCELLED, "05_paid_after_cancelled", true)                                                     \
    X(SCENE_PAID_TWICE, "06_paid_twice", true)                                                                         \
    X(SCENE_SCANNED_AFTER_DEADLINE, "07_scanned_after_deadline", true)                                                 \
    X(SCENE_NO_TRADE_CODE_ALIVE, "08_no_trade_code_alive", true)                                                       \
    X(SCENE_NOTICE_BEFORE_CODE, "10_notice_before_code", true)                                                         \
    X(SCENE_NOTICE_LOST, "11_notice_lost_for_ever", true)                                                              \
    X(SCENE_NOTICE_REPEATED, "12_notice_repeated", true)                                                               \
    X(SCENE_NOTICES_REORDERED, "13_notices_reordered", true)                                                           \
    X(SCENE_AMOUNT_DIFFERS, "14_amount_differs", false)                                                                \
    X(SCENE_UNKNOWN_NUMBER, "15_unknown_number", false)                                                                \
    X(SCENE_NOTICE_REPLAYED, "17_old_notice_replayed", true)                                                           \
    X(SCENE_ACK_LOST, "18_ack_lost", false)                                                                            \
    X(SCENE_CREATE_UNKNOWN, "20_create_unknown", true)                                                                 \
    X(SCENE_CREATE_AFTER_CLOSING, "21_create_after_closing", true)                                                     \
    X(SCENE_CLOSE_ERROR, "22_close_error", true)                                                                       \
    X(SCENE_OUTAGE, "23_provider_unreachable", false)                                                                  \
    X(SCENE_GARBAGE, "25_garbage_answer", true)                                                                        \
    X(SCENE_STALE_ANSWER, "26_stale_answer", true)                                                                     \
    X(SCENE_REFUND_UNKNOWN, "27_refund_unknown", true)                                                                 \
    X(SCENE_CRASH_IN_REFUND, "30_crash_in_refund", true)                                                               \
    X(SCENE_REFUNDS_RACE, "31_refunds_race", true)                                                                     \
    X(SCENE_KILL_IN_COMMIT, "32_kill_in_commit", true)                                                                 \
    X(SCENE_POWER_LOSS, "33_power_loss_lost_writes", true)                                                             \
    X(SCENE_CRASH_IN_RECOVERY, "34_crash_in_recovery", true)                                                           \
    X(SCENE_DISK_FULL, "35_disk_full", false)                                                                          \
    X(SCENE_SYNC_FAILED, "36_sync_failed", false)                                                                      \
    X(SCENE_CLOCK_JUMP, "40_clock_jump", true)                                                                         \
    X(SCENE_BROKER_DOWN, "41_broker_down", true)                                                                       \
    X(SCENE_HALF_DROPPED, "42_checkback_lost_or_dropped", true)                                                        \
    X(SCENE_BROKER_DUPLICATES, "43_broker_duplicates", true)                                                           \
    X(SCENE_COMMIT_UNKNOWN, "46_commit_unknown", true)                                                                 \
    X(SCENE_BATCH_REFUSED, "48_batch_refused", true)                                                                   \
    X(SCENE_HOT_SKU, "49_hot_sku", true)                                                                               \
    X(SCENE_CODE_RENEWED, "60_code_renewed", false)                                                                    \
    X(SCENE_REOPENED, "61_reopened", false)                                                                            \
    X(SCENE_IDEM_REPLAYED, "62_idempotent_replay", false)                                                              \
    X(SCENE_PROVIDER_REFUND, "63_cancel_returned_money", false)                                                        \
    X(SCENE_HALF_UNKNOWN, "64_half_unknown", true)                                                                     \
    X(SCENE_END_REPLACED, "65_end_refused_replaced", true)                                                             \
    X(SCENE_CHECK_OF_OLDER_COPY, "66_check_of_older_copy", true)                                                       \
    X(SCENE_CANCEL_LATE, "67_cancel_message_late", true)                                                               \
    X(SCENE_ENDS_FORGOTTEN, "68_broker_forgot_ends", true)                                                             \
    X(SCENE_WALLET_CHANGED, "70_wallet_changed", true)                                                                 \
    X(SCENE_BOTH_WALLETS_PAY, "71_both_wallets_pay", true)                                                             \
    X(SCENE_PAGE_OPENED_LATE, "72_page_opened_late", true)                                                             \
    X(SCENE_WORD_ACCEPTS, "73_word_accepts", true)                                                                     \
    X(SCENE_WORD_SENDS_BACK, "74_word_sends_back", true)                                                               \
    X(SCENE_WORD_TWICE, "75_word_said_twice", true)                                                                    \
    X(SCENE_WORD_MEETS_BUYER, "76_word_meets_buyer", true)                                                             \
    X(SCENE_REFUND_ABNORMAL, "77_refund_abnormal", true)                                                               \
    X(SCENE_REFUND_CLOSED, "78_refund_closed_replaced", true)                                                          \
    X(SCENE_LATER_REFUND_CLOSED, "79_other_refund_closed", true)                                                       \
    X(SCENE_SOME_WENT_BACK, "80_some_went_back_unseen", true)
#define X_SCENE(constant, text, must) constant,
enum scene { SCENES(X_SCENE) N_SCENES };

extern const char *const FAULT_NAMES[N_FAULTS], *const SCENE_NAMES[N_SCENES];
extern const bool SCENE_MUST[N_SCENES];

// --- What one seed draws
#define SKUS_MAX    4
#define CLIENTS_MAX 64
struct config {
    unsigned faults; // bits of enum fault_class
    unsigned rate;   // permille of things that go wrong, of each class that is on
    struct rules rules;
    unsigned n_skus, n_clients;
    int64_t stock[SKUS_MAX], price_fen[SKUS_MAX];
    int64_t shop_ms;  // how long clients come
    int64_t batch_ms; // the engine gets to a turn this late at most: larger batches
    int64_t lag_ms;   // a provider takes money that much longer than it should
    int64_t stale_ms; // how far its replica is behind
    bool close_kills; // closing an unscanned code kills it
    unsigned page_size;
    bool fresh;                     // begins with no database at all
    unsigned crashes;               // planned
    unsigned at_the_deadline;       // permille of buyers who act there
    bool wallets_on;                // there is WeChat Pay beside Alipay, buyers open Till's page, operators say words
    unsigned hard_refunds;          // permille of WeChat Pay's refunds that end closed or get stuck
    unsigned by_hand;               // permille of its payments of which a clerk gives some back at once, over there
    struct {                        // a broker elsewhere, where rules.broker says so
        int64_t check_ms, young_ms; // it asks so often, and nothing about what is younger
        unsigned check_max;
        int64_t invisible_ms; // delivered and not acknowledged: again after that long
        bool copies;          // each question comes with another copy
        bool refuses_dropped;
    } mq;
};

// --- What will happen
struct world;
struct happening {
    int64_t at_ms;
    uint64_t seq;
    void (*run)(struct world *w, struct happening *h);
    uint64_t a, b, c;
};

struct totals { // over all seeds
    uint64_t lifecycles, crashes, faults, scenes[N_SCENES], turns, commits, ops, virtual_ms;
    uint64_t sent_back; // captures that had to go back
};

// An order as its public events tell it, in the order they were committed.
struct seen_order {
    uint64_t key;
    unsigned client; // whose; CLIENTS_MAX: not known
    int state;
    int64_t expires_ms, closing_ms, cancelled_ms, paid_ms;
    bool placed_for_any;
};
#define SEEN_MAX 512

struct node;
struct ledger;
struct clients;
struct checker;
struct trade;
struct world;

// Who plays instead of the buyers and merchants that are drawn (clients.h): orders and payments out of a record.
struct cast {
    void (*code_is_out)(struct world *w, struct trade *t); // the provider made it, the node does not know yet
    void (*saw)(struct world *w, struct seen_order *o, int type);
    void (*replied)(struct world *w, struct request *r); // what was posted with node_post(); notices are not his
};

struct broker_model;
struct world {
    uint64_t seed, step;
    struct config c;
    int64_t start_ms, now_ms, heal_ms;
    bool healing; // faults and buyers have stopped
    struct stream net, buyers, shop, breaks, relay, wallets, server;
    struct happening *queue;
    unsigned n_queue, queue_cap;
    uint64_t next_seq;
    uint64_t hash;
    bool tells; // the story goes to stdout
    struct totals *totals;
    bool failed;
    char check[48], detail[400];
    struct node *node;
    struct ledger *ledger;
    struct clients *clients;
    struct checker *checker;
    const struct cast *cast; // NULL: nobody, all is drawn
    void *cast_ctx;
    struct broker_model *mq;
    struct seen_order seen[SEEN_MAX];
    unsigned n_seen;
};

void world_begin(struct world *w, uint64_t seed, unsigned faults_allowed);
void world_free(struct world *w);

// `run` will be called at that instant (now at the earliest), after what was planned for the same instant before.
void world_plan(struct world *w, int64_t at_ms, void (*run)(struct world *, struct happening *), uint64_t a, uint64_t b,
                uint64_t c);
int64_t world_next_ms(const struct world *w); // INT64_MAX: nothing is planned
void world_run_due(struct world *w);          // everything planned up to now

void world_tell(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void world_violated(struct world *w, const char *check, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void world_reached(struct world *w, enum scene s);
// Whether a fault of that class happens now; counted when it does. Never while healing.
bool world_faults(struct world *w, enum fault_class f, struct stream *s);
bool world_has(const struct world *w, enum fault_class f);
void world_fault_counted(struct world *w);

struct seen_order *seen_find(struct world *w, uint64_t key);

// Short names for the story: the n-th order, payment, refund that was met.
const char *name_of(struct world *w, char kind, uint64_t key);

#endif

// SPDX-License-Identifier: Apache-2.0
// The table of keys, and what is made from it: --print-config, `till help config`, docs/config.md.
#include "shell/config_keys.h"
#include "base/timetext.h"

#define SECOND_MS    INT64_C(1000)
#define DAY_MS       INT64_C(86400000)
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define AT(field) offsetof(struct config, field)

#define OPTIONAL_FILE                                                                                                  \
    {                                                                                                                  \
        .type = VALUE_FILE, .may_be_empty = true                                                                       \
    }
#define OPTIONAL_NAME                                                                                                  \
    {                                                                                                                  \
        .type = VALUE_NAME, .may_be_empty = true                                                                       \
    }
#define OPTIONAL_URL                                                                                                   \
    {                                                                                                                  \
        .type = VALUE_URL, .may_be_empty = true                                                                        \
    }

// Sections stay together, in the order they are shown. Lists of words are in the order of their enums.
const struct key config_keys[] = {
    {"server",
     "listen",
     AT(server.listen),
     {.type = VALUE_ADDRESS},
     "127.0.0.1:8080",
     NULL,
     "where the API and the pages are served; port 0 takes a free one; anything but loopback needs an API "
     "key"},
    {"server", "public_url", AT(server.public_url), OPTIONAL_URL, "", NULL,
     "base of notify and payment-page addresses, as phones and providers reach it; empty: made from "
     "`server.listen`"},
    {"server",
     "workers",
     AT(server.workers),
     {.type = VALUE_NUMBER, .min = 0, .max = 64},
     "0",
     NULL,
     "HTTP threads; 0: as many as processors, at most 4"},
    {"server",
     "max_connections",
     AT(server.max_connections),
     {.type = VALUE_NUMBER, .min = 1, .max = 1000000},
     "4096",
     NULL,
     "connections served at once; further ones are answered 503"},
    {"server", "api_keys_file", AT(server.api_keys_file), OPTIONAL_FILE, "", NULL,
     "the API keys `till key add` writes; empty: no keys, and loopback only"},

    {"store",
     "url",
     AT(store.url),
     {.type = VALUE_STORE_URL},
     "sqlite:till-data/till.db",
     NULL,
     "where orders live: a SQLite file or PostgreSQL (libpq's own URI); `till dev` keeps it under `--data`"},
    {"store",
     "cache_mib",
     AT(store.cache_mib),
     {.type = VALUE_NUMBER, .min = 1, .max = 65536},
     "64",
     NULL,
     "memory for the store's page cache, MiB (SQLite)"},
    // Longer than a provider goes on telling of a payment (25 h) and than answers are remembered (48 h).
    {"store",
     "keep",
     AT(store.keep_ms),
     {.type = VALUE_DURATION, .min = 3 * DAY_MS, .max = 3650 * DAY_MS, .may_be_never = true},
     "never",
     NULL,
     "how long after its last event a finished order stays in the store before it moves to the archive, a read-only "
     "file beside it; longer than refunds are made (docs/retention.md)"},

    {"broker",
     "url",
     AT(broker.url),
     {.type = VALUE_BROKER_URL},
     "embedded:",
     NULL,
     "the broker of transaction messages: inside Till, or RocketMQ's name servers"},
    {"broker",
     "access_key",
     AT(broker.access_key),
     {.type = VALUE_NAME, .may_be_empty = true, .is_secret = true},
     "",
     NULL,
     "RocketMQ ACL: the access key, together with `broker.secret_key_file`"},
    {"broker", "secret_key_file", AT(broker.secret_key_file), OPTIONAL_FILE, "", NULL,
     "RocketMQ ACL: the file with the secret key"},
    {"broker", "tls", AT(broker.tls), {.type = VALUE_BOOL}, "false", NULL, "whether RocketMQ is reached over TLS"},
    {"broker", "tls_ca_file", AT(broker.tls_ca_file), OPTIONAL_FILE, "", NULL,
     "PEM of the authorities that may sign the brokers' certificates; without it the system's"},
    {"broker",
     "tls_verify",
     AT(broker.tls_verify),
     {.type = VALUE_BOOL},
     "true",
     NULL,
     "whether the brokers' certificates are verified; a broker in its test mode signs its own"},

    {"order",
     "pay_within",
     AT(order.pay_within_ms),
     {.type = VALUE_DURATION, .min = SECOND_MS, .max = 15 * DAY_MS},
     "5m",
     NULL,
     "payment window; an order may ask for another"},
    {"order",
     "close_grace",
     AT(order.close_grace_ms),
     {.type = VALUE_DURATION, .min = 0, .max = DAY_MS},
     "30s",
     NULL,
     "where the provider knows no trade: its answer counts as proof this long after the code's expiry"},
    {"order",
     "release",
     AT(order.release),
     {.type = VALUE_WORD, .words = "proof|deadline"},
     "proof",
     NULL,
     "when stock comes back: once the provider can take no money any more, or at the deadline (late money is "
     "refunded)"},
    {"order",
     "late_payment",
     AT(order.late_payment),
     {.type = VALUE_WORD, .words = "refund|reopen|hold"},
     "refund",
     NULL,
     "money for a cancelled order: give it back, reopen the order (only after reason `timeout`, if stock can "
     "be held "
     "again), or leave it to an operator"},

    {"checkback",
     "policy",
     AT(checkback.policy),
     {.type = VALUE_WORD, .words = "delay|poll|reverse|forward"},
     "reverse",
     NULL,
     "how a pending order is watched; an order may ask for another"},
    {"checkback",
     "first",
     AT(checkback.first_ms),
     {.type = VALUE_DURATION, .min = 100, .max = 15 * DAY_MS},
     "30s",
     NULL,
     "the first check after the code went out"},
    {"checkback",
     "interval",
     AT(checkback.interval_ms),
     {.type = VALUE_DURATION, .min = 100, .max = 15 * DAY_MS},
     "30s",
     NULL,
     "between one check and the next"},
    {"checkback",
     "max",
     AT(checkback.max),
     {.type = VALUE_NUMBER, .min = 0, .max = 1000000},
     "0",
     NULL,
     "this many unpaid answers end the window; 0: only time ends it"},
    {"checkback",
     "schedule",
     AT(checkback.schedule),
     {.type = VALUE_WORD, .words = "fixed|adaptive"},
     "adaptive",
     NULL,
     "ask the provider at every check, or only when it is worth asking"},

    {"sweep",
     "cron",
     AT(sweep.cron),
     {.type = VALUE_CRON},
     "0 0/10 * ? * ?",
     NULL,
     "when the fallback sweep looks at every row, Quartz-style, seconds first"},

    {"alipay", "gateway", AT(alipay.gateway), OPTIONAL_URL, "", NULL,
     "the gateway's address; the channel is on when set (`till dev`: its own sandbox)"},
    {"alipay", "app_id", AT(alipay.app_id), OPTIONAL_NAME, "", NULL, "the application's id"},
    {"alipay", "private_key_file", AT(alipay.private_key_file), OPTIONAL_FILE, "", NULL,
     "the application's own private key"},
    {"alipay", "alipay_public_key_file", AT(alipay.alipay_public_key_file), OPTIONAL_FILE, "", NULL,
     "Alipay's public key; or the three certificates"},
    {"alipay", "app_cert_file", AT(alipay.app_cert_file), OPTIONAL_FILE, "", NULL,
     "certificate mode: the application's certificate"},
    {"alipay", "alipay_cert_file", AT(alipay.alipay_cert_file), OPTIONAL_FILE, "", NULL,
     "certificate mode: Alipay's certificate"},
    {"alipay", "root_cert_file", AT(alipay.root_cert_file), OPTIONAL_FILE, "", NULL,
     "certificate mode: Alipay's root certificate"},
    {"alipay", "seller_id", AT(alipay.seller_id), OPTIONAL_NAME, "", NULL,
     "the seller notifications must name; empty: not compared"},
    {"alipay",
     "any_product",
     AT(alipay.any_product),
     {.type = VALUE_WORD, .words = "precreate|wap"},
     "precreate",
     NULL,
     "what a phone that opens the payment page inside Alipay is sent to"},

    {"wechatpay", "base_url", AT(wechatpay.base_url), OPTIONAL_URL, "", NULL,
     "the API's address; the channel is on when set (`till dev`: its own sandbox)"},
    {"wechatpay", "mchid", AT(wechatpay.mchid), OPTIONAL_NAME, "", NULL, "the merchant's number"},
    {"wechatpay", "appid", AT(wechatpay.appid), OPTIONAL_NAME, "", NULL, "the application's id"},
    {"wechatpay", "app_secret_file", AT(wechatpay.app_secret_file), OPTIONAL_FILE, "", NULL,
     "payment inside WeChat (JSAPI): the file with the application's secret"},
    {"wechatpay", "oauth_url", AT(wechatpay.oauth_url), OPTIONAL_URL, "", NULL,
     "payment inside WeChat (JSAPI): base of the OAuth addresses; `https://open.weixin.qq.com` stands for WeChat's own "
     "two "
     "hosts"},
    {"wechatpay", "serial", AT(wechatpay.serial), OPTIONAL_NAME, "", NULL,
     "serial number of the merchant's certificate"},
    {"wechatpay", "private_key_file", AT(wechatpay.private_key_file), OPTIONAL_FILE, "", NULL,
     "the merchant's own private key"},
    {"wechatpay", "platform_key_file", AT(wechatpay.platform_key_file), OPTIONAL_FILE, "", NULL,
     "WeChat Pay's public key, together with `wechatpay.platform_key_id`; certificates are fetched either way"},
    {"wechatpay", "platform_key_id", AT(wechatpay.platform_key_id), OPTIONAL_NAME, "", NULL,
     "id of WeChat Pay's public key"},
    {"wechatpay", "apiv3_key_file", AT(wechatpay.apiv3_key_file), OPTIONAL_FILE, "", NULL,
     "the file with the APIv3 key"},

    {"fake", "base_url", AT(fake.base_url), OPTIONAL_URL, "", NULL,
     "a bank for tests, on loopback only, where no money is real: its address; the channel is on when set (`till dev`: "
     "its own sandbox)"},
    {"fake", "secret_file", AT(fake.secret_file), OPTIONAL_FILE, "", NULL, "the file with the secret both sign with"},
    {"fake",
     "account",
     AT(fake.account),
     {.type = VALUE_NAME},
     "6200-0000-0000-0017",
     NULL,
     "the account buyers are told to transfer to"},

    {"webhook",
     "allow_private",
     AT(webhook.allow_private),
     {.type = VALUE_BOOL},
     "false",
     "true",
     "whether webhooks may go to loopback and private addresses"},

    {"log",
     "level",
     AT(log.level),
     {.type = VALUE_WORD, .words = "debug|info|warn|error"},
     "info",
     NULL,
     "the least important lines still written to stderr"},
};

_Static_assert(COUNT(config_keys) <= CONFIG_KEYS_MAX, "struct config has a source per key");
_Static_assert(RELEASE_PROOF == 0 && RELEASE_DEADLINE == 1, "words follow the enum");
_Static_assert(LATE_REFUND == 0 && LATE_REOPEN == 1 && LATE_HOLD == 2, "words follow the enum");
_Static_assert(POLICY_DELAY == 0 && POLICY_POLL == 1 && POLICY_REVERSE == 2 && POLICY_FORWARD == 3,
               "words follow the enum");
_Static_assert(SCHEDULE_FIXED == 0 && SCHEDULE_ADAPTIVE == 1, "words follow the enum");
_Static_assert(ANY_PRECREATE == 0 && ANY_WAP == 1, "words follow the enum");
_Static_assert(LOG_DEBUG == 0 && LOG_INFO == 1 && LOG_WARN == 2 && LOG_ERROR == 3, "words follow the enum");
_Static_assert(sizeof(enum policy) == sizeof(unsigned), "read and written as unsigned");

const struct key *config_find_key(struct str section, struct str name)
{
    for (size_t i = 0; i < COUNT(config_keys); i++)
        if (str_eq(section, str_of(config_keys[i].section)) && str_eq(name, str_of(config_keys[i].name)))
            return &config_keys[i];
    return NULL;
}

const struct key *config_find_full_key(struct str full)
{
    const char *dot = full.n > 0 ? memchr(full.p, '.', full.n) : NULL;
    if (!dot) return NULL;
    size_t n = (size_t)(dot - full.p);
    return config_find_key((struct str){full.p, n}, (struct str){dot + 1, full.n - n - 1});
}

bool config_has_section(struct str section)
{
    for (size_t i = 0; i < COUNT(config_keys); i++)
        if (str_eq(section, str_of(config_keys[i].section))) return true;
    return false;
}

const unsigned config_n_keys = COUNT(config_keys);

static const void *field_in(const struct config *c, const struct key *k)
{
    return (const char *)c + k->offset;
}

// --- showing

// The one value that is made from another when nobody gave it.
static void write_made_url(const struct config *c, struct buf *out)
{
    struct str host;
    unsigned port;
    if (address_split(str_of(c->server.listen), &host, &port) && port != 0) config_public_url(c, port, out);
}

void config_print(const struct config *c, struct buf *out)
{
    const char *section = "";
    for (size_t i = 0; i < COUNT(config_keys); i++) {
        const struct key *k = &config_keys[i];
        if (strcmp(section, k->section) != 0) buf_printf(out, "%s[%s]\n", i > 0 ? "\n" : "", k->section);
        section = k->section;
        buf_printf(out, "%s = ", k->name);
        size_t before = out->n;
        value_write(&k->rule, field_in(c, k), true, out);
        if (out->n == before && k->offset == AT(server.public_url)) write_made_url(c, out);
        if (out->n == before && !out->failed) out->n--; // no blank at the end of a line
        buf_char(out, '\n');
    }
}

void config_keys_print(struct buf *out)
{
    for (size_t i = 0; i < COUNT(config_keys); i++) {
        const struct key *k = &config_keys[i];
        buf_printf(out, "%s.%s = %s\n    %s\n    ", k->section, k->name, k->initial, k->meaning);
        value_allowed(&k->rule, out);
        if (k->initial_dev) buf_printf(out, "; in till dev: %s", k->initial_dev);
        buf_char(out, '\n');
    }
}

static void markdown_cell(const char *text, bool as_code, struct buf *out)
{
    const char *quote = as_code && *text ? "`" : "";
    buf_z(out, quote);
    for (; *text; text++) {
        if (*text == '|') buf_char(out, '\\');
        buf_char(out, *text);
    }
    buf_printf(out, "%s | ", quote);
}

static const char MARKDOWN_HEAD[] =
    "# Configuration\n"
    "\n"
    "This page is made from the table in `src/shell/config_keys.c` by `till help config --markdown`; a test "
    "compares them.\n"
    "\n"
    "Flags win over the environment, the environment wins over the file, the file over the defaults.\n"
    "\n"
    "- A key `section.name` is the flag `--section.name VALUE` (or `=VALUE`) of `till serve` and `till dev`. "
    "`--listen`\n"
    "  is short for `--server.listen`.\n"
    "- In the environment it is `TILL_SECTION_NAME`: `TILL_ORDER_PAY_WITHIN=10m`. A misspelt name in a known "
    "section is\n"
    "  refused, so on Kubernetes do not name a Service after a section (`till-server`), or set "
    "`enableServiceLinks:\n"
    "  false`: it would inject variables such as `TILL_SERVER_PORT`.\n"
    "- The file is named by `--config FILE`: `[section]`, then `name = value`. A line that begins with `#` "
    "or `;` is a\n"
    "  comment; nothing behind a value is. A key given twice is refused.\n"
    "- Durations are written `500ms`, `90s`, `5m`, `2h`, `15d`.\n"
    "- An unknown key or a bad value stops the start (exit status 2) with one line that names the key, the "
    "value and\n"
    "  what is allowed. `till serve --print-config` shows the effective values as such a file, secrets "
    "masked as `***`.\n"
    "- Secrets are read from files whose paths are the values; only `broker.access_key` and a password "
    "inside\n"
    "  `store.url` are secret themselves.\n"
    "\n"
    "| key | default | allowed | meaning |\n"
    "| --- | --- | --- | --- |\n";

void config_markdown(struct buf *out)
{
    buf_z(out, MARKDOWN_HEAD);
    for (size_t i = 0; i < COUNT(config_keys); i++) {
        const struct key *k = &config_keys[i];
        struct buf allowed = {0};
        value_allowed(&k->rule, &allowed);
        buf_char(&allowed, 0);
        buf_printf(out, "| `%s.%s` | ", k->section, k->name);
        if (k->initial_dev)
            buf_printf(out, "`%s` (`%s` in `till dev`) | ", k->initial, k->initial_dev);
        else
            markdown_cell(k->initial, true, out);
        markdown_cell(allowed.failed ? "" : allowed.p, false, out);
        markdown_cell(k->meaning, false, out);
        out->n--; // the blank behind the last column
        buf_char(out, '\n');
        buf_free(&allowed);
    }
}

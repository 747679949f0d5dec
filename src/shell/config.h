// SPDX-License-Identifier: Apache-2.0
// The configuration: one table of keys (config.c) makes the struct, the flags, the environment's names,
// --print-config and docs/config.md. Flags win over the environment, that over the file, that over the
// defaults.
#ifndef TILL_SHELL_CONFIG_H
#define TILL_SHELL_CONFIG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "core/order.h"
#include "shell/flags.h"

enum any_product { ANY_PRECREATE, ANY_WAP };

// Where a value came from; the later wins.
enum config_source { FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_FLAG };

#define CONFIG_KEYS_MAX 64

// Texts are never NULL ("": not set) and live as long as the struct. Addresses without a slash at the end.
struct config {
    struct {
        const char *listen;
        const char *public_url; // "": from listen; see config_public_url()
        const char *api_keys_file;
        int64_t workers; // 0: as many as processors, at most 4
        int64_t max_connections;
    } server;
    struct {
        const char *url;
        int64_t cache_mib;
        int64_t keep_ms; // 0: for ever
    } store;
    struct {
        const char *url, *access_key, *secret_key_file, *tls_ca_file;
        bool tls, tls_verify;
    } broker;
    struct {
        int64_t pay_within_ms, close_grace_ms;
        enum release release;
        enum late_payment late_payment;
    } order;
    struct {
        enum policy policy;
        enum schedule schedule;
        int64_t first_ms, interval_ms, max;
    } checkback;
    struct {
        const char *cron;
    } sweep;
    struct {
        const char *gateway, *app_id, *private_key_file, *alipay_public_key_file;
        const char *app_cert_file, *alipay_cert_file, *root_cert_file, *seller_id;
        enum any_product any_product;
    } alipay;
    struct {
        const char *base_url, *mchid, *appid, *app_secret_file, *oauth_url, *serial;
        const char *private_key_file, *platform_key_file, *platform_key_id, *apiv3_key_file;
    } wechatpay;
    struct {
        const char *base_url, *secret_file, *account;
    } fake;
    struct {
        bool allow_private;
    } webhook;
    struct {
        enum log_level level;
    } log;

    enum config_source source[CONFIG_KEYS_MAX]; // by place in the table
    struct arena text;
};

#define CONFIG_WHY_SIZE FLAG_WHY_SIZE

struct config_input {
    bool is_dev; // `till dev` has defaults of its own
    int argc;    // arguments behind the command's name
    char **argv;
    char *const *envp;        // may be NULL
    const struct flag *flags; // further flags of the command, may be NULL; --config and --listen are known already
};

// Fills `c` from all sources and checks each value. False: one line for people in `why`, naming the key, the
// value (masked where secret) and what is allowed; exit status 2. `c` needs config_free() either way.
bool config_load(struct config *c, const struct config_input *in, char why[CONFIG_WHY_SIZE]);
void config_free(struct config *c);

// Gives a key another default after loading (what `till dev` takes from its data directory and its sandbox):
// nothing happens when somebody has set the key. False with a reason when the value is bad.
bool config_set_default(struct config *c, const char *key, const char *value, char why[CONFIG_WHY_SIZE]);
enum config_source config_source_of(const struct config *c, const char *key);

// What must hold between keys (a channel needs its keys, ...). After the last config_set_default().
bool config_check(const struct config *c, char why[CONFIG_WHY_SIZE]);

bool config_has_loopback_listen(const struct config *c); // false: refuse to start without an API key
// The base of addresses others are told, without a slash at the end; `port` is the one really bound.
void config_public_url(const struct config *c, unsigned port, struct buf *out);

void config_print(const struct config *c, struct buf *out); // INI, every key, secrets masked
void config_keys_print(struct buf *out);                    // for `till help config`
void config_markdown(struct buf *out);                      // the whole of docs/config.md

#endif

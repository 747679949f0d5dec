// SPDX-License-Identifier: Apache-2.0
#include "shell/config.h"
#include "shell/config_keys.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#define FILE_MAX     65536
#define KEY_MAX      64
#define FLAGS_MAX    32
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void *field_of(struct config *c, const struct key *k)
{
    return (char *)c + k->offset;
}

// --- what is said of a mistake

static bool smells_secret(struct str name)
{
    static const char *const parts[] = {"key", "secret", "pass", "token"};
    for (size_t i = 0; i < COUNT(parts); i++)
        if (memmem(name.p, name.n, parts[i], strlen(parts[i]))) return true;
    return false;
}

// The value in quotes, masked where it is, or may be, a secret.
static void show_value(struct str value, bool is_secret, struct buf *out)
{
    struct buf masked = {0};
    char shown[SHOWN_SIZE];
    if (is_secret && value.n > 0)
        buf_z(&masked, "***");
    else
        value_mask_url(value, &masked);
    buf_char(&masked, 0);
    buf_z(out, value_shown(masked.failed ? "" : masked.p, shown));
    buf_free(&masked);
}

static bool finish_why(struct buf *line, char why[CONFIG_WHY_SIZE])
{
    (void)snprintf(why, CONFIG_WHY_SIZE, "%.*s", (int)line->n, line->failed ? "out of memory" : line->p);
    buf_free(line);
    return false;
}

static bool refuse_value(const struct key *k, struct str value, const char *origin, char why[CONFIG_WHY_SIZE])
{
    struct buf line = {0};
    buf_printf(&line, "%s.%s: ", k->section, k->name);
    show_value(value, k->rule.is_secret, &line);
    buf_z(&line, " is not allowed: expected ");
    value_allowed(&k->rule, &line);
    buf_printf(&line, " (%s)", origin);
    return finish_why(&line, why);
}

static bool refuse_key(struct str full, struct str value, const char *origin, char why[CONFIG_WHY_SIZE])
{
    struct buf line = {0};
    char name[KEY_MAX + 1], shown[SHOWN_SIZE];
    const char *dot = full.n > 0 ? memchr(full.p, '.', full.n) : NULL, *last = "";
    struct str section = {full.p, dot ? (size_t)(dot - full.p) : 0};
    bool in_section = dot && config_has_section(section);
    (void)snprintf(name, sizeof name, "%.*s", (int)(full.n < KEY_MAX ? full.n : KEY_MAX), full.p);
    buf_printf(&line, "unknown key %s with value ", value_shown(name, shown));
    show_value(value, smells_secret(full), &line);
    buf_printf(&line, " (%s): allowed%s", origin, in_section ? " there" : " are the sections");
    for (size_t i = 0; i < config_n_keys; i++) {
        if (in_section ? !str_eq(section, str_of(config_keys[i].section)) : strcmp(last, config_keys[i].section) == 0)
            continue;
        buf_printf(&line, "%s%s", *last ? ", " : " ", in_section ? config_keys[i].name : config_keys[i].section);
        last = config_keys[i].section;
    }
    return finish_why(&line, why);
}

// --- one value from one source

static bool set(struct config *c, const struct key *k, struct str value, enum config_source source, const char *origin,
                char why[CONFIG_WHY_SIZE])
{
    enum config_source *have = &c->source[k - config_keys];
    union {
        const char *text;
        int64_t number;
        unsigned place;
        bool on;
    } unused;
    // A value that loses against a stronger source must still be a good one: it may win tomorrow.
    void *field = source >= *have ? field_of(c, k) : &unused;
    if (!value_read(&k->rule, value, &c->text, field)) return refuse_value(k, value, origin, why);
    if (source >= *have) *have = source;
    return true;
}

static bool set_defaults(struct config *c, bool is_dev, char why[CONFIG_WHY_SIZE])
{
    for (size_t i = 0; i < config_n_keys; i++) {
        const struct key *k = &config_keys[i];
        const char *value = is_dev && k->initial_dev ? k->initial_dev : k->initial;
        if (!set(c, k, str_of(value), FROM_DEFAULT, "built in", why)) return false;
    }
    return true;
}

static bool set_from_flag(void *ctx, const char *key, const char *value, char why[CONFIG_WHY_SIZE])
{
    char origin[KEY_MAX + 4];
    const struct key *k = config_find_full_key(str_of(key));
    (void)snprintf(origin, sizeof origin, "flag");
    if (!k) return refuse_key(str_of(key), str_of(value), origin, why);
    return set(ctx, k, str_of(value), FROM_FLAG, origin, why);
}

static bool read_flags(struct config *c, const struct config_input *in, const char **file, char why[CONFIG_WHY_SIZE])
{
    struct flag all[FLAGS_MAX] = {{.name = "--config", .kind = FLAG_TEXT, .out = file, .allowed = "the path of a file"},
                                  {.name = "--listen", .kind = FLAG_KEY, .key = "server.listen"}};
    size_t n = 2;
    for (const struct flag *f = in->flags; f && f->name; f++) {
        if (n + 1 == FLAGS_MAX) break;
        all[n++] = *f;
    }
    struct flag_input args = {.argc = in->argc, .argv = in->argv, .flags = all, .set_key = set_from_flag, .ctx = c};
    return flags_read(&args, why);
}

// --- environment

static size_t env_name(const struct key *k, char out[KEY_MAX + 6])
{
    int n = snprintf(out, KEY_MAX + 6, "TILL_%s_%s", k->section, k->name);
    for (char *p = out; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    return (size_t)n;
}

// TILL_ORDER_PAY_WITHN: the section is ours, so the name was meant for us. The key it would be, in lower
// case.
static bool env_is_misspelt(struct str name, char key[KEY_MAX])
{
    size_t n = 0;
    if (!str_starts(name, STR("TILL_"))) return false;
    for (size_t i = 5; i < name.n && n < KEY_MAX - 1; i++)
        key[n++] = (char)tolower((unsigned char)name.p[i]);
    key[n] = 0;
    char *underscore = strchr(key, '_');
    if (!underscore) return false;
    *underscore = '.';
    return config_has_section((struct str){key, (size_t)(underscore - key)});
}

static bool read_env_line(struct config *c, const char *line, char why[CONFIG_WHY_SIZE])
{
    char name[KEY_MAX + 6], key[KEY_MAX];
    const char *equals = strchr(line, '=');
    if (!equals || strncmp(line, "TILL_", 5) != 0) return true;
    struct str given = {line, (size_t)(equals - line)}, value = str_of(equals + 1);
    for (size_t i = 0; i < config_n_keys; i++) {
        size_t n = env_name(&config_keys[i], name);
        if (str_eq(given, (struct str){name, n})) return set(c, &config_keys[i], value, FROM_ENVIRONMENT, name, why);
    }
    if (!env_is_misspelt(given, key)) return true;
    (void)snprintf(name, sizeof name, "%.*s", (int)(given.n < KEY_MAX ? given.n : KEY_MAX), line);
    return refuse_key(str_of(key), value, name, why);
}

static bool read_environment(struct config *c, char *const *envp, char why[CONFIG_WHY_SIZE])
{
    for (; envp && *envp; envp++)
        if (!read_env_line(c, *envp, why)) return false;
    return true;
}

// --- file

struct ini {
    struct config *c;
    const char *path;
    unsigned line;
    struct str section;              // "" before the first
    unsigned first[CONFIG_KEYS_MAX]; // line a key was given in; 0: not yet
};

static struct str trim(struct str s)
{
    while (s.n > 0 && isspace((unsigned char)s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && isspace((unsigned char)s.p[s.n - 1]))
        s.n--;
    return s;
}

static bool refuse_line(const struct ini *f, const char *what, char why[CONFIG_WHY_SIZE])
{
    (void)snprintf(why, CONFIG_WHY_SIZE, "%.200s:%u: %s", f->path, f->line, what);
    return false;
}

static bool read_section(struct ini *f, struct str line, char why[CONFIG_WHY_SIZE])
{
    if (line.n < 3 || line.p[line.n - 1] != ']') return refuse_line(f, "expected [section]", why);
    f->section = trim((struct str){line.p + 1, line.n - 2});
    if (config_has_section(f->section)) return true;
    char origin[CONFIG_WHY_SIZE / 2], name[KEY_MAX];
    (void)snprintf(origin, sizeof origin, "%.120s:%u", f->path, f->line);
    (void)snprintf(name, sizeof name, "%.*s.", (int)(f->section.n < 60 ? f->section.n : 60), f->section.p);
    return refuse_key(str_of(name), (struct str){"", 0}, origin, why);
}

static bool read_pair(struct ini *f, struct str line, char why[CONFIG_WHY_SIZE])
{
    const char *equals = memchr(line.p, '=', line.n);
    if (!equals) return refuse_line(f, "expected name = value, [section], or a comment", why);
    if (f->section.n == 0) return refuse_line(f, "expected a [section] before the first value", why);
    struct str name = trim((struct str){line.p, (size_t)(equals - line.p)});
    struct str value = trim((struct str){equals + 1, line.n - (size_t)(equals - line.p) - 1});
    const struct key *k = config_find_key(f->section, name);
    char origin[CONFIG_WHY_SIZE / 2];
    (void)snprintf(origin, sizeof origin, "%.120s:%u", f->path, f->line);
    if (!k) {
        char full[2 * KEY_MAX + 2];
        (void)snprintf(full, sizeof full, "%.*s.%.*s", (int)f->section.n, f->section.p,
                       (int)(name.n < KEY_MAX ? name.n : KEY_MAX), name.p);
        return refuse_key(str_of(full), value, origin, why);
    }
    unsigned *first = &f->first[k - config_keys];
    if (*first) {
        char what[160];
        (void)snprintf(what, sizeof what, "%s.%s is given twice, first in line %u", k->section, k->name, *first);
        return refuse_line(f, what, why);
    }
    *first = f->line;
    return set(f->c, k, value, FROM_FILE, origin, why);
}

static bool read_lines(struct config *c, const char *path, struct str rest, char why[CONFIG_WHY_SIZE])
{
    struct ini f = {.c = c, .path = path};
    if (str_starts(rest, STR("\xef\xbb\xbf"))) rest = (struct str){rest.p + 3, rest.n - 3}; // a byte order mark
    while (rest.n > 0) {
        const char *end = memchr(rest.p, '\n', rest.n);
        struct str line = {rest.p, end ? (size_t)(end - rest.p) : rest.n};
        rest.p += line.n + (end ? 1 : 0);
        rest.n -= line.n + (end ? 1 : 0);
        line = trim(line);
        f.line++;
        if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';') continue;
        if (memchr(line.p, 0, line.n)) return refuse_line(&f, "a zero byte: this is no text file", why);
        if (line.p[0] == '[' ? !read_section(&f, line, why) : !read_pair(&f, line, why)) return false;
    }
    return true;
}

static bool read_file(struct config *c, const char *path, char why[CONFIG_WHY_SIZE])
{
    struct buf text = {0};
    FILE *f = fopen(path, "re");
    size_t n = 0;
    bool good = false;
    if (f && buf_reserve(&text, FILE_MAX + 1)) n = fread(text.p, 1, FILE_MAX + 1, f);
    if (!f || ferror(f))
        (void)snprintf(why, CONFIG_WHY_SIZE, "--config: cannot read %.200s: %s", path, strerror(errno));
    else if (n > FILE_MAX || text.failed)
        (void)snprintf(why, CONFIG_WHY_SIZE, "--config: %.200s is larger than 64 KiB", path);
    else
        good = read_lines(c, path, (struct str){text.p, n}, why);
    if (f) (void)fclose(f);
    buf_free(&text);
    return good;
}

// --- all of it

bool config_load(struct config *c, const struct config_input *in, char why[CONFIG_WHY_SIZE])
{
    const char *file = NULL;
    *c = (struct config){0};
    // The strongest source first: it also names the file. A weaker one never replaces a stronger.
    return set_defaults(c, in->is_dev, why) && read_flags(c, in, &file, why) && read_environment(c, in->envp, why) &&
           (!file || read_file(c, file, why));
}

void config_free(struct config *c)
{
    arena_free(&c->text);
    *c = (struct config){0};
}

bool config_set_default(struct config *c, const char *key, const char *value, char why[CONFIG_WHY_SIZE])
{
    const struct key *k = config_find_full_key(str_of(key));
    if (!k) return refuse_key(str_of(key), str_of(value), "built in", why);
    return set(c, k, str_of(value), FROM_DEFAULT, "made by till dev", why);
}

enum config_source config_source_of(const struct config *c, const char *key)
{
    const struct key *k = config_find_full_key(str_of(key));
    return k ? c->source[k - config_keys] : FROM_DEFAULT;
}

// --- between keys

struct need {
    const char *has, *has_key;     // when this is set ...
    const char *needs, *needs_key; // ... this must be, too
};

static bool needs_are_met(const struct need *needs, size_t n, char why[CONFIG_WHY_SIZE])
{
    for (size_t i = 0; i < n; i++) {
        if (!*needs[i].has || *needs[i].needs) continue;
        (void)snprintf(why, CONFIG_WHY_SIZE, "%s: \"\" is not allowed: it is needed because %s is set",
                       needs[i].needs_key, needs[i].has_key);
        return false;
    }
    return true;
}

#define NEED(a, b)                                                                                                     \
    {                                                                                                                  \
        c->a, #a, c->b, #b                                                                                             \
    }

static bool check_alipay(const struct config *c, char why[CONFIG_WHY_SIZE])
{
    const struct need needs[] = {
        NEED(alipay.app_id, alipay.gateway),
        NEED(alipay.private_key_file, alipay.gateway),
        NEED(alipay.alipay_public_key_file, alipay.gateway),
        NEED(alipay.app_cert_file, alipay.gateway),
        NEED(alipay.seller_id, alipay.gateway),
        NEED(alipay.gateway, alipay.app_id),
        NEED(alipay.gateway, alipay.private_key_file),
        NEED(alipay.app_cert_file, alipay.alipay_cert_file),
        NEED(alipay.app_cert_file, alipay.root_cert_file),
        NEED(alipay.alipay_cert_file, alipay.app_cert_file),
        NEED(alipay.root_cert_file, alipay.app_cert_file),
    };
    bool has_key = *c->alipay.alipay_public_key_file != 0, has_certs = *c->alipay.app_cert_file != 0;
    if (!needs_are_met(needs, COUNT(needs), why)) return false;
    if (*c->alipay.gateway == 0 || has_key != has_certs) return true;
    (void)snprintf(why, CONFIG_WHY_SIZE,
                   has_key ? "alipay.alipay_public_key_file: it and alipay.app_cert_file are both set: use the public "
                             "key, or the three certificates"
                           : "alipay.alipay_public_key_file: \"\" is not allowed: alipay.gateway is set, which needs "
                             "it or the three certificates");
    return false;
}

bool config_check(const struct config *c, char why[CONFIG_WHY_SIZE])
{
    const struct need needs[] = {
        NEED(broker.access_key, broker.secret_key_file),
        NEED(broker.secret_key_file, broker.access_key),
        NEED(wechatpay.mchid, wechatpay.base_url),
        NEED(wechatpay.appid, wechatpay.base_url),
        NEED(wechatpay.serial, wechatpay.base_url),
        NEED(wechatpay.private_key_file, wechatpay.base_url),
        NEED(wechatpay.apiv3_key_file, wechatpay.base_url),
        NEED(wechatpay.base_url, wechatpay.mchid),
        NEED(wechatpay.base_url, wechatpay.appid),
        NEED(wechatpay.base_url, wechatpay.serial),
        NEED(wechatpay.base_url, wechatpay.private_key_file),
        NEED(wechatpay.base_url, wechatpay.apiv3_key_file),
        NEED(wechatpay.platform_key_file, wechatpay.platform_key_id),
        NEED(wechatpay.platform_key_id, wechatpay.platform_key_file),
        NEED(wechatpay.app_secret_file, wechatpay.oauth_url),
        NEED(wechatpay.oauth_url, wechatpay.app_secret_file),
        NEED(wechatpay.oauth_url, wechatpay.base_url),
        NEED(fake.secret_file, fake.base_url),
        NEED(fake.base_url, fake.secret_file),
    };
    return needs_are_met(needs, COUNT(needs), why) && check_alipay(c, why);
}

bool config_has_loopback_listen(const struct config *c)
{
    struct str host;
    unsigned port;
    char text[256];
    struct in_addr v4;
    if (!address_split(str_of(c->server.listen), &host, &port)) return false;
    if (str_eq(host, STR("::1")) || str_eq(host, STR("localhost"))) return true;
    (void)snprintf(text, sizeof text, "%.*s", (int)host.n, host.p);
    return inet_pton(AF_INET, text, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

void config_public_url(const struct config *c, unsigned port, struct buf *out)
{
    struct str host = {0};
    unsigned asked;
    if (*c->server.public_url) {
        buf_z(out, c->server.public_url);
        return;
    }
    if (!address_split(str_of(c->server.listen), &host, &asked)) return;
    // "Every address" is none that could be opened.
    if (str_eq(host, STR("0.0.0.0"))) host = STR("127.0.0.1");
    if (str_eq(host, STR("::"))) host = STR("::1");
    bool is_v6 = memchr(host.p, ':', host.n) != NULL;
    buf_printf(out, "http://%s%.*s%s:%u", is_v6 ? "[" : "", (int)host.n, host.p, is_v6 ? "]" : "", port);
}

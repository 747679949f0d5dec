// SPDX-License-Identifier: Apache-2.0
#include "shell/auth.h"
#include "base/crypto.h"
#include "shell/flags.h"
#include "shell/help.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYS_MAX       256
#define NAME_MAX_BYTES 64

struct api_key {
    char name[NAME_MAX_BYTES + 1];
    enum scope scope;
    uint8_t sha256[32];
};

struct auth {
    unsigned n;
    struct api_key keys[KEYS_MAX];
};

static const char *const SCOPES[] = {
    [SCOPE_READ] = "read", [SCOPE_ORDER] = "order", [SCOPE_REFUND] = "refund", [SCOPE_ADMIN] = "admin"};

static enum scope scope_of(const char *word)
{
    for (unsigned s = SCOPE_READ; s <= SCOPE_ADMIN; s++)
        if (strcmp(word, SCOPES[s]) == 0) return (enum scope)s;
    return SCOPE_NONE;
}

bool scope_allows(enum scope has, enum scope needs)
{
    switch (needs) {
    case SCOPE_NONE: return true;
    case SCOPE_READ: return has != SCOPE_NONE;
    case SCOPE_ORDER: return has == SCOPE_ORDER || has == SCOPE_ADMIN;
    case SCOPE_REFUND: return has == SCOPE_REFUND || has == SCOPE_ADMIN;
    case SCOPE_ADMIN: break;
    }
    return has == SCOPE_ADMIN;
}

static bool hex_read(const char *hex, uint8_t out[32])
{
    if (strlen(hex) != 64) return false;
    for (int i = 0; i < 32; i++) {
        unsigned v;
        if (strspn(hex + (size_t)2 * i, "0123456789abcdef") < 2 || sscanf(hex + (size_t)2 * i, "%2x", &v) != 1)
            return false;
        out[i] = (uint8_t)v;
    }
    return true;
}

static bool line_read(char *line, struct api_key *k)
{
    char *save = NULL;
    const char *name = strtok_r(line, " \t\r\n", &save), *scope = strtok_r(NULL, " \t\r\n", &save);
    const char *hash = strtok_r(NULL, " \t\r\n", &save);
    if (!name || !scope || !hash || strtok_r(NULL, " \t\r\n", &save) || strlen(name) > NAME_MAX_BYTES) return false;
    k->scope = scope_of(scope);
    memcpy(k->name, name, strlen(name) + 1);
    return k->scope != SCOPE_NONE && hex_read(hash, k->sha256);
}

struct auth *auth_open(const char *path, char why[200])
{
    struct auth *a = calloc(1, sizeof *a);
    FILE *f = a && path[0] ? fopen(path, "re") : NULL;
    if (!f && path[0]) { // a misspelt name must not open every door
        (void)snprintf(why, 200, "server.api_keys_file %s: %s", path, strerror(errno));
        free(a);
        return NULL;
    }
    char line[256];
    for (unsigned number = 1; f && fgets(line, sizeof line, f); number++) {
        if (line[0] == '#' || line[0] == '\n') continue;
        if (a->n < KEYS_MAX && line_read(line, &a->keys[a->n])) {
            a->n++;
            continue;
        }
        (void)snprintf(why, 200, "server.api_keys_file %s line %u: NAME SCOPE SHA256 expected, at most %d keys", path,
                       number, KEYS_MAX);
        (void)fclose(f);
        free(a);
        return NULL;
    }
    if (f) (void)fclose(f);
    return a;
}

void auth_free(struct auth *a)
{
    free(a);
}

bool auth_has_keys(const struct auth *a)
{
    return a->n > 0;
}

enum scope auth_check(const struct auth *a, struct str authorization, struct str *name)
{
    *name = STR("");
    if (a->n == 0) return SCOPE_ADMIN;
    struct str bearer = STR("Bearer ");
    if (authorization.n < bearer.n || strncasecmp(authorization.p, bearer.p, bearer.n) != 0) return SCOPE_NONE;
    uint8_t hash[32];
    crypto_sha256((struct str){authorization.p + bearer.n, authorization.n - bearer.n}, hash);
    const struct api_key *found = NULL;
    for (unsigned i = 0; i < a->n; i++) // all of them, so that the time says nothing about which
        if (crypto_equal(a->keys[i].sha256, hash, sizeof hash)) found = &a->keys[i];
    if (!found) return SCOPE_NONE;
    *name = str_of(found->name);
    return found->scope;
}

// --- till key add

static bool key_make(char key[64])
{
    uint8_t random[20];
    if (!crypto_random(random, sizeof random)) return false;
    memcpy(key, "till_", 5);
    crypto_hex(random, sizeof random, key + 5);
    return true;
}

static bool key_append(const char *path, const char *name, const char *scope, const char *key)
{
    uint8_t hash[32];
    char hex[65], line[256];
    crypto_sha256(str_of(key), hash);
    crypto_hex(hash, sizeof hash, hex);
    int n = snprintf(line, sizeof line, "%s %s %s\n", name, scope, hex);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    bool ok = write(fd, line, (size_t)n) == n && fsync(fd) == 0;
    return close(fd) == 0 && ok;
}

int auth_key_command(int argc, char **argv)
{
    const char *scope = "", *path = "", *words[2];
    const struct flag flags[] = {
        {.name = "--scope", .kind = FLAG_TEXT, .out = &scope},
        {.name = "--file", .kind = FLAG_TEXT, .out = &path},
        {.name = NULL},
    };
    struct flag_input in = {.argc = argc, .argv = argv, .flags = flags, .words = words, .words_max = 2};
    char why[FLAG_WHY_SIZE], key[64];
    if (!flags_read(&in, why)) return usage_error("key", why);
    bool named = in.n_words == 2 && strcmp(words[0], "add") == 0 && strlen(words[1]) <= NAME_MAX_BYTES &&
                 strcspn(words[1], " \t\r\n#") == strlen(words[1]);
    if (!named || scope_of(scope) == SCOPE_NONE || !path[0]) {
        (void)fprintf(stderr, "usage: till key add NAME --scope read|order|refund|admin --file FILE\n"
                              "       (FILE is the server's server.api_keys_file; restart it afterwards)\n");
        return 2;
    }
    if (!key_make(key) || !key_append(path, words[1], scope, key)) {
        (void)fprintf(stderr, "till key: cannot write %s: %s\n", path, strerror(errno));
        return 1;
    }
    (void)printf("%s\n", key);
    (void)fprintf(stderr, "shown once and stored nowhere; send it as Authorization: Bearer <key>\n");
    return 0;
}

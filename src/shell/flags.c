// SPDX-License-Identifier: Apache-2.0
#include "shell/flags.h"
#include "base/str.h"
#include "base/timetext.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_SHOWN_MAX 60

bool number_parse(const char *text, int64_t *out)
{
    const char *digits = *text == '-' ? text + 1 : text;
    if (*digits == 0 || strspn(digits, "0123456789") != strlen(digits)) return false;
    errno = 0;
    long long v = strtoll(text, NULL, 10);
    if (errno) return false;
    *out = v;
    return true;
}

const char *value_shown(const char *value, char out[SHOWN_SIZE])
{
    struct str rest = str_of(value);
    size_t n = 0;
    out[n++] = '"';
    while (rest.n > 0 && n < SHOWN_SIZE - 10) {
        size_t len = str_utf8_len(rest);
        bool plain = len > 1 || (len == 1 && rest.p[0] >= 0x20 && rest.p[0] < 0x7f);
        if (len == 2 && (unsigned char)rest.p[0] == 0xc2 && (unsigned char)rest.p[1] < 0xa0) plain = false; // C1
        if (!plain) {
            out[n++] = '?';
            if (len == 0) len = 1;
        } else {
            memcpy(out + n, rest.p, len);
            n += len;
        }
        rest.p += len;
        rest.n -= len;
    }
    memcpy(out + n, rest.n > 0 ? "...\"" : "\"", rest.n > 0 ? 5 : 2);
    return out;
}

static const struct flag *find_flag(const struct flag *flags, const char *name, size_t n)
{
    for (const struct flag *f = flags; f && f->name; f++)
        if (strlen(f->name) == n && memcmp(f->name, name, n) == 0) return f;
    return NULL;
}

static bool refuse(const struct flag *f, const char *value, const char *allowed, char why[FLAG_WHY_SIZE])
{
    char shown[SHOWN_SIZE];
    (void)snprintf(why, FLAG_WHY_SIZE, "%s: %s is not allowed: expected %s", f->name, value_shown(value, shown),
                   allowed);
    return false;
}

static bool take_number(const struct flag *f, const char *value, char why[FLAG_WHY_SIZE])
{
    int64_t v;
    char allowed[96];
    if (number_parse(value, &v) && v >= f->min && v <= f->max) {
        *(int64_t *)f->out = v;
        return true;
    }
    (void)snprintf(allowed, sizeof allowed, "a whole number from %lld to %lld", (long long)f->min, (long long)f->max);
    return refuse(f, value, allowed, why);
}

static bool take_duration(const struct flag *f, const char *value, char why[FLAG_WHY_SIZE])
{
    int64_t v;
    char allowed[96], from[TIME_TEXT_SIZE], to[TIME_TEXT_SIZE];
    if (duration_parse(str_of(value), &v) && v >= f->min && v <= f->max) {
        *(int64_t *)f->out = v;
        return true;
    }
    duration_text(f->min, from);
    duration_text(f->max, to);
    (void)snprintf(allowed, sizeof allowed, "a duration from %s to %s", from, to);
    return refuse(f, value, allowed, why);
}

static bool take_value(const struct flag_input *in, const struct flag *f, const char *value, char why[FLAG_WHY_SIZE])
{
    switch (f->kind) {
    case FLAG_SWITCH: return refuse(f, value, "no value: it is a switch", why);
    case FLAG_TEXT:
        if (*value == 0) return refuse(f, value, f->allowed ? f->allowed : "some text", why);
        *(const char **)f->out = value;
        return true;
    case FLAG_NUMBER: return take_number(f, value, why);
    case FLAG_DURATION: return take_duration(f, value, why);
    case FLAG_KEY: return in->set_key(in->ctx, f->key, value, why);
    case FLAG_EACH: return f->each(f->ctx, value) || refuse(f, value, f->allowed, why);
    }
    return false;
}

static bool take_key(const struct flag_input *in, const char *name, size_t n, const char *value,
                     char why[FLAG_WHY_SIZE])
{
    char key[NAME_SHOWN_MAX + 1];
    (void)snprintf(key, sizeof key, "%.*s", (int)n, name);
    return in->set_key(in->ctx, key, value, why);
}

// One flag at argv[i]; *used is how many arguments it took.
static bool read_flag(const struct flag_input *in, int i, int *used, char why[FLAG_WHY_SIZE])
{
    const char *arg = in->argv[i];
    const char *equals = strchr(arg, '=');
    size_t n = equals ? (size_t)(equals - arg) : strlen(arg);
    const struct flag *f = find_flag(in->flags, arg, n);
    bool is_key = !f && in->set_key && n <= NAME_SHOWN_MAX && memchr(arg, '.', n);
    char shown[SHOWN_SIZE];
    *used = 1;
    if (!f && !is_key) {
        // Not the value behind '=': it may be a secret.
        char name[NAME_SHOWN_MAX + 1];
        (void)snprintf(name, sizeof name, "%.*s", n < NAME_SHOWN_MAX ? (int)n : NAME_SHOWN_MAX, arg);
        (void)snprintf(why, FLAG_WHY_SIZE, "unknown flag %s", value_shown(name, shown));
        return false;
    }
    if (f && f->kind == FLAG_SWITCH && !equals) {
        *(bool *)f->out = true;
        return true;
    }
    const char *value = equals ? equals + 1 : NULL;
    if (!value && i + 1 < in->argc && strncmp(in->argv[i + 1], "--", 2) != 0) {
        value = in->argv[i + 1];
        *used = 2;
    }
    if (!value) {
        (void)snprintf(why, FLAG_WHY_SIZE, "%.*s needs a value", (int)n, arg);
        return false;
    }
    return f ? take_value(in, f, value, why) : take_key(in, arg + 2, n - 2, value, why);
}

bool flags_read(struct flag_input *in, char why[FLAG_WHY_SIZE])
{
    bool only_words = false;
    in->n_words = 0;
    for (int i = 0; i < in->argc;) {
        const char *arg = in->argv[i];
        int used = 1;
        if (!only_words && strcmp(arg, "--") == 0) {
            only_words = true;
        } else if (!only_words && strncmp(arg, "--", 2) == 0) {
            if (!read_flag(in, i, &used, why)) return false;
        } else if (in->n_words < in->words_max && (only_words || arg[0] != '-')) {
            in->words[in->n_words++] = arg;
        } else {
            char shown[SHOWN_SIZE];
            (void)snprintf(why, FLAG_WHY_SIZE, "unexpected argument %s", value_shown(arg, shown));
            return false;
        }
        i += used;
    }
    return true;
}

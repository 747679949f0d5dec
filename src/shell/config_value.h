// SPDX-License-Identifier: Apache-2.0
// The types a configuration value can have: how its text is read, checked, shown, and described.
#ifndef TILL_SHELL_CONFIG_VALUE_H
#define TILL_SHELL_CONFIG_VALUE_H

#include "base/arena.h"
#include "base/buf.h"

enum value_type {
    VALUE_NAME,      // visible ASCII without blanks and quotes: ids, serial numbers
    VALUE_FILE,      // a path
    VALUE_DURATION,  // int64_t ms
    VALUE_NUMBER,    // int64_t
    VALUE_BOOL,      // bool
    VALUE_WORD,      // an enum: the place in the list of words
    VALUE_ADDRESS,   // host:port
    VALUE_URL,       // http or https, without user, query, fragment, last slash
    VALUE_STORE_URL, // sqlite:PATH or postgres://...
    VALUE_BROKER_URL,
    VALUE_CRON,
};

struct value_rule {
    enum value_type type;
    int64_t min, max;  // durations (ms) and numbers
    const char *words; // "one|two|three", in the order of the enum's numbers
    bool may_be_empty; // texts: "" means not set
    bool may_be_never; // durations: the word, which is 0
    bool is_secret;
};

// Reads `text` into *field (const char *, int64_t, bool or an enum, by the type); texts are copied into `a`.
// False when it is not allowed; then *field is as it was.
bool value_read(const struct value_rule *r, struct str text, struct arena *a, void *field);
// The field's value as text. With `masked`, secrets and passwords in addresses become "***".
void value_write(const struct value_rule *r, const void *field, bool masked, struct buf *out);
// What is allowed, for people: "a duration from 1s to 15d".
void value_allowed(const struct value_rule *r, struct buf *out);
// Hides what may be a password in an address, or in a connection string that somebody took for one.
void value_mask_url(struct str url, struct buf *out);
// host:port apart; the host without brackets. False when it is not an address.
bool address_split(struct str address, struct str *host, unsigned *port);

#endif

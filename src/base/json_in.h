// SPDX-License-Identifier: Apache-2.0
// Strict reading of JSON that strangers sent, on Jansson: duplicate keys, bad UTF-8, NUL in strings, trailing
// bytes, numbers that are not integers where an integer belongs, and unknown members are refused, each with a
// place.
#ifndef TILL_BASE_JSON_IN_H
#define TILL_BASE_JSON_IN_H

#include "base/str.h"
#include <jansson.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 16

// What was wrong and where. `code` is the stable code of the API's problem; `pointer` is RFC 6901, "" for the
// whole; a pointer too long for its place is shortened to the object that holds the member. Both texts are
// valid UTF-8.
struct json_fault {
    const char *code; // NULL: nothing wrong
    char pointer[128];
    char detail[160];
};

// The root must be an object. On success the caller owns it (json_decref). On failure NULL and `fault` is filled
// ("invalid_json", "invalid_utf8", "duplicate_key", "too_deep").
json_t *json_read_object(struct str text, struct json_fault *fault);

// Members. Each takes the object and a member name; `fault` is filled at the first thing wrong, after which
// the getters do nothing: ask once at the end. Strings are borrowed from the object. An absent optional
// member leaves *out as it was and returns false; a present and good one returns true. null is not absent.
// Codes: "missing_field", "wrong_type", "too_long", "out_of_range", "too_many".
struct json_in {
    const json_t *object;
    const char *at; // pointer of the object itself, "" for the root
    struct json_fault *fault;
};
bool json_in_str(const struct json_in *in, const char *name, bool required, size_t max_bytes, struct str *out);
bool json_in_int(const struct json_in *in, const char *name, bool required, int64_t min, int64_t max, int64_t *out);
bool json_in_bool(const struct json_in *in, const char *name, bool required, bool *out);
bool json_in_array(const struct json_in *in, const char *name, bool required, size_t max, const json_t **out);
bool json_in_object(const struct json_in *in, const char *name, bool required, const json_t **out);
// Refuses members not in the list ("unknown_field", pointer to it). `names` ends with NULL.
bool json_in_only(const struct json_in *in, const char *const names[]);
// Fills the fault for the member, unless one is filled already. Codes: snake_case.
void json_in_fail(const struct json_in *in, const char *name, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif

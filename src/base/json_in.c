// SPDX-License-Identifier: Apache-2.0
#include "base/json_in.h"
#include <stdarg.h>
#include <stdio.h>

// Cuts `text` back to whole UTF-8 characters: a message cut by its buffer may end inside one.
static void trim_to_utf8(char *text)
{
    struct str s = str_of(text);
    for (size_t n; (n = str_utf8_len(s)) > 0; s.n -= n)
        s.p += n;
    text[s.p - text] = 0;
}

// --- The whole text

// Jansson recurses per level, so the depth is bounded before it starts. Brackets in strings do not count.
static bool is_too_deep(struct str text)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH_MAX) return true;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

static void fail_whole(struct json_fault *fault, const char *code, const char *detail)
{
    fault->code = code;
    fault->pointer[0] = 0;
    (void)snprintf(fault->detail, sizeof fault->detail, "%s", detail);
}

// Jansson's own texts quote the stranger's bytes, cut anywhere; these do not.
static void fail_parse(struct json_fault *fault, const json_error_t *error)
{
    static const struct {
        enum json_error_code error;
        const char *code, *reason;
    } reasons[] = {
        {json_error_invalid_utf8, "invalid_utf8", "bytes that are not UTF-8"},
        {json_error_duplicate_key, "duplicate_key", "a member name occurs twice in one object"},
        {json_error_stack_overflow, "too_deep", "nested too deeply"},
        {json_error_premature_end_of_input, "invalid_json", "the text ends too early"},
        {json_error_end_of_input_expected, "invalid_json", "something follows the end of the object"},
        {json_error_null_character, "invalid_json", "the character NUL is not allowed"},
        {json_error_null_byte_in_key, "invalid_json", "the character NUL is not allowed"},
        {json_error_numeric_overflow, "invalid_json", "a number is out of range"},
    };
    const char *code = "invalid_json", *reason = "not JSON";
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].error != json_error_code(error)) continue;
        code = reasons[i].code;
        reason = reasons[i].reason;
    }
    fail_whole(fault, code, "");
    (void)snprintf(fault->detail, sizeof fault->detail, "line %d, column %d: %s", error->line, error->column, reason);
}

json_t *json_read_object(struct str text, struct json_fault *fault)
{
    json_error_t error;
    *fault = (struct json_fault){0};
    if (is_too_deep(text)) {
        fail_whole(fault, "too_deep", "nested too deeply");
        return NULL;
    }
    json_t *root = json_loadb(text.n ? text.p : "", text.n, JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        fail_parse(fault, &error);
        return NULL;
    }
    if (json_is_object(root)) return root;
    json_decref(root);
    fail_whole(fault, "invalid_json", "the text must be a JSON object");
    return NULL;
}

// --- Members

// RFC 6901: '~' is written "~0" and '/' is written "~1". False when it does not fit.
static bool pointer_append(char *pointer, size_t size, const char *name)
{
    size_t n = strlen(pointer);
    if (n + 1 >= size) return false;
    pointer[n++] = '/';
    for (; *name; name++) {
        bool escaped = *name == '~' || *name == '/';
        if (n + (escaped ? 2 : 1) >= size) return false;
        pointer[n++] = escaped ? '~' : *name;
        if (escaped) pointer[n++] = *name == '~' ? '0' : '1';
    }
    pointer[n] = 0;
    return true;
}

static void set_pointer(struct json_fault *fault, const char *at, const char *name)
{
    char pointer[sizeof fault->pointer];
    if ((size_t)snprintf(pointer, sizeof pointer, "%s", at) >= sizeof pointer) pointer[0] = 0;
    memcpy(fault->pointer, pointer, sizeof pointer);
    if (name && pointer_append(pointer, sizeof pointer, name)) memcpy(fault->pointer, pointer, sizeof pointer);
}

void json_in_fail(const struct json_in *in, const char *name, const char *code, const char *fmt, ...)
{
    if (in->fault->code) return;
    in->fault->code = code;
    set_pointer(in->fault, in->at, name);
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(in->fault->detail, sizeof in->fault->detail, fmt, ap) < 0) in->fault->detail[0] = 0;
    va_end(ap);
    trim_to_utf8(in->fault->detail);
}

// The member, or NULL with the fault filled where it had to be there.
static json_t *member(const struct json_in *in, const char *name, bool required)
{
    if (in->fault->code) return NULL;
    json_t *value = json_object_get(in->object, name);
    if (!value && required) json_in_fail(in, name, "missing_field", "this member is required");
    return value;
}

bool json_in_str(const struct json_in *in, const char *name, bool required, size_t max_bytes, struct str *out)
{
    const json_t *value = member(in, name, required);
    if (!value) return false;
    if (!json_is_string(value)) {
        json_in_fail(in, name, "wrong_type", "must be a string");
        return false;
    }
    if (json_string_length(value) > max_bytes) {
        json_in_fail(in, name, "too_long", "must be at most %zu bytes of UTF-8", max_bytes);
        return false;
    }
    *out = (struct str){json_string_value(value), json_string_length(value)};
    return true;
}

bool json_in_int(const struct json_in *in, const char *name, bool required, int64_t min, int64_t max, int64_t *out)
{
    const json_t *value = member(in, name, required);
    if (!value) return false;
    if (!json_is_integer(value)) { // 1.0 and 1e2 too: what looks like a float was one somewhere
        json_in_fail(in, name, "wrong_type", "must be an integer, without fraction or exponent");
        return false;
    }
    int64_t v = json_integer_value(value);
    if (v < min || v > max) {
        json_in_fail(in, name, "out_of_range", "must be from %lld to %lld", (long long)min, (long long)max);
        return false;
    }
    *out = v;
    return true;
}

bool json_in_bool(const struct json_in *in, const char *name, bool required, bool *out)
{
    const json_t *value = member(in, name, required);
    if (!value) return false;
    if (!json_is_boolean(value)) {
        json_in_fail(in, name, "wrong_type", "must be true or false");
        return false;
    }
    *out = json_is_true(value);
    return true;
}

bool json_in_array(const struct json_in *in, const char *name, bool required, size_t max, const json_t **out)
{
    const json_t *value = member(in, name, required);
    if (!value) return false;
    if (!json_is_array(value)) {
        json_in_fail(in, name, "wrong_type", "must be an array");
        return false;
    }
    if (json_array_size(value) > max) {
        json_in_fail(in, name, "too_many", "must have at most %zu elements", max);
        return false;
    }
    *out = value;
    return true;
}

bool json_in_object(const struct json_in *in, const char *name, bool required, const json_t **out)
{
    const json_t *value = member(in, name, required);
    if (!value) return false;
    if (!json_is_object(value)) {
        json_in_fail(in, name, "wrong_type", "must be an object");
        return false;
    }
    *out = value;
    return true;
}

static bool is_listed(const char *name, const char *const names[])
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0) return true;
    return false;
}

bool json_in_only(const struct json_in *in, const char *const names[])
{
    if (in->fault->code) return false;
    json_t *object = (json_t *)(uintptr_t)in->object; // iterating changes nothing, but its signature cannot say so
    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
        const char *name = json_object_iter_key(i);
        if (is_listed(name, names)) continue;
        json_in_fail(in, name, "unknown_field", "this member is not known here");
        return false;
    }
    return true;
}

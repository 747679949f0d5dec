// SPDX-License-Identifier: Apache-2.0
// Strangers' JSON: what is taken is an object without surprises, and says the same when it is written and read again;
// what is refused says why, in valid UTF-8.
#include "base/json_in.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

static void check_fault(const struct json_fault *f)
{
    require(f->code && f->code[0]);
    require(memchr(f->pointer, 0, sizeof f->pointer) && memchr(f->detail, 0, sizeof f->detail));
    json_t *text = json_string(f->pointer);
    require(text);
    json_decref(text);
    text = json_string(f->detail);
    require(text);
    json_decref(text);
}

// Each getter once, at every kind of member.
static void read_members(const json_t *object)
{
    struct json_fault f = {0};
    struct json_in in = {object, "", &f};
    struct str s = {0};
    int64_t n = -1;
    bool is = false;
    const json_t *list = NULL, *inner = NULL;
    static const char *const names[] = {"s", "n", "b", "a", "o", NULL};
    if (json_in_str(&in, "s", false, 8, &s)) require(s.n <= 8);
    if (json_in_int(&in, "n", true, 0, 100, &n)) require(n >= 0 && n <= 100);
    (void)json_in_bool(&in, "b", false, &is);
    if (json_in_array(&in, "a", false, 3, &list)) require(json_array_size(list) <= 3);
    if (json_in_object(&in, "o", false, &inner)) require(json_is_object(inner));
    (void)json_in_only(&in, names);
    if (f.code) check_fault(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_fault f = {0};
    json_t *it = json_read_object((struct str){(const char *)data, size}, &f);
    if (!it) {
        check_fault(&f);
        return 0;
    }
    require(!f.code && json_is_object(it));
    read_members(it);
    char *text = json_dumps(it, JSON_COMPACT);
    require(text);
    json_t *again = json_read_object((struct str){text, strlen(text)}, &f);
    require(again && json_equal(it, again));
    free(text);
    json_decref(again);
    json_decref(it);
    return 0;
}

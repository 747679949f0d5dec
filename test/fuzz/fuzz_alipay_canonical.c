// SPDX-License-Identifier: Apache-2.0
// The text that is signed, against a second way to it that is too plain to be wrong: the least name that is left, again
// and again. The input is name=value&name=value with bytes as they are; names differ, as they do in a form.
#include "channel/alipay_wire.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)
#define PARAMS_MAX 24

static int compare(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    for (size_t i = 0; i < n; i++) {
        if (a.p[i] != b.p[i]) return (unsigned char)a.p[i] < (unsigned char)b.p[i] ? -1 : 1;
    }
    return (a.n > b.n) - (a.n < b.n);
}

static bool has(const struct alipay_param *params, unsigned n, struct str name)
{
    for (unsigned i = 0; i < n; i++) {
        if (compare(params[i].name, name) == 0) return true;
    }
    return false;
}

static unsigned split(const char *p, size_t n, struct alipay_param params[PARAMS_MAX])
{
    unsigned n_params = 0;
    const char *end = p + n;
    while (p < end && n_params < PARAMS_MAX) {
        const char *stop = memchr(p, '&', (size_t)(end - p));
        if (!stop) stop = end;
        const char *equals = memchr(p, '=', (size_t)(stop - p));
        if (equals) {
            struct str name = {p, (size_t)(equals - p)};
            if (name.n && !has(params, n_params, name))
                params[n_params++] = (struct alipay_param){name, {equals + 1, (size_t)(stop - equals - 1)}};
        }
        p = stop + 1;
    }
    return n_params;
}

static void plainly(const struct alipay_param *params, unsigned n, struct buf *out)
{
    bool used[PARAMS_MAX] = {0};
    for (unsigned done = 0; done < n; done++) {
        unsigned least = n;
        for (unsigned i = 0; i < n; i++) {
            if (!used[i] && (least == n || compare(params[i].name, params[least].name) < 0)) least = i;
        }
        used[least] = true;
        if (done) buf_char(out, '&');
        buf_add(out, params[least].name.p, params[least].name.n);
        buf_char(out, '=');
        buf_add(out, params[least].value.p, params[least].value.n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct alipay_param params[PARAMS_MAX];
    struct buf mine = {0}, theirs = {0};
    unsigned n = split((const char *)data, size, params);
    plainly(params, n, &mine);
    alipay_canonical(params, n, &theirs);
    struct str a = buf_view(&mine), b = buf_view(&theirs);
    require(a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0));
    buf_free(&mine);
    buf_free(&theirs);
    return 0;
}

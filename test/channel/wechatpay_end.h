// SPDX-License-Identifier: Apache-2.0
// WeChat Pay's end of the wire for tests: an HTTP server on a free loopback port that signs what it answers. What it
// answers, and with whose key, is changed while it runs.
#ifndef TILL_TEST_CHANNEL_WECHATPAY_END_H
#define TILL_TEST_CHANNEL_WECHATPAY_END_H

#include "wechatpay_fixture.h"
#include <pthread.h>

#define END_CERTS_MAX 10

enum end_fault {
    END_FINE,
    END_UNSIGNED,
    END_NOT_FOUND,  // 404 RESOURCE_NOT_EXISTS, unsigned
    END_HTML,       // 502 of a gateway in front
    END_SILENT,     // no answer at all
    END_TAMPERED,   // the body is changed after it was signed
    END_WRONG_KEY,  // of another merchant: the certificates are sealed with another APIv3 key
    END_MISLABELLED // a certificate under another serial_no
};

struct wechatpay_end;
struct wechatpay_end *end_open(void);
void end_close(struct wechatpay_end *e);
int end_port(const struct wechatpay_end *e);

// What GET /v3/certificates answers, and who signs that.
void end_certificates(struct wechatpay_end *e, const struct signer *const *certs, unsigned n, const struct signer *by,
                      enum end_fault fault);
// What every other call answers, and who signs that. The body is kept, not copied.
void end_answer(struct wechatpay_end *e, int status, const char *body, const struct signer *by, enum end_fault fault);
// What the OAuth exchange answers.
void end_oauth(struct wechatpay_end *e, const char *body, enum end_fault fault);

unsigned end_count(struct wechatpay_end *e, const char *path);             // requests so far whose target begins so
void end_last(struct wechatpay_end *e, const char *path, char text[4096]); // the last of these, whole
bool end_wait(struct wechatpay_end *e, const char *path, unsigned n);      // until there are n, two seconds at most

#endif

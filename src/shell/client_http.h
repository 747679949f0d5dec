// SPDX-License-Identifier: Apache-2.0
// One server, asked one question after another, on libcurl.
#ifndef TILL_SHELL_CLIENT_HTTP_H
#define TILL_SHELL_CLIENT_HTTP_H

#include "base/buf.h"
#include <curl/curl.h>

struct client {
    CURL *curl;
    const char *url; // of the server, no slash at the end needed
    const char *key; // API key, or NULL
};

bool client_open(struct client *c, const char *url, const char *key); // false: said on stderr
void client_close(struct client *c);

// One exchange. `path` begins with '/'; body NULL: none; `once` is the Idempotency-Key or NULL. True: the
// answer was 2xx and its body is in `answer`. False: one line was written to stderr.
bool client_ask(struct client *c, const char *method, const char *path, const struct buf *body, const char *once,
                struct buf *answer);

// Adds `text` to a path or a query, percent-encoded.
void client_escape(struct client *c, const char *text, struct buf *path);

#endif

// SPDX-License-Identifier: Apache-2.0
// The API's answers as people read them: aligned columns, money with its point, nothing that could steer a
// terminal.
#ifndef TILL_SHELL_CLIENT_SHOW_H
#define TILL_SHELL_CLIENT_SHOW_H

#include "base/str.h"
#include <jansson.h>
#include <stdio.h>

// Members that are missing or of another type are shown as nothing: the server may be newer than this
// program.
void show_orders(const json_t *list, FILE *out); // arrays: the answer's "data"
void show_timeline(const json_t *list, FILE *out);
void show_skus(const json_t *list, FILE *out);
void show_events(const json_t *list, FILE *out);
void show_event(const json_t *event, FILE *out); // one line, columns as wide as events usually are
void show_order(const json_t *order, FILE *out);
void show_refund(const json_t *refund, FILE *out);

// "till: 409 insufficient_stock: only 1 of A is left", from application/problem+json.
void show_problem(long status, struct str body, FILE *out);

#endif

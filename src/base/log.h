// SPDX-License-Identifier: Apache-2.0
// One line per thing worth telling, on stderr: time, level, area, message, then name=value pairs. Control
// characters, quotes and bytes that are not UTF-8 are escaped, so nothing a stranger sent can look like a
// line of ours.
#ifndef TILL_BASE_LOG_H
#define TILL_BASE_LOG_H

#include "base/str.h"
#include <stdarg.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level least);
// `fmt` makes the message; it is escaped as a whole after formatting. Thread-safe, one write(2) per line, cut
// at 2 KiB.
void log_line(enum log_level level, const char *area, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define log_debug(area, ...) log_line(LOG_DEBUG, area, __VA_ARGS__)
#define log_info(area, ...)  log_line(LOG_INFO, area, __VA_ARGS__)
#define log_warn(area, ...)  log_line(LOG_WARN, area, __VA_ARGS__)
#define log_error(area, ...) log_line(LOG_ERROR, area, __VA_ARGS__)

#endif

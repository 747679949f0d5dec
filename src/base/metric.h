// SPDX-License-Identifier: Apache-2.0
// Lines of Prometheus' text format.
#ifndef TILL_BASE_METRIC_H
#define TILL_BASE_METRIC_H

#include "base/buf.h"

// What comes before the samples of one metric; type: "counter" or "gauge".
void metric_head(struct buf *b, const char *name, const char *type, const char *help);
// A metric of one sample without labels, whole.
void metric_one(struct buf *b, const char *name, const char *type, const char *help, uint64_t value);

#endif

// SPDX-License-Identifier: Apache-2.0
#include "base/metric.h"

void metric_head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metric_one(struct buf *b, const char *name, const char *type, const char *help, uint64_t value)
{
    metric_head(b, name, type, help);
    buf_printf(b, "%s %llu\n", name, (unsigned long long)value);
}

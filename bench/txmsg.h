// SPDX-License-Identifier: Apache-2.0
// `till bench txmsg`: transaction messages against a RocketMQ broker, with the client library Till itself uses.
//
// A closed loop of so many transactions under way over one connection: a half message, its end, the next one. Two
// modes, one after the other: the end one-way, as RocketMQ's own clients send it, and acknowledged, as Till does. The
// body is that of RocketMQ's org.apache.rocketmq.example.benchmark.TransactionProducer (batch, number, what becomes of
// it, what check-backs are to be answered, random bytes), so that either program can answer for the other's messages.
#ifndef TILL_BENCH_TXMSG_H
#define TILL_BENCH_TXMSG_H

#include <stdbool.h>
#include <stdint.h>

int txmsg_main(int argc, char **argv); // arguments after the name; exit status

// The limit beside it: the same bytes to a thread that reads them and answers so many bytes to each, one at a time, as
// a broker does; nothing else is done to them. bare.c
struct bare {
    // in
    unsigned in_flight;
    uint64_t messages;
    unsigned request_bytes, reply_bytes;
    // out
    double seconds, cpu_us; // of the sending side, per message
};
bool bare_run(struct bare *b);

#endif

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Till's RocketMQ client beside RocketMQ's own, and Till's embedded broker beside a real one.

    bench/rocketmq.py txmsg     RocketMQ's TransactionProducer and `till bench txmsg`, in turns on one broker
    bench/rocketmq.py pending   N half messages that nobody decides: what a round of check-backs writes and costs; and
                                `till bench pending` beside it

Both start a name server and a broker of their own (test/broker/rocketmq.py) and need build/till. The last line on stdout
is one JSON object, before it comes a table for people (Markdown). Times depend on the machine: compare only what stands in
one run. Bytes do not.

txmsg. The same for both: topic, size of the body, number under way, one producer with one connection to the broker, binary
headers, END_TRANSACTION one-way, a body of random bytes. CPU of either process from the system (/proc/PID/stat), its memory
from /proc/PID/status (VmHWM). Half messages are counted by the broker: the growth of the half topic's queue. The JVM keeps
running from the first round to the last, so that it is warm; where it is not its turn it is stopped (SIGSTOP), as Till's
process is not there when it is not its.
"""
import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(ROOT, "test", "broker"))
import remoting  # noqa: E402
import rocketmq  # noqa: E402

TILL = os.path.join(ROOT, "build", "till")
TICK = os.sysconf("SC_CLK_TCK")
FULL_JIT = ["-XX:TieredStopAtLevel=4"]  # over the harness's quick start
HEAP_MB = 512
WINDOW_S, INTERVAL_S = 900, 30  # a payment window, and the broker's default check interval


def say(text):
    print(text, file=sys.stderr, flush=True)


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def peak_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))


def halves(broker):
    with broker.connect(limit_s=120) as c:  # it may be busy
        return c.max_offset(remoting.HALF_TOPIC)


def till(*args):
    """Runs `till bench ...`; the JSON object of its last line."""
    done = subprocess.run([TILL, "bench", *args], stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise SystemExit(f"till bench {' '.join(args)} ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


# --- txmsg


class JavaProducer:
    """RocketMQ's benchmark: runs until it is closed, and prints what it sent in the last ten seconds."""

    main = "org.apache.rocketmq.example.benchmark.TransactionProducer"

    def __init__(self, cluster, args):
        self.jvm = rocketmq.Jvm(
            os.path.join(cluster.dir, "java-producer"), self.main,
            ["-n", cluster.name_servers, "-t", args.topic, "-w", str(args.in_flight), "-s", str(args.size), "-ri", "2000"],
            heap_mb=HEAP_MB, options=FULL_JIT + [f"-Xms{HEAP_MB // 2}m"])

    def round(self, broker, seconds):
        self.jvm.process.send_signal(signal.SIGCONT)
        time.sleep(2)  # what was under way when it was stopped, and connections' second thoughts
        before, cpu, at = halves(broker), cpu_s(self.jvm.pid), time.monotonic()
        time.sleep(seconds)
        n, cpu, took = halves(broker) - before, cpu_s(self.jvm.pid) - cpu, time.monotonic() - at
        self.jvm.process.send_signal(signal.SIGSTOP)
        if n == 0:
            raise SystemExit(f"RocketMQ's producer sends nothing: {self.jvm.tail()}")
        return {"per_second": n / took, "cpu_us": cpu * 1e6 / n, "rss_kib": peak_kib(self.jvm.pid)}

    def said(self):
        """The last figure it printed itself."""
        found = re.findall(r"Send TPS:\s*(\d+)", self.jvm.tail(4000))
        return int(found[-1]) if found else 0

    def close(self):
        with contextlib.suppress(OSError):
            self.jvm.process.send_signal(signal.SIGCONT)
        self.jvm.kill()


def till_round(cluster, broker, args):
    before = halves(broker)
    r = till("txmsg", "--json", "--namesrv", cluster.name_servers, "--topic", args.topic, "--in-flight", str(args.in_flight),
             "--size", str(args.size), "--seconds", str(args.seconds))
    counted = halves(broker) - before
    said = r["oneway"]["messages"] + r["acked"]["messages"]
    if counted < said:
        raise SystemExit(f"Till's client says {said} half messages, the broker has {counted}")
    return r


def row(name, figures, java):
    per_second, cpu_us, rss = (statistics.median(f[k] for f in figures) for k in ("per_second", "cpu_us", "rss_kib"))
    return {"name": name, "per_second": per_second, "cpu_us": cpu_us, "per_cpu_second": 1e6 / cpu_us, "rss_kib": rss,
            # Round by round against the Java round just before: the machine's mood is the same for both.
            "throughput_ratio": statistics.median(f["per_second"] / j["per_second"] for f, j in zip(figures, java)),
            "cpu_ratio": statistics.median(j["cpu_us"] / f["cpu_us"] for f, j in zip(figures, java)),
            "rss_ratio": statistics.median(j["rss_kib"] / f["rss_kib"] for f, j in zip(figures, java))}


def txmsg(args):
    config = {"transactionCheckInterval": 3600000, "transactionTimeOut": 3600000, "transactionOpBatchInterval": 3000}
    with rocketmq.Cluster(config=config, heap_mb=768, options=FULL_JIT) as cluster:
        broker = cluster.brokers[0]
        with broker.connect() as c:
            c.create_topic(args.topic, queues=4)
        java = JavaProducer(cluster, args)
        try:
            say(f"warming up: {args.warm_up} s of RocketMQ's producer, 3 s of ours")
            time.sleep(args.warm_up)
            said = java.said()
            java.jvm.process.send_signal(signal.SIGSTOP)
            till("txmsg", "--json", "--namesrv", cluster.name_servers, "--topic", args.topic, "--seconds", "3")
            theirs, ours = [], []
            for i in range(args.rounds):
                theirs.append(java.round(broker, args.seconds))
                ours.append(till_round(cluster, broker, args))
                say("round %d: java %.0f/s %.1f us, ours one-way %.0f/s %.1f us, acknowledged %.0f/s %.1f us" % (
                    i + 1, theirs[-1]["per_second"], theirs[-1]["cpu_us"],
                    *(ours[-1][m][k] for m in ("oneway", "acked") for k in ("per_second", "cpu_us_per_message"))))
        finally:
            java.close()

    def of(part):
        return [{"per_second": r[part]["per_second"], "cpu_us": r[part]["cpu_us_per_message"], "rss_kib": r["rss_kib"]}
                for r in ours]

    rows = [row("RocketMQ's TransactionProducer, END one-way", theirs, theirs),
            row("Till, END one-way", of("oneway"), theirs), row("Till, END acknowledged", of("acked"), theirs),
            row("limit: the same bytes over loopback, nothing else", of("bare"), theirs)]
    print(f"{args.in_flight} under way, {args.size} bytes, {args.rounds} rounds of {args.seconds} s each in turns, medians; JVM: "
          f"-Xms{HEAP_MB // 2}m -Xmx{HEAP_MB}m, SerialGC, {args.warm_up} s of warm-up (said {said}/s of itself then)\n")
    print("| | half messages a second | client CPU each | half messages per CPU second | throughput | per CPU second | memory |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for r in rows:
        memory = "" if r["name"].startswith("limit") else f"{r['rss_kib'] / 1024:.1f} MiB, 1/{r['rss_ratio']:.1f}"
        print("| {name} | {per_second:.0f} | {cpu_us:.1f} us | {per_cpu_second:.0f} | {throughput_ratio:.2f} x | "
              "{cpu_ratio:.2f} x | ".format(**r) + memory + " |")
    print(json.dumps({"bench": "rocketmq-txmsg", "rows": rows, "rounds": {"java": theirs, "till": ours}}))
    return 0


# --- pending


class Watch:
    """The broker's counters, from one quiet moment to the next: between rounds nothing is written."""

    QUIET_S = 2

    def __init__(self, broker, limit_s=600):
        self.pid, self.connection, self.limit_s = broker.jvm.pid, broker.connect(), limit_s

    def sample(self):
        c = self.connection
        return {"halves": c.max_offset(remoting.HALF_TOPIC), "log": c.bytes_written(), "cpu_s": cpu_s(self.pid),
                "at_s": time.monotonic()}

    def quiet(self, least, process):
        """Once there are so many halves and none has come for a moment. Its work ended at `moved_s`."""
        until, s = time.monotonic() + self.limit_s, self.sample()
        moved = began = None
        while True:
            time.sleep(0.1)
            last, s = s, self.sample()
            if s["halves"] != last["halves"]:
                began, moved = began or last["at_s"], s["at_s"]
            if s["halves"] >= least and s["at_s"] - (moved or 0) >= self.QUIET_S:
                return dict(s, busy_s=moved - began if moved else 0)
            if time.monotonic() > until or process.poll() is not None:
                raise SystemExit(f"{s['halves']} of {least} half messages")

    def rest_cpu(self):
        """What it takes a second of while it only waits and is watched."""
        first = s = self.sample()
        while s["at_s"] - first["at_s"] < 3:
            time.sleep(0.1)
            s = self.sample()
        return (s["cpu_s"] - first["cpu_s"]) / (s["at_s"] - first["at_s"])


def check_rounds(args):
    """N half messages nobody decides, and what each round of check-backs does with them."""
    # What a round writes does not depend on the interval, which must leave a quiet moment between two.
    config = {"transactionCheckInterval": 8000, "transactionTimeOut": 1000, "transactionCheckMax": 1000}
    with rocketmq.Cluster(config=config, heap_mb=768, options=FULL_JIT) as cluster:
        broker = cluster.brokers[0]
        watch = Watch(broker)
        watch.connection.create_topic(args.topic, queues=4)
        before = watch.sample()
        # Decided by nobody; asked, it answers "not known yet", which is no answer.
        producer = subprocess.Popen([TILL, "bench", "txmsg", "--json", "--namesrv", cluster.name_servers, "--topic", args.topic,
                                     "--mode", "oneway", "--messages", str(args.halves), "--size", str(args.size), "--unknown",
                                     "100", "--check-unknown", "100", "--stay", "3600"], stdout=subprocess.DEVNULL)
        try:
            # A round may begin while they are still being sent: it copies what is there already, so the sizes of the first
            # copies and of the copies of copies are told apart by the rounds that follow.
            at, rounds = watch.quiet(args.halves, producer), []
            first = {"log_bytes": at["log"] - before["log"], "appended": at["halves"] - before["halves"]}
            while len(rounds) < args.rounds + 1:
                end = watch.quiet(at["halves"] + args.halves, producer)
                rounds.append({"log_bytes": end["log"] - at["log"], "copies": end["halves"] - at["halves"],
                               "cpu_s": end["cpu_s"] - at["cpu_s"], "took_s": end["at_s"] - at["at_s"], "seconds": end["busy_s"]})
                say("check-backs: {copies} copies, {log_bytes} bytes".format(**rounds[-1]))
                at = end
            rest_cpu = watch.rest_cpu()
        finally:
            producer.kill()
            producer.wait()
            watch.connection.close()
    for r in rounds:
        r["cpu_s"] = max(0, r["cpu_s"] - rest_cpu * r["took_s"])
    return {"sent_bytes": first["log_bytes"] / first["appended"], "rounds": rounds[1:]}  # the first one warms the JVM


def pending(args):
    broker = check_rounds(args)
    ours = till("pending", "--json", "--orders", str(args.orders), "--channel", args.channel, "--idle", str(INTERVAL_S))
    rounds, in_window = broker["rounds"], WINDOW_S // INTERVAL_S
    copy_bytes = statistics.median(r["log_bytes"] / r["copies"] for r in rounds)
    copy_us = statistics.median(r["cpu_s"] * 1e6 / r["copies"] for r in rounds)
    per_second = statistics.median(r["copies"] / r["seconds"] for r in rounds)
    million_gb = copy_bytes * in_window / 1e3  # of a million messages: bytes each x 10^6 / 10^9
    print(f"Till: {args.orders} orders, channel {args.channel}. RocketMQ: {args.halves} half messages of {args.size} bytes, "
          f"{len(rounds)} rounds; a window of {WINDOW_S // 60} min and a check every {INTERVAL_S} s make {in_window} rounds\n")
    print("| for each pending order | Till, embedded | RocketMQ |")
    print("| --- | ---: | ---: |")
    print(f"| bytes on disk | {ours['disk_bytes_per_order']:.0f} | {broker['sent_bytes']:.0f} at first, "
          f"{broker['sent_bytes'] + copy_bytes * in_window:.0f} after the window |")
    print(f"| bytes written per round of check-backs | {ours['idle_bytes_written']} | {copy_bytes:.0f} |")
    print(f"| bytes written in the window while nothing happens | 0 | {copy_bytes * in_window:.0f} |")
    print(f"| the same of a million orders | 0 | {million_gb:.1f} GB |")
    print(f"| CPU seconds in a round of a million orders | {ours['idle_cpu_s']:.4f} | {copy_us:.0f} (broker alone) |")
    print(f"| orders a round reaches in the 60 s a broker gives it | all, none is looked at | {per_second * 60:.0f} |")
    print(f"| memory after a start | {ours['memory_bytes_per_order']:.0f} bytes, and the page cache (at most 64 MiB in all) | |")
    print(json.dumps({"bench": "rocketmq-pending", "till": ours, "rocketmq": broker, "copy_bytes": copy_bytes,
                      "copy_cpu_us": copy_us}))
    return 0


def main():
    parser = argparse.ArgumentParser(description="Till beside RocketMQ. See the head of this file.")
    commands = parser.add_subparsers(dest="command", required=True)
    p = commands.add_parser("txmsg")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=int, default=10, help="of each measurement")
    p.add_argument("--warm-up", type=int, default=60, help="seconds of the JVM's that are not counted")
    p.add_argument("--in-flight", type=int, default=32)
    p.add_argument("--size", type=int, default=2048)
    p.add_argument("--topic", default="BenchmarkTest")
    p.set_defaults(run=txmsg)
    p = commands.add_parser("pending")
    p.add_argument("--orders", type=int, default=1000000, help="in Till's store")
    p.add_argument("--channel", choices=("any", "alipay"), default="any")
    p.add_argument("--halves", type=int, default=20000, help="half messages at the broker")
    p.add_argument("--rounds", type=int, default=3, help="of check-backs")
    p.add_argument("--size", type=int, default=160, help="of a half message's body; Till's own is about that long")
    p.add_argument("--topic", default="BenchmarkTest")
    p.set_defaults(run=pending)
    args = parser.parse_args()
    try:
        return args.run(args)
    except rocketmq.Unavailable as e:
        say(f"no RocketMQ: {e}")
        return 3


if __name__ == "__main__":
    sys.exit(main())

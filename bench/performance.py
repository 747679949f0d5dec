#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Till beside what the machine can do at the most, measured in turns in one run; writes docs/performance.md.

    bench/performance.py [--quick | --full] [--only PART,...] [--no-write]

The ceilings are small servers of ours (bench/ceiling.c): E0 answers and does nothing else, E1 makes 600 bytes an order
durable first. E0 has as many threads as Till has HTTP workers, and one in the rounds beside: the faster of the two is
the ceiling. wrk drives all of them with the same requests (bench/load.lua), on the same cores, in short rounds in turns:
A B A B. Every figure is a ratio within one round, and the median over the rounds; what else the machine is doing falls on
both. CPU is what the system booked for the server's threads, and hardly moves when others are busy.

Parts: http (E0, noop, E1, place at 64 and 512 connections), numbers (with merchant_order_no and Idempotency-Key against
without), size (a store with many orders against a small one), curve (1 to 1,000 connections). --quick takes about three
minutes and leaves out the curve and the large store, --full about twenty. Needs build/till, build/bench/ceiling, wrk and,
for the drawing, gnuplot. Of docs/performance.md only what stands between the two marks is written; the rest is for
people. The last line on stdout is one JSON object with every round.
"""
import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
TILL = os.path.join(ROOT, "build", "till")
CEILING = os.path.join(ROOT, "build", "bench", "ceiling")
PAGE = os.path.join(ROOT, "docs", "performance.md")
DRAWING = os.path.join(ROOT, "docs", "performance.svg")
BEGIN, END = "<!-- measured: bench/performance.py writes what follows -->", "<!-- measured: end -->"
PARTS = ("http", "numbers", "size", "curve")
SKUS = 1000
runs = 0


def say(text):
    print(text, file=sys.stderr, flush=True)


# --- Servers


def cpu_s(pid):
    """User and system time of all threads, to the nanosecond where the system books it so."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
    return total / 1e9


class Server:
    def __init__(self, command, **options):
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, **options)
        self.pid = self.child.pid

    def close(self):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Ceiling(Server):
    def __init__(self, body, threads=1, append=None):
        super().__init__([CEILING, "--body", str(body), "--threads", str(threads)] + (["--append", append] if append else []),
                         stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.child.stdout.readline())}"
        self.path = "/v1/orders"


class Till(Server):
    """With a catalogue of SKUS products that do not run out."""

    def __init__(self, data, *more):
        super().__init__([TILL, "dev", "--listen", "127.0.0.1:0", "--sandbox-listen", "127.0.0.1:0", "--data", data,
                          "--log.level", "warn", *more], stdout=subprocess.PIPE, text=True)
        self.url = next(m.group(1) for line in self.child.stdout if (m := re.search(r"API, shop\s+(http://[\d.:]+)/", line)))
        self.path = "/v1/orders"

    def ask(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, method=method, data=body and json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def fill_catalogue(self):
        for i in range(SKUS):
            self.ask("PUT", f"/v1/skus/bench-{i:04}", {"title": f"Bench {i}", "price": 100 + i, "stock": 10**11})
        return self

    def answer_bytes(self):
        """The body of one placing."""
        return len(self.ask("POST", "/v1/orders", {"items": [{"sku": "bench-0001", "quantity": 1},
                                                             {"sku": "bench-0002", "quantity": 2}], "pay_within": 86400}))

    def orders(self):
        return int(re.search(rb"^till_orders_placed_total (\d+)", self.ask("GET", "/metrics"), re.M).group(1))


# --- Load


def load(server, connections, seconds, path=None, kind="idem"):
    """One round: what came of it, with the server's CPU for each request."""
    global runs
    runs += 1
    before = cpu_s(server.pid)
    done = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s",
                           os.path.join(HERE, "load.lua"), server.url, "--", path or server.path, kind,
                           f"{os.getpid():x}-{int(time.time()):x}-{runs:x}"],
                          stdout=subprocess.PIPE, text=True, check=True)
    cpu = cpu_s(server.pid) - before
    r = json.loads(done.stdout.splitlines()[-1])
    if r["errors"] or not r["requests"]:
        raise SystemExit(f"performance: {r['errors']} errors of {r['requests']} requests at {server.url}{path or server.path}")
    return {"per_second": r["requests"] / r["seconds"], "cpu_us": cpu * 1e6 / r["requests"], "p50_ms": r["p50_ms"],
            "p99_ms": r["p99_ms"]}


def rounds(n, seconds, connections, contestants):
    """`contestants`: name -> function of (connections, seconds). In turns, n times; the first turn warms up and does not
    count. Returns name -> list of rounds."""
    out = {name: [] for name in contestants}
    for i in range(n + 1):
        for name, run in contestants.items():
            r = run(connections, seconds if i else 1)
            if i:
                out[name].append(r)
        say(f"  {connections} connections, round {i} of {n}: "
            + ", ".join(f"{name} {r[-1]['per_second']:.0f}/s {r[-1]['cpu_us']:.1f} us" for name, r in out.items() if r))
    return out


def ratio(results, a, b, what="per_second"):
    """The median of the rounds' own ratios, and how far they lie apart."""
    all_ = [x[what] / y[what] for x, y in zip(results[a], results[b])]
    return statistics.median(all_), min(all_), max(all_)


def median(results, name, what):
    return statistics.median(r[what] for r in results[name])


# --- Parts


def part_http(args, till, e0, e1, out):
    contestants = {name: (lambda c, s, e=e: load(e, c, s)) for name, e in {**e0, "E1": e1}.items()}
    contestants |= {"noop": lambda c, s: load(till, c, s, "/dev/noop"), "place": lambda c, s: load(till, c, s)}
    order = [*e0, "noop", "E1", "place"]
    for connections in (64, 512):
        say(f"http, {connections} connections")
        out[f"http-{connections}"] = rounds(args.rounds, args.seconds, connections, {n: contestants[n] for n in order})


def part_numbers(args, till, out):
    say("numbers")
    out["numbers"] = rounds(args.rounds, args.seconds, 64, {
        "numbered": lambda c, s: load(till, c, s, kind="numbered"), "plain": lambda c, s: load(till, c, s, kind="plain")})


def part_size(args, directory, out):
    """One store grows to --orders; the other begins anew for each round."""
    large = Till(os.path.join(directory, "large")).fill_catalogue()
    fresh = [0]

    def small(connections, seconds):
        fresh[0] += 1
        data = os.path.join(directory, f"small-{fresh[0]}")
        server = Till(data).fill_catalogue()
        try:
            while server.orders() < 10000:
                load(server, 64, 1)
            return load(server, connections, seconds)
        finally:
            server.close()
            shutil.rmtree(data)

    try:
        began = time.monotonic()
        while (n := large.orders()) < args.orders and time.monotonic() - began < args.fill_s:
            say(f"size: {n} orders stored")
            load(large, 512, 20)
        out["size-orders"] = large.orders()
        say(f"size: {large.orders()} orders stored, measuring")
        out["size"] = rounds(args.rounds, args.seconds, 64, {"large": lambda c, s: load(large, c, s), "small": small})
    finally:
        large.close()


def part_curve(args, till, e0, e1, out):
    e0_best = next(iter(e0.values()))
    out["curve"] = {}
    for connections in (1, 4, 16, 64, 256, 1000):
        say(f"curve, {connections} connections")
        out["curve"][connections] = rounds(2, 3, connections, {
            "E0": lambda c, s: load(e0_best, c, s), "noop": lambda c, s: load(till, c, s, "/dev/noop"),
            "E1": lambda c, s: load(e1, c, s), "place": lambda c, s: load(till, c, s)})


# --- The page


def version_of(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    except FileNotFoundError:
        return "?"
    return next((line.strip() for line in done.stdout.splitlines() if line.strip()), "?")


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        name = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} × {name}, Linux {platform.release()}"


def versions():
    wrk = re.search(r"wrk (\S+)", version_of("wrk", "-v"))
    return (f"Till {version_of(TILL, '--version').split()[-1]}, {version_of('gcc', '--version')}, SQLite "
            f"{version_of('sqlite3', '--version').split()[0]}, wrk {wrk.group(1) if wrk else '?'}")


def ceiling_of(results):
    """Which E0 was the faster one."""
    return max((n for n in results if n.startswith("E0")), key=lambda n: median(results, n, "per_second"))


def shown(r):
    return f"{r[0]:.2f} ({r[1]:.2f} to {r[2]:.2f})"


def goals(out):
    """Rows: what, goal, reached, whether."""
    rows = []
    for connections, goal in ((64, 0.55), (512, 0.65)):
        results = out.get(f"http-{connections}")
        if not results:
            continue
        e0 = ceiling_of(results)
        if connections == 64:
            r = ratio(results, "noop", e0)
            rows.append((f"`noop` against E0, {connections} connections, requests per second", "≥ 0.75", shown(r), r[0] >= 0.75))
        r = ratio(results, "place", "E1")
        rows.append((f"`place` against E1, {connections} connections, orders per second", f"≥ {goal}", shown(r), r[0] >= goal))
        excess = [(p["cpu_us"] - n["cpu_us"]) / e["cpu_us"] for p, n, e in zip(results["place"], results["noop"], results[e0])]
        r = (statistics.median(excess), min(excess), max(excess))
        rows.append((f"server CPU of an order less that of a no-op, in E0's per request, {connections} connections", "≤ 3",
                     shown(r), r[0] <= 3))
    if "numbers" in out:
        r = ratio(out["numbers"], "numbered", "plain")
        rows.append(("`place` with merchant_order_no and Idempotency-Key against without either", "≥ 0.9", shown(r), r[0] >= 0.9))
    if "size" in out:
        r = ratio(out["size"], "large", "small")
        rows.append((f"`place` with {out['size-orders'] / 1e6:.1f} million orders stored against 10 thousand", "≥ 0.85",
                     shown(r), r[0] >= 0.85))
    return rows


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
                     + ["| " + " | ".join(str(c) for c in row) + " |" for row in rows])


def measured(out, args):
    parts = [table(("what", "goal", "reached (lowest to highest round)", ""),
                   [(w, g, r, "reached" if ok else "**missed**") for w, g, r, ok in goals(out)])]
    for connections in (64, 512):
        results = out.get(f"http-{connections}")
        if results:
            parts.append(f"{connections} connections, medians:\n\n" + table(
                ("", "per second", "server CPU each, µs", "p50, ms", "p99, ms"),
                [(n, f"{median(results, n, 'per_second'):,.0f}", f"{median(results, n, 'cpu_us'):.1f}",
                  f"{median(results, n, 'p50_ms'):.2f}", f"{median(results, n, 'p99_ms'):.2f}") for n in results]))
    if "curve" in out and os.path.exists(DRAWING):
        parts.append("![requests per second over connections](performance.svg)")
    parts.append(f"{machine()}; {versions()}. `bench/performance.py {'--full' if args.full else '--quick'}`: "
                 f"{args.rounds} rounds of {args.seconds} s each.")
    return "\n\n".join(parts)


def draw(curve):
    names = ("E0", "noop", "E1", "place")
    lines = [" ".join([str(c)] + [f"{median(r, n, 'per_second'):.0f}" for n in names]) for c, r in curve.items()]
    plots = ", ".join(f"$d using 1:{i + 2} with linespoints title '{n}'" for i, n in enumerate(names))
    subprocess.run(["gnuplot"], input=f"""set terminal svg size 760,420 font 'sans,12' background '#ffffff'
set output '{DRAWING}'
set logscale x
set xlabel 'connections'
set ylabel 'requests per second'
set yrange [0:*]
set key outside right
$d << EOD
{chr(10).join(lines)}
EOD
plot {plots}
""", text=True, check=True)


def write_page(text):
    with open(PAGE, encoding="utf-8") as f:
        page = f.read()
    head, rest = page.split(BEGIN, 1)
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(head + BEGIN + "\n\n" + text + "\n\n" + END + rest.split(END, 1)[1])


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    p.add_argument("--quick", action="store_true", help="about three minutes (the default)")
    p.add_argument("--full", action="store_true", help="about twenty")
    p.add_argument("--only", default="", help="of " + ", ".join(PARTS))
    p.add_argument("--rounds", type=int)
    p.add_argument("--seconds", type=int)
    p.add_argument("--orders", type=int, default=5_000_000, help="of the large store")
    p.add_argument("--fill-s", type=int, default=480, help="how long filling it may take")
    p.add_argument("--no-write", action="store_true", help="leaves docs/performance.md as it is")
    args = p.parse_args()
    args.rounds = args.rounds or (8 if args.full else 5)
    args.seconds = args.seconds or (4 if args.full else 2)
    args.parts = args.only.split(",") if args.only else PARTS if args.full else PARTS[:2]
    if unknown := set(args.parts) - set(PARTS):
        p.error(f"no part {', '.join(unknown)}")
    return args


def main():
    args = arguments()
    out = {}
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="till-performance-", dir="."))
        server = lambda s: stack.enter_context(contextlib.closing(s))  # noqa: E731
        if "size" in args.parts:
            part_size(args, directory, out)
        till = server(Till(os.path.join(directory, "data"))).fill_catalogue()
        body = till.answer_bytes()
        e0 = {f"E0, {n} thread{'s' * (n > 1)}": server(Ceiling(body, threads=n)) for n in sorted({1, min(4, os.cpu_count())})}
        e1 = server(Ceiling(body, append=os.path.join(directory, "append")))
        if "http" in args.parts:
            part_http(args, till, e0, e1, out)
        if "numbers" in args.parts:
            part_numbers(args, till, out)
        if "curve" in args.parts:
            part_curve(args, till, e0, e1, out)
    if "curve" in out and shutil.which("gnuplot") and not args.no_write:
        draw(out["curve"])
    text = measured(out, args)
    print(text)
    if not args.no_write:
        write_page(text)
    print(json.dumps(out))


if __name__ == "__main__":
    main()

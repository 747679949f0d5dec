#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Till beside what else could time out an order, on one machine, in one run; writes docs/peers.md, .json and .svg.

    bench/peers/peers.py [--items N] [--only NAME,...] [--skip NAME,...] [--minutes M] [--list] [--no-write]

N items are scheduled to be due at one instant, each acknowledged; the server is killed (SIGKILL) and started again with all of
them pending; then an empty handler takes what is due. Measured are schedules per second, the time to the first answer after the
kill, how late each item arrived, and what a pending one takes in memory and on disk. Each system comes from Debian, npm or Maven
Central, listens on loopback, and lies in a temporary folder; no service of the machine's is touched. What cannot be had says
`skipped` in its row. Times depend on the machine: Till is measured at the beginning, after every few others and at the end, and
its row, to which every ratio is, has the medians of these. Needs build/till, the packages of `tools/deps peers`, and gnuplot for the drawing. The last line on stdout is one JSON object.
"""
import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import figures
import plot
import systems
from process import Unavailable, disk_bytes, memory_bytes
from fetched import Unavailable as NotFetched

DOCS = os.path.join(systems.ROOT, "docs")
BEGIN, END = "<!-- measured: bench/peers/peers.py writes what follows -->", "<!-- measured: end -->"
WARM_UP_WAIT_S = 3
TRIES = 3
TILL_EVERY = 4  # others


def say(text):
    print(text, file=sys.stderr, flush=True)


class TooLate(Exception):
    """What was scheduled became due before all was ready."""


def warm_up(system, client):
    """Compiled, connected and grown: what comes is none of the start. Items per second, to guess from."""
    due_ms = (time.time() + WARM_UP_WAIT_S) * 1000 // 1
    scheduled = client.call("schedule", run="warm", n=system.warm_up, due_ms=due_ms)
    client.call("subscribe", run="warm", n=system.warm_up)
    client.call("collect", limit_s=30 + WARM_UP_WAIT_S)
    client.call("close")
    return system.warm_up / max(scheduled["seconds"], 0.001)


def hold(system, from_s, until_s):
    """Stopped while the instants of what it holds pass; the instant at which it goes on is when all are due."""
    time.sleep(max(0, from_s - time.time()))
    system.server.send(signal.SIGSTOP)
    time.sleep(max(0, until_s - time.time()))
    due_ms = time.time() * 1000
    system.server.send(signal.SIGCONT)
    return due_ms


def attempt(system, n, wait_s):
    """One run from an empty folder to the last item."""
    system.start()
    client = None
    try:
        start_memory = 0 if system.in_client else memory_bytes(system.pids())
        client = system.client()
        if system.in_client:
            system.pids = lambda: [client.child.pid]
            start_memory = memory_bytes(system.pids())
        rate = warm_up(system, client)
        left = client.call("count")
        memory, disk = memory_bytes(system.pids()), disk_bytes(system.data)
        due_s = int(time.time() + 1.5 * n / rate + wait_s)
        scheduled = client.call("schedule", run="main", n=n, due_ms=due_s * 1000)
        waiting_memory, waiting_disk = memory_bytes(system.pids()), disk_bytes(system.data)
        client.kill()
        system.kill()
        begun = time.monotonic()
        system.start()
        restart_s = time.monotonic() - begun
        client = system.client(again=True)
        if system.in_client:
            restart_s = time.monotonic() - begun
            system.pids = lambda: [client.child.pid]
        restarted_memory = memory_bytes(system.pids())
        pending = client.call("count")
        # Not all have a figure of what waits: that nothing was lost shows in the end.
        pending = None if pending is True else pending - left
        if pending not in (None, n):
            say(f"  {pending} of {n} are there after the kill")
        client.call("subscribe", run="main", n=n)
        margin_s = 1.5 if system.whole_seconds else 0.2
        if time.time() > due_s - margin_s:
            raise TooLate(f"ready {time.time() - due_s:.1f} s after the instant")
        due_ms = hold(system, due_s - 1, due_s + 1) if system.whole_seconds else due_s * 1000
        took = client.call("collect", limit_s=max(1, due_ms / 1000 - time.time()) + system.cutoff_s)
        return {"schedules_per_second": n / scheduled["seconds"], "restart_s": restart_s, "pending_after_kill": pending,
                "memory_bytes_each": figures.each(memory, waiting_memory, n),
                "restarted_memory_bytes_each": figures.each(start_memory, restarted_memory, n),
                "disk_bytes_each": figures.each(disk, waiting_disk, n), "doubled": took["doubled"], "strange": took["strange"],
                "expire": figures.arrivals(took["arrived_ms"], due_ms, n, took.get("complete_ms"))}
    finally:
        if client:
            client.kill()
        system.close()


def measure(kind, n, until):
    """The row of one system, whatever becomes of it."""
    row = {"key": kind.key, "title": kind.title, "durability": kind.durability, "own": kind.own, "note": kind.note}
    wait_s = kind.restart_wait_s
    try:
        for left in reversed(range(TRIES)):
            if time.monotonic() > until:
                raise Unavailable("no time left (--minutes)")
            dir = tempfile.mkdtemp(prefix=f"till-peer-{kind.key}-")
            os.chmod(dir, 0o711)  # PostgreSQL's user goes through it
            try:
                system = kind(dir)
                system.need()
                row["versions"] = system.versions()
                return {**row, **attempt(system, n, wait_s)}
            except TooLate as e:
                say(f"  {kind.key}: {e}" + ("; again with more time" if left else ""))
                wait_s *= 3
            finally:
                shutil.rmtree(dir, ignore_errors=True)
        raise Unavailable("never ready before its items were due")
    except (Unavailable, NotFetched, OSError) as e:
        row["skipped"] = " ".join(str(e).split())[:300]
        say(f"  {kind.key}: SKIPPED: {row['skipped']}")
        return row


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())
    with open("/proc/meminfo", encoding="ascii") as f:
        memory = int(f.readline().split()[1]) // (1 << 20)
    return {"cpu": model, "cores": os.cpu_count(), "memory_gib": memory, "system": f"{platform.system()} {platform.release()}",
            "load_at_begin": os.getloadavg()[0]}


def tell(result):
    rows = result["rows"]
    reference = next((r for r in rows if r["key"] == "till" and "skipped" not in r), None)
    m = result["machine"]
    lines = [f"{result['items']:,} items due at one instant, {result['at']}; {m['cores']} cores ({m['cpu']}), {m['memory_gib']} GiB, {m['system']}, "
             f"load {m['load_at_begin']:.1f} at the beginning.", ""]
    lines += [figures.table(rows, reference), ""]
    rates = sorted(r["expire"]["per_second"] for r in result["till_rounds"] if "skipped" not in r)
    if len(rates) > 1:
        lines += [f"Till's own {len(rates)} rounds in this run went from {figures.number(rates[0])} to {figures.number(rates[-1])} expirations/s: "
                  "so far the machine's mood alone goes.", ""]
    lines += ["Against the goal (three times the expirations per second, a tenth of the memory):", ""]
    lines += [f"- {sentence}" for sentence in figures.goal(rows, reference)]
    lines += ["", "Versions: " + "; ".join(sorted({v for r in rows for v in r.get("versions", [])})) + ".", "",
              f"Again: `{result['command']}`"]
    return "\n".join(lines)


def write(text, result):
    page = os.path.join(DOCS, "peers.md")
    with open(page, encoding="utf-8") as f:
        old = f.read()
    before, rest = old.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    with open(page, "w", encoding="utf-8") as f:
        f.write(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
    with open(os.path.join(DOCS, "peers.json"), "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1, ensure_ascii=False)
        f.write("\n")
    plot.draw(result, os.path.join(DOCS, "peers.svg"))


def chosen(args):
    known = {s.key: s for s in systems.SYSTEMS}
    names = args.only.split(",") if args.only else list(known)
    unknown = set(names + (args.skip.split(",") if args.skip else [])) - set(known)
    if unknown:
        sys.exit(f"no such peer: {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
    return [known[name] for name in names if name not in args.skip.split(",")]


def show(row):
    if "skipped" not in row:
        e = row["expire"]
        say(f"  {row['schedules_per_second']:.0f} schedules/s, {e['per_second']:.0f} expirations/s ({e['done']} of {e['scheduled']}), "
            f"last {e.get('max_ms', 0):.0f} ms late, {row['memory_bytes_each']:.0f} bytes of memory and {row['disk_bytes_each']:.0f} of disk each, "
            f"restart {row['restart_s']:.2f} s, {row['doubled']} doubled")
    return row


def run_all(kinds, n, until):
    """The rows, and Till's rounds that its own row is the middle of."""
    till = next((k for k in kinds if k.key == "till"), None)
    others, rows, rounds = [k for k in kinds if k is not till], [], []
    for i, kind in enumerate(others):
        if till and i % TILL_EVERY == 0:
            say(f"till: {n} items")
            rounds.append(show(measure(till, n, until)))
        say(f"{kind.key}: {n} items")
        rows.append(show(measure(kind, n, until)))
    if till:
        say(f"till: {n} items")
        rounds.append(show(measure(till, n, until)))
        rows.insert(0, figures.middle(rounds))
    return rows, rounds


def main():
    parser = argparse.ArgumentParser(description="Till beside other systems. See the head of this file.")
    parser.add_argument("--items", type=int, default=20000, help="due at one instant (20000; at most 200000)")
    parser.add_argument("--only", default="", help="these, with commas between")
    parser.add_argument("--skip", default="", help="all but these")
    parser.add_argument("--minutes", type=float, default=15, help="no further peer is begun after so long")
    parser.add_argument("--list", action="store_true", help="names the peers")
    parser.add_argument("--no-write", action="store_true", help="leaves docs/ as it is")
    args = parser.parse_args()
    if not 100 <= args.items <= 200000:
        parser.error("--items: expected 100 to 200000")
    if args.list:
        print("\n".join(f"{s.key:24} {s.title}" for s in systems.SYSTEMS))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    kinds, until = chosen(args), time.monotonic() + args.minutes * 60
    result = {"bench": "peers", "items": args.items, "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "machine": machine(),
              "command": "make bench-peers" + (f' ARGS="{" ".join(sys.argv[1:])}"' if len(sys.argv) > 1 else ""), "rows": []}
    result["rows"], result["till_rounds"] = run_all(kinds, args.items, until)
    text = tell(result)
    print(text)
    if not args.no_write:
        write(text, result)
    print(json.dumps(result, ensure_ascii=False))
    return 0 if any("skipped" not in r for r in result["rows"]) else 1


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())

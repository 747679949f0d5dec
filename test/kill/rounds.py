#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills a serving Till with SIGKILL, round after round, under clients that remember what they were told.

    test/kill/rounds.py [--rounds 25] [--seed N] [--folder DIR]

A round is 0 to 300 ms of load from four clients, the kill, up to three starts that are killed too, and a start that may
live. The clients do not stop for any of this: they ask again until they are answered, so that recovery itself runs under
load. Then the round is judged (judge.py). Every 25th round the clock is moved on, once until a kill, then until all is
decided and the money can be counted. The seed decides who asks for what, and when the kills come; how far the server was by
then it cannot decide. At the end everything is judged once more, with `till audit`.

Each round is a case, the end is one. The last line is `N passed, N failed`; exit 0 when nothing failed. TILL_BIN is the
program that is tried, build/till if not set.
"""
import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback

from clients import PRICE_FEN, Book, Client
from judge import Judge
from world import AWAY, Crowd, Violation, World, require

N_CLIENTS = 4
SETTLE_EVERY = 25
FAULTS = {"notify": {"drop": 0.3, "duplicate": 0.2}, "gateway": {"error": 0.03}}


class Run:
    def __init__(self, world, seed):
        self.world, self.dice, self.book = world, random.Random(seed), Book()
        self.judge = Judge(self.book, world, random.Random(f"{seed} judge"))
        self.clients = [Client(self.book, random.Random(f"{seed} client {i}"), f"c{i}", world) for i in range(N_CLIENTS)]
        self.shop, self.starts_killed, self.kills = world.shop_line(), 0, 0
        world.wallet_line().good("PUT", "/wallet/faults", dict(FAULTS, seed=seed % 2**31))

    def round(self, number):
        skus = [f"r{number}-{letter}" for letter in "abc"]
        for sku in skus:
            self.shop.good("PUT", f"/v1/skus/{sku}", {"title": sku, "price": PRICE_FEN, "stock": 60})
            self.book.stock(sku, 60)
        over = threading.Event()
        for client in self.clients:
            client.begin(number, skus)
        crowd = Crowd([lambda c=c: c.run(over) for c in self.clients])
        try:
            time.sleep(self.dice.uniform(0, 0.02) if self.dice.random() < 0.2 else self.dice.uniform(0.02, 0.3))
            self.kill_and_start()
        finally:
            over.set()
        crowd.join(60)
        self.judge.after_round(number, skus)
        if number % SETTLE_EVERY == SETTLE_EVERY - 1:
            self.kill_a_moving_clock()
            self.judge.settle()

    def kill_and_start(self):
        self.world.server.kill()
        self.kills += 1
        for _ in range(self.dice.choice((0, 0, 0, 1, 2, 3))):
            self.world.kill_a_start(self.dice.uniform(0, 0.05))
            self.starts_killed += 1
        self.world.start()
        self.shop.close()  # they led to the one that was killed
        self.judge.shop.close()

    def kill_a_moving_clock(self):
        """Many windows end at once, and then the process does."""
        def move():
            with contextlib.suppress(*AWAY):
                self.world.shop_line().call("POST", "/dev/clock", {"advance": "6m"}, timeout=30)

        crowd = Crowd([move])
        time.sleep(self.dice.uniform(0, 0.15))
        self.kill_and_start()
        crowd.join(60)

    def end(self):
        self.judge.settle()
        self.judge.everything()
        status, out, err = self.world.audit()
        require(status == 0 and "BROKEN" not in out, f"till audit ends with {status}: {out}{err}")
        status = self.world.server.stop()
        require(status == 0, f"SIGTERM ends with {status}: {self.world.server.last_words()}")


def try_all(world, options, passed):
    """Each case that passed is added to `passed`; the first that does not ends the run."""
    world.start()
    run, begin = Run(world, options.seed), time.monotonic()
    for number in range(options.rounds):
        passed.append(number)
        run.round(number)
        if number % 100 == 99:
            print(f"{number + 1} rounds, {time.monotonic() - begin:.0f} s", flush=True)
    passed.append("end")
    run.end()
    paid = sum(o.seen["state"] == "paid" for o in run.book.orders.values())
    print(f"{options.rounds} rounds, {run.kills} kills and {run.starts_killed} of a start, {run.book.n_answers} answers, "
          f"{run.book.n_lost} lost; {len(run.book.orders)} orders, {paid} paid; {time.monotonic() - begin:.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--folder", help="where the store and the logs are put and stay; else they stay only after a failure")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # the finally below ends what was started
    again = f"test/kill/rounds.py --rounds {options.rounds} --seed {options.seed}"
    print(again, flush=True)
    folder = options.folder or tempfile.mkdtemp(prefix="till-kill-")
    os.makedirs(folder, exist_ok=True)
    world, begun, failed = None, [], 0
    try:
        world = World(folder)
        try_all(world, options, begun)
    except Exception as e:
        failed = 1
        what = str(e) if isinstance(e, Violation) else traceback.format_exc()
        print(f"round {begun[-1] if begun else 'none'}: {what}\nagain: {again}\nwhat is left: {folder}", flush=True)
    finally:
        if world:
            world.destroy()
    if not failed and not options.folder:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{max(0, len(begun) - failed)} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

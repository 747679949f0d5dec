# SPDX-License-Identifier: Apache-2.0
"""A day of business in bad weather, pressed into half a minute: notifications are lost, doubled and later than the window is long,
gateways err and stay silent, and buyers pay, leave, pay twice, and pay too late. When it clears up, every fen is accounted for.

TILL_SOAK_ORDERS says how many orders (`make check` takes ten thousand), TILL_TEST_SEED who does what.
"""
import collections
import contextlib
import json
import os
import queue
import random
import threading
import unittest

from harness import NEXT, MoneyCase, at_once, wait_for

ORDERS = int(os.environ.get("TILL_SOAK_ORDERS") or 600)
SEED = int(os.environ.get("TILL_TEST_SEED") or 7)
BUYERS = 32  # at a time
WEATHER = {"notify": {"drop": 0.3, "duplicate": 0.3, "delay_ms": [0, 400000]}, "gateway": {"error": 0.1, "timeout": 0.05}, "seed": SEED}
WALLETS = ("alipay", "wechatpay")
OTHER = {"alipay": "wechatpay", "wechatpay": "alipay"}


class Buyer:
    """One order and what becomes of it: drawn from the seed and its number."""

    def __init__(self, till, sku, n):
        self.till, self.random = till, random.Random(SEED * 1000003 + n)
        self.channel = self.random.choice(("alipay", "wechatpay", "any"))
        self.wallet = self.random.choice(WALLETS) if self.channel == "any" else self.channel
        self.habit = self.random.choices(("pays", "leaves", "only looks", "cancels", "pays twice", "pays late", "wants some back"),
                                         (40, 18, 8, 8, 10, 10, 6))[0]
        more = {"pay_within": self.random.randint(5, 30)} if self.habit == "pays late" else {}
        self.order = till.place(sku, self.random.randint(1, 3), channel=self.channel, buyer=f"b{n}",
                                policy=self.random.choice(("delay", "poll", "reverse", "forward")), **more)

    def ask(self, method, path, body):
        return self.till.call(method, f"/v1/orders/{self.order['id']}{path}", body)

    def code(self, order):
        """What is on the screen; a code that the provider owes comes after a while, or never."""
        if self.channel == "any":
            return order["pay_url"]
        with contextlib.suppress(AssertionError):
            return wait_for(lambda: self.till.order(order["id"]).get("payment", {}).get("qr_code"), 2, every_s=0.2)
        return None

    def tap(self, path, code, wallet):
        return code and self.till.wallet("POST", f"/wallet/{path}", {"code": code, "wallet": wallet}).status == 200

    def pay(self, code, wallet):
        return bool(self.tap("scan", code, wallet) and self.tap("pay", code, wallet))

    def pay_twice(self, code):
        """With both wallets in the same moment, before anybody can have been told of the one."""
        other = code
        if self.channel != "any":
            opened = self.ask("POST", "/payments", {"channel": OTHER[self.wallet]})
            other = opened.json.get("qr_code") if opened.status == 201 else None
        taps = ((code, self.wallet), (other, OTHER[self.wallet]))
        taken = [t for t in taps if self.tap("scan", *t)]
        return sum(at_once(*[lambda t=t: bool(self.tap("pay", *t)) for t in taken])) if taken else 0

    def live(self):
        """What he did, for the record."""
        code = self.code(self.order) if self.habit != "leaves" else None
        if self.habit == "only looks":
            self.tap("scan", code, self.wallet)
        elif self.habit == "cancels":
            self.tap("scan", code, self.wallet)
            self.ask("POST", "/cancel", {"reason": "buyer"})
        elif self.habit == "pays twice":
            return self.habit, self.pay_twice(code)
        elif self.habit == "pays late":
            self.tap("scan", code, self.wallet)
            with contextlib.suppress(AssertionError):
                wait_for(lambda: self.till.order(self.order["id"])["state"] in ("closing", "cancelled"), 3, every_s=0.2)
            return self.habit, bool(self.tap("pay", code, self.wallet))
        elif self.habit == "wants some back":
            paid = self.pay(code, self.wallet)
            self.ask("POST", "/check", {})
            return self.habit, paid and self.ask("POST", "/refunds", {"amount": self.random.randint(1, 100)}).status == 201
        elif self.habit == "pays":
            return self.habit, self.pay(code, self.wallet)
        return self.habit, False


class Soak(MoneyCase):
    def business(self, n_orders):
        """All buyers, some at a time, while time flies. How many did what, and whether it went as they wished."""
        todo, done, over = queue.SimpleQueue(), collections.Counter(), threading.Event()
        for n in range(n_orders):
            todo.put(n)

        def buyers():
            with contextlib.suppress(queue.Empty):
                while True:
                    done[Buyer(self.till, self.sku, todo.get_nowait()).live()] += 1

        def clock():
            while not over.is_set():
                self.till.advance("90s", settled=False)
                over.wait(0.1)

        def all_buyers():
            try:
                at_once(*[buyers] * BUYERS, limit_s=3600)
            finally:
                over.set()

        at_once(clock, all_buyers, limit_s=3600)
        return done

    def pending(self):
        status, out, _ = self.till.audit()
        return sum(line["pending"] for line in json.loads(out)["lines"]) if status == 0 else "BROKEN"

    def clear_up(self):
        """Well again: until nothing is owed any more."""
        self.till.no_faults()
        for how_far in ["3m"] * 8 + ["1h"] * 24:
            self.till.advance(how_far, settled=False)
            self.states = collections.Counter(o["state"] for o in self.till.all("/v1/orders"))
            if set(self.states) <= {"paid", "cancelled"} and self.pending() == 0:
                return
        self.fail(f"still owed: {self.states}, audit {self.till.audit()}")

    def assert_told_well(self, orders):
        """Each order's events are numbered without a gap, and tell a life that the contract allows, to its end."""
        told = collections.defaultdict(list)
        for event in self.till.events():
            told[event["order"]].append(event)
        for order in orders:
            events = told[order["id"]]
            self.assertEqual([e["sequence"] for e in events], list(range(1, len(events) + 1)))
            states = [e["type"].partition(".")[2] for e in events if e["type"].startswith("order.")]
            self.assertTrue(all(b in NEXT[a] for a, b in zip(states, states[1:])), states)
            self.assertEqual((states[0], states[-1]), ("placed", order["state"]))

    def soak(self, n_orders):
        self.sku = self.till.sku(stock=3 * n_orders, price=100)
        self.till.faults(**WEATHER)
        self.addCleanup(self.till.no_faults)
        done = self.business(n_orders)
        self.clear_up()
        orders = self.till.all("/v1/orders")
        self.assertEqual(len(orders), n_orders)
        available, held, sold = self.till.stock(self.sku)
        self.assertEqual((available + sold, held), (3 * n_orders, 0))
        self.assertEqual(sold, sum(i["quantity"] for o in orders if o["state"] == "paid" for i in o["items"]))
        self.assert_books_balance()
        self.assert_told_well(orders)
        self.assert_it_was_bad(done)


    def assert_it_was_bad(self, done):
        """What this is about has happened; whoever finds out otherwise has a test that tests nothing."""
        metrics = self.till.metrics()
        for what in self.MUST_HAPPEN:
            self.assertGreater(metrics[what], 0)
        for what in (("pays", True), ("pays late", True), ("pays twice", 2), ("wants some back", True)):
            self.assertGreater(done[what], 0, done)
        for method, outcome in (("create", "unknown"), ("close", "done"), ("refund", "done"), ("query", "done")):
            for channel in WALLETS:
                self.assertGreater(metrics[f'till_channel_calls_total{{channel="{channel}",method="{method}",outcome="{outcome}"}}'], 0)


class ReleasedByProof(Soak):
    MUST_HAPPEN = ("till_orders_cancelled_total", "till_payments_duplicate_total")

    def test_every_fen_and_every_piece_is_accounted_for(self):
        self.soak(ORDERS // 2)


class ReleasedAtTheDeadline(Soak):
    FLAGS = ("--order.release", "deadline")
    MUST_HAPPEN = ("till_orders_cancelled_total", "till_payments_duplicate_total", "till_payments_late_total")

    def test_every_fen_and_every_piece_is_accounted_for(self):
        self.soak(ORDERS - ORDERS // 2)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""A provider in trouble: it is spared, nothing is concluded, and when it is well again everything drains. Rows 22 to 25 of the
fault catalogue (the table is in test_faults.py)."""
import threading
import time
import unittest

from harness import Answer, at_once, instant, wait_for
from proxy import FaultCase, Gate, both

OTHER = {"alipay": "wechatpay", "wechatpay": "alipay"}


def rss_mib(till):
    with open(f"/proc/{till.server.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) // 1024 for line in f if line.startswith("VmRSS"))


class ProviderCase(FaultCase):
    def shown(self, channel):
        return self.till.good("GET", "/readyz?verbose=1")["channels"][channel]

    def metric(self, name, channel, **labels):
        text = ",".join(f'{k}="{v}"' for k, v in {"channel": channel, **labels}.items())
        return self.till.metrics()[f"{name}{{{text}}}"]

    def opened(self, channel):
        return self.metric("till_channel_breaker_opened_total", channel)

    def not_sent(self, channel, reason):
        return self.metric("till_channel_not_sent_total", channel, reason=reason)

    def asked_of(self, channel):
        return len([c for c in self.proxy.calls if c.channel == channel and c.method != "notify"])

    def heal_and_drain(self, ids, *channels, state="cancelled", times=6):
        """Well again: a few minutes later every order is where it belongs, and nothing waits any more."""
        self.calm()
        for _ in range(times):
            self.till.advance("3m", settled=False)
            if {self.till.order(i)["state"] for i in ids} == {state}:
                break
        self.assertEqual([self.till.order(i)["state"] for i in ids], [state] * len(ids))
        for channel in channels:
            it = self.shown(channel)
            self.assertEqual((it["breaker"], it["in_flight"], it["waiting"]), ("closed", 0, 0), it)
            self.assertEqual(self.metric("till_channel_breaker", channel, state="closed"), 1)
        for i in ids:
            self.assert_lived_well(i)


class Down(ProviderCase):
    @both
    def test_a_calm_provider_shows_so(self, channel):
        self.till.place(self.till.sku(), channel=channel)
        self.till.advance("30m")  # whatever was before
        it = self.shown(channel)
        self.assertEqual((it["breaker"], it["in_flight"], it["waiting"], it["rate_limit"], it["held_ms"]),
                         ("closed", 0, 0, None, 0))
        self.assertGreater(it["retry_budget"], 0)
        self.assertEqual(self.metric("till_channel_rate_limit", channel), float("inf"))
        for state, want in (("closed", 1), ("open", 0), ("half_open", 0)):
            self.assertEqual(self.metric("till_channel_breaker", channel, state=state), want)

    @both
    def test_row_22_system_errors_while_closing_release_nothing_and_open_the_breaker(self, channel):
        for faults in ({"error": 1.0}, {"unavailable": True}):
            with self.subTest(**faults):
                sku = self.till.sku()
                orders = [self.till.place(sku, channel=channel) for _ in range(4)]
                ids = [o["id"] for o in orders]
                for o in orders:
                    self.assertEqual(self.till.scan(o["payment"]["qr_code"]).status, 200)  # a trade, which has to be closed
                opened = self.opened(channel)
                self.till.faults(gateway=faults, seed=22)
                self.till.advance("7m", settled=False)
                self.assertEqual({self.till.order(i)["state"] for i in ids}, {"closing"})
                self.assert_stock(sku, 6, 4, 0)
                self.assertGreater(self.opened(channel), opened)
                self.assertGreater(self.not_sent(channel, "breaker_open"), 0)
                line = self.till.timeline(ids[0])
                closing = next(n for n, r in enumerate(line) if r.get("to") == "closing")
                asked = [r for r in line[closing:] if r["kind"] == "provider"]
                self.assertEqual({r["outcome"] for r in asked}, {"unknown"})
                at = [instant(r["at"]) for r in asked]
                self.assertGreater(at[-1] - at[-2], 4 * (at[1] - at[0]), "pauses grow")
                self.heal_and_drain(ids, channel)
                self.assert_stock(sku, 10, 0, 0)
        self.assert_audit()

    def test_row_23_unreachable_for_six_hours(self):
        sku = self.till.sku(stock=30)
        ids = [self.till.place(sku, channel=c)["id"] for c in OTHER for _ in range(15)]
        self.till.faults(gateway={"unavailable": True})
        before = {c: (self.asked_of(c), self.not_sent(c, "breaker_open")) for c in OTHER}
        memory = rss_mib(self.till)
        self.till.advance("6h", settled=False)
        self.assertEqual({self.till.order(i)["state"] for i in ids}, {"closing"})
        self.assert_stock(sku, 0, 30, 0)
        for channel, (asked, kept) in before.items():
            sent, kept = self.asked_of(channel) - asked, self.not_sent(channel, "breaker_open") - kept
            # Half a minute between one try and the next once it has been away for long, a few before.
            self.assertLess(sent, 6 * 3600 / 30 * 3)
            self.assertGreater(kept, sent, "most of what was due was kept back")
        self.assertLess(rss_mib(self.till) - memory, 48)
        self.heal_and_drain(ids, *OTHER)
        self.assert_stock(sku, 30, 0, 0)
        self.assert_audit()

    @both
    def test_row_24_a_hanging_provider_keeps_nobody_else_waiting(self, channel):
        sku, other = self.till.sku(stock=100), OTHER[channel]
        opened = self.opened(channel)
        gate = self.proxy.on("create", Gate(before=True), channel=channel)
        hanging, took = [], []

        def buyer():
            begin = time.monotonic()
            hanging.append(self.till.place(sku, channel=channel))
            took.append(time.monotonic() - begin)

        threads = [threading.Thread(target=buyer) for _ in range(16)]
        for t in threads:
            t.start()
        gate.wait()
        begin = time.monotonic()
        free = [self.till.place(sku, channel=c) for c in (other, "any") * 10]  # while sixteen hang
        self.assertEqual({o["state"] for o in free}, {"awaiting_payment"})
        self.till.scan_and_pay(free[0])
        self.till.until(free[0]["id"], "paid")
        self.assertLess(time.monotonic() - begin, 3.0)
        for t in threads:
            t.join()
        self.assertEqual({o["state"] for o in hanging}, {"placed"})
        self.assertLess(max(took), 4.5, "the placing waits three seconds for a code")
        wait_for(lambda: self.opened(channel) > opened, 10, "the breaker opens")
        self.assertEqual(self.shown(other)["breaker"], "closed")
        timeouts = [r for r in self.till.timeline(hanging[0]["id"]) if r.get("detail") == "timeout"]
        self.assertTrue(timeouts)
        for r in timeouts:
            self.assertLess(r["ms"], 6000, "each call ends at its deadline, whatever the provider does")
        self.calm()
        for _ in range(4):
            self.till.advance("20s", settled=False)
        self.assertEqual({self.till.order(o["id"])["state"] for o in hanging}, {"awaiting_payment"}, "they have their codes")
        self.assertEqual(self.shown(channel)["breaker"], "closed")

    @both
    def test_buyers_who_come_while_it_is_down_are_served_when_it_is_back(self, channel):
        sku = self.till.sku(stock=20)
        self.till.faults(gateway={"unavailable": True})
        ids = [o["id"] for o in at_once(*[lambda: self.till.place(sku, channel=channel)] * 2)]
        self.till.advance("1m", settled=False)
        self.assertEqual({self.till.order(i)["state"] for i in ids}, {"placed"})
        self.till.no_faults()
        self.till.advance("2m", settled=False)
        for i in ids:
            order = self.till.order(i)
            self.assertEqual(order["state"], "awaiting_payment")
            self.till.scan_and_pay(order)
            self.till.until(i, "paid", 3)
        self.assert_stock(sku, 18, 0, 2)


# --- What a bad network, or somebody between, makes of an answer


def unsigned(answer):
    headers = {k: v for k, v in answer.headers.items() if k != "Wechatpay-Signature"}
    return Answer(answer.status, headers, answer.body.replace(b'"sign"', b'"sing"'))


def wrongly_signed(answer):
    """A blank that no JSON minds."""
    headers = dict(answer.headers.items())
    if not answer.body and "Wechatpay-Nonce" in headers:
        headers["Wechatpay-Nonce"] += "0"
    return Answer(answer.status, headers, answer.body.replace(b"{", b"{ ", 1) if b"_response" not in answer.body else
                  answer.body.replace(b'"msg":', b'"msg": '))


SPOILT = {"garbage": lambda a: Answer(200, a.headers, b"\x00<html>\xff{"), "truncated": lambda a: Answer(200, a.headers, a.body[:len(a.body) // 2] or b"{"),
          "unsigned": unsigned, "wrongly signed": wrongly_signed}


class Garbled(ProviderCase):
    @both
    def test_row_25_what_is_not_authentic_proves_nothing(self, channel):
        sku, orders = self.till.sku(stock=8), {}
        for what, spoil in SPOILT.items():
            for is_scanned in (False, True):
                order = self.till.place(sku, channel=channel)
                if is_scanned:
                    self.assertEqual(self.till.scan(order["payment"]["qr_code"]).status, 200)
                for method in ("query", "close", "cancel"):
                    self.proxy.on(method, lambda call, deliver, spoil=spoil: spoil(deliver()), number=order["payment"]["out_trade_no"])
                orders[order["id"]] = what
        opened = self.opened(channel)
        self.till.advance("8m", settled=False)
        for order_id, what in orders.items():
            with self.subTest(what):
                self.assertEqual(self.till.order(order_id)["state"], "closing")
                told = {r["outcome"] for r in self.till.timeline(order_id) if r["kind"] == "provider" and r["method"] != "create"}
                self.assertEqual(told, {"unknown"})
        self.assert_stock(sku, 0, 8, 0)
        self.assertEqual(self.opened(channel), opened, "garbage is no silence")
        self.heal_and_drain(list(orders), channel)
        self.assert_stock(sku, 8, 0, 0)

    @both
    def test_row_25_a_code_that_cannot_be_read_is_asked_for_again(self, channel):
        before = len(self.proxy.asked("create"))
        self.proxy.on("create", lambda call, deliver: unsigned(deliver()), times=1)
        order = self.till.place(self.till.sku(), channel=channel)
        asked = wait_for(lambda: self.till.advance("20s", settled=False) and self.proxy.asked("create")[before + 1:], 5, "asking again")
        self.till.until(order["id"], "awaiting_payment")
        self.assertEqual([c.number for c in asked], [self.till.order(order["id"])["payment"]["out_trade_no"]])

    @both
    def test_a_provider_that_says_slower_is_heard(self, channel):
        def slower(call, deliver):
            return Answer(429, {"Date": deliver().headers["Date"], "Retry-After": "20"}, b"{}")

        sku = self.till.sku()
        ids = [self.till.place(sku, channel=channel)["id"] for _ in range(3)]
        slowed, kept = self.metric("till_channel_slowed_total", channel), self.not_sent(channel, "slow_down")
        for method in ("create", "query", "close", "cancel"):
            self.proxy.on(method, slower)
        self.till.advance("6m", settled=False)
        self.assertGreater(self.metric("till_channel_slowed_total", channel), slowed)
        self.assertGreater(self.not_sent(channel, "slow_down"), kept, "what is due before the moment it named is kept back")
        self.assertEqual(self.shown(channel)["breaker"], "closed")
        self.assertLess(self.metric("till_channel_rate_limit", channel), float("inf"))
        asked = self.asked_of(channel)
        self.till.advance("60s", settled=False)
        self.assertLessEqual(self.asked_of(channel) - asked, 4, "once in twenty seconds")
        self.heal_and_drain(ids, channel)
        self.till.advance("20m", settled=False)
        self.till.place(sku, channel=channel)
        self.assertEqual(self.metric("till_channel_rate_limit", channel), float("inf"), "it has not complained for long")


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""A provider in trouble: it is spared, nothing is concluded, and when it is well again everything drains."""
import contextlib
import http.client
import http.server
import threading
import time
import unittest

from harness import Case, Till, call, instant, wait_for


def channel(till, name="alipay"):
    return till.good("GET", "/readyz?verbose=1")["channels"][name]


def rss_mib(till):
    with open(f"/proc/{till.server.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) // 1024 for line in f if line.startswith("VmRSS"))


class ProviderCase(Case):
    def metric(self, name, **labels):
        text = ",".join(f'{k}="{v}"' for k, v in {"channel": "alipay", **labels}.items())
        return self.till.metrics()[f"{name}{{{text}}}"]

    def not_sent(self, reason):
        return self.metric("till_channel_not_sent_total", reason=reason)

    def heal_and_drain(self, ids, state="cancelled", times=6):
        """Well again: a few minutes later every order is where it belongs, and nothing waits any more."""
        self.till.no_faults()
        for _ in range(times):
            self.till.advance("3m", settled=False)
            if {self.till.order(i)["state"] for i in ids} == {state}:
                break
        self.assertEqual([self.till.order(i)["state"] for i in ids], [state] * len(ids))
        it = channel(self.till)
        self.assertEqual((it["breaker"], it["in_flight"], it["waiting"]), ("closed", 0, 0), it)
        self.assertEqual(self.metric("till_channel_breaker", state="closed"), 1)
        for i in ids:
            self.assert_lived_well(i)


class Down(ProviderCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.till.no_faults)

    def test_a_calm_provider_shows_so(self):
        self.till.place(self.till.sku())
        it = channel(self.till)
        self.assertEqual((it["breaker"], it["in_flight"], it["waiting"], it["rate_limit"], it["held_ms"]),
                         ("closed", 0, 0, None, 0))
        self.assertGreater(it["retry_budget"], 0)
        self.assertEqual(self.metric("till_channel_rate_limit"), float("inf"))
        for state, want in (("closed", 1), ("open", 0), ("half_open", 0)):
            self.assertEqual(self.metric("till_channel_breaker", state=state), want)

    def test_row_22_system_errors_while_closing_release_nothing_and_open_the_breaker(self):
        for faults in ({"error": 1.0}, {"unavailable": True}):
            with self.subTest(**faults):
                sku = self.till.sku()
                orders = [self.till.place(sku) for _ in range(4)]
                ids = [o["id"] for o in orders]
                for o in orders:
                    self.assertEqual(self.till.scan(o["payment"]["qr_code"]).status, 200)  # a trade, which has to be closed
                opened = self.metric("till_channel_breaker_opened_total")
                self.till.faults(gateway=faults, seed=22)
                self.till.advance("7m", settled=False)
                self.assertEqual({self.till.order(i)["state"] for i in ids}, {"closing"})
                self.assert_stock(sku, 6, 4, 0)
                self.assertGreater(self.metric("till_channel_breaker_opened_total"), opened)
                self.assertGreater(self.not_sent("breaker_open"), 0)
                line = self.till.timeline(ids[0])
                closing = next(n for n, r in enumerate(line) if r.get("to") == "closing")
                asked = [r for r in line[closing:] if r["kind"] == "provider"]
                self.assertEqual({r["outcome"] for r in asked}, {"unknown"})
                at = [instant(r["at"]) for r in asked]
                self.assertGreater(at[-1] - at[-2], 4 * (at[1] - at[0]), "pauses grow")
                self.heal_and_drain(ids)
                self.assert_stock(sku, 10, 0, 0)
        self.assert_audit()

    def test_row_23_unreachable_for_six_hours(self):
        sku = self.till.sku(stock=30)
        ids = [self.till.place(sku)["id"] for _ in range(30)]
        self.till.faults(gateway={"unavailable": True})
        asked, before, kept = self.till.ledger()["calls"]["alipay"], rss_mib(self.till), self.not_sent("breaker_open")
        self.till.advance("6h", settled=False)
        self.assertEqual({self.till.order(i)["state"] for i in ids}, {"closing"})
        self.assert_stock(sku, 0, 30, 0)
        sent, kept = self.till.ledger()["calls"]["alipay"] - asked, self.not_sent("breaker_open") - kept
        # Half a minute between one try and the next once it has been away for long, a few before.
        self.assertLess(sent, 6 * 3600 / 30 * 3)
        self.assertGreater(kept, sent, "most of what was due was kept back")
        self.assertLess(rss_mib(self.till) - before, 48)
        self.heal_and_drain(ids)
        self.assert_stock(sku, 30, 0, 0)
        self.assert_audit()

    def test_row_24_a_hanging_provider_keeps_nobody_else_waiting(self):
        sku = self.till.sku(stock=100)
        self.till.faults(gateway={"delay_ms": [30000, 30000]})
        begin = time.monotonic()
        order = self.till.place(sku)
        self.assertEqual(order["state"], "placed")
        self.assertLess(time.monotonic() - begin, 4.5, "the placing waits three seconds for a code")
        hanging = [order["id"]]
        threads = [threading.Thread(target=lambda: hanging.append(self.till.place(sku)["id"])) for _ in range(15)]
        for t in threads:
            t.start()
        begin = time.monotonic()
        free = [self.till.place(sku, channel="any") for _ in range(20)]  # while sixteen hang
        self.assertEqual({o["state"] for o in free}, {"awaiting_payment"})
        self.assertLess(time.monotonic() - begin, 3.0)
        for t in threads:
            t.join()
        wait_for(lambda: self.metric("till_channel_breaker_opened_total") > 0, 10, "the breaker opens")
        timeouts = [r for r in self.till.timeline(hanging[0]) if r.get("detail") == "timeout"]
        self.assertTrue(timeouts)
        for r in timeouts:
            self.assertLess(r["ms"], 6000, "each call ends at its deadline, whatever the provider does")
        self.till.no_faults()
        for _ in range(4):
            self.till.advance("20s", settled=False)
        self.assertEqual({self.till.order(i)["state"] for i in hanging}, {"awaiting_payment"}, "they have their codes")
        self.assertEqual(channel(self.till)["breaker"], "closed")

    def test_buyers_who_come_while_it_is_down_are_served_when_it_is_back(self):
        sku = self.till.sku(stock=20)
        self.till.faults(gateway={"unavailable": True})
        ids = [self.till.good("POST", "/v1/orders", {"items": [{"sku": sku, "quantity": 1}], "channel": "alipay"})["id"]
               for _ in range(2)]
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


class Between:
    """Stands before the sandbox's gateway and does to its answers what a bad network or a strict gateway does."""

    def __init__(self):
        self.target, self.mode, self.asked = None, "well", 0
        between = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                between.asked += 1
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {"Content-Type": self.headers.get("Content-Type", "application/x-www-form-urlencoded")}
                status, out, more = 503, b"", {}
                with contextlib.suppress(OSError, http.client.HTTPException):
                    answer = call(between.target, "POST", self.path, body, headers)
                    status, out = answer.status, answer.body
                    more["Date"] = answer.headers["Date"]  # the sandbox's clock is moved along with Till's
                if between.mode == "garbage":
                    out = b"\x00<html>\xff{"
                elif between.mode == "truncated":
                    out = out[:len(out) // 2]
                elif between.mode == "unsigned":
                    out = out.replace(b'"sign"', b'"sing"')
                elif between.mode == "wrongly signed":
                    out = out.replace(b'"msg":', b'"msg": ')
                elif between.mode == "slower":
                    status, out = 429, b"{}"
                    more["Retry-After"] = "20"
                self.send_response_only(status)
                for k, v in {"Content-Length": str(len(out)), "Content-Type": "text/html;charset=utf-8", **more}.items():
                    self.send_header(k, v)
                self.end_headers()
                self.wfile.write(out)

            def log_message(self, *_):
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}/gateway.do"
        self.thread = threading.Thread(target=self.httpd.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.httpd.shutdown()
        self.httpd.server_close()
        self.thread.join(5)


class Garbled(ProviderCase):
    @classmethod
    def setUpClass(cls):
        cls.between = Between()
        cls.addClassCleanup(cls.between.close)
        cls.till = Till("--alipay.gateway", cls.between.url)
        cls.addClassCleanup(cls.till.clean)
        cls.between.target = cls.till.sandbox
        cls.till.start()

    def setUp(self):
        super().setUp()
        self.between.mode = "well"

    def test_row_25_what_is_not_authentic_proves_nothing(self):
        for mode in ("garbage", "truncated", "unsigned", "wrongly signed"):
            with self.subTest(mode):
                sku = self.till.sku()
                ids = [self.till.place(sku)["id"] for _ in range(3)]
                opened = self.metric("till_channel_breaker_opened_total")
                self.between.mode = mode
                self.till.advance("8m", settled=False)
                self.assertEqual({self.till.order(i)["state"] for i in ids}, {"closing"})
                self.assert_stock(sku, 7, 3, 0)
                told = {r["outcome"] for r in self.till.timeline(ids[0])
                        if r["kind"] == "provider" and r["method"] == "query"}
                self.assertEqual(told, {"unknown"})
                self.assertEqual(self.metric("till_channel_breaker_opened_total"), opened, "garbage is no silence")
                self.between.mode = "well"
                self.heal_and_drain(ids)
                self.assert_stock(sku, 10, 0, 0)

    def test_a_code_that_cannot_be_read_is_asked_for_again(self):
        self.between.mode = "unsigned"
        order = self.till.place(self.till.sku())
        self.assertEqual(order["state"], "placed")
        self.between.mode = "well"
        self.till.advance("1m", settled=False)
        self.assertEqual(self.till.order(order["id"])["state"], "awaiting_payment")

    def test_a_provider_that_says_slower_is_heard(self):
        sku = self.till.sku()
        ids = [self.till.place(sku)["id"] for _ in range(3)]
        slowed, kept = self.metric("till_channel_slowed_total"), self.not_sent("slow_down")
        self.between.mode = "slower"
        self.till.advance("6m", settled=False)
        self.assertGreater(self.metric("till_channel_slowed_total"), slowed)
        self.assertGreater(self.not_sent("slow_down"), kept, "what is due before the moment it named is kept back")
        self.assertEqual(channel(self.till)["breaker"], "closed")
        self.assertLess(self.metric("till_channel_rate_limit"), float("inf"))
        asked = self.between.asked
        self.till.advance("60s", settled=False)
        self.assertLessEqual(self.between.asked - asked, 4, "once in twenty seconds")
        self.between.mode = "well"
        self.heal_and_drain(ids)
        self.till.advance("20m", settled=False)
        self.till.place(sku)
        self.assertEqual(self.metric("till_channel_rate_limit"), float("inf"), "it has not complained for long")


if __name__ == "__main__":
    unittest.main()

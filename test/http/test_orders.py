# SPDX-License-Identifier: Apache-2.0
"""Placing, reading, listing, checking and cancelling orders."""
import re
import time
import unittest
from urllib.parse import quote

from harness import Case, ORDER_STATES, PAYMENT_STATES, at_once, instant, name

TIMELINE_KINDS = {"state", "half", "checkback", "provider", "notification", "message", "sweep", "webhook", "operator"}


class Orders(Case):
    def test_an_order_has_every_field_of_the_contract(self):
        sku = self.till.sku(price=150)
        begin = self.till.now()
        order = self.till.place(sku, 2, buyer="buyer-7", metadata={"table": "12"}, merchant_order_no=name("shop"))
        for field in ("id", "state", "merchant_order_no", "buyer", "items", "amount", "currency", "paid_amount", "refunded_amount",
                      "created_at", "expires_at", "payment", "pay_url", "policy", "metadata", "version"):
            self.assertIn(field, order)
        self.assertEqual(order["items"], [{"sku": sku, "title": "a thing", "quantity": 2, "price": 150}])
        self.assertEqual((order["amount"], order["paid_amount"], order["refunded_amount"]), (300, 0, 0))
        self.assertEqual((order["buyer"], order["metadata"], order["policy"]), ("buyer-7", {"table": "12"}, "reverse"))
        self.assertTrue(order["id"].startswith("ord_"))
        self.assertIs(type(order["version"]), int)
        self.assertAlmostEqual(instant(order["created_at"]), begin, delta=3)
        self.assertAlmostEqual(instant(order["expires_at"]) - instant(order["created_at"]), 300, delta=0.002)
        self.assertEqual(order["pay_url"], f"{self.till.url}/pay/{order['id']}")
        payment = order["payment"]
        self.assertTrue(payment["id"].startswith("pay_"))
        self.assertEqual((payment["channel"], payment["state"]), ("alipay", "waiting"))
        self.assertRegex(payment["out_trade_no"], r"^[0-9A-Za-z_]{6,32}$")
        self.assertEqual(payment["qr_image"], f"{self.till.url}/v1/orders/{order['id']}/qr.png")
        self.assertEqual(self.till.order(order["id"]), order)

    def test_ids_are_long_different_and_in_the_order_of_time(self):
        sku = self.till.sku(stock=100)
        ids = []
        for _ in range(5):
            ids.append(self.till.place(sku, 1, channel="any")["id"])
            time.sleep(0.003)
        self.assertEqual(len(set(ids)), 5)
        self.assertEqual(ids, sorted(ids))
        for it in ids:
            self.assertRegex(it, r"^ord_[0-9A-Za-z]{20,}$")

    def test_channel_any_asks_no_provider_and_its_code_is_the_payment_page(self):
        calls = self.till.ledger()["calls"]["alipay"]
        order = self.till.place(self.till.sku(), 1, channel="any")
        self.assertEqual(order["state"], "awaiting_payment")
        self.assertNotIn("payment", order)
        self.assertTrue(order["pay_url"].startswith(self.till.url + "/"))
        self.assertEqual(self.till.ledger()["calls"]["alipay"], calls)

    def test_any_is_the_channel_when_none_is_named(self):
        order = self.till.place(self.till.sku(), 1, channel=None)
        self.assertEqual(order["state"], "awaiting_payment")
        self.assertNotIn("payment", order)

    def test_an_order_for_any_channel_times_out_too(self):
        sku = self.till.sku()
        order = self.till.place(sku, 2, channel="any")
        self.till.advance("301s")
        order = self.till.order(order["id"])
        self.assertEqual((order["state"], order["reason"]), ("cancelled", "timeout"))
        self.assert_stock(sku, 10, 0, 0)
        self.assert_lived_well(order["id"])

    def test_all_items_are_held_or_none(self):
        a, b, c = self.till.sku(stock=5), self.till.sku(stock=1), self.till.sku(stock=5)
        items = [{"sku": s, "quantity": 2} for s in (a, b, c)]
        problem = self.problem(self.till.call("POST", "/v1/orders", {"items": items, "channel": "alipay"}),
                               409, "insufficient_stock")
        self.assertEqual(problem.get("sku"), b, "the answer names the sku")
        for sku, n in ((a, 5), (b, 1), (c, 5)):
            self.assert_stock(sku, n, 0, 0)

    def test_an_unknown_sku_is_422_and_holds_nothing(self):
        a = self.till.sku()
        items = [{"sku": a, "quantity": 2}, {"sku": name("nothing"), "quantity": 1}]
        self.problem(self.till.call("POST", "/v1/orders", {"items": items}), 422, "unknown_sku")
        self.assert_stock(a, 10, 0, 0)

    def test_one_sku_on_two_lines_is_held_in_full_or_refused(self):
        a = self.till.sku(stock=3, price=10)
        items = [{"sku": a, "quantity": 2}, {"sku": a, "quantity": 2}]
        answer = self.till.call("POST", "/v1/orders", {"items": items, "channel": "any"})
        self.problem(answer, (400, 409, 422))
        self.assert_stock(a, 3, 0, 0)

    def test_an_order_by_amount_holds_no_stock_and_is_paid_alike(self):
        order = self.till.place(amount=1234, currency="CNY", subject="table 12, two soups")
        self.assertEqual((order["amount"], order["state"]), (1234, "awaiting_payment"))
        self.assertEqual(order.get("items", []), [])
        scanned = self.till.scan(order["payment"]["qr_code"])
        self.assertEqual((scanned.json["amount"], scanned.json["subject"]), (1234, "table 12, two soups"))
        self.till.scan_and_pay(order)
        self.assertEqual(self.till.until(order["id"], "paid", 1.0)["paid_amount"], 1234)
        self.assert_lived_well(order["id"])

    def test_an_order_by_amount_times_out_and_says_so(self):
        order = self.till.place(amount=1234, subject="two soups")
        self.till.advance("6m")
        self.assertEqual(self.till.order(order["id"])["state"], "cancelled")
        self.assertEqual(self.till.events(order["id"])[-1]["type"], "order.cancelled")

    def test_exactly_one_of_items_cart_and_amount(self):
        sku, cart = self.till.sku(), name("cart")
        self.till.good("PUT", f"/v1/carts/{cart}/items/{sku}", {"quantity": 1})
        items = [{"sku": sku, "quantity": 1}]
        before = self.till.snapshot()
        for body in ({"items": items, "cart": cart}, {"items": items, "amount": 5, "subject": "x"},
                     {"cart": cart, "amount": 5, "subject": "x"}, {}, {"channel": "alipay"}, {"items": []},
                     {"amount": 5}, {"subject": "x"}, {"items": items, "subject": "x"}, {"items": items, "currency": "CNY"}):
            with self.subTest(body):
                self.problem(self.till.call("POST", "/v1/orders", body), (400, 422))
        self.unchanged(before)

    def test_a_merchant_number_given_twice_is_one_order(self):
        sku, number = self.till.sku(), name("shop")
        body = {"items": [{"sku": sku, "quantity": 2}], "channel": "alipay", "merchant_order_no": number}
        first = self.till.good("POST", "/v1/orders", body, (201,))
        second = self.till.good("POST", "/v1/orders", body, (200,))
        self.assertEqual(first, second)
        self.problem(self.till.call("POST", "/v1/orders", dict(body, items=[{"sku": sku, "quantity": 1}])),
                     409, "merchant_order_no_used")
        self.assert_stock(sku, 8, 2, 0)

    def test_a_merchant_number_used_by_many_at_once_is_one_order(self):
        sku, number = self.till.sku(), name("shop")
        body = {"items": [{"sku": sku, "quantity": 1}], "channel": "any", "merchant_order_no": number}
        answers = at_once(*[lambda: self.till.call("POST", "/v1/orders", body)] * 6)
        self.assertEqual(sorted(a.status for a in answers), [200] * 5 + [201], answers)
        self.assertEqual(len({a.json["id"] for a in answers}), 1)
        self.assert_stock(sku, 9, 1, 0)

    def test_a_window_of_its_own(self):
        sku = self.till.sku()
        order = self.till.place(sku, 2, channel="any", pay_within=60)
        self.assertAlmostEqual(instant(order["expires_at"]) - instant(order["created_at"]), 60, delta=0.002)
        self.till.advance("59s")
        self.assertEqual(self.till.order(order["id"])["state"], "awaiting_payment")
        self.till.advance("2s")
        self.assertEqual(self.till.order(order["id"])["state"], "cancelled")
        self.assert_stock(sku, 10, 0, 0)

    def test_a_window_out_of_bounds_is_refused(self):
        sku = self.till.sku()
        for seconds in (0, -1, 15 * 86400 + 1, 10**18, 1.5, "60", None, True):
            with self.subTest(seconds):
                body = {"items": [{"sku": sku, "quantity": 1}], "channel": "any", "pay_within": seconds}
                self.problem(self.till.call("POST", "/v1/orders", body), (400, 422))
        self.till.place(sku, 1, channel="any", pay_within=1)
        self.till.place(sku, 1, channel="any", pay_within=15 * 86400)

    def test_each_policy_is_accepted_paid_and_timed_out(self):
        for policy in ("delay", "poll", "reverse", "forward"):
            with self.subTest(policy):
                sku = self.till.sku()
                paid, left = self.till.place(sku, 2, policy=policy), self.till.place(sku, 3, policy=policy)
                self.assertEqual(paid["policy"], policy)
                self.till.scan_and_pay(paid)
                self.till.until(paid["id"], "paid", 1.0)
                self.till.advance("6m")
                self.assertEqual(self.till.order(left["id"])["state"], "cancelled")
                self.assert_stock(sku, 8, 0, 2)
                self.assert_lived_well(paid["id"])
                self.assert_lived_well(left["id"])
        self.problem(self.till.call("POST", "/v1/orders", {"items": [{"sku": self.till.sku(), "quantity": 1}], "policy": "guess"}),
                     (400, 422))

    def test_lists_are_newest_first_and_filtered(self):
        sku, buyer = self.till.sku(stock=20), name("buyer")
        mine = []
        for _ in range(5):
            mine.append(self.till.place(sku, 1, channel="any", buyer=buyer)["id"])
            time.sleep(0.002)
        other = self.till.place(sku, 1, channel="any", buyer=name("buyer"))["id"]
        self.assertEqual([o["id"] for o in self.till.good("GET", f"/v1/orders?buyer={buyer}")["data"]], mine[::-1])
        self.assertEqual([o["id"] for o in self.till.all(f"/v1/orders?buyer={buyer}")], mine[::-1])
        page = self.till.good("GET", f"/v1/orders?buyer={buyer}&limit=2")
        self.assertEqual(([o["id"] for o in page["data"]], page["has_more"]), (mine[:2:-1], True))
        page = self.till.good("GET", f"/v1/orders?buyer={buyer}&limit=2&cursor={quote(page['next_cursor'], safe='')}")
        self.assertEqual([o["id"] for o in page["data"]], mine[2:0:-1])
        self.assertIn(other, [o["id"] for o in self.till.all("/v1/orders")])
        self.till.good("POST", f"/v1/orders/{mine[0]}/cancel", {})
        self.till.until(mine[0], "cancelled")
        both = self.till.good("GET", f"/v1/orders?state=cancelled&buyer={buyer}")["data"]
        self.assertEqual([o["id"] for o in both], [mine[0]])
        self.assertEqual({o["state"] for o in self.till.all("/v1/orders?state=awaiting_payment")}, {"awaiting_payment"})
        self.problem(self.till.call("GET", "/v1/orders?state=lost"), 400)
        self.assertLessEqual({o["state"] for o in self.till.all("/v1/orders")}, ORDER_STATES)

    def test_a_page_stays_itself_while_new_orders_come(self):
        sku, buyer = self.till.sku(stock=50), name("buyer")
        old = [self.till.place(sku, 1, channel="any", buyer=buyer)["id"] for _ in range(4)]
        page = self.till.good("GET", f"/v1/orders?buyer={buyer}&limit=2")
        for _ in range(3):
            self.till.place(sku, 1, channel="any", buyer=buyer)
        rest = self.till.good("GET", f"/v1/orders?buyer={buyer}&limit=2&cursor={quote(page['next_cursor'], safe='')}")
        self.assertEqual({o["id"] for o in page["data"] + rest["data"]}, set(old))

    def test_the_timeline_is_oldest_first_and_of_known_kinds(self):
        order = self.till.place(self.till.sku())
        self.till.scan_and_pay(order)
        self.till.until(order["id"], "paid", 1.0)
        rows = self.till.timeline(order["id"])
        self.assertLessEqual({r["kind"] for r in rows}, TIMELINE_KINDS)
        self.assertLessEqual({"state", "half", "provider", "notification"}, {r["kind"] for r in rows})
        at = [instant(r["at"]) for r in rows]
        self.assertEqual(at, sorted(at))
        self.assertIn("alipay", [r.get("channel") for r in rows if r["kind"] == "provider"])

    def test_check_backs_are_counted_in_the_timeline(self):
        order = self.till.place(self.till.sku())
        self.till.advance("100s")
        rows = [r for r in self.till.timeline(order["id"]) if r["kind"] == "checkback"]
        self.assertEqual([r["n"] for r in rows], list(range(1, len(rows) + 1)))
        self.assertGreaterEqual(len(rows), 1)
        self.assertEqual({r["answer"] for r in rows}, {"UNKNOWN"})
        self.till.advance("6m")
        rows = [r for r in self.till.timeline(order["id"]) if r["kind"] == "checkback"]
        self.assertLessEqual({r["answer"] for r in rows}, {"UNKNOWN", "COMMIT"}, "reverse: the window over is COMMIT")

    def test_check_asks_the_provider_now(self):
        order = self.till.place(self.till.sku())
        self.till.faults(notify={"drop": 1})
        self.addCleanup(self.till.no_faults)
        self.till.scan_and_pay(order)
        time.sleep(0.2)
        self.assertEqual(self.till.order(order["id"])["state"], "awaiting_payment")
        checked = self.till.good("POST", f"/v1/orders/{order['id']}/check", status=(200,))
        self.assertEqual(checked["id"], order["id"])
        self.assertEqual(checked["state"], "paid")

    def test_check_of_an_unpaid_and_of_a_finished_order_changes_nothing(self):
        sku = self.till.sku()
        order = self.till.place(sku)
        checked = self.till.good("POST", f"/v1/orders/{order['id']}/check", status=(200,))
        self.assertEqual(checked["state"], "awaiting_payment")
        self.till.scan_and_pay(order)
        paid = self.till.until(order["id"], "paid", 1.0)
        checked = self.till.good("POST", f"/v1/orders/{order['id']}/check", status=(200,))
        self.assertEqual((checked["state"], checked["paid_at"]), ("paid", paid["paid_at"]))

    def test_version_only_grows(self):
        order = self.till.place(self.till.sku())
        self.till.scan_and_pay(order)
        self.assertGreater(self.till.until(order["id"], "paid", 1.0)["version"], order["version"])

    def test_states_counted_by_metrics(self):
        sku = self.till.sku()
        self.till.scan_and_pay(order := self.till.place(sku))
        self.till.until(order["id"], "paid", 1.0)
        metrics = self.till.metrics()
        found = {}
        for o in self.till.all("/v1/orders"):
            found[o["state"]] = found.get(o["state"], 0) + 1
        for state in ORDER_STATES:
            self.assertEqual(metrics.get(f'till_orders{{state="{state}"}}'), found.get(state, 0), state)

    def test_the_metrics_relied_on_outside_are_there(self):
        metrics = self.till.metrics()
        self.assertTrue(any(re.match(r'till_channel_calls_total\{channel="alipay",method="[a-z_]+",outcome="[a-z_]+"\}$', m)
                            for m in metrics))
        self.assertTrue(any(re.match(r'till_checkbacks_total\{policy="reverse",answer="UNKNOWN"\}$', m) for m in metrics))
        self.assertEqual(metrics.get("till_deadlines_unaccounted"), 0)

    def test_health(self):
        for path in ("/livez", "/readyz"):
            self.assertEqual(self.till.call("GET", path).status, 200, path)


class Asking(Case):
    FLAGS = ("--checkback.schedule", "fixed")

    def calls(self):
        return self.till.ledger()["calls"]["alipay"]

    def test_fixed_asks_at_every_interval(self):
        self.till.place(self.till.sku(), 1, policy="poll")
        before = self.calls()
        self.till.advance("20s")
        self.assertEqual(self.calls(), before, "nothing before the first check")
        self.till.advance("255s")  # 30, 60, ... 270
        self.assertEqual(self.calls() - before, 9)

    def test_delay_asks_only_at_the_end_of_the_window(self):
        order = self.till.place(self.till.sku(), 1, policy="delay")
        before = self.calls()
        self.till.advance("295s")
        self.assertEqual(self.calls(), before)
        self.till.advance("40s")
        self.assertGreater(self.calls(), before)
        self.assertEqual(self.till.order(order["id"])["state"], "cancelled")


class AskingWithALimit(Case):
    FLAGS = ("--checkback.schedule", "fixed", "--checkback.max", "3")

    def test_the_last_unpaid_answer_ends_the_window(self):
        for policy in ("poll", "reverse", "forward"):
            with self.subTest(policy):
                order = self.till.place(self.till.sku(), 1, policy=policy, pay_within=1200)
                self.till.scan(order["payment"]["qr_code"])
                self.till.advance("65s")
                self.assertEqual(self.till.order(order["id"])["state"], "awaiting_payment")
                self.till.advance("40s")
                after = self.till.order(order["id"])
                self.assertEqual((after["state"], after.get("reason")), ("cancelled", "timeout"))
                self.assert_lived_well(order["id"])


class Cancelling(Case):
    def cancel(self, order, **body):
        return self.till.good("POST", f"/v1/orders/{order['id']}/cancel", body, (200,))

    def test_a_merchant_cancels_an_order_without_a_code(self):
        sku = self.till.sku()
        order = self.till.place(sku, 2, channel="any")
        self.assertIn(self.cancel(order)["state"], ("closing", "cancelled"))
        order = self.till.until(order["id"], "cancelled")
        self.assertEqual(order["reason"], "merchant")
        self.assert_stock(sku, 10, 0, 0)
        self.assert_lived_well(order["id"])

    def test_a_buyer_cancels_a_scanned_order_and_the_trade_is_closed(self):
        sku = self.till.sku()
        order = self.till.place(sku, 2)
        self.assertEqual(self.till.scan(order["payment"]["qr_code"]).status, 200)
        self.assertIn(self.cancel(order, reason="buyer", note="changed my mind")["state"], ("closing", "cancelled"))
        after = self.till.until(order["id"], "cancelled")
        self.assertEqual(after["reason"], "buyer")
        self.assert_stock(sku, 10, 0, 0)
        self.problem(self.till.pay(order["payment"]["qr_code"]), 409, "not_payable")
        self.assert_lived_well(order["id"])
        self.assert_audit()

    def test_paid_while_closing_is_paid(self):
        sku = self.till.sku()
        order = self.till.place(sku, 2)
        self.assertEqual(self.cancel(order)["state"], "closing")
        self.till.scan_and_pay(order)
        after = self.till.until(order["id"], "paid", 1.0)
        self.assertEqual(after["paid_amount"], 200)
        self.assert_stock(sku, 8, 0, 2)
        self.till.advance("6m")
        self.assertEqual(self.till.order(order["id"])["state"], "paid")
        self.assert_lived_well(order["id"])
        self.assert_audit()

    def test_paid_while_closing_without_a_notification_is_paid_too(self):
        sku = self.till.sku()
        order = self.till.place(sku, 2)
        self.assertEqual(self.cancel(order)["state"], "closing")
        self.till.faults(notify={"drop": 1})
        self.addCleanup(self.till.no_faults)
        self.till.scan_and_pay(order)
        self.till.advance("6m")
        self.assertEqual(self.till.order(order["id"])["state"], "paid")
        self.assert_stock(sku, 8, 0, 2)
        self.assert_audit()

    def test_cancelled_twice_is_cancelled_once(self):
        sku = self.till.sku()
        order = self.till.place(sku, 2, channel="any")
        self.cancel(order)
        self.till.until(order["id"], "cancelled")
        self.assertEqual(self.cancel(order)["state"], "cancelled")
        self.assert_stock(sku, 10, 0, 0)
        self.assertEqual([e["type"] for e in self.till.events(order["id"])].count("order.cancelled"), 1)

    def test_a_paid_order_is_not_cancelled(self):
        sku = self.till.sku()
        order = self.till.place(sku, 2)
        self.till.scan_and_pay(order)
        self.till.until(order["id"], "paid", 1.0)
        before = self.till.snapshot()
        self.problem(self.till.call("POST", f"/v1/orders/{order['id']}/cancel", {}), 409, "order_already_paid")
        self.unchanged(before)

    def test_an_unknown_reason_is_refused(self):
        order = self.till.place(self.till.sku(), 1, channel="any")
        for body in ({"reason": "timeout"}, {"reason": "channel"}, {"reason": "whim"}, {"reason": 1}, {"why": "x"}, {"note": 5}):
            with self.subTest(body):
                self.problem(self.till.call("POST", f"/v1/orders/{order['id']}/cancel", body), (400, 422))
        self.assertEqual(self.till.order(order["id"])["state"], "awaiting_payment")

    def test_cancel_needs_no_body(self):
        order = self.till.place(self.till.sku(), 1, channel="any")
        answer = self.till.call("POST", f"/v1/orders/{order['id']}/cancel")
        self.assertEqual(answer.status, 200, repr(answer))


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""Money: whatever is captured is the order's own or goes back, exactly once and in full."""
import os
import time
import unittest

from harness import MoneyCase, at_once, wait_for


class Refunds(MoneyCase):
    def until_refunded(self, order, amount, limit_s=3):
        return wait_for(lambda: (lambda o: o if o["refunded_amount"] == amount else None)(self.till.order(order["id"])),
                        limit_s, f"refunded_amount {amount}")

    def test_a_part_then_the_rest(self):
        order, before = self.paid(), self.till.ledger()["refunded"]
        first = self.refund(order, amount=50, reason="one was broken")
        self.assertEqual(first.status, 201, repr(first))
        self.assertTrue(first.json["id"].startswith("ref_"))
        self.assertEqual(first.json["amount"], 50)
        self.assertEqual(self.until_refunded(order, 50)["state"], "paid")
        rest = self.refund(order)
        self.assertEqual((rest.status, rest.json["amount"]), (201, 150))
        after = self.until_refunded(order, 200)
        self.assertEqual((after["state"], after["paid_amount"]), ("paid", 200))
        self.assertEqual(self.till.ledger()["refunded"], before + 200)
        self.assertEqual(sorted(r["amount"] for r in self.till.refunds(order["id"])), [50, 150])
        succeeded = [e for e in self.till.events(order["id"]) if e["type"] == "refund.succeeded"]
        self.assertEqual(len(succeeded), 2)
        self.problem(self.refund(order), (409, 422))
        self.problem(self.refund(order, amount=1), (409, 422))
        self.assert_lived_well(order["id"])
        self.assert_books_balance()

    def test_a_refund_puts_nothing_back_on_the_shelf(self):
        order = self.paid()
        self.assertEqual(self.refund(order).status, 201)
        self.until_refunded(order, 200)
        self.assert_stock(order["items"][0]["sku"], 8, 0, 2)

    def test_more_than_was_paid_is_refused(self):
        order = self.paid()
        self.problem(self.refund(order, amount=201), (409, 422))
        self.assertEqual(self.refund(order, amount=199).status, 201)
        self.problem(self.refund(order, amount=2), (409, 422))
        self.until_refunded(order, 199)
        self.assertEqual(len(self.till.refunds(order["id"])), 1)

    def test_an_unpaid_and_a_cancelled_order_have_nothing_to_give_back(self):
        order = self.till.place(self.till.sku(), 1)
        self.problem(self.refund(order), 409)
        self.till.advance("6m")
        self.problem(self.refund(order), 409)
        self.assertEqual(self.till.refunds(order["id"]), [])

    def test_refunds_at_once_never_exceed_what_was_paid(self):
        order = self.paid()
        before = self.till.ledger()["refunded"]
        answers = at_once(*[lambda: self.refund(order, amount=60)] * 10)
        self.assertEqual([a.status for a in answers].count(201), 3, answers)
        for a in answers:
            if a.status != 201:
                self.problem(a, (409, 422))
        self.until_refunded(order, 180)
        self.assertEqual(self.till.ledger()["refunded"], before + 180)
        self.assert_books_balance()

    def test_full_refunds_at_once_are_one(self):
        order = self.paid()
        before = self.till.ledger()["refunded"]
        answers = at_once(*[lambda: self.refund(order)] * 8)
        self.assertEqual([a.status for a in answers].count(201), 1, answers)
        self.until_refunded(order, 200)
        self.assertEqual(self.till.ledger()["refunded"], before + 200)

    def test_a_refund_while_the_provider_is_away_waits_for_it(self):
        order = self.paid()
        before = self.till.ledger()["refunded"]
        self.till.faults(gateway={"unavailable": True})
        self.addCleanup(self.till.no_faults)
        answer = self.refund(order, amount=70)
        self.assertEqual(answer.status, 201, repr(answer))
        self.settle("1m")
        self.assertEqual(self.till.order(order["id"])["refunded_amount"], 0)
        self.till.no_faults()
        self.settle("30m")
        self.until_refunded(order, 70)
        self.assertEqual(self.till.ledger()["refunded"], before + 70)


class Payments(MoneyCase):
    FLAGS = ()

    def tearDown(self):
        self.till.no_faults()

    def test_notifications_that_come_twice_count_once(self):
        self.till.faults(notify={"duplicate": 1})
        order = self.paid()
        time.sleep(0.3)
        self.till.advance("2m")
        after = self.till.order(order["id"])
        self.assertEqual((after["paid_amount"], after["refunded_amount"]), (200, 0))
        self.assertEqual([e["type"] for e in self.till.events(order["id"])].count("order.paid"), 1)
        self.assert_books_balance()

    def test_a_late_notification_meets_an_order_that_knows_already(self):
        self.till.faults(notify={"delay_ms": [60000, 60000]})
        order = self.till.place(self.till.sku(), 2)
        self.till.scan_and_pay(order)
        paid = self.till.good("POST", f"/v1/orders/{order['id']}/check", status=(200,))
        self.assertEqual(paid["state"], "paid")
        self.till.advance("2m")
        self.assertEqual(self.till.order(order["id"])["paid_at"], paid["paid_at"])
        self.assert_lived_well(order["id"])

    def test_paid_in_the_last_seconds_while_time_passes_is_paid_or_not_taken(self):
        for drop in (0, 1):
            self.till.faults(notify={"drop": drop})
            sku = self.till.sku(stock=20)
            orders = [self.till.place(sku, 1) for _ in range(8)]
            self.till.advance("298s")
            paid = {}

            def pay(order):
                self.till.scan(order["payment"]["qr_code"])
                paid[order["id"]] = self.till.pay(order["payment"]["qr_code"]).status

            at_once(*[lambda o=o: pay(o) for o in orders],
                    lambda: [self.till.advance(step, settled=False) for step in ("1s", "1s", "2s")])
            self.settle("5m")
            for order in orders:
                with self.subTest(drop=drop, paid=paid[order["id"]]):
                    after = self.till.order(order["id"])
                    self.assertIn(after["state"], ("paid", "cancelled"))
                    captured = self.till.wallet("GET", f"/wallet/trades/{order['payment']['out_trade_no']}").json
                    if paid[order["id"]] == 200:
                        self.assertTrue(after["state"] == "paid" or captured["state"] == "refunded", (after, captured))
                    else:
                        self.assertEqual(after["state"], "cancelled")
                    self.assert_lived_well(order["id"])
            available, held, sold = self.till.stock(sku)
            self.assertEqual((available + sold, held), (20, 0))
            self.assertEqual(sold, len([1 for o in orders if self.till.order(o["id"])["state"] == "paid"]))
            self.assert_books_balance()

    def test_a_window_shorter_than_the_provider_s_minimum_is_watched(self):
        sku = self.till.sku()
        order = self.till.place(sku, 2, pay_within=5)
        self.till.advance("6s")
        self.assertEqual(self.till.order(order["id"])["state"], "closing", "the code lives for a minute")
        self.assert_stock(sku, 8, 2, 0)
        self.till.scan_and_pay(order)
        self.till.until(order["id"], "paid", 1.5)
        self.assert_stock(sku, 8, 0, 2)
        left = self.till.place(sku, 2, pay_within=5)
        self.till.advance("2m")
        self.assertEqual(self.till.order(left["id"])["state"], "cancelled")
        self.assert_stock(sku, 8, 0, 2)
        self.assert_books_balance()

    def test_a_window_longer_than_a_code_lives_is_kept_payable(self):
        order = self.till.place(self.till.sku(), 2, pay_within=3 * 3600)
        self.till.advance("150m")
        order = self.till.order(order["id"])
        self.assertEqual(order["state"], "awaiting_payment")
        self.till.scan_and_pay(order)
        self.till.until(order["id"], "paid", 1.5)
        self.assert_books_balance()

    def test_the_old_code_of_a_renewed_order_pays_it_or_pays_nothing(self):
        old = self.till.place(self.till.sku(), 2, pay_within=5 * 3600)
        self.till.advance("119m")
        self.till.scan(old["payment"]["qr_code"])
        first = self.till.pay(old["payment"]["qr_code"])
        now = self.till.order(old["id"])
        if now["payment"]["qr_code"] != old["payment"]["qr_code"]:
            self.till.scan(now["payment"]["qr_code"])
            self.till.pay(now["payment"]["qr_code"])
        self.settle("6h")
        after = self.till.order(old["id"])
        self.assertEqual(after["state"], "paid", repr(first))
        self.assert_books_balance()

    def test_the_provider_is_away_when_the_order_is_placed(self):
        sku = self.till.sku()
        self.till.faults(gateway={"unavailable": True})
        begin = time.monotonic()
        order = self.till.place(sku, 2)
        self.assertLess(time.monotonic() - begin, 4.0, "at most 3 s")
        self.assertEqual(order["state"], "placed")
        self.assert_stock(sku, 8, 2, 0)
        self.problem(self.till.call("GET", f"/v1/orders/{order['id']}/qr.png"), (404, 409))
        self.till.no_faults()
        self.till.advance("1m")
        order = self.till.order(order["id"])
        self.assertEqual(order["state"], "awaiting_payment")
        self.till.scan_and_pay(order)
        self.till.until(order["id"], "paid", 1.5)
        self.assert_lived_well(order["id"])

    def test_a_code_asked_for_in_vain_is_asked_for_again(self):
        self.till.faults(gateway={"timeout": 1})
        order = self.till.place(self.till.sku(), 2)
        self.assertEqual(order["state"], "placed")
        self.till.no_faults()
        self.settle("20s")
        order = wait_for(lambda: (lambda o: o if o["state"] == "awaiting_payment" else None)(self.till.order(order["id"])), 10, "the code")
        self.till.scan_and_pay(order)
        self.till.until(order["id"], "paid", 1.5)
        self.assert_books_balance()

    def test_a_slow_provider_delays_the_answer_by_three_seconds_at_most(self):
        self.till.faults(gateway={"delay_ms": [4500, 4500]})
        begin = time.monotonic()
        order = self.till.place(self.till.sku(), 2)
        seconds = time.monotonic() - begin
        self.assertTrue(2.0 < seconds < 4.0, seconds)
        self.assertEqual(order["state"], "placed")
        self.till.no_faults()
        wait_for(lambda: self.till.order(order["id"])["state"] == "awaiting_payment" or self.till.advance("20s", settled=False) is None,
                 15, "the code")

    def test_the_provider_is_away_at_the_end_of_the_window(self):
        sku = self.till.sku()
        order = self.till.place(sku, 2)
        self.assertEqual(self.till.scan(order["payment"]["qr_code"]).status, 200)
        self.till.faults(gateway={"unavailable": True})
        self.till.advance("20m", settled=False)
        self.assertEqual(self.till.order(order["id"])["state"], "closing", "no proof, no release")
        self.assert_stock(sku, 8, 2, 0)
        self.till.no_faults()
        self.settle("10m")
        self.assertEqual(self.till.order(order["id"])["state"], "cancelled")
        self.assert_stock(sku, 10, 0, 0)
        self.assert_lived_well(order["id"])
        self.assert_books_balance()

    def test_paid_while_the_provider_was_away_is_paid(self):
        sku = self.till.sku()
        order = self.till.place(sku, 2)
        self.till.faults(gateway={"unavailable": True}, notify={"drop": 1})
        self.till.scan_and_pay(order)
        self.till.advance("20m", settled=False)
        self.assertEqual(self.till.order(order["id"])["state"], "closing")
        self.till.no_faults()
        self.settle("10m")
        self.assertEqual(self.till.order(order["id"])["state"], "paid")
        self.assert_stock(sku, 8, 0, 2)
        self.assert_books_balance()

    def test_a_cancelled_placed_order_ends_cancelled_although_the_provider_was_away(self):
        sku = self.till.sku()
        self.till.faults(gateway={"unavailable": True})
        order = self.till.place(sku, 2)
        gone = self.till.good("POST", f"/v1/orders/{order['id']}/cancel", {}, (200,))
        self.assertIn(gone["state"], ("closing", "cancelled"))
        self.till.no_faults()
        self.settle("3h")
        self.assertEqual(self.till.order(order["id"])["state"], "cancelled")
        self.assert_stock(sku, 10, 0, 0)


class BadWeather(MoneyCase):
    """Everything goes wrong a little, at once; when it clears up the books balance."""

    def test_thirty_orders_in_bad_weather(self):
        sku = self.till.sku(stock=40, price=700)
        self.till.faults(notify={"drop": 0.4, "duplicate": 0.3, "delay_ms": [0, 2000], "forge": True},
                         gateway={"error": 0.25, "delay_ms": [0, 200]}, seed=int(os.environ.get("TILL_TEST_SEED") or 11))
        self.addCleanup(self.till.no_faults)
        ids = []

        def one(i):
            order = self.till.place(sku, 1, policy=("delay", "poll", "reverse", "forward")[i % 4])
            ids.append(order["id"])
            if "payment" in order and order["payment"].get("qr_code"):
                if i % 3 != 0:
                    self.till.scan(order["payment"]["qr_code"])
                if i % 3 == 1:
                    self.till.pay(order["payment"]["qr_code"])
                if i % 5 == 0:
                    self.till.call("POST", f"/v1/orders/{order['id']}/cancel", {})

        at_once(*[lambda n=n: [one(i) for i in range(n, 30, 5)] for n in range(5)])
        self.till.advance("2m", settled=False)
        for it in ids[::4]:
            order = self.till.order(it)
            if order["state"] in ("awaiting_payment", "closing") and order.get("payment", {}).get("qr_code"):
                self.till.scan(order["payment"]["qr_code"])
                self.till.pay(order["payment"]["qr_code"])
        self.till.advance("10m", settled=False)
        self.till.no_faults()
        self.settle("3h")
        for it in ids:
            self.assertIn(self.till.order(it)["state"], ("paid", "cancelled"))
            self.assert_lived_well(it)
        available, held, sold = self.till.stock(sku)
        self.assertEqual((available + sold, held), (40, 0))
        self.assertEqual(sold, len([1 for i in ids if self.till.order(i)["state"] == "paid"]))
        self.assert_books_balance()


class LateCase(MoneyCase):
    """Stock is released at the deadline, while the code lives on for some time: the door for late money."""

    def late(self, sku, quantity=2, pay_within=5):
        order = self.till.place(sku, quantity, pay_within=pay_within)
        self.till.advance("8s")
        gone = self.till.order(order["id"])
        self.assertEqual((gone["state"], gone.get("reason")), ("cancelled", "timeout"))
        return order

    def pay_late(self, order):
        scanned = self.till.scan(order["payment"]["qr_code"])
        self.assertEqual(scanned.status, 200, repr(scanned))
        paid = self.till.pay(order["payment"]["qr_code"])
        self.assertEqual(paid.status, 200, repr(paid))


class LateMoneyRefunded(LateCase):
    FLAGS = ("--order.release", "deadline")

    def test_late_money_goes_back_once_and_in_full(self):
        sku = self.till.sku()
        order = self.late(sku)
        self.assert_stock(sku, 10, 0, 0)
        before = self.till.ledger()
        self.pay_late(order)
        wait_for(lambda: self.till.ledger()["refunded"] == before["refunded"] + 200, 3, "the refund")
        wait_for(lambda: "refund.succeeded" in [e["type"] for e in self.till.events(order["id"])], 3, "refund.succeeded")
        types = [e["type"] for e in self.till.events(order["id"])]
        self.assertEqual((types.count("payment.late"), types.count("refund.succeeded"), types.count("order.paid")), (1, 1, 0))
        self.settle("1h")
        after = self.till.order(order["id"])
        self.assertEqual((after["state"], after["payment"]["state"], after["refunded_amount"]), ("cancelled", "refunded", 200))
        self.assertEqual(self.till.ledger()["refunded"], before["refunded"] + 200)
        self.assert_stock(sku, 10, 0, 0)
        self.assert_lived_well(order["id"])
        self.assert_books_balance()

    def test_late_money_of_which_nobody_told_goes_back_too(self):
        sku = self.till.sku()
        order = self.late(sku)
        before = self.till.ledger()
        self.till.faults(notify={"drop": 1})
        self.addCleanup(self.till.no_faults)
        self.pay_late(order)
        self.settle("1h")
        self.assertEqual(self.till.ledger()["refunded"], before["refunded"] + 200)
        self.assertIn("payment.late", [e["type"] for e in self.till.events(order["id"])])
        self.assert_stock(sku, 10, 0, 0)
        self.assert_books_balance()


class LateMoneyReopens(LateCase):
    FLAGS = ("--order.release", "deadline", "--order.late_payment", "reopen")

    def test_the_order_is_reopened_when_there_is_stock(self):
        sku = self.till.sku()
        order = self.late(sku)
        self.pay_late(order)
        after = self.till.until(order["id"], "paid", 2)
        self.assertEqual((after["paid_amount"], after["refunded_amount"]), (200, 0))
        self.assert_stock(sku, 8, 0, 2)
        self.settle("1h")
        self.assert_books_balance()

    def test_the_money_goes_back_when_there_is_none(self):
        sku = self.till.sku(stock=2)
        order = self.late(sku)
        self.till.place(sku, 1, channel="any", pay_within=86400)
        self.pay_late(order)
        self.settle("1h")
        self.assertEqual(self.till.order(order["id"])["state"], "cancelled")
        self.assert_stock(sku, 1, 1, 0)
        self.assert_books_balance()

    def test_an_order_that_was_cancelled_by_hand_is_not_reopened(self):
        sku = self.till.sku()
        order = self.till.place(sku, 2)
        self.till.good("POST", f"/v1/orders/{order['id']}/cancel", {"reason": "buyer"}, (200,))
        gone = self.till.until(order["id"], "cancelled")
        self.assertEqual(gone["reason"], "buyer")
        self.pay_late(order)
        self.settle("1h")
        self.assertEqual(self.till.order(order["id"])["state"], "cancelled")
        self.assert_stock(sku, 10, 0, 0)
        self.assert_books_balance()


class LateMoneyHeld(LateCase):
    FLAGS = ("--order.release", "deadline", "--order.late_payment", "hold")

    def test_the_money_waits_for_an_operator(self):
        sku = self.till.sku()
        order = self.late(sku)
        before = self.till.ledger()["refunded"]
        self.pay_late(order)
        wait_for(lambda: self.till.order(order["id"])["payment"]["state"] == "held", 2, "held")
        self.settle("1h")
        after = self.till.order(order["id"])
        self.assertEqual((after["state"], after["payment"]["state"]), ("cancelled", "held"))
        self.assertEqual(self.till.ledger()["refunded"], before)
        self.assertIn("payment.late", [e["type"] for e in self.till.events(order["id"])])
        self.assert_stock(sku, 10, 0, 0)
        self.assert_audit()


if __name__ == "__main__":
    unittest.main()

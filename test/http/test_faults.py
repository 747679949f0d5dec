# SPDX-License-Identifier: Apache-2.0
"""The fault catalogue: each race and fault that is known to have cost somebody money, and its only right outcome, over real
HTTP. This file has those between paying, closing and the code; the others stand beside their kin:

    row                                               where
     1 paid in the instant we decide to close         test_faults
     2 closed, and the buyer taps "pay" after it      test_faults
     3 a notification races the end of the window     test_faults
     4 a cancel races a payment                       test_faults
     5 money for a closed order whose stock is sold   test_faults
     6 two captures for one order                     test_faults
     7 a photographed code, scanned after the end     test_faults
     8 "no such trade" while the code lives           test_faults
    10 a notification before the code                 test_faults
    11 a notification lost for ever                   test_faults_notices
    12 a notification a hundred times at once         test_faults_notices
    13 notifications in the wrong order               test_faults_notices
    14 genuine, but of another amount or merchant     test_faults_notices, test_wechatpay, test_bad_input
    15 genuine, of a number nobody knows              test_faults_notices
    16 forged, probing, stale                         test_wechatpay, test_bad_input
    17 a replay of an old one                         test_faults_notices
    18 our acknowledgement is lost, or too slow       test_faults_notices
    19 the platform's key changes on the way          test_wechatpay
    20 a code asked for, its answer lost              test_faults
    21 a request for a code that arrives too late     test_faults
    22 system errors while closing                    test_providers
    23 unreachable for six hours                      test_providers
    24 slow, and the other provider                   test_providers
    25 garbage, halves, no signature                  test_providers
    26 an answer older than the payment               test_faults
    27 a refund whose answer is lost                  test_faults_refunds
    28 a refund that ends closed after a week         test_faults_refunds
    29 a refund that ends abnormal                    test_faults_refunds
    30 killed between a refund and its record         test_faults_refunds
    31 a merchant's refund races the system's         test_faults_refunds

There is no row 9 here: an order's price never changes. From 32 on the catalogue is about disks, brokers and nodes, which the
simulator and the broker's tests have.
"""
import unittest

from harness import at_once, wait_for
from proxy import Echo, FaultCase, Gate, Late, both, unheard


class Closing(FaultCase):
    def closing_with(self, channel, before):
        """An order whose buyer stands before the cashier, cancelled; its close is held before or after the provider has it."""
        sku, order, number = self.new(channel)
        self.till.faults(notify={"drop": 1})
        self.assertEqual(self.till.scan(order["payment"]["qr_code"]).status, 200)
        gate = self.proxy.on("close", Gate(before), times=1, number=number)
        self.assertEqual(self.cancel(order)["state"], "closing")
        gate.wait()
        return sku, order, gate

    @both
    def test_row_01_a_payment_in_the_instant_of_closing_wins(self, channel):
        sku, order, gate = self.closing_with(channel, before=True)
        self.assertEqual(self.till.pay(order["payment"]["qr_code"]).status, 200)
        gate.open()
        after = self.till.until(order["id"], "paid")
        self.assertEqual((after["paid_amount"], after["refunded_amount"]), (200, 0))
        closes = [r["outcome"] for r in self.till.timeline(order["id"]) if r["kind"] == "provider" and r["method"] == "close"]
        self.assertEqual(closes, ["refused"], "closing is what met the payment")
        self.settle("10m")
        self.assertEqual(self.state(order), "paid")
        self.assertNotIn("order.cancelled", self.types(order))
        self.assert_stock(sku, 8, 0, 2)
        self.assert_lived_well(order["id"])
        self.assert_books_balance()

    @both
    def test_row_02_a_buyer_who_taps_after_the_close_is_refused(self, channel):
        sku, order, gate = self.closing_with(channel, before=False)
        self.problem(self.till.pay(order["payment"]["qr_code"]), 409, "not_payable")
        self.assert_stock(sku, 8, 2, 0)  # closed over there, and nobody here knows yet
        gate.open()
        self.till.until(order["id"], "cancelled")
        self.problem(self.till.pay(order["payment"]["qr_code"]), 409, "not_payable")
        self.settle("10m")
        self.assert_stock(sku, 10, 0, 0)
        self.assertEqual(self.types(order).count("order.cancelled"), 1)
        self.assert_lived_well(order["id"])
        self.assert_books_balance()

    @both
    def test_row_03_a_notification_and_the_end_of_the_window_meet(self, channel):
        n = 12
        sku = self.till.sku(stock=n)
        orders = [self.till.place(sku, 1, channel=channel) for _ in range(n)]
        kept = []
        self.proxy.on("notify", lambda call, deliver: kept.append(deliver))
        for order in orders:
            self.till.scan_and_pay(order)
        self.till.advance("5s")  # no check-back is due yet
        self.assertGreaterEqual(len(kept), n)
        self.proxy.calm()
        self.till.faults(gateway={"unavailable": True})  # so that only the notifications know
        self.till.advance("294s", settled=False)
        told = at_once(lambda: self.till.advance("2s", settled=False), *kept)
        for answer in told[1:]:
            self.assertIn(answer.status, (200, 204))
        for order in orders:
            self.till.until(order["id"], "paid")
            self.assertEqual(self.types(order).count("order.paid"), 1)
            self.assert_lived_well(order["id"])
        self.assert_stock(sku, 0, 0, n)
        self.calm()
        self.settle("10m")
        self.assert_stock(sku, 0, 0, n)
        self.assert_books_balance()

    @both
    def test_row_04_a_cancel_that_meets_a_payment_ends_one_way_or_the_other(self, channel):
        sku = self.till.sku(stock=20)
        for _ in range(8):
            order = self.till.place(sku, 1, channel=channel)
            self.assertEqual(self.till.scan(order["payment"]["qr_code"]).status, 200)
            paid, gone = at_once(lambda: self.till.pay(order["payment"]["qr_code"]),
                                 lambda: self.till.call("POST", f"/v1/orders/{order['id']}/cancel", {}))
            self.assertIn(paid.status, (200, 409), repr(paid))
            if gone.status == 409:
                self.problem(gone, 409, "order_already_paid")
            else:
                self.assertIn(gone.json["state"], ("closing", "cancelled"), repr(gone))
            after = self.till.until(order["id"], "paid" if paid.status == 200 else "cancelled")
            self.assertEqual(after["paid_amount"] - after["refunded_amount"], 100 if paid.status == 200 else 0)
            self.assert_lived_well(order["id"])
        available, held, sold = self.till.stock(sku)
        self.assertEqual((available + sold, held), (20, 0))
        self.assert_books_balance()

    def test_row_08_no_such_trade_while_the_code_lives_releases_nothing(self):
        sku, order, number = self.new("alipay")
        self.assertEqual(self.cancel(order)["state"], "closing")
        self.till.advance("4m")
        self.assertEqual(self.state(order), "closing", "the provider has not confirmed, the code lives")
        self.assert_stock(sku, 8, 2, 0)
        told = [r["outcome"] for r in self.till.timeline(order["id"]) if r["kind"] == "provider" and r["method"] != "create"]
        self.assertTrue(told and set(told) <= {"done", "refused"}, told)
        asked = len(self.proxy.asked("query", number))
        self.till.advance("2m")
        self.assertGreater(len(self.proxy.asked("query", number)), asked, "asked again, now that the code is dead")
        self.till.until(order["id"], "cancelled")
        self.assert_stock(sku, 10, 0, 0)
        self.assert_lived_well(order["id"])

    @both
    def test_row_26_an_answer_older_than_the_payment_closes_nothing(self, channel):
        sku, order, number = self.new(channel)
        self.till.faults(notify={"drop": 1})
        self.assertEqual(self.till.scan(order["payment"]["qr_code"]).status, 200)
        self.proxy.on("query", Echo(), number=number)
        self.till.good("POST", f"/v1/orders/{order['id']}/check", status=(200,))  # "it waits": what is echoed from now on
        self.assertEqual(self.till.pay(order["payment"]["qr_code"]).status, 200)
        self.till.advance("320s")
        self.assertGreater(len(self.proxy.asked("close", number)), 1)
        self.assertEqual(self.state(order), "closing", "the provider closes nothing that is paid, so nothing is concluded")
        self.assert_stock(sku, 8, 2, 0)
        self.calm()
        self.settle("5m")
        self.assertEqual(self.till.until(order["id"], "paid")["paid_amount"], 200)
        self.assertEqual(self.trade(number)["state"], "paid", "and never cancelled over there, which would have sent it back")
        self.assert_stock(sku, 8, 0, 2)
        self.assert_lived_well(order["id"])
        self.assert_books_balance()


class TheCode(FaultCase):
    @both
    def test_row_06_of_two_captures_the_first_counts_and_the_other_goes_back(self, first):
        second = {"alipay": "wechatpay", "wechatpay": "alipay"}[first]
        for at_the_same_time in (False, True):
            sku, order, number = self.new("alipay")  # nobody scans it, so it stays payable beside the next
            other = self.till.good("POST", f"/v1/orders/{order['id']}/payments", {"channel": "wechatpay"}, (201,))
            code = {"alipay": order["payment"]["qr_code"], "wechatpay": other["qr_code"]}
            pays = [lambda c=c: self.till.wallet("POST", "/wallet/pay", {"code": code[c], "wallet": c}).status for c in (first, second)]
            self.till.faults(notify={"delay_ms": [1000, 1000]})  # the second is paid before the first is told of
            self.assertEqual(at_once(*pays) if at_the_same_time else [p() for p in pays], [200, 200])
            self.till.advance("2s")
            after = self.till.until(order["id"], "paid")
            self.until_refunded(order, [200])
            self.assertEqual((after["paid_amount"], self.till.order(order["id"])["refunded_amount"]), (200, 0))
            self.assertEqual((self.types(order).count("payment.duplicate"), self.types(order).count("order.paid")), (1, 1))
            states = sorted(self.trade(n)["state"] for n in (number, other["out_trade_no"]))
            self.assertEqual(states, ["paid", "refunded"])
            self.assert_stock(sku, 8, 0, 2)
            self.assert_lived_well(order["id"])
        self.assert_books_balance()

    @both
    def test_row_07_a_photographed_code_is_dead_after_the_window(self, channel):
        sku, order, number = self.new(channel)
        self.till.advance("301s")
        before = self.till.ledger()["captured"]
        for _ in range(2):  # at the window's end, and when the order is long cancelled
            self.till.wallet("POST", "/wallet/scan", {"code": order["payment"]["qr_code"]})
            self.problem(self.till.pay(order["payment"]["qr_code"]), 409, "not_payable")
            self.assertNotEqual(self.state(order), "paid")
            self.settle("2m")
        self.assertEqual(self.state(order), "cancelled")
        self.assertEqual(self.till.ledger()["captured"], before)
        self.assertIn("time_expire", next(iter(self.proxy.asked("create", number))).said, "which is why")
        self.assert_stock(sku, 10, 0, 0)

    @both
    def test_row_10_a_notification_may_overtake_the_code(self, channel):
        gate = self.proxy.on("create", Gate(before=False), times=1)
        sku = self.till.sku()
        kept = []

        def buyer():
            gate.wait()
            listed = self.till.good("GET", "/v1/orders?limit=1")["data"][0]
            self.assertEqual(listed["state"], "placed")
            code = wait_for(lambda: self.code_in(gate.answer), 2, "the code")
            self.assertEqual(self.till.scan(code).status, 200)
            self.assertEqual(self.till.pay(code).status, 200)
            kept.append(self.till.until(listed["id"], "paid"))
            gate.open()

        order, _ = at_once(lambda: self.till.place(sku, 2, channel=channel), buyer)
        self.assertEqual(order["id"], kept[0]["id"])
        self.settle("6m")
        after = self.till.order(order["id"])
        self.assertEqual((after["state"], after["paid_amount"], after["payment"]["state"]), ("paid", 200, "captured"))
        moved = [(r.get("from"), r["to"]) for r in self.till.timeline(order["id"]) if r["kind"] == "state"]
        self.assertEqual(moved[-1], ("placed", "paid"))
        self.assertEqual(len(self.proxy.asked("create", after["payment"]["out_trade_no"])), 1)
        self.assert_stock(sku, 8, 0, 2)
        self.assert_lived_well(order["id"])
        self.assert_books_balance()

    @staticmethod
    def code_in(answer):
        it = answer.json
        return it.get("code_url") or it["alipay_trade_precreate_response"]["qr_code"]

    @both
    def test_row_20_a_code_whose_answer_is_lost_is_asked_for_under_the_same_number(self, channel):
        before, refunded = len(self.proxy.asked("create")), self.till.ledger()["refunded"]
        self.proxy.on("create", unheard, times=3)
        sku = self.till.sku()
        placed, _ = at_once(lambda: self.till.place(sku, 2, channel=channel), lambda: self.settle_until_asked(before + 4))
        order = self.till.until(placed["id"], "awaiting_payment")
        asked = self.proxy.asked("create")[before:]
        self.assertEqual((len(asked), {c.number for c in asked}), (4, {order["payment"]["out_trade_no"]}))
        self.assertEqual(len(self.till.good("GET", f"/v1/orders/{order['id']}/payments")["data"]), 1)
        self.till.scan_and_pay(order)
        self.till.until(order["id"], "paid")
        self.assertEqual(self.till.ledger()["refunded"], refunded)
        self.assert_stock(sku, 8, 0, 2)
        self.assert_books_balance()

    def settle_until_asked(self, n):
        def probe():
            self.till.advance("5s", settled=False)
            return len(self.proxy.asked("create")) >= n
        wait_for(probe, 5, "asking again")

    def late_packet(self, channel):
        """A request for a code is on a long way when its order is cancelled."""
        late, sku = self.proxy.on("create", Late()), self.till.sku()

        def buyer():
            self.assertTrue(late.came.wait(5))
            listed = self.till.good("GET", "/v1/orders?limit=1")["data"][0]
            self.assertEqual(listed["state"], "placed")
            self.cancel(listed)
            return listed

        _, order = at_once(lambda: self.till.place(sku, 2, channel=channel), buyer)
        return sku, order, late

    @both
    def test_row_21_a_request_that_arrives_while_closing_is_watched(self, channel):
        sku, order, late = self.late_packet(channel)
        self.till.advance("1m")
        self.assertEqual(self.state(order), "closing", "there may be a code by and by")
        self.assert_stock(sku, 8, 2, 0)
        self.assertEqual(late.deliver().status, 200)
        self.settle("10m")
        self.assertEqual(self.state(order), "cancelled")
        self.assert_stock(sku, 10, 0, 0)
        self.assert_lived_well(order["id"])
        self.assert_books_balance()

    @both
    def test_row_21_a_request_that_arrives_after_the_end_brings_nobody_s_money(self, channel):
        sku, order, late = self.late_packet(channel)
        self.settle("10m")
        self.assertEqual(self.state(order), "cancelled")
        self.assert_stock(sku, 10, 0, 0)
        before = self.till.ledger()["captured"]
        answer = late.deliver()
        code = self.code_in(answer) if answer.status == 200 and b"qr_code" in answer.body else None
        if code:
            self.problem(self.till.pay(code), 409, "not_payable")
        else:
            self.assertTrue(answer.status >= 400 or b"40004" in answer.body, "its end is sent along, and is over")
        self.settle("10m")
        self.assertEqual((self.state(order), self.till.ledger()["captured"]), ("cancelled", before))
        self.assert_stock(sku, 10, 0, 0)


class LateMoney(FaultCase):
    FLAGS = ("--order.release", "deadline")

    @both
    def test_row_05_a_capture_on_a_closed_order_is_refunded_once(self, channel):
        sku, order, number = self.new(channel, stock=2, pay_within=5)
        self.till.faults(gateway={"unavailable": True})
        self.till.advance("8s", settled=False)
        self.assertEqual(self.state(order), "cancelled")
        self.till.no_faults()
        other = self.till.place(sku, 2, channel=channel)  # the very units, to another
        self.till.scan_and_pay(other)
        self.till.until(other["id"], "paid")
        before, kept = self.till.ledger()["refunded"], []
        notices = self.proxy.on("notify", lambda call, deliver: kept.append(deliver) or deliver(), number=None)
        self.till.scan_and_pay(order)
        self.until_refunded(order, [200])
        self.assertTrue(kept)
        for answer in at_once(*[kept[0]] * 5):
            self.assertIn(answer.status, (200, 204))
        self.settle("1h")
        types = self.types(order)
        self.assertEqual((types.count("payment.late"), types.count("refund.succeeded"), types.count("order.paid")), (1, 1, 0))
        self.assertEqual((self.state(order), self.state(other)), ("cancelled", "paid"))
        self.assertEqual(self.till.ledger()["refunded"], before + 200)
        self.assertEqual({c.refund_number for c in self.proxy.asked("refund", number)}, {self.proxy.asked("refund", number)[0].refund_number})
        self.assert_stock(sku, 0, 0, 2)
        self.assert_lived_well(order["id"])
        self.assert_books_balance()


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""The fault catalogue, rows 27 to 31: money on its way back (the table is in test_faults.py)."""
import json
import unittest

from harness import at_once, name, wait_for
from proxy import FaultCase, Gate, both, lost, unheard
from provider import providers


class RefundCase(FaultCase):
    def bought(self, channel, **more):
        """An order that is paid, and what has gone back at the provider so far."""
        sku, order, number = self.new(channel, **more)
        self.till.scan_and_pay(order)
        self.till.until(order["id"], "paid")
        return sku, order, number, self.till.ledger()["refunded"]

    def bought_beside_another_code(self):
        """Paid with Alipay, while WeChat's code stays payable, because closing it is lost on the way. A function that pays it."""
        sku, order, number = self.new("alipay")
        other = self.till.good("POST", f"/v1/orders/{order['id']}/payments", {"channel": "wechatpay"}, (201,))
        self.proxy.on("close", lost, number=other["out_trade_no"])
        self.till.scan_and_pay(order)
        self.till.until(order["id"], "paid")
        return sku, order, other["out_trade_no"], lambda: self.till.wallet("POST", "/wallet/pay", {"code": other["qr_code"], "wallet": "wechatpay"})

    def bought_twice(self):
        """Its second capture has to go back."""
        sku, order, number, pay = self.bought_beside_another_code()
        before = self.till.ledger()["refunded"]
        self.assertEqual(pay().status, 200)
        wait_for(lambda: self.till.refunds(order["id"]), 5, "the refund of the second capture")
        self.proxy.calm()
        return sku, order, number, before

    def back(self, before):
        """What has gone back since."""
        return self.till.ledger()["refunded"] - before

    def numbers(self, number):
        """The refund numbers that were offered for a trade, each once, oldest first."""
        return list(dict.fromkeys(c.refund_number for c in self.proxy.asked("refund", number)))

    def shown(self, order):
        return [(r["amount"], r["state"], r["cause"]) for r in self.till.refunds(order["id"])]


class Refunds(RefundCase):
    @both
    def test_row_27_a_refund_whose_answer_is_lost_is_paid_out_once(self, channel):
        for what, fate in (("its answer is lost", unheard), ("it never arrives", lost)):
            with self.subTest(what):
                sku, order, number, before = self.bought(channel)
                self.proxy.on("refund", fate, times=3)
                self.proxy.on("refund_query", unheard, times=2)
                self.assertEqual(self.refund(order, amount=150).status, 201)
                wait_for(lambda: self.proxy.asked("refund", number), 5, "the refund")
                self.settle("5m")
                self.until_refunded(order, [150])
                self.assertEqual((len(self.proxy.asked("refund", number)), len(self.numbers(number))), (4, 1), "again, under its number")
                self.settle("3h")
                self.assertEqual(self.back(before), 150)
                self.assertEqual(self.till.order(order["id"])["refunded_amount"], 150)
                self.assertEqual(self.types(order).count("refund.succeeded"), 1)
                self.assert_stock(sku, 8, 0, 2)
                self.assert_lived_well(order["id"])
        self.assert_books_balance()

    def test_row_28_a_refund_closed_after_a_week_goes_on_under_another_number(self):
        self.till.faults(refund={"wechatpay": "processing"})
        _, order, number, before = self.bought_twice()
        self.settle("7d")
        self.assertEqual(self.shown(order), [(200, "pending", "duplicate")])
        self.assertEqual(len(self.numbers(number)), 1, "no other number while this one may yet pay out")
        self.till.faults(refund={"wechatpay": "closed"})
        self.settle("2h", times=1)
        rows = self.till.refunds(order["id"])
        self.assertEqual({r["state"] for r in rows[1:]}, {"failed"})
        self.assertEqual(rows[0]["state"], "pending")
        self.assertEqual([r["replaces"] for r in rows[:-1]], [r["id"] for r in rows[1:]], "each one after the one it replaces")
        self.assertEqual(self.back(before), 0)
        self.till.no_faults()
        self.settle("2h")
        rows = self.till.refunds(order["id"])
        self.assertEqual((rows[0]["state"], {r["state"] for r in rows[1:]}), ("succeeded", {"failed"}))
        self.assertEqual(len(self.numbers(number)), len(rows), "one number each")
        self.assertEqual(self.back(before), 200)
        self.assert_lived_well(order["id"])
        self.assert_books_balance()

    def test_row_28_a_merchant_s_refund_that_ends_closed_has_failed_and_can_be_asked_for_again(self):
        self.till.faults(refund={"wechatpay": "closed"})
        _, order, number, before = self.bought("wechatpay")
        self.assertEqual(self.refund(order).status, 201)
        self.settle("10m")
        self.assertEqual(self.shown(order), [(200, "failed", "merchant")])
        self.settle("3h")
        self.assertEqual((len(self.numbers(number)), self.back(before)), (1, 0), "whether again is his to say")
        self.till.no_faults()
        self.assertEqual(self.refund(order).status, 201)
        self.settle("10m")
        self.assertEqual(self.shown(order), [(200, "succeeded", "merchant"), (200, "failed", "merchant")])
        self.assertEqual((len(self.numbers(number)), self.back(before)), (2, 200))
        self.assert_books_balance()

    @both
    def test_row_30_killed_between_a_refund_and_its_record(self, channel):
        for before_it_arrives in (False, True):
            with self.subTest(before_it_arrives=before_it_arrives):
                sku, order, number, before = self.bought(channel)
                gate = self.proxy.on("refund", Gate(before_it_arrives), times=1, number=number)
                self.assertEqual(self.refund(order, amount=150).status, 201)
                gate.wait()
                self.till.kill()
                self.till.restart()
                if before_it_arrives:
                    self.settle("5m")
                gate.open()  # what was on its way arrives after all, or its answer finds nobody
                self.settle("5m")
                self.until_refunded(order, [150])
                asked = self.proxy.asked("refund", number)
                self.assertGreaterEqual(len(asked), 2, "it is asked again")
                self.assertEqual(len(self.numbers(number)), 1)
                wait_for(lambda: all(c.answer for c in asked), 5, "the late one's answer")
                self.assertEqual(self.back(before), 150)
                self.assert_stock(sku, 8, 0, 2)
                self.assert_lived_well(order["id"])
        self.assert_books_balance()

    def test_row_31_a_merchant_s_refunds_race_the_system_s(self):
        for _ in range(4):
            sku, order, _, pay = self.bought_beside_another_code()
            before = self.till.ledger()["refunded"]
            answers = at_once(pay, *[lambda: self.refund(order, amount=120)] * 4)
            self.assertEqual(sorted(a.status for a in answers), [200, 201, 409, 409, 409], answers)
            self.settle("1m")
            self.until_refunded(order, [120, 200])
            self.assertEqual(sorted(self.shown(order)), [(120, "succeeded", "merchant"), (200, "succeeded", "duplicate")])
            self.assertEqual((self.back(before), self.till.order(order["id"])["refunded_amount"]), (320, 120))
            self.assert_stock(sku, 8, 0, 2)
            self.assert_lived_well(order["id"])
        self.assert_books_balance()


class Stuck(RefundCase):
    """What is stuck at the provider stays so: not beside others."""

    def test_row_29_an_abnormal_refund_waits_for_a_person_and_is_not_counted(self):
        self.till.faults(refund={"wechatpay": "abnormal"})
        _, merchant_s, number, before = self.bought("wechatpay")
        self.assertEqual(self.refund(merchant_s, amount=150).status, 201)
        _, system_s, second, _ = self.bought_twice()
        self.settle("3d")
        for order, amount in ((merchant_s, 150), (system_s, 200)):
            (row,) = self.till.refunds(order["id"])
            self.assertEqual((row["amount"], row["state"], row.get("abnormal")), (amount, "pending", True))
            self.assertEqual(self.till.order(order["id"])["refunded_amount"], 0)
            self.assertNotIn("refund.succeeded", self.types(order))
        self.problem(self.refund(merchant_s, amount=51), 409, "refund_exceeds_paid")
        self.assertEqual((len(self.numbers(number)), len(self.numbers(second)), self.back(before)), (1, 1, 0), "no other number: it is not over")
        lines = {l["name"]: (l["verdict"], l["pending"]) for l in json.loads(self.till.audit()[1])["lines"]}
        self.assertEqual(lines["money_settled"], ("pending", 1), "what has to go back has not")


class BehindTillsBack(RefundCase):
    def test_row_31_a_merchant_s_refund_races_one_at_the_provider_s_console(self):
        sku, order, number, before = self.bought("alipay")
        gate = self.proxy.on("refund", Gate(before=True), times=1, number=number)
        self.assertEqual(self.refund(order, amount=150).status, 201)
        gate.wait()
        providers(self.till)["alipay"].refund(number, name("console").replace("-", "_"), 200)
        gate.open()
        self.settle("3h")
        self.assertEqual(self.back(before), 200)
        after, rows = self.till.order(order["id"]), self.shown(order)
        self.assertNotIn("pending", {state for _, state, _ in rows})
        self.assertEqual(sum(amount for amount, state, _ in rows if state == "succeeded"), 200, rows)
        self.assertEqual((after["state"], after["refunded_amount"], after["payment"]["state"]), ("paid", 200, "refunded"))
        self.assert_stock(sku, 8, 0, 2)
        self.assert_lived_well(order["id"])


if __name__ == "__main__":
    unittest.main()

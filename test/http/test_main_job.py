# SPDX-License-Identifier: Apache-2.0
"""The main job, as a newcomer tries it: place, scan, pay; leave alone, time out; and money that comes by odd ways."""
import time
import unittest

from harness import Case, instant, read_qr


class TheMainJob(Case):
    def test_an_order_is_placed_scanned_paid_and_sold(self):
        till = self.till
        sku = till.sku(stock=10, price=1999)
        order = till.place(sku, 2)
        self.assertEqual(order["state"], "awaiting_payment")
        self.assertEqual((order["amount"], order["currency"]), (3998, "CNY"))
        code = order["payment"]["qr_code"]
        self.assertTrue(code)
        self.assert_stock(sku, 8, 2, 0)

        picture = till.call("GET", f"/v1/orders/{order['id']}/qr.png")
        self.assertEqual(picture.status, 200)
        self.assertEqual(read_qr(picture.body), code)

        scanned = till.scan(code)
        self.assertEqual(scanned.status, 200, repr(scanned))
        self.assertEqual((scanned.json["channel"], scanned.json["out_trade_no"], scanned.json["amount"]),
                         ("alipay", order["payment"]["out_trade_no"], 3998))
        paid = till.pay(code)
        self.assertEqual(paid.status, 200, repr(paid))
        self.assertEqual(paid.json["state"], "paid")

        order = till.until(order["id"], "paid", 1.0)
        self.assertEqual(order["payment"]["provider_trade_no"], paid.json["provider_trade_no"])
        self.assertEqual((order["payment"]["state"], order["paid_amount"]), ("captured", 3998))
        self.assertIn("paid_at", order)
        self.assertIn("notification", [row["kind"] for row in till.timeline(order["id"])])
        self.assert_stock(sku, 8, 0, 2)
        self.assert_lived_well(order["id"])
        self.assert_audit()

    def test_an_order_left_alone_is_cancelled_and_its_stock_comes_back(self):
        till = self.till
        sku = till.sku(stock=3)
        order = till.place(sku, 3)
        self.assert_stock(sku, 0, 3, 0)
        self.problem(till.call("POST", "/v1/orders", {"items": [{"sku": sku, "quantity": 1}], "channel": "alipay"}),
                     409, "insufficient_stock")
        till.advance("6m")
        order = till.order(order["id"])
        self.assertEqual((order["state"], order.get("reason")), ("cancelled", "timeout"))
        self.assertIn("cancelled_at", order)
        self.assertNotIn("paid_at", order)
        self.assert_stock(sku, 3, 0, 0)
        self.problem(till.pay(order["payment"]["qr_code"]), 409, "not_payable")
        self.assertEqual(till.order(order["id"])["state"], "cancelled")
        self.assert_stock(sku, 3, 0, 0)

        again = till.place(sku, 3)  # what came back can be sold, once
        self.assert_stock(sku, 0, 3, 0)
        till.scan_and_pay(again)
        till.until(again["id"], "paid", 1.0)
        self.assert_stock(sku, 0, 0, 3)
        self.assert_lived_well(order["id"])
        self.assert_lived_well(again["id"])
        self.assert_audit()

    def test_a_scanned_order_that_is_not_paid_is_cancelled_too(self):
        till = self.till
        sku = till.sku(stock=2)
        order = till.place(sku, 2)
        self.assertEqual(till.scan(order["payment"]["qr_code"]).status, 200)
        till.advance("6m")
        order = till.order(order["id"])
        self.assertEqual((order["state"], order.get("reason")), ("cancelled", "timeout"))
        self.assert_stock(sku, 2, 0, 0)
        self.problem(till.pay(order["payment"]["qr_code"]), 409, "not_payable")
        trade = till.wallet("GET", f"/wallet/trades/{order['payment']['out_trade_no']}")
        self.assertEqual(trade.status, 200, repr(trade))
        self.assertNotEqual(trade.json["state"], "paid")
        self.assert_audit()

    def test_a_payment_whose_notification_was_lost_is_found_by_the_check_back(self):
        till = self.till
        sku = till.sku()
        order = till.place(sku, 2)
        till.faults(notify={"drop": 1})
        self.addCleanup(till.no_faults)
        till.scan_and_pay(order)
        time.sleep(0.3)
        self.assertEqual(till.order(order["id"])["state"], "awaiting_payment", "no notification, nothing known yet")
        till.advance("90s")  # first + 2 x interval
        order = till.order(order["id"])
        self.assertEqual((order["state"], order["paid_amount"]), ("paid", 200))
        self.assertIn("checkback", [row["kind"] for row in till.timeline(order["id"])])
        self.assertNotIn("notification", [row["kind"] for row in till.timeline(order["id"])])
        self.assert_stock(sku, 8, 0, 2)
        self.assert_lived_well(order["id"])
        self.assert_audit()

    def test_paid_in_the_last_second_of_the_window_is_paid(self):
        till = self.till
        sku = till.sku()
        order = till.place(sku, 2)
        till.advance("299s")
        self.assertEqual(till.order(order["id"])["state"], "awaiting_payment")
        paid = till.scan(order["payment"]["qr_code"]), till.pay(order["payment"]["qr_code"])
        till.advance("6m")
        after = till.order(order["id"])
        if paid[1].status == 200:
            self.assertEqual((after["state"], after["paid_amount"]), ("paid", 200))
            self.assert_stock(sku, 8, 0, 2)
        else:
            self.assertEqual(after["state"], "cancelled")
            self.assert_stock(sku, 10, 0, 0)
        self.assert_lived_well(order["id"])
        self.assert_audit()


class PayWithin(Case):
    FLAGS = ("--pay-within", "2m")

    def test_the_window_may_be_given_when_the_server_is_started(self):
        order = self.till.place(self.till.sku())
        self.assertAlmostEqual(instant(order["expires_at"]) - instant(order["created_at"]), 120, delta=0.002)


if __name__ == "__main__":
    unittest.main()

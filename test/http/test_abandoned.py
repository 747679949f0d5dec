# SPDX-License-Identifier: Apache-2.0
"""Most orders are never paid. One whose buyer never said with which wallet costs no provider anything, from its placing to its end."""
import unittest

from harness import Case, at_once

ORDERS = 200
POLICIES = ("delay", "poll", "reverse", "forward")


class AbandonedCase(Case):
    def place_all(self, channel="any"):
        """Half of them are cancelled by hand, by the buyer or the merchant, and the others forgotten."""
        sku = self.till.sku(stock=ORDERS)
        ids = []

        def some(n):
            for i in range(n, ORDERS, 8):
                order = self.till.place(sku, 1, channel=channel, policy=POLICIES[i // 8 % 4])
                ids.append(order["id"])
                if i // 32 % 2:
                    gone = self.till.good("POST", f"/v1/orders/{order['id']}/cancel", {"reason": ("buyer", "merchant")[i // 64 % 2]}, (200,))
                    self.assertEqual(gone["state"], "cancelled", "there is nobody to wait for")

        at_once(*[lambda n=n: some(n) for n in range(8)])
        return sku, ids

    def calls_of(self, order_id):
        return [r for r in self.till.timeline(order_id) if r["kind"] == "provider"]


class Abandoned(AbandonedCase):
    def test_nobody_is_asked_about_an_order_for_any_wallet_that_nobody_scans(self):
        sku, ids = self.place_all()
        held = self.till.stock(sku)[1]
        self.assertTrue(0 < held < ORDERS, held)
        self.till.advance("4m")
        self.assert_stock(sku, ORDERS - held, held, 0)
        self.till.advance("1m")
        self.assert_stock(sku, ORDERS, 0, 0)
        self.till.advance("25m")  # the sweep comes by, and whatever was to be asked later
        reasons = {"timeout": 0, "buyer": 0, "merchant": 0}
        for order in self.till.all("/v1/orders"):
            self.assertEqual((order["state"], order["paid_amount"]), ("cancelled", 0))
            self.assertNotIn("payment", order)
            reasons[order["reason"]] += 1
        self.assertEqual(reasons["timeout"], held)
        self.assertTrue(all(reasons.values()), reasons)
        self.assertEqual(sum(self.till.ledger()["calls"].values()), 0)
        for order_id in ids:
            self.assertEqual(self.calls_of(order_id), [])
        for order_id in ids[::10]:
            self.assert_lived_well(order_id)
        calls = {k: v for k, v in self.till.metrics().items() if k.startswith(("till_channel_calls_total", "till_channel_not_sent_total"))}
        self.assertTrue(calls)
        self.assertEqual(sum(calls.values()), 0, calls)
        self.assert_audit()
        self.one_with_a_code_is_seen_in_the_same_counters()

    def one_with_a_code_is_seen_in_the_same_counters(self):
        """So that nothing above is a counter that stands still."""
        order = self.till.place(self.till.sku(), 1, channel="alipay")
        self.till.advance("7m")
        self.assertEqual(self.till.order(order["id"])["state"], "cancelled")
        calls = self.calls_of(order["id"])
        self.assertGreater(len(calls), 1)
        self.assertEqual(self.till.ledger()["calls"], {"alipay": len(calls), "wechatpay": 0})


class AskedAtEachCheckBack(Abandoned):
    FLAGS = ("--checkback.schedule", "fixed", "--checkback.first", "30s", "--checkback.interval", "30s")


if __name__ == "__main__":
    unittest.main()

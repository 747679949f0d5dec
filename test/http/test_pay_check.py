# SPDX-License-Identifier: Apache-2.0
"""The buyer's "I have paid": the provider is asked at once, and what comes back is only what a buyer may see."""
from harness import Case


class PayCheck(Case):
    def queries(self, order):
        return [t for t in self.till.timeline(order["id"]) if t["kind"] == "provider" and t["method"] == "query"]

    def lost_payment(self):
        self.till.faults(notify={"drop": 1})
        self.addCleanup(self.till.no_faults)
        order = self.till.place(self.till.sku(), 1)
        self.till.scan_and_pay(order)
        return order

    def test_it_finds_a_payment_whose_notification_was_lost(self):
        order = self.lost_payment()
        self.assertEqual(self.till.order(order["id"])["state"], "awaiting_payment")
        answer = self.till.call("POST", f"/pay/{order['id']}/check")
        self.assertEqual((answer.status, answer.json["state"]), (200, "paid"), repr(answer))
        self.assertEqual(self.till.order(order["id"])["state"], "paid")

    def test_it_shows_only_what_a_buyer_may_see(self):
        order = self.till.place(self.till.sku(), 1, buyer="somebody")
        answer = self.till.call("POST", f"/pay/{order['id']}/check")
        self.assertEqual(answer.json.keys(), self.till.call("GET", f"/pay/{order['id']}/state").json.keys())

    def test_said_again_and_again_it_asks_the_provider_once(self):
        order = self.till.place(self.till.sku(), 1)
        for _ in range(20):
            self.assertEqual(self.till.call("POST", f"/pay/{order['id']}/check").status, 200)
        self.assertEqual(len(self.queries(order)), 1)

    def test_it_is_a_post_about_an_order_of_ours(self):
        order = self.till.place(self.till.sku(), 1)
        self.problem(self.till.call("GET", f"/pay/{order['id']}/check"), 405)
        self.problem(self.till.call("POST", "/pay/ord_nobody/check"), 404)

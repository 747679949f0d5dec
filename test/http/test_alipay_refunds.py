# SPDX-License-Identifier: Apache-2.0
"""Refunds at an Alipay that says too little: what became of the money is for the refund query to say, and whatever was
answered, it goes back once."""
import unittest

from harness import Case, wait_for


class Refunds(Case):
    def setUp(self):
        super().setUp()
        self.addCleanup(self.till.no_faults)
        self.another_order()

    def another_order(self):
        self.till.no_faults()
        self.order = self.till.place(self.till.sku(price=100))
        self.till.scan_and_pay(self.order)
        self.till.until(self.order["id"], "paid")
        self.before = self.till.ledger()

    def refund(self, how="success", **faults):
        self.till.faults(refund={"alipay": how}, **faults)
        return self.till.good("POST", f"/v1/orders/{self.order['id']}/refunds", {"amount": 30}, (201,))["id"]

    def is_moved(self):
        return self.till.ledger()["refunds"] > self.before["refunds"]

    def state(self, refund):
        return next(r["state"] for r in self.till.refunds(self.order["id"]) if r["id"] == refund)

    def asked(self, method):
        return [(row["outcome"], row.get("detail")) for row in self.till.timeline(self.order["id"])
                if row["kind"] == "provider" and row.get("method") == method]

    def assert_moved(self, fen, refunds):
        after = self.till.ledger()
        self.assertEqual((after["refunded"] - self.before["refunded"], after["refunds"] - self.before["refunds"]), (fen, refunds))
        self.assertEqual(self.till.order(self.order["id"])["refunded_amount"], fen)

    def test_a_refund_that_moved_nothing_by_this_call_is_asked_about(self):
        refund = self.refund("fund_change_n")
        wait_for(lambda: self.asked("refund"), 5, "the call")
        self.assertEqual(self.state(refund), "pending", "N is neither done nor failed")
        self.till.advance("15s")
        self.assertEqual(self.state(refund), "succeeded")
        self.assertEqual((len(self.asked("refund")), len(self.asked("refund_query"))), (1, 1))
        self.assert_moved(30, 1)
        self.assert_audit()

    def test_an_early_empty_answer_is_no_failure(self):
        refund = self.refund("late")
        wait_for(lambda: self.asked("refund"), 5, "the call")
        self.till.advance("11s")
        self.assertEqual((self.state(refund), len(self.asked("refund_query"))), ("pending", 1))
        self.assert_moved(0, 0)
        self.till.advance("2m")
        self.assertEqual(self.state(refund), "succeeded")
        self.assertEqual(len(self.asked("refund")), 1, "it was not asked for again")
        self.assert_moved(30, 1)
        self.assert_audit()

    def test_a_lost_refund_is_asked_for_again_under_its_number(self):
        refund = self.refund("lost")
        wait_for(lambda: self.asked("refund"), 5, "the call")
        self.till.advance("30s")
        self.assertEqual(self.state(refund), "pending")
        self.till.no_faults()
        self.till.advance("10m")
        self.assertEqual(self.state(refund), "succeeded")
        self.assertGreaterEqual(len(self.asked("refund")), 2)
        self.assert_moved(30, 1)
        self.assert_audit()

    def settle_unknown(self, faults, seed, limit_s):
        """A refund whose answer said nothing, to its end. Returns whether the money had gone back by then."""
        refund = self.refund(gateway=faults, seed=seed)
        wait_for(lambda: self.asked("refund"), limit_s, "the end of the call")
        self.assertEqual([outcome for outcome, _ in self.asked("refund")], ["unknown"])
        self.assertEqual(self.state(refund), "pending", "unknown is not failed")
        moved = self.is_moved()
        self.till.no_faults()
        self.till.advance("2m")
        self.assertEqual(self.state(refund), "succeeded")
        # Sent again under its number, which is how it is known to have gone; what it did before, only the query tells.
        self.assertEqual(len(self.asked("refund")), 2)
        self.assertEqual(bool(self.asked("refund_query")), moved)
        self.assert_moved(30, 1)
        return moved

    def test_a_system_error_says_nothing_of_the_money(self):
        seen = set()
        for seed in range(20):
            seen.add(self.settle_unknown({"error": 1}, seed, 5))
            if len(seen) == 2:
                break
            self.another_order()
        self.assertEqual(seen, {True, False}, "refunds that had been made, and some that had not")
        self.assert_audit()

    def test_an_answer_that_never_came_says_nothing_of_the_money(self):
        self.settle_unknown({"timeout": 1}, 1, 10)
        self.assert_audit()


if __name__ == "__main__":
    unittest.main()

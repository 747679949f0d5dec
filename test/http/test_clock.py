# SPDX-License-Identifier: Apache-2.0
"""The test clock: it moves Till's time and its sandbox's together, visits what is due in order, and outlives kill -9."""
import time
import unittest

from harness import Case, Till, at_once, instant


class Clock(Case):
    def test_time_moves_as_far_as_it_is_told(self):
        for text, seconds in (("5m", 300), ("90s", 90), ("2h", 7200), ("1500ms", 1.5)):
            with self.subTest(text):
                before = self.till.now()
                answer = self.till.advance(text)
                self.assertAlmostEqual(instant(answer["now"]) - before, seconds, delta=1.0)
                self.assertAlmostEqual(self.till.now() - before, seconds, delta=1.0)

    def test_real_time_goes_on_from_there(self):
        self.till.advance("10m")
        before = self.till.now()
        time.sleep(0.5)
        self.assertAlmostEqual(self.till.now() - before, 0.5, delta=0.25)

    def test_new_orders_live_in_the_new_time(self):
        self.till.advance("3h")
        order = self.till.place(self.till.sku())
        self.assertAlmostEqual(instant(order["created_at"]), self.till.now(), delta=1.0)
        scanned = self.till.scan(order["payment"]["qr_code"])
        self.assertEqual(scanned.status, 200, "the sandbox lives in the same time")
        self.till.scan_and_pay(order)
        paid = self.till.until(order["id"], "paid", 1.0)
        self.assertAlmostEqual(instant(paid["paid_at"]), self.till.now(), delta=1.5)

    def test_each_due_instant_is_visited_in_order(self):
        sku = self.till.sku()
        late = self.till.place(sku, 1, channel="any", pay_within=120)
        soon = self.till.place(sku, 1, channel="any", pay_within=60)
        self.till.advance("1h")
        late, soon = self.till.order(late["id"]), self.till.order(soon["id"])
        for order, window in ((late, 120), (soon, 60)):
            self.assertAlmostEqual(instant(order["cancelled_at"]) - instant(order["created_at"]), window, delta=6)
        mine = [(e["type"], e["order"]) for e in self.till.events() if e["order"] in (late["id"], soon["id"])]
        self.assertLess(mine.index(("order.cancelled", soon["id"])), mine.index(("order.cancelled", late["id"])))

    def test_a_window_ends_at_its_end_not_before(self):
        order = self.till.place(self.till.sku(), 1, channel="any", pay_within=600)
        self.till.advance("590s")
        self.assertEqual(self.till.order(order["id"])["state"], "awaiting_payment")
        self.till.advance("11s")
        self.assertEqual(self.till.order(order["id"])["state"], "cancelled")

    def test_a_window_ends_in_real_time_too(self):
        order = self.till.place(self.till.sku(), 1, channel="any", pay_within=1)
        self.assertEqual(order["state"], "awaiting_payment")
        self.till.until(order["id"], "cancelled", 3.0)

    def test_many_windows_end_together(self):
        sku = self.till.sku(stock=300)

        def place():
            return [self.till.place(sku, 1, channel="any")["id"] for _ in range(50)]

        ids = sum(at_once(*[place] * 6), [])
        self.assert_stock(sku, 0, 300, 0)
        self.till.advance("6m")
        self.assertEqual({self.till.order(i)["state"] for i in ids}, {"cancelled"})
        self.assert_stock(sku, 300, 0, 0)
        self.assertEqual(self.till.metrics().get("till_deadlines_unaccounted"), 0)

    def test_what_is_no_duration_is_refused_and_moves_nothing(self):
        before = self.till.now()
        for advance in ("", "x", "-5m", "5", "5 m", "5x", "1.5m", "m", "99999999999999999999s", "9999999d", 5, None, True, [], {}):
            with self.subTest(advance):
                self.problem(self.till.call("POST", "/dev/clock", {"advance": advance}), (400, 422))
        for body in ({}, {"advance": "1s", "back": "1s"}, {"set": "2030-01-01T00:00:00.000Z"}):
            with self.subTest(body):
                self.problem(self.till.call("POST", "/dev/clock", body), (400, 422))
        self.assertLess(self.till.now() - before, 5)

    def test_two_who_move_the_clock_at_once_never_move_it_back(self):
        before = self.till.now()
        answers = at_once(*[lambda: self.till.call("POST", "/dev/clock", {"advance": "1m"})] * 4)
        moved = [a for a in answers if a.status == 200]
        self.assertTrue(moved)
        for a in answers:
            if a.status != 200:
                self.problem(a, 409)
        self.assertAlmostEqual(self.till.now() - before, 60 * len(moved), delta=2)


class ClockAcrossKill(unittest.TestCase):
    def test_the_offset_and_all_that_is_due_come_back_after_kill_9(self):
        till = Till().start()
        self.addCleanup(till.clean)
        sku = till.sku()
        order = till.place(sku, 2)
        till.advance("4m")
        before = till.now()
        till.kill()
        till.restart()
        self.assertAlmostEqual(till.now(), before, delta=10)
        self.assertEqual(till.order(order["id"])["state"], "awaiting_payment")
        self.assertEqual(till.scan(order["payment"]["qr_code"]).status, 200, "the sandbox knows its code")
        till.advance("2m")
        self.assertEqual(till.order(order["id"])["state"], "cancelled")
        self.assertEqual(till.stock(sku), (10, 0, 0))
        status, out, err = till.audit()
        self.assertEqual(status, 0, out + err)
        self.assertEqual(till.stop()[0], 0)

    def test_a_window_that_ends_while_till_is_dead_ends_after_the_restart(self):
        till = Till().start()
        self.addCleanup(till.clean)
        sku = till.sku()
        order = till.place(sku, 2, channel="any", pay_within=2)
        till.kill()
        time.sleep(2.2)
        till.restart()
        till.until(order["id"], "cancelled", 3.0)
        self.assertEqual(till.stock(sku), (10, 0, 0))
        self.assertEqual(till.stop()[0], 0)


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""`till bench policies`: the promise of the adaptive schedule, over the mix that is shipped. Virtual time: exact, not timed."""
import json
import os
import tempfile
import unittest
import xml.etree.ElementTree as xml

from harness import run_till

ORDERS = 2000


def policies(*flags):
    status, out, err = run_till("bench", "policies", *flags, timeout=600)
    assert status == 0, err
    return json.loads(out.splitlines()[-1])


class Policies(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.result = policies("--orders", ORDERS, "--json")
        cls.rows = {(row["policy"], row["schedule"]): row for row in cls.result["rows"]}
        cls.fixed, cls.adaptive = cls.rows["reverse", "fixed"], cls.rows["reverse", "adaptive"]

    def test_all_policies_are_there(self):
        self.assertEqual(set(self.rows), {(p, "fixed") for p in ("delay", "poll", "reverse", "forward")} | {("reverse", "adaptive")})

    def test_every_order_ends_paid_or_cancelled_and_alike_in_every_row(self):
        for row in self.result["rows"]:
            self.assertEqual(row["paid"] + row["cancelled"], ORDERS)
            self.assertEqual((row["paid"], row["lost"]["n"]), (self.fixed["paid"], self.fixed["lost"]["n"]))
        self.assertGreater(self.fixed["lost"]["n"], 30)

    def test_adaptive_asks_at_most_half(self):
        self.assertLessEqual(2 * self.adaptive["queries"], self.fixed["queries"])
        self.assertEqual(self.result["adaptive_to_fixed"]["queries"], round(self.adaptive["queries"] / self.fixed["queries"], 4))

    def test_adaptive_notices_no_later_on_average(self):
        self.assertLessEqual(self.adaptive["lost"]["mean_ms"], self.fixed["lost"]["mean_ms"])

    def test_adaptive_notices_within_two_intervals_and_always_within_what_is_promised(self):
        first, interval = self.result["first_ms"], self.result["interval_ms"]
        self.assertEqual((first, interval), (30000, 30000))
        self.assertLessEqual(self.adaptive["lost"]["p99_ms"], 2 * interval)
        self.assertLessEqual(self.adaptive["lost"]["max_ms"], first + 2 * interval)

    def test_delay_asks_nothing_while_it_waits(self):
        row = self.rows["delay", "fixed"]
        self.assertEqual((row["checkbacks"], row["bytes_per_pending_order_hour"]), (0, 0))
        self.assertGreater(self.fixed["bytes_per_pending_order_hour"], 2 * self.adaptive["bytes_per_pending_order_hour"])


class Command(unittest.TestCase):
    FEW = ("--orders", 40, "--lost", 50, "--window", "5m")

    def test_the_same_seed_gives_the_same_bytes_another_another(self):
        first, again = policies(*self.FEW), policies(*self.FEW)
        self.assertEqual(first, again)
        self.assertNotEqual(first["rows"], policies(*self.FEW, "--seed", 2)["rows"])

    def test_the_promise_holds_for_late_payments_and_short_windows(self):
        for window in ("1m", "10m"):
            result = policies("--orders", 60, "--lost", 100, "--late", 30, "--window", window)
            adaptive = result["rows"][-1]
            self.assertLessEqual(adaptive["lost"]["max_ms"], 90000, window)

    def test_it_is_drawn_and_said_in_a_table(self):
        with tempfile.TemporaryDirectory() as folder:
            svg = os.path.join(folder, "policies.svg")
            status, out, err = run_till("bench", "policies", *self.FEW, "--svg", svg, timeout=120)
            self.assertEqual((status, err), (0, ""))
            self.assertRegex(out, r"(?m)^\| reverse +\| adaptive +\|")
            self.assertTrue(xml.parse(svg).getroot().tag.endswith("svg"))

    def test_nothing_paid_and_everything_paid_are_mixes_too(self):
        for pay, paid in ((0, 0), (100, 20)):
            row = policies("--orders", 20, "--pay", pay, "--late", 0, "--window", "5m")["rows"][0]
            self.assertEqual(row["paid"], paid)

    def test_wrong_flags_are_refused(self):
        for flags in (("--pay", 101), ("--orders", 0), ("--window", "0s"), ("--bogus",), ("extra",), ("--svg",)):
            status, out, err = run_till("bench", "policies", *flags)
            self.assertEqual((status, out), (2, ""))
            self.assertTrue(err.strip())

    def test_a_picture_that_cannot_be_written_is_a_failure(self):
        status, _, err = run_till("bench", "policies", *self.FEW, "--svg", "/nowhere/policies.svg", timeout=120)
        self.assertEqual(status, 1)
        self.assertIn("/nowhere/policies.svg", err)


if __name__ == "__main__":
    unittest.main()

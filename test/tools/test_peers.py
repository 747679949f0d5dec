# SPDX-License-Identifier: Apache-2.0
"""What bench/peers makes of its measurements: figures, ratios, rows. No peer is started here."""
import os
import subprocess
import sys
import unittest

PEERS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "bench", "peers")
sys.path.insert(0, PEERS)
import figures  # noqa: E402


def row(key, per_second, memory, **more):
    expire = {"done": 10, "scheduled": 10, "per_second": per_second, "p50_ms": 1, "p99_ms": 2, "max_ms": 3}
    return {"key": key, "title": key, "durability": "disk", "own": key == "till", "schedules_per_second": 5.0, "restart_s": 0.5,
            "memory_bytes_each": memory, "restarted_memory_bytes_each": memory, "disk_bytes_each": 7.0, "expire": expire, **more}


class Figures(unittest.TestCase):
    def test_a_quantile_is_the_value_a_share_does_not_exceed(self):
        self.assertEqual([figures.quantile(list(range(1, 101)), q) for q in (0, 0.5, 0.99, 1)], [1, 50, 99, 100])
        self.assertEqual(figures.quantile([7], 0.99), 7)
        self.assertRaises(ValueError, figures.quantile, [], 0.5)

    def test_the_rate_goes_from_the_instant_to_the_last_arrival(self):
        got = figures.arrivals([1400, 1100, 1200, 2000], 1000, 4)
        self.assertEqual((got["per_second"], got["max_ms"], got["p50_ms"], got["early"]), (4.0, 1000, 200, 0))

    def test_what_somebody_outside_saw_later_counts(self):
        self.assertEqual(figures.arrivals([1100, 1200], 1000, 2, complete_ms=3000)["per_second"], 1.0)

    def test_a_run_cut_off_counts_what_was_done(self):
        got = figures.arrivals([2000], 1000, 50)
        self.assertEqual((got["done"], got["scheduled"], got["per_second"]), (1, 50, 1.0))
        self.assertEqual(figures.arrivals([], 1000, 50)["per_second"], 0.0)

    def test_what_came_before_its_instant_is_counted(self):
        self.assertEqual(figures.arrivals([900, 1100], 1000, 2)["early"], 1)

    def test_no_ratio_without_both(self):
        self.assertEqual(figures.ratio(6, 2), 3)
        for ours, theirs in ((None, 2), (2, None), (2, 0), (2, -1), (-2, 1)):
            self.assertIsNone(figures.ratio(ours, theirs))

    def test_the_middle_of_rounds_leaves_out_the_skipped(self):
        got = figures.middle([row("till", 10, 100), {"skipped": "why"}, row("till", 30, 50), row("till", 20, 75)])
        self.assertEqual((got["expire"]["per_second"], got["memory_bytes_each"], got["own"]), (20, 75, True))
        self.assertEqual(figures.middle([{"skipped": "why"}]), {"skipped": "why"})

    def test_a_skipped_peer_says_so_in_its_row(self):
        self.assertIn("**skipped: no such thing**", figures.table([{"title": "x", "skipped": "no such thing"}], None))

    def test_a_run_cut_off_says_so_in_its_row(self):
        cut = row("slow", 0.5, 10)
        cut["expire"].update(done=3)
        self.assertIn("cut off at 3 of 10: ≥", figures.table([cut], None))

    def test_every_row_has_the_cells_of_the_head(self):
        till = row("till", 100, 10)
        lines = figures.table([till, row("peer", 10, 1000), {"title": "x", "skipped": "y"}], till).splitlines()
        self.assertEqual({line.count("|") for line in lines}, {lines[0].count("|")})
        self.assertIn("| 10 × |", lines[3])
        self.assertIn("| 100 × |", lines[3])

    def test_the_goal_is_reached_or_missed_for_each_peer(self):
        till = row("till", 100, 10)
        self.assertEqual(figures.goal([till, row("a", 10, 1000), row("b", 50, 20), {"skipped": "y"}], till),
                         ["a: expirations/s 10 × (reached), memory 1/100 (reached)", "b: expirations/s 2.00 × (missed), memory 1/2 (missed)"])
        self.assertEqual(len(figures.goal([], None)), 1)


class Driver(unittest.TestCase):
    def run_peers(self, *args):
        return subprocess.run([sys.executable, os.path.join(PEERS, "peers.py"), *args], capture_output=True, text=True, check=False)

    def test_it_names_its_peers(self):
        done = self.run_peers("--list")
        self.assertEqual(done.returncode, 0)
        self.assertIn("till ", done.stdout)

    def test_a_name_it_does_not_know_is_refused(self):
        done = self.run_peers("--only", "nothing-like-it")
        self.assertEqual(done.returncode, 1)
        self.assertIn("nothing-like-it", done.stderr)


if __name__ == "__main__":
    unittest.main()

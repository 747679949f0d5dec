# SPDX-License-Identifier: Apache-2.0
"""`till bench pending`: its figures are the store's, and it leaves nothing behind."""
import json
import os
import tempfile
import unittest

from harness import run_till


class Pending(unittest.TestCase):
    def pending(self, dir, *more):
        status, out, err = run_till("bench", "pending", "--orders", "600", "--idle", "0", "--data", dir, "--json", *more)
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(os.listdir(dir), [])
        return json.loads(out)

    def test_an_order_takes_hundreds_of_bytes_and_a_code_more(self):
        with tempfile.TemporaryDirectory() as dir:
            plain, coded, keyed = (self.pending(dir, *more) for more in ((), ("--channel", "alipay"), ("--keys",)))
        self.assertEqual((plain["bench"], plain["orders"], plain["channel"]), ("pending", 600, "any"))
        self.assertGreater(plain["disk_bytes_per_order"], 200)
        self.assertLess(plain["disk_bytes_per_order"], 1000)
        self.assertGreater(coded["disk_bytes_per_order"], plain["disk_bytes_per_order"])
        self.assertGreater(keyed["disk_bytes_per_order"], plain["disk_bytes_per_order"])
        self.assertEqual((plain["idle_commits"], plain["idle_bytes_written"]), (0, 0))

    def test_what_it_cannot_do_it_says_and_makes_nothing(self):
        with tempfile.TemporaryDirectory() as dir:
            for words, status in ((("pending", "--channel", "cash"), 2), (("pending", "--orders", "0"), 2),
                                  (("pending", "--data", os.path.join(dir, "away")), 1), (("txmsg", "--mode", "loud"), 2),
                                  (("txmsg", "--size", "10"), 2), (("txmsg", "--namesrv", "nonsense"), 1)):
                with self.subTest(words):
                    got, out, err = run_till("bench", *words)
                    self.assertEqual((got, out), (status, ""))
                    self.assertEqual(len(err.splitlines()), 1)
            self.assertEqual(os.listdir(dir), [])


if __name__ == "__main__":
    unittest.main()

# SPDX-License-Identifier: Apache-2.0
"""The harness itself: what is missing is not passed over, and a program that dies is no answer."""
import contextlib
import io
import os
import tempfile
import unittest
import unittest.mock

import sdk


def cannot():
    raise sdk.Unavailable("npm: no registry")


class Need(unittest.TestCase):
    def test_a_missing_sdk_skips_loudly_and_fails_in_ci(self):
        with unittest.mock.patch.dict(os.environ, {"CI": ""}), contextlib.redirect_stderr(io.StringIO()) as said:
            with self.assertRaises(unittest.SkipTest):
                sdk.need(cannot)
        self.assertIn("skipped: no SDK to test against: npm: no registry", said.getvalue())
        with unittest.mock.patch.dict(os.environ, {"CI": "true"}), self.assertRaises(sdk.Unavailable):
            sdk.need(cannot)

    def test_a_failed_fetch_leaves_no_folder(self):
        with tempfile.TemporaryDirectory() as store:
            dir = os.path.join(store, "lib")
            with self.assertRaisesRegex(sdk.Unavailable, "boom"):
                sdk.fetched.make(dir, "1", 10, lambda to: ["sh", "-c", f"touch {to}/half; echo boom; exit 1"])
            self.assertFalse(os.path.exists(dir))
            sdk.fetched.make(dir, "1", 10, lambda to: ["touch", f"{to}/whole"])
            self.assertTrue(sdk.fetched.is_made(dir, "1"))
            self.assertFalse(sdk.fetched.is_made(dir, "2"))


class Sh(sdk.Program):
    def command(self):
        return ["sh", "-c", self.main]


class Programs(unittest.TestCase):
    def test_answers_errors_and_ends_are_told_apart(self):
        with Sh("""read a; echo 'talk'; echo '{"ok":5}'; read a; echo '{"error":{"message":"no"}}'; echo why >&2; read a""") as program:
            self.assertEqual(program.call("x"), 5)
            with self.assertRaisesRegex(sdk.SdkError, "no"):
                program.call("x")
            with self.assertRaisesRegex(AssertionError, "ended with 0: why"):
                program.call("x")

    def test_the_sandbox_comes_up_with_keys_of_its_own_and_ends_well(self):
        with sdk.Sandbox() as a, sdk.Sandbox() as b:
            self.assertNotEqual(a.identity["app_id"], b.identity["app_id"])
            self.assertNotEqual(a.bare("app_private_key.pem"), b.bare("app_private_key.pem"))
            self.assertEqual(a.call("GET", "/wallet/ledger").json["captured"], 0)


if __name__ == "__main__":
    unittest.main()

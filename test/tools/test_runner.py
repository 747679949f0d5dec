# SPDX-License-Identifier: Apache-2.0
"""How tools/test counts: nothing that went wrong may count as passed."""
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import subprocess
import tempfile
import unittest
import unittest.mock

TOOL = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "test"))
loader = importlib.machinery.SourceFileLoader("runner", TOOL)
runner = importlib.util.module_from_spec(importlib.util.spec_from_loader("runner", loader))
loader.exec_module(runner)


class TapTest(unittest.TestCase):
    def count(self, result, stdout):
        return str(runner.count_meson_test({"result": result, "stdout": stdout}))

    def test_cases_are_counted(self):
        self.assertEqual(self.count("OK", "1..2\nok 1 - a\nok 2 - b\n# ok - group\n"), "2 passed, 0 failed")
        self.assertEqual(self.count("FAIL", "1..2\nok 1 - a\nnot ok 2 - b\n# why\n"), "1 passed, 1 failed")
        self.assertEqual(self.count("OK", "1..2\nok 1 - a\nnot ok 2 # SKIP b\n"), "1 passed, 0 failed, 1 skipped")

    def test_two_groups_are_added(self):
        self.assertEqual(self.count("OK", "1..1\nok 1 - a\n1..1\nok 1 - b\n"), "2 passed, 0 failed")

    def test_cases_a_crash_took_along_have_failed(self):
        self.assertEqual(self.count("FAIL", "1..3\nok 1 - a\n"), "1 passed, 2 failed")

    def test_a_failure_after_the_last_case_has_failed(self):
        self.assertEqual(self.count("FAIL", "1..1\nok 1 - a\n"), "1 passed, 1 failed")
        self.assertEqual(self.count("TIMEOUT", "1..1\nok 1 - a\n"), "1 passed, 1 failed")

    def test_a_program_without_cases_has_failed(self):
        self.assertEqual(self.count("OK", "1..0\n"), "0 passed, 1 failed")

    def test_any_other_program_is_one_case(self):
        self.assertEqual(self.count("OK", "fine\n"), "1 passed, 0 failed")
        self.assertEqual(self.count("FAIL", "bad\n"), "0 passed, 1 failed")
        self.assertEqual(self.count("SKIP", ""), "0 passed, 0 failed, 1 skipped")


class SuiteTest(unittest.TestCase):
    """Suites made for this test, run by the runner's own functions."""

    def setUp(self):
        dir = tempfile.TemporaryDirectory()
        self.addCleanup(dir.cleanup)
        self.dir = dir.name

    def quietly(self, function, *args):
        with contextlib.redirect_stdout(io.StringIO()):
            return function(*args)

    def unittests(self, body):
        with open(os.path.join(self.dir, "test_a.py"), "w", encoding="utf-8") as f:
            f.write(body)
        return str(self.quietly(runner.unittests, self.dir))

    def test_unittest_is_counted(self):
        head = "import unittest\nclass T(unittest.TestCase):\n"
        self.assertEqual(self.unittests(head + " def test_a(self): pass\n"), "1 passed, 0 failed")
        self.assertEqual(self.unittests(head + " def test_a(self): pass\n def test_b(self): self.fail()\n"),
                         "1 passed, 1 failed")
        self.assertEqual(self.unittests(head + " def test_a(self): self.skipTest('x')\n def test_b(self): 1 / 0\n"),
                         "0 passed, 1 failed, 1 skipped")
        self.assertEqual(self.unittests("import nothing_of_that_name\n"), "0 passed, 1 failed")

    def test_unittest_that_dies_is_broken(self):
        with self.assertRaises(runner.Broken):
            self.unittests("import os\nos._exit(0)\n")

    def closing(self, script):
        return str(self.quietly(runner.closing_line, ["sh", "-c", script], 20))

    def test_a_closing_line_is_believed_only_with_its_exit_status(self):
        self.assertEqual(self.closing("echo '3 passed, 0 failed'"), "3 passed, 0 failed")
        self.assertEqual(self.closing("echo '3 passed, 1 failed, 2 skipped'; exit 1"), "3 passed, 1 failed, 2 skipped")
        for script in ("echo '3 passed, 0 failed'; exit 1", "echo '3 passed, 1 failed'", "true",
                       "echo '3 passed, 0 failed'; echo more"):
            with self.subTest(script), self.assertRaises(runner.Broken):
                self.closing(script)

    def test_what_takes_too_long_is_ended_with_what_it_started(self):
        mark = os.path.join(self.dir, "mark")
        with self.assertRaises(runner.Broken):
            self.quietly(runner.run, ["sh", "-c", f"(sleep 2; touch {mark}) & sleep 60"], 0.5)
        subprocess.run(["sleep", "2"], check=True)
        self.assertFalse(os.path.exists(mark))

    def test_a_suite_that_runs_nothing_has_failed(self):
        count = self.quietly(runner.run_suite, "x", runner.Count, "tools/test")
        self.assertEqual(str(count), "0 passed, 1 failed")
        count = self.quietly(runner.run_suite, "x", lambda: runner.Count(skipped=5), "tools/test")
        self.assertEqual(count.failed, 1)

    def test_what_cannot_be_had_here_is_skipped_and_in_ci_has_failed(self):
        def suite():
            raise runner.Skipped("no such thing")
        for ci, said in (("", "0 passed, 0 failed, 1 skipped"), ("true", "0 passed, 1 failed")):
            with unittest.mock.patch.dict(os.environ, CI=ci):
                self.assertEqual(str(self.quietly(runner.run_suite, "x", suite, "tools/test")), said)

    def test_a_suite_that_is_not_there_is_told(self):
        count = self.quietly(runner.run_suite, "x", runner.Count, "tools/no-such-file")
        self.assertEqual(str(count), "0 passed, 1 failed")

    def test_an_unknown_suite_is_refused(self):
        self.assertEqual(subprocess.run([TOOL, "no-such-suite"], capture_output=True).returncode, 2)


if __name__ == "__main__":
    unittest.main()

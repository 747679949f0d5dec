# SPDX-License-Identifier: Apache-2.0
"""Compiles small libraries and asks tools/core-is-pure about them."""
import os
import subprocess
import tempfile
import unittest

TOOL = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "core-is-pure"))


class CoreIsPureTest(unittest.TestCase):
    def judge(self, *sources, options=()):
        with tempfile.TemporaryDirectory() as dir:
            for n, source in enumerate(sources):
                with open(os.path.join(dir, f"{n}.c"), "w", encoding="utf-8") as f:
                    f.write(source)
                subprocess.run(["gcc", *options, "-c", f"{n}.c"], cwd=dir, check=True)
            objects = [f"{n}.o" for n in range(len(sources))]
            subprocess.run(["ar", "crT", "lib.a", *objects], cwd=dir, check=True, capture_output=True)
            run = subprocess.run([TOOL, "lib.a"], cwd=dir, capture_output=True, text=True)
            return run.returncode, run.stdout

    def test_pure_code_passes(self):
        pure = ('#include <assert.h>\n#include <string.h>\n'
                'int a(int n, char *p, char *q) { assert(n); memcpy(p, q, n); return memcmp(p, q, n); }')
        self.assertEqual(self.judge(pure), (0, ""))
        for options in ["-fsanitize=address,undefined"], ["-fsanitize=thread"], ["--coverage"]:
            with self.subTest(options):
                self.assertEqual(self.judge(pure, options=options), (0, ""))

    def test_one_object_may_ask_another(self):
        self.assertEqual(self.judge("int b(void); int a(void) { return b(); }", "int b(void) { return 1; }"), (0, ""))

    def test_what_is_foreign_is_named(self):
        for call, header in ("time(0)", "time.h"), ("getenv(\"A\")", "stdlib.h"), ("getpid()", "unistd.h"):
            with self.subTest(call):
                status, out = self.judge(f"#include <{header}>\nlong a(void) {{ return (long){call}; }}", "int b;")
                self.assertEqual(status, 1)
                self.assertIn(f"0.o asks for {call[:call.index('(')]},", out)

    def test_a_library_without_symbols_is_no_core(self):
        self.assertEqual(self.judge("extern int a;")[0], 1)

    def test_no_library_is_no_success(self):
        run = subprocess.run([TOOL, "none.a"], capture_output=True, text=True)
        self.assertEqual(run.returncode, 1)


if __name__ == "__main__":
    unittest.main()

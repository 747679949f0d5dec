# SPDX-License-Identifier: Apache-2.0
"""Plants each violation in a tree of its own and expects tools/lint to name it, there and for that reason."""
import os
import subprocess
import tempfile
import unittest

LINT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "lint")
SPDX = "// SPDX-License-Identifier: Apache-2.0\n"


class LintTest(unittest.TestCase):
    def setUp(self):
        tree = tempfile.TemporaryDirectory()
        self.addCleanup(tree.cleanup)
        self.tree = tree.name
        subprocess.run(["git", "init", "-q", self.tree], check=True)
        self.write(".clang-format", "BasedOnStyle: LLVM\nSortIncludes: Never\n")

    def write(self, file, text):
        path = os.path.join(self.tree, file)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)

    def lint(self, word="check"):
        run = subprocess.run([LINT, word], cwd=self.tree, capture_output=True, text=True)
        return run.returncode, run.stdout.splitlines(), run.stderr

    def expect(self, file, text, *lines):
        """Exactly these lines are reported, each by its beginning, then the closing line."""
        self.write(file, text)
        status, out, err = self.lint()
        self.assertEqual(err, "")
        self.assertEqual(len(out) - 1, len(lines), out)
        for line, said in zip(lines, out):
            self.assertTrue(said.startswith(line), f"{said!r} does not begin with {line!r}")
        self.assertEqual(status, 1 if lines else 0)
        self.assertRegex(out[-1], r"^\d+ passed, [1-9]\d* failed$" if lines else r"^\d+ passed, 0 failed$")

    def test_a_clean_tree_passes(self):
        self.expect("src/core/a.c", SPDX + '#include "core/a.h"\n#include <string.h>\n\nint a(void) { return 1; }\n')

    def test_an_empty_tree_is_no_success(self):
        os.unlink(os.path.join(self.tree, ".clang-format"))
        status, _, err = self.lint()
        self.assertEqual(status, 1)
        self.assertIn("nothing to look at", err)

    def test_outside_git_is_no_success(self):
        with tempfile.TemporaryDirectory() as elsewhere:
            run = subprocess.run([LINT, "check"], cwd=elsewhere, capture_output=True, text=True,
                                 env=dict(os.environ, GIT_CEILING_DIRECTORIES=os.path.dirname(elsewhere)))
        self.assertEqual(run.returncode, 1)
        self.assertNotIn("passed", run.stdout)

    def test_wrong_usage(self):
        self.assertEqual(self.lint("chek")[0], 2)

    def test_an_ignored_file_is_not_looked_at(self):
        self.write(".gitignore", "/build*/\n")
        self.expect("build/a.c", "int  a ;")

    # form

    def test_format(self):
        self.expect("src/base/a.c", SPDX + "int  a(void) { return 1; }\n", "src/base/a.c:2: not as .clang-format")

    def test_a_formatter_that_fails_is_no_success(self):
        self.write(".clang-format", "NoSuchOption: 1\n")
        self.expect("src/base/a.c", SPDX + "int a(void);\n", "src/base/a.c:1: clang-format failed: ")

    def test_white_space_at_the_end(self):
        self.expect("docs/a.md", "one \ntwo\n", "docs/a.md:1: white space")

    def test_tab(self):
        self.expect("a.h", SPDX + '#define A "x\ty"\n', "a.h:2: tab")

    def test_missing_spdx(self):
        self.expect("a.h", "int a(void);\n", "a.h:1: no SPDX")

    def test_missing_spdx_in_a_script(self):
        self.expect("tools/a", "#!/bin/sh\ntrue\n", "tools/a:1: no SPDX")

    def test_too_long(self):
        self.expect("a.h", SPDX + "int a(void);\n" * 899)
        self.expect("a.h", SPDX + "int a(void);\n" * 900, "a.h:901: 901 lines")

    def test_left_over_words(self):
        words = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]
        for word in words:
            with self.subTest(word):
                self.expect("docs/a.md", f"one\n{word}: two\n", f"docs/a.md:2: {word} left over")
        self.expect("docs/a.md", "mkstemp wants XXXXXX, a hackathon\n")

    def test_machine_paths(self):
        for path in "/wor" + "k/a", "/hom" + "e/me", "/roo" + "t/.x":
            with self.subTest(path):
                self.expect("docs/a.md", f"see {path}\n", "docs/a.md:1: " + path[:path.index("/", 1)])
        self.expect("docs/a.md", "see docs/work/a and ~/work/a\n")

    def test_licences_and_patches_are_left_alone(self):
        self.write("LICENSE", "a \n")
        self.expect("sim/bugs/a.patch", "--- a\n \n")

    # calls

    def test_banned_calls(self):
        names = "strcpy strcat sprintf vsprintf gets atoi atol strtok rand alloca".split()
        self.expect("sim/a.c", SPDX + "".join(f"int a = {name}(b);\n" for name in names),
                    *[f"sim/a.c:{n}: {name}() is banned" for n, name in enumerate(names, 2)])

    def test_calls_banned_in_the_core_alone(self):
        names = "time clock_gettime gettimeofday malloc calloc realloc free strdup".split()
        text = SPDX + "".join(f"int a = {name}(b);\n" for name in names)
        self.write("src/base/a.c", text)
        self.expect("src/core/a.c", text,
                    *[f"src/core/a.c:{n}: {name}() is banned" for n, name in enumerate(names, 2)])

    def test_names_that_only_contain_a_banned_one(self):
        self.expect("src/core/a.c", SPDX + "int a = vsnprintf(b) + s->free(c) + s.time(d) + strtok_r(e);\n")

    def test_comments_and_literals_call_nothing(self):
        self.expect("src/core/a.c", SPDX + '// time(0)\n/* free(x)\n   atoi(y) */\nchar *a = "\\"gets(z)";\n')

    def test_a_call_behind_a_comment_is_seen(self):
        self.expect("a.c", SPDX + "/* // */ int a = atoi(b); // no\n", "a.c:2: atoi() is banned")

    # rings

    def test_include_directions(self):
        for file, good, bad in [
            ("src/base/a.c", ["base/b.h"], ["core/b.h", "http/b.h", "b.h", "../core/b.h", "base/../core/b.h"]),
            ("src/core/a.c", ["base/str.h", "core/b.h", "<assert.h>", "<string.h>"],
             ["base/buf.h", "port/b.h", "engine/b.h", "<time.h>", "<stdio.h>", "<stdlib.h>"]),
            ("src/port/a.h", ["base/b.h", "core/b.h", "port/b.h"], ["engine/b.h", "store/b.h", "shell/b.h"]),
            ("src/engine/a.c", ["base/b.h", "core/b.h", "port/b.h", "engine/b.h"],
             ["store/b.h", "broker/b.h", "channel/b.h", "http/b.h", "shell/b.h"]),
            ("src/store/a.c", ["base/b.h", "core/b.h", "port/b.h", "store/b.h"],
             ["engine/b.h", "broker/b.h", "channel/b.h", "shell/b.h"]),
            ("src/channel/a.c", ["port/b.h", "channel/b.h"], ["store/b.h", "broker/b.h", "sandbox/b.h"]),
            ("src/broker/rocketmq/a.c", ["port/b.h", "broker/b.h"], ["store/b.h", "channel/b.h", "engine/b.h"]),
            ("src/http/a.c", ["base/b.h", "http/b.h"], ["core/b.h", "port/b.h", "shell/b.h"]),
            ("src/sandbox/a.c", ["base/b.h", "http/b.h", "port/clock.h", "sandbox/b.h"],
             ["port/store.h", "core/b.h", "channel/b.h", "shell/b.h"]),
            ("src/shell/a.c", ["engine/b.h", "store/b.h", "sandbox/b.h", "shell/b.h"], ["sim/b.h"]),
            ("src/novel/a.c", [], ["base/b.h"]),
            ("sim/a.c", ["shell/b.h", "sim/b.h", "core/b.h"], []),
            ("test/core/a.c", ["core/b.c", "shell/b.h"], ["sim/b.h"]),
        ]:
            with self.subTest(file):
                lines = [name if name[0] == "<" else f'"{name}"' for name in good + bad]
                self.expect(file, SPDX + "".join(f"#include {line}\n" for line in lines),
                            *[f"{file}:{n}: includes {name.strip('<>')}: " for n, name in enumerate(bad, 2 + len(good))])
                os.unlink(os.path.join(self.tree, file))

    # fix

    def test_fix_mends_form_and_reports_the_rest(self):
        self.write("docs/a.md", "one \n")
        self.write("a.c", SPDX + "int  a = atoi(b);\n")
        status, out, _ = self.lint("fix")
        self.assertEqual(status, 1)
        self.assertEqual([line.split(":")[0] for line in out[:-1]], ["a.c"])
        self.assertIn("atoi() is banned", out[0])
        with open(os.path.join(self.tree, "docs/a.md"), encoding="utf-8") as f:
            self.assertEqual(f.read(), "one\n")


if __name__ == "__main__":
    unittest.main()

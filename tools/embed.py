#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files as C arrays, so that the program carries them: embed.py OUT.c NAME=FILE...

For each: `const unsigned char NAME[]` with one zero byte behind it, and `const unsigned NAME_size` without that byte.
"""
import re
import sys


def write_array(out, name, data):
    out.write(f"\nextern const unsigned char {name}[];\nextern const unsigned {name}_size;\n")
    out.write(f"const unsigned char {name}[] = {{")
    for i in range(0, len(data), 24):
        out.write("\n    " + "".join(f"{byte}," for byte in data[i : i + 24]))
    out.write(f"\n    0}};\nconst unsigned {name}_size = {len(data)};\n")


def main():
    pairs = [a.partition("=") for a in sys.argv[2:]]
    if not pairs or not all(re.fullmatch(r"[a-z_][a-z0-9_]*", name) and file for name, _, file in pairs):
        print("usage: embed.py OUT.c NAME=FILE...", file=sys.stderr)
        return 2
    with open(sys.argv[1], "w", encoding="ascii") as out:
        out.write("// Made from files by tools/embed.py; do not edit.\n")
        for name, _, file in pairs:
            with open(file, "rb") as f:
                write_array(out, name, f.read())
    return 0


if __name__ == "__main__":
    sys.exit(main())

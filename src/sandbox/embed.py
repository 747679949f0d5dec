# SPDX-License-Identifier: Apache-2.0
# Writes a file as a C array: embed.py FILE OUT.c NAME
import sys

source, out, name = sys.argv[1:4]
with open(source, "rb") as f:
    data = f.read()
with open(out, "w", encoding="ascii") as f:
    f.write("// Made from a file; do not edit.\n")
    f.write(f"extern const unsigned char {name}[];\nextern const unsigned {name}_size;\n")
    f.write(f"const unsigned char {name}[] = {{")
    for i in range(0, len(data), 24):
        f.write("\n" + ",".join(str(b) for b in data[i : i + 24]) + ",")
    f.write(f"\n}};\nconst unsigned {name}_size = {len(data)};\n")

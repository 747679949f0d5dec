# SPDX-License-Identifier: Apache-2.0
"""The drawing: expirations per second and memory of a pending item, each as a multiple of Till's, by gnuplot."""
import shutil
import subprocess

import figures


def points(result):
    """(name, expirations/s over Till's, memory over Till's) of all that was measured; None where there is no ratio."""
    rows = [r for r in result["rows"] if "skipped" not in r]
    till = next((r for r in rows if r["key"] == "till"), None)
    if not till:
        return []
    return [(r["key"], figures.ratio(r["expire"]["per_second"], till["expire"]["per_second"]),
             figures.ratio(r["memory_bytes_each"], till["memory_bytes_each"])) for r in rows]


def draw(result, path):
    """False: nothing to draw, or nothing to draw it with."""
    rows = points(result)
    if not rows or not shutil.which("gnuplot"):
        return False
    data = "\n".join(f'"{name}" {rate if rate else "NaN"} {memory if memory else "NaN"}' for name, rate, memory in rows)
    subprocess.run(["gnuplot"], text=True, check=True, input=f"""
set terminal svg size 860,480 font 'sans,11' background '#ffffff'
set output '{path}'
$data << EOD
{data}
EOD
set title '{result["items"]} items due at one instant, each as a multiple of Till (1 = Till)'
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.85 noborder
set logscale y
set grid ytics lc rgb '#dddddd'
set xtics rotate by -35 nomirror
set key top left
set ylabel 'times Till'
plot $data using 2:xtic(1) title 'expirations per second' lc rgb '#3465a4', '' using 3 title 'memory of a pending one' lc rgb '#cc6633'
""")
    return True

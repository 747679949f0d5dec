# SPDX-License-Identifier: Apache-2.0
"""What the driver makes of the instants at which things arrived: figures, ratios, and the rows of the table."""


def quantile(ordered, q):
    """Of a sorted list; the value that a share q of all does not exceed."""
    if not ordered:
        raise ValueError("no values")
    rank = -(-len(ordered) * q // 1)  # rounded up
    return ordered[min(len(ordered) - 1, max(0, int(rank) - 1))]


def arrivals(arrived_ms, due_ms, n, complete_ms=None):
    """Of n items due at one instant. A run that was cut off has fewer; its lateness is then a lower bound.

    complete_ms: when somebody outside saw the last one, where that is known: the rate goes by the later of the two.
    """
    late = sorted(at - due_ms for at in arrived_ms)
    if not late:
        return {"done": 0, "scheduled": n, "per_second": 0.0, "early": 0}
    took_ms = max(late[-1], (complete_ms or 0) - due_ms, 1)
    return {"done": len(late), "scheduled": n, "per_second": len(late) * 1000 / took_ms, "seconds": took_ms / 1000,
            "p50_ms": quantile(late, 0.5), "p99_ms": quantile(late, 0.99), "max_ms": late[-1], "first_ms": late[0],
            "early": sum(ms < -1 for ms in late)}


def middle(rows):
    """The row of medians of several rounds of one system; of two in the middle the lower. A round that was skipped does not count."""
    good = [r for r in rows if "skipped" not in r]
    if not good:
        return rows[0]

    def median(values):
        return sorted(values)[(len(values) - 1) // 2]

    def of(parts):
        first = parts[0]
        return {k: median([p[k] for p in parts]) if isinstance(v, (int, float)) and not isinstance(v, bool) else v for k, v in first.items()}

    return {**of(good), "expire": of([r["expire"] for r in good])}


def each(bytes_before, bytes_after, n):
    """Growth for each item; what shrank meanwhile is noise of another thing's, and says so by its sign."""
    return (bytes_after - bytes_before) / n


def ratio(ours, theirs):
    """None where one of them is missing or nothing."""
    return ours / theirs if ours and theirs and ours > 0 and theirs > 0 else None


def number(value, digits=0):
    if value is None:
        return "–"
    return f"{value:,.{digits}f}"


def times(value):
    """A ratio for people: three digits are enough."""
    if value is None:
        return "–"
    return f"{value:,.0f} ×" if value >= 10 else f"{value:.2f} ×"


HEAD = ("| | durability of what is acknowledged | schedules/s | expirations/s | Till's over it | late p50 / p99 / max, ms | memory each, bytes: grown / after the restart | "
        "of Till's | disk each, bytes | restart, s |\n"
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")


def cell(row, reference):
    """One row of the table. A peer that was not measured says why, across it."""
    if "skipped" in row:
        return f"| {row['title']} | **skipped: {row['skipped']}** | | | | | | | | |"
    e = row["expire"]
    if e["done"] == 0:
        late = "nothing arrived"
    else:
        late = " / ".join(number(e[k]) for k in ("p50_ms", "p99_ms", "max_ms"))
    if 0 < e["done"] < e["scheduled"]:
        late = f"cut off at {number(e['done'])} of {number(e['scheduled'])}: ≥ " + late
    if row.get("doubled"):
        late += f"; {number(row['doubled'])} delivered twice"
    own = row is reference
    return "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |".format(
        row["title"], row["durability"], number(row["schedules_per_second"]), number(e["per_second"], 0 if e["per_second"] >= 10 else 1),
        "1" if own else times(ratio(reference and reference["expire"]["per_second"], e["per_second"])), late,
        f"{number(row['memory_bytes_each'])} / {number(row['restarted_memory_bytes_each'])}",
        "1" if own else times(ratio(row["memory_bytes_each"], reference and reference["memory_bytes_each"])),
        number(row["disk_bytes_each"]), number(row["restart_s"], 2))


def table(rows, reference):
    return "\n".join([HEAD, *(cell(row, reference) for row in rows)])


def goal(rows, reference, faster=3, leaner=10):
    """Sentences: which of the rows Till beats as it should, and which not. Rows with `own` are Till's own."""
    if not reference:
        return ["Till itself was not measured in this run: there is nothing to compare with."]
    out = []
    for row in rows:
        if "skipped" in row or row.get("own"):
            continue
        rate = ratio(reference["expire"]["per_second"], row["expire"]["per_second"])
        memory = ratio(row["memory_bytes_each"], reference["memory_bytes_each"])
        words = [f"expirations/s {times(rate)} ({'reached' if rate and rate >= faster else 'missed' if rate else 'unknown'})",
                 f"memory 1/{memory:.3g} ({'reached' if memory >= leaner else 'missed'})" if memory else "memory unknown"]
        out.append(f"{row['title']}: " + ", ".join(words))
    return out

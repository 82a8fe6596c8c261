"""What was measured, as a table and as JSON, and beside what was stored before.

A stored row is found again by its section, work and threads.  Its ratio to each program beside, and its
share of the limit, may fall by TOLERANCE; times are not compared, because machines differ and drift.
"""
import json

TOLERANCE = 0.05


def key(row):
    return row["section"], row["work"], row["threads"]


def _figure(seconds):
    ms = 1e3 * seconds
    return f"{ms:.3g}" if ms < 1000 else f"{ms:.0f}"


def _verdict(value, bar):
    return "" if bar is None else "  " if value >= bar else " *"


def _lines(row):
    """What a row is beside: (name, its figures, the bar, share of the limit), the fastest of the others first, then
    those who have a bar of their own."""
    best = row.get("best")
    lines = [(best or "-", row["beside"].get(best), row["bar"], row.get("share"))]
    return lines + [(name, beside, beside["bar"], None) for name, beside in row["beside"].items()
                    if name != best and "bar" in beside]


def _spread(ratio):
    return f"{ratio[0]:.2f} ({ratio[1]:.2f}-{ratio[2]:.2f})"


def table(rows):
    """work | beside | ours | theirs | ratio (spread) | bar | share of the limit; `*`: below the bar."""
    head = ["work", "thr", "beside", "ours ms", "theirs", "ratio (spread)", "bar", "share", "bar"]
    lines = [head]
    for r in rows:
        for name, beside, bar, share in _lines(r):
            lines.append([
                r["work"], str(r["threads"]), name, _figure(r["ours"]),
                _figure(beside["seconds"]) if beside else "-",
                _spread(beside["ratio"]) if beside else "-",
                f"{bar:g}{_verdict(beside['ratio'][0], bar)}" if beside and bar else "",
                f"{share[0]:.2f}" if share else "",
                f"{r['share_bar']:g}{_verdict(share[0], r['share_bar'])}" if share and r["share_bar"]
                else ""])
    widths = [max(len(l[i]) for l in lines) for i in range(len(head))]
    out = ["  ".join(cell.ljust(w) if i in (0, 2) else cell.rjust(w)
                     for i, (cell, w) in enumerate(zip(l, widths))).rstrip() for l in lines]
    return "\n".join([out[0], "-" * len(out[0]), *out[1:]])


def markdown(rows):
    out = ["| work | threads | beside | ours, ms | theirs | ratio (spread) | bar | share of limit |",
           "|---|---|---|---|---|---|---|---|"]
    for r in rows:
        for name, beside, bar, share in _lines(r):
            out.append(f"| {r['work']} | {r['threads']} | {name} | {_figure(r['ours'])} | "
                       + (f"{_figure(beside['seconds'])} | {_spread(beside['ratio'])}" if beside
                          else "- | -")
                       + f" | {bar or ''} | " + (f"{share[0]:.2f}" if share else "")
                       + (f" (bar {r['share_bar']})" if share and r["share_bar"] else "") + " |")
    return "\n".join(out)


def fell_short(rows):
    """Rows below a bar, as text."""
    out = []
    for r in rows:
        for name, beside, bar, share in _lines(r):
            if beside and bar and beside["ratio"][0] < bar:
                out.append(f"{r['work']}, {r['threads']} threads: {beside['ratio'][0]:.2f} "
                           f"of {name}, wanted {bar}")
            if share and r["share_bar"] and share[0] < r["share_bar"]:
                out.append(f"{r['work']}, {r['threads']} threads: {share[0]:.2f} of the limit, "
                           f"wanted {r['share_bar']}")
    return out


def comparisons(stored, rows):
    """(row, what, before, now) of every ratio and share that both have."""
    before = {key(r): r for r in stored}
    out = []
    for row in rows:
        old = before.get(key(row))
        if not old:
            continue
        pairs = [(f"beside {name}", old["beside"][name]["ratio"][0], row["beside"][name]["ratio"][0])
                 for name in old["beside"] if name in row["beside"]]
        if old.get("share") and row.get("share"):
            pairs.append(("share of the limit", old["share"][0], row["share"][0]))
        out += [(row, *pair) for pair in pairs]
    return out


def regressions(stored, rows, tolerance=TOLERANCE):
    """What got worse: lines of text.  Rows that only one of the two has are nobody's fault."""
    return [f"{row['work']}, {row['threads']} threads, {what}: {was:.3f} before, {now:.3f} now "
            f"({100 * (now / was - 1):+.1f} %)"
            for row, what, was, now in comparisons(stored, rows) if now < was * (1 - tolerance)]


def same_machine(stored, now, path):
    """Raises where the run stored in `path` is of another processor, or of another set of its instructions, than
    `now`: its ratios are no yardstick then.  Documents without a set are of any."""
    there, here = ([d.get(what) for what in ("machine", "isa")] for d in (stored, now))
    if any(a and a != b for a, b in zip(there, here)):
        raise ValueError(f"{path} is of {', '.join(filter(None, there))}, and this is "
                         f"{', '.join(filter(None, here))}: hold it against a run from here, which -o writes")


def save(path, document):
    with open(path, "w") as f:
        json.dump(document, f, indent=1)
        f.write("\n")


def load(path):
    with open(path) as f:
        try:
            document = json.load(f)
        except ValueError as error:
            raise ValueError(f"{path}: no JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("rows"), list):
        raise ValueError(f"{path}: not what scripts/bench -o writes: there is no list of rows")
    return document

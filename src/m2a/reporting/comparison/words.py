"""What a comparison says, in sentences; in the limited markdown that `text.inline` sets."""

from __future__ import annotations

from typing import Any

from m2a.reporting.comparison.compare import Comparison
from m2a.reporting.text import count, percent, signed


def verdict(comparison: Comparison, row: dict[str, Any]) -> str:
    """Of one later run: both accuracies, their difference with its interval, and whether chance explains it."""
    run, baseline = row["run"], comparison.baseline
    first = (
        f"On the same {count(row['clips'], 'clip')} `{run}` names {percent(row['top1'])} and `{baseline}` "
        f"{percent(row['top1_baseline'])}: **{signed(row['difference'])} points**, 95% interval {span(row)}."
    )
    split = (
        f"{count(row['only_run'], 'clip')} only `{run}` names, {row['only_baseline']:,} only `{baseline}`, "
        f"{row['both']:,} both, {row['neither']:,} neither."
    )
    if not row["only_run"] + row["only_baseline"]:
        return f"{first} No clip tells the two apart."
    test = f"Were the two equally good, a split as uneven would come up with probability {chance(row['p_value'])}"
    told = "these clips do not tell which is better" if row["p_value"] > 0.05 else "more than chance"
    return f"{first} {split} {test} (McNemar's exact test): {told}."


def span(row: dict[str, Any], digits: int = 1) -> str:
    """`+42.8 to +52.5`."""
    return f"{signed(row['low'], digits)} to {signed(row['high'], digits)}"


def chance(p: float) -> str:
    """`0.34`, `0.0021`, or `below 0.0001`."""
    return "below 0.0001" if p < 1e-4 else f"{p:.2g}"


def left_out(comparison: Comparison) -> str:
    """Which runs had clips that the others lack; empty where none had."""
    rows = [row for row in comparison.runs if row["left_out"]]
    if not rows:
        return ""
    told = ", ".join(f"{row['left_out']:,} of {row['clips']:,} of `{row['name']}`" for row in rows)
    return f"Compared are the {count(comparison.num_clips, 'clip')} that all runs saw; left out are {told}."


def tally(rows: list[dict[str, Any]]) -> str:
    """How many classes gain and lose, and how many of them by more than their interval; and how many of these have so
    few clips that McNemar's test does not rule out chance, as the interval of two clips that both change sides does."""
    up = [row for row in rows if row["difference"] > 0]
    down = [row for row in rows if row["difference"] < 0]
    sure_up, sure_down = [row for row in up if row["low"] > 0], [row for row in down if row["high"] < 0]
    same = len(rows) - len(up) - len(down)
    total = count(len(rows), "class", "classes")
    parts = [
        f"{len(up)} of {total} {_verb('gain', len(rows))} "
        f"({len(sure_up)} with an interval above zero{_doubt(sure_up)})",
        f"{len(down)} {_verb('lose', len(down))} ({len(sure_down)} below{_doubt(sure_down)})" if down else "none loses",
        *([f"{same} {_verb('stay', same)}"] if same else []),
    ]
    return ", ".join(parts) + "."


def _doubt(sure: list[dict[str, Any]]) -> str:
    few = sum(row["p_value"] > 0.05 for row in sure)
    return f", {few} of them of too few clips to rule out chance" if few else ""


def _verb(verb: str, number: int) -> str:
    return f"{verb}s" if number == 1 else verb

"""What a comparison says, in sentences; in the limited markdown that `text.inline` sets."""

from __future__ import annotations

from typing import Any

from m2a.reporting.comparison.compare import Comparison
from m2a.reporting.text import percent, signed
from m2a.wording import count

_PRECISIONS = {"32": "float32", "bf16": "bfloat16"}
FEW = 10
"""With fewer recordings than these the interval by percentiles is too narrow."""


def verdict(comparison: Comparison, row: dict[str, Any]) -> str:
    """Of one later run: both accuracies, their difference with its interval, and whether chance explains it."""
    run, baseline = row["run"], comparison.baseline
    on = f"the same {clips_of(row)}"
    if len(_measured_on(_runs(comparison, run))) > 1:
        on = f"{clips_of(row)}, of the same names," if comparison.num_groups else f"{clips_of(row)} of the same names"
    first = (
        f"On {on} `{run}` names {percent(row['top1'])} and `{baseline}` "
        f"{percent(row['top1_baseline'])}: **{signed(row['difference'])} points**, 95% interval {span(row)}"
        f"{'; whole recordings are drawn' if comparison.num_groups else ''}."
    )
    split = (
        f"{count(row['only_run'], 'clip')} only `{run}` names, {row['only_baseline']:,} only `{baseline}`, "
        f"{row['both']:,} both, {row['neither']:,} neither."
    )
    if not row["only_run"] + row["only_baseline"]:
        return f"{first} No clip tells the two apart."
    return " ".join(filter(None, (first, split, _test(row), _of_few(row))))


def _test(row: dict[str, Any]) -> str:
    seen, name = "a split as uneven", "McNemar's exact test"
    if row["groups"]:
        seen, name = "a difference as large", "an exact sign-flip test of whole recordings"
    test = f"Were the two equally good, {seen} would come up with probability {chance(row['p_value'])} ({name})"
    told = "these clips do not tell which is better" if row["p_value"] > 0.05 else "more than chance"
    return f"{test}: {told}."


def clips_of(row: dict[str, Any]) -> str:
    """`200 clips`, or `200 clips of 10 recordings`."""
    clips = count(row["clips"], "clip")
    return f"{clips} of {count(row['groups'], 'recording')}" if row["groups"] else clips


def drawn(comparison: Comparison) -> str:
    """What the bootstrap draws."""
    return "recordings" if comparison.num_groups else "clips"


def _of_few(row: dict[str, Any]) -> str:
    if not row["groups"] or row["groups"] >= FEW:
        return ""
    told = f"These are clips of {count(row['groups'], 'recording')} only: drawn from fewer than {FEW}"
    return f"{told}, the interval comes out too narrow."


def few_recordings(rows: list[dict[str, Any]]) -> str:
    """In how many classes the clips are of so few recordings that the intervals are too narrow; empty where in none."""
    few = [row["groups"] for row in rows if row["groups"] and row["groups"] < FEW]
    if not few:
        return ""
    so_few = f"{min(few)} to {max(few)}" if min(few) < max(few) else f"{few[0]}"
    return (
        f"In {len(few)} of {count(len(rows), 'class', 'classes')} the clips are of fewer than {FEW} recordings "
        f"({so_few}): their intervals come out too narrow."
    )


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


def unlike(comparison: Comparison, run: str) -> str:
    """In what a later run was measured differently from the first, on which data, with how many views or in which
    precision; empty where it was not."""
    notes, runs = [], _runs(comparison, run)
    if len(_measured_on(runs)) > 1:
        told = ", ".join(f"`{row['name']}` on {row['split']} of {row['data']}" for row in runs)
        notes.append(
            f"Measured were {told}. Clips are told by their names: if those are not the same data, these are not the "
            "same clips, and the difference says nothing of the runs."
        )
    return " ".join([*notes, *seen_otherwise(comparison, run)])


def seen_otherwise(comparison: Comparison, run: str) -> list[str]:
    """Sentences about other views of the same clips and other precision; none where there are none."""
    notes, runs = [], _runs(comparison, run)
    if len({row["views"] for row in runs if row["views"]}) > 1:
        told = ", ".join(f"`{row['name']}` with {row['views']}" for row in runs)
        notes.append(f"The runs saw other views of each clip (in time x in space): {told}.")
    if len({row["precision"] for row in runs if row["precision"]}) > 1:
        told = ", ".join(f"`{row['name']}` in {_PRECISIONS.get(row['precision'], row['precision'])}" for row in runs)
        notes.append(f"They were computed in other precisions, which moves a few clips: {told}.")
    return notes


def _runs(comparison: Comparison, run: str) -> list[dict[str, Any]]:
    """The first and that later one."""
    return [row for row in comparison.runs if row["name"] in (comparison.baseline, run)]


def _measured_on(runs: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(row["data"], row["split"]) for row in runs if row["data"]}


def tally(rows: list[dict[str, Any]]) -> str:
    """How many classes gain and lose, and how many of them by more than their interval; and how many of these have so
    few clips, or recordings, that the test does not rule out chance, as the interval of two clips that both change
    sides does."""
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
    what = "recordings" if any(row["groups"] for row in sure) else "clips"
    return f", {few} of them of too few {what} to rule out chance" if few else ""


def _verb(verb: str, number: int) -> str:
    return f"{verb}s" if number == 1 else verb

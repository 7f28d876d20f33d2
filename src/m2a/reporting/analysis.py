"""What the page shows of the runs, as plain data: table, per-class gains, accuracy within pairs, mistakes, options."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from m2a.estimate import wilson
from m2a.reporting.entries import Entry, baseline_and_lead, entries
from m2a.reporting.runs import ClipPrediction, Run
from m2a.reporting.text import difference, finite


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """One class over all runs: clips, top-1 of each run, the gain of the leading run, the number of its pair."""

    label: str
    clips: int
    values: tuple[float | None, ...]
    gain: float | None
    pair: int | None = None


@dataclass(frozen=True, kw_only=True)
class PairRow:
    """Within-pair accuracy of each run, and the number of clips it is taken from."""

    first: str
    second: str
    values: tuple[float | None, ...]
    clips: tuple[int, ...]


def interval(top1: float | None, clips: int) -> tuple[float | None, float | None]:
    """`wilson` of a run's accuracy; None where it is not known."""
    return (None, None) if top1 is None or clips < 1 else wilson(top1, clips)


def results_table(runs: Sequence[Run | str | Path], ceiling: float | int | None = None) -> list[dict[str, Any]]:
    """The table of results as plain data, a dict per run; the last is the order-blind ceiling where one is given.

    Keys: `kind` ("run" or "ceiling"), `name`, `mechanism`, `backbone`, `gmacs`, `parameters_m`, `top1`, `top1_low` and
    `top1_high` (95% interval), `top5` (None of five classes or fewer, of which it is 100 whatever the model says),
    and `difference` in top-1 points to `none`, where it is not among them to the first. What is unknown is None.
    """
    shown = entries([run if isinstance(run, Run) else Run.load(run) for run in runs])
    baseline = (baseline_and_lead(shown)[0] or shown[0]).run
    rows: list[dict[str, Any]] = []
    for entry in shown:
        run = entry.run
        low, high = interval(run.top1, run.num_clips)
        rows.append(
            {
                "kind": "run",
                "name": entry.name,
                "mechanism": run.mechanism,
                "backbone": run.backbone or None,
                "gmacs": None if run.macs is None else run.macs / 1e9,
                "parameters_m": None if run.parameters is None else run.parameters / 1e6,
                "top1": run.top1,
                "top1_low": low,
                "top1_high": high,
                "top5": run.top5 if len(run.labels) > 5 else None,
                "difference": difference(run.top1, baseline.top1) if run is not baseline else None,
            }
        )
    if (limit := finite(ceiling)) is not None:
        rows.append(
            dict.fromkeys(rows[0])
            | {
                "kind": "ceiling",
                "name": "order-blind ceiling",
                "top1": limit,
                "difference": difference(limit, baseline.top1),
            }
        )
    return rows


def class_rows(shown: Sequence[Entry], pairs: Sequence[tuple[str, str]]) -> list[ClassRow]:
    """All classes, the largest gain of the leading run first (of a single run: the highest top-1 first)."""
    baseline, lead = baseline_and_lead(shown)
    number = {label: i for i, pair in enumerate(pairs, 1) for label in pair}
    scores = {entry.name: {row.label: row for row in entry.run.per_class} for entry in shown}
    rows = []
    for label in lead.run.labels:
        top1 = {entry.name: score.top1 if (score := scores[entry.name].get(label)) else None for entry in shown}
        gain = difference(top1[lead.name], top1[baseline.name]) if baseline else None
        clips = score.clips if (score := scores[lead.name].get(label)) else 0
        rows.append(ClassRow(label=label, clips=clips, values=tuple(top1.values()), gain=gain, pair=number.get(label)))

    def order(row: ClassRow) -> tuple[float, float, str]:
        own = row.values[list(shown).index(lead)]
        main = row.gain if baseline else own
        return (-math.inf if main is None else main, own or 0.0, row.label)

    return sorted(rows, key=order, reverse=True)


def pair_rows(shown: Sequence[Entry], pairs: Sequence[tuple[str, str]]) -> list[PairRow]:
    """Within-pair accuracy: of a pair's clips given to either member, the share given to the right one.

    The last of several rows pools all pairs; its members are empty.
    """
    rows, right_of_all, given_of_all = [], [0] * len(shown), [0] * len(shown)
    for first, second in pairs:
        right, given = [], []
        for i, entry in enumerate(shown):
            a, b = entry.run.labels.index(first), entry.run.labels.index(second)
            table = entry.run.confusion
            right.append(table[a][a] + table[b][b])
            given.append(right[-1] + table[a][b] + table[b][a])
            right_of_all[i] += right[-1]
            given_of_all[i] += given[-1]
        rows.append(PairRow(first=first, second=second, values=_shares(right, given), clips=tuple(given)))
    if len(pairs) > 1:
        pooled = _shares(right_of_all, given_of_all)
        rows.append(PairRow(first="", second="", values=pooled, clips=tuple(given_of_all)))
    return rows


def _shares(right: Sequence[int], given: Sequence[int]) -> tuple[float | None, ...]:
    return tuple(100 * r / g if g else None for r, g in zip(right, given, strict=True))


def mistakes(run: Run, limit: int = 8) -> list[ClipPrediction]:
    """The wrong predictions a run was surest of."""
    wrong = [row for row in run.predictions if row.prediction != row.label and row.probability is not None]
    return sorted(wrong, key=lambda row: (-(row.probability or 0.0), row.clip))[:limit]


def config_rows(
    shown: Sequence[Entry],
) -> tuple[list[tuple[str, list[str | None]]], list[tuple[str, list[str | None]]]]:
    """Options that differ between the runs, and those all share; a value is None where a run has no such option."""
    keys = list(dict.fromkeys(key for entry in shown for key in entry.run.config))
    rows = [(key, [entry.run.config.get(key) for entry in shown]) for key in keys]
    differing = [row for row in rows if len(set(row[1])) > 1]
    return differing, [row for row in rows if len(set(row[1])) == 1]

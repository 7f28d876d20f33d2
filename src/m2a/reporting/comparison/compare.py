"""Runs side by side, clip by clip: what a mechanism gains, on which classes, and how sure that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2a.errors import ConfigError, DataError
from m2a.reporting.comparison.grouping import Groups, groups_of
from m2a.reporting.comparison.kinds import KINDS, kind_of
from m2a.reporting.comparison.paired import Agreement, Hits, row_of
from m2a.reporting.entries import Entry, entries
from m2a.reporting.runs import ClipPrediction, Run

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs against the first of them, on the clips that all of them saw. Each table is a list of rows, and each row a
    dict (`pandas.DataFrame(comparison.classes)`). Shares are in percent, differences in percentage points; `low` and
    `high` are the paired bootstrap's 95% interval of a difference. Where several clips are of one recording, whole
    recordings are drawn, and rows have the number of these as `groups`."""

    baseline: str
    """The name of the first run."""
    runs: list[Row]
    """Every run: name, folder, mechanism, backbone; data, split and views it was measured on, in which precision;
    clips, and how many of them were left out, as others lack them. Clips of two runs are the same where their names
    are."""
    num_clips: int
    """The clips that are compared."""
    num_groups: int | None = None
    """The recordings, or whatever a group is in the data, that these clips are of, where the data set says so and two
    clips or more are of one; else None, and single clips are drawn."""
    overall: list[Row]
    """Of each later run: clips, groups, top1_baseline, top1, difference, low, high; `p_value` of McNemar's exact test,
    or where there are groups of an exact sign-flip test over them, which is the same for groups of one clip each; and
    the clips that `both`, `only_run`, `only_baseline` and `neither` named."""
    classes: list[Row]
    """Of each later run and label: kind, clips, groups, top1_baseline, top1, difference, low, high, p_value; largest
    gain first."""
    kinds: list[Row]
    """The same of each kind of label: camera motion, object motion, interaction, static, other. `classes` is a
    count."""
    confusions: list[Row]
    """Of each later run, kinds of mistakes that became more or fewer: truth, prediction, clips of both, and `change`;
    largest change first."""
    resamples: int
    seed: int

    def of(self, run: str) -> Comparison:
        """The same with one later run only."""
        tables = {name: [row for row in getattr(self, name) if row["run"] == run] for name in _TABLES}
        return Comparison(**{**vars(self), **tables})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


_TABLES = ("overall", "classes", "kinds", "confusions")


def compare(runs: Sequence[str | Path], *, resamples: int = 10_000, seed: int = 0) -> Comparison:
    """Compares runs clip by clip; each against the first.

    Args:
        runs: folders with `evaluation.json` and `predictions.csv`, as `m2a train` and `m2a evaluate` leave them; at
            least two.
        resamples: of the bootstrap.
        seed: of the bootstrap; the same numbers each time.

    Raises:
        ConfigError: a single path or fewer than two runs, resamples below 100, or a seed below 0.
        NotFoundError: a folder holds no run.
        DataError: a file is damaged, there are no predictions, the runs have other classes, no clip in common, or
            another label for the same clip.
    """
    if isinstance(runs, str | Path):
        raise ConfigError(f"runs must be a list of folders; got {str(runs)!r} alone. Give [baseline, run, ...].")
    if len(runs) < 2:
        raise ConfigError(f"A comparison takes two runs or more; got {len(runs)}. The first is the baseline.")
    if seed < 0:
        raise ConfigError(f"seed={seed}: it must be at least 0.")
    if resamples < 100:
        raise ConfigError(f"resamples={resamples}: an interval from so few draws is a guess. Take 100 or more.")
    return compare_entries(entries([Run.load(run) for run in runs]), resamples=resamples, seed=seed)


def compare_entries(shown: Sequence[Entry], *, resamples: int = 10_000, seed: int = 0) -> Comparison:
    """As `compare`, of runs that are read and have names."""
    runs = [entry.run for entry in shown]
    tables = [_by_clip(run) for run in runs]
    clips = sorted(set.intersection(*map(set, tables)))
    if not clips:
        raise DataError(
            f"{runs[0].folder} ({_example(tables[0])}) and {runs[-1].folder} ({_example(tables[-1])}) have no clip in "
            "common. Evaluate the runs on the same data and split: m2a evaluate RUN --data DATA --split SPLIT --out NEW"
        )
    _check_labels(runs, tables, clips)
    truth = np.array([tables[0][clip].label for clip in clips])
    hits = [np.array([table[clip].prediction == table[clip].label for clip in clips]) for table in tables]
    groups = groups_of(runs, clips)
    found: dict[str, list[Row]] = {name: [] for name in _TABLES}
    for entry, table, own in list(zip(shown, tables, hits, strict=True))[1:]:
        made = _tables(truth, hits[0], own, groups, np.random.default_rng(seed), resamples)
        made["confusions"] = _moved([tables[0][clip] for clip in clips], [table[clip] for clip in clips])
        for name, rows in made.items():
            found[name] += [{"run": entry.name, **row} for row in rows]
    return Comparison(
        baseline=shown[0].name,
        runs=[
            {
                "name": entry.name,
                "folder": str(entry.run.folder),
                "mechanism": entry.run.mechanism,
                "backbone": entry.run.backbone,
                "data": entry.run.data,
                "split": entry.run.split,
                "views": entry.run.views,
                "precision": entry.run.precision,
                "clips": len(table),
                "left_out": len(table) - len(clips),
            }
            for entry, table in zip(shown, tables, strict=True)
        ],
        num_clips=len(clips),
        num_groups=None if groups is None else len(set(groups.tolist())),
        **found,
        resamples=resamples,
        seed=seed,
    )


def _tables(
    truth: NDArray[Any],
    baseline: Hits,
    own: Hits,
    groups: Groups | None,
    rng: np.random.Generator,
    resamples: int,
) -> dict[str, list[Row]]:
    def of(chosen: Hits) -> Row:
        return row_of(baseline[chosen], own[chosen], rng, resamples, None if groups is None else groups[chosen])

    overall = row_of(baseline, own, rng, resamples, groups) | asdict(Agreement.of(baseline, own))
    kinds = {label: kind_of(label) for label in sorted(set(truth.tolist()))}
    classes = [{"label": label, "kind": kind} | of(truth == label) for label, kind in kinds.items()]
    of_kind = []
    for kind in KINDS:
        members = [label for label, its in kinds.items() if its == kind]
        if members:
            of_kind.append({"kind": kind, "classes": len(members)} | of(np.isin(truth, members)))
    classes.sort(key=lambda row: (-row["difference"], -row["top1"], row["label"]))
    return {"overall": [overall], "classes": classes, "kinds": of_kind}


def _moved(baseline: Sequence[ClipPrediction], own: Sequence[ClipPrediction]) -> list[Row]:
    before, after = (
        Counter((row.label, row.prediction) for row in rows if row.label != row.prediction) for rows in (baseline, own)
    )
    rows = [
        {
            "truth": truth,
            "prediction": guess,
            "clips_baseline": before[truth, guess],
            "clips": after[truth, guess],
            "change": after[truth, guess] - before[truth, guess],
        }
        for truth, guess in before | after
        if before[truth, guess] != after[truth, guess]
    ]
    return sorted(rows, key=lambda row: (-abs(row["change"]), row["change"], row["truth"], row["prediction"]))


def _by_clip(run: Run) -> dict[str, ClipPrediction]:
    if not run.predictions:
        raise DataError(
            f"{run.folder} has no predictions.csv, or an empty one; runs are compared clip by clip. Run "
            f"`m2a evaluate {run.folder}` to write it."
        )
    table = {row.clip: row for row in run.predictions}
    if len(table) < len(run.predictions):
        (clip, times), *_ = Counter(row.clip for row in run.predictions).most_common(1)
        raise DataError(
            f"{run.folder / 'predictions.csv'} names the clip {clip!r} {times} times. Run `m2a evaluate {run.folder}` "
            "to write it anew."
        )
    return table


def _check_labels(runs: Sequence[Run], tables: Sequence[Mapping[str, ClipPrediction]], clips: Sequence[str]) -> None:
    for run, table in list(zip(runs, tables, strict=True))[1:]:
        odd = [clip for clip in clips if table[clip].label != tables[0][clip].label]
        if odd:
            raise DataError(
                f"{len(odd)} of {len(clips)} clips have another label in {run.folder} than in {runs[0].folder}: "
                f"{odd[0]!r} is {table[odd[0]].label!r} here and {tables[0][odd[0]].label!r} there. Evaluate both on "
                "the same data."
            )


def _example(table: Mapping[str, ClipPrediction]) -> str:
    return f"clips such as {min(table)!r}"

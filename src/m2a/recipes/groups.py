"""What results say together: those that may be compared, and the mean of each row over its seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from m2a.data.synthetic import order_blind_ceiling, time_reversal_pairs
from m2a.estimate import Estimate, estimate
from m2a.recipes.paper import MODEL_OPTIONS, brief
from m2a.recipes.results import PROBES, DataInfo, Result, changes_tag, safe_name, settings_of
from m2a.recipes.rows import PaperRow, find_table
from m2a.recipes.weights import StartWeights


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the seeds of one row say."""

    top1: Estimate
    top5: Estimate
    probes: Mapping[str, Estimate]
    """Top-1 under each probe."""
    macs: int
    parameters: int
    seeds: tuple[int, ...]
    run_as: Mapping[str, tuple[int, ...]]
    """The seeds by the row that they were run as: this one, or one of another table that is the same model."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Results of one table that may be compared: the same scale, weights, data and changes."""

    table: str
    scale: str
    weights: StartWeights
    data: DataInfo
    changes: dict[str, Any]
    results: tuple[Result, ...]
    rows: tuple[tuple[PaperRow, Measured | None], ...] = field(default=())
    """The paper's rows in its order; None where nothing was measured."""

    @property
    def title(self) -> str:
        changed = f", {brief(self.changes)}" if self.changes else ""
        return f"scale {self.scale}, from {self.weights}, {self.data}{self._used}{changed}"

    @property
    def name(self) -> str:
        """Within its table, safe in names of files."""
        return safe_name(f"{self.scale}-{self.data.name}-{self.weights.tag}{changes_tag(self.changes)}")

    @property
    def other_models(self) -> bool:
        """Whether the changes make other models of the rows than the paper's."""
        return any(option in self.changes for option in MODEL_OPTIONS)

    @property
    def measured(self) -> dict[str, Measured]:
        """The rows that were run, by name."""
        return {row.name: found for row, found in self.rows if found}

    def alike(self, other: Group, *, but_for: Collection[str]) -> bool:
        """Whether both were run at one scale on the same clips, and with the same settings but for these options. What
        a scale means may change with the library, and a set be drawn otherwise under its old name."""
        ours, theirs = (settings_of(group.results[0].config) for group in (self, other))
        options = (ours.keys() | theirs.keys()) - set(but_for)
        return (self.scale, self.weights.group, self.data) == (other.scale, other.weights.group, other.data) and all(
            ours.get(option) == theirs.get(option) for option in options
        )

    @property
    def has_reverses(self) -> bool:
        """Whether each clip's label has its reverse in time in the set, so that rows that are blind to the order of
        frames do not differ in what they can tell apart. Known of synthetic sets."""
        labels = (self.data.drawing or {}).get("labels", [])
        return bool(labels) and 2 * len(time_reversal_pairs(labels)) == len(labels)

    @property
    def ceiling(self) -> float | None:
        """The top-1 that a model blind to the order of frames can expect at most; known of synthetic sets."""
        labels = (self.data.drawing or {}).get("labels")
        return order_blind_ceiling(labels) if labels else None

    def of(self, recipe: str) -> list[Result]:
        """The results of one row, by seed."""
        return sorted((result for result in self.results if result.recipe == recipe), key=lambda result: result.seed)

    @property
    def _used(self) -> str:
        """How many clips of the set were used, where that is not all of them."""
        used = {(result.num_train, result.num_clips + len(result.skipped)) for result in self.results}
        if used == {(self.data.clips.get("train"), self.data.clips.get("validation"))}:
            return ""
        return "".join(f", {train:,} + {measured:,} of them used" for train, measured in sorted(used))


def group_results(results: Sequence[Result]) -> list[Group]:
    """Results by scale, changes, weights and data, the recipe's own first; of each row the mean over its seeds."""
    members: dict[tuple[str, ...], list[Result]] = defaultdict(list)
    for result in results:
        members[result.group].append(result)
    order = sorted(members, key=lambda key: (key[1], key[2] != "{}", *key[2:]))
    return [_group(members[key]) for key in order]


def _group(results: list[Result]) -> Group:
    first = results[0]
    group = Group(
        table=first.table,
        scale=first.scale,
        weights=first.weights,
        data=first.data,
        changes=first.changes,
        results=tuple(results),
    )
    rows = ((row, group.of(row.name)) for row in find_table(first.table))
    return replace(group, rows=tuple((row, _measured(own) if own else None) for row, own in rows))


def _measured(results: Sequence[Result]) -> Measured:
    run_as: dict[str, tuple[int, ...]] = {}
    for result in results:
        run_as[result.run_as] = (*run_as.get(result.run_as, ()), result.seed)
    return Measured(
        top1=estimate([result.top1 for result in results]),
        top5=estimate([result.top5 for result in results]),
        probes={name: estimate([result.probes[name]["top1"] for result in results]) for name in PROBES},
        macs=results[0].macs,
        parameters=results[0].parameters,
        seeds=tuple(result.seed for result in results),
        run_as=run_as,
    )

"""Rows of the paper that were run with a changed recipe, beside the same rows with the recipe as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from m2a.recipes.estimate import estimate
from m2a.recipes.groups import Group, Measured
from m2a.recipes.paired import Gain, paired_gain, setting_of
from m2a.recipes.paper import brief
from m2a.recipes.results import Result
from m2a.recipes.tables import NONE, TextTable


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A row run with a changed recipe, beside the same row with the recipe as it is."""

    group: Group
    row: str
    measured: Measured
    base: tuple[Result, ...]
    """Runs of the unchanged recipe with the same seeds; empty where there are none."""

    @property
    def gain(self) -> Gain | None:
        return paired_gain(self.group.of(self.row), self.base)


def ablations(groups: Sequence[Group]) -> list[Ablation]:
    """Of every row of every changed recipe; once where another table has the same model's runs too."""
    found = []
    for group in (group for group in groups if group.changes):
        same = [other for other in groups if not other.changes and _comparable(other, group)]
        for row, measured in group.rows:
            if measured is not None and row.name in measured.run_as:
                base = [result for other in same for result in other.of(row.name) if result.seed in measured.seeds]
                found.append(Ablation(group=group, row=row.name, measured=measured, base=tuple(base)))
    return found


def ablations_table(groups: Sequence[Group]) -> TextTable | None:
    """None where no changed recipe was run."""
    found = ablations(groups)
    if not found:
        return None
    return TextTable(
        title="Changes to the recipe",
        head=("row", "change", "clips, scale, weights", "seeds", "top-1", "shuffled", "unchanged", "gain"),
        rows=tuple(map(_ablation_cells, found)),
        words=4,
        notes=(
            "unchanged: the same row with the recipe as it is, over the seeds that both were run with; gain: the "
            "difference seed by seed, ± its 95% interval. A single seed has none, and decides nothing.",
        ),
    )


def ablations_content(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """The same as plain values."""
    return [
        {
            "recipe": one.row,
            "changes": one.group.changes,
            "scale": one.group.scale,
            "data": one.group.data.name,
            "weights": asdict(one.group.weights),
            "top1": {result.seed: result.top1 for result in one.group.of(one.row)},
            "unchanged_top1": {result.seed: result.top1 for result in one.base},
            "gain": asdict(one.gain.estimate) if one.gain else None,
        }
        for one in ablations(groups)
    ]


def _ablation_cells(ablation: Ablation) -> tuple[str, ...]:
    group, measured = ablation.group, ablation.measured
    base = estimate([result.top1 for result in ablation.base]) if ablation.base else None
    return (
        ablation.row,
        brief(group.changes),
        str(setting_of(group)),
        ", ".join(map(str, measured.seeds)),
        str(measured.top1),
        str(measured.probes["shuffled"]),
        NONE if base is None else str(base),
        NONE if ablation.gain is None else str(ablation.gain),
    )


def _comparable(unchanged: Group, changed: Group) -> bool:
    return all(
        (
            unchanged.table == changed.table,
            unchanged.scale == changed.scale,
            unchanged.data == changed.data,
            unchanged.weights.group == changed.weights.group,
        )
    )

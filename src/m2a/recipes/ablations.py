"""Rows of the paper that were run with a changed recipe, beside the same rows with one change less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from m2a.estimate import estimate
from m2a.recipes.groups import Group, Measured
from m2a.recipes.paired import Gain, paired_gain, setting_of
from m2a.recipes.paper import brief, single_changes
from m2a.recipes.results import Result
from m2a.recipes.tables import NONE, TextTable

_AS_IT_IS = "the recipe as it is"


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A row run with a changed recipe, beside the same row with fewer changes or none."""

    group: Group
    row: str
    measured: Measured
    beside: dict[str, Any]
    """The changes that `base` was run with."""
    base: tuple[Result, ...]
    """Runs with the same seeds and as many of the changes as there are results of; empty where there are none."""

    @property
    def gain(self) -> Gain | None:
        return paired_gain(self.group.of(self.row), self.base)


def ablations(groups: Sequence[Group]) -> list[Ablation]:
    """Of every row of every changed recipe; once where another table has the same model's runs too. A recipe of two
    changes that were also run one at a time stands beside each of these."""
    found = []
    for group in (group for group in groups if group.changes):
        for row, measured in group.rows:
            if measured is not None and row.name in measured.run_as:
                for beside, base in _bases(groups, group, row.name, measured.seeds) or [({}, [])]:
                    found.append(
                        Ablation(group=group, row=row.name, measured=measured, beside=dict(beside), base=tuple(base))
                    )
    return found


def _bases(
    groups: Sequence[Group], group: Group, row: str, seeds: Sequence[int]
) -> list[tuple[Mapping[str, Any], list[Result]]]:
    """Changes and runs of the row with some of the group's changes or none, where no other such has more of them."""
    found = []
    for other in groups:
        if _comparable(other, group) and set(single_changes(other.changes)) < set(single_changes(group.changes)):
            base = [result for result in other.of(row) if result.seed in seeds]
            found += [(set(single_changes(other.changes)), other.changes, base)] if base else []
    return [(changes, base) for parts, changes, base in found if not any(parts < more for more, _, _ in found)]


def ablations_table(groups: Sequence[Group]) -> TextTable | None:
    """None where no changed recipe was run."""
    found = ablations(groups)
    if not found:
        return None
    return TextTable(
        title="Changes to the recipe",
        head=("row", "change", "clips, scale, weights", "seeds", "top-1", "shuffled", "beside", "its top-1", "gain"),
        rows=tuple(map(_ablation_cells, found)),
        words=4,
        notes=(
            "beside: what the same row was run with that the change is compared with, the recipe as it is or the same "
            "without one of several changes; its top-1: over the seeds that both were run with; gain: the difference "
            "seed by seed, ± its 95% interval. A single seed has none, and decides nothing.",
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
            "beside": one.beside,
            "beside_top1": {result.seed: result.top1 for result in one.base},
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
        setting_of(group).unchanged,
        ", ".join(map(str, measured.seeds)),
        str(measured.top1),
        str(measured.probes["shuffled"]),
        brief(ablation.beside) or _AS_IT_IS,
        NONE if base is None else str(base),
        NONE if ablation.gain is None else str(ablation.gain),
    )


def _comparable(one: Group, changed: Group) -> bool:
    return one.table == changed.table and one.alike(changed, but_for={*one.changes, *changed.changes})

"""Rows beside each other, seed by seed, and what a comparison was made on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from m2a.estimate import Estimate, paired
from m2a.recipes.groups import Group
from m2a.recipes.paper import brief
from m2a.recipes.results import Result


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Top-1 of some runs less that of others, in points, over the seeds that both were run with."""

    estimate: Estimate
    seeds: tuple[int, ...]

    @property
    def side(self) -> int:
        """See `Estimate.side`."""
        return self.estimate.side

    def __str__(self) -> str:
        mean, half = self.estimate.mean, self.estimate.half_width
        return f"{mean:+.1f}" + (" (one seed)" if half is None else f" ± {half:.1f}")


def paired_gain(ours: Sequence[Result], theirs: Sequence[Result]) -> Gain | None:
    """Seed by seed; None where no seed is common."""
    found, seeds = paired(*({result.seed: result.top1 for result in results} for results in (ours, theirs)))
    return None if found is None else Gain(estimate=found, seeds=seeds)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What results of several tables have in common: scale, clips, weights and changes of the recipe."""

    scale: str
    data: str
    fingerprint: str
    weights: tuple[str, ...]
    weights_named: str
    changes: str
    """In a line; empty where the recipe is as it is."""

    @property
    def unchanged(self) -> str:
        """In a line, without the changes."""
        return f"{self.data}, {self.scale}, {self.weights_named}"

    def __str__(self) -> str:
        return f"{self.unchanged}, {self.changes}" if self.changes else self.unchanged


def setting_of(group: Group) -> Setting:
    return Setting(
        scale=group.scale,
        data=group.data.name,
        fingerprint=group.data.fingerprint,
        weights=group.weights.group[:1],  # each network has a file of its own
        weights_named="random weights" if group.weights.kind == "random" else "ImageNet weights",
        changes=brief(group.changes),
    )

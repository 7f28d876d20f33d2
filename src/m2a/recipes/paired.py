"""Rows beside each other, seed by seed, and what a comparison was made on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from m2a.recipes.estimate import Estimate, estimate
from m2a.recipes.groups import Group
from m2a.recipes.paper import brief
from m2a.recipes.results import Result

_NO_WIDTH = 1e-9  # points: percentages that differ by as many clips differ in their last bits


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Top-1 of some runs less that of others, in points, over the seeds that both were run with."""

    estimate: Estimate
    seeds: tuple[int, ...]

    @property
    def side(self) -> int:
        """1 where the whole interval is above zero, -1 where it is below, else 0. Of one seed nothing is known, nor of
        several that agree to the last clip: an interval without width is no certainty."""
        mean, half = self.estimate.mean, self.estimate.half_width
        if half is None or half < _NO_WIDTH or not abs(mean) > half:
            return 0
        return 1 if mean > 0 else -1

    def __str__(self) -> str:
        mean, half = self.estimate.mean, self.estimate.half_width
        return f"{mean:+.1f}" + (" (one seed)" if half is None else f" ± {half:.1f}")


def paired_gain(ours: Sequence[Result], theirs: Sequence[Result]) -> Gain | None:
    """Seed by seed; None where no seed is common."""
    others = {result.seed: result.top1 for result in theirs}
    pairs = {result.seed: result.top1 - others[result.seed] for result in ours if result.seed in others}
    if not pairs:
        return None
    return Gain(estimate=estimate(list(pairs.values())), seeds=tuple(sorted(pairs)))


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

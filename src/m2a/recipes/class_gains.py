"""The paper's Figure 5: what M2A gains over other mechanisms, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from m2a.estimate import Estimate, estimate
from m2a.recipes.groups import Group
from m2a.recipes.results import Result

TABLE, OURS = "V", "m2a"
RIVALS = ("tam", "tdn", "tea")
"""As in the paper's figure."""


@dataclass(frozen=True, kw_only=True)
class ClassGains:
    """Top-1 of m2a less that of another mechanism, in points: the mean over the seeds that both were run with."""

    rival: str
    seeds: tuple[int, ...]
    gains: dict[str, Estimate]
    """By label."""


def class_gains(group: Group) -> list[ClassGains]:
    """Of each of `RIVALS` that was run with a seed that m2a was run with; empty where the group is of another table."""
    if group.table != TABLE:
        return []
    ours = {result.seed: result for result in group.of(f"{TABLE}/{OURS}")}
    found = []
    for rival in RIVALS:
        pairs = [(ours[theirs.seed], theirs) for theirs in group.of(f"{TABLE}/{rival}") if theirs.seed in ours]
        if pairs:
            seeds = tuple(result.seed for result, _ in pairs)
            found.append(ClassGains(rival=rival, seeds=seeds, gains=_gains(pairs)))
    return found


def _gains(pairs: Sequence[tuple[Result, Result]]) -> dict[str, Estimate]:
    """Of each label that was measured in all runs."""
    gains = {}
    for label in pairs[0][0].per_class:
        levels = [(ours.per_class[label], theirs.per_class[label]) for ours, theirs in pairs]
        differences = [a - b for a, b in levels if a is not None and b is not None]
        if len(differences) == len(pairs):
            gains[label] = estimate(differences)
    return gains

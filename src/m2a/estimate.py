"""Intervals at 95%: of a mean over seeds, by Student's t, and of one accuracy, by Wilson."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_NO_WIDTH = 1e-9  # points: percentages that differ by as many clips differ in their last bits


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The mean of `n` values; `half_width` of the interval around it is None for a single value."""

    mean: float
    half_width: float | None
    n: int

    @property
    def side(self) -> int:
        """1 where the whole interval is above zero, -1 where it is below, else 0. Of one value nothing is known, nor of
        several that agree to the last clip: an interval without width is no certainty."""
        if self.half_width is None or self.half_width < _NO_WIDTH or not abs(self.mean) > self.half_width:
            return 0
        return 1 if self.mean > 0 else -1

    def __str__(self) -> str:
        return f"{self.mean:.1f}" + ("" if self.half_width is None else f" ± {self.half_width:.1f}")


def estimate(values: Sequence[float], *, level: float = 0.95) -> Estimate:
    """Mean and interval of independent values: mean ± t s / sqrt(n), with n - 1 degrees of freedom."""
    n = len(values)
    mean = statistics.fmean(values)
    if n < 2:
        return Estimate(mean=mean, half_width=None, n=n)
    half_width = t_quantile(level, n - 1) * statistics.stdev(values) / math.sqrt(n)
    return Estimate(mean=mean, half_width=half_width, n=n)


def paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> tuple[Estimate | None, tuple[int, ...]]:
    """What is ours less what is theirs, by seed, each seed's difference taken by itself, and the seeds that both have;
    None where that is none."""
    common = tuple(sorted(ours.keys() & theirs.keys()))
    return estimate([ours[seed] - theirs[seed] for seed in common]) if common else None, common


def t_quantile(level: float, degrees: int) -> float:
    """The t with P(|T| < t) = level for Student's T with so many degrees of freedom."""
    from scipy.special import stdtrit  # a part of a second, which few commands need

    return float(stdtrit(degrees, (1 + level) / 2))


def wilson(top1: float, clips: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of an accuracy in percent: what the number of clips alone leaves open."""
    from scipy.special import ndtri

    z, p = float(ndtri((1 + level) / 2)), top1 / 100
    middle = (p + z * z / (2 * clips)) / (1 + z * z / clips)
    half = z * math.sqrt(max(0.0, p * (1 - p) / clips + z * z / (4 * clips * clips))) / (1 + z * z / clips)
    return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)

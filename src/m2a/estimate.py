"""A mean over seeds with its 95% interval, by Student's t."""

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
    low, high = 0.0, 1.0
    while _within(high, degrees) < level:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < level else (low, middle)
    return high


def _within(t: float, degrees: int) -> float:
    """P(|T| < t), by the finite series for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    theta = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = degrees % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(odd + 2, degrees + 1, 2):  # powers of the cosine up to degrees - 2
        total += term
        term *= cosine**2 * (k - 1) / k
    return 2 / math.pi * (theta + sine * total) if odd else sine * total

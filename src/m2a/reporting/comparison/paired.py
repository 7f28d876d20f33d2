"""Two runs on the same clips: the difference in accuracy, how far chance reaches, and whether it is more than that.

A clip counts as 1 where only the second run names it, as -1 where only the first does, else as 0. The difference in
accuracy is the mean of these, and everything here follows from how many there are of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hits = NDArray[np.bool_]
"""For each clip, (N,), whether a run named it rightly."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """On how many clips two runs agree: named by both, by the baseline only, by the other only, by neither."""

    both: int
    only_baseline: int
    only_run: int
    neither: int

    @classmethod
    def of(cls, baseline: Hits, run: Hits) -> Agreement:
        """Counted clip by clip."""
        return cls(
            both=int((baseline & run).sum()),
            only_baseline=int((baseline & ~run).sum()),
            only_run=int((~baseline & run).sum()),
            neither=int((~baseline & ~run).sum()),
        )

    @property
    def clips(self) -> int:
        return self.both + self.only_baseline + self.only_run + self.neither

    @property
    def difference(self) -> float:
        """Accuracy of the run less that of the baseline, in percentage points."""
        return 100 * (self.only_run - self.only_baseline) / self.clips

    def interval(self, rng: np.random.Generator, resamples: int) -> tuple[float, float]:
        """The paired bootstrap's 95% interval of the difference, in points, by percentiles.

        Clips are drawn with replacement. How often each of the three outcomes is drawn is multinomial, so the counts
        are drawn at once. Where no clip comes out differently the interval has no width: the clips show no spread.
        """
        draws = rng.multinomial(
            self.clips, np.array([self.only_run, self.only_baseline, self.both + self.neither]) / self.clips, resamples
        )
        low, high = np.percentile(100 * (draws[:, 0] - draws[:, 1]) / self.clips, [2.5, 97.5])
        return float(low), float(high)

    def p_value(self) -> float:
        """McNemar's exact test: were both equally good, each clip that one alone names would be either's with the same
        chance. The probability, two-sided, of a split at least as uneven as the one seen."""
        from scipy.stats import binomtest

        discordant = self.only_run + self.only_baseline
        return float(binomtest(self.only_run, discordant, 0.5).pvalue) if discordant else 1.0


def row_of(baseline: Hits, run: Hits, rng: np.random.Generator, resamples: int) -> dict[str, Any]:
    """Clips, accuracy of both, difference and its interval, in percent and points."""
    counts = Agreement.of(baseline, run)
    low, high = counts.interval(rng, resamples)
    return {
        "clips": counts.clips,
        "top1_baseline": 100 * (counts.both + counts.only_baseline) / counts.clips,
        "top1": 100 * (counts.both + counts.only_run) / counts.clips,
        "difference": counts.difference,
        "low": low,
        "high": high,
        "p_value": counts.p_value(),
    }

"""Two runs on the same clips: the difference in accuracy, how far chance reaches, and whether it is more than that.

A clip counts as 1 where only the second run names it, as -1 where only the first does, else as 0. The difference in
accuracy is the mean of these, and everything here follows from how many there are of each. Clips of one recording are
right or wrong together; where it is known which they are, everything follows from the recordings' clips and sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2a.reporting.comparison.grouping import Groups

Hits = NDArray[np.bool_]
"""For each clip, (N,), whether a run named it rightly."""
_AT_ONCE = 1000  # resamples; there may be as many kinds of recording


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Recordings:
    """Two runs on clips of which several are of one recording: what each recording has of clips, and of them named by
    the other run only less by the baseline only."""

    clips: NDArray[np.int64]
    gains: NDArray[np.int64]

    @classmethod
    def of(cls, baseline: Hits, run: Hits, groups: Groups) -> Recordings:
        """Counted recording by recording."""
        names, places = np.unique(groups, return_inverse=True)
        clips, won, lost = (
            np.bincount(places[chosen], minlength=len(names))
            for chosen in (np.full(len(groups), True), run & ~baseline, baseline & ~run)
        )
        return cls(clips=clips, gains=won - lost)

    def interval(self, rng: np.random.Generator, resamples: int) -> tuple[float, float]:
        """As `Agreement.interval`, with whole recordings drawn with replacement.

        How often each kind of recording is drawn, of so many clips and such a gain, is multinomial. The clips of a draw
        may be more or fewer than there are.
        """
        kinds, times = np.unique(np.stack([self.clips, self.gains], 1), axis=0, return_counts=True)
        shares = times / len(self.clips)
        differences: list[float] = []
        while len(differences) < resamples:
            number = min(_AT_ONCE, resamples - len(differences))
            clips, gains = (rng.multinomial(len(self.clips), shares, number) @ kinds).T
            differences += (100 * gains / clips).tolist()
        low, high = np.percentile(differences, [2.5, 97.5])
        return float(low), float(high)

    def p_value(self) -> float:
        """The exact sign-flip test: were both equally good, each recording's gain could as well be that of the other
        run. The probability, two-sided, of a sum of gains at least as far from 0 as the one seen. McNemar's exact test
        where every recording is one clip.
        """
        from scipy.stats import binom

        sizes, times = np.unique(np.abs(self.gains[self.gains != 0]), return_counts=True)
        chances = np.ones(1)  # of each sum of the gains that fall to one of the runs
        for size, number in zip(sizes.tolist(), times.tolist(), strict=True):
            own = np.zeros(size * number + 1)
            own[::size] = binom.pmf(np.arange(number + 1), number, 0.5)
            chances = np.convolve(chances, own)
        total, sum_of_gains = len(chances) - 1, abs(int(self.gains.sum()))
        return min(1.0, 2 * float(chances[(total + sum_of_gains) // 2 :].sum()))


def row_of(
    baseline: Hits, run: Hits, rng: np.random.Generator, resamples: int, groups: Groups | None = None
) -> dict[str, Any]:
    """Clips, recordings (None where they are not known), accuracy of both, difference, its interval and p-value, in
    percent and points."""
    counts = Agreement.of(baseline, run)
    drawn = counts if groups is None else Recordings.of(baseline, run, groups)
    low, high = drawn.interval(rng, resamples)
    return {
        "clips": counts.clips,
        "groups": None if isinstance(drawn, Agreement) else len(drawn.clips),
        "top1_baseline": 100 * (counts.both + counts.only_baseline) / counts.clips,
        "top1": 100 * (counts.both + counts.only_run) / counts.clips,
        "difference": counts.difference,
        "low": low,
        "high": high,
        "p_value": drawn.p_value(),
    }

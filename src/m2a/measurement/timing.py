"""Two programs timed in turns, A B A B, so that what else the machine does falls on both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from m2a.errors import ConfigError

Run = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Seconds of the two, one each a repeat, in the order in which they were measured."""

    bare_seconds: tuple[float, ...]
    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.seconds or len(self.seconds) != len(self.bare_seconds):
            raise ConfigError(
                f"Pairs need as many times of one as of the other, and at least one; got {len(self.bare_seconds)} and "
                f"{len(self.seconds)}."
            )

    @property
    def ratios(self) -> tuple[float, ...]:
        return tuple(one / bare for bare, one in zip(self.bare_seconds, self.seconds, strict=True))

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios."""
        return statistics.median(self.ratios)

    @property
    def overhead_ms(self) -> float:
        """The median of the pairs' differences."""
        pairs = zip(self.bare_seconds, self.seconds, strict=True)
        return 1000 * statistics.median(one - bare for bare, one in pairs)

    def to_dict(self) -> dict[str, Any]:
        return {
            "p50_ms": 1000 * quantile(self.seconds, 0.5),
            "p95_ms": 1000 * quantile(self.seconds, 0.95),
            "bare_p50_ms": 1000 * quantile(self.bare_seconds, 0.5),
            "bare_p95_ms": 1000 * quantile(self.bare_seconds, 0.95),
            "ratio": self.ratio,
            "ratio_quartiles": [quantile(self.ratios, 0.25), quantile(self.ratios, 0.75)],
            "ratio_range": [min(self.ratios), max(self.ratios)],
            "overhead_ms": self.overhead_ms,
            "bare_seconds": list(self.bare_seconds),
            "seconds": list(self.seconds),
        }


def interleave(bare: Run, run: Run, *, repeats: int, warmup: int = 1, device: str | torch.device = "cpu") -> Pair:
    """Runs the two in turns, `warmup` times before anything is measured and `repeats` times with the clock on. On a
    GPU the clock stops when the device is done.

    Raises ConfigError when repeats is below 1 or warmup below 0.
    """
    if repeats < 1 or warmup < 0:
        raise ConfigError(f"repeats must be at least 1 and warmup at least 0; got {repeats} and {warmup}.")
    first, second = [], []
    for repeat in range(-warmup, repeats):
        before, after = seconds_of(bare, device), seconds_of(run, device)
        if repeat >= 0:
            first.append(before)
            second.append(after)
    return Pair(bare_seconds=tuple(first), seconds=tuple(second))


def seconds_of(run: Run, device: str | torch.device) -> float:
    """Wall time of one run, from a device that has nothing to do until it has nothing to do again."""
    synchronize(device)
    start = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: str | torch.device) -> None:
    """Waits for the GPU; a CPU is done when a call returns."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values lie below, linear between neighbours: 0.5 is the median."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


@contextmanager
def threads(count: int | None) -> Iterator[int]:
    """So many threads for torch's operations in here; None leaves them as they are. Gives the number."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)

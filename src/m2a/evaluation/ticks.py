"""The frames of a video at even times, and a few of them to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from m2a.data.readers import ClipReader
from m2a.errors import ConfigError

_STRIP_FRAMES = 12


def evenly(clip: ClipReader, given: float | None) -> tuple[float, Sequence[int]]:
    """Ticks a second, and the frame that is seen at each tick. As a rule these are the frames themselves; where they do
    not come evenly, as in films of screens and of some phones, a frame may be seen at several ticks or at none."""
    rate, times = clip.frame_rate or given, clip.times()
    if times is not None and times and times[-1] > times[0]:
        when, numbers = np.array(times), np.arange(len(times))
        for even in filter(None, (rate, (len(times) - 1) / times[-1])):
            if np.abs(when - numbers / even).max() < 0.5 / even:
                return even, range(len(times))
        steps = np.diff(when)
        rate = 1 / float(np.median(steps[steps > 0]))  # frames at one and the same time are no step
        edges = (np.arange(round(times[-1] * rate) + 1) + 0.5) / rate
        return rate, (np.searchsorted(when, edges, side="right") - 1).tolist()
    if rate is None or rate <= 0:
        raise ConfigError(f"{clip.path} does not say how many frames make a second. Give frame_rate= (--frame-rate).")
    return rate, range(clip.num_frames)


def strip_of(ticks: Sequence[int], rate: float) -> dict[int, list[float]]:
    """The frames of a film strip, and the times at which each is seen."""
    shown: dict[int, list[float]] = {}
    for tick in sorted({(2 * k + 1) * len(ticks) // (2 * _STRIP_FRAMES) for k in range(_STRIP_FRAMES)}):
        shown.setdefault(ticks[tick], []).append(tick / rate)
    return shown


def picture_of(frame: UInt8[Tensor, "3 H W"]) -> NDArray[Any]:
    """(h, w, 3), with pixels left out, of about 160 lines."""
    every = max(1, min(frame.shape[-2:]) // 160)
    return np.ascontiguousarray(frame[:, ::every, ::every].permute(1, 2, 0).numpy())

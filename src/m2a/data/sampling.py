"""Which frames of a clip a model sees: ints in, ints out.

Temporal Segment Networks, https://arxiv.org/abs/1608.00859: the clip is cut into equal segments, one frame from each.
"""

from __future__ import annotations

import numpy as np

from ..errors import ConfigError


def segment_indices(total: int, num_frames: int, *, random: np.random.Generator | None = None) -> list[int]:
    """One frame from each of `num_frames` equal segments of a clip of `total` frames, in order.

    Without `random` the segment's centre (for testing); with it a place drawn uniformly inside (for training)::

        frames    0 1 2 3 4 5 6 7 8 9      total=10, num_frames=4: segments of 2.5 frames
        segments  |----|----|----|----|
        centres     1    3    6    8

    Segment k covers the time from `k * total / num_frames` to `(k + 1) * total / num_frames`; a frame covers one
    unit. A clip shorter than `num_frames` repeats frames, in order: 3 frames for 4 become 0, 1, 1, 2.

    Differs from the TSN and TSM code in: training segments there are `total // num_frames` frames long, so the rest
    at the end of a clip is never seen (of 15 frames for 8, always the first 8) although testing sees it; here they
    are the segments of testing. Where `num_frames` divides `total`, the two agree.
    """
    _validate_counts(total, num_frames)
    if random is None:
        return [(2 * k + 1) * total // (2 * num_frames) for k in range(num_frames)]
    places = (np.arange(num_frames) + random.random(num_frames)) * total / num_frames
    return [min(int(place), total - 1) for place in places]


def _validate_counts(total: int, num_frames: int) -> None:
    if total < 1:
        raise ConfigError(f"cannot sample from a clip of {total} frames; it needs at least 1")
    if num_frames < 1:
        raise ConfigError(f"num_frames is {num_frames}; ask for at least 1 frame")

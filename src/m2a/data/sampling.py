"""Which frames of a clip a model sees: ints in, ints out.

    segments   one frame from each of T equal segments, drawn in each (Temporal Segment Networks,
               https://arxiv.org/abs/1608.00859, section 3.2)
    uniform    T frames at equal distances, which are drawn together
    dense      T frames `stride` apart, from a place that is drawn (as 3D networks are trained)

In testing nothing is drawn: one view has the middle of the segments, or of the clip; several views are spread evenly.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from ..errors import ConfigError

Sampling = Literal["segments", "uniform", "dense"]


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
    if random is None:
        return view_indices(total, num_frames)
    _validate_counts(total, num_frames)
    places = (np.arange(num_frames) + random.random(num_frames)) * total / num_frames
    return [min(int(place), total - 1) for place in places]


def drawn_indices(
    total: int, num_frames: int, *, random: np.random.Generator, sampling: Sampling = "segments", stride: int = 1
) -> list[int]:
    """Frames for training, of a clip of `total` frames.

    Dense sampling of a clip that is shorter than `(num_frames - 1) * stride + 1` takes equal segments instead, so that
    no clip is run through twice. Raises ConfigError for counts below 1.
    """
    if sampling == "segments":
        return segment_indices(total, num_frames, random=random)
    _validate_counts(total, num_frames, stride)
    if sampling == "uniform":
        places = (np.arange(num_frames) + random.random()) * total / num_frames
        return [min(int(place), total - 1) for place in places]
    room = total - _span(num_frames, stride)
    if room < 0:
        return segment_indices(total, num_frames, random=random)
    start = int(random.integers(room + 1))
    return [start + k * stride for k in range(num_frames)]


def view_indices(
    total: int, num_frames: int, *, sampling: Sampling = "segments", stride: int = 1, view: int = 0, views: int = 1
) -> list[int]:
    """Frames for testing: those of one view of `views`, which are numbered from 0.

    Segments are cut into `views` equal parts, and view v has the middle of each part v; dense windows start in the
    middle of `views` equal parts of where they can start. A clip that is too short for a dense window is sampled by
    segments.

    Raises ConfigError for counts below 1 or a view that there is none of.
    """
    _validate_counts(total, num_frames, stride)
    if not 0 <= view < views:
        raise ConfigError(f"view is {view} of {views} views; views are numbered from 0")
    room = total - _span(num_frames, stride)
    if sampling == "dense" and room >= 0:
        start = (2 * view + 1) * (room + 1) // (2 * views)
        return [min(start, room) + k * stride for k in range(num_frames)]
    parts = num_frames * views
    return [(2 * (k * views + view) + 1) * total // (2 * parts) for k in range(num_frames)]


def check_sampling(sampling: str, stride: int) -> None:
    """Raises ConfigError for a sampling that there is none of, or a stride below 1."""
    if sampling not in get_args(Sampling):
        raise ConfigError(f"sampling={sampling!r} is not one of: {', '.join(get_args(Sampling))}")
    if stride < 1:
        raise ConfigError(f"stride is {stride}; it is the distance of the frames of a dense sample, at least 1")


def _span(num_frames: int, stride: int) -> int:
    return (num_frames - 1) * stride + 1


def _validate_counts(total: int, num_frames: int, stride: int = 1) -> None:
    if total < 1:
        raise ConfigError(f"cannot sample from a clip of {total} frames; it needs at least 1")
    if num_frames < 1:
        raise ConfigError(f"num_frames is {num_frames}; ask for at least 1 frame")
    if stride < 1:
        raise ConfigError(f"stride is {stride}; it must be at least 1")

"""Every frame of a video under the heat of the few that a model saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2a.data.preprocessing import Preprocessing
from m2a.data.readers import open_clip
from m2a.explanation.explain import Explanation

MOST_FRAMES = 300


@dataclass(frozen=True, kw_only=True, eq=False)
class WholeClip:
    """N frames of a video, from its first to its last, and the heat over each."""

    indices: tuple[int, ...]
    frames: NDArray[np.uint8]
    """(N, H, W, 3), cropped as the model's."""
    heat: NDArray[np.float32]
    """(N, H, W): of a frame that the model did not see between those of its neighbours that it saw, linearly in time;
    before the first and after the last as there."""
    frame_rate: float | None
    """Of these frames, where the video says."""


def whole_clip(explanation: Explanation, preprocessing: Preprocessing, *, most: int = MOST_FRAMES) -> WholeClip:
    """All frames of an explained video, or every second, third, ... where there are more than `most`."""
    with open_clip(explanation.path, short_side=preprocessing.smallest_side) as clip:
        every = -(-clip.num_frames // most)
        indices = list(range(0, clip.num_frames, every))
        rate = clip.frame_rate
        shown = [
            preprocessing.test_transform(frame[None])[0].permute(1, 2, 0).numpy() for _, frame in clip.stream(indices)
        ]
    return WholeClip(
        indices=tuple(indices),
        frames=np.stack(shown),
        heat=between(explanation.heat, explanation.indices, indices),
        frame_rate=None if rate is None else rate / every,
    )


def between(heat: NDArray[Any], seen: tuple[int, ...], wanted: list[int]) -> NDArray[np.float32]:
    """The heat of the frames `wanted`, linearly between those that were `seen`; both rise, those seen may repeat."""
    places, first = np.unique(np.array(seen), return_index=True)
    position = np.interp(wanted, places, np.arange(len(places)))
    lower = np.floor(position).astype(int)
    upper = np.minimum(lower + 1, len(places) - 1)
    share = (position - lower).astype(np.float32)[:, None, None]
    maps = heat[first]
    return ((1 - share) * maps[lower] + share * maps[upper]).astype(np.float32)

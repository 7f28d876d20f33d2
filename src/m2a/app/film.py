"""Videos for a browser: a clip as one watches it, and with a model's heat over it.

Shapes: N frames that are shown, T frames that a model sees, H x W pixels of a shown frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from m2a.data import Preprocessing
from m2a.data.readers import ClipReader
from m2a.errors import UnreadableClipError
from m2a.explanation import heat_overlay

FRAME_RATE = 12
MAX_FRAMES = 180
SHORT_SIDE = (240, 360)  # pixels of a shown frame, at least and at most
LONG_SIDE = 640
OUTSIDE = 0.3  # what is left of the light where a model does not look
_CHUNK = 16  # frames coloured at a time


@dataclass(frozen=True, kw_only=True, eq=False)
class Film:
    """A clip at a size and rate that is good to watch."""

    frames: NDArray[np.uint8]
    """(N, H, W, 3), H and W even."""
    indices: tuple[int, ...]
    """Numbers of the frames in the clip, rising."""
    frame_rate: Fraction
    """Such that the film lasts as long as the clip."""
    size: tuple[int, int]
    """Height and width of the clip itself."""


def read_film(clip: ClipReader, seconds: float, *, watched: Callable[[], None] = lambda: None) -> Film:
    """Frames of a clip that lasts `seconds`, spread evenly in time, decoded in one pass; where its frames do not come
    evenly, one may be there several times. `watched` is called at each. Raises UnreadableClipError, and what `watched`
    does."""
    count = min(clip.num_frames, max(2, round(seconds * FRAME_RATE)), MAX_FRAMES)
    indices = _spread(clip, count, seconds)
    frames, size = [], (0, 0)
    times = Counter(indices)
    for index, frame in clip.stream(sorted(times)):
        watched()
        if size not in ((0, 0), (frame.shape[1], frame.shape[2])):
            raise UnreadableClipError(clip.path, f"the size of its frames changes at frame {index}")
        size = (frame.shape[1], frame.shape[2])
        shown = interpolate(frame[None], shown_size(*size), mode="bilinear", antialias=True)
        frames += [np.ascontiguousarray(shown[0].permute(1, 2, 0).numpy())] * times[index]
    rate = Fraction(count / seconds).limit_denominator(1000) if seconds > 0 else Fraction(FRAME_RATE)
    return Film(frames=np.stack(frames), indices=tuple(indices), frame_rate=max(rate, Fraction(1, 100)), size=size)


def _spread(clip: ClipReader, count: int, seconds: float) -> list[int]:
    """The frames that are to be seen in the middles of so many equal parts of the clip's time."""
    times = clip.times()
    if not times or len(times) != clip.num_frames or seconds <= 0:
        return [(2 * k + 1) * clip.num_frames // (2 * count) for k in range(count)]
    middles = (np.arange(count) + 0.5) * seconds / count
    return (np.searchsorted(np.array(times), middles, side="right") - 1).clip(0, clip.num_frames - 1).tolist()


def shown_size(height: int, width: int) -> tuple[int, int]:
    """Even height and width at which a frame is shown: small ones are enlarged, large ones reduced."""
    short, long = min(height, width), max(height, width)
    scale = min(min(max(short, SHORT_SIDE[0]), SHORT_SIDE[1]) / short, LONG_SIDE / long)
    even = [max(2, 2 * round(side * scale / 2)) for side in (height, width)]
    return even[0], even[1]


def encode(
    frames: NDArray[np.uint8], frame_rate: Fraction | int, *, watched: Callable[[], None] = lambda: None
) -> bytes:
    """An mp4 (H.264, yuv420p) of (N, H, W, 3) frames, in memory; H and W are even. `watched` is called at each."""
    file = BytesIO()
    _, height, width, _ = frames.shape
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=frame_rate, options={"preset": "veryfast", "crf": "21"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            watched()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def with_heat(
    film: Film, heat: NDArray[np.float32], seen: Sequence[int], preprocessing: Preprocessing
) -> NDArray[np.uint8]:
    """The frames of a film with heat over them, (N, H, W, 3); what the model does not see is darkened.

    Args:
        film: of the whole clip.
        heat: (T, S, S) in 0 to 1, of the frames and the crop that the model sees. Between two of the frames it is
            interpolated.
        seen: numbers of the T frames in the clip, rising; they may repeat.
        preprocessing: the model's, which says where its crop lies.
    """
    _, height, width, _ = film.frames.shape
    top, left, side = crop_of(height, width, preprocessing)
    maps_TSS = torch.from_numpy(heat)[:, None]
    enlarged = interpolate(maps_TSS, (side, side), mode="bilinear")[:, 0].clamp(0, 1).numpy()
    weights = weights_of(film.indices, seen)
    out = _dimmed(film.frames)
    for start in range(0, len(out), _CHUNK):
        part = slice(start, start + _CHUNK)
        inside = film.frames[part, top : top + side, left : left + side]
        seen_at_all = weights[part].any(1)
        painted = heat_overlay(np.ascontiguousarray(inside), np.tensordot(weights[part], enlarged, 1))
        out[part, top : top + side, left : left + side][seen_at_all] = painted[seen_at_all]
    return out


def _dimmed(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frames in dark grey; in whole numbers, for there are many pixels."""
    red, green, blue = (frames[..., k].astype(np.uint16) for k in range(3))
    grey = (77 * red + 150 * green + 29 * blue) >> 8
    dark = (grey * np.uint16(256 * OUTSIDE) >> 8).astype(np.uint8)
    return np.repeat(dark[..., None], 3, axis=-1)


def crop_of(height: int, width: int, preprocessing: Preprocessing) -> tuple[int, int, int]:
    """Top, left and side in pixels of the square in a frame that the model sees."""
    side = round(min(height, width) * preprocessing.size / preprocessing.short_side)
    return (height - side) // 2, (width - side) // 2, side


def weights_of(shown: Sequence[int], seen: Sequence[int]) -> NDArray[np.float32]:
    """(N, T): how much of the heat of each frame seen goes into each frame shown, summing to 1 in a row. A row is all
    zeros where a shown frame lies further outside of those seen than they lie apart: there the model does not look."""
    places, first = np.unique(np.asarray(seen), return_index=True)
    apart = int(np.diff(places).max()) if len(places) > 1 else max(shown, default=0) + 1
    weights = np.zeros((len(shown), len(seen)), dtype=np.float32)
    for row, index in enumerate(shown):
        if places[0] - apart <= index <= places[-1] + apart:
            position = float(np.interp(index, places, np.arange(len(places))))
            before = int(position)
            after = min(before + 1, len(places) - 1)
            weights[row, first[before]] += 1 - (position - before)
            weights[row, first[after]] += position - before
    return weights

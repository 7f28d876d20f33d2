"""Film strips: the frames of a clip side by side in one image that travels inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from m2a.errors import ClipShapeError

GAP = 2  # pixels between frames
MAX_HEIGHT = 160  # taller frames are made smaller: a strip is for looking at, not for measuring
_BETWEEN = (18, 20, 23)


@dataclass(frozen=True, kw_only=True)
class FilmStrip:
    """Frames of one clip in the order of time, each `(H, W, 3)` uint8, under a title; with `overlay`, as many pictures
    of the same size in a second row, such as the frames with heat over them."""

    title: str
    frames: Sequence[NDArray[Any]]
    caption: str = ""
    overlay: Sequence[NDArray[Any]] = ()
    overlay_shows: str = ""
    """What the second row shows, for those who do not see it."""


@dataclass(frozen=True, kw_only=True)
class StripImage:
    """A film strip as the page needs it."""

    title: str
    caption: str
    alt: str
    data: str
    width: int
    height: int
    num_frames: int
    overlaid: bool = False
    """Whether there is a second row."""


def render(strip: FilmStrip) -> StripImage:
    """Lay the frames out from left to right, the overlay below, and encode them as one JPEG in a data URI."""
    _validate_frames(strip)
    rows = [strip.frames, strip.overlay] if len(strip.overlay) else [strip.frames]
    height, width = strip.frames[0].shape[:2]
    scale = min(1.0, MAX_HEIGHT / height)
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    num = len(strip.frames)
    size = (num * width + (num - 1) * GAP, len(rows) * height + (len(rows) - 1) * GAP)
    canvas = Image.new("RGB", size, _BETWEEN)
    for row, frames in enumerate(rows):
        for i, frame in enumerate(frames):
            image = Image.fromarray(np.ascontiguousarray(frame))
            if scale < 1:
                image = image.resize((width, height), Image.Resampling.LANCZOS)
            canvas.paste(image, (i * (width + GAP), row * (height + GAP)))
    below = f"; below them {strip.overlay_shows or 'the same frames with heat'}" if len(rows) > 1 else ""
    buffer = io.BytesIO()
    canvas.save(buffer, "JPEG", quality=85, subsampling=0, optimize=True)
    return StripImage(
        title=strip.title,
        caption=strip.caption,
        alt=f"{num} frame{'s' if num > 1 else ''} of “{strip.title}”, in the order of time from left to right{below}",
        data=data_uri(buffer.getvalue(), "image/jpeg"),
        width=canvas.width,
        height=canvas.height,
        num_frames=num,
        overlaid=len(rows) > 1,
    )


def groups(strips: Sequence[FilmStrip], pairs: Sequence[tuple[str, str]]) -> list[list[StripImage]]:
    """The strips in order; two neighbours whose titles are a time-reversal pair stay together."""
    reversals = {frozenset(pair) for pair in pairs}
    result: list[list[StripImage]] = []
    for strip in map(render, strips):
        last = result[-1] if result else []
        if len(last) == 1 and frozenset((last[0].title, strip.title)) in reversals:
            last.append(strip)
        else:
            result.append([strip])
    return result


def data_uri(content: bytes, mime: str) -> str:
    """The bytes as a URI that needs no other file."""
    return f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"


def _validate_frames(strip: FilmStrip) -> None:
    if not len(strip.frames):
        raise ClipShapeError(f"film strip {strip.title!r} has no frames. Give at least one (H, W, 3) uint8 array.")
    if len(strip.overlay) not in (0, len(strip.frames)):
        raise ClipShapeError(
            f"film strip {strip.title!r} has {len(strip.frames)} frames and {len(strip.overlay)} overlays. Give one "
            "for each frame, or none."
        )
    shape = strip.frames[0].shape
    for i, frame in enumerate([*strip.frames, *strip.overlay]):
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or 0 in frame.shape:
            raise ClipShapeError(
                f"film strip {strip.title!r}, frame {i}: got {tuple(frame.shape)} {frame.dtype}, "
                "expected (H, W, 3) uint8. Move channels last and scale to 0...255."
            )
        if frame.shape != shape:
            raise ClipShapeError(
                f"film strip {strip.title!r}, frame {i}: got {tuple(frame.shape)} after {tuple(shape)}. "
                "Frames of a strip must have one size; crop or resize them."
            )

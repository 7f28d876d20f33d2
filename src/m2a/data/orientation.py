"""How the picture of a video is to be turned and mirrored before it is shown."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import av
import torch
from jaxtyping import UInt8
from torch import Tensor

_MATRIX = struct.Struct("=9i")  # rows (a, b, u), (c, d, v), (x, y, w): a pixel (x, y) is shown at (ax + cy, bx + dy)


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """One of the eight ways in which a rectangle can lie: mirrored or not, then turned."""

    mirrored: bool = False
    """Left to right, before it is turned."""
    quarter_turns: int = 0
    """Counter-clockwise, 0 to 3, as in `torch.rot90`."""

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Orientation:
        """What the file asks for a frame, as players show it; other angles go to the nearest quarter turn."""
        area = _signed_area(frame)
        if area == 0:  # the matrix would show a line or a point
            return cls()
        mirrored = area < 0
        # the angle is that of the upper edge, which mirroring left to right has turned round
        return cls(mirrored=mirrored, quarter_turns=(round(frame.rotation / 90) + 2 * mirrored) % 4)

    @property
    def degrees(self) -> int:
        """Counter-clockwise: 0, 90, 180 or 270."""
        return 90 * self.quarter_turns

    def apply(self, pixels_HWC: UInt8[Tensor, "H W 3"]) -> UInt8[Tensor, "h w 3"]:
        """The picture as it is to be shown."""
        if self.mirrored:
            pixels_HWC = pixels_HWC.flip(1)
        return torch.rot90(pixels_HWC, self.quarter_turns, dims=(0, 1)) if self.quarter_turns else pixels_HWC


class Orientations:
    """How the frames of one video lie. Each is looked at only where its angle is another than that of the frame before:
    in PyAV what is beside a frame, once it is asked for, keeps the frame in memory until Python looks for cycles, 12 MB
    of a 4K picture each time."""

    def __init__(self) -> None:
        self._degrees: float | None = None
        self._known = Orientation()

    def of(self, frame: av.VideoFrame) -> Orientation:
        if frame.rotation != self._degrees:
            self._degrees, self._known = frame.rotation, Orientation.of(frame)
        return self._known


def _signed_area(frame: av.VideoFrame) -> int:
    """The determinant of what the file asks for a frame: below 0 where it is mirrored."""
    try:
        beside: Any = frame.side_data  # a mapping, which PyAV's own types do not say
    except ValueError:  # PyAV has no name for all that is beside the frame, EXIF for one; it tells the angle still
        return 1
    matrix = beside.get("DISPLAYMATRIX")
    if matrix is None:
        return 1
    a, b, _, c, d, *_ = _MATRIX.unpack(bytes(matrix))
    return a * d - b * c

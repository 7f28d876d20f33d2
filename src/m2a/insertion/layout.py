"""How the features at a site lie in memory, and clips made of them. Views only, but for class tokens.

Shapes: N = B * T folded frames, L tokens of a frame, of which some come before its map or behind it (class and register
tokens).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from m2a.errors import ClipShapeError

Axes = Literal["NCHW", "NHWC", "NLC", "BCTHW", "BTHWC"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The axes at a site. Of tokens, how many come before the map and behind it, and the map's height and width as
    inserted."""

    axes: Axes
    prefix: int = 0
    grid: tuple[int, int] = (1, 1)
    suffix: int = 0

    def __str__(self) -> str:
        behind = f"+{self.suffix}" if self.suffix else ""
        return f"{self.axes}+{self.prefix}{behind}" if self.prefix or self.suffix else self.axes

    def clips(self, x: Tensor, num_frames: int, site: str) -> Tensor:
        """(B, T, C, H, W), of the map alone. Raises ClipShapeError when the batch holds no whole clips."""
        if self.axes == "BCTHW":
            return x.transpose(1, 2)
        if self.axes == "BTHWC":
            return x.permute(0, 1, 4, 2, 3)
        if x.shape[0] % num_frames:
            raise ClipShapeError(
                f"{x.shape[0]} frames came to {site!r}, which is not a multiple of num_frames = {num_frames}. "
                f"Fold whole clips into the batch, (B * {num_frames}, C, H, W), or set the clip length with "
                "m2a.set_num_frames(model, T)."
            )
        if self.axes == "NLC":
            places = x.shape[1] - self.prefix - self.suffix
            height, width = self._grid(places, site)
            x = x[:, self.prefix : self.prefix + places].unflatten(1, (height, width))
        frames = x if self.axes == "NCHW" else x.permute(0, 3, 1, 2)
        return frames.unflatten(0, (-1, num_frames))

    def features(self, clips_BTCHW: Tensor, like: Tensor) -> Tensor:
        """Back into the layout of `like`, with its tokens beside the map."""
        if self.axes == "BCTHW":
            return clips_BTCHW.transpose(1, 2)
        if self.axes == "BTHWC":
            return clips_BTCHW.permute(0, 1, 3, 4, 2)
        frames_NCHW = clips_BTCHW.flatten(0, 1)
        if self.axes == "NCHW":
            return frames_NCHW
        frames_NHWC = frames_NCHW.permute(0, 2, 3, 1)
        if self.axes == "NHWC":
            return frames_NHWC
        tokens_NLC = frames_NHWC.flatten(1, 2)
        if not (self.prefix or self.suffix):
            return tokens_NLC
        behind = [like[:, -self.suffix :]] if self.suffix else []
        return torch.cat([like[:, : self.prefix], tokens_NLC, *behind], dim=1)

    def _grid(self, tokens: int, site: str) -> tuple[int, int]:
        """The map's height and width: as inserted, or another size of the same shape."""
        height, width = self.grid
        if tokens == height * width:
            return self.grid
        scaled = grid_of(tokens, self.grid)
        if scaled is None:
            raise ClipShapeError(
                f"{tokens} tokens came to {site!r}; they make no map of the shape {height} x {width} that it had when "
                "the mechanism was inserted. Give images of that shape, larger or smaller."
            )
        return scaled


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the map can be seen that tokens are made of, which do not tell its height and width themselves."""

    module: str
    position: Literal["before", "after"]
    """Whether it goes into the module or comes out of it."""
    height_axis: int
    """The axis of its height; the one behind is its width."""
    size: tuple[int, int]
    """Its height and width as inserted; the image's where no map is made in between."""
    grid: tuple[int, int]
    """Of the tokens, as inserted."""

    def check(self, shape: Sequence[int]) -> None:
        """Raises ClipShapeError where a map of this shape gives tokens of another shape than inserted."""
        height, width = shape[self.height_axis], shape[self.height_axis + 1]
        rows, columns = height * self.grid[0] // self.size[0], width * self.grid[1] // self.size[1]
        if rows * self.grid[1] != columns * self.grid[0]:
            way = "into" if self.position == "before" else "out of"
            raise ClipShapeError(
                f"A map of {height} x {width} came {way} {self.module!r}, where it had the shape "
                f"{self.size[0]} x {self.size[1]} when the mechanism was inserted, which looks at what is beside each "
                "token. Give images of that shape, larger or smaller, or set the network for images of this shape "
                "first and call m2a.insert then."
            )


def grid_of(tokens: int, shape: tuple[int, int]) -> tuple[int, int] | None:
    """Height and width of a map of so many tokens whose sides are in proportion to `shape`; None if there is none."""
    height, width = shape
    rows = round((tokens * height / width) ** 0.5)
    if rows < 1 or tokens % rows or rows * width != tokens // rows * height:
        return None
    return rows, tokens // rows

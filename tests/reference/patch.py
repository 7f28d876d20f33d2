"""Divided space-time attention over p x p patches, token by token.

u = attend over time(motion(norm z)) + z        the T patches at one place; norm: over one patch
y = attend over space(norm u) + u               the patches of one frame

A map that p does not divide: y = attend over all pixels of the clip(motion(norm z)) + z, norm over one pixel's numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from reference.layers import attend, layer_norm

Place = tuple[int, int]


def patch(frames: list[Tensor], motion: Callable[[list[Tensor]], list[Tensor]], size: int) -> list[Tensor]:
    """Frames (c, H, W) of one clip, from z to y."""
    _, height, width = frames[0].shape
    if height % size or width % size:
        return joint(frames, motion)
    places = [(y, x) for y in range(0, height, size) for x in range(0, width, size)]
    moving = motion([normed(frame, places, size) for frame in frames])
    over_time = [torch.zeros_like(frame) for frame in frames]
    for place in places:
        mixed = attend([at(frame, place, size) for frame in moving])
        for t, token in enumerate(mixed):
            over_time[t] = put(over_time[t], place, size, token + at(frames[t], place, size))
    out = []
    for frame in over_time:
        tokens = [at(frame, place, size) for place in places]
        result = torch.zeros_like(frame)
        for place, token, mixed_token in zip(places, tokens, attend([layer_norm(t) for t in tokens]), strict=True):
            result = put(result, place, size, mixed_token + token)
        out.append(result)
    return out


def joint(frames: list[Tensor], motion: Callable[[list[Tensor]], list[Tensor]]) -> list[Tensor]:
    """All pixels of all frames attend to each other; a pixel's motion is to the same pixel of the next frame."""
    _, height, width = frames[0].shape
    pixels = [(y, x) for y in range(height) for x in range(width)]
    moving = motion([normed(frame, pixels, 1) for frame in frames])
    mixed = iter(attend([at(frame, pixel, 1) for frame in moving for pixel in pixels]))
    out = []
    for frame in frames:
        result = torch.zeros_like(frame)
        for pixel in pixels:
            result = put(result, pixel, 1, next(mixed) + at(frame, pixel, 1))
        out.append(result)
    return out


def normed(frame: Tensor, places: list[Place], size: int) -> Tensor:
    result = torch.zeros_like(frame)
    for place in places:
        result = put(result, place, size, layer_norm(at(frame, place, size)))
    return result


def at(frame: Tensor, place: Place, size: int) -> Tensor:
    y, x = place
    return frame[:, y : y + size, x : x + size]


def put(frame: Tensor, place: Place, size: int, token: Tensor) -> Tensor:
    """A copy of the frame with one patch in its place."""
    y, x = place
    copy = frame.clone()
    copy[:, y : y + size, x : x + size] = token
    return copy

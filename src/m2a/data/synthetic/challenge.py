"""What makes a clip hard beyond its `difficulty`, as ranges and chances, and the numbers drawn from them.

Numbers here are made so that every CPU draws the same bytes: sums of integers instead of a bell curve with its
logarithms, and cameras rounded to a grid, on which the last bit of an exponential is lost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from .objects import Sprite
from .textures import Floats, textured, to_image, vivid

PHASES = 5  # of the action, each at its own speed
GRID = 2.0**16


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """Ranges and chances that a clip draws from. Lengths are in frame heights."""

    hesitation: float
    """The chance that the action goes back a little before it goes on."""

    drift: float
    """How far aside the camera may stand at a clip's ends: it drifts by twice that at most."""

    distance: tuple[float, float]
    """How large the scene is shown: below 1 from farther away."""

    zooming: float
    """The chance of a slow zoom, which comes on top."""

    zoom: float
    """Logarithm of the largest slow zoom."""

    movers: tuple[int, int]
    """How many objects move by themselves behind the action."""

    occluders: tuple[int, int]
    """How many boards pass in front of everything, each for part of the clip."""

    fade: tuple[float, float]
    """How far the colours of things and hands go towards the background's: 0 not at all, 1 wholly."""

    contrast: tuple[float, float]
    """Gain of the finished frames about middle grey."""

    noise: tuple[float, float]
    """Standard deviation of the noise, of 255."""


def progress(rng: np.random.Generator, num_frames: int, hesitation: float) -> Floats:
    """How far the action has come at each frame, 0..1 `(T,)`: waits at the ends, changes speed, may step back."""
    start, end = rng.uniform(0, 0.15), rng.uniform(0.85, 1)
    steps = rng.uniform(0.15, 1, PHASES)
    chance, where, how_far = rng.uniform(), int(rng.integers(1, PHASES - 1)), rng.uniform(0.2, 0.5)
    if chance < hesitation:
        steps[where] = -how_far * steps[where - 1]
    levels = np.concatenate([[0.0], np.cumsum(steps)]) / steps.sum()
    t = np.clip((np.linspace(0, 1, num_frames) - start) / (end - start), 0, 1)
    return np.clip(np.interp(t, np.linspace(0, 1, PHASES + 1), levels), 0, 1)


def course(rng: np.random.Generator, num_frames: int, start: float, end: float) -> Floats:
    """From `start` to `end` between two moments, then some of the way back: `(T,)`."""
    first, last, back = rng.uniform(0, 0.3), rng.uniform(0.6, 1), rng.uniform(0.2, 1.0)
    return np.interp(np.linspace(0, 1, num_frames), [first, last, 1.3], [start, end, start + (end - start) * back])


def crossing(rng: np.random.Generator, num_frames: int, across: float) -> Floats:
    """From one side of 0..`across` to the other, in a part of the clip, either way: `(T,)`."""
    length, other_way = rng.uniform(0.3, 0.5), rng.uniform() < 0.5
    way = np.clip((np.linspace(0, 1, num_frames) - rng.uniform(0, 1 - length)) / length, 0, 1)
    return across * (1 - way if other_way else way)


def on_grid(values: Floats) -> Floats:
    """Rounded so coarsely that the last bits, in which CPUs differ, do not matter, and too finely to be seen."""
    return np.round(values * GRID) / GRID


def noise_tile(rng: np.random.Generator, height: int, width: int, sigma: float) -> Floats:
    """Noise `(height, width, 3)` of deviation `sigma`, float32."""
    dice = rng.integers(0, 256, (4, height, width, 3), dtype=np.uint8).sum(0, dtype=np.int32)
    return ((dice - 510) * (sigma / 147.8)).astype(np.float32)  # four even dice 0..255: mean 510, deviation 147.8


def faded(sprite: Sprite, color: Floats, amount: float) -> Sprite:
    """The sprite with its colours `amount` (0..1) of the way to `color` `(3,)`; its outline stays."""
    plain = Image.new("RGB", sprite.image.size, tuple(int(v) for v in color))
    image = Image.blend(sprite.image.convert("RGB"), plain, amount)
    image.putalpha(sprite.image.getchannel("A"))
    return Sprite(image, sprite.ax, sprite.ay)


def board(rng: np.random.Generator, px: float, width: float, height: float) -> Sprite:
    """A patterned board out of focus, `width` by `height`, at `px` pixels to a frame height."""
    w, h = int(width * px), int(height * px)
    blur, pad = ImageFilter.BoxBlur(0.012 * px), int(0.03 * px) + 1
    image = to_image(textured(rng, h, w, vivid(rng) * np.float32(rng.uniform(0.3, 0.9)))).filter(blur)
    mask = Image.new("L", (w, h), 0)
    mask.paste(255, (pad, pad, w - pad, h - pad))
    image.putalpha(mask.filter(blur))
    return Sprite(image, w / 2, h / 2)

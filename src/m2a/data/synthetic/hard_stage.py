"""The stage with a `Challenge`: a drifting camera, things that move by themselves, something that passes in front,
hesitation, faint colours, low contrast and noise.

All of it is drawn from the clip's generator before anything is shown backwards, so both members of a pair have it
alike, in opposite order: none of it tells which way time runs. None of it depends on the class, except that the camera
does not drift along what the action itself does with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .challenge import Challenge, board, course, crossing, faded, noise_tile, on_grid, progress
from .objects import KINDS, STANDING, Sprite
from .stage import Stage
from .textures import Floats


@dataclass
class HardStage(Stage):
    """One hard clip being made."""

    relief: ClassVar[type[np.floating[Any]]] = np.float64
    challenge: Challenge = field(kw_only=True)
    fade: float = field(init=False)
    shown: float = field(init=False)
    """How large the scene is shown: 1 as in a `Stage`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.fade, self.shown = self.uniform(*self.challenge.fade), self.uniform(*self.challenge.distance)

    def _progress(self) -> Floats:
        return progress(self.rng, self.num_frames, self.challenge.hesitation)

    def _margins(self) -> tuple[float, float]:
        x, y = super()._margins()
        around = (1 / min(self.shown, 1.0) - 1) / 2
        return x + self.challenge.drift + around * self.aspect, y + self.challenge.drift + around

    def setting(self, horizon: float | None = None, grow: tuple[float, float] = (0.0, 0.0)) -> None:
        """Lay out the background, and on it objects that move by themselves."""
        super().setting(horizon, grow)
        low, high = self.challenge.movers
        for _ in range(int(self.rng.integers(low, high + 1))):
            self._mover(horizon)

    def _mover(self, horizon: float | None) -> None:
        """An object that crosses the scene any way, along the table's edge or anywhere."""
        sliding = horizon is not None and self.rng.uniform() < 0.7
        low, high = (0.05, 0.95) if horizon is None else (horizon + 0.03, horizon + 0.22) if sliding else (0.05, 0.6)
        thing = self.thing(self.uniform(0.14, 0.3), STANDING if sliding else KINDS)
        x0, x1 = self.aspect * self.uniform(-0.15, 1.15), self.aspect * self.uniform(-0.15, 1.15)
        y0, y1 = self.uniform(low, high), self.uniform(low, high)
        x = course(self.rng, self.num_frames, x0, x1)
        if sliding:
            self.add_standing(thing, x, y0, y0)
        else:
            self.add_lit(thing.sprite, x, course(self.rng, self.num_frames, y0, y1))

    def add(
        self, sprites: Sprite | Sequence[Sprite], x: Floats | float, y: Floats | float, scale: Floats | None = None
    ) -> None:
        """Put an item in front of those already there, in faint colours."""
        many = [sprites] if isinstance(sprites, Sprite) else sprites
        super().add([faded(sprite, self.mean, self.fade) for sprite in many], x, y, scale)

    def frames(self) -> np.ndarray:
        """The finished clip, `(T, H, W, 3)` uint8."""
        self._film()
        low, high = self.challenge.occluders
        for _ in range(int(self.rng.integers(low, high + 1))):
            self._occlude()
        return super().frames()

    def _film(self) -> None:
        """Move the camera slowly, along what the action itself does not use."""
        drift = self.challenge.drift
        x, y = self._ramp(-drift, drift), self._ramp(-drift, drift)
        closer = np.exp(self._ramp(0.0, self.challenge.zoom))
        zooms = self.rng.uniform() < self.challenge.zooming and self.steered != "zoom"
        self.zoom = on_grid(self.zoom * self.shown * (closer if zooms else 1))
        near = np.maximum(self.zoom, 1)
        self.cx = on_grid(self.cx + (0 if self.steered == "x" else x / near))
        self.cy = on_grid(self.cy + (0 if self.steered == "y" else y / near))

    def _ramp(self, low: float, high: float) -> Floats:
        """From one number to another, both drawn, evenly over the clip: `(T,)`."""
        return np.linspace(self.uniform(low, high), self.uniform(low, high), self.num_frames)

    def _occlude(self) -> None:
        """Let a board pass in front of everything, straight across the frame, wherever the camera looks."""
        wide, upright = self.uniform(0.2, 0.42), self.rng.uniform() < 0.75
        across = self.aspect if upright else 1.0
        way = crossing(self.rng, self.num_frames, across + wide) - (across + wide) / 2  # from the frame's centre
        x, y = (way, self.const(0.0)) if upright else (self.const(0.0), way)
        sprite = board(self.rng, self.px, *((wide, 1.1) if upright else (self.aspect + 0.1, wide)))
        super().add(sprite, self.cx + x / self.zoom, self.cy + y / self.zoom, 1 / self.zoom)

    def _expose(self, out: Floats) -> None:
        """Light that drifts and flickers, low contrast, and noise."""
        flicker = self.rng.uniform(-0.04, 0.04, self.num_frames)
        gain = (1 + self.uniform(-0.2, 0.2) * np.linspace(-1, 1, self.num_frames) + flicker) * self.uniform(0.75, 1.1)
        contrast, sigma = self.uniform(*self.challenge.contrast), self.uniform(*self.challenge.noise)
        _, height, width, _ = out.shape
        tile = noise_tile(self.rng, height + 24, width + 24, sigma)
        grey = np.float32(128)
        for i, (dy, dx) in enumerate(self.rng.integers(0, 25, (self.num_frames, 2))):
            out[i] = ((out[i] - grey) * np.float32(contrast) + grey) * np.float32(gain[i])
            out[i] += tile[dy : dy + height, dx : dx + width]

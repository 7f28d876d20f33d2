"""The stage a scene is played on: a background, a camera, and items that move; and how it becomes frames.

Lengths are in frame heights. The origin is the top left corner of the frame at rest, x runs to the right up to
`Stage.aspect`, y runs down to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np
from PIL import Image

from .hands import Look, make_hand, make_look
from .objects import KINDS, Sprite, Thing, contact_shadow, make_thing, scaled, shadow_of
from .textures import Floats, room, surface, to_image

Key: TypeAlias = tuple[float | int, float | int]  # progress, value

SUPERSAMPLE = 2
MARGIN = 0.12  # how far the background goes on beyond the frame, for shake
MAX_SHAKE = 0.1


@dataclass
class Item:
    """Something drawn: one sprite, or one for each frame, at `x`, `y` `(T,)`, resized by `scale` `(T,)`."""

    sprites: Sequence[Sprite]
    x: Floats
    y: Floats
    scale: Floats | None = None
    resized: tuple[float, Sprite] | None = None  # an only sprite at the last factor: most clips have but one

    def sprite(self, i: int, factor: float) -> Sprite:
        """What is drawn in frame `i`, resized by `factor`."""
        if abs(factor - 1) <= 1e-3:
            return self.sprites[i] if len(self.sprites) > 1 else self.sprites[0]
        if len(self.sprites) > 1:
            return scaled(self.sprites[i], factor)
        if self.resized is None or self.resized[0] != factor:
            self.resized = factor, scaled(self.sprites[0], factor)
        return self.resized[1]


def frame_size(size: int) -> tuple[int, int]:
    """Height and width of a frame of short side `size`: 4:3, the width even."""
    return size, 2 * round(size * 2 / 3)


def path(u: Floats, keys: Sequence[Key]) -> Floats:
    """A value over progress `u` `(T,)` through `(u, value)` keys, slowing down at each of them."""
    at = np.array([k[0] for k in keys], np.float64)
    values = np.array([k[1] for k in keys], np.float64)
    i = np.clip(np.searchsorted(at, u, side="right") - 1, 0, len(at) - 2)
    f = np.clip((u - at[i]) / np.maximum(at[i + 1] - at[i], 1e-6), 0, 1)
    f = 0.5 * f + 0.5 * f * f * (3 - 2 * f)
    return values[i] + (values[i + 1] - values[i]) * f


@dataclass
class Stage:
    """One clip being made. Scenes call `setting`, then `add` items from back to front."""

    rng: np.random.Generator
    size: int
    num_frames: int
    difficulty: float
    relief: ClassVar[type[np.floating[Any]]] = np.float32  # in which backgrounds are computed
    px: float = field(init=False)
    aspect: float = field(init=False)
    u: Floats = field(init=False)
    look: Look = field(init=False)
    light: Floats = field(init=False)
    mean: Floats = field(init=False)
    zoom: Floats = field(init=False)
    cx: Floats = field(init=False)
    cy: Floats = field(init=False)
    items: list[Item] = field(default_factory=list)
    ground: Image.Image = field(init=False)
    corner: tuple[float, float] = (0.0, 0.0)
    steered: str = ""  # what the action itself does with the camera: "x" or "y" (it turns), "zoom", or nothing

    def __post_init__(self) -> None:
        height, width = frame_size(self.size)
        self.px, self.aspect = float(height * SUPERSAMPLE), width / height
        self.u = self._progress()
        self.look = make_look(self.rng)
        self.light = self.rng.uniform([-0.03, 0.015], [0.03, 0.04])
        self.zoom = np.ones(self.num_frames)
        self.cx = np.full(self.num_frames, self.aspect / 2) + self._shake()
        self.cy = np.full(self.num_frames, 0.5) + self._shake()

    def _progress(self) -> Floats:
        """How far the action has come at each frame, 0..1: held a moment at the ends, at a varying speed."""
        start, end = self.rng.uniform(0, 0.07), self.rng.uniform(0.93, 1)
        t = np.clip((np.linspace(0, 1, self.num_frames) - start) / (end - start), 0, 1)
        bend = self.rng.uniform(-0.8, 0.8) * self.difficulty
        return t + bend * t * (1 - t)

    def _shake(self) -> Floats:
        """A smooth wandering of the camera."""
        amount = 0.003 + 0.035 * self.difficulty
        knots = self.rng.normal(0, amount, 3 + self.num_frames // 4)
        places = np.linspace(0, len(knots) - 1, self.num_frames)
        return np.clip(np.interp(places, np.arange(len(knots)), knots), -MAX_SHAKE, MAX_SHAKE)

    def _margins(self) -> tuple[float, float]:
        """How far the background goes on to the left and right, and above and below, of the frame at rest."""
        return MARGIN, MARGIN

    def setting(self, horizon: float | None = None, grow: tuple[float, float] = (0.0, 0.0)) -> None:
        """Lay out the background: seen from above, or with a wall down to `horizon`; larger by `grow` each side."""
        gx, gy = (margin + more for margin, more in zip(self._margins(), grow, strict=True))
        self.corner = (-gx, -gy)
        w, h = int((self.aspect + 2 * gx) * self.px) + 2, int((1 + 2 * gy) * self.px) + 2
        contrast = 0.25 + 0.75 * self.difficulty
        # Backgrounds are drawn at half the canvas, that is at the resolution of the finished frame.
        hh, hw, unit = h // SUPERSAMPLE, w // SUPERSAMPLE, self.px / SUPERSAMPLE
        if horizon is None:
            pixels = surface(self.rng, hh, hw, unit, contrast, dtype=self.relief)
        else:
            pixels = room(self.rng, hh, hw, unit, contrast, int((horizon + gy) * unit), self.relief)
        self.mean = pixels[::4, ::4].mean((0, 1), dtype=self.relief)
        self.ground = to_image(pixels).resize((w, h), Image.Resampling.BILINEAR)

    def thing(self, size: float, kinds: tuple[str, ...] = KINDS) -> Thing:
        """An object that stands out from the background, the less so the harder the clip."""
        return make_thing(self.rng, self.px, size, self.mean, kinds, 170.0 - 110.0 * self.difficulty)

    def hand(self, angle: float, pose: str = "grip") -> Sprite:
        """This clip's person's hand; `angle` in degrees, 0 points right, 90 points down."""
        return make_hand(self.look, self.px, float(np.deg2rad(angle)), pose)

    def uniform(self, low: float | int, high: float | int) -> float:
        """A number between `low` and `high`."""
        return float(self.rng.uniform(low, high))

    def const(self, value: float) -> Floats:
        """`value` at every frame."""
        return np.full(self.num_frames, value)

    def path(self, *keys: Key) -> Floats:
        """See `path`."""
        return path(self.u, keys)

    def add(
        self, sprites: Sprite | Sequence[Sprite], x: Floats | float, y: Floats | float, scale: Floats | None = None
    ) -> None:
        """Put an item in front of those already there."""
        many = [sprites] if isinstance(sprites, Sprite) else sprites
        xs = x if isinstance(x, np.ndarray) else self.const(x)
        ys = y if isinstance(y, np.ndarray) else self.const(y)
        self.items.append(Item(many, xs, ys, scale))

    def add_lit(self, sprite: Sprite, x: Floats | float, y: Floats | float, height: Floats | float = 0.3) -> None:
        """Put an item seen from above, over its shadow; the higher it is held, the farther the shadow falls."""
        self.add(shadow_of(sprite, self.px), x + self.light[0] * (0.3 + height), y + self.light[1] * (0.3 + height))
        self.add(sprite, x, y)

    def add_standing(self, thing: Thing, x: Floats | float, foot: Floats | float, table: float) -> None:
        """Put an object seen from the front with its foot at `foot`, its shadow on the table at height `table`."""
        self.add(contact_shadow(self.px, thing.w * 1.25), x, table)
        self.add(thing.sprite, x, foot - thing.h / 2)

    def distract(self, low: float, high: float, standing: bool) -> None:
        """Scatter objects that take no part, at heights between `low` and `high`."""
        for _ in range(int(self.rng.integers(0, 1 + round(4 * self.difficulty)))):
            thing = self.thing(float(self.rng.uniform(0.1, 0.2)))
            x, y = float(self.rng.uniform(0, self.aspect)), float(self.rng.uniform(low, high))
            if standing:
                self.add_standing(thing, x, y, y)
            else:
                self.add_lit(thing.sprite, x, y)

    # ---- frames

    def frames(self) -> np.ndarray:
        """The finished clip, `(T, H, W, 3)` uint8."""
        height, width = frame_size(self.size)
        out = np.empty((self.num_frames, height, width, 3), np.float32)
        for i in range(self.num_frames):
            canvas = self._view(i)
            for item in self.items:
                self._draw(canvas, item, i)
            out[i] = np.asarray(canvas.reduce(SUPERSAMPLE))
        self._expose(out)
        return np.clip(out + 0.5, 0, 255, out=out).astype(np.uint8)

    def _view(self, i: int) -> Image.Image:
        height, width = (int(v * SUPERSAMPLE) for v in frame_size(self.size))
        zoom = float(self.zoom[i])
        left = (float(self.cx[i]) - self.aspect / 2 / zoom - self.corner[0]) * self.px
        top = (float(self.cy[i]) - 0.5 / zoom - self.corner[1]) * self.px
        if abs(zoom - 1) < 1e-3:
            return self.ground.crop((round(left), round(top), round(left) + width, round(top) + height))
        box = (left, top, left + width / zoom, top + height / zoom)
        return self.ground.resize((width, height), Image.Resampling.BILINEAR, box=box)

    def _draw(self, canvas: Image.Image, item: Item, i: int) -> None:
        zoom = float(self.zoom[i])
        factor = zoom if item.scale is None else zoom * float(item.scale[i])
        x = (float(item.x[i] - self.cx[i]) * zoom + self.aspect / 2) * self.px
        y = (float(item.y[i] - self.cy[i]) * zoom + 0.5) * self.px
        sprite = item.sprite(i, factor)
        canvas.paste(sprite.image, (round(x - sprite.ax), round(y - sprite.ay)), sprite.image)

    def _expose(self, out: Floats) -> None:
        """Light that drifts and flickers, and sensor noise: neither depends on where in the clip a frame is."""
        t = np.linspace(-1, 1, self.num_frames)
        drift = self.rng.uniform(-0.25, 0.25) * self.difficulty * t
        gain = 1 + drift + self.rng.normal(0, 0.03 * self.difficulty, self.num_frames)
        _, height, width, _ = out.shape
        sigma = 1.5 + 8.0 * self.difficulty
        tile = (self.rng.standard_normal((height + 24, width + 24, 3), dtype=np.float32)) * sigma
        for i, (dy, dx) in enumerate(self.rng.integers(0, 25, (self.num_frames, 2))):
            out[i] *= np.float32(gain[i])
            out[i] += tile[dy : dy + height, dx : dx + width]

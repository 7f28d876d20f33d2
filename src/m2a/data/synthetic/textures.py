"""Procedural textures: colours, patterns on objects, and the surfaces a scene is filmed on."""

from __future__ import annotations

import colorsys
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats: TypeAlias = NDArray[np.floating[Any]]

PATTERNS = ("plain", "stripes", "checks", "dots", "noise", "gradient")
SURFACES = ("wood", "cloth", "tiles", "plaster", "planks")


def hsv(h: float, s: float, v: float) -> Floats:
    """RGB in 0..255, shape `(3,)`."""
    return np.array(colorsys.hsv_to_rgb(h % 1.0, s, v), dtype=np.float32) * 255.0


def vivid(rng: np.random.Generator, avoid: Floats | None = None, distance: float = 0.0) -> Floats:
    """A saturated colour `(3,)` that lies `distance` (RGB, 0..441) from `avoid` where a few draws can manage it."""
    best, best_distance = np.zeros(3, np.float32), -1.0
    for _ in range(10):
        color = hsv(rng.uniform(), rng.uniform(0.45, 0.95), rng.uniform(0.4, 1.0))
        if rng.uniform() < 0.15:
            color = hsv(0.1, 0.08, rng.uniform(0.15, 0.97))
        gap = distance if avoid is None else float(np.linalg.norm(color - avoid))
        if gap > best_distance:
            best, best_distance = color, gap
        if gap >= distance:
            break
    return best


def smooth_noise(rng: np.random.Generator, h: int, w: int, cells_y: int, cells_x: int) -> Floats:
    """Noise `(h, w)` in -1..1 with about `cells_y` by `cells_x` bumps."""
    coarse = rng.uniform(-1.0, 1.0, (max(cells_y, 2), max(cells_x, 2))).astype(np.float32)
    if coarse.shape[0] >= h and coarse.shape[1] >= w:
        return coarse[:h, :w]
    return np.asarray(Image.fromarray(coarse).resize((w, h), Image.Resampling.BILINEAR))


def _grid(h: int, w: int) -> tuple[Floats, Floats]:
    unit = float(max(h, w))
    return np.arange(h, dtype=np.float32)[:, None] / unit, np.arange(w, dtype=np.float32)[None, :] / unit


def _edge(field: Floats) -> Floats:
    """A wave turned into two flat levels, with a short ramp so that it does not alias."""
    return np.clip(field * 3.0 + 0.5, 0.0, 1.0)


def mixing(rng: np.random.Generator, h: int, w: int, kind: str) -> Floats:
    """How much of the second colour shows where: `(h, w)` in 0..1, for one of `PATTERNS`."""
    y, x = _grid(h, w)
    angle, freq = rng.uniform(0, np.pi), 2 * np.pi * rng.uniform(2.5, 4.5)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    phase = rng.uniform(0, 2 * np.pi)
    if kind == "stripes":
        return _edge(np.sin(u * freq + phase))
    if kind == "checks":
        return _edge(np.sin(u * freq + phase) * np.sin(v * freq + phase) * 2)
    if kind == "dots":
        return _edge(np.cos(u * freq + phase) + np.cos(v * freq + phase) - 0.8)
    if kind == "noise":
        return np.clip(smooth_noise(rng, h, w, 7, 7) * 1.2 + 0.5, 0, 1)
    if kind == "gradient":
        return np.clip(u - u.min(), 0, 1) / max(float(np.ptp(u)), 1e-6)
    return np.zeros((h, w), np.float32)


def textured(rng: np.random.Generator, h: int, w: int, base: Floats, kind: str | None = None) -> Floats:
    """A patch `(h, w, 3)` in 0..255 in the colour `base` with a second colour in one of `PATTERNS`."""
    chosen = PATTERNS[int(rng.integers(len(PATTERNS)))] if kind is None else kind
    factor = rng.uniform(0.45, 0.7) if base.mean() > 110 else rng.uniform(1.5, 2.1)
    second = vivid(rng) if rng.uniform() < 0.35 else np.clip(base * factor, 0, 255)
    m = mixing(rng, h, w, chosen)[..., None]
    return base * (1 - m) + second * m


def surface(
    rng: np.random.Generator,
    h: int,
    w: int,
    unit: float,
    contrast: float,
    kind: str | None = None,
    dtype: type[np.floating[Any]] = np.float32,
) -> Floats:
    """A background `(h, w, 3)` in 0..255; `unit` is the frame's height in pixels, `contrast` 0..1 scales its detail.

    The relief is computed in `dtype`: NumPy's float32 sines differ in the last bit from one CPU to another, and a few
    pixels with them; in float64 the difference is lost when it is rounded to a pixel.
    """
    chosen = SURFACES[int(rng.integers(len(SURFACES)))] if kind is None else kind
    if chosen in ("wood", "planks"):
        base = hsv(rng.uniform(0.05, 0.11), rng.uniform(0.25, 0.6), rng.uniform(0.4, 0.85))
    else:
        base = hsv(rng.uniform(), rng.uniform(0.05, 0.4), rng.uniform(0.35, 0.9))
    detail = _detail(rng, h, w, unit, chosen, dtype)
    shade = smooth_noise(rng, h, w, 3, 4)  # uneven light
    gain = 1.0 + (0.12 + 0.4 * contrast) * 0.5 * detail + 0.10 * shade
    return np.clip(base * gain[..., None], 0, 255)


def _detail(rng: np.random.Generator, h: int, w: int, unit: float, kind: str, dtype: type[np.floating[Any]]) -> Floats:
    """The relief of a surface: `(h, w)` in about -1..1."""
    rows, cols = h / unit, w / unit
    y, x = np.arange(h, dtype=dtype)[:, None] / unit, np.arange(w, dtype=dtype)[None, :] / unit
    if kind in ("wood", "planks"):
        grain = smooth_noise(rng, h, w, int(40 * rows), int(3 * cols)) * 0.7
        grain = grain + np.sin(y * 70 + 4 * smooth_noise(rng, h, w, int(4 * rows), int(2 * cols) + 1)) * 0.3
        if kind == "planks":
            pitch = rng.uniform(0.2, 0.35)
            board = np.floor(y / pitch).astype(int)
            grain = grain + rng.uniform(-0.5, 0.5, int(board.max()) + 1).astype(np.float32)[board]
            grain = grain - 1.4 * ((y % pitch) < 0.02)
        return grain
    if kind == "cloth":
        f = rng.uniform(90, 130)
        weave = np.sin(x * f) * np.sin(y * f) * 0.5
        band = _edge(np.sin(x * rng.uniform(14, 26))) + _edge(np.sin(y * rng.uniform(14, 26))) - 1.0
        return weave + band * rng.uniform(0.0, 0.7)
    if kind == "tiles":
        pitch = rng.uniform(0.22, 0.4)
        joint = np.maximum((x % pitch) < 0.018, (y % pitch) < 0.018)
        tone = rng.uniform(-0.5, 0.5, (int(rows / pitch) + 2, int(cols / pitch) + 2)).astype(np.float32)
        return tone[(y / pitch).astype(int), (x / pitch).astype(int)] - 1.3 * joint
    fine = smooth_noise(rng, h, w, int(25 * rows), int(25 * cols))
    return fine * 0.6 + smooth_noise(rng, h, w, int(6 * rows), int(6 * cols)) * 0.6


def room(
    rng: np.random.Generator,
    h: int,
    w: int,
    unit: float,
    contrast: float,
    horizon: int,
    dtype: type[np.floating[Any]] = np.float32,
) -> Floats:
    """A wall above row `horizon` and a table below it: `(h, w, 3)` in 0..255; see `surface`."""
    out = np.empty((h, w, 3), np.float32)
    cut = int(np.clip(horizon, 2, h - 2))
    wall = ("plaster", "plaster", "tiles", "cloth")[int(rng.integers(4))]
    out[:cut] = surface(rng, cut, w, unit, contrast * 0.6, wall, dtype)
    top = ("wood", "planks", "cloth", "plaster")[int(rng.integers(4))]
    table = surface(rng, h - cut, w, unit, contrast, top, dtype)
    if abs(float(out[:cut].mean()) - float(table.mean())) < 30:  # the edge of the table must show
        table = table * (0.62 if table.mean() > 110 else 1.5)
    depth = np.linspace(0.82, 1.08, h - cut, dtype=np.float32)[:, None, None]
    out[cut:] = np.clip(table * depth, 0, 255)
    lip = max(int(unit * 0.015), 1)
    out[cut : cut + lip] *= 0.6
    return out


def to_image(pixels: Floats) -> Image.Image:
    """`(h, w, 3)` in 0..255 as an RGB image."""
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))

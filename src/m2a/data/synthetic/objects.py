"""Things to film: sprites with a shape, a texture, shading and an outline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .textures import Floats, textured, to_image, vivid

Points = list[tuple[float, float]]

KINDS = ("box", "ball", "cup", "bottle", "can", "book", "gem", "star", "tube", "plate")
STANDING = ("box", "ball", "cup", "bottle", "can", "book", "gem")
TOPPLING = ("cup", "bottle", "bottle")  # shapes whose top and bottom differ


@dataclass(frozen=True)
class Sprite:
    """An RGBA image and the point of it, in its own pixels, that is put at an item's position."""

    image: Image.Image
    ax: float
    ay: float


@dataclass(frozen=True)
class Thing:
    """An object: its sprite (held at the centre) and its width and height in frame heights."""

    sprite: Sprite
    w: float
    h: float
    kind: str


ASPECT = {  # width / height
    "box": (0.8, 1.5),
    "ball": (1.0, 1.0),
    "cup": (0.95, 1.15),
    "bottle": (0.38, 0.5),
    "can": (0.55, 0.75),
    "book": (0.7, 0.8),
    "gem": (0.9, 1.1),
    "star": (1.0, 1.0),
    "tube": (2.6, 3.6),
    "plate": (1.2, 1.5),
}


def outline(kind: str, rng: np.random.Generator) -> Points:
    """The silhouette of a kind of object as points in the unit square."""
    if kind in ("ball", "plate"):
        turn = np.linspace(0.0, 2 * np.pi, 32, endpoint=False)
        return [(float(0.5 + 0.49 * np.cos(a)), float(0.5 + 0.49 * np.sin(a))) for a in turn]
    if kind == "gem":
        n, start = int(rng.integers(5, 8)), rng.uniform(0.0, 2 * np.pi)
        turn = start + np.linspace(0.0, 2 * np.pi, n, endpoint=False)
        return [(float(0.5 + 0.49 * np.cos(a)), float(0.5 + 0.49 * np.sin(a))) for a in turn]
    if kind == "star":
        turn = np.linspace(0.0, 2 * np.pi, 10, endpoint=False) - np.pi / 2
        return [
            (float(0.5 + r * np.cos(a)), float(0.5 + r * np.sin(a))) for a, r in zip(turn, [0.5, 0.24] * 5, strict=True)
        ]
    if kind == "cup":
        return [(0.02, 0.04), (0.74, 0.04), (0.66, 0.98), (0.10, 0.98)]
    if kind == "bottle":
        return [
            (0.34, 0.0),
            (0.66, 0.0),
            (0.66, 0.22),
            (0.98, 0.38),
            (0.98, 0.99),
            (0.02, 0.99),
            (0.02, 0.38),
            (0.34, 0.22),
        ]
    if kind == "can":
        dome = [(float(0.5 - 0.48 * np.cos(a)), float(0.1 - 0.1 * np.sin(a))) for a in np.linspace(0.0, np.pi, 9)]
        foot = [(float(0.5 + 0.48 * np.cos(a)), float(0.9 + 0.1 * np.sin(a))) for a in np.linspace(0.0, np.pi, 9)]
        return dome + foot
    return [(0.03, 0.0), (0.97, 0.0), (1.0, 0.03), (1.0, 0.97), (0.97, 1.0), (0.03, 1.0), (0.0, 0.97), (0.0, 0.03)]


def shading(kind: str, h: int, w: int) -> Floats:
    """What light does to the shape: gains `(h, w)`."""
    x = np.linspace(-1, 1, w, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, h, dtype=np.float32)[:, None]
    if kind == "ball":
        z = np.sqrt(np.clip(1 - x * x - y * y, 0, 1))
        return np.clip(0.45 + 0.75 * (0.75 * z - 0.45 * y), 0.4, 1.5)
    if kind in ("bottle", "can", "cup"):  # lit from the front, so that a mirrored clip is lit alike
        return (0.6 + 0.5 * np.sqrt(np.clip(1 - x * x, 0, 1))) * np.ones((h, 1), np.float32)
    return (1.05 - 0.12 * y) * np.ones((1, w), np.float32)


def _details(
    draw: ImageDraw.ImageDraw, kind: str, w: int, h: int, dark: tuple[int, ...], light: tuple[int, ...]
) -> None:
    """The few strokes by which a shape is recognised: a rim, a cap, a label, a spine."""
    pen = max(w // 24, 1)
    if kind == "cup":
        draw.ellipse([0.03 * w, -0.02 * h, 0.73 * w, 0.14 * h], fill=dark, outline=light, width=pen)
    elif kind == "can":
        draw.ellipse([0.03 * w, 0, 0.97 * w, 0.19 * h], fill=light, outline=dark, width=pen)
    elif kind == "bottle":
        draw.rectangle([0, 0, w, 0.1 * h], fill=dark)
        draw.rectangle([0, 0.52 * h, w, 0.8 * h], fill=light)
    elif kind == "box":
        draw.rectangle([0, 0, w, 0.17 * h], fill=light)
        draw.line([0, 0.17 * h, w, 0.17 * h], fill=dark, width=pen)
    elif kind == "book":
        draw.rectangle([0, 0, 0.13 * w, h], fill=dark)
        draw.rectangle([0.3 * w, 0.18 * h, 0.85 * w, 0.36 * h], fill=light)
    elif kind == "plate":
        draw.ellipse([0.2 * w, 0.2 * h, 0.8 * w, 0.8 * h], outline=dark, width=pen)
    elif kind == "tube":
        draw.rectangle([0.72 * w, 0, w, h], fill=dark)


def _tint(color: Floats, gain: float, add: float = 0.0) -> tuple[int, ...]:
    return tuple(int(c) for c in np.clip(color * gain + add, 0, 255))


def make_thing(
    rng: np.random.Generator,
    px: float,
    size: float,
    avoid: Floats,
    kinds: tuple[str, ...] = KINDS,
    distance: float = 130.0,
) -> Thing:
    """An object whose longer side is `size` frame heights, at `px` pixels to a frame height.

    Its main colour keeps `distance` from `avoid`, the background's.
    """
    kind = kinds[int(rng.integers(len(kinds)))]
    low, high = ASPECT[kind]
    aspect = float(rng.uniform(low, high))
    w_units, h_units = (size, size / aspect) if aspect > 1 else (size * aspect, size)
    w, h = max(int(w_units * px), 4), max(int(h_units * px), 4)
    base = vivid(rng, avoid, distance)
    pattern = "plain" if kind in ("cup", "bottle") and rng.uniform() < 0.5 else None
    colors = to_image(textured(rng, h, w, base, pattern))
    dark, light = _tint(base, 0.4), _tint(base, 0.5, 125.0)
    _details(ImageDraw.Draw(colors), kind, w, h, dark, light)
    colors = to_image(np.asarray(colors) * shading(kind, h, w)[..., None])
    points = outline(kind, rng)
    mask = Image.new("L", (2 * w, 2 * h), 0)
    pen, edge = ImageDraw.Draw(mask), ImageDraw.Draw(colors)
    pen.polygon([(x * 2 * w, y * 2 * h) for x, y in points], fill=255)
    ring = [(x * (w - 1), y * (h - 1)) for x, y in [*points, points[0]]]
    edge.line(ring, fill=dark, width=max(int(px * 0.008), 1))
    if kind == "cup":
        pen.ellipse([1.2 * w, 0.5 * h, 1.99 * w, 1.4 * h], outline=255, width=max(w // 5, 2))
        pen.polygon([(x * 2 * w, y * 2 * h) for x, y in points], fill=255)
    colors.putalpha(mask.reduce(2))
    if rng.uniform() < 0.5:  # handles and spines are on either side
        colors = colors.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return Thing(Sprite(colors, w / 2, h / 2), w_units, h_units, kind)


def turned(sprite: Sprite, degrees: float) -> Sprite:
    """The sprite turned counter-clockwise about its centre, which becomes its anchor."""
    image = sprite.image.rotate(degrees, Image.Resampling.BILINEAR, expand=True)
    return Sprite(image, image.width / 2, image.height / 2)


def scaled(sprite: Sprite, factor: float) -> Sprite:
    """The sprite resized about its anchor."""
    w, h = max(round(sprite.image.width * factor), 1), max(round(sprite.image.height * factor), 1)
    image = sprite.image.resize((w, h), Image.Resampling.BILINEAR)
    return Sprite(image, sprite.ax * w / sprite.image.width, sprite.ay * h / sprite.image.height)


def shadow_of(sprite: Sprite, px: float, blur: float = 0.022, strength: float = 0.5) -> Sprite:
    """A soft dark copy of the sprite's outline, to be drawn under it and a little aside."""
    pad = int(px * blur * 3) + 1
    w, h = sprite.image.size
    small = Image.new("L", ((w + 2 * pad) // 2, (h + 2 * pad) // 2), 0)  # a blur needs no resolution
    small.paste(sprite.image.getchannel("A").resize((max(w // 2, 1), max(h // 2, 1))), (pad // 2, pad // 2))
    alpha = small.filter(ImageFilter.BoxBlur(px * blur / 2)).filter(ImageFilter.BoxBlur(px * blur / 2))
    alpha = alpha.point([int(v * strength) for v in range(256)]).resize((w + 2 * pad, h + 2 * pad))
    image = Image.new("RGBA", alpha.size, (18, 14, 12, 0))
    image.putalpha(alpha)
    return Sprite(image, sprite.ax + pad, sprite.ay + pad)


def contact_shadow(px: float, width: float, strength: float = 0.55) -> Sprite:
    """The soft ellipse under an object that stands on a table seen from the front; `width` in frame heights."""
    w, h = max(int(width * px), 6), max(int(width * px * 0.28), 4)
    x = np.linspace(-1, 1, w)[None, :]
    y = np.linspace(-1, 1, h)[:, None]
    alpha = np.clip(1.15 - np.sqrt(x * x + y * y) * 1.15, 0, 1) ** 0.8 * 255 * strength
    image = Image.new("RGBA", (w, h), (18, 14, 12, 0))
    image.putalpha(Image.fromarray(alpha.astype(np.uint8)))
    return Sprite(image, w / 2, h / 2)

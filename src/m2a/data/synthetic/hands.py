"""A hand with its forearm, in three poses, drawn at any angle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .objects import Sprite
from .textures import Floats, vivid

SKIN = (  # from very light to very dark
    (250, 222, 200),
    (241, 205, 176),
    (229, 184, 150),
    (222, 171, 127),
    (198, 144, 102),
    (176, 120, 82),
    (148, 98, 66),
    (120, 76, 50),
    (94, 60, 42),
    (70, 45, 34),
)

ARM = 1.75  # frame heights: long enough to leave the frame wherever the hand is
KNUCKLES = ((-0.37, 0.66), (-0.13, 0.86), (0.12, 0.94), (0.36, 0.84))  # y, length: little finger to index


@dataclass(frozen=True)
class Look:
    """Whose hand it is: skin and sleeve colours `(3,)`, palm width in frame heights, left or right (-1 or 1)."""

    skin: Floats
    sleeve: Floats | None
    palm: float
    side: int


def make_look(rng: np.random.Generator) -> Look:
    """Draw a person."""
    tone = np.array(SKIN[int(rng.integers(len(SKIN)))], np.float32) * rng.uniform(0.93, 1.05)
    sleeve = vivid(rng) if rng.uniform() < 0.65 else None
    return Look(np.clip(tone, 0, 255), sleeve, float(rng.uniform(0.17, 0.215)), int(rng.choice([-1, 1])))


def _fingers(pose: str) -> list[list[tuple[float, float]]]:
    """Every finger's joints, in palm widths; the hand points along +x, the thumb is on the +y side."""
    out: list[list[tuple[float, float]]] = []
    for i, (y, length) in enumerate(KNUCKLES):
        if pose == "point" and i != 3:
            out.append([(-0.02, y), (0.22, y), (0.12, y * 0.9)])
        elif pose == "point":
            out.append([(0.0, y), (0.5, y * 0.9), (1.0, y * 0.75)])
        elif pose == "flat":
            out.append([(0.0, y), (length * 0.5, y * 1.12), (length, y * 1.2)])
        else:  # grip: bent over the edge of what is held
            out.append([(0.0, y), (length * 0.42, y * 1.18), (length * 0.72, y * 0.98)])
    if pose == "point":
        out.append([(-0.6, 0.36), (-0.2, 0.62), (0.12, 0.5)])
    else:
        out.append([(-0.6, 0.38), (-0.18, 0.82), (0.28, 0.86) if pose == "grip" else (0.2, 0.98)])
    return out


ANCHOR = {"grip": (0.5, 0.18), "flat": (0.75, 0.0), "point": (1.1, 0.27)}


class _Pen:
    """Draws in palm widths on an image that is turned by `angle`."""

    def __init__(
        self, angle: float, unit: float, side: int, anchor: tuple[float, float], reach: list[tuple[float, float]]
    ):
        c, s = float(np.cos(angle)), float(np.sin(angle))
        self.matrix = np.array([[c, -s], [s, c]]) * unit
        self.side, self.unit = side, unit
        corners = self._turn(reach)
        low, high = corners.min(0) - unit * 0.2, corners.max(0) + unit * 0.2
        self.shift = -low
        self.size = (int(high[0] - low[0]) + 2, int(high[1] - low[1]) + 2)
        self.anchor = self._turn([anchor])[0] + self.shift

    def _turn(self, points: list[tuple[float, float]]) -> Floats:
        return (np.array(points) * np.array([1.0, self.side])) @ self.matrix.T

    def at(self, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(float(x), float(y)) for x, y in self._turn(points) + self.shift]

    def stroke(
        self, draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], width: float, fill: tuple[int, ...]
    ) -> None:
        """A line with round ends and joints."""
        spots, r = self.at(points), width * self.unit / 2
        draw.line(spots, fill=fill, width=max(round(2 * r), 1))
        for x, y in spots:
            draw.ellipse([x - r, y - r, x + r, y + r], fill=fill)


def _tone(color: Floats, gain: float) -> tuple[int, ...]:
    return (*(int(v) for v in np.clip(color * gain, 0, 255)), 255)


def make_hand(look: Look, px: float, angle: float, pose: str = "grip") -> Sprite:
    """A hand pointing along `angle` (radians, 0 is right, clockwise) at `px` pixels to a frame height.

    The anchor is where it holds or touches something. The forearm is long enough to leave the frame.
    """
    unit = look.palm * px * 2
    arm = ARM / look.palm
    fingers = _fingers(pose)
    reach = [(-arm, -0.5), (-arm, 0.5), (1.1, -0.6), (1.1, 1.0), (-0.6, 1.0)]
    pen = _Pen(angle, unit, look.side, ANCHOR[pose], reach)
    dark, mid, light = _tone(look.skin, 0.55), _tone(look.skin, 0.92), _tone(look.skin, 1.1)
    image = Image.new("RGBA", pen.size, (*dark[:3], 0))
    draw = ImageDraw.Draw(image)
    wrist, elbow = (-1.1, 0.0), (-arm, 0.0)
    for width, fill in ((0.68, dark), (0.6, mid), (0.22, light)):
        pen.stroke(draw, [elbow, wrist], width, fill)
    for grow, fill in ((0.14, dark), (0.06, mid)):
        palm = [(-1.1, -0.24), (-0.55, -0.38), (0.0, -0.38), (0.03, 0.36), (-0.5, 0.38), (-1.1, 0.24)]
        draw.polygon(pen.at(palm), fill=fill)
        pen.stroke(draw, [*palm, palm[0]], grow + 0.12, fill)
    pen.stroke(draw, [(-0.75, -0.02), (-0.2, -0.05)], 0.34, light)
    for finger in (fingers[4], *fingers[:4]):
        width = 0.27 if finger is fingers[4] else 0.235
        pen.stroke(draw, finger, width + 0.05, dark)
        pen.stroke(draw, finger, width - 0.03, mid)
        pen.stroke(draw, finger[1:], width * 0.45, light)
    if look.sleeve is not None:
        cuff = [(-arm, 0.0), (-1.75, 0.0)]
        for width, gain in ((0.9, 0.55), (0.82, 0.95), (0.3, 1.15)):
            pen.stroke(draw, cuff, width, _tone(look.sleeve, gain))
    x, y = pen.anchor
    return Sprite(image.reduce(2), float(x) / 2, float(y) / 2)

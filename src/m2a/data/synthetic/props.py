"""Things that change shape or have an inside: books, boxes with a lid, folding sheets, cloths, containers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .objects import Sprite, contact_shadow
from .stage import Stage
from .textures import Floats, textured, to_image, vivid

Corner = tuple[float, float]


def _rgb(color: Floats, gain: float = 1.0, add: float = 0.0) -> tuple[int, ...]:
    return tuple(int(v) for v in np.clip(color * gain + add, 0, 255))


def _color(s: Stage) -> Floats:
    return vivid(s.rng, s.mean, 150.0 - 90.0 * s.difficulty)


def container(s: Stage, width: float, height: float) -> tuple[Sprite, Sprite]:
    """The inside and the front of an open box or bowl; both are anchored at the middle of the rim."""
    w, h = int(width * s.px), int(height * s.px)
    lip = max(int(0.11 * s.px), 4)
    base = _color(s)
    inside = Image.new("RGBA", (w, 2 * lip), (*_rgb(base, 0.3), 0))
    ImageDraw.Draw(inside).ellipse(
        [0, lip * 0.3, w - 1, lip * 1.7],
        fill=(*_rgb(base, 0.3), 255),
        outline=(*_rgb(base, 0.7), 255),
        width=max(w // 40, 1),
    )
    skin = to_image(
        textured(s.rng, h + lip, w, base) * (0.65 + 0.4 * np.sin(np.linspace(0.2, np.pi - 0.2, w)))[None, :, None]
    )
    mask = Image.new("L", (w, h + lip), 0)
    pen = ImageDraw.Draw(mask)
    taper = s.rng.uniform(0.03, 0.2) * w
    pen.polygon([(0, lip), (w, lip), (w - taper, lip + h), (taper, lip + h)], fill=255)
    pen.ellipse([0, lip * 0.3, w - 1, lip * 1.7], fill=255)
    pen.pieslice([0, lip * 0.3, w - 1, lip * 1.7], 180, 360, fill=0)
    pen.rectangle([0, 0, w, lip], fill=0)
    hollow = Image.new("L", (w, h + lip), 0)
    ImageDraw.Draw(hollow).ellipse([0, lip * 0.3, w - 1, lip * 1.7], fill=255)
    mask.paste(0, (0, 0), hollow)
    ImageDraw.Draw(skin).arc(
        [0, lip * 0.3, w - 1, lip * 1.7], 0, 180, fill=_rgb(base, 0.6, 100.0), width=max(w // 30, 2)
    )
    ImageDraw.Draw(mask).arc([0, lip * 0.3, w - 1, lip * 1.7], 0, 180, fill=255, width=max(w // 30, 2))
    skin.putalpha(mask)
    return Sprite(inside, w / 2, float(lip)), Sprite(skin, w / 2, float(lip))


def cloth(s: Stage, size: float) -> Sprite:
    """A cloth with a wavy hem and soft creases, about `size` frame heights wide, held at its centre."""
    n = max(int(size * s.px), 8)
    pixels = textured(s.rng, n, n, _color(s), ("plain", "stripes", "checks", "dots")[int(s.rng.integers(4))])
    y, x = np.mgrid[0:n, 0:n].astype(np.float32) / n
    angle = s.rng.uniform(0, np.pi, 2)
    crease = sum(np.sin((x * np.cos(a) + y * np.sin(a)) * s.rng.uniform(14, 24)) for a in angle)
    image = to_image(pixels * (1 + 0.12 * crease)[..., None])
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    wave = 0.025 * np.sin(t * int(s.rng.integers(5, 9)) + s.rng.uniform(0, 6))
    side = np.maximum(np.abs(np.cos(t)), np.abs(np.sin(t))) ** 0.8
    r = (0.42 / side + wave) * 2 * n
    mask = Image.new("L", (2 * n, 2 * n), 0)
    points = [(float(n + a), float(n + b)) for a, b in zip(r * np.cos(t), r * np.sin(t), strict=True)]
    ImageDraw.Draw(mask).polygon(points, fill=255)
    image.putalpha(mask.reduce(2))
    return Sprite(image, n / 2, n / 2)


class _Board:
    """An image to draw quadrilaterals on, in frame heights about its centre."""

    def __init__(self, px: float, reach: float):
        self.px, self.half = px * 2, reach
        n = int(2 * reach * px * 2)
        self.image = Image.new("RGBA", (n, n), (20, 16, 14, 0))
        self.draw = ImageDraw.Draw(self.image)

    def at(self, points: Sequence[Corner]) -> list[Corner]:
        return [((x + self.half) * self.px, (y + self.half) * self.px) for x, y in points]

    def quad(self, points: Sequence[Corner], fill: tuple[int, ...], edge: tuple[int, ...]) -> None:
        spots = self.at(points)
        self.draw.polygon(spots, fill=(*fill, 255))
        self.draw.line([*spots, spots[0]], fill=(*edge, 255), width=max(int(self.px * 0.008), 1))

    def line(self, a: Corner, b: Corner, fill: tuple[int, ...], width: float) -> None:
        self.draw.line(self.at([a, b]), fill=(*fill, 255), width=max(int(self.px * width), 1))

    def sprite(self) -> Sprite:
        image = self.image.reduce(2)
        return Sprite(image, image.width / 2, image.height / 2)


def _mix(a: Corner, b: Corner, f: float) -> Corner:
    return a[0] + (b[0] - a[0]) * f, a[1] + (b[1] - a[1]) * f


def flap(w: float, h: float, theta: float) -> list[Corner]:
    """A board of `w` by `h` hinged at x = 0, seen from above: flat on the right at 0, on the left at pi."""
    lift = 0.16 * float(np.sin(theta))  # what is nearer to the camera looks larger
    x = w * float(np.cos(theta)) * (1 + lift * 0.5)
    return [(0.0, -h / 2), (x, -h / 2 * (1 + lift)), (x, h / 2 * (1 + lift)), (0.0, h / 2)]


def _ruled(board: _Board, quad: Sequence[Corner], ink: tuple[int, ...], rows: int = 7) -> None:
    """Lines of text across a page."""
    a, b, c, d = quad
    for i in range(1, rows + 1):
        left, right = _mix(a, d, i / (rows + 1)), _mix(b, c, i / (rows + 1))
        board.line(_mix(left, right, 0.14), _mix(left, right, 0.86 if i % 3 else 0.6), ink, 0.009)


def book(s: Stage) -> None:
    """A hand opens a book that lies on the table."""
    s.setting()
    s.distract(0.05, 0.2, standing=False)
    w, h = s.uniform(0.4, 0.46), s.uniform(0.54, 0.62)
    color, paper = _color(s), np.array([240, 234, 218], np.float32)
    ink = _rgb(paper, 0.5)
    theta = s.path((0, 0.06), (0.08, 0.06), (0.92, np.pi - 0.06), (1, np.pi - 0.06))
    sprites, tips = [], []
    for angle in theta:
        board = _Board(s.px, w * 1.25)
        right = flap(w, h, 0.0)
        board.quad([(x * 1.03, y * 1.05) for x, y in right], _rgb(color, 0.6), _rgb(color, 0.3))
        board.quad(right, _rgb(paper), _rgb(paper, 0.6))
        _ruled(board, right, ink)
        quad = flap(w * 1.03, h * 1.05, float(angle))
        outer = angle < np.pi / 2
        board.quad(quad, _rgb(color, 0.75 + 0.25 * abs(float(np.cos(angle)))), _rgb(color, 0.35))
        a, b, c, d = quad
        if outer:
            title = [
                _mix(_mix(a, d, v), _mix(b, c, v), u) for u, v in ((0.25, 0.2), (0.8, 0.2), (0.8, 0.4), (0.25, 0.4))
            ]
            board.quad(title, _rgb(color, 0.4, 140.0), _rgb(color, 0.4))
        else:
            page = [
                _mix(a, b, 0.02),
                _mix(_mix(a, d, 0.03), _mix(b, c, 0.03), 0.97),
                _mix(_mix(a, d, 0.97), _mix(b, c, 0.97), 0.97),
                _mix(d, c, 0.02),
            ]
            board.quad(page, _rgb(paper, 0.92), _rgb(paper, 0.6))
            _ruled(board, page, ink)
        sprites.append(board.sprite())
        tips.append(_mix(b, c, 0.72))
    x, y = s.aspect / 2 + s.uniform(-0.06, 0.06), s.uniform(0.46, 0.54)
    s.add(sprites, x, y)
    hx, hy = np.array([t[0] for t in tips]) + x, np.array([t[1] for t in tips]) + y
    s.add(s.hand(s.uniform(-110, -70)), hx, hy)


def lid(s: Stage) -> None:
    """A hand lifts the lid of a box (or the screen of a laptop) seen from the front."""
    horizon = s.uniform(0.25, 0.4)
    s.setting(horizon)
    laptop = s.rng.uniform() < 0.5
    w, depth = s.uniform(0.7, 0.85), s.uniform(0.2, 0.26)
    tall = 0.03 if laptop else s.uniform(0.2, 0.28)
    color, inner = _color(s), np.array([40, 44, 60], np.float32)
    glow = vivid(s.rng)
    reach = 0.5 if laptop else 0.42
    theta = s.path((0, 0.04), (0.08, 0.04), (0.92, 1.75), (1, 1.75))
    sprites, tips = [], []
    for angle in theta:
        board = _Board(s.px, 0.6)
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        back_l, back_r, front_l, front_r = (-w * 0.42, 0.0), (w * 0.42, 0.0), (-w / 2, depth), (w / 2, depth)
        board.quad([back_l, back_r, front_r, front_l], _rgb(inner, 1.0 if not laptop else 2.6), _rgb(color, 0.35))
        if laptop:
            for i in range(1, 5):
                a, b = _mix(back_l, front_l, i / 6), _mix(back_r, front_r, i / 6)
                board.line(_mix(a, b, 0.1), _mix(a, b, 0.9), _rgb(inner), 0.014)
        board.quad(
            [front_l, front_r, (w / 2, depth + tall), (-w / 2, depth + tall)], _rgb(color, 0.85), _rgb(color, 0.35)
        )
        y = depth * cos - reach * sin
        half = w * (0.42 + 0.08 * cos + 0.05 * sin)
        quad = [back_l, back_r, (half, y), (-half, y)]
        seen_inside = y < 0
        board.quad(quad, _rgb(color, 0.65) if seen_inside else _rgb(color, 1.1), _rgb(color, 0.35))
        if seen_inside and laptop:
            screen = [
                _mix(_mix(quad[0], quad[1], u), _mix(quad[3], quad[2], u), v)
                for u, v in ((0.06, 0.1), (0.94, 0.1), (0.94, 0.92), (0.06, 0.92))
            ]
            board.quad(screen, _rgb(glow, 0.8, 40.0), _rgb(inner))
        sprites.append(board.sprite())
        tips.append((0.26 * w, y))
    x, base = s.aspect / 2 + s.uniform(-0.05, 0.05), s.uniform(0.58, 0.64) if laptop else s.uniform(0.47, 0.52)
    s.add(contact_shadow(s.px, w * 1.2), x, base + depth + tall - 0.02)
    s.add(sprites, x, base)
    hx, hy = np.array([t[0] for t in tips]) + x, np.array([t[1] for t in tips]) + base
    s.add(s.hand(s.uniform(-150, -125)), hx, hy)


def opening(s: Stage) -> None:
    """Either a book or something with a lid is opened."""
    (book if s.rng.uniform() < 0.5 else lid)(s)


def fold(s: Stage) -> None:
    """A hand folds one half of a sheet of paper or cloth over the other."""
    s.setting()
    s.distract(0.05, 0.2, standing=False)
    w, h = s.uniform(0.38, 0.46), s.uniform(0.5, 0.64)
    upright = s.rng.uniform() < 0.5
    if upright:
        w, h = w * 0.9, h * 1.1
    front = _color(s)
    back = vivid(s.rng, front, 150.0)
    stripes = int(s.rng.integers(0, 6))
    theta = s.path((0, np.pi - 0.03), (0.06, np.pi - 0.03), (0.94, 0.12), (1, 0.12))
    sprites, tips = [], []
    for angle in theta:
        board = _Board(s.px, w * 1.3)
        turn = (lambda p: (p[1], p[0])) if upright else (lambda p: p)
        still, moving = flap(w, h, 0.0), flap(w, h, float(angle))
        for quad, color in ((still, front), (moving, front if angle > np.pi / 2 else back)):
            shade = 1.0 if quad is still else 0.8 + 0.2 * abs(float(np.cos(angle)))
            spots = [turn(p) for p in quad]
            board.quad(spots, _rgb(color, shade), _rgb(color, 0.45))
            if color is front:
                for i in range(stripes):
                    f = (i + 1) / (stripes + 1)
                    board.line(_mix(spots[0], spots[3], f), _mix(spots[1], spots[2], f), _rgb(front, 0.6 * shade), 0.02)
        sprites.append(board.sprite())
        tips.append(turn(_mix(moving[1], moving[2], 0.7)))
    x, y = s.aspect / 2 + s.uniform(-0.06, 0.06), s.uniform(0.46, 0.54)
    s.add(sprites, x, y)
    hx, hy = np.array([t[0] for t in tips]) + x, np.array([t[1] for t in tips]) + y
    s.add(s.hand(s.uniform(-150, -115) if upright else s.uniform(-105, -75)), hx, hy)

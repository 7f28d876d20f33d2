"""The scenes: one function for every pair of classes (played forwards or backwards) and for every single class.

Each lays out a `Stage`. Whatever happens here happens to both members of a pair, so nothing has to be symmetric.
"""

from __future__ import annotations

import numpy as np

from .objects import STANDING, TOPPLING, contact_shadow, turned
from .props import cloth, container
from .stage import Stage
from .textures import Floats


def _above_or_front(s: Stage) -> float | None:
    """Set the scene seen from above (None) or on a table seen from the front (where the feet stand)."""
    if s.rng.uniform() < 0.5:
        s.setting()
        s.distract(0.1, 0.9, standing=False)
        return None
    horizon = s.uniform(0.3, 0.45)
    s.setting(horizon)
    s.distract(horizon + 0.03, 0.55, standing=True)
    return s.uniform(0.68, 0.82)


def _front(s: Stage, low: float = 0.3, high: float = 0.5) -> None:
    horizon = s.uniform(low, high)
    s.setting(horizon)
    s.distract(horizon + 0.03, horizon + 0.15, standing=True)


def push(s: Stage) -> None:
    """From left to right, the hand behind. Backwards: the hand leads and pulls to the left."""
    table = _above_or_front(s)
    thing = s.thing(s.uniform(0.3, 0.42), STANDING if table else ("box", "ball", "book", "gem", "plate"))
    x0 = s.uniform(0.36, 0.46)
    x1 = x0 + s.uniform(0.52, 0.66)
    before = s.uniform(0.0, 0.16)
    x = s.path((0, x0), (before, x0), (1, x1))
    y = s.uniform(0.35, 0.65) if table is None else table - thing.h / 2
    reach = thing.w * (0.42 if thing.kind == "gem" else 0.47)
    gap = s.path((0, 0.9 * before), (before + 1e-3, 0.0), (1, 0.0))
    if table is None:
        s.add_lit(thing.sprite, x, y)
    else:
        s.add_standing(thing, x, table, table)
    hand = s.hand(s.uniform(-22, 12), "grip" if s.rng.uniform() < 0.6 else "flat")
    s.add_lit(hand, x - reach - gap, s.const(y + 0.1 * thing.h))


def nudge_closer(s: Stage) -> None:
    """One hand brings an object to another that stays where it is."""
    s.setting()
    s.distract(0.05, 0.35, standing=False)
    still = s.thing(s.uniform(0.3, 0.38), ("box", "book", "ball", "gem", "plate"))
    moved = s.thing(s.uniform(0.24, 0.32), ("box", "book", "ball", "gem", "star"))
    xs, y = s.uniform(1.0, 1.1), s.uniform(0.36, 0.5)
    end = xs - still.w / 2 - moved.w / 2 - s.uniform(0.0, 0.03)
    x = s.path((0, s.uniform(0.14, 0.2)), (1, end))
    s.add_lit(still.sprite, xs, y)
    s.add_lit(moved.sprite, x, s.const(y))
    s.add_lit(s.hand(s.uniform(-105, -65)), x, s.const(y + moved.h * 0.36))


def two_closer(s: Stage) -> None:
    """Two hands bring two objects together."""
    table = _above_or_front(s)
    kinds = STANDING if table else ("box", "ball", "book", "gem", "star")
    a, b = s.thing(s.uniform(0.22, 0.32), kinds), s.thing(s.uniform(0.22, 0.32), kinds)
    mid = s.aspect / 2 + s.uniform(-0.08, 0.08)
    near, far = s.uniform(0.0, 0.03), s.uniform(0.36, 0.42)
    y = s.uniform(0.4, 0.6)
    for thing, sign in ((a, -1.0), (b, 1.0)):
        x = s.path((0, mid + sign * (far + thing.w / 2)), (1, mid + sign * (near + thing.w / 2)))
        ya = y if table is None else table - thing.h / 2
        if table is None:
            s.add_lit(thing.sprite, x, s.const(ya))
        else:
            s.add_standing(thing, x, table, table)
        tilt = s.uniform(-30, -5)
        s.add_lit(s.hand(tilt if sign < 0 else 180 - tilt), x + sign * thing.w * 0.42, s.const(ya + 0.05))


def passing(s: Stage) -> None:
    """Two hands move two objects past each other."""
    s.setting()
    upper, lower = s.uniform(0.24, 0.32), s.uniform(0.68, 0.76)
    for y, sign in ((upper, -1.0), (lower, 1.0)):
        thing = s.thing(s.uniform(0.22, 0.28), ("box", "ball", "book", "gem", "star"))
        reach = s.uniform(0.3, 0.38)
        x = s.path((0, s.aspect / 2 + sign * reach), (1, s.aspect / 2 - sign * reach))
        s.add_lit(thing.sprite, x, s.const(y))
        tilt = s.uniform(-12, 12)
        s.add_lit(s.hand(tilt if sign < 0 else 180 - tilt), x + sign * thing.w * 0.42, s.const(y))


def raise_up(s: Stage) -> None:
    """A hand that holds an object moves it up; it never lets go."""
    _front(s, 0.45, 0.65)
    thing = s.thing(s.uniform(0.3, 0.4))
    y0 = s.uniform(0.74, 0.82)
    y = s.path((0, y0), (1, y0 - s.uniform(0.5, 0.6)))
    x = s.uniform(0.62, 0.9)
    s.add(thing.sprite, x, y)
    s.add(s.hand(s.uniform(-35, 5)), s.const(x - thing.w * 0.4), y + 0.04)


def towards(s: Stage) -> None:
    """A hand brings an object to the camera: both grow, the background stays."""
    _front(s, 0.4, 0.6)
    thing = s.thing(s.uniform(0.24, 0.3))
    scale = np.exp(s.path((0, np.log(s.uniform(0.7, 0.85))), (1, np.log(s.uniform(1.9, 2.3)))))
    x = s.path((0, s.aspect / 2 + s.uniform(-0.15, 0.15)), (1, s.aspect / 2 + s.uniform(-0.08, 0.08)))
    y = s.path((0, s.uniform(0.4, 0.5)), (1, s.uniform(0.46, 0.54)))
    s.add(thing.sprite, x, y, scale)
    side = float(s.rng.choice([-1, 1]))
    hand = s.hand(-90 - side * s.uniform(20, 50))
    s.add(hand, x + side * 0.3 * thing.w * scale, y + 0.4 * thing.h * scale, scale)


def put(s: Stage) -> None:
    """A hand comes down with an object, lets go of it on the table, and leaves."""
    _front(s, 0.35, 0.5)
    thing = s.thing(s.uniform(0.3, 0.4), STANDING)
    table = s.uniform(0.74, 0.84)
    xt, lean = s.uniform(0.5, 0.85), s.uniform(0.05, 0.3)
    down = s.uniform(0.55, 0.65)
    away = down + 0.08
    xo = s.path((0, xt - lean), (down, xt), (1, xt))
    foot = s.path((0, s.uniform(0.12, 0.22) + thing.h / 2), (down, table), (1, table))
    top = foot - thing.h * 0.86
    fade = s.path((0, 0.45), (down, 1.0), (1, 1.0))
    s.add(contact_shadow(s.px, thing.w * 1.25), xo, s.const(table), fade)
    s.add(thing.sprite, xo, foot - thing.h / 2)
    leave = s.path((0, 0.0), (down, 0.0), (away, 0.03), (1, 1.0))
    out = s.uniform(0.4, 0.5)
    s.add(s.hand(s.uniform(50, 80)), xo - leave * out * 0.6, top - leave * out)


def put_into(s: Stage) -> None:
    """A hand lowers an object into a box or bowl, and leaves it there."""
    _front(s, 0.3, 0.45)
    width, height = s.uniform(0.5, 0.6), s.uniform(0.3, 0.36)
    back, front = container(s, width, height)
    thing = s.thing(s.uniform(0.22, 0.27), ("box", "ball", "can", "gem", "star", "bottle"))
    xc, rim = s.aspect / 2 + s.uniform(-0.1, 0.25), s.uniform(0.5, 0.56)
    down = s.uniform(0.58, 0.66)
    over = down * 0.5
    x = s.path((0, xc - s.uniform(0.45, 0.6)), (over, xc), (1, xc))
    y = s.path(
        (0, rim - s.uniform(0.12, 0.2)),
        (over, rim - thing.h / 2 - 0.06),
        (down, rim + thing.h * 0.55),
        (1, rim + thing.h * 0.55),
    )
    s.add(contact_shadow(s.px, width * 1.2), xc, rim + height)
    s.add(back, xc, rim)
    leave = s.path((0, 0.0), (down, 0.0), (1, 1.0))
    hand = s.hand(s.uniform(60, 85))
    s.add(thing.sprite, x, y)
    s.add(hand, x - leave * 0.35, y - thing.h * 0.36 - leave * 0.55)
    s.add(front, xc, rim)


def hide_behind(s: Stage) -> None:
    """A hand slides an object along the table to behind a larger one, and leaves it there."""
    _front(s, 0.35, 0.5)
    big = s.thing(s.uniform(0.5, 0.56), ("box", "book", "can"))
    thing = s.thing(s.uniform(0.22, 0.26), ("box", "ball", "can", "cup", "gem"))
    table, xb = s.uniform(0.8, 0.88), s.uniform(0.88, 1.0)
    floor = table - 0.06
    down = s.uniform(0.62, 0.72)
    x = s.path((0, s.uniform(0.2, 0.28)), (down, xb), (1, xb))
    s.add_standing(thing, x, floor, floor)
    leave = s.path((0, 0.0), (down, 0.0), (1, 1.0))
    s.add(s.hand(s.uniform(-5, 25)), x - thing.w * 0.42 - leave * 0.5, s.const(floor - thing.h * 0.5))
    s.add_standing(big, xb, table, table)


def cover(s: Stage) -> None:
    """A hand lays a cloth over an object and draws back."""
    s.setting()
    s.distract(0.05, 0.2, standing=False)
    thing = s.thing(s.uniform(0.26, 0.34), ("box", "ball", "book", "gem", "star", "plate", "bottle"))
    x, y = s.aspect / 2 + s.uniform(0.1, 0.3), s.uniform(0.44, 0.54)
    size = max(thing.w, thing.h) * s.uniform(1.3, 1.5)
    sheet = cloth(s, size)
    down = s.uniform(0.66, 0.76)
    start = s.aspect / 2 - s.uniform(0.4, 0.5)
    sx = s.path((0, start), (down, x), (1, x))
    sy = s.path((0, y + s.uniform(-0.1, 0.25)), (down, y), (1, y))
    height = s.path((0, 1.5), (down, 0.2), (1, 0.2))
    s.add_lit(thing.sprite, x, y)
    s.add_lit(sheet, sx, sy, height)
    leave = s.path((0, 0.0), (down, 0.0), (1, 1.0))
    hand = s.hand(s.uniform(-50, -15))
    s.add_lit(hand, sx - size * 0.4 - leave * 0.3, sy + size * 0.22 + leave * 0.22, height)


def hold(s: Stage) -> None:
    """A hand holds an object, as still as hands are."""
    _front(s, 0.45, 0.65)
    thing = s.thing(s.uniform(0.3, 0.42))
    x, y = s.aspect / 2 + s.uniform(-0.12, 0.25), s.uniform(0.4, 0.6)
    tremble: list[Floats] = [np.cumsum(s.rng.normal(0, 0.004, s.num_frames)) for _ in range(2)]
    s.add(thing.sprite, x + tremble[0], y + tremble[1])
    s.add(s.hand(s.uniform(-60, 10)), x - thing.w * 0.36 + tremble[0], y + thing.h * 0.2 + tremble[1])


def upside_down(s: Stage) -> None:
    """A hand turns an object by half a turn."""
    _front(s, 0.45, 0.65)
    thing = s.thing(s.uniform(0.46, 0.54), TOPPLING)
    x, y = s.aspect / 2 + s.uniform(-0.05, 0.15), s.uniform(0.45, 0.55)
    start = 0.0 if s.rng.uniform() < 0.7 else 180.0
    turn = start + s.path((0, 0.0), (0.08, 0.0), (0.92, 180.0), (1, 180.0))
    arm = 0.24 * thing.h  # held near one end, so that the other shows which way is up
    dx, dy = arm * np.sin(np.deg2rad(turn)), -arm * np.cos(np.deg2rad(turn))
    s.add([turned(thing.sprite, float(-a)) for a in turn], x + dx, y + dy)
    lean = s.path((0, -38.0), (0.08, -38.0), (0.92, 38.0), (1, 38.0))
    s.add([s.hand(float(a)) for a in lean], s.const(x - thing.w * 0.3), s.const(y))


def poke(s: Stage) -> None:
    """A finger comes, makes an object jump aside a little, and goes."""
    table = _above_or_front(s)
    thing = s.thing(s.uniform(0.3, 0.38), STANDING if table else ("box", "book", "ball", "gem", "plate"))
    x0, jump = s.uniform(0.75, 0.9), s.uniform(0.08, 0.12)
    x = s.path((0, x0), (0.45, x0), (0.58, x0 + jump), (1, x0 + jump))
    y = s.uniform(0.4, 0.6) if table is None else table - thing.h / 2
    if table is None:
        s.add_lit(thing.sprite, x, y)
    else:
        s.add_standing(thing, x, table, table)
    tip = s.path((0, x0 - 0.5), (0.45, x0), (0.58, x0 + jump), (1, x0 - 0.5)) - thing.w * 0.47
    s.add_lit(s.hand(s.uniform(-20, 20), "point"), tip, s.const(y - thing.h * 0.05))

"""The scenes in which only the camera moves."""

from __future__ import annotations

import numpy as np

from .objects import STANDING
from .stage import Stage


def approach(s: Stage) -> None:
    """The camera comes closer to an object; nothing else moves."""
    s.steered = "zoom"
    front = s.rng.uniform() < 0.6
    s.setting(s.uniform(0.3, 0.45) if front else None)
    thing = s.thing(s.uniform(0.26, 0.36), STANDING if front else ("box", "book", "star", "plate", "gem", "tube"))
    x, y = s.aspect / 2 + s.uniform(-0.12, 0.12), s.uniform(0.5, 0.58)
    around = [(x + s.uniform(0.34, 0.55) * side, y + s.uniform(-0.12, 0.3)) for side in (-1, 1)]
    for ox, oy in around[: 1 + int(s.rng.integers(2))]:
        other = s.thing(s.uniform(0.12, 0.2), STANDING if front else ("box", "star", "gem"))
        if front:
            s.add_standing(other, ox, oy + 0.1, oy + 0.1)
        else:
            s.add_lit(other.sprite, ox, oy)
    if front:
        s.add_standing(thing, x, y + thing.h / 2, y + thing.h / 2)
    else:
        s.add_lit(thing.sprite, x, y)
    s.zoom = np.exp(s.path((0, 0.0), (1, np.log(s.uniform(1.9, 2.5)))))
    closer = 1 - 1 / s.zoom  # the shake of a hand-held camera does not grow with the zoom
    s.cx, s.cy = s.cx + (x - s.aspect / 2) * 1.6 * closer, s.cy + (y - 0.5) * 1.6 * closer


def _shelf(s: Stage, spots: list[tuple[float, float]], front: bool) -> None:
    for x, y in sorted(spots, key=lambda spot: spot[1]):
        thing = s.thing(s.uniform(0.22, 0.36), STANDING)
        if front:
            s.add_standing(thing, x, y, y)
        else:
            s.add_lit(thing.sprite, x, y)


def pan(s: Stage) -> None:
    """The camera turns left: everything drifts to the right."""
    s.steered = "x"
    reach = s.uniform(0.32, 0.44)
    s.setting(s.uniform(0.35, 0.5), grow=(reach, 0.0))
    spots = [(s.aspect / 2 + s.uniform(-0.1, 0.1), s.uniform(0.72, 0.82))]
    for side in (-1, 1):
        if s.rng.uniform() < 0.75:
            spots.append((s.aspect / 2 + side * s.uniform(0.5, 0.85), s.uniform(0.6, 0.8)))
    _shelf(s, spots, front=True)
    s.cx = s.cx + s.path((0, reach), (1, -reach))


def tilt(s: Stage) -> None:
    """The camera turns upwards: everything drifts down."""
    s.steered = "y"
    reach = s.uniform(0.26, 0.36)
    front = s.rng.uniform() < 0.7
    s.setting(s.uniform(0.2, 0.4) if front else None, grow=(0.0, reach))
    x = s.aspect / 2 + s.uniform(-0.2, 0.2)
    spots = [(x, s.uniform(0.58, 0.7))]
    if s.rng.uniform() < 0.8:
        spots.append((x + float(s.rng.choice([-1, 1])) * s.uniform(0.3, 0.5), s.uniform(0.9, 1.2)))
    _shelf(s, spots, front)
    s.cy = s.cy + s.path((0, reach), (1, -reach))

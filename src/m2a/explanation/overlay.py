"""Heat over frames, as pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from m2a.errors import ConfigError

_COLOURS = "inferno"  # matplotlib's: its lightness rises evenly, also in grey print and to the colour blind
_DARKEST = 0.35  # the part of the map below is as dark as the frame that it lies on
_DIMMED = 0.65
_MOST = 0.85  # what is hottest is still to be seen
_GREY = (0.299, 0.587, 0.114)


def heat_overlay(frames: NDArray[np.uint8], heat: NDArray[Any], *, alpha: float = 0.5) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8: the frames in dimmed grey, the heat over them in colours from dark red to light yellow.

    Args:
        frames: (T, H, W, 3) uint8.
        heat: (T, H, W) in 0 to 1, such as `Explanation.heat`.
        alpha: how much of a frame the colours cover, 0 to 1: their weight at a third of the largest heat. It is
            proportional to the heat and stops at 0.85, so that what lies below the hottest place is still seen.

    Raises ConfigError for shapes that do not belong together or an alpha outside 0 to 1.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or heat.shape != frames.shape[:3]:
        raise ConfigError(
            f"frames must be (T, H, W, 3) and heat (T, H, W) of the same size; got {frames.shape} and {heat.shape}."
        )
    if not 0 <= alpha <= 1:
        raise ConfigError(f"alpha is the weight of the colours, 0 to 1; got {alpha}.")
    import matplotlib

    bounded = np.clip(heat, 0, 1)
    colours = matplotlib.colormaps[_COLOURS](_DARKEST + (1 - _DARKEST) * bounded)[..., :3] * 255
    weight = np.minimum(3 * alpha * bounded, _MOST)[..., None]
    grey = (frames @ np.array(_GREY, dtype=np.float32) * _DIMMED)[..., None]
    return np.round((1 - weight) * grey + weight * colours).astype(np.uint8)


def heat_scale(steps: int = 128, *, alpha: float = 0.5) -> UInt8[np.ndarray, "{steps} 3"]:
    """The colours of `heat_overlay` over middle grey, from no heat to the largest: for a colour bar."""
    heat: Float[np.ndarray, "1 {steps} 1"] = np.linspace(0, 1, steps, dtype=np.float32)[None, :, None]
    return heat_overlay(np.full((1, steps, 1, 3), 128, dtype=np.uint8), heat, alpha=alpha)[0, :, 0]

"""Heat over frames, as pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from m2a.errors import ConfigError

COLOURS = "inferno"
"""matplotlib's name of the colour map: its lightness rises evenly, so that it reads the same in grey and to the colour
blind."""


def heat_overlay(frames: NDArray[np.uint8], heat: NDArray[Any], *, alpha: float = 0.5) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8: the frames in grey, the heat over them in colour.

    Args:
        frames: (T, H, W, 3) uint8.
        heat: (T, H, W) in 0 to 1, such as `Explanation.heat`.
        alpha: weight of the colour, 0 (frames alone) to 1 (heat alone).

    Raises ConfigError for shapes that do not belong together or an alpha outside 0 to 1.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or heat.shape != frames.shape[:3]:
        raise ConfigError(
            f"frames must be (T, H, W, 3) and heat (T, H, W) of the same size; got {frames.shape} and {heat.shape}."
        )
    if not 0 <= alpha <= 1:
        raise ConfigError(f"alpha is the weight of the colours, 0 to 1; got {alpha}.")
    import matplotlib

    colours = matplotlib.colormaps[COLOURS](np.clip(heat, 0, 1))[..., :3] * 255
    mixed = (1 - alpha) * frames + alpha * colours
    return np.round(mixed).astype(np.uint8)

"""From a label and a random generator to a clip."""

from __future__ import annotations

import numpy as np

from m2a.errors import ConfigError

from .challenge import Challenge
from .classes import BY_LABEL, check_labels
from .hard_stage import HardStage
from .stage import Stage

MIN_SIZE = 24


def check_drawing(size: int, num_frames: int, difficulty: float) -> None:
    """Raises `ConfigError` where no clip can be drawn with these values."""
    if size < MIN_SIZE or size % 2:
        raise ConfigError(f"size={size}: the short side is an even number of pixels from {MIN_SIZE} up. Try 80.")
    if num_frames < 2:
        raise ConfigError(f"num_frames={num_frames}: a motion takes at least 2 frames. Try 12.")
    if not 0 <= difficulty <= 1:
        raise ConfigError(f"difficulty={difficulty}: it lies between 0 (easy) and 1 (hard). Try 0.3.")


def render_clip(
    label: str,
    *,
    size: int = 80,
    num_frames: int = 12,
    difficulty: float = 0.3,
    rng: np.random.Generator,
    challenge: Challenge | None = None,
) -> np.ndarray:
    """Draw one clip of a class.

    Depends on nothing but its arguments. For the two labels of a pair, generators in the same state give the same
    frames in opposite order.

    Args:
        label: one of the labels of `time_reversal_pairs()` or of the singles.
        size: the short side (height) in pixels, even; frames are 4:3.
        num_frames: T.
        difficulty: 0..1; more distractors, shake, noise, uneven speed and light, busier backgrounds.
        rng: drawn from, and so advanced.
        challenge: what else makes it hard; None for nothing.

    Returns:
        Frames `(T, H, W, 3)`, uint8 RGB.

    Raises:
        ConfigError: an unknown label, or a value out of its range.
    """
    check_drawing(size, num_frames, difficulty)
    check_labels([label])
    cls = BY_LABEL[label]
    flip, other_way = rng.uniform(size=2) < 0.5
    values = (rng, size, num_frames, float(difficulty))
    stage = Stage(*values) if challenge is None else HardStage(*values, challenge=challenge)
    cls.scene(stage)
    frames = stage.frames()
    backwards, mirror = cls.backwards, bool(flip) if cls.mirror is None else cls.mirror
    if cls.turnabout and other_way:
        backwards, mirror = not backwards, not mirror
    if mirror:
        frames = frames[:, :, ::-1]
    if backwards:
        frames = frames[::-1]
    return np.ascontiguousarray(frames)

"""Example clips for the page, drawn when it starts; nothing is written to disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from torch import from_numpy
from torch.nn.functional import interpolate

from m2a.app.film import encode, shown_size
from m2a.data.synthetic import LABELS, render_clip, time_reversal_pairs

FRAME_RATE = 12
SHOWN = 6
_SEED = 11  # other clips than those a demo trains on
_SIZE = 160
_NUM_FRAMES = 12
_DIFFICULTY = 0.3
_GENERAL = (
    "Moving something up",
    "Moving something down",
    "Pushing something from left to right",
    "Pulling something from right to left",
    "Approaching something with your camera",
    "Moving away from something with your camera",
)


@dataclass(frozen=True, kw_only=True)
class Example:
    """One drawn clip, and what it shows: a label of the table of synthetic classes."""

    label: str
    video: bytes


def choose_labels(known: Iterable[str]) -> tuple[str, ...]:
    """What examples show: labels that a model knows, whole time-reversal pairs first; else general motion."""
    names = set(known)
    paired = [label for pair in time_reversal_pairs() if names.issuperset(pair) for label in pair]
    single = [label for label in LABELS if label in names and label not in paired]
    return tuple((paired + single)[:SHOWN]) or _GENERAL


def draw_examples(known: Iterable[str]) -> tuple[Example, ...]:
    """Clips as the demo draws them, but larger; see `choose_labels`."""
    return tuple(
        Example(label=label, video=encode(_drawn(label, _SEED + place), FRAME_RATE))
        for place, label in enumerate(choose_labels(known))
    )


def _drawn(label: str, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    frames = render_clip(label, size=_SIZE, num_frames=_NUM_FRAMES, difficulty=_DIFFICULTY, rng=random)
    clip = from_numpy(frames).permute(0, 3, 1, 2).float()
    shown = interpolate(clip, shown_size(*frames.shape[1:3]), mode="bicubic", antialias=True)
    return shown.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()

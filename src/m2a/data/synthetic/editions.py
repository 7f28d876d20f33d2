"""Editions: sets that never change, so that numbers measured on them can be compared for good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from m2a.errors import ConfigError

from .challenge import Challenge
from .classes import time_reversal_pairs
from .render import render_clip


@dataclass(frozen=True, kw_only=True)
class Edition:
    """What decides every byte of a set, and the checksums by which it is known."""

    number: int
    labels: tuple[str, ...]
    num_train: int
    num_validation: int
    size: int
    num_frames: tuple[int, int]
    """Clips have from the first to the second number of frames."""

    difficulty: tuple[float, float]
    """Clips draw theirs from this range, see `render_clip`."""

    challenge: Challenge
    jpeg_quality: int
    seed: int
    sha256: str
    """`checksum` of all lists and frames."""

    first_sha256: str
    """`checksum` of the frames of the first `FIRST_CLIPS` clips, which tells at once whether the rest would differ."""

    drawn_with: str
    """The libraries that drew it."""


FIRST_CLIPS = 8

EDITIONS = {
    1: Edition(
        number=1,
        labels=tuple(label for pair in time_reversal_pairs() for label in pair),
        num_train=10_000,
        num_validation=2_000,
        size=128,
        num_frames=(16, 40),
        difficulty=(0.3, 1.0),
        challenge=Challenge(
            drift=0.1,
            distance=(0.6, 1.1),
            zooming=0.5,
            zoom=0.2,
            hesitation=0.5,
            movers=(1, 4),
            occluders=(0, 2),
            fade=(0.0, 0.7),
            contrast=(0.4, 1.0),
            noise=(2.0, 8.0),
        ),
        jpeg_quality=85,
        seed=1,
        sha256="62eca57fc0ae90fdfa9466ab72d9504cf256a3c0e25544a107ce5e77319eda69",
        first_sha256="940142e3101e90e06ed95a07992e249d96cdfa5b244a5132b2c867fa17363384",
        drawn_with="NumPy 2.4.6 and Pillow 13.0.0",
    )
}


def find_edition(number: int) -> Edition:
    """Raises `ConfigError` where there is no such edition."""
    if number not in EDITIONS:
        raise ConfigError(f"edition={number}: there is no such edition. Choose one of {sorted(EDITIONS)}.")
    return EDITIONS[number]


def render_edition_clip(edition: Edition, label: str, rng: np.random.Generator, size: int | None = None) -> np.ndarray:
    """Draw a clip as the edition has them: frames `(T, H, W, 3)`, uint8 RGB; T is drawn too.

    Args:
        edition: one of `EDITIONS`.
        label: one of its labels. For the two of a pair, equal generators give the same frames in opposite order.
        rng: drawn from, and so advanced.
        size: the short side in pixels; None for the edition's. Another size gives another clip, not the same smaller.
    """
    low, high = edition.num_frames
    num_frames, difficulty = int(rng.integers(low, high + 1)), float(rng.uniform(*edition.difficulty))
    return render_clip(
        label,
        size=edition.size if size is None else size,
        num_frames=num_frames,
        difficulty=difficulty,
        rng=rng,
        challenge=edition.challenge,
    )

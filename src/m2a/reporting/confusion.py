"""Confusion matrices: a table that can be read for some classes, an image and a list for many."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from m2a.reporting.entries import Entry
from m2a.reporting.strips import data_uri

MAX_TABLE = 30  # classes; more than this and numbered cells no longer help
_COLOUR = (46, 124, 196, 0)  # legible on white and on black


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Clips of one truth given to one class: how many, in percent of the truth's clips, how to set it."""

    clips: int
    share: int
    style: str


@dataclass(frozen=True, kw_only=True)
class Confused:
    """A kind of mistake: clips of `truth` given to `guess`, out of all clips of `truth`."""

    truth: str
    guess: str
    clips: int
    of: int


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """One run's confusion; `rows` (a label and its cells) for few classes, `image` for many."""

    entry: Entry
    labels: list[str]
    rows: list[tuple[str, list[Cell]]]
    image: str
    confused: list[Confused]


def class_order(labels: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Pairs first, their members next to each other, then the rest as they come."""
    paired = [label for pair in pairs for label in pair]
    return paired + [label for label in labels if label not in set(paired)]


def matrix(entry: Entry, pairs: Sequence[tuple[str, str]]) -> Matrix:
    """Prepare one run's confusion matrix, its classes in the order `class_order` gives."""
    labels = class_order(entry.run.labels, pairs)
    index = [entry.run.labels.index(label) for label in labels]
    counts = np.array(entry.run.confusion, dtype=np.int64).reshape(len(labels), len(labels))[np.ix_(index, index)]
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(1, totals)[:, None]
    small = len(labels) <= MAX_TABLE
    wrong = [(int(counts[r, c]), r, c) for r, c in np.argwhere(counts) if r != c]
    wrong.sort(key=lambda item: (-item[0], item[1], item[2]))
    return Matrix(
        entry=entry,
        labels=labels,
        rows=[
            (label, [_cell(counts, shares, r, c, 2 * len(pairs)) for c in range(len(labels))])
            for r, label in enumerate(labels)
        ]
        if small
        else [],
        image="" if small else _image(shares),
        confused=[
            Confused(truth=labels[r], guess=labels[c], clips=clips, of=int(totals[r])) for clips, r, c in wrong[:8]
        ],
    )


def _cell(counts: np.ndarray, shares: np.ndarray, row: int, column: int, paired: int) -> Cell:
    share = round(100 * float(shares[row, column]))
    styles = ["hi"] if share >= 88 else ["mid"] if share >= 55 else []
    if row < paired and row // 2 == column // 2:
        styles.append("pr")
    return Cell(clips=int(counts[row, column]), share=share, style=" ".join(styles))


def _image(shares: np.ndarray) -> str:
    """A PNG of one colour whose opacity is the share; the square root lifts rare mistakes into sight."""
    pixels = np.full((*shares.shape, 4), _COLOUR, dtype=np.uint8)
    pixels[..., 3] = np.round(255 * np.sqrt(shares))
    scale = max(1, 696 // len(shares))
    image = Image.fromarray(pixels.repeat(scale, axis=0).repeat(scale, axis=1))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return data_uri(buffer.getvalue(), "image/png")

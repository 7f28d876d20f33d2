"""Where models look, frame by frame: plain frames over one row a model, as in Figure 4 of M2A's paper."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from m2a.reporting.pictures import FONT, RIGHT, WRONG, fit, save_png

_CELL, _GAP, _ROW_GAP = 1.5, 0.05, 0.16  # inches
_LEFT, _RIGHT, _TOP, _BOTTOM = 2.2, 0.72, 0.7, 0.34
_WRAP = 25  # characters of a label beside a row
DPI = 104


@dataclass(frozen=True, kw_only=True, eq=False)
class HeatRow:
    """One model's row."""

    name: str
    said: str
    """The label it gives the video."""
    probability: float
    right: bool | None
    """Whether that is the truth, where it is known."""
    explained: str
    """The label whose heat is shown."""
    pictures: NDArray[np.uint8]
    """(N, H, W, 3): frames under their heat."""
    numbers: Sequence[int]
    """Of the frames in the video."""

    @property
    def verdict(self) -> tuple[str, str]:
        """A mark, to be read without its colour, and the colour."""
        share = "over 99%" if 0.995 <= self.probability < 1 else f"{self.probability:.0%}"
        if self.right is None:
            return share, "black"
        return f"{share}   {'✓ right' if self.right else '✗ wrong'}", RIGHT if self.right else WRONG


def write_heat(
    path: str | Path,
    frames: NDArray[np.uint8],
    numbers: Sequence[int],
    rows: Sequence[HeatRow],
    *,
    title: str,
    caption: str,
    scale: NDArray[np.uint8],
) -> None:
    """Writes a PNG.

    Args:
        frames: (N, H, W, 3) uint8, the first row.
        numbers: of these frames in the video.
        rows: one a model.
        title: what the video shows.
        caption: a sentence below: what the heat is.
        scale: (K, 3) uint8, the colours from no heat to the largest.
    """
    columns = max(len(numbers), *(len(row.numbers) for row in rows))
    width = _LEFT + columns * (_CELL + _GAP) + _RIGHT
    lines = textwrap.wrap(caption, int(width * 14))
    bottom = _BOTTOM + 0.17 * len(lines)
    height = _TOP + (len(rows) + 1) * (_CELL + _ROW_GAP) + bottom - _ROW_GAP
    with matplotlib.rc_context(FONT | {"font.size": 9}):
        figure = Figure(figsize=(width, height), dpi=DPI)
        heading = figure.text(0.12 / width, 1 - 0.2 / height, title, fontsize=12, fontweight="bold", va="top")
        fit(heading, width - 0.24)
        grid = [[_cell(figure, row, column) for column in range(columns)] for row in range(len(rows) + 1)]
        _show(grid[0], frames, numbers, numbered=True)
        _describe(grid[0][0], "the frames", [])
        for cells, row in zip(grid[1:], rows, strict=True):
            _show(cells, row.pictures, row.numbers, numbered=list(row.numbers) != list(numbers))
            verdict, colour = row.verdict
            same = row.explained == row.said
            about = [] if same else ["heat for:", *_lines(row.explained, 2)]
            _describe(cells[0], row.name, ["says:", *_lines(row.said, 4 if same else 2)], verdict, colour, about)
        _bar(figure, scale, bottom, height - _TOP - bottom - _CELL - _ROW_GAP)
        figure.text(0.12 / width, 0.14 / height, "\n".join(lines), color="0.3", va="bottom", linespacing=1.35)
        save_png(figure, path)


def _lines(label: str, most: int) -> list[str]:
    """As many as there is room for beside a row."""
    return textwrap.wrap(label, _WRAP, max_lines=most, placeholder=" \N{HORIZONTAL ELLIPSIS}")


def _cell(figure: Figure, row: int, column: int) -> Axes:
    width, height = figure.get_size_inches()
    left = _LEFT + column * (_CELL + _GAP)
    top = _TOP + row * (_CELL + _ROW_GAP)
    axes = figure.add_axes((left / width, 1 - (top + _CELL) / height, _CELL / width, _CELL / height))
    axes.axis("off")
    return axes


def _show(cells: Sequence[Axes], pictures: NDArray[np.uint8], numbers: Sequence[int], *, numbered: bool) -> None:
    for axes, picture, number in zip(cells, pictures, numbers, strict=False):
        axes.imshow(picture, interpolation="bicubic")
        if numbered:
            axes.set_title(f"frame {number}", fontsize=8.5, color="0.3", pad=3)


def _describe(
    cell: Axes,
    name: str,
    said: Sequence[str],
    verdict: str = "",
    colour: str = "black",
    about: Sequence[str] = (),
) -> None:
    """To the left of a row: the model in bold, what it says, whether that is right."""
    step, at = 0.125, 0.97
    left = -(_LEFT - 0.12) / _CELL

    def line(text: str, **style: Any) -> None:
        nonlocal at
        cell.text(left, at, text, transform=cell.transAxes, va="top", **style)
        at -= step

    line(name, fontweight="bold", fontsize=10.5)
    for text in said:
        line(text, color="0.35" if text == "says:" else "black")
    if verdict:
        line(verdict, color=colour, fontweight="bold")
    for text in about:
        line(text, color="0.35")


def _bar(figure: Figure, scale: NDArray[np.uint8], bottom: float, height: float) -> None:
    width, whole = figure.get_size_inches()
    axes = figure.add_axes(((width - 0.52) / width, bottom / whole, 0.13 / width, height / whole))
    axes.imshow(scale[::-1, None], aspect="auto", extent=(0, 1, 0, 1))
    axes.set_xticks([])
    axes.yaxis.tick_right()
    axes.set_yticks([0, 1], ["0", "1"])
    axes.tick_params(length=0, pad=2)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_ylabel("heat", color="0.3", labelpad=-2)
    axes.yaxis.set_label_position("right")

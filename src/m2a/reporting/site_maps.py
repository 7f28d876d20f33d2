"""What a mechanism makes of a clip at its sites: attention over frames, energy of the motion, the gate."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from m2a.reporting.pictures import FONT, fit, save_png

_CELL, _GAP, _ROW_GAP = 0.8, 0.03, 0.54  # inches
_LEFT, _MATRIX, _RIGHT, _TOP = 0.12, 1.63, 0.2, 0.78
_NAMES = 1.12  # inches between the matrix and the maps, for what they are called
_COLOURS = {"attention": "Blues", "motion": "viridis", "gate": "cividis"}
_TITLES = {
    "attention": "attention, share of a frame",
    "motion": "motion energy (root scale)",
    "gate": "gate, added share of the features",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class SiteMaps:
    """One site: arrays as `m2a.explanation.SiteEvidence` has them, None for what there is not."""

    name: str
    mechanism: str
    attention: NDArray[Any] | None
    motion: NDArray[Any] | None
    gate: NDArray[Any] | None
    numbers: Sequence[int]
    """Of the T frames at the site, in the video."""
    boundary: str | None = None
    looks_back: bool = False


def write_site_maps(
    path: str | Path, frames: NDArray[np.uint8], numbers: Sequence[int], sites: Sequence[SiteMaps], *, title: str
) -> None:
    """Writes a PNG: the frames, and below for each site its attention matrix and a strip of maps each of motion and
    gate. Each of the three quantities has one colour scale for all sites.

    Args:
        frames: (T, H, W, 3) uint8, above the maps; numbers: of these in the video.
    """
    width = _left_of_maps() + len(numbers) * (_CELL + _GAP) + _RIGHT
    caption = textwrap.wrap(_caption(sites), int(width * 14))
    below = 0.98 + 0.17 * len(caption)
    height = _TOP + (_CELL + 0.25) + len(sites) * (2 * _CELL + _GAP + _ROW_GAP) + below
    scales = {quantity: _scale(sites, quantity) for quantity in _COLOURS}
    with matplotlib.rc_context(FONT | {"font.size": 8.5}):
        figure = Figure(figsize=(width, height), dpi=110)
        heading = figure.text(_LEFT / width, 1 - 0.2 / height, title, fontsize=12, fontweight="bold", va="top")
        fit(heading, width - 2 * _LEFT)
        for column, (frame, number) in enumerate(zip(frames, numbers, strict=True)):
            axes = _map_axes(figure, _TOP, column)
            axes.imshow(frame, interpolation="bicubic")
            axes.set_title(f"frame {number}", fontsize=7.5, color="0.3", pad=3)
        for row, site in enumerate(sites):
            top = _TOP + _CELL + 0.25 + 0.2 + row * (2 * _CELL + _GAP + _ROW_GAP)
            _draw_site(figure, site, top, scales, _columns(site.numbers, numbers))
        for place, quantity in enumerate(_COLOURS):
            if scales[quantity] is not None:
                _bar(figure, quantity, scales[quantity], place, below)
        figure.text(_LEFT / width, 0.14 / height, "\n".join(caption), color="0.3", va="bottom", linespacing=1.35)
        save_png(figure, path)


def _left_of_maps() -> float:
    return _LEFT + 0.42 + _MATRIX + _NAMES


def _scale(sites: Sequence[SiteMaps], quantity: str) -> Normalize | None:
    """From the smallest to the largest value of all sites; attention and energy from 0. Of the energy, which is a
    square, the colour is that of the root."""
    values = [value for site in sites if (value := getattr(site, quantity)) is not None]
    if not values:
        return None
    highest = max(float(value.max()) for value in values)
    if quantity == "motion":
        return PowerNorm(0.5, 0, highest or 1.0)  # of a still clip: matplotlib makes room on both sides of no range
    lowest = min(float(value.min()) for value in values) if quantity == "gate" else 0
    return Normalize(lowest, highest if highest > lowest else lowest + 1.0)


def _columns(wanted: Sequence[int], numbers: Sequence[int]) -> list[int]:
    """Where the frames that are left at a site stand among all: of a short clip a number may be there twice."""
    columns: list[int] = []
    for number in wanted:
        columns.append(list(numbers).index(number, columns[-1] + 1 if columns else 0))
    return columns


def _draw_site(
    figure: Figure, site: SiteMaps, top: float, scales: dict[str, Normalize | None], columns: Sequence[int]
) -> None:
    width, height = figure.get_size_inches()
    figure.text(_LEFT / width, 1 - (top - 0.05) / height, f"{site.name}", fontweight="bold", va="bottom")
    box = ((_LEFT + 0.42) / width, 1 - (top + _MATRIX) / height, _MATRIX / width, _MATRIX / height)
    if site.attention is None:
        figure.text(box[0], 1 - (top + _CELL) / height, f"{site.mechanism} has no\nattention over frames", color="0.45")
    else:
        _matrix(figure.add_axes(box), site, scales["attention"])
    for place, quantity in enumerate(("motion", "gate")):
        at = top + place * (_CELL + _GAP)
        _strip(figure, site, quantity, at, scales[quantity], columns)


def _matrix(axes: Axes, site: SiteMaps, scale: Normalize | None) -> None:
    assert site.attention is not None
    axes.imshow(site.attention, cmap=_COLOURS["attention"], norm=scale, interpolation="nearest")
    ticks = range(len(site.numbers))
    axes.set_xticks(ticks, [str(number) for number in site.numbers])
    axes.set_yticks(ticks, [str(number) for number in site.numbers])
    axes.tick_params(length=0, labelsize=7, pad=2)
    axes.set_ylabel("into frame", fontsize=7.5, color="0.3", labelpad=2)
    axes.set_xlabel("from frame", fontsize=7.5, color="0.3", labelpad=1)


def _strip(
    figure: Figure, site: SiteMaps, quantity: str, top: float, scale: Normalize | None, columns: Sequence[int]
) -> None:
    width, height = figure.get_size_inches()
    maps = getattr(site, quantity)
    right = (_left_of_maps() - 0.1) / width
    said = {"motion": "motion energy", "gate": "gate"}[quantity]
    text = said if maps is not None else f"{site.mechanism}\nhas no {quantity}"
    colour = "0.2" if maps is not None else "0.45"
    figure.text(right, 1 - (top + _CELL / 2) / height, text, ha="right", va="center", fontsize=8, color=colour)
    for column, values in zip(columns, maps if maps is not None else (), strict=False):
        axes = _map_axes(figure, top, column)
        axes.imshow(values, cmap=_COLOURS[quantity], norm=scale, interpolation="nearest")


def _map_axes(figure: Figure, top: float, column: int) -> Axes:
    width, height = figure.get_size_inches()
    left = _left_of_maps() + column * (_CELL + _GAP)
    axes = figure.add_axes((left / width, 1 - (top + _CELL) / height, _CELL / width, _CELL / height))
    axes.axis("off")
    return axes


def _bar(figure: Figure, quantity: str, scale: Normalize | None, place: int, below: float) -> None:
    width, height = figure.get_size_inches()
    length = (width - 2 * _LEFT) / len(_COLOURS)
    left = _LEFT + place * length + 0.05
    axes = figure.add_axes((left / width, (below - 0.5) / height, (length - 0.45) / width, 0.12 / height))
    bar = figure.colorbar(ScalarMappable(scale, _COLOURS[quantity]), cax=axes, orientation="horizontal")
    bar.outline.set_visible(False)
    if isinstance(scale, PowerNorm):  # ticks that are even in value stand close together at the upper end
        ticks = [(scale.vmax or 0.0) * share for share in (0, 1 / 16, 1 / 4, 9 / 16, 1)]
        bar.set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks])
    axes.set_title(_TITLES[quantity], fontsize=8, color="0.3", loc="left", pad=3)
    axes.tick_params(length=2, labelsize=7)


def _caption(sites: Sequence[SiteMaps]) -> str:
    parts = []
    if any(site.attention is not None for site in sites):
        parts.append("Attention: how much of each frame's motion goes into a frame; a row sums to 1.")
    if any(site.motion is not None for site in sites):
        parts.append("Motion energy: where features change from a frame to the next (mean of squares over channels).")
        if any(site.boundary == "wrap" for site in sites):
            parts.append("Where M2A wraps around, as by default, the last frame's motion is that to the first.")
        if any(site.boundary == "zero" and not site.looks_back for site in sites):
            parts.append("Where M2A has zeros behind the last frame, its motion is minus the frame.")
        if any(site.looks_back for site in sites):
            parts.append("Where M2A looks back alone, a frame's motion is that since the frame before.")
    if any(site.gate is not None for site in sites):
        parts.append("Gate: what share of the features is added to them, mean over channels.")
    return " ".join([*parts, "Each has one colour scale for all sites."])

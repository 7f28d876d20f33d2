"""A picture of how time and memory grow, without and with a mechanism."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from m2a.reporting.pictures import save_png

_BARE, _WITH = "#7a7a7a", "#c2410c"
_NAMES = {"num_frames": "frames of a clip", "size": "height and width, pixels", "batch_size": "clips at once"}
_ROWS = (("ms", "training step, ms"), ("mib", "kept for backward, MiB"))


def write_growth(
    path: str | Path, lines: Mapping[str, Mapping[str, Sequence[float]]], *, mechanism: str, title: str
) -> None:
    """Writes a PNG: a column an axis, both scales logarithmic, so that growth in proportion is a straight line with
    the slope of the grey one.

    Args:
        lines: of each axis ("num_frames", "size", "batch_size") the values along it as `value`; of the time of a
            training step `bare_ms`, `ms` and `ms_ratio`, and of what is kept for the backward pass `bare_mib`, `mib`
            and `mib_ratio`. The ratios are written at the ends.
    """
    with matplotlib.rc_context({"font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=(3.1 * len(lines) + 0.4, 5.0), dpi=120, layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
        panels = figure.subplots(2, len(lines), sharex="col", sharey="row", squeeze=False)
        for row, (what, label) in enumerate(_ROWS):
            panels[row][0].set_ylabel(label)
            for column, line in enumerate(lines.values()):
                _draw(panels[row][column], line["value"], line[f"bare_{what}"], line[what], line[f"{what}_ratio"])
        for column, axis in enumerate(lines):
            panels[1][column].set_xlabel(_NAMES.get(axis, axis))
        handles = panels[0][0].get_lines()
        figure.legend(handles, ["bare", mechanism], loc="outside upper right", ncols=2, frameon=False)
        save_png(figure, path)


def _draw(
    axes: Axes, values: Sequence[float], bare: Sequence[float], with_it: Sequence[float], ratios: Sequence[float]
) -> None:
    axes.loglog(values, bare, color=_BARE, marker="o", markersize=3.5, linewidth=1.4)
    axes.loglog(values, with_it, color=_WITH, marker="o", markersize=3.5, linewidth=1.4)
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.15)
    for index, side, above in ((0, "left", 13), (-1, "right", 6)):
        place = (values[index], max(bare[index], with_it[index]))
        text = rf"$\times${ratios[index]:.2f}"
        axes.annotate(text, place, xytext=(0, above), textcoords="offset points", ha=side, fontsize=7.5, color=_WITH)

"""A picture of what one mechanism gains over others on each class, as the paper's Figure 5: bars, sorted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from m2a.reporting.owned import check_ours
from m2a.reporting.pictures import FONT, fit, save_png
from m2a.reporting.text import signed

Bars = Mapping[str, tuple[float, float | None]]
"""By label: a difference in points, and half the width of the interval around it, if there is one."""

MOST_NAMED = 40  # classes; of more than these the ends are shown
ENDS = 15
_GAIN, _LOSS = "#0b66ad", "#c2570c"  # blue and orange: told apart by every eye, and in grey
_INK, _FAINT, _RULE = "#1b1e22", "#5c646e", "#dcdfe3"
_SETTINGS: dict[Any, Any] = FONT | {"font.size": 9, "text.color": _INK}
_ROW, _HEAD, _FOOT, _NAMES, _COLUMN, _GAP = 0.25, 0.95, 0.95, 3.9, 2.2, 0.2  # inches
_WRAP = 54  # letters


def write_class_bars(
    path: str | Path, bars: Mapping[str, Bars], *, ours: str, title: str, about: str = "", description: str = ""
) -> Path:
    """Writes a PNG: a column for each other mechanism, a row for each class, sorted by the mean over the columns.

    Args:
        bars: by the other mechanism's name; only labels that all have are shown.
        ours: what gains.
        title: above it all.
        about: a line below the title.
        description: kept in the file, where `described` finds it.

    Raises ConfigError where a file is that this library did not write.
    """
    path = Path(path)
    check_ours(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(_SETTINGS):
        figure = _draw(bars, ours, title, about)
        save_png(figure, path, description=description, dpi=110, facecolor="white")
    return path


def described(path: str | Path) -> str | None:
    """The description that a picture was written with."""
    from PIL import Image

    with Image.open(path) as picture:
        return picture.info.get("Description")


def sorted_labels(bars: Mapping[str, Bars]) -> list[str]:
    """Labels that are in all columns, the largest mean gain first."""
    columns = list(bars.values())
    shared = [label for label in columns[0] if all(label in column for column in columns)]
    return sorted(shared, key=lambda label: (-sum(column[label][0] for column in columns), label))


def _draw(bars: Mapping[str, Bars], ours: str, title: str, about: str) -> Figure:
    labels = sorted_labels(bars)
    shown = labels if len(labels) <= MOST_NAMED else labels[:ENDS] + labels[-ENDS:]
    width = _NAMES + (_COLUMN + _GAP) * len(bars) + _GAP
    height = _HEAD + _ROW * len(shown) + _FOOT
    figure = Figure(figsize=(width, height))
    room = width - 2 * _GAP
    fit(figure.text(_GAP / width, 1 - 0.15 / height, title, fontsize=11, weight="bold", va="top"), room)
    fit(figure.text(_GAP / width, 1 - 0.38 / height, about, color=_FAINT, va="top"), room)
    figure.text(_GAP / width, 0.12 / height, _caption(ours, len(labels), len(shown)), color=_FAINT, fontsize=8)
    limits = _limits(bars, shown)
    for place, (name, column) in enumerate(bars.items()):
        left = _NAMES + (_COLUMN + _GAP) * place
        axes = figure.add_axes((left / width, _FOOT / height, _COLUMN / width, _ROW * len(shown) / height))
        _draw_column(axes, [column[label] for label in shown], limits)
        mean = sum(value for value, _ in column.values()) / len(column)
        axes.set_title(f"{ours} less {name}\nmean of classes {signed(mean)}", fontsize=9, loc="left")
        axes.set_yticks(range(len(shown)), map(_short, shown) if place == 0 else [""] * len(shown), color=_INK)
    return figure


def _short(label: str) -> str:
    return label if len(label) <= _WRAP else label[: _WRAP - 1].rstrip() + "\u2026"


def _caption(ours: str, there: int, shown: int) -> str:
    text = (
        f"Bars: top-1 of {ours} less that of the other, in percentage points; classes by the mean of the columns.\n"
        "Whiskers: 95% interval of the mean over seeds (Student's t), where there are several; the longest are cut off."
    )
    return text + (f" Of {there} classes the first and the last {shown // 2}." if shown < there else "")


def _limits(bars: Mapping[str, Bars], shown: Sequence[str]) -> tuple[float, float]:
    """Of the bars, with room for the whiskers, but not so much that the bars can no longer be seen."""
    found = [column[label] for column in bars.values() for label in shown]
    low, high = min(0.0, *(mean for mean, _ in found)), max(0.0, *(mean for mean, _ in found))
    most = max(4.0, high - low) / 2
    reach = max(max(low - mean, mean - high) + (half or 0.0) for mean, half in found)
    room = min(most, max(2.0, reach))
    return low - room, high + room


def _draw_column(axes: Axes, values: Sequence[tuple[float, float | None]], limits: tuple[float, float]) -> None:
    means = [mean for mean, _ in values]
    axes.barh(range(len(means)), means, height=0.66, color=[_GAIN if mean >= 0 else _LOSS for mean in means], zorder=2)
    for place, (mean, half) in enumerate(values):
        if half is not None:
            axes.plot([mean - half, mean + half], [place, place], color=_INK, linewidth=0.8, zorder=3)
    axes.axvline(0, color=_INK, linewidth=0.8, zorder=4)
    axes.set(xlim=limits, ylim=(len(means) - 0.5, -0.5))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.grid(axis="x", color=_RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=_FAINT)

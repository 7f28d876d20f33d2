"""The picture of a comparison, as the paper's Figure 5: what each class gains or loses, sorted, with intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from m2a.reporting.comparison.compare import Comparison
from m2a.reporting.comparison.words import clips_of, drawn, span, tally
from m2a.reporting.owned import check_ours
from m2a.reporting.pictures import FONT, save_png
from m2a.reporting.text import signed
from m2a.wording import count

MOST_NAMED = 26  # classes; of more than these the ends are named
ENDS = 12
GAIN, LOSS = "#0b66ad", "#c2570c"  # blue and orange: told apart by every eye, and in grey
_INK, _FAINT, _RULE = "#1b1e22", "#5c646e", "#dcdfe3"
_SETTINGS: dict[Any, Any] = FONT | {"font.size": 9.5, "text.color": _INK}
_EDGE, _NAMES, _COLUMN, _LEVELS = 0.22, 3.45, 5.0, 1.5  # inches: margin, names, a column, the figures at its right
_FOOT, _AXIS, _GAP, _ROW, _PROFILE = 0.62, 0.3, 0.5, 0.36, 1.9
_WRAP = 45  # letters
_TITLE, _TEXT = 8.4, 12.5  # letters an inch: of a heading, and of the lines below it
_TITLE_LINE, _TEXT_LINE = 0.21, 0.18  # inches


@dataclass(frozen=True, kw_only=True)
class _Head:
    """What stands over a column, in lines."""

    title: list[str]
    text: list[str]

    @property
    def height(self) -> float:
        return 0.43 + _TITLE_LINE * len(self.title) + _TEXT_LINE * len(self.text)


@dataclass(frozen=True, kw_only=True)
class _Sheet:
    """Places in inches from the upper left corner, for a figure that takes shares from the lower left one."""

    figure: Figure

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        self.figure.text(x / self.figure.get_figwidth(), 1 - y / self.figure.get_figheight(), text, **style)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        wide, tall = self.figure.get_size_inches()
        return self.figure.add_axes((x / wide, 1 - (y + height) / tall, width / wide, height / tall))


def write_comparison(path: str | Path, comparison: Comparison) -> Path:
    """Writes a PNG, and returns its path.

    Raises ConfigError where a file is that this library did not write.
    """
    path = Path(path)
    check_ours(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(_SETTINGS):
        figure = draw(comparison)
        save_png(figure, path, dpi=150, facecolor="white")
    return path


def draw(comparison: Comparison) -> Figure:
    """One column for each later run, the classes in the order of the first one's gains. Of many classes the largest
    gains and losses have names, and a profile without names shows all."""
    runs = [row["run"] for row in comparison.overall]
    parts = named_parts([row for row in comparison.classes if row["run"] == runs[0]])
    many = len(parts) > 1
    below = sum(_ROW * len(part) + _AXIS + _GAP * many for _, part in parts)
    heads = {run: _head(comparison, run) for run in runs}
    top_of_all = max(head.height for head in heads.values())
    height = top_of_all + many * (_GAP + _PROFILE) + below + _FOOT
    sheet = _Sheet(figure=Figure(figsize=(_EDGE + _NAMES + _COLUMN * len(runs), height)))
    limits = _limits(comparison, parts)
    for column, run in enumerate(runs):
        rows = {row["label"]: row for row in comparison.classes if row["run"] == run}
        left = _EDGE + _NAMES + _COLUMN * column
        start = _EDGE if len(runs) == 1 else left
        _write_head(sheet, heads[run], start)
        top = top_of_all
        if many:
            start += 0.5 if len(runs) == 1 else 0.2
            axes = sheet.axes(start, top + _GAP, left + _COLUMN - _EDGE - start, _PROFILE)
            _draw_profile(axes, list(rows.values()))
            top += _PROFILE + _GAP
        for _, part in parts:
            top += _GAP * many
            axes = sheet.axes(left, top, _COLUMN - _LEVELS, _ROW * len(part))
            _draw_rows(axes, [rows[label] for label in part], limits)
            top += _ROW * len(part) + _AXIS
    _write_names(sheet, parts, comparison, top_of_all)
    return sheet.figure


def named_parts(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """The labels to name, under a heading each, of rows sorted by difference: all, or the ends."""
    labels = [row["label"] for row in rows]
    if len(labels) <= MOST_NAMED:
        return [("", labels)]
    only_losses = rows[-ENDS]["difference"] < 0
    last = f"The {ENDS} largest losses" if only_losses else f"Losses and smallest gains, the last {ENDS}"
    return [(f"The {ENDS} largest gains", labels[:ENDS]), (last, labels[-1 : -ENDS - 1 : -1])]


def _limits(comparison: Comparison, parts: Sequence[tuple[str, Sequence[str]]]) -> tuple[float, float]:
    named = {label for _, part in parts for label in part}
    rows = [row for row in comparison.classes if row["label"] in named]
    low, high = min(0.0, *(row["low"] for row in rows)), max(0.0, *(row["high"] for row in rows))
    room = max(2.0, 0.04 * (high - low))
    return low - room, high + room


def _head(comparison: Comparison, run: str) -> _Head:
    """Of several columns each names its own run, and the line below the bars what all are set beside."""
    (overall,) = (row for row in comparison.overall if row["run"] == run)
    alone = len(comparison.overall) == 1
    title = f"What {run} gains over {comparison.baseline}" if alone else f"What {run} gains"
    gain = f"{signed(overall['difference'])} points of top-1 over all {clips_of(overall)}"
    lines = [f"{gain}, 95% interval {span(overall)}", *([tally(comparison.classes)] if alone else [])]
    inches = _COLUMN + alone * _NAMES - 0.3
    return _Head(
        title=textwrap.wrap(title, int(inches * _TITLE)),
        text=[part for line in lines for part in textwrap.wrap(line, int(inches * _TEXT))],
    )


def _write_head(sheet: _Sheet, head: _Head, x: float) -> None:
    sheet.text(x, 0.2, "\n".join(head.title), fontsize=12.5, weight="bold", va="top")
    below = 0.29 + _TITLE_LINE * len(head.title)
    sheet.text(x, below, "\n".join(head.text), fontsize=9.5, color=_FAINT, va="top", linespacing=1.35)


def _write_names(sheet: _Sheet, parts: Sequence[tuple[str, Sequence[str]]], comparison: Comparison, top: float) -> None:
    many = len(parts) > 1
    whose = f" of {comparison.overall[0]['run']}" if len(comparison.overall) > 1 else ""
    if many:
        text = f"All {count(len({row['label'] for row in comparison.classes}), 'class', 'classes')}, sorted"
        sheet.text(_EDGE, top + 0.3, text, weight="bold", fontsize=10)
        top += _PROFILE + _GAP
    for heading, part in parts:
        top += _GAP * many
        lines = textwrap.wrap(heading + whose, _WRAP, max_lines=2, placeholder=" \u2026") if many else []
        sheet.text(_EDGE, top - 0.08, "\n".join(lines), weight="bold", fontsize=10)
        for place, label in enumerate(part):
            lines = textwrap.wrap(label, _WRAP, max_lines=2, placeholder=" \u2026")
            middle = top + _ROW * (place + 0.5)
            sheet.text(_EDGE, middle, "\n".join(lines), va="center", fontsize=9, linespacing=1.0)
        top += _ROW * len(part) + _AXIS
    sheet.text(
        _EDGE,
        sheet.figure.get_figheight() - _EDGE,
        f"Bars: top-1 of the run less that of {comparison.baseline}, in percentage points; at the right both, in "
        f"percent.\nWhiskers{' and grey' * many}: 95% interval, paired bootstrap over the {drawn(comparison)} of a "
        "class.",
        fontsize=8.5,
        color=_FAINT,
        linespacing=1.4,
    )


def _draw_rows(axes: Axes, rows: Sequence[Mapping[str, Any]], limits: tuple[float, float]) -> None:
    values = [row["difference"] for row in rows]
    axes.barh(range(len(rows)), values, height=0.6, color=[GAIN if value >= 0 else LOSS for value in values], zorder=2)
    for place, row in enumerate(rows):
        low, high = row["low"], row["high"]
        axes.plot([low, high], [place, place], color=_INK, linewidth=1.1, zorder=3)
        axes.plot([low, high], [place, place], color=_INK, linestyle="", marker="|", markersize=7, zorder=3)
        beside: dict[str, Any] = {
            "xycoords": ("axes fraction", "data"), "textcoords": "offset points", "ha": "right", "va": "center",
        }  # fmt: skip
        axes.annotate(signed(row["difference"]), (1, place), xytext=(38, 0), weight="bold", fontsize=9, **beside)
        levels = f"{row['top1_baseline']:.0f} \u2192 {row['top1']:.0f}"
        axes.annotate(levels, (1, place), xytext=(93, 0), color=_FAINT, fontsize=8.5, **beside)
    axes.axvline(0, color=_INK, linewidth=0.8, zorder=4)
    axes.set(xlim=limits, ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    _plain(axes, "x")


def _draw_profile(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """All classes side by side without names or gaps, their intervals as a band."""
    edges = [index - 0.5 for index in range(len(rows) + 1)]
    values = [row["difference"] for row in rows]
    for colour, part in ((GAIN, [max(value, 0) for value in values]), (LOSS, [min(value, 0) for value in values])):
        axes.stairs(part, edges, fill=True, color=colour, zorder=2)
    low, high = [row["low"] for row in rows], [row["high"] for row in rows]
    axes.stairs(high, edges, baseline=low, fill=True, color=_FAINT, alpha=0.3, linewidth=0, zorder=3)
    axes.axhline(0, color=_INK, linewidth=0.8, zorder=4)
    axes.set(xlim=(edges[0], edges[-1]))
    axes.set_xticks([])
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    _plain(axes, "y")


def _plain(axes: Axes, axis: Literal["x", "y"]) -> None:
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.grid(axis=axis, color=_RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis=axis, length=0, colors=_FAINT)

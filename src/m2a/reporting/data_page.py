"""One page about a data set: a single file that needs no network and no scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.ticker import MaxNLocator

from m2a.reporting import strips as film
from m2a.reporting import text
from m2a.reporting.drawing import Curve, Palette, new_axes, to_svg
from m2a.reporting.owned import check_ours
from m2a.reporting.report import environment
from m2a.reporting.strips import FilmStrip
from m2a.wording import count
from m2a.writing import put

_COLOURS = ("var(--run-m2a)", "var(--run-3)", "var(--run-4)")
_MANY, _ENDS = 40, 12  # with more classes than this the page shows both ends of the list and folds the whole away
_MOST_ROWS = 8  # of frame sizes and codecs
_BINS = 20
_AXES = {"frames": "frames", "seconds": "seconds", "frame rate": "frames a second"}
_TITLES = {"frames": "Clips by number of frames", "seconds": "Clips by length", "frame rate": "Clips by frame rate"}


@dataclass(frozen=True, kw_only=True)
class Split:
    """A split, and the colour of its bars."""

    name: str
    colour: str
    clips: int


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """A class: for each split its clips and the length of the bar in percent."""

    label: str
    bars: list[tuple[int, float]]


def write_data_page(
    numbers: Mapping[str, Any],
    measured: Mapping[str, Sequence[float]],
    out: str | Path,
    *,
    title: str,
    strips: Sequence[FilmStrip] = (),
) -> Path:
    """Writes a page about a data set, and returns its path.

    Args:
        numbers: what `m2a.data.SetStatistics.to_dict` gives.
        measured: the values of each clip that was opened: `frames`, `seconds`, `frame rate`.
        out: the file to write.
        title: the heading of the page.
        strips: example clips.

    Raises ConfigError where a file is that this library did not write.
    """
    splits = [
        Split(name=name, colour=_COLOURS[i % len(_COLOURS)], clips=clips)
        for i, (name, clips) in enumerate(numbers["splits"].items())
    ]
    rows = _class_rows(numbers["classes"])
    many = len(rows) > _MANY
    context = {
        "title": title,
        "numbers": numbers,
        "headline": _headline(numbers),
        "opened": _opened(numbers),
        "splits": splits,
        "class_parts": [rows[:_ENDS], rows[-_ENDS:]] if many else [rows],
        "all_classes": rows if many else [],
        "histograms": [_histogram(name, values) for name, values in measured.items() if _vary(values)],
        "lists": {name: _list(counts) for name, counts in numbers["counted"].items() if counts},
        "strips": [film.render(strip) for strip in strips],
    }
    path = Path(out)
    check_ours(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    put(path, environment().get_template("data.html.j2").render(context).encode("utf-8", errors="replace"))
    return path


def _headline(numbers: Mapping[str, Any]) -> str:
    parts = [f"{clips:,} for {'training' if name == 'train' else name}" for name, clips in numbers["splits"].items()]
    clips, classes = count(numbers["num_clips"], "clip"), count(len(numbers["classes"]), "class", "classes")
    frames = numbers["measured"]["frames"]
    length = ""
    if frames and frames["least"] == frames["most"]:
        whose = "Each" if numbers["num_opened"] == numbers["num_clips"] else "Each of those opened"
        length = f" {whose} has {frames['most']:,.0f} frames."
    elif frames:
        whose = "them" if numbers["num_opened"] == numbers["num_clips"] else "those opened"
        length = f" Half of {whose} have {frames['median']:,.0f} frames or more."
    return f"**{clips}** of **{classes}**: {text.listing(parts)}.{length}"


def _opened(numbers: Mapping[str, Any]) -> str:
    opened, everything = numbers["num_opened"], numbers["num_clips"]
    if opened == everything:
        said = f"All {opened:,} clips were opened."
    else:
        said = f"{opened:,} of {everything:,} clips were opened, drawn at random, for lengths, sizes and codecs."
    return said + (
        f" {len(numbers['unreadable']):,} of them cannot be read and are not counted; `m2a data check` names them."
        if numbers["unreadable"]
        else ""
    )


def _class_rows(classes: Mapping[str, Mapping[str, int]]) -> list[ClassRow]:
    """Classes, largest first."""
    longest = max((clips for counts in classes.values() for clips in counts.values()), default=0) or 1
    rows = [
        ClassRow(label=label, bars=[(clips, 100 * clips / longest) for clips in counts.values()])
        for label, counts in classes.items()
    ]
    return sorted(rows, key=lambda row: (-row.bars[0][0], row.label))


def _list(counts: Mapping[str, int]) -> list[tuple[str, int, float]]:
    """Name, clips and share in percent; what does not fit into the list is one row."""
    total = sum(counts.values())
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    shown = ranked[:_MOST_ROWS]
    if rest := ranked[_MOST_ROWS:]:
        shown.append((f"{len(rest):,} others", sum(clips for _, clips in rest)))
    return [(name, clips, 100 * clips / total) for name, clips in shown]


def _histogram(name: str, values: Sequence[float]) -> Curve:
    palette = Palette(_COLOURS)
    figure, axes = new_axes(palette, xlabel=_AXES[name])
    low, high = min(values), max(values)
    whole = name == "frames" and high - low < _BINS
    edges = [low - 0.5 + k for k in range(round(high - low) + 2)] if whole else _BINS
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.hist(values, bins=edges, color=palette[_COLOURS[0]], rwidth=0.9)
    label = f"{_TITLES[name]}: from {low:,.4g} to {high:,.4g}"
    return Curve(title=_TITLES[name], svg=to_svg(figure, label, name.replace(" ", "-"), palette))


def _vary(values: Sequence[float]) -> bool:
    return len(values) > 1 and max(values) - min(values) > 0.001 * max(values)

"""A picture of what was said of a long video: a film strip over bars of labels on one axis of time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from m2a.reporting.owned import check_ours
from m2a.reporting.pictures import FONT, fit, save_png

_WIDTH, _ROW = 10.0, 0.34  # inches


def write_timeline(
    path: str | Path,
    intervals: Sequence[tuple[float, float, str, float]],
    frames: Sequence[tuple[float, NDArray[Any]]],
    *,
    seconds: float,
    title: str,
) -> None:
    """Writes a PNG. Raises ConfigError where a file is that this library did not write.

    Args:
        intervals: start and end in seconds, label, probability 0 to 1; drawn the paler the less likely.
        frames: times in seconds, and pictures (H, W, 3) uint8, in the order of time.
        seconds: length of the video.
    """
    check_ours(Path(path), "--picture")
    labels = list(dict.fromkeys(label for _, _, label, _ in intervals))
    height, width = frames[0][1].shape[:2] if frames else (1, 1)
    strip = _WIDTH * 0.74 / max(len(frames), 1) * height / width
    with matplotlib.rc_context(FONT | {"font.size": 9}):
        figure = Figure(figsize=(_WIDTH, strip + _ROW * (len(labels) + 2.6)), dpi=150, layout="constrained")
        film, bars = figure.subplots(2, 1, sharex=True, height_ratios=[strip, _ROW * (len(labels) + 1)])
        fit(figure.suptitle(title, x=0.005, ha="left", fontsize=10), _WIDTH - 0.1)
        _draw_frames(film, frames, seconds)
        _draw_bars(bars, intervals, labels, seconds)
        save_png(figure, path)


def _draw_frames(axes: Axes, frames: Sequence[tuple[float, NDArray[Any]]], seconds: float) -> None:
    share = seconds / max(len(frames), 1)
    for index, (_, picture) in enumerate(frames):
        axes.imshow(picture, extent=(index * share, (index + 0.985) * share, 0, 1), aspect="auto")
    axes.set(xlim=(0, seconds), ylim=(0, 1))
    axes.axis("off")


def _draw_bars(
    axes: Axes, intervals: Sequence[tuple[float, float, str, float]], labels: Sequence[str], seconds: float
) -> None:
    colours = matplotlib.colormaps["tab10"]
    for start, end, label, probability in intervals:
        row = labels.index(label)
        axes.barh(row, end - start, left=start, height=0.72, color=colours(row % 10), alpha=0.25 + 0.75 * probability)
        if end - start > 0.05 * seconds:
            text = f"{probability:.0%}"
            axes.text((start + end) / 2, row, text, ha="center", va="center", fontsize=7.5)
    axes.set(xlim=(0, seconds), ylim=(len(labels) - 0.4, -0.6), xlabel="seconds")
    axes.set_yticks(range(len(labels)), [label if len(label) < 44 else label[:42] + "…" for label in labels])
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)

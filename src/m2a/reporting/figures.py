"""Learning curves."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from m2a.reporting.drawing import FONT, Curve, Palette, new_axes, to_svg
from m2a.reporting.entries import Entry
from m2a.reporting.text import percent


def learning_curves(shown: Sequence[Entry], ceiling: float | None) -> list[Curve]:
    """Loss and top-1 over the epochs of all runs that kept a record; nothing where none did."""
    shown = [entry for entry in shown if entry.run.epochs]
    palette = Palette([entry.colour for entry in shown])
    curves = []
    if any(e.train_loss is not None or e.val_loss is not None for entry in shown for e in entry.run.epochs):
        figure, axes = new_axes(palette, xlabel="epoch")
        _draw_loss(axes, shown, palette)
        curves.append(
            Curve(title="Loss", svg=to_svg(figure, "Loss by epoch" + _ends(shown, "val_loss"), "loss", palette))
        )
    if any(e.val_top1 is not None for entry in shown for e in entry.run.epochs):
        figure, axes = new_axes(palette, xlabel="epoch")
        _draw_top1(axes, shown, ceiling, palette)
        label = "Validation top-1 by epoch" + _ends(shown, "val_top1")
        curves.append(Curve(title="Top-1, percent", svg=to_svg(figure, label, "top1", palette)))
    return curves


def _points(entry: Entry, column: str) -> tuple[list[int], list[float]]:
    found = [(e.epoch, value) for e in entry.run.epochs if (value := getattr(e, column)) is not None]
    return [epoch for epoch, _ in found], [value for _, value in found]


def _line(
    axes: Axes, points: tuple[list[int], list[float]], colour: str, *, bold: bool, dot: int | None = None
) -> None:
    epochs, values = points
    dash: str | tuple[float, tuple[float, ...]] = "-" if bold else (0.0, (1.2, 1.8))
    axes.plot(epochs, values, color=colour, linewidth=2.0 if bold else 1.3, linestyle=dash, solid_capstyle="round")
    if dot in epochs:
        at = epochs.index(dot)
        axes.plot([dot], [values[at]], color=colour, marker="o", markersize=5, markeredgewidth=0, clip_on=False)


def _draw_loss(axes: Axes, shown: Sequence[Entry], palette: Palette) -> None:
    for entry in shown:
        _line(axes, _points(entry, "train_loss"), palette[entry.colour], bold=False)
        _line(axes, _points(entry, "val_loss"), palette[entry.colour], bold=True, dot=entry.run.best_epoch)
    axes.set_ylim(bottom=0)


def _draw_top1(axes: Axes, shown: Sequence[Entry], ceiling: float | None, palette: Palette) -> None:
    for entry in shown:
        _line(axes, _points(entry, "train_top1"), palette[entry.colour], bold=False)
        _line(axes, _points(entry, "val_top1"), palette[entry.colour], bold=True, dot=entry.run.best_epoch)
    both = ("train_top1", "val_top1")
    highest = max(max(_points(entry, one)[1], default=0.0) for entry in shown for one in both)
    axes.set_ylim(0, min(102.0, max(highest, ceiling or 0.0, 1.0) * 1.15))
    if ceiling is not None:
        axes.axhline(ceiling, color=palette["--ink"], linewidth=1.0, linestyle=(0, (5, 3)))
        _name_ceiling(axes, shown, ceiling, palette["--ink"])


def _name_ceiling(axes: Axes, shown: Sequence[Entry], ceiling: float, colour: str) -> None:
    """Write at the ceiling's left or right, above or below it: where the curves leave most room."""
    height = axes.get_ylim()[1]
    points = [point for entry in shown for point in zip(*_points(entry, "val_top1"), strict=True)]
    middle = (min(epoch for epoch, _ in points) + max(epoch for epoch, _ in points)) / 2

    def room(right: bool, above: bool) -> float:
        level = ceiling + height * (0.05 if above else -0.05)
        if not 0 < level < 0.97 * height:
            return -1.0
        return min([abs(y - level) for x, y in points if (x >= middle if right else x <= middle)], default=height)

    right, above = max(((r, a) for r in (True, False) for a in (True, False)), key=lambda place: room(*place))
    axes.annotate(
        f"order-blind ceiling {percent(ceiling)}",
        (0.995 if right else 0.005, ceiling),
        xycoords=("axes fraction", "data"),
        xytext=(0, 4 if above else -4),
        textcoords="offset points",
        ha="right" if right else "left",
        va="bottom" if above else "top",
        color=colour,
        fontsize=FONT,
    )


def _ends(shown: Sequence[Entry], column: str) -> str:
    ends = [(entry.name, _points(entry, column)[1]) for entry in shown]
    told = [f"{name} ends at {values[-1]:.{1 if 'top1' in column else 2}f}" for name, values in ends if values]
    return f": {', '.join(told)}" if told else ""

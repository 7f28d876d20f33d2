"""Figures as SVG that takes its colours and its font from the page, so that it works in dark mode and print."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_WIDTH, _HEIGHT = 4.7, 2.9  # inches at 72 units: text keeps its size on a phone
FONT = 9.5
_VARIABLES = ("--ink", "--faint", "--rule")
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "m2a",
    "font.family": "DejaVu Sans",
    "font.size": FONT,
}


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A figure: inline SVG and what it shows in words."""

    title: str
    svg: Markup


class Palette:
    """Stands in for CSS variables while matplotlib, which knows none, is drawing."""

    def __init__(self, variables: Sequence[str]):
        self._stand_in = {name: f"#0000{i:02x}" for i, name in enumerate(dict.fromkeys([*_VARIABLES, *variables]), 1)}

    def __getitem__(self, variable: str) -> str:
        return self._stand_in[variable]

    def resolve(self, svg: str) -> str:
        """The SVG with the variables in the place of their stand-ins."""
        for variable, colour in self._stand_in.items():
            svg = svg.replace(colour, variable if variable.startswith("var(") else f"var({variable})")
        return svg


def new_axes(palette: Palette, *, xlabel: str) -> tuple[Figure, Axes]:
    """An empty figure with the page's rules and labels."""
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=72)
        axes = figure.add_axes((0.085, 0.15, 0.895, 0.80))
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(palette["--rule"])
    axes.tick_params(length=0, colors=palette["--faint"], pad=5)
    axes.grid(axis="y", color=palette["--rule"], linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.set_xlabel(xlabel, color=palette["--faint"], labelpad=3)
    return figure, axes


def to_svg(figure: Figure, label: str, prefix: str, palette: Palette) -> Markup:
    """The figure as inline SVG; `prefix` keeps its ids apart from other figures'."""
    buffer = io.StringIO()
    with matplotlib.rc_context(_SETTINGS):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    used = set(re.findall(r"#([\w.-]+)", svg))  # before colours are resolved: a superset of the ids referred to
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(url\(|xlink:href=")#', rf"\1#{prefix}-", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)  # the family is the page's
    box = re.search(r'viewBox="[^"]+"', svg)
    head = f'<svg {box[0] if box else ""} role="img" aria-label="{escape(label)}">'
    svg = re.sub(r"<svg[^>]*>", lambda _: head, svg, count=1)
    return Markup(palette.resolve(svg).strip())

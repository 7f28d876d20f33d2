"""What all pictures have in common: a font, two colours, and a mark that says whose they are."""

from __future__ import annotations

import bisect
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.text import Text

from m2a.reporting.owned import MARK
from m2a.writing import put

_THERE = {font.name for font in fontManager.ttflist}
_OTHER_LETTERS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans Hebrew", "Noto Sans Arabic", "Noto Sans Devanagari",
    "Arial Unicode MS", "Hiragino Sans", "Microsoft YaHei", "Yu Gothic", "WenQuanYi Zen Hei",
)  # fmt: skip
FONT: dict[Any, Any] = {
    "font.family": ["DejaVu Sans", *(name for name in _OTHER_LETTERS if name in _THERE)],
    "text.parse_math": False,
}
"""Of pictures with names in them: in letters that a font of this machine has, and the dollars of `win $5 and $6` are no
mathematics."""
RIGHT, WRONG = "#00795b", "#b3261e"


def fit(text: Text, inches: float) -> None:
    """Takes the middle out of a text that is wider than that: names of files can have 255 letters."""
    figure = text.get_figure(root=True)
    assert figure is not None
    said, room = _in_letters(text.get_text()), inches * figure.dpi
    renderer = FigureCanvasAgg(figure).get_renderer()

    def fits(left: int) -> bool:
        start = left * 2 // 3
        text.set_text(said if left == len(said) else f"{said[:start].rstrip()}…{said[len(said) - (left - start) :]}")
        return bool(text.get_window_extent(renderer).width <= room)

    with quiet_of_letters():
        if not fits(len(said)):
            fits(bisect.bisect_left(range(len(said)), True, key=lambda left: not fits(left)) - 1)


def in_letters_alone(figure: Figure) -> None:
    """Has texts without what no font can draw: bytes of names of files that are not UTF-8, and control characters."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if (said := _in_letters(text.get_text())) != text.get_text():
            text.set_text(said)


def _in_letters(text: str) -> str:
    return "".join(letter if letter == "\n" or letter.isprintable() else "\ufffd" for letter in text)


@contextmanager
def quiet_of_letters() -> Iterator[None]:
    """Without a warning for each letter that no font here has: it is a box."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def save_png(figure: Figure, path: str | Path, *, description: str = "", **options: Any) -> None:
    """Writes a figure as a PNG that `check_ours` knows again; `options` are matplotlib's. A full disk leaves what was
    there. Letters that no font here has are boxes."""
    in_letters_alone(figure)
    metadata = {"Software": MARK} | ({"Description": description} if description else {})
    buffer = io.BytesIO()
    with quiet_of_letters():
        figure.savefig(buffer, format="png", metadata=metadata, **options)
    put(path, buffer.getvalue())

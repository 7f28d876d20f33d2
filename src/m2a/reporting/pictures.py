"""What all pictures have in common: a font, two colours, and a mark that says whose they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from m2a.reporting.owned import MARK

FONT: dict[Any, Any] = {"font.family": "DejaVu Sans", "text.parse_math": False}
"""Of pictures with names in them: the dollars of `win $5 and $6` are no mathematics."""
RIGHT, WRONG = "#00795b", "#b3261e"


def save_png(figure: Figure, path: str | Path) -> None:
    """Writes a figure as a PNG that `check_ours` knows again."""
    figure.savefig(path, format="png", metadata={"Software": MARK})

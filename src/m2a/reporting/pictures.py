"""Pictures on disk that say whose they are, so that nothing else is written over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from m2a.errors import ConfigError

MARK = "made by m2a explain"
"""In every picture's metadata."""
FONT: dict[Any, Any] = {"font.family": "DejaVu Sans", "text.parse_math": False}
"""Of pictures with names in them: the dollars of `win $5 and $6` are no mathematics."""
RIGHT, WRONG = "#00795b", "#b3261e"


def check_free(path: Path) -> None:
    """Raises ConfigError when there is a folder, or a file of somebody else, at `path`."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the name of a picture with --out.")
    if path.exists() and MARK.encode() not in path.read_bytes():
        raise ConfigError(
            f"{path} is there already, and m2a explain did not make it. It was left as it is; give another name with "
            "--out."
        )


def save_png(figure: Figure, path: str | Path) -> None:
    """Writes a figure as a PNG that `check_free` knows again."""
    figure.savefig(path, format="png", metadata={"Description": MARK})

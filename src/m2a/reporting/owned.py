"""Files that this library wrote carry its mark, and only such files are written over without being asked."""

from __future__ import annotations

from pathlib import Path

from m2a.errors import ConfigError

MARK = "Written by m2a"
"""In the text of a page, in the metadata of a picture."""


def check_ours(path: Path) -> None:
    """Raises ConfigError where something is at `path` that this library did not write."""
    if path.is_dir() or (path.exists() and MARK.encode() not in path.read_bytes()):
        what = "is a folder" if path.is_dir() else "is there already and was not written by m2a"
        raise ConfigError(f"{path} {what}; nothing is overwritten. Name another file with --out.")

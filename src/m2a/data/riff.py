"""Where an AVI file ends, by its own account.

It is made of chunks, each with four letters, a size and as many bytes. The first holds the whole of a small file, and
of a large one (OpenDML) the first gigabyte.
"""

from __future__ import annotations

from pathlib import Path

from .parts import Part

_UNKNOWN = (0, 0xFFFFFFFF)  # what is written while it is recorded


def riff_end(file: Path | Part) -> int | None:
    """How many bytes the file must have for its first chunk to be whole; None where it does not say."""
    with file.open("rb") as opened:
        header = opened.read(12) or b""
    size = int.from_bytes(header[4:8], "little")
    if header[:4] != b"RIFF" or header[8:] != b"AVI " or size in _UNKNOWN:
        return None
    return 8 + size

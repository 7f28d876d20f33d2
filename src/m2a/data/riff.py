"""Where the pictures of an AVI file end, by its own account.

It is made of chunks, each with four letters, a size and as many bytes. Pictures and sound are in one called "movi"; of
a large file (OpenDML) in several, of which the first counts here. What it says of its whole length is often wrong.
"""

from __future__ import annotations

from pathlib import Path

from .parts import Part

_UNKNOWN = (0, 0xFFFFFFFF)  # what is written while it is recorded
_MOST_CHUNKS = 64


def pictures_end(file: Path | Part) -> int | None:
    """How many bytes the file must have for its first "movi" to be whole; None where it does not say."""
    with file.open("rb") as opened:
        if (opened.read(4) or b"") != b"RIFF":
            return None
        place = 12
        for _ in range(_MOST_CHUNKS):
            opened.seek(place)
            header = opened.read(12) or b""
            size = int.from_bytes(header[4:8], "little")
            if len(header) < 12 or size in _UNKNOWN:
                return None
            if header[:4] == b"LIST" and header[8:] == b"movi":
                return place + 8 + size
            place += 8 + size + size % 2
    return None

"""Where a Matroska file (.mkv, .webm) ends, by its own account.

It is made of elements, each with an id, a size and as many bytes: a header of type EBML, then the segment, which holds
all the rest. Ids and sizes are numbers whose first byte tells, by its leading zeros, how many bytes they take.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from .parts import Part, PartFile

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067


def segment_end(file: Path | Part) -> int | None:
    """How many bytes the file must have for its segment to be whole; None where it does not say, as what is written
    while it is recorded, or is no such file."""
    with file.open("rb") as opened:
        if _id(opened) != _EBML or (size := _size(opened)) is None:
            return None
        opened.seek(opened.tell() + size)
        if _id(opened) != _SEGMENT or (size := _size(opened)) is None:
            return None
        return opened.tell() + size


def _id(file: BinaryIO | PartFile) -> int:
    return int.from_bytes(_number(file), "big")


def _size(file: BinaryIO | PartFile) -> int | None:
    """None where the size is unknown, which all bits set say."""
    content = _number(file)
    mask = (1 << 7 * len(content)) - 1  # without the bits that tell the length
    value = int.from_bytes(content, "big") & mask
    return value if content and value != mask else None


def _number(file: BinaryIO | PartFile) -> bytes:
    """The bytes of an id or a size; none where there is no such number, or the file ends in it."""
    first = file.read(1) or b""
    length = 9 - first[0].bit_length() if first else 9
    if length > 8:
        return b""
    content = first + (file.read(length - 1) or b"")
    return content if len(content) == length else b""

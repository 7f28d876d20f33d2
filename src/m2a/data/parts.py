"""A stretch of bytes inside a larger file, as a file of its own."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Part:
    """One member of a tar file: its name, the tar, and where its bytes lie in it."""

    name: str
    file: Path
    offset: int
    size: int

    def exists(self) -> bool:
        """Whether the file around it is there."""
        return self.file.is_file()

    def open(self, mode: Literal["rb"] = "rb") -> PartFile:
        """Its bytes, to be read from 0 on."""
        return PartFile(self)

    def read_bytes(self) -> bytes:
        """All of it at once."""
        with self.open() as file:
            return file.readall()


def size_of(file: Path | Part) -> int:
    """Bytes of a file, or of one inside another."""
    return file.size if isinstance(file, Part) else file.stat().st_size


def readable(num_bytes: int) -> str:
    """`1.50 GB`, or `20.1 MB`."""
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 10**9 else f"{num_bytes / 1e6:.1f} MB"


class PartFile(io.RawIOBase):
    """A part, opened for reading. It ends where the part does."""

    def __init__(self, part: Part) -> None:
        self.name = part.name  # FFmpeg looks at the suffix
        self._part = part
        self._position = 0
        self._file = part.file.open("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._part.size}[whence]
        if base + offset < 0:
            raise OSError(f"cannot seek to {base + offset}, which is in front of the start")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._part.size - self._position))
        self._file.seek(self._part.offset + self._position)
        read = self._file.readinto(view[:count]) or 0
        self._position += read
        return read

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

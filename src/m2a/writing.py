"""Files are written beside their place and moved there once they are whole: whoever is interrupted, or runs out of
disk, still has the file of before."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

PART = ".part"
"""What the name of a file ends in while it is being written. One that lies around is of a process that was killed."""


@contextmanager
def replacing(*targets: Path) -> Iterator[tuple[Path, ...]]:
    """Paths to write, nobody else's, in the folders of `targets`, which are made. Once the block ends all of them are
    put on the disk and then take their targets' place; where it raises, all targets are as before and nothing lies
    beside them. A link stays one, to the new file; a pipe or a device is written itself.

    Raises:
        OSError: from the block or here, with the name of a target where the system gives none.
    """
    places = {_beside(target): target for target in targets}
    try:
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
        yield tuple(places)
        moves = {part: target for part, target in places.items() if part != target}
        for part in moves:
            _sync(part)
        for part, target in moves.items():
            os.replace(part, os.path.realpath(target))
    except OSError as error:
        error.filename = error.filename or str(targets[0])  # writing does not say
        raise
    finally:
        for part, target in places.items():
            if part != target:
                part.unlink(missing_ok=True)


def _beside(target: Path) -> Path:
    if target.exists() and not target.is_file() and not target.is_dir():
        return target
    return Path(os.path.realpath(target)).with_name(f".m2a-{secrets.token_hex(8)}{PART}")


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def put(path: str | Path, content: bytes | memoryview) -> None:
    """Writes one file. Raises OSError."""
    put_all({Path(path): content})


def put_all(files: Mapping[Path, bytes | memoryview]) -> None:
    """Writes several, none before all are on the disk. Raises OSError."""
    with replacing(*files) as parts:
        for part, content in zip(parts, files.values(), strict=True):
            part.write_bytes(content)

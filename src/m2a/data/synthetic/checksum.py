"""Whether what was drawn is the edition, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import PIL

from m2a.errors import DataError

from .editions import Edition
from .plan import FRAMES


def checksum(root: Path, files: Iterable[Path]) -> str:
    """One sha256 over files below `root`: that of the listing which `sha256sum` prints of them, sorted by path.

    In a set's folder that holds nothing else, this command prints the same of all lists and frames:

        find * -type f ! -name synthetic.json | LC_ALL=C sort | xargs sha256sum | sha256sum
    """
    listing = hashlib.sha256()
    for name in sorted(file.relative_to(root).as_posix() for file in files):
        digest = hashlib.sha256((root / name).read_bytes()).hexdigest()
        listing.update(f"{digest}  {name}\n".encode())
    return listing.hexdigest()


def check(edition: Edition, found: str, expected: str, what: str, then: str) -> None:
    """Raises `DataError` where `found` is not `expected`; says `what` was checked, and what `then`."""
    if found == expected:
        return
    raise DataError(
        f"{what} are not those of edition {edition.number}: their sha256 is {found}, not {expected}. {then} "
        f"Edition {edition.number} was drawn with {edition.drawn_with}; here are {drawing_libraries()}."
    )


def check_set(edition: Edition, root: Path, what: str, then: str) -> None:
    """`check` of all lists and frames; other files in `root` are nobody's business."""
    frames = (file for file in (root / FRAMES).rglob("*") if file.is_file())
    found = checksum(root, [*root.glob("something-something-v1-*.csv"), *frames])
    check(edition, found, edition.sha256, what, then)


def drawing_libraries() -> str:
    """What decides the bytes beside the code: the versions of NumPy and Pillow."""
    return f"NumPy {np.__version__} and Pillow {PIL.__version__}"

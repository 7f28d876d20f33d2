"""Files and folders that may not be read or written, whoever runs the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def allowed(mode: int, path: Path) -> Iterator[None]:
    """With these permissions of a file or folder, and root, who may everything, as somebody else."""
    was_root, before = os.geteuid() == 0, path.stat().st_mode
    path.chmod(mode)
    if was_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if was_root:
            os.seteuid(0)
        path.chmod(before)

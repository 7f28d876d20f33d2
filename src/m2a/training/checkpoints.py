"""Checkpoints of a run: written whole or not at all, and read with an error that says what is wrong with them."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from m2a.errors import CheckpointError

PART = ".part"
"""What the name of a checkpoint ends in while it is being written."""
_NEEDED = ("state_dict", "epoch")


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there once it is on the disk. Lightning writes into the
    temporary folder, and from another file system copies over the checkpoint before: to be interrupted then, or to run
    out of space, would cost the only state that a run can go on from."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        target = Path(path)
        part = target.with_name(f"{target.name}.{uuid4().hex[:8]}{PART}")  # nobody else's
        content = io.BytesIO()  # so that a full disk is an OSError, which torch would hide
        torch.save(checkpoint, content)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def drop_parts(folder: Path) -> None:
    """Removes what a run that was killed left of checkpoints that it was writing."""
    for part in folder.glob(f"*{PART}"):
        part.unlink(missing_ok=True)


def read_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """A run's checkpoint, whose tensors stay on the disk. Raises CheckpointError for one that is damaged."""
    try:
        # our own file
        saved: Any = torch.load(checkpoint, map_location="cpu", weights_only=False, mmap=True)
    except Exception as error:  # torch passes on whatever damaged bytes lead it to
        problem = f"it is damaged or cut off ({type(error).__name__}: {error})"
    else:
        lacking = [name for name in _NEEDED if not isinstance(saved, Mapping) or name not in saved]
        if not lacking:
            return dict(saved)
        problem = f"it is no checkpoint of a run: it has no {' and no '.join(lacking)}"
    raise CheckpointError(
        f"{checkpoint} cannot be read; {problem}. Put a sound copy in its place, or start another run with another "
        "--out."
    )

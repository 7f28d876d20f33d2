"""Checkpoints of a run: written whole or not at all, and read with an error that says what is wrong with them."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from m2a.errors import CheckpointError
from m2a.writing import PART, put

ABOUT = "m2a_data"
"""The key of what a checkpoint says of its run: options, classes, clips."""
_NEEDED = ("state_dict", "epoch", ABOUT)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there once it is on the disk. Lightning writes into the
    temporary folder, and from another file system copies over the checkpoint before: to be interrupted then, or to run
    out of space, would cost the only state that a run can go on from."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        content = io.BytesIO()  # so that a full disk is an OSError, which torch would hide
        torch.save(checkpoint, content)
        put(path, content.getbuffer())


class BestCheckpoint(ModelCheckpoint):
    """Keeps the epoch with the best validation top-1, or `by_class` the best mean over classes; of several with the
    same, as small validation sets have them, the one with the lowest validation loss, where Lightning keeps the first.
    """

    def __init__(self, *, by_class: bool = False, **options: Any):
        super().__init__(monitor="val_mean_class" if by_class else "val_top1", mode="max", **options)
        self.lowest_loss = math.inf
        """Of the epoch that is kept."""

    def check_monitor_top_k(self, trainer: L.Trainer, current: Tensor | None = None) -> bool:
        loss = float(trainer.callback_metrics.get("val_loss", math.nan))
        is_best = super().check_monitor_top_k(trainer, current)
        if not is_best and current is not None and current == self.best_model_score:
            is_best = loss < self.lowest_loss
        if is_best:
            self.lowest_loss = loss
        return is_best

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"lowest_loss": self.lowest_loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.lowest_loss = state_dict["lowest_loss"]


def drop_parts(folder: Path) -> None:
    """Removes what a run that was killed left of checkpoints that it was writing."""
    for part in folder.glob(f"*{PART}"):
        part.unlink(missing_ok=True)


def read_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """A run's checkpoint, whose tensors stay on the disk. Raises CheckpointError for one that is damaged."""
    try:
        saved: Any = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)  # it may be a stranger's
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

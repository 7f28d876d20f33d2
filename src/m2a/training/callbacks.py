"""What a run writes down as it goes: one row an epoch, to `metrics.csv` and to the terminal."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any, NoReturn

import lightning as L
import torch
from lightning.pytorch.callbacks import RichProgressBar
from rich import get_console
from rich.console import Console
from torch import Tensor

from m2a.errors import DivergedError
from m2a.training.config import TrainConfig

COLUMNS = ("epoch", "train_loss", "train_top1", "val_loss", "val_top1", "val_top5", "val_mean_class", "lr", "seconds")


class EpochTable(L.Callback):
    """Appends a row to `metrics.csv` after each epoch (top-1 and top-5 in percent, seconds of the epoch with its
    validation) and says it in a line. What the kept epoch is chosen by is written with so many digits that a reader
    chooses the same. `lr` is what --lr names, without the multiples of the parts, at the epoch's last step. Rows of an
    earlier part of the run stay when it is resumed."""

    def __init__(self, path: Path, *, console: Console):
        self.path = path
        self.console = console
        self._start = 0.0
        self._lr = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        rows = rows_before(self.path, trainer.current_epoch) if self.path.exists() else []
        _write(self.path, rows)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start = time.perf_counter()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        group = trainer.optimizers[0].param_groups[0]
        part = group["name"].split()[0]  # mechanism, backbone or head
        self._lr = group["lr"] / getattr(pl_module.config, f"lr_{part}")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        row: dict[str, Any] = {
            "epoch": trainer.current_epoch + 1,
            "train_loss": _rounded(logged.get("train_loss"), 4),
            "train_top1": _rounded(_percent(logged.get("train_top1")), 2),
            "val_loss": _rounded(logged.get("val_loss"), 9),
            "val_top1": _rounded(_percent(logged.get("val_top1")), 6),
            "val_top5": _rounded(_percent(logged.get("val_top5")), 2),
            "val_mean_class": _rounded(_percent(logged.get("val_mean_class")), 6),
            "lr": f"{self._lr:.3g}",
            "seconds": round(time.perf_counter() - self._start, 1),
        }
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)
        bar_is_shown = isinstance(trainer.progress_bar_callback, RichProgressBar)
        console = get_console() if bar_is_shown else self.console  # the bar's own console prints above the bar
        console.print(
            f"epoch {row['epoch']:>3}/{trainer.max_epochs}  train loss {row['train_loss']}  "
            f"val loss {_rounded(logged.get('val_loss'), 4)}  "
            f"top-1 {_rounded(_percent(logged.get('val_top1')), 2)}%  {row['seconds']:.0f} s",
            highlight=False,
        )


class StopWhenDiverged(L.Callback):
    """Ends a run whose weights are no numbers any more, which nothing brings back: looked at every `EVERY` steps and at
    the end of each epoch, before its checkpoint is written. So does an epoch in which no loss was a number, from which
    half precision with a scaled loss takes no step, leaving weights as they were. Raises DivergedError."""

    EVERY = 50

    def __init__(self, config: TrainConfig):
        self.config = config
        self._losses: list[Tensor] = []  # whether each of this epoch was a number

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._losses = []

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if outputs:  # of a batch that could be decoded
            self._losses.append(outputs["loss"].detach().isfinite())
        if (batch_idx + 1) % self.EVERY == 0:
            self._look(trainer, pl_module)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._look(trainer, pl_module)
        if self._losses and not torch.stack(self._losses).any():
            self._end(trainer, f"the loss of each of its {len(self._losses)} batches is nan or infinite")

    def _look(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        tensors = {name: tensor for name, tensor in pl_module.state_dict().items() if tensor.is_floating_point()}
        finite = torch.stack([tensor.isfinite().all() for tensor in tensors.values()]).tolist()
        lost = [name.removeprefix("model.") for name, fine in zip(tensors, finite, strict=True) if not fine]
        if lost:
            what = f"{len(lost)} of {len(tensors)} weights are nan or infinite, the first of them {lost[0]}"
            self._end(trainer, f"after {trainer.global_step} steps, {what}")

    def _end(self, trainer: L.Trainer, what: str) -> NoReturn:
        config = self.config
        ways = ["a lower --lr", "a gradient clipped shorter with --clip-gradient"]
        ways += [] if config.precision == "32" else ["--precision 32"]
        last = config.run_folder / "checkpoints" / "last.ckpt"
        kept = f" {last} has the weights of the epoch before; --resume goes on from it." if last.is_file() else ""
        raise DivergedError(
            f"Training has diverged: in epoch {trainer.current_epoch + 1}, {what}. It was trained with lr "
            f"{config.lr:g}, clip_gradient {config.clip_gradient:g} and precision {config.precision}; try "
            f"{' or '.join((', '.join(ways[:-1]), ways[-1]))}.{kept}"
        )


def rows_before(path: Path, epoch: int) -> list[dict[str, str]]:
    """Of `metrics.csv`, those of the first so many epochs."""
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if int(row["epoch"]) <= epoch]


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _rounded(value: float | None, digits: int) -> float | str:
    return "" if value is None else round(value, digits)

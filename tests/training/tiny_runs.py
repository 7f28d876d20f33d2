"""Runs that take a second, what they leave behind, and how they end too early."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from rich.console import Console

from m2a.data import ClipSet
from m2a.training import TrainConfig
from m2a.training.task import ClassificationTask


def options(clips: ClipSet | Path, folder: Path, **changes: Any) -> TrainConfig:
    """Of a set, or of the folder that it is in."""
    tiny: dict[str, Any] = {
        "data": clips if isinstance(clips, Path) else clips.root,
        "out": folder,
        "backbone": "resnet10t",
        "backbone_options": {"channels": [8, 8, 16, 16], "zero_init_last": False},
        "reduction": 2,
        "pretrained": "none",
        "num_frames": 3,
        "size": 32,
        "dropout": 0.2,
        "epochs": 2,
        "batch_size": 3,
        "accumulate": 1,
        "optimizer": "adamw",
        "lr": 1e-3,
        "schedule": "constant",
        "workers": 0,
        "device": "cpu",
    }
    return TrainConfig(**(tiny | changes))


def silent() -> Console:
    return Console(file=io.StringIO(), width=1000)


def metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def last(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=False)


def assert_same_end(one: Path, other: Path) -> None:
    assert metrics(one) == metrics(other)
    ours, theirs = last(one), last(other)
    assert (ours["epoch"], ours["global_step"]) == (theirs["epoch"], theirs["global_step"])
    for name, value in ours["state_dict"].items():
        torch.testing.assert_close(value, theirs["state_dict"][name], rtol=0, atol=1e-6, msg=name)


@contextmanager
def killed_in(epoch: int, step: int = 1) -> Iterator[None]:
    """Runs in here end at a step of an epoch, both counted from 0."""
    whole = ClassificationTask.training_step

    def killed(task: ClassificationTask, batch: Any, index: int) -> Any:
        if (task.current_epoch, index) == (epoch, step):
            raise RuntimeError("killed")
        return whole(task, batch, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClassificationTask, "training_step", killed)
        with pytest.raises(RuntimeError, match="killed"):
            yield


def image_weights(folder: Path) -> Path:
    """An image checkpoint whose batch norms have seen something."""
    net = timm.create_model("resnet10t", channels=(8, 8, 16, 16), zero_init_last=False)
    net.train()(torch.randn(8, 3, 32, 32))
    folder.mkdir(exist_ok=True)
    torch.save(net.state_dict(), folder / "image.pth")
    return folder / "image.pth"

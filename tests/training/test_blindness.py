"""The warning about labels that a network cannot tell apart."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from m2a.data import read_clips
from m2a.data.synthetic import synthesize
from m2a.training import fit
from m2a.training.blindness import what_it_cannot_tell
from m2a.training.config import TrainConfig

LABELS = ("Moving something up", "Holding something", "Moving something down", "Opening a door", "Closing a door")


def told(labels: tuple[str, ...] = LABELS, **options: Any) -> str:
    return what_it_cannot_tell(TrainConfig(data=Path("clips"), **options), labels)


@pytest.mark.parametrize("mechanism", ["none", "m2a-attention", "tdn", "tdn:m2a"])
def test_it_names_the_mechanism_and_a_pair(mechanism: str) -> None:
    text = told(mechanism=mechanism)
    assert text.startswith("2 pairs of labels are each other's reverse, such as 'Moving something up' and 'Moving ")
    assert f"with mechanism={mechanism} a clip and its reverse get the same scores" in text


@pytest.mark.parametrize(
    "options",
    [
        {"mechanism": "m2a"},
        {"mechanism": "tdn+tsm"},
        {"mechanism": "tdn", "mechanism_options": {"released_backward": True}},
        {"mechanism": "none", "inflate": True},
        {"mechanism": "none", "labels": ("Moving something up", "Holding something")},
    ],
)
def test_it_is_silent_where_order_is_seen_or_does_not_matter(options: dict[str, Any]) -> None:
    assert told(**options) == ""


def test_training_says_it(tmp_path: Path) -> None:
    pair = ["Moving something up", "Moving something down"]
    synthesize(
        tmp_path / "clips",
        classes=pair,
        num_train=2,
        num_validation=2,
        size=24,
        num_frames=5,
        workers=1,
        progress=False,
    )
    small: dict[str, Any] = {"backbone": "resnet10t", "backbone_options": {"channels": [8, 8, 16, 16]}, "reduction": 2}
    small |= {"pretrained": "none", "num_frames": 3, "size": 32, "epochs": 1, "batch_size": 2, "workers": 0}
    config = TrainConfig(data=tmp_path / "clips", out=tmp_path / "run", mechanism="tdn", device="cpu", **small)
    out = io.StringIO()
    fit(config, read_clips(tmp_path / "clips"), console=Console(file=out, width=1000))
    assert "One pair of labels is each other's reverse, such as 'Moving something " in out.getvalue()

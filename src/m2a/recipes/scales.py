"""How large a recipe is run: as in the paper, on one GPU, on a laptop, or in seconds. A scale is data: options that go
over the paper's, and the synthetic set that belongs to it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from m2a.errors import ConfigError
from m2a.training.config import QUICK, SCRATCH

PAPER: Mapping[str, Any] = {
    "pretrained": "imagenet",
    "num_frames": 8,
    "size": 224,
    "scales": (1.0, 0.875, 0.75, 0.66),
    "flip": False,
    "reduction": 8,
    "dropout": 0.5,
    "epochs": 30,
    "batch_size": 32,
    "accumulate": 4,
    "optimizer": "sgd",
    "lr": 0.02,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "decay_all": True,
    "schedule": "step",
    "milestones": (20,),
    "clip_gradient": 20.0,
}
"""The paper's settings, as its code was released: every weight decays, norms and biases too. The difference of M2A
wraps around, as in the paper's text; the released code pads (`mechanism_options={"boundary": "zero"}`)."""

ACTIONS: tuple[str, ...] = (
    "Approaching something with your camera",
    "Moving away from something with your camera",
    "Moving something up",
    "Moving something down",
    "Turning the camera left while filming something",
    "Turning the camera right while filming something",
)
"""Pairs of exact time reversals whose motion is large: a network from scratch sees it within minutes."""


_DRAWING: Mapping[str, Any] = {"difficulty": 0.3, "seed": 0}  # the same clips for every seed of a run


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A size of run."""

    name: str
    summary: str
    options: Mapping[str, Any]
    """Options of `TrainConfig` that go over the paper's."""
    from_random: Mapping[str, Any] = field(default_factory=dict)
    """Options that go over those where training starts from random weights."""
    drawing: Mapping[str, Any]
    """Arguments of `m2a.data.synthetic.synthesize`: the set that `--data synthetic` stands for."""


RANDOM_BACKBONES: Mapping[str, Mapping[str, Any]] = {"resnet18": {"zero_init_last": False}}
"""Keyword arguments for timm, by backbone, where training starts from random weights, at every scale. timm starts
residual branches of a ResNet at zero, with the mechanism in them; M2A then learns much later. ImageNet weights hold
other values there, whatever the start, so with them these are left out."""

_QUICK: Mapping[str, Any] = {
    **QUICK,  # its learning rates are for image weights
    "decay_all": False,
    "pretrained": "none",
    "dropout": 0.1,
    "precision": "bf16-mixed",
}
_FROM_RANDOM: Mapping[str, Any] = {option: SCRATCH[option] for option in ("lr", "lr_mechanism", "lr_head")}
_SMALL: Mapping[str, Any] = {
    "epochs": 5,
    "scales": (1.0,),
    "train_clips_per_class": 50,
    "validation_clips_per_class": 30,
    "batch_size": 8,
}
_SMALL_FROM_RANDOM: Mapping[str, Any] = {
    **_FROM_RANDOM,
    "epochs": 4,
    "train_clips_per_class": 200,
    "scales": PAPER["scales"],
}
"""What decides how long a row takes at the scale "small", and how much it says. Image weights learn from few clips; a
network from random weights sees the order of frames only with many."""

_MEDIUM: Mapping[str, Any] = {"size": 112, "epochs": 5, "scales": (1.0,), "batch_size": 32, "cache": "disk"}
_MEDIUM_FROM_RANDOM: Mapping[str, Any] = {**_FROM_RANDOM, "epochs": 10, "scales": PAPER["scales"]}

SCALES: Mapping[str, Scale] = {
    scale.name: scale
    for scale in (
        Scale(
            name="paper",
            summary="the recipe as it is: 30 epochs at 224 pixels from ImageNet weights; for a GPU",
            options={},
            drawing={"num_train": 17_000, "num_validation": 3_400, "size": 100, "num_frames": 24, **_DRAWING},
        ),
        Scale(
            name="medium",
            summary=f"112 pixels, all clips, {_MEDIUM['epochs']} epochs from image weights, "
            f"{_MEDIUM_FROM_RANDOM['epochs']} from random ones: minutes a row on one GPU",
            options={**_QUICK, **_MEDIUM},
            from_random=_MEDIUM_FROM_RANDOM,
            drawing={"num_train": 6_800, "num_validation": 1_360, "size": 128, "num_frames": 24, **_DRAWING},
        ),
        Scale(
            name="small",
            summary=f"64 pixels, {_SMALL['train_clips_per_class']} clips of each class from image weights, "
            f"{_SMALL_FROM_RANDOM['train_clips_per_class']} from random ones: minutes a row on one core",
            options={**_QUICK, "size": 64, **_SMALL},
            from_random=_SMALL_FROM_RANDOM,
            drawing={
                "num_train": 1_200,
                "num_validation": 240,
                "classes": ACTIONS,
                "size": 64,
                "num_frames": 12,
                **_DRAWING,
            },
        ),
        Scale(
            name="tiny",
            summary="32 pixels, one epoch of a dozen clips: seconds, to try that everything works",
            options={**_QUICK, "size": 32, "epochs": 1, "batch_size": 4, "workers": 0},
            from_random=_FROM_RANDOM,
            drawing={
                "num_train": 12,
                "num_validation": 6,
                "classes": ACTIONS,
                "size": 32,
                "num_frames": 8,
                **_DRAWING,
            },
        ),
    )
}
"""The scales, by name."""


def find_scale(name: str) -> Scale:
    """Raises ConfigError when there is no such scale."""
    if name not in SCALES:
        near = difflib.get_close_matches(name, SCALES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"There is no scale {name!r}.{hint} The scales are {', '.join(SCALES)}.")
    return SCALES[name]

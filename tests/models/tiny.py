"""Video classifiers small enough to build by the dozen."""

from __future__ import annotations

from typing import Any

import torch

from m2a.models import VideoClassifier, create_model

CHANNELS = {"channels": [8, 8, 16, 16]}
VISIBLE = CHANNELS | {"zero_init_last": False}  # else residual branches give nothing, and no test sees what is in them


def tiny(seed: int = 0, **changes: Any) -> VideoClassifier:
    """A resnet10t on clips of 3 frames of 32 pixels, 5 classes, in evaluation mode."""
    options: dict[str, Any] = {
        "backbone": "resnet10t",
        "num_classes": 5,
        "num_frames": 3,
        "reduction": 2,
        "size": 32,
        "backbone_options": VISIBLE,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = create_model(**(options | changes)).eval()
        torch.nn.init.normal_(model.head.weight)  # scores that differ by more than rounding
        return model


def clips(num_frames: int = 3, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, num_frames, 3, 32, 32)

"""Videos and networks small enough that what Grad-CAM must give is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from m2a.data.preprocessing import Preprocessing
from m2a.models import VideoClassifier, create_model

LABELS = ("bright", "dark", "neither")
SIZE, CELL, CHANNELS, FRAMES = 40, 8, 5, 3
TINY: dict[str, dict[str, Any]] = {
    "resnet10t": {"backbone_options": {"channels": (8, 8, 16, 16), "zero_init_last": False}},
    "mobilenetv2_035": {},
    "vit_tiny_patch16_224": {"backbone_options": {"depth": 4, "embed_dim": 24, "num_heads": 3}, "size": 48},
    "swin_tiny_patch4_window7_224": {
        "backbone_options": {"depths": (1, 2), "embed_dim": 16, "num_heads": (2, 2), "window_size": 4},
        "size": 64,
    },
    "torchvision/shufflenet_v2_x0_5": {},
}


def write_frames(folder: Path, frames: np.ndarray) -> Path:
    """`frames` (N, H, W, 3) uint8 as a folder of JPEG frames, hardly compressed."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(folder / f"{number:05d}.jpg", quality=98, subsampling=0)
    return folder


def noise(num_frames: int = 7, side: int = SIZE) -> np.ndarray:
    """Coarse random patches, which survive JPEG."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (num_frames, side // CELL, side // CELL, 3), dtype=np.uint8)
    return coarse.repeat(CELL, axis=1).repeat(CELL, axis=2)


def tiny(backbone: str = "resnet10t", mechanism: str = "m2a", **changes: Any) -> VideoClassifier:
    """A model of 3 classes whose scores differ by more than rounding."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"num_frames": FRAMES, "size": 32, "reduction": 2, "labels": LABELS, "num_classes": 3}
    model = create_model(backbone, mechanism=mechanism, **(options | TINY[backbone] | changes)).eval()
    nn.init.normal_(model.head.weight)
    return model


class Patches(nn.Module):
    """Each patch of an image becomes CHANNELS numbers by a convolution, and these CHANNELS others by `mix`; the mean
    over patches. Four networks that compute the same, with maps in four layouts: "NCHW", "NHWC", "NLC" (behind a class
    token) and "BCTHW"."""

    def __init__(self, layout: str, prefix: int = 1):
        super().__init__()
        self.layout, self.prefix = layout, prefix
        if layout == "BCTHW":
            self.cut: nn.Module = nn.Conv3d(3, CHANNELS, (1, CELL, CELL), stride=(1, CELL, CELL))
            self.mix: nn.Module = nn.Conv3d(CHANNELS, CHANNELS, 1)
        else:
            self.cut = nn.Conv2d(3, CHANNELS, CELL, stride=CELL)
            self.mix = nn.Conv2d(CHANNELS, CHANNELS, 1) if layout == "NCHW" else nn.Linear(CHANNELS, CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.cut(x)
        if self.layout in ("NCHW", "BCTHW"):
            return self.mix(maps) * 1.0  # else it would be taken for a classifier
        if self.layout == "NHWC":
            return self.mix(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        tokens = maps.flatten(2).mT
        tokens = torch.cat([tokens.new_zeros(len(x), self.prefix, CHANNELS), tokens], dim=1)
        return self.mix(tokens)[:, self.prefix :].mean(1)


def linear_model(layout: str) -> VideoClassifier:
    """Around `Patches`, with the same numbers in every layout."""
    backbone = Patches(layout)
    preprocessing = Preprocessing(num_frames=FRAMES, size=SIZE, resize=SIZE)
    model = VideoClassifier(backbone, 3, num_frames=FRAMES, labels=LABELS, preprocessing=preprocessing)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.numel(), generator=draw).view_as(parameter))
    return model.eval()

"""Networks small enough to insert into by the dozen, one of each kind of place a mechanism can stand at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from torch import Tensor, nn


class PlainNet(nn.Module):
    """A user's own network: no block that a preset knows."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 11, 3, padding=1), nn.BatchNorm2d(11), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(11, 13, 3, padding=1), nn.BatchNorm2d(13), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Linear(13, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.stem(x)).mean((2, 3)))


class VolumeNet(nn.Module):
    """A 3D network, (B, C, T, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv3d(3, 11, 3, padding=1)
        self.norm = nn.BatchNorm3d(11)
        self.second = nn.Conv3d(11, 13, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.norm(self.first(x)).relu()).mean((2, 3, 4))


@dataclass(frozen=True, kw_only=True)
class Toy:
    """A network, where to insert, and the sites and their channels that must come of it."""

    make: Callable[[], nn.Module]
    sites: list[str]
    channels: list[int]
    where: Any = None
    shape: tuple[int, ...] = (6, 3, 32, 32)
    options: dict[str, Any] = field(default_factory=dict)

    def build(self, seed: int = 0) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.make().eval()

    def input(self) -> Tensor:
        return torch.randn(self.shape)


def from_timm(name: str, **options: Any) -> Callable[[], nn.Module]:
    if "resnet" in name:
        options["zero_init_last"] = False  # else residual branches give nothing, and no test sees what is in them
    return lambda: timm.create_model(name, num_classes=5, **options)


STAGES = [f"layer{stage}.{block}.conv1" for stage in (1, 2, 3, 4) for block in (0, 1)]
MOBILE = ["1.1", "2.1", "2.2", "3.1", "3.2", "3.3", "4.1", "4.2", "5.1", "5.2"]
TOYS = {
    "resnet10t": Toy(make=from_timm("resnet10t", channels=(8, 8, 16, 16)), sites=STAGES[::2], channels=[64, 8, 8, 16]),
    "resnet18": Toy(
        make=from_timm("resnet18", channels=(16, 16, 32, 32)), sites=STAGES, channels=[64, 16, 16, 16, 16, 32, 32, 32]
    ),
    "resnet26": Toy(
        make=from_timm("resnet26", channels=(8, 8, 16, 16)), sites=STAGES, channels=[64, 32, 32, 32, 32, 64, 64, 64]
    ),
    "mobilenetv2_050": Toy(
        make=from_timm("mobilenetv2_050"),
        sites=[f"blocks.{block}.conv_pw" for block in MOBILE],
        channels=[16, 16, 16, 32, 32, 32, 48, 48, 80, 80],
    ),
    "a user's own": Toy(
        make=PlainNet, sites=["stem.0", "body.0"], channels=[3, 11], where=r"(stem|body)\.0", shape=(6, 3, 7, 5)
    ),
    "3d": Toy(
        make=VolumeNet, sites=["norm", "second"], channels=[11, 11], where=["second", "norm"], shape=(2, 3, 3, 7, 11)
    ),
    "batch norm": Toy(
        make=PlainNet, sites=["body.1"], channels=[13], where=["body.1"], shape=(6, 3, 7, 5), options={"reduction": 3}
    ),
}

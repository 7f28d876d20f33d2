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


class ResidualNet(nn.Module):
    """A user's own network with residual branches, as people write them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 11, 3, stride=2, padding=1)
        self.open = nn.ModuleList(nn.Conv2d(11, 13, 3, padding=1, groups=1) for _ in range(4))
        self.close = nn.ModuleList(nn.Conv2d(13, 11, 1) for _ in range(4))
        self.norm = nn.BatchNorm2d(11)
        self.head = nn.Linear(11, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for opening, closing in zip(self.open, self.close, strict=True):
            x = x + closing(opening(x).relu_())
        return self.head(self.norm(x).mean((2, 3)))


class VolumeNet(nn.Module):
    """A 3D network, (B, C, T, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv3d(3, 11, 3, padding=1)
        self.norm = nn.BatchNorm3d(11)
        self.second = nn.Conv3d(11, 13, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.norm(self.first(x)).relu()).mean((2, 3, 4))


class VolumeTokens(nn.Module):
    """Of a 3D network with its channels last, as Video Swin is: (B, C, T, H, W) becomes (B, T, H, W, C)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv3d(3, 11, (1, 2, 2), stride=(1, 2, 2))
        self.norms = nn.ModuleList(nn.LayerNorm(11) for _ in range(2))
        self.layers = nn.ModuleList(nn.Linear(11, 11) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).permute(0, 2, 3, 4, 1)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = x + layer(norm(x))
        return x.mean((1, 2, 3))


@dataclass(frozen=True, kw_only=True)
class Toy:
    """A network, where to insert, and the sites and their channels that must come of it."""

    make: Callable[[], nn.Module]
    sites: list[str]
    channels: list[int]
    where: Any = None
    shape: tuple[int, ...] = (6, 3, 32, 32)
    options: dict[str, Any] = field(default_factory=dict)
    every_mechanism: bool = False
    """Whether to try all of them there; else a few."""

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
MOBILE = ["2.1", "3.1", "4.1", "5.1"]
DENSE = ["1.denselayer1", "1.denselayer2", "2.denselayer1", "2.denselayer2", "2.denselayer3"]
TOYS = {
    "resnet10t": Toy(make=from_timm("resnet10t", channels=(8, 8, 16, 16)), sites=STAGES[::2], channels=[64, 8, 8, 16]),
    "resnet18": Toy(
        every_mechanism=True,
        make=from_timm("resnet18", channels=(16, 16, 32, 32)),
        sites=STAGES,
        channels=[64, 16, 16, 16, 16, 32, 32, 32],
    ),
    "resnet14t": Toy(  # bottlenecks
        make=from_timm("resnet14t", channels=(8, 8, 16, 16)), sites=STAGES[::2], channels=[64, 32, 32, 64]
    ),
    "mobilenetv2_050": Toy(
        make=from_timm("mobilenetv2_050", depth_multiplier=0.5),
        sites=[f"blocks.{block}.conv_pw" for block in MOBILE],
        channels=[16, 32, 48, 80],
    ),
    "a user's own": Toy(
        make=PlainNet, sites=["stem.0", "body.0"], channels=[3, 11], where=r"(stem|body)\.0", shape=(6, 3, 7, 5)
    ),
    "3d": Toy(
        every_mechanism=True,
        make=VolumeNet,
        sites=["norm", "second"],
        channels=[11, 11],
        where=["second", "norm"],
        shape=(2, 3, 3, 7, 11),
    ),
    "3d, channels last": Toy(
        make=VolumeTokens,
        sites=["norms.0", "norms.1"],
        channels=[11, 11],
        shape=(2, 3, 3, 14, 10),
    ),
    "residual": Toy(
        make=ResidualNet, sites=[f"open.{block}" for block in range(4)], channels=[11] * 4, shape=(6, 3, 7, 5)
    ),
    "convnext": Toy(
        make=from_timm("convnext_atto", depths=(1, 1, 1, 1), dims=(8, 8, 16, 16), ls_init_value=None),
        sites=[f"stages.{stage}.blocks.0.conv_dw" for stage in range(4)],
        channels=[8, 8, 16, 16],
        shape=(6, 3, 64, 64),
    ),
    "vit": Toy(  # a class token
        every_mechanism=True,
        make=from_timm("vit_tiny_patch16_224", img_size=(48, 32), embed_dim=12, depth=2, num_heads=3),
        sites=["blocks.0.norm1", "blocks.1.norm1"],
        channels=[12, 12],
        shape=(6, 3, 48, 32),
    ),
    "vit with registers": Toy(
        make=from_timm("vit_small_patch14_reg4_dinov2", img_size=42, embed_dim=12, depth=2, num_heads=3),
        sites=["blocks.0.norm1", "blocks.1.norm1"],
        channels=[12, 12],
        shape=(6, 3, 42, 42),
    ),
    "swin": Toy(  # (N, H, W, C)
        make=from_timm("swin_tiny_patch4_window7_224", img_size=56, depths=(2, 1), embed_dim=12, num_heads=(1, 2)),
        sites=["layers.0.blocks.0.norm1", "layers.0.blocks.1.norm1", "layers.1.blocks.0.norm1"],
        channels=[12, 12, 24],
        shape=(6, 3, 56, 56),
    ),
    "densenet": Toy(
        make=from_timm("densenet121", growth_rate=6, block_config=(2, 3)),
        sites=[
            f"features.denseblock{b}.denselayer{k}.norm1" for b, count in ((1, 2), (2, 3)) for k in range(1, count + 1)
        ],
        channels=[12, 18, 12, 18, 24],
        shape=(6, 3, 32, 32),
    ),
    "batch norm": Toy(
        make=PlainNet, sites=["body.1"], channels=[13], where=["body.1"], shape=(6, 3, 7, 5), options={"reduction": 3}
    ),
}

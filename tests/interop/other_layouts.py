"""Networks of mmaction2, and TSM's for streams: written anew, with the keys of theirs and their behaviour.

Shapes: clips (B, T, 3, H, W); features are folded, (B * T, C, H, W).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from source_networks import CLASSES, Adaptive, Inverted, MobileNet, Shift
from torch import Tensor, nn


class ConvModule(nn.Module):
    """mmcv's: a convolution, its batch norm and an activation that may be None."""

    def __init__(self, conv: nn.Module, bn: nn.Module, activation: nn.Module | None):
        super().__init__()
        self.conv, self.bn = conv, bn
        self.activate = activation or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(self.bn(self.conv(x)))


class Block(nn.Module):
    """A block of a ResNet, basic or bottleneck, with what is given in the place of the first convolution's features."""

    def __init__(self, block: Any):
        super().__init__()
        self.deep = hasattr(block, "conv3")
        self.conv1 = ConvModule(block.conv1, block.bn1, nn.ReLU())
        self.conv2 = ConvModule(block.conv2, block.bn2, nn.ReLU() if self.deep else None)
        if self.deep:
            self.conv3 = ConvModule(block.conv3, block.bn3, None)
        self.downsample = ConvModule(*block.downsample, None) if block.downsample is not None else None

    def forward(self, x: Tensor, between: nn.Module | None = None) -> Tensor:
        out = self.conv1(x)
        out = self.conv2(out if between is None else between(out))
        out = self.conv3(out) if self.deep else out
        return (out + (x if self.downsample is None else self.downsample(x))).relu()


class AdaptiveBlock(nn.Module):
    """TANet's: TAM behind the first convolution."""

    def __init__(self, block: Block):
        super().__init__()
        channels = block.conv1.bn.num_features
        assert isinstance(channels, int)
        self.block, self.tam = block, Adaptive(channels, channels // 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x, self.tam)


class ResNet(nn.Module):
    def __init__(self, network: torchvision.models.ResNet):
        super().__init__()
        self.conv1 = ConvModule(network.conv1, network.bn1, nn.ReLU())
        for stage in range(1, 5):
            blocks = network.get_submodule(f"layer{stage}").children()
            self.add_module(f"layer{stage}", nn.Sequential(*map(Block, blocks)))

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.conv1(x), 3, 2, 1)
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return x


class MobileBlock(nn.Module):
    def __init__(self, block: Inverted, *, shift: bool):
        super().__init__()
        rows = [list(block.conv)[start : start + 3] for start in range(0, len(block.conv), 3)]
        self.conv = nn.Sequential(*(ConvModule(row[0], row[1], row[2] if len(row) == 3 else None) for row in rows))
        self.skip = block.skip
        if shift and self.skip and len(self.conv) == 3:
            self.conv[0] = Shift(self.conv[0])

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + (x if self.skip else 0)


class MobileNetV2(nn.Module):
    def __init__(self, *, shift: bool = True):
        super().__init__()
        stem, *blocks, last = MobileNet().features
        self.conv1 = ConvModule(*stem)
        for stage, count in enumerate((1, 2, 3, 4, 3, 3, 1), start=1):
            mine = [MobileBlock(block, shift=shift) for block in blocks[:count]]
            self.add_module(f"layer{stage}", nn.Sequential(*mine))
            blocks = blocks[count:]
        self.conv2 = ConvModule(*last)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for stage in range(1, 8):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.conv2(x)


class Recogniser(nn.Module):
    """A network on every frame, a head, the mean over frames."""

    def __init__(self, backbone: nn.Module, width: int):
        super().__init__()
        self.backbone = backbone
        self.cls_head = nn.ModuleDict({"fc_cls": nn.Linear(width, CLASSES)})

    def forward(self, clips: Tensor) -> Tensor:
        features = self.backbone(clips.flatten(0, 1)).mean((2, 3))
        return self.cls_head["fc_cls"](features).unflatten(0, clips.shape[:2]).mean(1)


def tsn() -> nn.Module:
    return Recogniser(ResNet(torchvision.models.resnet18()), 512)


def tsm() -> nn.Module:
    network = ResNet(torchvision.models.resnet18())
    for block in [module for module in network.modules() if isinstance(module, Block)]:
        block.conv1.conv = Shift(block.conv1.conv)
    return Recogniser(network, 512)


def tsm_mobilenet() -> nn.Module:
    return Recogniser(MobileNetV2(), 1280)


def tanet() -> nn.Module:
    network = ResNet(torchvision.models.resnet50())
    for stage in range(1, 5):
        blocks = network.get_submodule(f"layer{stage}").children()
        network.add_module(f"layer{stage}", nn.Sequential(*map(AdaptiveBlock, blocks)))
    return Recogniser(network, 2048)


class Online(nn.Module):
    """TSM's network for streams: it takes one frame, and hands on an eighth of the channels in front of each block that
    expands and has a skip. The score of a clip is the mean over its frames."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleList(MobileNet().features)
        self.classifier = nn.Linear(1280, CLASSES)

    def forward(self, clips: Tensor) -> Tensor:
        kept: dict[int, Tensor] = {}
        scores = []
        for x in clips.unbind(1):
            for index, layer in enumerate(self.features):
                if isinstance(layer, Inverted) and layer.skip and len(layer.conv) == 8:
                    eighth = x[:, : x.shape[1] // 8]
                    before, kept[index] = kept.get(index, torch.zeros_like(eighth)), eighth
                    x = x + layer.conv(torch.cat([before, x[:, x.shape[1] // 8 :]], dim=1))
                else:
                    x = layer(x)
            scores.append(self.classifier(x.mean((2, 3))))
        return torch.stack(scores).mean(0)

"""Networks as users bring them: none has timm's methods."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Four residual branches, 11 channels, and a classifier of 13 classes."""

    def __init__(self, head: nn.Module | None = None):
        super().__init__()
        self.stem = nn.Conv2d(3, 11, 3, stride=2, padding=1)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(11, 7, 3, padding=1), nn.BatchNorm2d(7), nn.ReLU(), nn.Conv2d(7, 11, 1))
            for _ in range(4)
        )
        self.head = nn.Linear(11, 13) if head is None else head

    def features(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for branch in self.branches:
            x = x + branch(x)
        return x

    def forward(self, x: Tensor) -> Any:
        return self.head(self.features(x).mean((2, 3)))


class Maps(Residual):
    """Gives maps (N, 11, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)


class MapsChannelsLast(Residual):
    """Gives maps (N, H, W, 11)."""

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).permute(0, 2, 3, 1)


class NormedMapsChannelsLast(MapsChannelsLast):
    """As Swin ends without its pooling."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.layer_norm(super().forward(x), (11,)) + 1


class Tokens(Residual):
    """Gives tokens (N, L, 11)."""

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x).flatten(2).mT


class Auxiliary(Residual):
    """Gives the scores and others, as GoogLeNet does in training."""

    def forward(self, x: Tensor) -> Any:
        pooled = self.features(x).mean((2, 3))
        return self.head(pooled), pooled[:, :2]


class Bag(OrderedDict[str, Any]):
    """A dict of a kind of its own, as transformers' ModelOutput is."""


class InABag(Residual):
    def forward(self, x: Tensor) -> Any:
        return Bag(loss=None, logits=super().forward(x))


@dataclass
class Answer:
    logits: Tensor


class InADataclass(Residual):
    def forward(self, x: Tensor) -> Any:
        return Answer(super().forward(x))


class Softened(Residual):
    """Dropout and a softmax behind the classifier."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(nn.functional.dropout(super().forward(x), training=self.training), -1)


class Convolved(Residual):
    """Classifies each pixel and averages, as SqueezeNet does."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Dropout(0.1), nn.Conv2d(11, 13, 1), nn.ReLU()))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x)).mean((2, 3))


class Deep(Residual):
    """A classifier of two layers, of which the last is taken off."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Linear(11, 17), nn.ReLU(), nn.Linear(17, 13)))


class Mechanical(Residual):
    """Has a layer called as mechanisms are."""

    def __init__(self) -> None:
        super().__init__()
        self.mechanism = nn.Conv2d(11, 11, 1)

    def features(self, x: Tensor) -> Tensor:
        return self.mechanism(super().features(x))


class Tied(Residual):
    """The first two branches are one."""

    def __init__(self) -> None:
        super().__init__()
        self.branches[1] = self.branches[0]

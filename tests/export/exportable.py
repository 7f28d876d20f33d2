"""A small classifier to export, and clips for it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import m2a
from m2a.data import Preprocessing

FRAMES, SIZE, CLASSES = 3, 26, 5


def classifier(mechanism: str = "none", **options: str) -> m2a.VideoClassifier:
    """Of two convolutions, a mechanism between them: every further site makes the export longer, and shows no more."""
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.Conv2d(16, 24, 3, padding=1)
    net = nn.Sequential(
        first, nn.BatchNorm2d(16), nn.ReLU(), second, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, CLASSES)
    )
    m2a.insert(net, mechanism, num_frames=FRAMES, where=["3"], **options)
    how = Preprocessing(num_frames=FRAMES, size=SIZE)
    model = m2a.VideoClassifier(net, CLASSES, labels=["a", "b", "c", "d", "é"], preprocessing=how)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter) * parameter.std(correction=0))  # no two weights alike
        nn.init.normal_(model.head.weight)
        model.train()(torch.randn(7, FRAMES, 3, SIZE, SIZE))  # for the norm's statistics
    return model.eval()


def pixels(count: int) -> Tensor:
    return torch.randint(0, 256, (count, FRAMES, 3, SIZE, SIZE), dtype=torch.uint8)

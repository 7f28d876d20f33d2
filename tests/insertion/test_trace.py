"""The recorded pass: what is known of an operation beforehand is what torch makes of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toy_nets import TOYS

from m2a.insertion import trace as module


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_050", "vit", "swin", "densenet", "3d"])
def test_shortcuts_change_no_step(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = TOYS[name].build()
    short = module.trace(network, num_frames=3)
    monkeypatch.setattr(module, "_known", lambda *_: None)
    whole = module.trace(network, num_frames=3)
    assert [(step.operation, step.module, step.shape) for step in short.steps] == [
        (step.operation, step.module, step.shape) for step in whole.steps
    ]
    assert list(short.passages) == list(whole.passages)


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm2d(7), (5, 3, 11, 13)),
        (nn.LayerNorm(7), (5, 11, 13)),
    ],
)
def test_a_norm_of_another_width_is_noticed(norm: nn.Module, shape: tuple[int, ...]) -> None:
    """Or an input that a network does not take would pass for one that it does."""
    with pytest.raises(RuntimeError):
        module._record(norm.eval().to("meta"), shape, 5, False)
    module._record(norm, (5, 7, 7, 7), 5, False)


def test_a_channels_last_map_stays_one() -> None:
    norm = nn.BatchNorm2d(7).eval().to("meta")
    seen: list[torch.Tensor] = []
    norm.register_forward_hook(lambda _, __, out: seen.append(out))
    x = torch.empty(5, 7, 3, 2, device="meta").to(memory_format=torch.channels_last)
    with torch.no_grad(), module._Recorder() as recorder:
        recorder.add(x, "input", [])
        norm(x)
    assert seen[0].is_contiguous(memory_format=torch.channels_last)

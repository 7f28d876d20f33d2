"""The recorded pass: what is known of an operation beforehand is what torch makes of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from toy_nets import TOYS

from m2a.insertion import find_sites
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


class Written(nn.Module):
    """A block whose sum is written into a part of what comes out."""

    def __init__(self, way: str):
        super().__init__()
        self.conv, self.way = nn.Conv2d(4, 4, 3, padding=1), way

    def forward(self, x: Tensor) -> Tensor:
        y = torch.zeros(x.shape, device=x.device, dtype=x.dtype) if self.way == "into zeros" else x.clone()
        match self.way:
            case "in place":
                y[:, :4] += self.conv(x[:, :4])
            case "assigned":
                y[:, :4] = x[:, :4] + self.conv(x[:, :4])
            case "into zeros":
                y[:, :4] = x[:, :4] + self.conv(x[:, :4])
                y[:, 4:] = x[:, 4:]
            case "through a view":
                first, _ = y.flatten(2).chunk(2, dim=1)
                first += self.conv(x[:, :4]).flatten(2)
        return y


@pytest.mark.parametrize("way", ["in place", "assigned", "into zeros", "through a view"])
def test_what_is_written_through_a_view_is_seen(way: str) -> None:
    blocks = [Written(way) for _ in range(4)]
    net = nn.Sequential(nn.Conv2d(3, 8, 3), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    assert [site.name for site in find_sites(net).sites] == ["1.conv", "2.conv", "3.conv", "4.conv"]
    record = module.trace(net)
    reached, waiting = {record.passages["4"].made}, [record.passages["4"].made]
    while waiting:
        new = [source for source in waiting.pop().sources if source not in reached]
        reached.update(new)
        waiting += new
    assert {step.module for step in reached if step.operation == "convolution"} == {
        "0", "1.conv", "2.conv", "3.conv", "4.conv",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((slice(None), slice(0, 3)), (slice(None), slice(3, 7)), False),
        ((slice(None), slice(0, 4)), (slice(None), slice(3, 7)), True),
        ((slice(None), slice(0, 7, 2)), (slice(None), slice(1, 7, 2)), False),
        ((slice(None), slice(2, 3)), (slice(None), slice(4, 5)), False),
        ((slice(None), slice(None), slice(1, 3)), (slice(None), slice(None), slice(3, 5)), False),
        ((slice(None), slice(None), slice(1, 4)), (slice(None), slice(2, 5), slice(3, 5)), True),
        ((slice(0, 1), slice(2, 5)), (slice(1, 2), slice(2, 5)), False),
        ((slice(None), 2), (slice(None), slice(2, 5)), True),
    ],
)
def test_which_views_share_elements(one: tuple[slice, ...], other: tuple[slice, ...], expected: bool) -> None:
    base = torch.arange(5 * 7 * 11).view(5, 7, 11)
    assert bool(set(base[one].flatten().tolist()) & set(base[other].flatten().tolist())) == expected
    assert module._overlap(base[one], base[other]) == module._overlap(base[other], base[one]) == expected


class KeptInFloat32(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(7, 7, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled(x.device.type):
            return x.to(torch.get_autocast_dtype(x.device.type))
        assert torch.get_autocast_dtype(x.device.type).is_floating_point
        with torch.autocast(x.device.type, enabled=False):
            return x + self.conv(x.float())


def test_a_part_kept_in_float32_is_followed() -> None:
    begin, enabled = torch.autocast.__init__, torch.is_autocast_enabled
    net = nn.Sequential(nn.Conv2d(3, 7, 3), *(KeptInFloat32() for _ in range(4)))
    assert len(find_sites(net).sites) == 4
    assert (torch.autocast.__init__, torch.is_autocast_enabled) == (begin, enabled)

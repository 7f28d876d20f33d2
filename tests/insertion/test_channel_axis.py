"""Which axis the channels are on: however a layer's code brings it to where torch's operations want it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from m2a.errors import ConfigError, SiteTypeError
from m2a.insertion import find_sites, insert
from m2a.models import VideoClassifier

WIDTH, SIDE, FRAMES = 12, 11, 3


class ByPermute(nn.LayerNorm):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ByTranspose(nn.LayerNorm):
    """Height and width change places too."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return super().forward(input.transpose(1, -1)).transpose(1, -1)


class ByTokens(nn.LayerNorm):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return super().forward(input.flatten(2).transpose(1, 2)).transpose(1, 2).view_as(input)


class ByTwoTransposes(nn.LayerNorm):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return super().forward(input.transpose(1, 2).transpose(2, 3)).transpose(2, 3).transpose(1, 2)


class Excited(nn.Module):
    """The first layer inside works on means, and the maps are its result's second factor."""

    def __init__(self, width: int):
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.mean((2, 3)))[:, :, None, None].sigmoid() * x


class ByMatmul(nn.Module):
    """A 1 x 1 convolution with the weight in front."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return (self.weight @ x.flatten(2)).view_as(x)


class Dynamic(nn.Module):
    """A convolution whose weight a linear layer makes."""

    def __init__(self, width: int):
        super().__init__()
        self.routing = nn.Linear(width, width * width)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.routing(x.mean((0, 2, 3))).view(x.shape[1], x.shape[1], 1, 1)
        return torch.conv2d(x, weight)


def whole_maps(width: int) -> nn.Module:
    return nn.LayerNorm([width, SIDE, SIDE])


def in_a_block(layer: nn.Module) -> nn.Module:
    """The maps are as wide and high as there is no channel for."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.conv = layer, nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.conv(self.first(x))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.blocks = nn.Conv2d(3, WIDTH, 1), nn.Sequential(Block())

        def forward(self, x: Tensor) -> Tensor:
            return self.blocks(self.stem(torch.nn.functional.interpolate(x, SIDE) if whole else x[..., ::5, ::5]))

    whole = isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) > 1
    return Net()


LAYERS: list[Callable[[int], nn.Module]] = [
    ByPermute, ByTranspose, ByTokens, ByTwoTransposes, Excited, ByMatmul, Dynamic, whole_maps, nn.BatchNorm2d,
]  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
@pytest.mark.parametrize("position", ["before", "after"])
def test_maps_with_channels_first(layer: Callable[[int], nn.Module], position: str) -> None:
    (site,) = find_sites(in_a_block(layer(WIDTH)), ["blocks.0.first"], position).sites
    assert (str(site.layout), site.channels) == ("NCHW", WIDTH)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_a_network_that_ends_in_it(layer: Callable[[int], nn.Module]) -> None:
    net = in_a_block(nn.Identity())
    net.blocks.append(layer(WIDTH))
    if layer is whole_maps:
        net.stem = nn.Sequential(nn.Conv2d(3, WIDTH, 1), nn.AdaptiveAvgPool2d(SIDE))
    assert VideoClassifier(net, 2).head.in_features == WIDTH


def test_spelt_otherwise_it_computes_the_same() -> None:
    """Independent of what the trace tells."""
    torch.manual_seed(0)
    nets = [in_a_block(layer(WIDTH)) for layer in (ByPermute, ByTranspose, ByTokens, ByTwoTransposes)]
    x = torch.randn(2 * FRAMES, 3, 55, 55)
    results = []
    for net in nets:
        net.load_state_dict(nets[0].state_dict())
        insert(net, "tsm", num_frames=FRAMES)
        results.append(net(x))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0])


@pytest.mark.parametrize(
    ("name", "where", "position", "layout", "channels"),
    [
        ("swin_tiny_patch4_window7_224", "patch_embed", "after", "NHWC", 96),
        ("swin_tiny_patch4_window7_224", "layers.0.blocks.1.drop_path1", "before", "NHWC", 96),
        ("swin_tiny_patch4_window7_224", "layers.0.blocks.1.mlp.act", "before", "NLC", 384),
        ("vit_tiny_patch16_224", "patch_embed", "after", "NLC", 192),
        ("vit_tiny_patch16_224", "blocks.1", "after", "NLC+1", 192),
        ("efficientnet_cc_b0_4e", "blocks.4.1.conv_pwl", "before", "NCHW", 672),
        ("efficientnet_cc_b0_4e", "blocks.4.1.conv_pwl", "after", "NCHW", 112),
        ("torchvision/convnext_tiny", "features.1.0.block.1", "after", "NHWC", 96),
        ("torchvision/convnext_tiny", "features.1.0.block.4", "before", "NHWC", 384),
    ],
)
def test_of_known_networks(name: str, where: str, position: str, layout: str, channels: int) -> None:
    with torch.device("meta"):
        create = torchvision.models.get_model if name.startswith("torchvision/") else timm.create_model
        net = create(name.removeprefix("torchvision/"))
    (site,) = find_sites(net, [where], position).sites
    assert (str(site.layout), site.channels) == (layout, channels)


def test_features_of_five_axes_are_no_clips_of_a_network_of_images() -> None:
    with torch.device("meta"):
        net = timm.create_model("skresnet18")
    with pytest.raises(SiteTypeError, match="N x 2 x 64 x 56 x 56, no maps of frames"):
        find_sites(net, ["layer1.0.conv1.attn"])


def test_patches_that_training_drops_are_refused() -> None:
    net = timm.create_model("vit_tiny_patch16_224", patch_drop_rate=0.75, depth=2)
    with pytest.raises(ConfigError, match=r"'patch_drop' drops 75% of the patches in training, others of each frame"):
        insert(net, "m2a")
    assert len(insert(net, "none").sites) == 2

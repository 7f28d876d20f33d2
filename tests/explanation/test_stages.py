"""Which layer is looked at by default, whatever the network is called and however it is built."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

import m2a
from m2a.errors import ConfigError
from m2a.explanation import list_stages
from m2a.explanation.stages import choose_stage

SECOND = {
    "resnet18": "layer2",
    "resnet50": "layer2",
    "mobilenetv2_100": "blocks.2",
    "efficientnet_b0": "blocks.2",
    "convnext_atto": "stages.1",
    "regnetx_002": "s2",
    "densenet121": "features.denseblock2",
    "inception_v3": "Mixed_5d",
    "swin_tiny_patch4_window7_224": "layers.1",
    "pvt_v2_b0": "stages.1",
    "levit_128s": "stages.1",  # the first has maps of a sixteenth
    "vit_tiny_patch16_224": "blocks.5",  # no stages: the middle
    "mixer_s16_224": "blocks.3",
    "torchvision/resnet18": "layer2",
    "torchvision/mobilenet_v2": "features.6",
    "torchvision/shufflenet_v2_x0_5": "stage2",
    "torchvision/vgg11": "features.14",  # the activation, not the convolution in front of it
    "torchvision/swin_t": "features.3",
    "torchvision/vit_b_32": "encoder.layers.encoder_layer_5",
    "torchvision/r3d_18": "layer3",  # its first stage halves nothing
}


def network(name: str) -> nn.Module:
    with torch.device("meta"):  # no weights are needed
        if name.startswith("torchvision/"):
            return torchvision.models.get_model(name.removeprefix("torchvision/"), weights=None)
        return timm.create_model(name)


@pytest.mark.parametrize("name", SECOND)
def test_the_second_stage(name: str) -> None:
    net = network(name)
    chosen = choose_stage(net)
    assert chosen.name == SECOND[name]
    stages = list_stages(net)
    assert chosen in stages
    assert len({stage.name for stage in stages}) == len(stages)
    strides = [stage.stride for stage in stages]
    assert strides == sorted(strides)


def test_stages_are_listed_with_their_strides() -> None:
    stages = list_stages(network("resnet18"))
    assert [str(stage) for stage in stages] == ["layer1 (1/4)", "layer2 (1/8)", "layer3 (1/16)", "layer4 (1/32)"]


def test_an_inflated_network_has_fewer_frames_later() -> None:
    net = m2a.inflate(timm.create_model("resnet10t", channels=(8, 8, 16, 16)))
    assert [stage.num_frames for stage in list_stages(net, num_frames=8)] == [8, 4, 2, 1]
    assert choose_stage(net, num_frames=8).name == "layer2"


def test_a_network_without_an_eighth() -> None:
    """As those for small images: stages at the full size, a half and a quarter."""

    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3, padding=1)
            self.stages = nn.ModuleList(nn.Sequential(Branch(1 if i == 0 else 2), Branch(1)) for i in range(3))

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            for stage in self.stages:
                x = stage(x)
            return x

    class Branch(nn.Module):
        def __init__(self, stride: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1, stride=stride)
            self.skip = nn.Conv2d(4, 4, 1, stride=stride)

        def forward(self, x: Tensor) -> Tensor:
            return self.skip(x) + self.conv(x)

    assert [str(stage) for stage in list_stages(Small())] == ["stages.0 (1/1)", "stages.1 (1/2)", "stages.2 (1/4)"]
    assert choose_stage(Small()).name == "stages.1"


def test_tokens_in_an_order_of_their_own_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"This network keeps its tokens in an order of its own.*another backbone"):
        list_stages(network("hiera_tiny_224"))


def test_a_network_without_maps() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3 * 32 * 32, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x[..., :32, :32].flatten(1))

    with pytest.raises(ConfigError, match="gives feature maps nowhere"):
        choose_stage(Flat())

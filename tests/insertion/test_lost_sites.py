"""What becomes of mechanisms when their network is changed after the insertion."""

from __future__ import annotations

import copy
import pickle

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.utils.checkpoint import checkpoint

import m2a
from m2a.errors import ConfigError, NotInsertedError
from m2a.insertion.insert import lost_sites
from m2a.insertion.sites import Position

T = 3


def clips(size: int = 32) -> torch.Tensor:
    return torch.randn(1, T, 3, size, size, generator=torch.Generator().manual_seed(7))


def test_sync_batch_norm_in_the_place_of_sites() -> None:
    """It keeps the mechanism as a child, and not the hook that calls it."""
    net = torchvision.models.densenet121()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    report = m2a.insert(net, "m2a", num_frames=T)
    model = m2a.VideoClassifier(nn.SyncBatchNorm.convert_sync_batchnorm(net), 5, num_frames=T).eval()
    assert lost_sites(model.backbone) == report.sites
    with pytest.raises(ConfigError, match=rf"{len(report.sites)} sites .* without their mechanisms"):
        model(clips())
    m2a.remove(model.backbone)
    assert {key for key in before if "classifier" not in key} == set(model.backbone.state_dict())
    assert model(clips()).shape == (1, 5)


@pytest.mark.parametrize("name", ["repvgg_a0", "fastvit_t8"])
def test_reparameterised_after_the_insertion(name: str) -> None:
    model = m2a.create_model(name, num_classes=5, num_frames=T, size=32).eval()
    assert model(clips()).shape == (1, 5)
    model.backbone = timm.utils.reparameterize_model(model.backbone)
    with pytest.raises(ConfigError, match=r"reparameterising .* before m2a\.insert"):
        model(clips())


def test_timms_frozen_norms_in_the_place_of_sites() -> None:
    model = m2a.create_model("densenet121", num_classes=5, num_frames=T, size=32).eval()
    timm.utils.freeze(model.backbone)
    with pytest.raises(ConfigError, match="without their mechanisms"):
        model(clips())


def test_blocks_may_be_taken_out() -> None:
    model = m2a.create_model("resnet18", num_classes=5, num_frames=T, size=32).eval()
    model.backbone.layer4 = model.backbone.layer4[:1]
    model.backbone.layer3[1] = nn.Identity()
    assert model(clips()).shape == (1, 5)
    assert lost_sites(model.backbone) == []


def test_a_layer_that_fusing_put_there() -> None:
    net = torchvision.models.quantization.resnet18(quantize=False).eval()
    m2a.insert(net, "m2a", num_frames=T)
    net.fuse_model(is_qat=False)
    with pytest.raises(NotInsertedError, match=r"replaced by a \w+, without its mechanism"):
        net(clips().flatten(0, 1))


@pytest.mark.parametrize(("position", "so"), [("before", "applied twice"), ("after", "applied behind the batch norm")])
def test_a_convolution_fused_with_the_norm_behind_it(position: Position, so: str) -> None:
    """It takes the mechanism and its hook along, into another place."""
    net = torchvision.models.resnet18(num_classes=5).eval()
    m2a.insert(net, "m2a", num_frames=T, position=position)
    net = pickle.loads(pickle.dumps(copy.deepcopy(net)))
    assert net(clips().flatten(0, 1)).shape == (T, 5)
    assert lost_sites(net) == []
    torch.ao.quantization.fuse_modules(net, [["layer1.0.conv1", "layer1.0.bn1"]], inplace=True)
    with pytest.raises(NotInsertedError, match=rf"'layer1\.0\.conv1' was replaced by a Conv2d, and .* {so}"):
        net(clips().flatten(0, 1))
    if position == "after":
        assert lost_sites(net) == ["layer1.0.conv1"]
    m2a.remove(net)
    assert net(clips().flatten(0, 1)).shape == (T, 5)


def test_models_pickled_before_biases_were_noted() -> None:
    net = m2a.create_model("resnet10t", num_classes=5, num_frames=T, size=32, position="after").eval()
    for layer in net.modules():
        for hook in layer._forward_hooks.values():
            vars(hook.__self__).pop("had_bias", None)
    assert pickle.loads(pickle.dumps(net))(clips()).shape == (1, 5)


class Again(nn.Module):
    """A wrapper that keeps nothing of a block for the backward pass."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.block, x, use_reentrant=False)


class Adapted(nn.Module):
    """A layer with a branch beside it, as adapters put it there."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.base_layer = layer
        self.beside = nn.Conv2d(
            layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, bias=False
        )
        nn.init.zeros_(self.beside.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base_layer(x) + self.beside(x)


def wrap(net: nn.Module, what: str) -> None:
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        if what != "adapters":
            stage[0] = Again(stage[0])
        if what != "checkpoints":
            block = stage[0] if what == "adapters" else stage[0].block
            block.conv1 = Adapted(block.conv1)


@pytest.mark.parametrize("what", ["checkpoints", "adapters", "both"])
def test_wrappers_that_were_put_around_it_afterwards(what: str) -> None:
    model = m2a.create_model("resnet10t", num_classes=5, num_frames=T, size=32).eval()
    expected = model(clips())
    wrap(model.backbone, what)
    assert lost_sites(model.backbone) == []
    torch.testing.assert_close(model(clips()), expected)
    copied = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    torch.testing.assert_close(copied(clips()), expected)
    m2a.set_num_frames(copied, 2)
    assert copied(clips()[:, :2]).shape == (1, 5)
    m2a.remove(model.backbone)
    assert not [name for name, _ in model.named_modules() if name.endswith(".mechanism")]


def test_one_that_is_lost_among_wrapped_ones_is_told() -> None:
    model = m2a.create_model("resnet10t", num_classes=5, num_frames=T, size=32).eval()
    wrap(model.backbone, "both")
    model.backbone.layer2[0].block.conv1.base_layer = nn.Conv2d(64, 128, 3, stride=2, padding=1)
    assert lost_sites(model.backbone) == ["layer2.0.conv1"]
    with pytest.raises(ConfigError, match=r"1 sites \('layer2\.0\.conv1', \.\.\.\) are without their mechanisms"):
        model(clips())


def test_one_that_was_fused_inside_a_wrapper_is_told() -> None:
    net = torchvision.models.resnet18(num_classes=5).eval()
    m2a.insert(net, "m2a", num_frames=T, position="after")
    net.layer1[0] = Again(net.layer1[0])
    torch.ao.quantization.fuse_modules(net, [["layer1.0.block.conv1", "layer1.0.block.bn1"]], inplace=True)
    assert lost_sites(net) == ["layer1.0.conv1"]


def test_two_parts_of_a_network_have_sites_of_the_same_names() -> None:
    """That of one is no stand-in for a lost one of the other."""
    net = nn.Sequential(*(timm.create_model("resnet10t", num_classes=0, global_pool="") for _ in range(2)))
    net[1].conv1[0] = nn.Conv2d(512, 24, 3, stride=2, padding=1, bias=False)
    for part in net:
        m2a.insert(part, "m2a", num_frames=T, where=r"layer\d\.0\.conv1")
    wrap(net[0], "checkpoints")
    assert lost_sites(net) == []
    net[1].layer3[0].conv1 = nn.Conv2d(128, 256, 3, stride=2, padding=1, bias=False)
    assert lost_sites(net) == ["1.layer3.0.conv1"]

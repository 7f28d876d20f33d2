"""What becomes of mechanisms when their network is changed after the insertion."""

from __future__ import annotations

import copy
import pickle

import pytest
import timm
import torch
import torchvision
from torch import nn

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

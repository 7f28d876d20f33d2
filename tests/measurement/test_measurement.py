"""What a model costs, against figures measured on the released code, and what it was measured on."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch.nn.utils import prune

from m2a.errors import ConfigError
from m2a.insertion import get_num_frames, insert
from m2a.measurement import count_macs, count_parameters, hardware, versions
from m2a.models import create_model

FIGURES = json.loads((Path(__file__).parent / "figures.json").read_text(encoding="utf-8"))
NETWORKS = {
    "resnet18": ("resnet18", False),
    "mobilenetv2_100": ("mobilenetv2_100", False),
    "resnet18 inflated (I3D)": ("resnet18", True),
}
CASES = [(network, mechanism) for network in NETWORKS for mechanism in FIGURES[network]]
SMALL = {"channels": (8, 8, 16, 16)}


@pytest.mark.parametrize(("network", "mechanism"), CASES)
def test_the_released_codes_figures(network: str, mechanism: str) -> None:
    figures = FIGURES[network][mechanism]
    backbone, inflate = NETWORKS[network]
    with torch.device("meta"):
        model = create_model(backbone, mechanism=mechanism, num_classes=174, inflate=inflate)
    assert count_macs(model) / 1e9 == pytest.approx(figures["gmacs"], rel=1e-3)
    if "parameters_million" in figures:
        assert count_parameters(model) / 1e6 == pytest.approx(figures["parameters_million"], rel=1e-3)


def test_a_size_that_the_network_does_not_take() -> None:
    with torch.device("meta"):
        model = create_model("vit_tiny_patch16_224", num_classes=3, num_frames=2)
    with pytest.raises(ConfigError, match=r"does not take 2 images of 128 x 128 pixels \(Asserti.*: Input height \("):
        count_macs(model, num_frames=2, size=128)


def test_stacking_a_shift_costs_nothing() -> None:
    for backbone in ("resnet18", "mobilenetv2_100"):
        with torch.device("meta"):
            models = [
                create_model(backbone, mechanism=mechanism, num_classes=174)
                for mechanism in ("m2a", "m2a+tsm", "none", "tsm")
            ]
        for counted in (count_macs, count_parameters):
            one, both, plain, shift = map(counted, models)
            assert one == both
            assert plain == shift
            assert one > plain


def test_behind_the_convolution_mobilenet_would_gain_much_more() -> None:
    """Why sites are in front: the paper's Table II adds 0.03 GMACs, which behind the expansion would be 0.86."""
    plain, before, after = (
        create_model("mobilenetv2_100", mechanism=mechanism, num_classes=174, position=position)
        for mechanism, position in (("none", "before"), ("m2a", "before"), ("m2a", "after"))
    )
    assert (count_macs(before) - count_macs(plain)) / 1e9 == pytest.approx(0.03, abs=0.005)
    assert (count_macs(after) - count_macs(plain)) / 1e9 == pytest.approx(0.86, abs=0.1)


def test_a_count_by_hand() -> None:
    """A 1x1 gate on 8 channels of 5 x 7 pixels, 3 frames: two convolutions and the products of 3 x 3 matrices."""
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 1), torch.nn.Conv2d(8, 11, 1))
    plain = count_macs(net, num_frames=3, size=7)
    assert plain == 3 * 7 * 7 * (3 * 8 + 8 * 11)
    insert(net, "m2a-motion", num_frames=3, reduction=4, where=["1"])
    assert count_macs(net, num_frames=3, size=7) == plain + 3 * 7 * 7 * (8 * 2 + 2 * 8)


def test_counting_leaves_the_model_alone() -> None:
    model = create_model("resnet10t", num_classes=5, num_frames=3, reduction=2, backbone_options=SMALL, size=32).train()
    model.backbone.layer1.eval()
    before = copy.deepcopy(model)
    rng = torch.get_rng_state()
    count_macs(model, num_frames=7, size=64)
    assert torch.equal(torch.get_rng_state(), rng)
    assert repr(model) == repr(before)
    assert (model.num_frames, get_num_frames(model.backbone)) == (3, 3)
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    for (name, one), (_, other) in zip(model.state_dict().items(), before.state_dict().items(), strict=True):
        assert one.device.type == "cpu", name
        assert torch.equal(one, other), name


@pytest.mark.parametrize("mechanism", ["none", "tsm", "m2a-motion"])
def test_the_count_is_in_proportion_to_frames_and_pixels(mechanism: str) -> None:
    model = create_model("resnet18", mechanism=mechanism, num_classes=5)
    eight = count_macs(model, num_frames=8, size=64)
    assert count_macs(model, num_frames=16, size=64) == 2 * eight
    assert count_macs(model, num_frames=2, size=64) == eight // 4
    head = 8 * 512 * 5
    assert count_macs(model, num_frames=8, size=128) - head == 4 * (eight - head)


def test_attention_grows_faster_than_frames() -> None:
    model = create_model("resnet18", mechanism="m2a", num_classes=5)
    assert count_macs(model, num_frames=16, size=64) > 2 * count_macs(model, num_frames=8, size=64)


def test_image_networks_are_counted_as_well_with_or_without_mechanisms() -> None:
    net = timm.create_model("resnet10t", **SMALL)
    plain = count_macs(net, num_frames=3, size=32)
    assert count_macs(net, num_frames=1, size=32) * 3 == plain
    insert(net, "m2a", num_frames=5, reduction=2)
    assert count_macs(net, num_frames=3, size=32) > plain
    assert get_num_frames(net) == 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_compiled_models_and_other_precisions_have_the_same_count(dtype: torch.dtype) -> None:
    net = timm.create_model("resnet10t", **SMALL)
    insert(net, "m2a", num_frames=3, reduction=2)
    expected = count_macs(net, num_frames=3, size=32)
    assert count_macs(torch.compile(net.to(dtype)), num_frames=3, size=32) == expected


def test_without_a_size_it_is_the_models_own() -> None:
    options: dict[str, Any] = {"depth": 1, "embed_dim": 32, "num_heads": 2}
    for backbone, of_backbone in (("resnet10t", SMALL), ("vit_tiny_patch16_224", options)):
        model = create_model(backbone, num_classes=5, num_frames=4, size=32, backbone_options=of_backbone)
        assert count_macs(model, num_frames=4) == count_macs(model, num_frames=4, size=32)
    model.preprocessing = replace(model.preprocessing, size=48)
    model.backbone.set_input_size(img_size=(48, 48))
    assert count_macs(model, num_frames=4) == count_macs(model, num_frames=4, size=48)
    images = timm.create_model("vit_tiny_patch16_224", img_size=(32, 48), **options)
    square = timm.create_model("vit_tiny_patch16_224", img_size=32, **options)
    assert count_macs(square) == count_macs(square, size=32) < count_macs(images)
    plain = timm.create_model("resnet10t", **SMALL)  # which takes any
    assert count_macs(plain, num_frames=1) == count_macs(plain, num_frames=1, size=224)


def test_without_a_number_of_frames_it_is_the_models_own() -> None:
    for mechanism in ("m2a", "tam"):
        model = create_model("resnet10t", mechanism=mechanism, num_classes=5, num_frames=3, size=32, reduction=2)
        assert count_macs(model) == count_macs(model, num_frames=3)
        assert count_macs(model.backbone, size=32) == count_macs(model.backbone, num_frames=3, size=32)
    plain = timm.create_model("resnet10t", **SMALL)
    assert count_macs(plain, size=32) == count_macs(plain, num_frames=8, size=32)


def test_without_a_size_it_is_that_which_timm_says_a_network_needs() -> None:
    with torch.device("meta"):
        net = timm.create_model("halonet26t")
    assert count_macs(net, num_frames=1) == count_macs(net, num_frames=1, size=256)
    with torch.device("meta"):
        smaller = timm.create_model("coat_lite_medium_384", img_size=224)
    assert count_macs(smaller, num_frames=1) == count_macs(smaller, num_frames=1, size=224)


class InFloat32(torch.nn.Module):
    """Keeps a part in float32, as networks of transformers and of timm do."""

    def __init__(self, *, needs_data: bool = False):
        super().__init__()
        self.layer, self.needs_data = torch.nn.Conv2d(3, 5, 3), needs_data

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.needs_data and x.amax() > 1e9:
            return x
        with torch.autocast(x.device.type, enabled=False):
            return self.layer(x).mean((2, 3))


def test_a_network_that_asks_for_autocast_on_its_device() -> None:
    assert count_macs(InFloat32(), num_frames=2, size=7) == 2 * 5 * 3 * 9 * 25
    with pytest.raises(ConfigError, match=r"does not take 2 images of 7 x 7 .* It may be .* or do what depends on dat"):
        count_macs(InFloat32(needs_data=True), num_frames=2, size=7)


@pytest.mark.parametrize("wrap", [torch.nn.DataParallel, torch.optim.swa_utils.AveragedModel])
def test_a_classifier_that_is_wrapped_is_refused(wrap: Any) -> None:
    model = wrap(create_model("resnet10t", num_classes=5, num_frames=4, size=32, backbone_options=SMALL))
    message = (
        rf"count_macs takes a VideoClassifier, .*; got a {wrap.__name__}\. Give the model inside: .*model\.module\."
    )
    with pytest.raises(ConfigError, match=message):
        count_macs(model, num_frames=4)
    assert count_macs(torch.compile(model.module), num_frames=4) == count_macs(model.module, num_frames=4)


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("given", [{"size": 0}, {"size": "32"}, {"size": 32.0}, {"num_frames": 0}])
def test_what_cannot_be_counted(given: dict[str, Any]) -> None:
    (name,) = given
    with pytest.raises(ConfigError, match=rf"{name} must be a whole number, at least 1; got {given[name]!r}"):
        count_macs(torch.nn.Conv2d(3, 5, 1), **given)


def test_parameters_are_counted_frozen_or_not_and_buffers_are_not() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 1), torch.nn.BatchNorm2d(5))
    net[0].requires_grad_(False)
    assert count_parameters(net) == 3 * 5 + 5 + 5 + 5


def test_a_library_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "av":
            raise PackageNotFoundError(name)
        return "1.2"

    monkeypatch.setattr("m2a.measurement.environment.version", version)
    assert set(versions()) == {"python", "m2a", "torch", "torchvision", "timm", "lightning"}


def test_what_it_was_measured_on() -> None:
    assert {"python", "torch", "timm", "m2a"} <= set(versions())
    assert all(versions().values())
    cores, _, processor = hardware().partition(" x ")
    assert int(cores) >= 1
    assert processor


def test_macs_of_networks_that_keep_tensors_of_their_own() -> None:
    """A pruned one has weights that were computed; of PiT's, torch's counter wants the gradients of all or of none."""
    model = create_model("resnet10t", num_classes=3, num_frames=2, size=32)
    expected = count_macs(model, num_frames=2, size=32)
    prune.l1_unstructured(model.backbone.layer1[0].conv1, "weight", 0.5)
    model.backbone.plain = torch.ones(8)
    assert count_macs(model, num_frames=2, size=32) == expected
    assert count_macs(create_model("pit_ti_224", num_classes=3, num_frames=2), num_frames=2) == 1_416_945_056

"""Training beside a frozen image network, and keeping only what was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import own_networks as own
import pytest
import safetensors.torch
import timm
import torch
from tiny import VISIBLE, clips, tiny

from full_disk import files_of_at_most
from m2a.errors import CheckpointError, ConfigError, NotFoundError
from m2a.models import VideoClassifier, adapters, create_model, load, load_image_weights, parameter_groups


@pytest.fixture
def image_weights(tmp_path: Path) -> Path:
    """An image checkpoint with statistics that are not those of a new network."""
    net = timm.create_model("resnet10t", num_classes=7, **VISIBLE)
    net.train()(torch.randn(8, 3, 32, 32))
    path = tmp_path / "image.safetensors"
    safetensors.torch.save_file(net.state_dict(), path)
    return path


def trained(**changes: Any) -> VideoClassifier:
    """A few steps on noise."""
    model = tiny(freeze_backbone=True, **changes).train()
    optimizer = torch.optim.AdamW(parameter_groups(model, lr=1e-2))
    for _ in range(3):
        optimizer.zero_grad()
        model(clips()).square().sum().backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("mechanism", ["m2a", "tam", "tanet"])
@pytest.mark.parametrize("init", ["paper", "identity"])
def test_only_mechanism_and_head_are_trained(image_weights: Path, mechanism: str, init: Any) -> None:
    options = {"pretrained": image_weights, "mechanism": mechanism, "init": init, "consensus": "attention"}
    before = tiny(freeze_backbone=True, **options).state_dict()
    after = trained(**options).state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    own_keys = {key for key in before if key.startswith("backbone.") and ".mechanism." not in key}
    assert not changed & own_keys
    assert {"head.weight", "head.bias"} <= changed
    assert any(".mechanism." in key for key in changed)
    if mechanism == "tanet":
        assert any(key.endswith("running_mean") for key in changed)  # a mechanism's own norms learn


def test_a_backbone_that_is_frozen_no_more_stays_so_when_saved(tmp_path: Path) -> None:
    model = tiny(freeze_backbone=True)
    model.backbone_frozen = False
    model.requires_grad_(True)
    model.save_pretrained(tmp_path)
    again = load(str(tmp_path)).train()
    assert not again.backbone_frozen
    assert all(parameter.requires_grad for parameter in again.parameters())
    assert all(module.training for module in again.modules())


def test_the_network_itself_stays_in_evaluation_mode() -> None:
    model = tiny(freeze_backbone=True).train()
    assert model.training
    assert model.dropout.training
    assert not model.backbone.training
    assert not model.backbone.layer1[0].bn1.training
    assert model.backbone.layer1[0].conv1.mechanism.training
    assert all(not module.training for module in model.eval().modules())


def test_an_adapter_is_small_and_comes_back(tmp_path: Path, image_weights: Path) -> None:
    model = trained(pretrained=image_weights, labels=("a", "b", "c", "d", "e"))
    model.save_adapter(tmp_path / "adapter")
    tensors = safetensors.torch.load_file(tmp_path / "adapter" / "adapter.safetensors")
    assert set(tensors) == {
        key for key in model.state_dict() if ".mechanism." in key or not key.startswith("backbone.")
    }
    x = clips()
    for again in (load(tmp_path / "adapter"), load(tmp_path / "adapter", image_weights=image_weights)):
        assert torch.equal(again(x), model(x))
        assert again.labels == model.labels
        assert not any(p.requires_grad for n, p in again.backbone.named_parameters() if ".mechanism." not in n)
    again.save_adapter(tmp_path / "again")
    assert (tmp_path / "again" / "adapter.safetensors").read_bytes() == (
        tmp_path / "adapter" / "adapter.safetensors"
    ).read_bytes()
    again.save_pretrained(tmp_path / "whole")
    assert torch.equal(load(tmp_path / "whole")(x), model(x))


def test_an_adapter_that_is_refused_leaves_the_one_before(tmp_path: Path, image_weights: Path) -> None:
    folder = tmp_path / "adapter"
    first = trained(pretrained=image_weights)
    first.save_adapter(folder)
    unwritable = VISIBLE | {"act_layer": torch.nn.SiLU}
    other = tiny(freeze_backbone=True, pretrained=image_weights, seed=1, backbone_options=unwritable)
    with pytest.raises(ConfigError, match=r"config\.json cannot hold these options: .*act_layer"):
        other.save_adapter(folder)
    with files_of_at_most(2_003), pytest.raises(OSError, match="File too large"):
        tiny(freeze_backbone=True, pretrained=image_weights, seed=1).save_adapter(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["adapter.safetensors", "config.json"]
    x = clips()
    assert torch.equal(load(folder)(x), first(x))


def test_a_resnet18s_adapter_is_a_few_hundred_kilobytes(tmp_path: Path) -> None:
    create_model("resnet18", num_classes=10, freeze_backbone=True).save_adapter(tmp_path)
    size = (tmp_path / "adapter.safetensors").stat().st_size
    assert 300e3 < size < 600e3


def test_other_image_weights_are_refused(tmp_path: Path, image_weights: Path) -> None:
    trained(pretrained=image_weights).save_adapter(tmp_path / "adapter")
    state = safetensors.torch.load_file(image_weights)
    state["layer4.0.bn2.running_mean"] += 1e-3
    safetensors.torch.save_file(state, tmp_path / "others.safetensors")
    with pytest.raises(CheckpointError, match=r"was trained beside other image weights than these \(by their SHA"):
        load(tmp_path / "adapter", image_weights=tmp_path / "others.safetensors")
    image_weights.unlink()
    with pytest.raises(NotFoundError, match=r"is an adapter, .* They were .*image\.safetensors, which is not here\."):
        load(tmp_path / "adapter")


def test_older_files_of_the_same_weights_fit(tmp_path: Path, image_weights: Path) -> None:
    model = trained(pretrained=image_weights)
    model.to(memory_format=torch.channels_last).save_adapter(tmp_path / "adapter")
    state = safetensors.torch.load_file(image_weights)
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "older.pth")
    x = clips()
    torch.testing.assert_close(load(tmp_path / "adapter", image_weights=tmp_path / "older.pth")(x), model(x))


def test_an_adapter_beside_a_network_of_ones_own(tmp_path: Path) -> None:
    network = own.Residual()
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    model = create_model(network, num_classes=5, num_frames=3, reduction=2, freeze_backbone=True).eval()
    model.save_adapter(tmp_path)
    with pytest.raises(ConfigError, match=r"which its files cannot build\. Build it, without m2a\.insert"):
        load(tmp_path)
    other = own.Residual()
    structure, before = repr(other), {key: value.clone() for key, value in other.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"other image weights"):
        load(tmp_path, backbone=other)
    torch.save(own.Residual().state_dict(), tmp_path / "wrong.pth")
    with pytest.raises(CheckpointError, match=r"other image weights"):
        load(tmp_path, backbone=other, image_weights=tmp_path / "wrong.pth")
    assert repr(other) == structure
    assert all(torch.equal(value, before[key]) for key, value in other.state_dict().items())
    again = own.Residual()
    again.load_state_dict(weights)
    x = clips()
    assert torch.equal(load(tmp_path, backbone=again)(x), model(x))
    torch.save(weights, tmp_path / "image.pth")  # or from their file
    found = load(tmp_path, backbone=own.Residual(), image_weights=tmp_path / "image.pth")
    assert torch.equal(found(x), model(x))


def test_a_layer_that_is_only_called_mechanism_is_the_networks(tmp_path: Path) -> None:
    def build() -> VideoClassifier:
        return create_model(network, num_classes=5, num_frames=3, reduction=2, freeze_backbone=True).eval()

    network = own.Mechanical()
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    model = build().train()
    assert not any(parameter.requires_grad for parameter in network.mechanism.parameters())
    assert not network.mechanism.training
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model.requires_grad_(True), lr=1.0)
    of_mechanism = {names[id(p)] for group in groups if group["name"].startswith("mechanism") for p in group["params"]}
    assert of_mechanism
    assert not any(name.startswith("backbone.mechanism.") for name in of_mechanism)
    adapters.freeze(model)
    model.save_adapter(tmp_path)
    kept = safetensors.torch.load_file(tmp_path / adapters.ADAPTER)
    assert not any(key.startswith("backbone.mechanism.") for key in kept)
    torch.nn.init.zeros_((other := own.Mechanical()).mechanism.weight)
    other.load_state_dict(weights | {"mechanism.weight": other.mechanism.weight})
    with pytest.raises(CheckpointError, match=r"other image weights"):
        load(tmp_path, backbone=other)
    (again := own.Mechanical()).load_state_dict(weights)
    x = clips()
    assert torch.equal(load(tmp_path, backbone=again)(x), model.eval()(x))
    del weights["mechanism.weight"]
    torch.save(weights, tmp_path / "image.pth")
    with pytest.raises(CheckpointError, match=r"Not in the file: mechanism\.weight\."):
        load_image_weights(own.Mechanical(), tmp_path / "image.pth")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_an_adapter_of_a_model_in_another_precision(tmp_path: Path, image_weights: Path, dtype: torch.dtype) -> None:
    model = trained(pretrained=image_weights).to(dtype)
    model.save_adapter(tmp_path / "adapter")
    again = load(tmp_path / "adapter")
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    assert all(torch.equal(value, again.state_dict()[key].to(value.dtype)) for key, value in model.state_dict().items())
    x = clips()
    assert torch.equal(again(x), model.float()(x))  # of the values that were saved, not of those of the image weights


def test_a_backbone_that_is_trained_has_no_adapter(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is not frozen, so an adapter alone would not give the model back\."):
        tiny().save_adapter(tmp_path)
    model = tiny(freeze_backbone=True)
    model.backbone.layer4.requires_grad_(True)
    with pytest.raises(ConfigError, match=r"freeze_backbone=True, or save the whole model with save_pretrained\."):
        model.save_adapter(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_on_weights_of_no_file(tmp_path: Path) -> None:
    tiny(freeze_backbone=True).save_adapter(tmp_path)
    with pytest.raises(NotFoundError, match=r"Its config does not name them\. Pass them on: m2a\.load\(path, image_we"):
        load(tmp_path)


def test_the_config_does_not_change_what_older_files_say(tmp_path: Path) -> None:
    tiny().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for key in ("init", "consensus", "freeze_backbone", "pretrained", "own_backbone"):
        del content["model"][key]
    path.write_text(json.dumps(content), encoding="utf-8")
    x = clips()
    assert torch.equal(load(tmp_path)(x), tiny()(x))

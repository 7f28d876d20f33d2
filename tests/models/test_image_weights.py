"""Image checkpoints under a video classifier: what fits, what is dropped, and what is refused without a change."""

from __future__ import annotations

import pickle
import subprocess
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import own_networks
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from tiny import CHANNELS, VISIBLE, tiny
from torch import Tensor, nn

from m2a.errors import CheckpointError, NotFoundError
from m2a.models import VideoClassifier, load_image_weights, read_state_dict
from m2a.models.weights import _Discarded

State = dict[str, Tensor]


def image_network(num_classes: int = 11) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return timm.create_model("resnet10t", num_classes=num_classes, **VISIBLE)


def written(path: Path, content: Any) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(content, path)
    else:
        torch.save(content, path)
    return path


def assert_carries(model: VideoClassifier, state: State) -> None:
    own = model.backbone.state_dict()
    plain = [key for key in own if ".mechanism." not in key]
    assert plain
    assert set(plain) == {key for key in state if not key.startswith("fc.")}
    for key in plain:
        assert torch.equal(own[key], state[key]), key


@pytest.mark.parametrize(
    ("name", "wrap"),
    [
        ("plain.safetensors", lambda state: state),
        ("plain.pth", lambda state: state),
        ("nested.pth", lambda state: {"state_dict": state, "epoch": 3}),
        ("model.pt", lambda state: {"model": state}),
        ("parallel.pth", lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}}),
        ("parallel.safetensors", lambda state: {f"module.{key}": value for key, value in state.items()}),
    ],
)
@pytest.mark.parametrize("mechanism", ["m2a", "none"])
def test_checkpoints_of_many_wrappings(tmp_path: Path, name: str, wrap: Callable[[State], Any], mechanism: str) -> None:
    """The classifier, of another size, is left over; so the video head is its own."""
    state = image_network().state_dict()
    model = tiny(mechanism=mechanism, pretrained=written(tmp_path / name, wrap(state)))
    assert_carries(model, state)
    assert model.head.weight.shape == (5, 16)


def test_into_a_network_that_carries_mechanisms_and_a_classifier(tmp_path: Path) -> None:
    from m2a.insertion import insert

    other, state = image_network(5), image_network().state_dict()
    insert(other, "m2a", num_frames=3, reduction=2)
    before = {key: value.clone() for key, value in other.state_dict().items()}
    load_image_weights(other, written(tmp_path / "image.pth", state))
    for key, value in other.state_dict().items():
        kept = ".mechanism." in key or key.startswith("fc.")
        assert torch.equal(value, before[key] if kept else state[key]), key
    same_size = image_network().state_dict()
    same = timm.create_model("resnet10t", num_classes=11, **VISIBLE)
    load_image_weights(same, written(tmp_path / "same.pth", same_size))
    assert all(torch.equal(value, same_size[key]) for key, value in same.state_dict().items())


@pytest.mark.parametrize(
    "build",
    [
        lambda: torchvision.models.SwinTransformer(  # its classifier is called head
            patch_size=[4, 4], embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=[2, 2], num_classes=11
        ),
        lambda: torchvision.models.VisionTransformer(32, 8, 4, 1, 8, 16, num_classes=11),  # heads.head
        lambda: torchvision.models.squeezenet1_1(num_classes=11),  # classifier.1, a convolution
        own_networks.Residual,
        own_networks.Deep,
    ],
    ids=["swin", "vit", "squeezenet", "own", "deep"],
)
def test_when_the_classifier_is_off_it_is_left_over(tmp_path: Path, build: Callable[[], nn.Module]) -> None:
    """Whatever it is called; other layers that the network has not are not."""
    state = build().state_dict()
    model = VideoClassifier(build(), 5)
    load_image_weights(model.backbone, written(tmp_path / "image.pth", state))
    own = model.backbone.state_dict()
    assert 0 < len(own) < len(state)
    assert all(torch.equal(value, state[key]) for key, value in own.items())
    more = written(tmp_path / "more.pth", state | {"wings.weight": torch.zeros(7, 5)})
    with pytest.raises(CheckpointError, match=r"Not in the model: wings\.weight\."):
        load_image_weights(model.backbone, more)


def test_a_norm_that_the_network_has_not_is_no_classifier(tmp_path: Path) -> None:
    net, other = (own_networks.Residual(nn.Identity()) for _ in range(2))
    other.head = nn.BatchNorm1d(11)
    with pytest.raises(CheckpointError, match=r"Not in the model: head\.weight, head\.bias"):
        load_image_weights(net, written(tmp_path / "image.pth", other.state_dict()))


def test_old_checkpoints_without_batch_counters(tmp_path: Path) -> None:
    state = {key: v for key, v in image_network().state_dict().items() if not key.endswith("num_batches_tracked")}
    model = tiny(pretrained=str(written(tmp_path / "old.pth", state)))
    assert torch.equal(model.backbone.state_dict()["layer4.0.conv1.weight"], state["layer4.0.conv1.weight"])


def without(state: State, key: str) -> State:
    return {name: value for name, value in state.items() if name != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: without(state, "layer1.0.conv1.weight"),
            r"does not fit this ResNet\. Not in the file: layer1\.0\.conv1\.weight\. Is it a checkpoint of the same",
        ),
        (
            lambda state: state | {"extra.weight": torch.zeros(1)},
            r"Not in the model: extra\.weight\. Is it a checkpoint",
        ),
        (
            lambda state: state | {"layer1.0.conv1.weight": torch.zeros(1, 2)},
            r"Of another shape: layer1\.0\.conv1\.weight \(layer1\.0\.conv1\.weight: \(1, 2\), not \(8, 64, 3, 3\)\)\.",
        ),
        (
            lambda state: {"a": torch.zeros(1)},
            r"Not in the file: conv1\.0\.weight, .* and \d+ more\. Not in the model: a\.",
        ),
    ],
)
def test_checkpoints_that_do_not_fit(tmp_path: Path, change: Callable[[State], State], message: str) -> None:
    path = written(tmp_path / "image.pth", change(image_network().state_dict()))
    with pytest.raises(CheckpointError, match=message):
        tiny(pretrained=path)
    net = timm.create_model("resnet10t", num_classes=0, **CHANNELS)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(CheckpointError):
        load_image_weights(net, path)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_a_checkpoint_with_another_mechanism_inside(tmp_path: Path) -> None:
    path = written(tmp_path / "video.pth", tiny().backbone.state_dict())
    message = r"was saved with another mechanism inside: layer1\.0\.conv1\.mechanism\.reduce\.weight, .* with m2a\.load"
    with pytest.raises(CheckpointError, match=message):
        tiny(mechanism="none", pretrained=path)


@pytest.mark.parametrize("name", ["image.pth", "image.safetensors"])
@pytest.mark.parametrize("keep", [0.5, 0.0])
def test_a_file_that_is_cut_off(tmp_path: Path, name: str, keep: float) -> None:
    path = written(tmp_path / name, image_network().state_dict())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(
        CheckpointError, match=r"image\.\w+ (cannot be read as a checkpoint; it is damaged or cut off|is damaged)"
    ):
        tiny(pretrained=path)


class Bomb:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("old_format", [True, False])
def test_a_pickle_with_code_in_it_is_refused(tmp_path: Path, old_format: bool) -> None:
    path, trace = tmp_path / "bomb.pth", tmp_path / "ran"
    if old_format:
        path.write_bytes(pickle.dumps({"state_dict": Bomb(trace)}, protocol=2))
    else:
        torch.save({"state_dict": Bomb(trace)}, path)
    with pytest.raises(
        CheckpointError,
        match=r"bomb\.pth is damaged, or holds Python objects in the place of tensors, or such as cannot",
    ):
        tiny(pretrained=path)
    assert not trace.exists()


class Command(Bomb):
    def __reduce__(self) -> tuple[Any, ...]:
        return subprocess.call, (["touch", str(self.path)],)


@pytest.mark.parametrize("old_format", [True, False])
def test_objects_beside_the_tensors_are_not_made(tmp_path: Path, old_format: bool) -> None:
    """What training scripts keep there: arguments, numpy's numbers and arrays, histories with methods in them."""
    path, trace = tmp_path / "epoch.pth", tmp_path / "ran"
    beside = [
        Namespace(lr=0.1, out=tmp_path),
        np.float64(0.5),
        np.arange(3),
        Command(trace),
        datetime.now(UTC),
        Bomb.__init__,
    ]
    torch.save(
        {"state_dict": {"a": torch.ones(2)}, "meta": beside}, path, _use_new_zipfile_serialization=not old_format
    )
    safe = set(torch.serialization.get_safe_globals())
    assert read_state_dict(path).keys() == {"a"}
    assert not trace.exists()
    assert set(torch.serialization.get_safe_globals()) == safe

    torch.save({"state_dict": {"a": np.ones(2)}}, path, _use_new_zipfile_serialization=not old_format)
    with pytest.raises(CheckpointError, match=r"in the place of tensors, .*\(It holds numpy\._?core\.multiarray\._rec"):
        read_state_dict(path)


class OfItsOwn(Tensor):
    pass


def test_what_no_stand_in_can_be_made_of(tmp_path: Path) -> None:
    content = {"state_dict": {"a": torch.ones(2)}, "beside": torch.ones(2).as_subclass(OfItsOwn)}
    with pytest.raises(CheckpointError, match=r"cannot be passed by, .*\(It holds .*OfItsOwn\.\)"):
        read_state_dict(written(tmp_path / "x.pth", content))
    with pytest.raises(CheckpointError, match=r"in the place of tensors, .*\(It holds pathlib\..*\)"):
        read_state_dict(written(tmp_path / "x.pth", {tmp_path: torch.ones(2), "a": torch.ones(2)}))


def test_files_that_others_read_meanwhile_get_no_stand_ins(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pth", {"beside": Namespace(lr=0.1)})
    with torch.serialization.safe_globals([(_Discarded, "argparse.Namespace")]), pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


def test_a_file_that_holds_itself(tmp_path: Path) -> None:
    content: dict[str, Any] = {"epoch": 1}
    content["state_dict"] = content
    with pytest.raises(CheckpointError, match=r"holds no state_dict"):
        read_state_dict(written(tmp_path / "x.pth", content))


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {"state_dict": {"a": "b"}}, torch.zeros(3)])
def test_files_of_something_else(tmp_path: Path, content: Any) -> None:
    with pytest.raises(CheckpointError, match=r"x\.pth holds no state_dict: a mapping from parameter names to tensors"):
        read_state_dict(written(tmp_path / "x.pth", content))


def test_wrappers_are_taken_off_in_any_order(tmp_path: Path) -> None:
    weight = {"module.a": torch.ones(2)}
    for content in ({"model": {"state_dict": weight}}, {"state_dict": {"model": weight}}, {"model_state_dict": weight}):
        assert list(read_state_dict(written(tmp_path / "x.pth", content))) == ["a"]
    with pytest.raises(CheckpointError, match=r"was expected; there is 'epoch', 'weights'\."):
        read_state_dict(written(tmp_path / "x.pth", {"epoch": 3, "weights": weight}))


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        NotFoundError, match=r"There is no checkpoint .*gone\.pth\. Give the path of a \.safetensors or \.pth"
    ):
        tiny(pretrained=tmp_path / "gone.pth")
    with pytest.raises(FileNotFoundError):
        read_state_dict(tmp_path)


def test_weights_of_a_compiled_network(tmp_path: Path) -> None:
    state = timm.create_model("test_resnet").state_dict()
    torch.save({f"module._orig_mod.{name}": value for name, value in state.items()}, tmp_path / "compiled.pth")
    assert read_state_dict(tmp_path / "compiled.pth").keys() == state.keys()


def test_a_file_whose_bytes_have_changed(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    damaged = bytearray(path.read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 40] = bytes(value ^ 85 for value in damaged[middle : middle + 40])
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match=r"damaged or cut off .*the checksum of"):
        read_state_dict(path)


def test_what_torch_did_not_write(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    safetensors.torch.save_file(timm.create_model("test_resnet").state_dict(), path)
    with pytest.raises(CheckpointError, match=r"\(It is no file that torch\.save wrote\.\)") as caught:
        read_state_dict(path)
    assert "weights_only" not in str(caught.value)
    safetensors.torch.save_file(timm.create_model("test_resnet").state_dict(), tmp_path / "CAPITALS.SAFETENSORS")
    assert read_state_dict(tmp_path / "CAPITALS.SAFETENSORS")

"""What holds for every mechanism and every kind of backbone, and that a model is left as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import FRAMES, LABELS, TINY, noise, tiny, write_frames
from torch import nn

import m2a
from m2a.errors import ConfigError, NotFoundError, UnreadableClipError
from m2a.explanation import Explanation, heat_overlay, heat_scale, whole_clip
from m2a.explanation.whole import between
from m2a.mechanisms import list_mechanisms
from m2a.models import VideoClassifier

SPECS = [*list_mechanisms(), "tea:m2a", "m2a:patch4", "m2a+tsm"]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven frames of 40 pixels."""
    return write_frames(tmp_path_factory.mktemp("video") / "clip", noise())


def check(found: Explanation, model: VideoClassifier) -> None:
    side, frames = model.preprocessing.size, model.num_frames
    assert found.label == found.guesses[0].label
    assert sum(guess.probability for guess in found.guesses) == pytest.approx(1, abs=1e-5)
    assert found.frames.shape == (frames, side, side, 3)
    assert found.frames.dtype == np.uint8
    assert found.heat.shape == (frames, side, side)
    assert found.heat.dtype == np.float32
    assert np.isfinite(found.heat).all()
    assert found.heat.min() >= 0
    assert found.heat.max() in (0, 1)
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["frames"] == list(found.indices)
    assert len(plain["heat"]["mean"]) == frames
    for place, (row, column) in enumerate(plain["heat"]["peak"]):
        assert found.heat[place, row, column] == pytest.approx(plain["heat"]["max"][place])


@pytest.mark.parametrize("spec", SPECS)
def test_every_mechanism(spec: str, video: Path) -> None:
    model = tiny("resnet10t", spec)
    found = m2a.explain(model, video, sites=True)
    check(found, model)
    assert found.layer == "layer2"
    assert (found.sites == ()) == (spec == "none")


@pytest.mark.parametrize("backbone", TINY)
@pytest.mark.parametrize("spec", ["m2a", "tsm"])
def test_every_kind_of_backbone(backbone: str, spec: str, video: Path) -> None:
    model = tiny(backbone, spec)
    found = m2a.explain(model, video, sites=True)
    check(found, model)
    assert found.heat.any()
    assert model.insertion is not None
    assert [site.name for site in found.sites] == model.insertion.sites


@pytest.mark.usefixtures("as_users_run_it")
@pytest.mark.parametrize("part", ["model", "backbone"])
def test_a_compiled_model_is_explained_as_the_same_without(part: str, video: Path) -> None:
    """Code that was compiled before hooks were there calls none of them."""
    model = tiny("resnet10t", "m2a")
    plain = m2a.explain(model, video, sites=True)
    (model if part == "model" else model.backbone).compile(backend="eager")
    with torch.no_grad():
        model(torch.zeros(1, FRAMES, 3, model.preprocessing.size, model.preprocessing.size))
    for sites in (False, True):
        found = m2a.explain(model, video, sites=sites)
        np.testing.assert_allclose(found.heat, plain.heat, atol=1e-5)
    assert [site.name for site in found.sites] == [site.name for site in plain.sites]


def test_an_inflated_network_whose_time_is_strided(video: Path) -> None:
    model = tiny("resnet10t", "m2a", inflate=True, num_frames=8)
    found = m2a.explain(model, video, sites=True)
    check(found, model)
    assert [len(site.gate) for site in found.sites if site.gate is not None] == [8, 8, 4, 2]  # in front of each stage
    assert [site.attention.shape for site in found.sites if site.attention is not None][-1] == (2, 2)
    check(m2a.explain(model, video, layer="layer4"), model)  # where one frame is left


class Wrapped(nn.Module):
    """A network inside another, as users have them."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


def test_a_wrapped_network(video: Path) -> None:
    inner = tiny("resnet10t", "none").backbone
    m2a.remove(inner)
    body = Wrapped(Wrapped(inner))
    m2a.insert(body, "m2a", num_frames=FRAMES, reduction=2)
    model = VideoClassifier(body, 3, labels=LABELS)
    assert m2a.explain(model, video).layer == "body.body.layer2"


def state(model: nn.Module) -> dict[str, Any]:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "training": {name: module.training for name, module in model.named_modules()},
        "requires_grad": {name: value.requires_grad for name, value in model.named_parameters()},
        "gradients": {name: value.grad is None for name, value in model.named_parameters()},
        "hooks": {(name, kind): len(getattr(m, kind)) for name, m in model.named_modules() for kind in hooks},
        "modules": [name for name, _ in model.named_modules()],
    }


@pytest.mark.parametrize("how", ["training", "evaluation", "frozen backbone", "all frozen", "one layer in evaluation"])
def test_the_model_is_left_as_it_was(how: str, video: Path) -> None:
    model = tiny("resnet10t", "m2a+tsm", freeze_backbone=how == "frozen backbone")
    model.train(how != "evaluation")
    model.requires_grad_(how != "all frozen")
    if how == "one layer in evaluation":
        model.backbone.layer1.eval()
    before = state(model)
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    rng = torch.random.get_rng_state()
    first = m2a.explain(model, video, sites=True)
    again = m2a.explain(model, video, sites=True)
    assert state(model) == before
    assert torch.equal(torch.random.get_rng_state(), rng)
    for name, value in model.state_dict().items():
        assert torch.equal(value, tensors[name]), name
    np.testing.assert_array_equal(first.heat, again.heat)


def test_it_is_left_as_it_was_after_an_error_too(video: Path) -> None:
    model = tiny("vit_tiny_patch16_224").train()
    before = state(model)
    with pytest.raises(ConfigError, match=r"The score does not depend on the maps that 'blocks.3' gives.*class token"):
        m2a.explain(model, video, layer="blocks.3", sites=True)  # its class token alone is looked at
    assert state(model) == before


def bf16() -> Any:
    return torch.autocast("cpu", torch.bfloat16)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, bf16])
def test_whoever_calls_it(context: Any, video: Path) -> None:
    model = tiny()
    expected = m2a.explain(model, video, sites=True)
    with context():
        found = m2a.explain(model, video, sites=True)
    np.testing.assert_array_equal(found.heat, expected.heat)
    for one, other in zip(found.sites, expected.sites, strict=True):
        np.testing.assert_array_equal(one.gate, other.gate)


def test_weights_made_under_inference_mode_are_refused(video: Path) -> None:
    model = tiny()
    with torch.inference_mode():
        model.double().float()
    with pytest.raises(ConfigError, match=r"made under torch.inference_mode.*Load or create the model outside"):
        m2a.explain(model, video)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_model_is_run_in_its_own_precision(dtype: torch.dtype, video: Path) -> None:
    model = tiny()
    expected = m2a.explain(model, video, label="dark", sites=True)
    found = m2a.explain(model.to(dtype), video, label="dark", sites=True)
    assert next(model.parameters()).dtype == dtype
    assert found.heat.dtype == np.float32
    assert np.abs(found.heat - expected.heat).mean() < 0.05
    assert np.corrcoef(found.heat.ravel(), expected.heat.ravel())[0, 1] > 0.97


def test_another_class_has_another_heat(video: Path) -> None:
    model = tiny()
    heats = {label: m2a.explain(model, video, label=label) for label in LABELS}
    assert {found.label for found in heats.values()} == set(LABELS)
    assert len({found.guesses for found in heats.values()}) == 1
    assert not np.allclose(heats["bright"].heat, heats["dark"].heat)


def test_another_layer(video: Path) -> None:
    model = tiny()
    assert m2a.explain(model, video, layer="layer3").layer == "layer3"
    assert m2a.explain(model, video, layer="backbone.layer1.0").layer == "layer1.0"


def test_what_cannot_be_explained(video: Path, tmp_path: Path) -> None:
    model = tiny()
    with pytest.raises(NotFoundError, match=r"There is no video .*nowhere.mp4.*folder of .jpg frames"):
        m2a.explain(model, tmp_path / "nowhere.mp4")
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(UnreadableClipError, match=r"text\.mp4"):
        m2a.explain(model, tmp_path / "text.mp4")
    with pytest.raises(ConfigError, match=r"The model has no label 'brigt'\. Near it: 'bright'.*3 labels"):
        m2a.explain(model, video, label="brigt")
    with pytest.raises(
        ConfigError, match=r"has no layer 'layer5'\. Near it: 'layer.*Its stages: layer1 \(1/4\), layer2"
    ):
        m2a.explain(model, video, layer="layer5")
    with pytest.raises(ConfigError, match=r"'global_pool' of this ResNet gives no feature maps: .*Its stages: layer1"):
        m2a.explain(model, video, layer="global_pool")
    model.labels = None
    with pytest.raises(ConfigError, match=r"has no labels"):
        m2a.explain(model, video)


@pytest.mark.usefixtures("as_users_run_it")
def test_a_wrapped_model_is_not_explained(video: Path) -> None:
    wrapped: Any = nn.DataParallel(tiny())
    with pytest.raises(ConfigError, match=r"takes a VideoClassifier.*got a DataParallel\. Give .* model\.module"):
        m2a.explain(wrapped, video)


def test_an_overlay_shows_heat_and_nothing_else() -> None:
    frames = np.full((2, 5, 7, 3), 120, dtype=np.uint8)
    heat = np.zeros((2, 5, 7), dtype=np.float32)
    heat[1, 2, 3] = 1
    over = heat_overlay(frames, heat)
    assert over.shape == frames.shape
    assert over.dtype == np.uint8
    changed = (over != over[0, 0, 0]).any(-1)
    assert changed.sum() == 1
    assert changed[1, 2, 3]
    assert (heat_overlay(frames, heat, alpha=0.0) == over[0, 0, 0]).all()
    scale = heat_scale(32)
    assert scale.shape == (32, 3)
    lightness = scale @ np.array([0.2126, 0.7152, 0.0722])
    assert np.diff(lightness[8:]).min() > 0  # once the colours show they get lighter all the way
    assert lightness[-1] > 2 * lightness[0]


def test_an_overlay_of_what_does_not_fit() -> None:
    frames = np.zeros((2, 5, 7, 3), dtype=np.uint8)
    with pytest.raises(ConfigError, match=r"heat \(T, H, W\) of the same size; got \(2, 5, 7, 3\) and \(2, 7, 5\)"):
        heat_overlay(frames, np.zeros((2, 7, 5)))
    with pytest.raises(ConfigError, match=r"alpha is the weight of the colours, 0 to 1; got 1.5"):
        heat_overlay(frames, np.zeros((2, 5, 7)), alpha=1.5)


def test_heat_between_the_frames_that_were_seen() -> None:
    heat = np.array([0.0, 1.0, 1.0, 0.0], dtype=np.float32)[:, None, None] * np.ones((1, 3, 2), dtype=np.float32)
    got = between(heat, (2, 4, 4, 8), [0, 2, 3, 4, 5, 8, 9])[:, 0, 0]
    np.testing.assert_allclose(got, [0, 0, 0.5, 1, 0.75, 0, 0])


def test_the_whole_clip(video: Path) -> None:
    model = tiny()
    found = m2a.explain(model, video)
    whole = whole_clip(found, model.preprocessing)
    assert whole.indices == tuple(range(7))
    for place, index in enumerate(found.indices):
        np.testing.assert_array_equal(whole.frames[index], found.frames[place])
        np.testing.assert_allclose(whole.heat[index], found.heat[place], atol=1e-6)
    assert whole_clip(found, model.preprocessing, most=3).indices == (0, 3, 6)

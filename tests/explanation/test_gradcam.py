"""Grad-CAM where it is known in closed form, and where the evidence was put."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small import CELL, FRAMES, LABELS, SIZE, Patches, linear_model, noise, tiny, write_frames
from torch import nn

import m2a
from m2a.data.preprocessing import Preprocessing
from m2a.models import VideoClassifier

LAYOUTS = ("NCHW", "NHWC", "NLC", "BCTHW")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("video") / "clip", noise())


def closed_form(model: VideoClassifier, pixels: np.ndarray, label: str) -> np.ndarray:
    """The score is the mean over frames and patches of w . A, so each frame's weights are w / (T h w), and the heat
    relu(w . A), scaled by its maximum."""
    clip = model.preprocessing.normalize(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    cut, mix = (model.backbone.get_submodule(name) for name in ("cut", "mix"))
    maps = F.conv2d(clip, cut.weight.reshape(-1, 3, CELL, CELL), cut.bias, stride=CELL)
    maps = torch.einsum("oc,tchw->tohw", mix.weight.flatten(1), maps) + mix.bias[:, None, None]
    heat = torch.einsum("c,tchw->thw", model.head.weight[LABELS.index(label)], maps).relu()
    large = F.interpolate(heat[:, None], (SIZE, SIZE), mode="bilinear")[:, 0]
    return (large / large.max()).detach().numpy()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("label", LABELS)
def test_a_linear_network_has_its_heat_in_closed_form(layout: str, label: str, video: Path) -> None:
    model = linear_model(layout)
    found = m2a.explain(model, video, label=label, layer="mix")
    assert found.heat.shape == (FRAMES, SIZE, SIZE)
    assert found.heat.dtype == np.float32
    assert found.heat.max() == 1
    np.testing.assert_allclose(found.heat, closed_form(model, found.frames, label), atol=1e-4)


def test_frames_are_what_the_model_saw(video: Path) -> None:
    model = linear_model("NCHW")
    found = m2a.explain(model, video)
    assert found.indices == (1, 3, 5)  # the centres of three segments of seven frames
    assert found.frames.shape == (FRAMES, SIZE, SIZE, 3)
    clip = torch.from_numpy(found.frames).permute(0, 3, 1, 2)[None]
    expected = model.predict_probabilities(clip)[0]
    assert found.label == found.guesses[0].label == LABELS[int(expected.argmax())]
    got = {guess.label: guess.probability for guess in found.guesses}
    torch.testing.assert_close(torch.tensor([got[label] for label in LABELS]), expected, rtol=0, atol=1e-5)


def test_heat_is_where_the_evidence_is(tmp_path: Path) -> None:
    """Frames of which one part is bright, another in each frame; the network scores brightness."""
    frames = np.zeros((FRAMES, SIZE, SIZE, 3), dtype=np.uint8)
    half = 2 * CELL
    places = [(0, 0), (half, 0), (half, half)]
    for frame, (row, column) in zip(frames, places, strict=True):
        frame[row : row + half, column : column + half] = 255
    model = linear_model("NCHW")
    for name, parameter in model.named_parameters():
        nn.init.zeros_(parameter)
        if name.endswith("weight"):
            nn.init.constant_(parameter, 0.01)
    with torch.no_grad():
        model.head.weight[1] *= -1
        model.preprocessing = Preprocessing(
            num_frames=FRAMES, size=SIZE, resize=SIZE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
        )
    found = m2a.explain(model, write_frames(tmp_path / "clip", frames), label="bright", layer="mix")
    for heat, (row, column) in zip(found.heat, places, strict=True):
        inside = heat[row + 4 : row + half - 4, column + 4 : column + half - 4]
        assert inside.min() > 0.9
        outside = heat.copy()
        outside[row - 4 if row else 0 : row + half + 4, column - 4 if column else 0 : column + half + 4] = 0
        assert outside.max() < 0.02
    against = m2a.explain(model, tmp_path / "clip", label="dark", layer="mix")
    assert against.heat.max() == 0  # nothing raises it, and no heat is made up


def test_frames_are_on_one_scale(tmp_path: Path) -> None:
    """A frame with half the evidence has half the heat."""
    frames = np.zeros((FRAMES, SIZE, SIZE, 3), dtype=np.uint8)
    frames[0], frames[1] = 200, 100
    model = linear_model("NCHW")
    for name, parameter in model.named_parameters():
        nn.init.constant_(parameter, 0.01 if name.endswith("weight") else 0)
    model.preprocessing = Preprocessing(
        num_frames=FRAMES, size=SIZE, resize=SIZE, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )
    heat = m2a.explain(model, write_frames(tmp_path / "clip", frames), label="bright", layer="mix").heat
    np.testing.assert_allclose(heat.mean((1, 2)), [1, 0.5, 0], atol=0.01)


def test_without_a_mechanism_it_is_each_images_own(video: Path) -> None:
    """With the average over frames and no mechanism, a frame's heat is image Grad-CAM of that frame, but for the
    scale."""
    model = tiny("resnet10t", "none")
    together = m2a.explain(model, video, label="dark")
    for index in range(FRAMES):
        frame = torch.from_numpy(together.frames[index]).permute(2, 0, 1)[None]
        maps: list[torch.Tensor] = []
        handle = model.backbone.layer2.register_forward_hook(lambda layer, args, out, keep=maps: keep.append(out))
        alone = model.preprocessing.normalize(frame).expand(FRAMES, -1, -1, -1)  # its sites take whole clips
        score = model.head(model.backbone(alone))[0, 1]
        handle.remove()
        (gradient,) = torch.autograd.grad(score, maps)
        heat = (gradient.mean((2, 3), keepdim=True) * maps[0]).sum(1).relu()[:1]
        large = F.interpolate(heat[:, None], (32, 32), mode="bilinear")[0, 0].detach().numpy()
        ours = together.heat[index]
        np.testing.assert_allclose(ours * large.max(), large * ours.max(), atol=1e-4 * large.max())


def test_a_layer_that_the_score_does_not_depend_on_is_refused(video: Path) -> None:
    class Aside(Patches):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.mix(self.cut(x))
            return self.cut(x)

    preprocessing = Preprocessing(num_frames=FRAMES, size=SIZE, resize=SIZE)
    model = VideoClassifier(Aside("NCHW"), 3, num_frames=FRAMES, labels=LABELS, preprocessing=preprocessing)
    with pytest.raises(m2a.errors.ConfigError, match=r"does not depend on the maps that 'mix' gives.*earlier layer"):
        m2a.explain(model, video, layer="mix")

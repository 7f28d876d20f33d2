"""Scores that are no numbers name no class: each way to have them refuses, and says of which clip and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import m2a
from m2a.app.analysis import Entrant, analyse
from m2a.app.limits import Limits
from m2a.data import ClipFile, Preprocessing
from m2a.errors import ConfigError, DivergedError
from m2a.evaluation import Prediction, evaluate, predict, predict_all, predict_timeline
from m2a.evaluation.predict import likeliest
from m2a.models import VideoClassifier

RISING, FALLING = (40, 200), (200, 40)
LOST = r"are nan or infinite, so they name no class\. "


class Rises(nn.Module):
    """Has numbers for pairs of frames of which the second is the brighter one."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 5, 1, bias=False)
        nn.init.ones_(self.mix.weight)

    def forward(self, frames_NCHW: Tensor) -> Tensor:
        maps = self.mix(frames_NCHW)
        numbers = torch.arange(len(maps), device=maps.device)
        others = maps[(numbers ^ 1).clamp(max=len(maps) - 1)]  # of each pair
        return ((maps - others) * (2 * (numbers % 2) - 1)[:, None, None, None]).log()


@pytest.fixture
def model() -> VideoClassifier:
    given = Preprocessing(num_frames=2, size=16, resize=16)
    return VideoClassifier(Rises(), 3, num_frames=2, labels=("a", "b", "c"), preprocessing=given).eval()


def write_greys(folder: Path, greys: tuple[int, ...]) -> Path:
    folder.mkdir()
    for k, grey in enumerate(greys, start=1):
        Image.fromarray(np.full((23, 29, 3), grey, dtype=np.uint8)).save(folder / f"{k:05d}.jpg")
    return folder


@pytest.fixture
def clips(tmp_path: Path) -> list[ClipFile]:
    """Of five the third and the last have scores that are no numbers."""
    kinds = (RISING, RISING, FALLING, RISING, FALLING)
    return [ClipFile(id=str(k), path=write_greys(tmp_path / str(k), kind), label="a") for k, kind in enumerate(kinds)]


WAYS: dict[str, Callable[[VideoClassifier, Path], Any]] = {
    "predict": predict,
    "explain": lambda model, path: m2a.explain(model, path, layer="mix"),
    "explain a class": lambda model, path: m2a.explain(model, path, layer="mix", label="c"),
    "predict several views": lambda model, path: predict(model, path, num_clips=2, num_crops=3),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_clip_by_itself(model: VideoClassifier, clips: list[ClipFile], way: str) -> None:
    WAYS[way](model, clips[1].path)
    with pytest.raises(DivergedError, match=rf"The model's scores of {clips[2].path} {LOST}"):
        WAYS[way](model, clips[2].path)


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_an_evaluation_names_the_first(model: VideoClassifier, clips: list[ClipFile], batch_size: int) -> None:
    evaluate(model, clips[:2], device="cpu", batch_size=batch_size)
    with pytest.raises(DivergedError, match=rf"The model's scores of {clips[2].path} {LOST}"):
        evaluate(model, clips, device="cpu", batch_size=batch_size)


def test_an_evaluation_names_the_probe(model: VideoClassifier, clips: list[ClipFile]) -> None:
    with pytest.raises(DivergedError, match=rf"The model's scores of {clips[0].path}, shuffled, {LOST}"):
        evaluate(model, clips[:2], device="cpu", probes=True)


@pytest.mark.parametrize("threads", [1, 3])
def test_many_clips_up_to_the_first(model: VideoClassifier, clips: list[ClipFile], threads: int) -> None:
    said = predict_all(model, clips, batch_size=1, threads=threads)
    assert all(isinstance(next(said), Prediction) for _ in range(2))
    with pytest.raises(DivergedError, match=rf"The model's scores of {clips[2].path} {LOST}"):
        next(said)


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_a_timeline_says_where(model: VideoClassifier, tmp_path: Path, batch_size: int) -> None:
    path = write_greys(tmp_path / "long", (30, 80, 130, 90, 180))
    with pytest.raises(DivergedError, match=rf"The model's scores of {path}, from 2\.00 s on, {LOST}"):
        predict_timeline(model, path, window=2.0, step=1.0, frame_rate=1.0, batch_size=batch_size)


def test_the_page_is_not_opened_for_such_a_model(model: VideoClassifier) -> None:
    """A black clip does not rise."""
    with pytest.raises(DivergedError, match=rf"The model's scores of a black clip, by it, {LOST}"):
        Entrant.of({"it": model})


def test_the_page_names_the_clip(model: VideoClassifier, clips: list[ClipFile]) -> None:
    entrant = Entrant(title="it", details="", model=model)
    with pytest.raises(DivergedError, match=rf"The model's scores of my clip {LOST}"):
        analyse([entrant], clips[2].path, "my clip", Limits())


def test_what_to_do_about_weights(model: VideoClassifier, clips: list[ClipFile]) -> None:
    with torch.no_grad():
        model.head.bias[1] = torch.inf
    remedy = (
        r"in 1 of its 3 weights, the first of them head\.bias\. Take another checkpoint, or train .* a lower --lr\.$"
    )
    with pytest.raises(DivergedError, match=rf"of {clips[0].path} {LOST}Such numbers are {remedy}"):
        predict(model, clips[0].path)


def test_what_to_do_about_precision(model: VideoClassifier, clips: list[ClipFile]) -> None:
    with torch.no_grad():
        model.head.weight.fill_(60_000)
    predict(model, clips[0].path)
    remedy = r"gets too large\. Compute in float32 \(model\.float\(\), and no --bf16\), or take another checkpoint\.$"
    with pytest.raises(
        DivergedError, match=rf"of {clips[0].path} {LOST}Its weights are finite; .* in float16, {remedy}"
    ):
        predict(model.half(), clips[0].path)
    with pytest.raises(
        DivergedError, match=rf"of {clips[2].path} {LOST}Its weights are finite; .* in bfloat16, {remedy}"
    ):
        evaluate(model.float(), clips, device="cpu", bf16=True)


@pytest.mark.parametrize("labels", [["a", "b"], ["a", "b", "c", "d"]])
def test_labels_that_are_not_the_scores_are_refused(labels: list[str]) -> None:
    with pytest.raises(ConfigError, match=rf"has {len(labels)} names and the model gives 3 scores\. Set model\.labels"):
        likeliest(torch.tensor([0.5, 0.3, 0.2]), labels, 1)

"""A video as its frames come in: each answer is what the model says of the frames until then."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from m2a.data.readers import open_clip
from m2a.errors import ConfigError, DivergedError, NotFoundError
from m2a.evaluation import predict, predict_stream
from m2a.models import VideoClassifier, create_model

LABELS, FRAMES, RATE = ("a", "b", "c"), 5, 12


def made(**options: object) -> VideoClassifier:
    torch.manual_seed(3)
    channels = {"channels": (8, 8, 16, 16), "zero_init_last": False}
    model = create_model(
        "resnet10t", num_classes=3, labels=LABELS, num_frames=FRAMES, size=32, backbone_options=channels,
        **{"mechanism": "tsm", "direction": "unidirectional"} | options,
    )  # fmt: skip
    torch.nn.init.normal_(model.head.weight, std=5.0)
    return model.eval()


def clip_of(model: VideoClassifier, video: Path, frames: list[int]) -> torch.Tensor:
    with open_clip(video) as clip:
        return model.preprocessing.test_transform(clip.read(frames))


@pytest.mark.parametrize("window", [1.0, 2.5])
def test_each_answer_is_of_the_frames_until_then(video: Path, window: float) -> None:
    """With the oracle of a clip of all of them, whose last frames' consensus is taken by hand."""
    model = made()
    timeline = predict_stream(model, video, window=window, top_k=3)
    pause = window / FRAMES
    assert len(timeline.windows) == round(37 / RATE / pause)
    seen = [int((number + 0.5) * pause * RATE) for number in range(len(timeline.windows))]
    assert len(seen) > FRAMES
    for number, answer in enumerate(timeline.windows):
        assert answer.start == pytest.approx((number + 0.5) * pause)
        following = timeline.windows[number + 1 :]
        assert answer.end == (following[0].start if following else timeline.seconds)
        pixels = clip_of(model, video, seen[: number + 1])
        with torch.no_grad():
            model.num_frames = max(2, number + 1)
            clips = pixels if number else pixels.repeat(2, 1, 1, 1)  # two frames are the fewest of a clip
            features = model.frame_features(model.preprocessing.normalize(clips[None]))[:, : number + 1]
            expected = model.head(features)[:, -FRAMES:].mean(1).softmax(-1)[0]
            model.num_frames = FRAMES
        got = {guess.label: guess.probability for guess in answer.guesses}
        torch.testing.assert_close(torch.tensor([got[label] for label in LABELS]), expected, rtol=0, atol=1e-5)
    assert len(timeline.frames) == 12


def test_as_long_as_a_clip_it_says_in_the_end_what_predict_says(video: Path) -> None:
    model = made()
    last = predict_stream(model, video, window=37 / RATE).windows[-1]
    whole = predict(model, video)
    assert [guess.label for guess in last.guesses] == [guess.label for guess in whole.guesses]
    for ours, theirs in zip(last.guesses, whole.guesses, strict=True):
        assert ours.probability == pytest.approx(theirs.probability, abs=1e-5)


def test_an_answer_stands_until_the_next(video: Path) -> None:
    timeline = predict_stream(made(), video, window=1.0)
    intervals = timeline.intervals()
    assert intervals[0].start == 0
    assert intervals[-1].end == pytest.approx(timeline.seconds)
    changes = [one.start for one in intervals[1:]]
    assert set(changes) <= {answer.start for answer in timeline.windows}


@pytest.mark.parametrize("window", [0.7, 1.0, 2.0])
def test_one_answer_for_long_is_one_interval(video: Path, window: float) -> None:
    model = made()
    torch.nn.init.zeros_(model.head.weight)
    model.head.bias.data[:] = torch.tensor([1.0, 0.0, 0.0])
    timeline = predict_stream(model, video, window=window)
    assert [(one.start, one.end, one.label) for one in timeline.intervals()] == [(0, timeline.seconds, "a")]


def test_a_video_shorter_than_a_pause(video: Path) -> None:
    timeline = predict_stream(made(), video, window=1000.0)
    assert len(timeline.windows) == 1
    assert timeline.windows[0].start == timeline.windows[0].end == timeline.seconds
    assert [(one.start, one.end) for one in timeline.intervals()] == [(0, timeline.seconds)]


def test_what_cannot_be_answered(video: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"looks at frames that come later"):
        predict_stream(made(direction="bidirectional"), video)
    for options in ({"window": 0.0}, {"window": float("inf")}, {"frame_rate": -1.0}):
        with pytest.raises(ConfigError, match=r"must be a finite number above 0"):
            predict_stream(made(), video, **options)
    with pytest.raises(ConfigError, match=r"top_k=0 must be at least 1"):
        predict_stream(made(), video, top_k=0)
    with pytest.raises(NotFoundError, match=r"There is no video .*gone\.mp4"):
        predict_stream(made(), tmp_path / "gone.mp4")
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(3):
        Image.new("RGB", (24, 24), (number, 0, 0)).save(frames / f"{number}.jpg")
    with pytest.raises(ConfigError, match=r"Give frame_rate="):
        predict_stream(made(), frames)


def test_scores_that_are_no_numbers(video: Path) -> None:
    model = made()
    model.head.bias.data[0] = float("nan")
    with pytest.raises((ConfigError, DivergedError), match=r"nan or infinite"):
        predict_stream(model, video)

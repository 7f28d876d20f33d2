"""Frames that come one after the other, with their times: what is said of the last of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from m2a.errors import ClipShapeError, ConfigError, DivergedError
from m2a.evaluation import Answer, Watcher
from m2a.export import export_model, export_stream, load_exported, load_stream
from m2a.models import Stream, VideoClassifier, create_model

LABELS, FRAMES = ("a", "b", "c"), 5


def made(**options: Any) -> VideoClassifier:
    return make("m2a", **{"direction": "unidirectional"} | options)


def make(mechanism: str, **options: Any) -> VideoClassifier:
    torch.manual_seed(3)
    options = {"mechanism": mechanism, "num_frames": FRAMES, "labels": LABELS} | options
    model = create_model("test_resnet", num_classes=3, size=32, **options)
    torch.nn.init.normal_(model.head.weight, std=5.0)
    return model.eval()


def plain() -> VideoClassifier:
    """Without a mechanism, which is soon exported."""
    return make("none")


def frames(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, 37, 53), dtype=torch.uint8)


def watch(watcher: Watcher, times: list[float], pixels: Tensor) -> dict[float, Answer | None]:
    """What is said at the times at which a frame is due."""
    return {time: watcher.see(time, frame) for time, frame in zip(times, pixels, strict=True) if watcher.is_due(time)}


def probabilities(answer: Answer | None) -> Tensor:
    assert answer is not None
    got = {guess.label: guess.probability for guess in answer.guesses}
    return torch.tensor([got[label] for label in LABELS])


def test_each_answer_is_of_the_last_frames_of_a_clip() -> None:
    """Of a camera of 10 frames a second every second one is looked at, five a second."""
    model, pixels = made(direction="bidirectional").train(), frames(30)
    watcher = Watcher(model, window=1.0)
    said = watch(watcher, [number / 10 for number in range(30)], pixels)
    assert list(said) == [number / 5 for number in range(15)]
    assert [answer is None for answer in said.values()] == [True] * 4 + [False] * 11
    assert model.training
    for number, (time, answer) in enumerate(said.items()):
        if answer is not None:
            assert answer.time == time
            clip = model.preprocessing.test_transform(pixels[2 * (number - 4) : 2 * number + 1 : 2])
            expected = model.eval().predict_probabilities(clip[None])[0]
            torch.testing.assert_close(probabilities(answer), expected, atol=1e-6, rtol=0)
            model.train()
    assert watcher.num_missed == 0


def test_frame_by_frame_it_is_a_stream() -> None:
    model, pixels = made(), frames(9)
    said, stream = watch(Watcher(model, window=1.0, stream=True), [n / 5 for n in range(9)], pixels), Stream(model)
    assert len(said) == 9
    for answer, frame in zip(said.values(), pixels, strict=True):
        expected = stream.step(model.preprocessing.test_transform(frame[None]))[0]
        torch.testing.assert_close(probabilities(answer), expected, atol=1e-6, rtol=0)


@pytest.mark.usefixtures("as_users_run_it")
def test_a_file_watches_too(tmp_path: Path) -> None:
    model, pixels = plain(), frames(6)
    file = export_model(model, tmp_path / "model.pt2").file
    times = [n / 5 for n in range(6)]
    ours = watch(Watcher(load_exported(file), window=1.0), times, pixels)
    for one, other in zip(ours.values(), watch(Watcher(model, window=1.0), times, pixels).values(), strict=True):
        if one is not None:
            torch.testing.assert_close(probabilities(one), probabilities(other), atol=1e-5, rtol=0)
    with pytest.raises(ConfigError, match=r"model\.pt2 takes clips, and a stream gives frames\. Export the model with"):
        Watcher(load_exported(file), stream=True)


@pytest.mark.usefixtures("as_users_run_it")
def test_a_file_of_one_step_watches_frame_by_frame(tmp_path: Path) -> None:
    model, pixels, times = plain(), frames(7), [n / 5 for n in range(7)]
    file = load_stream(export_stream(model, tmp_path / "step.pt2").file)
    ours, theirs = (watch(Watcher(one, window=1.0, stream=True), times, pixels) for one in (file, model))
    for one, other in zip(ours.values(), theirs.values(), strict=True):
        torch.testing.assert_close(probabilities(one), probabilities(other), atol=1e-5, rtol=0)
    with pytest.raises(ConfigError, match=r"step\.pt2 is one step of a stream and takes no clips\. Add stream=True"):
        Watcher(file)
    two = load_stream(export_stream(model, tmp_path / "two.pt2", batch_size=2).file)
    with pytest.raises(ConfigError, match=r"two\.pt2 answers 2 streams side by side, and there is one"):
        Watcher(two, stream=True)


def test_frames_that_come_too_late_are_counted() -> None:
    watcher = Watcher(made(), window=1.0, stream=True)
    times = [0.0, 0.05, 0.2, 0.45, 0.61, 0.65, 1.05, 1.2, 1.25]
    said = watch(watcher, times, frames(9))
    assert list(said) == [0.0, 0.2, 0.45, 0.61, 1.05, 1.2]  # the grid stays: 0.45 is for 0.4, 1.05 for 1.0
    assert watcher.num_missed == 1  # none for 0.8


def test_where_more_frames_wait_no_answer_is_computed() -> None:
    model, pixels = made(direction="bidirectional"), frames(9)
    watcher, busy = Watcher(model, window=1.0), Watcher(model, window=1.0)
    said = watch(watcher, [n / 5 for n in range(9)], pixels)
    for number, frame in enumerate(pixels):
        answer = busy.see(number / 5, frame, answer=number == 7)
        assert answer == (said[number / 5] if number == 7 else None)


@pytest.mark.parametrize("break_", [-3.0, 4.0])
@pytest.mark.parametrize("stream", [False, True])
def test_after_a_break_it_begins_anew(break_: float, stream: bool) -> None:
    """A camera that was restarted, or away for longer than a window."""
    model, pixels = made(), frames(14)
    watcher = Watcher(model, window=1.0, stream=stream)
    watch(watcher, [n / 5 for n in range(7)], pixels[:7])
    times = [1.2 + break_ + n / 5 for n in range(7)]
    anew = watch(Watcher(model, window=1.0, stream=stream), times, pixels[7:])
    assert watch(watcher, times, pixels[7:]) == anew
    assert watcher.num_missed == (19 if break_ > 0 else 0)  # of five a second, in 4 seconds less one step


def test_a_slow_camera_is_seen_at_the_pace_of_the_model() -> None:
    """Two frames a second where five are due: each stands until the next one comes."""
    model, pixels = made(direction="bidirectional"), frames(5)
    said = watch(Watcher(model, window=1.0), [0.0, 0.5, 1.0, 1.5, 2.0], pixels)
    assert [answer is None for answer in said.values()] == [True, True, False, False, False]
    cropped = model.preprocessing.test_transform(pixels)  # at 1.2, 1.4, ..., 2.0, of which 1.5 is for the second
    expected = model.predict_probabilities(cropped[[2, 3, 3, 3, 4]][None])[0]
    torch.testing.assert_close(probabilities(said[2.0]), expected, atol=1e-6, rtol=0)


def test_a_small_step_back_of_the_source_is_its_inaccuracy() -> None:
    model, pixels = made(), frames(8)
    watcher = Watcher(model, window=1.0)
    watch(watcher, [0.0, 0.2, 0.4, 0.6, 0.8], pixels[:5])
    assert not watcher.is_due(0.7999)
    assert watcher.see(0.7999, pixels[5]) is not None  # nothing was forgotten
    assert watcher.is_due(0.1)


@pytest.mark.usefixtures("as_users_run_it")
def test_what_cannot_watch() -> None:
    for window in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ConfigError, match="must be a finite number of seconds above 0"):
            Watcher(made(), window=window)
    with pytest.raises(ConfigError, match="top_k=0 must be at least 1"):
        Watcher(made(), top_k=0)
    with pytest.raises(ConfigError, match="looks at frames that come later"):
        Watcher(made(direction="bidirectional"), stream=True)
    with pytest.raises(ConfigError, match="has no labels"):
        Watcher(made(labels=None))
    for wrong in (frames(1), frames(1)[0].float(), frames(1)[0].permute(1, 2, 0), frames(1)[0].numpy()):
        with pytest.raises(ClipShapeError, match=r"A frame is a tensor uint8 \(3, H, W\)"):
            Watcher(made()).see(0.0, wrong)
    with pytest.raises(ConfigError, match="time=nan must be a finite number"):
        Watcher(made()).see(float("nan"), frames(1)[0])
    broken = made()
    watcher = Watcher(broken, window=1.0)
    torch.nn.init.constant_(broken.head.weight, torch.nan)
    with pytest.raises(DivergedError, match=r"scores of the frame at 0\.80 s are nan"):
        watch(watcher, [n / 5 for n in range(6)], frames(6))

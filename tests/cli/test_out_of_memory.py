"""A GPU whose memory is too small: one sentence with a way out, and the answers that there are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command import Outcome, tiny

from m2a.models import VideoClassifier

Command = Callable[..., Outcome]
SAID = (
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 7.79 GiB of which 3.12 MiB is free."
    " Including non-PyTorch memory, this process has 7.60 GiB memory in use."
)
TOLD = (
    "error: The GPU has too little memory for this (Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 7.79 "
    "GiB of which 3.12 MiB is free). Make --batch-size smaller"
)


@pytest.fixture
def full_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Has models say, after so many batches, what they say on a GPU that is full."""

    def fill(batches: int) -> None:
        forward, left = VideoClassifier.forward, iter(range(batches))

        def full(model: VideoClassifier, *args: Any, **options: Any) -> Any:
            if next(left, None) is None:
                raise torch.OutOfMemoryError(SAID)
            return forward(model, *args, **options)

        monkeypatch.setattr(VideoClassifier, "forward", full)

    return fill


def test_training(m2a: Command, video_set: Path, tmp_path: Path, full_after: Callable[[int], None]) -> None:
    full_after(1)
    outcome = m2a("train", "--data", video_set, "--out", tmp_path / "run", *tiny())
    assert outcome.code == 1
    assert outcome.message.endswith(f"{TOLD} and --accumulate larger by as much, or add --precision bf16-mixed.")


def test_predicting_shows_what_was_predicted(
    m2a: Command, trained: Path, video_set: Path, full_after: Callable[[int], None]
) -> None:
    videos = sorted(video_set.rglob("*.mp4"))[:5]
    flags = ("--model", trained, "--workers", 0, "--batch-size", 2)
    full_after(2)
    outcome = m2a("predict", *videos, *flags, "--json")
    assert outcome.code == 1
    assert outcome.message.endswith(f"{TOLD}, or add --bf16.")
    assert [answer["path"] for answer in json.loads(outcome.out)] == [str(video) for video in videos[:4]]
    nothing = m2a("predict", *videos, *flags, "--json")
    assert (nothing.code, nothing.out) == (1, "")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
                "to allocate 2483027968 bytes. Error code 12 (Cannot allocate memory)"
            ),
            "(can't allocate memory: you tried to allocate 2483027968 bytes. Error code 12 (Cannot allocate memory))",
        ),
        (MemoryError(), "for this. Make"),
    ],
)
def test_a_processor_has_too_little(
    error: Exception, told: str, m2a: Command, trained: Path, video_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(VideoClassifier, "forward", full)
    outcome = m2a("predict", next(video_set.rglob("*.mp4")), "--model", trained)
    assert (outcome.code, outcome.out) == (1, "")
    assert "error: This machine has too little memory for this" in outcome.message
    assert told in outcome.message
    assert outcome.message.endswith("Make --batch-size smaller, or add --bf16.")


def test_predicting_on_a_processor_shows_what_was_predicted(
    m2a: Command, trained: Path, video_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, left = VideoClassifier.forward, iter(range(1))

    def full(model: VideoClassifier, *args: Any, **options: Any) -> Any:
        if next(left, None) is None:
            raise MemoryError
        return forward(model, *args, **options)

    monkeypatch.setattr(VideoClassifier, "forward", full)
    videos = sorted(video_set.rglob("*.mp4"))[:2]
    outcome = m2a("predict", *videos, "--model", trained, "--workers", 0, "--batch-size", 1, "--json")
    assert outcome.code == 1
    assert [answer["path"] for answer in json.loads(outcome.out)] == [str(videos[0])]


def test_other_errors_of_torch_are_not_hidden(
    m2a: Command, trained: Path, video_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("of another kind")

    monkeypatch.setattr(VideoClassifier, "forward", broken)
    with pytest.raises(RuntimeError, match="of another kind"):
        m2a("predict", next(video_set.rglob("*.mp4")), "--model", trained)

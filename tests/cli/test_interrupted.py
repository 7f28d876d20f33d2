"""Ctrl-C and SIGTERM during m2a train: the exit code of each, and what is said to go on."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command import Outcome, tiny
from rich.console import Console

from m2a.data import read_clips
from m2a.errors import Terminated
from m2a.training import TrainConfig, fit
from m2a.training.task import ClassificationTask

Command = Callable[..., Outcome]


@contextmanager
def signalled_in(epoch: int, number: signal.Signals) -> Iterator[None]:
    """A signal in the second step of an epoch, which is counted from 0."""
    step = ClassificationTask.training_step

    def training_step(task: ClassificationTask, batch: Any, index: int) -> Any:
        if (task.current_epoch, index) == (epoch, 1):
            signal.raise_signal(number)
        return step(task, batch, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClassificationTask, "training_step", training_step)
        yield


@contextmanager
def interrupted_in(epoch: int) -> Iterator[None]:
    """Ctrl-C in the second step of an epoch."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C
    try:
        with signalled_in(epoch, signal.SIGINT):
            yield
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a second Ctrl-C is heard too
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_run_that_is_interrupted(m2a: Command, video_set: Path, tmp_path: Path) -> None:
    command = ("train", "--data", video_set, "--out", tmp_path / "run", *tiny(epochs=2))
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    with interrupted_in(0):
        early = m2a(*command)
    assert early.code == 130
    assert (
        f"error: Interrupted. No epoch of the run in {tmp_path / 'run'} was complete; resumed, it starts again. Go on"
        in early.message
    )
    with interrupted_in(1):
        late = m2a(*command, "--resume")
    assert late.code == 130
    assert (
        f"error: Interrupted. {last} has the last complete epoch; resumed with --epochs 1 the run ends there, with the "
        "best model so far. Go on with: m2a train --resume --config" in late.message
    )


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (Terminated(), 143)])
def test_a_trained_model_that_is_measured(
    error: BaseException, code: int, m2a: Command, video_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("m2a.workflows.run.evaluate", ended)
    outcome = m2a("train", "--data", video_set, "--out", tmp_path / "run", *tiny(epochs=1))
    assert outcome.code == code
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert f"{last} has the last complete epoch. Go on with: m2a train --resume --config" in outcome.message


def test_from_python_it_is_a_keyboard_interrupt(video_set: Path, tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"size": 32, "num_frames": 3, "batch_size": 4, "workers": 0, "device": "cpu"}
    config = TrainConfig(
        data=video_set, out=tmp_path / "run", backbone="resnet10t", pretrained="none", epochs=1, **sizes
    )
    with interrupted_in(0), pytest.raises(KeyboardInterrupt, match=r"No epoch .* resumed, it starts again\."):
        fit(config, read_clips(video_set), console=Console(quiet=True))


def test_a_run_that_is_asked_to_end(m2a: Command, video_set: Path, tmp_path: Path) -> None:
    """In its first epoch, and in its second."""
    command = ("train", "--data", video_set, "--out", tmp_path / "run", *tiny(epochs=2))
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    with signalled_in(0, signal.SIGTERM):
        early = m2a(*command)
    assert early.code == 143
    assert f"error: Asked to end (SIGTERM). No epoch of the run in {tmp_path / 'run'} was complete; " in early.message
    with signalled_in(1, signal.SIGTERM):
        late = m2a(*command, "--resume")
    assert late.code == 143
    assert (
        f"error: Asked to end (SIGTERM). {last} has the last complete epoch; resumed with --epochs 1 the run ends "
        "there, with the best model so far. Go on with: m2a train --resume" in late.message
    )


def test_training_that_is_measured_is_asked_to_end(m2a: Command, video_set: Path) -> None:
    sizes = ("--size", 32, "--num-frames", 3, "--batch-size", 2, "--repeats", 1, "--workers", 0, "--threads", 1)
    with signalled_in(0, signal.SIGTERM):
        outcome = m2a("bench", "end-to-end", video_set, "--job", "train", "--backbone", "resnet10t", *sizes)
    assert (outcome.code, outcome.message) == (143, "error: Asked to end (SIGTERM).")


def test_from_python_to_be_asked_to_end_is_an_exit_with_143(video_set: Path, tmp_path: Path) -> None:
    """Where it comes too late for Lightning to look: in the last step's end."""
    sizes: dict[str, Any] = {"size": 32, "num_frames": 3, "batch_size": 4, "workers": 0, "device": "cpu"}
    config = TrainConfig(
        data=video_set, out=tmp_path / "run", backbone="resnet10t", pretrained="none", epochs=1, **sizes
    )

    def on_train_end(_: ClassificationTask) -> None:
        signal.raise_signal(signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClassificationTask, "on_train_end", on_train_end)
        with pytest.raises(
            Terminated, match=r"last\.ckpt has the last complete epoch\. Go on with: .* --resume"
        ) as end:
            fit(config, read_clips(video_set), console=Console(quiet=True))
    assert end.value.code == 143

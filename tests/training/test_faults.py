"""What goes wrong with data during a run: broken clips are named once, and what ends a run says why."""

from __future__ import annotations

import io
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tiny_runs
import torch
from rich.console import Console

from m2a.data import ClipSet, dataset, read_clips
from m2a.data.synthetic import synthesize
from m2a.errors import DataError, DivergedError
from m2a.evaluation import evaluate
from m2a.models import create_model
from m2a.training import TrainConfig, fit
from m2a.training.callbacks import StopWhenDiverged
from m2a.training.task import ClassificationTask


def options(root: Path, folder: Path, **changes: Any) -> TrainConfig:
    """Read by processes of their own."""
    return tiny_runs.options(root, folder, **({"workers": 2} | changes))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """41 mp4 files to train on, 4 to validate on."""
    folder = tmp_path / "set"
    synthesize(
        folder, layout="class-folders", classes=2, num_train=41, num_validation=4, size=24, num_frames=5, workers=1,
        progress=False,
    )  # fmt: skip
    return folder


def test_one_in_twenty_is_broken(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of 41: cut off, and no video at all. Every epoch has the 39 others, each once."""
    clips = read_clips(root)
    first, second = (clips.split("train")[index].path for index in (3, 30))
    first.write_bytes(first.read_bytes()[: first.stat().st_size * 6 // 10])
    second.write_text("no video")
    seen: list[list[int]] = []
    step = ClassificationTask.training_step

    def noting(task: ClassificationTask, batch: Any, index: int) -> Any:
        if index == 0:
            seen.append([])
        seen[-1] += batch.indices.tolist()
        return step(task, batch, index)

    monkeypatch.setattr(ClassificationTask, "training_step", noting)
    out = io.StringIO()
    result = fit(options(root, tmp_path / "run"), clips, console=Console(file=out, width=1000))
    good = [index for index in range(41) if index not in (3, 30)]
    assert [sorted(epoch) for epoch in seen] == [good, good]
    assert set(result.skipped) == {first, second}
    named = Counter(path for path in (first, second) for line in out.getvalue().splitlines() if str(path) in line)
    assert named == {first: 1, second: 1}
    assert "2 clips could not be decoded, left out of training:" in out.getvalue()


def test_no_training_clip_can_be_read(root: Path, tmp_path: Path) -> None:
    """Nothing was learnt, and nothing says so: neither a model nor a checkpoint is left."""
    clips = read_clips(root)
    for clip in clips.split("train"):
        clip.path.write_text("no video")
    with pytest.raises(DataError, match=r"Not one training clip can be decoded.* One is .*\.mp4: .*m2a data check"):
        fit(options(root, tmp_path / "run", workers=0), clips, console=Console(file=io.StringIO()))
    assert list((tmp_path / "run").rglob("*.ckpt")) == []


def test_a_clip_that_is_deleted_during_the_run(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = read_clips(root)
    gone = clips.split("train")[5].path
    monkeypatch.setattr(ClassificationTask, "on_train_epoch_end", lambda _: gone.unlink(missing_ok=True))
    result = fit(options(root, tmp_path / "run"), clips, console=Console(file=io.StringIO()))
    assert result.skipped == {gone: "there is no such file or folder"}


def killing(clips: ClipSet, split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second clip of a split kills the process that reads it, as a crash in a decoder or a lack of memory would."""
    fatal, read = clips.split(split)[1].path, dataset.read_clip

    def read_or_die(path: Any, *arguments: Any, **changes: Any) -> Any:
        if path == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(path, *arguments, **changes)

    monkeypatch.setattr(dataset, "read_clip", read_or_die)  # workers are forked, and inherit it


def test_a_decoding_process_that_dies(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = read_clips(root)
    killing(clips, "train", monkeypatch)
    with pytest.raises(DataError, match=r"A decoding process died: DataLoader worker .* use fewer --workers"):
        fit(options(root, tmp_path / "run"), clips, console=Console(file=io.StringIO()))


def test_a_decoding_process_that_dies_in_evaluation(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = read_clips(root)
    killing(clips, "validation", monkeypatch)
    model = create_model("resnet10t", num_classes=2, labels=clips.labels, size=32, num_frames=3)
    with pytest.raises(DataError, match=r"A decoding process died"):
        evaluate(model, clips.split("validation"), workers=1, device="cpu", batch_size=2)


@pytest.mark.parametrize(("epoch", "kept"), [(1, False), (2, True)])
def test_weights_that_are_lost(
    epoch: int, kept: bool, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One loss is infinite: the run ends and says so, and the checkpoint of the epoch before stays as it was."""
    step = ClassificationTask.training_step

    def infinite(task: ClassificationTask, batch: Any, index: int) -> Any:
        loss = step(task, batch, index)
        return loss * torch.inf if (task.current_epoch + 1, index) == (epoch, 1) else loss

    monkeypatch.setattr(ClassificationTask, "training_step", infinite)
    folder = tmp_path / "run"
    with pytest.raises(DivergedError) as end:
        fit(options(root, folder, workers=0), read_clips(root), console=Console(file=io.StringIO()))
    message = str(end.value)
    assert f"in epoch {epoch}, after {14 * epoch} steps" in message
    assert "weights are nan or infinite, the first of them backbone.conv1.0.weight" in message
    assert message.count("try a lower --lr") == 1
    last = folder / "checkpoints" / "last.ckpt"
    assert (f"{last} has the weights of the epoch before; --resume goes on from it." in message) is kept
    assert last.is_file() is kept
    if kept:
        weights = torch.load(last, weights_only=False)["state_dict"]
        assert all(bool(tensor.isfinite().all()) for tensor in weights.values())


def test_weights_that_are_lost_are_seen_within_an_epoch(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StopWhenDiverged, "EVERY", 5)
    config = options(root, tmp_path / "run", workers=0, lr=1e30, precision="bf16-mixed")
    with pytest.raises(DivergedError, match=r"in epoch 1, after 5 steps, .*lr 1e\+30.* or --precision 32\.$"):
        fit(config, read_clips(root), console=Console(file=io.StringIO()))

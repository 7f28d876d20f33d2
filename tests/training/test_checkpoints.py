"""A run's checkpoints: written whole or not at all, and looked at before a run goes on from them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_runs import assert_same_end, last, options, silent

from full_disk import files_of_at_most
from m2a.data import ClipSet, read_clips
from m2a.data.synthetic import synthesize
from m2a.errors import CheckpointError
from m2a.training import fit
from m2a.training.checkpoints import BestCheckpoint, WholeCheckpoints, read_checkpoint


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    root = tmp_path_factory.mktemp("set") / "frames"
    synthesize(root, classes=2, num_train=4, num_validation=2, size=24, num_frames=5, workers=1, progress=False)
    return read_clips(root)


@pytest.fixture(scope="module")
def run(clips: ClipSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One epoch."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    fit(options(clips, folder, epochs=1), clips, console=silent())
    return folder


def test_a_full_disk_leaves_the_checkpoint_before(
    clips: ClipSet, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing goes through the temporary folder, which may be on another disk."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no temporary folder"))
    shutil.copytree(run, tmp_path / "whole")
    shutil.copytree(run, tmp_path / "run")
    fit(options(clips, tmp_path / "whole", resume=True), clips, console=silent())
    size = (run / "checkpoints" / "last.ckpt").stat().st_size
    with files_of_at_most(size // 2), pytest.raises(OSError, match="File too large"):
        fit(options(clips, tmp_path / "run", resume=True), clips, console=silent())
    assert {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert last(tmp_path / "run")["epoch"] == 0
    fit(options(clips, tmp_path / "run", resume=True), clips, console=silent())
    assert_same_end(tmp_path / "whole", tmp_path / "run")


def test_a_checkpoint_that_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is on its way to the disk."""
    path, disk = tmp_path / "new" / "last.ckpt", WholeCheckpoints()
    disk.save_checkpoint({"epoch": 0, "state_dict": {}, "m2a_data": {}}, path)

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("m2a.writing.os.fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            disk.save_checkpoint({"epoch": 1, "state_dict": {}, "m2a_data": {}}, path)
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]
    assert read_checkpoint(path)["epoch"] == 0


def test_a_run_that_was_killed_while_it_wrote_its_first_checkpoint_starts_again(clips: ClipSet, tmp_path: Path) -> None:
    fit(options(clips, tmp_path / "run", epochs=1), clips, console=silent())
    for name in ("best.ckpt", "last.ckpt"):
        (tmp_path / "run" / "checkpoints" / name).unlink()
    (tmp_path / "run" / "checkpoints" / "best.ckpt.0123abcd.part").write_bytes(b"half")
    fit(options(clips, tmp_path / "run", epochs=1, resume=True), clips, console=silent())
    assert {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


@pytest.mark.parametrize("name", ["best.ckpt", "last.ckpt"])
def test_going_on_from_a_checkpoint_that_cannot_be_read(clips: ClipSet, run: Path, tmp_path: Path, name: str) -> None:
    """Found before training, not after the last epoch."""
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    config = options(clips, tmp_path / "run", resume=True)
    with pytest.raises(CheckpointError, match=rf"{name} cannot be read; it is damaged or cut off .* Put a sound copy"):
        fit(config, clips, console=silent())
    torch.save({"weights": torch.zeros(1)}, path)
    with pytest.raises(
        CheckpointError, match=r"it is no checkpoint of a run: it has no state_dict and no epoch and no m2a_data"
    ):
        fit(config, clips, console=silent())
    assert last(run)["epoch"] == 0


def test_of_epochs_with_the_same_top1_the_one_with_the_lower_loss_is_best(tmp_path: Path) -> None:
    def trainer(loss: float) -> Any:
        metrics = {"val_loss": torch.tensor(loss)}
        return SimpleNamespace(callback_metrics=metrics, strategy=SimpleNamespace(reduce_boolean_decision=bool))

    best, kept = BestCheckpoint(dirpath=tmp_path, filename="best"), []
    epochs = [(0.5, 2.0), (0.5, 3.0), (0.5, 1.5), (0.4, 0.1), (0.5, 1.7), (0.6, 4.0), (0.6, float("nan"))]
    for epoch, (top1, loss) in enumerate(epochs):
        if best.check_monitor_top_k(trainer(loss), torch.tensor(top1)):
            kept.append(epoch)
            best.best_k_models = {"best": torch.tensor(top1)}
            best.kth_best_model_path, best.best_model_score = "best", torch.tensor(top1)
    assert kept == [0, 2, 5]
    again = BestCheckpoint(dirpath=tmp_path, filename="best")
    again.load_state_dict(best.state_dict())
    assert again.lowest_loss == 4.0

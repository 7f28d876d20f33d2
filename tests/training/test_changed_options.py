"""Going on with other options, or ending early: what is said, and what is kept."""

from __future__ import annotations

import errno
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from tiny_runs import killed_in, last, metrics, options, silent

from m2a.data import ClipSet, read_clips
from m2a.data.batch import Batch
from m2a.data.synthetic import synthesize
from m2a.errors import CheckpointError, DivergedError, NotFoundError
from m2a.models import create_model, load
from m2a.reporting import Run, over_seeds
from m2a.training import TrainConfig, fit
from m2a.training.checkpoints import WholeCheckpoints
from m2a.training.fitting import _balanced
from m2a.training.resuming import drops_last, how_to_go_on, steps_of_an_epoch
from m2a.training.task import ClassificationTask
from m2a.workflows import evaluate_run, train


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    root = tmp_path_factory.mktemp("data") / "frames"
    synthesize(root, num_train=7, num_validation=4, size=24, num_frames=5, classes=2, workers=1, progress=False)
    return read_clips(root)


def test_options_that_are_others_from_here_on_are_said_and_the_old_ones_kept(clips: ClipSet, tmp_path: Path) -> None:
    run, out = tmp_path / "run", io.StringIO()
    first = options(clips, run, epochs=1, mixup=0.5, flip=True)
    fit(first, clips, console=silent())
    told = Console(file=out, width=1000)
    fit(options(clips, run, epochs=2, lr=5e-4, workers=1, resume=True), clips, console=told)
    line = next(line for line in out.getvalue().splitlines() if line.startswith("from epoch 2 on"))
    assert "lr is 0.0005 and was 0.001, flip is False and was True, mixup is 0.0 and was 0.5;" in line
    kept = run / "config-until-epoch-1.yaml"
    assert line.endswith(f"{kept} keeps the options of before")
    assert TrainConfig.load(kept) == first
    assert TrainConfig.load(run / "config.yaml").mixup == 0
    assert [row["train_top1"] == "" for row in metrics(run)] == [True, False]  # mixed clips have no one label

    out.truncate(0)
    fit(options(clips, run, epochs=3, lr=5e-4, resume=True), clips, console=told)
    assert "from epoch" not in out.getvalue()
    assert sorted(path.name for path in run.glob("config*")) == ["config-until-epoch-1.yaml", "config.yaml"]


def test_a_run_may_end_before_its_schedule_does(clips: ClipSet, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = options(clips, run, schedule="one-cycle", epochs=4)
    with killed_in(2, step=0):
        fit(config, clips, console=silent())
    told = how_to_go_on(run)
    assert "last.ckpt has the last complete epoch; resumed with --epochs 2 the run ends there, with the best" in told
    with pytest.raises(NotFoundError, match=r"it did not finish\. .* resumed with --epochs 2 the run ends there"):
        evaluate_run(run, console=silent())
    with pytest.raises(CheckpointError, match=r"was trained with epochs = 4, and --resume was asked with 3\."):
        fit(replace(config, epochs=3, resume=True), clips, console=silent())
    result = train(replace(config, epochs=2, resume=True), console=silent())
    assert load(run / "model").labels == clips.labels
    assert (len(metrics(run)), result.evaluation.top1) == (2, json.loads((run / "evaluation.json").read_text())["top1"])

    fit(replace(config, resume=True), clips, console=silent())  # config.yaml has the four epochs still
    assert len(metrics(run)) == TrainConfig.load(run / "config.yaml").epochs == 4
    assert "resumed with --epochs" not in how_to_go_on(run)


def test_a_run_that_ended_early_is_no_seed_of_a_whole_one(clips: ClipSet, tmp_path: Path) -> None:
    whole, short = (options(clips, tmp_path / name, schedule="one-cycle", seed=seed) for seed, name in enumerate("ab"))
    train(whole, console=silent())
    with killed_in(1, step=0):
        fit(short, clips, console=silent())
    train(replace(short, epochs=1, resume=True), console=silent())
    assert Run.load(tmp_path / "b").config["epochs"] == "1 of 2"
    assert [list(one.runs) for one in over_seeds([tmp_path / "a", tmp_path / "b"])] == [[0], [1]]


class Code:
    """Runs when it is unpickled."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def test_a_strangers_checkpoint_runs_no_code(clips: ClipSet, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with killed_in(1, step=0):
        fit(options(clips, run), clips, console=silent())
    torch.save(last(run) | {"more": Code(tmp_path / "ran")}, run / "checkpoints" / "last.ckpt")
    with pytest.raises(
        NotFoundError, match=r"it did not finish\. .*last\.ckpt has the last complete epoch\. Go on with"
    ):
        evaluate_run(run, console=silent())
    with pytest.raises(CheckpointError, match="cannot be read; it is damaged or cut off"):
        fit(options(clips, run, resume=True), clips, console=silent())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_the_best_epoch_of_balanced_classes_is_best_in_their_mean(
    clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    """Three of four clips are a: to call all of them so is 75% and a mean of 50; the second epoch has 50 and 66.7."""
    a, b = ([clip for clip in clips.split("validation") if clip.label == label] for label in clips.labels)
    few = replace(clips, splits={**clips.splits, "validation": tuple((a * 3)[:3] + b[:1])})
    first = torch.tensor([[1.0, 0.0]] * 4)
    second = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])

    def forward(task: ClassificationTask, batch: Batch) -> torch.Tensor:
        return (second if task.current_epoch else first)[batch.indices]

    monkeypatch.setattr(ClassificationTask, "forward", forward)
    config = options(clips, tmp_path / "run", class_weights=weights, batch_size=4)
    assert fit(config, few, console=silent()).best_epoch == (2 if weights == "balanced" else 1)
    found = [float(row["val_mean_class"]) for row in metrics(tmp_path / "run")]
    assert found == pytest.approx([50, 200 / 3], abs=1e-4)


def test_clips_that_were_left_out_of_training_are_in_the_runs_folder(clips: ClipSet, tmp_path: Path) -> None:
    """In its evaluation and on its page, also when the run goes on and they are not met any more."""
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(clips.root, data)
    broken = read_clips(data).split("train")[0].path
    for frame in broken.iterdir():
        frame.write_bytes(b"not a jpeg")
    result = train(options(data, run, epochs=1), console=silent())
    assert result.num_skipped_training == 1
    (left,) = json.loads((run / "evaluation.json").read_text())["skipped_training"]
    assert left["path"] == str(broken)
    assert "Trained on 6 of 7 clips" in (run / "report.html").read_text()
    shutil.move(data, tmp_path / "elsewhere")
    (tmp_path / "data").symlink_to(tmp_path / "elsewhere")
    again = train(options(tmp_path / "elsewhere", run, epochs=2, resume=True), console=silent())
    assert again.num_skipped_training == 1
    (left,) = json.loads((run / "evaluation.json").read_text())["skipped_training"]
    assert left["path"] == str(tmp_path / "elsewhere" / broken.relative_to(data))
    (tmp_path / "data").unlink()
    shutil.move(tmp_path / "elsewhere", tmp_path / "third")
    assert train(options(tmp_path / "third", run, epochs=2, resume=True), console=silent()).num_skipped_training == 0


def test_a_full_disk_says_what_to_do_about_the_run(
    clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = WholeCheckpoints.save_checkpoint

    def full(self: WholeCheckpoints, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if checkpoint["epoch"] > 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, checkpoint, path, storage_options)

    monkeypatch.setattr(WholeCheckpoints, "save_checkpoint", full)
    with pytest.raises(OSError, match="No space left on device") as end:
        fit(options(clips, tmp_path / "run", epochs=3), clips, console=silent())
    (note,) = end.value.__notes__
    assert note.startswith(f"Make room where {tmp_path / 'run'} is. ")
    assert "resumed with --epochs 1 the run ends there" in note


def test_steps_where_a_last_clip_is_left_out() -> None:
    config = TrainConfig(data=Path("clips"), batch_size=8, accumulate=2, inflate=True)
    assert [drops_last(config, number) for number in (1, 32, 33, 34)] == [False, False, True, False]
    assert [steps_of_an_epoch(config, number) for number in (1, 32, 33, 34, 49)] == [1, 2, 2, 3, 3]
    assert steps_of_an_epoch(replace(config, inflate=False), 33) == 3


@pytest.mark.parametrize("mixed", [False, True])
def test_balanced_classes_count_alike(clips: ClipSet, mixed: bool) -> None:
    few = tuple(clip for clip in clips.split("train") if clip.label == clips.labels[0])[:1]
    others = tuple(clip for clip in clips.split("train") if clip.label != clips.labels[0])
    uneven = replace(clips, splits={**clips.splits, "train": few + others})
    weights, n = _balanced(uneven), len(others) + 1
    numbers = torch.tensor([sum(clip.label == label for clip in uneven.split("train")) for label in clips.labels])
    torch.testing.assert_close(weights * numbers, torch.full((len(numbers),), n / len(numbers)))

    model = create_model("resnet10t", num_classes=3, num_frames=2, size=32)
    weights = torch.tensor([3.0, 0.5, 1.0])
    task = ClassificationTask(model, TrainConfig(data=Path("clips"), label_smoothing=0.1), weights)
    assert "class_weights" not in task.state_dict()
    scores, targets = torch.randn(5, 3), torch.tensor([0, 1, 1, 2, 0])
    shares = F.one_hot(targets, 3).float()
    if mixed:
        shares = 0.7 * shares + 0.3 * shares.flip(0)
    wanted = -(weights * (0.9 * shares + 0.1 / 3) * scores.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(task._loss(scores, shares if mixed else targets), wanted)


def test_losses_that_are_all_nan_end_a_run_whose_weights_stay(
    clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a scaled loss takes no step."""
    step = ClassificationTask.training_step

    def nothing(task: ClassificationTask, batch: Batch, index: int) -> Any:
        loss = step(task, batch, index)
        assert loss is not None
        return loss * 0 + float("nan") if task.current_epoch == 1 else loss

    monkeypatch.setattr(ClassificationTask, "training_step", nothing)
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self, closure=None: closure())
    with pytest.raises(
        DivergedError, match=r"in epoch 2, the loss of each of its 3 batches is nan or infinite\. It was"
    ):
        fit(options(clips, tmp_path / "run", epochs=3), clips, console=silent())

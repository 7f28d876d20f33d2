"""Training on a few real clips: what a run's folder holds, going on with a run, and clips that cannot be read."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities import rank_zero
from rich.console import Console
from tiny_runs import assert_same_end, image_weights, killed_in, last, metrics, options, silent

from m2a.data import ClipFile, ClipSet, read_clips
from m2a.data.synthetic import synthesize
from m2a.errors import CheckpointError, ConfigError, DataError, NotFoundError, WeightsUnavailableError
from m2a.evaluation import Evaluation, evaluate
from m2a.models import create_model, load
from m2a.training import TrainConfig, fit
from m2a.training.task import ClassificationTask
from m2a.workflows.run import train

Run = Callable[..., Path]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> ClipSet:
    """7 clips to train on and 4 to validate on, of 2 classes."""
    root = tmp_path_factory.mktemp("set") / "frames"
    synthesize(root, classes=2, num_train=7, num_validation=4, size=24, num_frames=5, workers=1, progress=False)
    return read_clips(root)


@pytest.fixture(scope="module")
def run(clips: ClipSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs in one go."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    fit(options(clips, folder), clips, console=silent())
    return folder


def test_what_a_run_writes(clips: ClipSet, run: Path) -> None:
    assert {path.name for path in run.iterdir()} == {
        ".lock",
        "config.yaml",
        "checkpoints",
        "metrics.csv",
        "tensorboard",
    }
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert TrainConfig.load(run / "config.yaml") == options(clips, run)
    rows = metrics(run)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert list(rows[0]) == [
        "epoch",
        "train_loss",
        "train_top1",
        "val_loss",
        "val_top1",
        "val_top5",
        "val_mean_class",
        "lr",
    ]
    assert all(0 < float(row["train_loss"]) < 10 for row in rows)
    assert all(0 <= float(row["val_top1"]) <= 100 for row in rows)
    shares = [7 * float(row["train_top1"]) / 100 for row in rows]  # of seven clips
    assert shares == pytest.approx([round(share) for share in shares], abs=0.01)
    assert {row["val_top5"] for row in rows} == {"100.0"}  # of 2 classes
    assert {row["lr"] for row in rows} == {"0.001"}
    assert last(run)["global_step"] == 2 * 3  # three batches of 7 clips, 3 at a time


@pytest.mark.parametrize(
    ("batch_size", "accumulate"),
    [(7, 1), (7, 4), (1, 7), (1, 8)],
    ids=["one batch", "one of four", "seven", "seven of eight"],
)
def test_gradients_are_averaged_whatever_their_number(
    batch_size: int, accumulate: int, clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only step of an epoch of 7 clips, by batches that are one group, fill it, or are fewer than it takes."""
    norms = []
    step = ClassificationTask.configure_gradient_clipping

    def noting(task: ClassificationTask, *values: Any, **named: Any) -> None:
        norms.append(task.model.head.bias.grad.clone())
        step(task, *values, **named)

    def without_noise(task: ClassificationTask, batch: Any, index: int) -> Any:
        task.eval()  # nothing of a batch in another: no batch norm, no dropout
        return train_on(task, batch, index)

    train_on = ClassificationTask.training_step
    monkeypatch.setattr(ClassificationTask, "configure_gradient_clipping", noting)
    monkeypatch.setattr(ClassificationTask, "training_step", without_noise)
    given: dict[str, Any] = {"epochs": 1, "scales": (1.0,), "dropout": 0.0}
    fit(options(clips, tmp_path / "whole", batch_size=7, **given), clips, console=silent())
    fit(
        options(clips, tmp_path / "parts", batch_size=batch_size, accumulate=accumulate, **given),
        clips,
        console=silent(),
    )
    assert len(norms) == 2
    assert norms[0].norm() > 0
    torch.testing.assert_close(norms[1], norms[0], rtol=1e-3, atol=1e-6)


def test_what_it_gives_back_is_the_best_epochs_model(clips: ClipSet, tmp_path: Path) -> None:
    out = io.StringIO()
    result = fit(options(clips, tmp_path / "run"), clips, console=Console(file=out, width=1000))
    rows = metrics(tmp_path / "run")
    best = max(float(row["val_top1"]) for row in rows)
    assert float(rows[result.best_epoch - 1]["val_top1"]) == best
    assert max(len(row["val_loss"].partition(".")[2]) for row in rows) > 4, (
        "epochs that are nearly alike are told apart"
    )
    assert not result.model.training
    assert result.skipped == {}
    assert result.model.labels == clips.labels
    got = evaluate(result.model, clips.split("validation"), device="cpu", batch_size=3)
    assert got.top1 == pytest.approx(best, abs=0.01)
    lines = out.getvalue().splitlines()
    assert [line.split()[:2] for line in lines] == [["epoch", "1/2"], ["epoch", "2/2"]]
    assert (
        f"train loss {rows[0]['train_loss']}  val loss {round(float(rows[0]['val_loss']), 4)}  "
        f"top-1 {round(float(rows[0]['val_top1']), 2)}%" in lines[0]
    )


def test_the_same_seed_gives_the_same_run(clips: ClipSet, run: Path, tmp_path: Path) -> None:
    fit(options(clips, tmp_path / "again"), clips, console=silent())
    assert_same_end(run, tmp_path / "again")
    fit(options(clips, tmp_path / "other", seed=1), clips, console=silent())
    assert metrics(tmp_path / "other") != metrics(run)


def test_going_on_equals_one_go(clips: ClipSet, run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fit(options(clips, folder, epochs=1), clips, console=silent())
    assert len(metrics(folder)) == 1
    fit(options(clips, folder, resume=True), clips, console=silent())
    assert_same_end(run, folder)
    assert TrainConfig.load(folder / "config.yaml") == options(clips, folder)  # ready to be resumed or repeated


def test_going_on_with_a_worker_that_reads_ahead(clips: ClipSet, run: Path, tmp_path: Path) -> None:
    """It begins before Lightning tells it the epoch, with the order of clips of that epoch all the same."""
    folder = tmp_path / "run"
    fit(options(clips, folder, epochs=1), clips, console=silent())
    fit(options(clips, folder, resume=True, workers=1), clips, console=silent())
    assert_same_end(run, folder)


def test_going_on_in_a_folder_that_was_moved(clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best model stays the best, of a run that is finished and of one that goes on and gets worse."""
    worse = {0: 0.75, 1: 0.5, 2: 0.25}
    log = ClassificationTask.log_dict

    def log_worse(task: ClassificationTask, values: Any, **options: Any) -> None:
        log(task, values | {"val_top1": torch.tensor(worse[task.current_epoch])}, **options)

    monkeypatch.setattr(ClassificationTask, "log_dict", log_worse)
    fit(options(clips, tmp_path / "run"), clips, console=silent())
    moved = tmp_path / "moved"
    (tmp_path / "run").rename(moved)
    assert fit(options(clips, moved, resume=True), clips, console=silent()).best_epoch == 1
    assert fit(options(clips, moved, epochs=3, resume=True), clips, console=silent()).best_epoch == 1
    assert [row["val_top1"] for row in metrics(moved)] == ["75.0", "50.0", "25.0"]
    assert not (tmp_path / "run").exists()
    (moved / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(NotFoundError, match=r"last\.ckpt cannot be resumed without .*best\.ckpt, the best"):
        fit(options(clips, moved, epochs=4, resume=True), clips, console=silent())


def rates(folder: Path) -> dict[str, dict[str, float]]:
    """What the options have set in each group of the optimiser, at the end."""
    names = ("lr", "initial_lr", "max_lr", "min_lr", "momentum", "weight_decay")
    groups = last(folder)["optimizer_states"][0]["param_groups"]
    return {group["name"]: {name: group[name] for name in names if name in group} for group in groups}


@pytest.mark.parametrize("schedule", ["constant", "step", "one-cycle"])
def test_going_on_with_another_learning_rate(clips: ClipSet, tmp_path: Path, schedule: str) -> None:
    """And other multiples, weight decay, momentum and milestones: as in a run that had them from the start."""
    before: dict[str, Any] = {"optimizer": "sgd", "schedule": schedule, "milestones": (1,)}
    after = {"lr": 2e-4, "lr_head": 3.0, "weight_decay": 0.3, "momentum": 0.5, "milestones": (3,)}
    with killed_in(1):
        fit(options(clips, tmp_path / "run", **before), clips, console=silent())
    was = rates(tmp_path / "run")
    fit(options(clips, tmp_path / "run", resume=True, **(before | after)), clips, console=silent())
    fit(options(clips, tmp_path / "whole", **(before | after)), clips, console=silent())
    got, wanted = rates(tmp_path / "run"), rates(tmp_path / "whole")
    for name, group in wanted.items():
        assert got[name] == pytest.approx(group)
        assert all(group[key] != was[name][key] for key in ("lr", "momentum"))


def renamed(clips: ClipSet, names: dict[str, str]) -> ClipSet:
    splits = {
        split: tuple(replace(clip, label=names[clip.label]) for clip in members)
        for split, members in clips.splits.items()
    }
    return replace(clips, labels=tuple(sorted(names.values())), splits=splits)


def test_going_on_with_other_data_or_fewer_epochs_is_refused(clips: ClipSet, run: Path) -> None:
    first, second = clips.labels
    exchanged = renamed(clips, {first: "zz", second: "aa"})
    before = metrics(run), (run / "config.yaml").read_bytes()
    for other, message in [
        (
            replace(clips, labels=(*clips.labels, "zz")),
            r"was trained on 2 classes, and .*frames has 3\. Resume with the",
        ),
        (exchanged, rf"the same in another order: class 0 was '{first}' and is 'aa'\. Resume with the classes as they"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            fit(options(clips, run, epochs=3, lr=1e-4, resume=True), other, console=silent())
    with pytest.raises(CheckpointError, match=r"has 2 epochs behind it, and epochs is 1\. Resume with more\."):
        fit(options(clips, run, epochs=1, lr=1e-4, resume=True), clips, console=silent())
    assert (metrics(run), (run / "config.yaml").read_bytes()) == before


def test_going_on_with_a_number_of_clips_that_changes_a_one_cycle_schedule(clips: ClipSet, tmp_path: Path) -> None:
    """More steps than were planned. A clip less, in as many steps, is no reason to stop, nor is it without a plan."""
    members = clips.split("train")
    few = replace(clips, splits={**clips.splits, "train": members[:3]})
    with killed_in(1, step=0):
        fit(options(clips, tmp_path / "run", schedule="one-cycle"), few, console=silent())
    with pytest.raises(CheckpointError, match=r"was trained on 3 clips, and .*frames has 7 now\. The steps of a one-"):
        fit(options(clips, tmp_path / "run", schedule="one-cycle", resume=True), clips, console=silent())
    fewer = replace(clips, splits={**clips.splits, "train": members[:2]})
    fit(options(clips, tmp_path / "run", schedule="one-cycle", resume=True), fewer, console=silent())
    assert len(metrics(tmp_path / "run")) == 2


def test_what_a_checkpoint_says_of_its_run(clips: ClipSet, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    saved = last(run)
    noted = saved.pop("m2a_data")
    assert (noted.pop("labels"), noted.pop("num_train")) == (list(clips.labels), 7)
    assert noted.pop("options") == options(clips, run).to_dict()
    assert noted.pop("clips")["size"] == 32
    assert noted.pop("sites") == {"where": None, "position": "before"}
    assert noted.pop("skipped") == {}
    assert {split: len(marks) for split, marks in noted.items()} == {"train": 7 * 8, "validation": 4 * 8}
    torch.save(saved, tmp_path / "run" / "checkpoints" / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"it is no checkpoint of a run: it has no m2a_data\. Put a sound copy"):
        fit(options(clips, tmp_path / "run", epochs=3, resume=True), clips, console=silent())


def swapped(clips: ClipSet) -> ClipSet:
    """What was learnt from is validated on."""
    return replace(clips, splits={"train": clips.split("validation"), "validation": clips.split("train")})


def test_going_on_with_clips_to_validate_on_that_were_learnt_from_is_refused(
    clips: ClipSet, run: Path, tmp_path: Path
) -> None:
    """By their names; and by what is in them, where the folders that are named after splits were swapped."""
    with pytest.raises(CheckpointError, match=r"trained on 7 of the 7 clips that would be validated on, the first of "):
        fit(options(clips, run, epochs=3, resume=True), swapped(clips), console=silent())
    sizes: dict[str, Any] = {"num_train": 3, "num_validation": 3, "size": 24, "num_frames": 5, "workers": 1}
    synthesize(tmp_path / "set", layout="class-folders", classes=2, progress=False, **sizes)
    own = read_clips(tmp_path / "set")
    fit(options(own, tmp_path / "run", epochs=1), own, console=silent())
    for name, new in (("train", "aside"), ("validation", "train"), ("aside", "validation")):
        (tmp_path / "set" / name).rename(tmp_path / "set" / new)
    with pytest.raises(CheckpointError, match=r"trained on 3 of the 3 .* first of them .*validation.* Resume with the"):
        fit(options(own, tmp_path / "run", resume=True), read_clips(tmp_path / "set"), console=silent())


def test_going_on_with_other_clips_to_validate_on_tells_the_best_epoch_anew(
    clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse = {0: 0.75, 1: 0.25}
    log = ClassificationTask.log_dict

    def log_worse(task: ClassificationTask, values: Any, **options: Any) -> None:
        log(task, values | {"val_top1": torch.tensor(worse[task.current_epoch])}, **options)

    monkeypatch.setattr(ClassificationTask, "log_dict", log_worse)
    few = replace(clips, splits={**clips.splits, "validation": clips.split("validation")[:3]})
    fit(options(clips, tmp_path / "run", epochs=1), few, console=silent())
    shutil.copytree(tmp_path / "run", tmp_path / "done")
    out = io.StringIO()
    result = fit(options(clips, tmp_path / "run", resume=True), clips, console=Console(file=out, width=1000))
    assert "was validated on other clips than now: which epoch is the best is told anew from here on" in out.getvalue()
    assert result.best_epoch == 2
    assert fit(options(clips, tmp_path / "done", epochs=1, resume=True), clips, console=silent()).best_epoch == 1


def test_going_on_from_a_damaged_checkpoint(clips: ClipSet, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"last\.ckpt cannot be read; it is damaged or cut off"):
        fit(options(clips, tmp_path / "run", epochs=3, resume=True), clips, console=silent())


@pytest.mark.parametrize(
    ("line", "edited"), [("mechanism: m2a\n", "mechanism: m2a-motion\n"), ("schedule: constant", "schedule: one-cycle")]
)
def test_the_runs_own_config_may_be_edited_and_is_no_way_round(
    line: str, edited: str, clips: ClipSet, run: Path, tmp_path: Path
) -> None:
    """`m2a train --config RUN/config.yaml --resume` reads the very file that the run left."""
    shutil.copytree(run, tmp_path / "run")
    own = tmp_path / "run" / "config.yaml"
    before = own.read_text(encoding="utf-8")
    assert before.count(line) == 1
    own.write_text(before.replace(line, edited), encoding="utf-8")
    with pytest.raises(CheckpointError, match=rf"last\.ckpt was trained with {line.split(':')[0]} = "):
        fit(TrainConfig.load(own, out=tmp_path / "run", epochs=3, resume=True), clips, console=silent())
    own.write_text(before.replace("lr: 0.001", "lr: 0.0005"), encoding="utf-8")  # what may change is taken from it
    fit(TrainConfig.load(own, out=tmp_path / "run", epochs=3, resume=True), clips, console=silent())
    assert [row["lr"] for row in metrics(tmp_path / "run")] == ["0.001", "0.001", "0.0005"]


@pytest.mark.parametrize("schedule", ["one-cycle", "step"])
def test_a_run_that_was_killed(clips: ClipSet, tmp_path: Path, schedule: str) -> None:
    """In the middle of its second epoch; the epoch is run again from its start."""
    changes: dict[str, Any] = {"schedule": schedule, "milestones": (1,), "flip": False}
    fit(options(clips, tmp_path / "whole", **changes), clips, console=silent())
    folder = tmp_path / "killed"
    with killed_in(1):
        fit(options(clips, folder, **changes), clips, console=silent())
    assert len(metrics(folder)) == 1
    fit(options(clips, folder, resume=True, **changes), clips, console=silent())
    assert_same_end(tmp_path / "whole", folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mechanism", "tsm"),
        ("num_frames", 5),
        ("size", 64),
        ("mechanism_options", {"boundary": "zero"}),
        ("decay_all", True),
        ("sampling", "dense"),
        ("seed", 7),
    ],
)
def test_going_on_with_another_model_is_refused(clips: ClipSet, run: Path, name: str, value: Any) -> None:
    before = metrics(run), (run / "config.yaml").read_bytes()
    with pytest.raises(
        CheckpointError, match=rf"last\.ckpt was trained with {name} = .*, and --resume was asked with "
    ):
        fit(options(clips, run, resume=True, **{name: value}), clips, console=silent())
    assert (metrics(run), (run / "config.yaml").read_bytes()) == before


def test_nothing_to_go_on_with(clips: ClipSet, tmp_path: Path) -> None:
    with pytest.raises(
        NotFoundError, match=r"There is nothing to resume: .*last\.ckpt does not exist\. Leave --resume out"
    ):
        fit(options(clips, tmp_path / "gone", resume=True), clips, console=silent())
    assert not (tmp_path / "gone").exists()


def test_a_folder_in_use_is_left_alone(clips: ClipSet, run: Path, tmp_path: Path) -> None:
    before = sorted(path.relative_to(run) for path in run.rglob("*"))
    with pytest.raises(
        ConfigError, match=r"The run's folder .*run is not empty; .* --out, or go on with .* --resume\."
    ):
        fit(options(clips, run), clips, console=silent())
    assert sorted(path.relative_to(run) for path in run.rglob("*")) == before
    (tmp_path / "file").write_text("text")
    for given in ("file", ""):
        with pytest.raises(ConfigError, match=r"The run's folder .* is not empty; .* Name a new one with --out\.$"):
            fit(options(clips, tmp_path / given), clips, console=silent())
    with pytest.raises(NotFoundError, match=r"There is nothing to resume: .* Name a new folder with --out to start"):
        fit(options(clips, tmp_path, resume=True), clips, console=silent())


def test_a_config_that_the_user_keeps_where_the_run_is_to_be(clips: ClipSet, tmp_path: Path) -> None:
    """It is neither taken for a run nor replaced; a start that failed has left empty curves beside it."""
    folder = tmp_path / "run"
    (folder / "tensorboard").mkdir(parents=True)
    (folder / "config.yaml").write_text("# my notes\nepochs: 2\n")
    with pytest.raises(ConfigError, match=r"has a config\.yaml that is of no run, .* Move it elsewhere and name"):
        fit(options(clips, folder), clips, console=silent())
    with pytest.raises(NotFoundError, match=r"nothing to resume: .* Move the config\.yaml that is there"):
        fit(options(clips, folder, resume=True), clips, console=silent())
    assert (folder / "config.yaml").read_text() == "# my notes\nepochs: 2\n"


def test_two_runs_that_are_started_together_do_not_share_a_folder(
    clips: ClipSet, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second finds the folder free, and is done before the first comes to its first step."""
    folder, make = tmp_path / "run", ClassificationTask.configure_optimizers

    def overtaken(task: ClassificationTask) -> Any:
        monkeypatch.setattr(ClassificationTask, "configure_optimizers", make)
        fit(options(clips, folder), clips, console=silent())
        return make(task)

    monkeypatch.setattr(ClassificationTask, "configure_optimizers", overtaken)
    with pytest.raises(ConfigError, match=r"Another run has begun in the run's folder .* Name a new folder with --out"):
        fit(options(clips, folder, lr=0.5), clips, console=silent())
    assert TrainConfig.load(folder / "config.yaml") == options(clips, folder)
    assert_same_end(run, folder)


def test_a_run_that_was_killed_in_its_first_epoch_starts_again(clips: ClipSet, run: Path, tmp_path: Path) -> None:
    """When told that it is over: without --resume it might still be running."""
    folder, out = tmp_path / "run", io.StringIO()
    with killed_in(0):
        fit(options(clips, folder, lr=0.5), clips, console=silent())
    assert {path.name for path in folder.iterdir()} >= {"config.yaml", "metrics.csv"}
    with pytest.raises(ConfigError, match=r"no epoch is complete\. If it is over, start it again with --resume; else"):
        fit(options(clips, folder), clips, console=silent())
    fit(options(clips, folder, resume=True), clips, console=Console(file=out, width=1000))
    assert out.getvalue().startswith(f"no epoch of the run in {folder} was complete; it starts again")
    assert_same_end(run, folder)
    assert TrainConfig.load(folder / "config.yaml") == options(clips, folder)


def test_a_run_that_cannot_start_leaves_no_folder(clips: ClipSet, tmp_path: Path) -> None:
    """So that the corrected command can use the same one."""
    none = replace(clips, splits={"train": clips.split("train"), "validation": ()})
    with pytest.raises(DataError, match=r"frames has 7 training and 0 validation clips; both are needed\."):
        fit(options(clips, tmp_path / "run"), none, console=silent())
    with pytest.raises(ConfigError, match=r"timm has no model called 'resnet81'"):
        fit(options(clips, tmp_path / "run", backbone="resnet81"), clips, console=silent())
    with pytest.raises(NotFoundError, match=r"There is no checkpoint .*gone\.pth"):
        fit(options(clips, tmp_path / "run", pretrained=str(tmp_path / "gone.pth")), clips, console=silent())
    device = "mps" if torch.cuda.is_available() else "cuda"
    with pytest.raises(ConfigError, match=rf"device={device} was asked for and torch sees none\. Use --device cpu"):
        fit(options(clips, tmp_path / "run", device=device), clips, console=silent())


def test_half_precision_is_not_taken_for_bfloat16_on_a_processor(clips: ClipSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"16-mixed takes a GPU, and this is a processor\. Use --precision bf16"):
        fit(options(clips, tmp_path / "run", device="cpu", precision="16-mixed"), clips, console=silent())
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "run").exists()


def test_a_run_that_fails_before_training_leaves_its_folder_free(
    clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(_: ClassificationTask) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(ClassificationTask, "configure_optimizers", out_of_memory)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="out of memory"):
            fit(options(clips, tmp_path / "run"), clips, console=silent())


def test_pretrained_names_imagenet_or_a_file(clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def record(*_: Any, pretrained: Any, **__: Any) -> Any:
        asked.append(pretrained)
        raise WeightsUnavailableError("offline")

    monkeypatch.setattr("m2a.training.fitting.create_model", record)
    for given in ("imagenet", "none", "image.pth"):
        with pytest.raises(WeightsUnavailableError):
            fit(options(clips, tmp_path / "run", pretrained=given), clips, console=silent())
    assert asked == [True, False, "image.pth"]


def test_a_frozen_backbone_is_as_it_was_and_an_adapter_gives_the_model_back(clips: ClipSet, tmp_path: Path) -> None:
    weights = image_weights(tmp_path)
    config = options(
        clips, tmp_path / "run", pretrained=str(weights), freeze_backbone=True, init="identity", consensus="attention"
    )
    model = fit(config, clips, console=silent()).model
    image, state = torch.load(weights), model.backbone.state_dict()
    assert all(torch.equal(state[key], value) for key, value in image.items() if not key.startswith("fc."))
    gates = [value for key, value in state.items() if key.endswith(".mechanism.expand.weight")]
    assert len(gates) == 4
    assert all(float(gate.abs().max()) > 0 for gate in gates)
    model.save_adapter(tmp_path / "adapter")
    x = torch.randn(2, 3, 3, 32, 32)
    torch.testing.assert_close(load(tmp_path / "adapter")(x), model(x))  # channels-last in training


def test_going_on_with_a_frozen_backbone_equals_one_go(clips: ClipSet, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"freeze_backbone": True, "pretrained": str(image_weights(tmp_path))}
    fit(options(clips, tmp_path / "whole", **changes), clips, console=silent())
    fit(options(clips, tmp_path / "run", epochs=1, **changes), clips, console=silent())
    Path(changes["pretrained"]).unlink()  # the checkpoint has all weights, those that are frozen too
    model = fit(options(clips, tmp_path / "run", resume=True, **changes), clips, console=silent()).model
    assert_same_end(tmp_path / "whole", tmp_path / "run")
    assert model.config is not None
    assert model.config.pretrained == changes["pretrained"]


@pytest.mark.parametrize("schedule", ["constant", "step", "one-cycle"])
def test_parts_have_learning_rates_of_their_own(clips: ClipSet, tmp_path: Path, schedule: Any) -> None:
    """Of the image network so small a one that it stays where it is."""
    weights = image_weights(tmp_path)
    changes: dict[str, Any] = {"lr_backbone": 1e-9, "lr_head": 10.0, "weight_decay": 0.0, "milestones": (1,)}
    config = options(clips, tmp_path / "run", pretrained=str(weights), schedule=schedule, epochs=1, **changes)
    model = fit(config, clips, console=silent()).model
    image, state = torch.load(weights), dict(model.backbone.named_parameters())
    for key in ("conv1.0.weight", "layer4.0.conv2.weight"):
        torch.testing.assert_close(state[key].detach(), image[key], rtol=0, atol=1e-8)
    assert float(model.head.bias.detach().abs().max()) > 1e-3


def damaged(clip: ClipFile, folder: Path) -> ClipFile:
    target = folder / f"damaged-{clip.id}"
    shutil.copytree(clip.path, target)
    for frame in target.iterdir():
        frame.write_bytes(b"not a jpeg")
    return replace(clip, path=target)


def with_damage(clips: ClipSet, folder: Path, split: str, count: int = 1) -> ClipSet:
    members = clips.split(split)
    broken = tuple(damaged(clip, folder) for clip in members[:count])
    return replace(clips, splits={**clips.splits, split: (*broken, *members[count:])})


def test_a_training_clip_that_cannot_be_read_is_left_out_and_named_once(clips: ClipSet, tmp_path: Path) -> None:
    out = io.StringIO()
    broken = with_damage(clips, tmp_path, "train")
    path = broken.split("train")[0].path
    result = fit(options(clips, tmp_path / "run"), broken, console=Console(file=out, width=1000))
    assert list(result.skipped) == [path]
    assert "1 clip could not be decoded, left out of training:" in out.getvalue()
    assert out.getvalue().count(str(path)) == 1
    assert len(metrics(tmp_path / "run")) == 2


def test_batches_of_nothing_but_unreadable_clips_are_no_step(clips: ClipSet, tmp_path: Path) -> None:
    broken = with_damage(clips, tmp_path, "train", count=3)
    result = fit(options(clips, tmp_path / "run", batch_size=1, epochs=1), broken, console=silent())
    assert len(result.skipped) == 3
    assert all(value.isfinite().all() for value in result.model.state_dict().values())
    assert 0 < float(metrics(tmp_path / "run")[0]["train_loss"]) < 10


def test_a_validation_clip_that_cannot_be_read_stops_the_run(clips: ClipSet, tmp_path: Path) -> None:
    broken = with_damage(clips, tmp_path, "validation")
    with pytest.raises(DataError, match=r"The validation clip .*damaged-.* cannot be decoded: .* with --skip-bad\."):
        fit(options(clips, tmp_path / "run", epochs=1), broken, console=silent())


def test_or_is_left_out_when_told(clips: ClipSet, tmp_path: Path) -> None:
    broken, out = with_damage(clips, tmp_path, "validation"), io.StringIO()
    told = Console(file=out, width=1000)
    result = fit(options(clips, tmp_path / "run", epochs=1, skip_bad=True), broken, console=told)
    assert (result.skipped, list(result.skipped_validation)) == ({}, [broken.split("validation")[0].path])
    assert "1 clip could not be decoded, left out of validation:" in out.getvalue()
    assert "left out of training" not in out.getvalue()
    got = evaluate(result.model, clips.split("validation")[1:], device="cpu")
    assert float(metrics(tmp_path / "run")[0]["val_top1"]) == pytest.approx(got.top1, abs=0.01)


def test_a_validation_split_that_cannot_be_read_at_all(clips: ClipSet, tmp_path: Path) -> None:
    broken = with_damage(with_damage(clips, tmp_path, "train"), tmp_path, "validation", count=4)
    named = "|".join(re.escape(str(clip.path)) for clip in broken.split("validation"))
    with pytest.raises(
        DataError, match=rf"Not one validation clip can be decoded, .* One is ({named}): .* m2a data ch"
    ):
        fit(options(clips, tmp_path / "run", epochs=1, skip_bad=True), broken, console=silent())


@pytest.mark.parametrize(("schedule", "rates"), [("constant", ["0.001", "0.001"]), ("step", ["0.001", "0.0001"])])
def test_the_learning_rate_in_the_table(clips: ClipSet, tmp_path: Path, schedule: str, rates: list[str]) -> None:
    """The one that --lr names, whatever multiples parts have, and the one that the epoch was trained with."""
    config = options(clips, tmp_path / "run", schedule=schedule, lr_mechanism=10.0, lr_head=5.0, milestones=(1,))
    fit(config, clips, console=silent())
    assert [row["lr"] for row in metrics(tmp_path / "run")] == rates


def test_one_step_of_warming_up(clips: ClipSet, tmp_path: Path) -> None:
    """Of a one-cycle schedule: the first step is small, the second is on the way down from the peak."""
    config = options(clips, tmp_path / "run", schedule="one-cycle", epochs=1, batch_size=2, warmup=0.25)
    noted: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ClassificationTask,
            "on_train_batch_start",
            lambda task, *_: noted.append(task.trainer.optimizers[0].param_groups[0]["lr"]),
        )
        fit(config, clips, console=silent())
    assert len(noted) == 4
    assert noted[0] == pytest.approx(1e-3 / 25)
    assert noted[1] == max(noted) > 5e-4


def test_gradients_are_averaged_over_batches(clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Divided by `accumulate`, too, where an epoch ends with fewer batches."""
    batches: list[torch.Tensor] = []
    steps: list[torch.Tensor] = []
    step, clip = ClassificationTask.training_step, ClassificationTask.configure_gradient_clipping

    def noting(task: ClassificationTask, batch: Any, index: int) -> Any:
        loss = step(task, batch, index)
        batches.append(torch.autograd.grad(loss, task.model.head.bias, retain_graph=True)[0])
        return loss

    def before_step(task: ClassificationTask, *arguments: Any, **options: Any) -> None:
        assert task.model.head.bias.grad is not None
        steps.append(task.model.head.bias.grad.clone())
        clip(task, *arguments, **options)

    monkeypatch.setattr(ClassificationTask, "training_step", noting)
    monkeypatch.setattr(ClassificationTask, "configure_gradient_clipping", before_step)
    config = options(clips, tmp_path / "run", epochs=1, accumulate=2, optimizer="sgd")
    fit(config, clips, console=silent())
    assert last(tmp_path / "run")["global_step"] == 2  # of three batches
    torch.testing.assert_close(steps, [(batches[0] + batches[1]) / 2, batches[2] / 2])


def test_workers_change_nothing(clips: ClipSet, run: Path, tmp_path: Path) -> None:
    fit(options(clips, tmp_path / "run", workers=1), clips, console=silent())
    assert_same_end(run, tmp_path / "run")


def test_a_run_on_the_cpu_is_evaluated_there_too(
    clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluate_beside_a_gpu(*arguments: Any, **given: Any) -> Evaluation:
        with monkeypatch.context() as patch:
            patch.setattr(torch.cuda, "is_available", lambda: True)
            return evaluate(*arguments, **given)

    monkeypatch.setattr("m2a.workflows.run.evaluate", evaluate_beside_a_gpu)
    result = train(options(clips, tmp_path / "run", epochs=1), console=silent())
    assert result.model.head.weight.device.type == "cpu"


def test_a_model_learns_the_order_of_frames(tmp_path: Path) -> None:
    """Two classes that are each other backwards: what averages frames cannot tell them apart, M2A can learn to."""
    clips = two_ways(tmp_path / "set")
    accuracy = {}
    for mechanism in ("none", "m2a"):
        config = options(
            clips,
            tmp_path / mechanism,
            mechanism=mechanism,
            epochs=10,
            batch_size=4,
            lr=3e-3,
            dropout=0.0,
            scales=(1.0,),
        )
        result = fit(config, clips, console=silent())
        accuracy[mechanism] = evaluate(result.model, clips.split("validation"), device="cpu").top1
    assert accuracy["none"] <= 50.0
    assert accuracy["m2a"] == 100.0


def two_ways(root: Path) -> ClipSet:
    import numpy as np
    from PIL import Image

    members = []
    for k in range(16):
        label = ("brighter", "darker")[k % 2]
        folder = root / str(k)
        folder.mkdir(parents=True)
        rng = np.random.default_rng(k // 2)  # both classes: the same frames, in the two orders
        frames = [np.clip(rng.normal(60 + 60 * t, 20, (32, 32, 3)), 0, 255).astype(np.uint8) for t in range(3)]
        for t, frame in enumerate(frames if label == "brighter" else frames[::-1]):
            Image.fromarray(frame).save(folder / f"{t + 1:05d}.jpg", quality=95)
        members.append(ClipFile(id=str(k), path=folder, label=label))
    return ClipSet(
        format="class-folders",
        root=root,
        labels=("brighter", "darker"),
        splits={"train": tuple(members[:12]), "validation": tuple(members[12:])},
    )


def test_a_run_with_every_augmentation(clips: ClipSet, tmp_path: Path) -> None:
    out = io.StringIO()
    changes: dict[str, Any] = {"flip": True, "reverse": True, "color_jitter": 0.4, "rand_augment": 9}
    changes |= {"mixup": 0.8, "cutmix": 1.0, "sampling": "dense", "stride": 2, "label_smoothing": 0.1}
    model = fit(options(clips, tmp_path / "run", **changes), clips, console=Console(file=out, width=200)).model
    assert "1 pair swaps labels when a clip is played backwards:" in out.getvalue()
    assert (model.preprocessing.sampling, model.preprocessing.stride) == ("dense", 2)
    assert all(0 < float(row["train_loss"]) < 10 for row in metrics(tmp_path / "run"))
    fit(options(clips, tmp_path / "again", **changes), clips, console=silent())
    assert metrics(tmp_path / "again") == metrics(tmp_path / "run")


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0.0), (0.0, 1.0)])
def test_mixed_clips_have_mixed_labels(clips: ClipSet, tmp_path: Path, mixup: float, cutmix: float) -> None:
    config = options(clips, tmp_path, mixup=mixup, cutmix=cutmix)
    model = create_model("resnet10t", num_classes=2, num_frames=3, backbone_options=config.backbone_options)
    task = ClassificationTask(model, config)
    still = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1, 1).expand(2, 3, 3, 17, 17)
    mixed, shares = task.mix(still, torch.tensor([0, 1]))
    assert mixed.shape == still.shape
    torch.testing.assert_close(mixed[:, :1].expand_as(mixed), mixed)  # alike in all frames
    torch.testing.assert_close(shares[:, 1], mixed.mean((1, 2, 3, 4)), rtol=0, atol=1e-6)
    torch.testing.assert_close(shares.sum(1), torch.ones(2))
    same = ClassificationTask(model, options(clips, tmp_path)).mix(still, torch.tensor([0, 1]))
    assert same[0] is still


@pytest.mark.parametrize("precision", ["32", "bf16-mixed"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_gradients_are_clipped_in_every_precision(
    clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, optimizer: str
) -> None:
    norms: list[float] = []
    step = ClassificationTask.on_before_zero_grad

    def note(task: ClassificationTask, *args: Any) -> None:
        gradients = [weight.grad.norm() for weight in task.model.parameters() if weight.grad is not None]
        if gradients:
            norms.append(float(torch.stack(gradients).norm()))
        step(task, *args)

    monkeypatch.setattr(ClassificationTask, "on_before_zero_grad", note)
    for limit in (0.125, 0.0):  # 0 does not clip
        norms.clear()
        config = options(clips, tmp_path / f"{limit}", precision=precision, optimizer=optimizer, clip_gradient=limit)
        fit(config.with_changes(epochs=1), clips, console=silent())
        assert len(norms) == 2
        assert max(norms) == pytest.approx(0.125, rel=1e-3) if limit else max(norms) > 0.25


def test_a_3d_network_is_not_given_a_last_batch_of_one_clip(clips: ClipSet, tmp_path: Path) -> None:
    train = clips.split("train")
    odd = replace(clips, splits={**clips.splits, "train": train[: len(train) - (len(train) - 1) % 3]})
    strided = {"inflate": True, "num_frames": 5, "batch_size": 3}
    assert len(odd.split("train")) % 3 == 1
    fit(options(odd, tmp_path / "run", epochs=1, **strided), odd, console=silent())
    with pytest.raises(ConfigError, match=r"a batch of 1 clip of 5 frames of 32 pixels, and has no statistics of that"):
        fit(options(odd, tmp_path / "alone", epochs=1, **(strided | {"batch_size": 1})), odd, console=silent())


def test_a_run_is_one_process_whatever_a_scheduler_says(
    clips: ClipSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "SLURM_NTASKS": "4",
        "SLURM_JOB_NAME": "train",
        "SLURM_JOB_ID": "12",
        "LOCAL_RANK": "1",
    }.items():
        monkeypatch.setenv(name, value)
    writer: Any = rank_zero.rank_zero_only
    monkeypatch.setattr(writer, "rank", 1, raising=False)
    fit(options(clips, tmp_path / "run", epochs=1), clips, console=silent())
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
    assert writer.rank == 1

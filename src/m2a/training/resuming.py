"""Going on with a run: what its last checkpoint must agree with, and what may have changed since it was written."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from rich.console import Console
from torch.optim import Optimizer
from torch.optim.lr_scheduler import MultiStepLR

from m2a.data.clipset import ClipFile, ClipSet
from m2a.data.preprocessing import Preprocessing
from m2a.errors import CheckpointError, ConfigError, NotFoundError
from m2a.models.optimizer import choose_way_again, forget_way
from m2a.training.changed import keep, say_changes
from m2a.training.checkpoints import ABOUT, drop_parts, read_checkpoint
from m2a.training.config import TrainConfig
from m2a.training.fingerprint import Fingerprint
from m2a.training.lock import LOCK, RunLock
from m2a.training.task import ClassificationTask
from m2a.writing import PART, put

SKIP_LIST = "skip.txt"
"""A run's copy of the skip list that it was trained with, in its folder."""


@dataclass(frozen=True, kw_only=True)
class LastCheckpoint:
    """A run's `last.ckpt`, and how many epochs were complete when it was written; of its model what it may have from
    another one that it started from."""

    path: Path
    epochs: int
    preprocessing: Preprocessing
    sites: Mapping[str, Any]
    """`where` and `position`."""


def as_the_run_was(config: TrainConfig, console: Console) -> TrainConfig:
    """The options, of a run that goes on with the image weights that it began with, since its checkpoint holds what
    became of them, and with its own copy of its skip list.

    Raises ConfigError or NotFoundError where a skip list is named that is another, or is not there.
    """
    folder = config.run_folder
    if not config.resume or not (folder / "checkpoints" / "last.ckpt").is_file():
        return config
    before = _options_of(read_checkpoint(folder / "checkpoints" / "last.ckpt"))
    if config.pretrained != before.pretrained:
        told = f"the run in {folder} began with pretrained = {before.pretrained}, not {config.pretrained}; it stays so"
        console.print(told, style="yellow", highlight=False, markup=False, soft_wrap=True)
    return config.with_changes(pretrained=before.pretrained, skip_list=_own_skip_list(config, before))


def _options_of(checkpoint: Mapping[str, Any]) -> TrainConfig:
    """What a run was last trained with, as its checkpoint has it: its config.yaml may have been edited since, to resume
    with other options."""
    return TrainConfig.from_dict(checkpoint[ABOUT]["options"])


def _own_skip_list(config: TrainConfig, before: TrainConfig) -> Path | None:
    asked, own = config.skip_list, config.run_folder / SKIP_LIST
    if before.skip_list is None or not own.is_file():
        return asked or before.skip_list
    if asked is None or (asked == before.skip_list and not asked.exists()):
        return own
    if not asked.is_file():
        raise NotFoundError(f"There is no skip list {asked}. Resume with the run's own: --skip-list {own}")
    if asked.read_bytes() != own.read_bytes():
        raise ConfigError(
            f"{asked} is not the skip list that the run in {config.run_folder} was trained with, of which it keeps a "
            f"copy: its clips would be others. Resume with --skip-list {own}, or start another run with another --out."
        )
    return own


def starting_point(config: TrainConfig, clips: ClipSet, console: Console) -> LastCheckpoint | None:
    """The checkpoint that a run goes on from; None for one that starts, whose folder is free. Writes nothing.

    A run of which no epoch was complete is started again in its folder, when `--resume` says that it is over.

    Raises:
        ConfigError: without `--resume`, the folder is in use.
        NotFoundError: there is nothing to go on with, or the best model is not there.
        CheckpointError: a checkpoint is damaged, has more epochs behind it than are asked for, or is of a run whose
            options or classes were others, or, where the schedule depends on it, the number of clips, or of one that
            was trained on clips to validate on.
    """
    folder = config.run_folder
    last = folder / "checkpoints" / "last.ckpt"
    if not config.resume:
        _check_free(folder)
        return None
    if not last.is_file() and _has_only_begun(folder):
        told = f"no epoch of the run in {folder} was complete; it starts again"
        console.print(told, highlight=False, markup=False, soft_wrap=True)
        return None
    if not last.is_file():
        way = "Name a new folder with --out" if _is_in_use(folder) else "Leave --resume out"
        if _has_options_of_no_run(folder):
            way = "Move the config.yaml that is there elsewhere, and name it with --config and without --resume"
        raise NotFoundError(f"There is nothing to resume: {last} does not exist. {way} to start the run.")
    if not (best := last.with_name("best.ckpt")).is_file():
        raise NotFoundError(f"{last} cannot be resumed without {best}, the best model so far. Put it back beside it.")
    saved = read_checkpoint(last)
    before, epochs = _options_of(saved), int(saved["epoch"]) + 1
    _check_options(config, before, last, epochs)
    read_checkpoint(best)  # else only the end of training would tell
    _check_data(config, clips, saved, last)
    _check_sides(clips, saved, last, console)
    if config.epochs < epochs:
        raise CheckpointError(f"{last} has {epochs} epochs behind it, and epochs is {config.epochs}. Resume with more.")
    say_changes(config, before, epochs, console)
    given = Preprocessing.from_dict(saved[ABOUT]["clips"])
    return LastCheckpoint(path=last, epochs=epochs, preprocessing=given, sites=saved[ABOUT]["sites"])


def _check_free(folder: Path) -> None:
    if _has_only_begun(folder):
        raise ConfigError(
            f"The run's folder {folder} has a run in it of which no epoch is complete. If it is over, start it again "
            "with --resume; else name a new folder with --out."
        )
    if _has_options_of_no_run(folder):
        raise ConfigError(
            f"The run's folder {folder} has a config.yaml that is of no run, and a run writes its own there. Move it "
            "elsewhere and name it with --config, or name a new folder with --out."
        )
    if _is_in_use(folder):
        begun = (folder / "checkpoints" / "last.ckpt").is_file()
        or_resume = ", or go on with the run that is in it with --resume" if begun else ""
        raise ConfigError(
            f"The run's folder {folder} is not empty; a run never overwrites another. Name a new one with "
            f"--out{or_resume}."
        )


def _claim(folder: Path) -> None:
    """Makes `config.yaml`, or raises ConfigError: since the folder was found free, a model and a cache were made."""
    try:
        (folder / "config.yaml").open("x").close()
    except FileExistsError as error:
        raise ConfigError(
            f"Another run has begun in the run's folder {folder} since this one was started: there is a config.yaml "
            "now. A run never overwrites another. Name a new folder with --out."
        ) from error


def _is_in_use(folder: Path) -> bool:
    """Whether there is more than the empty curves of a run that failed before training began."""
    return folder.exists() and (not folder.is_dir() or any(path.name != "tensorboard" for path in folder.iterdir()))


def _has_only_begun(folder: Path) -> bool:
    """Whether it holds what a run writes before its first checkpoint, and nothing else. A `config.yaml` without the
    table that training begins with is no sign: users keep one where the run is to be."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    written = {"config.yaml", LOCK, SKIP_LIST, "metrics.csv", "tensorboard", "checkpoints"}
    whole = [path for path in (folder / "checkpoints").glob("*") if path.suffix != PART]
    return {"config.yaml", "metrics.csv"} <= names <= written and not whole


def _has_options_of_no_run(folder: Path) -> bool:
    return (folder / "config.yaml").exists() and not any(
        (folder / name).exists() for name in ("metrics.csv", "checkpoints", "model")
    )


def how_to_go_on(folder: Path) -> str:
    """What to do about a run that has ended too early, in a sentence."""
    last = folder / "checkpoints" / "last.ckpt"
    if last.is_file():
        return f"{last} has the last complete epoch{_or_end(last)}. {resume_command(folder)}"
    if _has_only_begun(folder):
        return f"No epoch of the run in {folder} was complete; resumed, it starts again. {resume_command(folder)}"
    return ""


def resume_command(folder: Path) -> str:
    """How to go on with the run in a folder, in a sentence."""
    config, out = (shlex.quote(str(path)) for path in (folder / "config.yaml", folder))
    return f"Go on with: m2a train --resume --config {config} --out {out}"


def _or_end(last: Path) -> str:
    """How to have the best model so far, of a run that has not done all its epochs. That a checkpoint is damaged is
    another message's business."""
    try:
        saved = read_checkpoint(last)
    except CheckpointError:
        return ""
    epochs = int(saved["epoch"]) + 1
    if epochs == saved[ABOUT]["options"]["epochs"]:
        return ""
    return f"; resumed with --epochs {epochs} the run ends there, with the best model so far"


def _check_options(config: TrainConfig, before: TrainConfig, last: Path, epochs: int) -> None:
    fixed = ["backbone", "mechanism", "mechanism_options", "backbone_options", "reduction", "num_frames", "size"]
    fixed += ["sampling", "stride", "inflate", "init", "consensus", "freeze_backbone", "optimizer", "schedule"]
    fixed += ["batch_size", "accumulate", "decay_all", "class_weights", "seed"]
    if before.schedule == "one-cycle":
        # its steps are laid out over the whole run, which may end here
        fixed += ["warmup", "train_clips_per_class"] + ["epochs"] * (config.epochs != epochs)
    for name in fixed:
        if getattr(before, name) != getattr(config, name):
            raise CheckpointError(
                f"{last} was trained with {name} = {getattr(before, name)!r}, and --resume was asked with "
                f"{getattr(config, name)!r}. Resume with the same, or start another run with another --out."
            )


def _check_data(config: TrainConfig, clips: ClipSet, saved: Mapping[str, Any], last: Path) -> None:
    labels, before = tuple(saved[ABOUT]["labels"]), saved[ABOUT]["num_train"]
    ways = "or start another run with another --out."
    if len(labels) != len(clips.labels):
        raise CheckpointError(
            f"{last} was trained on {len(labels)} classes, and {clips.root} has {len(clips.labels)}. Resume with the "
            f"classes as they were, {ways}"
        )
    if labels != clips.labels:
        index, was, now = next(
            (k, *pair) for k, pair in enumerate(zip(labels, clips.labels, strict=True)) if pair[0] != pair[1]
        )
        raise CheckpointError(
            f"{last} was trained on other classes than {clips.root} has, or on the same in another order: class "
            f"{index} was {was!r} and is {now!r}. Resume with the classes as they were, {ways}"
        )
    count = len(clips.split("train"))
    if config.schedule == "one-cycle" and steps_of_an_epoch(config, before) != steps_of_an_epoch(config, count):
        raise CheckpointError(
            f"{last} was trained on {before:,} clips, and {clips.root} has {count:,} now. The steps of a one-cycle "
            f"schedule are laid out over the whole run: resume with the clips as they were, {ways}"
        )


def _check_sides(clips: ClipSet, saved: Mapping[str, Any], last: Path, console: Console) -> None:
    before, now = Fingerprint.read(saved[ABOUT]), Fingerprint.of(clips)
    if learnt := now.trained_on_before(before):
        raise CheckpointError(
            f"{last} was trained on {len(learnt):,} of the {len(now.validation):,} clips that would be validated on, "
            f"the first of them {learnt[0].path}: the model knows their answers. Resume with the data, --split and "
            "limits as they were, or start another run with another --out."
        )
    if not now.validates_alike(before):
        told = f"{last} was validated on other clips than now: which epoch is the best is told anew from here on"
        console.print(told, style="yellow", highlight=False, markup=False, soft_wrap=True)


def trained_on(folder: Path, clips: Sequence[ClipFile]) -> list[ClipFile]:
    """Those of `clips`, of the run's own data, that the run in `folder` was trained on, by its last checkpoint; none
    where that is gone or damaged."""
    last = folder / "checkpoints" / "last.ckpt"
    if not last.is_file():
        return []
    try:
        before = Fingerprint.read(read_checkpoint(last)[ABOUT])
    except CheckpointError:
        return []
    return before.learnt_from(clips)


def steps_of_an_epoch(config: TrainConfig, num_clips: int) -> int:
    """Steps of the optimiser in an epoch."""
    batches = math.ceil(num_clips / config.batch_size) - drops_last(config, num_clips)
    return math.ceil(batches / config.accumulate)


def drops_last(config: TrainConfig, num_clips: int) -> bool:
    """Whether an epoch's last batch is left out: of a single clip, which a 3D network may have strided down to one
    value, of which a batch norm has no statistics."""
    return config.inflate and num_clips % config.batch_size == 1 and num_clips > 1


class GoingOn(L.Callback):
    """What a run needs to go on that Lightning does not see to. Writes `config.yaml`, and a copy of the skip list where
    there is one, when training begins, and takes the lock then, if it is not taken yet."""

    def __init__(self, config: TrainConfig, clips: ClipSet, lock: RunLock):
        self.config = config
        self.clips = clips
        self.lock = lock
        self._before: tuple[TrainConfig, int] | None = None  # what epochs that are complete were trained with

    @cached_property
    def _fingerprint(self) -> Fingerprint:
        return Fingerprint.of(self.clips)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        counted = {"labels": list(self.clips.labels), "num_train": len(self.clips.split("train"))}
        options = self.config.with_changes(resume=False).to_dict()
        assert isinstance(pl_module, ClassificationTask)
        model = pl_module.model
        assert model.config is not None
        sites = {"where": model.config.where, "position": model.config.position}
        about = {"options": options, "clips": model.preprocessing.to_dict(), "sites": sites}
        about["skipped"] = {str(path): reason for path, reason in pl_module.skipped.items()}
        checkpoint[ABOUT] = counted | self._fingerprint.to_dict() | about

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """The folder may have been moved: Lightning would forget the best model's score, and overwrite that model. The
        run may go on on another device, too, and scores on other clips say nothing about those to come."""
        for saved in checkpoint["optimizer_states"]:
            forget_way(saved)
        assert isinstance(pl_module, ClassificationTask)
        about = checkpoint[ABOUT]
        pl_module.skipped = {Path(path): why for path, why in about["skipped"].items()}
        self._before = _options_of(checkpoint), int(checkpoint["epoch"]) + 1
        alike = self._fingerprint.validates_alike(Fingerprint.read(about))
        for callback in trainer.checkpoint_callbacks:
            state = checkpoint["callbacks"].get(callback.state_key)
            if state is not None and isinstance(callback, ModelCheckpoint):
                state |= _moved(state, str(callback.dirpath))
                state |= {} if alike else {"best_k_models": {}, "best_model_score": None}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """What was restored has the learning rates of the run as it was; those of the options count from here on."""
        assert isinstance(pl_module, ClassificationTask)
        scheduler = trainer.lr_scheduler_configs[0].scheduler if trainer.lr_scheduler_configs else None
        retune(trainer.optimizers[0], scheduler, pl_module.groups(), self.config)
        folder, listed = self.config.run_folder, self.config.skip_list
        content = None if listed is None else listed.read_bytes()  # it may be the very copy that is written below
        folder.mkdir(parents=True, exist_ok=True)
        if not self.config.resume:
            _claim(folder)
        self.lock.take(folder)
        if self.lock.is_held:
            drop_parts(folder / "checkpoints")
        if content is not None:
            put(folder / SKIP_LIST, content)
        if self._before is not None:
            keep(self.config, *self._before)
        self.config.with_changes(resume=False).save(folder / "config.yaml")


def retune(optimizer: Optimizer, scheduler: Any, groups: Sequence[Mapping[str, Any]], config: TrainConfig) -> None:
    """Gives an optimiser and its schedule, wherever it stands, the learning rates, weight decay, momentum and
    milestones of `config`; `groups` are the optimiser's as they would be made anew. What is the same stays the same."""
    choose_way_again(optimizer)
    for group, new in zip(optimizer.param_groups, groups, strict=True):
        group["weight_decay"] = new["weight_decay"]
        if "momentum" in group:
            group["momentum"] = config.momentum
        base = group.get("max_lr", group.get("initial_lr", group["lr"]))  # of one-cycle, step and constant
        for name in ("lr", "initial_lr", "max_lr", "min_lr"):
            if name in group:
                group[name] *= new["lr"] / base
    if isinstance(scheduler, MultiStepLR):
        scheduler.milestones = Counter(config.milestones)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
            for _ in range(sum(milestone <= scheduler.last_epoch for milestone in config.milestones)):
                group["lr"] *= scheduler.gamma
    if scheduler is not None:
        scheduler.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]


def _moved(state: dict[str, Any], folder: str) -> dict[str, Any]:
    """What names files in the state of Lightning's ModelCheckpoint, with the files in `folder`."""

    def here(path: str) -> str:
        return str(Path(folder) / Path(path).name) if path else path

    paths = {key: here(state[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
    models = {here(path): score for path, score in state["best_k_models"].items()}
    return {"dirpath": folder, "best_k_models": models, **paths}

"""Training a video classifier on a data set: the part of a run that Lightning does."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from rich.text import Text
from torch import Tensor

from m2a.data.augment import Augmentation
from m2a.data.cache import ClipCache
from m2a.data.clipset import ClipSet
from m2a.data.cores import default_workers
from m2a.data.dataset import ClipDataset, make_loader, naming_dead_workers
from m2a.data.labels import describe_flips
from m2a.data.reversal import describe_reversals
from m2a.data.slots import SlotPool
from m2a.errors import ConfigError, DataError
from m2a.models import VideoClassifier, create_model
from m2a.models.layout import to_channels_last
from m2a.models.starting import SavedModel, names_model, with_normalisation
from m2a.training.alone import OneProcess, as_the_only_process
from m2a.training.blindness import what_it_cannot_tell
from m2a.training.caching import opened_cache
from m2a.training.callbacks import EpochTable, StopWhenDiverged
from m2a.training.checkpoints import BestCheckpoint, WholeCheckpoints, read_checkpoint
from m2a.training.config import TrainConfig, without_effect
from m2a.training.interruption import interruptible
from m2a.training.lock import RunLock
from m2a.training.resuming import GoingOn, LastCheckpoint, as_the_run_was, drops_last, starting_point, steps_of_an_epoch
from m2a.training.task import ClassificationTask
from m2a.wording import count

_FEW_STEPS = 300  # in which a new layer learns little


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What training gave: the best model, in evaluation mode, and the clips it had to leave out, with the reason of
    each."""

    model: VideoClassifier
    best_epoch: int
    skipped: dict[Path, str] = field(default_factory=dict)
    """Of training; of a run that went on, also before."""
    skipped_validation: dict[Path, str] = field(default_factory=dict)


def fit(
    config: TrainConfig, clips: ClipSet, *, console: Console | None = None, lock: RunLock | None = None
) -> FitResult:
    """Trains the model that `config` describes on the "train" split of `clips`, validating on "validation" after each
    epoch. Writes `config.yaml`, `checkpoints/` (best and last), `metrics.csv` and `tensorboard/` into the run's folder.

    A training clip that cannot be decoded is left out, counted and named once; one of the validation split stops the
    run unless `config.skip_bad`. With a `lock`, the run's folder is this process's until the caller closes it; else
    until training is over.

    Raises:
        ConfigError: the run's folder is in use or another process is at work in it, an option cannot work, or a run is
            to go on with another skip list.
        DataError: a split is missing, or a validation clip or every training clip cannot be decoded; as CacheError, the
            cache is too small.
        CheckpointError, NotFoundError: what `--resume` or `--pretrained` named cannot be used.
        KeyboardInterrupt, Terminated: of Ctrl-C and of SIGTERM, with how to go on.
    """
    with nullcontext(lock) if lock is not None else RunLock() as held:
        return _fit(config, clips, console or Console(stderr=True), held)


def _fit(config: TrainConfig, clips: ClipSet, console: Console, lock: RunLock) -> FitResult:
    _check_device(config.device, config.precision)
    if config.resume:
        lock.take(config.run_folder)
    config = as_the_run_was(config, console)
    last = starting_point(config, clips, console)
    _augmentation(config)  # refuses values that cannot work before anything is read
    train, validation = clips.split("train"), clips.split("validation")
    if not train or not validation:
        raise DataError(
            f"{clips.root} has {len(train)} training and {len(validation)} validation clips; both are needed."
        )
    if config.flip:
        console.print(Text(describe_flips(clips.labels)))
    if config.reverse:
        console.print(Text(describe_reversals(clips.labels)))
    for told in (*without_effect(config), *_few_steps(config, len(train)), *_few_clips(config)):
        console.print(Text(told, "yellow"), soft_wrap=True)
    if blind := what_it_cannot_tell(config, clips.labels):
        console.print(Text(blind, "yellow"))
    L.seed_everything(config.seed, workers=False, verbose=False)
    model = _model(config, clips, last)
    if last is None and names_model(config.pretrained):
        console.print(Text(SavedModel.read(config.pretrained).about_start(clips.labels)), soft_wrap=True)
    sets, side = _datasets(config, clips, model), model.preprocessing.smallest_side
    shared = _shared_bytes(config, sets)
    with opened_cache(config, clips, side, console, shared_bytes=shared) as cache, quiet(), as_the_only_process():
        weights = _balanced(clips) if config.class_weights == "balanced" else None
        task = ClassificationTask(model, config, weights)
        trainer = _trainer(config, clips, console, lock)
        loaders = _loaders(config, sets, cache=cache, pin_memory=trainer.accelerator.name() == "cuda")
        if last is not None:
            loaders[0].sampler.set_epoch(last.epochs)  # Lightning does too, but after workers have read ahead
        path = None if last is None else last.path
        with naming_dead_workers(), interruptible(trainer, config.run_folder):
            trainer.fit(task, *loaders, ckpt_path=path, weights_only=last is None or None)
    return _finish(task, trainer, clips, console)


def _few_clips(config: TrainConfig) -> list[str]:
    """A sentence where batches are too small for what `padding_mode="stream"` of tsm makes of them."""
    if config.mechanism_options.get("padding_mode") != "stream" or config.batch_size >= 3:
        return []
    return [
        f"padding_mode=stream trains by turns of three, and batches have {count(config.batch_size, 'clip')}. Give "
        "--batch-size 3 or more."
    ]


def _few_steps(config: TrainConfig, num_train: int) -> list[str]:
    """A sentence where a recipe for large sets leaves a small one next to no steps."""
    steps = steps_of_an_epoch(config, num_train)
    if config.accumulate == 1 or steps * config.epochs >= _FEW_STEPS:
        return []
    return [
        f"the optimiser makes {count(steps, 'step')} an epoch, {steps * config.epochs:,} in all: one takes "
        f"{config.accumulate} batches of {config.batch_size} clips. For a set as small as this --recipe quick, or "
        "--accumulate 1 and a smaller --batch-size."
    ]


def _balanced(clips: ClipSet) -> Tensor:
    """For each class what its clips count for, so that all classes count as much together, and a clip 1 on average."""
    numbers = Counter(clip.label for clip in clips.split("train"))
    share = sum(numbers.values()) / len(clips.labels)
    return torch.tensor([share / max(1, numbers[label]) for label in clips.labels])


def _model(config: TrainConfig, clips: ClipSet, last: LastCheckpoint | None) -> VideoClassifier:
    """With the weights to start from, but where there is a checkpoint to go on from, which has all weights itself."""
    options: dict[str, Any] = dict(config.mechanism_options) | ({} if last is None else dict(last.sites))
    pretrained: bool | str = {"imagenet": True, "none": False}.get(config.pretrained, config.pretrained)
    model = create_model(
        config.backbone,
        mechanism=config.mechanism,
        num_classes=len(clips.labels),
        labels=clips.labels,
        num_frames=config.num_frames,
        pretrained=pretrained if last is None else False,
        size=config.size,
        dropout=config.dropout,
        reduction=config.reduction,
        inflate=config.inflate,
        init=config.init,
        consensus=config.consensus,
        freeze_backbone=config.freeze_backbone,
        backbone_options=config.backbone_options,
        **options,
    )
    if last is not None:
        model.preprocessing = with_normalisation(model.preprocessing, last.preprocessing)
    model.preprocessing = replace(
        model.preprocessing, scales=config.scales, sampling=config.sampling, stride=config.stride
    )
    assert model.config is not None
    model.config = replace(model.config, pretrained=pretrained)
    if config.channels_last:
        to_channels_last(model)
    if config.compile:
        model.compile()
    return model


def _datasets(config: TrainConfig, clips: ClipSet, model: VideoClassifier) -> tuple[ClipDataset, ClipDataset]:
    """To train and to validate on, without a cache."""
    common: dict[str, Any] = {"labels": clips.labels, "preprocessing": model.preprocessing, "seed": config.seed}
    common["decoder"] = config.decoder
    train = ClipDataset(clips.split("train"), train=True, augmentation=_augmentation(config), **common)
    return train, ClipDataset(clips.split("validation"), train=False, **common)


def _shared_bytes(config: TrainConfig, sets: tuple[ClipDataset, ClipDataset]) -> int:
    """Shared memory in which the batches of both will travel."""
    sizes = [config.batch_size * one.most_bytes for one in sets]
    return sum(SlotPool.size(workers=_workers(config), num_bytes=size) for size in sizes)


def _loaders(
    config: TrainConfig, sets: tuple[ClipDataset, ClipDataset], *, cache: ClipCache | None, pin_memory: bool
) -> tuple[Any, Any]:
    shared: dict[str, Any] = {
        "batch_size": config.batch_size,
        "workers": _workers(config),
        "seed": config.seed,
        "pin_memory": pin_memory,
    }
    for one in sets:
        one.cache = cache
    train, validation = sets
    loader = make_loader(train, shuffle=True, drop_last=drops_last(config, len(train)), **shared)
    return loader, make_loader(validation, shuffle=False, **shared)


def _workers(config: TrainConfig) -> int:
    return default_workers() if config.workers is None else config.workers


def _augmentation(config: TrainConfig) -> Augmentation:
    return Augmentation(
        flip=config.flip,
        reverse=config.reverse,
        color_jitter=config.color_jitter,
        rand_augment=config.rand_augment,
    )


def _trainer(config: TrainConfig, clips: ClipSet, console: Console, lock: RunLock) -> L.Trainer:
    folder = config.run_folder
    files: dict[str, Any] = {"dirpath": folder / "checkpoints", "enable_version_counter": False}
    callbacks: list[L.Callback] = [
        BestCheckpoint(by_class=config.class_weights == "balanced", filename="best", **files),
        ModelCheckpoint(filename="last", **files),  # save_last would write it only when "best" is written
        GoingOn(config, clips, lock),
        StopWhenDiverged(config),
        EpochTable(folder / "metrics.csv", console=console),
        LearningRateMonitor(logging_interval="step"),
    ]
    if console.is_terminal:
        callbacks.append(RichProgressBar(leave=False, console_kwargs={"stderr": True}))
    return L.Trainer(
        accelerator=config.device,
        devices=1,
        precision=config.precision,
        max_epochs=config.epochs,
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.clip_gradient or None,
        logger=TensorBoardLogger(folder, name="tensorboard", version=""),
        callbacks=callbacks,
        plugins=[WholeCheckpoints(), OneProcess()],
        enable_progress_bar=console.is_terminal,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        benchmark=True,
    )


def _finish(task: ClassificationTask, trainer: L.Trainer, clips: ClipSet, console: Console) -> FitResult:
    checkpoint = trainer.checkpoint_callback
    assert isinstance(checkpoint, ModelCheckpoint)
    best = read_checkpoint(Path(checkpoint.best_model_path))
    task.load_state_dict(best["state_dict"])
    members = {clip.path.resolve(): clip.path for clip in clips.split("train")}  # the run may have gone on elsewhere
    met = {path.resolve(): reason for path, reason in task.skipped.items()}
    found = {members[path]: reason for path, reason in met.items() if path in members}
    for skipped, of in ((found, "training"), (task.skipped_validation, "validation")):
        if skipped:
            console.print(f"{count(len(skipped), 'clip')} could not be decoded, left out of {of}:", style="yellow")
        for path, reason in sorted(skipped.items()):
            console.print(Text(f"  {path}: {reason}"), soft_wrap=True)
    return FitResult(
        model=task.model.eval().cpu(),
        best_epoch=best["epoch"] + 1,
        skipped=found,
        skipped_validation=task.skipped_validation,
    )


def _check_device(device: str, precision: str) -> None:
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if not {"gpu": cuda or mps, "cuda": cuda, "mps": mps}.get(device, True):
        raise ConfigError(
            f"device={device} was asked for and torch sees none. Use --device cpu, or check torch.cuda.is_available()."
        )
    if precision == "16-mixed" and (device == "cpu" or not (cuda or mps)):
        raise ConfigError("precision=16-mixed takes a GPU, and this is a processor. Use --precision bf16-mixed, or 32.")


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning's hints about things that are chosen here on purpose are not the user's business."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
        warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
        warnings.filterwarnings("ignore", message=".*`training_step` returned `None`.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")  # a frozen backbone
        warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
        warnings.filterwarnings("ignore", message=".*have no `val_dataloader`.*")  # measuring an epoch alone
        try:
            yield
        finally:
            logger.setLevel(level)

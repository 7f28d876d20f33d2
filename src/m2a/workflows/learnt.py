"""What a model was trained on, itself or where it started: clips whose answers it knows."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from m2a.data.annotations import read_clips
from m2a.data.clipset import ClipFile
from m2a.errors import ConfigError, DataError, M2AError
from m2a.models.starting import names_model
from m2a.training.config import TrainConfig
from m2a.training.resuming import trained_on


def _run_of(path: Path) -> Path:
    """The folder of the run that a run's folder, or the model in it, is of."""
    return path if (path / "config.yaml").is_file() else path.absolute().parent


def is_data_of(path: Path, data: str | Path) -> bool:
    """Whether a run, or the run that a model is of, was trained on this data."""
    config = _run_of(path) / "config.yaml"
    if not config.is_file():
        return False
    try:
        return TrainConfig.load(config).data.resolve() == Path(data).resolve()
    except ConfigError:  # another program's file beside the model
        return False


def check_learnt(
    path: Path, data: str | Path | None, split: str, clips: Sequence[ClipFile], place: Path, console: Console
) -> int:
    """How many of the clips that it is measured on a run was trained on, or those that it started from, and says so:
    lists were changed, or the clips are its own by another name. Raises DataError where its own results would be
    replaced by such."""
    folder, others = _run_of(path), data is not None and not is_data_of(path, data)
    asked_for = split in ("train", "all") and not others
    if data is None and (folder / "config.yaml").is_file():
        data = TrainConfig.load(folder / "config.yaml").data
    learnt = _files_learnt(folder, clips) if others else trained_on(folder, clips)
    before_it = {before: _learnt_by(before, data, clips) for before in list(_started_from(str(path)))[1:]}
    number = len(_places(learnt).union(*map(_places, before_it.values())))
    for before, known in before_it.items():
        if known and not asked_for:
            told = f"its model started from that of {before}, which was trained on {len(known):,} of the clips"
            console.print(
                Text(f"{told} that it is measured on, the first of them {known[0].path}", "yellow"), soft_wrap=True
            )
    if not learnt or asked_for:
        return number
    told = (
        f"The run in {folder} was trained on {len(learnt):,} of the {len(clips):,} clips that it is measured on, the "
        f"first of them {learnt[0].path}: it knows their answers."
    )
    if place.resolve() == folder.resolve():
        raise DataError(
            f"{told} Its data was split otherwise then, and its own results are not replaced by these. Restore the "
            "lists, or name a folder for the results with --out."
        )
    console.print(Text(told, "yellow"), soft_wrap=True)
    return number


def num_learnt_before(config: TrainConfig, validation: Sequence[ClipFile]) -> int:
    """How many of the clips that are validated on the runs were trained on whose models this one starts from."""
    learnt = (_places(_learnt_by(folder, config.data, validation)) for folder in _started_from(config.pretrained))
    return len(set[tuple[Path, tuple[int, int] | None]]().union(*learnt))


def _places(clips: Sequence[ClipFile]) -> set[tuple[Path, tuple[int, int] | None]]:
    return {(clip.path, clip.window) for clip in clips}


def say_what_start_learnt(config: TrainConfig, validation: Sequence[ClipFile], console: Console) -> None:
    """Says where a run whose model this one starts from, or one that that one started from, was trained on clips that
    are validated on."""
    if config.resume:
        return
    for folder in _started_from(config.pretrained):
        if learnt := _learnt_by(folder, config.data, validation):
            told = (
                f"the run in {folder} was trained on {len(learnt):,} of the {len(validation):,} clips to validate on, "
                f"the first of them {learnt[0].path}: a model that starts from it knows their answers"
            )
            console.print(Text(told, "yellow"), soft_wrap=True)


def _started_from(pretrained: str) -> Iterator[Path]:
    """The folders of the runs whose models came before, the nearest first, as far as they are here."""
    seen: set[Path] = set()
    while names_model(pretrained) and (folder := _run_of(Path(pretrained))) not in seen:
        seen.add(folder)
        yield folder
        try:
            pretrained = TrainConfig.load(folder / "config.yaml").pretrained
        except (M2AError, OSError):  # a model without a run
            return


def _learnt_by(folder: Path, data: str | Path | None, clips: Sequence[ClipFile]) -> list[ClipFile]:
    own = data is not None and is_data_of(folder, data)
    return trained_on(folder, clips) if own else _files_learnt(folder, clips)


def _files_learnt(folder: Path, clips: Sequence[ClipFile]) -> list[ClipFile]:
    """Those of `clips`, of a set that has another name than the run's own, whose files the run was trained on; none
    where its own data cannot be read any more."""
    try:
        run = TrainConfig.load(folder / "config.yaml")
        own = read_clips(run.data, format=run.format, missing="skip", split=run.split)
    except (M2AError, OSError):
        return []
    learnt = {(os.path.realpath(clip.path), clip.window) for clip in trained_on(folder, own.split("train"))}
    return [clip for clip in clips if (os.path.realpath(clip.path), clip.window) in learnt]

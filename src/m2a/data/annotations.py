"""From a folder or a list to the labelled clips, whatever the layout.

`FORMATS` is the one table of layouts: names, help, errors and detection all come from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ..errors import ConfigError, DataError, NotFoundError
from ..wording import first_few
from . import kinetics, numbered_lists, shards, something_something_v2, split_csv, ucf_hmdb
from .class_folders import FORMAT as CLASS_FOLDERS
from .class_folders import (
    detect_class_folders,
    read_class_folders,
    refuse_unread_lists,
    split_folders,
    validate_fraction,
)
from .clipset import WHAT_A_CLIP_IS, is_hidden, names_in
from .clipset import ClipFile as ClipFile
from .clipset import ClipSet as ClipSet
from .reading import ReadOptions
from .something_something import JESTER, V1


@dataclass(frozen=True, kw_only=True)
class Format:
    """One layout."""

    name: str
    looks: tuple[str, ...]
    """What is on disk, in a few lines."""
    detect: Callable[[Path], str | None]
    """What speaks for it in a folder, or in the folder of a list."""
    read: Callable[[Path, ReadOptions], ClipSet]
    takes_file: bool = False
    """Whether a list itself may be given."""
    numbered: bool = False
    """Whether there may be several official splits."""


def _read_kinetics(root: Path, options: ReadOptions) -> ClipSet:
    official = kinetics.find_official(root, split=options.split)
    if official:
        return kinetics.read_official(official, options)
    return numbered_lists.read(root, options, kinetics.FORMAT)


def _detect_kinetics(root: Path) -> str | None:
    return kinetics.detect(root) or numbered_lists.detect(root, kinetics.FORMAT)


def _numbered(name: str, *looks: str) -> Format:
    return Format(
        name=name,
        looks=looks,
        detect=partial(numbered_lists.detect, format_=name),
        read=partial(numbered_lists.read, format_=name),
        takes_file=True,
        numbered=True,
    )


FORMATS = (
    Format(
        name=V1.format,
        looks=(
            f"{V1.frames_folder}/<id>/00001.jpg",
            f"{V1.prefix}-labels.csv, -train.csv, -validation.csv (id;label)",
        ),
        detect=V1.detect,
        read=V1.read,
    ),
    Format(
        name=something_something_v2.FORMAT,
        looks=(
            f"{something_something_v2.VIDEOS_FOLDER}/<id>.webm",
            f"{something_something_v2.FORMAT}-labels.json, -train.json, -validation.json, or labels/train.json ...",
        ),
        detect=something_something_v2.detect,
        read=something_something_v2.read,
    ),
    Format(
        name=JESTER.format,
        looks=(
            f"{JESTER.frames_folder}/<id>/00001.jpg",
            f"{JESTER.prefix}-labels.csv, -train.csv, -validation.csv (id;label)",
        ),
        detect=JESTER.detect,
        read=JESTER.read,
    ),
    Format(
        name=kinetics.FORMAT,
        looks=(
            "train/<class>/<id>_000010_000020.mp4, or without class folders",
            "train.csv, val.csv (label,youtube_id,time_start,time_end,split), or csv lists of `path label`",
        ),
        detect=_detect_kinetics,
        read=_read_kinetics,
        takes_file=True,
        numbered=True,
    ),
    Format(
        name=ucf_hmdb.UCF101,
        looks=(
            "UCF-101/<Class>/v_<Class>_g01_c01.avi",
            "ucfTrainTestlist/classInd.txt, trainlist01.txt, testlist01.txt",
        ),
        detect=ucf_hmdb.detect_ucf101,
        read=ucf_hmdb.read_ucf101,
        numbered=True,
    ),
    Format(
        name=ucf_hmdb.HMDB51,
        looks=("<class>/<name>.avi", "<class>_test_split1.txt (name 0|1|2)"),
        detect=ucf_hmdb.detect_hmdb51,
        read=ucf_hmdb.read_hmdb51,
        numbered=True,
    ),
    _numbered("tsn", "<dir>/img_00001.jpg", "train*.txt, val*.txt (dir num_frames label), category.txt"),
    _numbered(
        "mmaction2",
        "videos, or folders of frames",
        "*train*.txt, *val*.txt (path label, dir num_frames label, or dir start num_frames label)",
    ),
    _numbered("ibm", "folders of frames, or videos", "train*.txt, val*.txt (path start end label, by space or ;)"),
    Format(
        name=split_csv.FORMAT,
        looks=("clips anywhere below", "any .csv with the columns path,label; split and group if you like"),
        detect=split_csv.detect,
        read=split_csv.read,
        takes_file=True,
    ),
    Format(
        name=shards.FORMAT,
        looks=("train-000000.tar, validation-000000.tar, ...", "shards.json, as m2a data shard writes it"),
        detect=shards.detect,
        read=shards.read,
    ),
    Format(
        name=CLASS_FOLDERS,
        looks=(
            "<class>/clip.mp4, <class>/<clip>/00001.jpg; a split.csv (path,label,split,group) may divide them",
            "train/<class>/clip.mp4, validation/<class>/..., test/<class>/...",
        ),
        detect=detect_class_folders,
        read=read_class_folders,
    ),
)
_BY_NAME = {layout.name: layout for layout in FORMATS}


def describe_formats() -> str:
    """Every layout, with its name and what it looks like."""
    lines = ["The layouts are:"]
    for layout in FORMATS:
        lines += [f"  {name:<24}{look}" for name, look in zip((layout.name, *[""] * 9), layout.looks, strict=False)]
    return "\n".join(lines)


def read_clips(
    root: str | Path,
    *,
    format: str = "auto",  # noqa: A002 - the word users look for
    validation_fraction: float = 0.2,
    missing: str = "error",
    split: int = 1,
    to_train: bool = True,
) -> ClipSet:
    """The labelled clips under `root`, a folder or a list of clips.

    `format` is the name of a layout, or `auto` to tell by what is there (`ClipSet.format` says which it is).
    `validation_fraction` of each class is held out where there is no validation split; `ClipSet.notes` says so.
    `missing` is what to do about clips that a list names and the disk lacks: `error`, or `skip` them with a note.
    `split` chooses among several official splits, as UCF101 and HMDB51 have them.
    `to_train=False` is for a set that is only to be measured on: nothing is held out, one class will do, and of class
    folders and tables a test or validation split alone.

    Raises `NotFoundError` where a folder or list is missing, and `DataError` where what is there cannot be used.
    """
    root = Path(root)
    _validate_choices(format, missing, split)
    validate_fraction(validation_fraction)
    if not root.exists():
        place = "" if root.is_absolute() else f" in {Path.cwd()}, where the command runs"
        raise NotFoundError(f"{root} does not exist{place}; give the folder that holds the data set")
    layout = _detect(root) if format == "auto" else _BY_NAME[format]
    if root.is_file() and not layout.takes_file:
        raise DataError(f"{root} is a file; give the folder that holds the data set")
    ucf_hmdb.validate_split(layout.name, split)
    if split != 1 and not layout.numbered:
        raise ConfigError(f"split={split}: a {layout.name} set has no numbered splits; leave split out")
    options = ReadOptions(validation_fraction=validation_fraction, missing=missing, split=split, to_train=to_train)
    return layout.read(root, options)


def read_to_look_at(root: str | Path, *, format: str = "auto", missing: str = "error", split: int = 1) -> ClipSet:  # noqa: A002
    """As `read_clips`; of a set that will do to be measured on and not to train on, a note says why."""
    try:
        return read_clips(root, format=format, missing=missing, split=split)
    except DataError as error:
        clips = read_clips(root, format=format, missing=missing, split=split, to_train=False)
        return replace(clips, notes=(*clips.notes, f"it can be measured on, and not be trained on: {error}"))


def _detect(root: Path) -> Format:
    if root.is_dir() and all(map(is_hidden, names_in(root))):
        raise DataError(f"{root} is empty; there is no clip in it.\n{describe_formats()}")
    listed = [layout for layout in FORMATS if layout.name != CLASS_FOLDERS and (root.is_dir() or layout.takes_file)]
    found = {layout.name: what for layout in listed if (what := layout.detect(root))}
    numbered_lists.refuse_two_readings(found)
    untold = [*found] == [split_csv.FORMAT] and root.is_dir() and not split_csv.tells_splits(root)
    if untold and (folders := split_folders(root)):  # of which the table would have all trained on
        found[split_csv.FORMAT] += ", which tells no splits"
        found[CLASS_FOLDERS] = ", ".join(f"{folder.name}/" for folder in folders.values())
    if len(found) > 1:
        candidates = ", ".join(f"{name} ({what})" for name, what in found.items())
        choices = " or ".join(f"--format {name}" for name in found)
        raise DataError(f"{root} may be read in {len(found)} ways: {candidates}. Choose with {choices}.")
    if found:
        return _BY_NAME[next(iter(found))]
    if root.is_file():
        raise DataError(
            f"{root} is a file, and not a list of clips that is known here; give such a list, or the folder that holds "
            f"the data set.\n{describe_formats()}"
        )
    if detect_class_folders(root):
        refuse_unread_lists(root)
        return _BY_NAME[CLASS_FOLDERS]
    children = sorted(name for name in names_in(root) if not is_hidden(name))
    raise DataError(
        f"{root} has no layout known here. Looked for the lists of {', '.join(layout.name for layout in listed)}, "
        f"split.csv and clips in class folders ({WHAT_A_CLIP_IS}); found {first_few(children)}.\n{describe_formats()}"
    )


def _validate_choices(layout: str, missing: str, split: int) -> None:
    if layout not in ("auto", *_BY_NAME):
        raise ConfigError(f"format={layout!r} is not one of: auto, {', '.join(_BY_NAME)}")
    if missing not in ("error", "skip"):
        raise ConfigError(f"missing={missing!r} is not one of: error, skip")
    if split < 1:
        raise ConfigError(f"split is {split}; official splits count from 1")

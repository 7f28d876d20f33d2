"""Something-Something V1 as it is distributed: a folder of frames per clip, and three `;`-separated lists."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import DataError, NotFoundError
from .clipset import ClipFile, ClipSet, first_few

FORMAT = "something-something-v1"
FRAMES_FOLDER = "20bn-something-something-v1"
SPLITS = ("train", "validation")  # the test list carries no labels


def csv_path(folder: Path, name: str) -> Path:
    """Where the list of `labels`, `train` or `validation` clips lies."""
    return folder / f"something-something-v1-{name}.csv"


def find_home(root: Path) -> Path | None:
    """The folder that holds the lists: `root`, or its parent where `root` is the frames' folder; None where neither."""
    for folder in (root, root.absolute().parent) if root.name == FRAMES_FOLDER else (root,):
        if any(csv_path(folder, name).exists() for name in ("labels", *SPLITS)):
            return folder
    return None


def read_something_something(root: Path, *, missing: str = "error") -> ClipSet:
    """Reads the lists and checks that every clip they name has a folder. `missing="skip"` leaves clips out."""
    home = find_home(root) or root
    for name in ("labels", *SPLITS):
        if not csv_path(home, name).is_file():
            raise NotFoundError(
                f"{csv_path(home, name)} is missing: the {FORMAT} layout needs the labels, train and validation "
                f"csv beside the folder {FRAMES_FOLDER}. Copy it there from the data set's annotation download."
            )
    frames = home / FRAMES_FOLDER
    if not frames.is_dir():
        raise NotFoundError(
            f"{frames} is missing: the {FORMAT} layout needs one folder of JPEG frames per clip in it. "
            f"Unpack the data set's archive in {home}."
        )
    labels = _read_labels(csv_path(home, "labels"))
    present = {entry.name for entry in os.scandir(frames) if entry.is_dir()}
    first_lines: dict[str, str] = {}
    splits: dict[str, tuple[ClipFile, ...]] = {}
    notes: list[str] = []
    for split in SPLITS:
        clips = _read_split(csv_path(home, split), labels, frames, first_lines)
        absent = [clip.id for clip in clips if clip.id not in present]
        if absent:
            notes.append(report_missing(csv_path(home, split), absent, len(clips), missing))
        splits[split] = tuple(clip for clip in clips if clip.id in present)
        if not splits[split]:
            raise DataError(f"{csv_path(home, split)}: no {split} clip is left; at least one is needed")
    used = {clip.label for clip in splits["train"]}
    unused = [label for label in labels if label not in used]
    if unused:
        notes.append(f"{len(unused)} of {len(labels)} labels have no training clip: {first_few(unused, 3)}")
    return ClipSet(format=FORMAT, root=home, labels=tuple(labels), splits=splits, notes=tuple(notes))


def report_missing(listing: Path, absent: list[str], total: int, missing: str) -> str:
    """Raises for clips a list names and the disk lacks, or returns the note that they were left out."""
    what = f"{listing} names {len(absent)} of {total} clips that are not on disk: {first_few(absent)}"
    if missing == "skip":
        return f"{what}; they are left out"
    raise DataError(f'{what}. Unpack the rest of the data set there, or leave these clips out with missing="skip".')


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers (from 1) and texts, blank lines left out."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, line.strip()


def _read_labels(path: Path) -> dict[str, int]:
    labels: dict[str, int] = {}
    for number, label in read_lines(path):
        if label in labels:
            raise DataError(f"{path}:{number}: the label {label!r} is there twice; each may appear once")
        labels[label] = len(labels)
    if len(labels) < 2:
        raise DataError(f"{path} holds {len(labels)} labels; at least 2 are needed, one a line")
    return labels


def _read_split(path: Path, labels: dict[str, int], frames: Path, first_lines: dict[str, str]) -> list[ClipFile]:
    clips: list[ClipFile] = []
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        clip_id, semicolon, label = (part.strip() for part in line.partition(";"))
        if not semicolon or not clip_id or not label:
            raise DataError(f"{where}: expected `id;label`, for example `100218;Holding something`; got {line!r}")
        if label not in labels:
            raise DataError(f"{where}: {_unknown_label(label, labels, csv_path(path.parent, 'labels'))}")
        if clip_id in first_lines:
            raise DataError(f"{where}: clip {clip_id} is listed already, at {first_lines[clip_id]}; remove one line")
        first_lines[clip_id] = where
        clips.append(ClipFile(id=clip_id, path=frames / clip_id, label=label))
    return clips


def _unknown_label(label: str, labels: dict[str, int], labels_path: Path) -> str:
    near = difflib.get_close_matches(label, labels, n=1, cutoff=0)[0]
    return (
        f"the label {label!r} is not among the {len(labels)} of {labels_path.name} (nearest: {near!r}). "
        f"Correct the line, or add the label at the end of {labels_path}."
    )

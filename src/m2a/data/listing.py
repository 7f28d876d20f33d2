"""What readers of lists share: lines with numbers, what is on disk, names of labels, and lists that go together."""

from __future__ import annotations

import csv
import difflib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigError, DataError, NotFoundError
from ..wording import count, first_few
from .clipset import is_clip, is_hidden, natural_key

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validate": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_LIST_NAMES = SPLIT_NAMES | {"trainlist": "train", "vallist": "validation", "testlist": "test"}
LIST_FOLDERS = ("annotations", "annotation", "lists", "labels", "splits")
_LISTS = re.compile("split|list|annot")
CSV: dict[str, Any] = {"skipinitialspace": True, "strict": True}
"""How tables are read; what stands before a quote would be part of the value, and so would the quotes."""
_SNIFFED = 64  # lines of a list that are looked at to tell what it is


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers (from 1) and texts, blank lines left out."""
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            yield number, line.strip()


def read_text(path: Path) -> str:
    """The text of a file; a `DataError` where it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"{path} is not UTF-8 text (byte {error.start})"
        raise DataError(f"{what}; save it as UTF-8 (in Excel: CSV UTF-8)") from None


def first_lines(path: Path) -> list[str]:
    """The first lines of a file, as far as they are text; none of a file that cannot be read."""
    found: list[str] = []
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            for line in file:
                found += [line.strip()] if line.strip() else []
                if len(found) == _SNIFFED:
                    break
    except OSError:
        return []
    return found


def report_missing(listing: Path, absent: list[str], total: int, missing: str) -> str:
    """Raises for clips a list names and the disk lacks, or returns the note that they were left out."""
    what = f"{listing} names {len(absent)} of {total} clips that are not on disk: {first_few(absent)}"
    if missing == "skip":
        return f"{what}; they are left out"
    ways = 'Unpack the rest of the data set there, or leave these clips out with missing="skip" (--missing skip).'
    raise DataError(f"{what}. {ways}")


def without_labels(listing: Path, number: int) -> str:
    """The note for so many clips of a test list that have no labels."""
    return f"{listing.name}: {count(number, 'clip')} without a label, left out"


def unknown_label(label: str, labels: Collection[str], labels_path: Path) -> str:
    """That a label is not in the file of labels, with the nearest that is."""
    near = difflib.get_close_matches(label, labels, n=1, cutoff=0)[0]
    return (
        f"the label {label!r} is not among the {len(labels)} of {labels_path.name} (nearest: {near!r}). "
        f"Correct the line, or add the label at the end of {labels_path}."
    )


class Disk:
    """Which paths exist. Each folder is listed once, which is much quicker than asking for each of its files."""

    def __init__(self) -> None:
        self._names: dict[str, frozenset[str]] = {}

    def has(self, path: Path) -> bool:
        """Whether there is such a file or folder."""
        folder, name = os.path.split(os.path.normpath(path))
        if folder not in self._names:
            try:
                self._names[folder] = frozenset(entry.name for entry in os.scandir(folder or "."))
            except OSError:
                self._names[folder] = frozenset()
        return name in self._names[folder]


def subfolders(folder: Path) -> list[Path]:
    """The visible folders in a folder, in natural order; none of one that cannot be read."""
    names = [entry.name for entry in _entries(folder) if not is_hidden(entry.name) and entry.is_dir()]
    return [folder / name for name in sorted(names, key=natural_key)]


def list_folders(root: Path) -> list[Path]:
    """`root`, and folders in it and in those whose names say that they hold lists. Looks into no others: there may be
    a hundred thousand clips."""
    found = [root]
    for _ in range(2):
        near = [Path(entry.path) for folder in found for entry in _entries(folder) if _LISTS.search(entry.name.lower())]
        found += [folder for folder in sorted(near) if folder not in found and folder.is_dir()]
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:  # it is no folder, or may not be read
        return []


def split_of(name: str) -> tuple[str | None, tuple[str, ...]]:
    """The split that a file's or folder's name tells, if it tells one, and the rest of its words.

    >>> split_of("kinetics400_val_videos")
    ('validation', ('kinetics400', 'videos'))
    """
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    splits = {_LIST_NAMES[word] for word in words if word in _LIST_NAMES}
    rest = tuple(word for word in words if word not in _LIST_NAMES)
    return (splits.pop() if len(splits) == 1 else None), rest


@dataclass(frozen=True)
class Lists:
    """Lists that go together, one a split."""

    home: Path
    """The data set's folder."""
    files: dict[str, Path]
    """By split."""
    notes: list[str] = field(default_factory=list)


def find_lists(root: Path, suffixes: Sequence[str], accept: Callable[[Path], bool], *, split: int = 1) -> Lists | None:
    """The lists of a folder, or those that go with a list, by the splits in their names.

    `accept` tells by a training list's content whether it is one of those looked for. Lists in the parent count where
    `root` holds none and its folders are clips. Raises `DataError` where several sets of lists are there.
    """
    if root.is_file():
        return _companions(root, suffixes, accept, split)
    near = [root, *(root / name for name in LIST_FOLDERS)]
    for folder in [*near, *([root.absolute().parent] if _is_clips_folder(root) else [])]:
        everything = _by_rest(folder, suffixes)
        found = {rest: files for rest, files in everything.items() if "train" in files and accept(files["train"][0])}
        rgb = {rest: files for rest, files in found.items() if "flow" not in rest}
        if rgb:
            notes: list[str] = []
            if len(rgb) < len(found):
                notes.append(f"{len(found) - len(rgb)} training lists of optical flow are left out")
            files = _single(rgb[_chosen(rgb, split, notes)])
            _refuse_unpaired(everything.values(), files, accept)
            return Lists(root, files, notes)
    return None


def _refuse_unpaired(
    lists: Iterable[dict[str, list[Path]]], files: Mapping[str, Path], accept: Callable[[Path], bool]
) -> None:
    """Raises where a list of clips to validate on does not go with the training list by its name: clips would be held
    out, and it would not be read."""
    if "validation" in files:
        return
    alone = [found["validation"][0] for found in lists if "validation" in found and "train" not in found]
    unread = next((path for path in alone if accept(path)), None)
    if unread is not None:
        raise DataError(
            f"{unread} is a list of clips called after the validation split, but not as {files['train'].name} is, and "
            "would not be read. Call the two alike (train.txt and val.txt), or move it elsewhere to have clips held "
            "out."
        )


def _companions(path: Path, suffixes: Sequence[str], accept: Callable[[Path], bool], number: int) -> Lists | None:
    if path.suffix.lower() not in suffixes or not accept(path):
        return None
    if number != 1:
        raise ConfigError(f"split={number} chooses among the lists of a folder; {path} is one list. Leave split out.")
    split, rest = split_of(path.stem)
    if not path.parent.name:  # what folder it is in is seen in its whole path alone
        path = path.absolute()
    home = path.parent.parent if path.parent.name in LIST_FOLDERS else path.parent
    if split is None:
        return Lists(home, {"train": path})
    beside = _by_rest(path.parent, (path.suffix.lower(),)).get((*rest, path.suffix.lower()), {})
    files = _single({**beside, split: [path]})
    if "train" not in files:
        raise NotFoundError(f"{path} is a {split} list, and no training list of such a name is beside it; add train.*")
    return Lists(home, files)


def _by_rest(folder: Path, suffixes: Sequence[str]) -> dict[tuple[str, ...], dict[str, list[Path]]]:
    """Lists by split, by what their names have besides the split."""
    found: dict[tuple[str, ...], dict[str, list[Path]]] = {}
    names = [entry.name for entry in _entries(folder) if entry.name.lower().endswith(tuple(suffixes))]
    for path in (folder / name for name in sorted(names, key=natural_key) if not is_hidden(name)):
        split, rest = split_of(path.stem)
        if split and path.is_file():
            found.setdefault((*rest, path.suffix.lower()), {}).setdefault(split, []).append(path)
    return found


def _single(files: dict[str, list[Path]]) -> dict[str, Path]:
    for split, paths in files.items():
        if len(paths) > 1:
            raise DataError(f"{paths[0]} and {paths[1]} are both the {split} list; remove one")
    return {split: paths[0] for split, paths in files.items()}


def _chosen(found: dict[tuple[str, ...], dict[str, list[Path]]], split: int, notes: list[str]) -> tuple[str, ...]:
    """The only set of lists, or the only one with the split's number in its name."""
    if len(found) == 1 and split == 1:
        return next(iter(found))
    numbered = [rest for rest in found if str(split) in rest or f"split{split}" in rest]
    if len(numbered) == 1:
        name = found[numbered[0]]["train"][0].name
        notes += [f"{len(found)} sets of lists are there; read: split {split}, {name}"] if len(found) > 1 else []
        return numbered[0]
    names = [files["train"][0].name for files in found.values()]
    if len(found) == 1:
        raise ConfigError(f"split={split}: there is one training list, {names[0]}. Leave split out.")
    raise DataError(f"there are {len(found)} training lists: {first_few(names)}. Give the one to read as --data.")


def _is_clips_folder(root: Path) -> bool:
    """Whether the first few folders in it are clips of frames; those that cannot be read are none."""
    return any(_is_clip_folder(Path(entry.path)) for entry in _entries(root)[:9] if entry.is_dir())


def _is_clip_folder(folder: Path) -> bool:
    try:
        return is_clip(folder)
    except DataError:
        return False


def called_after_first(folders: Iterable[Path], split: str | None) -> list[Path]:
    """Folders in their order, but those called after a split in front."""
    return sorted(folders, key=lambda folder: split_of(folder.name)[0] != split)


def are_all_below(base: Path, paths: Sequence[str], disk: Disk) -> bool:
    """Whether all of the paths that are looked at exist below a folder."""
    return all(disk.has(base / path) for path in _sample(paths))


def _sample(paths: Sequence[str]) -> Sequence[str]:
    return paths[:: max(1, len(paths) // 64)]


def most_hits(paths: Sequence[str], bases: Iterable[Path], disk: Disk) -> Path:
    """The base under which most of the paths, looked at in equal steps, exist; the first where none does."""
    sample = _sample(paths)
    ranked = [(sum(disk.has(base / path) for path in sample), base) for base in bases]
    best = max(hits for hits, _ in ranked)
    return next(base for hits, base in ranked if hits == best)


def csv_rows(path: Path, rows: csv.DictReader[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows, each with its place. Raises for a quote that is not closed, or closed lines later: what stands between
    would be one field, and its clips lost."""
    last = rows.line_num
    try:
        for row in rows:
            where = f"{path}:{last + 1}"
            if any("\n" in value for value in row.values() if isinstance(value, str)):
                raise DataError(f"{where}: a quote is opened that is closed in line {rows.line_num} only; correct it")
            yield where, row
            last = rows.line_num
    except csv.Error as error:
        raise DataError(f"{path}:{last + 1}: not a line of csv ({error}); is a quote not closed?") from error

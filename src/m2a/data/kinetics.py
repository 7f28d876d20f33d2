"""Kinetics with its official lists: `label,youtube_id,time_start,time_end,split`, a file per clip."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from ..errors import DataError
from .clipset import VIDEO_SUFFIXES, ClipFile, ClipSet, is_hidden, names_in
from .listing import (
    CSV,
    SPLIT_NAMES,
    Lists,
    csv_rows,
    find_lists,
    first_lines,
    read_text,
    split_of,
    subfolders,
    without_labels,
)
from .reading import Reading, ReadOptions

FORMAT = "kinetics"
_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_NEEDED = _COLUMNS[1:]
Row = tuple[str, dict[str, str]]  # where it stands, `file:line`, and its values by column


def detect(root: Path) -> str | None:
    """The official training list, where there is one."""
    found = find_official(root)
    return found.files["train"].name if found else None


def find_official(root: Path, *, split: int = 1) -> Lists | None:
    """The official lists of a folder, or those that go with one of them."""
    return find_lists(root, (".csv",), _is_official, split=split)


def _is_official(path: Path) -> bool:
    lines = first_lines(path)
    return bool(lines) and {*_COLUMNS} <= {name.strip().strip('"') for name in lines[0].split(",")}


def read_official(lists: Lists, options: ReadOptions) -> ClipSet:
    """Reads the lists; labels come in alphabetical order, as elsewhere."""
    reading = Reading(format=FORMAT, root=lists.home, options=options, notes=[*lists.notes])
    for path in lists.files.values():
        for split, rows in _by_split(path, _read_rows(path)).items():
            _add(reading, path, split, rows)
    return reading.finish(sorted({clip.label for clips in reading.splits.values() for clip in clips}))


def _by_split(path: Path, rows: list[Row]) -> dict[str, list[Row]]:
    """The lines by the split that the file's name tells, or else their column."""
    named, _ = split_of(path.stem)
    has_column = any(row["split"] for _, row in rows)
    found: dict[str, list[Row]] = defaultdict(list)
    for where, row in rows:
        told, _ = split_of(row["split"])
        if named and told and named != told:
            raise DataError(
                f"{where}: the split is {row['split']!r}, but the name of the file says {named}; "
                "correct the column or the name"
            )
        if not named and not told and has_column:
            raise DataError(f"{where}: the split {row['split']!r} is not one of: {', '.join(SPLIT_NAMES)}")
        found[named or told or "train"].append((where, row))
    return found


def _add(reading: Reading, path: Path, split: str, rows: list[Row]) -> None:
    """Adds a list's clips of one split."""
    unlabelled = sum(not row["label"] for _, row in rows)
    if unlabelled == len(rows):
        reading.notes.append(without_labels(path, unlabelled))
        return
    videos = _index(reading.root, split)
    for where, row in rows:
        if not row["label"]:
            raise DataError(f"{where}: clip {row['youtube_id']} has no label; the others of the list have one")
        reading.add(split, _clip(row, where, videos, reading.root), where)
    reading.check_disk(path, split)


def _read_rows(path: Path) -> list[Row]:
    found: list[Row] = []
    rows = csv.DictReader(io.StringIO(read_text(path)), **CSV)
    lacking = [name for name in _NEEDED if name not in (rows.fieldnames or [])]
    if lacking:
        raise DataError(f"{path}:1: the column {lacking[0]!r} is missing; expected {','.join(_COLUMNS)},split")
    for where, row in csv_rows(path, rows):
        values = {name: (row.get(name) or "").strip() for name in (*_COLUMNS, "split")}
        found.append((where, values))
    if not found:
        raise DataError(f"{path} lists no clip")
    return found


def _clip(row: dict[str, str], where: str, videos: Mapping[str, list[Path]], home: Path) -> ClipFile:
    for name in ("time_start", "time_end"):
        if not row[name].replace(".", "", 1).isdecimal():
            raise DataError(f"{where}: {name} should be a number of seconds; got {row[name]!r}")
    if not row["youtube_id"]:
        raise DataError(f"{where}: youtube_id is empty")
    stem = f"{row['youtube_id']}_{int(float(row['time_start'])):06d}_{int(float(row['time_end'])):06d}"
    paths = videos.get(stem) or videos.get(row["youtube_id"]) or [home / f"{stem}.mp4"]
    in_class = [path for path in paths if _folded(path.parent.name) == _folded(row["label"])]
    return ClipFile(id=stem, path=(in_class or paths)[0], label=row["label"])


def _folded(label: str) -> str:
    """What is the same for all spellings of a label as a folder's name."""
    return "".join(letter for letter in label.lower() if letter.isalnum())


def _index(home: Path, split: str) -> dict[str, list[Path]]:
    """Videos by stem, in the split's folder and its class folders; where there is none, in all that name no split."""
    of_split = [folder for folder in subfolders(home) if split_of(folder.name)[0] == split]
    others = [folder for folder in subfolders(home) if split_of(folder.name)[0] is None]
    found: dict[str, list[Path]] = defaultdict(list)
    for folder in of_split or [home, *others]:
        for place in [folder] if folder == home else [folder, *subfolders(folder)]:
            for path in (place / name for name in names_in(place) if not is_hidden(name)):
                if path.suffix.lower() in VIDEO_SUFFIXES:
                    found[path.stem].append(path)
    return found

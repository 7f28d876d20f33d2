"""Tables of clips in csv: which clips there are, what they show, which split and group they belong to, one a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from posixpath import normpath
from typing import Any

from ..errors import DataError, NotFoundError
from ..wording import first_few
from .clipset import VIDEO_SUFFIXES, ClipFile, ClipSet, is_clip, is_hidden
from .listing import (
    CSV,
    SPLIT_NAMES,
    Lists,
    are_all_below,
    called_after_first,
    csv_rows,
    find_lists,
    first_lines,
    most_hits,
    read_text,
    subfolders,
    without_labels,
)
from .reading import Reading, ReadOptions, refuse_untrained

FORMAT = "csv"
COLUMNS = ("path", "label", "split")
_NEEDED = ("path", "label")
_SURPLUS = "beyond the columns"


def read_split_csv(root: Path, options: ReadOptions, notes: list[str]) -> dict[str, list[ClipFile]]:
    """Clips by split, of `root/split.csv`. Paths are relative to `root`; what was left out goes to `notes`."""
    reading = Reading(format=FORMAT, root=root, options=options, notes=notes)
    _read_table(root / "split.csv", None, reading, needed=COLUMNS)
    reading.check_disk(root / "split.csv")
    return reading.splits


def detect(root: Path) -> str | None:
    """The table, where there is one and it is not `split.csv`, which belongs to class folders."""
    if root.is_dir() and (root / "split.csv").is_file():
        return None
    found = _find(root)
    return found.files["train"].name if found else None


def tells_splits(root: Path) -> bool:
    """Whether the tables there tell which split a clip is in: there is one a split, or a column."""
    found = _find(root)
    if found is None or len(found.files) > 1:
        return found is not None
    return "split" in _columns(next(iter(first_lines(found.files["train"])), ""))


def read(root: Path, options: ReadOptions) -> ClipSet:
    """Reads `FILE.csv`, the only table of a folder, or `train.csv` with `val.csv`. Paths are relative to
    the table, or to the data set's folder."""
    lists = _find(root)
    if lists is None:
        what = "the header path,label is missing" if root.is_file() else "there is no csv with the columns path,label"
        raise NotFoundError(f"{root}: {what}; the {FORMAT} layout needs it (split and group are optional)")
    reading = Reading(format=FORMAT, root=lists.home, options=options)
    paired = len(lists.files) > 1
    for split, path in lists.files.items():
        _read_table(path, split if paired else None, reading, needed=_NEEDED)
    if reading.splits.get("train"):
        refuse_untrained(reading.root, reading.splits)
    for split, path in lists.files.items():
        if split != "test" or split in reading.splits:  # else it has no labels, or is empty: training needs none
            reading.check_disk(path, *([split] if paired else []))
    labels = {clip.label for clips in reading.splits.values() for clip in clips}
    numbers = all(label.isdecimal() for label in labels)
    return reading.finish(sorted(labels, key=lambda label: (int(label), label)) if numbers else sorted(labels))


def _find(root: Path) -> Lists | None:
    paired = find_lists(root, (".csv",), is_table)
    if paired or root.is_file():
        return paired
    tables = [path for path in sorted(root.glob("*.csv")) if not is_hidden(path.name) and is_table(path)]
    if len(tables) > 1:
        names = [path.name for path in tables]
        raise DataError(f"{root} holds {len(tables)} tables of clips: {first_few(names)}. Give one of them as --data.")
    return Lists(root, {"train": tables[0]}) if tables else None


def is_table(path: Path) -> bool:
    """Whether a file begins as a table of clips does, with a header or without."""
    lines = first_lines(path)
    return bool(lines) and ({*_NEEDED} <= {*_columns(lines[0])} or _is_headless(path, lines[0]))


def _is_headless(path: Path, line: str) -> bool:
    """Whether a table begins with a clip at once: `a.mp4,3`."""
    fields = _fields(line, _delimiter(line))
    if len(fields) != 2:
        return False
    try:
        return Path(fields[0]).suffix.lower() in VIDEO_SUFFIXES or is_clip(path.parent / fields[0])
    except (OSError, ValueError):  # no name that a file can have
        return False


def _columns(line: str) -> list[str]:
    """What a header names, in small letters."""
    return [name.lower() for name in _fields(line, _delimiter(line))]


def _delimiter(line: str) -> str:
    """What stands between the fields of a table with this first line: a comma, or what spreadsheets write where a comma
    is in numbers, a semicolon, or a tab."""
    by = {mark: _fields(line, mark) for mark in ",;\t"}
    named = [mark for mark, fields in by.items() if {*_NEEDED} <= {name.lower() for name in fields}]
    return next(iter(named or [mark for mark, fields in by.items() if len(fields) == 2]), ",")


def _fields(line: str, delimiter: str) -> list[str]:
    """Empty where it is no line of a table."""
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error:
        return []


def _read_table(path: Path, split: str | None, reading: Reading, *, needed: tuple[str, ...]) -> None:
    """Adds the clips of a table; `split` is theirs where the table has no such column."""
    first = next(iter(first_lines(path)), "")
    headless, delimiter = _is_headless(path, first), _delimiter(first)
    text = io.StringIO(read_text(path))
    rows = csv.DictReader(text, fieldnames=_NEEDED if headless else None, restkey=_SURPLUS, delimiter=delimiter, **CSV)
    header = [name.strip().lower() for name in rows.fieldnames or []]
    rows.fieldnames = header
    lacking = [name for name in needed if name not in header]
    if split == "test" and lacking == ["label"]:
        reading.notes.append(without_labels(path, len(list(csv_rows(path, rows)))))
        return
    if lacking:
        raise DataError(
            f"{path}:1: the column {lacking[0]!r} is missing; the first line must name the columns "
            f"{','.join(needed)} (it is {','.join(header)!r})"
        )
    found = _labelled(path, list(csv_rows(path, rows)), split, reading.notes)
    paths = [(row["path"] or "").strip() for _, row in found]
    base, below = _base_of(path, split, paths, reading)
    for where, row in found:
        _refuse_surplus(row, header, where)
        own, clip = _read_row(row, base, where, split, "split" in header)
        clip = replace(clip, id=below + clip.id)
        reading.add(own, clip, where)


def _base_of(path: Path, split: str | None, paths: Sequence[str], reading: Reading) -> tuple[Path, str]:
    """The folder below which most clips of a table are: its own, the data set's, or one directly below, of equal ones
    that which is called after the split; and what comes before the ids of clips in such a one."""
    base = most_hits(paths, [path.parent, reading.root], reading.disk)
    if are_all_below(base, paths, reading.disk):  # there may be many folders to look into
        return base, ""
    folders = called_after_first(subfolders(reading.root), split)
    base = most_hits(paths, [path.parent, reading.root, *folders], reading.disk)
    return base, f"{base.name}/" if base in folders and base != path.parent else ""


def _labelled(
    path: Path, rows: list[tuple[str, dict[str, Any]]], split: str | None, notes: list[str]
) -> list[tuple[str, dict[str, Any]]]:
    """Without the rows of a test split of which none has a label, with a note; training needs none."""
    is_test = [SPLIT_NAMES.get((row.get("split") or split or "").strip().lower()) == "test" for _, row in rows]
    labels = [(row["label"] or "").strip() for (_, row), its in zip(rows, is_test, strict=True) if its]
    if not labels or any(labels):
        return rows
    notes.append(without_labels(path, len(labels)))
    return [entry for entry, its in zip(rows, is_test, strict=True) if not its]


def _refuse_surplus(row: Mapping[str, str | Sequence[str] | None], header: Sequence[str], where: str) -> None:
    """Raises for a line with more fields than the header; those of a spreadsheet's empty columns do not count."""
    surplus = row.get(_SURPLUS) or ()
    if any(field.strip() for field in surplus):
        raise DataError(
            f"{where}: there are {len(header) + len(surplus)} fields for the {len(header)} columns {','.join(header)}; "
            f"got {','.join(surplus)!r} beyond them. Put a path or a label with a comma in it into double quotes."
        )


def _read_row(
    row: dict[str, str | None], base: Path, where: str, split: str | None, named: bool
) -> tuple[str, ClipFile]:
    path, label = ((row[name] or "").strip() for name in _NEEDED)
    if not path or not label:
        raise DataError(f"{where}: path and label must not be empty; got path={path!r}, label={label!r}")
    own = (row["split"] or "").strip() if named else split or "train"
    if own.lower() not in SPLIT_NAMES:
        raise DataError(f"{where}: the split {own!r} is not one of: {', '.join(SPLIT_NAMES)}")
    if split not in (None, "train", SPLIT_NAMES[own.lower()]):  # clips of train.csv may be held out by the column
        raise DataError(
            f"{where}: the split is {own!r}, and the file's name says {split}. Correct one, or give one table with all "
            "clips as --data."
        )
    group = (row.get("group") or "").strip()
    return SPLIT_NAMES[own.lower()], ClipFile(id=normpath(path), path=base / path, label=label, group=group)

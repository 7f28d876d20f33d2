"""`split.csv`: which clips there are, what they show and which split they belong to, one a line."""

from __future__ import annotations

import csv
from pathlib import Path

from ..errors import DataError
from .clipset import ClipFile
from .something_something import report_missing

COLUMNS = ("path", "label", "split")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


def read_split_csv(root: Path, *, missing: str, notes: list[str]) -> dict[str, list[ClipFile]]:
    """Clips by split. Paths are relative to `root`; further columns are ignored; what was left out goes to `notes`."""
    path = root / "split.csv"
    found: dict[str, list[ClipFile]] = {}
    first_lines: dict[str, int] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        header = rows.fieldnames or []
        lacking = [name for name in COLUMNS if name not in header]
        if lacking:
            raise DataError(
                f"{path}:1: the column {lacking[0]!r} is missing; the first line must name the columns "
                f"{','.join(COLUMNS)} (it is {','.join(header)!r})"
            )
        for row in rows:
            where = f"{path}:{rows.line_num}"
            split, clip = _read_row(row, root, where)
            if clip.id in first_lines:
                raise DataError(f"{where}: {clip.id} is listed already, in line {first_lines[clip.id]}; remove one")
            first_lines[clip.id] = rows.line_num
            found.setdefault(split, []).append(clip)
    absent = [clip.id for clips in found.values() for clip in clips if not clip.path.exists()]
    if absent:
        notes.append(report_missing(path, absent, len(first_lines), missing))
        gone = set(absent)
        found = {split: [clip for clip in clips if clip.id not in gone] for split, clips in found.items()}
    return found


def _read_row(row: dict[str, str | None], root: Path, where: str) -> tuple[str, ClipFile]:
    path, label, split = ((row[name] or "").strip() for name in COLUMNS)
    if not path or not label:
        raise DataError(f"{where}: path and label must not be empty; got path={path!r}, label={label!r}")
    if split.lower() not in SPLIT_NAMES:
        raise DataError(f"{where}: the split {split!r} is not one of: {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES[split.lower()], ClipFile(id=path, path=root / path, label=label)

"""Clips on the way from lists to a `ClipSet`: listed once, on disk, in splits that can be trained on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError
from ..wording import count, first_few
from .clipset import ClipFile, ClipSet
from .groups import hold_out, straddling
from .listing import Disk, report_missing


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a user may choose about reading."""

    validation_fraction: float = 0.2
    missing: str = "error"
    split: int = 1
    """Which of several official splits."""
    to_train: bool = True
    """Whether the set must do for training: training clips of two classes, and a validation split, which is held out
    where there is none."""


@dataclass(kw_only=True)
class Reading:
    """Collects clips, with notes about what is left out."""

    format: str
    root: Path
    options: ReadOptions
    notes: list[str] = field(default_factory=list)
    splits: dict[str, list[ClipFile]] = field(default_factory=dict)
    disk: Disk = field(default_factory=Disk)
    _places: dict[str, str] = field(default_factory=dict)
    _files: dict[tuple[str, tuple[int, int] | None], str] = field(default_factory=dict)

    def add(self, split: str, clip: ClipFile, where: str) -> None:
        """Takes a clip that is listed at `where`, `file:line`; it may be listed once."""
        file = (os.path.abspath(clip.path), clip.window)  # whose path may be written in several ways
        if (before := self._places.get(clip.id) or self._files.get(file)) is not None:
            raise DataError(f"{where}: clip {clip.id} is listed already, at {before}; remove one line")
        self._places[clip.id] = self._files[file] = where
        self.splits.setdefault(split, []).append(clip)

    def check_disk(self, listing: Path, *splits: str) -> None:
        """Raises for clips that the disk lacks, of some splits or all, or leaves them out with a note. Raises too where
        nothing is left of one of those splits, but for a test split that is left out whole: training needs none."""
        names = splits or tuple(self.splits)
        clips = [clip for name in names for clip in self.splits.get(name, [])]
        absent = [clip.id for clip in clips if not self.disk.has(clip.path)]
        if absent:
            self.notes.append(report_missing(listing, absent, len(clips), self.options.missing))
            gone = set(absent)
            for name in names:
                self.splits[name] = [clip for clip in self.splits.get(name, []) if clip.id not in gone]
        for name in splits:
            if not self.splits.get(name) and not (absent and name == "test"):
                raise DataError(f"{listing}: no {name} clip is left; at least one is needed")

    def finish(self, labels: Sequence[str]) -> ClipSet:
        """The clips as a set; a validation split is held out where there is none."""
        splits = complete(self.root, self.splits, labels, self.options, self.notes)
        used = {clip.label for clip in splits.get("train", ())}
        unused = [label for label in labels if label not in used]
        if unused and used:
            self.notes.append(f"{len(unused)} of {len(labels)} labels have no training clip: {first_few(unused, 3)}")
        return ClipSet(format=self.format, root=self.root, labels=tuple(labels), splits=splits, notes=tuple(self.notes))


def complete(
    root: Path,
    found: Mapping[str, Sequence[ClipFile]],
    labels: Sequence[str],
    options: ReadOptions,
    notes: list[str],
) -> dict[str, tuple[ClipFile, ...]]:
    """The splits in their order, as a set has them. One that is to be trained on must have training clips and two
    classes, and its validation split is held out where there is none; any other must have clips."""
    splits = {name: list(clips) for name, clips in found.items() if clips}
    if not splits.get("train") and (options.to_train or not splits):
        told = f" ({'; '.join(notes)})" if notes else ""
        raise DataError(f"{root} has no training clip; its splits are: {', '.join(splits) or 'none'}{told}")
    if not splits.get("validation") and options.to_train:
        splits |= held_out(splits["train"], options, notes)
    if warning := straddling(splits):
        notes.append(warning)
    if len(labels) < 2 and options.to_train:
        raise DataError(f"{root} has {len(labels)} class ({first_few(list(labels))}); at least 2 are needed")
    return {name: tuple(splits[name]) for name in ("train", "validation", "test") if splits.get(name)}


def refuse_untrained(root: Path, splits: Mapping[str, Sequence[ClipFile]]) -> None:
    """Raises where validation or test has classes that training lacks."""
    labels = {clip.label for clip in splits["train"]}
    for name in ("validation", "test"):
        unknown = sorted({clip.label for clip in splits.get(name, [])} - labels)
        if unknown:
            raise DataError(
                f"{root}: the {name} split has classes that training lacks: {first_few(unknown)}. "
                "Add training clips for them, or remove them."
            )


def held_out(train: list[ClipFile], options: ReadOptions, notes: list[str]) -> dict[str, list[ClipFile]]:
    """`train` and `validation`, from training clips alone."""
    fraction = options.validation_fraction
    kept, held = hold_out(train, fraction=fraction)
    if not held:
        raise DataError(
            "there is no validation split, and none can be held out: each class would lose all its clips or groups. "
            "Add clips or groups, or list a validation split."
        )
    grouped = ", in whole groups" if any(clip.group for clip in train) else ""
    notes.append(
        f"no validation split: about {fraction:.0%} of each class ({count(len(held), 'clip')}) "
        f"is held out of training{grouped}, chosen by their {'names' if grouped else 'paths'}, so always the same ones"
    )
    without = sorted({clip.label for clip in train} - {clip.label for clip in held})
    if without:
        notes.append(f"{len(without)} labels are too small to hold a clip out: {first_few(without, 3)}")
    return {"train": kept, "validation": held}

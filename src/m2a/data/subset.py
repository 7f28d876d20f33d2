"""The first clips of each class: a smaller set that is the same for every seed."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..wording import first_few
from .clipset import ClipFile, ClipSet


def first_of_each_class(clips: ClipSet, limits: Mapping[str, int | None]) -> tuple[ClipSet, tuple[str, ...]]:
    """The set with at most so many clips of each class in a split, and a sentence about each split that has a limit.

    Which clips come first is decided by a hash of their ids alone: not by a seed, nor by the order of files, and a
    smaller number gives a part of what a larger one gives. A class with fewer clips keeps all.
    """
    splits, notes = dict(clips.splits), []
    for split, limit in limits.items():
        if limit is not None and split in splits:
            splits[split] = _first(splits[split], limit)
            notes.append(_note(split, limit, splits[split], of=len(clips.splits[split])))
    return replace(clips, splits=splits), tuple(notes)


def _first(members: Sequence[ClipFile], limit: int) -> tuple[ClipFile, ...]:
    by_label: dict[str, list[ClipFile]] = defaultdict(list)
    for clip in sorted(members, key=_place):
        by_label[clip.label].append(clip)
    kept = {clip.id for own in by_label.values() for clip in own[:limit]}
    return tuple(clip for clip in members if clip.id in kept)


def _place(clip: ClipFile) -> tuple[str, str]:
    return hashlib.sha256(clip.id.encode(errors="surrogateescape")).hexdigest(), clip.id


def _note(split: str, limit: int, kept: Sequence[ClipFile], *, of: int) -> str:
    counts: dict[str, int] = defaultdict(int)
    for clip in kept:
        counts[clip.label] += 1
    note = f"the first {limit:,} clips of each class of {split}: {len(kept):,} of {of:,}"
    if fewer := [f"{label} ({count:,})" for label, count in sorted(counts.items()) if count < limit]:
        note += f"; fewer than {limit:,}, so all, of {first_few(fewer)}"
    return note

"""Clips with the same content: files with the same bytes, folders with the same frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ...wording import first_few
from ..clipset import ClipFile, ClipSet
from ..parts import Part
from ..shards import find_in_shard
from .facts import ClipFacts, frame_names
from .records import Fingerprint
from .report import Finding, finding_of

_KEPT_LAST = ("train", "validation", "test")  # of copies in several splits, the training copy is the one to leave out


def find_duplicates(
    clips: ClipSet, facts: Mapping[Path, ClipFacts], marks: Mapping[Path, Fingerprint]
) -> Iterator[Finding]:
    """Copies in one split, copies on both sides of a split, and copies under different labels."""
    splits = {clip.id: split for split, members in clips.splits.items() for clip in members}
    for copies in _copies(clips, facts, marks):
        if len({clip.label for clip in copies}) > 1:
            for clip in copies:
                others = [f"{c.id} ({c.label!r})" for c in copies if c is not clip and c.label != clip.label]
                why = f"labelled {clip.label!r}, and the same bytes as {first_few(others, 3)}"
                if others:
                    yield finding_of(clip, "copy with another label", "error", why)
        found = {splits[clip.id] for clip in copies}
        if len(found) > 1:
            measured = max(found, key=_rank)
            for clip in copies:
                others = [c.id for c in copies if splits[c.id] == measured]
                if splits[clip.id] != measured:
                    why = f"in {splits[clip.id]}, and the same bytes as {first_few(others, 3)} in {measured}"
                    yield finding_of(clip, "copy across the split", "error", why)
        yield from _within(copies, splits)


def _within(copies: Sequence[ClipFile], splits: Mapping[str, str]) -> Iterator[Finding]:
    first: dict[tuple[str, str], ClipFile] = {}
    for clip in copies:
        original = first.setdefault((splits[clip.id], clip.label), clip)
        if original is not clip:
            yield finding_of(clip, "copy", "warning", f"the same bytes as {original.id}, in the same split and class")


def _rank(split: str) -> int:
    return _KEPT_LAST.index(split) if split in _KEPT_LAST else 0


def _copies(
    clips: ClipSet, facts: Mapping[Path, ClipFacts], marks: Mapping[Path, Fingerprint]
) -> Iterator[list[ClipFile]]:
    """Clips with the same content, two or more at a time. Content is read only where sizes agree."""
    by_size: dict[tuple[int, tuple[int, int] | None], list[ClipFile]] = {}
    for members in clips.splits.values():
        for clip in members:
            if not facts[clip.path].fault:
                by_size.setdefault((marks[clip.path].size, clip.window), []).append(clip)
    for alike in by_size.values():
        if len(alike) > 1:
            paths = dict.fromkeys(clip.path for clip in alike)
            digests = {path: _digest(path) if len(paths) > 1 else "" for path in paths}
            by_content: dict[str, list[ClipFile]] = {}
            for clip in alike:
                by_content.setdefault(digests[clip.path], []).append(clip)
            yield from (copies for copies in by_content.values() if len(copies) > 1)


def _digest(path: Path) -> str:
    """Of what cannot be read any more its own path, which no copy has."""
    try:
        return _digest_of_content(path)
    except OSError:
        return str(path)


def _digest_of_content(path: Path) -> str:
    parts = None if path.exists() else find_in_shard(path)
    if parts is None and not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    frames = hashlib.sha256()
    files: Sequence[Path | Part] = parts or [path / name for name in frame_names(path)]
    for frame in files:
        frames.update(hashlib.sha256(frame.read_bytes()).digest())
    return frames.hexdigest()

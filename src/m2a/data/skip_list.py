"""A list of clips to leave out: one path a line, relative to the set's root, with `#` lines for the reasons."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import DataError, NotFoundError
from .clipset import ClipFile, ClipSet


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A clip that a skip list names, and the reason that stands above it there."""

    clip: ClipFile
    reason: str


def leave_out(clips: ClipSet, skip_list: str | Path) -> tuple[ClipSet, Mapping[str, tuple[LeftOut, ...]]]:
    """The set without the clips that the list names, and those clips, by split.

    A line is a clip's path below the set's root, or its id. Raises `NotFoundError` where there is no such file, and
    `DataError` for a line that names no clip of the set.
    """
    path = Path(skip_list)
    lines = _read(path)
    names = {
        name: clip.id
        for members in clips.splits.values()
        for clip in members
        for name in (clip.id, listed_path(clip, clips.root))
    }
    # a name may begin or end in a space, which else is nobody's
    entries = {line if line in names else line.strip(): entry for line, entry in lines.items()}
    for name, (line, _) in entries.items():
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0) or ["nothing"]
            raise DataError(
                f"{path}:{line}: {name!r} is no clip of {clips.root} (nearest: {near[0]!r}). "
                "A line is a clip's path relative to that folder; correct it or remove it."
            )
    kept: dict[str, tuple[ClipFile, ...]] = {}
    left: dict[str, tuple[LeftOut, ...]] = {}
    for split, members in clips.splits.items():
        found = {clip.id: entries.get(listed_path(clip, clips.root)) or entries.get(clip.id) for clip in members}
        kept[split] = tuple(clip for clip in members if found[clip.id] is None)
        left[split] = tuple(
            LeftOut(clip=clip, reason=f"left out by {path}{f': {entry[1]}' if entry[1] else ''}")
            for clip in members
            if (entry := found[clip.id])
        )
    return replace(clips, splits=kept), left


def listed_path(clip: ClipFile, root: Path) -> str:
    """What a skip list calls a clip: its path below the set's root, or the whole path where it lies elsewhere."""
    name = clip.path.relative_to(root).as_posix() if clip.path.is_relative_to(root) else clip.path.as_posix()
    return f"./{name}" if name.startswith("#") else name


def _read(path: Path) -> dict[str, tuple[int, str]]:
    """Line number and reason of each entry, a line as it is."""
    if not path.is_file():
        raise NotFoundError(f"There is no skip list {path}. m2a data check writes one, skip.txt.")
    entries: dict[str, tuple[int, str]] = {}
    reasons: list[str] = []
    lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text.startswith("#"):
            reasons.append(text.lstrip("# "))
        else:
            if text:
                entries[line.rstrip("\r")] = (number, "; ".join(reasons))
            reasons = []
    return entries

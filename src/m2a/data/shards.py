"""A data set in tar files, shards, with `shards.json`, an index by which each clip is found without reading the rest.

A clip in a shard has the path of the shard and its name in it: `set/train-000000.tar/00000007-waving.mp4`, or
`set/train-000000.tar/00000007-waving` where it consists of frames (`00000007-waving.00001.jpg`, ...). `open_clip` takes
such a path like any other. `m2a.data.sharding` writes shards.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import DataError, NotFoundError, UnreadableClipError
from ..wording import count, first_few
from .clipset import ClipFile, ClipSet, check_one_clip
from .listing import report_missing
from .parts import Part
from .reading import ReadOptions, complete

FORMAT = "shards"
INDEX = "shards.json"
VERSION = 1
FRAMES = "frames"
_BLOCK = 512


def padded(size: int) -> int:
    """The bytes that a member's content takes in a tar file, which is made of blocks."""
    return -(-size // _BLOCK) * _BLOCK


def member_offsets(start: int, sizes: list[int]) -> list[int]:
    """Where the bytes of members begin that follow each other in a tar file, each behind a header of one block."""
    offsets = []
    for size in sizes:
        offsets.append(start)
        start += padded(size) + _BLOCK
    return offsets


def frame_name(key: str, number: int) -> str:
    """The name in a shard of a clip's frame, counted from 1."""
    return f"{key}.{number:05d}.jpg"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One clip in the index."""

    id: str
    label: str
    group: str
    window: tuple[int, int] | None
    split: str
    shard: str
    key: str
    kind: str
    """The suffix of a video file, `.mp4`, or `frames`."""
    offset: int
    """Where the first byte of the video or of the first frame lies in the shard."""
    sizes: list[int]
    """In bytes, of the video or of each frame."""

    @property
    def name(self) -> str:
        """The last part of the clip's path."""
        return self.key if self.kind == FRAMES else self.key + self.kind

    def parts(self, shard: Path) -> list[Part]:
        """Its video, or its frames."""
        names = [self.name] if self.kind != FRAMES else [frame_name(self.key, k + 1) for k in range(len(self.sizes))]
        members = zip(names, member_offsets(self.offset, self.sizes), self.sizes, strict=True)
        return [Part(name, shard, offset, size) for name, offset, size in members]


@dataclass(frozen=True, kw_only=True)
class Index:
    """What `shards.json` says."""

    labels: tuple[str, ...]
    entries: tuple[Entry, ...]
    """In the order of the set that the shards were made of."""
    num_left_out: int
    notes: tuple[str, ...]
    """What was said when that set was read."""
    places: dict[tuple[str, str], int]
    """From the shard's name and the clip's name in it to the entry."""


def read_index(path: Path) -> Index:
    """Reads `shards.json`, once as long as it does not change. Raises DataError where it is not one."""
    status = path.stat()
    return _read_index(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _read_index(path: Path, modified: int, size: int) -> Index:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["schema"]
        if version != VERSION:
            raise DataError(
                f"{path} has schema {version!r}; this version of m2a reads {VERSION}. Write the shards anew."
            )
        entries = tuple(_entry(values) for values in content["clips"])
        return Index(
            labels=tuple(content["labels"]),
            entries=entries,
            num_left_out=len(content["left_out"]),
            notes=tuple(map(str, content.get("notes", ()))),
            places={(entry.shard, entry.name): number for number, entry in enumerate(entries)},
        )
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path} is damaged ({type(error).__name__}: {error}); copy it again, or write the shards anew"
        ) from error


def _entry(values: dict[str, Any]) -> Entry:
    window = values["window"]
    return Entry(**{**values, "window": tuple(window) if window else None})


def find_in_shard(path: Path) -> list[Part] | None:
    """The bytes of the clip at such a path: its video, or its frames. None where it is no path into a shard that has
    an index. Raises UnreadableClipError where the shard is shorter than the index says."""
    shard, index = path.parent, path.parent.parent / INDEX
    if shard.suffix != ".tar" or not shard.is_file() or not index.is_file():
        return None
    known = read_index(index)
    place = known.places.get((shard.name, path.name))
    if place is None:
        return None
    parts = known.entries[place].parts(shard)
    end, size = parts[-1].offset + parts[-1].size, shard.stat().st_size
    if end > size:
        raise UnreadableClipError(path, f"the shard {shard.name} is cut off: it has {size} bytes of at least {end}")
    return parts


def check_video(path: Path) -> None:
    """Raises NotFoundError where there is nothing at a path, on the disk or in a shard, and DataError for a picture and
    for a folder of videos."""
    if not path.exists() and find_in_shard(path) is None:
        raise NotFoundError(f"There is no video {path}. Give a video file or a folder of .jpg frames.")
    check_one_clip(path)


def detect(root: Path) -> str | None:
    """The index, where there is one."""
    return INDEX if root.is_dir() and (root / INDEX).is_file() else None


def read(root: Path, options: ReadOptions) -> ClipSet:
    """The set that the shards were made of, with paths into them."""
    if not (root / INDEX).is_file():
        raise NotFoundError(f"{root} holds no {INDEX}; the {FORMAT} layout needs it. m2a data shard writes it.")
    index = read_index(root / INDEX)
    notes = [f"when the shards were written: {note}" for note in index.notes]
    if index.num_left_out:
        notes.append(f"{count(index.num_left_out, 'clip')} could not be opened when the shards were written")
    gone = {name for name in sorted({entry.shard for entry in index.entries}) if not (root / name).is_file()}
    if gone:
        absent = [entry.id for entry in index.entries if entry.shard in gone]
        notes.append(f"the shards {first_few(sorted(gone))} are missing")
        notes.append(report_missing(root / INDEX, absent, len(index.entries), options.missing))
    splits: dict[str, list[ClipFile]] = {}
    for entry in index.entries:
        clip = ClipFile(
            id=entry.id,
            path=root / entry.shard / entry.name,
            label=entry.label,
            group=entry.group,
            window=entry.window,
        )
        splits.setdefault(entry.split, [])
        splits[entry.split] += [] if entry.shard in gone else [clip]
    for name, members in splits.items():
        if not members:
            raise DataError(f"{root}: all shards of the {name} split are missing; at least one is needed")
    whole = complete(root, splits, index.labels, options, notes)
    return ClipSet(format=FORMAT, root=root, labels=index.labels, splits=whole, notes=tuple(notes))

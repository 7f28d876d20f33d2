"""Writing a data set into tar files, as WebDataset reads them, with an index by which m2a reads them."""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import sys
import tarfile
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..ending import DISK_FULL
from ..errors import ConfigError, DataError, UnreadableClipError
from ..wording import first_few
from ..writing import put, replacing
from .checking.facts import frame_names
from .clipset import ClipFile, ClipSet
from .groups import straddling
from .parts import readable
from .shards import FORMAT, FRAMES, INDEX, VERSION, Entry, frame_name, padded

T = TypeVar("T")
R = TypeVar("R")

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_MARGIN = 64 * 10**6  # bytes of the disk that are left free
_HEADER = 512

Progress = Callable[[str, int, int], None]
"""Called with what is being done, the number done and the number there are."""


@dataclass(frozen=True, kw_only=True)
class ShardSummary:
    """What was written."""

    root: Path
    shards: tuple[str, ...]
    counts: Mapping[str, int]
    """Clips by split."""
    num_bytes: int
    left_out: Mapping[Path, str]
    """Clips that cannot be opened, with the reason."""


@dataclass(frozen=True)
class _Media:
    """What of a clip goes into a shard."""

    files: tuple[str, ...] = ()
    """Names of frames in the clip's folder; of a video none."""
    sizes: Sequence[int] = ()
    kind: str = ""
    reason: str = ""
    """Why it cannot be opened."""


@dataclass(frozen=True)
class _Member:
    split: str
    clip: ClipFile
    media: _Media
    key: str

    @property
    def description(self) -> bytes:
        """The clip's `.json`."""
        window = self.clip.window if self.media.kind != FRAMES else None
        values = {"id": self.clip.id, "label": self.clip.label, "group": self.clip.group, "window": window}
        return json.dumps(values).encode()

    @property
    def num_bytes(self) -> int:
        """In the tar file, headers included."""
        sizes = (*self.media.sizes, len(self.description))
        return sum(_HEADER + padded(size) for size in sizes)


def write_shards(
    clips: ClipSet,
    out: str | Path,
    *,
    shard_size: int = 10**9,
    workers: int = 1,
    seed: int = 0,
    skip_bad: bool = False,
    progress: Progress | None = None,
) -> ShardSummary:
    """Writes a data set as `out/<split>-000000.tar`, those that follow it, and `out/shards.json`; `read_clips(out)`
    gives the set back.

    The bytes of videos and frames are copied as they are. Each split is shuffled by `seed`, so that a shard holds a
    mix. Of a window of a folder of frames only its frames are written; of a window of a video the whole video. When
    anything fails, what was written is removed.

    Args:
        out: a new or empty folder.
        shard_size: bytes from which on another shard is begun.
        workers: threads that open clips and write shards.
        skip_bad: leave out clips that cannot be opened, instead of stopping.

    Raises:
        ConfigError: an argument cannot work, or `out` is in use.
        DataError: a clip cannot be opened or read, or the disk is too small.
    """
    out = Path(out)
    _validate(clips, out, shard_size, workers, seed)
    tell = progress or (lambda what, done, total: None)
    listed = [(split, clip) for split, members in clips.splits.items() for clip in members]
    looked_at = _look_at_all([clip for _, clip in listed], workers, skip_bad, tell)
    good = [(split, clip) for split, clip in listed if not looked_at[clip.id].reason]
    for split in clips.splits:
        if not any(other == split for other, _ in good):
            raise DataError(f"no clip of the {split} split of {clips.root} can be opened; at least one is needed")
    shards = _plan(good, looked_at, shard_size, seed)
    new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        _check_space(out, shards)
        places = _write_all(out, shards, workers, tell)
        _write_index(out, clips, good, looked_at, shards, places)
    except BaseException:
        _remove(out, [*shards, INDEX], folder_too=new)
        raise
    return ShardSummary(
        root=out,
        shards=tuple(shards),
        counts={split: sum(other == split for other, _ in good) for split in clips.splits},
        num_bytes=sum((out / name).stat().st_size for name in shards),
        left_out={clip.path: looked_at[clip.id].reason for _, clip in listed if looked_at[clip.id].reason},
    )


def parse_size(text: str) -> int:
    """Bytes, of `1GB`, `500 MB` or `64MiB`. Raises ConfigError for anything else."""
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", text)
    if not found or found[2].upper() not in _UNITS:
        raise ConfigError(f"{text!r} is not a size; write it like 1GB, 500MB or 64MiB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def _look_at_all(clips: Sequence[ClipFile], workers: int, skip_bad: bool, tell: Progress) -> dict[str, _Media]:
    found: dict[str, _Media] = {}
    for clip, media in _in_threads(_look_at, clips, workers):
        found[clip.id] = media
        if media.reason and not skip_bad:
            raise DataError(
                f"{clip.path} cannot be opened: {media.reason}. Nothing was written. Repair or remove it, or "
                "leave such clips out with --skip-bad; shards.json then names them."
            )
        tell("opening", len(found), len(clips))
    return found


def _look_at(clip: ClipFile) -> _Media:
    from .readers import open_clip

    try:
        with open_clip(clip.path, window=clip.window):
            pass
        if not clip.path.is_dir():
            return _Media((), (clip.path.stat().st_size,), clip.path.suffix.lower() or ".video")
        start, count = clip.window or (0, None)
        names = frame_names(clip.path)[start : None if count is None else start + count]
        sizes = array("Q", ((clip.path / name).stat().st_size for name in names))  # a set has millions
        return _Media(tuple(map(sys.intern, names)), sizes, FRAMES)
    except UnreadableClipError as error:
        return _Media(reason=error.reason)
    except OSError as error:
        return _Media(reason=f"it cannot be read ({error.strerror})")


def _in_threads(function: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[tuple[T, R]]:
    """Items with their results, in order. The work is waiting for disks, so threads do."""
    if workers <= 1:
        yield from ((item, function(item)) for item in items)
        return
    pool = ThreadPoolExecutor(workers)
    try:
        yield from zip(items, pool.map(function, items), strict=True)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _plan(
    good: Sequence[tuple[str, ClipFile]], media: Mapping[str, _Media], shard_size: int, seed: int
) -> dict[str, list[_Member]]:
    """Which clips go into which shard, in order."""
    shards: dict[str, list[_Member]] = {}
    number = 0
    for split in dict.fromkeys(split for split, _ in good):
        clips = [clip for other, clip in good if other == split]
        random.Random(f"{seed} {split}").shuffle(clips)
        shard, filled = 0, 0
        for clip in clips:
            member = _Member(split, clip, media[clip.id], f"{number:08d}-{_slug(clip.id)}".rstrip("-"))
            if filled and filled + member.num_bytes > shard_size:
                shard, filled = shard + 1, 0
            shards.setdefault(f"{split}-{shard:06d}.tar", []).append(member)
            filled += member.num_bytes
            number += 1
    return shards


def _slug(name: str) -> str:
    """What of a clip's id may stand in a key: no dot, at which WebDataset ends it, and no slash."""
    stem = re.sub(r"\.[A-Za-z0-9]{1,5}$", "", name)
    return re.sub(r"[^A-Za-z0-9]+", "-", stem)[-48:].strip("-").lower()


def _check_space(out: Path, shards: Mapping[str, Sequence[_Member]]) -> None:
    needed = sum(member.num_bytes for members in shards.values() for member in members)
    free = shutil.disk_usage(out).free
    if needed + _MARGIN > free:
        raise DataError(
            f"The shards need {readable(needed)}, and {out} has {readable(free)} free. Nothing was written. Give "
            "a folder on a larger disk."
        )


def _write_all(
    out: Path, shards: Mapping[str, list[_Member]], workers: int, tell: Progress
) -> dict[str, dict[str, int]]:
    """Where each clip's first byte lies, by shard and id."""
    places: dict[str, dict[str, int]] = {}
    jobs = list(shards.items())
    for (name, _), offsets in _in_threads(partial(_write_shard, out), jobs, workers):
        places[name] = offsets
        tell("writing", len(places), len(shards))
    return places


def _write_shard(out: Path, job: tuple[str, list[_Member]]) -> dict[str, int]:
    name, members = job
    try:
        with replacing(out / name) as (part,), tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as tar:
            return {member.clip.id: _add(tar, member) for member in members}
    except OSError as error:
        if error.errno in DISK_FULL:
            raise DataError(
                f"The disk became full while {out / name} was written ({error.strerror}). What was written is removed. "
                "Give a folder on a larger disk."
            ) from error
        raise DataError(f"{out / name} cannot be written ({error.strerror or error})") from error


def _add(tar: tarfile.TarFile, member: _Member) -> int:
    """Adds a clip's members in the order of their names; returns where its video or first frame begins."""
    contents: list[tuple[str, Path | bytes, int]] = []
    path = member.clip.path
    files = [path / name for name in member.media.files] or [path]
    for number, (file, size) in enumerate(zip(files, member.media.sizes, strict=True), start=1):
        name = frame_name(member.key, number) if member.media.kind == FRAMES else member.key + member.media.kind
        contents.append((name, file, size))
    contents.append((f"{member.key}.json", member.description, len(member.description)))
    if member.media.kind != FRAMES:  # those are in order, and must follow each other
        contents.sort(key=lambda entry: entry[0])
    first = -1
    for name, content, size in contents:
        header = tarfile.TarInfo(name)  # without owner and times: the same set gives the same bytes
        header.size = size
        if first < 0 and isinstance(content, Path):
            first = tar.offset + _HEADER
        with ExitStack() as stack:
            if isinstance(content, Path):
                _add_file(tar, header, stack, content, member.clip.path)
            else:
                tar.addfile(header, io.BytesIO(content))
    return first


def _add_file(tar: tarfile.TarFile, header: tarfile.TarInfo, stack: ExitStack, file: Path, clip: Path) -> None:
    try:
        opened = stack.enter_context(file.open("rb"))
    except OSError as error:
        raise DataError(f"{clip} cannot be read any more ({file.name}: {error.strerror})") from error
    if os.fstat(opened.fileno()).st_size != header.size:
        raise DataError(f"{clip} changed while the shards were written ({file.name}); start again")
    tar.addfile(header, opened)


def _write_index(
    out: Path,
    clips: ClipSet,
    good: Sequence[tuple[str, ClipFile]],
    media: Mapping[str, _Media],
    shards: Mapping[str, Sequence[_Member]],
    places: Mapping[str, Mapping[str, int]],
) -> None:
    """In the order of the set, so that training on shards draws what training on the set does."""
    homes = {member.clip.id: (name, member) for name, members in shards.items() for member in members}
    entries: list[dict[str, Any]] = []
    for split, clip in good:
        name, member = homes[clip.id]
        entry = Entry(
            id=clip.id,
            label=clip.label,
            group=clip.group,
            window=None if member.media.kind == FRAMES else clip.window,
            split=split,
            shard=name,
            key=member.key,
            kind=member.media.kind,
            offset=places[name][clip.id],
            sizes=list(member.media.sizes),
        )
        entries.append(asdict(entry))
    listed = [clip for members in clips.splits.values() for clip in members]
    left_out = [(clip, media[clip.id].reason) for clip in listed if media[clip.id].reason]
    content = {
        "schema": VERSION,
        "labels": list(clips.labels),
        "notes": [note for note in clips.notes if note != straddling(clips.splits)],  # which the shards tell, too
        "left_out": [{"id": clip.id, "path": str(clip.path), "reason": reason} for clip, reason in left_out],
        "clips": entries,
    }
    try:
        put(out / INDEX, f"{json.dumps(content)}\n".encode())
    except OSError as error:
        raise DataError(f"{out / INDEX} cannot be written ({error.strerror}); what was written is removed") from error


def _remove(out: Path, names: Sequence[str], *, folder_too: bool) -> None:
    for name in names:
        (out / name).unlink(missing_ok=True)
    if folder_too and not any(out.iterdir()):
        out.rmdir()


def _validate(clips: ClipSet, out: Path, shard_size: int, workers: int, seed: int) -> None:
    if shard_size < 1 or workers < 0 or seed < 0:
        raise ConfigError(
            f"shard_size={shard_size} must be at least 1, workers={workers} at least 0, seed={seed} at least 0"
        )
    if clips.format == FORMAT:
        raise ConfigError(f"{clips.root} is in shards already. Copy them, or give the set that they were made of.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        found = first_few(sorted(child.name for child in out.iterdir()), 3) if out.is_dir() else "a file"
        raise ConfigError(f"{out} is not empty ({found}); give a new folder for the shards")

"""Decoded clips, kept in files, so that each is decoded once.

A file holds all frames of one clip as an array of uint8, (N, H, W, 3), in numpy's format. Files may be deleted at any
time; a clip whose file is not there is decoded again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from ..ending import DISK_FULL
from ..errors import CacheError, UnreadableClipError
from ..writing import PART, replacing
from .clip_reader import ClipReader
from .clipset import ClipFile, is_frame
from .memory import available_memory
from .parts import readable
from .readers import Decoder, open_clip
from .shards import find_in_shard

Pixels = UInt8[np.ndarray, "H W 3"]
VERSION = 2  # of what is in the files; part of their names
MEMORY = Path("/dev/shm")
_HEADER = re.compile(rb"\{'descr': '\|u1', 'fortran_order': False, 'shape': \((\d+), (\d+), (\d+), (3)\), \} *\n")
_MARGIN = 256 * 10**6  # bytes of the disk that are left free, or a twentieth of a small one
_DAY = 24 * 3600.0
_SAMPLE = 32  # clips by which the space for all is estimated


def free_space(folder: Path) -> int:
    """Bytes that may be written where a folder is; in memory no more than what is available, of the machine and of the
    container that this runs in."""
    usage = shutil.disk_usage(folder)
    free = usage.free - min(_MARGIN, usage.total // 20)
    if folder.is_relative_to(MEMORY):
        free = min(free, available_memory() - _MARGIN)
    return max(0, free)


@dataclass(frozen=True)
class Holding:
    """What a cache holds."""

    num_clips: int
    num_bytes: int


class CachedClip(ClipReader):
    """A clip whose frames were decoded before. Only the frames wanted are read."""

    def __init__(self, path: Path, frames_NHWC: UInt8[np.ndarray, "N H W 3"]) -> None:
        self.path = path
        self.num_frames = len(frames_NHWC)
        self._frames_NHWC = frames_NHWC

    def stream(self, indices: Sequence[int]) -> Iterator[tuple[int, UInt8[Tensor, "3 H W"]]]:
        for index in indices:
            yield index, torch.from_numpy(np.array(self._frames_NHWC[index])).permute(2, 0, 1)


class ClipCache:
    """A folder of decoded clips. `open` stands in for `open_clip`.

    The first time a clip is opened, all its frames are decoded, those whose short side is longer than `short_side` are
    scaled down to it, and the frames are written. Crops are then taken from the scaled frames: the same crops, as
    shares of the frame, whose pixels differ a little from those of the full frames: they are scaled twice, and crops
    begin at whole pixels of a smaller frame. On a picture without edges the mean difference is below 2 of 255. Frames
    that are no larger than `short_side` stay as they are, and so do their crops.

    A file's name comes from the clip's path, its size and the time it was last written (those of all frames of a
    folder), its window, the decoder and `short_side`: a clip that has changed is decoded anew. Several processes may
    use one folder. A clip that cannot be decoded to its last frame is not kept, but opened as `open_clip` does.

    `free` tells how many bytes may be written to a folder. Raises CacheError where the folder cannot be made.
    """

    def __init__(self, folder: str | Path, *, free: Callable[[Path], int] = free_space) -> None:
        self.folder = Path(folder)
        self._free = free
        self._unreadable: set[str] = set()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._refusal(error) from error

    def open(
        self,
        path: str | Path,
        *,
        window: tuple[int, int] | None = None,
        decoder: Decoder = "pyav",
        short_side: int | None = None,
    ) -> ClipReader:
        """As `open_clip`; raises CacheError too, where the clip's frames cannot be written."""
        path = Path(path)
        file = self._file(path, window, decoder, short_side)
        frames = None if file is None else _load(file)
        if frames is None and file is not None and file.name not in self._unreadable:
            try:
                self._fill(file, path, window, decoder, short_side)
            except UnreadableClipError:
                self._unreadable.add(file.name)
            frames = _load(file)
        if frames is None:
            return open_clip(path, window=window, decoder=decoder, short_side=short_side)
        return CachedClip(path, frames)

    def prepare(
        self, clips: Sequence[ClipFile], *, decoder: Decoder, short_side: int | None, beside: int = 0
    ) -> Holding:
        """Tells what the folder holds. Raises CacheError where there seems to be too little space for what is not in it
        yet of these clips, judged by a few of them, and for the bytes `beside` that others will take there."""
        self._remove_old_parts()
        needed, free = self._needed(clips, decoder, short_side), self._free(self.folder)
        if needed and needed + beside > free:
            others = f", and the batches of the workers {readable(beside)}" if beside else ""
            raise CacheError(
                f"The cache of decoded clips needs about {readable(needed)} more in {self.folder}{others}, where "
                f"{readable(free)} may be used. Nothing was written. Use {'fewer --workers, ' if beside else ''}{_WAYS}"
            )
        return self.holding()

    def holding(self) -> Holding:
        """How many clips there are, of this set or others, and their bytes."""
        sizes = [status.st_size for _, status in self._files(".npy")]
        return Holding(len(sizes), sum(sizes))

    def _needed(self, clips: Sequence[ClipFile], decoder: Decoder, short_side: int | None) -> int:
        count = min(_SAMPLE, len(clips))
        sample = [clips[number * len(clips) // count] for number in range(count)]
        total = 0
        for clip in sample:
            file = self._file(clip.path, clip.window, decoder, short_side)
            if file is None or _load(file) is not None:
                continue
            try:
                with open_clip(clip.path, window=clip.window, decoder=decoder, short_side=short_side) as reader:
                    _, first = next(_scaled(reader, short_side, 1))
                    total += reader.num_frames * first.size
            except UnreadableClipError:
                continue  # it is named when its turn comes
        return math.ceil(total * len(clips) / max(1, count))

    def _file(self, path: Path, window: tuple[int, int] | None, decoder: Decoder, side: int | None) -> Path | None:
        """Where a clip's frames are kept; None where there is no such clip."""
        try:
            mark = _mark(path)
        except (OSError, UnreadableClipError):
            return None
        key = json.dumps([VERSION, str(path.absolute()), mark, window, _effective(decoder), side])
        name = hashlib.sha256(key.encode()).hexdigest()[:40]
        return self.folder / name[:2] / f"{name}.npy"

    def _fill(
        self, file: Path, path: Path, window: tuple[int, int] | None, decoder: Decoder, short_side: int | None
    ) -> None:
        with open_clip(path, window=window, decoder=decoder, short_side=short_side) as clip:
            frames = _scaled(clip, short_side, clip.num_frames)
            first = next(frames)
            try:
                self._check_room(clip.num_frames * first[1].size)
                file.parent.mkdir(exist_ok=True)
                with replacing(file) as (part,), part.open("wb") as out:
                    _write(out, clip, first[1], frames)
            except OSError as error:
                raise self._refusal(error) from error

    def _check_room(self, num_bytes: int) -> None:
        if num_bytes > (free := self._free(self.folder)):
            raise CacheError(
                f"The cache of decoded clips in {self.folder} needs {readable(num_bytes)} for the next clip, and "
                f"{readable(free)} may be used there. The clips that are in it stay. {_WAYS_OUT}"
            )

    def _refusal(self, error: OSError) -> CacheError:
        if error.errno in DISK_FULL:
            return CacheError(
                f"The cache of decoded clips in {self.folder} is full ({error.strerror}). The clips that are in it "
                f"stay. {_WAYS_OUT}"
            )
        return CacheError(f"The cache in {self.folder} cannot be written ({error.strerror}). {_WAYS_OUT}")

    def _files(self, suffix: str) -> Iterator[tuple[Path, os.stat_result]]:
        """Those of a suffix, less what another run renames or removes meanwhile."""
        for file in self.folder.glob(f"[0-9a-f][0-9a-f]/*{suffix}"):
            with suppress(FileNotFoundError):
                yield file, file.stat()

    def _remove_old_parts(self) -> None:
        """What processes that were killed left behind."""
        for file, status in self._files(PART):
            if time.time() - status.st_mtime > _DAY:
                _unlink(file)


_WAYS = "a smaller --size, a larger disk with --cache disk --cache-folder FOLDER, or no cache with --cache none."
_WAYS_OUT = f"Use {_WAYS}"


def _effective(decoder: Decoder) -> str:
    if decoder != "auto":
        return decoder
    from .torchcodec_video import torchcodec_problem

    return "pyav" if torchcodec_problem() else "torchcodec"


def _mark(path: Path) -> Any:
    """What changes when a clip does. Raises OSError where there is none."""
    if path.is_dir():
        found = [(entry.name, entry.stat()) for entry in os.scandir(path) if is_frame(entry.name)]
        return sorted((name, status.st_size, status.st_mtime_ns) for name, status in found)
    parts = None if path.exists() else find_in_shard(path)
    status = (parts[0].file if parts else path).stat()
    return [status.st_size, status.st_mtime_ns, [asdict(part) | {"file": ""} for part in parts or ()]]


def _scaled(clip: ClipReader, short_side: int | None, count: int) -> Iterator[tuple[int, Pixels]]:
    """The first frames, one after the other, none larger than needed."""
    for index, frame in clip.stream(range(count)):
        if short_side is not None and min(frame.shape[1:]) > short_side:
            frame = F.resize(frame, [short_side], antialias=True)
        yield index, np.ascontiguousarray(frame.permute(1, 2, 0).numpy())


def _write(
    out: BinaryIO,
    clip: ClipReader,
    first: Pixels,
    rest: Iterator[tuple[int, Pixels]],
) -> None:
    shape = (clip.num_frames, *first.shape)
    np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
    out.write(first.data)
    for index, frame in rest:
        if frame.shape != first.shape:
            raise UnreadableClipError(clip.path, f"its frames differ in size, from frame {index} on")
        out.write(frame.data)


def _load(file: Path) -> UInt8[np.ndarray, "N H W 3"] | None:
    """The frames in a file; None where there is none, or it is not whole.

    `numpy.load` is not called: it has Python's parser read the header, which in Python 3.11 fails at times when two
    threads do so at once (SystemError: AST constructor recursion depth mismatch).
    """
    try:
        with file.open("rb") as held:
            if np.lib.format.read_magic(held) != (1, 0):
                return None
            header = _HEADER.fullmatch(held.read(int.from_bytes(held.read(2), "little")))
            if header is None:
                return None
            shape, offset = tuple(map(int, header.groups())), held.tell()
            if os.fstat(held.fileno()).st_size != offset + math.prod(shape):
                return None
            return np.memmap(held, np.uint8, "r", offset, shape)
    except (OSError, ValueError):
        return None


def _unlink(file: Path) -> None:
    with suppress(OSError):  # its folder is gone
        file.unlink(missing_ok=True)

"""Opening a clip, whatever it is on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

from jaxtyping import UInt8
from torch import Tensor

from ..errors import ConfigError, DataError, UnreadableClipError
from .clip_reader import Allocate as Allocate
from .clip_reader import Box as Box
from .clip_reader import ClipReader as ClipReader
from .frame_folder import FrameFolder
from .parts import Part
from .shards import find_in_shard

Decoder = Literal["pyav", "torchcodec", "auto"]


def open_clip(
    path: str | Path,
    *,
    window: tuple[int, int] | None = None,
    decoder: Decoder = "pyav",
    short_side: int | None = None,
) -> ClipReader:
    """Opens a video file or a folder of JPEG frames, or one of them in a shard.

    Args:
        path: of the file or the folder; of one in a shard, the shard's path and its name there, as `read_clips` gives.
        window: first frame and number of frames: that part of it is the clip.
        decoder: of video files: "pyav", which brings its own FFmpeg; "torchcodec", which needs FFmpeg's libraries;
            "auto" is torchcodec where it can decode, and else PyAV.
        short_side: JPEG frames may be decoded to a half, a quarter or an eighth of their size, which is faster, as
            long as their short side keeps so many pixels.

    Raises:
        UnreadableClipError: it cannot be opened.
        ConfigError: there is no such decoder, or it cannot decode here.
    """
    path = Path(path)
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError as error:  # the folder it is in may not be looked into
        raise UnreadableClipError(path, f"it cannot be opened ({error.strerror})") from error
    if is_folder:
        return _windowed(FrameFolder(path, short_side=short_side), window)
    if is_there:
        return _windowed(_open_video(path, decoder), window)
    parts = find_in_shard(path)
    if parts is None:
        raise UnreadableClipError(path, "there is no such file or folder")
    if not path.suffix:
        return _windowed(FrameFolder(path, short_side=short_side, frames=parts), window)
    return _windowed(_open_video(path, decoder, parts[0]), window)


def check_decoder(decoder: str) -> None:
    """Raises ConfigError for a decoder that there is none of, or that cannot decode here."""
    if decoder not in get_args(Decoder):
        raise ConfigError(f"decoder={decoder!r} is not one of: {', '.join(get_args(Decoder))}")
    if decoder == "torchcodec":
        from .torchcodec_video import check_torchcodec

        check_torchcodec()


def _open_video(path: Path, decoder: Decoder, part: Part | None = None) -> ClipReader:
    from .video import VideoReader  # PyAV is loaded only where there is a video

    if decoder == "pyav":
        return VideoReader(path, part=part)
    from .torchcodec_video import TorchcodecReader, torchcodec_problem

    check_decoder(decoder)
    return (VideoReader if torchcodec_problem() else TorchcodecReader)(path, part=part)


def read_clip(
    path: str | Path,
    sample: Callable[[int], Sequence[int]],
    *,
    window: tuple[int, int] | None = None,
    decoder: Decoder = "pyav",
    short_side: int | None = None,
    crop: Callable[[int, int], Box] | None = None,
    allocate: Allocate | None = None,
    opener: Callable[..., ClipReader] = open_clip,
) -> UInt8[Tensor, "T 3 H W"]:
    """Opens a clip, asks `sample` which frames of its `num_frames` are wanted and then `crop`, if there is one, which
    part of a frame of that height and width, and reads those into what `allocate` gives; see `ClipReader.read` and
    `open_clip`, in whose place another `opener` such as `ClipCache.open` may stand."""
    with opener(path, window=window, decoder=decoder, short_side=short_side) as clip:
        return clip.read(sample(clip.num_frames), crop=crop, allocate=allocate)


class _Window(ClipReader):
    """A part of a recording, whose frame 0 is the part's first."""

    def __init__(self, whole: ClipReader, start: int, num_frames: int) -> None:
        self.path = whole.path
        self.num_frames = num_frames
        self.frame_rate = whole.frame_rate
        self._whole, self._start = whole, start

    def times(self) -> Sequence[float] | None:
        times = self._whole.times()
        if times is None:
            return None
        return [time - times[self._start] for time in times[self._start : self._start + self.num_frames]]

    def stream(self, indices: Sequence[int]) -> Iterator[tuple[int, UInt8[Tensor, "3 H W"]]]:
        for index, frame in self._whole.stream([self._start + index for index in indices]):
            yield index - self._start, frame

    def read(
        self,
        indices: Sequence[int],
        *,
        crop: Callable[[int, int], Box] | None = None,
        allocate: Allocate | None = None,
    ) -> UInt8[Tensor, "T 3 H W"]:
        self._sorted(indices)  # raises for those outside the window
        return self._whole.read([self._start + index for index in indices], crop=crop, allocate=allocate)

    def close(self) -> None:
        self._whole.close()


def _windowed(whole: ClipReader, window: tuple[int, int] | None) -> ClipReader:
    if window is None:
        return whole
    start, num_frames = window
    if start < 0 or num_frames < 1:
        whole.close()
        raise DataError(f"{whole.path}: the window {window} needs a first frame from 0 and at least 1 frame")
    if start + num_frames > whole.num_frames:
        reason = f"its window ends at frame {start + num_frames}, but there are {whole.num_frames} frames"
        whole.close()
        raise UnreadableClipError(whole.path, reason)
    return _Window(whole, start, num_frames)

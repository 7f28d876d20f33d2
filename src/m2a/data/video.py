"""Video files, decoded with FFmpeg through PyAV."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import av
import torch
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import get_worker_info

from ..errors import UnreadableClipError
from .clip_reader import ClipReader
from .matroska import segment_end
from .orientation import Orientation, Orientations
from .parts import Part, size_of
from .picture_index import PictureIndex
from .riff import pictures_end

_HIDDEN_FRAMES = {"vp8"}  # codecs some of whose packets carry no picture: only decoding tells the number of frames
_LOOSE_FORMATS = {"mpeg", "mpegts"}  # the same, for formats
_UNTIMED_ORDER = {"h264", "hevc", "vvc"}  # of whose pictures FFmpeg cannot tell the order, where a file holds no times
_FARTHER = {"probesize": str(64 << 20), "analyzeduration": "60000000"}  # bytes and microseconds
_GIF_PADDING = 4096  # bytes of zeros, which some write behind the end
_MANY_PIXELS = 1280 * 720  # from here on threads pay; on small frames starting them costs more than decoding
_PYAV = int(av.__version__.split(".")[0])
ONE_THREAD = {"threads": 1} if _PYAV >= 17 else {}  # older ones convert in one thread
TEXT: dict[str, Any] = {"metadata_errors": "replace"} if _PYAV < 19 else {}  # titles that are no UTF-8


class VideoReader(ClipReader):
    """A video file. Opening it walks through all its packets, so that a file that was cut off is found at once.

    The number of frames is what the file holds, not what its header says; frames that a cut at a key frame has left
    without those they are made from are not counted. Frames are decoded in order, up to the last one wanted; where a
    key frame lies between two that are wanted, decoding goes on from there. Pictures are turned and mirrored as the
    file asks, and as players do. `part` is where the file's bytes are, where they lie in a shard.
    """

    def __init__(self, path: Path, *, part: Part | None = None) -> None:
        self.path = path
        self._part = part
        self._places: PictureIndex | None = None
        self._shown: list[int] | None = None
        self._times: Sequence[float] | None = None
        self._options: dict[str, str] = {}
        try:
            self._read()
        except IndexError:  # PyAV's, of a stream that begins behind what FFmpeg looks at to find all
            self._options = _FARTHER
            try:
                self._read()
            except IndexError as error:
                raise UnreadableClipError(path, "a stream begins in the midst of it") from error

    def _read(self) -> None:
        """Finds the frames."""
        with self.opened() as container:
            self._check_stream(container)
            stream = pictures(container)[0]
            name, codec = container.format.name, stream.codec_context.name
            self.frame_rate = float(stream.average_rate) if stream.average_rate else None
            self._unit = stream.time_base
            reorders = codec in _UNTIMED_ORDER and stream.codec_context.has_b_frames
            times = self._walk(container)
        self.num_frames = len(times)
        times = self._without_lost(times)
        self.num_frames = len(times)
        shown = [time for time, _ in times if time is not None]
        self._shown = sorted(shown) if len(shown) == len(times) else None
        self._places = PictureIndex.of(times, reorders=reorders)
        if self.num_frames and (codec in _HIDDEN_FRAMES or name in _LOOSE_FORMATS):
            seconds = [frame.time for frame in self.frames()]
            self.num_frames, self._places, self._shown = len(seconds), None, None
            self._times = _rising(seconds)
        if not self.num_frames:
            raise UnreadableClipError(self.path, "the video holds no frames")

    def times(self) -> Sequence[float] | None:
        if self._shown is not None and self._unit is not None:
            return _rising([float(time * self._unit) for time in self._shown])
        return self._times

    def stream(self, indices: Sequence[int]) -> Iterator[tuple[int, UInt8[Tensor, "3 H W"]]]:
        converter, lies = VideoReformatter(), Orientations()
        for index, frame in self._wanted(list(indices)):
            if frame.is_corrupt:
                raise UnreadableClipError(self.path, f"frame {index} of {self.num_frames} is damaged")
            try:
                pixels = to_tensor(frame, lies.of(frame), converter)
            except av.FFmpegError as error:
                reason = f"frame {index} of {self.num_frames} cannot be made RGB (FFmpeg: {error.strerror})"
                raise UnreadableClipError(self.path, reason) from error
            yield index, pixels

    def frames(self) -> Iterator[av.VideoFrame]:
        """All frames in the order of display, as FFmpeg decodes them: not yet RGB, not yet turned."""
        count = 0
        with self._decoding() as (container, stream):
            try:
                for frame in container.decode(stream):
                    yield frame
                    count += 1
            except av.FFmpegError as error:
                reason = f"decoding stops after {count} of {self.num_frames} frames (FFmpeg: {error.strerror})"
                raise UnreadableClipError(self.path, reason) from error

    def _wanted(self, indices: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """The frames at `indices`, which rise."""
        done = 0
        if self._places is not None and self._places.pays(indices):
            for index, frame in self._jumping(indices, self._places):
                yield index, frame
                done += 1
        wanted = iter(indices[done:])  # all of them, or those that jumping did not come to
        awaited, count = next(wanted, None), 0
        if awaited is None:
            return
        for index, frame in enumerate(self.frames()):
            count = index + 1
            if index == awaited:
                yield index, frame
                awaited = next(wanted, None)
            if awaited is None:
                return
        raise UnreadableClipError(self.path, f"only {count} of {self.num_frames} frames can be decoded")

    def _jumping(self, indices: list[int], places: PictureIndex) -> Iterator[tuple[int, av.VideoFrame]]:
        """As many of the frames as can be had from key frame to key frame; it ends at the first that cannot, and where
        frames do not come one after the other, since then the times do not tell which is which."""
        position = 0
        with self._decoding() as (container, stream):
            try:
                decoded = container.decode(stream)
                for index in indices:
                    time = places.jump(position, index)
                    landed = time is None
                    if time is not None:
                        container.seek(time, stream=stream, backward=True)
                        decoded = container.decode(stream)
                    for frame in decoded:
                        place = places.number(frame.pts)
                        if place is None or place > index or (landed and place != position):
                            return
                        landed, position = True, place + 1
                        if place == index:
                            yield index, frame
                            break
                    else:
                        return
            except av.FFmpegError:
                return  # from the start the error is told with its place

    @contextmanager
    def _decoding(self) -> Iterator[tuple[InputContainer, av.VideoStream]]:
        with self.opened() as container:
            stream = pictures(container)[0]
            if get_worker_info() is None and parent_process() is None and stream.width * stream.height >= _MANY_PIXELS:
                stream.thread_type = "AUTO"
            else:  # workers would fight for the cores
                stream.codec_context.thread_count = 1
            yield container, stream

    @contextmanager
    def opened(self, **options: str) -> Iterator[InputContainer]:
        """The file, opened by FFmpeg with options of its own."""
        with ExitStack() as stack:
            try:
                # from the root: what stands before a colon at the start is a protocol for FFmpeg
                source = str(self.path.absolute()) if self._part is None else stack.enter_context(self._part.open())
                container = av.open(source, "r", options=self._options | options, **TEXT)
            except (av.FFmpegError, OSError) as error:
                raise UnreadableClipError(self.path, _why_not_opened(self._part or self.path, error)) from error
            with container:
                yield container

    def _check_stream(self, container: InputContainer) -> None:
        if not pictures(container):
            kinds = ", ".join(sorted({str(stream.type) for stream in container.streams if not _is_cover(stream)}))
            raise UnreadableClipError(self.path, f"there is no picture in the file, only: {kinds or 'nothing'}")
        if pictures(container)[0].codec_context is None:
            raise UnreadableClipError(self.path, "FFmpeg has no decoder for the way this video is compressed")

    def _walk(self, container: InputContainer) -> list[tuple[int | None, bool]]:
        """The time of each picture in the file, in its order, and whether it is a key frame; raises where the file ends
        before its header says."""
        stream = pictures(container)[0]
        seen = intact = 0
        last_is_whole, end = True, 0.0
        times: list[tuple[int | None, bool]] = []
        try:
            for packet in container.demux():
                if packet.size == 0:
                    continue
                if packet.pts is not None and packet.time_base is not None:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream.index == stream.index:
                    last_is_whole = not packet.is_corrupt
                    seen += 1
                    intact += last_is_whole
                    if not packet.is_discard:
                        times.append((packet.pts, packet.is_keyframe))
        except av.FFmpegError as error:
            reason = f"reading the file stops after {seen} frames (FFmpeg: {error.strerror})"
            raise UnreadableClipError(self.path, reason) from error
        declared = stream.frames if "mp4" in container.format.name else 0  # elsewhere the header is often wrong
        if seen and last_is_whole and intact < declared:
            seen = intact = self._unedited(declared)
        if seen and (not last_is_whole or intact < declared):
            of_how_many = f" of {stream.frames}" if stream.frames >= seen else ""
            raise UnreadableClipError(self.path, f"the file is cut off: only {intact}{of_how_many} frames are in it")
        if container.format.name == "avi" and (declared_size := pictures_end(self._part or self.path)) is not None:
            self._check_size(declared_size, seen)
        if container.format.name == "gif" and not self._ends_as_gif():
            raise UnreadableClipError(self.path, f"the file is cut off: only {seen} frames are in it, the last in part")
        seconds = (container.duration or 0) / 1_000_000
        if "matroska" in container.format.name or container.format.name == "flv":
            self._check_end(seen, end=end, seconds=seconds)
        return times

    def _check_end(self, seen: int, *, end: float, seconds: float) -> None:
        """Raises where the pictures end well before the `seconds` of the header, or a Matroska file before the bytes in
        it."""
        if end < min(0.9 * seconds, seconds - 0.3):
            reason = f"the file is cut off: it ends after {end:.2f} of {seconds:.2f} seconds, with {seen} frames"
            raise UnreadableClipError(self.path, reason)
        if (declared := segment_end(self._part or self.path)) is not None:
            self._check_size(declared, seen)

    def _check_size(self, declared: int, seen: int) -> None:
        if (size := size_of(self._part or self.path)) < declared:
            reason = f"the file is cut off: {size} of {declared} bytes are there, with {seen} frames"
            raise UnreadableClipError(self.path, reason)

    def _ends_as_gif(self) -> bool:
        """By the byte that is the last but for padding and ends of lines."""
        with (self._part or self.path).open("rb") as file:
            file.seek(-min(_GIF_PADDING, size_of(self._part or self.path)), os.SEEK_END)
            return (file.read() or b"").rstrip(b"\0\r\n").endswith(b";")

    def _unedited(self, declared: int) -> int:
        """How many frames are in the file, up to those that its header declares, those among them that its edit list
        leaves out: it may have been trimmed without encoding it again."""
        count = 0
        with self.opened(ignore_editlist="1") as container, suppress(av.FFmpegError):
            for packet in container.demux(pictures(container)[0]):
                count += packet.size > 0 and not packet.is_corrupt
        return min(count, declared)

    def _without_lost(self, packets: list[tuple[int | None, bool]]) -> list[tuple[int | None, bool]]:
        """The packets less those from before the first key frame of which no picture comes: they are left where a
        recording was cut at a key frame without encoding it again."""
        first = next((time for time, is_key in packets if is_key), None)
        if first is None or not any(time is not None and time < first for time, _ in packets):
            return packets
        came: set[int] = set()
        for frame in self.frames():
            if frame.pts is None or frame.pts >= first:
                break
            came.add(frame.pts)
        return [(time, is_key) for time, is_key in packets if time is None or time >= first or time in came]


def pictures(container: InputContainer) -> list[VideoStream]:
    """The videos in a file, of which the first counts; the cover of a piece of music is none."""
    return [stream for stream in container.streams.video if not _is_cover(stream)]


def _is_cover(stream: Stream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _rising(times: Sequence[float | None]) -> Sequence[float] | None:
    """From the first on; None where one lacks or they do not rise."""
    known = [time for time in times if time is not None]
    if len(known) < len(times) or any(after <= before for before, after in pairwise(known)):
        return None
    return [time - known[0] for time in known]


def to_tensor(frame: av.VideoFrame, lies: Orientation, converter: VideoReformatter) -> UInt8[Tensor, "3 H W"]:
    """A decoded frame in RGB, turned as it lies."""
    pixels_HWC = torch.from_numpy(converter.reformat(frame, format="rgb24", **ONE_THREAD).to_ndarray())
    return lies.apply(pixels_HWC).permute(2, 0, 1)


def _why_not_opened(path: Path | Part, error: OSError | av.FFmpegError) -> str:
    """One line on a file that FFmpeg does not open."""
    if not path.exists():
        return "there is no such file"
    if not isinstance(error, av.InvalidDataError):
        return f"the file cannot be opened ({error.strerror})"
    if size_of(path) == 0:
        return "the file is empty (0 bytes)"
    with path.open("rb") as file:
        start = file.read(12) or b""
    if start[4:8] == b"ftyp":
        return "the file is cut off: its index, which is written last, is missing; copy or download it again"
    return f"this is not a video, or its start is damaged (it begins with {start!r})"

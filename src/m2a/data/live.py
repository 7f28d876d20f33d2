"""A video that goes on: a camera, a stream in the network, a pipe."""

from __future__ import annotations

import re
import stat
import threading
import time as clock
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any

import av
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from jaxtyping import UInt8
from torch import Tensor

from ..errors import ConfigError, DataError, NotFoundError, first_line
from .orientation import Orientations
from .video import TEXT, pictures, to_tensor

_CAMERAS = {"/dev/video": "v4l2"}  # of Linux
_ROUNDING = 0.001  # seconds, of a source's times
_UNTIMED = {"mjpeg", "mpjpeg", "h264", "hevc", "m4v", "image2pipe"}
"""Formats of pictures alone, for which FFmpeg makes up times of 25 frames a second."""
_AT_ONCE = {"fpsprobesize": "0"}  # else FFmpeg waits for many frames to tell how many come in a second
_USER = re.compile(r"(?<=://)[^/@]*@")


class Pace:
    """One frame `every` so many seconds, of a source whose frames come at times of their own; all, where that is 0.
    Where time jumps back it begins anew."""

    def __init__(self, every: float):
        self.every = every
        self._last = self._due = -inf

    def is_due(self, time: float) -> bool:
        """Whether the frame of that time, in seconds, is one to take."""
        return time >= self._due - _ROUNDING or self._is_back(time)

    def _is_back(self, time: float) -> bool:
        """By more than a step: less is the source's inaccuracy."""
        return time < self._last - max(self.every, _ROUNDING)

    def take(self, time: float) -> int:
        """Takes it: the next one is due `every` seconds after this one was. How many were due before and did not
        come."""
        anew = self._due == -inf or self._is_back(time) or self.every == 0
        missed = 0 if anew else max(0, int((time - self._due + _ROUNDING) / self.every))
        self._due = (time if anew else self._due + missed * self.every) + self.every
        self._last = time
        return missed


@dataclass(frozen=True)
class LiveFrame:
    """A frame that has come, not yet RGB."""

    time: float
    """Seconds since the first one that came, by the source's own times, or where it has none by when they came."""
    _frame: av.VideoFrame
    _lies: Orientations
    _converter: VideoReformatter

    def pixels(self) -> UInt8[Tensor, "3 H W"]:
        """RGB, turned as the source asks. Raises DataError for a frame that FFmpeg cannot make RGB."""
        try:
            return to_tensor(self._frame, self._lies.of(self._frame), self._converter)
        except av.FFmpegError as error:
            raise DataError(f"The frame at {self.time:.2f} s cannot be made RGB (FFmpeg: {error.strerror}).") from error


class LiveVideo:
    """The frames of a source that goes on, as they come. A thread reads them, and those that came while nobody asked
    wait, the last `keep` of them: a camera does not.

    It is a context manager, and iterated inside of it, once:

        with LiveVideo("rtsp://camera/stream") as video:
            for frame in video:
                frame.time, frame.pixels()

    Damaged frames are passed over and counted in `num_damaged`.

    Args:
        source: what FFmpeg opens: `rtsp://...`, `http://...`, `udp://...`, a camera of Linux such as `/dev/video0`, a
            named pipe, or `/dev/stdin`.
        input_format: FFmpeg's name of its format, where FFmpeg cannot tell: `avfoundation` and `dshow` for cameras of
            macOS and Windows, `mjpeg`.
        every: seconds from one frame to the next that is wanted; those between are left out. By default none is.
        keep: how many frames wait, at most.
        timeout: seconds to wait for the first frame, and for each next one.

    Raises:
        ConfigError: a video that lies on a disk, which does not go on; a timeout that is no number above 0, and other
            numbers that cannot work.
        NotFoundError: nothing is at that path.
        DataError: while it is iterated: the source cannot be opened or has no pictures, or no frame came in time.
    """

    def __init__(
        self,
        source: str,
        *,
        input_format: str | None = None,
        every: float = 0.0,
        keep: int = 1,
        timeout: float = 10.0,
    ):
        if not 0 < timeout <= threading.TIMEOUT_MAX:
            raise ConfigError(f"timeout={timeout} must be a number of seconds above 0, such as 10.")
        if not 0 <= every < inf or keep < 1:
            raise ConfigError(f"every={every} must be seconds, 0 or more, and keep={keep} frames, 1 or more.")
        check_source(source, input_format)
        self.source = source
        self.name = _USER.sub("", source)
        """The source, without the user and the password that a URL may have."""
        self.timeout = timeout
        self.num_damaged = 0
        self._format = input_format or next((of for start, of in _CAMERAS.items() if source.startswith(start)), None)
        self._changed = threading.Condition()
        self._waiting: deque[tuple[float, av.VideoFrame]] = deque(maxlen=keep)
        self._pace = Pace(every)
        self._start: float | None = None
        self._is_timed = True
        self._error: str | None = None
        self._has_ended = self._is_closed = False

    def __enter__(self) -> LiveVideo:
        # a daemon: one that waits for a source that says nothing more would keep the process from ending
        threading.Thread(target=self._read, name=f"reads {self.name}", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[LiveFrame]:
        """Each frame that waits or comes, until the source ends."""
        lies, converter = Orientations(), VideoReformatter()
        while (found := self._next()) is not None:
            yield LiveFrame(*found, lies, converter)

    @property
    def num_waiting(self) -> int:
        """How many frames have come that nobody has asked for yet."""
        return len(self._waiting)

    def _next(self) -> tuple[float, av.VideoFrame] | None:
        """Waits for it; None is the end."""
        with self._changed:
            came = self._changed.wait_for(lambda: self._waiting or self._has_ended, self.timeout)
            if self._waiting:
                return self._waiting.popleft()
        is_first = self._start is None
        if self._error or not came or is_first:
            waited = f"no {'' if is_first else 'further '}frame came within {self.timeout:g} s"
            reason = self._error or (waited if not came else "it ended before a frame came")
            raise DataError(f"{self.name}: {reason}.{' Is it there, and open to this machine?' if is_first else ''}")
        return None

    def _read(self) -> None:
        """In the thread."""
        try:
            is_path = "://" not in self.source and self._format is None
            source = str(Path(self.source).absolute()) if is_path else self.source  # for a:b a would be a protocol
            options: dict[str, Any] = {"options": dict(_AT_ONCE), "timeout": self.timeout}
            with av.open(source, "r", format=self._format, **options, **TEXT) as container:
                self._is_timed = container.format.name not in _UNTIMED
                self._read_frames(container)
        except Exception as error:  # whatever it is, who waits for frames is told
            self._error = getattr(error, "strerror", None) or first_line(error)
        finally:
            with self._changed:
                self._has_ended = True
                self._changed.notify_all()

    def _read_frames(self, container: InputContainer) -> None:
        videos = pictures(container)
        if not videos or videos[0].codec_context is None:
            self._error = "there are no pictures in it that FFmpeg can decode"
            return
        videos[0].thread_type = "SLICE"  # threads over frames hold back as many as there are threads
        for packet in container.demux(videos[0]):
            try:
                frames = packet.decode()
            except av.InvalidDataError:  # the network lost some of it
                self.num_damaged += 1
                continue
            for frame in frames:
                if self._is_closed:
                    return
                if frame.is_corrupt:
                    self.num_damaged += 1
                else:
                    self._put(frame)

    def _put(self, frame: av.VideoFrame) -> None:
        own: float | None = frame.time
        if self._start is None:
            self._is_timed &= own is not None
        elif self._is_timed and own is None:
            return  # when it was is not known
        time = own if self._is_timed and own is not None else clock.monotonic()
        self._start = time if self._start is None else self._start
        time -= self._start
        if self._pace.is_due(time):
            self._pace.take(time)
            with self._changed:
                self._waiting.append((time, frame))
                self._changed.notify_all()


def check_source(source: str, input_format: str | None) -> None:
    """Raises NotFoundError or ConfigError for a path where nothing is, or what is no camera and no pipe."""
    ways = (
        "a URL such as rtsp://camera/stream, a camera such as /dev/video0, or one of --input-format avfoundation or "
        "dshow, a named pipe, or /dev/stdin."
    )
    if not source:
        raise ConfigError(f"The source has no name. Give {ways}")
    path = Path(source.removeprefix("file://"))
    lies_there = path.is_dir() or (path.exists() and stat.S_ISREG(path.stat().st_mode))
    if lies_there:
        raise ConfigError(
            f"{source} lies on a disk, and a live source gives frames as they happen. Give it to m2a predict, with "
            "--sliding or --stream."
        )
    if not path.exists() and "://" not in source and input_format is None:
        raise NotFoundError(f"There is no {source}. Give {ways}")

"""Which clips the page takes, and the messages for those that it does not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import av

from m2a.data.video import pictures
from m2a.errors import ConfigError, DataError

KINDS = "mp4, mov, webm, mkv, avi, gif, mpeg, wmv, flv or ogv"
"""How a person calls the formats of `_FORMATS`."""
MAX_PIXELS = 4096 * 2304
"""Of one frame: a little more than 4K. A small file can hold a huge picture."""
_FORMATS = "mp4,matroska,avi,gif,mpeg,mpegts,mpegvideo,asf,flv,ogg,h264,hevc,ivf,mjpeg,yuv4mpegpipe"
"""FFmpeg's names. A list, for it also knows formats that only name other files or addresses and would fetch them."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How large and how long a clip may be. Raises ConfigError for a limit that is not above 0."""

    max_megabytes: float | int = 50
    """Of 1,000,000 bytes."""
    max_seconds: float | int = 60

    def __post_init__(self) -> None:
        for name in ("max_megabytes", "max_seconds"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name} is {value}; it must be a number above 0.")

    @property
    def max_bytes(self) -> int:
        return round(self.max_megabytes * 1_000_000)

    @property
    def recording(self) -> int:
        """Seconds of a recording by the page's camera, which are a little more once they are in a file."""
        return max(1, min(3, int(self.max_seconds) - 1))

    @property
    def allowed(self) -> str:
        """A sentence."""
        return f"A clip may have up to {self.max_megabytes:g} MB and {self.max_seconds:g} s, as {KINDS}."

    def check_size(self, name: str, num_bytes: int) -> None:
        """Raises DataError where a file of so many bytes is empty or too large."""
        if num_bytes == 0:
            raise DataError(f"{name} is empty (0 bytes). {self.allowed}")
        if num_bytes > self.max_bytes:
            raise DataError(
                f"{name} has {_more_than(num_bytes / 1e6, self.max_megabytes)} MB. {self.allowed} Cut it, or save it "
                "smaller."
            )

    def check_clip(self, name: str, path: Path) -> float:
        """Length in seconds of the clip at `path`, read from its packets; nothing is decoded. 0 where it says nothing.

        Raises DataError where it is too long, of a kind that is not taken, or has too many pixels. Damage is left to
        the reader, which says more about it.
        """
        try:
            with av.open(str(path), options={"format_whitelist": _FORMATS, "protocol_whitelist": "file"}) as container:
                if not (found := pictures(container)):
                    return 0.0
                stream = found[0]  # that the reader takes
                width, height = stream.width, stream.height
                seconds = _end(container, stream) or (container.duration or 0) / 1e6  # which sound may last beyond
        except av.ArgumentError as error:
            reason = "is not a video, or of a kind that this page does not take"
            raise DataError(f"{name} {reason}. {self.allowed}") from error
        except (av.FFmpegError, OSError):
            return 0.0
        if width * height > MAX_PIXELS:
            raise DataError(f"{name} has frames of {width} x {height} pixels; 4096 x 2304 are the most. Scale it down.")
        self.check_length(name, seconds)
        return seconds

    def check_length(self, name: str, seconds: float | int) -> None:
        """Raises DataError where a clip is too long."""
        if seconds > self.max_seconds:
            raise DataError(f"{name} lasts {_more_than(seconds, self.max_seconds)} s. {self.allowed} Cut it.")


def _end(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """When the last picture ends, in seconds: recordings of a browser do not say how long they are."""
    start, end = math.inf, 0.0
    for packet in container.demux(stream):
        if packet.pts is not None and packet.time_base is not None:
            start = min(start, float(packet.pts * packet.time_base))
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return max(0.0, end - start) if end else 0.0


def _more_than(value: float | int, limit: float | int) -> str:
    """`value` with as many digits as it takes to see that it is above `limit`."""
    texts = [f"{value:.{digits}f}".rstrip("0").rstrip(".") for digits in (1, 2, 3)]
    return next((text for text in texts if float(text) > limit), f"over {limit:g}")

"""Video files, decoded with FFmpeg through torchcodec, where that is installed and finds FFmpeg's libraries."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import get_worker_info

from ..errors import ConfigError, UnreadableClipError
from .clip_reader import ClipReader
from .parts import Part
from .video import VideoReader

_AT_ONCE = 32  # frames that are asked for together


class TorchcodecReader(ClipReader):
    """A video file, opened with PyAV, which finds files that are cut off, and decoded with torchcodec, which seeks: of
    a long video it decodes from the key frame before each frame wanted. The same frames come out, to within the
    rounding of colours. `part` is where the file's bytes are, where they lie in a shard.

    torchcodec turns pictures by the angle that the file asks for, from its version 0.11 on. Nothing it documents
    mirrors them, and that was not tried: read files that ask to be mirrored with PyAV.
    """

    def __init__(self, path: Path, *, part: Part | None = None) -> None:
        from torchcodec.decoders import VideoDecoder

        checked = VideoReader(path, part=part)
        self.path, self.num_frames, self.frame_rate = path, checked.num_frames, checked.frame_rate
        self._times = checked.times
        threads = 1 if get_worker_info() is not None else 0  # workers would fight for the cores
        try:
            source = str(path.absolute()) if part is None else part.read_bytes()  # see VideoReader.opened
            self._decoder = VideoDecoder(source, num_ffmpeg_threads=threads)
            held = len(self._decoder)
        except (RuntimeError, ValueError) as error:
            raise UnreadableClipError(path, f"torchcodec cannot open it ({_first_line(error)})") from error
        if held != self.num_frames:
            raise UnreadableClipError(path, f"PyAV finds {self.num_frames} frames in it and torchcodec {held}")

    def times(self) -> Sequence[float] | None:
        return self._times()

    def stream(self, indices: Sequence[int]) -> Iterator[tuple[int, UInt8[Tensor, "3 H W"]]]:
        for start in range(0, len(indices), _AT_ONCE):
            wanted = list(indices[start : start + _AT_ONCE])
            try:
                frames = self._decoder.get_frames_at(wanted).data
            except (RuntimeError, IndexError, ValueError) as error:
                raise UnreadableClipError(self.path, f"torchcodec cannot decode it ({_first_line(error)})") from error
            yield from zip(wanted, frames, strict=True)


@cache
def torchcodec_problem() -> str:
    """Why torchcodec cannot decode here, in one line; "" when it can, which is tried."""
    try:
        from torchcodec.decoders import VideoDecoder
    except ImportError as error:
        return f"it cannot be imported ({_first_line(error)})"
    except (RuntimeError, OSError) as error:  # it loads FFmpeg's libraries when it is imported
        return f"it cannot be loaded ({_first_line(error)})"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.mp4"
        _write_probe(path)
        try:
            VideoDecoder(str(path))[0]
        except Exception as error:  # whatever its binding to FFmpeg raises
            return f"it cannot decode ({_first_line(error)})"
    return ""


def check_torchcodec() -> None:
    """Raises ConfigError where torchcodec cannot decode."""
    if problem := torchcodec_problem():
        raise ConfigError(
            f"decoder=torchcodec was asked for, but {problem}. It needs the package torchcodec and FFmpeg's shared "
            "libraries; decoder=pyav brings its own."
        )


def _write_probe(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 32, 32
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), dtype=np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

"""Opening a clip, whatever it is on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from ..errors import UnreadableClipError
from .clip_reader import ClipReader as ClipReader
from .frame_folder import FrameFolder


def open_clip(path: str | Path) -> ClipReader:
    """Opens a video file or a folder of JPEG frames; raises `UnreadableClipError` where that cannot be done."""
    path = Path(path)
    if path.is_dir():
        return FrameFolder(path)
    if not path.exists():
        raise UnreadableClipError(path, "there is no such file or folder")
    from .video import VideoReader  # PyAV is loaded only where there is a video

    return VideoReader(path)


def read_clip(path: str | Path, sample: Callable[[int], Sequence[int]]) -> UInt8[Tensor, "T 3 H W"]:
    """Opens a clip, asks `sample` which frames of its `num_frames` are wanted, and reads those."""
    with open_clip(path) as clip:
        return clip.read(sample(clip.num_frames))

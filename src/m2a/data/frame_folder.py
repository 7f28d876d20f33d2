"""A clip as a folder of JPEG frames, the way Something-Something V1 is distributed."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..errors import UnreadableClipError
from .clip_reader import ClipReader
from .clipset import is_flow, is_frame, natural_key
from .parts import Part, size_of


class FrameFolder(ClipReader):
    """A folder of `.jpg` files, in natural order of their names (2 before 10). Only the frames wanted are read, to a
    half, a quarter or an eighth of their size where `short_side` is given and their short side keeps so many pixels.
    `frames` are the frames themselves, in order, where they lie in a shard and not in a folder."""

    def __init__(self, path: Path, *, short_side: int | None = None, frames: Sequence[Part] | None = None) -> None:
        self.path = path
        self.short_side = short_side
        self.files: Sequence[Path | Part] = self._find() if frames is None else frames
        self.num_frames = len(self.files)

    def _find(self) -> list[Path]:
        path = self.path
        everything = [child.name for child in path.iterdir()]
        names = [name for name in everything if is_frame(name)]
        if not names:
            flow = ", only optical flow" if any(is_flow(name) for name in everything) else ""
            raise UnreadableClipError(path, f"there is no .jpg file in the folder{flow}")
        return [path / name for name in sorted(names, key=natural_key)]

    def stream(self, indices: Sequence[int]) -> Iterator[tuple[int, UInt8[Tensor, "3 H W"]]]:
        for index in indices:
            yield index, self._decode_one(self.files[index])

    def _decode_one(self, file: Path | Part) -> UInt8[Tensor, "3 H W"]:
        try:
            with file.open("rb") as opened:
                content = opened.read()
            pixels_HWC = _decode_jpeg(content, self.short_side)
        except (OSError, SyntaxError, ValueError) as error:
            raise UnreadableClipError(self.path, _why_not_decoded(file, error)) from error
        return torch.from_numpy(pixels_HWC).permute(2, 0, 1)


def _decode_jpeg(content: bytes, short_side: int | None) -> UInt8[np.ndarray, "H W 3"]:
    """By libjpeg-turbo directly, which is quicker than through Pillow and gives the same pixels. Pillow decodes what
    that refuses and is none the worse for it (CMYK, stray bytes between segments), and says why the rest is broken."""
    try:
        if short_side is None:
            return simplejpeg.decode_jpeg(content, "RGB")
        height, width = simplejpeg.decode_jpeg_header(content)[:2]
        factor = _factor(height, width, short_side)
        return simplejpeg.decode_jpeg(
            content, "RGB", min_height=math.ceil(height / factor), min_width=math.ceil(width / factor)
        )
    except ValueError:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            if short_side is not None:
                factor = _factor(image.height, image.width, short_side)
                image.draft("RGB", (image.width // factor, image.height // factor))
            return np.array(image.convert("RGB"))


def _factor(height: int, width: int, short_side: int) -> int:
    """The largest of 1, 2, 4 and 8 by which a frame can be made smaller while its short side keeps `short_side`."""
    return next((factor for factor in (8, 4, 2) if math.ceil(min(height, width) / factor) >= short_side), 1)


def _why_not_decoded(file: Path | Part, error: Exception) -> str:
    if not file.exists():
        return f"the frame {file.name} has disappeared"
    if size_of(file) == 0:
        return f"the frame {file.name} is empty (0 bytes)"
    if "truncated" in str(error).lower():
        return f"the frame {file.name} is cut off"
    if isinstance(error, UnidentifiedImageError):
        return f"the frame {file.name} is not a JPEG image"
    return f"the frame {file.name} cannot be decoded ({' '.join(str(error).split())})"

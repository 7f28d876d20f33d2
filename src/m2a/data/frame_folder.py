"""A clip as a folder of JPEG frames, the way Something-Something V1 is distributed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..errors import UnreadableClipError
from .clip_reader import ClipReader
from .clipset import is_flow, is_frame, natural_key


class FrameFolder(ClipReader):
    """A folder of `.jpg` files, in natural order of their names (2 before 10). Only the frames wanted are read, to a
    half, a quarter or an eighth of their size where `short_side` is given and their short side keeps so many pixels."""

    def __init__(self, path: Path, *, short_side: int | None = None) -> None:
        self.path = path
        self.short_side = short_side
        everything = [child.name for child in path.iterdir()]
        names = [name for name in everything if is_frame(name)]
        self._files = [path / name for name in sorted(names, key=natural_key)]
        self.num_frames = len(self._files)
        if not names:
            flow = ", only optical flow" if any(is_flow(name) for name in everything) else ""
            raise UnreadableClipError(path, f"there is no .jpg file in the folder{flow}")

    def _decode(self, wanted: Sequence[int]) -> dict[int, UInt8[Tensor, "3 H W"]]:
        return {index: self._decode_one(self._files[index]) for index in wanted}

    def _decode_one(self, file: Path) -> UInt8[Tensor, "3 H W"]:
        try:
            with Image.open(file, formats=["JPEG"]) as image:
                if self.short_side is not None:
                    scale = self.short_side / min(image.size)
                    image.draft("RGB", (math.ceil(image.width * scale), math.ceil(image.height * scale)))
                pixels_HWC = np.array(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise UnreadableClipError(self.path, _why_not_decoded(file, error)) from error
        return torch.from_numpy(pixels_HWC).permute(2, 0, 1)


def _why_not_decoded(file: Path, error: Exception) -> str:
    if not file.exists():
        return f"the frame {file.name} has disappeared"
    if file.stat().st_size == 0:
        return f"the frame {file.name} is empty (0 bytes)"
    if "truncated" in str(error).lower():
        return f"the frame {file.name} is cut off"
    if isinstance(error, UnidentifiedImageError):
        return f"the frame {file.name} is not a JPEG image"
    return f"the frame {file.name} cannot be decoded ({' '.join(str(error).split())})"

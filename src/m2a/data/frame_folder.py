"""A clip as a folder of JPEG frames, the way Something-Something V1 is distributed."""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..errors import UnreadableClipError
from .clip_reader import Allocate, Box, ClipReader, two_sizes
from .clipset import is_flow, is_frame, natural_key
from .parts import Part, size_of

_END = b"\xff\xd9"  # the mark behind a picture, whose lack is no loss
_UNENDED = "premature end of jpeg file"
_DAMAGED = (_UNENDED, "premature end of data segment", "bad huffman code", "instead of rst")  # libjpeg's words
_PADDING = 64  # bytes
_MOST_PIXELS = 2 * 89_478_485  # of a picture that Pillow opens


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
        try:
            everything = os.listdir(path)
        except OSError as error:
            raise UnreadableClipError(path, f"the folder cannot be read ({error.strerror})") from error
        names = [name for name in everything if is_frame(name)]
        if not names:
            flow = ", only optical flow" if any(is_flow(name) for name in everything) else ""
            raise UnreadableClipError(path, f"there is no .jpg file in the folder{flow}")
        return [path / name for name in sorted(names, key=natural_key)]

    def stream(self, indices: Sequence[int]) -> Iterator[tuple[int, UInt8[Tensor, "3 H W"]]]:
        for index in indices:
            yield index, torch.from_numpy(self._decode(index, self._content(index))).permute(2, 0, 1)

    def read(
        self,
        indices: Sequence[int],
        *,
        crop: Callable[[int, int], Box] | None = None,
        allocate: Allocate | None = None,
    ) -> UInt8[Tensor, "T 3 H W"]:
        wanted = self._sorted(indices)
        if allocate is None:
            return super().read(indices, crop=crop)
        content = self._content(wanted[0])
        frames_THWC = self._room(content, len(indices), allocate)
        if frames_THWC is None:
            return super().read(indices, crop=crop, allocate=allocate)
        places = [list(indices).index(index) for index in wanted]
        for index, place in zip(wanted, places, strict=True):
            content = content if index == wanted[0] else self._content(index)
            self._decode_into(frames_THWC[place], index, content, wanted[0])
        for place, index in enumerate(indices):
            if place not in places:
                np.copyto(frames_THWC[place], frames_THWC[places[wanted.index(index)]])
        return _part(frames_THWC, crop)

    def _room(self, content: bytes, num_frames: int, allocate: Allocate) -> UInt8[np.ndarray, "T H W 3"] | None:
        """Memory for whole frames, where there is so much: what is decoded straight into it need not be copied, and
        copying crops takes about a tenth of the time that decoding takes."""
        try:
            return allocate((num_frames, *_size(content, self.short_side), 3))
        except ValueError:  # Pillow may know more of it
            return None

    def _decode_into(self, out_HWC: UInt8[np.ndarray, "H W 3"], index: int, content: bytes, first: int) -> None:
        frame_HWC = self._decode(index, content, out_HWC)
        if frame_HWC.shape != out_HWC.shape:
            raise UnreadableClipError(self.path, two_sizes(out_HWC.shape[:2], first, frame_HWC.shape[:2], index))
        if frame_HWC is not out_HWC:
            np.copyto(out_HWC, frame_HWC)

    def _decode(
        self, index: int, content: bytes, out: UInt8[np.ndarray, "H2 W2 3"] | None = None
    ) -> UInt8[np.ndarray, "H W 3"]:
        """One frame, in `out` if that has its size and libjpeg-turbo reads it, and else in new memory."""
        try:
            return _decode_jpeg(content, self.short_side, out)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            # the last of a damaged header that names a size beyond all bounds
            raise UnreadableClipError(self.path, _why_not_decoded(self.files[index], error)) from error

    def _content(self, index: int) -> bytes:
        file = self.files[index]
        try:
            with file.open("rb") as opened:
                return opened.read()
        except OSError as error:
            raise UnreadableClipError(self.path, _why_not_decoded(file, error)) from error


def _part(
    frames_THWC: UInt8[np.ndarray, "T H W 3"], crop: Callable[[int, int], Box] | None
) -> UInt8[Tensor, "T 3 H2 W2"]:
    if crop is not None:
        top, left, height, width = crop(*frames_THWC.shape[1:3])
        frames_THWC = frames_THWC[:, top : top + height, left : left + width]
    return torch.from_numpy(frames_THWC).permute(0, 3, 1, 2)


def _decode_jpeg(
    content: bytes, short_side: int | None, out: UInt8[np.ndarray, "H2 W2 3"] | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """By libjpeg-turbo directly, which is quicker than through Pillow and gives the same pixels. Pillow decodes what
    that refuses and is none the worse for it (CMYK, stray bytes between segments), and says why the rest is broken.

    Raises ValueError where libjpeg-turbo says that the data are damaged, which Pillow would make grey or worse."""
    try:
        height, width = _size(content, short_side)
        if out is None or out.shape[:2] != (height, width):
            return simplejpeg.decode_jpeg(content, "RGB", min_height=height, min_width=width)
        simplejpeg.decode_jpeg(content, "RGB", min_height=height, min_width=width, buffer=out)
        return out
    except ValueError as error:
        said = str(error).lower()
        if _UNENDED in said and not content.endswith(_END) and not _is_progressive(content):
            with suppress(ValueError):
                return _decode_jpeg(content + _END, short_side, out)
        if _says_damaged(said):
            raise
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            if short_side is not None:
                factor = _factor(image.height, image.width, short_side)
                image.draft("RGB", (image.width // factor, image.height // factor))
            return np.array(image.convert("RGB"))


def _is_progressive(content: bytes) -> bool:
    """Whether a picture comes in several scans, of which a cut may take some whole ones."""
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            return bool(image.info.get("progressive"))
    except (OSError, SyntaxError, ValueError):
        return True


def _says_damaged(said: str) -> bool:
    """Whether libjpeg-turbo's words mean that a part of the picture is lost. A few bytes too many, which some cameras
    write, are no loss; many are what could not be decoded, for a damage before."""
    surplus = re.search(r"(\d+) extraneous bytes before marker", said)
    return any(text in said for text in _DAMAGED) or (surplus is not None and int(surplus[1]) > _PADDING)


def _size(content: bytes, short_side: int | None) -> tuple[int, int]:
    """Height and width that a frame is decoded to. Raises ValueError where libjpeg-turbo finds no header, or one that
    names a size beyond what Pillow takes, for which memory is not even asked."""
    height, width = simplejpeg.decode_jpeg_header(content)[:2]
    if height * width > _MOST_PIXELS:
        raise ValueError(f"its header says {height} x {width} pixels")
    factor = 1 if short_side is None else _factor(height, width, short_side)
    return math.ceil(height / factor), math.ceil(width / factor)


def _factor(height: int, width: int, short_side: int) -> int:
    """The largest of 1, 2, 4 and 8 by which a frame can be made smaller while its short side keeps `short_side`."""
    return next((factor for factor in (8, 4, 2) if math.ceil(min(height, width) / factor) >= short_side), 1)


def _why_not_decoded(file: Path | Part, error: Exception) -> str:
    if not file.exists():
        return f"the frame {file.name} has disappeared"
    if size_of(file) == 0:
        return f"the frame {file.name} is empty (0 bytes)"
    if _UNENDED in str(error).lower():
        return f"the frame {file.name} is cut off or damaged"
    if "truncated" in str(error).lower():
        return f"the frame {file.name} is cut off"
    if isinstance(error, UnidentifiedImageError):
        return f"the frame {file.name} is not a JPEG image"
    if _says_damaged(str(error).lower()):
        return f"the frame {file.name} is damaged ({' '.join(str(error).split())})"
    return f"the frame {file.name} cannot be decoded ({' '.join(str(error).split())})"

"""What every reader of a clip offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from ..errors import DataError, UnreadableClipError


class ClipReader(ABC):
    """One clip on disk, opened: `num_frames` is its length, `read` decodes the frames asked for.

    Usable as a context manager. Whatever cannot be decoded raises `UnreadableClipError`; a frame is never replaced
    by another.
    """

    path: Path
    num_frames: int
    frame_rate: float | None = None
    """Frames a second, on average, where the file says."""

    @abstractmethod
    def _decode(self, wanted: Sequence[int]) -> dict[int, UInt8[Tensor, "3 H W"]]:
        """The frames of `wanted`, which is sorted, free of repeats and inside the clip."""

    def read(self, indices: Sequence[int]) -> UInt8[Tensor, "T 3 H W"]:
        """The RGB frames at `indices`, in that order; indices count from 0 and may repeat.

        The result lies in memory as rows of pixels (channels last), as decoders write it.
        """
        wanted = sorted(set(indices))
        if not wanted or wanted[0] < 0 or wanted[-1] >= self.num_frames:
            raise DataError(
                f"frames {list(indices)} were asked of {self.path}, which has {self.num_frames} frames; "
                f"ask for at least one index, each from 0 to {self.num_frames - 1}"
            )
        frames = self._decode(wanted)
        sizes = {tuple(frames[index].shape[1:]): index for index in reversed(wanted)}
        if len(sizes) > 1:
            shown = ", ".join(
                f"{w}x{h} at frame {index}" for (h, w), index in sorted(sizes.items(), key=lambda s: s[1])
            )
            raise UnreadableClipError(self.path, f"its frames differ in size ({shown}); all must have the same")
        pixels_THWC = np.stack([frames[index].permute(1, 2, 0).numpy() for index in indices])  # in one thread
        return torch.from_numpy(pixels_THWC).permute(0, 3, 1, 2)

    def stream(self, indices: Sequence[int]) -> Iterator[tuple[int, UInt8[Tensor, "3 H W"]]]:
        """The frames at `indices`, which must rise, one after the other: a long recording is decoded once and never
        held as a whole."""
        for index in indices:
            yield index, self._decode([index])[index]

    def close(self) -> None:  # noqa: B027 - most readers hold nothing open
        """Lets go of the file."""

    def __enter__(self) -> ClipReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

"""What every reader of a clip offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from ..errors import DataError, UnreadableClipError

Box = tuple[int, int, int, int]
"""A part of a frame: top, left, height and width, in pixels."""

Allocate = Callable[[Sequence[int]], UInt8[np.ndarray, "..."] | None]


class ClipReader(ABC):
    """One clip on disk, opened: `num_frames` is its length, `read` decodes the frames asked for.

    Usable as a context manager. Whatever cannot be decoded raises `UnreadableClipError`; a frame is never replaced
    by another.
    """

    path: Path
    num_frames: int
    frame_rate: float | None = None
    """Frames a second, on average, where the file says."""

    def times(self) -> Sequence[float] | None:
        """When each frame is shown, in seconds from the first on, where the file says it of all of them."""
        return None

    @abstractmethod
    def stream(self, indices: Sequence[int]) -> Iterator[tuple[int, UInt8[Tensor, "3 H W"]]]:
        """The frames at `indices`, which must rise and lie inside the clip, one after the other: a long recording is
        decoded once and never held as a whole."""

    def read(
        self,
        indices: Sequence[int],
        *,
        crop: Callable[[int, int], Box] | None = None,
        allocate: Allocate | None = None,
    ) -> UInt8[Tensor, "T 3 H W"]:
        """The RGB frames at `indices`, in that order; indices count from 0 and may repeat. With a `crop`, the part of
        each that it names when it is told the frames' height and width. `allocate` gives memory of a shape to put them
        into; or None for new memory. It is asked for a whole frame's shape or a crop's, whichever is quicker.

        The result lies in memory as rows of pixels (channels last), as decoders write it.
        """
        wanted = self._sorted(indices)
        places: dict[int, list[int]] = {index: [] for index in wanted}
        for place, index in enumerate(indices):
            places[index].append(place)
        size: tuple[int, ...] = ()
        for index, frame in self.stream(wanted):
            if not size:
                size = tuple(frame.shape[1:])
                top, left, height, width = (0, 0, *size) if crop is None else crop(*size)
                shape = (len(indices), height, width, 3)
                given = allocate(shape) if allocate is not None else None
                pixels_THWC = np.empty(shape, np.uint8) if given is None else given
            elif size != tuple(frame.shape[1:]):
                raise UnreadableClipError(self.path, two_sizes(size, wanted[0], tuple(frame.shape[1:]), index))
            part_3HW = frame[:, top : top + height, left : left + width].numpy()
            for place in places[index]:
                pixels_THWC[place] = part_3HW.transpose(1, 2, 0)  # by numpy, in one thread, while it is in the cache
        return torch.from_numpy(pixels_THWC).permute(0, 3, 1, 2)

    def decode_only(self, indices: Sequence[int]) -> int:
        """Decodes the frames at `indices` and lets each go again; their number. What `read` does less its copying, for
        measuring."""
        return sum(1 for _ in self.stream(self._sorted(indices)))

    def _sorted(self, indices: Sequence[int]) -> list[int]:
        wanted = sorted(set(indices))
        if not wanted or wanted[0] < 0 or wanted[-1] >= self.num_frames:
            raise DataError(
                f"frames {list(indices)} were asked of {self.path}, which has {self.num_frames} frames; "
                f"ask for at least one index, each from 0 to {self.num_frames - 1}"
            )
        return wanted

    def close(self) -> None:  # noqa: B027 - most readers hold nothing open
        """Lets go of the file."""

    def __enter__(self) -> ClipReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def two_sizes(size: tuple[int, ...], index: int, other: tuple[int, ...], place: int) -> str:
    """Why a clip cannot be read whose frames have two sizes, each (height, width), one at `index`, one at `place`."""
    both = f"{size[1]}x{size[0]} at frame {index}, {other[1]}x{other[0]} at frame {place}"
    return f"its frames differ in size ({both}); all must have the same"

"""Clips of different sizes in one piece of memory: what goes from a decoding process to the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import get_worker_info

from .preprocessing import Preprocessing
from .slots import Lease, Slot, lease, new_shared


@dataclass(frozen=True, kw_only=True)
class PackedClips:
    """The pixels of clips in one tensor, each frame as rows of pixels: a batch on its way between processes and to a
    GPU, whatever the sizes of the clips in it. `unpack` scales them there."""

    pixels: UInt8[Tensor, " N"]
    offsets: tuple[int, ...]
    """Where each clip begins."""
    shapes: tuple[tuple[int, ...], ...]
    """Of each clip, (*V, T, H, W, 3)."""
    strides: tuple[tuple[int, ...], ...]
    """Of each clip, in bytes: a crop may lie in its whole frames."""
    preprocessing: Preprocessing
    slot: tuple[int, int, int] | None = None
    """The slot that the pixels are in, in the process that filled it."""
    lease: Lease | None = None
    """What keeps them there, in the process that reads them."""

    @classmethod
    def of(
        cls, clips: Sequence[UInt8[Tensor, "*_ _ 3 _ _"]], preprocessing: Preprocessing, slot: Slot | None = None
    ) -> PackedClips:
        """Copies clips together: into a slot, where those that are there already stay; without one, or where it is too
        small, into memory of their own, which is shared when this runs in a worker of a loader."""
        arrays = [clip.movedim(-3, -1).numpy() for clip in clips]
        placed = None if slot is None else _into(slot, arrays)
        if slot is not None and placed is not None:
            return cls(
                pixels=slot.pixels[: slot.used],
                offsets=tuple(offset for offset, _ in placed),
                shapes=tuple(place.shape for _, place in placed),
                strides=tuple(place.strides for _, place in placed),
                preprocessing=preprocessing,
                slot=slot.address,
            )
        *starts, end = np.cumsum([0, *(array.size for array in arrays)]).tolist()
        pixels = _new(end)
        places = [
            pixels.numpy()[at : at + array.size].reshape(array.shape) for at, array in zip(starts, arrays, strict=True)
        ]
        for place, array in zip(places, arrays, strict=True):
            np.copyto(place, array)
        return cls(
            pixels=pixels,
            offsets=tuple(starts),
            shapes=tuple(place.shape for place in places),
            strides=tuple(place.strides for place in places),
            preprocessing=preprocessing,
        )

    def unpack(self) -> UInt8[Tensor, "B *V T 3 S S"]:
        """All clips at the model's size, in the order in memory that decoders write pixels in (channels last), and in
        memory of their own."""
        size = self.preprocessing.size
        if not self.shapes:
            return self.pixels.new_empty((0, self.preprocessing.num_frames, 3, size, size))
        *views, frames, _, _, _ = self.shapes[0]
        out = self.pixels.new_empty((len(self.shapes), *views, frames, size, size, 3))
        with _one_thread(self.pixels.device):
            for place, offset, shape, strides in zip(out, self.offsets, self.shapes, self.strides, strict=True):
                clip = self.pixels.as_strided(shape, strides, self.pixels.storage_offset() + offset)
                scaled = clip if shape == place.shape else self._to_size(clip)
                place.copy_(scaled)
        return out.movedim(-1, -3)

    def pin_memory(self) -> PackedClips:
        """The same in page-locked memory."""
        return replace(self, pixels=self.pixels.pin_memory(), lease=None)

    def to(self, device: torch.device | str, *, non_blocking: bool = True) -> PackedClips:
        """The same on a device, as it is: scaling comes after."""
        pixels = self.pixels.to(device, non_blocking=non_blocking and self.pixels.is_pinned())
        return replace(self, pixels=pixels, lease=self.lease if pixels is self.pixels else None)

    def __reduce__(self) -> Any:
        if self.slot is None:
            return _unpickle, (self.pixels, self.offsets, self.shapes, self.strides, self.preprocessing)
        return _from_slot, (self.slot, len(self.pixels), self.offsets, self.shapes, self.strides, self.preprocessing)

    def _to_size(self, clip: UInt8[Tensor, "*V T H W 3"]) -> UInt8[Tensor, "*V T S S 3"]:
        return self.preprocessing.to_size(clip.movedim(-1, -3)).movedim(-3, -1)


def _into(slot: Slot, arrays: Sequence[UInt8[np.ndarray, ...]]) -> list[tuple[int, UInt8[np.ndarray, ...]]] | None:
    placed = []
    for array in arrays:
        offset, place = slot.offset(array), array
        if offset is None:
            offset, new = slot.used, slot.allocate(array.shape)
            if new is None:
                return None
            np.copyto(new, array)
            place = new
        placed.append((offset, place))
    return placed


def _unpickle(pixels: Tensor, offsets: Any, shapes: Any, strides: Any, preprocessing: Preprocessing) -> PackedClips:
    return PackedClips(pixels=pixels, offsets=offsets, shapes=shapes, strides=strides, preprocessing=preprocessing)


def _from_slot(
    slot: Any, num_bytes: int, offsets: Any, shapes: Any, strides: Any, preprocessing: Preprocessing
) -> PackedClips:
    memory, held = lease(slot)
    given = {"offsets": offsets, "shapes": shapes, "strides": strides, "preprocessing": preprocessing}
    return PackedClips(pixels=memory[:num_bytes], lease=held, **given)


def _new(num_bytes: int) -> UInt8[Tensor, " N"]:
    shared = get_worker_info() is not None and num_bytes > 0
    return new_shared(num_bytes) if shared else torch.empty(num_bytes, dtype=torch.uint8)


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    """Scaling small frames in several threads, beside processes that decode, takes longer than in one."""
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

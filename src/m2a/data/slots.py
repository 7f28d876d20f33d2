"""Memory in which batches travel from decoding processes to the one that trains: shared, and used again.

Shared memory that is new for each batch costs a page fault for every 4 KiB of it, which for JPEG frames is a good part
of the time that decoding takes. So each worker of a loader has a few slots. A batch that comes out of one holds a
`Lease`; when the last reference to it is gone, the worker may write there again.
"""

from __future__ import annotations

import itertools
import math
import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

_SLOTS = 4  # two batches are made ahead, one is made, one is in use
_MEMORY = Path("/dev/shm")
_SHARE = 0.5  # of what is free in it, that a pool may take
_NUMBERS = itertools.count()
_POOLS: weakref.WeakValueDictionary[int, SlotPool] = weakref.WeakValueDictionary()


class SlotPool:
    """The slots of all workers of one loader. `create` gives None where there is no room for them, and batches then
    travel in memory of their own."""

    def __init__(self, *, workers: int, num_bytes: int, slots: int = _SLOTS) -> None:
        self.number = next(_NUMBERS)
        self.memory = [new_shared(slots * num_bytes).view(slots, num_bytes) for _ in range(workers)]
        self.taken = torch.zeros(workers, slots, dtype=torch.uint8).share_memory_()
        _POOLS[self.number] = self

    @classmethod
    def create(cls, *, workers: int, num_bytes: int) -> SlotPool | None:
        """A pool with slots of `num_bytes` for each of `workers` processes, if there is room for it and a use."""
        return cls(workers=workers, num_bytes=num_bytes) if cls.size(workers=workers, num_bytes=num_bytes) else None

    @staticmethod
    def size(*, workers: int, num_bytes: int) -> int:
        """The bytes of shared memory that `create` would take, in the course of an epoch; 0 where it gives None."""
        needed = workers * _SLOTS * num_bytes
        room = shutil.disk_usage(_MEMORY).free if _MEMORY.is_dir() else math.inf
        return needed if needed <= _SHARE * room else 0

    def of(self, worker: int) -> WorkerSlots:
        """What one worker needs of it."""
        return WorkerSlots(self.number, worker, self.memory[worker], self.taken[worker])


class WorkerSlots:
    """The slots of one worker, in that worker's process. Slots are taken here and let go of where the batch went."""

    def __init__(
        self, pool: int, worker: int, memory: UInt8[Tensor, "slots N"], taken: UInt8[Tensor, " slots"]
    ) -> None:
        self.pool, self.worker, self.memory, self.taken = pool, worker, memory, taken

    def take(self) -> Slot | None:
        """A slot that nobody reads any more, or None while there is none."""
        free = (self.taken == 0).nonzero()
        if not len(free):
            return None
        number = int(free[0])
        self.taken[number] = 1
        return Slot(self, number)


class Slot:
    """A slot that is being filled."""

    def __init__(self, slots: WorkerSlots, number: int) -> None:
        self.address = (slots.pool, slots.worker, number)
        self.pixels: UInt8[Tensor, " N"] = slots.memory[number]
        self.used = 0
        self._array = self.pixels.numpy()
        self._start = self._array.ctypes.data

    def allocate(self, shape: Sequence[int]) -> UInt8[np.ndarray, ...] | None:
        """The next free part of it, or None where that is too small."""
        end = self.used + math.prod(shape)
        if end > len(self._array):
            return None
        part = self._array[self.used : end].reshape(shape)
        self.used = end
        return part

    def keep(self, clip: UInt8[Tensor, "*_ _ 3 _ _"], since: int) -> UInt8[Tensor, "*_ _ 3 _ _"]:
        """A clip that is in it already, or else a copy, in place of what was put there from the byte `since` on; the
        clip itself, where the slot is too small for it."""
        pixels = clip.movedim(-3, -1).numpy()
        if self.offset(pixels) is not None:
            return clip
        self.used = since
        place = self.allocate(pixels.shape)
        if place is None:
            return clip
        np.copyto(place, pixels)
        return torch.from_numpy(place).movedim(-1, -3)

    def offset(self, array: UInt8[np.ndarray, ...]) -> int | None:
        """Where an array begins in it; None for one that is elsewhere."""
        offset = int(array.ctypes.data) - self._start
        return offset if 0 <= offset < self.used else None


class Lease:
    """Keeps a slot from being written to again, as long as this object lives."""

    def __init__(self, pool: SlotPool, worker: int, slot: int) -> None:
        self.pool, self.worker, self.slot = pool, worker, slot

    def __del__(self) -> None:
        self.pool.taken[self.worker, self.slot] = 0  # a single store: neither a lock nor a queue that could be in use


def lease(address: tuple[int, int, int]) -> tuple[UInt8[Tensor, " N"], Lease]:
    """In the process that made the pool: a slot's memory, and what keeps it."""
    number, worker, slot = address
    pool = _POOLS[number]
    return pool.memory[worker][slot], Lease(pool, worker, slot)


def new_shared(num_bytes: int) -> UInt8[Tensor, " N"]:
    """Memory that other processes can be given without a copy, not yet written to."""
    storage = torch.UntypedStorage._new_shared(num_bytes)  # what torch's own collate takes
    return torch.empty(0, dtype=torch.uint8).set_(storage)

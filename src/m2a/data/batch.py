"""What a data set gives: samples, the names of clips that cannot be read, and batches of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from .packing import PackedClips
from .preprocessing import Preprocessing
from .slots import Slot


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One clip, decoded and cropped."""

    clip: UInt8[Tensor, "*V T 3 H W"]
    """Of several views, V of them. A crop for training has the size it has in the frames: `Batch.clips` has them all
    at the model's."""
    label: int
    """Class index; after a flip, the mirrored class's."""
    index: int
    """Position in the data set."""


@dataclass(frozen=True, kw_only=True)
class BadClip:
    """A clip that cannot be read, and why, in one line."""

    path: Path
    reason: str
    index: int


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why reading cannot go on, on its way from a worker process; the loader raises it as a CacheError."""

    message: str


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The clips of a batch that can be read, and the names of those that cannot; B may be 0."""

    packed: PackedClips
    """The clips' pixels, on their way to the model."""
    labels: Int64[Tensor, " B"]
    indices: Int64[Tensor, " B"]
    """Positions in the data set."""
    bad: list[BadClip]
    failure: Failure | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def clips(self) -> UInt8[Tensor, "B *V T 3 S S"]:
        """The clips at the model's size, ready for `Preprocessing.normalize`. Crops are scaled when this is first asked
        for, on the device where the batch is, so that the processes that decode need not do it."""
        return self.packed.unpack()

    def __reduce__(self) -> Any:
        # numbers, not tensors: each of those would travel between processes as a file of shared memory
        numbers = self.labels.tolist(), self.indices.tolist()
        return _unpickle, (self.packed, *numbers, self.bad, self.failure)

    def pin_memory(self) -> Batch:
        """The same in page-locked memory, where copies to a GPU are fast."""
        return replace(
            self,
            packed=self.packed.pin_memory(),
            labels=self.labels.pin_memory(),
            indices=self.indices.pin_memory(),
        )

    def to(self, device: torch.device | str, *, non_blocking: bool = True) -> Batch:
        """The same on a device."""
        return replace(
            self,
            packed=self.packed.to(device, non_blocking=non_blocking),
            labels=self.labels.to(device, non_blocking=non_blocking),
            indices=self.indices.to(device, non_blocking=non_blocking),
        )


def _unpickle(
    packed: PackedClips, labels: list[int], indices: list[int], bad: list[BadClip], failure: Failure | None
) -> Batch:
    numbers = {"labels": torch.tensor(labels, dtype=torch.int64), "indices": torch.tensor(indices, dtype=torch.int64)}
    return Batch(packed=packed, bad=bad, failure=failure, **numbers)


def collate(
    samples: Sequence[Sample | BadClip | Failure], *, preprocessing: Preprocessing, slot: Slot | None = None
) -> Batch:
    """One batch of the samples that could be read, of a data set with this preprocessing; in a slot of shared memory,
    if one is given."""
    good = [sample for sample in samples if isinstance(sample, Sample)]
    return Batch(
        packed=PackedClips.of([sample.clip for sample in good], preprocessing, slot),
        labels=torch.tensor([sample.label for sample in good], dtype=torch.int64),
        indices=torch.tensor([sample.index for sample in good], dtype=torch.int64),
        bad=[sample for sample in samples if isinstance(sample, BadClip)],
        failure=next((sample for sample in samples if isinstance(sample, Failure)), None),
    )

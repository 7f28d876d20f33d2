"""What a data set gives: samples, the names of clips that cannot be read, and batches of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One clip, ready for `Preprocessing.normalize`."""

    clip: UInt8[Tensor, "*V T 3 S S"]
    """Of several views, V of them."""
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

    clips: UInt8[Tensor, "B *V T 3 S S"]
    labels: Int64[Tensor, " B"]
    indices: Int64[Tensor, " B"]
    """Positions in the data set."""
    bad: list[BadClip]
    failure: Failure | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def pin_memory(self) -> Batch:
        """The same in page-locked memory, where copies to a GPU are fast."""
        return Batch(
            clips=self.clips.pin_memory(),
            labels=self.labels.pin_memory(),
            indices=self.indices.pin_memory(),
            bad=self.bad,
            failure=self.failure,
        )

    def to(self, device: torch.device | str, *, non_blocking: bool = True) -> Batch:
        """The same on a device."""
        return Batch(
            clips=self.clips.to(device, non_blocking=non_blocking),
            labels=self.labels.to(device, non_blocking=non_blocking),
            indices=self.indices.to(device, non_blocking=non_blocking),
            bad=self.bad,
            failure=self.failure,
        )


def collate(samples: Sequence[Sample | BadClip | Failure]) -> Batch:
    """One batch of the samples that could be read. Pixels keep the order in memory that decoders write them in."""
    good = [sample for sample in samples if isinstance(sample, Sample)]
    bad = [sample for sample in samples if isinstance(sample, BadClip)]
    if good:
        clips = torch.stack([sample.clip.movedim(-3, -1) for sample in good]).movedim(-1, -3)
    else:
        clips = torch.empty((0, 0, 3, 0, 0), dtype=torch.uint8)
    labels = torch.tensor([sample.label for sample in good], dtype=torch.int64)
    indices = torch.tensor([sample.index for sample in good], dtype=torch.int64)
    failure = next((sample for sample in samples if isinstance(sample, Failure)), None)
    return Batch(clips=clips, labels=labels, indices=indices, bad=bad, failure=failure)

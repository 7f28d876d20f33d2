"""Changes to training clips besides crops: colours, RandAugment, mirroring and playing backwards with their labels.

Everything is drawn once a clip, so that all its frames are changed alike, and from the clip's own random generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms import v2

from ..errors import ConfigError
from .labels import flip_map
from .reversal import reversal_map


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done to training clips. The default is nothing."""

    flip: bool = False
    """Mirror half of the clips, and with them their labels (`flip_map`); those without a partner are left alone."""
    reverse: bool = False
    """Play half of the clips backwards whose reversed label is in the set (`reversal_map`), with that label."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation, 0 to 1; a quarter of it of hue, in turns."""
    rand_augment: int = 0
    """Magnitude of RandAugment (two operations), 1 to 30; 0 for none. Its operations mirror nothing."""

    def __post_init__(self) -> None:
        if not 0 <= self.color_jitter <= 1:
            raise ConfigError(f"color_jitter is {self.color_jitter}; it must lie between 0 (none) and 1")
        if not 0 <= self.rand_augment <= 30:
            raise ConfigError(f"rand_augment is {self.rand_augment}; it is a magnitude from 0 (none) to 30")


@dataclass(frozen=True)
class Augmenter:
    """An augmentation of clips with these labels: `clip, class -> clip, class`."""

    augmentation: Augmentation
    labels: Sequence[str]
    _flips: tuple[int | None, ...] = field(init=False)
    _reversals: tuple[int | None, ...] = field(init=False)
    _transforms: tuple[v2.Transform, ...] = field(init=False)

    def __post_init__(self) -> None:
        given, none = self.augmentation, (None,) * len(self.labels)
        object.__setattr__(self, "_flips", flip_map(self.labels) if given.flip else none)
        object.__setattr__(self, "_reversals", reversal_map(self.labels) if given.reverse else none)
        transforms: list[v2.Transform] = []
        if given.rand_augment:
            transforms.append(v2.RandAugment(num_ops=2, magnitude=given.rand_augment))
        if given.color_jitter:
            amount = given.color_jitter
            transforms.append(v2.ColorJitter(amount, amount, amount, hue=amount / 4))
        object.__setattr__(self, "_transforms", tuple(transforms))

    @property
    def changes_pixels(self) -> bool:
        """Whether it does more than to mirror and to reverse."""
        return bool(self._transforms)

    def __call__(
        self, clip: UInt8[Tensor, "T 3 H W"], label: int, rng: np.random.Generator
    ) -> tuple[UInt8[Tensor, "T 3 H W"], int]:
        mirrored = self._flips[label]
        if mirrored is not None and rng.random() < 0.5:
            clip, label = clip.flip(-1), mirrored
        backwards = self._reversals[label]
        if backwards is not None and rng.random() < 0.5:
            clip, label = clip.flip(0), backwards
        if self._transforms:
            with torch.random.fork_rng(devices=[]):  # torchvision draws from the global state
                torch.default_generator.manual_seed(int(rng.integers(2**62)))  # and not those of GPUs
                for transform in self._transforms:
                    clip = transform(clip)
        return clip, label

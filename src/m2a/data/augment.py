"""Changes to training clips besides crops: colours, RandAugment, mirroring and playing backwards with their labels.

Everything is drawn once a clip, from the clip's own random generator, and what is measured of its pixels (their mean,
their histogram) is measured of all its frames together: all of them are changed alike, and nothing flickers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

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


class _RandAugment(v2.RandAugment):
    """torchvision's takes the histogram, or the mean, of each frame by itself: where something bright leaves the
    picture the rest would jump."""

    def _apply_image_or_video_transform(self, image: Any, transform_id: str, *args: Any, **options: Any) -> Any:
        apply = super()._apply_image_or_video_transform
        if transform_id in ("AutoContrast", "Equalize", "Contrast"):
            return _as_one_picture(lambda whole: apply(whole, transform_id, *args, **options), image)
        return apply(image, transform_id, *args, **options)


class _ColorJitter(v2.ColorJitter):
    """The same of the mean that contrast is changed around."""

    def forward(self, *inputs: Any) -> Any:
        (clip,) = inputs
        return _as_one_picture(super().forward, clip)


def _as_one_picture(
    change: Callable[[Tensor], Tensor], clip_T3HW: UInt8[Tensor, "T 3 H W"]
) -> UInt8[Tensor, "T 3 H W"]:
    """Of a clip what `change` makes of its frames one below the other."""
    frames, channels, height, width = clip_T3HW.shape
    tall = clip_T3HW.transpose(0, 1).reshape(channels, frames * height, width)
    return change(tall).reshape(channels, frames, height, width).transpose(0, 1)


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
            transforms.append(_RandAugment(num_ops=2, magnitude=given.rand_augment))
        if given.color_jitter:
            amount = given.color_jitter
            transforms.append(_ColorJitter(amount, amount, amount, hue=amount / 4))
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

"""From decoded frames to what a model takes: sampling, crops and normalisation, the same object wherever they happen.

The crops for training are those of Temporal Segment Networks, https://arxiv.org/abs/1608.00859, section 3.3.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from numbers import Integral
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from ..errors import ConfigError
from .clip_reader import Box
from .sampling import Sampling, check_sampling, drawn_indices, view_indices

_LONGEST = 8
"""Times its short side a frame may have for its long side to be scaled whole."""
_INTERPOLATIONS = ("bilinear", "bicubic", "nearest-exact")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How clips become a model's input. It travels with a saved model; `to_dict` is plain JSON."""

    num_frames: int = 8
    """Frames a model sees of a clip, spread evenly over it."""
    size: int = 224
    """Height and width of the model's input, in pixels."""
    resize: int | None = None
    """Length of the short side before the centre crop of testing; None is `size * 256 / 224`, as in TSN."""
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Mean of each channel, where pixels lie in 0 to 1; the default is ImageNet's, of three colours."""
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """Standard deviation of each channel, likewise."""
    interpolation: str = "bilinear"
    """`bilinear`, `bicubic` or `nearest-exact`."""
    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    """Sides of the training crops, as fractions of the frame's short side, longest first."""
    sampling: Sampling = "segments"
    """Which frames of a clip are taken: `segments`, `uniform` or `dense`; see `m2a.data.sampling`."""
    stride: int = 1
    """Distance of the frames of a dense sample."""

    def __post_init__(self) -> None:
        for name in ("mean", "std", "scales"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        for name in ("num_frames", "size", "resize", "stride"):
            if isinstance(value := getattr(self, name), Integral):
                object.__setattr__(self, name, int(value))  # of numpy, too: JSON has to hold it
        _validate(self)

    @property
    def short_side(self) -> int:
        """Length in pixels of the short side before the centre crop of testing."""
        return self.resize if self.resize is not None else round(self.size * 256 / 224)

    @property
    def smallest_side(self) -> int:
        """Short side of a frame in pixels from which on neither crops nor the resize of testing make pixels larger."""
        return max(self.short_side, math.ceil(self.size / min(self.scales)))

    def sample_test(self, total: int, *, view: int = 0, views: int = 1) -> list[int]:
        """The frames of one view of a clip of `total` frames: of a single one, the centres of its segments, or the
        window in its middle."""
        return view_indices(total, self.num_frames, sampling=self.sampling, stride=self.stride, view=view, views=views)

    def sample_train(self, total: int, rng: np.random.Generator) -> list[int]:
        """Frames of a clip of `total` frames, drawn: from each of `num_frames` equal segments one, by default."""
        return drawn_indices(total, self.num_frames, random=rng, sampling=self.sampling, stride=self.stride)

    def test_transform(self, clip: UInt8[Tensor, "T 3 H W"]) -> UInt8[Tensor, "T 3 S S"]:
        """Short side to `short_side`, then the centre of `size` x `size`."""
        return self.test_crops(clip, 1)[0]

    def test_crops(self, clip: UInt8[Tensor, "T 3 H W"], num_crops: int) -> list[UInt8[Tensor, "T 3 S S"]]:
        """Short side to `short_side`, then `num_crops` crops of `size` x `size`, spread over the longer side: 1 is the
        centre; 3 are its start, its middle and its end. Raises ConfigError for fewer than 1."""
        if num_crops < 1:
            raise ConfigError(f"num_crops is {num_crops}; it must be at least 1")
        if max(clip.shape[-2:]) > _LONGEST * min(clip.shape[-2:]):  # it could be scaled to any number of pixels
            parts = [_part(clip, index, num_crops) for index in range(num_crops)]
            return [self._crop(self._resize(part, [self.short_side]), k, num_crops) for k, part in enumerate(parts)]
        resized = self._resize(clip, [self.short_side])
        return [self._crop(resized, index, num_crops) for index in range(num_crops)]

    def _crop(self, resized: UInt8[Tensor, "T 3 H W"], index: int, num_crops: int) -> UInt8[Tensor, "T 3 S S"]:
        if num_crops == 1:
            return F.center_crop(resized, [self.size, self.size])
        height, width = resized.shape[-2:]
        top = _spread(height - self.size, index, num_crops) if height > width else (height - self.size) // 2
        left = (width - self.size) // 2 if height > width else _spread(width - self.size, index, num_crops)
        return resized[..., top : top + self.size, left : left + self.size]

    def train_transform(self, clip: UInt8[Tensor, "T 3 H W"], rng: np.random.Generator) -> UInt8[Tensor, "T 3 S S"]:
        """One of TSN's multi-scale crops, the same for all frames, at `size` x `size`."""
        top, left, height, width = self.draw_crop(clip.shape[-2], clip.shape[-1], rng)
        return self.to_size(clip[..., top : top + height, left : left + width])

    def draw_crop(self, height: int, width: int, rng: np.random.Generator) -> Box:
        """One of TSN's multi-scale crops of a frame of `height` x `width`, not yet scaled."""
        return draw_crop(height, width, scales=self.scales, rng=rng)

    def to_size(self, clip: UInt8[Tensor, "*V T 3 H W"]) -> UInt8[Tensor, "*V T 3 S S"]:
        """Frames scaled to `size` x `size`, whatever their shape."""
        return self._resize(clip, [self.size, self.size])

    def normalize(self, clips: Shaped[Tensor, "... C H W"]) -> Float[Tensor, "... C H W"]:
        """`(x - mean) / std` of pixels in 0 to 1, on the clips' own device and in their memory layout.

        uint8 is divided by 255 first and becomes float32; floating point is taken to lie in 0 to 1 and keeps its type.

        Raises ConfigError for other types, and for another number of channels than `mean` and `std` have values.
        """
        if clips.shape[-3] != len(self.mean):
            raise ConfigError(
                f"Frames of {clips.shape[-3]} channels cannot be normalised by mean={self.mean} and std={self.std}, "
                f"which are of {len(self.mean)}. Videos and pictures are read in 3 colours; for frames of your own "
                "with other channels, set model.preprocessing with a mean and a std for each."
            )
        if clips.dtype != torch.uint8 and not clips.is_floating_point():
            raise ConfigError(f"pixels of type {clips.dtype} cannot be normalised; give uint8, or float in 0 to 1")
        full = 255.0 if clips.dtype == torch.uint8 else 1.0
        pixels = clips.float() if clips.dtype == torch.uint8 else clips
        std = torch.tensor(self.std, dtype=torch.float64)
        scale = (1 / (full * std)).to(pixels)[:, None, None]
        shift = (-torch.tensor(self.mean, dtype=torch.float64) / std).to(pixels)[:, None, None]
        return torch.addcmul(shift, pixels, scale)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` reads them back."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """From what `to_dict` gave; an unknown key is an error."""
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise ConfigError(f"unknown preprocessing option {key!r}; the options are {', '.join(known)}.{hint}")
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**given)

    def _resize(self, clip: UInt8[Tensor, "*V T 3 H W"], shape: Sequence[int]) -> UInt8[Tensor, "*V T 3 H2 W2"]:
        return F.resize(clip, list(shape), interpolation=InterpolationMode(self.interpolation), antialias=True)


def _part(clip: UInt8[Tensor, "T 3 H W"], index: int, count: int) -> UInt8[Tensor, "T 3 h w"]:
    """Of a long frame the part that the `index`th of `count` crops lies in, in the same place of it."""
    short, axis = min(clip.shape[-2:]), -2 if clip.shape[-2] > clip.shape[-1] else -1
    room = clip.shape[axis] - _LONGEST * short
    return clip.narrow(axis, _spread(room, index, count) if count > 1 else room // 2, _LONGEST * short)


def _spread(room: int, index: int, count: int) -> int:
    """The `index`th of `count` places from 0 to `room`, ends included."""
    return round(room * index / (count - 1))


def draw_crop(height: int, width: int, *, scales: Sequence[float], rng: np.random.Generator) -> Box:
    """TSN's multi-scale crop of a frame: top, left, height and width, in pixels.

    The sides are two of `scales` that are neighbours or the same, times the frame's short side. The crop is placed
    at one of 13 fixed places: corners, edge centres, the centre, and half way from it to the corners::

        x . x . x
        . x . x .
        x . x . x
        . x . x .
        x . x . x
    """
    sides = [max(1, int(min(height, width) * scale)) for scale in sorted(scales, reverse=True)]
    pairs = [(h, w) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1]
    crop_height, crop_width = pairs[rng.integers(len(pairs))]
    places = [(down, right) for down in range(5) for right in range(5) if (down + right) % 2 == 0]
    down, right = places[rng.integers(len(places))]
    return down * (height - crop_height) // 4, right * (width - crop_width) // 4, crop_height, crop_width


def _validate(given: Preprocessing) -> None:
    check_sampling(given.sampling, given.stride)
    if given.num_frames < 1 or given.size < 1:
        raise ConfigError(f"num_frames={given.num_frames} and size={given.size} must both be at least 1")
    if given.short_side < given.size:
        raise ConfigError(f"resize={given.resize} is less than size={given.size}: the crop would not fit; raise it")
    if not given.mean or len(given.mean) != len(given.std) or min(given.std) <= 0:
        raise ConfigError(
            f"mean={given.mean} and std={given.std} must have a value for each channel (3 of colours), and std above 0"
        )
    if not given.scales or not all(0 < scale <= 1 for scale in given.scales):
        raise ConfigError(f"scales={given.scales} must hold at least one number, each above 0 and at most 1")
    if given.interpolation not in _INTERPOLATIONS:
        raise ConfigError(f"interpolation={given.interpolation!r} is not one of: {', '.join(_INTERPOLATIONS)}")

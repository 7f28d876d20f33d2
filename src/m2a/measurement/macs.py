"""Multiply-adds of a model, counted from its operations."""

from __future__ import annotations

from contextlib import suppress
from numbers import Integral

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from m2a.errors import ConfigError
from m2a.insertion import set_num_frames
from m2a.insertion.insert import get_num_frames
from m2a.insertion.no_device import autocast_on_meta
from m2a.insertion.trace import empty_copy, image_channels
from m2a.models import VideoClassifier, is_inflated
from m2a.models.backbones import fixed_size, least_size
from m2a.models.device import kind_of_input
from m2a.models.groups import classifier_in, uncompiled


def count_macs(model: nn.Module, *, num_frames: int | None = None, size: int | None = None) -> int:
    """Multiply-adds of the convolutions and matrix products of one clip of `num_frames` frames, `size` pixels square.

    Counted on a copy without data (torch's meta device): fast, and the model is left alone. Normalisation, activations
    and pooling are not counted; the paper counted them, which adds about 0.6%. Nor are operations that torch's
    `FlopCounterMode` does not know, such as torchvision's deformable convolution and `nn.Bilinear`.

    Args:
        model: a `VideoClassifier`, an image network that takes folded frames (T, 3, size, size), or one that
            `m2a.inflate` made 3D, which takes (1, 3, T, size, size); also as `torch.compile` gives it.
        num_frames: by default a `VideoClassifier`'s own, the one that the network's mechanisms are set for, or 8.
        size: by default a `VideoClassifier`'s own, the one that an image network is built for, or 224.

    Raises ConfigError for num_frames or size that is no whole number or less than 1, for a num_frames that the model's
    mechanisms do not take (`m2a.set_num_frames`), for a size that the network does not take and whatever else it cannot
    be run with without data, and for what wraps a `VideoClassifier`.
    """
    if num_frames is not None:
        _check_count("num_frames", num_frames)
    if size is not None:
        _check_count("size", size)
    inside = uncompiled(model)
    if any(isinstance(module, VideoClassifier) for module in inside.modules()):
        inside = classifier_in(model, "count_macs")
    num_frames = num_frames or _frames_of(inside)
    sizes = _sizes_of(inside) if size is None else [(size, size)]
    for other in sizes[:-1]:
        with suppress(ConfigError):
            return _counted(inside, num_frames, *other)
    return _counted(inside, num_frames, *sizes[-1])


def _counted(inside: nn.Module, num_frames: int, height: int, width: int) -> int:
    ghost = empty_copy(inside).requires_grad_(False)
    if isinstance(ghost, VideoClassifier):
        ghost.num_frames = num_frames
        shape: tuple[int, ...] = (1, num_frames, len(ghost.preprocessing.mean), height, width)
    else:
        if get_num_frames(ghost) is not None:
            set_num_frames(ghost, num_frames)
        channels = image_channels(ghost)
        clip, frames = (1, channels, num_frames, height, width), (num_frames, channels, height, width)
        shape = clip if is_inflated(ghost) else frames
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad(), autocast_on_meta():
            ghost(torch.empty(shape, device="meta", dtype=kind_of_input(ghost)[1]))
    except Exception as error:  # whatever a model that is not ours raises
        said = (str(error).strip().splitlines() or [""])[0]
        raise ConfigError(
            f"The model's multiply-adds cannot be counted: a copy of it without data does not take {num_frames} images "
            f"of {height} x {width} pixels ({type(error).__name__}: {said}). It may be made for another size= or for "
            "other input, or do what depends on data."
        ) from error
    return counter.get_total_flops() // 2


def _sizes_of(model: nn.Module) -> list[tuple[int, ...]]:
    """Height and width of the images that a model takes; where it does not say 224, or what it may need."""
    if isinstance(model, VideoClassifier):
        return [(model.preprocessing.size, model.preprocessing.size)]
    if (fixed := fixed_size(model)) is not None:
        return [fixed]
    least = least_size(model)
    return [(224, 224)] if least is None else [(224, 224), least]


def _frames_of(model: nn.Module) -> int:
    if isinstance(model, VideoClassifier):
        return model.num_frames
    return get_num_frames(model) or 8


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, Integral) or value < 1:
        raise ConfigError(f"{name} must be a whole number, at least 1; got {value!r}.")


def count_parameters(model: nn.Module) -> int:
    """Number of trainable and frozen parameters; buffers are not counted."""
    return sum(p.numel() for p in model.parameters())

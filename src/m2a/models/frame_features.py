"""What a network gives for each frame: its classifier found and taken off, its output as one row of features a frame.

Shapes: N images (or clips, of a 3D network), F features, L tokens, C channels, H, W.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from m2a.errors import ClipShapeError, ConfigError
from m2a.insertion.channel_axis import ends_channels_last
from m2a.insertion.insert import insertions
from m2a.insertion.trace import BATCH, Step, Trace, UntraceableError, first_tensor, trace

# A classifier's scores pass through these, and nothing else, on their way out of a network.
_PASSING = frozenset(
    {
        "view", "_unsafe_view", "squeeze", "clone", "alias", "dropout", "native_dropout", "_to_copy",
        "sigmoid", "_softmax", "_log_softmax", "mean", "_adaptive_avg_pool2d",
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a network without its classifier takes and gives."""

    num_features: int
    takes_clips: bool
    """Whether it is 3D, and given (B, C, T, H, W)."""
    channels_last: bool
    """Whether it gives maps with the channels behind, (N, H, W, C) or (B, T, H, W, C)."""


def without_classifier(network: Any) -> Output:
    """Takes the classifier off, in place: by timm's `reset_classifier(0)` where there is one, else the last linear
    layer (or 1 x 1 convolution, as SqueezeNet has it) is replaced by an identity when the network's output is its
    output. A network that ends otherwise keeps all its layers, and its output is taken for the features.

    Raises ConfigError when the network cannot be run on images, does not give one output for each, or has mechanisms
    that its output does not depend on.
    """
    if hasattr(network, "reset_classifier"):
        state = torch.random.get_rng_state()  # timm draws a new classifier; we want none, nor its draws
        network.reset_classifier(0)
        torch.random.set_rng_state(state)
    elif name := find_classifier(network):
        network.set_submodule(name, nn.Identity())
    record = _traced(network)
    made = record.passages[""].made
    if made is None or made.shape[0] != BATCH or len(made.shape) not in (2, 3, 4, 5):
        got = "nothing" if made is None else tuple(made.shape)
        raise ConfigError(
            f"{type(network).__name__} gives {got} for {BATCH} {'clips' if record.clips else 'images'}; a backbone "
            f"gives ({BATCH}, features), or maps or tokens of features."
        )
    if len(record.steps[0].shape) == 5 and not record.clips:
        raise ConfigError(
            f"{type(network).__name__} takes clips (N, T, C, H, W) by itself, so it is a video model already. Use "
            "m2a.insert on it, without VideoClassifier."
        )
    _check_sites_are_read(network, record, made)
    last = len(made.shape) in (4, 5) and ends_channels_last(record, made)
    channels = made.shape[-1] if last or len(made.shape) == 3 else made.shape[1]
    return Output(num_features=channels, takes_clips=record.clips, channels_last=last)


def _check_sites_are_read(network: nn.Module, record: Trace, made: Step) -> None:
    """Raises ConfigError where mechanisms are behind what is read, so that they would do and learn nothing: of a timm
    network with `features_only`, which gives the maps of all stages, the first is of the first stage."""
    before, waiting = {made}, [made]
    while waiting:
        new = [source for source in waiting.pop().sources if source not in before]
        before.update(new)
        waiting += new
    passages = {name: record.passages[name] for name in insertions(network) if name in record.passages}
    unread = [name for name, passage in passages.items() if (passage.made or passage.given) not in before]
    if unread:
        raise ConfigError(
            f"{type(network).__name__} gives several outputs, of which the first is read, and {len(unread)} of its "
            f"{len(passages)} sites come after it ({unread[0]!r}, ...): their mechanisms would do nothing. Give a "
            "network whose output is its last features (timm's without features_only)."
        )


def find_classifier(network: nn.Module) -> str:
    """Name of the layer whose output is the network's output, "" when it does not end in a linear layer."""
    try:
        step = _traced(network).passages[""].made
    except ConfigError:
        return ""
    *passing, last = _way_back(step)
    if last is None or not _is_linear(last, network):
        return ""
    rectified = any(step.operation == "relu" for step in passing if step is not None)
    hidden = rectified and last.operation != "convolution"  # SqueezeNet rectifies its scores; else it is a hidden layer
    return "" if hidden else last.module


def removed_classifiers(network: nn.Module) -> list[str]:
    """Names of the identities at the end of a network: one of them `without_classifier` may have left there."""
    try:
        record = _traced(network)
    except ConfigError:
        return []
    ends = _way_back(record.passages[""].made)
    identities = (name for name, layer in network.named_modules() if isinstance(layer, nn.Identity))
    return [name for name in identities if name in record.passages and record.passages[name].given in ends]


def _way_back(step: Step | None) -> list[Step | None]:
    """From a network's output through what scores pass, to the layer that may have made them, or to nothing."""
    way = [step]
    while step is not None and step.operation in _PASSING | {"relu"} and len(step.sources) == 1:
        step = step.sources[0]
        way.append(step)
    return way


def _is_linear(step: Step, network: nn.Module) -> bool:
    layer = network.get_submodule(step.module)
    if step.operation in ("addmm", "mm"):
        return isinstance(layer, nn.Linear)
    return step.operation == "convolution" and step.kernel == 1 and isinstance(layer, nn.Conv2d) and layer.groups == 1


def _traced(network: nn.Module) -> Trace:
    try:
        return trace(network)
    except UntraceableError as error:
        raise ConfigError(
            f"{type(network).__name__} could not be run on images (N, C, H, W) to see what it gives: {error}."
        ) from error


def pooled(output: Any, num_images: int, *, channels_last: bool = False) -> Tensor:
    """(N, F) of what a network gives: features as they are; the mean over maps (N, C, H, W) or (N, C, T, H, W), or with
    their channels last, and over tokens (N, L, C); of a tuple, a dict or the like, its first tensor.

    Raises ClipShapeError when there is no row for each image.
    """
    first = first_tensor(output)
    if first is None or first.ndim not in (2, 3, 4, 5) or first.shape[0] != num_images:
        got = f"a {type(output).__name__} without tensors" if first is None else f"{tuple(first.shape)}"
        raise ClipShapeError(
            f"The backbone gave {got} for {num_images} images; it must give features ({num_images}, F)."
        )
    if first.ndim == 2:
        return first
    if channels_last or first.ndim == 3:
        return first.flatten(1, -2).mean(1)
    return first.flatten(2).mean(-1)

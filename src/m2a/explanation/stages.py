"""Which layer of a backbone to look at: its stages, told from the recorded pass of a copy without data.

A stage is what holds the residual blocks whose maps have one size, the outermost module that holds no others, and the
last of several. The paper looks at the second of a ResNet's four, whose maps have an eighth of the image's height and
width.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from m2a.errors import ConfigError
from m2a.insertion.features import NoFeaturesError, features_at, has_images_shape
from m2a.insertion.layout import Layout
from m2a.insertion.residuals import find_blocks
from m2a.insertion.trace import Trace, UntraceableError, trace

_PAPERS_STRIDE = 8  # of the second stage of a ResNet
_MOST_NAMED = 6


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A module of the backbone that gives feature maps."""

    name: str
    layout: Layout
    num_frames: int
    """Frames of a clip that are left there: fewer where a 3D network strides time."""
    stride: float
    """The image's height over the maps'."""

    def __str__(self) -> str:
        return f"{self.name} (1/{self.stride:.3g})"


def list_stages(backbone: nn.Module, *, num_frames: int = 8) -> list[Stage]:
    """The stages of a network, the largest maps first; of one whose maps are all of one size (a ViT), its blocks.

    A copy without data is run once; the network itself is neither run nor changed.

    Raises ConfigError for a network that gives maps nowhere.
    """
    return _stages(_followed(backbone, num_frames), num_frames)


def choose_stage(backbone: nn.Module, layer: str | None = None, *, num_frames: int = 8) -> Stage:
    """The module named `layer`; by default the paper's second stage.

    That is the stage whose maps have about an eighth of the image's height. A network that has none such is looked at
    where its second stage ends, and one without stages in its middle block.

    Raises ConfigError when there is no such module, or it gives no maps of frames; the message lists the stages.
    """
    record = _followed(backbone, num_frames)
    if layer is not None:
        return _named(backbone, record, layer.removeprefix("backbone."), num_frames)
    stages = _stages(record, num_frames)
    if len({stage.stride for stage in stages}) == 1:
        return stages[(len(stages) - 1) // 2]
    nearest = min(stages, key=lambda stage: _octaves(stage.stride))
    return nearest if _octaves(nearest.stride) <= 0.5 else stages[1]


def _followed(backbone: nn.Module, num_frames: int) -> Trace:
    try:
        return trace(backbone, num_frames=num_frames)
    except UntraceableError as error:
        raise ConfigError(
            f"{type(backbone).__name__} could not be followed from its input to its output ({error}), which is how its "
            "stages are found: with a batch of images (N, C, H, W), or of clips, alone."
        ) from error


def _octaves(stride: float) -> float:
    return abs(math.log2(stride / _PAPERS_STRIDE))


def _stages(record: Trace, num_frames: int) -> list[Stage]:
    maps = {name: stage for name in record.passages if name and (stage := _stage(record, name, num_frames))}
    found = find_blocks(record)
    blocks = [maps[block.name] for block in found if block.name in maps]
    if not blocks and any(_are_reordered(record, block.name) for block in found):
        raise ConfigError(
            "This network keeps its tokens in an order of its own, not row by row (as Hiera's mask units), so that its "
            "features cannot be laid over the frames. Explain a model with another backbone."
        )
    if not maps:
        raise ConfigError("This network gives feature maps nowhere, so there is no place to look at.")
    if len({stage.stride for stage in blocks}) <= 1:
        return blocks or list(maps.values())
    stages: dict[float, Stage] = {}
    for block in blocks:  # in their order
        holder = _outermost(block, maps, blocks)
        known = stages.setdefault(block.stride, holder)
        if holder.name.count(".") <= known.name.count("."):
            stages[block.stride] = holder
    return [_last_sibling(stages[stride], maps) for stride in sorted(stages)]


def _outermost(block: Stage, maps: Mapping[str, Stage], blocks: Sequence[Stage]) -> Stage:
    """What holds a block and no block whose maps are of another size."""
    for name, holder in maps.items():  # outer ones come first
        inside = [other for other in blocks if _holds(name, other)]
        if block in inside and all(other.stride == holder.stride for other in inside):
            return holder
    return block


def _last_sibling(stage: Stage, maps: Mapping[str, Stage]) -> Stage:
    parent = stage.name.rpartition(".")[0]
    siblings = [other for other in maps.values() if other.name.rpartition(".")[0] == parent]
    return [other for other in siblings if other.stride == stage.stride][-1]


def _holds(name: str, block: Stage) -> bool:
    return block.name == name or block.name.startswith(f"{name}.")


def _stage(record: Trace, name: str, num_frames: int) -> Stage | None:
    try:
        return _features(record, name, num_frames)
    except NoFeaturesError:
        return None


def _are_reordered(record: Trace, name: str) -> bool:
    try:
        features = features_at(record, name, "after")
    except NoFeaturesError:
        return False
    return features.layout.axes == "NLC" and not features.row_by_row


def _features(record: Trace, name: str, num_frames: int) -> Stage:
    features = features_at(record, name, "after")
    if not has_images_shape(record, features.size):
        height, width = features.size
        raise NoFeaturesError(f"its maps of {height} x {width} have not the shape of the image")
    if not features.row_by_row:
        raise NoFeaturesError("its tokens are in an order of their own, not row by row")
    frames = features.num_frames or num_frames
    return Stage(name=name, layout=features.layout, num_frames=frames, stride=record.image[0] / features.size[0])


def _named(backbone: nn.Module, record: Trace, name: str, num_frames: int) -> Stage:
    names = [known for known, _ in backbone.named_modules() if known]
    stages = _some([str(stage) for stage in _stages(record, num_frames)])
    kind = type(backbone).__name__
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
        hint = f" Near it: {', '.join(map(repr, near))}." if near else ""
        raise ConfigError(f"This {kind} has no layer {name!r}.{hint} Its stages: {stages}.")
    try:
        return _features(record, name, num_frames)
    except NoFeaturesError as error:
        raise ConfigError(f"{name!r} of this {kind} gives no feature maps: {error}. Its stages: {stages}.") from None


def _some(names: Sequence[str]) -> str:
    if len(names) <= _MOST_NAMED:
        return ", ".join(names)
    return f"{', '.join(names[: _MOST_NAMED - 1])}, ..., {names[-1]}"

"""What kind of features go into a module or come out of it, told from the recorded pass."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from m2a.insertion.channel_axis import LAYERS, channels_are_last
from m2a.insertion.layout import Axes, Layout, Origin, grid_of
from m2a.insertion.trace import Step, Trace

_POOLINGS = frozenset({"max_pool2d_with_indices", "avg_pool2d", "max_pool3d_with_indices", "avg_pool3d"})
_BY_NUMBER = frozenset({"gather", "index", "index_select"})
_MOST_PREFIX_TOKENS = 16


class NoFeaturesError(Exception):
    """The module's tensors are no feature maps of frames; the message says what they are."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """The features at one place."""

    channels: int
    layout: Layout
    num_frames: int | None
    """T, where they have an axis for it."""
    size: tuple[int, int]
    """Height and width of the maps."""
    row_by_row: bool
    """Whether what is beside a place in the map is beside it in the image."""
    origin: Origin | None = None
    """Of tokens, where their map can be seen, if anywhere."""


def features_at(record: Trace, module: str, position: str) -> Features:
    """The features in front of a module ("before") or behind it ("after"). Raises NoFeaturesError."""
    passage = record.passages.get(module)
    step = None if passage is None else passage.given if position == "before" else passage.made
    if passage is None or step is None:
        raise NoFeaturesError("no tensor that depends on the image goes through it alone")
    shape = step.shape
    if len(shape) not in (3, 4, 5) or shape[0] != record.batch:
        raise NoFeaturesError(f"what goes through it is {_spelled(shape, record.batch)}, no batch of frames")
    if len(shape) != 5 and record.clips:
        raise NoFeaturesError(f"what goes through it is {_spelled(shape, record.batch)}, single frames of a 3D network")
    last = channels_are_last(record, module, position, passage)
    if len(shape) == 5:
        if not record.clips:
            raise NoFeaturesError(f"what goes through it is {_spelled(shape, record.batch)}, no maps of frames")
        axes: Axes = "BTHWC" if last else "BCTHW"
        return _maps(record, step, axes, num_frames=shape[axes.index("T")])
    if len(shape) == 4:
        return _maps(record, step, "NHWC" if last else "NCHW", num_frames=None)
    if not last:
        raise NoFeaturesError(f"what goes through it is {_spelled(shape, record.batch)}, tokens behind channels")
    return _tokens(record, step)


def has_images_shape(record: Trace, size: tuple[int, int]) -> bool:
    """Whether maps are as high and wide as the image in proportion, to a pixel."""
    return abs(size[0] * record.image[1] - size[1] * record.image[0]) <= max(record.image)


def _maps(record: Trace, step: Step, axes: Axes, *, num_frames: int | None) -> Features:
    size = (step.shape[axes.index("H")], step.shape[axes.index("W")])
    return Features(
        channels=step.shape[axes.index("C")],
        layout=Layout(axes=axes),
        num_frames=num_frames,
        size=size,
        row_by_row=has_images_shape(record, size) or _made_by_neighbours(step, size),
    )


def _made_by_neighbours(made: Step, size: tuple[int, int]) -> bool:
    """Whether a convolution or a pooling that looks at neighbours gave maps this shape, as where it strides the height
    alone. Else they are tokens in two axes of another meaning: the blocks of NesT and the places in each."""
    waiting, seen = [made], {made}
    while waiting:
        step = waiting.pop()
        looks = step.operation in _POOLINGS or (step.operation == "convolution" and step.kernel > 1)
        if looks and step.shape[-2:] == size:
            return True
        new = [source for source in step.sources if source not in seen]
        seen.update(new)
        waiting += new
    return False


def _tokens(record: Trace, step: Step) -> Features:
    length, channels = step.shape[1:]
    if length < 2:
        raise NoFeaturesError(f"what goes through it is {_spelled(step.shape, record.batch)}, a single token")
    fitting = [
        (prefix, grid, _origin(record, step, grid))
        for prefix in range(min(_MOST_PREFIX_TOKENS + 1, length))
        if (grid := grid_of(length - prefix, record.image)) is not None
    ]
    if not fitting:
        raise NoFeaturesError(f"its {length} tokens make no map of the image's shape")
    # 2 x 2 places and 5 tokens before them could be 3 x 3 places: then it counts which map the tokens come from
    mapped = [entry for entry in fitting if entry[2] is not None and entry[2].position == "after"]
    others, grid, origin = (mapped or fitting)[0]
    path = _path(step)
    chosen = [(made, source) for made, source in pairwise(path) if _chooses(made, source, step)]
    if any(made.operation == "gather" or made.shape[1] < source.shape[1] for made, source in chosen):
        raise NoFeaturesError(f"its {length} tokens are places chosen from a map, perhaps others in each frame")
    prefix = _in_front(path, length - others)
    if prefix is None:
        raise NoFeaturesError(
            f"its {length} tokens would be a map of {grid[0]} x {grid[1]} and {others} others, but which those are "
            "could not be followed"
        )
    return Features(
        channels=channels,
        layout=Layout(axes="NLC", prefix=prefix, suffix=others - prefix, grid=grid),
        num_frames=None,
        size=grid,
        row_by_row=not _are_reordered(path),
        origin=origin,
    )


def _path(step: Step) -> list[Step]:
    """Back from tokens to the input, past what branches add to them and what is concatenated beside them."""
    path = [step]
    while step.sources:
        largest = max(step.sources, key=lambda source: math.prod(source.shape))
        step = largest if step.operation == "cat" else step.main_source
        path.append(step)
    return path


def _in_front(path: Sequence[Step], places: int) -> int | None:
    """How many of the tokens were put in front of those of the map, on whichever axis they were at the time; None where
    they were neither concatenated nor padded."""
    length, front = path[0].shape[1], 0
    for made, source in pairwise(path):
        if length == places:
            return front
        if made.starts and len(made.shape) == len(source.shape) == 3:
            longer = [axis for axis in range(3) if made.shape[axis] != source.shape[axis]]
            if len(longer) == 1 and made.shape[longer[0]] == length:
                length = source.shape[longer[0]]
                front += made.starts[made.sources.index(source)]
        if _are_tokens(source, path[0]) and length not in source.shape[1:]:
            return None
    return None


def _are_reordered(path: Sequence[Step]) -> bool:
    """Whether tokens that a layer made were brought into an order other than row by row since, as Hiera's are."""
    moved = False
    for index, (made, source) in enumerate(pairwise(path)):
        moved |= _chooses(made, source, path[0]) or _mixes_places(path, index)
        if moved and source.operation in LAYERS:
            return True
    return False


def _mixes_places(path: Sequence[Step], index: int) -> bool:
    """Whether a step of a path exchanges axes of height and width that were divided. Where those become channels, as
    when a stage ends in merging patches, or come of them, the places stay in their order."""
    made = path[index]
    if made.operation != "permute" or sum(side > 1 for side in made.shape) < 5:  # one window is no division
        return False
    after, before = (
        next((step for step in steps if len(step.shape) < 5), made) for steps in (path[index::-1], path[index:])
    )
    return before.shape[0] == path[0].shape[0] and before.shape[-1] == made.shape[-1] == after.shape[-1]


def _chooses(made: Step, source: Step, like: Step) -> bool:
    """Whether an operation takes some of the tokens, or all in another order, by their numbers."""
    return made.operation in _BY_NUMBER and _are_tokens(made, like) and _are_tokens(source, like)


def _are_tokens(step: Step, like: Step) -> bool:
    return len(step.shape) == 3 and step.shape[0] == like.shape[0]


def _origin(record: Trace, tokens: Step, grid: tuple[int, int]) -> Origin | None:
    """The nearest map that the tokens come from: out of a module, else the image where it goes into one."""
    made = {record.passages[name].made: name for name in reversed(list(record.passages))}  # the outermost of several
    waiting, seen = deque([tokens]), {tokens}
    while waiting:
        step = waiting.popleft()
        axis = next((axis for axis in (2, 1) if len(step.shape) == 4 and step.shape[axis : axis + 2] == grid), None)
        if axis is not None and step in made:
            return Origin(module=made[step], position="after", height_axis=axis, size=grid, grid=grid)
        new = [source for source in step.sources if source not in seen]
        seen.update(new)
        waiting += new
    given = [name for name, passage in record.passages.items() if passage.given is record.steps[0]]
    if not given:
        return None
    return Origin(module=given[-1], position="before", height_axis=-2, size=record.image, grid=grid)


def _spelled(shape: tuple[int, ...], batch: int) -> str:
    sides = ["N" if shape[:1] == (batch,) and index == 0 else str(side) for index, side in enumerate(shape)]
    return " x ".join(sides) or "a single number"

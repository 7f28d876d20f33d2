"""What kind of features go into a module or come out of it, told from the recorded pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from m2a.insertion.layout import Axes, Layout, Origin, grid_of
from m2a.insertion.trace import Passage, Step, Trace

_CHANNELS_FIRST = frozenset(
    {"convolution", "native_batch_norm", "_native_batch_norm_legit_no_training", "native_group_norm"}
)
_CHANNELS_LAST = frozenset({"native_layer_norm", "addmm", "mm", "bmm", "baddbmm"})
_PASSING = frozenset({"view", "_unsafe_view", "clone", "_to_copy", "alias", "detach"})
_POOLINGS = frozenset({"max_pool2d_with_indices", "avg_pool2d", "max_pool3d_with_indices", "avg_pool3d"})
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
    last = _channels_last(record, module, position, passage)
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
    prefix, grid, origin = (mapped or fitting)[0]
    return Features(
        channels=channels,
        layout=Layout(axes="NLC", prefix=prefix, grid=grid),
        num_frames=None,
        size=grid,
        row_by_row=True,
        origin=origin,
    )


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


def _channels_last(record: Trace, module: str, position: str, passage: Passage) -> bool:
    """Which axis is the channels': that which the first layer at work inside the module takes for them, where it is
    given what the module is. Else the one that is as long with larger images. Where the network takes no others, behind
    the module by the last layer at work before; in front of it by the first inside, and by whether the axes were
    exchanged on the way there, and without one by the last before, but tokens have their channels last."""
    given, made = passage.given, passage.made
    layer = next(
        (
            step
            for step in _inside(record, module)
            if step.operation in _CHANNELS_FIRST | _CHANNELS_LAST
            and (len(step.shape) > 2 or step.shape[0] != record.batch)  # not one of means
        ),
        None,
    )
    if layer is not None and position == "before" and _is_given(layer, given):
        return _takes_last(layer)
    if (larger := record.larger()) is not None and (other := larger.passages.get(module)) is not None:
        told = _unscaled_is_last(given, other.given) if position == "before" else _unscaled_is_last(made, other.made)
        if told is not None:
            return told
    if position == "after" and made is not None:
        return _was_made_last(made)
    if layer is None:
        return len(given.shape) == 3 or _was_made_last(given)
    exchanged = len(given.shape) > 3 and _permuted(layer, given)
    return _takes_last(layer) and not exchanged


def _is_given(layer: Step, given: Step) -> bool:
    """Whether a layer works on what was given, as it is or with its axes in front of the last joined."""
    step = layer
    while step.sources[:1] and step.sources[0] is not given:
        step = step.sources[0]
        if step.operation not in _PASSING or step.shape[-1:] != given.shape[-1:]:
            return False
    return step.sources[:1] == [given]


def _takes_last(layer: Step) -> bool:
    """Whether a layer takes the last axis for the channels. A layer norm of whole maps has their channels, height and
    width in this order; what a batch norm takes may be the rows of all tokens."""
    if layer.operation in _CHANNELS_FIRST:
        return len(layer.shape) == 2
    return not (layer.operation == "native_layer_norm" and layer.kernel == len(layer.shape) - 1 > 2)


def _unscaled_is_last(one: Step | None, larger: Step | None) -> bool | None:
    """Of features and the same ones of larger images: whether the channels are the last axis, or, False, the first
    behind the batch; None where the lengths of axes do not tell."""
    if one is None or larger is None or len(one.shape) != len(larger.shape):
        return None
    same = {axis for axis in range(1, len(one.shape)) if one.shape[axis] == larger.shape[axis]}
    last = len(one.shape) - 1
    if len(one.shape) == 5:  # of clips, time is as long, too
        return False if same == {1, 2} else True if same == {1, last} else None
    return False if same == {1} else True if same == {last} else None


def _inside(record: Trace, module: str) -> Iterator[Step]:
    return (step for step in record.steps if step.module == module or step.module.startswith(f"{module}."))


def _permuted(step: Step, given: Step) -> bool:
    """Whether (N, C, H, W) became (N, H, W, C), or (B, C, T, H, W) (B, T, H, W, C), between what was given and the
    step."""
    current = step
    while current.sources and current is not given:
        current = current.sources[0]
        if current.operation == "permute" and current.sources:
            first = current.sources[0].shape
            if current.shape == (*first[:1], *first[2:], *first[1:2]) and current is not given:
                return True
    return False


def ends_channels_last(record: Trace, made: Step) -> bool:
    """Whether the maps that a network ends in have their channels behind: the axis that is as long with larger images.
    Where it takes no others, by the last layer that worked on them."""
    if (larger := record.larger()) is not None:
        told = _unscaled_is_last(made, larger.passages[""].made)
        if told is not None:
            return told
    return _was_made_last(made)


def _was_made_last(made: Step) -> bool:
    """Whether features have their channels behind, from the last layer that worked on them and the exchanges of axes
    since; first where there was none."""
    step, exchanged = made, False
    while step.operation not in _CHANNELS_FIRST | _CHANNELS_LAST:
        if not step.sources:
            return False
        source = next((source for source in step.sources if source.shape == step.shape), step.sources[0])
        before = source.shape
        forth, back = (*before[:1], *before[2:], *before[1:2]), (*before[:1], *before[-1:], *before[1:-1])
        exchanged ^= step.operation in ("permute", "transpose") and step.shape in (forth, back)
        step = source
    return _takes_last(step) ^ exchanged


def _spelled(shape: tuple[int, ...], batch: int) -> str:
    sides = ["N" if shape[:1] == (batch,) and index == 0 else str(side) for index, side in enumerate(shape)]
    return " x ".join(sides) or "a single number"

"""What a network makes of its input, step by step, recorded from one pass of a copy without data.

The copy's tensors are on torch's meta device: nothing is computed, nothing of the model is run or changed. Each step
says which operation made a tensor, out of which others, and in which module.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from m2a.insertion.no_device import autocast_on_meta

aten = torch.ops.aten
BATCH = 5  # of the recorded pass; a tensor whose first axis is of another size is no batch of feature maps
_SIZES = (224, 256, 64, 32)  # tried in turn where the model does not say


@dataclass(eq=False, slots=True)
class Step:
    """One operation that depends on the input, and the tensor it made."""

    operation: str
    """torch's name without overload and underscore: "convolution", "add", ..."""
    module: str
    """Name of the innermost module at work."""
    shape: tuple[int, ...]
    sources: list[Step]
    kernel: int = 1
    """Largest side of a convolution's kernel; how many axes a layer norm works on."""
    starts: tuple[int, ...] = ()
    """Of a concatenation or a padding: where each source begins, along the axis that becomes longer."""
    index: int = 0
    """Its place in the pass."""

    @property
    def main_source(self) -> Step:
        """The earliest source of the same shape, which of a branch and its skip is the skip; without one, the first."""
        alike = [source for source in self.sources if source.shape == self.shape]
        return min(alike, key=lambda source: source.index, default=self.sources[0])


@dataclass(frozen=True, kw_only=True)
class Passage:
    """What went through a module the first time: what `argument` is of its arguments, and what it gave, or the first of
    several. Both are tensors that depend on the input."""

    given: Step
    made: Step | None


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One recorded pass."""

    steps: list[Step]
    """In order; the first is the input."""
    passages: Mapping[str, Passage]
    """By module name."""
    image: tuple[int, int]
    """Height and width of the input."""
    channels: int
    """Of the input."""
    batch: int
    """First axis of folded frames, or of clips."""
    clips: bool
    """Whether the network is 3D: its features have an axis for time."""
    larger: Callable[[], Trace | None] = lambda: None
    """A pass with images twice as large; None where the network does not take them. It is made when it is asked for."""


class UntraceableError(Exception):
    """The model could not be copied, or took no input that was tried."""


def trace(model: nn.Module, *, num_frames: int = 8, size: tuple[int, int] | None = None) -> Trace:
    """Records one pass of a copy of `model`. A network whose first convolution is 3D is given clips of `num_frames`
    frames, `(BATCH, C, T, H, W)`, others images `(BATCH, C, H, W)`; what does not take them, `(BATCH, T, C, H, W)`.

    Images are of `size`, or of the first of those that may be right which the network takes.

    Raises UntraceableError.
    """
    # the axes in front of height and width, what they make of the first axis, and whether features have a time axis
    inputs: list[tuple[str, int, bool]] = [("CT", BATCH, True), ("TC", BATCH, True)]
    if not isinstance(_first_convolution(model), nn.Conv3d):
        inputs = [("C", BATCH, False), ("TC", BATCH * num_frames, False)]
    reasons = []
    sizes = _image_sizes(model) if size is None else [size]
    for image, channels, (front, batch, clips) in product(sizes, _image_channels(model), inputs):
        sides = {"C": channels, "T": num_frames}
        try:
            shape = (BATCH, *(sides[axis] for axis in front), *image)
            found = _record(without_data(model), shape, batch, clips, channels=channels)
            return replace(found, larger=cache(partial(_of_larger_images, model, num_frames, image)))
        except Exception as error:  # whatever a model that is not ours raises
            said = str(error).strip().splitlines() or [""]
            reasons.append(f"{type(error).__name__}: {said[0]}")
    raise UntraceableError(reasons[0])


def _of_larger_images(model: nn.Module, num_frames: int, image: tuple[int, int]) -> Trace | None:
    try:
        return trace(model, num_frames=num_frames, size=(2 * image[0], 2 * image[1]))
    except UntraceableError:
        return None


def image_channels(model: nn.Module) -> int:
    """Of the images that `model` takes; of one that cannot be followed, what timm says of its architecture, or 3."""
    likely = _image_channels(model)
    if len(likely) == 1:
        return likely[0]
    try:
        return trace(model).channels
    except UntraceableError:
        return _said_channels(model)


def _image_channels(model: nn.Module) -> list[int]:
    """Those that its images may have, likeliest first: what is said of the architecture, and what the first convolution
    takes. That is more where the stem folds pixels into channels: 4 x 4 pixels of 3 colours into 48."""
    first, said = _first_convolution(model), _said_channels(model)
    if first is None or first.in_channels == said:
        return [said]
    return [said, first.in_channels] if first.in_channels % said == 0 else [first.in_channels, said]


def _said_channels(model: nn.Module) -> int:
    config = getattr(model, "pretrained_cfg", None) or {}  # timm's, which stays as it was for in_chans=1
    return int(config.get("input_size", (3,))[0])


def _first_convolution(model: nn.Module) -> nn.Conv2d | nn.Conv3d | None:
    return next((layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Conv3d)), None)


def without_data(model: nn.Module) -> nn.Module:
    """`empty_copy` that calls no hook."""
    ghost = empty_copy(model)
    for module in ghost.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return ghost


def empty_copy(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose tensors hold nothing, so that none is copied."""
    tensors = (*model.parameters(), *model.buffers(), *other_tensors(model))
    return copy.deepcopy(model, {id(tensor): _empty(tensor) for tensor in tensors}).eval()


def other_tensors(model: nn.Module) -> Iterator[Tensor]:
    """Those that modules hold besides parameters and buffers: caches, or weights that pruning computes."""
    kept = (value for module in model.modules() for value in tree_leaves(list(vars(module).values())))
    return (value for value in kept if isinstance(value, Tensor))


def _empty(tensor: Tensor) -> Tensor:
    blank = torch.empty_like(tensor, device="meta")
    return nn.Parameter(blank, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else blank


def _image_sizes(model: nn.Module) -> Iterator[tuple[int, int]]:
    embedding = getattr(getattr(model, "patch_embed", None), "img_size", None) or getattr(model, "image_size", None)
    if embedding is not None:
        yield (embedding, embedding) if isinstance(embedding, int) else tuple(embedding)
    config = getattr(model, "pretrained_cfg", None) or {}
    if "input_size" in config:
        yield tuple(config["input_size"][-2:])
    yield from ((size, size) for size in _SIZES)


def first_tensor(output: Any) -> Tensor | None:
    """Of what a model gives: a tensor, the first of a tuple, a dict or a dataclass, or None."""
    values: Any = output
    if isinstance(output, Mapping):
        values = list(output.values())  # of a dict of a kind of its own, too
    elif hasattr(output, "__dict__") and not isinstance(output, Tensor):
        values = vars(output)
    return next((value for value in tree_leaves(values) if isinstance(value, Tensor)), None)


def argument(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What a module works on, of what it is called with: its first argument, or the first tensor by keyword."""
    return args[0] if args else next((value for value in kwargs.values() if isinstance(value, Tensor)), None)


@dataclass
class _Recorder(TorchDispatchMode):
    steps: list[Step] = field(default_factory=list)
    modules: list[str] = field(default_factory=list)  # those at work, the innermost last
    tensors: dict[int, list[Tensor]] = field(default_factory=dict)  # by storage; kept, so that no two have one id
    latest: dict[int, Step] = field(default_factory=dict)  # by tensor; an operation in place makes a new step
    written: dict[int, Step] = field(default_factory=dict)  # by storage: what was last written to a part of it

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = _known(func, args, kwargs)
        if out is None:
            out = func(*args, **(kwargs or {}))
        found = (self.source(value) for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor))
        sources = list(dict.fromkeys(step for step in found if step is not None))
        if sources:
            operation = func.__name__.partition(".")[0].rstrip("_")
            kernel = max(args[1].shape[2:]) if operation == "convolution" else 1
            kernel = len(args[1]) if operation == "native_layer_norm" else kernel
            starts = self.starts(*args) if operation == "cat" else ()
            starts = _padding_in_front(args[1]) if operation == "constant_pad_nd" else starts
            for value in tree_leaves(out):
                if isinstance(value, Tensor):
                    step = self.add(value, operation, sources, kernel, starts)
                    if func._schema.is_mutable:
                        self.write(value, step)
        return out

    def add(
        self, tensor: Tensor, operation: str, sources: list[Step], kernel: int = 1, starts: tuple[int, ...] = ()
    ) -> Step:
        module = self.modules[-1] if self.modules else ""
        step = Step(operation, module, tuple(tensor.shape), sources, kernel, starts, len(self.steps))
        self.steps.append(step)
        self.tensors.setdefault(_storage(tensor), []).append(tensor)
        self.latest[id(tensor)] = step
        return step

    def source(self, tensor: Tensor) -> Step | None:
        """The step that made a tensor; of one into which something was written that depends on the input, a new one."""
        step, written = self.latest.get(id(tensor)), self.written.get(_storage(tensor))
        return self.add(tensor, "copy", [written]) if step is None and written is not None else step

    def write(self, tensor: Tensor, step: Step) -> None:
        """Notes that an operation in place changed other tensors, too: those that share memory with this one."""
        storage = _storage(tensor)
        self.written[storage] = step
        others = {id(other): other for other in self.tensors[storage] if other is not tensor}
        for other in others.values():
            if _overlap(tensor, other):
                self.add(other, "copy", [self.latest[id(other)], step])

    def starts(self, parts: Sequence[Tensor], axis: int = 0) -> tuple[int, ...]:
        """Where each part that depends on the input begins in what is concatenated, those met before left out."""
        begins: dict[Step, int] = {}
        length = 0
        for part in parts:
            if (step := self.source(part)) is not None:
                begins.setdefault(step, length)
            length += part.shape[axis] if part.dim() else 0
        return tuple(begins.values())

    def of(self, values: Any) -> Step | None:
        """The step that made a tensor, or the first of several; None where that is none or does not depend on the
        input."""
        value = values[0] if isinstance(values, tuple | list) and values else values
        return self.source(value) if isinstance(value, Tensor) else None


def _padding_in_front(padding: Sequence[int]) -> tuple[int, ...]:
    """How much a padding puts in front; nothing where it is of several axes or cuts."""
    padded = [pair for pair in zip(padding[::2], padding[1::2], strict=True) if any(pair)]
    return (padded[0][0],) if len(padded) == 1 and min(padded[0]) >= 0 else ()


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Whether two views of the same memory have elements in common: slices with the same strides are compared side by
    side, and others taken to overlap."""
    if one.stride() != other.stride():
        return True
    rest = (one.storage_offset(), other.storage_offset())
    for axis in sorted(range(one.dim()), key=one.stride, reverse=True):
        stride = one.stride(axis)
        if stride == 0 or one.shape[axis] == other.shape[axis] == 1:
            continue
        start, other_start = (offset // stride for offset in rest)
        if start + one.shape[axis] <= other_start or other_start + other.shape[axis] <= start:
            return False
        rest = (rest[0] % stride, rest[1] % stride)
    return True


def _known(func: Any, args: tuple[Any, ...], kwargs: Any) -> Any:
    """What an operation gives that leaves shapes as they are; None of others. torch's own way to these on tensors
    without data is decomposed in Python, and took most of the time of a trace."""
    if kwargs or not args or not isinstance(args[0], Tensor) or not args[0].is_meta:
        return None
    value = args[0]
    if func in (aten.hardtanh_.default, aten.relu_.default, aten.silu_.default, aten.hardswish_.default):
        return value
    if func is aten.native_batch_norm.default:
        made = torch.empty_like(value)
        fits = all(other is None or other.numel() == value.shape[1] for other in args[1:5])
        statistics = value.shape[1:2]
    elif func is aten.native_layer_norm.default:
        made = value.new_empty(value.shape)
        kept = value.ndim - len(args[1])
        fits = list(value.shape[kept:]) == list(args[1])
        statistics = torch.Size([*value.shape[:kept], *[1] * len(args[1])])
    else:
        return None
    if not fits:  # torch says so
        return None
    return made, value.new_empty(statistics), value.new_empty(statistics)


def _record(ghost: nn.Module, shape: tuple[int, ...], batch: int, clips: bool, *, channels: int = 3) -> Trace:
    recorder = _Recorder()
    passages: dict[str, Passage] = {}
    names = {module: name for name, module in ghost.named_modules()}

    def entering(module: nn.Module, args: Any, kwargs: Any) -> None:
        recorder.modules.append(names[module])
        given = recorder.of((argument(args, kwargs),))
        if given is not None and names[module] not in passages:
            passages[names[module]] = Passage(given=given, made=None)

    def leaving(module: nn.Module, args: Any, output: Any) -> None:
        name = recorder.modules.pop()
        passage = passages.get(name)
        if passage is not None and passage.made is None:
            made = recorder.of(output if name else first_tensor(output))
            passages[name] = Passage(given=passage.given, made=made)

    for module in ghost.modules():
        module.register_forward_pre_hook(entering, with_kwargs=True)
        module.register_forward_hook(leaving)
    dtype = next((p.dtype for p in ghost.parameters() if p.is_floating_point()), None)
    image = torch.empty(shape, device="meta", dtype=dtype)
    recorder.add(image, "input", [])
    with torch.no_grad(), torch.random.fork_rng(devices=[]), autocast_on_meta(), recorder:
        ghost(image)
    size = (shape[-2], shape[-1])
    return Trace(steps=recorder.steps, passages=passages, image=size, channels=channels, batch=batch, clips=clips)

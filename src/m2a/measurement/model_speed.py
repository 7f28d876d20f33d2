"""What mechanisms add to a backbone's time and memory, each measured in turns with the bare backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from m2a.errors import ConfigError
from m2a.measurement.literal import make_literal
from m2a.measurement.memory import held_bytes, peak_growth, saved_bytes
from m2a.measurement.timing import Pair, interleave, quantile
from m2a.mechanisms import parse_spec
from m2a.models import VideoClassifier, create_model, parameter_groups
from m2a.models.device import pick_device
from m2a.models.optimizer import create_optimizer

Precision = Literal["32", "bf16"]
Task = Literal["inference", "training"]
LITERAL = "m2a (literal)"
"""The row of the equations written down one after the other."""
_CLASSES = 174
_LR = 1e-4
_WEIGHT_DECAY = 5e-4


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """How models are built and run."""

    backbone: str = "resnet18"
    device: str = "cpu"
    compile: bool = False
    precision: Precision = "32"
    """bf16: autocast, weights in 32 bits."""
    channels_last: bool = True
    num_frames: int = 8
    size: int = 224
    batch_size: int = 1
    repeats: int = 15
    """Pairs of measurements."""
    warmup: int = 3
    """Runs of each before anything is measured; the first compiles."""

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in ("size", "batch_size", "repeats", "warmup")}
        if bad := {name: count for name, count in counts.items() if count < 1}:
            raise ConfigError(f"{', '.join(f'{k}={v}' for k, v in bad.items())}: these must be at least 1.")
        if self.num_frames < 2:
            raise ConfigError(f"num_frames must be at least 2 to see motion; got {self.num_frames}.")
        if self.precision not in get_args(Precision):
            raise ConfigError(f"precision must be one of {', '.join(get_args(Precision))}; got {self.precision!r}.")
        if pick_device(self.device).type not in ("cpu", "cuda"):
            raise ConfigError(f"device must be cpu or cuda, which can be measured; got {self.device!r}.")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one model."""

    peak: int
    """Parameters, buffers, clips, what the optimizer keeps, and the most that a step adds to it at one time."""
    saved: int = 0
    """Of it, what lies between a training step's forward and backward pass, without parameters and clips."""


@dataclass(frozen=True, kw_only=True)
class SpeedRow:
    """One mechanism at one task, beside the bare backbone that ran in turns with it."""

    mechanism: str
    task: Task
    batch_size: int
    pair: Pair
    memory: Memory
    bare_memory: Memory

    @property
    def clips_per_second(self) -> float:
        return self.batch_size / quantile(self.pair.seconds, 0.5)

    @property
    def memory_ratio(self) -> float:
        return self.memory.peak / self.bare_memory.peak

    def to_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {"mechanism": self.mechanism, "task": self.task}
        found |= self.pair.to_dict() | {"clips_per_second": self.clips_per_second}
        found |= {"peak_bytes": self.memory.peak, "bare_peak_bytes": self.bare_memory.peak}
        found["memory_ratio"] = self.memory_ratio
        if self.task == "training":
            found |= {"saved_bytes": self.memory.saved, "bare_saved_bytes": self.bare_memory.saved}
        return found


class Subject:
    """A model on its device with clips for it, ready for one task.

    Args:
        mechanism: a spec, or `LITERAL`.
        task: "inference" runs in evaluation mode without gradients; "training" is forward, loss, backward and a step
            of SGD with momentum, the optimizer that `m2a train` takes; it leaves no gradients behind.
    """

    def __init__(self, mechanism: str, task: Task, settings: BenchSettings):
        self.settings = settings
        self.task = task
        self.model = build(mechanism, settings).train(task == "training")
        size = (settings.batch_size, settings.num_frames, 3, settings.size, settings.size)
        random = torch.Generator().manual_seed(0)
        clips = torch.randn(size, generator=random).flatten(0, 1)
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        self.clips = clips.to(settings.device, memory_format=layout).unflatten(0, size[:2])
        self.targets = (torch.arange(settings.batch_size) % _CLASSES).to(settings.device)
        groups = parameter_groups(self.model, lr=_LR, weight_decay=_WEIGHT_DECAY)
        self.optimizer = create_optimizer(groups, kind="sgd", lr=_LR)
        self.program: Callable[[Tensor], Tensor] = torch.compile(self.model) if settings.compile else self.model

    def __call__(self) -> None:
        """The task, once."""
        if self.task == "training":
            self.loss().backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            return
        with torch.inference_mode(), self.precision():
            self.program(self.clips)

    def loss(self) -> Tensor:
        """A training step's forward pass."""
        with self.precision():
            return F.cross_entropy(self.program(self.clips), self.targets)

    def memory(self) -> Memory:
        """Counted on a model that has run before, so that the optimizer has what it keeps."""
        device = self.settings.device
        training = self.task == "training"
        held = held_bytes(self.model, self.clips, self.targets, optimizer=self.optimizer if training else None)
        saved = saved_bytes(self.loss, device) if training else 0
        return Memory(peak=held + peak_growth(self, device), saved=saved)

    def precision(self) -> Any:
        """The context that the model runs in."""
        if self.settings.precision == "32":
            return nullcontext()
        return torch.autocast(torch.device(self.settings.device).type, dtype=torch.bfloat16)


def build(mechanism: str, settings: BenchSettings) -> VideoClassifier:
    """A video classifier with random weights on the device, the same ones each time. Raises what `create_model` and
    `make_literal` do."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model(
            settings.backbone,
            mechanism="m2a" if mechanism == LITERAL else mechanism,
            num_classes=_CLASSES,
            num_frames=settings.num_frames,
            size=settings.size,
        )
    if mechanism == LITERAL:
        make_literal(model)
    if settings.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return model.to(settings.device)


def measure_models(
    mechanisms: Sequence[str], settings: BenchSettings, *, tasks: Sequence[Task] = get_args(Task)
) -> Iterator[SpeedRow]:
    """A row for each task and mechanism. "none" is the bare backbone against a second copy of itself: it tells how far
    from 1 a ratio is by chance.

    Raises SpecError for a mechanism that is not known before anything is measured, and what `create_model` does.
    """
    for mechanism in mechanisms:
        if mechanism != LITERAL:
            parse_spec(mechanism)
    for task in tasks:
        for mechanism in mechanisms:
            yield measure_model(mechanism, task, settings)


def measure_model(mechanism: str, task: Task, settings: BenchSettings) -> SpeedRow:
    """One mechanism at one task, in turns with the bare backbone."""
    if settings.compile:
        torch.compiler.reset()  # it keeps only so many programs of one function, and then runs it uncompiled
    bare, subject = Subject("none", task, settings), Subject(mechanism, task, settings)
    pair = interleave(bare, subject, repeats=settings.repeats, warmup=settings.warmup, device=settings.device)
    return SpeedRow(
        mechanism=mechanism,
        task=task,
        batch_size=settings.batch_size,
        pair=pair,
        memory=subject.memory(),
        bare_memory=bare.memory(),
    )

"""How fast whole work is done, from files on disk to answers or to a trained epoch: by the library, and beside it, in
turns, the way the paper's code does it."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor, nn

from m2a.data.batch import Sample
from m2a.data.clipset import ClipFile
from m2a.data.dataset import ClipDataset, make_loader
from m2a.data.preprocessing import Preprocessing
from m2a.errors import ConfigError
from m2a.evaluation import Prediction, predict_all
from m2a.evaluation.threads import in_threads
from m2a.measurement import make_literal
from m2a.measurement.released import num_frames_of, released_loader, released_step
from m2a.models import VideoClassifier, create_model
from m2a.models.layout import to_channels_last
from m2a.training.config import TrainConfig
from m2a.training.fitting import quiet
from m2a.training.interruption import interruptible
from m2a.training.task import ClassificationTask

Job = Literal["predict", "train"]
RELEASED = "released"
WAYS = (RELEASED, "m2a", "m2a, bf16")
"""The paper's code's way; the library in float32; in bfloat16."""


@dataclass(kw_only=True)
class Way:
    """One way of doing the work, and what it took, a number each repeat."""

    name: str
    seconds: list[float] = field(default_factory=list)
    model_seconds: list[float] = field(default_factory=list)
    """Of them, in the model: in training with backward pass and the optimizer's step."""
    reading_seconds: list[float] = field(default_factory=list)
    """What reading takes by itself, with as many processes, from the files to batches that a model takes."""

    def to_dict(self, clips: int, released: Way) -> dict[str, Any]:
        """With what follows for so many clips, and the ratios to the released code's way."""
        ratios = [before / now for before, now in zip(released.seconds, self.seconds, strict=True)]
        middle = statistics.median(self.seconds)
        return {
            "way": self.name,
            "clips_per_second": clips / middle,
            "ratio": statistics.median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
            "model_share": statistics.median(self.model_seconds) / middle,
            "reading_alone_share": statistics.median(self.reading_seconds) / middle,
            "seconds": self.seconds,
            "model_seconds": self.model_seconds,
            "reading_seconds": self.reading_seconds,
        }


@dataclass(frozen=True, kw_only=True)
class EndToEnd:
    """What to measure: a backbone with M2A, from random weights, on these clips."""

    job: Job
    clips: Sequence[ClipFile]
    labels: Sequence[str]
    backbone: str = "resnet18"
    size: int = 224
    num_frames: int = 8
    batch_size: int = 8
    workers: int = 1
    """Processes that decode; predicting, for the paper's code's way alone: the library decodes and computes in
    threads."""
    threads: int = 2
    repeats: int = 3

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in ("batch_size", "threads", "repeats", "size", "num_frames")}
        if bad := {name: count for name, count in counts.items() if count < 1}:
            raise ConfigError(f"{', '.join(f'{k}={v}' for k, v in bad.items())}: these must be at least 1.")
        if self.job == "train" and len(self.clips) < self.batch_size:
            raise ConfigError(f"There are {len(self.clips)} clips, fewer than a batch of {self.batch_size}.")
        if gone := [clip.path for clip in self.clips if not clip.path.exists()]:
            raise ConfigError(
                f"{gone[0]} is no file or folder of its own, which the paper's code reads. Measure on the set as it "
                "was before m2a data shard."
            )

    def measure(self) -> list[dict[str, Any]]:
        """A dictionary for each of `WAYS`, which take turns after each has warmed up: on a batch, in training on an
        epoch.

        Raises what `create_model` does, and ConfigError where the mechanism has no literal version.
        """
        runs = [_Predicting(self, name) if self.job == "predict" else _Training(self, name) for name in WAYS]
        with ExitStack() as stack:
            for run in runs:
                stack.callback(run.close)
            for run in runs:
                run.warm_up()
            for _ in range(self.repeats):
                for run in runs:
                    seconds, model_seconds = run.work()
                    run.way.seconds.append(seconds)
                    run.way.model_seconds.append(model_seconds)
                    run.way.reading_seconds.append(_seconds(run.read))
        return [run.way.to_dict(len(self.clips), runs[0].way) for run in runs]


class _Predicting:
    def __init__(self, given: EndToEnd, name: str) -> None:
        self.given, self.way = given, Way(name=name)
        self.model = _model(given, name).eval()
        self.threads = 1 if name == RELEASED else given.threads
        """Videos at the same time."""
        for clip in given.clips if name == RELEASED else ():
            num_frames_of(clip.path)  # before time is measured

    def warm_up(self) -> None:
        whole, self.given = self.given, replace(self.given, clips=self.given.clips[: self.given.batch_size])
        self.work()
        self.given = whole

    def work(self) -> tuple[float, float]:
        with _clock(self.model) as spent:
            seconds = _seconds(self._released if self.way.name == RELEASED else self._predict)
        return seconds, spent[0] / self.threads

    def _predict(self) -> None:
        given = self.given
        bf16 = self.way.name != "m2a"
        said = list(predict_all(self.model, given.clips, threads=given.threads, bf16=bf16))
        if bad := [one for one in said if not isinstance(one, Prediction)]:
            raise ConfigError(f"{bad[0].path} cannot be decoded: {bad[0].reason}. Measure on clips that can be read.")

    def _released(self) -> None:
        with torch.no_grad():
            for clips, _ in self._loader():
                self.model(clips).softmax(-1).topk(min(5, len(self.given.labels)))

    def _loader(self) -> Any:
        return _released_loader(self.given, self.model.preprocessing, train=False)

    def read(self) -> None:
        """The same without the model."""
        if self.way.name == RELEASED:
            for _ in self._loader():
                pass
            return
        dataset = _dataset(self.given, self.model.preprocessing, train=False)

        def normalized(index: int) -> None:
            sample = dataset[index]
            assert isinstance(sample, Sample)
            self.model.preprocessing.normalize(sample.clip)

        for _ in in_threads(normalized, range(len(dataset)), self.threads):
            pass

    def close(self) -> None:
        pass


class _Training:
    def __init__(self, given: EndToEnd, name: str) -> None:
        self.given, self.way = given, Way(name=name)
        self.model = _model(given, name).train()
        released = name == RELEASED
        make: Callable[..., Any] = _released_loader if released else _loader
        self.loader = make(given, self.model.preprocessing, train=True)
        if released:
            self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
        else:
            precision: Any = "32" if name == "m2a" else "bf16-mixed"
            config = TrainConfig(data=Path("clips"), lr=1e-4, schedule="constant", precision=precision)
            to_channels_last(self.model)  # as `fit` does
            self.task = ClassificationTask(self.model, config)

    def warm_up(self) -> None:
        self.work()

    def work(self) -> tuple[float, float]:
        """An epoch."""
        if self.way.name != RELEASED:
            return self._epoch()
        spent = 0.0

        def steps() -> None:
            nonlocal spent
            for clips, targets in self.loader:
                spent += _seconds(partial(released_step, self.model, self.optimizer, clips, targets))

        return _seconds(steps), spent

    def _epoch(self) -> tuple[float, float]:
        """By Lightning, as `m2a train` does it."""
        watch = _Stopwatch()
        with quiet():
            trainer = L.Trainer(
                accelerator="cpu",
                max_epochs=1,
                precision=self.task.config.precision,
                gradient_clip_val=self.task.config.clip_gradient,
                callbacks=[watch],
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            with _clock(self.model) as forward, interruptible(trainer):
                trainer.fit(self.task, self.loader)
        return watch.seconds, watch.steps + forward[0]

    def read(self) -> None:
        for batch in self.loader:
            if self.way.name != RELEASED:
                self.model.preprocessing.normalize(batch.clips)

    def close(self) -> None:
        self.loader._iterator = None  # ends the processes that read


class _Stopwatch(L.Callback):
    """Seconds of an epoch, and of its backward passes and steps of the optimizer."""

    def __init__(self) -> None:
        self.seconds = self.steps = self._start = self._mark = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        self._start = time.perf_counter()

    def on_before_backward(self, *_: Any) -> None:
        self._mark = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        self.steps += time.perf_counter() - self._mark

    def on_train_epoch_end(self, *_: Any) -> None:
        self.seconds = time.perf_counter() - self._start


def _model(given: EndToEnd, name: str) -> VideoClassifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = create_model(
            given.backbone,
            mechanism="m2a",
            num_classes=len(given.labels),
            labels=given.labels,
            num_frames=given.num_frames,
            size=given.size,
        )
    if name == RELEASED:
        make_literal(model)
    return model  # laid out in memory as `create_model` and `load` do


def _dataset(given: EndToEnd, preprocessing: Preprocessing, *, train: bool) -> ClipDataset:
    return ClipDataset(given.clips, labels=given.labels, preprocessing=preprocessing, train=train)


def _loader(given: EndToEnd, preprocessing: Preprocessing, *, train: bool) -> Any:
    dataset = _dataset(given, preprocessing, train=train)
    return make_loader(dataset, batch_size=given.batch_size, shuffle=False, workers=given.workers, seed=0)


def _released_loader(given: EndToEnd, preprocessing: Preprocessing, *, train: bool) -> Any:
    counts = {"batch_size": given.batch_size, "workers": given.workers}
    return released_loader(given.clips, given.labels, preprocessing, train=train, **counts)


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


@contextmanager
def _clock(model: nn.Module) -> Any:
    """A list of one number: the seconds that forward passes of the model, and of its copies, take in here, of all
    threads."""
    spent, mark = [0.0], threading.local()

    def before(*_: Any) -> None:
        mark.start = time.perf_counter()

    def after(_: nn.Module, __: Any, out: Tensor) -> None:
        seconds = time.perf_counter() - mark.start
        with lock:
            spent[0] += seconds

    lock = threading.Lock()

    handles = [model.register_forward_pre_hook(before), model.register_forward_hook(after)]
    try:
        yield spent
    finally:
        for handle in handles:
            handle.remove()

"""How fast clips come from disk to a batch, beside a bare loop that only decodes the same frames.

Both read the same clips and the same frames of them, with as many processes, in turns (A B A B) inside one run, so
that what else the machine does falls on both alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import psutil
import torch

from m2a.data.clipset import ClipFile
from m2a.data.dataset import ClipDataset, make_loader
from m2a.data.preprocessing import Preprocessing
from m2a.ending import end_with_the_parent
from m2a.errors import ConfigError, UnreadableClipError
from m2a.measurement.timing import synchronize
from m2a.models.device import pick_device


@dataclass(frozen=True, kw_only=True)
class DataSpeed:
    """What was measured, on clips as training reads them."""

    clips: int
    """Read in each repeat."""
    workers: int
    batch_size: int
    loader_seconds: tuple[float, ...]
    """From disk to batches on the device, one a repeat."""
    bare_seconds: tuple[float, ...]
    """Decoding alone, one a repeat."""
    decode_share: float
    """Of the time that all stages take in one process: decoding, of the crops that are drawn; augmenting, and scaling
    to the model's size (which the loader leaves to the device); packing into a batch; copying to the device."""
    transform_share: float
    collate_share: float
    device_share: float
    memory_mib: tuple[float, ...]
    """Of all processes together, those of the bare loop too, after each repeat of the loader."""

    @property
    def clips_per_second(self) -> float:
        return self.clips / statistics.median(self.loader_seconds)

    @property
    def ratio(self) -> float:
        """Of the bare loop's speed, the loader's: the median over pairs of repeats."""
        pairs = zip(self.bare_seconds, self.loader_seconds, strict=True)
        return statistics.median(bare / loader for bare, loader in pairs)

    @property
    def ratio_range(self) -> tuple[float, float]:
        """The smallest and the largest ratio of a pair."""
        ratios = [bare / loader for bare, loader in zip(self.bare_seconds, self.loader_seconds, strict=True)]
        return min(ratios), max(ratios)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "clips_per_second": self.clips_per_second,
            "ratio": self.ratio,
            "ratio_range": list(self.ratio_range),
        }


def measure_data(
    clips: Sequence[ClipFile],
    preprocessing: Preprocessing,
    *,
    workers: int = 1,
    batch_size: int = 16,
    repeats: int = 5,
    device: str | torch.device = "cpu",
) -> DataSpeed:
    """Reads `clips` `repeats` times with the loader that training uses, and as often with a bare decoding loop.

    Both are run once before, which starts their processes and warms the disk's cache.

    Raises ConfigError for counts below 1, a device that is not there, or when no clip can be read.
    """
    if workers < 1 or repeats < 1 or batch_size < 1 or not clips:
        raise ConfigError(
            f"workers={workers}, repeats={repeats}, batch_size={batch_size} and the number of clips ({len(clips)}) "
            "must all be at least 1."
        )
    place = pick_device(device)
    labels = sorted({clip.label for clip in clips})
    dataset = ClipDataset(clips, labels=labels, preprocessing=preprocessing, train=True)
    loader = make_loader(dataset, batch_size=batch_size, shuffle=False, workers=workers, seed=0)
    loaded, bare, memory = [], [], []
    with ExitStack() as stack:
        context = get_context("spawn")
        pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread))
        jobs = [(dataset, list(range(start, len(clips), workers))) for start in range(workers)]
        for repeat in range(-1, repeats):
            seconds = _time(lambda: _run_loader(loader, place))
            others = _time(lambda: list(pool.map(_decode_alone, jobs)))
            if repeat >= 0:
                loaded.append(seconds)
                bare.append(others)
                memory.append(_memory_of_children(psutil.Process()))
    stages = _stages(dataset, place, batch_size)
    return DataSpeed(
        clips=len(clips),
        workers=workers,
        batch_size=batch_size,
        loader_seconds=tuple(loaded),
        bare_seconds=tuple(bare),
        memory_mib=tuple(memory),
        **stages,
    )


def _run_loader(loader: Any, device: torch.device) -> None:
    read = 0
    for batch in loader:
        read += len(batch.to(device).clips)
    synchronize(device)
    if not read:
        raise ConfigError("None of the clips can be read. m2a data check says why.")


def _decode_alone(job: tuple[ClipDataset, list[int]]) -> None:
    """The frames that the data set would take of these clips, decoded and thrown away."""
    dataset, indices = job
    for index in indices:
        with suppress(UnreadableClipError):
            dataset.decode_only(index)


def _stages(dataset: ClipDataset, device: torch.device, batch_size: int) -> dict[str, float]:
    """Shares of one process's time, of at most 64 clips."""
    spent = dict.fromkeys(("decode", "transform", "collate", "device"), 0.0)
    samples: list[Any] = []
    for index in range(min(len(dataset), 64)):
        rng = np.random.default_rng((dataset.seed, dataset.epoch, index))
        with suppress(UnreadableClipError):
            crop = _timed(spent, "decode", partial(dataset.decode, index, rng), device)
            samples.append(_timed(spent, "transform", partial(dataset.prepare, crop, index, rng), device))
    for first in range(0, len(samples), batch_size):
        batch = _timed(spent, "collate", partial(dataset.collate, samples[first : first + batch_size]), device)
        moved = _timed(spent, "device", partial(batch.to, device), device)
        _timed(spent, "transform", partial(getattr, moved, "clips"), device)
    whole = sum(spent.values())
    return {f"{name}_share": seconds / whole for name, seconds in spent.items()}


def _timed(spent: dict[str, float], stage: str, run: Callable[[], Any], device: torch.device) -> Any:
    start = time.perf_counter()
    result = run()
    synchronize(device)  # torch's own default is the first GPU
    spent[stage] += time.perf_counter() - start
    return result


def _memory_of_children(process: psutil.Process) -> float:
    return sum(child.memory_info().rss for child in process.children(recursive=True)) / 2**20


def _time(run: Any) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _one_thread() -> None:
    end_with_the_parent()
    torch.set_num_threads(1)

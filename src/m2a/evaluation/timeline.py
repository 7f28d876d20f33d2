"""What a model says of a long video, window by window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import islice, pairwise
from math import inf
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor

from m2a.data.preprocessing import Preprocessing
from m2a.data.readers import ClipReader, open_clip
from m2a.data.shards import check_video
from m2a.errors import ConfigError
from m2a.evaluation.predict import Guess, likeliest
from m2a.evaluation.predictor import Predictor, labels_of, refuse_bf16_of_file
from m2a.evaluation.scores import predict_views
from m2a.evaluation.ticks import evenly, picture_of, strip_of
from m2a.models.device import kind_of_input
from m2a.models.modes import evaluating


@dataclass(frozen=True, kw_only=True)
class Window:
    """A part of a video, in seconds, and the likeliest labels of it, best first."""

    start: float
    end: float
    guesses: tuple[Guess, ...]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Where one label is the likeliest, in seconds, and the mean of its probabilities."""

    start: float
    end: float
    label: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The windows of a video, and what they come to."""

    path: Path
    seconds: float
    frame_rate: float
    windows: tuple[Window, ...]
    frames: tuple[tuple[float, NDArray[Any]], ...]
    """A few frames for looking at, (H, W, 3) uint8, each with its time."""

    def intervals(self) -> list[Interval]:
        """The likeliest label over time: each moment has that of the window whose middle is nearest, and none where no
        window looked, as between windows that are further apart than they are long."""
        found: list[list[Any]] = []
        for window, (start, end) in zip(self.windows, self._parts(), strict=True):
            best = window.guesses[0]
            if found and found[-1][2] == best.label and found[-1][1] == start:
                found[-1][1] = end
                found[-1][3].append(best.probability)
            else:
                found.append([start, end, best.label, [best.probability]])
        return [
            Interval(start=start, end=end, label=label, probability=sum(values) / len(values))
            for start, end, label, values in found
        ]

    def _parts(self) -> Iterator[tuple[float, float]]:
        """From where to where each window counts."""
        edges = [(0.0, 0.0)]
        for one, after in pairwise(self.windows):
            middle = (one.start + one.end + after.start + after.end) / 4
            edges.append((middle, middle) if after.start < one.end else (one.end, after.start))
        edges.append((self.seconds, self.seconds))
        for (_, start), (end, _) in pairwise(edges):
            yield start, end

    def to_dict(self) -> dict[str, Any]:
        """Plain values; frames are left out."""
        return {
            "path": str(self.path),
            "seconds": self.seconds,
            "frame_rate": self.frame_rate,
            "intervals": [asdict(interval) for interval in self.intervals()],
            "windows": [
                {"start": window.start, "end": window.end, "top": [asdict(guess) for guess in window.guesses]}
                for window in self.windows
            ],
        }


def predict_timeline(
    model: Predictor,
    path: str | Path,
    *,
    window: float = 2.0,
    step: float | None = None,
    frame_rate: float | None = None,
    top_k: int = 5,
    batch_size: int = 8,
    bf16: bool = False,
) -> Timeline:
    """Slides a window over a video and says what is in each place of it.

    The video is decoded once, and only the frames of a few windows are held. Times are those at which the file shows
    its frames, also where they do not come evenly. The model is in evaluation mode meanwhile.

    Args:
        model: with labels; each window is sampled and cropped by its preprocessing.
        path: a video file, or a folder of JPEG frames.
        window: seconds that the model sees at once.
        step: seconds from one window to the next; half a window by default. The last window ends with the video.
        frame_rate: frames a second; of what does not say, as folders of frames do not. What says keeps its own times.
        top_k: labels of each window.
        batch_size: windows that go through the model together.
        bf16: compute in bfloat16 (autocast).

    Raises:
        NotFoundError: nothing is at `path`.
        UnreadableClipError: it cannot be decoded.
        ConfigError: the model has no labels, a length or the frame rate is no number above 0, the rate is not known, or
            an exported file is to compute in bfloat16.
        DivergedError: scores are nan or infinite.
    """
    step = window / 2 if step is None else step
    refuse_bf16_of_file(model, bf16)
    labels = labels_of(model)
    for name, value in (("window", window), ("step", step), ("frame_rate", frame_rate)):
        if value is not None and not 0 < value < inf:
            raise ConfigError(f"{name}={value} must be a finite number above 0, such as 2.")
    if top_k < 1 or batch_size < 1:
        raise ConfigError(f"top_k={top_k} and batch_size={batch_size} must be at least 1.")
    check_video(Path(path))
    with evaluating(model), open_clip(path) as clip:
        rate, ticks = evenly(clip, frame_rate)
        length, every = (max(round(min(seconds * rate, len(ticks))), 1) for seconds in (window, step))
        starts = _starts(len(ticks), length, every)
        samples = [[ticks[start + index] for index in model.preprocessing.sample_test(length)] for start in starts]
        shown = strip_of(ticks, rate)
        pictures: list[tuple[float, NDArray[Any]]] = []
        clips = _windows(clip, model.preprocessing, samples, shown, pictures)
        with torch.autocast(kind_of_input(model)[0].type, torch.bfloat16) if bf16 else nullcontext():
            names = iter([f"{path}, from {start / rate:.2f} s on," for start in starts])
            batches = _batches(clips, batch_size)
            rows = torch.cat([predict_views(model, batch, list(islice(names, len(batch)))) for batch in batches])
        seconds = len(ticks) / rate
    return Timeline(
        path=Path(path),
        seconds=seconds,
        frame_rate=rate,
        windows=tuple(
            Window(start=start / rate, end=(start + length) / rate, guesses=likeliest(row, labels, top_k))
            for start, row in zip(starts, rows, strict=True)
        ),
        frames=tuple(pictures),
    )


def _starts(total: int, length: int, step: int) -> list[int]:
    starts = list(range(0, total - length + 1, step))
    return starts if starts[-1] == total - length else [*starts, total - length]


def _windows(
    clip: ClipReader,
    preprocessing: Preprocessing,
    samples: Sequence[Sequence[int]],
    shown: Mapping[int, Sequence[float]],
    pictures: list[tuple[float, NDArray[Any]]],
) -> Iterator[UInt8[Tensor, "T 3 S S"]]:
    """The windows as the model sees them, each as soon as its last frame is there. Frames to look at go to `pictures`,
    each with the times at which it is `shown`."""
    wanted = sorted({index for sample in samples for index in sample} | set(shown))
    held: dict[int, Tensor] = {}
    awaited = 0
    for index, frame in clip.stream(wanted):
        if index in shown:
            pictures += [(time, picture_of(frame)) for time in shown[index]]
        held[index] = preprocessing.test_transform(frame[None])[0]
        while awaited < len(samples) and samples[awaited][-1] <= index:
            yield torch.stack([held[place] for place in samples[awaited]])
            awaited += 1
        first = samples[awaited][0] if awaited < len(samples) else index + 1
        for place in [place for place in held if place < first]:
            del held[place]


def _batches(clips: Iterator[Tensor], size: int) -> Iterator[UInt8[Tensor, "B T 3 S S"]]:
    waiting: list[Tensor] = []
    for clip in clips:
        waiting.append(clip)
        if len(waiting) == size:
            yield torch.stack(waiting)
            waiting = []
    if waiting:
        yield torch.stack(waiting)

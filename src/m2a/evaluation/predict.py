"""What a model says of videos: of one, or of many, decoded ahead by other processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from m2a.data.batch import BadClip, Failure, Sample
from m2a.data.clipset import ClipFile
from m2a.data.dataset import ClipDataset, make_loader, naming_dead_workers, read_views
from m2a.data.shards import check_video
from m2a.errors import ConfigError
from m2a.evaluation.predictor import Predictor, labels_of, refuse_bf16_of_file
from m2a.evaluation.scores import clips_at_once, predict_views
from m2a.evaluation.threads import in_threads
from m2a.models import VideoClassifier, for_inference
from m2a.models.device import kind_of_input
from m2a.models.modes import evaluating

_ENOUGH = 8  # videos from which on a copy of the model made for predicting pays


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A label and how likely the model takes it to be, 0 to 1."""

    label: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The likeliest labels of a video, best first."""

    path: Path
    guesses: tuple[Guess, ...]
    still: bool = False
    """Whether the frames that the model looked at are all the same picture, as of a video with a single frame."""

    def to_dict(self) -> dict[str, Any]:
        return {"path": str(self.path), "top": [asdict(guess) for guess in self.guesses], "still": self.still}


def predict(
    model: Predictor, path: str | Path, *, top_k: int = 5, num_clips: int = 1, num_crops: int = 1
) -> Prediction:
    """The `top_k` likeliest labels of a video file or a folder of JPEG frames, by the model's own preprocessing; of
    several views, `num_clips` in time and `num_crops` in space, the mean. The model is in evaluation mode meanwhile;
    it may be a file that one was exported to (`m2a.export.load_exported`).

    Raises:
        NotFoundError: nothing is at `path`.
        UnreadableClipError: it cannot be decoded.
        ConfigError: the model has no labels, or top_k is below 1.
        DivergedError: scores are nan or infinite.
    """
    labels = labels_of(model)
    if top_k < 1:
        raise ConfigError(f"top_k must be at least 1; got {top_k}.")
    clip = load_clip(model, path, num_clips=num_clips, num_crops=num_crops)
    with evaluating(model):
        scores = predict_views(model, clip[None], [str(path)])[0]
    return Prediction(path=Path(path), guesses=likeliest(scores, labels, top_k), still=_is_still(clip))


def predict_all(
    model: Predictor,
    paths: Sequence[str | Path | ClipFile],
    *,
    top_k: int = 5,
    num_clips: int = 1,
    num_crops: int = 1,
    batch_size: int = 16,
    workers: int = 0,
    threads: int = 1,
    bf16: bool = False,
) -> Iterator[Prediction | BadClip]:
    """What `predict` says of each video, in their order; a `BadClip` in place of one that cannot be decoded. The model
    is set to evaluation mode, and stays in it.

    On a processor, `threads` as many as its cores are fastest; for a GPU, `workers` and a large `batch_size`.

    Args:
        paths: videos, or clips of a set, which may be parts of recordings; their labels are not looked at.
        batch_size: videos that go through the model together; each view counts.
        workers: processes that decode ahead while the model computes; 0 decodes in this one.
        threads: above 1, so many videos at the same time, each decoded and put through the model by itself and by one
            thread: without batches, then, and without workers. Not of an exported file: whoever runs it has threads of
            its own.
        bf16: compute in bfloat16 (autocast), about twice as fast where the processor has instructions for it.

    Raises:
        ConfigError: the model has no labels, paths is a single path, a count is below 1, both threads and workers are
            given, or an exported file is to compute in bfloat16.
        DivergedError: scores are nan or infinite; it is raised where that video's turn comes.
    """
    labels = labels_of(model)
    if top_k < 1 or threads < 1:
        raise ConfigError(f"top_k and threads must be at least 1; got {top_k} and {threads}.")
    if isinstance(paths, str | Path):
        raise ConfigError(f"paths must be a list of videos; got {str(paths)!r} alone. Give [path], or call predict.")
    refuse_bf16_of_file(model, bf16)
    if threads > 1 and workers:
        raise ConfigError(f"Each of the {threads} threads decodes its own videos; leave workers={workers} out.")
    clips = [
        one if isinstance(one, ClipFile) else ClipFile(id=str(number), path=Path(one), label=labels[0])
        for number, one in enumerate(paths)
    ]
    given = list(dict.fromkeys(clip.label for clip in clips))  # a data set has labels; nobody looks at these
    views: dict[str, Any] = {"num_clips": num_clips, "num_crops": num_crops}
    dataset = ClipDataset(clips, labels=given, preprocessing=model.preprocessing, train=False, **views)
    model.eval()
    used: Predictor = model
    if isinstance(model, VideoClassifier) and len(clips) >= _ENOUGH:
        used = for_inference(model, bf16=bf16)
    caller = _Caller(model=used, labels=labels, top_k=top_k, bf16=bf16, at_once=batch_size)
    if threads > 1 and isinstance(model, VideoClassifier):
        return in_threads(lambda index: caller.one(clips[index].path, dataset[index]), range(len(clips)), threads)
    loaded = clips_at_once(batch_size, num_clips * num_crops)
    loader = make_loader(dataset, batch_size=loaded, shuffle=False, workers=workers, seed=0)
    return caller.batches(loader, [clip.path for clip in clips])


@dataclass(frozen=True, kw_only=True)
class _Caller:
    """Names what is in clips that are decoded."""

    model: Predictor
    labels: Sequence[str]
    top_k: int
    bf16: bool
    at_once: int

    def one(self, path: Path, sample: Sample | BadClip | Failure) -> Prediction | BadClip:
        if isinstance(sample, BadClip):
            return sample
        assert isinstance(sample, Sample)  # a failure is one of a cache, and there is none
        return self._named([path], sample.clip[None])[0]

    def batches(self, loader: Any, paths: Sequence[Path]) -> Iterator[Prediction | BadClip]:
        with naming_dead_workers():
            for batch in loader:
                said: dict[int, Prediction | BadClip] = {bad.index: bad for bad in batch.bad}
                if len(batch):
                    indices = batch.indices.tolist()
                    named = self._named([paths[index] for index in indices], batch.clips)
                    said |= dict(zip(indices, named, strict=True))
                yield from (said[index] for index in sorted(said))

    def _named(self, paths: Sequence[Path], clips: UInt8[Tensor, "B *V T 3 S S"]) -> list[Prediction]:
        with self._autocast():
            scores = predict_views(self.model, clips, [str(path) for path in paths], at_once=self.at_once)
        return [
            Prediction(path=path, guesses=likeliest(row, self.labels, self.top_k), still=_is_still(clip))
            for path, row, clip in zip(paths, scores, clips, strict=True)
        ]

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(kind_of_input(self.model)[0].type, torch.bfloat16) if self.bf16 else nullcontext()


def likeliest(probabilities: Float[Tensor, " K"], labels: Sequence[str], top_k: int) -> tuple[Guess, ...]:
    """The `top_k` likeliest labels, or all where there are fewer, best first. Raises ConfigError where there are not as
    many labels as probabilities."""
    if len(labels) != len(probabilities):
        raise ConfigError(
            f"model.labels has {len(labels)} names and the model gives {len(probabilities)} scores. Set "
            "model.labels to as many names."
        )
    best = probabilities.sort(descending=True, stable=True)  # of labels alike the first, as argmax has it
    pairs = zip(best.values[:top_k].tolist(), best.indices[:top_k].tolist(), strict=True)
    return tuple(Guess(label=labels[index], probability=value) for value, index in pairs)


def _is_still(clip: UInt8[Tensor, "*V T 3 S S"]) -> bool:
    return bool((clip == clip[..., :1, :, :, :]).all())


def load_clip(
    model: Predictor, path: str | Path, *, num_clips: int = 1, num_crops: int = 1
) -> UInt8[Tensor, "*V T 3 S S"]:
    """The frames of a video as the model sees them, before normalisation; of several views, one after the other."""
    path = Path(path)
    check_video(path)
    return read_views(path, model.preprocessing, num_clips=num_clips, num_crops=num_crops)

"""What the page says of one clip: for each model its labels, how long it took, and where it looked."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from m2a.app.film import Film, encode, read_film, with_heat
from m2a.app.limits import Limits
from m2a.app.naming import shown_names, shown_titles
from m2a.data import Preprocessing
from m2a.data.readers import open_clip
from m2a.errors import ConfigError, DataError
from m2a.evaluation.predict import Guess, likeliest, load_clip
from m2a.evaluation.scores import predict_views
from m2a.explanation import explain
from m2a.models import VideoClassifier

TOP = 5
_ROUNDS, _TIMING = 3, 1.0  # of timed passes, and the seconds after which no further round is begun
_USUAL_RATE = 25  # frames a second, of a file that says nothing of time


@dataclass(frozen=True, kw_only=True, eq=False)
class Entrant:
    """A model as the page names it."""

    title: str
    """Backbone and mechanism, and where another model has the same, its name."""
    details: str
    """Its name, and what it sees of a clip."""
    model: VideoClassifier

    @classmethod
    def of(cls, models: Mapping[str, VideoClassifier]) -> tuple[Entrant, ...]:
        """Makes models ready to answer: evaluation mode, and one pass so that the first clip is not the slowest. Raises
        ConfigError where outputs have no names, DivergedError where they are no numbers."""
        for name, model in models.items():
            _prepare(name, model)
        titles = shown_titles([_title(model) for model in models.values()], list(models))
        names = shown_names(list(models))
        return tuple(
            cls(title=title, details=f"{name}; sees {_seen(model.preprocessing)}", model=model)
            for title, name, model in zip(titles, names, models.values(), strict=True)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """One model on one clip."""

    title: str
    details: str
    guesses: tuple[Guess, ...]
    forward_ms: float
    """Of the network alone, on the decoded clip: a median of up to three passes, in turns with the other models."""
    video: bytes | None
    """mp4, over the clip the heat of the likeliest label; None where the model cannot be explained."""
    problem: str | None = None
    """Why it cannot."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Analysis:
    """All that is shown of one clip."""

    name: str
    seconds: float
    num_frames: int
    width: int
    height: int
    decode_ms: float
    """From the file to the frames of the first model."""
    video: bytes
    """mp4, the clip as it is."""
    answers: tuple[Answer, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; videos in base64."""
        content = asdict(self)
        for part in (content, *content["answers"]):
            if part["video"] is not None:
                part["video"] = base64.b64encode(part["video"]).decode("ascii")
        return content


class StoppedError(Exception):
    """Nobody waits for the answer any more: the page is being stopped, or who gave the clip has gone."""


def analyse(
    entrants: Sequence[Entrant], path: Path, name: str, limits: Limits, stopped: Callable[[], bool] = lambda: False
) -> Analysis:
    """Decodes a clip, asks every model, and films the answers; `name` is what the user calls it. `stopped` is asked
    between frames and between the passes of models.

    Raises:
        StoppedError: as soon as `stopped` says so.
        DataError: the clip is not within the limits, or holds a single picture.
        UnreadableClipError: it cannot be decoded.
        DivergedError: a model's scores of it are nan or infinite.
    """

    def watched() -> None:
        if stopped():
            raise StoppedError

    seconds = limits.check_clip(name, path)
    with open_clip(path) as clip:
        if clip.num_frames < 2:
            raise DataError(f"{name} holds a single picture; motion takes a video. {limits.allowed}")
        seconds = seconds or clip.num_frames / (clip.frame_rate or _USUAL_RATE)
        limits.check_length(name, seconds)
        film = read_film(clip, seconds, watched=watched)
        num_frames = clip.num_frames
    start = perf_counter()
    inputs = {entrants[0].model.preprocessing: load_clip(entrants[0].model, path)}
    decode_ms = 1000 * (perf_counter() - start)
    guessed = []
    for entrant in entrants:
        watched()
        given = entrant.model.preprocessing
        if given not in inputs:
            inputs[given] = load_clip(entrant.model, path)
        guessed.append(_guesses(entrant.model, inputs[given], name))
    times = _times([(entrant.model, inputs[entrant.model.preprocessing]) for entrant in entrants], name, watched)
    answers = [
        Answer(
            title=entrant.title,
            details=entrant.details,
            guesses=guesses,
            forward_ms=forward_ms,
            **_explained(entrant.model, path, guesses[0].label, film, watched),
        )
        for entrant, guesses, forward_ms in zip(entrants, guessed, times, strict=True)
    ]
    return Analysis(
        name=name,
        seconds=seconds,
        num_frames=num_frames,
        height=film.size[0],
        width=film.size[1],
        decode_ms=decode_ms,
        video=encode(film.frames, film.frame_rate, watched=watched),
        answers=tuple(answers),
    )


def _explained(
    model: VideoClassifier, path: Path, label: str, film: Film, watched: Callable[[], None]
) -> dict[str, Any]:
    """What an `Answer` holds of the evidence for a label: the video, or why there is none."""
    watched()
    try:
        explained = explain(model, path, label=label)
    except ConfigError as error:
        return {"video": None, "problem": str(error)}
    watched()
    painted = with_heat(film, explained.heat, explained.indices, model.preprocessing)
    return {"video": encode(painted, film.frame_rate, watched=watched)}


def _guesses(model: VideoClassifier, clip: Tensor, name: str) -> tuple[Guess, ...]:
    probabilities = predict_views(model, clip[None], [name])[0]
    assert model.labels is not None  # Entrant.of has looked
    return likeliest(probabilities, model.labels, TOP)


def _times(pairs: Sequence[tuple[VideoClassifier, Tensor]], name: str, watched: Callable[[], None]) -> list[float]:
    """The milliseconds that each network takes for its decoded clip: the median of passes that take turns, as many as
    fit into `_TIMING` seconds. Each has had a pass before, or whoever came first would seem the slowest."""
    taken: list[list[float]] = [[] for _ in pairs]
    begin = perf_counter()
    for _ in range(_ROUNDS):
        for (model, clip), milliseconds in zip(pairs, taken, strict=True):
            watched()
            start = perf_counter()
            predict_views(model, clip[None], [name])  # waits for a GPU too
            milliseconds.append(1000 * (perf_counter() - start))
        if perf_counter() - begin > _TIMING:
            break
    return [median(milliseconds) for milliseconds in taken]


def _prepare(name: str, model: VideoClassifier) -> None:
    if model.labels is None:
        raise ConfigError(f"The model {name} has no labels, so its outputs have no names. Create it with labels=.")
    given = model.preprocessing
    model.eval()
    black = torch.zeros(1, given.num_frames, 3, given.size, given.size, dtype=torch.uint8)
    predict_views(model, black, [f"a black clip, by {name},"])


def _seen(given: Preprocessing) -> str:
    return f"{given.num_frames} frames of {given.size} x {given.size} pixels"


def _title(model: VideoClassifier) -> str:
    config = model.config
    if config is None:
        return type(model.backbone).__name__
    return f"{config.backbone}, mechanism {config.mechanism}"

"""What a set is made of: its parameters, which clips it has, under which ids, and from which seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from m2a.errors import ConfigError

from .classes import BY_LABEL, order_blind_ceiling, select, time_reversal_pairs
from .editions import find_edition
from .render import check_drawing

LAYOUTS = ("something-something-v1", "class-folders")
SPLITS = ("train", "validation")
FRAMES = "20bn-something-something-v1"  # the folder of the frames, in the layout of that name
DEFAULTS: Mapping[str, Any] = {
    "layout": "something-something-v1",
    "num_train": 1200,
    "num_validation": 240,
    "size": 80,
    "num_frames": 12,
    "difficulty": 0.3,
    "seed": 0,
    "fps": 12,
}
GENERATOR = 1  # goes up whenever the same parameters would draw other clips

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True)
class Parameters:
    """Everything that decides what is on disk."""

    layout: str
    labels: tuple[str, ...]
    num_train: int
    num_validation: int
    size: int
    num_frames: int | tuple[int, int]  # two numbers: each clip draws its own, from the first to the second
    difficulty: float | tuple[float, float]
    seed: int
    fps: int
    edition: int | None = None

    def check(self) -> None:
        """Raises `ConfigError` where a value cannot work."""
        if self.layout not in LAYOUTS:
            raise ConfigError(f"layout={self.layout!r}: choose one of {', '.join(LAYOUTS)}.")
        for num_frames, difficulty in zip(_ends(self.num_frames), _ends(self.difficulty), strict=True):
            check_drawing(self.size, num_frames, difficulty)
        for split in SPLITS:
            if self.total(split) < len(self.labels):
                raise ConfigError(
                    f"num_{split}={self.total(split)}: every one of the {len(self.labels)} classes needs a clip. "
                    f"Ask for at least {len(self.labels)}, or choose fewer `classes` (--num-classes)."
                )
        if self.seed < 0:
            raise ConfigError(f"seed={self.seed}: a seed is 0 or more.")
        if self.fps < 1:
            raise ConfigError(f"fps={self.fps}: frames per second are 1 or more. Try 12.")

    def total(self, split: str) -> int:
        """Clips in a split."""
        return self.num_train if split == "train" else self.num_validation

    def per_label(self, split: str) -> dict[str, int]:
        """Clips of every label in a split; they differ by one at most."""
        share, rest = divmod(self.total(split), len(self.labels))
        return {label: share + (i < rest) for i, label in enumerate(self.labels)}

    def record(self) -> dict[str, Any]:
        """What `synthetic.json` says."""
        values = {k: getattr(self, k) for k in self.__dataclass_fields__ if k not in ("labels", "edition")}
        values = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
        pairs = time_reversal_pairs(self.labels)
        return {
            "generator": GENERATOR,
            **({} if self.edition is None else {"edition": self.edition}),
            "parameters": {**values, "labels": list(self.labels)},
            "time_reversal_pairs": [list(pair) for pair in pairs],
            "order_blind_ceiling": order_blind_ceiling(self.labels),
            "clips_per_label": {split: self.per_label(split) for split in SPLITS},
        }


@dataclass(frozen=True)
class Job:
    """One clip to draw: its id, split, label and the seed of its generator; `target` is relative to the root."""

    clip_id: int
    split: str
    label: str
    entropy: tuple[int, ...]
    target: Path


def _ends(value: _Number | tuple[_Number, _Number]) -> tuple[_Number, _Number]:
    return value if isinstance(value, tuple) else (value, value)


def parameters(classes: Sequence[str] | int | None, **values: Any) -> Parameters:
    """Parameters with the labels resolved, checked; what is None in `values` is as in `DEFAULTS`."""
    given = {name: value for name, value in values.items() if value is not None}
    made = Parameters(labels=select(classes), **{**DEFAULTS, **given})
    made.check()
    return made


def edition_parameters(number: int, **values: Any) -> Parameters:
    """Those of an edition; raises `ConfigError` where `values` has one that is not None, as the edition decides it."""
    edition = find_edition(number)
    given = [name for name, value in values.items() if value is not None]
    if given:
        raise ConfigError(
            f"edition={number} decides {', '.join(given)} itself. Leave {'it' if len(given) == 1 else 'them'} out, "
            "or leave out the edition."
        )
    decided = {name: getattr(edition, name) for name in ("num_train", "num_validation", "size", "num_frames")}
    made = Parameters(
        layout="something-something-v1", labels=edition.labels, difficulty=edition.difficulty, seed=edition.seed,
        fps=DEFAULTS["fps"], edition=number, **decided,
    )  # fmt: skip
    made.check()
    return made


def jobs(p: Parameters) -> list[Job]:
    """Every clip of the set, shuffled within its split, so that neither ids nor lines tell the class."""
    table = {label: i for i, label in enumerate(BY_LABEL)}
    shuffler = np.random.default_rng([p.seed, len(SPLITS)])
    ids = shuffler.permutation(p.num_train + p.num_validation) + 1
    out: list[Job] = []
    for code, split in enumerate(SPLITS):
        wanted = [(label, i) for label, count in p.per_label(split).items() for i in range(count)]
        for k in shuffler.permutation(len(wanted)):
            label, index = wanted[int(k)]
            clip_id = int(ids[len(out)])
            out.append(
                Job(clip_id, split, label, (p.seed, code, table[label], index), _target(p, split, label, clip_id))
            )
    return out


def _target(p: Parameters, split: str, label: str, clip_id: int) -> Path:
    if p.layout == "class-folders":
        return Path(split, label, f"{clip_id}.mp4")
    return Path(FRAMES, str(clip_id))

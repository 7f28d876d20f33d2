"""What a data set consists of: counts of all clips, and lengths, sizes and codecs of some."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from ..errors import ConfigError
from .checking.check import Progress, probe_clips
from .checking.facts import ClipFacts
from .clipset import ClipFile, ClipSet
from .labels import flip_map, mirror_label
from .reversal import reversal_pairs


@dataclass(frozen=True, kw_only=True)
class SetStatistics:
    """Counts of all clips, and the facts of those that were opened."""

    clips: ClipSet
    opened: tuple[ClipFile, ...]
    """The clips that were drawn from all and opened."""
    facts: Mapping[Path, ClipFacts]

    @property
    def num_clips(self) -> int:
        return sum(len(members) for members in self.clips.splits.values())

    def class_counts(self) -> dict[str, dict[str, int]]:
        """Clips of each label in each split."""
        counts = {name: Counter(clip.label for clip in members) for name, members in self.clips.splits.items()}
        return {label: {name: counts[name][label] for name in counts} for label in self.clips.labels}

    def measured(self) -> dict[str, list[float]]:
        """Of the opened clips: `frames`, `seconds` and `frame rate`, where known."""
        good = [fact for clip in self.opened if not (fact := self.facts[clip.path].of(clip.window)).fault]
        return {
            "frames": [float(fact.num_frames) for fact in good if fact.num_frames is not None],
            "seconds": [fact.seconds for fact in good if fact.seconds is not None],
            "frame rate": [fact.frame_rate for fact in good if fact.frame_rate is not None],
        }

    def counted(self) -> dict[str, dict[str, int]]:
        """Of the opened clips: how many have each `frame size` and each `codec`, most first."""
        named: dict[str, Callable[[ClipFacts], str]] = {
            "frame size": lambda fact: f"{fact.width}x{fact.height}",
            "codec": lambda fact: f"{fact.codec or 'unknown'}, {fact.pixel_format or 'unknown'}",
        }
        good = [fact for clip in self.opened if not (fact := self.facts[clip.path]).fault]
        return {name: dict(Counter(map(value, good)).most_common()) for name, value in named.items()}

    def mirrors(self) -> dict[str, Any]:
        """Labels that change into each other when a clip is mirrored, and those that are never mirrored."""
        labels, flips = self.clips.labels, flip_map(self.clips.labels)
        pairs = {frozenset((index, other)) for index, other in enumerate(flips) if other not in (None, index)}
        return {
            "pairs": [[labels[index] for index in sorted(pair)] for pair in sorted(pairs, key=sorted)],
            "never": [[label, mirror_label(label)] for label, flip in zip(labels, flips, strict=True) if flip is None],
        }

    def reversals(self) -> list[list[str]]:
        """Labels that change into each other when a clip is played backwards."""
        return [list(pair) for pair in reversal_pairs(self.clips.labels)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        faults = [clip for clip in self.opened if self.facts[clip.path].fault]
        return {
            "schema": 1,
            "root": str(self.clips.root),
            "format": self.clips.format,
            "num_clips": self.num_clips,
            "splits": {name: len(members) for name, members in self.clips.splits.items()},
            "classes": self.class_counts(),
            "notes": list(self.clips.notes),
            "num_opened": len(self.opened),
            "unreadable": [{"path": str(clip.path), "reason": self.facts[clip.path].reason} for clip in faults],
            "measured": {name: _summary(values) for name, values in self.measured().items()},
            "counted": self.counted(),
            "mirrors": self.mirrors(),
            "reversals": self.reversals(),
        }


def describe_clips(
    clips: ClipSet, *, sample: int = 500, workers: int | None = None, progress: Progress | None = None
) -> SetStatistics:
    """Counts all clips, and opens at most `sample` of them, always the same ones. Raises `ConfigError` for a `sample`
    below 1."""
    if sample < 1:
        raise ConfigError(f"sample={sample} must be at least 1: the number of clips to open")
    everything = [clip for members in clips.splits.values() for clip in members]
    opened = everything if len(everything) <= sample else _drawn(everything, sample)
    paths = list(dict.fromkeys(clip.path for clip in opened))
    facts: dict[Path, ClipFacts] = {}
    for path, fact in probe_clips(paths, quick=True, workers=workers):
        facts[path] = fact
        if progress is not None:
            progress(len(facts), len(paths))
    return SetStatistics(clips=clips, opened=tuple(opened), facts=facts)


def _drawn(clips: Sequence[ClipFile], number: int) -> list[ClipFile]:
    chosen = random.Random(0).sample(range(len(clips)), number)
    return [clips[index] for index in sorted(chosen)]


def _summary(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"least": round(min(values), 3), "median": round(median(values), 3), "most": round(max(values), 3)}

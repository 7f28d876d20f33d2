"""Which clips a run trains and validates on, in a few bytes each, so that a run that goes on knows them again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from m2a.data.clipset import ClipFile, ClipSet, is_frame
from m2a.data.listing import SPLIT_NAMES

_WIDTH = 8
"""Bytes for a clip: of a million clips, two are alike once in forty million sets."""


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """The clips of both splits, in no order. A clip is its name; where that begins with the folder of a split it is the
    rest of it, and the clip's size, since whole folders may have been swapped."""

    train: Mapping[bytes, ClipFile | None]
    """To the clip, where it is known."""
    validation: Mapping[bytes, ClipFile | None]

    @classmethod
    def of(cls, clips: ClipSet) -> Fingerprint:
        return cls(train=_marks(clips.split("train")), validation=_marks(clips.split("validation")))

    @classmethod
    def read(cls, saved: Mapping[str, Any]) -> Fingerprint:
        """Of what `to_dict` gave."""
        return cls(train=_cut(saved["train"]), validation=_cut(saved["validation"]))

    def to_dict(self) -> dict[str, bytes]:
        return {"train": b"".join(sorted(self.train)), "validation": b"".join(sorted(self.validation))}

    def trained_on_before(self, before: Fingerprint) -> list[ClipFile]:
        """Clips to validate on that were learnt from, and were not validated on then."""
        learnt = self.validation.keys() & (before.train.keys() - before.validation.keys())
        return [clip for mark, clip in self.validation.items() if mark in learnt and clip is not None]

    def learnt_from(self, clips: Iterable[ClipFile]) -> list[ClipFile]:
        """Those of `clips` that are trained on."""
        return [clip for clip in clips if _mark(clip) in self.train]

    def validates_alike(self, before: Fingerprint) -> bool:
        return self.validation.keys() == before.validation.keys()


def _marks(clips: Iterable[ClipFile]) -> dict[bytes, ClipFile | None]:
    return {_mark(clip): clip for clip in clips}


def _mark(clip: ClipFile) -> bytes:
    side, _, rest = clip.id.partition("/")
    name = f"{rest} {_size(clip.path)}" if rest and side.lower() in SPLIT_NAMES else clip.id
    return blake2b(name.encode("utf-8", "surrogateescape"), digest_size=_WIDTH).digest()


def _size(path: Path) -> int:
    """In bytes, of a video or of all frames; 0 in a shard, where names do not change."""
    with suppress(OSError):
        if not path.is_dir():
            return path.stat().st_size
        with os.scandir(path) as found:
            return sum(entry.stat().st_size for entry in found if is_frame(entry.name))
    return 0


def _cut(joined: bytes) -> dict[bytes, ClipFile | None]:
    return {joined[at : at + _WIDTH]: None for at in range(0, len(joined), _WIDTH)}

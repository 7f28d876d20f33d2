"""Film strips of clips on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from m2a.data.clipset import ClipFile
from m2a.data.readers import read_clip
from m2a.data.sampling import segment_indices
from m2a.errors import UnreadableClipError
from m2a.reporting.strips import FilmStrip


def strips_of(clips: Sequence[ClipFile], labels: Sequence[str], *, num_frames: int = 8) -> list[FilmStrip]:
    """A film strip of the first clip of each label that can be read."""
    strips = []
    for label in labels:
        for clip in (clip for clip in clips if clip.label == label):
            try:
                strips.append(strip_of(clip.path, label, num_frames=num_frames, window=clip.window))
            except UnreadableClipError:
                continue  # the evaluation names it; this is an illustration
            break
    return strips


def strip_of(path: Path, title: str, *, num_frames: int = 8, window: tuple[int, int] | None = None) -> FilmStrip:
    """Frames from the centres of a clip's segments."""
    frames = read_clip(path, lambda total: segment_indices(total, num_frames), window=window)
    return FilmStrip(title=title, frames=[np.ascontiguousarray(frame.permute(1, 2, 0).numpy()) for frame in frames])

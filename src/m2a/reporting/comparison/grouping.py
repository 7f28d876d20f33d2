"""Which of the clips that are compared are of one recording, as far as the runs know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from m2a.reporting.runs import Run

Groups = NDArray[np.int64]
"""For each clip, (N,), the number of its recording; a clip that is alone is a recording by itself."""


def groups_of(runs: Sequence[Run], clips: Sequence[str]) -> Groups | None:
    """The recordings of these clips; None where no two of them are of one.

    Clips that any of the runs holds together are of one recording: an evaluation of an earlier version knows of none,
    and names differ between machines. Where runs divide the clips in other ways, what is joined in one stays joined.
    """
    place = {clip: number for number, clip in enumerate(clips)}
    pairs = [pair for run in runs for pair in _pairs(run, place)]
    if not pairs:
        return None
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array(pairs).T
    joined = coo_array((np.ones(len(pairs)), (ends[0], ends[1])), shape=(len(clips), len(clips)))
    number, groups = connected_components(joined, directed=False)
    return groups.astype(np.int64) if number < len(clips) else None


def _pairs(run: Run, place: dict[str, int]) -> list[tuple[int, int]]:
    """Each clip that has a group, with the first clip of that group."""
    first: dict[str, int] = {}
    known = ((place[clip], group) for clip, group in run.groups.items() if clip in place)
    return [(number, first.setdefault(group, number)) for number, group in known]

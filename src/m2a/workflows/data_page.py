"""The page about a data set."""

from __future__ import annotations

from pathlib import Path

from m2a.data.checking.check import Progress
from m2a.data.clipset import ClipSet
from m2a.data.statistics import SetStatistics, describe_clips
from m2a.reporting.data_page import write_data_page
from m2a.reporting.owned import check_ours
from m2a.workflows.strips import strips_of

MOST_STRIPS = 6


def describe_set(
    clips: ClipSet,
    out: str | Path | None = None,
    *,
    sample: int = 500,
    workers: int | None = None,
    progress: Progress | None = None,
) -> SetStatistics:
    """Statistics of a data set, from at most `sample` clips opened; with `out`, also the page that shows them.

    Raises what `m2a.data.describe_clips` raises, and ConfigError where a file is at `out` that is not ours.
    """
    if out is not None:
        check_ours(Path(out))
    found = describe_clips(clips, sample=sample, workers=workers, progress=progress)
    if out is not None:
        shown = clips.split("validation") if clips.splits.get("validation") else found.opened
        labels = [label for label in clips.labels if any(clip.label == label for clip in shown)]
        chosen = [labels[len(labels) * i // MOST_STRIPS] for i in range(min(MOST_STRIPS, len(labels)))]
        strips = strips_of(shown, labels if len(labels) <= MOST_STRIPS else chosen)
        title = f"Data set: {clips.root.resolve().name}"
        write_data_page(found.to_dict(), found.measured(), out, title=title, strips=strips)
    return found

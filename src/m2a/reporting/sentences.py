"""The page's sentences about its runs, computed; in the limited markdown `text.inline` sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from m2a.reporting.entries import Entry, baseline_and_lead
from m2a.reporting.runs import Run
from m2a.reporting.text import difference, listing, percent, signed
from m2a.wording import count

_UNEVEN = 1.5
"""How many times as many clips as the classes have on average one must have for a reader to be told."""


def introduction(shown: Sequence[Entry]) -> str:
    """What the page is, in two sentences."""
    run = shown[0].run
    backbones = sorted({f"`{entry.run.backbone}`" for entry in shown if entry.run.backbone})
    on = f" on {listing(backbones)}" if backbones else ""
    shape = [count(len(run.labels), "class", "classes")]
    if run.num_frames:
        shape.append(
            f"{run.num_frames} frames a clip" + (f" of {run.size} \u00d7 {run.size} pixels" if run.size else "")
        )
    clips = "the same clips" if len(shown) > 1 and same_clips(shown) else "clips"
    tested = f"tested on {clips}{f' of `{run.data}`' if run.data else ''} ({', '.join(shape)})"
    if len(shown) == 1:
        subject = f"how well `{shown[0].name}`{on} tells what happens in a video"
    else:
        names = listing([f"`{entry.name}`" for entry in shown])
        subject = f"{len(shown)} ways of seeing motion in a video, {names}{on}"
    verb = "shows" if len(shown) == 1 else "compares"
    return f"This page {verb} {subject}, {tested}. Every number below is computed from the files the runs left behind."


def same_clips(shown: Sequence[Entry]) -> bool:
    """Whether all runs were evaluated on as many clips of the same split of the same data."""
    return len({(entry.run.num_clips, entry.run.split, entry.run.data) for entry in shown}) == 1


def headline(shown: Sequence[Entry]) -> str:
    """The result in one sentence of limited markdown, computed from the evaluations."""
    baseline, lead = baseline_and_lead(shown)
    start = f"`{lead.name}` names **{percent(lead.run.top1)}** of {clips_of(lead.run)}"
    if baseline is None:
        return f"{start}; {_without_looking(lead.run)}."
    if (gain := difference(lead.run.top1, baseline.run.top1)) is None:
        return f"{start}, `{baseline.name}` {percent(baseline.run.top1)}."
    sentence = f"{start}, `{baseline.name}` {percent(baseline.run.top1)}: **{signed(gain)} points**"
    if not baseline.run.macs or lead.run.macs is None:
        return f"{sentence}."
    looks = lead.run.num_views / baseline.run.num_views
    cost = signed(100 * (looks * lead.run.macs / baseline.run.macs - 1))
    return f"{sentence} for " + ("the same multiply-adds." if cost == "0.0" else f"{cost}% multiply-adds.")


def _without_looking(run: Run) -> str:
    """What one has without a look at the clips: by guessing, or where one class has many of them by its name."""
    guessed, most = 1 / max(1, len(run.labels)), max(map(sum, run.confusion), default=0) / max(1, run.num_clips)
    if most > _UNEVEN * guessed:
        return f"to say the most frequent class of every clip would name {percent(100 * most)}"
    return f"guessing would name {percent(100 * guessed)}"


def clips_of(run: Run) -> str:
    """`240 held-out clips`, or the split by name where it is not a held-out one."""
    if run.split.lower() in {"validation", "valid", "val", "test"} and not run.num_trained_on:
        return count(run.num_clips, "held-out clip")
    return f"{count(run.num_clips, 'clip')} of the {run.split} split"


def _of_classes(entry: Entry) -> Iterator[str]:
    rows = [row for row in entry.run.confusion if sum(row)]
    if len(rows) < 2:
        return
    said = [label for label, column in zip(entry.run.labels, zip(*rows, strict=True), strict=True) if any(column)]
    if len(said) == 1:
        yield f"`{entry.name}` called every clip {said[0]!r}: it tells no classes apart."
    clips, right = [sum(row) for row in rows], [one.top1 for one in entry.run.per_class if one.top1 is not None]
    if right and max(clips) > _UNEVEN * sum(clips) / len(clips):
        yield (
            f"Some classes have many more clips than others. Each class counting alike, `{entry.name}` names "
            f"{percent(sum(right) / len(right))}, the mean of the classes."
        )


def _of_training(entry: Entry) -> Iterator[str]:
    if known := entry.run.num_trained_on:
        yield (
            f"`{entry.name}`, or a model that it started from, was trained on {known} of the {entry.run.num_clips} "
            "clips that it was measured on, whose answers it knows."
        )


def caveats(shown: Sequence[Entry]) -> list[str]:
    """What a reader must know of what the figures hide, and when the runs are not quite comparable."""
    notes = [note for entry in shown for note in (*_of_training(entry), *_of_classes(entry))]
    if not same_clips(shown):
        told = listing(
            [f"`{e.name}` on {e.run.num_clips} clips of {e.run.data or 'its data'} ({e.run.split})" for e in shown]
        )
        notes.append(f"The runs were not evaluated on the same clips: {told}. Their differences mix in the clips'.")
    if len({(entry.run.num_frames, entry.run.size) for entry in shown}) > 1:
        told = listing([f"`{e.name}` {e.run.num_frames or '?'} frames of {e.run.size or '?'} pixels" for e in shown])
        notes.append(f"The runs do not see the same input: {told}.")
    if any(entry.run.num_views > 1 for entry in shown):
        told = listing([f"`{e.name}` {count(e.run.num_views, 'view')}" for e in shown])
        notes.append(f"Views of each clip that were averaged: {told}. GMACs are of one view.")
    return notes

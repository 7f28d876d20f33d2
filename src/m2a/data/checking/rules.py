"""From what is known of each clip to what is worth saying about it and about the set."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ...wording import count, first_few
from ..clipset import VIDEO_SUFFIXES, ClipFile, ClipSet, is_frame
from ..listing import read_lines
from ..something_something import JESTER, V1
from ..something_something_v2 import FORMAT as V2
from ..ucf_hmdb import HMDB51, UCF101
from .facts import ClipFacts
from .report import Finding, finding_of

FEW = 5  # a class with fewer training clips is named
_UNUSUAL = 0.1  # where up to this share of the clips differs from the rest, each that does is named
_IMBALANCE = 10  # times as many training clips in the largest class as in the smallest

_LISTS_BESIDE = {V1.format, JESTER.format, V2, UCF101, HMDB51}

Facts = Mapping[Path, ClipFacts]


def clip_findings(clip: ClipFile, facts: ClipFacts, *, num_frames: int) -> Iterator[Finding]:
    """What one clip's own facts say."""
    if facts.fault:
        yield finding_of(clip, facts.fault, "error", facts.reason)
        return
    total = facts.num_frames or 0
    if clip.window is not None:
        start, length = clip.window
        if start < 0 or start + length > total:
            why = f"it is frames {start} to {start + length - 1} of a recording that has {total}"
            yield finding_of(clip, "outside the recording", "error", why)
        total = length
    if total < num_frames:
        yield finding_of(clip, "short", "warning", f"{total} frames; sampling {num_frames} repeats some")
    if facts.gap:
        yield finding_of(clip, "gap in the numbering", "warning", facts.gap)
    if facts.black:
        yield finding_of(clip, "black", "warning", f"all {facts.num_frames} frames are black")
    elif facts.still:
        yield finding_of(clip, "still", "warning", f"all {facts.num_frames} frames look the same")
    if facts.uneven:
        yield finding_of(clip, "uneven frame rate", "warning", facts.uneven)
    if facts.rotation or facts.mirrored:
        ways = ["mirrors it left to right"] if facts.mirrored else []
        ways += [f"turns it by {facts.rotation} degrees counter-clockwise"] if facts.rotation else []
        kind = "mirrored" if facts.mirrored else "rotated"
        yield finding_of(clip, kind, "information", f"a player {' and then '.join(ways)}, and so does m2a")


def unusual(clips: ClipSet, facts: Facts) -> Iterator[Finding]:
    """Clips whose codec, pixel format or size is not that of nearly all others."""
    kinds: dict[str, Callable[[ClipFacts], str]] = {
        "codec": lambda fact: fact.codec,
        "pixel format": lambda fact: fact.pixel_format,
        "frame size": lambda fact: f"{fact.width}x{fact.height}",
    }
    good = [clip for members in clips.splits.values() for clip in members if not facts[clip.path].fault]
    for kind, value in kinds.items():
        counts = Counter(value(facts[clip.path]) for clip in good)
        if len(counts) < 2:
            continue
        (usual, most), *_ = counts.most_common(1)
        if most < (1 - _UNUSUAL) * len(good):
            shown = first_few([f"{name or 'unknown'} ({count})" for name, count in counts.most_common()])
            yield Finding(
                kind=f"several {kind}s", severity="information", why=f"{len(counts)} among the clips: {shown}"
            )
            continue
        for clip in good:
            if (found := value(facts[clip.path])) != usual:
                why = f"{found or 'unknown'}, where {most} of {len(good)} clips have {usual}"
                yield finding_of(clip, f"unusual {kind}", "information", why)


def class_findings(clips: ClipSet) -> Iterator[Finding]:
    """Classes without clips, without training clips or with few, and how uneven they are."""
    counts = {name: Counter(clip.label for clip in members) for name, members in clips.splits.items()}
    train = counts.get("train", Counter())
    for label in clips.labels:
        total = sum(split[label] for split in counts.values())
        if not total:
            why = f"the label {label!r} has no clip"
            yield Finding(kind="label without clips", severity="warning", why=why)
        elif not train[label]:
            why = f"{label!r} has {count(total, 'clip')}, none of them to train on"
            yield Finding(kind="class without training clips", severity="warning", why=why)
        elif train[label] < FEW:
            why = f"{label!r} has {count(train[label], 'training clip')}"
            yield Finding(kind="class with few training clips", severity="warning", why=why)
    used = [(count, label) for label, count in train.items() if count]
    if used and max(used)[0] >= _IMBALANCE * min(used)[0]:
        (most, largest), (least, smallest) = max(used), min(used)
        why = f"{largest!r} has {most} training clips, {smallest!r} has {least}: {most / least:.0f} times as many"
        yield Finding(kind="uneven classes", severity="information", why=why)


def group_findings(clips: ClipSet) -> Iterator[Finding]:
    """Groups (one recording, one person) with clips in several splits."""
    groups: dict[str, dict[str, list[ClipFile]]] = defaultdict(lambda: defaultdict(list))
    for split, members in clips.splits.items():
        for clip in members:
            if clip.recording:
                groups[clip.recording][split].append(clip)
    for group, splits in groups.items():
        if len(splits) > 1:
            shown = ", ".join(f"{len(members)} in {split}" for split, members in splits.items())
            first = next(iter(splits.values()))[0]
            why = f"clips of the group {group!r} are on both sides of the split: {shown}"
            yield finding_of(first, "group across the split", "warning", why)


def note_findings(clips: ClipSet) -> Iterator[Finding]:
    """What reading the lists left out."""
    for note in clips.notes:
        if "left out" in note:
            yield Finding(kind="left out on reading", severity="warning", why=note)


def unlisted(clips: ClipSet) -> Iterator[Finding]:
    """Clips below the set's root that are in no split."""
    root = Path(os.path.abspath(clips.root))  # lists may say `../videos/a.mp4`
    known = {Path(os.path.abspath(clip.path)) for members in clips.splits.values() for clip in members}
    tests = (layout.csv_path(clips.root, "test") for layout in (V1, JESTER))  # their clips have no label, and no split
    unlabelled = {line.partition(";")[0].strip() for test in tests if test.is_file() for _, line in read_lines(test)}
    for path in _clips_below(root, known, only=_official(clips, root, known)):
        if path.name not in unlabelled:
            name = path.relative_to(root).as_posix()
            why = f"{name} is on disk, and in no split"
            yield Finding(kind="in no split", severity="information", why=why, path=str(path))


def _official(clips: ClipSet, root: Path, known: set[Path]) -> set[str] | None:
    """Names in the root that clips of a set are in whose lists stand beside the folder of its clips; None of others.
    What is beside that may be anything: the root is the folder above the one that was named."""
    if clips.format not in _LISTS_BESIDE:
        return None
    return {path.relative_to(root).parts[0] for path in known if path.is_relative_to(root)}


def _clips_below(root: Path, known: set[Path], *, only: set[str] | None) -> Iterator[Path]:
    """Videos and folders of frames that are not known; of what is in the root itself, in those of these names."""
    for folder, names, files in os.walk(root):
        here = Path(folder)
        if here == root and only is not None:
            names[:], files = [name for name in names if name in only], []
        names[:] = sorted(name for name in names if not name.startswith(".") and here / name not in known)
        if here != root and any(is_frame(name) for name in files):
            yield here
            names.clear()
            continue
        for name in sorted(files):
            if name.lower().endswith(VIDEO_SUFFIXES) and not name.startswith(".") and here / name not in known:
                yield here / name

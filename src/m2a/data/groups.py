"""Clips of one recording, and splits that keep them together."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ..wording import first_few
from .clipset import ClipFile

_UCF = re.compile(r"_g(\d+)_c\d+$")


def ucf_group(stem: str, label: str) -> str:
    """`Archery/g07` for v_Archery_g07_c03 of UCF101, whose groups count anew in each class; "" for other names."""
    match = _UCF.search(stem)
    return f"{label}/g{match[1]}" if match else ""


def hold_out(clips: Iterable[ClipFile], *, fraction: float) -> tuple[list[ClipFile], list[ClipFile]]:
    """Splits clips into those kept and those held out, class by class and group by group.

    The side of a group, or of a clip without one, depends on the hash of its name alone, so adding clips does not move
    others. Only where that would leave a class of two or more groups empty on one side does the nearest change sides,
    and it may change back once there are more.
    """
    clips = list(clips)
    values: dict[str, float] = {}
    classes: dict[str, set[str]] = defaultdict(set)  # label -> units
    labels: dict[str, set[str]] = defaultdict(set)  # unit -> labels
    for clip in clips:
        unit = _unit(clip)
        if unit not in values:
            digest = hashlib.sha256(unit.encode(errors="surrogateescape")).digest()
            values[unit] = int.from_bytes(digest[:8], "big") / 2**64
        classes[clip.label].add(unit)
        labels[unit].add(clip.label)
    held = {unit for unit, value in values.items() if value < fraction}
    for units in classes.values():
        if units <= held:
            held.remove(max(units, key=values.__getitem__))
    for units in classes.values():
        if units & held:
            continue
        movable = [unit for unit in units if all(classes[label] - held - {unit} for label in labels[unit])]
        held |= {min(movable, key=values.__getitem__)} if movable else set()
    return [clip for clip in clips if _unit(clip) not in held], [clip for clip in clips if _unit(clip) in held]


def straddling(splits: Mapping[str, Sequence[ClipFile]]) -> str | None:
    """A warning where clips of a group are in training and in another split."""
    groups = {name: {clip.group for clip in clips if clip.group} for name, clips in splits.items()}
    trained = groups.pop("train", set())
    shared = {name: sorted(trained & others) for name, others in groups.items() if trained & others}
    if not shared:
        return None
    shown = "; ".join(f"{len(names)} with {name} ({first_few(names, 3)})" for name, names in shared.items())
    return f"groups on both sides of the split: training shares {shown}. Accuracy there measures memory too."


def _unit(clip: ClipFile) -> str:
    return f"group {clip.group}" if clip.group else clip.id

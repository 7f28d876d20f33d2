"""The first clips of each class: the same whatever the order, nested, and told."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from m2a.data.clipset import ClipFile, ClipSet
from m2a.data.subset import first_of_each_class

SIZES = {"up": 9, "down": 9, "still": 3}
MEMBERS = tuple(
    ClipFile(id=f"{label}-{number}", path=Path(f"{label}-{number}.mp4"), label=label)
    for label, size in SIZES.items()
    for number in range(size)
)
SET = ClipSet(
    format="class-folders", root=Path("clips"), labels=tuple(SIZES), splits={"train": MEMBERS, "validation": MEMBERS}
)


def ids(clips: ClipSet, split: str = "train") -> list[str]:
    return [clip.id for clip in clips.split(split)]


def test_so_many_of_each_class_in_the_order_of_the_set() -> None:
    few, notes = first_of_each_class(SET, {"train": 4, "validation": None})
    assert [sum(name.startswith(label) for name in ids(few)) for label in SIZES] == [4, 4, 3]
    assert ids(few) == [name for name in ids(SET) if name in ids(few)]
    assert few.splits["validation"] == MEMBERS
    assert notes == ("the first 4 clips of each class of train: 11 of 21; fewer than 4, so all, of still (3)",)


def test_the_same_clips_whatever_the_order_of_files() -> None:
    shuffled = list(MEMBERS)
    random.Random(0).shuffle(shuffled)
    few, _ = first_of_each_class(SET, {"train": 4})
    other, _ = first_of_each_class(replace(SET, splits={"train": tuple(shuffled)}), {"train": 4})
    assert sorted(ids(other)) == sorted(ids(few))
    assert sorted(ids(few)) != sorted([f"up-{n}" for n in range(4)] + [f"down-{n}" for n in range(4)] + ids(SET)[-3:])


def test_fewer_clips_are_a_part_of_more() -> None:
    two, four = (set(ids(first_of_each_class(SET, {"train": limit})[0])) for limit in (2, 4))
    assert two < four


def test_a_limit_that_no_class_reaches_changes_nothing() -> None:
    all_of_them, notes = first_of_each_class(SET, {"validation": 9, "test": 2})
    assert all_of_them == SET
    assert notes == ("the first 9 clips of each class of validation: 21 of 21; fewer than 9, so all, of still (3)",)

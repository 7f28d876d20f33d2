from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_page import Page, assert_self_contained

from m2a.reporting import FilmStrip
from m2a.reporting.data_page import write_data_page

PAIRS = [["Turning left", "Turning right"]]


def numbers(num_classes: int = 4, *, num_opened: int = 52, measured: bool = True) -> dict[str, Any]:
    labels = ["Turning left", "Turning right", "A <b> class", *(f"Class {k}" for k in range(num_classes - 3))]
    classes = {label: {"train": 10 + k, "validation": k} for k, label in enumerate(labels)}
    splits = {name: sum(counts[name] for counts in classes.values()) for name in ("train", "validation")}
    summary = {"least": 3.0, "median": 8.0, "most": 20.0} if measured else None
    return {
        "root": "sets/clips",
        "format": "class-folders",
        "num_clips": sum(splits.values()),
        "splits": splits,
        "classes": classes,
        "notes": ["no validation split"],
        "num_opened": num_opened,
        "unreadable": [{"path": "a.mp4", "reason": "cut off"}],
        "measured": {"frames": summary, "seconds": summary, "frame rate": None},
        "counted": {
            "frame size": {f"{k}x{k}": 20 - k for k in range(1, 14)},
            "codec": {"h264, yuv420p": 58, "vp9, x": 2},
        },
        "reversals": [["Opening something", "Closing something"]],
        "mirrors": {"pairs": PAIRS, "never": [["Spinning left", "Spinning right"]]},
    }


MEASURED = {"frames": [3.0, 8.0, 8.0, 20.0], "seconds": [0.3, 0.8, 0.8, 2.0], "frame rate": [10.0, 10.0, 10.0, 10.0]}


def page_of(tmp_path: Path, content: dict[str, Any], **options: Any) -> Page:
    path = write_data_page(content, MEASURED, tmp_path / "new" / "stats.html", title="Data set: clips", **options)
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_stands_alone_and_says_what_it_is(tmp_path: Path) -> None:
    strip = FilmStrip(title="Turning left", frames=[np.zeros((12, 16, 3), dtype=np.uint8)] * 3)
    page = page_of(tmp_path, numbers(), strips=[strip])
    assert_self_contained(page)
    assert "52 clips of 4 classes: 46 for training and 6 for validation" in page.text
    for words in ("A <b> class", "⇄ and Turning right", "would be: Spinning right", "5 others"):
        assert words in page.text
    assert "1 of them cannot be read" in page.text
    (image,) = page.named("img")
    assert "Turning left" in str(image["alt"])
    assert {svg["aria-label"] for svg in page.named("svg")} == {
        "Clips by number of frames: from 3 to 20", "Clips by length: from 0.3 to 2",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("num_opened", "words"), [(52, "All 52 clips were opened"), (20, "20 of 52 clips were opened")]
)
def test_it_says_how_many_clips_were_opened(tmp_path: Path, num_opened: int, words: str) -> None:
    page = page_of(tmp_path, numbers(num_classes=4, num_opened=num_opened))
    assert "52 clips of 4 classes" in page.text
    assert words in page.text
    assert ("Half of those opened" in page.text) == (num_opened < 52)


def test_many_classes_are_folded(tmp_path: Path) -> None:
    page = page_of(tmp_path, numbers(num_classes=60))
    assert "All classes 60" in page.text
    assert page.text.index("Largest Class 56") < page.text.index("Smallest") < page.text.index("All classes")


def test_a_set_of_which_nothing_can_be_read(tmp_path: Path) -> None:
    content = numbers(measured=False)
    content["counted"] = {"frame size": {}, "codec": {}}
    content["mirrors"] = {"pairs": [], "never": []}
    content["reversals"] = []
    path = write_data_page(content, {"frames": []}, tmp_path / "stats.html", title="Data set: clips")
    page = Page(path.read_text(encoding="utf-8"))
    assert_self_contained(page)
    assert "No label changes into another" in page.text
    assert not page.named("svg")

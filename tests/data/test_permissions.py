"""Folders that may not be read or written: what is told, and what is done without them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from clip_files import ids_of, touch, write_frames

from m2a.data import find_clips, open_clip, read_clips
from m2a.data.synthetic import synthesize
from m2a.errors import DataError, UnreadableClipError
from permissions import allowed


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder that others may look into, which pytest's are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def test_a_set_is_drawn_where_only_its_own_folder_may_be_written(root: Path) -> None:
    values = {"classes": 2, "num_train": 2, "num_validation": 2, "size": 24, "num_frames": 3, "workers": 1}
    synthesize(root / "first", progress=False, **values)  # this loads what only root may load
    (root / "mine").mkdir()
    (root / "mine").chmod(0o777)
    with allowed(0o555, root):
        assert not synthesize(root / "mine", progress=False, **values).reused
    assert [path.name for path in root.iterdir() if path.name.startswith(".")] == []
    assert sorted(path.name for path in (root / "mine").iterdir()) == sorted(
        path.name for path in (root / "first").iterdir()
    )


def test_a_frame_folder(root: Path) -> None:
    clip = write_frames(root / "clip", num_frames=1)
    with allowed(0, clip):
        with pytest.raises(UnreadableClipError, match=r"clip: the folder cannot be read \(Permission denied\)"):
            open_clip(clip)
        with pytest.raises(UnreadableClipError, match=r"00001\.jpg: it cannot be opened \(Permission denied\)"):
            open_clip(clip / "00001.jpg")


@pytest.mark.parametrize("inside", [".", "a", "a/clip"])
def test_a_folder_of_a_set(root: Path, inside: str) -> None:
    touch(*(root / label / f"{k}.mp4" for label in "ab" for k in range(3)))
    write_frames(root / "a" / "clip", num_frames=1)
    with allowed(0, root / inside):
        for read in (read_clips, find_clips):
            with pytest.raises(DataError, match=r"the folder \S+ cannot be read \(Permission denied\); change who may"):
                read(root)


@pytest.mark.parametrize("table", [None, "split.csv", "clips.csv"])
def test_what_a_disk_has_of_its_own(root: Path, table: str | None) -> None:
    """The folder lost+found, which only root may read."""
    touch(*(root / label / f"{k}.mp4" for label in "ab" for k in range(3)), root / "lost+found" / "1.mp4")
    if table:
        lines = [f"{label}/{k}.mp4,{label},{'val' if k else 'train'}\n" for label in "ab" for k in range(3)]
        (root / table).write_text("path,label,split\n" + "".join(lines))
    clips, found = read_clips(root), find_clips(root)  # this loads too what only root may load
    with allowed(0, root / "lost+found"):
        assert (read_clips(root), find_clips(root)) == (clips, found)
    assert clips.labels == ("a", "b")
    assert sorted(ids_of(clips, "train") + ids_of(clips, "validation")) == [
        path.relative_to(root).as_posix() for path in found
    ]

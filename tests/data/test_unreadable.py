"""Folders that may not be read: one message that names them, and a disk's own is none of the data's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clip_files import ids_of, touch, write_frames

from m2a.data import find_clips, open_clip, read_clips
from m2a.errors import DataError, UnreadableClipError


@contextmanager
def unreadable(folder: Path) -> Iterator[None]:
    """While it lasts nobody may look into the folder: root, who may everything, is somebody else for so long."""
    was_root = os.geteuid() == 0
    folder.chmod(0)
    if was_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if was_root:
            os.seteuid(0)
        folder.chmod(0o755)


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder that others may look into, which pytest's are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def test_a_frame_folder(root: Path) -> None:
    clip = write_frames(root / "clip", num_frames=1)
    with unreadable(clip):
        with pytest.raises(UnreadableClipError, match=r"clip: the folder cannot be read \(Permission denied\)"):
            open_clip(clip)
        with pytest.raises(UnreadableClipError, match=r"00001\.jpg: it cannot be opened \(Permission denied\)"):
            open_clip(clip / "00001.jpg")


@pytest.mark.parametrize("inside", [".", "a", "a/clip"])
def test_a_folder_of_a_set(root: Path, inside: str) -> None:
    touch(*(root / label / f"{k}.mp4" for label in "ab" for k in range(3)))
    write_frames(root / "a" / "clip", num_frames=1)
    with unreadable(root / inside):
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
    with unreadable(root / "lost+found"):
        assert (read_clips(root), find_clips(root)) == (clips, found)
    assert clips.labels == ("a", "b")
    assert sorted(ids_of(clips, "train") + ids_of(clips, "validation")) == [
        path.relative_to(root).as_posix() for path in found
    ]

"""Videos trimmed without encoding them again: an edit list says what is shown, and all pictures stay in the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from clip_files import cut, frames_of, trim, write_video

from m2a.data import open_clip
from m2a.data.checking.facts import find_facts
from m2a.errors import UnreadableClipError

Part = tuple[int, int]
EVERY_FIFTH = {"g": "5", "bf": "0"}
REORDERED = {"g": "7", "bf": "2"}


@pytest.mark.parametrize("encoding", [EVERY_FIFTH, REORDERED, {"g": "250", "bf": "3"}], ids=str)
@pytest.mark.parametrize("parts", [[(0, 11)], [(13, 9)], [(17, 6)], [(5, 18)], [(0, 7), (15, 5)]], ids=str)
def test_what_is_left_is_read(tmp_path: Path, parts: list[Part], encoding: dict[str, str]) -> None:
    path = trim(write_video(tmp_path / "a.mp4", num_frames=23, encoding=encoding), *parts)
    shown = [first + k for first, count in parts for k in range(count)]
    with open_clip(path) as clip:
        assert clip.num_frames == len(shown)
        assert frames_of(clip.read(range(len(shown)))) == shown
        assert [frames_of(clip.read([k]))[0] for k in range(len(shown))] == shown
    facts = find_facts(path)
    assert (facts.fault, facts.num_frames) == ("", len(shown))


@pytest.mark.parametrize("codec", ["mpeg4", "libx265"])
def test_other_codecs(tmp_path: Path, codec: str) -> None:
    path = trim(write_video(tmp_path / "a.mp4", num_frames=23, codec=codec), (7, 11))
    with open_clip(path) as clip:
        assert frames_of(clip.read(range(clip.num_frames))) == list(range(7, 18))


@pytest.mark.parametrize("parts", [[(0, 5)], [(0, 19)], [(3, 20)]], ids=str)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_trimmed_file_that_is_cut_off(tmp_path: Path, parts: list[Part], share: float) -> None:
    """Noticed also where what is shown is whole: something happened to the file."""
    path = write_video(tmp_path / "a.mp4", num_frames=23, noise=True, options={"movflags": "faststart"})
    cut(trim(path, *parts), share)
    with pytest.raises(UnreadableClipError, match=r"the file is cut off: only \d+ of 23 frames are in it"):
        open_clip(path)

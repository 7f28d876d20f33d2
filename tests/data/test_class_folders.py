from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from clip_files import ids_of as ids
from clip_files import touch, write_frames

from m2a.data import find_clips, read_clips
from m2a.errors import DataError


def test_split_folders(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        touch(*(tmp_path / split / label / f"{k}.mp4" for label in "ba" for k in range(count)))
    clips = read_clips(tmp_path)
    assert (clips.format, clips.labels, list(clips.splits)) == (
        "class-folders",
        ("a", "b"),
        ["train", "validation", "test"],
    )
    assert ids(clips, "validation") == ["val/a/0.mp4", "val/a/1.mp4", "val/b/0.mp4", "val/b/1.mp4"]
    assert clips.notes == ()


def test_class_folders_hold_out_the_same_clips_whatever_is_added(tmp_path: Path) -> None:
    def write(*numbers: int) -> None:
        touch(*(tmp_path / label / f"{k}.mp4" for label in "ab" for k in numbers))

    write(*range(50))
    before = read_clips(tmp_path)
    assert before == read_clips(tmp_path)
    assert before.notes[0].startswith("no validation split: about 20% of each class (")
    assert 10 <= len(before.split("validation")) <= 30
    assert not {*ids(before, "train")} & {*ids(before, "validation")}
    write(*range(50, 90))
    after = read_clips(tmp_path)
    assert {*ids(before, "train")} <= {*ids(after, "train")}
    assert {*ids(before, "validation")} <= {*ids(after, "validation")}


def test_a_small_class_gives_back_what_it_had_to_hold_out(tmp_path: Path) -> None:
    """The one exception to that, which the docs name."""
    touch(*(tmp_path / label / f"{k}.mp4" for label in "ab" for k in range(50)))
    touch(tmp_path / "c" / "1.mp4", tmp_path / "c" / "3.mp4")
    before = {*ids(read_clips(tmp_path), "validation")}
    touch(*(tmp_path / "c" / f"{k}.mp4" for k in range(50)))
    moved = before - {*ids(read_clips(tmp_path), "validation")}
    assert len(moved) == 1
    assert moved <= {"c/1.mp4", "c/3.mp4"}


def test_a_video_and_its_frames_stay_together(tmp_path: Path) -> None:
    """And so do two formats of one; the rest is held out clip by clip."""
    for label in "ab":
        for k in range(11):
            touch(tmp_path / label / f"{k}.mp4", tmp_path / label / str(k) / "00001.jpg")
        touch(tmp_path / label / "x.y.MP4", tmp_path / label / "x.y.avi", tmp_path / label / "x.z.avi")
        touch(tmp_path / label / "7.1" / "00001.jpg")
    clips = read_clips(tmp_path)
    sides = [{(clip.label, clip.path.name.removesuffix(".mp4")) for clip in of} for of in clips.splits.values()]
    assert not sides[0] & sides[1]
    groups = {clip.id: clip.group for of in clips.splits.values() for clip in of}
    assert groups["a/3.mp4"] == groups["a/3"] == "a/3"
    assert groups["b/x.y.MP4"] == groups["b/x.y.avi"] == "b/x.y"
    assert groups["a/x.z.avi"] == groups["a/7.1"] == ""
    assert re.match(
        r".* has 24 recordings more than once: a/0 and a/0\.mp4, a/1 and a/1\.mp4 and 22 more\. Each "
        r"counts as a clip, .* one side of a held-out split; move one kind away to read each recording once",
        clips.notes[0],
    )


def test_one_name_in_two_splits_is_no_recording(tmp_path: Path) -> None:
    touch(*(tmp_path / split / label / f"{k}.mp4" for split in ("train", "val") for label in "ab" for k in range(2)))
    clips = read_clips(tmp_path)
    assert {clip.group for of in clips.splits.values() for clip in of} == {""}


def test_names_that_are_not_utf8_are_held_out_too(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    touch(*(tmp_path / label / f"{k}{name}" for label in "ab" for k in range(2)))
    clips = read_clips(tmp_path)
    assert len(ids(clips, "train")) == len(ids(clips, "validation")) == 2


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_no_class_is_left_empty_on_one_side(tmp_path: Path, fraction: float) -> None:
    touch(*(tmp_path / label / f"{k}.mp4" for label in "ab" for k in range(2)), tmp_path / "c" / "only.gif")
    clips = read_clips(tmp_path, validation_fraction=fraction)
    assert sorted(clip.label for clip in clips.split("train")) == ["a", "b", "c"]
    assert sorted(clip.label for clip in clips.split("validation")) == ["a", "b"]


def test_clips_as_folders_of_frames(tmp_path: Path) -> None:
    for label in "ab":
        for k in (10, 2):
            write_frames(tmp_path / label / f"clip{k}", num_frames=1)
    touch(tmp_path / "a" / "readme.txt")
    touch(tmp_path / "a" / "mixed" / "1.jpg", tmp_path / "a" / "mixed" / "1.mp4")
    (tmp_path / "a" / "nothing").mkdir()
    (tmp_path / ".cache").mkdir()
    clips = read_clips(tmp_path)
    assert sorted([*ids(clips, "train"), *ids(clips, "validation")]) == ["a/clip10", "a/clip2", "b/clip10", "b/clip2"]
    assert re.search(r"folders without \.jpg frames, or with .*, left out: mixed, nothing", clips.notes[0])


def test_what_is_left_out_of_split_folders_is_said_too(tmp_path: Path) -> None:
    touch(*(tmp_path / split / label / f"{k}.mp4" for split in ("train", "val") for label in "ab" for k in range(2)))
    (tmp_path / "train" / "a" / "nothing").mkdir()
    touch(tmp_path / "val" / "b" / "1" / "00001.jpg")
    left_out, twins = read_clips(tmp_path).notes
    assert re.search(r"train/a holds folders without \.jpg frames, or .* left out: nothing$", left_out)
    assert re.match(r".*val has 1 recording more than once: b/1 and b/1\.mp4\. ", twins)


def test_a_picture_beside_videos_is_no_clip(tmp_path: Path) -> None:
    """A cover or a thumbnail neither hides the videos beside it nor the split folders around them."""
    for split in ("train", "val"):
        touch(*(tmp_path / split / label / name for label in "ab" for name in ("1.mp4", "cover.jpg")))
    clips = read_clips(tmp_path)
    assert clips.labels == ("a", "b")
    assert ids(clips, "validation") == ["val/a/1.mp4", "val/b/1.mp4"]
    assert [path.name for path in find_clips(tmp_path / "train" / "a")] == ["1.mp4"]


def test_links_to_folders_are_followed_where_they_lead_to_something_new(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "1.mp4")
    (tmp_path / "a" / "back").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "other").symlink_to(tmp_path / "a", target_is_directory=True)
    assert [path.relative_to(tmp_path).as_posix() for path in find_clips(tmp_path)] == ["a/1.mp4", "other/1.mp4"]


@pytest.mark.parametrize("clip", ["{}.mp4", "{}/00001.jpg"], ids=["videos", "frames"])
def test_a_class_may_be_called_train(tmp_path: Path, clip: str) -> None:
    touch(*(tmp_path / label / clip.format(k) for label in ("train", "test") for k in range(2)))
    touch(tmp_path / "train" / "9.mp4")
    assert read_clips(tmp_path).labels == ("test", "train")


@pytest.mark.parametrize("clip", ["{}.mp4", "{}/00001.jpg"], ids=["videos", "frames"])
def test_stray_clips_do_not_make_classes_of_splits(tmp_path: Path, clip: str) -> None:
    touch(*(tmp_path / split / label / clip.format(k) for split in ("train", "val") for label in "ab" for k in (0, 1)))
    touch(*(tmp_path / split / f"stray{k}.mp4" for split in ("train", "val") for k in (0, 1)))
    with pytest.raises(DataError, match=r"train holds 2 clips directly \(stray0\.mp4, stray1\.mp4\)\. Put clips into"):
        read_clips(tmp_path)
    for k in (0, 1):
        (tmp_path / "train" / f"stray{k}.mp4").unlink()
    with pytest.raises(DataError, match=r"val holds 2 clips directly"):
        read_clips(tmp_path)


def write_split_csv(root: Path, *lines: str, header: str = "path,label,split,note") -> Path:
    (root / "split.csv").write_text("\n".join((header, *lines)) + "\n")
    touch(*(root / line.split(",")[0] for line in lines if not line.startswith((",", "gone"))))
    return root


def test_split_csv(tmp_path: Path) -> None:
    write_split_csv(tmp_path, "x/1.mp4,b,train,?", "x/2.mp4,a,train,?", "x/3.mp4,a,val,?", "y/4.mp4,b,test,?")
    clips = read_clips(tmp_path)
    assert clips.labels == ("a", "b")
    assert {name: [clip.id for clip in of] for name, of in clips.splits.items()} == {
        "train": ["x/1.mp4", "x/2.mp4"],
        "validation": ["x/3.mp4"],
        "test": ["y/4.mp4"],
    }


def test_split_csv_names_clips_that_are_not_on_disk(tmp_path: Path) -> None:
    write_split_csv(tmp_path, "1.mp4,b,train", "2.mp4,a,train", "3.mp4,a,val", "gone.mp4,b,val")
    with pytest.raises(DataError, match=r"split\.csv names 1 of 4 clips that are not on disk: gone\.mp4\. Unpack"):
        read_clips(tmp_path)
    assert ids(read_clips(tmp_path, missing="skip"), "validation") == ["3.mp4"]


SPLIT_CSV_ERRORS = {
    "a.mp4,a,training,\nb.mp4,b,holdout,": r"split\.csv:3: the split 'holdout' is not one of: train, training, val,",
    "a.mp4,a,train,\n,b,train,": r"split\.csv:3: path and label must not be empty; got path='', label='b'",
    "a.mp4,a,train,\na.mp4,b,val,": r"split\.csv:3: clip a\.mp4 is listed already, at .*split\.csv:2; remove one line",
    "a.mp4,a,val,": r"has no training clip; its splits are: validation",
}


@pytest.mark.parametrize("content", SPLIT_CSV_ERRORS)
def test_a_wrong_line_of_split_csv(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match=SPLIT_CSV_ERRORS[content]):
        read_clips(write_split_csv(tmp_path, *content.split("\n")))


def test_a_column_of_split_csv_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"split\.csv:1: the column 'split' is missing; .*\(it is 'path,label'\)"):
        read_clips(write_split_csv(tmp_path, "a.mp4,a", header="path,label"))


def _one_class_without_clips(root: Path) -> None:
    touch(root / "a" / "1.mp4", root / "b" / "notes.txt")


def _one_class(root: Path) -> None:
    touch(root / "a" / "1.mp4", root / "a" / "2.mp4")


def _loose(root: Path) -> None:
    touch(root / "1.mp4", root / "2.mp4")


def _class_only_in_validation(root: Path) -> None:
    touch(*(root / "train" / label / "1.mp4" for label in "ab"), root / "val" / "c" / "1.mp4")


def _unknown(root: Path) -> None:
    touch(root / "notes.txt", root / "deep" / "er" / "still" / "1.mp4")


def _two_validations(root: Path) -> None:
    touch(*(root / split / "a" / "1.mp4" for split in ("train", "val", "valid")))


def _split_and_other(root: Path) -> None:
    touch(*(root / split / "a" / "1.mp4" for split in ("train", "val", "extra")))


LAYOUT_ERRORS: dict[Callable[[Path], None], str] = {
    lambda root: None: r"is empty; there is no clip in it\.\nThe layouts are:\n  something-something-v1",
    _one_class_without_clips: r"the class folder .*b holds no clips; a clip is a video file \(\.mp4 .*\) or a folder",
    _one_class: r"has 1 class \(a\); at least 2 are needed",
    _loose: r"holds 2 clips directly \(1\.mp4, 2\.mp4\)\. Put clips into class folders, .*/<class>/1\.mp4, or list",
    _class_only_in_validation: r"the validation split has classes that training lacks: c\. Add training clips",
    _unknown: r"has no layout known here\. Looked for .*; found deep, notes\.txt\.\nThe layouts are:(\n.*){3}",
    _two_validations: r"val and .*valid are both the validation split; merge them",
    _split_and_other: r"holds split folders \(train, val\) and others: extra\. Move the others away",
}


@pytest.mark.parametrize("write", LAYOUT_ERRORS)
def test_a_layout_that_cannot_be_used(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    with pytest.raises(DataError, match=LAYOUT_ERRORS[write]):
        read_clips(tmp_path)

"""Lists as people write them: other marks between the columns, other names, empty ones, and contradictions."""

from __future__ import annotations

from pathlib import Path

import pytest
from clip_files import write_video
from layouts import write_images, write_text

from m2a.data import read_clips
from m2a.data.reversal import reversal_map
from m2a.errors import ConfigError, DataError


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Clips in folders that are not their classes, and room for lists."""
    for name in ("part1/a", "part1/b", "part1/c", "part2/d", "part2/e", "part2/f"):
        write_video(tmp_path / f"{name}.mp4", num_frames=3, width=32, height=24)
    return tmp_path


def write_lists(root: Path, mark: str = " ") -> None:
    write_text(root / "train.txt", *(f"part1/{name}.mp4{mark}{k}" for k, name in enumerate("abc")))
    write_text(root / "val.txt", *(f"part2/{name}.mp4{mark}{k}" for k, name in enumerate("def")))


@pytest.mark.parametrize("mark", [" ", "\t", ",", ";", "::", ", "])
def test_marks_between_path_and_class_number(parts: Path, mark: str) -> None:
    write_lists(parts, mark)
    clips = read_clips(parts)
    assert clips.format == "mmaction2"
    assert clips.labels == ("0", "1", "2")
    assert {split: len(clips.split(split)) for split in clips.splits} == {"train": 3, "validation": 3}


@pytest.mark.parametrize("name", ["train.txt", "my-train.csv"])
def test_a_training_list_of_no_known_kind_is_not_passed_over(parts: Path, name: str) -> None:
    """Or the folders would become the classes."""
    write_text(parts / name, "part1/a.mp4|open", "part2/d.mp4|close")
    with pytest.raises(DataError, match=rf"{name} is called after a list of training clips.*--format class-folders"):
        read_clips(parts)
    clips = read_clips(parts, format="class-folders")
    assert clips.labels == ("part1", "part2")
    assert any(name in note for note in clips.notes)


@pytest.mark.parametrize("name", ["train.json", "train_log.txt", "train-results.csv", "training.txt"])
def test_other_files_called_after_training_do_no_harm(parts: Path, name: str) -> None:
    write_text(parts / name, "epoch,loss", "1,2.3")
    assert read_clips(parts).labels == ("part1", "part2")


def test_lists_beside_folders_of_splits_do_no_harm(tmp_path: Path) -> None:
    """As a set on Kaggle has them: the folders say all."""
    for split in ("train", "val"):
        for label in ("open", "close"):
            write_video(tmp_path / split / label / f"{label}{split}.mp4", num_frames=3, width=32, height=24)
        write_text(tmp_path / f"{split}.csv", "clip_name,clip_path,label", f"a,{split}/open/open{split}.mp4,open")
    assert read_clips(tmp_path).labels == ("close", "open")


@pytest.mark.parametrize(
    ("train", "other"),
    [
        ("train.txt", "val_list.txt"),
        ("train.csv", "val_new.csv"),
    ],
)
def test_a_validation_list_of_another_name_is_not_passed_over(parts: Path, train: str, other: str) -> None:
    mark = " " if train.endswith("txt") else ","
    write_text(parts / train, *(f"part1/{name}.mp4{mark}{k}" for k, name in enumerate("abc")))
    write_text(parts / other, *(f"part2/{name}.mp4{mark}{k}" for k, name in enumerate("def")))
    with pytest.raises(
        DataError, match=rf"{other} is a list of clips called after the validation split, but not as {train} is"
    ):
        read_clips(parts)


def test_a_file_of_classes_called_after_validation_does_no_harm(parts: Path) -> None:
    lines = [f"part{k}/{name}.mp4 {k - 1}" for k, names in ((1, "abc"), (2, "def")) for name in names]
    write_text(parts / "train.txt", *lines)
    write_text(parts / "valid_classes.txt", "Push up", "Walk")
    assert len(read_clips(parts).split("train")) > 2


def test_an_empty_validation_list_is_not_passed_over(parts: Path) -> None:
    write_text(parts / "train.txt", *(f"part1/{name}.mp4 {k}" for k, name in enumerate("abc")))
    (parts / "val.txt").touch()
    with pytest.raises(DataError, match=r"val\.txt is empty\. Name the clips to validate on, or remove it"):
        read_clips(parts)


def test_a_few_short_recordings_do_not_decide_how_a_window_is_read(tmp_path: Path) -> None:
    for k in range(8):
        write_images(tmp_path / f"r{k}", 42 if k == 3 else 60)
    lines = [f"r{k} 5 40 {k % 2}" for k in range(8)]
    write_text(tmp_path / "train.txt", *lines)
    write_text(tmp_path / "val.txt", "r0 50 8 0")
    with pytest.raises(ConfigError, match=r"may be read as .* Choose with --format"):
        read_clips(tmp_path)
    write_text(tmp_path / "train.txt", *(f"r{k} 25 40 {k % 2}" for k in range(8)))  # 25 + 40 is beyond the 60 there are
    write_text(tmp_path / "val.txt", "r0 17 19 0")
    assert read_clips(tmp_path).format == "ibm"


@pytest.mark.parametrize(
    "lines",
    [
        ("0 open", "1 close", "2 hold"),
        ("2 hold", "0 open", "1 close"),
        ("0,open", "1, close", "2 ,hold"),
        ("0: open", "1: close", "2: hold"),
        ("hold 2", "open 0", "close 1"),
        ("hold 3", "open 1", "close 2"),
        ("open,1", "close,2", "hold,3"),
        ("open", "close", "hold"),
    ],
)
def test_names_of_classes(parts: Path, lines: tuple[str, ...]) -> None:
    write_lists(parts)
    write_text(parts / "labels.txt", *lines)
    assert read_clips(parts).labels == ("open", "close", "hold")


def test_names_that_end_in_numbers_are_whole(parts: Path) -> None:
    write_lists(parts)
    for names in (
        ("gesture 0", "gesture 1", "gesture 2"),
        ("jump 1", "hop 2", "run 3"),
        ("1 finger", "2 fingers", "fist"),
    ):
        write_text(parts / "labels.txt", *names)
        assert read_clips(parts).labels == names


def test_a_header_of_the_names_is_refused(parts: Path) -> None:
    write_lists(parts)
    write_text(parts / "labels.txt", "id name", "0 open", "1 close", "2 hold")
    with pytest.raises(DataError, match=r"labels\.txt:1: 'id name' has no class number in front"):
        read_clips(parts)


def test_a_column_and_a_name_that_tell_other_splits(parts: Path) -> None:
    write_text(parts / "train.csv", "path,label,split", "part1/a.mp4,x,train", "part1/b.mp4,y,train")
    write_text(parts / "val.csv", "path,label,split", "part2/d.mp4,x,validation", "part2/e.mp4,y,train")
    with pytest.raises(DataError, match=r"val\.csv:3: the split is 'train', and the file's name says validation"):
        read_clips(parts)
    write_text(parts / "val.csv", "path,label,split", "part2/d.mp4,x,val", "part2/e.mp4,y,validation")
    assert len(read_clips(parts).split("validation")) == 2
    write_text(
        parts / "train.csv", "path,label,split", "part1/a.mp4,x,train", "part1/b.mp4,y,train", "part1/c.mp4,x,val"
    )
    assert len(read_clips(parts).split("validation")) == 3  # of the training list some may be held out


def test_tables_whose_clips_are_in_a_folder_below(tmp_path: Path) -> None:
    """In one for both splits, and in one a split where clips have the same names."""
    for root, folders in ((tmp_path / "one", ("clips", "clips")), (tmp_path / "two", ("train", "validation"))):
        for split, folder, names in (("train", folders[0], "abc"), ("validation", folders[1], "abc")):
            mine = [name + (split[0] if folders[0] == folders[1] else "") for name in names]
            for name in mine:
                write_video(root / folder / f"{name}.mp4", num_frames=3, width=32, height=24)
            write_text(root / f"{split}.csv", "path,label", *(f"{name}.mp4,{k % 2}" for k, name in enumerate(mine)))
        clips = read_clips(root)
        assert clips.format == "csv"
        found = [clip for split in ("train", "validation") for clip in clips.split(split)]
        assert len(found) == 6
        assert all(clip.path == root / clip.id and clip.path.is_file() for clip in found)


def test_the_order_of_numbers_that_are_written_in_several_ways(parts: Path) -> None:
    names = ["part1/a", "part1/b", "part1/c", "part2/d"]
    rows = [f"{name}.mp4,{label},train" for name, label in zip(names, ["1", "01", "2", "10"], strict=True)]
    write_text(parts / "clips.csv", "path,label,split", *rows, "part2/e.mp4,1,validation")
    assert read_clips(parts / "clips.csv").labels == ("01", "1", "2", "10")


def test_things_whose_names_begin_as_a_push_are_none() -> None:
    for thing in ("dragon", "pullover", "shovel", "pulley"):
        assert reversal_map([f"moving the {thing} up", f"moving the {thing} down"]) == (1, 0)


@pytest.mark.parametrize("ways", ["up down", "forward backward", "in out"])
@pytest.mark.parametrize("verb", ["pushing", "pulling"])
def test_a_push_played_backwards_is_no_push(verb: str, ways: str) -> None:
    one, other = ways.split()
    assert reversal_map([f"{verb} the box {one}", f"{verb} the box {other}"]) == (None, None)

from __future__ import annotations

import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from clip_files import FRAMES, SSV1, touch, write_ssv1
from clip_files import ids_of as ids

from m2a.data import read_clips
from m2a.errors import ConfigError, DataError, NotFoundError


def test_something_something(tmp_path: Path) -> None:
    clips = read_clips(write_ssv1(tmp_path))
    assert clips.format == "something-something-v1"
    assert clips.labels == ("Moving something up", "Holding something", "Moving something down")  # the file's order
    assert ids(clips, "train") == ["1", "2", "30"]
    assert clips.split("train")[0].label == "Holding something"
    assert clips.split("validation")[0].path == tmp_path / FRAMES / "4"
    assert clips.notes == ()
    assert pickle.loads(pickle.dumps(clips)) == clips
    assert read_clips(tmp_path / FRAMES) == clips  # the frames' folder will do
    with pytest.raises(DataError, match=r"has no 'test' split; choose one of: train, validation"):
        clips.split("test")


def test_labels_without_training_clips_are_noted(tmp_path: Path) -> None:
    clips = read_clips(write_ssv1(tmp_path, train=["1;Holding something"]))
    assert clips.notes == ("2 of 3 labels have no training clip: Moving something up, Moving something down",)


@pytest.mark.parametrize("name", ["labels", "train", "validation"])
def test_a_list_is_missing(tmp_path: Path, name: str) -> None:
    (write_ssv1(tmp_path) / f"{SSV1}-{name}.csv").unlink()
    with pytest.raises(NotFoundError, match=rf"{SSV1}-{name}\.csv is missing: .* Copy it there from"):
        read_clips(tmp_path)


def test_the_frames_are_missing(tmp_path: Path) -> None:
    shutil.rmtree(write_ssv1(tmp_path) / FRAMES)
    with pytest.raises(NotFoundError, match=rf"{FRAMES} is missing: .* Unpack the data set's archive in"):
        read_clips(tmp_path)


def test_clips_that_are_not_on_disk(tmp_path: Path) -> None:
    train = [f"{k};Holding something" for k in range(1, 10)]
    write_ssv1(tmp_path, train=train, validation=["20;Holding something"], absent=[str(k) for k in range(2, 9)])
    what = rf"{SSV1}-train\.csv names 7 of 9 clips that are not on disk: 2, 3, 4, 5, 6 and 2 more"
    with pytest.raises(DataError, match=what + r'\. Unpack the rest .* leave these clips out with missing="skip"'):
        read_clips(tmp_path)
    clips = read_clips(tmp_path, missing="skip")
    assert ids(clips, "train") == ["1", "9"]
    assert re.search(what + "; they are left out", clips.notes[0])


def test_no_clip_on_disk_at_all(tmp_path: Path) -> None:
    write_ssv1(tmp_path, validation=["4;Holding something"], absent=["4"])
    with pytest.raises(DataError, match=r"no validation clip is left; at least one is needed"):
        read_clips(tmp_path, missing="skip")


LIST_ERRORS = {
    "label": (
        ["1;Holding something", "2;Moving somethin up"],
        rf"train\.csv:2: the label 'Moving somethin up' is not among the 3 of {SSV1}-labels\.csv "
        r"\(nearest: 'Moving something up'\)\. Correct the line, or add the label at the end of",
    ),
    "semicolon": (["", "1,Holding something"], r"train\.csv:2: expected `id;label`, .*; got '1,Holding something'"),
    "no id": ([";Holding something"], r"train\.csv:1: expected `id;label`"),
    "twice": (
        ["1;Holding something", "1;Moving something up"],
        r"train\.csv:2: clip 1 is listed already, at .*train\.csv:1; remove one line",
    ),
}


@pytest.mark.parametrize("kind", LIST_ERRORS)
def test_a_wrong_line_is_named(tmp_path: Path, kind: str) -> None:
    lines, message = LIST_ERRORS[kind]
    write_ssv1(tmp_path, train=lines)
    with pytest.raises(DataError, match=message):
        read_clips(tmp_path)


def test_a_clip_in_both_splits(tmp_path: Path) -> None:
    write_ssv1(tmp_path, validation=["1;Holding something"])
    with pytest.raises(DataError, match=r"validation\.csv:1: clip 1 is listed already, at .*train\.csv:1"):
        read_clips(tmp_path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "b", "a"], r"labels\.csv:3: the label 'a' is there twice"),
        (["a"], r"labels\.csv holds 1 labels; at least 2 are needed, one a line"),
    ],
)
def test_a_wrong_list_of_labels(tmp_path: Path, labels: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_clips(write_ssv1(tmp_path, labels=labels))


def test_a_list_that_is_not_utf8(tmp_path: Path) -> None:
    (write_ssv1(tmp_path) / f"{SSV1}-labels.csv").write_bytes(b"caf\xe9\nb\n")
    with pytest.raises(DataError, match=r"labels\.csv is not UTF-8 text \(byte 3\); save it as UTF-8"):
        read_clips(tmp_path)


def test_arguments(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="does not exist; give the folder that holds the data set"):
        read_clips(tmp_path / "nowhere")
    touch(tmp_path / "file")
    with pytest.raises(DataError, match="is a file, and not a list of clips that is known here; give such a list, or"):
        read_clips(tmp_path / "file")
    with pytest.raises(DataError, match="is a file; give the folder that holds the data set"):
        read_clips(tmp_path / "file", format="jester")
    with pytest.raises(
        ConfigError, match=r"format='ssv1' is not one of: auto, something-something-v1, .*, class-folders"
    ):
        read_clips(tmp_path, format="ssv1")
    with pytest.raises(ConfigError, match=r"missing='ignore' is not one of: error, skip"):
        read_clips(tmp_path, missing="ignore")
    with pytest.raises(
        ConfigError, match=r"validation_fraction is 20\.0; it must lie between 0 and 1, for example 0\.2"
    ):
        read_clips(tmp_path, format="class-folders", validation_fraction=20.0)


def test_lists_labels_and_sampling_do_not_import_torch() -> None:
    code = (
        "import sys; from m2a.data import flip_map, read_clips, segment_indices, ClipSet; "
        "assert 'torch' not in sys.modules; assert 'read_clips' in dir(sys.modules['m2a.data'])"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

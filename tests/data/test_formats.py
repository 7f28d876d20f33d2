"""Data sets read as they are: which layout it is, what is in it, one step of training from each, and faults."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import get_args

import layouts
import pytest
from clip_files import frames_of, touch, write_frames, write_video
from layouts import LAYOUTS, Written, write_clips, write_images, write_text
from rich.console import Console

from m2a.data import open_clip, read_clip, read_clips
from m2a.data.annotations import FORMATS, read_to_look_at
from m2a.errors import ConfigError, DataError, M2AError, NotFoundError, UnreadableClipError
from m2a.training import FitResult, TrainConfig, fit
from m2a.training.config import DataFormat
from m2a.workflows.run import train

TRAINED = ("something_something_v2", "jester", "kinetics", "kinetics_list", "ucf101", "hmdb51", "tsn",
           "mmaction2_videos", "mmaction2_rawframes", "ibm", "csv")  # fmt: skip


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Written]]:
    found = {}
    for name, write in LAYOUTS.items():
        root = tmp_path_factory.mktemp(name)
        found[name] = (root, write(root))
    return found


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_recognised_and_read(name: str, written: dict[str, tuple[Path, Written]]) -> None:
    root, expected = written[name]
    clips = read_clips(root / expected.data)
    assert clips.format == expected.format
    assert clips.labels == expected.labels
    assert list(clips.splits) == ["train", "validation"]
    for split, members in (("train", expected.train), ("validation", expected.validation)):
        assert sorted((clip.path.resolve(), clip.label) for clip in clips.split(split)) == sorted(
            ((root / path).resolve(), label) for path, label, _ in members
        )
        lengths = {(clip.path, clip.label): open_clip(clip.path, window=clip.window) for clip in clips.split(split)}
        assert sorted(reader.num_frames for reader in lengths.values()) == sorted(n for _, _, n in members)
    notes = "\n".join(clips.notes)
    assert all(note in notes for note in expected.notes), notes
    assert read_clips(root / expected.data, format=expected.format) == clips


def test_every_format_is_tried(written: dict[str, tuple[Path, Written]]) -> None:
    names = [layout.name for layout in FORMATS]
    assert {expected.format for _, expected in written.values()} == {*names} - {"class-folders", "shards"}
    assert get_args(DataFormat) == ("auto", *names)  # the flag takes what the table has


def test_every_format_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "data-sets.md").read_text(encoding="utf-8")
    layouts_table = page.partition("## Layouts")[2].partition("\n\n")[2].partition("\n\n")[0]
    rows = {line.split("|")[1].strip() for line in layouts_table.splitlines() if line.startswith("| `")}
    assert rows - {"`--format`"} == {f"`{layout.name}`" for layout in FORMATS}


def one_step(data: Path, out: Path) -> FitResult:
    config = TrainConfig(
        data=data, out=out, backbone="resnet10t", reduction=2, pretrained="none",
        backbone_options={"channels": [8, 8, 16, 16]}, num_frames=2, size=32, epochs=1, batch_size=8, accumulate=1,
        optimizer="adamw", lr=1e-3, schedule="constant", workers=0, device="cpu",
    )  # fmt: skip
    return fit(config, read_clips(config.data), console=Console(file=io.StringIO()))


@pytest.mark.parametrize("name", TRAINED)
def test_a_layout_trains(name: str, written: dict[str, tuple[Path, Written]], tmp_path: Path) -> None:
    root, expected = written[name]
    result = one_step(root / expected.data, tmp_path / "run")
    assert result.model.labels == expected.labels
    assert not result.skipped


def test_every_kind_of_file_trains_in_one_batch(tmp_path: Path) -> None:
    """Codecs, containers, sizes and a phone's rotation, side by side."""
    kinds = {
        "h264.mp4": "libx264",
        "hevc.mov": "libx265",
        "vp9.webm": "libvpx-vp9",
        "mpeg4.avi": "mpeg4",
        "a.gif": "gif",
    }
    for number, (name, codec) in enumerate(kinds.items()):
        write_video(
            tmp_path / "clips" / "train" / "move" / name, codec=codec, width=64 + 2 * number, num_frames=3 + number
        )
    write_video(tmp_path / "clips" / "train" / "hold" / "phone.mp4", rotation=90, num_frames=5)
    write_frames(tmp_path / "clips" / "train" / "hold" / "frames", num_frames=7)
    write_video(tmp_path / "clips" / "val" / "hold" / "1.mp4", num_frames=2)
    result = one_step(tmp_path / "clips", tmp_path / "run")
    assert result.model.labels == ("hold", "move")
    assert not result.skipped


def test_a_whole_run_on_windows(written: dict[str, tuple[Path, Written]], tmp_path: Path) -> None:
    """Evaluation and the film strips of the report too."""
    config = TrainConfig(
        data=written["ibm"][0], out=tmp_path / "run", backbone="resnet10t", reduction=2, pretrained="none",
        backbone_options={"channels": [8, 8, 16, 16]}, num_frames=2, size=32, epochs=1, batch_size=4, workers=0,
        device="cpu",
    )  # fmt: skip
    result = train(config, console=Console(file=io.StringIO()))
    assert [clip.window for clip in result.evaluation.clips] == [(18, 11)]


def test_frames_are_not_flow(tmp_path: Path) -> None:
    clips = read_clips(_written(tmp_path, "tsn"))
    assert frames_of(read_clip(clips.split("train")[0].path, lambda total: range(total))) == [0, 1, 2, 3, 4]
    write_images(tmp_path / "flow", 2, name="flow_x_{:05d}.jpg")
    with pytest.raises(UnreadableClipError, match=r"there is no \.jpg file in the folder, only optical flow"):
        open_clip(tmp_path / "flow")


@pytest.mark.parametrize("kind", ["frames", "video"])
def test_a_window(tmp_path: Path, kind: str) -> None:
    path = write_frames(tmp_path / "f", num_frames=13) if kind == "frames" else write_video(tmp_path / "v.mp4")
    asked: list[int] = []

    def sample(total: int) -> list[int]:
        asked.append(total)
        return [0, 2, 4]

    assert frames_of(read_clip(path, sample, window=(7, 5))) == [7, 9, 11]
    assert asked == [5]
    with open_clip(path, window=(7, 5)) as clip, pytest.raises(DataError, match="each from 0 to 4"):
        clip.read([5])
    with pytest.raises(UnreadableClipError, match=r"its window ends at frame 24, but there are (13|20) frames"):
        open_clip(path, window=(11, 13))
    with pytest.raises(DataError, match=r"needs a first frame from 0 and at least 1 frame"):
        open_clip(path, window=(-1, 3))


def test_windows_of_lists(tmp_path: Path, written: dict[str, tuple[Path, Written]]) -> None:
    for name in ("mmaction2_rawframes", "ibm"):
        clips = read_clips(written[name][0])
        first = [
            frames_of(read_clip(c.path, lambda total: [0, total - 1], window=c.window)) for c in clips.split("train")
        ]
        expected = [[3, 7], [11, 17], [0, 2]] if name == "mmaction2_rawframes" else [[2, 6], [10, 16], [0, 2]]
        assert first == expected


def test_groups(written: dict[str, tuple[Path, Written]]) -> None:
    ucf, hmdb = read_clips(written["ucf101"][0]), read_clips(written["hmdb51"][0])
    assert [clip.group for clip in ucf.split("train")] == [
        "YoYo/g07", "Archery/g13", "HandstandPushups/g07", "YoYo/g07"
    ]  # fmt: skip
    assert [clip.group for clip in hmdb.split("validation")] == ["a#b&c_brush_hair_f", "Climb+it_climb"]


def test_another_official_split(written: dict[str, tuple[Path, Written]]) -> None:
    clips = read_clips(written["ucf101"][0], split=3)
    assert [clip.label for clip in clips.split("train")] == ["Archery", "YoYo", "HandstandPushups"]
    assert [clip.label for clip in clips.split("validation")] == ["YoYo", "Archery"]
    with pytest.raises(NotFoundError, match=r"trainlist02\.txt is missing; there are: trainlist01\.txt, trainlist03"):
        read_clips(written["ucf101"][0], split=2)
    with pytest.raises(NotFoundError, match=r"no split 2 of hmdb51; choose one of: 1"):
        read_clips(written["hmdb51"][0], split=2)
    with pytest.raises(ConfigError, match=r"split=7 is not one of: 1, 2, 3"):
        read_clips(written["ucf101"][0], split=7)
    with pytest.raises(ConfigError, match=r"split=2: a jester set has no numbered splits"):
        read_clips(written["jester"][0], split=2)


def test_groups_are_held_out_whole(tmp_path: Path) -> None:
    names = [f"{label}/v_{label}_g{g:02d}_c{c:02d}.avi" for label in "ab" for g in range(1, 8) for c in range(1, 4)]
    touch(*(tmp_path / name for name in names))
    clips = read_clips(tmp_path)
    sides = {split: {clip.group for clip in clips.split(split)} for split in clips.splits}
    assert not sides["train"] & sides["validation"]
    assert sides["train"] | sides["validation"] == {f"{label}/g{g:02d}" for label in "ab" for g in range(1, 8)}
    assert re.search(r"held out of training, in whole groups, chosen by their names", clips.notes[0])


def test_subjects_are_held_out_whole_across_classes(tmp_path: Path) -> None:
    rows = [f"{s}{c}.mp4,{c},subject {s}" for s in range(7) for c in "abc"]
    touch(*(tmp_path / row.split(",")[0] for row in rows))
    write_text(tmp_path / "clips.csv", "path,label,group", *rows)
    clips = read_clips(tmp_path, validation_fraction=0.001)
    assert len({clip.group for clip in clips.split("validation")}) == 1
    assert len(clips.split("validation")) == 3
    write_text(tmp_path / "clips.csv", "path,label,group", *(row[:-1] + "1" for row in rows))
    with pytest.raises(DataError, match=r"none can be held out: each class would lose all its clips or groups"):
        read_clips(tmp_path)


def test_a_group_on_both_sides_is_noted(tmp_path: Path) -> None:
    touch(*(tmp_path / f"{k}.mp4" for k in range(4)))
    rows = ("0.mp4,a,train,ann", "1.mp4,b,train,bob", "2.mp4,a,val,ann", "3.mp4,b,val,eve")
    write_text(tmp_path / "split.csv", "path,label,split,group", *rows)
    (note,) = read_clips(tmp_path).notes
    assert note.startswith("groups on both sides of the split: training shares 1 with validation (ann).")


def test_a_list_alone_is_held_out(tmp_path: Path) -> None:
    (_written(tmp_path, "tsn") / "val_videofolder.txt").unlink()
    write_text(tmp_path / "train_videofolder.txt", "v 1 5 1", "v2 7 0", "v3 11 0", "v4 13 1")
    clips = read_clips(tmp_path / "train_videofolder.txt")
    assert sorted(clip.label for clip in clips.split("validation")) == ["jump", "wave"]
    assert any("no validation split" in note for note in clips.notes)
    assert "1 of 3 labels have no training clip: air guitar" in clips.notes


def test_lists_in_a_folder_of_their_own(tmp_path: Path) -> None:
    _written(tmp_path, "csv_pair")
    _written(tmp_path / "other", "tsn")
    for root, pattern in ((tmp_path, "*.csv"), (tmp_path / "other", "*.txt")):
        before = read_clips(root)
        for path in list(root.glob(pattern)):
            (root / "annotations").mkdir(exist_ok=True)
            path.rename(root / "annotations" / path.name)
        assert read_clips(root) == before
        (given,) = (root / "annotations").glob("train*")
        assert read_clips(given).splits == before.splits


def test_the_disk_wins_over_declared_lengths(tmp_path: Path) -> None:
    layouts.tsn(tmp_path, wrong=2)
    clips = read_clips(tmp_path)
    what = "5 of 5 folders looked at hold another number of frames than listed, first v 1 (7 listed, 5 there)"
    assert any(note.startswith(what) for note in clips.notes)
    assert clips.split("train")[0].window is None


def test_missing_files(tmp_path: Path) -> None:
    for name, gone in (("something_something_v2", "7.webm"), ("kinetics", "aB-7_000003_000013.mp4"), ("csv", "2.avi")):
        root = _written(tmp_path / name, name)
        next(root.rglob(gone)).unlink()
        with pytest.raises(DataError, match=r"names 1 of \d clips that are not on disk: .*\. Unpack the rest"):
            read_clips(root)
        clips = read_clips(root, missing="skip")
        assert any("they are left out" in note for note in clips.notes)
        assert gone not in [clip.path.name for clip in clips.split("train")]


@pytest.mark.parametrize(
    ("name", "file", "lines"),
    [
        ("tsn", "test_videofolder.txt", ("gone1 5 0", "gone2 7 1")),
        ("kinetics", "test.csv", ("label,youtube_id,time_start,time_end,split", "zumba,gone,5,15,test")),
        ("csv_pair", "test.csv", ("path,label", "gone.mp4,3")),
    ],
)
def test_a_test_list_of_which_no_clip_is_there(tmp_path: Path, name: str, file: str, lines: tuple[str, ...]) -> None:
    write_text(_written(tmp_path, name) / file, *lines)
    with pytest.raises(DataError, match=rf"{file} names \d of \d clips that are not on disk: gone"):
        read_clips(tmp_path)
    clips = read_clips(tmp_path, missing="skip")
    assert set(clips.splits) == {"train", "validation"}
    assert any(re.search(rf"{file} names .* they are left out", note) for note in clips.notes)


def test_ambiguous_layouts_are_refused(tmp_path: Path) -> None:
    _written(tmp_path, "jester")
    write_text(tmp_path / "train_videofolder.txt", "103 5 2", "7 7 0", "29 11 2")
    what = r"may be read in 2 ways: jester \(jester-v1-\*\.csv\), tsn \(train_videofolder\.txt\)\. Choose with --format"
    with pytest.raises(DataError, match=what + r" jester or --format tsn"):
        read_clips(tmp_path)
    assert read_clips(tmp_path, format="jester").format == "jester"
    write_text(tmp_path / "labels.txt", "a", "b", "c")
    assert read_clips(tmp_path, format="tsn").labels == ("a", "b", "c")


@pytest.mark.parametrize("header", [["path,label"], []])
def test_labels_of_a_table_may_end_in_numbers(tmp_path: Path, header: list[str]) -> None:
    touch(*(tmp_path / f"{k}.mp4" for k in range(8)))
    for split, numbers in (("train", range(6)), ("val", range(6, 8))):
        write_text(tmp_path / f"{split}.csv", *header, *(f"{k}.mp4,gesture {k % 2}" for k in numbers))
    for root in (tmp_path, tmp_path / "train.csv"):
        clips = read_clips(root)
        assert (clips.format, clips.labels) == ("csv", ("gesture 0", "gesture 1"))


def test_a_table_without_splits_does_not_override_split_folders(tmp_path: Path) -> None:
    """Else validation clips would be trained on."""
    names = [f"{split}/{label}/{k}.mp4" for split in ("train", "val") for label in "ab" for k in range(4)]
    touch(*(tmp_path / name for name in names))
    write_text(tmp_path / "about.csv", "path,label,seconds", *(f"{name},{name.split('/')[1]},2" for name in names))
    what = (
        r"may be read in 2 ways: csv \(about\.csv, which tells no splits\), class-folders \(train/, val/\)\. "
        r"Choose with --format csv or --format class-folders"
    )
    with pytest.raises(DataError, match=what):
        read_clips(tmp_path)
    of_folders = read_clips(tmp_path, format="class-folders")
    assert {clip.id.split("/")[0] for clip in of_folders.split("train")} == {"train"}
    for asked in (read_clips(tmp_path, format="csv"), read_clips(tmp_path / "about.csv")):
        assert sum(map(len, asked.splits.values())) == 16
    rows = (f"{name},{name.split('/')[1]},{name.split('/')[0]}" for name in names)
    write_text(tmp_path / "about.csv", "path,label,split", *rows)
    assert read_clips(tmp_path).splits["validation"][0].id == "val/a/0.mp4"


def test_a_class_of_a_table_that_nothing_is_trained_on(tmp_path: Path) -> None:
    touch(*(tmp_path / f"{k}.mp4" for k in range(4)))
    write_text(tmp_path / "clips.csv", "path,label,split", "0.mp4,a,train", "1.mp4,b,train", "2.mp4,c,val")
    with pytest.raises(DataError, match=r"the validation split has classes that training lacks: c\. Add training"):
        read_clips(tmp_path)


@pytest.mark.parametrize("first", [0, 1])
def test_names_go_by_their_numbers(tmp_path: Path, first: int) -> None:
    """Also where the file of names is sorted as text: 0, 1, 10, 11, 2."""
    touch(*(tmp_path / f"{k}.mp4" for k in range(24)))
    write_text(tmp_path / "train.txt", *(f"{k}.mp4 {k % 12}" for k in range(12)))
    write_text(tmp_path / "val.txt", *(f"{k}.mp4 {k % 12}" for k in range(12, 24)))
    write_text(tmp_path / "labels.txt", *sorted(f"{k + first} name {k}" for k in range(12)))
    assert read_clips(tmp_path).labels == tuple(f"name {k}" for k in range(12))
    for wrong, odd in (("13 name 11", "10, 13"), ("3 name 11", "3, 3")):
        write_text(tmp_path / "labels.txt", *(f"{k} name {k}" for k in range(11)), wrong)
        with pytest.raises(DataError, match=rf"labels\.txt: each line begins with .* \(look at {odd}\)\. Correct"):
            read_clips(tmp_path)


def test_names_from_1_beside_lists_without_a_0(tmp_path: Path) -> None:
    """As those of some of UCF101's classes are, whether their lists count from 0 or from 1."""
    touch(*(tmp_path / f"{k}.mp4" for k in range(6)))
    write_text(tmp_path / "classInd.txt", *(f"{k} {name}" for k, name in enumerate("ABCD", start=1)))

    def labels_of_clips(*numbers: int) -> list[str]:
        write_text(tmp_path / "train.txt", *(f"{k}.mp4 {number}" for k, number in enumerate(numbers)))
        write_text(tmp_path / "val.txt", f"5.mp4 {numbers[0]}")
        return [clip.label for clip in read_clips(tmp_path).split("train")]

    assert labels_of_clips(0, 2) == ["A", "C"]
    assert labels_of_clips(1, 4, 2) == ["A", "D", "B"]
    what = r"classInd\.txt: the names count from 1, and the lists hold neither 0 nor 4: .* 1 may be 'B' or 'A'\. Where"
    with pytest.raises(DataError, match=what):
        labels_of_clips(1, 3, 2)
    write_text(tmp_path / "classInd.txt", "0 nothing", *(f"{k} {name}" for k, name in enumerate("ABCD", start=1)))
    assert labels_of_clips(1, 3, 2) == ["A", "C", "B"]
    write_text(tmp_path / "classInd.txt", *(f"{k} {name}" for k, name in enumerate("ABCD")))
    assert labels_of_clips(1, 3, 2) == ["B", "D", "C"]


def test_four_columns_with_two_readings(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_images(tmp_path / name, 31)
    write_text(tmp_path / "train.txt", "a 3 11 0", "b 5 13 1")
    write_text(tmp_path / "val.txt", "a 17 19 0")
    with pytest.raises(
        ConfigError, match=r"train\.txt may be read as .* Choose with --format mmaction2 or --format ibm"
    ):
        read_clips(tmp_path)
    assert [clip.window for clip in read_clips(tmp_path, format="ibm").split("train")] == [(2, 9), (4, 9)]
    assert [clip.window for clip in read_clips(tmp_path, format="mmaction2").split("train")] == [(3, 11), (5, 13)]
    write_text(tmp_path / "train.txt", "a 3 11 0", "b 23 29 1")  # 23 + 29 is beyond the 31 there are
    assert read_clips(tmp_path).format == "ibm"


def test_several_labels_that_look_like_a_window(tmp_path: Path) -> None:
    write_images(tmp_path / "a", 5)
    write_images(tmp_path / "b", 7)
    write_text(tmp_path / "train.txt", "a 5 1 2", "b 7 0 1")
    with pytest.raises(DataError, match=r"neither `dir start num_frames label` nor .* fits the frames on disk"):
        read_clips(tmp_path)


def test_several_sets_of_lists(tmp_path: Path) -> None:
    write_images(tmp_path / "a", 5)
    write_images(tmp_path / "b", 7)
    write_images(tmp_path / "c", 3)
    for number in (1, 2):
        write_text(tmp_path / f"ucf_rgb_train_split_{number}.txt", "a 5 0", f"b 7 {number}")
        write_text(tmp_path / f"ucf_flow_train_split_{number}.txt", "a 5 0")
        write_text(tmp_path / f"ucf_rgb_val_split_{number}.txt", "c 3 0")
    clips = read_clips(tmp_path, split=2)
    assert clips.labels == ("0", "2")
    assert clips.notes[:2] == (
        "2 training lists of optical flow are left out",
        "2 sets of lists are there; read: split 2, ucf_rgb_train_split_2.txt",
    )
    write_text(tmp_path / "ucf_rgb_val_split_3.txt", "c 3 0")
    with pytest.raises(NotFoundError, match=r"ucf_rgb_val_split_3\.txt is a validation list, and no training list"):
        read_clips(tmp_path / "ucf_rgb_val_split_3.txt")
    with pytest.raises(ConfigError, match=r"split=2 chooses among the lists of a folder; .* is one list"):
        read_clips(tmp_path / "ucf_rgb_train_split_1.txt", split=2)
    with pytest.raises(DataError, match=r"there are 2 training lists: ucf_rgb_.*Give the one to read as --data"):
        read_clips(tmp_path, split=3)
    write_text(tmp_path / "ucf_rgb_valid_split_2.txt", "c 3 0")
    with pytest.raises(DataError, match=r"val_split_2\.txt and .*valid_split_2\.txt are both the validation list"):
        read_clips(tmp_path, split=2)


FAULTS: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "kinetics quote": (
        "kinetics", "train.csv",
        ("label,youtube_id,time_start,time_end,split", '"a,b,0,10,train', 'a,c,0,10,train', '"sing",s,0,10,train'),
        r"train\.csv:2: (a quote is opened that is closed in line 4 only|not a line of csv)",
    ),
    "v2 label": (
        "something_something_v2", "something-something-v2-validation.json",
        ("[", '{"id": "43",', '"template": "Holdin [something]"}]'),
        r"validation\.json:2: the label 'Holdin something' is not among the 3 .*\(nearest: 'Holding something'\)",
    ),
    "v2 no template": (
        "something_something_v2", "something-something-v2-train.json", ('[{"id": "43"}]',),
        r"train\.json:1: clip 43 has no \"template\".*Is this the test list\?",
    ),
    "v2 not json": (
        "something_something_v2", "something-something-v2-train.json", ("[", '{"id": "43", '),
        r"train\.json:\d: this is not JSON",
    ),
    "v2 twice": (
        "something_something_v2", "something-something-v2-validation.json",
        ("[", '{"id": "7", "template": "Holding [something]"}', "]"),
        r"validation\.json:2: clip 7 is listed already, at .*train\.json:\d+; remove one line",
    ),
    "v2 labels": (
        "something_something_v2", "something-something-v2-labels.json", ('{"a": "0", "b": "0"}',),
        r"labels\.json: the label 'b' or its number 0 is there twice",
    ),
    "jester": ("jester", "jester-v1-train.csv", ("103,Swiping Left",), r"jester-v1-train\.csv:1: expected `id;label`"),
    "kinetics twice": (
        "kinetics", "val.csv", ("label,youtube_id,time_start,time_end", "zumba,aB-7,3,13"),
        r"val\.csv:2: clip aB-7_000003_000013 is listed already, at .*train\.csv:2",
    ),
    "kinetics time": (
        "kinetics", "val.csv", ("label,youtube_id,time_start,time_end", "zumba,aB-7,x,13"),
        r"val\.csv:2: time_start should be a number of seconds; got 'x'",
    ),
    "kinetics split": (
        "kinetics", "val.csv", ("label,youtube_id,time_start,time_end,split", "zumba,aB-7,3,13,train"),
        r"val\.csv:2: the split is 'train', but the name of the file says validation; correct the column or the name",
    ),
    "ucf class": (
        "ucf101", "ucfTrainTestlist/trainlist01.txt", ("Yoyo/v_YoYo_g07_c01.avi 1",),
        r"trainlist01\.txt:1: the class 'Yoyo' is not among the 3 of classInd\.txt",
    ),
    "ucf number": (
        "ucf101", "ucfTrainTestlist/trainlist01.txt", ("YoYo/v_YoYo_g07_c01.avi 2",),
        r"trainlist01\.txt:1: '2' is not the number of 'YoYo' in classInd\.txt",
    ),
    "hmdb": (
        "hmdb51", "testTrainMulti_7030_splits/climb_test_split1.txt", ("a_0.avi 3",),
        r"climb_test_split1\.txt:1: expected a file's name and 0, 1 or 2",
    ),
    "tsn label": (
        "tsn", "train_videofolder.txt", ("v2 7 2", "v3 0 11"),
        r"train_videofolder\.txt:2: the label 11 is not among the 3 named ones \(0 to 2\)",
    ),
    "tsn name": (
        "tsn", "train_videofolder.txt", ("v2 7 2", "v3 11 2", "v4 wave"),
        r"train_videofolder\.txt:3: expected `dir num_frames label`, with whole numbers .*; got 'v4 wave'",
    ),
    "several labels": (
        "mmaction2_videos", "train.txt", ("videos/c.mp4 0", "videos/d.mp4 1 2", "videos/e.mp4 1"),
        r"train\.txt:2: 'videos/d\.mp4 1 2' has more numbers than `path label`\. Several labels a clip",
    ),
    "ibm window": ("ibm", "train.txt", ("run;7;3;0",), r"train\.txt:1: 7 and 3 name no frame as ibm reads them"),
    "csv empty": ("csv", "my clips.csv", ("path,label", ",run"), r"my clips\.csv:2: path and label must not be empty"),
    "csv comma": (
        "csv", "my clips.csv", ("path,label", "a/1.mp4,run", "a/4.mp4,turn left, then right"),
        r"my clips\.csv:3: there are 3 fields for the 2 columns path,label; got 'then right' beyond them\. Put a path",
    ),
    "csv comma, no header": (
        "csv_pair", "train.csv", ("1.mp4,run", "2.mp4,stop, slowly"),
        r"train\.csv:2: there are 3 fields for the 2 columns path,label; got 'slowly' beyond them\.",
    ),
    "csv split": (
        "csv", "my clips.csv", ("path,label,split", "a/1.mp4,run,holdout"),
        r"my clips\.csv:2: the split 'holdout' is not one of: train, training",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(fault: str, tmp_path: Path) -> None:
    name, file, lines, message = FAULTS[fault]
    root = _written(tmp_path, name)
    write_text(root / file, *lines)
    with pytest.raises(M2AError, match=message):
        read_clips(root)


@pytest.mark.parametrize(("name", "file"), [("csv", "my clips.csv"), ("kinetics", "train.csv")])
def test_a_table_in_another_encoding_is_named(name: str, file: str, tmp_path: Path) -> None:
    root = _written(tmp_path, name)
    content = (root / file).read_text(encoding="utf-8")
    (root / file).write_bytes(content.replace("walk", "öffnen").replace("zumba", "öffnen").encode("cp1252"))
    with pytest.raises(DataError, match=rf"{file} is not UTF-8 text \(byte \d+\); save it as UTF-8 \(in Excel: CSV"):
        read_clips(root)


def test_empty_columns_of_a_spreadsheet_do_not_matter(tmp_path: Path) -> None:
    _written(tmp_path, "csv_pair")
    write_text(tmp_path / "train.csv", "1.mp4,11", "2.mp4,3,, ")
    assert read_clips(tmp_path).labels == ("3", "11")


def test_one_kinetics_list_of_all_splits(tmp_path: Path) -> None:
    """Its column tells the splits, where its name tells none."""
    _written(tmp_path, "kinetics")
    header, *rest = [(tmp_path / name).read_text().splitlines() for name in ("train.csv", "val.csv", "test.csv")]
    lines = [*header, *(line for lines in rest for line in lines[1:])]
    write_text(tmp_path / "mini.csv", *lines)
    assert read_clips(tmp_path / "mini.csv").splits == read_clips(tmp_path / "train.csv").splits
    write_text(tmp_path / "mini.csv", *lines, "zumba,new,1,11,holdout")
    with pytest.raises(DataError, match=r"mini\.csv:8: the split 'holdout' is not one of: train, training, val,"):
        read_clips(tmp_path / "mini.csv")


def test_a_format_that_is_not_there(tmp_path: Path) -> None:
    touch(tmp_path / "a" / "1.mp4")
    for layout in FORMATS:
        if layout.name != "class-folders":
            with pytest.raises(NotFoundError, match=re.escape(layout.name)):
                read_clips(tmp_path, format=layout.name)


def _written(root: Path, name: str) -> Path:
    root.mkdir(exist_ok=True)
    LAYOUTS[name](root)
    return root


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        ("test.csv", ("path", "gone.mp4", "6.mp4")),
        ("test.csv", ("path,label", "gone.mp4,", '6.mp4,""')),
    ],
)
def test_a_test_table_without_labels_is_left_out(tmp_path: Path, file: str, lines: tuple[str, ...]) -> None:
    write_text(_written(tmp_path, "csv_pair") / file, *lines)
    clips = read_clips(tmp_path)
    assert set(clips.splits) == {"train", "validation"}
    assert "test.csv: 2 clips without a label, left out" in clips.notes


def test_rows_of_a_test_split_without_labels(tmp_path: Path) -> None:
    """Of which none has one; where some have, a line without is an error."""
    table = _written(tmp_path, "csv") / "my clips.csv"
    before = table.read_text().splitlines()
    write_text(table, *before, ",gone.mp4,test,", ",a/4.mp4,test,")
    clips = read_clips(tmp_path)
    assert set(clips.splits) == {"train", "validation"}
    assert "my clips.csv: 2 clips without a label, left out" in clips.notes
    write_text(table, *before, ",gone.mp4,test,", "run,6.mp4,test,")
    with pytest.raises(DataError, match=r"my clips\.csv:7: path and label must not be empty; got path='gone\.mp4'"):
        read_clips(tmp_path)


def test_spaces_before_quotes_are_none_of_the_labels(tmp_path: Path) -> None:
    _written(tmp_path, "csv_pair")
    write_text(tmp_path / "train.csv", "path, label, split", '"1.mp4", "11", train', "2.mp4, 3, train")
    assert read_clips(tmp_path).labels == ("3", "11")


@pytest.mark.parametrize("name", ["labels.csv", "split.csv"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_tables_as_spreadsheets_write_them(tmp_path: Path, mark: str, name: str) -> None:
    """With capitals in the header, and with semicolons where a comma is in numbers. The days are no classes."""
    rows = [("Path", "Label", "Split"), ("mon/1.mp4", "push, slowly" if mark != "," else "push", "train"),
            ("mon/2.mp4", "pull", "Train"), ("tue/3.mp4", "pull", "val")]  # fmt: skip
    touch(*(tmp_path / path for path, _, _ in rows[1:]))
    write_text(tmp_path / name, *map(mark.join, rows))
    clips = read_clips(tmp_path)
    assert clips.labels == ("pull", rows[1][1])
    assert {split: len(members) for split, members in clips.splits.items()} == {"train": 2, "validation": 1}


def test_a_list_whose_clips_are_all_elsewhere(tmp_path: Path) -> None:
    """Where missing clips are left out the reason is told, too."""
    touch(tmp_path / "videos" / "1.mp4", tmp_path / "videos" / "2.mp4")
    write_text(tmp_path / "list.csv", "path,label", "videos\\1.mp4,push", "videos\\2.mp4,pull")
    with pytest.raises(DataError, match=r"has no training clip; its splits are: none \(.*list\.csv names 2 of 2 clips"):
        read_clips(tmp_path, missing="skip")


def test_a_table_with_other_columns_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    touch(*(tmp_path / day / f"{k}.mp4" for day in ("mon", "tue") for k in range(9)))
    write_text(tmp_path / "labels.csv", "file,class", "mon/1.mp4,push")
    notes = read_clips(tmp_path).notes
    assert "not read: labels.csv; a list of clips names the columns path,label,split in its first line" in notes


def test_a_set_that_can_only_be_measured_on_may_be_looked_at(tmp_path: Path) -> None:
    write_clips(tmp_path / "alone" / "wave", [("1.mp4", "", 3), ("2.mp4", "", 5)])
    clips = read_to_look_at(tmp_path / "alone")
    assert {name: len(members) for name, members in clips.splits.items()} == {"train": 2}
    assert clips.notes[-1].startswith("it can be measured on, and not be trained on: ")
    assert "has 1 class (wave)" in clips.notes[-1]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is empty; there is no clip in it"):
        read_to_look_at(tmp_path / "empty")


@pytest.mark.parametrize("table", [False, True])
def test_a_test_split_alone(tmp_path: Path, table: bool) -> None:
    """In folders, and by a table of class folders."""
    for label in ("run", "walk"):
        write_clips(tmp_path / ("" if table else "test") / label, [("1.mp4", "", 3), ("2.mp4", "", 5)])
    if table:
        rows = [f"{label}/{name}.mp4,{label},test" for label in ("run", "walk") for name in (1, 2)]
        write_text(tmp_path / "split.csv", "path,label,split", *rows)
    with pytest.raises(DataError, match=r"has no training clip; its splits are: test"):
        read_clips(tmp_path)
    clips = read_clips(tmp_path, to_train=False)
    assert (clips.labels, set(clips.splits), len(clips.split("test"))) == (("run", "walk"), {"test"}, 4)
